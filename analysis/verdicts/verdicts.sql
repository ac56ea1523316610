-- Counts of each pair of site and network in a period. Periods are divided into parts that no edge
-- of a period divides (period_parts); counts are made once for each part, and then added.

-- name: is_problem(is_anomaly, is_confirmed, class, set_aside)
-- Whether OONI flags a measurement, or a rule takes it for blocking or a refusal.
is_anomaly OR is_confirmed OR class = 'blocked' OR set_aside = 'geo_restricted'

-- name: measurement_counts
-- One row is one pair of site and network in one part of the time, by class, is_problem and, of
-- blocked lookups, the resolver (blocking_resolver_asn).
--
-- A session belongs to the day on which it began, and so do its measurements: else a session that
-- runs over midnight could leave a period with measurements and without a session.
WITH long AS (
  SELECT session FROM outcomes GROUP BY session HAVING min(day) < max(day)
), begun AS (
  SELECT domain, probe_asn, session, day FROM sessions SEMI JOIN long USING (session)
), dated AS (
  SELECT o.*, coalesce(b.day, o.day) AS session_day
  FROM outcomes o LEFT JOIN begun b USING (domain, probe_asn, session)
  WHERE o.domain <> ''
)
SELECT domain, probe_asn, part, class,
  CASE WHEN class = 'blocked' AND resolver_asn > 0 AND dns_rule = rule_id
    THEN resolver_asn END AS blocking_resolver_asn,
  is_problem(is_anomaly, is_confirmed, class, set_aside) AS is_problem,
  count(*) AS measurement_count,
  count(DISTINCT session) FILTER (class = 'blocked') AS blocking_sessions
FROM dated JOIN period_parts ON session_day >= part AND session_day < next_part
GROUP BY ALL

-- name: cell_parts
-- One row is one pair of site and network in one part of the time: its sessions by class, and its
-- days.
--
-- Days are grouped first, because counting distinct days is slow.
WITH days AS (
  SELECT domain, probe_asn, part, day, count(*) AS sessions,
    count(*) FILTER (class = 'blocked') AS blocked, count(*) FILTER (class = 'down') AS down,
    count(*) FILTER (class = 'ok') AS ok, count(*) FILTER (class = 'unclear') AS unclear,
    count(*) FILTER (is_heard AND class <> 'none') AS heard,
    count(*) FILTER (is_heard AND kind = 'mark') AS marks
  FROM sessions JOIN period_parts ON day >= part AND day < next_part GROUP BY ALL
)
SELECT enum_code(domain)::INTEGER AS domain, probe_asn, part,
  count(*) AS day_count, count(*) FILTER (ok > 0) AS ok_days,
  count(*) FILTER (marks > 0) AS marked_days, sum(sessions) AS session_count, sum(heard) AS heard,
  sum(blocked) AS blocked_sessions, sum(down) AS down_sessions, sum(ok) AS ok_sessions,
  sum(unclear) AS unclear_sessions,
  max(day) FILTER (blocked + down + ok > 0) AS last_known, min(day) FILTER (ok > 0) AS first_open
FROM days GROUP BY ALL

-- name: cell_counts
-- One row is one pair of site and network that was measured from $since until before $until: its
-- measurements, sessions and days, and the resolvers of most blocked sessions.
WITH inside AS (
  FROM measurement_counts WHERE part >= $since AND part < $until
), counted AS (
  SELECT domain, probe_asn, coalesce(bool_or(is_problem), FALSE) AS has_problem,
    sum(measurement_count)::BIGINT AS measurement_count,
    coalesce(sum(measurement_count) FILTER (class = 'blocked'), 0)::BIGINT AS blocked_count,
    coalesce(sum(measurement_count) FILTER (class = 'down'), 0)::BIGINT AS down_count,
    coalesce(sum(measurement_count) FILTER (class = 'ok'), 0)::BIGINT AS ok_count,
    coalesce(sum(measurement_count) FILTER (class = 'unknown'), 0)::BIGINT AS unknown_count
  FROM inside GROUP BY ALL
), resolvers AS (
  -- a single report can name any number of resolvers
  SELECT domain, probe_asn, string_agg('AS' || asn, ';' ORDER BY asn) AS resolver_asns
  FROM (
    SELECT domain, probe_asn, blocking_resolver_asn AS asn, sum(blocking_sessions) AS sessions
    FROM inside WHERE asn IS NOT NULL GROUP BY domain, probe_asn, asn HAVING sessions >= 2
    QUALIFY row_number() OVER (PARTITION BY domain, probe_asn ORDER BY sessions DESC, asn)
      <= $most_resolvers
  ) GROUP BY ALL
), days AS (
  SELECT domain, probe_asn, sum(day_count)::BIGINT AS day_count, sum(ok_days)::BIGINT AS ok_days,
    sum(marked_days)::BIGINT AS marked_days, sum(session_count)::BIGINT AS session_count,
    sum(heard)::BIGINT AS heard_session_count,
    sum(blocked_sessions)::BIGINT AS blocked_session_count,
    sum(down_sessions)::BIGINT AS down_session_count,
    sum(ok_sessions)::BIGINT AS ok_session_count,
    sum(unclear_sessions)::BIGINT AS unclear_sessions,
    max(last_known) AS last_known, min(first_open) AS first_open
  FROM cell_parts WHERE part >= $since AND part < $until GROUP BY ALL
), own AS (
  -- sessions with the network's own resolver, in pairs with others as well
  SELECT domain, probe_asn,
    count(*) FILTER (is_via_own AND class <> 'none')::DOUBLE AS own_session_count
  FROM sessions GROUP BY ALL HAVING NOT bool_and(coalesce(is_via_own, FALSE))
)
SELECT s.domain, m.probe_asn, m.* EXCLUDE (domain, probe_asn),
  s.* EXCLUDE (domain, probe_asn), coalesce(resolver_asns, '') AS resolver_asns,
  own_session_count, to_unite::DOUBLE AS to_unite,
  CASE is_https WHEN TRUE THEN 'https' WHEN FALSE THEN 'http' ELSE '' END AS inputs
FROM counted m JOIN days s ON enum_code(m.domain) = s.domain AND m.probe_asn = s.probe_asn
  LEFT JOIN resolvers r ON r.domain = m.domain AND r.probe_asn = m.probe_asn
  LEFT JOIN own o ON o.domain = m.domain AND o.probe_asn = m.probe_asn
  LEFT JOIN divided_pairs i ON i.domain = m.domain AND i.probe_asn = m.probe_asn
