"""What a meeting writes its objections on: a spreadsheet, and the same as a form for paper.

Anybody may have sent a sheet that comes back filled in. It is bounded before it is opened, only
text and days are taken from it, and what is wrong is named by its cell.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile, ZipFile

import openpyxl
import xlsxwriter
from markupsafe import Markup

from analysis.errors import ParameterError
from analysis.languages.language import ENGLISH, Language, open_language
from analysis.languages.translations import list_translated
from analysis.pages.formats import link
from analysis.pages.markup import macros
from analysis.pages.spreadsheet import CREATED, as_text
from analysis.period import Period
from analysis.reference.countries import parse_country
from analysis.reference.reference_files import read_file
from analysis.report.decided import read_decided
from analysis.review.decisions import PARSERS, Basis, Decision, is_finding, parse_number
from analysis.tables import read_table
from analysis.vocabulary import DECISIONS, STATES

T = TypeVar("T")

#: Lies among the tables.
SHEET = "feedback.xlsx"
#: Columns of the sheet in order, each with its width; what an item has, by name.
COLUMNS = {"item": 26, "claim": 60, "decision": 14, "reason": 50, "role": 24, "date": 13}
#: The first row of the sheet that holds an item; above it stand the title and the headings.
FIRST_ROW = 3
#: The other sheet, which says of what run this one is.
ABOUT = "about"
_MORE_ROWS = 200  # that the drop-down reaches below the last item, for other sites
#: Bounds of a sheet, all far above what this workbook writes: bytes as sent, bytes as unpacked,
#: rows; and the rows of any sheet there is.
_MOST_SENT, _MOST_UNPACKED, _MOST_ROWS, _LAST_ROW = 5_000_000, 50_000_000, 5_000, 1_048_576
#: So many rows may stand above the headings; some may have been put there, or taken away.
_MOST_ABOVE = 20
_ASKED = ("decision", "reason", "role", "date")
#: A line of the sheet, and its cells by the names of ``COLUMNS``.
_Row = tuple[int, Mapping[str, Any]]


# The form and the sheet, as a report has them -----------------------------------------------------


def feedback_title(lang: Language) -> str:
    """The title of the form."""
    return lang.say("Feedback form")


def list_items(
    tables: Path, findings: Mapping[str, str], lang: Language = ENGLISH
) -> list[dict[str, str]]:
    """The findings in the order of their ids, then the listed sites by name: a line to decide on
    each, with what stands decided of it under the names of ``COLUMNS``.

    Args:
        tables: with ``blocked_sites`` and ``decisions``.
        findings: id → claim, in the language.
        lang: of the claims on sites.
    """
    decided = read_decided(tables)
    claims = dict(sorted(findings.items()))
    for row in read_table(tables, "blocked_sites").itertuples(index=False):
        claims[str(row.domain)] = _site_claim(row, lang)
    return [
        {**dict.fromkeys(COLUMNS, ""), "item": item, "claim": claim, **decided.get(item, {})}
        for item, claim in claims.items()
    ]


def write_sheet(
    tables: Path,
    title: str,
    items: Sequence[Mapping[str, str]],
    basis: Basis,
    lang: Language = ENGLISH,
) -> None:
    """Write ``feedback.xlsx``: a row an item, columns to fill in, and a sheet on the run.

    No text in it is a formula or a link. The same items give the same bytes.
    """
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(str(tables / SHEET), options) as book:
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
        }
        for line, pair in enumerate(cells.items()):
            about.write_row(line, 0, map(as_text, pair))


def show_form(
    items: Sequence[Mapping[str, str]], lang: Language = ENGLISH, up: str = ""
) -> list[tuple[str, Markup]]:
    """The sections of the form for paper: how it is used, then the findings and the sites.

    ``up`` is the way from the page to the top of the report, where the sheet lies.
    """
    form = macros("form.html.j2", lang)
    sections = [("", Markup(form.opening(link(f"{up}tables/{SHEET}", SHEET))))]
    for heading, of_findings in (
        (lang.heading("Findings"), True),
        (lang.heading("Listed sites"), False),
    ):
        part = [one for one in items if is_finding(one["item"]) == of_findings]
        if part:
            sections.append((heading, Markup(form.items(part, DECISIONS))))
    return [*sections, (lang.heading("Anything else"), Markup(form.others(4)))]


def _site_claim(row: Any, lang: Language) -> str:
    state = lang.say(STATES[str(row.state)].words)
    count = len(str(row.probe_asns).split(";"))
    return lang.say_plural(
        "{state} on {n} access network; first seen so on {day}",
        "{state} on {n} access networks; first seen so on {day}",
        count, state=state, day=date.fromisoformat(str(row.blocked_from)),
    )  # fmt: skip


def _write_items(
    book: xlsxwriter.Workbook, title: str, items: Sequence[Mapping[str, str]], lang: Language
) -> None:
    sheet: Any = book.add_worksheet("feedback")
    bold = book.add_format({"bold": True, "valign": "top"})
    given = book.add_format({"text_wrap": True, "valign": "top"})
    asked = book.add_format(
        {"text_wrap": True, "valign": "top", "bg_color": "#F6F4F0", "num_format": "yyyy-mm-dd"}
    )
    words = {"": "", **{code: lang.say(one) for code, one in DECISIONS.items()}}
    for column, width in enumerate(COLUMNS.values()):
        sheet.set_column(column, column, width)
    sheet.write_row(0, 0, [as_text(title)], bold)
    sheet.write_row(1, 0, [heading(name, lang) for name in COLUMNS], bold)
    for line, one in enumerate(items, start=FIRST_ROW - 1):
        sheet.write_row(line, 0, [as_text(one["item"]), as_text(one["claim"])], given)
        answers = [words[one["decision"]], one["reason"], one["role"]]
        sheet.write_row(line, 2, map(as_text, answers), asked)
        sheet.write(line, 5, date.fromisoformat(one["date"]) if one["date"] else None, asked)
    first, last = FIRST_ROW - 1, FIRST_ROW + len(items) + _MORE_ROWS
    choice = {"validate": "list", "source": [lang.say(one) for one in DECISIONS.values()]}
    sheet.data_validation(first, 2, last, 2, choice)
    since = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    day = {"validate": "date", "criteria": ">=", "value": since}
    sheet.data_validation(first, 5, last, 5, day)
    sheet.freeze_panes(2, 1)


def heading(name: str, lang: Language) -> str:
    """What heads one of ``COLUMNS``."""
    return {
        "item": lang.say("Finding or site"),
        "claim": lang.say("What the report says"),
        "decision": lang.say("Decision"),
        "reason": lang.say("Reason, and other words if it is to be reworded"),
        "role": lang.say("Raised by (a role, no name)"),
        "date": lang.say("Day of the meeting"),
    }[name]


# The sheet, filled in ----------------------------------------------------------------------------


def read_filled_sheet(path: Path) -> list[Decision]:
    """The decisions on a sheet; a row whose columns were left empty holds none.

    Raises:
        ParameterError: it is no such sheet, or a cell is wrong; names the file and the cell.
    """
    about, rows = _read_cells(path, read_file(path, "FILE", _MOST_SENT))
    basis = _checked(path, f"sheet {ABOUT}", about, _read_basis)
    found: dict[str, Decision] = {}
    for line, cells in rows:
        texts = {name: _text(path, f"cell {_place(name, line)}", cells[name]) for name in cells}
        if not any(texts[name] for name in _ASKED):
            continue
        told = {
            name: _checked(path, f"cell {_place(name, line)}", texts[name], parse)
            for name, parse in PARSERS.items()
        }
        one = Decision(**told, basis=basis)
        if one.item in found:
            raise _fault(path, f"cell A{line}: {one.item} stands in a row above")
        found[one.item] = one
    return list(found.values())


def _read_cells(path: Path, data: bytes) -> tuple[dict[str, str], list[_Row]]:
    """What the sheet says of its run, and its rows that are not empty."""
    try:
        with ZipFile(BytesIO(data)) as archive:
            size = sum(file.file_size for file in archive.infolist())
    # No archive, names that are no text, or one of a later version of the format.
    except (BadZipFile, ValueError, NotImplementedError):
        raise _fault(path, "is no XLSX file") from None
    if size > _MOST_UNPACKED:
        raise _fault(path, f"unpacks to more than {_MOST_UNPACKED / 1e6:g} MB")
    headings = [
        [_plain(heading(name, lang)) for name in COLUMNS]
        for lang in map(open_language, ("en", *list_translated()))
    ]
    try:
        book = openpyxl.load_workbook(BytesIO(data), read_only=True, keep_links=False)
        about = {
            _plain(row[0].value): _plain(row[1].value)
            for row in book[ABOUT].iter_rows(max_row=20, max_col=2)
            if len(row) == 2
        }
        tables = [_rows(one, headings) for one in book.worksheets if one.title != ABOUT]
    except Exception:  # noqa: BLE001 - of a broken file the library raises what comes
        accepted = f"cannot be read as a feedback sheet, with the sheets feedback and {ABOUT}"
        raise _fault(path, accepted) from None
    found = [rows for rows in tables if rows is not None]
    if len(found) != 1:
        raise _fault(
            path, "one sheet with the headings that it was sent with, in their order, is accepted: "
            f"{', '.join(headings[0])}"
        )  # fmt: skip
    if found[0] and found[0][-1][0] > _MOST_ROWS:
        raise _fault(path, f"has more than {_MOST_ROWS:,} rows")
    return about, found[0]


def _rows(sheet: Any, headings: Sequence[Sequence[str]]) -> list[_Row] | None:
    """The rows below the headings of a sheet, without empty ones; None where it has no headings."""
    found: list[_Row] | None = None
    for line, row in enumerate(sheet.iter_rows(max_row=_LAST_ROW, max_col=len(COLUMNS)), start=1):
        texts = [_plain(cell.value) for cell in row]
        if found is None and line <= _MOST_ABOVE and texts in headings:
            found = []
        elif found is not None and any(texts):
            found.append((line, dict(zip(COLUMNS, row, strict=True))))
    return found


def _read_basis(cells: Mapping[str, str]) -> Basis:
    """The run that a sheet says it is of."""
    for name in ("probe_cc", "since", "until", "rules_version"):
        if not cells.get(name):
            raise ParameterError(name, "", "must stand on the sheet, as the report wrote it")
    changes = [part.partition("=") for part in cells.get("thresholds", "").split("; ") if part]
    return Basis(
        parse_country(cells["probe_cc"]),
        Period.parse(cells["since"], cells["until"]),
        int(parse_number(cells["rules_version"])),
        tuple(sorted((name, parse_number(value)) for name, _, value in changes)),
    )


def _text(path: Path, place: str, cell: Any) -> str:
    """A cell as text; a day as ISO."""
    if getattr(cell, "data_type", "") == "f":
        raise _fault(path, f"{place}: is a formula; write its value")
    if isinstance(cell.value, datetime | date):
        return str(cell.value)[:10]
    return _plain(cell.value).removeprefix("'")


def _plain(value: object) -> str:
    """A cell's text on one line, without what a terminal or a page would obey."""
    words = "" if value is None else str(value)
    kept = "".join(char if char.isprintable() or char in "\u200b\u200c\u200d" else " "
                   for char in words[:40_000])  # fmt: skip
    return " ".join(kept.split())


def _place(name: str, line: int) -> str:
    """A cell as a spreadsheet calls it."""
    return f"{'ABCDEF'[list(COLUMNS).index(name)]}{line}"


def _checked(path: Path, place: str, given: Any, parse: Callable[[Any], T]) -> T:
    try:
        return parse(given)
    except ParameterError as error:
        raise _fault(path, f"{place}: {error}") from None


def _fault(path: Path, message: str) -> ParameterError:
    """What is wrong with the file, to be raised."""
    return ParameterError("FILE", path, message)
