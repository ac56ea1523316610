"""The same work on each object, in one process or several; the result does not depend on it."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from importlib.abc import MetaPathFinder

import pyarrow as pa

from analysis.errors import SourceError
from analysis.sources.archive_files import ArchiveObject, Folder
from analysis.sources.buckets import Bucket
from analysis.sources.web import CONNECTIONS, at_once
from analysis.store.downloads import PREFIX, Downloads
from analysis.store.objects import Result, Task, ingest_object
from analysis.temporary_folders import TemporaryFolder

#: Bytes of objects for which another process is started. They are read in about half a second; to
#: start takes one.
WORTH_A_WORKER = 32 << 20
#: What an object takes besides its bytes, and is counted as: a small country's hold few
#: measurements each, and its archive takes as long by their number as by their size.
_AN_OBJECT = 300_000


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
    # Threads that wait for a worker fetch nothing, so there are more of them than either.
    threads = CONNECTIONS + jobs
    with start_reader(task, jobs, threads) as read:
        if jobs < 2 and not isinstance(task.source, Bucket):
            yield from ((item.key, read(item)) for item in items)
            return
        with closing(at_once(read, items, task.source.stop, threads)) as results:
            yield from ((item.key, result) for item, result in results)


@contextmanager
def start_reader(
    task: Task, jobs: int = 1, threads: int = CONNECTIONS
) -> Iterator[Callable[[ArchiveObject], Result]]:
    """A function for several threads that has an object read, and of a server fetched before.

    With one job they are read in this process, one at a time, so that memory stays that of one.
    """
    with ExitStack() as stack:
        local = task
        if isinstance(task.source, Bucket):
            folder = stack.enter_context(TemporaryFolder(PREFIX))
            local = replace(task, source=Folder(folder))
        # Spawned, because a forked process would inherit the threads of pyarrow and DuckDB in
        # whatever state they are.
        context = multiprocessing.get_context("spawn")
        pool, call = (
            (ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(local,)), _read)
            if jobs > 1
            else (ThreadPoolExecutor(1), partial(ingest_object, local))
        )
        stack.enter_context(pool)

        def read(item: ArchiveObject) -> Result:
            try:
                return pool.submit(call, item).result()
            except BrokenProcessPool:
                raise SourceError("a worker process was killed") from None

        if isinstance(task.source, Bucket):
            downloads = Downloads(task.source, task, folder, threads)
            yield partial(downloads.fetch_and_read, read)
        else:
            yield read


class _WithoutPandas(MetaPathFinder):
    """Lets ``import pandas`` fail, as where it is not installed.

    Arrow imports it before it makes its first array, to know a frame when it sees one. That is
    most of the time and a quarter of the memory that a worker takes to start.
    """

    # Arrow would take a None in sys.modules for the module itself.
    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("a worker needs no pandas", name=name)


_task: Task | None = None


def _begin(task: Task) -> None:
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


def _read(item: ArchiveObject) -> Result:
    assert _task is not None
    return ingest_object(_task, item)
