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

# What each measurement says of the site in its session, and how it failed. What fails at another
# site that the input redirects to is not evidence about this one.
_SESSION_MEASUREMENTS = """
SELECT domain, probe_asn, session, day, measurement_start_time AS time, software,
  resolver_asn = probe_asn AS is_via_own,
  resolver_asn IN (FROM domestic_resolvers) AS is_via_domestic,
  evidence = 'scored' AND r.probe_asn IS NULL AS is_scored,
  is_scored AND set_aside = 'geo_restricted' AS is_refused,
  CASE WHEN NOT is_scored THEN 'none'::session_class
    WHEN is_about_target OR class = 'unknown' THEN 'unclear'::session_class
    WHEN class = 'ok' THEN 'ok'::session_class
    WHEN class = 'down' THEN 'down'::session_class
    ELSE 'blocked'::session_class END AS shown,
  shown = 'blocked' AND starts_with(mechanism, 'dns.') AS is_dns,
  CASE WHEN shown = 'blocked' THEN (
    CASE WHEN is_artefact THEN 'mark'
      ELSE CASE split_part(mechanism, '.', 1) WHEN 'dns' THEN 'dns_' WHEN 'tcp' THEN 'tcp_'
             ELSE 'name_' END
        || CASE WHEN mechanism LIKE '%.timeout' OR rule_id = 'dns.failure' THEN 'silent'
             ELSE 'sent' END END
  )::failure_kind END AS kind
FROM outcomes LEFT JOIN roaming_runs r USING (session, probe_asn) WHERE domain <> ''
"""

# Most sessions tested the site once, and show what that measurement does. Of the others the class
# of most interpretable measurements counts; a tie is unknown.
_SESSIONS = """
WITH repeated AS MATERIALIZED (
  SELECT domain, probe_asn, session FROM outcomes WHERE domain <> ''
  GROUP BY domain, probe_asn, session HAVING count(*) > 1
), counted AS (
  SELECT domain, probe_asn, session, min(day) AS day, min(time) AS time, min(software) AS software,
    bool_and(is_via_own) AS is_via_own, bool_and(is_via_domestic) AS is_via_domestic,
    bool_or(is_scored) AS is_scored, bool_or(is_refused) AS is_refused,
    count(*) FILTER (shown = 'blocked') AS blocked, count(*) FILTER (shown = 'down') AS down,
    count(*) FILTER (shown = 'ok') AS ok, count(*) FILTER (shown = 'unclear') AS unclear,
    -- the kind of most failures; of several with as many, the first of ``KINDS``
    mode(kind ORDER BY kind) AS kind, 2 * count(*) FILTER (is_dns) > blocked AS is_dns
  FROM session_measurements SEMI JOIN repeated USING (domain, probe_asn, session)
  GROUP BY domain, probe_asn, session
)
SELECT domain, probe_asn, session, day, time, software, is_via_own, is_via_domestic, is_scored,
  is_refused, shown AS class, kind, is_dns
FROM session_measurements ANTI JOIN repeated USING (domain, probe_asn, session)
UNION ALL
SELECT domain, probe_asn, session, day, time, software, is_via_own, is_via_domestic, is_scored,
  is_refused,
  (CASE WHEN blocked > down AND blocked > ok THEN 'blocked'
        WHEN down > blocked AND down > ok THEN 'down'
        WHEN ok > blocked AND ok > down THEN 'ok'
        WHEN blocked + down + ok > 0 THEN 'none'
        WHEN unclear > 0 THEN 'unclear'
        ELSE 'none' END)::session_class,
  CASE WHEN blocked > down AND blocked > ok THEN kind END, is_dns
FROM counted
"""

# A few sessions are not enough to speak for a network. Where its own resolver was hardly asked,
# those of the country speak for it.
_RESOLVER_CELLS = """
WITH counted AS (
  SELECT domain, probe_asn,
    count(*) FILTER (is_via_own AND class <> 'none') AS own_session_count,
    bool_and(is_via_own) AS is_all_own, bool_or(is_via_domestic) AS is_domestic,
    bool_and(is_via_domestic) AS is_all_domestic
  FROM sessions GROUP BY ALL
), mixed AS (
  FROM counted WHERE own_session_count >= $floor_sessions AND NOT is_all_own
), own_days AS (
  -- distinct days are dear, so that they are counted only where they decide
  SELECT domain, probe_asn, count(DISTINCT day) AS own_day_count
  FROM sessions SEMI JOIN mixed USING (domain, probe_asn)
  WHERE is_via_own AND class <> 'none' GROUP BY ALL
), asked AS (
  SELECT c.*, coalesce(own_day_count, 0) >= $floor_days AS is_own
  FROM counted c LEFT JOIN own_days USING (domain, probe_asn)
)
SELECT domain, probe_asn, is_own FROM asked
WHERE CASE WHEN is_own THEN NOT is_all_own ELSE is_domestic AND NOT is_all_domestic END
"""

# Where the network's resolvers give the site and only others fail for its name, a filter that a
# user chose failed, and those lookups show nothing about the network.
_CLEARED_CELLS = """
SELECT domain, probe_asn
FROM sessions JOIN resolver_cells USING (domain, probe_asn)
GROUP BY ALL
HAVING count(*) FILTER (class = 'ok' AND CASE WHEN is_own THEN is_via_own ELSE is_via_domestic END)
    >= $floor_sessions
  AND count(*) FILTER (class = 'blocked' AND is_dns AND is_via_domestic) < $floor_sessions
"""

# Lookups through a resolver that does not answer for the network, where those that do give the
# site.
_UNHEARD_SESSIONS = """
SELECT s.domain, s.probe_asn, s.day, s.kind
FROM sessions s JOIN cleared_cells USING (domain, probe_asn)
  JOIN resolver_cells r USING (domain, probe_asn)
WHERE s.class = 'blocked' AND s.is_dns
  AND NOT CASE WHEN r.is_own THEN s.is_via_own ELSE s.is_via_domestic END
"""

# ``is_speaking``: through a resolver that answers for the network. What another one answers is no
# evidence against a block by the network's own.
_TOLD_SESSIONS = """
SELECT s.rowid AS place, s.*,
  coalesce(CASE r.is_own WHEN TRUE THEN is_via_own WHEN FALSE THEN is_via_domestic END, TRUE)
    AS is_speaking,
  is_speaking OR c.domain IS NULL OR class <> 'blocked' OR NOT is_dns AS is_heard
FROM sessions s LEFT JOIN resolver_cells r USING (domain, probe_asn)
  LEFT JOIN cleared_cells c USING (domain, probe_asn)
"""
SESSION_VIEWS = {
    "told_sessions": _TOLD_SESSIONS,
    "heard_sessions": "SELECT * EXCLUDE (is_heard) FROM told_sessions WHERE is_heard",
}

# The network that hosts each site: the one that most sessions found it in.
_SITE_NETWORKS = """
SELECT domain, mode(site_asn ORDER BY site_asn) AS site_asn
FROM (SELECT DISTINCT domain, session, site_asn FROM outcomes WHERE site_asn IS NOT NULL)
GROUP BY domain
"""

# A network without a name of its operator is its own.
_NETWORKS = """
WITH counted AS (
  SELECT probe_asn, count(DISTINCT session) >= $floor_sessions
    AND count(DISTINCT day) >= $floor_days AS is_enough
  FROM sessions GROUP BY probe_asn
)
SELECT probe_asn, (row_number() OVER (ORDER BY probe_asn) - 1)::INTEGER AS network,
  (dense_rank() OVER (ORDER BY coalesce(name, 'AS' || probe_asn)) - 1)::INTEGER AS operator,
  asn IS NOT NULL AS is_domestic, is_domestic AND is_enough AS is_witness
FROM counted LEFT JOIN operator_names USING (probe_asn)
  LEFT JOIN domestic_resolvers ON asn = probe_asn
"""

_STEPS = {
    "sessions": _SESSIONS,
    "resolver_cells": _RESOLVER_CELLS,
    "cleared_cells": _CLEARED_CELLS,
    "unheard_sessions": _UNHEARD_SESSIONS,
    "site_networks": _SITE_NETWORKS,
    "networks": _NETWORKS,
}


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
        create_tables(opened, {"roaming_runs": ROAMING.format(rows="outcomes")}, numbers, place)
        create_views(opened, {"session_measurements": _SESSION_MEASUREMENTS})
        names = pd.DataFrame(operators.names.items(), columns=["probe_asn", "name"])
        opened.register("operator_names", names.astype({"probe_asn": "uint32", "name": "str"}))
        create_tables(opened, _STEPS, numbers, place)
    return sessions
