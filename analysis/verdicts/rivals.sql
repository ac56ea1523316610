-- What else than a block could it be? For each block that was found (blocks_at_hand), what other
-- networks and other sites saw meanwhile. Only networks that are evidence for others are asked
-- (networks.is_witness).
--
-- The stretches that a rival explains are in these tables: everywhere, silent_hosts, lost_routes,
-- resolvers_fail and refused_here.

-- name: suspected
-- One row is one block that could be something else: one that fails otherwise than by a mark, a
-- false answer or a certificate that somebody else made. Besides the columns of blocks_at_hand: act
-- (dns, tcp or name), is_silent, and manner, which is both.
--
-- is_by_tcp: all blocks of the pair are blocks of connections, and none is at hours of the week.
SELECT b.* REPLACE (domain::host_name AS domain, kind::failure_kind AS kind), is_witness,
  split_part(kind, '_', 1) AS act, ends_with(kind, 'silent') AS is_silent,
  concat(act, is_silent) AS manner,
  bool_and(starts_with(kind, 'tcp') AND hours IS NULL) OVER (PARTITION BY b.domain, probe_asn)
    AS is_by_tcp
FROM blocks_at_hand b JOIN networks USING (probe_asn)
QUALIFY b.kind NOT IN ('mark', 'dns_sent') AND coalesce(b.mechanism, '') <> 'tls.mitm'

-- name: operators_meanwhile
-- One row is one other operator that tested the site of a block between the block's days, and at
-- its hours, on its access networks: how many of its sessions reached the site (ok_sessions), and
-- failed in the same way (alike_sessions), in another way (otherwise_sessions), or in the same act
-- but in another manner (other_manner_sessions); whether most failed in the same way (is_failing);
-- and how many sessions would take away the majority that failed in another way (margin).
--
-- Hosting, VPN and foreign networks are no witnesses: a site that refuses the country lets them in.
-- A lost route shows as a time-out, at whichever layer a version of the probe reports it.
WITH met AS (
  SELECT b.stretch, b.act, b.is_silent AS is_silent_here, b.kind AS kind_here, o.operator, o.class,
    o.kind, count(*) AS times
  FROM suspected b JOIN told_sessions o ON o.domain = b.domain
    AND o.day BETWEEN b.since AND b.until
  WHERE o.is_witness AND o.operator <> b.operator AND o.class <> 'down'
    AND (b.hours IS NULL OR list_contains(b.hours, 24 * (isodow(o.time) - 1) + hour(o.time)))
  GROUP BY ALL
), compared AS (
  SELECT *, split_part(kind, '_', 1) = act AS is_same_act, kind = 'mark' AS is_mark,
    ends_with(kind, 'silent') AS is_silent, kind_here = 'dns_silent' AS is_lookup
  FROM met
)
SELECT stretch, operator, sum(times) AS sessions,
  coalesce(sum(times) FILTER (class = 'ok'), 0) AS ok_sessions,
  coalesce(sum(times) FILTER (
    NOT is_mark AND (is_same_act OR (is_silent AND is_silent_here))), 0) AS alike_sessions,
  coalesce(sum(times) FILTER (
    NOT is_silent AND (NOT is_same_act OR is_mark OR is_lookup)), 0) AS otherwise_sessions,
  coalesce(sum(times) FILTER (
    is_same_act AND kind <> kind_here AND NOT is_lookup), 0) AS other_manner_sessions,
  2 * alike_sessions > sessions AS is_failing,
  greatest(0, 2 * otherwise_sessions - sessions, CASE WHEN other_manner_sessions >= $floor_sessions
    THEN 2 * other_manner_sessions - sessions END) AS margin
FROM compared GROUP BY stretch, operator

-- name: seen
-- One row is one block of suspected, with the sums over all other operators.
--
-- operators, failing: the operators that tested the site, and those with whom it failed in the same
-- way, this one included. alike: sessions that did. company: other operators with two such sessions
-- or more. margin: how many sessions would take away the majorities of those operators with whom
-- the site failed in another way. is_reached: others reach it too often for a fault. is_unreached:
-- it fails in the same way with nearly all operators.
WITH counted AS (
  SELECT s.*, site_asn, count(o.operator) + 1 AS operators,
    count(*) FILTER (is_failing) + 1 AS failing, coalesce(sum(alike_sessions), 0) AS alike,
    count(*) FILTER (is_failing AND alike_sessions >= 2) AS company,
    coalesce(sum(o.margin), 0) AS margin,
    coalesce(sum(ok_sessions), 0) >= greatest(2, $reached_share * coalesce(sum(sessions), 0))
      AS is_reached
  FROM suspected s LEFT JOIN operators_meanwhile o USING (stretch)
    LEFT JOIN site_networks USING (domain)
  GROUP BY ALL
)
SELECT *, operators >= $operators AND failing >= $refusal_share * operators
    AND alike >= $floor_sessions AND NOT is_reached AND margin = 0 AS is_unreached
FROM counted

-- name: onsets
-- One row is one block of seen, with the time in which it began: between the last day on which the
-- site was open (open_day, null if it never was) and the first failure (day).
--
-- These days are as narrow as all networks of the site together make them. One session may be
-- forged, so it takes two to say that the site was open. The host is 0 where it is not known, and
-- on a network that is no evidence for others.
WITH before AS (
  SELECT s.stretch, max(o.day)::DATE AS open_day
  FROM suspected s JOIN told_sessions o ON o.domain = s.domain AND o.probe_asn = s.probe_asn
    AND o.day < s.first_day
  WHERE o.class = 'ok' GROUP BY s.stretch HAVING count(*) >= 2
), begun AS (
  SELECT s.*, CASE WHEN is_witness THEN coalesce(site_asn, 0) ELSE 0 END AS host, open_day,
    first_day AS day, failing >= greatest($operators, $refusal_share * operators) AS is_widespread,
    hours IS NOT NULL AND NOT is_silent AS is_at_hours,
    kind = 'dns_silent' AND 2 * failing <= operators AND last_day - first_day < $host_days
      AND open_day IS NOT NULL AS is_of_resolvers
  FROM seen s LEFT JOIN before USING (stretch)
), near AS (
  SELECT o.stretch, max(n.open_day) AS open_day, min(n.day) AS day
  FROM begun o JOIN begun n ON n.domain = o.domain AND n.manner = o.manner
    AND n.open_day <= o.day AND o.open_day <= n.day
  GROUP BY o.stretch
)
SELECT b.* REPLACE (least(n.open_day, n.day) AS open_day,
    coalesce(greatest(n.open_day, n.day), b.day) AS day)
FROM begun b LEFT JOIN near n USING (stretch)

-- name: neighbours
-- One row is one silent block for which other sites in the same hosting network were tested from
-- the same network on the same days: how many of them it mostly reached (reached_count), and on how
-- many it mostly met silence (silent_count).
--
-- A site counts from two sessions on: one report can make sites up.
WITH near AS (
  SELECT b.stretch, b.probe_asn, b.first_day, b.last_day, other.domain
  FROM suspected b JOIN site_networks own USING (domain)
    JOIN site_networks other ON other.site_asn = own.site_asn AND other.domain <> own.domain
  WHERE b.is_silent
), sites AS (
  SELECT n.stretch, n.domain, count(*) FILTER (o.class <> 'blocked') AS reached,
    count(*) FILTER (ends_with(o.kind, 'silent')) AS silent
  FROM near n JOIN told_sessions o ON o.domain = n.domain AND o.probe_asn = n.probe_asn
    AND o.day BETWEEN n.first_day AND n.last_day
  WHERE o.class <> 'down' GROUP BY ALL HAVING count(*) >= 2
)
SELECT stretch, count(*) FILTER (reached > silent) AS reached_count,
  count(*) FILTER (silent >= reached AND silent > 0) AS silent_count
FROM sites GROUP BY stretch

-- name: dead_hosts
-- One row is one block of connections at a host of which no site was reached meanwhile: the host
-- fell silent as a whole, as by a cut cable.
SELECT stretch FROM neighbours JOIN suspected USING (stretch)
WHERE act = 'tcp' AND silent_count > 0 AND reached_count = 0

-- name: known_onsets
-- One row is one onset that may be a coincidence: the site was open before, the day is known well
-- enough, and the host did not fall silent as a whole.
--
-- A site that fails with most operators, three or more, counts even if one network still reaches
-- it: an order that one network does not carry out is an order.
FROM onsets ANTI JOIN dead_hosts USING (stretch)
WHERE day - open_day <= $known_days AND host > 0
  AND (is_widespread OR is_unreached OR is_of_resolvers)

-- name: shared_days
-- One row is one manner and time in which sites of several hosts and domains began to fail.
--
-- A forger may make any number of failures begin on one day, so the days are compared once.
WITH days AS (
  SELECT DISTINCT manner, open_day, day FROM known_onsets
)
SELECT d.manner, d.open_day, d.day FROM days d JOIN known_onsets k ON k.manner = d.manner
  AND d.open_day <= k.day + $near_days AND k.open_day <= d.day + $near_days
GROUP BY ALL HAVING least(count(DISTINCT k.host), count(DISTINCT k.site)) >= $hosts

-- name: working_days
-- One row is one of these days after which, for a week, most of all sites were mostly reached.
--
-- A site that only one session tested has no vote of its own: each session has one vote for all
-- such sites that it reached, and one for all others.
WITH votes AS (
  SELECT DISTINCT a.day, 2 * count(*) FILTER (o.class = 'ok') > count(*) AS is_reached,
    CASE WHEN count(*) >= 2 THEN o.domain END AS site,
    CASE WHEN count(*) < 2 THEN min(o.session) END AS session
  FROM (SELECT DISTINCT day FROM shared_days) a
    JOIN told_sessions o ON o.day BETWEEN a.day AND a.day + 7
  WHERE o.is_witness AND o.class <> 'down' GROUP BY a.day, o.domain
)
SELECT day FROM votes GROUP BY day HAVING 2 * count(*) FILTER (is_reached) >= count(*)

-- name: coincidences
-- One row is one onset that is a coincidence: it begins when unrelated sites of other hosts begin
-- to fail in the same act and manner, while others work. Then somebody blocked them together.
--
-- The same onset then covers the failures of the same site meanwhile on networks on which it failed
-- before or had not been tested.
WITH coincident AS (
  FROM known_onsets SEMI JOIN shared_days USING (manner, open_day, day)
    SEMI JOIN working_days USING (day)
)
SELECT DISTINCT o.stretch FROM onsets o JOIN coincident c ON c.domain = o.domain
  AND c.manner = o.manner AND o.day <= c.last_day AND c.day - $near_days <= o.last_day

-- name: everywhere
-- One row is one stretch that the first rival explains: a fault of the site, or a site that refuses
-- the whole country. It fails in the same way on all networks, by no coincidence, and not at hours
-- of the week.
--
-- That the site was open at other times does not clear it: a host that begins to refuse does that
-- too. A site that is silent at certain hours may be overloaded. Where two operators or more show
-- that a site is away, it is not blocked with a third meanwhile, even if that one's days hold a
-- stray success.
WITH away AS (
  FROM onsets ANTI JOIN coincidences USING (stretch) WHERE is_unreached AND NOT is_at_hours
)
SELECT stretch FROM away
UNION
SELECT o.stretch FROM onsets o JOIN away a ON a.domain = o.domain AND a.manner = o.manner
  AND o.day <= a.last_day AND a.day <= o.last_day AND a.operator <> o.operator
WHERE NOT o.is_at_hours
GROUP BY o.stretch HAVING count(DISTINCT a.operator) >= $operators - 1

-- name: silent_alone
-- One row is one silent stretch that only this network saw, once, and that the host's other sites
-- do not rule out as a lost route; with its length in days and silent_count, see neighbours.
--
-- Versions of the probe report the same time-out at different layers, so stretches that touch or
-- overlap are one time.
WITH ordered AS (
  SELECT *, max(last_day) OVER (PARTITION BY domain, probe_asn ORDER BY first_day, stretch
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
  FROM onsets WHERE is_silent
), once AS (
  SELECT domain, probe_asn, max(last_day) - min(first_day) AS days FROM ordered GROUP BY ALL
  HAVING count(*) FILTER (reached IS NULL OR first_day > reached + 1) = 1
)
SELECT o.stretch, days, coalesce(silent_count, 0) AS silent_count
FROM ordered o JOIN once USING (domain, probe_asn) LEFT JOIN neighbours USING (stretch)
WHERE company = 0 AND coalesce(reached_count < 2 AND reached_count <= silent_count, TRUE)

-- name: silent_hosts
-- One row is one stretch that the second rival explains: the host's other sites were silent too. On
-- several networks at once it takes three sites that do not connect, and none that does: a cable.
SELECT stretch FROM silent_alone WHERE days < $host_days AND silent_count > 0
UNION
SELECT stretch FROM dead_hosts JOIN neighbours USING (stretch) JOIN suspected USING (stretch)
WHERE silent_count >= 2 AND last_day - first_day < $host_days

-- name: lost_routes
-- One row is one stretch that the third rival explains: it lasted a few days, and the host's other
-- sites were not tested.
FROM silent_alone WHERE days < $route_days AND silent_count = 0

-- name: resolvers_fail
-- One row is one stretch that the fourth rival explains: the resolvers of two operators or more
-- fell silent in the same days, while others resolved the name.
--
-- Not if the lookups of unrelated names, which have name servers of their own, began to fail then
-- too.
SELECT o.stretch
FROM onsets o JOIN onsets n ON n.domain = o.domain
  AND o.open_day <= n.day + $near_days AND n.open_day <= o.day + $near_days
WHERE o.is_of_resolvers AND n.is_of_resolvers AND o.stretch NOT IN (FROM coincidences)
GROUP BY o.stretch HAVING count(DISTINCT n.operator) > 1

-- name: refusals
-- One row is one stretch that none of the rivals before explains, and whose host is known: how many
-- operators and hosts more than needed (others) make it the networks' doing.
--
-- It is the networks' doing if the site fails so with $operators operators, or if this operator's
-- networks fail so at $hosts hosts. With others = 0 nothing tells whether the network or the site
-- refuses. A site refuses by connections, and for longer than days (is_lasting): if two sessions
-- found it open again before $refusal_days, it was no refusal.
WITH asked AS (
  FROM onsets ANTI JOIN everywhere USING (stretch) ANTI JOIN silent_hosts USING (stretch)
    ANTI JOIN lost_routes USING (stretch)
  WHERE site_asn IS NOT NULL
), cut_off AS (
  SELECT operator, manner, least(count(DISTINCT site_asn), count(DISTINCT site)) AS hosts
  FROM asked GROUP BY ALL
), pairs AS (
  SELECT domain, probe_asn, max(last_day) AS last_day, max(last_day) - min(first_day) AS days
  FROM asked WHERE is_by_tcp GROUP BY ALL
), lasting AS (
  FROM pairs p WHERE days >= $refusal_days OR 2 > (
    SELECT count(*) FROM told_sessions o WHERE o.domain = p.domain AND o.probe_asn = p.probe_asn
      AND o.day > p.last_day AND o.class = 'ok')
)
SELECT stretch,
  greatest(company + 2 - $operators, 0) + greatest(hosts + 1 - $hosts, 0) AS others,
  days IS NOT NULL AS is_lasting
FROM asked JOIN cut_off USING (operator, manner) LEFT JOIN lasting USING (domain, probe_asn)

-- name: refused_here
-- One row is one stretch that the fifth rival explains: the site may refuse this network.
FROM refusals WHERE others = 0 AND is_lasting

-- name: margins
-- One row is one onset: how many forged sessions elsewhere would have the block withheld, at least
-- (margin; infinite where others reach the site), and may_refuse, whether it began before the first
-- test and the site may refuse the network.
--
-- It takes one more failing session with another operator, or with one that is in doubt, until
-- nearly all fail in the same way; or two that claim to reach the site, after which one fewer does.
-- One session for each operator or host may silence what makes it the networks' doing.
SELECT stretch, least(CASE WHEN is_lasting THEN others END,
    CASE WHEN is_unreached THEN 2 WHEN is_reached THEN 'inf'::DOUBLE
      ELSE greatest($floor_sessions - alike, margin, 1) END) AS margin,
  coalesce(others = 0, FALSE) AND open_day IS NULL AS may_refuse
FROM onsets LEFT JOIN refusals USING (stretch)
