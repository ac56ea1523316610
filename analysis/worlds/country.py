"""The networks and sites of the fictional country, and its internet without interference.

Addresses are for documentation only (RFC 5737 and RFC 3849), as are AS numbers (RFC 5398 and, after
the sixteenth network, the private range of RFC 6996) and names (under ``.example``, RFC 2606,
composed of syllables), so that nothing in a fictional archive can be mistaken for a real one.

Each part of the world has random streams of its own, so that a change of one part does not change
the others. Strings seed ``random.Random`` through SHA-512, so no stream depends on PYTHONHASHSEED.
"""

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import cycle
from random import Random
from typing import Any
from urllib.parse import urlsplit

from analysis.hosts import normalise

#: Networks of probes; most worlds use the first of them.
ACCESS_ASNS = tuple(range(64496, 64528))
#: Networks of web servers, test helpers and public resolvers.
CONTENT_ASNS = tuple(range(65536, 65552))
_RANGES = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def stream(seed: int, *labels: object) -> Random:
    """Return the random stream of ``labels`` in the world of ``seed``."""
    return Random("/".join(str(label) for label in (seed, *labels)))


def token(rng: Random) -> str:
    """Return a random token as in a collector's report IDs."""
    return "".join(rng.choices(_ALPHABET, k=16))


class AddressPlan:
    """The assignment of addresses to networks, in /29 blocks.

    Every AS has at least one block; networks with web servers share the remaining ones.
    """

    def __init__(self, seed: int, access_count: int) -> None:
        blocks = [block for text in _RANGES for block in ip_network(text).subnets(new_prefix=29)]
        stream(seed, "address-plan").shuffle(blocks)
        holders = [*ACCESS_ASNS[:access_count], *CONTENT_ASNS]
        self._asns: dict[str, int] = {}
        self.free: dict[int, list[str]] = {asn: [] for asn in holders}  # IPv4 addresses
        self._v6_count = dict.fromkeys(holders, 0)
        holders += [CONTENT_ASNS[i % len(CONTENT_ASNS)] for i in range(len(blocks) - len(holders))]
        for asn, block in zip(holders, blocks, strict=True):
            for address in block:
                if int(address) % 256 not in (0, 255):
                    self._asns[str(address)] = asn
                    self.free[asn].append(str(address))

    def take(self, asn: int) -> str:
        """Take a free IPv4 address of the network."""
        return self.free[asn].pop(0)

    def take_v6(self, asn: int) -> str:
        """Take a free IPv6 address of the network, written as in RFC 5952."""
        self._v6_count[asn] += 1
        address = f"2001:db8:{asn % 65536:x}::{self._v6_count[asn]:x}"
        self._asns[address] = asn
        return address

    def asn(self, address: str) -> int:
        """Return the network of an address; 0 for loopback and private ones."""
        return self._asns.get(address, 0)


#: Style (its behaviour), kind, and share of the country's sessions.
_USUAL_NETWORKS = (
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
#: Networks of worlds of another size.
_MORE_NETWORKS = (
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
#: Networks of worlds of any size.
_EVERYWHERE = (("sinkhole", "isp", 12.0), ("open", "mobile", 6.0), ("flaky", "mobile", 6.0))

#: Style → rates that differ from the defaults.
_QUALITY: dict[str, dict[str, Any]] = {
    # With some four steps in a measurement, 15 % fail.
    "flaky": {"timeout_rate": 0.04, "dead_session_rate": 0.04},
    "open": {"portal_session_rate": 0.05, "is_v6_broken": True},
    "loopback": {"portal_session_rate": 0.01},
    "nxdomain": {"is_v6_broken": True},
    "home_filter": {"filter_session_rate": 0.3},
    "education": {"fleet_share": 0.6, "has_v6": True},
    "hosting": {"has_v6": True},
}
NETWORK_COUNT = len(_USUAL_NETWORKS)

_WORDS = (
    "Orbit",
    "Delta",
    "Meridian",
    "Harbour",
    "Summit",
    "Juniper",
    "Lantern",
    "Copper",
    "Willow",
    "Falcon",
    "Granite",
    "Aurora",
    "Cedar",
    "Beacon",
    "Pebble",
    "Saffron",
    "Tundra",
    "Marble",
    "Cobalt",
    "Heron",
    "Maple",
    "Quartz",
    "Raven",
    "Sierra",
    "Topaz",
    "Velvet",
    "Walnut",
    "Zephyr",
    "Amber",
    "Birch",
    "Coral",
    "Dune",
)
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
class Client:
    """A client: its network, and whether servers abroad see it inside the fictional country."""

    asn: int
    is_inside: bool


@dataclass(slots=True)
class Network(Client):
    """A network of probes.

    ``resolver_asn`` is the network whose resolver its customers use. ``timeout_rate`` is the
    probability that one step (a lookup, a connection…) times out.
    """

    role: str  # unique; "open_2" is the second of the style "open"
    style: str
    name: str
    operator: str
    kind: str
    weight: float
    resolver_asn: int
    resolver_address: str
    timeout_rate: float = 0.003
    dead_session_rate: float = 0.004
    portal_session_rate: float = 0.0
    filter_session_rate: float = 0.0
    has_v6: bool = False
    is_v6_broken: bool = False
    fleet_share: float = 0.0  # of its sessions that are run by outdated probes
    lost_control_share: float = 0.0  # of its tests that cannot reach the helper
    bad_spell: range = range(0)  # days with many timeouts


def make_networks(
    seed: int, plan: AddressPlan, network_count: int, flaky_share: float | None
) -> list[Network]:
    """Make the networks, in the order of their AS numbers; roles are drawn by the seed."""
    rng = stream(seed, "networks")
    asns = list(ACCESS_ASNS[:network_count])
    rng.shuffle(asns)
    words = list(_WORDS[:network_count])
    rng.shuffle(words)
    cast = _cast_networks(seed, network_count, flaky_share)
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
            **_QUALITY.get(style, {}),
        )
        if style in ("flaky", "open", "tls_reset"):
            start = stream(seed, "spells", role).randrange(30, 300)
            networks[role].bad_spell = range(start, start + 21)
    _tie_together(networks)
    return sorted(networks.values(), key=lambda network: network.asn)


def _cast_networks(
    seed: int, network_count: int, flaky_share: float | None
) -> list[tuple[str, str, float]]:
    """Return style, kind and weight of each network; ``flaky_share`` of all are flaky, if given."""
    cast = list(_USUAL_NETWORKS)
    if network_count != NETWORK_COUNT:
        rows = [*_USUAL_NETWORKS, *_MORE_NETWORKS]
        optional = [row for row in rows if row not in _EVERYWHERE]
        stream(seed, "cast").shuffle(optional)
        cast = [*(row for row in rows if row in _EVERYWHERE), *optional][:network_count]
    if flaky_share is not None:
        quiet = [i for i, (style, *_) in enumerate(cast) if style in ("open", "flaky")]
        flaky = quiet[: round(flaky_share * network_count)]
        for i in quiet:
            cast[i] = ("flaky" if i in flaky else "open", *cast[i][1:])
    return cast


def _tie_together(networks: dict[str, Network]) -> None:
    """Connect the sinkhole's network with its mobile arm and the borrower of its resolver."""
    owner = networks["sinkhole"]
    if "sinkhole_mobile" in networks:
        arm = networks["sinkhole_mobile"]
        arm.operator = owner.operator
        arm.name = f"{owner.operator} {_SUFFIX['mobile']}"
    if "borrowed" in networks:
        borrower = networks["borrowed"]
        borrower.resolver_asn = owner.asn
        borrower.resolver_address = owner.resolver_address


Headers = tuple[tuple[str, str], ...]
#: Placeholder in a page for the requested host.
_WISH = "{wanted}"
WISHES = ("This site", f"The site {_WISH}")
_SYLLABLES = ("ta", "re", "mi", "lo", "va", "ne", "so", "ki", "du", "pa", "zi", "be", "for", "lan")


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a web server. ``body`` is bytes if it is not UTF-8 text."""

    body: str | bytes
    title: str
    code: int = 200
    headers: Headers = ()

    @property
    def length(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else len(self.body.encode())

    @property
    def location(self) -> str:
        """The target of a redirect; empty for other pages."""
        return dict(self.headers).get("Location", "")


def make_page(title: str, paragraphs: list[str], code: int = 200, *extra: tuple[str, str]) -> Page:
    """Make a small HTML page, with headers in Go's order."""
    text = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    body = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"</head>\n<body>\n<h1>{title}</h1>\n{text}\n</body>\n</html>\n"
    )
    length = str(len(body.encode()))
    kind = "text/html; charset=utf-8"
    headers = sorted([("Content-Length", length), ("Content-Type", kind), *extra])
    return Page(body, title, code, tuple(headers))


def addressed(page: Page, host: str) -> Page:
    """Return the page with the requested host in the place of its placeholder, if it has one."""
    body = str(page.body).replace(_WISH, host)
    length = str(len(body.encode()))
    headers = [(n, length if n == "Content-Length" else v) for n, v in page.headers]
    return Page(body, page.title, page.code, tuple(headers))


def _make_front_page(rng: Random, host: str) -> Page:
    """Make a page with a common menu and a text of the site's own, in no language."""
    label = host.removeprefix("www.").removesuffix(".example")
    title = label.replace("-", " ").replace(".", " ").title()
    own = []
    for _ in range(rng.choice((2, 3, 3, 4, 6))):
        words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(9)]
        own.append(" ".join(words).capitalize() + ".")
    # Long pages repeat their menus, as real ones do, which compresses well.
    furniture = ['<a href="/about">About</a> <a href="/archive">Archive</a>']
    furniture *= rng.choice((4, 6, 8, 12, 60))
    name = "X-" + label.split("-")[0].split(".")[-1].title() + "-Node"
    return make_page(title, own + furniture, 200, ("Server", "nginx"), (name, "1"))


_ONSETS = ("m", "t", "v", "l", "r", "s", "k", "n", "p", "d", "b", "f", "z", "g")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("", "", "", "n", "r", "l", "s")

#: Category → words for names of sites.
_TAILS = {
    "NEWS": ("news", "daily", "times", "post", "herald", "wire"),
    "POLR": ("voices", "forum", "reform", "ballot"),
    "HUMR": ("rights", "watch", "justice"),
    "GMB": ("bet", "casino", "poker"),
    "PORN": ("adult", "cams"),
    "ANON": ("vpn", "proxy", "relay"),
    "GRP": ("social", "circle"),
    "COMT": ("chat", "mail"),
    "MMED": ("video", "photo"),
    "CULTR": ("music", "film", "books"),
    "GOVT": ("ministry", "council"),
    "COMM": ("shop", "market"),
    "ENV": ("forest", "river"),
    "LGBT": ("pride", "rainbow"),
    "REL": ("faith", "temple"),
    "HOST": ("blogs", "pages"),
    "SRCH": ("search", "index"),
    "MISC": ("ads", "pixel", "track", "banner"),
}

#: Situation, number of sites, number of these on the country's own list, and categories.
_SITUATIONS = (
    ("live", 44, 22, "NEWS POLR HUMR GMB PORN ANON GRP COMT MMED CULTR GOVT COMM ENV LGBT REL"),
    ("plain_http", 6, 3, "NEWS POLR CULTR"),
    ("shared_hosting", 6, 4, "NEWS HUMR HOST"),
    ("redirect", 5, 2, "NEWS COMM POLR"),
    ("cdn_same_asn", 5, 1, "MMED GRP NEWS"),
    ("cdn_other_asn", 5, 1, "MMED GRP SRCH"),
    ("cdn_http", 2, 0, "COMM MMED"),
    ("dead", 12, 7, "NEWS POLR HUMR GMB CULTR"),
    ("dies", 1, 1, "NEWS"),
    ("down", 2, 1, "ENV COMM"),
    ("outage", 2, 1, "GOVT CULTR"),
    ("unreachable", 1, 1, "GOVT"),
    ("geo_refused", 3, 0, "COMM GMB MMED"),
    ("geo_refused_http", 1, 0, "COMM"),
    ("geo_refused_tcp", 2, 0, "COMM GMB"),
    ("geo_refused_tls", 1, 0, "COMM"),
    ("captcha", 1, 0, "SRCH"),
    ("ad_like", 6, 0, "MISC"),
    ("varying_page", 3, 1, "NEWS COMM"),
    ("localised_title", 2, 0, "SRCH COMM"),
    ("late", 6, 4, "NEWS POLR HUMR"),
    ("shy", 2, 1, "GOVT COMM"),
)
#: The default number of names, with three under www.
NAME_COUNT = sum(count for _, count, _, _ in _SITUATIONS) + 3

#: Situations of sites that are tested without TLS.
_PLAIN = (
    "plain_http",
    "cdn_http",
    "geo_refused_http",
    "varying_page",
    "localised_title",
    "redirect",
)


@dataclass(slots=True)
class Site:
    """One host name and the server behind it.

    ``down``, ``dead`` and ``cut_off`` are days, counted from the period's first day: of a server
    that does not answer, of a name that does not exist, and of a server that cannot be reached from
    the country. ``edges`` are a CDN's addresses by the AS of the client. ``refuses`` is how the
    server refuses clients from the country: with a page (``refusal``), or at "tcp" or "tls".
    ``overload`` is the share of requests that it is too busy to answer.
    """

    host: str
    situation: str
    category: str
    is_local: bool
    inputs: list[str]
    page: Page
    has_tls: bool = True
    v4: list[str] = field(default_factory=list)
    v6: list[str] = field(default_factory=list)
    edges: dict[int, str] = field(default_factory=dict)
    redirect_to: str = ""
    authority: str = "first"
    down: range = range(0)
    dead: range = range(0)
    cut_off: range = range(0)
    refusal: Page | None = None
    refuses: str = ""
    overload: float = 0.0
    tested_from: int = 0
    is_alone: bool = True  # no other site on its addresses

    @property
    def is_https(self) -> bool:
        """Whether its first URL on the test lists has https."""
        return self.inputs[0].startswith("https:")


def make_sites(seed: int, plan: AddressPlan, day_count: int, name_count: int) -> list[Site]:
    """Make all sites, in a fixed order; the last of ``live`` have unusual spellings."""
    rng = stream(seed, "names")
    used: set[str] = set()
    sites: list[Site] = []
    for situation, count, local_count, categories in _cast_sites(name_count):
        choices = categories.split()
        for index in range(count):
            category = choices[index % len(choices)]
            host = _new_host(rng, category, used)
            sites.append(_make_site(rng, host, situation, category, index < local_count))
    _pair_with_www(rng, sites)
    _write_oddly(rng, sites)
    for site in sites:
        _apply_situation(rng, site, day_count)
    _give_addresses(rng, sites, plan)
    return sites


def _cast_sites(name_count: int) -> list[tuple[str, int, int, str]]:
    """Return the rows of ``_SITUATIONS`` for a number of names, at least one site of each."""
    if name_count == NAME_COUNT:
        return list(_SITUATIONS)
    factor = (name_count - 3) / (NAME_COUNT - 3)
    rows = [
        (kind, max(1, int(n * factor)), round(local * factor), words)
        for kind, n, local, words in _SITUATIONS
    ]
    live_count = max(5, name_count - 3 - sum(row[1] for row in rows[1:]))
    return [(rows[0][0], live_count, live_count // 2, rows[0][3]), *rows[1:]]


def _make_word(rng: Random) -> str:
    """Make a pronounceable word without a meaning."""
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + (rng.choice(_CODAS) if last else "")
        for last in (False, False, True)
    )


def _new_host(rng: Random, category: str, used: set[str]) -> str:
    word = _make_word(rng)
    while word in used:
        word = _make_word(rng)
    used.add(word)
    tail = rng.choice(_TAILS[category])
    shape = rng.random()
    if shape < 0.55:
        return f"{word}-{tail}.example"
    return f"www.{word}{tail}.example" if shape < 0.8 else f"{tail}.{word}.example"


def _make_site(rng: Random, host: str, situation: str, category: str, is_local: bool) -> Site:
    plain = situation in _PLAIN or (situation == "dead" and rng.random() < 0.6)
    return Site(
        host=host,
        situation=situation,
        category=category,
        is_local=is_local,
        inputs=[f"http{'' if plain else 's'}://{host}/"],
        page=_make_front_page(rng, host),
        has_tls=not plain or situation in ("redirect", "localised_title", "geo_refused_http"),
        authority="second" if rng.random() < 0.25 else "first",
    )


def _pair_with_www(rng: Random, sites: list[Site]) -> None:
    """Add www twins of three sites."""
    pairs = [s for s in sites if s.situation == "live" and not s.host.startswith("www.")][:3]
    for site in pairs:
        twin = _make_site(rng, f"www.{site.host}", "live", site.category, site.is_local)
        twin.page = site.page
        twin.authority = site.authority
        sites.append(twin)


def _write_oddly(rng: Random, sites: list[Site]) -> None:
    """Add inputs in upper case, with a port, a trailing dot, and letters; and a Latin-1 page."""
    odd = [site for site in sites if site.situation == "live"][-4:]
    odd[0].inputs.append(f"https://{odd[0].host.title()}/")
    odd[1].inputs.append(f"https://{odd[1].host}:443/")
    odd[2].inputs.append(f"https://{odd[2].host}./")
    text = f"{_make_word(rng)}ë-{_make_word(rng)}ó.example"
    odd[3].host = normalise(f"https://{text}/")
    odd[3].inputs = [f"https://{text}/"]
    old = next(site for site in sites if site.situation == "plain_http")
    text = str(old.page.body).replace("About", "À propos").replace('charset="utf-8"', "")
    old.page = Page(text.encode("latin-1"), old.page.title, 200, old.page.headers)


def _apply_situation(rng: Random, site: Site, day_count: int) -> None:
    always = range(-10_000, 10_000)
    if site.situation == "dead":
        site.dead = always
    elif site.situation == "dies":
        site.dead = range(int(day_count * rng.uniform(0.4, 0.6)), 10_000)
    elif site.situation == "down":
        site.down = always
    elif site.situation == "outage":
        site.down = _draw_spell(rng, day_count, 0.6, (0.08, 0.15))
    elif site.situation == "unreachable":
        # Long, and on all networks, as if a cable was cut.
        site.cut_off = _draw_spell(rng, day_count, 0.5, (0.15, 0.25))
    elif site.situation == "late":
        site.tested_from = int(day_count * rng.uniform(0.51, 0.6))
    elif site.situation == "redirect":
        site.redirect_to = f"https://{site.host}/"
    elif site.situation == "captcha":
        text = ["Please confirm that you are a human.", '<form action="/check"></form>'] * 3
        site.refusal = make_page("One moment please", text, 200, ("Server", "edge"))
    elif site.situation.startswith("geo_refused"):
        text = ["We do not serve your region.", "Access from your country is not permitted."]
        site.refusal = make_page("403 Forbidden", text, 403, ("Server", "edge"))
        site.refuses = site.situation.removeprefix("geo_refused").removeprefix("_")


def _draw_spell(rng: Random, day_count: int, latest: float, shares: tuple[float, float]) -> range:
    """Draw consecutive days: start and length are shares of the period."""
    start = int(day_count * rng.uniform(0.2, latest))
    return range(start, start + max(2, int(day_count * rng.uniform(*shares))))


def _give_addresses(rng: Random, sites: list[Site], plan: AddressPlan) -> None:
    # The first content networks are reserved for helpers, public resolvers and caches.
    hosts = list(CONTENT_ASNS[4:])
    shared_asn = rng.choice(hosts)
    shared = cycle([plan.take(shared_asn), plan.take(shared_asn)])
    full: list[str] = []  # addresses of live sites, shared when no free one is left
    # Rare situations first: they need addresses of their own.
    for site in sorted(sites, key=lambda site: site.situation == "live"):
        roomy = [asn for asn in hosts if len(plan.free[asn]) > 4]
        if site.situation == "live" and not roomy:
            site.v4 = [rng.choice(full)]
            continue
        asn = rng.choice(roomy or [asn for asn in hosts if len(plan.free[asn]) > 1])
        if site.situation == "shared_hosting":
            site.v4 = [next(shared)]
            continue
        site.v4 = [plan.take(asn) for _ in range(2 if site.situation.startswith("cdn") else 1)]
        if site.situation == "live":
            full.append(site.v4[0])
        if rng.random() < 0.2 and site.has_tls:
            site.v6 = [plan.take_v6(asn)]
    tenants = Counter(address for site in sites for address in site.v4)
    for site in sites:
        site.is_alone = all(tenants[address] == 1 for address in site.v4)


def spread_caches(seed: int, sites: list[Site], networks: list[Network], plan: AddressPlan) -> None:
    """Give sites on content networks an address near each client."""
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
    # Some networks have caches with addresses of their own.
    for site in [site for site in sites if site.situation == "cdn_other_asn"][:2]:
        for network in networks:
            if network.style in ("substitution", "nxdomain"):
                site.edges[network.asn] = plan.take(network.asn)


Json = dict[str, Any]

NXDOMAIN = "dns_nxdomain_error"
TIMED_OUT = "generic_timeout_error"
REFUSED = "connection_refused"
RESET = "connection_reset"
CLOSED = "eof_error"
WRONG_HOST = "ssl_invalid_hostname"
UNKNOWN_AUTHORITY = "ssl_unknown_authority"

#: Prefixes of addresses that no machine on the internet has.
BOGONS = ("127.", "10.", "192.168.", "0.")
#: The helper's words for failures of its HTTP client.
_HTTP_WORDS = {NXDOMAIN: "dns_lookup_error", REFUSED: "connection_refused_error"}


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a request.

    ``host`` is the normalised name. ``written`` is the name as spelt in the URL, in ASCII, which
    probes use in queries and server names.
    """

    url: str
    host: str
    written: str
    is_https: bool
    port: int


def parse(url: str) -> Target:
    """Parse the URL of a test list as a probe does."""
    parts = urlsplit(url)
    is_https = parts.scheme == "https"
    host = normalise(url)
    written = parts.netloc.partition(":")[0]
    if not written.isascii():
        written = host
    port = parts.port or (443 if is_https else 80)
    return Target(url, host, written, is_https, port)


def endpoint(address: str, port: int) -> str:
    """Return an address and a port as Go writes them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class Lookup:
    """An answer to a DNS query: addresses, or the failure."""

    v4: tuple[str, ...] = ()
    v6: tuple[str, ...] = ()
    failure: str | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.v4 + self.v6


@dataclass(slots=True)
class Server:
    """A machine at an address. ``page`` is its answer for any host; ``sites`` are by host."""

    sites: dict[str, Site] = field(default_factory=dict)
    page: Page | None = None
    ports: tuple[int, ...] = (80, 443)
    is_silent: bool = False
    certificate_failure: str | None = None


class Internet:
    """Names and servers, as seen by a client on a network that interferes with nothing."""

    def __init__(self, sites: list[Site], plan: AddressPlan) -> None:
        self.plan = plan
        self.sites = {site.host: site for site in sites}
        self.servers: dict[str, Server] = {}
        for site in sites:
            for address in [*site.v4, *site.v6, *site.edges.values()]:
                self.servers.setdefault(address, Server()).sites[site.host] = site

    def lookup(self, host: str, client: Client, day: int) -> Lookup:
        """Return the answer of an honest resolver near the client."""
        site = self.sites.get(host)
        if site is None or day in site.dead:
            return Lookup(failure=NXDOMAIN)
        v4 = site.v4
        if client.asn in site.edges:
            v4 = [site.edges[client.asn]]
        elif site.edges:
            v4 = site.v4[-1:] if client.is_inside else site.v4[:1]
        return Lookup(tuple(v4), tuple(site.v6))

    def connect(self, address: str, port: int, day: int, client: Client) -> str | None:
        """Open a TCP connection and return the failure, if any."""
        server = self.servers.get(address)
        if server is None:
            # No service listens on the client's own addresses, and no machine has the others.
            return REFUSED if address.startswith(("127.", "0.")) else TIMED_OUT
        if server.is_silent:
            return TIMED_OUT
        sites = server.sites.values()
        if not sites:
            return None if port in server.ports else REFUSED
        if all(site.situation == "shy" for site in sites) and not client.is_inside:
            return TIMED_OUT  # it blocks the test helper as an attacker
        is_cut_off = all(day in site.cut_off or site.refuses == "tcp" for site in sites)
        if client.is_inside and is_cut_off:
            return TIMED_OUT
        if all(day in site.down or day in site.dead for site in sites):
            return REFUSED if next(iter(sites)).category in ("ENV", "GOVT") else TIMED_OUT
        is_served = port == 80 or any(site.has_tls for site in sites)
        return None if is_served else REFUSED

    def handshake(self, address: str, name: str, client: Client) -> str | None:
        """Make a TLS handshake on an open connection and return the failure, if any."""
        server = self.servers[address]
        if server.certificate_failure:
            return server.certificate_failure
        site = server.sites.get(name)
        if site is None:
            return WRONG_HOST
        return RESET if site.refuses == "tls" and client.is_inside else None

    def is_overloaded(self, host: str, rng: Random) -> bool:
        """Draw whether the site is too busy to answer this request in time."""
        site = self.sites.get(host)
        return site is not None and site.overload > 0 and rng.random() < site.overload

    def fetch(self, address: str, target: Target, client: Client, rng: Random) -> Page:
        """Return the answer to ``GET /`` on an open connection."""
        server = self.servers[address]
        site = server.sites.get(target.host)
        if site is None:
            page = server.page or make_page("Not found", ["No such site here."], 404)
            return addressed(page, target.host)
        if site.redirect_to and not target.is_https:
            headers = (("Content-Length", "0"), ("Location", site.redirect_to), ("Server", "nginx"))
            return Page("", "", 301, headers)
        if site.refusal is not None and client.is_inside:
            return site.refusal
        if site.situation == "varying_page" and rng.random() < 0.35:
            text = ["A trial of the new front page."] * 2
            return make_page("Welcome back", text, 200, ("Set-Cookie", "trial=b"))
        if site.situation == "localised_title" and client.is_inside:
            # The reversed name makes the page of each site different.
            text = [f"Talo mirea {site.host[::-1]}."] * 40
            return make_page("Dobro pori", text, 200, ("Vary", "Cookie"))
        return site.page


@dataclass(slots=True)
class Control:
    """A helper's reply. ``failure`` is set if the probe could not reach the helper."""

    failure: str | None = None
    dns: Lookup = field(default_factory=Lookup)
    tcp: dict[str, str | None] = field(default_factory=dict)
    tls: dict[str, str | None] = field(default_factory=dict)
    page: Page | None = None
    http_failure: str | None = None
    ip_info: Json = field(default_factory=dict)


class Helper:
    """A test helper abroad, on an honest network."""

    def __init__(self, seed: int, internet: Internet) -> None:
        self.internet = internet
        self._client = Client(CONTENT_ASNS[0], is_inside=False)
        self._rng = stream(seed, "helper")

    def measure(self, target: Target, addresses: list[str], day: int) -> Control:
        """Resolve, connect to the probe's addresses and its own, and fetch the page."""
        control = Control(dns=self.internet.lookup(target.host, self._client, day))
        own = control.dns.addresses
        ports = (443,) if target.is_https else (443, 80)
        for address in dict.fromkeys((*own, *addresses)):
            for port in () if address.startswith(BOGONS) else ports:
                spelling = endpoint(address, port)
                control.tcp[spelling] = self.internet.connect(address, port, day, self._client)
                if port == 443 and control.tcp[spelling] is None:
                    failure = self.internet.handshake(address, target.host, self._client)
                    control.tls[spelling] = failure
            control.ip_info[address] = {"asn": self.internet.plan.asn(address)}
        self._fetch(control, target, day)
        return control

    def _fetch(self, control: Control, target: Target, day: int) -> None:
        address = control.dns.v4[0] if control.dns.v4 else ""
        failure = control.dns.failure
        failure = failure or self.internet.connect(address, target.port, day, self._client)
        if failure is None and target.is_https:
            failure = self.internet.handshake(address, target.host, self._client)
        if failure is None and self.internet.is_overloaded(target.host, self._rng):
            failure = TIMED_OUT
        if failure is not None:
            control.http_failure = _HTTP_WORDS.get(failure, failure)
            return
        page = self.internet.fetch(address, target, self._client, self._rng)
        if page.location:
            self._fetch(control, parse(page.location), day)
        else:
            control.page = page
