"""The stretches in which a network may block a site, and which of them are listed.

Each cell is seen once for each kind of failure (``series``). Its chance decides whether the
failures of that kind are a surprise at all, a two-state chain when they began and ended, and the
evidence floor whether they are enough to say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts import e_values
from analysis.verdicts.expectation import Expectation
from analysis.verdicts.rates import raise_by_own
from analysis.verdicts.schedules import Schedule
from analysis.verdicts.series import FAILING, MARK, Series
from analysis.verdicts.states import is_most
from analysis.verdicts.stretches import find_stretches
from analysis.verdicts.versions import follow_version

#: What does not work for whatever reason has no rate of chance: more sessions than not.
_EVEN = 0.1
#: The share of sessions inside a block that fail, for its edges; where part of a network's routers
#: block, the second.
_EDGE_SHARES = (0.9, 0.6)


@dataclass(frozen=True)
class Evidence:
    """How surprising the failures of each series are.

    Attributes:
        expected: what it was weighed against; its rates with what fails in the cell by itself.
        log_evidence: the logarithm of each series' e-value.
        of_hours: what a schedule adds to that, by number of the series.
        by_day: what each tested day of each series weighs, see ``e_values.weigh_evidence``.
        line: the logarithm of the e-value from which on a series of an access network is listed.
        lines: the same of each series, see ``find_lines``.
        stretches: one row a stretch: ``series, kind, cell``, and the places ``first, last`` of its
            first and last hit in ``series.row``; where a series has a schedule, it is one stretch,
            of the sessions at its hours.
        defects: the rows of ``series.sessions`` that failed as the probe's version mostly does.
        follows_version: the sessions of the series whose version fails alone.
        is_inside: the sessions that say nothing of what fails in the cell by itself.
    """

    expected: Expectation
    log_evidence: NDArray[np.float64]
    of_hours: Mapping[int, float]
    by_day: NDArray[np.float64]
    line: float
    lines: NDArray[np.float64]
    stretches: pd.DataFrame
    defects: NDArray[np.int64]
    follows_version: NDArray[np.bool_]
    is_inside: NDArray[np.bool_]

    @property
    def series(self) -> Series:
        return self.expected.series

    @property
    def rates(self) -> NDArray[np.float64]:
        return self.expected.rates

    @property
    def schedules(self) -> Mapping[int, Schedule]:
        return self.expected.schedules

    def elements_of(self, stretches: pd.DataFrame) -> pd.DataFrame:
        """The sessions of stretches, see ``elements_of``."""
        return elements_of(self.series, self.schedules, stretches)

    def schedule_text(self, series: pd.Series, group: pd.Series) -> pd.Series:
        """The hours of each group of stretches, empty unless all of them have the same."""
        hours = {number: str(schedule) for number, schedule in self.schedules.items()}
        text = pd.Series([hours.get(number, "") for number in series], series.index, dtype="object")
        by_group = text.groupby(group)
        return by_group.first().where(by_group.nunique() == 1, "")

    @property
    def is_surprising(self) -> NDArray[np.bool_]:
        """Which series are no chance: by a mark, or by the model."""
        is_beyond = self.series.is_weighed & (self.log_evidence >= self.lines)
        is_no_chance: NDArray[np.bool_] = (self.series.kind == MARK) | is_beyond
        return is_no_chance


def weigh_evidence(expected: Expectation, thresholds: Thresholds) -> Evidence:
    """Say how surprising each series is, and where its stretches lie.

    Args:
        expected: see ``expectation.learn_expectation``.
        thresholds: ``chance_share`` and ``change_cost``.
    """
    series, schedules = expected.series, expected.schedules
    of_kinds = series.of_kinds()
    # What fails outside of a cell's stretches is what fails there by itself.
    stretches = _find_stretches(series, expected.rates, schedules, thresholds)
    is_inside = _is_inside(series, stretches, schedules)
    rates = expected.rates.copy()
    for at, part in series.parts():
        rates[at] = raise_by_own(part, rates[at], is_inside[at])
    log_evidence = np.full(len(series.kind), -np.inf)
    weights, by_day = weigh_days(of_kinds, rates[: len(of_kinds.row)])
    log_evidence[: len(weights)] = weights
    of_hours = {
        number: float(np.logaddexp(0, _weigh_schedule(series, number, one) - log_evidence[number]))
        for number, one in schedules.items()
    }
    log_evidence[list(of_hours)] += list(of_hours.values())
    line, lines = find_lines(series, log_evidence, expected, thresholds.chance_share)
    stretches = _find_stretches(series, rates, schedules, thresholds)
    follows = follow_version(of_kinds)
    defects = of_kinds.row[of_kinds.is_hit & (expected.lessons.is_of_version | follows)]
    # Outside of its hours a schedule is open to every version.
    has_hours = np.zeros(len(of_kinds.kind), bool)
    has_hours[list(schedules)] = True
    follows_version = np.zeros(len(series.row), bool)
    follows_version[: len(follows)] = follows & ~np.repeat(has_hours, of_kinds.lengths)
    return Evidence(
        replace(expected, rates=rates), log_evidence, of_hours, by_day, line, lines, stretches,
        defects, follows_version, is_inside,
    )  # fmt: skip


def weigh_days(
    of_kinds: Series, rates: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``e_values.weigh_evidence`` of series that may have hours: the part of whole days."""
    parts = [e_values.weigh_evidence(part, rates[at]) for at, part in of_kinds.parts()]
    weights = np.concatenate([np.zeros(0), *(weights for weights, _ in parts)])
    by_day = np.concatenate([np.zeros((0, e_values.SHARE_COUNT)), *(days for _, days in parts)])
    return weights + log(e_values.OF_DAYS), by_day


def find_lines(
    series: Series, log_evidence: NDArray[np.float64], expected: Expectation, share: float
) -> tuple[float, NDArray[np.float64]]:
    """The logarithm of the e-value from which on series are listed.

    Access networks and others have each a line of their own: what a VPN shows is on no list, and
    must not lower the line for what is.

    Args:
        series: all of them, or those of one kind of failure.
        log_evidence: of each.
        expected: how many could be listed.
        share: the threshold ``chance_share``.

    Returns:
        That of access networks, and that of each series.
    """
    is_access = series.look_up("is_domestic", series.first_rows())
    line, other = (
        e_values.find_line(log_evidence[series.is_weighed & of], count, share)
        for of, count in (
            (is_access, expected.tested_count), (~is_access, expected.foreign_count)
        )
    )  # fmt: skip
    return line, np.where(is_access, line, other)


def _find_stretches(
    series: Series, rates: NDArray[np.float64], schedules: Mapping[int, Schedule],
    thresholds: Thresholds,
) -> pd.DataFrame:  # fmt: skip
    """The stretches of all series; of one with a schedule, its one."""
    places = [np.zeros((0, 2), np.int64)]
    for at, part in series.parts():
        edge_rates = np.where(np.repeat(part.kind, part.lengths) == FAILING, _EVEN, rates[at])
        ratios = [e_values.log_ratios(part.is_hit, edge_rates, share) for share in _EDGE_SHARES]
        places.append(at.start + find_stretches(part, ratios, thresholds.change_cost))
    stretches = _between_hits(series, np.concatenate(places))
    stretches = stretches[~stretches["series"].isin(list(schedules))]
    scheduled = _between_hits(series, _scheduled_places(series, schedules))
    return pd.concat([stretches, scheduled], ignore_index=True)


def _is_inside(
    series: Series, stretches: pd.DataFrame, schedules: Mapping[int, Schedule]
) -> NDArray[np.bool_]:
    """Which sessions of the series lie in a stretch, and at its hours."""
    # In each series one begins after the one before it has ended.
    steps = np.zeros(len(series.row) + 1, np.int8)
    steps[stretches["first"]] += 1
    steps[stretches["last"] + 1] -= 1
    inside = np.cumsum(steps[:-1], dtype=np.int8).astype(bool)
    for number, schedule in schedules.items():
        at = series.places_of(number)
        inside[at] &= schedule.is_inside(series.column("time", at))
    return inside


def _weigh_schedule(series: Series, number: int, schedule: Schedule) -> float:
    """The logarithm of the part of the e-value that a schedule has, over all ranges of days."""
    days = np.unique(series.column("day", series.places_of(number)))
    price = e_values.log_stretch_count(np.array([len(days)]))[0]
    return float(schedule.log_evidence - price) + log(e_values.OF_HOURS)


def _scheduled_places(series: Series, schedules: Mapping[int, Schedule]) -> NDArray[np.int64]:
    """The first and the last hit inside of each schedule."""
    places = []
    for number, schedule in sorted(schedules.items()):
        at = series.places_of(number)
        is_inside = schedule.is_inside(series.column("time", at))
        inside = at.start + np.flatnonzero(is_inside & series.is_hit[at])
        places.append((inside[0], inside[-1]))
    return np.array(places, np.int64).reshape(-1, 2)


def _between_hits(series: Series, places: NDArray[np.int64]) -> pd.DataFrame:
    """The stretches from their first hit to their last; those without a hit are left out."""
    hits = np.flatnonzero(series.is_hit)
    first = np.searchsorted(hits, places[:, 0])
    last = np.searchsorted(hits, places[:, 1], side="right") - 1
    is_kept = last >= first
    first, last = hits[first[is_kept]], hits[last[is_kept]]
    which = np.searchsorted(series.starts, first, side="right") - 1
    return pd.DataFrame(
        {"series": which, "kind": series.kind[which], "cell": series.cell[which], "first": first,
         "last": last}
    )  # fmt: skip


def elements_of(
    series: Series, schedules: Mapping[int, Schedule], stretches: pd.DataFrame
) -> pd.DataFrame:
    """The sessions of each stretch: ``stretch`` (its label), ``place, row, day, is_hit``."""
    first = stretches["first"].to_numpy(np.int32)
    length = stretches["last"].to_numpy(np.int32) - first + 1
    begins = (np.cumsum(length) - length).astype(np.int32)
    stretch = np.repeat(stretches.index.to_numpy(np.int32), length)
    place = np.repeat(first - begins, length) + np.arange(length.sum(), dtype=np.int32)
    inside, which = np.ones(len(place), bool), stretches["series"].to_numpy()
    for at in np.flatnonzero(np.isin(which, list(schedules))):
        some = slice(begins[at], begins[at] + length[at])
        time = series.column("time", slice(first[at], first[at] + length[at]))
        inside[some] = schedules[which[at]].is_inside(time)
    if not inside.all():
        stretch, place = stretch[inside], place[inside]
    row = series.row[place].astype(np.int32)
    return pd.DataFrame({
        "stretch": stretch, "place": place, "row": row,
        "day": series.sessions["day"][row], "is_hit": series.is_hit[place],
    })  # fmt: skip


def count_stretches(stretches: pd.DataFrame, elements: pd.DataFrame) -> pd.DataFrame:
    """``stretches`` with their ``hits``, ``misses`` and ``hit_days`` among ``elements``."""
    hits = elements[elements["is_hit"]]
    by_stretch = {
        "hits": hits.groupby("stretch").size(),
        "misses": elements[~elements["is_hit"]].groupby("stretch").size(),
        "hit_days": hits.groupby("stretch")["day"].nunique(),
    }
    counts = {
        name: found.reindex(stretches.index, fill_value=0) for name, found in by_stretch.items()
    }
    return stretches.assign(**counts)


def find_surprising(evidence: Evidence, counted: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Which stretches are surprising and mostly fail, alone or together with the others.

    What is blocked, opened for a while and blocked again is no weaker a block for the opening, so
    stretches of one kind on one network in which at least ``share_floor`` fails may meet the bound
    of the share together.

    Args:
        counted: stretches as ``count_stretches`` returns them.
    """
    hits, total = counted["hits"], counted["hits"] + counted["misses"]
    is_likely = (hits > 0) & (hits >= thresholds.share_floor * total)
    is_likely &= evidence.is_surprising[counted["series"]]
    together = counted.assign(total=total)[is_likely].groupby("series")[["hits", "total"]].sum()
    is_most_together = is_most(together["hits"], together["total"], thresholds)
    with_others = counted["series"].isin(is_most_together.index[is_most_together])
    return is_likely & (with_others | is_most(hits, total, thresholds))


def find_blocks(evidence: Evidence, counted: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Which stretches are blocks: surprising, mostly failing, and enough of them.

    Stretches of one kind on one network are judged together: a site that is blocked for two days
    and, later, for two more is blocked. The floor of days is there against chance and forgery, not
    against short blocks.

    Args:
        counted: stretches as ``count_stretches`` returns them.
    """
    is_kept = find_surprising(evidence, counted, thresholds)
    together = counted[is_kept].groupby("series")[["hits", "hit_days"]].sum()
    is_enough = (together["hits"] >= thresholds.floor_sessions) & (
        together["hit_days"] >= thresholds.floor_days
    )
    return is_kept & counted["series"].isin(is_enough.index[is_enough])


def ask_again(
    evidence: Evidence,
    stretches: pd.DataFrame,
    is_block: pd.Series,
    reason: pd.Series,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """Which blocks stand without those that are withheld.

    What is withheld lends the other stretches of its series neither sessions and days nor
    surprise: of the e-value only what is theirs counts.

    Args:
        stretches: all of them, as ``count_stretches`` returns them.
        is_block: see ``find_blocks``.
        reason: why each is withheld, if it is.

    Returns:
        By stretch: ``is_listed``; ``is_part``, others of its series are withheld; ``log_evidence``.
    """
    is_left = is_block & (reason == "")
    series = stretches["series"]
    is_part = series.isin(series[is_block & ~is_left])
    together = np.full(len(evidence.series.kind), -np.inf)
    own = stretch_evidence(evidence, stretches)
    np.logaddexp.at(together, series[is_left], own[is_left])
    log_evidence = pd.Series(
        np.where(is_part, together[series], evidence.log_evidence[series]), stretches.index
    )
    is_left &= ~is_part | (stretches["kind"] == MARK) | (log_evidence >= evidence.lines[series])
    is_listed = find_blocks(evidence, stretches[is_left], thresholds)
    return pd.DataFrame({
        "is_listed": is_listed.reindex(stretches.index, fill_value=False),
        "is_part": is_part & is_left, "log_evidence": log_evidence,
    })  # fmt: skip


def stretch_evidence(evidence: Evidence, stretches: pd.DataFrame) -> NDArray[np.float64]:
    """The part of each series' e-value that is this very stretch's: a bound on its chance."""
    of_kinds = evidence.series.of_kinds()
    if not len(of_kinds.kind):
        return np.full(len(stretches), -np.inf)
    days, count = e_values.find_days(of_kinds), len(of_kinds.kind)
    sums = np.vstack([np.zeros(evidence.by_day.shape[1]), np.cumsum(evidence.by_day, axis=0)])
    first, last = (
        np.searchsorted(days, stretches[name].to_numpy(), side="right")
        for name in ("first", "last")
    )
    first = np.minimum(first, last) - 1
    together = np.logaddexp.reduce(sums[last] - sums[first], axis=1) - np.log(sums.shape[1])
    number = stretches["series"].to_numpy()
    counts = np.diff(np.searchsorted(days, of_kinds.starts))[np.minimum(number, count - 1)]
    own = together - e_values.log_stretch_count(counts) + log(e_values.OF_DAYS)
    scheduled = stretches["series"].isin(list(evidence.schedules)).to_numpy()
    own = np.where(scheduled, evidence.log_evidence[number], own)
    return np.where(number < count, own, -np.inf)
