"""The blocks of the fictional country, and the methods of its networks.

A block is one site on one network from one day to another. It is carried out by the resolver, which
lies, or by a box on the path, which forges answers to DNS queries, resets a TLS handshake by its
server name, or answers a plain HTTP request.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from analysis.period import Period
from analysis.worlds.country import (
    CLOSED,
    CONTENT_ASNS,
    NAME_COUNT,
    NXDOMAIN,
    RESET,
    TIMED_OUT,
    UNKNOWN_AUTHORITY,
    WISHES,
    Internet,
    Network,
    Page,
    Server,
    Site,
    make_page,
    stream,
)


@dataclass(frozen=True, slots=True)
class WeekHours:
    """Hours of the week, UTC: windows of whole hours on a run of weekdays (0 is Monday)."""

    first: int
    last: int
    windows: tuple[tuple[int, int], ...]

    def hold(self, moment: datetime) -> bool:
        """Test whether a time is inside the hours."""
        is_day = (moment.weekday() - self.first) % 7 <= (self.last - self.first) % 7
        return is_day and any(since <= moment.hour < until for since, until in self.windows)

    def __str__(self) -> str:
        names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
        windows = (f"{since:02}:00-{until:02}:00" for since, until in self.windows)
        return f"{names[self.first]}-{names[self.last]} {', '.join(windows)}"


@dataclass(frozen=True, slots=True)
class Block:
    """One site blocked on one network, from day ``start`` (in) to day ``stop`` (out).

    Days may be fractions. ``share`` is the share of the network's sessions on whose path there is a
    box that blocks; ``hours`` are those of the week at which it does, if not all.
    """

    host: str
    asn: int
    mechanism: str
    start: float
    stop: float
    detail: str = ""
    lie: str = ""  # the address that the network's resolver returns
    injected: str = ""  # the failure that the path injects into any resolver's answer
    tcp_failure: str = ""
    tls_failure: str = ""
    http_failure: str = ""  # of plain requests, and of those over TLS where ``is_slow``
    is_slow: bool = False
    http_page: Page | None = None
    addresses: tuple[str, ...] = ()  # closed to all connections
    share: float = 1.0
    hours: WeekHours | None = None

    def is_on(self, day: int, moment: datetime) -> bool:
        """Test whether it is active at a time of this day."""
        time = timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second)
        is_in_span = self.start <= day + time / timedelta(days=1) < self.stop
        return is_in_span and (self.hours is None or self.hours.hold(moment))


class Censorship:
    """All blocks, by network and site."""

    def __init__(self, blocks: list[Block], machines: "Machines", order_day: int) -> None:
        self.order_day = order_day  # of an order to all networks to block some sites
        self.blocks = sorted(blocks, key=lambda block: (block.host, block.asn, block.start))
        self.machines = machines
        self._by_target: defaultdict[tuple[int, str], list[Block]] = defaultdict(list)
        for block in self.blocks:
            for target in (block.host, *block.addresses):
                self._by_target[block.asn, target].append(block)

    def find(self, asn: int, target: str, day: int, moment: datetime) -> Block | None:
        """Return the block of a host or an address on a network at a time."""
        blocks = self._by_target.get((asn, target), ())
        return next((block for block in blocks if block.is_on(day, moment)), None)


#: The ``Server`` header of one network's filtering gateway.
GATEWAY = "Gatekeeper/2.1"

#: Style of network → number of sites that it blocks.
_COUNTS = {
    "sinkhole": 17,
    "nxdomain": 14,
    "loopback": 12,
    "tls_reset": 14,
    "blockpage": 13,
    "thin": 4,
    "vpn": 4,
    "bogon": 9,
    "dns_timeout": 7,
    "dns_refused": 7,
    "tcp_timeout": 8,
    "tcp_reset": 8,
    "tls_timeout": 9,
    "tls_mitm": 8,
    "partial": 9,
    "throttle": 8,
}
_BLOCKED = {"NEWS", "POLR", "HUMR", "GMB", "PORN", "ANON", "LGBT", "GRP"}
#: Situations of sites that may be blocked, because their other faults do not hide a block.
_CANDIDATES = {
    "live": 30,
    "plain_http": 4,
    "shared_hosting": 3,
    "redirect": 3,
    "cdn_same_asn": 2,
    "cdn_other_asn": 2,
    "late": 4,
}


def make_censorship(
    seed: int, internet: Internet, networks: list[Network], day_count: int
) -> Censorship:
    """Choose the blocks of each network, and set up the machines that they need."""
    by_role = {network.role: network for network in networks}
    machines = _put_up_machines(seed, internet, by_role)
    candidates = _candidates(seed, internet)
    order_day = int(day_count * stream(seed, "orders").uniform(0.35, 0.65))
    blocks: list[Block] = []
    for network in sorted(networks, key=lambda network: network.role):
        if network.style not in _COUNTS:
            continue
        rng = stream(seed, "blocks", network.role)
        chosen = _choose(rng, candidates, network.style)
        schedules = _schedules(rng, len(chosen), day_count, order_day, network.style)
        for index, (site, times) in enumerate(zip(chosen, schedules, strict=True)):
            if site.situation == "late":
                times = [(0, day_count)]  # a change before the first test could not be seen
            block = carry_out(network.style, index, site, network.asn, machines)
            # In a very short period some blocks would begin after its end.
            stretches = [replace(block, start=a, stop=b) for a, b in times if a < b]
            blocks += stretches
            if network.style == "sinkhole":
                blocks += _share(stretches, by_role)
    return Censorship(blocks, machines, order_day)


def _share(blocks: list[Block], by_role: dict[str, Network]) -> list[Block]:
    """Repeat a resolver's blocks on the other networks whose customers use it."""
    shared = []
    for role, detail in (("sinkhole_mobile", ""), ("borrowed", "through another's resolver")):
        if role in by_role:
            asn = by_role[role].asn
            shared += [replace(block, asn=asn, detail=detail or block.detail) for block in blocks]
    return shared


def _candidates(seed: int, internet: Internet) -> list[Site]:
    """Choose the sites that may be blocked, the most wanted first."""
    rng = stream(seed, "candidates")
    chosen: list[Site] = []
    factor = max(1.0, len(internet.sites) / NAME_COUNT)
    for situation, count in _CANDIDATES.items():
        sites = [
            site
            for site in internet.sites.values()
            if site.situation == situation and site.category in _BLOCKED
        ]
        chosen += rng.sample(sites, min(round(count * factor), len(sites)))
    rng.shuffle(chosen)
    return chosen


def _choose(rng: Random, candidates: list[Site], style: str) -> list[Site]:
    """Choose half from the most wanted sites of all networks, and the rest at random."""
    count = max(3, min(_COUNTS[style], len(candidates) // 2))
    if style.startswith("tcp"):
        # Blocking an address blocks all its sites, so these networks choose sites that are alone.
        candidates = [site for site in candidates if site.is_alone and not site.edges]
    if style in ("partial", "tls_mitm", "throttle"):
        candidates = [site for site in candidates if site.is_https]
    wanted, further = candidates[: count // 2], candidates[count // 2 :]
    if style == "vpn":
        # The exit is in another country, which blocks other sites.
        wanted, further = [], candidates[::-1][:12]
    chosen = wanted + rng.sample(further, min(count - len(wanted), len(further)))
    plain = [site for site in candidates if not site.is_https and site not in chosen]
    return chosen + plain[: 2 if style in ("blockpage", "tls_reset", "tls_timeout") else 0]


def _schedules(
    rng: Random, count: int, day_count: int, order_day: int, style: str
) -> list[list[tuple[int, int]]]:
    """Choose the days of each block: mostly all, some since an order, some lifted, some twice."""
    result: list[list[tuple[int, int]]] = []
    for index in range(count):
        kind = 0 if style in ("thin", "vpn") else index % 8
        times = [(0, day_count)]
        if kind == 1:  # the order to all networks, carried out within days
            times = [(order_day + rng.randint(0, 5), day_count)]
        elif kind == 3:
            times = [(0, int(day_count * rng.uniform(0.4, 0.75)))]
        elif kind == 5:
            times = [(int(day_count * rng.uniform(0.3, 0.65)), day_count)]
        elif kind == 6:
            first = int(day_count * rng.uniform(0.22, 0.32))
            times = [(0, first), (int(day_count * rng.uniform(0.58, 0.68)), day_count)]
        result.append(times)
    rng.shuffle(result)
    return result


@dataclass(frozen=True, slots=True)
class Machines:
    """The addresses and pages that networks use to block, substitute and filter."""

    page_sinkhole: str
    silent_sinkholes: tuple[str, ...]
    thin_sinkhole: str
    private: str  # what one network's resolver answers for blocked names
    substitution: str  # what one resolver answers for names that do not exist
    substituting_asn: int
    home_filters: tuple[str, ...]  # what filters in homes answer for advertising
    portal: str  # the page of a hotspot for users who have not paid
    order_page: Page
    legal_page: Page
    gateway_page: Page
    notice: str  # words of the legal page that a fingerprint matches
    tls_failure: str
    http_failure: str
    cut: str  # the failure when a box breaks a handshake


def _put_up_machines(seed: int, internet: Internet, by_role: dict[str, Network]) -> Machines:
    rng = stream(seed, "machines")
    take = internet.plan.take

    def address_of(role: str) -> str:
        return take(by_role[role].asn) if role in by_role else ""

    notice = "closed by decision of the regulator"
    machines = Machines(
        page_sinkhole=address_of("sinkhole") if rng.random() < 0.7 else take(CONTENT_ASNS[3]),
        silent_sinkholes=tuple(address_of("sinkhole") for _ in range(rng.choice((1, 1, 2)))),
        thin_sinkhole=address_of("thin"),
        private="10.66.0.1",
        substitution=address_of("substitution"),
        substituting_asn=by_role["substitution"].asn if "substitution" in by_role else -1,
        home_filters=("10.10.10.1", "0.0.0.0"),
        portal="192.168.8.1",
        order_page=make_page(
            "Access restricted",
            [f"{rng.choice(WISHES)} is not available on this network.", "Ref. 7/2023, art. 12."],
        ),
        legal_page=make_page(
            "Notice to visitors", [f"The page that you asked for was {notice}.", "Case 114-B."]
        ),
        gateway_page=make_page(
            "Blocked by policy", [f"{rng.choice(WISHES)} was refused."], 403, ("Server", GATEWAY)
        ),
        notice=notice,
        tls_failure=rng.choice([TIMED_OUT, RESET]),
        http_failure=rng.choice(["", RESET]),
        cut=rng.choice([RESET, RESET, CLOSED]),
    )
    servers = internet.servers
    servers[machines.page_sinkhole] = Server(page=machines.order_page, ports=(80,))
    for silent in (*machines.silent_sinkholes, machines.thin_sinkhole, machines.private):
        servers[silent] = Server(is_silent=True)
    offers = make_page("Did you mean…", ["The name was not found.", "Cheap flights. Loans."] * 3)
    servers[machines.substitution] = Server(page=offers, ports=(80,))
    blank = make_page("", [""])
    servers[machines.home_filters[0]] = Server(page=blank, certificate_failure=UNKNOWN_AUTHORITY)
    top_up = make_page("Top up to go on", ["Your data plan is used up. Choose a package."])
    servers[machines.portal] = Server(page=top_up, ports=(80,))
    return machines


_TLS_KINDS = {RESET: "reset", CLOSED: "reset", TIMED_OUT: "timeout", UNKNOWN_AUTHORITY: "mitm"}
_HTTP_KINDS = {"": "blockpage", RESET: "reset", TIMED_OUT: "timeout"}


def carry_out(style: str, index: int, site: Site, asn: int, machines: Machines) -> Block:
    """Return the block of a site on a network of this style, without its days."""
    # A third of the sites are blocked by another office, which has sinkholes of its own.
    sinkhole = {"lie": machines.page_sinkhole, "detail": "address with a page"}
    if index % 3 == 2:
        addresses = machines.silent_sinkholes
        sinkhole = {"lie": addresses[index % len(addresses)], "detail": "silent address"}
    addresses = (*site.v4, *site.v6, *site.edges.values())
    gateway_page = None if machines.http_failure else machines.gateway_page
    effects: dict[str, dict[str, Any]] = {
        "sinkhole": {"mechanism": "dns.sinkhole", **sinkhole},
        "thin": {"mechanism": "dns.sinkhole", "lie": machines.thin_sinkhole, "detail": "thin"},
        "loopback": {"mechanism": "dns.loopback", "lie": "127.0.0.1"},
        "bogon": {"mechanism": "dns.bogon", "lie": machines.private},
        "nxdomain": {"mechanism": "dns.nxdomain", "injected": NXDOMAIN},
        "vpn": {"mechanism": "dns.nxdomain", "injected": NXDOMAIN},
        "dns_refused": {"mechanism": "dns.other", "injected": "dns_refused_error"},
        "dns_timeout": {"mechanism": "dns.timeout", "injected": TIMED_OUT},
        "tcp_timeout": {
            "mechanism": "tcp.timeout",
            "tcp_failure": TIMED_OUT,
            "addresses": addresses,
        },
        "tcp_reset": {"mechanism": "tcp.reset", "tcp_failure": RESET, "addresses": addresses},
        "throttle": {
            "mechanism": "http.timeout",
            "http_failure": TIMED_OUT,
            "is_slow": True,
            "share": 0.95,
            "detail": "too slow to load",
        },
        "tls_reset": {
            "tls_failure": machines.cut,
            "http_failure": machines.http_failure,
            "http_page": gateway_page,
        },
        "tls_timeout": {"tls_failure": TIMED_OUT, "http_failure": TIMED_OUT},
        "tls_mitm": {"tls_failure": UNKNOWN_AUTHORITY, "http_page": machines.gateway_page},
        "partial": {
            "tls_failure": RESET,
            "http_failure": RESET,
            "share": 0.8,
            "detail": "on some of the ways out",
        },
        "blockpage": {"tls_failure": machines.tls_failure, "http_page": machines.legal_page},
    }
    block = Block(site.host, asn, **{"mechanism": "", "start": 0, "stop": 0, **effects[style]})
    if block.mechanism:
        return block
    # A box affects handshakes or plain requests, depending on the site's scheme.
    kind = f"tls.{_TLS_KINDS[block.tls_failure]}"
    if not site.is_https:
        kind = f"http.{_HTTP_KINDS[block.http_failure]}"
    return replace(block, mechanism=kind)


#: Name of a case → what it adds.
CASES = {
    "exam_hours": "a site blocked on one network at the hours of school exams, for four weeks",
    "shared_exam_hours": "another, at the hours of other exams, on two networks",
    "short_stretches": "a site blocked for two working days, open at the weekend, then blocked "
    "for eleven days",
    "overloaded_sites": "sites whose tests time out by a third, on every network, all year",
    "mixed_versions": "a network most of whose probes distrust a certificate authority",
    "lost_controls": "a network that blocks and one that does not, half of whose tests lack a "
    "control",
    "no_addresses": "one session in three does not say to which address a request went",
    "one_second": "two volunteers on one network start in the same second of the last day",
}
EXAMS = WeekHours(0, 4, ((4, 8), (10, 14)))
_MORNINGS = WeekHours(6, 3, ((5, 9),))
_OVERLOADED_COUNT = 4


@dataclass(frozen=True, slots=True)
class Watch:
    """Names that probes test many times a day during an event."""

    asn: int
    hosts: tuple[str, ...]
    start: int
    stop: int
    sessions_per_day: int = 7


def change_networks(cases: Collection[str], networks: Sequence[Network]) -> None:
    """Change the probes and faults of networks for the cases."""
    first = {network.style: network for network in reversed(networks)}
    if "mixed_versions" in cases:
        first["open" if "open" in first else "flaky"].fleet_share = 0.7
    if "lost_controls" in cases:
        for style in ("sinkhole", "flaky"):
            first[style].lost_control_share = 0.5


def change_sites(cases: Collection[str], seed: int, sites: Sequence[Site]) -> None:
    """Overload some sites, before the blocks are chosen."""
    if "overloaded_sites" in cases:
        free = [s for s in sites if s.situation == "live" and s.is_alone and len(s.inputs) == 1]
        for site in stream(seed, "overload").sample(free, min(_OVERLOADED_COUNT, len(free))):
            site.situation, site.overload = "overloaded", 0.34


def add_cases(
    cases: Collection[str],
    seed: int,
    period: Period,
    networks: Sequence[Network],
    sites: Sequence[Site],
    censorship: Censorship,
) -> tuple[list[Block], list[Watch]]:
    """Return the blocks of the cases, and the watches on them.

    There are none in a period of less than three months.
    """
    blocks: list[Block] = []
    watches: list[Watch] = []
    if period.day_count < 90:
        return blocks, watches
    taken = {block.host for block in censorship.blocks}
    free = [
        s
        for s in sites
        if s.situation == "live"
        and s.is_https
        and s.host not in taken
        and s.authority == "first"
        and len(s.inputs) == 1
    ]
    stream(seed, "cases").shuffle(free)
    access = [
        n for n in networks if n.kind in ("isp", "mobile") and n.style not in ("flaky", "thin")
    ]
    stream(seed, "told").shuffle(access)
    monday = -period.since.weekday() % 7
    plans = (
        ("exam_hours", access[:1], TIMED_OUT, EXAMS, 0.55),
        ("shared_exam_hours", access[1:3], RESET, _MORNINGS, 0.3),
        ("short_stretches", access[:1], RESET, None, 0.4),
    )
    for name, blocking, failure, hours, position in plans:
        if name not in cases or not free:
            continue
        site, neighbours = free.pop(), free[:2]
        first = monday + 7 * int(period.day_count * position / 7)
        spans: list[tuple[float, float]] = [(first, first + 28)]
        if hours is None:  # Thursday morning to Friday night, and from Monday for eleven days
            spans = [(first + 3 + 9 / 24, first + 5), (first + 7, first + 18)]
        mechanism = "tls.timeout" if failure == TIMED_OUT else "tls.reset"
        detail = "by exam hours" if hours else "short"
        for network in blocking:
            blocks += [
                Block(
                    site.host,
                    network.asn,
                    mechanism,
                    *span,
                    detail,
                    tls_failure=failure,
                    http_failure=failure,
                    hours=hours,
                )
                for span in spans
            ]
            hosts = (site.host, *(neighbour.host for neighbour in neighbours))
            watches.append(Watch(network.asn, hosts, first - 7, first + 35))
    return blocks, watches
