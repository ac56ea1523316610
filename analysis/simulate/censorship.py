"""What each network of the fictional country does to the sites it was told to block.

A block is one site on one network from one day to another. The first thing that can stop a
probe is done by the resolver (it lies), then by a box on the path: it answers DNS queries in
the place of others, resets a TLS handshake by its server name, or answers a plain HTTP request.
"""

from dataclasses import dataclass, replace
from random import Random

from analysis.simulate.internet import (
    NXDOMAIN,
    RESET,
    TIMED_OUT,
    UNKNOWN_AUTHORITY,
    Internet,
    Server,
)
from analysis.simulate.names import Site
from analysis.simulate.networks import Network
from analysis.simulate.pages import Page, make_page
from analysis.simulate.randomness import stream


@dataclass(frozen=True, slots=True)
class Block:
    """One site blocked on one network, from day ``start`` (in) to day ``stop`` (out)."""

    host: str
    asn: int
    mechanism: str
    start: int
    stop: int
    detail: str = ""
    lie: str = ""  # the address, or failure, that the network's resolver answers
    injected: str = ""  # the failure that the path answers to any resolver's query
    tls_failure: str = ""
    http_failure: str = ""
    http_page: Page | None = None

    def is_on(self, day: int) -> bool:
        return self.start <= day < self.stop


class Censorship:
    """Everything that is blocked, by network and site."""

    def __init__(self, blocks: list[Block], machines: "Machines", order_day: int) -> None:
        self.order_day = order_day  # when all networks were told to close some sites at once
        self.blocks = sorted(blocks, key=lambda block: (block.host, block.asn, block.start))
        self.machines = machines
        self._by_place: dict[tuple[int, str], list[Block]] = {}
        for block in self.blocks:
            self._by_place.setdefault((block.asn, block.host), []).append(block)

    def on(self, asn: int, host: str, day: int) -> Block | None:
        """The block of a site on a network on a day."""
        for block in self._by_place.get((asn, host), ()):
            if block.is_on(day):
                return block
        return None


#: What the filtering gateway of one network calls itself.
GATEWAY = "Gatekeeper/2.1"

#: How many sites each kind of network blocks, of the sites that may be.
_COUNTS = {"sinkhole": 17, "nxdomain": 14, "loopback": 12, "tls_reset": 14, "blockpage": 13,
           "thin": 4, "vpn": 4}  # fmt: skip
_BLOCKED = {"NEWS", "POLR", "HUMR", "GMB", "PORN", "ANON", "LGBT", "GRP"}
#: Situations in which a block can be told from everything else that is going on.
_CANDIDATES = {"live": 30, "plain_http": 4, "shared_hosting": 3, "redirect": 3, "cdn_same_asn": 2,
               "cdn_other_asn": 2, "late": 4}  # fmt: skip


def make_censorship(
    seed: int, internet: Internet, networks: list[Network], day_count: int
) -> Censorship:
    """Decide who blocks what, how and when, and put up the machines that this takes."""
    by_role = {network.role: network for network in networks}
    machines = _put_up_machines(seed, internet, by_role)
    candidates = _candidates(seed, internet)
    order_day = int(day_count * stream(seed, "orders").uniform(0.35, 0.65))
    blocks: list[Block] = []
    for role, count in _COUNTS.items():
        rng = stream(seed, "blocks", role)
        chosen = _choose(rng, candidates, count, role)
        schedules = _schedules(rng, len(chosen), day_count, order_day, role)
        for index, (site, times) in enumerate(zip(chosen, schedules, strict=True)):
            if site.situation == "late":
                times = [(0, day_count)]  # nobody would know of a change before it was tested
            for start, stop in times:
                if start >= stop:
                    continue  # in a very short period
                block = _carry_out(role, index, site, by_role[role].asn, machines)
                block = replace(block, start=start, stop=stop)
                blocks += [block, *_shared_blocks(role, block, by_role)]
    return Censorship(blocks, machines, order_day)


def _candidates(seed: int, internet: Internet) -> list[Site]:
    """The sites that somebody in the country wants blocked, the most wanted first."""
    rng = stream(seed, "candidates")
    chosen: list[Site] = []
    for situation, count in _CANDIDATES.items():
        sites = [
            site
            for site in internet.sites.values()
            if site.situation == situation and site.category in _BLOCKED
        ]
        chosen += rng.sample(sites, min(count, len(sites)))
    rng.shuffle(chosen)
    return chosen


def _choose(rng: Random, candidates: list[Site], count: int, role: str) -> list[Site]:
    """Half from the common list of most wanted sites, the rest by each network's own zeal."""
    wanted, others = candidates[: count // 2], candidates[count // 2 :]
    if role == "vpn":
        # The exit lies in another country, with other taboos.
        wanted, others = [], candidates[::-1][:12]
    chosen = wanted + rng.sample(others, min(count - len(wanted), len(others)))
    plain = [site for site in candidates if not site.is_https and site not in chosen]
    return chosen + plain[: 2 if role in ("blockpage", "tls_reset") else 0]


def _schedules(
    rng: Random, count: int, day_count: int, order_day: int, role: str
) -> list[list[tuple[int, int]]]:
    """When each block holds: mostly always, some from an order on, some lifted, some twice."""
    whole = (0, day_count)
    result: list[list[tuple[int, int]]] = []
    for index in range(count):
        kind = 0 if role in ("thin", "vpn") else index % 8
        if kind == 1:  # the order that all networks got at once, carried out within days
            result.append([(order_day + rng.randint(0, 5), day_count)])
        elif kind == 3:
            result.append([(0, int(day_count * rng.uniform(0.4, 0.75)))])
        elif kind == 5:
            result.append([(int(day_count * rng.uniform(0.3, 0.65)), day_count)])
        elif kind == 6:
            first = int(day_count * rng.uniform(0.22, 0.32))
            second = int(day_count * rng.uniform(0.58, 0.68))
            result.append([(0, first), (second, day_count)])
        else:
            result.append([whole])
    rng.shuffle(result)
    return result


@dataclass(frozen=True, slots=True)
class Machines:
    """The addresses and pages with which networks block, substitute and filter."""

    page_sinkhole: str
    silent_sinkhole: str
    thin_sinkhole: str
    substitution: str  # what one resolver answers for names that do not exist
    substituting_asn: int
    home_filters: tuple[str, ...]  # what filters in people's homes answer for advertising
    portal: str  # where a hotspot sends those who have not paid
    order_page: Page
    legal_page: Page
    gateway_page: Page
    notice: str  # words of the legal page that observers know it by
    tls_failure: str
    http_failure: str


def _put_up_machines(seed: int, internet: Internet, by_role: dict[str, Network]) -> Machines:
    rng = stream(seed, "machines")
    take = internet.plan.take
    owner = by_role["sinkhole"].asn
    notice = "closed by decision of the regulator"
    machines = Machines(
        page_sinkhole=take(owner),
        silent_sinkhole=take(owner),
        thin_sinkhole=take(by_role["thin"].asn),
        substitution=take(by_role["substitution"].asn),
        substituting_asn=by_role["substitution"].asn,
        home_filters=("10.10.10.1", "0.0.0.0"),
        portal="192.168.8.1",
        order_page=make_page(
            "Access restricted",
            ["This site is not available on this network.", "Ref. 7/2023, art. 12."],
        ),
        legal_page=make_page(
            "Notice to visitors", [f"The page that you asked for was {notice}.", "Case 114-B."]
        ),
        gateway_page=make_page(
            "Blocked by policy", ["The gateway refused this address."], 403, ("Server", GATEWAY)
        ),
        notice=notice,
        tls_failure=rng.choice([TIMED_OUT, RESET]),
        http_failure=rng.choice(["", RESET]),
    )
    _switch_on(internet, machines)
    return machines


def _switch_on(internet: Internet, machines: Machines) -> None:
    place = internet.place
    place(machines.page_sinkhole, Server(page=machines.order_page, ports=(80,)))
    place(machines.silent_sinkhole, Server(is_silent=True))
    place(machines.thin_sinkhole, Server(is_silent=True))
    offers = make_page("Did you mean…", ["The name was not found.", "Cheap flights. Loans."] * 3)
    place(machines.substitution, Server(page=offers, ports=(80,)))
    blank = make_page("", [""])
    place(machines.home_filters[0], Server(page=blank, certificate_failure=UNKNOWN_AUTHORITY))
    top_up = make_page("Top up to go on", ["Your data plan is used up. Choose a package."])
    place(machines.portal, Server(page=top_up, ports=(80,)))


def _carry_out(role: str, index: int, site: Site, asn: int, machines: Machines) -> Block:
    """How a network of this role blocks the site; the days are set by the caller."""
    block = Block(site.host, asn, "", 0, 0)
    if role == "sinkhole":
        # Gambling was closed by another office, which has a sinkhole of its own.
        silent = index % 3 == 2
        lie = machines.silent_sinkhole if silent else machines.page_sinkhole
        detail = "silent address" if silent else "address with a page"
        return replace(block, mechanism="dns.sinkhole", lie=lie, detail=detail)
    if role == "thin":
        return replace(block, mechanism="dns.sinkhole", lie=machines.thin_sinkhole, detail="thin")
    if role in ("nxdomain", "vpn"):
        return replace(block, mechanism="dns.nxdomain", injected=NXDOMAIN)
    if role == "loopback":
        return replace(block, mechanism="dns.loopback", lie="127.0.0.1")
    if role == "tls_reset":
        page = None if machines.http_failure else machines.gateway_page
        block = replace(block, tls_failure=RESET, http_failure=machines.http_failure)
        return _by_scheme(replace(block, http_page=page), site)
    block = replace(block, tls_failure=machines.tls_failure, http_page=machines.legal_page)
    return _by_scheme(block, site)


def _by_scheme(block: Block, site: Site) -> Block:
    """The mechanism that shows is decided by the scheme under which the site is tested."""
    if site.is_https:
        kind = "reset" if block.tls_failure == RESET else "timeout"
        return replace(block, mechanism=f"tls.{kind}")
    return replace(block, mechanism="http.reset" if block.http_failure else "http.blockpage")


def _shared_blocks(role: str, block: Block, by_role: dict[str, Network]) -> list[Block]:
    """A resolver's lies reach every network whose customers use it."""
    if role != "sinkhole":
        return []
    borrower = replace(block, asn=by_role["borrowed"].asn, detail="through another's resolver")
    return [replace(block, asn=by_role["sinkhole_mobile"].asn), borrower]
