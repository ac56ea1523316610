"""How a probe writes a measurement of web_connectivity, and what it concludes (ts-017, df-001 ff.).

0.4 asks one resolver, connects, and then fetches the page as a browser does. 0.5 asks three
resolvers and tries every address that any of them or the helper gives: what follows from the
system's resolver is tagged ``classic``; the rest shows whether the site can be reached otherwise.

The probe's mistakes are part of it: 0.4 knows no TLS layer and trusts any good page over TLS, 0.5
calls a name with an unexpected address "dns" even where the page was right.
"""

import base64
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from analysis.worlds.country import Headers, Page
from analysis.worlds.internet import (
    BOGONS,
    CLOSED,
    NXDOMAIN,
    REFUSED,
    RESET,
    TIMED_OUT,
    UNKNOWN_AUTHORITY,
    WRONG_HOST,
    Control,
    Json,
    Lookup,
    Target,
    endpoint,
    parse,
)
from analysis.worlds.session import Session

_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_LANGUAGE = "en-US,en;q=0.9"
_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/[scrubbed] Safari/537.3"
)
_EXTENSIONS = {
    "dnst": 0, "httpt": 0, "netevents": 0, "tcpconnect": 0, "tlshandshake": 0, "tunnel": 0,
}  # fmt: skip
_NO_TOR = {"exit_ip": None, "exit_name": None, "is_tor": False}
_NO_RESPONSE = {
    "body": "",
    "body_is_truncated": False,
    "code": 0,
    "headers_list": None,
    "headers": None,
}
#: The headers that a probe asks its helper to send.
_CONTROL_HEADERS = {
    "Accept": [_ACCEPT],
    "Accept-Language": [_LANGUAGE],
    "User-Agent": [_AGENT.replace("[scrubbed]", "122.0.0.0")],
}
_NO_CONTROL = {
    "tcp_connect": None,
    "http_request": {
        "body_length": 0, "failure": None, "title": "", "headers": None, "status_code": 0,
    },
    "dns": {"failure": None, "addrs": None},
}  # fmt: skip
#: Headers that say nothing about which site answered.
_COMMON = {
    "accept-ranges", "age", "cache-control", "connection", "content-encoding", "content-length",
    "content-type", "date", "etag", "expires", "last-modified", "location", "pragma", "server",
    "set-cookie", "transfer-encoding", "vary", "via",
}  # fmt: skip

Blocking = str | bool | None

# x_status of 0.4
_SECURE, _CLEARTEXT, _GONE, _NOT_COMPARED, _CONTROL_FAILED = 1, 2, 4, 8, 16
_DNS, _DIFF, _CONNECT, _READ_WRITE, _UNKNOWN, _HANDSHAKE = 32, 64, 128, 256, 512, 1024
_AT_DNS, _AT_CONNECT, _AT_HTTP = 2048, 4096, 8192
_STATUS = {
    REFUSED: _CONNECT,
    RESET: _READ_WRITE,
    CLOSED: _READ_WRITE,
    TIMED_OUT: _UNKNOWN,
    WRONG_HOST: _HANDSHAKE,
    UNKNOWN_AUTHORITY: _HANDSHAKE,
}
# x_blocking_flags of 0.5
_DNS_BLOCKED, _TCP_BLOCKED, _TLS_BLOCKED, _HTTP_BLOCKED, _HTTP_DIFFERS, _REACHED = (
    1, 2, 4, 8, 16, 32,
)  # fmt: skip
#: What the flags come to; the first of them decides.
_VERDICTS: tuple[tuple[int, Blocking, bool], ...] = (
    (_DNS_BLOCKED, "dns", False),
    (_TCP_BLOCKED, "tcp_ip", False),
    (_TLS_BLOCKED | _HTTP_BLOCKED, "http-failure", False),
    (_HTTP_DIFFERS, "http-diff", False),
    (_REACHED, False, True),
)
_LAYERS = ("tcp", "tls", "http")


@dataclass(frozen=True, slots=True)
class Task:
    """One URL to measure in a session, with the helper's answer to be had, and the date."""

    session: Session
    target: Target
    ask: Callable[[list[str]], Control]
    date: str

    def word(self, answer: Lookup) -> str | None:
        """The failure of a lookup as the system words it."""
        words = self.session.software.names_nxdomain
        return words if answer.failure == NXDOMAIN else answer.failure


def measure(session: Session, url: str) -> tuple[Json, bool]:
    """Measure one URL; time passes. Also tells whether all went well on the way."""
    path, software = session.path, session.software
    path.moment += timedelta(seconds=path.rng.randint(2, 7))
    target = parse(url)
    rate = session.helper_failure_rate if path.state == "good" else 0.4
    is_lost = path.rng.random() < rate

    def ask(addresses: list[str]) -> Control:
        if is_lost:
            return Control(failure=TIMED_OUT)
        return session.helper.measure(target, addresses, path.day)

    path.timeout_count = 0
    date = path.moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
    task = Task(session, target, ask, date)
    test_keys = _measure_05(task) if software.is_new else _measure_04(task)
    is_sound = path.state == "good" and not path.timeout_count and not is_lost
    asn = path.network.resolver_asn
    document = {
        "annotations": {
            **({"ooni_run_link_id": session.run_link} if session.run_link else {}),
            "architecture": "arm64" if software.platform == "android" else "amd64",
            "engine_name": "ooniprobe-engine",
            "engine_version": software.engine_version,
            "network_type": session.network_type,
            "platform": software.platform,
        },
        "data_format_version": "0.2.0",
        **({"extensions": _EXTENSIONS} if software.is_new else {}),
        "input": target.url,
        "measurement_start_time": str(path.moment),
        "probe_asn": f"AS{path.network.asn}",
        "probe_cc": session.probe_cc,
        "probe_ip": "127.0.0.1",
        "probe_network_name": path.network.name,
        "report_id": session.report_id,
        "resolver_asn": f"AS{asn}",
        "resolver_ip": path.network.resolver_address,
        "resolver_network_name": session.names.networks.get(asn, ""),
        "software_name": software.name,
        "software_version": software.version,
        "test_helpers": {"backend": {"address": "https://0.th.example", "type": "https"}},
        "test_keys": test_keys,
        "test_name": "web_connectivity",
        "test_runtime": round(path.rng.uniform(0.5, 9.0), 3),
        "test_start_time": str(session.start - timedelta(seconds=2)),
        "test_version": software.test_version,
    }
    return document, is_sound


def _request_json(target: Target, referer: str | None) -> Json:
    """The request that a probe sends. 0.5 always writes a Referer, empty at first."""
    headers = {"Accept": _ACCEPT, "Accept-Language": _LANGUAGE, "Host": target.authority}
    if referer is not None:
        headers["Referer"] = referer
    headers["User-Agent"] = _AGENT
    return {
        "body": "",
        "body_is_truncated": False,
        "headers_list": [[name, value] for name, value in headers.items()],
        "headers": headers,
        "method": "GET",
        "tor": _NO_TOR,
        "x_transport": "tcp",
        "url": target.url,
    }


def _response_json(page: Page | None, date: str) -> Json:
    """The response, or the empty one that stands for none; what is not UTF-8 as base64."""
    if page is None:
        return _NO_RESPONSE
    headers = _dated(page, date)
    body: str | Json = page.body if isinstance(page.body, str) else {
        "data": base64.b64encode(page.body).decode(), "format": "base64"
    }  # fmt: skip
    return {
        "body": body,
        "body_is_truncated": False,
        "code": page.code,
        "headers_list": [[name, value] for name, value in headers.items()],
        "headers": headers,
    }


def _dated(page: Page, date: str) -> dict[str, str]:
    """The page's headers with the Date that every server adds."""
    return dict(sorted([*page.headers, ("Date", date)]))


def _control_json(control: Control, task: Task) -> Json:
    """The reply as probes of 3.17 and later store it."""
    page = control.page
    reply: Json = {
        "tcp_connect": {
            where: {"status": failure is None, "failure": failure}
            for where, failure in sorted(control.tcp.items())
        },
        "tls_handshake": {
            where: {
                "server_name": task.target.written, "status": failure is None, "failure": failure,
            }
            for where, failure in sorted(control.tls.items())
        },
        "quic_handshake": {},
        "http_request": {
            "body_length": -1 if page is None else page.length,
            "discovered_h3_endpoint": "",
            "failure": control.http_failure,
            "title": "" if page is None else page.title,
            "headers": {} if page is None else _dated(page, task.date),
            "status_code": -1 if page is None else page.code,
        },
        "http3_request": None,
        "dns": {
            "failure": "dns_name_error" if control.dns.failure else None,
            "addrs": list(control.dns.addresses),
        },
        "ip_info": dict(sorted(control.ip_info.items())),
    }  # fmt: skip
    if not control.ip_info:
        del reply["ip_info"], reply["tls_handshake"]
    return reply


def compare_pages(seen: Page | None, control: Page | None) -> Json:
    """The probe's five numbers; None where there is nothing to compare."""
    if seen is None or control is None:
        return {"body_proportion": 0, "body_length_match": None, "headers_match": None,
                "status_code_match": None, "title_match": None}  # fmt: skip
    longest = max(seen.length, control.length)
    proportion = min(seen.length, control.length) / longest if longest else 1.0
    return {
        "body_proportion": proportion,
        "body_length_match": proportion > 0.7,
        "headers_match": _have_same_headers(seen.headers, control.headers),
        "status_code_match": seen.code == control.code,
        "title_match": _have_same_title(seen.title, control.title),
    }


def _have_same_headers(seen: Headers, control: Headers) -> bool:
    ours = {name.lower() for name, _ in seen}
    theirs = {name.lower() for name, _ in control}
    return ours == theirs or bool((ours & theirs) - _COMMON)


def _have_same_title(seen: str, control: str) -> bool | None:
    if not seen or not control:
        return None
    return any(len(word) > 4 and word in control.lower().split() for word in seen.lower().split())


def _is_same_page(comparison: Json) -> bool:
    """Equal status and at least one other likeness."""
    likeness = ("body_length_match", "headers_match", "title_match")
    return bool(comparison["status_code_match"]) and any(comparison[name] for name in likeness)


def _measure_04(task: Task) -> Json:
    """The ``test_keys`` of one measurement."""
    path = task.session.path
    answer = path.lookup(task.target.host)
    control = task.ask(list(answer.addresses))
    connects, handshakes = _connect_all(task, answer, control)
    requests, page = _browse(task, answer)
    consistency = None if control.failure else _compare_answers(task, answer, control)
    comparison = compare_pages(page, control.page)
    blocking, accessible, status = _conclude_04(
        answer.failure == NXDOMAIN, consistency, control, connects, requests[0], comparison
    )
    dns_failure = task.word(answer)
    runtime = path.rng.randint(10**7, 10**9)
    queries = []
    for kind, addresses in (("A", answer.v4), ("AAAA", answer.v6)):
        if kind == "A" or addresses:
            query = task.session.names.query(
                "system", task.target.written, kind, dns_failure, addresses
            )
            queries.append({**query, "t": runtime / 1e9, "tags": None})
    return {
        "agent": "redirect",
        "client_resolver": path.network.resolver_address,
        "retries": None,
        "socksproxy": None,
        "network_events": [_connect_event(item) for item in connects] or None,
        "tls_handshakes": handshakes or None,
        "queries": queries,
        "dns_experiment_failure": dns_failure,
        "dns_consistency": consistency,
        "control_failure": control.failure,
        "control": _NO_CONTROL if control.failure else _control_json(control, task),
        "tcp_connect": connects or None,
        "requests": requests,
        "http_experiment_failure": requests[0]["failure"],
        "body_length_match": comparison["body_length_match"],
        "body_proportion": comparison["body_proportion"],
        "status_code_match": comparison["status_code_match"],
        "headers_match": comparison["headers_match"],
        "title_match": comparison["title_match"],
        "accessible": accessible,
        "blocking": blocking,
        "x_status": status,
        "x_dns_runtime": runtime,
        "x_th_runtime": runtime * 2,
        "x_tcptls_runtime": runtime,
        "x_http_runtime": runtime * 3,
    }


def _conclude_04(
    is_missing: bool, consistency: str | None, control: Control, connects: list[Json],
    last: Json, comparison: Json,
) -> tuple[Blocking, bool | None, int]:  # fmt: skip
    """``blocking``, ``accessible`` and ``x_status``; ``last`` is the request of the final page."""
    failure, lied = last["failure"], 0 if consistency == "consistent" else _DNS
    if failure is None and last["request"]["url"].startswith("https:"):
        return False, True, _SECURE
    if control.failure is not None:
        return None, None, _NOT_COMPARED
    if is_missing:
        return "dns" if lied else False, False, _AT_DNS | (lied or _GONE)
    if connects and not any(item["status"]["success"] for item in connects):
        return "dns" if lied else "tcp_ip", False, _CONNECT | _AT_CONNECT | lied
    if control.http_failure is not None:
        return None, None, _CONTROL_FAILED
    if failure is not None and failure not in _STATUS:
        return None, None, _AT_HTTP
    if failure is not None:
        return "dns" if lied else "http-failure", False, _AT_HTTP | _STATUS[failure] | lied
    if _is_same_page(comparison):
        return False, True, _CLEARTEXT
    return "dns" if lied else "http-diff", False, _DIFF | lied


def _compare_answers(task: Task, answer: Lookup, control: Control) -> str:
    """0.4: equal failures, a common network, or a common address."""
    if task.session.software.trusts_loopback and answer.v4 == ("127.0.0.1",):
        return "consistent"
    is_same = task.session.names.are_akin(answer, control.dns)
    if control.dns.failure is not None:
        is_same = answer.failure == control.dns.failure
    return "consistent" if is_same else "inconsistent"


def _connect_all(task: Task, answer: Lookup, control: Control) -> tuple[list[Json], list[Json]]:
    """Connections to every address that the resolver gave; handshakes where the URL is https."""
    target, path = task.target, task.session.path
    connects: list[Json] = []
    handshakes: list[Json] = []
    for address in answer.addresses:
        failure = path.connect(address, target.port)
        if failure is not None:
            failure = task.session.software.words or failure
        status: Json = {"failure": failure, "success": failure is None}
        if control.tcp.get(endpoint(address, target.port), "untried") is None:
            status = {"blocked": failure is not None, **status}
        t = round(path.rng.uniform(0.05, 1.5), 3)
        item = {"ip": address, "port": target.port, "status": status, "t": t, "tags": None}
        connects.append(item)
        if failure is None and target.is_https:
            handshakes.append(_handshake_json_04(task, path.handshake(address, target.host), t))
    return connects, handshakes


def _connect_event(item: Json) -> Json:
    return {
        "address": endpoint(item["ip"], item["port"]),
        "failure": item["status"]["failure"],
        "operation": "connect",
        "proto": "tcp",
        "t": item["t"],
        "tags": ["tcptls_experiment"],
    }


def _handshake_json_04(task: Task, failure: str | None, t: float) -> Json:
    done = failure is None
    return {
        "cipher_suite": "TLS_AES_128_GCM_SHA256" if done else "",
        "failure": failure,
        "negotiated_protocol": "h2" if done else "",
        "no_tls_verify": False,
        "peer_certificates": None,
        "server_name": task.target.written,
        "t": round(t + 0.04, 3),
        "tags": ["tcptls_experiment"],
        "tls_version": "TLSv1.3" if done else "",
    }


def _browse(task: Task, answer: Lookup) -> tuple[list[Json], Page | None]:
    """Fetch the page, following redirects; the newest request first."""
    target, path = task.target, task.session.path
    requests: list[Json] = []
    referer: str | None = None
    while True:
        page, failure = _fetch(task, target, answer)
        item = {
            "failure": failure,
            "request": _request_json(target, referer),
            "response": _response_json(page, task.date),
            "t": round(path.rng.uniform(0.4, 3.0), 3),
            "tags": None,
        }
        requests.insert(0, item)
        if page is None or not page.location:
            return requests, page
        referer, target = target.url, parse(page.location)
        answer = path.lookup(target.host)


def _fetch(task: Task, target: Target, answer: Lookup) -> tuple[Page | None, str | None]:
    failure = task.word(answer)
    for address in answer.addresses:
        failure = task.session.path.connect(address, target.port)
        if failure is None and target.is_https:
            failure = task.session.path.handshake(address, target.host)
        if failure is None:
            return task.session.path.fetch(address, target)
        failure = task.session.software.words or failure
    return None, failure


@dataclass(slots=True)
class _Flow:
    """How far one connection to one address got; ``failure`` is of the layer it stopped at."""

    target: Target
    address: str
    port: int
    is_classic: bool
    depth: int
    number: int
    t0: float
    layer: str = "tcp"
    failure: str | None = None
    page: Page | None = None  # the one where all redirects end

    @property
    def is_main(self) -> bool:
        """Whether it is to fetch the page; a plain URL's look at port 443 is not."""
        return self.target.is_https or self.port == 80

    @property
    def tags(self) -> list[str]:
        asked = f"fetch_body={'true' if self.is_main else 'false'}"
        classic = ["classic"] if self.is_classic else []
        return [*classic, "tcptls_experiment", f"depth={self.depth}", asked]


@dataclass(slots=True)
class _Measurement05:
    """One measurement of 0.5 as it grows."""

    task: Task
    queries: list[Json] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    connects: list[Json] = field(default_factory=list)
    handshakes: list[Json] = field(default_factory=list)
    numbers: Counter[int] = field(default_factory=Counter)
    flows: list[_Flow] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)  # addresses whose certificate is right
    is_page_taken: bool = False
    redirect_failure: str | None = None  # of the lookup of where a redirect points

    def resolve(self, target: Target, depth: int) -> tuple[Lookup, list[str]]:
        """Ask all three resolvers; the system's answer, and all addresses, the system's first."""
        path, tag = self.task.session.path, f"depth={depth}"
        system = path.lookup(target.host)
        udp = path.lookup(target.host, is_public=True)
        doh = path.lookup_over_https(target.host)
        self._record("doh", target, doh, 30000, [tag])
        self._record("getaddrinfo", target, system, 10000, ["classic", tag])
        self._record("udp", target, udp, 20000, [tag])
        return system, list(dict.fromkeys((*system.addresses, *udp.addresses, *doh.addresses)))

    def _record(
        self, engine: str, target: Target, lookup: Lookup, base: int, tags: list[str]
    ) -> None:
        """UDP and DoH ask for A and AAAA apart, and know the code of the answer."""
        number, task = self._number(base), self.task
        is_system = engine == "getaddrinfo"
        by_type = [("A", lookup.v4), ("AAAA", lookup.v6)]
        for kind, addresses in [("ANY", lookup.addresses)] if is_system else by_type:
            failure = lookup.failure or (None if addresses else "dns_no_answer")
            written = task.word(lookup) if is_system else failure
            query = task.session.names.query(engine, target.written, kind, written, addresses)
            if failure == NXDOMAIN and not is_system:
                query["rcode"] = 3
            t0 = round(task.session.path.rng.uniform(0, 0.01), 4)
            query |= {"t0": t0, "t": round(t0 + 0.03, 4), "tags": tags, "transaction_id": number}
            self.queries.append(query)

    def _number(self, base: int) -> int:
        self.numbers[base] += 1
        return base + self.numbers[base]

    def visit(
        self, target: Target, system: Lookup, addresses: list[str], depth: int, referer: str
    ) -> None:
        """Try every address; the first good connection gets the page, and follows redirects."""
        path = self.task.session.path
        for address in addresses:
            for port in (443,) if target.is_https else (80, 443):
                number = self._number(40000 if port == 80 else 50000)
                t0 = round(path.rng.uniform(0.05, 0.5), 3)
                is_classic = address in system.addresses
                flow = _Flow(target, address, port, is_classic, depth, number, t0)
                self.flows.append(flow)
                self._connect(flow)
                if flow.failure is None and flow.is_main and not self.is_page_taken:
                    self._fetch(flow, referer)

    def _connect(self, flow: _Flow) -> None:
        failure = self.task.session.path.connect(flow.address, flow.port)
        self.connects.append({
            "ip": flow.address, "port": flow.port,
            "status": {"failure": failure, "success": failure is None},
            "t0": flow.t0, "t": round(flow.t0 + 0.02, 3), "tags": flow.tags,
            "transaction_id": flow.number,
        })  # fmt: skip
        if failure is None and flow.port == 443:
            flow.layer = "tls"
            failure = self.task.session.path.handshake(flow.address, flow.target.host)
            self.handshakes.append(_handshake_json_05(flow, failure))
            if failure is None:
                self.valid.add(flow.address)
        flow.failure = failure

    def _fetch(self, flow: _Flow, referer: str) -> None:
        self.is_page_taken = True
        flow.layer = "http"
        page, flow.failure = self.task.session.path.fetch(flow.address, flow.target)
        item: Json = {"network": "tcp"}
        if not self.task.session.software.omits_address:
            item["address"] = endpoint(flow.address, flow.port)
        if flow.port == 443:
            item["alpn"] = "http/1.1"
        item |= {
            "failure": flow.failure,
            "request": _request_json(flow.target, referer),
            "response": _response_json(page, self.task.date),
            "t0": flow.t0,
            "t": round(flow.t0 + 0.2, 3),
            "tags": flow.tags,
            "transaction_id": flow.number,
        }
        self.requests.insert(0, item)
        if page is None or not page.location:
            flow.page = page
            return
        following = parse(page.location)
        self.is_page_taken = False
        system, addresses = self.resolve(following, flow.depth + 1)
        if not addresses:
            self.redirect_failure = self.task.word(system)
        self.visit(following, system, addresses, flow.depth + 1, flow.target.url)
        self.is_page_taken = True


def _handshake_json_05(flow: _Flow, failure: str | None) -> Json:
    done = failure is None
    return {
        "network": "tcp",
        "address": endpoint(flow.address, 443),
        "cipher_suite": "TLS_AES_128_GCM_SHA256" if done else "",
        "failure": failure,
        "negotiated_protocol": "http/1.1" if done else "",
        "no_tls_verify": False,
        "peer_certificates": None,
        "server_name": flow.target.written,
        "t0": flow.t0,
        "t": round(flow.t0 + 0.05, 3),
        "tags": flow.tags,
        "tls_version": "TLSv1.3" if done else "",
        "transaction_id": flow.number,
    }


def _measure_05(task: Task) -> Json:
    """The ``test_keys`` of one measurement."""
    run, target = _Measurement05(task), task.target
    system, known = run.resolve(target, 0)
    control = task.ask(known)
    extra = [address for address in control.dns.addresses if address not in known]
    run.visit(target, system, [*known, *extra], 0, "")
    last = next((flow for flow in run.flows if flow.page is not None), None)
    page = last.page if last is not None and last.is_classic else None
    comparison = compare_pages(page, control.page)
    dns_flags, flags, null_flags = _flag_05(run, system, control, last, comparison)
    consistency = "inconsistent" if dns_flags else "consistent"
    blocking, accessible = _summarise_05(flags, null_flags)
    http_failure = dns_failure = task.word(system)
    if dns_failure is None and page is None:
        http_failure = run.redirect_failure or _find_failure(run.flows)
    endpoints = [endpoint(address, port) for address in known for port in (443, 80)]
    return {
        "agent": "redirect",
        "client_resolver": task.session.path.network.resolver_address,
        "retries": None,
        "socksproxy": None,
        "network_events": None,
        "x_dns_whoami": None,
        "x_doh": None,
        "x_do53": None,
        "x_dns_duplicate_responses": None,
        "queries": run.queries,
        "requests": run.requests,
        "tcp_connect": run.connects,
        "tls_handshakes": run.handshakes,
        "x_control_request": {
            "http_request": target.url,
            "http_request_headers": _CONTROL_HEADERS,
            "tcp_connect": endpoints or None,
            "x_quic_enabled": False,
        },
        "control": None if control.failure else _control_json(control, task),
        "x_conn_priority_log": None,
        "control_failure": control.failure,
        "x_dns_flags": dns_flags,
        "dns_experiment_failure": dns_failure,
        "dns_consistency": None if control.failure else consistency,
        "http_experiment_failure": http_failure,
        "x_blocking_flags": flags,
        "x_null_null_flags": null_flags,
        **comparison,
        "blocking": blocking,
        "accessible": accessible,
    }


def _find_failure(flows: list[_Flow]) -> str | None:
    """The failure of the last thing that was tried with the system's answers."""
    failed = [flow for flow in flows if flow.is_classic and flow.is_main and flow.failure]
    return max(failed, key=lambda flow: flow.depth).failure if failed else None


def _flag_05(
    run: _Measurement05, system: Lookup, control: Control, last: _Flow | None, comparison: Json
) -> tuple[int, int, int]:
    """``x_dns_flags``, ``x_blocking_flags`` and ``x_null_null_flags``."""
    is_classic = last is not None and last.is_classic
    if is_classic and last is not None and last.port == 443:
        return 0, _REACHED, 8 if control.failure else 0
    if control.failure is not None:
        return 0, 0, 0
    dns_flags, null_flags = _flag_answer(run, system, control)
    flags = _DNS_BLOCKED if dns_flags else 0
    layers = (("tcp", control.tcp, _TCP_BLOCKED, 2), ("tls", control.tls, _TLS_BLOCKED, 4))
    for layer, seen, blocked, expected in layers:
        stopped = _find_stopped(run.flows, layer)
        outcomes = {seen.get(endpoint(flow.address, flow.port), "untried") for flow in stopped}
        if None in outcomes:
            flags |= blocked
        elif outcomes - {"untried"}:
            null_flags |= expected
    if control.http_failure is None:
        if any(flow.is_classic and flow.layer == "http" and flow.failure for flow in run.flows):
            flags |= _HTTP_BLOCKED
        if is_classic and not _is_same_page(comparison):
            flags |= _HTTP_DIFFERS
    if last is not None and (not is_classic or _is_same_page(comparison)):
        flags |= _REACHED
    return dns_flags, flags, null_flags


def _flag_answer(run: _Measurement05, system: Lookup, control: Control) -> tuple[int, int]:
    """``x_dns_flags`` and the DNS bit of ``x_null_null_flags``.

    An answer is expected if it is the control's, of the control's network, or leads to a
    certificate that is right.
    """
    if system.failure is not None:
        return (2, 0) if control.dns.failure is None else (0, 1)
    is_bogon = any(address.startswith(BOGONS) for address in system.addresses)
    is_valid = not run.valid.isdisjoint(system.addresses)
    is_expected = is_valid or run.task.session.names.are_akin(system, control.dns)
    return (1 if is_bogon else 0) | (0 if is_expected else 4), 0


def _find_stopped(flows: list[_Flow], layer: str) -> list[_Flow]:
    """The flows of the system's last answer, if all that came as far as a layer stopped there."""
    main = [flow for flow in flows if flow.is_classic and flow.is_main]
    deepest = max((flow.depth for flow in main), default=0)
    reached = [
        flow for flow in main
        if flow.depth == deepest and _LAYERS.index(flow.layer) >= _LAYERS.index(layer)
        and (layer == "tcp" or flow.port == 443)
    ]  # fmt: skip
    is_stopped = all(flow.layer == layer and flow.failure for flow in reached)
    return reached if is_stopped else []


def _summarise_05(flags: int, null_flags: int) -> tuple[Blocking, bool | None]:
    """``blocking`` and ``accessible``."""
    for flag, blocking, accessible in _VERDICTS:
        if flags & flag:
            return blocking, accessible
    return (False, False) if null_flags else (None, None)
