"""The state of each interval: counted, judged alone and with others like it, in one view."""

from collections.abc import Iterable, Mapping

import duckdb
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.intervals import CELL, INTERVAL, VIEW, add_intervals
from analysis.verdicts.sessions import add_sessions, stray_shares
from analysis.verdicts.states import (
    is_told_by_artefacts,
    judge_states,
    may_be_chance,
    meets_floor,
    strength,
)
from analysis.verdicts.withholding import withhold_lost, withhold_unreached
from analysis.vocabulary import LISTED

#: Sessions of each class that counts, and the days with any.
CLASS_SESSIONS = ["blocked_sessions", "down_sessions", "ok_sessions", "unclear_sessions"]
_CLASS_DAYS = ["blocked_days", "down_days", "ok_days", "unclear_days", "failing_days"]
_STRAY_SHARES = ["timeout_share", "loose_share"]

# Sessions and days of each interval as far as it lies in the period, of all views or the chosen.
_INTERVAL_SUMS = r"""
CREATE OR REPLACE TEMP TABLE interval_sums AS
SELECT via, domain, probe_asn, interval, min(since) AS since, max(until) AS until,
  sum(COLUMNS('_(sessions|days)$|^session_count$|^day_count$'))::BIGINT AS '\0',
  max(last_known) AS last_known, min(first_open) AS first_open
FROM query_table($parts) WHERE part >= $since AND part < $until
GROUP BY via, domain, probe_asn, interval
"""

# What explains most blocked measurements of each interval; ties go to the earlier layer.
_BLOCKED_RULES = """
SELECT i.via::VARCHAR AS via, o.domain::VARCHAR AS domain, o.probe_asn, i.interval,
  o.rule_id::VARCHAR AS rule_id, any_value(o.mechanism)::VARCHAR AS mechanism,
  count(DISTINCT o.session) AS sessions, count(*) AS blocked_measurements,
  any_value(o.rule_order) AS rule_order
FROM outcomes o JOIN interval_sums i ON i.domain = o.domain AND i.probe_asn = o.probe_asn
  AND i.blocked_sessions > 0 AND o.day BETWEEN i.since AND i.until
  AND (i.via = 'all' OR o.resolver_asn IN (FROM domestic_resolvers))
WHERE o.class = 'blocked' AND NOT o.is_about_target AND o.evidence = 'scored'
GROUP BY ALL
"""

# A block is one thing: time-outs count at the one layer that has most of them, and beside firmer
# failures only where they are common. What counts of the blocked sessions is the block's core.
_CORE_DAYS = """
CREATE OR REPLACE TEMP VIEW core_days AS
WITH timeouts AS (
  SELECT via, domain, probe_asn, interval, blocked_sessions, [dns_timeout_sessions,
    tcp_timeout_sessions, tls_timeout_sessions, http_timeout_sessions] AS by_layer
  FROM interval_sums WHERE blocked_sessions > 0
), layers AS (
  SELECT via, domain, probe_asn, interval, list_position(by_layer, list_max(by_layer)) AS layer,
    4 * list_max(by_layer) >= blocked_sessions AS is_common
  FROM timeouts
)
SELECT via, domain, probe_asn, interval, d.day, d.firm_sessions + CASE WHEN l.is_common
  THEN [d.dns_timeout_sessions, d.tcp_timeout_sessions, d.tls_timeout_sessions,
    d.http_timeout_sessions][l.layer] ELSE 0 END AS core_sessions
FROM interval_days d JOIN layers l USING (via, domain, probe_asn, interval)
WHERE d.blocked_sessions > 0
"""

# A stray time-out between access and a block does not move the block's edge; one in a cell's first
# or last interval, beyond which nothing was seen, does.
_INTERVAL_COUNTS = """
WITH cores AS (
  SELECT via, domain, probe_asn, interval, sum(core_sessions)::BIGINT AS core_sessions,
    min(day) AS first_blocked, max(day) AS last_blocked,
    min(day) FILTER (core_sessions > 0) AS first_core,
    max(day) FILTER (core_sessions > 0) AS last_core
  FROM core_days WHERE day >= $since AND day < $until GROUP BY ALL
), ends AS (
  SELECT via, domain, probe_asn, min(interval) AS first_interval, max(interval) AS last_interval
  FROM interval_sums GROUP BY ALL
)
SELECT s.* EXCLUDE (since, until)
    REPLACE (via::VARCHAR AS via, domain::VARCHAR AS domain),
  coalesce(c.core_sessions, 0) AS core_sessions,
  CASE WHEN s.interval = e.first_interval AND c.first_core IS NOT NULL THEN c.first_blocked
       ELSE c.first_core END AS blocked_from,
  CASE WHEN s.interval = e.last_interval AND c.last_core IS NOT NULL THEN c.last_blocked
       ELSE c.last_core END AS blocked_until
FROM interval_sums s JOIN ends e USING (via, domain, probe_asn)
  LEFT JOIN cores c USING (via, domain, probe_asn, interval)
ORDER BY s.via, s.domain, s.probe_asn, s.interval
"""

# Where the country's own resolvers block, on whatever network.
_BLOCKED_BY_DOMESTIC_RESOLVERS = """
SELECT domain::VARCHAR AS domain, probe_asn FROM sessions
WHERE class = 'blocked' AND is_via_domestic GROUP BY ALL HAVING count(*) >= $floor_sessions
"""

# A cell is looked at as a whole, or through the country's resolvers only.
_CHOSEN_PARTS = """
CREATE OR REPLACE TEMP TABLE chosen_parts AS
FROM interval_parts
WHERE (via = 'domestic')
  = ((domain, probe_asn) IN (SELECT domain::host_name, probe_asn FROM domestic_at_hand))
"""


def judge_intervals(
    connection: duckdb.DuckDBPyConnection,
    periods: Mapping[str, Period],
    thresholds: Thresholds,
    *,
    domestic_asns: Iterable[int],
) -> pd.DataFrame:
    """The state of every interval of steady behaviour, before it becomes a verdict.

    Args: as for ``judge_cells``.

    Returns:
        One row per ``domain, probe_asn, interval`` of the period ``all``: its counts, ``state``,
        the rule and mechanism of most of its blocked sessions, and its dates. The connection holds
        ``sessions``, ``interval_days``, ``interval_parts``, and ``chosen_parts``, those of the
        view that each cell is judged by.
    """
    add_sessions(connection, domestic_asns, thresholds)
    add_intervals(connection, periods.values(), thresholds)
    counts = _count_intervals(connection, "interval_parts", periods["all"])
    counts = counts.merge(stray_shares(connection), on="probe_asn", how="left")
    counts[_STRAY_SHARES] = counts[_STRAY_SHARES].fillna(0.0)
    counts["state"] = judge_states(counts, thresholds)
    together = _judge_together(counts, thresholds)
    counts = counts.assign(
        state=together.fillna(counts["state"]),
        together=counts["mechanism"].where(together.notna(), ""),
    )
    judged = _choose_view(connection, counts, thresholds)
    judged = withhold_unreached(connection, judged, thresholds)
    return withhold_lost(connection, judged, thresholds)


def _count_intervals(
    connection: duckdb.DuckDBPyConnection, parts: str, period: Period
) -> pd.DataFrame:
    """Each interval with its counts and dates in the period, and the rule that explains it."""
    inside = {"since": period.since, "until": period.until}
    connection.execute(_INTERVAL_SUMS, {"parts": parts, **inside})
    connection.execute(_CORE_DAYS)
    counts = connection.execute(_INTERVAL_COUNTS, inside).df()
    counts = counts.merge(_explaining_rules(connection), on=INTERVAL, how="left")
    return counts.fillna({"one_layer_sessions": 0})


def count_inside(
    connection: duckdb.DuckDBPyConnection,
    judged: pd.DataFrame,
    period: Period,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """The intervals as far as they lie in a half, with what is known of each from the whole.

    An interval is one behaviour and has one state. In a half it has it where the half's own
    sessions meet the floor for it; else it is *insufficient*. Several short blocks that met the
    floor together may meet it together there. *blocked* is *likely blocked* where the half lacks
    the artefacts.
    """
    known = [*INTERVAL, "state", "together", "withheld"]
    counts = _count_intervals(connection, "chosen_parts", period).merge(judged[known], on=INTERVAL)
    sums = [*CLASS_SESSIONS, "artefact_sessions", "firm_sessions", "blocked_days", "failing_days"]
    together = counts.groupby([*VIEW, "together"])[sums].transform("sum")
    holding = counts.assign(**together.where(counts["together"] != "", counts[sums]))
    is_listed = counts["state"].isin(LISTED)
    # A report that runs over the half's edge leaves its session on one side, and may leave the
    # measurement that shows the block on the other.
    is_met = meets_floor(holding, thresholds) & (counts["rule_id"].notna() | ~is_listed)
    is_bare = (counts["state"] == "blocked") & ~is_told_by_artefacts(holding, thresholds)
    state = counts["state"].mask(is_bare, "likely_blocked").where(is_met, "insufficient")
    return counts.assign(state=state, withheld=counts["withheld"].where(is_met, ""))


def _judge_together(counts: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """The state of several short blocks of one site on one network; NaN for all other intervals.

    A site blocked twice for a week each time is blocked: the intervals that are mostly blocked in
    one way and too short alone are judged on their sum. They have been picked out for being
    blocked, so that beside all of the cell's sessions they must be more than chance as well.
    """
    short = counts[
        (counts["state"] == "insufficient")
        & (2 * counts["blocked_sessions"] > counts[CLASS_SESSIONS].sum(axis=1))
    ]
    sums = [
        *CLASS_SESSIONS, "artefact_sessions", "firm_sessions", "loose_sessions", "core_sessions",
        "one_layer_sessions", *_CLASS_DAYS,
    ]  # fmt: skip
    key = [*VIEW, "mechanism"]
    together = short.groupby(key, sort=True)[sums].sum()
    together[_STRAY_SHARES] = short.groupby(key, sort=True)[_STRAY_SHARES].max()
    whole = counts.groupby(VIEW)[CLASS_SESSIONS].sum()
    beside = together.drop(columns=CLASS_SESSIONS).join(whole, on=VIEW)
    beside["blocked_sessions"] = together["blocked_sessions"]
    states = judge_states(together, thresholds).mask(may_be_chance(beside), "insufficient")
    judged = short[key].merge(states.rename("together").reset_index(), on=key, how="left")
    state = judged["together"].set_axis(short.index)
    return state.where(state.isin(LISTED)).reindex(counts.index)


def _choose_view(
    connection: duckdb.DuckDBPyConnection, judged: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """Keep one view per cell, here and as ``chosen_parts``: of all sessions, or of some.

    Of those that used a resolver of the country where they show a DNS block that is no weaker: what
    a public resolver answers is no evidence against a block by the network's own, nor that it began
    later or has ended. And where they reach the site and only sessions through resolvers outside
    the country's networks meet a DNS block: what a filter that a user chose answers is no evidence
    against the network.
    """
    rank = judged.assign(rank=strength(judged["state"]))
    is_dns = rank["mechanism"].fillna("").str.startswith("dns.") & rank["state"].isin(LISTED)
    best = rank[rank["via"] == "all"].groupby(CELL)["rank"].min()
    through = rank[(rank["via"] == "domestic") & is_dns].groupby(CELL)["rank"].min()
    no_weaker = through[through <= best.reindex(through.index)].index
    accused = rank[(rank["via"] == "all") & is_dns].set_index(CELL).index
    own = rank[rank["via"] == "domestic"].sort_values("rank").groupby(CELL)["state"].first()
    floor = {"floor_sessions": thresholds.floor_sessions}
    blocking = connection.execute(_BLOCKED_BY_DOMESTIC_RESOLVERS, floor).df()
    cleared = accused.intersection(own[own == "ok"].index).difference(
        pd.MultiIndex.from_frame(blocking)
    )
    domestic = no_weaker.union(cleared).to_frame(index=False)
    rows = domestic.astype({"domain": "str", "probe_asn": "uint32"})
    connection.register("domestic_at_hand", rows)
    connection.execute(_CHOSEN_PARTS)
    connection.unregister("domestic_at_hand")
    is_domestic = pd.MultiIndex.from_frame(judged[CELL]).isin(pd.MultiIndex.from_frame(domestic))
    return judged[(judged["via"] == "domestic") == is_domestic].reset_index(drop=True)


def _explaining_rules(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The rule and mechanism of most blocked sessions of each interval that has any."""
    rules = connection.execute(_BLOCKED_RULES).df()
    ranked = rules.sort_values(
        [*INTERVAL, "sessions", "rule_order"], ascending=[True, True, True, True, False, True]
    )
    totals = rules.groupby(INTERVAL)["blocked_measurements"].sum()
    # A box that reads the name cuts a handshake or a plain request, whichever a probe makes.
    layer = rules["mechanism"].str.split(".").str[0].replace("http", "tls").rename("layer")
    by_layer = rules.groupby([*INTERVAL, layer])["sessions"].sum()
    one_layer = by_layer.groupby(level=INTERVAL).max().rename("one_layer_sessions")
    top = ranked.drop_duplicates(INTERVAL)[[*INTERVAL, "rule_id", "mechanism", "sessions"]]
    top = top.rename(columns={"sessions": "rule_sessions"})
    counts = pd.concat([totals, one_layer], axis=1).reset_index()
    return top.merge(counts, on=INTERVAL)
