-- Sessions: the joint result of the measurements of a site in one run of a probe, and whether it is
-- evidence about the network.

-- name: received_runs
-- One row is one run, with the day on which OONI received it (store.receipt).
SELECT run AS session, min({received_day}) AS received_day FROM {rows} GROUP BY run

-- name: session_measurements
-- One row is one measurement of a site: the class that it gives to its session (shown), and the
-- kind of failure if it is blocked (kind).
--
-- Where the input redirects to another site, a failure there (is_about_target) is no evidence about
-- this site. A mark is a trace that only a network leaves. A lookup that fails without an answer
-- that the name is missing counts as silent.
SELECT domain, probe_asn, session, day, measurement_start_time AS time, software, is_https,
  resolver_asn = probe_asn AS is_via_own,
  resolver_asn IN (FROM domestic_resolvers) AS is_via_domestic,
  evidence = 'scored' AND r.probe_asn IS NULL AS is_scored,
  is_scored AND set_aside = 'geo_restricted' AS is_refused,
  (CASE WHEN NOT is_scored THEN 'none' WHEN is_about_target OR class = 'unknown' THEN 'unclear'
    ELSE class END)::session_class AS shown,
  shown = 'blocked' AND starts_with(mechanism, 'dns.') AS is_dns,
  (CASE WHEN shown <> 'blocked' THEN NULL WHEN is_artefact THEN 'mark'
    ELSE CASE split_part(mechanism, '.', 1) WHEN 'dns' THEN 'dns_' WHEN 'tcp' THEN 'tcp_'
           ELSE 'name_' END
      || CASE WHEN mechanism LIKE '%.timeout' OR rule_id = 'dns.failure' THEN 'silent'
           ELSE 'sent' END END)::failure_kind AS kind
FROM outcomes LEFT JOIN roaming_runs r USING (session, probe_asn) WHERE domain <> ''

-- name: input_counts
-- One row is one pair that was tested by http:// and by https:// inputs and fails often enough for
-- a state: in how many sessions the one and the other failed, of how many.
WITH failing AS (
  SELECT domain, probe_asn FROM session_measurements WHERE shown = 'blocked'
  GROUP BY ALL HAVING count(DISTINCT session) >= $floor_sessions
), shown AS (
  SELECT domain, probe_asn, is_https, session, bool_or(shown = 'blocked') AS fails
  FROM session_measurements SEMI JOIN failing USING (domain, probe_asn)
  WHERE shown IN ('blocked', 'ok') GROUP BY ALL
)
SELECT domain, probe_asn, count(*) FILTER (fails AND NOT is_https) AS http_failures,
  count(*) FILTER (NOT is_https) AS http_sessions, count(*) FILTER (fails) AS failures,
  count(*) AS sessions
FROM shown GROUP BY ALL HAVING bool_or(is_https) AND NOT bool_and(is_https)

-- name: classed_sessions
-- One row is one session of a site: domain, probe_asn, session.
--
-- A session has the class of most of its measurements that can be interpreted; if two classes have
-- equally many, its class is unknown. Where one kind of input fails alone (divided_pairs), the
-- measurements of that input decide (is_asked), if the session has any.
WITH deciding AS (
  SELECT domain, probe_asn, session FROM session_measurements
    JOIN divided_pairs USING (domain, probe_asn, is_https)
), asked AS (
  SELECT m.*, d.is_https IS NULL OR d.is_https = m.is_https AS is_asked
  FROM session_measurements m LEFT JOIN divided_pairs d USING (domain, probe_asn)
  WHERE is_asked OR (domain, probe_asn, session) NOT IN (FROM deciding)
), counted AS (
  SELECT domain, probe_asn, session, min(day) AS day, min(time) AS time, min(software) AS software,
    bool_and(is_asked) AS is_asked, bool_and(is_via_own) AS is_via_own,
    bool_and(is_via_domestic) AS is_via_domestic, bool_or(is_scored) AS is_scored,
    bool_or(is_refused) AS is_refused,
    count(*) FILTER (shown = 'blocked') AS blocked, count(*) FILTER (shown = 'down') AS down,
    count(*) FILTER (shown = 'ok') AS ok, count(*) FILTER (shown = 'unclear') AS unclear,
    list(kind) AS kinds, 2 * count(*) FILTER (is_dns) > blocked AS is_dns
  FROM asked GROUP BY domain, probe_asn, session
)
SELECT domain, probe_asn, session, day, received_day, time, software, is_asked, is_via_own,
  is_via_domestic, is_scored, is_refused,
  (CASE WHEN blocked > greatest(down, ok) THEN 'blocked'
        WHEN down > greatest(blocked, ok) THEN 'down'
        WHEN ok > greatest(blocked, down) THEN 'ok'
        WHEN blocked + down + ok = 0 AND unclear > 0 THEN 'unclear'
        ELSE 'none' END)::session_class AS class,
  -- the kind of most failures; if two are equally many, the first of KINDS
  CASE WHEN class = 'blocked' THEN list_mode(list_sort(kinds)) END AS kind, is_dns
FROM counted JOIN received_runs USING (session)

-- name: resolver_cells
-- One row is one pair of site and network in which some sessions used a resolver that is typical of
-- the network and others did not. The network's own resolvers are typical (is_own) or, if few
-- sessions used these, those of the country's access networks. A pair without a row has only
-- sessions of one sort.
--
-- A few sessions do not make a resolver typical.
WITH counted AS (
  SELECT domain, probe_asn, bool_and(is_via_own) AS is_all_own,
    bool_or(is_via_domestic) AS is_domestic, bool_and(is_via_domestic) AS is_all_domestic,
    count(*) FILTER (is_via_own AND class <> 'none') >= $floor_sessions
      AND count(DISTINCT received_day) FILTER (is_via_own AND class <> 'none') >= $floor_days
      AS is_own
  FROM classed_sessions GROUP BY ALL
)
SELECT domain, probe_asn, is_own FROM counted
WHERE CASE WHEN is_own THEN NOT is_all_own ELSE is_domestic AND NOT is_all_domestic END

-- name: sessions
-- One row is one session of a site, with is_speaking, whether it used a resolver that is typical of
-- the network; and is_heard, whether it is evidence about the network.
--
-- The answer of another resolver is no evidence against a block by the network's own. Not heard is
-- a session that tested only the kind of input that does not fail; and one whose lookup failed
-- through such a resolver, in a cleared pair: sessions with a typical resolver reach the site, and
-- lookups fail only through others. Those are filters that a user chose.
WITH spoken AS (
  SELECT s.*, is_own IS NOT NULL AS is_mixed,
    coalesce(CASE WHEN is_own THEN is_via_own WHEN NOT is_own THEN is_via_domestic END, TRUE)
      AS is_speaking
  FROM classed_sessions s LEFT JOIN resolver_cells USING (domain, probe_asn)
), cleared AS (
  SELECT domain, probe_asn FROM spoken WHERE is_mixed GROUP BY ALL
  HAVING count(*) FILTER (class = 'ok' AND is_speaking) >= $floor_sessions
    AND count(*) FILTER (class = 'blocked' AND is_dns AND is_via_domestic) < $floor_sessions
)
SELECT s.* EXCLUDE (is_mixed),
  is_asked AND (is_speaking OR c.domain IS NULL OR class <> 'blocked' OR NOT is_dns) AS is_heard
FROM spoken s LEFT JOIN cleared c USING (domain, probe_asn)

-- name: heard_sessions
-- One row is one session that is evidence about the network. A view.
FROM sessions WHERE is_heard

-- name: site_networks
-- One row is one site, with the network that hosts it: the one in which most sessions found it.
SELECT domain, mode(site_asn ORDER BY site_asn) AS site_asn
FROM (SELECT DISTINCT domain, session, site_asn FROM outcomes WHERE site_asn IS NOT NULL)
GROUP BY domain

-- name: networks
-- One row is one network with a session: its number (network) and its operator's, both from 0;
-- is_domestic, whether it is an access network of the country; is_witness, whether other networks
-- are compared with it, which takes enough sessions on enough days.
--
-- A network whose operator has no name is its own operator.
WITH counted AS (
  SELECT probe_asn, count(DISTINCT session) >= $floor_sessions
    AND count(DISTINCT received_day) >= $floor_days AS is_enough
  FROM sessions GROUP BY probe_asn
)
SELECT probe_asn, (row_number() OVER (ORDER BY probe_asn) - 1)::INTEGER AS network,
  (dense_rank() OVER (ORDER BY coalesce(name, 'AS' || probe_asn)) - 1)::INTEGER AS operator,
  asn IS NOT NULL AS is_domestic, is_domestic AND is_enough AS is_witness
FROM counted LEFT JOIN operator_names USING (probe_asn)
  LEFT JOIN domestic_resolvers ON asn = probe_asn
