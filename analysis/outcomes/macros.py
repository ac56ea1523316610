"""SQL that several steps share: DuckDB macros.

A macro is an expression (or, ``AS TABLE``, a query) with a name and arguments. They belong to the
features' tables, so that every step, every rule and every notebook can call them by name.
"""

from collections.abc import Mapping

import duckdb

#: Macro → the failures of which it is true: OONI's words (ooni/spec df-007), and ooniprobe 2's.
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
    # Nobody answered: the time ran out, or a router on the way said that nothing lies there. A lost
    # route shows as either.
    "is_silence": (
        "generic_timeout_error",
        "timed_out",
        "tcp_timed_out_error",
        "deferred_timeout_error",
        "task_timed_out",
        "host_unreachable",
    ),
    "is_refusal": ("connection_refused", "connection_refused_error"),
    # A resolver's own answer. ``dns_non_recoverable_failure`` is how the C library tells of a
    # refusal; of a failure of the server it says that one may try again.
    "is_denial": ("dns_no_answer", "dns_refused_error", "dns_non_recoverable_failure"),
    # How a control says that there is no such name.
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

#: Name and arguments → body, in an order in which each finds those that it calls.
SCALAR_MACROS: Mapping[str, str] = {
    **{f"{name}(failure)": f"failure IN {failures}" for name, failures in FAILURES.items()},
    # Whether anything in a list of conditions is true; of no list nobody knows.
    "has_true(conditions)": "list_contains(conditions, TRUE)",
    # The failure says nothing of the network or the site: the probe's own machine failed, or the
    # system said so in words that nobody maps, too many open files and the messages of a localised
    # Windows among them. A bare "unknown_failure" is what old probes say of a connection that just
    # did not come about; it is none of these.
    "is_local_fault(failure)": """
        is_machine_fault(failure) OR starts_with(failure, 'unknown_failure:')""",
    # Who hosts the site: the network of the control's first answer, or its address alone.
    "hoster_of(answers)": "coalesce('AS' || answers[1].asn, answers[1].address)",
    # The network in which the site is: of the control's answers; of the resolver's answers that
    # connected where the control has none.
    "site_network(control_answers, answers, attempts)": """
        CASE WHEN len(control_answers) > 0 THEN list_any_value([a.asn FOR a IN control_answers])
          ELSE list_any_value([a.asn FOR a IN answers IF list_contains(
            [t.address FOR t IN attempts IF t.failure IS NULL], a.address)]) END""",
    # What one attempt to connect tells; the values of ``attempt_result``.
    "connection_result(failure, is_ipv6_broken, control_ok, control_is_lost)": """
        (CASE WHEN failure IS NULL THEN 'works'
          WHEN is_ipv6_broken THEN 'no_ipv6'
          WHEN is_local_fault(failure) THEN 'local'
          WHEN control_is_lost OR control_ok IS NULL THEN 'untold'
          WHEN control_ok THEN 'blocked' ELSE 'down' END)::attempt_result""",
    # ... and one attempt to shake hands. Without a handshake of the control, its page speaks.
    "handshake_result(failure, control_ok, control_is_lost, page_ok, page_fails)": """
        (CASE WHEN failure IS NULL THEN 'works'
          WHEN control_is_lost THEN 'untold'
          WHEN coalesce(control_ok, page_ok) THEN 'blocked'
          WHEN coalesce(NOT control_ok, page_fails) THEN 'down'
          ELSE 'untold' END)::attempt_result""",
    # The control knows the address or its network, a certificate proves it, or others vouch for it.
    "is_trusted_address(address, match, proven_addresses, vouched_addresses)": """
        match IN ('address', 'asn')
          OR coalesce(list_contains(proven_addresses, address), FALSE)
          OR coalesce(list_contains(vouched_addresses, address), FALSE)""",
    # The page is the control's by its title; by its length alone (OONI's other way) only where
    # nothing speaks against it: a block page may well be as long as a small site's.
    "is_control_page(has_control_status, title_match, proportion, may_compare_length,"
    " body_match)": """
        has_control_status AND (coalesce(title_match, FALSE)
          OR (coalesce(proportion, 0) > body_match AND may_compare_length))""",
    # What is given in a stretch (``find_stretches``) nearly always, and often enough.
    "is_steady(given_count, open_count, day_count, persistence_share, floor_sessions,"
    " floor_days)": """
        given_count >= persistence_share * (given_count + open_count)
          AND given_count >= floor_sessions AND day_count >= floor_days""",
}

#: Name and arguments → query.
TABLE_MACROS: Mapping[str, str] = {
    # The stretches in which something is given again and again. ``given``: the name of a relation
    # with a row a key and session (key, a struct; session, day, is_given). One row is one stretch
    # of one key: a block that is imposed twice is two of them, since ``floor_sessions`` open
    # sessions in a row end a stretch. ``given_count`` and ``open_count`` are its sessions,
    # ``day_count`` the days on which it was given, from ``since`` to ``until``.
    "find_stretches(given, floor_sessions)": """
        WITH ordered AS (
          SELECT key, day, is_given, count(*) FILTER (NOT is_given)
            OVER (PARTITION BY key ORDER BY day, session ROWS UNBOUNDED PRECEDING) AS open_before
          FROM query_table(given)
        ), parted AS (
          SELECT key, day, open_before, open_before - lag(open_before, 1, open_before)
            OVER (PARTITION BY key ORDER BY day, open_before) >= floor_sessions AS begins
          FROM ordered WHERE is_given
        ), numbered AS (
          SELECT key, day, open_before, count(*) FILTER (begins)
            OVER (PARTITION BY key ORDER BY day, open_before) AS stretch
          FROM parted
        )
        SELECT key, count(*) AS given_count, max(open_before) - min(open_before) AS open_count,
          count(DISTINCT day) AS day_count, min(day) AS since, max(day) AS until
        FROM numbered GROUP BY key, stretch""",
}


def create_macros(connection: duckdb.DuckDBPyConnection, place: str) -> None:
    """Create all macros in a catalog."""
    for signature, body in SCALAR_MACROS.items():
        connection.execute(f"CREATE MACRO {place}.{signature} AS ({body})")
    for signature, query in TABLE_MACROS.items():
        connection.execute(f"CREATE MACRO {place}.{signature} AS TABLE {query}")
