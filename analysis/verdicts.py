"""The verdict on each site and network: state, mechanism, dates, counts and a witness."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import duckdb
import numpy as np
import pandas as pd

from analysis.elsewhere import NOTE, withhold_unreached
from analysis.intervals import CELL, VIEW, cut_into_intervals, interval_table
from analysis.period import Period
from analysis.robustness import sessions_to_flip
from analysis.rules import Thresholds
from analysis.sessions import session_series, timeout_shares
from analysis.states import judge_states, strength, wilson_bounds
from analysis.words import LISTED

#: Mechanisms that rest on what other sessions saw as well as on the cell's own.
_PROFILED = ["dns.loopback", "dns.bogon", "http.blockpage"]
_CLASSES = ["blocked", "down", "ok", "unclear"]
_TIMEOUTS = ["timeout_dns", "timeout_tcp", "timeout_tls", "timeout_http"]

# A key and what of it explains most blocked measurements; ties go to the earlier layer.
_BLOCKED_RULES = """
SELECT c.via, o.domain, o.probe_asn, c.interval, o.rule_id, any_value(o.mechanism) AS mechanism,
       count(DISTINCT o.session) AS sessions, count(*) AS blocked_measurements,
       any_value(o.rule_order) AS rule_order
FROM outcomes o JOIN cuts c ON c.domain = o.domain AND c.probe_asn = o.probe_asn
  AND o.day BETWEEN c.since AND c.until
  AND (c.via = 'all' OR o.resolver_asn IN (FROM domestic_resolvers))
WHERE o.class = 'blocked' AND NOT o.is_about_target AND o.evidence = 'scored'
GROUP BY ALL
"""

# A session belongs to the day on which it began, and so do its measurements: a report that runs
# over midnight must not leave a period with measurements and without a session.
_BY_SESSION_DAY = """(SELECT o.* REPLACE (s.day AS day)
 FROM outcomes o JOIN sessions s USING (domain, probe_asn, session))"""

_COUNTS = f"""
SELECT domain, probe_asn,
  count(*) AS measurement_count,
  count(*) FILTER (class = 'blocked') AS blocked_count,
  count(*) FILTER (class = 'down') AS down_count,
  count(*) FILTER (class = 'ok') AS ok_count,
  count(*) FILTER (class = 'unknown') AS unknown_count,
  count(DISTINCT day) AS day_count,
  list_sort(list(DISTINCT resolver_asn)
    FILTER (class = 'blocked' AND resolver_asn > 0 AND dns_rule = rule_id))
    .list_transform(lambda asn: concat('AS', asn)).array_to_string(';') AS resolver_asns
FROM {_BY_SESSION_DAY} WHERE domain <> '' AND day >= ? AND day < ? GROUP BY ALL
"""

# Problems are what OONI flags and what a rule reads as blocking or as a refusal.
_PROBLEMS = f"""
SELECT domain, probe_asn,
  CASE WHEN set_aside <> '' THEN set_aside WHEN class = 'blocked' THEN 'blocked'
       ELSE 'other' END AS problem,
  count(*) AS problem_count
FROM {_BY_SESSION_DAY}
WHERE domain <> '' AND day >= ? AND day < ?
  AND (is_anomaly OR is_confirmed OR class = 'blocked' OR set_aside = 'geo_restricted')
GROUP BY ALL ORDER BY domain, probe_asn, problem_count DESC, problem
"""

# G8: on how many of the networks that tell anything about a site it refuses most sessions.
_REFUSALS = """
WITH cells AS (
  SELECT domain, probe_asn,
    2 * count(DISTINCT session) FILTER (set_aside = 'geo_restricted')
      > count(DISTINCT session) AS is_refusing
  FROM outcomes WHERE domain <> '' AND evidence = 'scored' GROUP BY ALL
)
SELECT domain FROM cells GROUP BY domain
HAVING count(*) FILTER (is_refusing) >= {refusal_share} * count(*)
   AND count(*) FILTER (is_refusing) > 0 ORDER BY domain
"""

# The witness is the middle one of the measurements that fired the verdict's own rule inside its
# interval: typical, and not the first anybody would forge.
_WITNESSES = """
WITH candidates AS (
  SELECT l.domain, l.probe_asn, o.report_id, o.input,
    row_number() OVER nth AS position, count(*) OVER (PARTITION BY l.domain, l.probe_asn) AS total
  FROM outcomes o JOIN listed l ON l.domain = o.domain AND l.probe_asn = o.probe_asn
    AND l.rule_id = o.rule_id AND o.day BETWEEN l.since AND l.until
  WHERE o.report_id <> ''
  WINDOW nth AS (PARTITION BY l.domain, l.probe_asn
                 ORDER BY o.measurement_start_time, o.report_id, o.input)
)
SELECT domain, probe_asn, report_id AS witness_report_id, input AS witness_input
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
    judged, cut, series = judge_intervals(
        connection, periods, thresholds, domestic_asns=domestic_asns
    )
    everyone = series[series["via"] == "all"]
    refusing = set(connection.execute(_REFUSALS.format(**vars(thresholds))).df()["domain"])
    verdicts = pd.concat(
        [
            _verdicts_of(
                connection,
                name,
                periods[name],
                judged[name],
                cut,
                everyone,
                refusing,
                thresholds,
            )
            for name in periods
        ],
        ignore_index=True,
    )
    if not has_explorer:
        verdicts["witness_url"] = ""
    return Judgement(
        verdicts.sort_values([*CELL, "period"], ignore_index=True),
        interval_table(judged["all"], cut),
    )


def judge_intervals(
    connection: duckdb.DuckDBPyConnection,
    periods: Mapping[str, Period],
    thresholds: Thresholds,
    *,
    domestic_asns: Iterable[int],
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame, pd.DataFrame]:
    """The state of every interval of steady behaviour, before it becomes a verdict.

    Args: as for ``judge_cells``.

    Returns:
        Period → one row per ``domain, probe_asn, interval`` with its counts and ``state``; the
        sessions by day with their ``interval``; and the sessions by day in both views.
    """
    series = session_series(connection, domestic_asns)
    cut = cut_into_intervals(series, thresholds)
    rules = _explaining_rules(connection, cut)
    timeouts = timeout_shares(connection)
    cut = _choose_view(cut, _judge_intervals(cut, rules, timeouts, periods["all"], thresholds))
    judged = {
        name: withhold_unreached(
            connection, _judge_intervals(cut, rules, timeouts, period, thresholds), thresholds
        )
        for name, period in periods.items()
    }
    return judged, cut, series


def _judge_intervals(
    cut: pd.DataFrame,
    rules: pd.DataFrame,
    timeouts: pd.DataFrame,
    period: Period,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """Each interval with its counts in the period, its state, and the rule that explains it."""
    counts = _count_intervals(cut, period).merge(timeouts, on="probe_asn", how="left")
    counts["timeout_share"] = counts["timeout_share"].fillna(0.0)
    counts["state"] = judge_states(counts, thresholds)
    counts["state"] = _judge_together(counts, thresholds)
    return counts.merge(rules, on=[*VIEW, "interval"], how="left")


def _judge_together(counts: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """States, where several short blocks of one site on one network meet the floor together.

    A site blocked twice for a week each time is blocked: the intervals that are mostly blocked
    and too short alone are judged on their sum.
    """
    short = counts[
        (counts["state"] == "insufficient") & (2 * counts["blocked"] > counts[_CLASSES].sum(axis=1))
    ]
    sums = [*_CLASSES, "artefact", "firm", "core", *[f"{c}_days" for c in [*_CLASSES, "failing"]]]
    together = short.groupby(VIEW, sort=True)[sums].sum()
    together["timeout_share"] = short.groupby(VIEW, sort=True)["timeout_share"].max()
    states = judge_states(together, thresholds)
    found = short[VIEW].merge(states.rename("together").reset_index(), on=VIEW, how="left")
    found.index = short.index
    is_listed = found["together"].isin(LISTED)
    return found["together"].where(is_listed).reindex(counts.index).fillna(counts["state"])


def _choose_view(cut: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """One view per cell: of all sessions, or of those that used a resolver of the country.

    The latter where it shows a stronger DNS block: what a public resolver answers is no evidence
    against a block by the network's own.
    """
    rank = judged.assign(rank=strength(judged["state"]))
    is_dns = rank["mechanism"].fillna("").str.startswith("dns.") & rank["state"].isin(LISTED)
    best = rank[rank["via"] == "all"].groupby(CELL)["rank"].min()
    through = rank[(rank["via"] == "domestic") & is_dns].groupby(CELL)["rank"].min()
    chosen = through[through < best.reindex(through.index)].index
    is_chosen = pd.MultiIndex.from_frame(cut[CELL]).isin(chosen)
    return cut[np.where(is_chosen, cut["via"] == "domestic", cut["via"] == "all")]


def _is_inside(series: pd.DataFrame, period: Period) -> pd.Series:
    days = series["day"]
    return (days >= pd.Timestamp(period.since)) & (days < pd.Timestamp(period.until))


def _count_intervals(cut: pd.DataFrame, period: Period) -> pd.DataFrame:
    """Sessions and days per class in each interval, as far as it lies in the period."""
    key = [*VIEW, "interval"]
    inside = _mark_core(cut[_is_inside(cut, period)])
    flags = {f"{name}_days": inside[name] > 0 for name in _CLASSES}
    failing = (inside["blocked"] + inside["down"] + inside["unclear"]) > 0
    wide = inside.assign(**flags, failing_days=failing)
    sums = [*_CLASSES, "artefact", "firm", "core", "session_count", *flags, "failing_days"]
    counts = wide.groupby(key, sort=True)[sums].sum().astype("int64")
    marked = wide[(wide["core"] > 0) | ((wide["blocked"] > 0) & wide["is_at_edge"])]
    counts["blocked_from"] = marked.groupby(key)["day"].min()
    counts["blocked_until"] = marked.groupby(key)["day"].max()
    return counts.reset_index()


def _mark_core(inside: pd.DataFrame) -> pd.DataFrame:
    """Per day, the blocked sessions that belong to the interval's block (``core``).

    A block is one thing: time-outs count at the one layer that has most of them, and beside
    firmer failures only where they are common. A stray time-out between access and a block does
    not move the block's edge; one in a cell's first or last interval, beyond which nothing was
    seen, does (``is_at_edge``).
    """
    key = [inside[name] for name in [*VIEW, "interval"]]
    timeouts = inside[_TIMEOUTS]
    totals = timeouts.groupby(key).transform("sum").to_numpy()
    top = totals.argmax(axis=1) if len(totals) else np.zeros(0, np.int64)
    rows = np.arange(len(inside))
    blocked = inside["blocked"].groupby(key).transform("sum").to_numpy()
    is_common = 4 * totals[rows, top] >= blocked
    timeout = np.where(is_common, timeouts.to_numpy()[rows, top], 0)
    cells = inside.groupby(VIEW)["interval"]
    core = inside["firm"].to_numpy() + timeout
    day = inside["day"].where(core > 0)
    first, last = (day.groupby(key).transform(end) for end in ("min", "max"))
    is_first = inside["interval"] == cells.transform("min")
    is_last = inside["interval"] == cells.transform("max")
    at_edge = (is_first & (inside["day"] < first)) | (is_last & (inside["day"] > last))
    return inside.assign(core=core, is_at_edge=at_edge)


def _explaining_rules(connection: duckdb.DuckDBPyConnection, cut: pd.DataFrame) -> pd.DataFrame:
    """The rule and mechanism of most blocked sessions of each interval that has any."""
    cuts = (
        cut.groupby([*VIEW, "interval"], sort=True)
        .agg(since=("day", "min"), until=("day", "max"), blocked=("blocked", "sum"))
        .reset_index()
    )
    cuts = cuts[cuts["blocked"] > 0]
    connection.register("cuts", cuts)
    rules = connection.execute(_BLOCKED_RULES).df()
    connection.unregister("cuts")
    ranked = rules.sort_values(
        [*VIEW, "interval", "sessions", "rule_order"],
        ascending=[True, True, True, True, False, True],
    )
    totals = rules.groupby([*VIEW, "interval"])["blocked_measurements"].sum()
    top = ranked.drop_duplicates([*VIEW, "interval"])[[*VIEW, "interval", "rule_id", "mechanism"]]
    return top.merge(totals.reset_index(), on=[*VIEW, "interval"])


def _verdicts_of(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    period: Period,
    judged: pd.DataFrame,
    cut: pd.DataFrame,
    everyone: pd.DataFrame,
    refusing: set[str],
    thresholds: Thresholds,
) -> pd.DataFrame:
    """One period's rows of ``verdicts``."""
    counts = connection.execute(_COUNTS, [period.since, period.until]).df()
    sessions = (
        everyone[_is_inside(everyone, period)]
        .groupby(CELL, sort=True)[["session_count", *_CLASSES]]
        .sum()
        .reset_index()
    )
    sessions = sessions.rename(columns={c: f"{c}_session_count" for c in _CLASSES}).drop(
        columns="unclear_session_count"
    )
    strongest = (
        judged.assign(rank=strength(judged["state"]))
        .sort_values(
            [*CELL, "rank", "blocked", "interval"], ascending=[True, True, True, False, True]
        )
        .drop_duplicates(CELL)
    )
    table = (
        counts.merge(sessions, on=CELL, how="left")
        .merge(strongest[[*CELL, "state", "rule_id", "mechanism", "interval"]], on=CELL, how="left")
        .assign(period=name)
    )
    table["sessions_to_flip"] = _flips(table, judged, strongest, thresholds)
    listed = table["state"].isin(LISTED)
    table.loc[~listed, ["rule_id", "mechanism"]] = ""
    table["set_aside_reason"] = _set_aside_reasons(connection, table, period, refusing)
    withheld = pd.MultiIndex.from_frame(judged.loc[judged["is_withheld"], CELL])
    is_withheld = pd.MultiIndex.from_frame(table[CELL]).isin(withheld) & ~listed
    table["set_aside_reason"] = table["set_aside_reason"].mask(is_withheld, "geo_restricted")
    table = _add_share(table, judged, listed)
    table = _add_dates(table, judged, cut, period, thresholds)
    table["note"] = table["note"].mask(is_withheld, NOTE)
    table = _add_witness(connection, table, period)
    table["resolver_asns"] = table["resolver_asns"].where(listed, "").fillna("")
    return table


def _flips(
    table: pd.DataFrame, judged: pd.DataFrame, strongest: pd.DataFrame, thresholds: Thresholds
) -> pd.Series:
    """``sessions_to_flip`` of each cell, in the order of ``table``."""
    columns = [*_CLASSES, "artefact", "firm"]
    whole = judged.groupby(CELL)[columns].sum().add_prefix("all_").reset_index()
    counts = (
        table[CELL]
        .merge(strongest[[*CELL, "state", "mechanism", *columns]], on=CELL, how="left")
        .merge(whole, on=CELL, how="left")
    )
    counts["is_profiled"] = counts["mechanism"].isin(_PROFILED)
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
    unexplained = state.where(state.isin(["insufficient", "impaired"]), "anomaly_unexplained")
    # A rule does read these as blocking; there are too few of them.
    unexplained = unexplained.mask((top == "blocked") & (state != "impaired"), "insufficient")
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
    cut: pd.DataFrame,
    period: Period,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """First and last day of blocking over the listed intervals, and what to know about them."""
    listed = judged[judged["state"].isin(LISTED)]
    span = listed.groupby(CELL, sort=True).agg(
        blocked_from=("blocked_from", "min"), last_blocked=("blocked_until", "max")
    )
    table = table.merge(span.reset_index(), on=CELL, how="left")
    known = cut[((cut["blocked"] + cut["down"] + cut["ok"]) > 0) & _is_inside(cut, period)]
    tested = known.groupby(CELL, sort=True)["day"].max().rename("last_known")
    table = table.merge(tested.reset_index(), on=CELL, how="left")
    opened = known[known["ok"] > 0].groupby(CELL, sort=True)["day"].min().rename("first_open")
    table = table.merge(opened.reset_index(), on=CELL, how="left")
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
    ).drop(columns=["last_blocked", "last_known", "first_open", "interval"])


def _iso(days: pd.Series) -> pd.Series:
    """Days as ISO text, empty where there is none."""
    text: pd.Series = days.dt.strftime("%Y-%m-%d").fillna("")
    return text


def _add_witness(
    connection: duckdb.DuckDBPyConnection, table: pd.DataFrame, period: Period
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
    table["witness_url"] = [
        explorer_url(report, url)
        for report, url in zip(table["witness_report_id"], table["witness_input"], strict=True)
    ]
    return table


def explorer_url(report_id: str, input_url: str) -> str:
    """The measurement's page in OONI Explorer; empty where there is no report."""
    if not report_id:
        return ""
    return (
        f"https://explorer.ooni.org/measurement/{quote(report_id, safe='')}"
        f"?input={quote(input_url, safe='')}"
    )
