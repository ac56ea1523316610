"""What a report says about volunteers: docs/security.md promises it, and WITNESSES=none."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis.errors import ParameterError
from analysis.study.parameters import StudyParameters
from analysis.tables import TABLES, read_table, typed, write_table
from analysis.verdicts.witnesses import hide_measurements
from analysis.worlds.writing import write_world
from benchmarks.drawing import report
from tests.conftest import Command
from tests.table_rows import as_written, dated

#: A report ID as OONI's server makes it, and a moment that says more than the hour.
_REPORT = re.compile(rb"\d{8}T\d{6}Z_|_webconnectivity_")
_MOMENT = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:(?!00(?![:\d])|00:00)|\d\d:\d\d:(?!00)\d\d")


def _texts(report: Path) -> Iterator[tuple[str, bytes]]:
    """Everything in a report's folder, the parts of spreadsheets unpacked."""
    for path in sorted(file for file in report.rglob("*") if file.is_file()):
        if path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                yield from ((f"{path.name}/{name}", book.read(name)) for name in book.namelist())
        else:
            yield path.name, path.read_bytes()


def _places(report: Path, pattern: re.Pattern[bytes]) -> set[str]:
    return {name for name, text in _texts(report) if pattern.search(text)}


def test_without_witnesses_nothing_leads_to_a_measurement(tmp_path: Path, command: Command) -> None:
    """No report ID and no time to the second or minute in any file; all else is the same."""
    write_world(
        tmp_path,
        probe_cc="QN",
        since="2024-01-01",
        until="2024-02-20",
        seed=3,
        sessions_per_day=4,
        network_count=10,
        name_count=60,
        has_apps=True,
    )
    lists = tmp_path / "reference"
    source = [
        f"SOURCE={tmp_path / 'archive'}",
        f"STORE={tmp_path / 'store'}",
        f"TEST_LIST={lists / 'test-lists'}",
        f"NETWORKS={lists / 'networks.csv'}",
        f"FINGERPRINTS={lists / 'fingerprints'}",
    ]
    period = ["PROBE_CC=QN", "SINCE=2024-01-01", "UNTIL=2024-02-20", "JOBS=1"]
    named_report = report([*source, *period, f"OUT={tmp_path / 'named'}"])
    bare_report = report([*source, *period, f"OUT={tmp_path / 'bare'}", "WITNESSES=none"])
    assert {"verdicts.csv"} <= _places(named_report, _REPORT)
    assert {"blocking_intervals.csv", "2-confirmation.html"} <= _places(named_report, _MOMENT)
    assert _places(bare_report, _REPORT) == set()
    assert _places(bare_report, _MOMENT) == set()
    hidden = ["witness_report_id", "witness_input", "witness_url"]
    with_witnesses, without = (
        read_table(one / "tables", "verdicts") for one in (named_report, bare_report)
    )
    assert with_witnesses["witness_report_id"].any()
    assert not without[hidden].to_numpy().any()
    pd.testing.assert_frame_equal(without.drop(columns=hidden), with_witnesses.drop(columns=hidden))
    for page in bare_report.rglob("*.html"):
        assert "No page or table leads to a single measurement" in page.read_text("utf-8"), page
    row = with_witnesses[with_witnesses["witness_report_id"] != ""].iloc[0]
    pair = [row.domain, "--asn", f"AS{row.probe_asn}"]
    for more in ([], ["--json"]):
        status, said, _ = command("explain", *pair, *source, "--out", str(bare_report), *more)
        assert (status, "measurement" in said) == (0, True)
        assert not _REPORT.search(said.encode())
        assert not _MOMENT.search(said.encode())


def test_no_table_has_a_column_for_senders() -> None:
    """Nor one for report IDs but that of the example, which WITNESSES=none empties."""
    columns = {column for table in TABLES.values() for column in table.columns}
    assert not columns & {"probe_id", "report_id", "test_start_time", "measurement_start_time"}


def test_times_by_the_hour_are_still_a_key(tmp_path: Path) -> None:
    """Of two stretches of a pair that begin in one hour, the seconds say which is the second."""
    begins = ["2024-03-05T14:10:59", "2024-03-05T14:50:01", "2024-03-05T15:00:00"]
    table = dated(
        {
            "domain": "a.example",
            "probe_asn": 1,
            "blocked_from": "2024-03-05",
            "blocked_from_time": begin,
            "last_seen_open_time": "",
        }
        for begin in begins[::-1]
    )
    hidden = hide_measurements(table, ["domain", "probe_asn"])
    by_hour = ["2024-03-05T15:00:00", "2024-03-05T14:00:01", "2024-03-05T14:00:00"]
    assert as_written(hidden)["blocked_from_time"].tolist() == by_hour
    assert hidden["last_seen_open_time"].isna().all()
    whole = typed("blocking_intervals", hidden)
    write_table(tmp_path, "blocking_intervals", whole)  # which refuses a key that stands twice
    assert hide_measurements(table[:0], ["domain", "probe_asn"]).empty


def test_another_value_is_refused_and_a_share_has_all(command: Command, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"^WITNESSES=no: none is accepted"):
        StudyParameters.of({"witnesses": "no"})
    status, _, said = command("share", "WITNESSES=none", f"OUT={tmp_path / 'share'}")
    assert (status, "WITNESSES=none: a share holds each measurement" in said) == (2, True)
