"""When a network's behaviour towards a site changed.

A block imposed in the middle of a period, lifted before its end, or imposed twice must come out
with those dates. The days of one site on one network are cut into the stretches that explain
them best: the exact optimum of a piecewise-constant multinomial model (optimal partitioning,
Jackson et al. 2005), each cut paid for with ``penalty × log(sessions)``.
"""

from collections.abc import Iterable
from itertools import pairwise

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from analysis.outcomes.macros import keep_table
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.changepoints import segment, segment_cost
from analysis.vocabulary import LISTED

#: Columns of what ``_behaviours`` returns, and where two of them stand.
_BEHAVIOURS = [
    "ok_sessions", "blocked_sessions", "down_sessions", "unclear_sessions", "artefact_sessions",
]  # fmt: skip
_BLOCKED, _ARTEFACT = 1, 4
CELL = ["domain", "probe_asn"]
VIEW = ["via", *CELL]
INTERVAL = [*VIEW, "interval"]

# Only where failing sessions would meet the floor, and something else was seen as well, can a
# change matter; the rest is one interval.
_CHANGING_DAYS = """
WITH cells AS (
  SELECT via, domain, probe_asn, sum(ok_sessions) AS ok, sum(blocked_sessions) AS blocked,
    sum(down_sessions) AS down, sum(unclear_sessions) AS unclear
  FROM session_days GROUP BY ALL
), changing AS (
  FROM cells WHERE blocked + down + unclear >= $floor_sessions
    AND (ok > 0)::INTEGER + (blocked > 0)::INTEGER + (down > 0)::INTEGER
      + (unclear > 0)::INTEGER > 1
)
SELECT via::VARCHAR AS via, domain::VARCHAR AS domain, probe_asn, day, ok_sessions,
  blocked_sessions, down_sessions, unclear_sessions, artefact_sessions
FROM session_days SEMI JOIN changing USING (via, domain, probe_asn)
ORDER BY via, domain, probe_asn, day
"""

_INTERVAL_DAYS = """
CREATE OR REPLACE TEMP TABLE interval_days AS
WITH cuts AS (
  SELECT via::view_name AS via, domain::host_name AS domain, probe_asn, interval, since, until
  FROM cuts_at_hand
)
SELECT d.*, coalesce(c.interval, 0)::USMALLINT AS interval
FROM session_days d LEFT JOIN cuts c ON c.via = d.via AND c.domain = d.domain
  AND c.probe_asn = d.probe_asn AND d.day BETWEEN c.since AND c.until
"""

_INTERVAL_PARTS = r"""
CREATE OR REPLACE TEMP TABLE interval_parts AS
SELECT via, domain, probe_asn, interval, part, min(day) AS since, max(day) AS until,
  sum(session_count)::BIGINT AS session_count, sum(COLUMNS('_sessions$'))::BIGINT AS '\0',
  count(*) AS day_count,
  count(*) FILTER (ok_sessions > 0) AS ok_days,
  count(*) FILTER (blocked_sessions > 0) AS blocked_days,
  count(*) FILTER (down_sessions > 0) AS down_days,
  count(*) FILTER (unclear_sessions > 0) AS unclear_days,
  count(*) FILTER (blocked_sessions + down_sessions + unclear_sessions > 0) AS failing_days,
  max(day) FILTER (blocked_sessions + down_sessions + ok_sessions > 0) AS last_known,
  min(day) FILTER (ok_sessions > 0) AS first_open
FROM interval_days JOIN period_parts ON day >= part AND day < next_part
GROUP BY via, domain, probe_asn, interval, part
"""


def add_period_parts(connection: duckdb.DuckDBPyConnection, periods: Iterable[Period]) -> None:
    """Create ``period_parts``: one row a stretch of time that no period's edge divides.

    ``part`` is its first day, ``next_part`` the first day of the one after it.
    """
    edges = sorted({edge for period in periods for edge in (period.since, period.until)})
    part, next_part = pa.array(edges[:-1], pa.date32()), pa.array(edges[1:], pa.date32())
    rows = pa.table({"part": part, "next_part": next_part})
    keep_table(connection, "period_parts", rows)


def add_intervals(
    connection: duckdb.DuckDBPyConnection, periods: Iterable[Period], thresholds: Thresholds
) -> None:
    """Number the intervals of steady behaviour, and sum them up by part of the time.

    ``interval_days``: ``session_days``, which it replaces, with ``interval``, which counts from 0
    in time order within the cell's view.

    ``interval_parts``: one row per ``via, domain, probe_asn, interval`` and ``part`` (see
    ``add_period_parts``), with the first and last tested day (``since, until``), the sums of
    ``interval_days``, the days that they lie on (``day_count, ok_days`` …), the last day on which
    anything could be interpreted (``last_known``) and the first one with access (``first_open``).

    Args:
        connection: holds ``session_days``, see ``sessions.add_sessions``.
        periods: what will be asked for.
        thresholds: ``change_penalty`` and the evidence floor.
    """
    floor = {"floor_sessions": thresholds.floor_sessions}
    days = connection.execute(_CHANGING_DAYS, floor).df()
    connection.register("cuts_at_hand", _cut(days, thresholds))
    connection.execute(_INTERVAL_DAYS)
    connection.unregister("cuts_at_hand")
    connection.execute("DROP TABLE session_days")
    add_period_parts(connection, periods)
    connection.execute(_INTERVAL_PARTS)


def _cut(days: pd.DataFrame, thresholds: Thresholds) -> pa.Table:
    """Where each interval of a site on a network begins and ends, for those that have several.

    ``days`` is sorted by view and day. One row is one interval: ``via, domain, probe_asn,
    interval`` and its first and last tested day, ``since`` and ``until``.
    """
    behaviours = _behaviours(days)
    keys = days[VIEW]
    starts = np.flatnonzero((keys != keys.shift()).any(axis=1).to_numpy())
    intervals: list[tuple[int, int, int]] = []  # number, first row, last row
    cuts = segment(behaviours, starts, thresholds.change_penalty)
    edges = [*starts.tolist(), len(days)]
    for (start, end), ranges in zip(pairwise(edges), cuts, strict=True):
        ranges = _without_short_openings(ranges, behaviours[start:end], thresholds)
        if len(ranges) > 1:
            intervals += [
                (n, start + left, start + right - 1) for n, (left, right) in enumerate(ranges)
            ]
    number, first, last = np.array(intervals, np.int64).reshape(-1, 3).T
    rows = days[[*VIEW, "day"]].iloc[first].reset_index(drop=True)
    return pa.table(
        {
            "via": pa.array(rows["via"], pa.string()),
            "domain": pa.array(rows["domain"], pa.string()),
            "probe_asn": pa.array(rows["probe_asn"], pa.uint32()),
            "interval": pa.array(number, pa.int32()),
            "since": pa.array(rows["day"], pa.date32()),
            "until": pa.array(days["day"].iloc[last], pa.date32()),
        }
    )


def _behaviours(counts: pd.DataFrame) -> NDArray[np.int64]:
    """Sessions by behaviour: *ok*, *blocked* without an artefact, *down*, *unclear*, and artefacts.

    What only a block leaves is another behaviour than failures that chance has as well.
    """
    bare = counts["blocked_sessions"] - counts["artefact_sessions"]
    return counts[_BEHAVIOURS].assign(blocked_sessions=bare).to_numpy(np.int64)


def _without_short_openings(
    ranges: list[tuple[int, int]], counts: NDArray[np.int64], thresholds: Thresholds
) -> list[tuple[int, int]]:
    """Join what a stretch below the evidence floor would tear apart.

    Two sessions on one day that claim access in the middle of a long block are no lifting of it.
    Where the block before and the one after differ, the cut between them stays. ``counts``: the
    series' days by behaviour.
    """
    joined: list[tuple[int, int]] = []
    for left, right in ranges:
        joined.append((left, right))
        while len(joined) >= 3 and _is_torn(joined[-3:], counts, thresholds):
            joined[-3:] = _mended(joined[-3:], counts, thresholds)
    return joined


def _is_torn(
    ranges: list[tuple[int, int]], counts: NDArray[np.int64], thresholds: Thresholds
) -> bool:
    """Whether the middle one of three stretches is too thin to part two blocked ones."""
    sums = [counts[left:right].sum(axis=0) for left, right in ranges]
    before, middle, after = (
        2 * int(one[[_BLOCKED, _ARTEFACT]].sum()) > int(one.sum()) for one in sums
    )
    left, right = ranges[1]
    # A session on each of the floor's days is enough to part: it moves dates, and no state.
    is_thin = min(sums[1].sum(), right - left) < thresholds.floor_days
    return before and after and not middle and bool(is_thin)


def _mended(
    ranges: list[tuple[int, int]], counts: NDArray[np.int64], thresholds: Thresholds
) -> list[tuple[int, int]]:
    """Three stretches without the middle one: joined, or cut before or after it."""
    (start, _), (left, right), (_, end) = ranges
    price = thresholds.change_penalty * np.log(max(2, int(counts.sum())))
    ways = [[(start, end)], [(start, left), (left, end)], [(start, right), (right, end)]]
    return min(
        ways,
        key=lambda way: (
            len(way) * price + sum(float(segment_cost(counts[a:b].sum(axis=0))) for a, b in way)
        ),
    )


def sessions_to_merge(intervals: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """How many more sessions it takes, at least, to join each interval to one or both beside it.

    A session adds at most 1 + log(sessions) to what a stretch costs alone, and takes nothing from
    what the stretches cost together: so many times does that go into what the cuts gain beyond
    their price.

    Args:
        intervals: one row per interval, sorted by ``via, domain, probe_asn, interval``, with
            ``ok_sessions, blocked_sessions, down_sessions, unclear_sessions, artefact_sessions``.
        thresholds: ``change_penalty``.

    Returns:
        Whole numbers from 1; without end where a cell has one interval.
    """
    counts = _behaviours(intervals)
    cell = intervals.groupby(VIEW, sort=False).ngroup().to_numpy()
    total = pd.Series(counts.sum(axis=1)).groupby(cell).transform("sum").to_numpy()
    price = thresholds.change_penalty * np.log(np.maximum(total, 2))
    fewest = np.full(len(intervals), np.inf)
    for length in (2, 3):
        if len(intervals) < length:
            break
        windows = np.lib.stride_tricks.sliding_window_view(counts, length, axis=0)
        joined = windows.sum(axis=-1)
        alone = segment_cost(np.moveaxis(windows, -1, -2)).sum(axis=-1)
        starts = np.arange(len(windows))
        gain = segment_cost(joined) - alone - (length - 1) * price[starts]
        needed = np.floor(np.maximum(gain, 0) / (1 + np.log(np.maximum(joined.sum(axis=1), 1)))) + 1
        needed[cell[starts] != cell[starts + length - 1]] = np.inf
        for offset in range(length):
            np.minimum.at(fewest, starts + offset, needed)
    return pd.Series(fewest, index=intervals.index)


# One row per listed interval, with the tested days around and inside it.
_INTERVAL_TABLE = """
WITH stretches AS (
  SELECT via::view_name AS via, domain::host_name AS domain, * EXCLUDE (via, domain) FROM listed
), tested AS (
  SELECT domain, probe_asn, day, ok_sessions > 0 AS is_open
  FROM interval_days SEMI JOIN stretches USING (via, domain, probe_asn)
), gaps AS (
  SELECT s.domain, s.probe_asn, s.blocked_from,
    date_diff('day', lag(t.day) OVER inside, t.day) AS gap_days
  FROM stretches s JOIN tested t ON t.domain = s.domain AND t.probe_asn = s.probe_asn
    AND t.day BETWEEN s.blocked_from AND s.blocked_until
  WINDOW inside AS (PARTITION BY s.domain, s.probe_asn, s.blocked_from ORDER BY t.day)
), longest AS (
  SELECT domain, probe_asn, blocked_from, max(gap_days) AS longest_gap_days FROM gaps GROUP BY ALL
), around AS (
  SELECT s.domain, s.probe_asn, s.blocked_from,
    max(t.day) FILTER (t.is_open AND t.day < s.blocked_from) AS last_seen_open,
    min(t.day) FILTER (t.is_open AND t.day > s.blocked_until) AS first_seen_open_again
  FROM stretches s JOIN tested t USING (domain, probe_asn) GROUP BY ALL
)
SELECT domain::VARCHAR AS domain, probe_asn, strftime(blocked_from, '%Y-%m-%d') AS blocked_from,
  mechanism, coalesce(strftime(last_seen_open, '%Y-%m-%d'), '') AS last_seen_open,
  strftime(blocked_until, '%Y-%m-%d') AS blocked_until,
  coalesce(strftime(first_seen_open_again, '%Y-%m-%d'), '') AS first_seen_open_again,
  blocked_measurements AS measurement_count, blocked_sessions AS session_count,
  blocked_days AS day_count, coalesce(longest_gap_days, 0) AS longest_gap_days
FROM stretches JOIN around USING (domain, probe_asn, blocked_from)
  JOIN longest USING (domain, probe_asn, blocked_from)
ORDER BY 1, 2, 3
"""


def interval_table(connection: duckdb.DuckDBPyConnection, judged: pd.DataFrame) -> pd.DataFrame:
    """The contract's ``blocking_intervals``: one row per listed interval of a site on a network.

    Args:
        connection: holds ``interval_days``, for the days on which the site was seen open around.
        judged: one row per interval with ``state, mechanism, blocked_from, blocked_until,
            blocked_sessions, blocked_days, blocked_measurements``.
    """
    columns = [
        *VIEW, "mechanism", "blocked_from", "blocked_until", "blocked_measurements",
        "blocked_sessions", "blocked_days",
    ]  # fmt: skip
    listed = judged.loc[judged["state"].isin(LISTED), columns]
    dates = {
        name: listed[name].astype("datetime64[s]") for name in ("blocked_from", "blocked_until")
    }
    counts = {"blocked_measurements": listed["blocked_measurements"].astype("int64")}
    connection.register("listed", listed.assign(**dates, **counts))
    table = connection.execute(_INTERVAL_TABLE).df()
    connection.unregister("listed")
    return table
