"""Countries with one situation each, which the judge got wrong in an outside examination.

Networks are plain and sites have their usual faults; everything else is arranged by the function of
the situation. Its blocks are the truth; its other effects are traps.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from analysis.worlds.censorship import Block, Censorship, Machines, Watch, carry_out
from analysis.worlds.country import (
    ACCESS_ASNS,
    RESET,
    TIMED_OUT,
    AddressPlan,
    Internet,
    Network,
    Page,
    Server,
    Site,
    make_page,
    stream,
)
from analysis.worlds.session import BUILDS, Trouble

_WORDS = ("Alder", "Basalt", "Cinder", "Drift", "Ember", "Fjord", "Glade", "Hazel", "Inlet", "Jade")
#: Weights of the networks, by their share of sessions; and with thin networks.
_USUAL, _THIN = (24, 18, 14, 12, 10, 9, 7, 6), (30, 20, 14, 10, 6, 5, 4, 4, 4, 3)
#: Index of the network of a heavy probe.
_HOME = 6


@dataclass
class Scene:
    """A plain country in which a situation is arranged.

    ``free`` are sites that work, have an address of their own, and are not used yet. ``changes``
    happen at the beginning of a day.
    """

    rng: Random
    day_count: int
    networks: Sequence[Network]
    internet: Internet
    machines: Machines
    free: list[Site] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    changes: dict[int, Callable[[], None]] = field(default_factory=dict)

    def take(self, count: int, situation: str = "live") -> list[Site]:
        """Take some of the free sites of a situation."""
        taken = [site for site in self.free if site.situation == situation][:count]
        self.free = [site for site in self.free if site not in taken]
        return taken

    def take_of_hosts(self, host_count: int, count: int) -> list[Site]:
        """Take free sites of the hosting networks that have most of them."""
        asns = {site.host: self.internet.plan.asn(site.v4[0]) for site in self.free}
        largest = [asn for asn, _ in Counter(asns.values()).most_common(host_count)]
        taken = [site for site in self.free if asns[site.host] in largest][:count]
        self.free = [site for site in self.free if site not in taken]
        return taken

    def block(
        self,
        style: str,
        sites: Iterable[Site],
        networks: Iterable[Network],
        start: float = 0,
        stop: float = 0,
    ) -> None:
        """Block sites on networks from one day to another, or to the end."""
        for site in sites:
            for network in networks:
                block = carry_out(style, 0, site, network.asn, self.machines)
                self.blocks.append(replace(block, start=start, stop=stop or self.day_count))


def plain_networks(situation: str, plan: AddressPlan) -> list[Network]:
    """Return networks that interfere with nothing and are equally good."""
    networks = []
    for index, weight in enumerate(EXAMINED[situation].weights):
        asn, kind = ACCESS_ASNS[index], "mobile" if index % 3 == 1 else "isp"
        networks.append(
            Network(
                asn,
                True,
                f"plain_{index}",
                "plain",
                f"{_WORDS[index]} Net",
                _WORDS[index],
                kind,
                weight,
                asn,
                plan.take(asn),
            )
        )
    return networks


def arrange(
    situation: str,
    seed: int,
    day_count: int,
    networks: Sequence[Network],
    internet: Internet,
    censorship: Censorship,
) -> Scene:
    """Arrange a situation in a country without blocks."""
    rng = stream(seed, "examined", situation)
    scene = Scene(rng, day_count, networks, internet, censorship.machines)
    scene.free = [
        site
        for site in internet.sites.values()
        if site.situation in ("live", "plain_http") and site.is_alone and len(site.inputs) == 1
    ]
    rng.shuffle(scene.free)
    EXAMINED[situation].arrange(scene)
    return scene


def _effects(sites: Iterable[Site], **effect: Any) -> dict[str, Block]:
    """Return host or address → effect, for some sites."""
    effects: dict[str, Block] = {}
    for site in sites:
        block = replace(Block(site.host, 0, "", 0, 0), **effect)
        effects |= dict.fromkeys((site.host, *(site.v4 if block.tcp_failure else ())), block)
    return effects


def _put_into_home(
    scene: Scene, platform: str, effects: Mapping[str, Block], share: float = 0.9
) -> None:
    """Let one probe run most sessions of a thin network, in a household with filters."""
    build = next(build for build in BUILDS if build.platform == platform)
    scene.troubles.append(Trouble(scene.networks[_HOME].asn, effects, share, build))


def _antivirus(scene: Scene, share: float = 0.9) -> None:
    sites = [
        site for site in scene.internet.sites.values() if site.is_https and scene.rng.random() < 0.4
    ]
    _put_into_home(scene, "windows", _effects(sites, tls_failure=RESET), share)


def _pi_hole(scene: Scene) -> None:
    _put_into_home(scene, "linux", _effects(scene.take(20), lie="0.0.0.0"))


def _parental_router(scene: Scene) -> None:
    page = make_page("Site not allowed", ["The owner of this router does not allow this site."])
    scene.internet.servers["192.168.1.1"] = Server(page=page, ports=(80,))
    sites = scene.take(11) + scene.take(4, "plain_http")
    _put_into_home(scene, "android", _effects(sites, lie="192.168.1.1"))


def _national_drop(scene: Scene) -> None:
    scene.block("tcp_timeout", scene.take(5), scene.networks, scene.day_count // 2)


def _silent_resolvers(scene: Scene) -> None:
    scene.block("dns_timeout", scene.take(15), scene.networks[:3], scene.day_count // 3)


def _social_media_week(scene: Scene) -> None:
    sites, first = scene.take(11), scene.day_count // 2
    scene.block("tls_timeout", sites, scene.networks, first, first + 7)
    hosts = tuple(site.host for site in sites)
    scene.watches += [Watch(n.asn, hosts, first, first + 7, 2) for n in scene.networks]


def _challenge_pages(scene: Scene) -> None:
    text = ["Enable JavaScript and cookies to continue."]
    page = make_page("Just a moment...", text, 403, ("Server", "edge"))
    sites = scene.take_of_hosts(3, 12)
    effects = _effects(sites, http_page=page, is_slow=True)
    scene.troubles.append(Trouble(scene.networks[1].asn, effects, 0.75))


def _refusing_host(scene: Scene) -> None:
    for site in scene.take_of_hosts(1, 5):
        site.cut_off = range(scene.day_count // 2, 10_000)


_ACCIDENTS: Sequence[Mapping[str, str]] = (
    {"tcp_failure": TIMED_OUT},
    {"tcp_failure": RESET},
    {"tls_failure": RESET, "http_failure": RESET},
    {"tls_failure": TIMED_OUT, "http_failure": TIMED_OUT},
    {"injected": TIMED_OUT},
)


def _failing_pairs(scene: Scene) -> None:
    """Let one pair in fifty fail without a block in 30 % of its sessions."""
    for network in scene.networks:
        for site in scene.internet.sites.values():
            if scene.rng.random() < 0.02:
                effects = _effects([site], **scene.rng.choice(_ACCIDENTS))
                scene.troubles.append(Trouble(network.asn, effects, 0.3))


def _suspects_alone(scene: Scene) -> None:
    network, sites = scene.networks[-1], scene.take(10)
    network.weight = 0
    scene.block("tls_reset", sites, [network])
    scene.watches.append(Watch(network.asn, tuple(site.host for site in sites), 20, 80, 1))


def _blank_pages(scene: Scene) -> None:
    sites, network = scene.take(4, "plain_http"), scene.networks[1]
    blank = Page("", "", 200, (("Content-Length", "0"), ("Content-Type", "text/html")))
    scene.blocks += [
        Block(site.host, network.asn, "http.blockpage", 0, scene.day_count, http_page=blank)
        for site in sites
    ]


def _stale_addresses(scene: Scene) -> None:
    """Move sites to other addresses; one network's resolver returns the old ones for months."""
    sites, day, servers = scene.take(4), scene.day_count // 3, scene.internet.servers
    for site in sites:
        effects = _effects([site], lie=site.v4[0])
        scene.troubles.append(
            Trouble(scene.networks[1].asn, effects, days=range(day, scene.day_count))
        )

    def move() -> None:
        for index, site in enumerate(sites):
            old, new = site.v4[0], scene.internet.plan.take(scene.internet.plan.asn(site.v4[0]))
            parked = make_page("Welcome", ["The first page of a new server."])
            servers[old] = Server(is_silent=True) if index % 2 else Server(page=parked)
            servers[new] = Server(sites={site.host: site})
            site.v4, site.v6 = [new], []

    scene.changes[day] = move


#: Ways of blocking, assigned to networks in turn.
_STYLES = ("nxdomain", "tls_timeout", "bogon", "tcp_timeout", "tls_reset", "dns_timeout")


def _staged_orders(scene: Scene) -> None:
    """Issue three orders, which nine in ten networks carry out within weeks; one is lifted."""
    for number, part in enumerate((0.2, 0.3, 0.55)):
        sites, day = scene.take(4), scene.day_count * part
        for index, network in enumerate(scene.networks):
            if scene.rng.random() < 0.1:
                continue
            start = day + int(scene.rng.expovariate(1 / 14))
            stop = start + 60 if number == 1 else scene.day_count
            scene.block(_STYLES[index % len(_STYLES)], sites, [network], start, stop)


def _one_site_everywhere(scene: Scene) -> None:
    scene.block("tcp_timeout", scene.take(1), scene.networks, scene.day_count // 2)


def _one_site_one_network(scene: Scene) -> None:
    scene.block("tcp_timeout", scene.take(1), scene.networks[:1])


@dataclass(frozen=True, slots=True)
class Situation:
    """A situation of the examination.

    Attributes:
        truth: for the reader.
        arrange: arranges it in a scene.
        weights: of the networks.
        undecidable: the other explanation, if measurements cannot decide.
    """

    truth: str
    arrange: Callable[[Scene], None]
    weights: Sequence[float] = _USUAL
    undecidable: str = ""


#: Name → situation.
EXAMINED: Mapping[str, Situation] = {
    "Antivirus": Situation(
        "Nobody blocks. On a network with few tests one probe runs nine in ten sessions, and "
        "its antivirus breaks TLS of two in five sites.",
        _antivirus,
    ),
    "Pi-hole": Situation(
        "Nobody blocks. On a network with few tests one probe runs nine in ten sessions, and a "
        "Pi-hole (a filter at home) answers 0.0.0.0 for twenty sites.",
        _pi_hole,
    ),
    "Parental router": Situation(
        "Nobody blocks. On a network with few tests one probe runs nine in ten sessions, and "
        "its router shows a page of its own for fifteen sites.",
        _parental_router,
    ),
    "National drop": Situation(
        "All networks drop connections to five unrelated sites from one day on.", _national_drop
    ),
    "Silent resolvers": Situation(
        "The resolvers of the three largest networks stop answering for fifteen sites.",
        _silent_resolvers,
    ),
    "A week without social media": Situation(
        "All networks cut eleven sites for a week, in which people test mostly these.",
        _social_media_week,
    ),
    "Challenge pages": Situation(
        "Nobody blocks. Content networks ask the users of one network, who share one address, to "
        "prove that they are human.",
        _challenge_pages,
    ),
    "A host that refuses the country": Situation(
        "Nobody blocks. From one day on a hosting network drops connections from the country.",
        _refusing_host,
    ),
    "Pairs that fail by themselves": Situation(
        "Nobody blocks. One pair in fifty fails in 30 % of sessions.", _failing_pairs
    ),
    "Suspects alone": Situation(
        "One network blocks ten sites, and nothing else is tested there.",
        _suspects_alone,
        undecidable="Nearly everything that was tested failed. If only blocked sites are tested, "
        "this looks like a network that cuts all requests; volunteers should also test "
        "sites that nobody would block.",
    ),
    "Blank pages": Situation(
        "One network answers four sites without TLS with an empty page.", _blank_pages
    ),
    "Stale addresses": Situation(
        "Nobody blocks. Four sites move, and the resolver of one network gives the old address "
        "for months.",
        _stale_addresses,
    ),
    "Staged orders": Situation(
        "Three orders block four sites each. Nine networks in ten carry them out within weeks; "
        "some of these networks have few tests. One order is lifted.",
        _staged_orders,
        _THIN,
    ),
    "One site everywhere": Situation(
        "All networks drop connections to one site from one day on.",
        _one_site_everywhere,
        undecidable="No other host began to fail then; the site may refuse the country.",
    ),
    "One site on one network": Situation(
        "One network drops connections to one site all the time.",
        _one_site_one_network,
        undecidable="No other host failed so; the site may refuse this network.",
    ),
    "Antivirus, and hardly anybody else": Situation(
        "Nobody blocks. On a network with few tests one probe runs nearly all sessions, and its "
        "antivirus breaks TLS of two in five sites.",
        partial(_antivirus, share=0.98),
        undecidable="All failing sessions are of one platform, and hardly any others tested: one "
        "household's filter, or the network's block.",
    ),
}
