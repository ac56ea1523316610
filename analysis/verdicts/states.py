"""From counted sessions to one of the six states. The evidence floor lives here alone."""

import numpy as np
import pandas as pd

from analysis import vocabulary
from analysis.outcomes.thresholds import Thresholds

STATES_BY_STRENGTH = tuple(state for state in vocabulary.STATES if state)
#: Why a pair has no conclusion, where it has too few tests; tests that disagree are enough.
_TOO_FEW = ("few_sessions", "few_days")
#: Two-sided 95 %.
Z_95 = 1.959963984540054


def wilson_bounds(hits: pd.Series, total: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Wilson's score interval for ``hits`` of ``total`` at 95 %; NaN where total is 0.

    Both have the same index.

    Source: Wilson (1927); recommended for small counts by Brown, Cai and DasGupta (2001).
    """
    # in arrays: a judgement asks this thirty times, mostly of a handful of rows
    n = total.to_numpy("float64", na_value=np.nan)
    n = np.where(n > 0, n, np.nan)
    share = hits.to_numpy("float64", na_value=np.nan) / n
    centre = share + Z_95**2 / (2 * n)
    with np.errstate(invalid="ignore"):  # more hits than that: NaN
        spread = Z_95 * np.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    low, high = (centre - spread) / (1 + Z_95**2 / n), (centre + spread) / (1 + Z_95**2 / n)
    index = hits.index
    return pd.Series(low.clip(0, 1), index), pd.Series(high.clip(0, 1), index)


def is_most(hits: pd.Series, total: pd.Series, thresholds: Thresholds) -> pd.Series:
    """Whether the lower bound of the share meets ``share_floor``."""
    low, _ = wilson_bounds(hits, total)
    return low >= thresholds.share_floor


def meets_floor(
    hits: pd.Series, days: pd.Series, total: pd.Series, thresholds: Thresholds
) -> pd.Series:
    """Whether sessions of one class meet the evidence floor.

    Args:
        hits: those sessions.
        days: the days on which they lie.
        total: the sessions that they are a share of.
        thresholds: ``floor_sessions``, ``floor_days``, ``share_floor``.
    """
    is_enough = (hits >= thresholds.floor_sessions) & (days >= thresholds.floor_days)
    return is_enough & is_most(hits, total, thresholds)


def is_tested_enough(verdicts: pd.DataFrame) -> pd.Series:
    """Whether each pair has the minimum of sessions and days, whatever its tests say.

    This is what *tested enough* means on every page: a pair has a conclusion, or tests that
    disagree.

    Args:
        verdicts: the contract's, or some of its rows.
    """
    return ~verdicts["insufficient_reason"].isin(_TOO_FEW)


def strength(states: pd.Series) -> pd.Series:
    """Rank of each state, 0 the strongest; for taking the strongest of several."""
    ranks = {state: rank for rank, state in enumerate(STATES_BY_STRENGTH)}
    return states.map(ranks).astype("int64")
