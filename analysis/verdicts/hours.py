"""The hours of the week at which one series of sessions fails, and how well they explain it.

All are compared: a run of weekdays × one or two windows of whole UTC hours × a range of days.
Evidence is the log of a likelihood ratio: sessions inside fail with the probability
``BLOCKED_SHARE`` if the site is blocked at these hours, and with that of their rate if nobody
blocks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb, inf, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.days import (
    RUN_DAYS,
    WEEKDAY_RUNS,
    Days,
    Flags,
    Numbers,
    Times,
    add_up,
    weigh_by_day,
)

Windows = tuple[tuple[int, int], ...]

#: How often it must fail inside, having been open outside in between.
LEAST_TIMES = 3
#: Among schedules that explain as much, the narrowest wins; no session weighs as little as this.
_BREADTH = 1e-9
#: What rounding may add.
_TRIFLE = 1e-6
#: Ranges of days that the search starts from lie between so many of the days that fail, and so
#: many of the best schedules found there are refined.
_RANGE_EDGES, _REFINED = 16, 6
#: Into so many parts the days are divided to see whether a search could find anything.
_PARTS = 10

_RUN_WEIGHTS = RUN_DAYS.astype(np.float64)
_RUN_BREADTHS = _BREADTH * RUN_DAYS.sum(axis=1, keepdims=True)
_ONE_WINDOW_COUNT, _TWO_WINDOW_COUNT = comb(25, 2), comb(25, 4)
#: What a second window must add, for there are more ways to place two than one.
SECOND_WINDOW = log(_TWO_WINDOW_COUNT / _ONE_WINDOW_COUNT)
#: What it costs to go on before, in, between, in the second of, or after the windows.
_ENTRY_PRICES = (0.0, 0.0, SECOND_WINDOW, 0.0)


@dataclass(frozen=True, eq=False)
class Asked:
    """The sessions of one site that are asked for hours at which one kind of failure holds.

    Attributes:
        times: of those that count, UTC, sorted.
        is_hit: whether each failed in this kind; the others reached the site.
        rates: how likely each would fail if nobody blocks, within 0.01 and 0.99.
    """

    times: Times
    is_hit: Flags
    rates: Numbers

    @classmethod
    def together(cls, asked: Iterable["Asked"]) -> "Asked":
        """The sessions of several, in order of time."""
        columns = zip(*((one.times, one.is_hit, one.rates) for one in asked), strict=True)
        times, is_hit, rates = (np.concatenate(column) for column in columns)
        order = np.argsort(times, kind="stable")
        return cls(times[order], is_hit[order], rates[order])

    def may_hold(self, margin: float) -> bool:
        """Whether any hours could explain them better than stretches of days by this margin.

        None explains more than all that speaks for a block.
        """
        return self._times_failed >= LEAST_TIMES and self._most >= self.by_days + margin

    @property
    def series(self) -> "_Series":
        """The evidence by day and hour, made anew each time: it is large."""
        return _Series.of(self)

    @cached_property
    def days(self) -> Days:
        (days,) = _weigh([self])
        return days

    @cached_property
    def _times_failed(self) -> int:
        return count_times(self.is_hit)

    @cached_property
    def _most(self) -> float:
        """The sum of all that speaks for a block."""
        return float(np.maximum(self.series.scores, 0).sum())

    @cached_property
    def by_days(self) -> float:
        """The most that stretches of whole days explain."""
        return self.days.explained

    def may_explain(self, least: float) -> bool:
        """Whether a schedule could explain as much."""
        return _bound(self.series, least) >= least

    @cached_property
    def best(self) -> "Found":
        """The schedule that explains most."""
        return _search(self.series)


def weigh_together(asked: Sequence[Asked]) -> None:
    """Weigh the days of many at once; one that is asked alone weighs its own."""
    for one, days in zip(asked, _weigh(asked), strict=True):
        vars(one)["days"] = days


def _weigh(asked: Sequence[Asked]) -> list[Days]:
    if not asked:
        return []
    columns = zip(*((one.times, one.is_hit, one.rates) for one in asked), strict=True)
    times, is_hit, rates = (np.concatenate(column) for column in columns)
    return weigh_by_day(times, is_hit, rates, np.array([len(one.times) for one in asked]))


class Found(NamedTuple):
    """A run of weekdays and its windows over a half-open range of the days of a series."""

    score: float
    run: int
    windows: Windows
    since: int
    until: int


class _Series(NamedTuple):
    """The evidence of a series by tested day and hour."""

    days: Times
    weekdays: NDArray[np.int64]
    #: day × hour
    scores: Numbers
    #: day: whether a session failed
    is_failing: Flags

    @classmethod
    def of(cls, asked: Asked) -> "_Series":
        days, count = asked.days, len(asked.days.first)
        scores = add_up(days.hour, days.scores, 24 * count).reshape(-1, 24)
        is_failing = np.logical_or.reduceat(asked.is_hit, days.first)
        return cls(days.tested, days.weekdays, scores, is_failing)

    def add_up(self) -> Numbers:
        """day + 1 × weekday × hour: the sums of the scores before each day."""
        by_weekday = np.zeros((len(self.days) + 1, 7, 24))
        by_weekday[np.arange(len(self.days)) + 1, self.weekdays] = self.scores
        return by_weekday.cumsum(axis=0)


def hours_of(windows: Windows) -> Flags:
    hours = np.arange(24)
    inside: Flags = np.logical_or.reduce([(hours >= a) & (hours < b) for a, b in windows])
    return inside


def count_times(is_hit: Flags) -> int:
    """How often a series fails, having been open in between."""
    return int(np.count_nonzero(is_hit[1:] & ~is_hit[:-1]) + is_hit[0]) if len(is_hit) else 0


def _sum_up(scores: Numbers) -> Numbers:
    sums = np.zeros((*scores.shape[:-1], scores.shape[-1] + 1))
    np.cumsum(scores, axis=-1, out=sums[..., 1:])
    return sums


def _best_range(scores: Numbers) -> tuple[Numbers, NDArray[np.int64], NDArray[np.int64]]:
    """The range of largest sum along the last axis: its sum, first place and end.

    The shortest of several.
    """
    sums = _sum_up(scores)
    lowest = np.minimum.accumulate(sums, axis=-1)
    until = (sums - lowest).argmax(axis=-1)
    end = until[..., None]
    best: Numbers = (sums - lowest).max(axis=-1)
    places = np.arange(sums.shape[-1])
    is_start = (sums == np.take_along_axis(lowest, end, -1)) & (places <= end)
    return best, np.where(is_start, places, 0).max(axis=-1), until


def _bound(series: _Series, least: float) -> float:
    """More than any schedule explains, at less than a search; less than ``least`` if that is.

    A range of days begins in one part of the time and ends in one: the parts between count whole,
    and of these two what speaks for a block.
    """
    days, count = np.arange(len(series.days)), len(series.days)
    by_weekday = np.zeros((count, 7, 24))
    by_weekday[days, series.weekdays] = series.scores
    edges = np.unique(np.linspace(0, count, _PARTS + 1).astype(np.int64))[:-1]
    above = np.add.reduceat(np.maximum(by_weekday, 0), edges)
    before = np.zeros((len(edges) + 1, 7, 24))
    np.cumsum(np.add.reduceat(by_weekday, edges), axis=0, out=before[1:])
    first, last = np.triu_indices(len(edges))
    between = before[last] - before[np.minimum(first + 1, last)]
    ends = above[first] + np.where((last > first)[:, None, None], above[last], 0)
    best = _best_windows(_by_run(between + ends), least - SECOND_WINDOW)
    return float(best.max()) + SECOND_WINDOW


def _search(series: _Series) -> Found:
    """The schedule that explains most."""
    sums = series.add_up()
    # Many starts lead to the same ranges.
    seen: dict[tuple[int, int], Found] = {}
    found = (_refine(series, sums, start, seen) for start in _starts(series, sums))
    return max(found, key=lambda one: one.score)


def _starts(series: _Series, sums: Numbers) -> list[tuple[int, int]]:
    """The most promising ranges of days to search from."""
    failing = np.flatnonzero(series.is_failing)
    places = np.linspace(0, len(failing) - 1, min(_RANGE_EDGES, len(failing))).round().astype(int)
    edges = failing[places]
    first, last = np.triu_indices(len(edges))
    since, until = edges[first], edges[last] + 1
    by_run = _by_run(sums[until] - sums[since])
    best = _best_windows(by_run, _find_least(by_run))
    order = np.argsort(-best, axis=None, kind="stable")[:_REFINED]
    ranges = np.unravel_index(order, best.shape)[0]
    return [(int(since[range_]), int(until[range_])) for range_ in dict.fromkeys(ranges)]


def _by_run(by_weekday: Numbers) -> Numbers:
    """run × hour: the sums of weekday × hour, less a trifle for each hour of the week."""
    sums: Numbers = _RUN_WEIGHTS @ by_weekday
    sums -= _RUN_BREADTHS
    return sums


def _find_least(by_run: Numbers) -> float:
    """No more than the best that so many of the ranges and runs hold as are refined."""
    most = _add_positive(by_run).ravel()
    likely = np.argpartition(most, -_REFINED)[-_REFINED:]
    return float(_walk_hours(by_run.reshape(-1, 24)[likely]).min())


def _best_windows(scores: Numbers, least: float) -> Numbers:
    """The most that one or two windows of the hours along the last axis hold, if it is ``least``.

    Less the price of a second window. Where no windows hold so much it may be −∞.
    """
    # No windows hold more than all that speaks for a block.
    may_hold = _add_positive(scores) >= least - _TRIFLE
    best = np.full(may_hold.shape, -inf)
    best[may_hold] = _walk_hours(scores[may_hold])
    return best


def _add_positive(scores: Numbers) -> Numbers:
    return np.asarray(np.maximum(scores, 0.0) @ np.ones(24))


def _walk_hours(scores: Numbers) -> Numbers:
    """Hour by hour, the best way to stand before, in, between, in the second of, or after two."""
    first, after_first, second, after_second = np.full((4, *scores.shape[:-1]), -inf)
    for of_hour in np.ascontiguousarray(np.moveaxis(scores, -1, 0)):
        np.maximum(after_second, second, out=after_second)
        np.maximum(second, after_first - SECOND_WINDOW, out=second)
        second += of_hour
        np.maximum(after_first, first, out=after_first)
        np.maximum(first, 0.0, out=first)
        first += of_hour
    held = np.maximum.reduce([first, after_first, second, after_second])
    return np.asarray(np.maximum(held, 0.0))


def _name_windows(scores: Numbers) -> Windows:
    """The windows of ``_best_windows`` in one row of hours; the earliest edges of several."""
    best = [0.0, -inf, -inf, -inf, -inf]
    edges: list[tuple[int, ...]] = [()] * 5
    for hour, score in enumerate(scores.tolist()):
        for place in (4, 3, 2, 1):
            entered = best[place - 1] - _ENTRY_PRICES[place - 1]
            if entered > best[place]:
                best[place], edges[place] = entered, (*edges[place - 1], hour)
        best[1] += score
        best[3] += score
    chosen = edges[max(range(1, 5), key=best.__getitem__)]
    chosen = (*chosen, 24) if len(chosen) % 2 else chosen
    return tuple(zip(chosen[::2], chosen[1::2], strict=True))


def _refine(
    series: _Series, sums: Numbers, start: tuple[int, int], seen: dict[tuple[int, int], Found]
) -> Found:
    """Choose hours for the days and days for the hours in turn, until neither gains."""
    best = Found(-inf, 0, (), *start)
    while True:
        days = best.since, best.until
        if days not in seen:
            by_run = _by_run(sums[best.until] - sums[best.since])
            run = int(_walk_hours(by_run).argmax())
            seen[days] = fit_range(series, run, _name_windows(by_run[run]))
        if seen[days].score <= best.score:
            return best
        best = seen[days]


def fit_range(series: _Series, run: int, windows: Windows) -> Found:
    """The range of days on which these hours explain most."""
    inside = series.scores[:, hours_of(windows)].sum(axis=1) * RUN_DAYS[run, series.weekdays]
    best, since, until = _best_range(inside)
    price = SECOND_WINDOW * (len(windows) - 1)
    return Found(float(best) - price, run, windows, int(since), int(until))


def search_price() -> float:
    """Ln of the number of schedules that are compared over one range of days."""
    return log(len(WEEKDAY_RUNS) * (_ONE_WINDOW_COUNT + _TWO_WINDOW_COUNT))
