-- How often a session would fail if nobody blocked: what others teach.
--
-- Only networks that are evidence for others teach. A failure of another kind teaches nothing about
-- a kind, and neither does a site that is down for the control. So what was open is counted once,
-- for all kinds (open_sites, open_runs), and each kind adds its failures.

-- name: open_sites
-- One row is one site and operator: its sessions that did not fail (tests).
SELECT domain, operator, count(*) AS tests FROM told_sessions
WHERE is_witness AND class IN ('ok', 'unclear') GROUP BY ALL

-- name: open_runs
-- One row is one run: its sites that did not fail (tests).
SELECT network, session, min(software) AS software, count(*) AS tests FROM told_sessions
WHERE is_witness AND class IN ('ok', 'unclear') GROUP BY ALL

-- name: teaching_failures
-- One row is one failure of a pair that fails in this way in fewer than half of its sessions.
WITH mostly AS (
  SELECT domain, probe_asn, kind FROM told_sessions GROUP BY domain, probe_asn, kind
  QUALIFY 2 * count(*) >= sum(count(*)) OVER (PARTITION BY domain, probe_asn)
)
FROM told_sessions ANTI JOIN mostly USING (domain, probe_asn, kind)
WHERE is_witness AND kind IS NOT NULL

-- name: lessons
-- One row is one series (series_at_hand), by number: how many sessions of other operators failed
-- at its site (site_failures of site_sessions); how many votes of its network's sessions say that
-- sites fail (network_failures of network_sessions); usual, how often any site fails; and
-- other_probes_share, the share of such votes without the kind of probe that fails most on the
-- network (1 if there is one kind only).
--
-- Sessions in a segment that may be a block of a kind (candidates_at_hand) teach nothing about it:
-- what is open there is taken away from the tests. Votes are rounded, so that their sum is the same
-- in any order.
WITH kinds AS (
  SELECT DISTINCT kind FROM series_at_hand
), changes AS (
  SELECT kind, domain, operator, network, session, software, 1 AS hits, 1 AS tests
  FROM teaching_failures ANTI JOIN candidates_at_hand USING (kind, place)
  UNION ALL
  SELECT c.kind, domain, operator, network, session, software, 0, -1
  FROM told_sessions JOIN candidates_at_hand c USING (place)
  WHERE is_witness AND class IN ('ok', 'unclear')
), sites AS (
  SELECT kind, enum_code(domain) AS domain, operator, sum(hits) AS hits, sum(tests) AS tests
  FROM (SELECT kind, domain, operator, hits, tests FROM changes
        UNION ALL SELECT kind, domain, operator, 0, tests FROM open_sites, kinds)
  GROUP BY ALL
), elsewhere AS (
  SELECT number, sum(hits) AS hits, sum(tests) AS tests
  FROM series_at_hand a JOIN sites s ON s.kind = a.kind AND s.domain = a.domain
    AND s.operator <> a.operator
  GROUP BY number
), every AS (
  SELECT kind, sum(hits) AS hits, sum(tests) AS tests FROM sites GROUP BY kind
), changed_runs AS (
  SELECT kind, network, min(c.software) AS software, any_value(coalesce(o.tests, 0)) AS open_tests,
    open_tests + sum(c.tests) AS all_tests,
    (sum(hits) / greatest(all_tests, 1))::DECIMAL(18, 12) AS vote,
    (all_tests > 0)::INTEGER - (open_tests > 0)::INTEGER AS runs
  FROM changes c LEFT JOIN open_runs o USING (network, session) GROUP BY kind, network, session
), votes AS (
  SELECT kind, network, software, vote, runs FROM changed_runs
  UNION ALL
  SELECT kind, network, software, 0, count(*) FROM open_runs, kinds GROUP BY ALL
), programs AS (
  SELECT kind, network, sum(vote) AS hits, sum(runs) AS runs FROM votes
  GROUP BY kind, network, regexp_replace(software::VARCHAR, '[-. 0-9]+$', '')
), networks_of AS (
  SELECT kind, network, sum(hits)::DOUBLE AS hits, sum(runs)::DOUBLE AS runs,
    (sum(hits) - max(hits))::DOUBLE / nullif(sum(runs) - max_by(runs, (hits, runs)), 0)
      AS other_probes_share
  FROM programs GROUP BY kind, network
)
SELECT coalesce(e.hits, 0)::DOUBLE AS site_failures, coalesce(e.tests, 0)::DOUBLE AS site_sessions,
  coalesce(n.hits, 0) AS network_failures, coalesce(n.runs, 0) AS network_sessions,
  ((coalesce(every.hits, 0) + $pseudo * $prior) / (coalesce(every.tests, 0) + $pseudo))::DOUBLE
    AS usual,
  coalesce(other_probes_share, 1) AS other_probes_share
FROM series_at_hand LEFT JOIN elsewhere e USING (number)
  LEFT JOIN networks_of n USING (kind, network) LEFT JOIN every USING (kind)
ORDER BY number
