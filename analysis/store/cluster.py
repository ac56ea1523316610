"""The same work on each object, on the workers of a Dask scheduler; the bytes are the same.

A worker says first whether they would be: whether what decides them is the same there, and whether
it sees the same store and the same archive.
"""

import ast
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from analysis.errors import SourceError
from analysis.observations.schema import SCHEMA_VERSION
from analysis.sources.archive_files import ArchiveObject, CannotRead, Folder
from analysis.sources.schedulers import spread
from analysis.store.objects import Result, Task
from analysis.store.provenance import FOLDER
from analysis.store.store import WRITING
from analysis.store.workers import start_reader
from analysis.temporary_folders import TemporaryFolder

#: Whatever has a say in the bytes of a file: packages, and modules of this one.
_PACKAGES = ("ahocorasick-rs", "isal", "msgspec", "publicsuffixlist", "pyarrow")
_MODULES = ("*.py", "observations/*.py", "sources/*.py", "store/*.py", "ingestion/*.py")


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
    probe = next((item for item in items if _can_open(task, item)), None)
    with _mark_store(task) as mark:
        order = _Order(describe_code(), pickle.dumps(task), probe, mark, uuid4().hex)
        by_key = {item.key: item for item in items}
        yield from spread(scheduler, _work_on, check_worker, pickle.dumps(order), by_key, jobs)
    task.store.remove_leftovers(f"{FOLDER}/{task.source_id}")  # of workers that were lost


@dataclass(frozen=True)
class _Order:
    """What a worker elsewhere is given, and what it must see to give the same bytes.

    Attributes:
        code: of :func:`describe_code`.
        task: pickled, so that another version's never has to be understood.
        probe: a file that can be opened if the workers' SOURCE is this one; None for none.
        mark: a folder that is there if the workers' STORE is this one; ``""`` for none.
        run: another one each time, so that no worker goes on with the connections of a run that
            was given up.
    """

    code: str
    task: bytes
    probe: ArchiveObject | None
    mark: str
    run: str


@contextmanager
def _mark_store(task: Task) -> Iterator[str]:
    """A folder of its own in a store that is one: who sees it, sees the same store."""
    if not task.store.is_local:
        yield ""
        return
    with TemporaryFolder(WRITING, Path(task.store.path(f"{FOLDER}/{task.source_id}"))) as path:
        yield str(path)


def _can_open(task: Task, item: ArchiveObject) -> bool:
    if not isinstance(task.source, Folder):
        return False  # a server is the same from everywhere, or says itself what it lacks
    try:
        task.source.open(item).close()
    except CannotRead:
        return False
    return True


@cache
def describe_code() -> str:
    """What must be the same wherever the same object is to give the same file."""
    digest = sha256()
    root = Path(__file__).parents[1]
    for path in sorted(path for pattern in _MODULES for path in root.glob(pattern)):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(_without_comments(path.read_bytes()).encode())
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    code = digest.hexdigest()[:12]
    return f"code {code}, schema {SCHEMA_VERSION}, Python {python}, {packages}"


def _without_comments(source: bytes) -> str:
    """What a module does, whatever its comments, docstrings and line breaks."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            del node.body[0]
    return ast.dump(tree)


@lru_cache(maxsize=2)  # a worker may serve two runs at once
def check_worker(order: bytes) -> str:
    """Why this process would give other bytes, or none; ``""`` where it would give the same."""
    wanted: _Order = pickle.loads(order)
    if wanted.code != describe_code():
        return f"has {describe_code()}; needed is {wanted.code}"
    task: Task = pickle.loads(wanted.task)
    if wanted.mark and not Path(wanted.mark).exists():
        store = task.store.uri
        return f"does not see the folder {store}; give a STORE that all share, such as s3://…"
    if wanted.probe is not None and not _can_open(task, wanted.probe):
        return f"cannot open {wanted.probe.key} of the SOURCE, which can be opened here"
    return ""


_until_the_end = ExitStack()  # of a worker's life


@lru_cache(maxsize=2)
def _start_reader(order: bytes) -> Callable[[ArchiveObject], Result]:
    task: Task = pickle.loads(pickle.loads(order).task)
    return _until_the_end.enter_context(start_reader(task))


def _work_on(order: bytes, item: ArchiveObject) -> Result:
    if reason := check_worker(order):  # a worker that came later than the others were asked
        raise SourceError(f"a worker {reason}")
    return _start_reader(order)(item)
