"""Requests to OONI's API: one at a time, bounded in bytes and time, patient, within its quota.

The quota is counted by the hour, in server time spent on one client. Every reply says what is left
of it (``X-RateLimit-Remaining``); who asks for more is answered 429, as a rule without saying when
to come back.
"""

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx
import stamina

from analysis.errors import SourceError

Say = Callable[[str], None]

#: Seconds for one reply from the first byte sent to the last one received. A large country's year
#: takes OONI's database a minute or two.
REPLY_SECONDS = 300.0

_TIMEOUT = httpx.Timeout(150.0, connect=15.0)
_HEADERS = {
    "User-Agent": "censorship-report-workbook (compares a report's counts with OONI's)",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
}
_LARGEST = 16_000_000  # bytes; a year of a large country by domain has a twentieth of it
_WAITS = 3  # for the quota, for one reply
_LONGEST_WAIT = timedelta(hours=2)


@dataclass(frozen=True)
class Answer:
    """What the server said: no status of 500 or above, and no 429."""

    status: int
    body: bytes
    headers: httpx.Headers


class _Passing(Exception):
    """A trouble that may be gone at the next attempt; ``str(error)`` ends the sentence."""


_patiently = stamina.RetryingCaller(
    attempts=5, timeout=2 * REPLY_SECONDS, wait_initial=1.0, wait_max=30.0, wait_jitter=1.0
).on(_Passing)


class Requests:
    """Asks one address after the other.

    Args:
        say: is told of every wait for the quota.
        clock: the time now, UTC.
        sleep: waits for so many seconds.
        seconds: what one reply may take.
    """

    def __init__(
        self,
        say: Say,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        seconds: float = REPLY_SECONDS,
    ) -> None:
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._seconds = seconds
        self._resume_at: datetime | None = None  # where the quota is spent

    def get(self, url: str) -> Answer:
        """Ask for an address.

        Raises:
            SourceError: the server did not answer, too much, or refuses again and again.
        """
        for _ in range(_WAITS + 1):
            self._wait()
            try:
                answer = _patiently(_ask, url, self._seconds)
            except _Passing as error:
                raise SourceError(f"{name_of(url)} did not answer: {error}") from None
            self._resume_at = self._resumption(url, answer)
            if answer.status != 429:
                return answer
        raise SourceError(f"{name_of(url)} still refuses for its quota after {_WAITS} waits")

    def _wait(self) -> None:
        if self._resume_at is None:
            return
        seconds = (self._resume_at - self._clock()).total_seconds()
        if seconds > 0:
            until = self._resume_at.strftime("%Y-%m-%d %H:%M")
            self._say(f"the quota of OONI's API is spent; waiting until {until} UTC")
            self._sleep(seconds)

    def _resumption(self, url: str, answer: Answer) -> datetime | None:
        """When the next request may be made; None for at once."""
        now = self._clock()
        asked_for = _retry_after(answer.headers, now) if answer.status == 429 else None
        if asked_for and asked_for - now > _LONGEST_WAIT:
            raise SourceError(f"{name_of(url)} refuses until {asked_for:%Y-%m-%d %H:%M} UTC")
        if asked_for:
            return asked_for
        if answer.status == 429 or _is_spent(answer.headers):
            # A minute over the hour: the server's clock is not this one's.
            return now.replace(minute=1, second=0, microsecond=0) + timedelta(hours=1)
        return None


def name_of(url: str) -> str:
    """OONI's API in an error message, by its host."""
    return f"OONI's API ({urlsplit(url).netloc})"


def _retry_after(headers: httpx.Headers, now: datetime) -> datetime | None:
    """The time that ``Retry-After`` gives, in seconds or as a date; None where it gives none."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return now + timedelta(seconds=int(text[:9]))
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_spent(headers: httpx.Headers) -> bool:
    try:
        return float(headers.get("X-RateLimit-Remaining", "")) <= 0
    except ValueError:
        return False


def _ask(url: str, seconds: float) -> Answer:
    try:
        return asyncio.run(_receive(url, seconds))
    except (TimeoutError, httpx.TimeoutException):
        raise _Passing(f"there was no whole reply within {seconds:g} seconds") from None
    except httpx.ConnectError:
        raise _Passing("there is no connection to the server") from None
    except httpx.TransportError:
        raise _Passing("the connection broke each time") from None


async def _receive(url: str, seconds: float) -> Answer:
    """One attempt. It is asynchronous because only so one limit holds for all of it: httpx's own
    limits are for each read, and a server that drips its headers stays within them for days."""
    async with (
        asyncio.timeout(seconds),
        httpx.AsyncClient(timeout=_TIMEOUT, headers=_HEADERS) as client,
        client.stream("GET", url) as reply,
    ):
        if reply.status_code >= 500:
            raise _Passing(f"the server answered {reply.status_code} each time")
        packed = bytearray()
        async for block in reply.aiter_raw():
            packed += block
            if len(packed) > _LARGEST:
                raise _too_large(url)
        encoding = reply.headers.get("Content-Encoding", "").lower()
        body = _unpacked(bytes(packed), encoding, url)
        return Answer(reply.status_code, body, reply.headers)


def _unpacked(packed: bytes, encoding: str, url: str) -> bytes:
    """The body without its encoding. httpx would unpack without bounds, and take a cut stream for a
    whole one."""
    if encoding in ("", "identity"):
        return packed
    if encoding != "gzip":
        raise SourceError(f"{name_of(url)} packed its reply in a way that was not asked for")
    unpacker = zlib.decompressobj(wbits=31)  # with gzip's header
    try:
        body = unpacker.decompress(packed, _LARGEST + 1)
    except zlib.error:
        raise _Passing("what arrived is no gzip stream each time") from None
    if len(body) > _LARGEST:
        raise _too_large(url)
    if not unpacker.eof:
        raise _Passing("the reply was cut each time")
    return body


def _too_large(url: str) -> SourceError:
    return SourceError(f"{name_of(url)} sent more than {_LARGEST / 1e6:g} MB")
