"""The sessions of one site on one network, in order, seen as hits and misses of one kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.sql import read_queries
from analysis.verdicts.sessions import BLOCKED, KINDS, OK, UNCLEAR

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

MARK = KINDS.index("mark")
#: Not a kind of its own: whatever does not work, the control's failures included.
FAILING = len(KINDS)
#: Failures more than sessions otherwise, from which on a stretch may be a block.
CANDIDATE_GAIN = 4

_QUERIES = read_queries(__file__)
_OF_CELLS = ("domain", "probe_asn", "network", "operator")


@dataclass(frozen=True)
class Series:
    """Series of sessions, one after the other; each of one cell and one kind, in order of time.

    Attributes:
        cells: those in which anything fails, one row each: numbers for ``domain, probe_asn,
            network, operator``.
        sessions: what can be interpreted of them, by name of the column, a value a session, sorted
            by cell and time: ``cell``, its place in ``cells``; numbers for ``session, software,
            class, kind``; ``time`` (seconds), ``day``; ``is_dns, is_speaking``; ``place``, see
            ``sessions.Sessions``.
        kind: the kind of each series, a place in ``KINDS`` or ``FAILING``, in order.
        starts: where each series begins in ``row``; with the end of the last.
        row: the place of each session of a series in ``sessions``.
        is_hit: it failed in this kind; else it reached the site, or nothing says that it did not.
    """

    cells: pd.DataFrame
    sessions: Mapping[str, NDArray[Any]]
    kind: NDArray[np.int8]
    starts: Ints
    row: Ints
    is_hit: Flags

    @property
    def lengths(self) -> Ints:
        return np.diff(self.starts)

    @property
    def series(self) -> Ints:
        """The series of each session."""
        return np.repeat(np.arange(len(self.kind), dtype=np.int64), self.lengths)

    def column(self, name: str, at: slice = slice(None)) -> NDArray[Any]:
        """A column of ``sessions``, for each session of each series, or for some places."""
        return self.sessions[name][self.row[at]]

    def look_up(self, name: str, rows: Ints) -> NDArray[Any]:
        """A column of ``cells``, for some rows of ``sessions``."""
        values: NDArray[Any] = self.cells[name].to_numpy()[self.sessions["cell"][rows]]
        return values

    def places_of(self, number: int) -> slice:
        """Where the sessions of one series lie in ``row``."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    @property
    def is_weighed(self) -> Flags:
        """Which series chance is asked of: those of one kind of failure that is no mark."""
        weighed: Flags = (self.kind != MARK) & (self.kind < FAILING)
        return weighed

    def first_rows(self) -> Ints:
        """The row of the first session of each series."""
        return self.row[self.starts[:-1]]

    @property
    def cell(self) -> Ints:
        """The cell of each series."""
        cells: Ints = self.sessions["cell"][self.first_rows()]
        return cells


def lay_side_by_side(lengths: Ints) -> tuple[Ints, list[int]]:
    """The series from the longest on, and how many of them have a place, for each place from 0."""
    order = np.argsort(-lengths, kind="stable")
    places = np.arange(int(lengths.max(initial=0)))
    return order, np.searchsorted(-lengths[order], -places, side="left").tolist()


def read_series(connection: duckdb.DuckDBPyConnection, floor_sessions: int) -> Series:
    """The series of every cell and kind with as many hits as a state needs.

    A session that found the site down too, or that failed in another kind, is in none but the
    series of what does not work: it is neither a hit nor access. Nor is one through a resolver
    that does not speak for the network, where lookups are what fails.

    Args:
        connection: finds ``heard_sessions`` and ``networks``.
        floor_sessions: how many hits a state needs.
    """
    query, given = _QUERIES["failing_sessions"], {"floor_sessions": floor_sessions}
    read = connection.execute(query, given).fetchnumpy()
    told = {name: np.asarray(values) for name, values in read.items()}
    told |= {"time": told["time"].astype("M8[s]"), "day": told["day"].astype("M8[D]")}
    key = (told["domain"].astype(np.int64) << 32) + told["probe_asn"]
    is_first = np.diff(key, prepend=-1) != 0
    cells = pd.DataFrame({name: told.pop(name)[is_first] for name in _OF_CELLS})
    told["cell"] = np.cumsum(is_first) - 1
    kinds = [*range(len(KINDS)), FAILING]
    parts = [_of_one_kind(told, len(cells), kind, floor_sessions) for kind in kinds]
    row, is_hit = (np.concatenate(part) for part in zip(*parts, strict=True))
    which = np.repeat(np.array(kinds, np.int8), [len(rows) for rows, _ in parts])
    number = which.astype(np.int64) * len(cells) + told["cell"][row]
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    return Series(cells, told, which[starts], np.append(starts, len(row)), row, is_hit)


def _of_one_kind(
    sessions: Mapping[str, NDArray[Any]], cell_count: int, kind: int, least: int
) -> tuple[Ints, Flags]:
    """The rows that count for a kind, of the cells with enough hits, and which are hits."""
    state, cell = sessions["class"], sessions["cell"]
    is_hit = state != OK if kind == FAILING else (state == BLOCKED) & (sessions["kind"] == kind)
    hit_count = np.bincount(cell[is_hit], minlength=cell_count)
    counts = (hit_count >= least)[cell]
    if kind != FAILING:
        of_lookup = np.bincount(cell[is_hit & sessions["is_dns"]], minlength=cell_count)
        is_open = np.isin(state, (OK, UNCLEAR))
        is_open &= sessions["is_speaking"] | (2 * of_lookup <= hit_count)[cell]
        counts &= is_hit | is_open
    row = np.flatnonzero(counts)
    return row, is_hit[row]


def find_candidates(series: Series, least: int = CANDIDATE_GAIN) -> Flags:
    """Which sessions lie in a stretch that may be a block: these teach nothing about chance.

    In each series the segment of largest sum, +1 for a hit and −1 otherwise, where it is at
    ``least`` so much; then the next one beside it, for as long as there is one: a site may be
    blocked more than once. Needs no rate of failure, so that nothing is circular: a block of part
    of a year does not excuse itself, nor a network that blocks half of what is tested.
    """
    inside, steps = np.zeros(len(series.row), bool), np.where(series.is_hit, 1.0, -1.0)
    hits_before = np.append(0, np.cumsum(series.is_hit)).tolist()
    parts = list(pairwise(series.starts.tolist()))
    while parts:
        begin, end = parts.pop()
        if hits_before[end] - hits_before[begin] < least:  # no range gains so much
            continue
        gain, since, until = best_range(steps[begin:end])
        if gain >= least:
            inside[begin + since : begin + until] = True
            parts += [(begin, begin + since), (begin + until, end)]
    return inside


def best_range(scores: NDArray[np.float64]) -> tuple[float, int, int]:
    """The range of largest sum: its sum, first place and end; the shortest of several."""
    sums = np.append(0.0, np.cumsum(scores))
    lowest = np.minimum.accumulate(sums)
    until = int((sums - lowest).argmax())
    since = int(np.flatnonzero(sums[: until + 1] == lowest[until])[-1])
    return float(sums[until] - lowest[until]), since, until
