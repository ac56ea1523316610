"""The objects of a server: some threads fetch them, and what is there is read meanwhile.

An object is read when all of it is there and is what its ETag says, so that no worker waits for a
server, and none reads what turns out to be damaged. Until then it lies in a temporary folder.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from threading import BoundedSemaphore

import stamina

from analysis.errors import SourceError
from analysis.ingestion.objects import Result
from analysis.ingestion.raw_files import RawFiles
from analysis.sources.buckets import Bucket
from analysis.sources.files import ArchiveObject, CannotRead, Changed, Damaged, Passing
from analysis.sources.web import CONNECTIONS
from analysis.store.atomic_files import lock
from analysis.store.provenance import NotRead
from analysis.store.store import Store

#: What the names of temporary folders begin with.
PREFIX = "workbook-downloads-"

_once_more = stamina.RetryingCaller(attempts=2, timeout=None).on(Damaged)


@contextmanager
def start_downloads(
    bucket: Bucket, store: Store, source_id: str, keep_raw: bool
) -> Iterator["Downloads"]:
    """Fetch objects of a server into a temporary folder, which goes at the end.

    What is fetched is kept where that is asked for; what was kept before is not fetched again.
    """
    with _temporary_folder() as folder:
        raw = RawFiles(store, source_id)
        yield Downloads(bucket, folder, raw, keep_raw, BoundedSemaphore(CONNECTIONS))


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for a while. Those that killed runs have left, which nobody holds, are removed."""
    for left in Path(gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), lock(left):
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name, lock(Path(name)):
        yield Path(name)


@dataclass(frozen=True)
class Downloads:
    """Where objects lie between being fetched and being read."""

    bucket: Bucket
    folder: Path
    raw: RawFiles
    keep_raw: bool
    turns: BoundedSemaphore  # waited for before an object's time begins

    def fetch_and_read(
        self, read: Callable[[ArchiveObject], Result], item: ArchiveObject
    ) -> Result:
        """Fetch one object and have it read.

        Raises:
            SourceError: the server stopped answering, or there is no room.
        """
        path = self.folder / item.key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return read(self._fetch_current(item, path))
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

    def _fetch_current(self, item: ArchiveObject, path: Path) -> ArchiveObject:
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
