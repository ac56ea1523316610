"""How surprising the failures of a site on a network are if nobody blocks: an e-value.

With q = 0.75 a session that fails counts q / r, one that reaches the site (1 − q) / (1 − r), where
r, its rate (``rates.expect``), is below q; else 1. A day counts its sessions' product, but at most
the square of its largest: ten tests of one day by one probe are not ten witnesses. The mean over
all stretches of days is an e-value: if failures were accidents at these rates, its expectation
would be at most 1, whatever stretch one looks at. (Vovk and Wang 2021.)

Where hours of the week are asked for as well, this is nine tenths of the e-value, and that of the
hours the last one: to take the larger of two would let the expectation be 2.
"""

from math import log

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.series import Series, lay_side_by_side
from analysis.vocabulary import LEAST_CHANCE

#: The share of sessions inside a block that fail.
SHARE = 0.75
#: The part of an e-value that whole days have; that of hours of the week.
OF_DAYS, OF_HOURS = 0.9, 0.1
Floats = NDArray[np.float64]


def log_ratios(is_hit: NDArray[np.bool_], rates: Floats, share: float = SHARE) -> Floats:
    """How much likelier each session is where a share of them is blocked, as a logarithm."""
    ratios = np.log(np.where(is_hit, share / rates, (1 - share) / (1 - rates)))
    return np.where(rates >= share, 0.0, ratios)


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


def weigh_evidence(series: Series, rates: Floats) -> tuple[Floats, Floats]:
    """The logarithm of the part of each series' e-value that whole days have.

    Args:
        series: of sessions in order of time.
        rates: what each is held against.

    Returns:
        One number a series; and for each day (``find_days``) the logarithm of its ratio.
    """
    days = find_days(series)
    by_day = weigh_days(log_ratios(series.is_hit, rates), days)
    starts = np.searchsorted(days, series.starts)
    counts = np.diff(starts)
    order, active = lay_side_by_side(counts)
    begins = starts[order]
    running = np.full(len(counts), -np.inf)
    total = running.copy()
    for place, count in enumerate(active):
        step = np.logaddexp(running[:count], 0.0) + by_day[begins[:count] + place]
        running[:count] = step
        total[:count] = np.logaddexp(total[:count], step)
    evidence = np.empty(len(counts))
    evidence[order] = total
    return evidence - log_stretch_count(counts) + log(OF_DAYS), by_day


def log_stretch_count(day_count: NDArray[np.int64]) -> Floats:
    """The logarithm of how many stretches of days there are."""
    n = np.maximum(day_count, 1).astype(np.float64)
    count: Floats = np.log(n) + np.log(n + 1) - np.log(2)
    return count


def chance_of(log_evidence: Floats) -> Floats:
    """At most this share of accidents would look so (Markov's inequality); none is told below
    ``LEAST_CHANCE``.
    """
    return np.exp(-np.maximum(log_evidence, 0.0)).clip(LEAST_CHANCE)
