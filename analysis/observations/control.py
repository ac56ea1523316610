"""What the control saw: the test helper's own lookup, connections, handshakes and page."""

from functools import lru_cache
from typing import Final

from analysis import hosts
from analysis.observations.messages import (
    LIST_LIMIT,
    Control,
    ControlDns,
    ControlEndpoint,
    ControlHttp,
    TestKeys,
)
from analysis.observations.values import normalise_failure, status_or_none, tidy_title

_LONGEST = 128  # characters of an endpoint
_NO_CONTROL: Final = Control()
_NO_DNS: Final = ControlDns()
_NO_PAGE: Final = ControlHttp()


class ControlView:
    """What the control saw; empty where its reply says nothing.

    ``addresses``: those that it resolved, in order; ``asns``: address → its annotation; ``tcp`` and
    ``tls``: endpoint → its own attempt, spelt as :func:`spell_endpoint` does.
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
        """The column ``control_tls_addresses``: where it got a valid certificate."""
        good = dict.fromkeys(
            split_endpoint(n)[0] for n, end in self.tls.items() if read_result(end)[0]
        )
        return [address for address in good if address is not None]

    def page(self) -> tuple[int | None, int | None, str | None]:
        """Status, body length and title of its page; nulls where it got none."""
        status, length, title = status_or_none(self.http.status_code), self.http.body_length, None
        if status is None or length is None or not 0 <= length < 1 << 62:
            length = None
        if status is not None and self.http.title is not None:
            title = tidy_title(self.http.title)
        return status, length, title


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
    failure, status = normalise_failure(endpoint.failure), endpoint.status
    return (failure is None if status is None and failure else status), failure


def spell_endpoint(address: str, port: int | str | None) -> str:
    """An endpoint as the control spells it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split_endpoint(endpoint: str) -> tuple[str | None, str]:
    """The address of an endpoint, and the endpoint as the control spells it."""
    return _split(endpoint) if len(endpoint) <= _LONGEST else (None, "")


@lru_cache(maxsize=1 << 15)
def _split(endpoint: str) -> tuple[str | None, str]:
    host, _, port = endpoint.rpartition(":")
    address = hosts.canonical(host[1:-1] if host[:1] == "[" else host)
    return address, "" if address is None else spell_endpoint(address, port)
