"""Raw web_connectivity measurements in OONI's JSON, as 0.5 and 0.4 write them; small builders.

The situations are those of probe-cli's ``webconnectivityqa``, written anew: the site
``www.example``, its address, and another one.
"""

import json
from collections.abc import Iterable
from typing import Any

from analysis.commands.judging import judge_measurements
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messages import decode
from analysis.observations.observation import observe
from analysis.outcomes.thresholds import Thresholds
from analysis.store.store import table_of

HOST, SITE, OTHER, NAT64 = "www.example", "192.0.2.10", "198.51.100.20", "64:ff9b::192.0.2.10"
HTTP, HTTPS = f"http://{HOST}/", f"https://{HOST}/"
_FIRST = ("depth=0", "fetch_body=true")

Item = dict[str, Any]


def lookup(
    *addresses: str,
    failure: str | None = None,
    host: str = HOST,
    engine: str = "",
    tags: Iterable[str] = _FIRST,
) -> Item:
    """What the system resolver (or another ``engine``) gave."""
    answers = [
        {"answer_type": "AAAA", "ipv6": a} if ":" in a else {"answer_type": "A", "ipv4": a}
        for a in addresses
    ]
    return {
        "engine": engine or "getaddrinfo",
        "hostname": host,
        "query_type": "ANY",
        "failure": failure,
        "answers": answers or None,
        "tags": [*tags],
    }


def end(address: str, port: int) -> str:
    """An endpoint as OONI writes it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def connect(
    address: str = SITE, failure: str | None = None, port: int = 443, tags: Iterable[str] = _FIRST
) -> Item:
    """One connection."""
    return {
        "ip": address,
        "port": port,
        "tags": [*tags],
        "status": {"success": failure is None, "failure": failure},
    }


def shake(
    address: str = SITE, failure: str | None = None, name: str = HOST, tags: Iterable[str] = _FIRST
) -> Item:
    """One handshake."""
    return {
        "address": end(address, 443),
        "server_name": name,
        "failure": failure,
        "no_tls_verify": False,
        "tags": [*tags],
    }


def page(
    url: str = HTTPS,
    address: str | None = SITE,
    failure: str | None = None,
    status: int = 200,
    tags: Iterable[str] = _FIRST,
) -> Item:
    """One request; no response where it fails."""
    port = 443 if url.startswith("https") else 80
    response = {} if failure else {"code": status, "body": "<title>A page</title>", "headers": {}}
    return {
        "failure": failure,
        "request": {"url": url},
        "response": response,
        "tags": [*tags],
        "address": end(address, port) if address else None,
    }


def control(
    *,
    dns: str | None = None,
    addresses: Iterable[str] = (SITE,),
    http: str | None = None,
    tcp: Iterable[str] = (SITE,),
    tls: Iterable[str] = (SITE,),
) -> Item:
    """The test helper's reply: failures of its lookup and page, where it connects and shakes."""
    good = {"status": True, "failure": None}
    got = (
        {"status_code": -1, "body_length": -1} if http else {"status_code": 200, "body_length": 900}
    )
    return {
        "dns": {"failure": dns, "addrs": [*addresses]},
        "tcp_connect": {end(address, port): good for address in tcp for port in (80, 443)},
        "tls_handshake": {end(address, 443): good for address in tls},
        "http_request": {**got, "failure": http, "title": "A page"},
    }


def complete(**changes: Any) -> dict[str, Any]:
    """A measurement with every field that must occur; ``changes`` are of its test keys."""
    request = page()
    request["request"] = {"url": HTTPS, "method": "GET"}
    helper = control()
    helper["http_request"]["headers"] = {}
    helper["ip_info"] = {SITE: {"asn": 64496, "flags": 1}}
    return {
        "input": HTTPS,
        "measurement_start_time": "2024-07-01 10:00:00",
        "probe_asn": "AS64500",
        "test_start_time": "2024-07-01 09:59:00",
        "probe_network_name": None,
        "resolver_asn": "AS64500",
        "probe_cc": "QQ",
        "report_id": "r",
        "software_name": "ooniprobe",
        "test_version": "0.5.28",
        "software_version": "3.20",
        "test_name": "web_connectivity",
        "test_keys": {
            "queries": [lookup("192.0.2.10")],
            "tcp_connect": [connect()],
            "tls_handshakes": [shake()],
            "requests": [request],
            "control": helper,
            "accessible": True,
            "blocking": False,
            "control_failure": None,
            "dns_consistency": "consistent",
            "dns_experiment_failure": None,
            "http_experiment_failure": None,
            **SAME,
            **changes,
        },
    }


SAME = {
    "body_proportion": 1.0,
    "status_code_match": True,
    "headers_match": True,
    "title_match": True,
}
DIFFERENT = {
    "body_proportion": 0.1,
    "status_code_match": True,
    "headers_match": False,
    "title_match": False,
}


def measured(
    url: str,
    queries: list[Item] | None,
    tcp: list[Item],
    tls: list[Item],
    pages: list[Item],
    reply: Item | None = None,
    *,
    version: str = "0.5.28",
    **keys: Any,
) -> Item:
    """One measurement. Before 0.5 there are no tags, and only lookups and connects name addresses.

    Requests stand with the newest first.
    """
    if not version.startswith("0.5"):
        for item in (*(queries or ()), *tcp, *tls, *pages):
            item["tags"] = None
        for item in (*tls, *pages):
            del item["address"]
    return {
        "test_name": "web_connectivity",
        "input": url,
        "probe_cc": "QQ",
        "probe_asn": "AS64500",
        "report_id": "",
        "measurement_start_time": "2024-02-12 20:33:47",
        "test_version": version,
        "test_keys": {
            "queries": queries,
            "tcp_connect": tcp,
            "tls_handshakes": tls,
            "requests": pages,
            "control": control() if reply is None else reply,
            **keys,
        },
    }


def judged(measurements: Iterable[Item]) -> list[dict[str, Any]]:
    """What ``judge`` makes of them, in order."""
    none = Fingerprints()
    rows = [
        observe(decode(json.dumps(m).encode()), line_number=number, fingerprints=none)
        for number, m in enumerate(measurements, start=1)
    ]
    table = table_of(rows).append_column("source_file", [["a.jsonl"] * len(rows)])
    return list(judge_measurements(table, none, Thresholds()))


def site_test(url: str, host: str, is_blocked: bool) -> dict[str, Any]:
    """A site that is reached, or whose name does not exist for this resolver alone."""
    if not is_blocked:
        found = complete(queries=[lookup(SITE, host=host)], tls_handshakes=[shake(name=host)])
        found["test_keys"]["requests"][0]["request"]["url"] = url
        return found | {"input": url}
    missing = "dns_nxdomain_error"
    request = page(url, None, missing)
    request["request"]["method"] = "GET"
    found = complete(
        queries=[lookup(failure=missing, host=host)],
        tcp_connect=[],
        tls_handshakes=[],
        requests=[request],
        blocking="dns",
        accessible=False,
        dns_consistency="inconsistent",
        dns_experiment_failure=missing,
    )
    return found | {"input": url}
