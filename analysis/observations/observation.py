r"""One measurement → one :class:`schema.Observation`.

The rest of this text defines the columns for which OONI's versions differ, or whose meaning the
name alone does not give.

*System resolver.* Engines ``system``, ``getaddrinfo``, ``golang_net_resolver``, ``unknown`` and,
before 0.4, none named. Only lookups of the input's own host name count (in 0.5, only those tagged
``depth=0``). Engine ``udp`` fills the ``udp_*`` columns. DNS over HTTPS is left out, because it
says nothing about the network's resolver.

*dns_failure* is null if any system lookup answered, even with a CNAME alone or with an address
that was scrubbed, where ``dns_answers`` is empty. If all failed, it is the failure of the first
lookup that was not for AAAA, else of the first.

*Failures* keep OONI's names, cut at 512 characters. Spellings of "the name does not exist"
become ``dns_nxdomain_error``, see :data:`messages.NXDOMAIN_SPELLINGS`.

*match* compares an address with the control's answers for the same name: ``address``, ``asn``,
``none``; null where the control has no address. The ASN of an address is taken from the control,
else from the probe's annotation of any answer in the same measurement.

*tcp, tls.* 0.5: attempts tagged ``depth=0``. 0.4 has no such tags: TCP attempts at addresses
that the input's host resolved to, for the probe or the control (all, if neither has any), and
handshakes for the input's host name. 0.4 does not record the address of a handshake: ``address`` is
null, and ``match``, ``is_answer`` and ``control_ok`` are filled only where they are the same for
every address. A handshake that did not verify the certificate is left out.
``is_answer`` and ``http_first_is_answer`` are null where the system resolver's lookup is missing,
or answered without an address that can be compared. Where a request of 0.5 has no address, the
address of its connection is used (``transaction_id``), else the tag ``classic``, which marks
requests that use an answer of the system resolver; after a failed lookup no request has it.

*control.* ``has_control`` is false where there is no reply, ``control_failure`` is set, or the
reply is made of empty defaults; then every control column is null or empty. A status code of -1
or 0 is null. ``control_tls_addresses`` are taken from the control's handshakes, with its own
answers and with the addresses that the probe sent it.

*redirect_\*.* In 0.5, the lowest depth > 0 where all attempts of a layer failed, and the first
such layer; attempts that fetch no page (``fetch_body=false``, port 443 beside a plain target) are
left out. In 0.4, the newest request, if it failed at a host other than the input's; the layer is
then the one that the failure names, null for an https page that was cut or stalled.

*Bodies* are costly to search, so only pages that the site itself may not have sent are searched.
A response is trusted if it came over HTTPS without failure from the registrable domain of the
input (the certificate was verified). Every other response of the measurement is matched against
the fingerprints. If the probe found a page to be like the control's, only its first 8 KB are
searched: block pages are short, and a long page that is like the site's is the site's. The newest
response is described (``http_title``, ``http_body_digest``, ``http_body_length``) unless it has a
2xx status and is like the control's by the probe's own comparison of status, title and body; for a
trusted page, comparisons may be missing. ``is_confirmed`` does not count fingerprints in pages
that are not searched, although OONI might.

*http_body_digest* ignores letter case, white space, digits, the letters a to f (so that no
hexadecimal id is left), the input's URL and host, and the scheme before a bare host name. So a
block page that is served for many names has one digest. An empty body has none.
"""

import hashlib
import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec
from msgspec import UNSET, Raw, Struct

from analysis import hosts
from analysis.observations.attempts import (
    SYSTEM_ENGINES,
    ControlView,
    KnownAddresses,
    QueryResults,
    connect_failure,
    is_among,
    list_connects,
    list_handshakes,
    list_reads,
    own_handshakes,
    read_queries,
    split_endpoint,
)
from analysis.observations.certificates import find_certificate
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.flags import Received, compute_flags
from analysis.observations.messages import (
    LIST_LIMIT,
    TEXT_LIMIT,
    Annotations,
    Connect,
    Exchange,
    Handshake,
    Measurement,
    Query,
    TestKeys,
    Unreadable,
    blocking_text,
    clean,
    clip_text,
    int32_or_none,
    normalise_failure,
    redirect_depth,
    request_url,
    status_or_none,
    tidy_title,
)
from analysis.observations.schema import Observation

#: Bytes that are searched in one body, and in all bodies of a measurement together. Block pages are
#: small, and a page that is full of patterns takes 180 ns a byte to match.
BODY_LIMIT, BODIES_LIMIT = 1 << 20, 4 << 20


class _Base64(Struct, gc=False):
    format: str | None = None
    data: Raw = Raw(b"null")


_decode_text = msgspec.json.Decoder(str).decode
_decode_base64 = msgspec.json.Decoder(_Base64).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def body_bytes(raw: Raw, limit: int = BODY_LIMIT) -> bytes | None:
    """Return the first ``limit`` bytes of a response body, or None if there is no body.

    A body is a JSON string, or ``{"format": "base64", "data": …}`` if it is not text.

    Raises:
        binascii.Error: the base64 is invalid.
    """
    view = memoryview(raw)
    kind = bytes(view[:1])
    if kind == b'"':
        return _first_bytes(view, limit)
    if kind == b"{":
        return _base64_bytes(view, limit)
    return None


def _first_bytes(view: memoryview, limit: int) -> bytes:
    """Return the first ``limit`` bytes of a JSON string, without decoding the rest."""
    if len(view) <= limit:
        text = _text(view)
        return b"" if text is None else text.encode()
    # The cut may split a character, or an escape of up to 12 bytes (a surrogate pair).
    for end in range(limit, limit - 13, -1):
        text = _text(bytes(view[:end]) + b'"')
        if text is not None:
            return text.encode()
    return b""


def _text(string: bytes | memoryview) -> str | None:
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return _decode_text(string)
    try:
        text = json.loads(str(string, "utf-8", "replace"))
    except ValueError:
        return None
    return clean(text)


def _base64_bytes(view: memoryview, limit: int) -> bytes | None:
    try:
        wrapped = _decode_base64(view)
    except msgspec.DecodeError:
        return None
    data = memoryview(wrapped.data)
    if wrapped.format != "base64" or bytes(data[:1]) != b'"':
        return None
    encoded_limit = limit // 3 * 4
    # Escaped slashes only make the text longer, so cutting before decoding is safe.
    encoded = _first_bytes(data, encoded_limit)
    if len(data) > encoded_limit:
        encoded = encoded[: len(encoded) // 4 * 4]
    return a2b_base64(encoded)


def header_values(raw: Raw, names: frozenset[str]) -> dict[str, bytes]:
    """Return the headers with these lower-case names; a value may be a string or base64."""
    if not names or bytes(memoryview(raw)[:1]) != b"{":
        return {}
    try:
        headers = _decode_object(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    values = {}
    for name, value in headers.items():
        if (lower := name.lower()) in names:
            with suppress(Base64Error):
                values[lower] = body_bytes(value) or b""
    return values


_EXCHANGE_LIMIT = 20
_LIKE_LIMIT = 8192  # bytes that are searched in a page like the control's
_CLASSIC = "classic"  # 0.5: the attempt uses an answer of the system resolver
_SAME_BODY = 0.7  # above this share the probe calls two bodies the same
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,500})", re.IGNORECASE)
_NOT_CONTENT = b"0123456789abcdef/% \t\r\n\f\v"
_SCHEMES = (b"https://", b"http://", b"https%3a%2f%2f", b"http%3a%2f%2f")


@dataclass(slots=True)
class Page:
    """The pages of a measurement.

    Attributes:
        host: of the newest request.
        names: of the fingerprints that match any response.
        was_matched: whether any body was searched for fingerprints.
        title: of the newest response, as are ``digest`` and ``length``; null if not described.
        is_unreadable: a body that should be base64 is not.
    """

    host: str | None = None
    names: set[str] = field(default_factory=set)
    was_matched: bool = False
    title: str | None = None
    digest: str | None = None
    length: int | None = None
    is_unreadable: bool = False


def read_pages(keys: TestKeys, url: str, host: str, fingerprints: Fingerprints) -> Page:
    """Describe and match the responses that the site itself may not have sent."""
    page = Page()
    remaining = BODIES_LIMIT
    for index, exchange in enumerate((keys.requests or ())[:_EXCHANGE_LIMIT]):
        target = hosts.normalise(request_url(exchange))
        if index == 0:
            page.host = target or None
        response = exchange.response
        if response is None or not response.code:
            continue
        is_trusted = _is_trusted(exchange, target, host)
        is_matched = not (is_trusted or fingerprints.is_empty)
        is_like = index == 0 and _is_like_control(keys, response.code, is_trusted)
        is_described = index == 0 and not is_like
        if not (is_described or is_matched) or remaining <= 0:
            continue
        if is_matched:
            headers = header_values(response.headers, fingerprints.header_names)
            for name, value in headers.items():
                page.names.update(fingerprints.match(f"header.{name}", value))
        try:
            body = body_bytes(response.body, min(remaining, _LIKE_LIMIT if is_like else BODY_LIMIT))
        except Base64Error:
            page.is_unreadable = True
            continue
        remaining -= len(body or b"")
        if is_matched:
            page.was_matched = True
            page.names.update(fingerprints.match("body", body or b""))
        if is_described and body is not None:
            page.length = len(body)
            page.title = title_of(body)
            page.digest = body_digest(body, (url, request_url(exchange), host, target))
    return page


def _is_trusted(exchange: Exchange, target: str, host: str) -> bool:
    """Test whether a certificate proves that the page came from the input's own site."""
    if exchange.failure or not target or request_url(exchange)[:8].lower() != "https://":
        return False
    return target == host or (
        bool(host) and hosts.registrable_domain(target) == hosts.registrable_domain(host)
    )


def _is_like_control(keys: TestKeys, status: int, is_trusted: bool) -> bool:
    """Test whether the newest response is a page like the control's.

    The probe must have compared them and found no difference. A trusted page may be uncompared.
    """
    if not 200 <= status < 300 or keys.title_match is False or keys.status_code_match is False:
        return False
    if is_trusted:
        return True
    share = keys.body_proportion
    return keys.status_code_match is True and share is not None and share > _SAME_BODY


def title_of(body: bytes) -> str | None:
    """Return the text of the first title element, or None if there is none."""
    title = _TITLE.search(body)
    return None if title is None else tidy_title(title[1].decode("utf-8", "replace"))


def body_digest(body: bytes, own_names: Iterable[str]) -> str | None:
    """Return a digest that a block page keeps whichever site it replaces.

    Args:
        body: the page.
        own_names: URLs and host names of the site that was requested; they are ignored.

    Returns:
        32 hexadecimal digits, or None if only ignored characters are in the page.
    """
    content = body.lower()
    # The longest first, so that removing a host name does not break a URL that contains it.
    for name in sorted({name.lower() for name in own_names if name}, key=len, reverse=True):
        for spelling in {name.encode(): None, quote_plus(name).lower().encode(): None}:
            content = content.replace(spelling, b"")
    # A block page may link the site's front page although another page was requested.
    for scheme in _SCHEMES:
        content = content.replace(scheme, b"")
    content = content.translate(None, _NOT_CONTENT)
    return hashlib.sha256(content).hexdigest()[:32] if content else None


def went_to_answer(keys: TestKeys, dns: QueryResults) -> bool | None:
    """Test whether the first request went to an address that the system resolver returned.

    None if unknown. A request may lack its ``address`` (optional in df-001). Then the address of
    its connection is used, else its tag. Before 0.5 there are no tags.
    """
    if not keys.requests or hosts.canonical(dns.host) is not None:
        return None
    exchange = keys.requests[-1]  # OONI lists the newest first
    address = _address_of(exchange, keys)
    if address is not None:
        return is_among(address, dns.system)
    if not exchange.tags:
        return None
    if not dns.system.addresses:
        return None if dns.system.failure() is None else False
    if _CLASSIC in exchange.tags:
        return True
    # early versions of 0.5 do not write the tag
    is_tagged = any(_CLASSIC in (connect.tags or ()) for connect in keys.tcp_connect or ())
    return False if is_tagged else None


def _address_of(exchange: Exchange, keys: TestKeys) -> str | None:
    """Return the address of a request, or else of its connection."""
    if exchange.address:
        return split_endpoint(exchange.address)[0]
    number = exchange.transaction_id
    connects = (keys.tcp_connect or ()) if number else ()
    ips = {item.ip for item in connects if item.transaction_id == number and item.ip}
    return hosts.canonical(ips.pop()) if len(ips) == 1 else None


#: The layers in the order in which a probe reaches a target.
_LAYERS = ("dns", "tcp", "tls", "http")
_TLS, _HTTP = 2, 3
_Attempt = Query | Connect | Handshake | Exchange
#: Attempts by depth (the number of redirects before them) and layer, in their order.
_Redirected = dict[tuple[int, int], list[_Attempt]]

#: The first failure at a redirect's target: layer, host, failure; all null if there is none.
RedirectFailure = tuple[str | None, str | None, str | None]
_NO_FAILURE: Final = (None, None, None)


def find_redirect_failure(keys: TestKeys, host: str) -> RedirectFailure:
    """Return the first failure at a redirect's target; ``host`` is the input's."""
    exchanges = (keys.requests or [])[:LIST_LIMIT]
    newest = exchanges[0] if exchanges else Exchange()
    failure = normalise_failure(newest.failure)
    if failure and redirect_depth(newest.tags) is None:
        return _untagged_failure(request_url(newest), failure, host)
    attempts = _group_attempts(keys, exchanges)
    if failure is None and not _has_failure_before_http(attempts):
        return _NO_FAILURE
    return _first_failure(_drop_side_attempts(attempts))


def _untagged_failure(url: str, failure: str, host: str) -> RedirectFailure:
    """Return the failure of the newest request of 0.4 if it left the input's host."""
    target = hosts.normalise(url)
    if not target or target == host:
        return _NO_FAILURE
    return _layer_of(failure, url), target, failure


def _group_attempts(keys: TestKeys, exchanges: list[Exchange]) -> _Redirected:
    """Group the attempts after a redirect by depth and layer, in their order."""
    attempts: _Redirected = {}
    layers: tuple[Sequence[_Attempt] | None, ...] = (
        keys.queries,
        keys.tcp_connect,
        keys.tls_handshakes,
        exchanges,
    )
    for layer, items in enumerate(layers):
        for item in items or ():
            depth = redirect_depth(item.tags)
            if depth:
                attempts.setdefault((depth, layer), []).append(item)
    return attempts


def _has_failure_before_http(attempts: _Redirected) -> bool:
    """Test whether any lookup, connection or handshake failed."""
    return any(
        _failure_of(attempt) is not None
        for (_, layer), items in attempts.items()
        if layer < _HTTP
        for attempt in items
    )


def _drop_side_attempts(attempts: _Redirected) -> _Redirected:
    """Leave out lookups by other resolvers and attempts that fetch no page."""
    main = {
        key: [item for item in items if _leads_to_page(item)] for key, items in attempts.items()
    }
    return {key: items for key, items in main.items() if items}


def _leads_to_page(attempt: _Attempt) -> bool:
    is_other = isinstance(attempt, Query) and attempt.engine not in SYSTEM_ENGINES
    return not is_other and "fetch_body=false" not in (attempt.tags or ())


def _layer_of(failure: str, url: str) -> str | None:
    """Return the layer that a failure names; None if an https page may have failed in two."""
    if failure.startswith("dns_"):
        return "dns"
    if failure.startswith("ssl_"):
        return "tls"
    tcp_failures = ("connection_refused", "host_unreachable", "network_unreachable")
    if failure.startswith(tcp_failures):
        return "tcp"
    return None if url[:8].lower() == "https://" else "http"


def _first_failure(attempts: _Redirected) -> RedirectFailure:
    """Return the first layer, at the lowest depth, of which all attempts failed."""
    host = ""
    for depth, layer in sorted(attempts):
        items = attempts[depth, layer]
        host = hosts.normalise(_host_of(items[0])) or host
        failures = [_failure_of(attempt) for attempt in items]
        if all(failures):
            # If no lookup names the host, later handshakes or requests do.
            keys = ((depth, later) for later in (_TLS, _HTTP))
            later_attempts = (attempts[key][0] for key in keys if key in attempts)
            names = (host, *(hosts.normalise(_host_of(attempt)) for attempt in later_attempts))
            return _LAYERS[layer], next(filter(None, names), None), failures[0]
    return _NO_FAILURE


def _failure_of(attempt: _Attempt) -> str | None:
    if isinstance(attempt, Connect):
        return connect_failure(attempt)
    return normalise_failure(attempt.failure)


def _host_of(attempt: _Attempt) -> str:
    if isinstance(attempt, Query):
        return attempt.hostname or ""
    if isinstance(attempt, Handshake):
        return attempt.server_name or ""
    return request_url(attempt) if isinstance(attempt, Exchange) else ""


_INPUT_LIMIT = 65_536
_URL_LIMIT = 8192
_NO_KEYS: Final = TestKeys()
_NO_ANNOTATIONS: Final = Annotations()
_NO_REQUEST: Final = Exchange()

_ASN = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE | re.ASCII)
_START_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|\+00:00)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1)


def parse_start_time(value: str | None) -> int:
    """Return a ``measurement_start_time`` as seconds since 1970 UTC.

    Raises:
        Unreadable: it is missing or not a time.
    """
    if not value:
        raise Unreadable("invalid:no_start_time")
    try:
        if len(value) > 40 or not _START_TIME.fullmatch(value):
            raise ValueError
        since = datetime.fromisoformat(value[:19]) - _EPOCH
    except ValueError:
        raise Unreadable("invalid:bad_start_time") from None
    return since.days * 86_400 + since.seconds


def _time_or_none(value: str | None) -> int | None:
    with suppress(Unreadable):
        return parse_start_time(value)
    return None


@lru_cache(maxsize=1 << 14)
def parse_asn(value: str | int | None) -> int | None:
    """Return the number of an ASN written ``AS123`` or ``123``; 0 if empty, None if malformed."""
    if value is None or value == "":
        return 0
    spelt = _ASN.fullmatch(str(value)) if len(str(value)) < 16 else None
    number = int(spelt[1]) if spelt else -1
    return number if 0 <= number < 1 << 32 else None


def read_run_link(value: str | int | None) -> int | None:
    """Return the number of an OONI Run link, or None if the probe followed or named none."""
    if isinstance(value, str):  # probes write text; other software may write a number
        is_number = value.isascii() and value.isdecimal() and len(value) < 19
        value = int(value) if is_number else None
    return value if value is not None and 0 <= value < 1 << 63 else None


def check(measurement: Measurement) -> int:
    """Check the fields that a measurement of any test needs.

    Returns:
        Its start, in seconds since 1970 UTC.

    Raises:
        Unreadable: the first error: invalid:no_test_name, no_start_time, bad_start_time,
            bad_probe_cc, bad_probe_asn, report_id_too_long.
    """
    if not measurement.test_name:
        raise Unreadable("invalid:no_test_name")
    started = parse_start_time(measurement.measurement_start_time)
    country = measurement.probe_cc or ""
    if not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise Unreadable("invalid:bad_probe_cc")
    if parse_asn(measurement.probe_asn) is None:
        raise Unreadable("invalid:bad_probe_asn")
    if len(measurement.report_id or "") > TEXT_LIMIT:
        raise Unreadable("invalid:report_id_too_long")
    return started


def observe(
    measurement: Measurement,
    *,
    line_number: int,
    keys_digest: int = 0,
    fingerprints: Fingerprints,
    received: Received | None = None,
    fields_met: list[str] | None = None,
) -> tuple[Any, ...]:
    """Return the ``schema.Observation`` of one web_connectivity measurement.

    Bodies are slices of the line that was decoded, which must not have changed since.

    Raises:
        Unreadable: see :func:`check`; or no_input, input_too_long.
    """
    probe = probe_columns(measurement, line_number, keys_digest)
    url = measurement.input
    if not url:
        raise Unreadable("invalid:no_input")
    if len(url) > _INPUT_LIMIT:
        raise Unreadable("invalid:input_too_long")
    keys = measurement.test_keys or _NO_KEYS
    control = ControlView(keys)
    dns = read_queries(keys, hosts.normalise(url), fingerprints)
    addresses = KnownAddresses(keys, dns, control)
    page = read_pages(keys, url, dns.host, fingerprints)
    tcp = list_connects(keys, dns, addresses, control)
    certificate = find_certificate(own_handshakes(keys, dns.host))
    redirect_layer, redirect_host, redirect_failure = find_redirect_failure(keys, dns.host)
    requests = keys.requests or ()
    newest = requests[0] if requests else _NO_REQUEST
    control_status, control_length, control_title = control.page()
    names = (*dns.fingerprints, *page.names)
    flags = compute_flags(
        measurement.test_keys,
        has_match=bool(names),
        is_confirmed=bool(names) and fingerprints.confirms(names, probe["probe_cc"]),
        start_time=probe["measurement_start_time"],
        received=received,
        has_bad_body=page.is_unreadable,
    )
    return Observation(
        report_id=measurement.report_id or "",
        input=url,
        **probe,
        domain=dns.host,
        is_https=url[:8].lower() == "https://",
        is_ip_input=bool(dns.host) and hosts.canonical(dns.host) is not None,
        dns_failure=dns.system.failure(),
        getaddrinfo_error=int32_or_none(dns.getaddrinfo_error),
        dns_answers=addresses.answers(dns.system.addresses),
        udp_failure=dns.udp.failure(),
        udp_answers=addresses.answers(dns.udp.addresses),
        has_control=control.has_reply,
        control_failure=control.failure,
        control_dns_failure=control.dns_failure,
        control_answers=[answer[:3] for answer in addresses.answers(control.addresses)],
        control_tls_addresses=control.tls_addresses(),
        tcp=tcp,
        tls=list_handshakes(keys, dns, addresses, control, tcp),
        certificate_issuer=certificate.issuer,
        certificate_names=list(certificate.names) or None,
        reads=list_reads(keys),
        redirect_layer=redirect_layer,
        redirect_host=redirect_host,
        redirect_failure=redirect_failure,
        http_failure=normalise_failure(
            newest.failure if requests else keys.http_experiment_failure
        ),
        http_url=request_url(newest)[:_URL_LIMIT] or None,
        http_host=page.host,
        http_status=status_or_none(newest.response.code) if newest.response else None,
        http_request_count=min(len(requests), 65_535),
        http_first_is_answer=went_to_answer(keys, dns),
        http_body_length=page.length,
        http_title=page.title,
        http_body_digest=page.digest,
        http_fingerprints=sorted(page.names) if page.was_matched else None,
        control_http_failure=normalise_failure(control.http.failure),
        control_http_status=control_status,
        control_http_body_length=control_length,
        control_http_title=control_title,
        body_proportion=keys.body_proportion,
        status_code_match=keys.status_code_match,
        headers_match=keys.headers_match,
        title_match=keys.title_match,
        dns_experiment_failure=normalise_failure(keys.dns_experiment_failure),
        http_experiment_failure=normalise_failure(keys.http_experiment_failure),
        dns_consistency=clip_text(keys.dns_consistency),
        blocking=blocking_text(keys.blocking),
        accessible=None if keys.accessible is UNSET else keys.accessible,
        x_blocking_flags=int32_or_none(keys.x_blocking_flags),
        x_dns_flags=int32_or_none(keys.x_dns_flags),
        x_null_null_flags=int32_or_none(keys.x_null_null_flags),
        is_anomaly=flags.is_anomaly,
        is_confirmed=None if fingerprints.is_empty else flags.is_confirmed,
        is_failure=flags.is_failure,
        fields_met=fields_met,
    )


def probe_columns(measurement: Measurement, line_number: int, keys_digest: int) -> dict[str, Any]:
    """Return the columns of ``schema.PROBE``.

    Raises:
        Unreadable: see :func:`check`.
    """
    start_time = check(measurement)
    annotations = measurement.annotations or _NO_ANNOTATIONS
    return {
        "measurement_start_time": start_time,
        "test_start_time": _time_or_none(measurement.test_start_time),
        "line_number": line_number,
        "probe_cc": (measurement.probe_cc or "").upper(),
        "probe_asn": parse_asn(measurement.probe_asn),
        "probe_network_name": clip_text(measurement.probe_network_name),
        "resolver_asn": parse_asn(measurement.resolver_asn) or 0,
        "software_name": clip_text(measurement.software_name),
        "software_version": clip_text(measurement.software_version),
        "test_version": clip_text(measurement.test_version),
        "platform": clip_text(annotations.platform),
        "run_link_id": read_run_link(annotations.ooni_run_link_id),
        "probe_id": clip_text(measurement.probe_id),
        "test_keys_digest": keys_digest,
    }
