"""What rates are learnt from: the sessions that fail, and how many were counted beside them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.verdicts.series import BLOCKED, DOWN, Series

Floats = NDArray[np.float64]

#: No term looks at days further away.
_FURTHEST = 15


@dataclass(frozen=True)
class Groups:
    """How many sessions were counted in each group.

    Attributes:
        of_row: the group of each row of ``Facts.rows``.
        sessions: the sessions counted in each group.
    """

    of_row: NDArray[np.int32]
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

    of_row: NDArray[np.int64]
    counted: NDArray[np.int64]
    width: int

    def sums_around(
        self, hits: NDArray[np.bool_], out: NDArray[np.bool_],
        places: Iterable[NDArray[np.int64]], near: int,
    ) -> Iterator[tuple[Floats, Floats]]:  # fmt: skip
        """For each of ``places``: the hits on the days around them, and the sessions.

        Args:
            hits, out: which rows are failures, and which are taken out of what was counted.
        """
        failed, less = np.sort(self.of_row[hits]), np.sort(self.of_row[out])
        for place in places:
            tested = _count_around(self.counted, place, near) - _count_around(less, place, near)
            yield _count_around(failed, place, near), tested


def _count_around(ordered: NDArray[np.int64], place: NDArray[np.int64], near: int) -> Floats:
    first = np.searchsorted(ordered, place - near, side="left")
    end = np.searchsorted(ordered, place + near, side="right")
    return (end - first).astype(np.float64)


# Sessions of the country's access networks that count. A cell that has too few to be judged does
# not teach: three failures there may be the block itself.
_COUNTED = """
CREATE OR REPLACE TEMP VIEW counted_sessions AS
SELECT s.domain, s.probe_asn, s.session, s.software, s.day, s.class, s.kind, n.operator
FROM sessions s JOIN networks n USING (probe_asn) SEMI JOIN tested_cells USING (domain, probe_asn)
WHERE n.is_domestic AND s.class IN ('blocked', 'ok', 'unclear')
"""

# The failures of cells in which too few fail for a series. Those of cells that are too thin teach
# about the probe all the same.
_STRAY_FAILURES = """
SELECT enum_code(domain)::INTEGER AS domain, network,
  enum_code(session)::INTEGER AS session, enum_code(software)::INTEGER AS software, day,
  enum_code(kind)::TINYINT AS kind, operator, t.domain IS NOT NULL AS teaches
FROM sessions s JOIN networks USING (probe_asn) LEFT JOIN tested_cells t USING (domain, probe_asn)
  ANTI JOIN failing_cells USING (domain, probe_asn)
WHERE class = 'blocked' AND is_domestic
"""

_SITES = """
SELECT enum_code(domain)::INTEGER AS domain, operator, count(*) AS sessions
FROM counted_sessions GROUP BY ALL
"""

_VERSIONS = """
SELECT enum_code(domain)::INTEGER AS domain, enum_code(software)::INTEGER AS software, operator,
  count(*) AS sessions
FROM counted_sessions SEMI JOIN failing_cells USING (domain) GROUP BY ALL
"""

_REPORTS = """
SELECT network, enum_code(session)::INTEGER AS session, count(*) AS sessions
FROM sessions JOIN networks USING (probe_asn)
WHERE class IN ('blocked', 'ok', 'unclear') GROUP BY ALL
"""

# Where each session lies, see ``Days``.
_ROUTES = """
SELECT (host * (SELECT count(*) FROM networks) + network) * $width + (day - $first) AS place
FROM sessions JOIN networks USING (probe_asn) JOIN site_networks USING (domain)
WHERE class IN ('blocked', 'ok', 'unclear')
"""

_DAYS = """
SELECT (enum_code(domain)::BIGINT * $operator_count + operator) * $width + (day - $first) AS place
FROM counted_sessions SEMI JOIN failing_cells USING (domain)
"""

_HOSTS = """
SELECT enum_code(domain)::INTEGER AS domain, host FROM site_networks
"""

_COUNTS = """
SELECT coalesce(max(operator), 0) + 1, count(*),
  coalesce((SELECT min(day) FROM sessions), DATE '1970-01-01'),
  coalesce((SELECT max(day) FROM sessions), DATE '1970-01-01')
FROM networks
"""


@dataclass(frozen=True)
class Facts:
    """What is known of the sessions.

    Attributes:
        rows: all sessions of failing cells and the failures of the others, one row each: numbers
            for ``domain, network, session, software, operator, kind`` and ``host`` (0 where
            nobody knows it), ``day``, and ``is_failure, is_counted, is_domestic, teaches``.
        sites, versions: sessions that teach, by site, and by site and version of the probe.
        own_sites, own_versions: those of each operator of them.
        reports: all sessions of each network and report.
        network_of_report: the network of each of them, a number.
        cells: the rows by site and network; nothing is counted.
        days: sessions that teach, by site and operator: site · ``operator_count`` + operator.
        routes: all sessions, by hosting network and network.
        cell_days: the rows by site and network; nothing is counted.
        operator_count, site_count: how many there are.
    """

    rows: pd.DataFrame
    sites: Groups
    own_sites: Groups
    versions: Groups
    own_versions: Groups
    reports: Groups
    network_of_report: NDArray[np.int64]
    cells: Groups
    days: Days
    routes: Days
    cell_days: Days
    operator_count: int
    site_count: int


def read_facts(connection: duckdb.DuckDBPyConnection, series: Series) -> Facts:
    """Read what rates are learnt from.

    Args:
        connection: holds what ``series.read_series`` makes.
        series: those of one kind of failure.
    """
    connection.execute(_COUNTED)
    rows = _read_rows(connection, series)
    sites, versions, reports = (
        connection.execute(query).df() for query in (_SITES, _VERSIONS, _REPORTS)
    )
    ((operators, networks, first, last),) = connection.execute(_COUNTS).fetchall()
    first, last = first - timedelta(_FURTHEST), last + timedelta(_FURTHEST)
    line = {"first": first, "width": (last - first).days + 1}
    day = (rows["day"].to_numpy().astype("datetime64[D]") - np.datetime64(first)).astype(np.int64)

    def places(name: str, other: str, others: int) -> NDArray[np.int64]:
        thing = rows[name].to_numpy(np.int64) * others + rows[other].to_numpy(np.int64)
        place: NDArray[np.int64] = thing * line["width"] + day
        return place

    def counted(query: str, **more: int) -> NDArray[np.int64]:
        return np.sort(connection.execute(query, line | more).fetchnumpy()["place"])

    nothing = rows.iloc[:0].assign(sessions=0)
    return Facts(
        rows=rows,
        sites=_group(sites, rows, "domain"),
        own_sites=_group(sites, rows, "domain", "operator"),
        versions=_group(versions, rows, "domain", "software"),
        own_versions=_group(versions, rows, "domain", "software", "operator"),
        reports=_group(reports, rows, "network", "session"),
        network_of_report=_find_networks(reports, rows),
        cells=_group(nothing, rows, "domain", "network"),
        days=Days(places("domain", "operator", operators),
                  counted(_DAYS, operator_count=operators), line["width"]),
        routes=Days(places("host", "network", networks), counted(_ROUTES), line["width"]),
        cell_days=Days(places("domain", "network", networks), np.zeros(0, np.int64), line["width"]),
        operator_count=operators,
        site_count=sites["domain"].nunique(),
    )  # fmt: skip


def _read_rows(connection: duckdb.DuckDBPyConnection, series: Series) -> pd.DataFrame:
    strays = connection.execute(_STRAY_FAILURES).df().assign(is_domestic=True)
    told = series.sessions[[*strays.columns.drop("teaches"), "class"]]
    told = told.assign(teaches=told["is_domestic"] & (told["class"] != DOWN))
    rows = pd.concat([told, strays.assign(**{"class": np.int8(BLOCKED)})], ignore_index=True)
    state = rows.pop("class")
    hosts = connection.execute(_HOSTS).df().set_index("domain")["host"]
    return rows.assign(
        is_failure=state == BLOCKED, is_counted=state != DOWN,
        host=rows["domain"].map(hosts).fillna(0).astype("int32"),
    )  # fmt: skip


def _number(
    counted: pd.DataFrame, rows: pd.DataFrame, *names: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same number, from 0, for the same values of some columns, in both frames."""
    number = np.zeros(len(counted) + len(rows), np.int64)
    for name in names:
        values = np.concatenate([counted[name].to_numpy(np.int64), rows[name].to_numpy(np.int64)])
        code, known = pd.factorize(values)
        number, _ = pd.factorize(number * len(known) + code)
    return number[: len(counted)], number[len(counted) :]


def _group(counted: pd.DataFrame, rows: pd.DataFrame, *names: str) -> Groups:
    """Group by some columns; ``counted`` has its ``sessions`` for values of them."""
    of_counted, of_row = _number(counted, rows, *names)
    count = int(max(of_counted.max(initial=-1), of_row.max(initial=-1))) + 1
    return Groups(
        of_row.astype(np.int32),
        np.bincount(of_counted, counted["sessions"], count).astype(np.float64),
    )


def _find_networks(reports: pd.DataFrame, rows: pd.DataFrame) -> NDArray[np.int64]:
    report = np.concatenate(_number(reports, rows, "network", "session"))
    network = np.zeros(int(report.max(initial=-1)) + 1, np.int64)
    network[report] = np.concatenate(_number(reports, rows, "network"))
    return network
