-- Other people's methods on the same observations: what OONI's pipeline v5 reads of each address,
-- up to its rules (which other_methods.py has), and what iMAP counts.

-- name: holds(addresses, address)
-- Whether a list holds an address.
coalesce(contains(addresses, address), FALSE)

-- name: shakes(addresses, address)
-- Whether a list of handshakes holds an address. A handshake that names no address stands there as
-- '', and is a handshake with each address.
coalesce(contains(addresses, address)
  OR (address IS NOT NULL AND contains(addresses, '')), FALSE)

-- name: v5_measurements
-- One row is one measurement of a site.
--
-- is_plain: it got the control's answers and all connects. No rule says of any of its addresses
-- that it is blocked or down, so it is only counted. Most are plain.
SELECT row_id, domain, probe_asn, probe_cc, session, day,
  CASE WHEN has_control THEN len(control_answers) > 0 END AS control_resolves,
  dns_failure IS NOT NULL OR len(dns_answers) + len(tcp) + len(tls) > 0 AS is_telling,
  coalesce(dns_failure IS NULL AND len(dns_answers) + len(tcp) > 0
    AND NOT has_true([a.match IS DISTINCT FROM 'address' OR a.special IS NOT NULL
      OR a.address IS NULL FOR a IN dns_answers])
    AND NOT has_true([t.failure IS NOT NULL OR t.address IS NULL FOR t IN tcp])
    AND NOT has_true([t.failure IS NOT NULL FOR t IN tls])
    AND NOT coalesce(list_has_any(dns_addresses, fingerprints), FALSE), FALSE) AS is_plain,
  CASE WHEN is_plain
    THEN len(list_distinct([t.address FOR t IN tcp IF contains(t.address, ':')])) END AS ipv6_count
FROM controlled LEFT JOIN (
  SELECT probe_cc, list(address) AS fingerprints FROM v5_fingerprints GROUP BY probe_cc
) USING (probe_cc)
WHERE domain <> ''

-- name: v5_addresses_of(measurements)
-- One row is one address of one measurement, or its failed lookup; of the relation measurements,
-- which has rows of v5_measurements.
--
-- What a measurement says of its addresses are lists of addresses, not of all that is known of
-- each: those would be copied for every address.
TABLE
WITH listed AS (
  SELECT row_id, m.domain, m.probe_asn, m.probe_cc, session, day, dns_failure,
    [a.address FOR a IN dns_answers] AS answered,
    [a.address FOR a IN dns_answers IF a.special IS NOT NULL] AS special,
    [a.address FOR a IN dns_answers IF a.match = 'address'] AS given,
    [a.address FOR a IN dns_answers IF a.match = 'asn'] AS beside,
    [t.address FOR t IN tcp] AS tried,
    [t.address FOR t IN tcp IF t.failure IS NULL] AS connected,
    [t.address FOR t IN tcp IF t.control_ok] AS tcp_open,
    [t.address FOR t IN tcp IF NOT t.control_ok] AS tcp_shut,
    [t.address FOR t IN tls IF t.address IS NOT NULL] AS named,
    [coalesce(t.address, '') FOR t IN tls] AS shaken,
    [coalesce(t.address, '') FOR t IN tls IF t.failure IS NULL] AS valid,
    [{'address': coalesce(t.address, ''), 'failure': t.failure}
      FOR t IN tls IF t.failure IS NOT NULL] AS failed,
    [coalesce(t.address, '') FOR t IN tls IF t.control_ok] AS tls_open,
    [coalesce(t.address, '') FOR t IN tls IF NOT t.control_ok] AS tls_shut
  FROM observations JOIN query_table(measurements) m USING (row_id)
), together AS (
  SELECT * EXCLUDE (named), list_distinct(list_concat(answered, tried, named)) AS addresses
  FROM listed
)
SELECT * EXCLUDE (addresses, dns_failure),
  CASE WHEN address IS NULL THEN dns_failure END AS dns_failure
FROM (
  SELECT *, unnest(CASE WHEN dns_failure IS NOT NULL OR len(addresses) = 0
    THEN list_append(addresses, NULL) ELSE addresses END) AS address
  FROM together
)

-- name: v5_weighed
-- One row is one measurement of which the rules are asked. A view.
FROM v5_measurements WHERE is_telling AND NOT is_plain

-- name: v5_addresses
-- One row is one address of such a measurement. A view.
FROM v5_addresses_of('v5_weighed')

-- name: v5_seen
-- One row is one address of such a measurement, with what the rules read of it.
WITH failing AS (
  SELECT *, CASE WHEN len(failed) > 0 THEN
    [f.failure FOR f IN failed IF f.address = address OR (f.address = '' AND address IS NOT NULL)]
    END AS failures
  FROM v5_addresses
), seen AS (
  SELECT row_id, domain, probe_asn, probe_cc, session, day, address, dns_failure,
    holds(answered, address) AS is_answer,
    holds(special, address) AS is_bogon,
    holds(given, address) AS in_control,
    holds(beside, address) AS same_network,
    holds(tried, address) AS is_tried,
    holds(connected, address) AS tcp_ok,
    CASE WHEN holds(tcp_open, address) THEN TRUE
      WHEN holds(tcp_shut, address) THEN FALSE END AS tcp_control_ok,
    shakes(shaken, address) AS is_shaken,
    shakes(valid, address) AS tls_valid,
    coalesce(len([f FOR f IN failures IF starts_with(f, 'ssl_')]) > 0, FALSE) AS tls_invalid,
    coalesce(failures[1] = 'connection_reset', FALSE) AS is_reset,
    CASE WHEN shakes(tls_open, address) THEN TRUE
      WHEN shakes(tls_shut, address) THEN FALSE END AS tls_control_ok,
    coalesce(contains(address, ':'), FALSE) AS is_ipv6
  FROM failing
)
SELECT s.* EXCLUDE (probe_cc), f.address IS NOT NULL AND is_answer AS is_fingerprint
FROM seen s LEFT JOIN v5_fingerprints f USING (probe_cc, address)

-- name: v5_plain
-- One row is one plain measurement of a site and day of which the controls are asked. A view.
FROM v5_measurements SEMI JOIN (
  SELECT domain, day FROM v5_seen WHERE is_tried AND NOT tcp_ok OR is_shaken AND NOT tls_valid
) USING (domain, day)
WHERE is_plain

-- name: v5_beside
-- One row is one address of a plain measurement. A view.
FROM v5_addresses_of('v5_plain')

-- name: v5_observed
-- One row is one address of v5_seen, with what the controls of the day say of it: the share of them
-- that succeeded, as OONI pools them. A view.
--
-- Controls are counted apart and joined: window functions would sort all columns.
WITH controls AS (
  SELECT domain, day, avg(control_resolves::INT) AS dns_control
  FROM v5_measurements WHERE control_resolves IS NOT NULL GROUP BY ALL
), attempts AS (
  SELECT domain, day, address, avg(tcp_control_ok::INT) AS tcp_control,
    avg(tls_control_ok::INT) AS tls_control
  FROM (
    SELECT domain, day, address, tcp_control_ok, tls_control_ok FROM v5_seen
    UNION ALL SELECT domain, day, address,
      CASE WHEN holds(tcp_open, address) THEN TRUE
        WHEN holds(tcp_shut, address) THEN FALSE END AS tcp_control_ok,
      CASE WHEN shakes(tls_open, address) THEN TRUE
        WHEN shakes(tls_shut, address) THEN FALSE END AS tls_control_ok
    FROM v5_beside
  )
  WHERE tcp_control_ok IS NOT NULL OR tls_control_ok IS NOT NULL GROUP BY ALL
), ipv6 AS (
  SELECT session, sum(failing) / sum(tried) AS ipv6_failing
  FROM (
    SELECT session, (NOT tcp_ok)::INT AS failing, 1 AS tried
    FROM v5_seen WHERE is_ipv6 AND is_tried
    UNION ALL SELECT session, 0, ipv6_count FROM v5_measurements WHERE ipv6_count > 0
  )
  GROUP BY session
)
SELECT s.*, in_control OR tls_valid AS is_trusted, dns_control, tcp_control, tls_control,
  ipv6_failing
FROM v5_seen s LEFT JOIN controls USING (domain, day)
  LEFT JOIN attempts USING (domain, day, address) LEFT JOIN ipv6 USING (session)

-- name: v5_pairs
-- One row is one pair of site and network: the mean weight of its sessions, and the rule of most
-- sessions that are more likely blocked than not.
SELECT c.domain, c.probe_asn,
  round(avg(s.blocked_weight), 9) AS blocked_mean, count(s.session) AS session_count,
  mode(s.rule_id ORDER BY s.rule_id) FILTER (s.blocked_weight >= $more_likely) AS rule_id
FROM (SELECT DISTINCT domain, probe_asn FROM observations WHERE domain <> '') c
  LEFT JOIN v5_sessions s USING (domain, probe_asn)
GROUP BY ALL ORDER BY c.domain, c.probe_asn

-- name: flag_counts
-- One row is one pair of site and network: OONI's counts. A failed measurement counts in the
-- denominator only. A view.
SELECT domain, probe_asn,
  count(*) AS measurement_count,
  count(*) FILTER (NOT is_failure AND (is_anomaly OR is_confirmed IS TRUE)) AS anomaly_count,
  count(*) FILTER (NOT is_failure AND is_confirmed) AS confirmed_count
FROM observations WHERE domain <> '' GROUP BY ALL

-- name: suspect_addresses
-- One row is one pair of site and network that got a suspect address: the one that answers for most
-- names.
WITH first_answers AS (
  SELECT domain, list_first([a.address FOR a IN dns_answers IF NOT contains(a.address, ':')])
    AS address
  FROM observations WHERE domain <> '' AND blocking = 'dns'
), suspects AS (
  SELECT address, count(DISTINCT domain) AS names
  FROM first_answers WHERE address IS NOT NULL
  GROUP BY address HAVING names > $suspect_names
), answers AS (
  SELECT domain, probe_asn, unnest([a.address FOR a IN dns_answers]) AS address
  FROM observations WHERE domain <> ''
)
SELECT domain, probe_asn, arg_max(address, (names, address)) AS address, max(names) AS address_names
FROM answers JOIN suspects USING (address) GROUP BY ALL

-- name: suspect_bodies
-- One row is one pair of site and network that got a suspect page body.
WITH anomalies AS (
  SELECT domain, probe_asn, http_body_digest AS digest
  FROM observations WHERE domain <> '' AND is_anomaly AND http_body_digest IS NOT NULL
), suspects AS (
  SELECT digest, count(DISTINCT domain) AS names FROM anomalies
  GROUP BY ALL HAVING names > $body_names
)
SELECT domain, probe_asn, max(names) AS body_names
FROM anomalies JOIN suspects USING (digest) GROUP BY ALL

-- name: imap
-- One row is one pair of site and network, with what iMAP weighs.
WITH weighted AS (
  SELECT *, anomaly_count / measurement_count * CASE WHEN measurement_count > 5
      AND measurement_count >= quantile_cont(measurement_count, 0.4) OVER (PARTITION BY domain)
      THEN 1.0 ELSE 0.3 END AS weighted_share
  FROM flag_counts
)
SELECT w.*, quantile_cont(weighted_share, 0.90) OVER (PARTITION BY domain) AS p90_share,
  quantile_cont(weighted_share, 0.95) OVER (PARTITION BY domain) AS p95_share,
  a.address, a.address_names, b.body_names
FROM weighted w LEFT JOIN suspect_addresses a USING (domain, probe_asn)
  LEFT JOIN suspect_bodies b USING (domain, probe_asn)
ORDER BY domain, probe_asn
