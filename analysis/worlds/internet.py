"""The open internet: what names, servers and public resolvers answer when nobody interferes."""

from dataclasses import dataclass, field
from random import Random

from analysis.worlds.names import Site
from analysis.worlds.numbering import AddressPlan
from analysis.worlds.served_pages import Page, addressed, make_page, moved

NXDOMAIN = "dns_nxdomain_error"
NO_ANSWER = "dns_no_answer"
TIMED_OUT = "generic_timeout_error"
REFUSED = "connection_refused"
RESET = "connection_reset"
CLOSED = "eof_error"
WRONG_HOST = "ssl_invalid_hostname"
UNKNOWN_AUTHORITY = "ssl_unknown_authority"
NO_ROUTE = "host_unreachable"


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

    def place(self, address: str, server: Server) -> None:
        """Put a machine at an address."""
        self.servers[address] = server

    def lookup(self, host: str, client: Client, day: int) -> Lookup:
        """What an honest resolver near the client answers."""
        site = self.sites.get(host)
        if site is None or site.is_dead(day):
            return Lookup(failure=NXDOMAIN)
        edge = site.edges.get(client.asn)
        if edge:
            return Lookup((edge,), tuple(site.v6))
        if site.edges and not client.is_inside:
            return Lookup((site.v4[0],), tuple(site.v6))
        return Lookup(tuple(site.v4[-1:] if site.edges else site.v4), tuple(site.v6))

    def connect(self, address: str, port: int, day: int, client: Client) -> str | None:
        """A TCP connection: None, or how it fails."""
        server = self.servers.get(address)
        if server is None:
            # Nobody listens on this machine's own addresses, and nobody holds the others.
            return REFUSED if address.startswith(("127.", "0.")) else TIMED_OUT
        if server.is_silent:
            return TIMED_OUT
        if server.sites:
            return _connect_to_site(server, port, day, client)
        return None if port in server.ports else REFUSED

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

    def fetch(self, address: str, host: str, is_tls: bool, client: Client, rng: Random) -> Page:
        """The answer to ``GET /`` on a good connection."""
        server = self.servers[address]
        site = server.sites.get(host)
        if site is None:
            page = server.page or make_page("Not found", ["No such site here."], 404)
            return addressed(page, host)
        if site.redirect_to and not is_tls:
            return moved(site.redirect_to)
        if site.refusal is not None and client.is_inside:
            return site.refusal
        return _vary(site, client, rng)


def _connect_to_site(server: Server, port: int, day: int, client: Client) -> str | None:
    sites = server.sites.values()
    if all(site.situation == "shy" for site in sites) and not client.is_inside:
        return TIMED_OUT  # it takes the test helper for an attacker
    if client.is_inside and all(site.is_cut_off(day) or site.refuses == "tcp" for site in sites):
        return TIMED_OUT
    if all(site.is_down(day) or site.is_dead(day) for site in sites):
        first = next(iter(sites))
        return REFUSED if first.category in ("ENV", "GOVT") else TIMED_OUT
    if port == 443:
        return None if any(site.has_tls for site in sites) else REFUSED
    return None if port == 80 else REFUSED


def _vary(site: Site, client: Client, rng: Random) -> Page:
    page = site.page
    if site.situation == "varying_page" and rng.random() < 0.35:
        return make_page(
            "Welcome back", ["A trial of the new front page."] * 2, 200, ("Set-Cookie", "trial=b")
        )
    if site.situation == "localised_title" and client.is_inside:
        # No two sites have one front page; a name written backwards is a word of theirs.
        text = [f"Talo mirea {site.host[::-1]}."] * 40
        return make_page("Dobro pori", text, 200, ("Vary", "Cookie"))
    return page
