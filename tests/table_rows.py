"""Rows of a published table of which a test says only what matters to it."""

from collections.abc import Mapping

import pandas as pd

from analysis.tables import TABLES

_BLANK = {"count": 0, "flag": False, "share": None}


def table_rows(name: str, *rows: Mapping[str, object]) -> pd.DataFrame:
    """Rows of a table; what is not given is empty or 0."""
    blank = {column: _BLANK.get(kind, "") for column, kind in TABLES[name].columns.items()}
    return pd.DataFrame([{**blank, **row} for row in rows], columns=list(blank))
