"""Why a site with problems is not listed, and why a cell says nothing."""

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import exact
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.sql import read_queries
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.cells import Inside
from analysis.verdicts.rivals import ONE_KIND_OF_PROBE
from analysis.vocabulary import DEAD_NAME_REASONS, LISTED

_QUERIES = read_queries(__file__)

#: Of a site that is reachable, though most sessions failed.
OTHER_RESOLVERS = (
    "most failures came through resolvers that are not the network's, and do not count"
)


def why_insufficient(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Which it is: too few sessions, too few days, or tests that disagree."""
    few = [
        count_heard(table) < thresholds.floor_sessions,
        table["day_count"] < thresholds.floor_days,
    ]
    why = pd.Series(np.select(few, ["few_sessions", "few_days"], "mixed"), table.index)
    return why.where(table["state"] == "insufficient", "")


def set_aside_reasons(
    connection: duckdb.DuckDBPyConnection,
    table: pd.DataFrame,
    evidence: Evidence,
    inside: Inside,
    period: Period,
    thresholds: Thresholds,
) -> pd.Series:
    """Why a site with problems is not listed: the reason of most of them; by its states, where no
    reason is known of most.

    Args:
        connection: holds ``outcomes, sessions`` and what they are made of, and the macro
            ``is_problem`` (verdicts.sql).
        table: the cells of the period, with their ``state`` and whether one ``has_problem``.
        evidence: of all series.
        inside: the stretches as far as they lie in the period.
        thresholds: ``refusal_share`` and ``floor_sessions``.
    """
    dates = {"since": period.since, "until": period.until}
    problems = connection.execute(_QUERIES["problems"], dates).df()
    # what the sessions show together, and no rule of one measurement explains
    filters = (
        connection.execute(_QUERIES["chosen_filters"], dates).df().assign(problem="local_filter")
    )
    told = pd.concat([_count_defects(inside, evidence).assign(problem="instrument"), filters])
    less = told.assign(problem="", problem_count=-told["problem_count"])
    problems = pd.concat([problems, told, less], ignore_index=True)
    given = {
        "refusal_share": exact(thresholds.refusal_share),
        "floor_sessions": thresholds.floor_sessions,
    }
    refusing = connection.execute(_QUERIES["refusing_sites"], given).df()["domain"]
    is_refusal = problems["domain"].isin(refusing) | (problems["problem"] != "geo_restricted")
    problems["problem"] = problems["problem"].where(is_refusal, "")
    # of all sessions of a site whose name does not exist one reason is given
    left = connection.execute(_QUERIES["leftovers"], dates).df()["domain"]
    is_left = problems["domain"].isin(left)
    is_dead = problems["problem"].isin(DEAD_NAME_REASONS)
    dead = is_left.map({True: "leftover_block", False: "name_does_not_exist"})
    problems["problem"] = problems["problem"].mask(is_dead, dead)
    sums = problems.groupby(["domain", "problem"], as_index=False)[["problem_count"]].sum()
    # a reason holds if it is that of more than any other; what has none comes first of as many
    ranked = sums.sort_values(["domain", "problem_count", "problem"], ascending=[True, False, True])
    largest = ranked.drop_duplicates("domain").set_index("domain")["problem"]
    reason = table["domain"].map(largest.where(largest != ""))
    is_asked = table["has_problem"] & ~table["state"].isin(LISTED)
    otherwise = table["domain"].map(_by_state(table[is_asked]))
    return reason.where(reason.notna(), otherwise).where(is_asked, "").fillna("")


def _count_defects(inside: Inside, evidence: Evidence) -> pd.DataFrame:
    """Sessions of each site that failed in one kind of probe alone: ``domain, problem_count``."""
    of_probe = inside.counted.index[inside.counted["reason"] == ONE_KIND_OF_PROBE]
    elements = inside.elements
    rows = elements.loc[elements["is_hit"] & elements["stretch"].isin(of_probe), "row"].unique()
    found = pd.DataFrame({"domain": evidence.series.look_up("domain", rows)})
    return found.groupby("domain").size().rename("problem_count").reset_index()


def _by_state(table: pd.DataFrame) -> pd.Series:
    """The reason of each site that nothing explains, from what its cells are."""
    state = table["state"].where(
        (table["state"] != "insufficient") | (table["insufficient_reason"] != "mixed"), "mixed"
    )
    cases = {
        "impaired": state == "impaired",
        "down": state == "down",
        "anomaly_unexplained": state.isin(["ok", "mixed"]),
    }
    of_site = pd.DataFrame(cases).groupby(table["domain"]).any()
    why = np.select([of_site[name] for name in cases], list(cases), "insufficient")
    return pd.Series(why, of_site.index, dtype=str)


def count_heard(table: pd.DataFrame) -> pd.Series:
    """Sessions that say something about the network."""
    return (
        table["blocked_session_count"]
        + table["down_session_count"]
        + table["ok_session_count"]
        + table["unclear_sessions"]
        - table["unheard_sessions"]
    )
