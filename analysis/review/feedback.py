"""The form on which a meeting decides: a page to print, and the same as a spreadsheet.

Anybody may have sent a sheet that comes back filled in. It is bounded before it is opened, only
text and days are taken from it, and what is wrong is named by its cell.
"""

import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile, ZipFile

import openpyxl
import xlsxwriter
from markupsafe import Markup

from analysis.errors import ParameterError, printable
from analysis.languages.language import ENGLISH, Language, list_translated, open_language
from analysis.pages.formats import link, macros
from analysis.pages.rendering import Appendix, Edition, Section, SetItem
from analysis.pages.spreadsheet import CREATED, INERT, as_text
from analysis.period import Period
from analysis.reference.reference_files import parse_country, read_file
from analysis.reference.withheld import WITHHOLD, load_withheld, parse_withheld, review_path
from analysis.report.first_page import FORM, read_decided, show_decisions, word_first_page
from analysis.review.decisions import (
    PARSERS,
    Basis,
    Decision,
    check_decisions,
    is_finding,
    merge_decisions,
    parse_digest,
    parse_number,
)
from analysis.tables import read_table
from analysis.vocabulary import DECISIONS, STATES

T = TypeVar("T")

#: The file of the sheet, among the tables.
SHEET = "feedback.xlsx"
#: Names of its two sheets: the one that is filled in, and the one about the run.
ITEMS, ABOUT = "feedback", "about"
#: Columns of the sheet in order, each with its width.
COLUMNS = {"item": 26, "claim": 60, "decision": 26, "reason": 50, "role": 24, "date": 13}
#: The first row with an item; the rows above have the title and the headings.
FIRST_ROW = 3
_MORE_ROWS = 200  # that the drop-down reaches below the last item, for other sites
#: Bounds of a sheet, all far above what this workbook writes: bytes as sent, bytes as unpacked,
#: rows; and the rows of any sheet there is.
_MOST_SENT, _MOST_UNPACKED, _MOST_ROWS, _LAST_ROW = 5_000_000, 50_000_000, 5_000, 1_048_576
#: Its elements and attributes, of which each may take 600 bytes. So many rows have 300,000.
_MOST_MARKS = 500_000
_ASKED = ("decision", "reason", "role", "date")


def feedback_page(run: Mapping[str, Any], edition: Edition) -> Appendix:
    """Return the form of a report that is being made, and write its sheet beside the first one.

    Args:
        run: what ``run.json`` will say.
        edition: the language, and where its pages lie.
    """
    page, lang = edition.page, edition.page.lang

    def make(tables: Path, findings: Mapping[str, Any]) -> list[Section]:
        check_decisions(tables)
        worded = word_first_page(tables, findings, lang)["findings"]
        claims = {
            finding["id"]: Markup(f"{finding['claim']} {finding['sites']}").striptags()
            for finding in worded
        }
        items = list_items(tables, claims, lang)
        if not edition.folder:
            write_sheet(
                tables,
                lang.say("Feedback form") + f" · {page.country} · {page.period} · {page.status}",
                items,
                Basis.of_run(run),
                lang,
            )
        opening, *boxes = _show_form(items, lang, edition.up)
        return [opening, *show_decisions(tables, lang), *boxes]

    line = lang.say("For a meeting: tick one decision for each finding and each listed site.")
    return Appendix(SetItem(FORM, lang.say("Feedback form"), line), make)


def list_items(
    tables: Path, findings: Mapping[str, str], lang: Language = ENGLISH
) -> list[dict[str, str]]:
    """List the findings in the order of their ids, then the listed sites by name: a line each, with
    the present decision under the names of ``COLUMNS``.

    Args:
        tables: with ``blocked_site_networks`` and ``decisions``.
        findings: id → claim, in the language.
        lang: of the claims on sites.
    """
    decided = read_decided(tables)
    claims = dict(sorted(findings.items()))
    stretches = read_table(tables, "blocked_site_networks")
    ordered = stretches.sort_values(["state", "blocked_from"])  # blocked before likely blocked
    for site, rows in ordered.groupby("domain"):
        pairs = rows.drop_duplicates("probe_asn")
        phrases = [
            lang.say(
                "{state} on {networks}",
                state=lang.say(STATES[str(state)].words),
                networks=list(of_state["network"]),
            )
            for state, of_state in pairs.groupby("state")
        ]
        first = rows["blocked_from"].min()
        phrases.append(
            lang.say(
                "first seen on {day} on {networks}",
                networks=sorted(rows.loc[rows["blocked_from"] == first, "network"]),
                day=first.date(),
            )
        )
        claims[str(site)] = "; ".join(phrases)
    return [
        {**dict.fromkeys(COLUMNS, ""), "item": item, "claim": claim, **decided.get(item, {})}
        for item, claim in claims.items()
    ]


def _show_form(items: Sequence[Mapping[str, str]], lang: Language, up: str) -> list[Section]:
    """Return the sections of the form for paper: how it is used, then the findings and the sites.

    ``up`` is the way from the page to the top of the report, where the sheet lies.
    """
    form = macros("form.html.j2", lang)
    of_findings = [entry for entry in items if is_finding(entry["item"])]
    of_sites = [entry for entry in items if not is_finding(entry["item"])]
    sections: list[Section] = [("", form.opening(link(f"{up}tables/{SHEET}", SHEET)))]
    if of_findings:
        of_any = {code: words for code, words in DECISIONS.items() if code != WITHHOLD}
        sections.append((lang.heading("Findings"), form.items(of_findings, of_any)))
    if of_sites:
        sections.append((lang.heading("Listed sites"), form.items(of_sites, DECISIONS)))
    return [*sections, (lang.heading("Anything else"), form.others(4))]


def write_sheet(
    tables: Path,
    title: str,
    items: Sequence[Mapping[str, str]],
    basis: Basis,
    lang: Language = ENGLISH,
) -> None:
    """Write ``feedback.xlsx``: a row an item, columns to fill in, and a sheet on the run.

    No text in it is a formula or a link. The same items give the same bytes.

    Raises:
        OSError: it cannot be written.
    """
    made = BytesIO()
    with xlsxwriter.Workbook(made, INERT) as book:
        book.set_properties({"title": title, "created": CREATED})
        _write_items(book, title, items, lang)
        about = book.add_worksheet(ABOUT)
        about.set_column(0, 1, 24)
        cells = {
            "probe_cc": basis.probe_cc,
            "since": str(basis.period.since),
            "until": str(basis.period.until),
            "rules_version": str(basis.rules_version),
            "thresholds": basis.changes,
            "edited": basis.edited,
        }
        for line, pair in enumerate(cells.items()):
            about.write_row(line, 0, map(as_text, pair))
    (tables / SHEET).write_bytes(made.getvalue())


def _write_items(
    book: xlsxwriter.Workbook, title: str, items: Sequence[Mapping[str, str]], lang: Language
) -> None:
    sheet: Any = book.add_worksheet(ITEMS)
    bold = book.add_format({"bold": True, "valign": "top"})
    wrapped = book.add_format({"text_wrap": True, "valign": "top"})
    unlocked = book.add_format(
        {"text_wrap": True, "valign": "top", "bg_color": "#F6F4F0", "num_format": "yyyy-mm-dd"}
    )
    words = {code: lang.say(item) for code, item in DECISIONS.items()}
    for column, width in enumerate(COLUMNS.values()):
        sheet.set_column(column, column, width)
    sheet.write_row(0, 0, [as_text(title)], bold)
    sheet.write_row(1, 0, _headings(lang), bold)
    for line, item in enumerate(items, start=FIRST_ROW - 1):
        sheet.write_row(line, 0, [as_text(item["item"]), as_text(item["claim"])], wrapped)
        answers = [words.get(item["decision"], ""), item["reason"], item["role"]]
        sheet.write_row(line, 2, map(as_text, answers), unlocked)
        sheet.write(line, 5, date.fromisoformat(item["date"]) if item["date"] else None, unlocked)
    first, last = FIRST_ROW - 1, FIRST_ROW + len(items) + _MORE_ROWS
    choice = {"validate": "list", "source": [*words.values()]}
    sheet.data_validation(first, 2, last, 2, choice)
    since = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    day = {"validate": "date", "criteria": ">=", "value": since}
    sheet.data_validation(first, 5, last, 5, day)
    sheet.freeze_panes(2, 1)


def _headings(lang: Language) -> list[str]:
    """Return the headings of ``COLUMNS``."""
    return [
        lang.say("Finding or site"),
        lang.say("What the report says"),
        lang.say("Decision"),
        lang.say("Reason, and other words if it is to be reworded"),
        lang.say("Raised by (a role, no name)"),
        lang.say("Day of the meeting"),
    ]


# The sheet, filled in ----------------------------------------------------------------------------


def review(file: Path, *, dry_run: bool) -> Iterator[str]:
    """Bring a sheet's decisions into ``data/review/<cc>.yml``.

    Args:
        file: the sheet that a report wrote, filled in.
        dry_run: say what would change, and write nothing.

    Returns:
        Lines for a terminal: each decision that is new or changed.

    Raises:
        ParameterError: the sheet or the country's file is wrong; nothing was written.
    """
    brought = read_filled_sheet(file)
    if not brought:
        yield "no decision stands on the sheet; nothing was changed"
        return
    path = review_path(brought[0].basis.probe_cc)
    changes = merge_decisions(path, brought, dry_run=dry_run)
    yield from map(printable, changes)
    done = "would change" if dry_run else "changed"
    same = len(brought) - len(changes)
    yield f"data/review/{path.name}: {len(changes)} {done}, {same} stood there already"


def read_filled_sheet(path: Path) -> list[Decision]:
    """Read the decisions on a sheet; a row whose columns were left empty has none.

    Raises:
        ParameterError: it is no such sheet, or a cell is wrong; names the file and the cell.
    """
    about, rows = _read_cells(path, read_file(path, "FILE", _MOST_SENT))
    basis = _checked(path, f"sheet {ABOUT}", about, _read_basis)
    withheld = load_withheld(basis.probe_cc)
    by_item: dict[str, Decision] = {}
    for line, cells in rows.items():
        cell_names = {name: f"cell {'ABCDEF'[n]}{line}" for n, name in enumerate(COLUMNS)}
        texts = {name: _checked(path, cell_names[name], cells[name], _text) for name in COLUMNS}
        if not any(texts[name] for name in _ASKED):
            continue
        texts["item"] = withheld.restore(texts["item"])
        cells_read = {
            name: _checked(path, cell_names[name], texts[name], parse)
            for name, parse in PARSERS.items()
        }
        if cells_read["decision"] == WITHHOLD:
            _checked(path, cell_names["item"], texts["item"], parse_withheld)
        decision = Decision(**cells_read, basis=basis)
        if decision.item in by_item:
            raise _fault(path, f"{cell_names['item']}: {decision.item} stands in a row above")
        by_item[decision.item] = decision
    return list(by_item.values())


def _read_cells(path: Path, data: bytes) -> tuple[dict[str, str], dict[int, dict[str, Any]]]:
    """Read the run of a sheet, and by line its cells under the names of ``COLUMNS``, for the
    lines below the headings, even if a meeting has moved the columns.
    """
    try:
        with ZipFile(BytesIO(data)) as archive:
            files = archive.infolist()
            if sum(file.file_size for file in files) > _MOST_UNPACKED:
                raise _fault(path, f"unpacks to more than {_MOST_UNPACKED / 1e6:g} MB")
            contents = map(archive.read, files)
            marks = sum(content.count(b"<") + content.count(b"=") for content in contents)
    # No archive, names that are no text, a later version of the format, a part that is damaged.
    except (BadZipFile, ValueError, RuntimeError, EOFError, zlib.error, lzma.LZMAError):
        raise _fault(path, "is no XLSX file") from None
    if marks > _MOST_MARKS:
        raise _fault(path, f"holds more than {_MOST_MARKS:,} elements and attributes")
    headings = [
        [_plain(words) for words in _headings(open_language(code))]
        for code in ("en", *list_translated())
    ]
    rows: dict[int, dict[str, Any]] = {}
    is_below = False
    try:
        book = openpyxl.load_workbook(BytesIO(data), read_only=True, keep_links=False)
        about = {
            _plain(row[0].value): _plain(row[1].value)
            for row in book[ABOUT].iter_rows(max_row=20, max_col=2)
            if len(row) == 2
        }
        cells = book[ITEMS].iter_rows(max_row=_LAST_ROW, max_col=len(COLUMNS))
        for line, row in enumerate(cells, start=1):
            texts = [_plain(cell.value) for cell in row]
            if is_below and any(texts):
                rows[line] = dict(zip(COLUMNS, row, strict=True))
            is_below = is_below or texts in headings
    except Exception:  # noqa: BLE001 - of a broken file the library raises what comes
        raise _fault(
            path, f"cannot be read as a feedback sheet, with the sheets {ITEMS} and {ABOUT}"
        ) from None
    if not is_below:
        named = ", ".join(headings[0])
        raise _fault(path, f"has lost the headings that it was sent with, in their order: {named}")
    if max(rows, default=0) > _MOST_ROWS:
        raise _fault(path, f"has more than {_MOST_ROWS:,} rows")
    return about, rows


def _read_basis(cells: Mapping[str, str]) -> Basis:
    """Read the run that a sheet says it is of."""
    for name in ("probe_cc", "since", "until", "rules_version"):
        if not cells.get(name):
            raise ParameterError(name, "", "must stand on the sheet, as the report wrote it")
    changes = [part.partition("=") for part in cells.get("thresholds", "").split("; ") if part]
    return Basis(
        parse_country(cells["probe_cc"]),
        Period.parse(cells["since"], cells["until"]),
        int(parse_number(cells["rules_version"])),
        tuple(sorted((name, parse_number(value)) for name, _, value in changes)),
        parse_digest(cells.get("edited", "")),
    )


def _text(cell: Any) -> str:
    """Return a cell as text; a day as ISO."""
    if getattr(cell, "data_type", "") == "f":
        raise ParameterError("formula", cell.value, "write its value")
    if isinstance(cell.value, datetime | date):
        return str(cell.value)[:10]
    return _plain(cell.value).removeprefix("'")


def _plain(value: object) -> str:
    """Return a cell's text on one line, without characters that a terminal or a page would obey."""
    words = "" if value is None else str(value)
    text_kept = "".join(
        char if char.isprintable() or char in "\u200b\u200c\u200d" else " "
        for char in words[:40_000]
    )
    return " ".join(text_kept.split())


def _checked(path: Path, place: str, given: Any, parse: Callable[[Any], T]) -> T:
    try:
        return parse(given)
    except ParameterError as error:
        raise _fault(path, f"{place}: {error}") from None


def _fault(path: Path, message: str) -> ParameterError:
    """Return the error of a file that cannot be read, to be raised."""
    return ParameterError("FILE", path, message)
