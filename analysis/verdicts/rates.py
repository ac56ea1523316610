"""How often would a session fail by accident? What other operators and other sites teach.

base = 1 − (1 − site) · (1 − network). *site* is how often the site fails in this way for other
operators, and *network* how often sites fail in this way on this network, each session one vote.
Both shares are drawn towards what is usual for any site.

Two things teach nothing: sessions that may be part of a block, of days or at hours of the week,
since a block would excuse itself; and the failures of a pair that fails in this way in at least
half of its sessions.
"""

from collections.abc import Callable, Collection

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.sql import pick_queries, read_queries
from analysis.verdicts.pairs import (
    ANY,
    PSEUDO_SESSIONS,
    Country,
    Lessons,
    Series,
    find_candidates,
)

#: A rate lies between these: nothing fails never or always.
LEAST_RATE, MOST_RATE = 0.005, 0.99
#: The usual share of failures where nothing teaches.
_PRIOR = 0.02
#: How often anything fails for whatever reason, for the edges of stretches of ``ANY``.
_EVEN = 0.1

_QUERIES = read_queries(__file__)
#: What teaches, whatever is asked.
TEACHING = pick_queries(_QUERIES, "open_sites", "open_runs", "teaching_failures")

#: Returns, for each session of a country by its row, a rate of accidents that is known besides; its
#: connection finds ``sessions`` and ``networks``.
LeastRates = Callable[[duckdb.DuckDBPyConnection, Country], NDArray[np.float64]]


def teach(
    connection: duckdb.DuckDBPyConnection, country: Country, series: Collection[Series]
) -> None:
    """Let some series know what other operators and other sites teach about them: ``lessons``.

    Args:
        connection: holds ``told_sessions`` (``pairs.read_country``) and the tables of ``TEACHING``.
        country: all pairs.
        series: those that are taught; not of ``ANY``.
    """
    suspects = [
        (one.kind, one.sessions[index].row)
        for one in country.series()
        if one.kind != ANY
        for index in _find_suspects(one)
    ]
    candidates = country.describe(pd.DataFrame(suspects, columns=["kind", "row"]))
    keys = [(one.kind, one.pair.domain, one.pair.network, one.pair.operator) for one in series]
    table = pd.DataFrame(keys, columns=["kind", "domain", "network", "operator"])
    connection.register("series_at_hand", table.rename_axis("number").reset_index())
    connection.register("candidates_at_hand", candidates[["kind", "place"]])
    taught = connection.execute(_QUERIES["lessons"], {"pseudo": PSEUDO_SESSIONS, "prior": _PRIOR})
    for one, lessons in zip(series, taught.fetchall(), strict=True):
        one.lessons = Lessons(*lessons)


def _find_suspects(series: Series) -> list[int]:
    """Find the sessions of a series that may be part of a block, of days or at the site's hours."""
    found = find_candidates(series.fails)
    for schedule in series.site_schedules:
        inside = np.flatnonzero(schedule.is_at_its_hours(series.times)).tolist()
        found += [inside[i] for i in find_candidates([series.fails[index] for index in inside])]
    return found


def base_rates(series: Series, forged: int = 0) -> NDArray[np.float64]:
    """Return how often each session of a series would fail, before the pair says so about itself.

    Args:
        series: with its ``lessons``.
        forged: failures that are added to what the site and the network teach.
    """
    if series.kind == ANY:
        return np.full(len(series.sessions), _EVEN)
    site, network = series.lessons.site_share(forged), series.lessons.network_share(forged)
    least = np.zeros(len(series.sessions)) if series.least_rates is None else series.least_rates
    # a test fails if the site or the network does
    return np.clip(1 - (1 - np.maximum(site, least)) * (1 - network), LEAST_RATE, MOST_RATE)
