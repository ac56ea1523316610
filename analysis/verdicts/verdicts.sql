-- Counts of each pair of site and network in each period (periods, which may overlap).

-- name: dated_outcomes
-- One row is one measurement of a site in one period: whether OONI flags it, or a rule takes it for
-- blocking or a refusal (is_problem); and the resolver of a blocked lookup (blocking_resolver_asn).
--
-- A session belongs to the day on which it began, and so do its measurements: else a session that
-- runs over midnight could leave a period with measurements and without a session.
SELECT domain, probe_asn, session, period, class, set_aside,
  coalesce(is_anomaly OR is_confirmed OR class = 'blocked' OR set_aside = 'geo_restricted', FALSE)
    AS is_problem,
  CASE WHEN class = 'blocked' AND resolver_asn > 0 AND dns_rule = rule_id
    THEN resolver_asn END AS blocking_resolver_asn
FROM outcomes JOIN (SELECT domain, probe_asn, session, day AS began FROM sessions)
    USING (domain, probe_asn, session)
  JOIN periods ON began >= since AND began < until

-- name: session_counts
-- One row is one pair of site and network in one period: its sessions by class, and its days.
--
-- Days are grouped first, because counting distinct days is slow.
WITH days AS (
  SELECT domain, probe_asn, day, count(*) AS sessions,
    count(*) FILTER (class = 'blocked') AS blocked, count(*) FILTER (class = 'down') AS down,
    count(*) FILTER (class = 'ok') AS ok,
    count(*) FILTER (is_heard AND class <> 'none') AS heard,
    count(*) FILTER (is_heard AND kind = 'mark') AS marks
  FROM sessions GROUP BY ALL
)
SELECT domain, probe_asn, period, count(*) AS day_count, count(*) FILTER (ok > 0) AS ok_days,
  count(*) FILTER (marks > 0) AS marked_days, sum(sessions)::BIGINT AS session_count,
  sum(blocked)::BIGINT AS blocked_session_count, sum(down)::BIGINT AS down_session_count,
  sum(ok)::BIGINT AS ok_session_count, sum(heard)::BIGINT AS heard_session_count,
  max(day) FILTER (blocked + down + ok > 0) AS last_known, min(day) FILTER (ok > 0) AS first_open
FROM days JOIN periods ON day >= since AND day < until GROUP BY ALL

-- name: cell_counts
-- One row is one pair of site and network in one period in which it was measured: its
-- measurements, sessions and days, and the resolvers of most blocked sessions.
WITH counted AS (
  SELECT domain, probe_asn, period, bool_or(is_problem) AS has_problem,
    count(*) AS measurement_count, count(*) FILTER (class = 'blocked') AS blocked_count,
    count(*) FILTER (class = 'down') AS down_count, count(*) FILTER (class = 'ok') AS ok_count,
    count(*) FILTER (class = 'unknown') AS unknown_count
  FROM dated_outcomes GROUP BY ALL
), resolvers AS (
  -- a single report can name any number of resolvers
  SELECT domain, probe_asn, period,
    (list(asn ORDER BY sessions DESC, asn))[:$most_resolvers] AS asns
  FROM (
    SELECT domain, probe_asn, period, blocking_resolver_asn AS asn,
      count(DISTINCT session) AS sessions
    FROM dated_outcomes WHERE asn IS NOT NULL GROUP BY ALL HAVING sessions >= 2
  ) GROUP BY ALL
), own AS (
  -- sessions with the network's own resolver, in pairs with others as well
  SELECT domain, probe_asn,
    count(*) FILTER (is_via_own AND class <> 'none')::DOUBLE AS own_session_count
  FROM sessions GROUP BY ALL HAVING NOT bool_and(coalesce(is_via_own, FALSE))
)
SELECT c.* REPLACE (enum_code(c.domain)::INTEGER AS domain),
  s.* EXCLUDE (domain, probe_asn, period), own_session_count, to_unite::DOUBLE AS to_unite,
  coalesce(array_to_string(['AS' || asn FOR asn IN list_sort(asns)], ';'), '') AS resolver_asns,
  CASE is_https WHEN TRUE THEN 'https' WHEN FALSE THEN 'http' ELSE '' END AS inputs
FROM counted c JOIN session_counts s USING (domain, probe_asn, period)
  LEFT JOIN resolvers USING (domain, probe_asn, period) LEFT JOIN own USING (domain, probe_asn)
  LEFT JOIN divided_pairs USING (domain, probe_asn)
