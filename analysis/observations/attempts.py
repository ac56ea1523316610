"""The lookups, connections and handshakes of a probe and of its control."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final

from analysis import hosts
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messages import (
    LIST_LIMIT,
    UNNAMED_FAILURE,
    Answer,
    Connect,
    Control,
    ControlDns,
    ControlEndpoint,
    ControlHttp,
    Handshake,
    TestKeys,
    clip_text,
    normalise_failure,
    redirect_depth,
    status_or_none,
    tidy_title,
)

_ENDPOINT_LENGTH = 128  # characters
_NO_CONTROL: Final = Control()
_NO_DNS: Final = ControlDns()
_NO_PAGE: Final = ControlHttp()


class ControlView:
    """The control's reply; empty if it consists of defaults.

    Attributes:
        addresses: that it resolved, in order.
        asns: address → ASN.
        tcp: endpoint, spelt as by :func:`spell_endpoint`, → attempt; ``tls`` likewise.
    """

    def __init__(self, keys: TestKeys) -> None:
        control = keys.control
        self.failure = normalise_failure(keys.control_failure)
        self.has_reply = control is not None and self.failure is None and _says_something(control)
        reply = control if control is not None and self.has_reply else _NO_CONTROL
        dns = reply.dns or _NO_DNS
        self.dns_failure = normalise_failure(dns.failure)
        self.http = reply.http_request or _NO_PAGE
        self.tcp = reply.tcp_connect or {}
        self.tls = reply.tls_handshake or {}
        self.addresses: dict[str, None] = {}
        self.asns: dict[str, int] = {}
        canonical = hosts.canonical
        for text in (dns.addrs or ())[:LIST_LIMIT]:
            address = canonical(text)
            if address is not None:
                self.addresses[address] = None
        for text, info in (reply.ip_info or {}).items():
            number = info.asn if info is not None else None
            if number and 0 < number < 1 << 32:
                address = canonical(text)
                if address is not None:
                    self.asns[address] = number

    def tls_addresses(self) -> list[str]:
        """Return the column ``control_tls_addresses``: those that sent a valid certificate."""
        addresses = dict.fromkeys(
            split_endpoint(endpoint)[0]
            for endpoint, attempt in self.tls.items()
            if read_result(attempt)[0]
        )
        return [address for address in addresses if address is not None]

    def page(self) -> tuple[int | None, int | None, str | None]:
        """Return status, body length and title of its page; each None if absent."""
        status, length, title = status_or_none(self.http.status_code), self.http.body_length, None
        if status is None or length is None or not 0 <= length < 1 << 62:
            length = None
        if status is not None and self.http.title is not None:
            title = tidy_title(self.http.title)
        return status, length, title


def _says_something(control: Control) -> bool:
    """Test whether any part of a control reply is more than its empty default."""
    dns, http = control.dns, control.http_request
    return bool(
        (dns is not None and (dns.failure or dns.addrs))
        or (http is not None and (http.failure or http.status_code))
        or control.tcp_connect
    )


def read_result(endpoint: ControlEndpoint | None) -> tuple[bool | None, str | None]:
    """Return whether the control reached an endpoint, and its failure; None if it did not try."""
    if endpoint is None:
        return None, None
    if endpoint.status is True and not endpoint.failure:
        return True, None
    failure, status = normalise_failure(endpoint.failure), endpoint.status
    return (failure is None if status is None and failure else status), failure


def spell_endpoint(address: str, port: int | str | None) -> str:
    """Return an endpoint as the control spells it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split_endpoint(endpoint: str) -> tuple[str | None, str]:
    """Return the address of an endpoint, and the endpoint as the control spells it."""
    return _split(endpoint) if len(endpoint) <= _ENDPOINT_LENGTH else (None, "")


@lru_cache(maxsize=1 << 15)
def _split(endpoint: str) -> tuple[str | None, str]:
    host, _, port = endpoint.rpartition(":")
    address = hosts.canonical(host[1:-1] if host[:1] == "[" else host)
    return address, "" if address is None else spell_endpoint(address, port)


SYSTEM_ENGINES = frozenset({None, "", "system", "getaddrinfo", "golang_net_resolver", "unknown"})
_MATCH, _IS_ANSWER = 3, 4  # their positions in an item of the column ``tcp``


# --- dns ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Lookups:
    """Lookups of the input's host by one kind of resolver; ``addresses`` in order, each once."""

    addresses: dict[str, None] = field(default_factory=dict)
    failures: list[tuple[str | None, str | None]] = field(default_factory=list)  # type, failure
    has_answer: bool = False

    def failure(self) -> str | None:
        """Return the failure of the first lookup not for AAAA, else of the first.

        None if any lookup was answered.
        """
        if self.has_answer or not self.failures:
            return None
        failures = (failure for kind, failure in self.failures if kind != "AAAA")
        return next(failures, self.failures[0][1])


@dataclass(slots=True)
class QueryResults:
    """The lookups of the input's ``host``, and the fingerprints that any answer matches."""

    host: str
    system: Lookups = field(default_factory=Lookups)
    udp: Lookups = field(default_factory=Lookups)
    fingerprints: list[str] = field(default_factory=list)
    getaddrinfo_error: int | None = None  # of the first system lookup that has an error number


def read_queries(keys: TestKeys, host: str, fingerprints: Fingerprints) -> QueryResults:
    """Read the lookups of the input's host, in one pass over ``queries``."""
    dns = QueryResults(host)
    names = fingerprints.dns_names
    for query in keys.queries or ():
        for answer in (query.answers or ()) if names else ():
            text = answer.ipv4 or answer.ipv6 or answer.hostname
            if text:
                dns.fingerprints.extend(names.get(text, ()))
        name = query.hostname
        if redirect_depth(query.tags) or (
            name != host and (name is None or hosts.normalise(name) != host)
        ):
            continue
        if query.engine in SYSTEM_ENGINES:
            lookups = dns.system
        elif query.engine == "udp":
            lookups = dns.udp
        else:
            continue
        if dns.getaddrinfo_error is None and lookups is dns.system:
            dns.getaddrinfo_error = query.getaddrinfo_error
        if query.failure:
            lookups.failures.append((query.query_type, normalise_failure(query.failure)))
        else:
            lookups.has_answer = True
            for address, _ in _addresses(query.answers):
                lookups.addresses[address] = None
    return dns


def _addresses(answers: list[Answer] | None) -> Iterator[tuple[str, Answer]]:
    """Yield the answers that are addresses, each with its address in canonical spelling."""
    for answer in answers or ():
        text = answer.ipv4 or answer.ipv6
        address = hosts.canonical(text) if text else None
        if address is not None:
            yield address, answer


#: Address, ASN, kind of special-purpose address, match: in the order of the schema's struct.
_Answer = tuple[str, int | None, str | None, str | None]


class KnownAddresses(dict[str, tuple[_Answer, str | None, bool | None]]):
    """Address → its answer item, its match, and whether the system resolver returned it.

    Computes a missing entry once, because an address occurs many times in a measurement.
    """

    def __init__(self, keys: TestKeys, dns: QueryResults, control: ControlView) -> None:
        self._keys = keys
        self._control = control
        self._lookups = dns.system
        self._control_asns = {self._asn(address) for address in control.addresses}

    @cached_property
    def _annotated(self) -> dict[str, int]:
        """Address → its first ASN in the probe's answers; read only if the control has none."""
        asns: dict[str, int] = {}
        for query in self._keys.queries or ():
            for address, answer in _addresses(query.answers):
                if answer.asn and 0 < answer.asn < 1 << 32:
                    asns.setdefault(address, answer.asn)
        return asns

    def _asn(self, address: str) -> int | None:
        return self._control.asns.get(address) or self._annotated.get(address)

    def __missing__(self, address: str) -> tuple[_Answer, str | None, bool | None]:
        number = self._asn(address)
        match = None
        if address in self._control.addresses:
            match = "address"
        elif self._control.addresses:
            is_same_network = number is not None and number in self._control_asns
            match = "asn" if is_same_network else "none"
        answer = (address, number, hosts.special_kind(address), match)
        self[address] = (answer, match, is_among(address, self._lookups))
        return self[address]

    def answers(self, addresses: Iterable[str]) -> list[_Answer]:
        """Return the items of a column of answers."""
        return [self[address][0] for address in addresses][:LIST_LIMIT]


def is_among(address: str, lookups: Lookups) -> bool | None:
    """Test whether the resolver returned an address; None if no lookup can be compared with."""
    if lookups.addresses:
        return address in lookups.addresses
    return None if lookups.failure() is None else False


# --- tcp and tls --------------------------------------------------------------------------------


def list_connects(
    keys: TestKeys, dns: QueryResults, addresses: KnownAddresses, control: ControlView
) -> list[tuple[Any, ...]]:
    """Return the column ``tcp``: attempts to connect to the input's host."""
    items: list[tuple[Any, ...]] = []
    for connect in keys.tcp_connect or ():
        address = hosts.canonical(connect.ip) if connect.ip else None
        depth = redirect_depth(connect.tags)
        if depth or (depth is None and not _may_be_first(address, dns, control)):
            continue
        port = connect.port if connect.port is not None and 0 <= connect.port < 1 << 16 else None
        failure = connect_failure(connect)
        if address is None:
            items.append((None, port, failure, None, None, None, None))
            continue
        _, match, is_answer = addresses[address]
        result = read_result(control.tcp.get(spell_endpoint(address, port)))
        items.append((address, port, failure, match, is_answer, *result))
    return items


def _may_be_first(address: str | None, dns: QueryResults, control: ControlView) -> bool:
    """Test whether an attempt without a depth may belong to the input's own host."""
    if address is None or not (dns.system.addresses or control.addresses):
        return True
    return address in dns.system.addresses or address in control.addresses


def list_handshakes(
    keys: TestKeys,
    dns: QueryResults,
    addresses: KnownAddresses,
    control: ControlView,
    tcp: list[tuple[Any, ...]],
) -> list[tuple[Any, ...]]:
    """Return the column ``tls``: handshakes for the input's host that verified the certificate."""
    items: list[tuple[Any, ...]] = []
    common: tuple[Any, ...] = ()
    for handshake in own_handshakes(keys, dns.host):
        failure = normalise_failure(handshake.failure)
        name, endpoint = clip_text(handshake.server_name), handshake.address
        address, spelling = split_endpoint(endpoint) if endpoint else (None, "")
        if address is not None:
            _, match, is_answer = addresses[address]
            result = read_result(control.tls.get(spelling))
            items.append((address, name, failure, match, is_answer, *result))
        elif endpoint:
            items.append((None, name, failure, None, None, None, None))
        else:
            common = common or _common_columns(tcp, control)
            items.append((None, name, failure, *common))
    return items


def own_handshakes(keys: TestKeys, host: str) -> Iterator[Handshake]:
    """Yield the handshakes for the input's host that verified the certificate."""
    for handshake in keys.tls_handshakes or ():
        depth = redirect_depth(handshake.tags)
        is_own = not depth if depth is not None else _is_for(handshake, host)
        if is_own and not handshake.no_tls_verify:
            yield handshake


def _is_for(handshake: Handshake, host: str) -> bool:
    name = handshake.server_name
    return name == host or (bool(name) and hosts.normalise(name or "") == host)


def connect_failure(connect: Connect) -> str | None:
    """Return the failure of a connection, or None if it succeeded."""
    status = connect.status
    if status is None:
        return UNNAMED_FAILURE
    if status.failure:
        return normalise_failure(status.failure)
    return UNNAMED_FAILURE if status.success is False else None


def _common_columns(tcp: list[tuple[Any, ...]], control: ControlView) -> tuple[Any, ...]:
    """Return match, is_answer, control_ok and control_failure, each None unless all agree.

    The control's handshakes count if they are with addresses that the probe connected to; if there
    are none, all count.
    """
    endpoints = [spell_endpoint(item[0], item[1]) for item in tcp if item[0] and item[1]]
    handshakes = [control.tls[endpoint] for endpoint in endpoints if endpoint in control.tls]
    results = [read_result(attempt) for attempt in handshakes or control.tls.values()]
    return (
        _common_value(item[_MATCH] for item in tcp),
        _common_value(item[_IS_ANSWER] for item in tcp),
        _common_value(ok for ok, _ in results),
        _common_value(failure for _, failure in results),
    )


def _common_value(values: Iterable[Any]) -> Any:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


# --- bytes read -----------------------------------------------------------------------------------

#: Points of one connection that are kept: the first, the last, and others evenly between them.
_POINTS = 5


def list_reads(keys: TestKeys) -> list[tuple[float, int]]:
    """Return the column ``reads``: at most five points of seconds and bytes received by then.

    0.5 records the bytes of each connection (``bytes_received_cumulative``). They are taken from
    the connection that fetched the input's page, else from that of the first handshake. For older
    versions, the bytes of all connections are added up.
    """
    events = keys.network_events or ()
    sources = [*(keys.requests or ())[-1:], *(keys.tls_handshakes or ())[:1]]
    number = sources[0].transaction_id if sources else None
    points: list[tuple[float, int]] = []
    total = 0
    for event in events:
        count, moment = event.num_bytes, event.t
        if count is None or moment is None or not (0 <= count < 1 << 40 and 0 <= moment < 1e6):
            continue
        if event.operation == "read":
            total += count
            points.append((moment, total))
        elif event.operation == "bytes_received_cumulative" and event.transaction_id == number:
            points.append((moment, count))
    if len(points) <= _POINTS:
        return points
    last = len(points) - 1
    return [points[last * step // (_POINTS - 1)] for step in range(_POINTS)]
