-- What a measurement and its control say by themselves, layer by layer; and what the controls of
-- many measurements say together of a name.

-- name: typed_observations
-- One row is one measurement, with names as enumerations and its day. A view.
--
-- A chain of redirects fails where its last step does: the newest response is then a redirect, and
-- what failed behind it left no request of its own (data format 0.5).
SELECT
  * REPLACE (coalesce(http_failure, CASE WHEN http_status BETWEEN 300 AND 399
      THEN coalesce(redirect_failure, http_experiment_failure) END) AS http_failure,
    domain::host_name AS domain, http_host::host_name AS http_host,
    redirect_host::host_name AS redirect_host, probe_cc::country_name AS probe_cc,
    redirect_layer::layer_word AS redirect_layer),
  CAST(measurement_start_time AS DATE) AS day
FROM session_observations

-- name: observed_controls
-- One row is one measurement, with what its control says of the name and of the page. A view, which
-- many steps read: DuckDB computes all columns of what it reads, so it has only the common ones.
--
-- A control whose own lookup broke, other than by missing the name, is lost: its failures say
-- nothing. The test helper reports "no address" by an empty list and the page's failure.
SELECT *,
  (CASE WHEN NOT has_control THEN 'silent'
       WHEN len(control_answers) > 0 THEN 'resolves'
       WHEN is_name_missing(control_dns_failure) THEN 'missing'
       WHEN control_dns_failure IS NULL AND control_http_failure = 'dns_lookup_error' THEN 'missing'
       ELSE 'silent' END)::control_answer AS control_name,
  coalesce(len(control_answers), 0) = 0 AND control_dns_failure IS NOT NULL
    AND NOT is_name_missing(control_dns_failure) AS control_is_lost,
  has_control AND control_http_failure IS NULL
    AND control_http_status IS NOT NULL AND control_http_status < 500 AS control_http_ok,
  has_control AND NOT control_is_lost
    AND (control_http_failure IS NOT NULL OR coalesce(control_http_status, 0) >= 500)
    AS control_http_fails,
  hoster_of(control_answers)::hoster_name AS control_hoster,
  site_network(control_answers, dns_answers, tcp) AS site_asn,
  list_any_value([a.special FOR a IN control_answers])::special_kind AS control_special
FROM typed_observations

-- name: observed_answers
-- One row is one measurement, with what the answers of its lookup show.
--
-- What decides only where no answer matches the control's is computed only there.
SELECT *,
  len(dns_answers) > 0 AS dns_has_answer,
  [a.address FOR a IN dns_answers] AS dns_addresses,
  list_any_value([a.special FOR a IN dns_answers])::special_kind AS dns_special,
  list_min([a.match FOR a IN dns_answers])::match_value AS dns_match,
  CASE WHEN dns_match <> 'none' THEN FALSE ELSE len(dns_answers) > 0
    AND NOT has_true([a.match IS DISTINCT FROM 'none' FOR a IN dns_answers]) END
    AS dns_is_unmatched,
  CASE WHEN dns_match IS NULL THEN len(control_answers) > 0
    AND NOT has_true([NOT contains(a.address, ':') FOR a IN control_answers])
    ELSE FALSE END AS control_is_ipv6_only,
  CASE WHEN dns_match = 'none' THEN
    coalesce(list_contains([a.asn FOR a IN dns_answers], probe_asn)
      OR list_contains([a.asn FOR a IN dns_answers], resolver_asn), FALSE)
    ELSE FALSE END AS dns_is_own_network,
  CASE WHEN dns_match IN ('address', 'asn') THEN FALSE ELSE
    coalesce(list_has_any([a.address FOR a IN dns_answers], control_tls_addresses), FALSE)
    END AS dns_is_verified,
  CASE WHEN dns_match = 'none' THEN coalesce(dns_consistency = 'consistent', FALSE)
      AND NOT has_true([a.asn IS NOT NULL FOR a IN control_answers])
      AND has_true([a.asn > 0 FOR a IN dns_answers])
    ELSE FALSE END AS dns_is_consistent,
  has_true([t.is_answer AND t.failure IS NULL FOR t IN tls]) AS dns_tls_valid
FROM observed_controls

-- name: observed_attempts
-- One row is one measurement, with what its connections and handshakes show.
--
-- Most of them work, at addresses that the control knows; then there is nothing to look for. A
-- certificate proves an address to the control or to this probe.
SELECT *,
  has_true([t.failure IS NOT NULL FOR t IN tcp]) AS tcp_fails,
  has_true([t.failure IS NOT NULL FOR t IN tls]) AS tls_fails,
  is_ip_input OR NOT has_true([coalesce(t.match, 'none') = 'none' FOR t IN tcp]) AS tcp_is_known,
  is_ip_input OR NOT has_true([coalesce(t.match, 'none') = 'none' FOR t IN tls]) AS tls_is_known,
  CASE WHEN NOT tcp_is_known OR NOT tls_is_known THEN
    list_concat(control_tls_addresses, list_concat([t.address FOR t IN tls IF t.failure IS NULL],
      CASE WHEN dns_is_consistent THEN dns_addresses ELSE [] END))
    END AS proven_addresses,
  CASE WHEN tls_fails
    THEN has_true([t.is_answer AND starts_with(t.failure, 'ssl_') FOR t IN tls])
    ELSE FALSE END AS dns_certificate_error,
  CASE WHEN tcp_fails
    THEN has_true([t.failure IS NULL AND t.match = 'address' FOR t IN tls])
    ELSE FALSE END AS control_address_is_proven,
  CASE WHEN http_failure IS NOT NULL OR http_status BETWEEN 300 AND 399
    THEN has_true([t.failure IS NULL AND t.server_name = http_host FOR t IN tls])
    ELSE FALSE END AS http_host_is_proven
FROM observed_answers

-- name: controlled
-- One row is one measurement, with whether its page has the control's status, and whether its
-- length may be compared with the control's: only at an address that the control knows, and where
-- the request did not end at another site.
SELECT *,
  http_failure IS NULL AND http_status IS NOT NULL AND control_http_ok
    AND coalesce(status_code_match, FALSE) AS has_control_status,
  NOT dns_is_unmatched AND CASE WHEN http_host = domain THEN TRUE
    ELSE http_host = 'www.' || domain OR domain = 'www.' || http_host END AS may_compare_length
FROM observed_attempts

-- name: control_days
-- One row is one site on one day on which controls looked it up: the sessions whose control found
-- the name (resolving), and missed it (missing).
--
-- Most names are never missed; one row a day is enough for these.
WITH answers AS MATERIALIZED (
  SELECT domain, day, session, control_name
  FROM observed_controls WHERE domain <> '' AND control_name <> 'silent'
), doubtful AS (
  SELECT DISTINCT domain FROM answers WHERE control_name = 'missing'
), sessions AS (
  SELECT domain, day, session,
         bool_or(control_name = 'resolves') AS resolves,
         bool_or(control_name = 'missing') AS misses
  FROM answers SEMI JOIN doubtful USING (domain) GROUP BY ALL
)
SELECT domain, day, count(*) FILTER (resolves) AS resolving, count(*) FILTER (misses) AS missing
FROM sessions GROUP BY ALL
UNION ALL
SELECT DISTINCT domain, day, 1 AS resolving, 0 AS missing
FROM answers ANTI JOIN doubtful USING (domain)

-- name: name_pool
-- One row is one site on one day on which controls looked it up, with the result of most sessions
-- of the days around: exists or missing.
--
-- Probes relay the controls, so that one of them can be forged or wrong. Where nobody else tested
-- the name, a single session has to do.
WITH doubtful AS (
  SELECT DISTINCT domain FROM control_days WHERE missing > 0
), around AS (
  SELECT domain, day,
         sum(resolving) OVER near AS resolving, sum(missing) OVER near AS missing
  FROM control_days SEMI JOIN doubtful USING (domain)
  WINDOW near AS (PARTITION BY domain ORDER BY day
                  RANGE BETWEEN to_days($pool_days) PRECEDING AND to_days($pool_days) FOLLOWING)
)
SELECT domain, day,
  (CASE WHEN missing > resolving THEN 'missing' ELSE 'exists' END)::pool_answer AS name_pool
FROM around
UNION ALL
SELECT domain, day, 'exists'::pool_answer FROM control_days ANTI JOIN doubtful USING (domain)

-- name: broken_names
-- One row is one site on one day on which the name's own servers failed everybody: the control's
-- lookup of a session broke, and so did those of most sessions within two days.
--
-- It takes two sessions: one probe relays one control, which may have lost its way by itself.
WITH lost AS (
  SELECT DISTINCT domain, day FROM observed_controls WHERE control_is_lost AND domain <> ''
), near AS (
  SELECT domain, day, session, bool_or(control_name <> 'silent') AS tells
  FROM observed_controls SEMI JOIN lost USING (domain)
  WHERE control_is_lost OR control_name <> 'silent' GROUP BY ALL
)
SELECT l.domain, l.day
FROM lost l JOIN near t ON t.domain = l.domain AND t.day BETWEEN l.day - 2 AND l.day + 2
GROUP BY ALL
HAVING count(DISTINCT session) FILTER (NOT tells) >= 2
  AND 2 * count(DISTINCT session) FILTER (tells) < count(DISTINCT session)
