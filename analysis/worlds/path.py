"""A probe's way to the internet in one session, with all that stands on it.

The probe calls ``lookup``, ``connect``, ``handshake`` and ``fetch`` and is told what it would
see; it never learns why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random

from analysis.worlds.censorship import Block, Censorship
from analysis.worlds.country import Network, Page, Site, addressed
from analysis.worlds.internet import (
    NXDOMAIN,
    TIMED_OUT,
    UNKNOWN_AUTHORITY,
    Client,
    Internet,
    Lookup,
    Target,
)

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

    def filters(self, site: Site | None) -> bool:
        """Whether the household's filter stops the site."""
        if site is None or not self.home_filter:
            return False
        is_adult = self.is_family and site.category in ("PORN", "GMB")
        return is_adult or site.situation == "ad_like"


@dataclass(slots=True)
class Path:
    """One session's way out.

    ``moment`` moves on as the probe measures. ``state`` is "good", "dead" (no link) or "portal"
    (captive). ``lies`` is what a forger says of some names, whatever the network does.
    """

    network: Network
    resolver: Resolver
    internet: Internet
    censorship: Censorship
    day: int
    moment: datetime
    rng: Random
    state: str
    lacks_authority: bool  # some probes ship a list of authorities that lacks a newer one
    way_out: float  # which of a network's ways the session takes, from 0 to 1
    lies: Mapping[str, Block | None]
    timeout_count: int = 0

    @property
    def _client(self) -> Client:
        return Client(self.network.asn, self.network.is_inside)

    def _block(self, host: str) -> Block | None:
        if host in self.lies:
            return self.lies[host]
        block = self.censorship.on(self.network.asn, host, self.day, self.moment)
        return block if block is not None and self.way_out < block.share else None

    def _times_out(self) -> bool:
        loss = self.network.timeout_rate
        if self.day in self.network.bad_spell:
            loss = max(loss, _BAD_SPELL)
        if self.rng.random() >= (0.85 if self.state == "dead" else loss):
            return False
        self.timeout_count += 1
        return True

    def lookup(self, host: str, *, is_public: bool = False) -> Lookup:
        """Ask the system's resolver; or a public one, which boxes on the path can answer first."""
        if self._times_out():
            return Lookup(failure=TIMED_OUT)
        machines = self.censorship.machines
        if self.state == "portal":
            return Lookup((machines.portal,))
        if not is_public and self.resolver.filters(self.internet.sites.get(host)):
            return Lookup((self.resolver.home_filter,))
        block = self._block(host)
        if block is not None and block.injected:
            return Lookup(failure=block.injected)
        if block is not None and block.lie and not is_public:
            return Lookup((block.lie,))
        answer = self._look_up_honestly(host)
        is_substituted = not is_public and self.resolver.asn == machines.substituting_asn
        if is_substituted and answer.failure == NXDOMAIN:
            return Lookup((machines.substitution,))
        return answer

    def lookup_over_https(self, host: str) -> Lookup:
        """Ask a public resolver through TLS."""
        if self.state == "portal" or self._times_out():
            return Lookup(failure=TIMED_OUT)
        return self._look_up_honestly(host)

    def _look_up_honestly(self, host: str) -> Lookup:
        answer = self.internet.lookup(host, self._client, self.day)
        if self.network.has_v6 or self.network.is_v6_broken:
            return answer
        return Lookup(answer.v4, (), answer.failure)

    def connect(self, address: str, port: int) -> str | None:
        """Open a TCP connection: None, or how it fails."""
        if ":" in address and not self.network.has_v6:
            return "host_unreachable"
        if self._times_out():
            return TIMED_OUT
        if self.state == "portal":
            address = self.censorship.machines.portal
        block = self.censorship.at(self.network.asn, address, self.day, self.moment)
        if block is not None and block.host not in self.lies:
            return block.tcp_failure
        return self.internet.connect(address, port, self.day, self._client)

    def handshake(self, address: str, name: str) -> str | None:
        """Shake hands on a good connection: None, or how it fails."""
        if self._times_out():
            return TIMED_OUT
        block = self._block(name)
        if block is not None and block.tls_failure:
            return block.tls_failure
        failure = self.internet.handshake(address, name, self._client)
        site = self.internet.sites.get(name)
        is_unknown = self.lacks_authority and site is not None and site.authority == "second"
        return UNKNOWN_AUTHORITY if failure is None and is_unknown else failure

    def fetch(self, address: str, target: Target) -> tuple[Page | None, str | None]:
        """Send a request on a good connection: the answer, and how it fails."""
        if self._times_out():
            return None, TIMED_OUT
        if self.state == "portal":
            address = self.censorship.machines.portal
        block = self._block(target.host)
        if block is not None and (block.is_slow or not target.is_https):
            if block.http_failure:
                return None, block.http_failure
            if block.http_page is not None:
                return addressed(block.http_page, target.host), None
        if self.internet.is_overloaded(target.host, self.rng):
            self.timeout_count += 1
            return None, TIMED_OUT
        return self.internet.fetch(address, target, self._client, self.rng), None
