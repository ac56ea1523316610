"""``doctor`` against good, slow, wrong and old servers on loopback, and with real measurements."""

import json
import re
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from analysis.commands import doctor
from analysis.period import Period
from analysis.sources import api
from analysis.study.parameters import replies_folder
from tests.archives import object_key, put
from tests.conftest import Command
from tests.loopback_s3 import Fault
from tests.measurements import complete
from tests.ooni_server import API, OoniServer

_CC, _DAYS = "KH", range(1, 6)
_KH = [f"PROBE_CC={_CC}", "SINCE=2024-07-01", "UNTIL=2024-07-06", "RECEIPT_MARGIN=0"]
_LISTS = ("WORKBOOK_TEST_LISTS_URL", "WORKBOOK_FINGERPRINTS_URL", "WORKBOOK_NETWORK_NAMES_URL")


def _line(day: int, asn: int = 38623, **changes: Any) -> bytes:
    measurement = complete() | {
        "report_id": f"r{day}",
        "probe_cc": _CC,
        "probe_asn": f"AS{asn}",
        "measurement_start_time": f"2024-07-0{day} 10:00:00",
        **changes,
    }
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
    refusal = b'{"msg": "Choose time_grain", "v": 0}'
    archive.faults[API] = Fault("status", status=400, body=refusal)
    _, said, _ = command("doctor", *_KH, "SOURCE=ooni", f"STORE={tmp_path / 'store'}")
    assert _levels(said, 'status 400: {"msg": "Choose time_grain", "v": 0}; use') == ["stop"] * 2
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


def test_the_period_is_sampled(command: Command, tmp_path: Path) -> None:
    """Of an archive of half a year the objects that were received in the period are read; and where
    none were, what was not read may still be of it."""
    words = _put_archive(tmp_path, {day: [_line(day)] for day in _DAYS})
    for number in range(40):
        day = date(2024, 1, 1) + timedelta(days=number)
        line = _line(1, measurement_start_time=f"{day} 10:00:00")
        put(tmp_path / "archive", object_key(10, day=f"{day:%Y%m%d}", cc=_CC), [line])
    assert "the ledger would keep 5 of 5 lines" in command("doctor", *words)[1]
    later = [*words, "SINCE=2024-03-01", "UNTIL=2024-04-01"]
    status, said, _ = command("doctor", *later)
    assert (status, _levels(said, "in the period; they are of KH")) == (0, ["look"])


def test_changed_fields(command: Command, tmp_path: Path) -> None:
    """One that is gone stops a run unless it is told to go on; what is new is only said."""
    keys = complete()["test_keys"]
    del keys["queries"]
    words = _put_archive(tmp_path / "gone", {day: [_line(day, test_keys=keys)] for day in _DAYS})
    status, said, _ = command("doctor", *words)
    assert status == 3
    assert _levels(said, "no field test_keys.queries (100 % of the measurements") == ["stop"]
    status, said, _ = command("doctor", *words, "ACCEPT_FIELDS=1")
    assert status == 0
    assert _levels(said, "no field test_keys.queries") == ["look"]
    words = _put_archive(tmp_path / "new", {d: [_line(d, test_version="0.6.1")] for d in _DAYS})
    status, said, _ = command("doctor", *words)
    assert status == 0
    assert _levels(said, "that these rules do not know: 1 (0.6.1)") == ["look"]


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
