-- The columns of each measurement that the rules name.

-- name: address_tries
-- One row is one attempt of a session at an address that some probe got and no control: whether it
-- met the site by its certificate or its page's title (is_good), or else how near the length of its
-- page is to that of the control's (proportion).
--
-- Attempts are read only at addresses that no control got.
WITH unmatched AS (
  SELECT DISTINCT a.address
  FROM (SELECT unnest(dns_answers) AS a FROM observations)
  WHERE coalesce(a.match, 'none') = 'none'
), tried AS (
  SELECT session, domain, t.address, t.failure IS NULL AS is_good, TRUE AS is_decisive,
    0 AS proportion
  FROM (SELECT session, domain, unnest(tls) AS t FROM typed_observations)
  WHERE t.is_answer
  UNION ALL
  SELECT session, domain, a.address, coalesce(is_good, FALSE), coalesce(a.match = 'none', FALSE),
    coalesce(proportion, 0)
  FROM (SELECT session, domain, unnest(dns_answers) AS a,
          coalesce(http_first_is_answer, TRUE) AND has_control_status
            AND coalesce(title_match, FALSE) AS is_good,
          CASE WHEN coalesce(http_first_is_answer, TRUE) AND has_control_status
            AND may_compare_length THEN body_proportion END AS proportion
        FROM controlled WHERE http_failure IS NOT NULL OR http_status IS NOT NULL)
  WHERE is_good OR a.match = 'none' OR proportion > 0
)
FROM tried SEMI JOIN unmatched USING (address)

-- name: serving
-- One row is one address that serves sites, with the sites: most sessions that tried it got a valid
-- certificate or the page that the control saw.
--
-- Most, not any: one forged session must not turn a sinkhole into a content network.
WITH decisive AS (
  SELECT address, session, domain, is_good OR proportion > $body_match AS is_good
  FROM address_tries WHERE is_decisive OR is_good OR proportion > $body_match
), sessions AS (
  SELECT address, bool_or(is_good) AS is_good FROM decisive GROUP BY address, session
), proven AS (
  SELECT address FROM sessions GROUP BY address HAVING 2 * count(*) FILTER (is_good) > count(*)
)
SELECT address, list_sort(list(DISTINCT domain)) AS domains
FROM decisive SEMI JOIN proven USING (address) WHERE is_good GROUP BY address

-- name: certified
-- One row is one site with addresses that are the site's by its certificate, though no control got
-- them by itself.
--
-- The control also tries the addresses that the probe was given. Here most of the sessions that got
-- the name's certificate anywhere got it at the address, two of them at least.
WITH answers AS (
  SELECT domain, run, address, list_contains(control_tls_addresses, address) AS is_shown
  FROM (SELECT domain, run, control_tls_addresses,
          unnest([a.address FOR a IN dns_answers IF a.match = 'none']) AS address
        FROM observations WHERE len(control_tls_addresses) > 0)
), shown AS (
  SELECT domain, address, count(DISTINCT run) FILTER (is_shown) AS sessions
  FROM answers GROUP BY domain, address
  HAVING sessions >= 2 AND 2 * sessions > count(DISTINCT run)
)
SELECT domain::host_name AS domain, list(address) AS addresses FROM shown GROUP BY domain

-- name: vouched
-- One row is one site with the addresses that served it in some session: an answer that the control
-- did not get, such as a content network's, is then still the site's.
SELECT domain, list(address ORDER BY address) AS addresses
FROM (SELECT address, unnest(domains) AS domain FROM serving) WHERE domain <> '' GROUP BY domain

-- name: ipv6
-- One row is one session in which some connection over IPv6 worked. In any other session IPv6 is
-- broken, not blocked.
SELECT DISTINCT session, TRUE AS ipv6_works FROM typed_observations
WHERE has_true([t.failure IS NULL AND contains(t.address, ':') FOR t IN tcp])

-- name: roaming_sessions
-- One row is one session on a network that is not the network of most of its measurements. As to
-- this network it shows nothing and has no vote: else one session could be a witness for any number
-- of networks.
--
-- rows: the name of a relation with a row for each measurement.
SELECT session, probe_asn FROM query_table($rows) GROUP BY session, probe_asn
QUALIFY 2 * count(*) <= sum(count(*)) OVER (PARTITION BY session)

-- name: pooled_observations
-- One row is one measurement, with what other measurements say of its addresses and its session.
SELECT c.*, i.ipv6_works, site.vouched_addresses,
  site.registrable_domain, http_site.registrable_domain AS http_site,
  target.registrable_domain AS redirect_site,
  CASE WHEN c.dns_match IN ('address', 'asn') THEN FALSE ELSE
    coalesce(list_has_any(c.dns_addresses, site.vouched), FALSE) END AS dns_is_vouched,
  CASE WHEN c.dns_match = 'none' THEN c.dns_is_consistent
    OR coalesce(list_has_any(c.dns_addresses, site.certified), FALSE) ELSE FALSE END
    AS dns_is_at_home
FROM controlled c
LEFT JOIN ipv6 i USING (session)
LEFT JOIN (
  SELECT host, registrable_domain, v.addresses AS vouched, t.addresses AS certified,
    list_concat(v.addresses, t.addresses) AS vouched_addresses
  FROM sites LEFT JOIN vouched v ON v.domain = host LEFT JOIN certified t ON t.domain = host
) site ON site.host = c.domain
LEFT JOIN sites http_site ON http_site.host = c.http_host
LEFT JOIN sites target ON target.host = c.redirect_host

-- name: attempt_results
-- One row is one measurement, with what each of its attempts shows (attempt_result): connections
-- (tcp_results), handshakes (tls_results), and connections to the resolver's answers
-- (answer_results).
--
-- Null where all attempts work at addresses that the control knows, which is most; of the answers
-- null where they could be no dead end (see features). Old probes note no address with a handshake:
-- it is then the resolver's answer.
SELECT *,
  CASE WHEN tcp_fails AND (control_address_is_proven
      OR NOT http_first_is_answer AND has_control_status) THEN
    [connection_result(t.failure, contains(t.address, ':') AND ipv6_works IS NULL, t.control_ok,
      control_is_lost) FOR t IN tcp IF t.is_answer] END AS answer_results,
  CASE WHEN tcp_is_known AND NOT tcp_fails THEN NULL ELSE
    [CASE WHEN tcp_is_known
        OR is_trusted_address(t.address, t.match, proven_addresses, vouched_addresses)
      THEN connection_result(t.failure, contains(t.address, ':') AND ipv6_works IS NULL,
        t.control_ok, control_is_lost)
      ELSE 'untrusted'::attempt_result END FOR t IN tcp] END AS tcp_results,
  CASE WHEN tls_is_known AND NOT tls_fails THEN NULL ELSE
    [CASE WHEN tls_is_known
        OR is_trusted_address(t.address, t.match, proven_addresses, vouched_addresses)
        OR (t.address IS NULL AND (dns_is_verified OR dns_is_vouched OR dns_is_at_home
          OR coalesce(dns_match IN ('address', 'asn'), FALSE)))
      THEN handshake_result(t.failure, t.control_ok, control_is_lost, control_http_ok,
        control_http_fails)
      ELSE 'untrusted'::attempt_result END FOR t IN tls] END AS tls_results
FROM pooled_observations

-- name: page_results
-- One row is one measurement, with where its request ended.
--
-- A page over https (is_https_page) came over a verified connection from where the user's resolver
-- points. It is the site's own (is_https_own) where the whole way was verified or ended at the site
-- itself: anybody may have sent a plain request on to another site over https.
--
-- landing: where a request ended, if with a page: at another site; at this very body; or at an
-- empty page where the control's page has a body. Null where an https input ended over https, since
-- nobody between can send that anywhere.
SELECT *,
  starts_with(http_url, 'https://') AS is_https_url,
  coalesce(http_first_is_answer, TRUE) AND http_failure IS NULL AND http_status IS NOT NULL
    AND is_https_url AS is_https_page,
  is_https_page AND coalesce(is_https OR http_site = registrable_domain, FALSE) AS is_https_own,
  CASE WHEN http_failure IS NULL AND http_status IS NOT NULL AND NOT (is_https AND is_https_page)
    THEN CASE WHEN is_https_page THEN 'https://' || http_host
         WHEN http_site <> registrable_domain THEN 'http://' || http_host
         ELSE coalesce(http_body_digest, CASE WHEN http_body_length = 0 AND http_status < 300
           AND control_http_body_length > 0 THEN 'an empty page' END) END END AS landing,
  CASE WHEN is_https_own AND http_site = registrable_domain THEN http_body_digest
    WHEN is_https AND is_https_page THEN 'https://' || http_host END AS own_page,
  http_failure IS NOT NULL AND coalesce(redirect_site, http_site) <> registrable_domain
    AS fails_at_target,
  http_failure IS NOT NULL AND coalesce(redirect_host, http_host) <> domain
    AS fails_within_site,
  http_failure IS NOT NULL AND (coalesce(redirect_layer = 'tls', FALSE)
    OR (redirect_layer IS NULL AND is_https_url AND NOT http_host_is_proven))
    AS fails_before_page
FROM attempt_results

-- name: layer_results
-- One row is one measurement, with the most telling of its attempts at each layer, which speaks for
-- all; null where there was no attempt.
SELECT *,
  CASE WHEN tcp_results IS NOT NULL THEN list_min(tcp_results)
       WHEN len(tcp) > 0 THEN 'works'::attempt_result END AS tcp_result,
  CASE WHEN tcp_result = 'blocked' THEN tcp[list_position(tcp_results, tcp_result)].failure END
    AS tcp_failure,
  CASE WHEN tls_results IS NOT NULL THEN list_min(tls_results)
       WHEN len(tls) > 0 THEN 'works'::attempt_result END AS tls_result,
  CASE WHEN tls_result = 'blocked' THEN tls[list_position(tls_results, tls_result)].failure END
    AS tls_failure,
  coalesce(dns_match IN ('address', 'asn') OR dns_is_vouched OR dns_is_verified OR dns_tls_valid
    OR dns_is_at_home OR is_ip_input OR NOT http_first_is_answer, FALSE) AS is_address_trusted
FROM page_results

-- name: measured
-- One row is one measurement, with all columns of features that no threshold decides.
SELECT
  row_id, input::input_name AS input, measurement_start_time, day, session,
  domain, registrable_domain,
  probe_cc, probe_asn, resolver_asn, is_https, is_ip_input,
  concat_ws(' ', software_name, software_version)::software_name AS software,
  is_anomaly, is_confirmed, is_failure, has_control, control_name, control_http_ok,
  control_http_fails, control_is_lost, control_special, control_hoster, site_asn,
  control_is_ipv6_only, control_address_is_proven,
  dns_failure, dns_has_answer, dns_addresses, dns_is_own_network, dns_special, dns_match,
  dns_tls_valid, dns_certificate_error, dns_is_vouched, dns_is_verified, dns_is_at_home,
  http_failure, http_status, control_http_status, http_title, http_host, http_first_is_answer,
  redirect_layer, title_match, has_control_status, may_compare_length, body_proportion,
  http_site, is_https_page, is_https_own, landing,
  own_page, fails_at_target, fails_within_site, fails_before_page,
  tcp_result, tcp_failure, tls_result, tls_failure, is_address_trusted,
  answer_results IS NOT NULL AND NOT list_contains(answer_results, 'local'::attempt_result)
    AND coalesce(list_min(answer_results) NOT IN ('works', 'no_ipv6'), FALSE) AS answers_are_dead
FROM layer_results

-- name: features
-- One row is one measurement, with the columns that the conditions of rules name, see features.md.
--
-- At a dead end (is_dead_end) nothing of the answer connects, and the site is there at an address
-- of the control. A request was sent astray (is_sent_astray) where it ended at another site than
-- the control's, by title and by body.
SELECT measured.*, n.name_pool,
  http_failure IS NULL AND http_status IS NOT NULL AND registrable_domain IS NOT NULL
    AND coalesce(n.name_pool <> 'missing', TRUE) AS has_page,
  is_control_page(has_control_status, title_match, body_proportion, may_compare_length,
    $body_match) AS is_control_page,
  answers_are_dead AND (control_address_is_proven
    OR coalesce(NOT http_first_is_answer AND is_control_page, FALSE)) AS is_dead_end,
  is_https_page AND NOT is_https_own AND coalesce(NOT title_match, FALSE)
    AND coalesce(body_proportion, 0) <= $body_match AS is_sent_astray,
  coalesce(http_first_is_answer, TRUE) AND is_control_page AS is_same_page,
  coalesce(http_first_is_answer, TRUE) AND has_control_status
    AND coalesce(body_proportion, 0) > $body_match AS is_same_length
FROM measured LEFT JOIN name_pool n USING (domain, day)
