"""Sessions whose failures say nothing about the sites.

Is a failure where the site is, or where the probe is? The answer takes the outcome of many
measurements, and takes some of them back.
"""

import duckdb

from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds

#: Steps over ``first_reading``, in order: what holds a row for nearly every measurement, ...
_SEEN = {
    # What each session saw of each site, before any guard. A site that refuses the visitor has been
    # reached as far as the probe goes.
    "seen": """
WITH told AS (
  SELECT *, class = 'ok' OR (evidence = 'scored' AND set_aside = 'geo_restricted') AS is_reached
  FROM first_reading JOIN rules USING (rule_id) WHERE domain <> ''
)
SELECT domain, any_value(registrable_domain) AS registrable_domain, probe_asn, session,
  bool_or(is_reached) AS is_ok,
  bool_or(class = 'blocked' OR (class = 'unknown' AND (evidence = 'scored' OR is_failing)))
    AND NOT bool_or(is_reached) AS is_failing,
  bool_or(class = 'blocked' AND mechanism = 'dns.nxdomain') AS is_unnamed
FROM told GROUP BY domain, probe_asn, session
""",
    # A name is normally reached on a network where most of the sessions that could tell reached it.
    "normal": """
SELECT domain, probe_asn FROM seen WHERE is_ok OR is_failing
GROUP BY ALL HAVING 2 * count(*) FILTER (is_ok) > count(*)
""",
}
#: ... and what stays.
_BROKEN_SESSIONS = {
    # Few sessions fail on so many hosts, and names need not be counted in the others. A resolver
    # that knows some names and not others is no dead link: many may be blocked at once.
    "lost_sessions": """
WITH failing AS (
  SELECT session, probe_asn FROM seen SEMI JOIN normal USING (domain, probe_asn) WHERE is_failing
  GROUP BY ALL HAVING count(*) > $broken_share * $broken_names
)
SELECT session, probe_asn, count(DISTINCT registrable_domain) AS name_count,
  count(DISTINCT registrable_domain) FILTER (is_failing) AS failing_name_count
FROM seen SEMI JOIN failing USING (session, probe_asn) SEMI JOIN normal USING (domain, probe_asn)
WHERE is_ok OR is_failing
GROUP BY ALL
HAVING name_count >= $broken_names AND failing_name_count > $broken_share * name_count
  AND (NOT bool_or(is_ok)
    OR 2 * count(DISTINCT registrable_domain) FILTER (is_failing AND is_unnamed)
      < failing_name_count)
""",
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


def add_guards(
    connection: duckdb.DuckDBPyConnection, thresholds: Thresholds, place: str, *, is_pooled: bool
) -> None:
    """Create ``broken_sessions`` from ``first_reading``.

    One row per session and network, with the names that it failed on.

    Args:
        connection: finds ``first_reading``, ``rules`` and ``features``.
        thresholds: the method's numbers.
        place: the catalog in which it is made.
        is_pooled: false leaves it empty, since one measurement shows none of this.
    """
    create_tables(connection, _SEEN, vars(thresholds), is_filled=is_pooled)
    create_tables(connection, _BROKEN_SESSIONS, vars(thresholds), place, is_filled=is_pooled)
