"""One model of chance: how surprising the failures of a site on a network are if nobody blocks.

For q in 0.5, 0.75, 0.95 a session that fails counts l = q / r, one that reaches the site
(1 − q) / (1 − r), where r, its rate, is below q; else 1. A day counts its sessions' product, but at
most the square of its largest: ten tests of one day by one probe are not ten witnesses. The mean
over all stretches of days, and over q, is an e-value: if nobody blocks, its expectation is at most
1, whatever stretch one looks at. (Vovk and Wang 2021.)

Where hours of the week are asked for as well, this is nine tenths of the e-value, and that of the
hours the last one: to take the larger of two would let the expectation be 2.
"""

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.series import Series, lay_side_by_side

_SHARES = (0.5, 0.75, 0.95)
SHARE_COUNT = len(_SHARES)
#: The part of an e-value that whole days have; that of hours of the week.
OF_DAYS, OF_HOURS = 0.9, 0.1
Floats = NDArray[np.float64]


def log_ratios(is_hit: NDArray[np.bool_], rates: Floats, share: float) -> Floats:
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
    """The logarithm of the e-value of each series, and what each session's day weighs.

    Args:
        series: of sessions in order of time.
        rates: how often each would fail if nobody blocked.

    Returns:
        One number a series; and for each q (three columns) and day (``find_days``) its ratio.
    """
    days = find_days(series)
    by_day = (
        np.stack([weigh_days(log_ratios(series.is_hit, rates, q), days) for q in _SHARES], axis=1)
        if len(days)
        else np.zeros((0, len(_SHARES)))
    )
    starts = np.searchsorted(days, series.starts)
    counts = np.diff(starts)
    order, active = lay_side_by_side(counts)
    begins = starts[order]
    running = np.full((len(counts), len(_SHARES)), -np.inf)
    total = running.copy()
    for place, count in enumerate(active):
        step = np.logaddexp(running[:count], 0.0) + by_day[begins[:count] + place]
        running[:count] = step
        total[:count] = np.logaddexp(total[:count], step)
    mean = np.empty(len(counts))
    mean[order] = np.logaddexp.reduce(total, axis=1) - np.log(len(_SHARES))
    return mean - log_stretch_count(counts), by_day


def log_stretch_count(day_count: NDArray[np.int64]) -> Floats:
    """The logarithm of how many stretches of days there are."""
    n = np.maximum(day_count, 1).astype(np.float64)
    count: Floats = np.log(n) + np.log(n + 1) - np.log(2)
    return count


def chance_of(log_evidence: Floats) -> Floats:
    """At most this share of what nobody blocks would look so (Markov's inequality)."""
    return np.exp(-np.maximum(log_evidence, 0.0))


def find_line(log_evidence: Floats, tested_count: int, share: float) -> float:
    """The logarithm of the e-value from which on a series is listed; without end if none is.

    At most a ``share`` of those above it is there by chance, however the series depend on each
    other: the e-BH procedure (Wang and Ramdas 2022) lists those k with the largest e-values, k the
    largest number with E_(k) ≥ tested / (share · k).
    """
    ordered = -np.sort(-log_evidence)
    needed = np.log(max(tested_count, 1)) - np.log(share * np.arange(1, len(ordered) + 1))
    lines = needed[ordered >= needed]
    return float(lines.min(initial=np.inf))
