"""The same work on each object, in one process or several; the result does not depend on it.

On the workers of a Dask scheduler the bytes are the same: a worker says first whether they would
be, whether what decides them is the same there, and whether it sees the same store.

The objects of a server are fetched by some threads and read meanwhile. One is read when all of it
is there and is what its ETag says, so that no worker waits for a server, and none reads what turns
out to be damaged. Until then it lies in a temporary folder.

What is to be kept as it came lies in ``STORE/raw/<source_id>/<key>``. Its sidecar, ``<key>.json``,
says from where and when it came, its size, ETag, digest and licence. A file that its sidecar does
not vouch for is not read.
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
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
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
#: A group ends earlier where its rows have so many bytes as MessagePack; in memory they have up to
#: twelve times as many. Real rows have some 2 KB.
_GROUP_BYTES = 16 << 20
_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Task:
    """What a worker needs to know besides the object.

    Attributes:
        source: where objects are; who reads one is given a folder, of what was fetched of a server.
        source_id: of the archive that they are from.
        store: where observations go.
        fingerprints: what pages are matched against.
        keep_raw: whether what a server sends is kept as it is.
    """

    source: Source
    source_id: str
    store: Store
    fingerprints: Fingerprints
    keep_raw: bool = False


#: What became of an object: it has a file, or cannot be read.
Result = Provenance | NotRead


def ingest_object(task: Task, item: ArchiveObject) -> Result:
    """Read one object, of a source that is a folder, and write its file."""
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
    """The observations of an object in groups; counts the other lines."""
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


#: Bytes of objects for which another process is started. They are read in some three seconds; to
#: start takes two.
WORTH_A_WORKER = 96 << 20
#: What an object takes besides its bytes, and is counted as: a small country's hold few
#: measurements each, and its archive takes as long by their number as by their size.
_AN_OBJECT = 300_000

Read = Callable[[ArchiveObject], Result]


def count_workers(pending: Sequence[ArchiveObject], jobs: int) -> int:
    """As many workers as asked for, but none that would read for less time than it starts."""
    worth = sum(item.size + _AN_OBJECT for item in pending) // WORTH_A_WORKER
    return max(1, min(jobs, len(pending), worth))


def read_objects(
    task: Task, items: Sequence[ArchiveObject], jobs: int
) -> Iterator[tuple[str, Result]]:
    """What became of each object, by key, in the order in which they are done.

    Raises:
        SourceError: a server stopped answering, a worker was killed, or the store takes no more.
    """
    if jobs == 1 and not isinstance(task.source, Bucket):
        yield from ((item.key, ingest_object(task, item)) for item in items)
        return
    # Threads that wait for a worker fetch nothing, so there are more of them than either.
    threads = CONNECTIONS + jobs
    with (
        start_reader(task, jobs, threads) as read,
        closing(at_once(read, items, task.source.stop, threads)) as results,
    ):
        yield from ((item.key, result) for item, result in results)


@contextmanager
def start_reader(task: Task, jobs: int = 1, threads: int = CONNECTIONS) -> Iterator[Read]:
    """A function for several threads that has an object read, and of a server fetched before.

    With one job they are read in this process, one at a time, so that memory stays that of one.
    """
    with ExitStack() as stack:
        local = task
        if isinstance(task.source, Bucket):
            folder = stack.enter_context(TemporaryFolder("workbook-downloads-"))
            local = replace(task, source=Folder(folder))
        # Spawned, because a forked process would inherit the threads of pyarrow and DuckDB in
        # whatever state they are.
        spawn = multiprocessing.get_context("spawn")
        pool, call = (
            (ProcessPoolExecutor(jobs, spawn, initializer=_begin, initargs=(local,)), _read)
            if jobs > 1
            else (ThreadPoolExecutor(1), partial(ingest_object, local))
        )
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


#: Workers import the script that started them, and one without a guard starts workers there.
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
    """Workers whose parent was killed would wait for more work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _read(item: ArchiveObject) -> Result:
    assert _task is not None
    return ingest_object(_task, item)


class Downloads:
    """Objects of a server, which lie in a folder between being fetched and being read.

    What is fetched is kept where the task says so; what was kept before is not fetched again.
    However large the objects are, no more than twice the largest size lies there: one large object
    at a time, and beside it those of which all threads together may hold as much.
    """

    def __init__(
        self, bucket: Bucket, task: Task, folder: Path, threads: int = CONNECTIONS
    ) -> None:
        self._bucket = bucket
        self._folder = folder
        self._task = task
        # Waited for before an object's time begins.
        self._turns = threading.BoundedSemaphore(CONNECTIONS)
        self._turn_of_large = threading.RLock()
        self._large = limit_of("OBJECT_BYTES", OBJECT_BYTES) // threads

    def fetch_and_read(self, read: Read, item: ArchiveObject) -> Result:
        """Fetch one object, as it was listed, and have it read.

        Raises:
            SourceError: the server stopped answering, or there is no room.
        """
        path = self._folder / item.key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as held:
                held.callback(path.unlink, missing_ok=True)
                self._fetch(item, path, held)
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

    def _fetch(self, item: ArchiveObject, path: Path, held: ExitStack) -> None:
        """Put an object at a path; a large one has its turn while it is ``held``."""
        refuse_large(item.size)
        if item.size > self._large:
            held.enter_context(self._turn_of_large)
        if self._copy_kept(item, path):
            return
        with self._turns:
            self._bucket.fetch(item, path)
        if self._task.keep_raw:
            self._keep(item, path)

    def _copy_kept(self, item: ArchiveObject, target: Path) -> bool:
        """Put what was kept of an object at ``target``; False where it is nothing, or damaged."""
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
        """Keep a fetched file, and then the sidecar that vouches for it."""
        store, name = self._task.store, self._kept_name(item)
        with store.write(name) as kept:
            shutil.copyfile(path, kept)
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


#: Whatever has a say in the bytes of a file: packages, and modules of this one.
_PACKAGES = ("ahocorasick-rs", "isal", "msgspec", "publicsuffixlist", "pyarrow")
_MODULES = ("*.*", "observations/*.*", "sources/*.*", "store/*.*")


def read_on_cluster(
    task: Task, items: Sequence[ArchiveObject], jobs: int | None, scheduler: str
) -> Iterator[tuple[str, Result]]:
    """What became of each object, by key, in the order in which they are done.

    Args:
        task: what to do.
        items: the objects.
        jobs: how many may be read at once; by default as many as there are workers for.
        scheduler: its address.

    Raises:
        ParameterError: a worker would give other bytes.
        SourceError: the cluster is gone, or an object ends its workers.
    """
    if not items:
        return
    folder = f"{FOLDER}/{task.source_id}"
    with ExitStack() as stack:
        mark = ""
        if task.store.is_local:
            # Who sees a folder of its own in a store sees the same store.
            beside = Path(task.store.path(folder))
            mark = str(stack.enter_context(TemporaryFolder(WRITING, beside)))
        order = Order(describe_code(), pickle.dumps(task), mark)
        by_key = {item.key: item for item in items}
        yield from spread(scheduler, _work_on, pickle.dumps(order), by_key, jobs)
    task.store.remove_leftovers(folder)  # of workers that were lost


@dataclass(frozen=True)
class Order:
    """What a worker elsewhere is given, and what it must see to give the same bytes.

    Attributes:
        code: of :func:`describe_code`.
        task: pickled, so that another version's never has to be understood.
        mark: a folder that is there if the workers' STORE is this one; ``""`` for none.
    """

    code: str
    task: bytes
    mark: str


@cache
def describe_code() -> str:
    """What must be the same wherever the same object is to give the same file."""
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
    """Why this process would give other bytes, or none; ``""`` where it would give the same."""
    wanted: Order = pickle.loads(order)
    if wanted.code != describe_code():
        return f"has {describe_code()}; needed is {wanted.code}"
    task: Task = pickle.loads(wanted.task)
    if wanted.mark and not Path(wanted.mark).exists():
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
