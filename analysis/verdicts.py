"""The verdict on each site and network: state, mechanism, dates, counts and a witness."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd

from analysis.elsewhere import withhold_lost, withhold_unreached
from analysis.explorer import measurement_url
from analysis.intervals import (
    CELL,
    COUNTED_DAYS,
    SUMMED,
    VIEW,
    add_intervals,
    interval_table,
    part_of,
    sessions_to_merge,
)
from analysis.period import Period
from analysis.robustness import sessions_to_flip
from analysis.rules import Thresholds
from analysis.sessions import add_sessions, stray_shares
from analysis.states import (
    is_told_by_artefacts,
    judge_states,
    may_be_chance,
    meets_floor,
    strength,
    wilson_bounds,
)
from analysis.words import LISTED

#: Mechanisms that rest on what other sessions saw as well as on the cell's own.
_PROFILED = ["dns.loopback", "dns.bogon", "dns.sinkhole", "dns.other", "http.blockpage"]
_CLASSES = ["blocked", "down", "ok", "unclear"]
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

# Measurements of each part of the time, see ``intervals.part_of``, by what they show. A session
# belongs to the day on which it began, and so do its measurements: a report that runs over midnight
# must not leave a period with measurements and without a session.
_MEASURED = """
WITH long AS (
  SELECT session FROM outcomes GROUP BY session HAVING min(day) < max(day)
), begun AS (
  SELECT domain, probe_asn, session, day FROM sessions SEMI JOIN long USING (session)
)
SELECT o.domain, o.probe_asn, {part} AS part, o.class, o.set_aside,
  CASE WHEN o.class = 'blocked' AND o.resolver_asn > 0 AND o.dns_rule = o.rule_id
    THEN o.resolver_asn END AS blocking_resolver_asn,
  o.is_anomaly OR o.is_confirmed OR o.class = 'blocked' OR o.set_aside = 'geo_restricted'
    AS is_problem,
  count(*) AS measurement_count
FROM outcomes o LEFT JOIN begun b USING (domain, probe_asn, session)
WHERE o.domain <> '' GROUP BY ALL
"""

_COUNTS = """
WITH counted AS (
  SELECT domain, probe_asn,
    sum(measurement_count)::BIGINT AS measurement_count,
    {class_counts}
  FROM measured WHERE part >= $since AND part < $until GROUP BY ALL
), resolvers AS (
  SELECT domain, probe_asn, string_agg('AS' || asn, ';' ORDER BY asn) AS resolver_asns
  FROM (SELECT DISTINCT domain, probe_asn, blocking_resolver_asn AS asn FROM measured
        WHERE blocking_resolver_asn IS NOT NULL AND part >= $since AND part < $until)
  GROUP BY ALL
), days AS (
  SELECT domain, probe_asn, sum(day_count)::BIGINT AS day_count,
    sum(session_count)::BIGINT AS session_count, sum(blocked)::BIGINT AS blocked_session_count,
    sum(down)::BIGINT AS down_session_count, sum(ok)::BIGINT AS ok_session_count
  FROM interval_parts WHERE via = 'all' AND part >= $since AND part < $until GROUP BY ALL
)
SELECT domain::VARCHAR AS domain, probe_asn, m.* EXCLUDE (domain, probe_asn),
  s.* EXCLUDE (domain, probe_asn), coalesce(resolver_asns, '') AS resolver_asns
FROM counted m JOIN days s USING (domain, probe_asn)
  LEFT JOIN resolvers USING (domain, probe_asn)
ORDER BY domain, probe_asn
"""

# Problems are what OONI flags and what a rule reads as blocking or as a refusal.
_PROBLEMS = """
SELECT domain::VARCHAR AS domain, probe_asn,
  CASE WHEN set_aside <> '' THEN set_aside::VARCHAR WHEN class = 'blocked' THEN 'blocked'
       ELSE 'other' END AS problem,
  sum(measurement_count)::BIGINT AS problem_count
FROM measured WHERE is_problem AND part >= ? AND part < ?
GROUP BY ALL ORDER BY domain, probe_asn, problem_count DESC, problem
"""

# G8: on how many of the access networks that tell anything about a site it refuses most sessions. A
# site that refuses the country may well let its hosters and VPNs in.
_REFUSALS = """
WITH cells AS (
  SELECT domain, probe_asn, 2 * count(*) FILTER (is_refused) > count(*) AS is_refusing
  FROM sessions WHERE is_scored AND probe_asn IN (FROM domestic_resolvers) GROUP BY ALL
)
SELECT domain::VARCHAR AS domain FROM cells GROUP BY domain
HAVING count(*) FILTER (is_refusing) >= {refusal_share} * count(*)
   AND count(*) FILTER (is_refusing) > 0 ORDER BY domain
"""

# The witness is the middle one of the measurements that fired the verdict's own rule inside its
# interval: typical, and not the first anybody would forge.
_WITNESSES = """
WITH candidates AS (
  SELECT l.domain, l.probe_asn, o.session, o.input,
    row_number() OVER nth AS position, count(*) OVER (PARTITION BY l.domain, l.probe_asn) AS total
  FROM outcomes o JOIN listed l ON l.domain::host_name = o.domain AND l.probe_asn = o.probe_asn
    AND l.rule_id = o.rule_id AND o.day BETWEEN l.since AND l.until
  WHERE o.has_report
  WINDOW nth AS (PARTITION BY l.domain, l.probe_asn
                 ORDER BY o.measurement_start_time, o.session, o.input)
)
SELECT domain::VARCHAR AS domain, probe_asn, session::VARCHAR AS witness_report_id,
  input::VARCHAR AS witness_input
FROM candidates WHERE position = (total + 1) // 2
"""


@dataclass(frozen=True)
class Judgement:
    """What the confirmation stage found.

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
    measured = _MEASURED.format(part=part_of(periods.values(), "coalesce(b.day, o.day)"))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE measured AS {measured}")
    refusing = set(connection.execute(_REFUSALS.format(**vars(thresholds))).df()["domain"])
    judged["sessions_to_merge"] = sessions_to_merge(judged, thresholds)
    intervals = interval_table(connection, judged)
    tables = []
    for name, period in periods.items():
        inside = judged if name == "all" else _inside(connection, judged, period, thresholds)
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


def _inside(
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
    sums = [*_CLASSES, "artefact", "firm", "blocked_days", "failing_days"]
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
        (counts["state"] == "insufficient") & (2 * counts["blocked"] > counts[_CLASSES].sum(axis=1))
    ]
    sums = [
        *_CLASSES, "artefact", "firm", "loose", "core", "one_layer",
        *[f"{c}_days" for c in [*_CLASSES, "failing"]],
    ]  # fmt: skip
    key = [*VIEW, "mechanism"]
    together = short.groupby(key, sort=True)[sums].sum()
    together[_STRAYS] = short.groupby(key, sort=True)[_STRAYS].max()
    whole = counts.groupby(VIEW)[_CLASSES].sum()
    beside = together.drop(columns=_CLASSES).join(whole, on=VIEW)
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
    class_counts = ", ".join(
        f"coalesce(sum(measurement_count) FILTER (class = '{name}'), 0)::BIGINT AS {name}_count"
        for name in ("blocked", "down", "ok", "unknown")
    )
    counts = connection.execute(_COUNTS.format(class_counts=class_counts), inside).df()
    strongest = (
        judged.assign(rank=strength(judged["state"]))
        .sort_values(
            [*CELL, "rank", "blocked", "interval"], ascending=[True, True, True, False, True]
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
    table = _add_witness(connection, table, period, has_explorer=has_explorer)
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
        strongest[[*CELL, "interval", "state", *_CLASSES, "artefact"]],
        on=[*CELL, "interval"],
        suffixes=("", "_inside"),
    )
    there = judged.groupby(CELL)[[*_CLASSES, "session_count"]].sum()
    there["none"] = there["session_count"] - there[_CLASSES].sum(axis=1)
    # What the other half shows, or may come to show, may make one block of both.
    everywhere = whole.groupby(CELL)[[*_CLASSES, "artefact", "session_count"]].sum()
    there["traceable"] = (
        everywhere["artefact"] + everywhere["session_count"]
        - everywhere[["blocked", "down", "ok"]].sum(axis=1)
    )  # fmt: skip
    there = there.add_prefix("all_").reset_index()
    counts = table[CELL].merge(behind, on=CELL, how="left").merge(there, on=CELL, how="left")
    counts["is_profiled"] = counts["mechanism"].isin(_PROFILED)
    days = (counts["blocked_until"] - counts["blocked_from"]).dt.days
    is_timeout = counts["mechanism"].fillna("").str.endswith(".timeout")
    is_brief = is_timeout & (days < 4 * thresholds.route_days)
    # A cut between time-outs and firmer failures leaves the time-outs alone, and what has most
    # sessions of several mechanisms is soon another.
    lesser = np.minimum(counts["firm"], counts["blocked"] - counts["firm"])
    is_mixed = (lesser >= thresholds.floor_sessions) | (
        2 * counts["rule_sessions"] <= counts["blocked"]
    )
    counts["is_frail"] = is_brief | ((counts["state"] == "likely_blocked") & is_mixed)
    return sessions_to_flip(counts, thresholds).set_axis(table.index)


def _set_aside_reasons(
    connection: duckdb.DuckDBPyConnection,
    table: pd.DataFrame,
    period: Period,
    refusing: set[str],
) -> pd.Series:
    """Why a cell with problems is not listed: what explains most of them."""
    problems = connection.execute(_PROBLEMS, [period.since, period.until]).df()
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
    inside = judged[judged["state"].isin(LISTED)].groupby(CELL)[["blocked", "ok"]].sum()
    table = table.merge(inside.reset_index(), on=CELL, how="left")
    hits = table["blocked"].where(listed, table["blocked_session_count"])
    total = hits + table["ok"].where(listed, table["ok_session_count"])
    low, high = wilson_bounds(hits, total)
    share = (hits / total.where(total > 0)).astype("float64")
    return table.assign(blocked_share=share, blocked_share_low=low, blocked_share_high=high).drop(
        columns=["blocked", "ok"]
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


def _add_witness(
    connection: duckdb.DuckDBPyConnection,
    table: pd.DataFrame,
    period: Period,
    *,
    has_explorer: bool,
) -> pd.DataFrame:
    """A typical measurement for each listed row, with its page in OONI Explorer."""
    listed = table.loc[table["rule_id"] != "", [*CELL, "rule_id", "blocked_from", "blocked_until"]]
    listed = listed.assign(
        since=pd.to_datetime(listed["blocked_from"]),
        until=pd.to_datetime(listed["blocked_until"].replace("", period.last_day.isoformat())),
    )
    connection.register("listed", listed)
    witnesses = connection.execute(_WITNESSES).df()
    connection.unregister("listed")
    table = table.merge(witnesses, on=CELL, how="left")
    for column in ("witness_report_id", "witness_input"):
        table[column] = table[column].fillna("")
    table["witness_url"] = ""
    seen = table["witness_report_id"] != "" if has_explorer else table.index[:0]
    shown = table.loc[seen, ["witness_report_id", "witness_input"]]
    table.loc[seen, "witness_url"] = [
        measurement_url(*pair) for pair in shown.itertuples(index=False)
    ]
    return table
