"""OONI's published counts of measurements under its four flags, from its aggregation API.

``https://api.ooni.io/api/v1/aggregation`` counts a country's measurements of web sites by month.
Of messaging and circumvention tests it is asked for what a country's tests found day by day, which
is one reply for all tests; and, so that a defect of a test is not taken for a block, for what each
test found in every country week by week. The environment variable ``OONI_API`` names another server
with the same API.

A reply is kept as it was received, with a sidecar that says whence. It is final once it was asked
for :data:`SETTLED_DAYS` after the end of its period, and then never asked for again.

OONI's quota is counted by the hour, in server time spent on one client. Who asks for more is
answered 429, as a rule without saying when to come back; the run ends, and the next one goes on.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode, urlsplit

import msgspec

from analysis.errors import ContractError, SourceError, printable
from analysis.observations.flags import DISJOINT
from analysis.observations.messaging_tests import BY_NAME, TESTS
from analysis.period import Period, days_between
from analysis.reference.reference_files import Sidecar, write_sidecar
from analysis.sources.archive_files import RECEIPT_MARGIN, CannotRead, lock_folder
from analysis.sources.web import Limits, Server, retry

ADDRESS = "https://api.ooni.io"
VARIABLE = "OONI_API"

#: Days after a period for which its late uploads are awaited; the archive is read for as long. Who
#: reads it later than the reply came counts what came after (``tieout``).
SETTLED_DAYS = RECEIPT_MARGIN

#: Seconds for one reply from the first byte sent to the last one received, all attempts together.
#: A large country's year takes OONI's database a minute or two.
REPLY_SECONDS = 300.0

_LARGEST = 16_000_000  # bytes; a month takes some two hundred
_ANSWERS = range(200, 500)  # a refusal is one too
_LONGEST_TEXT = 200  # characters that are not ours
_TIME = "%Y-%m-%dT%H:%M:%SZ"

#: What can be asked, in the order in which it stands in an address.
_PARAMETERS = ("test_name", "probe_cc", "since", "until", "axis_x", "axis_y", "time_grain")
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
Say = Callable[[str], None]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """OONI's disjoint flags of a month, or of a test in a country from a day on (a day, a week)."""

    measurement_start_day: date
    test_name: str = ""
    probe_cc: Annotated[str, msgspec.Meta(pattern=r"^([A-Z]{2})?\Z")] = ""
    measurement_count: _Count
    ok_count: _Count
    anomaly_count: _Count
    confirmed_count: _Count
    failure_count: _Count

    def flags(self) -> dict[str, int]:
        """Measurements by OONI's flags, each under one of them."""
        return {flag: getattr(self, f"{flag}_count") for flag in DISJOINT}


@dataclass(frozen=True)
class Counts:
    """What OONI counts.

    Attributes:
        rows: one a month, or a test, country and day.
        asked_at: when, UTC.
        sha256: of the reply.
    """

    rows: tuple[Row, ...]
    asked_at: datetime
    sha256: str

    def by_month(self) -> dict[str, dict[str, int]]:
        """Month (``2024-01``) → flag → measurements. A month that has none is absent."""
        return {f"{row.measurement_start_day:%Y-%m}": row.flags() for row in self.rows}


@dataclass(frozen=True)
class Question:
    """What OONI is asked to count.

    Attributes:
        name: how the file with the reply begins.
        period: of the measurements; its end is exclusive for OONI too.
        what: how a sentence calls what is asked for: ``counts by month``.
        grain: month, week or day.
        query: the other parameters of the request.
    """

    name: str
    period: Period
    what: str
    grain: str
    query: Mapping[str, str]

    def url(self) -> str:
        """The address that is asked."""
        address = os.environ.get(VARIABLE) or ADDRESS
        dates = {"since": self.period.since.isoformat(), "until": self.period.until.isoformat()}
        axes = {"axis_x": "measurement_start_day", "time_grain": self.grain}
        asked = {**self.query, **axes, **dates}
        ordered = {name: asked[name] for name in _PARAMETERS if name in asked}
        return f"{address.rstrip('/')}/api/v1/aggregation?{urlencode(ordered)}"

    def file(self) -> str:
        """Where the reply is kept: readable, and another file for each server."""
        digest = sha256(self.url().encode()).hexdigest()[:8]
        return f"aggregation/{self.name}-{self.period}-{digest}.json"

    def read(self, body: bytes) -> tuple[Row, ...]:
        """Read a reply that holds a result.

        Rows of no country, and of tests that are no messaging or circumvention test, are left out
        where such tests are asked for.

        Raises:
            ContractError: it has another shape, a row stands twice or lies outside the period, or
                the flags of a row do not sum.
        """
        try:
            rows = msgspec.json.decode(body, type=_Result).result
        except _NOT_JSON as error:
            raise ContractError(f"OONI's {self.what} have another shape: {error}") from None
        found: dict[tuple[object, ...], Row] = {}
        # A month or a week may begin before the period.
        since = self.period.since
        earliest = since.replace(day=1) if self.grain == "month" else since - timedelta(days=6)
        for row in rows:
            test_name = self.query.get("test_name") or row.test_name
            if self.grain != "month" and (
                test_name not in BY_NAME or not (row.probe_cc or self.query.get("probe_cc"))
            ):
                continue
            day = row.measurement_start_day
            what = f"{day:%Y-%m}" if self.grain == "month" else f"{test_name} on {day}"
            identity = what, row.probe_cc
            if not earliest <= day < self.period.until:
                raise ContractError(f"OONI's {self.what}: {what} was not asked for")
            if identity in found:
                raise ContractError(f"OONI's {self.what}: two rows are of {what}")
            total = sum(row.flags().values())
            if total != row.measurement_count:
                raise ContractError(
                    f"OONI's {self.what}: the flags of {what} sum to {total}, not to "
                    f"{row.measurement_count}"
                )
            found[identity] = msgspec.structs.replace(row, test_name=test_name)
        return tuple(found.values())


class _Result(msgspec.Struct):
    result: list[Row]


def by_month(probe_cc: str, period: Period) -> Question:
    """The counts of a country's web_connectivity measurements."""
    query = {"test_name": "web_connectivity", "probe_cc": probe_cc}
    return Question(f"{probe_cc.lower()}-month", period, "counts by month", "month", query)


def of_apps(probe_cc: str, period: Period) -> list[Question]:
    """The counts of a country's messaging and circumvention tests, a day each; and those of each
    test in every country, a week each.
    """
    name, what = f"{probe_cc.lower()}-tests-day", "counts of every test by day"
    query = {"probe_cc": probe_cc, "axis_y": "test_name"}
    questions = [Question(name, period, what, "day", query)]
    for test in TESTS:
        what = f"counts of {test.name} in every country by week"
        query = {"test_name": test.name, "axis_y": "probe_cc"}
        questions.append(Question(f"{test.folder}-week", period, what, "week", query))
    return questions


def read_counts(folder: Path, probe_cc: str, period: Period) -> Counts:
    """The counts by month that were fetched last; no network is touched.

    Raises:
        SourceError: they were never asked for.
    """
    reply = _find(folder, by_month(probe_cc, period))
    if reply is None:
        raise SourceError(
            f"OONI's counts of {probe_cc} from {period.since} to {period.last_day} by month are "
            "not in the store; 'make ingest' with the same parameters asks for them",
            resumes=False,
        )
    return reply


def read_messaging_counts(
    folder: Path, probe_cc: str, period: Period
) -> tuple[tuple[Row, ...], tuple[Row, ...], dict[str, str]] | None:
    """The counts that were fetched last; no network is touched. None where they never were.

    Returns:
        Rows of the country, a test and day each, with ``test_name``; a day without a measurement is
        not there. Rows of all countries, this one too, a test and week each. And the SHA-256 of
        each reply, by what was asked for.
    """
    found = [_find(folder, question) for question in of_apps(probe_cc, period)]
    replies = [reply for reply in found if reply is not None]
    if len(replies) < len(found):
        return None
    here, *elsewhere = replies
    names = ["all", *(test.name for test in TESTS)]
    digests = sorted((name, one.sha256) for name, one in zip(names, replies, strict=True))
    return here.rows, tuple(row for reply in elsewhere for row in reply.rows), dict(digests)


def fetch_counts(folder: Path, question: Question, say: Say) -> Counts:
    """What OONI counts; it is asked unless a final reply is kept.

    Args:
        folder: where replies are kept; made where it is not there.
        question: see ``by_month`` and ``of_apps``.
        say: is told what is asked.

    Raises:
        SourceError: OONI did not answer, or refused, or sent no JSON; or nothing can be kept.
        ContractError: what it sent cannot be counts; such a reply is not kept.
    """
    url = question.url()
    with lock_folder(folder, "reply can be kept in"):  # one request at a time
        kept = _find(folder, question)
        if kept and days_between(question.period.until, kept.asked_at.date()) >= SETTLED_DAYS:
            return kept
        api = f"OONI's API ({urlsplit(url).netloc})"
        say(f"asking {api} for its {question.what}")
        body = _ask(api, url)
        asked_at = _now().replace(microsecond=0)
        rows = question.read(body)
        digest = sha256(body).hexdigest()
        sidecar = Sidecar(
            url=url,
            fetched_at=asked_at.strftime(_TIME),
            role=f"OONI's {question.what}",
            licence="CC BY-NC-SA 4.0",
            status=200,
            size=len(body),
            sha256=digest,
        )
        # Where the reply is not written whole, its digest in the sidecar will tell.
        write_sidecar(folder, question.file(), sidecar)
        (folder / question.file()).write_bytes(body)
        return Counts(rows, asked_at, digest)


def _find(folder: Path, question: Question) -> Counts | None:
    """What was kept of a reply; None where nothing was, or not as it was received."""
    name = question.file()
    try:
        body = (folder / name).read_bytes()
        sidecar = msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Sidecar)
        asked_at = datetime.strptime(sidecar.fetched_at, _TIME).replace(tzinfo=UTC)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    digest = sha256(body).hexdigest()
    if (sidecar.url, sidecar.sha256) != (question.url(), digest):
        return None
    return Counts(question.read(body), asked_at, digest)


def _ask(api: str, url: str) -> bytes:
    """A reply that holds a result. OONI refuses in four shapes, one of them with status 200.

    Raises:
        SourceError: the server did not answer, too much, or something else, which stands in the
            sentence; or its quota is spent.
    """
    server = Server("compares a report's counts with OONI's", limits=Limits(silence=150.0))
    late = f"there was no whole reply within {REPLY_SECONDS:g} seconds"
    deadline = server.deadline(REPLY_SECONDS, late)
    try:
        reply, body = retry(server.read, url, deadline, _LARGEST, _ANSWERS)
    except CannotRead as error:
        raise SourceError(f"{api} did not answer: {error}") from None
    if reply.status == 429:
        raise SourceError(f"the quota of {api}, which is counted by the hour, is spent")
    try:
        parts = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except _NOT_JSON:
        parts = {}
    if reply.status != 200 or "result" not in parts:
        said = printable(body.decode("utf-8", "replace"), _LONGEST_TEXT)
        raise SourceError(f"{api} sent no counts but status {reply.status}: {said}")
    return body


def _now() -> datetime:
    return datetime.now(UTC)
