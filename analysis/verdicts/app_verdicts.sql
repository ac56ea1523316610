-- Results of other networks for a part of a messaging or circumvention test.

-- name: near_shares
-- One row is one part of a test, operator and day (part_days), by number: the share of other
-- operators' sessions about that day that failed, drawn towards zero.
--
-- Failures of every kind count: a defect of the test shows at one layer here and at another there.
-- Of one operator at most $most_counted sessions are counted.
WITH near AS (
  SELECT a.number, n.operator, count(*) AS sessions,
    count(*) FILTER (s.class = 'blocked') AS hits
  FROM part_days a JOIN sessions s ON enum_code(s.domain) = a.domain
      AND s.day BETWEEN a.day::DATE - $days AND a.day::DATE + $days
    JOIN networks n ON n.probe_asn = s.probe_asn AND n.operator <> a.operator
  WHERE s.class IN ('blocked', 'ok', 'unclear') AND n.is_domestic GROUP BY ALL
), counted AS (
  SELECT number, sum(least(sessions, $most_counted)) AS sessions,
    sum(least(sessions, $most_counted) * (hits / sessions)::DECIMAL(18, 12))::DOUBLE AS hits
  FROM near GROUP BY number
)
SELECT number,
  CASE WHEN coalesce(2 * hits >= sessions, TRUE) THEN $most ELSE hits / (sessions + $pseudo) END
    AS share
FROM part_days LEFT JOIN counted USING (number) ORDER BY number
