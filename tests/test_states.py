"""Six states, one evidence floor: it holds for every one of them."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_series_equal

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.states import (
    STATES_BY_STRENGTH,
    judge_states,
    meets_floor,
    strength,
    wilson_bounds,
)

CLASSES = ("blocked", "down", "ok", "unclear")
FLOOR = Thresholds()


def _counts(**given: float) -> pd.DataFrame:
    """One row of counted sessions; days as many as sessions, unless said otherwise."""
    sessions = {name: given.get(name, 0) for name in CLASSES}
    blocked, failing = sessions["blocked"], sum(sessions.values()) - sessions["ok"]
    row = {f"{name}_sessions": count for name, count in sessions.items()}
    row |= {
        "core_sessions": given.get("core", blocked),
        "firm_sessions": blocked - given.get("timeouts", 0),
        "one_layer_sessions": given.get("one_layer", blocked),
        "artefact_sessions": given.get("artefact", 0),
        "loose_sessions": given.get("loose", 0),
        "timeout_share": given.get("timeout_share", 0.0),
        "loose_share": given.get("loose_share", 0.0),
        "failing_days": given.get("failing_days", failing),
    }
    row |= {f"{name}_days": given.get(f"{name}_days", n) for name, n in sessions.items()}
    return pd.DataFrame([row])


def _state(**given: float) -> str:
    return str(judge_states(_counts(**given), FLOOR).iloc[0])


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ("insufficient", {}),
        ("blocked", {"blocked": 4, "artefact": 4}),
        ("blocked", {"blocked": 8, "artefact": 4}),
        ("likely_blocked", {"blocked": 8, "artefact": 3}),
        ("likely_blocked", {"blocked": 6, "artefact": 3}),
        ("likely_blocked", {"blocked": 4}),
        ("insufficient", {"blocked": 3}),
        ("insufficient", {"blocked": 4, "blocked_days": 2, "failing_days": 2}),
        ("down", {"down": 4}),
        ("insufficient", {"down": 3}),
        ("insufficient", {"down": 40, "down_days": 2, "failing_days": 2}),
        ("impaired", {"unclear": 4}),
        ("insufficient", {"unclear": 3}),
        ("impaired", {"blocked": 3, "unclear": 5}),
        ("impaired", {"blocked": 9, "one_layer": 4}),
        ("likely_blocked", {"blocked": 9, "one_layer": 5}),
        ("ok", {"ok": 4}),
        ("insufficient", {"ok": 3}),
        ("insufficient", {"ok": 40, "ok_days": 2}),
        ("insufficient", {"ok": 10, "blocked": 9}),
        ("ok", {"ok": 40, "blocked": 3}),
        ("likely_blocked", {"blocked": 40, "ok": 3}),
        ("likely_blocked", {"blocked": 40, "down": 10}),
        ("likely_blocked", {"blocked": 40, "down": 30}),
        ("impaired", {"blocked": 40, "down": 41}),
        ("impaired", {"blocked": 40, "timeouts": 40, "down": 30}),
        ("likely_blocked", {"blocked": 10, "timeouts": 10}),
        ("impaired", {"blocked": 10, "timeouts": 10, "core": 3}),
        ("impaired", {"blocked": 10, "timeouts": 10, "timeout_share": 0.4}),
        ("likely_blocked", {"blocked": 10, "timeouts": 10, "timeout_share": 0.1}),
        ("likely_blocked", {"blocked": 10, "timeouts": 4, "timeout_share": 0.4}),
        ("impaired", {"blocked": 10, "down": 12}),
        ("down", {"down": 20, "ok": 2, "unclear": 3}),
        ("impaired", {"down": 20, "unclear": 21}),
    ],
)
def test_state(expected: str, given: dict[str, float]) -> None:
    """The floor: 4 sessions of the class on 3 days, and a lower bound of its share.

    Time-outs at different layers do not add up, nor do those that the network's usual sites have.
    """
    assert _state(**given) == expected


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (True, {"blocked": 4}),
        (False, {"blocked": 3}),
        (False, {"blocked": 6, "blocked_days": 2}),
        (True, {"blocked": 8, "ok": 3}),
        (False, {"blocked": 5, "ok": 2}),
        (False, {"blocked": 8, "ok": 3, "timeouts": 8}),
        (False, {"blocked": 100, "ok": 110}),
    ],
)
def test_the_floor_holds_for_a_part_of_a_block(expected: bool, given: dict[str, float]) -> None:
    """Sessions, days and share, as for the whole of it."""
    part = _counts(**given).assign(state="likely_blocked")
    assert meets_floor(part, FLOOR).tolist() == [expected]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.fixed_dictionaries({name: st.integers(0, 12) for name in CLASSES}), st.integers(0, 12))
def test_no_state_without_its_evidence(sessions: dict[str, int], artefact: int) -> None:
    """Whatever was counted, a state rests on at least the floor's sessions of its own kind."""
    state = _state(**sessions, artefact=min(artefact, sessions["blocked"]))
    failing = sessions["blocked"] + sessions["down"] + sessions["unclear"]
    rests_on = {
        "blocked": sessions["blocked"], "likely_blocked": sessions["blocked"],
        "down": sessions["down"], "impaired": failing, "ok": sessions["ok"],
    }  # fmt: skip
    if state != "insufficient":
        assert rests_on[state] >= FLOOR.floor_sessions
    if not any(sessions.values()):
        assert state == "insufficient"
    if not sessions["ok"]:
        assert state != "ok"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.fixed_dictionaries({name: st.integers(0, 30) for name in CLASSES}))
def test_two_days_carry_no_verdict(sessions: dict[str, int]) -> None:
    """However many sessions ran on them: a busy weekend is one event."""
    few = {f"{name}_days": min(2, sessions[name]) for name in CLASSES}
    assert _state(**sessions, **few, failing_days=2) == "insufficient"


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
    assert judge_states(_counts(blocked=9), strict).iloc[0] == "insufficient"
    assert judge_states(_counts(blocked=10), strict).iloc[0] == "likely_blocked"


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
