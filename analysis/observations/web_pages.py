"""What came back over HTTP: pages described so that one served for many sites is recognised."""

import hashlib
import re
from binascii import Error as Base64Error
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote_plus

from analysis import hosts
from analysis.observations.attempts import QueryResults, is_among
from analysis.observations.bodies import BODY_LIMIT, body_bytes, header_values
from analysis.observations.control import split_endpoint
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messages import Exchange, HttpResponse, TestKeys
from analysis.observations.values import normalise_failure, request_url, tidy_title

_URL_LIMIT = 8192
_EXCHANGE_LIMIT = 20
_LIKE_LIMIT = 8192  # bytes of a page like the control's that are looked at
_CLASSIC = "classic"  # 0.5: follows from what the system resolver gave
_SAME_BODY = 0.7  # above this the probe itself calls two bodies the same
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,500})", re.IGNORECASE)
_NOT_CONTENT = b"0123456789abcdef/% \t\r\n\f\v"
_SCHEMES = (b"https://", b"http://", b"https%3a%2f%2f", b"http%3a%2f%2f")


class Page:
    """What was seen of the responses.

    ``names``: of the fingerprints that match, where any response was matched (``was_matched``);
    ``host, title, digest, length``: of the newest, as far as it was described;
    ``is_unreadable``: a body that should be base64 is not.
    """

    __slots__ = ("digest", "host", "is_unreadable", "length", "names", "title", "was_matched")

    def __init__(self) -> None:
        self.host: str | None = None
        self.names: list[str] = []
        self.was_matched = False
        self.title: str | None = None
        self.digest: str | None = None
        self.length: int | None = None
        self.is_unreadable = False


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
        is_like = index == 0 and _is_like_control(keys, response.code, is_trusted)
        is_described = index == 0 and not is_like
        if is_described or not (is_trusted or fingerprints.is_empty):
            _match_headers(page, response, is_trusted, fingerprints)
            limit = _LIKE_LIMIT if is_like else BODY_LIMIT
            body = _read_body(page, response, is_trusted, fingerprints, limit)
            if is_described:
                _describe(page, body, (url, request_url(exchange), host, target))
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


def _match_headers(
    page: Page, response: HttpResponse, is_trusted: bool, fingerprints: Fingerprints
) -> None:
    if is_trusted or not fingerprints.header_names:
        return
    values = header_values(response.headers, fingerprints.header_names)
    for name, value in values.items():
        page.names.extend(fingerprints.match(f"header.{name}", value))


def _read_body(
    page: Page,
    response: HttpResponse,
    is_trusted: bool,
    fingerprints: Fingerprints,
    limit: int,
) -> bytes | None:
    try:
        body = body_bytes(response.body, limit)
    except Base64Error:
        page.is_unreadable = True
        return None
    if not is_trusted and not fingerprints.is_empty:
        page.was_matched = True
        if body:
            page.names.extend(fingerprints.match("body", body))
    return body


def _describe(page: Page, body: bytes | None, own_names: tuple[str, str, str, str]) -> None:
    if body is None:
        return
    page.length = len(body)
    page.title = title_of(body)
    page.digest = body_digest(body, own_names)


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


def http_columns(keys: TestKeys, page: Page, dns: QueryResults) -> tuple[Any, ...]:
    """The columns from ``http_failure`` to ``http_fingerprints``."""
    requests = keys.requests or ()
    names = sorted(set(page.names)) if page.was_matched else None
    if not requests:
        failure = keys.http_experiment_failure
        failed = normalise_failure(failure) if failure else None
        return failed, None, None, None, 0, None, None, None, None, names
    newest = requests[0]
    status = newest.response.code if newest.response else None
    return (
        normalise_failure(newest.failure) if newest.failure else None,
        request_url(newest)[:_URL_LIMIT] or None,
        page.host,
        status if status is not None and 100 <= status < 1000 else None,
        min(len(requests), 65_535),
        _went_to_answer(requests[-1], keys, dns),
        page.length,
        page.title,
        page.digest,
        names,
    )


def _went_to_answer(exchange: Exchange, keys: TestKeys, dns: QueryResults) -> bool | None:
    """Whether a request went to an address that the system resolver gave; null: not known.

    A request need not say where it went (``address`` is optional in df-001). Then its connection
    says it, else the tag of what follows from the system resolver. Before 0.5 there are no tags.
    """
    if hosts.canonical(dns.host) is not None:
        return None
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
