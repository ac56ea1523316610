"""What is a site on a network in a period? The strongest of its stretches; else open, or unknown.

A stretch is judged once, over the whole of it. In a period it counts if its own sessions of the
period meet the floors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import inf

import pandas as pd

from analysis import vocabulary
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.floors import StretchPart, find_blocks, is_enough, lie_between, meets_floor
from analysis.verdicts.pairs import ANY, KIND_ORDER, MARK, Pair, Session
from analysis.verdicts.reasons import UNEXPLAINED, is_mostly_blocked
from analysis.verdicts.rivals import ONE_PROBE

STATES_BY_STRENGTH = tuple(state for state in vocabulary.STATES if state)
#: Why a pair has no conclusion, where it has too few tests; tests that disagree are enough.
_TOO_FEW = ("few_sessions", "few_days")
_EPOCH = date(1970, 1, 1).toordinal()


def is_of_household(verdicts: pd.DataFrame) -> pd.Series:
    """Return whether each pair is not listed because one household's filter could be the cause."""
    return (verdicts["state"] == "impaired") & verdicts["note"].str.contains(ONE_PROBE, regex=False)


def is_tested_enough(verdicts: pd.DataFrame) -> pd.Series:
    """Return whether each pair has the minimum of sessions and days, whatever its tests say.

    This is what *tested enough* means on every page: a pair has a conclusion, or tests that
    disagree.

    Args:
        verdicts: the contract's, or some of its rows.
    """
    return ~verdicts["insufficient_reason"].isin(_TOO_FEW)


def strength(states: pd.Series) -> pd.Series:
    """Return the rank of each state, 0 the strongest; for taking the strongest of several."""
    ranks = {state: rank for rank, state in enumerate(STATES_BY_STRENGTH)}
    return states.map(ranks).astype("int64")


@dataclass(frozen=True)
class PairState:
    """A pair in a period.

    Attributes:
        pair: the pair.
        state: *blocked*, *likely_blocked*, *impaired*, *unexplained* or *down*; empty if nothing
            says so.
        rests_on: the stretch that the state rests on, as far as it lies in the period.
        parts: its stretches, as far as they lie in the period.
        listed: those of them that are listed in the period.
        failures: the failed sessions inside the listed stretches, in order of time.
        reached_count: how many sessions inside of them reached the site.
        is_open: it is *ok*, if nothing fails.
        ends_otherwise: a session after the last failure found the site open, or down for the
            control too. Outside the hours of a schedule that says nothing.
        reason: why the stretch on which the state rests is not listed, or else the first one that
            has a reason; of a pair that fails often without one, what its failures are.
    """

    pair: Pair
    state: str
    rests_on: StretchPart | None
    parts: Sequence[StretchPart]
    listed: Sequence[StretchPart]
    failures: Sequence[Session]
    reached_count: int
    is_open: bool
    ends_otherwise: bool
    reason: str


def judge_period(pair: Pair, period: Period, thresholds: Thresholds) -> PairState:
    """Judge a pair in a period.

    Args:
        pair: with its stretches, listed ones and others.
        period: a part of the time that was judged, or all of it.
        thresholds: of the floors.
    """
    since, until = (day.toordinal() - _EPOCH for day in (period.since, period.until))
    parts = [StretchPart.inside(stretch, since, until) for stretch in pair.stretches]
    blocks = find_blocks([part for part in parts if part.stretch.is_listed], -inf, thresholds)
    listed = [part for part in parts if part.stretch in blocks]
    with_reason = [part for part in parts if part.stretch.reason and part.failures]
    reasons = {pair.usual, *(part.stretch.reason for part in with_reason)}
    unclear = "unexplained" if reasons.issubset(UNEXPLAINED) else "impaired"
    states = [(_state_of(part, part in listed, unclear, thresholds), part) for part in parts]
    state, rests_on = min(
        ((state, part) for state, part in states if state), key=_rank, default=("", None)
    )
    failures = sorted({session for part in listed for session in part.failures})
    inside = {session for part in listed for session in part.sessions}
    telling = _find_telling(pair, since, until)
    reached = [session.day for session in telling if session.result == "ok"]
    has_hours = any(part.stretch.series.schedule for part in listed)
    blocked = [session.day for session in telling if session.result == "blocked"]
    is_often = pair.fails_often and is_enough(len(blocked), len(set(blocked)), thresholds)
    if state in ("", "down") and is_often and unclear == "unexplained":
        state, rests_on = "unexplained", None
    with_reason.sort(key=lambda part: part != rests_on)
    reason = with_reason[0].stretch.reason if with_reason else ""
    if state == "unexplained":
        reason = reason or pair.usual
    return PairState(
        pair,
        state,
        rests_on,
        parts,
        listed,
        failures,
        sum(session.result == "ok" for session in inside),
        bool(meets_floor(len(reached), len(set(reached)), len(telling), thresholds)),
        bool(failures) and not has_hours and _ends_otherwise(telling, failures[-1]),
        reason,
    )


def _state_of(part: StretchPart, is_listed: bool, unclear: str, thresholds: Thresholds) -> str:
    """Return the state that a stretch gives its pair in a period; empty if it gives none.

    Args:
        part: the stretch, as far as it lies in the period.
        is_listed: it is listed in the period.
        unclear: what a pair is whose failures are neither a block nor the control's too.
        thresholds: of the floors.
    """
    failure_count = len(part.failures)
    if is_listed:
        return "blocked" if part.stretch.kind == MARK else "likely_blocked"
    if part.stretch.kind == ANY and part.meets_floor(thresholds):
        down_count = sum(session.result == "down" for session in part.sessions)
        if 2 * down_count >= failure_count:
            return "down"
        return unclear if is_mostly_blocked(part.stretch) else "impaired"
    is_withheld = part.stretch.reason and is_enough(failure_count, part.day_count, thresholds)
    return unclear if is_withheld else ""


def _rank(found: tuple[str, StretchPart]) -> tuple[int, int, int, int]:
    """Return the order of states: the strongest, of most failures, by kind and time."""
    state, part = found
    stretch = part.stretch
    strongest = STATES_BY_STRENGTH.index(state)
    return strongest, -len(part.failures), KIND_ORDER[stretch.kind], stretch.first


def _find_telling(pair: Pair, since: int, until: int) -> list[Session]:
    """Find the sessions of some days that say whether the network is open.

    If lookups fail, one through a resolver that does not answer for the network says nothing.
    """
    fails_lookups = any(series.kind.startswith("dns") for series in pair.series)
    within = lie_between(pair.sessions, since, until)
    return [session for session in within if session.is_speaking or not fails_lookups]


def _ends_otherwise(telling: Sequence[Session], last: Session) -> bool:
    """Return whether a session after the last failure found the site open, or down."""
    return any(session.result in ("ok", "down") for session in telling if session.row > last.row)
