"""Is the device well? Sessions whose failures say nothing about the sites.

A dead link, a captive portal, an antivirus that breaks every handshake: what such a device fails
on, others reach. So a session is held against what *other* networks reached at that time; a network
whose tests are mostly one person's must not say by itself what is normal.
"""

from collections.abc import Collection

import duckdb

from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds

#: A name is normally reached where this share of the other networks mostly reached it ...
_REACHING_SHARE = 0.8
#: ... within so many days, if two networks tested it there in as many sessions as a state needs;
#: else within more.
_NEAR_DAYS, _FAR_DAYS = 3, 28
#: What the network's own well sessions of so many days around miss as well may be blocked there.
_OWN_DAYS = 7


def _count_names(counted: str) -> str:
    """SQL: the sessions that fail on most names of a table, counted by registrable domain.

    All of them; and of the https names that got as far as the handshake those that fail in it: an
    antivirus breaks TLS, and a filter lookups.
    """
    return f"""
WITH asked AS (
  SELECT session, probe_asn, registrable_domain, is_failing,
    is_https AND (NOT is_failing OR layer IN ('tls', 'http')) AS is_shaken,
    is_https AND is_failing AND layer = 'tls' AS is_unshaken
  FROM doubtful SEMI JOIN {counted} USING (domain, probe_asn, day)
), counted AS (
  SELECT session, probe_asn, count(DISTINCT registrable_domain) AS name_count,
    count(DISTINCT registrable_domain) FILTER (is_failing) AS failing_name_count,
    count(DISTINCT registrable_domain) FILTER (is_shaken) AS shaken_count,
    count(DISTINCT registrable_domain) FILTER (is_unshaken) AS unshaken_count
  FROM asked GROUP BY ALL
)
SELECT session, probe_asn, name_count, failing_name_count FROM counted
WHERE name_count >= $broken_names AND failing_name_count > $broken_share * name_count
   OR shaken_count >= $broken_names AND unshaken_count > $broken_share * shaken_count
"""


#: Steps over ``first_reading``, in order.
_SEEN = {
    # What each session saw of each site. A site that refuses the visitor has been reached as far as
    # the probe goes.
    "seen": """
WITH told AS (
  SELECT *, class = 'ok' OR (evidence = 'scored' AND set_aside = 'geo_restricted') AS is_reached,
    class = 'blocked' OR (class = 'unknown' AND (evidence = 'scored' OR is_failing)) AS fails
  FROM first_reading JOIN rules USING (rule_id) WHERE domain <> ''
)
SELECT domain, any_value(registrable_domain) AS registrable_domain, probe_asn, session,
  min(day) AS day, bool_or(is_https) AS is_https, bool_or(is_reached) AS is_ok,
  NOT is_ok AS is_failing, min(split_part(rule_id::VARCHAR, '.', 1)) FILTER (fails) AS layer
FROM told GROUP BY domain, probe_asn, session HAVING bool_or(is_reached OR fails)
""",
    # Few sessions fail on most of what they tested, and only of these names need to be counted.
    "doubtful": """
FROM seen SEMI JOIN (
  SELECT session, probe_asn FROM seen GROUP BY ALL
  HAVING count(*) FILTER (is_failing) > $broken_share * count(*)
      OR count(*) FILTER (is_https AND layer = 'tls')
        > $broken_share * count(*) FILTER (is_https AND coalesce(layer IN ('tls', 'http'), TRUE))
) USING (session, probe_asn)
""",
    # A network speaks for others once it has sessions and days enough for a state of its own.
    "speaking": """
SELECT probe_asn FROM seen
WHERE $speaking IS NULL OR list_contains($speaking, probe_asn) GROUP BY ALL
HAVING count(DISTINCT session) >= $floor_sessions AND count(DISTINCT day) >= $floor_days
""",
    "daily": """
SELECT domain, probe_asn, day, count(*) FILTER (is_ok) AS ok, count(*) AS told
FROM seen SEMI JOIN (SELECT DISTINCT domain FROM doubtful) USING (domain) GROUP BY ALL
""",
    # What the other networks mostly reached about that day; where fewer than two tested it, what
    # the network itself mostly reaches.
    "normal_names": f"""
WITH asked AS (
  SELECT DISTINCT domain, probe_asn, day FROM doubtful
), around AS (
  SELECT a.domain, a.probe_asn, a.day, o.probe_asn AS other, sum(o.ok) AS ok, sum(o.told) AS told,
    sum(o.ok) FILTER (abs(o.day - a.day) <= {_NEAR_DAYS}) AS near_ok,
    sum(o.told) FILTER (abs(o.day - a.day) <= {_NEAR_DAYS}) AS near_told
  FROM asked a JOIN (FROM daily SEMI JOIN speaking USING (probe_asn)) o
    ON o.domain = a.domain AND o.probe_asn <> a.probe_asn
      AND o.day BETWEEN a.day - {_FAR_DAYS} AND a.day + {_FAR_DAYS}
  GROUP BY ALL
), others AS (
  SELECT domain, probe_asn, day, count(*) AS told, count(*) FILTER (2 * ok > told) AS reaching,
    count(near_told) AS near_told, count(*) FILTER (2 * near_ok > near_told) AS near_reaching,
    coalesce(sum(near_told), 0) AS near_sessions
  FROM around GROUP BY ALL
), own AS (
  SELECT domain, probe_asn, 2 * sum(ok) > sum(told) AS is_reached FROM daily GROUP BY ALL
)
SELECT domain, probe_asn, day
FROM asked JOIN own USING (domain, probe_asn) LEFT JOIN others USING (domain, probe_asn, day)
WHERE CASE
  WHEN near_told >= 2 AND near_sessions >= $floor_sessions
    THEN near_reaching >= {_REACHING_SHARE} * near_told
  WHEN told >= 2 THEN reaching >= {_REACHING_SHARE} * told
  ELSE is_reached END
""",
    "suspected": _count_names("normal_names"),
    # Names that the network's other sessions of these days mostly miss as well may be blocked
    # there: a blocked list must not damn those who test it.
    "names_at_stake": f"""
WITH well AS (
  SELECT domain, probe_asn, day, is_ok FROM seen ANTI JOIN suspected USING (session, probe_asn)
), missed AS (
  SELECT n.domain, n.probe_asn, n.day FROM normal_names n JOIN well w
    ON w.domain = n.domain AND w.probe_asn = n.probe_asn
      AND w.day BETWEEN n.day - {_OWN_DAYS} AND n.day + {_OWN_DAYS}
  GROUP BY ALL HAVING count(*) >= 2 AND 2 * count(*) FILTER (w.is_ok) < count(*)
)
FROM normal_names ANTI JOIN missed USING (domain, probe_asn, day)
""",
}
#: ... and what stays.
_BROKEN_SESSIONS = {
    "lost_sessions": _count_names("names_at_stake"),
    # A probe whose clock is wrong finds no valid certificate anywhere.
    "mistimed_sessions": """
SELECT session, probe_asn, count(DISTINCT registrable_domain) AS name_count,
  count(DISTINCT registrable_domain)
    FILTER (tls_failure = 'ssl_invalid_certificate') AS failing_name_count
FROM features SEMI JOIN (
  SELECT session FROM features WHERE tls_failure = 'ssl_invalid_certificate'
  GROUP BY session HAVING count(*) >= $broken_names
) USING (session)
WHERE tls_result IS NOT NULL
GROUP BY session, probe_asn
HAVING failing_name_count >= $broken_names AND NOT bool_or(tls_result = 'works')
""",
    "broken_sessions": """
FROM lost_sessions UNION ALL FROM mistimed_sessions ANTI JOIN lost_sessions
  USING (session, probe_asn)
""",
}


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
    numbers = {**vars(thresholds), "speaking": None if speaking is None else sorted(speaking)}
    create_tables(connection, _SEEN, numbers, is_filled=is_pooled)
    create_tables(connection, _BROKEN_SESSIONS, vars(thresholds), place, is_filled=is_pooled)
