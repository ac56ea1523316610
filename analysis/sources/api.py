"""OONI's published counts of measurements under its four flags, from its aggregation API.

``https://api.ooni.io/api/v1/aggregation`` counts the measurements of web sites and of messaging and
circumvention tests. This module asks for a country's counts by day, which are summed by month here,
and for the counts of apps and tools in every country by week, so that a defect of a test is not
taken for a block. The environment variable ``OONI_API`` names other servers with the same API,
separated by commas; each is asked if the one before it does not answer.

What the API accepts and refuses (ooni/backend, ``oonimeasurements/routers/v1/aggregation.py``):

- A request for counts over time names a grain, and which grain is allowed depends on the length of
  the period. Days are allowed for every length; months only for more than 30 days.
- The database ends a query after 30 seconds or at 51,000 rows (ooni/devops,
  ``group_vars/clickhouse/vars.yml``). The reply is 400 "Database query error"; repeating the
  request does not help.
- Each client has some 40 seconds of server time an hour (``rate_limit_quotas.py``). Further
  requests are answered 429, without the time after which to try again.

So counts are requested month by month for a country, and week by week for all countries. A month is
some 40 million measurements, of which OONI's database counted 80 million a second in the one reply
that was recorded. If that is still too much, both halves of the period are requested. A month of a
country has fewer than 250 rows, a week of all countries fewer than 2,000.

A reply is kept as it was received, with a sidecar. A reply that was requested at least
:data:`SETTLED_DAYS` after the end of its period is final. Any other is requested again after a day;
if OONI then does not answer or refuses, the kept reply is used.
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

#: Days after a period in which late uploads may arrive; the archive is read for as long. ``tieout``
#: counts the uploads between a reply and the reading of the archive.
SETTLED_DAYS = RECEIPT_MARGIN
#: Time after which a reply that is not final is requested again.
_KEPT = timedelta(days=1)

#: Seconds for one reply from the first byte sent to the last one received, all attempts together.
#: OONI's database has 30 for each attempt.
REPLY_SECONDS = 180.0

_LARGEST = 16_000_000  # bytes; a month of a country, or a week of all, takes some 300,000
_ANSWERS = range(200, 500)  # with refusals, whose bodies have the reason
_AGAIN = (408, 425, 429)  # refusals for the time being, not of the question
_TOO_MUCH = b"Database query error"
_TEXT_LENGTH = 200  # characters of a reply that an error repeats
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
        """Return flag → measurements."""
        return {flag: getattr(self, f"{flag}_count") for flag in DISJOINT}


@dataclass(frozen=True)
class Row:
    """OONI's flags of a test in a country, on a day or in a week.

    ``day`` is the first day; a week may be a part of one if the whole was too much for OONI.
    """

    day: date
    test_name: str
    probe_cc: str
    flags: Flags


@dataclass(frozen=True)
class Counts:
    """OONI's counts of a country.

    Attributes:
        rows: one for each test and day.
        asked_at: month (``2024-01``) → the time of the request, UTC.
        sha256: of the replies, joined in the order of time.
    """

    rows: tuple[Row, ...]
    asked_at: Mapping[str, datetime]
    sha256: str

    def by_month(self) -> dict[str, dict[str, int]]:
        """Return month → flag → measurements of web sites; months without any are absent."""
        months: dict[str, dict[str, int]] = {}
        for row in self.rows:
            if row.test_name == _WEB:
                sums = months.setdefault(f"{row.day:%Y-%m}", dict.fromkeys(DISJOINT, 0))
                for flag, count in row.flags.by_flag().items():
                    sums[flag] += count
        return months


class _Cell(Flags, frozen=True, kw_only=True):
    """A row as OONI sends it, without null fields."""

    measurement_start_day: date | None = None
    test_name: str = ""
    probe_cc: str = ""


class _Result(msgspec.Struct):
    result: list[_Cell]


@dataclass(frozen=True)
class Question:
    """A request for counts.

    Attributes:
        name: the beginning of the reply's file name.
        what: the counts in words, for messages.
        period: of the measurements; its end is exclusive for OONI too.
        tests: by name.
        probe_cc: a country, for its counts by day; ``""`` for every country's counts of the whole
            period.
    """

    name: str
    what: str
    period: Period
    tests: tuple[str, ...]
    probe_cc: str = ""

    def urls(self) -> list[str]:
        """Return the addresses; each is for the case that the one before it does not answer."""
        parameters = {"test_name": ",".join(self.tests)}
        if self.probe_cc:
            parameters |= {"probe_cc": self.probe_cc}
        parameters |= {"since": str(self.period.since), "until": str(self.period.until)}
        parameters |= {"axis_x": "measurement_start_day" if self.probe_cc else "probe_cc"}
        parameters |= {"axis_y": "test_name"} | ({"time_grain": "day"} if self.probe_cc else {})
        query = urlencode(parameters, safe=",")
        return list_urls(f"aggregation?{query}")

    def file(self) -> str:
        """Return the name of the reply's file: readable, and different for each server."""
        digest = sha256(self.urls()[0].encode()).hexdigest()[:8]
        return f"aggregation/{self.name}-{self.period}-{digest}.json"

    def halves(self) -> list["Question"]:
        """Return the questions for both halves of the period; none if it is a single day."""
        if self.period.day_count < 2:
            return []
        return [replace(self, period=half) for half in self.period.split()]

    def read(self, body: bytes) -> tuple[Row, ...]:
        """Read a reply that contains a result.

        Rows of other tests are left out, and so are rows of codes that are not countries: OONI
        accepts any two capital letters or digits (ooni/backend, ``ooniprobe/utils.py``).

        Raises:
            ContractError: the reply has another shape, two rows have the same day, test and
                country, a row is outside the period, or the flags of a row do not add up.
        """
        try:
            cells = msgspec.json.decode(body, type=_Result).result
        except _NOT_JSON as error:
            raise ContractError(f"OONI's {self.what} have another shape: {error}") from None
        rows: dict[tuple[date, str, str], Row] = {}
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
            if rows.setdefault((day, row.test_name, probe_cc), row) is not row:
                raise ContractError(f"OONI's {self.what}: two rows are of {about}")
            total = sum(cell.by_flag().values())
            if total != cell.measurement_count:
                raise ContractError(
                    f"OONI's {self.what}: the flags of {about} sum to {total}, not to "
                    f"{cell.measurement_count}"
                )
        return tuple(rows.values())


def list_urls(request: str) -> list[str]:
    """Return the addresses of a request, one for each server."""
    servers = (os.environ.get(VARIABLE) or ADDRESSES).split(",")
    return [f"{server.strip().rstrip('/')}/api/v1/{request}" for server in servers]


def _is_country(probe_cc: str) -> bool:
    return len(probe_cc) == 2 and probe_cc.isascii() and probe_cc.isalpha() and probe_cc.isupper()


def of_country(probe_cc: str, period: Period) -> list[Question]:
    """Return the questions for the counts of a country's tests by day, one for each month."""
    name, words = f"{probe_cc.lower()}-day", f"counts of {probe_cc} by day"
    return [Question(name, words, part, (_WEB, *_APPS), probe_cc) for part in period.months()]


def of_every_country(period: Period) -> list[Question]:
    """Return the questions for the counts of apps and tools in every country, one for each week.

    Weeks are whole and begin on Sunday, so that reports on other periods and countries use the
    same replies.
    """
    words = "counts of apps and tools in every country by week"
    return [Question("every-week", words, week, _APPS) for week in period.weeks()]


def read_counts(folder: Path, probe_cc: str, period: Period) -> Counts:
    """Return the kept counts of a country, without using a network.

    Raises:
        SourceError: they were never fetched.
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
    """Return the kept counts of apps and tools, without using a network; None if never fetched.

    Returns:
        Rows of the country by day, without days that have no measurements; rows of all countries,
        including this one, by week; and the SHA-256 of the replies to both.
    """
    country = _read_kept(folder, of_country(probe_cc, period))
    everywhere = _read_kept(folder, of_every_country(period))
    if country is None or everywhere is None:
        return None
    apps = tuple(row for row in country.rows if row.test_name in BY_NAME)
    digests = {"the country": country.sha256, "every country": everywhere.sha256}
    return apps, everywhere.rows, digests


def _read_kept(folder: Path, questions: Iterable[Question]) -> Counts | None:
    replies = _find_all(folder, questions)
    if replies is None:
        return None
    asked_at: dict[str, datetime] = {}
    for reply in replies:
        month = f"{reply.period.since:%Y-%m}"
        asked_at[month] = min(reply.asked_at, asked_at.get(month, reply.asked_at))
    rows = tuple(row for reply in replies for row in reply.rows)
    return Counts(rows, asked_at, sha256(b"".join(reply.body for reply in replies)).hexdigest())


@dataclass(frozen=True)
class _Reply:
    """A kept reply: its rows, its period, and the time of the request (UTC)."""

    rows: tuple[Row, ...]
    period: Period
    asked_at: datetime
    body: bytes

    def is_fresh(self) -> bool:
        """Test whether it is final, or too young to be requested again."""
        age = days_between(self.period.until, self.asked_at.date())
        return age >= SETTLED_DAYS or _now() - self.asked_at < _KEPT


def find_unasked(folder: Path, questions: Iterable[Question]) -> tuple[list[Question], bool]:
    """Return the questions that a run would ask, and whether older replies to all are kept."""
    kept = [(question, _find(folder, question)) for question in questions]
    unanswered = [question for question, replies in kept if not _are_fresh(replies)]
    return unanswered, all(replies is not None for _, replies in kept)


def _are_fresh(replies: list[_Reply] | None) -> bool:
    return replies is not None and all(reply.is_fresh() for reply in replies)


def fetch_counts(folder: Path, questions: Iterable[Question], say: Say) -> None:
    """Ask OONI for counts, one request at a time, unless a fresh reply is kept.

    Args:
        folder: of the kept replies; made if it does not exist.
        questions: see ``of_country`` and ``of_every_country``.
        say: called with a message for each kind of counts, and if older replies are used.

    Raises:
        SourceError: OONI did not answer, refused, or did not send JSON, and no older reply is kept;
            or replies cannot be written.
        ContractError: a reply does not contain valid counts; it is not kept.
    """
    with lock_folder(folder, "reply can be kept in"):
        unanswered, has_all = find_unasked(folder, questions)
        announced = ""
        server = Server("compares a report's counts with OONI's", limits=Limits(silence=90.0))
        try:
            for question in unanswered:
                if question.what != announced:
                    announced = question.what
                    say(f"asking {_name_api(question.urls()[0])} for its {announced}")
                _fetch(folder, question, server)
        except SourceError as error:
            if not has_all:
                raise
            say(f"{error} Counts that OONI sent earlier are used")


def _fetch(folder: Path, question: Question, server: Server) -> None:
    """Fetch and keep the reply to a question, or to its halves if it asks for too much."""
    if _are_fresh(_find(folder, question)):  # half of a question
        return
    path = folder / question.file()
    try:
        body, url = ask(question.urls(), server, "result", "counts")
    except _AsksTooMuch:
        halves = question.halves()
        if not halves:  # one day is never too much, so the database has a passing problem
            raise
        for half in halves:
            _fetch(folder, half, server)
        path.unlink(missing_ok=True)  # an older reply to the whole
        return
    question.read(body)
    keep_reply(folder, question.file(), body, url, f"OONI's {question.what}")


def keep_reply(folder: Path, name: str, body: bytes, url: str, role: str) -> None:
    """Write a reply as it was received, with its sidecar."""
    sidecar = Sidecar(
        url=url,
        fetched_at=_now().strftime(_TIME),
        role=role,
        licence="CC BY-NC-SA 4.0",
        status=200,
        size=len(body),
        sha256=sha256(body).hexdigest(),
    )
    # If writing the reply is interrupted, it does not match the digest in its sidecar.
    write_sidecar(folder, name, sidecar)
    (folder / name).write_bytes(body)


def read_reply(folder: Path, name: str) -> tuple[bytes, Sidecar] | None:
    """Return a kept reply with its sidecar; None if there is none, or not as it was received."""
    try:
        body = (folder / name).read_bytes()
        sidecar = msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Sidecar)
    except (OSError, msgspec.MsgspecError):
        return None
    return (body, sidecar) if sidecar.sha256 == sha256(body).hexdigest() else None


def _find_all(folder: Path, questions: Iterable[Question]) -> list[_Reply] | None:
    """Return the kept replies to several questions, in order; None if one has no reply."""
    replies: list[_Reply] = []
    for question in questions:
        kept = _find(folder, question)
        if kept is None:
            return None
        replies += kept
    return replies


def _find(folder: Path, question: Question) -> list[_Reply] | None:
    """Return the kept replies to a question or to its halves, in the order of time.

    None if any is missing, or is not as it was received.
    """
    kept = read_reply(folder, question.file())
    if kept is None:
        return _find_all(folder, question.halves()) or None
    body, sidecar = kept
    if sidecar.url not in question.urls():
        return None
    try:
        asked_at = datetime.strptime(sidecar.fetched_at, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return [_Reply(question.read(body), question.period, asked_at, body)]


class _AsksTooMuch(SourceError):
    """A question that OONI's database gave up; it may be able to count a shorter period."""


def _name_api(url: str) -> str:
    return f"OONI's API ({urlsplit(url).netloc})"


def ask(urls: Iterable[str], server: Server, needed: str, what: str) -> tuple[bytes, str]:
    """Return a reply that contains what was asked for, and its address.

    Args:
        urls: of the same request; each is asked if the one before it does not answer.
        server: the connections.
        needed: a key of the reply.
        what: what it holds, in words.

    Raises:
        SourceError: no server answered, or one refused.
        _AsksTooMuch: see there.
    """
    late = f"there was no whole reply within {REPLY_SECONDS:g} seconds"
    unanswered = []
    for url in urls:
        api, deadline = _name_api(url), server.deadline(REPLY_SECONDS, late)
        try:
            reply, body = retry(server.read, url, deadline, _LARGEST, _ANSWERS)
        except CannotRead as error:
            unanswered.append(f"{api} did not answer: {error}")
            continue
        refuse(api, reply.status, body, needed, what)
        return body, url
    raise SourceError("; ".join(unanswered))


def refuse(
    api: str, status: int, body: bytes, needed: str = "result", what: str = "counts"
) -> None:
    """Check that a reply contains what was asked for.

    OONI refuses in four ways, one with status 200.

    Raises:
        SourceError: it does not; the error repeats the beginning of the reply.
        _AsksTooMuch: OONI's database gave up.
    """
    if status == 429:
        raise SourceError(f"the quota of {api}, which is counted by the hour, is spent")
    try:
        parts = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except _NOT_JSON:
        parts = {}
    if status == 200 and needed in parts:
        return
    text = printable(body.decode("utf-8", "replace"), _TEXT_LENGTH)
    message = f"{api} sent no {what} but status {status}: {text}"
    if status == 400 and _TOO_MUCH in body:
        raise _AsksTooMuch(message)
    # With a reason in JSON, OONI refuses the question itself, and would refuse it again.
    is_refused = bool(parts) and status not in _AGAIN
    raise SourceError(message, resumes=not is_refused)


def _now() -> datetime:
    return datetime.now(UTC)
