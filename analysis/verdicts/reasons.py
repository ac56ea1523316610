"""Why a site with problems is not listed, and why a cell says nothing."""

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import exact
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.blocks import LOWER_LINE, Evidence
from analysis.verdicts.cells import MARKED_DAYS, Inside
from analysis.verdicts.intervals import CELL
from analysis.verdicts.rivals import ONE_KIND_OF_PROBE
from analysis.verdicts.series import MARK
from analysis.vocabulary import LISTED, SET_ASIDE_REASONS

# What failed at each site on each network, by the reason that a rule gives, else by mechanism.
_PROBLEMS = """
SELECT enum_code(domain)::INTEGER AS domain, probe_asn,
  CASE WHEN set_aside <> '' THEN set_aside::VARCHAR ELSE mechanism::VARCHAR END AS problem,
  sum(measurement_count)::BIGINT AS problem_count
FROM measurement_counts
WHERE (is_problem OR set_aside NOT IN ('', 'broken_session')) AND part >= $since AND part < $until
GROUP BY ALL
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


def why_insufficient(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Which it is: too few sessions, too few days (of a mark, too), or tests that disagree."""
    total = count_heard(table)
    few = [total < thresholds.floor_sessions, table["day_count"] < thresholds.floor_days]
    few.append(table["marked_days"] >= MARKED_DAYS)
    codes = ["few_sessions", "few_days", "few_days"]
    why = pd.Series(np.select(few, codes, "mixed"), table.index)
    return why.where(table["state"] == "insufficient", "")


def set_aside_reasons(
    connection: duckdb.DuckDBPyConnection,
    table: pd.DataFrame,
    evidence: Evidence,
    inside: Inside,
    period: Period,
    thresholds: Thresholds,
) -> pd.Series:
    """Why a site with problems is not listed: one reason a site, the one that explains most.

    Args:
        connection: holds ``measurement_counts, sessions`` and what they are made of.
        table: the cells of the period, with their ``state`` and whether one ``has_problem``.
        evidence: of all series.
        inside: the stretches as far as they lie in the period.
        thresholds: ``refusal_share`` and ``floor_sessions``.
    """
    dates = {"since": period.since, "until": period.until}
    problems = _sum_problems(connection.execute(_PROBLEMS, dates).df(), table, evidence)
    # what the sessions show together, and no rule of one measurement explains
    problems = _take_out(problems, _count_defects(inside, evidence), "instrument")
    filters = connection.execute(_CHOSEN_FILTERS, dates).df()
    problems = _take_out(problems, filters, "local_filter")
    share = exact(thresholds.refusal_share)
    given = {"refusal_share": share, "floor_sessions": thresholds.floor_sessions}
    refusing = connection.execute(_REFUSING_SITES, given).df()["domain"]
    is_refusal = problems["domain"].isin(refusing) | (problems["problem"] != "geo_restricted")
    problems["problem"] = problems["problem"].where(is_refusal, "")
    # Broken sessions are no site's own: they explain what nothing else does. Of as many that are
    # explained and unexplained, the explanation counts.
    problems["is_broken"] = problems["problem"] == "broken_session"
    problems["is_unexplained"] = ~problems["problem"].isin(SET_ASIDE_REASONS)
    order = ["domain", "is_broken", "problem_count", "is_unexplained", "problem"]
    ranked = problems.sort_values(order, ascending=[True, True, False, True, True])
    largest = ranked.drop_duplicates("domain").set_index("domain")["problem"]
    reason = table["domain"].map(largest.where(largest.isin(SET_ASIDE_REASONS)))
    is_asked = table["has_problem"] & ~table["state"].isin(LISTED)
    otherwise = table["domain"].map(_by_state(table[is_asked]))
    return reason.where(reason.notna(), otherwise).where(is_asked, "").fillna("")


def _sum_problems(problems: pd.DataFrame, table: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """The problems of each site: ``domain, problem, problem_count``.

    Where a network mostly reaches the site and shows nothing that is surprising or a mark, what no
    rule explains needs no reason: it must not outweigh one that there is.
    """
    series = evidence.series
    is_beyond = series.is_weighed & (evidence.log_evidence >= LOWER_LINE) | (series.kind == MARK)
    surprising = series.cells[CELL].iloc[np.unique(series.cell[is_beyond])]
    is_reached = table["state"].isin(["ok", "insufficient"]) & (
        table["ok_session_count"] > table["blocked_session_count"]
    )
    reached, surprised, cells = (
        pd.MultiIndex.from_frame(one[CELL])
        for one in (table[is_reached], surprising, problems)
    )  # fmt: skip
    is_usual = cells.isin(reached) & ~cells.isin(surprised)
    counts = ~is_usual | problems["problem"].isin(SET_ASIDE_REASONS)
    sums = problems[counts].groupby(["domain", "problem"])["problem_count"].sum()
    return sums.reset_index()


def _count_defects(inside: Inside, evidence: Evidence) -> pd.DataFrame:
    """Sessions of each site that failed in one kind of probe alone: ``domain, problem_count``."""
    of_probe = inside.counted.index[inside.counted["reason"] == ONE_KIND_OF_PROBE]
    elements = inside.elements
    rows = elements.loc[elements["is_hit"] & elements["stretch"].isin(of_probe), "row"].unique()
    found = pd.DataFrame({"domain": evidence.series.look_up("domain", rows)})
    return found.groupby("domain").size().rename("problem_count").reset_index()


def _take_out(problems: pd.DataFrame, found: pd.DataFrame, reason: str) -> pd.DataFrame:
    """``problems`` with one more ``reason``, taken from what a site's failures mostly are."""
    unexplained = problems[~problems["problem"].isin(SET_ASIDE_REASONS)]
    most = unexplained.loc[unexplained.groupby("domain")["problem_count"].idxmax()]
    taken = most[["domain"]].merge(found, on="domain", how="left").set_index(most.index)
    rest = problems["problem_count"].sub(taken["problem_count"], fill_value=0)
    left = problems.assign(problem_count=rest)
    return pd.concat([left, found.assign(problem=reason)], ignore_index=True)


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
        table["blocked_session_count"] + table["down_session_count"] + table["ok_session_count"]
        + table["unclear_sessions"] - table["unheard_sessions"]
    )  # fmt: skip
