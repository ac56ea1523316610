"""The reference data that the fictional country comes with: lists, fingerprints, events."""

from datetime import date, timedelta
from pathlib import Path

from analysis.worlds.censorship import GATEWAY, Censorship
from analysis.worlds.names import Site
from analysis.worlds.operators import Network
from analysis.worlds.truth import write_csv

_LIST_HEADER = ("url", "category_code", "category_description", "date_added", "source", "notes")
_FINGERPRINT_HEADER = (
    "name", "scope", "other_names", "location_found", "pattern_type", "pattern",
    "confidence_no_fp", "expected_countries", "source", "exp_url", "notes",
)  # fmt: skip
_SOURCE = "fictional"

_DESCRIPTIONS = {
    "NEWS": "News Media", "POLR": "Political Criticism", "HUMR": "Human Rights Issues",
    "GMB": "Gambling", "PORN": "Pornography", "ANON": "Anonymization and circumvention tools",
    "GRP": "Social Networking", "COMT": "Communication Tools", "MMED": "Media sharing",
    "CULTR": "Culture", "GOVT": "Government", "COMM": "E-commerce", "ENV": "Environment",
    "LGBT": "LGBT", "REL": "Religion", "HOST": "Hosting and Blogging Platforms",
    "SRCH": "Search Engines", "MISC": "Miscellaneous content",
}  # fmt: skip


def write_test_lists(folder: Path, probe_cc: str, sites: list[Site], since: date) -> None:
    """``<cc>.csv`` and ``global.csv`` in the shape of Citizen Lab's lists, and as neat as those:
    a name is typed wrongly, some stand twice, one has never been tested. ``since`` is the first
    day of the period."""
    local = _list_carelessly(sites)
    world: list[tuple[str, ...]] = []
    for index, site in enumerate(sites):
        url = site.inputs[0]
        added = str(since + timedelta(days=site.tested_from)) if site.tested_from else "2022-03-01"
        row = (url, site.category, _DESCRIPTIONS[site.category], added, _SOURCE, "")
        (local if site.is_local else world).append(row)
        if site.is_local and index % 9 == 0:
            # On both lists, and the world's list files it elsewhere.
            other = (url, "MISC", _DESCRIPTIONS["MISC"], "2021-06-01", _SOURCE, "")
            world.append(other)
    write_csv(folder / f"{probe_cc.lower()}.csv", _LIST_HEADER, sorted(local))
    write_csv(folder / "global.csv", _LIST_HEADER, sorted(world))


def _list_carelessly(sites: list[Site]) -> list[tuple[str, ...]]:
    """Lines that a country's list should not have, or have otherwise."""
    own = [site for site in sites if site.is_local and len(site.host) > 14][:4]
    wrong = [
        _line(f"http://{site.host[0]}{site.host[2]}{site.host[1]}{site.host[3:]}/", site)
        for site in own[:1]
    ]
    twice = [_line(site.inputs[0].replace(site.host, site.host.title()), site) for site in own[1:2]]
    twins = [_line(f"http://www.{site.host}/", site) for site in own[2:3] if "www" not in site.host]
    untested = [_line(f"https://archive.{site.host}/", site) for site in own[3:4]]
    return [*wrong, *twice, *twins, *untested]


def _line(url: str, site: Site) -> tuple[str, ...]:
    return (url, site.category, _DESCRIPTIONS[site.category], "2023-02-01", _SOURCE, "")


def write_networks(path: Path, networks: list[Network]) -> None:
    """The networks with their operators and kinds."""
    rows = [(n.asn, n.name, n.operator, n.kind, _SOURCE) for n in networks]
    write_csv(path, ("asn", "network", "operator", "kind", "source"), rows)


def write_fingerprints(folder: Path, probe_cc: str, censorship: Censorship) -> None:
    """What observers know of the country's blocking: some of it, and not all of it right."""
    machines = censorship.machines
    dns = [
        ("nat", machines.page_sinkhole, "address with a notice"),
        ("isp", machines.substitution, "seen for many names"),
        ("isp", machines.home_filters[0], "seen on one network"),
    ]
    rows = [
        _fingerprint(probe_cc, index, scope, "dns", "full", pattern, note)
        for index, (scope, pattern, note) in enumerate(dns)
        if pattern
    ]
    elsewhere = _fingerprint("AA", 0, "nat", "dns", "full", "192.0.2.255", "another country")
    write_csv(folder / "fingerprints_dns.csv", _FINGERPRINT_HEADER, [elsewhere, *rows])
    pages = [
        _fingerprint("AA", 0, "nat", "body", "contains", "Blocked by the ministry", ""),
        _fingerprint(probe_cc, 0, "nat", "body", "contains", machines.notice, "legal notice"),
        _fingerprint(probe_cc, 1, "isp", "header.server", "prefix", GATEWAY.partition("/")[0], ""),
    ]
    write_csv(folder / "fingerprints_http.csv", _FINGERPRINT_HEADER, pages)


def _fingerprint(
    cc: str, index: int, scope: str, where: str, kind: str, pattern: str, note: str
) -> tuple[str, ...]:
    name = f"fictional.{cc.lower()}_{where.split('.')[0]}_{index}"
    return (name, scope, "", where, kind, pattern, "5", cc, _SOURCE, "", note)


def write_events(path: Path, law: date, order: date, election: date) -> None:
    """Invented events that a report draws beside its intervals of blocking."""
    events = [
        (law, "Law on electronic communications takes effect", "law"),
        (order, "Regulator orders all networks to close a list of sites", "order"),
        (election, "Local elections", "election"),
    ]
    lines = ["# Invented: the country, its law and its elections do not exist.", "events:"]
    for day, title, kind in events:
        lines += [
            f'  - date: "{day}"',
            f"    title: {title}",
            f"    kind: {kind}",
            "    source: invented",
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
