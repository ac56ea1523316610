"""One file over HTTP onto the disk."""

import hashlib
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from analysis.sources.web import Deadline, Server, retry, unpack

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Limits:
    """What a file may cost.

    Attributes:
        size: bytes, as the server sends them and unpacked.
        seconds: for all attempts together.
    """

    size: int
    seconds: float


@dataclass(frozen=True)
class Download:
    """What was fetched: ``size`` and ``sha256`` are of the bytes that the server sent."""

    url: str
    etag: str
    last_modified: str
    size: int
    sha256: str


@cache
def _server() -> Server:
    """One for all files: each new one reads all certificates again."""
    return Server("fetches reference data", "gzip")


def download(url: str, target: Path, limits: Limits) -> Download | None:
    """Fetch a file; None where the server has no such file.

    What comes packed with gzip, by whatever name, is unpacked.

    Raises:
        CannotRead: it cannot be had, or is larger or slower than the limits allow.
    """
    late = f"it did not arrive within {limits.seconds:g} seconds"
    deadline = _server().deadline(limits.seconds, late)
    received = retry(_receive, url, target, limits.size, deadline)
    if received is None:
        return None
    with target.open("rb") as stream:
        is_packed = stream.read(2) == _GZIP_MAGIC
    if is_packed:
        _unpack(target, limits.size)
    return received


def _receive(url: str, target: Path, limit: int, deadline: Deadline) -> Download | None:
    with closing(_server().open(url, deadline, accepts=(200, 404, 410))) as reply:
        if reply.status != 200:
            return None
        size, digest = 0, hashlib.sha256()
        with target.open("wb") as stream:
            for block in reply.blocks(limit, deadline):
                size += len(block)
                digest.update(block)
                stream.write(block)
    etag, modified = (reply.headers.get(name, "") for name in ("ETag", "Last-Modified"))
    return Download(url, etag[:200], modified[:200], size, digest.hexdigest())


def _unpack(path: Path, limit: int) -> None:
    """Replace a gzip file by its content."""
    packed = path.with_name(f"{path.name}.gz")
    path.rename(packed)
    try:
        with packed.open("rb") as source, path.open("wb") as stream:
            stream.writelines(unpack(source, limit))
    finally:
        packed.unlink()
