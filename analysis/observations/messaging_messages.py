"""The JSON of messaging and circumvention tests as partial structs: only what is needed of it.

Versions of 2016 to today share these names (ooni/spec ts-015 to ts-030). Bodies, headers and logs
are never decoded. What has another type than the specification gives it is left out, as for
web_connectivity (``messages``).
"""

import msgspec
from msgspec import Struct

from analysis.observations.messages import (
    Connect,
    Exchange,
    Handshake,
    Measurement,
    Query,
    clip_lists,
    decode_as,
)


class Target(Struct, gc=False):
    """One directory, relay or bridge of the tor test."""

    failure: str | bool | None = None
    target_address: str | None = None
    target_protocol: str | None = None
    tcp_connect: list[Connect] | None = None


class Keys(Struct, gc=False):
    """The result of one test."""

    queries: list[Query] | None = None
    tcp_connect: list[Connect] | None = None
    tls_handshakes: list[Handshake] | None = None
    requests: list[Exchange] | None = None
    targets: dict[str, Target | None] | None = None
    failure: str | bool | msgspec.UnsetType | None = msgspec.UNSET
    error: str | None = None
    success: bool | None = None
    tor_progress: float | None = None
    telegram_web_status: str | None = None
    signal_backend_status: str | None = None
    facebook_dns_blocking: bool | None = None
    facebook_tcp_blocking: bool | None = None
    facebook_b_api_dns_consistent: bool | None = None
    facebook_b_api_reachable: bool | None = None
    facebook_b_graph_dns_consistent: bool | None = None
    facebook_b_graph_reachable: bool | None = None
    facebook_edge_dns_consistent: bool | None = None
    facebook_edge_reachable: bool | None = None
    facebook_external_cdn_dns_consistent: bool | None = None
    facebook_external_cdn_reachable: bool | None = None
    facebook_scontent_cdn_dns_consistent: bool | None = None
    facebook_scontent_cdn_reachable: bool | None = None
    facebook_star_dns_consistent: bool | None = None
    facebook_star_reachable: bool | None = None
    facebook_stun_dns_consistent: bool | None = None
    facebook_stun_reachable: bool | None = None


class MessagingMeasurement(Measurement, gc=False):
    """One line of the archive of one of these tests."""

    test_keys: Keys | None = None  # type: ignore[assignment]


_DECODER = msgspec.json.Decoder(MessagingMeasurement)


def decode(line: bytes | bytearray | memoryview) -> MessagingMeasurement:
    """Read one measurement.

    Raises:
        NotJson, NotAnObject, TooLong: see ``messages.decode``.
    """
    measurement = decode_as(line, _DECODER)
    clip_lists(measurement.test_keys, ("queries", "tcp_connect", "tls_handshakes", "requests"))
    return measurement
