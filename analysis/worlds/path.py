"""A probe's way to the internet in one session, with all that stands on it.

The probe calls ``lookup``, ``connect``, ``handshake`` and ``fetch`` and is told what it would
see; it never learns why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random

from analysis.worlds.censorship import Block, Censorship
from analysis.worlds.internet import (
    NO_ROUTE,
    NXDOMAIN,
    TIMED_OUT,
    UNKNOWN_AUTHORITY,
    Client,
    Internet,
    Lookup,
)
from analysis.worlds.names import Site
from analysis.worlds.operators import Network
from analysis.worlds.served_pages import Page, addressed

#: Chance that a step runs out of time in a bad spell of a network's lines.
_BAD_SPELL = 0.08


@dataclass(slots=True)
class Resolver:
    """The resolver that a device was given.

    ``home_filter`` is what it answers for names that the household filters: advertising, and
    what is not for children where ``is_family`` is set.
    """

    asn: int
    address: str
    home_filter: str = ""
    is_family: bool = False

    def filters(self, site: Site) -> bool:
        """Whether the household's filter stops the site."""
        wanted = site.situation == "ad_like"
        if self.is_family:
            wanted = wanted or site.category in ("PORN", "GMB")
        return bool(self.home_filter) and wanted


class Path:
    """One session's way out. ``state`` is "good", "dead" (no link) or "portal" (captive)."""

    def __init__(
        self,
        network: Network,
        resolver: Resolver,
        internet: Internet,
        censorship: Censorship,
        day: int,
        moment: datetime,
        rng: Random,
        state: str = "good",
        lacks_authority: bool = False,
    ) -> None:
        self.network = network
        self.resolver = resolver
        self.internet = internet
        self.day = day
        self.moment = moment  # moves on as the probe measures
        self.rng = rng
        self.state = state
        self.client = Client(network.asn, network.is_inside)
        self._censorship = censorship
        self._lacks_authority = lacks_authority
        self._loss = 0.85 if state == "dead" else network.timeout_rate
        spell = network.bad_spell
        if spell is not None and state != "dead" and spell[0] <= day < spell[1]:
            self._loss = max(self._loss, _BAD_SPELL)
        self.timeout_count = 0
        self._way_out = rng.random()  # which of a network's ways the session takes
        #: what a forger says of some names, whatever the network does
        self.lies: Mapping[str, Block | None] = {}

    def _block(self, host: str) -> Block | None:
        if host in self.lies:
            return self.lies[host]
        block = self._censorship.on(self.network.asn, host, self.day, self.moment)
        return block if block is not None and self._way_out < block.share else None

    def _times_out(self) -> bool:
        if self.rng.random() >= self._loss:
            return False
        self.timeout_count += 1
        return True

    def lookup(self, host: str) -> Lookup:
        """Ask the system's resolver."""
        if self._times_out():
            return Lookup(failure=TIMED_OUT)
        machines = self._censorship.machines
        if self.state == "portal":
            return Lookup((machines.portal,))
        site = self.internet.sites.get(host)
        if site is not None and self.resolver.filters(site):
            return Lookup((self.resolver.home_filter,))
        block = self._block(host)
        if block is not None and block.injected:
            return Lookup(failure=block.injected)
        if block is not None and block.lie:
            return Lookup((block.lie,))
        answer = self._honest(host)
        substitutes = self.resolver.asn == machines.substituting_asn
        if substitutes and answer.failure == NXDOMAIN:
            return Lookup((machines.substitution,))
        return answer

    def lookup_over_udp(self, host: str) -> Lookup:
        """Ask a public resolver over plain UDP, which boxes on the path can answer first."""
        if self._times_out():
            return Lookup(failure=TIMED_OUT)
        if self.state == "portal":
            return Lookup((self._censorship.machines.portal,))
        block = self._block(host)
        if block is not None and block.injected:
            return Lookup(failure=block.injected)
        return self._honest(host)

    def lookup_over_https(self, host: str) -> Lookup:
        """Ask a public resolver through TLS."""
        if self.state == "portal" or self._times_out():
            return Lookup(failure=TIMED_OUT)
        return self._honest(host)

    def _honest(self, host: str) -> Lookup:
        answer = self.internet.lookup(host, self.client, self.day)
        if self.network.has_v6 or self.network.is_v6_broken:
            return answer
        return Lookup(answer.v4, (), answer.failure)

    def connect(self, address: str, port: int) -> str | None:
        """Open a TCP connection: None, or how it fails."""
        if ":" in address and not self.network.has_v6:
            return NO_ROUTE
        if self._times_out():
            return TIMED_OUT
        if self.state == "portal":
            address = self._censorship.machines.portal
        block = self._censorship.at(self.network.asn, address, self.day, self.moment)
        if block is not None and block.host not in self.lies:
            return block.tcp_failure
        return self.internet.connect(address, port, self.day, self.client)

    def handshake(self, address: str, name: str) -> str | None:
        """Shake hands on a good connection: None, or how it fails."""
        if self._times_out():
            return TIMED_OUT
        block = self._block(name)
        if block is not None and block.tls_failure:
            return block.tls_failure
        site = self.internet.sites.get(name)
        failure = self.internet.handshake(address, name, self.client)
        if failure is None and self._is_unknown(site):
            return UNKNOWN_AUTHORITY
        return failure

    def _is_unknown(self, site: Site | None) -> bool:
        """Some probes ship a list of authorities that lacks a newer one."""
        return self._lacks_authority and site is not None and site.authority == "second"

    def fetch(self, address: str, host: str, is_tls: bool) -> Page | str:
        """Send a request on a good connection: the answer, or how it fails."""
        if self._times_out():
            return TIMED_OUT
        if self.state == "portal":
            address = self._censorship.machines.portal
        block = self._block(host)
        if block is not None and is_tls and not block.is_slow:
            block = None
        if block is not None and block.http_failure:
            return block.http_failure
        if block is not None and block.http_page is not None:
            return addressed(block.http_page, host)
        if self.internet.is_overloaded(host, self.rng):
            self.timeout_count += 1
            return TIMED_OUT
        return self.internet.fetch(address, host, is_tls, self.client, self.rng)
