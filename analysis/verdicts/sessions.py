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

# What each measurement says of the site in its session. What fails at another site that the input
# redirects to is not evidence about this one.
_SESSION_MEASUREMENTS = """
CREATE OR REPLACE TEMP VIEW session_measurements AS
SELECT domain, probe_asn, session, day, resolver_asn,
  evidence = 'scored' AND set_aside = 'geo_restricted' AS is_refused,
  CASE WHEN evidence <> 'scored' THEN 'none'
       WHEN class = 'unknown' OR is_about_target THEN 'unclear'
       ELSE class::VARCHAR END AS class,
  is_artefact, split_part(mechanism, '.', 1) AS layer, mechanism LIKE '%.timeout' AS is_timeout,
  -- No artefact, and no answer of a resolver: a failed lookup is none.
  mechanism NOT LIKE 'dns.%' OR mechanism LIKE '%.timeout' OR rule_id = 'dns.failure' AS is_loose
FROM outcomes WHERE domain <> ''
"""

_SESSION_COUNTS = """
CREATE OR REPLACE TEMP VIEW session_counts AS
SELECT domain, probe_asn, session, min(day) AS day, bool_or(is_refused) AS is_refused,
  bool_and(resolver_asn = probe_asn) AS is_via_own,
  bool_and(resolver_asn IN (FROM domestic_resolvers)) AS is_via_domestic,
  count(*) FILTER (class = 'blocked') AS blocked_measurements,
  count(*) FILTER (class = 'down') AS down_measurements,
  count(*) FILTER (class = 'ok') AS ok_measurements,
  count(*) FILTER (class = 'unclear') AS unclear_measurements,
  count(*) FILTER (class = 'blocked' AND is_artefact) AS artefact_measurements,
  count(*) FILTER (class = 'blocked' AND is_timeout) AS timeout_measurements,
  count(*) FILTER (class = 'blocked' AND is_loose) AS loose_measurements,
  count(*) FILTER (class = 'blocked' AND layer = 'dns') AS dns_measurements,
  count(*) FILTER (class = 'blocked' AND layer = 'tcp') AS tcp_measurements,
  count(*) FILTER (class = 'blocked' AND layer = 'tls') AS tls_measurements
FROM session_measurements GROUP BY domain, probe_asn, session
"""

# The class of most interpretable measurements; a tie is unknown.
_SESSIONS = """
CREATE OR REPLACE TEMP TABLE sessions AS
WITH counted AS (
  SELECT * EXCLUDE (blocked_measurements, down_measurements, ok_measurements),
    blocked_measurements AS blocked, down_measurements AS down, ok_measurements AS ok
  FROM session_counts
)
SELECT domain, probe_asn, session, day, is_via_own, is_via_domestic,
  blocked + down + ok + unclear_measurements > 0 AS is_scored, is_refused,
  (CASE WHEN blocked > down AND blocked > ok THEN 'blocked'
        WHEN down > blocked AND down > ok THEN 'down'
        WHEN ok > blocked AND ok > down THEN 'ok'
        WHEN blocked + down + ok > 0 THEN 'none'
        WHEN unclear_measurements > 0 THEN 'unclear'
        ELSE 'none' END)::session_class AS class,
  2 * artefact_measurements >= blocked AND blocked > 0 AS is_artefact,
  2 * timeout_measurements > blocked AS is_timeout,
  2 * loose_measurements > blocked AND 2 * artefact_measurements < blocked AS is_loose,
  (CASE WHEN 2 * dns_measurements >= blocked THEN 'dns'
        WHEN 2 * tcp_measurements >= blocked THEN 'tcp'
        WHEN 2 * tls_measurements >= blocked THEN 'tls' ELSE 'http' END)::layer_word AS layer
FROM counted
"""

# A few sessions are not enough to speak for a network. Where its own resolver was hardly asked,
# those of the country speak for it.
_DOMESTIC_CELLS = """
CREATE OR REPLACE TEMP TABLE domestic_cells AS
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

# ``domestic``: the same cells as through the country's own resolvers, where others were used too.
_VIEWED_SESSIONS = """
CREATE OR REPLACE TEMP VIEW viewed_sessions AS
SELECT 'all'::view_name AS via, domain, probe_asn, day, class, is_artefact, is_timeout, is_loose,
  layer
FROM sessions
UNION ALL
SELECT 'domestic', domain, probe_asn, day, class, is_artefact, is_timeout, is_loose, layer
FROM sessions JOIN domestic_cells USING (domain, probe_asn)
WHERE CASE WHEN is_own THEN is_via_own ELSE is_via_domestic END
"""

_SESSION_DAYS = """
CREATE OR REPLACE TEMP TABLE session_days AS
WITH blocked AS (
  SELECT *, class = 'blocked' AS is_blocked, class = 'blocked' AND is_timeout AS is_timed_out
  FROM viewed_sessions
)
SELECT via, domain, probe_asn, day,
  count(*)::INTEGER AS session_count,
  count(*) FILTER (is_blocked)::INTEGER AS blocked_sessions,
  count(*) FILTER (class = 'down')::INTEGER AS down_sessions,
  count(*) FILTER (class = 'ok')::INTEGER AS ok_sessions,
  count(*) FILTER (class = 'unclear')::INTEGER AS unclear_sessions,
  count(*) FILTER (is_blocked AND is_artefact)::INTEGER AS artefact_sessions,
  count(*) FILTER (is_blocked AND NOT is_timeout)::INTEGER AS firm_sessions,
  count(*) FILTER (is_blocked AND is_loose)::INTEGER AS loose_sessions,
  count(*) FILTER (is_timed_out AND layer = 'dns')::INTEGER AS dns_timeout_sessions,
  count(*) FILTER (is_timed_out AND layer = 'tcp')::INTEGER AS tcp_timeout_sessions,
  count(*) FILTER (is_timed_out AND layer = 'tls')::INTEGER AS tls_timeout_sessions,
  count(*) FILTER (is_timed_out AND layer = 'http')::INTEGER AS http_timeout_sessions
FROM blocked GROUP BY via, domain, probe_asn, day
"""


def add_sessions(
    connection: duckdb.DuckDBPyConnection, domestic_asns: Iterable[int], thresholds: Thresholds
) -> None:
    """Create ``sessions`` and ``session_days`` from ``outcomes``.

    ``sessions``: one row per ``domain, probe_asn, session``, with the ``day`` on which it first
    tested the site, its ``class``, whether anything could be read (``is_scored``) and whether the
    site refused (``is_refused``), and of a blocked one whether it carries an artefact, whether
    it times out, whether it may be chance (``is_loose``: no artefact and no resolver's answer),
    and the ``layer``.

    ``session_days``: one row per ``via, domain, probe_asn, day`` that was tested, with
    ``session_count``, the sessions of each class (``blocked_sessions, down_sessions, ok_sessions,
    unclear_sessions``) and, of the blocked ones, those that carry an artefact
    (``artefact_sessions``), those that do not just time out (``firm_sessions``), those that may be
    chance (``loose_sessions``), and those that time out at each layer (``dns_timeout_sessions``
    …). ``via`` is *all*; where some sessions of a cell used the network's own resolver (or, where
    hardly any did, one of the country) and some another one, the former stand a second time under
    *domestic*: what another resolver answers is no evidence against a block by the network's own.

    Args:
        connection: holds ``outcomes``.
        domestic_asns: the country's access networks, whose resolvers its subscribers are given.
        thresholds: ``floor_sessions`` and ``floor_days``, from which on the own resolver speaks.
    """
    resolvers = pa.table({"asn": pa.array(sorted(map(int, domestic_asns)), pa.uint32())})
    keep_table(connection, "domestic_resolvers", resolvers)
    connection.execute(f"CREATE OR REPLACE TEMP TYPE session_class AS ENUM {CLASSES}")
    connection.execute("CREATE OR REPLACE TEMP TYPE view_name AS ENUM ('all', 'domestic')")
    connection.execute(_SESSION_MEASUREMENTS)
    connection.execute(_SESSION_COUNTS)
    connection.execute(_SESSIONS)
    floor = {"floor_sessions": thresholds.floor_sessions, "floor_days": thresholds.floor_days}
    connection.execute(_DOMESTIC_CELLS, floor)
    connection.execute(_VIEWED_SESSIONS)
    connection.execute(_SESSION_DAYS)


# The median site's share of sessions that end in a time-out is the network's own, blocking apart.
# Of failures that leave no artefact and that no resolver answered (``loose``) it is the share that
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
    no artefact and are no resolver's answer).

    Needs the table ``sessions``. Networks without a site that was tested in three sessions have
    no row.
    """
    return connection.execute(_STRAYS).df()
