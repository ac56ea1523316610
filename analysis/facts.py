"""One measurement → one observation: a tuple in the order of ``schema.OBSERVATION``.

What stands in the columns, where OONI's versions differ:

*System resolver.* Engines ``system``, ``getaddrinfo``, ``golang_net_resolver``, ``unknown`` and,
before 0.4, none named. Only lookups of the input's own host name (and, where 0.5 tags them,
``depth=0``) count. Engine ``udp`` fills the ``udp_*`` columns. DNS over HTTPS says nothing about
the network's resolver and is left out.

*dns_failure* is null if any system lookup answered, also with a CNAME alone or with an address
that was scrubbed; then ``dns_answers`` is empty. If all failed it is the failure of the first
lookup that was not for AAAA, else of the first.

*Failures.* OONI's words are kept, cut at 512 characters. Spellings of "the name does not exist"
become ``dns_nxdomain_error``, see :data:`NXDOMAIN_SPELLINGS`.

*match* compares with the control's answers for the same name: ``address``, ``asn``, ``none``;
null where the control has no address. The ASN of an address is the control's, else the probe's
annotation of any answer in the same measurement.

*tcp, tls.* 0.5: attempts tagged ``depth=0``. 0.4 has no such tags: TCP attempts at addresses
that the input's host resolved to, for the probe or the control (all, if neither has any), and
handshakes for the input's host name. 0.4 does not say which address a handshake went to; its
``address`` is null, and ``match``, ``is_answer``, ``control_ok`` are given where they are the
same for every address. A handshake that did not verify the certificate is left out.
``is_answer`` and ``http_first_is_answer`` are null where the system resolver's lookup is missing,
or answered without an address that can be compared.

*control.* ``has_control`` is false where there is no reply, ``control_failure`` is set, or the
reply is made of empty defaults; then every control column is null or empty. A status code of -1
or 0 is null. ``control_tls_addresses`` come from its handshakes with its own answers and with the
addresses that the probe sent it.

*redirect_\\*.* In 0.5, the lowest depth > 0 where all attempts of a layer failed, and the first
such layer; attempts that were to fetch no page (``fetch_body=false``, port 443 beside a plain
target) are left out. In 0.4, the newest request, if it failed at a host other than the input's;
the layer is then what the failure's word says, and null for an https page that was cut or stalled.

*Looking at bodies* is what costs, so it is done only where a page may be somebody else's. A
response is trusted if it came over HTTPS without failure from the registrable domain of the
input (the certificate was verified). Every other response of the measurement is matched against
the fingerprints; a page that the probe found to be like the control's, only in its first 8 KB:
block pages are short, and a long page that is like the site's is the site's. The newest response
is described (``http_title``, ``http_body_digest``, ``http_body_length``) unless it has a 2xx status
and is like the control's: by the probe's own comparison of status, title and body, where one of a
trusted page may be missing. A fingerprint in what is not looked at shows no block page, so
``is_confirmed`` leaves out what OONI might see there.

*http_body_digest* ignores letter case, white space, digits, the letters a to f (so that no
hexadecimal id is left), the input's URL and host and what is left of an address that shows the
host alone: one block page served for many names has one digest. Empty bodies have none.
"""

import hashlib
import html
import re
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote_plus

from analysis import addresses, hostnames, measurement
from analysis.fingerprints import Fingerprints
from analysis.flags import Received, accessible_or_none, flags
from analysis.measurement import (
    Answer,
    Connect,
    Control,
    Exchange,
    Handshake,
    Measurement,
    TestKeys,
)
from analysis.schema import OBSERVATION

#: Column names, in the order of the tuples that :func:`observe` returns.
COLUMNS: Final = tuple(OBSERVATION.names)

#: Ways in which probes and test helpers say that a name does not exist. ``dns_lookup_error``
#: (any error) and ``dns_server_failure`` are not among them and are kept as they are.
NXDOMAIN_SPELLINGS: Final = frozenset(
    {
        "dns_nxdomain_error",  # ooniprobe 3 and later
        "dns_name_error",  # the older test helper, and the newer one in its voice
        "android_dns_cache_no_data",  # Android's resolver hides the reason behind its cache
    }
)
NXDOMAIN: Final = "dns_nxdomain_error"

#: Where a probe says that something failed, but not how.
UNNAMED_FAILURE: Final = "unknown_failure"

_SYSTEM_ENGINES = frozenset({None, "", "system", "getaddrinfo", "golang_net_resolver", "unknown"})
_UDP_ENGINES = frozenset({"udp"})

_TEXT_LIMIT = 512
_URL_LIMIT = 8192
_INPUT_LIMIT = 65_536
_CACHED = 128  # characters; what is longer is not worth a place in a cache
_LIST_LIMIT = 512  # items of one list of one measurement; real ones have some dozens
_EXCHANGE_LIMIT = 20
_LIKE_LIMIT = 8192  # bytes of a page like the control's that are looked at
_SAME_BODY = 0.7  # above this the probe itself calls two bodies the same

_ASN = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE | re.ASCII)
_START_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|\+00:00)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1)
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,500})", re.IGNORECASE)
_NOT_CONTENT = b"0123456789abcdef/% \t\r\n\f\v"
_SCHEMES = (b"https://", b"http://", b"https%3a%2f%2f", b"http%3a%2f%2f")


class Invalid(ValueError):
    """The measurement has no place in the store; ``str(error)`` is the ledger's word for why."""


def start_time(value: str | None) -> int:
    """Seconds since 1970 UTC of a ``measurement_start_time``.

    Raises:
        Invalid: it is missing or no time.
    """
    if not value:
        raise Invalid("no_start_time")
    try:
        if len(value) > 40 or not _START_TIME.fullmatch(value):
            raise ValueError
        since = datetime.fromisoformat(value[:19]) - _EPOCH
    except ValueError:
        raise Invalid("bad_start_time") from None
    return since.days * 86_400 + since.seconds


@lru_cache(maxsize=1 << 14)
def asn(value: str | int | None) -> int:
    """The number of an ASN written ``AS123`` or ``123``; 0 where there is none.

    Raises:
        Invalid: it is something else.
    """
    if value is None or value == "":
        return 0
    found = _ASN.fullmatch(str(value)) if len(str(value)) < 16 else None
    number = int(found[1]) if found else -1
    if not 0 <= number < 1 << 32:
        raise Invalid("bad_probe_asn")
    return number


def check(read: Measurement) -> tuple[int, str, int]:
    """Start time, country and ASN of a measurement of any test.

    Raises:
        Invalid: the first thing wrong: no_test_name, no_start_time, bad_start_time,
            bad_probe_cc, bad_probe_asn.
    """
    if not read.test_name:
        raise Invalid("no_test_name")
    started = start_time(read.measurement_start_time)
    country = read.probe_cc or ""
    if not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise Invalid("bad_probe_cc")
    return started, country.upper(), asn(read.probe_asn)


def check_web_connectivity(read: Measurement) -> None:
    """What a web_connectivity measurement needs besides.

    Raises:
        Invalid: no_input, input_too_long, report_id_too_long.
    """
    if not read.input:
        raise Invalid("no_input")
    if len(read.input) > _INPUT_LIMIT:
        raise Invalid("input_too_long")
    if read.report_id is not None and len(read.report_id) > _TEXT_LIMIT:
        raise Invalid("report_id_too_long")


def observe(
    read: Measurement,
    *,
    line_number: int,
    fingerprints: Fingerprints,
    received: Received | None = None,
) -> tuple[Any, ...]:
    """The observation of one web_connectivity measurement, in the order of :data:`COLUMNS`.

    List columns hold tuples in the order of their struct's fields. Bodies are read from the line
    that ``read`` was decoded from, which must not have changed.

    Raises:
        Invalid: see :func:`check` and :func:`check_web_connectivity`.
    """
    started, country, probe_asn = check(read)
    check_web_connectivity(read)
    url = read.input or ""
    keys = read.test_keys or _NO_KEYS
    control = _ControlView(keys)
    dns = _read_queries(keys, hostnames.normalise(url), fingerprints)
    known = _Known(keys, dns, control)
    page = _look(keys, url, dns.host, fingerprints)
    tcp = _tcp_items(keys, dns, known, control)
    names = (*dns.fingerprints, *page.names)
    flag = flags(
        read.test_keys,
        has_match=bool(names),
        is_confirmed=bool(names) and fingerprints.confirms(names, country),
        start_time=started,
        received=received,
        has_bad_body=page.is_unreadable,
    )
    return (
        read.report_id or "",
        url,
        started,
        line_number,
        country,
        probe_asn,
        _cut(read.probe_network_name),
        _lenient_asn(read.resolver_asn),
        _cut(read.software_name),
        _cut(read.software_version),
        _cut(read.test_version),
        _cut(read.annotations.platform) if read.annotations else None,
        dns.host,
        url[:8].lower() == "https://",
        bool(dns.host) and addresses.canonical(dns.host) is not None,
        *_dns_columns(dns.system, known),
        *_dns_columns(dns.udp, known),
        *control.dns_columns(known),
        control.tls_addresses(),
        tcp,
        _tls_items(keys, dns, known, control, tcp),
        *_redirect_columns(keys, dns),
        *_http_columns(keys, page, dns),
        *control.http_columns(),
        keys.body_proportion,
        keys.status_code_match,
        keys.headers_match,
        keys.title_match,
        _word(keys.dns_experiment_failure) if keys.dns_experiment_failure else None,
        _word(keys.http_experiment_failure) if keys.http_experiment_failure else None,
        _cut(keys.dns_consistency),
        _blocking(keys.blocking),
        accessible_or_none(keys),
        _int32(keys.x_blocking_flags),
        _int32(keys.x_dns_flags),
        _int32(keys.x_null_null_flags),
        flag.is_anomaly,
        None if fingerprints.is_empty else flag.is_confirmed,
        flag.is_failure,
    )


# --- words and numbers ------------------------------------------------------------------------


def _word(failure: str | bool) -> str | None:
    """A failure in one spelling; null where there was none."""
    if failure is False or failure == "":
        return None
    if failure is True:
        return UNNAMED_FAILURE
    return NXDOMAIN if failure in NXDOMAIN_SPELLINGS else failure[:_TEXT_LIMIT]


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT]


def _blocking(value: str | bool | None) -> str | None:
    if value is None or isinstance(value, str):
        return _cut(value)
    return "true" if value else "false"


def _int32(value: int | None) -> int | None:
    return value if value is not None and -(1 << 31) <= value < 1 << 31 else None


def _lenient_asn(value: str | int | None) -> int:
    try:
        return asn(value)
    except Invalid:
        return 0


def _depth(tags: list[str] | None) -> int | None:
    """How many redirects came before, where 0.5 says so."""
    if not tags or "depth=0" in tags:
        return 0 if tags else None
    for tag in tags:
        number = tag.removeprefix("depth=")
        if number is not tag and number.isascii() and number.isdigit() and len(number) < 4:
            return int(number)
    return None


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


class _Dns:
    """What one pass over ``queries`` found."""

    __slots__ = ("fingerprints", "has_later_failure", "host", "system", "udp")

    def __init__(self, host: str) -> None:
        self.host = host
        self.system = _Lookups()
        self.udp = _Lookups()
        self.fingerprints: list[str] = []
        self.has_later_failure = False


def _read_queries(keys: TestKeys, host: str, fingerprints: Fingerprints) -> _Dns:
    dns = _Dns(host)
    names = fingerprints.dns_names
    for query in keys.queries or ():
        tags, answers = query.tags, query.answers
        if names and answers:
            dns.fingerprints.extend(_listed(answers, names))
        if tags and "depth=0" not in tags and _depth(tags):
            dns.has_later_failure |= bool(query.failure)
            continue
        name = query.hostname
        if name != host and (name is None or hostnames.normalise(name) != host):
            continue
        engine = query.engine
        if engine in _SYSTEM_ENGINES:
            lookups = dns.system
        elif engine in _UDP_ENGINES:
            lookups = dns.udp
        else:
            continue
        if query.failure:
            lookups.failures.append((query.query_type, _word(query.failure)))
        else:
            lookups.has_answer = True
            for address, _ in _addressed(answers):
                lookups.addresses[address] = None
    return dns


def _addressed(answers: list[Answer] | None) -> Iterator[tuple[str, Answer]]:
    """The answers that are addresses."""
    for answer in (answers or ())[:_LIST_LIMIT]:
        text = answer.ipv4 or answer.ipv6
        address = addresses.canonical(text) if text else None
        if address is not None:
            yield address, answer


def _listed(answers: list[Answer], names: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Names of the fingerprints that the answers match."""
    for answer in answers[:_LIST_LIMIT]:
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


class _Known(dict[str, tuple[_Answer, str | None, bool | None]]):
    """What is known about an address: its answer item, its match, whether the resolver gave it.

    A dictionary that fills itself, because each address occurs in many places of a measurement.
    """

    __slots__ = ("_annotations", "_control", "_control_asns", "_keys", "_lookups")

    def __init__(self, keys: TestKeys, dns: _Dns, control: "_ControlView") -> None:
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
        answer = (address, number, addresses.special_kind(address), match)
        facts = self[address] = (answer, match, _is_among(address, self._lookups))
        return facts


def _is_among(address: str, lookups: _Lookups) -> bool | None:
    """Whether the resolver gave an address; null where nothing is left to compare with."""
    if lookups.addresses:
        return address in lookups.addresses
    return None if lookups.failure() is None else False


def _dns_columns(lookups: _Lookups, known: _Known) -> tuple[Any, ...]:
    answers = [known[address][0] for address in lookups.addresses]
    return lookups.failure(), answers[:_LIST_LIMIT]


# --- control ------------------------------------------------------------------------------------


class _ControlView:
    """What the control saw; empty where its reply says nothing."""

    __slots__ = ("_dns", "_http", "addresses", "asns", "failure", "has_reply", "tcp", "tls")

    def __init__(self, keys: TestKeys) -> None:
        control = keys.control
        self.failure = _word(keys.control_failure) if keys.control_failure else None
        self.has_reply = control is not None and self.failure is None and _says_something(control)
        reply = control if control is not None and self.has_reply else _NO_CONTROL
        canonical = addresses.canonical
        self._dns = reply.dns
        self._http = reply.http_request
        self.tcp = reply.tcp_connect or {}
        self.tls = reply.tls_handshake or {}
        self.addresses: dict[str, None] = {}
        self.asns: dict[str, int] = {}
        for text in ((self._dns and self._dns.addrs) or ())[:_LIST_LIMIT]:
            address = canonical(text)
            if address is not None:
                self.addresses[address] = None
        for text, info in (reply.ip_info or {}).items():
            number = info.asn if info is not None else None
            if number and 0 < number < 1 << 32:
                address = canonical(text)
                if address is not None:
                    self.asns[address] = number

    def dns_columns(self, known: _Known) -> tuple[Any, ...]:
        failure = self._dns.failure if self._dns else None
        answers = [known[address][0][:3] for address in self.addresses]
        return self.has_reply, self.failure, _word(failure) if failure else None, answers

    def tls_addresses(self) -> list[str]:
        good = dict.fromkeys(
            _parted(n)[0] for n, end in self.tls.items() if _control_result(end)[0]
        )
        return [address for address in good if address is not None][:_LIST_LIMIT]

    def http_columns(self) -> tuple[Any, ...]:
        http = self._http
        if http is None:
            return None, None, None, None
        status = http.status_code
        if status is None or not 100 <= status < 1000:
            return _word(http.failure) if http.failure else None, None, None, None
        length = http.body_length
        return (
            _word(http.failure) if http.failure else None,
            status,
            length if length is not None and 0 <= length < 1 << 62 else None,
            _tidy(http.title) if http.title is not None else None,
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


def _tcp_items(
    keys: TestKeys, dns: _Dns, known: _Known, control: _ControlView
) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, ...]] = []
    results, canonical = control.tcp, addresses.canonical
    for connect in (keys.tcp_connect or ())[:_LIST_LIMIT]:
        status, tags = connect.status, connect.tags
        is_success = status is not None and status.success is True and not status.failure
        failure = None if is_success else _connect_failure(connect)
        address = canonical(connect.ip) if connect.ip else None
        if not tags or "depth=0" not in tags:
            if _depth(tags):
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


def _may_be_first(address: str | None, dns: _Dns, control: _ControlView) -> bool:
    """Whether an attempt without a depth may have been made for the input's own host."""
    if address is None or not (dns.system.addresses or control.addresses):
        return True
    return address in dns.system.addresses or address in control.addresses


def _tls_items(
    keys: TestKeys,
    dns: _Dns,
    known: _Known,
    control: _ControlView,
    tcp: list[tuple[Any, ...]],
) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, ...]] = []
    results = control.tls
    for handshake in (keys.tls_handshakes or ())[:_LIST_LIMIT]:
        tags = handshake.tags
        if not tags or "depth=0" not in tags:
            if _depth(tags):
                dns.has_later_failure |= bool(handshake.failure)
                continue
            if not _is_for(handshake, dns.host):
                continue
        if handshake.no_tls_verify:
            continue
        failure = _word(handshake.failure) if handshake.failure else None
        name, endpoint = _cut(handshake.server_name), handshake.address
        address, spelt = _parted(endpoint) if endpoint else (None, "")
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
    return name == host or (bool(name) and hostnames.normalise(name or "") == host)


def _connect_failure(connect: Connect) -> str | None:
    status = connect.status
    if status is None:
        return UNNAMED_FAILURE
    if status.failure:
        return _word(status.failure)
    return UNNAMED_FAILURE if status.success is False else None


def _control_result(endpoint: measurement.ControlEndpoint | None) -> tuple[bool | None, str | None]:
    if endpoint is None:
        return None, None
    if endpoint.status is True and not endpoint.failure:
        return True, None
    failure = _word(endpoint.failure) if endpoint.failure else None
    status = endpoint.status
    return (failure is None if status is None and failure else status), failure


def _endpoint(address: str, port: int | str | None) -> str:
    """An endpoint as the control spells it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _parted(endpoint: str) -> tuple[str | None, str]:
    """The address of an endpoint, and the endpoint as the control spells it."""
    return _cached_parts(endpoint) if len(endpoint) <= _CACHED else _read_parts(endpoint)


def _read_parts(endpoint: str) -> tuple[str | None, str]:
    host, _, port = endpoint.rpartition(":")
    address = addresses.canonical(host[1:-1] if host[:1] == "[" else host)
    return address, "" if address is None else _endpoint(address, port)


_cached_parts = lru_cache(maxsize=1 << 15)(_read_parts)


def _common_to_all(tcp: list[tuple[Any, ...]], control: _ControlView) -> tuple[Any, ...]:
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


# --- redirects ----------------------------------------------------------------------------------


def _redirect_columns(keys: TestKeys, dns: _Dns) -> tuple[str | None, str | None, str | None]:
    """Layer, host and failure of the first failure at a redirect's target."""
    exchanges = (keys.requests or ())[:_LIST_LIMIT]
    newest = exchanges[0] if exchanges else None
    if newest is not None and newest.failure and _depth(newest.tags) is None:
        host = hostnames.normalise(_url(newest))
        failure = _word(newest.failure)
        if host and host != dns.host and failure:
            return _layer_of(failure, _url(newest)), host, failure
        return None, None, None
    if not dns.has_later_failure and not (newest is not None and newest.failure):
        return None, None, None
    return _first_later_failure(keys, exchanges)


def _layer_of(failure: str, url: str) -> str | None:
    """The layer that a failure's word names; null where an https page may have failed in two."""
    if failure.startswith("dns_"):
        return "dns"
    if failure.startswith("ssl_"):
        return "tls"
    unreached = ("connection_refused", "host_unreachable", "network_unreachable")
    if failure.startswith(unreached):
        return "tcp"
    return None if url[:8].lower() == "https://" else "http"


def _first_later_failure(
    keys: TestKeys, exchanges: Sequence[Exchange]
) -> tuple[str | None, str | None, str | None]:
    attempts: dict[tuple[int, int], list[tuple[str, str | None]]] = {}
    for query in keys.queries or ():
        if query.engine in _SYSTEM_ENGINES:
            failure = _word(query.failure) if query.failure else None
            _note(attempts, query.tags, 0, query.hostname or "", failure)
    for connect in keys.tcp_connect or ():
        _note(attempts, connect.tags, 1, "", _connect_failure(connect))
    for handshake in keys.tls_handshakes or ():
        failure = _word(handshake.failure) if handshake.failure else None
        _note(attempts, handshake.tags, 2, handshake.server_name or "", failure)
    for exchange in exchanges:
        failure = _word(exchange.failure) if exchange.failure else None
        _note(attempts, exchange.tags, 3, _url(exchange), failure)
    host = ""
    for depth, layer in sorted(attempts):
        results = attempts[depth, layer]
        host = hostnames.normalise(results[0][0]) or host
        if all(failure for _, failure in results):
            named = host or _host_at(attempts, depth)
            return ("dns", "tcp", "tls", "http")[layer], named or None, results[0][1]
    return None, None, None


def _note(
    attempts: dict[tuple[int, int], list[tuple[str, str | None]]],
    tags: list[str] | None,
    layer: int,
    host: str,
    failure: str | None,
) -> None:
    depth = _depth(tags)
    if depth and "fetch_body=false" not in (tags or ()):
        attempts.setdefault((depth, layer), []).append((host, failure))


def _host_at(attempts: dict[tuple[int, int], list[tuple[str, str | None]]], depth: int) -> str:
    """The host of a depth where no lookup named it: that of its handshakes or requests."""
    hosts = (attempts.get((depth, layer), [("", None)])[0][0] for layer in (2, 3))
    return next((name for name in map(hostnames.normalise, hosts) if name), "")


# --- http ---------------------------------------------------------------------------------------


class _Page:
    """What was seen of the responses."""

    __slots__ = ("digest", "host", "is_unreadable", "length", "names", "title", "was_matched")

    def __init__(self) -> None:
        self.host: str | None = None
        self.names: list[str] = []
        self.was_matched = False
        self.title: str | None = None
        self.digest: str | None = None
        self.length: int | None = None
        self.is_unreadable = False


def _url(exchange: Exchange) -> str:
    return (exchange.request.url or "") if exchange.request else ""


def _look(keys: TestKeys, url: str, host: str, fingerprints: Fingerprints) -> _Page:
    """Look at the responses that may be somebody else's, see the head of this module."""
    page = _Page()
    for index, exchange in enumerate((keys.requests or ())[:_EXCHANGE_LIMIT]):
        target = hostnames.normalise(_url(exchange))
        if index == 0:
            page.host = target or None
        response = exchange.response
        if response is None or not response.code:
            continue
        is_trusted = _is_trusted(exchange, target, host)
        is_like = index == 0 and _is_like_control(keys, response.code, is_trusted)
        is_described = index == 0 and not is_like
        if is_described or not (is_trusted or fingerprints.is_empty):
            _look_at_headers(page, response, is_trusted, fingerprints)
            limit = _LIKE_LIMIT if is_like else measurement.BODY_LIMIT
            body = _look_at_body(page, response, is_trusted, fingerprints, limit)
            if is_described:
                _describe(page, body, (url, _url(exchange), host, target))
    return page


def _is_trusted(exchange: Exchange, target: str, host: str) -> bool:
    """Whether the page came from the input's own site, proved by its certificate."""
    if exchange.failure or not target or _url(exchange)[:8].lower() != "https://":
        return False
    return target == host or (
        bool(host) and hostnames.registrable_domain(target) == hostnames.registrable_domain(host)
    )


def _is_like_control(keys: TestKeys, status: int, is_trusted: bool) -> bool:
    """Whether the newest page needs no description: it is a page, and what the control got.

    The probe must have compared them and found no difference; on a trusted page it is enough
    that it found none.
    """
    if not 200 <= status < 300 or keys.title_match is False or keys.status_code_match is False:
        return False
    if is_trusted:
        return True
    share = keys.body_proportion
    return keys.status_code_match is True and share is not None and share > _SAME_BODY


def _look_at_headers(
    page: _Page, response: measurement.HttpResponse, is_trusted: bool, fingerprints: Fingerprints
) -> None:
    if is_trusted or not fingerprints.header_names:
        return
    values = measurement.header_values(response.headers, fingerprints.header_names)
    for name, value in values.items():
        page.names.extend(fingerprints.match(f"header.{name}", value))


def _look_at_body(
    page: _Page,
    response: measurement.HttpResponse,
    is_trusted: bool,
    fingerprints: Fingerprints,
    limit: int,
) -> bytes | None:
    try:
        body = measurement.body_bytes(response.body, limit)
    except Base64Error:
        page.is_unreadable = True
        return None
    if not is_trusted and not fingerprints.is_empty:
        page.was_matched = True
        if body:
            page.names.extend(fingerprints.match("body", body))
    return body


def _describe(page: _Page, body: bytes | None, own_words: tuple[str, str, str, str]) -> None:
    if body is None:
        return
    page.length = len(body)
    page.title = title_of(body)
    page.digest = body_digest(body, own_words)


def title_of(body: bytes) -> str | None:
    """The text of the first title element; null where there is none."""
    found = _TITLE.search(body)
    if found is None:
        return None
    return _tidy(found[1].decode("utf-8", "replace"))


def _tidy(title: str) -> str:
    return _tidied(title[: 2 * _TEXT_LIMIT])


@lru_cache(maxsize=1 << 12)
def _tidied(title: str) -> str:
    return " ".join(html.unescape(title).split())[:_TEXT_LIMIT]


def body_digest(body: bytes, own_words: Iterable[str]) -> str | None:
    """A digest that is the same for one page served in the place of many.

    Args:
        body: the page.
        own_words: what differs with the site that was asked for: its URL and host name.

    Returns:
        32 hexadecimal digits, or None where nothing is left of the page.
    """
    content = body.lower()
    # The longest first, so that a host name does not break the URL it stands in.
    for word in sorted({w.lower() for w in own_words if w}, key=len, reverse=True):
        encoded = word.encode()
        for spelling in {encoded: None, quote_plus(word).lower().encode(): None}:
            content = content.replace(spelling, b"")
    # A page may show the site's front page where another one was asked for.
    for scheme in _SCHEMES:
        content = content.replace(scheme, b"")
    content = content.translate(None, _NOT_CONTENT)
    return hashlib.sha256(content).hexdigest()[:32] if content else None


def _http_columns(keys: TestKeys, page: _Page, dns: _Dns) -> tuple[Any, ...]:
    requests = keys.requests or ()
    names = sorted(set(page.names)) if page.was_matched else None
    if not requests:
        failure = keys.http_experiment_failure
        return (
            _word(failure) if failure else None,
            None,
            None,
            None,
            0,
            None,
            None,
            None,
            None,
            names,
        )
    newest = requests[0]
    status = newest.response.code if newest.response else None
    return (
        _word(newest.failure) if newest.failure else None,
        _url(newest)[:_URL_LIMIT] or None,
        page.host,
        status if status is not None and 100 <= status < 1000 else None,
        min(len(requests), 65_535),
        _is_answer(requests[-1].address, dns),
        page.length,
        page.title,
        page.digest,
        names,
    )


def _is_answer(endpoint: str | None, dns: _Dns) -> bool | None:
    """Whether an endpoint's address is one that the system resolver gave; null: not known."""
    address = _parted(endpoint)[0] if endpoint else None
    if address is None or address == dns.host:
        return None
    return _is_among(address, dns.system)


_NO_KEYS: Final = TestKeys()
_NO_CONTROL: Final = Control()
