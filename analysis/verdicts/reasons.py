"""Why a site with problems is not listed, and why a cell says nothing."""

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import exact
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.cells import Inside
from analysis.verdicts.rivals import ONE_KIND_OF_PROBE
from analysis.vocabulary import DEAD_NAME_REASONS, LISTED

#: SQL: what OONI flags, and what a rule reads as blocking or as a refusal.
IS_PROBLEM = "(is_anomaly OR is_confirmed OR class = 'blocked' OR set_aside = 'geo_restricted')"

# Sessions in which each site failed or was flagged, by the reason that a rule gives, empty where
# none does.
_PROBLEMS = f"""
SELECT enum_code(domain)::INTEGER AS domain,
  set_aside::VARCHAR AS problem, count(DISTINCT session) AS problem_count
FROM outcomes SEMI JOIN (FROM sessions WHERE day >= $since AND day < $until)
  USING (domain, probe_asn, session)
WHERE {IS_PROBLEM} OR set_aside NOT IN ('', 'broken_session') GROUP BY ALL
"""

# Names that do not exist, and that most sessions of some network still get an answer for as if they
# were blocked. A single user's filter or a forged session is no network.
_LEFTOVERS = """
SELECT DISTINCT enum_code(domain)::INTEGER AS domain
FROM outcomes SEMI JOIN (FROM sessions WHERE day >= $since AND day < $until)
  USING (domain, probe_asn, session)
WHERE set_aside IN ('name_does_not_exist', 'leftover_block')
GROUP BY outcomes.domain, probe_asn
HAVING 2 * count(DISTINCT session) FILTER (set_aside = 'leftover_block') > count(DISTINCT session)
"""

# Answers of a resolver that somebody chose, where the network's own give the site.
_CHOSEN_FILTERS = """
SELECT enum_code(domain)::INTEGER AS domain, count(*) AS problem_count FROM unheard_sessions
WHERE kind IN ('mark', 'dns_sent') AND day >= $since AND day < $until
GROUP BY ALL
"""

# On how many of the access networks that tell anything about a site it refuses most sessions that
# do not reach it: a challenge meets some of a country's sessions, and not as many on each network.
# A site that refuses the country may well let its hosters and VPNs in.
_REFUSING_SITES = """
WITH refused AS (
  SELECT DISTINCT domain FROM sessions WHERE is_refused
), cells AS (
  SELECT domain, probe_asn,
    2 * count(*) FILTER (is_refused) > count(*) FILTER (class <> 'ok') AS is_refusing
  FROM sessions SEMI JOIN refused USING (domain)
  WHERE is_scored AND probe_asn IN (FROM domestic_resolvers) GROUP BY ALL
  HAVING count(*) >= $floor_sessions OR bool_or(is_refused)
)
SELECT enum_code(domain)::INTEGER AS domain FROM cells GROUP BY cells.domain
HAVING count(*) FILTER (is_refusing) >= $refusal_share * count(*)
   AND count(*) FILTER (is_refusing) > 0
"""

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
        connection: holds ``outcomes, sessions`` and what they are made of.
        table: the cells of the period, with their ``state`` and whether one ``has_problem``.
        evidence: of all series.
        inside: the stretches as far as they lie in the period.
        thresholds: ``refusal_share`` and ``floor_sessions``.
    """
    dates = {"since": period.since, "until": period.until}
    problems = connection.execute(_PROBLEMS, dates).df()
    # what the sessions show together, and no rule of one measurement explains
    filters = connection.execute(_CHOSEN_FILTERS, dates).df().assign(problem="local_filter")
    told = pd.concat([_count_defects(inside, evidence).assign(problem="instrument"), filters])
    less = told.assign(problem="", problem_count=-told["problem_count"])
    problems = pd.concat([problems, told, less], ignore_index=True)
    given = {
        "refusal_share": exact(thresholds.refusal_share),
        "floor_sessions": thresholds.floor_sessions,
    }
    refusing = connection.execute(_REFUSING_SITES, given).df()["domain"]
    is_refusal = problems["domain"].isin(refusing) | (problems["problem"] != "geo_restricted")
    problems["problem"] = problems["problem"].where(is_refusal, "")
    # of all sessions of a site whose name does not exist one reason is given
    is_left = problems["domain"].isin(connection.execute(_LEFTOVERS, dates).df()["domain"])
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
