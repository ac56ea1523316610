"""The words, marks and colours of codes, the same on pages, in figures and in spreadsheets.

Data only. Codes of the contract (states, mechanisms, reasons) get their words only here, so that a
page, a figure and a spreadsheet cannot contradict each other.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """The words and look of one state. It is always shown with its mark, never by colour alone."""

    words: str
    colour: str  # contrast against white is 4.2 or more; empty: nothing is drawn
    mark: str  # one character, for text
    shape: str  # the same mark as SVG in a box of 10 × 10; fonts draw the character unevenly
    meaning: str  # one sentence for the legend


_DOTTED = (
    '<circle cx="5" cy="5" r="3.6" fill="none" stroke="currentColor" stroke-width="1.3" '
    'stroke-dasharray="1.1 1.16"/>'
)
_DOTTED_RING = ("#767676", "◌", _DOTTED)

#: The strongest state first; "insufficient" and "" mean no conclusion.
STATES: dict[str, State] = {
    "blocked": State(
        "Blocked",
        "#8C1127",
        "■",
        '<path d="M1 1h8v8h-8z" fill="currentColor"/>',
        "Sessions could not reach the site and left a trace that only a network can leave, such as "
        "an answer at the operator's own address.",
    ),
    "likely_blocked": State(
        "Likely blocked",
        "#D0561B",
        "◧",
        '<path d="M1.5 1.5h7v7h-7z" fill="none" stroke="currentColor"/>'
        '<path d="M1 1h4v8h-4z" fill="currentColor"/>',
        "Sessions failed, although the site worked for the control. The faults that could be "
        "checked are unlikely to explain this, but there is no trace of blocking.",
    ),
    "impaired": State(
        "Not working, cause unclear",
        "#7A5AA6",
        "▲",
        '<path d="M5 1 9.6 9.2H.4z" fill="currentColor"/>',
        "Failures, or tests without a result, followed each other for some time, or were too many "
        "to call the site reachable. The measurements cannot tell blocking from a fault.",
    ),
    "unexplained": State(
        "Fails often, unexplained",
        "#96650A",
        "◆",
        '<path d="M5 .4 9.6 5 5 9.6.4 5z" fill="currentColor"/>',
        "Many sessions failed as if the site were blocked, for no reason that the method knows. "
        "They are not enough for the list.",
    ),
    "down": State(
        "Site down, not blocking",
        "#6E6E6E",
        "✕",
        '<path d="m1.5 1.5 7 7m0-7-7 7" fill="none" stroke="currentColor" stroke-width="1.7"/>',
        "Over some time enough tests failed, and at least half of them when the site did not work "
        "from an uncensored network either.",
    ),
    "ok": State(
        "Reachable",
        "#1F7A8C",
        "●",
        '<circle cx="5" cy="5" r="4.2" fill="currentColor"/>',
        "Enough sessions reached the site. Some may have failed: too few for the list, or with "
        "another explanation than blocking.",
    ),
    "insufficient": State(
        "No conclusion",
        *_DOTTED_RING,
        "Tested too rarely, or with tests that disagree. This is not evidence of access.",
    ),
    "": State("Not tested", "", "", "", "No measurement in the period."),
}

#: Reasons for no conclusion, each shown as a state of its own.
INSUFFICIENT: dict[str, State] = {
    "few_sessions": State(
        "Not enough tests: too few sessions",
        *_DOTTED_RING,
        "There are not enough sessions with a usable result. This is not evidence of access.",
    ),
    "few_days": State(
        "Not enough tests: too few days",
        *_DOTTED_RING,
        "Tested on too few days: a short fault would look the same.",
    ),
    "mixed": State(
        "Tests that disagree",
        "#767676",
        "◍",
        f'{_DOTTED}<circle cx="5" cy="5" r="1.5" fill="currentColor"/>',
        "Tested enough, but some tests reached the site, and others failed or gave no result. "
        "There were too few failures for the list. There were too few tests that reached the site, "
        "or too many with a trace of blocking, to call it reachable. This is not evidence of "
        "access.",
    ),
}

#: States in a matrix; ``insufficient:mixed`` if the reason is known.
MATRIX_STATES = STATES | {f"insufficient:{why}": state for why, state in INSUFFICIENT.items()}

#: The states that put a site on the list.
LISTED = ("blocked", "likely_blocked")

MECHANISMS: dict[str, str] = {
    "dns.sinkhole": "DNS: sinkhole address",
    "dns.blockpage": "DNS: address of a block page",
    "dns.loopback": "DNS: loopback address",
    "dns.bogon": "DNS: impossible address",
    "dns.nxdomain": "DNS: “no such name”",
    "dns.timeout": "DNS: no answer",
    "dns.other": "DNS: other",
    "tcp.reset": "TCP: reset",
    "tcp.refused": "TCP: refused",
    "tcp.timeout": "TCP: no answer",
    "tls.reset": "TLS: reset",
    "tls.timeout": "TLS: no answer",
    "tls.mitm": "TLS: false certificate",
    "http.blockpage": "HTTP: block page or other page",
    "http.reset": "HTTP: reset",
    "http.timeout": "HTTP: no answer",
    "http.diff": "HTTP: other content",
    "dns.failed": "DNS: failed",
    "tcp.failed": "TCP: failed",
    "tcp.unreachable": "TCP: unreachable",
    "tls.failed": "TLS: failed",
    "tls.refused": "TLS: refused",
    "http.failed": "HTTP: failed",
    "tunnel.timeout": "Tunnel: not set up in time",
    "tunnel.reset": "Tunnel: cut off",
    "tunnel.failed": "Tunnel: not set up",
}

#: Parts of the tests of apps and tools; ``counts`` are OONI's counts of a whole country.
TEST_PARTS: dict[str, str] = {
    "app": "The app's own servers",
    "web": "Web page",
    "registration": "Registration",
    "relays": "Relays",
    "bridges": "Bridges",
    "tunnel": "Tunnel",
    "counts": "OONI's counts",
}

#: Methods that decide whether a site is blocked, in the order of their columns.
METHODS: dict[str, str] = {
    "this_method": "This method",
    "imap_all": "iMAP 2024 (all accepted)",
    "imap_none": "iMAP 2024 (none accepted)",
    "ooni_v5": "OONI pipeline v5",
    "ooni_confirmed": "OONI confirmed",
    "ooni_anomaly": "OONI anomalies",
    "own_baseline": "Own baseline",
}

CHANGES: dict[str, str] = {
    "newly_blocked": "Reachable, then listed",
    "still_blocked": "Listed in both halves",
    "no_longer_blocked": "Listed, then reachable",
    "mixed": "Networks differ",
    "not_comparable": "Cannot be compared",
}

#: Differences of a verdict from that of another run.
FLIPS: dict[str, str] = {
    "listed": "Now listed",
    "unlisted": "No longer listed",
    "restated": "Another state",
}

NETWORK_CHANGES: dict[str, str] = {
    "both": "Both halves",
    "only_first": "First half only",
    "only_second": "Second half only",
}

#: Changes of a pair of site and network since the last look, the most urgent first.
WATCH_CHANGES: dict[str, str] = {
    "newly_blocked": "Newly blocked",
    "blocked_again": "Blocked again",
    "suspicious": "Suspicious",
    "lifted": "Lifted",
    "seen_open": "Seen open again",
    "unlisted": "No longer listed",
    "cleared": "No longer suspicious",
}

#: The status of a pair at a look.
WATCH_STATUS: dict[str, str] = {
    "blocked": "Blocked",
    "unseen": "Blocked before, too few tests since",
    "suspicious": "Suspicious",
    "seen_open": "Seen open again",
    "lifted": "Lifted",
}

SET_ASIDE_REASONS: dict[str, str] = {
    "name_does_not_exist": "Failures while the name did not exist",
    "leftover_block": "Answered as if blocked, though the name does not exist",
    "nxdomain_substitution": "The resolver answers for names that do not exist",
    "local_filter": "Failures through another network’s resolver",
    "geo_restricted": "The site seems to refuse the country",
    "down": "Failures that the control had too",
    "impaired": "Not working, cause unclear",
    "unexplained": "Fails often, unexplained",
    "insufficient": "Not enough tests where it failed",
    "instrument": "Failures of one kind of probe",
    "broken_session": "Failures in sessions in which most sites failed",
    "not_domestic": "Blocked or likely blocked, but on no access network",
    "anomaly_unexplained": "Only scattered failures, single traces, or flags by OONI",
}

#: Reasons of sites whose name does not exist: there is nothing to test.
DEAD_NAME_REASONS = ("name_does_not_exist", "leftover_block")

#: Kinds of failures; sessions of two kinds are not evidence of one block.
FAILURE_KINDS: dict[str, str] = {
    "mark": "A trace of blocking",
    "dns_sent": "Lookup: a false answer or a refusal",
    "dns_silent": "Lookup: no answer",
    "tcp_sent": "Connection: reset or refused",
    "tcp_silent": "Connection: no answer",
    "name_sent": "Handshake or request that names the site: cut off, or answered falsely",
    "name_silent": "Handshake or request that names the site: no answer",
}

LEDGER_REASONS: dict[str, str] = {
    "truncated_file": "Unreadable rest of a file",
    "not_json": "Not JSON",
    "invalid": "Not a valid measurement",
    "other_test": "Another test",
    "other_country": "Another country",
    "out_of_period": "Outside the period",
    "late": "Received more than two days after its time, or before it",
    "duplicate": "Same as an earlier line",
    "kept": "Kept",
    "left_out": "Not in the part of this report",
    "total": "All lines",
}

NETWORK_KINDS: dict[str, str] = {
    "isp": "Fixed-line provider",
    "mobile": "Mobile provider",
    "education": "Education or research",
    "hosting": "Hosting",
    "vpn": "VPN",
    "foreign": "Abroad",
    "few_days": "Tested on fewer than three days",
    "unknown": "Unknown",
}

#: Sources of the kind of a network.
KIND_SOURCES: dict[str, str] = {
    "list": "List",
    "name rule": "Rule on its name",
    "none": "Not known",
}

#: Kinds of events. The last is for events that fit no other kind.
EVENT_KINDS: dict[str, str] = {
    "order": "Order",
    "licence": "Licence",
    "law": "Law",
    "court": "Court ruling",
    "election": "Election",
    "protest": "Protest",
    "conflict": "Conflict",
    "outage": "Outage",
    "incident": "Published incident",
    "other": "Other",
}

FLAGS: dict[str, str] = {
    "all": "All",
    "ok": "Reachable",
    "anomaly": "Anomaly",
    "confirmed": "Confirmed",
    "failure": "Failed",
}

#: The result of checking a statement, the most important first.
AUDIT_RESULTS: dict[str, str] = {
    "does_not_hold": "Does not hold",
    "cannot_be_checked": "Cannot be checked",
    "holds": "Holds",
}

#: Causes of a difference between two reports.
CAUSES: dict[str, str] = {
    "data": "Data",
    "method": "Method",
    "reference": "Reference lists",
    "decision": "Decision",
}

#: Decisions of a meeting on a finding or a site; the last is for sites only.
DECISIONS: dict[str, str] = {
    "keep": "Keep",
    "reword": "Reword",
    "leave_out": "Leave out of the first page",
    "relabel": "Relabel",
    "withhold": "Withhold the name",
}

#: Status of a decision: it applies if it was made for the report's own period and method.
DECISION_STATUS: dict[str, str] = {
    "applied": "Applies to this report",
    "not_applied": "Not applied: made for another period or method",
}

#: Reasons to test a site on a network.
TEST_REASONS: dict[str, str] = {
    "suspected": "A block is suspected, but tests are too few",
    "listed_elsewhere": "The site is listed on another network, and tests here are too few, or "
    "none",
    "one_household": "Would be listed if another person, with another kind of device, saw it too",
    "mixed": "The tests disagree",
    "listed_and_stale": "Listed, but not tested for weeks",
    "stale": "Not tested for weeks",
    "never_tested": "Never tested on this network",
    "thin": "Too few tests",
}

#: Methods that are compared with labels, and the measures of the comparison.
CHECKED_METHODS: dict[str, str] = {
    "judge": "This workbook's judge",
    "flag": "OONI's flag",
    "pipeline": "OONI's pipeline",
}
CHECK_MEASURES: dict[str, str] = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
}

#: The judgement of a measurement beside its label (``make field-check``).
COMPARISONS: dict[str, str] = {
    "agrees": "Agrees",
    "differs": "Differs",
    "undecided": "Not decided by one measurement",
    "not_compared": "Not compared",
}

#: What a report of the days around an event says of a site and a network.
CASE_RESULTS: dict[str, str] = {
    "listed_from_that_day": "Listed from that day",
    "listed_earlier": "Listed from an earlier day",
    "listed_later": "Listed from a later day",
    "changed_in_week": "A block begins or ends in the week",
    "listed_throughout": "Listed throughout the week",
    "not_listed": "Not listed",
    "not_enough_tests": "Not enough tests",
}

#: What analysts say of a measurement or a week.
ANALYSTS: dict[str, str] = {
    "blocked": "Blocked",
    "down": "Down",
    "ok": "OK",
    "unknown": "Unknown",
    "quiet_observed": "Quiet",
    "event_present": "A block begins or ends",
    "blocked_throughout": "Blocked throughout",
    "uncertain": "Uncertain",
}

#: The problem in a line of a test list.
LIST_PROBLEMS: dict[str, str] = {
    "dead_name": "The name does not exist",
    "site_down": "Judged as down, on every network with a conclusion",
    "look_alike": "Almost the same as another name",
    "duplicate": "Appears twice",
    "twin": "Same site as another line",
    "never_tested": "Never tested in the period",
    "other_category": "Another category on the general list",
}

#: Actions for such a line.
LIST_ACTIONS: dict[str, str] = {
    "remove": "Remove",
    "change": "Change",
    "check": "Check",
}

#: Codes of the validation's tables → words, by column.
VALIDATION: dict[str, dict[str, str]] = {
    "measure": {
        "recall of pairs": "Blocked pairs that are listed (recall)",
        "precision of pairs": "Listed pairs that are blocked (precision)",
        "recall of sites": "Blocked sites that are listed (recall)",
        "precision of sites": "Listed sites that are blocked (precision)",
        "recall by mechanism, 6 or more sessions": "Blocked pairs that are listed",
        "precision by mechanism": "Listed pairs that are blocked",
        "mechanism exact, by mechanism": "Listed pairs with the right method",
        "edge found": "Dates that are given",
        "edge inside bracket": "True date within the given interval",
        "edge inside bracket, 6 or more sessions": "The same, 6 or more sessions",
        "bracket as narrow as tests allow": "Interval as narrow as the tests allow",
        "claimed edge is true": "Given dates that are right",
        "claimed edge is true despite forged openness": "The same, with forged open tests",
        "bounds of the share hold it": "Bounds that contain the true share",
        "stretches listed that are true": "Listed periods that are right",
        "beginnings in bracket": "Beginnings within their interval",
        "bounds hold a share below 1": "The same, for shares below 100 %",
        "parts of which the fewer endpoints are cut off not listed": (
            "Blocks of a minority of endpoints, not listed"
        ),
    },
    "forger": {
        "of the world": "In the simulated country",
        "one short of the number": "One session fewer than the bound",
    },
    "claim": {
        "blocked": "The site is blocked",
        "open": "The site is open",
        "control_alive": "The control reaches a dead site",
        "control_dead": "The control does not reach the site",
    },
    "coverage": {"thin": "few tests", "middle": "some tests", "rich": "many tests"},
}

PERIODS: dict[str, str] = {"all": "Whole period", "first": "First half", "second": "Second half"}

#: Column → code → words. A code that is not listed is shown as it is.
VALUES: dict[str, dict[str, str]] = {
    **VALIDATION,
    "mechanism": MECHANISMS,
    "mechanisms": MECHANISMS,
    "kind": NETWORK_KINDS,
    "kind_source": KIND_SOURCES,
    "event_kind": EVENT_KINDS,
    "comparison": COMPARISONS,
    "label": ANALYSTS,
    "result": AUDIT_RESULTS | CASE_RESULTS,
    "cause": CAUSES,
    "decision": DECISIONS,
    "flag": FLAGS,
    "period": PERIODS,
    "part": TEST_PARTS,
    "parts": TEST_PARTS,
    "open_parts": TEST_PARTS,
    "set_aside_reason": SET_ASIDE_REASONS,
    "insufficient_reason": {code: state.words for code, state in INSUFFICIENT.items()},
    "failure_kind": FAILURE_KINDS,
    "stratum": MECHANISMS | {"onset": "beginning", "ending": "end"},
    "test_reason": TEST_REASONS,
    "problem": LIST_PROBLEMS,
    "action": LIST_ACTIONS,
    # several tables use these columns; their codes do not clash
    "change": NETWORK_CHANGES | FLIPS | WATCH_CHANGES,
    "reason": SET_ASIDE_REASONS | LEDGER_REASONS,
    "status": DECISION_STATUS | WATCH_STATUS,
}


def value_words(column: str, code: str) -> str:
    """Return the words for a code in a column, or the code itself."""
    if column == "reason" and code.startswith("invalid:"):
        return f"Not valid: {code.removeprefix('invalid:').replace('_', ' ')}"
    return VALUES.get(column, {}).get(code, code)


#: The smallest chance that is given: rates learnt from the same data cannot support a smaller one.
LEAST_CHANCE = 0.001

#: Strength of the evidence of a listed pair.
CERTAINTY: dict[str, str] = {
    "very_strong": "very strong",
    "strong": "strong",
    "fair": "fair",
    "thin": "thin",
}
#: The least number of blocked sessions for each strength. Page 6 has the same groups, and the share
#: of listed pairs in each that are right.
CERTAINTY_FROM: dict[str, int] = {"very_strong": 12, "strong": 6, "fair": 0}


#: Key of ``data/publisher/<cc>.yml`` → its label, in the order of the box on the first page.
PUBLISHER = {
    "publisher": "Published by",
    "contact": "Contact",
    "object_to": "Objections to",
    "object_until": "Objections until",
    "published": "Date of publication",
    "next_report": "Next report",
    "licence": "Licence",
    "citation": "How to cite",
    "funder": "Funded by",
}
