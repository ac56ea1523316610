"""Every column that a table or a page has: what it holds, in which unit, its words and its meaning.

``columns.csv`` has a row for each, by name: a name stands for one thing in all tables. Where it
stands for something else in some tables, a row with these ``tables`` has the other meaning, and the
other type. A column without ``heading`` is headed by its name in words; only columns of published
tables, and of those that a notebook can query, have a ``meaning``. Tables, pages, spreadsheets,
``datapackage.json``, docs/tables.md and docs/codebook.md take it from here.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

#: What a column holds: a text, of which a page shows each sort in its way, or something else.
Text = Literal["text", "sentence", "state", "list", "link", "month"]
Value = Literal[
    "asn", "count", "share", "score", "number", "evidence", "chance", "flag", "date", "time"
]
Kind = Text | Value


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        kind: what it holds.
        unit: what its numbers count or measure; empty of others.
        heading: its words on a page; empty where its name says it.
        meaning: in Markdown.
    """

    kind: Kind
    unit: str
    heading: str
    meaning: str


def _read() -> tuple[dict[str, Column], dict[tuple[str, str], Column]]:
    columns: dict[str, Column] = {}
    others: dict[tuple[str, str], Column] = {}
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name, meaning = row["name"], row["meaning"]
            if row["type"]:
                column = Column(cast("Kind", row["type"]), row["unit"], row["heading"], meaning)
            else:
                column = replace(columns[name], meaning=meaning)
            columns.setdefault(name, column)
            others |= dict.fromkeys(((table, name) for table in row["tables"].split()), column)
    return columns, others


#: Name → what it is in most tables; table and name → what it is in others.
COLUMNS, _OTHERS = _read()


def column_of(table: str, name: str) -> Column:
    """A column of a table."""
    return _OTHERS.get((table, name), COLUMNS[name])
