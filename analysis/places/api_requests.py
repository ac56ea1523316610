"""Requests to OONI's API: one at a time, patient, within its quota.

The quota is counted by the hour, in server time spent on one client. Every reply says what is left
of it (``X-RateLimit-Remaining``); who asks for more is answered 429, as a rule without saying when
to come back.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from io import BytesIO
from urllib.parse import urlsplit

from analysis.errors import SourceError
from analysis.places.files import CannotRead
from analysis.places.web import Deadline, Limits, Server, asked_pause, patiently, unpacked

Say = Callable[[str], None]

#: Seconds for one reply from the first byte sent to the last one received, all attempts together.
#: A large country's year takes OONI's database a minute or two.
REPLY_SECONDS = 300.0

_LARGEST = 16_000_000  # bytes; a year of a large country by domain has a twentieth of it
_ANSWERS = range(200, 500)  # a refusal is one too
_WAITS = 3  # for the quota, for one reply
_LONGEST_WAIT = timedelta(hours=2)


@dataclass(frozen=True)
class Answer:
    """What the server said: a status below 500, and not 429."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@cache
def _server() -> Server:
    """Made when somebody asks: most notebooks only read the replies that are kept."""
    return Server("compares a report's counts with OONI's", "gzip", Limits(silence=150.0))


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
        late = f"there was no whole reply within {self._seconds:g} seconds"
        for _ in range(_WAITS + 1):
            self._wait()
            try:
                answer = patiently(_ask, url, _server().deadline(self._seconds, late))
            except CannotRead as error:
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
        pause = asked_pause(answer.headers, now) if answer.status == 429 else None
        if pause is not None:
            asked_for = now + timedelta(seconds=pause)
            if asked_for - now > _LONGEST_WAIT:
                raise SourceError(f"{name_of(url)} refuses until {asked_for:%Y-%m-%d %H:%M} UTC")
            return asked_for
        if answer.status == 429 or _is_spent(answer.headers):
            # A minute over the hour: the server's clock is not this one's.
            return now.replace(minute=1, second=0, microsecond=0) + timedelta(hours=1)
        return None


def name_of(url: str) -> str:
    """OONI's API in an error message, by its host."""
    return f"OONI's API ({urlsplit(url).netloc})"


def _is_spent(headers: Mapping[str, str]) -> bool:
    try:
        return float(headers.get("X-RateLimit-Remaining", "")) <= 0
    except ValueError:
        return False


def _ask(url: str, deadline: Deadline) -> Answer:
    with closing(_server().open(url, deadline, accepts=_ANSWERS)) as reply:
        body = b"".join(reply.blocks(_LARGEST, deadline))
    encoding = reply.headers.get("Content-Encoding", "").lower()
    if encoding == "gzip":
        body = b"".join(unpacked(BytesIO(body), _LARGEST))
    elif encoding not in ("", "identity"):
        raise CannotRead("it packed its reply in a way that was not asked for")
    return Answer(reply.status, body, reply.headers)
