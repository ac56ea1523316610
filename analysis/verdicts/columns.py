"""All sessions at hand, as columns of numbers in one order: what series and rates are counted from.

Whatever is counted by site, network, report or day finds its places once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.steps import create_views, read_type
from analysis.verdicts.sessions import CLASSES, SESSION_VIEWS, Sessions

Ints = NDArray[np.int64]
#: What is kept for as long as the sessions are, in four bytes where they are enough.
Places = NDArray[np.signedinteger[Any]]
Flags = NDArray[np.bool_]

#: Places in ``CLASSES``.
BLOCKED, DOWN, OK, UNCLEAR, NONE = range(len(CLASSES))

_ROWS = """
SELECT enum_code(domain)::INTEGER AS domain, probe_asn,
  session::INTEGER AS session, enum_code(software)::INTEGER AS software, time,
  (day - DATE '1970-01-01')::INTEGER AS day,
  enum_code(class)::TINYINT AS class, coalesce(enum_code(kind), -1)::TINYINT AS kind, is_dns,
  is_heard, is_speaking
FROM told_sessions
"""
#: Of these columns, those of ``SessionColumns``.
_SHOWN = ("class", "kind", "is_dns", "is_heard", "is_speaking")
_NETWORKS = """
SELECT probe_asn, network, operator, is_domestic, is_witness FROM networks ORDER BY probe_asn
"""
_RELEASE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")


@dataclass(frozen=True)
class Layout:
    """Where each of the sessions counts.

    Attributes:
        cells: one row a site on a network, sorted by both: numbers for ``domain, probe_asn,
            network, operator``, and ``is_domestic, is_witness``.
        cell: the cell of each session, its place in ``cells``.
        rows: one row a session, sorted by cell and time: numbers for ``session, software``;
            ``release``, the number of the software's version among all versions, from the oldest;
            ``time``; ``day``, counted from ``first_day``.
        first_day: the day numbered 0.
    """

    cells: pd.DataFrame
    cell: Places
    rows: pd.DataFrame
    first_day: np.datetime64

    def of_cells(self, name: str) -> NDArray[Any]:
        """A column of ``cells``."""
        return self.cells[name].to_numpy()

    @cached_property
    def _own_keys(self) -> tuple[Ints, Ints]:
        keys = _number_pairs(self.of_cells("domain").astype(np.int64), self.of_cells("operator"))
        names, number = np.unique(keys, return_inverse=True)
        return names, number

    @property
    def own_sites(self) -> Ints:
        """By cell: a number for the site and the network's operator."""
        return self._own_keys[1]

    def find_own_sites(self, site: Ints, operator: Ints) -> Ints:
        """The numbers of ``own_sites`` of some pairs that there are."""
        return np.searchsorted(self._own_keys[0], _number_pairs(site, operator))

    @cached_property
    def of_report(self) -> Places:
        """The report, on its network."""
        network = self.of_cells("network").astype(np.int64)[self.cell]
        return _number(network, self.rows["session"].to_numpy())

    @cached_property
    def network_of_report(self) -> Ints:
        network = np.zeros(int(self.of_report.max(initial=-1)) + 1, np.int64)
        network[self.of_report] = self.of_cells("network")[self.cell]
        return network


@dataclass(frozen=True)
class SessionColumns:
    """What all sessions show.

    Attributes:
        layout: where each of them counts.
        state: a place in ``CLASSES``.
        kind: of a blocked one a place in ``KINDS``, else −1.
        is_dns: its failures are mostly those of lookups.
        is_heard: it says something about the network.
        is_speaking: it went through a resolver that answers for the network.
    """

    layout: Layout
    state: NDArray[np.int8]
    kind: NDArray[np.int8]
    is_dns: Flags
    is_heard: Flags
    is_speaking: Flags

    @property
    def is_told(self) -> Flags:
        """Which sessions say anything of the site that is heard."""
        told: Flags = self.is_heard & (self.state != NONE)
        return told

    def count_cells(self, is_member: Flags) -> Ints:
        """How many sessions of each cell are members."""
        cells = self.layout.cell[is_member]
        return np.bincount(cells, minlength=len(self.layout.cells))

    def find_failing(self, floor_sessions: int) -> Flags:
        """The cells in which enough failed for a state other than ok."""
        failing: Flags = self.count_cells(self.is_told & (self.state != OK)) >= floor_sessions
        return failing


def read_sessions(connection: duckdb.DuckDBPyConnection, sessions: Sessions) -> SessionColumns:
    """Read all sessions."""
    with sessions.opened(connection) as opened:
        create_views(opened, SESSION_VIEWS)
        return _read_columns(opened)


def _read_columns(connection: duckdb.DuckDBPyConnection) -> SessionColumns:
    read = connection.execute(_ROWS).fetchnumpy()
    columns = {name: np.asarray(read.pop(name)) for name in list(read)}
    software = read_type(connection, "software_name").tolist()
    networks = connection.execute(_NETWORKS).df()
    domain, asn = columns.pop("domain"), columns.pop("probe_asn")
    place = np.searchsorted(networks["probe_asn"].to_numpy(), asn)
    key = domain.astype(np.int64) * len(networks) + place
    order = np.lexsort((columns["session"], columns["time"], key))
    key = key[order]
    is_first = np.diff(key, prepend=-1) != 0
    first = order[is_first]
    cells = networks.iloc[place[first]].reset_index(drop=True)
    cells.insert(0, "domain", domain[first])
    # Columns stay apart: to stack those of one type would copy them all.
    rows = pd.DataFrame({name: columns.pop(name)[order] for name in list(columns)}, copy=False)
    rows["release"] = _order_releases(software)[rows["software"].to_numpy()]
    shown = [rows.pop(name).to_numpy() for name in _SHOWN]
    day = rows["day"].to_numpy()
    first_day = int(day.min()) if len(day) else 0
    rows["day"] = day - np.int32(first_day)
    cell = to_places(np.cumsum(is_first) - 1)
    layout = Layout(cells, cell, rows, np.datetime64(first_day, "D"))
    return SessionColumns(layout, *shown)


def _order_releases(software: Sequence[str]) -> NDArray[np.int32]:
    """The place of each software's version among all of them, the oldest first.

    Platforms share the engine, and so its faults, by number. What has no number is oldest, by name.
    """
    found = [_RELEASE.search(name) for name in software]
    keys = [
        (tuple(map(int, one[0].split("."))), "") if one else ((), name)
        for name, one in zip(software, found, strict=True)
    ]
    places = {key: place for place, key in enumerate(sorted(set(keys)))}
    return np.array([places[key] for key in keys], np.int32)


def _number_pairs(first: Ints, second: Ints) -> Ints:
    pairs: Ints = (first << 32) + second
    return pairs


def _number(first: Ints, second: Ints) -> Places:
    """The same number, from 0, for the same pair."""
    number, _ = pd.factorize(_number_pairs(first, second))
    return to_places(number)


def to_places(numbers: Ints) -> Places:
    """The same numbers in four bytes, where these hold them."""
    return numbers.astype(np.int32) if numbers.max(initial=0) < 2**31 else numbers
