"""How values stand in the cells of published tables, harmless to open in a spreadsheet."""

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

Kind = Literal["text", "asn", "count", "share", "flag", "date"]

#: A spreadsheet runs a cell that starts with one of these (the full-width forms in some locales).
#: A text that only looks disarmed is disarmed once more, so that each text comes back as it was.
_RUNNABLE = re.compile(r"'*[=+\-@\t\r＝＋－＠]")
_DISARMED = re.compile(f"'(?={_RUNNABLE.pattern})")
#: Of numbers, the others are texts.
_TYPES: Mapping[str, pa.DataType] = {"count": pa.int64(), "share": pa.float64()}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def tell_cells(column: pd.Series, kind: Kind) -> NDArray[np.object_]:
    """The texts of a column, each value told once: most stand in it many times."""
    tell = partial(_cell, kind=kind)
    if column.dtype == object:  # where 1 is not true
        known = lru_cache(None, typed=True)(tell)
        return np.array([known(value) for value in column], object)
    places, values = pd.factorize(column, use_na_sentinel=False)
    return np.array(list(map(tell, pd.Series(values).to_numpy(object))), object)[places]


def _cell(value: Any, kind: Kind) -> str:
    if value is None or value is pd.NaT or (not isinstance(value, str) and pd.isna(value)):
        return ""
    if kind == "flag":
        return "true" if value else "false"
    if kind == "share":
        return f"{float(value):.4f}"
    if kind == "count":
        return "" if value == "" else disarm(str(int(value)))
    if kind == "asn" and not isinstance(value, str):
        return f"AS{int(value)}"
    if kind == "date" and not isinstance(value, str):
        return str(pd.Timestamp(value).date())
    return disarm(str(value))


def read_rows(path: Path, columns: Mapping[str, Kind]) -> pd.DataFrame:
    """The rows of a CSV, with the values from the texts that ``tell_cells`` makes of them.

    Args:
        path: the file.
        columns: those that have a kind, as far as it has them; any others are as Arrow takes them.

    Raises:
        pyarrow.ArrowInvalid: it is no CSV, or a text in it is none of its column's kind.
        ValueError: two of its columns have one name.
    """
    size = max(path.stat().st_size, 1)  # one cell may be as long as the file
    types = {name: _TYPES.get(kind, pa.string()) for name, kind in columns.items()}
    read: pd.DataFrame = read_csv(
        path,
        ReadOptions(block_size=size),
        ParseOptions(newlines_in_values=True),
        ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False),
    ).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    if not read.columns.is_unique:
        raise ValueError("two columns have one name")
    for name in read.columns.intersection(list(columns)):
        if columns[name] == "flag":
            read[name] = read[name] == "true"
        elif columns[name] not in _TYPES:
            read[name] = _arm(read[name])
    return read


def _arm(column: pd.Series) -> pd.Series:
    """Texts as they were before they were disarmed."""
    bare = {text: text[1:] for text in column.unique() if _DISARMED.match(text)}
    return column.map(bare).fillna(column) if bare else column


def disarm(text: str) -> str:
    """A text that no spreadsheet runs: a cell that it would run gets an apostrophe in front."""
    clean = _CONTROL.sub("�", text)
    return f"'{clean}" if _RUNNABLE.match(text) else clean
