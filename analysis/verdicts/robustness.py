"""How many forged sessions it would take, at least, to change a verdict.

Anybody may submit a measurement. Forged sessions act in two places: within the cell, where each
moves the evidence of its series by at most twice ln(0.95 / 0.01), whichever stretch is looked at
(twice, because a day counts at most the square of its best session); and elsewhere, where they
teach the rates. Rates rise with each forged failure and fall with each forged success, so the
evidence is weighed again with all of them in every proportion at once, and with more or fewer
candidates. The number is the fewest that take a series over a line twice as strict, or that take
away what the floor of sessions, days and share needs. It is a bound for these ways, not a proof:
how forging moves the edges of a stretch, and the profiles of addresses and pages, are bounded by
what forging tests found.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts import chance
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.cells import Inside
from analysis.verdicts.rates import LEAST, Lessons, learn, raise_by_own
from analysis.verdicts.series import CANDIDATE_GAIN, FAILING, MARK, find_candidates
from analysis.verdicts.states import Z_95
from analysis.vocabulary import LISTED

#: More than so many are not told apart.
MOST = 6
#: With how many forged sessions the candidates are sought again: as many as asked, or more.
_CANDIDATES_AT = (2, MOST)
#: What one session of its own can add to the evidence of a series, and take from it.
_UP, _DOWN = 2 * np.log(0.95 / LEAST), np.log(2 / 0.05)
#: Mechanisms that rest on what other sessions saw as well as on the cell's own.
_PROFILED = ["dns.loopback", "dns.bogon", "dns.sinkhole", "dns.other", "http.blockpage"]


def weigh_forging(evidence: Evidence, thresholds: Thresholds) -> pd.DataFrame:
    """How many forged sessions take each series over the line.

    Returns:
        By number of the series: ``to_chance``, until one that is surprising is none, and
        ``to_surprise``, the other way round; ``MOST + 1`` where more are needed.
    """
    series = evidence.series
    is_judged = (series.kind != MARK) & (series.kind < FAILING)
    to_chance, to_surprise = (np.full(len(series.kind), MOST + 1) for _ in range(2))
    for found, sign in ((to_chance, -1), (to_surprise, 1)):
        lessons = {count: _learn(evidence, sign * count) for count in _CANDIDATES_AT}
        for count in range(MOST, 0, -1):
            most = next(many for many in _CANDIDATES_AT if many >= count)
            weights = _weigh(evidence, lessons[most], count, sign)
            line = chance.find_line(
                weights[is_judged], evidence.tested_count, thresholds.chance_share
            )
            is_over = sign * (weights - line) >= -np.log(2)
            found[is_over] = count
    return pd.DataFrame({"to_chance": to_chance, "to_surprise": to_surprise})


def _learn(evidence: Evidence, shift: int) -> Lessons:
    """What would teach if so many sessions made more of the series candidates, or fewer."""
    of_kinds = evidence.series.of_kinds()
    candidates = find_candidates(of_kinds, max(1, CANDIDATE_GAIN - shift))
    return learn(evidence.facts, of_kinds, candidates)


def _weigh(evidence: Evidence, lessons: Lessons, count: int, sign: int) -> NDArray[np.float64]:
    """The evidence of each series with so many forged reports: at most (sign 1), at least (−1)."""
    forged = {"failures": count} if sign < 0 else {"successes": count}
    of_kinds = evidence.series.of_kinds()
    sessions, number = len(of_kinds.row), len(of_kinds.kind)
    is_inside = evidence.is_inside[:sessions]
    rates = raise_by_own(of_kinds, lessons.rates(**forged), is_inside, **forged)
    weights = np.full(len(evidence.series.kind), -np.inf)
    weights[:number], _ = chance.weigh_evidence(of_kinds, rates)
    if evidence.schedules:
        scheduled = list(evidence.schedules)
        plain, _ = chance.weigh_evidence(of_kinds, evidence.rates[:sessions])
        weights[scheduled] += evidence.log_evidence[scheduled] - plain[scheduled]
    weights += sign * count * (_UP if sign > 0 else _DOWN)
    return weights


def sessions_to_flip(
    table: pd.DataFrame, inside: Inside, forging: pd.DataFrame, thresholds: Thresholds
) -> pd.Series:
    """The smallest number of forged sessions that could move each state.

    Args:
        table: ``state, stretch`` (that it rests on), ``mechanism``, the sessions of each class
            (``blocked_session_count`` …) and ``unclear_sessions``, of the period.
        inside: the stretches as far as they lie in the period.
        forging: see ``weigh_forging``.
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
    profile = pd.Series(
        np.where(table["mechanism"].isin(_PROFILED), thresholds.floor_sessions, np.inf), table.index
    )
    listed = pd.concat([thin, recut, by_chance, profile, rests["leaning"]], axis=1).min(axis=1)
    surprise = counted[(counted["kind"] != MARK) & (counted["kind"] < FAILING)].groupby("cell")
    to_surprise = table["cell"].map(surprise["to_surprise"].min()).fillna(np.inf)
    failing = pd.concat([thin, recut, to_surprise, _to_make_up(table, thresholds)], axis=1).min(
        axis=1
    )
    opened = table["ok_session_count"]
    told = (
        opened
        + table["blocked_session_count"]
        + table["down_session_count"]
        + table["unclear_sessions"]
    )
    closed = _to_thin_out(opened, told, thresholds.share_floor).where(
        table["state"] == "ok", np.inf
    )
    other = pd.concat([to_surprise, closed, _to_make_up(table, thresholds)], axis=1).min(axis=1)
    ways = np.select(
        [is_listed, table["state"].isin(["impaired", "down"])], [listed, failing], default=other
    )
    return pd.Series(np.floor(ways), table.index).fillna(1).clip(1, MOST + 1).astype("int64")


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
