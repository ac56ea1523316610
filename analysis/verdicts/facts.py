"""What rates are learnt from: the sessions that fail, and how many were counted beside them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.verdicts.columns import BLOCKED, DOWN, NONE, Places, SessionColumns, to_places
from analysis.verdicts.series import Series

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """How many sessions were counted in each group.

    Attributes:
        of_row: the group of each row of ``Facts.rows``, or the part of a group.
        sessions: the sessions counted in each group.
        of_part: the group of each part, where groups are made of these.
    """

    of_row: Places
    sessions: Floats
    of_part: Places | None = None

    def find(self, rows: Places) -> Places:
        """The groups of some rows."""
        part = self.of_row[rows]
        return part if self.of_part is None else self.of_part[part]

    def count(self, is_member: NDArray[np.bool_]) -> Floats:
        """How many rows of each group are members."""
        size, parts = len(self.sessions), self.of_row[is_member]
        if self.of_part is None:
            return np.bincount(parts, minlength=size).astype(np.float64)
        counts = np.bincount(parts, minlength=len(self.of_part))
        return np.bincount(self.of_part, counts, size).astype(np.float64, copy=False)


@dataclass(frozen=True)
class Days:
    """The days of many things, laid one after the other on one line.

    The days of a thing follow each other, and those of the next thing are further away than any
    term looks: thing · ``width`` + day.

    Attributes:
        starts: by cell, the place of the first day of its thing.
        cell, day: of each row of ``Facts.rows``.
        counted: the places of the sessions that were counted, in order.
        width: how many places a thing has.
    """

    starts: Places
    cell: Places
    day: Places
    counted: Places
    width: int

    def find(self, rows: Places | NDArray[np.bool_]) -> Places:
        """The places of some rows."""
        return self.starts[self.cell[rows]] + self.day[rows]

    def sums_around(
        self, hits: NDArray[np.bool_], out: NDArray[np.bool_],
        places: Iterable[Places], near: int,
    ) -> Iterator[tuple[Floats, Floats]]:  # fmt: skip
        """For each of ``places``: the hits on the days around them, and the sessions.

        Args:
            hits, out: which rows are failures, and which are taken out of what was counted.
        """
        failed, less = _sort(self.find(hits)), _sort(self.find(out))
        for place in places:
            tested = _count_around(self.counted, place, near) - _count_around(less, place, near)
            yield _count_around(failed, place, near), tested


def _sort(places: Places) -> Places:
    """In order. Sessions come by cell and time, in runs that are sorted: merging them is quick."""
    return np.sort(places, kind="stable")


def _count_around(ordered: Places, place: Places, near: int) -> Floats:
    first = np.searchsorted(ordered, place - near, side="left")
    end = np.searchsorted(ordered, place + near, side="right")
    return (end - first).astype(np.float64)


@dataclass(frozen=True)
class Facts:
    """What is known of the sessions.

    Attributes:
        rows: what is heard of failing cells and the failures of the others, one row each: a number
            for ``kind``, and ``is_failure, is_counted, is_domestic, teaches``.
        cell: the site on a network of each row, a place in what follows.
        operator, host: by cell, numbers; of the host 0 where nobody knows it.
        sites, versions: sessions that teach, by site, and by site and version of the probe.
        own_sites, own_versions: those of each operator of them.
        version_keys, own_version_keys: of each group what it is of, in order: site ·
            ``release_count`` + version, the oldest first; that · ``operator_count`` + operator.
        version_of_own: the group of ``versions`` of each of ``own_versions``.
        reports: all sessions of each network and report.
        network_of_report: the network of each of them, a number.
        days: sessions that teach, by site and operator: site · ``operator_count`` + operator.
        routes: all sessions, by hosting network and network.
        cell_days: the rows by site and network; nothing is counted.
        operators: those with sessions that teach.
        operator_count, release_count: how many operators and versions of the probe there are.
        site_count: how many sites have sessions that teach.
    """

    rows: pd.DataFrame
    cell: Places
    operator: Places
    host: Places
    sites: Groups
    own_sites: Groups
    versions: Groups
    own_versions: Groups
    version_keys: NDArray[np.int64]
    own_version_keys: NDArray[np.int64]
    version_of_own: NDArray[np.int64]
    reports: Groups
    network_of_report: NDArray[np.int64]
    days: Days
    routes: Days
    cell_days: Days
    operators: NDArray[np.int64]
    operator_count: int
    release_count: int
    site_count: int


def gather_facts(sessions: SessionColumns, series: Series, floor_sessions: int) -> Facts:
    """Gather what rates are learnt from.

    Counted are sessions of the country's access networks. A cell that has too few to be judged
    does not teach: three failures there may be the block itself. The failures of cells in which
    too few fail for a series teach about the probe all the same.

    Args:
        sessions: all of them.
        series: those of one kind of failure.
        floor_sessions: from how many on a cell can be judged.
    """
    layout, state = sessions.layout, sessions.state
    is_tested = sessions.find_tested(floor_sessions)[layout.cell]
    is_failing = sessions.find_failing(floor_sessions)[layout.cell]
    is_domestic = layout.of_cells("is_domestic")[layout.cell]
    interpreted = (state != DOWN) & (state != NONE)
    counted = interpreted & is_domestic & is_tested
    stray = np.flatnonzero((state == BLOCKED) & is_domestic & ~is_failing)
    told = series.sessions["place"]
    at = np.concatenate([told, stray])
    rows = pd.DataFrame({
        "kind": sessions.kind[at], "is_failure": state[at] == BLOCKED,
        "is_counted": state[at] != DOWN, "is_domestic": is_domestic[at],
        "teaches": np.concatenate([is_domestic[told] & (state[told] != DOWN), is_tested[stray]]),
    })  # fmt: skip
    cell, day = layout.cell, layout.rows["day"].to_numpy()
    cell_of_row, day_of_row = cell[at], day[at]

    def lay(thing: NDArray[np.int64], members: NDArray[np.bool_]) -> Days:
        starts = to_places(thing * layout.width, layout.width)
        places = _sort(starts[cell[members]] + day[members])
        return Days(starts, cell_of_row, day_of_row, places, layout.width)

    # Added up over operators, versions or both, these are the sessions of all other groups.
    of_session, own_keys = layout.own_versions
    own = of_session[at]
    counts = np.bincount(of_session[counted], minlength=len(own_keys)).astype(np.float64)
    version_key, operator = np.divmod(own_keys, layout.operator_count)
    site = version_key // layout.release_count
    version, version_keys = pd.factorize(version_key)
    own_site, _ = pd.factorize(site * layout.operator_count + operator)

    def add_up(group: NDArray[np.int64]) -> Groups:
        sessions = np.bincount(group, counts, int(group.max(initial=-1)) + 1)
        return Groups(own, sessions.astype(np.float64, copy=False), to_places(group))

    report_count = len(layout.network_of_report)
    reports = np.bincount(layout.of_report[interpreted], minlength=report_count)
    return Facts(
        rows=rows,
        cell=cell_of_row,
        operator=layout.of_cells("operator"),
        host=layout.hosts,
        sites=add_up(site),
        own_sites=add_up(own_site),
        versions=add_up(version),
        own_versions=Groups(own, counts),
        version_keys=version_keys,
        own_version_keys=own_keys,
        version_of_own=version,
        reports=Groups(layout.of_report[at], reports.astype(np.float64)),
        network_of_report=layout.network_of_report,
        days=lay(layout.sites_and_operators, counted),
        routes=lay(layout.routes, interpreted & (layout.hosts > 0)[cell]),
        cell_days=lay(np.arange(len(layout.cells)), np.zeros(len(state), bool)),
        operator_count=layout.operator_count,
        release_count=layout.release_count,
        operators=np.unique(operator[counts > 0]),
        site_count=len(np.unique(site[counts > 0])),
    )
