"""The objects of a server: some threads fetch them, and what is there is read meanwhile.

An object is read when all of it is there and is what its ETag says, so that no worker waits for a
server, and none reads what turns out to be damaged. Until then it lies in a temporary folder.

What is to be kept as it came lies in ``STORE/raw/<source_id>/<key>``. Its sidecar, ``<key>.json``,
says from where and when it came, its size, ETag, digest and licence. A file that its sidecar does
not vouch for is not read.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any

import msgspec
import stamina

from analysis.errors import SourceError, describe_error
from analysis.sources.archive_files import (
    OBJECT_BYTES,
    ArchiveObject,
    CannotRead,
    Changed,
    Damaged,
    Passing,
    limit_of,
    refuse_large,
)
from analysis.sources.buckets import Bucket
from analysis.sources.web import CONNECTIONS
from analysis.store.checksums import digest_file
from analysis.store.objects import Result, Task
from analysis.store.provenance import NotRead

#: What the name of the temporary folder begins with.
PREFIX = "workbook-downloads-"

_once_more = stamina.RetryingCaller(attempts=2, timeout=None).on(Damaged)


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
        self._turns = BoundedSemaphore(CONNECTIONS)  # waited for before an object's time begins
        self._turn_of_large = Lock()
        self._large = limit_of("OBJECT_BYTES", OBJECT_BYTES) // threads

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
            with ExitStack() as held:
                return read(self._fetch_current(item, path, held))
        except Passing as error:
            if not self._bucket.answers():
                raise SourceError(f"the source stopped answering at {item.key}: {error}") from None
            return NotRead(item.key, str(error))
        except CannotRead as error:
            return NotRead(item.key, str(error))
        except OSError as error:
            why = f"{item.key} was fetched and cannot be put down: {describe_error(error)}"
            raise SourceError(why) from None

    def _fetch_current(self, item: ArchiveObject, path: Path, held: ExitStack) -> ArchiveObject:
        """Put an object at ``path`` as it is now, which may be another than was listed.

        It lies there, and takes the room that it takes, while it is ``held``.
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
        if item.size > self._large:
            held.enter_context(self._turn_of_large)
        held.callback(path.unlink, missing_ok=True)
        if not self._copy_kept(item, path):
            _once_more(self._fetch, item, path)
            if self._task.keep_raw:
                self._keep(item, path)

    def _fetch(self, item: ArchiveObject, path: Path) -> None:
        with self._turns, closing(self._bucket.open(item)) as stream, path.open("wb") as file:
            while block := stream.read():
                file.write(block)

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
