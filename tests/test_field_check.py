"""``field-check`` over real measurements on loopback with made-up labels, and OONI's own labels."""

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from html import unescape
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.hosts import normalise
from analysis.reference.labels import FOLDER, load_labels, load_reported
from analysis.review.agreement import compare, measure
from analysis.sources.measurements import Measurement
from tests.archives import contents, line_of, object_key, put, read_csv
from tests.conftest import Command
from tests.loopback_s3 import Fault
from tests.measurements import HOST, complete, page, shake
from tests.ooni_server import META, OoniServer

Row = dict[str, Any]
_LABELS = ("blocked", "ok", "down", "ok")
_NOWHERE = "http://127.0.0.1:9"


@dataclass
class _Desk:
    """Somebody who runs ``field-check`` against ``ooni``, with labels in a file.

    Attributes:
        rows: the labels; ``run`` writes them.
    """

    ooni: OoniServer
    folder: Path
    command: Command
    fingerprints: Path
    rows: list[Row] = field(default_factory=list)

    def arguments(self) -> list[str]:
        names = list(self.rows[0])
        with (self.folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
        return [
            f"LABELS={self.folder / 'labels.csv'}",
            f"STORE={self.folder / 'store'}",
            f"OUT={self.out}",
            f"FINGERPRINTS={self.fingerprints}",
        ]

    def run(self, *more: str) -> tuple[int, str, str]:
        return self.command("field-check", *self.arguments(), *more)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def table(self) -> pd.DataFrame:
        """The table that was written, by uid."""
        return read_csv(self.out / "tables" / "field_check.csv").set_index("measurement_uid")

    def page(self) -> str:
        """What a reader sees."""
        text = (self.out / "index.html").read_text(encoding="utf-8")
        return " ".join(unescape(re.sub("<[^>]+>", " ", text.partition("<main")[2])).split())

    def receive(self, uid: str, raw: str, flags: Mapping[str, bool], **label: Any) -> None:
        """Let OONI have a measurement, and somebody label it."""
        body = json.loads(raw)
        self.ooni.by_uid[uid] = {"measurement_uid": uid, **flags, "raw_measurement": raw}
        self.rows.append(
            {
                "measurement_uid": uid,
                "probe_cc": body["probe_cc"],
                "probe_asn": body["probe_asn"],
                "domain": normalise(body["input"]),
                "label": "ok",
                "confidence": "probable",
                "mechanisms": "tcp.timeout" if label.get("label") == "blocked" else "",
                "stratum": "screen_negative",
                "weight": "1000",
            }
            | label
        )


_NO_FLAGS = {"anomaly": False, "confirmed": False, "failure": False}


@pytest.fixture
def desk(ooni: OoniServer, tmp_path: Path, command: Command, shared_data: Path) -> _Desk:
    """With every real measurement at hand: the recorded replies with OONI's flags, and others."""
    desk = _Desk(ooni, tmp_path, command, shared_data / "fingerprints")
    labels = cycle(_LABELS)
    recorded = [
        json.loads(json.loads(file.read_text(encoding="utf-8"))["body"])
        for file in sorted((shared_data / "api-recordings" / "measurement_meta").glob("*.json"))
        if "report_id-" not in file.name
    ]
    for reply in recorded:
        if reply["test_name"] == "web_connectivity":
            flags = {name: reply[name] for name in _NO_FLAGS}
            uid, raw = reply["measurement_uid"], reply["raw_measurement"]
            desk.receive(uid, raw, flags, label=next(labels))
    for folder in ("web_connectivity-0.4-real", "web_connectivity-0.5-real"):
        for file in sorted((shared_data / "measurements" / folder).glob("*.json")):
            body = json.loads(file.read_text(encoding="utf-8"))
            start = re.sub("[^0-9]", "", body["measurement_start_time"])[:14]
            uid = f"{start}.000000_{body['probe_cc']}_webconnectivity_{len(desk.rows):016x}"
            is_flagged = body["test_keys"]["blocking"] not in (None, False)
            flags = {**_NO_FLAGS, "anomaly": is_flagged}
            desk.receive(uid, json.dumps(body), flags, label=next(labels))
    return desk


def test_real_measurements_beside_labels(desk: _Desk, tmp_path: Path) -> None:
    """Each is read as ``judge`` reads it from a file; agreement and measures follow from both."""
    status, said, wrong = desk.run()
    assert status == 0, said + wrong
    assert desk.ooni.asked_uids() == [row["measurement_uid"] for row in desk.rows]
    table = desk.table()
    assert len(table) == len(desk.rows) >= 15
    files = []
    for uid, meta in desk.ooni.by_uid.items():
        files.append(tmp_path / f"{uid}.json")
        files[-1].write_text(meta["raw_measurement"], encoding="utf-8")
    _, lines, _ = desk.command(
        "judge", "--json", "--fingerprints", str(desk.fingerprints), *map(str, files)
    )
    judged = {Path(one["file"]).stem: one for one in map(json.loads, lines.splitlines())}
    for uid, row in table.iterrows():
        read = judged[str(uid)]
        assert (row["class"], row["mechanism"]) == (read["class"], read["mechanism"]), uid
        right = "undecided" if read["class"] == "unknown" else "differs"
        assert row["comparison"] == ("agrees" if row["label"] == read["class"] else right)
        flags = [
            name for name in ("failure", "confirmed", "anomaly") if desk.ooni.by_uid[uid][name]
        ]
        assert row["flag"] == [*flags, "ok"][0]
    counts = table["comparison"].value_counts()
    assert min(counts["agrees"], counts["differs"], counts["undecided"]) >= 1
    blocked = table[table["label"] == "blocked"]
    hits = (blocked["class"] == "blocked").sum()
    assert f"Sensitivity  This workbook's judge  {hits} of {len(blocked)}" in said
    assert f"{counts['agrees']} agree, {counts['differs']} differ" in said
    page = desk.page()
    assert "do not test what needs many" in page
    assert "98.5 % (95 % to 100 %)" in page
    assert "99.84 % (99.5 % to 100 %)" in page
    html = (desk.out / "index.html").read_text(encoding="utf-8")
    for uid in table.index[table["comparison"] != "agrees"]:
        assert f'href="https://explorer.ooni.org/m/{uid}"' in html
    run = json.loads((desk.out / "run.json").read_bytes())
    assert run["labels"]["row_count"] == len(table)


def test_the_quota_is_spent_in_the_middle(desk: _Desk) -> None:
    """What is there is published, with what is missing; later only the rest is asked for, and all
    is as if nothing had happened."""
    assert desk.run()[0] == 0
    whole = contents(desk.out)
    again = _Desk(desk.ooni, desk.folder / "again", desk.command, desk.fingerprints, desk.rows)
    again.folder.mkdir()
    desk.ooni.asked_uids()
    desk.ooni.units = 4000 - 5 * desk.ooni.units_a_body
    status, said, wrong = again.run()
    asked = desk.ooni.asked_uids()
    assert (status, len(asked)) == (3, 6)
    assert "the quota of OONI's API (127.0.0.1" in wrong
    assert "Running the same command again resumes." in wrong
    rest = len(desk.rows) - 5
    assert f"not compared: {rest}, not fetched yet" in said
    assert f"{rest} labelled measurements were not compared" in again.page()
    desk.ooni.units = 0
    assert again.run()[0] == 0
    assert desk.ooni.asked_uids() == [row["measurement_uid"] for row in desk.rows[5:]]
    assert contents(again.out) == whole


def test_a_run_that_is_killed_in_the_middle(desk: _Desk) -> None:
    """While OONI keeps it waiting: nothing is published, and the next run goes on from there."""
    fourth = desk.rows[3]["measurement_uid"]
    desk.ooni.faults[fourth] = Fault("silence")
    command = [sys.executable, "-m", "analysis", "field-check", *desk.arguments()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while sum(META in request for request in desk.ooni.requests) < 4:
        assert time.monotonic() < deadline, "it never asked for the fourth"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 143, wrong
    assert "stopped. Running the same command again resumes." in wrong
    assert not desk.out.exists()
    desk.ooni.asked_uids()
    desk.ooni.faults.clear()
    assert desk.run()[0] == 0
    assert desk.ooni.asked_uids() == [row["measurement_uid"] for row in desk.rows[3:]]


def test_a_missing_body_and_an_unknown_measurement(desk: _Desk) -> None:
    """Both are said and not counted, and asked for again; nothing else is."""
    absent, unknown = (row["measurement_uid"] for row in desk.rows[:2])
    desk.ooni.by_uid[absent] |= {"raw_measurement": ""}
    del desk.ooni.by_uid[unknown]
    status, said, wrong = desk.run()
    assert status == 0, wrong
    assert "not compared: 2, OONI does not have this measurement" in said
    table = desk.table()
    assert list(table.loc[[absent, unknown], "comparison"]) == ["not_compared"] * 2
    assert f"{len(table) - 2} of {len(table)} labelled measurements compared" in said
    desk.ooni.asked_uids()
    assert desk.run()[0] == 0
    assert desk.ooni.asked_uids() == [absent, unknown]


def test_a_label_that_changed(desk: _Desk) -> None:
    """The result follows the label, and nothing is fetched for it."""
    assert desk.run()[0] == 0
    before = desk.table()
    uid = before.index[before["comparison"] == "agrees"][0]
    desk.ooni.asked_uids()
    row = next(row for row in desk.rows if row["measurement_uid"] == uid)
    row["label"] = "blocked" if row["label"] != "blocked" else "ok"
    assert desk.run()[0] == 0
    assert desk.ooni.asked_uids() == []
    after = desk.table()
    assert after.loc[uid, "comparison"] == "differs"
    others = before.index != uid
    pd.testing.assert_frame_equal(after[others], before[others])


@pytest.mark.parametrize(
    ("column", "value"), [("domain", "other.example"), ("probe_asn", "AS64500"), ("probe_cc", "KE")]
)
def test_a_label_of_another_site_or_network(desk: _Desk, column: str, value: str) -> None:
    """Is not compared with the measurement of its uid, and what was measured is said."""
    row = desk.rows[0]
    measured = dict(row)
    row[column] = value
    status, said, wrong = desk.run()
    assert status == 0, wrong
    words = f"{measured['domain']} on {measured['probe_asn']} in {measured['probe_cc']}"
    assert f"not compared: 1, the measurement is of {words}, and the label is not" in said
    assert desk.table().loc[row["measurement_uid"], "class"] == ""
    assert words in desk.page()


def test_a_reply_about_another_measurement(desk: _Desk) -> None:
    """Is refused and not kept; nor is one that is no measurement."""
    first, second = (row["measurement_uid"] for row in desk.rows[:2])
    right = desk.ooni.by_uid[first]
    desk.ooni.by_uid[first] = desk.ooni.by_uid[second]
    status, _, wrong = desk.run()
    assert (status, f"OONI sent {second} in place of {first}" in wrong) == (4, True), wrong
    desk.ooni.by_uid[first] = {**right, "anomaly": "perhaps"}
    status, _, wrong = desk.run()
    assert (status, f"OONI's measurement {first} has another shape" in wrong) == (4, True), wrong
    assert not desk.out.exists()
    desk.ooni.by_uid[first] = right
    assert desk.run()[0] == 0
    assert desk.table().loc[first, "comparison"] != "not_compared"


def test_a_damaged_reply_is_fetched_again(desk: _Desk) -> None:
    """By its checksum."""
    desk.rows = desk.rows[:3]
    assert desk.run()[0] == 0
    uid = desk.rows[1]["measurement_uid"]
    kept = desk.folder / "store" / "raw" / "api" / "measurement_meta" / f"{uid}.json"
    kept.write_bytes(kept.read_bytes()[:-100])
    desk.ooni.asked_uids()
    assert desk.run()[0] == 0
    assert desk.ooni.asked_uids() == [uid]


def test_without_a_network(desk: _Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence, status 3, and what was published stands; what is kept needs no network."""
    monkeypatch.setenv("OONI_API", _NOWHERE)
    status, said, wrong = desk.run()
    assert (status, said) == (3, "")
    assert f"none of {len(desk.rows)} labelled measurements is kept yet" in wrong
    assert "OONI's API (127.0.0.1:9) did not answer: there is no connection to the server" in wrong
    assert not desk.out.exists()
    monkeypatch.setenv("OONI_API", desk.ooni.api)
    assert desk.run()[0] == 0
    before = contents(desk.out)
    monkeypatch.setenv("OONI_API", _NOWHERE)
    assert desk.run()[0] == 0
    assert contents(desk.out) == before


def test_hostile_measurements(desk: _Desk) -> None:
    """Strings of a measurement do nothing on the page or in a spreadsheet, and a body that is no
    measurement is said."""
    desk.rows.clear()
    host = complete() | {"input": "https://=cmd()<script>alert(1)</script>.example/"}
    raw = json.dumps({**host, "probe_cc": "KE", "probe_asn": "AS64500"})
    desk.receive("20260701000000.000000_KE_webconnectivity_1", raw, _NO_FLAGS, domain="a.example")
    desk.receive("20260701000000.000000_KE_webconnectivity_2", raw, _NO_FLAGS, domain="a.example")
    desk.ooni.by_uid[desk.rows[1]["measurement_uid"]]["raw_measurement"] = "[<b>nothing</b>]"
    desk.rows[1]["mechanisms"] = "=1+1"
    status, said, wrong = desk.run()
    assert status == 0, wrong
    assert "No labelled measurement could be compared" in desk.page()
    assert "cannot be judged: not_json" in said
    html = (desk.out / "index.html").read_text(encoding="utf-8")
    assert "<b>nothing" not in html
    assert "<script>alert" not in html
    assert "'=1+1" in (desk.out / "tables" / "field_check.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measurement_uid": "../../etc/passwd"}, "is not one of OONI's"),
        ({"probe_cc": "Z"}, "a country is two letters"),
        ({"probe_asn": "x"}, "a network such as AS64500"),
        ({"domain": "a b"}, "domain must be a host name"),
        ({"label": "maybe"}, "label 'maybe' is none of blocked, down, ok"),
        ({"weight": "0"}, "weight '0' is no number above 0"),
        ({"weight": "many"}, "could not convert"),
    ],
)
def test_labels_that_are_refused(desk: _Desk, changes: Mapping[str, str], message: str) -> None:
    """Each with its line; nothing is asked for."""
    desk.rows[1] |= changes
    status, _, wrong = desk.run()
    assert status == 2
    assert "labels.csv: line 3: " in wrong
    assert message in wrong
    assert not desk.ooni.requests


def test_parameters_that_are_refused(desk: _Desk) -> None:
    """Two labels of one measurement, no label, a source without a country, a report's folder."""
    for words, message in (
        (["SOURCE=ooni"], "is read for a country: give PROBE_CC"),
        (["SINCE=2024-01-01"], "only LABELS"),
        (["FETCH=yes"], "a whole number from 0 to 1"),
    ):
        status, _, wrong = desk.run(*words)
        assert (status, message in wrong) == (2, True), wrong
    put(desk.out, "notes.txt", b"mine")
    assert desk.run()[0] == 2
    desk.rows.append(desk.rows[0])
    assert "its measurement_uid stands twice" in desk.run()[2]


def test_a_terminal_is_asked(desk: _Desk, tmp_path: Path) -> None:
    """Whether to read a country's days, once their size is said: no reads nothing, yes does."""
    desk.rows = desk.rows[:2]
    source = put(tmp_path / "archive", object_key(cc="KH"), [line_of(probe_cc="KH")]).parents[5]
    words = [*desk.arguments(), "PROBE_CC=KH", f"SOURCE={source}"]
    for answer, status in ((b"n\n", 0), (b"y\n", 3)):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "analysis", "field-check", *words]
        os.write(ours, answer)
        done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False)
        os.close(theirs)
        os.close(ours)
        assert done.returncode == status, done.stderr
        assert "MB in all\n" in done.stdout
        assert "Read these days? [y/N]" in done.stdout
        assert ("has no measurement of KH" in done.stderr) == (status == 3)


# --- measures -------------------------------------------------------------------------------------


def test_the_shipped_labels_give_what_ooni_reports_of_its_flag(tmp_path: Path) -> None:
    """All that its analysts drew from the flagged ones was flagged, so that shares and bounds of
    OONI's evaluation follow from the labels and weights alone. No analyst is named."""
    labels = load_labels("")
    assert labels.rows["measurement_uid"].is_unique
    assert len(labels.rows) == 126
    measurements = {
        uid: Measurement("{}", uid, anomaly=stratum == "screen_positive")
        for uid, stratum in labels.rows[["measurement_uid", "stratum"]].itertuples(index=False)
    }
    judged = {
        row.measurement_uid: {
            "input": f"https://{row.domain}/",
            "probe_cc": row.probe_cc,
            "probe_asn": f"AS{row.probe_asn}",
            "class": row.label,
            "mechanism": "",
            "rule_id": "made.up",
            "is_artefact": False,
        }
        for row in labels.rows.itertuples(index=False)
    }
    measures = measure(compare(labels, measurements, judged)).set_index(["method", "measure"])
    flag = measures.loc["flag"]
    reported = load_reported().set_index(["method", "measure"]).loc["flag"]
    assert flag.loc["sensitivity", "weighted_share"] == pytest.approx(0.670, abs=5e-4)
    assert flag.loc["specificity", "weighted_share"] == pytest.approx(0.994, abs=5e-4)
    assert flag.loc["precision", ["success_count", "trial_count"]].tolist() == [42, 46]
    bounds = flag.loc["precision", ["share", "lower_share", "upper_share"]].astype("float64")
    assert bounds.round(2).tolist() == reported.loc["precision"].tolist()[-3:]
    assert reported.loc["sensitivity", "share"] == 0.670
    for file in FOLDER.iterdir():
        assert "analyst" not in file.read_text(encoding="utf-8")


def test_weighted_measures_by_hand() -> None:
    """Two blocked that stand for 10 and 30, of which the larger is missed; three others."""
    rows = [
        ("blocked", "blocked", "anomaly", 10.0),
        ("blocked", "unknown", "ok", 30.0),
        ("ok", "ok", "confirmed", 50.0),
        ("down", "down", "failure", 25.0),
        ("ok", "blocked", "ok", 25.0),
    ]
    table = pd.DataFrame(rows, columns=["label", "class", "flag", "weight"])
    found = measure(table.assign(comparison="agrees")).set_index(["method", "measure"])
    columns = ["success_count", "trial_count", "share", "weighted_share"]
    assert found[columns].apply(tuple, axis=1).to_dict() == {
        ("judge", "sensitivity"): (1, 2, 1 / 2, 1 / 4),
        ("judge", "specificity"): (2, 3, 2 / 3, 3 / 4),
        ("judge", "precision"): (1, 2, 1 / 2, 10 / 35),
        ("flag", "sensitivity"): (1, 2, 1 / 2, 1 / 4),
        ("flag", "specificity"): (2, 3, 2 / 3, 1 / 2),
        ("flag", "precision"): (1, 2, 1 / 2, 10 / 60),
    }
    # 40² / (10² + 30²) = 1.6 measurements; Wilson's bounds for 0.4 of 1.6
    bounds = found.loc[("judge", "sensitivity"), ["weighted_lower_share", "weighted_upper_share"]]
    assert bounds.round(4).tolist() == [0.0221, 0.8309]


# --- a country's events ---------------------------------------------------------------------------

_NETWORKS = ("AS38623", "AS131207")
_EVERYDAY = tuple(f"everyday-{number}.example" for number in range(5))


def _measure(host: str, asn: str, day: date, hour: int, *, is_cut: bool = False) -> bytes:
    """A measurement of Cambodia in which the site answers, or its handshake is cut."""
    reset = "connection_reset"
    cut = {
        "tls_handshakes": [shake(failure=reset)],
        "requests": [page(failure=reset)],
        "blocking": "http-failure",
        "accessible": False,
        "http_experiment_failure": reset,
        "title_match": None,
    }
    start = f"{day} {hour:02}:00:00"
    made = complete(**(cut if is_cut else {})) | {
        "probe_cc": "KH",
        "probe_asn": asn,
        "resolver_asn": asn,
        "report_id": f"{day:%Y%m%d}T{hour:02}0000Z_webconnectivity_KH_{asn[2:]}_n1_{host}",
        "measurement_start_time": start,
        "test_start_time": start,
    }
    return json.dumps(made).replace(HOST, host).encode()


def _put_days(folder: Path, first: date, cut: Mapping[tuple[str, str], date]) -> None:
    """Four weeks before a day and four after it, of sites that are cut from some day on."""
    hosts = {*_EVERYDAY, *(host for host, _ in cut)}
    for day in (first + timedelta(days=number) for number in range(-28, 28)):
        lines = [
            _measure(host, asn, day, hour, is_cut=day >= cut.get((host, asn), date.max))
            for asn in _NETWORKS
            for host in sorted(hosts)
            for hour in (3, 15)
        ]
        put(folder, object_key(20, day=f"{day:%Y%m%d}", cc="KH"), lines)


def test_events_of_a_country(desk: _Desk, tmp_path: Path) -> None:
    """Their size is said before anything is read; read, each site is or is not listed from that
    day; days that the source lacks are said, and the others are still compared."""
    desk.rows = desk.rows[:4]
    archive = tmp_path / "archive"
    begun, week = date(2023, 2, 13), date(2026, 7, 22)
    _put_days(
        archive,
        begun,
        {
            ("vodenglish.news", _NETWORKS[0]): begun,
            ("vodkhmer.news", _NETWORKS[0]): date.max,
            ("vodhotnews.com", _NETWORKS[1]): begun + timedelta(days=9),
        },
    )
    _put_days(archive, week, {("plus.im", _NETWORKS[0]): week})
    words = ["PROBE_CC=KH", f"SOURCE={archive}", "JOBS=1"]
    status, said, wrong = desk.run(*words)
    assert status == 0, wrong
    assert re.search(r"2023-02-13 Blocked .*: 2023-01-16 to 2023-03-12, about \d+ MB in all", said)
    assert "FETCH=1 reads these days" in said
    assert "Events of the country" not in desk.page()
    status, said, wrong = desk.run(*words, "FETCH=1")
    assert status == 3
    assert "has no measurement of KH" in " ".join(wrong.split())
    for line in (
        "2023-02-13 vodenglish.news on any access network: Listed from that day",
        "2023-02-13 vodkhmer.news on any access network: Not listed",
        "2023-02-13 vodhotnews.com on any access network: Listed from a later day",
        "2026-07-20 plus.im on AS38623: A block begins or ends in the week",
    ):
        assert line in said, said
    assert "kamnotra.io" not in said  # of the days of July 2023, which the archive lacks
    events = read_csv(desk.out / "tables" / "field_check_events.csv").set_index("domain")
    found = events.loc["vodenglish.news"]
    assert (found["last_seen_open"], found["blocked_from"]) == ("2023-02-12", "2023-02-13")
    assert (found["listed_network_count"], found["network_count"]) == ("1", "2")
    assert events.loc["plus.im", "label"] == "event_present"
    page = desk.page()
    assert "Events of the country" in page
    assert "Listed from a later day" in page


def test_a_country_of_which_ooni_published_nothing(desk: _Desk) -> None:
    """Is said, and the labels are compared as without it."""
    desk.rows = desk.rows[:2]
    status, said, wrong = desk.run("PROBE_CC=LU", "FETCH=1")
    assert status == 0, wrong
    assert "OONI has published no incident of web sites in Luxembourg, and labelled no" in said
