"""The same work on each object, in one process or several; the result does not depend on it."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import pyarrow as pa

from analysis.errors import SourceError
from analysis.objects import Task, ingest_object
from analysis.places.files import ArchiveObject, Unreachable
from analysis.store import NotRead, Provenance

_WORTH_A_WORKER = 32 << 20  # bytes of objects, read in about half a second; a start takes one


def worker_count(pending: Sequence[ArchiveObject], jobs: int) -> int:
    """As many workers as asked for, but none that would read for less time than it starts."""
    worth = sum(item.size for item in pending) // _WORTH_A_WORKER
    return max(1, min(jobs, len(pending), worth))


def mapped(
    task: Task, items: list[ArchiveObject], jobs: int
) -> Iterator[tuple[str, Provenance | NotRead | Unreachable]]:
    if jobs < 2:
        for item in items:
            yield item.key, ingest_object(task, item)
        return
    # Spawned, because a forked process would inherit the threads of pyarrow and DuckDB in
    # whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_begin_worker, initargs=(task,)) as pool:
        futures = {pool.submit(_work, item): item.key for item in items}
        try:
            yield from ((futures[done], done.result()) for done in as_completed(futures))
        except BrokenProcessPool:
            raise SourceError("a worker process was killed") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_task: Task | None = None


def _begin_worker(task: Task) -> None:
    global _task
    _task = task
    pa.set_cpu_count(1)


def _work(item: ArchiveObject) -> Provenance | NotRead | Unreachable:
    assert _task is not None
    return ingest_object(_task, item)
