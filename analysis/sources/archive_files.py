"""What a source of measurements is: its objects, their bytes, and why they may not be had.

The simplest one is here, a folder; ``buckets`` has those of servers.
"""

import fcntl
import hashlib
import io
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from analysis.errors import ParameterError, SourceError, describe_error


@dataclass(frozen=True, order=True, slots=True)
class ArchiveObject:
    """One object of an archive: its key below the source, bytes, and ETag or modification time."""

    key: str
    size: int
    etag: str


#: What a listing may say: objects of a country for each hour, and bytes of one. Real ones have
#: some dozens at most, and 100 MB. The environment's ``OBJECTS_PER_HOUR`` and ``OBJECT_BYTES``
#: change it.
OBJECTS_PER_HOUR, OBJECT_BYTES = 100, 2_000_000_000


def limit_of(name: str, published: int) -> int:
    """A bound, as the environment has it.

    Raises:
        ParameterError: what the environment says is no number.
    """
    text = os.environ.get(name) or str(published)
    if not re.fullmatch(r"[1-9][0-9]{0,14}", text, re.ASCII):
        raise ParameterError(name, text, "a whole number from 1 to 999999999999999 is accepted")
    return int(text)


def refuse_large(size: int) -> None:
    """Refuse an object for what is said of its size.

    Raises:
        CannotRead: it has more bytes than are read.
    """
    limit = limit_of("OBJECT_BYTES", OBJECT_BYTES)
    if size > limit:
        raise CannotRead(f"{size} bytes, more than the OBJECT_BYTES={limit} that are read of one")


class CannotRead(Exception):
    """One object cannot be read; ``str(error)`` says why, without paths or addresses."""

    #: Whether another run may have more luck.
    may_pass = False


class Damaged(CannotRead):
    """All of it came, and is not what its ETag says."""


class Passing(CannotRead):
    """A trouble that may be gone at the next attempt; ``after`` is what the server asks for."""

    may_pass = True
    after: float = 0.0  # seconds


class TooSlow(CannotRead):
    """There was time for several attempts, and it did not come."""

    may_pass = True


class Unreachable(Passing):
    """The server did not answer, which says nothing about the object."""


@contextmanager
def lock_folder(folder: Path, what: str) -> Iterator[None]:
    """Make a folder and keep other processes that lock it out.

    Raises:
        SourceError: something in it cannot be written, which is said of ``what``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise SourceError(f"no {what} {folder}: {describe_error(error).lower()}") from None


def source_id(name: str, location: str) -> str:
    """A readable, collision-free folder name for a source."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "source"
    return f"{slug}-{hashlib.sha256(location.encode()).hexdigest()[:12]}"


class Folder:
    """An archive on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return self._path.resolve().name

    @property
    def id(self) -> str:
        return source_id(self.name, str(self._path.resolve()))

    def is_at(self, path: Path) -> bool:
        """Whether a path leads to this very folder."""
        return path.is_dir() and path.samefile(self._path)

    def objects(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """Walk the folder. In a name that is not UTF-8 the wrong bytes are shown as U+FFFD.

        Raises:
            SourceError: a folder below it cannot be listed.
        """
        items = []
        for folder, _, names in os.walk(self._path, onerror=_cannot_list):
            for name in names:
                path = Path(folder, name)
                key = os.fsencode(path.relative_to(self._path)).decode("utf-8", "replace")
                if wanted(key):
                    items.append(self._describe(path, key))
        return sorted(items)

    def _describe(self, path: Path, key: str) -> ArchiveObject:
        try:
            status = path.stat()
        except OSError:
            return ArchiveObject(key, 0, "")  # reading it will say why it cannot be read
        return ArchiveObject(key, status.st_size, str(status.st_mtime_ns))

    def open(self, item: ArchiveObject) -> io.FileIO:
        """The bytes of an object. Raises CannotRead."""
        try:
            # A pipe would wait for its other end.
            stream = io.FileIO(
                self._path / item.key,
                opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK),
            )
        except FileNotFoundError:
            is_text = "\ufffd" not in item.key
            raise CannotRead("no longer there" if is_text else "its name is not UTF-8") from None
        except OSError as error:
            raise CannotRead(describe_error(error).lower()) from None
        try:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CannotRead("not a file")
            refuse_large(status.st_size)
        except CannotRead:
            stream.close()
            raise
        return stream

    def fetch(self, item: ArchiveObject, path: Path) -> None:
        with closing(self.open(item)) as stream, path.open("wb") as file:
            shutil.copyfileobj(stream, file)
            if file.tell() > item.size:
                raise CannotRead("longer than it was listed")

    def stop(self) -> None:
        """Nothing waits for a disk."""


def _cannot_list(error: OSError) -> NoReturn:
    why = f"the folder {error.filename} cannot be listed: {describe_error(error).lower()}"
    raise SourceError(why, resumes=False)
