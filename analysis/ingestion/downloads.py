"""The objects of a server: some threads fetch them, and what is there is read meanwhile.

An object is read when all of it is there and is what its ETag says, so that no worker waits for a
server, and none reads what turns out to be damaged. Until then it lies in a temporary folder.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import BoundedSemaphore

import stamina

from analysis.errors import SourceError
from analysis.ingestion.objects import Result, Task
from analysis.ingestion.raw_files import RawFiles
from analysis.sources.buckets import Bucket
from analysis.sources.files import ArchiveObject, CannotRead, Changed, Damaged, Passing
from analysis.sources.web import CONNECTIONS
from analysis.store.provenance import NotRead

#: What the name of the temporary folder begins with.
PREFIX = "workbook-downloads-"

_once_more = stamina.RetryingCaller(attempts=2, timeout=None).on(Damaged)


class Downloads:
    """Objects of a server, which lie in a folder between being fetched and being read.

    What is fetched is kept where the task says so; what was kept before is not fetched again.
    """

    def __init__(self, bucket: Bucket, task: Task, folder: Path) -> None:
        self._bucket = bucket
        self._folder = folder
        self._raw = RawFiles(task.store, task.source_id)
        self._keep_raw = task.keep_raw
        self._turns = BoundedSemaphore(CONNECTIONS)  # waited for before an object's time begins

    def fetch_and_read(
        self, read: Callable[[ArchiveObject], Result], item: ArchiveObject
    ) -> Result:
        """Fetch one object and have it read.

        Raises:
            SourceError: the server stopped answering, or there is no room.
        """
        path = self._folder / item.key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return read(self._fetch_current(item, path))
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

    def _fetch_current(self, item: ArchiveObject, path: Path) -> ArchiveObject:
        """Put an object at ``path`` as it is now, which may be another than was listed."""
        try:
            _once_more(self._fetch, item, path)
        except Changed as error:
            fresh = self._bucket.renewed(item)
            if fresh is None or fresh == item:
                raise error from None
            item = fresh
            _once_more(self._fetch, item, path)
        return item

    def _fetch(self, item: ArchiveObject, path: Path) -> None:
        if self._raw.copy(item, path):
            return
        with self._turns, closing(self._bucket.open(item)) as stream, path.open("wb") as file:
            while block := stream.read():
                file.write(block)
        if self._keep_raw:
            self._raw.keep(item, path, self._bucket.url(item), self._bucket.licence)
