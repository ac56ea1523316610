"""What a store holds and lives through: kills, neighbours, full disks, older and damaged files."""

import ctypes
import gzip
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.commands import cli
from analysis.errors import ContractError
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.schema import OBSERVATION, SCHEMA_VERSION
from analysis.pages.spreadsheet import write_spreadsheet
from analysis.period import Period
from analysis.review.decisions import Basis
from analysis.review.feedback import SHEET, write_sheet
from analysis.store import store as checksums
from analysis.store.database import Observations
from analysis.store.ingestion import Request, ingest
from analysis.store.stage_tables import FOLDER as STAGES
from analysis.store.store import FOLDER, Collection, Provenance, Store
from analysis.tables import TABLES
from benchmarks.generate import PROBE_CC, Size, write_archive

_ID = "archive-0123456789ab"
_CC = "QQ"
_JULY = Period.parse("2024-07-01", "2024-08-01")


def _row(number: int = 0, **values: Any) -> tuple[Any, ...]:
    """A row with nulls and empty lists where no value is given."""
    lists: dict[str, Any] = {
        field.name: [] for field in OBSERVATION if pa.types.is_list(field.type)
    }
    start = int((datetime(2024, 7, 1) - datetime(1970, 1, 1)).total_seconds())
    known = {
        **lists,
        "report_id": f"r{number}",
        "input": "https://a.example/",
        "line_number": 1,
        "test_keys_digest": number,
        "measurement_start_time": start,
        "probe_cc": _CC,
        **values,
    }
    return tuple(known.get(name) for name in OBSERVATION.names)


def _key(hour: int = 0, cc: str = _CC) -> str:
    return f"raw/20240701/{hour:02}/{cc}/webconnectivity/a.jsonl.gz"


def _write(store: Store, key: str, rows: list[tuple[Any, ...]], **values: Any) -> Provenance:
    known = {
        "size": 1,
        "etag": "e",
        "sha256": "a" * 64,
        "schema_version": SCHEMA_VERSION,
        "fingerprints": "f" * 64,
        "row_count": len(rows),
        "ledger": {},
        **values,
    }
    provenance = Provenance(key=key, **known)
    return store.write_observations(_ID, key, filter(None, [rows]), lambda row_count: provenance)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store"))


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
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
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


# --- What a store lives through: kills, neighbours, full and read-only disks, older and damaged fil

ROOT = Path(__file__).resolve().parents[1]
_OBJECTS = 6
_JOBS_2 = """import analysis.store.workers as w; w.WORTH_A_WORKER = 1
from analysis.commands.cli import main
main()"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six objects, each read in some hundredths of a second."""
    folder = tmp_path_factory.mktemp("survival") / "archive"
    write_archive(folder, Size(objects=_OBJECTS, measurements=60, sites=40))
    return folder


@pytest.fixture(scope="module")
def undisturbed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store of a run that nobody disturbed."""
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    whole = _next_run(archive, store)
    assert len(whole) == _OBJECTS
    return whole


def _ingest(source: Path, store: Path) -> Collection:
    return ingest(Request(str(source), str(store), PROBE_CC, jobs=1), Fingerprints())


def _next_run(archive: Path, store: Path) -> dict[str, bytes]:
    """What a store holds after a run that nobody disturbs."""
    Observations(_ingest(archive, store), PROBE_CC, _JULY).close()
    assert _count_rows_files(store)
    return _contents(store)


def _put(store: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(content)


def _run(archive: Path, store: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(archive, store),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        **options,
    )


def _refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """One sentence and the exit status that belongs to it."""
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    for word in words:
        assert word in line


_WORDS = (f"PROBE_CC={PROBE_CC}", "SINCE=2024-07-01", "UNTIL=2024-08-01", "JOBS=1")

# Runs the command line, which stops where a file has half of its bytes and not yet its name: a
# write takes a thousandth of a second, and nobody who looks from outside meets it by chance.
_STOPPING = """
import os, signal, sys, time
from pathlib import Path
_, folder, after, *sys.argv[1:] = sys.argv
whole, replace = [], os.replace
def stop(source, target, **how):
    if folder in Path(target).parts:
        if len(whole) == int(after):
            os.truncate(source, os.path.getsize(source) // 2)
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(600)  # another thread may take the signal
        whole.append(target)
    return replace(source, target, **how)
os.replace = stop
from analysis.commands.cli import main
main()
"""


def _command(archive: Path, store: Path) -> list[str]:
    """One ingestion."""
    words = (*_WORDS, f"SOURCE={archive}", f"STORE={store}")
    return [sys.executable, "-m", "analysis", "ingest", *words]


def _contents(store: Path) -> dict[str, bytes]:
    """Every file of a store, but for what knows when it was made, and what can be made again."""
    files = (
        path
        for path in store.rglob("*")
        if path.is_file()
        and not path.match("read-*.json")
        and STAGES not in path.relative_to(store).parts
    )
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in files}


def _count_rows_files(store: Path) -> int:
    """How many files have a study's rows; each is as its name says."""
    files = list((store / STAGES).glob("*.duckdb"))
    for path in files:
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        assert checksum.startswith(path.suffixes[-2][1:]), f"{path} is half-written"
    return len(files)


def _in_a_write(arguments: Sequence[str], folder: str, after: int) -> list[str]:
    """The same run of ``command``, which stops in a write below ``folder`` after so many."""
    return [sys.executable, "-c", _STOPPING, folder, str(after), *arguments[3:]]


def _kill(arguments: Sequence[str], seconds: float = 120) -> bool:
    """Start a run and kill it after some seconds, or where it stops by itself, in the middle of a
    write; whether it was there."""
    end = time.monotonic() + seconds
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    is_in_a_write = False
    while process.poll() is None and not is_in_a_write and time.monotonic() < end:
        is_in_a_write = _is_stopped(process)
        time.sleep(0.0005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return is_in_a_write


def _is_stopped(process: "subprocess.Popen[bytes]") -> bool:
    state = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
    return state.split()[0] == "T"


def _find_suffixes(folder: Path) -> list[str]:
    """How the files below a folder end. Folders may vanish while one looks."""
    names = (Path(name) for *_, files in os.walk(folder) for name in files)
    return [name.suffix for name in names]


def _refuse_halves(store: Path, undisturbed: Mapping[str, bytes]) -> None:
    """Whatever has its name after a kill must be whole; a lock holds nothing."""
    _count_rows_files(store)
    for name, content in _contents(store).items():
        is_no_file = name.endswith(".part") or (name.endswith(".lock") and not content)
        assert is_no_file or content == undisturbed[name], f"{name} is half-written"


# --- kills ----------------------------------------------------------------------------------------


def test_killed_wherever_it_stood_the_next_run_ends_alike(
    archive: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    """In the middle of a write of each kind, and at any moment, one after the other on a store."""
    store = tmp_path / "store"
    run = _command(archive, store)
    for arguments, seconds, is_in_a_write in (
        (_in_a_write(run, "observations", 2), 120, True),
        (_in_a_write(run, STAGES, 0), 120, True),
        (run, 1.5, False),  # the last: on a quick machine it may end, and leave nothing to write
    ):
        assert _kill(arguments, seconds) == is_in_a_write
        _refuse_halves(store, undisturbed)
    assert _next_run(archive, store) == undisturbed


def test_workers_end_with_a_parent_that_is_killed(
    archive: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    """They would wait for work for ever; and what they were writing could never be cleared away."""
    store = tmp_path / "store"
    arguments = [sys.executable, "-c", _JOBS_2, *_command(archive, store)[3:]]
    arguments = ["JOBS=2" if word == "JOBS=1" else word for word in arguments]
    process = subprocess.Popen(arguments, cwd=ROOT, start_new_session=True)
    while process.poll() is None and ".part" not in _find_suffixes(store):
        time.sleep(0.001)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while _is_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_group(process.pid)
    _refuse_halves(store, undisturbed)
    assert _next_run(archive, store) == undisturbed


def _is_group(process: int) -> bool:
    try:
        os.killpg(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_runs_side_by_side_do_not_disturb_each_other(
    archive: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    """Two of one source into one store, which end with one set of the study's rows."""
    store = tmp_path / "store"
    running = [
        subprocess.Popen(
            _command(archive, store), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=100)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert _contents(store) == undisturbed
    assert _count_rows_files(store) == len(list((store / STAGES).iterdir())) == 1


# --- disks ----------------------------------------------------------------------------------------


def _limited(size: int) -> Callable[[], None]:
    """No file of a process grows beyond a size: the writes fail as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_ends_a_run_in_one_sentence(
    archive: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    """In the middle of an object's file, or of the study's rows, for which there is no room
    elsewhere either. Once there is room, the next run ends as if nothing had been."""
    store = tmp_path / "store"
    largest = max(map(len, undisturbed.values()))
    done = _run(archive, store, preexec_fn=_limited(largest - 1))
    _refused(done, 3, "SourceError: ", str(store), "cannot be written: File too large. Running")
    _refuse_halves(store, undisturbed)
    assert ".part" not in _find_suffixes(store)
    done = _run(archive, store, preexec_fn=_limited(largest))
    _refused(done, 3, "SourceError: the tables of a stage cannot be written: ", "File too large")
    assert _contents(store) == undisturbed
    assert _next_run(archive, store) == undisturbed


def test_a_full_disk_under_a_spreadsheet_is_an_error_of_the_disk(tmp_path: Path):
    """Its library's own error is no OSError, and ended a report with status 1."""
    for name in ("blocked_sites.xlsx", SHEET):
        (tmp_path / name).symlink_to("/dev/full")
    table = pd.DataFrame(columns=[*TABLES["blocked_sites"].columns])
    for write in (
        lambda: write_spreadsheet(tmp_path, "blocked_sites", table, title="", sources={}),
        lambda: write_sheet(tmp_path, "", [], Basis(_CC, _JULY, 1)),
    ):
        with pytest.raises(OSError, match="No space left on device"):
            write()


def _bound_by_permissions() -> None:
    """Let permissions hold for root too (capability 1, DAC_OVERRIDE, from the next exec on)."""
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(24, 1, 0, 0, 0):
        os._exit(99)


def test_a_read_only_store_is_read_and_not_written(
    archive: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    """What is there is enough; something new is refused in one sentence; nothing changes."""
    store, more = tmp_path / "store", archive / "raw/20240731/00/QQ/webconnectivity/x.jsonl.gz"
    _put(store, undisturbed)
    folders = [store, *(path for path in store.rglob("*") if path.is_dir())]
    try:
        for folder in folders:
            folder.chmod(0o555)
        done = _run(archive, store, preexec_fn=_bound_by_permissions)
        if done.returncode == 99 and not done.stdout:
            pytest.skip("root cannot be bound by permissions here")
        assert done.returncode == 0
        assert done.stderr == f"{_OBJECTS} objects: {_OBJECTS} known, 0 new, 0 not read\n"
        _put(archive, {str(more): gzip.compress(b"{}\n")})
        done = _run(archive, store, preexec_fn=_bound_by_permissions)
        _refused(done, 3, "SourceError: ", str(store), "cannot be written: Permission denied")
        assert _contents(store) == undisturbed
    finally:
        shutil.rmtree(archive / "raw" / "20240731", ignore_errors=True)
        for folder in folders:
            folder.chmod(0o755)


def test_trouble_that_nobody_has_words_for_is_one_sentence_at_the_door(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Whatever was read or written, the system says why and the file is named."""
    monkeypatch.setattr(cli, "app", lambda: Path("/proc/nowhere").mkdir())
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert capsys.readouterr().err == ("SourceError: /proc/nowhere: No such file or directory.\n")


# --- what others left behind ----------------------------------------------------------------------


def _written_again(content: bytes, **changes: Any) -> bytes:
    """A whole file of another version of the workbook: the same rows, other provenance."""
    told = json.loads((checksums.read_metadata(content) or {})[b"workbook"])
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"written-{os.getpid()}.parquet"
    with pq.ParquetWriter(path, OBSERVATION) as writer:
        writer.add_key_value_metadata({b"workbook": json.dumps({**told, **changes})})
        writer.add_key_value_metadata({checksums.CHECKSUM_KEY: checksums.BLANK_CHECKSUM})
    checksums.set_checksum(path)
    whole = path.read_bytes()
    path.unlink()
    return whole


def _flipped(content: bytes, place: int) -> bytes:
    flipped = bytearray(content)
    flipped[place] ^= 1
    return bytes(flipped)


_LEFT: dict[str, Callable[[bytes], bytes]] = {
    "nothing in it": lambda content: b"",
    "half of it": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-1],
    "a flipped bit in a page": lambda content: _flipped(content, 3000),
    "a flipped bit in the footer": lambda content: _flipped(content, len(content) - 2000),
    "a flipped bit in the checksum": lambda c: _flipped(c, c.rindex(b"workbook-seal:") + 20),
    "a file of somebody else": lambda content: b"PAR1 and then a letter to a friend",
    "before there were checksums": lambda c: c.replace(b"workbook-seal:", b"something-else"),
    "an older schema": lambda content: _written_again(content, schema_version=1),
    "a later schema": lambda content: _written_again(content, schema_version=99),
    "an object that has changed since": lambda content: _written_again(content, size=1),
    "another object's file": lambda content: _written_again(content, key="raw/other"),
    "counts that are none": lambda content: _written_again(content, ledger={"not_json": -1}),
    "a ledger of another shape": lambda content: _written_again(content, ledger=[1]),
}


def test_a_file_that_is_not_as_it_was_written_is_read_again(
    archive: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    """As is one that an older or a later version has left, whole as it is. Of somebody else's
    store it is not taken over, and stands in the list of what could not be read."""
    files, cases = sorted(undisturbed)[1:], [*_LEFT]
    for start in range(0, len(cases), len(files)):
        names = dict(zip(files, cases[start:], strict=False))
        store = tmp_path / f"store {start}"
        _put(store, undisturbed)
        _put(store, {file: _LEFT[name](undisturbed[file]) for file, name in names.items()})
        ours = _ingest(store, tmp_path / f"ours {start}")
        not_read = {item.key for item in ours.not_read}
        for file, name in names.items():
            if name != "an object that has changed since":  # which only its archive can know
                assert file.split("/", 2)[2][:-8] in not_read, name
        assert not _ingest(archive, store).not_read
        assert _contents(store) == undisturbed


def test_bits_that_rot_unseen_are_found_before_a_study_is_written(
    archive: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    """Exit status 4, since a table would lie: neither size nor time of the file has changed."""
    store = tmp_path / "store"
    _put(store, undisturbed)
    name = _ingest(archive, store).names()[3]
    place = store / name
    times = place.stat()
    place.write_bytes(_flipped(undisturbed[name], 3000))
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ContractError, match=f"{place} is damaged or gone: delete it and run aga"):
        _next_run(archive, store)
    assert not _count_rows_files(store)
    place.unlink()
    assert _next_run(archive, store) == undisturbed
