"""What whole days explain of the sessions of many series: a range on a run of weekdays, or several.

What is blocked and opened again now and then must not be taken for hours.
"""

from collections.abc import Sequence
from math import inf, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.series import lay_side_by_side

Times = NDArray[np.datetime64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]

#: How often a session inside fails while a schedule holds.
BLOCKED_SHARE = 0.9
#: A block without hours may hold for part of the tests only, and must then explain them no worse.
STRETCH_SHARES = (0.25, 0.5, 0.75, BLOCKED_SHARE)
#: So many series are walked side by side that what is known of them stays at hand.
_ABREAST = 128

#: First and last day of each run, 0 is Monday.
WEEKDAY_RUNS = [(0, 6), *((first, (first + n) % 7) for n in range(6) for first in range(7))]


def holds_on(first: int, last: int, weekdays: NDArray[np.int64]) -> Flags:
    return (weekdays - first) % 7 <= (last - first) % 7


#: run × weekday: whether the run holds it.
RUN_DAYS: Flags = np.array([holds_on(*run, np.arange(7)) for run in WEEKDAY_RUNS])
_RUNS_OF_DAY = np.ascontiguousarray(RUN_DAYS.T.astype(np.float64))


class Days(NamedTuple):
    """The sessions of one series, in order of time, by tested day."""

    tested: Times
    weekdays: NDArray[np.int64]
    #: tested day: its first session
    first: NDArray[np.int64]
    #: session: the hour in which it lies, counted from the first tested day's over tested days only
    hour: NDArray[np.int64]
    #: session: what it says for a block that fails ``BLOCKED_SHARE`` of them
    scores: Numbers
    #: the most that stretches of whole days explain
    explained: float


def split(times: Times) -> tuple[Times, NDArray[np.int64], NDArray[np.int64]]:
    """Day, weekday (0 is Monday) and hour of moments."""
    days = times.astype("datetime64[D]")
    hours = (times - days).astype("timedelta64[h]").astype(np.int64)
    return days, (days.astype(np.int64) + 3) % 7, hours  # 1970-01-01 was a Thursday


def add_up(places: NDArray[np.int64], scores: Numbers, count: int = 0) -> Numbers:
    return np.asarray(np.bincount(places, scores, count), np.float64)


def weigh_by_day(
    times: Times, is_hit: Flags, rates: Numbers, lengths: NDArray[np.int64]
) -> list[Days]:
    """What the sessions of series say for a block, and whole days of it.

    Args:
        times, is_hit, rates: of the sessions, see ``hours.Asked``, one series after the other.
        lengths: how many sessions each series has, from 1.
    """
    starts = np.append(0, np.cumsum(lengths))
    days, weekdays, hours = split(times)
    is_first = np.ones(len(days), bool)
    is_first[1:] = days[1:] != days[:-1]
    is_first[starts[:-1]] = True
    first, number = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    day_starts = np.searchsorted(first, starts)
    tested, weekdays = days[first], weekdays[first]
    hours += 24 * (number - np.repeat(day_starts[:-1], lengths))
    first -= np.repeat(starts[:-1], np.diff(day_starts))
    firsts, by_day = np.flatnonzero(is_first), np.empty((len(first), len(STRETCH_SHARES)))
    scores = np.zeros(len(times))
    for place, share in enumerate(STRETCH_SHARES):
        scores = _score(is_hit, rates, firsts, number, share)
        by_day[:, place] = add_up(number, scores)
    explained = _explain(by_day, weekdays, day_starts).tolist()
    parts = zip(starts[:-1], starts[1:], day_starts[:-1], day_starts[1:], strict=True)
    # Copies: a slice that is kept would keep what is known of all series.
    return [
        Days(tested[a:b].copy(), weekdays[a:b].copy(), first[a:b].copy(), hours[start:end].copy(),
             scores[start:end].copy(), most)
        for (start, end, a, b), most in zip(parts, explained, strict=True)
    ]  # fmt: skip


def _score(
    is_hit: Flags, rates: Numbers, first: NDArray[np.int64], number: NDArray[np.int64], share: float
) -> Numbers:
    """What each session says for a block that fails this share of sessions, as ln of a ratio.

    The failures of one day together weigh at most twice what the strongest of them does: ten
    tests of a day by one probe are not ten witnesses. Sessions that fail as often without a block
    say nothing.
    """
    scores = np.log(np.where(is_hit, share / rates, (1 - share) / (1 - rates)))
    scores[rates >= share] = 0
    hits = np.where(is_hit, scores, 0)
    strongest = np.maximum.reduceat(hits, first)
    together = add_up(number, hits)
    weight = np.minimum(1, 2 * strongest / np.maximum(together, 1e-300))
    weighed: Numbers = np.where(is_hit, scores * weight[number], scores)
    return weighed


def _explain(by_day: Numbers, weekdays: NDArray[np.int64], starts: NDArray[np.int64]) -> Numbers:
    """The most that stretches of the days of each series explain, at the share that does it best.

    Args:
        by_day: day × share: what its sessions say.
        starts: where each series begins, with the end of the last.
    """
    lengths = np.diff(starts)
    order, _ = lay_side_by_side(lengths)
    explained = np.empty(len(lengths))
    for start in range(0, len(order), _ABREAST):
        some = order[start : start + _ABREAST]
        _, active = lay_side_by_side(lengths[some])
        prices = [2 * log(max(length, 2)) for length in lengths[some].tolist()]
        explained[some] = _walk(by_day, weekdays, starts[some], active, np.array(prices))
    return explained


def _walk(
    by_day: Numbers, weekdays: NDArray[np.int64], starts: NDArray[np.int64],
    active: Sequence[int], prices: Numbers,
) -> Numbers:  # fmt: skip
    """``_explain`` for series from the longest on, ``active`` of which have a day at each place.

    Of ranges on a run of weekdays the largest rise of their sums; of several ranges the best way to
    stand outside or inside, where all but the first pay a price for their beginning and end.
    """
    shape = len(starts), by_day.shape[1]
    sums, lowest, rise = np.zeros((3, *shape, len(WEEKDAY_RUNS)))
    outside, inside, price = np.zeros(shape), np.full(shape, -inf), prices[:, None]
    for place, count in enumerate(active):
        day = starts[:count] + place
        scores, runs = by_day[day], _RUNS_OF_DAY[weekdays[day]]
        now, low, best = sums[:count], lowest[:count], rise[:count]
        now += scores[:, :, None] * runs[:, None, :]
        np.minimum(low, now, out=low)
        np.maximum(best, now - low, out=best)
        entered = outside[:count] - price[:count]
        np.maximum(outside[:count], inside[:count], out=outside[:count])
        inside[:count] = np.maximum(inside[:count], entered) + scores
    several = np.maximum(outside, inside)
    several = np.where(several > 0, several + price, 0.0)
    return np.asarray(np.maximum(rise.max(axis=(1, 2)), several.max(axis=1)))
