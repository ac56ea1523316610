"""The columns of an observation, the boundary between reading measurements and judging them.

One row is one web_connectivity measurement with its results at each layer. Rows are facts: they
depend on no rule, threshold or list, so a change of method never needs the archive again. Field
names are OONI's (ooni/spec ts-017, df-002 to df-008) if OONI has one.
"""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pyarrow as pa

#: Raised when a column is added, dropped or changes meaning: older files are then read again.
SCHEMA_VERSION = 9

#: An address beside the control's answers for the same name: ``address``: the control got this
#: address, ``asn``: one in the same network, ``none``: neither; null: the control has no answer.
MATCH_VALUES = ("address", "asn", "none")

_ANSWER = pa.struct(
    [
        ("address", pa.string()),  # canonical text of an IPv4 or IPv6 address
        ("asn", pa.uint32()),  # as the probe or the control annotated it; null if neither did
        ("special", pa.string()),  # kind of special-purpose address, see hosts.special_kind
        ("match", pa.string()),  # one of MATCH_VALUES
    ]
)

_CONTROL_ANSWER = pa.struct(
    [("address", pa.string()), ("asn", pa.uint32()), ("special", pa.string())]
)

_CONNECT = pa.struct(
    [
        ("address", pa.string()),
        ("port", pa.uint16()),
        ("failure", pa.string()),  # null: connected
        ("match", pa.string()),
        # the system resolver returned this address; null: no lookup can be compared with
        ("is_answer", pa.bool_()),
        ("control_ok", pa.bool_()),  # null: the control did not try this endpoint
        ("control_failure", pa.string()),
    ]
)

_HANDSHAKE = pa.struct(
    [
        ("address", pa.string()),
        ("server_name", pa.string()),
        ("failure", pa.string()),  # null: handshake done and the certificate is valid
        ("match", pa.string()),
        ("is_answer", pa.bool_()),
        ("control_ok", pa.bool_()),
        ("control_failure", pa.string()),
    ]
)

_READ = pa.struct(
    [
        ("t", pa.float32()),  # seconds since the measurement began
        ("num_bytes", pa.int64()),  # received until then
    ]
)

#: Time, probe and network of a measurement: the same columns for every test.
PROBE = [
    ("measurement_start_time", pa.timestamp("s")),  # UTC
    # UTC: the same for all measurements that a probe takes together; null: missing or not a time
    ("test_start_time", pa.timestamp("s")),
    ("line_number", pa.uint32()),  # in the archive object, from 1
    # the probe and its network
    ("probe_cc", pa.string()),
    ("probe_asn", pa.uint32()),  # 0: unknown
    ("probe_network_name", pa.string()),
    ("resolver_asn", pa.uint32()),  # 0: unknown
    ("software_name", pa.string()),
    ("software_version", pa.string()),
    ("test_version", pa.string()),
    ("platform", pa.string()),
    ("run_link_id", pa.uint64()),  # the OONI Run link that the probe followed; null: none
    ("probe_id", pa.string()),  # identifies the sender on this network, since 2026; null: none
    ("test_keys_digest", pa.uint32()),  # CRC-32 of ``test_keys`` as sent; 0: there are none
]

OBSERVATION = pa.schema(
    [
        # identity
        ("report_id", pa.string()),  # "" where the probe could not open a report
        ("input", pa.string()),  # the URL as OONI has it
        *PROBE,
        # the site
        ("domain", pa.string()),  # hosts.normalise(input); "" where there is no host name
        ("is_https", pa.bool_()),  # scheme of the input
        ("is_ip_input", pa.bool_()),  # the input is an address, so there is no lookup
        # dns: the system resolver's view of the input's host name
        ("dns_failure", pa.string()),  # null where any system query answered, or none was made
        ("getaddrinfo_error", pa.int32()),  # the system's own number for it, since 2022
        ("dns_answers", pa.list_(_ANSWER)),
        # dns over plain UDP to a public resolver (0.5): shows injection on the path
        ("udp_failure", pa.string()),
        ("udp_answers", pa.list_(_ANSWER)),
        # control (test helper)
        ("has_control", pa.bool_()),  # there is a control reply and control_failure is null
        ("control_failure", pa.string()),
        ("control_dns_failure", pa.string()),
        ("control_answers", pa.list_(_CONTROL_ANSWER)),
        # addresses on which the control itself got a certificate that is valid for the name
        ("control_tls_addresses", pa.list_(pa.string())),
        # tcp and tls towards the input's host (0.5: depth=0 only), one item an attempt
        ("tcp", pa.list_(_CONNECT)),
        ("tls", pa.list_(_HANDSHAKE)),
        # the certificate that the probe received: of the first of these handshakes that refused it,
        # else of the first that has one; null where none has, or it cannot be read
        ("certificate_issuer", pa.string()),  # RFC 4514
        ("certificate_names", pa.list_(pa.string())),  # host names, the first ten; else its subject
        # points of bytes received over one connection, see attempts.list_reads; empty: not recorded
        ("reads", pa.list_(_READ)),
        # the first failure at a redirect's target (0.5: depth>0), if any
        ("redirect_layer", pa.string()),  # dns | tcp | tls | http; null where nothing says which
        ("redirect_host", pa.string()),
        ("redirect_failure", pa.string()),
        # http: the last request made (OONI lists the newest first)
        ("http_failure", pa.string()),  # the newest request's failure; null: a response came
        ("http_url", pa.string()),  # of the newest request
        ("http_host", pa.string()),  # its normalised host name
        ("http_status", pa.int32()),  # null: no response
        ("http_request_count", pa.uint16()),
        # the first (oldest) request went to an address that the system resolver returned; false: to
        # one that only the control resolved (0.5); null: its address is unknown (before 0.5, one of
        # the resolver), or no lookup can be compared with
        ("http_first_is_answer", pa.bool_()),
        ("http_body_length", pa.int64()),  # of the newest response; null: no response
        ("http_title", pa.string()),  # only if the body was searched, see observation.py
        ("http_body_digest", pa.string()),  # normalised body; only if it was searched
        ("http_fingerprints", pa.list_(pa.string())),  # names; only if it was searched
        ("control_http_failure", pa.string()),
        ("control_http_status", pa.int32()),  # null: no response
        ("control_http_body_length", pa.int64()),
        ("control_http_title", pa.string()),
        ("body_proportion", pa.float64()),  # the probe's own comparison with the control
        ("status_code_match", pa.bool_()),
        ("headers_match", pa.bool_()),
        ("title_match", pa.bool_()),
        # the probe's own conclusions
        ("dns_experiment_failure", pa.string()),
        ("http_experiment_failure", pa.string()),
        ("dns_consistency", pa.string()),
        ("blocking", pa.string()),  # "dns", "tcp_ip", "http-failure", "http-diff", "false"; null
        ("accessible", pa.bool_()),
        ("x_blocking_flags", pa.int32()),
        ("x_dns_flags", pa.int32()),
        ("x_null_null_flags", pa.int32()),
        # OONI's published flags, recomputed (flags.py); not disjoint
        ("is_anomaly", pa.bool_()),
        ("is_confirmed", pa.bool_()),
        ("is_failure", pa.bool_()),
        # states of the line's fields, see compare_fields; null: they were not compared
        ("fields_met", pa.list_(pa.string())),
    ]
)


def record(name: str, schema: pa.Schema) -> Callable[..., tuple[Any, ...]]:
    """Return the named tuple class of a schema's rows.

    A struct column has a tuple in the order of the struct's fields.
    """
    return namedtuple(name, schema.names)


Observation = record("Observation", OBSERVATION)
