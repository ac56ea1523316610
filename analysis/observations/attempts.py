"""What a probe and the control tried, layer by layer: names, connections, handshakes, redirects."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from analysis import hosts
from analysis.observations import messages
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messages import Answer, Connect, Control, Handshake, TestKeys
from analysis.observations.values import (
    LIST_LIMIT,
    UNNAMED_FAILURE,
    clip_text,
    normalise_failure,
    redirect_depth,
    tidy_title,
)

SYSTEM_ENGINES = frozenset({None, "", "system", "getaddrinfo", "golang_net_resolver", "unknown"})
_UDP_ENGINES = frozenset({"udp"})
_CACHED = 128  # characters; what is longer is not worth a place in a cache


# --- dns ----------------------------------------------------------------------------------------


class _Lookups:
    """Lookups of the input's host by one kind of resolver."""

    __slots__ = ("addresses", "failures", "has_answer")

    def __init__(self) -> None:
        self.addresses: dict[str, None] = {}
        self.failures: list[tuple[str | None, str | None]] = []  # query type, failure
        self.has_answer = False

    def failure(self) -> str | None:
        if self.has_answer or not self.failures:
            return None
        ours = (failure for kind, failure in self.failures if kind != "AAAA")
        return next(ours, self.failures[0][1])


class QueryResults:
    """What one pass over ``queries`` found."""

    __slots__ = ("fingerprints", "has_later_failure", "host", "system", "udp")

    def __init__(self, host: str) -> None:
        self.host = host
        self.system = _Lookups()
        self.udp = _Lookups()
        self.fingerprints: list[str] = []
        self.has_later_failure = False


def read_queries(keys: TestKeys, host: str, fingerprints: Fingerprints) -> QueryResults:
    dns = QueryResults(host)
    names = fingerprints.dns_names
    for query in keys.queries or ():
        tags, answers = query.tags, query.answers
        if names and answers:
            dns.fingerprints.extend(_listed(answers, names))
        if tags and "depth=0" not in tags and redirect_depth(tags):
            dns.has_later_failure |= bool(query.failure)
            continue
        name = query.hostname
        if name != host and (name is None or hosts.normalise(name) != host):
            continue
        engine = query.engine
        if engine in SYSTEM_ENGINES:
            lookups = dns.system
        elif engine in _UDP_ENGINES:
            lookups = dns.udp
        else:
            continue
        if query.failure:
            lookups.failures.append((query.query_type, normalise_failure(query.failure)))
        else:
            lookups.has_answer = True
            for address, _ in _addressed(answers):
                lookups.addresses[address] = None
    return dns


def _addressed(answers: list[Answer] | None) -> Iterator[tuple[str, Answer]]:
    """The answers that are addresses."""
    for answer in (answers or ())[:LIST_LIMIT]:
        text = answer.ipv4 or answer.ipv6
        address = hosts.canonical(text) if text else None
        if address is not None:
            yield address, answer


def _listed(answers: list[Answer], names: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Names of the fingerprints that the answers match."""
    for answer in answers[:LIST_LIMIT]:
        text = answer.ipv4 or answer.ipv6 or answer.hostname
        if text is not None and text in names:
            yield from names[text]


def _annotated(keys: TestKeys) -> dict[str, int]:
    """The ASN of each address as the probe annotated it; the first where it says several."""
    asns: dict[str, int] = {}
    for query in keys.queries or ():
        for address, answer in _addressed(query.answers):
            if answer.asn and address not in asns and 0 < answer.asn < 1 << 32:
                asns[address] = answer.asn
    return asns


_Answer = tuple[str, int | None, str | None, str | None]  # in the order of schema's struct


class KnownAddresses(dict[str, tuple[_Answer, str | None, bool | None]]):
    """What is known about an address: its answer item, its match, whether the resolver gave it.

    A dictionary that fills itself, because each address occurs in many places of a measurement.
    """

    __slots__ = ("_annotations", "_control", "_control_asns", "_keys", "_lookups")

    def __init__(self, keys: TestKeys, dns: QueryResults, control: "ControlView") -> None:
        self._keys = keys
        self._annotations: dict[str, int] | None = None
        self._control = control
        self._lookups = dns.system
        self._control_asns = {self._asn(address) for address in control.addresses}

    def _asn(self, address: str) -> int | None:
        number = self._control.asns.get(address)
        if number is None:
            # The control mostly knows them all, so that nobody has to go through the answers.
            if self._annotations is None:
                self._annotations = _annotated(self._keys)
            number = self._annotations.get(address)
        return number

    def __missing__(self, address: str) -> tuple[_Answer, str | None, bool | None]:
        number = self._asn(address)
        match = None
        if address in self._control.addresses:
            match = "address"
        elif self._control.addresses:
            is_near = number is not None and number in self._control_asns
            match = "asn" if is_near else "none"
        answer = (address, number, hosts.special_kind(address), match)
        facts = self[address] = (answer, match, is_among(address, self._lookups))
        return facts


def is_among(address: str, lookups: _Lookups) -> bool | None:
    """Whether the resolver gave an address; null where nothing is left to compare with."""
    if lookups.addresses:
        return address in lookups.addresses
    return None if lookups.failure() is None else False


def dns_columns(lookups: _Lookups, known: KnownAddresses) -> tuple[Any, ...]:
    answers = [known[address][0] for address in lookups.addresses]
    return lookups.failure(), answers[:LIST_LIMIT]


# --- control ------------------------------------------------------------------------------------


class ControlView:
    """What the control saw; empty where its reply says nothing."""

    __slots__ = ("_dns", "_http", "addresses", "asns", "failure", "has_reply", "tcp", "tls")

    def __init__(self, keys: TestKeys) -> None:
        control = keys.control
        self.failure = normalise_failure(keys.control_failure) if keys.control_failure else None
        self.has_reply = control is not None and self.failure is None and _says_something(control)
        reply = control if control is not None and self.has_reply else _NO_CONTROL
        canonical = hosts.canonical
        self._dns = reply.dns
        self._http = reply.http_request
        self.tcp = reply.tcp_connect or {}
        self.tls = reply.tls_handshake or {}
        self.addresses: dict[str, None] = {}
        self.asns: dict[str, int] = {}
        for text in ((self._dns and self._dns.addrs) or ())[:LIST_LIMIT]:
            address = canonical(text)
            if address is not None:
                self.addresses[address] = None
        for text, info in (reply.ip_info or {}).items():
            number = info.asn if info is not None else None
            if number and 0 < number < 1 << 32:
                address = canonical(text)
                if address is not None:
                    self.asns[address] = number

    def dns_columns(self, known: KnownAddresses) -> tuple[Any, ...]:
        failure = self._dns.failure if self._dns else None
        answers = [known[address][0][:3] for address in self.addresses]
        return (
            self.has_reply,
            self.failure,
            normalise_failure(failure) if failure else None,
            answers,
        )

    def tls_addresses(self) -> list[str]:
        good = dict.fromkeys(
            split_endpoint(n)[0] for n, end in self.tls.items() if _control_result(end)[0]
        )
        return [address for address in good if address is not None][:LIST_LIMIT]

    def http_columns(self) -> tuple[Any, ...]:
        http = self._http
        if http is None:
            return None, None, None, None
        status = http.status_code
        if status is None or not 100 <= status < 1000:
            return normalise_failure(http.failure) if http.failure else None, None, None, None
        length = http.body_length
        return (
            normalise_failure(http.failure) if http.failure else None,
            status,
            length if length is not None and 0 <= length < 1 << 62 else None,
            tidy_title(http.title) if http.title is not None else None,
        )


def _says_something(control: Control) -> bool:
    """Whether any part of a control reply is more than its empty default."""
    dns, http = control.dns, control.http_request
    return bool(
        (dns is not None and (dns.failure or dns.addrs))
        or (http is not None and (http.failure or http.status_code))
        or control.tcp_connect
    )


# --- tcp and tls --------------------------------------------------------------------------------


def tcp_items(
    keys: TestKeys, dns: QueryResults, known: KnownAddresses, control: ControlView
) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, ...]] = []
    results, canonical = control.tcp, hosts.canonical
    for connect in (keys.tcp_connect or ())[:LIST_LIMIT]:
        status, tags = connect.status, connect.tags
        is_success = status is not None and status.success is True and not status.failure
        failure = None if is_success else connect_failure(connect)
        address = canonical(connect.ip) if connect.ip else None
        if not tags or "depth=0" not in tags:
            if redirect_depth(tags):
                dns.has_later_failure |= failure is not None
                continue
            if not _may_be_first(address, dns, control):
                continue
        port = connect.port if connect.port is not None and 0 <= connect.port < 1 << 16 else None
        if address is None:
            items.append((None, port, failure, None, None, None, None))
            continue
        _, match, is_answer = known[address]
        result = _control_result(results.get(_endpoint(address, port)))
        items.append((address, port, failure, match, is_answer, *result))
    return items


def _may_be_first(address: str | None, dns: QueryResults, control: ControlView) -> bool:
    """Whether an attempt without a depth may have been made for the input's own host."""
    if address is None or not (dns.system.addresses or control.addresses):
        return True
    return address in dns.system.addresses or address in control.addresses


def tls_items(
    keys: TestKeys,
    dns: QueryResults,
    known: KnownAddresses,
    control: ControlView,
    tcp: list[tuple[Any, ...]],
) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, ...]] = []
    results = control.tls
    for handshake in (keys.tls_handshakes or ())[:LIST_LIMIT]:
        tags = handshake.tags
        if not tags or "depth=0" not in tags:
            if redirect_depth(tags):
                dns.has_later_failure |= bool(handshake.failure)
                continue
            if not _is_for(handshake, dns.host):
                continue
        if handshake.no_tls_verify:
            continue
        failure = normalise_failure(handshake.failure) if handshake.failure else None
        name, endpoint = clip_text(handshake.server_name), handshake.address
        address, spelt = split_endpoint(endpoint) if endpoint else (None, "")
        if address is not None:
            _, match, is_answer = known[address]
            result = _control_result(results.get(spelt))
            items.append((address, name, failure, match, is_answer, *result))
        elif endpoint:
            items.append((None, name, failure, None, None, None, None))
        else:
            items.append((None, name, failure, *_common_to_all(tcp, control)))
    return items


def _is_for(handshake: Handshake, host: str) -> bool:
    name = handshake.server_name
    return name == host or (bool(name) and hosts.normalise(name or "") == host)


def connect_failure(connect: Connect) -> str | None:
    status = connect.status
    if status is None:
        return UNNAMED_FAILURE
    if status.failure:
        return normalise_failure(status.failure)
    return UNNAMED_FAILURE if status.success is False else None


def _control_result(endpoint: messages.ControlEndpoint | None) -> tuple[bool | None, str | None]:
    if endpoint is None:
        return None, None
    if endpoint.status is True and not endpoint.failure:
        return True, None
    failure = normalise_failure(endpoint.failure) if endpoint.failure else None
    status = endpoint.status
    return (failure is None if status is None and failure else status), failure


def _endpoint(address: str, port: int | str | None) -> str:
    """An endpoint as the control spells it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split_endpoint(endpoint: str) -> tuple[str | None, str]:
    """The address of an endpoint, and the endpoint as the control spells it."""
    return _cached_parts(endpoint) if len(endpoint) <= _CACHED else _read_parts(endpoint)


def _read_parts(endpoint: str) -> tuple[str | None, str]:
    host, _, port = endpoint.rpartition(":")
    address = hosts.canonical(host[1:-1] if host[:1] == "[" else host)
    return address, "" if address is None else _endpoint(address, port)


_cached_parts = lru_cache(maxsize=1 << 15)(_read_parts)


def _common_to_all(tcp: list[tuple[Any, ...]], control: ControlView) -> tuple[Any, ...]:
    """Match, is_answer, control_ok and control_failure, each where it is the same for all."""
    results = [_control_result(endpoint) for endpoint in control.tls.values()]
    return (
        _only(item[3] for item in tcp),
        _only(item[4] for item in tcp),
        _only(ok for ok, _ in results),
        _only(failure for _, failure in results),
    )


def _only(values: Iterable[Any]) -> Any:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


_NO_CONTROL: Final = Control()
