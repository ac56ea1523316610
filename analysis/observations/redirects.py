"""The first failure at the target of a redirect: its layer, host and failure."""

from collections.abc import Sequence
from typing import NamedTuple

from analysis import hosts
from analysis.observations.attempts import SYSTEM_ENGINES, connect_failure
from analysis.observations.messages import (
    LIST_LIMIT,
    Connect,
    Exchange,
    Handshake,
    Query,
    TestKeys,
)
from analysis.observations.values import normalise_failure, redirect_depth, request_url

#: The order in which a target is reached, and in which the keys list attempts.
_LAYERS = ("dns", "tcp", "tls", "http")
_TLS, _HTTP = 2, 3
_Attempt = Query | Connect | Handshake | Exchange


class RedirectFailure(NamedTuple):
    """Where a redirect's target failed first; nulls where none did."""

    layer: str | None = None
    host: str | None = None
    failure: str | None = None


def find_redirect_failure(keys: TestKeys, host: str) -> RedirectFailure:
    """The first failure at a redirect's target, for the input's ``host``."""
    exchanges = (keys.requests or [])[:LIST_LIMIT]
    newest = exchanges[0] if exchanges else Exchange()
    failure = normalise_failure(newest.failure)
    if failure and redirect_depth(newest.tags) is None:
        target = hosts.normalise(request_url(newest))
        if not target or target == host:
            return RedirectFailure()
        return RedirectFailure(_layer_of(failure, request_url(newest)), target, failure)
    is_broken = failure is not None
    attempts: dict[tuple[int, int], list[_Attempt]] = {}
    tried: tuple[Sequence[_Attempt] | None, ...] = (
        keys.queries, keys.tcp_connect, keys.tls_handshakes, exchanges
    )  # fmt: skip
    for layer, items in enumerate(tried):
        for item in items or ():
            depth = redirect_depth(item.tags)
            if not depth:
                continue
            is_broken |= layer < _HTTP and _failure_of(item) is not None
            is_other = isinstance(item, Query) and item.engine not in SYSTEM_ENGINES
            if not is_other and "fetch_body=false" not in (item.tags or ()):
                attempts.setdefault((depth, layer), []).append(item)
    if not is_broken:  # the last page came, and all before it was reached
        return RedirectFailure()
    return _first_failure(attempts)


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


def _first_failure(attempts: dict[tuple[int, int], list[_Attempt]]) -> RedirectFailure:
    """The lowest depth at which all attempts of a layer failed, and the first such layer.

    Args:
        attempts: by depth (redirects before them) and layer, in their order.
    """
    host = ""
    for depth, layer in sorted(attempts):
        ended = attempts[depth, layer]
        host = hosts.normalise(_host_of(ended[0])) or host
        failures = [_failure_of(attempt) for attempt in ended]
        if all(failures):
            # where no lookup named the host, its handshakes or requests do
            behind = (attempts[depth, at][0] for at in (_TLS, _HTTP) if (depth, at) in attempts)
            names = (host, *(hosts.normalise(_host_of(attempt)) for attempt in behind))
            named = next(filter(None, names), None)
            return RedirectFailure(_LAYERS[layer], named, failures[0])
    return RedirectFailure()


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
