"""What rates are learnt from: the sessions that fail, and how many were counted beside them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.sessions.columns import BLOCKED, DOWN, NONE, Places, SessionColumns, to_places
from analysis.sessions.series import Series

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """How many sessions were counted in each group.

    Attributes:
        of_row: the group of each row of ``Facts.rows``.
        sessions: the sessions counted in each group.
    """

    of_row: Places
    sessions: Floats

    def count(self, is_member: NDArray[np.bool_]) -> Floats:
        """How many rows of each group are members."""
        groups = self.of_row[is_member]
        return np.bincount(groups, minlength=len(self.sessions)).astype(np.float64)


@dataclass(frozen=True)
class Days:
    """The days of many things, laid one after the other on one line.

    The days of a thing follow each other, and those of the next thing are further away than any
    term looks: thing · ``width`` + day.

    Attributes:
        of_row: the place of each row of ``Facts.rows``.
        counted: the places of the sessions that were counted, in order.
        width: how many places a thing has.
    """

    of_row: Places
    counted: Places
    width: int

    def sums_around(
        self, hits: NDArray[np.bool_], out: NDArray[np.bool_],
        places: Iterable[Places], near: int,
    ) -> Iterator[tuple[Floats, Floats]]:  # fmt: skip
        """For each of ``places``: the hits on the days around them, and the sessions.

        Args:
            hits, out: which rows are failures, and which are taken out of what was counted.
        """
        failed, less = _sort(self.of_row[hits]), _sort(self.of_row[out])
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
        rows: what is heard of failing cells and the failures of the others, one row each: numbers
            for ``operator, kind`` and ``host`` (0 where nobody knows it), and ``is_failure,
            is_counted, is_domestic, teaches``.
        sites, versions: sessions that teach, by site, and by site and version of the probe.
        own_sites, own_versions: those of each operator of them.
        version_keys, own_version_keys: of each group what it is of, in order: site ·
            ``release_count`` + version, the oldest first; that · ``operator_count`` + operator.
        version_of_own: the group of ``versions`` of each of ``own_versions``.
        reports: all sessions of each network and report.
        network_of_report: the network of each of them, a number.
        cells: the rows by site and network; nothing is counted.
        days: sessions that teach, by site and operator: site · ``operator_count`` + operator.
        routes: all sessions, by hosting network and network.
        cell_days: the rows by site and network; nothing is counted.
        operators: those with sessions that teach.
        operator_count, release_count: how many operators and versions of the probe there are.
        site_count: how many sites have sessions that teach.
    """

    rows: pd.DataFrame
    sites: Groups
    own_sites: Groups
    versions: Groups
    own_versions: Groups
    version_keys: NDArray[np.int64]
    own_version_keys: NDArray[np.int64]
    version_of_own: NDArray[np.int64]
    reports: Groups
    network_of_report: NDArray[np.int64]
    cells: Groups
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
    is_domestic = layout.rows["is_domestic"].to_numpy(bool)
    interpreted = (state != DOWN) & (state != NONE)
    counted = interpreted & is_domestic & is_tested
    stray = np.flatnonzero((state == BLOCKED) & is_domestic & ~is_failing)
    told = series.sessions["place"].to_numpy()
    at = np.concatenate([told, stray])
    rows = pd.DataFrame({
        "operator": layout.rows["operator"].to_numpy()[at], "kind": sessions.kind[at],
        "host": layout.host_of_row[at], "is_failure": state[at] == BLOCKED,
        "is_counted": state[at] != DOWN, "is_domestic": is_domestic[at],
        "teaches": np.concatenate([is_domestic[told] & (state[told] != DOWN), is_tested[stray]]),
    })  # fmt: skip

    def count(group: Places, members: NDArray[np.bool_]) -> Groups:
        size = int(group.max(initial=-1)) + 1
        return Groups(group[at], np.bincount(group[members], minlength=size).astype(np.float64))

    def lay(place: Places, members: NDArray[np.bool_]) -> Days:
        return Days(place[at], _sort(place[members]), layout.width)

    # Added up over operators, versions or both, these are the sessions of all other groups.
    of_row, own_keys = layout.own_versions
    counts = np.bincount(of_row[counted], minlength=len(own_keys)).astype(np.float64)
    version_key, operator = np.divmod(own_keys, layout.operator_count)
    site = version_key // layout.release_count
    version, version_keys = pd.factorize(version_key)
    own_site, _ = pd.factorize(site * layout.operator_count + operator)

    def add_up(group: Places) -> Groups:
        sessions = np.bincount(group, counts, int(group.max(initial=-1)) + 1)
        return Groups(to_places(group)[of_row[at]], sessions.astype(np.float64, copy=False))

    nothing = np.zeros(len(state), bool)
    cell_days = Days(layout.days_of(layout.cell)[at], np.zeros(0, np.int64), layout.width)
    return Facts(
        rows=rows,
        sites=add_up(site),
        own_sites=add_up(own_site),
        versions=add_up(version),
        own_versions=add_up(np.arange(len(own_keys))),
        version_keys=version_keys,
        own_version_keys=own_keys,
        version_of_own=version,
        reports=count(layout.of_report, interpreted),
        network_of_report=layout.network_of_report,
        cells=count(layout.cell, nothing),
        days=lay(layout.site_days, counted),
        routes=lay(layout.route_days, interpreted & (layout.host_of_row > 0)),
        cell_days=cell_days,
        operator_count=layout.operator_count,
        release_count=layout.release_count,
        operators=np.unique(operator[counts > 0]),
        site_count=len(np.unique(site[counts > 0])),
    )
