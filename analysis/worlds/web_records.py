"""Pieces of a measurement that both versions of web_connectivity write alike (df-001 to df-008)."""

import base64
from typing import Any

from analysis.worlds.control_vantage import dated
from analysis.worlds.numbering import AddressPlan
from analysis.worlds.served_pages import Page
from analysis.worlds.urls import Target

Json = dict[str, Any]

_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_LANGUAGE = "en-US,en;q=0.9"
_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/[scrubbed] Safari/537.3"
)
_NO_TOR = {"exit_ip": None, "exit_name": None, "is_tor": False}
_NO_RESPONSE = {
    "body": "",
    "body_is_truncated": False,
    "code": 0,
    "headers_list": None,
    "headers": None,
}

#: The headers that a probe asks its helper to send.
CONTROL_HEADERS = {
    "Accept": [_ACCEPT],
    "Accept-Language": [_LANGUAGE],
    "User-Agent": [_AGENT.replace("[scrubbed]", "122.0.0.0")],
}


class Names:
    """Who holds an address, in the words of the probe's own database."""

    def __init__(self, plan: AddressPlan, names: dict[int, str], udp: str, doh: str) -> None:
        self._plan = plan
        self._names = names
        self.udp = udp  # the public resolver that probes ask over UDP
        self.doh = doh  # and the one over TLS

    def network(self, asn: int) -> str:
        return self._names.get(asn, "")

    def asn(self, address: str) -> int:
        return self._plan.asn(address)

    def answer(self, address: str) -> Json:
        """One item of ``answers``."""
        asn = self._plan.asn(address)
        kind, key = ("AAAA", "ipv6") if ":" in address else ("A", "ipv4")
        name = self._names.get(asn, "")
        return {"asn": asn, "as_org_name": name, "answer_type": kind, key: address, "ttl": None}


def request_json(target: Target, referer: str | None) -> Json:
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


def response_json(page: Page | None, date: str) -> Json:
    """The response, or the empty one that stands for none."""
    if page is None:
        return _NO_RESPONSE
    headers = dated(page.headers, date)
    return {
        "body": _body(page.body),
        "body_is_truncated": False,
        "code": page.code,
        "headers_list": [[name, value] for name, value in headers],
        "headers": dict(headers),
    }


def _body(body: str | bytes) -> str | Json:
    """Text as it is; what is not UTF-8 as base64."""
    if isinstance(body, str):
        return body
    return {"data": base64.b64encode(body).decode(), "format": "base64"}


def query_json(
    engine: str, host: str, kind: str, failure: str | None, answers: list[Json], resolver: str
) -> Json:
    """One item of ``queries``, without what the two versions add."""
    return {
        "answers": answers or None,
        "engine": engine,
        "failure": failure,
        "hostname": host,
        "query_type": kind,
        "resolver_hostname": None,
        "resolver_port": None,
        "resolver_address": resolver,
    }
