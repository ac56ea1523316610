"""A report on paper: one file, numbered through, with its status on each sheet; the same bytes."""

import io
import os
import re
import shutil
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from analysis.commands import cli, reporting
from analysis.commands.settings import parse_settings
from analysis.errors import SourceError
from analysis.pages.formats import css
from analysis.pages.paper import PARTS, find_browser, join_pages, print_pages

LINKS = (
    '<a href="4-blocked-sites.html#list">annex</a> <a href="#own">own</a> '
    '<a href="sites/a.html">site</a> <a href="https://site.test/">out</a> '
    '<a href="3-semester-comparison.html">halves</a>'
)
FOOT = f'@page {{ margin: 20mm; @bottom-left {{ content: "{css("Draft 2 · Nowhere")}"; }} }}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The three pages, with ids that stand on each of them."""
    for place, name in enumerate(PARTS):
        (tmp_path / name).write_text(
            f'<!DOCTYPE html><html lang="{"km" if place else "en"}"><head><title>Report {place}'
            f"</title><style>{FOOT}</style><script>1</script></head><body><nav>gone</nav>"
            f'<header><h1 id="own">Part {place}</h1></header><main id="main"><h2 id="list">List'
            f'</h2><p aria-labelledby="own list">{LINKS}</p><svg><g clip-path="url(#own)"/></svg>'
            f"</main><footer>gone</footer></body></html>",
            encoding="utf-8",
        )
    return tmp_path


def test_pages_are_joined(folder: Path) -> None:
    """No id stands twice, a link to another part leads there, one out of the document is text."""
    html = join_pages([folder / name for name in PARTS])
    ids = re.findall(' id="(.*?)"', html)
    assert len(ids) == len(set(ids)) == 4 * len(PARTS)
    assert set(re.findall('aria-labelledby="(.*?)"', html)) == {
        f"part{n}-own part{n}-list" for n in (1, 2, 3)
    }
    assert set(re.findall(r"url\((.*?)\)", html)) == {f"#part{n}-own" for n in (1, 2, 3)}
    targets = set(re.findall('href="(.*?)"', html))
    assert targets - {"https://site.test/"} <= {f"#{name}" for name in ids}
    assert "#part2-list" in targets
    assert html.count("<a>site</a>") == 3
    assert not re.search("gone|<script", html)
    assert html.count('lang="km"') == 2


def test_a_printed_report(folder: Path) -> None:
    """Tagged, with an outline and a title; status and number on each sheet; twice the same."""
    try:
        browser = find_browser()
    except SourceError:
        if os.environ.get("WORKBOOK_REQUIRE_BROWSER") == "1":
            raise
        pytest.skip("no chromium on this machine")
    import pypdf

    first, second = (
        print_pages(folder, folder, browser, date(2024, 12, 31)).read_bytes() for _ in range(2)
    )
    assert first == second
    read = pypdf.PdfReader(io.BytesIO(first))
    told = read.metadata
    assert (told.title, str(told.creation_date)[:10]) == ("Report 0", "2024-12-31")
    assert read.root_object["/MarkInfo"]["/Marked"]
    titles = [one["/Title"] for one in read.outline if not isinstance(one, list)]
    assert titles == ["Part 0", "Part 1", "Part 2"]
    assert len(read.pages) == len(PARTS)
    for page in read.pages:
        assert "Draft 2 · Nowhere" in page.extract_text()
    assert str(folder).encode() not in first
    assert sorted(path.name for path in folder.iterdir()) == sorted([*PARTS, "report.pdf"])


def test_without_a_browser_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch, command: object, tmp_path: Path
) -> None:
    """One line says what is missing, before a report is made that could not be printed."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(reporting, "read_report", None)
    status, _, complaint = command("pdf", f"OUT={tmp_path / 'out'}")  # type: ignore[operator]
    assert (status, complaint.count("\n")) == (3, 1)
    assert "Chromium, and there is none on this machine" in complaint
    assert not (tmp_path / "out").exists()


def test_a_report_of_other_inputs_is_made_anew(
    fictional_report: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Data, lists, status, languages and decisions are those of now, or it is not printed."""
    store = fictional_report.parent / "store"
    usual = [f"STORE={store}", f"OUT={fictional_report}", "REPORT_LANGUAGES=en,km"]

    def is_there(*changes: str) -> bool:
        settings = parse_settings([*usual, *changes])
        return reporting.is_there(settings, partial(cli._gather, settings, reopen=True))

    assert is_there()
    for change in ("STATUS=Draft 3", "EVENTS="):
        assert not is_there(change), change
    monkeypatch.setattr(reporting, "review_path", lambda _: tmp_path / "none.yml")
    assert not is_there()
