"""Which measurements were taken together, whatever report ID they have; and which came twice."""

import gzip
import json
import random
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from analysis.period import Period
from analysis.store.database import Observations, observations_from_table
from analysis.study.confirmation import confirm
from analysis.worlds.judged_world import open_world
from analysis.worlds.writing import write_world
from tests.archives import CC, ledger_of, line_of, object_key, put, read_into
from tests.observations import observation, table_of

NOON = datetime(2024, 1, 10, 12)


def sent(name: str, after: float, report: str, start: float | None = None, **changes: Any) -> dict:
    """A measurement so many seconds after noon, of a test started so many seconds after it."""
    begun = None if start is None else NOON + timedelta(seconds=start)
    moment = NOON + timedelta(seconds=after)
    return observation(
        domain=f"{name}.example",
        report_id=report,
        measurement_start_time=moment,
        test_start_time=begun,
        **changes,
    )


def runs_of(rows: list[dict] | pa.Table) -> list[str]:
    """The run of each row as a letter, in the order of their first rows, and how it is known."""
    connection = observations_from_table(rows if isinstance(rows, pa.Table) else table_of(rows))
    query = "SELECT run, run_known_by FROM observations ORDER BY row_id"
    found = connection.execute(query).fetchall()
    letters: dict[int, str] = {}
    for run, _ in found:
        letters.setdefault(run, "abcdefghijklmnopqrstuvwxyz"[len(letters)])
    return [f"{letters[run]} {way}" for run, way in found]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(  # as until 2026, whatever the start says
            [
                sent("x", 1, "r", 0),
                sent("y", 5, "r", 4),
                sent("x", 9, "s", 0),
                sent("y", 9, "s", 0),
            ],
            ["a report_id", "a report_id", "b report_id", "b report_id"],
            id="a report of several inputs",
        ),
        pytest.param(
            [
                sent("x", 1, "1", 0),
                sent("y", 700, "2", 0),
                sent("x", 1, "3", 1),
                sent("z", 9, "4", 1),
            ],
            ["a test_start_time", "a test_start_time", "b test_start_time", "b test_start_time"],
            id="an ID for each measurement",
        ),
        pytest.param(
            [
                sent("x", 1, "1", 0),
                sent("y", 2, "2", 0),
                sent("x", 1, "3", 0, probe_asn=7),
                sent("x", 1, "4", 0, probe_id="p"),
                sent("y", 3, "5", 0, probe_id="q"),
            ],
            [
                "a test_start_time",
                "a test_start_time",
                "b closeness",
                "c test_start_time",
                "d test_start_time",
            ],
            id="another network or probe that starts in the same second",
        ),
        pytest.param(  # one volunteer too few rather than one too many
            [
                sent("x", 1, "1", 0),
                sent("y", 5, "2", 0),
                sent("x", 3, "3", 0),
                sent("y", 8, "4", 0),
            ],
            ["a test_start_time"] * 4,
            id="two probes of one kind that start in the same second",
        ),
        pytest.param(  # a start after its measurement; a day before it; none: each is missing
            [sent("x", 1, "1", 2), sent("y", 5, "2", -90_000), sent("z", 9, "3")],
            ["a closeness"] * 3,
            id="starts that cannot be",
        ),
        pytest.param(
            [
                sent("x", 0, "1", 0),
                sent("y", 200, "2", 200),
                sent("z", 501, "3", 501),
                sent("y", 600, "4", 600),
                sent("x", 700, "5", 700),
                sent("y", 800, "6", 800),
            ],
            [
                "a closeness",
                "a closeness",
                "b closeness",
                "b closeness",
                "b closeness",
                "c closeness",
            ],
            id="a start for each measurement: a pause, and an input that comes again",
        ),
        pytest.param(
            [sent(f"n{n}", 290 * n, f"{n}", 290 * n) for n in range(27)],
            ["a closeness"] * 25 + ["b closeness"] * 2,
            id="no run is longer than two hours",
        ),
        pytest.param(  # sent again, it begins no other run
            [sent("x", 0, "1", 0), sent("x", 0, "2", 0), sent("y", 9, "3", 9)],
            ["a closeness"] * 3,
            id="a measurement that came twice",
        ),
        pytest.param(  # of probes whose reports hold several inputs
            [sent("x", 1, "r"), sent("y", 5, "r"), sent("x", 9, "s"), sent("y", 20, "t")],
            ["a report_id", "a report_id", "b report_id", "c report_id"],
            id="reports of one input without a start",
        ),
        pytest.param(  # forged under somebody's report ID: their run has no more voices for it
            [
                sent("x", 1, "r", 0),
                sent("y", 5, "r", 0),
                *(sent("x", n, "r", n) for n in (7, 8, 9)),
            ],
            ["a report_id"] * 5,
            id="lines added to a genuine report",
        ),
        # Forged with the start of a genuine run, then with starts of their own: a run costs a
        # forger one start, and docs/security.md says what a day of them gains.
        pytest.param(
            [
                sent("x", 1, "1", 0),
                sent("y", 5, "2", 0),
                sent("x", 9, "3", 0),
                *(sent("x", n, f"{n}", n) for n in (20, 21)),
            ],
            ["a test_start_time"] * 3 + ["b test_start_time", "c test_start_time"],
            id="lines added to a genuine start, and many starts",
        ),
        pytest.param(  # what was three sessions a day once each measurement had an ID of its own
            [sent("x", n, f"{n}", 0) for n in range(5)] + [sent("y", 9, "9", 0)],
            ["a test_start_time"] * 6,
            id="forty uploads with one start",
        ),
    ],
)
def test_runs(rows: list[dict], expected: list[str]):
    """Each row's run, and how it is known."""
    assert runs_of(rows) == expected


# --- forged lines: what comes later, and what few say, changes no run of others -----------------


def runs_received(rows: list[tuple[int, dict]]) -> list[str]:
    """The runs of rows that were received so many hours after noon."""
    hours = [NOON + timedelta(hours=hour) for hour, _ in rows]
    table = table_of([row for _, row in rows])
    for name, late in (("received_since", 0), ("received_until", 1)):
        times = [hour + timedelta(hours=late) for hour in hours]
        table = table.append_column(name, pa.array(times, pa.timestamp("s")))
    return runs_of(table)


@pytest.mark.parametrize(
    ("report", "start", "way"),
    [("r", 0, "report_id"), ("", 0, "test_start_time"), ("", None, "closeness")],
)
def test_what_comes_later_is_a_run_of_its_own(report: str, start: int | None, way: str) -> None:
    """Under one ID, one start, or near the others; a run may go on from hour to hour."""
    own = [(n // 2, sent(f"s{n}", 200 * n, report, start)) for n in range(4)]
    forged = [(4, sent(f"s{n}", 200 * n, report, start, probe_network_name="x")) for n in range(4)]
    assert runs_received([*own, *forged]) == [f"a {way}"] * 4 + [f"b {way}"] * 4
    assert runs_received([*forged, *own]) == [f"a {way}"] * 4 + [f"b {way}"] * 4


def test_few_lines_do_not_tell_how_a_kind_of_probe_names_its_runs() -> None:
    """Neither a second line under each ID of a day, nor two lines of one start on another day."""
    days = [
        (24 * day, sent(f"s{n}", 86_400 * day + n, f"{day} {n}", 86_400 * day))
        for day in range(3)
        for n in range(3)
    ]
    forged = [(0, sent("x", n + 1, f"0 {n}", 1)) for n in range(3)]
    assert runs_received([*days, *forged]) == [
        *(f"{run} test_start_time" for run in "aaabbbccc"),
        *["d test_start_time"] * 3,
    ]
    restarts = [
        (24 * day, sent(f"s{n}", 86_400 * day + 60 * n, f"{day} {n}", 86_400 * day + 60 * n))
        for day in range(2)
        for n in range(3)
    ]
    witness = [(48, sent(f"s{n}", 2 * 86_400, f"w{n}", 2 * 86_400)) for n in range(2)]
    found = runs_received([*restarts, *witness])
    assert found[:6] == ["a closeness"] * 3 + ["b closeness"] * 3


def test_a_report_holds_what_the_archive_has_of_it(tmp_path: Path):
    """Two inputs of one report name a run, though one of them is of a day outside the period."""
    lines = [
        line_of(1, input="https://a.example/", measurement_start_time="2024-06-30 23:59:59"),
        line_of(1, input="https://b.example/", measurement_start_time="2024-07-01 00:00:09"),
    ]
    put(tmp_path / "archive", object_key(), lines)
    collection = read_into(tmp_path / "store", tmp_path / "archive")
    with Observations(collection, CC, Period.parse("2024-07-01", "2024-08-01")) as opened:
        found = opened.connection.execute("SELECT run_known_by FROM observations").fetchall()
    assert found == [("report_id",)]


def test_a_duplicate_is_what_a_probe_sent_twice(tmp_path: Path):
    """Whatever its report; of another input, time, probe or result it is another measurement."""
    keys = {"blocking": False, "accessible": True}
    lines = [
        line_of(1),
        line_of(1, report_id="r2"),
        line_of(1),
        line_of(3, test_keys={**keys, "not_read_here": 1}),
        line_of(4, probe_asn="AS7"),
        line_of(5, software_version="1"),
        line_of(6, annotations={"platform": "ios"}),
        line_of(7, input="https://other.example/"),
        line_of(8, measurement_start_time="2024-07-01 00:00:01"),
    ]
    put(tmp_path / "archive", object_key(), lines)
    collection = read_into(tmp_path / "store", tmp_path / "archive")
    ledger = ledger_of(collection, Period.parse("2024-07-01", "2024-08-01"))
    assert ledger == {"duplicate": 2, "kept": 7, "total": 9}


def _rewrite(archive: Path, out: Path) -> None:
    """The same measurements as OONI sends them since 2026: an ID each, one in fifty sent twice."""
    rng = random.Random(1)
    for path in sorted(archive.rglob("*.jsonl.gz")):
        lines: list[bytes] = []
        with gzip.open(path) as stream, suppress(EOFError):  # one object is cut off
            for line in stream:
                try:
                    document = json.loads(line)
                except ValueError:
                    lines.append(line.rstrip(b"\n"))
                    continue
                if isinstance(document, dict):
                    for _ in range(2 if rng.random() < 0.02 else 1):
                        document["report_id"] = f"20260801T000000Z_{rng.random()}"
                        lines.append(json.dumps(document).encode())
        put(out, path.relative_to(archive).as_posix(), lines)


def test_verdicts_do_not_depend_on_report_ids(tmp_path: Path):
    """With an ID for each measurement, some of them sent twice: the same verdicts and counts."""
    world = tmp_path / "world"
    days = {"since": "2024-03-01", "until": "2024-05-01"}
    write_world(world, probe_cc="QM", seed=11, name_count=40, network_count=8, **days)
    tables: list[pd.DataFrame] = []
    ledgers = []
    _rewrite(world / "archive", tmp_path / "rewritten")
    for name in ("as it was", "rewritten"):
        if name == "rewritten":
            (world / "archive").rename(tmp_path / "before")
            (tmp_path / "rewritten").rename(world / "archive")
        study = open_world(world, tmp_path / f"store of {name}", "QM", **days)
        with study.observations:
            judged = confirm(study, periods=["all"])
            tables.append(judged.verdicts.drop(columns="witness_report_id"))
            ledgers.append(study.observations.ledger().set_index("reason")["line_count"])
    assert len(tables[0]) > 200
    assert (tables[0]["state"] == "blocked").any()
    pd.testing.assert_frame_equal(*tables)
    before, after = ledgers
    assert after["kept"] == before["kept"]
    assert after["duplicate"] > before["duplicate"]
