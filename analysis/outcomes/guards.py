"""Sessions and probe versions whose failures say nothing about the sites (guards G7 and G12).

Both ask the same question of the first reading: is this failure where the site is, or where the
probe is? They need the outcome of every measurement and take some of them back.
"""

import duckdb

from analysis.outcomes.thresholds import Thresholds

# What each session saw of each site, before any guard. A site that refuses the visitor has been
# reached as far as the probe goes.
_SEEN = """
WITH told AS (
  SELECT *, class = 'ok' OR (evidence = 'scored' AND set_aside = 'geo_restricted') AS is_reached
  FROM outcomes WHERE domain <> ''
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
"""

# A name is normally reached on a network where most of the sessions that could tell reached it.
_NORMAL = """
SELECT domain, probe_asn FROM seen WHERE is_ok OR is_failing
GROUP BY ALL HAVING 2 * count(*) FILTER (is_ok) > count(*)
"""

_BROKEN = """
WITH tried AS (
  FROM seen SEMI JOIN normal USING (domain, probe_asn) WHERE is_ok OR is_failing
), failing AS (
  -- Few sessions fail on so many hosts, and names need not be counted in the others.
  SELECT session, probe_asn FROM tried WHERE is_failing
  GROUP BY ALL HAVING count(*) > {broken_share} * {broken_names}
), lost AS (
  SELECT session, probe_asn, count(DISTINCT registrable_domain) AS name_count,
    count(DISTINCT registrable_domain) FILTER (is_failing) AS failing_name_count
  FROM tried SEMI JOIN failing USING (session, probe_asn)
  GROUP BY ALL
  HAVING name_count >= {broken_names} AND failing_name_count > {broken_share} * name_count
    -- A resolver that knows some names and not others is no dead link: many may be blocked at once.
    AND (NOT bool_or(is_ok)
      OR 2 * count(DISTINCT registrable_domain) FILTER (is_failing AND is_unnamed)
        < failing_name_count)
), mistimed AS (
  -- A probe whose clock is wrong finds no valid certificate anywhere.
  SELECT session, probe_asn, count(DISTINCT registrable_domain) AS name_count,
    count(DISTINCT registrable_domain)
      FILTER (tls_failure = 'ssl_invalid_certificate') AS failing_name_count
  FROM features SEMI JOIN (
    SELECT session FROM features WHERE tls_failure = 'ssl_invalid_certificate'
    GROUP BY session HAVING count(*) >= {defect_names}
  ) USING (session)
  WHERE tls_result IS NOT NULL
  GROUP BY session, probe_asn
  HAVING failing_name_count >= {defect_names} AND NOT bool_or(tls_result = 'works')
)
FROM lost UNION ALL FROM mistimed ANTI JOIN lost USING (session, probe_asn)
"""

# What the sessions of each probe version saw of each site, by what a failing one failed at.
_VERSION_CELLS = """
SELECT domain, any_value(registrable_domain) AS registrable_domain, probe_asn, quarter, software,
  mechanism, count(*) AS sessions, count(*) FILTER (is_ok) AS ok
FROM seen ANTI JOIN broken_sessions USING (session, probe_asn)
WHERE is_ok OR is_failing GROUP BY domain, probe_asn, quarter, software, mechanism
"""

# Where others reach a site on the same network in the same quarter, its failures are the probe's.
# A version is defective for a mechanism where it fails so on several names, many times as often as
# the others do on the same networks, and mostly where others succeed, or on most of the names that
# it tries: a block that began when the version came out takes a few. No defect makes a block page
# or a sinkhole.
_DEFECTS = """
INSERT INTO defective_versions
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
), paired AS MATERIALIZED (
  SELECT software, probe_asn, mechanism, others_reach, sessions, registrable_domain
  FROM told JOIN others USING (domain, probe_asn, quarter, software)
), exposure AS (
  SELECT software, sum(sessions) AS sessions FROM paired WHERE others_reach GROUP BY ALL
), failing AS (
  SELECT software, mechanism,
    coalesce(sum(sessions) FILTER (others_reach), 0) AS alone,
    coalesce(sum(sessions) FILTER (NOT others_reach), 0) AS together,
    count(DISTINCT registrable_domain) FILTER (others_reach) AS names
  FROM paired WHERE mechanism IS NOT NULL
  GROUP BY ALL HAVING names >= {defect_names} AND alone >= {floor_sessions}
), tried AS (
  SELECT software, count(DISTINCT registrable_domain) AS name_count
  FROM paired WHERE others_reach AND software IN (SELECT software FROM failing) GROUP BY ALL
), network_exposure AS (
  SELECT software, probe_asn, sum(sessions) AS sessions FROM paired WHERE others_reach GROUP BY ALL
), network_failing AS (
  SELECT software, probe_asn, mechanism, sum(sessions) AS sessions
  FROM paired WHERE others_reach AND mechanism IS NOT NULL GROUP BY ALL
), expected AS (
  -- What the version would show if it failed as often as the others do on the same networks: a
  -- version that happens to run on a flaky network is not defective.
  SELECT e.software, m.mechanism, sum(e.sessions) AS sessions,
    sum(e.sessions * coalesce((m.sessions - coalesce(f.sessions, 0))
                              / nullif(t.sessions - e.sessions, 0), 0)) AS expected_count
  FROM network_exposure e
    JOIN (SELECT probe_asn, mechanism, sum(sessions) AS sessions FROM network_failing GROUP BY ALL)
      m USING (probe_asn)
    JOIN (SELECT probe_asn, sum(sessions) AS sessions FROM network_exposure GROUP BY ALL)
      t USING (probe_asn)
    LEFT JOIN network_failing f USING (software, probe_asn, mechanism)
  GROUP BY ALL
), found AS MATERIALIZED (
  SELECT software, mechanism, names AS name_count, alone::BIGINT AS session_count,
    together::BIGINT AS shared_session_count, alone / exposure.sessions AS rate,
    expected_count / exposure.sessions AS usual_rate
  FROM failing JOIN exposure USING (software) JOIN tried USING (software)
    JOIN expected USING (software, mechanism)
  WHERE (alone >= 3 * together OR 2 * names >= tried.name_count)
    AND alone >= {defect_ratio} * expected_count AND rate >= 0.02
), witnesses AS (
  -- One report is one witness, however many sites it fails on.
  SELECT software, mechanism FROM seen SEMI JOIN found USING (software, mechanism)
  GROUP BY ALL HAVING count(DISTINCT session) >= {floor_sessions}
)
FROM found SEMI JOIN witnesses USING (software, mechanism)
"""
_NO_DEFECTS = """
SELECT software, mechanism, 0::BIGINT AS name_count, 0::BIGINT AS session_count,
  0::BIGINT AS shared_session_count, 0.0::DOUBLE AS rate, 0.0::DOUBLE AS usual_rate
FROM outcomes WHERE FALSE
"""

# Where the other versions fail too, a defective one tells the truth.
_SHARED = """
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
"""


def add_guards(connection: duckdb.DuckDBPyConnection, thresholds: Thresholds) -> None:
    """Create ``broken_sessions`` and ``defective_versions`` from ``outcomes`` and ``features``.

    ``broken_sessions``: one row per session and network, with the names that it failed on.
    ``defective_versions``: one row per software version and mechanism, with the rate at which
    it fails where others succeed, and the rate of the others on the same networks.
    ``shared_failures``: the sites, networks and quarters in which other versions fail as well as
    a defective one.
    """
    numbers = vars(thresholds)
    for name, query in (
        ("seen", _SEEN),
        ("normal", _NORMAL),
        ("broken_sessions", _BROKEN.format(**numbers)),
        ("version_cells", _VERSION_CELLS),
        ("defective_versions", _NO_DEFECTS),
    ):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
    # A defective release hides another one that is compared with it, so the search runs again.
    if connection.execute(_DEFECTS.format(**numbers)).fetchall() != [(0,)]:
        connection.execute(_DEFECTS.format(**numbers))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE shared_failures AS {_SHARED}")
    # They hold a row for nearly every measurement, and nothing after this asks them.
    for name in ("seen", "normal", "version_cells"):
        connection.execute(f"DROP TABLE {name}")
