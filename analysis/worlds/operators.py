"""The networks of the fictional country: who runs them, and how well they work."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from analysis.errors import ParameterError
from analysis.worlds.numbering import ACCESS_ASNS, AddressPlan, stream

#: style (what the network does), kind, share of the country's sessions
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
#: Networks that only worlds of another size have, in turns.
_MORE = (
    ("bogon", "isp", 8.0),
    ("tcp_timeout", "isp", 8.0),
    ("tls_mitm", "isp", 8.0),
    ("partial", "mobile", 9.0),
    ("flaky", "mobile", 6.0),
    ("tcp_reset", "isp", 8.0),
    ("throttle", "isp", 8.0),
    ("dns_timeout", "mobile", 7.0),
    ("dns_refused", "isp", 7.0),
    ("nxdomain", "mobile", 7.0),
    ("open", "isp", 5.0),
    ("tls_timeout", "isp", 8.0),
    ("home_filter", "mobile", 4.0),
    ("open", "unknown", 4.0),
    ("blockpage", "isp", 7.0),
    ("loopback", "isp", 7.0),
)
#: The ways in which each style of network blocks. Others block nothing.
MECHANISMS = {
    "sinkhole": ("dns.sinkhole",),
    "sinkhole_mobile": ("dns.sinkhole",),
    "borrowed": ("dns.sinkhole",),
    "thin": ("dns.sinkhole",),
    "nxdomain": ("dns.nxdomain",),
    "vpn": ("dns.nxdomain",),
    "loopback": ("dns.loopback",),
    "bogon": ("dns.bogon",),
    "dns_timeout": ("dns.timeout",),
    "dns_refused": ("dns.other",),
    "tcp_timeout": ("tcp.timeout",),
    "tcp_reset": ("tcp.reset",),
    "tls_reset": ("tls.reset", "http.reset", "http.blockpage"),
    "tls_timeout": ("tls.timeout", "http.timeout"),
    "tls_mitm": ("tls.mitm", "http.blockpage"),
    "partial": ("tls.reset", "http.reset"),
    "throttle": ("http.timeout",),
    "blockpage": ("tls.timeout", "tls.reset", "http.blockpage"),
}
#: Styles that every world has.
_ALWAYS = ("sinkhole", "open", "flaky")

NETWORK_COUNT = len(_PLAN)

_WORDS = (
    "Orbit", "Delta", "Meridian", "Harbour", "Summit", "Juniper", "Lantern", "Copper",
    "Willow", "Falcon", "Granite", "Aurora", "Cedar", "Beacon", "Pebble", "Saffron",
    "Tundra", "Marble", "Cobalt", "Heron", "Maple", "Quartz", "Raven", "Sierra",
    "Topaz", "Velvet", "Walnut", "Zephyr", "Amber", "Birch", "Coral", "Dune",
)  # fmt: skip
_SUFFIX = {
    "isp": "Broadband",
    "mobile": "Mobile",
    "education": "Universities Network",
    "hosting": "Data Centre",
    "vpn": "Tunnels",
    "foreign": "International",
    "unknown": "Networks",
}


@dataclass(slots=True)
class Network:
    """An AS that probes measure from.

    ``resolver_asn`` is the network whose resolver its customers use. ``timeout_rate`` is the
    chance that one step (a lookup, a connection…) runs out of time. Inside means that servers
    abroad see its clients as being in the country.
    """

    role: str  # one of a kind; "open_2" is the second of the style "open"
    style: str
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
    lost_control_share: float = 0.0  # of its tests, for which the helper cannot be reached
    bad_spell: tuple[int, int] | None = None  # days on which its lines were much worse


def make_networks(
    seed: int,
    plan: AddressPlan,
    network_count: int,
    mechanisms: Collection[str] | None,
    flaky_share: float | None,
) -> list[Network]:
    """The networks in the order of their AS numbers; the seed decides which plays which role."""
    rng = stream(seed, "networks")
    cast = _cast(seed, network_count, mechanisms, flaky_share)
    asns = list(ACCESS_ASNS[:network_count])
    rng.shuffle(asns)
    words = list(_WORDS[:network_count])
    rng.shuffle(words)
    networks: dict[str, Network] = {}
    for (style, kind, weight), asn, word in zip(cast, asns, words, strict=True):
        count = sum(network.style == style for network in networks.values())
        role = f"{style}_{count + 1}" if count else style
        networks[role] = Network(
            role=role,
            style=style,
            asn=asn,
            name=f"{word} {_SUFFIX[kind]}",
            operator=word,
            kind=kind,
            weight=weight,
            resolver_asn=asn,
            resolver_address=plan.take(asn),
            is_inside=kind not in ("vpn", "foreign"),
        )
    for network in networks.values():
        _set_quality(network)
        if network.style in ("flaky", "open", "tls_reset"):
            start = stream(seed, "spells", network.role).randrange(30, 300)
            network.bad_spell = (start, start + 21)
    _tie_together(networks)
    return sorted(networks.values(), key=lambda network: network.asn)


def _cast(
    seed: int,
    network_count: int,
    mechanisms: Collection[str] | None,
    flaky_share: float | None,
) -> list[tuple[str, str, float]]:
    """Which networks there are: style, kind and share of the sessions."""
    plan = list(_PLAN)
    if network_count != NETWORK_COUNT or mechanisms is not None:
        plan = _resize(seed, network_count, mechanisms)
    if flaky_share is not None:
        plan = _make_flaky(plan, round(flaky_share * network_count))
    return plan


def _resize(
    seed: int, network_count: int, mechanisms: Collection[str] | None
) -> list[tuple[str, str, float]]:
    """Networks from both casts, by the seed; those without which little happens always."""
    rows = [row for row in (*_PLAN, *_MORE) if mechanisms is None or _may(row[0], mechanisms)]
    always = [row for row in rows if row in _PLAN and row[0] in _ALWAYS]
    others = [row for row in rows if row not in always]
    stream(seed, "cast").shuffle(others)
    plan = [*always, *others][:network_count]
    return plan + [("open", "isp", 5.0)] * (network_count - len(plan))


def _may(style: str, mechanisms: Collection[str]) -> bool:
    return style not in MECHANISMS or any(name in mechanisms for name in MECHANISMS[style])


def _make_flaky(plan: list[tuple[str, str, float]], count: int) -> list[tuple[str, str, float]]:
    """So many of the networks that block nothing are flaky."""
    quiet = [i for i, row in enumerate(plan) if row[0] in ("open", "flaky")]
    chosen = quiet[:count]
    return [
        ("flaky" if i in chosen else "open", *row[1:]) if i in quiet else row
        for i, row in enumerate(plan)
    ]


def _set_quality(network: Network) -> None:
    style = network.style
    if style == "flaky":
        network.timeout_rate = 0.04  # four steps or so in a measurement: 15 % fail
        network.dead_session_rate = 0.04
    if style in ("open", "loopback"):
        network.portal_session_rate = 0.05 if style == "open" else 0.01
    if style == "home_filter":
        network.filter_session_rate = 0.3
    if style == "education":
        network.fleet_share = 0.6
    network.has_v6 = style in ("education", "hosting")
    network.is_v6_broken = style in ("nxdomain", "open")


def _tie_together(networks: dict[str, Network]) -> None:
    """The mobile arm of the sinkhole's operator, and the network that borrows its resolver."""
    owner = networks.get("sinkhole")
    if owner is None:
        return
    if "sinkhole_mobile" in networks:
        arm = networks["sinkhole_mobile"]
        arm.operator = owner.operator
        arm.name = f"{owner.operator} {_SUFFIX['mobile']}"
    if "borrowed" in networks:
        borrower = networks["borrowed"]
        borrower.resolver_asn = owner.asn
        borrower.resolver_address = owner.resolver_address


def check_mechanisms(mechanisms: Sequence[str]) -> None:
    """Refuse a way of blocking that no network has."""
    known = sorted({name for names in MECHANISMS.values() for name in names})
    for name in mechanisms:
        if name not in known:
            raise ParameterError("mechanisms", name, f"there are {', '.join(known)}")
