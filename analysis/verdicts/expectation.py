"""What each session would do if nobody blocked, and the hours at which a series holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.columns import SessionColumns
from analysis.verdicts.days import BLOCKED_SHARE
from analysis.verdicts.facts import Facts, gather_facts
from analysis.verdicts.lessons import LEAST, Lessons
from analysis.verdicts.rates import learn
from analysis.verdicts.schedules import Schedule
from analysis.verdicts.series import (
    CANDIDATE_GAIN,
    Series,
    find_candidates,
    find_series,
)
from analysis.verdicts.sessions import KINDS
from analysis.verdicts.site_schedules import Hours


class Candidates:
    """What may be a block, in a stretch or at certain hours, teaches nothing about chance.

    Neither needs a rate: for hours as for stretches a failure counts as much as a session that
    reaches the site counts against it.
    """

    def __init__(self, series: Series) -> None:
        """Ask series of kinds of failure."""
        self._series = series
        even = np.broadcast_to(1 - BLOCKED_SHARE, len(series.row))
        self._hours: Hours = Hours(series, even)

    def find(self, forged: int = 0) -> NDArray[np.bool_]:
        """Which sessions are such, with so many forged successes in each series."""
        candidates = find_candidates(self._series, CANDIDATE_GAIN + forged)
        margin = forged * log(BLOCKED_SHARE / (1 - BLOCKED_SHARE))
        for number, schedule in self._hours.find(margin).items():
            at = self._series.places_of(number)
            time = self._series.column("time", at)
            candidates[at] |= schedule.is_inside(time)
        return candidates


@dataclass(frozen=True)
class Expectation:
    """What the evidence is weighed against; of the thresholds, only the floor decides it.

    Attributes:
        series: see there.
        rates: how often each of its sessions would fail if nobody blocked, as learnt from others.
        lessons: what the rates are learnt from.
        schedules: the hours of the week at which a series holds, by its number.
        tested_count: how many series of access networks could be listed, whether or not anything
            failed.
        foreign_count: the same of all other networks.
    """

    series: Series
    rates: NDArray[np.float64]
    lessons: Lessons
    schedules: Mapping[int, Schedule]
    tested_count: int
    foreign_count: int


@dataclass(frozen=True)
class Learnt:
    """An expectation, and what was searched for it, which is large and not asked by what follows.

    Attributes:
        expected: what was learnt.
        candidates: what may be a block.
    """

    expected: Expectation
    candidates: Candidates


@dataclass(frozen=True)
class Seen:
    """The sessions as series; all that is needed of them, so that they themselves may go.

    Attributes:
        facts: what rates are learnt from, which is large.
        series, tested_count, foreign_count: see ``Expectation``.
    """

    series: Series
    facts: Facts
    tested_count: int
    foreign_count: int


def see_sessions(sessions: SessionColumns, thresholds: Thresholds) -> Seen:
    """See the sessions as series, and gather what rates are learnt from.

    Args:
        sessions: what ``columns.read_sessions`` reads.
        thresholds: ``floor_sessions``.
    """
    floor_sessions = thresholds.floor_sessions
    series = find_series(sessions, floor_sessions)
    facts = gather_facts(sessions, series.of_kinds(), floor_sessions)
    is_tested = sessions.find_tested(floor_sessions)
    is_access = sessions.layout.of_cells("is_domestic")
    counts = (np.count_nonzero(is_tested & of) * (len(KINDS) - 1) for of in (is_access, ~is_access))
    return Seen(series, facts, *map(int, counts))


def learn_expectation(seen: Seen) -> Learnt:
    """Learn what to expect of the sessions.

    Args:
        seen: what ``see_sessions`` returns.
    """
    series, of_kinds = seen.series, seen.series.of_kinds()
    candidates = Candidates(of_kinds)
    lessons = learn(seen.facts, of_kinds, candidates.find())
    rates = np.full(len(series.row), LEAST)
    rates[: len(of_kinds.row)] = lessons.rates()
    hours = Hours(of_kinds, rates[: len(of_kinds.row)])
    expected = Expectation(
        series, rates, lessons, hours.confirm(), seen.tested_count, seen.foreign_count
    )
    return Learnt(expected, candidates)
