"""Are the failures of a pair enough to call it blocked? The line of evidence, and the floors.

A stretch is a block if it is a mark or its series' evidence reaches the line; if it mostly fails;
and if the pair's stretches together have enough failed sessions on enough days.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf, log
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.evidence import weigh_alone
from analysis.verdicts.pairs import ANY, MARK, Pair, Session, Stretch

#: Two-sided 95 %.
Z_95 = 1.959963984540054
#: ln of the evidence that is enough for the other series of a pair that has a block already, and
#: for a pair that so many other operators support.
LOWER_LINE = log(20)
_SUPPORTING = 2


def wilson_bounds(hits: pd.Series, total: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return Wilson's score interval for ``hits`` of ``total`` at 95 %; NaN where total is 0.

    Both columns have the same index.

    Source: Wilson (1927); recommended for small counts by Brown, Cai and DasGupta (2001).
    """
    # in arrays: a judgement asks this thirty times, mostly of a handful of rows
    n = total.to_numpy("float64", na_value=np.nan)
    n = np.where(n > 0, n, np.nan)
    share = hits.to_numpy("float64", na_value=np.nan) / n
    centre = share + Z_95**2 / (2 * n)
    with np.errstate(invalid="ignore"):  # more hits than that: NaN
        spread = Z_95 * np.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    low, high = (centre - spread) / (1 + Z_95**2 / n), (centre + spread) / (1 + Z_95**2 / n)
    return pd.Series(low.clip(0, 1), hits.index), pd.Series(high.clip(0, 1), hits.index)


def is_most(hits: Any, total: Any, thresholds: Thresholds) -> Any:
    """Return whether the lower bound of the share ``hits / total`` reaches ``share_floor``.

    Wilson's lower bound reaches a share exactly if the score test does not reject it, which needs
    no division: that is asked here, of two numbers or of two columns.
    """
    floor = thresholds.share_floor
    return hits - floor * total > Z_95 * (floor * (1 - floor) * total) ** 0.5


def is_enough(hits: Any, days: Any, thresholds: Thresholds) -> Any:
    """Return whether so many sessions on so many days are enough for a state."""
    return (hits >= thresholds.floor_sessions) & (days >= thresholds.floor_days)


def meets_floor(hits: Any, days: Any, total: Any, thresholds: Thresholds) -> Any:
    """Return whether sessions of one result meet the evidence floor, of numbers or of columns.

    Args:
        hits: those sessions.
        days: the days on which they lie.
        total: the sessions that they are a share of.
        thresholds: ``floor_sessions``, ``floor_days``, ``share_floor``.
    """
    return is_enough(hits, days, thresholds) & is_most(hits, total, thresholds)


def lie_between(sessions: Sequence[Session], since: int, until: int) -> Sequence[Session]:
    """Return the sessions of the days from ``since`` on and before ``until``."""
    if not sessions or (since <= sessions[0].day and sessions[-1].day < until):
        return sessions  # no search and no copy: nearly always in the whole period
    day = attrgetter("day")
    return sessions[bisect_left(sessions, since, key=day) : bisect_left(sessions, until, key=day)]


def cut(stretch: Stretch, since: int, until: int) -> Stretch:
    """Return a stretch as far as it lies in the days from ``since`` on and before ``until``."""
    sessions = lie_between(stretch.sessions, since, until)
    if sessions is stretch.sessions:
        return stretch
    return replace(stretch, sessions=sessions, failures=lie_between(stretch.failures, since, until))


def find_surprising(
    stretches: Sequence[Stretch], line: float, thresholds: Thresholds
) -> list[Stretch]:
    """Find the stretches of a pair that are surprising and mostly fail, alone or with others.

    What is blocked, opened for a while and blocked again is no weaker a block for the opening. So
    stretches of one kind in which a share of ``share_floor`` fails may reach the bound together.

    Args:
        stretches: of one pair, whole or cut.
        line: ln of the evidence that a stretch needs; a mark needs none.
        thresholds: ``share_floor``.
    """
    surprising = [
        stretch
        for stretch in stretches
        if stretch.kind != ANY
        and stretch.failures
        and len(stretch.failures) >= thresholds.share_floor * len(stretch.sessions)
        and (stretch.kind == MARK or stretch.log_evidence >= line)
    ]

    def mostly_fail(together: Sequence[Stretch]) -> bool:
        failures = sum(len(stretch.failures) for stretch in together)
        sessions = sum(len(stretch.sessions) for stretch in together)
        return bool(is_most(failures, sessions, thresholds))

    return [
        stretch
        for stretch in surprising
        if mostly_fail([stretch])
        or mostly_fail([other for other in surprising if other.series is stretch.series])
    ]


def find_blocks(stretches: Sequence[Stretch], line: float, thresholds: Thresholds) -> list[Stretch]:
    """Find the stretches of a pair that are blocks: surprising, mostly failing, and enough.

    All of them meet the floor of sessions and days together: a site that is blocked for two days
    and, later or in another way, for two more is blocked. The floor of days is there against
    accidents and forgery, not against short blocks. If there is a block, the other series of the
    pair need no more than ``LOWER_LINE``.

    Args:
        stretches: of one pair, whole or cut.
        line: ln of the evidence that the pair needs.
        thresholds: of the floor.
    """

    def meet(line: float) -> list[Stretch]:
        surprising = find_surprising(stretches, line, thresholds)
        days = [session.received_day for stretch in surprising for session in stretch.failures]
        return surprising if is_enough(len(days), len(set(days)), thresholds) else []

    return meet(min(line, LOWER_LINE)) if meet(line) else []


def find_supported(
    site: Mapping[Pair, Sequence[Stretch]], thresholds: Thresholds
) -> Iterator[Stretch]:
    """Iterate over the blocks of a site, by their own evidence or that of others besides.

    If the evidence of two other operators reaches the line together, or that of another network of
    the operator, a pair needs no more than ``LOWER_LINE``: what is blocked elsewhere in the country
    is likelier to be blocked here. A forger would need the evidence and the floors there.

    Args:
        site: the pairs of a site, each with the stretches that count; ``is_supported`` is filled
            in.
        thresholds: of the line and the floors.
    """
    line = log(thresholds.chance_line)
    lower = min(line, LOWER_LINE)
    likely = {pair: find_blocks(stretches, lower, thresholds) for pair, stretches in site.items()}
    evidence = sorted(
        (
            max(inf if block.kind == MARK else block.log_evidence for block in blocks),
            pair.operator,
            pair.network,
        )
        for pair, blocks in likely.items()
        if blocks and pair.is_witness
    )
    for pair, blocks in likely.items():
        # the largest of each operator, as the last one counts
        others = {operator: most for most, operator, _ in evidence if operator != pair.operator}
        same = (
            most
            for most, operator, network in evidence
            if operator == pair.operator and network != pair.network
        )
        pair.is_supported = max(same, default=0) >= line or (
            len(others) >= _SUPPORTING and sum(others.values()) >= line
        )
        yield from blocks if pair.is_supported else find_blocks(site[pair], line, thresholds)


def leave(pair: Pair) -> list[Stretch]:
    """Return the blocks of a pair that no rival explains, with the evidence that is theirs.

    What a rival explains (``reason``) lends the other stretches neither sessions and days nor
    evidence: of E only what is theirs counts.
    """
    blocks = [stretch for stretch in pair.stretches if stretch.is_block]
    left = [stretch for stretch in blocks if not stretch.reason]
    for series in {stretch.series for stretch in blocks if stretch.reason}:
        own = [stretch for stretch in left if stretch.series is series]
        days = (
            (min(received), max(received))
            for stretch in own
            if (received := [session.received_day for session in stretch.failures])
        )
        evidence = np.logaddexp.reduce([weigh_alone(series, first, last) for first, last in days])
        for stretch in own:
            stretch.log_evidence = float(evidence)
    return left
