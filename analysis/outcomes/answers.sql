-- What an answered address does over many names: sinkhole, substitution, content network. All but
-- the first two steps need many measurements.

-- name: suspects
-- One row is one address that one measurement was given and that its control did not vouch for.
-- Special-purpose addresses are not here: they have rules of their own.
SELECT row_id, probe_cc, session, day, domain, registrable_domain,
       probe_asn, resolver_asn, date_trunc('quarter', day) AS quarter,
       unnest(dns_addresses) AS address,
       coalesce(name_pool = 'missing', control_name = 'missing') AS is_missing, control_hoster
FROM features
WHERE dns_has_answer AND dns_special IS NULL AND domain <> ''
  AND (dns_match = 'none' OR control_name = 'missing' OR name_pool = 'missing')

-- name: listed_answers
-- One row is one measurement that was given an address which OONI lists as the answer of a block in
-- the country.
SELECT DISTINCT row_id
FROM suspects s JOIN dns_patterns d ON d.probe_cc = s.probe_cc AND d.pattern = s.address

-- name: control_addresses
-- One row is one suspect address that controls got for some name.
--
-- Probes relay the controls, so one of them vouches for nothing: it takes two sessions, and half as
-- many as were given the address.
WITH met AS (
  SELECT address, count(DISTINCT session) AS sessions FROM suspects GROUP BY address
)
SELECT address
FROM (SELECT session, unnest(control_answers).address AS address FROM typed_observations)
JOIN met USING (address)
GROUP BY address
HAVING count(DISTINCT session) >= 2 AND 2 * count(DISTINCT session) >= any_value(met.sessions)

-- name: page_addresses
-- One row is one suspect address that shows each site's own page. A sinkhole shows one page or
-- none; a cache or a content network shows each site's own.
--
-- Most of the requests that can tell must get a page. (Over https a page is the site's, and tells
-- nothing.) A page counts if two sessions saw it, since one forged or broken session must not turn
-- a sinkhole into a cache. Nor must two, whatever names they make up: most sessions must see a page
-- that is the page of one site alone.
WITH shown AS (
  SELECT s.address, s.session, s.registrable_domain,
    f.landing AS page
  FROM suspects s JOIN features f USING (row_id)
  WHERE NOT s.is_missing AND NOT (f.is_https AND f.http_failure IS NULL)
    AND coalesce(f.http_first_is_answer, TRUE)
), pages AS (
  SELECT address, registrable_domain, page, count(DISTINCT session) AS sessions
  FROM shown GROUP BY ALL
), own AS (
  SELECT address, page FROM pages WHERE page IS NOT NULL
  GROUP BY ALL HAVING count(*) FILTER (sessions >= 2) < 2
), seen AS (
  SELECT address FROM shown LEFT JOIN own o USING (address, page) GROUP BY address
  HAVING 2 * count(DISTINCT session) FILTER (o.page IS NOT NULL) > count(DISTINCT session)
)
SELECT address FROM pages SEMI JOIN seen USING (address) GROUP BY address
HAVING count(DISTINCT registrable_domain) FILTER (page IS NOT NULL AND sessions >= 2) >= 2
   AND 2 * count(DISTINCT page) FILTER (sessions >= 2)
     > count(DISTINCT registrable_domain) FILTER (page IS NOT NULL AND sessions >= 2)
   AND 2 * sum(sessions) FILTER (page IS NOT NULL) > sum(sessions)

-- name: length_addresses
-- One row is one suspect address whose pages, which have no titles, are as long as those of the
-- sites: no block page is as long as each of the sites that it replaces.
--
-- Most names must have such a page, and most sessions must see one, because names can be made up.
WITH shown AS (
  SELECT s.address, s.registrable_domain, s.session, f.is_same_length,
    f.http_status IS NOT NULL AS has_status
  FROM suspects s JOIN features f USING (row_id)
  WHERE NOT s.is_missing AND (f.http_status IS NOT NULL OR f.http_failure IS NOT NULL)
), seen AS (
  SELECT address FROM shown GROUP BY address
  HAVING 2 * count(DISTINCT session) FILTER (is_same_length) > count(DISTINCT session)
), names AS (
  SELECT address, registrable_domain,
    count(DISTINCT session) FILTER (is_same_length) AS matching, count(DISTINCT session) AS sessions
  FROM shown SEMI JOIN seen USING (address) WHERE has_status GROUP BY ALL
)
SELECT address FROM names GROUP BY address
HAVING count(*) FILTER (matching >= 2 AND 2 * matching > sessions) >= $sinkhole_names
   AND 2 * count(*) FILTER (matching >= 2 AND 2 * matching > sessions) > count(*)

-- name: public_answers
-- One row is one suspect address that was given for a live name of which public resolvers were
-- asked: how many sessions asked (asked_count; asked_most, of the name that most asked for), how
-- many were given the address (given_count, session_count), and on how many networks
-- (network_count).
--
-- Public resolvers answer over plain UDP (data format 0.5), or where the system itself asks one. A
-- resolver counts as public if its network is not measured itself, as often as a state needs: a
-- report can name any network.
WITH live AS (SELECT DISTINCT domain, address FROM suspects WHERE NOT is_missing),
measured AS (
  SELECT probe_asn FROM features GROUP BY probe_asn
  HAVING count(DISTINCT session) >= $floor_sessions AND count(DISTINCT day) >= $floor_days
), public AS (
  SELECT domain, session, probe_asn, unnest(udp_answers).address AS address
  FROM typed_observations SEMI JOIN live USING (domain)
    ANTI JOIN roaming_sessions USING (session, probe_asn)
  WHERE len(udp_answers) > 0
  UNION ALL
  SELECT domain, session, probe_asn, unnest(dns_addresses)
  FROM features SEMI JOIN live USING (domain) ANTI JOIN roaming_sessions USING (session, probe_asn)
  WHERE resolver_asn > 0 AND resolver_asn <> probe_asn AND resolver_asn NOT IN (FROM measured)
), asked AS (
  SELECT domain, count(DISTINCT session) AS sessions FROM public GROUP BY domain
), given AS (
  SELECT domain, address, count(DISTINCT session) AS sessions
  FROM public SEMI JOIN live USING (domain, address) GROUP BY ALL
), giving AS (
  SELECT address, count(DISTINCT session) AS session_count,
    count(DISTINCT probe_asn) AS network_count
  FROM public SEMI JOIN live USING (domain, address) GROUP BY address
)
SELECT address, sum(asked.sessions) AS asked_count, max(asked.sessions) AS asked_most,
  coalesce(sum(given.sessions), 0) AS given_count,
  coalesce(any_value(session_count), 0) AS session_count,
  coalesce(any_value(network_count), 0) AS network_count
FROM live JOIN asked USING (domain) LEFT JOIN given USING (domain, address)
  LEFT JOIN giving USING (address)
GROUP BY address

-- name: public_addresses
-- One row is one suspect address that public resolvers give on several networks; it is then no
-- resolver's block.
--
-- One report can make up any number of names and networks. So it takes as many sessions as a state
-- needs, and more than half as many as asked for the name that most sessions asked for.
SELECT address FROM public_answers
WHERE 2 * given_count > asked_count AND 2 * session_count > asked_most
  AND network_count >= 3 AND session_count >= $floor_sessions

-- name: addresses
-- One row is one suspect address, with whether public resolvers give it, controls got it, and sites
-- were reached through it (is_proven).
SELECT DISTINCT address,
  address IN (FROM public_addresses) AS is_public,
  address IN (FROM control_addresses) AS is_in_control,
  address IN (SELECT address FROM serving) OR address IN (FROM page_addresses)
    OR address IN (FROM length_addresses) AS is_proven
FROM suspects

-- name: suspect_names
-- One row is one site for which a resolver network gave a suspect address in a quarter, with
-- whether most of the sessions found the name missing (is_dead).
SELECT resolver_asn, address, quarter, registrable_domain,
  2 * count(DISTINCT session) FILTER (is_missing) > count(DISTINCT session) AS is_dead
FROM suspects GROUP BY ALL

-- name: live_addresses
-- One row is one suspect address that was given for names that exist, in the whole country: for how
-- many names (live_name_count), and of how many hosts (live_hoster_count).
--
-- Names count that several sessions asked for, and one name for each session that is alone in
-- asking: one report can make up any number of names.
WITH live AS (
  SELECT address, session, registrable_domain, control_hoster
  FROM suspects JOIN suspect_names USING (resolver_asn, address, quarter, registrable_domain)
  WHERE NOT is_dead
), names AS (
  SELECT address, registrable_domain, count(DISTINCT session) >= 2 AS is_common,
    min(session) AS session
  FROM live GROUP BY ALL
), hosters AS (
  SELECT address, control_hoster, count(DISTINCT session) >= 2 AS is_common,
    min(session) AS session
  FROM live WHERE control_hoster IS NOT NULL GROUP BY ALL
), counted AS (
  SELECT address, count(*) FILTER (is_common)
    + count(DISTINCT session) FILTER (NOT is_common) AS live_hoster_count
  FROM hosters GROUP BY address
)
SELECT address, count(*) FILTER (is_common)
    + count(DISTINCT session) FILTER (NOT is_common) AS live_name_count,
  any_value(live_hoster_count) AS live_hoster_count
FROM names LEFT JOIN counted USING (address) GROUP BY address

-- name: answer_profiles
-- One row is one address as one resolver network gave it in one quarter.
--
-- Sessions, not names, decide whether it is a substitution: one forged report can name hundreds of
-- dead names. Sites of unrelated hosts do not share a public address: such an answer was put in on
-- the path.
WITH profiles AS (
  SELECT resolver_asn, address, quarter,
    count(DISTINCT registrable_domain) AS name_count,
    count(DISTINCT registrable_domain) FILTER (is_dead) AS dead_name_count,
    count(DISTINCT session) FILTER (is_dead) AS dead_session_count,
    count(DISTINCT session) FILTER (NOT is_dead) AS live_session_count,
    count(*) AS measurement_count
  FROM suspects JOIN suspect_names USING (resolver_asn, address, quarter, registrable_domain)
  GROUP BY ALL
)
SELECT p.resolver_asn, p.address, p.quarter, p.name_count,
  p.dead_name_count, coalesce(c.live_name_count, 0) AS live_name_count, p.dead_session_count,
  p.live_session_count, p.measurement_count, a.is_in_control, a.is_proven, a.is_public,
  CASE WHEN a.is_proven OR a.is_in_control THEN 'serves sites'
       WHEN p.dead_name_count >= 2 AND p.dead_session_count >= $substitution_dead_share
            * (p.dead_session_count + p.live_session_count) THEN 'substitution'
       WHEN a.is_public AND coalesce(c.live_hoster_count, 0) < $sinkhole_names THEN 'public'
       WHEN c.live_name_count >= $sinkhole_names THEN 'sinkhole'
       ELSE 'unclear' END AS profile
FROM profiles p JOIN addresses a USING (address) LEFT JOIN live_addresses c USING (address)

-- name: strange_answers
-- One row is one address that one measurement was given in the place of a site that exists.
-- Everybody's filters answer by 0.0.0.0 and 127.0.0.1, so these tell nothing of who answered.
SELECT row_id, registrable_domain, probe_asn, session, dns_special,
  unnest(dns_addresses) AS address
FROM features ANTI JOIN roaming_sessions USING (session, probe_asn)
WHERE control_name = 'resolves' AND control_special IS NULL
  AND coalesce(dns_special NOT IN ('zero', 'loopback'), dns_match = 'none')

-- name: shared_answers
-- One row is one measurement that was given an address which resolvers of several networks give, so
-- that no household's filter is behind it: on two networks and for two sites, or of private
-- addresses, which are the same in many households, on three and for three.
WITH given AS (
  SELECT address, dns_special, probe_asn, registrable_domain FROM strange_answers
  GROUP BY ALL HAVING count(DISTINCT session) >= 2
), shared AS (
  SELECT address FROM given GROUP BY address
  HAVING least(count(DISTINCT probe_asn), count(DISTINCT registrable_domain))
    >= CASE WHEN bool_or(dns_special IS NOT NULL) THEN 3 ELSE 2 END
)
SELECT DISTINCT row_id FROM strange_answers SEMI JOIN shared USING (address)

-- name: zones
-- One row is one site that its own zone takes away from this country: resolvers of three networks
-- give it one private address, which they give to no other site. A block has one address for many
-- names.
SELECT any_value(registrable_domain) AS registrable_domain FROM strange_answers
WHERE dns_special IS NOT NULL GROUP BY address
HAVING count(DISTINCT registrable_domain) = 1 AND count(DISTINCT probe_asn) >= 3

-- name: asked_answers
-- One row is one session that asked a resolver for a live name between the first and the last day
-- on which the resolver gave a suspect address; key: the name, resolver and address. is_given: the
-- session got the address.
WITH sent AS (
  SELECT domain, resolver_asn, address, min(day) AS since, max(day) AS until
  FROM suspects WHERE NOT is_missing GROUP BY ALL
)
SELECT {'domain': s.domain, 'resolver_asn': s.resolver_asn, 'address': s.address} AS key,
  f.session, min(f.day) AS day,
  bool_or(list_contains(f.dns_addresses, s.address)) AS is_given
FROM sent s JOIN features f ON f.domain = s.domain AND f.resolver_asn = s.resolver_asn
  AND f.day BETWEEN s.since AND s.until AND f.control_name = 'resolves'
  AND (f.dns_has_answer OR f.dns_failure IS NOT NULL)
GROUP BY ALL

-- name: answer_stretches
-- One row is one stretch in which a resolver gave an address for a name again and again.
FROM find_stretches('asked_answers', $floor_sessions)

-- name: answer_shares
-- One row is one name, resolver and address that was given often enough: whether nearly always
-- (is_persistent), and whether for a while (is_steady).
WITH asked AS (
  SELECT key, count(*) AS sessions FROM asked_answers GROUP BY key
)
SELECT unnest(key),
  sum(given_count) >= $persistence_share * any_value(asked.sessions) AS is_persistent,
  bool_or(is_steady(given_count, open_count, day_count,
    $persistence_share, $floor_sessions, $floor_days)) AS is_steady
FROM answer_stretches JOIN asked USING (key)
GROUP BY key HAVING sum(given_count) >= $floor_sessions AND sum(day_count) >= $floor_days

-- name: good_resolvers
-- One row is one resolver network that answers most live names correctly.
--
-- A name that one session asked for counts only in the resolver's favour, and each session has one
-- vote for all names that it is alone in asking for: it can make up any number of them.
WITH names AS (
  SELECT resolver_asn, domain, count(DISTINCT session) AS sessions, min(session) AS session,
    2 * count(DISTINCT session) FILTER (dns_match IN ('address', 'asn') OR dns_is_vouched)
      > count(DISTINCT session) AS is_good
  FROM features
  WHERE control_name = 'resolves' AND coalesce(name_pool <> 'missing', TRUE)
  GROUP BY ALL
), counted AS (
  SELECT resolver_asn, count(*) FILTER (is_good AND sessions >= 2)
      + count(DISTINCT session) FILTER (is_good AND sessions < 2) AS good,
    count(*) FILTER (NOT is_good AND sessions >= 2) AS bad
  FROM names GROUP BY resolver_asn
)
SELECT resolver_asn FROM counted WHERE good > 0 AND good >= bad

-- name: special_resolvers
-- One row is one resolver network that in a quarter gave an address which no public site can have
-- to most names that do not exist; this answer then says nothing about a name. Each session has one
-- vote.
WITH sessions AS (
  SELECT resolver_asn, date_trunc('quarter', day) AS quarter, session,
    list(DISTINCT registrable_domain) FILTER (dns_special IS NOT NULL) AS special_names,
    2 * len(special_names) > count(DISTINCT registrable_domain) AS is_special
  FROM features
  WHERE name_pool = 'missing' AND (dns_has_answer OR dns_failure IS NOT NULL)
  GROUP BY ALL
)
SELECT resolver_asn, quarter FROM sessions GROUP BY ALL
HAVING len(list_distinct(flatten(list(special_names)))) >= $sinkhole_names
  AND count(*) FILTER (is_special) >= 2 AND 2 * count(*) FILTER (is_special) > count(*)

-- name: matching_names
-- One row is one name for which most networks get the control's answer. One session alone does not
-- make a network a vote against.
WITH networks AS (
  SELECT domain, probe_asn,
    2 * count(DISTINCT session) FILTER (dns_match IN ('address', 'asn') OR dns_is_vouched)
      > count(DISTINCT session) AS is_matching,
    count(DISTINCT session) AS sessions
  FROM features ANTI JOIN roaming_sessions USING (session, probe_asn)
  WHERE control_name = 'resolves' AND domain IN (SELECT key.domain FROM asked_answers)
  GROUP BY ALL
)
SELECT domain FROM networks GROUP BY domain
HAVING count(*) FILTER (is_matching) >= 2
  AND 2 * count(*) FILTER (is_matching) >= count(*) FILTER (is_matching OR sessions >= 2)

-- name: foreign_answers
-- One row is one answer for a live name that is in another network than the control's answers, as
-- far as most of the sessions that got it can tell.
--
-- An address is in one network whoever asks, and those who name its network are believed if they
-- are most: many controls name none, and a content network's answers differ by network alone.
WITH live AS (
  SELECT DISTINCT domain, address FROM suspects WHERE NOT is_missing
), got AS (
  SELECT row_id, domain, session, list(address) AS given
  FROM (SELECT row_id, domain, session, unnest(dns_addresses) AS address
        FROM features SEMI JOIN live USING (domain))
  SEMI JOIN live USING (domain, address) GROUP BY ALL
), answered AS MATERIALIZED (
  SELECT g.domain, session, given, dns_answers, control_answers
  FROM got g JOIN observations USING (row_id) WHERE len(control_answers) > 0
), given AS (
  SELECT DISTINCT domain, session, unnest(given) AS address FROM answered
), controls AS (
  SELECT DISTINCT domain, session, unnest(control_answers).address AS address FROM answered
), networks AS (
  SELECT address, mode(asn ORDER BY asn) AS asn FROM (
    SELECT DISTINCT session, a.address, a.asn FROM (
      SELECT session, unnest(dns_answers) AS a FROM answered
      UNION ALL SELECT session, unnest(control_answers) FROM answered
    ) WHERE a.asn IS NOT NULL
  ) GROUP BY address
), compared AS (
  SELECT domain, session, g.address,
    bool_and(coalesce(there.asn <> here.asn, FALSE)) AS is_foreign
  FROM given g LEFT JOIN networks here USING (address)
    JOIN controls c USING (domain, session) LEFT JOIN networks there ON there.address = c.address
  GROUP BY ALL
)
SELECT domain, address FROM compared
GROUP BY ALL HAVING 2 * count(*) FILTER (is_foreign) > count(*)

-- name: steady_answers
-- One row is one name, resolver and address that the resolver gave often enough, with two things
-- that it may be. What a resolver nearly always gives for a live name is no lapse.
--
-- is_persistent: the resolver gives it nearly always, and answers other live names correctly.
-- is_lone: it lasts for a while, nobody ever reached a site there, no control got it or its
-- network, and most other networks get the control's answer.
SELECT domain, resolver_asn, address,
  is_persistent AND resolver_asn IN (FROM good_resolvers) AS is_persistent,
  is_steady AND domain IN (FROM matching_names) AND (domain, address) IN (FROM foreign_answers)
    AND NOT (a.is_in_control OR a.is_proven OR a.is_public) AS is_lone
FROM answer_shares JOIN addresses a USING (address)

-- name: stale_answers
-- One row is one suspect address of a name that was the name's own at some other time: the controls
-- of as many sessions as a state needs got it, on two networks if there are two. A resolver that
-- still gives it is behind.
SELECT s.domain, s.address
FROM (SELECT DISTINCT domain, address FROM suspects) s
  JOIN (SELECT domain, session, probe_asn, unnest(control_answers).address AS address
        FROM typed_observations) c USING (domain, address)
GROUP BY ALL HAVING count(DISTINCT session) >= $floor_sessions
  AND count(DISTINCT probe_asn) >= least(2, (SELECT count(DISTINCT probe_asn) FROM suspects))

-- name: suspect_flags
-- One row is one measurement that was given a suspect address, with what the profiles say of it.
SELECT s.row_id,
  bool_or(p.profile = 'sinkhole') AS is_sinkhole,
  bool_or(p.profile = 'substitution') AS is_substitution,
  coalesce(bool_or(t.is_persistent), FALSE) AS is_persistent,
  coalesce(bool_or(t.is_lone), FALSE) AS is_lone,
  bool_or(p.is_public) AS is_public_answer, bool_or(p.is_proven) AS is_serving,
  bool_or(b.address IS NOT NULL) AS is_stale,
  bool_or(p.live_name_count > 1) AS is_shared_answer
FROM suspects s
  JOIN answer_profiles p ON p.resolver_asn = s.resolver_asn AND p.address = s.address
    AND p.quarter = s.quarter
  LEFT JOIN steady_answers t ON t.domain = s.domain AND t.resolver_asn = s.resolver_asn
    AND t.address = s.address
  LEFT JOIN stale_answers b ON b.domain = s.domain AND b.address = s.address
GROUP BY ALL
