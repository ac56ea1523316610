"""A year in the fictional country: who measured what and when, written as an archive."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from analysis.period import Period
from analysis.worlds.cases import Watch, add_cases, change_networks, change_sites
from analysis.worlds.censorship import Censorship, make_censorship
from analysis.worlds.control_vantage import Helper
from analysis.worlds.forgery import Forgery, LyingHelper, plan_forgeries
from analysis.worlds.internet import Internet
from analysis.worlds.names import NAME_COUNT, Site, make_sites
from analysis.worlds.numbering import CONTENT_ASNS, AddressPlan, stream, token
from analysis.worlds.operators import NETWORK_COUNT, Network, make_networks
from analysis.worlds.path import Path as NetworkPath
from analysis.worlds.path import Resolver
from analysis.worlds.probe import Probe, Session
from analysis.worlds.served_pages import make_page
from analysis.worlds.software import pick, weigh
from analysis.worlds.web_records import Names

Json = dict[str, Any]

#: Probes run by a timer measure at these hours (UTC); two of them on most days.
_HOURS = (2, 9, 14, 20)
#: Names that a session tests.
BATCH_SIZE = 24
#: The OONI Run link of a project, whose volunteers make this share of sessions from this day on.
RUN_LINK, _VOLUNTEER_SHARE, _VOLUNTEERS_FROM = "10999", 0.25, 60


@dataclass(frozen=True, slots=True)
class Design:
    """What is asked of a world.

    ``mechanisms`` are the ways of blocking that exist, ``new_share`` is the share of probes that
    run 0.5, ``flaky_share`` the share of flaky networks; None for what is usual.
    """

    probe_cc: str
    period: Period
    seed: int
    network_count: int = NETWORK_COUNT
    name_count: int = NAME_COUNT
    mechanisms: tuple[str, ...] | None = None
    new_share: float | None = None
    flaky_share: float | None = None
    has_forgeries: bool = True
    cases: tuple[str, ...] = ()  # hard cases, by name
    national_count: int = 0  # sites that a gateway at the border blocks for all networks


@dataclass(slots=True)
class World:
    """Everything that stays the same while probes measure."""

    probe_cc: str
    period: Period
    seed: int
    fleet: list[float]  # how many probes run each build
    sites: list[Site]
    networks: list[Network]
    internet: Internet
    censorship: Censorship
    helper: Helper
    names: Names
    forgeries: list[Forgery]
    watches: list[Watch]
    omission_share: float  # of sessions that do not say where requests went

    def date_of(self, day: int) -> date:
        """The date of a day counted from the period's first."""
        return self.period.since + timedelta(days=day)


@dataclass(slots=True)
class Tested:
    """One measurement. ``is_sound`` where nothing went wrong on the way but, maybe, a block."""

    site: Site
    document: Json
    is_sound: bool


@dataclass(slots=True)
class Batch:
    """One session's measurements, and when the collector received them."""

    session: Session
    day: int
    receipt: datetime
    tests: list[Tested]
    forgery: Forgery | None = None


def make_world(design: Design) -> World:
    """Build the country: names, networks, servers, and what is blocked where and when."""
    seed, period = design.seed, design.period
    plan = AddressPlan(seed, design.network_count)
    networks = make_networks(
        seed, plan, design.network_count, design.mechanisms, design.flaky_share
    )
    change_networks(design.cases, networks)
    sites = make_sites(seed, plan, period.day_count, design.name_count)
    change_sites(design.cases, seed, sites)
    _spread_caches(seed, sites, networks, plan)
    _refuse_visitors(sites)
    _write_in_old_letters(sites)
    internet = Internet(sites, plan)
    censorship = make_censorship(seed, internet, networks, period.day_count, design.mechanisms,
        design.national_count,
    )  # fmt: skip
    added = add_cases(design.cases, seed, period, networks, sites, censorship, design.mechanisms)
    censorship = Censorship(
        [*censorship.blocks, *added.blocks], censorship.machines, censorship.order_day
    )
    forgeries = (
        plan_forgeries(seed, networks, sites, censorship, period.day_count)
        if design.has_forgeries
        else []
    )
    names = {network.asn: network.name for network in networks}
    names |= {asn: f"Hosting {asn - CONTENT_ASNS[0]}" for asn in CONTENT_ASNS}
    helper_asn, udp_asn = CONTENT_ASNS[0], CONTENT_ASNS[1]
    udp = f"{plan.take(udp_asn)}:53"
    return World(
        probe_cc=design.probe_cc,
        period=period,
        seed=seed,
        fleet=weigh(design.new_share),
        sites=sites,
        networks=networks,
        internet=internet,
        censorship=censorship,
        helper=Helper(seed, internet, helper_asn),
        names=Names(plan, names, udp, "https://doh.example/dns-query"),
        forgeries=forgeries,
        watches=added.watches,
        omission_share=0.33 if "no_addresses" in design.cases else 0.0,
    )


def _spread_caches(
    seed: int, sites: list[Site], networks: list[Network], plan: AddressPlan
) -> None:
    """Content networks answer each client with an address near it."""
    rng = stream(seed, "caches")
    shared = [plan.take(CONTENT_ASNS[2]) for _ in range(2)]  # one machine serves many sites
    for site in sites:
        if not site.situation.startswith("cdn"):
            continue
        near = site.v4[-1]
        if site.situation != "cdn_same_asn":
            near = rng.choice(shared)
        for network in networks:
            if network.is_inside and rng.random() < 0.8:
                site.edges[network.asn] = near
    # The largest network of all runs a cache in its own rooms.
    for site in [site for site in sites if site.situation == "cdn_other_asn"][:2]:
        for network in networks:
            if network.style in ("substitution", "nxdomain"):
                site.edges[network.asn] = plan.take(network.asn)


def _refuse_visitors(sites: list[Site]) -> None:
    """Sites that serve the country a refusal of their own."""
    for site in sites:
        if site.situation.startswith("geo_refused"):
            text = ["We do not serve your region.", "Access from your country is not permitted."]
            site.refusal = make_page("403 Forbidden", text, 403, ("Server", "edge"))
        elif site.situation == "captcha":
            text = ["Please confirm that you are a human.", '<form action="/check"></form>'] * 3
            site.refusal = make_page("One moment please", text, 200, ("Server", "edge"))


def _write_in_old_letters(sites: list[Site]) -> None:
    """One site still serves Latin-1."""
    site = next(site for site in sites if site.situation == "plain_http")
    text = str(site.page.body).replace("About", "À propos").replace('charset="utf-8"', "")
    site.page = type(site.page)(text.encode("latin-1"), site.page.title, 200, site.page.headers)


class Schedule:
    """Deals out sessions and the names that each of them tests.

    Each network works through the names in turns, as probes do with the list that they are
    handed, so that all names come up about equally often.
    """

    def __init__(self, world: World, sessions_per_day: float, batch_size: int) -> None:
        self._world = world
        self._rate = sessions_per_day
        self._batch_size = batch_size
        self._rng = stream(world.seed, "schedule")
        self._decks: dict[int, list[Site]] = {network.asn: [] for network in world.networks}

    def on_day(self, day: int) -> list[tuple[Network, int]]:
        """The sessions of a day: network and hour, in order of time."""
        rng = self._rng
        count = int(self._rate) + (rng.random() < self._rate % 1)
        weights = [network.weight * self._zeal(network, day) for network in self._world.networks]
        hours = sorted(rng.sample(_HOURS, 2 if rng.random() < 0.8 else 3))
        chosen = rng.choices(self._world.networks, weights, k=count)
        return sorted(
            ((network, rng.choice(hours)) for network in chosen),
            key=lambda item: (item[1], item[0].asn),
        )

    def _zeal(self, network: Network, day: int) -> float:
        """Probes come and go: on some networks nobody measures for a month."""
        rng = stream(self._world.seed, "zeal", network.asn, day // 30)
        return rng.choice((0.0, 0.5, 1.0, 1.0, 1.0, 1.5, 2.0))

    def deal(self, network: Network, day: int) -> list[Site]:
        """The next names for a session on the network."""
        deck = self._decks[network.asn]
        hand: list[Site] = []
        while len(hand) < self._batch_size:
            if not deck:
                deck += self._world.sites
                self._rng.shuffle(deck)
            site = deck.pop()
            if site.tested_from <= day and site not in hand:
                hand.append(site)
            elif len(hand) >= len(self._world.sites) // 2:
                break
        return hand


def run_sessions(world: World, sessions_per_day: float, batch_size: int) -> Iterator[Batch]:
    """All sessions of the period, in order of their start."""
    schedule = Schedule(world, sessions_per_day, batch_size)
    for day in range(world.period.day_count):
        for number, (network, hour) in enumerate(schedule.on_day(day)):
            rng = stream(world.seed, "session", day, number)
            start = _start_by_timer(world, day, hour, rng)
            session = open_session(world, network, day, start, rng)
            probe = Probe(world.probe_cc, session, world.helper, world.names)
            tests = [
                measure_site(probe, session, site, rng) for site in schedule.deal(network, day)
            ]
            yield Batch(session, day, _receipt(session.start, rng), tests)
        for number, watch in enumerate(world.watches):
            if watch.start <= day < watch.stop:
                yield from _keep_watch(world, watch, number, day)
        for number, forgery in enumerate(world.forgeries):
            if forgery.day == day:
                yield forge(world, forgery, number)


def _keep_watch(world: World, watch: Watch, number: int, day: int) -> Iterator[Batch]:
    """The sessions of a day on one network that test what is watched, and nothing else."""
    network = next(one for one in world.networks if one.asn == watch.asn)
    rng = stream(world.seed, "watch", number, day)
    midnight = datetime.combine(world.date_of(day), datetime.min.time())
    for second in sorted(rng.randrange(86_000) for _ in range(watch.sessions_per_day)):
        start = midnight + timedelta(seconds=second)
        session = open_session(world, network, day, start, rng)
        probe = Probe(world.probe_cc, session, world.helper, world.names)
        sites = [world.internet.sites[host] for host in watch.hosts]
        yield Batch(
            session, day, session.start, [measure_site(probe, session, s, rng) for s in sites]
        )


def forge(world: World, forgery: Forgery, number: int) -> Batch:
    """The measurements of a forged report."""
    rng = stream(world.seed, "forged", forgery.claim, forgery.kind, forgery.day, number)
    network = next(one for one in world.networks if one.asn == forgery.asn)
    calm = replace(network, timeout_rate=0.0, dead_session_rate=0.0, portal_session_rate=0.0,
                   filter_session_rate=0.0, fleet_share=0.0,
                   lost_control_share=0.0)  # fmt: skip
    start = _start_by_timer(world, forgery.day, rng.choice(_HOURS), rng)
    session = open_session(world, calm, forgery.day, start, rng)
    session.report_id = session.report_id or _report_id(world, session.start, network, rng)
    session.helper_failure_rate = 0.0
    session.path.lies = forgery.lies
    sites = world.internet.sites
    false = {host: sites[host] for host in forgery.false_controls}
    probe = Probe(world.probe_cc, session, LyingHelper(world.helper, false), world.names)
    tests = [
        Tested(sites[host], probe.measure(_spelling(sites[host], rng))[0], False)
        for _ in range(forgery.repeat)
        for host in forgery.hosts
    ]
    return Batch(session, forgery.day, session.start, tests, forgery)


def measure_site(probe: Probe, session: Session, site: Site, rng: Random) -> Tested:
    """Measure one site, and know whether a fault of the probe's own got in the way."""
    document, is_sound = probe.measure(_spelling(site, rng))
    if session.path.resolver.filters(site):
        is_sound = False
    if session.software.lacks_authority and site.has_tls and site.authority == "second":
        is_sound = False
    return Tested(site, document, is_sound)


def _spelling(site: Site, rng: Random) -> str:
    return site.inputs[0] if len(site.inputs) == 1 else rng.choice(site.inputs)


def _start_by_timer(world: World, day: int, hour: int, rng: Random) -> datetime:
    start = datetime.combine(world.date_of(day), datetime.min.time())
    return start + timedelta(hours=hour, minutes=rng.randint(0, 44), seconds=rng.randint(0, 59))


def open_session(world: World, network: Network, day: int, start: datetime, rng: Random) -> Session:
    software = pick(rng, world.fleet, network.fleet_share)
    if world.omission_share and stream(world.seed, "omits", start).random() < world.omission_share:
        software = replace(software, omits_address=True)
    resolver = Resolver(network.resolver_asn, network.resolver_address)
    if rng.random() < network.filter_session_rate:
        resolver.home_filter = rng.choice(world.censorship.machines.home_filters)
        resolver.is_family = rng.random() < 0.4
    chance = rng.random()
    state = "good"
    if chance < network.dead_session_rate:
        state = "dead"
    elif chance < network.dead_session_rate + network.portal_session_rate:
        state = "portal"
    path = NetworkPath(
        network, resolver, world.internet, world.censorship, day, start, rng, state,
        software.lacks_authority,
    )  # fmt: skip
    report_id = _report_id(world, start, network, rng)
    if rng.random() < 0.004:
        report_id = ""  # the collector could not be reached to open a report
    mobile = network.kind == "mobile" and software.platform == "android"
    rate = 0.6 if stream(world.seed, "helper", day).random() < 0.015 else 0.02
    rate = max(rate, network.lost_control_share)
    is_volunteer = stream(world.seed, "volunteer", start, network.asn).random() < _VOLUNTEER_SHARE
    run_link = RUN_LINK if is_volunteer and day >= _VOLUNTEERS_FROM else ""
    network_type = "mobile" if mobile else "wifi"
    return Session(report_id, start, software, path, network_type, rate, run_link)


def _report_id(world: World, start: datetime, network: Network, rng: Random) -> str:
    head = f"{start:%Y%m%dT%H%M%SZ}_webconnectivity_{world.probe_cc}"
    return f"{head}_{network.asn}_n1_{token(rng)}"


def _receipt(start: datetime, rng: Random) -> datetime:
    """Most measurements arrive at once; a few probes were offline and upload days later."""
    late = timedelta(days=rng.randint(1, 6)) if rng.random() < 0.03 else timedelta()
    return start + late
