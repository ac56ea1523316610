"""The first failure at the target of a redirect: its layer, host and failure."""

from collections.abc import Sequence
from typing import NamedTuple

from analysis import hosts
from analysis.observations.attempts import SYSTEM_ENGINES, QueryResults, connect_failure
from analysis.observations.messages import LIST_LIMIT, Exchange, TestKeys
from analysis.observations.values import normalise_failure, redirect_depth, request_url

_LAYERS = ("dns", "tcp", "tls", "http")
_DNS, _TCP, _TLS, _HTTP = range(4)


class _Attempt(NamedTuple):
    """One attempt after a redirect: the host that it names, if any, and how it failed."""

    host: str
    failure: str | None


#: Depth (redirects before it) and layer → attempts, in their order.
_Attempts = dict[tuple[int, int], list[_Attempt]]


def find_redirect_failure(
    keys: TestKeys, dns: QueryResults
) -> tuple[str | None, str | None, str | None]:
    """Layer, host and failure of the first failure at a redirect's target."""
    exchanges = (keys.requests or ())[:LIST_LIMIT]
    newest = exchanges[0] if exchanges else None
    if newest is not None and newest.failure and redirect_depth(newest.tags) is None:
        host = hosts.normalise(request_url(newest))
        failure = normalise_failure(newest.failure)
        if host and host != dns.host and failure:
            return _layer_of(failure, request_url(newest)), host, failure
        return None, None, None
    if not dns.has_later_failure and not (newest is not None and newest.failure):
        return None, None, None
    return _first_later_failure(keys, exchanges)


def _layer_of(failure: str, url: str) -> str | None:
    """The layer that a failure names; null where an https page may have failed in two."""
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
    """The lowest depth at which all attempts of a layer failed, and the first such layer."""
    attempts: _Attempts = {}
    for query in keys.queries or ():
        if query.engine in SYSTEM_ENGINES:
            failure = normalise_failure(query.failure) if query.failure else None
            _add_attempt(attempts, query.tags, _DNS, query.hostname or "", failure)
    for connect in keys.tcp_connect or ():
        _add_attempt(attempts, connect.tags, _TCP, "", connect_failure(connect))
    for handshake in keys.tls_handshakes or ():
        failure = normalise_failure(handshake.failure) if handshake.failure else None
        _add_attempt(attempts, handshake.tags, _TLS, handshake.server_name or "", failure)
    for exchange in exchanges:
        failure = normalise_failure(exchange.failure) if exchange.failure else None
        _add_attempt(attempts, exchange.tags, _HTTP, request_url(exchange), failure)
    host = ""
    for depth, layer in sorted(attempts):
        results = attempts[depth, layer]
        host = hosts.normalise(results[0].host) or host
        if all(attempt.failure for attempt in results):
            named = host or _host_at(attempts, depth)
            return _LAYERS[layer], named or None, results[0].failure
    return None, None, None


def _add_attempt(
    attempts: _Attempts,
    tags: list[str] | None,
    layer: int,
    host: str,
    failure: str | None,
) -> None:
    depth = redirect_depth(tags)
    if depth and "fetch_body=false" not in (tags or ()):
        attempts.setdefault((depth, layer), []).append(_Attempt(host, failure))


def _host_at(attempts: _Attempts, depth: int) -> str:
    """The host of a depth where no lookup named it: that of its handshakes or requests."""
    first = (attempts.get((depth, layer), [_Attempt("", None)])[0] for layer in (_TLS, _HTTP))
    return next((name for one in first if (name := hosts.normalise(one.host))), "")
