"""When does a series begin and cease to fail? Its stretches, on the likeliest path.

Inside a stretch 90 % of sessions fail, or 60 % if this explains the series better by the price of a
change: some of a network's routers may block, and others not.
"""

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.evidence import log_ratio
from analysis.verdicts.pairs import Series, Stretch
from analysis.verdicts.rates import base_rates

#: The share of sessions that fails inside a stretch; where a part of the routers blocks.
_SHARE, _SHARE_OF_PART = 0.9, 0.6


def find_stretches(series: Series, change_cost: float) -> list[Stretch]:
    """Find the periods in which a series fails, each from its first failure to its last one.

    Args:
        series: with its evidence. If it has a ``schedule``, it has one stretch: the sessions at
            its hours.
        change_cost: the threshold.
    """
    count, schedule = len(series.sessions), series.schedule
    edges, is_inside = [(0, count - 1)], [True] * count
    if schedule and not series.lent:  # all sessions of a lent series met the cut address
        is_inside = schedule.is_inside(series.times).tolist()
    elif not series.lent:
        edges = find_edges(series.fails, base_rates(series), change_cost)
    found = []
    for begin, end in edges:
        failures = [at for at in range(begin, end + 1) if series.fails[at] and is_inside[at]]
        if failures:
            first, last = failures[0], failures[-1]
            inside = [series.sessions[at] for at in range(first, last + 1) if is_inside[at]]
            failed = [series.sessions[at] for at in failures]
            found.append(Stretch(series, first, last, inside, failed, series.log_evidence))
    return found


def find_edges(
    fails: Sequence[bool], rates: NDArray[np.float64], change_cost: float
) -> list[tuple[int, int]]:
    """Find where a series fails: the index of the first and the last session of each stretch.

    Args:
        fails: of each session, in order of time.
        rates: how often each would fail by accident.
        change_cost: what a change of state costs beside ln(sessions).
    """
    price = log(max(len(fails), 2)) + change_cost
    gain, is_failing = _find_path(fails, rates, _SHARE, price)
    gain_of_part, is_failing_in_part = _find_path(fails, rates, _SHARE_OF_PART, price)
    if gain_of_part - price > gain:
        is_failing = is_failing_in_part
    changes = np.flatnonzero(np.diff([False, *is_failing, False])).reshape(-1, 2)
    return [(first, end - 1) for first, end in changes.tolist()]


def _find_path(
    fails: Sequence[bool], rates: NDArray[np.float64], share: float, price: float
) -> tuple[float, list[bool]]:
    """Find the likeliest path: what it gains over never failing, and where it fails.

    A session on the failing side counts its log ratio, one on the open side nothing, and each
    change the price: the exact optimum (Viterbi 1967).
    """
    is_open, is_failing = 0.0, -price
    came_from = []  # whether the best way to be open was to fail before, and the reverse
    for says in log_ratio(fails, rates, share).tolist():
        opened, closed = is_failing - price, is_open - price
        failed_before, was_open = opened > is_open, closed > is_failing
        came_from.append((failed_before, was_open))
        is_open, is_failing = (
            opened if failed_before else is_open,
            (closed if was_open else is_failing) + says,
        )
    gain, fails_now = max(is_open, is_failing), is_failing > is_open
    path = []
    for failed_before, was_open in reversed(came_from):
        path.append(fails_now)
        fails_now = not was_open if fails_now else failed_before
    return gain, path[::-1]
