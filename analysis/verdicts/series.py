"""The sessions of one site on one network, in order, seen as hits and misses of one kind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.verdicts.columns import BLOCKED, OK, UNCLEAR, Places, SessionColumns, to_places
from analysis.verdicts.sessions import KINDS

MARK = KINDS.index("mark")
#: Not a kind of its own: whatever does not work, the control's failures included.
FAILING = len(KINDS)
#: Failures more than sessions otherwise, from which on a stretch may be a block.
CANDIDATE_GAIN = 4
#: What is known of a session of ``columns.Layout.rows``, as it is there.
_OF_ROWS = ("session", "software", "release", "time", "day")
#: So many sessions of series are worked through at a time.
_AT_A_TIME = 1 << 20


@dataclass(frozen=True)
class Series:
    """Series of sessions, one after the other; each of one cell and one kind, in order of time.

    Attributes:
        cells: those in which anything fails, one row each: numbers for ``domain, probe_asn,
            network, operator``, and ``is_domestic``.
        sessions: what can be interpreted of them, by name of the column, a value a session, sorted
            by cell and time: ``cell``, its place in ``cells``; numbers for ``session, software,
            release, class, kind``; ``time`` (seconds), ``day``; ``is_dns, is_speaking``; ``place``,
            the session's row in ``columns.SessionColumns``.
        kind: the kind of each series, a place in ``KINDS`` or ``FAILING``, in order.
        starts: where each series begins in ``row``; with the end of the last.
        row: the place of each session of a series in ``sessions``.
        is_hit: it failed in this kind; else it reached the site, or nothing says that it did not.
    """

    cells: pd.DataFrame
    sessions: Mapping[str, NDArray[Any]]
    kind: NDArray[np.int8]
    starts: NDArray[np.int64]
    row: Places
    is_hit: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.starts)

    @property
    def series(self) -> NDArray[np.int64]:
        """The series of each session."""
        return np.repeat(np.arange(len(self.kind), dtype=np.int64), self.lengths)

    def column(self, name: str, at: slice = slice(None)) -> NDArray[Any]:
        """A column of ``sessions``, for each session of each series, or for some places."""
        return self.sessions[name][self.row[at]]

    def look_up(self, name: str, rows: Places) -> NDArray[Any]:
        """A column of ``cells``, for some rows of ``sessions``."""
        values: NDArray[Any] = self.cells[name].to_numpy()[self.sessions["cell"][rows]]
        return values

    def places_of(self, number: int, end: int | None = None) -> slice:
        """Where the sessions of one series, or of those up to another, lie in ``row``."""
        end = number + 1 if end is None else end
        return slice(int(self.starts[number]), int(self.starts[end]))

    def numbers_of(self, kind: int) -> tuple[int, int]:
        """The first series of a kind, and the one after the last."""
        first, end = (int(np.searchsorted(self.kind, kind, side)) for side in ("left", "right"))
        return first, end

    @property
    def is_weighed(self) -> NDArray[np.bool_]:
        """Which series chance is asked of: those of one kind of failure that is no mark."""
        weighed: NDArray[np.bool_] = (self.kind != MARK) & (self.kind < FAILING)
        return weighed

    def of_kinds(self) -> "Series":
        """The series of one kind of failure, which stand before those of whatever fails."""
        return self.some(0, self.numbers_of(FAILING)[0])

    def some(self, first: int, end: int) -> "Series":
        """The series from one on, up to another."""
        at = self.places_of(first, end)
        return replace(
            self, kind=self.kind[first:end], starts=self.starts[first : end + 1] - at.start,
            row=self.row[at], is_hit=self.is_hit[at],
        )  # fmt: skip

    def parts(self) -> Iterator[tuple[slice, "Series"]]:
        """The series, some at a time, each whole: their places in ``row``, and they themselves.

        What is worked out for each session of all series at once takes much room.
        """
        for first, end in divide(self.lengths, _AT_A_TIME):
            yield self.places_of(first, end), self.some(first, end)

    def first_rows(self) -> Places:
        """The row of the first session of each series."""
        return self.row[self.starts[:-1]]

    @property
    def cell(self) -> NDArray[np.int64]:
        """The cell of each series."""
        return self.sessions["cell"][self.first_rows()]


def divide(lengths: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of things that follow each other and together have at most so many sessions.

    One that has more by itself is a range of its own.
    """
    ends, first, begin = np.cumsum(lengths), 0, 0
    while first < len(ends):
        end = max(int(np.searchsorted(ends, begin + most, side="right")), first + 1)
        yield first, end
        first, begin = end, int(ends[end - 1])


def lay_side_by_side(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
    """The series from the longest on, and how many of them have a place, for each place from 0."""
    order = np.argsort(-lengths, kind="stable")
    places = np.arange(int(lengths.max(initial=0)))
    return order, np.searchsorted(-lengths[order], -places, side="left").tolist()


def find_series(sessions: SessionColumns, floor_sessions: int) -> Series:
    """The series of every cell and kind with as many hits as a state needs.

    A session that found the site down too, or that failed in another kind, is in none but the
    series of what does not work: it is neither a hit nor access. Nor is one through a resolver
    that does not speak for the network, where lookups are what fails.

    Args:
        sessions: all of them.
        floor_sessions: how many hits a state needs.
    """
    layout = sessions.layout
    failing = sessions.find_failing(floor_sessions)
    place = to_places(np.flatnonzero(sessions.is_told & failing[layout.cell]))
    laid = {name: layout.rows[name].to_numpy()[place] for name in _OF_ROWS}
    told = laid | {
        "time": laid["time"].astype("datetime64[s]"), "day": layout.first_day + laid["day"],
        "place": place, "class": sessions.state[place], "kind": sessions.kind[place],
        "is_dns": sessions.is_dns[place], "is_speaking": sessions.is_speaking[place],
        "cell": (np.cumsum(failing, dtype=np.int32) - 1)[layout.cell[place]],
    }  # fmt: skip
    kinds = [*range(len(KINDS)), FAILING]
    parts = [_of_one_kind(told, kind, floor_sessions) for kind in kinds]
    rows = np.concatenate([row for row, _ in parts])
    which = np.repeat(np.array(kinds, np.int8), [len(row) for row, _ in parts])
    cell = told["cell"][rows]
    starts = np.flatnonzero(
        np.concatenate([[True], (cell[1:] != cell[:-1]) | (which[1:] != which[:-1])])[: len(rows)]
    )
    is_hit = np.concatenate([is_hit for _, is_hit in parts])
    cells = layout.cells[failing].reset_index(drop=True)
    return Series(cells, told, which[starts], np.append(starts, len(rows)), rows, is_hit)


def _of_one_kind(
    sessions: Mapping[str, NDArray[Any]], kind: int, least: int
) -> tuple[Places, NDArray[np.bool_]]:
    """The rows that count for a kind, of the cells with enough hits, and which are hits."""
    state, cell = sessions["class"], sessions["cell"]
    cell_count = int(cell.max(initial=-1)) + 1
    is_hit = state != OK
    if kind != FAILING:
        is_hit = (state == BLOCKED) & (sessions["kind"] == kind)
    hit_count = np.bincount(cell[is_hit], minlength=cell_count)
    row = np.flatnonzero((hit_count >= least)[cell])
    if kind != FAILING:
        of_lookup = is_hit & sessions["is_dns"]
        is_lookup = 2 * np.bincount(cell[of_lookup], minlength=cell_count) > hit_count
        is_open = np.isin(state[row], (OK, UNCLEAR))
        is_heard = sessions["is_speaking"][row] | ~is_lookup[cell[row]]
        row = row[is_hit[row] | (is_open & is_heard)]
    return to_places(row), is_hit[row]


def find_candidates(series: Series, least: int = CANDIDATE_GAIN) -> NDArray[np.bool_]:
    """Which sessions lie in a stretch that may be a block: these teach nothing about chance.

    In each series the segment of largest sum, +1 for a hit and −1 otherwise, where it is at
    ``least`` so much; then the next one beside it, for as long as there is one: a site may be
    blocked more than once. Needs no rate of failure, so that nothing is circular: a block of part
    of a year does not excuse itself, nor a network that blocks half of what is tested.
    """
    parts = [_find_candidates(part, least) for _, part in series.parts()]
    return np.concatenate([np.zeros(0, bool), *parts])


def _find_candidates(series: Series, least: int) -> NDArray[np.bool_]:
    inside = np.zeros(len(series.row), bool)
    starts, steps = series.starts, np.where(series.is_hit, 1, -1)
    place = np.arange(len(steps))
    while len(place):
        lengths = np.diff(starts)
        first, end, gain = _best_segments(steps, starts)
        found = gain >= least
        is_found = np.repeat(found, lengths)
        at = np.arange(len(place))
        is_taken = is_found & (at >= np.repeat(first, lengths)) & (at <= np.repeat(end, lengths))
        inside[place[is_taken]] = True
        # What is left of a series lies before the segment and after it.
        is_after = at > np.repeat(end, lengths)
        part = 2 * np.repeat(np.arange(len(lengths)), lengths) + is_after
        left = is_found & ~is_taken
        place, steps, part = place[left], steps[left], part[left]
        starts = np.append(np.flatnonzero(np.diff(part, prepend=-1)), len(part))
    return inside


def _best_segments(
    steps: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of each series the first and last place of the segment of largest sum, and the sum."""
    which = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    sums = np.concatenate([[0], np.cumsum(steps)])
    # Each series lies below the one before it, so that the least sum so far is always its own.
    below = which * (2 * (len(steps) + 1))
    before, after = sums[:-1] - below, sums[1:] - below
    lowest = np.minimum.accumulate(before)
    gains = after - lowest
    gain = np.maximum.reduceat(gains, starts[:-1])
    at_best = np.flatnonzero(gains == gain[which])
    end = np.empty(len(gain), np.int64)
    end[which[at_best[::-1]]] = at_best[::-1]
    first = np.maximum.accumulate(np.where(before == lowest, np.arange(len(steps)), 0))[end]
    return first, end, gain
