"""Where a site begins and ceases to fail, and what may itself be a block."""

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis.verdicts.e_values import log_ratios
from analysis.verdicts.series import find_candidates
from analysis.verdicts.stretches import find_stretches
from tests.series import series_of

OUTCOMES = st.lists(st.integers(0, 1), min_size=1, max_size=9)
RATIOS = st.lists(st.floats(-4, 4, allow_nan=False), min_size=1, max_size=8)


def _score(states: tuple[int, ...], ratios: list[float], cost: float) -> float:
    """What a way to cut a series is worth, from the definition; it is open before it begins."""
    changes = sum(one != other for one, other in zip((0, *states), states, strict=False))
    price = float(np.log(max(len(ratios), 2))) + cost
    return (
        sum(ratio for state, ratio in zip(states, ratios, strict=True) if state) - changes * price
    )


def _states(places: np.ndarray, length: int) -> tuple[int, ...]:
    inside = np.zeros(length, int)
    for first, last in places:
        inside[first : last + 1] = 1
    return tuple(inside)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(RATIOS, min_size=1, max_size=4), st.sampled_from([0.0, 0.5, 2.0]))
def test_no_other_partition_is_better(cells: list[list[float]], cost: float) -> None:
    """Against all 2^sessions of each of several series, which are cut as if alone."""
    series = series_of(*([0] * len(cell) for cell in cells))
    places = find_stretches(series, [np.concatenate(cells)], cost)
    for cell, start in zip(cells, series.starts, strict=False):
        own = places[(places[:, 0] >= start) & (places[:, 0] < start + len(cell))] - start
        best = max(_score(states, cell, cost) for states in product((0, 1), repeat=len(cell)))
        assert _score(_states(own, len(cell)), cell, cost) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("oooooooxxxxxx", [(7, 12)]),
        ("xxxxxooooooo", [(0, 4)]),
        ("oooooxxxxxxoooooxxxxxx", [(5, 10), (16, 21)]),
        ("ooooooxxxooooo", [(6, 8)]),
        ("ooooooxxoooooo", []),
        ("oooxxxxoxxxxooo", [(3, 11)]),
        ("oooxxxxoooooxxxxooo", [(3, 6), (12, 15)]),
        ("oooxxxxoooxxxxooo", [(3, 13)]),
        ("ooooo", []),
    ],
    ids=["imposed", "lifted", "imposed twice", "three in a row", "two stray failures",
         "one that got through", "open for five", "open for three", "nothing"],
)  # fmt: skip
def test_changes_come_out_at_their_sessions(letters: str, expected: list[tuple[int, int]]) -> None:
    """The first session that fails and the last, at a rate of 2 % and the price in use."""
    series = series_of([letter == "x" for letter in letters])
    ratios = log_ratios(series.is_hit, np.full(len(letters), 0.02), 0.9)
    assert find_stretches(series, [ratios], 2.0).tolist() == [list(one) for one in expected]


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("xxxoooxxoooxxxxxxxxxoxxoxxxoxxxoxoxxooxxxxxxoxxooxxxxxxxxxxoxoxx", [(0, 63)]),
        ("oooooooooxxxxxooooooxxxxooooooooo", [(9, 13), (20, 23)]),
        ("ooooooooooooxxxxxxxxxxxxxxoooooooooo", [(12, 25)]),
    ],
    ids=["on two routers of three", "blocked twice", "blocked"],
)
def test_what_part_of_a_networks_routers_block_is_one_stretch(
    letters: str, expected: list[tuple[int, int]]
) -> None:
    """The second share is for what the first leaves in pieces."""
    series = series_of([letter == "x" for letter in letters])
    rates = np.full(len(letters), 0.05)
    ratios = [log_ratios(series.is_hit, rates, share) for share in (0.9, 0.6)]
    assert find_stretches(series, ratios, 1.0).tolist() == [list(one) for one in expected]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(OUTCOMES, st.floats(0, 5), st.floats(0, 5))
def test_a_higher_price_never_makes_more_changes(
    outcomes: list[int], one: float, other: float
) -> None:
    series = series_of(outcomes)
    ratios = log_ratios(series.is_hit, np.full(len(outcomes), 0.05), 0.9)
    low, high = sorted((one, other))
    if high - low > 1e-6:
        cheap, dear = (len(find_stretches(series, [ratios], cost)) for cost in (low, high))
        assert dear <= cheap


def test_no_series_no_stretch() -> None:
    """Nothing to cut is no error, and nothing teaches."""
    nothing = series_of()
    assert find_stretches(nothing, [np.zeros(0)], 2.0).tolist() == []
    assert find_candidates(nothing).tolist() == []


def best_segments(steps: list[int], first: int = 0) -> set[int]:
    """The places of the segment of largest sum, if it is 4 or more, and of those beside it."""
    cuts = [(i, j) for i in range(len(steps)) for j in range(i + 1, len(steps) + 1)]
    ends = [(sum(steps[i:j]), -j, i) for i, j in cuts]
    best, end, start = max(ends, default=(0, 0, 0))
    if best < 4:
        return set()
    return (
        set(range(first + start, first - end))
        | best_segments(steps[:start], first)
        | best_segments(steps[-end:], first - end)
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=24), min_size=1, max_size=4))
@example([[1] * 4 + [0] * 6 + [1] * 5])  # blocked twice
def test_candidates_are_the_segments_of_largest_sum(cells: list[list[int]]) -> None:
    """+1 a failure, −1 otherwise; 4 or more; one after the other, one series beside others."""
    series = series_of(*cells)
    inside = find_candidates(series)
    for cell, start in zip(cells, series.starts, strict=False):
        own = np.flatnonzero(inside[start : start + len(cell)])
        assert set(own.tolist()) == best_segments([1 if hit else -1 for hit in cell])
