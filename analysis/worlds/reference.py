"""The reference data that the fictional country comes with: lists, fingerprints, events."""

from datetime import date, timedelta
from pathlib import Path

from analysis.worlds.censorship import GATEWAY, Machines
from analysis.worlds.country import Site
from analysis.worlds.truth import write_csv
from analysis.worlds.world import World

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


def write_reference(folder: Path, world: World) -> None:
    """All of it: test lists, networks, fingerprints and events."""
    _write_test_lists(folder / "test-lists", world.probe_cc, world.sites, world.period.since)
    rows = [(n.asn, n.name, n.operator, n.kind, _SOURCE) for n in world.networks]
    write_csv(folder / "networks.csv", ("asn", "network", "operator", "kind", "source"), rows)
    _write_fingerprints(folder / "fingerprints", world.probe_cc, world.censorship.machines)
    span, order = world.period.day_count, world.censorship.order_day
    days = [world.date_of(day) for day in (span // 8, order, int(span * 0.7))]
    write_events(folder / "events.yml", *days)


def _write_test_lists(folder: Path, probe_cc: str, sites: list[Site], since: date) -> None:
    """``<cc>.csv`` and ``global.csv`` in the shape of Citizen Lab's lists, and as neat as those:
    a name is typed wrongly, some stand twice, one has never been tested. ``since`` is the first
    day of the period."""
    local = _list_carelessly(sites)
    world: list[tuple[str, ...]] = []
    for index, site in enumerate(sites):
        added = str(since + timedelta(days=site.tested_from)) if site.tested_from else "2022-03-01"
        (local if site.is_local else world).append(_line(site.inputs[0], site.category, added))
        if site.is_local and index % 9 == 0:
            # On both lists, and the world's list files it elsewhere.
            world.append(_line(site.inputs[0], "MISC", "2021-06-01"))
    write_csv(folder / f"{probe_cc.lower()}.csv", _LIST_HEADER, sorted(local))
    write_csv(folder / "global.csv", _LIST_HEADER, sorted(world))


def _list_carelessly(sites: list[Site]) -> list[tuple[str, ...]]:
    """Lines that a country's list should not have, or have otherwise."""
    wrong, twice, twin, untested = [s for s in sites if s.is_local and len(s.host) > 14][:4]
    host = wrong.host
    urls = {
        f"http://{host[0]}{host[2]}{host[1]}{host[3:]}/": wrong,
        twice.inputs[0].replace(twice.host, twice.host.title()): twice,
        f"https://archive.{untested.host}/": untested,
    }
    if "www" not in twin.host:
        urls[f"http://www.{twin.host}/"] = twin
    return [_line(url, site.category, "2023-02-01") for url, site in urls.items()]


def _line(url: str, category: str, added: str) -> tuple[str, ...]:
    return (url, category, _DESCRIPTIONS[category], added, _SOURCE, "")


def _write_fingerprints(folder: Path, probe_cc: str, machines: Machines) -> None:
    """What observers know of the country's blocking: some of it, and not all of it right."""
    dns = [
        _fingerprint("AA", 0, "nat", "dns", "full", "192.0.2.255", "another country"),
        _fingerprint(probe_cc, 0, "nat", "dns", "full", machines.page_sinkhole,
                     "address with a notice"),
        _fingerprint(probe_cc, 1, "isp", "dns", "full", machines.substitution,
                     "seen for many names"),
        _fingerprint(probe_cc, 2, "isp", "dns", "full", machines.home_filters[0],
                     "seen on one network"),
    ]  # fmt: skip
    pages = [
        _fingerprint("AA", 0, "nat", "body", "contains", "Blocked by the ministry", ""),
        _fingerprint(probe_cc, 0, "nat", "body", "contains", machines.notice, "legal notice"),
        _fingerprint(probe_cc, 1, "isp", "header.server", "prefix", GATEWAY.partition("/")[0], ""),
    ]
    known = [row for row in dns if row[5]]  # smaller worlds lack some of the machines
    write_csv(folder / "fingerprints_dns.csv", _FINGERPRINT_HEADER, known)
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
