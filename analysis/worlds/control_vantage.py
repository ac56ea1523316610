"""The test helper: what the world outside the country sees of a site at the same moment."""

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from analysis.worlds.internet import NXDOMAIN, REFUSED, TIMED_OUT, Client, Internet, Lookup
from analysis.worlds.numbering import stream
from analysis.worlds.served_pages import Page
from analysis.worlds.urls import Target, endpoint, parse

Json = dict[str, Any]

#: How a helper words the failures of its own HTTP client.
_HTTP_WORDS = {NXDOMAIN: "dns_lookup_error", REFUSED: "connection_refused_error"}


@dataclass(slots=True)
class Control:
    """A helper's reply. ``failure`` is set where the probe could not reach the helper."""

    failure: str | None = None
    dns: Lookup = field(default_factory=Lookup)
    tcp: dict[str, str | None] = field(default_factory=dict)
    tls: dict[str, str | None] = field(default_factory=dict)
    page: Page | None = None
    http_failure: str | None = None
    ip_info: Json = field(default_factory=dict)


class Helper:
    """A test helper abroad, on an honest network."""

    def __init__(self, seed: int, internet: Internet, asn: int) -> None:
        self.internet = internet
        self.asn = asn
        self._client = Client(asn, is_inside=False)
        self._rng = stream(seed, "helper")

    def measure(self, target: Target, addresses: list[str], day: int) -> Control:
        """Resolve, connect to the probe's addresses and its own, and fetch the page."""
        control = Control(dns=self.internet.lookup(target.host, self._client, day))
        own = control.dns.addresses
        ports = (443,) if target.is_https else (443, 80)
        for address in dict.fromkeys((*own, *addresses)):
            is_bogon = not _is_routable(address)
            is_valid = False
            for port in () if is_bogon else ports:
                is_valid |= self._try(control, address, port, target.host, day)
            flags = (address in addresses) + 2 * (address in own) + 4 * is_bogon + 8 * is_valid
            asn = self.internet.plan.asn(address)
            control.ip_info[address] = {"asn": asn, "flags": flags}
        self._fetch(control, target, day, 0)
        return control

    def _try(self, control: Control, address: str, port: int, host: str, day: int) -> bool:
        where = endpoint(address, port)
        control.tcp[where] = self.internet.connect(address, port, day, self._client)
        if port != 443 or control.tcp[where] is not None:
            return False
        failure = self.internet.handshake(address, host, self._client)
        control.tls[where] = failure
        return failure is None

    def _fetch(self, control: Control, target: Target, day: int, depth: int) -> None:
        answer = control.dns
        failure = answer.failure
        address = answer.v4[0] if answer.v4 else ""
        failure = failure or self.internet.connect(address, target.port, day, self._client)
        if failure is None and target.is_https:
            failure = self.internet.handshake(address, target.host, self._client)
        if failure is not None:
            control.http_failure = _HTTP_WORDS.get(failure, failure)
            return
        if self.internet.is_overloaded(target.host, self._rng):
            control.http_failure = TIMED_OUT
            return
        page = self.internet.fetch(address, target.host, target.is_https, self._client, self._rng)
        location = dict(page.headers).get("Location")
        if location and depth < 3:
            self._fetch(control, parse(location), day, depth + 1)
            return
        control.page = page


@lru_cache(maxsize=1 << 16)
def _is_routable(address: str) -> bool:
    parsed = ip_address(address)
    text = str(parsed)
    return not text.startswith(("127.", "0.", "10.", "192.168."))


def control_json(control: Control, host: str, date: str) -> Json:
    """The reply as probes of 3.17 and later store it."""
    page = control.page
    reply: Json = {
        "tcp_connect": _statuses(control.tcp),
        "tls_handshake": {
            where: {"server_name": host, "status": failure is None, "failure": failure}
            for where, failure in sorted(control.tls.items())
        },
        "quic_handshake": {},
        "http_request": {
            "body_length": -1 if page is None else page.length,
            "discovered_h3_endpoint": "",
            "failure": control.http_failure,
            "title": "" if page is None else page.title,
            "headers": {} if page is None else dict(dated(page.headers, date)),
            "status_code": -1 if page is None else page.code,
        },
        "http3_request": None,
        "dns": {
            "failure": "dns_name_error" if control.dns.failure == NXDOMAIN else control.dns.failure,
            "addrs": list(control.dns.addresses),
        },
        "ip_info": dict(sorted(control.ip_info.items())),
    }
    if not control.ip_info:
        del reply["ip_info"], reply["tls_handshake"]
    return reply


def dated(headers: tuple[tuple[str, str], ...], date: str) -> list[tuple[str, str]]:
    """Headers with the Date that every server adds."""
    return sorted([*headers, ("Date", date)])


def _statuses(results: dict[str, str | None]) -> Json:
    return {
        where: {"status": failure is None, "failure": failure}
        for where, failure in sorted(results.items())
    }
