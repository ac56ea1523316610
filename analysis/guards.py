"""Sessions and probe versions whose failures say nothing about the sites (guards G7 and G12).

Both ask the same question of the first reading: is this failure where the site is, or where the
probe is? They need the outcome of every measurement and take some of them back.
"""

import duckdb

from analysis.rules import Thresholds

# What each session saw of each site, before any guard.
_SEEN = """
SELECT domain, any_value(registrable_domain) AS registrable_domain, probe_asn, session,
  date_trunc('quarter', min(day)) AS quarter, any_value(software) AS software,
  bool_or(class = 'ok') AS is_ok,
  bool_or(class = 'blocked' OR (class = 'unknown' AND (evidence = 'scored' OR is_failing)))
    AND NOT bool_or(class = 'ok') AS is_failing,
  min(CASE WHEN class = 'blocked' AND NOT is_artefact THEN mechanism END) AS mechanism
FROM layered WHERE domain <> '' GROUP BY domain, probe_asn, session
"""

# A name is normally reached on a network where most of the sessions that could tell reached it.
_NORMAL = """
SELECT domain, probe_asn FROM seen WHERE is_ok OR is_failing
GROUP BY ALL HAVING 2 * count(*) FILTER (is_ok) > count(*)
"""

_BROKEN = """
SELECT session, probe_asn, count(DISTINCT registrable_domain) AS name_count,
  count(DISTINCT registrable_domain) FILTER (is_failing) AS failing_name_count
FROM seen SEMI JOIN normal USING (domain, probe_asn)
WHERE is_ok OR is_failing
GROUP BY ALL
HAVING name_count >= {broken_names} AND failing_name_count > {broken_share} * name_count
"""

# Where others reach a site on the same network in the same quarter, its failures are the probe's.
# A version is defective for a mechanism where it fails so on several names, many times as often as the
# usual version does, and mostly where others succeed. No defect makes a block page or a sinkhole.
_DEFECTS = """
INSERT INTO defective_versions
WITH told AS (
  SELECT * FROM seen ANTI JOIN broken_sessions USING (session, probe_asn)
    ANTI JOIN defective_versions USING (software, mechanism)
  WHERE is_ok OR is_failing
), cells AS (
  SELECT domain, probe_asn, quarter, software, count(*) AS sessions,
    count(*) FILTER (is_ok) AS ok
  FROM told GROUP BY ALL
), totals AS (
  SELECT domain, probe_asn, quarter, sum(sessions) AS sessions, sum(ok) AS ok
  FROM cells GROUP BY ALL
), others AS (
  SELECT c.domain, c.probe_asn, c.quarter, c.software,
    2 * (t.ok - c.ok) > t.sessions - c.sessions AS others_reach
  FROM cells c JOIN totals t USING (domain, probe_asn, quarter) WHERE t.sessions > c.sessions
), paired AS (
  SELECT software, mechanism, others_reach, session, registrable_domain
  FROM told JOIN others USING (domain, probe_asn, quarter, software)
), exposure AS (
  SELECT software, count(*) AS sessions FROM paired WHERE others_reach GROUP BY ALL
), failing AS (
  SELECT software, mechanism,
    count(*) FILTER (others_reach) AS alone, count(*) FILTER (NOT others_reach) AS together,
    count(DISTINCT registrable_domain) FILTER (others_reach) AS names
  FROM paired WHERE mechanism IS NOT NULL GROUP BY ALL
), rates AS (
  SELECT e.software, m.mechanism, coalesce(f.names, 0) AS names, coalesce(f.alone, 0) AS alone,
    coalesce(f.together, 0) AS together, coalesce(f.alone, 0) / e.sessions AS rate
  FROM exposure e CROSS JOIN (SELECT DISTINCT mechanism FROM failing) m
    LEFT JOIN failing f USING (software, mechanism)
  WHERE e.sessions >= {floor_sessions}
), usual AS (
  -- The better quarter of the versions: defective releases do not excuse each other.
  SELECT mechanism, quantile_disc(rate, 0.25) AS usual_rate FROM rates GROUP BY ALL
)
SELECT software, mechanism, names AS name_count, alone AS session_count,
  together AS shared_session_count, rate, usual_rate
FROM rates JOIN usual USING (mechanism)
WHERE names >= {defect_names} AND alone >= {floor_sessions} AND alone >= 3 * together
  AND rate >= {defect_ratio} * usual_rate AND rate >= 0.02
"""
_NO_DEFECTS = """
SELECT '' AS software, '' AS mechanism, 0::BIGINT AS name_count, 0::BIGINT AS session_count,
  0::BIGINT AS shared_session_count, 0.0::DOUBLE AS rate, 0.0::DOUBLE AS usual_rate WHERE FALSE
"""


def add_guards(connection: duckdb.DuckDBPyConnection, thresholds: Thresholds) -> None:
    """Create ``broken_sessions`` and ``defective_versions`` from the table ``layered``.

    ``broken_sessions``: one row per session and network, with the names that it failed on.
    ``defective_versions``: one row per software version and mechanism, with the rate at which
    it fails where others succeed, and that of the versions which do well.
    """
    numbers = vars(thresholds)
    for name, query in (
        ("seen", _SEEN),
        ("normal", _NORMAL),
        ("broken_sessions", _BROKEN.format(**numbers)),
        ("defective_versions", _NO_DEFECTS),
    ):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
    # A defective release hides another one that is compared with it, so the search runs again.
    for _ in range(2):
        connection.execute(_DEFECTS.format(**numbers))
