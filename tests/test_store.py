"""The store: what goes in comes out, and opening it picks a country and a period."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.errors import ContractError
from analysis.observations.schema import OBSERVATION, SCHEMA_VERSION
from analysis.period import Period
from analysis.store.database import Observations
from analysis.store.stage_tables import FOLDER as STAGES
from analysis.store.store import FOLDER, Collection, Provenance, Store, file_name

_ID = "archive-0123456789ab"
_CC = "QQ"
_JULY = Period.parse("2024-07-01", "2024-08-01")


def _row(number: int = 0, **values: Any) -> tuple[Any, ...]:
    """A row with nulls and empty lists where no value is given."""
    lists: dict[str, Any] = {
        field.name: [] for field in OBSERVATION if pa.types.is_list(field.type)
    }
    start = int((datetime(2024, 7, 1, 10) - datetime(1970, 1, 1)).total_seconds())
    known = {**lists, "report_id": f"r{number}", "input": "https://a.example/", "line_number": 1,
             "measurement_start_time": start, "probe_cc": _CC, **values}  # fmt: skip
    return tuple(known.get(name) for name in OBSERVATION.names)


def _key(hour: int = 0, cc: str = _CC) -> str:
    return f"raw/20240701/{hour:02}/{cc}/webconnectivity/a.jsonl.gz"


def _write(store: Store, key: str, rows: list[tuple[Any, ...]], **values: Any) -> Provenance:
    known = {"size": 1, "etag": "e", "sha256": "a" * 64, "schema_version": SCHEMA_VERSION,
             "fingerprints": "f" * 64, "row_count": len(rows), "ledger": {}, **values}  # fmt: skip
    provenance = Provenance(key=key, **known)
    return store.write_observations(_ID, key, filter(None, [rows]), lambda row_count: provenance)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store"))


@pytest.mark.parametrize("count", [0, 1, 1500])
def test_a_file_carries_its_provenance_and_its_columns(store: Store, count: int):
    """Both in one rename; a file without rows has them too."""
    provenance = _write(store, _key(), [_row(n) for n in range(count)], ledger={"not_json": 3})
    path = store.path(file_name(_ID, _key()))
    assert store.read_provenances(_ID, [_key(), _key(1)]) == {_key(): provenance}
    assert pq.read_schema(path).names == OBSERVATION.names
    assert pq.read_metadata(path).num_rows == count
    assert [f"{FOLDER}/{name}" for name in store.stamps(FOLDER)] == [file_name(_ID, _key())]


def test_a_block_left_early_leaves_nothing(store: Store):
    """By an exception of whoever gives the rows: the half-written file is dropped."""

    def rows() -> Iterator[list[tuple[Any, ...]]]:
        yield [_row()]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write_observations(_ID, _key(), rows(), lambda row_count: pytest.fail("not whole"))
    assert not [path for path in Path(store.uri).rglob("*") if path.is_file()]


_WRITE_FOR_EVER = """
import sys; from analysis.store.store import Store
with Store(sys.argv[1]).write("observations/a/b.parquet") as path:
    print(path.parent.name, flush=True)
    sys.stdin.read()
"""


def test_leftovers_of_dead_processes_go_and_those_of_live_ones_stay(store: Store):
    """Those of this process too."""
    folder = Path(store.uri) / FOLDER / "a"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITE_FOR_EVER, store.uri],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    dead, live = (process.stdout.readline().strip() for process in processes if process.stdout)
    processes[0].kill()
    processes[0].wait()
    names = {dead: False, live: True}
    with store.write("observations/a/c.parquet") as ours:
        ours.touch()
        store.remove_leftovers(FOLDER)
        assert ours.exists()
    assert {name: (folder / name).exists() for name in names} == names
    processes[1].communicate("")
    assert not (folder / live).exists()


def test_opening_picks_country_and_period_and_counts_the_rest(store: Store):
    """The half-open period is by start time; times come out in UTC."""
    may = int((datetime(2024, 5, 1) - datetime(1970, 1, 1)).total_seconds())
    files = (
        _write(store, _key(0), [_row(1), _row(2, probe_cc="QM"),
                                _row(3, measurement_start_time=may)], ledger={"other_test": 4}),
        _write(store, _key(1), [_row(1, line_number=7), _row(4)],
               ledger={"invalid:no_input": 1, "invalid:bad_probe_cc": 2, "truncated_file": 1}),
    )  # fmt: skip
    with Observations(Collection(store, _ID, files), _CC, _JULY) as opened:
        rows = opened.connection.execute(
            "SELECT report_id, object_key, measurement_start_time FROM observations ORDER BY ALL"
        ).fetchall()
        ledger = opened.ledger()
    start = datetime(2024, 7, 1, 10)
    assert rows == [("r1", _key(0), start), ("r4", _key(1), start)]
    assert dict(zip(ledger["reason"], ledger["line_count"], strict=True)) == {
        "truncated_file": 1, "not_json": 0, "invalid": 3, "other_test": 4, "other_country": 1,
        "out_of_period": 1, "duplicate": 1, "kept": 2, "invalid:bad_probe_cc": 2,
        "invalid:no_input": 1, "total": 13,
    }  # fmt: skip


def test_of_an_identity_the_first_is_kept_wherever_the_others_lie(store: Store):
    """In whichever objects, of which some have no row of their own."""
    contents = (), (1, 2), (), (3,), (4, 2), (), (1, 1)
    files = tuple(
        _write(store, _key(hour), [_row(n, line_number=line) for line, n in enumerate(numbers)],
               ledger={"other_test": 1})
        for hour, numbers in enumerate(contents)
    )  # fmt: skip
    with Observations(Collection(store, _ID, files), _CC, _JULY) as opened:
        rows = opened.connection.execute(
            "SELECT report_id, object_key, line_number, row_id FROM observations ORDER BY ALL"
        ).fetchall()
        ledger = opened.ledger().set_index("reason")["line_count"]
    assert rows == [
        ("r1", _key(1), 0, 0), ("r2", _key(1), 1, 1), ("r3", _key(3), 0, 2), ("r4", _key(4), 0, 3),
    ]  # fmt: skip
    assert ledger[["kept", "duplicate", "other_test", "total"]].tolist() == [4, 3, 7, 14]


def test_a_ledger_that_does_not_add_up_is_refused(store: Store):
    """A file with other rows than it says would make a table lie."""
    files = (_write(store, _key(), [_row(1)], row_count=2),)
    with (
        Observations(Collection(store, _ID, files), _CC, _JULY) as opened,
        pytest.raises(ContractError, match="the ledger has 1 lines, the objects have 2"),
    ):
        opened.ledger()


def test_the_rows_of_a_study_are_written_once_and_again_when_the_store_grows(store: Store):
    """Opening twice writes once; a new object makes another. Of broken ones: test_stages.py."""
    files = [_write(store, _key(n), [_row(n), _row(9, line_number=2)]) for n in range(2)]
    made = set()
    for count, expected, written in (
        (1, [("r0", 0), ("r9", 1)], 1),
        (1, [("r0", 0), ("r9", 1)], 0),
        (2, [("r0", 0), ("r1", 2), ("r9", 1)], 1),  # the fourth is the second once more
    ):
        with Observations(Collection(store, _ID, tuple(files[:count])), _CC, _JULY) as opened:
            query = "SELECT report_id, row_id FROM observations ORDER BY ALL"
            assert opened.connection.execute(query).fetchall() == expected
        found = {(path, path.stat().st_ino) for path in Path(store.path(STAGES)).iterdir()}
        assert len(found - made) == written
        made |= found


def test_a_folder_may_have_any_name(tmp_path: Path):
    """DuckDB takes brackets and stars for patterns, and ``a=b`` for a column."""
    store = Store(str(tmp_path / "q=1" / "[a]*? 'b'"))
    file = _write(store, _key(), [_row(1)])
    for _ in range(2):  # the rows are written, and then opened
        with Observations(Collection(store, _ID, (file,)), _CC, _JULY) as opened:
            rows = opened.connection.sql("FROM observations")
            assert rows.columns == [*OBSERVATION.names, "object_key", "row_id"]
            assert len(rows.fetchall()) == 1
