"""web_connectivity 0.4: one resolver, then connections, then a browser's view of the page."""

from collections.abc import Callable
from typing import Any

from analysis.worlds.comparison import NOTHING, Comparison, compare
from analysis.worlds.conclusions import Evidence04, conclude_04, consistency_04
from analysis.worlds.control_vantage import Control, control_json
from analysis.worlds.internet import NXDOMAIN, TIMED_OUT, Lookup
from analysis.worlds.path import Path
from analysis.worlds.served_pages import Page
from analysis.worlds.software import Software
from analysis.worlds.urls import Target, endpoint, parse
from analysis.worlds.web_records import Names, query_json, request_json, response_json

Json = dict[str, Any]
Ask = Callable[[Target, list[str]], Control]

_NO_CONTROL = {
    "tcp_connect": None,
    "http_request": {
        "body_length": 0, "failure": None, "title": "", "headers": None, "status_code": 0,
    },
    "dns": {"failure": None, "addrs": None},
}  # fmt: skip


def measure_04(
    target: Target, path: Path, ask: Ask, software: Software, names: Names, date: str
) -> Json:
    """The ``test_keys`` of one measurement."""
    answer = path.lookup(target.host)
    dns_failure = software.names_nxdomain if answer.failure == NXDOMAIN else answer.failure
    control = ask(target, list(answer.addresses))
    connects, handshakes = _connect_all(target, path, answer, control, software)
    requests, page, http_failure = _browse(target, path, answer, dns_failure, software, date)
    consistency = _consistency(dns_failure, answer, control, software, names)
    comparison = NOTHING
    if page is not None and control.page is not None:
        comparison = compare(page, control.page)
    blocking, accessible, status = _conclude(
        dns_failure, control, consistency, connects, requests, http_failure, comparison
    )
    runtime = path.rng.randint(10**7, 10**9)
    return {
        "agent": "redirect",
        "client_resolver": path.resolver.address,
        "retries": None,
        "socksproxy": None,
        "network_events": [_connect_event(item) for item in connects] or None,
        "tls_handshakes": handshakes or None,
        "queries": _queries(target.written, answer, dns_failure, names, runtime / 1e9),
        "dns_experiment_failure": dns_failure,
        "dns_consistency": consistency,
        "control_failure": control.failure,
        "control": _NO_CONTROL if control.failure else control_json(control, target.written, date),
        "tcp_connect": connects or None,
        "requests": requests,
        "http_experiment_failure": http_failure,
        "body_length_match": comparison.body_length_match,
        "body_proportion": comparison.body_proportion,
        "status_code_match": comparison.status_code_match,
        "headers_match": comparison.headers_match,
        "title_match": comparison.title_match,
        "accessible": accessible,
        "blocking": blocking,
        "x_status": status,
        "x_dns_runtime": runtime,
        "x_th_runtime": runtime * 2,
        "x_tcptls_runtime": runtime,
        "x_http_runtime": runtime * 3,
    }


def _conclude(
    dns_failure: str | None,
    control: Control,
    consistency: str | None,
    connects: list[Json],
    requests: list[Json],
    http_failure: str | None,
    comparison: Comparison,
) -> tuple[str | bool | None, bool | None, int]:
    return conclude_04(
        Evidence04(
            has_control=control.failure is None,
            control_http_failed=control.http_failure is not None,
            dns_failure=dns_failure,
            dns_consistency=consistency,
            connect_count=len(connects),
            connected_count=sum(item["status"]["success"] for item in connects),
            request_count=len(requests),
            http_failure=http_failure,
            is_https_final=bool(requests) and requests[0]["request"]["url"].startswith("https:"),
            comparison=comparison,
        )
    )


def _queries(host: str, answer: Lookup, failure: str | None, names: Names, t: float) -> list[Json]:
    queries = []
    for kind, addresses in (("A", answer.v4), ("AAAA", answer.v6)):
        if kind == "AAAA" and not addresses:
            continue
        answers = [names.answer(address) for address in addresses]
        query = query_json("system", host, kind, failure, answers, "")
        queries.append({**query, "t": t, "tags": None})
    return queries


def _connect_all(
    target: Target, path: Path, answer: Lookup, control: Control, software: Software
) -> tuple[list[Json], list[Json]]:
    """Connections to every address that the resolver gave; handshakes where the URL is https."""
    connects: list[Json] = []
    handshakes: list[Json] = []
    for address in answer.addresses:
        failure = path.connect(address, target.port)
        if failure and software.words:
            failure = software.words
        status: Json = {"failure": failure, "success": failure is None}
        seen = control.tcp.get(endpoint(address, target.port), "untried")
        if seen is None:
            status = {"blocked": failure is not None, **status}
        t = round(path.rng.uniform(0.05, 1.5), 3)
        item = {"ip": address, "port": target.port, "status": status, "t": t, "tags": None}
        connects.append(item)
        if failure is None and target.is_https:
            handshakes.append(_handshake_json(target, path.handshake(address, target.host), t))
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


def _handshake_json(target: Target, failure: str | None, t: float) -> Json:
    done = failure is None
    return {
        "cipher_suite": "TLS_AES_128_GCM_SHA256" if done else "",
        "failure": failure,
        "negotiated_protocol": "h2" if done else "",
        "no_tls_verify": False,
        "peer_certificates": None,
        "server_name": target.written,
        "t": round(t + 0.04, 3),
        "tags": ["tcptls_experiment"],
        "tls_version": "TLSv1.3" if done else "",
    }


def _browse(
    target: Target,
    path: Path,
    answer: Lookup,
    dns_failure: str | None,
    software: Software,
    date: str,
) -> tuple[list[Json], Page | None, str | None]:
    """Fetch the page, following redirects; the newest request first."""
    requests: list[Json] = []
    referer: str | None = None
    for _ in range(5):
        page, failure = _fetch(target, path, answer, dns_failure, software)
        item = {
            "failure": failure,
            "request": request_json(target, referer),
            "response": response_json(page, date),
            "t": round(path.rng.uniform(0.4, 3.0), 3),
            "tags": None,
        }
        requests.insert(0, item)
        location = dict(page.headers).get("Location") if page is not None else None
        if failure is not None or not location:
            return requests, page, failure
        referer, target = target.url, parse(location)
        answer = path.lookup(target.host)
        dns_failure = software.names_nxdomain if answer.failure == NXDOMAIN else answer.failure
    return requests, page, failure


def _fetch(
    target: Target, path: Path, answer: Lookup, dns_failure: str | None, software: Software
) -> tuple[Page | None, str | None]:
    if dns_failure is not None:
        return None, dns_failure
    failure: str | None = TIMED_OUT
    for address in answer.addresses:
        failure = path.connect(address, target.port)
        if failure is None and target.is_https:
            failure = path.handshake(address, target.host)
        if failure is not None:
            failure = software.words or failure
            continue
        result = path.fetch(address, target.host, target.is_https)
        return (None, result) if isinstance(result, str) else (result, None)
    return None, failure


def _consistency(
    dns_failure: str | None, answer: Lookup, control: Control, software: Software, names: Names
) -> str | None:
    if control.failure is not None:
        return None
    if software.trusts_loopback and answer.v4 == ("127.0.0.1",):
        return "consistent"
    return consistency_04(
        dns_failure,
        control.dns.failure,
        {names.asn(address) for address in answer.addresses},
        set(answer.addresses),
        {names.asn(address) for address in control.dns.addresses},
        set(control.dns.addresses),
    )
