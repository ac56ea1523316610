"""Sessions: independent runs, the unit that the evidence is counted in.

One report holds many rows and one person may run hundreds of tests a day; a session (a distinct
``report_id``) is the best stand-in for an independent witness.
"""

from collections.abc import Iterable

import duckdb
import pandas as pd
import pyarrow as pa

from analysis.outcomes.macros import keep_table
from analysis.outcomes.thresholds import Thresholds

#: What a session shows of a site. ``unclear`` (not working, no rule says why) and ``none``
#: (nothing that can be interpreted) are both *unknown* in the published tables.
CLASSES = ("blocked", "down", "ok", "unclear", "none")

# The class of most interpretable measurements; a tie is unknown. What fails at another site that
# the input redirects to is not evidence about this one.
_SESSIONS = """
WITH rows AS (
  SELECT domain, probe_asn, session, day, resolver_asn,
    evidence = 'scored' AND set_aside = 'geo_restricted' AS is_refused,
    CASE WHEN evidence <> 'scored' THEN 'none'
         WHEN class = 'unknown' OR is_about_target THEN 'unclear'
         ELSE class::VARCHAR END AS class,
    is_artefact, split_part(mechanism, '.', 1) AS family, mechanism LIKE '%.timeout' AS is_timeout,
    -- No trace, and no answer of a resolver: a failed lookup is none.
    mechanism NOT LIKE 'dns.%' OR mechanism LIKE '%.timeout' OR rule_id = 'dns.failure' AS is_loose
  FROM outcomes WHERE domain <> ''
), counted AS (
  SELECT domain, probe_asn, session, min(day) AS day, bool_or(is_refused) AS is_refused,
    bool_and(resolver_asn = probe_asn) AS is_via_own,
    bool_and(resolver_asn IN (FROM domestic_resolvers)) AS is_via_domestic,
    count(*) FILTER (class = 'blocked') AS blocked, count(*) FILTER (class = 'down') AS down,
    count(*) FILTER (class = 'ok') AS ok, count(*) FILTER (class = 'unclear') AS unclear,
    count(*) FILTER (class = 'blocked' AND is_artefact) AS artefact,
    count(*) FILTER (class = 'blocked' AND is_timeout) AS timeouts,
    count(*) FILTER (class = 'blocked' AND is_loose) AS loose,
    count(*) FILTER (class = 'blocked' AND family = 'dns') AS dns,
    count(*) FILTER (class = 'blocked' AND family = 'tcp') AS tcp,
    count(*) FILTER (class = 'blocked' AND family = 'tls') AS tls
  FROM rows GROUP BY domain, probe_asn, session
)
SELECT domain, probe_asn, session, day, is_via_own, is_via_domestic,
  blocked + down + ok + unclear > 0 AS is_scored, is_refused,
  (CASE WHEN blocked > down AND blocked > ok THEN 'blocked'
        WHEN down > blocked AND down > ok THEN 'down'
        WHEN ok > blocked AND ok > down THEN 'ok'
        WHEN blocked + down + ok > 0 THEN 'none'
        WHEN unclear > 0 THEN 'unclear'
        ELSE 'none' END)::session_class AS class,
  2 * artefact >= blocked AND blocked > 0 AS is_artefact,
  2 * timeouts > blocked AS is_timeout,
  2 * loose > blocked AND 2 * artefact < blocked AS is_loose,
  (CASE WHEN 2 * dns >= blocked THEN 'dns' WHEN 2 * tcp >= blocked THEN 'tcp'
        WHEN 2 * tls >= blocked THEN 'tls' ELSE 'http' END)::layer_word AS family
FROM counted
"""

# ``domestic``: the same cells as through the country's own resolvers, where others were used too.
_SESSION_DAYS = """
WITH counted AS (
  SELECT domain, probe_asn, count(*) FILTER (is_via_own AND class <> 'none') AS own_count,
    bool_and(is_via_own) AS is_all_own, bool_or(is_via_domestic) AS is_domestic,
    bool_and(is_via_domestic) AS is_all_domestic
  FROM sessions GROUP BY ALL
), asked AS (
  -- A few sessions are not enough to speak for a network.
  SELECT c.*, coalesce(day_count, 0) >= {floor_days} AS is_own
  FROM counted c LEFT JOIN (
    SELECT domain, probe_asn, count(DISTINCT day) AS day_count
    FROM sessions SEMI JOIN (
      FROM counted WHERE own_count >= {floor_sessions} AND NOT is_all_own
    ) USING (domain, probe_asn)
    WHERE is_via_own AND class <> 'none' GROUP BY ALL
  ) USING (domain, probe_asn)
), mixed AS (
  -- The network's own resolver speaks for it; where it was hardly asked, those of the country do.
  SELECT domain, probe_asn, is_own FROM asked
  WHERE CASE WHEN is_own THEN NOT is_all_own ELSE is_domestic AND NOT is_all_domestic END
), views AS (
  SELECT 'all'::view_name AS via, domain, probe_asn, day, class, is_artefact, is_timeout,
    is_loose, family
  FROM sessions
  UNION ALL
  SELECT 'domestic', domain, probe_asn, day, class, is_artefact, is_timeout, is_loose, family
  FROM sessions JOIN mixed USING (domain, probe_asn)
  WHERE CASE WHEN is_own THEN is_via_own ELSE is_via_domestic END
)
SELECT via, domain, probe_asn, day,
  count(*)::INTEGER AS session_count,
  count(*) FILTER (class = 'blocked')::INTEGER AS blocked,
  count(*) FILTER (class = 'down')::INTEGER AS down,
  count(*) FILTER (class = 'ok')::INTEGER AS ok,
  count(*) FILTER (class = 'unclear')::INTEGER AS unclear,
  count(*) FILTER (class = 'blocked' AND is_artefact)::INTEGER AS artefact,
  count(*) FILTER (class = 'blocked' AND NOT is_timeout)::INTEGER AS firm,
  count(*) FILTER (class = 'blocked' AND is_loose)::INTEGER AS loose,
  count(*) FILTER (class = 'blocked' AND is_timeout AND family = 'dns')::INTEGER AS timeout_dns,
  count(*) FILTER (class = 'blocked' AND is_timeout AND family = 'tcp')::INTEGER AS timeout_tcp,
  count(*) FILTER (class = 'blocked' AND is_timeout AND family = 'tls')::INTEGER AS timeout_tls,
  count(*) FILTER (class = 'blocked' AND is_timeout AND family = 'http')::INTEGER AS timeout_http,
  0::USMALLINT AS interval
FROM views GROUP BY via, domain, probe_asn, day
"""


def add_sessions(
    connection: duckdb.DuckDBPyConnection, domestic_asns: Iterable[int], thresholds: Thresholds
) -> None:
    """Create ``sessions`` and ``session_days`` from ``outcomes``.

    ``sessions``: one row per ``domain, probe_asn, session``, with the ``day`` on which it first
    tested the site, its ``class``, whether anything could be read (``is_scored``) and whether the
    site refused (``is_refused``), and of a blocked one whether it carries an artefact, whether
    it times out, whether it may be chance (``is_loose``: no trace and no resolver's answer), and
    the layer (``family``).

    ``session_days``: one row per ``domain`` × ``probe_asn`` × ``day`` that was tested, with
    ``session_count`` and the sessions in each class (``blocked, down, ok, unclear``) and, of the
    blocked ones, those that carry an ``artefact``, those that do not just time out (``firm``),
    and those that time out at each layer (``timeout_dns`` …). ``via`` is *all*; where some
    sessions of a cell used the network's own resolver (or, where hardly any did, one of the
    country) and some another one, the former stand a second time under *domestic*: what another
    resolver answers is no evidence against a block by the network's own (guard G4).
    ``interval`` is set later, see ``intervals``.

    Args:
        connection: holds ``outcomes``.
        domestic_asns: the country's access networks, whose resolvers its subscribers are given.
        thresholds: ``floor_sessions`` and ``floor_days``, from which on the own resolver speaks.
    """
    resolvers = pa.table({"asn": pa.array(sorted(map(int, domestic_asns)), pa.uint32())})
    keep_table(connection, "domestic_resolvers", resolvers)
    connection.execute(f"CREATE OR REPLACE TEMP TYPE session_class AS ENUM {CLASSES}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE sessions AS {_SESSIONS}")
    connection.execute("CREATE OR REPLACE TEMP TYPE view_name AS ENUM ('all', 'domestic')")
    days = _SESSION_DAYS.format(**vars(thresholds))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE session_days AS {days}")


# The median site's share of sessions that end in a time-out is the network's own, blocking apart.
# Of failures that leave no trace and that no resolver answered (``loose``) it is the share that
# three quarters of the sites exceed: a network may well block half of what is tested.
_STRAYS = """
WITH sites AS (
  SELECT domain, probe_asn,
    count(*) FILTER (class = 'blocked' AND is_timeout) / count(*) AS timeout_share,
    count(*) FILTER (class = 'blocked' AND is_loose) / count(*) AS loose_share
  FROM sessions WHERE class <> 'none' GROUP BY ALL HAVING count(*) >= 3
)
SELECT probe_asn, median(timeout_share) AS timeout_share,
  CASE WHEN count(*) >= 5 THEN quantile_disc(loose_share, 0.25) ELSE 0 END AS loose_share
FROM sites GROUP BY ALL ORDER BY probe_asn
"""


def stray_shares(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """How often a usual site fails by chance on each network.

    Columns: ``probe_asn, timeout_share`` (time-outs) and ``loose_share`` (all failures that leave
    no trace and are no resolver's answer).

    Needs the table ``sessions``. Networks without a site that was tested in three sessions have
    no row.
    """
    return connection.execute(_STRAYS).df()
