"""One measurement of a messaging or circumvention test → one row of :data:`MESSAGING`.

Facts only: the endpoints that were tried, the layer at which each attempt failed, and OONI's flags.
An endpoint is an address with a port, a host name, a target or a tunnel. It was reached if at every
layer that was tried an attempt succeeded. Failures of IPv6 are left out, because most probes have
no IPv6.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
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
#: If so many names of an app resolve to a single address, the answers are forged.
_NAMES_OF_ONE_ADDRESS = 4
#: The layer that a failure names, for failures that belong to no recorded attempt.
_LAYER_OF = (
    (re.compile(r"dns_|android_dns|.*lookup|.*no such host"), "dns"),
    (re.compile(r"connection_refused|host_unreachable|network_unreachable|.*dial tcp"), "tcp"),
    (re.compile(r"ssl_|.*tls|.*x509|.*certificate"), "tls"),
)
#: Failures of lookups that returned a forged answer.
ONE_ADDRESS, BOGON = "one_address_for_all_names", "bogon"


class Endpoint(NamedTuple):
    """One endpoint of a part; ``layer`` and ``failure`` are null where it was reached."""

    part: str
    endpoint: str
    layer: str | None
    failure: str | None


def list_endpoints(test_name: str, keys: Keys) -> list[Endpoint]:
    """Return the endpoints that a test tried, in the order in which they first occur."""
    read = _READERS[test_name]
    return [
        item._replace(endpoint=item.endpoint[:_TEXT_LIMIT])
        for item in islice(read(keys), ENDPOINT_LIMIT)
    ]


class _Request(NamedTuple):
    """One request to a host, with its failure."""

    scheme: str
    port: int
    method: str
    failure: str | None


class _Attempts:
    """The attempts of a measurement, by host name and by address."""

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
        self.requests: dict[str, list[_Request]] = defaultdict(list)
        for exchange in keys.requests or ():
            host, request = _read_request(exchange)
            self.requests[host].append(request)

    def end_of(self, host: str) -> tuple[str | None, str | None]:
        """Return the layer and failure of attempts at a host name; both None if it was reached."""
        requests = self.requests.get(host, [])
        # The plain page only redirects to the page over TLS.
        secure = [request for request in requests if request.scheme == "https"]
        page_failures = [request.failure for request in secure or requests]
        if None in page_failures:
            return None, None
        lookups = self.lookups.get(host, [])
        addresses = list(self.answers.get(host, ()))
        if lookups and not addresses and None not in lookups:
            return "dns", lookups[0]
        if addresses and all(hosts.special_kind(address) for address in addresses):
            return "dns", BOGON
        connects = self._connects_to(addresses)
        if connects and None not in connects:
            return "tcp", connects[0]
        handshakes = self.handshakes.get(host, [])
        if handshakes and None not in handshakes:
            return "tls", handshakes[0]
        if page_failures and page_failures[0] is not None:
            # A page over TLS is requested after the handshake. If no handshake is recorded, the
            # attempt failed there or before.
            last_layer = "tls" if secure and not handshakes else "http"
            return _layer_of(page_failures[0], last_layer), page_failures[0]
        return None, None

    def _connects_to(self, addresses: Iterable[str]) -> list[str | None]:
        """Return the failures of connections, None for each success; without failures of IPv6."""
        return [
            failure
            for address in addresses
            for failures in self.connects.get(address, {}).values()
            for failure in failures
            if failure is None or ":" not in address
        ]


def _connect_failure(connect: Connect) -> str | None:
    return None if connect.status is None else connect_failure(connect)


def _read_request(exchange: Exchange) -> tuple[str, _Request]:
    """Return the host of a request (empty if there is none) and the request."""
    request = exchange.request or HttpRequest()
    failure = normalise_failure(exchange.failure)
    method = _method(exchange)
    try:
        parts = urlsplit((request.url or "")[:2048])
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", _Request("", 0, method, failure)
    return (parts.hostname or "").lower(), _Request(parts.scheme, port, method, failure)


def _layer_of(failure: str, default: str) -> str:
    """Return the layer that a failure names, else ``default``."""
    return next((layer for pattern, layer in _LAYER_OF if pattern.match(failure)), default)


# --- by test --------------------------------------------------------------------------------------


def _messenger(keys: Keys) -> Iterator[Endpoint]:
    attempts = _Attempts(keys)
    names = [host for host in attempts.lookups if host]
    resolved = [host for host in names if attempts.answers.get(host)]
    addresses = {address for host in resolved for address in attempts.answers[host]}
    has_one_address = len(addresses) == 1 and len(resolved) >= _NAMES_OF_ONE_ADDRESS
    for host in names:
        if has_one_address and host in resolved:
            yield Endpoint("app", host, "dns", ONE_ADDRESS)
        else:
            yield Endpoint("app", host, *attempts.end_of(host))
    if not names:
        yield from _addresses(attempts.connects)


def _addresses(connects: Mapping[str, Mapping[int, list[str | None]]]) -> Iterator[Endpoint]:
    """Yield each address and port of an app."""
    for address, by_port in connects.items():
        for port, failures in by_port.items():
            if None in failures:
                yield Endpoint("app", f"{address}:{port}", None, None)
            elif ":" not in address:
                yield Endpoint("app", f"{address}:{port}", "tcp", failures[0])


def _signal(keys: Keys) -> Iterator[Endpoint]:
    attempts = _Attempts(keys)
    for host in filter(None, attempts.requests):
        yield Endpoint("app", host, *attempts.end_of(host))


_TELEGRAM_WEB = "web.telegram.org"
#: Its address, for probes that do not say what they resolved.
_TELEGRAM_WEB_ADDRESS = "149.154.167.99"


def _telegram(keys: Keys) -> Iterator[Endpoint]:
    attempts = _Attempts(keys)
    posts: dict[str, list[str | None]] = defaultdict(list)
    for host, requests in attempts.requests.items():
        address = hosts.canonical(host)
        for request in requests:
            if address and request.method in ("POST", ""):
                posts[f"{address}:{request.port}"].append(request.failure)
    app_addresses = {name.rpartition(":")[0] for name in posts}
    web_addresses = {*attempts.answers.get(_TELEGRAM_WEB, ()), _TELEGRAM_WEB_ADDRESS}
    web_addresses -= app_addresses
    connects = {a: by_port for a, by_port in attempts.connects.items() if a not in web_addresses}
    connected = {item.endpoint: item for item in _addresses(connects)}
    for name in dict.fromkeys([*connected, *posts]):
        endpoint = connected.get(name, Endpoint("app", name, None, None))
        if endpoint.layer is None and posts.get(name) and None not in posts[name]:
            endpoint = endpoint._replace(layer="http", failure=posts[name][0])
        yield endpoint
    if attempts.requests.get(_TELEGRAM_WEB):
        yield Endpoint("web", _TELEGRAM_WEB, *attempts.end_of(_TELEGRAM_WEB))


_WHATSAPP_WEB, _WHATSAPP_REGISTRATION = "web.whatsapp.com", "v.whatsapp.net"


def _whatsapp(keys: Keys) -> Iterator[Endpoint]:
    attempts = _Attempts(keys)
    services = {_WHATSAPP_REGISTRATION: "registration", _WHATSAPP_WEB: "web"}
    app_addresses = {
        address
        for host, addresses in attempts.answers.items()
        if host not in services
        for address in addresses
    }
    service_addresses = {a for host in services for a in attempts.answers.get(host, ())}
    for host, failures in attempts.lookups.items():
        if host and host not in services and None not in failures:
            yield Endpoint("app", host, "dns", failures[0])
        elif host and host not in services and attempts.end_of(host)[1] == BOGON:
            yield Endpoint("app", host, "dns", BOGON)
    excluded = service_addresses - app_addresses
    yield from _addresses({a: by for a, by in attempts.connects.items() if a not in excluded})
    for host, part in services.items():
        if attempts.requests.get(host):
            yield Endpoint(part, host, *attempts.end_of(host))


def _tor(keys: Keys) -> Iterator[Endpoint]:
    for name, target in islice((keys.targets or {}).items(), LIST_LIMIT):
        if target is not None:
            part = "bridges" if target.target_protocol == "obfs4" else "relays"
            failure = normalise_failure(target.failure)
            layer = _layer_of_target(target, failure) if failure else None
            yield Endpoint(part, target.target_address or name, layer, failure)


def _layer_of_target(target: Target, failure: str) -> str:
    connects = [_connect_failure(item) for item in (target.tcp_connect or ())[:LIST_LIMIT]]
    if connects and None not in connects:
        return "tcp"
    return _layer_of(failure, "http" if target.target_protocol == "dir_port" else "tls")


def _tunnel(keys: Keys, *, has_verdict: bool = False) -> Iterator[Endpoint]:
    """Yield the tunnel with its failure, or nothing if the test did not finish."""
    failure = None if keys.failure is UNSET else normalise_failure(keys.failure)
    if has_verdict:
        if keys.success is None and keys.error is None and failure is None:
            return
        failure = failure or normalise_failure(keys.error) or UNNAMED_FAILURE
        failure = None if keys.success else failure
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
#: Older tests fail since Signal changed its servers: (first version that works, day of the change).
_SIGNAL_TESTS = (((0, 2, 2), "2022-10-19"), ((0, 2, 4), "2023-11-07"))
_SIGNAL_BROKEN = (0, 2, 4)
_SIGNAL_ENGINE = ((3, 17, 2), "2023-05-02")


#: OONI's score of blocking; None if the measurement is a failure.
Score = float | None


def flag(
    measurement: MessagingMeasurement, start_time: int, received: Received | None = None
) -> tuple[bool, bool]:
    """Return two of OONI's flags of a measurement: anomaly, failure."""
    if measurement.test_keys is None or is_far_from(start_time, received):
        return False, True
    score = _SCORES[measurement.test_name or ""](measurement.test_keys, measurement)
    return score is not None and score > 0.5, score is None


def _score_whatsapp(keys: Keys, measurement: MessagingMeasurement) -> Score:
    is_reached: dict[str, bool] = {}
    for exchange in keys.requests or ():
        url = request_url(exchange)
        is_reached[url] = is_reached.get(url, False) or not exchange.failure
    if _WEB not in is_reached or _REGISTRATION not in is_reached:
        return None
    is_cut = not any(_is_open(connect.status) for connect in keys.tcp_connect or ())
    return float(is_cut or not is_reached[_WEB] or not is_reached[_REGISTRATION])


def _is_open(status: ConnectStatus | None) -> bool:
    if status is None or status.success is None:
        return status is None or not status.failure
    return status.success


def _score_messenger(keys: Keys, measurement: MessagingMeasurement) -> Score:
    values = structs.asdict(keys)
    failures = [values[name] is False for name in values if _MESSENGER.fullmatch(name)]
    return 0.5 * sum(
        (*failures, keys.facebook_dns_blocking is True, keys.facebook_tcp_blocking is True)
    )


def _score_telegram(keys: Keys, measurement: MessagingMeasurement) -> Score:
    requests = keys.requests or ()
    if not any("web.telegram.org" in request_url(request) for request in requests):
        return None
    connects = [_is_open(connect.status) for connect in keys.tcp_connect or ()]
    posts = [request for request in requests if _method(request) == "POST"]
    score = connects.count(False) / len(connects) if connects else 0.0
    score += sum(bool(post.failure) for post in posts) / len(posts) if posts else 0.0
    return score + (keys.telegram_web_status == "blocked")


def _method(exchange: Exchange) -> str:
    return ((exchange.request.method if exchange.request else None) or "").upper()


def _score_signal(keys: Keys, measurement: MessagingMeasurement) -> Score:
    version, day = (
        _version(measurement.test_version),
        (measurement.measurement_start_time or "")[:10],
    )
    engine = _version(measurement.annotations.engine_version if measurement.annotations else None)
    is_old = any(version < below and day >= since for below, since in _SIGNAL_TESTS)
    is_old |= bool(engine) and engine < _SIGNAL_ENGINE[0] and day >= _SIGNAL_ENGINE[1]
    if is_old or version == _SIGNAL_BROKEN or keys.signal_backend_status is None:
        return None
    return float(keys.signal_backend_status == "blocked")


def _version(text: str | None) -> tuple[int, ...]:
    numbers = re.match(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})", text or "", re.ASCII)
    return tuple(map(int, numbers.groups())) if numbers else ()


def _score_tor(keys: Keys, measurement: MessagingMeasurement) -> Score:
    targets = [target for target in (keys.targets or {}).values() if target is not None]
    return sum(bool(target.failure) for target in targets) / len(targets) if targets else None


def _score_psiphon(keys: Keys, measurement: MessagingMeasurement) -> Score:
    return None if keys.failure is UNSET else float(keys.failure is not None)


def _score_torsf(keys: Keys, measurement: MessagingMeasurement) -> Score:
    platform = measurement.annotations.platform if measurement.annotations else None
    if measurement.software_version == "3.8.3" and platform == "android":
        return None
    return _score_psiphon(keys, measurement)


def _score_vanilla_tor(keys: Keys, measurement: MessagingMeasurement) -> Score:
    if keys.success or keys.tor_progress == 100:
        return 0.0
    return 1 - 0.004 * min(max(keys.tor_progress or 0.0, 0.0), 100.0)


_SCORES: Mapping[str, Callable[[Keys, MessagingMeasurement], Score]] = {
    "facebook_messenger": _score_messenger,
    "signal": _score_signal,
    "telegram": _score_telegram,
    "whatsapp": _score_whatsapp,
    "psiphon": _score_psiphon,
    "tor": _score_tor,
    "torsf": _score_torsf,
    "vanilla_tor": _score_vanilla_tor,
}


#: Raised when a column is added, dropped or changes meaning: older files are then read again.
MESSAGING_VERSION = 5

_ENDPOINT = pa.struct(
    [
        ("part", pa.string()),  # of ``messaging_tests.Tested.parts``
        ("endpoint", pa.string()),  # address and port, host name or target
        ("layer", pa.string()),  # at which the attempt failed; null: the endpoint was reached
        ("failure", pa.string()),
    ]
)

MESSAGING = pa.schema(
    [
        # identity
        ("report_id", pa.string()),  # "" where the probe could not open a report
        ("test_name", pa.string()),
        *PROBE,
        # empty if the test did not finish
        ("endpoints", pa.list_(_ENDPOINT)),
        # OONI's flags
        ("is_anomaly", pa.bool_()),
        ("is_failure", pa.bool_()),
        # states of the line's fields, see compare_fields; null: they were not compared
        ("fields_met", pa.list_(pa.string())),
    ]
)

MessagingRow = record("MessagingRow", MESSAGING)


def observe(
    measurement: MessagingMeasurement,
    *,
    line_number: int,
    keys_digest: int = 0,
    received: Received | None = None,
    fields_met: list[str] | None = None,
) -> tuple[Any, ...]:
    """Return the ``MessagingRow`` of one measurement.

    Raises:
        Unreadable: see ``observation.check``.
    """
    probe = observation.probe_columns(measurement, line_number, keys_digest)
    is_anomaly, is_failure = flag(measurement, probe["measurement_start_time"], received)
    return MessagingRow(
        report_id=measurement.report_id or "",
        test_name=measurement.test_name,
        **probe,
        endpoints=list_endpoints(measurement.test_name or "", measurement.test_keys)
        if measurement.test_keys
        else [],
        is_anomaly=is_anomaly,
        is_failure=is_failure,
        fields_met=fields_met,
    )
