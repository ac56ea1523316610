-- How often a session would fail if nobody blocked: what others teach.

-- name: lessons
-- One row is one series of the kind $kind, by number: how many sessions of other operators failed
-- at its site (site_failures of site_sessions); how many votes of its network's sessions say that
-- sites fail (network_failures of network_sessions); usual, how often any site fails; and
-- other_probes_share, the share of such votes without the kind of probe that fails most on the
-- network (null if there is one kind only).
--
-- Only networks that are evidence for others teach. A failure of another kind teaches nothing about
-- this kind, and neither does a site that is down for the control. Two things are left out:
-- sessions in a segment that may be a block (candidates_at_hand), and the failures of a pair that
-- fails in at least half of its sessions. Votes are rounded, so that their sum is the same in any
-- order.
WITH told AS (
  SELECT domain, probe_asn, operator, network, is_witness, session, class, place,
    regexp_replace(software::VARCHAR, '[-. 0-9]+$', '') AS program,
    coalesce(kind::VARCHAR = $kind, FALSE) AS is_hit
  FROM heard_sessions JOIN networks USING (probe_asn) WHERE class <> 'none'
), mostly AS (
  SELECT domain, probe_asn FROM told GROUP BY ALL HAVING 2 * count(*) FILTER (is_hit) >= count(*)
), taught AS MATERIALIZED (
  SELECT t.* FROM told t LEFT JOIN mostly m USING (domain, probe_asn)
  WHERE is_witness AND class <> 'down' AND (is_hit OR class <> 'blocked')
    AND NOT (is_hit AND m.domain IS NOT NULL)
    AND place NOT IN (SELECT place FROM candidates_at_hand)
), sites AS (
  SELECT enum_code(domain) AS domain, operator, count(*) FILTER (is_hit) AS failures,
    count(*) AS sessions
  FROM taught GROUP BY ALL
), reports AS (
  SELECT network, min(program) AS program,
    (count(*) FILTER (is_hit) / count(*))::DECIMAL(18, 12) AS vote
  FROM taught GROUP BY network, session
), programs AS (
  SELECT network, sum(vote) AS failures, count(*) AS reports FROM reports
  GROUP BY network, program
), votes AS (
  SELECT network, sum(failures)::DOUBLE AS failures, sum(reports)::BIGINT AS reports,
    (sum(failures) - max(failures))::DOUBLE
      / nullif(sum(reports) - max_by(reports, (failures, reports)), 0) AS other_probes_share
  FROM programs GROUP BY network
), every AS (
  SELECT count(*) FILTER (is_hit) AS failures, count(*) AS sessions FROM taught
), elsewhere AS (
  SELECT number, sum(failures) AS failures, sum(sessions) AS sessions
  FROM series_at_hand a JOIN sites s ON s.domain = a.domain AND s.operator <> a.operator
  GROUP BY number
)
SELECT number, coalesce(e.failures, 0)::DOUBLE AS site_failures,
  coalesce(e.sessions, 0)::DOUBLE AS site_sessions,
  coalesce(v.failures, 0) AS network_failures, coalesce(reports, 0)::DOUBLE AS network_sessions,
  (every.failures + $pseudo * $prior) / (every.sessions + $pseudo) AS usual,
  coalesce(v.other_probes_share, 1) AS other_probes_share
FROM series_at_hand LEFT JOIN elsewhere e USING (number) LEFT JOIN votes v USING (network), every
ORDER BY number
