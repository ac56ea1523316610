"""The truth of a world, for the comparison with verdicts; and the reference data of its country.

Totals are counted while the archive is written. In every table ``since`` is the first day and
``until`` the day after the last; either is empty if a state reaches past the period.

* ``blocks.csv``: one row per block (a name on a network over one stretch of days); ``since_time``
  and ``until_time`` are the exact times, ``schedule`` the hours of the week to which it is limited;
  ``session_count`` and ``day_count`` count the tests of the name during the block, and
  ``sound_session_count`` the sessions without other faults; ``share`` is the share of sessions that
  are affected. A name that one network's resolver blocks on others has a row for each.
* ``names.csv``: one row per name; ``since`` and ``until`` are those of an outage or death, and
  ``authority`` is the signer of its certificate (outdated probes do not know the second).
* ``networks.csv``: one row per network, with its role.
* ``forgeries.csv``: one row per name in a forged report: the claim (``blocked``, ``open``, or by a
  false control ``control_dead`` and ``control_alive``), and the kind of forgery.
* ``tests.csv``: one row per name, network, day and hour in which the name was tested there.
* ``ledger.csv``: the lines of the archive by reason.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import ceil
from pathlib import Path

from analysis.hosts import normalise
from analysis.worlds.censorship import GATEWAY, Block, Machines
from analysis.worlds.country import Json, Network, Site
from analysis.worlds.forgery import Forgery
from analysis.worlds.session import Session
from analysis.worlds.world import World

_LEDGER_REASONS = (
    "truncated_file",
    "not_json",
    "invalid",
    "other_test",
    "other_country",
    "out_of_period",
    "late",
    "duplicate",
    "kept",
)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV with Unix line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


@dataclass(slots=True)
class Tally:
    """Running totals of the archive."""

    ledger: Counter[str] = field(default_factory=Counter)
    measurements: Counter[int] = field(default_factory=Counter)
    #: (domain, ASN) → hour → the sessions that tested this pair, and the sound ones of these.
    tests: defaultdict[tuple[str, int], dict[datetime, tuple[set[str], set[str]]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    forgeries: list[tuple[str, ...]] = field(default_factory=list)

    def note_forgery(self, session: Session, forgery: Forgery) -> None:
        """Record the claims of a forged report."""
        head = (session.report_id, str(session.start.date()), f"AS{session.network.asn}")
        self.forgeries += [(*head, host, forgery.claim, forgery.kind) for host in forgery.hosts]

    def keep(self, document: Json, is_sound: bool) -> None:
        """Count one measurement that a reader must keep."""
        asn, start = int(document["probe_asn"][2:]), document["measurement_start_time"]
        self.ledger["kept"] += 1
        self.measurements[asn] += 1
        hours = self.tests[normalise(document["input"]), asn]
        tested, sound = hours.setdefault(datetime.fromisoformat(start[:13]), (set(), set()))
        tested.add(document["test_start_time"])
        if is_sound:
            sound.add(document["test_start_time"])


#: Table of the truth → its columns.
_HEADERS = {
    "ledger": "reason,line_count",
    "blocks": "domain,probe_asn,mechanism,since,until,since_time,until_time,schedule,detail,"
    "session_count,day_count,sound_session_count,share",
    "names": "domain,situation,category_code,is_local,since,until,tested_since,authority",
    "networks": "probe_asn,network,operator,kind,role,resolver_asn,measurement_count",
    "forgeries": "report_id,day,probe_asn,domain,claim,kind",
    "tests": "domain,probe_asn,day,hour,session_count,sound_session_count",
}


def write_truth(folder: Path, world: World, tally: Tally) -> None:
    """Write the truth of every block, name, network, forged report and test, and the ledger."""
    sites = sorted(world.sites, key=lambda site: site.host)
    ledger = [(reason, tally.ledger[reason]) for reason in _LEDGER_REASONS]
    rows: dict[str, Sequence[Sequence[object]]] = {
        "ledger": [*ledger, ("total", sum(tally.ledger.values()))],
        "blocks": [_block_row(world, tally, block) for block in world.censorship.blocks],
        "names": [_name_row(world, site) for site in sites],
        "networks": [_network_row(tally, network) for network in world.networks],
        "forgeries": sorted(tally.forgeries),
        "tests": list(_test_rows(tally)),
    }
    for name, header in _HEADERS.items():
        write_csv(folder / f"{name}.csv", header.split(","), rows[name])


#: Table of the truth → its columns.
_HEADERS = {
    "ledger": "reason,line_count",
    "blocks": "domain,probe_asn,mechanism,since,until,since_time,until_time,schedule,detail,"
    "session_count,day_count,sound_session_count,share",
    "names": "domain,situation,category_code,is_local,since,until,tested_since,authority",
    "networks": "probe_asn,network,operator,kind,role,resolver_asn,measurement_count",
    "forgeries": "report_id,day,probe_asn,domain,claim,kind",
    "tests": "domain,probe_asn,day,hour,session_count,sound_session_count",
}


def _network_row(tally: Tally, network: Network) -> tuple[object, ...]:
    return (
        f"AS{network.asn}",
        network.name,
        network.operator,
        network.kind,
        network.role,
        f"AS{network.resolver_asn}",
        tally.measurements[network.asn],
    )


def _test_rows(tally: Tally) -> Iterator[tuple[object, ...]]:
    for (domain, asn), hours in sorted(tally.tests.items()):
        for hour, (tested, sound) in sorted(hours.items()):
            yield domain, f"AS{asn}", hour.date(), hour.hour, len(tested), len(sound)


def _block_row(world: World, tally: Tally, block: Block) -> tuple[object, ...]:
    """Return the row of a block, with the sessions that tested the name during it."""
    since = world.design.period.since
    tests = tally.tests[block.host, block.asn]
    hours = [hour for hour in tests if block.is_on((hour.date() - since).days, hour)]
    tested_counts, sound_counts = ([len(tests[hour][index]) for hour in hours] for index in (0, 1))
    return (
        block.host,
        f"AS{block.asn}",
        block.mechanism,
        *_days(world, block.start, block.stop),
        *_moments(world, block),
        block.hours or "",
        block.detail,
        sum(tested_counts),
        len({hour.date() for hour in hours}),
        sum(sound_counts),
        block.share,
    )


def _moments(world: World, block: Block) -> tuple[str, str]:
    """Return the times at which a block begins and ends, at its hours if it has any."""
    since, until = (world.midnight(0) + timedelta(days=d) for d in (block.start, block.stop))
    if block.hours is not None:
        hour = timedelta(hours=1)
        while not block.hours.hold(since):
            since += hour
        while not block.hours.hold(until - hour):
            until -= hour
    first = since.isoformat() if block.start > 0 else ""
    return first, until.isoformat() if block.stop < world.design.period.day_count else ""


def _name_row(world: World, site: Site) -> tuple[object, ...]:
    span = site.down or site.dead
    since, until = _days(world, span.start, span.stop) if span else ("", "")
    return (
        site.host,
        site.situation,
        site.category,
        str(site.is_local).lower(),
        since,
        until,
        world.date_of(site.tested_from) if site.tested_from else "",
        site.authority,
    )


def _days(world: World, start: float, stop: float) -> tuple[str, str]:
    """Return the first day and the day after the last; empty if outside the period."""
    first = str(world.date_of(int(start))) if start > 0 else ""
    last = str(world.date_of(ceil(stop))) if stop < world.design.period.day_count else ""
    return first, last


_LIST_HEADER = ("url", "category_code", "category_description", "date_added", "source", "notes")
_FINGERPRINT_HEADER = (
    "name",
    "scope",
    "other_names",
    "location_found",
    "pattern_type",
    "pattern",
    "confidence_no_fp",
    "expected_countries",
    "source",
    "exp_url",
    "notes",
)
_SOURCE = "fictional"

_DESCRIPTIONS = {
    "NEWS": "News Media",
    "POLR": "Political Criticism",
    "HUMR": "Human Rights Issues",
    "GMB": "Gambling",
    "PORN": "Pornography",
    "ANON": "Anonymization and circumvention tools",
    "GRP": "Social Networking",
    "COMT": "Communication Tools",
    "MMED": "Media sharing",
    "CULTR": "Culture",
    "GOVT": "Government",
    "COMM": "E-commerce",
    "ENV": "Environment",
    "LGBT": "LGBT",
    "REL": "Religion",
    "HOST": "Hosting and Blogging Platforms",
    "SRCH": "Search Engines",
    "MISC": "Miscellaneous content",
}


def write_reference(folder: Path, world: World) -> None:
    """Write test lists, networks, fingerprints and events."""
    _write_test_lists(folder / "test-lists", world)
    rows = [(n.asn, n.name, n.operator, n.kind, _SOURCE) for n in world.networks]
    write_csv(folder / "networks.csv", ("asn", "network", "operator", "kind", "source"), rows)
    _write_fingerprints(folder / "fingerprints", world.design.probe_cc, world.censorship.machines)
    span, order = world.design.period.day_count, world.censorship.order_day
    days = [world.date_of(day) for day in (span // 8, order, int(span * 0.7))]
    write_events(folder / "events.yml", *days)


def _write_test_lists(folder: Path, world: World) -> None:
    """Write ``<cc>.csv`` and ``global.csv`` in Citizen Lab's format, with typical errors.

    A name is misspelt, some are repeated, one has never been tested.
    """
    local, everywhere = _list_carelessly(world.sites), list[tuple[str, ...]]()
    for index, site in enumerate(world.sites):
        added = str(world.date_of(site.tested_from)) if site.tested_from else "2022-03-01"
        (local if site.is_local else everywhere).append(_line(site.inputs[0], site.category, added))
        if site.is_local and index % 9 == 0:
            # On both lists, with another category on the global one.
            everywhere.append(_line(site.inputs[0], "MISC", "2021-06-01"))
    write_csv(folder / f"{world.design.probe_cc.lower()}.csv", _LIST_HEADER, sorted(local))
    write_csv(folder / "global.csv", _LIST_HEADER, sorted(everywhere))


def _list_carelessly(sites: list[Site]) -> list[tuple[str, ...]]:
    """Return wrong lines of a country's list."""
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
    """Write fingerprints of the country's blocking, which are incomplete and partly wrong."""
    dns = [
        _fingerprint("AA", 0, "nat", "dns", "full", "192.0.2.255", "another country"),
        _fingerprint(
            probe_cc, 0, "nat", "dns", "full", machines.page_sinkhole, "address with a notice"
        ),
        _fingerprint(
            probe_cc, 1, "isp", "dns", "full", machines.substitution, "seen for many names"
        ),
        _fingerprint(
            probe_cc, 2, "isp", "dns", "full", machines.home_filters[0], "seen on one network"
        ),
    ]
    pages = [
        _fingerprint("AA", 0, "nat", "body", "contains", "Blocked by the ministry", ""),
        _fingerprint(probe_cc, 0, "nat", "body", "contains", machines.notice, "legal notice"),
        _fingerprint(probe_cc, 1, "isp", "header.server", "prefix", GATEWAY.partition("/")[0], ""),
    ]
    existing = [row for row in dns if row[5]]  # smaller worlds lack some of the machines
    write_csv(folder / "fingerprints_dns.csv", _FINGERPRINT_HEADER, existing)
    write_csv(folder / "fingerprints_http.csv", _FINGERPRINT_HEADER, pages)


def _fingerprint(
    cc: str, index: int, scope: str, location: str, kind: str, pattern: str, note: str
) -> tuple[str, ...]:
    name = f"fictional.{cc.lower()}_{location.split('.')[0]}_{index}"
    return (name, scope, "", location, kind, pattern, "5", cc, _SOURCE, "", note)


def write_events(path: Path, law: date, order: date, election: date) -> None:
    """Write invented events, which a report shows beside its intervals of blocking."""
    events = [
        (law, "Law on electronic communications takes effect", "law"),
        (order, "Regulator orders all networks to close a list of sites", "order"),
        (election, "Local elections", "election"),
    ]
    lines = "".join(
        f'  - date: "{day}"\n    title: {title}\n    kind: {kind}\n    source: invented\n'
        for day, title, kind in events
    )
    head = "# Invented: the country, its law and its elections do not exist.\nevents:\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + lines, encoding="utf-8")
