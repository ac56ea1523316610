"""Which addresses may be handed to volunteers: those of known sites, and nothing that can hurt.

What stands in an archive may have been put there by anybody. An address in a plan is opened by
people's phones, so that it comes from a test list, or is made here of the name of a listed site.
"""

import re
from urllib.parse import urlsplit

import pandas as pd

from analysis.hosts import canonical, normalise, special_kind
from analysis.reference.test_lists import ListEntry, TestLists
from analysis.report.halves import listed_domestic

#: Characters of an address; the longest of Citizen Lab's lists has 155.
LONGEST = 500
#: ASCII that a URL may hold (RFC 3986): no space, quote, angle bracket, backslash or control.
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]!$&'()*+,;=%-]+", re.ASCII | re.IGNORECASE)
#: Names that lead into somebody's own network, or nowhere.
_NOT_PUBLIC = frozenset(
    {"local", "localhost", "internal", "intranet", "lan", "home", "corp", "arpa", "onion", "alt"}
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORTS = (None, 80, 443)


def is_safe(url: str) -> bool:
    """Whether an address may stand in a plan.

    Plain http or https of a public name, without user and password, on the usual ports, not long.
    """
    if len(url) > LONGEST or not _URL.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = normalise(url)
    if "@" in parts.netloc or port not in _PORTS or not is_public(host):
        return False
    # read in two ways by two programs, it may lead to two places
    return (parts.hostname or "").rstrip(".").lower() == host


def is_public(host: str) -> bool:
    """Whether a normalised host name is one that a public site can have."""
    if not host or special_kind(host) is not None:
        return False
    last = host.rpartition(".")[2]
    # browsers take 0x7f.1 for 127.0.0.1
    return canonical(host) is not None or not (last in _NOT_PUBLIC or _NUMBER.fullmatch(last))


def choose_sites(lists: TestLists, verdicts: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """One row per site that may be tested: those of the test lists, and those that are listed.

    Of several lines the country's own come first, then https, then the shortest. A listed site that
    is on no test list is tested by its front page.

    Args:
        lists: the study's test lists.
        verdicts, networks: the contract's tables.

    Returns:
        ``domain, url, category_code``, by name; sites without a safe address are left out.
    """
    chosen: dict[str, str] = {}
    for entry in sorted(lists.entries, key=_preference):
        if is_safe(entry.url):
            chosen.setdefault(entry.domain, entry.url)
    for site in sorted(set(listed_domestic(verdicts, networks)["domain"])):
        if is_safe(f"https://{site}/"):
            chosen.setdefault(site, f"https://{site}/")
    rows = [(site, url, lists.category_of(site)[0]) for site, url in sorted(chosen.items())]
    return pd.DataFrame(rows, columns=["domain", "url", "category_code"], dtype="str")


def _preference(entry: ListEntry) -> tuple[bool, bool, int, str]:
    is_plain = not entry.url.lower().startswith("https:")
    return entry.role != "country", is_plain, len(entry.url), entry.url
