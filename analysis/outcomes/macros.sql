-- Expressions and queries that several steps share, and that rules and notebooks may call.

-- name: has_true(conditions)
-- Whether anything in a list of conditions is true; null of a null list.
list_contains(conditions, TRUE)

-- name: is_local_fault(failure)
-- Whether a failure says nothing of the network or the site: the probe's own machine failed, or the
-- system reported it in words that no OONI library maps, among them too many open files and the
-- messages of a localised Windows. A bare "unknown_failure" is what old probes report of a
-- connection that failed in some way; it is no such fault.
is_machine_fault(failure) OR starts_with(failure, 'unknown_failure:')

-- name: hoster_of(answers)
-- Who hosts a site: the network of the control's first answer, or its address alone.
coalesce('AS' || answers[1].asn, answers[1].address)

-- name: site_network(control_answers, answers, attempts)
-- The network in which a site is: that of the control's answers, or, where the control has none, of
-- the resolver's answers that connected.
CASE WHEN len(control_answers) > 0 THEN list_any_value([a.asn FOR a IN control_answers])
  ELSE list_any_value([a.asn FOR a IN answers IF list_contains(
    [t.address FOR t IN attempts IF t.failure IS NULL], a.address)]) END

-- name: connection_result(failure, is_ipv6_broken, control_ok, control_is_lost)
-- What one attempt to connect shows, as an attempt_result (see enumerations.py).
(CASE WHEN failure IS NULL THEN 'works'
  WHEN is_ipv6_broken THEN 'no_ipv6'
  WHEN is_local_fault(failure) THEN 'local'
  WHEN control_is_lost OR control_ok IS NULL THEN 'untold'
  WHEN control_ok THEN 'blocked' ELSE 'down' END)::attempt_result

-- name: handshake_result(failure, control_ok, control_is_lost, page_ok, page_fails)
-- What one attempt to shake hands shows, as an attempt_result. Where the control made no handshake,
-- its page decides.
(CASE WHEN failure IS NULL THEN 'works'
  WHEN control_is_lost THEN 'untold'
  WHEN coalesce(control_ok, page_ok) THEN 'blocked'
  WHEN coalesce(NOT control_ok, page_fails) THEN 'down'
  ELSE 'untold' END)::attempt_result

-- name: is_trusted_address(address, match, proven_addresses, vouched_addresses)
-- Whether an address is the site's: the control knows the address or its network, a certificate
-- proves it, or others vouch for it.
match IN ('address', 'asn')
  OR coalesce(list_contains(proven_addresses, address), FALSE)
  OR coalesce(list_contains(vouched_addresses, address), FALSE)

-- name: is_control_page(has_status, title_match, proportion, may_compare_length, body_match)
-- Whether a page is the control's by its title; or by its length alone (OONI's other way), but only
-- where nothing speaks against it: a block page may be as long as a small site's page.
has_status AND (coalesce(title_match, FALSE)
  OR (coalesce(proportion, 0) > body_match AND may_compare_length))

-- name: is_steady(given_count, open_count, day_count, least_share, floor_sessions, floor_days)
-- Whether something is given in a stretch (see find_stretches) nearly always, and often enough.
given_count >= least_share * (given_count + open_count)
  AND given_count >= floor_sessions AND day_count >= floor_days

-- name: find_stretches(given, floor_sessions)
-- One row is one stretch of one key, in which something is given again and again: given_count and
-- open_count are its sessions, and day_count the days on which it was given, from since to until.
--
-- given is the name of a relation with one row for each key (a struct) and session: session, day,
-- is_given. floor_sessions open sessions in a row end a stretch, so a block that is imposed twice
-- is two stretches.
TABLE
WITH ordered AS (
  SELECT key, day, is_given, count(*) FILTER (NOT is_given)
    OVER (PARTITION BY key ORDER BY day, session ROWS UNBOUNDED PRECEDING) AS open_before
  FROM query_table(given)
), parted AS (
  SELECT key, day, open_before, open_before - lag(open_before, 1, open_before)
    OVER (PARTITION BY key ORDER BY day, open_before) >= floor_sessions AS begins
  FROM ordered WHERE is_given
), numbered AS (
  SELECT key, day, open_before, count(*) FILTER (begins)
    OVER (PARTITION BY key ORDER BY day, open_before) AS stretch
  FROM parted
)
SELECT key, count(*) AS given_count, max(open_before) - min(open_before) AS open_count,
  count(DISTINCT day) AS day_count, min(day) AS since, max(day) AS until
FROM numbered GROUP BY key, stretch
