"""When a network's behaviour towards a site changed.

A block imposed in the middle of a period, lifted before its end, or imposed twice must come out
with those dates. The days of one site on one network are cut into the stretches that explain
them best: the exact optimum of a piecewise-constant multinomial model (optimal partitioning,
Jackson et al. 2005), each cut paid for with ``penalty × log(sessions)``.
"""

import numpy as np
from numpy.typing import NDArray


def segment(counts: NDArray[np.int64], penalty: float) -> list[tuple[int, int]]:
    """Cut a series of days into stretches of steady behaviour.

    Args:
        counts: one row per tested day in order, one column per class, cells are sessions.
        penalty: cost of one more stretch, in units of log(total sessions).

    Returns:
        Half-open index ranges that cover the days in order. The cost of a stretch is its
        negative multinomial log-likelihood; the partition is exactly optimal.
    """
    days = len(counts)
    if days == 0:
        return []
    sums = np.vstack([np.zeros(counts.shape[1], np.int64), np.cumsum(counts, axis=0)])
    price = penalty * np.log(max(2, int(sums[-1].sum())))
    best = np.zeros(days + 1)
    best[0] = -price
    previous = np.zeros(days + 1, np.int64)
    for end in range(1, days + 1):
        totals = best[:end] + _cost(sums[end] - sums[:end]) + price
        start = int(np.argmin(totals))
        best[end], previous[end] = totals[start], start
    return _walk_back(previous)


def _cost(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Negative multinomial log-likelihood of each row at its own shares."""
    total = counts.sum(axis=1)
    return _n_log_n(total) - _n_log_n(counts).sum(axis=1)


def _n_log_n(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    return numbers * np.log(np.maximum(numbers, 1))


def _walk_back(previous: NDArray[np.int64]) -> list[tuple[int, int]]:
    ranges = []
    end = len(previous) - 1
    while end > 0:
        start = int(previous[end])
        ranges.append((start, end))
        end = start
    return ranges[::-1]
