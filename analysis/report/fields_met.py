"""What OONI sent that was not expected: counted by name, and a run stopped where it is too much.

A renamed field would leave every rule without its fact, and the report would say *ok*. A session is
a ``report_id`` on a network and day. Each day of a network weighs the same, however many sessions
somebody uploads on it, and a network has to have been measured on several days: a flood of forged
uploads moves one day of a network.
"""

from typing import Final

import duckdb
import pandas as pd

from analysis.errors import ContractError
from analysis.observations.messages import NAME_LENGTH
from analysis.pages.formats import percent

#: From this share of sessions on, on half of the networks, the run stops.
STOPPING_SHARE: Final = 0.2
#: Of so many sessions at least, and judged by the networks that were measured on so many days, and
#: on this share of the days of the network with most: a sender can invent networks.
_FEWEST_SESSIONS, _FEWEST_DAYS, _SHARE_OF_DAYS = 4, 3, 0.1
#: OONI's own mark of a field that may come and go.
_EXPERIMENTAL = "test_keys.x_"
#: Names that are counted, the most frequent first: whoever uploads a line chooses its names.
_MOST_NAMES = 200
#: Names that a sentence gives.
_MOST_TOLD = 5
_WORDS = {"missing": "no field", "retyped": "another type of", "new": "the new field",
          "version": "the unknown test version", "failure": "the unknown failure"}  # fmt: skip

_KNOWN_VERSION = r"0\.[0-5]\.[0-9]{1,3}"
#: ooni/spec df-007, and what probe-cli and the test helpers write besides.
_FAILURES = """
address_family_not_supported address_family_not_supported_error address_in_use
address_not_available already_connected android_dns_cache_no_data bad_address bad_file_descriptor
connect_error connection_aborted connection_already_in_progress connection_done
connection_lost_error connection_refused connection_refused_error connection_reset
deferred_timeout_error destination_address_required dns_bogon_error dns_lookup_error
dns_name_error dns_name_failure dns_no_answer dns_non_recoverable_failure dns_nxdomain_error
dns_refused_error dns_reply_with_wrong_query_id dns_server_failure dns_server_misbehaving
dns_servfail_error dns_temporary_failure eof_error generic_timeout_error host_unreachable
http_invalid_redirect_location_host http_request_failed http_unexpected_redirect_url
http_unexpected_status_code interrupted invalid_argument json_parse_error message_size
network_down network_reset network_unreachable no_buffer_space no_protocol_option not_a_socket
not_connected operation_not_permitted operation_not_supported operation_would_block
permission_denied protocol_not_supported quic_incompatible_version response_never_received
socks_address_not_supported socks_command_not_supported socks_connection_not_allowed
socks_connection_refused socks_error socks_host_unreachable socks_network_unreachable
socks_server_failure socks_ttl_expired ssl_error ssl_failed_handshake ssl_invalid_certificate
ssl_invalid_hostname ssl_unknown_authority ssl_unknown_autority task_timed_out tcp_timed_out_error
timed_out unknown_error wrong_protocol_type
"""

# One row a name that a row has and that was not expected. A share is anybody's, and so are its
# names.
_NAMED = f"""
WITH named AS (
  SELECT probe_asn, measurement_start_time::DATE AS day, report_id, unnest(list_concat(
    coalesce(fields_met, []),
    if(regexp_full_match(coalesce(test_version, ''), '{_KNOWN_VERSION}'), [],
      ['version:' || coalesce(test_version, 'none')]),
    list_transform(
      list_filter(
        list_concat(
          [dns_failure, udp_failure, http_failure, control_failure, control_dns_failure,
            control_http_failure],
          list_transform(tcp, lambda one: one.failure),
          list_transform(tls, lambda one: one.failure)),
        lambda one: NOT list_contains($failures, one) AND NOT starts_with(one, 'unknown_failure')),
      lambda one: 'failure:' || one)
  )) AS given
  FROM observations
), cut AS (
  SELECT probe_asn, day, report_id,
    regexp_replace(given[:{NAME_LENGTH}], '[^A-Za-z0-9_.:-]', '?', 'g') AS name FROM named
  WHERE regexp_matches(given, '^(missing|retyped|new|version|failure):')
), most AS (
  SELECT name FROM cut GROUP BY name
  ORDER BY count(DISTINCT (probe_asn, day, report_id)) DESC, name LIMIT {_MOST_NAMES}
)
SELECT name, probe_asn, day, count(DISTINCT report_id) AS session_count
FROM cut SEMI JOIN most USING (name) GROUP BY ALL ORDER BY ALL
"""

_DAYS = """
SELECT probe_asn, measurement_start_time::DATE AS day, count(DISTINCT report_id) AS all_count,
  count(DISTINCT report_id) FILTER (fields_met IS NOT NULL) AS looked_at_count
FROM observations GROUP BY ALL ORDER BY ALL
"""

_COLUMNS = ["kind", "name", "session_count", "session_share", "network_count", "day_share",
            "many_network_count", "tested_network_count", "first_day", "last_day",
            "is_too_much"]  # fmt: skip


def count_fields_met(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The contract's ``fields_met``: one row a field, version or failure that was not expected.

    Args:
        connection: holds ``observations``.

    Returns:
        ``kind`` (missing, retyped, new, version, failure) and ``name``; how many sessions have it,
        of all (for fields: of those that were looked at), on how many networks; ``day_share``, the
        mean share of a network's day; and on how many of the networks that count it is many.
    """
    named = connection.execute(_NAMED, {"failures": _FAILURES.split()}).df()
    days = connection.execute(_DAYS).df()
    rows = [_count_one(str(name), met, days) for name, met in named.groupby("name") if len(met)]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _count_one(name: str, met: pd.DataFrame, days: pd.DataFrame) -> list[object]:
    kind, _, what = name.partition(":")
    tested = days.assign(
        of=days["all_count" if kind in ("version", "failure") else "looked_at_count"]
    )
    tested = tested[tested["of"] > 0].merge(met, on=["probe_asn", "day"], how="left")
    tested["share"] = tested["session_count"].fillna(0) / tested["of"]
    by_network = tested.groupby("probe_asn")["share"].agg(["mean", "size"])
    most_days = by_network["size"].max()
    counts = by_network["size"] >= max(_FEWEST_DAYS, _SHARE_OF_DAYS * most_days)
    if not counts.any():
        counts[:] = True
    is_counted = tested["probe_asn"].map(counts)
    day_share = float(tested.loc[is_counted, "share"].mean())
    many = int((by_network.loc[counts, "mean"] > STOPPING_SHARE).sum())
    sessions = int(met["session_count"].sum())
    is_too_much = (
        day_share > STOPPING_SHARE / 2
        and 2 * many >= counts.sum()
        and sessions >= _FEWEST_SESSIONS
        and not what.startswith(_EXPERIMENTAL)
    )
    return [
        kind, what, sessions, sessions / tested["of"].sum(), met["probe_asn"].nunique(), day_share,
        many, int(counts.sum()), met["day"].min(), met["day"].max(), is_too_much,
    ]  # fmt: skip


def refuse_changed_fields(met: pd.DataFrame, *, is_accepted: bool) -> None:
    """Stop where a change of OONI's fields concerns much of what was measured.

    Args:
        met: see ``count_fields_met``.
        is_accepted: the run is told to go on.

    Raises:
        ContractError: it does, and the run is not.
    """
    if met["is_too_much"].any() and not is_accepted:
        raise ContractError(
            f"OONI's measurements are not as this version of the workbook knows them, and it may "
            f"misread them: {name_changes(met)}. Use a newer version of the workbook, or add "
            "ACCEPT_FIELDS=1 to go on; page 1 then says so"
        )


def name_changes(met: pd.DataFrame) -> str:
    """What is too much, in words, the most frequent first."""
    many = met[met["is_too_much"]].sort_values("day_share", ascending=False, kind="stable")
    told = [
        f"{_WORDS[str(one.kind)]} {one.name} ({percent(one.session_share)} of the sessions, on "
        f"{one.many_network_count} of {one.tested_network_count} networks)"
        for one in many.head(_MOST_TOLD).itertuples(index=False)
    ]
    more = [f"and {len(many) - len(told)} more"] if len(many) > len(told) else []
    return "; ".join([*told, *more])


def read_fields_met(met: pd.DataFrame) -> str:
    """What page 1 says of the table, where the run was not refused."""
    if met["is_too_much"].any():
        return (
            f"OONI's fields have changed: {name_changes(met)}. This report was made all the same, "
            "with ACCEPT_FIELDS=1: some of its numbers may be wrong."
        )
    if met.empty:
        return "Every field, test version and kind of failure is one that these rules know."
    return (
        f"Unexpected fields, test versions or kinds of failure: {len(met)}. None of them stops the "
        "report (experimental fields, x_…, never do). A session over midnight counts on both days."
    )
