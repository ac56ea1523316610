"""Fields, versions and failures: what is new is counted, and a run stops where a field is gone."""

import gzip
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from msgspec import inspect as types

from analysis.commands.judging import read_results
from analysis.errors import ContractError
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messages import (
    NAME_COUNT,
    NAME_LENGTH,
    Measurement,
    MessagingMeasurement,
    compare_fields,
    decode,
    required_fields,
)
from analysis.observations.messaging import MESSAGING
from analysis.observations.messaging_tests import BY_NAME
from analysis.observations.observation import observe
from analysis.observations.schema import OBSERVATION
from analysis.outcomes.outcomes import add_outcomes
from analysis.outcomes.thresholds import Thresholds
from analysis.report.fields_met import (
    count_app_fields_met,
    count_fields_met,
    read_fields_met,
    refuse_changed_fields,
)
from analysis.store.database import observations_from_table
from analysis.store.lines import LineReader
from analysis.store.store import table_of
from benchmarks.drawing import report
from tests.archives import object_key, put, read_csv
from tests.conftest import Command
from tests.measurements import complete, connect, lookup
from tests.messaging import measurement as app_test
from tests.messaging import write_archive
from tests.observations import Row, connection_with, observation

Item = dict[str, Any]

_WEB = "web_connectivity"
_KEPT, _GONE = "found:test_keys.blocking", "missing:test_keys.blocking"


def _changes_of(measurement: object) -> list[str]:
    told = compare_fields(json.dumps(measurement).encode())
    return [name for name in told if not name.startswith("found:")]


def test_what_is_said_of_fields() -> None:
    """A rename shows twice, at any depth; empty and null objects lack nothing."""
    renamed = connect()
    renamed["status"] = {"success": True, "error": None}
    answers = lookup("192.0.2.10", "2001:db8::1")
    del answers["answers"][1]["ipv6"]
    cases: dict[str, tuple[Item, list[str]]] = {
        "as known": ({}, []),
        "renamed below": (
            {"tcp_connect": [connect(), renamed]},
            [
                "missing:test_keys.tcp_connect.status.failure",
                "new:test_keys.tcp_connect.status.error",
            ],
        ),
        "another type": (
            {"blocking": 4, "queries": {"a": 1}},
            ["retyped:test_keys.blocking", "retyped:test_keys.queries"],
        ),
        "nothing there": ({"queries": None, "requests": [], "control": {}}, []),
        "no handshake": ({"tls_handshakes": None}, ["missing:test_keys.tls_handshakes"]),
        "no connection": (
            {"tls_handshakes": [], "tcp_connect": [connect(failure="timed_out")]},
            [],
        ),
        "no address": ({"queries": [answers]}, ["missing:test_keys.queries.answers.ipv6"]),
        "a new key": ({"x_new": 1}, ["new:test_keys.x_new"]),
    }
    for name, (changes, expected) in cases.items():
        assert _changes_of(complete(**changes)) == expected, name
    without = {key: value for key, value in complete().items() if key != "probe_asn"}
    assert _changes_of(without) == ["missing:probe_asn"]
    assert _changes_of({**complete(tls_handshakes=[]), "test_version": "0.1.0"}) == []
    assert _changes_of({**complete(), "test_keys": None, "conn_id": 1, "is_verified": "v"}) == []
    assert _changes_of([]) == ["retyped:"]


def test_hostile_names() -> None:
    """Names are few, short and of plain characters, whatever is uploaded."""
    odd = {f"<script>\n\u202e{number:05}" + "x" * 5000: 1 for number in range(5000)}
    found = _changes_of({**complete(), **odd})
    assert len(found) == NAME_COUNT
    assert max(map(len, found)) <= len("missing:") + NAME_LENGTH
    assert all(name.isascii() and name.isprintable() and "<" not in name for name in found)


# --- every field in turn --------------------------------------------------------------------------


def _real_lines(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The web_connectivity measurements among the real data, with the file that each is from."""
    for file in sorted(folder.glob("archive/**/*.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            yield file.name, line
    for file in sorted([*folder.glob("measurements/*/*.json"), *folder.glob("more-*/*.json")]):
        yield file.name, file.read_bytes()
    for file in sorted(folder.glob("api-recordings/measurement_meta/*.json")):
        told = json.loads(file.read_bytes())
        told = json.loads(told["body"]) if isinstance(told.get("body"), str) else told
        if told.get("raw_measurement"):
            yield file.name, told["raw_measurement"].encode()


def _read_real(folder: Path) -> dict[str, list[Item]]:
    """Those of web_connectivity, by the file that they are from."""
    read: dict[str, list[Item]] = {}
    for name, line in _real_lines(folder):
        measurement = json.loads(line)
        if measurement.get("test_name") == _WEB and "test_keys" in measurement:
            read.setdefault(name, []).append(measurement)
    return read


def test_real_measurements_lack_nothing(shared_data: Path) -> None:
    """No real measurement, of any version, lacks a field that must occur or has a new one."""
    read = _read_real(shared_data)
    found: set[str] = set()
    for name, measurements in read.items():
        for one in measurements:
            assert _changes_of(one) == [], name
            found.update(compare_fields(json.dumps(one).encode()))
    assert sum(map(len, read.values())) > 600
    only_of_apps = "test_keys.requests.request.method"
    assert {f"found:{name}" for name in required_fields()} - found == {f"found:{only_of_apps}"}


def test_real_tests_of_apps_lack_nothing(shared_data: Path) -> None:
    """Likewise of apps and tools."""
    lines = [file.read_bytes() for file in (shared_data / "messaging/samples").glob("*.json")]
    with tarfile.open(shared_data / "messaging" / "ke-telegram-2023-archive.tar") as archive:
        for member in archive:
            if member.name.endswith(".gz"):
                packed = archive.extractfile(member)
                lines += gzip.decompress(packed.read()).splitlines() if packed else []
    assert len(lines) > 2000
    for line in lines:
        told = compare_fields(line, MessagingMeasurement)
        assert [name for name in told if not name.startswith("found:")] == []


def _list_fields(kind: types.Type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each field of the structs; ``[]`` and ``{}`` stand for all items."""
    if isinstance(kind, types.UnionType):
        for option in kind.types:
            yield from _list_fields(option, path)
    elif isinstance(kind, types.StructType):
        for field in kind.fields:
            yield (*path, field.encode_name)
            yield from _list_fields(field.type, (*path, field.encode_name))
    elif isinstance(kind, types.ListType):
        yield from _list_fields(kind.item_type, (*path, "[]"))
    elif isinstance(kind, types.DictType):
        yield from _list_fields(kind.value_type, (*path, "{}"))


_FIELDS = list(_list_fields(types.type_info(Measurement)))
_APP_FIELDS = list(_list_fields(types.type_info(MessagingMeasurement)))
#: Without these a line is no measurement; the ledger says so, and a test below what is then said.
_IDENTITY = {"test_name", "input", "measurement_start_time", "probe_cc"}


def _change(value: Any, path: Sequence[str], change: Callable[[Item, str], None]) -> None:
    """Change the fields at a path, wherever they are."""
    name, *inner = path
    if name in ("[]", "{}"):
        for item in (value.values() if name == "{}" else value) if value else ():
            _change(item, inner, change)
    elif isinstance(value, dict) and name in value:
        if inner:
            _change(value[name], inner, change)
        else:
            change(value, name)


def _rename(item: Item, name: str) -> None:
    item[f"renamed_{name}"] = item.pop(name)


def _retype(item: Item, name: str) -> None:
    item[name] = [[item[name]]]


def _shorten(item: Item, name: str) -> None:
    item[name] = "A page"


def _observed(lines: Sequence[bytes]) -> list[tuple[Any, ...]]:
    read = partial(observe, fingerprints=Fingerprints(), line_number=1)
    return [read(decode(line), fields_met=compare_fields(line)) for line in lines]


def _table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    return table_of(rows, OBSERVATION).append_column("object_key", pa.array(["a"] * len(rows)))


def _judge(rows: Sequence[tuple[Any, ...]]) -> list[Item]:
    """What the rules make of all of them together."""
    connection = observations_from_table(_table(rows))
    add_outcomes(connection, Thresholds(), Fingerprints(), is_pooled=True).use(connection)
    return list(read_results(connection))


def _find_unguarded(
    measurements: Sequence[Item], change: Callable[[Item, str], None], fields: Sequence[Any]
) -> list[str]:
    """The fields whose change in all measurements neither stops a run nor leaves all as it was."""
    encode = msgspec.json.encode
    before = _observed([encode(one) for one in measurements])
    judged = _judge(before)
    met_at = OBSERVATION.names.index("fields_met")
    unguarded = []
    for path in fields:
        changed = msgspec.json.decode(encode(measurements))
        for one in changed:
            _change(one, path, change)
        lines = [encode(one) for one in changed]
        met = [compare_fields(line) for line in lines]
        rows = [(*row[:met_at], told) for row, told in zip(before, met, strict=True)]
        counted = count_fields_met(observations_from_table(_table(rows)))
        name = ".".join(part for part in path if part not in ("[]", "{}"))
        if name in counted.loc[counted["is_too_much"], "name"].tolist():
            with pytest.raises(ContractError, match=re.escape(name)):
                refuse_changed_fields(counted, is_accepted=False)
            continue
        after = _observed(lines)
        if [r[:met_at] for r in after] != [r[:met_at] for r in before] and _judge(after) != judged:
            unguarded.append(name)
    return unguarded


@pytest.fixture(scope="module")
def archive(fictional_report: Path, repository_root: Path) -> Path:
    """The fictional archive, which is there once its report is."""
    assert fictional_report.is_dir()
    return repository_root / "data" / "fictional" / "qq" / "archive"


@pytest.fixture(scope="module")
def fictional(archive: Path) -> list[Item]:
    """A slice of the fictional archive: days, networks and versions of a whole year."""
    files = sorted(archive.glob("**/*_QQ_webconnectivity.*.gz"))[::40]
    objects = [gzip.decompress(file.read_bytes()).splitlines() for file in files]
    # of each object a line with an IPv6 address, which are few
    lines = [next((one for one in some if b'"AAAA"' in one), some[0]) for some in objects]
    # the archive holds some broken lines on purpose
    return [json.loads(line) for line in lines if isinstance(LineReader().read(line, 2), tuple)]


def test_each_field_renamed(fictional: list[Item]) -> None:
    """Either the run stops and names the field, or all is judged as before."""
    fields = [path for path in _FIELDS if path[0] not in _IDENTITY]
    assert len(fields) > 80
    assert _find_unguarded(fictional, _rename, fields) == []


def test_each_field_of_an_app_renamed(archive: Path) -> None:
    """What its endpoints come to stays, with OONI's flags, or the run stops."""
    met_at = MESSAGING.names.index("fields_met")
    for test in BY_NAME.values():
        files = sorted(archive.glob(f"**/*_QQ_{test.folder}.*.gz"))[::9]
        lines = [gzip.decompress(file.read_bytes()).splitlines()[0] for file in files]
        reader = LineReader(test=test)
        before = [reader.read(line, 1) for line in lines]
        assert len(lines) > 8
        for path in _APP_FIELDS:
            changed = [json.loads(line) for line in lines]
            for one in changed:
                _change(one, path, _rename)
            after = [reader.read(msgspec.json.encode(one), 1) for one in changed]
            if {type(row) for row in after} == {str}:
                assert path[0] in _IDENTITY
                continue
            said = slice(met_at - 3, met_at)
            if [row[said] for row in after] == [row[said] for row in before]:
                continue
            rows = table_of([row for row in after if isinstance(row, tuple)], MESSAGING)
            with closing(duckdb.connect()) as connection:
                connection.from_arrow(rows).create("messaging")
                met = count_app_fields_met(connection)
            name = ".".join((test.name, *(part for part in path if part not in ("[]", "{}"))))
            assert name in met.loc[met["is_too_much"], "name"].tolist()


def test_each_field_of_another_type(fictional: list[Item]) -> None:
    """Likewise, of a sample; a body and headers may be anything."""
    known = [path for path in _FIELDS if path[-1] not in ("body", "headers", *_IDENTITY)]
    assert _find_unguarded(fictional, _retype, known[::5]) == []


def test_each_field_renamed_in_real_measurements(fictional: list[Item], shared_data: Path) -> None:
    """Of the newest version, those fields that the fictional measurements have not."""
    read = _read_real(shared_data)
    newest = [one for some in read.values() for one in some if one["test_version"] >= "0.5"]
    for one in newest:  # so that it takes seconds
        one["test_keys"].pop("network_events", None)
        _change(one, ("test_keys", "requests", "[]", "response", "body"), _shorten)
        _change(one, ("test_keys", "tls_handshakes", "[]", "peer_certificates"), _shorten)
    assert len(newest) >= 12
    fields = [path for path in _FIELDS if not _occurs(path, fictional)]
    assert ("test_keys", "queries", "[]", "getaddrinfo_error") in fields
    assert _find_unguarded(newest, _rename, fields) == []


def _occurs(path: tuple[str, ...], measurements: Sequence[Item]) -> bool:
    """Whether any of the measurements has a field."""
    met: list[str] = []
    for one in measurements:
        _change(one, path, lambda _, name: met.append(name))
    return bool(met)


# --- when a run stops -----------------------------------------------------------------------------


def _on_days(asn: int, days: range, *names: str, per_day: int = 1, **changes: Any) -> list[Row]:
    return [
        observation(
            report_id=f"{asn}-{day}-{number}-{names}",
            probe_asn=asn,
            measurement_start_time=datetime(2024, 1, day, 8),
            fields_met=[*(names or (_KEPT,))],
            **changes,
        )
        for day in days
        for number in range(per_day)
    ]


def _too_much(rows: list[Row]) -> list[str]:
    met = count_fields_met(connection_with(rows))
    return [f"{one.kind}:{one.name}" for one in met.itertuples() if one.is_too_much]


def test_when_a_change_is_too_much() -> None:
    """It is on many days of half of the networks; one sender's uploads are not."""
    honest = [row for asn in range(1, 5) for row in _on_days(asn, range(1, 21), per_day=2)]
    changed = [row for asn in (1, 2) for row in _on_days(asn, range(5, 21), _GONE, per_day=2)]
    assert _too_much(honest) == []
    assert _too_much(honest + changed) == [_GONE]
    flood = [row for asn in range(1, 5) for row in _on_days(asn, range(9, 10), _GONE, per_day=500)]
    assert _too_much(honest + flood) == []
    one_network = _on_days(1, range(1, 21), _GONE, per_day=50)
    assert _too_much(honest + one_network) == []
    invented = [row for asn in range(50, 90) for row in _on_days(asn, range(3, 4), _GONE)]
    assert _too_much(honest + invented) == []
    long = [
        observation(
            report_id=f"{day}",
            probe_asn=1,
            fields_met=[_KEPT],
            measurement_start_time=datetime(2024, 1 + day // 28, 1 + day % 28, 8),
        )
        for day in range(300)
    ]
    invented = [row for asn in range(50, 90) for row in _on_days(asn, range(3, 13), _GONE)]
    assert _too_much(long + invented) == []


def test_a_rare_field_counts_where_it_must_occur() -> None:
    """Among the measurements that must have it; in hardly any it can move no verdict."""
    plain = [row for asn in range(1, 4) for row in _on_days(asn, range(1, 21), per_day=20)]
    newer = [
        row
        for asn in range(1, 4)
        for row in _on_days(asn, range(1, 21), "missing:test_keys.queries.answers.ipv6")
    ]
    met = count_fields_met(connection_with(plain + newer))
    assert met[["measurement_count", "measurement_share", "day_share"]].to_numpy().tolist() == [
        [60, 1.0, 1.0]
    ]
    assert met["is_too_much"].tolist() == [True]
    assert _too_much(plain + newer[::10]) == []


def test_a_start_is_missed_where_no_report_tells_the_run() -> None:
    """A report with several inputs does."""
    gone = "missing:test_start_time"
    alone = [row for asn in (1, 2) for row in _on_days(asn, range(1, 6), gone)]
    assert _too_much(alone) == [gone]
    together = [{**row, "input": "https://another.example/"} for row in alone]
    assert _too_much(alone + together) == []
    nameless = [{**row, "report_id": ""} for row in alone + together]
    assert _too_much(nameless) == [gone]


def test_a_tiny_archive() -> None:
    """One network is enough where nothing else was looked at; one measurement never is."""
    assert _too_much(_on_days(1, range(1, 3), _GONE)) == [_GONE]
    assert _too_much(_on_days(1, range(1, 2), _GONE)) == []
    assert _too_much(_on_days(1, range(1, 3), _GONE) + _on_days(1, range(1, 2))) == []


def test_what_is_new_stops_nothing() -> None:
    """Fields, versions and failures are counted by measurement; families of failures are known."""
    known = (
        "dns_resolver_error",
        "generic_error",
        "ssl_error: error:14007086:SSL routines",
        "ssl_missing_hostname",
        "ssl_dirty_shutdown",
        "unknown_failure: x",
    )
    tcp = [{"address": "192.0.2.1", "failure": failure} for failure in known]
    odd: Row = {"test_version": "0.6.0", "dns_failure": "name_lost", "tcp": tcp}
    rows = _on_days(1, range(1, 9), "new:test_keys.x_new", "retyped:probe_id", **odd)
    met = count_fields_met(connection_with(rows + _on_days(2, range(1, 9))))
    counted = {(one.kind, one.name): one.measurement_count for one in met.itertuples()}
    assert counted == {
        ("version", "0.6.0"): 8,
        ("failure", "name_lost"): 8,
        ("new", "test_keys.x_new"): 8,
        ("retyped", "probe_id"): 8,
    }
    assert set(met["measurement_share"]) == {0.5}
    refuse_changed_fields(met, is_accepted=False)
    assert "that these rules do not know: 3 (0.6.0, name_lost, test_keys.x_new)" in (
        read_fields_met(met)
    )


def test_names_of_a_share_are_anybodys() -> None:
    """Names that no line of ours has are left out, odd characters are shown as such."""
    many = [f"new:{number}" for number in range(500)]
    rows = _on_days(1, range(1, 9), "evil", "new:<b>" + "x" * 500, "missing:evil")
    rows += [*_on_days(1, range(1, 7), *many), *_on_days(1, range(1, 6), _GONE)]
    met = count_fields_met(connection_with(rows))
    assert len(met) == 200
    assert "?b?" + "x" * 73 in met["name"].tolist()
    assert met.loc[met["is_too_much"], "name"].tolist() == ["test_keys.blocking"]


# --- through the real commands --------------------------------------------------------------------


def _words(folder: Path, change: Callable[[Item], None]) -> list[str]:
    """The parameters of a report on an archive of five days, changed as OONI might change it."""
    for day in range(1, 6):
        one = complete() | {
            "report_id": f"r{day}",
            "measurement_start_time": f"2024-07-0{day} 10:00:00",
        }
        change(one)
        put(folder / "archive", object_key(10, day=f"2024070{day}"), [json.dumps(one).encode()])
    return [
        f"SOURCE={folder / 'archive'}",
        f"STORE={folder / 'store'}",
        f"OUT={folder / 'report'}",
        "PROBE_CC=QQ",
        "SINCE=2024-07-01",
        "UNTIL=2024-07-06",
        "JOBS=1",
        "SPLIT=2024-07-03",
    ]


def test_a_report_on_newer_measurements(tmp_path: Path) -> None:
    """Fields more, a newer version and a failure more: a report that counts them."""

    def change(one: Item) -> None:
        one |= {"new_at_the_top": {"a": 1}, "test_version": "0.6.1"}
        one["test_keys"] |= {
            "new_key": 1,
            "tcp_connect": [connect(), connect(failure="failure_of_2027")],
        }

    report(_words(tmp_path, change))
    met = read_csv(tmp_path / "report" / "tables" / "fields_met.csv")
    assert met[["kind", "name", "measurement_count", "is_too_much"]].to_numpy().tolist() == [
        ["failure", "failure_of_2027", "5", "false"],
        ["new", "new_at_the_top", "5", "false"],
        ["new", "test_keys.new_key", "5", "false"],
        ["version", "0.6.1", "5", "false"],
    ]


@pytest.mark.parametrize("name", ["queries", "tls_handshakes"])
def test_a_run_stops_where_a_field_is_renamed(command: Command, tmp_path: Path, name: str) -> None:
    """It ends with status 4, names the field, says how to go on, and leaves no report."""
    words = _words(tmp_path, lambda one: _rename(one["test_keys"], name))
    status, _, said = command("report", *words)
    assert status == 4
    assert f"no field test_keys.{name}" in said
    assert "ACCEPT_FIELDS=1" in said
    assert not (tmp_path / "report").exists()


def test_a_run_stops_where_a_field_of_an_app_is_renamed(command: Command, tmp_path: Path) -> None:
    """Apps have no page of their own for that: the first one speaks for all."""
    words = _words(tmp_path, lambda one: None)
    tests = [app_test(start=f"2024-07-0{day} 10:00:00") for day in range(1, 6)]
    for one in tests:
        _rename(one["test_keys"], "tcp_connect")
    write_archive(tmp_path / "archive", tests)
    status, _, said = command("report", *words)
    assert status == 4
    assert "no field telegram.test_keys.tcp_connect (100 % of the measurements" in said


@pytest.mark.parametrize("name", sorted(_IDENTITY))
def test_a_run_stops_where_no_line_is_a_measurement(
    command: Command, tmp_path: Path, name: str
) -> None:
    """Without one of these fields no line can be read at all."""
    status, _, said = command("report", *_words(tmp_path, lambda one: _rename(one, name)))
    assert status == 4
    assert f"no field {name}" in said
