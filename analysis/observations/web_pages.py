"""What came back over HTTP: pages described so that one served for many sites is recognised."""

import hashlib
import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote_plus

import msgspec
from msgspec import Raw, Struct

from analysis import hosts
from analysis.observations.attempts import QueryResults, is_among
from analysis.observations.control import split_endpoint
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messages import Exchange, TestKeys, clean
from analysis.observations.values import request_url, tidy_title

#: At most so many bytes of a body are looked at; block pages are small.
BODY_LIMIT = 1 << 20


class _Base64(Struct, gc=False):
    format: str | None = None
    data: Raw = Raw(b"null")


_decode_text = msgspec.json.Decoder(str).decode
_decode_base64 = msgspec.json.Decoder(_Base64).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def body_bytes(raw: Raw, limit: int = BODY_LIMIT) -> bytes | None:
    """The first ``limit`` bytes of a response body; None where there is no body.

    A body is a string, or ``{"format": "base64", "data": …}`` where it is not text.

    Raises:
        binascii.Error: the base64 cannot be read.
    """
    view = memoryview(raw)
    kind = bytes(view[:1])
    if kind == b'"':
        return _first_bytes(view, limit)
    if kind == b"{":
        return _base64_bytes(view, limit)
    return None


def _first_bytes(view: memoryview, limit: int) -> bytes:
    """Decode a JSON string without decoding more than ``limit`` bytes of it."""
    if len(view) <= limit:
        text = _text(view)
        return b"" if text is None else text.encode()
    # The cut may fall into a letter or an escape of up to 12 bytes (a surrogate pair).
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
    # Escaped slashes make the text longer, never shorter, so that cutting it early is safe.
    encoded = _first_bytes(data, encoded_limit)
    if len(data) > encoded_limit:
        encoded = encoded[: len(encoded) // 4 * 4]
    return a2b_base64(encoded)


def header_values(raw: Raw, names: frozenset[str]) -> dict[str, bytes]:
    """The headers with the given lower-case names; a value may be a string or base64."""
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
_LIKE_LIMIT = 8192  # bytes of a page like the control's that are looked at
_CLASSIC = "classic"  # 0.5: follows from what the system resolver gave
_SAME_BODY = 0.7  # above this the probe itself calls two bodies the same
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,500})", re.IGNORECASE)
_NOT_CONTENT = b"0123456789abcdef/% \t\r\n\f\v"
_SCHEMES = (b"https://", b"http://", b"https%3a%2f%2f", b"http%3a%2f%2f")


@dataclass(slots=True)
class Page:
    """What was seen of the responses.

    ``names``: of the fingerprints that match, where any body was matched (``was_matched``).
    ``host, title, digest, length``: of the newest, as far as it was described. ``is_unreadable``:
    a body that should be base64 is not.
    """

    host: str | None = None
    names: set[str] = field(default_factory=set)
    was_matched: bool = False
    title: str | None = None
    digest: str | None = None
    length: int | None = None
    is_unreadable: bool = False


def read_pages(keys: TestKeys, url: str, host: str, fingerprints: Fingerprints) -> Page:
    """Look at the responses that may be somebody else's, see the head of ``observation``."""
    page = Page()
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
        if not (is_described or is_matched):
            continue
        if is_matched:
            headers = header_values(response.headers, fingerprints.header_names)
            for name, value in headers.items():
                page.names.update(fingerprints.match(f"header.{name}", value))
        try:
            body = body_bytes(response.body, _LIKE_LIMIT if is_like else BODY_LIMIT)
        except Base64Error:
            page.is_unreadable = True
            continue
        if is_matched:
            page.was_matched = True
            page.names.update(fingerprints.match("body", body or b""))
        if is_described and body is not None:
            page.length = len(body)
            page.title = title_of(body)
            page.digest = body_digest(body, (url, request_url(exchange), host, target))
    return page


def _is_trusted(exchange: Exchange, target: str, host: str) -> bool:
    """Whether the page came from the input's own site, proved by its certificate."""
    if exchange.failure or not target or request_url(exchange)[:8].lower() != "https://":
        return False
    return target == host or (
        bool(host) and hosts.registrable_domain(target) == hosts.registrable_domain(host)
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


def title_of(body: bytes) -> str | None:
    """The text of the first title element; null where there is none."""
    title = _TITLE.search(body)
    return None if title is None else tidy_title(title[1].decode("utf-8", "replace"))


def body_digest(body: bytes, own_names: Iterable[str]) -> str | None:
    """A digest that is the same for one page served in the place of many.

    Args:
        body: the page.
        own_names: what differs with the site that was asked for: its URL and host name.

    Returns:
        32 hexadecimal digits, or None where nothing is left of the page.
    """
    content = body.lower()
    # The longest first, so that a host name does not break the URL it stands in.
    for name in sorted({one.lower() for one in own_names if one}, key=len, reverse=True):
        for spelling in {name.encode(): None, quote_plus(name).lower().encode(): None}:
            content = content.replace(spelling, b"")
    # A page may show the site's front page where another one was asked for.
    for scheme in _SCHEMES:
        content = content.replace(scheme, b"")
    content = content.translate(None, _NOT_CONTENT)
    return hashlib.sha256(content).hexdigest()[:32] if content else None


def went_to_answer(keys: TestKeys, dns: QueryResults) -> bool | None:
    """Whether the first request went to an address that the system resolver gave; null: not known.

    A request need not say where it went (``address`` is optional in df-001). Then its connection
    says it, else the tag of what follows from the system resolver. Before 0.5 there are no tags.
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
    # early probes of 0.5 did not know the tag
    is_tagged = any(_CLASSIC in (one.tags or ()) for one in keys.tcp_connect or ())
    return False if is_tagged else None


def _address_of(exchange: Exchange, keys: TestKeys) -> str | None:
    """The address that a request was sent to, by itself or by its connection."""
    if exchange.address:
        return split_endpoint(exchange.address)[0]
    number = exchange.transaction_id
    connects = (keys.tcp_connect or ()) if number else ()
    ips = {one.ip for one in connects if one.transaction_id == number and one.ip}
    return hosts.canonical(ips.pop()) if len(ips) == 1 else None
