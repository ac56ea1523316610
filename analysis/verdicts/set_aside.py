"""Reasons why sites with problems are not listed: that of most of a site's failures."""

from collections import Counter
from collections.abc import Sequence

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import exact
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.sql import read_queries
from analysis.verdicts.rivals import ONE_KIND_OF_PROBE
from analysis.verdicts.states import PairState
from analysis.vocabulary import DEAD_NAME_REASONS, LISTED

_QUERIES = read_queries(__file__)


def set_aside_reasons(
    connection: duckdb.DuckDBPyConnection,
    table: pd.DataFrame,
    states: Sequence[PairState],
    period: Period,
    thresholds: Thresholds,
) -> pd.Series:
    """Return for each pair the reason why its site with problems is not listed, else an empty text.

    It is the reason of most of the site's problems. If these have none, the states decide.

    Args:
        connection: connection to ``outcomes, sessions`` and their source tables, and the macro
            ``is_problem`` (verdicts.sql).
        table: the pairs of the period, with their ``state`` and whether one ``has_problem``.
        states: of the pairs in which anything fails, in the period.
        thresholds: ``refusal_share`` and ``floor_sessions``.
    """
    dates = {"since": period.since, "until": period.until}
    problems = connection.execute(_QUERIES["problems"], dates).df()
    # reasons that only many sessions show, and no rule for a single measurement
    filters = (
        connection.execute(_QUERIES["chosen_filters"], dates).df().assign(problem="local_filter")
    )
    explained = pd.concat([_count_defects(states).assign(problem="instrument"), filters])
    # these sessions were counted as problems without a reason
    less = explained.assign(problem="", problem_count=-explained["problem_count"])
    problems = pd.concat([problems, explained, less], ignore_index=True)
    values = {
        "refusal_share": exact(thresholds.refusal_share),
        "floor_sessions": thresholds.floor_sessions,
    }
    refusing = connection.execute(_QUERIES["refusing_sites"], values).df()["domain"]
    is_refusal = problems["domain"].isin(refusing) | (problems["problem"] != "geo_restricted")
    problems["problem"] = problems["problem"].where(is_refusal, "")
    # all sessions of a site whose name does not exist get the same reason
    leftovers = connection.execute(_QUERIES["leftovers"], dates).df()["domain"]
    is_left = problems["domain"].isin(leftovers)
    is_dead = problems["problem"].isin(DEAD_NAME_REASONS)
    dead = is_left.map({True: "leftover_block", False: "name_does_not_exist"})
    problems["problem"] = problems["problem"].mask(is_dead, dead)
    sums = problems.groupby(["domain", "problem"], as_index=False)[["problem_count"]].sum()
    # the reason with most sessions decides; among equals, having no reason comes first
    ranked = sums.sort_values(["domain", "problem_count", "problem"], ascending=[True, False, True])
    largest = ranked.drop_duplicates("domain").set_index("domain")["problem"]
    reason = table["domain"].map(largest.where(largest != ""))
    is_asked = table["has_problem"] & ~table["state"].isin(LISTED)
    otherwise = table["domain"].map(_by_state(table[is_asked]))
    return reason.where(reason.notna(), otherwise).where(is_asked, "").fillna("")


def _count_defects(states: Sequence[PairState]) -> pd.DataFrame:
    """Count the sessions of each site that failed on one kind of probe only.

    Columns: ``domain, problem_count``.
    """
    counts: Counter[int] = Counter()
    for state in states:
        for part in state.parts:
            if part.stretch.reason == ONE_KIND_OF_PROBE:
                counts[state.pair.domain] += len(part.failures)
    table = pd.DataFrame(counts.items(), columns=["domain", "problem_count"])
    return table[table["problem_count"] > 0].astype("int64")


def _by_state(table: pd.DataFrame) -> pd.Series:
    """Return the reason of each site that nothing explains, from the states of its pairs."""
    state = table["state"].where(
        (table["state"] != "insufficient") | (table["insufficient_reason"] != "mixed"), "mixed"
    )
    cases = {
        "impaired": state == "impaired",
        "unexplained": state == "unexplained",
        "down": state == "down",
        "anomaly_unexplained": state.isin(["ok", "mixed"]),
    }
    of_site = pd.DataFrame(cases).groupby(table["domain"]).any()
    why = np.select([of_site[name] for name in cases], list(cases), "insufficient")
    return pd.Series(why, of_site.index, dtype=str)
