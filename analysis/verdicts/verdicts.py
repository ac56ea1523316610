"""The verdict on each site and network: state, mechanism, dates, counts and a witness."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.period import MOMENT, Period
from analysis.sql import pick_queries, read_queries
from analysis.verdicts.addresses import judge_addresses, lend_cuts
from analysis.verdicts.caveats import ONE_INPUT
from analysis.verdicts.flips import MARKED_DAYS, MOST_FORGED, count_flips, sessions_to_flip
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
from analysis.verdicts.states import STATED, judge_period
from analysis.verdicts.witnesses import add_witness, hide_measurements
from analysis.vocabulary import LISTED

_QUERIES = read_queries(__file__)
_STEPS = pick_queries(_QUERIES, "dated_outcomes", "session_counts")
#: The key of a verdict.
_KEY = [*PAIR, "period"]
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


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector, which takes a fifth of the time of a judgement.

    It would walk through all sessions again and again, and none of them can be freed.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_collector_paused()
def list_pairs(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, thresholds: Thresholds
) -> pd.DataFrame:
    """Return the pairs of web sites that are listed for the whole period: ``domain, probe_asn``.

    They are those that ``judge_cells`` lists, without what it says of them.
    """
    cuts, _ = judge_addresses(connection, sessions, thresholds)
    with sessions.opened(connection) as opened:
        country = judge_country(opened, thresholds, lend=partial(lend_cuts, cuts))
        decide(opened, country, thresholds)
    pairs = [stretch.pair for stretch in country.stretches() if stretch.is_listed]
    listed = dict.fromkeys((country.names[pair.domain], pair.probe_asn) for pair in pairs)
    return pd.DataFrame([*listed], columns=PAIR).astype({"domain": "str", "probe_asn": "int64"})


@_collector_paused()
def judge_without_rivals(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, thresholds: Thresholds
) -> Country:
    """Judge the pairs by their sessions alone, without rivals and what is known besides."""
    cuts, _ = judge_addresses(connection, sessions, thresholds)
    with sessions.opened(connection) as opened:
        return judge_country(opened, thresholds, lend=partial(lend_cuts, cuts))


@_collector_paused()
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
    thresholds, lend, addresses = scope.thresholds, None, pd.DataFrame()
    if scope.has_addresses:
        cuts, addresses = judge_addresses(connection, sessions, thresholds)
        lend = partial(lend_cuts, cuts)
    with sessions.opened(connection) as opened:
        country = judge_country(opened, thresholds, elsewhere, lend)
        decide(opened, country, thresholds, has_control=scope.has_control)
        give_reasons(country, thresholds)
        count_to_explain(country, MOST_FORGED)
        count_flips(country, thresholds)
        listed, withheld = interval_tables(opened, country)
        return Judgement(
            _tabulate_verdicts(opened, country, scope),
            listed,
            addresses,
            withheld,
            _chances(country),
            _defects(country),
            lambda: country,
        )


def _chances(country: Country) -> pd.DataFrame:
    rows = [
        (country.names[pair.domain], pair.probe_asn, pair.log_evidence)
        for pair in country.pairs
        if pair.log_evidence is not None
    ]
    table = pd.DataFrame(rows, columns=[*PAIR, "log_evidence"]).astype({"log_evidence": "float64"})
    log_evidence = table.pop("log_evidence")
    chances = table.assign(evidence=round_evidence(log_evidence), chance=round_chance(log_evidence))
    return chances.sort_values(PAIR, ignore_index=True)


def _defects(country: Country) -> pd.DataFrame:
    """Count what failed in one kind of probe alone, by software and kind of failure."""
    rows = [
        (session.row, session.kind)
        for stretch in country.stretches()
        if stretch.reason == ONE_KIND_OF_PROBE
        for session in stretch.failures
    ]
    found = pd.DataFrame(rows, columns=["row", "kind"]).astype({"row": "int64"})
    found = country.describe(found).astype({"software": "str"})
    by_version = found.groupby(["software", "kind"], as_index=False)
    return by_version.agg(site_count=("domain", "nunique"), session_count=("domain", "size"))


#: The columns of ``Judgement.verdicts``, without those of the witness.
_COLUMNS = [
    *PAIR,
    *("measurement_count", "blocked_count", "down_count", "ok_count", "unknown_count"),
    *("day_count", "session_count"),
    *("blocked_session_count", "down_session_count", "ok_session_count"),
    *("resolver_asns", "inputs", "state", "evidence", "chance", "schedule"),
    *("rule_id", "mechanism", "sessions_to_flip", "insufficient_reason", "set_aside_reason"),
    *("blocked_share", "blocked_share_low", "blocked_share_high"),
    *("blocked_from", "blocked_until", "last_seen_blocked", "note", "period"),
]


def _tabulate_verdicts(
    connection: duckdb.DuckDBPyConnection, country: Country, scope: Scope
) -> pd.DataFrame:
    """Return ``Judgement.verdicts``."""
    thresholds = scope.thresholds
    periods = [(name, span.since, span.until) for name, span in scope.periods.items()]
    connection.register("periods", pd.DataFrame(periods, columns=["period", "since", "until"]))
    create_tables(connection, _STEPS, {})
    counts = connection.execute(_QUERIES["cell_counts"], {"most_resolvers": _MOST_RESOLVERS}).df()
    table = counts.merge(_tabulate_states(connection, country, scope), on=_KEY, how="left")
    table["state"] = _fill_states(table, thresholds)
    table["sessions_to_flip"] = sessions_to_flip(table, thresholds)
    table["insufficient_reason"] = why_insufficient(table, thresholds)
    table["set_aside_reason"] = set_aside_reasons(connection, table, thresholds)
    table["domain"] = country.names[table["domain"]]
    is_listed = table["state"].isin(LISTED)
    for column in ("rule_id", "mechanism", "resolver_asns", "schedule", "inputs"):
        table[column] = table[column].where(is_listed, "").fillna("")
    table.loc[~table["mechanism"].str.startswith("dns."), "resolver_asns"] = ""
    table = _add_share(table, is_listed)
    table = _add_dates(table, is_listed, scope)[_COLUMNS].sort_values(_KEY, ignore_index=True)
    return add_witness(connection, table, scope.periods, has_explorer=scope.has_explorer)


def _tabulate_states(
    connection: duckdb.DuckDBPyConnection, country: Country, scope: Scope
) -> pd.DataFrame:
    """Return the states of pairs in which anything fails, a row a pair and period.

    Beside ``STATED``: the evidence and chance of the most surprising way to fail, and the rule
    and mechanism of most failed sessions of listed stretches.
    """
    rows = [
        judge_period(pair, period, scope.thresholds)
        for period in scope.periods.values()
        for pair in country.pairs
    ]
    table = pd.DataFrame(rows, columns=list(STATED)).astype(STATED)
    for name in ("first_failure", "last_failure"):
        table[name] = pd.to_datetime(table[name], unit="D").astype(MOMENT)
    rules = explain_failures(connection, country, list(table["failures"]))
    return table.assign(
        period=np.repeat([*scope.periods], len(country.pairs)),
        evidence=round_evidence(table["evidence"]),
        chance=round_chance(table["evidence"]),
    ).join(rules[["rule_id", "mechanism"]])


def _fill_states(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Return the states: *ok* or *insufficient* of a pair that is neither listed nor failing."""
    total = table["heard_session_count"]
    is_open = meets_floor(table["ok_session_count"], table["ok_days"], total, thresholds)
    is_open = table["is_open"].astype("boolean").fillna(is_open) & (
        table["marked_days"] < MARKED_DAYS
    )
    otherwise = is_open.map({True: "ok", False: "insufficient"})
    return table["state"].where(table["state"].fillna("") != "", otherwise)


def _add_share(table: pd.DataFrame, is_listed: pd.Series) -> pd.DataFrame:
    """Add the share of blocked among blocked and ok sessions: in the interval, or the period."""
    hits = table["listed_session_count"].where(is_listed, table["blocked_session_count"])
    opened = table["reached_count"].where(is_listed, table["ok_session_count"])
    low, high = wilson_bounds(hits, hits + opened)
    share = (hits / (hits + opened).where(hits + opened > 0)).astype("float64")
    return table.assign(blocked_share=share, blocked_share_low=low, blocked_share_high=high)


def _add_dates(table: pd.DataFrame, is_listed: pd.Series, scope: Scope) -> pd.DataFrame:
    """Add the first and last day of blocking over the listed intervals, and the note.

    The note has what is to be known of a listed pair, and why another is not listed.
    """
    first = table["first_failure"].where(is_listed)
    last = table["last_failure"].where(is_listed)
    end = table["last_known"]
    to_the_end = is_listed & (last >= end) & (table["ends_otherwise"] != True)  # noqa: E712
    until = table["period"].map({name: pd.Timestamp(p.until) for name, p in scope.periods.items()})
    is_recent = (until - end).dt.days <= scope.thresholds.not_tested_days
    is_chosen = (table["state"] == "ok") & (
        table["blocked_session_count"] > table["ok_session_count"]
    )
    notes = [
        table["inputs"].map(ONE_INPUT).where(is_listed),
        pd.Series("at least since", table.index).where(is_listed & ~(table["first_open"] < first)),
        pd.Series("not tested since", table.index).where(to_the_end & ~is_recent),
        table["caveat"].where(is_listed, table["reason"].mask(is_chosen, OTHER_RESOLVERS)),
    ]
    parts = zip(*(note.fillna("").astype(object) for note in notes), strict=True)
    return table.assign(
        blocked_from=first,
        blocked_until=last.mask(to_the_end & is_recent),
        last_seen_blocked=last,
        note=pd.Series(["; ".join(filter(None, part)) for part in parts], table.index, dtype=str),
    )
