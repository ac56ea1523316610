"""From counted sessions to one of the six states. The evidence floor lives here alone."""

import numpy as np
import pandas as pd

from analysis import vocabulary
from analysis.outcomes.thresholds import Thresholds

STATES_BY_STRENGTH = tuple(state for state in vocabulary.STATES if state)
_SESSIONS = ["blocked_sessions", "down_sessions", "ok_sessions", "unclear_sessions"]
#: Two-sided 95 %.
Z_95 = 1.959963984540054
_Z_STRAY = 3.090232306167813  # one-sided 99.9 %


def wilson_bounds(
    hits: pd.Series, total: pd.Series, z: float = Z_95
) -> tuple[pd.Series, pd.Series]:
    """Wilson's score interval for ``hits`` of ``total``, at 95 % by default; NaN where total is 0.

    Source: Wilson (1927); recommended for small counts by Brown, Cai and DasGupta (2001).
    """
    n = total.where(total > 0).astype("float64")
    share = hits / n
    centre = share + z**2 / (2 * n)
    spread = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)
    return low.clip(0, 1), high.clip(0, 1)


def judge_states(counts: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """The state of each row of counted sessions.

    Args:
        counts: ``blocked_sessions, down_sessions, ok_sessions, unclear_sessions``; of the blocked
            ones ``artefact_sessions``, ``firm_sessions`` (those that do not time out),
            ``loose_sessions`` (that leave no artefact and are no resolver's answer),
            ``core_sessions`` (the firm ones, and the time-outs of the one layer that has most) and
            ``one_layer_sessions`` (those of the one layer that has most); for each class the days
            on which it was seen (``blocked_days`` …, ``failing_days``); and ``timeout_share`` and
            ``loose_share``, how often a usual site on the network fails so by chance.
        thresholds: the evidence floor: sessions, days, and the lower bound of the share.

    Returns:
        One of ``STATES_BY_STRENGTH`` a row. No row is *ok* for want of evidence: below the floor
        it is *insufficient*, whatever the few sessions show. Time-outs at different layers do not
        add up to a block, nor do failures of which no layer has half. Time-outs must be far more
        common than on the network's usual sites; any failure that may be chance must be more
        common than it is there by itself.
        What is firmer than a time-out may reach less than every session: not all of a network's
        ways out need be filtered.
    """
    everything = counts[_SESSIONS].sum(axis=1)

    def holds(state: str) -> pd.Series:
        return meets_floor(counts.assign(state=state), thresholds)

    blocked = counts["blocked_sessions"]
    low, _ = wilson_bounds(blocked, everything)
    low_core, _ = wilson_bounds(counts["core_sessions"], everything)
    is_stalling = 2 * counts["firm_sessions"] < blocked
    is_common = np.where(
        is_stalling,
        (low_core >= thresholds.share_floor) & (low_core >= 3 * counts["timeout_share"]),
        (low >= thresholds.firm_share_floor) & (2 * blocked >= everything),
    )
    is_blocked = (
        ~may_be_chance(counts)
        & (counts["core_sessions"] >= thresholds.floor_sessions)
        & (2 * counts["one_layer_sessions"] >= blocked)
        & (counts["blocked_days"] >= thresholds.floor_days)
        & is_common
    )
    is_down = holds("down") & (counts["down_sessions"] >= counts["unclear_sessions"])
    return pd.Series(
        np.select(
            [
                is_blocked & is_told_by_artefacts(counts, thresholds),
                is_blocked,
                is_down,
                holds("impaired"),
                holds("ok"),
            ],
            ["blocked", "likely_blocked", "down", "impaired", "ok"],
            default="insufficient",
        ),
        index=counts.index,
    )


def is_told_by_artefacts(counts: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Whether a block leaves what only blocking does: in half of its sessions, and in enough."""
    artefacts = counts["artefact_sessions"]
    is_told: pd.Series = (2 * artefacts >= counts["blocked_sessions"]) & (
        artefacts >= thresholds.floor_sessions
    )
    return is_told


def meets_floor(counts: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Whether the sessions that tell of each row's ``state`` meet the evidence floor.

    Of an interval, or of a part of one whose state is known from the whole. ``counts`` holds
    ``state``, the sessions of each class and ``firm_sessions``, and ``blocked_days, down_days,
    ok_days, failing_days``.
    """
    state, hits = counts["state"], holding_sessions(counts)
    days = [counts[f"{name}_days"] for name in ("blocked", "down", "failing", "ok")]
    among = counts[_SESSIONS].sum(axis=1)
    among -= counts["unclear_sessions"].where(state == "down", 0)
    is_firm = state.isin(vocabulary.LISTED) & (
        2 * counts["firm_sessions"] >= counts["blocked_sessions"]
    )
    least = np.where(is_firm, thresholds.firm_share_floor, thresholds.share_floor)
    low, _ = wilson_bounds(hits, among)
    return (
        (hits >= thresholds.floor_sessions)
        & (np.select(_kinds(state), days, default=0) >= thresholds.floor_days)
        & (low >= least)
        & (~is_firm | (2 * hits >= among))
    )


def holding_sessions(counts: pd.DataFrame, suffix: str = "") -> pd.Series:
    """The sessions that show what each row's ``state`` says, of those with the suffix."""
    blocked, down, ok, unclear = (counts[name + suffix] for name in _SESSIONS)
    hits = [blocked, down, blocked + down + unclear, ok]
    return pd.Series(np.select(_kinds(counts["state"]), hits, default=0), index=counts.index)


def _kinds(state: pd.Series) -> list[pd.Series]:
    """Which rows are listed, down, impaired or ok."""
    return [state.isin(vocabulary.LISTED), state == "down", state == "impaired", state == "ok"]


def may_be_chance(counts: pd.DataFrame) -> pd.Series:
    """Whether failures without an artefact are no more common than on the network's usual site.

    ``counts`` holds the sessions of each class, ``loose_sessions`` and ``loose_share``.
    """
    blocked = counts["blocked_sessions"]
    low, _ = wilson_bounds(blocked, counts[_SESSIONS].sum(axis=1), _Z_STRAY)
    is_usual: pd.Series = (2 * counts["loose_sessions"] >= blocked) & (low < counts["loose_share"])
    return is_usual


def strength(states: pd.Series) -> pd.Series:
    """Rank of each state, 0 the strongest; for taking the strongest of several intervals."""
    ranks = {state: rank for rank, state in enumerate(STATES_BY_STRENGTH)}
    return states.map(ranks).astype("int64")
