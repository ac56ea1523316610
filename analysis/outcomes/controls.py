"""What the controls around a measurement say of its name: there, missing, or silent."""

#: Names that controls miss on a day's surroundings, see ``name_pool``.
NAME_MISSING = "('dns_nxdomain_error', 'dns_no_answer', 'dns_name_error')"

# Who hosts the site: the network of the control's first answer, or its address alone.
HOSTER = "coalesce('AS' || control_answers[1].asn, control_answers[1].address)"

# A control whose own lookup broke, other than by missing the name, has lost its way: what fails for
# it says nothing. The test helper says "no address" by an empty list and the page's failure.
#
# A chain of redirects fails where its last step does: the newest response is then a redirect, and
# what went wrong behind it left no request of its own (0.5).
CONTROL = """
SELECT
  * REPLACE (coalesce(http_failure, CASE WHEN http_status BETWEEN 300 AND 399
      THEN coalesce(redirect_failure, http_experiment_failure) END) AS http_failure,
    domain::host_name AS domain, http_host::host_name AS http_host,
    redirect_host::host_name AS redirect_host, probe_cc::country_name AS probe_cc,
    redirect_layer::layer_word AS redirect_layer),
  CAST(measurement_start_time AS DATE) AS day,
  ({session})::session_name AS session,
  (CASE WHEN NOT has_control THEN 'silent'
       WHEN len(control_answers) > 0 THEN 'resolves'
       WHEN control_dns_failure IN {missing} THEN 'missing'
       WHEN control_dns_failure IS NULL AND control_http_failure = 'dns_lookup_error' THEN 'missing'
       ELSE 'silent' END)::control_word AS control_name,
  {lost} AS control_is_lost,
  has_control AND control_http_failure IS NULL
    AND control_http_status IS NOT NULL AND control_http_status < 500 AS control_http_ok,
  has_control AND NOT ({lost})
    AND (control_http_failure IS NOT NULL OR coalesce(control_http_status, 0) >= 500)
    AS control_http_fails,
  ({hoster})::hoster_name AS control_hoster,
  -- dns
  len(dns_answers) > 0 AS dns_has_answer,
  [a.address FOR a IN dns_answers] AS dns_addresses,
  list_any_value([a.special FOR a IN dns_answers IF a.special IS NOT NULL])::special_word
    AS dns_special,
  -- 'address' < 'asn' < 'none': the best match among the answers
  list_min([a.match FOR a IN dns_answers IF a.match IS NOT NULL])::match_word AS dns_match,
  CASE WHEN dns_match <> 'none' THEN FALSE ELSE len(dns_answers) > 0
    AND len([a.match FOR a IN dns_answers IF a.match = 'none']) = len(dns_answers) END
    AS dns_is_unmatched,
  list_any_value([a.special FOR a IN control_answers IF a.special IS NOT NULL])
    ::special_word AS control_special,
  -- What decides only where no answer matches the control's is asked only there.
  CASE WHEN dns_match IS NULL THEN len(control_answers) > 0
    AND len([a.address FOR a IN control_answers IF NOT contains(a.address, ':')]) = 0
    ELSE FALSE END AS control_is_ipv6_only,
  CASE WHEN dns_match = 'none' THEN
    coalesce(list_contains([a.asn FOR a IN dns_answers], probe_asn)
      OR list_contains([a.asn FOR a IN dns_answers], resolver_asn), FALSE)
    ELSE FALSE END AS dns_is_own_network,
  CASE WHEN dns_match IN ('address', 'asn') THEN FALSE ELSE
    coalesce(list_has_any([a.address FOR a IN dns_answers], control_tls_addresses), FALSE)
    END AS dns_is_verified,
  len([t.address FOR t IN tls IF t.is_answer AND t.failure IS NULL]) > 0 AS dns_tls_valid,
  -- connections and handshakes; most work, at addresses that the control knows, and there is
  -- nothing to look for among them
  len([t.address FOR t IN tcp IF t.failure IS NOT NULL]) > 0 AS tcp_fails,
  len([t.address FOR t IN tls IF t.failure IS NOT NULL]) > 0 AS tls_fails,
  is_ip_input OR len([t.address FOR t IN tcp IF coalesce(t.match, 'none') = 'none']) = 0
    AS tcp_is_known,
  is_ip_input OR len([t.address FOR t IN tls IF coalesce(t.match, 'none') = 'none']) = 0
    AS tls_is_known,
  -- addresses that the name's own certificate proves, to the control or to this very probe
  CASE WHEN NOT tcp_is_known OR NOT tls_is_known THEN
    list_concat(control_tls_addresses, [t.address FOR t IN tls IF t.failure IS NULL])
    END AS proven_addresses,
  CASE WHEN tls_fails
    THEN len([t.address FOR t IN tls IF t.is_answer AND starts_with(t.failure, 'ssl_')]) > 0
    ELSE FALSE END AS dns_certificate_error,
  CASE WHEN tcp_fails
    THEN len([t.address FOR t IN tls IF t.failure IS NULL AND t.match = 'address']) > 0
    ELSE FALSE END AS control_address_is_proven,
  CASE WHEN http_failure IS NOT NULL OR http_status BETWEEN 300 AND 399
    THEN len([t.address FOR t IN tls IF t.failure IS NULL AND t.server_name = http_host]) > 0
    ELSE FALSE END AS http_host_is_proven
FROM observations
"""
CONTROL_IS_LOST = """coalesce(len(control_answers), 0) = 0 AND control_dns_failure IS NOT NULL
    AND control_dns_failure NOT IN {missing}"""

# G1. The controls are relayed by probes, so one of them can be forged or wrong: names are judged
# by most sessions of the days around. A single session is all that there is where nobody else
# tested the name.
NAME_POOL = """
WITH told AS MATERIALIZED (
  SELECT domain, day, session, control_name
  FROM controlled WHERE domain <> '' AND control_name <> 'silent'
), doubted AS (
  -- most names are never missed
  SELECT DISTINCT domain FROM told WHERE control_name = 'missing'
), sessions AS (
  SELECT domain, day, session,
         bool_or(control_name = 'resolves') AS resolves,
         bool_or(control_name = 'missing') AS misses
  FROM told SEMI JOIN doubted USING (domain) GROUP BY ALL
), days AS (
  SELECT domain, day, count(*) FILTER (resolves) AS resolving, count(*) FILTER (misses) AS missing
  FROM sessions GROUP BY ALL
), around AS (
  SELECT domain, day,
         sum(resolving) OVER near AS resolving, sum(missing) OVER near AS missing
  FROM days
  WINDOW near AS (PARTITION BY domain ORDER BY day
                  RANGE BETWEEN INTERVAL {pool_days} DAYS PRECEDING
                            AND INTERVAL {pool_days} DAYS FOLLOWING)
)
SELECT domain, day,
  (CASE WHEN missing > resolving THEN 'missing' ELSE 'exists' END)::pool_word AS name_pool
FROM around
UNION ALL
SELECT DISTINCT domain, day, 'exists'::pool_word FROM told ANTI JOIN doubted USING (domain)
"""
