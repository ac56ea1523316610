"""The endpoints that a messaging or circumvention test tried, and where each attempt ended.

An endpoint is what stands for itself: an address with a port, a host name, a target, a tunnel. It
was reached where some attempt at every layer that was tried got through. IPv6 that fails is left
out beside IPv4: most probes have none.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from ipaddress import ip_address
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec import UNSET

from analysis import hosts
from analysis.observations.messages import LIST_LIMIT, Connect
from analysis.observations.messaging_messages import Exchange, Keys, Target
from analysis.observations.values import normalise_failure

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
        Endpoint(part, endpoint[:_TEXT_LIMIT], layer, failure)
        for part, endpoint, layer, failure in islice(read(keys), ENDPOINT_LIMIT)
    ]


#: Part, endpoint, and where it ended: layer and failure, nulls where it was reached.
_Ended = tuple[str, str, str | None, str | None]


class _Attempts:
    """What a measurement tried, by host name and by address."""

    def __init__(self, keys: Keys) -> None:
        self.answers: dict[str, dict[str, None]] = defaultdict(dict)
        self.lookups: dict[str, list[str | None]] = defaultdict(list)
        for query in keys.queries or ():
            host = (query.hostname or "").lower()
            self.lookups[host].append(_failure(query.failure))
            for answer in query.answers or ():
                address = hosts.canonical(answer.ipv4 or answer.ipv6 or "")
                if address:
                    self.answers[host][address] = None
        self.connects: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
        for connect in keys.tcp_connect or ():
            address = hosts.canonical(connect.ip or "")
            if address:
                self.connects[address].append((connect.port or 0, _connect_failure(connect)))
        self.handshakes: dict[str, list[str | None]] = defaultdict(list)
        for shake in keys.tls_handshakes or ():
            self.handshakes[(shake.server_name or "").lower()].append(_failure(shake.failure))
        self.requests: dict[str, list[tuple[str, Exchange]]] = defaultdict(list)
        for exchange in keys.requests or ():
            scheme, host = _split(exchange)
            self.requests[host].append((scheme, exchange))

    def end_of(self, host: str) -> tuple[str | None, str | None]:
        """Layer and failure of where attempts at a host name ended; nulls where it was reached."""
        asked = self.requests.get(host, [])
        # The page is the one over TLS; the plain one leads there.
        secure = [one for scheme, one in asked if scheme == "https"] or [one for _, one in asked]
        outcomes = [_failure(one.failure) for one in secure]
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
            for _, failure in self.connects.get(address, ())
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
            is_secure = any(scheme == "https" for scheme, _ in asked)
            known = "tls" if is_secure and not handshakes else "http"
            return _layer_of(outcomes[0], known), outcomes[0]
        return None, None


def _failure(failure: str | bool | None) -> str | None:
    return normalise_failure(failure) if failure else None


def _connect_failure(connect: Connect) -> str | None:
    status = connect.status
    if status is None:
        return None
    failure = _failure(status.failure)
    return failure or (None if status.success is not False else "unknown_failure")


def _split(exchange: Exchange) -> tuple[str, str]:
    """Scheme and host of what was asked for; empty where there is none."""
    url = ((exchange.request.url if exchange.request else None) or "")[:2048]
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), (parts.hostname or "").lower()
    except ValueError:
        return "", ""


def _is_v6(address: str) -> bool:
    return ip_address(address).version == 6


def _layer_of(failure: str, known: str) -> str:
    """The layer that a failure names; else the one behind which nothing was recorded."""
    named = (layer for pattern, layer in _LAYER_OF if pattern.match(failure))
    return next(named, known or "http")


# --- by test --------------------------------------------------------------------------------------


def _messenger(keys: Keys) -> Iterator[_Ended]:
    tried = _Attempts(keys)
    names = [host for host in tried.lookups if host]
    seen = {tuple(tried.answers[host]) for host in names if tried.answers.get(host)}
    resolved = [host for host in names if tried.answers.get(host)]
    is_one = (
        len(seen) == 1 and len(resolved) >= _NAMES_OF_ONE_ADDRESS and len(next(iter(seen))) == 1
    )
    for host in names:
        layer, failure = tried.end_of(host)
        if is_one and host in resolved:
            layer, failure = "dns", ONE_ADDRESS
        yield "app", host, layer, failure
    if not names:
        yield from _addresses("app", tried.connects)


def _addresses(part: str, connects: Mapping[str, list[tuple[int, str | None]]]) -> Iterator[_Ended]:
    """Each address and port by itself."""
    for address, attempts in connects.items():
        by_port: dict[int, list[str | None]] = defaultdict(list)
        for port, failure in attempts:
            by_port[port].append(failure)
        for port, failures in by_port.items():
            is_open = None in failures
            if not (_is_v6(address) and not is_open):
                yield (part, f"{address}:{port}", None if is_open else "tcp",
                       None if is_open else failures[0])  # fmt: skip


def _signal(keys: Keys) -> Iterator[_Ended]:
    tried = _Attempts(keys)
    for host in dict.fromkeys(host for host in tried.requests if host):
        yield ("app", host, *tried.end_of(host))


_TELEGRAM_WEB = "web.telegram.org"
#: Its address, for probes that do not say what they resolved.
_TELEGRAM_WEB_ADDRESS = "149.154.167.99"


def _telegram(keys: Keys) -> Iterator[_Ended]:
    tried = _Attempts(keys)
    posted: dict[str, list[str | None]] = defaultdict(list)
    for host, asked in tried.requests.items():
        address = hosts.canonical(host)
        for _, one in asked:
            if address and one.request and (one.request.method or "POST").upper() == "POST":
                port = _port(one.request.url or "")
                posted[f"{address}:{port}"].append(_failure(one.failure))
    of_app = {name.rpartition(":")[0] for name in posted}
    of_web = {*tried.answers.get(_TELEGRAM_WEB, ()), _TELEGRAM_WEB_ADDRESS} - of_app
    connects = {a: attempts for a, attempts in tried.connects.items() if a not in of_web}
    ended = {name: (layer, failure) for _, name, layer, failure in _addresses("app", connects)}
    for name in dict.fromkeys([*ended, *posted]):
        layer, failure = ended.get(name, (None, None))
        if layer is None and posted.get(name) and None not in posted[name]:
            layer, failure = "http", posted[name][0]
        yield "app", name, layer, failure
    if tried.requests.get(_TELEGRAM_WEB):
        yield ("web", _TELEGRAM_WEB, *tried.end_of(_TELEGRAM_WEB))


def _port(url: str) -> int:
    try:
        parts = urlsplit(url[:2048])
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return 0


_WHATSAPP_WEB, _WHATSAPP_REGISTRATION = "web.whatsapp.com", "v.whatsapp.net"


def _whatsapp(keys: Keys) -> Iterator[_Ended]:
    tried = _Attempts(keys)
    named = {_WHATSAPP_REGISTRATION: "registration", _WHATSAPP_WEB: "web"}
    of_app = {a for host in tried.answers if host not in named for a in tried.answers[host]}
    of_others = {a for host in named for a in tried.answers.get(host, ())} - of_app
    for host, failures in tried.lookups.items():
        if host and host not in named and None not in failures:
            yield "app", host, "dns", failures[0]
        elif host and host not in named and tried.end_of(host)[1] == BOGON:
            yield "app", host, "dns", BOGON
    connects = {a: attempts for a, attempts in tried.connects.items() if a not in of_others}
    yield from _addresses("app", connects)
    for host, part in named.items():
        if tried.requests.get(host):
            yield (part, host, *tried.end_of(host))


def _tor(keys: Keys) -> Iterator[_Ended]:
    for name, target in islice((keys.targets or {}).items(), LIST_LIMIT):
        if target is not None:
            part = "bridges" if target.target_protocol == "obfs4" else "relays"
            failure = _failure(target.failure)
            layer = _layer_of_target(target, failure) if failure else None
            yield part, target.target_address or name, layer, failure


def _layer_of_target(target: Target, failure: str) -> str:
    connects = [_connect_failure(one) for one in (target.tcp_connect or ())[:LIST_LIMIT]]
    if connects and None not in connects:
        return "tcp"
    return _layer_of(failure, "http" if target.target_protocol == "dir_port" else "tls")


def _tunnel(keys: Keys, *, has_verdict: bool = False) -> Iterator[_Ended]:
    """A tunnel that was, or was not, set up; nothing where the test did not come to an end."""
    failure = None if keys.failure is UNSET else _failure(keys.failure)
    if has_verdict:
        if keys.success is None and keys.error is None and failure is None:
            return
        failure = None if keys.success else failure or _failure(keys.error) or "unknown_failure"
    yield "tunnel", "tunnel", "tunnel" if failure else None, failure


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
