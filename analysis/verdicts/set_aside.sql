-- Why a site with problems is not listed. Days are from $since until before $until.

-- name: problems
-- One row is one site and the reason that a rule gives for its failures (empty if no rule does): in
-- how many sessions it failed or was flagged for this reason.
SELECT enum_code(domain)::INTEGER AS domain,
  set_aside::VARCHAR AS problem, count(DISTINCT session) AS problem_count
FROM outcomes SEMI JOIN (FROM sessions WHERE day >= $since AND day < $until)
  USING (domain, probe_asn, session)
WHERE is_problem(is_anomaly, is_confirmed, class, set_aside)
  OR set_aside NOT IN ('', 'broken_session') GROUP BY ALL

-- name: leftovers
-- One row is one site whose name does not exist, and for which some network still answers in most
-- sessions as if it were blocked. One user's filter or one forged session is no network.
SELECT DISTINCT enum_code(domain)::INTEGER AS domain
FROM outcomes SEMI JOIN (FROM sessions WHERE day >= $since AND day < $until)
  USING (domain, probe_asn, session)
WHERE set_aside IN ('name_does_not_exist', 'leftover_block')
GROUP BY outcomes.domain, probe_asn
HAVING 2 * count(DISTINCT session) FILTER (set_aside = 'leftover_block') > count(DISTINCT session)

-- name: chosen_filters
-- One row is one site that a resolver which somebody chose blocks, where the network's own
-- resolvers give the site: in how many sessions.
SELECT enum_code(domain)::INTEGER AS domain, count(*) AS problem_count FROM sessions
WHERE NOT is_heard AND is_asked AND kind IN ('mark', 'dns_sent') AND day >= $since AND day < $until
GROUP BY ALL

-- name: refusing_sites
-- One row is one site that refuses the country: on nearly all access networks with evidence about
-- it, it refuses most sessions that do not reach it.
--
-- A challenge (a page that asks for proof of a human) meets some sessions, and not as many on each
-- network. A site that refuses the country may let hosting and VPN networks in, so these are left
-- out.
WITH refused AS (
  SELECT DISTINCT domain FROM sessions WHERE is_refused
), cells AS (
  SELECT domain, probe_asn,
    2 * count(*) FILTER (is_refused) > count(*) FILTER (class <> 'ok') AS is_refusing
  FROM sessions SEMI JOIN refused USING (domain)
  WHERE is_scored AND probe_asn IN (FROM domestic_resolvers) GROUP BY ALL
  HAVING count(*) >= $floor_sessions OR bool_or(is_refused)
)
SELECT enum_code(domain)::INTEGER AS domain FROM cells GROUP BY cells.domain
HAVING count(*) FILTER (is_refusing) >= $refusal_share * count(*)
   AND count(*) FILTER (is_refusing) > 0
