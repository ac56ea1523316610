"""Fetching reference data into the snapshot of the day, whole or not at all.

It lists which data a snapshot holds, from where, and how each file is read. The addresses can be
replaced by environment variables, for a mirror where a source is blocked, or to pin a commit;
data/reference/README.md says why these sources.
"""

import gzip
import os
import zlib
from collections.abc import Callable
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
    """What a server sends, unpacked where it comes packed with gzip, by whatever name; None where
    it has no such file.

    Args:
        url: the address.
        size: bytes that it may have, as it is sent and unpacked.
        seconds: for all attempts together.

    Raises:
        CannotRead: it cannot be had, or is larger or slower.
    """
    server = Server("fetches reference data", "gzip")
    deadline = server.deadline(seconds, f"it did not arrive within {seconds:g} seconds")
    reply, sent = retry(server.read, url, deadline, size, (200, 404, 410))
    if reply.status != 200:
        return None
    return _unpack(sent, size) if sent.startswith(_GZIP_MAGIC) else sent


def _unpack(packed: bytes, limit: int) -> bytes:
    """httpx is not asked to unpack: it would do so without bounds, and take a cut file for whole.

    Raises:
        CannotRead: it is cut, or holds more than ``limit`` bytes.
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
#: Bytes and seconds that a list may take, and the table of names.
_LIST_LIMITS, _NAMES_LIMITS = (16_000_000, 300.0), (256_000_000, 1800.0)
_LEGEND_COLUMNS = ("Category Description", "New Code")


#: What a report reads from a file: the number of rows, and the latest date inside, ISO or empty.
Content: TypeAlias = tuple[int, str]


@dataclass(frozen=True)
class Item:
    """One file of a snapshot.

    Attributes:
        name: its name in the snapshot.
        role: what it is used for.
        licence: that of the source.
        urls: addresses; the first that has the file is taken.
        limits: bytes and seconds that it may take.
        read: reads it as a report does, drawing it first where it is part of a larger one; raises
            ParameterError where a report could not.
        may_not_exist: the source has it for some countries only.
        may_fail: a report does without it.
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
    """The files of a snapshot for a country.

    Raises:
        ParameterError: an address in the environment is none.
    """
    lists, known, names = (_address(variable) for variable in ADDRESSES)
    months = (today, month_before(today))  # a month's table comes out some time on its first day
    own = country_list(code)
    read_list = partial(_read_test_list, code=code)

    def listed(folder: str, name: str, role: str, read: Callable[[Path], Content]) -> Item:
        url = f"{folder}/{Path(name).name}"
        return Item(name, role, _NC, (url,), _LIST_LIMITS, read, may_not_exist=name == own)

    return (
        listed(lists, LEGEND, "categories of the test lists", _read_legend),
        listed(lists, GLOBAL_LIST, "general test list", read_list),
        listed(lists, own, "country test list", read_list),
        listed(known, DNS_FINGERPRINTS, "DNS fingerprints", partial(_read_marks, kind="dns")),
        listed(known, HTTP_FINGERPRINTS, "HTTP fingerprints", partial(_read_marks, kind="http")),
        Item(
            NETWORK_NAMES,
            "network names",
            "CC BY 4.0, DB-IP",
            tuple(dict.fromkeys(names.replace("{month}", f"{day:%Y-%m}") for day in months)),
            _NAMES_LIMITS,
            _read_names,
            may_fail=True,
        ),
    )


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
    # The loader takes a cut row for one with empty cells; this does not.
    read_csv(path, ("name", "pattern"), "FINGERPRINTS")
    return len(getattr(fingerprints.load(str(path.parent)), kind)), ""


def _read_names(path: Path) -> Content:
    extract_names(path, path)
    return len(load_network_names(path).names), ""


#: A snapshot younger than this is used as it is: within a month the lists change by a few rows,
#: the network names not at all, and other fingerprints would have the whole archive read again.
FRESH_DAYS = 30

#: A list with less than this share of its rows before is taken for a fault of the source.
_KEPT_SHARE = 0.5

Say = Callable[[str], None]


def current(probe_cc: str, folder: Path, say: Say, now: datetime | None = None) -> Snapshot:
    """The newest snapshot for a country; fetched where there is none of the last 30 days.

    Args:
        probe_cc: the country, none of the fictional ones.
        folder: where the snapshots lie.
        say: is told what is being fetched, and what could not be.
        now: the time, UTC.

    Raises:
        ParameterError: the country is fictional, or an address in the environment is none.
        SourceError: a source could not be reached, or sent what cannot be used.
        ContractError: a file of the snapshot is not what was fetched.
    """
    code, now = parse_country(probe_cc), now or datetime.now(UTC)
    newest = next(reversed(held(code, folder)), None)
    if newest is None or days_between(newest.day, now.date()) >= FRESH_DAYS:
        return refresh(code, folder, say, now)
    newest.check(code)
    return newest


def refresh(probe_cc: str, folder: Path, say: Say, now: datetime | None = None) -> Snapshot:
    """Fetch what the snapshot of the day has not got yet, whole or not at all.

    Arguments and errors are those of :func:`current`. What the day's snapshot has is not fetched
    again; another country's list is added to it.
    """
    code, now = parse_country(probe_cc), now or datetime.now(UTC)
    if is_fictional(code):
        raise ParameterError("PROBE_CC", code, "nobody keeps reference data of a fictional country")
    wanted = items(code, now.date())
    today = Snapshot(folder / now.date().isoformat())
    with (
        lock_folder(folder, "snapshot can be written to"),
        TemporaryFolder(".fetching-", folder) as parent,
    ):
        build = parent / today.folder.name
        lacking = [item for item in wanted if today.sidecar(item.name) is None]
        fetched = [item.name for item in lacking if _add(build, item, folder, now, say)]
        if fetched:
            publish(build, today.folder, fetched)
    today.check(code)
    return today


def _add(build: Path, item: Item, folder: Path, now: datetime, say: Say) -> bool:
    """Fetch one file with its sidecar into the folder that is being built; whether it came.

    Raises:
        SourceError: it did not, and a report cannot do without.
    """
    say(f"fetching {item.role}")
    target = build / item.name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        sidecar = _fetch(target, item, _before(item.name, folder), now)
    except CannotRead as error:
        message = f"the {item.role} cannot be fetched from {item.urls[-1]}: {error}"
        if item.may_fail:
            target.unlink(missing_ok=True)
            say(f"{message}; going on without")
            return False
        raise SourceError(message) from None
    write_sidecar(build, item.name, sidecar)
    return True


def _before(name: str, folder: Path) -> tuple[str, Sidecar] | None:
    """Day and sidecar of the newest snapshot that has a file."""
    for snapshot in reversed(snapshots(folder)):
        sidecar = snapshot.sidecar(name)
        if sidecar and sidecar.status == 200:
            return snapshot.folder.name, sidecar
    return None


def _fetch(target: Path, item: Item, before: tuple[str, Sidecar] | None, now: datetime) -> Sidecar:
    """Fetch a file, read it as a report will, and describe it.

    Raises:
        CannotRead: it cannot be had, or cannot be what it should be.
    """
    about = partial(
        Sidecar, fetched_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"), role=item.role, licence=item.licence
    )
    replies = ((url, download(url, *item.limits)) for url in item.urls)
    url, content = next((one for one in replies if one[1] is not None), (item.urls[-1], None))
    if content is None:
        if item.may_not_exist and not before:
            return about(url=url, status=404)
        raise CannotRead("the server has no such file")
    target.write_bytes(content)
    try:
        row_count, latest = item.read(target)
    except ParameterError as error:
        # The parameter and the temporary path say nothing to anybody.
        what = str(error).rpartition(f"{target.parent}/")[2][:300]
        raise CannotRead(f"what arrived cannot be used: {what}") from None
    if not row_count:
        raise CannotRead("what arrived has no rows")
    if before and row_count < _KEPT_SHARE * before[1].row_count:
        raise CannotRead(
            f"what arrived has {row_count} rows, less than half of the "
            f"{before[1].row_count} of {before[0]} (if that is right, move the older snapshots out "
            "of data/reference/snapshots)"
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
