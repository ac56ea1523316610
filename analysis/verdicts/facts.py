"""What rates are learnt from: the sessions that fail, and how many were counted beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.macros import create_tables
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

    of_row: NDArray[np.int64]
    sessions: Floats

    def count(self, is_member: NDArray[np.bool_]) -> Floats:
        """How many rows of each group are members."""
        groups = self.of_row[is_member]
        return np.bincount(groups, minlength=len(self.sessions)).astype(np.float64)


@dataclass(frozen=True)
class DayGroups(Groups):
    """Groups of one thing and one day each, in order of both.

    Attributes:
        place: of each group on one line, on which the days of a thing follow each other, and those
            of the next thing are further away than any term looks.
        width: how many places a thing has.
        day: the place of each row's day among those of its thing.
        thing: what each row is of, a number.
    """

    place: NDArray[np.int64]
    width: int
    day: NDArray[np.int64]
    thing: NDArray[np.int64]

    def around(
        self, totals: tuple[Floats, Floats], place: NDArray[np.int64], near: int
    ) -> tuple[Floats, Floats]:
        """The sums of both ``totals`` (of all groups) over the days around each place."""
        left = np.searchsorted(self.place, place - near, side="left")
        right = np.searchsorted(self.place, place + near, side="right")
        first, second = (np.concatenate([[0.0], np.cumsum(total)]) for total in totals)
        return first[right] - first[left], second[right] - second[left]


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
SELECT enum_code(domain)::INTEGER AS domain, probe_asn::INTEGER AS probe_asn,
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
SELECT probe_asn::INTEGER AS probe_asn, enum_code(session)::INTEGER AS session,
  count(*) AS sessions
FROM sessions WHERE class IN ('blocked', 'ok', 'unclear') GROUP BY ALL
"""

# The network that hosts each site, and a number for it: the one that most measurements found it in.
_SITE_NETWORKS = """
WITH found AS (
  SELECT domain, mode(site_asn ORDER BY site_asn) AS site_asn
  FROM outcomes WHERE site_asn IS NOT NULL GROUP BY domain
)
SELECT *, dense_rank() OVER (ORDER BY site_asn) AS host FROM found
"""

_ROUTES = """
SELECT host, probe_asn::INTEGER AS probe_asn, day, count(*) AS sessions
FROM sessions JOIN site_networks USING (domain)
WHERE class IN ('blocked', 'ok', 'unclear') GROUP BY ALL
"""

_HOSTS = """
SELECT enum_code(domain)::INTEGER AS domain, host FROM site_networks
"""

_DAYS = """
SELECT enum_code(domain)::INTEGER AS domain, operator, day, count(*) AS sessions
FROM counted_sessions SEMI JOIN failing_cells USING (domain) GROUP BY ALL
"""


_OPERATORS = "SELECT coalesce(max(operator), 0) + 1 FROM networks"


@dataclass(frozen=True)
class Facts:
    """What is known of the sessions.

    Attributes:
        rows: all sessions of failing cells and the failures of the others, one row each: numbers
            for ``domain, probe_asn, session, software, operator, kind`` and ``host`` (0 where
            nobody knows it), ``day``, and ``is_failure, is_counted, is_domestic, teaches``.
        sites, versions: sessions that teach, by site, and by site and version of the probe.
        own_sites, own_versions: those of each operator of them.
        reports: all sessions of each network and report.
        network_of_report: the network of each of them, a number.
        cells: the rows by site and network; nothing is counted.
        days: sessions that teach, by site, operator and day; the place of a day is
            ``(site · operator_count + operator) · width + day``.
        routes: all sessions by hosting network, network and day.
        cell_days: the rows by site, network and day; nothing is counted.
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
    days: DayGroups
    routes: DayGroups
    cell_days: DayGroups
    operator_count: int
    site_count: int


def read_facts(connection: duckdb.DuckDBPyConnection, series: Series) -> Facts:
    """Read what rates are learnt from.

    Args:
        connection: holds what ``series.read_series`` makes.
        series: those of one kind of failure.
    """
    connection.execute(_COUNTED)
    create_tables(connection, {"site_networks": _SITE_NETWORKS}, {})
    rows = _read_rows(connection, series)
    queries = (_SITES, _VERSIONS, _REPORTS, _DAYS, _ROUTES)
    sites, versions, reports, days, routes = (connection.execute(query).df() for query in queries)
    ((operators,),) = connection.execute(_OPERATORS).fetchall()
    nothing = rows.iloc[:0].assign(sessions=0)
    return Facts(
        rows=rows,
        sites=_group(sites, rows, "domain"),
        own_sites=_group(sites, rows, "domain", "operator"),
        versions=_group(versions, rows, "domain", "software"),
        own_versions=_group(versions, rows, "domain", "software", "operator"),
        reports=_group(reports, rows, "probe_asn", "session"),
        network_of_report=_find_networks(reports, rows),
        cells=_group(nothing, rows, "domain", "probe_asn"),
        days=_group_days(days, rows, [
            frame["domain"].to_numpy(np.int64) * operators + frame["operator"].to_numpy()
            for frame in (days, rows)
        ]),
        routes=_group_days(routes, rows, _number(routes, rows, "host", "probe_asn")),
        cell_days=_group_days(nothing, rows, _number(nothing, rows, "domain", "probe_asn")),
        operator_count=operators,
        site_count=sites["domain"].nunique(),
    )  # fmt: skip


def _read_rows(connection: duckdb.DuckDBPyConnection, series: Series) -> pd.DataFrame:
    told = series.sessions.assign(
        teaches=series.sessions["is_domestic"] & (series.sessions["class"] != DOWN)
    )
    strays = connection.execute(_STRAY_FAILURES).df().assign(is_domestic=True)
    rows = pd.concat([told, strays], ignore_index=True)
    hosts = connection.execute(_HOSTS).df().set_index("domain")["host"]
    return rows.assign(
        is_failure=(rows["class"].fillna(BLOCKED) == BLOCKED).to_numpy(),
        is_counted=(rows["class"] != DOWN).to_numpy(),
        host=rows["domain"].map(hosts).fillna(0).astype("int64"),
    )


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
    return Groups(of_row, np.bincount(of_counted, counted["sessions"], count).astype(np.float64))


def _find_networks(reports: pd.DataFrame, rows: pd.DataFrame) -> NDArray[np.int64]:
    report = np.concatenate(_number(reports, rows, "probe_asn", "session"))
    network = np.zeros(int(report.max(initial=-1)) + 1, np.int64)
    network[report] = np.concatenate(_number(reports, rows, "probe_asn"))
    return network


def _group_days(
    counted: pd.DataFrame, rows: pd.DataFrame, things: Sequence[NDArray[np.int64]]
) -> DayGroups:
    """Group by day and by the things of both frames, which are numbers."""
    dates = [frame["day"].to_numpy().astype("datetime64[D]").astype(np.int64)
             for frame in (counted, rows)]  # fmt: skip
    day = np.concatenate(dates)
    day = day - day.min() + _FURTHEST if len(day) else day
    width = int(day.max(initial=0)) + _FURTHEST + 1
    thing = np.concatenate(things)
    place, group = np.unique(thing * width + day, return_inverse=True)
    of_counted, of_row = group[: len(counted)], group[len(counted) :]
    sessions = np.bincount(of_counted, counted["sessions"], len(place)).astype(np.float64)
    return DayGroups(of_row, sessions, place, width, day[len(counted) :], thing[len(counted) :])
