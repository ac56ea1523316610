"""Hours of the week at which a series of sessions fails, such as those of school exams.

By day a third of the sessions fail and the site counts as reachable, so hours are searched for:
a run of weekdays × one or two windows of whole UTC hours × a range of days. Evidence is the
logarithm of a likelihood ratio: sessions inside fail with the probability ``BLOCKED_SHARE`` if the
site is blocked at these hours, and with the probability of their rate if it is not. Hours must
explain the sessions better than stretches of whole days do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import comb, inf, log

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.evidence import Numbers, log_ratio
from analysis.verdicts.pairs import Pair, best_range
from analysis.verdicts.rates import base_rates
from analysis.verdicts.sessions import KINDS

Times = NDArray[np.datetime64]
Flags = NDArray[np.bool_]
Windows = tuple[tuple[int, int], ...]

#: Share of the sessions inside a schedule that fail.
BLOCKED_SHARE = 0.9
#: Shares that fail in a block of whole days, with which a schedule is compared.
_DAY_SHARES = (0.25, 0.5, 0.75, BLOCKED_SHARE)
#: Least number of failing runs inside the hours, with open sessions outside in between.
LEAST_TIMES = 3
#: Margin by which hours must explain the sessions better than any stretch of whole days.
MARGIN = log(100)
#: Price of an hour, by which the narrowest of equal schedules wins; less than any session's score.
_BREADTH = 1e-9
#: The search starts from ranges between this many of the failing days, and refines this many of
#: the best ranges.
_RANGE_EDGES, _REFINED = 16, 6

_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: First and last weekday of each run, 0 is Monday.
_RUNS = [(0, 6), *((first, (first + n) % 7) for n in range(6) for first in range(7))]
_IN_RUNS = [tuple((day - a) % 7 <= (b - a) % 7 for day in range(7)) for a, b in _RUNS]
#: Each set of weekdays, runs first × weekday, whether it is in the set.
_RUN_DAYS: Flags = np.array(
    [
        *_IN_RUNS,
        *(days for days in product((False, True), repeat=7) if any(days) and days not in _IN_RUNS),
    ]
)
_RUN_BREADTHS = _BREADTH * _RUN_DAYS.sum(axis=1, keepdims=True)
#: Number of possible half-open windows of a day's hours, and of pairs of windows.
_ONE, _TWO = comb(25, 2), comb(25, 4)
#: Price of a second window, because there are more pairs of windows than windows.
SECOND_WINDOW = log(_TWO / _ONE)
#: Ln of the number of schedules that are compared over a range of days.
SEARCH_PRICE = log(len(_RUN_DAYS) * (_ONE + _TWO))


def _split(times: Times) -> tuple[Times, NDArray[np.int64], NDArray[np.int64]]:
    """Return the days, weekdays (0 is Monday) and hours of times."""
    days = times.astype("datetime64[D]")
    hours = (times - days).astype("timedelta64[h]").astype(np.int64)
    return days, (days.astype(np.int64) + 3) % 7, hours  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Schedule:
    """Hours of the week at which a site is blocked, in UTC.

    Attributes:
        run: index in ``_RUNS`` of the run of weekdays.
        windows: one or two half-open windows of whole hours, 0 to 24, in order.
        first_day: first day of the sessions inside on which it was found.
        last_day: last day, inclusive.
        log_ratio: ln of the likelihood ratio of the sessions inside.
        by_others: ln of the mean of such ratios at the hours found on other networks alone, each
            over the days at which it is largest; None if no hours were found there.
    """

    run: int
    windows: Windows
    first_day: np.datetime64
    last_day: np.datetime64
    log_ratio: float
    by_others: float | None = None

    @property
    def hours(self) -> tuple[int, Windows]:
        """Weekdays and windows, without the range of days."""
        return self.run, self.windows

    @property
    def log_evidence(self) -> float:
        """Ln of an e-value for one range of days.

        Hours found on the series itself pay the price of the search. Hours found on other networks
        do not: if there are any, the e-value is the mean of both.
        """
        own = self.log_ratio - SEARCH_PRICE
        return own if self.by_others is None else float(np.logaddexp(own, self.by_others)) - log(2)

    @property
    def of_week(self) -> Flags:
        """Whether the site is blocked at each weekday × hour, from Monday on."""
        inside: Flags = np.outer(_RUN_DAYS[self.run], _hours_in(self.windows))
        return inside

    @property
    def score(self) -> float:
        """Log ratio less the price of a second window."""
        return self.log_ratio - SECOND_WINDOW * (len(self.windows) - 1)

    def is_inside(self, times: Times) -> Flags:
        """Return whether each time is inside, by weekday, hour and range of days."""
        days, _, _ = _split(times)
        return self.is_at_its_hours(times) & (days >= self.first_day) & (days <= self.last_day)

    def is_at_its_hours(self, times: Times) -> Flags:
        """Return whether each time is at the hours of the week, on any day."""
        _, weekdays, hours = _split(times)
        return self.of_week[weekdays, hours]

    def __str__(self) -> str:
        """Return the schedule in words: ``Mon-Fri 04:00-08:00, 10:00-14:00`` or ``Wed,Sat …``."""
        is_run = self.run < len(_RUNS)
        days = _RUNS[self.run] if is_run else np.flatnonzero(_RUN_DAYS[self.run])
        names = dict.fromkeys(_DAY_NAMES[day] for day in days)
        windows = (f"{since:02}:00-{until:02}:00" for since, until in self.windows)
        return f"{('-' if is_run else ',').join(names)} {', '.join(windows)}"


def _hours_in(windows: Windows) -> Flags:
    """Return whether each of a day's hours is in one of the windows."""
    hours = np.zeros(24, bool)
    for since, until in windows:
        hours[since:until] = True
    return hours


@dataclass(frozen=True, eq=False)
class TimedSessions:
    """Sessions of a site in which hours are searched for, for one kind of failure.

    Attributes:
        times: times of the sessions, UTC, sorted.
        is_hit: whether each failed in this way; the others reached the site.
        rates: probability that each fails if the site is not blocked, from 0.01 to 0.99.
        network: the number of the network, where they are of one.
    """

    times: Times
    is_hit: Flags
    rates: Numbers
    network: int = -1

    @classmethod
    def together(cls, groups: Iterable["TimedSessions"]) -> "TimedSessions":
        """Return the sessions of several groups, in order of time."""
        columns = zip(*((group.times, group.is_hit, group.rates) for group in groups), strict=True)
        times, is_hit, rates = (np.concatenate(column) for column in columns)
        order = np.argsort(times, kind="stable")
        return cls(times[order], is_hit[order], rates[order])

    @cached_property
    def days(self) -> Times:
        """Days with a session, sorted."""
        return np.unique(self.times.astype("datetime64[D]"))

    @property
    def weekdays(self) -> NDArray[np.int64]:
        """Weekdays of ``days``."""
        return _split(self.days)[1]

    @cached_property
    def by_hour(self) -> Numbers:
        """Sums of the scores by day × hour."""
        scores, (days, _, hours) = np.zeros((len(self.days), 24)), _split(self.times)
        np.add.at(scores, (np.searchsorted(self.days, days), hours), self._score(BLOCKED_SHARE))
        return scores

    @cached_property
    def by_days(self) -> float:
        """The largest sum that whole days explain: a range on a run of weekdays, or several ranges.

        A site that is blocked and opened again now and then must not seem to have hours.
        """
        day, most = np.searchsorted(self.days, self.times.astype("datetime64[D]")), 0.0
        for share in _DAY_SHARES:
            by_day = np.bincount(day, self._score(share), len(self.days))
            sums = np.cumsum(np.where(_RUN_DAYS[:, self.weekdays], by_day, 0.0), axis=1)
            lowest = np.minimum(np.minimum.accumulate(sums, axis=1), 0.0)
            most = max(most, float((sums - lowest).max()), _sum_stretches(by_day.tolist()))
        return most

    def _score(self, share: float) -> Numbers:
        """Return the score of each session for a block in which this share of sessions fails.

        The failures of a day together weigh at most twice as much as the strongest of them, because
        ten tests of a day may be those of one probe.
        """
        scores = log_ratio(self.is_hit, self.rates, share)
        hits = np.where(self.is_hit, scores, 0.0)
        day = np.searchsorted(self.days, self.times.astype("datetime64[D]"))
        strongest, together = np.zeros((2, len(self.days)))
        np.maximum.at(strongest, day, hits)
        np.add.at(together, day, hits)
        weight = np.minimum(1, 2 * strongest / np.maximum(together, 1e-300))
        return np.where(self.is_hit, scores * weight[day], scores)


def count_runs(is_hit: Flags) -> int:
    """Return the number of runs of failures in a series."""
    return int(np.count_nonzero(is_hit[1:] & ~is_hit[:-1]) + is_hit[0]) if len(is_hit) else 0


def _sum_stretches(by_day: list[float]) -> float:
    """Return the largest sum of several stretches of days, less a price for all but the first."""
    price = 2 * log(max(len(by_day), 2))
    outside, inside = 0.0, -inf
    for score in by_day:
        outside, inside = max(outside, inside), max(inside, outside - price) + score
    best = max(outside, inside)
    return best + price if best > 0 else 0.0


def find_schedule(sessions: TimedSessions) -> Schedule | None:
    """Find the hours of the week at which one kind of failure holds, if it holds at any.

    Returns:
        The schedule that explains the sessions best, the narrowest of several; ``None`` unless it
        explains them better than all stretches of whole days by ``MARGIN`` and the price of the
        search, and has ``LEAST_TIMES`` runs of failures inside, with open sessions in between.
    """
    margin = MARGIN + SEARCH_PRICE
    # no schedule has more than the sum of all positive scores
    most = float(np.maximum(sessions.by_hour, 0).sum())
    if most < margin or most < sessions.by_days + margin:
        return None
    return _check(sessions, _search(sessions), margin)


def fit_schedule(schedule: Schedule, sessions: TimedSessions) -> Schedule | None:
    """Return a schedule found on other sessions, fitted to these, or ``None``.

    The hours are the same; days and evidence are those of these sessions, without the price of a
    search.
    """
    return _check(sessions, fit_range(sessions, schedule.hours), MARGIN)


def fit_range(sessions: TimedSessions, hours: tuple[int, Windows]) -> Schedule:
    """Return hours over the range of days on which they explain most, however little."""
    run, windows = hours
    inside = sessions.by_hour[:, _hours_in(windows)].sum(axis=1) * _RUN_DAYS[run, sessions.weekdays]
    most, since, until = best_range(inside.tolist())
    return Schedule(run, windows, sessions.days[since], sessions.days[until - 1], most)


def _check(sessions: TimedSessions, schedule: Schedule, margin: float) -> Schedule | None:
    """Return the schedule if it explains more than days do and its days show the contrast."""
    if schedule.log_ratio < sessions.by_days + margin:
        return None
    # Only failures inside and open sessions outside agree with the schedule.
    agrees = schedule.is_inside(sessions.times) == sessions.is_hit
    return schedule if count_runs(sessions.is_hit[agrees]) >= LEAST_TIMES else None


def _search(sessions: TimedSessions) -> Schedule:
    """Return the schedule that explains most.

    The search starts from several ranges of days, and improves hours and days in turn.
    """
    by_weekday = np.zeros((len(sessions.days) + 1, 7, 24))
    by_weekday[np.arange(len(sessions.days)) + 1, sessions.weekdays] = sessions.by_hour
    sums = by_weekday.cumsum(axis=0)
    refined = []
    for since, until in _starts(sessions, sums):
        best, now = None, _find_hours(sessions, sums[until] - sums[since])
        while best is None or now.score > best.score:
            best = now
            since, until = np.searchsorted(sessions.days, [best.first_day, best.last_day])
            now = _find_hours(sessions, sums[until + 1] - sums[since])
        refined.append(best)
    return max(refined, key=lambda schedule: schedule.score)


def _find_hours(sessions: TimedSessions, by_weekday: Numbers) -> Schedule:
    """Return the hours with the largest sum of weekday × hour, over the days that fit them."""
    by_run = _by_run(by_weekday)
    run = int(_walk_hours(by_run).argmax())
    return fit_range(sessions, (run, _find_windows(by_run[run])))


def _find_windows(by_hour: Numbers) -> Windows:
    """Return the one or two windows of a day with the largest sum."""
    scores = by_hour.tolist()
    _, since, until = best_range(scores)
    # The best two are the best one with a gap in it, or with another before or after it.
    gap = best_range([-score for score in scores[since:until]])
    before, after = best_range(scores[:since]), best_range(scores[until:])
    options: list[tuple[float, Windows]] = [
        (SECOND_WINDOW, ((since, until),)),
        (gap[0], ((since, since + gap[1]), (since + gap[2], until))),
        (before[0], (before[1:], (since, until))),
        (after[0], ((since, until), (until + after[1], until + after[2]))),
    ]
    return max(options, key=lambda option: option[0])[1]


def _starts(sessions: TimedSessions, sums: Numbers) -> list[tuple[int, int]]:
    """Return the best ranges of days from which to start the search."""
    failing = np.unique(
        np.searchsorted(sessions.days, sessions.times[sessions.is_hit].astype("M8[D]"))
    )
    indices = np.linspace(0, len(failing) - 1, min(_RANGE_EDGES, len(failing))).round().astype(int)
    edges = failing[indices]
    first, last = np.triu_indices(len(edges))
    since, until = edges[first], edges[last] + 1
    best = _walk_hours(_by_run(sums[until] - sums[since])).max(axis=1)
    order = np.argsort(-best, kind="stable")[:_REFINED]
    return list(zip(since[order].tolist(), until[order].tolist(), strict=True))


def _by_run(by_weekday: Numbers) -> Numbers:
    """Return the sums of weekday × hour by run × hour, less the price of each hour of the week."""
    sums: Numbers = _RUN_DAYS.astype(np.float64) @ by_weekday - _RUN_BREADTHS
    return sums


def _walk_hours(scores: Numbers) -> Numbers:
    """Return the largest sum of one or two windows of the hours along the last axis.

    The loop keeps, for each hour, the best sum in the first window, after it, in the second, and
    after both.
    """
    first, after_first, second, after_second = np.full((4, *scores.shape[:-1]), -inf)
    for of_hour in np.moveaxis(scores, -1, 0):
        after_second = np.maximum(after_second, second)
        second = np.maximum(second, after_first - SECOND_WINDOW) + of_hour
        after_first = np.maximum(after_first, first)
        first = np.maximum(first, 0.0) + of_hour
    return np.asarray(np.maximum.reduce([first, after_first, second, after_second]))


def find_schedules(site: Sequence[Pair]) -> None:
    """Fill in ``schedule`` and ``site_schedules`` of a site's series: the hours at which they fail.

    Only a series with several runs of failures can have hours.

    Args:
        site: the pairs of a site, with the rates from other pairs (``rates``).
    """
    series_of = {
        TimedSessions(
            series.times, np.array(series.fails), base_rates(series), pair.network
        ): series
        for kind in KINDS  # in this order, so that sums of floats are the same
        for pair in site
        for series in pair.series
        if series.kind == kind and count_runs(np.array(series.fails)) >= LEAST_TIMES
    }
    schedules = find_site_schedules(list(series_of))
    for asked, schedule in schedules.items():
        series_of[asked].schedule = schedule
    distinct = {schedule.hours: schedule for schedule in schedules.values()}
    for series in (series for pair in site for series in pair.series):
        series.site_schedules = tuple(distinct.values())


def find_site_schedules(site: Sequence[TimedSessions]) -> dict[TimedSessions, Schedule]:
    """Return the schedules of the series of a site, if there are any.

    Networks that obey one order block at the same hours, each in its own way, and may be tested too
    rarely for a search. So hours that are found on one series, or on all sessions of the site
    together, are tried on every series, and first those that explain most in all. A series keeps
    its own hours if they explain more than these by the price of the search.
    """
    searched = {asked: find_schedule(asked) for asked in site}
    own_schedules = {asked: schedule for asked, schedule in searched.items() if schedule}
    pooled = find_schedule(TimedSessions.together(site)) if len(site) > 1 else None
    hours = {schedule.hours: schedule for schedule in (*own_schedules.values(), pooled) if schedule}
    fits = [{asked: fit_schedule(schedule, asked) for asked in site} for schedule in hours.values()]
    fits.sort(key=lambda fit: -sum(schedule.log_ratio for schedule in fit.values() if schedule))
    schedules: dict[TimedSessions, Schedule] = {}
    for asked in site:
        chosen = next((fit[asked] for fit in fits if fit[asked]), None)
        own = own_schedules.get(asked)
        if own and not (chosen and chosen.log_ratio >= own.log_ratio - SEARCH_PRICE):
            chosen = own
        if chosen:
            schedules[asked] = replace(chosen, by_others=_weigh_others(asked, site, own_schedules))
    return schedules


def _weigh_others(
    asked: TimedSessions,
    site: Sequence[TimedSessions],
    own_schedules: Mapping[TimedSessions, Schedule],
) -> float | None:
    """Return the evidence of a series for the hours found on other networks alone.

    The series does not decide which hours these are: a choice among them would have a price.
    """
    elsewhere = [other for other in site if other.network != asked.network]
    found = [own_schedules[other] for other in elsewhere if other in own_schedules]
    if elsewhere and not found and (pooled := find_schedule(TimedSessions.together(elsewhere))):
        found = [pooled]
    ratios = [fit_range(asked, hours).log_ratio for hours in {one.hours: 0 for one in found}]
    return float(np.logaddexp.reduce(ratios)) - log(len(ratios)) if ratios else None
