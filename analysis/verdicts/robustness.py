"""How many forged sessions it would take, at least, to change a verdict.

Anybody may submit a measurement. Each number is the least of these ways:

- within the cell, sessions that make the share of failures too small, or cut a stretch in two;
- failures before the first session, at the site elsewhere and on the network, which raise what each
  session is held against (``rates.expect``), and successes, which weigh against a block;
- with other operators, sessions that make it fail everywhere (``rivals.ask_rivals``);
- of other kinds of probe, sessions that reach the site, so that one kind fails alone;
- of sites and pages, two reports that hold every site upset what is known of an address or a page;
- what makes up another state from nothing: the sessions that the floor still lacks.

A well device, a page or a coincidence takes two networks with the floor of sessions each, which is
more than is told apart here.
"""

from math import log

import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.cells import MARKED_DAYS, Inside
from analysis.verdicts.e_values import MOST_SHARE, weigh_evidence
from analysis.verdicts.rates import expect
from analysis.verdicts.series import MARK
from analysis.verdicts.states import Z_95
from analysis.vocabulary import LISTED

#: More than so many are not told apart.
MOST = 6
#: What one session that reaches the site can take from the evidence of a series: its own, and what
#: the failures after it count less, since the run of failures begins again.
_STEP = log(1 / (1 - MOST_SHARE)) + 1.03
#: Two reports that hold every site upset what is known of an address or a page.
_OF_PROFILE = 2
#: Mechanisms that rest on what other sessions saw as well as on the cell's own.
_PROFILED = [
    "dns.loopback",
    "dns.bogon",
    "dns.sinkhole",
    "dns.blockpage",
    "dns.other",
    "http.blockpage",
]


def count_to_chance(evidence: Evidence, stretches: pd.DataFrame, line: float) -> pd.Series:
    """By stretch: the fewest forged sessions after which its series may be no surprise; one more
    than ``MOST`` where more are needed, without end of a mark.

    Args:
        evidence: of the sessions as they are.
        stretches: all of them.
        line: the logarithm of the evidence that each needs.
    """
    series = evidence.series
    fewest = np.where(series.kind == MARK, np.inf, MOST + 1)
    for count in range(MOST, 0, -1):
        rates = expect(series, evidence.lessons.base(series, count), count)
        weights = weigh_evidence(series, rates, count)[0] + evidence.of_hours
        fewest[series.is_weighed & (weights - count * _STEP < line)] = count
    return pd.Series(fewest[stretches["series"]], stretches.index)


def sessions_to_flip(table: pd.DataFrame, inside: Inside, thresholds: Thresholds) -> pd.Series:
    """The smallest number of forged sessions that could move each state.

    Args:
        table: ``state, stretch`` (that it rests on), ``mechanism``, the sessions of each class
            (``blocked_session_count`` …) and ``unclear_sessions``, of the period;
            ``own_session_count``, those through the network's own resolver, where others were asked
            as well.
        inside: the stretches as far as they lie in the period, with ``to_chance`` and ``to_probe``.
        thresholds: the evidence floor.

    Returns:
        Whole numbers from 1.
    """
    rests = inside.counted.reindex(table["stretch"]).set_axis(table.index)
    is_listed = table["state"].isin(LISTED)
    hits, total = rests["hits"], rests["hits"] + rests["misses"]
    thin = _to_thin_out(hits, total, thresholds.share_floor)
    recut = (hits - thresholds.floor_sessions - 2) // 2
    is_profiled = table["mechanism"].isin(_PROFILED)
    profile = pd.Series(np.where(is_profiled, _OF_PROFILE, np.inf), table.index)
    # the network's own resolver speaks for it, where others had to
    lacking = thresholds.floor_sessions - table["own_session_count"]
    is_lookup = table["mechanism"].fillna("").str.startswith("dns.")
    to_speak = lacking.where(is_lookup & (lacking > 0), np.inf)
    others = (rests[name] for name in ("to_chance", "to_probe", "margin"))
    ways = [thin, recut, profile, to_speak, *others]
    listed = pd.concat(ways, axis=1).min(axis=1)
    # What else the cell shows, with a few marks of blocking, makes a likely block a sure one.
    through = table["ok_session_count"] + table["down_session_count"]
    to_mark = thresholds.floor_sessions - (table["session_count"] - through - table["hits"])
    listed = listed.where(table["state"] == "blocked", np.minimum(listed, to_mark))
    made_up = _to_make_up(table, thresholds)
    opened = table["ok_session_count"]
    told = opened + table["blocked_session_count"] + table["down_session_count"]
    closed = _to_thin_out(opened, told + table["unclear_sessions"], thresholds.share_floor)
    to_mark = MARKED_DAYS - table["marked_days"]
    of_ways = {
        "listed": listed,
        "failing": pd.concat([thin, recut, made_up], axis=1).min(axis=1),
        "ok": pd.concat([closed, made_up, to_mark], axis=1).min(axis=1),
    }
    of_state = [is_listed, table["state"].isin(["impaired", "down"]), table["state"] == "ok"]
    fewest = pd.Series(np.select(of_state, list(of_ways.values()), default=made_up), table.index)
    return fewest.fillna(1).floordiv(1).clip(1, MOST + 1).astype("int64")


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
