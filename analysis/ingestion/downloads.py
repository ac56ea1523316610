"""The objects of a server: some threads fetch them, and what is there is read meanwhile.

An object is read when all of it is there and is what its ETag says, so that no worker waits for a
server, and none reads what turns out to be damaged. Until then it lies in a temporary folder.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import BoundedSemaphore, Condition

import stamina

from analysis.errors import SourceError
from analysis.ingestion.objects import Result, Task
from analysis.ingestion.raw_files import RawFiles
from analysis.sources.buckets import Bucket
from analysis.sources.files import (
    OBJECT_BYTES,
    ArchiveObject,
    CannotRead,
    Changed,
    Damaged,
    Passing,
    limit_of,
    refuse_large,
)
from analysis.sources.web import CONNECTIONS
from analysis.store.provenance import NotRead

#: What the name of the temporary folder begins with.
PREFIX = "workbook-downloads-"

_LARGEST_AT_ONCE = 2  # of the largest size, on the disk at a time

_once_more = stamina.RetryingCaller(attempts=2, timeout=None).on(Damaged)


class _Room:
    """A disk on which so many bytes have room; who has more to put down waits for others."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._given_back = Condition()

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Room for so many bytes."""
        size = min(size, self._size)
        with self._given_back:
            self._given_back.wait_for(lambda: size <= self._left)
            self._left -= size
        try:
            yield
        finally:
            with self._given_back:
                self._left += size
                self._given_back.notify_all()


class Downloads:
    """Objects of a server, which lie in a folder between being fetched and being read.

    What is fetched is kept where the task says so; what was kept before is not fetched again.
    However large the objects are, no more than two of the largest lie there at a time.
    """

    def __init__(self, bucket: Bucket, task: Task, folder: Path) -> None:
        self._bucket = bucket
        self._folder = folder
        self._raw = RawFiles(task.store, task.source_id)
        self._keep_raw = task.keep_raw
        self._turns = BoundedSemaphore(CONNECTIONS)  # waited for before an object's time begins
        self._room = _Room(_LARGEST_AT_ONCE * limit_of("OBJECT_BYTES", OBJECT_BYTES))

    def fetch_and_read(
        self, read: Callable[[ArchiveObject], Result], item: ArchiveObject
    ) -> Result:
        """Fetch one object and have it read.

        Raises:
            SourceError: the server stopped answering, or there is no room.
        """
        path = self._folder / item.key
        held = ExitStack()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return read(self._fetch_current(item, path, held))
        except Passing as error:
            if not self._bucket.answers():
                raise SourceError(f"the source stopped answering at {item.key}: {error}") from None
            return NotRead(item.key, str(error))
        except CannotRead as error:
            return NotRead(item.key, str(error))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SourceError(f"{item.key} was fetched and cannot be put down: {reason}") from None
        finally:
            path.unlink(missing_ok=True)
            held.close()

    def _fetch_current(self, item: ArchiveObject, path: Path, held: ExitStack) -> ArchiveObject:
        """Put an object at ``path`` as it is now, which may be another than was listed.

        The room that it takes is ``held``.
        """
        try:
            self._fetch_listed(item, path, held)
        except Changed as error:
            fresh = self._bucket.renewed(item)
            if fresh is None or fresh == item:
                raise error from None
            held.close()
            item = fresh
            self._fetch_listed(item, path, held)
        return item

    def _fetch_listed(self, item: ArchiveObject, path: Path, held: ExitStack) -> None:
        refuse_large(item.size)
        held.enter_context(self._room.of(item.size))
        _once_more(self._fetch, item, path)

    def _fetch(self, item: ArchiveObject, path: Path) -> None:
        if self._raw.copy(item, path):
            return
        with self._turns, closing(self._bucket.open(item)) as stream, path.open("wb") as file:
            while block := stream.read():
                file.write(block)
        if self._keep_raw:
            self._raw.keep(item, path, self._bucket.url(item), self._bucket.licence)
