"""Reading of objects in one process or several, with the same result.

On the workers of a Dask scheduler the bytes are the same too: each worker first checks that its
code and packages are the same, and that it sees the same store.

Objects of a server are fetched by threads into a temporary folder, and read meanwhile. An object is
read when it is complete and matches its ETag, so that no worker waits for a server or reads a
damaged object.

Fetched files that are kept are in ``STORE/raw/<source_id>/<key>``. The sidecar, ``<key>.json``, has
the address, time, size, ETag, digest and licence. A file that does not match its sidecar is not
read.
"""

import json
import multiprocessing
import os
import pickle
import platform
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from analysis.errors import ParameterError, SourceError, describe_error
from analysis.files import digest_file
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messaging_tests import BY_FOLDER
from analysis.observations.schema import SCHEMA_VERSION
from analysis.reference.release import digest_edited_readers
from analysis.source_code import SUFFIXES
from analysis.sources.archive_files import (
    OBJECT_BYTES,
    ArchiveObject,
    CannotRead,
    Folder,
    Passing,
    find_test,
    limit_of,
    parse_receipt,
    refuse_large,
)
from analysis.sources.buckets import Bucket, Source
from analysis.sources.schedulers import spread
from analysis.sources.web import CONNECTIONS, at_once
from analysis.store.lines import Decompressed, LineReader
from analysis.store.store import (
    FOLDER,
    WRITING,
    NotRead,
    Provenance,
    Row,
    Rows,
    Store,
    version_of,
)
from analysis.temporary_folders import TemporaryFolder

_GROUP = 8192  # rows of a row group
#: The most bytes of a group's rows as MessagePack; in memory they take up to twelve times as many.
#: Real rows have some 2 KB.
_GROUP_BYTES = 16 << 20
_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Task:
    """The parameters of reading an object.

    Attributes:
        source: of the objects; for objects of a server, readers get the folder of fetched files.
        source_id: of the archive.
        store: for the observations.
        fingerprints: for the pages.
        keep_raw: whether fetched files are kept.
    """

    source: Source
    source_id: str
    store: Store
    fingerprints: Fingerprints
    keep_raw: bool = False


#: The result of reading an object.
Result = Provenance | NotRead


def ingest_object(task: Task, item: ArchiveObject) -> Result:
    """Read one object of a folder and write its file."""
    assert isinstance(task.source, Folder)
    ledger: Counter[str] = Counter()
    try:
        with closing(task.source.open(item)) as stream:
            content = Decompressed(stream)

            def provenance_of(row_count: int) -> Provenance:
                return Provenance(
                    key=item.key,
                    size=item.size,
                    etag=item.etag,
                    sha256=content.digest(),
                    schema_version=version_of(item.key),
                    edited_reader=digest_edited_readers(),
                    fingerprints=task.fingerprints.digest,
                    row_count=row_count,
                    ledger=dict(sorted(ledger.items())),
                )

            groups = _read_groups(content, item.key, task.fingerprints, ledger)
            return task.store.write_observations(task.source_id, item.key, groups, provenance_of)
    except CannotRead as error:
        return NotRead(item.key, str(error))


def _read_groups(
    content: Decompressed, key: str, fingerprints: Fingerprints, ledger: Counter[str]
) -> Iterator[Rows]:
    """Yield the observations of an object in groups, and count its other lines in ``ledger``."""
    rows: list[Row] = []
    size = 0
    test = BY_FOLDER.get(find_test(key) or "")
    reader = LineReader(fingerprints, parse_receipt(key), test)
    for _, result in reader.read_all(content):
        if isinstance(result, str):
            ledger[result] += 1
        else:
            rows.append(result)
            size += len(_pack(result))
        if len(rows) >= _GROUP or size > _GROUP_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


#: Bytes of objects for each worker process. Reading them takes some three seconds, and starting a
#: process takes two.
WORTH_A_WORKER = 96 << 20
#: The cost of an object besides its bytes, in bytes: small countries have many objects with few
#: measurements.
_OBJECT_COST = 300_000

Read = Callable[[ArchiveObject], Result]


def count_workers(pending: Sequence[ArchiveObject], jobs: int) -> int:
    """Return the number of workers: at most ``jobs``, and each with enough work to be worth it."""
    useful_count = sum(item.size + _OBJECT_COST for item in pending) // WORTH_A_WORKER
    return max(1, min(jobs, len(pending), useful_count))


def read_objects(
    task: Task, items: Sequence[ArchiveObject], jobs: int
) -> Iterator[tuple[str, Result]]:
    """Yield key and result of each object, in the order of completion.

    Raises:
        SourceError: a server stopped answering, a worker was killed, or the store is full.
    """
    if jobs == 1 and not isinstance(task.source, Bucket):
        yield from ((item.key, ingest_object(task, item)) for item in items)
        return
    # A thread that waits for a worker cannot fetch, so there are threads for both.
    threads = CONNECTIONS + jobs
    with (
        start_reader(task, jobs, threads) as read,
        closing(at_once(read, items, task.source.stop, threads)) as results,
    ):
        yield from ((item.key, result) for item, result in results)


@contextmanager
def start_reader(task: Task, jobs: int = 1, threads: int = CONNECTIONS) -> Iterator[Read]:
    """Return a function for several threads that fetches an object if necessary and reads it.

    With one job, objects are read in this process one at a time, to save memory.
    """
    with ExitStack() as stack:
        local = task
        if isinstance(task.source, Bucket):
            folder = stack.enter_context(TemporaryFolder("workbook-downloads-"))
            local = replace(task, source=Folder(folder))
        pool, call = _start_pool(local, jobs)
        stack.enter_context(pool)

        def read(item: ArchiveObject) -> Result:
            try:
                return pool.submit(call, item).result()
            except BrokenProcessPool:
                raise SourceError(_BROKEN) from None

        if isinstance(task.source, Bucket):
            yield partial(Downloads(task.source, task, folder, threads).fetch_and_read, read)
        else:
            yield read


def _start_pool(task: Task, jobs: int) -> tuple[Executor, Read]:
    """Return a pool and the function to submit to it."""
    if jobs == 1:
        return ThreadPoolExecutor(1), partial(ingest_object, task)
    # Not forked: a child would inherit locks that threads of pyarrow and DuckDB hold at that time.
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, spawn, initializer=_begin, initargs=(task,)), _read


#: A worker imports the script that started it; without a guard the script starts workers again.
_BROKEN = (
    "a worker process was killed, or was started by a script in which not everything stands below "
    "if __name__ == '__main__':"
)


_task: Task | None = None  # of a worker process


def _begin(task: Task) -> None:
    global _task
    _task = task
    pa.set_cpu_count(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent ends, because otherwise it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _read(item: ArchiveObject) -> Result:
    assert _task is not None
    return ingest_object(_task, item)


class Downloads:
    """Objects of a server, which are fetched into a folder to be read.

    If the task says so, fetched files are kept, and kept files are not fetched again. The folder
    never has more than twice the largest size of an object: one large object at a time, and small
    ones of as many bytes together.
    """

    def __init__(
        self, bucket: Bucket, task: Task, folder: Path, threads: int = CONNECTIONS
    ) -> None:
        self._bucket = bucket
        self._folder = folder
        self._task = task
        # A thread waits for its turn before the deadline of its object begins.
        self._turns = threading.BoundedSemaphore(CONNECTIONS)
        self._turn_of_large = threading.RLock()
        self._large = limit_of("OBJECT_BYTES", OBJECT_BYTES) // threads

    def fetch_and_read(self, read: Read, item: ArchiveObject) -> Result:
        """Fetch one object, as it was listed, and have it read.

        Raises:
            SourceError: the server stopped answering, or the disk is full.
        """
        path = self._folder / item.key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as cleanup:
                cleanup.callback(path.unlink, missing_ok=True)
                self._fetch(item, path, cleanup)
                return read(item)
        except Passing as error:
            if not self._bucket.answers():
                raise SourceError(f"the source stopped answering at {item.key}: {error}") from None
            return NotRead(item.key, str(error))
        except CannotRead as error:
            return NotRead(item.key, str(error))
        except OSError as error:
            raise SourceError(
                f"{item.key} was fetched and cannot be put down: {describe_error(error)}"
            ) from None

    def _fetch(self, item: ArchiveObject, path: Path, cleanup: ExitStack) -> None:
        """Fetch an object to a path; a large one blocks others until ``cleanup``."""
        refuse_large(item.size)
        if item.size > self._large:
            cleanup.enter_context(self._turn_of_large)
        if self._copy_kept(item, path):
            return
        with self._turns:
            self._bucket.fetch(item, path)
        if self._task.keep_raw:
            self._keep(item, path)

    def _copy_kept(self, item: ArchiveObject, target: Path) -> bool:
        """Copy the kept file of an object; return False if there is none, or it is damaged."""
        store, name = self._task.store, self._kept_name(item)
        try:
            sidecar = msgspec.json.decode(store.read(f"{name}.json"), type=dict[str, Any])
            if (sidecar.get("size"), sidecar.get("etag")) != (item.size, item.etag):
                return False
            store.fetch(name, str(target))
        except (OSError, msgspec.DecodeError, RecursionError):
            return False
        return digest_file(target) == sidecar.get("sha256")

    def _keep(self, item: ArchiveObject, path: Path) -> None:
        """Keep a fetched file, and then its sidecar, without which it does not count."""
        store, name = self._task.store, self._kept_name(item)
        with store.write(name) as target:
            shutil.copyfile(path, target)
        sidecar = {
            "url": self._bucket.url(item),
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
            "size": item.size,
            "etag": item.etag,
            "sha256": digest_file(path),
            "licence": self._bucket.licence,
        }
        store.write_bytes(f"{name}.json", json.dumps(sidecar, indent=1).encode())

    def _kept_name(self, item: ArchiveObject) -> str:
        return f"raw/{self._task.source_id}/{item.key}"


#: Packages, and modules of this package, on which the bytes of a file depend.
_PACKAGES = ("ahocorasick-rs", "isal", "msgspec", "publicsuffixlist", "pyarrow")
_MODULES = ("*.*", "observations/*.*", "sources/*.*", "store/*.*")


def read_on_cluster(
    task: Task, items: Sequence[ArchiveObject], jobs: int | None, scheduler: str
) -> Iterator[tuple[str, Result]]:
    """Yield key and result of each object, in the order of completion.

    Args:
        task: parameters of reading.
        items: the objects.
        jobs: simultaneous reads; by default as many as there are workers.
        scheduler: its address.

    Raises:
        ParameterError: a worker has other code or packages, or does not see the store.
        SourceError: the cluster is gone, or an object crashes its workers.
    """
    if not items:
        return
    folder = f"{FOLDER}/{task.source_id}"
    with ExitStack() as stack:
        mark = ""
        if task.store.is_local:
            # A worker that sees this new folder in the store sees the same store.
            parent = Path(task.store.path(folder))
            mark = str(stack.enter_context(TemporaryFolder(WRITING, parent)))
        order = Order(describe_code(), pickle.dumps(task), mark)
        by_key = {item.key: item for item in items}
        yield from spread(scheduler, _work_on, pickle.dumps(order), by_key, jobs)
    task.store.remove_leftovers(folder)  # of workers that were lost


@dataclass(frozen=True)
class Order:
    """The order for a worker of a cluster, with conditions for the same bytes.

    Attributes:
        code: from :func:`describe_code`.
        task: pickled, so that it is unpickled only after ``code`` was compared.
        mark: a folder that exists if the worker's STORE is this one; ``""`` for none.
    """

    code: str
    task: bytes
    mark: str


@cache
def describe_code() -> str:
    """Return digests and versions that must be equal for an object to give the same file."""
    digest = sha256()
    root = Path(__file__).parents[1]
    for path in sorted(path for pattern in _MODULES for path in root.glob(pattern)):
        if path.suffix in SUFFIXES:
            digest.update(path.read_bytes())
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    code = digest.hexdigest()[:12]
    return f"code {code}, schema {SCHEMA_VERSION}, Python {python}, {packages}"


@lru_cache(maxsize=2)  # a worker may serve two runs at once
def check_worker(order: bytes) -> str:
    """Return why this process cannot write the same bytes into the store, or ``""`` if it can."""
    expected: Order = pickle.loads(order)
    if expected.code != describe_code():
        return f"has {describe_code()}; needed is {expected.code}"
    task: Task = pickle.loads(expected.task)
    if expected.mark and not Path(expected.mark).exists():
        store = task.store.uri
        return f"does not see the folder {store}; give a STORE that all share, such as s3://…"
    return ""


_until_the_end = ExitStack()  # of a worker's life


@lru_cache(maxsize=2)
def _start_reader(order: bytes) -> Read:
    task: Task = pickle.loads(pickle.loads(order).task)
    return _until_the_end.enter_context(start_reader(task))


def _work_on(order: bytes, item: ArchiveObject) -> Result:
    if reason := check_worker(order):
        raise ParameterError("SCHEDULER", platform.node(), f"the worker there {reason}")
    return _start_reader(order)(item)
