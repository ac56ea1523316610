"""The verdict on each site and network: state, mechanism, dates, counts and a witness."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from analysis.outcomes.steps import create_tables, keep_table, read_type
from analysis.outcomes.thresholds import Thresholds
from analysis.period import MOMENT, Period
from analysis.sql import pick_queries, read_queries
from analysis.verdicts.addresses import (
    NO_ADDRESSES,
    judge_addresses,
    lend_cuts,
    tabulate_addresses,
)
from analysis.verdicts.caveats import ONE_INPUT, add_caveats
from analysis.verdicts.flips import MARKED_DAYS, MOST_FORGED, sessions_to_flip
from analysis.verdicts.floors import meets_floor, wilson_bounds
from analysis.verdicts.intervals import PAIR, interval_tables, round_chance, round_evidence
from analysis.verdicts.judge import decide, explain_failures, judge_country
from analysis.verdicts.pairs import Country
from analysis.verdicts.probes import count_to_explain
from analysis.verdicts.rates import LeastRates
from analysis.verdicts.reasons import OTHER_RESOLVERS, give_reasons, why_insufficient
from analysis.verdicts.rivals import ONE_KIND_OF_PROBE
from analysis.verdicts.sessions import Sessions
from analysis.verdicts.set_aside import set_aside_reasons
from analysis.verdicts.states import PairState, judge_period
from analysis.verdicts.witnesses import add_witness, hide_measurements
from analysis.vocabulary import LISTED

_QUERIES = read_queries(__file__)
_IS_PROBLEM = "is_problem(is_anomaly, is_confirmed, class, set_aside)"
#: Resolvers that a pair names: those of most blocked sessions.
_MOST_RESOLVERS = 5


@dataclass(frozen=True)
class Judgement:
    """What the confirmation stage says.

    Attributes:
        verdicts: one row per ``domain, probe_asn, period``; the contract's ``verdicts.csv``
            without ``operator``.
        intervals: one row per listed interval; the contract's ``blocking_intervals.csv``.
        addresses: one row per listed interval of a shared address; ``blocked_addresses.csv``.
        withheld: one row per stretch that is surprising or mostly fails, and is not listed;
            ``withheld_intervals.csv``.
        chances: one row per ``domain, probe_asn`` with enough failures of one kind to be weighed,
            or to be a mark: ``evidence, chance`` of the most surprising.
        defects: one row per ``software, kind`` that failed in one kind of probe alone:
            ``site_count, session_count``.
        weigh: judges the pairs that all of it rests on, without their rivals.
    """

    verdicts: pd.DataFrame
    intervals: pd.DataFrame
    addresses: pd.DataFrame
    withheld: pd.DataFrame
    chances: pd.DataFrame
    defects: pd.DataFrame
    weigh: Callable[[], Country]

    @cached_property
    def country(self) -> Country:
        """The pairs that all of it rests on, for a case to be worked through."""
        return self.weigh()

    def without_measurements(self) -> "Judgement":
        """The same with tables that lead to no single measurement (WITNESSES=none)."""
        return replace(
            self,
            verdicts=hide_measurements(self.verdicts),
            intervals=hide_measurements(self.intervals, PAIR),
            addresses=hide_measurements(self.addresses, ["address", "probe_asn"]),
            withheld=hide_measurements(self.withheld, PAIR),
        )


@dataclass(frozen=True)
class Scope:
    """What is judged, and how.

    Attributes:
        periods: ``all``, or ``all``, ``first`` and ``second``; ``all`` spans the others.
        thresholds: the method's numbers.
        has_explorer: witnesses have a page in OONI Explorer (false for a fictional country).
        has_control: whether others than the country's own networks say what works elsewhere.
        has_addresses: the sessions of shared addresses were made beside those of sites.
    """

    periods: Mapping[str, Period]
    thresholds: Thresholds
    has_explorer: bool
    has_control: bool = False
    has_addresses: bool = False


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
    """Return the pairs of web sites that are listed for the whole period: ``domain, probe_asn``.

    They are those that ``judge_cells`` lists, without what it says of them.
    """
    lend = _lend(connection, sessions, thresholds)
    with sessions.opened(connection) as opened:
        country = judge_country(opened, thresholds, lend=lend)
        decide(opened, country, thresholds)
        names = read_type(opened, "host_name")
    listed = [
        (names[pair.domain], pair.probe_asn)
        for pair in country.pairs
        if any(stretch.is_listed for stretch in pair.stretches)
    ]
    return pd.DataFrame(listed, columns=PAIR).astype({"domain": "str", "probe_asn": "int64"})


def judge_without_rivals(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, thresholds: Thresholds
) -> Country:
    """Judge the pairs by their sessions alone, without rivals and what is known besides."""
    lend = _lend(connection, sessions, thresholds)
    with sessions.opened(connection) as opened:
        return judge_country(opened, thresholds, lend=lend)


def _lend(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, thresholds: Thresholds
) -> Callable[[Country], None]:
    """Judge the shared addresses, and return what lends their blocks to sites."""
    addresses, _ = judge_addresses(connection, sessions, thresholds)
    return partial(lend_cuts, connection, addresses, sessions)


def judge_cells(
    connection: duckdb.DuckDBPyConnection,
    sessions: Sessions,
    scope: Scope,
    elsewhere: LeastRates | None = None,
) -> Judgement:
    """Judge every site on every network, over stretches of time, for each named period.

    Args:
        connection: to all tables.
        sessions: what is judged.
        scope: of which periods, and by which numbers.
        elsewhere: see ``rates.LeastRates``.
    """
    lend, addresses = None, NO_ADDRESSES
    if scope.has_addresses:
        judged, intervals = judge_addresses(connection, sessions, scope.thresholds)
        lend = partial(lend_cuts, connection, judged, sessions)
        addresses = tabulate_addresses(connection, judged, sessions, intervals)
    with sessions.opened(connection) as opened:
        country = judge_country(opened, scope.thresholds, elsewhere, lend)
        return _judge(opened, country, scope, addresses)


def _judge(
    connection: duckdb.DuckDBPyConnection, country: Country, scope: Scope, addresses: pd.DataFrame
) -> Judgement:
    periods, thresholds = scope.periods, scope.thresholds
    _add_period_parts(connection, periods.values())
    steps = pick_queries(_QUERIES, _IS_PROBLEM, "measurement_counts", "cell_parts")
    create_tables(connection, steps, {})
    decide(connection, country, thresholds, has_control=scope.has_control)
    give_reasons(country, thresholds)
    add_caveats(country)
    count_to_explain(connection, country, MOST_FORGED)
    names = read_type(connection, "host_name")
    verdicts = pd.concat(
        [
            _verdicts_of(connection, country, period, thresholds).assign(period=name)
            for name, period in periods.items()
        ],
        ignore_index=True,
    )
    verdicts["domain"] = names[verdicts["domain"]]
    verdicts = add_witness(connection, verdicts, periods, has_explorer=scope.has_explorer)
    listed, withheld = interval_tables(connection, country, names)
    return Judgement(
        verdicts.sort_values([*PAIR, "period"], ignore_index=True),
        listed,
        addresses,
        withheld,
        _chances(country, names),
        _defects(connection, country),
        lambda: country,
    )


def _chances(country: Country, names: NDArray[np.object_]) -> pd.DataFrame:
    rows = [
        (names[pair.domain], pair.probe_asn, pair.log_evidence)
        for pair in country.pairs
        if pair.log_evidence is not None
    ]
    table = pd.DataFrame(rows, columns=[*PAIR, "log_evidence"]).astype({"log_evidence": "float64"})
    log_evidence = table.pop("log_evidence")
    chances = table.assign(evidence=round_evidence(log_evidence), chance=round_chance(log_evidence))
    return chances.sort_values(PAIR, ignore_index=True)


def _defects(connection: duckdb.DuckDBPyConnection, country: Country) -> pd.DataFrame:
    """Count what failed in one kind of probe alone, by software and kind of failure."""
    rows = [
        (session.row, session.kind, pair.domain)
        for pair in country.pairs
        for stretch in pair.stretches
        if stretch.reason == ONE_KIND_OF_PROBE
        for session in stretch.failures
    ]
    found = pd.DataFrame(rows, columns=["row", "kind", "domain"]).astype({"row": "int64"})
    software = country.columns["software"][found["row"]]
    found["software"] = read_type(connection, "software_name")[software]
    by_version = found.groupby(["software", "kind"])["domain"].agg(["nunique", "size"])
    by_version.columns = pd.Index(["site_count", "session_count"])
    return by_version.reset_index()


#: Columns that the verdicts of a period are made from, and that are not published.
_WORKING = [
    "has_problem",
    "ok_days",
    "unclear_sessions",
    "heard_session_count",
    "own_session_count",
    "to_unite",
    "last_known",
    "first_open",
    "is_open",
    "reason",
    "listed_session_count",
    "reached_inside",
    "first_failure",
    "last_failure",
    "ends_otherwise",
    "marked_days",
    "caveat",
]


def _verdicts_of(
    connection: duckdb.DuckDBPyConnection, country: Country, period: Period, thresholds: Thresholds
) -> pd.DataFrame:
    """Return one period's rows of ``verdicts``, sites by number, without a witness."""
    states = [judge_period(pair, period, thresholds) for pair in country.pairs]
    given = {"since": period.since, "until": period.until, "most_resolvers": _MOST_RESOLVERS}
    table = connection.execute(_QUERIES["cell_counts"], given).df()
    table = table.merge(_describe_states(connection, country, states), on=PAIR, how="left")
    table["state"] = _fill_states(table, thresholds)
    is_listed = table["state"].isin(LISTED)
    table["sessions_to_flip"] = _count_flips(table, states, thresholds)
    table["insufficient_reason"] = why_insufficient(table, thresholds)
    table["set_aside_reason"] = set_aside_reasons(connection, table, states, period, thresholds)
    table = _add_share(table, is_listed)
    table = _add_dates(table, is_listed, period, thresholds)
    is_chosen = (table["state"] == "ok") & (
        table["blocked_session_count"] > table["ok_session_count"]
    )
    reason = table["reason"].fillna("").mask(is_chosen, OTHER_RESOLVERS)
    table["note"] = table["note"].where(is_listed, reason)
    table["note"] = _add_inputs(table)
    for column in ("rule_id", "mechanism", "resolver_asns", "schedule", "inputs"):
        table[column] = table[column].where(is_listed, "").fillna("")
    is_of_resolver = table["mechanism"].str.startswith("dns.")
    table["resolver_asns"] = table["resolver_asns"].where(is_of_resolver, "")
    return table.drop(columns=_WORKING)


def _add_inputs(table: pd.DataFrame) -> pd.Series:
    """Return the notes, with which kind of input a listed pair is judged by, if by one alone."""
    words = table["inputs"].map(ONE_INPUT).where(table["state"].isin(LISTED))
    notes = zip(words.fillna(""), table["note"], strict=True)
    return pd.Series(["; ".join(filter(None, parts)) for parts in notes], table.index, dtype=str)


def _describe_states(
    connection: duckdb.DuckDBPyConnection, country: Country, states: Sequence[PairState]
) -> pd.DataFrame:
    """Return the states of a period as a frame, a row a pair in which anything fails.

    Besides the state: the evidence and chance of the most surprising way to fail; and of the listed
    stretches the rule and mechanism of most failed sessions, the hours, what cannot be told of
    them, the days of the first and last failure, and how many sessions inside failed and reached
    the site.
    """
    rows = [
        {
            "domain": state.pair.domain,
            "probe_asn": state.pair.probe_asn,
            "state": state.state,
            "is_open": state.is_open,
            "reason": state.reason,
            "evidence": _evidence_of(state),
            "schedule": _schedule_of(state),
            # empty, unless each stretch has one
            "caveat": min((part.stretch.caveat for part in state.listed), default=""),
            "listed_session_count": len(state.failures),
            "reached_inside": state.reached_count,
            "first_failure": state.failures[0].day if state.failures else None,
            "last_failure": state.failures[-1].day if state.failures else None,
            "ends_otherwise": state.ends_otherwise,
        }
        for state in states
    ]
    types = {"domain": "int32", "probe_asn": "uint32", "evidence": "float64"}
    table = pd.DataFrame(rows, columns=_DESCRIBED).astype(types)
    for name in ("first_failure", "last_failure"):
        table[name] = pd.to_datetime(table[name], unit="D").astype(MOMENT)
    failures = ((number, state.pair, state.failures) for number, state in enumerate(states))
    rules = explain_failures(connection, country, failures)[["rule_id", "mechanism"]]
    log_evidence = table["evidence"]
    table = table.assign(evidence=round_evidence(log_evidence), chance=round_chance(log_evidence))
    return table.join(rules)


_DESCRIBED = [
    *PAIR,
    "state",
    "is_open",
    "reason",
    "evidence",
    "chance",
    "schedule",
    "caveat",
    "listed_session_count",
    "reached_inside",
    "first_failure",
    "last_failure",
    "ends_otherwise",
]


def _evidence_of(state: PairState) -> float | None:
    """Return ln E of the most surprising way to fail."""
    evidence = (part.stretch.log_evidence for part in state.listed)
    return max(evidence, default=state.pair.log_evidence)


def _schedule_of(state: PairState) -> str:
    """Return the hours of the listed stretches; empty unless all of them have the same."""
    schedules = {str(part.stretch.series.schedule or "") for part in state.listed}
    return schedules.pop() if len(schedules) == 1 else ""


def _fill_states(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Return the states: *ok* or *insufficient* of a pair that is neither listed nor failing."""
    total = table["heard_session_count"]
    is_open = meets_floor(table["ok_session_count"], table["ok_days"], total, thresholds)
    is_open = is_open.mask(table["is_open"].notna(), table["is_open"] == True)  # noqa: E712
    is_open &= ~(table["marked_days"] >= MARKED_DAYS)
    otherwise = is_open.map({True: "ok", False: "insufficient"})
    return table["state"].where(table["state"].fillna("") != "", otherwise)


#: What ``flips.sessions_to_flip`` reads of a pair.
_FLIP_COLUMNS = [
    "state",
    "mechanism",
    "session_count",
    "blocked_session_count",
    "down_session_count",
    "ok_session_count",
    "unclear_sessions",
    "marked_days",
    "own_session_count",
    "to_unite",
    "listed_session_count",
]


def _count_flips(
    table: pd.DataFrame, states: Sequence[PairState], thresholds: Thresholds
) -> pd.Series:
    """Return of each pair how many forged sessions could change its state, at least."""
    rests_on = {(state.pair.domain, state.pair.probe_asn): state.rests_on for state in states}
    pairs = zip(table["domain"].tolist(), table["probe_asn"].tolist(), strict=True)
    counts = table[_FLIP_COLUMNS].fillna({"mechanism": ""}).astype(object)  # Arrow's texts are slow
    rows = counts.itertuples()
    fewest = [
        sessions_to_flip(row, rests_on.get(pair), thresholds)
        for pair, row in zip(pairs, rows, strict=True)
    ]
    return pd.Series(fewest, table.index, dtype="int64")


def _add_share(table: pd.DataFrame, is_listed: pd.Series) -> pd.DataFrame:
    """Add the share of blocked among blocked and ok sessions: in the interval, or the period."""
    hits = table["listed_session_count"].where(is_listed, table["blocked_session_count"])
    opened = table["reached_inside"].where(is_listed, table["ok_session_count"])
    low, high = wilson_bounds(hits, hits + opened)
    share = (hits / (hits + opened).where(hits + opened > 0)).astype("float64")
    return table.assign(blocked_share=share, blocked_share_low=low, blocked_share_high=high)


def _add_dates(
    table: pd.DataFrame, is_listed: pd.Series, period: Period, thresholds: Thresholds
) -> pd.DataFrame:
    """Add the first and last day of blocking over the listed intervals, and notes on them."""
    first = table["first_failure"].where(is_listed)
    last = table["last_failure"].where(is_listed)
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
