"""How surprising are the failures of a series if nobody blocks? An e-value, E.

A session that fails has the weight q / r, and one that reaches the site (1 − q) / (1 − r). r is the
rate of accidents that it is compared with, q the share of sessions that fails during a block: 0.75,
drawn towards 0.95 by the failures in a row just before. A session with r ≥ q has the weight 1. The
weight of a day is the product of its sessions, but at most the square of the largest: ten tests of
one day by one probe are not ten witnesses.

Nobody knows when a block begins and ends, so E is a mean over all the ways in which it may lie:
E = 0.45 · S + 0.45 · C + 0.1 · H. S is the mean, over all stretches of days, of the product of the
days of the stretch. C is for a site that is blocked from the first test on, or again after an
opening: a chain of two states, in which each of n tested days is open or blocked, the first with
even odds, and the state changes between two tested days with probability 1/n; the mean, over all
its paths, of the product of the blocked days. H is the evidence of hours of the week (``hours``).
If failures were accidents at these rates, E would be at most 1 on average. (Vovk and Wang 2021; the
chain is the *fixed share* of Herbster and Warmuth 1998.)
"""

from collections.abc import Sequence
from math import exp, log, log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.pairs import ANY, Series
from analysis.verdicts.rates import LEAST_RATE, MOST_RATE, base_rates

Numbers = NDArray[np.float64]

#: The share of sessions that fails during a block, at least and at most, ...
LEAST_SHARE, MOST_SHARE = 0.75, 0.95
#: ... and how many sessions the least is worth beside the failures in a row before a session.
_SHARE_WORTH = 4
#: How many sessions the base rate is worth beside the earlier sessions of the pair.
_BASE_WORTH = 8
#: The part of E that whole days have; that of hours of the week.
OF_DAYS, OF_HOURS = 0.9, 0.1
#: Numbers beyond this are divided by it, since some E exceed any float.
_LARGE = 1e250


def log_ratio(fails: Any, rate: Any, share: Any) -> Numbers:
    """Return ln of how much likelier sessions are if such a share of them is blocked."""
    ratio = np.where(fails, share / rate, (1 - share) / (1 - rate))
    return np.where(rate >= share, 0.0, np.log(ratio))


def weigh_sessions(series: Series, forged: int = 0) -> tuple[Numbers, Numbers, Numbers]:
    """Weigh the sessions of a series, in order of time.

    Args:
        series: with its ``lessons``.
        forged: failures that are added before the first session, where they begin a run of
            failures, and to what the site elsewhere and the network teach.

    Returns:
        Of each session how often such a one fails by accident, how often it would fail during a
        block, and ln of its weight.
    """
    fails, index = np.array(series.fails), np.arange(len(series.fails))
    failures = forged + np.cumsum(fails) - fails
    rates = (failures + _BASE_WORTH * base_rates(series, forged)) / (forged + index + _BASE_WORTH)
    rates = rates.clip(LEAST_RATE, MOST_RATE)
    last_success = np.maximum.accumulate(np.where(fails, -1 - forged, index))
    in_a_row = index - 1 - np.append(-1 - forged, last_success[:-1])
    shares = (in_a_row + LEAST_SHARE * _SHARE_WORTH) / (in_a_row + _SHARE_WORTH)
    shares = np.minimum(shares, MOST_SHARE)
    return rates, shares, log_ratio(fails, rates, shares)


def weigh_days(series: Series, forged: int = 0) -> list[tuple[int, float]]:
    """Weigh the tested days of a series: each day of receipt, and ln of its weight.

    Logarithms are added, since the product of some 1,100 sessions exceeds any float.
    """
    _, _, ratios = weigh_sessions(series, forged)
    received = np.array([session.received_day for session in series.sessions])
    order = np.argsort(received, kind="stable")
    days, begins = np.unique(received[order], return_index=True)
    total, most = (part.reduceat(ratios[order], begins) for part in (np.add, np.maximum))
    weights = np.where(most > 0, np.minimum(total, 2 * most), total)
    return list(zip(days.tolist(), weights.tolist(), strict=True))


def average_over_blocks(log_weights: Sequence[float]) -> float:
    """Return ln of the part of E that whole days have: 0.45 · S + 0.45 · C of docs/method.md.

    Args:
        log_weights: ln of the weight of each tested day.
    """
    count = max(len(log_weights), 1)
    change = 1 / max(count, 2)
    unit, log_scale = 1.0, 0.0  # 1, and ln of what all numbers have been divided by
    ending = all_stretches = 0.0  # stretches that end on this day; all so far
    is_open = is_blocked = 0.5
    for index, log_weight in enumerate(log_weights):
        weight = exp(log_weight)
        ending = (ending + unit) * weight
        all_stretches += ending
        if index:
            is_open, is_blocked = (
                is_open * (1 - change) + is_blocked * change,
                is_blocked * (1 - change) + is_open * change,
            )
        is_blocked *= weight
        if max(is_blocked, all_stretches) > _LARGE:
            unit, ending, all_stretches = unit / _LARGE, ending / _LARGE, all_stretches / _LARGE
            is_open, is_blocked = is_open / _LARGE, is_blocked / _LARGE
            log_scale += log(_LARGE)
    mean = all_stretches / (count * (count + 1) / 2) + is_open + is_blocked
    return log(OF_DAYS / 2) + log(mean) + log_scale


def weigh(series: Series) -> None:
    """Fill in how surprising a series is: ``log_evidence``, ``hours_evidence``, ``days``.

    Of whatever does not work (``ANY``) this is not asked.

    Args:
        series: with its ``lessons`` and, if it fails at hours of the week, its ``schedule``.
    """
    if series.kind == ANY:
        return
    if series.lent:
        series.log_evidence, series.schedule = series.lent.log_evidence, series.lent.series.schedule
        return
    series.days = weigh_days(series)
    series.log_evidence = average_over_blocks([weight for _, weight in series.days])
    if series.schedule:
        count = len(series.days)
        of_hours = series.schedule.log_evidence - log(count * (count + 1) / 2) + log(OF_HOURS)
        series.hours_evidence = float(np.logaddexp(0.0, of_hours - series.log_evidence))
        series.log_evidence += series.hours_evidence


def weigh_alone(series: Series, since: int, until: int) -> float:
    """Return ln of what one stretch of days counts in the mean over all blocks.

    Args:
        series: with its ``days``.
        since, until: the first and the last day of the stretch.
    """
    count = len(series.days)
    own = sum(weight for day, weight in series.days if since <= day <= until)
    changes = (since > series.days[0][0]) + (until < series.days[-1][0])
    change = 1 / max(count, 2)
    path = log(0.5) + changes * log(change) + max(count - 1 - changes, 0) * log1p(-change)
    return own + log(OF_DAYS / 2) + float(np.logaddexp(path, -log(count * (count + 1) / 2)))
