"""The cut of a series into stretches of steady behaviour is exactly optimal."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.intervals import segment as segment_all

SERIES = st.integers(1, 8).flatmap(
    lambda days: st.lists(
        st.lists(st.integers(0, 6), min_size=3, max_size=3).filter(any),
        min_size=days, max_size=days,
    )
)  # fmt: skip
PENALTIES = st.floats(0.0, 6.0, allow_nan=False)


def segment(counts: np.ndarray, penalty: float) -> list[tuple[int, int]]:
    """The cut of one series alone."""
    return segment_all(counts, np.zeros(1, np.int64), penalty)[0]


def _price(counts: np.ndarray, penalty: float) -> float:
    return penalty * float(np.log(max(2, counts.sum())))


def _misfit(stretch: np.ndarray) -> float:
    """Negative log-likelihood of a stretch at its own shares, from the definition."""
    total = stretch.sum()
    return -sum(float(n * np.log(n / total)) for n in stretch.sum(axis=0) if n)


def _cost(counts: np.ndarray, cut: list[tuple[int, int]], penalty: float) -> float:
    misfit = sum(_misfit(counts[start:end]) for start, end in cut)
    return misfit + (len(cut) - 1) * _price(counts, penalty)


def _every_cut(days: int) -> list[list[tuple[int, int]]]:
    cuts = []
    for size in range(days):
        for inner in combinations(range(1, days), size):
            edges = [0, *inner, days]
            cuts.append(list(pairwise(edges)))
    return cuts


@settings(max_examples=150, deadline=None, derandomize=True)
@given(SERIES, PENALTIES)
def test_no_other_cut_is_better(series: list[list[int]], penalty: float) -> None:
    """Against all 2^(days - 1) cuts, tried one by one."""
    counts = np.array(series, np.int64)
    cut = segment(counts, penalty)
    best = min(_cost(counts, other, penalty) for other in _every_cut(len(counts)))
    assert _cost(counts, cut, penalty) == pytest.approx(best, abs=1e-9)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SERIES, PENALTIES, PENALTIES)
def test_a_higher_price_never_makes_more_stretches(
    series: list[list[int]], one: float, other: float
) -> None:
    """The penalty does what its name says. Prices within rounding of each other are left out."""
    counts = np.array(series, np.int64)
    low, high = sorted((one, other))
    if high - low > 1e-6:
        assert len(segment(counts, high)) <= len(segment(counts, low))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SERIES, PENALTIES)
def test_the_stretches_cover_every_day_once(series: list[list[int]], penalty: float) -> None:
    """In order, without a gap."""
    cut = segment(np.array(series, np.int64), penalty)
    assert cut[0][0] == 0
    assert cut[-1][1] == len(series)
    assert all(a[1] == b[0] and a[0] < a[1] for a, b in pairwise(cut))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(SERIES, min_size=2, max_size=6), PENALTIES)
def test_series_are_cut_as_if_alone(several: list[list[list[int]]], penalty: float) -> None:
    """Neither a neighbour's days nor its counts move a cut, whatever the lengths."""
    lengths = [len(series) for series in several]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    together = segment_all(np.vstack(several).astype(np.int64), starts, penalty)
    assert together == [segment(np.array(series, np.int64), penalty) for series in several]


def test_no_series_no_stretch() -> None:
    """Nothing to cut is no error."""
    assert segment_all(np.zeros((0, 3), np.int64), np.zeros(0, np.int64), 1.5) == []


@pytest.mark.parametrize(
    ("blocked", "expected"),
    [
        ([0] * 6 + [2] * 6, [(0, 6), (6, 12)]),
        ([2] * 5 + [0] * 7, [(0, 5), (5, 12)]),
        ([0] * 5 + [2] * 6 + [0] * 5 + [2] * 6, [(0, 5), (5, 11), (11, 16), (16, 22)]),
        ([0] * 8 + [1] + [0] * 8, [(0, 17)]),
        ([1] * 10, [(0, 10)]),
    ],
    ids=["imposed", "lifted", "imposed twice", "one stray session", "steady"],
)
def test_changes_come_out_with_their_days(
    blocked: list[int], expected: list[tuple[int, int]]
) -> None:
    """Two sessions a day, clean changes: the dates are exact, and one stray day is no change."""
    counts = np.array([(n, 0, 2 - n, 0) for n in blocked], np.int64)
    assert segment(counts, 1.5) == expected
