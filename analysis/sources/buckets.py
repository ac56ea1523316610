"""An archive in a public bucket of an S3 server, listed and read without credentials.

What a bucket says and sends is taken for hostile. So it is asked over ``web``, which bounds both,
and not through the library that keeps a store (``objectstore``): that one takes a web page for an
empty listing, and goes where a redirect leads (decision 0009).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote, unquote_plus, urlencode
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from analysis.errors import SourceError
from analysis.sources.files import (
    OBJECTS_PER_HOUR,
    ArchiveObject,
    CannotRead,
    Passing,
    limit_of,
    refuse_large,
    source_id,
)
from analysis.sources.object_streams import ObjectStream, strip_etag
from analysis.sources.web import Deadline, Server, retry

_PAGE_MARKS = 200_000  # of elements and attributes; 1000 objects have some 20,000
_YEAR = 24 * 366  # hours for which a bucket of no known period may hold objects
_LONGEST_KEY = 1024  # S3 allows no longer one
_LONGEST_TOKEN = 4096
_ETAG = re.compile(r"[!#-~]{0,200}", re.ASCII)


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

    def open(self, item: ArchiveObject) -> ObjectStream:
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
        with closing(self._server.open(url, deadline)) as reply:
            xml = b"".join(reply.blocks(self._server.limits.page, deadline))
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
