"""web_connectivity 0.5: three resolvers, and every address that any of them or the helper gives.

What follows from the system's resolver is tagged ``classic``; the rest shows whether the site
can be reached some other way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from analysis.worlds.comparison import NOTHING, compare
from analysis.worlds.conclusions import Evidence05, conclude_05
from analysis.worlds.control_vantage import Control, control_json
from analysis.worlds.internet import NO_ANSWER, NXDOMAIN, Lookup
from analysis.worlds.path import Path
from analysis.worlds.served_pages import Page
from analysis.worlds.software import Software
from analysis.worlds.urls import Target, endpoint, parse
from analysis.worlds.web_records import (
    CONTROL_HEADERS,
    Names,
    query_json,
    request_json,
    response_json,
)

Json = dict[str, Any]
Ask = Callable[[Target, list[str]], Control]

_BOGONS = ("127.", "10.", "192.168.", "0.")
_MISSING = ("android_dns_cache_no_data", NXDOMAIN)


@dataclass(slots=True)
class _Run:
    """One measurement as it grows."""

    path: Path
    software: Software
    names: Names
    date: str
    queries: list[Json] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    connects: list[Json] = field(default_factory=list)
    handshakes: list[Json] = field(default_factory=list)
    transaction: dict[int, int] = field(default_factory=dict)
    is_page_taken: bool = False
    classic_failure: str | None = None
    classic_page: Page | None = None
    classic_is_tls: bool = False
    is_any_page: bool = False
    tls_valid: set[str] = field(default_factory=set)
    flows: list["_Flow"] = field(default_factory=list)

    def next_transaction(self, base: int) -> int:
        self.transaction[base] = self.transaction.get(base, base) + 1
        return self.transaction[base]


@dataclass(slots=True)
class _Flow:
    """How far one connection to one address got; ``failure`` is of the layer it stopped at."""

    address: str
    port: int
    is_classic: bool
    is_main: bool  # meant to fetch the page; a plain URL's look at port 443 is not
    depth: int
    layer: str = "tcp"
    failure: str | None = None


def measure_05(
    target: Target, path: Path, ask: Ask, software: Software, names: Names, date: str
) -> Json:
    """The ``test_keys`` of one measurement."""
    run = _Run(path, software, names, date)
    system, others = _resolve(run, target, 0)
    known = list(dict.fromkeys((*system.addresses, *others)))
    control = ask(target, known)
    extra = [address for address in control.dns.addresses if address not in known]
    _visit_all(run, target, system, [*known, *extra], 0, "")
    dns_failure = _word(system.failure, software)
    seen = _weigh(run, system, dns_failure, control)
    summary = conclude_05(seen)
    http_failure = _experiment_failure(run, dns_failure)
    comparison = seen.comparison
    return {
        "agent": "redirect",
        "client_resolver": path.resolver.address,
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
        "x_control_request": _control_request(target, known),
        "control": None if control.failure else control_json(control, target.written, date),
        "x_conn_priority_log": None,
        "control_failure": control.failure,
        "x_dns_flags": summary.dns_flags,
        "dns_experiment_failure": dns_failure,
        "dns_consistency": summary.dns_consistency,
        "http_experiment_failure": http_failure,
        "x_blocking_flags": summary.blocking_flags,
        "x_null_null_flags": summary.null_flags,
        "body_proportion": comparison.body_proportion,
        "body_length_match": comparison.body_length_match,
        "headers_match": comparison.headers_match,
        "status_code_match": comparison.status_code_match,
        "title_match": comparison.title_match,
        "blocking": summary.blocking,
        "accessible": summary.accessible,
    }


def _word(failure: str | None, software: Software) -> str | None:
    """getaddrinfo words a missing name in the way of its system."""
    return software.names_nxdomain if failure == NXDOMAIN else failure


def _resolve(run: _Run, target: Target, depth: int) -> tuple[Lookup, list[str]]:
    """Ask all three resolvers; the system's answer, and the addresses of the other two."""
    host, tag = target.host, f"depth={depth}"
    system = run.path.lookup(host)
    udp = run.path.lookup_over_udp(host)
    doh = run.path.lookup_over_https(host)
    host = target.written
    _record_by_type(run, "doh", host, doh, run.names.doh, tag, 30000)
    query = query_json(
        "getaddrinfo", host, "ANY", _word(system.failure, run.software),
        [run.names.answer(address) for address in system.addresses], "",
    )  # fmt: skip
    _add_query(run, query, ["classic", tag], run.next_transaction(10000))
    _record_by_type(run, "udp", host, udp, run.names.udp, tag, 20000)
    return system, [*udp.addresses, *doh.addresses]


def _record_by_type(
    run: _Run, engine: str, host: str, lookup: Lookup, resolver: str, tag: str, base: int
) -> None:
    """UDP and DoH ask for A and AAAA apart."""
    number = run.next_transaction(base)
    for kind, addresses in (("A", lookup.v4), ("AAAA", lookup.v6)):
        failure = lookup.failure or (None if addresses else NO_ANSWER)
        answers = [run.names.answer(address) for address in addresses]
        query = query_json(engine, host, kind, failure, answers, resolver)
        if failure == NXDOMAIN:
            query["rcode"] = 3
        _add_query(run, query, [tag], number)


def _add_query(run: _Run, query: Json, tags: list[str], number: int) -> None:
    t0 = round(run.path.rng.uniform(0, 0.01), 4)
    query |= {"t0": t0, "t": round(t0 + 0.03, 4), "tags": tags, "transaction_id": number}
    run.queries.append(query)


def _visit_all(
    run: _Run, target: Target, system: Lookup, addresses: list[str], depth: int, referer: str
) -> None:
    """Try every address; the first good connection of the system's answers gets the page."""
    for address in addresses:
        is_classic = address in system.addresses
        tags = ["classic"] if is_classic else []
        tags += ["tcptls_experiment", f"depth={depth}"]
        if target.is_https:
            _visit(run, target, address, 443, [*tags, "fetch_body=true"], referer, depth)
        else:
            _visit(run, target, address, 80, [*tags, "fetch_body=true"], referer, depth)
            _visit(run, target, address, 443, [*tags, "fetch_body=false"], referer, depth)


def _visit(
    run: _Run, target: Target, address: str, port: int, tags: list[str], referer: str, depth: int
) -> None:
    number = run.next_transaction(40000 if port == 80 else 50000)
    flow = _Flow(address, port, tags[0] == "classic", tags[-1] == "fetch_body=true", depth)
    run.flows.append(flow)
    t0 = round(run.path.rng.uniform(0.05, 0.5), 3)
    flow.failure = _connect(run, address, port, tags, number, t0)
    if flow.failure is None and port == 443:
        flow.layer = "tls"
        flow.failure = _shake_hands(run, target, address, tags, number, t0)
    if flow.failure is not None or tags[-1] == "fetch_body=false" or run.is_page_taken:
        return
    run.is_page_taken = True
    flow.layer = "http"
    result = run.path.fetch(address, target.host, port == 443)
    page, failure = (None, result) if isinstance(result, str) else (result, None)
    flow.failure = failure
    _record_request(run, target, flow, page, tags, number, referer, t0)
    if page is not None:
        _follow(run, target, page, flow, depth)


def _follow(run: _Run, target: Target, page: Page, flow: _Flow, depth: int) -> None:
    """Go on to where a redirect points, or keep the page as the final one."""
    location = dict(page.headers).get("Location")
    if not location or depth > 8:
        run.is_any_page = True
        if flow.is_classic:
            run.classic_page, run.classic_is_tls = page, flow.port == 443
        return
    following = parse(location)
    run.is_page_taken = False
    system, others = _resolve(run, following, depth + 1)
    addresses = list(dict.fromkeys((*system.addresses, *others)))
    if not addresses:
        run.classic_failure = _word(system.failure, run.software)
    _visit_all(run, following, system, addresses, depth + 1, target.url)
    run.is_page_taken = True


def _connect(
    run: _Run, address: str, port: int, tags: list[str], number: int, t0: float
) -> str | None:
    failure = run.path.connect(address, port)
    run.connects.append(
        {
            "ip": address,
            "port": port,
            "status": {"failure": failure, "success": failure is None},
            "t0": t0,
            "t": round(t0 + 0.02, 3),
            "tags": tags,
            "transaction_id": number,
        }
    )
    return failure


def _shake_hands(
    run: _Run, target: Target, address: str, tags: list[str], number: int, t0: float
) -> str | None:
    failure = run.path.handshake(address, target.host)
    done = failure is None
    if done:
        run.tls_valid.add(address)
    run.handshakes.append(
        {
            "network": "tcp",
            "address": endpoint(address, 443),
            "cipher_suite": "TLS_AES_128_GCM_SHA256" if done else "",
            "failure": failure,
            "negotiated_protocol": "http/1.1" if done else "",
            "no_tls_verify": False,
            "peer_certificates": None,
            "server_name": target.written,
            "t0": t0,
            "t": round(t0 + 0.05, 3),
            "tags": tags,
            "tls_version": "TLSv1.3" if done else "",
            "transaction_id": number,
        }
    )
    return failure


def _record_request(
    run: _Run,
    target: Target,
    flow: _Flow,
    page: Page | None,
    tags: list[str],
    number: int,
    referer: str,
    t0: float,
) -> None:
    item: Json = {"network": "tcp"}
    if not run.software.omits_address:
        item["address"] = endpoint(flow.address, flow.port)
    if flow.port == 443:
        item["alpn"] = "http/1.1"
    item |= {
        "failure": flow.failure,
        "request": request_json(target, referer),
        "response": response_json(page, run.date),
        "t0": t0,
        "t": round(t0 + 0.2, 3),
        "tags": tags,
        "transaction_id": number,
    }
    run.requests.insert(0, item)


def _control_request(target: Target, addresses: list[str]) -> Json:
    endpoints = [endpoint(address, port) for address in addresses for port in (443, 80)]
    return {
        "http_request": target.url,
        "http_request_headers": CONTROL_HEADERS,
        "tcp_connect": endpoints or None,
        "x_quic_enabled": False,
    }


def _experiment_failure(run: _Run, dns_failure: str | None) -> str | None:
    """The failure of the classic flow: of the lookup, or of the last thing it tried."""
    if dns_failure is not None:
        return dns_failure
    if run.classic_page is not None:
        return None
    if run.classic_failure is not None:
        return run.classic_failure
    flows = [flow for flow in run.flows if flow.is_classic and flow.is_main and flow.failure]
    return max(flows, key=lambda flow: flow.depth).failure if flows else None


def _weigh(run: _Run, system: Lookup, dns_failure: str | None, control: Control) -> Evidence05:
    page = run.classic_page
    comparison = NOTHING
    if page is not None and control.page is not None:
        comparison = compare(page, control.page)
    classic = [flow for flow in run.flows if flow.is_classic and flow.is_main]
    deepest = max((flow.depth for flow in classic), default=0)
    classic = [flow for flow in classic if flow.depth == deepest]
    http = [flow for flow in run.flows if flow.is_classic and flow.layer == "http" and flow.failure]
    return Evidence05(
        has_control=control.failure is None,
        control_dns_failure=control.dns.failure,
        control_http_failed=control.http_failure is not None,
        dns_failure=dns_failure,
        is_bogon=any(address.startswith(_BOGONS) for address in system.addresses),
        is_expected_answer=_is_expected(run, system, control),
        tcp=_layer(classic, "tcp", control.tcp),
        tls=_layer(classic, "tls", control.tls),
        http_failure=http[0].failure if http and page is None else None,
        is_secure_page=page is not None and run.classic_is_tls,
        is_any_page=run.is_any_page,
        is_cleartext_page=page is not None and not run.classic_is_tls,
        comparison=comparison,
    )


def _is_expected(run: _Run, system: Lookup, control: Control) -> bool:
    """The same address, the same network, or an address whose certificate is right."""
    if set(system.addresses) & set(control.dns.addresses):
        return True
    asns = {run.names.asn(address) for address in system.addresses} - {0}
    if asns & {run.names.asn(address) for address in control.dns.addresses}:
        return True
    return any(address in run.tls_valid for address in system.addresses)


def _layer(flows: list[_Flow], layer: str, control: dict[str, str | None]) -> str | None:
    """Whether a layer stopped all flows that came so far, and whether the control got by."""
    order = ("tcp", "tls", "http")
    flows = [flow for flow in flows if layer == "tcp" or flow.port == 443]
    reached = [flow for flow in flows if order.index(flow.layer) >= order.index(layer)]
    stopped = [flow for flow in reached if flow.layer == layer and flow.failure]
    if not stopped or len(stopped) < len(reached):
        return None
    outcomes = [control.get(endpoint(flow.address, flow.port), "untried") for flow in stopped]
    if None in outcomes:
        return "blocked"
    return "expected" if any(outcome != "untried" for outcome in outcomes) else None
