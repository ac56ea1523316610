"""Rows of a published table of which a test says only what matters to it; days as ISO texts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import pandas as pd

from analysis.columns import Text
from analysis.period import MOMENT
from analysis.tables import TABLES, tell_cells, typed

_KINDS = {name: kind for table in TABLES.values() for name, kind in table.columns.items()}
_BLANK = {"count": 0, "flag": False, **dict.fromkeys(get_args(Text), "")}


def table_rows(name: str, *rows: Mapping[str, object]) -> pd.DataFrame:
    """Rows of a table; what is not given is empty or 0."""
    kinds = TABLES[name].columns
    blank = {column: _BLANK.get(kind) for column, kind in kinds.items()}
    return typed(name, [{**blank, **row} for row in rows])


def dated(rows: Iterable[Mapping[str, object]], columns: Sequence[str] = ()) -> pd.DataFrame:
    """Rows with days and moments, given as ISO texts or empty, as such."""
    frame = pd.DataFrame(rows, columns=list(columns) or None)
    kinds = {name: _KINDS.get(str(name)) for name in frame}
    return frame.astype({name: MOMENT for name, kind in kinds.items() if kind in ("date", "time")})


def as_written(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with its days, moments and chances as the CSVs write them."""
    kinds = {str(name): _KINDS.get(str(name), "text") for name in frame}
    told = {name: kind for name, kind in kinds.items() if kind in ("date", "time", "chance")}
    return frame.assign(**{name: tell_cells(frame[name], kind) for name, kind in told.items()})
