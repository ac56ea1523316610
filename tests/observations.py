"""Rows of ``schema.OBSERVATION`` for tests: a healthy measurement, changed where a test says so."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from analysis.observations.schema import OBSERVATION
from analysis.store.database import observations_from_table

Row = dict[str, Any]

ADDRESS = "192.0.2.10"
NETWORK = 64496  # the site's
PROBE_NETWORK = 64500


def answer(
    address: str,
    asn: int | None = NETWORK,
    *,
    special: str | None = None,
    match: str | None = "address",
) -> Row:
    """One address that the resolver gave."""
    return {"address": address, "asn": asn, "special": special, "match": match}


def control_answer(address: str, asn: int | None = NETWORK, special: str | None = None) -> Row:
    """One address that the control got."""
    return {"address": address, "asn": asn, "special": special}


def connect(
    address: str = ADDRESS,
    failure: str | None = None,
    *,
    port: int = 443,
    match: str | None = "address",
    is_answer: bool | None = True,
    control_ok: bool | None = True,
    control_failure: str | None = None,
) -> Row:
    """One TCP attempt."""
    return {
        "address": address,
        "port": port,
        "failure": failure,
        "match": match,
        "is_answer": is_answer,
        "control_ok": control_ok,
        "control_failure": control_failure,
    }


def handshake(
    address: str | None = ADDRESS,
    failure: str | None = None,
    *,
    server_name: str = "news.example",
    match: str | None = "address",
    is_answer: bool | None = True,
    control_ok: bool | None = True,
    control_failure: str | None = None,
) -> Row:
    """One TLS attempt."""
    return {
        "address": address,
        "server_name": server_name,
        "failure": failure,
        "match": match,
        "is_answer": is_answer,
        "control_ok": control_ok,
        "control_failure": control_failure,
    }


def observation(**changes: Any) -> Row:
    """A complete measurement of an https site that works, with ``changes`` on top.

    ``domain`` also sets ``input``, ``http_url`` and ``http_host`` unless they are given.

    Raises:
        AssertionError: a change names no column.
    """
    unknown = set(changes) - set(OBSERVATION.names) - {"object_key"}
    assert not unknown, f"no such column: {sorted(unknown)}"
    domain = changes.get("domain", "news.example")
    row = dict.fromkeys(OBSERVATION.names)
    row |= {
        "report_id": "20240110T080000Z_webconnectivity_QQ_64500_n1_a",
        "line_number": 1,
        "measurement_start_time": datetime(2024, 1, 10, 8),
        "probe_cc": "QQ",
        "probe_asn": PROBE_NETWORK,
        "probe_network_name": "Network",
        "resolver_asn": PROBE_NETWORK,
        "software_name": "ooniprobe-android",
        "software_version": "3.8.8",
        "test_version": "0.5.28",
        "platform": "android",
        "domain": domain,
        "input": f"https://{domain}/",
        "is_https": True,
        "is_ip_input": False,
        "dns_answers": [answer(ADDRESS)],
        "udp_answers": [answer(ADDRESS)],
        "has_control": True,
        "control_answers": [control_answer(ADDRESS)],
        "control_tls_addresses": [],
        "tcp": [connect()],
        "tls": [handshake(server_name=domain)],
        "http_url": f"https://{domain}/",
        "http_host": domain,
        "http_status": 200,
        "http_request_count": 1,
        "http_first_is_answer": True,
        "http_body_length": 12000,
        "control_http_status": 200,
        "control_http_body_length": 12000,
        "control_http_title": "News",
        "body_proportion": 1.0,
        "status_code_match": True,
        "headers_match": True,
        "title_match": True,
        "dns_consistency": "consistent",
        "blocking": "false",
        "accessible": True,
        "is_anomaly": False,
        "is_confirmed": False,
        "is_failure": False,
    }
    return row | changes


def http_observation(**changes: Any) -> Row:
    """A complete measurement of a plain-http site that works and serves the control's page."""
    domain = changes.get("domain", "news.example")
    plain: Row = {
        "input": f"http://{domain}/",
        "is_https": False,
        "http_url": f"http://{domain}/",
        "tcp": [connect(port=80)],
        "tls": [],
        "test_version": "0.4.2",
        "http_first_is_answer": None,
        "http_title": "News",
        "http_body_digest": f"own {domain}",
        "http_fingerprints": [],
    }
    return observation(**{**plain, **changes})


def no_response(**failure: Any) -> Row:
    """The http columns of a request that got no response, for use as changes."""
    empty = (
        "http_status",
        "http_body_length",
        "http_title",
        "http_body_digest",
        "http_fingerprints",
        "body_proportion",
        "status_code_match",
        "headers_match",
        "title_match",
    )
    return {
        **dict.fromkeys(empty),
        "is_anomaly": True,
        "blocking": "http-failure",
        "accessible": False,
        **failure,
    }


def no_control(**changes: Any) -> Row:
    """The control columns of a measurement whose control failed, for use as changes."""
    empty = (
        "control_dns_failure",
        "control_http_failure",
        "control_http_status",
        "control_http_body_length",
        "control_http_title",
        "body_proportion",
        "status_code_match",
        "headers_match",
        "title_match",
    )
    return {
        **dict.fromkeys(empty),
        "has_control": False,
        "control_answers": [],
        "control_failure": "generic_timeout_error",
        **changes,
    }


def table_of(rows: Iterable[Mapping[str, Any]], key: str = "object_key") -> pa.Table:
    """Rows in columns; ``key`` names what each came from, ``a`` where a row does not say."""
    listed = [{key: "a", **row} for row in rows]
    schema = OBSERVATION.append(pa.field(key, pa.string()))
    return pa.Table.from_pylist(listed, schema)


def connection_with(rows: Iterable[Mapping[str, Any]]) -> duckdb.DuckDBPyConnection:
    """A connection with the relation ``observations``; rows are numbered where they are not.

    Rows of one report are one run; those of none, one for each network and day.
    """
    numbered = []
    for number, row in enumerate(rows, start=1):
        numbered.append(row if "object_key" in row else {**row, "line_number": number})
    names = [
        row["report_id"] or f"AS{row['probe_asn']} {row['measurement_start_time'].date()}"
        for row in numbered
    ]
    runs = {name: number for number, name in enumerate(sorted(set(names)), start=1)}
    inputs: defaultdict[str, set[str]] = defaultdict(set)
    for row in numbered:
        inputs[row["report_id"]].add(row["input"])
    ways = [
        "report_id" if row["report_id"] and len(inputs[row["report_id"]]) > 1 else "closeness"
        for row in numbered
    ]
    table = table_of(numbered)
    table = table.append_column("run", pa.array([runs[name] for name in names], pa.uint32()))
    table = table.append_column("run_known_by", pa.array(ways, pa.string()))
    return observations_from_table(table)
