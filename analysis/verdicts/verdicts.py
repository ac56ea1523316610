"""The verdict on each site and network: state, mechanism, dates, counts and a witness."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.blocks import CLASS_SESSIONS, count_inside, judge_intervals
from analysis.verdicts.intervals import CELL, interval_table, sessions_to_merge
from analysis.verdicts.robustness import sessions_to_flip
from analysis.verdicts.states import strength, wilson_bounds
from analysis.verdicts.witnesses import add_witness
from analysis.vocabulary import LISTED

#: Mechanisms that rest on what other sessions saw as well as on the cell's own.
_PROFILED = ["dns.loopback", "dns.bogon", "dns.sinkhole", "dns.other", "http.blockpage"]

# Measurements of each part of the time, see ``intervals.add_period_parts``, by what they show. A
# session belongs to the day on which it began, and so do its measurements: a report that runs over
# midnight must not leave a period with measurements and without a session.
_MEASUREMENT_COUNTS = """
CREATE OR REPLACE TEMP TABLE measurement_counts AS
WITH long AS (
  SELECT session FROM outcomes GROUP BY session HAVING min(day) < max(day)
), begun AS (
  SELECT domain, probe_asn, session, day FROM sessions SEMI JOIN long USING (session)
), dated AS (
  SELECT o.*, coalesce(b.day, o.day) AS session_day
  FROM outcomes o LEFT JOIN begun b USING (domain, probe_asn, session)
  WHERE o.domain <> ''
)
SELECT domain, probe_asn, part, class, set_aside,
  CASE WHEN class = 'blocked' AND resolver_asn > 0 AND dns_rule = rule_id
    THEN resolver_asn END AS blocking_resolver_asn,
  -- what OONI flags, and what a rule reads as blocking or as a refusal
  is_anomaly OR is_confirmed OR class = 'blocked' OR set_aside = 'geo_restricted' AS is_problem,
  count(*) AS measurement_count
FROM dated JOIN period_parts ON session_day >= part AND session_day < next_part
GROUP BY ALL
"""

_CELL_COUNTS = """
WITH inside AS (
  FROM measurement_counts WHERE part >= $since AND part < $until
), counted AS (
  SELECT domain, probe_asn,
    sum(measurement_count)::BIGINT AS measurement_count,
    coalesce(sum(measurement_count) FILTER (class = 'blocked'), 0)::BIGINT AS blocked_count,
    coalesce(sum(measurement_count) FILTER (class = 'down'), 0)::BIGINT AS down_count,
    coalesce(sum(measurement_count) FILTER (class = 'ok'), 0)::BIGINT AS ok_count,
    coalesce(sum(measurement_count) FILTER (class = 'unknown'), 0)::BIGINT AS unknown_count
  FROM inside GROUP BY ALL
), resolvers AS (
  SELECT domain, probe_asn, string_agg('AS' || asn, ';' ORDER BY asn) AS resolver_asns
  FROM (SELECT DISTINCT domain, probe_asn, blocking_resolver_asn AS asn FROM inside)
  WHERE asn IS NOT NULL GROUP BY ALL
), days AS (
  SELECT domain, probe_asn, sum(day_count)::BIGINT AS day_count,
    sum(session_count)::BIGINT AS session_count,
    sum(blocked_sessions)::BIGINT AS blocked_session_count,
    sum(down_sessions)::BIGINT AS down_session_count,
    sum(ok_sessions)::BIGINT AS ok_session_count
  FROM interval_parts WHERE via = 'all' AND part >= $since AND part < $until GROUP BY ALL
)
SELECT domain::VARCHAR AS domain, probe_asn, m.* EXCLUDE (domain, probe_asn),
  s.* EXCLUDE (domain, probe_asn), coalesce(resolver_asns, '') AS resolver_asns
FROM counted m JOIN days s USING (domain, probe_asn)
  LEFT JOIN resolvers USING (domain, probe_asn)
ORDER BY domain, probe_asn
"""

# What most of a cell's problems are: the first row of each.
_PROBLEMS = """
SELECT domain::VARCHAR AS domain, probe_asn,
  CASE WHEN set_aside <> '' THEN set_aside::VARCHAR WHEN class = 'blocked' THEN 'blocked'
       ELSE 'other' END AS problem,
  sum(measurement_count)::BIGINT AS problem_count
FROM measurement_counts WHERE is_problem AND part >= $since AND part < $until
GROUP BY ALL ORDER BY domain, probe_asn, problem_count DESC, problem
"""

# On how many of the access networks that tell anything about a site it refuses most sessions. A
# site that refuses the country may well let its hosters and VPNs in.
_REFUSING_SITES = """
WITH cells AS (
  SELECT domain, probe_asn, 2 * count(*) FILTER (is_refused) > count(*) AS is_refusing
  FROM sessions WHERE is_scored AND probe_asn IN (FROM domestic_resolvers) GROUP BY ALL
)
SELECT domain::VARCHAR AS domain FROM cells GROUP BY domain
HAVING count(*) FILTER (is_refusing) >= $refusal_share * count(*)
   AND count(*) FILTER (is_refusing) > 0 ORDER BY domain
"""


@dataclass(frozen=True)
class Judgement:
    """What the confirmation stage says.

    Attributes:
        verdicts: one row per ``domain, probe_asn, period``; the contract's ``verdicts.csv``
            without ``operator``.
        intervals: one row per listed interval; the contract's ``blocking_intervals.csv``.
    """

    verdicts: pd.DataFrame
    intervals: pd.DataFrame


def judge_cells(
    connection: duckdb.DuckDBPyConnection,
    periods: Mapping[str, Period],
    thresholds: Thresholds,
    *,
    domestic_asns: Iterable[int],
    has_explorer: bool,
) -> Judgement:
    """Judge every site on every network, over intervals, for each named period.

    Args:
        connection: holds ``outcomes``.
        periods: ``all``, ``first`` and ``second``; ``all`` spans the others.
        thresholds: the method's numbers.
        domestic_asns: the country's access networks.
        has_explorer: witnesses have a page in OONI Explorer (false for a fictional country).
    """
    judged = judge_intervals(connection, periods, thresholds, domestic_asns=domestic_asns)
    connection.execute(_MEASUREMENT_COUNTS)
    # As the decimal that it is written as: 0.9 of 30 networks are 27, which they are not in binary.
    share = {"refusal_share": Decimal(repr(thresholds.refusal_share))}
    refusing = set(connection.execute(_REFUSING_SITES, share).df()["domain"])
    judged["sessions_to_merge"] = sessions_to_merge(judged, thresholds)
    intervals = interval_table(connection, judged)
    tables = []
    for name, period in periods.items():
        inside = judged if name == "all" else count_inside(connection, judged, period, thresholds)
        tables.append(
            _verdicts_of(
                connection, name, period, inside, judged, refusing, thresholds,
                has_explorer=has_explorer,
            )
        )  # fmt: skip
    del judged, inside  # joining and sorting the tables takes most memory of all
    verdicts = pd.concat(tables, ignore_index=True)
    tables.clear()
    return Judgement(verdicts.sort_values([*CELL, "period"], ignore_index=True), intervals)


def _verdicts_of(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    period: Period,
    judged: pd.DataFrame,
    whole: pd.DataFrame,
    refusing: set[str],
    thresholds: Thresholds,
    *,
    has_explorer: bool,
) -> pd.DataFrame:
    """One period's rows of ``verdicts``, from its own intervals and those of the whole."""
    inside = {"since": period.since, "until": period.until}
    counts = connection.execute(_CELL_COUNTS, inside).df()
    strongest = (
        judged.assign(rank=strength(judged["state"]))
        .sort_values(
            [*CELL, "rank", "blocked_sessions", "interval"],
            ascending=[True, True, True, False, True],
        )
        .drop_duplicates(CELL)
    )
    table = counts.merge(
        strongest[[*CELL, "state", "rule_id", "mechanism"]], on=CELL, how="left"
    ).assign(period=name)
    # In a half the view that was chosen for the whole may have nothing to show.
    table["state"] = table["state"].fillna("insufficient")
    table["sessions_to_flip"] = _flips(table, judged, strongest, whole, thresholds)
    listed = table["state"].isin(LISTED)
    table.loc[~listed, ["rule_id", "mechanism"]] = ""
    table["set_aside_reason"] = _set_aside_reasons(connection, table, period, refusing)
    withheld = judged[judged["withheld"] != ""].groupby(CELL)["withheld"].first()
    why = withheld.reindex(pd.MultiIndex.from_frame(table[CELL])).set_axis(table.index)
    table = _add_share(table, judged, listed)
    table = _add_dates(table, judged, period, thresholds)
    table["note"] = table["note"].mask(why.notna() & ~listed, why)
    table = add_witness(connection, table, period, has_explorer=has_explorer)
    table["resolver_asns"] = table["resolver_asns"].where(listed, "")
    return table


def _flips(
    table: pd.DataFrame,
    judged: pd.DataFrame,
    strongest: pd.DataFrame,
    whole: pd.DataFrame,
    thresholds: Thresholds,
) -> pd.Series:
    """``sessions_to_flip`` of each cell, in the order of ``table``.

    A state rests on its interval's sessions, the whole of them, and on those in the period.
    """
    behind = whole.drop(columns="state").merge(
        strongest[[*CELL, "interval", "state", *CLASS_SESSIONS, "artefact_sessions"]],
        on=[*CELL, "interval"],
        suffixes=("", "_inside"),
    )
    there = judged.groupby(CELL)[[*CLASS_SESSIONS, "session_count"]].sum()
    there["none_sessions"] = there["session_count"] - there[CLASS_SESSIONS].sum(axis=1)
    # What the other half shows, or may come to show, may make one block of both.
    everywhere = whole.groupby(CELL)[[*CLASS_SESSIONS, "artefact_sessions", "session_count"]].sum()
    there["artefact_sessions"] = (
        everywhere["artefact_sessions"] + everywhere["session_count"]
        - everywhere[["blocked_sessions", "down_sessions", "ok_sessions"]].sum(axis=1)
    )  # fmt: skip
    there = there.add_prefix("all_").reset_index()
    counts = table[CELL].merge(behind, on=CELL, how="left").merge(there, on=CELL, how="left")
    counts["is_profiled"] = counts["mechanism"].isin(_PROFILED)
    days = (counts["blocked_until"] - counts["blocked_from"]).dt.days
    is_timeout = counts["mechanism"].fillna("").str.endswith(".timeout")
    is_brief = is_timeout & (days < 4 * thresholds.route_days)
    # A cut between time-outs and firmer failures leaves the time-outs alone, and what has most
    # sessions of several mechanisms is soon another.
    firm, blocked = counts["firm_sessions"], counts["blocked_sessions"]
    lesser = np.minimum(firm, blocked - firm)
    is_mixed = (lesser >= thresholds.floor_sessions) | (2 * counts["rule_sessions"] <= blocked)
    counts["is_frail"] = is_brief | ((counts["state"] == "likely_blocked") & is_mixed)
    return sessions_to_flip(counts, thresholds).set_axis(table.index)


def _set_aside_reasons(
    connection: duckdb.DuckDBPyConnection,
    table: pd.DataFrame,
    period: Period,
    refusing: set[str],
) -> pd.Series:
    """Why a cell with problems is not listed: what explains most of them."""
    inside = {"since": period.since, "until": period.until}
    problems = connection.execute(_PROBLEMS, inside).df()
    top = table[CELL].merge(problems.drop_duplicates(CELL), on=CELL, how="left")["problem"]
    top.index = table.index
    state = table["state"]
    # Where enough was tested to say that the site is reached, a few failures are no want of tests.
    unexplained = state.where(state != "ok", "anomaly_unexplained")
    is_refusal = (top == "geo_restricted") & table["domain"].isin(refusing)
    explained = ~top.isin(["blocked", "other", "geo_restricted"]) | is_refusal
    return top.where(explained, unexplained).where(top.notna() & ~state.isin(LISTED), "")


def _add_share(table: pd.DataFrame, judged: pd.DataFrame, listed: pd.Series) -> pd.DataFrame:
    """Blocked sessions over blocked and ok ones: inside the interval, or over the period."""
    columns = ["blocked_sessions", "ok_sessions"]
    inside = judged[judged["state"].isin(LISTED)].groupby(CELL)[columns].sum()
    table = table.merge(inside.reset_index(), on=CELL, how="left")
    hits = table["blocked_sessions"].where(listed, table["blocked_session_count"])
    total = hits + table["ok_sessions"].where(listed, table["ok_session_count"])
    low, high = wilson_bounds(hits, total)
    share = (hits / total.where(total > 0)).astype("float64")
    return table.assign(blocked_share=share, blocked_share_low=low, blocked_share_high=high).drop(
        columns=columns
    )


def _add_dates(
    table: pd.DataFrame,
    judged: pd.DataFrame,
    period: Period,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """First and last day of blocking over the listed intervals, and what to know about them."""
    listed = judged[judged["state"].isin(LISTED)]
    span = listed.groupby(CELL, sort=True).agg(
        blocked_from=("blocked_from", "min"), last_blocked=("blocked_until", "max")
    )
    table = table.merge(span.reset_index(), on=CELL, how="left")
    # The last day on which anything is known of a cell, and the first on which it was seen open.
    known = judged.groupby(CELL).agg(
        last_known=("last_known", "max"), first_open=("first_open", "min")
    )
    table = table.merge(known.reset_index(), on=CELL, how="left")
    end, last, first = table["last_known"], table["last_blocked"], table["blocked_from"]
    is_listed = first.notna()
    to_the_end = is_listed & (last >= end)
    is_recent = (pd.Timestamp(period.until) - end).dt.days <= thresholds.not_tested_days
    unseen_before = is_listed & ~(table["first_open"] < first)
    since = unseen_before.map({True: "at least since", False: ""})
    until = (to_the_end & ~is_recent).map({True: "not tested since", False: ""})
    return table.assign(
        blocked_from=_iso(first),
        blocked_until=_iso(last.mask(to_the_end & is_recent)),
        note=since + pd.Series("; ", table.index).where((since != "") & (until != ""), "") + until,
    ).drop(columns=["last_blocked", "last_known", "first_open"])


def _iso(days: pd.Series) -> pd.Series:
    """Days as ISO text, empty where there is none."""
    text: pd.Series = days.dt.strftime("%Y-%m-%d").fillna("")
    return text
