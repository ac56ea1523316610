"""How many forged sessions it would take to change a verdict."""

import pandas as pd

from analysis.outcomes.thresholds import Thresholds


def sessions_to_flip(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """The smallest number of forged sessions that could move each state."""
    return pd.Series(1, table.index)
