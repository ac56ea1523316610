"""When a network's behaviour towards a site changed.

A block imposed in the middle of a period, lifted before its end, or imposed twice must come out
with those dates. The days of one site on one network are cut into the stretches that explain
them best: the exact optimum of a piecewise-constant multinomial model (optimal partitioning,
Jackson et al. 2005), each cut paid for with ``penalty × log(sessions)``.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.rules import Thresholds
from analysis.words import LISTED

CELL = ["domain", "probe_asn"]
VIEW = ["via", *CELL]
_FAILING = ["blocked", "down", "unclear"]


def cut_into_intervals(series: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Number the intervals of steady behaviour of each site and network.

    Args:
        series: ``sessions.session_series``.
        thresholds: ``change_penalty`` and the evidence floor.

    Returns:
        ``series`` with a column ``interval`` (0, 1, … in time order within the cell's view). Only
        where failing sessions would meet the floor, and something else was seen as well, can a
        change matter; the rest is one interval.
    """
    columns = ["ok", *_FAILING]
    counts = series[columns].to_numpy(np.int64)
    interval = np.zeros(len(series), np.int64)
    keys = series[VIEW]
    starts = np.flatnonzero((keys != keys.shift()).any(axis=1).to_numpy())
    totals = np.add.reduceat(counts, starts, axis=0) if len(starts) else counts
    failing = totals[:, 1:].sum(axis=1) >= thresholds.floor_sessions
    mixed = failing & ((totals > 0).sum(axis=1) > 1)
    ends = np.append(starts[1:], len(series))
    for start, end in zip(starts[mixed], ends[mixed], strict=True):
        ranges = segment(counts[start:end], thresholds.change_penalty)
        for number, (left, right) in enumerate(
            _without_short_openings(ranges, counts[start:end], thresholds)
        ):
            interval[start + left : start + right] = number
    return series.assign(interval=interval)


def _without_short_openings(
    ranges: list[tuple[int, int]], counts: NDArray[np.int64], thresholds: Thresholds
) -> list[tuple[int, int]]:
    """Join what a stretch below the evidence floor would tear apart.

    Two sessions on one day that claim access in the middle of a long block are no lifting of it.
    ``counts`` has the class *ok* in column 0 and *blocked* in column 1.
    """
    joined: list[tuple[int, int]] = []
    for left, right in ranges:
        joined.append((left, right))
        while len(joined) >= 3 and _is_torn(joined[-3:], counts, thresholds):
            joined[-3:] = [(joined[-3][0], joined[-1][1])]
    return joined


def _is_torn(
    ranges: list[tuple[int, int]], counts: NDArray[np.int64], thresholds: Thresholds
) -> bool:
    """Whether the middle one of three stretches is too thin to part two blocked ones."""
    sums = [counts[left:right].sum(axis=0) for left, right in ranges]
    before, middle, after = (2 * int(one[1]) > int(one.sum()) for one in sums)
    left, right = ranges[1]
    is_thin = sums[1].sum() < thresholds.floor_sessions or right - left < thresholds.floor_days
    return before and after and not middle and bool(is_thin)


def segment(counts: NDArray[np.int64], penalty: float) -> list[tuple[int, int]]:
    """Cut a series of days into stretches of steady behaviour.

    Args:
        counts: one row per tested day in order, one column per class, cells are sessions.
        penalty: cost of one more stretch, in units of log(total sessions).

    Returns:
        Half-open index ranges that cover the days in order. The cost of a stretch is its
        negative multinomial log-likelihood; the partition is exactly optimal.
    """
    if len(counts) == 0:
        return []
    edges = _possible_edges(counts)
    sums = np.vstack([np.zeros(counts.shape[1], np.int64), np.cumsum(counts, axis=0)])[edges]
    price = penalty * np.log(max(2, int(sums[-1].sum())))
    best = np.zeros(len(edges))
    best[0] = -price
    previous = np.zeros(len(edges), np.int64)
    for end in range(1, len(edges)):
        totals = best[:end] + _cost(sums[end] - sums[:end]) + price
        start = int(np.argmin(totals))
        best[end], previous[end] = totals[start], start
    return [(int(edges[left]), int(edges[right])) for left, right in _walk_back(previous)]


def _possible_edges(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where a cut can be optimal: not between two days that saw the same single class.

    The cost is concave in the place of a cut along such a run, so one of its ends is never worse.
    """
    is_pure = (counts > 0).sum(axis=1) == 1
    same = is_pure[1:] & is_pure[:-1] & (counts[1:].argmax(axis=1) == counts[:-1].argmax(axis=1))
    return np.concatenate([[0], np.flatnonzero(~same) + 1, [len(counts)]])


def _cost(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Negative multinomial log-likelihood of each row at its own shares."""
    total = counts.sum(axis=1)
    shares: NDArray[np.float64] = _n_log_n(total) - _n_log_n(counts).sum(axis=1)
    return shares


def _n_log_n(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.multiply(numbers, np.log(np.maximum(numbers, 1)), dtype=np.float64)


def _walk_back(previous: NDArray[np.int64]) -> list[tuple[int, int]]:
    ranges = []
    end = len(previous) - 1
    while end > 0:
        start = int(previous[end])
        ranges.append((start, end))
        end = start
    return ranges[::-1]


def interval_table(judged: pd.DataFrame, cut: pd.DataFrame) -> pd.DataFrame:
    """The contract's ``blocking_intervals``: one row per listed interval of a site on a network.

    Args:
        judged: one row per interval with ``state, mechanism, blocked_from, blocked_until``, its
            blocked sessions, days and measurements.
        cut: ``cut_into_intervals``, for the days on which the site was seen open around it.
    """
    listed = judged[judged["state"].isin(LISTED)]
    wanted = pd.MultiIndex.from_frame(cut[CELL]).isin(pd.MultiIndex.from_frame(listed[CELL]))
    cells = {
        key: (rows["day"].to_numpy("datetime64[D]"), rows["ok"].to_numpy() > 0)
        for key, rows in cut[wanted].groupby(CELL, sort=True)
    }
    rows = [_interval_row(row, *cells[(row.domain, row.probe_asn)]) for row in listed.itertuples()]
    columns = [
        *CELL, "blocked_from", "mechanism", "last_seen_open", "blocked_until",
        "first_seen_open_again", "measurement_count", "session_count", "day_count",
        "longest_gap_days",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _interval_row(
    row: Any, days: NDArray[np.datetime64], is_open: NDArray[np.bool_]
) -> tuple[object, ...]:
    """The dates around one blocked interval, from the cell's own tested days."""
    first = np.datetime64(row.blocked_from, "D")
    last = np.datetime64(row.blocked_until, "D")
    before, after = days[is_open & (days < first)], days[is_open & (days > last)]
    inside = days[(days >= first) & (days <= last)]
    gaps = np.diff(inside).astype(int)
    return (
        row.domain,
        row.probe_asn,
        str(first),
        row.mechanism,
        str(before[-1]) if len(before) else "",
        str(last),
        str(after[0]) if len(after) else "",
        row.blocked_measurements,
        row.blocked,
        row.blocked_days,
        int(gaps.max()) if len(gaps) else 0,
    )
