"""One evidence floor for every state, Wilson's bounds, and the order of the states."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.states import (
    meets_floor,
    wilson_bounds,
)

FLOOR = Thresholds()


def _meets(hits: int, days: int, total: int, thresholds: Thresholds = FLOOR) -> bool:
    one = [pd.Series([number]) for number in (hits, days, total)]
    return bool(meets_floor(*one, thresholds).iloc[0])


def test_the_floor() -> None:
    """4 sessions of the class on 3 days, and a lower bound of its share of two in five; all three
    can be moved."""
    strict = Thresholds(floor_sessions=10, floor_days=5)
    for expected, hits, days, total, thresholds in (
        (False, 0, 0, 0, FLOOR),
        (True, 4, 3, 4, FLOOR),
        (False, 3, 3, 3, FLOOR),
        (False, 4, 2, 4, FLOOR),
        (False, 40, 2, 40, FLOOR),
        (True, 8, 8, 11, FLOOR),
        (False, 7, 7, 11, FLOOR),
        (False, 5, 5, 7, FLOOR),
        (True, 100, 50, 210, FLOOR),
        (False, 100, 50, 220, FLOOR),
        (False, 9, 9, 9, strict),
        (False, 10, 4, 10, strict),
        (True, 10, 5, 10, strict),
        (True, 8, 8, 11, Thresholds(share_floor=0.4)),
        (False, 8, 8, 11, Thresholds(share_floor=0.6)),
    ):
        assert _meets(hits, days, total, thresholds) == expected, (hits, days, total)


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


def test_wilson_bounds() -> None:
    """Known values of the score interval at 95 %; 0 of 0 is no share, above all not 0 %."""
    known = pd.DataFrame([
        # Newcombe (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),  # 1 - z²/(n + z²)
        (0, 0, None, None),
    ], columns=["hits", "total", "low", "high"])  # fmt: skip
    lower, upper = wilson_bounds(known["hits"], known["total"])
    assert lower.tolist() == pytest.approx(known["low"].tolist(), abs=6e-5, nan_ok=True)
    assert upper.tolist() == pytest.approx(known["high"].tolist(), abs=6e-5, nan_ok=True)
