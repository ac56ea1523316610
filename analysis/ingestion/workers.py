"""The same work on each object, in one process or several; the result does not depend on it.

The objects of a server: some threads fetch them, and what has arrived is read meanwhile.

An object is read when all of it is there and is what its ETag says, so that no worker waits for a
server, and none reads what turns out to be damaged. Until then it lies in a temporary folder.

The archive's files as they were fetched: ``STORE/raw/<source_id>/<key>``, each with a sidecar.

The sidecar, ``<key>.json``, says from where and when a file came, its size, ETag, digest and
licence. A file that its sidecar does not vouch for is not read.
"""

import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.abc import MetaPathFinder
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from threading import BoundedSemaphore
from typing import Any

import pyarrow as pa
import stamina

from analysis.errors import SourceError
from analysis.ingestion.objects import Task, ingest_object
from analysis.sources.buckets import Bucket
from analysis.sources.files import (
    ArchiveObject,
    CannotRead,
    Changed,
    Damaged,
    Folder,
    Passing,
    Unreachable,
)
from analysis.sources.objectstore import Storage
from analysis.sources.web import CONNECTIONS, at_once
from analysis.store.provenance import NotRead, Provenance
from analysis.store.store import Store

Result = Provenance | NotRead | Unreachable

_WORTH_A_WORKER = 32 << 20  # bytes of objects, read in about half a second; a start takes one


def worker_count(pending: Sequence[ArchiveObject], jobs: int) -> int:
    """As many workers as asked for, but none that would read for less time than it starts."""
    worth = sum(item.size for item in pending) // _WORTH_A_WORKER
    return max(1, min(jobs, len(pending), worth))


def mapped(task: Task, items: list[ArchiveObject], jobs: int) -> Iterator[tuple[str, Result]]:
    """What became of each object, by key, in the order in which they are done."""
    if jobs < 2:
        for item in items:
            yield item.key, ingest_object(task, item)
        return
    with _processes(task, jobs) as pool:
        futures = {pool.submit(_work, item): item.key for item in items}
        try:
            yield from ((futures[done], done.result()) for done in as_completed(futures))
        except BrokenProcessPool:
            raise SourceError("a worker process was killed") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def reader(task: Task, jobs: int) -> Iterator[Callable[[ArchiveObject], Result]]:
    """A function for several threads that has an object read and waits for the result.

    With one job they are read in this process, one at a time, so that memory stays that of one.
    """
    if jobs < 2:
        lock = threading.Lock()

        def read_here(item: ArchiveObject) -> Result:
            with lock:
                return ingest_object(task, item)

        yield read_here
        return
    with _processes(task, jobs) as pool:

        def read_there(item: ArchiveObject) -> Result:
            try:
                return pool.submit(_work, item).result()
            except BrokenProcessPool:
                raise SourceError("a worker process was killed") from None

        yield read_there


def _processes(task: Task, jobs: int) -> ProcessPoolExecutor:
    # Spawned, because a forked process would inherit the threads of pyarrow and DuckDB in
    # whatever state they are.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, initializer=_begin_worker, initargs=(task,))


class _WithoutPandas(MetaPathFinder):
    """Lets ``import pandas`` fail, as where it is not installed.

    Arrow imports it before it makes its first array, to know a frame when it sees one. That is
    most of the time and a quarter of the memory that a worker takes to start.
    """

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("a worker needs no pandas", name=name)


_task: Task | None = None


def _begin_worker(task: Task) -> None:
    global _task
    _task = task
    pa.set_cpu_count(1)
    sys.meta_path.insert(0, _WithoutPandas())
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Workers whose parent was killed would wait for more work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(item: ArchiveObject) -> Result:
    assert _task is not None
    return ingest_object(_task, item)


FOLDER = "raw"
_BLOCK = 1 << 20


class RawFiles:
    """Those of one source."""

    def __init__(self, store: Store, source_id: str) -> None:
        self._store = store
        self._storage = Storage(store.uri)
        self._folder = f"{FOLDER}/{source_id}"

    def copy(self, item: ArchiveObject, target: Path) -> bool:
        """Put the file of an object at ``target``; False where there is none, or a damaged one."""
        sidecar = self._sidecar(item)
        if (sidecar.get("size"), sidecar.get("etag")) != (item.size, item.etag):
            return False
        digest = hashlib.sha256()
        try:
            stream = self._storage.open_input(self._name(item))
        except OSError:
            return False
        with stream, target.open("wb") as file:
            _copy(stream.read, file.write, digest.update)
        return digest.hexdigest() == sidecar.get("sha256")

    def keep(self, item: ArchiveObject, path: Path, url: str, licence: str) -> None:
        """Keep a fetched file, and then the sidecar that vouches for it."""
        digest = hashlib.sha256()
        with path.open("rb") as file, self._store.replacement(self._name(item)) as kept:
            _copy(file.read, kept.write, digest.update)
            kept.commit()
        sidecar = {
            "url": url,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
            "size": item.size,
            "etag": item.etag,
            "sha256": digest.hexdigest(),
            "licence": licence,
        }
        with self._store.replacement(f"{self._name(item)}.json") as written:
            written.write(json.dumps(sidecar, indent=1).encode())
            written.commit()

    def _name(self, item: ArchiveObject) -> str:
        return f"{self._folder}/{item.key}"

    def _sidecar(self, item: ArchiveObject) -> dict[str, Any]:
        try:
            found = json.loads(self._storage.read(f"{self._name(item)}.json"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _copy(read: Callable[[int], bytes], *write: Callable[[bytes], object]) -> None:
    blocks: Iterator[bytes] = iter(partial(read, _BLOCK), b"")
    for block in blocks:
        for one in write:
            one(block)


#: So many objects that a server does not give, if they are most of all, are its own trouble.
_TOO_MANY = 20

_PREFIX = "workbook-arrivals-"

_once_more = stamina.RetryingCaller(attempts=2, timeout=None).on(Damaged)


def arrived(
    task: Task,
    bucket: Bucket,
    items: Sequence[ArchiveObject],
    jobs: int,
    known_count: int,
    *,
    keep_raw: bool,
) -> Iterator[tuple[str, Result]]:
    """What became of each object of a server, by key, in the order in which they are done.

    Args:
        task: where observations go.
        bucket: the server's archive.
        items: what to fetch.
        jobs: worker processes.
        known_count: objects that were read before, for the share of those that cannot be.
        keep_raw: keep what was fetched. What was kept before is not fetched in any case.

    Raises:
        SourceError: the server stopped answering, or refuses most of what it lists.
    """
    # Threads that wait for a worker fetch nothing, so there are as many more as workers.
    threads = CONNECTIONS + jobs
    with (
        landed(task, bucket, jobs, keep_raw=keep_raw) as read,
        closing(at_once(read, items, bucket.stop, threads)) as results,
    ):
        yield from refusing_most(((item.key, result) for item, result in results), known_count)


@contextmanager
def landed(
    task: Task, bucket: Bucket, jobs: int, *, keep_raw: bool
) -> Iterator[Callable[[ArchiveObject], Result]]:
    """A function that fetches an object and has it read, for several threads at once."""
    with _temporary_folder() as folder:
        raw = RawFiles(task.store, task.source_id)
        landing = _Landing(bucket, folder, raw, keep_raw, BoundedSemaphore(CONNECTIONS))
        with reader(replace(task, source=Folder(folder)), jobs) as read:
            yield partial(landing.read, read)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for a while. Those that killed runs have left, which nobody holds, are removed."""
    for left in Path(gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), _held(left):
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name, _held(Path(name)):
        yield Path(name)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder as long as this process lives, or OSError where another one does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def refusing_most(
    results: Iterable[tuple[str, Result]], known_count: int
) -> Iterator[tuple[str, Result]]:
    """Pass on results, by key, until most are that an object cannot be read."""
    failed = 0
    for count, (key, result) in enumerate(results, known_count + 1):
        yield key, result
        if isinstance(result, NotRead):
            failed += 1
            if failed >= _TOO_MANY and 2 * failed > count:
                raise SourceError(
                    f"{failed} of {count} objects could not be read; the last, {key}: {result.why}"
                )


@dataclass(frozen=True)
class _Landing:
    """Where objects lie between being fetched and being read."""

    bucket: Bucket
    folder: Path
    raw: RawFiles
    keep_raw: bool
    turns: BoundedSemaphore  # waited for before an object's time begins

    def read(self, read: Callable[[ArchiveObject], Result], item: ArchiveObject) -> Result:
        """Fetch one object and have it read."""
        path = self.folder / item.key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return read(self._fetched(item, path))
        except Passing as error:
            if not self.bucket.answers():
                raise SourceError(f"the source stopped answering at {item.key}: {error}") from None
            return NotRead(item.key, str(error))
        except CannotRead as error:
            return NotRead(item.key, str(error))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SourceError(f"{item.key} was fetched and cannot be put down: {reason}") from None
        finally:
            path.unlink(missing_ok=True)

    def _fetched(self, item: ArchiveObject, path: Path) -> ArchiveObject:
        """Put an object at ``path`` as it is now, which may be another than was listed."""
        try:
            _once_more(self._fetch, item, path)
        except Changed as error:
            fresh = self.bucket.renewed(item)
            if fresh is None or fresh == item:
                raise error from None
            item = fresh
            _once_more(self._fetch, item, path)
        return item

    def _fetch(self, item: ArchiveObject, path: Path) -> None:
        if self.raw.copy(item, path):
            return
        with self.turns, closing(self.bucket.open(item)) as stream, path.open("wb") as file:
            while block := stream.read():
                file.write(block)
        if self.keep_raw:
            self.raw.keep(item, path, self.bucket.url(item), self.bucket.licence)
