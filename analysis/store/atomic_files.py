"""Files that appear whole or not at all, whatever becomes of the process that writes them.

A file is written under a temporary name: beside its place, and renamed when it is whole, or for S3
in this machine's temporary folder, and sent when it is whole.

Nothing is flushed to the disk before the rename: a power cut may leave an empty file under a good
name. Readers find that out by the file's digest and read the object again, which costs less than
waiting for the disk at each of thousands of files.

Parquet files that tell whether they are as they were written.

Parquet has no digest of its own: of a file with one flipped bit, a third of the time another value
is read. A sealed file holds, as the last of its key-value metadata, the SHA-256 of all its bytes,
taken with the seal still blank.
"""

import hashlib
import mmap
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import SourceError
from analysis.sources.objectstore import Storage

_PREFIX = b"workbook-seal:"
_SEAL = re.compile(re.escape(_PREFIX) + rb"[0-9a-f]{64}")

#: Metadata to give last to a file that is to be sealed.
KEY = "seal"
BLANK = (_PREFIX + b"0" * 64).decode()


def sealed(content: bytes) -> bytes:
    """A Parquet file whose last metadata are the blank seal, with the seal filled in."""
    whole = bytearray(content)
    _fill(whole)
    return bytes(whole)


def seal_file(path: Path) -> None:
    """The same to a file that nobody else knows yet."""
    with path.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as content:
        _fill(content)


def _fill(content: bytearray | mmap.mmap) -> None:
    place = content.rfind(BLANK.encode())
    seal = _seal_of(content, place, place + len(BLANK))
    content[place : place + len(seal)] = seal


def _seal_of(content: "bytes | bytearray | mmap.mmap", start: int, end: int) -> bytes:
    """The seal that a file should have, which has one from ``start`` to ``end``."""
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:start])
        digest.update(BLANK.encode())
        digest.update(view[end:])
    return _PREFIX + digest.hexdigest().encode()


def metadata(content: "bytes | mmap.mmap") -> dict[bytes, bytes] | None:
    """The key-value metadata of a sealed file; None where it is not as it was sealed.

    No byte of a damaged file is interpreted.
    """
    place = content.rfind(_PREFIX)
    found = _SEAL.match(content, max(place, 0))
    if not found or found[0] != _seal_of(content, found.start(), found.end()):
        return None
    try:
        return dict(pq.read_metadata(pa.BufferReader(content)).metadata)
    except (OSError, pa.ArrowException):
        return None


def metadata_of_file(path: Path) -> dict[bytes, bytes] | None:
    """The same of a file, however large; None also where there is none."""
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return metadata(content)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None


_TEMPORARY = ".part"
_OWNER = re.compile(rf".+\.(?P<machine>[0-9a-f]{{8}})-(?P<process>\d+)-[0-9a-f]+{_TEMPORARY}")
_STALE_AFTER = 24 * 3600  # seconds without a write after which a temporary file is abandoned
_begun: set[str] = set()  # temporary files that this process is writing


class Replacement:
    """A file that takes its place when it is whole, or never.

    Raises:
        SourceError: from each method, where the place cannot be written.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        folder, _, base = name.rpartition("/")
        place = Path(storage.path(folder) if storage.is_local else tempfile.gettempdir())
        owner = f"{_machine()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._path = place / f".{base}.{owner}{_TEMPORARY}"
        self._is_done = False
        _begun.add(self._path.name)
        with self._saying():
            place.mkdir(parents=True, exist_ok=True)
            self._stream = self._path.open("wb")

    @contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = self._storage.path(self._name)
            raise SourceError(f"{place} cannot be written: {reason(error)}") from None

    @property
    def path(self) -> str:
        """Where the file is while it is written: a local file that anybody can open."""
        return str(self._path)

    def write(self, block: bytes) -> None:
        """Add bytes."""
        with self._saying():
            self._stream.write(block)

    def commit(self) -> None:
        """Let the file appear."""
        with self._saying():
            self._stream.close()
            if self._storage.is_local:
                self._path.replace(self._storage.path(self._name))
            else:
                self._storage.put(self.path, self._name)
                self._path.unlink()
        self._is_done = True
        _begun.discard(self._path.name)

    def __enter__(self) -> "Replacement":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_done:
            with suppress(OSError):  # of a full disk once more: what was not written is not wanted
                self._stream.close()
            _drop(self._path)
        _begun.discard(self._path.name)


def reason(error: OSError) -> str:
    """Why something could not be read or written, in the system's words."""
    number = error.errno
    if number is None and "[errno " in str(error):  # as pyarrow has it
        number = int(str(error).rpartition("[errno ")[2].partition("]")[0])
    return os.strerror(number) if number else str(error)


def remove_leftovers(paths: Iterable[str]) -> None:
    """Remove those files that killed runs were writing; those of running ones stay."""
    for path in map(Path, paths):
        owner = _OWNER.fullmatch(path.name)
        if owner and _is_abandoned(path, owner["machine"], int(owner["process"])):
            _drop(path)


def _drop(path: Path) -> None:
    # Where nothing can be removed, nothing can be written either, and that is said.
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_abandoned(path: Path, machine: str, process: int) -> bool:
    if machine == _machine():
        # A container gives every run the same number: then only we know whose file it is.
        is_begun = path.name in _begun if process == os.getpid() else _is_running(process)
        if not is_begun:
            return True
    try:
        return time.time() - path.stat().st_mtime > _STALE_AFTER
    except OSError:
        return False


def _is_running(process: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
