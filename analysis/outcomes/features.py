"""From observations to what the rules look at: one row per measurement, scalars only.

Everything is SQL in DuckDB over a relation ``observations`` (see ``schema.OBSERVATION``), so that
a year of a country and a single file for ``judge`` take the same way.
"""

import duckdb

from analysis.outcomes.controls import CONTROL, CONTROL_IS_LOST, HOSTER, NAME_MISSING, NAME_POOL
from analysis.outcomes.macros import add_names, first_word
from analysis.outcomes.rules import is_local_fault
from analysis.outcomes.thresholds import Thresholds

# A session stands in for an independent run; without a report the network's day does. A
# measurement that is judged alone is a session of its own.
_SESSION = """CASE WHEN report_id <> '' THEN report_id
     ELSE concat('AS', probe_asn, ' ', CAST(measurement_start_time AS DATE)) END"""
_ALONE = "concat(object_key, ':', line_number)"

# An address serves sites where most sessions that tried it got a valid certificate or the page that
# the control saw. Most, not any: one forged session must not turn a sinkhole into a CDN.
_SERVING = """
WITH asked AS (
  -- Where every control got the addresses that the probes got, nobody needs to be vouched for.
  SELECT DISTINCT a.address
  FROM (SELECT unnest(dns_answers) AS a FROM controlled)
  WHERE coalesce(a.match, 'none') = 'none'
), tried AS (
  SELECT session, domain, t.address, t.failure IS NULL AS is_good
  FROM (SELECT session, domain, unnest(tls) AS t FROM controlled)
  WHERE t.is_answer
  UNION ALL
  SELECT session, domain, a.address, is_good
  FROM (SELECT session, domain, unnest(dns_answers) AS a, {same_page} AS is_good
        FROM controlled WHERE http_failure IS NOT NULL OR http_status IS NOT NULL)
  WHERE is_good OR a.match = 'none'
), met AS MATERIALIZED (
  FROM tried SEMI JOIN asked USING (address)
), sessions AS (
  SELECT address, bool_or(is_good) AS is_good FROM met GROUP BY address, session
), proven AS (
  SELECT address FROM sessions GROUP BY address HAVING 2 * count(*) FILTER (is_good) > count(*)
)
SELECT address, list(DISTINCT domain) AS domains
FROM met SEMI JOIN proven USING (address) WHERE is_good GROUP BY address
"""

# ... and it is vouched for a name where it served that name: a CDN's answer that the control did
# not get is then still the site's.
_VOUCHED = """
SELECT domain, list(address) AS addresses
FROM (SELECT address, unnest(domains) AS domain FROM serving) WHERE domain <> '' GROUP BY domain
"""

# The page is the control's by its title; by its length alone (OONI's other way) only at an address
# that the control knows and where no other site stands at the end: a block page may well be as
# long as a small site's.
_SAME_PAGE = """coalesce(http_first_is_answer, TRUE) AND {control_page}"""
_SAME_STATUS = """http_failure IS NULL
  AND http_status IS NOT NULL AND control_http_ok AND coalesce(status_code_match, FALSE)"""
_CONTROL_PAGE = f"""{_SAME_STATUS}
  AND (coalesce(title_match, FALSE)
       OR (coalesce(body_proportion, 0) > {{body_match}} AND NOT dns_is_unmatched
           AND (http_host = domain OR http_host = 'www.' || domain
                OR domain = 'www.' || http_host)))"""

_FEATURES = """
SELECT
  c.object_key::object_name AS object_key, c.line_number, c.report_id <> '' AS has_report,
  c.input::input_name AS input,
  c.measurement_start_time, c.day, c.session, c.domain, site.registrable_domain, c.probe_cc,
  c.probe_asn, c.resolver_asn, c.is_https, c.is_ip_input,
  concat_ws(' ', c.software_name, c.software_version)::software_name AS software,
  c.is_anomaly, c.is_confirmed, c.is_failure, c.has_control, c.control_name,
  n.name_pool, c.control_http_ok, c.control_http_fails, c.control_is_lost,
  c.control_special, c.control_hoster, c.control_is_ipv6_only,
  -- dns
  c.dns_failure, c.dns_has_answer, c.dns_addresses, c.dns_is_own_network,
  c.dns_special, c.dns_match, c.dns_tls_valid, c.dns_certificate_error,
  CASE WHEN c.dns_match IN ('address', 'asn') THEN FALSE ELSE
    coalesce(list_has_any(c.dns_addresses, v.addresses), FALSE) END AS dns_is_vouched,
  c.dns_is_verified,
  -- tcp and tls: an address is trusted where the control knows it or its network, where a
  -- certificate proves it, or others vouch for it; most are, and all of them work
  c.tcp, CASE WHEN c.tcp_is_known AND NOT c.tcp_fails THEN NULL
    WHEN c.tcp_is_known THEN [{tcp_word} FOR t IN c.tcp]
    ELSE [CASE WHEN {is_trusted} THEN {tcp_word} ELSE 'untrusted' END FOR t IN c.tcp] END
    AS tcp_tries,
  CASE WHEN c.tcp_fails AND (c.control_address_is_proven
      OR coalesce(NOT http_first_is_answer AND {control_page}, FALSE))
    THEN [{tcp_word} FOR t IN c.tcp IF t.is_answer] END AS tcp_answers,
  -- old probes note no address with a handshake: it is then the resolver's answer
  c.tls, CASE WHEN c.tls_is_known AND NOT c.tls_fails THEN NULL
    WHEN c.tls_is_known THEN [{tls_word} FOR t IN c.tls]
    ELSE [CASE WHEN {is_trusted}
       OR (t.address IS NULL AND (c.dns_is_verified OR dns_is_vouched
         OR coalesce(c.dns_match IN ('address', 'asn'), FALSE)))
     THEN {tls_word} ELSE 'untrusted' END FOR t IN c.tls] END AS tls_tries,
  c.http_host_is_proven,
  -- http
  c.dns_is_unmatched, c.http_failure, c.http_status, c.control_http_status, c.http_title,
  c.http_body_digest, c.http_host, c.http_first_is_answer, c.redirect_layer, c.redirect_host,
  c.body_proportion, c.status_code_match, c.title_match,
  starts_with(c.http_url, 'https://') AS is_https_url,
  http_site.registrable_domain AS http_site,
  target.registrable_domain AS redirect_site
FROM controlled c
LEFT JOIN name_pool n USING (domain, day)
LEFT JOIN vouched v USING (domain)
LEFT JOIN ipv6 i USING (session)
LEFT JOIN sites site ON site.host = c.domain
LEFT JOIN sites http_site ON http_site.host = c.http_host
LEFT JOIN sites target ON target.host = c.redirect_host
"""

# A session whose IPv6 never connects anywhere is broken there, not blocked.
_IPV6 = """
SELECT DISTINCT session, TRUE AS ipv6_works FROM controlled
WHERE len([t.address FOR t IN tcp IF t.failure IS NULL AND contains(t.address, ':')]) > 0
"""

_IS_TRUSTED = """t.match IN ('address', 'asn')
  OR coalesce(list_contains(c.proven_addresses, t.address), FALSE)
  OR coalesce(list_contains(v.addresses, t.address), FALSE)"""
_TCP_WORD = """(CASE WHEN t.failure IS NULL THEN 'works'
  WHEN contains(t.address, ':') AND i.ipv6_works IS NULL THEN 'no_ipv6'
  WHEN {is_local_fault} THEN 'local'
  WHEN c.control_is_lost OR t.control_ok IS NULL THEN 'untold'
  WHEN t.control_ok THEN 'blocked' ELSE 'down' END)::try_word"""
_TLS_WORD = """(CASE WHEN t.failure IS NULL THEN 'works'
  WHEN c.control_is_lost THEN 'untold'
  WHEN coalesce(t.control_ok, c.control_http_ok) THEN 'blocked'
  WHEN coalesce(NOT t.control_ok, c.control_http_fails) THEN 'down'
  ELSE 'untold' END)::try_word"""

_LAYERED = """
SELECT
  f.* EXCLUDE (tcp, tcp_tries, tcp_answers, tls, tls_tries, dns_is_unmatched, body_proportion,
    status_code_match, is_https_url, redirect_site, redirect_host, http_body_digest,
    http_host_is_proven),
  -- the most telling of the attempts; null where there was none
  CASE WHEN tcp_tries IS NOT NULL THEN {tcp_result}
       WHEN len(tcp) > 0 THEN 'works'::try_word END AS tcp_result,
  CASE WHEN tcp_result = 'blocked' THEN
    [t.failure FOR t IN tcp][list_position(tcp_tries, 'blocked'::try_word)] END AS tcp_failure,
  CASE WHEN tls_tries IS NOT NULL THEN {tls_result}
       WHEN len(tls) > 0 THEN 'works'::try_word END AS tls_result,
  CASE WHEN tls_result = 'blocked' THEN
    [t.failure FOR t IN tls][list_position(tls_tries, 'blocked'::try_word)] END AS tls_failure,
  coalesce(dns_match IN ('address', 'asn') OR dns_is_vouched OR dns_is_verified OR dns_tls_valid
    OR is_ip_input OR NOT http_first_is_answer, FALSE)
    AS is_address_trusted,
  -- Nothing of the answer connects, and the site is there at an address of the control.
  CASE WHEN tcp_answers IS NOT NULL THEN NOT list_contains(tcp_answers, 'local'::try_word)
    AND coalesce({answers_result} NOT IN ('works', 'no_ipv6'), FALSE) ELSE FALSE END
    AS is_dead_end,
  -- The page came from where the user's own resolver points, over a verified connection.
  coalesce(http_first_is_answer, TRUE) AND http_failure IS NULL AND http_status IS NOT NULL
    AND is_https_url AS is_https_page,
  -- ... and the whole way there was verified or ended at the site itself. A plain request that is
  -- sent on to another site over https may have been sent there by anybody.
  is_https_page AND coalesce(is_https OR http_site = registrable_domain, FALSE) AS is_https_own,
  -- ... and to where the control did not come: neither title nor body are what it saw.
  is_https_page AND NOT is_https_own AND coalesce(NOT title_match, FALSE)
    AND coalesce(body_proportion, 0) <= {body_match} AS is_sent_astray,
  {same_page}
    AS is_same_page,
  coalesce(http_first_is_answer, TRUE) AND {same_status}
    AND coalesce(body_proportion, 0) > {body_match} AS is_same_length,
  -- Where the request ended, if with a page: somewhere else, or with this very body. Null
  -- also where an https input ended over https: nobody between can send it anywhere.
  CASE WHEN http_failure IS NULL AND http_status IS NOT NULL AND NOT (is_https AND is_https_page)
    THEN CASE WHEN is_https_page THEN 'https://' || http_host
         WHEN http_site <> registrable_domain THEN 'http://' || http_host
         ELSE http_body_digest END END AS landing,
  -- the site's own page that is not the control's, over a connection that proves whose it is
  CASE WHEN is_https_own AND http_site = registrable_domain THEN http_body_digest END AS own_page,
  http_failure IS NOT NULL AND coalesce(redirect_site, http_site) <> registrable_domain
    AS fails_at_target,
  http_failure IS NOT NULL AND coalesce(redirect_host, http_host) <> f.domain
    AS fails_within_site,
  http_failure IS NOT NULL AND (coalesce(redirect_layer = 'tls', FALSE)
    OR (redirect_layer IS NULL AND is_https_url AND NOT http_host_is_proven))
    AS fails_before_page
FROM features_raw f
"""


def add_features(
    connection: duckdb.DuckDBPyConnection, thresholds: Thresholds, *, is_pooled: bool = True
) -> None:
    """Create the table ``features`` beside the relation ``observations``.

    Args:
        connection: holds ``observations``.
        thresholds: ``pool_days`` and ``body_match`` are used.
        is_pooled: false judges each measurement alone, by its own control and session only.

    One row is one measurement. Columns: its identity (``object_key, line_number, has_report,
    input, measurement_start_time, day, session, domain, registrable_domain, probe_asn,
    resolver_asn``), OONI's flags, and per layer the scalars that the conditions in ``rules``
    name. Order is not defined.

    Source of the method: OONI pipeline v5's observation groups; name pool: guard G1.
    """
    session = _SESSION if is_pooled else _ALONE
    add_names(connection, session)
    lost = CONTROL_IS_LOST.format(missing=NAME_MISSING)
    control = CONTROL.format(missing=NAME_MISSING, lost=lost, session=session, hoster=HOSTER)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW controlled AS {control}")
    pool = NAME_POOL.format(pool_days=int(thresholds.pool_days))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE name_pool AS {pool}")
    if not is_pooled:
        connection.execute("DELETE FROM name_pool")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE ipv6 AS {_IPV6}")
    body_match = float(thresholds.body_match)
    control_page = _CONTROL_PAGE.format(body_match=body_match)
    same_page = _SAME_PAGE.format(control_page=control_page)
    serving = _SERVING.format(same_page=same_page)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE serving AS {serving}")
    if not is_pooled:
        connection.execute("DELETE FROM serving")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE vouched AS {_VOUCHED}")
    local = is_local_fault("t.failure")
    features = _FEATURES.format(
        tcp_word=_TCP_WORD.format(is_local_fault=local),
        tls_word=_TLS_WORD,
        is_trusted=_IS_TRUSTED,
        control_page=control_page,
    )
    connection.execute(f"CREATE OR REPLACE TEMP VIEW features_raw AS {features}")
    layered = _LAYERED.format(
        same_page=same_page,
        same_status=_SAME_STATUS,
        body_match=body_match,
        tcp_result=first_word("tcp_tries"),
        tls_result=first_word("tls_tries"),
        answers_result=first_word("tcp_answers"),
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE features AS {layered}")
