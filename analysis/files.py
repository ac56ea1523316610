"""The checksum of a file, and a lock that one process holds at a time."""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds a lock, and hold it until the block ends.

    If the file system has no locks, nobody waits.

    Args:
        path: a file for the lock alone, which is made with its folder, and stays.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
