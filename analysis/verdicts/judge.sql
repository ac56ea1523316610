-- Which rules fired in the sessions of a stretch.

-- name: fired_rules
-- One row is one blocked measurement that counts as evidence, with its rule. They are few of all
-- measurements, and are asked about six times.
SELECT enum_code(domain)::INTEGER AS domain, probe_asn, session, rule_id, mechanism, rule_order
FROM outcomes WHERE class = 'blocked' AND NOT is_about_target AND evidence = 'scored'

-- name: rules_of_groups
-- One row is one group of hits_at_hand, by number: the rule and the mechanism of most blocked
-- sessions, and how many measurements fired a rule. If two rules have equally many sessions, the
-- earlier layer decides.
WITH fired AS (
  SELECT number, rule_id, any_value(mechanism) AS mechanism, any_value(rule_order) AS rule_order,
    count(DISTINCT session) AS sessions, count(*) AS measurements
  FROM hits_at_hand JOIN fired_rules USING (domain, probe_asn, session)
  GROUP BY number, rule_id
)
SELECT number, first(rule_id::VARCHAR ORDER BY sessions DESC, rule_order) AS rule_id,
  first(mechanism::VARCHAR ORDER BY sessions DESC, rule_order) AS mechanism,
  sum(measurements)::BIGINT AS measurement_count
FROM fired GROUP BY number ORDER BY number
