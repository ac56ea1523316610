"""Which endpoints of an app were cut off, and networks that cut off some while most are reached.

A part of a test is judged as a whole, by most of its endpoints. Where a network steadily misses
a minority, each endpoint is judged by itself, in the place of a site; what is listed of two
addresses or more is a block *in part*.
"""

from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED

#: Endpoints that a cell of a table names; real parts have some dozens.
_MOST_NAMED = 24
_LONGEST = 64
#: Addresses that have to be missed: where it is one alone, its route may be lost.
_LEAST_ADDRESSES = 2

IN_PART = "in part: most endpoints are reached"
ONE_ADDRESS = "one address is missed for long, the others are reached: its route may be lost"

# How often each endpoint of a part was tried and cut off while the part was.
_TRIED = """
SELECT endpoint, count(*) AS tried_count, count(*) FILTER (is_cut) AS cut_count
FROM messaging_endpoint JOIN messaging m USING (object_key, line_number)
WHERE m.test_name = $test_name AND part = $part AND probe_asn = $probe_asn
  AND measurement_start_time BETWEEN $since::TIMESTAMP AND $until::TIMESTAMP
  AND ($is_partial OR (object_key, line_number, part) IN (
    SELECT (object_key, line_number, part) FROM messaging_outcome WHERE class = 'blocked'))
GROUP BY endpoint ORDER BY cut_count DESC, endpoint
"""


@dataclass(frozen=True)
class Partial:
    """What is cut off in part.

    Attributes:
        intervals: one row a stretch: the columns of ``Judgement.intervals``, and ``endpoints``,
            those that are listed.
        verdicts: one row a part, network and period, as ``Judgement.verdicts``: of the endpoint
            that was cut off most often.
        single: ``(domain, probe_asn)`` of parts of which one address alone is missed.
    """

    intervals: pd.DataFrame
    verdicts: pd.DataFrame
    single: frozenset[tuple[str, int]]


def sum_up_endpoints(judgement: Judgement) -> Partial:
    """Put the verdicts on endpoints together, part by part.

    Args:
        judgement: of ``app_verdicts.messaging.judge_endpoints``.
    """
    intervals = _split_names(judgement.intervals)
    groups = [
        _join_stretches(rows)
        for _, cell in intervals.groupby(["domain", "probe_asn"])
        for rows in _overlapping(cell)
    ]
    joined = pd.DataFrame(groups, columns=[*intervals.columns, "endpoints"])
    is_some = joined["endpoints"].map(_count_addresses) >= _LEAST_ADDRESSES
    some, one = joined[is_some], joined[~is_some]
    verdicts = _split_names(judgement.verdicts)
    listed = verdicts[verdicts["state"].isin(LISTED)].sort_values(
        ["blocked_session_count", "endpoint"], ascending=[False, True]
    )
    rows = [
        {**dict(cell.iloc[0]), "note": _join_notes(cell["note"].iloc[0])}
        for (domain, asn, _), cell in listed.groupby(["domain", "probe_asn", "period"])
        if _count_addresses(cell["endpoint"]) >= _LEAST_ADDRESSES
        and ((some["domain"] == domain) & (some["probe_asn"] == asn)).any()
    ]
    partial = {(domain, int(asn)) for domain, asn in some[["domain", "probe_asn"]].to_numpy()}
    single = {(domain, int(asn)) for domain, asn in one[["domain", "probe_asn"]].to_numpy()}
    return Partial(
        some.reset_index(drop=True), pd.DataFrame(rows, columns=verdicts.columns),
        frozenset(single - partial),
    )  # fmt: skip


def _join_notes(note: str) -> str:
    return "; ".join(filter(None, [note, IN_PART]))


def _split_names(table: pd.DataFrame) -> pd.DataFrame:
    """``telegram/app/149.154.175.50:443`` is an endpoint of ``telegram/app``."""
    names = table["domain"].astype("str").str.extract(r"^([^/]*/[^/]*)/(.*)$")
    return table.assign(domain=names[0].astype("str"), endpoint=names[1].astype("str"))


def _count_addresses(endpoints: Any) -> int:
    """How many hosts some endpoints lie on: two ports of one are one."""
    return len({endpoint.rpartition(":")[0] or endpoint for endpoint in endpoints})


def _overlapping(cell: pd.DataFrame) -> list[pd.DataFrame]:
    """The stretches of endpoints of one part and network, those that overlap together."""
    ordered = cell.sort_values(["blocked_from_time", "endpoint"])
    reached = ordered["blocked_until_time"].cummax().shift()
    group = (ordered["blocked_from_time"] > reached).cumsum()
    return [rows for _, rows in ordered.groupby(group)]


def _join_stretches(rows: pd.DataFrame) -> dict[str, Any]:
    """One stretch of several endpoints: from the first failure of any to the last.

    Sessions and chance are those of the endpoint that was cut off most often, which all others
    were cut off beside.
    """
    most = rows.sort_values(["session_count", "endpoint"], ascending=[False, True]).iloc[0]
    opened = rows["first_seen_open_again_time"]
    return {
        **dict(most),
        **{name: rows[name].min() for name in ("blocked_from", "blocked_from_time")},
        **{name: rows[name].max() for name in ("blocked_until", "blocked_until_time")},
        # all of them are open again once the last one is
        "first_seen_open_again_time": "" if (opened == "").any() else opened.max(),
        "schedule": most["schedule"] if rows["schedule"].nunique() == 1 else "",
        "endpoints": tuple(sorted(rows["endpoint"])),
    }  # fmt: skip


def count_endpoints(
    connection: duckdb.DuckDBPyConnection, stretch: dict[str, Any], *, is_partial: bool
) -> dict[str, Any]:
    """Which endpoints a stretch cut off, and of how many.

    An endpoint counts where it was tried in at least half of the tests that the most tried one
    was in: addresses come and go. It is cut off where it was in at least half of its tries.

    Args:
        connection: holds what ``outcomes.messaging.read_endpoints`` makes.
        stretch: ``test_name, part, probe_asn`` (a number), ``blocked_from_time,
            blocked_until_time``.
        is_partial: whether the part was mostly reached meanwhile; else its failures are asked.

    Returns:
        ``endpoint_count, cut_endpoint_count, cut_endpoints``, the latter joined by ``;``.
    """
    given = {
        "test_name": stretch["test_name"], "part": stretch["part"],
        "probe_asn": stretch["probe_asn"], "since": stretch["blocked_from_time"],
        "until": stretch["blocked_until_time"], "is_partial": is_partial,
    }  # fmt: skip
    tried = connection.execute(_TRIED, given).df()
    usual = tried[2 * tried["tried_count"] >= tried["tried_count"].max()]
    cut = usual.loc[2 * usual["cut_count"] >= usual["tried_count"], "endpoint"]
    named = sorted(name[:_LONGEST].replace(";", ",") for name in cut.head(_MOST_NAMED))
    return {
        "endpoint_count": len(usual), "cut_endpoint_count": len(cut),
        "cut_endpoints": ";".join(named),
    }  # fmt: skip
