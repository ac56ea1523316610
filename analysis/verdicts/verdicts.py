"""The verdict on each site and network: state, mechanism, dates, counts and a witness."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import log

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from analysis.outcomes.steps import create_tables, create_views, keep_table, read_type
from analysis.outcomes.thresholds import Thresholds
from analysis.period import MOMENT, Period
from analysis.sql import pick_queries, read_queries
from analysis.verdicts.blocks import Evidence, weigh_evidence
from analysis.verdicts.caveats import find_caveats
from analysis.verdicts.cells import MARKED_DAYS, Inside, judge_inside, look_inside
from analysis.verdicts.hours import find_schedules
from analysis.verdicts.intervals import (
    CELL,
    decide,
    explain_hits,
    interval_tables,
    judge_stretches,
    round_chance,
    round_evidence,
)
from analysis.verdicts.probes import count_to_explain
from analysis.verdicts.rates import learn
from analysis.verdicts.reasons import (
    OTHER_RESOLVERS,
    count_heard,
    set_aside_reasons,
    why_insufficient,
)
from analysis.verdicts.rivals import ONE_KIND_OF_PROBE
from analysis.verdicts.robustness import MOST, count_to_chance, sessions_to_flip
from analysis.verdicts.series import MARK, Series, read_series
from analysis.verdicts.sessions import KINDS, SESSION_VIEWS, Sessions
from analysis.verdicts.states import meets_floor, wilson_bounds
from analysis.verdicts.witnesses import add_witness, hide_measurements
from analysis.vocabulary import LISTED

_QUERIES = read_queries(__file__)
_IS_PROBLEM = "is_problem(is_anomaly, is_confirmed, class, set_aside)"
#: Resolvers that a pair names: those of most blocked sessions.
_MOST_RESOLVERS = 5

#: Says of each session of the series how often it would fail at least, from what is known besides;
#: the connection finds ``sessions`` and ``networks``.
Elsewhere = Callable[[duckdb.DuckDBPyConnection, Series], NDArray[np.float64]]


@dataclass(frozen=True)
class Judgement:
    """What the confirmation stage says.

    Attributes:
        verdicts: one row per ``domain, probe_asn, period``; the contract's ``verdicts.csv``
            without ``operator``.
        intervals: one row per listed interval; the contract's ``blocking_intervals.csv``.
        withheld: one row per surprising stretch that is not listed; ``withheld_intervals.csv``.
        chances: one row per ``domain, probe_asn`` with enough failures of one kind to be weighed,
            marks left out: ``evidence, chance`` of the most surprising.
        defects: one row per ``software, kind`` that failed in one kind of probe alone:
            ``site_count, session_count``.
        weigh: says what all of it rests on.
    """

    verdicts: pd.DataFrame
    intervals: pd.DataFrame
    withheld: pd.DataFrame
    chances: pd.DataFrame
    defects: pd.DataFrame
    weigh: Callable[[], Evidence]

    @cached_property
    def evidence(self) -> Evidence:
        """What all of it rests on, for a case to be worked through."""
        return self.weigh()

    def without_measurements(self) -> "Judgement":
        """The same with tables that lead to no single measurement (WITNESSES=none)."""
        return replace(
            self,
            verdicts=hide_measurements(self.verdicts),
            intervals=hide_measurements(self.intervals, CELL),
            withheld=hide_measurements(self.withheld, CELL),
        )


@dataclass(frozen=True)
class Scope:
    """What is judged, and how.

    Attributes:
        periods: ``all``, or ``all``, ``first`` and ``second``; ``all`` spans the others.
        thresholds: the method's numbers.
        has_explorer: witnesses have a page in OONI Explorer (false for a fictional country).
        has_control: whether others than the country's own networks say what works elsewhere.
    """

    periods: Mapping[str, Period]
    thresholds: Thresholds
    has_explorer: bool
    has_control: bool = False


def _add_period_parts(connection: duckdb.DuckDBPyConnection, periods: Iterable[Period]) -> None:
    """Create ``period_parts``: one row a stretch of time that no period's edge divides.

    ``part`` is its first day, ``next_part`` the first day of the one after it.
    """
    edges = sorted({edge for period in periods for edge in (period.since, period.until)})
    part, next_part = pa.array(edges[:-1], pa.date32()), pa.array(edges[1:], pa.date32())
    keep_table(connection, "period_parts", pa.table({"part": part, "next_part": next_part}))


def list_pairs(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, thresholds: Thresholds
) -> pd.DataFrame:
    """The pairs of site and network that are listed for the whole period: ``domain, probe_asn``.

    What ``judge_cells`` lists, without what it says of them.
    """
    with sessions.opened(connection) as opened:
        evidence = _weigh(opened, thresholds)
        stretches = decide(opened, evidence, thresholds)
        names = read_type(opened, "host_name")
    listed = stretches.loc[stretches["is_listed"], "cell"]
    pairs: pd.DataFrame = (
        evidence.series.cells[CELL].iloc[listed].drop_duplicates(ignore_index=True)
    )
    return pairs.assign(domain=pd.Series(names[pairs["domain"]], dtype="str"))


def weigh_sessions(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, thresholds: Thresholds
) -> Evidence:
    """How surprising the failures are, without what is known besides."""
    with sessions.opened(connection) as opened:
        return _weigh(opened, thresholds)


def _weigh(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    elsewhere: Elsewhere | None = None,
) -> Evidence:
    """How surprising the failures are, over a connection that finds the sessions alone."""
    create_views(connection, SESSION_VIEWS)
    series = read_series(connection, thresholds.floor_sessions)
    told = elsewhere(connection, series) if elsewhere else np.zeros(len(series.row))
    lessons = learn(connection, series, told)
    return weigh_evidence(series, lessons, find_schedules(series, lessons.base(series)), thresholds)


def judge_cells(
    connection: duckdb.DuckDBPyConnection,
    sessions: Sessions,
    scope: Scope,
    elsewhere: Elsewhere | None = None,
) -> Judgement:
    """Judge every site on every network, over stretches of time, for each named period.

    Args:
        connection: to all tables.
        sessions: what is judged.
        scope: of which periods, and by which numbers.
        elsewhere: see ``Elsewhere``.
    """
    with sessions.opened(connection) as opened:
        evidence = _weigh(opened, scope.thresholds, elsewhere)
        return _judge(opened, evidence, scope)


def _judge(connection: duckdb.DuckDBPyConnection, evidence: Evidence, scope: Scope) -> Judgement:
    periods, thresholds = scope.periods, scope.thresholds
    _add_period_parts(connection, periods.values())
    steps = pick_queries(_QUERIES, _IS_PROBLEM, "measurement_counts", "cell_parts")
    create_tables(connection, steps, {})
    stretches = decide(connection, evidence, thresholds, has_control=scope.has_control)
    stretches = judge_stretches(evidence, stretches, thresholds)
    stretches = stretches.assign(
        caveat=find_caveats(connection, evidence, stretches),
        to_probe=count_to_explain(connection, evidence, stretches, MOST),
        to_chance=count_to_chance(evidence, stretches, log(thresholds.chance_line)),
    )
    names = read_type(connection, "host_name")
    verdicts = pd.concat(
        [
            _verdicts_of(connection, evidence, stretches, period, thresholds).assign(period=name)
            for name, period in periods.items()
        ],
        ignore_index=True,
    )
    verdicts["domain"] = names[verdicts["domain"]]
    verdicts = add_witness(connection, verdicts, periods, has_explorer=scope.has_explorer)
    return Judgement(
        verdicts.sort_values([*CELL, "period"], ignore_index=True),
        *interval_tables(connection, evidence, stretches, names),
        _chances(evidence, names),
        _defects(connection, evidence, stretches),
        lambda: evidence,
    )


def _chances(evidence: Evidence, names: NDArray[np.object_]) -> pd.DataFrame:
    told = evidence.of_cells
    cells = evidence.series.cells.loc[told.index, CELL]
    chances = cells.assign(
        domain=names[cells["domain"]], evidence=round_evidence(told), chance=round_chance(told)
    )
    return chances.sort_values(CELL, ignore_index=True)


def _defects(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, stretches: pd.DataFrame
) -> pd.DataFrame:
    """What failed in one kind of probe alone, by software and kind of failure."""
    software = read_type(connection, "software_name")
    of_probe = stretches[stretches["reason"] == ONE_KIND_OF_PROBE]
    elements = evidence.elements_of(of_probe)
    rows, series = elements.loc[elements["is_hit"], "row"].unique(), evidence.series
    found = pd.DataFrame(
        {
            "software": software[series.sessions["software"][rows]],
            "kind": np.array(KINDS, object)[series.sessions["kind"][rows]],
            "domain": series.look_up("domain", rows),
        }
    )
    by_version = found.groupby(["software", "kind"])["domain"].agg(["nunique", "size"])
    by_version.columns = pd.Index(["site_count", "session_count"])
    return by_version.reset_index()


#: What the verdicts of a period are worked out from, and what they do not show.
_WORKING = [
    "has_problem",
    "ok_days",
    "unclear_sessions",
    "unheard_sessions",
    "own_session_count",
    "last_known",
    "first_open",
    "is_open",
    "reason",
    "hits",
    "open_inside",
    "first_hit",
    "last_hit",
    "ends_otherwise",
    "stretch",
    "cell",
    "marked_days",
    "caveat",
]


def _verdicts_of(
    connection: duckdb.DuckDBPyConnection,
    evidence: Evidence,
    stretches: pd.DataFrame,
    period: Period,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """One period's rows of ``verdicts``, sites by number, without a witness.

    A stretch is judged once, over the whole of it. In a half it counts where the half's own
    sessions meet the floor.
    """
    inside = look_inside(evidence, stretches, period, thresholds)
    given = {"since": period.since, "until": period.until, "most_resolvers": _MOST_RESOLVERS}
    table = connection.execute(_QUERIES["cell_counts"], given).df()
    cells = judge_inside(evidence, inside, period, thresholds)
    cells = cells.join(_rules_of_cells(connection, evidence, inside))
    cells = cells.rename_axis("cell").reset_index()
    table = table.merge(cells.astype({"probe_asn": "uint32"}), on=CELL, how="left")
    table["state"] = _fill_states(table, thresholds)
    is_listed = table["state"].isin(LISTED)
    table["sessions_to_flip"] = sessions_to_flip(table, inside, thresholds)
    table["insufficient_reason"] = why_insufficient(table, thresholds)
    table["set_aside_reason"] = set_aside_reasons(
        connection, table, evidence, inside, period, thresholds
    )
    table = _add_share(table, is_listed)
    table = _add_dates(table, is_listed, period, thresholds)
    is_chosen = (table["state"] == "ok") & (
        table["blocked_session_count"] > table["ok_session_count"]
    )
    reason = table["reason"].fillna("").mask(is_chosen, OTHER_RESOLVERS)
    table["note"] = table["note"].where(is_listed, reason)
    for column in ("rule_id", "mechanism", "resolver_asns", "schedule"):
        table[column] = table[column].where(is_listed, "")
    is_of_resolver = table["mechanism"].fillna("").str.startswith("dns.")
    table["resolver_asns"] = table["resolver_asns"].where(is_of_resolver, "")
    told = ["rule_id", "mechanism", "resolver_asns", "schedule"]
    table[told] = table[told].fillna("")
    return table.drop(columns=_WORKING)


def _fill_states(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """The states, where nothing says that a cell is listed or fails: ok or insufficient."""
    total = count_heard(table)
    is_open = meets_floor(table["ok_session_count"], table["ok_days"], total, thresholds)
    is_open = is_open.mask(table["is_open"].notna(), table["is_open"] == True)  # noqa: E712
    is_open &= ~(table["marked_days"] >= MARKED_DAYS)
    otherwise = is_open.map({True: "ok", False: "insufficient"})
    return table["state"].where(table["state"].fillna("") != "", otherwise)


def _rules_of_cells(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, inside: Inside
) -> pd.DataFrame:
    """By cell: rule and mechanism of most listed sessions, and their hours; what cannot be told of
    them; and ``evidence`` and ``chance`` of the most surprising way to fail, unless a mark decides.
    """
    elements = inside.listed_elements()
    rules = explain_hits(connection, evidence, elements, "cell")[["rule_id", "mechanism"]]
    listed, told = inside.listed, evidence.of_cells
    most = listed["log_evidence"].groupby(listed["cell"]).max()
    is_mark = (listed["kind"] == MARK).groupby(listed["cell"]).any()
    told = told.reindex(told.index.union(most.index))
    told[most.index] = most.mask(is_mark)
    of_cell = evidence.schedule_text(listed["series"], listed["cell"])
    caveat = listed.groupby("cell")["caveat"].min()  # empty, unless said of each stretch
    texts = {
        "evidence": round_evidence(told),
        "chance": round_chance(told),
        "schedule": of_cell,
        "caveat": caveat.reindex(told.index),
    }
    return pd.DataFrame(texts).join(rules)


def _add_share(table: pd.DataFrame, is_listed: pd.Series) -> pd.DataFrame:
    """Blocked sessions over blocked and ok ones: inside the interval, or over the period."""
    hits = table["hits"].where(is_listed, table["blocked_session_count"])
    opened = table["open_inside"].fillna(0).where(is_listed, table["ok_session_count"])
    low, high = wilson_bounds(hits, hits + opened)
    share = (hits / (hits + opened).where(hits + opened > 0)).astype("float64")
    return table.assign(blocked_share=share, blocked_share_low=low, blocked_share_high=high)


def _add_dates(
    table: pd.DataFrame, is_listed: pd.Series, period: Period, thresholds: Thresholds
) -> pd.DataFrame:
    """First and last day of blocking over the listed intervals, and what to know about them."""
    first = table["first_hit"].where(is_listed).astype(MOMENT)
    last = table["last_hit"].where(is_listed).astype(MOMENT)
    end = table["last_known"]
    to_the_end = is_listed & (last >= end) & (table["ends_otherwise"] != True)  # noqa: E712
    is_recent = (pd.Timestamp(period.until) - end).dt.days <= thresholds.not_tested_days
    unseen_before = is_listed & ~(table["first_open"] < first)
    since = unseen_before.map({True: "at least since", False: ""})
    until = (to_the_end & ~is_recent).map({True: "not tested since", False: ""})
    parts = zip(since, until, table["caveat"].fillna(""), strict=True)
    return table.assign(
        blocked_from=first,
        blocked_until=last.mask(to_the_end & is_recent),
        last_seen_blocked=last,
        note=["; ".join(filter(None, part)) for part in parts],
    )
