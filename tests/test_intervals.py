"""The cut of a series into stretches of steady behaviour is exactly optimal."""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.changepoints import segment as segment_all
from analysis.verdicts.intervals import sessions_to_merge

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


STRETCH = st.lists(st.integers(0, 30), min_size=3, max_size=3).filter(any)
STRETCHES = st.lists(st.lists(STRETCH, min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(STRETCHES, st.integers(0, 3), st.integers(0, 2))
def test_fewer_sessions_join_no_stretches(
    cells: list[list[list[int]]], place: int, behaviour: int
) -> None:
    """One session short of what ``sessions_to_merge`` says, in any stretch: its cuts, on one side
    or on both, still gain more than they cost. Those of different cells are not beside each other.
    """
    rows = [
        ("all", f"s{n}.example", 1, number, *counts)
        for n, cell in enumerate(cells) for number, counts in enumerate(cell)
    ]  # fmt: skip
    names = ["via", "domain", "probe_asn", "interval",
             "ok_sessions", "blocked_sessions", "down_sessions"]  # fmt: skip
    table = pd.DataFrame(rows, columns=names).assign(unclear_sessions=0, artefact_sessions=0)
    needed = sessions_to_merge(table, Thresholds())
    first = 0
    for cell in cells:
        counts, own = np.array(cell, np.int64), needed.iloc[first:][: len(cell)].tolist()
        first += len(cell)
        assert all(np.isinf(number) for number in own) == (len(cell) == 1)
        for size in (2, 3):
            for left in range(len(cell) - size + 1):
                stretches = list(range(left, left + size))
                cut = [(at, at + 1) for at in stretches]
                gain = _joined(counts, stretches) - _cost(counts, cut, 1.0)
                if gain <= 0:
                    assert max(own[left : left + size]) == 1
                    continue
                more = counts.copy()
                more[stretches[place % size], behaviour] += int(min(own[left : left + size])) - 1
                assert _joined(more, stretches) > _cost(more, cut, 1.0) - 1e-9


def _joined(counts: np.ndarray, stretches: list[int]) -> float:
    return _misfit(counts[stretches[0] : stretches[-1] + 1])


def test_a_short_stretch_is_joined_to_both_beside_it_before_it_is_to_one() -> None:
    """Five blocked sessions between thirty open ones and thirty: two cuts fall together."""
    table = pd.DataFrame({"via": "all", "domain": "a.example", "probe_asn": 1, "interval": range(3),
                          "ok_sessions": [30, 0, 30], "blocked_sessions": [0, 5, 0],
                          })  # fmt: skip
    table = table.assign(down_sessions=0, unclear_sessions=0, artefact_sessions=0)
    counts = table[["ok_sessions", "blocked_sessions"]].to_numpy(np.int64)

    def needed(stretches: list[int]) -> int:
        cut = [(at, at + 1) for at in stretches]
        gain = _joined(counts, stretches) - _cost(counts, cut, 1.0)
        return int(gain // (1 + np.log(counts[stretches].sum()))) + 1

    assert needed([0, 1]) == needed([1, 2]) > needed([0, 1, 2])
    assert sessions_to_merge(table, Thresholds()).tolist() == [needed([0, 1, 2])] * 3
