"""Blocks that hold at certain hours of the week only, such as those of school exams.

A share by day sees a third of the sessions fail and calls the site reachable, so hours are sought
(see ``hours``) and compared with stretches of whole days.
"""

from dataclasses import dataclass, replace
from math import log

import numpy as np

from analysis.verdicts.days import RUN_DAYS, WEEKDAY_RUNS, Flags, Times, holds_on, split
from analysis.verdicts.hours import (
    LEAST_TIMES,
    SECOND_WINDOW,
    Asked,
    Found,
    Windows,
    count_times,
    fit_range,
    hours_of,
    search_price,
)

#: By how much a schedule must explain the sessions better than any stretch of whole days.
MARGIN = log(100)

_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


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
        by_others: ln of the mean of such ratios at all hours that other networks name by
            themselves, each over the days at which it is largest; None where they name none.
    """

    first_weekday: int
    last_weekday: int
    windows: Windows
    first_day: np.datetime64
    last_day: np.datetime64
    log_ratio: float
    by_others: float | None = None

    @property
    def hours(self) -> tuple[int, int, Windows]:
        """Weekdays and windows, in whatever range of days."""
        return self.first_weekday, self.last_weekday, self.windows

    @property
    def log_evidence(self) -> float:
        """Ln of an e-value for one range of days.

        The hours were searched for on the series itself, and pay for it. Those that others name
        were not, and pay nothing: where there are any, each of both is half of the e-value.
        """
        own = self.log_ratio - search_price()
        return own if self.by_others is None else float(np.logaddexp(own, self.by_others)) - log(2)

    def is_inside(self, times: Times) -> Flags:
        """Whether the block holds at these moments, by weekday, hour and range of days."""
        days, _, _ = split(times)
        return self.is_at_its_hours(times) & (days >= self.first_day) & (days <= self.last_day)

    def is_at_its_hours(self, times: Times) -> Flags:
        """Whether these moments lie at the hours of the week, in whatever range of days."""
        _, weekdays, hours = split(times)
        is_in_window = hours_of(self.windows)[hours]
        return holds_on(self.first_weekday, self.last_weekday, weekdays) & is_in_window

    def hours_of_week(self) -> list[int]:
        """Those at which it holds; 0 is the first of Monday."""
        days = RUN_DAYS[WEEKDAY_RUNS.index((self.first_weekday, self.last_weekday))]
        return [int(hour) for hour in np.flatnonzero(np.outer(days, hours_of(self.windows)))]

    def __str__(self) -> str:
        """Such as ``Mon-Fri 04:00-08:00, 10:00-14:00``."""
        names = dict.fromkeys((_DAY_NAMES[self.first_weekday], _DAY_NAMES[self.last_weekday]))
        windows = (f"{since:02}:00-{until:02}:00" for since, until in self.windows)
        return f"{'-'.join(names)} {', '.join(windows)}"


def find_schedule(asked: Asked) -> Schedule | None:
    """Find the hours of the week at which one kind of failure holds, if it holds at any.

    Args:
        asked: the sessions.

    Returns:
        The schedule that explains the sessions best, the narrowest of several; ``None`` unless it
        explains them better than all stretches of whole days by ``MARGIN`` and the price of the
        search, and fails inside ``LEAST_TIMES`` times, open outside in between.
    """
    margin = MARGIN + search_price()
    if not asked.may_hold(margin) or not asked.may_explain(asked.by_days + margin):
        return None
    return _claim(asked, asked.best, margin)


def weigh_hours(schedule: Schedule, asked: Asked) -> float:
    """Ln of the likelihood ratio at the hours of a schedule, over the days at which it is largest.

    Whether anybody would claim them there is not asked.
    """
    found = fit_range(asked.series, _number_run(schedule), schedule.windows)
    return _log_ratio(found)


def widen_schedule(schedule: Schedule, asked: Asked) -> Schedule:
    """The widest hours around those of a schedule that the series that named it does not deny.

    Of hours that explain as much the search takes the narrowest: what nobody tested there, on a
    weekday or at an hour beside them, may well be blocked elsewhere.
    """
    series, by_weekday = asked.series, np.zeros((7, 24))
    is_of_days = (series.days >= schedule.first_day) & (series.days <= schedule.last_day)
    np.add.at(by_weekday, series.weekdays[is_of_days], series.scores[is_of_days])
    first, last, hours = schedule.first_weekday, schedule.last_weekday, hours_of(schedule.windows)
    before = None
    while before != (first, last, hours.tolist()):
        before = first, last, hours.tolist()
        beside = np.zeros(24, bool)
        beside[1:] |= hours[:-1]
        beside[:-1] |= hours[1:]
        of_run = by_weekday[holds_on(first, last, np.arange(7))].sum(axis=0)
        hours = hours | (beside & (of_run >= 0))
        of_day = by_weekday[:, hours].sum(axis=1)
        if (last - first) % 7 < 6 and of_day[(first - 1) % 7] >= 0:
            first = (first - 1) % 7
        if (last - first) % 7 < 6 and of_day[(last + 1) % 7] >= 0:
            last = (last + 1) % 7
    edges = np.flatnonzero(np.diff(hours, prepend=False, append=False)).tolist()
    windows = tuple(zip(edges[::2], edges[1::2], strict=True))
    first, last = (first, last) if (last - first) % 7 < 6 else (0, 6)
    return replace(schedule, first_weekday=first, last_weekday=last, windows=windows)


def fit_schedule(schedule: Schedule, asked: Asked) -> Schedule | None:
    """Ask whether the hours found on one network hold on another one, at no price for the hours.

    The arguments are those of ``find_schedule``. Returns the same hours with the days and the
    evidence of this network, or ``None``.
    """
    if not asked.may_hold(MARGIN):
        return None
    found = fit_range(asked.series, _number_run(schedule), schedule.windows)
    return _claim(asked, found, MARGIN)


def _number_run(schedule: Schedule) -> int:
    return WEEKDAY_RUNS.index((schedule.first_weekday, schedule.last_weekday))


def _log_ratio(found: Found) -> float:
    """The score without the price of a second window: the search has one of its own."""
    return found.score + SECOND_WINDOW * (len(found.windows) - 1)


def _claim(asked: Asked, found: Found, margin: float) -> Schedule | None:
    """The schedule, if it explains so much more than days do, and its days show the contrast."""
    log_ratio = _log_ratio(found)
    if log_ratio < asked.by_days + margin or found.since == found.until:
        return None
    first, last = asked.series.days[found.since], asked.series.days[found.until - 1]
    schedule = Schedule(*WEEKDAY_RUNS[found.run], found.windows, first, last, log_ratio)
    # Inside it fails, outside it is open; neither says of a session whether it holds.
    telling = schedule.is_inside(asked.times) == asked.is_hit
    return schedule if count_times(asked.is_hit[telling]) >= LEAST_TIMES else None
