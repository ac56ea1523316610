"""How surprising the failures of a site on a network are if nobody blocks: an e-value.

A session that fails counts q / r and one that reaches the site (1 − q) / (1 − r), where r is its
rate if nobody blocks (``rates.expect``) and q the share that fails during a block: 0.75, drawn
towards 0.95 by the failures in a row just before. A session with r ≥ q counts 1. A day counts its
sessions' product, but at most the square of its largest: ten tests of one day by one probe are not
ten witnesses.

When a block begins and ends is unknown. Half of E is the mean, over all stretches of days, of the
product of the days of the stretch. The other half is for what is blocked from the first test on, or
again after an opening: a chain of two states, in which each of n tested days is open or blocked,
the first with even odds, and the state changes from one tested day to the next with probability
1/n; the mean, over all of its paths, of the product of the blocked days. If failures were accidents
at these rates, the expectation of E would be at most 1. (Vovk and Wang 2021; the chain is the
*fixed share* of Herbster and Warmuth 1998.)

Where hours of the week are asked for as well, this is nine tenths of the e-value, and that of the
hours the last one: to take the larger of two would let the expectation be 2.
"""

from math import log

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.series import Series, lay_side_by_side
from analysis.vocabulary import LEAST_CHANCE

#: The share of sessions inside a block that fail, at least and at most, ...
LEAST_SHARE, MOST_SHARE = 0.75, 0.95
#: ... and how many sessions the least is worth beside the failures in a row before a session.
_SHARE_WORTH = 4
#: The part of an e-value that whole days have; that of hours of the week.
OF_DAYS, OF_HOURS = 0.9, 0.1
Floats = NDArray[np.float64]


def log_ratios(is_hit: NDArray[np.bool_], rates: Floats, shares: Floats | float) -> Floats:
    """How much likelier each session is where a share of them is blocked, as a logarithm."""
    ratios = np.log(np.where(is_hit, shares / rates, (1 - shares) / (1 - rates)))
    return np.where(rates >= shares, 0.0, ratios)


def weigh_sessions(series: Series, rates: Floats, forged: int = 0) -> Floats:
    """What each session says, as a logarithm.

    Args:
        series: of sessions in order of time.
        rates: what each is held against.
        forged: failures before the first session.
    """
    at, first = np.arange(len(series.row)), np.repeat(series.starts[:-1], series.lengths)
    last_miss = np.maximum.accumulate(np.where(series.is_hit, -1, at))
    begin = np.maximum(first, np.append(-1, last_miss[:-1]) + 1)
    run = at - begin + forged * (begin == first)  # failures in a row before the session
    shares = (run + LEAST_SHARE * _SHARE_WORTH) / (run + _SHARE_WORTH)
    return log_ratios(series.is_hit, rates, shares.clip(LEAST_SHARE, MOST_SHARE))


def find_days(series: Series) -> NDArray[np.int64]:
    """Where each tested day of each series begins in ``series.row``."""
    day, which = series.column("day"), series.series
    is_first = np.ones(len(day), bool)
    is_first[1:] = (day[1:] != day[:-1]) | (which[1:] != which[:-1])
    return np.flatnonzero(is_first)


def weigh_days(ratios: Floats, days: NDArray[np.int64]) -> Floats:
    """What each day's sessions say together, none of them more than twice."""
    if not len(days):
        return np.zeros(0)
    most = np.maximum.reduceat(ratios, days)
    together = np.add.reduceat(ratios, days)
    return np.where(most > 0, np.minimum(together, 2 * most), together)


def weigh_evidence(series: Series, rates: Floats, forged: int = 0) -> tuple[Floats, Floats]:
    """Weigh the days of each series; the arguments are those of ``weigh_sessions``.

    Returns:
        Logarithms: the part of each series' e-value that whole days have, and what each tested day
        says (``find_days``).
    """
    days = find_days(series)
    by_day = weigh_days(weigh_sessions(series, rates, forged), days)
    starts = np.searchsorted(days, series.starts)
    counts = np.diff(starts)
    order, active = lay_side_by_side(counts)
    begins = starts[order]
    change, stay = _log_odds(counts[order])
    opened, blocked = np.full((2, len(counts)), log(0.5))
    ending, stretches = np.full((2, len(counts)), -np.inf)
    for place, count in enumerate(active):
        here, some = begins[:count] + place, slice(count)
        was_open, was_blocked = opened[some], blocked[some]
        if place:
            was_open, was_blocked = (
                np.logaddexp(was_open + stay[some], was_blocked + change[some]),
                np.logaddexp(was_blocked + stay[some], was_open + change[some]),
            )
        opened[some], blocked[some] = was_open, was_blocked + by_day[here]
        ending[some] = np.logaddexp(ending[some], 0.0) + by_day[here]
        stretches[some] = np.logaddexp(stretches[some], ending[some])
    chain = np.logaddexp(opened, blocked)
    evidence = np.empty(len(counts))
    evidence[order] = np.logaddexp(chain, stretches - log_stretch_count(counts[order]))
    return evidence + log(OF_DAYS / 2), by_day


def log_stretch_count(day_count: NDArray[np.int64]) -> Floats:
    """The logarithm of how many stretches of days there are."""
    n = np.maximum(day_count, 1).astype(np.float64)
    count: Floats = np.log(n) + np.log(n + 1) - np.log(2)
    return count


def _log_odds(day_count: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The logarithms of the chances to change and to stay, from one tested day to the next."""
    change = 1 / np.maximum(day_count, 2)
    return np.log(change), np.log1p(-change)


def weigh_stretch(day_count: NDArray[np.int64], changes: NDArray[np.int64]) -> Floats:
    """The logarithm of what one stretch counts in the mean, where the state changes so often."""
    change, stay = _log_odds(day_count)
    chain = log(0.5) + changes * change + np.maximum(day_count - 1 - changes, 0) * stay
    both: Floats = np.logaddexp(chain, -log_stretch_count(day_count))
    return both + log(OF_DAYS / 2)


def chance_of(log_evidence: Floats) -> Floats:
    """At most this share of accidents would look so (Markov's inequality); none is told below
    ``LEAST_CHANCE``.
    """
    return np.exp(-np.maximum(log_evidence, 0.0)).clip(LEAST_CHANCE)
