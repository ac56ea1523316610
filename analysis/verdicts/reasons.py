"""Why are failures not listed? What is said of stretches that are surprising or mostly fail."""

from collections import Counter
from collections.abc import Collection
from math import log

import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.floors import LOWER_LINE, find_surprising, meets_floor
from analysis.verdicts.pairs import ANY, Country, Pair, Stretch
from analysis.verdicts.rivals import EVERYWHERE
from analysis.verdicts.together import SHARE

SITE_FAILS = "the site fails in the same way for other operators"
NETWORK_FAILS = "other sites fail in the same way on this network"
BELOW_LINE = "fails more than accidents explain, but not by enough for the list"
IN_MANY_WAYS = "fails, but in no single way often enough to be called blocked"
TOO_FEW = "surprising, but too few sessions or days to say so"
LOST_EVIDENCE = (
    "surprising only together with failures that something else may explain, which do not count"
)
#: What is said of failures that are no surprise.
USUAL = (SITE_FAILS, NETWORK_FAILS, BELOW_LINE, IN_MANY_WAYS)
#: Those reasons that explain nothing.
UNEXPLAINED = ("", BELOW_LINE, IN_MANY_WAYS, TOO_FEW, LOST_EVIDENCE)
#: From this share on the failures of the site, or of the network, explain what fails.
_USUAL_SHARE = 0.2
#: From this share of the sessions on, failures are many. At a quarter, accidents of a network with
#: poor lines would be called unexplained: 17 pairs of the fictional year that are open; at a third,
#: one.
_MANY = 1 / 3
#: Of a site that is reachable, though most sessions failed.
OTHER_RESOLVERS = (
    "most failures came through resolvers that are not the network's, and do not count"
)


def give_reasons(country: Country, thresholds: Thresholds) -> None:
    """Fill in why a stretch is not listed that is surprising or mostly fails: ``reason``.

    And of each pair what its failures are if they are no surprise, and whether they are many:
    ``usual``, ``fails_often``.

    Args:
        country: with its listed stretches, and those that a rival explains.
        thresholds: of the line and the floors.
    """
    away = {
        (pair.domain, stretch.kind)
        for pair in country.pairs
        for stretch in pair.stretches
        if stretch.reason == EVERYWHERE
    }
    for pair in country.pairs:
        pair.usual = _find_usual(pair, away, thresholds)
        counts = Counter(session.result for session in pair.sessions)
        # and more than for the control too
        least = max(_MANY * len(pair.sessions), counts["down"] + 1)
        pair.fails_often = counts["blocked"] >= least
        _find_too_few(pair, thresholds)
        _explain_failing(pair, thresholds)


def _find_too_few(pair: Pair, thresholds: Thresholds) -> None:
    """Say of what is surprising that it has too few sessions or days, or lost evidence."""
    for stretch in find_surprising(pair.stretches, log(thresholds.chance_line), thresholds):
        if not stretch.is_block and len(stretch.failures) > 1:
            stretch.reason = TOO_FEW
    blocks = [stretch for stretch in pair.stretches if stretch.is_block]
    if any(stretch.reason for stretch in blocks):
        for stretch in blocks:
            stretch.reason = stretch.reason or ("" if stretch.is_listed else LOST_EVIDENCE)


def _explain_failing(pair: Pair, thresholds: Thresholds) -> None:
    """Say why a pair mostly fails as if blocked, if nothing else is said of these sessions.

    Nothing is said if most failures are the control's too, or if no rule says what they are.
    """
    explained = {
        session.row
        for stretch in pair.stretches
        if stretch.is_listed or stretch.reason
        for session in stretch.sessions
    }
    for stretch in pair.stretches:
        if (
            stretch.kind == ANY
            and meets_floor(
                len(stretch.failures), stretch.day_count, len(stretch.sessions), thresholds
            )
            and is_mostly_blocked(stretch)
            and not any(session.row in explained for session in stretch.sessions)
        ):
            stretch.reason = pair.usual


def is_mostly_blocked(stretch: Stretch) -> bool:
    """Return whether most failures of a stretch of ``ANY`` are as if blocked.

    This is asked of the whole stretch, also where a part of it lies in a period.
    """
    whole = slice(stretch.first, stretch.last + 1)
    blocked = sum(session.result == "blocked" for session in stretch.series.sessions[whole])
    return 2 * blocked > sum(stretch.series.fails[whole])


def _find_usual(pair: Pair, away: Collection[tuple[int, str]], thresholds: Thresholds) -> str:
    """Return what the failures of a pair are if they are no surprise.

    Failures of other operators, or of other sites, explain nearly all of its own or none: those of
    a kind that nobody else has are the pair's.

    Args:
        pair: the pair.
        away: the sites that fail on all networks, with the kind of failure.
        thresholds: of the line.
    """
    if LOWER_LINE <= (pair.log_evidence or 0.0) < log(thresholds.chance_line):
        return BELOW_LINE
    of_site = of_network = 0
    for series in (one for one in pair.series if one.kind != ANY):
        lessons = series.lessons
        site = 1.0 if (pair.domain, series.kind) in away else lessons.site_share()
        network = min(lessons.network_share(), lessons.other_probes_share)
        of_site += sum(series.fails) * (site >= max(network, _USUAL_SHARE))
        of_network += sum(series.fails) * (network > site and network >= _USUAL_SHARE)
    explained = of_site + of_network
    if not explained or explained < SHARE * sum(one.result == "blocked" for one in pair.sessions):
        return IN_MANY_WAYS
    return SITE_FAILS if of_site >= of_network else NETWORK_FAILS


def why_insufficient(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Return why a pair has no conclusion: too few sessions, too few days, or tests that disagree.

    Args:
        table: the pairs of a period, with their ``state``; empty of other states.
        thresholds: of the floors.
    """
    few = [
        table["heard_session_count"] < thresholds.floor_sessions,
        table["day_count"] < thresholds.floor_days,
    ]
    why = pd.Series(np.select(few, ["few_sessions", "few_days"], "mixed"), table.index)
    return why.where(table["state"] == "insufficient", "")
