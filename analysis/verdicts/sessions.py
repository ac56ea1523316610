"""Sessions: the measurements of a site in one run, which are the unit of evidence.

One person may run hundreds of tests a day, and send each of them many times. A run (see
``store.runs``; its number is the column ``session``) is the nearest to an independent observation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Self

import duckdb
import pandas as pd
import pyarrow as pa

from analysis.outcomes.features import ROAMING
from analysis.outcomes.outcomes import Outcomes
from analysis.outcomes.steps import create_tables, create_type, keep_table
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries
from analysis.store.receipt import RECEIVED_DAY
from analysis.store.stage_tables import Tables
from analysis.verdicts.together import CHANCE, SHARE, fail_alone

#: Results of a session. ``unclear`` (the site failed, and no rule explains why) and ``none`` (no
#: measurement can be interpreted) are both *unknown* in the published tables.
CLASSES = ("blocked", "down", "ok", "unclear", "none")
#: Their indices.
BLOCKED, DOWN, OK, UNCLEAR, NONE = range(len(CLASSES))
#: Kinds of failure of a blocked session: a trace that only a network leaves (*mark*); else the step
#: that failed, with or without an answer (*sent*, *silent*). The steps are the lookup, the
#: connection, and the handshake or request, which both contain the site's name. Sessions of two
#: kinds are not evidence of the same block. A failed lookup that does not report the name as
#: missing is silent.
KINDS = ("mark", "dns_sent", "dns_silent", "tcp_sent", "tcp_silent", "name_sent", "name_silent")

#: A site is judged by the kind of input that mostly fails if so few failures of the other have at
#: most this probability. This decides what is compared, and accuses nobody.
_DIVIDING_CHANCE = 0.05

_QUERIES = read_queries(__file__)
#: Views of ``Sessions``: name → query.
SESSION_VIEWS = pick_queries(_QUERIES, "heard_sessions")
_FIRST_STEPS = pick_queries(_QUERIES, "classed_sessions", "resolver_cells")
_STEPS = pick_queries(_QUERIES, "sessions", "site_networks", "networks")


@dataclass(frozen=True)
class Operators:
    """Operators of the networks of a country.

    Attributes:
        domestic_asns: access networks, whose resolvers their subscribers use by default.
        names: operator of each network; a network without one is its own operator.
    """

    domestic_asns: frozenset[int]
    names: Mapping[int, str]

    @classmethod
    def of(cls, networks: pd.DataFrame) -> Self:
        """Return the operators of ``networks`` (``probe_asn, operator, is_domestic``)."""
        domestic = networks.loc[networks["is_domestic"].astype(bool), "probe_asn"]
        names = dict(zip(map(int, networks["probe_asn"]), networks["operator"], strict=True))
        return cls(frozenset(map(int, domestic)), names)


class Sessions(Outcomes):
    """Sessions of sites, a view of those that are evidence, and the outcomes.

    ``sessions``: one row per ``domain, probe_asn, session``, with the ``day`` and ``time`` at which
    it first tested the site, the ``received_day`` of its run, its ``class`` (``CLASSES``), whether
    anything could be read (``is_scored``), whether the site refused (``is_refused``), and of a
    blocked one its ``kind`` (``KINDS``) and whether the lookup failed (``is_dns``). ``is_asked``:
    it tested the kind of input that the pair is judged by. ``is_speaking``: it used a resolver that
    is typical of the network. ``is_heard``: it is evidence about the network.

    ``heard_sessions``: those that are evidence.

    ``divided_pairs``: ``domain, probe_asn, is_https``, the kind of input that fails alone.

    ``site_networks``: the network that hosts each site, ``site_asn``.

    ``networks``: ``probe_asn``, its ``network`` (a number from 0), ``operator`` (a number: networks
    of one operator share it), ``is_domestic``, and ``is_witness``, whether other networks are
    compared with it: an access network with sessions and days enough for a state. One row per
    network with a session.
    """

    @classmethod
    def beside(cls, outcomes: Tables, catalog: str) -> Self:
        """Return the tables that ``add_sessions`` makes in a catalog."""
        views = {**outcomes.views, **SESSION_VIEWS}
        return cls((catalog, *outcomes.catalogs), views)

    def of_addresses(self) -> Self:
        """Return the tables of shared addresses, which are beside those of web sites."""
        return type(self)((f"{self.catalogs[0]}.addresses", *self.catalogs), self.views)


def add_sessions(
    connection: duckdb.DuckDBPyConnection,
    outcomes: Outcomes,
    operators: Operators,
    thresholds: Thresholds,
    catalog: str,
    rows: str = "observations",
) -> Sessions:
    """Create the sessions of sites from the outcomes of measurements.

    Args:
        connection: to all tables.
        outcomes: of web sites, or of parts of tests.
        operators: of the networks that measured.
        thresholds: ``floor_sessions`` and ``floor_days``, from which the network's own resolver is
            typical.
        catalog: the catalog in which they are made.
        rows: the table of the measurements, with their runs and receipt.
    """
    sessions, numbers = Sessions.beside(outcomes, catalog), vars(thresholds)
    with sessions.opened(connection) as opened:
        asns = pa.array(sorted(operators.domestic_asns), pa.uint32())
        keep_table(opened, "domestic_resolvers", pa.table({"asn": asns}), catalog)
        create_type(opened, "session_class", str(CLASSES), catalog)
        create_type(opened, "failure_kind", str(KINDS), catalog)
        create_tables(opened, {"roaming_runs": ROAMING}, {**numbers, "rows": "outcomes"}, catalog)
        received = _QUERIES["received_runs"].format(received_day=RECEIVED_DAY, rows=rows)
        create_tables(opened, {"received_runs": received}, {})
        create_tables(opened, pick_queries(_QUERIES, "session_measurements"), {})
        _divide_inputs(opened, thresholds.floor_sessions, catalog)
        names = pd.DataFrame(operators.names.items(), columns=["probe_asn", "name"])
        opened.register("operator_names", names.astype({"probe_asn": "uint32", "name": "str"}))
        create_tables(opened, _FIRST_STEPS, numbers)
        create_tables(opened, _STEPS, numbers, catalog)
    return sessions


def _divide_inputs(
    connection: duckdb.DuckDBPyConnection, floor_sessions: int, catalog: str
) -> None:
    """Create ``divided_pairs``: the pairs in which one kind of input fails alone, and which.

    One row is one ``domain, probe_asn``, with ``is_https``, whether it is ``https://``; and how
    many forged failures of the other kind would put them together (``to_unite``).
    """
    counted = connection.execute(_QUERIES["input_counts"], {"floor_sessions": floor_sessions})
    divided = []
    for domain, probe_asn, http_failures, http_sessions, failures, sessions in counted.fetchall():
        parts = {
            False: (http_failures, http_sessions),
            True: (failures - http_failures, sessions - http_sessions),
        }
        for is_https, (own, own_total) in parts.items():
            # a block of some months leaves most sessions of a year open, and must be plainer
            chance = _DIVIDING_CHANCE if 2 * own > own_total else 1 / CHANCE
            if fail_alone(own, own_total, failures, sessions, chance):
                divided.append((domain, probe_asn, is_https, floor(own / SHARE) - failures + 1))
    table = pd.DataFrame(divided, columns=["domain", "probe_asn", "is_https", "to_unite"])
    connection.register(
        "registered_inputs",
        table.astype({"probe_asn": "uint32", "is_https": "bool", "to_unite": "int64"}),
    )
    query = "SELECT * REPLACE (domain::host_name AS domain) FROM registered_inputs"
    create_tables(connection, {"divided_pairs": query}, {}, catalog)
