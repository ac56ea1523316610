"""One session of a probe: its software, its network, and its measurements.

A measurement calls ``lookup``, ``connect``, ``handshake`` and ``fetch`` of the session, which
return what the probe would see.

The second part writes measurements of web_connectivity, with the probe's conclusions (ts-017,
df-001 ff.). 0.4 asks one resolver, connects, and then fetches the page as a browser does. 0.5 asks
three resolvers and tries every address from any of them or the helper; attempts at the system
resolver's addresses are tagged ``classic``.

The probe's errors are simulated too: 0.4 has no TLS layer and accepts any good page over TLS, 0.5
concludes "dns" for an unexpected address even if the page was right.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from analysis.worlds.censorship import Block, Censorship
from analysis.worlds.country import (
    BOGONS,
    CLOSED,
    NXDOMAIN,
    REFUSED,
    RESET,
    TIMED_OUT,
    UNKNOWN_AUTHORITY,
    WRONG_HOST,
    Control,
    Helper,
    Internet,
    Json,
    Lookup,
    Network,
    Page,
    Site,
    Target,
    addressed,
    endpoint,
    parse,
)


@dataclass(frozen=True, slots=True)
class Software:
    """One build. ``is_new``: web_connectivity 0.5, else 0.4.

    ``lacks_authority``: its list of certificate authorities lacks a newer one.
    ``trusts_loopback``: it considers an answer of 127.0.0.1 consistent with the control.
    ``names_nxdomain``: its failure for a name that does not exist.
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


def pick(rng: Random, new_share: float | None, fleet_share: float = 0.0) -> Software:
    """Draw a build by the number of its probes, ``new_share`` of them 0.5; or the fleet's."""
    if fleet_share and rng.random() < fleet_share:
        return OUTDATED
    if new_share is None:
        return rng.choices(BUILDS, [build.weight for build in BUILDS])[0]
    totals = {
        kind: sum(build.weight for build in BUILDS if build.is_new is kind)
        for kind in (True, False)
    }
    shares = {True: new_share, False: 1 - new_share}
    weights = [build.weight * shares[build.is_new] / totals[build.is_new] for build in BUILDS]
    return rng.choices(BUILDS, weights)[0]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of some sessions of a network that is not a block, such as a household's filter.

    Attributes:
        asn: the network.
        effects: name or address → effect.
        share: of the network's sessions.
        build: the single probe that runs these sessions; None for any.
        days: of the fault.
    """

    asn: int
    effects: Mapping[str, Block]
    share: float = 1.0
    build: Software | None = None
    days: range = range(10_000)


#: Probability that a step times out in a bad spell of a network.
_BAD_SPELL = 0.08


@dataclass(slots=True)
class Session:
    """One run of the test: the probe and its network.

    ``start`` is the time of the first URL, in UTC. ``home_filter`` is what the device's resolver
    answers for names that the household filters: advertising, and with ``is_family`` content not
    for children. ``state`` is "good", "dead" (no link) or "portal" (captive). ``lies`` are the
    effects of a forger or a household, which replace those of the network. ``moment``,
    ``timeout_count`` and ``is_control_lost`` change as the probe measures.
    """

    probe_cc: str
    report_id: str
    start: datetime
    software: Software
    network: Network
    internet: Internet
    censorship: Censorship
    helper: Helper
    names: dict[int, str]  # of networks, as the probe's own database has them
    helper_failure_rate: float
    run_link: str  # of a campaign that the volunteer takes part in
    day: int
    rng: Random
    state: str
    way_out: float  # the path of the session through the network, from 0 to 1
    home_filter: str
    is_family: bool
    lies: Mapping[str, Block | None]
    moment: datetime
    timeout_count: int = 0
    is_control_lost: bool = False
    has_own_ids: bool = False  # each measurement gets a report ID of its own

    def filters(self, site: Site | None) -> bool:
        """Test whether the household's filter blocks the site."""
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
        """Ask the system's resolver, or a public one, whose answers boxes on the path can forge."""
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
        """Ask a public resolver over TLS."""
        if self.state == "portal" or self._times_out():
            return Lookup(failure=TIMED_OUT)
        return self._look_up_honestly(host)

    def _look_up_honestly(self, host: str) -> Lookup:
        answer = self.internet.lookup(host, self.network, self.day)
        if self.network.has_v6 or self.network.is_v6_broken:
            return answer
        return Lookup(answer.v4, (), answer.failure)

    def connect(self, address: str, port: int) -> str | None:
        """Open a TCP connection and return the failure, if any."""
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
        return self.internet.connect(address, port, self.day, self.network)

    def handshake(self, address: str, name: str) -> str | None:
        """Make a TLS handshake on an open connection and return the failure, if any."""
        if self._times_out():
            return TIMED_OUT
        block = self._block(name)
        if block is not None and block.tls_failure:
            return block.tls_failure
        failure = self.internet.handshake(address, name, self.network)
        site = self.internet.sites.get(name)
        is_unknown = (
            self.software.lacks_authority and site is not None and site.authority == "second"
        )
        return UNKNOWN_AUTHORITY if failure is None and is_unknown else failure

    def fetch(self, address: str, target: Target) -> tuple[Page | None, str | None]:
        """Send a request on an open connection and return the page and the failure."""
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
        return self.internet.fetch(address, target, self.network, self.rng), None

    def query(
        self, engine: str, host: str, kind: str, failure: str | None, addresses: Sequence[str]
    ) -> Json:
        """Return an item of ``queries``, without the fields of a single version."""
        return {
            "answers": [self._answer(address) for address in addresses] or None,
            "engine": engine,
            "failure": failure,
            "hostname": host,
            "query_type": kind,
        }

    def _answer(self, address: str) -> Json:
        asn = self.internet.plan.asn(address)
        kind, key = ("AAAA", "ipv6") if ":" in address else ("A", "ipv4")
        name = self.names.get(asn, "")
        return {"asn": asn, "as_org_name": name, "answer_type": kind, key: address}

    def are_akin(self, first: Lookup, second: Lookup) -> bool:
        """Test whether two answers have an address or a network in common."""
        addresses, others = set(first.addresses), set(second.addresses)
        asns = {self.internet.plan.asn(address) for address in addresses}
        asns &= {self.internet.plan.asn(address) for address in others}
        return bool(addresses & others or asns - {0})

    def ask(self, target: Target, addresses: list[str]) -> Control:
        """Return the helper's reply on a URL and the probe's addresses."""
        if self.is_control_lost:
            return Control(failure=TIMED_OUT)
        return self.helper.measure(target, addresses, self.day)

    def word(self, answer: Lookup) -> str | None:
        """Return the failure of a lookup in the system's wording."""
        return self.software.names_nxdomain if answer.failure == NXDOMAIN else answer.failure


_NO_RESPONSE = {"body": "", "code": 0, "headers": None}
_NO_CONTROL = {
    "tcp_connect": None,
    "http_request": {"body_length": 0, "failure": None, "headers": None, "status_code": 0},
    "dns": {"failure": None, "addrs": None},
}
#: Headers that do not identify a site.
_COMMON = {
    "accept-ranges",
    "age",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "pragma",
    "server",
    "set-cookie",
    "transfer-encoding",
    "vary",
    "via",
}

Blocking = str | bool | None

#: Failures that 0.4 interprets.
_INTERPRETED = {REFUSED, RESET, CLOSED, TIMED_OUT, WRONG_HOST, UNKNOWN_AUTHORITY}
_LAYERS = ("tcp", "tls", "http")


def measure(session: Session, url: str) -> tuple[Json, bool]:
    """Measure one URL; return the document, and whether there were no faults but a block."""
    software, rng = session.software, session.rng
    session.moment += timedelta(seconds=rng.randint(2, 7))
    target = parse(url)
    rate = session.helper_failure_rate if session.state == "good" else 0.4
    session.is_control_lost = rng.random() < rate
    session.timeout_count = 0
    test_keys = (_measure_05 if software.is_new else _measure_04)(session, target)
    is_sound = session.state == "good" and not session.timeout_count and not session.is_control_lost
    asn = session.network.resolver_asn
    document = {
        "annotations": {
            **({"ooni_run_link_id": session.run_link} if session.run_link else {}),
            "engine_version": software.engine_version,
            "platform": software.platform,
        },
        "data_format_version": "0.2.0",
        "input": target.url,
        "measurement_start_time": str(session.moment),
        "probe_asn": f"AS{session.network.asn}",
        "probe_cc": session.probe_cc,
        "probe_ip": "127.0.0.1",
        "probe_network_name": session.network.name,
        "report_id": name_report(session, f"{target.url} {session.moment}"),
        "resolver_asn": f"AS{asn}",
        "resolver_ip": session.network.resolver_address,
        "resolver_network_name": session.names.get(asn, ""),
        "software_name": software.name,
        "software_version": software.version,
        "test_keys": test_keys,
        "test_name": "web_connectivity",
        "test_runtime": round(session.rng.uniform(0.5, 9.0), 3),
        "test_start_time": str(session.start),
        "test_version": software.test_version,
    }
    return document, is_sound


def name_report(session: Session, content: str) -> str:
    """Return the report ID of a measurement."""
    if not (session.report_id and session.has_own_ids):
        return session.report_id
    head = session.report_id.rpartition("_")[0]
    return f"{head}_{hashlib.sha256(f'{session.report_id} {content}'.encode()).hexdigest()[:16]}"


def _exchange_json(target: Target, page: Page | None, failure: str | None) -> Json:
    """Return a request and its response, which is empty if none came; non-text is base64."""
    response: Json = _NO_RESPONSE
    if page is not None:
        body: str | Json = (
            page.body
            if isinstance(page.body, str)
            else {"data": base64.b64encode(page.body).decode(), "format": "base64"}
        )
        response = {"body": body, "code": page.code, "headers": dict(page.headers)}
    request = {"method": "GET", "url": target.url}
    return {"failure": failure, "request": request, "response": response}


def _control_json(control: Control) -> Json:
    """Return the reply as probes of 3.17 and later store it."""
    page = control.page
    reply: Json = {
        "tcp_connect": _ends_json(control.tcp),
        "tls_handshake": _ends_json(control.tls),
        "http_request": {
            "body_length": -1 if page is None else page.length,
            "failure": control.http_failure,
            "title": "" if page is None else page.title,
            "headers": {} if page is None else dict(page.headers),
            "status_code": -1 if page is None else page.code,
        },
        "dns": {
            "failure": "dns_name_error" if control.dns.failure else None,
            "addrs": list(control.dns.addresses),
        },
        "ip_info": dict(sorted(control.ip_info.items())),
    }
    if not control.ip_info:
        del reply["ip_info"], reply["tls_handshake"]
    return reply


def _ends_json(ends: Mapping[str, str | None]) -> Json:
    """Return endpoint → result of the helper's own attempt."""
    return {
        spelling: {"status": failure is None, "failure": failure}
        for spelling, failure in sorted(ends.items())
    }


def compare_pages(probe_page: Page | None, control: Page | None) -> Json:
    """Return the probe's five comparisons, None without a page to compare with."""
    if probe_page is None or control is None:
        return {
            "body_proportion": 0,
            "body_length_match": None,
            "headers_match": None,
            "status_code_match": None,
            "title_match": None,
        }
    longest = max(probe_page.length, control.length)
    proportion = min(probe_page.length, control.length) / longest if longest else 1.0
    ours, theirs = ({name.lower() for name, _ in page.headers} for page in (probe_page, control))
    seen_words, control_words = probe_page.title.lower().split(), control.title.lower().split()
    return {
        "body_proportion": proportion,
        "body_length_match": proportion > 0.7,
        "headers_match": ours == theirs or bool((ours & theirs) - _COMMON),
        "status_code_match": probe_page.code == control.code,
        "title_match": any(len(word) > 4 and word in control_words for word in seen_words)
        if probe_page.title and control.title
        else None,
    }


def _is_same_page(comparison: Json) -> bool:
    """Test for equal status and at least one other match."""
    likeness = ("body_length_match", "headers_match", "title_match")
    return bool(comparison["status_code_match"]) and any(comparison[name] for name in likeness)


def _measure_04(session: Session, target: Target) -> Json:
    """Return the ``test_keys`` of one measurement of 0.4."""
    answer = session.lookup(target.host)
    control = session.ask(target, list(answer.addresses))
    connects, handshakes = _connect_all(session, target, answer)
    requests, page = _browse(session, target, answer)
    consistency = None if control.failure else _compare_answers(session, answer, control)
    comparison = compare_pages(page, control.page)
    blocking, accessible = _conclude_04(
        answer.failure == NXDOMAIN, consistency, control, connects, requests[0], comparison
    )
    dns_failure = session.word(answer)
    runtime = session.rng.randint(10**7, 10**9)
    queries = []
    for kind, addresses in (("A", answer.v4), ("AAAA", answer.v6)):
        if kind == "A" or addresses:
            query = session.query("system", target.written, kind, dns_failure, addresses)
            queries.append({**query, "t": runtime / 1e9, "tags": None})
    return {
        "tls_handshakes": handshakes or None,
        "queries": queries,
        "dns_experiment_failure": dns_failure,
        "dns_consistency": consistency,
        "control_failure": control.failure,
        "control": _NO_CONTROL if control.failure else _control_json(control),
        "tcp_connect": connects or None,
        "requests": requests,
        "http_experiment_failure": requests[0]["failure"],
        **comparison,
        "accessible": accessible,
        "blocking": blocking,
    }


def _conclude_04(
    is_missing: bool,
    consistency: str | None,
    control: Control,
    connects: list[Json],
    last: Json,
    comparison: Json,
) -> tuple[Blocking, bool | None]:
    """Return ``blocking`` and ``accessible``; ``last`` is the request of the final page."""
    failure, is_lie = last["failure"], consistency != "consistent"
    if failure is None and last["request"]["url"].startswith("https:"):
        return False, True
    if control.failure is not None:
        return None, None
    if is_missing:
        return "dns" if is_lie else False, False
    if connects and not any(item["status"]["success"] for item in connects):
        return "dns" if is_lie else "tcp_ip", False
    if control.http_failure is not None or (failure is not None and failure not in _INTERPRETED):
        return None, None
    if failure is not None:
        return "dns" if is_lie else "http-failure", False
    if _is_same_page(comparison):
        return False, True
    return "dns" if is_lie else "http-diff", False


def _compare_answers(session: Session, answer: Lookup, control: Control) -> str:
    """Return the ``dns_consistency`` of 0.4: equal failures, or a common network or address."""
    if session.software.trusts_loopback and answer.v4 == ("127.0.0.1",):
        return "consistent"
    is_same = session.are_akin(answer, control.dns)
    if control.dns.failure is not None:
        is_same = answer.failure == control.dns.failure
    return "consistent" if is_same else "inconsistent"


def _connect_all(session: Session, target: Target, answer: Lookup) -> tuple[list[Json], list[Json]]:
    """Connect to every address of the resolver, and make handshakes if the URL is https."""
    connects: list[Json] = []
    handshakes: list[Json] = []
    for address in answer.addresses:
        failure = session.connect(address, target.port)
        if failure is not None:
            failure = session.software.words or failure
        status = {"failure": failure, "success": failure is None}
        t = round(session.rng.uniform(0.05, 1.5), 3)
        item = {"ip": address, "port": target.port, "status": status, "t": t, "tags": None}
        connects.append(item)
        if failure is None and target.is_https:
            handshakes.append(
                {
                    "failure": session.handshake(address, target.host),
                    "no_tls_verify": False,
                    "server_name": target.written,
                    "t": round(t + 0.04, 3),
                    "tags": ["tcptls_experiment"],
                }
            )
    return connects, handshakes


def _browse(session: Session, target: Target, answer: Lookup) -> tuple[list[Json], Page | None]:
    """Fetch the page and follow redirects; return requests, the newest first, and the page."""
    requests: list[Json] = []
    while True:
        page, failure = _fetch(session, target, answer)
        t = round(session.rng.uniform(0.4, 3.0), 3)
        requests.insert(0, {**_exchange_json(target, page, failure), "t": t, "tags": None})
        if page is None or not page.location:
            return requests, page
        target = parse(page.location)
        answer = session.lookup(target.host)


def _fetch(session: Session, target: Target, answer: Lookup) -> tuple[Page | None, str | None]:
    failure = session.word(answer)
    for address in answer.addresses:
        failure = session.connect(address, target.port)
        if failure is None and target.is_https:
            failure = session.handshake(address, target.host)
        if failure is None:
            return session.fetch(address, target)
        failure = session.software.words or failure
    return None, failure


@dataclass(slots=True)
class _Flow:
    """One connection to one address; ``failure`` is that of its last layer."""

    target: Target
    address: str
    port: int
    is_classic: bool
    depth: int
    number: int
    t0: float
    layer: str = "tcp"
    failure: str | None = None
    page: Page | None = None  # the page at the end of all redirects

    @property
    def is_main(self) -> bool:
        """Whether it may fetch the page, unlike a plain URL's attempt at port 443."""
        return self.target.is_https or self.port == 80

    @property
    def tags(self) -> list[str]:
        fetch_body = f"fetch_body={'true' if self.is_main else 'false'}"
        classic = ["classic"] if self.is_classic else []
        return [*classic, "tcptls_experiment", f"depth={self.depth}", fetch_body]


@dataclass(slots=True)
class _Measurement05:
    """One measurement of 0.5 in progress."""

    session: Session
    queries: list[Json] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    connects: list[Json] = field(default_factory=list)
    handshakes: list[Json] = field(default_factory=list)
    flows: list[_Flow] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)  # addresses whose certificate is right
    is_page_taken: bool = False
    redirect_failure: str | None = None  # of the lookup of a redirect's target

    def resolve(self, target: Target, depth: int) -> tuple[Lookup, list[str]]:
        """Ask three resolvers; return the system's answer, and all addresses, its own first."""
        session, tag = self.session, f"depth={depth}"
        system = session.lookup(target.host)
        udp = session.lookup(target.host, is_public=True)
        doh = session.lookup_over_https(target.host)
        self._record("doh", target, doh, [tag])
        self._record("getaddrinfo", target, system, ["classic", tag])
        self._record("udp", target, udp, [tag])
        return system, list(dict.fromkeys((*system.addresses, *udp.addresses, *doh.addresses)))

    def _record(self, engine: str, target: Target, lookup: Lookup, tags: list[str]) -> None:
        """Add the items of ``queries``; UDP and DoH have separate ones for A and AAAA."""
        session, is_system = self.session, engine == "getaddrinfo"
        by_type = [("A", lookup.v4), ("AAAA", lookup.v6)]
        for kind, addresses in [("ANY", lookup.addresses)] if is_system else by_type:
            failure = lookup.failure or (None if addresses else "dns_no_answer")
            written = session.word(lookup) if is_system else failure
            query = session.query(engine, target.written, kind, written, addresses)
            t0 = round(session.rng.uniform(0, 0.01), 4)
            self.queries.append({**query, "t0": t0, "t": round(t0 + 0.03, 4), "tags": tags})

    def visit(self, target: Target, system: Lookup, addresses: list[str], depth: int) -> None:
        """Try every address; the first good connection fetches the page and follows redirects."""
        session = self.session
        for address in addresses:
            for port in (443,) if target.is_https else (80, 443):
                number = len(self.flows) + 1
                t0 = round(session.rng.uniform(0.05, 0.5), 3)
                is_classic = address in system.addresses
                flow = _Flow(target, address, port, is_classic, depth, number, t0)
                self.flows.append(flow)
                self._connect(flow)
                if flow.failure is None and flow.is_main and not self.is_page_taken:
                    self._fetch(flow)

    def _connect(self, flow: _Flow) -> None:
        failure = self.session.connect(flow.address, flow.port)
        self.connects.append(
            {
                "ip": flow.address,
                "port": flow.port,
                "status": {"failure": failure, "success": failure is None},
                "t0": flow.t0,
                "t": round(flow.t0 + 0.02, 3),
                "tags": flow.tags,
                "transaction_id": flow.number,
            }
        )
        if failure is None and flow.port == 443:
            flow.layer = "tls"
            failure = self.session.handshake(flow.address, flow.target.host)
            self.handshakes.append(
                {
                    "address": endpoint(flow.address, 443),
                    "failure": failure,
                    "no_tls_verify": False,
                    "server_name": flow.target.written,
                    "t0": flow.t0,
                    "t": round(flow.t0 + 0.05, 3),
                    "tags": flow.tags,
                    "transaction_id": flow.number,
                }
            )
            if failure is None:
                self.valid.add(flow.address)
        flow.failure = failure

    def _fetch(self, flow: _Flow) -> None:
        self.is_page_taken = True
        flow.layer = "http"
        page, flow.failure = self.session.fetch(flow.address, flow.target)
        item = _exchange_json(flow.target, page, flow.failure)
        if not self.session.software.omits_address:
            item["address"] = endpoint(flow.address, flow.port)
        item |= {
            "t0": flow.t0,
            "t": round(flow.t0 + 0.2, 3),
            "tags": flow.tags,
            "transaction_id": flow.number,
        }
        self.requests.insert(0, item)
        if page is None or not page.location:
            flow.page = page
            return
        redirected = parse(page.location)
        self.is_page_taken = False
        system, addresses = self.resolve(redirected, flow.depth + 1)
        if not addresses:
            self.redirect_failure = self.session.word(system)
        self.visit(redirected, system, addresses, flow.depth + 1)
        self.is_page_taken = True


def _measure_05(session: Session, target: Target) -> Json:
    """Return the ``test_keys`` of one measurement of 0.5."""
    run = _Measurement05(session)
    system, addresses = run.resolve(target, 0)
    control = session.ask(target, addresses)
    extra = [address for address in control.dns.addresses if address not in addresses]
    run.visit(target, system, [*addresses, *extra], 0)
    last = next((flow for flow in run.flows if flow.page is not None), None)
    page = last.page if last is not None and last.is_classic else None
    comparison = compare_pages(page, control.page)
    blocking, accessible = _conclude_05(run, system, control, last, comparison)
    consistency = "inconsistent" if blocking == "dns" else "consistent"
    http_failure = dns_failure = session.word(system)
    if dns_failure is None and page is None:
        # The failure of the last attempt with the system's answers.
        failed = [flow for flow in run.flows if flow.is_classic and flow.is_main and flow.failure]
        deepest = max(failed, key=lambda flow: flow.depth, default=None)
        http_failure = run.redirect_failure or (deepest.failure if deepest else None)
    return {
        "queries": run.queries,
        "requests": run.requests,
        "tcp_connect": run.connects,
        "tls_handshakes": run.handshakes,
        "control": None if control.failure else _control_json(control),
        "control_failure": control.failure,
        "dns_experiment_failure": dns_failure,
        "dns_consistency": None if control.failure else consistency,
        "http_experiment_failure": http_failure,
        **comparison,
        "blocking": blocking,
        "accessible": accessible,
    }


def _conclude_05(
    run: _Measurement05, system: Lookup, control: Control, last: _Flow | None, comparison: Json
) -> tuple[Blocking, bool | None]:
    """Return ``blocking`` and ``accessible``; ``last`` is the connection with the page."""
    is_classic = last is not None and last.is_classic
    if last is not None and is_classic and last.port == 443:
        return False, True
    if control.failure is not None:
        return None, None
    if _is_odd(run, system, control):
        return "dns", False
    is_down = system.failure is not None
    for layer, control_results, words in (
        ("tcp", control.tcp, "tcp_ip"),
        ("tls", control.tls, "http-failure"),
    ):
        stopped = _find_stopped(run.flows, layer)
        outcomes = {
            control_results.get(endpoint(flow.address, flow.port), "untried") for flow in stopped
        }
        if None in outcomes:
            return words, False
        is_down = is_down or bool(outcomes - {"untried"})
    is_same = _is_same_page(comparison)
    if control.http_failure is None:
        if any(flow.is_classic and flow.layer == "http" and flow.failure for flow in run.flows):
            return "http-failure", False
        if is_classic and not is_same:
            return "http-diff", False
    if last is not None and (not is_classic or is_same):
        return False, True
    return (False, False) if is_down else (None, None)


def _is_odd(run: _Measurement05, system: Lookup, control: Control) -> bool:
    """Test whether the system's answer is unexpected.

    It is expected if an address, a network or a valid certificate agrees with the control.
    """
    if system.failure is not None:
        return control.dns.failure is None
    if any(address.startswith(BOGONS) for address in system.addresses):
        return True
    is_valid = not run.valid.isdisjoint(system.addresses)
    return not (is_valid or run.session.are_akin(system, control.dns))


def _find_stopped(flows: list[_Flow], layer: str) -> list[_Flow]:
    """Return the flows of the system's last answer, if all that reached a layer failed there."""
    main = [flow for flow in flows if flow.is_classic and flow.is_main]
    deepest = max((flow.depth for flow in main), default=0)
    reached = [
        flow
        for flow in main
        if flow.depth == deepest
        and _LAYERS.index(flow.layer) >= _LAYERS.index(layer)
        and (layer == "tcp" or flow.port == 443)
    ]
    is_stopped = all(flow.layer == layer and flow.failure for flow in reached)
    return reached if is_stopped else []
