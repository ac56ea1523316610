"""What each session would do if nobody blocked, and the hours at which a series holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.columns import SessionColumns, read_sessions
from analysis.verdicts.facts import Facts, gather_facts
from analysis.verdicts.rates import LEAST, Lessons, learn
from analysis.verdicts.schedules import (
    BLOCKED_SHARE,
    LEAST_TIMES,
    MARGIN,
    Asked,
    Schedule,
    find_schedule,
    find_schedules,
    fit_schedule,
)
from analysis.verdicts.series import (
    CANDIDATE_GAIN,
    FAILING,
    Series,
    find_candidates,
    find_series,
)
from analysis.verdicts.sessions import KINDS


@dataclass(frozen=True)
class Expectation:
    """What the evidence is weighed against; of the thresholds, only the floor decides it.

    Attributes:
        series: see there.
        rates: how often each of its sessions would fail if nobody blocked, as learnt from others.
        facts, lessons: what the rates are learnt from.
        schedules: the hours of the week at which a series holds, by its number.
        tested_count: how many series could be listed, whether or not anything failed.
    """

    series: Series
    rates: NDArray[np.float64]
    facts: Facts
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
    lessons = learn(facts, of_kinds, find_all_candidates(of_kinds))
    rates = np.full(len(series.row), LEAST)
    rates[: len(of_kinds.row)] = lessons.rates()
    cell_count = int(np.count_nonzero(sessions.find_tested(floor_sessions)))
    tested_count = cell_count * (len(KINDS) - 1)
    schedules = find_all_schedules(series, rates)
    return Expectation(series, rates, facts, lessons, schedules, tested_count)


def find_all_candidates(series: Series, least: int = CANDIDATE_GAIN) -> NDArray[np.bool_]:
    """Which sessions may be a block, in a stretch or at certain hours: these teach nothing.

    Neither needs a rate: for hours as for stretches a failure counts as much as a session that
    reaches the site counts against it.
    """
    candidates = find_candidates(series, least)
    even = np.full(len(series.row), 1 - BLOCKED_SHARE)
    more = (least - CANDIDATE_GAIN) * np.log(BLOCKED_SHARE / (1 - BLOCKED_SHARE))
    time = series.column("time").astype("datetime64[s]")
    for number, schedule in find_all_schedules(series, even, margin=more).items():
        at = slice(*series.starts[number : number + 2])
        candidates[at] |= schedule.is_inside(time[at])
    return candidates


def find_all_schedules(
    series: Series, rates: NDArray[np.float64], margin: float = MARGIN
) -> dict[int, Schedule]:
    """The schedules of each site and kind, on the networks that have one."""
    numbers = np.flatnonzero((series.kind < FAILING) & _may_have_hours(series))
    first = series.sessions.iloc[series.first_rows()]
    domain, networks = first["domain"].to_numpy()[numbers], first["network"].to_numpy()
    time = series.column("time").astype("datetime64[s]")
    found: dict[int, Schedule] = {}
    for _, of_site in pd.Series(numbers).groupby(domain):
        parts = {number: slice(*series.starts[number : number + 2]) for number in of_site}
        asked = {number: (time[at], series.is_hit[at], rates[at]) for number, at in parts.items()}
        own: dict[int, Schedule] = {}
        for _, members in of_site.groupby(series.kind[of_site]):
            own |= find_schedules({number: asked[number] for number in members}, margin)
        found |= own | _fit_others(own, asked, networks, margin)
    return found


def _fit_others(
    found: Mapping[int, Schedule],
    asked: Mapping[int, Asked],
    networks: NDArray[np.generic],
    margin: float,
) -> dict[int, Schedule]:
    """The schedules of a site's series that have none by themselves or among their kind.

    One order is carried out in many ways, and each network may be tested too seldom to name the
    hours: they are sought in all sessions of the site together. A network for which the others name
    them need not pay for the search.
    """
    pooled = _find_together(list(asked.values()), margin)
    clearest = max([*found.values(), *pooled], key=lambda one: one.log_ratio, default=None)
    if clearest is None:
        return {}
    fitted = {}
    for number in sorted(asked.keys() - found.keys()):
        others = [one for n, one in asked.items() if networks[n] != networks[number]]
        for hours in [*_find_together(others, margin), clearest]:
            if one := fit_schedule(hours, *asked[number], margin):
                fitted[number] = replace(one, is_confirmed=hours is not clearest)
                break
    return fitted


def _find_together(series: Sequence[Asked], margin: float) -> list[Schedule]:
    """The hours that the sessions of several series name together, if they name any."""
    if not series:
        return []
    time, is_hit, rates = (np.concatenate(columns) for columns in zip(*series, strict=True))
    order = np.argsort(time, kind="stable")
    one = find_schedule(time[order], is_hit[order], rates[order], margin)
    return [one] if one else []


def _may_have_hours(series: Series) -> NDArray[np.bool_]:
    """The series that fail several times, open in between."""
    begins = series.is_hit.copy()
    begins[1:] &= ~series.is_hit[:-1] | (series.series[1:] != series.series[:-1])
    return np.bincount(series.series, begins, len(series.kind)) >= LEAST_TIMES
