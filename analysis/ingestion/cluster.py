"""The same work on each object, on the workers of a Dask scheduler; the bytes are the same.

A worker says first whether they would be: whether it has this code and these libraries, and sees
the same store and the same archive.
"""

import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from analysis.errors import SourceError
from analysis.ingestion.objects import Task, ingest_object
from analysis.ingestion.workers import Result, landed, refusing_most
from analysis.observations.schema import SCHEMA_VERSION
from analysis.sources.buckets import Bucket
from analysis.sources.files import ArchiveObject, CannotRead, Folder
from analysis.sources.schedulers import spread
from analysis.store.provenance import FOLDER

#: Whatever has a say in the bytes of a file.
_LIBRARIES = ("ahocorasick-rs", "isal", "msgspec", "publicsuffixlist", "pyarrow")


def by_cluster(
    task: Task,
    items: Sequence[ArchiveObject],
    jobs: int | None,
    scheduler: str,
    known_count: int,
    keep_raw: bool,
) -> Iterator[tuple[str, Result]]:
    """What became of each object, by key, in the order in which they are done.

    Args:
        task: what to do.
        items: the objects.
        jobs: how many may be read at once; by default as many as there are workers for.
        scheduler: its address.
        known_count: objects that were read before, for the share of those that cannot be.
        keep_raw: keep what a server sends.

    Raises:
        ParameterError: a worker would give other bytes.
        SourceError: the cluster is gone, an object ends its workers, or the server refuses most of
            what it lists.
    """
    if not items:
        return
    probe = next((item for item in items if _can_open(task, item)), None)
    with _marked(task) as mark:
        order = _Order(code_identity(), pickle.dumps(task), keep_raw, probe, mark, uuid4().hex)
        named = {item.key: item for item in items}
        results = spread(scheduler, _work_on, unfit, pickle.dumps(order), named, jobs)
        yield from refusing_most(results, known_count)
    task.store.remove_leftovers(f"{FOLDER}/{task.source_id}")  # of workers that were lost


@dataclass(frozen=True)
class _Order:
    """What a worker elsewhere is given, and what it must see to give the same bytes.

    Attributes:
        code: of :func:`code_identity`.
        task: pickled, so that another version's never has to be understood.
        keep_raw: keep what a server sends.
        probe: a file that can be opened if the workers' SOURCE is this one; None for none.
        mark: a file that is there if the workers' STORE is this one; ``""`` for none.
        run: another one each time, so that no worker goes on with the connections of a run that
            was given up.
    """

    code: str
    task: bytes
    keep_raw: bool
    probe: ArchiveObject | None
    mark: str
    run: str


@contextmanager
def _marked(task: Task) -> Iterator[str]:
    """A file of its own in a store that is a folder: who sees it, sees the same folder."""
    if not task.store.is_local:
        yield ""
        return
    with task.store.replacement(f"{FOLDER}/{task.source_id}/mark") as mark:  # never committed
        yield mark.path


def _can_open(task: Task, item: ArchiveObject) -> bool:
    if not isinstance(task.source, Folder):
        return False  # a server is the same from everywhere, or says itself what it lacks
    try:
        task.source.open(item).close()
    except CannotRead:
        return False
    return True


@cache
def code_identity() -> str:
    """What must be the same wherever the same object is to give the same file."""
    digest = sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    code = digest.hexdigest()[:12]
    return f"code {code}, schema {SCHEMA_VERSION}, Python {python}, {libraries}"


@lru_cache(maxsize=2)  # a worker may serve two runs at once
def unfit(order: bytes) -> str:
    """Why this process would give other bytes, or none; ``""`` where it would give the same."""
    wanted: _Order = pickle.loads(order)
    if wanted.code != code_identity():
        return f"has {code_identity()}; needed is {wanted.code}"
    if wanted.mark and not Path(wanted.mark).exists():
        store = _task_of(order).store.uri
        return f"does not see the folder {store}; give a STORE that all share, such as s3://…"
    if wanted.probe is not None and not _can_open(_task_of(order), wanted.probe):
        return f"cannot open {wanted.probe.key} of the SOURCE, which can be opened here"
    return ""


@lru_cache(maxsize=2)
def _task_of(order: bytes) -> Task:
    task: Task = pickle.loads(pickle.loads(order).task)
    return task


_until_the_end = ExitStack()  # of a worker's life


@lru_cache(maxsize=2)
def _reader_of(order: bytes) -> Callable[[ArchiveObject], Result]:
    task, keep_raw = _task_of(order), pickle.loads(order).keep_raw
    if isinstance(task.source, Bucket):
        return _until_the_end.enter_context(landed(task, task.source, 1, keep_raw=keep_raw))
    return partial(ingest_object, task)


def _work_on(order: bytes, item: ArchiveObject) -> Result:
    if reason := unfit(order):  # a worker that came later than the others were asked
        raise SourceError(f"a worker {reason}")
    return _reader_of(order)(item)
