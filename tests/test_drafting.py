"""What people write beside the findings: decisions of meetings, and the report's own prose."""

import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from analysis.errors import ContractError, ParameterError
from analysis.languages.language import ENGLISH, open_language
from analysis.outcomes.rules import RULES_VERSION
from analysis.pages.rendering import PageContext, render_summary
from analysis.pages.replacing import list_tables, published, write_run
from analysis.period import Period
from analysis.reference import withheld
from analysis.report.first_page import (
    decide_first_page,
    find_left_out,
    mark_decided,
    read_decided,
    show_decisions,
)
from analysis.review import publication
from analysis.review.audits import audit_claims, count_results, show_audit
from analysis.review.changes import compare_reports, find_causes
from analysis.review.claims import DRAFTS, Draft, check, load_draft
from analysis.review.countries_page import compare_countries, hold_side_by_side
from analysis.review.decisions import (
    Basis,
    Decision,
    check_decisions,
    decision_table,
    load_decisions,
    merge_decisions,
)
from analysis.review.feedback import FIRST_ROW, SHEET, list_items, read_filled_sheet, write_sheet
from analysis.review.narrative import PARTS, find_unwritten, load_narrative, show_narrative
from analysis.review.publication import (
    check_corrected,
    check_edition,
    check_final,
    load_corrections,
    load_publisher,
    publisher_path,
    word_corrections,
    word_publisher,
)
from analysis.review.reports import Report, read_report
from analysis.tables import TABLES, write_table
from tests.archives import contents
from tests.conftest import Command
from tests.table_rows import table_rows

HOSTILE = "=HYPERLINK(1) <script>alert(1)</script> \u202e" + "x" * 10_000
CLAIMS = {"F2": HOSTILE}
YEAR = Basis("QM", Period.parse("2024-01-01", "2025-01-01"), 8)
KEPT = Decision("F2", "keep", "The numbers were checked.", "2025-02-01", "statistician", YEAR)
ENTRY = """\
  - item: F2
    decision: keep
    reason: The numbers were checked.
    date: 2025-02-01
    role: statistician
    since: 2024-01-01
    until: 2025-01-01
    rules_version: 8
"""
FILE = f"probe_cc: QM\ndecisions:\n{ENTRY}"


def _write(folder: Path, text: str) -> Path:
    path = folder / "qm.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_decisions(tmp_path: Path) -> None:
    """An item in any spelling, numbers that were changed; and no file is no decision."""
    changed = (
        ENTRY.replace("F2", "https://WWW.Site.test/") + "    thresholds: {floor_sessions: 6}\n"
    )
    found = load_decisions(_write(tmp_path, FILE + changed), "QM")
    other = replace(YEAR, thresholds=(("floor_sessions", 6.0),))
    assert found == (KEPT, replace(KEPT, item="www.site.test", basis=other))
    assert load_decisions(tmp_path / "none.yml", "QM") == ()


def test_a_malformed_file_is_refused_with_its_line(tmp_path: Path) -> None:
    for text, message in (
        ("", "line 1: the file is empty"),
        ("a: [", "line 1: not YAML"),
        ("probe_cc: QM\n", "line 1: the file must have exactly probe_cc, decisions"),
        (FILE.replace("QM", "QN"), "line 1: probe_cc is not QM"),
        (FILE + ENTRY, "line 11: a decision on F2 in this period and method stands above"),
        (FILE.replace("F2", "F0"), "line 3: item=F0: a finding's id, such as F1, or a site"),
        (FILE.replace("keep", "delete"), "line 4: decision=delete: one of keep, reword"),
        (FILE.replace("The numbers were checked.", "''"), "line 5: reason=: a sentence of at most"),
        (FILE.replace("2025-02-01", "1.2.2025"), "line 6: date=1.2.2025: a date is written"),
        (FILE.replace("statistician", "a@b.test"), "line 7: role=a@b.test: a role such as"),
        (FILE.replace("2025-01-01", "2023-01-01"), "line 9: UNTIL=2023-01-01: must lie after"),
        (FILE.replace("version: 8", "version: x"), "line 10: number=x: a number such as 8"),
        (FILE + "    votes: 3\n", "line 3: a decision must have exactly item, decision"),
        (FILE + "    thresholds: {a b: 6}\n", "line 11: thresholds must be names, each once"),
        (FILE + "    thresholds: 6\n", "line 11: thresholds must be names, each once"),
    ):
        with pytest.raises(ParameterError, match=re.escape(f"qm.yml: {message}")):
            load_decisions(_write(tmp_path, text), "QM")


def test_the_shipped_example_is_of_this_method() -> None:
    """The default report shows decisions that apply; whoever raises the version looks at them."""
    shown = list(withheld.REVIEWS.glob("*.yml"))
    assert shown
    for path in shown:
        found = load_decisions(path, path.stem.upper())
        assert {one.basis.rules_version for one in found} >= {RULES_VERSION}


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A finding, a listed site, a tested one; and a decision of this run and one of another."""
    folder = tmp_path / "tables"
    elsewhere = replace(KEPT, item="gone.test", basis=replace(YEAR, rules_version=7))
    write_table(folder, "decisions", decision_table([elsewhere, KEPT], YEAR))
    write_table(folder, "findings", table_rows("findings", {"id": "F2", "claim": HOSTILE}))
    listed = [
        {
            "domain": "a.test",
            "probe_asn": asn,
            "network": f"N{asn}",
            "state": state,
            "blocked_from": day,
        }
        for asn, state, day in (
            (1, "blocked", "2024-03-01"),
            (2, "likely_blocked", "2024-04-01"),
            (2, "blocked", "2024-05-01"),
            (3, "likely_blocked", "2024-06-01"),
        )
    ]
    write_table(folder, "blocked_site_networks", table_rows("blocked_site_networks", *listed))
    tested = {"domain": "ok.test", "probe_asn": 1, "period": "all"}
    write_table(folder, "verdicts", table_rows("verdicts", tested))
    return folder


def test_a_decision_of_this_run_on_nothing_stops_it(tables: Path) -> None:
    """One of another period or method does not: it is shown as not applied."""
    check_decisions(tables)
    for item, what in (("F9", "finding"), ("never.test", "tested site")):
        write_table(tables, "decisions", decision_table([KEPT, replace(KEPT, item=item)], YEAR))
        with pytest.raises(ContractError, match=f"keep of 2025-02-01 is on {item}, .* such {what}"):
            check_decisions(tables)


@pytest.fixture
def sheet(tables: Path) -> Path:
    write_sheet(tables, "Draft 2 =1+1", list_items(tables, CLAIMS), YEAR)
    return tables / SHEET


def _filled(sheet: Path, rows: dict[int, Sequence[object]]) -> Path:
    """The sheet with what was typed into some of its lines; None leaves a cell as it is."""
    book = openpyxl.load_workbook(sheet)
    for line, cells in rows.items():
        for column, value in enumerate(cells, start=1):
            old = book["feedback"].cell(line, column).value
            book["feedback"].cell(line, column).value = old if value is None else value
    path = sheet.with_name("filled.xlsx")
    book.save(path)
    return path


def test_a_sheet_comes_back_as_decisions(tables: Path, sheet: Path, tmp_path: Path) -> None:
    """Prefilled with what stands decided; what is added comes into the file, and once only."""
    same = sheet.read_bytes()
    write_sheet(tables, "Draft 2 =1+1", list_items(tables, CLAIMS), YEAR)
    assert sheet.read_bytes() == same
    cells = openpyxl.load_workbook(sheet)["feedback"]
    assert [cells.cell(line, 1).value for line in (FIRST_ROW, FIRST_ROW + 1)] == ["F2", "a.test"]
    assert cells["B4"].value == (
        "Blocked on N1 and N2; Likely blocked on N3; first seen on 1 March 2024 on N1"
    )
    assert {cell.data_type for row in cells.iter_rows() for cell in row} == {"s", "n", "d"}
    brought = read_filled_sheet(
        _filled(
            sheet,
            {
                4: (None, None, "Leave out", "Two\nlines", "editor", date(2025, 3, 1)),
                9: ("OK.test", None, "relabel", "It is news.", "editor", "2025-03-01"),
            },
        )
    )
    assert brought == [
        KEPT,
        Decision("a.test", "leave_out", "Two lines", "2025-03-01", "editor", YEAR),
        Decision("ok.test", "relabel", "It is news.", "2025-03-01", "editor", YEAR),
    ]
    path = _write(tmp_path, FILE.replace("keep", "reword") + ENTRY.replace("F2", "F9"))
    changes = merge_decisions(path, brought, dry_run=False)
    assert [line.partition(",")[0] for line in changes] == [
        "changed: F2: keep",
        "new: a.test: leave out of the first page",
        "new: ok.test: relabel",
    ]
    assert set(load_decisions(path, "QM")) == {*brought, replace(KEPT, item="F9")}
    assert merge_decisions(path, brought, dry_run=False) == []


def test_a_wrong_cell_is_named(sheet: Path) -> None:
    """No row is passed over in silence, however far below it stands."""
    day = date(2025, 3, 1)
    for line, cells, message in (
        (4, (None, None, "burn", "r", "editor", day), "cell C4: decision=burn"),
        (4, (None, None, "keep", "", "editor", day), "cell D4: reason="),
        (4, (None, None, "keep", "r" * 601, "editor", "2025-03-01"), "cell D4: reason=rrr"),
        (4, (None, None, "keep", "r", "", day), "cell E4: role="),
        (4, (None, None, "keep", "r", "editor", "soon"), "cell F4: date=soon"),
        (
            4,
            (None, None, "=1+1", "r", "editor", "2025-03-01"),
            "cell C4: formula==1+1: write its",
        ),
        (5, ("no site", None, "keep", "r", "editor", "2025-03-01"), "cell A5: item=no site"),
        (5, ("f2", None, "keep", "r", "editor", "2025-03-01"), "cell A5: F2 stands in a row"),
        (9_000, ("F3", None, "keep", "r", "editor", "2025-03-01"), "has more than 5,000 rows"),
    ):
        filled = _filled(sheet, {line: cells})
        with pytest.raises(ParameterError, match=re.escape(message)):
            read_filled_sheet(filled)


def _with_file(sheet: Path, name: str, content: bytes) -> bytes:
    """The sheet with one more file in it, or another in the place of one."""
    out = io.BytesIO()
    with zipfile.ZipFile(sheet) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.namelist():
            if one != name:
                new.writestr(one, old.read(one))
        new.writestr(name, content)
    return out.getvalue()


BOMB = b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 100 + b'"><!ENTITY c "' + b"&b;" * 100 + b'">]>'
FIRST, SECOND = "xl/worksheets/sheet1.xml", "xl/worksheets/sheet2.xml"


def test_a_hostile_sheet_is_refused(sheet: Path) -> None:
    """Bounded before it is opened; what it holds besides texts is not looked at."""
    path = sheet.with_name("hostile.xlsx")
    for content, message in (
        (b"PK not a sheet", "is no XLSX file"),
        (b"", "is no XLSX file"),
        (b"\0" * 5_000_001, "is larger than 5 MB"),
        (_with_file(sheet, FIRST, b" " * 60_000_000), "unpacks to more than 50 MB"),
        (_with_file(sheet, "xl/styles.xml", b"<xf/>" * 500_001), "more than 500,000 elements"),
        (_with_file(sheet, FIRST, BOMB + b"<a>&c;</a>"), "cannot be read"),
        (_with_file(sheet, FIRST, b"<worksheet"), "cannot be read"),
        (_with_file(sheet, "xl/workbook.xml", b"<a/>"), "cannot be read"),
        (_with_file(sheet, SECOND, b"<a/>"), "sheet about: probe_cc=: must stand"),
    ):
        path.write_bytes(content)
        with pytest.raises(ParameterError, match=message):
            read_filled_sheet(path)
    path.write_bytes(_with_file(sheet, "xl/vbaProject.bin", b"x"))
    assert read_filled_sheet(path) == [KEPT]


def test_decisions_stand_beside_what_they_are_on(tables: Path) -> None:
    """A finding that was left out is not on the page; all decisions are in one place, those of
    another run as not applied; tables lose no row."""
    hostile = replace(KEPT, reason=HOSTILE[:600])
    gone = replace(KEPT, item="F3", decision="leave_out")
    site = replace(gone, item="a.test", decision="relabel")
    other = replace(gone, item="F4", basis=replace(YEAR, rules_version=7))
    write_table(tables, "decisions", decision_table([hostile, gone, site, other], YEAR))
    page = {"findings": [{"id": name, "claim": name} for name in ("F2", "F3", "F4")]}
    decided = decide_first_page(page, tables)
    beside, none = (one["decision"] for one in decided["findings"])
    assert ([one["id"] for one in decided["findings"]], none) == (["F2", "F4"], "")
    assert "Decided on 1 February 2025: keep." in re.sub("<.*?>", "", beside)
    told = re.sub("<.*?>", "", decided["decided"][1])
    assert told.startswith("3 decisions of a meeting hold for this report")
    assert "Left out of this page, not of the tables: F3. 1 decision of a meeting was taken" in told
    [(_, section)] = show_decisions(tables)
    assert section.count("Not applied") == 1
    assert not re.search("<script|\u202e", beside + section)
    assert find_left_out(read_decided(tables)) == {"F3"}
    frame = pd.DataFrame({"domain": ["a.test", "b.test"], "note": ["at least since", ""]})
    assert mark_decided(frame, tables)["note"].tolist() == [
        "at least since; decided on 2025-02-01: relabel",
        "",
    ]


def test_review_writes_the_file_of_the_country(
    sheet: Path,
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """It says what it changes; a dry run changes nothing; a wrong sheet ends with status 2."""
    monkeypatch.setattr(withheld, "REVIEWS", tmp_path / "review")
    status, said, _ = command("review", str(sheet), "--dry-run")
    assert (status, list(tmp_path.glob("review/*"))) == (0, [])
    assert said.splitlines()[0].startswith("new: F2: keep, 2025-02-01, statistician: The numbers")
    status, again, _ = command("review", str(sheet))
    assert (status, again.replace("changed", "would change")) == (0, said)
    assert load_decisions(tmp_path / "review" / "qm.yml", "QM") == (KEPT,)
    status, _, complaint = command("review", str(sheet.parent / "decisions.csv"))
    assert status == 2
    assert complaint.count("\n") == 1


# --- The report's own prose: numbers by their names, nothing that acts, nothing made up. ----------

FINDINGS = {
    "domain_count": {"value": 1234, "table": "semesters"},
    "open_share": {"value": 0.25, "table": "semesters"},
}


def _write_texts(folder: Path, **texts: str | bytes) -> Path:
    place = folder / "qm" / "en"
    place.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = place / f"{name}.md"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def _html(folder: Path, **texts: str) -> str:
    read = load_narrative("QM", "en", _write_texts(folder, **texts))
    return "".join(content for _, content in show_narrative(read, read, FINDINGS, ENGLISH))


def test_numbers_are_filled_in_and_what_is_missing_says_so(tmp_path: Path) -> None:
    """Marked with their names, as on other pages; of four parts three are not written."""
    html = _html(
        tmp_path,
        background="# A\n\n#### B\n\n**{findings.domain_count}** sites, "
        "{findings.open_share}, [list](4-blocked-sites.html)",
    )
    assert '<strong><data value="1234" data-key="domain_count">1,234</data></strong>' in html
    assert f'data-key="open_share">{ENGLISH.share(0.25)}</data>' in html
    assert '<a href="4-blocked-sites.html">list</a>' in html
    assert "<h3>A</h3>\n<h4>B</h4>" in html  # no level is left out
    assert html.count("Missing") == len(PARTS) - 1


def test_a_part_that_is_written_in_english_only_is_shown_in_english(tmp_path: Path) -> None:
    """Marked as English, its links to the English pages; where the translation belongs is said."""
    folder = _write_texts(tmp_path, law="{findings.domain_count} sites, [list](index.html)")
    khmer, english = (load_narrative("QM", code, folder) for code in ("km", "en"))
    shown = show_narrative(khmer, english, FINDINGS, open_language("km"), "../")
    (law,) = [content for _, content in shown if 'lang="en"' in content]
    assert "data/narrative/qm/km/law.md" in law
    assert '1,234</data> sites, <a href="../index.html">list</a>' in law
    assert len(shown) == len(PARTS)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "![x](https://site.test/pixel.png)",
        "[x](javascript:alert(1))",
        "[x](http://site.test/)",
        "[x](//site.test/)",
        "[x](data:text/html,x)",
        '<https://site.test/"onclick=alert(1)>',
        "[x](https://site.test/{findings.domain_count})",
        "a \u202e b",
        "x" * 10_000,
        "<svg/onload=alert(1)>\n\n- <b>",
    ],
)
def test_nothing_in_a_text_acts(tmp_path: Path, text: str) -> None:
    """The only elements are Markdown's own; a link leads over TLS or to a page."""
    html = _html(tmp_path, law=text)
    elements = set(re.findall(r"<(\w+)", html))
    assert elements <= {"div", "p", "strong", "bdi", "a", "ul", "li", "data"}
    for target in re.findall('href="(.*?)"', html):
        assert target.startswith("https://site.test/")
    assert not re.search(r"<[^>]* (on\w+|src)=", html)
    assert "\u202e" not in html


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"history": "x"}, "history.md: background.md, law.md, recommendations.md"),
        ({"law": b"a\n\xff"}, "law.md: line 2: not UTF-8 text"),
        ({"law": "x" * 200_001}, "is larger than 0.2 MB"),
    ],
)
def test_a_text_that_is_wrong_is_refused(
    tmp_path: Path, texts: dict[str, str | bytes], message: str
) -> None:
    with pytest.raises(ParameterError) as raised:
        load_narrative("QM", "en", _write_texts(tmp_path, **texts))
    assert message in str(raised.value)


def test_an_unknown_number_stops_the_report(tmp_path: Path) -> None:
    for place in ("findings.votes", "domain_count", "findings."):
        with pytest.raises(ContractError, match=rf"law\.md, line 2: {{{place}}} is no"):
            _html(tmp_path, law=f"a\n{{{place}}}")


# --- Who publishes, and what was found wrong: read strictly, printed on each page, added once. ----

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


def test_a_final_report_has_nothing_open(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No *reword* of its period and method, and no missing section; a draft may have both."""
    out = tmp_path / "out"
    final = ("report", "STATUS=Final", f"OUT={out}", f"STORE={tmp_path / 'store'}")
    status, _, said = command(*final)
    assert (status, "needs an answer to each reword: F3. Change the words" in said) == (2, True)
    whole = withheld.review_path("QQ").read_text("utf-8")
    monkeypatch.setattr(withheld, "REVIEWS", tmp_path)
    for edited in (
        whole.replace("reword", "keep"),
        whole.replace(f"rules_version: {RULES_VERSION}", "rules_version: 1"),
    ):
        (tmp_path / "qq.yml").write_text(edited, encoding="utf-8")
        status, _, said = command(*final)
        assert (status, "a final report needs data/narrative/qq/en/law.md" in said) == (2, True)
    assert not out.exists()
    publisher, path = load_publisher(publisher_path("QQ")), publisher_path("QQ")
    check_final("Final", publisher, path)
    check_final("Draft 3", {}, path, ["F3"], ["law.md"])
    for part in PARTS:
        file = tmp_path / "qq" / "km" / f"{part}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(" \n" if part == "law" else "Text", encoding="utf-8")
    khmer, english = (load_narrative("QQ", code, tmp_path) for code in ("km", "en"))
    assert find_unwritten(khmer, english) == ["data/narrative/qq/km/law.md"]
    assert find_unwritten(english, khmer) == ["data/narrative/qq/en/law.md"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "It is blocked on one.",
            "A.example is blocked on <b>two</b>  networks",
            "line 7: right says the same",
        ),
        ("2025-03-04", "2024-12-31", "line 3: date 2024-12-31 is before the report's period is"),
        ("2025-03-04", "2999-01-01", "line 3: date 2999-01-01 is in the future"),
    ],
)
def test_a_correction_that_cannot_be(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The file is refused with the line."""
    path = tmp_path / "qq-corrections.yml"
    path.write_text(CORRECTIONS.replace(old, new), encoding="utf-8")
    with pytest.raises(ParameterError, match=message):
        load_corrections(path, YEAR.period)


def test_an_edition_does_not_contradict_its_corrections(
    tmp_path: Path, demo_page: PageContext, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It neither says what it calls corrected, nor is older; and it gets no notice of it."""
    monkeypatch.setattr(publication, "REVIEWS", tmp_path)
    path = tmp_path / "qq-corrections.yml"
    path.write_text(CORRECTIONS, encoding="utf-8")
    (one,) = load_corrections(path, YEAR.period)
    with pytest.raises(ContractError, match=r"2025-03-04 .* and F2 still says: a\.example is"):
        check_corrected([one], {"F1": "Else.", "F2": f"Sites: 9.  {one.wrong.upper()} So it is."})
    check_edition([one], {"published": "2025-03-04"})
    status, _, said = command("report", f"OUT={tmp_path / 'new'}", f"STORE={tmp_path / 'store'}")
    assert (status, "published=2025-02-15: the error announced on 2025-03-04" in said) == (2, True)

    def notice(name: str, **run: Any) -> tuple[int, str, str]:
        out = tmp_path / name
        with published(out, "findings") as build:
            given = {"probe_cc": "QQ", "since": "2024-01-01", "until": "2025-01-01"}
            build.run = {"findings": {}, "parameters": given, **run}
            now = word_corrections([one], ENGLISH, is_corrected=True)
            page = replace(demo_page, corrections=now if "corrections" in run else ())
            (build.folder / "index.html").write_text(render_summary({}, page, [], {}, None, ""))
        status, _, said = command("notice", f"OUT={out}")
        return status, said, (out / "index.html").read_text("utf-8")

    corrected = {"corrections": [str(one)]}
    status, said, _ = notice("corrected", **corrected)
    assert (status, "corrects every error; qq-corrections.yml" in said) == (2, True)
    status, said, _ = notice("young", publisher={"published": "2025-03-05"})
    assert (status, "it was published on 2025-03-05, after the error" in said) == (2, True)
    second = CORRECTIONS.partition("- {")[0].partition("corrections:\n")[2]
    second = second.replace("2025-03-04", "2025-04-01").replace("<b>two</b>", "three")
    path.write_text(CORRECTIONS + second, encoding="utf-8")
    status, _, page = notice("both", **corrected)
    assert status == 0
    assert "Corrected on 4 March 2025" in page
    assert "Error announced on 4 March 2025" not in page
    assert "Error announced on 1 April 2025" in page


def test_a_correction_is_on_each_page_of_both_editions(
    tmp_path: Path, demo_page: PageContext, command: Callable[..., Any], monkeypatch: Any
) -> None:
    """The earlier edition gets nothing but its notice, once, and keeps its earlier checksums."""
    monkeypatch.setattr(publication, "REVIEWS", tmp_path)
    path = tmp_path / "qq-corrections.yml"
    path.write_text(CORRECTIONS, encoding="utf-8")
    (one,) = load_corrections(path, YEAR.period)
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


# --- Reports held against a draft, against an earlier report and beside those of other countries. -

HEAD = """\
document: A draft
source: invented
probe_cc: KH
since: 2024-01-01
until: 2024-07-01
claims:
"""
N = Decimal


def _draft(folder: Path, *claims: str) -> Draft:
    path = folder / "draft.yml"
    path.write_text(HEAD + "".join(claims), encoding="utf-8")
    return load_draft(path)


def _claim(relation: str, values: str, id: str = "one", claim: str = "Something.") -> str:
    return (
        f"  - id: {id}\n    where: page 1\n    claim: {json.dumps(claim)}\n"
        f"    relation: {relation}\n    values: {values}\n"
    )


def _report(folder: Path, states: dict[str, str], **run: Any) -> Report:
    """A report in which each site was judged on AS1 and is listed where it was found blocked."""
    cells = [
        {"domain": domain, "probe_asn": 1, "period": "all", "state": state}
        for domain, state in states.items()
    ]
    listed = [
        {"domain": cell["domain"], "state": cell["state"], "probe_asns": "AS1"}
        for cell in cells
        if cell["state"] in ("blocked", "likely_blocked")
    ]
    write_table(folder / "tables", "verdicts", table_rows("verdicts", *cells))
    write_table(folder / "tables", "blocked_sites", table_rows("blocked_sites", *listed))
    record = {
        "parameters": {"probe_cc": "KH", "since": "2024-01-01", "until": "2024-07-01"},
        "input_digest": "a",
        "rules_version": 1,
        "findings": {"blocked_domain_count": {"value": len(listed), "table": "blocked_sites"}},
        "tables": list_tables(folder / "tables"),
        **run,
    }
    first = '<nav class="set">of before</nav>the summary'
    (folder / "index.html").write_text(first, encoding="utf-8")
    write_run(folder, record)
    return read_report(folder, "REPORT")


# relations --------------------------------------------------------------------------------------


_RELATIONS = [
    ("sum", {"whole": N(5), "parts": [N(2), N(3)]}, "holds"),
    ("sum", {"whole": N(6), "parts": [N(2), N(3)]}, "does_not_hold"),
    ("equal", {"said": N("5.0"), "found": N(5)}, "holds"),
    ("equal", {"said": "S.I Group", "found": "s.i group"}, "holds"),
    ("equal", {"said": N(5), "found": "five"}, "does_not_hold"),
    ("at_most", {"part": N(5), "whole": N(5)}, "holds"),
    ("less_than", {"part": N(5), "whole": N(5)}, "does_not_hold"),
    ("less_than", {"part": N(4), "whole": N(5)}, "holds"),
    ("share", {"percent": N("2.9"), "part": N(8305), "whole": N(289357)}, "holds"),
    ("share", {"percent": N("2.90"), "part": N(8305), "whole": N(289357)}, "does_not_hold"),
    ("share", {"percent": N(82), "whole": N(77)}, "holds"),
    ("share", {"percent": N(50), "whole": N(3)}, "does_not_hold"),
    ("share", {"percent": N(50), "part": N(0), "whole": N(0)}, "cannot_be_checked"),
    ("union", {"whole": N(63), "parts": [N(64), N(58)]}, "does_not_hold"),
    ("union", {"whole": N(65), "parts": [N(64), N(58)]}, "cannot_be_checked"),
    ("union", {"whole": N(123), "parts": [N(64), N(58)]}, "does_not_hold"),
    ("sum", {"whole": N(28), "parts": [N(21), N(27), N(-20)]}, "holds"),
    ("distinct", {"count": N(2), "names": ["a.org", "https://A.org/", "b.org"]}, "holds"),
    (
        "distinct",
        {"count": N(2), "names": ["a.org", "aa.org"], "same_as": {"aa.org": "a.org"}},
        "does_not_hold",
    ),
    ("largest", {"counts": [N(5), N(3)], "whole": N(17), "classes": N(5)}, "holds"),
    ("largest", {"counts": [N(5), N(3)], "whole": N(18), "classes": N(5)}, "does_not_hold"),
    ("largest", {"counts": [N(5), N(3)], "whole": N(7), "classes": N(5)}, "does_not_hold"),
    ("at_most", {"part": N(5), "whole": "many"}, "cannot_be_checked"),
    ("not_checkable", {"why": "Nobody counted."}, "cannot_be_checked"),
    (
        "share",
        {"percent": N("999999999999999.999999"), "whole": N("0.000001"), "part": N(10**15 - 1)},
        "does_not_hold",
    ),
]


def test_a_relation() -> None:
    for relation, values, result in _RELATIONS:
        assert check(relation, values)[0] == result, (relation, values)


# a draft ----------------------------------------------------------------------------------------


_MISTAKES = [
    ("  - id: one\n", "line 7: a claim must have exactly id, where, claim, relation, values"),
    (_claim("sums", "{}"), "line 10: 'sums' is none of sum, equal"),
    (_claim("sum", "{whole: 1}"), "line 11: values of sum must have exactly whole, parts"),
    (_claim("sum", "{whole: 1, whole: 1, parts: [1]}"), "line 11: values of sum must have"),
    (_claim("sum", "{whole: 1, parts: 1}"), "line 11: values must be a list"),
    (_claim("sum", "{whole: &a 1, parts: [*b]}"), "line 11: not YAML: found undefined alias"),
    (_claim("sum", "{whole: 1, parts: [1]}") * 2, "line 12: the id one is there already"),
    (_claim("equal", "{said: 1, found: {report: nothing, sum: x}}"), "a report has no table"),
    (_claim("equal", "{said: 1, found: {report: networks, sum: x}}"), "has no column x"),
    (_claim("equal", "{said: 1, found: {published: ../../x.csv, sum: x}}"), "no CSV"),
    (_claim("equal", "{said: 1, found: [1"), "not YAML"),
]


def test_a_mistake_in_the_file_names_its_line(tmp_path: Path) -> None:
    for text, message in _MISTAKES:
        with pytest.raises(ParameterError, match=r"^CLAIMS=.*draft\.yml: line \d+: ") as error:
            _draft(tmp_path, text)
        assert message in str(error.value)


def test_hostile_statements_are_inert(tmp_path: Path) -> None:
    """Markup, formulas and characters that reorder text, in a statement, a value and a table."""
    evil = "=cmd()<script>alert(1)</script>\u202e"
    (tmp_path / "own.csv").write_text(f'name\n"{evil}{"x" * 9000}"\n1E999999999\n', "utf-8")
    lookup = "{published: own.csv, value: name, where: {name: 1E999999999}}"
    draft = _draft(
        tmp_path,
        _claim("equal", json.dumps({"said": f"{evil}\ud800", "found": evil}), "same", evil),
        _claim("distinct", "{count: 2, names: [{published: own.csv, each: name}]}", "names"),
        _claim("equal", f"{{said: 1, found: {lookup}}}", "huge"),
    )
    audited = write_table(tmp_path, "claims_audit", audit_claims(draft, None))
    assert audited["arithmetic"].str.len().max() < 2_000
    html = "".join(content for _, content in show_audit(draft, audited))
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\n=cmd" not in (tmp_path / "claims_audit.csv").read_text("utf-8").replace(",", "\n")


def test_shipped_drafts_are_read() -> None:
    """Without a report, arithmetic and published counts are enough to find something wrong."""
    for path in DRAFTS.glob("*.yml"):
        assert count_results(audit_claims(load_draft(path), None))["does_not_hold"] > 0, path
    audited = audit_claims(load_draft(DRAFTS / "kh-2024-api.yml"), None)
    results = audited.set_index("claim_id")["result"]
    wrong = ["month-8", "year-2", "isps-1", "category-2", "names-1", "people-1", "imap-2"]
    assert set(results[wrong]) == {"does_not_hold"}
    assert set(results[["month-1", "year-1", "year-3", "blocked-2"]]) == {"holds"}


def test_the_command_writes_a_page_and_its_table(command: Any, tmp_path: Path) -> None:
    """Into OUT; a report that it is held against is as it was."""
    _draft(tmp_path, _claim("sum", "{whole: 3, parts: [1, 1]}"))
    report = _report(tmp_path / "report", {"a.org": "blocked"})
    claims, out = f"CLAIMS={tmp_path / 'draft.yml'}", tmp_path / "out"
    status, printed, _ = command("audit", claims, f"OUT={out}")
    assert (status, printed.splitlines()[0]) == (0, "Does not hold: 1")
    before = contents(report.folder)
    assert command("audit", claims, f"REPORT={report.folder}", f"OUT={out}")[0] == 0
    assert contents(report.folder) == before
    assert contents(out).keys() >= {"index.html", "tables/claims_audit.csv", "run.json"}
    for wrong in ("OUT=x", "CLAIMS=nowhere.yml", "PROBE_CC=KH"):
        assert command("audit", wrong)[0] == 2
    run = json.loads((report.folder / "run.json").read_bytes())
    run["parameters"]["probe_cc"] = "TH"
    (report.folder / "run.json").write_text(json.dumps(run), "utf-8")
    status, _, said = command("audit", claims, f"REPORT={report.folder}")
    assert (status, "is of Thailand, the draft of" in said) == (2, True)


# two reports ------------------------------------------------------------------------------------


def test_a_change_has_the_cause_that_differs(tmp_path: Path) -> None:
    before = _report(tmp_path / "a", {"in.org": "ok", "out.org": "blocked", "same.org": "blocked"})
    states = {"in.org": "likely_blocked", "same.org": "blocked"}
    after = _report(tmp_path / "b", states, input_digest="b")
    changes = compare_reports(before, after)
    assert changes[["kind", "item", "before", "after"]].to_numpy().tolist() == [
        ["site", "in.org", "not listed", "Likely blocked"],
        ["site", "out.org", "Blocked", ""],
        ["site_network", "in.org AS1", "", "Likely blocked"],
        ["site_network", "out.org AS1", "Blocked", ""],
    ]
    assert set(changes["cause"]) == {"data"}
    assert list(write_table(tmp_path, "changes", changes)) == list(TABLES["changes"].columns)


@pytest.mark.parametrize(
    ("run", "causes"),
    [
        ({}, []),
        ({"rules_version": 2}, ["method"]),
        ({"apps_digest": "b"}, ["data"]),
        ({"changed_thresholds": {"floor_sessions": 8}}, ["method"]),
        ({"reference": [{"digest": "c"}]}, ["reference"]),
        ({"input_digest": "b", "code_version": "2"}, ["data", "method"]),
    ],
)
def test_causes_are_read_from_the_runs(
    tmp_path: Path, run: dict[str, Any], causes: list[str]
) -> None:
    before = _report(tmp_path / "a", {"a.org": "blocked"})
    after = _report(tmp_path / "b", {"a.org": "ok"}, **run)
    assert list(find_causes(before, after)) == causes
    assert set(compare_reports(before, after)["cause"]) == {";".join(causes) or "method"}


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("run.json", '"KH"', '"TH"', "is of Thailand, not of Cambodia"),
        ("run.json", '"parameters"', '"findings": {"a": 1}, "parameters"', "not that of a report"),
        ("run.json", '"tables": {', '"tables": {"x.csv": [],', "not that of a report"),
        ("run.json", "{", "[" * 99_999, "not that of a report"),
        ("tables/blocked_sites.csv", ",blocked,", ",\x1b[31m,", "there is no state '"),
        ("tables/blocked_sites.csv", "domain,", "domain,domain,", "blocked_sites.csv is not as"),
        ("tables/verdicts.csv", "session_count", "x", "verdicts.csv is not as the workbook"),
        ("tables/verdicts.csv", "AS1", "AS2", "is not the one that its run.json names"),
        ("tables/verdicts.csv", None, None, "tables/verdicts.csv is missing"),
    ],
)
def test_an_earlier_report_of_anybodys_is_refused(
    command: Any, tmp_path: Path, name: str, old: str | None, new: str, message: str
) -> None:
    """In one sentence: another team has sent it, and somebody may have changed it.

    An earlier version noted no digest of a table.
    """
    is_noted = "its run.json" in message
    report = _report(tmp_path / "a", {"a.org": "blocked"}, **({} if is_noted else {"tables": {}}))
    status, printed, _ = command("compare", str(report.folder), str(report.folder))
    assert (status, printed.count("0 changed")) == (0, 4)
    shutil.copytree(report.folder, tmp_path / "b")
    file = tmp_path / "b" / name
    if old is None:
        file.unlink()
    else:
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")
    status, _, said = command("compare", str(tmp_path / "b"), str(tmp_path / "a"))
    assert (status, said.count("\n"), said.strip().isprintable()) == (2, 1, True)
    assert message in said


# --- Countries side by side: what all tested, for as many tests, in no order but the alphabet. ----

# countries at hand ------------------------------------------------------------------------------


def _country_report(
    folder: Path, code: str, cells: Mapping[tuple[str, str], str], **run: object
) -> Path:
    """A report's tables from ``(site, network) → state``; each cell has ten measurements, in each
    half as in the whole period."""
    states = [(site, asn, state) for (site, asn), state in cells.items()]
    verdicts = [
        {
            "domain": site,
            "probe_asn": asn,
            "period": period,
            "state": state,
            "measurement_count": 10,
            "blocked_count": 10 * (state == "blocked"),
            "mechanism": "dns.sinkhole" if state == "blocked" else "",
        }
        for site, asn, state in states
        for period in ("all", "first", "second")
    ]
    networks = [
        {
            "probe_asn": asn,
            "network": f"Net {asn}",
            "kind": "hosting" if asn == 9 else "isp",
            "measurement_count": 10 * sum(of == asn for _, of, _ in states),
        }
        for asn in sorted({asn for _, asn, _ in states})
    ]
    months = [{"month": "2024-01", "measurement_count": 10 * len(states)}]
    for name, rows in (
        ("verdicts", verdicts),
        ("networks", networks),
        ("measurements_by_month", months),
    ):
        write_table(folder / "tables", name, table_rows(name, *rows))
    parameters = {"probe_cc": code, "since": "2024-01-01", "until": "2024-03-01"}
    record = {"parameters": parameters, "rules_version": 1, "status": "Draft", **run}
    write_run(folder, record | {"tables": list_tables(folder / "tables")})
    return folder


#: Three sites that all tested; one that Malaysia tested too little, one that only it tested.
KH = {
    ("a.org", 1): "blocked",
    ("a.org", 2): "ok",
    ("b.org", 1): "ok",
    ("c.org", 1): "insufficient",
    ("c.org", 2): "blocked",
    ("d.org", 2): "blocked",
    ("b.org", 9): "blocked",  # in a hosting centre
}
MY = {
    ("a.org", 3): "ok",
    ("b.org", 3): "blocked",
    ("c.org", 3): "blocked",
    ("d.org", 3): "insufficient",
    ("e.org", 3): "ok",
}


@pytest.fixture
def reports(tmp_path: Path) -> list[Report]:
    folders = (
        _country_report(tmp_path / "kh" / "x", "KH", KH),
        _country_report(tmp_path / "my" / "x", "MY", MY),
    )
    return [read_report(folder, "REPORT") for folder in folders]


def test_the_same_sites_are_compared(reports: list[Report]) -> None:
    """On access networks; a site that one country tested too little counts in neither."""
    tables = compare_countries(reports)
    counts = {
        "common_domain_count": [3, 3],
        "common_blocked_domain_count": [2, 2],
        "common_pair_count": [4, 3],
        "common_blocked_pair_count": [2, 2],
        "pair_count": [6, 5],
        "own_domain_count": [0, 1],
        "blocked_measurement_share": [0.5, 0.4],
        "blocked_domain_count": [3, 2],
        "network_count": [2, 1],
    }
    countries = tables["side_by_side"].set_index("probe_cc")
    assert countries.loc[["KH", "MY"], list(counts)].to_dict("list") == counts
    listed = tables["side_by_side_sites"]
    sites = listed.set_index(["domain", "probe_cc"])["state"].to_dict()
    assert sites["c.org", "KH"] == sites["c.org", "MY"] == "blocked"
    assert ("e.org", "MY") not in sites
    assert set(listed.loc[~listed["is_common"], "domain"]) == {"d.org"}


def test_the_page_ranks_nobody(reports: list[Report], tmp_path: Path) -> None:
    """The alphabet it is, each country by its name, in whatever order they are given."""
    folders = [report.folder for report in reports]
    page = hold_side_by_side(folders, tmp_path / "side-by-side")
    html = page.read_text(encoding="utf-8")
    assert html.index("Cambodia 2 (66.7 %)") < html.index("Malaysia 2 (66.7 %)")
    before = contents(page.parent)
    hold_side_by_side(folders[::-1], tmp_path / "side-by-side")
    assert contents(page.parent) == before


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"rules_version": 2}, "has another rules_version"),
        ({"changed_thresholds": {"floor_sessions": 6}}, "has another changed_thresholds"),
        (
            {"parameters": {"probe_cc": "MY", "since": "2024-01-01", "until": "2024-02-01"}},
            "is of 2024-01-01--2024-02-01",
        ),
        (
            {"parameters": {"probe_cc": "KH", "since": "2024-01-01", "until": "2024-03-01"}},
            "is a second report of Cambodia",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    reports: list[Report], tmp_path: Path, command: Command, run: Mapping[str, object], message: str
) -> None:
    _country_report(tmp_path / "other", "MY", MY, **run)
    folders = [str(reports[0].folder), str(tmp_path / "other")]
    status, _, said = command("side-by-side", *folders, "--out", str(tmp_path / "out"))
    assert (status, message in said) == (2, True), said
    assert not (tmp_path / "out").exists()
    assert command("side-by-side", folders[0])[0] == 2
