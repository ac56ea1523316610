"""Who publishes, and what was found wrong: read strictly, printed on each page, added once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import ParameterError
from analysis.languages.language import ENGLISH, open_language
from analysis.pages.rendering import PageContext, render_summary
from analysis.pages.replacing import published
from analysis.period import Period
from analysis.review import publication
from analysis.review.publication import (
    check_final,
    load_corrections,
    load_publisher,
    publisher_path,
    word_corrections,
    word_publisher,
)

YEAR = Period.parse("2024-01-01", "2025-01-01")
CORRECTIONS = """
corrections:
- date: '2025-03-04'
  since: '2024-01-01'
  until: '2025-01-01'
  wrong: a.example is blocked on <b>two</b> networks.
  right: It is blocked on one.
  noticed_by: network operator
- {date: '2025-03-05', since: '2023-01-01', until: '2024-01-01', wrong: x, right: y, noticed_by: z}
"""


def test_a_final_report_names_who_publishes(tmp_path: Path) -> None:
    """Every key, or the run is refused with those that are missing; a draft may go without."""
    whole = load_publisher(publisher_path("QQ"))
    check_final("Final", whole, tmp_path)
    assert [label for label, _ in word_publisher(whole, ENGLISH)][:2] == ["Published by", "Contact"]
    assert ("Objections until", "15 March 2025") in word_publisher(whole, ENGLISH)
    assert "15 មីនា 2025" in dict(word_publisher(whole, open_language("km"))).values()
    path = tmp_path / "kh.yml"
    path.write_text("publisher: <script>\nlicence: CC BY\n", encoding="utf-8")
    some = load_publisher(path)
    check_final("Draft 2", some, path)
    with pytest.raises(ParameterError, match="a final report needs contact, object_to, object_"):
        check_final("FINAL version", some, path)
    for wrong in ("publisher: ''", "other: x", "published: soon", "- a"):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(ParameterError, match=r"kh\.yml: line 1: "):
            load_publisher(path)


@pytest.mark.parametrize(
    ("publisher", "shown"),
    [
        (None, []),
        ((), ["This report names no publisher"]),
        ((("Contact", "<b>"),), ["<dt>Contact</dt><dd>&lt;b&gt;</dd>"]),
    ],
)
def test_the_box_under_the_title(
    demo_page: PageContext, publisher: tuple[tuple[str, str], ...] | None, shown: list[str]
) -> None:
    page = PageContext(**{**vars(demo_page), "publisher": publisher})
    html = render_summary({}, page, [], {}, None, "")
    assert [text in html for text in shown] == [True] * len(shown)
    assert ('class="publisher"' in html) == bool(shown)


def test_a_correction_is_on_each_page_of_both_editions(
    tmp_path: Path, demo_page: PageContext, command: Callable[..., Any], monkeypatch: Any
) -> None:
    """The earlier edition gets nothing but its notice, once, and keeps its earlier checksums."""
    monkeypatch.setattr(publication, "REVIEWS", tmp_path)
    path = tmp_path / "qq-corrections.yml"
    path.write_text(CORRECTIONS, encoding="utf-8")
    (one,) = load_corrections(path, YEAR)
    now = word_corrections([one], ENGLISH, is_corrected=True)
    new = PageContext(**{**vars(demo_page), "corrections": now})
    html = render_summary({}, new, [], {}, None, "")
    assert "on &lt;b&gt;two&lt;/b&gt; networks" in html
    out = tmp_path / "report"
    with published(out, "findings") as build:
        for name in ("index.html", "sites/a.html", "km/index.html"):
            file = build.folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(render_summary({}, demo_page, [], {}, None, ""), encoding="utf-8")
        given = {"probe_cc": "QQ", "since": "2024-01-01", "until": "2025-01-01"}
        build.run = {"findings": {}, "parameters": given}
    before = {path: path.read_text("utf-8") for path in out.rglob("*.html")}
    sums = (out / "SHA256SUMS").read_text("utf-8")
    assert len(sums.splitlines()) == 4
    assert command("notice", f"OUT={out}")[0] == 0
    for page, text in before.items():
        head, _, rest = page.read_text("utf-8").partition('<p class="correction">')
        notice, _, tail = rest.partition("</p>\n")
        assert head + tail == text, page
        assert "4" in notice
    assert "Error announced on 4 March 2025" in (out / "index.html").read_text("utf-8")
    assert (out / "SHA256SUMS.before-2025-03-04").read_text("utf-8") == sums
    files = json.loads((out / "run.json").read_bytes())["files"]
    assert "SHA256SUMS.before-2025-03-04" in files
    status, _, said = command("notice", f"OUT={out}")
    assert (status, "carries its notice already" in said) == (2, True)
    path.write_text("corrections:\n- {date: x}\n", encoding="utf-8")
    assert command("notice", f"OUT={out}")[0] == 2
