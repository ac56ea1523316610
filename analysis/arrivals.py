"""The objects of a server: some threads fetch them, and what has arrived is read meanwhile.

An object is read when all of it is there and is what its ETag says, so that no worker waits for a
server, and none reads what turns out to be damaged. Until then it lies in a temporary folder.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from threading import BoundedSemaphore

import stamina

from analysis.errors import SourceError
from analysis.objects import Task
from analysis.places.buckets import Bucket
from analysis.places.files import ArchiveObject, CannotRead, Changed, Damaged, Passing
from analysis.places.folders import Folder
from analysis.places.web import CONNECTIONS, at_once
from analysis.pools import Result, reader
from analysis.raw_files import RawFiles
from analysis.store import NotRead

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
