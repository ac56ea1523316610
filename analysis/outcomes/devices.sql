-- Does the device work? Sessions whose failures say nothing about the sites, by what other networks
-- reached meanwhile.

-- name: seen
-- One row is one session of a site: whether it reached the site (is_ok), and the layer at which it
-- failed. A site that refuses the visitor was reached as far as the probe can.
WITH explained AS (
  SELECT *, class = 'ok' OR (evidence = 'scored' AND set_aside = 'geo_restricted') AS is_reached,
    class = 'blocked' OR (class = 'unknown' AND (evidence = 'scored' OR is_failing)) AS fails
  FROM first_reading JOIN rules USING (rule_id) WHERE domain <> ''
)
SELECT domain, any_value(registrable_domain) AS registrable_domain, probe_asn, session,
  min(day) AS day, bool_or(is_https) AS is_https, bool_or(is_reached) AS is_ok,
  NOT is_ok AS is_failing, min(split_part(rule_id::VARCHAR, '.', 1)) FILTER (fails) AS layer
FROM explained GROUP BY domain, probe_asn, session HAVING bool_or(is_reached OR fails)

-- name: doubtful
-- One row is one session of a site, of sessions that fail on most of what they tested. They are
-- few, and only their names need to be counted.
FROM seen SEMI JOIN (
  SELECT session, probe_asn FROM seen GROUP BY ALL
  HAVING count(*) FILTER (is_failing) > $broken_share * count(*)
      OR count(*) FILTER (is_https AND layer = 'tls')
        > $broken_share * count(*) FILTER (is_https AND coalesce(layer IN ('tls', 'http'), TRUE))
) USING (session, probe_asn)

-- name: reference_networks
-- One row is one network by which others are judged: it has sessions and days enough for a state of
-- its own, and is one of $reference_asns (null for all).
SELECT probe_asn FROM seen
WHERE $reference_asns IS NULL OR list_contains($reference_asns, probe_asn) GROUP BY ALL
HAVING count(DISTINCT session) >= $floor_sessions AND count(DISTINCT day) >= $floor_days

-- name: daily
-- One row is one site on one network and day: how many sessions reached it (ok) of those that
-- tested it (tested). Only of names that a doubtful session tested.
SELECT domain, probe_asn, day, count(*) FILTER (is_ok) AS ok, count(*) AS tested
FROM seen SEMI JOIN (SELECT DISTINCT domain FROM doubtful) USING (domain) GROUP BY ALL

-- name: normal_names
-- One row is one site on one network and day that a doubtful session tested and that works: the
-- other networks mostly reached it about that day.
--
-- Days within $near_days are used if two networks tested the site there in enough sessions, else
-- days within $far_days. Where fewer than two other networks tested it, the network's own majority
-- decides.
WITH doubtful_days AS (
  SELECT DISTINCT domain, probe_asn, day FROM doubtful
), around AS (
  SELECT a.domain, a.probe_asn, a.day, o.probe_asn AS other, sum(o.ok) AS ok,
    sum(o.tested) AS tested,
    sum(o.ok) FILTER (abs(o.day - a.day) <= $near_days) AS near_ok,
    sum(o.tested) FILTER (abs(o.day - a.day) <= $near_days) AS near_tested
  FROM doubtful_days a JOIN (FROM daily SEMI JOIN reference_networks USING (probe_asn)) o
    ON o.domain = a.domain AND o.probe_asn <> a.probe_asn
      AND o.day BETWEEN a.day - $far_days AND a.day + $far_days
  GROUP BY ALL
), others AS (
  SELECT domain, probe_asn, day, count(*) AS tested, count(*) FILTER (2 * ok > tested) AS reaching,
    count(near_tested) AS near_tested, count(*) FILTER (2 * near_ok > near_tested) AS near_reaching,
    coalesce(sum(near_tested), 0) AS near_sessions
  FROM around GROUP BY ALL
), own AS (
  SELECT domain, probe_asn, 2 * sum(ok) > sum(tested) AS is_reached FROM daily GROUP BY ALL
)
SELECT domain, probe_asn, day
FROM doubtful_days JOIN own USING (domain, probe_asn)
  LEFT JOIN others USING (domain, probe_asn, day)
WHERE CASE
  WHEN near_tested >= 2 AND near_sessions >= $floor_sessions
    THEN near_reaching >= $reaching_share * near_tested
  WHEN tested >= 2 THEN reaching >= $reaching_share * tested
  ELSE is_reached END

-- name: failing_sessions(counted, least_names, least_share)
-- One row is one session that fails on more than least_share of the names in the relation counted,
-- of which it tested least_names at least; or that fails in the handshake with as many https names.
-- Names are counted by registrable domain.
--
-- An antivirus breaks TLS, and a filter breaks lookups; so handshakes are counted by themselves,
-- among the names that got as far.
TABLE
WITH tests AS (
  SELECT session, probe_asn, registrable_domain, is_failing,
    is_https AND (NOT is_failing OR layer IN ('tls', 'http')) AS is_shaken,
    is_https AND is_failing AND layer = 'tls' AS is_unshaken
  FROM doubtful SEMI JOIN query_table(counted) USING (domain, probe_asn, day)
), counted AS (
  SELECT session, probe_asn, count(DISTINCT registrable_domain) AS name_count,
    count(DISTINCT registrable_domain) FILTER (is_failing) AS failing_name_count,
    count(DISTINCT registrable_domain) FILTER (is_shaken) AS shaken_count,
    count(DISTINCT registrable_domain) FILTER (is_unshaken) AS unshaken_count
  FROM tests GROUP BY ALL
)
SELECT session, probe_asn, name_count, failing_name_count FROM counted
WHERE name_count >= least_names AND failing_name_count > least_share * name_count
   OR shaken_count >= least_names AND unshaken_count > least_share * shaken_count

-- name: suspected
-- One row is one session that fails on too many names that work.
FROM failing_sessions('normal_names', $broken_names, $broken_share)

-- name: judged_names
-- One row is one row of normal_names that counts against a session. Names that the network's
-- working sessions of these days mostly miss as well may be blocked there, and are left out:
-- whoever tests a list of blocked sites must not be discarded for it.
WITH working AS (
  SELECT domain, probe_asn, day, is_ok FROM seen ANTI JOIN suspected USING (session, probe_asn)
), missed AS (
  SELECT n.domain, n.probe_asn, n.day FROM normal_names n JOIN working w
    ON w.domain = n.domain AND w.probe_asn = n.probe_asn
      AND w.day BETWEEN n.day - $own_days AND n.day + $own_days
  GROUP BY ALL HAVING count(*) >= 2 AND 2 * count(*) FILTER (w.is_ok) < count(*)
)
FROM normal_names ANTI JOIN missed USING (domain, probe_asn, day)

-- name: lost_sessions
-- One row is one session that fails on too many of these names.
FROM failing_sessions('judged_names', $broken_names, $broken_share)

-- name: mistimed_sessions
-- One row is one session of a probe whose clock is wrong: it finds no valid certificate anywhere.
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

-- name: broken_sessions
-- One row is one session that says nothing about the sites, with how many names it tested and how
-- many failed.
FROM lost_sessions UNION ALL FROM mistimed_sessions ANTI JOIN lost_sessions
  USING (session, probe_asn)
