"""Sessions: the measurements of a site in one run, the unit that the evidence is counted in.

One person may run hundreds of tests a day, and send each of them many times. A run (see
``store.runs``; here its number is the column ``session``) is the best stand-in for an independent
witness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import duckdb
import pandas as pd
import pyarrow as pa

from analysis.outcomes.features import ROAMING
from analysis.outcomes.outcomes import Outcomes
from analysis.outcomes.steps import create_tables, create_type, create_views, keep_table
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries
from analysis.store.stage_tables import Tables

#: What a session shows of a site. ``unclear`` (not working, no rule says why) and ``none``
#: (nothing that can be interpreted) are both *unknown* in the published tables.
CLASSES = ("blocked", "down", "ok", "unclear", "none")
#: Their places.
BLOCKED, DOWN, OK, UNCLEAR, NONE = range(len(CLASSES))
#: How a blocked session failed: what only blocking leaves (a mark); else the act that failed, a
#: lookup, a connection, or the naming of the site in a handshake or a request (a box that reads
#: names cuts either), and whether somebody answered or nobody did. Sessions of two kinds do not
#: add up to one block. A lookup that fails without saying that the name is missing is silence.
KINDS = ("mark", "dns_sent", "dns_silent", "tcp_sent", "tcp_silent", "name_sent", "name_silent")

_QUERIES = read_queries(__file__)
#: How sessions are read, see ``Sessions``: name of the view → its query.
SESSION_VIEWS = pick_queries(_QUERIES, "told_sessions", "heard_sessions")
_STEPS = pick_queries(
    _QUERIES,
    *("sessions", "resolver_cells", "cleared_cells", "unheard_sessions"),
    *("site_networks", "networks"),
)


@dataclass(frozen=True)
class Operators:
    """Who runs the networks of a country.

    Attributes:
        domestic_asns: its access networks, whose resolvers its subscribers are given.
        names: who runs each network; one that is not there is its own operator.
    """

    domestic_asns: frozenset[int]
    names: Mapping[int, str]

    @classmethod
    def of(cls, networks: pd.DataFrame) -> Self:
        """Those of ``networks``: ``probe_asn`` (number), ``operator, is_domestic``."""
        domestic = networks.loc[networks["is_domestic"].astype(bool), "probe_asn"]
        names = dict(zip(map(int, networks["probe_asn"]), networks["operator"], strict=True))
        return cls(frozenset(map(int, domestic)), names)


class Sessions(Outcomes):
    """Runs of the probe, and which of them are heard, with the outcomes.

    ``sessions``: one row per ``domain, probe_asn, session``, with the ``day`` and ``time`` at
    which it first tested the site, its ``class`` (``CLASSES``), whether anything could be read
    (``is_scored``), whether the site refused (``is_refused``), and of a blocked one its ``kind``
    (``KINDS``) and whether the lookup failed (``is_dns``).

    ``told_sessions``: the same, with ``is_speaking``, whether they went through a resolver that
    answers for the network; ``is_heard``, whether they say something about it; and their ``place``,
    the row of ``sessions``. ``heard_sessions``: those that are heard.

    ``unheard_sessions``: ``domain, probe_asn, day, kind`` of the rest.

    ``site_networks``: the network that hosts each site, ``site_asn``.

    ``networks``: ``probe_asn``, its ``network`` (a number from 0), ``operator`` (a number: networks
    of one operator share it), ``is_domestic``, and ``is_witness``, whether it speaks for others: an
    access network with sessions and days enough for a state; of every network with a session.
    """

    @classmethod
    def beside(cls, outcomes: Tables, place: str) -> Self:
        """Those that ``add_sessions`` makes in a catalog."""
        views = {**outcomes.views, **SESSION_VIEWS}
        return cls((place, *outcomes.catalogs), views)


def add_sessions(
    connection: duckdb.DuckDBPyConnection,
    outcomes: Outcomes,
    operators: Operators,
    thresholds: Thresholds,
    place: str,
) -> Sessions:
    """Sum up the outcomes of each site in one run of the probe.

    Args:
        connection: to all tables.
        outcomes: of web sites, or of parts of tests.
        operators: of the networks that measured.
        thresholds: ``floor_sessions`` and ``floor_days``, from which on the own resolver speaks.
        place: the catalog in which they are made.
    """
    sessions, numbers = Sessions.beside(outcomes, place), vars(thresholds)
    with sessions.opened(connection) as opened:
        asns = pa.array(sorted(operators.domestic_asns), pa.uint32())
        keep_table(opened, "domestic_resolvers", pa.table({"asn": asns}), place)
        create_type(opened, "session_class", str(CLASSES), place)
        create_type(opened, "failure_kind", str(KINDS), place)
        create_tables(opened, {"roaming_runs": ROAMING}, {**numbers, "rows": "outcomes"}, place)
        create_views(opened, pick_queries(_QUERIES, "session_measurements"))
        names = pd.DataFrame(operators.names.items(), columns=["probe_asn", "name"])
        opened.register("operator_names", names.astype({"probe_asn": "uint32", "name": "str"}))
        create_tables(opened, _STEPS, numbers, place)
    return sessions
