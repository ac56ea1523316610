"""Sessions and probe versions whose failures say nothing about the sites.

A broken session and a defective probe version are told by the same question, asked of the first
reading: is this failure where the site is, or where the probe is? The answer takes the outcome of
many measurements, and takes some of them back.
"""

import duckdb

from analysis.outcomes.macros import create_tables
from analysis.outcomes.thresholds import Thresholds

_BROKEN_SESSIONS = {
    # What each session saw of each site, before any guard. A site that refuses the visitor has been
    # reached as far as the probe goes.
    "seen": """
WITH told AS (
  SELECT *, class = 'ok' OR (evidence = 'scored' AND set_aside = 'geo_restricted') AS is_reached
  FROM first_reading JOIN rules USING (rule_id) WHERE domain <> ''
)
SELECT domain, any_value(registrable_domain) AS registrable_domain, probe_asn, session,
  date_trunc('quarter', min(day)) AS quarter, min(software) AS software,
  bool_or(is_reached) AS is_ok,
  bool_or(class = 'blocked' OR (class = 'unknown' AND (evidence = 'scored' OR is_failing)))
    AND NOT bool_or(is_reached) AS is_failing,
  bool_or(class = 'blocked' AND mechanism = 'dns.nxdomain') AS is_unnamed,
  min(CASE WHEN class = 'blocked' AND NOT is_artefact AND mechanism NOT LIKE 'dns.%'
    THEN mechanism END) AS mechanism
FROM told GROUP BY domain, probe_asn, session
""",
    # A name is normally reached on a network where most of the sessions that could tell reached it.
    "normal": """
SELECT domain, probe_asn FROM seen WHERE is_ok OR is_failing
GROUP BY ALL HAVING 2 * count(*) FILTER (is_ok) > count(*)
""",
    # Few sessions fail on so many hosts, and names need not be counted in the others. A resolver
    # that knows some names and not others is no dead link: many may be blocked at once.
    "lost_sessions": """
WITH tried AS (
  FROM seen SEMI JOIN normal USING (domain, probe_asn) WHERE is_ok OR is_failing
), failing AS (
  SELECT session, probe_asn FROM tried WHERE is_failing
  GROUP BY ALL HAVING count(*) > $broken_share * $broken_names
)
SELECT session, probe_asn, count(DISTINCT registrable_domain) AS name_count,
  count(DISTINCT registrable_domain) FILTER (is_failing) AS failing_name_count
FROM tried SEMI JOIN failing USING (session, probe_asn)
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
  GROUP BY session HAVING count(*) >= $defect_names
) USING (session)
WHERE tls_result IS NOT NULL
GROUP BY session, probe_asn
HAVING failing_name_count >= $defect_names AND NOT bool_or(tls_result = 'works')
""",
    "broken_sessions": """
FROM lost_sessions UNION ALL FROM mistimed_sessions ANTI JOIN lost_sessions
  USING (session, probe_asn)
""",
}

# What the sessions of each probe version saw of each site, by what a failing one failed at.
_VERSION_CELLS = {
    "version_cells": """
SELECT domain, any_value(registrable_domain) AS registrable_domain, probe_asn, quarter, software,
  mechanism, count(*) AS sessions, count(*) FILTER (is_ok) AS ok
FROM seen ANTI JOIN broken_sessions USING (session, probe_asn)
WHERE is_ok OR is_failing GROUP BY domain, probe_asn, quarter, software, mechanism
""",
    "defective_versions": """
SELECT software, mechanism, 0::BIGINT AS name_count, 0::BIGINT AS session_count,
  0::BIGINT AS shared_session_count, 0.0::DOUBLE AS rate, 0.0::DOUBLE AS usual_rate
FROM version_cells WHERE FALSE
""",
}

_DEFECTS = {
    # The cells in which other versions tested the site on the network in the quarter, and whether
    # those reach it: there, its failures are the probe's.
    "compared_cells": """
WITH told AS (FROM version_cells ANTI JOIN defective_versions USING (software, mechanism)),
cells AS (
  SELECT domain, probe_asn, quarter, software, sum(sessions) AS sessions, sum(ok) AS ok
  FROM told GROUP BY ALL
), totals AS (
  SELECT domain, probe_asn, quarter, sum(sessions) AS sessions, sum(ok) AS ok
  FROM cells GROUP BY ALL
), others AS (
  SELECT c.domain, c.probe_asn, c.quarter, c.software,
    2 * (t.ok - c.ok) > t.sessions - c.sessions AS others_reach
  FROM cells c JOIN totals t USING (domain, probe_asn, quarter) WHERE t.sessions > c.sessions
)
SELECT software, probe_asn, mechanism, others_reach, sessions, registrable_domain
FROM told JOIN others USING (domain, probe_asn, quarter, software)
""",
    # Versions that fail by a mechanism on several names that others reach.
    "failing_versions": """
SELECT software, mechanism,
  coalesce(sum(sessions) FILTER (others_reach), 0) AS alone,
  coalesce(sum(sessions) FILTER (NOT others_reach), 0) AS together,
  count(DISTINCT registrable_domain) FILTER (others_reach) AS names
FROM compared_cells WHERE mechanism IS NOT NULL
GROUP BY ALL HAVING names >= $defect_names AND alone >= $floor_sessions
""",
    # How often each would fail if it failed as often as the others do on the same networks: a
    # version that happens to run on a flaky network is not defective.
    "expected_failures": """
WITH exposure AS (
  SELECT software, probe_asn, sum(sessions) AS sessions
  FROM compared_cells WHERE others_reach GROUP BY ALL
), failing AS (
  SELECT software, probe_asn, mechanism, sum(sessions) AS sessions
  FROM compared_cells WHERE others_reach AND mechanism IS NOT NULL GROUP BY ALL
)
SELECT e.software, m.mechanism, sum(e.sessions) AS sessions,
  sum(e.sessions * coalesce((m.sessions - coalesce(f.sessions, 0))
                            / nullif(t.sessions - e.sessions, 0), 0)) AS expected_count
FROM exposure e
  JOIN (SELECT probe_asn, mechanism, sum(sessions) AS sessions FROM failing GROUP BY ALL)
    m USING (probe_asn)
  JOIN (SELECT probe_asn, sum(sessions) AS sessions FROM exposure GROUP BY ALL)
    t USING (probe_asn)
  LEFT JOIN failing f USING (software, probe_asn, mechanism)
GROUP BY ALL
""",
    # A version is defective for a mechanism where it fails many times as often as the others do on
    # the same networks, and mostly where others succeed, or on most of the names that it tries: a
    # block that began when the version came out takes a few. No defect makes a block page or a
    # sinkhole. One report is one witness, however many sites it fails on.
    "new_defects": """
WITH tried AS (
  SELECT software, sum(sessions) AS sessions, count(DISTINCT registrable_domain) AS name_count
  FROM compared_cells WHERE others_reach GROUP BY ALL
), defects AS (
  SELECT software, mechanism, names AS name_count, alone::BIGINT AS session_count,
    together::BIGINT AS shared_session_count, alone / tried.sessions AS rate,
    expected_count / tried.sessions AS usual_rate
  FROM failing_versions JOIN tried USING (software)
    JOIN expected_failures USING (software, mechanism)
  WHERE (alone >= 3 * together OR 2 * names >= tried.name_count)
    AND alone >= $defect_ratio * expected_count AND rate >= 0.02
), witnesses AS (
  SELECT software, mechanism FROM seen SEMI JOIN defects USING (software, mechanism)
  GROUP BY ALL HAVING count(DISTINCT session) >= $floor_sessions
)
FROM defects SEMI JOIN witnesses USING (software, mechanism)
""",
    "defective_versions": "FROM defective_versions UNION ALL FROM new_defects",
}

# Where the other versions fail too, a defective one tells the truth.
_SHARED_FAILURES = {
    "shared_failures": """
WITH cells AS (
  SELECT domain, probe_asn, quarter, software, sum(sessions) AS sessions, sum(ok) AS ok
  FROM version_cells SEMI JOIN defective_versions USING (software) GROUP BY ALL
), totals AS (
  SELECT domain, probe_asn, quarter, sum(sessions) AS sessions, sum(ok) AS ok
  FROM version_cells GROUP BY ALL
)
SELECT c.domain, c.probe_asn, c.quarter, c.software
FROM cells c JOIN totals t USING (domain, probe_asn, quarter)
WHERE t.sessions - c.sessions >= 2 AND 2 * (t.ok - c.ok) < t.sessions - c.sessions
""",
}

# They hold a row for nearly every measurement, and nothing after this asks them.
_LARGE = ("seen", "normal", "version_cells", "compared_cells")


def add_guards(
    connection: duckdb.DuckDBPyConnection, thresholds: Thresholds, *, is_pooled: bool = True
) -> None:
    """Create ``broken_sessions`` and ``defective_versions`` from ``first_reading``.

    ``broken_sessions``: one row per session and network, with the names that it failed on.
    ``defective_versions``: one row per software version and mechanism, with the rate at which
    it fails where others succeed, and the rate of the others on the same networks.
    ``shared_failures``: the sites, networks and quarters in which other versions fail as well as
    a defective one.

    Args:
        connection: holds ``first_reading``, ``rules`` and ``features``.
        thresholds: the method's numbers.
        is_pooled: false leaves them empty, since one measurement shows none of this.
    """
    numbers = vars(thresholds)
    create_tables(connection, _BROKEN_SESSIONS | _VERSION_CELLS, numbers, is_filled=is_pooled)
    create_tables(connection, _DEFECTS, numbers, is_filled=is_pooled)
    # A defective release hides another one that is compared with it, so the search runs again.
    if connection.execute("SELECT count(*) FROM new_defects").fetchone() != (0,):
        create_tables(connection, _DEFECTS, numbers)
    create_tables(connection, _SHARED_FAILURES, numbers, is_filled=is_pooled)
    for name in _LARGE:
        connection.execute(f"DROP TABLE {name}")
