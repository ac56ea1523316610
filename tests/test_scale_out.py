"""Reading on a cluster: real Dask workers, a real S3 server, and the bytes of the local pool."""

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from analysis.errors import ParameterError, SourceError
from analysis.observations.fingerprints import Fingerprints
from analysis.sources import schedulers
from analysis.sources.archive_files import Folder
from analysis.sources.objectstore import Storage
from analysis.store import workers as cluster
from analysis.store.ingestion import Request, ingest
from analysis.store.store import Collection, Store
from analysis.store.workers import Task
from benchmarks.generate import PROBE_CC, Size, write_archive
from tests.loopback_s3 import LoopbackS3, loopback_s3

_ROOT = Path(__file__).resolve().parents[1]
_OBJECTS = 24

#: What a client's environment must hold; nothing else gives the keys away.
_KEYS = {
    "AWS_ACCESS_KEY_ID": "workbook",
    "AWS_SECRET_ACCESS_KEY": "secret-of-loopback",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
}
_BUCKET = "shared"
_OPTIONS = (
    "--no-usage-report", "--no-bgjob", "--no-banner", "--backup-meta=0", "--cache-size=0",
    "--attr-cache=0", "--dir-entry-cache=0", "--consul=", "--metrics=127.0.0.1:0",
    "--multi-buckets", "--keep-etag",
)  # fmt: skip


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackS3]:
    """An archive in a public bucket."""
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, Size(objects=_OBJECTS, measurements=20, sites=20))
    with loopback_s3() as server:
        for path in folder.rglob("*.jsonl.gz"):
            server.objects[path.relative_to(folder).as_posix()] = path.read_bytes()
        yield server


@pytest.fixture
def reads(bucket: LoopbackS3) -> Callable[[], Counter[str]]:
    """How often each object has been asked for since the test began."""
    start = len(bucket.requests)

    def count() -> Counter[str]:
        asked = bucket.requests[start:]
        return Counter(r for r in asked if r.startswith("GET ") and ".jsonl.gz" in r)

    return count


@pytest.fixture(scope="module")
def locally(bucket: LoopbackS3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that two processes of this machine make of the archive."""
    store = tmp_path_factory.mktemp("locally") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.store.workers.WORTH_A_WORKER", 1)
        _ingest(bucket, str(store), jobs=2)
    return store


def _ingest(bucket: LoopbackS3, store: str, **options: Any) -> Collection:
    return ingest(Request(bucket.s3_url, store, PROBE_CC, **options), Fingerprints())


def _observations(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Without the records beside them, which know when a file was written."""
    return {name: content for name, content in contents.items() if not name.endswith(".json")}


def _contents(store: Path) -> dict[str, bytes]:
    folder = store / "observations"
    files = (path for path in folder.rglob("*") if path.is_file())
    return _observations({p.relative_to(folder).as_posix(): p.read_bytes() for p in files})


@dataclass(frozen=True)
class _RealS3:
    """A running server with one bucket."""

    port: int
    process: subprocess.Popen[bytes]

    def url(self, prefix: str) -> str:
        """An ``s3://`` URL in the bucket."""
        return f"s3://{_BUCKET}/{prefix}?scheme=http&endpoint_override=127.0.0.1:{self.port}"

    def contents(self, prefix: str) -> dict[str, bytes]:
        """The objects below a prefix."""
        place = fs.FileSystem.from_uri(self.url(""))[0]
        selector = fs.FileSelector(f"{_BUCKET}/{prefix}", allow_not_found=True, recursive=True)
        start = len(f"{_BUCKET}/{prefix}/")
        return {
            info.path[start:]: place.open_input_stream(info.path, compression=None).read()
            for info in place.get_file_info(selector)
            if info.type == fs.FileType.File
        }

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The server takes no byte for the length of a block."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def _program() -> str:
    beside = Path(sys.executable).parent / "juicefs"
    program = str(beside) if beside.exists() else shutil.which("juicefs")
    if not program:
        missing = "no S3 server on this machine: tools/s3-server.txt could not be installed"
        if os.environ.get("WORKBOOK_REQUIRE_S3") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return program


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_RealS3]:
    """A server that keeps its objects in a folder, with an empty bucket; its keys are in the
    environment."""
    folder, program, port = tmp_path_factory.mktemp("s3"), _program(), _free_port()
    database = f"sqlite3://{folder / 'names.db'}"
    secrets = {"MINIO_ROOT_USER": _KEYS["AWS_ACCESS_KEY_ID"],
               "MINIO_ROOT_PASSWORD": _KEYS["AWS_SECRET_ACCESS_KEY"]}  # fmt: skip
    log = (folder / "server.log").open("wb")
    quiet = {"env": {**os.environ, **secrets, "HOME": str(folder)}, "cwd": folder, "stdout": log,
             "stderr": log}  # fmt: skip
    keep = ["--storage=file", f"--bucket={folder / 'blocks'}/", "--trash-days=0"]
    subprocess.run([program, "format", *keep, database, "store"], check=True, **quiet)
    places = [f"--cache-dir={folder / 'cache'}", f"--log={folder / 'gateway.log'}"]
    serve = ["--no-agent", "gateway", *_OPTIONS, *places, database, f"127.0.0.1:{port}"]
    with pytest.MonkeyPatch.context() as patch, subprocess.Popen([program, *serve], **quiet) as run:
        for name, value in _KEYS.items():
            patch.setenv(name, value)
        try:
            _await(port, run, folder)
            server = _RealS3(port, run)
            bucket = f"{server.url('')}&allow_bucket_creation=true"
            fs.FileSystem.from_uri(bucket)[0].create_dir(_BUCKET)
            yield server
        finally:
            run.kill()


def _await(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.05)
    raise AssertionError("the S3 server does not start")


class _Dask:
    """``dask scheduler`` and ``dask worker``, started from the command line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._workers: list[subprocess.Popen[bytes]] = []
        self.address = f"tcp://127.0.0.1:{_free_port()}"

    def _start(self, *words: str, code: Path = _ROOT) -> subprocess.Popen[bytes]:
        # From a folder of their own: nothing may depend on where a worker was started.
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--no-dashboard", "--host", "127.0.0.1"],
            cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(code)},
        )  # fmt: skip

    def start_scheduler(self) -> None:
        """In the place of the one that was there; its workers leave with it."""
        self.stop()
        self._scheduler = self._start("scheduler", "--port", self.address.rpartition(":")[2])

    def start_worker(self, **options: Path) -> subprocess.Popen[bytes]:
        words = ["--nthreads", "1", "--no-nanny", "--local-directory", str(self._folder)]
        self._workers.append(self._start("worker", self.address, *words, **options))
        return self._workers[-1]

    def stop_workers(self) -> None:
        while self._workers:
            _kill(self._workers.pop())

    def stop(self) -> None:
        if self._scheduler is not None:
            _kill(self._scheduler)
        self.stop_workers()


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Dask]:
    """A scheduler for all tests."""
    started = _Dask(tmp_path_factory.mktemp("dask"))
    started.start_scheduler()
    yield started
    started.stop()


@pytest.fixture
def dask(scheduler: _Dask) -> Iterator[_Dask]:
    """The scheduler, with the workers that a test starts."""
    yield scheduler
    scheduler.stop_workers()


def _at(done: int, act: Callable[[], object]) -> Callable[[int, int, str], None]:
    """Progress that acts once, when so many objects are done."""

    def step(count: int, _total: int, _key: str) -> None:
        if count == done:
            act()

    return step


def test_two_workers_one_of_them_killed_give_the_bytes_of_the_local_pool(
    dask: _Dask,
    bucket: LoopbackS3,
    locally: Path,
    shared_store: _RealS3,
    reads: Callable[[], Counter[str]],
):
    """The store is shared through S3; what the lost worker had in hand is read again, no more."""
    dask.start_worker()
    lost = dask.start_worker()
    store = shared_store.url("study")
    collection = _ingest(
        bucket, store, scheduler=dask.address,
        progress=_at(_OBJECTS // 3, lambda: lost.send_signal(signal.SIGKILL)),
    )  # fmt: skip
    assert lost.wait(timeout=10) == -signal.SIGKILL
    assert _observations(shared_store.contents("study/observations")) == _contents(locally)
    counts = reads()
    assert len(counts) == _OBJECTS
    assert sum(counts.values()) < 1.5 * _OBJECTS
    before = sum(counts.values())
    assert _ingest(bucket, store) == collection  # nothing is left to do, so no scheduler is needed
    assert sum(reads().values()) == before


def test_a_run_whose_scheduler_is_lost_ends_and_is_resumed(
    dask: _Dask,
    bucket: LoopbackS3,
    locally: Path,
    tmp_path: Path,
    reads: Callable[[], Counter[str]],
):
    """What was done before is not done again."""
    dask.start_worker()
    store = tmp_path / "store"
    with pytest.raises(SourceError, match=r"the Dask scheduler .*Running the same command again"):
        _ingest(bucket, str(store), scheduler=dask.address, jobs=2,
                progress=_at(_OBJECTS // 2, dask.start_scheduler))  # fmt: skip
    dask.start_worker()
    _ingest(bucket, str(store), scheduler=dask.address)
    assert _contents(store) == _contents(locally)  # and nothing that a lost worker had begun
    assert sum(reads().values()) < 1.5 * _OBJECTS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code": "code 0123"}, "needed is code 0123"),
        ({"mark": "/nowhere/observations/a/mark"}, "does not see the folder"),
    ],
)
def test_what_makes_a_worker_unfit(tmp_path: Path, change: dict[str, Any], reason: str):
    """Other code, or another folder under the store's name."""
    task = Task(Folder(tmp_path), "a-0123456789ab", Store(str(tmp_path)), Fingerprints())
    order = {
        "code": cluster.describe_code(),
        "task": pickle.dumps(task),
        "mark": "",
    }
    assert cluster.check_worker(pickle.dumps(cluster.Order(**order))) == ""
    assert reason in cluster.check_worker(pickle.dumps(cluster.Order(**{**order, **change})))


def test_where_nobody_answers_the_run_ends(
    dask: _Dask, bucket: LoopbackS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """No scheduler, and a scheduler without workers: exit status 3 in bounded time."""
    monkeypatch.setattr(schedulers, "CONNECT", 1.0)
    monkeypatch.setattr(schedulers, "NO_WORKERS", 1.0)
    with pytest.raises(SourceError, match="has no workers"):
        _ingest(bucket, str(tmp_path / "store"), scheduler=dask.address)
    dask.stop()
    with pytest.raises(SourceError, match=f"scheduler {dask.address} does not answer"):
        _ingest(bucket, str(tmp_path / "store"), scheduler=dask.address)


_NO_ADDRESSES = ["localhost:8786", "http://a:1", "tcp://", "tcp://a b:1"]


def test_an_address_that_is_none_is_a_wrong_parameter():
    for text in _NO_ADDRESSES:
        with pytest.raises(ParameterError, match="tcp://host:port of a Dask scheduler"):
            schedulers.parse_address(text)


_SEND = """
import sys
from analysis.sources.objectstore import Storage
storage = Storage(sys.argv[1])
storage.stamps("")
print("ready", flush=True)
sys.stdin.readline()
storage.put(sys.argv[2], "whole.parquet")
"""


def test_a_file_that_was_not_sent_whole_never_appears(shared_store: _RealS3, tmp_path: Path):
    """An exception while it is written leaves nothing, and neither does a kill while it is sent."""
    url = shared_store.url("partly")
    with suppress(ZeroDivisionError), Store(url).write("whole.parquet") as path:
        path.write_bytes(b"half")
        raise ZeroDivisionError
    assert shared_store.contents("partly") == {}
    file = tmp_path / "file"
    file.write_bytes(bytes(8 << 20))
    with subprocess.Popen(
        [sys.executable, "-c", _SEND, url, str(file)], cwd=_ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == b"ready\n"
        with shared_store.stopped():
            process.stdin.write(b"go\n")
            process.stdin.flush()
            time.sleep(0.5)
            process.kill()
            process.wait()
    assert shared_store.contents("partly") == {}
    Storage(url).put(str(file), "whole.parquet")
    assert shared_store.contents("partly") == {"whole.parquet": file.read_bytes()}
