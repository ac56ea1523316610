"""A year of measurements in the fictional country."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from random import Random

from analysis.period import Period
from analysis.worlds.archive import Entry, encode
from analysis.worlds.censorship import (
    Block,
    Censorship,
    Watch,
    add_cases,
    change_networks,
    change_sites,
    make_censorship,
)
from analysis.worlds.country import (
    CONTENT_ASNS,
    NAME_COUNT,
    NETWORK_COUNT,
    AddressPlan,
    Helper,
    Internet,
    Network,
    Site,
    make_networks,
    make_sites,
    spread_caches,
    stream,
    token,
)
from analysis.worlds.examined import arrange, plain_networks
from analysis.worlds.forgery import Claim, Forgery, LyingHelper, order_forgeries, plan_forgeries
from analysis.worlds.session import Session, Trouble, measure, pick

#: Hours (UTC) at which automated probes measure; on most days two of them are used.
_HOURS = (2, 9, 14, 20)
#: Names that a session tests.
_BATCH_SIZE = 24
#: Share of sessions without addresses of requests, in the case ``no_addresses``.
_OMISSION_SHARE = 0.33
#: The OONI Run link of a project, its volunteers' share of sessions, and its first day.
RUN_LINK, _VOLUNTEER_SHARE, _VOLUNTEERS_FROM = "10999", 0.25, 60


@dataclass(frozen=True, slots=True)
class Design:
    """The parameters of a world.

    Attributes:
        probe_cc: a fictional country code.
        seed: of names, addresses, days, and the roles of networks.
        sessions_per_day: sessions in the whole country on an average day.
        network_count: 6 to 32; the default has a fixed set of roles.
        name_count: 40 to 400.
        new_share: share of probes that run web_connectivity 0.5; None for the default.
        flaky_share: share of networks that are flaky; None for the default.
        has_forgeries: whether there are forged reports. Nothing else depends on it.
        claims: further forged reports: the domain, the network's number, ``blocked`` or ``open``,
            and the days, each with one report.
        cases: names in ``censorship.CASES``; they change nothing else.
        has_apps: whether probes also test messaging apps and circumvention tools. Nothing else
            depends on it.
        app_seed: draws the blocks of apps; None for the default.
        block_seed: draws the blocks of web sites; None draws them by ``seed``.
        situation: a name in ``examined.EXAMINED``, instead of the default networks and blocks.
    """

    probe_cc: str
    period: Period
    seed: int = 1
    sessions_per_day: float = 4.5
    network_count: int = NETWORK_COUNT
    name_count: int = NAME_COUNT
    new_share: float | None = None
    flaky_share: float | None = None
    has_forgeries: bool = True
    claims: Sequence[Claim] = ()
    cases: tuple[str, ...] = ("exam_hours",)
    has_apps: bool = False
    app_seed: int | None = None
    block_seed: int | None = None
    situation: str = ""


@dataclass(slots=True)
class World:
    """A world before probes measure."""

    design: Design
    sites: list[Site]
    networks: list[Network]
    internet: Internet
    censorship: Censorship
    helper: Helper
    names: dict[int, str]  # of networks
    forgeries: list[Forgery]
    watches: list[Watch]
    troubles: Sequence[Trouble] = ()
    changes: Mapping[int, Callable[[], None]] = field(default_factory=dict)  # on these days

    def date_of(self, day: int) -> date:
        """Return the date of a day, counted from the period's first."""
        return self.design.period.since + timedelta(days=day)

    def midnight(self, day: int) -> datetime:
        """Return the beginning of a day, counted from the period's first."""
        return datetime.combine(self.date_of(day), time())


@dataclass(slots=True)
class Batch:
    """One session's measurements, and the time at which the collector received them."""

    session: Session
    receipt: datetime
    tests: list[Entry]
    forgery: Forgery | None = None


def make_world(design: Design) -> World:
    """Make the country: names, networks, servers and blocks."""
    seed, period, cases = design.seed, design.period, design.cases
    plan = AddressPlan(seed, design.network_count)
    if design.situation:
        networks = plain_networks(design.situation, plan)
    else:
        networks = make_networks(seed, plan, design.network_count, design.flaky_share)
    change_networks(cases, networks)
    sites = make_sites(seed, plan, period.day_count, design.name_count)
    change_sites(cases, seed, sites)
    spread_caches(seed, sites, networks, plan)
    internet = Internet(sites, plan)
    block_seed = seed if design.block_seed is None else design.block_seed
    usual = make_censorship(block_seed, internet, networks, period.day_count)
    blocks, watches = add_cases(cases, seed, period, networks, sites, usual)
    troubles, changes = [], {}
    if design.situation:
        scene = arrange(design.situation, seed, period.day_count, networks, internet, usual)
        blocks, watches = scene.blocks, scene.watches
        troubles, changes = scene.troubles, scene.changes
    censorship = Censorship([*usual.blocks, *blocks], usual.machines, usual.order_day)
    forgeries: list[Forgery] = []
    if design.has_forgeries:
        forgeries = plan_forgeries(seed, networks, sites, censorship, period.day_count)
    forgeries += order_forgeries(design.claims, networks, censorship, period.since)
    names = {network.asn: network.name for network in networks}
    names |= {asn: f"Hosting {asn - CONTENT_ASNS[0]}" for asn in CONTENT_ASNS}
    return World(
        design=design,
        sites=sites,
        networks=networks,
        internet=internet,
        censorship=censorship,
        helper=Helper(seed, internet),
        names=names,
        forgeries=forgeries,
        watches=watches,
        troubles=troubles,
        changes=changes,
    )


def _take_turns(sites: Sequence[Site], rng: Random) -> Iterator[Site]:
    """Repeat the sites for ever, each time in another random order.

    Like a probe with its list, each network works through the names in turns, so that all names are
    tested about equally often.
    """
    while True:
        deck = list(sites)
        rng.shuffle(deck)
        yield from reversed(deck)


def _schedule(world: World, rng: Random, day: int) -> list[tuple[Network, int]]:
    """Draw the sessions of a day: network and hour, in order of time."""
    rate = world.design.sessions_per_day
    count = int(rate) + (rng.random() < rate % 1)
    weights = []
    for network in world.networks:
        # Volunteers come and go, so that some networks have no tests for a month.
        month = stream(world.design.seed, "zeal", network.asn, day // 30)
        weights.append(network.weight * month.choice((0.0, 0.5, 1.0, 1.0, 1.0, 1.5, 2.0)))
    hours = sorted(rng.sample(_HOURS, 2 if rng.random() < 0.8 else 3))
    chosen = rng.choices(world.networks, weights, k=count)
    return sorted(
        ((network, rng.choice(hours)) for network in chosen),
        key=lambda item: (item[1], item[0].asn),
    )


def _deal(turns: Iterator[Site], most: int, day: int) -> list[Site]:
    """Return the next names for a session; once they repeat, ``most`` are enough."""
    hand: list[Site] = []
    while len(hand) < _BATCH_SIZE:
        site = next(turns)
        if site.tested_from <= day and site not in hand:
            hand.append(site)
        elif len(hand) >= most:
            break
    return hand


def run_sessions(world: World) -> Iterator[Batch]:
    """Yield all sessions of the period, in order of their start."""
    rng = stream(world.design.seed, "schedule")
    turns = {network.asn: _take_turns(world.sites, rng) for network in world.networks}
    for day in range(world.design.period.day_count):
        if day in world.changes:
            world.changes[day]()
        for number, (network, hour) in enumerate(_schedule(world, rng, day)):
            luck = stream(world.design.seed, "session", day, number)
            start = _start_by_timer(world, day, hour, luck)
            session = open_session(world, network, day, start, luck)
            hand = _deal(turns[network.asn], len(world.sites) // 2, day)
            tests = [measure_site(session, site) for site in hand]
            yield Batch(session, start + _wait(luck), tests)
        if "one_second" in world.design.cases and day == world.design.period.day_count - 1:
            luck = stream(world.design.seed, "second volunteer")
            second = open_session(world, network, day, start, luck)
            second.software = session.software
            yield Batch(second, start, [measure_site(second, site) for site in hand])
        for number, watch in enumerate(world.watches):
            if watch.start <= day < watch.stop:
                yield from _keep_watch(world, watch, number, day)
        for number, forgery in enumerate(world.forgeries):
            if forgery.day == day:
                yield forge(world, forgery, number)


def _wait(luck: Random) -> timedelta:
    """Return how long after a session the collector got it: a few probes were offline for days.

    Of 9,910 telegram tests in Kenya in 2023 and 2024, 12 came more than a day late, 8 more than two
    days, 7 more than thirty. It is more often here, so that a small country has some.
    """
    return timedelta(days=luck.choice((1, 2, 5, 12)) if luck.random() < 0.004 else 0)


def _keep_watch(world: World, watch: Watch, number: int, day: int) -> Iterator[Batch]:
    """Yield the sessions of a day on one network that test only the watched names."""
    network = next(network for network in world.networks if network.asn == watch.asn)
    rng = stream(world.design.seed, "watch", number, day)
    for second in sorted(rng.randrange(86_000) for _ in range(watch.sessions_per_day)):
        start = world.midnight(day) + timedelta(seconds=second)
        session = open_session(world, network, day, start, rng)
        tests = [measure_site(session, world.internet.sites[host]) for host in watch.hosts]
        yield Batch(session, start, tests)


def forge(world: World, forgery: Forgery, number: int) -> Batch:
    """Make the measurements of a forged run."""
    rng = stream(world.design.seed, "forged", forgery.claim, forgery.kind, forgery.day, number)
    network = next(network for network in world.networks if network.asn == forgery.asn)
    calm = replace(
        network,
        timeout_rate=0.0,
        dead_session_rate=0.0,
        portal_session_rate=0.0,
        filter_session_rate=0.0,
        fleet_share=0.0,
        lost_control_share=0.0,
    )
    start = _start_by_timer(world, forgery.day, rng.choice(_HOURS), rng)
    session, sites = open_session(world, calm, forgery.day, start, rng), world.internet.sites
    session.report_id = session.report_id or _report_id(world, start, network, rng)
    session.helper_failure_rate = 0.0
    session.lies = forgery.lies
    session.helper = LyingHelper(world.internet, {h: sites[h] for h in forgery.false_controls})
    tests = [
        replace(measure_site(session, sites[host]), is_sound=False)
        for _ in range(forgery.repeat)
        for host in forgery.hosts
    ]
    return Batch(session, start, tests, forgery)


def measure_site(session: Session, site: Site) -> Entry:
    """Measure one site, and know whether a fault of the probe's own got in the way."""
    url = site.inputs[0] if len(site.inputs) == 1 else session.rng.choice(site.inputs)
    document, is_sound = measure(session, url)
    is_distrusted = session.software.lacks_authority and site.authority == "second"
    if session.filters(site) or (is_distrusted and site.has_tls):
        is_sound = False
    return Entry(encode(document), "kept", document, is_sound)


def _start_by_timer(world: World, day: int, hour: int, rng: Random) -> datetime:
    minutes, seconds = rng.randint(0, 44), rng.randint(0, 59)
    return world.midnight(day) + timedelta(hours=hour, minutes=minutes, seconds=seconds)


def open_session(world: World, network: Network, day: int, start: datetime, rng: Random) -> Session:
    """Open a session: draw the probe's build and the state of its network."""
    software = pick(rng, world.design.new_share, network.fleet_share)
    if "no_addresses" in world.design.cases:
        omits = stream(world.design.seed, "omits", start).random() < _OMISSION_SHARE
        software = replace(software, omits_address=omits)
    lies: dict[str, Block | None] = {}
    for number, trouble in enumerate(world.troubles):
        luck = stream(world.design.seed, "trouble", number, start).random()
        if trouble.asn == network.asn and day in trouble.days and luck < trouble.share:
            lies |= trouble.effects
            software = trouble.build or software
    home_filter, is_family = "", False
    if rng.random() < network.filter_session_rate:
        home_filter = rng.choice(world.censorship.machines.home_filters)
        is_family = rng.random() < 0.4
    chance = rng.random()
    state = "good"
    if chance < network.dead_session_rate:
        state = "dead"
    elif chance < network.dead_session_rate + network.portal_session_rate:
        state = "portal"
    way_out = rng.random()
    report_id = _report_id(world, start, network, rng)
    if rng.random() < 0.004:
        report_id = ""  # the collector could not be reached to open a report
    rate = 0.6 if stream(world.design.seed, "helper", day).random() < 0.015 else 0.02
    luck = stream(world.design.seed, "volunteer", start, network.asn).random()
    return Session(
        probe_cc=world.design.probe_cc,
        report_id=report_id,
        start=start,
        software=software,
        network=network,
        internet=world.internet,
        censorship=world.censorship,
        helper=world.helper,
        names=world.names,
        helper_failure_rate=max(rate, network.lost_control_share),
        run_link=RUN_LINK if luck < _VOLUNTEER_SHARE and day >= _VOLUNTEERS_FROM else "",
        day=day,
        rng=rng,
        state=state,
        way_out=way_out,
        home_filter=home_filter,
        is_family=is_family,
        lies=lies,
        moment=start,
        # as OONI's server does since 2026
        has_own_ids=day >= world.design.period.day_count // 2,
    )


def _report_id(world: World, start: datetime, network: Network, rng: Random) -> str:
    head = f"{start:%Y%m%dT%H%M%SZ}_webconnectivity_{world.design.probe_cc}"
    return f"{head}_{network.asn}_n1_{token(rng)}"
