"""Where a series changes between open and failing: the likeliest stretches of a two-state chain."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.series import Series, lay_side_by_side


def find_stretches(
    series: Series, ratios: Sequence[NDArray[np.float64]], change_cost: float
) -> NDArray[np.int64]:
    """The stretches in which each series fails, at the share that explains it best.

    Args:
        ratios: of each session, for each share that may fail inside of a stretch. Any but the first
            has to explain a series better by the price of a change.
        change_cost: see ``Thresholds``.

    Returns:
        One row a stretch, in order: the places in ``series.row`` of its first session and its last.
    """
    gains, paths = zip(*(_find_path(series, one, change_cost) for one in ratios), strict=True)
    price = _price_changes(series, change_cost)
    best = np.argmax([gains[0], *(gain - price for gain in gains[1:])], axis=0)[series.series]
    fails = np.choose(best, paths)
    which = series.series
    begins = fails.copy()
    begins[1:] &= ~fails[:-1] | (which[1:] != which[:-1])
    ends = fails.copy()
    ends[:-1] &= ~fails[1:] | (which[1:] != which[:-1])
    return np.stack([np.flatnonzero(begins), np.flatnonzero(ends)], axis=1)


def _find_path(
    series: Series, ratios: NDArray[np.float64], change_cost: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The likeliest path of each series: what it gains over never failing, and where it fails.

    Each session inside counts its log ratio, one outside nothing, and each change of state costs
    ln(sessions) + ``change_cost``: the exact optimum (Viterbi 1967). Series are
    walked side by side.
    """
    order, active = lay_side_by_side(series.lengths)
    starts, price = series.starts[order], _price_changes(series, change_cost)[order]
    is_open, failing = np.zeros(len(order)), -price
    into_open = np.zeros(len(ratios), bool)  # the best way to be open here was to fail before
    into_failing = np.zeros(len(ratios), bool)
    for place, count in enumerate(active):
        here, cost = starts[:count] + place, price[:count]
        was_open, was_failing = is_open[:count], failing[:count]
        if place:
            closed, opened = was_open - cost, was_failing - cost
            into_open[here] = opened > was_open
            into_failing[here] = closed > was_failing
            was_open, was_failing = np.maximum(was_open, opened), np.maximum(was_failing, closed)
        is_open[:count], failing[:count] = was_open, was_failing + ratios[here]
    fails = np.zeros(len(ratios), bool)
    state = failing > is_open
    for place, count in reversed(list(enumerate(active))):
        here, now = starts[:count] + place, state[:count]
        fails[here] = now
        state[:count] = np.where(now, ~into_failing[here], into_open[here])
    gains = np.empty(len(order))
    gains[order] = np.maximum(is_open, failing)
    return gains, fails


def _price_changes(series: Series, change_cost: float) -> NDArray[np.float64]:
    """What a change costs in each series."""
    price: NDArray[np.float64] = np.log(np.maximum(series.lengths, 2)) + change_cost
    return price
