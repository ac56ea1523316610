"""Broken sessions, whose failures say nothing about the sites.

A device with a dead link, a captive portal or an antivirus that breaks every handshake fails on
sites that others reach. So a session is compared with what *other* networks reached at that time;
a network whose tests are mostly one person's is no measure of itself.
"""

from collections.abc import Collection

import duckdb

from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries

#: A name is normally reached where this share of the other networks mostly reached it ...
_REACHING_SHARE = 0.8
#: ... within the first number of days, if two networks tested it there in as many sessions as a
#: state needs; else within the second.
_NEAR_DAYS, _FAR_DAYS = 3, 28
#: A name that the network's working sessions within this many days also miss may be blocked there.
_OWN_DAYS = 2

_QUERIES = read_queries(__file__)
#: Steps whose tables are kept, in order; the others are temporary.
_BROKEN_SESSIONS = pick_queries(_QUERIES, "lost_sessions", "mistimed_sessions", "broken_sessions")
_TEMPORARY_STEPS = {name: query for name, query in _QUERIES.items() if name not in _BROKEN_SESSIONS}


def find_broken_sessions(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    catalog: str,
    *,
    is_pooled: bool,
    reference_asns: Collection[int] | None = None,
) -> None:
    """Create ``broken_sessions`` from ``first_reading``.

    One row per session and network, with the names that it failed on.

    Args:
        connection: finds ``first_reading``, ``rules`` and ``features``.
        thresholds: ``broken_names, broken_share``, and the floor for a reference network.
        catalog: the catalog in which it is made.
        is_pooled: false leaves it empty, since one measurement shows none of this.
        reference_asns: the networks by which others may be judged; by default all.
    """
    values = {
        **vars(thresholds),
        "reference_asns": None if reference_asns is None else sorted(reference_asns),
        "reaching_share": _REACHING_SHARE,
        "near_days": _NEAR_DAYS,
        "far_days": _FAR_DAYS,
        "own_days": _OWN_DAYS,
    }
    create_tables(connection, _TEMPORARY_STEPS, values, is_filled=is_pooled)
    create_tables(connection, _BROKEN_SESSIONS, values, catalog, is_filled=is_pooled)
