"""The hours of the week at which one series of sessions fails, and how well they explain it.

All are compared: a run of weekdays × one or two windows of whole UTC hours × a range of days.
Evidence is the log of a likelihood ratio: sessions inside fail with the probability
``BLOCKED_SHARE`` if the site is blocked at these hours, and with that of their rate if nobody
blocks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import comb, inf, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Windows = tuple[tuple[int, int], ...]

#: How often a session inside fails while a schedule holds.
BLOCKED_SHARE = 0.9
#: A block without hours may hold for part of the tests only, and must then explain them no worse.
STRETCH_SHARES = (0.25, 0.5, 0.75, 0.9)
#: How often it must fail inside, having been open outside in between.
LEAST_TIMES = 3
#: Among schedules that explain as much, the narrowest wins; no session weighs as little as this.
_BREADTH = 1e-9
#: Ranges of days that the search starts from lie between so many of the days that fail, and so
#: many of the best schedules found there are refined.
_RANGE_EDGES, _REFINED = 16, 6
#: Into so many parts the days are divided to see whether a search could find anything.
_PARTS = 10

#: First and last day of each run, 0 is Monday.
WEEKDAY_RUNS = [(0, 6), *((first, (first + n) % 7) for n in range(6) for first in range(7))]


def holds_on(first: int, last: int, weekdays: NDArray[np.int64]) -> Flags:
    return (weekdays - first) % 7 <= (last - first) % 7


#: run × weekday: whether the run holds it.
RUN_DAYS: Flags = np.array([holds_on(*run, np.arange(7)) for run in WEEKDAY_RUNS])
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
    _known_by_days: dict[float, float] = field(default_factory=dict, init=False, repr=False)

    def __eq__(self, other: object) -> bool:
        """Whether the same is said of the same sessions."""
        return isinstance(other, Asked) and all(
            np.array_equal(mine, theirs)
            for mine, theirs in (
                (self.times, other.times), (self.is_hit, other.is_hit), (self.rates, other.rates)
            )
        )  # fmt: skip

    __hash__ = object.__hash__

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
        if self._times_failed < LEAST_TIMES or self._most < margin:
            return False
        return all(self._most >= self._by_days(share) + margin for share in STRETCH_SHARES)

    @property
    def series(self) -> "_Series":
        """The evidence by day and hour, made anew each time: it is large."""
        return _Series.of(self)

    @cached_property
    def days(self) -> "_Days":
        return _Days.of(self.times)

    @cached_property
    def _times_failed(self) -> int:
        return count_times(self.is_hit)

    @cached_property
    def _most(self) -> float:
        """The sum of all that speaks for a block."""
        return float(np.maximum(self.series.scores, 0).sum())

    @property
    def by_days(self) -> float:
        """The most that stretches of whole days explain."""
        return max(map(self._by_days, STRETCH_SHARES))

    def _by_days(self, share: float) -> float:
        if share not in self._known_by_days:
            self._known_by_days[share] = _best_stretches_of_days(self, share)
        return self._known_by_days[share]

    @cached_property
    def bound(self) -> float:
        """No schedule explains more."""
        return _bound(self.series)

    @cached_property
    def best(self) -> "Found":
        """The schedule that explains most."""
        return _search(self.series)


class Found(NamedTuple):
    """A run of weekdays and its windows over a half-open range of the days of a series."""

    score: float
    run: int
    windows: Windows
    since: int
    until: int


class _Days(NamedTuple):
    """On which days sessions in order of time lie."""

    tested: Times
    weekdays: NDArray[np.int64]
    #: tested day: its first session
    first: NDArray[np.int64]
    #: session: the number of its day, and its hour
    number: NDArray[np.int64]
    hours: NDArray[np.int64]

    @classmethod
    def of(cls, times: Times) -> "_Days":
        days, weekdays, hours = split(times)
        is_first = np.ones(len(days), bool)
        is_first[1:] = days[1:] != days[:-1]
        first = np.flatnonzero(is_first)
        return cls(days[first], weekdays[first], first, np.cumsum(is_first) - 1, hours)


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
        cell = 24 * days.number + days.hours
        scores = _add_up(cell, _score(asked, BLOCKED_SHARE), 24 * count).reshape(-1, 24)
        is_failing = np.logical_or.reduceat(asked.is_hit, days.first)
        return cls(days.tested, days.weekdays, scores, is_failing)

    def add_up(self) -> Numbers:
        """day + 1 × weekday × hour: the sums of the scores before each day."""
        by_weekday = np.zeros((len(self.days) + 1, 7, 24))
        by_weekday[np.arange(len(self.days)) + 1, self.weekdays] = self.scores
        return by_weekday.cumsum(axis=0)


def split(times: Times) -> tuple[Times, NDArray[np.int64], NDArray[np.int64]]:
    """Day, weekday (0 is Monday) and hour of moments."""
    days = times.astype("datetime64[D]")
    hours = (times - days).astype("timedelta64[h]").astype(np.int64)
    return days, (days.astype(np.int64) + 3) % 7, hours  # 1970-01-01 was a Thursday


def hours_of(windows: Windows) -> Flags:
    hours = np.arange(24)
    inside: Flags = np.logical_or.reduce([(hours >= a) & (hours < b) for a, b in windows])
    return inside


def count_times(is_hit: Flags) -> int:
    """How often a series fails, having been open in between."""
    return int(np.count_nonzero(is_hit[1:] & ~is_hit[:-1]) + is_hit[0]) if len(is_hit) else 0


def _add_up(places: NDArray[np.int64], scores: Numbers, count: int = 0) -> Numbers:
    return np.asarray(np.bincount(places, scores, count), np.float64)


def _score(asked: Asked, share: float) -> Numbers:
    """What each session says for a block that fails this share of sessions, as ln of a ratio.

    The failures of one day together weigh at most twice what the strongest of them does: ten
    tests of a day by one probe are not ten witnesses. Sessions that fail as often without a block
    say nothing.
    """
    is_hit, rates, days = asked.is_hit, asked.rates, asked.days
    scores = np.log(np.where(is_hit, share / rates, (1 - share) / (1 - rates)))
    scores[rates >= share] = 0
    hits = np.where(is_hit, scores, 0)
    strongest = np.maximum.reduceat(hits, days.first)
    together = _add_up(days.number, hits)
    weight = np.minimum(1, 2 * strongest / np.maximum(together, 1e-300))
    weighed: Numbers = np.where(is_hit, scores * weight[days.number], scores)
    return weighed


def _best_stretches_of_days(asked: Asked, share: float) -> float:
    """The most that whole days explain: a range on a run of weekdays, or several ranges.

    What is blocked and opened again now and then must not be taken for hours. Each further range
    pays for its beginning and its end.
    """
    by_day = _add_up(asked.days.number, _score(asked, share))
    on_runs = by_day * RUN_DAYS[:, asked.days.weekdays]
    several = _best_ranges(by_day.tolist(), 2 * log(max(len(by_day), 2)))
    return max(float(_best_sum(_sum_up(on_runs)).max()), several)


def _best_ranges(scores: list[float], price: float) -> float:
    """The largest sum of several ranges, all but the first of which pay the price."""
    outside, inside = 0.0, -inf
    for score in scores:
        entered = outside - price
        if inside > outside:
            outside = inside
        inside = (inside if inside > entered else entered) + score
    best = max(outside, inside)
    return best + price if best > 0 else 0.0


def _sum_up(scores: Numbers) -> Numbers:
    sums = np.zeros((*scores.shape[:-1], scores.shape[-1] + 1))
    np.cumsum(scores, axis=-1, out=sums[..., 1:])
    return sums


def _best_sum(sums: Numbers) -> Numbers:
    """The largest rise along the last axis."""
    return np.asarray((sums - np.minimum.accumulate(sums, axis=-1)).max(axis=-1))


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


def _bound(series: _Series) -> float:
    """More than any schedule explains, at less than a search.

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
    return float(_best_windows(_by_run(between + ends)).max()) + SECOND_WINDOW


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
    best = _best_windows(_by_run(sums[until] - sums[since]))
    order = np.argsort(-best, axis=None, kind="stable")[:_REFINED]
    ranges = np.unravel_index(order, best.shape)[0]
    return [(int(since[range_]), int(until[range_])) for range_ in dict.fromkeys(ranges)]


def _by_run(by_weekday: Numbers) -> Numbers:
    """run × hour: the sums of weekday × hour, less a trifle for each hour of the week."""
    sums: Numbers = _RUN_WEIGHTS @ by_weekday
    sums -= _RUN_BREADTHS
    return sums


def _best_windows(scores: Numbers) -> Numbers:
    """The most that one or two windows of the hours along the last axis hold.

    Less the price of a second window. Hour by hour, the best way to stand before, in, between, in
    the second of, or after the windows.
    """
    prices = np.reshape(_ENTRY_PRICES, (4, *(1,) * (scores.ndim - 1)))
    best = np.full((5, *scores.shape[:-1]), -np.inf)
    best[0] = 0
    entered = np.empty_like(best[1:])
    for of_hour in np.ascontiguousarray(np.moveaxis(scores, -1, 0)):
        np.subtract(best[:-1], prices, out=entered)
        np.maximum(best[1:], entered, out=best[1:])
        best[1::2] += of_hour
    return np.asarray(best.max(axis=0))


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
            run = int(_best_windows(by_run).argmax())
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
