"""OONI's published counts of web_connectivity measurements, from its aggregation API.

``https://api.ooni.io/api/v1/aggregation`` counts the measurements of a country and a period by
month under OONI's four flags. The environment variable ``OONI_API`` names another server with the
same API.

A reply is kept as it was received, with a sidecar that says whence. It is final once it was asked
for :data:`SETTLED_DAYS` after the end of its period, and then never asked for again.

OONI's quota is counted by the hour, in server time spent on one client. Who asks for more is
answered 429, as a rule without saying when to come back.
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from analysis.errors import ContractError, ParameterError, SourceError, printable
from analysis.period import Period, days_between
from analysis.reference.snapshots import Sidecar, write_sidecar
from analysis.sources.archive_files import CannotRead, lock_folder
from analysis.sources.layout import RECEIPT_MARGIN
from analysis.sources.web import Deadline, Limits, Reply, Server, read_pause, retry

ADDRESS = "https://api.ooni.io"
VARIABLE = "OONI_API"
_ADDRESS = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?(/[\w./~%+-]*)?", re.ASCII)

#: Days after a period for which its late uploads are awaited; the archive is read for as long. Who
#: reads it later than the reply came counts what came after (``tieout``).
SETTLED_DAYS = RECEIPT_MARGIN

#: Seconds for one reply from the first byte sent to the last one received, all attempts together.
#: A large country's year takes OONI's database a minute or two.
REPLY_SECONDS = 300.0

_LARGEST = 16_000_000  # bytes; a month takes some two hundred
_ANSWERS = range(200, 500)  # a refusal is one too
_WAITS = 3  # for the quota
_LONGEST_WAIT = timedelta(hours=2)
_LONGEST_TEXT = 200  # characters that are not ours
_TIME = "%Y-%m-%dT%H:%M:%SZ"

#: What can be asked, in the order in which it stands in an address.
_PARAMETERS = ("test_name", "probe_cc", "since", "until", "axis_x", "axis_y", "time_grain")
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Cells(NamedTuple):
    """Measurements by OONI's flags, each under one of them."""

    ok: int
    anomaly: int
    confirmed: int
    failure: int

    @property
    def total(self) -> int:
        return sum(self)


@dataclass(frozen=True)
class Counts:
    """OONI's counts of a country and a period.

    Attributes:
        cells: by month (``2024-01``). What has no measurement is absent.
        asked_at: when, UTC.
        sha256: of the reply.
    """

    cells: Mapping[str, Cells]
    asked_at: datetime
    sha256: str


@dataclass(frozen=True)
class Question:
    """What OONI is asked to count.

    Attributes:
        name: how the file with the reply begins.
        period: of the measurements; its end is exclusive for OONI too.
        what: how a sentence calls what is asked for: ``its counts by month``.
        query: the other parameters of the request.
    """

    name: str
    period: Period
    what: str
    query: Mapping[str, str]

    def url(self) -> str:
        """The address that is asked.

        Raises:
            ParameterError: ``OONI_API`` is no server's address.
        """
        address = os.environ.get(VARIABLE) or ADDRESS
        if not _ADDRESS.fullmatch(address):
            accepted = f"the address of a server with OONI's API, such as {ADDRESS}"
            raise ParameterError(VARIABLE, address, accepted)
        dates = {"since": self.period.since.isoformat(), "until": self.period.until.isoformat()}
        asked = {**self.query, **dates}
        ordered = {name: asked[name] for name in _PARAMETERS if name in asked}
        return f"{address.rstrip('/')}/api/v1/aggregation?{urlencode(ordered)}"

    def file(self) -> str:
        """Where the reply is kept: readable, and another file for each server."""
        digest = sha256(self.url().encode()).hexdigest()[:8]
        return f"aggregation/{self.name}-{self.period}-{digest}.json"


@dataclass(frozen=True)
class Kept:
    """A reply as it was received; ``asked_at`` is when, UTC."""

    body: bytes
    asked_at: datetime
    sha256: str


class Row(msgspec.Struct, frozen=True):
    """A row of a reply: OONI's disjoint flags, which sum to its measurements."""

    measurement_count: _Count
    ok_count: _Count
    anomaly_count: _Count
    confirmed_count: _Count
    failure_count: _Count

    def cells(self, table: str, what: str) -> Cells:
        """Its flags; ContractError where they do not sum."""
        cells = Cells(self.ok_count, self.anomaly_count, self.confirmed_count, self.failure_count)
        if cells.total != self.measurement_count:
            raise ContractError(
                f"OONI's counts {table}: the flags of {what} sum to {cells.total}, not to "
                f"{self.measurement_count}"
            )
        return cells


class _MonthRow(Row, frozen=True):
    measurement_start_day: str | None = None


class _Result(msgspec.Struct):
    result: list[_MonthRow]


class _Reply(msgspec.Struct):
    """A reply, or one of the shapes in which the API refuses."""

    result: msgspec.Raw | UnsetType = UNSET
    msg: Any = None
    detail: Any = None
    error: Any = None


def fetch_counts(folder: Path, probe_cc: str, period: Period, say: Callable[[str], None]) -> Counts:
    """Count the measurements of a country, asking OONI unless a final reply is kept.

    Args:
        folder: where replies are kept; made where it is not there.
        probe_cc: the country.
        period: of the measurements.
        say: is told what is asked and of every wait.

    Raises:
        ParameterError: ``OONI_API`` is no server's address.
        SourceError: OONI did not answer, or refused, or sent no JSON; or nothing can be kept.
        ContractError: what it sent cannot be counts.
    """
    question = _by_month(probe_cc, period)
    reply = fetch_reply(folder, question, lambda body: read_cells(body, period), say)
    return Counts(read_cells(reply.body, period), reply.asked_at, reply.sha256)


def fetch_reply(
    folder: Path, question: Question, check: Callable[[bytes], object], say: Callable[[str], None]
) -> Kept:
    """Ask OONI, unless a final reply is kept.

    Args:
        folder: where replies are kept; made where it is not there.
        question: what is asked.
        check: refuses a reply that cannot be what was asked for; such a one is not kept.
        say: is told what is asked and of every wait.

    Raises:
        ParameterError: ``OONI_API`` is no server's address.
        SourceError: OONI did not answer, or refused, or sent no JSON; or nothing can be kept.
    """
    url = question.url()
    with lock_folder(folder, "reply can be kept in"):  # one request at a time
        kept = find_reply(folder, question)
        if kept and days_between(question.period.until, kept.asked_at.date()) >= SETTLED_DAYS:
            return kept
        api = f"OONI's API ({urlsplit(url).netloc})"
        say(f"asking {api} for {question.what}")
        status, body = _ask(api, url, say)
        asked_at = _now().replace(microsecond=0)
        _refuse_error(api, status, body)
        check(body)
        return Kept(body, asked_at, _keep(folder, question, body, asked_at))


def read_counts(folder: Path, probe_cc: str, period: Period) -> Counts:
    """The counts that were fetched last; no network is touched.

    Raises:
        SourceError: they were never asked for.
    """
    reply = find_reply(folder, _by_month(probe_cc, period))
    if reply is None:
        raise SourceError(
            f"OONI's counts of {probe_cc} from {period.since} to {period.last_day} by month are "
            "not in the store; 'make ingest' with the same parameters asks for them",
            resumes=False,
        )
    return Counts(read_cells(reply.body, period), reply.asked_at, reply.sha256)


def _by_month(probe_cc: str, period: Period) -> Question:
    query = {
        "test_name": "web_connectivity",
        "probe_cc": probe_cc,
        "axis_x": "measurement_start_day",
        "time_grain": "month",
    }
    return Question(f"{probe_cc.lower()}-month", period, "its counts by month", query)


def find_reply(folder: Path, question: Question) -> Kept | None:
    """What was kept of a reply; None where nothing was, or not as it was received."""
    name, url = question.file(), question.url()
    try:
        body = (folder / name).read_bytes()
        sidecar = msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Sidecar)
        asked_at = datetime.strptime(sidecar.fetched_at, _TIME).replace(tzinfo=UTC)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    digest = sha256(body).hexdigest()
    if (sidecar.url, sidecar.sha256) != (url, digest):
        return None
    return Kept(body, asked_at, digest)


def _keep(folder: Path, question: Question, body: bytes, asked_at: datetime) -> str:
    """Keep a reply; where it is not written whole, its digest in the sidecar will tell."""
    name = question.file()
    digest = sha256(body).hexdigest()
    sidecar = Sidecar(
        url=question.url(),
        fetched_at=asked_at.strftime(_TIME),
        role=f"OONI's {question.what.removeprefix('its ')}",
        licence="CC BY-NC-SA 4.0",
        status=200,
        size=len(body),
        sha256=digest,
    )
    write_sidecar(folder, name, sidecar)
    (folder / name).write_bytes(body)
    return digest


def _ask(api: str, url: str, say: Callable[[str], None]) -> tuple[int, bytes]:
    """Status and body of the reply; ``say`` is told of every wait for the quota.

    Raises:
        SourceError: the server did not answer, too much, or refuses again and again.
    """
    server = Server("compares a report's counts with OONI's", limits=Limits(silence=150.0))
    late = f"there was no whole reply within {REPLY_SECONDS:g} seconds"
    for attempt in range(_WAITS + 1):
        try:
            reply, body = retry(_receive, server, url, server.deadline(REPLY_SECONDS, late))
        except CannotRead as error:
            raise SourceError(f"{api} did not answer: {error}") from None
        if reply.status != 429:
            return reply.status, body
        if attempt < _WAITS:
            _wait(api, read_pause(reply.headers, _now()), say)
    raise SourceError(f"{api} still refuses for its quota after {_WAITS} waits")


def _wait(api: str, pause: float | None, say: Callable[[str], None]) -> None:
    """Wait until the next request may be made."""
    now = _now()
    if pause is None:
        # A minute over the hour: the server's clock is not this one's.
        until = now.replace(minute=1, second=0, microsecond=0) + timedelta(hours=1)
    else:
        until = now + timedelta(seconds=max(pause, 0.0))
    if until - now > _LONGEST_WAIT:
        raise SourceError(f"{api} refuses until {until:%Y-%m-%d %H:%M} UTC")
    say(f"the quota of OONI's API is spent; waiting until {until:%Y-%m-%d %H:%M} UTC")
    time.sleep((until - now).total_seconds())


def _receive(server: Server, url: str, deadline: Deadline) -> tuple[Reply, bytes]:
    reply, body = server.read(url, deadline, _LARGEST, _ANSWERS)
    if reply.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise CannotRead("it packed its reply, which was not asked for")
    return reply, body


def _now() -> datetime:
    return datetime.now(UTC)


def _refuse_error(api: str, status: int, body: bytes) -> None:
    """Tell a refusal from a reply. OONI has four shapes of it, one of them with status 200.

    Raises:
        SourceError: it is one, or no JSON at all; what the server said stands in the sentence.
    """
    try:
        reply = msgspec.json.decode(body, type=_Reply)
    except msgspec.ValidationError:
        reply = _Reply()  # JSON, but no object
    except _NOT_JSON:
        what = f"status {status} and no JSON" if status != 200 else "no JSON"
        raise SourceError(f"{api} sent {what}") from None
    said = reply.msg or reply.detail or reply.error or "without saying why"
    reason = printable(said, _LONGEST_TEXT)
    if status != 200:
        raise SourceError(f"{api} refused with status {status}: {reason}")
    if reply.result is UNSET:
        raise SourceError(f"{api} sent no result: {reason}")


def read_cells(body: bytes, period: Period) -> dict[str, Cells]:
    """Read a reply that holds a result.

    Raises:
        ContractError: it has another shape, a row stands twice or lies outside the period, or the
            flags of a row do not sum.
    """
    try:
        rows = msgspec.json.decode(body, type=_Result).result
    except _NOT_JSON as error:
        raise ContractError(f"OONI's counts by month have another shape: {error}") from None
    months = {f"{month.since:%Y-%m}-01": f"{month.since:%Y-%m}" for month in period.months()}
    cells: dict[str, Cells] = {}
    for row in rows:
        month = months.get(row.measurement_start_day or "")
        if month is None:
            raise ContractError("OONI's counts by month: a row is of no month that was asked for")
        if month in cells:
            raise ContractError(f"OONI's counts by month: two rows are of {month}")
        cells[month] = row.cells("by month", month)
    return cells
