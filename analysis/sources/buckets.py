"""An archive in a public bucket of an S3 server, listed and read without credentials.

A bucket's listings and objects may be hostile. So they are read through ``web``, which limits both,
and not through the library for stores (``objectstore``), which reads a web page as an empty listing
and follows redirects (docs/decisions/0020-the-live-archive.md).

``SOURCE`` may be::

    ooni                                              OONI's own archive
    archive/                                          a folder
    s3://bucket/prefix?region=eu-central-1            a public bucket of AWS
    s3://bucket/prefix?endpoint_override=host:port    one of another S3 server (scheme=http|https)
    http://host:port/bucket/prefix                    the same, as a URL

The environment's ``OONI_ARCHIVE`` names a mirror of OONI's archive, in one of the last three forms.

OONI's archive is listed by the hours of one country, because a listing of the whole would have
millions of keys of other countries. An hour of all tests is one request. The listing of an older
day is kept as a note in the store. It may become incomplete: measurements that OONI could not
process are added to the archive later, under the hour in which they were received
(ooni/backend#1219, ``reuploader/`` and ``write_measurement_to_disk`` of ``fastpath/core.py``). So
the first run more than 30 days after a day's last listing lists it again.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any, TypeAlias
from urllib.parse import parse_qs, quote, unquote_plus, urlencode, urlsplit
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from analysis.errors import RESUMES, ParameterError, SourceError
from analysis.period import Period
from analysis.sources.archive_files import (
    FOLDERS,
    OBJECTS_PER_HOUR,
    OONI,
    ArchiveObject,
    CannotRead,
    Folder,
    Passing,
    holds_country,
    limit_of,
    list_prefixes,
    refuse_large,
    source_id,
)
from analysis.sources.web import CHANGED, Deadline, Reply, Server, at_once, retry

_PAGE_MARKS = 200_000  # elements and attributes of a page; 1000 objects have some 20,000
_YEAR = 24 * 366  # hours of objects that a bucket may have if its period is unknown
_KEY_LENGTH = 1024  # S3's own limit
_TOKEN_LENGTH = 4096
_ETAG = re.compile(r"[!#-~]{0,200}", re.ASCII)
_DAMAGED = (
    "its content is not what its ETag says; if that is said of every object, this server's ETags "
    "are no MD5: fetch its files into a folder and give that as SOURCE"
)
_PIECE = 1 << 16
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True)
class Address:
    """The address of a bucket.

    Attributes:
        url: of the bucket.
        bucket: its name.
        prefix: of all keys; empty, or ends in a slash.
        region: of AWS; empty if not given.
    """

    url: str
    bucket: str
    prefix: str
    region: str = ""


#: The objects of one page of a listing, and the token for the next page (empty at the last).
_Page: TypeAlias = tuple[list[ArchiveObject], str]


class Bucket:
    """An archive on an S3 server."""

    #: The licence of the objects, if known.
    licence = "see the source"

    def __init__(self, address: Address) -> None:
        self._address = address
        self._server = Server("reads OONI's archive layout")

    def __reduce__(self) -> tuple[object, ...]:
        # A worker only reads objects, so it needs no scope.
        return Bucket, (self._address,)

    @property
    def name(self) -> str:
        return self._address.prefix.rstrip("/").rpartition("/")[2] or self._address.bucket

    @property
    def id(self) -> str:
        return source_id(self.name, f"{self._address.url}/{self._address.prefix}")

    def url(self, item: ArchiveObject) -> str:
        """Return the address of an object."""
        return f"{self._address.url}/{quote(self._address.prefix + item.key)}"

    def stop(self) -> None:
        """Cancel requests in other threads, because the user has given up."""
        self._server.stop()

    def objects(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """List the bucket.

        Raises:
            SourceError: the listing fails or is incomplete.
        """
        return self.list_below("", wanted, _YEAR)

    def answers(self) -> bool:
        """Test whether the server still answers a listing, after an object could not be read."""
        try:
            self._list_page("")
        except CannotRead:
            return False
        return True

    def fetch(self, item: ArchiveObject, path: Path) -> None:
        """Download an object to a path, and resume after a broken connection.

        Each 64 KB may take six attempts and two minutes, so a download always ends.

        Raises:
            CannotRead: the object cannot be downloaded, or its size or ETag is not the listed one.
        """
        refuse_large(item.size)
        with path.open("wb") as file:
            while file.tell() < item.size:
                retry(self._receive, item, file, self._server.deadline())
        with path.open("rb") as stream:
            md5 = hashlib.file_digest(stream, partial(hashlib.md5, usedforsecurity=False))
        if _MD5.fullmatch(item.etag) and md5.hexdigest() != item.etag:
            raise CannotRead(_DAMAGED)

    def _receive(self, item: ArchiveObject, file: IO[bytes], deadline: Deadline) -> None:
        """Append the rest of an object to a file.

        A passing failure after at least 64 KB does not raise: the caller requests the rest again.
        """
        start = mark = file.tell()
        headers = {"Range": f"bytes={start}-"} if start else {}
        if item.etag:
            headers["If-Match"] = f'"{item.etag}"'
        accepts = (206,) if start else (200,)
        try:
            with closing(self._server.open(self.url(item), deadline, headers, accepts)) as reply:
                _refuse_another(reply, item, start)
                while block := reply.next(deadline):
                    if file.tell() + len(block) > item.size:
                        raise CannotRead("it is longer than was listed")
                    file.write(block)
                    if file.tell() - mark >= _PIECE:
                        mark, deadline = file.tell(), self._server.deadline()
            if file.tell() < item.size:
                raise Passing("it is not as long as was listed")
        except Passing:
            if mark == start:
                raise

    def list_below(
        self, prefix: str, wanted: Callable[[str], bool], hours: int
    ) -> list[ArchiveObject]:
        """List the objects below a prefix whose key is wanted, sorted.

        Args:
            prefix: of the keys.
            wanted: tests a key.
            hours: that the prefix covers; they limit the number of objects.

        Raises:
            SourceError: there are too many objects, or the listing fails or is incomplete.
        """
        per_hour = limit_of("OBJECTS_PER_HOUR", OBJECTS_PER_HOUR)
        objects: dict[str, ArchiveObject] = {}
        token = ""
        pages = 100 + per_hour * hours // 100  # of 1000 names, nine in ten of other countries
        try:
            for _ in range(pages):
                items, token = self._list_page(prefix, token)
                for item in items:
                    if item.key.startswith(prefix) and wanted(item.key):
                        objects[item.key] = item
                if len(objects) > per_hour * hours:
                    raise CannotRead(
                        f"it lists more than the OBJECTS_PER_HOUR={per_hour} that are taken"
                    )
                if not token:
                    return sorted(objects.values())
            most = f"{pages} pages that OBJECTS_PER_HOUR={per_hour} allows"
            raise CannotRead(f"its listing does not end within the {most}")
        except CannotRead as error:
            below = f" below {prefix}" if prefix else ""
            name = self._address.bucket
            raise SourceError(
                f"the bucket {name} cannot be listed{below}: {error}", resumes=error.may_pass
            ) from None

    def _list_page(self, prefix: str, token: str = "") -> _Page:
        query = {"list-type": "2", "prefix": self._address.prefix + prefix, "encoding-type": "url"}
        if token:
            query["continuation-token"] = token
        url = f"{self._address.url}?{urlencode(query)}"
        return retry(self._fetch_page, url, self._server.deadline())

    def _fetch_page(self, url: str, deadline: Deadline) -> _Page:
        _, xml = self._server.read(url, deadline, self._server.limits.page)
        return _read_page(xml, self._address.prefix)


def _refuse_another(reply: Reply, item: ArchiveObject, start: int) -> None:
    """Refuse a reply with other content than was listed, because a server may ignore If-Match.

    Raises:
        CannotRead: its ETag, or its Content-Range, is not that of the object.
    """
    etag = reply.headers.get("ETag", "").removeprefix("W/").strip('"')
    if item.etag and etag and etag != item.etag:
        raise CannotRead(CHANGED)
    content_range = reply.headers.get("Content-Range", "")
    expected = rf"bytes {start}-\d+/({item.size}|\*)"
    if start and not re.fullmatch(expected, content_range, re.ASCII):
        raise CannotRead(CHANGED)


def _read_page(xml: bytes, prefix: str) -> _Page:
    """Read one page of a listing; keys outside ``prefix`` are left out.

    Raises:
        Passing: it is truncated.
        CannotRead: it is not a listing.
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
    if not is_last and not 0 < len(token) <= _TOKEN_LENGTH:
        raise CannotRead("its listing breaks off")
    return list(_read_items(root, prefix)), "" if is_last else token


def _read_items(root: Element, prefix: str) -> Iterator[ArchiveObject]:
    decode = unquote_plus if root.findtext("{*}EncodingType") == "url" else str
    for item in root.iterfind("{*}Contents"):
        key = decode(item.findtext("{*}Key") or "")
        size = (item.findtext("{*}Size") or "").strip()
        etag = (item.findtext("{*}ETag") or "").strip().removeprefix("W/").strip('"')
        is_size = size.isascii() and size.isdecimal() and len(size) < 16
        is_key = len(key.encode("utf-8", "replace")) <= _KEY_LENGTH
        if not (is_size and is_key and _ETAG.fullmatch(etag)):
            raise CannotRead(f"its listing gives {key[:200]!r} no key, size or ETag that can be")
        if key.startswith(prefix):
            yield ArchiveObject(key.removeprefix(prefix), int(size), etag)


ADDRESS = Address("https://ooni-data-eu-fra.s3.eu-central-1.amazonaws.com", "ooni-data-eu-fra", "")

#: A day's listing is kept if it was made at least ``SETTLED`` after the day's end, because after an
#: outage OONI adds objects late, and is then used for ``FRESH``.
SETTLED, FRESH = timedelta(days=14), timedelta(days=30)


@dataclass(frozen=True)
class Scope:
    """The part of OONI's archive to read.

    Attributes:
        probe_cc: the country.
        window: days of receipt.
        notes: keeps listings, by ``Store.read_note`` and ``write_note``.
        progress: called with days listed, days in all, and the day just listed.
        relist: True lists every day again, False only days without a kept listing.
    """

    probe_cc: str
    window: Period
    notes: Any
    progress: Callable[[int, int, str], None]
    relist: bool | None = None


class _Listing(msgspec.Struct, frozen=True):
    """The kept listing of a day.

    Attributes:
        objects: key, size and ETag of each.
        listed_at: the time.
        late: keys that an earlier listing did not have, or had with other content.
    """

    objects: list[tuple[str, int, str]]
    listed_at: Annotated[datetime, msgspec.Meta(tz=True)]
    late: list[str] = []

    def find(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """Return the objects whose key is wanted."""
        late = set(self.late)
        return [
            ArchiveObject(key, size, etag, key in late)
            for key, size, etag in self.objects
            if wanted(key)
        ]


class OoniArchive(Bucket):
    """The hours of one country, up to the last full hour."""

    licence = "CC BY-NC-SA 4.0, Open Observatory of Network Interference (OONI)"

    def __init__(self, address: Address, scope: Scope) -> None:
        super().__init__(address)
        self._scope = scope
        self._now = datetime.now(UTC)

    @property
    def name(self) -> str:
        return OONI

    def objects(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """List the objects of the window, several days at a time.

        Raises:
            SourceError: the window has not begun, or a day cannot be listed.
        """
        today = self._now.date()
        days = [day for day in self._scope.window.days() if day <= today]
        if not days:
            raise SourceError(
                f"there is no measurement yet of {self._scope.window.since}", resumes=False
            )
        objects: list[ArchiveObject] = []
        with closing(at_once(partial(self._list_day, wanted), days, self.stop)) as listed:
            for count, (day, items) in enumerate(listed, 1):
                objects += items
                self._scope.progress(count, len(days), day.isoformat())
        return sorted(objects)

    def _note(self, day: date) -> str:
        return f"listings/{self._scope.probe_cc}/all/{day}.json"

    def _list_day(self, wanted: Callable[[str], bool], day: date) -> list[ArchiveObject]:
        listing = self._read_kept(day)
        if listing is None or self._is_stale(listing):
            listing = self._list_again(day, listing)
        return listing.find(wanted)

    def _read_kept(self, day: date) -> _Listing | None:
        try:
            return msgspec.convert(self._scope.notes.read_note(self.id, self._note(day)), _Listing)
        except msgspec.ValidationError:  # there is none, or one of another version
            return None

    def _is_stale(self, listing: _Listing) -> bool:
        relist = self._scope.relist
        return self._now - listing.listed_at > FRESH if relist is None else relist

    def _list_again(self, day: date, previous: _Listing | None) -> _Listing:
        items: list[ArchiveObject] = []
        is_read = partial(holds_country, probe_cc=self._scope.probe_cc, tests=FOLDERS)
        try:
            for prefix in list_prefixes(day, self._scope.probe_cc, self._now):
                hours = len(FOLDERS) if prefix.startswith("raw/") else 24
                items += self.list_below(prefix, is_read, hours)
        except SourceError as error:
            if previous is None:
                raise
            reason = str(error).removesuffix(f" {RESUMES}.").rstrip(".")
            raise SourceError(
                f"{reason}. RELIST=0 goes on with the listing of {previous.listed_at:%Y-%m-%d}",
                resumes=RESUMES in str(error),
            ) from None
        objects = [(item.key, item.size, item.etag) for item in items]
        earlier = {*objects} if previous is None else {*previous.objects}
        late = {key for key, *_ in {*objects} - earlier} | {*(previous.late if previous else ())}
        listing = _Listing(objects, self._now, sorted(late & {item.key for item in items}))
        if self._now - datetime.combine(day, time.max, UTC) > SETTLED:
            self._scope.notes.write_note(self.id, self._note(day), msgspec.to_builtins(listing))
        return listing


#: An archive.
Source: TypeAlias = Folder | Bucket
#: The environment variable that names a mirror of OONI's archive.
MIRROR = "OONI_ARCHIVE"

_SERVERS = "s3://bucket/prefix or http(s)://host/bucket/prefix of an S3 server"
_OPTIONS = {"region", "endpoint_override", "scheme"}
_ACCEPTED = f"ooni, a folder, {_SERVERS}"


def open_source(uri: str, scope: Scope | None = None) -> Source:
    """Open an archive.

    Args:
        uri: the value of ``SOURCE``.
        scope: the part of OONI's archive, required for it; other sources are read whole.

    Raises:
        ParameterError: ``uri`` is not an archive's address.
    """
    if uri == OONI and scope is not None:
        mirror = os.environ.get(MIRROR, "")
        address = parse_address(mirror, MIRROR, _SERVERS) if mirror else ADDRESS
        return OoniArchive(address, scope)
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if scheme in ("s3", "http", "https"):
        return Bucket(parse_address(uri, "SOURCE", _ACCEPTED))
    if not uri or scheme not in ("", "file"):
        raise ParameterError("SOURCE", uri, _ACCEPTED)
    path = Path(urlsplit(uri).path) if scheme else Path(uri)
    if path.name.lower() == OONI and not path.exists():
        raise ParameterError("SOURCE", path.name, f"OONI's archive is written {OONI}")
    if not path.is_dir():
        raise ParameterError("SOURCE", path, f"there is no such folder; give {_ACCEPTED}")
    return Folder(path)


def parse_address(uri: str, parameter: str, accepted: str) -> Address:
    """Read ``s3://bucket/prefix?…`` or ``http(s)://host/bucket/prefix``.

    Raises:
        ParameterError: no bucket, no host, or an unknown option.
    """
    import httpx  # slow to load, and only servers need it

    try:
        parts = urlsplit(uri)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.scheme == "s3":
            bucket, path = parts.netloc.rpartition("@")[2], parts.path
            server = f"s3.{options.get('region', 'us-east-1')}.amazonaws.com"
            scheme, _, host = options.get("endpoint_override", server).rpartition("://")
            scheme, host = scheme or options.get("scheme", "https"), host.rstrip("/")
        else:
            bucket, _, path = parts.path.lstrip("/").partition("/")
            scheme, host = parts.scheme, parts.netloc
        url = f"{scheme}://{host}/{bucket}"
        is_known = set(options) <= _OPTIONS and parts.scheme in ("s3", "http", "https")
        is_name = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", bucket)
        if not (is_known and is_name and httpx.URL(url).host):
            raise ValueError
    except (ValueError, httpx.InvalidURL):
        raise ParameterError(
            parameter, uri, f"options are region, endpoint_override, scheme; {accepted}"
        ) from None
    prefix = path.strip("/")
    return Address(url, bucket, f"{prefix}/" if prefix else "", options.get("region", ""))
