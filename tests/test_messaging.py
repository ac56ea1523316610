"""Messaging and circumvention tests: from the archive to what each measurement shows."""

import gzip
import json
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messaging_tests import BY_NAME, LAYERS
from analysis.outcomes.app_outcomes import add_messaging_outcomes, read_endpoints
from analysis.period import Period
from analysis.store.database import MessagingRows
from analysis.store.ingestion import Request, ingest, ingest_messaging
from analysis.store.lines import LineReader
from analysis.store.store import Collection
from tests.archives import line_of, object_key, put
from tests.messaging import CENTRES, RESET, TIMEOUT, measurement, telegram, write_archive

_PERIOD = Period.parse("2024-07-01", "2024-08-01")
_EMPTY = {"requests": [], "queries": None, "tcp_connect": None}


def _read(document: Any, test_name: str = "telegram") -> dict[str, Any] | str:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    row = LineReader(Fingerprints(), test=BY_NAME[test_name]).read(content, 1)
    return row if isinstance(row, str) else row._asdict()


def _rows(folder: Path, store: Path, **changes: Any) -> tuple[Collection, MessagingRows]:
    collection = ingest_messaging(Request(str(folder), str(store), "QQ", _PERIOD, **changes))
    return collection, MessagingRows(collection, "QQ", _PERIOD)


def _shown(*documents: dict[str, Any], folder: Path) -> list[tuple[str, str, str]]:
    """What each part shows, in the order of the measurements: part, class, mechanism."""
    _, rows = _rows(write_archive(folder / "archive", documents), folder / "store")
    outcomes = add_messaging_outcomes(rows.connection, read_endpoints(rows.connection))
    outcomes.use(rows.connection)
    query = """SELECT domain::VARCHAR, if(evidence = 'none', 'none', class), mechanism FROM outcomes
               ORDER BY measurement_start_time, domain"""
    return rows.connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("keys", "app", "web"),
    [
        (telegram(), ("ok", ""), ("ok", "")),
        (telegram(closed=6), ("ok", ""), ("ok", "")),
        (telegram(closed=10), ("blocked", "tcp.timeout"), ("ok", "")),
        (telegram(closed=12, web=RESET), ("blocked", "tcp.timeout"), ("blocked", "tls.reset")),
        (telegram(web=TIMEOUT), ("ok", ""), ("blocked", "tls.timeout")),
        (telegram(unanswered=12, web=TIMEOUT), ("unknown", ""), ("blocked", "tls.timeout")),
        (telegram(web=TIMEOUT, answer="192.168.7.222"), ("ok", ""), ("blocked", "dns.bogon")),
        (_EMPTY, ("none", ""), ("none", "")),
    ],
)
def test_the_parts_of_a_test_are_judged_apart(
    keys: dict[str, Any], app: tuple[str, str], web: tuple[str, str], tmp_path: Path
) -> None:
    """Ten of twelve endpoints are a block, though the probe's own key needs all; a web page that is
    cut off leaves the app open; connected without an answer is neither."""
    shown = _shown(measurement(keys=keys), folder=tmp_path)
    assert shown == [("telegram/app", *app), ("telegram/web", *web)]


def test_addresses_of_one_network_alone_are_no_block(tmp_path: Path) -> None:
    """Where others were tried: the route to one /24 may be lost."""
    near = telegram(closed=4)  # two addresses of one /24
    far = [f"{address}:{port}" for address in (CENTRES[0], CENTRES[2]) for port in (80, 443)]
    near["requests"] = [
        one for one in near["requests"]
        if not one["request"]["url"].startswith("http://149") or one["request"]["url"][7:-1] in far
    ]  # fmt: skip
    shown = _shown(measurement(keys=near), folder=tmp_path)
    assert shown[0] == ("telegram/app", "ok", "")


@pytest.mark.parametrize(
    ("test_name", "keys", "expected"),
    [
        ("vanilla_tor", {"success": False, "error": "timeout-reached", "tor_progress": 5},
         ("blocked", "tunnel.timeout")),
        ("vanilla_tor", {"success": None, "error": None, "tor_progress": 0}, ("none", "")),
        ("psiphon", {"failure": None, "bootstrap_time": 5.5}, ("ok", "")),
        ("psiphon", {"bootstrap_time": 5.5}, ("none", "")),
        ("torsf", {"failure": TIMEOUT, "bootstrap_time": 0}, ("blocked", "tunnel.timeout")),
    ],
)  # fmt: skip
def test_a_tunnel_is_set_up_or_not(
    test_name: str, keys: dict[str, Any], expected: tuple[str, str], tmp_path: Path
) -> None:
    shown = _shown(measurement(test_name, keys), folder=tmp_path)
    assert shown == [(f"{test_name}/tunnel", *expected)]


def test_a_signal_server_that_is_cut_off_is_enough_and_old_tests_are_no_data(
    tmp_path: Path,
) -> None:
    """Signal needs each of its servers; a test that is older than they are says nothing."""
    hosts = ["chat.signal.org", "cdn.signal.org", "storage.signal.org"]

    def keys(failure: str | None) -> dict[str, Any]:
        ends = [failure, None, None]
        asked = [
            {"failure": end, "request": {"method": "GET", "url": f"https://{host}/"}}
            for host, end in zip(hosts, ends, strict=True)
        ]
        return {"requests": asked, "signal_backend_status": "blocked" if failure else "ok"}

    shown = _shown(
        measurement("signal", keys(None), test_version="0.2.5"),
        measurement("signal", keys("ssl_invalid_hostname"), test_version="0.2.5",
                    start="2024-07-01 11:00:00"),
        measurement("signal", keys("ssl_unknown_authority"), test_version="0.2.3",
                    start="2024-07-01 12:00:00"),
        folder=tmp_path,
    )  # fmt: skip
    assert [row[1:] for row in shown] == [("ok", ""), ("blocked", "tls.mitm"), ("none", "")]


@pytest.mark.parametrize(
    ("test_name", "keys", "flag"),
    [
        ("telegram", telegram(closed=3), "ok"),  # 3 of 13 connections and 3 of 12 requests
        ("telegram", telegram(closed=7), "anomaly"),  # 7 of 13 and 7 of 12
        ("telegram", telegram(web=TIMEOUT), "anomaly"),
        ("telegram", _EMPTY, "failure"),
        ("whatsapp", _EMPTY, "failure"),
        ("facebook_messenger", {"facebook_star_dns_consistent": False,
                                "facebook_dns_blocking": True}, "anomaly"),
        ("facebook_messenger", {"facebook_star_dns_consistent": False}, "ok"),
        ("tor", {"targets": {"a": {"failure": TIMEOUT}, "b": {"failure": None}}}, "ok"),
        ("tor", {"targets": [{"failure": TIMEOUT}]}, "failure"),
        ("vanilla_tor", {"success": False, "tor_progress": 99}, "anomaly"),
        ("psiphon", None, "failure"),
    ],
)  # fmt: skip
def test_flags_are_those_of_oonis_rules(
    test_name: str, keys: dict[str, Any] | None, flag: str
) -> None:
    row = _read(measurement(test_name, keys) | {"test_keys": keys}, test_name)
    assert isinstance(row, dict)
    told = "failure" if row["is_failure"] else "anomaly" if row["is_anomaly"] else "ok"
    assert told == flag


_LONG = "x" * 10_000
_HOSTILE = [
    {"queries": [{"hostname": "<script>‮", "failure": _LONG, "answers": [{"ipv4": _LONG}]}] * 600},
    {"queries": 7, "tcp_connect": "no", "requests": {"a": 1}, "targets": [1], "success": "yes"},
    {"tcp_connect": [{"ip": "=HYPERLINK(1)", "port": 10**30, "status": {"failure": ["?"]}}]},
    {"requests": [{"request": {"url": "http://[::1"}, "failure": True},
                  {"request": {"url": f"http://{_LONG}:x/", "method": "POST"}}, None]},
    {"targets": {_LONG: {"failure": _LONG, "target_address": _LONG}, "b": None}},
    {"tor_progress": 1e308, "bootstrap_time": -1, "failure": {"a": []}, "error": "\udc80"},
    {"requests": [{"request": {"url": f"http://10.0.{n}.1:80/", "method": "POST"}}
                  for n in range(400)]},
]  # fmt: skip


def test_whatever_a_measurement_holds_ends_as_a_bounded_row() -> None:
    """Any string may be hostile, any key of any type; a corner that is wrong is left out."""
    for test_name, keys in product(BY_NAME, _HOSTILE):
        row = _read(measurement(test_name, keys, probe_network_name=_LONG), test_name)
        assert isinstance(row, dict)
        assert len(row["endpoints"]) <= 128
        assert all(
            len(end.endpoint) <= 128 and len(end.failure or "") <= 512
            and end.layer in (None, *LAYERS)
            for end in row["endpoints"]
        )  # fmt: skip
        assert len(row["probe_network_name"]) <= 512


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[]", "invalid:not_an_object"),
        (b"{", "not_json"),
        (json.dumps(measurement("web_connectivity")).encode(), "other_test"),
        (json.dumps(measurement(probe_cc="Q")).encode(), "invalid:bad_probe_cc"),
        (json.dumps(measurement(start="2024")).encode(), "invalid:bad_start_time"),
        (json.dumps(measurement(report_id="r" * 600)).encode(), "invalid:report_id_too_long"),
        (b'{"a":' + b"[" * 100_000, "not_json"),
        (b"[" + b"1," * 300_000 + b"1]", "invalid:too_many_values"),
    ],
)
def test_a_line_that_is_no_measurement_has_a_reason(content: bytes, reason: str) -> None:
    assert _read(content) == reason


def test_every_line_is_accounted_for_and_running_again_reads_nothing(tmp_path: Path) -> None:
    """The ledger of these tests is their own, and web_connectivity's knows nothing of them."""
    first = measurement()
    archive = write_archive(tmp_path / "archive", [
        first, first, measurement(start="2024-09-01 00:00:00"), measurement(probe_cc="QR"),
        measurement("psiphon", {"failure": None, "bootstrap_time": 1}),
        measurement("vanilla_tor", {"success": True}), measurement("facebook_messenger", {}),
    ])  # fmt: skip
    broken = gzip.compress(b"no json\n" + json.dumps(first).encode() * 50)[:-20]
    put(archive, object_key(11, test="telegram"), broken)
    web = object_key(11)
    put(archive, web, [line_of()])
    collection, rows = _rows(archive, tmp_path / "store")
    ledger = {(test, why): n for test, why, n in rows.ledger().itertuples(index=False)}
    assert ledger == {
        ("facebook_messenger", "kept"): 1, ("facebook_messenger", "total"): 1,
        ("telegram", "truncated_file"): 1, ("telegram", "not_json"): 1,
        ("telegram", "out_of_period"): 1, ("telegram", "duplicate"): 1, ("telegram", "kept"): 1,
        ("telegram", "total"): 5, ("psiphon", "kept"): 1, ("psiphon", "total"): 1,
        ("vanilla_tor", "kept"): 1, ("vanilla_tor", "total"): 1,
    }  # fmt: skip
    again, same = _rows(archive, tmp_path / "store")
    assert (again.read_count, again.digest) == (0, collection.digest)
    pd.testing.assert_frame_equal(same.ledger(), rows.ledger())
    judged = ingest(Request(str(archive), str(tmp_path / "store"), "QQ"), Fingerprints())
    assert [file.key for file in judged.files] == [web]


def test_a_source_without_any_of_these_tests_has_none(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    collection, rows = _rows(tmp_path / "archive", tmp_path / "store")
    assert (collection.files, rows.ledger().empty) == ((), True)
    outcomes = add_messaging_outcomes(rows.connection, read_endpoints(rows.connection))
    outcomes.use(rows.connection)
    assert rows.connection.execute("SELECT count(*) FROM outcomes").fetchall() == [(0,)]


def test_real_bodies_show_what_is_known_of_them(shared_data: Path) -> None:
    """43 measurements of eight tests, 2016 to 2023, with keys of old and new versions."""
    folder = shared_data / "messaging" / "samples"
    if not folder.is_dir():
        pytest.skip("no real messaging measurements in WORKBOOK_SHARED")
    rows = {
        path.stem: _read(path.read_bytes(), path.stem.split("__")[0])
        for path in sorted(folder.glob("*.json"))
    }
    rows = {name: row for name, row in rows.items() if isinstance(row, dict)}
    assert len(rows) == 43
    assert sum(row["is_failure"] for row in rows.values()) == 7
    anomaly, failure, ok = (True, False), (False, True), (False, False)
    certificate, refused = "ssl_invalid_hostname", "connection_refused_error"
    for start, flags, ends in (
        ("signal__2021-02-15T173322", anomaly, {("app", "tls", certificate): 1}),  # a tester's box
        ("signal__2022-10-27", failure, {}),  # an old root certificate
        ("signal__2023-05-30", failure, {}),  # a host that was retired
        ("whatsapp__2022-12-02", ok, {}),  # the server's change, on the plain page only
        ("vanilla_tor__2017", anomaly, {}),  # true blocks, stuck at 5 %
        ("vanilla_tor__2022-08-02", anomaly, {}),
        ("torsf__2023-08-17", failure, {("tunnel", "tunnel", "generic_timeout_error"): 1}),
        # of ten endpoints eight are fine, and so the app
        ("telegram__2017", anomaly, {("app", None, None): 8, ("web", "tcp", refused): 1}),
        ("telegram__2019-12-03", failure, {}),  # a bug of the probe left the web page out
        ("tor__2020-01-10T", failure, {}),  # targets as a list
    ):
        (row,) = (row for name, row in rows.items() if start in name)
        assert (row["is_anomaly"], row["is_failure"]) == flags, start
        ended = Counter((end.part, end.layer, end.failure) for end in row["endpoints"])
        assert ends.items() <= ended.items(), start
