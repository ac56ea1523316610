"""Is the device well? Sessions whose failures say nothing about the sites.

A dead link, a captive portal, an antivirus that breaks every handshake: what such a device fails
on, others reach. So a session is held against what *other* networks reached at that time; a network
whose tests are mostly one person's must not say by itself what is normal.
"""

from collections.abc import Collection

import duckdb

from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries

#: A name is normally reached where this share of the other networks mostly reached it ...
_REACHING_SHARE = 0.8
#: ... within so many days, if two networks tested it there in as many sessions as a state needs;
#: else within more.
_NEAR_DAYS, _FAR_DAYS = 3, 28
#: What the network's own working sessions of so many days around miss as well may be blocked there.
_OWN_DAYS = 7

_QUERIES = read_queries(__file__)
#: What stays of the steps, in order; the others are on the way.
_BROKEN_SESSIONS = pick_queries(_QUERIES, "lost_sessions", "mistimed_sessions", "broken_sessions")
_SEEN = {name: query for name, query in _QUERIES.items() if name not in _BROKEN_SESSIONS}


def find_broken_sessions(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    place: str,
    *,
    is_pooled: bool,
    speaking: Collection[int] | None = None,
) -> None:
    """Create ``broken_sessions`` from ``first_reading``.

    One row per session and network, with the names that it failed on.

    Args:
        connection: finds ``first_reading``, ``rules`` and ``features``.
        thresholds: ``broken_names, broken_share``, and the floor, which makes a network speak.
        place: the catalog in which it is made.
        is_pooled: false leaves it empty, since one measurement shows none of this.
        speaking: the networks that may speak for others; without them all.
    """
    given = {
        **vars(thresholds),
        "speaking": None if speaking is None else sorted(speaking),
        "reaching_share": _REACHING_SHARE,
        "near_days": _NEAR_DAYS,
        "far_days": _FAR_DAYS,
        "own_days": _OWN_DAYS,
    }
    create_tables(connection, _SEEN, given, is_filled=is_pooled)
    create_tables(connection, _BROKEN_SESSIONS, given, place, is_filled=is_pooled)
