"""One file over HTTP onto the disk."""

import gzip
import zlib
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from analysis.sources.archive_files import Passing
from analysis.sources.web import Server, retry, too_long

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


def download(url: str, target: Path, limits: Limits) -> Download | None:
    """Fetch a file; None where the server has no such file.

    What comes packed with gzip, by whatever name, is unpacked.

    Raises:
        CannotRead: it cannot be had, or is larger or slower than the limits allow.
    """
    server = Server("fetches reference data", "gzip")
    late = f"it did not arrive within {limits.seconds:g} seconds"
    deadline = server.deadline(limits.seconds, late)
    reply, sent = retry(server.read, url, deadline, limits.size, (200, 404, 410))
    if reply.status != 200:
        return None
    is_packed = sent.startswith(_GZIP_MAGIC)
    target.write_bytes(_unpack(sent, limits.size) if is_packed else sent)
    etag, modified = (reply.headers.get(name, "")[:200] for name in ("ETag", "Last-Modified"))
    return Download(url, etag, modified, len(sent), sha256(sent).hexdigest())


def _unpack(packed: bytes, limit: int) -> bytes:
    """httpx is not asked to unpack: it would do so without bounds, and take a cut file for whole.

    Raises:
        CannotRead: it is cut, or holds more than ``limit`` bytes.
    """
    try:
        with gzip.GzipFile(fileobj=BytesIO(packed)) as stream:
            content = stream.read(limit + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Passing("what arrived is a cut or broken gzip file") from None
    if len(content) > limit:
        raise too_long(limit)
    return content
