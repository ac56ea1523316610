"""An S3 bucket in the archive's key layout, read without credentials.

It is listed with ListObjectsV2 rather than through ``pyarrow.fs``, whose listing has no ETag, and
an object is known by its ETag.

A folder in the archive's key layout.

The bytes of one object of a bucket, in order; a broken connection is resumed where it broke.

A folder or an S3 prefix that can be written: where a store lives."""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import SplitResult, parse_qs, quote, unquote_plus, urlencode, urlsplit
from xml.etree.ElementTree import Element, ParseError

import httpx
import pyarrow as pa
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pyarrow import fs

from analysis.errors import ParameterError, SourceError
from analysis.sources.files import (
    ArchiveObject,
    CannotRead,
    Changed,
    Damaged,
    Passing,
    Stream,
    source_id,
)
from analysis.sources.web import Deadline, Reply, Server, patiently


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


_DAMAGED = (
    "its content is not what its ETag says; if that is said of every object, this server's ETags "
    "are no MD5: fetch its files into a folder and give that as SOURCE"
)
_PIECE = 1 << 16
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Download:
    """An object as it is received.

    It ends when there are as many bytes as were listed and they are what the ETag says. Each 64 KB
    may take six attempts and two minutes, so that it ends in any case.
    """

    def __init__(self, server: Server, url: str, item: ArchiveObject) -> None:
        self._server = server
        self._url = url
        self._item = item
        self._md5 = item.etag if _MD5.fullmatch(item.etag) else ""
        self._hash = hashlib.md5(usedforsecurity=False)
        self._offset = 0
        self._reply: Reply | None = None

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, about 64 KB whatever ``size``; empty at the end."""
        parts: list[bytes] = []
        if self._offset < self._item.size:
            goal = min(self._offset + _PIECE, self._item.size)
            patiently(self._receive, parts, goal, self._server.deadline())
            for part in parts:
                self._hash.update(part)
        if self._offset == self._item.size:
            self.close()
            if self._md5 not in ("", self._hash.hexdigest()):
                raise Damaged(_DAMAGED)
        return b"".join(parts)

    def _receive(self, parts: list[bytes], goal: int, deadline: Deadline) -> None:
        """Add what comes until ``goal``; what has come before a trouble stays."""
        try:
            reply = self._reply or self._opened(deadline)
            while self._offset < goal:
                block = reply.next(deadline)
                if not block:
                    raise Passing("it is not as long as was listed")
                if self._offset + len(block) > self._item.size:
                    raise CannotRead("it is longer than was listed")
                parts.append(block)
                self._offset += len(block)
            if goal == self._item.size:
                reply.next(deadline)  # the connection is free when the end has been seen
        except CannotRead:
            self.close()
            if self._offset < goal:
                raise

    def _opened(self, deadline: Deadline) -> Reply:
        """Ask for what is still to come; what is no part of the object as listed is refused."""
        offset, etag = self._offset, self._item.etag
        asked = {"Range": f"bytes={offset}-"} if offset else {}
        if etag:
            asked["If-Match"] = f'"{etag}"'
        reply = self._reply = self._server.open(self._url, deadline, asked)
        if bare_etag(reply.headers.get("ETag", "")) not in ("", etag) and etag:
            raise Changed("changed while it was read")
        if offset:
            part = reply.headers.get("Content-Range", f"bytes {offset}-")
            if reply.status != 206 or not part.startswith(f"bytes {offset}-"):
                raise CannotRead("the server cannot resume")
        length = reply.headers.get("Content-Length", "")
        if length.isdecimal() and offset + int(length) != self._item.size:
            raise Passing("it is not as long as was listed")
        # What is encrypted with a key of a KMS has an ETag that only looks like an MD5.
        if reply.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms"):
            self._md5 = ""
        return reply

    def close(self) -> None:
        if self._reply is not None:
            self._reply.close()
            self._reply = None


def bare_etag(text: str) -> str:
    """An ETag without its quotes."""
    return text.removeprefix("W/").strip('"')


_ACCEPTED = "a folder or s3://bucket/prefix"
_SECRETS = (
    f"{_ACCEPTED}; keys do not belong into an address: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
    "in the environment, or ~/.aws, are used"
)
_BLOCK = 16 << 20
#: Requests under way at once: as many as pyarrow keeps connections for.
CONNECTIONS = 24

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Storage:
    """Files under a root; paths are relative to it, with slashes.

    An ``s3://bucket/prefix`` takes ``region``, ``scheme`` and ``endpoint_override`` as options,
    and credentials as AWS's own tools do. ``s3://anonymous@bucket`` sends none.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.is_local = "://" not in uri
        self._opened: tuple[fs.FileSystem, str] | None = None
        if not self.is_local:
            _refuse_secrets(uri)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}

    def _place(self) -> tuple[fs.FileSystem, str]:
        if self._opened is None:
            try:
                if self.is_local:
                    self._opened = fs.LocalFileSystem(), self.uri
                else:
                    self._opened = _bucket(self.uri)
            except (pa.ArrowException, ValueError, OSError):
                raise ParameterError("STORE", self.uri, _ACCEPTED) from None
        return self._opened

    def path(self, name: str) -> str:
        """The path of a file in the file system; for a folder, one that anybody can open."""
        return f"{self._place()[1].rstrip('/') or '.'}/{name}"

    def read(self, name: str) -> bytes:
        """The bytes of a file, or FileNotFoundError."""
        with self._place()[0].open_input_stream(self.path(name), compression=None) as stream:
            content: bytes = stream.read()
            return content

    def open_input(self, name: str) -> pa.NativeFile:
        """A file to be read at any place."""
        return self._place()[0].open_input_file(self.path(name))

    def put(self, local: str, name: str) -> None:
        """Send a local file, which appears when it is whole."""
        # In one call, which nothing in Python interrupts: Arrow completes the upload of a stream
        # that is merely dropped, and what had been written so far would appear.
        here, there = fs.LocalFileSystem(), self._place()[0]
        fs.copy_files(local, self.path(name), here, there, use_threads=False)

    def fetch(self, name: str, local: str) -> None:
        """Bring a file into a local one, or FileNotFoundError."""
        opened = self._place()[0].open_input_file(self.path(name))
        with opened as source, Path(local).open("wb") as file:
            while block := source.read(_BLOCK):  # on S3, a request each
                file.write(block)

    def files(self, name: str) -> list[str]:
        """Paths of the files below a folder, relative to it, sorted."""
        start = len(self.path(name)) + 1
        infos = self._list(name, recursive=True)
        return sorted(i.path[start:] for i in infos if i.type == fs.FileType.File)

    def stamps(self, name: str) -> dict[str, tuple[int, int]]:
        """Bytes and time of change of each file below a folder, by path relative to it."""
        start = len(self.path(name)) + 1
        infos = self._list(name, recursive=True)
        files = (info for info in infos if info.type == fs.FileType.File)
        return {info.path[start:]: (info.size, info.mtime_ns or 0) for info in files}

    def _list(self, name: str, recursive: bool) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self.path(name), allow_not_found=True)
        selector.recursive = recursive
        try:
            infos: list[fs.FileInfo] = self._place()[0].get_file_info(selector)
        except OSError as error:
            raise SourceError(f"the store {self.uri} cannot be listed: {error}") from None
        return infos

    def remove_older(self, folder: str, start: str, kept: str, seconds: float) -> None:
        """Remove the files of a folder that start so and are so old, but for one that is kept."""
        latest = time.time() - seconds
        for name, (_, changed) in self.stamps(folder).items():
            is_old = changed / 1e9 < latest
            if name.startswith(start) and f"{folder}/{name}" != kept and is_old:
                with suppress(FileNotFoundError):
                    self._place()[0].delete_file(self.path(f"{folder}/{name}"))

    def each(self, call: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """The results of a call that reads or writes here, in order; several at once on S3."""
        if self.is_local:
            yield from map(call, items)
        else:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                yield from pool.map(call, items)


def _refuse_secrets(uri: str) -> None:
    user = urlsplit(uri).netloc.rpartition("@")[0]
    if user not in ("", "anonymous"):
        raise ParameterError("STORE", uri.replace(user, "…"), _SECRETS)


def _bucket(uri: str) -> tuple[fs.FileSystem, str]:
    if "endpoint_override" in uri:
        # Servers other than AWS's refuse the checksums that its client appends to each body.
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    # One request for a small file instead of three.
    options = f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"
    place: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(options)
    return place


_LONGEST_PAGE = 16 << 20  # bytes; a page of 1000 keys has less than four million
_MOST_PAGES = 100_000
_ETAG = re.compile(r"[!#-~]{0,200}", re.ASCII)
_OPTIONS = {"region", "endpoint_override", "scheme"}


@dataclass(frozen=True)
class Address:
    """Where a bucket is: its own URL, its name, and the prefix that all keys share."""

    url: str
    bucket: str
    prefix: str


def parse_address(uri: str, parameter: str, accepted: str) -> Address:
    """Read ``s3://bucket/prefix?…`` or ``http(s)://host/bucket/prefix``.

    Raises:
        ParameterError: no bucket, no host, or an option that is not known.
    """
    try:
        parts = urlsplit(uri)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.scheme == "s3":
            bucket, path = parts.netloc.rpartition("@")[2], parts.path
        else:
            bucket, _, path = parts.path.lstrip("/").partition("/")
        url = _bucket_url(parts, options, bucket)
        is_known = set(options) <= _OPTIONS and parts.scheme in ("s3", "http", "https")
        if not is_known or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", bucket):
            raise ValueError
        if not httpx.URL(url).host:
            raise ValueError
    except (ValueError, httpx.InvalidURL):
        options_are = f"options are region, endpoint_override, scheme; {accepted}"
        raise ParameterError(parameter, uri, options_are) from None
    prefix = path.strip("/")
    return Address(url, bucket, f"{prefix}/" if prefix else "")


def _bucket_url(parts: SplitResult, options: dict[str, str], bucket: str) -> str:
    if parts.scheme != "s3":
        return f"{parts.scheme}://{parts.netloc}/{bucket}"
    endpoint = options.get("endpoint_override", "")
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        return f"{scheme or options.get('scheme', 'https')}://{host.rstrip('/')}/{bucket}"
    region = options.get("region", "us-east-1")
    return f"https://s3.{region}.amazonaws.com/{bucket}"


@dataclass(frozen=True)
class _Page:
    """One page of a listing; ``token`` leads to the next one, empty at the last."""

    objects: tuple[ArchiveObject, ...]
    token: str


class Bucket:
    """An archive on an S3 server."""

    #: What the objects may be used for, where that is known.
    licence = "see the source"

    def __init__(self, address: Address) -> None:
        self._address = address
        self._server = Server("reads OONI's archive layout")

    def __reduce__(self) -> tuple[object, ...]:
        # A worker elsewhere opens objects; it lists nothing and tells nobody.
        return Bucket, (self._address,)

    @property
    def name(self) -> str:
        return self._address.prefix.rstrip("/").rpartition("/")[2] or self._address.bucket

    @property
    def id(self) -> str:
        return source_id(self.name, f"{self._address.url}/{self._address.prefix}")

    def url(self, item: ArchiveObject) -> str:
        """The address of an object."""
        return f"{self._address.url}/{quote(self._address.prefix + item.key)}"

    def stop(self) -> None:
        """Let requests in other threads end: somebody has given up."""
        self._server.stop()

    def objects(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """List the bucket.

        Raises:
            SourceError: it cannot be listed to its end.
        """
        return self.listed("", wanted)

    def listed(self, prefix: str, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """The objects below a prefix whose key is wanted, sorted by key.

        Raises:
            SourceError: they cannot be listed to their end.
        """
        found = {
            item.key: item
            for page in self._pages(prefix)
            for item in page.objects
            if item.key.startswith(prefix) and wanted(item.key)
        }
        return sorted(found.values())

    def renewed(self, item: ArchiveObject) -> ArchiveObject | None:
        """An object as it is listed now; None where it is no longer.

        Raises:
            CannotRead: it cannot be listed.
        """
        page = self._page(item.key)
        return next((found for found in page.objects if found.key == item.key), None)

    def answers(self) -> bool:
        """Whether the server lists anything, when it does not give an object."""
        try:
            self._page("")
        except CannotRead:
            return False
        return True

    def open(self, item: ArchiveObject) -> Download:
        return Download(self._server, self.url(item), item)

    def _pages(self, prefix: str) -> Iterator[_Page]:
        token, seen = "", set[str]()
        try:
            for _ in range(_MOST_PAGES):
                page = self._page(prefix, token)
                yield page
                token = page.token
                if not token:
                    return
                marks = {token, page.objects[0].key if page.objects else ""}
                if marks & seen:
                    raise CannotRead("its listing repeats a page")
                seen |= marks
            raise CannotRead("its listing does not end")
        except CannotRead as error:
            place = f" below {prefix}" if prefix else ""
            name = self._address.bucket
            raise SourceError(f"the bucket {name} cannot be listed{place}: {error}") from None

    def _page(self, prefix: str, token: str = "") -> _Page:
        asked = {"list-type": "2", "prefix": self._address.prefix + prefix, "encoding-type": "url"}
        if token:
            asked["continuation-token"] = token
        url = f"{self._address.url}?{urlencode(asked)}"
        return patiently(self._listed, url, self._server.deadline())

    def _listed(self, url: str, deadline: Deadline) -> _Page:
        with closing(self._server.open(url, deadline)) as reply:
            xml = b"".join(reply.blocks(_LONGEST_PAGE, deadline))
        return _read_page(xml, self._address.prefix)


def _read_page(xml: bytes, prefix: str) -> _Page:
    """Read one page of a listing; keys outside ``prefix`` are left out.

    Raises:
        Passing: it is cut off.
        CannotRead: it is no listing.
    """
    try:
        root = fromstring(xml, forbid_dtd=True)
    except DefusedXmlException:
        raise CannotRead("its listing holds a DTD") from None
    except ParseError:
        raise Passing("its listing is cut off, or none; a plain web server is no source") from None
    if root.tag.rpartition("}")[2] != "ListBucketResult":
        raise CannotRead(
            "it does not list like an S3 bucket; a plain web server cannot be a source, fetch its "
            "files into a folder"
        )
    decode = unquote_plus if root.findtext("{*}EncodingType") == "url" else str
    items = (_read_item(item, decode) for item in root.iterfind("{*}Contents"))
    token = root.findtext("{*}NextContinuationToken") or ""
    is_last = root.findtext("{*}IsTruncated") != "true"
    if not is_last and not token:
        raise CannotRead("its listing breaks off")
    return _Page(tuple(_below(prefix, items)), "" if is_last else token)


def _read_item(item: Element, decode: Callable[[str], str]) -> ArchiveObject:
    key = decode(item.findtext("{*}Key") or "")
    size = (item.findtext("{*}Size") or "").strip()
    etag = bare_etag((item.findtext("{*}ETag") or "").strip())
    if not (size.isascii() and size.isdecimal() and len(size) < 16 and _ETAG.fullmatch(etag)):
        raise CannotRead(f"its listing gives {key[:200]!r} no size or ETag that can be")
    return ArchiveObject(key, int(size), etag)


def _below(prefix: str, items: Iterator[ArchiveObject]) -> Iterator[ArchiveObject]:
    for item in items:
        if item.key.startswith(prefix):
            yield ArchiveObject(item.key.removeprefix(prefix), item.size, item.etag)
