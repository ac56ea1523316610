"""Parquet files that tell whether they are as they were written.

Parquet has no digest of its own: of a file with one flipped bit, a third of the time another value
is read. A sealed file holds, as the last of its key-value metadata, the SHA-256 of all its bytes,
taken with the seal still blank.
"""

import hashlib
import mmap
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

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
