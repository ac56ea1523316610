"""Forged reports: invented blocks, blocked sites claimed to be open, and false controls.

Anybody may submit a measurement, and the probe itself relays the helper's reply. A forger here runs
a real probe's code on a false network, so that a forged line looks like an honest one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from random import Random

from analysis.worlds.censorship import Block, Censorship
from analysis.worlds.country import (
    NXDOMAIN,
    RESET,
    Control,
    Helper,
    Internet,
    Lookup,
    Network,
    Site,
    Target,
    endpoint,
    stream,
)

#: Domain, network, claim, and days.
Claim = tuple[str, int, str, tuple[date, ...]]

#: Claim → the styles of network for its flood, its pair and its series of days.
_TARGETS = (
    ("blocked", ("open", "thin", "sinkhole")),
    ("open", ("nxdomain", "sinkhole", "loopback")),
    ("control_dead", ("nxdomain", "tls_reset", "sinkhole")),
    ("control_alive", ("substitution", "thin", "open")),
)
_FLOOD_ROWS = 240
_VICTIM_COUNTS = {"flood": 40, "pair": 8, "days": 5}
#: Kind → days of its reports, counted from the first.
_DAYS = {"flood": (0,), "pair": (0, 0), "days": (0, 1, 4)}


@dataclass(frozen=True, slots=True)
class Forgery:
    """One forged report.

    ``claim`` is "blocked" or "open", or a false control: "control_dead" for a living name,
    "control_alive" for a dead one. ``lies`` is name → the claimed block, or None for open.
    ``false_controls`` are names for which the helper's reply is the opposite of the truth. Each
    name is repeated ``repeat`` times.
    """

    day: int
    asn: int
    kind: str  # "flood", "pair" (two on one day), "days" (one each on several) or "order"
    claim: str
    hosts: tuple[str, ...]
    repeat: int = 1
    lies: Mapping[str, Block | None] = field(default_factory=dict)
    false_controls: tuple[str, ...] = ()


class LyingHelper(Helper):
    """A helper whose replies are forged: living names are dead, and dead ones live."""

    def __init__(self, internet: Internet, sites: Mapping[str, Site]) -> None:
        super().__init__(0, internet)
        self._sites = sites

    def measure(self, target: Target, addresses: list[str], day: int) -> Control:
        """Return the opposite of the truth for the forged names."""
        site = self._sites.get(target.host)
        if site is None:
            return super().measure(target, addresses, day)
        if day not in site.dead:
            return Control(dns=Lookup(failure=NXDOMAIN), http_failure="dns_lookup_error")
        address = site.v4[0]
        ports = (443,) if target.is_https else (443, 80)
        return Control(
            dns=Lookup((address,)),
            tcp={endpoint(address, port): None for port in ports},
            tls={endpoint(address, 443): None},
            page=site.page,
            ip_info={address: {"asn": self.internet.plan.asn(address)}},
        )


def plan_forgeries(
    seed: int,
    networks: Sequence[Network],
    sites: Sequence[Site],
    censorship: Censorship,
    day_count: int,
) -> list[Forgery]:
    """Plan each kind of report for each claim, on networks of all kinds."""
    rng = stream(seed, "forgeries")
    plan: list[Forgery] = []
    styles = {network.style: network for network in reversed(networks)}
    taken: set[tuple[int, str]] = set()  # no pair has reports of two forgers
    for claim, target_styles in _TARGETS if day_count >= 20 else ():
        for kind, style in zip(_DAYS, target_styles, strict=True):
            network = styles.get(style) or styles.get("open") or networks[0]
            hosts = _find_victims(rng, claim, network, sites, censorship, day_count)
            free = [host for host in hosts if (network.asn, host) not in taken]
            hosts = free[: max(1, min(_VICTIM_COUNTS[kind], (len(hosts) + 2) // 3))]
            taken |= {(network.asn, host) for host in hosts}
            if not hosts:
                continue
            first = rng.randrange(day_count // 4, 3 * day_count // 4)
            # A false control does not change the block itself.
            is_control = claim.startswith("control")
            lies = {} if is_control else {h: _lie(network, h, censorship, claim) for h in hosts}
            plan += [
                Forgery(
                    day=min(first + offset, day_count - 1),
                    asn=network.asn,
                    kind=kind,
                    claim=claim,
                    hosts=tuple(hosts),
                    repeat=-(-_FLOOD_ROWS // len(hosts)) if kind == "flood" else 1,
                    lies=lies,
                    false_controls=tuple(hosts) if is_control else (),
                )
                for offset in _DAYS[kind]
            ]
    return sorted(plan, key=lambda report: (report.day, report.asn, report.claim, report.kind))


def _find_victims(
    rng: Random,
    claim: str,
    network: Network,
    sites: Sequence[Site],
    censorship: Censorship,
    day_count: int,
) -> list[str]:
    """Return names for which the claim is false in the whole period."""
    own = [block for block in censorship.blocks if block.asn == network.asn]
    blocked = {block.host for block in own}
    always = {block.host for block in own if block.start <= 0 and block.stop >= day_count}
    if claim == "blocked":
        hosts = [
            s.host for s in sites if s.situation in ("live", "plain_http") and s.host not in blocked
        ]
    elif claim == "control_alive":
        hosts = [site.host for site in sites if site.situation == "dead"]
    else:
        hosts = [site.host for site in sites if site.host in always]
    rng.shuffle(hosts)
    return hosts


def order_forgeries(
    claims: Sequence[Claim],
    networks: Sequence[Network],
    censorship: Censorship,
    since: date,
) -> list[Forgery]:
    """Return the reports for some claims, in the order of their days."""
    by_asn = {network.asn: network for network in networks}
    reports = []
    for domain, asn, claim, days in claims:
        lies = {domain: _lie(by_asn[asn], domain, censorship, claim)}
        reports += [
            Forgery((day - since).days, asn, "order", claim, (domain,), lies=lies) for day in days
        ]
    return sorted(reports, key=lambda report: (report.day, report.asn, report.hosts))


def _lie(network: Network, host: str, censorship: Censorship, claim: str) -> Block | None:
    """Return a block like the network's own, if it has any, because it is hardest to detect."""
    if claim == "open":
        return None
    own = [block for block in censorship.blocks if block.asn == network.asn and block.lie]
    if own:
        return replace(own[0], host=host)
    if network.style == "tls_reset":
        return Block(host, network.asn, "forged", 0, 0, tls_failure=RESET, http_failure=RESET)
    return Block(host, network.asn, "forged", 0, 0, injected=NXDOMAIN)
