"""The headings of columns, on pages and in sheets, and the glossary of the first page.

A column has one name in every table, and one heading. A page can give another heading for
its own table. The glossary explains each word in one or two plain sentences. Its terms are OONI's,
except *session*, *pair*, *listed*, *tested enough*, *trace*, *chance* and *forged sessions*.
"""

from analysis import columns
from analysis.vocabulary import METHODS

#: Column → its heading, if that differs from the words of its name.
HEADINGS: dict[str, str] = METHODS | {
    name: column.heading for name, column in columns.COLUMNS.items() if column.heading
}


def heading(column: str) -> str:
    """Return the heading of a column; without a declared one, the words of its name."""
    return HEADINGS.get(column) or column.replace("_", " ").strip().capitalize() or column


#: File of a page → its words in the menu; all other pages are listed under *Methods*.
MENU = {
    "index.html": "Summary",
    "sites/index.html": "Find a site",
    "4-blocked-sites.html": "Annex",
    "3-semester-comparison.html": "What changed",
    "8-messaging-circumvention.html": "Apps",
}

#: Term → its meaning, in the order in which a reader meets the terms.
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
        " Nor is a network that is in no list and was tested on fewer than three days."
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
        "A block page, a sinkhole or an impossible address that only a network can have sent. The "
        "user's own device as an address (loopback) is none: filters at home answer by it too."
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
