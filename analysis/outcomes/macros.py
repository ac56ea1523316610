"""SQL that several steps share: DuckDB macros.

A macro is an expression (or, ``AS TABLE``, a query) with a name and arguments. They belong to the
features' tables, so that steps, rules and notebooks can call them by name.
"""

from collections.abc import Mapping

import duckdb

from analysis.sql import read_queries

#: Macro → the failures for which it is true, in OONI's words (ooni/spec df-007) and ooniprobe 2's.
FAILURES: Mapping[str, tuple[str, ...]] = {
    # measurement-kit says ``ssl_dirty_shutdown`` of a connection that ended without TLS's goodbye
    # (src/libmeasurement_kit/net/connection.cpp): nothing is wrong with the certificate.
    "is_reset": (
        "connection_reset",
        "eof_error",
        "connection_aborted",
        "connection_lost_error",
        "connection_done",
        "response_never_received",
        "ssl_dirty_shutdown",
    ),
    # No answer: the time ran out, or a router on the path reported the host as unreachable. A lost
    # route causes either.
    "is_silence": (
        "generic_timeout_error",
        "timed_out",
        "tcp_timed_out_error",
        "deferred_timeout_error",
        "task_timed_out",
        "host_unreachable",
    ),
    "is_refusal": ("connection_refused", "connection_refused_error"),
    # A resolver's own answer. ``dns_non_recoverable_failure`` is the C library's name for a
    # refusal; for a failure of the server its name is that of a temporary error.
    "is_denial": ("dns_no_answer", "dns_refused_error", "dns_non_recoverable_failure"),
    # Failures by which a control reports that a name does not exist.
    "is_name_missing": ("dns_nxdomain_error", "dns_no_answer", "dns_name_error"),
    # The probe's own machine or link: no route, no socket, no permission.
    "is_machine_fault": (
        "address_family_not_supported",
        "address_in_use",
        "address_not_available",
        "bad_address",
        "bad_file_descriptor",
        "destination_address_required",
        "interrupted",
        "invalid_argument",
        "message_size",
        "network_down",
        "network_reset",
        "network_unreachable",
        "no_buffer_space",
        "no_protocol_option",
        "not_a_socket",
        "operation_would_block",
        "permission_denied",
        "protocol_not_supported",
        "wrong_protocol_type",
        "address_family_not_supported_error",
    ),
}

#: Name and arguments → body of the macro, in an order in which each follows those that it calls.
MACROS: Mapping[str, str] = {
    **{f"{name}(failure)": f"failure IN {failures}" for name, failures in FAILURES.items()},
    **read_queries(__file__),
}


def create_macros(connection: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Create all macros in a catalog."""
    for signature, body in MACROS.items():
        connection.execute(f"CREATE MACRO {catalog}.{signature} AS {body}")
