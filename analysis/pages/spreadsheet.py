"""The annex as a spreadsheet: the same words and marks as the pages, and nothing that runs."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import xlsxwriter

from analysis import vocabulary
from analysis.pages.dictionary import column_meaning
from analysis.pages.headings import heading
from analysis.tables import TABLES, disarm

#: A file that is made twice from the same table is the same to the byte.
CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_WIDEST = 48
_LONGEST = 32_000  # characters; a cell holds 32,767


def write_spreadsheet(
    folder: str | Path,
    name: str,
    frame: pd.DataFrame,
    *,
    title: str,
    sources: Mapping[str, object],
) -> None:
    """Write a contract's table as ``folder/name.xlsx``: dates as dates, texts as texts, the header
    frozen and with a filter; what each column means and what it was made of on two more sheets.

    Args:
        folder: where the tables are.
        name: the table's name, which decides the kind of each column.
        frame: the table as ``tables.read_table`` gives it.
        title: the document's title, also said in its first row.
        sources: what the table rests on: name → version, digest or day.
    """
    kinds = TABLES[name].columns
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(str(Path(folder) / f"{name}.xlsx"), options) as book:
        book.set_properties({"title": title, "created": CREATED})
        bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        sheet = book.add_worksheet(name)
        sheet.write_string(0, 0, title, bold)
        for column, one in enumerate(kinds):
            words_of = heading(one)
            sheet.write_string(1, column, words_of, bold)
            sheet.set_column(column, column, _width(frame[one], words_of))
        write = _Writer(book, sheet)
        for line, row in enumerate(frame[list(kinds)].itertuples(index=False), start=2):
            for column, (one, value) in enumerate(zip(kinds, row, strict=True)):
                write.cell(line, column, "state" if one == "state" else kinds[one], value)
        sheet.freeze_panes(2, 1)
        sheet.autofilter(1, 0, len(frame) + 1, len(kinds) - 1)
        meanings = {heading(one): column_meaning(name, one) for one in kinds}
        _add_pairs(book, bold, "definitions", ("Column", "Meaning"), meanings)
        _add_pairs(book, bold, "provenance", ("Source", "Version, digest or day"), sources)


def _add_pairs(
    book: xlsxwriter.Workbook,
    bold: Any,
    name: str,
    heads: tuple[str, str],
    pairs: Mapping[str, object],
) -> None:
    """A sheet of two columns."""
    sheet = book.add_worksheet(name)
    wrapped = book.add_format({"text_wrap": True, "valign": "top"})
    for column, (head, width) in enumerate(zip(heads, (32, 100), strict=True)):
        sheet.write_string(0, column, head, bold)
        sheet.set_column(column, column, width, wrapped)
    for line, pair in enumerate(pairs.items(), start=1):
        for column, text in enumerate(pair):
            sheet.write_string(line, column, as_text(str(text)))
    sheet.freeze_panes(1, 0)


def as_text(text: str) -> str:
    """A text as a cell may hold it: nothing that a spreadsheet would run, and not too long."""
    return disarm(text)[:_LONGEST]


class _Writer:
    """Writes one cell by its kind; no text becomes a formula, a link or a number."""

    def __init__(self, book: xlsxwriter.Workbook, sheet: Any) -> None:
        self.sheet = sheet
        self.share = book.add_format({"num_format": "0.0 %"})
        self.count = book.add_format({"num_format": "#,##0"})
        self.day = book.add_format({"num_format": "yyyy-mm-dd"})
        self.states = {
            state: book.add_format({"font_color": look.colour})
            for state, look in vocabulary.STATES.items()
            if look.colour
        }

    def cell(self, line: int, column: int, kind: str, value: Any) -> None:
        if kind in ("count", "share"):
            if not pd.isna(value):
                style = self.share if kind == "share" else self.count
                self.sheet.write_number(line, column, float(value), style)
        elif kind == "date" and value:
            day = date.fromisoformat(value)
            self.sheet.write_datetime(
                line, column, datetime(day.year, day.month, day.day), self.day
            )
        elif kind == "flag":
            self.sheet.write_string(line, column, "yes" if value else "no")
        elif kind == "state":
            look = vocabulary.STATES[value]
            text = f"{look.mark} {look.words}".strip()
            self.sheet.write_string(line, column, text, self.states.get(value))
        else:
            self.sheet.write_string(line, column, as_text(str(value)))


def _width(column: pd.Series, heading: str) -> int:
    longest = max((len(str(value)) for value in column), default=0)
    return min(_WIDEST, max(10, longest + 2, min(len(heading), 16)))
