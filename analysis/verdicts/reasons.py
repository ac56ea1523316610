"""Why are failures not listed? What is said of stretches that are surprising or mostly fail."""

from math import inf, log

import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.floors import LOWER_LINE, StretchPart, find_surprising
from analysis.verdicts.pairs import ANY, Country, Pair
from analysis.verdicts.rivals import EVERYWHERE

SITE_FAILS = "the site fails in the same way for other operators"
NETWORK_FAILS = "other sites fail in the same way on this network"
BELOW_LINE = "fails more than accidents explain, but not by enough for the list"
IN_MANY_WAYS = "fails, but in no single way often enough to be called blocked"
#: What explains failures that are no surprise.
USUAL = (SITE_FAILS, NETWORK_FAILS, BELOW_LINE, IN_MANY_WAYS)
#: From this share on the failures of the site, or of the network, explain what fails.
_USUAL_SHARE = 0.2
TOO_FEW = "surprising, but too few sessions or days to say so"
#: Of a site that is reachable, though most sessions failed.
OTHER_RESOLVERS = (
    "most failures came through resolvers that are not the network's, and do not count"
)


def give_reasons(country: Country, thresholds: Thresholds) -> None:
    """Fill in why a stretch is not listed that is surprising or mostly fails: ``reason``.

    Args:
        country: with its listed stretches, and those that a rival explains.
        thresholds: of the line and the floors.
    """
    away = {pair.domain for pair in country.pairs if _is_everywhere(pair)}
    for pair in country.pairs:
        _find_too_few(pair, thresholds)
        _explain_failing(pair, pair.domain in away, thresholds)


def _is_everywhere(pair: Pair) -> bool:
    """Return whether a stretch is withheld because the site fails on all networks."""
    return any(stretch.reason == EVERYWHERE for stretch in pair.stretches)


def _find_too_few(pair: Pair, thresholds: Thresholds) -> None:
    """Say of what is surprising that it has too few sessions or days."""
    parts = [StretchPart.whole(stretch) for stretch in pair.stretches]
    surprising = find_surprising(parts, log(thresholds.chance_line), thresholds)
    for stretch in (part.stretch for part in surprising):
        is_small = not stretch.is_block and len(stretch.failures) > 1
        is_left_over = stretch.is_block and not stretch.reason and not stretch.is_listed
        if is_small or is_left_over:
            stretch.reason = TOO_FEW


def _explain_failing(pair: Pair, is_away: bool, thresholds: Thresholds) -> None:
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
        if stretch.kind != ANY or not StretchPart.whole(stretch).meets_floor(thresholds):
            continue
        blocked = sum(session.result == "blocked" for session in stretch.sessions)
        is_explained = any(session.row in explained for session in stretch.sessions)
        if 2 * blocked > len(stretch.failures) and not is_explained:
            stretch.reason = _find_usual(pair, is_away, thresholds)


def _find_usual(pair: Pair, is_away: bool, thresholds: Thresholds) -> str:
    """Return what explains failures that are no surprise."""
    evidence = pair.log_evidence if pair.log_evidence is not None else -inf
    site = max((series.lessons.site_share() for series in pair.series), default=0.0)
    network = max((series.lessons.network_share() for series in pair.series), default=0.0)
    if LOWER_LINE <= evidence < log(thresholds.chance_line):
        return BELOW_LINE
    if is_away or (site >= network and site >= _USUAL_SHARE):
        return SITE_FAILS
    return NETWORK_FAILS if network >= _USUAL_SHARE else IN_MANY_WAYS


def why_insufficient(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Return why a pair has no conclusion: too few sessions, too few days, or tests that disagree.

    Args:
        table: the pairs of a period, with their ``state``; empty of other states.
        thresholds: of the floors.
    """
    few = [
        count_heard(table) < thresholds.floor_sessions,
        table["day_count"] < thresholds.floor_days,
    ]
    why = pd.Series(np.select(few, ["few_sessions", "few_days"], "mixed"), table.index)
    return why.where(table["state"] == "insufficient", "")


def count_heard(table: pd.DataFrame) -> pd.Series:
    """Return how many sessions of each pair say something about the network."""
    return (
        table["blocked_session_count"]
        + table["down_session_count"]
        + table["ok_session_count"]
        + table["unclear_sessions"]
        - table["unheard_sessions"]
    )
