"""The networks of the fictional country: who runs them, and how well they work."""

from dataclasses import dataclass

from analysis.simulate.numbering import ACCESS_ASNS, AddressPlan
from analysis.simulate.randomness import stream

#: role, kind, share of the country's sessions
_PLAN = (
    ("sinkhole", "isp", 12.0),
    ("sinkhole_mobile", "mobile", 8.5),
    ("nxdomain", "isp", 11.0),
    ("loopback", "mobile", 11.0),
    ("tls_reset", "isp", 11.0),
    ("blockpage", "isp", 10.0),
    ("substitution", "isp", 7.0),
    ("open", "mobile", 6.0),
    ("flaky", "mobile", 6.0),
    ("borrowed", "isp", 7.5),
    ("education", "education", 4.0),
    ("home_filter", "isp", 5.0),
    ("thin", "isp", 0.6),
    ("vpn", "vpn", 3.5),
    ("hosting", "hosting", 2.0),
    ("foreign", "foreign", 1.2),
)

_WORDS = (
    "Orbit", "Delta", "Meridian", "Harbour", "Summit", "Juniper", "Lantern", "Copper",
    "Willow", "Falcon", "Granite", "Aurora", "Cedar", "Beacon", "Pebble", "Saffron",
)  # fmt: skip
_SUFFIX = {
    "isp": "Broadband",
    "mobile": "Mobile",
    "education": "Universities Network",
    "hosting": "Data Centre",
    "vpn": "Tunnels",
    "foreign": "International",
}


@dataclass(slots=True)
class Network:
    """An AS that probes measure from.

    ``resolver_asn`` is the network whose resolver its customers use. ``timeout_rate`` is the
    chance that one step (a lookup, a connection…) runs out of time. Inside means that servers
    abroad see its clients as being in the country.
    """

    role: str
    asn: int
    name: str
    operator: str
    kind: str
    weight: float
    resolver_asn: int
    resolver_address: str
    is_inside: bool = True
    timeout_rate: float = 0.003
    dead_session_rate: float = 0.004
    portal_session_rate: float = 0.0
    filter_session_rate: float = 0.0
    has_v6: bool = False
    is_v6_broken: bool = False
    fleet_share: float = 0.0  # of its sessions that one fleet of outdated probes ran


def make_networks(seed: int, plan: AddressPlan) -> list[Network]:
    """The networks in the order of their AS numbers; the seed decides which plays which role."""
    rng = stream(seed, "networks")
    asns = list(ACCESS_ASNS)
    rng.shuffle(asns)
    words = list(_WORDS)
    rng.shuffle(words)
    networks = {}
    for (role, kind, weight), asn, word in zip(_PLAN, asns, words, strict=True):
        networks[role] = Network(
            role=role,
            asn=asn,
            name=f"{word} {_SUFFIX[kind]}",
            operator=word,
            kind=kind,
            weight=weight,
            resolver_asn=asn,
            resolver_address=plan.take(asn),
            is_inside=kind not in ("vpn", "foreign"),
        )
    _set_quality(networks)
    _tie_together(networks)
    return sorted(networks.values(), key=lambda network: network.asn)


def _set_quality(networks: dict[str, Network]) -> None:
    networks["flaky"].timeout_rate = 0.04  # four steps or so in a measurement: 15 % fail
    networks["flaky"].dead_session_rate = 0.04
    networks["open"].portal_session_rate = 0.05
    networks["loopback"].portal_session_rate = 0.01
    networks["home_filter"].filter_session_rate = 0.3
    networks["education"].has_v6 = True
    networks["education"].fleet_share = 0.6
    networks["hosting"].has_v6 = True
    networks["nxdomain"].is_v6_broken = True
    networks["open"].is_v6_broken = True


def _tie_together(networks: dict[str, Network]) -> None:
    """The mobile arm of the sinkhole's operator, and the network that borrows its resolver."""
    owner, arm = networks["sinkhole"], networks["sinkhole_mobile"]
    arm.operator = owner.operator
    arm.name = f"{owner.operator} {_SUFFIX['mobile']}"
    borrower = networks["borrowed"]
    borrower.resolver_asn = owner.asn
    borrower.resolver_address = owner.resolver_address
