"""How values stand in the cells of published tables, harmless to open in a spreadsheet."""

import re
from collections.abc import Collection
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


def read_cells(column: pd.Series, kind: Kind) -> pd.Series:
    """The values of a column, from the texts that ``tell_cells`` makes of them.

    Raises:
        ValueError: a text is none of this kind.
    """
    if kind == "count":
        return column.where(column != "", None).astype("Int64")
    if kind == "share":
        return pd.to_numeric(column.where(column != "", None)).astype("float64")
    if kind == "flag":
        return column == "true"
    bare = {text: text[1:] for text in column.unique() if _DISARMED.match(text)}
    return column.map(bare).fillna(column) if bare else column


def read_texts(path: Path, columns: Collection[str]) -> pd.DataFrame:
    """The rows of a CSV: these ``columns`` as texts, as far as it has them, and any others.

    Raises:
        pyarrow.ArrowInvalid: it is no CSV.
        ValueError: two of its columns have one name.
    """
    size = max(path.stat().st_size, 1)  # one cell may be as long as the file
    read: pd.DataFrame = read_csv(
        path,
        ReadOptions(block_size=size),
        ParseOptions(newlines_in_values=True),
        ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False),
    ).to_pandas()
    if not read.columns.is_unique:
        raise ValueError("two columns have one name")
    return read


def disarm(text: str) -> str:
    """A text that no spreadsheet runs: a cell that it would run gets an apostrophe in front."""
    clean = _CONTROL.sub("�", text)
    return f"'{clean}" if _RUNNABLE.match(text) else clean
