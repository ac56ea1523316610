"""From what ``SOURCE`` says to the archive it means.

::

    ooni                                              OONI's own archive
    archive/                                          a folder
    s3://bucket/prefix?region=eu-central-1            a public bucket of AWS
    s3://bucket/prefix?endpoint_override=host:port    one of another S3 server (scheme=http|https)
    http://host:port/bucket/prefix                    the same, as a URL

The environment's ``OONI_ARCHIVE`` names a mirror of OONI's archive, in one of the last three forms.

OONI's archive is listed by the hours of one country: listing it whole would take millions of keys
of other countries. An hour of all tests is one request, and nothing is asked again about days long
past: their listing is kept as a note in the store, for whichever test comes next.
"""

import os
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from analysis.errors import ParameterError, SourceError
from analysis.period import Period
from analysis.sources.archive_files import ArchiveObject, Folder, Notes, Source
from analysis.sources.buckets import Address, Bucket
from analysis.sources.layout import FOLDERS, OONI, holds_country, list_prefixes, parse_receipt
from analysis.sources.web import at_once

ADDRESS = Address("https://ooni-data-eu-fra.s3.eu-central-1.amazonaws.com", "ooni-data-eu-fra", "")

#: An hour's objects appear within the next one. After an outage they come later; a day that was
#: listed so long after its end is not listed again.
SETTLED = timedelta(days=14)


@dataclass(frozen=True)
class Scope:
    """What is asked of the archive.

    Attributes:
        probe_cc: the country.
        window: days of receipt.
        notes: where listings are kept.
        told: called with days listed, days in all, and the day just listed.
    """

    probe_cc: str
    window: Period
    notes: Notes
    told: Callable[[int, int, str], None]


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
        """List the days of the window, several at a time.

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
                self._scope.told(count, len(days), day.isoformat())
        return sorted(objects)

    def renewed(self, item: ArchiveObject) -> ArchiveObject | None:
        """An object as it is now. The note that says otherwise is dropped."""
        received = parse_receipt(item.key)
        if received is not None:
            day = datetime.fromtimestamp(received.since, UTC).date()
            self._scope.notes.write_note(self.id, self._note(day), None)
        return super().renewed(item)

    def _note(self, day: date) -> str:
        return f"listings/{self._scope.probe_cc}/all/{day}.json"

    def _list_day(self, wanted: Callable[[str], bool], day: date) -> list[ArchiveObject]:
        noted = self._scope.notes.read_note(self.id, self._note(day))
        if isinstance(noted, list):
            return [item for item in (ArchiveObject(*one) for one in noted) if wanted(item.key)]
        items: list[ArchiveObject] = []
        is_read = partial(holds_country, probe_cc=self._scope.probe_cc, tests=FOLDERS)
        for prefix in list_prefixes(day, self._scope.probe_cc, self._now):
            hours = len(FOLDERS) if prefix.startswith("raw/") else 24
            items += self.list_below(prefix, is_read, hours)
        if self._now - datetime.combine(day, time.max, UTC) > SETTLED:
            note = [[item.key, item.size, item.etag] for item in items]
            self._scope.notes.write_note(self.id, self._note(day), note)
        return [item for item in items if wanted(item.key)]


#: The environment variable that names a mirror of it.
MIRROR = "OONI_ARCHIVE"

_SERVERS = "s3://bucket/prefix or http(s)://host/bucket/prefix of an S3 server"
_OPTIONS = {"region", "endpoint_override", "scheme"}
_ACCEPTED = f"ooni, a folder, {_SERVERS}"


def open_source(uri: str, scope: Scope | None = None) -> Source:
    """Open an archive.

    Args:
        uri: what ``SOURCE`` says.
        scope: what is asked of OONI's archive, and needed there; other sources are read whole.

    Raises:
        ParameterError: ``uri`` names nothing that can be an archive.
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
        ParameterError: no bucket, no host, or an option that is not known.
    """
    import httpx  # takes long to load, and only servers need it

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
    return Address(url, bucket, f"{prefix}/" if prefix else "", options.get("region", ""))


def _bucket_url(parts: SplitResult, options: dict[str, str], bucket: str) -> str:
    if parts.scheme != "s3":
        return f"{parts.scheme}://{parts.netloc}/{bucket}"
    endpoint = options.get("endpoint_override", "")
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        return f"{scheme or options.get('scheme', 'https')}://{host.rstrip('/')}/{bucket}"
    region = options.get("region", "us-east-1")
    return f"https://s3.{region}.amazonaws.com/{bucket}"
