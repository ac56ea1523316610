"""Reports that somebody made up: blocks that are none, open sites that are blocked, false controls.

Anybody may submit a measurement, and a probe relays what its helper said. A forger here runs a
real probe's code on a network of lies, so that each line is as good as an honest one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from random import Random
from typing import NamedTuple

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.worlds.censorship import Block, Censorship
from analysis.worlds.control_vantage import Control, Helper
from analysis.worlds.internet import NXDOMAIN, RESET, Lookup
from analysis.worlds.names import Site
from analysis.worlds.numbering import stream
from analysis.worlds.operators import Network
from analysis.worlds.urls import Target, endpoint


@dataclass(frozen=True, slots=True)
class Forgery:
    """One forged report.

    ``claim`` is "blocked" or "open", or that a control says so: "control_dead" of a living name,
    "control_alive" of a dead one. ``lies`` is what it says of each name on its network: the block
    that it claims, or None for none. ``false_controls`` are names of which it has the helper say
    the opposite of the truth. Each name is repeated ``repeat`` times.
    """

    day: int
    asn: int
    kind: str  # "flood", "pair" (two on one day) or "days" (one each on several)
    claim: str
    hosts: tuple[str, ...]
    repeat: int = 1
    lies: Mapping[str, Block | None] = field(default_factory=dict)
    false_controls: tuple[str, ...] = ()


class ForgedClaim(NamedTuple):
    """An order for forged reports: one each day that claims ``blocked`` or ``open`` of a name."""

    domain: str
    probe_asn: int
    claim: str
    days: tuple[date, ...]


class LyingHelper(Helper):
    """A helper's answers as a forger writes them: the living are dead, and the dead live."""

    def __init__(self, honest: Helper, sites: Mapping[str, Site]) -> None:
        super().__init__(0, honest.internet, honest.asn)
        self._sites = sites

    def measure(self, target: Target, addresses: list[str], day: int) -> Control:
        """The opposite of what the site is."""
        site = self._sites.get(target.host)
        if site is None:
            return super().measure(target, addresses, day)
        if not site.is_dead(day):
            return Control(dns=Lookup(failure=NXDOMAIN), http_failure="dns_lookup_error")
        address = site.v4[0]
        ports = (443,) if target.is_https else (443, 80)
        return Control(
            dns=Lookup((address,)),
            tcp={endpoint(address, port): None for port in ports},
            tls={endpoint(address, 443): None},
            page=site.page,
            ip_info={address: {"asn": self.internet.plan.asn(address), "flags": 10}},
        )


def plan_forgeries(
    seed: int,
    networks: Sequence[Network],
    sites: Sequence[Site],
    censorship: Censorship,
    day_count: int,
) -> list[Forgery]:
    """What forgers do in a world: each kind of report for each claim, on networks of all kinds."""
    rng = stream(seed, "forgeries")
    if day_count < 20:
        return []
    plan: list[Forgery] = []
    styles = {network.style: network for network in reversed(networks)}
    fallback = styles.get("open") or networks[0]
    taken: set[tuple[int, str]] = set()  # a forger's reports do not add up with another's
    for claim, wanted in _TARGETS:
        for kind, style in zip(("flood", "pair", "days"), wanted, strict=True):
            network = styles.get(style, fallback)
            hosts = _victims(rng, claim, network, sites, censorship, day_count)
            free = [host for host in hosts if (network.asn, host) not in taken]
            hosts = free[: max(1, min(_VICTIM_COUNTS[kind], (len(hosts) + 2) // 3))]
            taken |= {(network.asn, host) for host in hosts}
            if hosts:
                plan += _reports(rng, claim, kind, network, hosts, censorship, day_count)
    return sorted(plan, key=lambda one: (one.day, one.asn, one.claim, one.kind))


#: claim → the styles of network on which its flood, its pair and its series of days appear
_TARGETS = (
    ("blocked", ("open", "thin", "sinkhole")),
    ("open", ("nxdomain", "sinkhole", "loopback")),
    ("control_dead", ("nxdomain", "tls_reset", "sinkhole")),
    ("control_alive", ("substitution", "thin", "open")),
)
_FLOOD_ROWS = 240
_VICTIM_COUNTS = {"flood": 40, "pair": 8, "days": 5}


def _victims(
    rng: Random,
    claim: str,
    network: Network,
    sites: Sequence[Site],
    censorship: Censorship,
    day_count: int,
) -> list[str]:
    """Names on which the claim would be a lie, all through the period."""
    blocked = {block.host for block in censorship.blocks if block.asn == network.asn}
    always = {
        block.host
        for block in censorship.blocks
        if block.asn == network.asn and block.start <= 0 and block.stop >= day_count
    }
    if claim == "blocked":
        hosts = [s.host for s in sites if s.situation in ("live", "plain_http")
                 and s.host not in blocked]  # fmt: skip
    elif claim == "control_alive":
        hosts = [site.host for site in sites if site.situation == "dead"]
    else:
        hosts = [site.host for site in sites if site.host in always]
    rng.shuffle(hosts)
    return hosts


def _reports(
    rng: Random,
    claim: str,
    kind: str,
    network: Network,
    hosts: list[str],
    censorship: Censorship,
    day_count: int,
) -> Iterator[Forgery]:
    chosen = tuple(hosts)
    first = rng.randrange(day_count // 4, 3 * day_count // 4)
    days = {"flood": [first], "pair": [first, first], "days": [first, first + 1, first + 4]}[kind]
    lies = {host: _lie(network, host, censorship, claim) for host in chosen}
    if claim in ("control_dead", "control_alive"):
        # The block itself is left as it is: only what the helper said is made up.
        lies = {}
    for day in days:
        yield Forgery(
            day=min(day, day_count - 1),
            asn=network.asn,
            kind=kind,
            claim=claim,
            hosts=chosen,
            repeat=-(-_FLOOD_ROWS // len(chosen)) if kind == "flood" else 1,
            lies=lies,
            false_controls=chosen if claim.startswith("control") else (),
        )


def order_forgeries(
    claims: Sequence[ForgedClaim],
    networks: Sequence[Network],
    censorship: Censorship,
    period: Period,
) -> list[Forgery]:
    """The reports that carry out orders, in the order of their days."""
    by_asn = {network.asn: network for network in networks}
    orders = []
    for order in claims:
        if order.claim not in ("blocked", "open"):
            raise ParameterError("claim", order.claim, "blocked and open can be ordered")
        lie = _lie(by_asn[order.probe_asn], order.domain, censorship, order.claim)
        for day in order.days:
            number = (day - period.since).days
            orders.append(
                Forgery(number, order.probe_asn, "order", order.claim, (order.domain,),
                        lies={order.domain: lie})
            )  # fmt: skip
    return sorted(orders, key=lambda one: (one.day, one.asn, one.hosts))


def _lie(network: Network, host: str, censorship: Censorship, claim: str) -> Block | None:
    """A block such as the network's own, where it has any: the hardest to tell from the truth."""
    if claim == "open":
        return None
    own = [block for block in censorship.blocks if block.asn == network.asn and block.lie]
    if own:
        return replace(own[0], host=host)
    block = Block(host, network.asn, "forged", 0, 0)
    if network.style == "tls_reset":
        return replace(block, tls_failure=RESET, http_failure=RESET)
    return replace(block, injected=NXDOMAIN)
