"""What the control saw: the test helper's own lookup, connections, handshakes and page."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from analysis import hosts
from analysis.observations.messages import LIST_LIMIT, Control, ControlEndpoint, TestKeys
from analysis.observations.values import normalise_failure, tidy_title

_CACHED = 128  # characters; what is longer is not worth keeping in a cache
_NO_CONTROL: Final = Control()


class ControlView:
    """What the control saw; empty where its reply says nothing.

    ``addresses``: those that it resolved, in order; ``asns``: address → its annotation; ``tcp`` and
    ``tls``: endpoint → its own attempt, spelt as :func:`spell_endpoint` does.
    """

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

    def dns_columns(self, known: Mapping[str, tuple[Any, ...]]) -> tuple[Any, ...]:
        """``has_control, control_failure, control_dns_failure, control_answers``."""
        failure = self._dns.failure if self._dns else None
        answers = [known[address][0][:3] for address in self.addresses]
        return (
            self.has_reply,
            self.failure,
            normalise_failure(failure) if failure else None,
            answers,
        )

    def tls_addresses(self) -> list[str]:
        """The column ``control_tls_addresses``: where it got a valid certificate."""
        good = dict.fromkeys(
            split_endpoint(n)[0] for n, end in self.tls.items() if read_result(end)[0]
        )
        return [address for address in good if address is not None]

    def http_columns(self) -> tuple[Any, ...]:
        """``control_http_failure`` and status, body length and title."""
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


def read_result(endpoint: ControlEndpoint | None) -> tuple[bool | None, str | None]:
    """Whether the control reached an endpoint, and its failure; nulls where it did not try."""
    if endpoint is None:
        return None, None
    if endpoint.status is True and not endpoint.failure:
        return True, None
    failure = normalise_failure(endpoint.failure) if endpoint.failure else None
    status = endpoint.status
    return (failure is None if status is None and failure else status), failure


def spell_endpoint(address: str, port: int | str | None) -> str:
    """An endpoint as the control spells it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split_endpoint(endpoint: str) -> tuple[str | None, str]:
    """The address of an endpoint, and the endpoint as the control spells it."""
    return _split_cached(endpoint) if len(endpoint) <= _CACHED else _split(endpoint)


def _split(endpoint: str) -> tuple[str | None, str]:
    host, _, port = endpoint.rpartition(":")
    address = hosts.canonical(host[1:-1] if host[:1] == "[" else host)
    return address, "" if address is None else spell_endpoint(address, port)


_split_cached = lru_cache(maxsize=1 << 15)(_split)
