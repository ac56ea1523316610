"""What names, servers and resolvers answer where nobody interferes, and what a test helper sees."""

from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

from analysis.hosts import normalise
from analysis.worlds.country import (
    CONTENT_ASNS,
    AddressPlan,
    Page,
    Site,
    addressed,
    make_page,
    stream,
)

Json = dict[str, Any]

NXDOMAIN = "dns_nxdomain_error"
TIMED_OUT = "generic_timeout_error"
REFUSED = "connection_refused"
RESET = "connection_reset"
CLOSED = "eof_error"
WRONG_HOST = "ssl_invalid_hostname"
UNKNOWN_AUTHORITY = "ssl_unknown_authority"

#: Addresses that belong to no machine on the internet.
BOGONS = ("127.", "10.", "192.168.", "0.")
#: How a helper words the failures of its own HTTP client.
_HTTP_WORDS = {NXDOMAIN: "dns_lookup_error", REFUSED: "connection_refused_error"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes.

    ``host`` is the name in its one spelling. ``written`` is the name as the URL spells it, in
    ASCII: probes put that into their queries and server names. ``authority`` goes into the Host
    header, with the port where the URL names one.
    """

    url: str
    host: str
    written: str
    authority: str
    is_https: bool
    port: int


def parse(url: str) -> Target:
    """Split the URL of a test list the way that a probe does."""
    parts = urlsplit(url)
    is_https = parts.scheme == "https"
    host = normalise(url)
    written = parts.netloc.partition(":")[0]
    if not written.isascii():
        written = host
    port = parts.port or (443 if is_https else 80)
    authority = f"{written}:{parts.port}" if parts.port else written
    return Target(url, host, written, authority, is_https, port)


def endpoint(address: str, port: int) -> str:
    """An address and a port as Go writes them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the network of the client, and whether it lies in the fictional country."""

    asn: int
    is_inside: bool


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
    """A machine at an address. ``page`` answers whatever the host; ``sites`` are by host."""

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
        """What an honest resolver near the client answers."""
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
        """A TCP connection: None, or how it fails."""
        server = self.servers.get(address)
        if server is None:
            # Nobody listens on this machine's own addresses, and nobody holds the others.
            return REFUSED if address.startswith(("127.", "0.")) else TIMED_OUT
        if server.is_silent:
            return TIMED_OUT
        sites = server.sites.values()
        if not sites:
            return None if port in server.ports else REFUSED
        if all(site.situation == "shy" for site in sites) and not client.is_inside:
            return TIMED_OUT  # it takes the test helper for an attacker
        is_cut_off = all(day in site.cut_off or site.refuses == "tcp" for site in sites)
        if client.is_inside and is_cut_off:
            return TIMED_OUT
        if all(day in site.down or day in site.dead for site in sites):
            return REFUSED if next(iter(sites)).category in ("ENV", "GOVT") else TIMED_OUT
        is_served = port == 80 or any(site.has_tls for site in sites)
        return None if is_served else REFUSED

    def handshake(self, address: str, name: str, client: Client) -> str | None:
        """A TLS handshake on a good connection, by a client that trusts the usual authorities."""
        server = self.servers[address]
        if server.certificate_failure:
            return server.certificate_failure
        site = server.sites.get(name)
        if site is None:
            return WRONG_HOST
        return RESET if site.refuses == "tls" and client.is_inside else None

    def is_overloaded(self, host: str, rng: Random) -> bool:
        """Whether the site is too busy to answer this request in time."""
        site = self.sites.get(host)
        return site is not None and site.overload > 0 and rng.random() < site.overload

    def fetch(self, address: str, target: Target, client: Client, rng: Random) -> Page:
        """The answer to ``GET /`` on a good connection."""
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
            # No two sites have one front page; a name written backwards is a word of theirs.
            text = [f"Talo mirea {site.host[::-1]}."] * 40
            return make_page("Dobro pori", text, 200, ("Vary", "Cookie"))
        return site.page


@dataclass(slots=True)
class Control:
    """A helper's reply. ``failure`` is set where the probe could not reach the helper."""

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
            is_bogon = address.startswith(BOGONS)
            is_valid = False
            for port in () if is_bogon else ports:
                where = endpoint(address, port)
                control.tcp[where] = self.internet.connect(address, port, day, self._client)
                if port == 443 and control.tcp[where] is None:
                    failure = self.internet.handshake(address, target.host, self._client)
                    control.tls[where] = failure
                    is_valid = failure is None
            flags = (address in addresses) + 2 * (address in own) + 4 * is_bogon + 8 * is_valid
            asn = self.internet.plan.asn(address)
            control.ip_info[address] = {"asn": asn, "flags": flags}
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
