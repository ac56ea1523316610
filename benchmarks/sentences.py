"""What each number in a sentence of a report counts, and how the published tables give it.

A page marks a number with a key (``data-key``) and, where several numbers have one key, with the
row that it is about (``data-of``). Each key stands here with what a reader takes the number for,
and with a query over the CSVs that was written from that sentence. Nothing of the workbook is used:
DuckDB reads the tables, and the views below are made from what docs/tables.md says of them.

What a query gives has to be what the page says, in each language; see ``find_wrong_numbers``.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
from bs4 import BeautifulSoup, Tag

_ACCESS = "kind IN ('isp', 'mobile', 'education', 'unknown')"
_CUT = "state IN ('blocked', 'likely_blocked')"

#: The rows that sentences speak of.
_VIEWS = f"""
-- every pair of a site and an access network, in the whole period
CREATE VIEW access AS SELECT v.*, operator_of.operator AS run_by
FROM verdicts v JOIN (SELECT probe_asn, operator FROM networks WHERE {_ACCESS}) operator_of
USING (probe_asn) WHERE period = 'all';
CREATE VIEW listed AS FROM access WHERE {_CUT};
CREATE VIEW tested AS FROM access
WHERE insufficient_reason IS NULL OR insufficient_reason NOT IN ('few_sessions', 'few_days');
CREATE VIEW graded AS SELECT *, CASE
  WHEN sessions_to_flip < 2 THEN 'thin'
  WHEN blocked_session_count >= 12 THEN 'very_strong'
  WHEN blocked_session_count >= 6 THEN 'strong' ELSE 'fair' END AS grade
FROM listed;

-- listed sites; the networks and the methods of a number of pairs
CREATE VIEW listed_sites AS SELECT s.*, bool_or(state = 'blocked') AS is_traced
FROM listed JOIN sites s USING (domain) GROUP BY ALL;
CREATE VIEW tested_sites AS FROM sites SEMI JOIN tested USING (domain);
CREATE VIEW listing AS SELECT probe_asn, count(*) AS n FROM listed GROUP BY ALL;
CREATE VIEW spread AS SELECT domain, count(*) AS n FROM listed GROUP BY ALL;
CREATE VIEW methods AS SELECT mechanism, count(*) AS n, CASE
  WHEN mechanism LIKE '%.mitm' THEN 'certificate'
  WHEN mechanism IN ('http.blockpage', 'http.diff') THEN 'page'
  WHEN mechanism LIKE 'dns.%' THEN 'lookup'
  WHEN mechanism LIKE 'tcp.%' THEN 'connection' ELSE 'name' END AS way
FROM listed GROUP BY ALL;
CREATE VIEW by_category AS SELECT category_code, count(*) AS n FROM listed_sites
WHERE category_code <> 'NONE' GROUP BY ALL;

-- a block: one site on one network, from the first to the last failing test
CREATE VIEW blocks AS FROM blocking_intervals SEMI JOIN listed USING (domain, probe_asn);
CREATE VIEW dated AS FROM blocks
WHERE schedule IS NULL AND blocked_from - last_seen_open <= 60;
-- the 31 days with most sites, those on most networks first, then the earliest
CREATE VIEW wave_day AS SELECT day FROM (SELECT DISTINCT blocked_from AS day FROM dated) days
JOIN dated ON blocked_from BETWEEN day AND day + 30 GROUP BY day
ORDER BY count(DISTINCT domain) DESC, count(DISTINCT probe_asn) DESC, day LIMIT 1;
CREATE VIEW wave AS FROM dated
WHERE blocked_from BETWEEN (FROM wave_day) AND (FROM wave_day) + 30;
CREATE VIEW known AS SELECT DISTINCT domain FROM wave SEMI JOIN
(FROM blocks WHERE blocked_from < (SELECT min(blocked_from) FROM wave)) USING (domain);

-- networks on which a site was listed or reachable in each half, and listed in one
CREATE VIEW compared AS SELECT domain, probe_asn, a.{_CUT} AS first, b.{_CUT} AS second
FROM (FROM verdicts WHERE period = 'first') a JOIN (FROM verdicts WHERE period = 'second') b
USING (domain, probe_asn) SEMI JOIN (FROM networks WHERE {_ACCESS}) USING (probe_asn)
WHERE (a.{_CUT} OR a.state = 'ok') AND (b.{_CUT} OR b.state = 'ok') AND (a.{_CUT} OR b.{_CUT});
CREATE VIEW changed AS SELECT domain, count(*) AS networks,
bool_and(second AND NOT first) AS is_new, bool_and(first AND NOT second) AS is_gone,
bool_and(first AND second) AS is_still FROM compared GROUP BY ALL;
CREATE VIEW halves AS SELECT domain, bool_or(period = 'first') AS first,
bool_or(period = 'second') AS second
FROM verdicts SEMI JOIN (FROM networks WHERE {_ACCESS}) USING (probe_asn)
WHERE {_CUT} GROUP BY ALL;

-- sites that fail on all access networks and are reached from others
CREATE VIEW everywhere AS SELECT domain,
  sum(ok_session_count) FILTER ({_ACCESS}) AS reached,
  sum(session_count) FILTER ({_ACCESS}) AS sessions
FROM verdicts JOIN networks USING (probe_asn)
WHERE period = 'all' AND domain IN
  (SELECT domain FROM set_aside WHERE reason IN ('impaired', 'unexplained'))
GROUP BY domain
HAVING count(*) FILTER ({_ACCESS} AND state <> 'insufficient') >= 3
  AND count(*) FILTER ({_ACCESS} AND state = 'ok') = 0 AND reached <= greatest(1, 0.1 * sessions)
  AND sum(ok_session_count - blocked_session_count) FILTER (NOT {_ACCESS}) > 0;
CREATE VIEW elsewhere AS SELECT v.*, kind FROM verdicts v SEMI JOIN everywhere USING (domain)
JOIN networks USING (probe_asn) WHERE period = 'all' AND NOT {_ACCESS};

-- failures that repeat and are not listed, of sites that are set aside
CREATE VIEW withheld AS FROM withheld_intervals SEMI JOIN set_aside USING (domain);
""".replace(f"a.{_CUT}", "a.state LIKE '%blocked'").replace(f"b.{_CUT}", "b.state LIKE '%blocked'")

#: The same of messaging apps and circumvention tools, where the report has a page on them.
_APP_VIEWS = f"""
CREATE VIEW app AS FROM messaging_verdicts WHERE period = 'all';
CREATE VIEW cut_app AS FROM app WHERE {_CUT}
  AND set_aside_reason IS DISTINCT FROM 'not_domestic';
CREATE VIEW broken_app AS
SELECT DISTINCT test_name FROM messaging_verdicts WHERE set_aside_reason = 'instrument';
CREATE VIEW settled_app AS FROM app WHERE set_aside_reason IS DISTINCT FROM 'not_domestic'
AND ({_CUT} OR state <> 'insufficient' AND test_name NOT IN (FROM broken_app));
-- each part of an app that is cut off on a network: the last time that this was so
CREATE VIEW cut_part AS SELECT *, probe_asn || ' ' || test_name || ' ' || part AS named
FROM messaging_intervals SEMI JOIN cut_app USING (test_name, probe_asn)
QUALIFY row_number() OVER (PARTITION BY named ORDER BY blocked_from_time DESC) = 1;
"""

_STATES = {
    "ok": "ok",
    "impaired": "impaired",
    "unexplained": "unexplained",
    "down": "down",
    "unsettled": "insufficient",
}
_LARGEST = (
    "(SELECT category_code FROM categories JOIN by_category USING (category_code) "
    "ORDER BY n DESC, category LIMIT 1)"
)
_MOST_FREQUENT = "(SELECT mechanism FROM methods ORDER BY n DESC, mechanism LIMIT 1)"
_WEEK_END = "least($of::DATE + 6, (SELECT until - 1 FROM semesters WHERE period = 'all'))"

#: Key → what a reader takes the number for, and the query. ``$of`` is the row that it is about.
MEANINGS: dict[str, tuple[str, str]] = {
    # measurements, sites, networks
    "measurement_count": (
        "tests of web sites",
        "SELECT coalesce(sum(measurement_count), 0) FROM measurements_by_month",
    ),
    "line_count": (
        "lines of the archive that were read",
        "SELECT sum(line_count) FROM ingestion_ledger "
        "WHERE reason NOT LIKE 'invalid:%' AND reason <> 'total'",
    ),
    "unread_object_count": ("files not read", "SELECT count(*) FROM objects_not_read"),
    "unread_part_count": (
        "months or networks of which much was not read",
        "SELECT count(*) FROM unread_parts",
    ),
    "domain_count": ("tested sites", "SELECT count(*) FROM sites WHERE domain <> ''"),
    "network_count": ("networks", "SELECT count(*) FROM networks"),
    "access_network_count": (
        "access networks",
        f"SELECT count(*) FROM networks WHERE {_ACCESS}",
    ),
    "other_network_count": (
        "other networks",
        f"SELECT count(*) FROM networks WHERE NOT {_ACCESS}",
    ),
    "ranked_network_count": ("networks with a rank", "SELECT count(rank) FROM networks"),
    "guessed_network_count": (
        "networks that a word in their name keeps off the list",
        "SELECT count(*) FROM networks WHERE kind_source = 'name rule' "
        f"AND NOT {_ACCESS} AND tested_enough_count > 0",
    ),
    # pairs of a site and a network
    "judged_pair_count": ("all pairs", "SELECT count(*) FROM verdicts WHERE period = 'all'"),
    "judged_access_pair_count": ("pairs on access networks", "SELECT count(*) FROM access"),
    "other_pair_count": (
        "pairs on other networks",
        "SELECT count(*) FILTER (period = 'all') - (SELECT count(*) FROM access) FROM verdicts",
    ),
    "listed_access_pair_count": ("listed pairs", "SELECT count(*) FROM listed"),
    "traced_access_pair_count": (
        "blocked pairs",
        "SELECT count(*) FROM access WHERE state = 'blocked'",
    ),
    "likely_access_pair_count": (
        "likely blocked pairs",
        "SELECT count(*) FROM access WHERE state = 'likely_blocked'",
    ),
    **{
        f"{name}_access_pair_count": (
            f"pairs whose state is {state}",
            f"SELECT count(*) FROM access WHERE state = '{state}'",
        )
        for name, state in _STATES.items()
    },
    "disagreeing_access_pair_count": (
        "pairs with tests that disagree",
        "SELECT count(*) FROM access WHERE insufficient_reason = 'mixed'",
    ),
    "tested_enough_pair_count": ("pairs tested enough", "SELECT count(*) FROM tested"),
    "tested_enough_domain_count": (
        "sites tested enough on at least one access network",
        "SELECT count(DISTINCT domain) FROM tested",
    ),
    "tested_enough_network_count": (
        "access networks with at least one site tested enough",
        "SELECT count(DISTINCT probe_asn) FROM tested",
    ),
    "too_few_tests_pair_count": (
        "pairs with too few tests",
        "SELECT count(*) FROM access WHERE insufficient_reason IN ('few_sessions', 'few_days')",
    ),
    **{
        f"{grade}_pair_count": (
            f"listed pairs of {grade} evidence",
            f"SELECT count(*) FROM graded WHERE grade = '{grade}'",
        )
        for grade in ("thin", "fair", "strong", "very_strong")
    },
    "household_pair_count": (
        "unclear pairs whose tests nearly all came from one platform",
        "SELECT count(*) FROM access WHERE state = 'impaired' AND note LIKE '%of one platform%'",
    ),
    "one_report_pair_count": (
        "listed pairs that one session might change",
        "SELECT count(*) FROM listed WHERE sessions_to_flip = 1",
    ),
    "undated_pair_count": (
        "listed pairs that no earlier test had reached",
        "SELECT count(*) FROM listed WHERE note LIKE '%at least since%'",
    ),
    "most_to_flip": (
        "forged sessions needed at the most",
        "SELECT coalesce(max(sessions_to_flip), 0) FROM listed",
    ),
    # listed sites
    "blocked_domain_count": ("listed sites", "SELECT count(DISTINCT domain) FROM listed"),
    "traced_domain_count": (
        "sites blocked on some network",
        "SELECT count(*) FROM listed_sites WHERE is_traced",
    ),
    "likely_domain_count": (
        "sites likely blocked on some network and blocked on none",
        "SELECT count(*) FROM listed_sites WHERE NOT is_traced",
    ),
    "blocked_registrable_domain_count": (
        "registered domains of listed sites",
        "SELECT count(DISTINCT registrable_domain) FROM listed_sites",
    ),
    "blocked_local_domain_count": (
        "listed sites of the country itself",
        "SELECT count(*) FROM listed_sites WHERE is_local",
    ),
    "still_listed_count": (
        "listed sites that failed at the last test on some network",
        "SELECT count(DISTINCT domain) FROM listed WHERE blocked_until IS NULL",
    ),
    "first_seen_day": ("the first day of any block", "SELECT min(blocked_from) FROM blocks"),
    "single_network_domain_count": (
        "sites listed on one network",
        "SELECT count(*) FROM spread WHERE n = 1",
    ),
    "independent_network_count": (
        "such networks, those of one operator or resolver as one",
        "see _count_sources",
    ),
    "single_source_domain_count": (
        "sites that only one of these lists",
        "see _count_sources",
    ),
    "blocking_network_count": (
        "access networks with listed sites",
        "SELECT count(*) FROM listing",
    ),
    "set_aside_count": ("sites with anomalies, not listed", "SELECT count(*) FROM set_aside"),
    "withheld_domain_count": (
        "sites that are set aside with failures that repeat",
        "SELECT count(DISTINCT domain) FROM withheld",
    ),
    "dead_name_count": (
        "sites set aside because their names are dead",
        "SELECT count(*) FROM set_aside WHERE reason IN ('name_does_not_exist', 'leftover_block')",
    ),
    # the wave
    "onset.block_count": ("blocks first seen in these days", "SELECT count(*) FROM wave"),
    "onset.site_count": ("sites of these blocks", "SELECT count(DISTINCT domain) FROM wave"),
    "onset.network_count": ("their networks", "SELECT count(DISTINCT probe_asn) FROM wave"),
    "onset.first_day": ("the first of these days", "SELECT min(blocked_from) FROM wave"),
    "onset.last_day": ("the last of these days", "SELECT max(blocked_from) FROM wave"),
    "onset.known_count": (
        "sites of the wave with a block before it, on any network",
        "SELECT count(*) FROM known",
    ),
    "onset.new_count": (
        "sites whose first block on any network is one of the wave",
        "SELECT count(DISTINCT domain) FROM wave ANTI JOIN known USING (domain)",
    ),
    "onset.traced_count": (
        "sites that one of these blocks shows blocked",
        "SELECT count(DISTINCT domain) FROM wave WHERE state = 'blocked'",
    ),
    "onset.likely_count": (
        "sites that these blocks show likely blocked only",
        "SELECT count(DISTINCT domain) FROM wave "
        "ANTI JOIN (FROM wave WHERE state = 'blocked') USING (domain)",
    ),
    "onset.sure_count": (
        "blocks of these days that a test of these days found open before",
        "SELECT count(*) FROM wave, (SELECT min(blocked_from) AS day FROM wave) first "
        "WHERE last_seen_open >= day",
    ),
    "onset.sure_from_count": (
        "blocks whose site was reached on the day or later",
        "SELECT count(*) FROM wave WHERE last_seen_open >= $of::DATE",
    ),
    "onset.longest_wait_days": (
        "days between the last open and the first failing test, at most",
        "SELECT max(blocked_from - last_seen_open) FROM wave",
    ),
    "onset.usual_wait_days": (
        "the days that half of the blocks took at most",
        "SELECT quantile_disc(blocked_from - last_seen_open, 0.5) FROM wave",
    ),
    "onset.reopened_count": (
        "blocks of these days that a later test found open",
        "SELECT count(*) FROM wave WHERE first_seen_open_again IS NOT NULL",
    ),
    "onset.undated_count": (
        "blocks first seen in these days without an open test in the 60 days before",
        "SELECT count(*) FROM blocks ANTI JOIN dated USING (domain, probe_asn, blocked_from), "
        "(SELECT min(blocked_from) AS first, max(blocked_from) AS last FROM wave) "
        "WHERE schedule IS NULL AND blocked_from BETWEEN first AND last",
    ),
    "onset.graded_count": (
        "pairs of the wave with evidence of this strength",
        "SELECT count(*) FROM graded SEMI JOIN wave USING (domain, probe_asn) WHERE grade = $of",
    ),
    # weeks
    "weeks.last_day": (
        "the first day of the last week from a Sunday on",
        "SELECT greatest(since, until - 1 - dayofweek(until - 1)::INT) "
        "FROM semesters WHERE period = 'all'",
    ),
    "weeks.seen_count": (
        "blocks whose failing tests begin before the week ends and end after it begins",
        "SELECT count(*) FROM blocks "
        f"WHERE blocked_from <= {_WEEK_END} AND blocked_until >= $of::DATE",
    ),
    "weeks.waiting_count": (
        "blocks that failed last before the week and were reached by no test up to its end",
        "SELECT count(*) FROM blocks WHERE blocked_until < $of::DATE "
        f"AND (first_seen_open_again IS NULL OR first_seen_open_again > {_WEEK_END})",
    ),
    # networks
    "networks.listed_count": (
        "listed sites on each of these networks",
        "SELECT CASE WHEN min(n) = max(n) THEN max(n) END FROM listing "
        "WHERE list_contains(string_split($of, ';'), probe_asn)",
    ),
    "networks.with_count": (
        "networks with so many listed sites",
        "SELECT count(*) FROM listing WHERE n = $of::INT",
    ),
    "networks.fewer_count": (
        "networks with listed sites, but fewer",
        "SELECT count(*) FROM listing WHERE n < $of::INT",
    ),
    "networks.none_count": (
        "networks with sites tested enough and none listed",
        "SELECT count(DISTINCT probe_asn) FROM tested ANTI JOIN listing USING (probe_asn)",
    ),
    "networks.hardly_count": (
        "of these, those on which few sites were tested enough",
        "SELECT count(*) FROM (SELECT count(*) AS n FROM tested "
        "ANTI JOIN listing USING (probe_asn) GROUP BY probe_asn) "
        "WHERE 10 * n < (SELECT count(DISTINCT domain) FROM tested)",
    ),
    "networks.untested_count": (
        "access networks without a site tested enough",
        f"SELECT count(*) FROM networks ANTI JOIN tested USING (probe_asn) WHERE {_ACCESS}",
    ),
    "networks.widest": (
        "networks that list one site, at most",
        "SELECT max(n) FROM spread",
    ),
    "networks.widest_count": (
        "sites listed on the largest number of networks",
        "SELECT count(*) FROM spread WHERE n = (SELECT max(n) FROM spread)",
    ),
    "networks.graded_count": (
        "listed pairs with evidence of this strength",
        "SELECT count(*) FROM graded WHERE grade = $of",
    ),
    # methods
    "methods.way_count": (
        "listed pairs that fail at this act",
        "SELECT sum(n) FROM methods WHERE way = $of",
    ),
    "methods.listed_count": (
        "listed pairs of this method",
        "SELECT n FROM methods WHERE mechanism = $of",
    ),
    "methods.site_count": (
        "sites listed for the most frequent method",
        f"SELECT count(DISTINCT domain) FROM listed WHERE mechanism = {_MOST_FREQUENT}",
    ),
    # categories
    "categories.listed_count": (
        "listed sites of the category",
        "SELECT count(*) FROM listed_sites WHERE category_code = $of",
    ),
    "categories.traced_count": (
        "blocked sites of the category",
        "SELECT count(*) FROM listed_sites WHERE category_code = $of AND is_traced",
    ),
    "categories.likely_count": (
        "likely blocked sites of the category",
        "SELECT count(*) FROM listed_sites WHERE category_code = $of AND NOT is_traced",
    ),
    "categories.tested_count": (
        "sites of the category that were tested enough",
        "SELECT count(*) FROM tested_sites WHERE category_code = $of",
    ),
    "categories.site_count": (
        "listed sites of the largest category",
        f"SELECT count(*) FROM listed_sites WHERE category_code = {_LARGEST}",
    ),
    "categories.equal_count": (
        "other categories with as many listed sites as the largest",
        "SELECT count(*) - 1 FROM by_category WHERE n = (SELECT max(n) FROM by_category)",
    ),
    "categories.unlisted_count": (
        "listed sites that are on no test list",
        "SELECT count(*) FROM listed_sites WHERE category_code = 'NONE'",
    ),
    "categories.local_tested": (
        "sites of the country that were tested enough",
        "SELECT count(*) FROM tested_sites WHERE is_local",
    ),
    "categories.other_count": (
        "listed sites from abroad",
        "SELECT count(*) FROM listed_sites WHERE NOT is_local",
    ),
    "categories.other_tested": (
        "sites from abroad that were tested enough",
        "SELECT count(*) FROM tested_sites WHERE NOT is_local",
    ),
    # the two halves
    **{
        f"blocked_domain_count_{half}": (
            f"sites listed in the {half} half",
            f"SELECT count(*) FROM halves WHERE {half}",
        )
        for half in ("first", "second")
    },
    "listed_in_both_count": (
        "sites listed in both halves, on any network",
        "SELECT count(*) FROM halves WHERE first AND second",
    ),
    "newly_blocked_count": (
        "sites reachable and then listed, on every network compared",
        "SELECT count(*) FROM changed WHERE is_new",
    ),
    "no_longer_blocked_count": (
        "sites listed and then reachable, on every network compared",
        "SELECT count(*) FROM changed WHERE is_gone",
    ),
    "still_blocked_count": (
        "sites listed in both halves, on every network compared",
        "SELECT count(*) FROM changed WHERE is_still",
    ),
    "mixed_count": (
        "sites on which the networks compared differ",
        "SELECT count(*) FROM changed WHERE NOT (is_new OR is_gone OR is_still)",
    ),
    "not_comparable_count": (
        "sites listed in the period or a half that no network compares",
        f"SELECT count(DISTINCT domain) FROM verdicts SEMI JOIN (FROM networks WHERE {_ACCESS}) "
        f"USING (probe_asn) ANTI JOIN changed USING (domain) WHERE {_CUT}",
    ),
    "interrupted_count": (
        "sites listed in both halves and open between two blocks on a network compared",
        "SELECT count(DISTINCT domain) FROM changed JOIN compared USING (domain) "
        "JOIN blocking_intervals earlier USING (domain, probe_asn) "
        "JOIN blocking_intervals later USING (domain, probe_asn) "
        "WHERE is_still AND earlier.first_seen_open_again IS NOT NULL "
        "AND later.blocked_from > earlier.blocked_from",
    ),
    "changes.agreeing_count": (
        "sites on which all networks compared agree",
        "SELECT count(*) FROM changed WHERE is_new OR is_gone OR is_still",
    ),
    "changes.changed_count": (
        "sites that changed on every network compared",
        "SELECT count(*) FROM changed WHERE is_new OR is_gone",
    ),
    "changes.alone_count": (
        "of these, sites that one network compares",
        "SELECT count(*) FROM changed WHERE (is_new OR is_gone) AND networks = 1",
    ),
    "changes.early_count": (
        "sites reachable and then listed, with a block before the second half",
        "SELECT count(DISTINCT domain) FROM changed JOIN blocks USING (domain) WHERE is_new "
        "AND blocked_from < (SELECT since FROM semesters WHERE period = 'second')",
    ),
    "changes.ended_count": (
        "sites reachable and then listed that fail at no network's last test",
        "SELECT count(*) FROM changed "
        "ANTI JOIN (FROM listed WHERE blocked_until IS NULL) USING (domain) WHERE is_new",
    ),
    # hours of the week
    "hours.site_count": (
        "sites blocked at certain hours",
        "SELECT count(DISTINCT domain) FROM blocks WHERE schedule IS NOT NULL",
    ),
    "hours.traced_count": (
        "of these, blocked sites",
        "SELECT count(DISTINCT domain) FROM blocks "
        "WHERE schedule IS NOT NULL AND state = 'blocked'",
    ),
    "hours.likely_count": (
        "of these, likely blocked sites",
        "SELECT count(DISTINCT domain) FROM blocks ANTI JOIN (FROM blocks "
        "WHERE schedule IS NOT NULL AND state = 'blocked') USING (domain) "
        "WHERE schedule IS NOT NULL",
    ),
    "hours.graded_count": (
        "pairs blocked at certain hours with evidence of this strength",
        "SELECT count(*) FROM graded SEMI JOIN (FROM blocks WHERE schedule IS NOT NULL) "
        "USING (domain, probe_asn) WHERE grade = $of",
    ),
    **{
        f"hours.{name}": (
            f"{what} of the first block at certain hours of this pair",
            f"SELECT {column} FROM blocks WHERE schedule IS NOT NULL "
            "AND probe_asn || ' ' || domain = $of ORDER BY blocked_from LIMIT 1",
        )
        for name, what, column in (
            ("schedule", "hours", "schedule"),
            ("first_day", "the first day", "blocked_from"),
            ("last_day", "the last day", "blocked_until"),
        )
    },
    # what is not listed
    "unlisted.reason_count": (
        "sites set aside for this reason",
        "SELECT count(*) FROM set_aside WHERE reason = $of",
    ),
    "unlisted.period_count": ("periods of failures not listed", "SELECT count(*) FROM withheld"),
    "unlisted.network_count": (
        "networks with such periods",
        "SELECT count(DISTINCT probe_asn) FROM withheld",
    ),
    "unlisted.traced_count": (
        "such periods in which tests saw a false address or a block page",
        "SELECT count(*) FROM withheld SEMI JOIN (FROM rules WHERE is_artefact) USING (mechanism)",
    ),
    "everywhere.site_count": (
        "sites that hardly any session on access networks reached",
        "SELECT count(*) FROM everywhere",
    ),
    "everywhere.reached_count": (
        "sessions on access networks that reached them",
        "SELECT sum(reached) FROM everywhere",
    ),
    "everywhere.test_count": (
        "sessions on access networks that tested them",
        "SELECT sum(sessions) FROM everywhere",
    ),
    "everywhere.reached_outside_count": (
        "sessions on other networks that reached them",
        "SELECT sum(ok_session_count) FROM elsewhere",
    ),
    "everywhere.outside_count": (
        "sessions on other networks that tested them",
        "SELECT sum(session_count) FROM elsewhere",
    ),
    "everywhere.reached_from_count": (
        "the same of one kind of network: reached",
        "SELECT sum(ok_session_count) FROM elsewhere WHERE kind = $of",
    ),
    "everywhere.test_from_count": (
        "the same of one kind of network: tested",
        "SELECT sum(session_count) FROM elsewhere WHERE kind = $of",
    ),
    **{
        f"decisions.{status}_count": (
            f"decisions of meetings, {status}",
            f"SELECT count(*) FROM decisions WHERE status = '{status}'",
        )
        for status in ("applied", "not_applied")
    },
    # changes since an earlier draft
    **{
        f"changes.{kind}_count": (
            f"changes since the earlier draft: {kind}",
            f"SELECT count(*) FROM changes WHERE kind = '{kind}'",
        )
        for kind in ("number", "finding", "site_network")
    },
    **{
        f"changes.{side}_count": (
            f"sites that {side} the list since the earlier draft",
            "SELECT count(*) FROM changes WHERE kind = 'site' AND "
            f"\"{on}\" IN ('blocked', 'likely blocked') AND "
            f"\"{off}\" NOT IN ('blocked', 'likely blocked')",
        )
        for side, on, off in (("came", "after", "before"), ("left", "before", "after"))
    },
    # other methods, and what was simulated
    "other_methods_only_count": (
        "sites that other methods list and this one does not",
        "SELECT count(DISTINCT domain) FROM method_pairs "
        "WHERE is_listed AND domain NOT IN (SELECT domain FROM listed)",
    ),
    "simulated_country_count": (
        "simulated countries",
        "SELECT count(DISTINCT seed) FROM validation_worlds WHERE part = 'report'",
    ),
    "broken_promise_count": (
        "forged sessions that moved more than was promised",
        "SELECT sum(broken_count) FROM validation_forgery",
    ),
    "listed_by_forgery_count": (
        "pairs that forged sessions put on the list",
        "SELECT sum(newly_listed_count) FROM validation_forgery",
    ),
    # apps
    "app_test_count": ("apps tested", "SELECT count(DISTINCT test_name) FROM app"),
    "app_network_count": ("networks of these tests", "SELECT count(DISTINCT probe_asn) FROM app"),
    "settled_app_count": (
        "apps with a clear result on an access network",
        "SELECT count(DISTINCT test_name) FROM settled_app",
    ),
    "traced_app_count": (
        "blocked apps",
        "SELECT count(DISTINCT test_name) FROM cut_app WHERE state = 'blocked'",
    ),
    "likely_app_count": (
        "apps that are likely blocked and nowhere blocked",
        "SELECT count(DISTINCT test_name) FROM cut_app "
        "ANTI JOIN (FROM cut_app WHERE state = 'blocked') USING (test_name)",
    ),
    "blocked_app_count": (
        "blocked and likely blocked apps",
        "SELECT count(DISTINCT test_name) FROM cut_app",
    ),
    "blocked_app_pair_count": (
        "pairs of app and network with a block",
        "SELECT count(*) FROM cut_app",
    ),
    "blocked_app_network_count": (
        "networks with a block of an app",
        "SELECT count(DISTINCT probe_asn) FROM cut_app",
    ),
    "defective_app_count": (
        "apps whose test was at fault",
        "SELECT count(*) FROM broken_app",
    ),
    "apps.settled_pair_count": (
        "pairs of app and network with a clear result",
        "SELECT count(*) FROM settled_app",
    ),
    "apps.compared_count": (
        "of these, compared with other countries",
        "SELECT count(*) FROM settled_app WHERE control = 'countries'",
    ),
    "apps.more_cut_count": (
        "parts of apps cut off on a network, but for the one that is told",
        "SELECT count(*) - 1 FROM cut_part",
    ),
    **{
        f"apps.{name}": (
            f"{what}, of this part of an app on this network",
            f"SELECT {column} FROM cut_part WHERE named = $of",
        )
        for name, what, column in (
            ("cut_endpoint_count", "endpoints cut off", "cut_endpoint_count"),
            ("endpoint_count", "endpoints", "endpoint_count"),
            ("first_day", "first failing day", "blocked_from"),
            ("last_day", "last failing day", "last_seen_blocked"),
            ("cut_session_count", "failing sessions", "blocked_session_count"),
            ("session_count", "valid sessions", "session_count"),
        )
    },
    **{
        f"apps.{name}": (
            f"{what}, of this app on this network",
            f"SELECT {column} FROM app WHERE probe_asn || ' ' || test_name = $of",
        )
        for name, what, column in (
            ("flagged_count", "tests that OONI flags", "anomaly_count"),
            ("test_count", "tests", "measurement_count"),
            ("failed_count", "failing sessions", "blocked_session_count"),
        )
    },
}

#: How a column is read, by its name: what is empty throughout has no type of its own.
_TYPES = (
    (r"(first|second)?.*_count|sessions_to_flip|rank", "BIGINT"),
    (r"(is|was|has)_.*", "BOOLEAN"),
    (r"blocked_(from|until)|last_seen_\w+|first_seen_open_again|since|until|date|\w+_day", "DATE"),
)


def open_tables(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open the published CSVs, each under its name, with the views that queries use."""
    connection = duckdb.connect()
    names = set()
    for path in sorted(folder.glob("*.csv")):
        header = connection.read_csv(str(path), header=True, all_varchar=True).columns
        known = {
            column: kind
            for column in header
            for pattern, kind in _TYPES
            if re.fullmatch(pattern, column)
        }
        relation = connection.read_csv(str(path), header=True, sample_size=-1, dtype=known)
        relation.create_view(path.stem)
        names.add(path.stem)
    connection.execute(_VIEWS)
    if "messaging_verdicts" in names:
        connection.execute(_APP_VIEWS)
    return connection


def _count_sources(ask: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Networks with listed sites that are independent of each other, and sites that only one of
    them lists: networks of one operator are one, and so are a network and those of the resolvers
    that gave it its false answers, where none of these is its own or unknown."""
    listed = ask.execute("SELECT domain, probe_asn, run_by, resolver_asns FROM listed").fetchall()
    joined = {asn: {asn} for _, asn, _, _ in listed}
    operators = dict(ask.execute("SELECT probe_asn, operator FROM networks").fetchall())
    ties: dict[str, set[str]] = {}
    for asn in joined:
        given = [(r or "").split(";") for _, one, _, r in listed if one == asn]
        through = {resolver for some in given for resolver in some}
        members = {asn} | (set() if through & {asn, ""} else through)
        ties[asn] = members | {
            f"operator {operators[one]}" for one in members if operators.get(one)
        }
    groups: list[set[str]] = []
    for its in ties.values():
        met = [group for group in groups if group & its]
        groups = [group for group in groups if not group & its] + [its.union(*met)]
    of = {asn: place for place, group in enumerate(groups) for asn in group if asn in ties}
    by_site: dict[str, set[int]] = {}
    for domain, asn, _, _ in listed:
        by_site.setdefault(domain, set()).add(of[asn])
    return {
        "independent_network_count": len(groups),
        "single_source_domain_count": sum(len(sources) == 1 for sources in by_site.values()),
    }


def compute(connection: duckdb.DuckDBPyConnection, key: str, of: str = "") -> Any:
    """Return what the tables give for a key; ``other_count`` is a total less those that are
    named."""
    if key == "other_count":
        total, row, named = of.split("|")
        return compute(connection, total, row) - int(named)
    if key in ("independent_network_count", "single_source_domain_count"):
        return _count_sources(connection)[key]
    query = MEANINGS[key][1]
    found = connection.execute(query, {"of": of} if "$of" in query else None).fetchall()
    return found[0][0] if found else None


def find_wrong_numbers(page: Tag, tables: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Yield a line for each marked number or day of a page that the tables do not give."""
    names = ("data-key", "data-of", "value", "datetime")
    marked = {tuple(str(one.get(name, "")) for name in names) for one in page.select("[data-key]")}
    for key, of, number, day in sorted(marked):
        if key.endswith("_share"):
            continue  # shares of simulated countries have bounds, and a test of their own
        if key not in (*MEANINGS, "other_count"):
            yield f"{key}: no query"
        elif str(counted := compute(tables, key, of)) != (number or day):
            meaning = MEANINGS[key][0] if key in MEANINGS else f"others of {of}"
            yield f"{key} ({meaning}; {of}): {number or day} on the page, {counted} by the tables"


#: What holds numbers that are no sentence's: rows, figures, code, labels, names, the words of the
#: publisher and of meetings, checksums, and the lists of files and pages.
_ASIDE = (
    "[data-key], table, svg, code, .name, bdi, a, .publisher, .files, .pages, .provenance,"
    " li:has(> .number),"
    " .decision, summary, nav, script, style"
)
#: Numbers of the method, days of known events, and other pages.
_CONSTANTS = re.compile(
    r"\b(\d+ days|one in 10\b|12 or more|in 6 to 11|95 %|1 in 1,000|page \d|from 12\b|from 6\b"
    r"|draft of [\w ]+ to [\w ]+"
    r"|\d+ [A-Z][a-z]+ 20\d\d, the date of a known event|1 is the most)",
    re.IGNORECASE,
)


def find_unmarked_numbers(page: Tag) -> Iterator[str]:
    """Yield each sentence of an English page with a number that nobody can compute, because it is
    not marked."""
    main = BeautifulSoup(str(page.main), "html.parser")
    for one in main.select(_ASIDE):
        one.decompose()
    for one in main.select("p, li, h1, h2, h3, dd, figcaption"):
        text = " ".join(one.get_text(" ").split())
        if re.search(r"\d", _CONSTANTS.sub("", text)):
            yield f"not marked: {text[:200]}"


def find_false_sentences(report: Path) -> Iterator[str]:
    """Yield a line for each number on a page of a report that its tables do not give, and for each
    one that is not marked on the first page and in the annex."""
    tables = open_tables(report / "tables")
    for path in sorted([*report.glob("*.html"), *report.glob("km/*.html")]):
        page = BeautifulSoup(path.read_bytes(), "html.parser")
        lines = list(find_wrong_numbers(page, tables))
        if path.parent == report and path.name in ("index.html", "4-blocked-sites.html"):
            lines += find_unmarked_numbers(page)
        for line in lines:
            yield f"{path.relative_to(report)}: {line}"
