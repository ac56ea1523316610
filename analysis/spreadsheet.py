"""The annex as a spreadsheet: the same words and marks as the pages, and nothing that runs."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import xlsxwriter

from analysis import words
from analysis.tables import TABLES, disarm

#: A file that is made twice from the same table is the same to the byte.
_CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_WIDEST = 48


def write_spreadsheet(path: str | Path, name: str, frame: pd.DataFrame, *, title: str) -> None:
    """Write a contract's table as ``.xlsx``: one sheet, header row frozen, texts as texts.

    Args:
        path: the file.
        name: the table's name, which decides the kind of each column.
        frame: the table as ``tables.read_table`` gives it.
        title: the document's title, also said in its first row.
    """
    kinds = TABLES[name].columns
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(str(path), options) as book:
        book.set_properties({"title": title, "created": _CREATED})
        bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        formats = {state: book.add_format({"font_color": look.colour}) for state, look in words.STATES.items() if look.colour}  # fmt: skip
        share = book.add_format({"num_format": "0.0 %"})
        sheet = book.add_worksheet(name)
        sheet.write_string(0, 0, title, bold)
        for column, heading in enumerate(kinds):
            sheet.write_string(1, column, words.heading(heading), bold)
            sheet.set_column(column, column, _width(frame[heading], words.heading(heading)))
        for line, row in enumerate(frame[list(kinds)].itertuples(index=False), start=2):
            for column, (heading, value) in enumerate(zip(kinds, row, strict=True)):
                if kinds[heading] in ("count", "share"):
                    if not pd.isna(value):
                        sheet.write_number(line, column, float(value), share if kinds[heading] == "share" else None)
                elif kinds[heading] == "flag":
                    sheet.write_string(line, column, "yes" if value else "no")
                elif heading == "state":
                    look = words.STATES[value]
                    sheet.write_string(line, column, f"{look.mark} {look.words}", formats.get(value))
                else:
                    sheet.write_string(line, column, disarm(str(value))[:32000])
        sheet.freeze_panes(2, 1)
        sheet.autofilter(1, 0, len(frame) + 1, len(kinds) - 1)


def _width(column: pd.Series, heading: str) -> int:
    longest = max((len(str(value)) for value in column), default=0)
    return min(_WIDEST, max(10, longest + 2, min(len(heading), 16)))
