-- What a page does over many names: a block page, or the site's own.
--
-- First, sites that one network replaces: plain requests for one site that one network answers
-- nearly always, for a while, by another site or by one page that is not the control's, while other
-- networks get the site itself. Then what controls got. Then the profiles of pages.

-- name: plain_landings
-- One row is one measurement with a plain request for a site that exists: where it ended (page),
-- and target, the same where that is not the site's own. An error is no target: it may be the
-- site's own answer to this network.
SELECT probe_asn, registrable_domain, session, day,
  coalesce(http_site <> registrable_domain, FALSE) AS is_away,
  is_same_page OR is_https_own AS is_own,
  CASE WHEN is_away THEN 'http://' || http_site ELSE landing END AS page,
  CASE WHEN is_away OR (NOT is_own AND control_http_ok AND NOT coalesce(title_match, FALSE)
    AND http_status < 400 AND is_address_trusted) THEN page END AS target
FROM features ANTI JOIN roaming_sessions USING (session, probe_asn)
WHERE has_page AND NOT is_https

-- name: homes
-- One row is one site that two networks or more reach at home: whether most networks reach it at
-- home (is_home), and by the control's page (is_own). One session alone does not make a network a
-- vote against.
WITH networks AS (
  SELECT registrable_domain, probe_asn,
    2 * count(DISTINCT session) FILTER (NOT is_away) > count(DISTINCT session) AS is_home,
    2 * count(DISTINCT session) FILTER (is_own) > count(DISTINCT session) AS is_own,
    count(DISTINCT session) AS sessions
  FROM plain_landings GROUP BY ALL
)
SELECT registrable_domain,
  count(*) FILTER (is_home) >= 2 AND 2 * count(*) FILTER (is_home)
    >= count(*) FILTER (is_home OR sessions >= 2) AS is_home,
  count(*) FILTER (is_own) >= 2 AND 2 * count(*) FILTER (is_own)
    >= count(*) FILTER (is_own OR sessions >= 2) AS is_own
FROM networks GROUP BY ALL HAVING count(*) FILTER (is_home) >= 2

-- name: asked_pages
-- One row is one session that asked for such a site on a network where another page or site came in
-- its place; key: network, site and target. is_given: the session got the target.
--
-- A measurement without a control's page is known by its page, or says nothing.
WITH targets AS (
  SELECT DISTINCT probe_asn, registrable_domain, target, is_away
  FROM plain_landings JOIN homes h USING (registrable_domain)
  WHERE target IS NOT NULL AND CASE WHEN is_away THEN h.is_home ELSE h.is_own END
)
SELECT {'probe_asn': probe_asn, 'registrable_domain': registrable_domain, 'target': t.target,
    'is_away': t.is_away} AS key,
  l.session, min(l.day) AS day,
  bool_or(l.page = t.target) AS is_given
FROM targets t JOIN plain_landings l USING (probe_asn, registrable_domain)
WHERE l.is_own OR l.target IS NOT NULL OR l.page = t.target GROUP BY ALL

-- name: page_stretches
-- One row is one stretch in which a network gave a target for a site again and again.
FROM find_stretches('asked_pages', $floor_sessions)

-- name: replaced
-- One row is one site that one network replaces by one target. A page that comes and goes on many
-- networks is a variant of the site's own, and is left out.
WITH steady_pages AS (
  SELECT unnest(key) FROM (
    SELECT DISTINCT key FROM page_stretches
    WHERE is_steady(given_count, open_count, day_count,
      $persistence_share, $floor_sessions, $floor_days)
  )
), variants AS (
  SELECT l.registrable_domain, l.target
  FROM plain_landings l LEFT JOIN steady_pages s USING (probe_asn, registrable_domain, target)
  WHERE l.target IS NOT NULL AND NOT l.is_away GROUP BY ALL
  HAVING 4 * count(DISTINCT l.session) FILTER (s.target IS NULL)
    > count(DISTINCT l.session) FILTER (s.target IS NOT NULL)
)
FROM steady_pages ANTI JOIN variants USING (registrable_domain, target)

-- name: unmatched_sites
-- One row is one site of which some session got a page with a title, and its control did not get
-- the page.
SELECT DISTINCT domain FROM features
WHERE NOT control_http_ok AND http_failure IS NULL AND http_title <> ''

-- name: control_pages
-- One row is one page (status and title) of such a site that the controls of most sessions got in a
-- quarter. Probes relay the controls, so a single one is no evidence.
WITH shown AS (
  SELECT domain, date_trunc('quarter', day) AS quarter, session,
    control_http_status AS status, control_http_title AS title
  FROM observed_controls SEMI JOIN unmatched_sites USING (domain) WHERE control_http_ok
), sessions AS (
  SELECT domain, quarter, count(DISTINCT session) AS sessions FROM shown GROUP BY ALL
)
SELECT domain, quarter, status, title
FROM shown JOIN sessions USING (domain, quarter) WHERE title <> ''
GROUP BY domain, quarter, status, title
HAVING count(DISTINCT session) >= 2 AND 2 * count(DISTINCT session) >= any_value(sessions)

-- name: lone_days
-- One row is one site on one day on which some measurement had no control.
SELECT DISTINCT domain, day FROM features WHERE NOT has_control AND NOT is_https_own

-- name: reaching_days
-- One row is one of these days on which the controls of other sessions, within two days, got the
-- page: two at least, and next to none may have failed.
WITH near AS (
  SELECT domain, day AS lone_day, unnest([day - 2, day - 1, day, day + 1, day + 2]) AS day
  FROM lone_days
), controls AS (
  SELECT domain, day, session, bool_or(control_http_fails) AS fails
  FROM features SEMI JOIN near USING (domain, day)
  WHERE control_http_ok OR control_http_fails GROUP BY ALL
), counted AS (
  SELECT domain, day, count(*) FILTER (NOT fails) AS reaching, count(*) FILTER (fails) AS failing
  FROM controls GROUP BY ALL
)
SELECT domain, lone_day AS day FROM near JOIN counted USING (domain, day)
GROUP BY ALL HAVING sum(reaching) >= 2 AND 10 * sum(failing) <= sum(reaching)

-- name: page_landings
-- One row is one measurement that got a page of a site that exists: where it ended. A view: as a
-- table it would be as long as features.
SELECT session, day, probe_asn, registrable_domain,
  is_same_page OR is_https_own AS is_reached,
  is_https_page AND NOT is_https_own AS is_sent_on, landing AS page
FROM features ANTI JOIN roaming_sessions USING (session, probe_asn) WHERE has_page

-- name: strange_pages
-- One row is one page that came in the place of a site on one network, in two sessions and on two
-- days at least.
--
-- One report can name any number of sites and repeat a measurement, so sessions decide what a page
-- is. What stands where a user's filter pointed is the filter's.
WITH shown AS (
  SELECT probe_asn, landing AS page, registrable_domain, session, min(http_title) AS title,
    count(*) AS measurements, min(day) AS since, max(day) AS until,
    mode(control_hoster ORDER BY control_hoster) FILTER (control_http_ok) AS hoster,
    bool_or(http_status >= 400) AS is_error, bool_or(http_site <> registrable_domain) AS is_away
  FROM features ANTI JOIN filtered USING (row_id)
  WHERE has_page AND landing IS NOT NULL AND NOT is_same_page AND NOT is_https_own
  GROUP BY ALL
)
SELECT probe_asn, page, registrable_domain, mode(title ORDER BY title) AS title,
  sum(measurements)::BIGINT AS measurements, count(*) AS sessions,
  mode(hoster ORDER BY hoster) AS hoster, count(*) FILTER (is_error) AS errors,
  count(*) FILTER (is_away) AS away
FROM shown GROUP BY ALL HAVING count(*) >= 2 AND min(since) < max(until)

-- name: shared_pages
-- One row is one page that came in the place of several sites, with each of the sites.
SELECT DISTINCT page, registrable_domain FROM strange_pages SEMI JOIN (
  SELECT page FROM strange_pages GROUP BY page HAVING count(DISTINCT registrable_domain) > 1
) USING (page)

-- name: own_pages
-- One row is one such page that a site shows over a verified connection to its own name. It is no
-- block page for any other site: content networks show one challenge for all.
--
-- It takes as many sessions and days as a state needs, so that no forged report clears a page.
SELECT own_page AS page
FROM features f SEMI JOIN shared_pages s ON s.page = f.own_page
GROUP BY own_page HAVING count(DISTINCT session) >= $floor_sessions
  AND count(DISTINCT day) >= $floor_days

-- name: shown_pages
-- One row is one shared page on one network that showed it to two sessions, with the first and the
-- last day.
SELECT page, probe_asn, min(day) AS since, max(day) AS until
FROM page_landings SEMI JOIN shared_pages USING (page) WHERE NOT is_reached
GROUP BY ALL HAVING count(DISTINCT session) >= 2

-- name: page_spread
-- One row is one shared page: on how many networks it was shown (network_count), and the share of
-- its showings that are on networks which mostly did not show it while it was there
-- (scattered_share).
--
-- A block shows its page to most sessions; a variant of the site's own page is shown to some
-- sessions on every network.
WITH exposure AS (
  SELECT r.page, l.probe_asn, count(DISTINCT l.session) AS sessions,
    count(DISTINCT l.session) FILTER (l.page = r.page AND NOT l.is_reached) AS showing
  FROM page_landings l JOIN shared_pages r USING (registrable_domain)
    JOIN shown_pages s ON s.page = r.page AND s.probe_asn = l.probe_asn
      AND l.day BETWEEN s.since AND s.until
  GROUP BY ALL
)
SELECT page, count(*) AS network_count,
  sum(showing) FILTER (2 * showing < sessions) / sum(showing) AS scattered_share
FROM exposure GROUP BY page

-- name: page_reach
-- One row is one shared page: the share of the networks that tested its sites on which it was
-- shown. One session alone does not make a network a vote against, because anybody can make up
-- networks.
WITH networks AS (
  SELECT r.page, l.probe_asn, bool_or(s.probe_asn IS NOT NULL) AS is_showing,
    count(DISTINCT l.session) AS sessions
  FROM page_landings l JOIN shared_pages r USING (registrable_domain)
    LEFT JOIN shown_pages s ON s.page = r.page AND s.probe_asn = l.probe_asn
  GROUP BY ALL
)
SELECT page, count(*) FILTER (is_showing) / count(*) FILTER (is_showing OR sessions >= 2)
  AS showing_share
FROM networks GROUP BY page

-- name: reached_sites
-- One row is one site: whether it was reached at other times, and the other sites to which its
-- requests were sent on over verified connections (targets). Shares and two sessions, so that one
-- forged session does not make a site reachable.
WITH sessions AS (
  SELECT registrable_domain, session, bool_or(is_reached) AS is_reached
  FROM page_landings GROUP BY ALL
), visits AS (
  SELECT registrable_domain, count(*) AS sessions, count(*) FILTER (is_reached) AS reached
  FROM sessions GROUP BY ALL
), targets AS (
  SELECT registrable_domain, page, count(DISTINCT session) AS sessions
  FROM page_landings WHERE is_sent_on GROUP BY ALL
)
SELECT v.registrable_domain,
  v.reached >= 2 AND 10 * v.reached >= v.sessions AS is_reached,
  list(t.page) FILTER (t.sessions >= 2 AND 10 * t.sessions >= v.sessions) AS targets
FROM visits v LEFT JOIN targets t USING (registrable_domain) GROUP BY ALL

-- name: standing_pages
-- One row is one shared page and site that it replaced in most sessions of some network, from the
-- page's first day there to its last.
WITH shown AS (
  SELECT page, probe_asn, registrable_domain, min(day) AS since, max(day) AS until
  FROM page_landings SEMI JOIN shared_pages USING (page, registrable_domain)
  WHERE NOT is_reached GROUP BY ALL
), standing AS (
  SELECT s.page, probe_asn, registrable_domain
  FROM shown s JOIN page_landings l USING (probe_asn, registrable_domain)
  WHERE l.day BETWEEN s.since AND s.until GROUP BY ALL
  HAVING 2 * count(DISTINCT l.session) FILTER (l.page = s.page AND NOT l.is_reached)
    > count(DISTINCT l.session)
)
SELECT page, registrable_domain, count(DISTINCT session) AS session_count,
  count(DISTINCT day) AS day_count
FROM page_landings SEMI JOIN standing USING (page, probe_asn, registrable_domain)
WHERE NOT is_reached GROUP BY ALL

-- name: page_sites
-- One row is one such page and site, in as many sessions and days as a state needs, so that forged
-- ones cannot add a site to a page.
SELECT page, registrable_domain, mode(hoster ORDER BY hoster) AS hoster,
  2 * sum(errors) > sum(sessions) AS is_error
FROM strange_pages JOIN standing_pages s USING (page, registrable_domain)
WHERE s.session_count >= $floor_sessions AND s.day_count >= $floor_days GROUP BY ALL

-- name: page_counts
-- One row is one page on one network: for how many sites it came, of how many hosts, and how many
-- of the sites were reached elsewhere.
--
-- is_of_one_host: most of the sites have the same host, which may have made the page; of a page
-- that is no error, all of them.
SELECT probe_asn, page, mode(title ORDER BY title) AS title, count(*) AS name_count,
  count(*) FILTER (r.is_reached OR len(list_filter(r.targets, lambda t: t <> page)) > 0)
    AS reached_elsewhere_count,
  count(DISTINCT hoster) AS hoster_count, 2 * sum(errors) > sum(sessions) AS is_error,
  2 * sum(away) > sum(sessions) AS is_away,
  hoster_count < CASE WHEN is_error THEN $blockpage_names ELSE 2 END
    AND 2 * coalesce(list_max(map_values(histogram(hoster))), count(*)) > count(*)
    AS is_of_one_host,
  sum(measurements)::BIGINT AS measurement_count
FROM strange_pages JOIN reached_sites r USING (registrable_domain) GROUP BY probe_asn, page

-- name: page_owners
-- One row is one page: whether networks made it (is_of_networks). All networks together tell this
-- better than each by its own sites: an order may name the same page to all networks, and some
-- sites to some of them; or each network answers by a page of its own.
--
-- Networks made it if it stands for several sites, most of which are reached elsewhere or answered
-- by another such page, and if networks differ; or if it stands for two sites that both are, is no
-- error, and their hosts are not one: two sites of different hosts share no page of their own.
WITH counts AS (
  SELECT page, count(*) AS name_count, count(DISTINCT hoster) AS hoster_count,
    bool_or(is_error) AS has_error,
    count(*) FILTER (page_count > 1 OR r.is_reached
        OR len(list_filter(r.targets, lambda t: t <> page)) > 0)
      AS other_elsewhere_count,
    hoster_count < CASE WHEN has_error THEN $blockpage_names ELSE 2 END
      AND 2 * coalesce(list_max(map_values(histogram(hoster))), count(*)) > count(*)
      AS is_of_one_host
  FROM (SELECT *, count(*) OVER (PARTITION BY registrable_domain) AS page_count FROM page_sites)
    JOIN reached_sites r USING (registrable_domain) GROUP BY page
)
SELECT page, hoster_count >= $blockpage_names AS is_of_many_hosts,
  CASE WHEN name_count >= $blockpage_names THEN 2 * other_elsewhere_count >= name_count
      ELSE hoster_count >= 2 AND NOT has_error AND other_elsewhere_count = name_count END
    AND t.showing_share < CASE WHEN is_of_one_host THEN 0.5 ELSE $refusal_share END
    AS is_of_networks
FROM counts JOIN page_reach t USING (page)

-- name: page_profiles
-- One row is one page as one network served it: a body, or a site that plain requests are sent on
-- to.
--
-- A block page's sites must be reached elsewhere, and most networks must not show the page, or it
-- may be the sites' own (a captcha, a refusal of the whole country, a variant, a parking page). A
-- page that most networks show is no site's own if its sites were reached at other times, and it
-- stands at another site or the sites have unrelated hosts; or if unrelated hosts show it and it is
-- no error. Where the sites mostly have one host, half of the networks are most: a host's challenge
-- meets a whole country, but not its hosting and VPN networks.
SELECT c.* EXCLUDE (is_of_one_host), coalesce(s.network_count, 0) AS network_count,
  coalesce(s.scattered_share, 0) AS scattered_share, coalesce(t.showing_share, 0) AS showing_share,
  coalesce(s.network_count, 0) >= 3 AND coalesce(t.showing_share, 0)
    >= CASE WHEN c.is_of_one_host THEN 0.5 ELSE $refusal_share END AS is_everywhere,
  c.page NOT IN (FROM own_pages)
    AND NOT (coalesce(s.network_count, 0) >= 3 AND coalesce(s.scattered_share, 0) >= 0.5)
    AND (coalesce(o.is_of_networks, FALSE) OR c.name_count >= $blockpage_names
      AND CASE WHEN 2 * c.reached_elsewhere_count >= c.name_count
        THEN NOT is_everywhere OR c.is_away OR coalesce(o.is_of_many_hosts, FALSE)
        ELSE is_everywhere AND coalesce(o.is_of_many_hosts, FALSE)
          AND (c.is_away OR NOT c.is_error) END)
    AS is_blockpage
FROM page_counts c LEFT JOIN page_spread s USING (page) LEFT JOIN page_reach t USING (page)
  LEFT JOIN page_owners o USING (page)

-- name: fingerprinted
-- One row is one measurement whose page has a fingerprint that counts in the country.
SELECT DISTINCT row_id
FROM observations o JOIN http_names h ON h.probe_cc = o.probe_cc
WHERE list_contains(o.http_fingerprints, h.name)
