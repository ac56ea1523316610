"""The headings of columns, on pages and in sheets, and the glossary of the first page.

A column has one name in every table, and one heading. A page can give another heading for
its own table. The glossary explains each word in one or two plain sentences. Its terms are OONI's,
except *session*, *pair*, *listed*, *tested enough*, *trace*, *chance* and *forged sessions*.
"""

from analysis.vocabulary import METHODS

HEADINGS: dict[str, str] = {
    **METHODS,
    "address": "Address",
    "all_measurement_count": "Measurements on all networks",
    "all_session_count": "Sessions on all networks",
    "anomaly_count": "Anomalies",
    "anomaly_share": "Anomalies, share",
    "blocked_count": "Blocked measurements",
    "blocked_domain_count": "Blocked or likely blocked sites",
    "blocked_from": "Blocked from",
    "blocked_from_time": "Blocked from, UTC",
    "blocked_local_domain_count": "Of these, sites of the country",
    "blocked_pair_count": "Listed pairs",
    "blocked_session_count": "Sessions that failed as if blocked",
    "blocked_share": "Blocked share of sessions",
    "blocked_share_high": "Upper 95 % bound",
    "blocked_share_low": "Lower 95 % bound",
    "blocked_until": "Blocked until",
    "blocked_until_time": "Blocked until, UTC",
    "category": "Category",
    "category_code": "Category code",
    "cause": "Cause",
    "chance": "Chance",
    "change": "Change",
    "claim_id": "Statement",
    "confirmed_count": "Confirmed",
    "confirmed_share": "Confirmed, share",
    "count": "Count",
    "day_count": "Days",
    "date": "Day",
    "decision": "Decision",
    "dead_name_count": "Names that do not exist",
    "dead_session_count": "Sessions on names that do not exist",
    "domain": "Site",
    "domain_count": "Sites tested",
    "tested_enough_count": "Sites tested enough",
    "domains": "Sites",
    "down_count": "Measurements with the site down",
    "down_session_count": "Sessions with the site down",
    "elsewhere_anomaly_share": "Anomalies elsewhere",
    "event": "Event",
    "event_kind": "Kind of event",
    "extra_count": "Listed by the other method only",
    "failing_name_count": "Sites that failed",
    "failure_kind": "What fails",
    "failure_count": "Failed measurements",
    "failure_share": "Failed, share",
    "first_matched_state": "State, first half",
    "first_measurement_count": "Measurements, first half",
    "flagged_count": "Flagged by OONI as anomalous or confirmed",
    "first_seen_open_again": "First seen open again",
    "first_seen_open_again_time": "First seen open again, UTC",
    "first_state": "First half",
    "gained": "Gained sites",
    "gained_count": "Sites gained",
    "given_session_count": "Sessions that got it",
    "here_count": "Here",
    "input": "Address tested",
    "insufficient_reason": "Why no conclusion",
    "is_artefact": "Leaves a trace",
    "is_blockpage": "Counts as a block page",
    "is_interrupted": "Reached between two blocks",
    "is_in_control": "Given to a control",
    "is_local": "Site of the country",
    "is_local_filter": "A user's own filter",
    "is_proven": "Seen to serve sites",
    "is_public": "Given by public resolvers",
    "is_standing": "Published",
    "is_used": "In use",
    "item": "Finding or site",
    "key": "File",
    "kind": "Kind of network",
    "kind_source": "How the kind is known",
    "lacking_count": "Listed by this method only",
    "last_seen_blocked": "Last seen blocked",
    "last_seen_open": "Last seen open",
    "last_seen_open_time": "Last seen open, UTC",
    "line_count": "Lines",
    "live_name_count": "Names that exist, with it on any network",
    "local_schedule": "Hours, local time",
    "live_session_count": "Sessions on names that exist",
    "longest_gap_days": "Longest gap, days",
    "lost": "Lost sites",
    "lost_count": "Sites lost",
    "mark": "Mark",
    "matched_networks": "Networks compared",
    "measurement_count": "Measurements",
    "mechanism": "Method of blocking",
    "mechanisms": "Methods of blocking",
    "method": "Method",
    "month": "Month",
    "own_live_name_count": "Names that exist",
    "name_count": "Names",
    "network": "Network",
    "network_count": "Networks",
    "networks": "Networks",
    "note": "Note",
    "ok_count": "Reachable measurements",
    "ok_session_count": "Reachable sessions",
    "ok_share": "Reachable, share",
    "ooni_count": "At OONI",
    "open_parts": "Parts that are open",
    "open_session_count": "Sessions that did not",
    "operator": "Operator",
    "operator_count": "Operators",
    "part": "Part",
    "parts": "Parts cut off",
    "pair_count": "Pairs",
    "period": "Period",
    "probe_asn": "ASN",
    "probe_asns": "ASNs",
    "published_rule_id": "Rule, published",
    "published_state": "Published",
    "quarter": "Quarter from",
    "rank": "Rank",
    "reached_elsewhere_count": "Names reached elsewhere",
    "reason": "Reason",
    "registrable_domain": "Registered name",
    "resolver_asn": "Network of the resolver",
    "resolver_asns": "Networks of the resolvers",
    "role": "Raised by",
    "rule_id": "Rule",
    "schedule": "Hours of the week, UTC",
    "second_matched_state": "State, second half",
    "second_measurement_count": "Measurements, second half",
    "second_state": "Second half",
    "session_count": "Sessions",
    "sessions_to_flip": "Forged sessions needed, at least",
    "set_aside_reason": "Set aside because",
    "shared_count": "Listed by both",
    "showing_share": "Share of networks that show it",
    "since": "Since",
    "site_count": "Sites",
    "software": "Version of the probe",
    "source_url": "Source",
    "state": "State",
    "test": "App or tool",
    "test_name": "Test",
    "typical_share": "Share in a typical other country",
    "status": "Status",
    "threshold": "Threshold",
    "unknown_count": "Measurements without a conclusion",
    "until": "Until (not included)",
    "value": "Value",
    "why": "Why",
    "witness_input": "Example measurement, address tested",
    "witness_report_id": "Example measurement, report",
    "witness_url": "Example measurement",
    "countries_url": "Elsewhere",
}


def heading(column: str) -> str:
    """The words for a column; a column not in the vocabulary reads as its own name."""
    return HEADINGS.get(column) or column.replace("_", " ").strip().capitalize() or column


#: Word → what it means, in the order in which a reader meets them.
#: File of a page → its words in the menu; all others stand under *Methods*.
MENU = {
    "index.html": "Summary",
    "sites/index.html": "Find a site",
    "4-blocked-sites.html": "Annex",
    "3-semester-comparison.html": "What changed",
    "8-messaging-circumvention.html": "Apps",
}

GLOSSARY: dict[str, str] = {
    "OONI": (
        "The Open Observatory of Network Interference. Volunteers run its app, the probe; it "
        "publishes every measurement."
    ),
    "Measurement": "One test of one web address (URL) by one probe at one time.",
    "Session": (
        "One run of a probe, known by its report number. Evidence is counted in sessions, because "
        "one run can make hundreds of measurements. Sessions are not people."
    ),
    "Kind of probe": (
        "One platform, such as Android, or one version of the probe, or all versions up to a "
        "certain one."
    ),
    "Network": (
        "An autonomous system (AS), the unit in which the internet is run. One operator may run "
        "several."
    ),
    "Access network": (
        "A network through which people in the country use the internet: fixed-line, mobile, "
        "education or unknown. VPNs, hosting companies and networks abroad are not access networks."
    ),
    "Pair": (
        "One site on one network. A site that is blocked on five networks is five listed pairs."
    ),
    "Listed": (
        "Blocked or likely blocked on at least one access network. The list is in the annex."
    ),
    "Tested enough": (
        "A pair with enough sessions on enough days (page 2 has both numbers), whether or not the "
        "tests agree."
    ),
    "Valid test": (
        "A test that reached the site, or failed as a test of a blocked site does. For tests "
        "through another network's resolver, the annex says which are valid."
    ),
    "Trace of blocking": (
        "A block page, a sinkhole or an impossible address. Faults of lines and servers do not "
        "leave these; a filter at home may."
    ),
    "Anomaly": (
        "OONI's flag that something differed from what its control saw. It is a hint, not a "
        "finding: many anomalies are not blocking."
    ),
    "Fingerprint": "A text or an address by which a known block page is recognised.",
    "Test list": "A public list of web addresses for OONI's probes to test.",
    "Endpoint": "A server or an address that the test of an app tries to reach.",
    "Bridge": "An entry to the Tor network that is not on its public list, such as Snowflake.",
    "Confirmed": "OONI's flag for a known block page or a known blocking address.",
    "Control": "The same test made at the same time from a network without censorship.",
    "Resolver": "The server, mostly the operator's, that looks up the address of a name (DNS).",
    "Sinkhole": (
        "A false address that a DNS resolver gives for three or more unrelated names. No site can "
        "be reached there."
    ),
    "Blocked share": (
        "The share of sessions that failed as if blocked, among these and those that reached the "
        "site, with its 95 % confidence bounds."
    ),
    "Chance": (
        "If nothing were blocked, at most this share of pairs would fail like this by accident. "
        "Smaller chances than 1 in 1,000 are given as 1 in 1,000."
    ),
    "Forged sessions needed": (
        "At least this number of forged sessions about the pair would be needed to change its "
        "verdict. Forged sessions about other pairs can change it too, but rarely (page 6 counts "
        "it)."
    ),
    "Annex": (
        "The list of sites that were blocked or likely blocked on at least one access network."
    ),
}
