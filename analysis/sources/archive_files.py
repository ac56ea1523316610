"""Objects of an archive, the errors of reading them, and an archive in a folder.

``buckets`` has archives on servers. The last part of this module has the keys of OONI's archive.
"""

import hashlib
import io
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn

from analysis.errors import ParameterError, SourceError, describe_error
from analysis.files import hold_lock
from analysis.observations.flags import Received
from analysis.observations.messaging_tests import BY_FOLDER


@dataclass(frozen=True, order=True, slots=True)
class ArchiveObject:
    """One object of an archive: its key below the source, bytes, and ETag or modification time.

    ``is_late``: an earlier listing of its day did not have it, or had it with other content.
    """

    key: str
    size: int
    etag: str
    is_late: bool = field(default=False, compare=False)


#: Limits of a listing: objects of a country for each hour, and bytes of one. Cambodia had 2,606
#: objects of web_connectivity in half a year, one in two hours, of 111 measurements each. The
#: environment's ``OBJECTS_PER_HOUR`` and ``OBJECT_BYTES`` replace them.
OBJECTS_PER_HOUR, OBJECT_BYTES = 100, 2_000_000_000


def limit_of(name: str, published: int) -> int:
    """Return a limit from the environment, else the published one.

    Raises:
        ParameterError: the environment's value is not a number.
    """
    text = os.environ.get(name) or str(published)
    if not re.fullmatch(r"[1-9][0-9]{0,14}", text, re.ASCII):
        raise ParameterError(name, text, "a whole number from 1 to 999999999999999 is accepted")
    return int(text)


def refuse_large(size: int) -> None:
    """Refuse an object that is too large.

    Raises:
        CannotRead: it has more bytes than ``OBJECT_BYTES``.
    """
    limit = limit_of("OBJECT_BYTES", OBJECT_BYTES)
    if size > limit:
        raise CannotRead(f"{size} bytes, more than the OBJECT_BYTES={limit} that are read of one")


class CannotRead(Exception):
    """An object that cannot be read; ``str(error)`` is the reason, without paths or addresses."""

    #: Whether another run may succeed.
    may_pass = False


class Passing(CannotRead):
    """A failure that may be gone at the next attempt."""

    may_pass = True


class TooSlow(CannotRead):
    """An object that did not arrive in time, after several attempts."""

    may_pass = True


class Unreachable(Passing):
    """A server that did not answer, which says nothing about the object."""


@contextmanager
def lock_folder(folder: Path, what: str) -> Iterator[None]:
    """Make a folder and lock it against other processes that call this.

    Args:
        folder: the folder.
        what: the use of the folder, for the error.

    Raises:
        SourceError: the folder, or a file in it, cannot be written.
    """
    try:
        with hold_lock(folder / ".lock"):
            yield
    except OSError as error:
        raise SourceError(f"no {what} {folder}: {describe_error(error).lower()}") from None


def source_id(name: str, location: str) -> str:
    """Return a readable folder name for a source that no other source shares."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "source"
    return f"{slug}-{hashlib.sha256(location.encode()).hexdigest()[:12]}"


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
        """List the files whose key is wanted, sorted.

        In a name that is not UTF-8, the wrong bytes are spelt as in a URL, so that names stay
        different; a file cannot be read by such a name.

        Raises:
            SourceError: a folder below it cannot be listed.
        """
        items: dict[str, ArchiveObject] = {}
        for folder, _, names in os.walk(self._path, onerror=_cannot_list):
            for name in names:
                path = os.fsencode(Path(folder, name).relative_to(self._path))
                key = _NOT_UTF8.sub(_spell_byte, path.decode("utf-8", "surrogateescape"))
                if wanted(key):
                    items[key] = self._describe(key)
        return sorted(items.values())

    def _describe(self, key: str) -> ArchiveObject:
        try:
            status = (self._path / key).stat()
        except OSError:
            return ArchiveObject(key, 0, "")  # reading it raises the reason
        return ArchiveObject(key, status.st_size, str(status.st_mtime_ns))

    def open(self, item: ArchiveObject) -> io.FileIO:
        """Return an object's bytes as a stream; raises CannotRead."""
        try:
            # Without O_NONBLOCK, opening a pipe would wait for its other end.
            stream = io.FileIO(
                self._path / item.key,
                opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK),
            )
        except OSError as error:
            raise CannotRead(describe_error(error).lower()) from None
        try:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CannotRead("not a file")
            refuse_large(status.st_size)
        except CannotRead:
            stream.close()
            raise
        return stream

    def fetch(self, item: ArchiveObject, path: Path) -> None:
        """Copy an object to a path; raises CannotRead."""
        with closing(self.open(item)) as stream, path.open("wb") as file:
            shutil.copyfileobj(stream, file)
            if file.tell() > item.size:
                raise CannotRead("longer than it was listed")

    def stop(self) -> None:
        """Do nothing, because reading a disk does not wait."""


_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # Python's characters for bytes that are not UTF-8


def _spell_byte(match: re.Match[str]) -> str:
    return f"%{ord(match[0]) & 0xFF:02X}"


def _cannot_list(error: OSError) -> NoReturn:
    raise SourceError(
        f"the folder {error.filename} cannot be listed: {describe_error(error).lower()}",
        resumes=False,
    )


# --- the keys of OONI's archive -------------------------------------------------------------------
# A key tells the country and the test of an object's measurements. Two layouts exist, both below a
# prefix that the source may or may not repeat:
#
#     raw/YYYYMMDD/HH/CC/<test>/<name>.jsonl.gz      since 2020-10-20
#     jsonl/<test>/CC/YYYYMMDD/HH/<name>.jsonl.gz    until 2020-10-21
#
# A test's name is written without underscores. The ``.tar.gz`` objects beside them hold the same
# measurements and are left out. Day and hour are those of receipt, not of the measurement.
#
# OONI's names repeat day, hour, country and test: ``2024013105_KH_webconnectivity.n0.0.jsonl.gz``
# (ooni/backend ``api/ooni_api_uploader.py``), before the change ``20200921_IT_…``. So a copy of a
# part of the archive can be read even if folders of the key are missing, and so can the files that
# ``oonidata sync`` writes (ooni/data ``oonidata/src/oonidata/dataclient.py``):
#
#     <test>/YYYY-MM-DD/YYYYMMDDHH_CC_<test>.jsonl.gz
#
# There CC is ``ALL`` or ``KH-TH`` if an old object of many countries was filtered. Files that were
# synced with ``--max-string-size`` (``…_max1000.jsonl.gz``) lack page bodies and are not read.

#: The value of ``SOURCE`` for OONI's own archive.
OONI = "ooni"
_NAME = r"(?P<name>[^/\\\x00-\x1f\x7f]{1,200}\.jsonl\.gz)"
_NAME_LIMIT = 200  # bytes; file systems take 255, and a store's file names are longer
_DAY, _HOUR, _CC = r"(?P<day>\d{8})", r"(?P<hour>\d{2})", r"(?P<cc>[A-Z]{2})"
#: Days after a period whose objects may hold measurements of the period. A probe that could not
#: submit a measurement tries again at its next run or start, which may be weeks later. Submitting
#: fails where OONI is blocked, so leaving out late uploads would make censorship look rarer.
RECEIPT_MARGIN = 30
#: The first day of the newer layout and the last day of the older one, which overlap
#: (ooni/backend ``docs/MeasurementUploader.md``, ooni/data ``Readme.md``).
NEWER_SINCE, OLDER_UNTIL = date(2020, 10, 20), date(2020, 10, 21)
#: The folder of the test of web sites.
WEB = "webconnectivity"
#: The folders of all tests that are read.
FOLDERS = (WEB, *BY_FOLDER)
_TESTS = "|".join(FOLDERS)
_TEST = rf"(?P<test>{_TESTS})"
_PARTS = rf"(?:(?:raw|jsonl|\d{{8}}|\d{{4}}-\d\d-\d\d|\d\d|[A-Z]{{2}}|{_TESTS})/){{0,5}}"
_NEWER = re.compile(rf"(?:raw/)?{_DAY}/{_HOUR}/{_CC}/{_TEST}/{_NAME}", re.ASCII)
_OLDER = re.compile(rf"(?:jsonl/)?{_TEST}/{_CC}/{_DAY}/{_HOUR}/{_NAME}", re.ASCII)
_BY_NAME = re.compile(
    rf"{_PARTS}(?P<name>{_DAY}{_HOUR}?_(?P<cc>ALL|[A-Z]{{2}}(?:-[A-Z]{{2}})*)_{_TEST}"
    r"(?:\.[^/\\\x00-\x1f\x7f]{1,150})?\.jsonl\.gz)",
    re.ASCII,
)


def holds_country(key: str, probe_cc: str, tests: Collection[str] = (WEB,)) -> bool:
    """Test whether an object holds a country's measurements of one of these tests' folders."""
    parts = _parse(key)
    if parts is None or parts["test"] not in tests:
        return False
    if probe_cc not in parts["cc"].split("-") and parts["cc"] != "ALL":
        return False
    name = parts["name"]
    return not name.startswith(".") and len(name.encode("utf-8", "replace")) <= _NAME_LIMIT


def find_test(key: str) -> str | None:
    """Return the folder name of an object's test, or None if the key has none."""
    parts = _parse(key)
    return parts["test"] if parts else None


def list_prefixes(day: date, probe_cc: str, now: datetime) -> list[str]:
    """Return the prefixes of the objects of a day of receipt, up to the last full hour.

    One prefix, and so one request, covers an hour of all tests.
    """
    prefixes = []
    if day <= OLDER_UNTIL:
        prefixes += [f"jsonl/{test}/{probe_cc}/{day:%Y%m%d}/" for test in FOLDERS]
    if day >= NEWER_SINCE:
        hours = 24 if day < now.date() else now.hour
        prefixes += [f"raw/{day:%Y%m%d}/{hour:02}/{probe_cc}/" for hour in range(hours)]
    return prefixes


def parse_receipt(key: str) -> Received | None:
    """Return when the measurements of an object were received, or None if its key has no date."""
    parts = _parse(key)
    if parts is None:
        return None
    day, hour = parts["day"], parts["hour"] or "00"
    with suppress(ValueError):
        since = datetime.strptime(day + hour, "%Y%m%d%H").replace(tzinfo=UTC)
        # The older archive has no hours: 00 stands for the whole day, whatever the copy's layout.
        is_old = hour == "00" and since.date() <= OLDER_UNTIL
        is_day = is_old or not parts["hour"] or parts.re is _OLDER
        start = int(since.timestamp())
        return Received(start, start + (24 if is_day else 1) * 3600)
    return None


def _parse(key: str) -> re.Match[str] | None:
    return next(
        (parts for layout in (_NEWER, _OLDER, _BY_NAME) if (parts := layout.fullmatch(key))), None
    )
