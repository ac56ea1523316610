"""What each session would do if nobody blocked, and the hours at which a series holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.columns import SessionColumns
from analysis.verdicts.hours import Schedule
from analysis.verdicts.rates import LEAST, MOST, Lessons, learn
from analysis.verdicts.series import MARK, Series, find_candidates, find_series
from analysis.verdicts.site_hours import find_schedules

#: Says of each session of the series of one kind how often it would fail at least, from what is
#: known besides.
Elsewhere = Callable[[Series], NDArray[np.float64]]


@dataclass(frozen=True)
class Expectation:
    """What the evidence is weighed against; of the thresholds, only the floor decides it.

    Attributes:
        sessions: all of them.
        series: those in which something fails.
        lessons: what the base rates are learnt from.
        elsewhere: of each session of the series of one kind, how often it fails at least; 0 where
            nothing says so.
        schedules: the hours of the week at which a series holds, by its number.
    """

    sessions: SessionColumns
    series: Series
    lessons: Lessons
    elsewhere: NDArray[np.float64]
    schedules: Mapping[int, Schedule]

    def base(self, forged: int = 0) -> NDArray[np.float64]:
        """How often each session would fail, before the cell says so itself.

        Args:
            forged: failures that are added to what the site and the network teach.
        """
        return _base(self.series, self.lessons, self.elsewhere, forged)


def learn_expectation(
    sessions: SessionColumns, thresholds: Thresholds, elsewhere: Elsewhere | None = None
) -> Expectation:
    """Learn what to expect of the sessions.

    Args:
        sessions: what ``columns.read_sessions`` reads.
        thresholds: ``floor_sessions``.
        elsewhere: see ``Elsewhere``; without it nothing is known besides.
    """
    series = find_series(sessions, thresholds.floor_sessions)
    of_kinds = series.of_kinds()
    lessons = learn(sessions, of_kinds, find_candidates(of_kinds))
    told = elsewhere(of_kinds) if elsewhere else np.zeros(len(of_kinds.row))
    base = _base(series, lessons, told, 0)
    schedules = find_schedules(of_kinds, base[: len(of_kinds.row)])
    return Expectation(sessions, series, lessons, told, schedules)


def _base(
    series: Series, lessons: Lessons, elsewhere: NDArray[np.float64], forged: int
) -> NDArray[np.float64]:
    lengths = series.of_kinds().lengths
    site = np.maximum(np.repeat(lessons.site(forged), lengths), elsewhere)
    base = np.full(len(series.row), LEAST)
    rates = 1 - (1 - site) * (1 - np.repeat(lessons.network(forged), lengths))
    is_mark = np.repeat(series.kind[: len(lengths)] == MARK, lengths)
    base[: len(rates)] = np.where(is_mark, LEAST, rates).clip(LEAST, MOST)
    return base
