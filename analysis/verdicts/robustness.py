"""How many forged sessions it would take to change a verdict.

Anybody may submit a measurement. The number beside a verdict is meant as a lower bound on the
sessions that somebody would have to forge to move it. It is computed from the counts that the state
rests on, for the cheapest of several ways: to thin out the class that holds, to take away what
makes a block distinctive, to make up enough sessions of another state, to move a cut or take one
away, and to make other networks look alike. It is what forging taught, not a proof.
"""

import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.states import Z_95, holding_sessions
from analysis.vocabulary import LISTED


def sessions_to_flip(counts: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """The smallest number of forged sessions that could move each state.

    Args:
        counts: ``state``; the sessions of the interval that the state rests on
            (``blocked_sessions, down_sessions, ok_sessions, unclear_sessions, artefact_sessions,
            firm_sessions, core_sessions, one_layer_sessions``); those of them that lie in the
            period that is asked about (``blocked_sessions_inside`` …, of the classes and of
            artefacts), and all of that period's (``all_blocked_sessions`` …, and
            ``all_none_sessions``, those that say nothing as yet);
            ``all_artefact_sessions``: of the whole period, artefacts and what may yet be read as
            such; ``sessions_to_merge``: see ``intervals``;
            ``is_profiled``: the mechanism rests on what other sessions saw too;
            ``is_frail``: a few days or sessions more or less make it another block;
            ``leaning``: see ``withholding.withhold_unreached``.
        thresholds: the evidence floor.

    Returns:
        Whole numbers from 1.
    """
    state = counts["state"]
    is_listed = state.isin(LISTED)
    # A state needs its share of the interval, and of what lies in the period.
    thin = pd.concat(
        [
            _to_thin(counts, counts["core_sessions"], "", thresholds),
            _to_thin(counts, counts["blocked_sessions_inside"], "_inside", thresholds),
        ],
        axis=1,
    ).where(state != "insufficient", np.inf)
    ways = pd.concat([thin, _to_blur(counts), _to_make_up(counts, thresholds)], axis=1)
    # What a block is told by must be left in the period when a cut has moved.
    inside = holding_sessions(counts, "_inside")
    inside = inside.where(state != "blocked", counts["artefact_sessions_inside"])
    # Open sessions through the same resolver make a private address look like a local filter, and
    # the same page elsewhere makes a block page look like the sites' own. And a new session can
    # move the cuts, so that a part of the stretch goes to its neighbour: the rest must still hold.
    ways = ways.assign(
        recut=((inside - thresholds.floor_sessions - 2) // 2).where(
            state != "insufficient", np.inf
        ),
        merged=counts["sessions_to_merge"].where(state != "insufficient", np.inf),
        profile=np.where(is_listed & counts["is_profiled"], thresholds.floor_sessions, np.inf),
        leaning=counts["leaning"].where(is_listed, np.inf),
        # One session moves an edge, and one on another network makes company.
        frail=np.where(is_listed & counts["is_frail"], 1, np.inf),
    )
    return pd.Series(np.ceil(ways.min(axis=1))).clip(lower=1).astype("int64")


def _to_thin(
    counts: pd.DataFrame, core: pd.Series, suffix: str, thresholds: Thresholds
) -> pd.Series:
    """Sessions until the share of those that hold the state, with the suffix, is too low.

    ``core``: the sessions that hold a block by time-outs, those of one layer.
    """
    state, holding = counts["state"], holding_sessions(counts, suffix)
    classes = [f"{name}_sessions{suffix}" for name in ("blocked", "down", "unclear", "ok")]
    everything = counts[classes].sum(axis=1)
    among = everything - counts["unclear_sessions" + suffix].where(state == "down", 0)
    is_listed = state.isin(LISTED)
    is_firm = is_listed & (2 * counts["firm_sessions"] >= counts["blocked_sessions"])
    firm = np.minimum(
        _to_thin_out(holding, among, thresholds.firm_share_floor), 2 * holding - among + 1
    )
    weighed = core.where(is_listed, holding)
    thin = _to_thin_out(weighed, among, thresholds.share_floor).mask(is_firm, firm)
    return pd.Series(thin / (1 + _drawn_along(everything, holding)))


def _drawn_along(total: pd.Series, hits: pd.Series) -> pd.Series:
    """How many other sessions one forged session brings over a stretch's edge, at most.

    A failure that is forged a little after a block moves its end there, over the days of access
    between; one of another kind at its edge takes some of the block's own away. It does so where
    what that costs (−log of their share in the block, each) is less than what the session costs
    where it is, 1 + log(sessions).
    """
    share = (total - hits + 1) / (total + 1)
    return pd.Series((1 + np.log(total.clip(lower=1))) / -np.log(share.clip(upper=0.99)))


def _to_thin_out(hits: pd.Series, total: pd.Series, floor: float) -> pd.Series:
    """Sessions of another class until the lower bound of ``hits / total`` falls below ``floor``.

    Wilson's lower bound is at least ``floor`` as long as hits − floor·n ≥ z·√(floor(1−floor)·n).
    """
    c = Z_95 * np.sqrt(floor * (1 - floor))
    root = (-c + np.sqrt(c**2 + 4 * floor * hits)) / (2 * floor)
    return pd.Series(np.floor(root**2 + 1e-9) + 1 - total)


def _to_blur(counts: pd.DataFrame) -> pd.Series:
    """Sessions until a state's own majority is gone: artefacts, or blocked and down ones."""
    artefacts = 2 * counts["artefact_sessions"] - counts["blocked_sessions"] + 1
    majority = np.minimum(
        counts["blocked_sessions"] - counts["down_sessions"] - counts["unclear_sessions"] + 1,
        2 * counts["one_layer_sessions"] - counts["blocked_sessions"] + 1,
    )
    named = counts["down_sessions"] - counts["unclear_sessions"] + 1
    return pd.Series(
        np.select(
            [
                counts["state"] == "blocked",
                counts["state"] == "likely_blocked",
                counts["state"] == "down",
            ],
            [np.minimum(artefacts, majority), majority, named],
            default=np.inf,
        ),
        index=counts.index,
    )


def _to_make_up(counts: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Sessions of another state, or of any for *insufficient*, that the floor still lacks.

    Sessions that no rule explains, or that were discarded, may be read otherwise once forged ones
    have changed a profile: they count as the forger's own.
    """
    down, none = counts["all_down_sessions"], counts["all_none_sessions"]
    undecided = counts["all_blocked_sessions"] + counts["all_unclear_sessions"]
    there = pd.Series(
        np.select(
            [
                counts["state"] == "blocked",
                counts["state"] == "likely_blocked",
                counts["state"] == "impaired",
                counts["state"] == "down",
                counts["state"] == "ok",
            ],
            [
                -np.inf,
                counts["all_artefact_sessions"],
                # down is weaker, but is said first where its sessions suffice
                np.maximum(undecided + none, down),
                # beside two more failures, sessions that found the site down make it impaired
                undecided + none + np.maximum(2, down - counts["down_sessions_inside"]),
                undecided + down + none,
            ],
            default=np.maximum(undecided + down, counts["all_ok_sessions"]) + none,
        ),
        index=counts.index,
    )
    return thresholds.floor_sessions - there
