"""Tests of apps and circumvention tools in the fictional country, with blocks and a broken test.

One network drops the connections of WhatsApp from some day on, another lets only two of Telegram's
twelve endpoints through, and another all but four; a fourth blocks the web page of Telegram at the
hours of exams. One test is broken: it fails on every network here, and in other countries as well.
With ``app_seed``, other blocks are drawn at random.

Host names in the measurements are the apps' own; addresses are for documentation only.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random

from analysis.worlds.archive import compress, encode, write_object
from analysis.worlds.censorship import EXAMS, WeekHours
from analysis.worlds.country import RESET, TIMED_OUT, Json, Network, stream, token
from analysis.worlds.truth import write_csv
from analysis.worlds.world import World

#: Test → version.
_VERSIONS: Mapping[str, str] = {
    "facebook_messenger": "0.2.1",
    "signal": "0.2.5",
    "telegram": "0.3.1",
    "whatsapp": "0.11.1",
    "psiphon": "0.6.0",
    "tor": "0.4.0",
    "torsf": "0.5.0",
    "vanilla_tor": "0.3.0",
}
#: Days between the days on which the probes of some networks run all tests.
_EVERY = 5
_NETWORKS_A_DAY = 4
#: Share of tests that fail by accident.
_NOISE = 0.015
#: Beginnings, as shares of the period.
_WHATSAPP_FROM, _TELEGRAM_FROM, _BROKEN_FROM, _EXAMS_FROM = 0.45, 0.25, 0.65, 0.55
_SOME_FROM = 0.35
#: Telegram's blocked endpoints, of twelve, in a block of the part and in one of a minority.
_MOST, _SOME = 10, 4
_EXAM_DAYS = 19
_OTHER_HOURS = (
    WeekHours(0, 4, ((1, 6),)),
    WeekHours(0, 4, ((5, 9),)),
    WeekHours(0, 4, ((3, 6), (8, 11))),
)
#: Blocks to draw from: test, part, and the range of Telegram's endpoints.
_DRAWN = (
    ("whatsapp", "app", (0, 0)),
    ("telegram", "app", (7, 11)),
    ("telegram", "app", (3, 5)),
    ("facebook_messenger", "app", (0, 0)),
    ("signal", "app", (0, 0)),
    ("psiphon", "tunnel", (0, 0)),
)
_DRAWN_COUNT = 4
BROKEN = "torsf"
#: Fictional countries with counts; four of these other than the country itself are used.
_COUNTED = ("QM", "QN", "QO", "QP", "QS")
_TESTS_A_WEEK = 40


@dataclass(frozen=True, slots=True)
class AppBlock:
    """One block of a part of an app or tool on a network."""

    test_name: str
    part: str
    asn: int
    first_day: int
    mechanism: str
    last_day: int | None = None
    hours: WeekHours | None = None
    endpoint_count: int = 0  # of Telegram's; 0: all of the part

    def holds(self, day: int, moment: datetime) -> bool:
        """Test whether it is active at a time of this day."""
        is_inside = self.first_day <= day and (self.last_day is None or day <= self.last_day)
        return is_inside and (self.hours is None or self.hours.hold(moment))


def _plan_blocks(world: World) -> list[AppBlock]:
    """Return the blocks, the one by hours last; each is on a network of its own."""
    days, networks = world.design.period.day_count, _pick_networks(world)
    if world.design.app_seed is None:
        return _default_blocks(days, networks)
    return _draw_blocks(stream(world.design.app_seed, "apps", "drawn"), days, networks)


def _default_blocks(days: int, networks: list[Network]) -> list[AppBlock]:
    first, second, third, fourth = (network.asn for network in networks[:4])
    most, some, exams = (int(days * share) for share in (_TELEGRAM_FROM, _SOME_FROM, _EXAMS_FROM))
    return [
        AppBlock("whatsapp", "app", first, int(days * _WHATSAPP_FROM), "tcp.timeout"),
        AppBlock("telegram", "app", second, most, "tcp.timeout", endpoint_count=_MOST),
        AppBlock("telegram", "app", fourth, some, "tcp.timeout", endpoint_count=_SOME),
        AppBlock("telegram", "web", third, exams, "tls.timeout", exams + _EXAM_DAYS, EXAMS),
    ]


def _draw_blocks(rng: Random, days: int, networks: list[Network]) -> list[AppBlock]:
    *networks, watched = rng.sample(networks, _DRAWN_COUNT + 1)
    blocks = []
    drawn = zip(networks, rng.sample(_DRAWN, _DRAWN_COUNT), strict=True)
    for network, (test, part, (least, most)) in drawn:
        start = rng.randrange(int(0.15 * days), int(0.65 * days))
        last = start + rng.randrange(60, 120) if rng.random() < 0.4 else None
        mechanism = "tunnel.timeout" if part == "tunnel" else "tcp.timeout"
        count = rng.randint(least, most)
        block = AppBlock(test, part, network.asn, start, mechanism, last, endpoint_count=count)
        blocks.append(block)
    exams = rng.randrange(int(0.15 * days), int(0.8 * days))
    hours = rng.choice((EXAMS, *_OTHER_HOURS))
    return [
        *blocks,
        AppBlock("telegram", "web", watched.asn, exams, "tls.timeout", exams + _EXAM_DAYS, hours),
    ]


def _pick_networks(world: World) -> list[Network]:
    """Return the country's largest access networks, without flaky ones."""
    steady = [n for n in world.networks if n.kind in ("isp", "mobile") and n.style != "flaky"]
    return sorted(steady, key=lambda network: (-network.weight, network.asn))[:6]


def write_apps(folder: Path, world: World) -> None:
    """Write the archive's objects of these tests, counts of all countries, and the truth."""
    blocks, broken_from = _plan_blocks(world), int(world.design.period.day_count * _BROKEN_FROM)
    counts: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    objects: dict[tuple[str, date], list[bytes]] = defaultdict(list)
    for network, test, moment, rng in _list_tests(world, blocks[-1]):
        day = (moment.date() - world.design.period.since).days
        blocked = {
            block.part: block.endpoint_count
            for block in blocks
            if block.test_name == test and block.asn == network.asn and block.holds(day, moment)
        }
        noise = rng.random() < _NOISE
        is_broken = test == BROKEN and day >= broken_from
        keys, is_anomaly = _run_test(test, blocked, is_broken=is_broken, noise=noise)
        document = _make_document(world, network, test, moment, token(rng), keys)
        objects[test, moment.date()].append(encode(document))
        counts[test, moment.date()]["anomaly" if is_anomaly else "ok"] += 1
    for (test, date_received), lines in sorted(objects.items()):
        write_object(
            folder / "archive",
            world.design.probe_cc,
            datetime.combine(date_received, time(23)),
            0,
            compress(lines),
            test.replace("_", ""),
        )
    _write_counts(folder / "reference" / "test-counts.csv", world, counts, broken_from)
    _write_truth(folder / "truth" / "apps.csv", world, blocks, broken_from)


def _make_document(
    world: World, network: Network, test: str, moment: datetime, report_token: str, keys: Json
) -> Json:
    head = f"{moment:%Y%m%dT%H%M%SZ}_{test.replace('_', '')}_{world.design.probe_cc}"
    return {
        "annotations": {"engine_version": "3.22.0", "platform": "android"},
        "data_format_version": "0.2.0",
        "input": None,
        "measurement_start_time": f"{moment:%Y-%m-%d %H:%M:%S}",
        "probe_asn": f"AS{network.asn}",
        "probe_cc": world.design.probe_cc,
        "probe_network_name": network.name,
        "report_id": f"{head}_{network.asn}_n1_{report_token}",
        "resolver_asn": f"AS{network.resolver_asn}",
        "software_name": "ooniprobe-android",
        "software_version": "3.9.0",
        "test_keys": keys,
        "test_name": test,
        "test_start_time": f"{moment:%Y-%m-%d %H:%M:%S}",
        "test_version": _VERSIONS[test],
    }


def _write_truth(path: Path, world: World, blocks: list[AppBlock], broken_from: int) -> None:
    rows = [
        (
            block.test_name,
            block.part,
            f"AS{block.asn}",
            block.mechanism,
            str(world.date_of(block.first_day)),
            "" if block.last_day is None else str(world.date_of(block.last_day)),
            block.hours or "",
            block.endpoint_count or "",
        )
        for block in blocks
    ]
    broken = str(world.date_of(broken_from))
    rows.append((BROKEN, "tunnel", "everywhere", "instrument", broken, "", "", ""))
    header = (
        "test_name",
        "part",
        "probe_asn",
        "mechanism",
        "since",
        "until",
        "schedule",
        "endpoint_count",
    )
    write_csv(path, header, rows)


def _list_tests(world: World, watched: AppBlock) -> Iterator[tuple[Network, str, datetime, Random]]:
    """Yield network, test, time and random stream; the ``watched`` block is tested every hour."""
    networks = _pick_networks(world)
    for day in range(world.design.period.day_count):
        rng = stream(world.design.seed, "apps", day)
        midnight = world.midnight(day)
        if day % _EVERY == 0:
            for network in rng.sample(networks, min(_NETWORKS_A_DAY, len(networks))):
                start = midnight + timedelta(seconds=rng.randrange(80_000))
                for number, test in enumerate(_VERSIONS):
                    yield network, test, start + timedelta(seconds=20 * number), rng
        if watched.first_day - 2 <= day <= (watched.last_day or watched.first_day) + 2:
            network = next(network for network in networks if network.asn == watched.asn)
            for hour in range(24):
                moment = midnight + timedelta(hours=hour, seconds=rng.randrange(3_600))
                yield network, "telegram", moment, rng


def _write_counts(
    path: Path, world: World, counts: dict[tuple[str, date], Counter[str]], broken_from: int
) -> None:
    """Write the country's own counts by day, and other countries' by week."""
    own_cc = world.design.probe_cc
    rows = [
        (
            str(day),
            world.design.probe_cc,
            test,
            sum(flags.values()),
            flags["ok"],
            flags["anomaly"],
            0,
            0,
        )
        for (test, day), flags in counts.items()
    ]
    for country in [code for code in _COUNTED if code != own_cc][:4]:
        rng = stream(world.design.seed, "apps", country)
        for day in range(0, world.design.period.day_count, 7):
            for test in _VERSIONS:
                share = 0.96 if test == BROKEN and day >= broken_from else _NOISE
                anomalies = sum(rng.random() < share for _ in range(_TESTS_A_WEEK))
                rows.append(
                    (
                        str(world.date_of(day)),
                        country,
                        test,
                        _TESTS_A_WEEK,
                        _TESTS_A_WEEK - anomalies,
                        anomalies,
                        0,
                        0,
                    )
                )
    header = (
        "measurement_start_day",
        "probe_cc",
        "test_name",
        "measurement_count",
        "ok_count",
        "anomaly_count",
        "confirmed_count",
        "failure_count",
    )
    write_csv(path, header, sorted(rows))


def _run_test(
    test: str, blocked: dict[str, int], *, is_broken: bool, noise: bool
) -> tuple[Json, bool]:
    """Return the keys of a test, and whether OONI flags it as an anomaly.

    Args:
        test: an app or tool.
        blocked: part → number of blocked endpoints, 0 for all.
        is_broken: the test fails everywhere.
        noise: the test fails by accident.
    """
    if test == "telegram":
        web = TIMED_OUT if "web" in blocked else RESET if noise else None
        closed = blocked.get("app", 0)
        return _telegram(closed, web), bool(web) or closed > 0
    if test == "whatsapp":
        web = RESET if noise else None
        return _whatsapp(TIMED_OUT if "app" in blocked else None, web), bool(web)
    failure = TIMED_OUT if noise or is_broken or blocked else None
    status, is_anomaly = "blocked" if failure else "ok", failure is not None
    if test == "facebook_messenger":
        connects = [_connect(_address_of(host), 443, failure) for host in _MESSENGER[1:]]
        return {
            "queries": [_lookup(host) for host in _MESSENGER],
            "tcp_connect": connects,
            "facebook_tcp_blocking": is_anomaly,
            "facebook_dns_blocking": False,
            "facebook_b_api_reachable": not is_anomaly,
        }, is_anomaly
    if test == "signal":
        keys = _hosts(dict.fromkeys(_SIGNAL, failure))
        return {
            **keys,
            "signal_backend_status": status,
            "signal_backend_failure": failure,
        }, is_anomaly
    if test == "tor":
        return _tor(failure), False
    keys = {"failure": failure, "bootstrap_time": 0 if failure else 12.5}
    if test != "psiphon":
        keys |= {
            "success": failure is None,
            "error": "timeout-reached" if failure else None,
            "tor_progress": 10 if failure else 100,
        }
    return keys, is_anomaly


_CENTRES = tuple(f"203.0.113.{last}" for last in (5, 50, 51, 91, 99, 100))
_MESSENGER = (
    "stun.fbsbx.com",
    "b-api.facebook.com",
    "b-graph.facebook.com",
    "edge-mqtt.facebook.com",
    "external.xx.fbcdn.net",
    "scontent.xx.fbcdn.net",
    "star.c10r.facebook.com",
)
_SIGNAL = (
    "cdn.signal.org",
    "cdn2.signal.org",
    "chat.signal.org",
    "storage.signal.org",
    "sfu.voip.signal.org",
)
_RELAYS = tuple(f"198.51.100.{last}:9001" for last in range(10, 20))
_BRIDGES = tuple(f"198.51.100.{last}:443" for last in range(30, 42))


def _telegram(closed: int, web: str | None) -> Json:
    """Return the keys with ``closed`` of twelve endpoints and the failure of the web page."""
    keys = _hosts({"web.telegram.org": web})
    ends = [(address, port) for address in _CENTRES for port in (80, 443)]
    for number, (address, port) in enumerate(ends):
        failure = TIMED_OUT if number < closed else None
        keys["tcp_connect"].append(_connect(address, port, failure))
        keys["requests"].append(_ask(f"http://{address}:{port}/", failure, "POST"))
    return {
        **keys,
        "telegram_tcp_blocking": closed == len(ends),
        "telegram_http_blocking": closed == len(ends),
        "telegram_web_failure": web,
        "telegram_web_status": "blocked" if web else "ok",
    }


def _whatsapp(app: str | None, web: str | None) -> Json:
    """Return the keys with the failures of the endpoints and of the web page."""
    keys = _hosts({"web.whatsapp.com": web, "v.whatsapp.net": None})
    keys["requests"][1] = _ask("https://v.whatsapp.net/v2/register", None)
    for number in range(1, 9):
        host = f"e{number}.whatsapp.net"
        keys["queries"].append(_lookup(host))
        keys["tcp_connect"].append(_connect(_address_of(host), 443 if number % 2 else 5222, app))
    return {
        **keys,
        "whatsapp_endpoints_status": "blocked" if app else "ok",
        "registration_server_status": "ok",
        "whatsapp_web_status": "blocked" if web else "ok",
    }


def _tor(failure: str | None) -> Json:
    """Return the keys with a failure of all relays; bridges work."""
    ends = [(end, "or_port_dirauth", failure) for end in _RELAYS]
    ends += [(end, "obfs4", None) for end in _BRIDGES]
    return {
        "targets": {
            end: {
                "failure": fails,
                "target_address": end,
                "target_protocol": protocol,
                "tcp_connect": [_connect(end.partition(":")[0], int(end.partition(":")[2]), fails)],
            }
            for end, protocol, fails in ends
        }
    }


def _hosts(hosts: Mapping[str, str | None]) -> Json:
    """Return the keys of attempts at some names, each with the failure of its handshake."""
    return {
        "queries": [_lookup(host) for host in hosts],
        "tcp_connect": [_connect(_address_of(host), 443, None) for host in hosts],
        "tls_handshakes": [
            {
                "server_name": host,
                "address": f"{_address_of(host)}:443",
                "failure": failure,
                "no_tls_verify": False,
            }
            for host, failure in hosts.items()
        ],
        "requests": [_ask(f"https://{host}/", failure) for host, failure in hosts.items()],
    }


def _address_of(host: str) -> str:
    """Return the address of a name."""
    return f"192.0.2.{sum(map(ord, host)) % 200 + 10}"


def _lookup(host: str) -> Json:
    return {
        "engine": "system",
        "hostname": host,
        "query_type": "A",
        "failure": None,
        "answers": [{"answer_type": "A", "ipv4": _address_of(host)}],
    }


def _connect(address: str, port: int, failure: str | None) -> Json:
    return {"ip": address, "port": port, "status": {"success": failure is None, "failure": failure}}


def _ask(url: str, failure: str | None, method: str = "GET") -> Json:
    code = None if failure else 200
    return {
        "failure": failure,
        "request": {"method": method, "url": url},
        "response": {"code": code, "headers": {}, "body": ""},
    }
