"""What each session would do if nobody blocked, and the hours at which a series holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import duckdb
import numpy as np
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.columns import SessionColumns, read_sessions
from analysis.verdicts.facts import Facts, gather_facts
from analysis.verdicts.hours import BLOCKED_SHARE
from analysis.verdicts.rates import LEAST, Lessons, learn
from analysis.verdicts.schedules import Schedule
from analysis.verdicts.series import (
    CANDIDATE_GAIN,
    Series,
    find_candidates,
    find_series,
)
from analysis.verdicts.sessions import KINDS
from analysis.verdicts.site_schedules import SiteSeries, find_all_schedules, split_by_site


@dataclass(frozen=True)
class Candidates:
    """What may be a block, in a stretch or at certain hours, teaches nothing about chance.

    Neither needs a rate: for hours as for stretches a failure counts as much as a session that
    reaches the site counts against it.

    Attributes:
        series: those of kinds of failure.
        sites: the same, by site.
    """

    series: Series
    sites: Sequence[SiteSeries]

    @classmethod
    def of(cls, series: Series) -> "Candidates":
        return cls(series, split_by_site(series, np.full(len(series.row), 1 - BLOCKED_SHARE)))

    def find(self, forged: int = 0) -> NDArray[np.bool_]:
        """Which sessions are such, with so many forged successes in each series."""
        candidates = find_candidates(self.series, CANDIDATE_GAIN + forged)
        margin = forged * log(BLOCKED_SHARE / (1 - BLOCKED_SHARE))
        time = self.series.column("time").astype("datetime64[s]")
        for number, schedule in find_all_schedules(self.sites, margin).items():
            at = slice(*self.series.starts[number : number + 2])
            candidates[at] |= schedule.is_inside(time[at])
        return candidates


@dataclass(frozen=True)
class Expectation:
    """What the evidence is weighed against; of the thresholds, only the floor decides it.

    Attributes:
        series: see there.
        rates: how often each of its sessions would fail if nobody blocked, as learnt from others.
        facts, candidates, lessons: what the rates are learnt from.
        schedules: the hours of the week at which a series holds, by its number.
        tested_count: how many series could be listed, whether or not anything failed.
    """

    series: Series
    rates: NDArray[np.float64]
    facts: Facts
    candidates: Candidates
    lessons: Lessons
    schedules: Mapping[int, Schedule]
    tested_count: int


def learn_expectation(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    sessions: SessionColumns | None = None,
) -> Expectation:
    """See the sessions as series, and learn what to expect of them.

    Args:
        connection: holds what ``sessions.add_sessions`` makes.
        thresholds: ``floor_sessions``.
        sessions: what ``read_sessions`` reads there, where it has been read before.
    """
    floor_sessions = thresholds.floor_sessions
    sessions = sessions or read_sessions(connection)
    series = find_series(sessions, floor_sessions)
    of_kinds = series.of_kinds()
    facts = gather_facts(sessions, of_kinds, floor_sessions)
    candidates = Candidates.of(of_kinds)
    lessons = learn(facts, of_kinds, candidates.find())
    rates = np.full(len(series.row), LEAST)
    rates[: len(of_kinds.row)] = lessons.rates()
    cell_count = int(np.count_nonzero(sessions.find_tested(floor_sessions)))
    tested_count = cell_count * (len(KINDS) - 1)
    schedules = find_all_schedules(split_by_site(series, rates))
    return Expectation(series, rates, facts, candidates, lessons, schedules, tested_count)
