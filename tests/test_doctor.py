"""``doctor`` against good, slow, wrong and old servers on loopback, and with real measurements."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from pytest_httpserver import HTTPServer

from analysis.commands import doctor
from tests.archives import object_key, packed, put
from tests.conftest import Command
from tests.loopback_s3 import Fault, LoopbackS3, loopback_s3
from tests.measurements import complete

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
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackS3]:
    """An archive with an object a day."""
    with stamina.set_testing(True, attempts=2), loopback_s3() as server:
        server.objects = {
            object_key(10, day=f"2024070{day}", cc=_CC): packed([_line(day)]) for day in _DAYS
        }
        monkeypatch.setenv("OONI_ARCHIVE", server.url)
        yield server


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer) -> HTTPServer:
    """OONI's API and the list servers, all of them one."""
    monkeypatch.setenv("OONI_API", httpserver.url_for("/").rstrip("/"))
    for name in _LISTS:
        monkeypatch.setenv(name, httpserver.url_for(f"/{name}"))
    return httpserver


def _counts(**changes: Any) -> dict[str, Any]:
    row = {"measurement_start_day": "2024-07-01", "measurement_count": 1, "ok_count": 1,
           "anomaly_count": 0, "confirmed_count": 0, "failure_count": 0}  # fmt: skip
    return {"v": 0, "dimension_count": 1, "result": [row | changes]}


def _lines(said: str) -> list[tuple[str, str]]:
    found = [re.fullmatch(r"(ok|look|stop) {2,4}(.+)", line) for line in said.splitlines()]
    assert all(found), said
    return [(one[1], one[2]) for one in found if one]


def _levels(said: str, about: str) -> list[str]:
    return [level for level, text in _lines(said) if about in text]


def test_good_servers(
    command: Command, archive: LoopbackS3, servers: HTTPServer, tmp_path: Path
) -> None:
    """Each is said to answer; the archive's size is estimated from some days; nothing is kept."""
    servers.expect_request("/api/v1/aggregation").respond_with_json(_counts())
    servers.expect_request(re.compile("/WORKBOOK_.*")).respond_with_data("a,b", content_type="text")
    store = tmp_path / "store"
    status, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={store}")
    assert status == 0, said
    assert {level for level, _ in _lines(said)} <= {"ok", "look"}
    assert len(_levels(said, " answers")) == 7
    assert "5 objects of 0 MB for KH, estimated from 4 days" in said
    assert "the ledger would keep 4 of 4 lines" in said
    assert _levels(said, "Every field, test version and kind of failure") == ["ok"]
    assert "test versions: 0.5.28" in said
    assert _levels(said, "clock differs from the servers' by") == ["ok"]
    assert not store.exists()


def test_servers_that_do_not_answer(
    command: Command, archive: LoopbackS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive, the API and the lists are named, each with what to do."""
    archive.is_down = True
    status, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={tmp_path / 'store'}")
    assert status == 3
    assert _levels(said, "OONI's API (127.0.0.1:9): there is no connection") == ["stop"]
    assert _levels(said, "cannot be listed") == ["stop"]
    assert _levels(said, "the network names") == ["look"]
    assert all("HTTPS_PROXY" in text for level, text in _lines(said) if level == "stop")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    _, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={tmp_path / 'store'}")
    assert "servers are asked through: 127.0.0.1:9" in said
    assert "secret" not in said


def test_a_slow_archive_is_given_up(
    command: Command, archive: LoopbackS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    archive.faults = {"?": Fault("status", headers={"Retry-After": "60"})}
    status, said, _ = command("doctor", *words)
    assert status == 3
    assert _levels(said, "the server answered 503 each time") == ["stop"]
    assert time.monotonic() - started < 30


def test_wrong_and_old_servers(
    command: Command, archive: LoopbackS3, servers: HTTPServer, tmp_path: Path
) -> None:
    """A network's login page, and an API whose counts have another shape."""
    servers.expect_request("/api/v1/aggregation").respond_with_json(_counts(ok_count="many"))
    servers.expect_request(re.compile("/WORKBOOK_.*")).respond_with_data(
        "<html>Please log in</html>", content_type="text/html"
    )
    status, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={tmp_path / 'store'}")
    assert status == 3
    assert _levels(said, "another shape") == ["stop"]
    assert len(_levels(said, "it sends a web page, as the login of a network does")) == 6


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


def test_nothing_of_the_country(command: Command, tmp_path: Path) -> None:
    """A wrong country, a wrong period and a wrong parameter each say what to check."""
    words = _put_archive(tmp_path, {1: [_line(1)]})
    status, said, _ = command("doctor", *words, "PROBE_CC=MY")
    assert status == 3
    assert _levels(said, "holds nothing of MY") == ["stop"]
    status, said, _ = command("doctor", *words, "SINCE=2023-07-01", "UNTIL=2023-07-06")
    assert status == 3
    assert _levels(said, "none of 1 lines is a measurement of KH in the period") == ["stop"]
    status, _, said = command("doctor", *words, "SINCE=yesterday")
    assert (status, "SINCE=yesterday" in said) == (2, True)


def test_real_measurements(command: Command, tmp_path: Path, shared_data: Path) -> None:
    """None of the real measurements, of all versions and places, stops a run."""
    folders = [*(shared_data / "measurements").iterdir(), shared_data / "more-measurements"]
    values = [json.loads(file.read_bytes()) for folder in folders for file in folder.glob("*.json")]
    real = [value for value in values if value.get("test_name") == "web_connectivity"
            and "raw_measurement" not in value and value.get("test_keys")]  # fmt: skip
    assert len(real) > 25
    for start in range(0, len(real), 5):
        lines = {}
        for day, value in enumerate(real[start : start + 5], 1):
            here = {"probe_cc": _CC, "measurement_start_time": f"2024-07-0{day} 10:00:00"}
            lines[day] = [json.dumps(value | here).encode()]
        status, said, _ = command("doctor", *_put_archive(tmp_path / str(start), lines))
        assert status == 0, said
