"""Where a number stands: a cell, a sum or a count in a published table or in a report's."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.reference.reference_files import REFERENCE, read_csv, read_file
from analysis.tables import TABLES, read_table

Value = Decimal | str
#: Bounded, since somebody else may have written it.
NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?", re.ASCII)
#: What is taken of the rows: one cell, every cell, their sum, how many different ones.
TAKES = ("value", "each", "sum", "count")


class NotThereError(Exception):
    """What a claim is to be held against is not at hand; says why."""


@dataclass(frozen=True)
class Lookup:
    """A place in a table.

    Attributes:
        kind: ``published`` (a CSV beside the claims or in ``data/reference``) or ``report``.
        table: the file's path there, or the name of a report's table.
        take: one of ``TAKES``.
        column: of which it is taken.
        where: column → the cells that a row must have one of.
    """

    kind: str
    table: str
    take: str
    column: str
    where: Mapping[str, tuple[str, ...]]

    @property
    def place(self) -> str:
        """The table, in words."""
        return f"the report's {self.table}" if self.kind == "report" else self.table


@dataclass(frozen=True)
class Report:
    """A report's folder, and what its ``run.json`` says."""

    folder: Path
    run: Mapping[str, Any]

    @property
    def tables(self) -> Path:
        """The folder of its tables."""
        return self.folder / "tables"

    @property
    def digest(self) -> str:
        """SHA-256 of its ``run.json``, which holds the digests of its tables."""
        return hashlib.sha256((self.folder / "run.json").read_bytes()).hexdigest()

    @property
    def probe_cc(self) -> str:
        """The country's code."""
        return str(self.run["parameters"]["probe_cc"])

    @property
    def period(self) -> Period:
        """The whole period."""
        return Period.parse(self.run["parameters"]["since"], self.run["parameters"]["until"])


class _Finding(msgspec.Struct):
    value: Any


class _Record(msgspec.Struct):
    """What must hold of a ``run.json``, which somebody else may have sent."""

    parameters: dict[str, Any]
    findings: dict[str, _Finding] = {}
    finding_claims: dict[str, str] = {}


def read_report(folder: Path, parameter: str) -> Report:
    """A report by its folder.

    Args:
        folder: holds ``run.json`` and ``tables``.
        parameter: the one that named the folder, for the error.

    Raises:
        ParameterError: it holds no report.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise ParameterError(parameter, folder, "holds no report (no run.json); make one first")
    content = read_file(path, parameter)
    try:
        msgspec.json.decode(content, type=_Record)
        report = Report(folder, json.loads(content))
        _ = (report.probe_cc, report.period)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError, ParameterError):
        raise ParameterError(parameter, folder, "its run.json is not that of a report") from None
    return report


def check_lookup(lookup: Lookup, folder: Path) -> None:
    """Refuse a place that no table has.

    Raises:
        ValueError: there is no such table or column; says which there are.
    """
    if lookup.kind == "published":
        columns = set(_published(lookup, folder))
    elif lookup.table in TABLES:
        columns = set(TABLES[lookup.table].columns)
    else:
        raise ValueError(f"a report has no table {lookup.table[:80]!r}")
    unknown = {lookup.column, *lookup.where} - columns
    if unknown:
        raise ValueError(f"{lookup.table} has no column {', '.join(sorted(unknown))[:80]}")


@dataclass
class Shelf:
    """The tables that lookups are answered from, each read once.

    Attributes:
        folder: of the claims.
        report: that they are held against, or why there is none.
    """

    folder: Path
    report: Report | str
    _read: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)

    def find(self, lookup: Lookup) -> list[Value]:
        """What stands there: one value, but for ``each``.

        Raises:
            NotThereError: there is no report, no such row, or no number where one is needed.
        """
        frame = self._table(lookup)
        for column, wanted in lookup.where.items():
            frame = frame[frame[column].isin(wanted)]
        cells = frame[lookup.column]
        if lookup.take == "count":
            return [Decimal(cells[cells != ""].nunique())]
        if cells.empty:
            raise NotThereError(f"{lookup.place} has no such row")
        if lookup.take == "sum":
            return [sum((_number(cell, lookup) for cell in cells), Decimal(0))]
        if lookup.take == "value" and len(cells) > 1:
            raise NotThereError(f"{lookup.place} has {len(cells):,} such rows, not one")
        return [_plain(cell) for cell in cells]

    def _table(self, lookup: Lookup) -> pd.DataFrame:
        key = (lookup.kind, lookup.table)
        if key not in self._read:
            self._read[key] = (
                _published(lookup, self.folder)
                if lookup.kind == "published"
                else self._of_report(lookup.table)
            )
        return self._read[key]

    def _of_report(self, name: str) -> pd.DataFrame:
        if isinstance(self.report, str):
            raise NotThereError(self.report)
        try:
            return read_table(self.report.tables, name).map(_cell)
        except (ParameterError, KeyError):  # the file, or a column of it
            raise NotThereError(f"the report has no table {name} of this version") from None


def _published(lookup: Lookup, folder: Path) -> pd.DataFrame:
    """A CSV beside the claims, or else one that ships; nothing from elsewhere.

    Raises:
        ValueError: there is none.
    """
    for root in (folder.resolve(), REFERENCE):
        path = (root / lookup.table).resolve()
        if path.is_relative_to(root) and path.suffix == ".csv" and path.is_file():
            table = read_csv(path, (), "CLAIMS")
            return pd.DataFrame([dict(cells) for _, cells in table.rows], dtype="str")
    raise ValueError(f"no CSV {lookup.table[:80]!r} beside the claims or in data/reference")


def _cell(value: object) -> str:
    """A cell of a typed table as its file has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]


def _plain(cell: str) -> Value:
    """A number where the cell is one."""
    return Decimal(cell) if NUMBER.fullmatch(cell) else cell


def _number(cell: str, lookup: Lookup) -> Decimal:
    number = _plain(cell)
    if isinstance(number, str):
        raise NotThereError(f"{lookup.place}: {lookup.column} is not a number in every row")
    return number
