"""The words that a reader of the first page may not know.

Each is said in one or two plain sentences, without another word that would need one. Terms are
those of OONI; what is this report's own is *session*, *pair*, *chance* and *sessions to flip*.
"""

#: Word → what it means, in the order in which a reader meets them.
GLOSSARY: dict[str, str] = {
    "Measurement": "One test of one address by one probe at one time.",
    "Session": (
        "One run of a probe, told apart by its report; the best stand-in for an independent "
        "witness."
    ),
    "Network": (
        "An autonomous system (AS), the unit in which the internet is run. One operator may run "
        "several."
    ),
    "Access network": (
        "A network by which people in the country get the internet: fixed-line, mobile, "
        "education or unknown. A VPN, a hosting company or a network abroad is none."
    ),
    "Pair": (
        "A site on a network. One site that is blocked on five networks is five listed pairs."
    ),
    "Anomaly": (
        "OONI's flag that something differed from what its control saw. It is a hint, not a "
        "finding: many anomalies are not blocking."
    ),
    "Confirmed": "OONI's flag for a known block page or a known blocking address.",
    "Control": "The same test made at the same time from a network without censorship.",
    "Sinkhole": (
        "An address at which answers for blocked names end: many unrelated names are sent there, "
        "and none of them is reached."
    ),
    "Blocked share": (
        "Blocked sessions among those that were either blocked or reachable, with bounds that "
        "hold it with 95 % probability."
    ),
    "Chance": (
        "At most this share of pairs would look as blocked as this one if the failures were "
        "accidents such as others meet here. Nothing below 1 in 1,000 is given."
    ),
    "Sessions to flip": "It would take at least so many forged sessions to change the state.",
    "Witness": "A measurement that anyone can look up and that shows what is claimed.",
    "Annex": (
        "The list of sites found blocked or likely blocked on at least one domestic network."
    ),
}
