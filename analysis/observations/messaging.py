"""One measurement of a messaging or circumvention test → one row of :data:`MESSAGING`.

Facts only: which endpoints were tried, where each attempt ended, and, as a record, OONI's flags.
An endpoint is an address with a port, a host name, a target or a tunnel. It was reached if an
attempt at every layer that was tried got through. IPv6 that fails is left out beside IPv4: most
probes have none.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa
from msgspec import UNSET, structs

from analysis import hosts
from analysis.observations import observation
from analysis.observations.attempts import connect_failure
from analysis.observations.flags import Received, is_far_from
from analysis.observations.messages import (
    LIST_LIMIT,
    UNNAMED_FAILURE,
    Connect,
    ConnectStatus,
    Exchange,
    HttpRequest,
    Keys,
    MessagingMeasurement,
    Target,
    normalise_failure,
    request_url,
)
from analysis.observations.schema import PROBE, record

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
            if failure is None or ":" not in address
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
    method = _method(exchange)
    try:
        parts = urlsplit((request.url or "")[:2048])
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", _Asked("", 0, method, failure)
    return (parts.hostname or "").lower(), _Asked(parts.scheme, port, method, failure)


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
            elif ":" not in address:
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


_REGISTRATION, _WEB = "https://v.whatsapp.net/v2/register", "https://web.whatsapp.com/"
_MESSENGER = re.compile(r"facebook_.*_(dns_consistent|reachable)")
#: Signal's servers changed, and older tests fail since: version below → from when.
_SIGNAL_TESTS = (((0, 2, 2), "2022-10-19"), ((0, 2, 4), "2023-11-07"))
_SIGNAL_BROKEN = (0, 2, 4)
_SIGNAL_ENGINE = ((3, 17, 2), "2023-05-02")


#: OONI's score of blocking; None where the measurement says nothing.
Score = float | None


def flag(
    read: MessagingMeasurement, start_time: int, received: Received | None = None
) -> tuple[bool, bool]:
    """Whether OONI flags a measurement as an anomaly, and as a failure."""
    if read.test_keys is None or is_far_from(start_time, received):
        return False, True
    score = _SCORES[read.test_name or ""](read.test_keys, read)
    return score is not None and score > 0.5, score is None


def _sum_whatsapp(keys: Keys, read: MessagingMeasurement) -> Score:
    asked: dict[str, bool] = {}
    for one in keys.requests or ():
        url = request_url(one)
        asked[url] = asked.get(url, False) or not one.failure
    if _WEB not in asked or _REGISTRATION not in asked:
        return None
    is_cut = not any(_is_open(one.status) for one in keys.tcp_connect or ())
    return float(is_cut or not asked[_WEB] or not asked[_REGISTRATION])


def _is_open(status: ConnectStatus | None) -> bool:
    if status is None or status.success is None:
        return status is None or not status.failure
    return status.success


def _sum_messenger(keys: Keys, read: MessagingMeasurement) -> Score:
    told = structs.asdict(keys)
    signs = [told[name] is False for name in told if _MESSENGER.fullmatch(name)]
    return 0.5 * sum(
        (*signs, keys.facebook_dns_blocking is True, keys.facebook_tcp_blocking is True)
    )


def _sum_telegram(keys: Keys, read: MessagingMeasurement) -> Score:
    if not any("web.telegram.org" in request_url(one) for one in keys.requests or ()):
        return None
    connects = [_is_open(one.status) for one in keys.tcp_connect or ()]
    posts = [one for one in keys.requests or () if _method(one) == "POST"]
    score = connects.count(False) / len(connects) if connects else 0.0
    score += sum(bool(one.failure) for one in posts) / len(posts) if posts else 0.0
    return score + (keys.telegram_web_status == "blocked")


def _method(one: Exchange) -> str:
    return ((one.request.method if one.request else None) or "").upper()


def _sum_signal(keys: Keys, read: MessagingMeasurement) -> Score:
    version, day = _version(read.test_version), (read.measurement_start_time or "")[:10]
    engine = _version(read.annotations.engine_version if read.annotations else None)
    is_old = any(version < below and day >= since for below, since in _SIGNAL_TESTS)
    is_old |= bool(engine) and engine < _SIGNAL_ENGINE[0] and day >= _SIGNAL_ENGINE[1]
    if is_old or version == _SIGNAL_BROKEN or keys.signal_backend_status is None:
        return None
    return float(keys.signal_backend_status == "blocked")


def _version(text: str | None) -> tuple[int, ...]:
    found = re.match(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})", text or "", re.ASCII)
    return tuple(map(int, found.groups())) if found else ()


def _sum_tor(keys: Keys, read: MessagingMeasurement) -> Score:
    ended = [bool(one.failure) for one in (keys.targets or {}).values() if one is not None]
    return sum(ended) / len(ended) if ended else None


def _psiphon(keys: Keys, read: MessagingMeasurement) -> Score:
    return None if keys.failure is UNSET else float(keys.failure is not None)


def _torsf(keys: Keys, read: MessagingMeasurement) -> Score:
    platform = read.annotations.platform if read.annotations else None
    if read.software_version == "3.8.3" and platform == "android":
        return None
    return _psiphon(keys, read)


def _vanilla_tor(keys: Keys, read: MessagingMeasurement) -> Score:
    if keys.success or keys.tor_progress == 100:
        return 0.0
    return 1 - 0.004 * min(max(keys.tor_progress or 0.0, 0.0), 100.0)


_SCORES: Mapping[str, Callable[[Keys, MessagingMeasurement], Score]] = {
    "facebook_messenger": _sum_messenger,
    "signal": _sum_signal,
    "telegram": _sum_telegram,
    "whatsapp": _sum_whatsapp,
    "psiphon": _psiphon,
    "tor": _sum_tor,
    "torsf": _torsf,
    "vanilla_tor": _vanilla_tor,
}


#: Raised when a column is added, dropped or changes meaning: older files are then read again.
MESSAGING_VERSION = 5

_ENDPOINT = pa.struct(
    [
        ("part", pa.string()),  # of ``messaging_tests.Tested.parts``
        ("endpoint", pa.string()),  # address and port, host name or target
        ("layer", pa.string()),  # where the attempt ended; null: it was reached
        ("failure", pa.string()),
    ]
)

MESSAGING = pa.schema(
    [
        # identity
        ("report_id", pa.string()),  # "" where the probe could not open a report
        ("test_name", pa.string()),
        *PROBE,
        # what was tried; empty where the test did not come to an end
        ("endpoints", pa.list_(_ENDPOINT)),
        # OONI's flags
        ("is_anomaly", pa.bool_()),
        ("is_failure", pa.bool_()),
        # what is said of the line's fields, see compare_fields; null: it was not looked at
        ("fields_met", pa.list_(pa.string())),
    ]
)

MessagingRow = record("MessagingRow", MESSAGING)


def observe(
    read: MessagingMeasurement,
    *,
    line_number: int,
    keys_digest: int = 0,
    received: Received | None = None,
    fields_met: list[str] | None = None,
) -> tuple[Any, ...]:
    """The row of one measurement, a ``MessagingRow``.

    Raises:
        Unreadable: see ``observation.check``.
    """
    probe = observation.probe_columns(read, line_number, keys_digest)
    is_anomaly, is_failure = flag(read, probe["measurement_start_time"], received)
    return MessagingRow(
        report_id=read.report_id or "",
        test_name=read.test_name,
        **probe,
        endpoints=list_endpoints(read.test_name or "", read.test_keys) if read.test_keys else [],
        is_anomaly=is_anomaly,
        is_failure=is_failure,
        fields_met=fields_met,
    )
