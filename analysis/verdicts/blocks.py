"""The stretches in which a network may block a site, and which of them are blocks.

Each cell is seen once for each kind of failure (``series``). Its evidence decides whether the
failures of that kind are a surprise at all, a two-state chain when they began and ended, and the
evidence floor whether they are enough to say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts import e_values
from analysis.verdicts.expectation import Expectation
from analysis.verdicts.hours import Schedule
from analysis.verdicts.rates import expect
from analysis.verdicts.series import FAILING, MARK, Series
from analysis.verdicts.states import is_most
from analysis.verdicts.stretches import find_stretches

#: What does not work for whatever reason has no rate of chance: more sessions than not.
_EVEN = 0.1
#: The share of sessions inside a block that fail, for its edges; where part of a network's routers
#: block, the second.
_EDGE_SHARES = (0.9, 0.6)
#: The logarithm of the evidence that is enough where something else speaks for a block as well:
#: the cell is listed already.
LOWER_LINE = log(20)
Lines = NDArray[np.float64] | float


@dataclass(frozen=True)
class Evidence:
    """How surprising the failures of each series are.

    Attributes:
        expected: what it was weighed against.
        rates: what each session is held against, see ``rates.expect``.
        log_evidence: the logarithm of each series' e-value; −∞ of whatever fails.
        of_hours: what a schedule adds to that, by number of the series.
        by_day, so_far: of each tested day of each series, see ``e_values.Weighed``.
        stretches: one row a stretch: ``series, kind, cell``, and the places ``first, last`` of its
            first and last hit in ``series.row``; where a series has a schedule, it is one stretch,
            of the sessions at its hours.
    """

    expected: Expectation
    rates: NDArray[np.float64]
    log_evidence: NDArray[np.float64]
    of_hours: Mapping[int, float]
    by_day: NDArray[np.float64]
    so_far: NDArray[np.float64]
    stretches: pd.DataFrame

    @property
    def series(self) -> Series:
        return self.expected.series

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


def weigh_evidence(expected: Expectation, thresholds: Thresholds) -> Evidence:
    """Say how surprising each series is, and where its stretches lie.

    Args:
        expected: see ``expectation.learn_expectation``.
        thresholds: ``change_cost``.
    """
    series, schedules, base = expected.series, expected.schedules, expected.base()
    rates = np.empty(len(base))
    for at, part in series.parts():
        rates[at] = expect(part, base[at])
    of_kinds = series.of_kinds()
    log_evidence = np.full(len(series.kind), -np.inf)
    weighed = weigh_days(of_kinds, rates)
    log_evidence[: len(weighed.evidence)] = weighed.evidence
    of_hours = {
        number: float(np.logaddexp(0, _weigh_schedule(series, number, one) - log_evidence[number]))
        for number, one in schedules.items()
    }
    log_evidence[list(of_hours)] += list(of_hours.values())
    stretches = _find_stretches(series, base, schedules, thresholds)
    return Evidence(
        expected, rates, log_evidence, of_hours, weighed.by_day, weighed.so_far, stretches
    )


def weigh_days(of_kinds: Series, rates: NDArray[np.float64], forged: int = 0) -> e_values.Weighed:
    """``e_values.weigh_evidence`` of the series of one kind, some at a time."""
    parts = [e_values.Weighed(*np.zeros((3, 0)))]
    parts += [e_values.weigh_evidence(part, rates[at], forged) for at, part in of_kinds.parts()]
    return e_values.Weighed(*map(np.concatenate, zip(*parts, strict=True)))


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


class Counted(NamedTuple):
    """Stretches and what lies in them.

    Attributes:
        stretches: as ``Evidence.stretches``, with ``hits, misses, hit_days``.
        elements: their sessions, see ``elements_of``.
    """

    stretches: pd.DataFrame
    elements: pd.DataFrame


def count_stretches(stretches: pd.DataFrame, elements: pd.DataFrame) -> Counted:
    """Count the sessions of stretches among ``elements``."""
    hits = elements[elements["is_hit"]]
    by_stretch = {
        "hits": hits.groupby("stretch").size(),
        "misses": elements[~elements["is_hit"]].groupby("stretch").size(),
        "hit_days": hits.groupby("stretch")["day"].nunique(),
    }
    counts = {
        name: found.reindex(stretches.index, fill_value=0) for name, found in by_stretch.items()
    }
    return Counted(stretches.assign(**counts), elements)


def find_likely(
    evidence: Evidence, stretches: pd.DataFrame, lines: Lines, thresholds: Thresholds
) -> pd.Series:
    """Which stretches are surprising and mostly fail, alone or together with the others.

    What is blocked, opened for a while and blocked again is no weaker a block for the opening, so
    stretches of one kind on one network in which at least ``share_floor`` fails may meet the bound
    of the share together.

    Args:
        stretches: see ``Counted``.
        lines: the logarithm of the evidence that each series needs, or all of them; a mark needs
            none.
    """
    series = evidence.series
    is_beyond = series.is_weighed & (evidence.log_evidence >= lines) | (series.kind == MARK)
    hits, total = stretches["hits"], stretches["hits"] + stretches["misses"]
    is_likely = (hits > 0) & (hits >= thresholds.share_floor * total)
    is_likely &= is_beyond[stretches["series"]]
    together = stretches.assign(total=total)[is_likely].groupby("series")[["hits", "total"]].sum()
    is_most_together = is_most(together["hits"], together["total"], thresholds)
    with_others = stretches["series"].isin(is_most_together.index[is_most_together])
    found: pd.Series = is_likely & (with_others | is_most(hits, total, thresholds))
    return found


def find_blocks(
    evidence: Evidence, counted: Counted, line: float, thresholds: Thresholds
) -> pd.Series:
    """Which stretches are blocks: surprising, mostly failing, and enough of them.

    The stretches of one cell meet the floor of sessions and days together, whatever their kind: a
    site that is blocked for two days and, later or otherwise, for two more is blocked. The floor of
    days is there against chance and forgery, not against short blocks. Where a cell holds a block,
    its other series need no more than ``LOWER_LINE``.

    Args:
        counted: the stretches that are asked about.
        line: the logarithm of the evidence that a cell needs.
    """
    stretches, elements = counted
    hits = elements.loc[elements["is_hit"], ["stretch", "day"]]
    hits = hits.assign(cell=stretches["cell"].reindex(hits["stretch"]).to_numpy())

    def meet_floor(lines: Lines) -> pd.Series:
        is_kept = find_likely(evidence, stretches, lines, thresholds)
        days = hits.loc[hits["stretch"].isin(is_kept.index[is_kept])].groupby("cell")["day"]
        is_enough = (days.size() >= thresholds.floor_sessions) & (
            days.nunique() >= thresholds.floor_days
        )
        meets: pd.Series = is_kept & stretches["cell"].isin(is_enough.index[is_enough])
        return meets

    is_listed = np.isin(evidence.series.cell, stretches.loc[meet_floor(line), "cell"])
    return meet_floor(np.where(is_listed, min(line, LOWER_LINE), line))


def ask_again(
    evidence: Evidence,
    counted: Counted,
    is_block: pd.Series,
    reason: pd.Series,
    line: float,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """Which blocks stand without those that are withheld.

    What is withheld lends the other stretches of its cell neither sessions and days nor surprise:
    of the e-value only what is theirs counts.

    Args:
        counted: all stretches.
        is_block: see ``find_blocks``.
        reason: why each is withheld, if it is.
        line: the logarithm of the evidence that a cell needs.

    Returns:
        By stretch: ``is_listed``; ``log_evidence``, what is left of its series' e-value.
    """
    stretches, elements = counted
    is_left = is_block & (reason == "")
    series = stretches["series"]
    is_part = np.zeros(len(evidence.series.kind), bool)
    is_part[series[is_block & ~is_left]] = True
    together = np.full(len(is_part), -np.inf)
    np.logaddexp.at(together, series[is_left], stretch_evidence(evidence, stretches)[is_left])
    left = replace(evidence, log_evidence=np.where(is_part, together, evidence.log_evidence))
    is_listed = find_blocks(left, Counted(stretches[is_left], elements), line, thresholds)
    return pd.DataFrame({
        "is_listed": is_listed.reindex(stretches.index, fill_value=False),
        "log_evidence": left.log_evidence[series],
    })  # fmt: skip


def stretch_evidence(evidence: Evidence, stretches: pd.DataFrame) -> NDArray[np.float64]:
    """The part of each series' e-value that is this very stretch's: a bound on its chance."""
    of_kinds = evidence.series.of_kinds()
    if not len(of_kinds.kind):
        return np.full(len(stretches), -np.inf)
    days, count = e_values.find_days(of_kinds), len(of_kinds.kind)
    sums = np.append(0, np.cumsum(evidence.by_day))
    first, end = (
        np.searchsorted(days, stretches[name].to_numpy(), side="right")
        for name in ("first", "last")
    )
    first = np.minimum(first, end) - 1
    series = stretches["series"].to_numpy()
    starts, number = np.searchsorted(days, of_kinds.starts), np.minimum(series, count - 1)
    changes = (first > starts[number]).astype(np.int64) + (end < starts[number + 1])
    own = sums[end] - sums[first] + e_values.weigh_stretch(np.diff(starts)[number], changes)
    scheduled = stretches["series"].isin(list(evidence.schedules)).to_numpy()
    own = np.where(scheduled, evidence.log_evidence[series], own)
    return np.where(series < count, own, -np.inf)
