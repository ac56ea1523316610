"""Tests of apps and circumvention tools in the fictional country: what is blocked, what is broken.

One network drops the connections of WhatsApp from some day on, another lets only two of Telegram's
twelve endpoints through, and another all but four; a third cuts the web page of Telegram off at the
hours of exams. And one test breaks for everybody: it fails on every network here, and in other
countries as well. Where a seed for it is given, what is blocked is drawn anew.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random

from analysis.worlds.app_records import (
    RESET,
    TIMED_OUT,
    VERSIONS,
    Json,
    messenger,
    signal,
    telegram,
    tor,
    tunnel,
    whatsapp,
)
from analysis.worlds.archive import compress, object_key, write_object
from analysis.worlds.numbering import stream, token
from analysis.worlds.operators import Network
from analysis.worlds.spoiling import encode
from analysis.worlds.truth import write_csv
from analysis.worlds.world import World

#: Every so many days the probes of some networks run all tests.
_EVERY = 5
_NETWORKS_A_DAY = 4
#: How often a test fails for no reason.
_NOISE = 0.015
#: Where in the period each thing begins, as a share of it.
_WHATSAPP_FROM, _TELEGRAM_FROM, _BROKEN_FROM, _EXAMS_FROM = 0.45, 0.25, 0.65, 0.55
_SOME_FROM = 0.35
#: Of Telegram's twelve endpoints, those that are cut off as a whole, and in part.
_MOST, _SOME = 10, 4
_EXAM_DAYS, _EXAM_PAUSE = 19, 1  # hours between two tests while exams are on
_EXAM_HOURS = (*range(4, 8), *range(10, 14))
_OTHER_HOURS = ((*range(1, 6),), (*range(5, 9),), (*range(3, 6), *range(8, 11)))
#: What may be drawn: test, part, and of Telegram's endpoints the fewest and the most.
_DRAWN = (
    ("whatsapp", "app", (0, 0)), ("telegram", "app", (7, 11)), ("telegram", "app", (3, 5)),
    ("facebook_messenger", "app", (0, 0)), ("signal", "app", (0, 0)), ("psiphon", "tunnel", (0, 0)),
)  # fmt: skip
_DRAWN_COUNT = 4
BROKEN = "torsf"
#: Other fictional countries, whose counts are at hand: four of these, never the country itself.
_OTHERS = ("QM", "QN", "QO", "QP", "QS")
_TESTS_A_WEEK = 40


@dataclass(frozen=True, slots=True)
class AppBlock:
    """Who cut what off, and when; the truth of it."""

    test_name: str
    part: str
    asn: int
    first_day: int
    mechanism: str
    last_day: int | None = None
    hours: tuple[int, ...] = ()
    endpoint_count: int = 0  # of Telegram's; 0: all of the part

    def holds(self, day: int, moment: datetime) -> bool:
        """Whether it holds at a moment of a day of the period."""
        inside = self.first_day <= day and (self.last_day is None or day <= self.last_day)
        is_workday = moment.weekday() < 5
        return inside and (not self.hours or (is_workday and moment.hour in self.hours))


def plan_blocks(world: World) -> list[AppBlock]:
    """What is blocked, on four of the larger access networks."""
    days = world.period.day_count
    first, second, third, fourth = _pick_networks(world)[:4]
    exams = int(days * _EXAMS_FROM)
    return [
        AppBlock("whatsapp", "app", first.asn, int(days * _WHATSAPP_FROM), "tcp.timeout"),
        AppBlock("telegram", "app", second.asn, int(days * _TELEGRAM_FROM), "tcp.timeout",
                 endpoint_count=_MOST),
        AppBlock("telegram", "app", fourth.asn, int(days * _SOME_FROM), "tcp.timeout",
                 endpoint_count=_SOME),
        AppBlock("telegram", "web", third.asn, exams, "tls.timeout", exams + _EXAM_DAYS,
                 _EXAM_HOURS),
    ]  # fmt: skip


def draw_blocks(world: World, seed: int) -> list[AppBlock]:
    """What is blocked in a country of which this is drawn: on each network one thing at most."""
    rng, days = stream(seed, "apps", "drawn"), world.period.day_count
    networks = rng.sample(_pick_networks(world), _DRAWN_COUNT + 1)
    blocks = []
    for network, (test, part, (least, most)) in zip(
        networks, rng.sample(_DRAWN, _DRAWN_COUNT), strict=False
    ):
        first = rng.randrange(int(0.15 * days), int(0.65 * days))
        last = first + rng.randrange(60, 120) if rng.random() < 0.4 else None
        manner = "tunnel.timeout" if part == "tunnel" else "tcp.timeout"
        blocks.append(AppBlock(test, part, network.asn, first, manner, last,
                               endpoint_count=rng.randint(least, most)))  # fmt: skip
    exams = rng.randrange(int(0.15 * days), int(0.8 * days))
    hours = rng.choice((_EXAM_HOURS, *_OTHER_HOURS))
    return [*blocks, AppBlock("telegram", "web", networks[-1].asn, exams, "tls.timeout",
                              exams + _EXAM_DAYS, hours)]  # fmt: skip


def _pick_networks(world: World) -> list[Network]:
    """The country's access networks, the largest first; shaky ones left out."""
    steady = [n for n in world.networks if n.kind in ("isp", "mobile") and n.style != "flaky"]
    return sorted(steady, key=lambda network: (-network.weight, network.asn))[:6]


def write_apps(folder: Path, world: World, seed: int | None = None) -> None:
    """Write the archive's objects of these tests, the counts of other countries, and the truth.

    Args:
        folder: of the world.
        world: the country.
        seed: draws what is blocked; without one it is the usual.
    """
    blocks = plan_blocks(world) if seed is None else draw_blocks(world, seed)
    counts: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    objects: dict[tuple[str, date], list[bytes]] = defaultdict(list)
    for test, moment, document, flag in _run_all(world, blocks):
        objects[test, moment.date()].append(encode(document))
        counts[test, moment.date()][flag] += 1
    for (test, day), lines in sorted(objects.items()):
        received = datetime.combine(day, time(23))
        key = object_key(world.probe_cc, received, 0, test.replace("_", ""))
        write_object(folder / "archive", key, compress(lines))
    _write_counts(folder / "reference" / "test-counts.csv", world, counts)
    rows = [
        (block.test_name, block.part, f"AS{block.asn}", block.mechanism,
         str(world.date_of(block.first_day)),
         "" if block.last_day is None else str(world.date_of(block.last_day)),
         ";".join(map(str, block.hours)), block.endpoint_count or "")
        for block in blocks
    ]  # fmt: skip
    broken = str(world.date_of(int(world.period.day_count * _BROKEN_FROM)))
    rows.append((BROKEN, "tunnel", "everywhere", "instrument", broken, "", "", ""))
    header = ("test_name", "part", "probe_asn", "mechanism", "since", "until", "hours",
              "endpoint_count")  # fmt: skip
    write_csv(folder / "truth" / "apps.csv", header, rows)


def _run_all(world: World, blocks: Sequence[AppBlock]) -> Iterator[tuple[str, datetime, Json, str]]:
    """Every measurement: test, moment, document, and OONI's flag."""
    networks = _pick_networks(world)
    watched = blocks[-1]
    for day in range(world.period.day_count):
        rng = stream(world.seed, "apps", day)
        midnight = datetime.combine(world.date_of(day), time())
        if day % _EVERY == 0:
            for network in rng.sample(networks, min(_NETWORKS_A_DAY, len(networks))):
                start = midnight + timedelta(seconds=rng.randrange(80_000))
                for number, test in enumerate(VERSIONS):
                    moment = start + timedelta(seconds=20 * number)
                    yield _measure(world, network, test, day, moment, blocks, rng)
        last = watched.last_day or watched.first_day
        if watched.first_day - 2 <= day <= last + 2:
            network = next(one for one in networks if one.asn == watched.asn)
            for hour in range(0, 24, _EXAM_PAUSE):
                moment = midnight + timedelta(hours=hour, seconds=rng.randrange(3_600))
                yield _measure(world, network, "telegram", day, moment, blocks, rng)


def _measure(
    world: World, network: Network, test: str, day: int, moment: datetime,
    blocks: Sequence[AppBlock], rng: Random,
) -> tuple[str, datetime, Json, str]:  # fmt: skip
    held = {
        block.part: block.endpoint_count for block in blocks
        if block.test_name == test and block.asn == network.asn and block.holds(day, moment)
    }  # fmt: skip
    noise = rng.random() < _NOISE
    is_broken = test == BROKEN and day >= int(world.period.day_count * _BROKEN_FROM)
    keys, is_anomaly = _keys(test, held, is_broken=is_broken, noise=noise)
    head = f"{moment:%Y%m%dT%H%M%SZ}_{test.replace('_', '')}_{world.probe_cc}"
    document = {
        "annotations": {"engine_version": "3.22.0", "platform": "android"},
        "data_format_version": "0.2.0", "input": None,
        "measurement_start_time": f"{moment:%Y-%m-%d %H:%M:%S}", "probe_asn": f"AS{network.asn}",
        "probe_cc": world.probe_cc, "probe_network_name": network.name,
        "report_id": f"{head}_{network.asn}_n1_{token(rng)}",
        "resolver_asn": f"AS{network.resolver_asn}", "software_name": "ooniprobe-android",
        "software_version": "3.9.0", "test_keys": keys, "test_name": test,
        "test_version": VERSIONS[test],
    }  # fmt: skip
    return test, moment, document, "anomaly" if is_anomaly else "ok"


def _keys(test: str, held: dict[str, int], *, is_broken: bool, noise: bool) -> tuple[Json, bool]:
    """What the test finds, and whether OONI flags it."""
    if test == "telegram":
        web = TIMED_OUT if "web" in held else RESET if noise else None
        closed = held.get("app", 0)
        return telegram(closed, web), bool(web) or closed > 0
    if test == "whatsapp":
        app = TIMED_OUT if "app" in held else None
        web = RESET if noise else None
        return whatsapp(app, web), bool(web)
    failure = TIMED_OUT if noise or is_broken or held else None
    if test == "facebook_messenger":
        return messenger(failure), bool(failure)
    if test == "signal":
        return signal(failure), bool(failure)
    if test == "tor":
        return tor(failure), False
    return tunnel(test, failure), bool(failure)


def _write_counts(path: Path, world: World, counts: dict[tuple[str, date], Counter[str]]) -> None:
    """The country's own counts by day, and other countries' by week."""
    rows = [
        (str(day), world.probe_cc, test, sum(flags.values()), flags["ok"], flags["anomaly"], 0, 0)
        for (test, day), flags in counts.items()
    ]
    for country in [code for code in _OTHERS if code != world.probe_cc][:4]:
        rng = stream(world.seed, "apps", country)
        for day in range(0, world.period.day_count, 7):
            for test in VERSIONS:
                is_broken = test == BROKEN and day >= int(world.period.day_count * _BROKEN_FROM)
                share = 0.96 if is_broken else _NOISE
                anomalies = sum(rng.random() < share for _ in range(_TESTS_A_WEEK))
                rows.append((str(world.date_of(day)), country, test, _TESTS_A_WEEK,
                             _TESTS_A_WEEK - anomalies, anomalies, 0, 0))  # fmt: skip
    header = ("measurement_start_day", "probe_cc", "test_name", "measurement_count", "ok_count",
              "anomaly_count", "confirmed_count", "failure_count")  # fmt: skip
    write_csv(path, header, sorted(rows))
