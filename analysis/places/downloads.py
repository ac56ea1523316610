"""One file over HTTP onto the disk, bounded in bytes and in time, with patience."""

import gzip
import hashlib
import time
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import stamina

_TIMEOUT = httpx.Timeout(30.0, connect=15.0)
_HEADERS = {
    "User-Agent": "censorship-report-workbook (fetches reference data)",
    "Accept-Encoding": "gzip",
}
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 18


class CannotFetch(Exception):
    """A file cannot be had; ``str(error)`` says why, in part of a sentence."""


class NotThere(CannotFetch):
    """The server says that there is no such file."""


class _Passing(CannotFetch):
    """A trouble that may be gone at the next attempt."""


@dataclass(frozen=True)
class Limits:
    """What a file may cost.

    Attributes:
        sent: bytes, as the server sends them.
        unpacked: bytes on the disk.
        seconds: for all attempts together.
    """

    sent: int
    unpacked: int
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
def _client() -> httpx.Client:
    """One client for all: each new one reads all certificates again."""
    return httpx.Client(headers=_HEADERS, timeout=_TIMEOUT)


_patiently = stamina.RetryingCaller(
    attempts=4, timeout=None, wait_initial=0.5, wait_max=8.0, wait_jitter=0.5
).on(_Passing)


def download(url: str, target: Path, limits: Limits) -> Download:
    """Fetch a file; what comes packed with gzip, by whatever name, is unpacked.

    httpx is not asked to unpack: it would do so without bounds, and take a cut stream for whole.

    Raises:
        NotThere: the server has no such file.
        CannotFetch: it cannot be had, or is larger or slower than the limits allow.
    """
    deadline = time.monotonic() + limits.seconds
    received = _patiently(_receive, url, target, limits, deadline)
    with target.open("rb") as stream:
        is_packed = stream.read(2) == _GZIP_MAGIC
    if is_packed:
        _unpack(target, limits.unpacked)
    elif received.size > limits.unpacked:
        raise _too_large(limits.unpacked)
    return received


def _receive(url: str, target: Path, limits: Limits, deadline: float) -> Download:
    try:
        with _client().stream("GET", url) as reply:
            _check(reply.status_code)
            size, sha256 = _write(reply, target, limits, deadline)
            etag, modified = (reply.headers.get(name, "") for name in ("ETag", "Last-Modified"))
            return Download(url, etag[:200], modified[:200], size, sha256)
    except httpx.TimeoutException:
        raise _Passing("the server did not answer in time") from None
    except httpx.ConnectError:
        raise _Passing("no connection to the server") from None
    except httpx.TransportError:
        raise _Passing("the connection broke each time") from None
    except (httpx.InvalidURL, httpx.HTTPError) as error:
        raise CannotFetch(f"{url[:200]!r} cannot be asked for: {error}") from None


def _check(status: int) -> None:
    if status in (404, 410):
        raise NotThere(f"the server has no such file ({status})")
    if status in (408, 425, 429) or status >= 500:
        raise _Passing(f"the server answered {status} each time")
    if status != 200:
        # Redirects are not followed: a file is had from the address that the sidecar names.
        raise CannotFetch(f"the server answered {status}")


def _write(reply: httpx.Response, target: Path, limits: Limits, deadline: float) -> tuple[int, str]:
    """Write the body as it was sent; returns its size and digest."""
    if int(reply.headers.get("Content-Length", 0)) > limits.sent:
        raise _too_large(limits.sent)
    size, digest = 0, hashlib.sha256()
    with target.open("wb") as stream:
        for block in reply.iter_raw():  # as it comes: a block size would wait for more
            size += len(block)
            if size > limits.sent:
                raise _too_large(limits.sent)
            if time.monotonic() > deadline:
                raise CannotFetch(f"it did not arrive within {limits.seconds:g} seconds")
            digest.update(block)
            stream.write(block)
    return size, digest.hexdigest()


def _unpack(path: Path, limit: int) -> None:
    """Replace a gzip file by its content."""
    packed = path.with_name(f"{path.name}.gz")
    path.rename(packed)
    size = 0
    try:
        with gzip.open(packed) as source, path.open("wb") as stream:
            while block := source.read(_BLOCK):
                size += len(block)
                if size > limit:
                    raise _too_large(limit)
                stream.write(block)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise CannotFetch("what arrived is a cut or broken gzip file") from None
    finally:
        packed.unlink()


def _too_large(limit: int) -> CannotFetch:
    return CannotFetch(f"it holds more than {limit / 1e6:g} MB")
