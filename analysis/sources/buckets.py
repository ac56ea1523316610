"""An archive in a public bucket of an S3 server, listed and read without credentials.

What a bucket says and sends is taken for hostile. So it is asked over ``web``, which bounds both,
and not through the library that keeps a store (``objectstore``): that one takes a web page for an
empty listing, and goes where a redirect leads (decision 0009).
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote, unquote_plus, urlencode
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from analysis.errors import SourceError
from analysis.sources.archive_files import (
    OBJECTS_PER_HOUR,
    ArchiveObject,
    CannotRead,
    Changed,
    Damaged,
    Passing,
    limit_of,
    refuse_large,
    source_id,
)
from analysis.sources.web import Deadline, Reply, Server, retry

_PAGE_MARKS = 200_000  # of elements and attributes; 1000 objects have some 20,000
_YEAR = 24 * 366  # hours for which a bucket of no known period may hold objects
_LONGEST_KEY = 1024  # S3 allows no longer one
_LONGEST_TOKEN = 4096
_ETAG = re.compile(r"[!#-~]{0,200}", re.ASCII)
_DAMAGED = (
    "its content is not what its ETag says; if that is said of every object, this server's ETags "
    "are no MD5: fetch its files into a folder and give that as SOURCE"
)
_PIECE = 1 << 16
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True)
class Address:
    """Where a bucket is.

    Attributes:
        url: that of the bucket.
        bucket: its name.
        prefix: what all keys begin with; empty, or ends in a slash.
        region: of AWS; empty where nothing is said.
    """

    url: str
    bucket: str
    prefix: str
    region: str = ""


#: Objects of one page of a listing, and what leads to the next one; empty at the last.
_Page: TypeAlias = tuple[list[ArchiveObject], str]


class Bucket:
    """An archive on an S3 server."""

    #: What the objects may be used for, where that is known.
    licence = "see the source"

    def __init__(self, address: Address) -> None:
        self._address = address
        self._server = Server("reads OONI's archive layout")

    def __reduce__(self) -> tuple[object, ...]:
        # A worker opens objects; it lists nothing and tells nobody.
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
        return self.list_below("", wanted, _YEAR)

    def renewed(self, item: ArchiveObject) -> ArchiveObject | None:
        """An object as it is listed now; None where it is no longer.

        Raises:
            CannotRead: it cannot be listed.
        """
        items, _ = self._list_page(item.key)
        return next((other for other in items if other.key == item.key), None)

    def answers(self) -> bool:
        """Whether the server lists anything, when it does not give an object."""
        try:
            self._list_page("")
        except CannotRead:
            return False
        return True

    def open(self, item: ArchiveObject) -> "ObjectStream":
        refuse_large(item.size)
        return ObjectStream(self._server, self.url(item), item)

    def list_below(
        self, prefix: str, wanted: Callable[[str], bool], hours: int
    ) -> list[ArchiveObject]:
        """The objects below a prefix whose key is wanted, sorted; they are of so many hours.

        Raises:
            SourceError: they are too many, or cannot be listed to their end.
        """
        per_hour = limit_of("OBJECTS_PER_HOUR", OBJECTS_PER_HOUR)
        found: dict[str, ArchiveObject] = {}
        token, seen = "", set[int]()  # digests: a token may be long
        pages = 100 + per_hour * hours // 100  # of 1000 names, nine in ten of other countries
        try:
            for _ in range(pages):
                items, token = self._list_page(prefix, token)
                ours = (i for i in items if i.key.startswith(prefix) and wanted(i.key))
                found |= {item.key: item for item in ours}
                if len(found) > per_hour * hours:
                    raise CannotRead(
                        f"it lists more than the OBJECTS_PER_HOUR={per_hour} that are taken"
                    )
                if not token:
                    return sorted(found.values())
                marks = {hash(token), hash(items[0].key if items else "")}
                if marks & seen:
                    raise CannotRead("its listing repeats a page")
                seen |= marks
            most = f"{pages} pages that OBJECTS_PER_HOUR={per_hour} allows"
            raise CannotRead(f"its listing does not end within the {most}")
        except CannotRead as error:
            below = f" below {prefix}" if prefix else ""
            name = self._address.bucket
            why = f"the bucket {name} cannot be listed{below}: {error}"
            raise SourceError(why, resumes=error.may_pass) from None

    def _list_page(self, prefix: str, token: str = "") -> _Page:
        asked = {"list-type": "2", "prefix": self._address.prefix + prefix, "encoding-type": "url"}
        if token:
            asked["continuation-token"] = token
        url = f"{self._address.url}?{urlencode(asked)}"
        return retry(self._fetch_page, url, self._server.deadline())

    def _fetch_page(self, url: str, deadline: Deadline) -> _Page:
        _, xml = self._server.read(url, deadline, self._server.limits.page)
        return _read_page(xml, self._address.prefix)


def _read_page(xml: bytes, prefix: str) -> _Page:
    """Read one page of a listing; keys outside ``prefix`` are left out.

    Raises:
        Passing: it is cut off.
        CannotRead: it is no listing.
    """
    if xml.count(b"<") + xml.count(b"=") > _PAGE_MARKS:  # each takes a hundred bytes of memory
        raise CannotRead("a page of its listing holds more than 1000 objects")
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
    token = root.findtext("{*}NextContinuationToken") or ""
    is_last = root.findtext("{*}IsTruncated") != "true"
    if not is_last and not 0 < len(token) <= _LONGEST_TOKEN:
        raise CannotRead("its listing breaks off")
    return list(_read_items(root, prefix)), "" if is_last else token


def _read_items(root: Element, prefix: str) -> Iterator[ArchiveObject]:
    decode = unquote_plus if root.findtext("{*}EncodingType") == "url" else str
    for item in root.iterfind("{*}Contents"):
        key = decode(item.findtext("{*}Key") or "")
        size = (item.findtext("{*}Size") or "").strip()
        etag = strip_etag((item.findtext("{*}ETag") or "").strip())
        if not (
            size.isascii() and size.isdecimal() and len(size) < 16 and _ETAG.fullmatch(etag)
            and len(key.encode("utf-8", "replace")) <= _LONGEST_KEY
        ):  # fmt: skip
            raise CannotRead(f"its listing gives {key[:200]!r} no key, size or ETag that can be")
        if key.startswith(prefix):
            yield ArchiveObject(key.removeprefix(prefix), int(size), etag)


class ObjectStream:
    """The bytes of an object in order, as it is received; resumed where a connection broke.

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
            retry(self._receive, parts, goal, self._server.deadline())
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
            reply = self._reply or self._ask(deadline)
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

    def _ask(self, deadline: Deadline) -> Reply:
        """Ask for what is still to come; what is no part of the object as listed is refused."""
        offset, etag = self._offset, self._item.etag
        asked = {"Range": f"bytes={offset}-"} if offset else {}
        if etag:
            asked["If-Match"] = f'"{etag}"'
        reply = self._reply = self._server.open(self._url, deadline, asked)
        if strip_etag(reply.headers.get("ETag", "")) not in ("", etag) and etag:
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


def strip_etag(text: str) -> str:
    """An ETag without its quotes."""
    return text.removeprefix("W/").strip('"')
