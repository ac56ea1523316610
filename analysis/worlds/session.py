"""One session of a probe: the build that runs it, its resolver, and its way to the internet.

A measurement calls the way's ``lookup``, ``connect``, ``handshake`` and ``fetch`` and is told what
it would see; it never learns why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from analysis.worlds.censorship import Block, Censorship
from analysis.worlds.country import AddressPlan, Network, Page, Site, addressed
from analysis.worlds.internet import (
    NXDOMAIN,
    TIMED_OUT,
    UNKNOWN_AUTHORITY,
    Client,
    Helper,
    Internet,
    Json,
    Lookup,
    Target,
)


@dataclass(frozen=True, slots=True)
class Software:
    """One build. ``is_new`` is web_connectivity 0.5, the others 0.4.

    ``lacks_authority`` builds ship a list of certificate authorities that lacks a newer one.
    ``trusts_loopback`` builds take an answer of 127.0.0.1 for what the control saw.
    ``names_nxdomain`` builds word a missing name as Android's resolver does.
    """

    name: str
    version: str
    engine_version: str
    test_version: str
    platform: str
    weight: float
    is_new: bool = False
    lacks_authority: bool = False
    trusts_loopback: bool = False
    names_nxdomain: str = "dns_nxdomain_error"
    omits_address: bool = False  # of requests: the field is optional
    words: str = ""  # a system language other than English shows in failures


_ANDROID_WORDS = "android_dns_cache_no_data"

_GERMAN_WORDS = "unknown_failure: connectex: Es konnte keine Verbindung hergestellt werden."

BUILDS = (
    Software("ooniprobe-android", "3.8.5", "3.19.1", "0.4.3", "android", 22),
    Software(
        "ooniprobe-android", "3.8.8", "3.21.1", "0.4.3", "android", 8, names_nxdomain=_ANDROID_WORDS
    ),
    Software("ooniprobe-desktop-unattended", "3.20.0", "3.20.0", "0.4.3", "windows", 16),
    Software("ooniprobe-cli-unattended", "3.21.0", "3.21.0", "0.4.3", "linux", 8),
    Software("ooniprobe-desktop", "3.9.2", "3.9.2", "0.4.0", "macos", 5, trusts_loopback=True),
    Software("ooniprobe-cli", "3.18.9", "3.18.9", "0.4.2", "linux", 5, lacks_authority=True),
    Software("ooniprobe-desktop", "3.17.4", "3.17.4", "0.4.2", "windows", 1, words=_GERMAN_WORDS),
    Software("ooniprobe-android", "3.9.0", "3.22.0", "0.5.28", "android", 14, is_new=True),
    Software(
        "ooniprobe-android",
        "3.9.1",
        "3.22.1",
        "0.5.28",
        "android",
        5,
        True,
        names_nxdomain=_ANDROID_WORDS,
    ),
    Software("ooniprobe-cli-unattended", "3.22.0", "3.22.0", "0.5.28", "linux", 10, is_new=True),
    Software("ooniprobe-desktop-unattended", "3.23.0", "3.23.0", "0.5.29", "windows", 6, True),
)

#: The build that a fleet of probes on one network never updated.
OUTDATED = next(build for build in BUILDS if build.lacks_authority)


def weigh(new_share: float | None) -> list[float]:
    """How many probes run each build; ``new_share`` of them 0.5, or as many as usual."""
    if new_share is None:
        return [build.weight for build in BUILDS]
    totals = {
        kind: sum(build.weight for build in BUILDS if build.is_new is kind)
        for kind in (True, False)
    }
    shares = {True: new_share, False: 1 - new_share}
    return [build.weight * shares[build.is_new] / totals[build.is_new] for build in BUILDS]


def pick(rng: Random, weights: list[float], fleet_share: float = 0.0) -> Software:
    """One build, by how many probes run it; or the fleet's."""
    if fleet_share and rng.random() < fleet_share:
        return OUTDATED
    return rng.choices(BUILDS, weights)[0]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What some sessions of a network meet that is no block: a household's filter, a bad pair.

    Attributes:
        asn: the network.
        effects: what is done to a name, or to an address.
        share: of the network's sessions.
        build: the one probe that runs all of them; any where it is not given.
        days: on which it is so.
    """

    asn: int
    effects: Mapping[str, Block]
    share: float = 1.0
    build: Software | None = None
    days: range = range(10_000)


#: Chance that a step runs out of time in a bad spell of a network's lines.
_BAD_SPELL = 0.08


@dataclass(slots=True)
class Path:
    """One session's way out.

    ``home_filter`` is what the device's resolver answers for names that the household filters:
    advertising, and what is not for children where ``is_family`` is set. ``moment`` moves on as
    the probe measures. ``state`` is "good", "dead" (no link) or "portal" (captive). ``lies`` is
    what a forger says of some names or a household does to them, whatever the network does.
    """

    network: Network
    internet: Internet
    censorship: Censorship
    day: int
    moment: datetime
    rng: Random
    state: str
    lacks_authority: bool  # some probes ship a list of authorities that lacks a newer one
    way_out: float  # which of a network's ways the session takes, from 0 to 1
    home_filter: str = ""
    is_family: bool = False
    lies: Mapping[str, Block | None] = field(default_factory=dict)
    timeout_count: int = 0

    @property
    def _client(self) -> Client:
        return Client(self.network.asn, self.network.is_inside)

    def filters(self, site: Site | None) -> bool:
        """Whether the household's filter stops the site."""
        if site is None or not self.home_filter:
            return False
        is_adult = self.is_family and site.category in ("PORN", "GMB")
        return is_adult or site.situation == "ad_like"

    def _block(self, host: str) -> Block | None:
        if host in self.lies:
            return self.lies[host]
        block = self.censorship.find(self.network.asn, host, self.day, self.moment)
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
        if not is_public and self.filters(self.internet.sites.get(host)):
            return Lookup((self.home_filter,))
        block = self._block(host)
        if block is not None and block.injected:
            return Lookup(failure=block.injected)
        if block is not None and block.lie and not is_public:
            return Lookup((block.lie,))
        answer = self._look_up_honestly(host)
        is_substituted = not is_public and self.network.resolver_asn == machines.substituting_asn
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
        own = self.lies.get(address)
        if own is not None:
            return own.tcp_failure
        block = self.censorship.find(self.network.asn, address, self.day, self.moment)
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


@dataclass(frozen=True, slots=True)
class Names:
    """Who holds an address, in the words of the probe's own database; and its public resolvers."""

    plan: AddressPlan
    networks: dict[int, str]
    udp: str
    doh: str

    def query(
        self, engine: str, host: str, kind: str, failure: str | None, addresses: Sequence[str]
    ) -> Json:
        """One item of ``queries``, without what the two versions add."""
        resolver = {"udp": self.udp, "doh": self.doh}.get(engine, "")
        return {
            "answers": [self._answer(address) for address in addresses] or None,
            "engine": engine,
            "failure": failure,
            "hostname": host,
            "query_type": kind,
            "resolver_hostname": None,
            "resolver_port": None,
            "resolver_address": resolver,
        }

    def _answer(self, address: str) -> Json:
        asn = self.plan.asn(address)
        kind, key = ("AAAA", "ipv6") if ":" in address else ("A", "ipv4")
        name = self.networks.get(asn, "")
        return {"asn": asn, "as_org_name": name, "answer_type": kind, key: address, "ttl": None}

    def are_akin(self, one: Lookup, other: Lookup) -> bool:
        """Whether two answers have an address in common, or a network."""
        ours, theirs = set(one.addresses), set(other.addresses)
        asns = {self.plan.asn(address) for address in ours}
        asns &= {self.plan.asn(address) for address in theirs}
        return bool(ours & theirs or asns - {0})


@dataclass(slots=True)
class Session:
    """One run of the test. ``start`` is when the first URL is measured, in UTC."""

    probe_cc: str
    report_id: str
    start: datetime
    software: Software
    path: Path
    helper: Helper
    names: Names
    network_type: str
    helper_failure_rate: float
    run_link: str  # of a campaign that the volunteer takes part in
