"""A feedback sheet that somebody filled in → decisions.

Anybody may have sent it. It is bounded before it is opened, only text and days are taken from it,
and what is wrong is named by its cell.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile, ZipFile

import openpyxl

from analysis.errors import ParameterError
from analysis.languages.language import open_language
from analysis.languages.translations import list_translated
from analysis.period import Period
from analysis.reference.countries import parse_country
from analysis.reference.reference_files import read_file
from analysis.review.decisions import PARSERS, Basis, Decision, parse_number
from analysis.review.feedback import ABOUT, COLUMNS, heading

T = TypeVar("T")

#: Bounds of a sheet, all far above what this workbook writes: bytes as sent, bytes as unpacked,
#: rows; and the rows of any sheet there is.
_MOST_SENT, _MOST_UNPACKED, _MOST_ROWS, _LAST_ROW = 5_000_000, 50_000_000, 5_000, 1_048_576
#: So many rows may stand above the headings; some may have been put there, or taken away.
_MOST_ABOVE = 20
_ASKED = ("decision", "reason", "role", "date")
#: A line of the sheet, and its cells by the names of ``COLUMNS``.
_Row = tuple[int, Mapping[str, Any]]


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
