"""What a source of measurements is: its objects, their bytes, and why they may not be had.

The simplest one is here, a folder; ``buckets`` has those of servers. The last part has the keys of
OONI's archive.
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

    ``is_late`` if its day had been listed before, without this object or with other content of it.
    """

    key: str
    size: int
    etag: str
    is_late: bool = field(default=False, compare=False)


#: What a listing may say: objects of a country for each hour, and bytes of one. Cambodia had 2,606
#: objects of web_connectivity in half a year, one in two hours, of 111 measurements each. The
#: environment's ``OBJECTS_PER_HOUR`` and ``OBJECT_BYTES`` change it.
OBJECTS_PER_HOUR, OBJECT_BYTES = 100, 2_000_000_000


def limit_of(name: str, published: int) -> int:
    """A bound, as the environment has it.

    Raises:
        ParameterError: what the environment says is no number.
    """
    text = os.environ.get(name) or str(published)
    if not re.fullmatch(r"[1-9][0-9]{0,14}", text, re.ASCII):
        raise ParameterError(name, text, "a whole number from 1 to 999999999999999 is accepted")
    return int(text)


def refuse_large(size: int) -> None:
    """Refuse an object for what is said of its size.

    Raises:
        CannotRead: it has more bytes than are read.
    """
    limit = limit_of("OBJECT_BYTES", OBJECT_BYTES)
    if size > limit:
        raise CannotRead(f"{size} bytes, more than the OBJECT_BYTES={limit} that are read of one")


class CannotRead(Exception):
    """One object cannot be read; ``str(error)`` says why, without paths or addresses."""

    #: Whether another run may have more luck.
    may_pass = False


class Passing(CannotRead):
    """A trouble that may be gone at the next attempt."""

    may_pass = True


class TooSlow(CannotRead):
    """There was time for several attempts, and it did not come."""

    may_pass = True


class Unreachable(Passing):
    """The server did not answer, which says nothing about the object."""


@contextmanager
def lock_folder(folder: Path, what: str) -> Iterator[None]:
    """Make a folder and keep other processes that lock it out.

    Raises:
        SourceError: something in it cannot be written, which is said of ``what``.
    """
    try:
        with hold_lock(folder / ".lock"):
            yield
    except OSError as error:
        raise SourceError(f"no {what} {folder}: {describe_error(error).lower()}") from None


def source_id(name: str, location: str) -> str:
    """A readable, collision-free folder name for a source."""
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
        """Walk the folder. In a name that is not UTF-8 the wrong bytes are spelt as in a URL, so
        that names stay apart; it cannot be read under that one.

        Raises:
            SourceError: a folder below it cannot be listed.
        """
        items: dict[str, ArchiveObject] = {}
        for folder, _, names in os.walk(self._path, onerror=_cannot_list):
            for name in names:
                path = os.fsencode(Path(folder, name).relative_to(self._path))
                key = _NO_LETTER.sub(_spell_byte, path.decode("utf-8", "surrogateescape"))
                if wanted(key):
                    items[key] = self._describe(key)
        return sorted(items.values())

    def _describe(self, key: str) -> ArchiveObject:
        try:
            status = (self._path / key).stat()
        except OSError:
            return ArchiveObject(key, 0, "")  # reading it will say why it cannot be read
        return ArchiveObject(key, status.st_size, str(status.st_mtime_ns))

    def open(self, item: ArchiveObject) -> io.FileIO:
        """The bytes of an object. Raises CannotRead."""
        try:
            # A pipe would wait for its other end.
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
        with closing(self.open(item)) as stream, path.open("wb") as file:
            shutil.copyfileobj(stream, file)
            if file.tell() > item.size:
                raise CannotRead("longer than it was listed")

    def stop(self) -> None:
        """Nothing waits for a disk."""


_NO_LETTER = re.compile("[\udc80-\udcff]")  # how Python writes a byte that is no UTF-8


def _spell_byte(found: re.Match[str]) -> str:
    return f"%{ord(found[0]) & 0xFF:02X}"


def _cannot_list(error: OSError) -> NoReturn:
    raise SourceError(
        f"the folder {error.filename} cannot be listed: {describe_error(error).lower()}",
        resumes=False,
    )


# --- the keys of OONI's archive -------------------------------------------------------------------
# Which objects hold a country's measurements, and of which test. Two layouts exist, both under a
# prefix that the source may or may not repeat:
#
#     raw/YYYYMMDD/HH/CC/<test>/<name>.jsonl.gz      since 2020-10-20
#     jsonl/<test>/CC/YYYYMMDD/HH/<name>.jsonl.gz    until 2020-10-21
#
# A test's name stands there without underscores. The ``.tar.gz`` objects beside them hold the same
# measurements and are left out. Day and hour are those of receipt, not of the measurement.
#
# OONI's names repeat day, hour, country and test: ``2024013105_KH_webconnectivity.n0.0.jsonl.gz``
# (ooni/backend ``api/ooni_api_uploader.py``), before the change ``20200921_IT_…``. So a copy of any
# part of the archive is read as well, whichever folders of the key are left, and so is what
# ``oonidata sync`` writes (ooni/data ``oonidata/src/oonidata/dataclient.py``):
#
#     <test>/YYYY-MM-DD/YYYYMMDDHH_CC_<test>.jsonl.gz
#
# There CC is ``ALL`` or ``KH-TH`` where an old object of many countries was filtered. What was
# synced with ``--max-string-size`` (``…_max1000.jsonl.gz``) lacks page bodies and is not read.

#: What ``SOURCE`` says for OONI's own archive.
OONI = "ooni"
_NAME = r"(?P<name>[^/\\\x00-\x1f\x7f]{1,200}\.jsonl\.gz)"
_NAME_LIMIT = 200  # bytes; file systems take 255, and a store's file names are longer
_DAY, _HOUR, _CC = r"(?P<day>\d{8})", r"(?P<hour>\d{2})", r"(?P<cc>[A-Z]{2})"
#: Days behind a period whose objects may hold measurements of the period. A probe that could not
#: submit a measurement tries again at its next run or start, which may be weeks later; and it is
#: where OONI is blocked that submitting fails, so that leaving late ones out would make censorship
#: look rarer.
RECEIPT_MARGIN = 30
#: The first day of the newer layout and the last one of the older: both hold some of these days
#: (ooni/backend ``docs/MeasurementUploader.md``, ooni/data ``Readme.md``).
NEWER_SINCE, OLDER_UNTIL = date(2020, 10, 20), date(2020, 10, 21)
#: The folder of the test that a report on web sites rests on.
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
    """Whether an object holds measurements of a country, of one of some tests' folders."""
    parts = _parse(key)
    if parts is None or parts["test"] not in tests:
        return False
    if probe_cc not in parts["cc"].split("-") and parts["cc"] != "ALL":
        return False
    name = parts["name"]
    return not name.startswith(".") and len(name.encode("utf-8", "replace")) <= _NAME_LIMIT


def find_test(key: str) -> str | None:
    """The folder of the test whose measurements an object holds."""
    parts = _parse(key)
    return parts["test"] if parts else None


def list_prefixes(day: date, probe_cc: str, now: datetime) -> list[str]:
    """Below which prefixes the objects of a day of receipt lie, up to the last full hour.

    An hour of all tests is one request.
    """
    prefixes = []
    if day <= OLDER_UNTIL:
        prefixes += [f"jsonl/{test}/{probe_cc}/{day:%Y%m%d}/" for test in FOLDERS]
    if day >= NEWER_SINCE:
        hours = 24 if day < now.date() else now.hour
        prefixes += [f"raw/{day:%Y%m%d}/{hour:02}/{probe_cc}/" for hour in range(hours)]
    return prefixes


def parse_receipt(key: str) -> Received | None:
    """When the measurements of an object were received; None where the key does not say so."""
    parts = _parse(key)
    if parts is None:
        return None
    day, hour = parts["day"], parts["hour"] or "00"
    with suppress(ValueError):
        since = datetime.strptime(day + hour, "%Y%m%d%H").replace(tzinfo=UTC)
        # The older archive has no hours: 00 stands for the day, in whichever layout it was copied.
        is_old = hour == "00" and since.date() <= OLDER_UNTIL
        is_day = is_old or not parts["hour"] or parts.re is _OLDER
        start = int(since.timestamp())
        return Received(start, start + (24 if is_day else 1) * 3600)
    return None


def _parse(key: str) -> re.Match[str] | None:
    return next(
        (parts for layout in (_NEWER, _OLDER, _BY_NAME) if (parts := layout.fullmatch(key))), None
    )
