"""Fetching of reference data into the snapshot of the day, whole or not at all.

``items`` lists the files of a snapshot, with their addresses and readers. Environment variables
can replace the addresses, for a mirror if a source is blocked, or to pin a commit.
data/reference/README.md has the reasons for these sources.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

from analysis.errors import ParameterError, SourceError
from analysis.observations import fingerprints
from analysis.period import days_between, month_before
from analysis.reference.networks import extract_names, load_network_names
from analysis.reference.reference_files import (
    DNS_FINGERPRINTS,
    GLOBAL_LIST,
    HTTP_FINGERPRINTS,
    LEGEND,
    NETWORK_NAMES,
    Sidecar,
    Snapshot,
    country_list,
    held,
    is_fictional,
    parse_country,
    publish,
    read_csv,
    snapshots,
    write_sidecar,
)
from analysis.reference.test_lists import load_test_lists
from analysis.sources.archive_files import CannotRead, Passing, lock_folder
from analysis.sources.web import Server, retry, too_long
from analysis.temporary_folders import TemporaryFolder

_GZIP_MAGIC = b"\x1f\x8b"


def download(url: str, size: int, seconds: float) -> bytes | None:
    """Return a file's bytes, unpacked if they are gzip, or None if the server has no such file.

    Args:
        url: the address.
        size: the most bytes, both as sent and unpacked.
        seconds: for all attempts together.

    Raises:
        CannotRead: the file cannot be fetched, is too large or too slow.
    """
    server = Server("fetches reference data", "gzip")
    deadline = server.deadline(seconds, f"it did not arrive within {seconds:g} seconds")
    reply, sent = retry(server.read, url, deadline, size, (200, 404, 410))
    if reply.status != 200:
        return None
    return _unpack(sent, size) if sent.startswith(_GZIP_MAGIC) else sent


def _unpack(packed: bytes, limit: int) -> bytes:
    """Unpack gzip. httpx would do so without a limit, and would accept a truncated file.

    Raises:
        CannotRead: the file is truncated, or has more than ``limit`` bytes.
    """
    try:
        with gzip.GzipFile(fileobj=BytesIO(packed)) as stream:
            content = stream.read(limit + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Passing("what arrived is a cut or broken gzip file") from None
    if len(content) > limit:
        raise too_long(limit)
    return content


#: Environment variable → address. ``{month}`` stands for the month, YYYY-MM.
ADDRESSES = {
    "WORKBOOK_TEST_LISTS_URL": (
        "https://raw.githubusercontent.com/citizenlab/test-lists/master/lists"
    ),
    "WORKBOOK_FINGERPRINTS_URL": (
        "https://raw.githubusercontent.com/ooni/blocking-fingerprints/main"
    ),
    "WORKBOOK_NETWORK_NAMES_URL": ("https://download.db-ip.com/free/dbip-asn-lite-{month}.csv.gz"),
}

_NC = "CC BY-NC-SA 4.0"
#: The most bytes and seconds of a list, and of the table of network names.
_LIST_LIMITS, _NAMES_LIMITS = (16_000_000, 300.0), (256_000_000, 1800.0)
_LEGEND_COLUMNS = ("Category Description", "New Code")


#: The number of rows that a report reads from a file, and the latest date in it (ISO or empty).
Content: TypeAlias = tuple[int, str]


@dataclass(frozen=True)
class Item:
    """One file of a snapshot.

    Attributes:
        name: its name in the snapshot.
        role: its use.
        licence: of the source.
        urls: addresses; the first that has the file is used.
        limits: the most bytes and seconds.
        read: reads the file as a report does, after extracting it from a larger one if necessary;
            raises ParameterError if a report could not read it.
        may_not_exist: the source has it for some countries only.
        may_fail: a report can be made without it.
    """

    name: str
    role: str
    licence: str
    urls: tuple[str, ...]
    limits: tuple[int, float]
    read: Callable[[Path], Content]
    may_not_exist: bool = False
    may_fail: bool = False


def items(code: str, today: date) -> tuple[Item, ...]:
    """Return the files of a snapshot for a country.

    Raises:
        ParameterError: an address in the environment is invalid.
    """
    lists, marks, names = (_address(variable) for variable in ADDRESSES)
    own = country_list(code)
    read_list = partial(_read_test_list, code=code)

    def item(folder: str, name: str, role: str, read: Callable[[Path], Content]) -> Item:
        url = f"{folder}/{Path(name).name}"
        return Item(name, role, _NC, (url,), _LIST_LIMITS, read, may_not_exist=name == own)

    return (
        item(lists, LEGEND, "categories of the test lists", _read_legend),
        item(lists, GLOBAL_LIST, "general test list", read_list),
        item(lists, own, "country test list", read_list),
        item(marks, DNS_FINGERPRINTS, "DNS fingerprints", partial(_read_marks, kind="dns")),
        item(marks, HTTP_FINGERPRINTS, "HTTP fingerprints", partial(_read_marks, kind="http")),
        Item(
            NETWORK_NAMES,
            "network names",
            "CC BY 4.0, DB-IP",
            _monthly_urls(names, today),
            _NAMES_LIMITS,
            _read_names,
            may_fail=True,
        ),
    )


def _monthly_urls(address: str, today: date) -> tuple[str, ...]:
    """Return the addresses of this month's table, which may not be out yet, and the last one's."""
    months = (today, month_before(today))
    return tuple(dict.fromkeys(address.replace("{month}", f"{day:%Y-%m}") for day in months))


def _address(variable: str) -> str:
    address = (os.environ.get(variable) or ADDRESSES[variable]).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise ParameterError(variable, address, "an address that starts with https:// or http://")
    return address


def _read_legend(path: Path) -> Content:
    return len(read_csv(path, _LEGEND_COLUMNS, "TEST_LIST").rows), ""


def _read_test_list(path: Path, code: str) -> Content:
    file = load_test_lists([path], code).files[0]
    return file.row_count, file.date


def _read_marks(path: Path, kind: str) -> Content:
    # The loader accepts a truncated row as one with empty cells; this reader does not.
    read_csv(path, ("name", "pattern"), "FINGERPRINTS")
    return len(getattr(fingerprints.load(str(path.parent)), kind)), ""


def _read_names(path: Path) -> Content:
    extract_names(path, path)
    return len(load_network_names(path).names), ""


#: A younger snapshot is used unchanged. Within a month the lists change by a few rows and the
#: network names not at all, while new fingerprints mean reading the whole archive again.
FRESH_DAYS = 30

#: A list that has lost more of its rows than this is refused as a fault of the source.
_KEPT_SHARE = 0.5

Say = Callable[[str], None]


def current(probe_cc: str, folder: Path, say: Say, now: datetime | None = None) -> Snapshot:
    """Return the newest snapshot for a country; fetch one if there is none of the last 30 days.

    Args:
        probe_cc: a country that is not fictional.
        folder: of the snapshots.
        say: called with a message for each file, and for each that could not be fetched.
        now: the time, UTC.

    Raises:
        ParameterError: the country is fictional, or an address in the environment is invalid.
        SourceError: a source could not be reached, or sent an unusable file.
        ContractError: a file of the snapshot is not the one that was fetched.
    """
    code, now = parse_country(probe_cc), now or datetime.now(UTC)
    newest = next(reversed(held(code, folder)), None)
    if newest is None or days_between(newest.day, now.date()) >= FRESH_DAYS:
        return refresh(code, folder, say, now)
    newest.check(code)
    return newest


def refresh(probe_cc: str, folder: Path, say: Say, now: datetime | None = None) -> Snapshot:
    """Fetch the files that the snapshot of the day lacks, all or none.

    Arguments and errors are those of :func:`current`. If the day has a snapshot for another
    country, this country's list is added to it.
    """
    code, now = parse_country(probe_cc), now or datetime.now(UTC)
    if is_fictional(code):
        raise ParameterError("PROBE_CC", code, "nobody keeps reference data of a fictional country")
    today = _complete(items(code, now.date()), folder, say, now)
    today.check(code)
    return today


def find_fingerprints(folder: Path, say: Say, now: datetime | None = None) -> Path:
    """Return the newest fingerprints; fetch them if there are none of the last 30 days.

    No country is needed. If they cannot be fetched, older ones are used.

    Raises:
        SourceError: they cannot be fetched, and no snapshot has them.
    """
    now, names = now or datetime.now(UTC), (DNS_FINGERPRINTS, HTTP_FINGERPRINTS)
    kept = [one for one in snapshots(folder) if all(map(one.sidecar, names))]
    if not kept or days_between(kept[-1].day, now.date()) >= FRESH_DAYS:
        wanted = [item for item in items("", now.date()) if item.name in names]
        try:
            kept.append(_complete(wanted, folder, say, now))
        except SourceError as error:
            if not kept:
                raise
            say(f"{error} The fingerprints of {kept[-1].day} are used")
    return (kept[-1].folder / DNS_FINGERPRINTS).parent


def _complete(wanted: Sequence[Item], folder: Path, say: Say, now: datetime) -> Snapshot:
    """Fetch the files that the snapshot of the day lacks, and return it."""
    today = Snapshot(folder / now.date().isoformat())
    with (
        lock_folder(folder, "snapshot can be written to"),
        TemporaryFolder(".fetching-", folder) as parent,
    ):
        build = parent / today.folder.name
        missing = [item for item in wanted if today.sidecar(item.name) is None]
        fetched = [item.name for item in missing if _add(build, item, folder, now, say)]
        if fetched:
            publish(build, today.folder, fetched)
    return today


def _add(build: Path, item: Item, folder: Path, now: datetime, say: Say) -> bool:
    """Fetch one file with its sidecar into ``build`` and return whether it arrived.

    Raises:
        SourceError: it did not arrive, and a report cannot be made without it.
    """
    say(f"fetching {item.role}")
    target = build / item.name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        sidecar = _fetch(target, item, _find_previous(item.name, folder), now)
    except CannotRead as error:
        message = f"the {item.role} cannot be fetched from {item.urls[-1]}: {error}"
        if item.may_fail:
            target.unlink(missing_ok=True)
            say(f"{message}; going on without")
            return False
        raise SourceError(message) from None
    write_sidecar(build, item.name, sidecar)
    return True


def _find_previous(name: str, folder: Path) -> tuple[str, Sidecar] | None:
    """Return the day and the file's sidecar of the newest snapshot that has the file."""
    for snapshot in reversed(snapshots(folder)):
        sidecar = snapshot.sidecar(name)
        if sidecar and sidecar.status == 200:
            return snapshot.folder.name, sidecar
    return None


def _fetch(
    target: Path, item: Item, previous: tuple[str, Sidecar] | None, now: datetime
) -> Sidecar:
    """Fetch a file, read it as a report will, and return its sidecar.

    Raises:
        CannotRead: the file cannot be fetched, or is implausible.
    """
    about = partial(
        Sidecar, fetched_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"), role=item.role, licence=item.licence
    )
    replies = ((url, download(url, *item.limits)) for url in item.urls)
    url, content = next((reply for reply in replies if reply[1] is not None), (item.urls[-1], None))
    if content is None:
        if item.may_not_exist and not previous:
            return about(url=url, status=404)
        raise CannotRead("the server has no such file")
    target.write_bytes(content)
    try:
        row_count, latest = item.read(target)
    except ParameterError as error:
        # The parameter and the temporary path mean nothing to the user.
        reason = str(error).rpartition(f"{target.parent}/")[2][:300]
        raise CannotRead(f"what arrived cannot be used: {reason}") from None
    if not row_count:
        raise CannotRead("what arrived has no rows")
    if previous:
        day, before = previous
        if row_count < _KEPT_SHARE * before.row_count:
            raise CannotRead(
                f"what arrived has {row_count} rows, less than half of the {before.row_count} of "
                f"{day} (if that is right, move the older snapshots out of "
                "data/reference/snapshots)"
            )
    data = target.read_bytes()
    return about(
        url=url,
        status=200,
        size=len(data),
        sha256=sha256(data).hexdigest(),
        row_count=row_count,
        date=latest,
    )
