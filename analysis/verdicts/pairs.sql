-- The sessions that say something, and those that series of failures are made of.

-- name: told_sessions
-- One row is one session with a result that is evidence about its network, with the network's
-- number and operator; place is the row number in sessions.
SELECT domain, probe_asn, network, operator, is_witness, session, software, time, day, received_day,
  sessions.rowid AS place, class, kind, is_dns, is_speaking
FROM sessions JOIN networks USING (probe_asn) WHERE is_heard AND class <> 'none'

-- name: failing_sessions
-- One row is one session of a pair in which enough sessions failed for a state other than ok; by
-- pair, and in order of time.
WITH failing AS (
  SELECT domain, probe_asn FROM told_sessions
  GROUP BY ALL HAVING count(*) FILTER (class <> 'ok') >= $floor_sessions
)
SELECT enum_code(domain)::INTEGER AS domain, probe_asn, network, operator, is_witness,
  session::INTEGER AS session, enum_code(software)::INTEGER AS software, time, day,
  received_day, place,
  enum_code(class)::TINYINT AS class, coalesce(enum_code(kind), -1)::TINYINT AS kind, is_dns,
  is_speaking
FROM told_sessions t SEMI JOIN failing USING (domain, probe_asn)
ORDER BY t.domain, probe_asn, time, session
