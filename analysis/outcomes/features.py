"""From observations to what the rules look at: one row per measurement, scalars only.

Everything is SQL in DuckDB over a relation ``observations`` (see ``schema.OBSERVATION``), so that
a year of a country and a single file for ``judge`` take the same way. ``features.md`` says of each
column what it means.
"""

from typing import Self

import duckdb

from analysis.outcomes.controls import add_controls, read_controls
from analysis.outcomes.steps import chain, create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.store.stage_tables import Tables

# What sessions met, attempt by attempt, at each address that some probe got and no control: a site
# by its certificate or its page's title (``is_good``), or, from some ``proportion`` of its length
# on, a page that is the control's by that alone. Where every control got the addresses that the
# probes got, nobody needs to be vouched for.
_ADDRESS_TRIES = """
WITH asked AS (
  SELECT DISTINCT a.address
  FROM (SELECT unnest(dns_answers) AS a FROM observations)
  WHERE coalesce(a.match, 'none') = 'none'
), tried AS (
  SELECT session, domain, t.address, t.failure IS NULL AS is_good, TRUE AS is_told,
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
FROM tried SEMI JOIN asked USING (address)
"""

# An address serves sites where most sessions that tried it got a valid certificate or the page that
# the control saw. Most, not any: one forged session must not turn a sinkhole into a CDN.
_SERVING = """
WITH met AS (
  SELECT address, session, domain, is_good OR proportion > $body_match AS is_good
  FROM address_tries WHERE is_told OR is_good OR proportion > $body_match
), sessions AS (
  SELECT address, bool_or(is_good) AS is_good FROM met GROUP BY address, session
), proven AS (
  SELECT address FROM sessions GROUP BY address HAVING 2 * count(*) FILTER (is_good) > count(*)
)
SELECT address, list_sort(list(DISTINCT domain)) AS domains
FROM met SEMI JOIN proven USING (address) WHERE is_good GROUP BY address
"""

# ... and it is vouched for a name where it served that name: a CDN's answer that the control did
# not get is then still the site's.
_VOUCHED = """
SELECT domain, list(address ORDER BY address) AS addresses
FROM (SELECT address, unnest(domains) AS domain FROM serving) WHERE domain <> '' GROUP BY domain
"""

# The control tries what the probe was told as well: addresses that none got by itself, and on which
# most that got the name's certificate anywhere got it, two of them at least.
_CERTIFIED = """
WITH told AS (
  SELECT domain, run, address, list_contains(control_tls_addresses, address) AS is_shown
  FROM (SELECT domain, run, control_tls_addresses,
          unnest([a.address FOR a IN dns_answers IF a.match = 'none']) AS address
        FROM observations WHERE len(control_tls_addresses) > 0)
), found AS (
  SELECT domain, address, count(DISTINCT run) FILTER (is_shown) AS sessions
  FROM told GROUP BY domain, address
  HAVING sessions >= 2 AND 2 * sessions > count(DISTINCT run)
)
SELECT domain::host_name AS domain, list(address) AS addresses FROM found GROUP BY domain
"""

# A session whose IPv6 never connects anywhere is broken there, not blocked.
_IPV6 = """
SELECT DISTINCT session, TRUE AS ipv6_works FROM typed_observations
WHERE has_true([t.failure IS NULL AND contains(t.address, ':') FOR t IN tcp])
"""

#: A run of a probe is on one network: what most of its measurements say. As to others it shows
#: nothing and has no vote: one report would be a witness for any number of networks.
ROAMING = """
SELECT session, probe_asn FROM {rows} GROUP BY session, probe_asn
QUALIFY 2 * count(*) <= sum(count(*)) OVER (PARTITION BY session)
"""

#: The steps from ``controlled`` to ``_FEATURES``, each of which reads the one before.
_VIEWS = {
    "pooled_observations": """
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
""",
    # What each attempt tells; null where all work at addresses that the control knows, which most
    # do, and of the answers where they could be no dead end (see ``_FEATURES``). Old probes note no
    # address with a handshake: it is then the resolver's answer.
    "attempt_results": """
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
""",
    # A page over https came from where the user's own resolver points, over a verified connection;
    # it is the site's own where the whole way there was verified or ended at the site itself: a
    # plain request that is sent on to another site over https may have been sent there by anybody.
    # A request lands where it ends, if with a page: at another site, or at this very body, or at an
    # empty one where the control has a body; nowhere where an https input ended over https, since
    # nobody between can send that anywhere.
    "page_results": """
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
  CASE WHEN is_https_own AND http_site = registrable_domain THEN http_body_digest END AS own_page,
  http_failure IS NOT NULL AND coalesce(redirect_site, http_site) <> registrable_domain
    AS fails_at_target,
  http_failure IS NOT NULL AND coalesce(redirect_host, http_host) <> domain
    AS fails_within_site,
  http_failure IS NOT NULL AND (coalesce(redirect_layer = 'tls', FALSE)
    OR (redirect_layer IS NULL AND is_https_url AND NOT http_host_is_proven))
    AS fails_before_page
FROM attempt_results
""",
    # The most telling of the attempts speaks for all, and null says that there was none.
    "layer_results": """
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
""",
    # What no number of the method decides.
    "measured": """
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
""",
}

# At a dead end nothing of the answer connects, and the site is there at an address of the control.
# A request went astray where it ended at another site than the control's, by title and by body.
_FEATURES = """
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
"""


class Features(Tables):
    """``features``, one row per measurement, and what it is made of, with the observations."""

    @classmethod
    def at(cls, place: str, observations: Tables, *, is_pooled: bool = True) -> Self:
        """Those that ``add_features`` makes in a catalog."""
        return cls((place, *observations.catalogs), read_controls(is_pooled=is_pooled))


def add_features(
    connection: duckdb.DuckDBPyConnection,
    observations: Tables,
    thresholds: Thresholds,
    place: str,
    *,
    is_pooled: bool = True,
) -> Features:
    """Create the table ``features``.

    Args:
        connection: to all tables.
        observations: hold the relation ``observations``.
        thresholds: ``pool_days`` and ``body_match`` are used.
        place: the catalog in which it is made.
        is_pooled: false judges each measurement alone, by its own control and session only.

    One row is one measurement. Columns: its identity (``row_id, input, measurement_start_time,
    day, session, domain, registrable_domain, probe_asn, resolver_asn``),
    OONI's flags, and per layer the scalars that the conditions in ``rules`` name, see
    ``features.md``. Order is not defined.

    Source of the method: OONI pipeline v5's observation groups; names that do not exist are told by
    pooled controls.
    """
    features, numbers = Features.at(place, observations, is_pooled=is_pooled), vars(thresholds)
    with features.opened(connection) as opened:
        add_controls(opened, thresholds, place, is_pooled=is_pooled)
        pooled = {"address_tries": _ADDRESS_TRIES, "serving": _SERVING, "certified": _CERTIFIED}
        create_tables(opened, pooled, numbers, place, is_filled=is_pooled)
        steps = {
            "vouched": _VOUCHED,
            "ipv6": _IPV6,
            "roaming_sessions": ROAMING.format(rows="typed_observations"),
            "features": chain({**_VIEWS, "features": _FEATURES}),
        }
        create_tables(opened, steps, numbers, place)
    return features
