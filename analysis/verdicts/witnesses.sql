-- A measurement that stands for a verdict.

-- name: witnesses
-- One row is one listed verdict, by number, with the measurement that shows it: the middle one of
-- those that fired the verdict's rule inside its interval. It is typical, and not the first one,
-- which is easiest to forge.
WITH candidates AS (
  SELECT l.number, o.input, m.report_id,
    row_number() OVER nth AS position, count(*) OVER (PARTITION BY l.number) AS total
  FROM outcomes o JOIN listed l ON l.domain::host_name = o.domain AND l.probe_asn = o.probe_asn
    AND l.rule_id = o.rule_id AND o.day BETWEEN l.blocked_from AND l.until
    JOIN observations m USING (row_id)
  WHERE m.report_id <> '' AND o.class = 'blocked'
  WINDOW nth AS (PARTITION BY l.number
                 ORDER BY o.measurement_start_time, o.session, o.input)
)
SELECT number, report_id AS witness_report_id, input::VARCHAR AS witness_input
FROM candidates WHERE position = (total + 1) // 2
