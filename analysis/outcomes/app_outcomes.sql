-- What each measurement of a messaging or circumvention test shows of each part of the test.

-- name: messaging_endpoint
-- One row is one endpoint that a measurement tried: whether it was cut off (is_cut). An endpoint
-- that failed behind the layer that decides was connected.
WITH tried AS (
  SELECT object_key, line_number, test_name, unnest(endpoints) AS tried FROM messaging
  WHERE NOT is_failure
)
SELECT object_key, line_number, test_name, p.part, needs_all, tried.endpoint, tried.failure,
  list_position($layers, tried.layer) AS layer,
  coalesce(list_position($layers, tried.layer) <= last_layer
    AND NOT regexp_matches(tried.failure, $of_the_probe), FALSE) AS is_cut,
  tried.layer IS NOT NULL AS is_unreached,
FROM tried t JOIN messaging_part p USING (test_name)
WHERE p.part = tried.part

-- name: messaging_outcome
-- One row is one part of a measurement whose endpoints were tried: where and how most endpoints
-- ended (of equally many the earlier layer), and what that makes of the part (class). An endpoint's
-- host is its name, or the /24 network of its address.
WITH ended AS (
  SELECT object_key, line_number, part, layer, failure, count(*) AS endpoint_count
  FROM messaging_endpoint WHERE is_cut GROUP BY ALL
), most AS (
  SELECT object_key, line_number, part,
    first(layer ORDER BY endpoint_count DESC, layer, failure) AS layer,
    first(failure ORDER BY endpoint_count DESC, layer, failure) AS failure
  FROM ended GROUP BY ALL
), counted AS (
  SELECT object_key, line_number, part, any_value(needs_all) AS needs_all,
    count(*) AS tried_count, count(*) FILTER (is_cut) AS cut_count,
    count(*) FILTER (is_unreached) AS unreached_count, count(DISTINCT host) AS host_count,
    count(DISTINCT host) FILTER (is_cut) AS cut_host_count
  FROM (SELECT *, regexp_extract(endpoint, '^([0-9]+[.][0-9]+[.][0-9]+[.]|.*)', 1) AS host
        FROM messaging_endpoint) GROUP BY object_key, line_number, part
)
SELECT c.* EXCLUDE (host_count, cut_host_count), layer, failure,
  CASE WHEN needs_all AND cut_count > 0
         OR 2 * cut_count > tried_count AND cut_host_count >= least(2, host_count) THEN 'blocked'
       WHEN 2 * unreached_count > tried_count THEN 'unknown'
       ELSE 'ok' END AS class
FROM counted c LEFT JOIN most USING (object_key, line_number, part)

-- name: messaging_results
-- One row is one part of a measurement, tried or not.
SELECT object_key, line_number, p.part,
  coalesce(tried_count, 0) AS tried_count, coalesce(cut_count, 0) AS cut_count,
  coalesce(class, 'unknown') AS class, layer, failure, class IS NOT NULL AS is_scored
FROM messaging m JOIN messaging_part p USING (test_name)
  LEFT JOIN messaging_outcome o USING (object_key, line_number, part)

-- name: messaging_named
-- One row is one part of a measurement, with the part in the place of a site.
SELECT row_id, object_key, line_number, test_name, part AS test_part, '' AS input,
  measurement_start_time, measurement_start_time::DATE AS day, run AS session,
  test_name || '/' || part AS domain, probe_asn, resolver_asn, NULL::UINTEGER AS site_asn,
  concat_ws(' ', software_name, software_version, test_version) AS software, TRUE AS is_https,
  is_anomaly AND NOT is_failure AS is_anomaly, FALSE AS is_confirmed, is_failure,
  tried_count, cut_count, class,
  CASE WHEN class = 'blocked' THEN $layers[layer] || '.' || manner_of(failure) ELSE '' END
    AS mechanism,
  if(is_scored, 'scored', 'none') AS evidence,
  -- an address that no public server can have
  coalesce(class = 'blocked' AND failure = 'bogon', FALSE) AS is_artefact,
  FALSE AS is_about_target, '' AS set_aside
FROM messaging JOIN messaging_results USING (object_key, line_number)
WHERE probe_asn > 0  -- OONI drops what is of no network

-- name: observations
-- One row is one measurement: the report that it is in, by row_id.
SELECT row_id, report_id FROM messaging

-- name: outcomes
-- One row is one part of a measurement, as the judge reads outcomes. Rules are named for the
-- mechanism that they see.
SELECT * REPLACE (domain::host_name AS domain,
    software::software_name AS software),
  mechanism AS rule_id, mechanism AS dns_rule, '' AS tls_rule,
  coalesce(list_position($layers, split_part(mechanism, '.', 1)), 0)::UTINYINT AS rule_order
FROM messaging_named
