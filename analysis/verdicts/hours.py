"""Hours of the week at which a series of sessions fails, such as those of school exams.

A share by day sees a third of the sessions fail and calls the site reachable, so hours are sought:
a run of weekdays × one or two windows of whole UTC hours × a range of days. Evidence is the
logarithm of a likelihood ratio: sessions inside fail with the probability ``BLOCKED_SHARE`` if the
site is blocked at these hours, and with that of their rate if nobody blocks. Hours must explain
the sessions better than stretches of whole days do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb, inf, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.pairs import Pair, Series, best_range
from analysis.verdicts.rates import base_rates
from analysis.verdicts.sessions import KINDS

Times = NDArray[np.datetime64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Windows = tuple[tuple[int, int], ...]

#: How often a session inside fails while a schedule holds.
BLOCKED_SHARE = 0.9
#: A block without hours may hold for part of the tests only, and must then explain them no worse.
_DAY_SHARES = (0.25, 0.5, 0.75, BLOCKED_SHARE)
#: How often it must fail inside, having been open outside in between.
LEAST_TIMES = 3
#: By how much hours must explain the sessions better than any stretch of whole days.
MARGIN = log(100)
#: Among schedules that explain as much the narrowest wins; no session weighs as little as this.
_BREADTH = 1e-9
#: Ranges of days that the search starts from lie between so many of the days that fail, and so
#: many of the best found there are refined.
_RANGE_EDGES, _REFINED = 16, 6

_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: First and last day of each run, 0 is Monday; and run × weekday, whether the run holds it.
_RUNS = [(0, 6), *((first, (first + n) % 7) for n in range(6) for first in range(7))]
_RUN_DAYS: Flags = np.array([(np.arange(7) - a) % 7 <= (b - a) % 7 for a, b in _RUNS])
_RUN_BREADTHS = _BREADTH * _RUN_DAYS.sum(axis=1, keepdims=True)
#: In how many ways one half-open window of a day's hours can lie, and two.
_ONE, _TWO = comb(25, 2), comb(25, 4)
#: What a second window must add, for there are more ways to place two than one.
SECOND_WINDOW = log(_TWO / _ONE)
#: Ln of the number of schedules that are compared over one range of days.
SEARCH_PRICE = log(len(_RUNS) * (_ONE + _TWO))


def _split(times: Times) -> tuple[Times, NDArray[np.int64], NDArray[np.int64]]:
    """Day, weekday (0 is Monday) and hour of moments."""
    days = times.astype("datetime64[D]")
    hours = (times - days).astype("timedelta64[h]").astype(np.int64)
    return days, (days.astype(np.int64) + 3) % 7, hours  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Schedule:
    """The hours of the week at which a block holds, in UTC.

    Attributes:
        run: of weekdays, a place in ``_RUNS``.
        windows: one or two half-open windows of whole hours, 0 to 24, in order.
        first_day: of the sessions inside that it was found on.
        last_day: inclusive.
        log_ratio: ln of the likelihood ratio of the sessions inside.
        by_others: ln of the mean of such ratios at all hours that other networks name by
            themselves, each over the days at which it is largest; None where they name none.
    """

    run: int
    windows: Windows
    first_day: np.datetime64
    last_day: np.datetime64
    log_ratio: float
    by_others: float | None = None

    @property
    def hours(self) -> tuple[int, Windows]:
        """Weekdays and windows, in whatever range of days."""
        return self.run, self.windows

    @property
    def log_evidence(self) -> float:
        """Ln of an e-value for one range of days.

        The hours were searched for on the series itself, and pay for it. Those that others name
        were not, and pay nothing: where there are any, each of both is half of the e-value.
        """
        own = self.log_ratio - SEARCH_PRICE
        return own if self.by_others is None else float(np.logaddexp(own, self.by_others)) - log(2)

    @property
    def of_week(self) -> Flags:
        """weekday × hour, from Monday on: whether it holds."""
        inside: Flags = np.outer(_RUN_DAYS[self.run], _hours_in(self.windows))
        return inside

    @property
    def score(self) -> float:
        """The ratio less the price of a second window."""
        return self.log_ratio - SECOND_WINDOW * (len(self.windows) - 1)

    def is_inside(self, times: Times) -> Flags:
        """Whether the block holds at these moments, by weekday, hour and range of days."""
        days, _, _ = _split(times)
        return self.is_at_its_hours(times) & (days >= self.first_day) & (days <= self.last_day)

    def is_at_its_hours(self, times: Times) -> Flags:
        """Whether these moments lie at the hours of the week, in whatever range of days."""
        _, weekdays, hours = _split(times)
        return self.of_week[weekdays, hours]

    def __str__(self) -> str:
        """Such as ``Mon-Fri 04:00-08:00, 10:00-14:00``."""
        names = dict.fromkeys(_DAY_NAMES[day] for day in _RUNS[self.run])
        windows = (f"{since:02}:00-{until:02}:00" for since, until in self.windows)
        return f"{'-'.join(names)} {', '.join(windows)}"


def _hours_in(windows: Windows) -> Flags:
    """Which of a day's hours the windows hold."""
    hours = np.zeros(24, bool)
    for since, until in windows:
        hours[since:until] = True
    return hours


@dataclass(frozen=True, eq=False)
class Asked:
    """The sessions of one site that are asked for hours at which one kind of failure holds.

    Attributes:
        times: of those that count, UTC, sorted.
        is_hit: whether each failed in this kind; the others reached the site.
        rates: how likely each would fail if nobody blocks, within 0.01 and 0.99.
    """

    times: Times
    is_hit: Flags
    rates: Numbers

    @classmethod
    def of(cls, series: Series) -> "Asked":
        """The sessions of a series."""
        return cls(series.times, np.array(series.fails), np.array(base_rates(series)))

    @classmethod
    def together(cls, asked: Iterable["Asked"]) -> "Asked":
        """The sessions of several, in order of time."""
        columns = zip(*((one.times, one.is_hit, one.rates) for one in asked), strict=True)
        times, is_hit, rates = (np.concatenate(column) for column in columns)
        order = np.argsort(times, kind="stable")
        return cls(times[order], is_hit[order], rates[order])

    @cached_property
    def days(self) -> Times:
        """The tested days."""
        return np.unique(self.times.astype("datetime64[D]"))

    @property
    def weekdays(self) -> NDArray[np.int64]:
        """Of the tested days."""
        return _split(self.days)[1]

    @cached_property
    def by_hour(self) -> Numbers:
        """day × hour: the sums of the scores."""
        scores, (days, _, hours) = np.zeros((len(self.days), 24)), _split(self.times)
        np.add.at(scores, (np.searchsorted(self.days, days), hours), self._score(BLOCKED_SHARE))
        return scores

    @cached_property
    def by_days(self) -> float:
        """The most that stretches of whole days explain: a range on a run of weekdays, or several.

        What is blocked and opened again now and then must not be taken for hours.
        """
        day, most = np.searchsorted(self.days, self.times.astype("datetime64[D]")), 0.0
        for share in _DAY_SHARES:
            by_day = np.bincount(day, self._score(share), len(self.days))
            sums = np.cumsum(np.where(_RUN_DAYS[:, self.weekdays], by_day, 0.0), axis=1)
            lowest = np.minimum(np.minimum.accumulate(sums, axis=1), 0.0)
            most = max(most, float((sums - lowest).max()), _sum_stretches(by_day.tolist()))
        return most

    def _score(self, share: float) -> Numbers:
        """What each session says for a block that fails this share of sessions.

        The failures of one day together weigh at most twice what the strongest of them does: ten
        tests of a day by one probe are not ten witnesses.
        """
        scores = _log_ratios(self.is_hit, self.rates, share)
        hits = np.where(self.is_hit, scores, 0.0)
        day = np.searchsorted(self.days, self.times.astype("datetime64[D]"))
        strongest, together = np.zeros((2, len(self.days)))
        np.maximum.at(strongest, day, hits)
        np.add.at(together, day, hits)
        weight = np.minimum(1, 2 * strongest / np.maximum(together, 1e-300))
        return np.where(self.is_hit, scores * weight[day], scores)


def _log_ratios(is_hit: Flags, rates: Numbers, share: float) -> Numbers:
    """``evidence.log_ratio`` of all sessions at once."""
    ratios = np.log(np.where(is_hit, share / rates, (1 - share) / (1 - rates)))
    return np.where(rates >= share, 0.0, ratios)


def count_times(is_hit: Flags) -> int:
    """How often a series fails, having been open in between."""
    return int(np.count_nonzero(is_hit[1:] & ~is_hit[:-1]) + is_hit[0]) if len(is_hit) else 0


def _sum_stretches(by_day: list[float]) -> float:
    """The most that several stretches of days hold; all but the first pay for their two edges."""
    price = 2 * log(max(len(by_day), 2))
    outside, inside = 0.0, -inf
    for score in by_day:
        outside, inside = max(outside, inside), max(inside, outside - price) + score
    best = max(outside, inside)
    return best + price if best > 0 else 0.0


def find_schedule(asked: Asked) -> Schedule | None:
    """Find the hours of the week at which one kind of failure holds, if it holds at any.

    Returns:
        The schedule that explains the sessions best, the narrowest of several; ``None`` unless it
        explains them better than all stretches of whole days by ``MARGIN`` and the price of the
        search, and fails inside ``LEAST_TIMES`` times, open outside in between.
    """
    margin = MARGIN + SEARCH_PRICE
    # none explains more than all that speaks for a block
    most = float(np.maximum(asked.by_hour, 0).sum())
    if most < margin or most < asked.by_days + margin:
        return None
    return _claim(asked, _search(asked), margin)


def fit_schedule(schedule: Schedule, asked: Asked) -> Schedule | None:
    """Ask whether hours found elsewhere hold here, at no price for the hours.

    Returns the same hours with the days and the evidence of these sessions, or ``None``.
    """
    return _claim(asked, fit_range(asked, schedule.hours), MARGIN)


def fit_range(asked: Asked, hours: tuple[int, Windows]) -> Schedule:
    """Some hours over the range of days on which they explain most.

    Whether anybody would claim them there is not asked.
    """
    run, windows = hours
    inside = asked.by_hour[:, _hours_in(windows)].sum(axis=1) * _RUN_DAYS[run, asked.weekdays]
    most, since, until = best_range(inside.tolist())
    return Schedule(run, windows, asked.days[since], asked.days[until - 1], most)


def _claim(asked: Asked, schedule: Schedule, margin: float) -> Schedule | None:
    """The schedule, if it explains so much more than days do, and its days show the contrast."""
    if schedule.log_ratio < asked.by_days + margin:
        return None
    # Inside it fails, outside it is open; neither says of a session whether it holds.
    telling = schedule.is_inside(asked.times) == asked.is_hit
    return schedule if count_times(asked.is_hit[telling]) >= LEAST_TIMES else None


def _search(asked: Asked) -> Schedule:
    """The schedule that explains most: from several ranges of days, hours and days in turn."""
    by_weekday = np.zeros((len(asked.days) + 1, 7, 24))
    by_weekday[np.arange(len(asked.days)) + 1, asked.weekdays] = asked.by_hour
    sums = by_weekday.cumsum(axis=0)
    found = []
    for since, until in _starts(asked, sums):
        best, now = None, _find_hours(asked, sums[until] - sums[since])
        while best is None or now.score > best.score:
            best = now
            since, until = np.searchsorted(asked.days, [best.first_day, best.last_day])
            now = _find_hours(asked, sums[until + 1] - sums[since])
        found.append(best)
    return max(found, key=lambda one: one.score)


def _find_hours(asked: Asked, by_weekday: Numbers) -> Schedule:
    """The hours that hold most of weekday × hour, over the range of days that fits them."""
    by_run = _by_run(by_weekday)
    run = int(_walk_hours(by_run).argmax())
    return fit_range(asked, (run, _find_windows(by_run[run])))


def _find_windows(by_hour: Numbers) -> Windows:
    """The one or two windows of a day that hold most."""
    scores = by_hour.tolist()
    _, since, until = best_range(scores)
    # Two hold most as the best one with a gap in it, or with another before or after it.
    gap = best_range([-score for score in scores[since:until]])
    before, after = best_range(scores[:since]), best_range(scores[until:])
    found: list[tuple[float, Windows]] = [
        (SECOND_WINDOW, ((since, until),)),
        (gap[0], ((since, since + gap[1]), (since + gap[2], until))),
        (before[0], (before[1:], (since, until))),
        (after[0], ((since, until), (until + after[1], until + after[2]))),
    ]
    return max(found, key=lambda one: one[0])[1]


def _starts(asked: Asked, sums: Numbers) -> list[tuple[int, int]]:
    """The most promising ranges of days to search from."""
    failing = np.unique(np.searchsorted(asked.days, asked.times[asked.is_hit].astype("M8[D]")))
    places = np.linspace(0, len(failing) - 1, min(_RANGE_EDGES, len(failing))).round().astype(int)
    edges = failing[places]
    first, last = np.triu_indices(len(edges))
    since, until = edges[first], edges[last] + 1
    best = _walk_hours(_by_run(sums[until] - sums[since])).max(axis=1)
    order = np.argsort(-best, kind="stable")[:_REFINED]
    return list(zip(since[order].tolist(), until[order].tolist(), strict=True))


def _by_run(by_weekday: Numbers) -> Numbers:
    """run × hour: the sums of weekday × hour, less a trifle for each hour of the week."""
    sums: Numbers = _RUN_DAYS.astype(np.float64) @ by_weekday - _RUN_BREADTHS
    return sums


def _walk_hours(scores: Numbers) -> Numbers:
    """The most that one or two windows of the hours along the last axis hold.

    Hour by hour, the best way to be before, in, between, in the second of, or after them.
    """
    first, after_first, second, after_second = np.full((4, *scores.shape[:-1]), -inf)
    for of_hour in np.moveaxis(scores, -1, 0):
        after_second = np.maximum(after_second, second)
        second = np.maximum(second, after_first - SECOND_WINDOW) + of_hour
        after_first = np.maximum(after_first, first)
        first = np.maximum(first, 0.0) + of_hour
    return np.asarray(np.maximum.reduce([first, after_first, second, after_second]))


#: A series of a site, and its network.
_Key = tuple[Any, int]


def find_schedules(site: Sequence[Pair]) -> None:
    """Fill in the hours of the week at which the series of a site fail: ``Series.schedule``.

    Only a series that fails several times, open in between, may have hours.

    Args:
        site: the pairs of one site, with what others teach (``rates``).
    """
    asked = {
        (series, pair.network): Asked.of(series)
        for kind in KINDS  # in this order, so that sums of floats are the same
        for pair in site
        for series in pair.series
        if series.kind == kind and count_times(np.array(series.fails)) >= LEAST_TIMES
    }
    for (series, _), schedule in find_of_site(asked).items():
        series.schedule = schedule


def find_of_site(asked: Mapping[_Key, Asked]) -> dict[_Key, Schedule]:
    """The schedules of a site's series, where there are any.

    Networks told to block by one order do so at the same hours, each in its own way, and may be
    tested too seldom to name them. So hours that one series names, or all sessions of the site
    together, are tried on every series, those first that explain most in all. A series keeps hours
    of its own that explain more than these by the price of the search.
    """
    alone = {key: own for key, one in asked.items() if (own := find_schedule(one))}
    named = list(alone.values())
    if len(asked) > 1 and (pooled := find_schedule(Asked.together(asked.values()))):
        named.append(pooled)
    fitted = {
        hours.hours: {key: held for key, one in asked.items() if (held := fit_schedule(hours, one))}
        for hours in named
    }
    ordered = sorted(fitted.values(), key=lambda of: -sum(one.log_ratio for one in of.values()))
    found: dict[_Key, Schedule] = {}
    for key in asked:
        chosen = next((held[key] for held in ordered if key in held), None)
        own = alone.get(key)
        if own and not (chosen and chosen.log_ratio >= own.log_ratio - SEARCH_PRICE):
            chosen = own
        if chosen:
            found[key] = replace(chosen, by_others=_weigh_others(key, asked, alone))
    return found


def _weigh_others(
    key: _Key, asked: Mapping[_Key, Asked], alone: Mapping[_Key, Schedule]
) -> float | None:
    """What speaks for the hours that other networks name, without a look at the series itself.

    Nothing of the series decides which hours these are: a choice among them would have its price.
    """
    others = {other: one for other, one in asked.items() if other[1] != key[1]}
    named = [schedule for other, schedule in alone.items() if other in others]
    if others and not named:
        together = find_schedule(Asked.together(others.values()))
        named = [together] if together else []
    ratios = [
        fit_range(asked[key], one).log_ratio for one in dict.fromkeys(one.hours for one in named)
    ]
    return float(np.logaddexp.reduce(ratios)) - log(len(ratios)) if ratios else None
