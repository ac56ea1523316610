"""How many forged sessions it would take to change a verdict (guard G10).

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
        counts: ``state``; the sessions of the interval that the state rests on (``blocked, down,
            ok, unclear, artefact, firm, core, one_layer``), those of them that lie in the period
            that is asked about (``blocked_inside, down_inside, ok_inside, unclear_inside,
            artefact_inside``), and all of that period's (``all_blocked, all_down, all_ok,
            all_unclear``, and ``all_none``, those that say nothing as yet); ``all_traceable``:
            of the whole period, artefacts and what may yet be read as such;
            ``sessions_to_merge``: see ``intervals``;
            ``is_profiled``: the mechanism rests on what other sessions saw too;
            ``is_frail``: a few days or sessions more or less make it another block;
            ``leaning``: see ``elsewhere.withhold_unreached``.
        thresholds: the evidence floor.

    Returns:
        Whole numbers from 1.
    """
    state = counts["state"]
    is_listed = state.isin(LISTED)
    # A state needs its share of the interval, and of what lies in the period.
    thin = pd.concat(
        [
            _to_thin(counts, counts["core"], "", thresholds),
            _to_thin(counts, counts["blocked_inside"], "_inside", thresholds),
        ],
        axis=1,
    ).where(state != "insufficient", np.inf)
    ways = pd.concat([thin, _to_blur(counts), _to_make_up(counts, thresholds)], axis=1)
    # What a block is told by must be left in the period when a cut has moved.
    inside = holding_sessions(counts, "_inside")
    inside = inside.where(state != "blocked", counts["artefact_inside"])
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
    classes = [name + suffix for name in ("blocked", "down", "unclear", "ok")]
    everything = counts[classes].sum(axis=1)
    among = everything - counts["unclear" + suffix].where(state == "down", 0)
    is_listed = state.isin(LISTED)
    is_firm = is_listed & (2 * counts["firm"] >= counts["blocked"])
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
    artefacts = 2 * counts["artefact"] - counts["blocked"] + 1
    majority = np.minimum(
        counts["blocked"] - counts["down"] - counts["unclear"] + 1,
        2 * counts["one_layer"] - counts["blocked"] + 1,
    )
    named = counts["down"] - counts["unclear"] + 1
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
    failing = counts["all_blocked"] + counts["all_down"] + counts["all_unclear"]
    others = counts["all_blocked"] + counts["all_unclear"] + counts["all_none"]
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
                counts["all_traceable"],
                # down is weaker, but is said first where its sessions suffice
                np.maximum(others, counts["all_down"]),
                # beside two more failures, sessions that found the site down make it impaired
                others + np.maximum(2, counts["all_down"] - counts["down_inside"]),
                failing + counts["all_none"],
            ],
            default=np.maximum(failing, counts["all_ok"]) + counts["all_none"],
        ),
        index=counts.index,
    )
    return thresholds.floor_sessions - there
