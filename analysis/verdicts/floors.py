"""Are the failures of a pair enough to call it blocked? The line of evidence, and the floors.

A stretch is a block if it is a mark or its series' evidence reaches the line; if it mostly fails;
and if the pair's stretches together have enough failed sessions on enough days.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf, log
from operator import attrgetter
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.evidence import add_logs, weigh_alone
from analysis.verdicts.pairs import ANY, MARK, Pair, Series, Session, Stretch

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
    index = hits.index
    return pd.Series(low.clip(0, 1), index), pd.Series(high.clip(0, 1), index)


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


class StretchPart(NamedTuple):
    """A stretch, as far as it counts: as a whole, or its sessions in some period.

    Attributes:
        stretch: the stretch.
        sessions, failures: those that count.
        log_evidence: ln E of its series.
    """

    stretch: Stretch
    sessions: Sequence[Session]
    failures: Sequence[Session]
    log_evidence: float

    @classmethod
    def whole(cls, stretch: Stretch) -> Self:
        """Count all of a stretch, with all evidence of its series."""
        return cls(stretch, stretch.sessions, stretch.failures, stretch.series.log_evidence)

    @classmethod
    def inside(cls, stretch: Stretch, since: int, until: int) -> Self:
        """Count what lies in some days; the line is not asked again."""
        sessions = lie_between(stretch.sessions, since, until)
        return cls(stretch, sessions, lie_between(stretch.failures, since, until), inf)

    @property
    def day_count(self) -> int:
        """The number of days with a failure."""
        return len({session.day for session in self.failures})

    def meets_floor(self, thresholds: Thresholds) -> bool:
        """Return whether its failures alone meet the evidence floor."""
        failures, sessions = len(self.failures), len(self.sessions)
        return bool(meets_floor(failures, self.day_count, sessions, thresholds))


def find_surprising(
    parts: Sequence[StretchPart], line: float, thresholds: Thresholds
) -> list[StretchPart]:
    """Find the stretches of a pair that are surprising and mostly fail, alone or with others.

    What is blocked, opened for a while and blocked again is no weaker a block for the opening. So
    stretches of one kind in which a share of ``share_floor`` fails may reach the bound together.

    Args:
        parts: the stretches, of one pair.
        line: ln of the evidence that a series needs; a mark needs none.
        thresholds: ``share_floor``.
    """
    surprising = [
        part
        for part in parts
        if part.stretch.kind != ANY
        and part.failures
        and len(part.failures) >= thresholds.share_floor * len(part.sessions)
        and (part.stretch.kind == MARK or part.log_evidence >= line)
    ]
    by_series: dict[Series, list[StretchPart]] = {}
    for part in surprising:
        by_series.setdefault(part.stretch.series, []).append(part)

    def mostly_fail(together: Sequence[StretchPart]) -> bool:
        failures = sum(len(part.failures) for part in together)
        sessions = sum(len(part.sessions) for part in together)
        return bool(is_most(failures, sessions, thresholds))

    return [
        part
        for part in surprising
        if mostly_fail([part]) or mostly_fail(by_series[part.stretch.series])
    ]


def find_blocks(parts: Sequence[StretchPart], line: float, thresholds: Thresholds) -> list[Stretch]:
    """Find the stretches of a pair that are blocks: surprising, mostly failing, and enough.

    All of them meet the floor of sessions and days together: a site that is blocked for two days
    and, later or in another way, for two more is blocked. The floor of days is there against
    accidents and forgery, not against short blocks. If there is a block, the other series of the
    pair need no more than ``LOWER_LINE``.

    Args:
        parts: the stretches, of one pair.
        line: ln of the evidence that the pair needs.
        thresholds: of the floor.
    """

    def meet(line: float) -> list[Stretch]:
        surprising = find_surprising(parts, line, thresholds)
        days = [session.day for part in surprising for session in part.failures]
        if not is_enough(len(days), len(set(days)), thresholds):
            return []
        return [part.stretch for part in surprising]

    return meet(min(line, LOWER_LINE)) if meet(line) else []


def find_line(thresholds: Thresholds, is_supported: bool) -> float:
    """Return ln of the evidence that a pair needs."""
    line = log(thresholds.chance_line)
    return min(line, LOWER_LINE) if is_supported else line


def mark_blocks(site: Sequence[Pair], thresholds: Thresholds) -> None:
    """Fill in which stretches of a site are blocks, unless a rival explains them: ``is_block``.

    Args:
        site: the pairs of a site.
        thresholds: of the line and the floors.
    """
    parts = [[StretchPart.whole(stretch) for stretch in pair.stretches] for pair in site]
    for stretch in _find_supported(site, parts, thresholds):
        stretch.is_block = True


def list_blocks(site: Sequence[Pair], thresholds: Thresholds) -> None:
    """Fill in which blocks of a site are listed: ``is_listed``, and ``log_evidence``.

    Args:
        site: the pairs of a site.
        thresholds: of the line and the floors.
    """
    parts = [_leave_explained(pair) for pair in site]
    for stretch in _find_supported(site, parts, thresholds):
        stretch.is_listed = True


def _find_supported(
    site: Sequence[Pair], parts: Sequence[Sequence[StretchPart]], thresholds: Thresholds
) -> Iterator[Stretch]:
    """Iterate over the blocks of a site, by their own evidence or that of others besides.

    If the evidence of two other operators reaches the line together, or that of another network of
    the operator, a pair needs no more than ``LOWER_LINE``: what is blocked elsewhere in the country
    is likelier to be blocked here. A forger would need the evidence and the floors there.

    Args:
        site: the pairs of a site; ``is_supported`` is filled in.
        parts: the stretches of each pair that count.
        thresholds: of the line and the floors.
    """
    line = find_line(thresholds, is_supported=False)
    lower = find_line(thresholds, is_supported=True)
    likely = [find_blocks(part, lower, thresholds) for part in parts]
    evidence: dict[int, dict[int, float]] = {}  # by operator and network
    for pair, of_pair, blocks in zip(site, parts, likely, strict=True):
        if blocks and pair.is_witness:
            own = {part.stretch: part.log_evidence for part in of_pair}
            most = max(inf if block.kind == MARK else own[block] for block in blocks)
            evidence.setdefault(pair.operator, {})[pair.network] = most
    for pair, part, blocks in zip(site, parts, likely, strict=True):
        others = {name: max(of.values()) for name, of in evidence.items() if name != pair.operator}
        own_networks = evidence.get(pair.operator, {}).items()
        same = max((most for network, most in own_networks if network != pair.network), default=0)
        pair.is_supported = same >= line or (
            len(others) >= _SUPPORTING and sum(others.values()) >= line
        )
        yield from blocks if pair.is_supported else find_blocks(part, line, thresholds)


def _leave_explained(pair: Pair) -> list[StretchPart]:
    """Return the blocks of a pair that no rival explains, with the evidence that is theirs.

    What a rival explains (``reason``) lends the other stretches neither sessions and days nor
    evidence: of E only what is theirs counts.
    """
    stretches = pair.stretches
    left = [stretch for stretch in stretches if stretch.is_block and not stretch.reason]
    explained = [stretch.series for stretch in stretches if stretch.is_block and stretch.reason]
    for stretch in stretches:
        series = stretch.series
        stretch.log_evidence = series.log_evidence
        if series in explained and not series.lent:
            own = [_weigh_alone(other) for other in left if other.series is series]
            stretch.log_evidence = add_logs(*own)
    return [
        StretchPart(stretch, stretch.sessions, stretch.failures, stretch.log_evidence)
        for stretch in left
    ]


def _weigh_alone(stretch: Stretch) -> float:
    """Return ln of the part of its series' E that is the stretch's own."""
    series = stretch.series
    if series.schedule:  # one stretch has all of it
        return series.log_evidence
    first, last = series.sessions[stretch.first], series.sessions[stretch.last]
    return weigh_alone(series, first.day, last.day)
