"""A feedback sheet that somebody filled in → decisions.

Anybody may have sent it. It is bounded before it is opened, only text and days are taken from it,
and what is wrong is named by its cell.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile, ZipFile

import openpyxl

from analysis.errors import ParameterError
from analysis.languages.language import open_language
from analysis.languages.translations import list_translated
from analysis.period import parse_date
from analysis.reference.countries import parse_country
from analysis.reference.reference_files import read_file
from analysis.review.basis import Basis
from analysis.review.decisions import (
    LONGEST_REASON,
    Decision,
    parse_decision,
    parse_item,
    parse_role,
)
from analysis.review.feedback import ABOUT, COLUMNS, heading
from analysis.vocabulary import DECISIONS

T = TypeVar("T")

#: Bounds of a sheet, all far above what this workbook writes: bytes as sent, bytes as unpacked,
#: files in it, rows.
_MOST_SENT, _MOST_UNPACKED, _MOST_FILES, _MOST_ROWS = 5_000_000, 50_000_000, 100, 5_000
#: What a sheet of text has no use for, by what the names of its files hold.
_ACTIVE = {"vbaproject": "macros", "externallink": "links to other files", "embeddings": "objects"}
_LETTERS = "ABCDEF"
#: So many rows may stand above the headings; some may have been put there, or taken away.
_MOST_ABOVE = 20
_ASKED = range(2, 6)  # the columns to fill in


def read_filled_sheet(path: Path) -> list[Decision]:
    """The decisions on a sheet; a row whose columns were left empty holds none.

    Raises:
        ParameterError: it is no such sheet, holds what is no text, or a cell is wrong; names the
            file and the cell.
    """
    reader = _SheetReader(path)
    data = read_file(path, "FILE", _MOST_SENT)
    reader.check_archive(data)
    return reader.decisions(*reader.cells(data))


Cells = list[tuple[int, Sequence[Any]]]


class _SheetReader:
    """Reads one sheet, or says what in it is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        languages = [open_language(code) for code in ("en", *list_translated())]
        self.codes = {
            lang.say(words).casefold(): name
            for lang in languages
            for name, words in DECISIONS.items()
        }
        self.headings = [[_plain(heading(name, lang)) for name in COLUMNS] for lang in languages]

    def fault(self, message: str) -> ParameterError:
        """What is wrong with the file, to be raised."""
        return ParameterError("FILE", self.path, message)

    def check_archive(self, data: bytes) -> None:
        """Refuse what would unpack to too much, and what is no sheet of text."""
        try:
            with ZipFile(BytesIO(data)) as archive:
                files = archive.infolist()
        # No archive, names that are no text, or one of a later version of the format.
        except (BadZipFile, ValueError, NotImplementedError):
            raise self.fault("is no XLSX file") from None
        if len(files) > _MOST_FILES or sum(file.file_size for file in files) > _MOST_UNPACKED:
            raise self.fault(
                f"unpacks to more than {_MOST_UNPACKED / 1e6:g} MB or {_MOST_FILES} files"
            )
        for file in files:
            for mark, what in _ACTIVE.items():
                if mark in file.filename.casefold():
                    raise self.fault(
                        f"holds {what} ({file.filename[:60]}); save it as a plain XLSX file"
                    )

    def cells(self, data: bytes) -> tuple[dict[str, str], Cells]:
        """What the sheet says of its run, and its rows, each with its number."""
        try:
            book = openpyxl.load_workbook(BytesIO(data), read_only=True, keep_links=False)
            about = {
                _plain(row[0].value): _plain(row[1].value)
                for row in book[ABOUT].iter_rows(max_row=20, max_col=2)
                if len(row) == 2
            }
            tables = [
                self.rows_below_headings(one) for one in book.worksheets if one.title != ABOUT
            ]
        except Exception:  # noqa: BLE001 - of a broken file the library raises what comes
            raise self.fault(
                f"cannot be read as a feedback sheet, with the sheets feedback and {ABOUT}"
            ) from None
        found = [rows for rows in tables if rows is not None]
        if len(found) != 1:
            raise self.fault(
                "one sheet with the headings that it was sent with, in their order, is accepted: "
                f"{', '.join(self.headings[0])}"
            )
        rows = [(line, row) for line, row in found[0] if any(_plain(cell.value) for cell in row)]
        if rows and rows[-1][0] > _MOST_ROWS:
            raise self.fault(f"has more than {_MOST_ROWS:,} rows")
        return about, rows

    def rows_below_headings(self, sheet: Any) -> Cells | None:
        """The rows of a sheet that stand below the headings, each with its number, if these do."""
        area = {"max_row": _MOST_ROWS + _MOST_ABOVE, "max_col": len(COLUMNS)}
        rows = list(enumerate(sheet.iter_rows(**area), start=1))
        for place, (_, row) in enumerate(rows[:_MOST_ABOVE]):
            if [_plain(cell.value) for cell in row] in self.headings:
                return rows[place + 1 :]
        return None

    def decisions(self, about: dict[str, str], rows: Cells) -> list[Decision]:
        try:
            basis = Basis.from_cells(about)
            parse_country(basis.probe_cc)
        except ParameterError as error:
            raise self.fault(f"sheet {ABOUT}: {error}") from None
        found: dict[str, Decision] = {}
        for line, row in rows:
            texts = [self.text(line, column, row) for column in range(len(COLUMNS))]
            if not any(texts[column] for column in _ASKED):
                continue
            one = self.decision(line, texts, basis)
            if one.item in found:
                raise self.fault(f"cell A{line}: {one.item} stands in a row above")
            found[one.item] = one
        return list(found.values())

    def decision(self, line: int, texts: Sequence[str], basis: Basis) -> Decision:
        item, _, decision, reason, role, day = texts
        return Decision(
            item=self.checked(line, 0, item, parse_item),
            decision=self.checked(line, 2, decision, self.code),
            reason=self.checked(line, 3, reason, _reason),
            date=self.checked(line, 5, day, lambda text: str(parse_date("date", text))),
            role=self.checked(line, 4, role, parse_role),
            basis=basis,
        )

    def code(self, text: str) -> str:
        """A decision, in the words of any language."""
        return self.codes.get(text.casefold()) or parse_decision(text)

    def text(self, line: int, column: int, row: Sequence[Any]) -> str:
        """A cell as text; a day as ISO."""
        cell = row[column] if column < len(row) else None
        value = getattr(cell, "value", None)
        if getattr(cell, "data_type", "") == "f":
            raise self.fault(f"cell {_LETTERS[column]}{line}: is a formula; write its value")
        if column == len(COLUMNS) - 1 and isinstance(value, datetime | date):
            return str(value.date() if isinstance(value, datetime) else value)
        return _plain(value).removeprefix("'")

    def checked(self, line: int, column: int, text: str, parse: Callable[[str], T]) -> T:
        try:
            return parse(text)
        except ParameterError as error:
            raise self.fault(f"cell {_LETTERS[column]}{line}: {error}") from None


def _plain(value: object) -> str:
    """A cell's text on one line, without what a terminal or a page would obey."""
    words = "" if value is None else str(value)
    kept = "".join(char if char.isprintable() or char in "\u200b\u200c\u200d" else " "
                   for char in words[:40_000])  # fmt: skip
    return " ".join(kept.split())


def _reason(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_REASON:
        raise ParameterError(
            "reason", text[:60], f"a sentence of at most {LONGEST_REASON} characters is accepted"
        )
    return text
