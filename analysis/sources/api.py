"""OONI's published counts of measurements under its four flags, from its aggregation API.

``https://api.ooni.io/api/v1/aggregation`` counts the measurements of web sites and of messaging and
circumvention tests: a country's by day, which are summed by month here; and, so that a defect of a
test is not taken for a block, those of apps and tools in every country by week. The environment
variable ``OONI_API`` names other servers with the same API; of several, with commas between them,
each is asked if the one before it does not answer.

What the API accepts and refuses (ooni/backend, ``oonimeasurements/routers/v1/aggregation.py``):

- A request for counts over time names a grain, and which grain is allowed depends on the length of
  the period. Days are allowed for every length; months only for more than 30 days.
- The database ends a query after 30 seconds or at 51,000 rows (ooni/devops,
  ``group_vars/clickhouse/vars.yml``). The reply is 400 "Database query error", and would be again.
- Server time is counted for each client: some 40 seconds an hour (``rate_limit_quotas.py``). Who
  asks for more is answered 429, without saying when to come back.

So a country is asked for month by month, and all countries week by week. A month is some 40 million
measurements, of which OONI's database counted 80 million a second in the one reply that was
recorded; half of the period is asked for where that is still too much. A month of a country has
fewer than 250 rows, a week of all countries fewer than 2,000.

A reply is kept as it was received, with a sidecar that says whence. It is final once it was asked
for :data:`SETTLED_DAYS` after the end of its period, and then never asked for again. Another one is
asked for again after a day. If OONI then does not answer or refuses, the one that is kept is used.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode, urlsplit

import msgspec

from analysis.errors import ContractError, SourceError, printable
from analysis.observations.flags import DISJOINT
from analysis.observations.messaging_tests import BY_NAME
from analysis.period import Period, days_between
from analysis.reference.reference_files import Sidecar, write_sidecar
from analysis.sources.archive_files import RECEIPT_MARGIN, CannotRead, lock_folder
from analysis.sources.web import Limits, Server, retry

#: Both serve the same paths; the second is OONI's other domain (ooni/devops, ``tf/environments``).
ADDRESSES = "https://api.ooni.io,https://api.ooni.org"
VARIABLE = "OONI_API"

#: Days after a period for which its late uploads are awaited; the archive is read for as long. Who
#: reads it later than the reply came counts what came after (``tieout``).
SETTLED_DAYS = RECEIPT_MARGIN
#: For so long a reply that is not final is not asked for again.
_KEPT = timedelta(days=1)

#: Seconds for one reply from the first byte sent to the last one received, all attempts together.
#: OONI's database has 30 for each attempt.
REPLY_SECONDS = 180.0

_LARGEST = 16_000_000  # bytes; a month of a country, or a week of all, takes some 300,000
_ANSWERS = range(200, 500)  # a refusal is one too
_AGAIN = (408, 425, 429)  # refusals of now, not of what was asked
_TOO_MUCH = b"Database query error"
_LONGEST_TEXT = 200  # characters that are not ours
_TIME = "%Y-%m-%dT%H:%M:%SZ"

_WEB = "web_connectivity"
_APPS = tuple(sorted(BY_NAME))
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
Say = Callable[[str], None]


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements by OONI's flags, each under one of them."""

    measurement_count: _Count
    ok_count: _Count
    anomaly_count: _Count
    confirmed_count: _Count
    failure_count: _Count

    def by_flag(self) -> dict[str, int]:
        """Flag → measurements."""
        return {flag: getattr(self, f"{flag}_count") for flag in DISJOINT}


@dataclass(frozen=True)
class Row:
    """OONI's flags of a test in a country, on a day or from a day on (a week, or what is left of
    it where a week was too much for OONI).
    """

    day: date
    test_name: str
    probe_cc: str
    flags: Flags


@dataclass(frozen=True)
class Counts:
    """What OONI counts of a country.

    Attributes:
        rows: one a test and day.
        asked_at: month (``2024-01``) → when OONI was asked for it, UTC.
        sha256: of the replies, one after the other in the order of time.
    """

    rows: tuple[Row, ...]
    asked_at: Mapping[str, datetime]
    sha256: str

    def by_month(self) -> dict[str, dict[str, int]]:
        """Month → flag → measurements of web sites. A month that has none is absent."""
        months: dict[str, dict[str, int]] = {}
        for row in self.rows:
            if row.test_name == _WEB:
                sums = months.setdefault(f"{row.day:%Y-%m}", dict.fromkeys(DISJOINT, 0))
                for flag, count in row.flags.by_flag().items():
                    sums[flag] += count
        return months


class _Cell(Flags, frozen=True, kw_only=True):
    """A row as it is sent; OONI leaves out what is null."""

    measurement_start_day: date | None = None
    test_name: str = ""
    probe_cc: str = ""


class _Result(msgspec.Struct):
    result: list[_Cell]


@dataclass(frozen=True)
class Question:
    """What OONI is asked to count.

    Attributes:
        name: how the file with the reply begins.
        what: how a sentence calls what is asked for.
        period: of the measurements; its end is exclusive for OONI too.
        tests: by name.
        probe_cc: a country, which is asked for by day; ``""`` asks for every country, and the
            whole period.
    """

    name: str
    what: str
    period: Period
    tests: tuple[str, ...]
    probe_cc: str = ""

    def urls(self) -> list[str]:
        """The addresses that are asked, each if the one before it does not answer."""
        asked = {"test_name": ",".join(self.tests)}
        if self.probe_cc:
            asked |= {"probe_cc": self.probe_cc}
        asked |= {"since": str(self.period.since), "until": str(self.period.until)}
        asked |= {"axis_x": "measurement_start_day" if self.probe_cc else "probe_cc"}
        asked |= {"axis_y": "test_name"} | ({"time_grain": "day"} if self.probe_cc else {})
        query = urlencode(asked, safe=",")
        addresses = (os.environ.get(VARIABLE) or ADDRESSES).split(",")
        return [f"{one.strip().rstrip('/')}/api/v1/aggregation?{query}" for one in addresses]

    def file(self) -> str:
        """Where the reply is kept: readable, and another file for each server."""
        digest = sha256(self.urls()[0].encode()).hexdigest()[:8]
        return f"aggregation/{self.name}-{self.period}-{digest}.json"

    def halves(self) -> list["Question"]:
        """The same for both halves of the period; nothing of a single day."""
        if self.period.day_count < 2:
            return []
        return [replace(self, period=half) for half in self.period.split()]

    def read(self, body: bytes) -> tuple[Row, ...]:
        """Read a reply that holds a result.

        Rows of other tests, and of what is no country, are left out: OONI takes measurements of
        any two capital letters or digits (ooni/backend, ``ooniprobe/utils.py``).

        Raises:
            ContractError: it has another shape, two rows are of the same, a row lies outside the
                period, or the flags of a row do not sum.
        """
        try:
            cells = msgspec.json.decode(body, type=_Result).result
        except _NOT_JSON as error:
            raise ContractError(f"OONI's {self.what} have another shape: {error}") from None
        found: dict[tuple[date, str, str], Row] = {}
        for cell in cells:
            day = cell.measurement_start_day
            if (day is None) == bool(self.probe_cc):
                raise ContractError(f"OONI's {self.what} have another shape: a row of day {day}")
            day, probe_cc = day or self.period.since, self.probe_cc or cell.probe_cc
            if cell.test_name not in self.tests or not _is_country(probe_cc):
                continue
            row = Row(day, cell.test_name, probe_cc, cell)
            about = f"{row.test_name} on {day}"
            if day not in self.period:
                raise ContractError(f"OONI's {self.what}: {about} was not asked for")
            if found.setdefault((day, row.test_name, probe_cc), row) is not row:
                raise ContractError(f"OONI's {self.what}: two rows are of {about}")
            total = sum(cell.by_flag().values())
            if total != cell.measurement_count:
                raise ContractError(
                    f"OONI's {self.what}: the flags of {about} sum to {total}, not to "
                    f"{cell.measurement_count}"
                )
        return tuple(found.values())


def _is_country(probe_cc: str) -> bool:
    return len(probe_cc) == 2 and probe_cc.isascii() and probe_cc.isalpha() and probe_cc.isupper()


def of_country(probe_cc: str, period: Period) -> list[Question]:
    """The counts of a country's tests by day, one question a month."""
    name, what = f"{probe_cc.lower()}-day", f"counts of {probe_cc} by day"
    return [Question(name, what, part, (_WEB, *_APPS), probe_cc) for part in period.months()]


def of_every_country(period: Period) -> list[Question]:
    """The counts of messaging and circumvention tests in every country, one question a week.

    Weeks are whole and begin on Sunday, so that reports of other periods and countries use the
    same replies.
    """
    what = "counts of apps and tools in every country by week"
    return [Question("every-week", what, week, _APPS) for week in period.weeks()]


def read_counts(folder: Path, probe_cc: str, period: Period) -> Counts:
    """A country's counts that were fetched last; no network is touched.

    Raises:
        SourceError: they were never asked for.
    """
    counts = _read_kept(folder, of_country(probe_cc, period))
    if counts is None:
        raise SourceError(
            f"OONI's counts of {probe_cc} from {period.since} to {period.last_day} are not in the "
            "store; 'make ingest' with the same parameters asks for them",
            resumes=False,
        )
    return counts


def read_messaging_counts(
    folder: Path, probe_cc: str, period: Period
) -> tuple[tuple[Row, ...], tuple[Row, ...], dict[str, str]] | None:
    """The counts that were fetched last; no network is touched. None where they never were.

    Returns:
        Rows of the country's apps and tools by day; a day without a measurement is not there. Rows
        of all countries, this one too, by week. And the SHA-256 of the replies to either.
    """
    here = _read_kept(folder, of_country(probe_cc, period))
    everywhere = _read_kept(folder, of_every_country(period))
    if here is None or everywhere is None:
        return None
    apps = tuple(row for row in here.rows if row.test_name in BY_NAME)
    digests = {"the country": here.sha256, "every country": everywhere.sha256}
    return apps, everywhere.rows, digests


def _read_kept(folder: Path, questions: Iterable[Question]) -> Counts | None:
    found = _find_all(folder, questions)
    if found is None:
        return None
    asked_at: dict[str, datetime] = {}
    for reply in found:
        month = f"{reply.period.since:%Y-%m}"
        asked_at[month] = min(reply.asked_at, asked_at.get(month, reply.asked_at))
    rows = tuple(row for reply in found for row in reply.rows)
    return Counts(rows, asked_at, sha256(b"".join(reply.body for reply in found)).hexdigest())


@dataclass(frozen=True)
class _Reply:
    """A reply that is kept: what it counts, of which period, and when it was asked for (UTC)."""

    rows: tuple[Row, ...]
    period: Period
    asked_at: datetime
    body: bytes

    def is_fresh(self) -> bool:
        """Whether it is final, or so young that it is not asked for again."""
        age = days_between(self.period.until, self.asked_at.date())
        return age >= SETTLED_DAYS or _now() - self.asked_at < _KEPT


def find_unasked(folder: Path, questions: Iterable[Question]) -> tuple[list[Question], bool]:
    """Which questions a run would ask, and whether it could do without an answer."""
    kept = [(question, _find(folder, question)) for question in questions]
    asked = [question for question, replies in kept if not _are_fresh(replies)]
    return asked, all(replies is not None for _, replies in kept)


def _are_fresh(replies: list[_Reply] | None) -> bool:
    return replies is not None and all(reply.is_fresh() for reply in replies)


def fetch_counts(folder: Path, questions: Iterable[Question], say: Say) -> None:
    """Ask OONI for counts, one request at a time, unless a fresh reply is kept.

    Args:
        folder: where replies are kept; made where it is not there.
        questions: see ``of_country`` and ``of_every_country``.
        say: is told what is asked, and where an older reply has to do.

    Raises:
        SourceError: OONI did not answer, or refused, or sent no JSON, and no older reply is kept;
            or nothing can be kept.
        ContractError: what it sent cannot be counts; such a reply is not kept.
    """
    with lock_folder(folder, "reply can be kept in"):
        asked, has_all = find_unasked(folder, questions)
        said, purpose = "", "compares a report's counts with OONI's"
        server = Server(purpose, limits=Limits(silence=90.0))
        try:
            for question in asked:
                if question.what != said:
                    said = question.what
                    say(f"asking {_name_api(question.urls()[0])} for its {said}")
                _fetch(folder, question, server)
        except SourceError as error:
            if not has_all:
                raise
            say(f"{error} Counts that OONI sent earlier are used")


def _fetch(folder: Path, question: Question, server: Server) -> None:
    """Keep the reply to a question, or those to its halves where it asks for too much."""
    if _are_fresh(_find(folder, question)):  # half of a question
        return
    path = folder / question.file()
    try:
        body, url = _ask(question, server)
    except _AsksTooMuch:
        halves = question.halves()
        if not halves:  # a day is not too much: the database is in trouble, which may pass
            raise
        for half in halves:
            _fetch(folder, half, server)
        path.unlink(missing_ok=True)  # an older reply to the whole
        return
    question.read(body)
    sidecar = Sidecar(
        url=url,
        fetched_at=_now().strftime(_TIME),
        role=f"OONI's {question.what}",
        licence="CC BY-NC-SA 4.0",
        status=200,
        size=len(body),
        sha256=sha256(body).hexdigest(),
    )
    # Where the reply is not written whole, its digest in the sidecar will tell.
    write_sidecar(folder, question.file(), sidecar)
    path.write_bytes(body)


def _find_all(folder: Path, questions: Iterable[Question]) -> list[_Reply] | None:
    """What was kept of the replies to several questions, in order; None where one lacks a reply."""
    found: list[_Reply] = []
    for question in questions:
        replies = _find(folder, question)
        if replies is None:
            return None
        found += replies
    return found


def _find(folder: Path, question: Question) -> list[_Reply] | None:
    """What was kept of the replies to a question or to its halves, in the order of time; None where
    anything is missing or not as it was received.
    """
    name = question.file()
    try:
        body = (folder / name).read_bytes()
        sidecar = msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Sidecar)
        asked_at = datetime.strptime(sidecar.fetched_at, _TIME).replace(tzinfo=UTC)
    except (OSError, msgspec.MsgspecError, ValueError):
        return _find_all(folder, question.halves()) or None
    if sidecar.url not in question.urls() or sidecar.sha256 != sha256(body).hexdigest():
        return None
    return [_Reply(question.read(body), question.period, asked_at, body)]


class _AsksTooMuch(SourceError):
    """OONI's database gave up: a shorter period may be counted."""


def _name_api(url: str) -> str:
    return f"OONI's API ({urlsplit(url).netloc})"


def _ask(question: Question, server: Server) -> tuple[bytes, str]:
    """A reply that holds a result, and the address that gave it.

    OONI refuses in four shapes, one of them with status 200.

    Raises:
        SourceError: no server answered, or too much, or something else, which stands in the
            sentence; or the quota is spent.
        _AsksTooMuch: see there.
    """
    late = f"there was no whole reply within {REPLY_SECONDS:g} seconds"
    unanswered = []
    for url in question.urls():
        api, deadline = _name_api(url), server.deadline(REPLY_SECONDS, late)
        try:
            reply, body = retry(server.read, url, deadline, _LARGEST, _ANSWERS)
        except CannotRead as error:
            unanswered.append(f"{api} did not answer: {error}")
            continue
        refuse(api, reply.status, body)
        return body, url
    raise SourceError("; ".join(unanswered))


def refuse(api: str, status: int, body: bytes) -> None:
    """Refuse a reply that holds no result.

    Raises:
        SourceError: it is none, with what it says instead.
        _AsksTooMuch: OONI's database gave up.
    """
    if status == 429:
        raise SourceError(f"the quota of {api}, which is counted by the hour, is spent")
    try:
        parts = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except _NOT_JSON:
        parts = {}
    if status == 200 and "result" in parts:
        return
    said = printable(body.decode("utf-8", "replace"), _LONGEST_TEXT)
    message = f"{api} sent no counts but status {status}: {said}"
    if status == 400 and _TOO_MUCH in body:
        raise _AsksTooMuch(message)
    # What was asked is wrong, in OONI's own words, and will be wrong the next time.
    is_refused = bool(parts) and status not in _AGAIN
    raise SourceError(message, resumes=not is_refused)


def _now() -> datetime:
    return datetime.now(UTC)
