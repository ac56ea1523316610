"""Fetching reference data into the snapshot of the day, whole or not at all."""

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from analysis.errors import ParameterError, SourceError
from analysis.period import days_between
from analysis.places.downloads import Download, NotThere, download
from analysis.places.files import CannotRead
from analysis.places.reference_sources import Content, Item, items
from analysis.reference import is_fictional, parse_country
from analysis.snapshots import Sidecar, Snapshot, held, publish, snapshots, write_sidecar

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
    code, now = _real_country(probe_cc), now or datetime.now(UTC)
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
    code, now = _real_country(probe_cc), now or datetime.now(UTC)
    wanted = items(code, now.date())
    today = Snapshot(folder / now.date().isoformat())
    with _alone(folder), tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as place:
        build = Path(place) / today.folder.name
        lacking = [item for item in wanted if today.sidecar(item.name) is None]
        fetched = [item.name for item in lacking if _add(build, item, code, folder, now, say)]
        if fetched:
            publish(build, today.folder, fetched)
    today.check(code)
    return today


def _real_country(probe_cc: str) -> str:
    code = parse_country(probe_cc)
    if is_fictional(code):
        raise ParameterError("PROBE_CC", code, "nobody keeps reference data of a fictional country")
    return code


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from fetching into the same folder, and clear away what they left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in folder.glob(".fetching-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"no snapshot can be written to {folder}: {reason}") from None


def _add(build: Path, item: Item, code: str, folder: Path, now: datetime, say: Say) -> bool:
    """Fetch one file with its sidecar into the folder that is being built; whether it came.

    Raises:
        SourceError: it did not, and a report cannot do without.
    """
    say(f"fetching {item.role}")
    target = build / item.name
    target.parent.mkdir(parents=True, exist_ok=True)
    arriving = build.with_name("arriving") / target.name
    arriving.parent.mkdir(exist_ok=True)
    try:
        sidecar = _fetch(arriving, item, _before(item.name, folder), now)
    except CannotRead as error:
        message = f"the {item.role} cannot be fetched from {item.urls[-1]}: {error}"
        if item.may_fail:
            say(f"{message}; going on without")
            return False
        raise SourceError(message + _instead(code, folder)) from None
    if sidecar.status == 200:
        arriving.rename(target)
    write_sidecar(build, item.name, sidecar)
    return True


def _instead(code: str, folder: Path) -> str:
    days = [snapshot.folder.name for snapshot in held(code, folder)]
    return f"; REFERENCE={days[-1]} takes the snapshot of that day instead" if days else ""


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
    origin = Sidecar(
        url=item.urls[-1],
        fetched_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        role=item.role,
        licence=item.licence,
        status=404,
    )
    sent = target.with_name(f"{target.name}.sent") if item.draw else target
    try:
        reply = _first(item, sent)
    except NotThere:
        if item.may_not_exist and not before:
            return origin
        raise
    content = _read(target, sent, item)
    _refuse_shrunk(content, before)
    data = target.read_bytes()
    return replace(
        origin,
        url=reply.url,
        status=200,
        etag=reply.etag,
        last_modified=reply.last_modified,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        row_count=content.row_count,
        date=content.date,
        source_size=reply.size if item.draw else 0,
        source_sha256=reply.sha256 if item.draw else "",
    )


def _first(item: Item, target: Path) -> Download:
    """Download from the first address that has the file."""
    for url in item.urls[:-1]:
        try:
            return download(url, target, item.limits)
        except NotThere:
            pass
    return download(item.urls[-1], target, item.limits)


def _read(target: Path, sent: Path, item: Item) -> Content:
    """Read a fetched file as a report will, drawing it first where it is part of a larger one."""
    try:
        if item.draw:
            item.draw(sent, target)
        return item.read(target)
    except ParameterError as error:
        # The parameter and the temporary path say nothing to anybody.
        what = str(error).rpartition(f"{target.parent}/")[2][:300]
        raise CannotRead(f"what arrived cannot be used: {what}") from None


def _refuse_shrunk(content: Content, before: tuple[str, Sidecar] | None) -> None:
    if not content.row_count:
        raise CannotRead("what arrived has no rows")
    if before and content.row_count < _KEPT_SHARE * before[1].row_count:
        raise CannotRead(
            f"what arrived has {content.row_count} rows, less than half of the "
            f"{before[1].row_count} of {before[0]} (if that is right, move the older snapshots out "
            "of data/reference/snapshots)"
        )
