"""Files that appear whole or not at all, and Parquet files that tell whether they still are.

A file is written under a temporary name, beside its own or, for S3, in this machine's temporary
folder, and gets its name when it is whole. Whoever writes it holds a lock on it, so that what a
killed run has left is known by its being free.

Nothing is flushed to the disk before the rename: a power cut may leave an empty file under a good
name. Readers find that out by the checksum and read the object again, which costs less than
waiting for the disk at each of thousands of files.

Of a Parquet file with one flipped bit, a third of the time another value is read. So the last of
its key-value metadata is the SHA-256 of all its bytes, taken with the checksum still blank.
"""

import fcntl
import hashlib
import mmap
import os
import platform
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

# As it is spelt in the files of every store and share there is.
_PREFIX = b"workbook-seal:"
_CHECKSUM = re.compile(re.escape(_PREFIX) + rb"[0-9a-f]{64}")

#: Metadata to give last to a file that is to have a checksum.
CHECKSUM_KEY = "seal"
BLANK_CHECKSUM = (_PREFIX + b"0" * 64).decode()


def set_checksum(path: Path) -> None:
    """Fill in the checksum of a Parquet file whose last metadata are the blank one."""
    with path.open("r+b") as stream:
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            start = content.rfind(BLANK_CHECKSUM.encode())
            checksum = _checksum(content, start)
        stream.seek(start)
        stream.write(checksum)


def with_checksum(content: pa.Buffer) -> bytearray:
    """The same of a file that is still in memory: its bytes with the checksum filled in."""
    whole = bytearray(content)
    start = whole.rfind(BLANK_CHECKSUM.encode())
    whole[start : start + len(BLANK_CHECKSUM)] = _checksum(whole, start)
    return whole


def _checksum(content: "bytes | bytearray | mmap.mmap", start: int) -> bytes:
    """The checksum that a file should have, which has one from ``start`` on."""
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:start])
        digest.update(BLANK_CHECKSUM.encode())
        digest.update(view[start + len(BLANK_CHECKSUM) :])
    return _PREFIX + digest.hexdigest().encode()


def read_metadata(content: "bytes | mmap.mmap") -> dict[bytes, bytes] | None:
    """The key-value metadata of a file with a checksum; None where it is not as it was written.

    No byte of a damaged file is interpreted.
    """
    told = _CHECKSUM.match(content, max(content.rfind(_PREFIX), 0))
    if not told or told[0] != _checksum(content, told.start()):
        return None
    try:
        return dict(pq.read_metadata(pa.BufferReader(content)).metadata or {})
    except (OSError, pa.ArrowException):
        return None


def read_metadata_of(path: Path) -> dict[bytes, bytes] | None:
    """The same of a file on disk, however large; None also where there is none."""
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return read_metadata(content)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None


_SUFFIX = ".part"
_TEMPORARY = re.compile(rf".+\.(?P<machine>[0-9a-f]{{8}})-[0-9a-f-]+{_SUFFIX}")
_STALE_AFTER = 24 * 3600  # seconds without a write after which a temporary file is abandoned


@contextmanager
def temporary_file(folder: Path, name: str) -> Iterator[Path]:
    """An empty file in a folder, locked; removed at the end where it is still there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name}.{_machine()}-{uuid4().hex[:8]}{_SUFFIX}"
    descriptor = _create_locked(path)
    try:
        yield path
    finally:
        os.close(descriptor)
        # Where nothing can be removed, nothing can be written either, and that is said.
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _create_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o666)
        with suppress(OSError):  # some network file systems have no locks: a day's age decides
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another run took it for a leftover before it was locked


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a file or folder for as long as this process lives, or OSError where another does."""
    # A lock that goes over the network wants a file that can be written; a folder cannot be.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(paths: Iterable[str]) -> None:
    """Remove temporary files that nobody writes: this machine's, and any that are a day old."""
    for path in map(Path, paths):
        named = _TEMPORARY.fullmatch(path.name)
        with suppress(OSError):
            if named and time.time() - path.stat().st_mtime > _STALE_AFTER:
                path.unlink()
            elif named and named["machine"] == _machine():
                with lock(path):
                    path.unlink()


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def describe_error(error: OSError) -> str:
    """Why something could not be read or written, in the system's words."""
    number = error.errno
    if number is None and "[errno " in str(error):  # as pyarrow has it
        number = int(str(error).rpartition("[errno ")[2].partition("]")[0])
    return os.strerror(number) if number else str(error)
