"""The tables of the page on apps and circumvention tools.

A test is judged on each network by the measurements of the archive, part by part; a row of
``messaging_verdicts`` is about the part that says most. OONI's counts of the whole country stand
beside other countries', without a verdict: they know no networks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from analysis.observations.messaging_tests import BY_NAME, TESTS
from analysis.outcomes.app_outcomes import add_messaging_outcomes
from analysis.period import MOMENT, Period, day_of
from analysis.reference.test_counts import find_causes
from analysis.store.stage_tables import add_room
from analysis.study.study import MessagingStudy
from analysis.tables import typed
from analysis.verdicts.app_verdicts import (
    DEFECT_SHARE,
    TEST_AND_PART,
    find_defects,
    judge_messaging,
)
from analysis.verdicts.sessions import Operators, add_sessions
from analysis.verdicts.states import strength
from analysis.verdicts.verdicts import Judgement, Scope
from analysis.verdicts.witnesses import hide_measurements
from analysis.vocabulary import LISTED

#: The note of a failing test that is no sign of a block.
DEFECT_NOTE = "instrument: the test fails in other countries too in these weeks"


#: The most endpoints that a cell of a table names; real parts have some dozens.
_MOST_NAMED = 24
_LONGEST = 64
# How often each endpoint of a part was tried and cut off while the part was.
_TRIED = """
SELECT endpoint, count(*) AS tried_count, count(*) FILTER (is_cut) AS cut_count
FROM messaging_endpoint JOIN messaging m USING (object_key, line_number)
WHERE m.test_name = $test_name AND part = $part AND probe_asn = $probe_asn
  AND measurement_start_time BETWEEN $since AND $until
  AND (object_key, line_number, part) IN (
    SELECT (object_key, line_number, part) FROM messaging_outcome WHERE class = 'blocked')
GROUP BY endpoint ORDER BY cut_count DESC, endpoint
"""


def count_endpoints(
    connection: duckdb.DuckDBPyConnection, stretch: dict[str, Any]
) -> dict[str, Any]:
    """Count the endpoints of a part that a stretch cut off.

    An endpoint counts where it was tried in at least half of the tests that the most tried one
    was in: addresses come and go. It is cut off where it was in at least half of its tries.

    Args:
        connection: holds what ``app_outcomes.add_messaging_outcomes`` makes.
        stretch: ``test_name, part, probe_asn, blocked_from_time,
            blocked_until_time``.

    Returns:
        ``endpoint_count, cut_endpoint_count, cut_endpoints``, the latter joined by ``;``.
    """
    parameters = {
        "test_name": stretch["test_name"],
        "part": stretch["part"],
        "probe_asn": stretch["probe_asn"],
        "since": stretch["blocked_from_time"],
        "until": stretch["blocked_until_time"],
    }
    tried = connection.execute(_TRIED, parameters).df()
    usual = tried[2 * tried["tried_count"] >= tried["tried_count"].max()]
    cut = usual.loc[2 * usual["cut_count"] >= usual["tried_count"], "endpoint"]
    named = sorted(name[:_LONGEST].replace(";", ",") for name in cut.head(_MOST_NAMED))
    return {
        "endpoint_count": len(usual),
        "cut_endpoint_count": len(cut),
        "cut_endpoints": ";".join(named),
    }


# Measurements of each test and network by day, and OONI's flags, of which each has one.
_BY_DAY = """
SELECT test_name, probe_asn, measurement_start_time::DATE AS day,
  count(*) AS measurement_count,
  count(*) FILTER (NOT is_failure AND NOT is_anomaly) AS ok_count,
  count(*) FILTER (NOT is_failure AND is_anomaly) AS anomaly_count,
  0 AS confirmed_count, count(*) FILTER (is_failure) AS failure_count
FROM messaging GROUP BY ALL ORDER BY ALL
"""
_COUNTS = ["measurement_count", "ok_count", "anomaly_count", "confirmed_count", "failure_count"]

_SESSIONS = """
SELECT domain::VARCHAR AS domain, probe_asn::BIGINT AS probe_asn, day, time, class::VARCHAR AS class
FROM sessions WHERE class <> 'none' ORDER BY domain, probe_asn, time
"""


@dataclass(frozen=True)
class Judged:
    """All tables that the page shows.

    Attributes:
        verdicts, intervals, months, defects: the contract's tables.
        days: one row a test and day: the counts that the page draws.
    """

    verdicts: pd.DataFrame
    intervals: pd.DataFrame
    months: pd.DataFrame
    defects: pd.DataFrame
    days: pd.DataFrame


def judge_apps(study: MessagingStudy) -> Judged:
    """Judge every test on every network."""
    by_day = study.connection.execute(_BY_DAY).df()
    verdicts, intervals = typed("messaging_verdicts", []), typed("messaging_intervals", [])
    if len(by_day):
        judgement = _judge_networks(study)
        intervals = _network_intervals(study, judgement)
        verdicts = _network_verdicts(study, judgement, intervals, by_day)
    if not study.parameters.has_witnesses:
        verdicts = hide_measurements(verdicts)
        intervals = hide_measurements(intervals, ["test_name", "probe_asn", "part"])
    days = _count_days(study, by_day)
    return Judged(
        verdicts,
        intervals,
        _count_months(days),
        _name_defects(study),
        days,
    )


def _judge_networks(study: MessagingStudy) -> Judgement:
    """Judge each part; its sessions stay in the connection."""
    connection, thresholds = study.connection, study.parameters.thresholds
    operators = Operators.of(study.networks())
    scope = Scope(study.periods, thresholds, has_explorer=not study.is_fictional)
    control = study.elsewhere.by_day(study.periods["all"])
    outcomes = add_messaging_outcomes(connection)
    room = add_room(connection, "sessions")
    sessions = add_sessions(connection, outcomes, operators, thresholds, room, "messaging")
    parts = judge_messaging(connection, sessions, scope, control)
    sessions.use(connection)
    return parts


# --- stretches of time ----------------------------------------------------------------------------


def _network_intervals(study: MessagingStudy, judgement: Judgement) -> pd.DataFrame:
    """Return the listed stretches of each part on each network.

    A stretch reaches over what failed in another way before and after it, as long as the part was
    not open in between: a block may change its manner.
    """
    sessions = study.connection.execute(_SESSIONS).df()
    cells = dict(tuple(sessions.groupby(["domain", "probe_asn"])))
    rows = []
    for record in judgement.intervals.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        test, _, part = row["domain"].partition("/")
        cell = cells[row["domain"], row["probe_asn"]]
        wider = {} if row["schedule"] else _reach_over(cell, row)
        reached = {**row, **wider, "test_name": test, "part": part}
        since, until = reached["blocked_from"], reached["blocked_until"]
        rows.append(
            {
                **reached,
                **count_endpoints(study.connection, reached),
                "last_seen_blocked": reached["blocked_until"],
                "blocked_count": reached["measurement_count"],
                "blocked_session_count": reached["session_count"],
                "elsewhere_anomaly_share": study.elsewhere.typical_share(test, since, until),
            }
        )
    return typed("messaging_intervals", rows)


def _reach_over(cell: pd.DataFrame, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the edges of a stretch with the failures that adjoin it."""
    time: pd.Series = cell["time"].reset_index(drop=True)
    fails = (cell["class"] == "blocked").to_numpy()
    first, last = (
        int(time.searchsorted(row[name])) for name in ("blocked_from_time", "blocked_until_time")
    )
    while first > 0 and fails[first - 1]:
        first -= 1
    while last + 1 < len(time) and fails[last + 1]:
        last += 1
    is_open = (cell["class"] == "ok").to_numpy()
    before, after = np.flatnonzero(is_open[:first]), np.flatnonzero(is_open[last + 1 :])
    inside = cell.iloc[first : last + 1]
    hits = inside[inside["class"] == "blocked"]
    moments = {
        "blocked_from_time": time[first],
        "blocked_until_time": time[last],
        "last_seen_open_time": time[before[-1]] if len(before) else pd.NaT,
        "first_seen_open_again_time": time[last + 1 + after[0]] if len(after) else pd.NaT,
    }
    return {
        **moments,
        "blocked_from": time[first].normalize(),
        "blocked_until": time[last].normalize(),
        "session_count": max(len(hits), row["session_count"]),
        "day_count": hits["day"].nunique(),
    }


# --- verdicts -------------------------------------------------------------------------------------


def _network_verdicts(
    study: MessagingStudy,
    judgement: Judgement,
    intervals: pd.DataFrame,
    by_day: pd.DataFrame,
) -> pd.DataFrame:
    """Return one row a test, network and period: that of the part with the strongest state."""
    named = study.networks().set_index("probe_asn")
    verdicts = judgement.verdicts
    parts = verdicts.join(verdicts["domain"].str.extract(TEST_AND_PART))
    order = {(t.name, p.name): position for t in TESTS for position, p in enumerate(t.parts)}
    parts["order"] = [order[key] for key in zip(parts["test_name"], parts["part"], strict=True)]
    parts["rank"] = strength(parts["state"])
    parts = parts.sort_values(["rank", "order"])
    share_of = cache(study.elsewhere.typical_share)  # most ask of the same days
    failing = _find_failures(study)
    pair = ["test_name", "probe_asn"]
    stretches_of, days_of = dict(tuple(intervals.groupby(pair))), dict(tuple(by_day.groupby(pair)))
    rows = []
    for key, group in parts.groupby([*pair, "period"]):
        test, asn, name = key
        period = study.periods[str(name)]
        most = group.iloc[0]
        own = stretches_of.get((test, asn), intervals[:0])
        days = days_of.get((test, asn), by_day[:0])
        first, last = pd.Timestamp(period.since), pd.Timestamp(period.last_day)
        counts = days.loc[days["day"].between(first, last), _COUNTS].sum()
        in_order = sorted(zip(group["order"], group["part"], group["state"], strict=True))
        rows.append(
            {
                **dict(most),
                **dict(counts.drop("ok_count")),
                "parts": ";".join(part for _, part, state in in_order if state in LISTED),
                "open_parts": ";".join(part for _, part, state in in_order if state == "ok"),
                "network": named["network"].get(asn, ""),
                **_dates(most, own, period),
                **_beside(
                    share_of,
                    str(test),
                    most,
                    _share_of_days(failing.get((most["domain"], asn)), period),
                    named["is_domestic"].get(asn, False),
                    period,
                ),
            }
        )
    return typed("messaging_verdicts", rows)


def _find_failures(study: MessagingStudy) -> dict[Any, pd.DataFrame]:
    """Return the failed sessions of each part and network: their ``day`` and the ``share`` of
    anomalies elsewhere about that day, 0 if it is not known.
    """
    sessions = study.connection.execute(_SESSIONS).df()
    failed = sessions[sessions["class"] == "blocked"]
    failed = failed.assign(test_name=failed["domain"].str.extract(TEST_AND_PART)["test_name"])
    abroad = study.elsewhere.by_day(study.periods["all"])
    failed = failed.astype({"day": abroad["day"].dtype})
    failed = failed.merge(abroad, on=["test_name", "day"], how="left").fillna({"share": 0.0})
    return dict(tuple(failed.groupby(["domain", "probe_asn"])[["day", "share"]]))


def _share_of_days(failed: pd.DataFrame | None, period: Period) -> float:
    """Return the mean share of anomalies elsewhere on the days of a part's failed sessions."""
    if failed is None:
        return 0.0
    inside = failed["day"].between(pd.Timestamp(period.since), pd.Timestamp(period.last_day))
    return float(failed.loc[inside, "share"].mean()) if inside.any() else 0.0


def _dates(most: pd.Series, own: pd.DataFrame, period: Period) -> dict[str, Any]:
    """Return the first days of blocking, over all listed stretches of the test that begin in the
    period.
    """
    if most["state"] not in LISTED or own.empty:
        return {"blocked_from_time": pd.NaT}
    first, since = own.sort_values("blocked_from_time").iloc[0], pd.Timestamp(period.since)
    begins = first["blocked_from"] if first["blocked_from"] >= since else most["blocked_from"]
    is_first = begins == first["blocked_from"]
    return {
        "blocked_from": begins,
        "blocked_from_time": first["blocked_from_time"] if is_first else pd.NaT,
    }


def _beside(
    share_of: Callable[[str, pd.Timestamp, pd.Timestamp], float],
    test: str,
    most: pd.Series,
    failing_share: float,
    is_domestic: bool,
    period: Period,
) -> dict[str, Any]:
    """Compare a test that fails here with other countries in the same weeks.

    If it is not listed, and mostly fails elsewhere on the days of its failures here
    (``failing_share``), the test itself is broken: the cause of the failures is unclear.
    """
    since = pd.Timestamp(day_of(most["blocked_from"]) or period.since)
    until = pd.Timestamp(day_of(most["blocked_until"]) or period.last_day)
    share = share_of(test, since, until)
    has_control = not np.isnan(share)
    control = "countries" if has_control else "networks"
    failing = most["blocked_session_count"]
    valid = failing + most["ok_session_count"]
    is_failing = bool(failing and 5 * failing >= valid)
    note, aside, state = str(most["note"]), "", most["state"]
    if most["state"] in LISTED and not is_domestic:
        aside = "not_domestic"
    elif most["state"] not in LISTED and is_failing:
        aside = "instrument" if failing_share >= DEFECT_SHARE else "impaired"
    if aside == "instrument":
        state = "impaired" if state == "unexplained" else state
        note = "; ".join(filter(None, [note, DEFECT_NOTE]))
    return {
        "state": state,
        "elsewhere_anomaly_share": share,
        "control": control,
        "set_aside_reason": aside,
        "note": note,
    }


# --- counts ---------------------------------------------------------------------------------------


def _count_days(study: MessagingStudy, by_day: pd.DataFrame) -> pd.DataFrame:
    """Count each test by day: from OONI's counts if these are complete, or else from this
    archive.
    """
    own = by_day.groupby(["test_name", "day"], as_index=False)[_COUNTS].sum()
    own = own[~own["test_name"].isin(study.here["test_name"])]
    days = pd.concat([study.here.assign(counted_by="ooni"), own.assign(counted_by="archive")])
    order = days["test_name"].map({test.name: position for position, test in enumerate(TESTS)})
    columns = ["test_name", "day", *_COUNTS, "counted_by"]
    days = days.iloc[order.argsort(kind="stable")][columns].reset_index(drop=True)
    return days.astype({"day": MOMENT, "test_name": "str"})


def _count_months(days: pd.DataFrame) -> pd.DataFrame:
    """Return a row a test and month in which it was run."""
    dated = days.assign(month=days["day"].dt.strftime("%Y-%m"))
    return dated.groupby(["test_name", "month", "counted_by"], as_index=False)[_COUNTS].sum()


def _name_defects(study: MessagingStudy) -> pd.DataFrame:
    """Return the weeks in which a test failed everywhere, with their publicly known causes."""
    period = study.periods["all"]
    defects = find_defects(study.elsewhere)
    begin, end = pd.Timestamp(period.since), pd.Timestamp(period.last_day)
    since = defects["since"].mask(defects["since"] < begin, begin)
    until = defects["until"].mask(defects["until"] > end, end)
    causes = [
        find_causes(test, first.date(), last.date())
        for test, first, last in zip(defects["test_name"], since, until, strict=True)
    ]
    if study.is_fictional:  # what is known is of the real tests
        causes = [rows[:0] for rows in causes]
    return defects.assign(
        since=since,
        until=until,
        cause=["; ".join(rows["cause"]) for rows in causes],
        source=["; ".join(rows["source"].unique()) for rows in causes],
    )


def title_of(test_name: str) -> str:
    """Return the name by which readers know a test."""
    return BY_NAME[test_name].title


def name_tests(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with ``test_name`` as readers know the tests."""
    return table.assign(test_name=table["test_name"].map(title_of))


def share_by_month(study: MessagingStudy, months: pd.DataFrame) -> pd.DataFrame:
    """Return the contract's ``messaging_by_month`` with two more columns.

    ``anomaly_share`` is that of the tests that did not fail; ``elsewhere_anomaly_share`` the mean
    of the weeks' medians in other countries, empty without their counts.
    """
    valid = months["ok_count"] + months["anomaly_count"]
    weeks = study.elsewhere.weeks.assign(month=lambda rows: rows["week"].dt.strftime("%Y-%m"))
    elsewhere = weeks.groupby(["test_name", "month"])["typical"].mean()
    shared = months.assign(anomaly_share=months["anomaly_count"] / valid.where(valid > 0))
    return shared.join(elsewhere.rename("elsewhere_anomaly_share"), on=["test_name", "month"])


def count_country(study: MessagingStudy) -> pd.DataFrame:
    """Return the contract's ``messaging_country``: OONI's counts of the whole country, by test."""
    counted = study.here.groupby("test_name", as_index=False)[_COUNTS].sum()
    period = study.periods["all"]
    since, until = pd.Timestamp(period.since), pd.Timestamp(period.last_day)
    shares = [study.elsewhere.typical_share(name, since, until) for name in counted["test_name"]]
    return counted.assign(elsewhere_anomaly_share=shares)


def list_elsewhere(study: MessagingStudy) -> pd.DataFrame:
    """Return the contract's ``messaging_elsewhere``: the share in other countries, by test and
    week.
    """
    weeks = study.elsewhere.weeks
    return weeks.rename(columns={"typical": "elsewhere_anomaly_share"})
