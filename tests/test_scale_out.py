"""Stores on S3, and reading on a cluster: a server on loopback, real workers, the same bytes."""

import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
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
from tests.archives import contents
from tests.loopback_s3 import Fault, LoopbackS3, loopback_s3

_NAMES = ["a b/c+d.parquet", "a b/c%20d.parquet", "ភ្នំ/[1]*?.parquet", "ភ្នំ/.x.part"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackS3]:
    """An S3 server for which nobody waits long, and no credentials but those that a test gives."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    limits = {"read_timeout": timedelta(seconds=0.5), "timeout": timedelta(seconds=1)}
    monkeypatch.setattr("analysis.sources.objectstore.LIMITS", limits)
    backoff = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2)}
    monkeypatch.setattr(
        "analysis.sources.objectstore.RETRIES", {"max_retries": 2, "backoff": backoff}
    )
    with loopback_s3() as state:
        yield state


def _anonymous(server: LoopbackS3, prefix: str = "") -> str:
    return server.s3_url.replace("s3://archive", f"s3://anonymous@archive/{prefix}")


@pytest.fixture(params=["folder", "bucket"])
def storage(
    request: pytest.FixtureRequest, server: LoopbackS3, tmp_path: Path
) -> Callable[[], Storage]:
    """One with nothing in it."""
    is_bucket = request.param == "bucket"
    uri = _anonymous(server, "our store") if is_bucket else str(tmp_path / "our store")
    return lambda: Storage(uri)


def test_a_folder_and_a_bucket_hold_the_same(storage: Callable[[], Storage], tmp_path: Path):
    """Whatever the names, whoever reads: also a process to which the storage was sent."""
    store, file = storage(), tmp_path / "file"
    assert store.stamps("") == store.stamps("none") == {}
    for number, name in enumerate(_NAMES):
        file.write_bytes(bytes([number]) * 1000)
        store.put(str(file), f"top/{name}")
    other: Storage = pickle.loads(pickle.dumps(store))
    assert {name: size for name, (size, _) in other.stamps("top").items()} == dict.fromkeys(
        _NAMES, 1000
    )
    for number, name in enumerate(_NAMES):
        content = bytes([number]) * 1000
        other.fetch(f"top/{name}", str(file))
        assert other.read(f"top/{name}") == file.read_bytes() == content
    for read in (store.read, lambda name: store.fetch(name, str(file))):
        with pytest.raises(FileNotFoundError):
            read("top/none")


def test_what_a_killed_write_left_is_no_file(tmp_path: Path):
    """obstore writes beside the name, with a number behind it."""
    (tmp_path / "a.parquet#1").write_bytes(b"half")
    (tmp_path / "a.parquet").write_bytes(b"whole")
    assert list(Storage(str(tmp_path)).stamps("")) == ["a.parquet"]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("status", 2, 503), ""),
        (Fault("reset", 2, cut=100), ""),
        (Fault("silence", 1), ""),
        (Fault("status", status=503), "503 Service Unavailable"),
        (Fault("status", status=403), "permission denied"),
        (Fault("reset"), "HTTP error"),
        (Fault("silence"), "Content-Range"),
        (Fault("drip"), "Content-Range"),
        (Fault("head"), "HTTP error"),
    ],
)
def test_a_bad_server_is_asked_again_and_then_named(server: LoopbackS3, fault: Fault, why: str):
    """In one line, which quotes no address.

    A body that stops is asked for from where it stopped, of which these faults know nothing.
    """
    server.objects["x/y"] = bytes(5000)
    server.faults["x/y"] = fault
    storage = Storage(_anonymous(server))
    if not why:
        assert storage.read("x/y") == bytes(5000)
    else:
        with pytest.raises(OSError, match=why) as caught:
            storage.read("x/y")
        assert "\n" not in str(caught.value)
        assert "127.0.0.1" not in str(caught.value)


def test_a_store_that_cannot_be_listed_is_named(server: LoopbackS3):
    server.faults["?x/"] = Fault("status", status=403)
    with pytest.raises(SourceError, match=r"the store s3://.* cannot be listed: .*403"):
        Storage(_anonymous(server)).stamps("x")


def test_a_store_that_is_none_is_a_wrong_parameter():
    """And a secret is not repeated."""
    for uri, why in (
        ("gs://bucket", "a folder or s3://bucket/prefix"),
        ("http://host/bucket", "a folder or s3://bucket/prefix"),
        ("s3://", "options are region"),
        ("s3://[", "options are region"),
        ("s3://bucket?key=1", "options are region"),
        ("s3://id:secret@bucket", "keys do not belong into an address"),
    ):
        with pytest.raises(ParameterError, match=re.escape(why)) as caught:
            Storage(uri)
        assert "id:secret" not in str(caught.value)


# --- Reading on a cluster: real Dask workers, a bucket, and the bytes of the local pool. ----------

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
    "--no-usage-report",
    "--no-bgjob",
    "--no-banner",
    "--backup-meta=0",
    "--cache-size=0",
    "--attr-cache=0",
    "--dir-entry-cache=0",
    "--consul=",
    "--metrics=127.0.0.1:0",
    "--multi-buckets",
    "--keep-etag",
)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackS3]:
    """An archive in a public bucket."""
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, Size(objects=_OBJECTS, measurements=20, sites=20))
    with loopback_s3() as server:
        for path in folder.rglob("*.jsonl.gz"):
            server.objects[path.relative_to(folder).as_posix()] = path.read_bytes()
        yield server


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


def _observations(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Without the records beside them, which know when a file was written."""
    return {name: content for name, content in files.items() if not name.endswith(".json")}


def _count_reads(bucket: LoopbackS3) -> Counter[str]:
    """How often each object has been asked for since the requests were counted last."""
    asked = Counter(one for one in bucket.requests if one.startswith("GET ") and ".gz" in one)
    bucket.requests.clear()
    return asked


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
    secrets = {
        "MINIO_ROOT_USER": _KEYS["AWS_ACCESS_KEY_ID"],
        "MINIO_ROOT_PASSWORD": _KEYS["AWS_SECRET_ACCESS_KEY"],
    }
    log = (folder / "server.log").open("wb")
    quiet = {
        "env": {**os.environ, **secrets, "HOME": str(folder)},
        "cwd": folder,
        "stdout": log,
        "stderr": log,
    }
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
    until = time.monotonic() + 60
    with socket.socket() as tried:
        while tried.connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)


class _Dask:
    """``dask scheduler`` and ``dask worker``, started from the command line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._workers: list[subprocess.Popen[bytes]] = []
        self.address = f"tcp://127.0.0.1:{_free_port()}"

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        # From a folder of their own: nothing may depend on where a worker was started.
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--no-dashboard", "--host", "127.0.0.1"],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )

    def start_scheduler(self) -> None:
        """In the place of the one that was there; its workers leave with it."""
        self.stop()
        self._scheduler = self._start("scheduler", "--port", self.address.rpartition(":")[2])

    def start_worker(self) -> subprocess.Popen[bytes]:
        words = ["--nthreads", "1", "--no-nanny", "--local-directory", str(self._folder)]
        self._workers.append(self._start("worker", self.address, *words))
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
):
    """The store is shared through S3; what the lost worker had in hand is read again, no more."""
    dask.start_worker()
    lost = dask.start_worker()
    store = shared_store.url("study")
    bucket.requests.clear()
    collection = _ingest(
        bucket,
        store,
        scheduler=dask.address,
        progress=_at(_OBJECTS // 3, lambda: lost.send_signal(signal.SIGKILL)),
    )
    assert lost.wait(timeout=10) == -signal.SIGKILL
    made = _observations(shared_store.contents("study/observations"))
    assert made == _observations(contents(locally / "observations"))
    assert _OBJECTS <= _count_reads(bucket).total() < 1.5 * _OBJECTS
    assert _ingest(bucket, store) == collection  # nothing is left to do, so no scheduler is needed
    assert not _count_reads(bucket)


def test_a_run_whose_scheduler_is_lost_ends_and_is_resumed(
    dask: _Dask,
    bucket: LoopbackS3,
    locally: Path,
    tmp_path: Path,
):
    """What was done before is not done again."""
    dask.start_worker()
    store = tmp_path / "store"
    bucket.requests.clear()
    with pytest.raises(SourceError, match=r"the Dask scheduler .*Running the same command again"):
        _ingest(
            bucket,
            str(store),
            scheduler=dask.address,
            jobs=2,
            progress=_at(_OBJECTS // 2, dask.start_scheduler),
        )
    dask.start_worker()
    _ingest(bucket, str(store), scheduler=dask.address)
    made = _observations(contents(store / "observations"))
    assert made == _observations(contents(locally / "observations"))  # and nothing half begun
    assert _count_reads(bucket).total() < 1.5 * _OBJECTS


def test_what_makes_a_worker_unfit(tmp_path: Path):
    """Other code, or another folder under the store's name."""
    task = Task(Folder(tmp_path), "a-0123456789ab", Store(str(tmp_path)), Fingerprints())
    order = {"code": cluster.describe_code(), "task": pickle.dumps(task), "mark": ""}
    for change, reason in (
        ({}, "^$"),
        ({"code": "code 0123"}, "needed is code 0123"),
        ({"mark": "/nowhere/observations/a/mark"}, "does not see the folder"),
    ):
        said = cluster.check_worker(pickle.dumps(cluster.Order(**{**order, **change})))
        assert re.search(reason, said)


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


def test_an_address_that_is_none_is_a_wrong_parameter():
    for text in ("localhost:8786", "http://a:1", "tcp://", "tcp://a b:1"):
        with pytest.raises(ParameterError, match="tcp://host:port of a Dask scheduler"):
            schedulers.parse_address(text)
