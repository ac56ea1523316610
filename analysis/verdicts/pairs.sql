-- The sessions that series of failures are made of.

-- name: failing_sessions
-- One row is one session of a pair in which enough sessions failed for a state other than ok; by
-- pair, and in order of time.
WITH told AS (
  FROM heard_sessions WHERE class <> 'none'
), failing AS (
  SELECT domain, probe_asn FROM told
  GROUP BY ALL HAVING count(*) FILTER (class <> 'ok') >= $floor_sessions
)
SELECT enum_code(domain)::INTEGER AS domain, probe_asn, network, operator, is_witness,
  session::INTEGER AS session, enum_code(software)::INTEGER AS software, time, day, place,
  enum_code(class)::TINYINT AS class, coalesce(enum_code(kind), -1)::TINYINT AS kind, is_dns,
  is_speaking
FROM told SEMI JOIN failing USING (domain, probe_asn) JOIN networks USING (probe_asn)
ORDER BY told.domain, probe_asn, time, session
