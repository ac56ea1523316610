"""A seeded archive for measurements of speed: web_connectivity 0.5 in OONI's key layout.

Objects are like real ones: some 110 measurements of 66 KB, 1.6 MB packed. (Cambodia's first half
of 2022 is 289,365 measurements in 2,606 objects.) Lines are written as by OONI's uploader: only
ASCII, slashes escaped, compressed at gzip's highest level.

The mix is that of a country with some blocking: nine of ten sites work, most of them over HTTPS, a
quarter of the pages have letters outside ASCII, and other sites have a sinkhole, NXDOMAIN, a reset
handshake, a block page or a dead server. Names and addresses are those reserved for documentation.
"""

import base64
import gzip
import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from analysis.observations.fingerprints import Fingerprint, Fingerprints

PROBE_CC = "QQ"
_FIRST_HOUR = datetime(2024, 7, 1)

_KINDS = ("https", "http", "sinkhole", "nxdomain", "tls_reset", "page", "down")
_WEIGHTS = (78, 12, 3, 2, 2, 1, 2)
_ASNS = (64_496, 64_497, 64_498, 64_499)
_VOCABULARY = (
    "div class span href content header footer article section script style value title image "
    "padding margin color background world report market people minister election football "
    "weather province street school teacher doctor music film river mountain temple history"
)
_WORDS = _VOCABULARY.split()
_OTHER_WORDS = ("ព័ត៌មាន", "ភ្នំពេញ", "កីឡា", "résumé", "новости", "日本語")
_BLOCK_PAGE = (
    "<html><title>Restricted</title><body>This site is restricted: http://{}/</body></html>"
)


@dataclass(frozen=True)
class Size:
    """The size of an archive."""

    objects: int = 24
    measurements: int = 110  # in each object
    sites: int = 120


def write_archive(folder: Path, size: Size, seed: int = 1) -> int:
    """Write the archive, one object an hour, and return its bytes of JSON.

    The same arguments give the same measurements.
    """
    chance = random.Random(seed)
    sites = [_site(chance, number) for number in range(size.sites)]
    total = 0
    for index in range(size.objects):
        lines = [_line(chance, sites, index, number) for number in range(size.measurements)]
        total += _write_object(folder, index, lines)
    return total


def object_path(index: int) -> Path:
    """Return the path of the object of an hour, counted from July 2024."""
    hour = _FIRST_HOUR + timedelta(hours=index)
    name = f"{hour:%Y%m%d%H}_{PROBE_CC}_webconnectivity.n0.{index}.jsonl.gz"
    return Path(f"raw/{hour:%Y%m%d}/{hour:%H}/{PROBE_CC}/webconnectivity", name)


def _write_object(folder: Path, index: int, lines: list[bytes]) -> int:
    content = b"".join(lines)
    path = folder / object_path(index)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    return len(content)


def as_archived(measurement: dict[str, Any]) -> bytes:
    """Return a line as OONI's uploader writes it."""
    # A slash occurs only inside strings.
    return json.dumps(measurement, separators=(",", ":")).replace("/", "\\/").encode() + b"\n"


def fingerprints(seed: int = 1) -> Fingerprints:
    """Return as many fingerprints as OONI's list has, and as long; none matches the archive."""
    chance = random.Random(seed)
    starts = ("<title>", "http://", "https://", "<html>", '<div id="', '<a href="', "</", ">", "")
    items = []
    for number in range(1700):
        text = chance.choice(starts) + "-".join(chance.choices(_WORDS, k=60))
        length = max(5, int(chance.lognormvariate(3.5, 0.6)))
        is_body = number < 1300
        items.append(
            Fingerprint(
                name=f"synthetic.{number}",
                scope="nat",
                location_found="body" if is_body else "header.location",
                pattern_type="contains" if is_body else "prefix",
                pattern=text[:length] if length > 20 else f"{text[: length - 4]}{number:04}",
                expected_countries=(PROBE_CC,),
            )
        )
    return Fingerprints(http=tuple(items))


def _site(chance: random.Random, number: int) -> dict[str, Any]:
    words = _WORDS + list(_OTHER_WORDS) if number % 4 == 0 else _WORDS
    length = int(chance.lognormvariate(10.3, 0.7))
    parts, used = [f"<!DOCTYPE html>\n<html><head><title>Site {number}</title></head><body>"], 0
    while used < length:
        word = chance.choice(words)
        parts.append(f'<{word} id="{chance.randrange(10**4):x}">{chance.choice(words)}</{word}>\n')
        used += len(parts[-1])
    certificates = [base64.b64encode(chance.randbytes(1200)).decode() for _ in range(3)]
    return {
        "host": f"www.site-{number:04}.example",
        "kind": chance.choices(_KINDS, _WEIGHTS)[0],
        "body": "".join(parts),
        "certificates": certificates,
        "addresses": _addresses(chance),
    }


def _addresses(chance: random.Random) -> list[str]:
    """Draw one to four IPv4 addresses; two sites in five have IPv6 too."""
    v4_count = chance.choice((1, 1, 2, 2, 3, 4))
    v6_count = chance.choice((0, 0, 0, 1, 2))
    v4 = [f"198.51.100.{chance.randrange(1, 255)}" for _ in range(v4_count)]
    v6 = [f"2001:db8::{chance.randrange(1, 1 << 16):x}" for _ in range(v6_count)]
    return v4 + v6


def _line(chance: random.Random, sites: list[dict[str, Any]], index: int, number: int) -> bytes:
    site = chance.choice(sites)
    network = chance.choice(_ASNS)
    hour = _FIRST_HOUR + timedelta(hours=index)
    moment = hour + timedelta(seconds=number * 3600 // 300 % 3600)
    session = f"{index:04}{number // 40:04}"
    measurement = {
        "annotations": {
            "architecture": "arm64",
            "engine_name": "ooniprobe-engine",
            "engine_version": "3.22.0",
            "platform": "android",
        },
        "data_format_version": "0.2.0",
        "input": ("http" if site["kind"] in ("http", "page") else "https") + f"://{site['host']}/",
        "measurement_start_time": f"{moment:%Y-%m-%d %H:%M:%S}",
        "probe_asn": f"AS{network}",
        "probe_cc": PROBE_CC,
        "probe_ip": "127.0.0.1",
        "probe_network_name": f"Network {network}",
        "report_id": f"20240701T000000Z_webconnectivity_{PROBE_CC}_{network}_n1_{session}",
        "resolver_asn": f"AS{network}",
        "software_name": "ooniprobe-android",
        "software_version": "3.8.5",
        "test_keys": _test_keys(chance, site),
        "test_name": "web_connectivity",
        "test_runtime": round(chance.uniform(1, 9), 7),
        "test_start_time": f"{hour:%Y-%m-%d} 00:00:00",
        "test_version": "0.5.28",
    }
    return as_archived(measurement)


def _test_keys(chance: random.Random, site: dict[str, Any]) -> dict[str, Any]:
    kind, host, addresses = site["kind"], site["host"], site["addresses"]
    answers = {"sinkhole": ["203.0.113.66"], "nxdomain": [], "down": []}.get(kind, addresses)
    is_up = kind in ("https", "http", "page")
    scheme, port = ("http", 80) if kind in ("http", "page") else ("https", 443)
    endpoints = [(a, p) for a in addresses for p in ((80, 443) if port == 80 else (443,))]
    tls_failure = "connection_reset" if kind == "tls_reset" else None
    requests = [_request(site, scheme)] if is_up else []
    return {
        "agent": "redirect",
        "queries": _queries(chance, host, answers, addresses, kind),
        "tcp_connect": [
            {"ip": a, "port": p, "status": {"failure": None, "success": True}, "t": 0.3, **_TAGS}
            for a, p in endpoints
            if kind != "down"
        ],
        "tls_handshakes": [
            _handshake(site, a, tls_failure) for a, p in endpoints if p == 443 and kind != "down"
        ],
        "network_events": [_event(chance, a) for a in addresses * 12],
        "requests": requests,
        "control": _control(site, endpoints),
        "control_failure": None,
        "dns_experiment_failure": "dns_nxdomain_error" if kind in ("nxdomain", "down") else None,
        "http_experiment_failure": tls_failure,
        "dns_consistency": "inconsistent" if kind in ("sinkhole", "nxdomain") else "consistent",
        "x_blocking_flags": {"sinkhole": 1, "nxdomain": 1, "tls_reset": 4, "page": 16}.get(
            kind, 32
        ),
        "x_dns_flags": 0,
        "x_null_null_flags": 1 if kind == "down" else 0,
        "body_proportion": 1,
        "body_length_match": is_up,
        "headers_match": is_up,
        "status_code_match": is_up,
        "title_match": is_up and kind != "page",
        "blocking": {
            "sinkhole": "dns",
            "nxdomain": "dns",
            "tls_reset": "http-failure",
            "page": "http-diff",
        }.get(kind, False),
        "accessible": kind in ("https", "http"),
    }


_TAGS: dict[str, Any] = {"tags": ["depth=0", "fetch_body=true"], "transaction_id": 30_001}


def _queries(
    chance: random.Random, host: str, answers: list[str], addresses: list[str], kind: str
) -> list[dict[str, Any]]:
    public = [] if kind == "down" else addresses
    by_type = {
        "A": [address for address in public if ":" not in address],
        "AAAA": [address for address in public if ":" in address],
    }
    queries = [_query(chance, host, "getaddrinfo", "ANY", answers)]
    for engine in ("udp", "doh"):
        queries += [_query(chance, host, engine, record, by_type[record]) for record in by_type]
    return queries


def _query(
    chance: random.Random, host: str, engine: str, query_type: str, addresses: list[str]
) -> dict[str, Any]:
    return {
        "answers": [_answer(address) for address in addresses] or None,
        "engine": engine,
        "failure": None if addresses else "dns_nxdomain_error",
        "hostname": host,
        "query_type": query_type,
        "raw_response": base64.b64encode(chance.randbytes(120)).decode(),
        "resolver_address": "8.8.8.8:53" if engine == "udp" else "",
        "t": 0.1,
        **_TAGS,
    }


def _answer(address: str) -> dict[str, Any]:
    return {
        "answer_type": "AAAA" if ":" in address else "A",
        "asn": 64_511,
        "as_org_name": "Example Hosting",
        "ipv6" if ":" in address else "ipv4": address,
        "ttl": None,
    }


def _handshake(site: dict[str, Any], address: str, failure: str | None) -> dict[str, Any]:
    host = f"[{address}]" if ":" in address else address
    certificates = [{"data": c, "format": "base64"} for c in site["certificates"]]
    return {
        "network": "tcp",
        "address": f"{host}:443",
        "cipher_suite": "TLS_AES_128_GCM_SHA256",
        "failure": failure,
        "negotiated_protocol": "h2",
        "no_tls_verify": False,
        "peer_certificates": None if failure else certificates,
        "server_name": site["host"],
        "t": 0.5,
        "tls_version": "TLSv1.3",
        **_TAGS,
    }


def _event(chance: random.Random, address: str) -> dict[str, Any]:
    return {
        "address": f"{address}:443",
        "failure": None,
        "num_bytes": chance.randrange(9999),
        "operation": "read",
        "proto": "tcp",
        "t0": chance.random(),
        "t": chance.random(),
        **_TAGS,
    }


def _request(site: dict[str, Any], scheme: str) -> dict[str, Any]:
    body = _BLOCK_PAGE.format(site["host"]) if site["kind"] == "page" else site["body"]
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Server": "nginx",
        "X-Frame": "DENY",
        "Date": "Mon, 01 Jul 2024 00:00:00 GMT",
        "Cache-Control": "max-age=600",
    }
    return {
        "network": "tcp",
        "address": f"{site['addresses'][0]}:443",
        "alpn": "h2",
        "failure": None,
        "request": {
            "body": "",
            "headers": {"Host": site["host"], "Accept": "*/*"},
            "headers_list": [["Host", site["host"]], ["Accept", "*/*"]],
            "method": "GET",
            "url": f"{scheme}://{site['host']}/",
        },
        "response": {
            "body": body,
            "body_is_truncated": False,
            "code": 200,
            "headers": headers,
            "headers_list": [[k, v] for k, v in headers.items()],
        },
        "t": 0.9,
        **_TAGS,
    }


def _control(site: dict[str, Any], endpoints: list[tuple[str, int]]) -> dict[str, Any]:
    if site["kind"] == "down":
        return {
            "dns": {"failure": "dns_nxdomain_error", "addrs": []},
            "tcp_connect": {},
            "http_request": {"status_code": -1, "failure": "dns_lookup_error"},
        }
    names = [(f"[{a}]:{p}" if ":" in a else f"{a}:{p}", p) for a, p in endpoints]
    return {
        "dns": {"failure": None, "addrs": site["addresses"]},
        "tcp_connect": {name: {"status": True, "failure": None} for name, _ in names},
        "tls_handshake": {
            name: {"server_name": site["host"], "status": True, "failure": None}
            for name, port in names
            if port == 443
        },
        "http_request": {
            "body_length": len(site["body"]),
            "failure": None,
            "status_code": 200,
            "title": "Site",
            "headers": {"Server": "nginx"},
        },
        "ip_info": {a: {"asn": 64_511, "flags": 11} for a in site["addresses"]},
    }
