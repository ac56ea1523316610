"""Whether a measurement has the fields that OONI's versions have had so far.

OONI may rename a field, or give it another type, and every reader of it would go on with nothing.
So a few lines of each archive object are compared with the fields and types that are known: those
of the structs in ``messages``, and below them the names that nothing here reads. A rename shows
twice: a field is missing, and another is new.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect as types

from analysis.observations import messages
from analysis.observations.messages import SCALARS, Measurement

#: Names of one line that are kept, and their length: whoever uploads a line chooses its names.
NAME_COUNT, NAME_LENGTH = 20, 80

#: What is said of a field: ``missing:test_keys.queries``.
MISSING, RETYPED, NEW = "missing", "retyped", "new"

_ODD = re.compile(r"[^A-Za-z0-9_.\-]")


#: Object → the names that all versions send, and others that some have sent and nothing here reads.
_NAMES: Mapping[type[msgspec.Struct], tuple[str, str]] = {
    Measurement: (
        "input measurement_start_time probe_asn probe_cc report_id software_name software_version "
        "test_keys test_name test_version",
        "annotations backend_version bucket_date data_format_version extensions id input_hashes "
        "measurement_uid options probe_city probe_id probe_ip probe_network_name report_filename "
        "resolver_asn resolver_ip resolver_network_name test_helpers test_runtime test_start_time "
        "verification_status",
    ),
    messages.TestKeys: (
        "accessible blocking control control_failure dns_consistency dns_experiment_failure "
        "http_experiment_failure queries requests tcp_connect",
        "agent body_length_match body_proportion client_resolver headers_match network_events "
        "retries socksproxy status_code_match title_match tls_handshakes x_blocking_flags "
        "x_conn_priority_log x_control_request x_dns_duplicate_responses x_dns_flags "
        "x_dns_runtime x_dns_whoami x_do53 x_doh x_http_runtime x_null_null_flags x_status "
        "x_tcptls_runtime x_th_runtime",
    ),
    messages.Query: (
        "answers failure hostname query_type",
        "dial_id engine raw_response rcode resolver_address resolver_hostname resolver_port t t0 "
        "tags transaction_id",
    ),
    messages.Answer: (
        "answer_type",
        "as_org_name asn expiration_limit hostname ipv4 ipv6 minimum_ttl refresh_interval "
        "responsible_name retry_interval serial_number ttl",
    ),
    messages.Connect: ("ip port status", "conn_id dial_id t t0 tags transaction_id"),
    messages.ConnectStatus: ("failure success", "blocked"),
    messages.Handshake: (
        "failure server_name",
        "address cipher_suite conn_id echconfig negotiated_protocol network no_tls_verify "
        "outer_server_name peer_certificates so_error t t0 tags tls_version transaction_id",
    ),
    messages.Exchange: (
        "failure request response",
        "address alpn network response_length t t0 tags transaction_id",
    ),
    messages.HttpRequest: (
        "method url",
        "body body_is_truncated headers headers_list tor x_transport",
    ),
    messages.HttpResponse: (
        "headers",
        "body body_is_truncated code headers_list locations response_line",
    ),
    messages.Control: (
        "dns http_request tcp_connect",
        "http3_request ip_info quic_handshake tls_handshake",
    ),
    messages.ControlDns: ("addrs", "asns failure"),
    messages.ControlEndpoint: ("status", "failure server_name"),
    messages.ControlHttp: (
        "body_length failure headers status_code",
        "discovered_h3_endpoint title",
    ),
    messages.IpInfo: ("asn", "flags"),
}
_SHAPES: Mapping[type[msgspec.Struct], tuple[frozenset[str], frozenset[str]]] = {
    kind: (frozenset(expected.split()), frozenset(f"{expected} {others}".split()))
    for kind, (expected, others) in _NAMES.items()
}


def find_changes(line: bytes) -> list[str]:
    """What one line has that is not known, or lacks: ``new:x``, ``missing:x``, ``retyped:x``.

    Of each list the first item is compared. Nothing is expected of an empty object, and nothing is
    said of names that users choose, such as annotations.

    Args:
        line: one measurement of a web site as JSON, which has been decoded before.

    Returns:
        The names, sorted, without odd characters, at most ``NAME_COUNT``.
    """
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []  # the tolerant path has read it: a byte order mark, for instance
    found: set[str] = set()
    _compare(_WEB, value, "", found)
    return sorted(found)[:NAME_COUNT]


_WEB = types.type_info(Measurement)


def _compare(kind: types.Type, value: Any, path: str, found: set[str]) -> None:
    """Put what differs at a path and below it in ``found``."""
    options = kind.types if isinstance(kind, types.UnionType) else (kind,)
    for option in options:
        if isinstance(option, types.StructType) and isinstance(value, dict):
            _compare_object(option, value, path, found)
            return
        if isinstance(option, types.ListType) and isinstance(value, list):
            for item in value[:1]:
                _compare(option.item_type, item, path, found)
            return
        if isinstance(option, types.DictType) and isinstance(value, dict):
            for item in list(value.values())[:1]:
                _compare(option.value_type, item, path, found)
            return
        if isinstance(option, SCALARS.get(type(value), ())):
            return
    found.add(_name(RETYPED, path))


def _compare_object(
    kind: types.StructType, value: dict[str, Any], path: str, found: set[str]
) -> None:
    if not value or kind.cls not in _SHAPES:
        return
    expected, known = _SHAPES[kind.cls]
    prefix = f"{path}." if path else ""
    names = {field.encode_name for field in kind.fields}
    found.update(_name(MISSING, f"{prefix}{name}") for name in expected - value.keys())
    found.update(_name(NEW, f"{prefix}{name}") for name in value.keys() - known - names)
    for field in kind.fields:
        if field.encode_name in value:
            _compare(field.type, value[field.encode_name], f"{prefix}{field.encode_name}", found)


def _name(what: str, path: str) -> str:
    return f"{what}:{_ODD.sub('?', path[:NAME_LENGTH])}"
