"""One evidence floor for every state, Wilson's bounds, and the order of the states."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_series_equal

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.states import (
    STATES_BY_STRENGTH,
    meets_floor,
    strength,
    wilson_bounds,
)

FLOOR = Thresholds()


def _meets(hits: int, days: int, total: int, thresholds: Thresholds = FLOOR) -> bool:
    one = [pd.Series([number]) for number in (hits, days, total)]
    return bool(meets_floor(*one, thresholds).iloc[0])


@pytest.mark.parametrize(
    ("expected", "hits", "days", "total"),
    [
        (False, 0, 0, 0),
        (True, 4, 3, 4),
        (False, 3, 3, 3),
        (False, 4, 2, 4),
        (False, 40, 2, 40),
        (True, 8, 8, 11),
        (False, 7, 7, 11),
        (False, 5, 5, 7),
        (True, 100, 50, 210),
        (False, 100, 50, 220),
    ],
)
def test_the_floor(expected: bool, hits: int, days: int, total: int) -> None:
    """4 sessions of the class on 3 days, and a lower bound of its share of two in five."""
    assert _meets(hits, days, total) == expected


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_no_state_without_its_evidence(hits: int, others: int, days: int) -> None:
    """However many sessions ran on two days: a busy weekend is one event. More is never less."""
    is_met = _meets(hits, min(days, hits), hits + others)
    if is_met:
        assert hits >= FLOOR.floor_sessions
        assert days >= FLOOR.floor_days
        assert hits > others
        assert _meets(hits + 1, min(days, hits), hits + others + 1)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        # Newcombe (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),  # 1 - z²/(n + z²)
    ],
)
def test_wilson_bounds(hits: int, total: int, low: float, high: float) -> None:
    """Known values of the score interval at 95 %."""
    lower, upper = wilson_bounds(pd.Series([hits]), pd.Series([total]))
    assert lower[0] == pytest.approx(low, abs=6e-5)
    assert upper[0] == pytest.approx(high, abs=6e-5)


def test_nothing_has_no_bounds() -> None:
    """0 of 0 is no share, above all not 0 %."""
    low, high = wilson_bounds(pd.Series([0, 1]), pd.Series([0, 2]))
    assert low.isna().tolist() == high.isna().tolist() == [True, False]


def test_the_floor_can_be_moved() -> None:
    """Thresholds are parameters, not constants."""
    strict = Thresholds(floor_sessions=10, floor_days=5)
    assert not _meets(9, 9, 9, strict)
    assert not _meets(10, 4, 10, strict)
    assert _meets(10, 5, 10, strict)
    assert _meets(8, 8, 11, Thresholds(share_floor=0.4))
    assert not _meets(8, 8, 11, Thresholds(share_floor=0.6))


def test_states_are_ordered_by_strength() -> None:
    """The contract's order; insufficient is weaker than anything that was found."""
    assert STATES_BY_STRENGTH == (
        "blocked",
        "likely_blocked",
        "impaired",
        "down",
        "ok",
        "insufficient",
    )
    ranks = strength(pd.Series(["ok", "blocked", "insufficient"]))
    assert_series_equal(ranks, pd.Series([4, 0, 5]))
