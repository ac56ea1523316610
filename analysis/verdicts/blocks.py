"""The state of each interval: counted, judged alone and with others like it, in one view."""

from collections.abc import Iterable, Mapping

import duckdb
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.intervals import CELL, COUNTED_DAYS, SUMMED, VIEW, add_intervals
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

COUNTED_CLASSES = ["blocked", "down", "ok", "unclear"]
_STRAYS = ["timeout_share", "loose_share"]

# What explains most blocked measurements of each interval; ties go to the earlier layer.
_BLOCKED_RULES = """
WITH spans AS (
  SELECT via, domain, probe_asn, interval, min(since) AS since, max(until) AS until
  FROM interval_parts WHERE is_looked_at AND part >= $since AND part < $until
  GROUP BY ALL HAVING sum(blocked) > 0
)
SELECT c.via::VARCHAR AS via, o.domain::VARCHAR AS domain, o.probe_asn, c.interval,
       o.rule_id::VARCHAR AS rule_id, any_value(o.mechanism)::VARCHAR AS mechanism,
       count(DISTINCT o.session) AS sessions, count(*) AS blocked_measurements,
       any_value(o.rule_order) AS rule_order
FROM outcomes o JOIN spans c ON c.domain = o.domain AND c.probe_asn = o.probe_asn
  AND o.day BETWEEN c.since AND c.until
  AND (c.via = 'all' OR o.resolver_asn IN (FROM domestic_resolvers))
WHERE o.class = 'blocked' AND NOT o.is_about_target AND o.evidence = 'scored'
GROUP BY ALL
"""

# Sessions and days per class in each interval, as far as it lies in the period.
#
# A block is one thing: time-outs count at the one layer that has most of them, and beside firmer
# failures only where they are common (``core``). A stray time-out between access and a block does
# not move the block's edge; one in a cell's first or last interval, beyond which nothing was seen,
# does.
_INTERVAL_COUNTS = """
WITH sums AS (
  SELECT via, domain, probe_asn, interval, {sums}, max(last_known) AS last_known,
    min(first_open) AS first_open
  FROM interval_parts WHERE is_looked_at AND part >= $since AND part < $until GROUP BY ALL
), layers AS (
  SELECT via, domain, probe_asn, interval,
    list_position(stalling, list_max(stalling)) AS layer,
    4 * list_max(stalling) >= blocked AS is_common
  FROM (SELECT *, [timeout_dns, timeout_tcp, timeout_tls, timeout_http] AS stalling
        FROM sums WHERE blocked > 0)
), marked AS (
  SELECT d.via, d.domain, d.probe_asn, d.interval, d.day, d.firm + CASE WHEN l.is_common
    THEN [d.timeout_dns, d.timeout_tcp, d.timeout_tls, d.timeout_http][l.layer] ELSE 0 END AS core
  FROM session_days d JOIN layers l USING (via, domain, probe_asn, interval)
  WHERE d.blocked > 0 AND d.day >= $since AND d.day < $until
), cores AS (
  SELECT via, domain, probe_asn, interval, sum(core)::BIGINT AS core,
    min(day) AS first_blocked, max(day) AS last_blocked,
    min(day) FILTER (core > 0) AS first_core, max(day) FILTER (core > 0) AS last_core
  FROM marked GROUP BY ALL
), ends AS (
  SELECT via, domain, probe_asn, min(interval) AS first_interval, max(interval) AS last_interval
  FROM sums GROUP BY ALL
)
SELECT s.* REPLACE (via::VARCHAR AS via, domain::VARCHAR AS domain), coalesce(c.core, 0) AS core,
  CASE WHEN s.interval = e.first_interval AND c.first_core IS NOT NULL THEN c.first_blocked
       ELSE c.first_core END AS blocked_from,
  CASE WHEN s.interval = e.last_interval AND c.last_core IS NOT NULL THEN c.last_blocked
       ELSE c.last_core END AS blocked_until
FROM sums s JOIN ends e USING (via, domain, probe_asn)
  LEFT JOIN cores c USING (via, domain, probe_asn, interval)
ORDER BY s.via, s.domain, s.probe_asn, s.interval
"""

# Where the country's own resolvers block, on whatever network.
_VIA_DOMESTIC = """
SELECT domain::VARCHAR AS domain, probe_asn FROM sessions
WHERE class = 'blocked' AND is_via_domestic GROUP BY ALL HAVING count(*) >= {floor_sessions}
"""

# A cell is looked at as a whole, or through the country's resolvers only.
_LOOK_AT_CHOSEN = """
UPDATE interval_parts SET is_looked_at = FALSE
WHERE (via = 'domestic')
  <> ((domain, probe_asn) IN (SELECT domain::host_name, probe_asn FROM chosen))
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
        ``sessions``, ``session_days`` and ``interval_parts``, summed up so that each of
        ``periods`` can be told apart.
    """
    add_sessions(connection, domestic_asns, thresholds)
    add_intervals(connection, periods.values(), thresholds)
    counts = _count_intervals(connection, periods["all"])
    counts = counts.merge(stray_shares(connection), on="probe_asn", how="left")
    counts[_STRAYS] = counts[_STRAYS].fillna(0.0)
    counts["state"] = judge_states(counts, thresholds)
    together = _judge_together(counts, thresholds)
    counts = counts.assign(
        state=together.fillna(counts["state"]),
        together=counts["mechanism"].where(together.notna(), ""),
    )
    judged = _choose_view(connection, counts, thresholds)
    judged = withhold_unreached(connection, judged, thresholds)
    return withhold_lost(connection, judged, thresholds)


def _count_intervals(connection: duckdb.DuckDBPyConnection, period: Period) -> pd.DataFrame:
    """Each interval with its counts and dates in the period, and the rule that explains it."""
    sums = ", ".join(f"sum({name})::BIGINT AS {name}" for name in [*SUMMED, *COUNTED_DAYS])
    inside = {"since": period.since, "until": period.until}
    counts = connection.execute(_INTERVAL_COUNTS.format(sums=sums), inside).df()
    counts = counts.merge(_explaining_rules(connection, period), on=[*VIEW, "interval"], how="left")
    return counts.fillna({"one_layer": 0})


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
    known = [*VIEW, "interval", "state", "together", "withheld"]
    counts = _count_intervals(connection, period).merge(judged[known], on=[*VIEW, "interval"])
    sums = [*COUNTED_CLASSES, "artefact", "firm", "blocked_days", "failing_days"]
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
        & (2 * counts["blocked"] > counts[COUNTED_CLASSES].sum(axis=1))
    ]
    sums = [
        *COUNTED_CLASSES, "artefact", "firm", "loose", "core", "one_layer",
        *[f"{c}_days" for c in [*COUNTED_CLASSES, "failing"]],
    ]  # fmt: skip
    key = [*VIEW, "mechanism"]
    together = short.groupby(key, sort=True)[sums].sum()
    together[_STRAYS] = short.groupby(key, sort=True)[_STRAYS].max()
    whole = counts.groupby(VIEW)[COUNTED_CLASSES].sum()
    beside = together.drop(columns=COUNTED_CLASSES).join(whole, on=VIEW)
    beside["blocked"] = together["blocked"]
    states = judge_states(together, thresholds).mask(may_be_chance(beside), "insufficient")
    found = short[key].merge(states.rename("together").reset_index(), on=key, how="left")
    found.index = short.index
    is_listed = found["together"].isin(LISTED)
    return found["together"].where(is_listed).reindex(counts.index)


def _choose_view(
    connection: duckdb.DuckDBPyConnection, judged: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """Keep one view per cell, here and in ``interval_parts``: of all sessions, or of some.

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
    blocking = connection.execute(_VIA_DOMESTIC.format(**vars(thresholds))).df()
    cleared = accused.intersection(own[own == "ok"].index).difference(
        pd.MultiIndex.from_frame(blocking)
    )
    chosen = no_weaker.union(cleared).to_frame(index=False)
    connection.register("chosen", chosen.astype({"domain": "str", "probe_asn": "uint32"}))
    connection.execute(_LOOK_AT_CHOSEN)
    connection.unregister("chosen")
    is_chosen = pd.MultiIndex.from_frame(judged[CELL]).isin(pd.MultiIndex.from_frame(chosen))
    return judged[(judged["via"] == "domestic") == is_chosen].reset_index(drop=True)


def _explaining_rules(connection: duckdb.DuckDBPyConnection, period: Period) -> pd.DataFrame:
    """The rule and mechanism of most blocked sessions of each interval that has any."""
    inside = {"since": period.since, "until": period.until}
    rules = connection.execute(_BLOCKED_RULES, inside).df()
    ranked = rules.sort_values(
        [*VIEW, "interval", "sessions", "rule_order"],
        ascending=[True, True, True, True, False, True],
    )
    totals = rules.groupby([*VIEW, "interval"])["blocked_measurements"].sum()
    # A box that reads the name cuts a handshake or a plain request, whichever a probe makes.
    layer = rules["mechanism"].str.split(".").str[0].replace("http", "tls").rename("layer")
    by_layer = rules.groupby([*VIEW, "interval", layer])["sessions"].sum()
    one_layer = by_layer.groupby(level=[*VIEW, "interval"]).max().rename("one_layer")
    columns = [*VIEW, "interval", "rule_id", "mechanism", "sessions"]
    top = ranked.drop_duplicates([*VIEW, "interval"])[columns]
    top = top.rename(columns={"sessions": "rule_sessions"})
    found = pd.concat([totals, one_layer], axis=1).reset_index()
    return top.merge(found, on=[*VIEW, "interval"])
