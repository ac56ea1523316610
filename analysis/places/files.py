"""Folders and S3 buckets behind one small interface, :class:`Source`.

A source is read anonymously and never changed. A bucket is listed with ListObjectsV2 rather than
through ``pyarrow.fs``, whose listing has no ETag, and an object is known by its ETag.

URIs::

    archive/                                          a folder
    s3://bucket/prefix?region=eu-central-1            a public bucket of AWS
    s3://bucket/prefix?endpoint_override=host:port    one of another S3 server (scheme=http|https)
    http://host:port/bucket/prefix                    the same, as a URL
"""

import hashlib
import os
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar
from urllib.parse import SplitResult, parse_qs, quote, unquote_plus, urlsplit

import httpx

from analysis.errors import ParameterError, SourceError

_ACCEPTED = "a folder, s3://bucket/prefix or http(s)://host/bucket/prefix of an S3 server"
_USER_AGENT = "censorship-report-workbook (reads OONI's archive layout)"
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)
_ATTEMPTS = 4
_PAUSE = 0.3  # seconds before the second attempt; doubles
_BLOCK = 1 << 18

_Reply = TypeVar("_Reply")


@dataclass(frozen=True, order=True)
class ArchiveObject:
    """One object of an archive: its key below the source, bytes, and ETag or modification time."""

    key: str
    size: int
    etag: str


class CannotRead(Exception):
    """One object cannot be read; ``str(error)`` says why, without paths or addresses."""


class Unreachable(CannotRead):
    """The server did not answer, which says nothing about the object."""


class _Busy(CannotRead):
    """The server failed at this object; worth another attempt."""


class Stream(Protocol):
    """Bytes in order."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; empty at the end. Raises CannotRead or OSError."""

    def close(self) -> None:
        """Let go of the file or connection."""


class Source(Protocol):
    """An archive."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def id(self) -> str:
        """A name for this archive, safe as a folder name, the same each time."""

    def objects(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """The objects whose key is wanted, sorted by key."""

    def open(self, item: ArchiveObject) -> Stream:
        """The bytes of an object, raising CannotRead now or while they are read."""


def source_id(name: str, location: str) -> str:
    """A readable, collision-free folder name for a source."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "source"
    return f"{slug}-{hashlib.sha256(location.encode()).hexdigest()[:12]}"


def open_source(uri: str) -> Source:
    """Open an archive by folder, URL or bucket.

    Raises:
        ParameterError: ``uri`` names no place that can be an archive.
    """
    if not uri:
        raise ParameterError("SOURCE", uri, _ACCEPTED)
    if uri == "ooni":
        raise ParameterError(
            "SOURCE", uri, f"OONI's live archive and API are not built in yet; give {_ACCEPTED}"
        )
    if "://" not in uri:
        return Folder(Path(uri))
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Folder(Path(parts.path))
    if parts.scheme in ("s3", "http", "https"):
        return Bucket.parse(uri, parts)
    raise ParameterError("SOURCE", uri, _ACCEPTED)


class Folder:
    """An archive on disk."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise ParameterError("SOURCE", path, f"there is no such folder; give {_ACCEPTED}")
        self._path = path

    @property
    def name(self) -> str:
        return self._path.resolve().name

    @property
    def id(self) -> str:
        return source_id(self.name, str(self._path.resolve()))

    def objects(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """Walk the folder.

        Raises:
            SourceError: a folder below it cannot be listed.
        """
        found = []
        for folder, _, names in os.walk(self._path, onerror=_cannot_list):
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self._path).as_posix()
                if wanted(key):
                    found.append(self._described(path, key))
        return sorted(found)

    def _described(self, path: Path, key: str) -> ArchiveObject:
        try:
            status = path.stat()
        except OSError:
            return ArchiveObject(key, 0, "")  # reading it will say why it cannot be read
        return ArchiveObject(key, status.st_size, str(status.st_mtime_ns))

    def open(self, item: ArchiveObject) -> Stream:
        try:
            return (self._path / item.key).open("rb", buffering=0)
        except OSError as error:
            raise CannotRead(_reason(error)) from None


def _cannot_list(error: OSError) -> NoReturn:
    raise SourceError(f"the folder {error.filename} cannot be listed: {_reason(error)}")


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "no longer there"
    return error.strerror or type(error).__name__


class Bucket:
    """A public S3 bucket, read without credentials."""

    def __init__(self, base_url: str, bucket: str, prefix: str) -> None:
        self._base_url = base_url
        self._bucket = bucket
        self._prefix = prefix
        self._connection: httpx.Client | None = None

    @classmethod
    def parse(cls, uri: str, parts: SplitResult) -> "Bucket":
        """Read ``s3://bucket/prefix?…`` or ``http(s)://host/bucket/prefix``.

        Raises:
            ParameterError: no bucket, or an option that is not known.
        """
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = set(options) - {"region", "endpoint_override", "scheme"}
        if parts.scheme == "s3":
            bucket, prefix = parts.netloc.rpartition("@")[2], parts.path
        else:
            bucket, _, prefix = parts.path.lstrip("/").partition("/")
        if unknown or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", bucket):
            accepted = f"options are region, endpoint_override, scheme; {_ACCEPTED}"
            raise ParameterError("SOURCE", uri, accepted)
        prefix = prefix.strip("/")
        return cls(_base_url(parts, options, bucket), bucket, f"{prefix}/" if prefix else "")

    @property
    def name(self) -> str:
        return self._prefix.rstrip("/").rpartition("/")[2] or self._bucket

    @property
    def id(self) -> str:
        return source_id(self.name, f"{self._base_url}/{self._prefix}")

    @property
    def _client(self) -> httpx.Client:
        if self._connection is None:
            # Proxies and certificates come from the environment as for any other tool.
            headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
            self._connection = httpx.Client(timeout=_TIMEOUT, headers=headers)
        return self._connection

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_connection": None}

    def objects(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """List the bucket page by page.

        Raises:
            SourceError: the bucket cannot be listed.
        """
        found = []
        token: str | None = None
        while True:
            page = self._page(token)
            decode = unquote_plus if page.findtext("EncodingType") == "url" else str
            for item in page.iter("Contents"):
                key = decode(item.findtext("Key") or "").removeprefix(self._prefix)
                if wanted(key):
                    etag = (item.findtext("ETag") or "").strip('"')
                    found.append(ArchiveObject(key, int(item.findtext("Size") or 0), etag))
            token = page.findtext("NextContinuationToken")
            if page.findtext("IsTruncated") != "true" or not token:
                return sorted(found)

    def _page(self, token: str | None) -> ElementTree.Element:
        parameters = {"list-type": "2", "encoding-type": "url", "prefix": self._prefix}
        if token:
            parameters["continuation-token"] = token
        try:
            get = self._client.get
            reply = _patiently(lambda: _checked(get(self._base_url, params=parameters)))
            root = _parsed(reply.content)
        except CannotRead as error:
            raise SourceError(f"the bucket {self._bucket} cannot be listed: {error}") from None
        except ElementTree.ParseError:
            root = ElementTree.Element("")
        if root.tag != "ListBucketResult":
            raise SourceError(
                f"{self._base_url} does not list like an S3 bucket; a plain web server cannot be "
                "a source, fetch its files into a folder"
            )
        return root

    def open(self, item: ArchiveObject) -> Stream:
        return _Download(lambda offset: self._stream(item, offset))

    def _stream(self, item: ArchiveObject, offset: int) -> httpx.Response:
        url = f"{self._base_url}/{quote(self._prefix + item.key)}"
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if item.etag:
            headers["If-Match"] = f'"{item.etag}"'
        request = self._client.build_request("GET", url, headers=headers)
        reply = self._client.send(request, stream=True)
        try:
            _checked(reply)
            if offset and reply.status_code != 206:
                raise CannotRead("the server cannot resume")
        except CannotRead:
            reply.close()
            raise
        return reply


def _checked(reply: httpx.Response) -> httpx.Response:
    status = reply.status_code
    if status in (401, 403):
        raise CannotRead("permission denied")
    if status == 404:
        raise CannotRead("no longer there")
    if status == 412:
        raise CannotRead("changed while it was read")
    if status == 429:
        raise Unreachable("the server asks for fewer requests")
    if status >= 500:
        raise _Busy(f"the server answered {status}")
    if status not in (200, 206):
        raise CannotRead(f"the server answered {status}")
    return reply


def _base_url(parts: SplitResult, options: dict[str, str], bucket: str) -> str:
    if parts.scheme != "s3":
        return f"{parts.scheme}://{parts.netloc}/{bucket}"
    endpoint = options.get("endpoint_override", "")
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        return f"{scheme or options.get('scheme', 'https')}://{host.rstrip('/')}/{bucket}"
    region = options.get("region", "us-east-1")
    return f"https://s3.{region}.amazonaws.com/{bucket}"


def _parsed(xml: bytes) -> ElementTree.Element:
    if b"<!DOCTYPE" in xml:
        raise CannotRead("the listing holds a DTD")
    return ElementTree.fromstring(re.sub(rb"\sxmlns=\"[^\"]*\"", b"", xml, count=1))


def _patiently(call: Callable[[], _Reply]) -> _Reply:
    """Call until the server answers, a few times.

    Raises:
        CannotRead: it never did.
    """
    trouble: CannotRead = Unreachable("never tried")
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE * 2**attempt)
        try:
            return call()
        except (Unreachable, _Busy) as error:
            trouble = error
        except httpx.TransportError as error:
            trouble = _trouble(error)
    raise trouble


def _trouble(error: httpx.TransportError) -> CannotRead:
    if isinstance(error, httpx.TimeoutException):
        return Unreachable("the server did not answer in time")
    if isinstance(error, httpx.ConnectError):
        return Unreachable("no connection to the server")
    return CannotRead("the connection broke each time")


class _Download:
    """The bytes of one object, in order; a broken connection is resumed where it broke."""

    def __init__(self, open_at: Callable[[int], httpx.Response]) -> None:
        self._open_at = open_at
        self._offset = 0
        self._reply: httpx.Response | None = None
        self._blocks: Iterator[bytes] = iter(())

    def read(self, size: int = -1) -> bytes:
        """The next bytes, up to a block whatever ``size``; empty at the end."""
        return _patiently(self._next_block)

    def _next_block(self) -> bytes:
        try:
            if self._reply is None:
                self._reply = self._open_at(self._offset)
                self._blocks = self._reply.iter_raw(_BLOCK)
            block = next(self._blocks, b"")
        except (httpx.TransportError, CannotRead):
            self.close()
            raise
        self._offset += len(block)
        return block

    def close(self) -> None:
        if self._reply is not None:
            self._reply.close()
            self._reply = None
