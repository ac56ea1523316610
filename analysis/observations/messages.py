"""OONI's web_connectivity JSON as partial structs: only the fields that an observation needs.

Versions 0.0 to 0.5 of the test share these names (ooni/spec ts-017, df-001 to df-008). Bodies and
headers stay :class:`msgspec.Raw` slices of the line, which ``observation`` decodes.

A line is decoded twice at most. The strict path is one msgspec pass and reads nearly all lines.
If a field has a type that no version of the specification gives it, the tolerant path reads the
line as plain JSON and leaves out only the values with a wrong type, so that one odd header does
not lose a measurement.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import msgspec
from isal import isal_zlib
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec import inspect as types

#: Items that are read of one list of a measurement, and answers of all its lookups together; real
#: measurements have some dozens.
LIST_LIMIT = 512

_NOTHING = Raw(b"null")
_Kind = TypeVar("_Kind")


class Unreadable(ValueError):
    """A line that is not a measurement; ``str(error)`` is the ledger's reason."""


class Answer(Struct, gc=False):
    """One DNS answer: an A, AAAA or CNAME record."""

    ipv4: str | None = None
    ipv6: str | None = None
    hostname: str | None = None
    asn: int | None = None


class Query(Struct, gc=False):
    """One DNS lookup, by the system resolver or another engine."""

    engine: str | None = None
    hostname: str | None = None
    query_type: str | None = None
    failure: str | bool | None = None
    getaddrinfo_error: int | None = None
    answers: list[Answer] | None = None
    tags: list[str] | None = None


class ConnectStatus(Struct, gc=False):
    """Result of a TCP connect."""

    success: bool | None = None
    failure: str | bool | None = None


class Connect(Struct, gc=False):
    """One attempt to connect to an endpoint."""

    ip: str | None = None
    port: int | None = None
    status: ConnectStatus | None = None
    tags: list[str] | None = None
    transaction_id: int | None = None


class Certificate(Struct, gc=False):
    """One X.509 certificate: DER in base64."""

    data: str | None = None


class Handshake(Struct, gc=False):
    """One TLS handshake; 0.4 does not record its address."""

    address: str | None = None
    server_name: str | None = None
    failure: str | bool | None = None
    no_tls_verify: bool | None = None
    peer_certificates: list[Certificate] | None = None
    tags: list[str] | None = None
    transaction_id: int | None = None


class NetworkEvent(Struct, gc=False):
    """One event of a connection, such as a read (df-008)."""

    operation: str | None = None
    num_bytes: int | None = None
    t: float | None = None
    transaction_id: int | None = None


class HttpRequest(Struct, gc=False):
    """The request of an exchange."""

    url: str | None = None
    method: str | None = None  # of messaging tests


class HttpResponse(Struct, gc=False):
    """The response of an exchange; empty if none came."""

    code: int | None = None
    body: Raw = _NOTHING
    headers: Raw = _NOTHING


class Exchange(Struct, gc=False):
    """One item of ``requests``: a request and its response; before 0.5 without the endpoint.

    In 0.5, one connection, its handshake and its requests have the same ``transaction_id``.
    """

    failure: str | bool | None = None
    address: str | None = None
    request: HttpRequest | None = None
    response: HttpResponse | None = None
    tags: list[str] | None = None
    transaction_id: int | None = None


class ControlDns(Struct, gc=False):
    """The test helper's lookup."""

    failure: str | bool | None = None
    addrs: list[str] | None = None


class ControlEndpoint(Struct, gc=False):
    """The test helper's attempt at one endpoint; before 0.4 there is only a status."""

    status: bool | None = None
    failure: str | bool | None = None


class ControlHttp(Struct, gc=False):
    """The test helper's own fetch; code and length are -1 if it failed, 0 if it made none."""

    status_code: int | None = None
    body_length: int | None = None
    title: str | None = None
    failure: str | bool | None = None


class IpInfo(Struct, gc=False):
    """The test helper's annotation of an address."""

    asn: int | None = None


class Control(Struct, gc=False):
    """The test helper's reply; it may be ``{}`` or consist of empty defaults."""

    dns: ControlDns | None = None
    tcp_connect: dict[str, ControlEndpoint | None] | None = None
    tls_handshake: dict[str, ControlEndpoint | None] | None = None
    http_request: ControlHttp | None = None
    ip_info: dict[str, IpInfo | None] | None = None


class TestKeys(Struct, gc=False):
    """The result of one web_connectivity test."""

    __test__ = False  # pytest collects classes by their name

    queries: list[Query] | None = None
    tcp_connect: list[Connect] | None = None
    tls_handshakes: list[Handshake] | None = None
    network_events: list[NetworkEvent] | None = None
    requests: list[Exchange] | None = None
    control: Control | None = None
    control_failure: str | bool | None = None
    dns_experiment_failure: str | bool | None = None
    http_experiment_failure: str | bool | None = None
    dns_consistency: str | None = None
    body_proportion: float | None = None
    status_code_match: bool | None = None
    headers_match: bool | None = None
    title_match: bool | None = None
    blocking: str | bool | None = None
    accessible: bool | UnsetType | None = UNSET
    x_blocking_flags: int | None = None
    x_dns_flags: int | None = None
    x_null_null_flags: int | None = None


class Annotations(Struct, gc=False):
    """The probe's description of itself."""

    platform: str | None = None
    ooni_run_link_id: str | int | None = None
    engine_version: str | None = None


class Measurement(Struct, gc=False):
    """One line of the archive. ``probe_ip`` and ``client_resolver`` are never read."""

    test_name: str | None = None
    report_id: str | None = None
    input: str | None = None
    measurement_start_time: str | None = None
    test_start_time: str | None = None
    probe_cc: str | None = None
    probe_asn: str | int | None = None
    probe_network_name: str | None = None
    resolver_asn: str | int | None = None
    software_name: str | None = None
    software_version: str | None = None
    test_version: str | None = None
    probe_id: str | None = None  # since 2026: identifies a sender on one network
    annotations: Annotations | None = None
    test_keys: TestKeys | None = None


_DECODER = msgspec.json.Decoder(Measurement)


def decode(line: bytes | bytearray | memoryview) -> Measurement:
    """Read one measurement.

    Its bodies are slices of ``line``, which must not change while they are in use.

    Raises:
        Unreadable: ``line`` is not one JSON object.
    """
    measurement = decode_as(line, _DECODER)
    keys = measurement.test_keys
    clip_lists(keys, ("queries", "tcp_connect", "tls_handshakes", "network_events"))
    control = keys.control if keys else None
    for name in ("tcp_connect", "tls_handshake", "ip_info"):
        entries = getattr(control, name, None) or {}
        if len(entries) > LIST_LIMIT:
            setattr(control, name, dict(islice(entries.items(), LIST_LIMIT)))
    return measurement


class _Keys(Struct, gc=False):
    """The result of any test, as the probe sent it."""

    test_keys: Raw = _NOTHING


_KEYS_DECODER = msgspec.json.Decoder(_Keys)


def digest_keys(line: bytes | bytearray | memoryview) -> int:
    """Return the column ``test_keys_digest`` of a line that was decoded before."""
    keys = decode_as(line, _KEYS_DECODER).test_keys
    return 0 if keys == _NOTHING else isal_zlib.crc32(keys)


def clip_lists(keys: object, names: Iterable[str]) -> None:
    """Cut each list to ``LIST_LIMIT`` items, so that a long one does not cost time."""
    for name in names:
        del (getattr(keys, name, None) or [])[LIST_LIMIT:]
    remaining = LIST_LIMIT
    for query in getattr(keys, "queries", None) or ():
        answers = query.answers or []
        del answers[remaining:]
        remaining -= len(answers)


def decode_as(line: bytes | bytearray | memoryview, decoder: msgspec.json.Decoder[_Kind]) -> _Kind:
    """Return a line as a struct, without the values whose type does not fit their field."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decoder.decode(line)
    try:
        # Windows tools begin a text with a byte order mark, which is not part of the JSON.
        value = json.loads(str(line, "utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Unreadable("not_json") from None
    if not isinstance(value, dict):
        raise Unreadable("invalid:not_an_object")
    measurement: _Kind = _fit(types.type_info(decoder.type), value)
    return measurement


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_UNFIT: Any = object()

#: The field types that a JSON value fits; a raw field takes any value.
SCALARS: Mapping[type, tuple[type[types.Type], ...]] = {
    str: (types.StrType, types.RawType),
    bool: (types.BoolType, types.RawType),
    int: (types.IntType, types.FloatType, types.RawType),
    float: (types.FloatType, types.RawType),
    type(None): (types.NoneType, types.RawType),
    dict: (types.RawType,),
    list: (types.RawType,),
}


def _fit(kind: types.Type, value: Any) -> Any:
    """Return ``value`` as ``kind``, without the parts that do not fit; ``_UNFIT`` if none does."""
    for option in kind.types if isinstance(kind, types.UnionType) else (kind,):
        if isinstance(option, types.StructType) and isinstance(value, dict):
            fields = [field for field in option.fields if field.encode_name in value]
            items = {field.name: _fit(field.type, value[field.encode_name]) for field in fields}
            return option.cls(**{name: item for name, item in items.items() if item is not _UNFIT})
        if isinstance(option, types.ListType) and isinstance(value, list):
            fitted = (_fit(option.item_type, item) for item in value)
            return [item for item in fitted if item is not _UNFIT]
        if isinstance(option, types.DictType) and isinstance(value, dict):
            pairs = ((clean(key), _fit(option.value_type, item)) for key, item in value.items())
            return {key: item for key, item in pairs if item is not _UNFIT}
        if isinstance(option, SCALARS.get(type(value), ())):
            return _fit_scalar(option, value)
    return _UNFIT


def _fit_scalar(kind: types.Type, value: Any) -> Any:
    if isinstance(kind, types.RawType):
        return Raw(json.dumps(value).encode())
    if isinstance(kind, types.FloatType):
        return float(value) if abs(value) < 1e300 else _UNFIT
    return clean(value) if isinstance(value, str) else value


def clean(text: str) -> str:
    """Replace half surrogates, which a JSON escape may contain but UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


# --- values in one spelling and of limited size ---------------------------------------------------

#: Failures by which probes and test helpers report that a name does not exist. ``dns_lookup_error``
#: (any error) and ``dns_server_failure`` are not among them and are not changed.
NXDOMAIN_SPELLINGS: Final = frozenset(
    {
        "dns_nxdomain_error",  # ooniprobe 3 and later
        "dns_name_error",  # the older test helper, which the newer one imitates
        "android_dns_cache_no_data",  # Android's resolver hides the reason behind its cache
    }
)
NXDOMAIN: Final = "dns_nxdomain_error"

#: The failure of an attempt for which the probe gives no reason.
UNNAMED_FAILURE: Final = "unknown_failure"

TEXT_LIMIT = 512


def normalise_failure(failure: str | bool | None) -> str | None:
    """Return a failure in one spelling, or None if there was none."""
    if not failure:
        return None
    if failure is True:
        return UNNAMED_FAILURE
    return NXDOMAIN if failure in NXDOMAIN_SPELLINGS else failure[:TEXT_LIMIT]


def clip_text(text: str | None) -> str | None:
    """Cut a text to ``TEXT_LIMIT`` characters."""
    return text if text is None or len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT]


def blocking_text(value: str | bool | None) -> str | None:
    """Return the key ``blocking``, which is a text or a boolean, as a text."""
    if value is None or isinstance(value, str):
        return clip_text(value)
    return "true" if value else "false"


def int32_or_none(value: int | None) -> int | None:
    """Return a number, or None if it does not fit into the column."""
    return value if value is not None and -(1 << 31) <= value < 1 << 31 else None


def status_or_none(status: int | None) -> int | None:
    """Return an HTTP status, or None if it is not one (-1 and 0 mean no response)."""
    return status if status is not None and 100 <= status < 1000 else None


def redirect_depth(tags: list[str] | None) -> int | None:
    """Return the number of redirects before an attempt, or None if no tag says it."""
    if not tags or "depth=0" in tags:
        return 0 if tags else None
    for tag in tags:
        number = tag.removeprefix("depth=")
        if number is not tag and number.isascii() and number.isdigit() and len(number) < 4:
            return int(number)
    return None


def request_url(exchange: Exchange) -> str:
    """Return the URL of a request; empty if there is none."""
    return (exchange.request.url or "") if exchange.request else ""


def tidy_title(title: str) -> str:
    """Return a title without entities and needless white space, cut to ``TEXT_LIMIT``."""
    return _tidy(title[: 2 * TEXT_LIMIT])


@lru_cache(maxsize=1 << 12)
def _tidy(title: str) -> str:
    return " ".join(html.unescape(title).split())[:TEXT_LIMIT]


# --- apps and tools -------------------------------------------------------------------------------
# Versions of 2016 to today share these names (ooni/spec ts-015 to ts-030).


class Target(Struct, gc=False):
    """One directory, relay or bridge of the tor test."""

    failure: str | bool | None = None
    target_address: str | None = None
    target_protocol: str | None = None
    tcp_connect: list[Connect] | None = None


#: Messenger's services; the test has two keys for each.
_SERVICES = ("b_api", "b_graph", "edge", "external_cdn", "scontent_cdn", "star", "stun")
_Facebook = msgspec.defstruct(
    "FacebookKeys",
    [
        (f"facebook_{service}_{key}", bool | None, None)
        for service in _SERVICES
        for key in ("dns_consistent", "reachable")
    ],
    gc=False,
)


class Keys(_Facebook, gc=False):  # type: ignore[misc, valid-type, call-arg]
    """The result of one test of an app or tool."""

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


class MessagingMeasurement(Measurement, gc=False):
    """One line of the archive of a test of an app or tool."""

    test_keys: Keys | None = None


_APP_DECODER = msgspec.json.Decoder(MessagingMeasurement)


def decode_app(line: bytes | bytearray | memoryview) -> MessagingMeasurement:
    """Read one measurement of a test of an app or tool.

    Raises:
        Unreadable: see :func:`decode`.
    """
    measurement = decode_as(line, _APP_DECODER)
    clip_lists(measurement.test_keys, ("queries", "tcp_connect", "tls_handshakes", "requests"))
    return measurement


# --- required fields ------------------------------------------------------------------------------
# If OONI renamed a field or changed its type, its column would silently become empty. So a few
# lines of each archive object are compared with the fields that are declared here. A new field is
# harmless and only counted.

#: The states of a field, as in ``missing:test_keys.queries``. A required field has one of the first
#: three.
FOUND, RETYPED, MISSING, NEW = "found", "retyped", "missing", "new"

#: New names that are kept of one line, and their length: an uploader may send any names.
NAME_COUNT, NAME_LENGTH = 20, 80

_ODD = re.compile(r"[^A-Za-z0-9_.\-]")

_WEB = "web_connectivity"
#: Versions below these were tried by OONI itself in 2019 and 2020, with fields of other names.
_FIRST_RELEASES = {"telegram": (0, 1), "tor": (0, 1), "psiphon": (0, 4)}

_Object = Mapping[str, Any]
_Condition = Callable[[_Object, _Object], bool]


def _always(item: _Object, line: _Object) -> bool:
    return True


def _since(*version: int, test: str = _WEB) -> _Condition:
    """Return the condition that a line is of this version of a test or later."""
    return lambda item, line: line.get("test_name") == test and _version(line) >= version


def _keeps_nulls(item: _Object, line: _Object) -> bool:
    return line.get("test_name") != _WEB or _version(line) >= (0, 1)


def _of(*tests: str) -> _Condition:
    return lambda item, line: line.get("test_name") in tests


def _version(line: _Object) -> tuple[int, ...]:
    """Return the test's major and minor number; a version that is not a number counts as newest."""
    version = re.match(r"(\d{1,6})\.(\d{1,6})", str(line.get("test_version")), re.ASCII)
    return tuple(map(int, version.groups())) if version else (1 << 20,)


def _is_https(line: _Object) -> bool:
    return str(line.get("input"))[:8].lower() == "https://"


def _has(name: str) -> _Condition:
    return lambda item, line: item.get(name) is not None


def _answers(kind: str) -> _Condition:
    return lambda item, line: item.get("answer_type", kind) == kind


def _has_response(item: _Object, line: _Object) -> bool:
    return bool(item.get("headers") or item.get("body"))


def _has_connected(item: _Object, line: _Object) -> bool:
    """Test whether port 443 of an https input accepted a connection: a handshake must follow."""
    connects = item.get("tcp_connect")
    if _version(line) < (0, 4) or not _is_https(line) or not isinstance(connects, list):
        return False
    return any(isinstance(connect, dict) and _is_open_443(connect) for connect in connects)


def _is_open_443(connect: _Object) -> bool:
    status = connect.get("status")
    is_open = isinstance(status, dict) and status.get("success") is True
    return is_open and connect.get("port") == 443


def _has_control_connected(item: _Object, line: _Object) -> bool:
    """Test whether a helper that makes handshakes connected to port 443 of an https input."""
    results = item.get("tcp_connect")
    if "ip_info" not in item or not _is_https(line) or not isinstance(results, dict):
        return False
    return any(
        endpoint.endswith(":443") and isinstance(result, dict) and result.get("status") is True
        for endpoint, result in results.items()
    )


def _is_annotated(item: _Object, line: _Object) -> bool:
    dns = item.get("dns")
    has_addresses = isinstance(dns, dict) and bool(dns.get("addrs"))
    return has_addresses and (_version(line) >= (0, 5) or "tls_handshake" in item)


class _Requirement(NamedTuple):
    """Fields that an object must have, and the condition.

    Attributes:
        kind: the object; an empty one needs no fields.
        names: of the fields, separated by spaces.
        when: the condition on the object and the whole measurement, both as plain JSON.
        is_filled: an empty list or null counts as missing.
    """

    kind: type[Struct]
    names: str
    when: _Condition = _always
    is_filled: bool = False


# Read from real measurements of all versions and from ooni/spec (ts-017, df-001 to df-006).
# Versions 0.0 are measurement-kit's, some of which leave out nulls; 0.4 is the first version of the
# Go engine, and 0.5 tags each attempt. Not declared are fields that only some years of the archive
# have (``probe_id``), fields with a substitute (a request's ``address`` and ``transaction_id``) and
# fields that no rule reads.
_REQUIREMENTS = (
    _Requirement(
        Measurement,
        "test_name report_id measurement_start_time probe_cc probe_asn software_name "
        "software_version test_version test_keys",
    ),
    _Requirement(Measurement, "input test_start_time", _of(_WEB)),
    _Requirement(Measurement, "probe_network_name resolver_asn", _since(0, 4)),
    _Requirement(
        TestKeys,
        "queries tcp_connect requests control http_experiment_failure dns_consistency blocking "
        "accessible",
    ),
    _Requirement(
        TestKeys, "control_failure dns_experiment_failure status_code_match", _since(0, 1)
    ),
    # If the probe compared its page with the control's.
    _Requirement(TestKeys, "body_proportion title_match", _has("body_length_match")),
    # 0.0.1 and 0.1.0 never report handshakes; all 141 real https measurements of 0.4 that connected
    # do.
    _Requirement(TestKeys, "tls_handshakes", _has_connected, is_filled=True),
    _Requirement(Query, "hostname query_type answers"),
    _Requirement(Query, "failure", _keeps_nulls),
    _Requirement(Query, "engine", _since(0, 4)),
    _Requirement(Query, "tags", _since(0, 5)),
    _Requirement(Answer, "ipv4", _answers("A")),
    _Requirement(Answer, "ipv6", _answers("AAAA")),
    _Requirement(Answer, "hostname", _answers("CNAME")),
    # The probe's database has both the number and the name of a network, or neither.
    _Requirement(Answer, "asn", _has("as_org_name")),
    _Requirement(Connect, "ip port status"),
    _Requirement(Connect, "tags", _since(0, 5)),
    _Requirement(ConnectStatus, "success"),
    _Requirement(ConnectStatus, "failure", _keeps_nulls),
    _Requirement(Handshake, "server_name failure no_tls_verify"),
    _Requirement(Handshake, "address tags", _since(0, 5)),
    _Requirement(Exchange, "failure request response"),
    _Requirement(Exchange, "tags", _since(0, 5)),
    _Requirement(HttpRequest, "url"),
    _Requirement(HttpResponse, "code", _has_response),
    _Requirement(HttpResponse, "body headers", _has("code")),
    _Requirement(Control, "dns tcp_connect http_request"),
    _Requirement(Control, "tls_handshake", _has_control_connected),
    _Requirement(Control, "ip_info", _is_annotated),
    _Requirement(ControlDns, "addrs"),
    _Requirement(ControlDns, "failure", _keeps_nulls),
    _Requirement(ControlEndpoint, "status"),
    _Requirement(ControlEndpoint, "failure", _keeps_nulls),
    _Requirement(ControlHttp, "status_code body_length failure"),
    _Requirement(
        ControlHttp, "title", lambda item, line: item.get("status_code") not in (None, 0, -1)
    ),
    _Requirement(IpInfo, "asn"),
    _Requirement(Keys, "requests", _of("signal", "telegram", "whatsapp")),
    _Requirement(Keys, "tcp_connect", _of("facebook_messenger", "signal", "telegram", "whatsapp")),
    _Requirement(Keys, "queries", _of("facebook_messenger", "signal", "whatsapp")),
    # Old versions make no lookups.
    _Requirement(
        Keys,
        "queries",
        lambda item, line: line.get("test_name") == "telegram" and "tls_handshakes" in item,
    ),
    _Requirement(Keys, "tls_handshakes signal_backend_status", _of("signal")),
    _Requirement(Keys, "telegram_web_status", _of("telegram")),
    _Requirement(Keys, "facebook_dns_blocking facebook_tcp_blocking", _of("facebook_messenger")),
    _Requirement(Keys, "targets", _of("tor")),
    _Requirement(Keys, "failure", _of("psiphon", "torsf")),
    _Requirement(Keys, "failure", _since(0, 2, test="vanilla_tor")),
    _Requirement(Keys, "success error tor_progress", _of("vanilla_tor")),
    _Requirement(Target, "failure target_address target_protocol tcp_connect"),
    _Requirement(HttpRequest, "method", _of("telegram")),
)

#: Names that OONI has used in any version and that this project does not read.
_UNREAD = """
address agent alpn answer_type as_org_name asns backend_version blocked body body_is_truncated
body_length_match bootstrap_time bucket_date cipher_suite client_resolver conn_id
data_format_version default_timeout dial_id dir_port_accessible dir_port_total
discovered_h3_endpoint echconfig expiration_limit extensions failed_operation failure flags format
headers headers_list http3_request id input_hashes is_verified locations measurement_uid minimum_ttl
negotiated_protocol network network_events obfs4_accessible obfs4_total options or_port_accessible
or_port_dirauth_accessible or_port_dirauth_total or_port_total outer_server_name persistent_datadir
probe_city probe_ip proto queries quic_handshake raw_response rcode refresh_interval
registration_server_failure registration_server_status rendezvous_method report_filename requests
resolver_address resolver_hostname resolver_ip resolver_network_name resolver_port response_length
response_line responsible_name retries retry_interval serial_number server_name
signal_backend_failure so_error socksproxy summary t t0 tags target_name telegram_http_blocking
telegram_tcp_blocking telegram_web_failure test_helpers test_runtime timeout tls_handshakes
tls_version tor tor_log tor_logs tor_progress_summary tor_progress_tag tor_version transaction_id
transport_name ttl whatsapp_endpoints_blocked whatsapp_endpoints_dns_inconsistent
whatsapp_endpoints_status whatsapp_web_failure whatsapp_web_status x_conn_priority_log
x_control_request x_dns_duplicate_responses x_dns_runtime x_dns_whoami x_do53 x_doh x_http_runtime
x_status x_tcptls_runtime x_th_runtime x_transport
"""
_UNREAD_NAMES = frozenset(_UNREAD.split())


class _Shape(NamedTuple):
    fields: dict[str, types.Type]
    required: list[tuple[str, _Condition, bool]]


@cache
def _shape_of(kind: type[Struct]) -> _Shape:
    info = types.type_info(kind)
    fields = info.fields if isinstance(info, types.StructType) else ()
    return _Shape(
        {field.encode_name: field.type for field in fields},
        [
            (name, requirement.when, requirement.is_filled)
            for requirement in _REQUIREMENTS
            if issubclass(kind, requirement.kind)
            for name in requirement.names.split()
        ],
    )


_type_of = cache(types.type_info)


@cache
def required_fields(kind: type[Measurement] = Measurement) -> list[str]:
    """Return the sorted paths of the required fields of a measurement."""
    return sorted(set(_list_required(_type_of(kind), "")))


def _list_required(kind: types.Type, path: str) -> Iterator[str]:
    if isinstance(kind, types.UnionType):
        for option in kind.types:
            yield from _list_required(option, path)
    elif isinstance(kind, types.ListType):
        yield from _list_required(kind.item_type, path)
    elif isinstance(kind, types.DictType):
        yield from _list_required(kind.value_type, path)
    elif isinstance(kind, types.StructType):
        fields, required = _shape_of(kind.cls)
        yield from (_join(path, name) for name, *_ in required)
        for name, inner in fields.items():
            yield from _list_required(inner, _join(path, name))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def compare_fields(line: bytes, kind: type[Measurement] = Measurement) -> list[str]:
    """Return the states of a line's fields: ``found:x``, ``missing:x``, ``retyped:x``, ``new:x``.

    Only a required field is found or missing; it is missing if any of several items lacks it. Names
    that users choose, such as annotations, are left out.

    Args:
        line: one measurement as JSON, which has been decoded before.
        kind: the struct that it is decoded to.

    Returns:
        Sorted, with odd characters replaced, and with at most ``NAME_COUNT`` new names.
    """
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []  # only the tolerant path reads it, for instance because of a byte order mark
    top = value if isinstance(value, dict) else {}
    if _version(top) < _FIRST_RELEASES.get(str(top.get("test_name")), ()):
        return []
    comparison = _Comparison(top)
    comparison.compare(_type_of(kind), value, "")
    states = [f"{state}:{path}" for path, state in comparison.states.items()]
    new = sorted(comparison.new)[:NAME_COUNT]
    return sorted([*states, *(f"{NEW}:{name}" for name in new)])


_WORST = (FOUND, RETYPED, MISSING).index


class _Comparison:
    """The comparison of one line with the structs: states by path, and new names."""

    def __init__(self, line: _Object) -> None:
        self.states: dict[str, str] = {}
        self.new: set[str] = set()
        self._line = line

    def compare(self, kind: types.Type, value: Any, path: str) -> None:
        """Record the differences at a path and below it."""
        for option in kind.types if isinstance(kind, types.UnionType) else (kind,):
            if isinstance(option, types.StructType) and isinstance(value, dict):
                self._compare_object(option.cls, value, path)
                return
            if isinstance(option, types.ListType) and isinstance(value, list):
                for item in value[:LIST_LIMIT]:
                    self.compare(option.item_type, item, path)
                return
            if isinstance(option, types.DictType) and isinstance(value, dict):
                for item in islice(value.values(), LIST_LIMIT):
                    self.compare(option.value_type, item, path)
                return
            if isinstance(option, SCALARS.get(type(value), ())):
                return
        self._record(RETYPED, path)

    def _compare_object(self, kind: type[Struct], value: _Object, path: str) -> None:
        fields, required = _shape_of(kind)
        for name, when, is_filled in required if value else ():
            if when(value, self._line):
                is_present = bool(value.get(name)) if is_filled else name in value
                self._record(FOUND if is_present else MISSING, _join(path, name))
        for name, item in value.items():
            if name in fields:
                self.compare(fields[name], item, _join(path, name))
            elif name not in _UNREAD_NAMES and kind is not Annotations:
                self.new.add(_ODD.sub("?", _join(path, name)[:NAME_LENGTH]))

    def _record(self, state: str, path: str) -> None:
        self.states[path] = max(self.states.get(path, state), state, key=_WORST)
