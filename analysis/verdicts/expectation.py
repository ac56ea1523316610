"""What each session would do if nobody blocked, and the hours at which a series holds."""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.facts import Facts, read_facts
from analysis.verdicts.rates import LEAST, Lessons, learn
from analysis.verdicts.schedules import Schedule, find_schedules
from analysis.verdicts.series import FAILING, Series, find_candidates, read_series
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


def learn_expectation(connection: duckdb.DuckDBPyConnection, thresholds: Thresholds) -> Expectation:
    """Read the sessions as series, and learn what to expect of them.

    Args:
        connection: holds ``outcomes`` and what ``sessions.add_sessions`` makes of them.
        thresholds: ``floor_sessions``.
    """
    series = read_series(connection, thresholds)
    of_kinds = series.of_kinds()
    facts = read_facts(connection, of_kinds)
    lessons = learn(facts, of_kinds, find_candidates(of_kinds))
    rates = np.full(len(series.row), LEAST)
    rates[: len(of_kinds.row)] = lessons.rates()
    ((cell_count,),) = connection.execute("SELECT count(*) FROM tested_cells").fetchall()
    tested_count = cell_count * (len(KINDS) - 1)
    schedules = find_all_schedules(series, rates)
    return Expectation(series, rates, facts, lessons, schedules, tested_count)


def find_all_schedules(series: Series, rates: NDArray[np.float64]) -> dict[int, Schedule]:
    """The schedules of each site and kind, on the networks that have one."""
    domain = series.sessions["domain"].to_numpy()[series.first_rows()]
    time = series.column("time").astype("datetime64[s]")
    found: dict[int, Schedule] = {}
    is_sought = series.kind < FAILING
    members = pd.Series(np.flatnonzero(is_sought)).groupby(
        [domain[is_sought], series.kind[is_sought]]
    )
    for _, numbers in members:
        parts = {number: slice(*series.starts[number : number + 2]) for number in numbers}
        found |= find_schedules(
            {number: (time[at], series.is_hit[at], rates[at]) for number, at in parts.items()}
        )
    return found
