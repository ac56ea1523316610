"""The endpoints that a messaging or circumvention test tried, and where each attempt ended.

An endpoint is what stands for itself: an address with a port, a host name, a target, a tunnel. It
was reached where some attempt at every layer that was tried got through. IPv6 that fails is left
out beside IPv4: most probes have none.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec import UNSET

from analysis import hosts
from analysis.observations.attempts import connect_failure
from analysis.observations.messages import LIST_LIMIT, Connect, Exchange, HttpRequest, Keys, Target
from analysis.observations.values import UNNAMED_FAILURE, normalise_failure

#: Endpoints of one measurement that are kept; real ones have some dozens.
ENDPOINT_LIMIT = 128
_TEXT_LIMIT = 128
#: So many names of one app never share their only address.
_NAMES_OF_ONE_ADDRESS = 4
#: How the failures of old and new probes say at which layer they happened, where no attempt does.
_LAYER_OF = (
    (re.compile(r"dns_|android_dns|.*lookup|.*no such host"), "dns"),
    (re.compile(r"connection_refused|host_unreachable|network_unreachable|.*dial tcp"), "tcp"),
    (re.compile(r"ssl_|.*tls|.*x509|.*certificate"), "tls"),
)
#: An answer that is not what it should be says so itself.
ONE_ADDRESS, BOGON = "one_address_for_all_names", "bogon"


class Endpoint(NamedTuple):
    """One endpoint of a part; ``layer`` and ``failure`` are null where it was reached."""

    part: str
    endpoint: str
    layer: str | None
    failure: str | None


def list_endpoints(test_name: str, keys: Keys) -> list[Endpoint]:
    """The endpoints that a test tried, in the order in which they first occur."""
    read = _READERS[test_name]
    return [
        one._replace(endpoint=one.endpoint[:_TEXT_LIMIT])
        for one in islice(read(keys), ENDPOINT_LIMIT)
    ]


class _Asked(NamedTuple):
    """A request: what for, by which method, and how it ended."""

    scheme: str
    port: int
    method: str
    failure: str | None


class _Attempts:
    """What a measurement tried, by host name and by address."""

    def __init__(self, keys: Keys) -> None:
        self.answers: dict[str, dict[str, None]] = defaultdict(dict)
        self.lookups: dict[str, list[str | None]] = defaultdict(list)
        for query in keys.queries or ():
            host = (query.hostname or "").lower()
            self.lookups[host].append(normalise_failure(query.failure))
            for answer in query.answers or ():
                address = hosts.canonical(answer.ipv4 or answer.ipv6 or "")
                if address:
                    self.answers[host][address] = None
        self.connects: dict[str, dict[int, list[str | None]]] = defaultdict(dict)
        for connect in keys.tcp_connect or ():
            address = hosts.canonical(connect.ip or "")
            if address:
                failures = self.connects[address].setdefault(connect.port or 0, [])
                failures.append(_connect_failure(connect))
        self.handshakes: dict[str, list[str | None]] = defaultdict(list)
        for shake in keys.tls_handshakes or ():
            host = (shake.server_name or "").lower()
            self.handshakes[host].append(normalise_failure(shake.failure))
        self.requests: dict[str, list[_Asked]] = defaultdict(list)
        for exchange in keys.requests or ():
            host, asked = _read_request(exchange)
            self.requests[host].append(asked)

    def end_of(self, host: str) -> tuple[str | None, str | None]:
        """Layer and failure of where attempts at a host name ended; nulls where it was reached."""
        asked = self.requests.get(host, [])
        # The page is the one over TLS; the plain one leads there.
        secure = [one for one in asked if one.scheme == "https"]
        outcomes = [one.failure for one in secure or asked]
        if None in outcomes:
            return None, None
        lookups = self.lookups.get(host, [])
        addresses = list(self.answers.get(host, ()))
        if lookups and not addresses and None not in lookups:
            return "dns", lookups[0]
        if addresses and all(hosts.special_kind(address) for address in addresses):
            return "dns", BOGON
        connects = [
            failure
            for address in addresses
            for failures in self.connects.get(address, {}).values()
            for failure in failures
            if failure is None or not _is_v6(address)
        ]
        if connects and None not in connects:
            return "tcp", connects[0]
        handshakes = self.handshakes.get(host, [])
        if handshakes and None not in handshakes:
            return "tls", handshakes[0]
        if outcomes and outcomes[0] is not None:
            # No page over TLS is asked for before the handshake; where none is on record, it
            # ended there at the latest.
            known = "tls" if secure and not handshakes else "http"
            return _layer_of(outcomes[0], known), outcomes[0]
        return None, None


def _connect_failure(connect: Connect) -> str | None:
    return None if connect.status is None else connect_failure(connect)


def _read_request(exchange: Exchange) -> tuple[str, _Asked]:
    """The host that was asked, empty where there is none, and the request."""
    request = exchange.request or HttpRequest()
    failure = normalise_failure(exchange.failure)
    method = (request.method or "").upper()
    try:
        parts = urlsplit((request.url or "")[:2048])
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", _Asked("", 0, method, failure)
    return (parts.hostname or "").lower(), _Asked(parts.scheme, port, method, failure)


def _is_v6(address: str) -> bool:
    return ":" in address


def _layer_of(failure: str, known: str) -> str:
    """The layer that a failure names; else the one behind which nothing was recorded."""
    return next((layer for pattern, layer in _LAYER_OF if pattern.match(failure)), known)


# --- by test --------------------------------------------------------------------------------------


def _messenger(keys: Keys) -> Iterator[Endpoint]:
    tried = _Attempts(keys)
    names = [host for host in tried.lookups if host]
    resolved = [host for host in names if tried.answers.get(host)]
    addresses = {address for host in resolved for address in tried.answers[host]}
    is_one = len(addresses) == 1 and len(resolved) >= _NAMES_OF_ONE_ADDRESS
    for host in names:
        if is_one and host in resolved:
            yield Endpoint("app", host, "dns", ONE_ADDRESS)
        else:
            yield Endpoint("app", host, *tried.end_of(host))
    if not names:
        yield from _addresses(tried.connects)


def _addresses(connects: Mapping[str, Mapping[int, list[str | None]]]) -> Iterator[Endpoint]:
    """Each address and port of an app by itself."""
    for address, by_port in connects.items():
        for port, failures in by_port.items():
            if None in failures:
                yield Endpoint("app", f"{address}:{port}", None, None)
            elif not _is_v6(address):
                yield Endpoint("app", f"{address}:{port}", "tcp", failures[0])


def _signal(keys: Keys) -> Iterator[Endpoint]:
    tried = _Attempts(keys)
    for host in filter(None, tried.requests):
        yield Endpoint("app", host, *tried.end_of(host))


_TELEGRAM_WEB = "web.telegram.org"
#: Its address, for probes that do not say what they resolved.
_TELEGRAM_WEB_ADDRESS = "149.154.167.99"


def _telegram(keys: Keys) -> Iterator[Endpoint]:
    tried = _Attempts(keys)
    posted: dict[str, list[str | None]] = defaultdict(list)
    for host, asked in tried.requests.items():
        address = hosts.canonical(host)
        for one in asked:
            if address and one.method in ("POST", ""):
                posted[f"{address}:{one.port}"].append(one.failure)
    of_app = {name.rpartition(":")[0] for name in posted}
    of_web = {*tried.answers.get(_TELEGRAM_WEB, ()), _TELEGRAM_WEB_ADDRESS} - of_app
    connects = {a: by_port for a, by_port in tried.connects.items() if a not in of_web}
    ended = {one.endpoint: one for one in _addresses(connects)}
    for name in dict.fromkeys([*ended, *posted]):
        end = ended.get(name, Endpoint("app", name, None, None))
        if end.layer is None and posted.get(name) and None not in posted[name]:
            end = end._replace(layer="http", failure=posted[name][0])
        yield end
    if tried.requests.get(_TELEGRAM_WEB):
        yield Endpoint("web", _TELEGRAM_WEB, *tried.end_of(_TELEGRAM_WEB))


_WHATSAPP_WEB, _WHATSAPP_REGISTRATION = "web.whatsapp.com", "v.whatsapp.net"


def _whatsapp(keys: Keys) -> Iterator[Endpoint]:
    tried = _Attempts(keys)
    named = {_WHATSAPP_REGISTRATION: "registration", _WHATSAPP_WEB: "web"}
    of_app = {a for host in tried.answers if host not in named for a in tried.answers[host]}
    of_others = {a for host in named for a in tried.answers.get(host, ())} - of_app
    for host, failures in tried.lookups.items():
        if host and host not in named and None not in failures:
            yield Endpoint("app", host, "dns", failures[0])
        elif host and host not in named and tried.end_of(host)[1] == BOGON:
            yield Endpoint("app", host, "dns", BOGON)
    yield from _addresses({a: by for a, by in tried.connects.items() if a not in of_others})
    for host, part in named.items():
        if tried.requests.get(host):
            yield Endpoint(part, host, *tried.end_of(host))


def _tor(keys: Keys) -> Iterator[Endpoint]:
    for name, target in islice((keys.targets or {}).items(), LIST_LIMIT):
        if target is not None:
            part = "bridges" if target.target_protocol == "obfs4" else "relays"
            failure = normalise_failure(target.failure)
            layer = _layer_of_target(target, failure) if failure else None
            yield Endpoint(part, target.target_address or name, layer, failure)


def _layer_of_target(target: Target, failure: str) -> str:
    connects = [_connect_failure(one) for one in (target.tcp_connect or ())[:LIST_LIMIT]]
    if connects and None not in connects:
        return "tcp"
    return _layer_of(failure, "http" if target.target_protocol == "dir_port" else "tls")


def _tunnel(keys: Keys, *, has_verdict: bool = False) -> Iterator[Endpoint]:
    """A tunnel that was, or was not, set up; nothing where the test did not come to an end."""
    failure = None if keys.failure is UNSET else normalise_failure(keys.failure)
    if has_verdict:
        if keys.success is None and keys.error is None and failure is None:
            return
        failure = (
            None if keys.success else failure or normalise_failure(keys.error) or UNNAMED_FAILURE
        )
    yield Endpoint("tunnel", "tunnel", "tunnel" if failure else None, failure)


_READERS: Mapping[str, Any] = {
    "facebook_messenger": _messenger,
    "signal": _signal,
    "telegram": _telegram,
    "whatsapp": _whatsapp,
    "psiphon": _tunnel,
    "tor": _tor,
    "torsf": _tunnel,
    "vanilla_tor": partial(_tunnel, has_verdict=True),
}
