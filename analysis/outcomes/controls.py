"""What a measurement and its control say by themselves, layer by layer, and the pooled controls."""

import duckdb

from analysis.outcomes.enumerations import create_enumerations
from analysis.outcomes.macros import create_macros
from analysis.outcomes.steps import chain, create_tables, create_views
from analysis.outcomes.thresholds import Thresholds

# A measurement that is judged alone is a run of its own.
_POOLED = "SELECT *, run AS session FROM observations"
_LONE = "SELECT *, row_id AS session FROM observations"

# Many steps need no more than what is in these, and DuckDB works out all columns of what it reads.
_BASIC_VIEWS = {
    # A chain of redirects fails where its last step does: the newest response is then a redirect,
    # and what went wrong behind it left no request of its own (0.5).
    "typed_observations": """
SELECT
  * REPLACE (coalesce(http_failure, CASE WHEN http_status BETWEEN 300 AND 399
      THEN coalesce(redirect_failure, http_experiment_failure) END) AS http_failure,
    domain::host_name AS domain, http_host::host_name AS http_host,
    redirect_host::host_name AS redirect_host, probe_cc::country_name AS probe_cc,
    redirect_layer::layer_word AS redirect_layer),
  CAST(measurement_start_time AS DATE) AS day
FROM session_observations
""",
    # A control whose own lookup broke, other than by missing the name, has lost its way: what fails
    # for it says nothing. The test helper says "no address" by an empty list and the page's
    # failure.
    "observed_controls": """
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
""",
}

#: The steps from there to the view ``controlled``, each of which reads the one before.
_VIEWS = {
    # What decides only where no answer matches the control's is asked only there.
    "observed_answers": """
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
""",
    # Most connections and handshakes work, at addresses that the control knows: there is nothing to
    # look for among them. A certificate proves an address to the control or to this very probe.
    "observed_attempts": """
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
""",
    # A page may be the control's by its length alone only at an address that the control knows and
    # where no other site stands at the end.
    "controlled": """
SELECT *,
  http_failure IS NULL AND http_status IS NOT NULL AND control_http_ok
    AND coalesce(status_code_match, FALSE) AS has_control_status,
  NOT dns_is_unmatched AND CASE WHEN http_host = domain THEN TRUE
    ELSE http_host = 'www.' || domain OR domain = 'www.' || http_host END AS may_compare_length
FROM observed_attempts
""",
}

# The sessions whose control found a name, and missed it, by day. Most names are never missed: of
# these it is enough that somebody spoke of them.
_CONTROL_DAYS = """
WITH told AS MATERIALIZED (
  SELECT domain, day, session, control_name
  FROM observed_controls WHERE domain <> '' AND control_name <> 'silent'
), doubted AS (
  SELECT DISTINCT domain FROM told WHERE control_name = 'missing'
), sessions AS (
  SELECT domain, day, session,
         bool_or(control_name = 'resolves') AS resolves,
         bool_or(control_name = 'missing') AS misses
  FROM told SEMI JOIN doubted USING (domain) GROUP BY ALL
)
SELECT domain, day, count(*) FILTER (resolves) AS resolving, count(*) FILTER (misses) AS missing
FROM sessions GROUP BY ALL
UNION ALL
SELECT DISTINCT domain, day, 1 AS resolving, 0 AS missing FROM told ANTI JOIN doubted USING (domain)
"""

# The controls are relayed by probes, so one of them can be forged or wrong: names are judged by
# most sessions of the days around. A single session is all that there is where nobody else tested
# the name.
_NAME_POOL = """
WITH doubted AS (
  SELECT DISTINCT domain FROM control_days WHERE missing > 0
), around AS (
  SELECT domain, day,
         sum(resolving) OVER near AS resolving, sum(missing) OVER near AS missing
  FROM control_days SEMI JOIN doubted USING (domain)
  WINDOW near AS (PARTITION BY domain ORDER BY day
                  RANGE BETWEEN to_days($pool_days) PRECEDING AND to_days($pool_days) FOLLOWING)
)
SELECT domain, day,
  (CASE WHEN missing > resolving THEN 'missing' ELSE 'exists' END)::pool_answer AS name_pool
FROM around
UNION ALL
SELECT domain, day, 'exists'::pool_answer FROM control_days ANTI JOIN doubted USING (domain)
"""

#: Steps of the profiles that only controls are asked for.
NAME_STEPS = {
    # The days on which a name's own servers fail everybody: the control's lookup of a session
    # breaks, and so do those of most sessions within two days. One control is relayed by one probe,
    # and may have lost its way by itself: it takes two.
    "broken_names": """
WITH lost AS (
  SELECT DISTINCT domain, day FROM observed_controls WHERE control_is_lost AND domain <> ''
), told AS (
  SELECT domain, day, session, bool_or(control_name <> 'silent') AS tells
  FROM observed_controls SEMI JOIN lost USING (domain)
  WHERE control_is_lost OR control_name <> 'silent' GROUP BY ALL
)
SELECT l.domain, l.day
FROM lost l JOIN told t ON t.domain = l.domain AND t.day BETWEEN l.day - 2 AND l.day + 2
GROUP BY ALL
HAVING count(DISTINCT session) FILTER (NOT tells) >= 2
  AND 2 * count(DISTINCT session) FILTER (tells) < count(DISTINCT session)
""",
}


def read_controls(*, is_pooled: bool) -> dict[str, str]:
    """The views in which each measurement is read, over the tables of ``add_controls``.

    ``controlled``: one row per measurement, with all columns of ``observations`` and what it says
    by itself of its control, its answers, its connections and handshakes, and its page.
    """
    sessions = _POOLED if is_pooled else _LONE
    return {"session_observations": sessions, **_BASIC_VIEWS, "controlled": chain(_VIEWS)}


def add_controls(
    connection: duckdb.DuckDBPyConnection, thresholds: Thresholds, place: str, *, is_pooled: bool
) -> None:
    """Create the macros, the types, the views of ``read_controls`` and the table ``name_pool``.

    ``name_pool``: one row per site and day that a control spoke of, with ``name_pool`` (``exists``
    or ``missing``): the word of most sessions within ``pool_days`` days; of ``control_days``, the
    sessions by day. Empty unless pooled.
    """
    create_macros(connection, place)
    create_enumerations(connection, place)
    create_views(connection, read_controls(is_pooled=is_pooled))
    steps = {"control_days": _CONTROL_DAYS, "name_pool": _NAME_POOL}
    create_tables(connection, steps, vars(thresholds), place, is_filled=is_pooled)
