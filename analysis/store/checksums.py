"""Parquet files that tell whether they are as they were written.

Nothing is flushed to the disk before a file gets its name: a power cut may leave an empty file
under a good one. Readers find that out by the checksum and read the object again, which costs less
than waiting for the disk at each of thousands of files.

Of a Parquet file with one flipped bit, a third of the time another value is read. So the last of
its key-value metadata is the SHA-256 of all its bytes, taken with the checksum still blank.
"""

import hashlib
import re
from pathlib import Path

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
    content = path.read_bytes()
    start = content.rfind(BLANK_CHECKSUM.encode())
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(_checksum(content, start))


def _checksum(content: bytes, start: int) -> bytes:
    """The checksum that a file should have, which has one from ``start`` on."""
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:start])
        digest.update(BLANK_CHECKSUM.encode())
        digest.update(view[start + len(BLANK_CHECKSUM) :])
    return _PREFIX + digest.hexdigest().encode()


def digest_file(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_metadata(content: bytes) -> dict[bytes, bytes] | None:
    """The key-value metadata of a file; None where it is not as it was written.

    No byte of a damaged file is interpreted.
    """
    told = _CHECKSUM.match(content, max(content.rfind(_PREFIX), 0))
    if not told or told[0] != _checksum(content, told.start()):
        return None
    try:
        return dict(pq.read_metadata(pa.BufferReader(content)).metadata or {})
    except (OSError, pa.ArrowException):
        return None
