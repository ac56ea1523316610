"""OONI's published counts of web_connectivity measurements, from its aggregation API.

``https://api.ooni.io/api/v1/aggregation`` counts the measurements of a country and a period under
OONI's four flags. The environment variable ``OONI_API`` names another server with the same API.

Nothing here ever asks by category: OONI joins its test lists without looking at the country, so
that an address on several lists is counted several times. Categories are those of the lists at
hand (``reference``).

A reply is kept as it was received. It is final once it was asked for :data:`SETTLED_DAYS` after the
end of its period, and then never asked for again.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from analysis.errors import ContractError, ParameterError, SourceError
from analysis.period import Period, days_between
from analysis.sources.api_requests import (
    REPLY_SECONDS,
    Answer,
    Replies,
    Reply,
    Requests,
    Say,
    name_server,
)
from analysis.sources.ooni import RECEIPT_MARGIN

ADDRESS = "https://api.ooni.io"
VARIABLE = "OONI_API"

#: Days after a period for which its late uploads are awaited; the archive is read for as long. Who
#: reads it later than the reply came counts what came after (``tieout``).
SETTLED_DAYS = RECEIPT_MARGIN

By = Literal["month", "domain", "network", "period"]

_AXES: Mapping[By, Mapping[str, str]] = {
    "month": {"axis_x": "measurement_start_day", "time_grain": "month"},
    "domain": {"axis_x": "domain"},
    "network": {"axis_x": "probe_asn"},
    "period": {},  # no axis: one sum
}
_LONGEST = 200  # characters of a text that is not ours

_Count = Annotated[int, Meta(ge=0, le=2**53)]


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
        cells: by month (``2024-01``), domain, network (``AS123``), or ``""`` for the whole period.
            What has no measurement is absent.
        asked_at: when, UTC.
        sha256: of the reply.
    """

    cells: Mapping[str, Cells]
    asked_at: datetime
    sha256: str


class _Row(msgspec.Struct):
    measurement_count: _Count
    ok_count: _Count
    anomaly_count: _Count
    confirmed_count: _Count
    failure_count: _Count
    measurement_start_day: str | None = None
    domain: str | None = None
    probe_asn: _Count | None = None


class _Reply(msgspec.Struct):
    """A reply, or one of the shapes in which the API refuses."""

    result: msgspec.Raw | UnsetType = UNSET
    msg: Any = None
    detail: Any = None
    error: Any = None


class Api:
    """OONI's API, with a folder in which its replies are kept.

    Args:
        folder: made where it is not there.
        say: is told what is asked and of every wait.
        address: the server; by default ``OONI_API`` or OONI's own.
        clock: the time now, UTC.
        sleep: waits for so many seconds.
        seconds: what one reply may take.

    Raises:
        ParameterError: the address is no server's.
    """

    def __init__(
        self,
        folder: Path,
        say: Say = lambda text: None,
        *,
        address: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        seconds: float = REPLY_SECONDS,
    ) -> None:
        self._address = _check(address or os.environ.get(VARIABLE) or ADDRESS)
        self._replies = Replies(folder)
        self._requests = Requests(say, clock, sleep, seconds)
        self._clock = clock
        self._say = say

    def count(self, probe_cc: str, period: Period, by: By) -> Counts:
        """Count the measurements of a country, asking OONI unless a final reply is kept.

        Raises:
            SourceError: OONI did not answer, or refused, or sent no JSON.
            ContractError: what it sent cannot be counts.
        """
        with self._replies.lock():
            kept = self._find(probe_cc, period, by)
            if kept and days_between(period.until, kept.asked_at.date()) >= SETTLED_DAYS:
                return _counts(kept, period, by)
            url = self._url(probe_cc, period, by)
            self._say(f"asking {name_server(url)} for its counts by {by}")
            answer = self._requests.get(url)
            asked_at = self._clock()
            _refuse_error(url, answer)
            read_cells(answer.body, period, by)  # what cannot be read is not kept
            role = f"OONI's counts by {by}"
            name = _name(url, probe_cc, period, by)
            return _counts(self._replies.keep(name, url, role, answer.body, asked_at), period, by)

    def kept(self, probe_cc: str, period: Period, by: By) -> Counts:
        """The counts that were asked for last; no network is touched.

        Raises:
            SourceError: they were never asked for.
        """
        reply = self._find(probe_cc, period, by)
        if reply is None:
            raise SourceError(
                f"OONI's counts of {probe_cc} from {period.since} to {period.last_day} by {by} are "
                "not in the store; 'make ingest' with the same parameters asks for them"
            )
        return _counts(reply, period, by)

    def _find(self, probe_cc: str, period: Period, by: By) -> Reply | None:
        url = self._url(probe_cc, period, by)
        return self._replies.find(_name(url, probe_cc, period, by), url)

    def _url(self, probe_cc: str, period: Period, by: By) -> str:
        query = {
            "test_name": "web_connectivity",
            "probe_cc": probe_cc,
            "since": period.since.isoformat(),
            "until": period.until.isoformat(),  # exclusive here too
            **_AXES[by],
        }
        return f"{self._address}/api/v1/aggregation?{urlencode(query)}"


def _check(address: str) -> str:
    accepted = f"the address of a server with OONI's API, such as {ADDRESS}"
    try:
        parts = urlsplit(address)
        is_server = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_server = False
    if (
        not is_server
        or parts.query
        or parts.fragment
        or parts.username
        or not address.isprintable()
    ):
        raise ParameterError(VARIABLE, address, accepted)
    return address.rstrip("/")


def _name(url: str, probe_cc: str, period: Period, by: By) -> str:
    """Name of the file for an address: readable, and another one for each server."""
    digest = sha256(url.encode()).hexdigest()[:8]
    return f"aggregation/{probe_cc.lower()}-{by}-{period}-{digest}.json"


def _refuse_error(url: str, answer: Answer) -> None:
    """Tell a refusal from a reply. OONI has four shapes of it, one of them with status 200.

    Raises:
        SourceError: it is one, or no JSON at all; what the server said stands in the sentence.
    """
    try:
        reply = msgspec.json.decode(answer.body, type=_Reply)
    except msgspec.ValidationError:
        reply = _Reply()  # JSON, but no object
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        what = f"status {answer.status} and no JSON" if answer.status != 200 else "no JSON"
        raise SourceError(f"{name_server(url)} sent {what}") from None
    said = _read_reason(reply)
    if answer.status != 200:
        raise SourceError(f"{name_server(url)} refused with status {answer.status}: {said}")
    if reply.result is UNSET:
        raise SourceError(f"{name_server(url)} sent no result: {said}")


def _read_reason(reply: _Reply) -> str:
    """Why the server refuses, in its words: printable and short."""
    reason = next((r for r in (reply.msg, reply.detail, reply.error) if r), "without saying why")
    if isinstance(reason, list):  # one item a parameter
        items = [item if isinstance(item, dict) else {"msg": item} for item in reason[:3]]
        reason = "; ".join(f"{_name_parameter(item)}{item.get('msg')}" for item in items)
    return _show(reason)


def _name_parameter(item: dict[str, Any]) -> str:
    """The parameter that an item of a 422 is about."""
    path = item.get("loc")
    return f"{path[-1]}: " if isinstance(path, list) and path else ""


def _counts(reply: Reply, period: Period, by: By) -> Counts:
    return Counts(read_cells(reply.body, period, by), reply.asked_at, reply.sha256)


def read_cells(body: bytes, period: Period, by: By) -> dict[str, Cells]:
    """Read a reply that holds a result.

    Raises:
        ContractError: it has another shape, a row stands twice or lies outside the period, or the
            flags of a row do not sum.
    """
    rows = _rows(body, by)
    months = {month.since.replace(day=1).isoformat() for month in period.months()}
    cells: dict[str, Cells] = {}
    for row in rows:
        key = _key(row, by)
        if key is None or (by == "month" and key not in months):
            raise ContractError(f"OONI's counts by {by}: a row is of no {by} that was asked for")
        key = key[:7] if by == "month" else key
        flags = Cells(row.ok_count, row.anomaly_count, row.confirmed_count, row.failure_count)
        if key in cells:
            raise ContractError(f"OONI's counts by {by}: two rows are of {_show(key)}")
        if flags.total != row.measurement_count:
            raise ContractError(
                f"OONI's counts by {by}: the flags of {_show(key) or 'the period'} sum to "
                f"{flags.total}, not to {row.measurement_count}"
            )
        cells[key] = flags
    return cells


def _rows(body: bytes, by: By) -> Iterable[_Row]:
    """The rows of a result: a list, or where no axis was asked for one object."""
    try:
        result = msgspec.json.decode(body, type=_Reply).result
        raw = b"null" if result is UNSET else bytes(result)
        if by == "period":
            return [msgspec.json.decode(raw, type=_Row)]
        return msgspec.json.decode(raw, type=list[_Row])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"OONI's counts by {by} have another shape: {_show(error)}") from None


def _key(row: _Row, by: By) -> str | None:
    """What a row counts; None where it does not say."""
    if by == "month":
        return row.measurement_start_day
    if by == "domain":
        return row.domain
    if by == "network":
        return None if row.probe_asn is None else f"AS{row.probe_asn}"
    return ""


def _show(text: object) -> str:
    """Words of the server, printable and short."""
    shown = "".join(char if char.isprintable() else "�" for char in str(text))
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
