"""Fields, versions and failures that nobody expected: found, counted, and a run stopped by many."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import ContractError
from analysis.observations.fields import NAME_COUNT, NAME_LENGTH, find_changes
from analysis.report.fields_met import (
    count_fields_met,
    read_fields_met,
    read_verification,
    refuse_changed_fields,
)
from analysis.store.lines import LineReader
from tests.archives import object_key, put
from tests.conftest import Command
from tests.measurements import complete, connect
from tests.observations import Row, connection_with, observation

_GONE = "missing:test_keys.blocking"


def _changes_of(measurement: object) -> list[str]:
    return find_changes(json.dumps(measurement).encode())


def test_what_is_said_of_fields() -> None:
    """A rename shows twice, at any depth; empty and null objects lack nothing."""
    renamed = connect()
    renamed["status"] = {"success": True, "error": None}
    cases: dict[str, tuple[dict[str, Any], list[str]]] = {
        "as known": ({}, []),
        "renamed below": ({"tcp_connect": [renamed]},
                          ["missing:test_keys.tcp_connect.status.failure",
                           "new:test_keys.tcp_connect.status.error"]),
        "another type": ({"blocking": 4, "queries": {"a": 1}},
                         ["retyped:test_keys.blocking", "retyped:test_keys.queries"]),
        "nothing there": ({"queries": None, "requests": [], "control": {}}, []),
        "a new key": ({"x_new": 1}, ["new:test_keys.x_new"]),
    }  # fmt: skip
    for name, (changes, expected) in cases.items():
        assert _changes_of(complete(**changes)) == expected, name
    without = {key: value for key, value in complete().items() if key != "probe_asn"}
    assert _changes_of(without) == ["missing:probe_asn"]
    assert _changes_of({**complete(), "test_keys": None}) == []
    assert _changes_of([]) == ["retyped:"]


def test_hostile_names() -> None:
    """Names are few, short and of plain characters, whatever is uploaded."""
    odd = {f"<script>\n\u202e{number:05}" + "x" * 5000: 1 for number in range(5000)}
    found = _changes_of({**complete(), **odd})
    assert len(found) == NAME_COUNT
    assert max(map(len, found)) <= len("missing:") + NAME_LENGTH
    assert all(name.isascii() and name.isprintable() and "<" not in name for name in found)


def test_real_measurements_have_known_fields(shared_data: Path) -> None:
    """Of the versions since 0.4 every field of every real measurement is known."""
    folders = ("web_connectivity-0.4-real", "web_connectivity-0.5-real",
               "web_connectivity-0.5-scenarios")  # fmt: skip
    files = [f for folder in folders for f in (shared_data / "measurements" / folder).iterdir()]
    assert len(files) > 10
    for file in files:
        measurement = json.loads(file.read_bytes())
        if measurement.get("test_version", "") >= "0.4":
            assert _changes_of(measurement) == [], file.name


def test_one_line_of_a_session_is_looked_at() -> None:
    """The first of a session; of many sessions the first and one in 64."""
    reader = LineReader()
    looked_at = []
    for number in range(1, 101):
        line = json.dumps({**complete(), "report_id": f"r{number % 50}"}).encode()
        row = reader.read(line, number)
        assert isinstance(row, tuple)
        if row.fields_met is not None:  # type: ignore[attr-defined]
            looked_at.append(number)
    assert looked_at == [1, 64]


def _sessions(asn: int, days: range, *names: str, per_day: int = 1, **changes: Any) -> list[Row]:
    return [
        observation(report_id=f"{asn}-{day}-{number}-{names}", probe_asn=asn,
                    measurement_start_time=datetime(2024, 1, day, 8), fields_met=[*names],
                    **changes)
        for day in days for number in range(per_day)
    ]  # fmt: skip


def _too_much(rows: list[Row]) -> list[str]:
    met = count_fields_met(connection_with(rows))
    return [f"{one.kind}:{one.name}" for one in met.itertuples() if one.is_too_much]


def test_when_a_change_is_too_much() -> None:
    """It is on many days of half of the networks; one sender's uploads are not."""
    honest = [row for asn in range(1, 5) for row in _sessions(asn, range(1, 21), per_day=2)]
    changed = [row for asn in (1, 2) for row in _sessions(asn, range(5, 21), _GONE, per_day=2)]
    assert _too_much(honest) == []
    assert _too_much(honest + changed) == [_GONE]
    flood = [row for asn in range(1, 5) for row in _sessions(asn, range(9, 10), _GONE, per_day=500)]
    assert _too_much(honest + flood) == []
    one_network = _sessions(1, range(1, 21), _GONE, per_day=50)
    assert _too_much(honest + one_network) == []
    invented = [row for asn in range(50, 90) for row in _sessions(asn, range(3, 4), _GONE)]
    assert _too_much(honest + invented) == []
    long = [
        observation(report_id=f"{day}", probe_asn=1, fields_met=[],
                    measurement_start_time=datetime(2024, 1 + day // 28, 1 + day % 28, 8))
        for day in range(300)
    ]  # fmt: skip
    invented = [row for asn in range(50, 90) for row in _sessions(asn, range(3, 13), _GONE)]
    assert _too_much(long + invented) == []


def test_versions_failures_and_experiments() -> None:
    """Versions and failures count likewise; an experimental field is counted and stops nothing."""
    odd: dict[str, Any] = {"test_version": "0.6.0", "dns_failure": "dns.nxdomain",
           "tcp": [{"address": "192.0.2.1", "failure": "connection_refused"}]}  # fmt: skip
    rows = _sessions(1, range(1, 9), "new:test_keys.x_new", **odd)
    met = count_fields_met(connection_with(rows))
    counted = {
        (one.kind, one.name): (one.session_count, one.is_too_much) for one in met.itertuples()
    }
    assert counted == {("version", "0.6.0"): (8, True), ("failure", "dns.nxdomain"): (8, True),
                       ("new", "test_keys.x_new"): (8, False)}  # fmt: skip
    said = "0.6.0 (100 % of the sessions, on 1 of 1 networks)"
    with pytest.raises(ContractError, match=re.escape(said)):
        refuse_changed_fields(met, is_accepted=False)
    refuse_changed_fields(met, is_accepted=True)
    page_1 = read_fields_met(met)
    assert (said in page_1, "all the same, with ACCEPT_FIELDS=1" in page_1) == (True, True)


def test_names_of_a_share_are_anybodys() -> None:
    """Names that no line of ours has are left out, odd characters are shown as such."""
    rows = _sessions(1, range(1, 9), "evil", "new:<b>" + "x" * 500)
    met = count_fields_met(connection_with(rows))
    assert met["name"].tolist() == ["?b?" + "x" * 73]
    assert "the new field ?b?" in read_fields_met(met)


def test_verified_sessions_are_told_apart() -> None:
    """Of sessions that say so, verified and others."""
    rows = [
        *_sessions(1, range(1, 4), verification_status="verified", probe_id="p"),
        *_sessions(2, range(1, 3), verification_status="unverified"),
        *_sessions(3, range(1, 3)),
    ]
    said = read_verification(connection_with(rows))
    assert "Of 5 sessions" in said
    assert "3 are verified and 2 are not" in said
    assert "since 2026" in read_verification(connection_with(_sessions(3, range(1, 3))))


def test_a_run_stops_where_a_field_is_renamed(command: Command, tmp_path: Path) -> None:
    """It ends with status 4, says how to go on, and leaves no report."""
    for day in range(1, 6):
        keys = complete(verdict=False)
        del keys["test_keys"]["blocking"]
        keys |= {"report_id": f"r{day}", "measurement_start_time": f"2024-07-0{day} 10:00:00"}
        put(tmp_path / "archive", object_key(10, day=f"2024070{day}"), [json.dumps(keys).encode()])
    out = tmp_path / "report"
    words = [f"SOURCE={tmp_path / 'archive'}", f"STORE={tmp_path / 'store'}", f"OUT={out}",
             "PROBE_CC=QQ", "SINCE=2024-07-01", "UNTIL=2024-07-06", "JOBS=1",
             "SPLIT=2024-07-03"]  # fmt: skip
    status, _, said = command("report", *words)
    assert status == 4
    assert "no field test_keys.blocking" in said
    assert "ACCEPT_FIELDS=1" in said
    assert not out.exists()
