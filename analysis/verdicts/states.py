"""From counted sessions to one of the six states. The evidence floor lives here alone."""

import numpy as np
import pandas as pd

from analysis import vocabulary
from analysis.outcomes.thresholds import Thresholds

#: Strongest first.
STATES = tuple(state for state in vocabulary.STATES if state)
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


def bootstrap_bounds(days: pd.DataFrame, draws: int = 500, seed: int = 1) -> pd.DataFrame:
    """Bounds of the blocked share at 95 % that keep the sessions of a day together.

    The validation holds them against Wilson's, for which every session is independent.

    Args:
        days: one row per day of a site on a network: ``domain, probe_asn, blocked, ok`` (sessions).
        draws: how often the days of each are drawn anew, with replacement.
        seed: of the draws; the same days and seed give the same bounds.

    Returns:
        One row per site and network, sorted: ``domain, probe_asn, bootstrap_low, bootstrap_high``.

    Source of the method: the block bootstrap (Künsch 1989), a day a block; percentiles.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for (domain, asn), cell in days.groupby(["domain", "probe_asn"], sort=True):
        counts = cell[["blocked", "ok"]].to_numpy(np.int64)
        sums = counts[rng.integers(0, len(counts), (draws, len(counts)))].sum(axis=1)
        low, high = np.percentile(sums[:, 0] / sums.sum(axis=1), [2.5, 97.5])
        rows.append((domain, asn, low, high))
    columns = ["domain", "probe_asn", "bootstrap_low", "bootstrap_high"]
    return pd.DataFrame(rows, columns=columns)


def judge_states(counts: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """The state of each row of counted sessions.

    Args:
        counts: sessions ``blocked, down, ok, unclear``; of the blocked ones ``artefact``,
            ``firm`` (those that do not time out), ``loose`` (that leave no trace and are no
            resolver's answer), ``core`` (the firm ones, and the time-outs of the one layer that
            has most) and ``one_layer`` (those of the one layer that has most); for each class
            the days on which it was seen (``blocked_days`` …, ``failing_days``); and
            ``timeout_share`` and ``loose_share``, how often a usual site on the network fails so
            by chance.
        thresholds: the evidence floor: sessions, days, and the lower bound of the share.

    Returns:
        One of ``STATES`` a row. No row is *ok* for want of evidence: below the floor it is
        *insufficient*, whatever the few sessions show. Time-outs at different layers do not add
        up to a block, nor do failures of which no layer has half. Time-outs must be far more
        common than on the network's usual sites; any failure that may be chance must be more
        common than it is there by itself.
        What is firmer than a time-out may reach less than every session: not all of a network's
        ways out need be filtered.
    """
    everything = counts[["blocked", "down", "ok", "unclear"]].sum(axis=1)

    def holds(state: str) -> pd.Series:
        return meets_floor(counts.assign(state=state), thresholds)

    low, _ = wilson_bounds(counts["blocked"], everything)
    low_core, _ = wilson_bounds(counts["core"], everything)
    is_stalling = 2 * counts["firm"] < counts["blocked"]
    is_common = np.where(
        is_stalling,
        (low_core >= thresholds.share_floor) & (low_core >= 3 * counts["timeout_share"]),
        (low >= thresholds.firm_share_floor) & (2 * counts["blocked"] >= everything),
    )
    is_blocked = (
        ~may_be_chance(counts)
        & (counts["core"] >= thresholds.floor_sessions)
        & (2 * counts["one_layer"] >= counts["blocked"])
        & (counts["blocked_days"] >= thresholds.floor_days)
        & is_common
    )
    is_down = holds("down") & (counts["down"] >= counts["unclear"])
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
    artefacts = counts["artefact"]
    found: pd.Series = (2 * artefacts >= counts["blocked"]) & (
        artefacts >= thresholds.floor_sessions
    )
    return found


def meets_floor(counts: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Whether the sessions that tell of each row's ``state`` meet the evidence floor.

    Of an interval, or of a part of one whose state is known from the whole. ``counts`` holds
    ``state``, sessions ``blocked, down, ok, unclear, firm`` and ``blocked_days, down_days, ok_days,
    failing_days``.
    """
    state, hits = counts["state"], holding_sessions(counts)
    days = [counts[f"{name}_days"] for name in ("blocked", "down", "failing", "ok")]
    among = counts[["blocked", "down", "ok", "unclear"]].sum(axis=1)
    among -= counts["unclear"].where(state == "down", 0)
    is_firm = state.isin(vocabulary.LISTED) & (2 * counts["firm"] >= counts["blocked"])
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
    blocked, down, unclear, ok = (
        counts[name + suffix] for name in ("blocked", "down", "unclear", "ok")
    )
    hits = [blocked, down, blocked + down + unclear, ok]
    return pd.Series(np.select(_kinds(counts["state"]), hits, default=0), index=counts.index)


def _kinds(state: pd.Series) -> list[pd.Series]:
    """Which rows are listed, down, impaired or ok."""
    return [state.isin(vocabulary.LISTED), state == "down", state == "impaired", state == "ok"]


def may_be_chance(counts: pd.DataFrame) -> pd.Series:
    """Whether failures without a trace are no more common than the network's usual site has them.

    ``counts`` holds sessions ``blocked, down, ok, unclear``, of the blocked ones ``loose``, and
    ``loose_share``.
    """
    everything = counts[["blocked", "down", "ok", "unclear"]].sum(axis=1)
    low, _ = wilson_bounds(counts["blocked"], everything, _Z_STRAY)
    found: pd.Series = (2 * counts["loose"] >= counts["blocked"]) & (low < counts["loose_share"])
    return found


def strength(states: pd.Series) -> pd.Series:
    """Rank of each state, 0 the strongest; for taking the strongest of several intervals."""
    return states.map({state: rank for rank, state in enumerate(STATES)}).astype("int64")
