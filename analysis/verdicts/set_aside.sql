-- Why a site with problems is not listed, in each period (periods).

-- name: refusing_sites
-- One row is one site that refuses the country: on nearly all access networks with evidence about
-- it, it refuses most sessions that do not reach it.
--
-- A challenge (a page that asks for proof of a human) meets some sessions, and not as many on each
-- network. A site that refuses the country may let hosting and VPN networks in, so these are left
-- out.
WITH cells AS (
  SELECT domain, probe_asn,
    2 * count(*) FILTER (is_refused) > count(*) FILTER (class <> 'ok') AS is_refusing
  FROM sessions WHERE is_scored AND probe_asn IN (FROM domestic_resolvers) GROUP BY ALL
  HAVING count(*) >= $floor_sessions OR bool_or(is_refused)
)
SELECT domain FROM cells GROUP BY domain
HAVING count(*) FILTER (is_refusing) >= $refusal_share * count(*)
   AND count(*) FILTER (is_refusing) > 0

-- name: leftovers
-- One row is one site whose name does not exist, and for which some network still answers in most
-- sessions as if it were blocked. One user's filter or one forged session is no network.
SELECT DISTINCT domain, period FROM dated_outcomes
WHERE set_aside IN ('name_does_not_exist', 'leftover_block')
GROUP BY domain, period, probe_asn
HAVING 2 * count(DISTINCT session) FILTER (set_aside = 'leftover_block') > count(DISTINCT session)

-- name: shown_by_many
-- One row is one site and a reason that only many sessions show, and no rule for a single
-- measurement: in how many sessions. A defect of one kind of probe (pairs_at_hand); or a resolver
-- that somebody chose blocks the site, where the network's own resolvers give it.
SELECT domain, period, 'instrument' AS problem, sum(defect_count)::BIGINT AS problem_count
FROM pairs_at_hand WHERE defect_count > 0 GROUP BY ALL
UNION ALL
SELECT enum_code(domain)::INTEGER, period, 'local_filter', count(*)
FROM sessions JOIN periods ON day >= since AND day < until
WHERE NOT is_heard AND is_asked AND kind IN ('mark', 'dns_sent') GROUP BY ALL

-- name: set_aside_reasons
-- One row is one pair of pairs_at_hand, by number, with a problem and not listed: the reason of
-- most of its site's problems. If these have none, the states of the site's pairs decide.
--
-- Problems have the reason that a rule gives (empty if no rule does). What many sessions show were
-- problems without a reason. All sessions of a site whose name does not exist get the same reason.
-- Among reasons of equally many sessions, having none comes first.
WITH problems AS (
  SELECT enum_code(domain)::INTEGER AS domain, period, CASE
      WHEN set_aside = 'geo_restricted' AND domain NOT IN (FROM refusing_sites) THEN ''
      WHEN set_aside NOT IN ('name_does_not_exist', 'leftover_block') THEN set_aside::VARCHAR
      WHEN (domain, period) IN (FROM leftovers) THEN 'leftover_block'
      ELSE 'name_does_not_exist' END AS problem,
    count(DISTINCT (session, set_aside)) AS problem_count
  FROM dated_outcomes WHERE is_problem OR set_aside NOT IN ('', 'broken_session') GROUP BY ALL
), sums AS (
  SELECT domain, period, problem, sum(problem_count) AS problem_count
  FROM (FROM problems UNION ALL FROM shown_by_many
        UNION ALL SELECT domain, period, '', -problem_count FROM shown_by_many)
  GROUP BY ALL
), largest AS (
  SELECT domain, period, first(problem ORDER BY problem_count DESC, problem) AS reason
  FROM sums GROUP BY ALL
), asked AS (
  SELECT *, CASE WHEN bool_or(state = 'impaired') OVER site THEN 'impaired'
      WHEN bool_or(state = 'unexplained') OVER site THEN 'unexplained'
      WHEN bool_or(state = 'down') OVER site THEN 'down'
      WHEN bool_or(state = 'ok' OR insufficient_reason = 'mixed') OVER site
        THEN 'anomaly_unexplained'
      ELSE 'insufficient' END AS otherwise
  FROM pairs_at_hand WHERE has_problem AND NOT is_listed
  WINDOW site AS (PARTITION BY domain, period)
)
SELECT number, coalesce(nullif(reason, ''), otherwise) AS reason
FROM asked LEFT JOIN largest USING (domain, period) ORDER BY number
