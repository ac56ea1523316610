"""Where a series of session counts changes its behaviour: an optimal cut under a penalty."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def segment(
    counts: NDArray[np.int64], starts: NDArray[np.int64], penalty: float
) -> list[list[tuple[int, int]]]:
    """Cut each series of days into stretches of steady behaviour.

    Args:
        counts: one row per tested day, in order, the series one after the other; one column per
            class; cells are sessions.
        starts: the first row of each series.
        penalty: cost of one more stretch, in units of log(the series' sessions).

    Returns:
        For each series, half-open ranges of its own rows that cover them in order. The cost of a
        stretch is its negative multinomial log-likelihood; each partition is exactly optimal.
        Series with as many possible edges are searched side by side.
    """
    rows, series = _possible_edges(counts, starts)
    sums = np.vstack([np.zeros(counts.shape[1], np.int64), np.cumsum(counts, axis=0)])
    first = np.searchsorted(series, np.arange(len(starts) + 1))
    edge_counts = np.diff(first)
    ranges: list[list[tuple[int, int]]] = [[] for _ in starts]
    for edge_count in np.unique(edge_counts):
        members = np.flatnonzero(edge_counts == edge_count)
        # A few million cells of counts at a time, however many series there are.
        for part in np.array_split(members, 1 + len(members) * int(edge_count) // 500_000):
            edges = rows[first[part][:, None] + np.arange(edge_count)]
            for one, cuts in zip(part, _best_cuts(sums[edges], penalty), strict=True):
                own = edges[part == one][0] - starts[one]
                ranges[one] = [(int(own[left]), int(own[right])) for left, right in pairwise(cuts)]
    return ranges


def _best_cuts(sums: NDArray[np.int64], penalty: float) -> list[list[int]]:
    """The edges of the best partition of each series.

    ``sums``: series × possible edge × class, the sessions before each edge.
    """
    series, edge_count, _ = sums.shape
    price = penalty * np.log(np.maximum(2, (sums[:, -1] - sums[:, 0]).sum(axis=1)))
    best = np.zeros((series, edge_count))
    best[:, 0] = -price
    previous = np.zeros((series, edge_count), np.int64)
    every = np.arange(series)
    for end in range(1, edge_count):
        totals = best[:, :end] + segment_cost(sums[:, end, None] - sums[:, :end]) + price[:, None]
        previous[:, end] = totals.argmin(axis=1)
        best[:, end] = totals[every, previous[:, end]]
    return [_walk_back(row) for row in previous.tolist()]


def _possible_edges(
    counts: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where a cut can be optimal: not between two days that saw the same single class.

    The cost is concave in the place of a cut along such a run, so one of its ends is never worse.
    Returns the rows before which an edge may lie, with the series of each; a series' first edge
    is its first row, its last one the row after its end.
    """
    is_pure = (counts > 0).sum(axis=1) == 1
    same = is_pure[1:] & is_pure[:-1] & (counts[1:].argmax(axis=1) == counts[:-1].argmax(axis=1))
    is_edge = np.concatenate([[True], ~same])[: len(counts)]
    is_edge[starts] = True
    rows = np.flatnonzero(is_edge)
    series = np.searchsorted(starts, rows, side="right") - 1
    ends = np.append(starts[1:], len(counts))
    order = np.argsort(np.concatenate([series, np.arange(len(starts))]), kind="stable")
    return np.concatenate([rows, ends])[order], np.concatenate([series, np.arange(len(starts))])[
        order
    ]


def segment_cost(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Negative multinomial log-likelihood at its own shares, over the last axis."""
    misfit: NDArray[np.float64] = _n_log_n(counts.sum(axis=-1)) - _n_log_n(counts).sum(axis=-1)
    return misfit


def _n_log_n(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.multiply(numbers, np.log(np.maximum(numbers, 1)), dtype=np.float64)


def _walk_back(previous: list[int]) -> list[int]:
    """The edges of the best partition, in order."""
    edges = [len(previous) - 1]
    while edges[-1] > 0:
        edges.append(previous[edges[-1]])
    return edges[::-1]
