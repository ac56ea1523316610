"""How many forged sessions it would take, at least, to change a verdict.

Anybody may submit a measurement, and a forged report acts everywhere at once. Within the cell it
takes at most ln(40) from the evidence of a series, or raises what fails there by itself. Elsewhere
it teaches: one failure more in every proportion, all sites there are in the usual one, and, where
it makes a stretch of others too thin for a candidate, all failures of that stretch as well. The
evidence is weighed again with so many reports in all these places, against a line twice as strict
that is drawn through what is left of all series. The number is the fewest that bring a series
below it, or that take away what the floor of sessions, days and share needs, or make up another
state. It is a bound for these ways, not a proof: how forging moves the edges of a stretch and the
profiles of addresses and pages is bounded by what forging tests found, and more made-up names than
the archive has sites could raise the line further.
"""

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.blocks import Evidence, find_lines, weigh_days
from analysis.verdicts.cells import Inside
from analysis.verdicts.expectation import Candidates
from analysis.verdicts.facts import Facts
from analysis.verdicts.rates import learn, raise_by_own
from analysis.verdicts.series import MARK
from analysis.verdicts.states import Z_95
from analysis.vocabulary import LISTED

#: More than so many are not told apart.
MOST = 6
#: How many are asked about, from the most on. The candidates are sought again with the first of
#: each range: as many as asked about, or more.
_COUNTS = (range(MOST, 2, -1), range(2, 0, -1))
#: What one session of its own can take from the evidence of a series: 1 − q, and it may add a day.
_STEP = np.log(2 / 0.05)
#: Two reports that hold every site upset what is known of an address or a page.
_OF_PROFILE = 2
#: What asked the network's own resolver, of cells that others were asked of as well.
_OWN_SESSIONS = """
SELECT enum_code(domain)::INTEGER AS domain, probe_asn,
  count(*) FILTER (is_via_own AND class <> 'none') AS own_session_count
FROM sessions GROUP BY ALL HAVING NOT bool_and(coalesce(is_via_own, FALSE))
"""
#: Mechanisms that rest on what other sessions saw as well as on the cell's own.
_PROFILED = ["dns.loopback", "dns.bogon", "dns.sinkhole", "dns.blockpage", "dns.other",
             "http.blockpage"]  # fmt: skip


def weigh_forging(
    evidence: Evidence, facts: Facts, candidates: Candidates, thresholds: Thresholds
) -> pd.Series:
    """By number of the series: the fewest forged reports after which it may be no surprise.

    ``MOST + 1`` where more are needed, or where chance is not asked. Each forged success takes one
    from the sum that makes a stretch a candidate; where that is too little then, all its failures
    teach.

    Args:
        evidence: of the sessions as they are.
        facts, candidates: what it was learnt from, and what did not teach.
        thresholds: ``chance_share``.
    """
    series = evidence.series
    to_chance = np.full(len(series.kind), MOST + 1)
    of_kinds = series.of_kinds()
    hours = list(evidence.of_hours)
    for counts in _COUNTS:
        taught = learn(facts, of_kinds, candidates.find(counts[0]), evidence.expected.lessons)
        for count in counts:
            is_inside = evidence.is_inside[: len(of_kinds.row)]
            rates = raise_by_own(of_kinds, taught.rates(count), is_inside, count)
            weights, _ = weigh_days(of_kinds, rates)
            weights[hours] += list(evidence.of_hours.values())
            weights -= _STEP * count
            _, lines = find_lines(of_kinds, weights, evidence.expected, thresholds.chance_share)
            is_chance = of_kinds.is_weighed & (weights < lines + np.log(2))
            to_chance[: len(is_chance)][is_chance] = count
    return pd.Series(to_chance, name="to_chance")


def count_own_sessions(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Sessions through the network's own resolver, of the cells that others were asked of too.

    Columns: ``domain`` (a number), ``probe_asn, own_session_count``.
    """
    return connection.execute(_OWN_SESSIONS).df()


def sessions_to_flip(
    table: pd.DataFrame, inside: Inside, forging: pd.Series, own: pd.DataFrame,
    thresholds: Thresholds,
) -> pd.Series:  # fmt: skip
    """The smallest number of forged sessions that could move each state.

    Args:
        table: ``state, stretch`` (that it rests on), ``mechanism``, the sessions of each class
            (``blocked_session_count`` …) and ``unclear_sessions``, of the period.
        inside: the stretches as far as they lie in the period.
        forging: see ``weigh_forging``.
        own: see ``count_own_sessions``.
        thresholds: the evidence floor.

    Returns:
        Whole numbers from 1.
    """
    counted = inside.counted.join(forging, on="series")
    rests = counted.reindex(table["stretch"]).set_axis(table.index)
    is_listed = table["state"].isin(LISTED)
    hits, total = rests["hits"], rests["hits"] + rests["misses"]
    thin = _to_thin_out(hits, total, thresholds.share_floor)
    recut = (hits - thresholds.floor_sessions - 2) // 2
    by_chance = rests["to_chance"].where(rests["kind"] != MARK, np.inf)
    is_profiled = table["mechanism"].isin(_PROFILED)
    profile = pd.Series(np.where(is_profiled, _OF_PROFILE, np.inf), table.index)
    ways = [
        thin,
        recut,
        by_chance,
        profile,
        rests["leaning"],
        _to_be_filtered(table, own, thresholds),
    ]
    listed = pd.concat(ways, axis=1).min(axis=1)
    # What else the cell shows, with a few marks of blocking, makes a likely block a sure one.
    through = table["ok_session_count"] + table["down_session_count"]
    to_mark = thresholds.floor_sessions - (table["session_count"] - through - table["hits"])
    listed = listed.where(table["state"] == "blocked", np.minimum(listed, to_mark))
    made_up = _to_make_up(table, thresholds)
    opened = table["ok_session_count"]
    told = opened + table["blocked_session_count"] + table["down_session_count"]
    closed = _to_thin_out(opened, told + table["unclear_sessions"], thresholds.share_floor)
    of_ways = {
        "listed": listed,
        "failing": pd.concat([thin, recut, made_up], axis=1).min(axis=1),
        "ok": np.minimum(closed, made_up),
    }
    of_state = [is_listed, table["state"].isin(["impaired", "down"]), table["state"] == "ok"]
    fewest = pd.Series(np.select(of_state, list(of_ways.values()), default=made_up), table.index)
    return fewest.fillna(1).floordiv(1).clip(1, MOST + 1).astype("int64")


def _to_be_filtered(table: pd.DataFrame, own: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Sessions after which a block of lookups may be what a resolver or a filter does.

    Once ``floor_sessions`` asked the network's own resolver, it speaks for the network; and a name
    that is denied to some and given to as many others is denied by a filter that some have chosen.
    """
    floor = thresholds.floor_sessions
    told = table[["domain", "probe_asn"]].merge(own, on=["domain", "probe_asn"], how="left")
    lacking = floor - told["own_session_count"].set_axis(table.index)
    is_lookup = table["mechanism"].fillna("").str.startswith("dns.")
    to_speak = lacking.where(is_lookup & (lacking > 0), np.inf)
    to_filter = (floor - table["ok_session_count"]).clip(lower=1)
    to_filter = to_filter.where(table["mechanism"] == "dns.nxdomain", np.inf)
    fewest: pd.Series = to_speak.combine(to_filter, min)
    return fewest


def _to_thin_out(hits: pd.Series, total: pd.Series, floor: float) -> pd.Series:
    """Sessions of another class until the lower bound of ``hits / total`` falls below ``floor``.

    Wilson's lower bound is at least ``floor`` as long as hits − floor·n ≥ z·√(floor(1−floor)·n).
    """
    if floor == 0:
        return pd.Series(np.inf, hits.index)
    c = Z_95 * np.sqrt(floor * (1 - floor))
    root = (-c + np.sqrt(c**2 + 4 * floor * hits)) / (2 * floor)
    return pd.Series(np.floor(root**2 + 1e-9) + 1 - total)


def _to_make_up(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Sessions of another state, or of any for *insufficient*, that the floor still lacks.

    Sessions that no rule explains, or that were discarded, may be read otherwise once forged ones
    have changed a profile: they count as the forger's own.
    """
    blocked, down, ok = (table[f"{name}_session_count"] for name in ("blocked", "down", "ok"))
    none = table["session_count"] - blocked - down - ok
    undecided = blocked + none
    there = pd.Series(
        np.select(
            [table["state"] == "impaired", table["state"] == "down", table["state"] == "ok"],
            [np.maximum(undecided, down), undecided + np.maximum(2, down), undecided + down],
            default=np.maximum(undecided + down, ok),
        ),
        table.index,
    )
    return thresholds.floor_sessions - there
