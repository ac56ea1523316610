"""What a probe itself concludes, by the documented logic of each version.

The words are those of ooni/spec ts-017; the probe's mistakes are part of it: 0.4 knows no TLS
layer and trusts any good page over TLS, 0.5 calls a name with an unexpected address "dns" even
where the page was right.
"""

from dataclasses import dataclass

from analysis.worlds.comparison import NOTHING, Comparison
from analysis.worlds.internet import (
    CLOSED,
    NXDOMAIN,
    REFUSED,
    RESET,
    TIMED_OUT,
    UNKNOWN_AUTHORITY,
    WRONG_HOST,
)

_MISSING = (NXDOMAIN, "android_dns_cache_no_data")
_TLS = (WRONG_HOST, UNKNOWN_AUTHORITY, "ssl_invalid_certificate")

# x_status of 0.4
_SECURE, _CLEARTEXT, _GONE, _NO_CONTROL, _CONTROL_FAILED = 1, 2, 4, 8, 16
_DNS, _DIFF, _CONNECT, _READ_WRITE, _UNKNOWN, _HANDSHAKE = 32, 64, 128, 256, 512, 1024
_AT_DNS, _AT_CONNECT, _AT_HTTP, _NO_REQUESTS = 2048, 4096, 8192, 16384

# x_blocking_flags of 0.5
DNS_BLOCKED, TCP_BLOCKED, TLS_BLOCKED, HTTP_BLOCKED, HTTP_DIFFERS, REACHED = 1, 2, 4, 8, 16, 32

Blocking = str | bool | None


@dataclass(slots=True)
class Evidence04:
    """What 0.4 looks at."""

    has_control: bool
    control_http_failed: bool
    dns_failure: str | None
    dns_consistency: str | None
    connect_count: int
    connected_count: int
    request_count: int
    http_failure: str | None
    is_https_final: bool
    comparison: Comparison = NOTHING


def conclude_04(seen: Evidence04) -> tuple[Blocking, bool | None, int]:
    """``blocking``, ``accessible`` and ``x_status``."""
    if seen.request_count and seen.http_failure is None and seen.is_https_final:
        return False, True, _SECURE
    if not seen.has_control:
        return None, None, _NO_CONTROL
    if seen.dns_failure in _MISSING:
        if seen.dns_consistency == "consistent":
            return False, False, _GONE | _AT_DNS
        return "dns", False, _DNS | _AT_DNS
    if seen.connect_count and not seen.connected_count:
        if seen.dns_consistency == "consistent":
            return "tcp_ip", False, _CONNECT | _AT_CONNECT
        return "dns", False, _CONNECT | _AT_CONNECT | _DNS
    if seen.control_http_failed:
        return None, None, _CONTROL_FAILED
    if not seen.request_count:
        return None, None, _NO_REQUESTS
    if seen.http_failure is not None:
        return _explain_failure(seen)
    if seen.comparison.is_same_page:
        return False, True, _CLEARTEXT
    if seen.dns_consistency == "inconsistent":
        return "dns", False, _DIFF | _DNS
    return "http-diff", False, _DIFF


def _explain_failure(seen: Evidence04) -> tuple[Blocking, bool | None, int]:
    failure = seen.http_failure
    if failure in _MISSING:
        return "dns", False, _AT_HTTP | _DNS
    if failure == REFUSED:
        status = _CONNECT
    elif failure in (RESET, CLOSED):
        status = _READ_WRITE
    elif failure == TIMED_OUT:
        status = _UNKNOWN
    elif failure in _TLS:
        status = _HANDSHAKE
    else:
        return None, None, _AT_HTTP
    if seen.dns_consistency == "inconsistent":
        return "dns", False, _AT_HTTP | status | _DNS
    return "http-failure", False, _AT_HTTP | status


def consistency_04(
    dns_failure: str | None,
    control_failure: str | None,
    asns: set[int],
    addresses: set[str],
    control_asns: set[int],
    control_addresses: set[str],
) -> str:
    """0.4: equal failures, a common network, or a common address."""
    if dns_failure is not None and control_failure is not None:
        is_gone = control_failure == NXDOMAIN and dns_failure in _MISSING
        return "consistent" if is_gone else "inconsistent"
    is_same = bool((asns & control_asns) - {0}) or bool(addresses & control_addresses)
    return "consistent" if is_same else "inconsistent"


@dataclass(slots=True)
class Evidence05:
    """What 0.5 looks at: the answers of the system's resolver, and where they led."""

    has_control: bool
    control_dns_failure: str | None
    control_http_failed: bool
    dns_failure: str | None
    is_bogon: bool
    is_expected_answer: bool
    tcp: str | None  # worst thing seen: "blocked", "expected" (the control failed too), or None
    tls: str | None
    http_failure: str | None
    is_secure_page: bool  # the system's answer led to a page over TLS
    is_any_page: bool  # some address led to a page
    is_cleartext_page: bool  # the system's answer led to a page without TLS
    comparison: Comparison = NOTHING


@dataclass(frozen=True, slots=True)
class Conclusion05:
    """The probe's summary keys."""

    blocking: Blocking
    accessible: bool | None
    dns_consistency: str | None
    dns_flags: int
    blocking_flags: int
    null_flags: int


def conclude_05(seen: Evidence05) -> Conclusion05:
    """Flags first, then the first of them in the order dns, tcp, tls and http, diff."""
    if seen.is_secure_page:
        null = 0 if seen.has_control else 8
        consistency = "consistent" if seen.has_control else None
        return Conclusion05(False, True, consistency, 0, REACHED, null)
    if not seen.has_control:
        reached = REACHED if seen.is_any_page else 0
        return Conclusion05(None, None, None, 0, reached and 0, 0)
    dns_flags, null = _judge_dns(seen)
    flags = DNS_BLOCKED if dns_flags else 0
    flags |= TCP_BLOCKED if seen.tcp == "blocked" else 0
    flags |= TLS_BLOCKED if seen.tls == "blocked" else 0
    null |= (2 if seen.tcp == "expected" else 0) | (4 if seen.tls == "expected" else 0)
    if seen.http_failure is not None and not seen.control_http_failed:
        flags |= HTTP_BLOCKED
    is_good_page = seen.is_cleartext_page and seen.comparison.is_same_page
    if seen.is_cleartext_page and not is_good_page and not seen.control_http_failed:
        flags |= HTTP_DIFFERS
    if is_good_page or (seen.is_any_page and not seen.is_cleartext_page):
        flags |= REACHED
    consistency = "inconsistent" if dns_flags else "consistent"
    blocking, accessible = _summarise(flags, null)
    return Conclusion05(blocking, accessible, consistency, dns_flags, flags, null)


def _judge_dns(seen: Evidence05) -> tuple[int, int]:
    """``x_dns_flags`` and the DNS bit of ``x_null_null_flags``."""
    if seen.dns_failure is not None:
        if seen.control_dns_failure is not None:
            return 0, 1
        return 2, 0
    flags = 1 if seen.is_bogon else 0
    return flags | (0 if seen.is_expected_answer else 4), 0


def _summarise(flags: int, null: int) -> tuple[Blocking, bool | None]:
    if flags & DNS_BLOCKED:
        return "dns", False
    if flags & TCP_BLOCKED:
        return "tcp_ip", False
    if flags & (TLS_BLOCKED | HTTP_BLOCKED):
        return "http-failure", False
    if flags & HTTP_DIFFERS:
        return "http-diff", False
    if flags & REACHED:
        return False, True
    return (False, False) if null else (None, None)
