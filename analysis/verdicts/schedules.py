"""Blocks that hold at certain hours of the week only, such as those of school exams.

A share by day sees a third of the sessions fail and calls the site reachable. So all schedules are
compared: a run of weekdays × one or two windows of whole UTC hours × a range of days. Evidence is
the log of a likelihood ratio: sessions inside fail with the probability ``BLOCKED_SHARE`` if the
site is blocked at these hours, and with that of their rate if nobody blocks.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Hours = tuple[tuple[int, int], ...]
#: The sessions of a series: when, whether each failed, and how likely it would if nobody blocked.
Asked = tuple[Times, Flags, Numbers]

#: How often a session inside fails while a schedule holds.
BLOCKED_SHARE = 0.9
#: A block without hours may hold for part of the tests only, and must then explain them no worse.
STRETCH_SHARES = (0.25, 0.5, 0.75, 0.9)
#: By how much a schedule must explain the sessions better than any stretch of whole days.
MARGIN = log(100)
#: How often it must fail inside, having been open outside in between.
LEAST_TIMES = 3
#: Among schedules that explain as much, the narrowest wins; no session weighs as little as this.
_BREADTH = 1e-9
#: Ranges of days that the search starts from lie between so many of the days that fail, and so
#: many of the best schedules found there are refined.
_RANGE_EDGES, _REFINED = 16, 6

_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEKDAY_RUNS = [(0, 6), *((first, (first + n) % 7) for n in range(6) for first in range(7))]


def _holds_on(first: int, last: int, weekdays: NDArray[np.int64]) -> Flags:
    return (weekdays - first) % 7 <= (last - first) % 7


#: run × weekday: whether the run holds it.
_RUN_DAYS: Flags = np.array([_holds_on(*run, np.arange(7)) for run in _WEEKDAY_RUNS])
#: Where one window, or two, may begin and end: a row each.
_ONE_WINDOW_EDGES, _TWO_WINDOW_EDGES = (
    np.array(list(combinations(range(25), edge_count))) for edge_count in (2, 4)
)
#: What a second window must add, for there are more ways to place two than one.
_SECOND_WINDOW = log(len(_TWO_WINDOW_EDGES) / len(_ONE_WINDOW_EDGES))


@dataclass(frozen=True)
class Schedule:
    """The hours of the week at which a block holds, in UTC.

    Attributes:
        first_weekday: 0 is Monday.
        last_weekday: inclusive; before ``first_weekday`` where the run passes Sunday.
        windows: one or two half-open windows of whole hours, 0 to 24, in order.
        first_day: of the sessions inside that it was found on.
        last_day: inclusive.
        log_ratio: ln of the likelihood ratio of the sessions inside.
        is_confirmed: whether two networks name the same hours, each by itself.
    """

    first_weekday: int
    last_weekday: int
    windows: Hours
    first_day: np.datetime64
    last_day: np.datetime64
    log_ratio: float
    is_confirmed: bool = False

    @property
    def hours(self) -> tuple[int, int, Hours]:
        """Weekdays and windows, in whatever range of days."""
        return self.first_weekday, self.last_weekday, self.windows

    @property
    def log_evidence(self) -> float:
        """Ln of an e-value for one range of days; what is confirmed need not pay for its search."""
        return self.log_ratio - (0 if self.is_confirmed else search_price())

    def is_inside(self, times: Times) -> Flags:
        """Whether the block holds at these moments, by weekday, hour and range of days."""
        days, _, _ = _split(times)
        return self.is_at_its_hours(times) & (days >= self.first_day) & (days <= self.last_day)

    def is_at_its_hours(self, times: Times) -> Flags:
        """Whether these moments lie at the hours of the week, in whatever range of days."""
        _, weekdays, hours = _split(times)
        is_in_window = _hours_of(self.windows)[hours]
        return _holds_on(self.first_weekday, self.last_weekday, weekdays) & is_in_window

    def hours_of_week(self) -> list[int]:
        """Those at which it holds; 0 is the first of Monday."""
        days = _RUN_DAYS[_WEEKDAY_RUNS.index((self.first_weekday, self.last_weekday))]
        return [int(hour) for hour in np.flatnonzero(np.outer(days, _hours_of(self.windows)))]

    def __str__(self) -> str:
        """Such as ``Mon-Fri 04:00-08:00, 10:00-14:00``."""
        names = dict.fromkeys((_DAY_NAMES[self.first_weekday], _DAY_NAMES[self.last_weekday]))
        windows = (f"{since:02}:00-{until:02}:00" for since, until in self.windows)
        return f"{'-'.join(names)} {', '.join(windows)}"


def search_price() -> float:
    """Ln of the number of schedules that ``find_schedule`` compares over one range of days."""
    return log(len(_WEEKDAY_RUNS) * (len(_ONE_WINDOW_EDGES) + len(_TWO_WINDOW_EDGES)))


def find_schedule(
    times: Times, is_hit: Flags, rates: Numbers, margin: float = MARGIN
) -> Schedule | None:
    """Find the hours of the week at which one kind of failure holds, if it holds at any.

    Args:
        times: the sessions of one site on one network that count, UTC, sorted.
        is_hit: whether each failed in this kind; the others reached the site.
        rates: how likely each would fail if nobody blocks, within 0.01 and 0.99.
        margin: by how much it must explain them better than any stretch of whole days.

    Returns:
        The schedule that explains the sessions best, the narrowest of several; ``None`` unless it
        explains them better than all stretches of whole days by the margin and the price of the
        search, and fails inside ``LEAST_TIMES`` times, open outside in between.
    """
    if count_times(is_hit) < LEAST_TIMES:
        return None
    series = _Series.of(times, is_hit, rates)
    price = margin + search_price()
    if np.maximum(series.scores, 0).sum() < price:
        return None
    least = _best_stretches_of_days(series, times, is_hit, rates) + price
    found = max((_refine(series, *start) for start in _starts(series)), key=lambda one: one.score)
    return _claim(series, found, times, is_hit, least)


def fit_schedule(
    schedule: Schedule, times: Times, is_hit: Flags, rates: Numbers, margin: float = MARGIN
) -> Schedule | None:
    """Ask whether the hours found on one network hold on another one, at no price for the hours.

    The arguments are those of ``find_schedule``. Returns the same hours with the days and the
    evidence of this network, or ``None``.
    """
    if count_times(is_hit) < LEAST_TIMES:
        return None
    series = _Series.of(times, is_hit, rates)
    run = _WEEKDAY_RUNS.index((schedule.first_weekday, schedule.last_weekday))
    found = _fit_range(series, run, schedule.windows)
    least = _best_stretches_of_days(series, times, is_hit, rates) + margin
    return _claim(series, found, times, is_hit, least)


def find_schedules(networks: Mapping[int, Asked], margin: float = MARGIN) -> dict[int, Schedule]:
    """Find the hours at which one site fails in one kind on its networks, where there are any.

    Networks told to block by one order do so at the same hours: those of the clearest schedule
    are tried on all the others, and kept where they explain no less than the network's own. Hours
    that were only tried have to be as clear as those that were sought, or a network that fails now
    and then would keep its neighbours' hours.

    Args:
        networks: for each network the arguments of ``find_schedule``.
    """
    alone = {asn: own for asn, one in networks.items() if (own := find_schedule(*one, margin))}
    if not alone:
        return {}
    named = Counter(one.hours for one in alone.values())
    found = {asn: replace(one, is_confirmed=named[one.hours] > 1) for asn, one in alone.items()}
    clearest = max(found.values(), key=lambda one: one.log_ratio)
    for asn, one in networks.items():
        own, shared = found.get(asn), fit_schedule(clearest, *one, margin)
        if shared and (own is None or shared.log_ratio >= own.log_ratio - search_price()):
            is_confirmed = own is not None and own.hours == shared.hours and own.is_confirmed
            found[asn] = replace(shared, is_confirmed=is_confirmed)
    return found


class _Found(NamedTuple):
    """A run of weekdays and its windows over a half-open range of the days of a series."""

    score: float
    run: int
    windows: Hours
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
    #: day + 1 × weekday × hour: the sums of the scores before each day
    sums: Numbers

    @classmethod
    def of(cls, times: Times, is_hit: Flags, rates: Numbers) -> "_Series":
        days, weekdays, hours = _split(times)
        tested, first, index = np.unique(days, return_index=True, return_inverse=True)
        scores = np.zeros((len(tested), 24))
        np.add.at(scores, (index, hours), _score(index, is_hit, rates, BLOCKED_SHARE))
        by_weekday = np.zeros((len(tested) + 1, 7, 24))
        by_weekday[np.arange(len(tested)) + 1, weekdays[first]] = scores
        is_failing = np.bincount(index, is_hit) > 0
        return cls(tested, weekdays[first], scores, is_failing, by_weekday.cumsum(axis=0))


def _split(times: Times) -> tuple[Times, NDArray[np.int64], NDArray[np.int64]]:
    """Day, weekday (0 is Monday) and hour of moments."""
    days = times.astype("datetime64[D]")
    hours = (times - days).astype("timedelta64[h]").astype(np.int64)
    return days, (days.astype(np.int64) + 3) % 7, hours  # 1970-01-01 was a Thursday


def _hours_of(windows: Hours) -> Flags:
    hours = np.arange(24)
    inside: Flags = np.logical_or.reduce([(hours >= a) & (hours < b) for a, b in windows])
    return inside


def count_times(is_hit: Flags) -> int:
    """How often a series fails, having been open in between."""
    return int(np.count_nonzero(is_hit[1:] & ~is_hit[:-1]) + is_hit[0]) if len(is_hit) else 0


def _score(day_index: NDArray[np.int64], is_hit: Flags, rates: Numbers, share: float) -> Numbers:
    """What each session says for a block that fails this share of sessions, as ln of a ratio.

    The failures of one day together weigh at most twice what the strongest of them does: ten
    tests of a day by one probe are not ten witnesses. Sessions that fail as often without a block
    say nothing.
    """
    scores = np.log(np.where(is_hit, share / rates, (1 - share) / (1 - rates)))
    scores[rates >= share] = 0
    hits = np.where(is_hit, scores, 0)
    strongest = np.zeros(day_index.max() + 1)
    np.maximum.at(strongest, day_index, hits)
    together = np.bincount(day_index, hits)
    weight = np.minimum(1, 2 * strongest / np.maximum(together, 1e-300))
    weighed: Numbers = np.where(is_hit, scores * weight[day_index], scores)
    return weighed


def _best_stretches_of_days(series: _Series, times: Times, is_hit: Flags, rates: Numbers) -> float:
    """The most that whole days explain: a range on a run of weekdays, or several ranges.

    What is blocked and opened again now and then must not be taken for hours. Each further range
    pays for its beginning and its end.
    """
    index = np.searchsorted(series.days, times.astype("datetime64[D]"))
    shares = [np.bincount(index, _score(index, is_hit, rates, q)) for q in STRETCH_SHARES]
    by_day = np.array(shares, np.float64)
    one = float(_best_range(by_day[:, None] * _RUN_DAYS[:, series.weekdays])[0].max())
    price = 2 * log(max(len(series.days), 2))
    is_open, failing = np.zeros(len(by_day)), np.full(len(by_day), -price)
    for scores in by_day.T:
        is_open, failing = np.maximum(is_open, failing), np.maximum(failing, is_open - price)
        failing = failing + scores
    several = float(np.maximum(is_open, failing).max())
    return max(one, several + price) if several > 0 else one  # the first range is free


def _best_range(scores: Numbers) -> tuple[Numbers, NDArray[np.int64], NDArray[np.int64]]:
    """The range of largest sum along the last axis: its sum, first place and end.

    The shortest of several.
    """
    sums = np.zeros((*scores.shape[:-1], scores.shape[-1] + 1))
    np.cumsum(scores, axis=-1, out=sums[..., 1:])
    lowest = np.minimum.accumulate(sums, axis=-1)
    until = (sums - lowest).argmax(axis=-1)
    end = until[..., None]
    best: Numbers = (sums - lowest).max(axis=-1)
    places = np.arange(sums.shape[-1])
    is_start = (sums == np.take_along_axis(lowest, end, -1)) & (places <= end)
    return best, np.where(is_start, places, 0).max(axis=-1), until


def _starts(series: _Series) -> list[tuple[int, int, int]]:
    """The most promising runs of weekdays (by number) and ranges of days to search from."""
    failing = np.flatnonzero(series.is_failing)
    places = np.linspace(0, len(failing) - 1, min(_RANGE_EDGES, len(failing))).round().astype(int)
    edges = failing[places]
    first, last = np.triu_indices(len(edges))
    since, until = edges[first], edges[last] + 1
    best = _best_windows(_by_run(series, since, until))
    order = np.argsort(-best, axis=None, kind="stable")[:_REFINED]
    ranges, runs = np.unravel_index(order, best.shape)
    return [
        (int(run), int(since[range_]), int(until[range_]))
        for run, range_ in zip(runs, ranges, strict=True)
    ]


def _by_run(series: _Series, since: NDArray[np.int64], until: NDArray[np.int64]) -> Numbers:
    """range × run × hour: the sums of the scores, less a trifle for each hour of the week."""
    by_weekday = series.sums[until] - series.sums[since]
    sums: Numbers = _RUN_DAYS.astype(np.float64) @ by_weekday
    breadth: Numbers = _BREADTH * _RUN_DAYS.sum(axis=1)
    return sums - breadth[:, None]


def _best_windows(scores: Numbers) -> Numbers:
    """The most that one or two windows of the hours along the last axis hold.

    Less the price of a second window. Hour by hour, the best way to stand before, in, between, in
    the second of, or after the windows.
    """
    entry = np.reshape([0, 0, -_SECOND_WINDOW, 0], (4, *(1,) * (scores.ndim - 1)))
    best = np.full((5, *scores.shape[:-1]), -np.inf)
    best[0] = 0
    for hour in range(24):
        best[1:] = np.maximum(best[1:], best[:-1] + entry)
        best[1::2] += scores[..., hour]
    return np.asarray(best.max(axis=0))


def _name_windows(scores: Numbers) -> Hours:
    """The windows of ``_best_windows`` in one row of hours."""
    sums = np.concatenate([[0.0], scores.cumsum()])
    one, two = (sums[edges[:, 1::2]].sum(axis=1) - sums[edges[:, ::2]].sum(axis=1)
                for edges in (_ONE_WINDOW_EDGES, _TWO_WINDOW_EDGES))  # fmt: skip
    edges = _ONE_WINDOW_EDGES[one.argmax()]
    if two.max() - _SECOND_WINDOW > one.max():
        edges = _TWO_WINDOW_EDGES[two.argmax()]
    return tuple((int(since), int(until)) for since, until in edges.reshape(-1, 2))


def _refine(series: _Series, run: int, since: int, until: int) -> _Found:
    """Choose hours for the days and days for the hours in turn, until neither gains."""
    best = _Found(-np.inf, run, (), since, until)
    while True:
        by_run = _by_run(series, np.array([best.since]), np.array([best.until]))[0]
        run = int(_best_windows(by_run).argmax())
        found = _fit_range(series, run, _name_windows(by_run[run]))
        if found.score <= best.score:
            return best
        best = found


def _fit_range(series: _Series, run: int, windows: Hours) -> _Found:
    """The range of days on which these hours explain most."""
    inside = series.scores[:, _hours_of(windows)].sum(axis=1) * _RUN_DAYS[run, series.weekdays]
    best, since, until = _best_range(inside)
    price = _SECOND_WINDOW * (len(windows) - 1)
    return _Found(float(best) - price, run, windows, int(since), int(until))


def _claim(
    series: _Series, found: _Found, times: Times, is_hit: Flags, least: float
) -> Schedule | None:
    """The schedule, if it explains at least so much and its days show the contrast."""
    log_ratio = found.score + _SECOND_WINDOW * (len(found.windows) - 1)
    if log_ratio < least or found.since == found.until:
        return None
    first, last = series.days[found.since], series.days[found.until - 1]
    schedule = Schedule(*_WEEKDAY_RUNS[found.run], found.windows, first, last, log_ratio)
    # Inside it fails, outside it is open; neither says of a session whether it holds.
    telling = schedule.is_inside(times) == is_hit
    return schedule if count_times(is_hit[telling]) >= LEAST_TIMES else None
