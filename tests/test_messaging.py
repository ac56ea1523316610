"""Messaging and circumvention tests: from the archive to what each shows, and to verdicts."""

import gzip
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.errors import ContractError, ParameterError
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messaging_tests import BY_NAME, LAYERS
from analysis.outcomes.app_outcomes import add_messaging_outcomes
from analysis.period import Period
from analysis.reference.test_counts import COUNTS, load_test_counts
from analysis.report.app_tables import Judged, judge_apps
from analysis.report.findings import find_apps
from analysis.sources.api import of_every_country
from analysis.store.database import MessagingRows
from analysis.store.ingestion import Request, ingest, ingest_messaging
from analysis.store.lines import LineReader
from analysis.store.store import Collection
from analysis.study.parameters import StudyParameters
from analysis.study.study import MessagingStudy, open_messaging
from analysis.tables import read_table
from analysis.verdicts.app_verdicts import find_defects, look_elsewhere
from analysis.vocabulary import LISTED
from analysis.worlds.apps import BROKEN
from analysis.worlds.scores import read_truth_table
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
    outcomes = add_messaging_outcomes(rows.connection)
    outcomes.use(rows.connection)
    query = """SELECT domain::VARCHAR, if(evidence = 'none', 'none', class), mechanism FROM outcomes
               ORDER BY measurement_start_time, domain"""
    return rows.connection.execute(query).fetchall()


def test_the_parts_of_a_test_are_judged_apart(tmp_path: Path) -> None:
    """Ten of twelve endpoints are a block, though the probe's own key needs all; a web page that is
    cut off leaves the app open; connected without an answer is neither."""
    cases = (
        (telegram(), ("ok", ""), ("ok", "")),
        (telegram(closed=6), ("ok", ""), ("ok", "")),
        (telegram(closed=10), ("blocked", "tcp.timeout"), ("ok", "")),
        (telegram(closed=12, web=RESET), ("blocked", "tcp.timeout"), ("blocked", "tls.reset")),
        (telegram(web=TIMEOUT), ("ok", ""), ("blocked", "tls.timeout")),
        (telegram(unanswered=12, web=TIMEOUT), ("unknown", ""), ("blocked", "tls.timeout")),
        (telegram(web=TIMEOUT, answer="192.168.7.222"), ("ok", ""), ("blocked", "dns.bogon")),
        (_EMPTY, ("none", ""), ("none", "")),
    )
    documents = [
        measurement(keys=keys, start=f"2024-07-01 10:00:{second:02}")
        for second, (keys, _, _) in enumerate(cases)
    ]
    shown = _shown(*documents, folder=tmp_path)
    assert shown == [
        one for _, app, web in cases for one in (("telegram/app", *app), ("telegram/web", *web))
    ]


def test_addresses_of_one_network_alone_are_no_block(tmp_path: Path) -> None:
    """Where others were tried: the route to one /24 may be lost."""
    near = telegram(closed=4)  # two addresses of one /24
    far = [f"{address}:{port}" for address in (CENTRES[0], CENTRES[2]) for port in (80, 443)]
    near["requests"] = [
        one
        for one in near["requests"]
        if not one["request"]["url"].startswith("http://149") or one["request"]["url"][7:-1] in far
    ]
    shown = _shown(measurement(keys=near), folder=tmp_path)
    assert shown[0] == ("telegram/app", "ok", "")


def test_a_tunnel_is_set_up_or_not(tmp_path: Path) -> None:
    cases: tuple[tuple[str, dict[str, Any], tuple[str, str]], ...] = (
        (
            "vanilla_tor",
            {"success": False, "error": "timeout-reached", "tor_progress": 5},
            ("blocked", "tunnel.timeout"),
        ),
        ("vanilla_tor", {"success": None, "error": None, "tor_progress": 0}, ("none", "")),
        ("psiphon", {"failure": None, "bootstrap_time": 5.5}, ("ok", "")),
        ("psiphon", {"bootstrap_time": 5.5}, ("none", "")),
        ("torsf", {"failure": TIMEOUT, "bootstrap_time": 0}, ("blocked", "tunnel.timeout")),
    )
    documents = [
        measurement(test_name, keys, start=f"2024-07-01 10:00:{second:02}")
        for second, (test_name, keys, _) in enumerate(cases)
    ]
    shown = _shown(*documents, folder=tmp_path)
    assert shown == [(f"{test_name}/tunnel", *expected) for test_name, _, expected in cases]


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
        measurement(
            "signal",
            keys("ssl_invalid_hostname"),
            test_version="0.2.5",
            start="2024-07-01 11:00:00",
        ),
        measurement(
            "signal",
            keys("ssl_unknown_authority"),
            test_version="0.2.3",
            start="2024-07-01 12:00:00",
        ),
        folder=tmp_path,
    )
    assert [row[1:] for row in shown] == [("ok", ""), ("blocked", "tls.mitm"), ("none", "")]


@pytest.mark.parametrize(
    ("test_name", "keys", "flag"),
    [
        ("telegram", telegram(closed=3), "ok"),  # 3 of 13 connections and 3 of 12 requests
        ("telegram", telegram(closed=7), "anomaly"),  # 7 of 13 and 7 of 12
        ("telegram", telegram(web=TIMEOUT), "anomaly"),
        ("telegram", _EMPTY, "failure"),
        ("whatsapp", _EMPTY, "failure"),
        (
            "facebook_messenger",
            {"facebook_star_dns_consistent": False, "facebook_dns_blocking": True},
            "anomaly",
        ),
        ("facebook_messenger", {"facebook_star_dns_consistent": False}, "ok"),
        ("tor", {"targets": {"a": {"failure": TIMEOUT}, "b": {"failure": None}}}, "ok"),
        ("tor", {"targets": [{"failure": TIMEOUT}]}, "failure"),
        ("vanilla_tor", {"success": False, "tor_progress": 99}, "anomaly"),
        ("psiphon", None, "failure"),
    ],
)
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
    {
        "requests": [
            {"request": {"url": "http://[::1"}, "failure": True},
            {"request": {"url": f"http://{_LONG}:x/", "method": "POST"}},
            None,
        ]
    },
    {"targets": {_LONG: {"failure": _LONG, "target_address": _LONG}, "b": None}},
    {"tor_progress": 1e308, "bootstrap_time": -1, "failure": {"a": []}, "error": "\udc80"},
    {
        "requests": [
            {"request": {"url": f"http://10.0.{n}.1:80/", "method": "POST"}} for n in range(400)
        ]
    },
]


def test_whatever_a_measurement_holds_ends_as_a_bounded_row() -> None:
    """Any string may be hostile, any key of any type; a corner that is wrong is left out."""
    for test_name, keys in product(BY_NAME, _HOSTILE):
        row = _read(measurement(test_name, keys, probe_network_name=_LONG), test_name)
        assert isinstance(row, dict)
        assert len(row["endpoints"]) <= 128
        assert all(
            len(end.endpoint) <= 128
            and len(end.failure or "") <= 512
            and end.layer in (None, *LAYERS)
            for end in row["endpoints"]
        )
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
    archive = write_archive(
        tmp_path / "archive",
        [
            first,
            first,
            measurement(start="2024-09-01 00:00:00"),
            measurement(probe_cc="QR"),
            measurement("psiphon", {"failure": None, "bootstrap_time": 1}),
            measurement("vanilla_tor", {"success": True}),
            measurement("facebook_messenger", {}),
        ],
    )
    broken = gzip.compress(b"no json\n" + json.dumps(first).encode() * 50)[:-20]
    put(archive, object_key(11, test="telegram"), broken)
    web = object_key(11)
    put(archive, web, [line_of()])
    collection, rows = _rows(archive, tmp_path / "store")
    ledger = {(test, why): n for test, why, n in rows.ledger().itertuples(index=False)}
    assert ledger == {
        ("facebook_messenger", "kept"): 1,
        ("facebook_messenger", "total"): 1,
        ("telegram", "truncated_file"): 1,
        ("telegram", "not_json"): 1,
        ("telegram", "out_of_period"): 1,
        ("telegram", "duplicate"): 1,
        ("telegram", "kept"): 1,
        ("telegram", "total"): 5,
        ("psiphon", "kept"): 1,
        ("psiphon", "total"): 1,
        ("vanilla_tor", "kept"): 1,
        ("vanilla_tor", "total"): 1,
    }
    again, same = _rows(archive, tmp_path / "store")
    assert (again.read_count, again.digest) == (0, collection.digest)
    pd.testing.assert_frame_equal(same.ledger(), rows.ledger())
    judged = ingest(Request(str(archive), str(tmp_path / "store"), "QQ"), Fingerprints())
    assert [file.key for file in judged.files] == [web]


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


# --- Apps and circumvention tools judged by network; counts of countries, and what they say. ------

_QUARTER = Period.parse("2024-01-01", "2024-04-01")


# --- networks, from the archive -------------------------------------------------------------------


def _open(folder: Path, documents: list[dict[str, Any]], **changes: Any) -> MessagingStudy:
    archive = write_archive(folder / "archive", documents)
    return open_messaging(
        StudyParameters(
            probe_cc="QQ",
            since=str(_QUARTER.since),
            until=str(_QUARTER.until),
            source=str(archive),
            store=str(folder / "store"),
            **changes,
        ),
        jobs=1,
    )


def _days(
    asn: int, keys: dict[str, Any], first: int = 0, last: int = 90, hours: tuple[int, ...] = (9,)
) -> Iterator[dict[str, Any]]:
    for day in range(first, last):
        for hour in hours:
            start = datetime(2024, 1, 1, hour, asn % 60) + timedelta(days=day)
            yield measurement("telegram", keys, start=f"{start:%Y-%m-%d %H:%M:%S}", asn=asn)


def _of_whole(study: MessagingStudy) -> MessagingStudy:
    """The study without its halves, each of which takes as long to judge."""
    return replace(study, periods={"all": study.periods["all"]})


def _states(judged: Judged) -> dict[tuple[str, str], str]:
    whole = judged.verdicts[judged.verdicts["period"] == "all"]
    return {(r.test_name, r.probe_asn): r.state for r in whole.itertuples()}


def test_what_fails_on_all_networks_needs_other_countries(tmp_path: Path) -> None:
    """Without them a block of the whole country and a broken test look the same."""
    documents = [
        one
        for asn in range(64501, 64505)
        for one in (
            *_days(asn, telegram(), 0, 45),
            *_days(asn, telegram(closed=12, web=TIMEOUT), 45),
        )
    ]
    study = _open(tmp_path, documents)
    alone = judge_apps(_of_whole(study))
    assert not set(_states(alone).values()) & set(LISTED)
    header = "measurement_start_day,probe_cc,test_name," + ",".join(COUNTS)

    def counts(anomalies: int) -> Path:
        rows = [
            f"{_QUARTER.since + timedelta(days=day)},{country},telegram,50,"
            f"{50 - (found := anomalies if day >= 45 else 1)},{found},0,0"
            for day in range(90)
            for country in ("QM", "QN", "QO")
        ]
        path = tmp_path / f"counts-{anomalies}.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    def beside(anomalies: int) -> MessagingStudy:
        """The same tests, read already."""
        parameters = replace(study.parameters, test_counts=str(counts(anomalies)))
        return open_messaging(parameters, jobs=1)

    open_elsewhere = judge_apps(_of_whole(beside(1)))
    assert set(_states(open_elsewhere).values()) == {"likely_blocked"}
    broken = judge_apps(beside(48))
    assert not set(_states(broken).values()) & set(LISTED)
    # in the whole period the others fail in fewer than half of the tests, on these days in most
    failing = broken.verdicts[broken.verdicts["period"] != "first"]
    assert set(failing["period"]) == {"all", "second"}
    assert set(failing["set_aside_reason"]) == {"instrument"}
    assert "unexplained" not in set(failing["state"])
    assert broken.defects["test_name"].tolist() == ["telegram"]


def test_the_fictional_countrys_truth_is_found(
    fictional_report: Path, repository_root: Path
) -> None:
    """What it blocks, with its networks, parts and hours, and the test that breaks; no more. Four
    of twelve endpoints that one network cuts off are no part, and not listed."""
    tables = fictional_report / "tables"
    verdicts, own = (read_table(tables, f"messaging_{name}") for name in ("verdicts", "intervals"))
    path = repository_root / "data" / "fictional" / "qq" / "truth" / "apps.csv"
    truth = read_truth_table(path)
    true = truth[(truth["mechanism"] != "instrument") & (truth["endpoint_count"] != "4")]
    columns = ["test_name", "part", "probe_asn", "mechanism"]
    assert sorted(own[columns].to_numpy().tolist()) == sorted(true[columns].to_numpy().tolist())
    by_network = own.set_index("probe_asn")
    for row in true.itertuples():
        assert by_network.loc[row.probe_asn, "schedule"] == row.schedule
        if row.endpoint_count:
            assert by_network.loc[row.probe_asn, "cut_endpoint_count"] == int(row.endpoint_count)
    assert not set(verdicts.loc[verdicts["test_name"] == BROKEN, "state"]) & set(LISTED)
    finding = find_apps(tables)
    assert finding["values"]["defects"] == ["Tor with Snowflake"]


def test_kenyas_blocks_of_2023(shared_data: Path, tmp_path: Path) -> None:
    """One operator's block to the hour, the exam hours of three networks, nobody else. On
    AS36926, 11 of 14 tests at these hours timed out from 9 to 24 November, and 1 of 19 others."""
    packed = shared_data / "messaging" / "ke-telegram-2023-archive.tar"
    if not packed.is_file():
        pytest.skip("no Kenyan telegram tests in WORKBOOK_SHARED")
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path / "archive", filter="data")
    study = open_messaging(
        StudyParameters(
            probe_cc="KE",
            since="2023-10-15",
            until="2023-11-30",
            source=str(tmp_path / "archive"),
            store=str(tmp_path / "store"),
        ),
        jobs=1,
    )
    rows = judge_apps(_of_whole(study)).verdicts.set_index("probe_asn")
    listed = rows[rows["state"].isin(LISTED)]
    assert sorted(listed.index) == [12455, 33771, 36926, 37061]
    began = rows.loc[12455, "blocked_from_time"]
    assert abs(began - datetime(2023, 11, 8, 8, 35)) <= timedelta(hours=1)
    assert rows.loc[12455, ["schedule", "parts"]].tolist() == ["", "app;web"]
    exams = ["Mon-Fri 04:00-08:00, 10:00-14:00", "web", "tls.timeout"]
    for asn in (33771, 36926, 37061):
        assert rows.loc[asn, ["schedule", "parts", "mechanism"]].tolist() == exams


# --- counts of countries --------------------------------------------------------------------------


#: What is publicly known to have failed everywhere in that year: test → from and until about when.
_DOCUMENTED = {"torsf": ("2023-09-20", "2024-06-30"), "signal": ("2023-11-26", "2024-02-24")}


def test_nine_countries_by_their_daily_counts(shared_data: Path) -> None:
    """Held against the others each country finds the tests that broke, when they did, and no
    other."""
    path = shared_data / "messaging" / "nine-countries-daily-2023-07--2024-06.csv"
    if not path.is_file():
        pytest.skip("no daily counts in WORKBOOK_SHARED")
    counts = pd.read_csv(path, keep_default_na=False)
    counts["day"] = pd.to_datetime(counts["measurement_start_day"])
    for country in counts["probe_cc"].unique():
        found = find_defects(look_elsewhere(counts, country))
        assert set(found["test_name"]) == set(_DOCUMENTED), country
        for row in found.itertuples():
            since, until = map(pd.Timestamp, _DOCUMENTED[str(row.test_name)])
            assert since - pd.Timedelta(days=14) <= row.since
            assert row.until <= until + pd.Timedelta(days=14)


_ROW = (
    '{"test_name":"telegram","probe_cc":"QM",'
    '"measurement_count":3,"ok_count":2,"anomaly_count":1,"confirmed_count":0,'
    '"failure_count":0}'
)
_OF_A_DAY = _ROW.replace("{", '{"measurement_start_day":"2023-12-31",')


def test_a_reply_that_cannot_be_counts_is_refused() -> None:
    """Of a week of all countries; what is no country, and other tests, are left out of it."""
    week = of_every_country(_QUARTER)[0]
    for result, message in (
        (f"[{_ROW},{_ROW}]", "two rows are of telegram on 2023-12-31"),
        (f"[{_ROW.replace('3', '4', 1)}]", "sum to 3, not to 4"),
        (f"[{_OF_A_DAY}]", "another shape"),
        ("{}", "another shape"),
    ):
        with pytest.raises(ContractError, match=message):
            week.read(f'{{"result":{result}}}'.encode())
    others = (_ROW, *(_ROW.replace("QM", odd) for odd in ("C2", "<b>", "ÄÖ", "")))
    others += (_ROW.replace("telegram", "ndt"),)
    (row,) = week.read(f'{{"result":[{",".join(others)}]}}'.encode())
    assert (row.day, row.probe_cc) == (date(2023, 12, 31), "QM")


def test_a_file_of_counts_is_read_strictly(tmp_path: Path) -> None:
    header = "measurement_start_day,probe_cc,test_name," + ",".join(COUNTS)
    path = tmp_path / "counts.csv"
    for cells, message in (
        ("2024-01-02,QM,telegram,3,2,0,0,0", "line 2: its flags sum to 2, not to 3"),
        ("2024-01-02,QM,telegram,-1,2,0,0,0", "line 2: '-1' is no count"),
        (
            "someday,QM,telegram,2,2,0,0,0",
            "line 2: measurement_start_day=someday: a date is written",
        ),
        ("2024-01-02,QM,telegram,2,2,0,0,0\n2024-01-02,QM,telegram,2,2,0,0,0", "stand twice"),
        ("2024-01-02,QM,telegram,2,2,0,0,0\n2024-01-02,qm,telegram,2,2,0,0,0", "stand twice"),
        ("2024-01-02,AUT,telegram,2,2,0,0,0", "line 2: 'AUT' is no country"),
        ("2024-01-02,,telegram,2,2,0,0,0", "line 2: '' is no country"),
    ):
        path.write_text(f"{header}\n{cells}\n", encoding="utf-8")
        with pytest.raises(ParameterError, match=message):
            load_test_counts(path)
