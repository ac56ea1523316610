"""``doctor`` against good, slow, wrong and old servers on loopback, and with real measurements."""

import json
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from analysis.commands import doctor
from analysis.errors import ContractError
from analysis.observations.messages import NAME_COUNT, NAME_LENGTH, find_changes
from analysis.period import Period
from analysis.report.fields_met import (
    count_fields_met,
    read_fields_met,
    refuse_changed_fields,
)
from analysis.sources import api
from analysis.study.parameters import replies_folder
from tests.archives import object_key, put
from tests.conftest import Command
from tests.loopback_s3 import Fault
from tests.measurements import complete, connect
from tests.observations import Row, connection_with, observation
from tests.ooni_server import API, OoniServer

_CC, _DAYS = "KH", range(1, 6)
_KH = [f"PROBE_CC={_CC}", "SINCE=2024-07-01", "UNTIL=2024-07-06", "RECEIPT_MARGIN=0"]
_LISTS = ("WORKBOOK_TEST_LISTS_URL", "WORKBOOK_FINGERPRINTS_URL", "WORKBOOK_NETWORK_NAMES_URL")


def _line(day: int, asn: int = 38623, **changes: Any) -> bytes:
    measurement = complete() | {
        "report_id": f"r{day}", "probe_cc": _CC, "probe_asn": f"AS{asn}",
        "measurement_start_time": f"2024-07-0{day} 10:00:00", **changes,
    }  # fmt: skip
    return json.dumps(measurement).encode()


@pytest.fixture
def archive(ooni: OoniServer) -> OoniServer:
    """OONI's servers, with an object a day."""
    ooni.receive(json.loads(_line(day)) for day in _DAYS)
    return ooni


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer) -> HTTPServer:
    """The list servers, all of them one."""
    for name in _LISTS:
        monkeypatch.setenv(name, httpserver.url_for(f"/{name}"))
    return httpserver


def _lines(said: str) -> list[tuple[str, str]]:
    found = [re.fullmatch(r"(ok|look|stop) {2,4}(.+)", line) for line in said.splitlines()]
    assert all(found), said
    return [(one[1], one[2]) for one in found if one]


def _levels(said: str, about: str) -> list[str]:
    return [level for level, text in _lines(said) if about in text]


def test_good_servers(
    command: Command, archive: OoniServer, servers: HTTPServer, tmp_path: Path
) -> None:
    """Each is said to answer; nothing is kept."""
    servers.expect_request(re.compile("/WORKBOOK_.*")).respond_with_data("a,b", content_type="text")
    store = tmp_path / "store"
    status, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={store}")
    assert status == 0, said
    assert {level for level, _ in _lines(said)} <= {"ok", "look"}
    assert len(_levels(said, " answers")) == 8
    assert "5 objects of 0 MB for KH\n" in said
    assert "the ledger would keep 5 of 5 lines" in said
    assert _levels(said, "Every field, test version and kind of failure") == ["ok"]
    assert "test versions: 0.5.28" in said
    assert _levels(said, "clock differs from the servers' by") == ["ok"]
    assert not store.exists()


def test_servers_that_do_not_answer(
    command: Command, archive: OoniServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive, the API and the lists are named, each with what to do."""
    archive.is_down = True
    monkeypatch.setenv("OONI_API", "http://127.0.0.1:9")
    status, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={tmp_path / 'store'}")
    assert status == 3
    assert _levels(said, "by day (127.0.0.1:9): there is no connection") == ["stop"]
    assert _levels(said, "by week (127.0.0.1:9): there is no connection") == ["stop"]
    assert _levels(said, "cannot be listed") == ["stop"]
    assert _levels(said, "the network names") == ["look"]
    assert all("HTTPS_PROXY" in text for level, text in _lines(said) if level == "stop")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    _, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={tmp_path / 'store'}")
    assert "servers are asked through: 127.0.0.1:9" in said
    assert "secret" not in said


def test_a_slow_archive_is_given_up(
    command: Command, archive: OoniServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within its time, whether the listing or the objects come slowly."""
    monkeypatch.setattr(doctor, "_LISTING", 1.0)
    monkeypatch.setattr(doctor, "_FETCHING", 1.0)
    words = [*_KH, f"SOURCE={archive.url}", f"STORE={tmp_path / 'store'}"]
    archive.faults = {key: Fault("drip") for key in archive.objects}
    started = time.monotonic()
    status, said, _ = command("doctor", *words)
    assert status == 3
    assert _levels(said, "5 of 5 objects could not be read") == ["stop"]
    archive.faults = {"?": Fault("silence")}
    status, said, _ = command("doctor", *words)
    assert status == 3
    assert _levels(said, "cannot be listed: given up") == ["stop"]
    assert time.monotonic() - started < 30


def test_wrong_and_old_servers(
    command: Command, archive: OoniServer, servers: HTTPServer, tmp_path: Path
) -> None:
    """A network's login page, an API whose counts have another shape, and one that refuses."""
    odd = b'{"v": 0, "result": [{"ok_count": "many"}]}'
    archive.faults[API] = Fault("status", status=200, body=odd)
    servers.expect_request(re.compile("/WORKBOOK_.*")).respond_with_data(
        "<html>Please log in</html>", content_type="text/html"
    )
    status, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={tmp_path / 'store'}")
    assert status == 3
    assert _levels(said, "another shape") == ["stop", "stop"]
    assert len(_levels(said, "it sends a web page, as the login of a network does")) == 6
    archive.faults.clear()
    archive.units = 4000
    _, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={tmp_path / 'store'}")
    assert _levels(said, "is spent; try again in an hour") == ["stop", "stop"]


def test_what_a_report_would_get_past(
    command: Command, archive: OoniServer, servers: HTTPServer, tmp_path: Path
) -> None:
    """No *stop*: OONI's counts are kept, some days have nothing, some objects cannot be read."""
    store = tmp_path / "store"
    words = [*_KH, "SOURCE=ooni", f"STORE={store}", "RECEIPT_MARGIN=30"]
    period = Period.parse("2024-07-01", "2024-07-06")
    questions = [*api.of_country(_CC, period), *api.of_every_country(period)]
    api.fetch_counts(replies_folder(str(store)), questions, print)
    archive.units = 4000
    ready = command("doctor", *words)[1]
    assert _levels(ready, "OONI's counts of this period are in the store") == ["ok"]
    assert "35 objects of 0 MB for KH, estimated from 5 days of the period" in ready
    keys = sorted(archive.objects)
    for key in keys[1:]:
        archive.faults[key] = Fault("status", status=403)
    assert _levels(command("doctor", *words)[1], "4 of 5 objects could not be read") == ["look"]
    month = [*words, "SINCE=2024-06-01", "UNTIL=2024-07-02"]  # of which a day has an object
    assert _levels(command("doctor", *month)[1], "nothing of KH on the days that") == ["look"]


def _put_archive(folder: Path, lines: dict[int, list[bytes]]) -> list[str]:
    for day, some in lines.items():
        put(folder / "archive", object_key(10, day=f"2024070{day}", cc=_CC), some)
    return [*_KH, f"SOURCE={folder / 'archive'}", f"STORE={folder / 'store'}"]


def test_changed_fields(command: Command, tmp_path: Path) -> None:
    """They stop a run unless it is told to go on; a folder is read like a server."""
    words = _put_archive(tmp_path, {day: [_line(day, test_version="0.6.1")] for day in _DAYS})
    status, said, _ = command("doctor", *words)
    assert status == 3
    assert _levels(said, "the unknown test version 0.6.1 (100 % of the sessions") == ["stop"]
    status, said, _ = command("doctor", *words, "ACCEPT_FIELDS=1")
    assert status == 0
    assert _levels(said, "the unknown test version 0.6.1") == ["look"]


def test_lines_and_networks(command: Command, tmp_path: Path) -> None:
    """Broken lines, networks without a name or kind, and resolvers that no list names."""
    lines = {day: [_line(day, asn=64500, resolver_asn="AS64501"), b"{"] for day in _DAYS}
    status, said, _ = command("doctor", *_put_archive(tmp_path, lines))
    assert status == 0
    assert _levels(said, "would keep 5 of 10 lines; 5 not_json") == ["look"]
    assert _levels(said, "1 of 1 networks have no name: AS64500; give NETWORKS=") == ["look"]
    assert _levels(said, "1 of 1 networks have no kind: AS64500; give NETWORKS=") == ["look"]
    assert "no list names: AS64501" in said
    assert "hardly any site was reached" not in said


def test_suspects_only(command: Command, tmp_path: Path) -> None:
    """Where nothing is reached, everyday sites have to be tested too."""
    blocked = complete()["test_keys"] | {"blocking": "dns", "accessible": False}
    lines = {
        day: [_line(day, test_keys=blocked, input=f"https://s{n}.example/") for n in range(8)]
        for day in _DAYS
    }
    _, said, _ = command("doctor", *_put_archive(tmp_path, lines))
    assert _levels(said, "on AS38623 hardly any site was reached in what was read") == ["look"]


def test_nothing_of_the_country(command: Command, tmp_path: Path) -> None:
    """A wrong country, a wrong period and a wrong parameter each say what to check."""
    words = _put_archive(tmp_path, {1: [_line(1)]})
    status, said, _ = command("doctor", *words, "PROBE_CC=MY")
    assert status == 3
    assert _levels(said, "holds no web_connectivity measurements of MY") == ["stop"]
    status, said, _ = command("doctor", *words, "SINCE=2023-07-01", "UNTIL=2023-07-06")
    assert status == 3
    assert _levels(
        said, "of KH in the period; they are of KH, from 2024-07-01 to 2024-07-01: "
    ) == ["stop"]
    status, _, said = command("doctor", *words, "SINCE=yesterday")
    assert (status, "SINCE=yesterday" in said) == (2, True)


# --- Fields, versions and failures that nobody expected: counted, and a run stopped by many. ------

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
