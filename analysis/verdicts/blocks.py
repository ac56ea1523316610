"""The stretches in which a network may block a site, and which of them are blocks.

Each cell is seen once for each kind of failure (``series``). Its evidence decides whether the
failures of that kind are a surprise at all, a two-state chain when they began and ended, and the
evidence floor whether they are enough to say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts import e_values
from analysis.verdicts.hours import Schedule
from analysis.verdicts.rates import Lessons, expect
from analysis.verdicts.series import FAILING, MARK, Series, lay_side_by_side
from analysis.verdicts.states import is_most

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
        series: those in which something fails.
        lessons: what each session is held against is learnt from these.
        schedules: the hours of the week at which a series holds, by its number.
        rates: what each session is held against, see ``rates.expect``.
        log_evidence: the logarithm of each series' e-value; −∞ of whatever fails.
        of_hours: what a schedule adds to that; 0 of a series without one.
        by_day: of each tested day of each series, see ``e_values.weigh_evidence``.
        stretches: one row a stretch: ``series, kind, cell``; a number for its ``manner``, the
            network and the kind; and the places ``first, last`` of its
            first and last hit in ``series.row``; where a series has a schedule, it is one stretch,
            of the sessions at its hours. With ``hits, misses, hit_days``.
        elements: the sessions of each stretch: its ``stretch`` (a label), ``row, day, is_hit``.
    """

    series: Series
    lessons: Lessons
    schedules: Mapping[int, Schedule]
    rates: NDArray[np.float64]
    log_evidence: NDArray[np.float64]
    of_hours: NDArray[np.float64]
    by_day: NDArray[np.float64]
    stretches: pd.DataFrame
    elements: pd.DataFrame

    @property
    def of_cells(self) -> pd.Series:
        """The logarithm of the largest e-value of each cell, by its number; of weighed kinds."""
        weighed = self.series.is_weighed
        return pd.Series(self.log_evidence[weighed]).groupby(self.series.cell[weighed]).max()

    def elements_of(self, stretches: pd.DataFrame) -> pd.DataFrame:
        """The sessions of some stretches."""
        return self.elements[self.elements["stretch"].isin(stretches.index)]

    def schedule_text(self, series: pd.Series, group: pd.Series) -> pd.Series:
        """The hours of each group of stretches, empty unless all of them have the same."""
        hours = {number: str(schedule) for number, schedule in self.schedules.items()}
        text = pd.Series([hours.get(number, "") for number in series], series.index, dtype="object")
        by_group = text.groupby(group)
        return by_group.first().where(by_group.nunique() == 1, "")


def weigh_evidence(
    series: Series, lessons: Lessons, schedules: Mapping[int, Schedule], thresholds: Thresholds
) -> Evidence:
    """Say how surprising each series is, and where its stretches lie.

    Args:
        series, lessons, schedules: see ``Evidence``.
        thresholds: ``change_cost``.
    """
    base = lessons.base(series)
    rates = expect(series, base)
    of_days, by_day = e_values.weigh_evidence(series, rates)
    log_evidence = np.where(series.kind == FAILING, -np.inf, of_days)
    of_hours = np.zeros(len(log_evidence))
    for number, one in schedules.items():
        hours = _weigh_schedule(series, number, one)
        of_hours[number] = np.logaddexp(0, hours - log_evidence[number])
    stretches = _find_stretches(series, base, schedules, thresholds)
    elements = _elements_of(series, schedules, stretches)
    return Evidence(
        series,
        lessons,
        schedules,
        rates,
        log_evidence + of_hours,
        of_hours,
        by_day,
        count_stretches(stretches, elements),
        elements,
    )


def _find_stretches(
    series: Series,
    base: NDArray[np.float64],
    schedules: Mapping[int, Schedule],
    thresholds: Thresholds,
) -> pd.DataFrame:
    """The stretches of all series, from their first hit to their last; of one with a schedule, the
    one at its hours.
    """
    ratios = [e_values.log_ratios(series.is_hit, base, share) for share in _EDGE_SHARES]
    places = find_stretches(series, ratios, thresholds.change_cost)
    is_scheduled = np.isin(series.series[places[:, 0]], list(schedules))
    places = np.concatenate([places[~is_scheduled], _scheduled_places(series, schedules)])
    hits = np.flatnonzero(series.is_hit)
    first = np.searchsorted(hits, places[:, 0])
    last = np.searchsorted(hits, places[:, 1], side="right") - 1
    first, last = hits[first[last >= first]], hits[last[last >= first]]
    which = series.series[first]
    kind, network = series.kind[which], series.look_up("network", series.row[first])
    return pd.DataFrame(
        {
            "series": which,
            "kind": kind,
            "cell": series.cell[which],
            "manner": network.astype(np.int64) * (FAILING + 1) + kind,
            "first": first,
            "last": last,
        }
    )


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


def _elements_of(
    series: Series, schedules: Mapping[int, Schedule], stretches: pd.DataFrame
) -> pd.DataFrame:
    """The sessions of each stretch, see ``Evidence``."""
    first = stretches["first"].to_numpy()
    length = stretches["last"].to_numpy() - first + 1
    stretch = np.repeat(stretches.index.to_numpy(), length)
    place = np.repeat(first - np.cumsum(length) + length, length) + np.arange(length.sum())
    row, which = series.row[place], series.series[place]
    inside = np.ones(len(place), bool)
    for number, schedule in schedules.items():
        of_series = which == number
        inside[of_series] = schedule.is_inside(series.sessions["time"][row[of_series]])
    elements = pd.DataFrame(
        {
            "stretch": stretch,
            "row": row,
            "day": series.sessions["day"][row],
            "is_hit": series.is_hit[place],
        }
    )
    return elements[inside].reset_index(drop=True)


def count_stretches(stretches: pd.DataFrame, elements: pd.DataFrame) -> pd.DataFrame:
    """Stretches with ``hits, misses, hit_days``, as counted among the ``elements``."""
    hits = elements[elements["is_hit"]].groupby("stretch")["day"]
    misses = elements[~elements["is_hit"]].groupby("stretch")
    counts = {"hits": hits.size(), "misses": misses.size(), "hit_days": hits.nunique()}
    return stretches.assign(
        **{name: found.reindex(stretches.index, fill_value=0) for name, found in counts.items()}
    )


def find_likely(
    evidence: Evidence, stretches: pd.DataFrame, lines: Lines, thresholds: Thresholds
) -> pd.Series:
    """Which stretches are surprising and mostly fail, alone or together with the others.

    What is blocked, opened for a while and blocked again is no weaker a block for the opening, so
    stretches of one kind on one network in which at least ``share_floor`` fails may meet the bound
    of the share together.

    Args:
        stretches: those that are asked about.
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
    evidence: Evidence,
    stretches: pd.DataFrame,
    elements: pd.DataFrame,
    line: float,
    thresholds: Thresholds,
) -> pd.Series:
    """Which stretches are blocks: surprising, mostly failing, and enough of them.

    The stretches of one cell meet the floor of sessions and days together, whatever their kind: a
    site that is blocked for two days and, later or otherwise, for two more is blocked. The floor of
    days is there against chance and forgery, not against short blocks. Where a cell holds a block,
    its other series need no more than ``LOWER_LINE``.

    Args:
        stretches: those that are asked about.
        elements: the sessions that count.
        line: the logarithm of the evidence that a cell needs.
    """
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
    evidence: Evidence, stretches: pd.DataFrame, line: float, thresholds: Thresholds
) -> pd.DataFrame:
    """Which blocks stand without those that are withheld.

    What is withheld lends the other stretches of its cell neither sessions and days nor surprise:
    of the e-value only what is theirs counts.

    Args:
        stretches: all of them, with ``is_block``, see ``find_blocks``, and the ``reason`` why one
            is withheld, if it is.
        line: the logarithm of the evidence that a cell needs.

    Returns:
        The stretches with ``is_listed``, and what is left of their series' e-value,
        ``log_evidence``.
    """
    is_left = stretches["is_block"] & (stretches["reason"] == "")
    series = stretches["series"]
    is_part = np.isin(
        np.arange(len(evidence.log_evidence)), series[stretches["is_block"] & ~is_left]
    )
    together = np.full(len(is_part), -np.inf)
    np.logaddexp.at(together, series[is_left], _weigh_stretches(evidence, stretches[is_left]))
    left = replace(evidence, log_evidence=np.where(is_part, together, evidence.log_evidence))
    is_listed = find_blocks(left, stretches[is_left], evidence.elements, line, thresholds)
    return stretches.assign(
        is_listed=is_listed.reindex(stretches.index, fill_value=False),
        log_evidence=left.log_evidence[series],
    )


def _weigh_stretches(evidence: Evidence, stretches: pd.DataFrame) -> NDArray[np.float64]:
    """The part of each series' e-value that is this very stretch's: a bound on its chance."""
    days, number = e_values.find_days(evidence.series), stretches["series"].to_numpy()
    sums = np.append(0, np.cumsum(evidence.by_day))
    starts = np.searchsorted(days, evidence.series.starts)
    first = np.searchsorted(days, stretches["first"], side="right") - 1
    end = np.searchsorted(days, stretches["last"], side="right")
    changes = (first > starts[number]).astype(np.int64) + (end < starts[number + 1])
    own = sums[end] - sums[first] + e_values.weigh_stretch(np.diff(starts)[number], changes)
    is_scheduled = np.isin(number, list(evidence.schedules))
    evidence_of: NDArray[np.float64] = np.where(is_scheduled, evidence.log_evidence[number], own)
    return evidence_of


def find_stretches(
    series: Series, ratios: Sequence[NDArray[np.float64]], change_cost: float
) -> NDArray[np.int64]:
    """The stretches in which each series fails, at the share that explains it best.

    Args:
        ratios: of each session, for each share that may fail inside of a stretch. Any but the first
            has to explain a series better by the price of a change.
        change_cost: see ``Thresholds``.

    Returns:
        One row a stretch, in order: the places in ``series.row`` of its first session and its last.
    """
    gains, paths = zip(*(_find_path(series, one, change_cost) for one in ratios), strict=True)
    price = _price_changes(series, change_cost)
    best = np.argmax([gains[0], *(gain - price for gain in gains[1:])], axis=0)[series.series]
    fails = np.choose(best, paths)
    which = series.series
    begins = fails.copy()
    begins[1:] &= ~fails[:-1] | (which[1:] != which[:-1])
    ends = fails.copy()
    ends[:-1] &= ~fails[1:] | (which[1:] != which[:-1])
    return np.stack([np.flatnonzero(begins), np.flatnonzero(ends)], axis=1)


def _find_path(
    series: Series, ratios: NDArray[np.float64], change_cost: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The likeliest path of each series: what it gains over never failing, and where it fails.

    Each session inside counts its log ratio, one outside nothing, and each change of state costs
    ln(sessions) + ``change_cost``: the exact optimum (Viterbi 1967). Series are
    walked side by side.
    """
    order, active = lay_side_by_side(series.lengths)
    starts, price = series.starts[order], _price_changes(series, change_cost)[order]
    is_open, failing = np.zeros(len(order)), -price
    into_open = np.zeros(len(ratios), bool)  # the best way to be open here was to fail before
    into_failing = np.zeros(len(ratios), bool)
    for place, count in enumerate(active):
        here, cost = starts[:count] + place, price[:count]
        was_open, was_failing = is_open[:count], failing[:count]
        if place:
            closed, opened = was_open - cost, was_failing - cost
            into_open[here] = opened > was_open
            into_failing[here] = closed > was_failing
            was_open, was_failing = np.maximum(was_open, opened), np.maximum(was_failing, closed)
        is_open[:count], failing[:count] = was_open, was_failing + ratios[here]
    fails = np.zeros(len(ratios), bool)
    state = failing > is_open
    for place, count in reversed(list(enumerate(active))):
        here, now = starts[:count] + place, state[:count]
        fails[here] = now
        state[:count] = np.where(now, ~into_failing[here], into_open[here])
    gains = np.empty(len(order))
    gains[order] = np.maximum(is_open, failing)
    return gains, fails


def _price_changes(series: Series, change_cost: float) -> NDArray[np.float64]:
    """What a change costs in each series."""
    price: NDArray[np.float64] = np.log(np.maximum(series.lengths, 2)) + change_cost
    return price
