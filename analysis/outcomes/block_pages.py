"""What a page does over many names: a block page, or the site's own."""

import duckdb
import pyarrow as pa

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.macros import IS_STEADY, keep_table, spells

# A page came, of a site that exists.
GOT_PAGE = """http_failure IS NULL AND http_status IS NOT NULL
  AND registrable_domain IS NOT NULL AND coalesce(name_pool <> 'missing', TRUE)"""

# One row: one page as one network served it: a body, or a site that plain requests are sent on to.
# The names it replaced must be reached elsewhere, and most networks must not show it, or the page
# may be the sites' own (a captcha, a refusal of the whole country, a variant, a parking page).
# Where most networks do show it, it is no site's own if it stands at another site or the sites have
# unrelated hosts, and if they were reached at other times; or if unrelated hosts show it and it is
# no error. Where the names have few hosts, half of the networks are most: a host's challenge comes
# to a whole country, and not to its hosters and VPNs. What one of the sites shows over a verified
# connection as well is the sites' own. Shares or several sessions, so that one forged session
# neither acquits a page nor makes a site reachable.
PAGE_PROFILES = """
WITH landed AS (
  SELECT session, day, probe_asn, registrable_domain,
    is_same_page OR is_https_own AS is_reached,
    is_https_page AND NOT is_https_own AS is_sent_on, landing AS page
  FROM features WHERE {got_page}
), pages AS (
  SELECT probe_asn, landing AS page, registrable_domain, min(http_title) AS title,
    count(*) AS measurements,
    mode(control_hoster ORDER BY control_hoster) FILTER (control_http_ok) AS hoster,
    count(*) FILTER (http_status >= 400) AS errors,
    count(*) FILTER (http_site <> registrable_domain) AS arrivals
  FROM features
  WHERE {got_page} AND landing IS NOT NULL AND NOT is_same_page AND NOT is_https_own
  GROUP BY ALL
), shared AS (
  SELECT page FROM pages GROUP BY page HAVING count(DISTINCT registrable_domain) > 1
), replaced AS (
  SELECT DISTINCT page, registrable_domain FROM pages SEMI JOIN shared USING (page)
), own AS (
  SELECT own_page AS page
  FROM features f SEMI JOIN replaced r
    ON r.page = f.own_page AND r.registrable_domain = f.registrable_domain
  GROUP BY own_page HAVING count(DISTINCT session) >= {floor_sessions}
), shown AS (
  SELECT page, probe_asn, min(day) AS since, max(day) AS until
  FROM landed SEMI JOIN shared USING (page) WHERE NOT is_reached
  GROUP BY ALL HAVING count(DISTINCT session) >= 2
), exposure AS (
  -- What the names' sessions saw while the page was about: a block shows it to most of them, a
  -- variant of the sites' own page to some of them on every network.
  SELECT r.page, l.probe_asn, count(DISTINCT l.session) AS sessions,
    count(DISTINCT l.session) FILTER (l.page = r.page AND NOT l.is_reached) AS showing
  FROM landed l JOIN replaced r USING (registrable_domain)
    JOIN shown s ON s.page = r.page AND s.probe_asn = l.probe_asn
      AND l.day BETWEEN s.since AND s.until
  GROUP BY ALL
), spread AS (
  SELECT page, count(*) AS network_count,
    sum(showing) FILTER (2 * showing < sessions) / sum(showing) AS scattered_share
  FROM exposure GROUP BY page
), testing AS (
  SELECT r.page, count(DISTINCT s.probe_asn) / count(DISTINCT l.probe_asn) AS showing_share
  FROM landed l JOIN replaced r USING (registrable_domain)
    LEFT JOIN shown s ON s.page = r.page AND s.probe_asn = l.probe_asn
  GROUP BY r.page
), arrivals AS (
  SELECT registrable_domain, count(DISTINCT session) AS sessions,
    count(DISTINCT session) FILTER (is_reached) AS reached
  FROM landed GROUP BY ALL
), targets AS (
  SELECT registrable_domain, page, count(DISTINCT session) AS sessions
  FROM landed WHERE is_sent_on GROUP BY ALL
), reached AS (
  SELECT a.registrable_domain,
    a.reached >= 2 AND 10 * a.reached >= a.sessions AS is_reached,
    list(t.page) FILTER (t.sessions >= 2 AND 10 * t.sessions >= a.sessions) AS targets
  FROM arrivals a LEFT JOIN targets t USING (registrable_domain) GROUP BY ALL
), counted AS (
  SELECT probe_asn, page, min(title) AS title, count(*) AS name_count,
    count(*) FILTER (r.is_reached OR len(list_filter(r.targets, lambda t: t <> page)) > 0)
      AS reached_elsewhere_count,
    count(DISTINCT hoster) AS hoster_count, 2 * sum(errors) > sum(measurements) AS is_error,
    2 * sum(arrivals) > sum(measurements) AS is_away,
    sum(measurements)::BIGINT AS measurement_count
  FROM pages JOIN reached r USING (registrable_domain) GROUP BY probe_asn, page
)
SELECT c.*, coalesce(s.network_count, 0) AS network_count,
  coalesce(s.scattered_share, 0) AS scattered_share, coalesce(t.showing_share, 0) AS showing_share,
  coalesce(s.network_count, 0) >= 3 AND coalesce(t.showing_share, 0)
    >= CASE WHEN c.hoster_count >= {blockpage_names} THEN {refusal_share} ELSE 0.5 END
    AS is_everywhere,
  c.name_count >= {blockpage_names} AND c.page NOT IN (FROM own)
    AND NOT (coalesce(s.network_count, 0) >= 3 AND coalesce(s.scattered_share, 0) >= 0.5)
    AND CASE WHEN 2 * c.reached_elsewhere_count >= c.name_count
      THEN NOT is_everywhere OR c.is_away OR c.hoster_count >= {blockpage_names}
      ELSE is_everywhere AND c.hoster_count >= {blockpage_names} AND (c.is_away OR NOT c.is_error)
      END
    AS is_blockpage
FROM counted c LEFT JOIN spread s USING (page) LEFT JOIN testing t USING (page)
"""

# Plain requests for one site that one network answers nearly always, for a while, by another site
# or by one page that is not the control's, while other networks get the site itself.
REPLACED = f"""
WITH landings AS (
  SELECT probe_asn, registrable_domain, session, day,
    coalesce(http_site <> registrable_domain, FALSE) AS is_away,
    is_same_page OR is_https_own AS is_own,
    -- An error may be the site's own word to this network.
    CASE WHEN is_away THEN 'http://' || http_site
         WHEN NOT is_own AND control_http_ok AND NOT coalesce(title_match, FALSE)
           AND http_status < 400 AND is_address_trusted THEN landing END AS target
  FROM features
  WHERE {{got_page}} AND NOT is_https
), homes AS (
  SELECT registrable_domain, probe_asn,
    2 * count(DISTINCT session) FILTER (NOT is_away) > count(DISTINCT session) AS is_home,
    2 * count(DISTINCT session) FILTER (is_own) > count(DISTINCT session) AS is_own,
    count(DISTINCT session) AS sessions
  FROM landings GROUP BY ALL
), reached AS (
  SELECT registrable_domain,
    count(*) FILTER (is_home) >= 2 AND 2 * count(*) FILTER (is_home)
      >= count(*) FILTER (is_home OR sessions >= 2) AS is_home,
    count(*) FILTER (is_own) >= 2 AND 2 * count(*) FILTER (is_own)
      >= count(*) FILTER (is_own OR sessions >= 2) AS is_own
  FROM homes GROUP BY ALL HAVING count(*) FILTER (is_home) >= 2
), targets AS (
  SELECT DISTINCT probe_asn, registrable_domain, target, is_away
  FROM landings JOIN reached r USING (registrable_domain)
  WHERE target IS NOT NULL AND CASE WHEN is_away THEN r.is_home ELSE r.is_own END
), asked AS (
  SELECT probe_asn, registrable_domain, t.target, t.is_away, l.session, min(l.day) AS day,
    bool_or(l.target IS NOT DISTINCT FROM t.target) AS is_given
  FROM targets t JOIN landings l USING (probe_asn, registrable_domain) GROUP BY ALL
), {spells("probe_asn, registrable_domain, target, is_away", "asked")}
, steady_ones AS (
  SELECT DISTINCT probe_asn, registrable_domain, target, is_away FROM spells WHERE {IS_STEADY}
), variants AS (
  -- A variant of the site's own page comes and goes on every network.
  SELECT l.registrable_domain, l.target
  FROM landings l LEFT JOIN steady_ones s USING (probe_asn, registrable_domain, target)
  WHERE l.target IS NOT NULL AND NOT l.is_away GROUP BY ALL
  HAVING 4 * count(DISTINCT l.session) FILTER (s.target IS NULL)
    > count(DISTINCT l.session) FILTER (s.target IS NOT NULL)
)
FROM steady_ones ANTI JOIN variants USING (registrable_domain, target)
"""

# Pages with a fingerprint that counts in the country.
FINGERPRINTED = """
SELECT object_key::object_name AS object_key, line_number
FROM observations o JOIN http_names h ON h.probe_cc = o.probe_cc
WHERE list_has_any(o.http_fingerprints, h.names)
"""


def register_fingerprints(
    connection: duckdb.DuckDBPyConnection, fingerprints: Fingerprints
) -> None:
    """``dns_patterns``: address × country; ``http_names``: the names that count in a country."""
    found = connection.execute("SELECT DISTINCT probe_cc FROM features ORDER BY 1").fetchall()
    countries = [cc for (cc,) in found]
    # OONI counts a fingerprint of scope isp or nat as confirmed anywhere; a verdict needs one that
    # is expected in the country itself.
    addresses = [
        {"probe_cc": cc, "pattern": found.pattern}
        for cc in countries
        for found in fingerprints.dns
        if cc in found.expected_countries and found.pattern_type == "full"
    ]
    names = [
        {"probe_cc": cc, "names": [f.name for f in fingerprints.http if cc in f.expected_countries]}
        for cc in countries
    ]
    text = pa.string()
    patterns = pa.Table.from_pylist(addresses, pa.schema([("probe_cc", text), ("pattern", text)]))
    http = pa.Table.from_pylist(names, pa.schema([("probe_cc", text), ("names", pa.list_(text))]))
    keep_table(connection, "dns_patterns", patterns)
    keep_table(connection, "http_names", http)
