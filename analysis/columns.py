"""Every column of a table or a page: its type, unit, heading and meaning.

``columns.csv`` has a row for each name, which means the same in all tables. If it means something
else in some tables, a second row names these ``tables`` and has the other meaning or type. Without
a ``heading``, the heading is the name in words. Only columns of published tables, and of tables
that a notebook can query, have a ``meaning``. Tables, pages, spreadsheets, ``datapackage.json``,
docs/tables.md and docs/codebook.md use this list.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

#: Types of columns. A page shows each kind of text differently.
Text = Literal["text", "sentence", "state", "list", "link", "month"]
Value = Literal[
    "asn", "count", "share", "score", "number", "evidence", "chance", "flag", "date", "time"
]
Kind = Text | Value


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        kind: its type.
        unit: what its numbers count or measure; empty for other types.
        heading: on a page; empty if it is the name in words.
        meaning: in Markdown.
    """

    kind: Kind
    unit: str
    heading: str
    meaning: str


def _read() -> tuple[dict[str, Column], dict[tuple[str, str], Column]]:
    columns: dict[str, Column] = {}
    exceptions: dict[tuple[str, str], Column] = {}
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name, meaning = row["name"], row["meaning"]
            if row["type"]:
                column = Column(cast("Kind", row["type"]), row["unit"], row["heading"], meaning)
            else:
                column = replace(columns[name], meaning=meaning)
            columns.setdefault(name, column)
            exceptions |= dict.fromkeys(((table, name) for table in row["tables"].split()), column)
    return columns, exceptions


#: Name → the column in most tables; table and name → the column in that table.
COLUMNS, _EXCEPTIONS = _read()


def column_of(table: str, name: str) -> Column:
    """Return a column of a table."""
    return _EXCEPTIONS.get((table, name), COLUMNS[name])
