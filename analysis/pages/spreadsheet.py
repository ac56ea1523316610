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

#: A fixed date, so that the same table gives the same bytes.
CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
#: Options by which no text becomes a formula, a link or a number. The file is made in memory,
#: because the library's error about a full disk is no OSError.
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
    """Write a table of the contract as ``folder/name.xlsx``.

    Dates are dates, texts are texts, the header is frozen and has a filter. Two more sheets have
    the meaning of each column and the sources.

    Args:
        folder: the folder of the tables.
        name: the table's name, which decides the kind of each column.
        frame: the table as ``tables.read_table`` gives it.
        title: the document's title, also said in its first row.
        sources: sources of the table: name → version, digest or day.

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
        for index, (column, kind) in enumerate(kinds.items()):
            width = max([10, *(len(str(value)) + 2 for value in shown[words[column]])])
            look = book.add_format({"num_format": _FORMATS.get(kind, "@")})
            sheet.set_column(index, index, min(width, _WIDEST), look)
        sheet.autofilter(1, 0, len(shown) + 1, len(kinds) - 1)
        for extra, heads, rows in (
            ("definitions", ["Column", "Meaning"], meanings),
            ("provenance", ["Source", "Version, digest or day"], made_of),
        ):
            pairs = pd.DataFrame(rows, columns=heads)
            pairs.to_excel(writer, sheet_name=extra, index=False, freeze_panes=(1, 0))
            beside: Any = writer.sheets[extra]
            beside.set_column(0, 1, 60, book.add_format({"text_wrap": True}))
    (Path(folder) / f"{name}.xlsx").write_bytes(made.getvalue())


def as_text(text: str) -> str:
    """Return a text that a spreadsheet does not run as a formula, cut to the longest cell."""
    return disarm(text)[:_LONGEST]


def _values(values: pd.Series, column: str, kind: Kind) -> list[object]:
    """Return the cells of a column: numbers and days as such, all others as text."""
    if kind == "date":
        return list(map(day_of, values))
    if kind in _FORMATS:
        return list(values)
    words: dict[Any, str] = {True: "yes", False: "no"} if kind == "flag" else {}
    if column == "state":
        words = {code: f"{state.mark} {state.words}".strip() for code, state in STATES.items()}
    return [
        (words.get(value) or text)[:_LONGEST]
        for value, text in zip(values, tell_cells(values, kind), strict=True)
    ]
