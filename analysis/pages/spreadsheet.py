"""The annex as a spreadsheet: the same words and marks as the pages, and nothing that runs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.columns import Kind
from analysis.pages.dictionary import column_meaning
from analysis.pages.headings import heading
from analysis.period import day_of
from analysis.tables import TABLES, disarm, tell_cells
from analysis.vocabulary import STATES

#: A file that is made twice from the same table is the same to the byte.
CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
#: No text in a book becomes a formula, a link or a number. It is made in memory and written in one
#: go: the library's own error about a full disk is no OSError.
INERT = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "in_memory": True,
}
_FORMATS: Mapping[Kind, str] = {
    "share": "0.0 %",
    "score": "0.0000",
    "count": "#,##0",
    "number": "General",
    "evidence": "0.0",
    "chance": "0.0E-00",
    "date": "yyyy-mm-dd",
    "time": 'yyyy-mm-dd"T"hh:mm:ss',
}
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

    Raises:
        OSError: it cannot be written.
    """
    kinds = TABLES[name].columns
    words = {column: heading(column) for column in kinds}
    shown = pd.DataFrame(
        {words[column]: _values(frame[column], column, kind) for column, kind in kinds.items()}
    )
    meanings = [(words[column], column_meaning(name, column)) for column in kinds]
    made_of = [(as_text(source), as_text(str(value))) for source, value in sources.items()]
    made = BytesIO()
    with pd.ExcelWriter(
        made,
        engine="xlsxwriter",
        date_format=_FORMATS["date"],
        datetime_format=_FORMATS["time"],
        engine_kwargs={"options": INERT},
    ) as writer:
        book: Any = writer.book
        book.set_properties({"title": title, "created": CREATED})
        shown.to_excel(writer, sheet_name=name, startrow=1, index=False, freeze_panes=(2, 1))
        sheet: Any = writer.sheets[name]
        sheet.write_string(0, 0, title, book.add_format({"bold": True}))
        for place, (column, kind) in enumerate(kinds.items()):
            width = max([10, *(len(str(value)) + 2 for value in shown[words[column]])])
            look = book.add_format({"num_format": _FORMATS.get(kind, "@")})
            sheet.set_column(place, place, min(width, _WIDEST), look)
        sheet.autofilter(1, 0, len(shown) + 1, len(kinds) - 1)
        for other, heads, rows in (
            ("definitions", ["Column", "Meaning"], meanings),
            ("provenance", ["Source", "Version, digest or day"], made_of),
        ):
            pairs = pd.DataFrame(rows, columns=heads)
            pairs.to_excel(writer, sheet_name=other, index=False, freeze_panes=(1, 0))
            beside: Any = writer.sheets[other]
            beside.set_column(0, 1, 60, book.add_format({"text_wrap": True}))
    (Path(folder) / f"{name}.xlsx").write_bytes(made.getvalue())


def as_text(text: str) -> str:
    """A text as a cell may hold it: nothing that a spreadsheet would run, and not too long."""
    return disarm(text)[:_LONGEST]


def _values(values: pd.Series, column: str, kind: Kind) -> list[object]:
    """A column as a reader sees it: numbers and days as such, all else as text."""
    if kind == "date":
        return list(map(day_of, values))
    if kind in _FORMATS:
        return list(values)
    words: dict[Any, str] = {True: "yes", False: "no"} if kind == "flag" else {}
    if column == "state":
        words = {code: f"{one.mark} {one.words}".strip() for code, one in STATES.items()}
    return [
        (words.get(value) or text)[:_LONGEST]
        for value, text in zip(values, tell_cells(values, kind), strict=True)
    ]
