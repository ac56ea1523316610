"""What is a site on a network in a period? The strongest of its stretches; else open, or unknown.

A stretch is judged once, over the whole of it. In a period it counts if its own sessions of the
period meet the floors.
"""

from datetime import date
from math import inf
from typing import Any

import pandas as pd

from analysis import vocabulary
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.caveats import BYSTANDER
from analysis.verdicts.floors import (
    cut,
    find_blocks,
    is_enough,
    is_most,
    lie_between,
    meets_floor,
)
from analysis.verdicts.pairs import ANY, KIND_ORDER, MARK, Pair, Stretch
from analysis.verdicts.reasons import UNEXPLAINED, is_mostly_blocked
from analysis.verdicts.rivals import ONE_KIND_OF_PROBE, ONE_PROBE

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
    return states.map(STATES_BY_STRENGTH.index).astype("int64")


#: What ``judge_period`` says of a pair in a period, with the type of each column. A row of this
#: table is what a verdict is made from.
STATED = {
    "domain": "int32",
    "probe_asn": "uint32",
    # blocked, likely_blocked, impaired, unexplained or down; empty if nothing says so
    "state": "str",
    # why the stretch on which the state rests is not listed, or else the first one that has a
    # reason; of a pair that fails often without one, what its failures are
    "reason": "str",
    # ln E of the most surprising way to fail; nothing if none is weighed
    "evidence": "float64",
    # the hours of the listed stretches; empty unless all of them have the same
    "schedule": "str",
    # what cannot be told of the listed stretches, if it is so of each; and of a site whose address
    # was cut
    "caveat": "str",
    # the failed sessions inside the listed stretches, and how many these are
    "failures": "object",
    "listed_session_count": "int64",
    # how many sessions inside the listed stretches reached the site
    "reached_count": "int64",
    # the days of the first and the last of these failures
    "first_failure": "float64",
    "last_failure": "float64",
    # a session after the last failure found the site open, or down for the control too; outside the
    # hours of a schedule that says nothing
    "ends_otherwise": "bool",
    # it is *ok*, if nothing fails
    "is_open": "bool",
    # of the stretch that the state rests on, in the period
    "resting_failures": "float64",
    "resting_sessions": "float64",
    # how many forged sessions would take this stretch from the list (``flips``)
    "to_flip": "float64",
    # how many sessions failed on one kind of probe only
    "defect_count": "int64",
}


def judge_period(pair: Pair, period: Period, thresholds: Thresholds) -> dict[str, Any]:
    """Judge a pair in a period: a row of ``STATED``.

    Args:
        pair: with its stretches, listed ones and others.
        period: a part of the time that was judged, or all of it.
        thresholds: of the floors.
    """
    since, until = (day.toordinal() - _EPOCH for day in (period.since, period.until))
    parts = [part for whole in pair.stretches if (part := cut(whole, since, until)).failures]
    listed = find_blocks([part for part in parts if part.is_listed], -inf, thresholds)
    with_reason = [part for part in parts if part.reason]
    is_unexplained = {pair.usual, *(part.reason for part in with_reason)} <= {*UNEXPLAINED}
    unclear = "unexplained" if is_unexplained else "impaired"
    states = [(_state_of(part, part in listed, unclear, thresholds), part) for part in parts]
    state, rests_on = min(
        ((state, part) for state, part in states if state), key=_rank, default=("", None)
    )
    telling = lie_between(pair.sessions, since, until)
    if any(series.kind.startswith("dns") for series in pair.series):
        # a resolver that does not answer for the network says nothing about lookups
        telling = [session for session in telling if session.is_speaking]
    reached, blocked = (
        [session.received_day for session in telling if session.result == result]
        for result in ("ok", "blocked")
    )
    is_often = pair.fails_often and is_enough(len(blocked), len(set(blocked)), thresholds)
    if state in ("", "down") and is_often and is_unexplained:
        state, rests_on = "unexplained", None
    reason = next((part.reason for part in (rests_on, *with_reason) if part and part.reason), "")
    if state == "unexplained":
        reason = reason or pair.usual
    failures = sorted({session for part in listed for session in part.failures})
    inside = {session for part in listed for session in part.sessions}
    schedules = {str(part.series.schedule or "") for part in listed}
    caveats = [
        min((part.caveat for part in listed), default=""),
        BYSTANDER if any(part.series.lent for part in listed) else "",
    ]
    return {
        "domain": pair.domain,
        "probe_asn": pair.probe_asn,
        "state": state,
        "reason": reason,
        "evidence": max((part.log_evidence for part in listed), default=pair.log_evidence),
        "schedule": schedules.pop() if len(schedules) == 1 else "",
        "caveat": "; ".join(filter(None, caveats)),
        "failures": failures,
        "listed_session_count": len(failures),
        "reached_count": sum(session.result == "ok" for session in inside),
        "first_failure": failures[0].day if failures else None,
        "last_failure": failures[-1].day if failures else None,
        "ends_otherwise": not any(part.series.schedule for part in listed)
        and any(
            session.result in ("ok", "down") and session.row > failures[-1].row
            for session in telling
            if failures
        ),
        "is_open": bool(meets_floor(len(reached), len(set(reached)), len(telling), thresholds)),
        "resting_failures": len(rests_on.failures) if rests_on else None,
        "resting_sessions": len(rests_on.sessions) if rests_on else None,
        "to_flip": rests_on.to_flip if rests_on else None,
        "defect_count": sum(
            len(part.failures) for part in parts if part.reason == ONE_KIND_OF_PROBE
        ),
    }


def _state_of(part: Stretch, is_listed: bool, unclear: str, thresholds: Thresholds) -> str:
    """Return the state that a stretch gives its pair in a period; empty if it gives none.

    Args:
        part: the stretch, as far as it lies in the period.
        is_listed: it is listed in the period.
        unclear: what a pair is whose failures are neither a block nor the control's too.
        thresholds: of the floors.
    """
    failure_count = len(part.failures)
    if is_listed:
        return "blocked" if part.kind == MARK else "likely_blocked"
    if not is_enough(failure_count, part.day_count, thresholds):
        return ""
    if part.kind == ANY and is_most(failure_count, len(part.sessions), thresholds):
        down_count = sum(session.result == "down" for session in part.sessions)
        if 2 * down_count >= failure_count:
            return "down"
        return unclear if is_mostly_blocked(part) else "impaired"
    return unclear if part.reason else ""


def _rank(found: tuple[str, Stretch]) -> tuple[int, int, int, int]:
    """Return the order of states: the strongest, of most failures, by kind and time."""
    state, part = found
    strongest = STATES_BY_STRENGTH.index(state)
    return strongest, -len(part.failures), KIND_ORDER[part.kind], part.first
