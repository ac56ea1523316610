"""The same work on each object, on the workers of a Dask scheduler; the bytes are the same.

A worker says first whether they would be: whether what decides them is the same there, and whether
it sees the same store.
"""

import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from analysis.errors import SourceError
from analysis.observations.schema import SCHEMA_VERSION
from analysis.sources.archive_files import ArchiveObject
from analysis.sources.schedulers import spread
from analysis.store.objects import Result, Task
from analysis.store.provenance import FOLDER
from analysis.store.store import WRITING
from analysis.store.workers import Read, start_reader
from analysis.temporary_folders import TemporaryFolder

#: Whatever has a say in the bytes of a file: packages, and modules of this one.
_PACKAGES = ("ahocorasick-rs", "isal", "msgspec", "publicsuffixlist", "pyarrow")
_MODULES = ("*.py", "observations/*.py", "sources/*.py", "store/*.py")


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
        yield from spread(scheduler, _work_on, check_worker, pickle.dumps(order), by_key, jobs)
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
    if reason := check_worker(order):  # a worker that came later than the others were asked
        raise SourceError(f"a worker {reason}")
    return _start_reader(order)(item)
