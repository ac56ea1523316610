"""What an answer or a page does over many names: the profiles that single measurements lack.

A sinkhole, an NXDOMAIN substitution, a CDN and a block page look alike in one measurement. They
differ in how many unrelated names share them, in whether those names exist, in whether a control
ever gets them, and in whether a site is ever reached through them.
"""

import duckdb
import pyarrow as pa

from analysis.features import keep_table
from analysis.fingerprints import Fingerprints
from analysis.reference import local_filter_of
from analysis.rules import Thresholds

# Answers that the control did not vouch for. Special-purpose addresses have rules of their own.
_SUSPECTS = """
SELECT object_key, line_number, probe_cc, session, day, domain, registrable_domain,
       probe_asn, resolver_asn, date_trunc('quarter', day) AS quarter,
       unnest(dns_addresses) AS address,
       coalesce(name_pool = 'missing', control_name = 'missing') AS is_missing, control_hoster
FROM features
WHERE dns_has_answer AND dns_special IS NULL AND domain <> ''
  AND (dns_match = 'none' OR control_name = 'missing' OR name_pool = 'missing')
"""

# Controls are relayed by probes: one of them vouches for nothing.
_CONTROL_ADDRESSES = """
WITH met AS (
  SELECT address, count(DISTINCT session) AS sessions FROM suspects GROUP BY address
)
SELECT address
FROM (SELECT session, unnest(control_answers).address AS address FROM controlled)
JOIN met USING (address)
GROUP BY address
HAVING count(DISTINCT session) >= 2 AND 2 * count(DISTINCT session) >= any_value(met.sessions)
"""

# A sinkhole shows one page or none; a cache or a content network shows each site's own. Most of
# the requests that can tell must get one (over https a page is the site's, and tells nothing), and
# a page counts if two sessions saw it: one forged or broken session must not turn a sinkhole into a
# cache.
_PAGE_ADDRESSES = """
WITH shown AS (
  SELECT s.address, s.session, s.registrable_domain,
    f.landing AS page
  FROM suspects s JOIN features f USING (object_key, line_number)
  WHERE NOT s.is_missing AND NOT (f.is_https AND f.http_failure IS NULL)
    AND coalesce(f.http_first_is_answer, TRUE)
), pages AS (
  SELECT address, registrable_domain, page, count(DISTINCT session) AS sessions
  FROM shown GROUP BY ALL
)
SELECT address FROM pages GROUP BY address
HAVING count(DISTINCT registrable_domain) FILTER (page IS NOT NULL AND sessions >= 2) >= 2
   AND 2 * count(DISTINCT page) FILTER (sessions >= 2)
     > count(DISTINCT registrable_domain) FILTER (page IS NOT NULL AND sessions >= 2)
   AND 2 * sum(sessions) FILTER (page IS NOT NULL) > sum(sessions)
"""

# What public resolvers give for the name on several networks is no resolver's block. They answer
# over plain UDP (0.5), or where the system itself asks one.
_PUBLIC_ADDRESSES = """
WITH live AS (SELECT DISTINCT domain, address FROM suspects WHERE NOT is_missing),
public AS (
  SELECT domain, session, probe_asn, unnest(udp_answers).address AS address
  FROM controlled SEMI JOIN live USING (domain)
  UNION ALL
  SELECT domain, session, probe_asn, unnest(dns_addresses)
  FROM features SEMI JOIN live USING (domain)
  WHERE resolver_asn > 0 AND resolver_asn NOT IN (SELECT probe_asn FROM features)
), asked AS (
  SELECT domain, count(DISTINCT session) AS sessions FROM public GROUP BY domain
), given AS (
  SELECT domain, address, count(DISTINCT session) AS sessions, list(DISTINCT probe_asn) AS asns
  FROM public SEMI JOIN live USING (domain, address) GROUP BY ALL
)
SELECT address
FROM live JOIN asked USING (domain) LEFT JOIN given USING (domain, address)
GROUP BY address
HAVING 2 * coalesce(sum(given.sessions), 0) > sum(asked.sessions)
  AND len(list_distinct(flatten(list(given.asns)))) >= 3
  AND sum(given.sessions) >= {floor_sessions}
"""

# Pages without titles: no page of a block is as long as each of the sites that it replaces.
_LENGTH_ADDRESSES = """
WITH names AS (
  SELECT s.address, s.registrable_domain,
    count(DISTINCT s.session) FILTER (f.is_same_length) AS alike,
    count(DISTINCT s.session) AS sessions
  FROM suspects s JOIN features f USING (object_key, line_number)
  WHERE NOT s.is_missing AND f.http_status IS NOT NULL GROUP BY ALL
)
SELECT address FROM names GROUP BY address
HAVING count(*) FILTER (alike >= 2 AND 2 * alike > sessions) >= {sinkhole_names}
   AND 2 * count(*) FILTER (alike >= 2 AND 2 * alike > sessions) > count(*)
"""

_ADDRESSES = """
SELECT DISTINCT address,
  address IN (FROM public_addresses) AS is_public,
  address IN (FROM control_addresses) AS is_in_control,
  address IN (SELECT address FROM serving) OR address IN (FROM page_addresses)
    OR address IN (FROM length_addresses) AS is_proven
FROM suspects
"""

# One row: one address as one resolver network gave it in one quarter (guard G2). Sessions decide,
# not names: one forged report can name hundreds of dead names.
_ANSWER_PROFILES = """
WITH names AS (
  SELECT resolver_asn, address, quarter, registrable_domain,
         2 * count(DISTINCT session) FILTER (is_missing) > count(DISTINCT session) AS is_dead
  FROM suspects GROUP BY ALL
), profiles AS (
  SELECT s.resolver_asn, s.address, s.quarter,
    count(DISTINCT s.registrable_domain) AS name_count,
    count(DISTINCT s.registrable_domain) FILTER (n.is_dead) AS dead_name_count,
    count(DISTINCT s.session) FILTER (n.is_dead) AS dead_session_count,
    count(DISTINCT s.session) FILTER (NOT n.is_dead) AS live_session_count,
    count(*) AS measurement_count
  FROM suspects s JOIN names n USING (resolver_asn, address, quarter, registrable_domain)
  GROUP BY ALL
), country AS (
  SELECT address, count(DISTINCT s.registrable_domain) AS live_name_count,
    count(DISTINCT s.control_hoster) AS live_hoster_count
  FROM suspects s JOIN names n USING (resolver_asn, address, quarter, registrable_domain)
  WHERE NOT n.is_dead GROUP BY ALL
)
SELECT p.resolver_asn, p.address, strftime(p.quarter, '%Y-%m-%d') AS quarter, p.name_count,
  p.dead_name_count, coalesce(c.live_name_count, 0) AS live_name_count, p.dead_session_count,
  p.live_session_count, p.measurement_count, a.is_in_control, a.is_proven, a.is_public,
  CASE WHEN a.is_proven OR a.is_in_control THEN 'serves sites'
       WHEN p.dead_name_count >= 2 AND p.dead_session_count >= {substitution_dead_share}
            * (p.dead_session_count + p.live_session_count) THEN 'substitution'
       -- Sites of unrelated hosts do not meet on one address: that answer was put in on the path.
       WHEN a.is_public AND coalesce(c.live_hoster_count, 0) < {sinkhole_names} THEN 'public'
       WHEN c.live_name_count >= {sinkhole_names} THEN 'sinkhole'
       ELSE 'unclear' END AS profile
FROM profiles p JOIN addresses a USING (address) LEFT JOIN country c USING (address)
"""


def _spells(key: str, given: str, software: str = "NULL") -> str:
    """SQL of ``spells``: the stretches in which something is given again and again.

    One row is one stretch of one ``key`` in the relation ``given`` (``key, session, day,
    is_given``): a block that is imposed twice is two of them, since enough open sessions in a row
    end a stretch; ``given_count`` and ``open_count`` are its sessions, ``day_count`` the days on
    which it was given, from ``since`` to ``until``; ``version_count`` the kinds of ``software``
    that were given it.
    """
    return f"""
ordered AS (
  SELECT {key}, day, {software} AS software, is_given, count(*) FILTER (NOT is_given)
    OVER (PARTITION BY {key} ORDER BY day, session ROWS UNBOUNDED PRECEDING) AS open_before
  FROM {given}
), parted AS (
  SELECT {key}, day, software, open_before, open_before - lag(open_before, 1, open_before)
    OVER (PARTITION BY {key} ORDER BY day, open_before) >= {{floor_sessions}} AS begins
  FROM ordered WHERE is_given
), numbered AS (
  SELECT {key}, day, software, open_before, count(*) FILTER (begins)
    OVER (PARTITION BY {key} ORDER BY day, open_before) AS spell
  FROM parted
), spells AS (
  SELECT {key}, count(*) AS given_count, max(open_before) - min(open_before) AS open_count,
    count(DISTINCT day) AS day_count, min(day) AS since, max(day) AS until,
    count(DISTINCT software) AS version_count
  FROM numbered GROUP BY {key}, spell
)"""


_IS_STEADY = """given_count >= {persistence_share} * (given_count + open_count)
  AND given_count >= {floor_sessions} AND day_count >= {floor_days}"""

# What a resolver gives for a live name nearly always is no lapse: ``is_persistent`` from the first
# day to the last on which it gives it, while it answers other live names well. ``is_lone``: for a
# while nearly always, nobody ever reached a site there and no control
# got it, and most of the other networks get the control's answer.
_STEADY = f"""
WITH sent AS (
  SELECT domain, resolver_asn, address, min(day) AS since, max(day) AS until
  FROM suspects WHERE NOT is_missing GROUP BY ALL
), asked AS (
  SELECT s.domain, s.resolver_asn, s.address, f.session,
    bool_or(list_contains(f.dns_addresses, s.address)) AS is_given, min(f.day) AS day
  FROM sent s JOIN features f ON f.domain = s.domain AND f.resolver_asn = s.resolver_asn
    AND f.day BETWEEN s.since AND s.until AND f.control_name = 'resolves'
    AND (f.dns_has_answer OR f.dns_failure IS NOT NULL)
  GROUP BY ALL
), {_spells("domain, resolver_asn, address", "asked")}, shares AS (
  SELECT domain, resolver_asn, address,
    sum(given_count) >= {{persistence_share}} * any_value(a.sessions) AS is_persistent,
    bool_or({_IS_STEADY}) AS is_steady
  FROM spells JOIN (
    SELECT domain, resolver_asn, address, count(*) AS sessions FROM asked GROUP BY ALL
  ) a USING (domain, resolver_asn, address)
  GROUP BY ALL HAVING sum(given_count) >= {{floor_sessions}} AND sum(day_count) >= {{floor_days}}
), well AS (
  SELECT resolver_asn FROM features
  WHERE control_name = 'resolves' AND coalesce(name_pool <> 'missing', TRUE)
  GROUP BY ALL
  HAVING 2 * count(DISTINCT domain) FILTER (dns_match IN ('address', 'asn') OR dns_is_vouched)
    >= count(DISTINCT domain)
), networks AS (
  SELECT domain, probe_asn,
    2 * count(DISTINCT session) FILTER (dns_match IN ('address', 'asn') OR dns_is_vouched)
      > count(DISTINCT session) AS is_matching,
    count(DISTINCT session) AS sessions
  FROM features WHERE control_name = 'resolves' AND domain IN (SELECT domain FROM shares)
  GROUP BY ALL
), elsewhere AS (
  SELECT domain FROM networks GROUP BY domain
  -- one session is no network's vote against
  HAVING count(*) FILTER (is_matching) >= 2
    AND 2 * count(*) FILTER (is_matching) >= count(*) FILTER (is_matching OR sessions >= 2)
)
SELECT domain, resolver_asn, address,
  is_persistent AND resolver_asn IN (FROM well) AS is_persistent,
  is_steady AND domain IN (FROM elsewhere)
    AND NOT (a.is_in_control OR a.is_proven OR a.is_public) AS is_lone
FROM shares JOIN addresses a USING (address)
"""

# G3. A filter that a user, a school or an office chose answers for its own sessions only; a network
# that blocks answers all of them. One row: one special-purpose address as sessions of one network
# got it through one resolver, over the names and days on which it was given. A session counts as
# open where it got the address for less than half of those names that it tried. Where the probes
# that get the address are those that do not at other times, what nearly all sessions of several
# versions get for a while (``stretches``) is the network's, also if it is lifted and imposed again:
# no user's filter comes and goes for everybody.
_SPECIAL_ASKED = """
WITH given AS (
  SELECT probe_asn, resolver_asn, address, domain, min(day) AS since, max(day) AS until
  FROM (SELECT *, unnest(dns_addresses) AS address FROM features
        WHERE dns_special IS NOT NULL AND control_name = 'resolves')
  GROUP BY ALL
)
SELECT g.probe_asn, g.resolver_asn, g.address, f.session, g.domain,
       min(f.software) AS software, min(f.day) AS day,
       bool_or(list_contains(f.dns_addresses, g.address)) AS is_given
FROM given g JOIN features f
  ON f.probe_asn = g.probe_asn AND f.resolver_asn = g.resolver_asn AND f.domain = g.domain
 AND f.day BETWEEN g.since AND g.until AND f.control_name = 'resolves'
 AND (f.dns_failure IS NOT NULL OR f.dns_has_answer)
GROUP BY ALL
"""
_SPECIAL_SESSIONS = """
SELECT probe_asn, resolver_asn, address, session, min(software) AS software,
  min(day) AS day, 2 * count(*) FILTER (is_given) >= count(*) AS is_given
FROM special_asked GROUP BY ALL
"""
_SPECIAL_PROFILES = f"""
WITH {_spells("probe_asn, resolver_asn, address", "special_sessions", "software")}, lasting AS (
  SELECT probe_asn, resolver_asn, address, list((since, until)) AS stretches
  FROM spells WHERE {_IS_STEADY} AND version_count >= 2 GROUP BY ALL
), kinds AS (
  SELECT probe_asn, resolver_asn, address, software, count(*) FILTER (is_given) AS given,
    count(*) FILTER (NOT is_given) AS open
  FROM special_sessions GROUP BY ALL
), counted AS (
  SELECT probe_asn, resolver_asn, address, sum(given)::BIGINT AS given_session_count,
    sum(open)::BIGINT AS open_session_count, sum(least(given, open))::BIGINT AS mixed_count
  FROM kinds GROUP BY ALL
), names AS (
  SELECT probe_asn, resolver_asn, address, count(DISTINCT domain) AS name_count
  FROM special_asked GROUP BY ALL
)
SELECT *,
  -- Some sessions only; or nearly all of them, where those that got the address and those that
  -- did not are different probes: one busy probe behind its owner's filter is no network.
  open_session_count >= {{floor_sessions}}
    AND (given_session_count < {{filter_share}} * (given_session_count + open_session_count)
         OR 4 * mixed_count <= open_session_count) AS is_local_filter,
  CASE WHEN 4 * mixed_count > open_session_count THEN stretches END AS stretches
FROM counted JOIN names USING (probe_asn, resolver_asn, address)
  LEFT JOIN lasting USING (probe_asn, resolver_asn, address)
"""

# What sessions without a filter get for a name nearly always, or several versions of them for a
# while, is the network's own answer, even if the filters of others there give the same address for
# names of theirs.
_NETWORK_NAMES = f"""
WITH plain AS (
  SELECT a.* FROM special_asked a
    JOIN special_sessions s USING (probe_asn, resolver_asn, address, session)
  WHERE NOT s.is_given
), {_spells("probe_asn, resolver_asn, address, domain", "plain", "software")}
SELECT probe_asn, resolver_asn, address, domain, min(day) AS since, max(day) AS until
FROM plain GROUP BY ALL
HAVING count(*) FILTER (is_given) >= {{floor_sessions}}
  AND count(*) FILTER (is_given) >= {{persistence_share}} * count(*)
UNION
SELECT probe_asn, resolver_asn, address, domain, since, until
FROM spells WHERE {_IS_STEADY} AND version_count >= 2
"""

_FILTERED = """
SELECT DISTINCT object_key, line_number FROM (
  SELECT f.object_key, f.line_number
  FROM (SELECT object_key, line_number, probe_asn, resolver_asn, day, domain,
               unnest(dns_addresses) AS address
        FROM features WHERE dns_special IS NOT NULL) f
  JOIN special_profiles s USING (probe_asn, resolver_asn, address)
  ANTI JOIN network_names n ON n.probe_asn = f.probe_asn AND n.resolver_asn = f.resolver_asn
    AND n.address = f.address AND n.domain = f.domain AND f.day BETWEEN n.since AND n.until
  WHERE s.is_local_filter AND coalesce(
    len([true FOR one IN s.stretches IF f.day BETWEEN one[1] AND one[2]]) = 0, TRUE)
  UNION ALL
  SELECT f.object_key, f.line_number
  FROM (SELECT object_key, line_number, unnest(dns_addresses) AS address
        FROM features WHERE dns_special IS NOT NULL OR dns_match = 'none') f
  JOIN filter_addresses USING (address)
)
"""

_SUSPECT_FLAGS = """
SELECT s.object_key, s.line_number,
  bool_or(p.profile = 'sinkhole') AS is_sinkhole,
  bool_or(p.profile = 'substitution') AS is_substitution,
  coalesce(bool_or(t.is_persistent), FALSE) AS is_persistent,
  coalesce(bool_or(t.is_lone), FALSE) AS is_lone,
  bool_or(p.is_public) AS is_public_answer,
  bool_or(d.pattern IS NOT NULL) AS has_dns_fingerprint
FROM suspects s
  JOIN answer_profiles p ON p.resolver_asn = s.resolver_asn AND p.address = s.address
    AND p.quarter = strftime(s.quarter, '%Y-%m-%d')
  LEFT JOIN steady t ON t.domain = s.domain AND t.resolver_asn = s.resolver_asn
    AND t.address = s.address
  LEFT JOIN dns_patterns d ON d.probe_cc = s.probe_cc AND d.pattern = s.address
GROUP BY ALL
"""

# A page came, of a site that exists.
_GOT_PAGE = """http_failure IS NULL AND http_status IS NOT NULL
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
_PAGE_PROFILES = """
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
_REPLACED = f"""
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
), {_spells("probe_asn, registrable_domain, target, is_away", "asked")}
, steady_ones AS (
  SELECT DISTINCT probe_asn, registrable_domain, target, is_away FROM spells WHERE {_IS_STEADY}
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
_FINGERPRINTED = """
SELECT object_key::object_name AS object_key, line_number
FROM observations o JOIN http_names h ON h.probe_cc = o.probe_cc
WHERE list_has_any(o.http_fingerprints, h.names)
"""

_PROFILED = """
SELECT f.*,
  coalesce(s.is_sinkhole, FALSE) AND f.dns_match = 'none' AS is_sinkhole,
  coalesce(s.is_substitution, FALSE) AND f.dns_match = 'none' AS is_substitution,
  coalesce(s.is_persistent, FALSE) AS is_persistent,
  coalesce(s.is_lone, FALSE) AND f.dns_match = 'none' AS is_lone,
  coalesce(s.is_public_answer, FALSE) AS is_public_answer,
  coalesce(s.has_dns_fingerprint, FALSE) AS has_dns_fingerprint,
  l.line_number IS NOT NULL AS is_local_filter,
  coalesce(e.is_away, FALSE) AS is_sent_elsewhere,
  NOT coalesce(e.is_away, TRUE) AND NOT f.is_same_page AND NOT f.is_https_own AS is_replaced,
  coalesce(f.http_failure IS NULL AND NOT f.is_https_own
    AND (p.is_blockpage OR g.line_number IS NOT NULL), FALSE) AS is_blockpage
FROM features f
  LEFT JOIN suspect_flags s USING (object_key, line_number)
  LEFT JOIN filtered l USING (object_key, line_number)
  LEFT JOIN page_profiles p ON p.probe_asn = f.probe_asn AND p.is_blockpage
    AND p.page = f.landing
  LEFT JOIN fingerprinted g USING (object_key, line_number)
  LEFT JOIN replaced e ON e.probe_asn = f.probe_asn AND NOT f.is_https
    AND e.registrable_domain = f.registrable_domain AND f.http_failure IS NULL AND e.target =
      CASE WHEN f.http_site <> f.registrable_domain THEN 'http://' || f.http_site
           ELSE f.landing END
"""


def add_profiles(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    fingerprints: Fingerprints,
) -> None:
    """Create ``answer_profiles``, ``page_profiles`` and the view ``profiled``.

    ``answer_profiles``: one row per resolver network, answer address and quarter.
    ``special_profiles``: one row per probe network, resolver network and special address.
    ``page_profiles``: one row per probe network and page.
    ``profiled``: the rows of ``features`` with what the profiles say of each
    (``is_sinkhole, is_substitution, is_persistent, is_lone, is_public_answer,
    has_dns_fingerprint, is_local_filter, is_blockpage, is_sent_elsewhere, is_replaced``).

    Sources of the method: guard G2; the common-address rule of CensorWatch (2023) and iMAP.
    """
    numbers = {**vars(thresholds), "got_page": _GOT_PAGE}
    _register_fingerprints(connection, fingerprints)
    _register_filters(connection)
    for name, query in (
        ("suspects", _SUSPECTS),
        ("control_addresses", _CONTROL_ADDRESSES),
        ("page_addresses", _PAGE_ADDRESSES),
        ("length_addresses", _LENGTH_ADDRESSES.format(**numbers)),
        ("public_addresses", _PUBLIC_ADDRESSES.format(**numbers)),
        ("addresses", _ADDRESSES),
        ("answer_profiles", _ANSWER_PROFILES.format(**numbers)),
        ("steady", _STEADY.format(**numbers)),
        ("special_asked", _SPECIAL_ASKED),
        ("special_sessions", _SPECIAL_SESSIONS),
        ("special_profiles", _SPECIAL_PROFILES.format(**numbers)),
        ("network_names", _NETWORK_NAMES.format(**numbers)),
        ("filtered", _FILTERED),
        ("suspect_flags", _SUSPECT_FLAGS),
        ("replaced", _REPLACED.format(**numbers)),
        ("page_profiles", _PAGE_PROFILES.format(**numbers)),
        ("fingerprinted", _FINGERPRINTED),
    ):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW profiled AS {_PROFILED}")


def _register_fingerprints(
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


def _register_filters(connection: duckdb.DuckDBPyConnection) -> None:
    """``filter_addresses``: the answers that belong to a well-known DNS filter."""
    found = connection.execute(
        "SELECT DISTINCT unnest(dns_addresses) FROM features "
        "WHERE dns_special IS NOT NULL OR dns_match = 'none'"
    ).fetchall()
    filters = pa.table(
        {"address": pa.array(sorted(a for (a,) in found if local_filter_of(a)), pa.string())}
    )
    keep_table(connection, "filter_addresses", filters)
