"""A request to OONI's API: patient, and within its quota.

The quota is counted by the hour, in server time spent on one client. Who asks for more is answered
429, as a rule without saying when to come back.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from urllib.parse import urlsplit

from analysis.errors import SourceError
from analysis.sources.files import CannotRead
from analysis.sources.web import Deadline, Limits, Server, read_pause, retry, unpack

Say = Callable[[str], None]

#: Seconds for one reply from the first byte sent to the last one received, all attempts together.
#: A large country's year takes OONI's database a minute or two.
REPLY_SECONDS = 300.0

_LARGEST = 16_000_000  # bytes; a month takes some two hundred
_ANSWERS = range(200, 500)  # a refusal is one too
_WAITS = 3  # for the quota
_LONGEST_WAIT = timedelta(hours=2)


@dataclass(frozen=True)
class Answer:
    """What the server said and when, UTC, to the second: a status below 500, and not 429."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    received_at: datetime


def ask(url: str, say: Say) -> Answer:
    """Ask for an address; ``say`` is told of every wait for the quota.

    Raises:
        SourceError: the server did not answer, too much, or refuses again and again.
    """
    server = Server("compares a report's counts with OONI's", "gzip", Limits(silence=150.0))
    late = f"there was no whole reply within {REPLY_SECONDS:g} seconds"
    for attempt in range(_WAITS + 1):
        try:
            answer = retry(_receive, server, url, server.deadline(REPLY_SECONDS, late))
        except CannotRead as error:
            raise SourceError(f"{name_server(url)} did not answer: {error}") from None
        if answer.status != 429:
            return answer
        if attempt < _WAITS:
            _wait(url, answer, say)
    raise SourceError(f"{name_server(url)} still refuses for its quota after {_WAITS} waits")


def _wait(url: str, answer: Answer, say: Say) -> None:
    """Wait until the next request may be made."""
    now = _now()
    pause = read_pause(answer.headers, now)
    if pause is None:
        # A minute over the hour: the server's clock is not this one's.
        until = now.replace(minute=1, second=0, microsecond=0) + timedelta(hours=1)
    else:
        until = now + timedelta(seconds=max(pause, 0.0))
    if until - now > _LONGEST_WAIT:
        raise SourceError(f"{name_server(url)} refuses until {until:%Y-%m-%d %H:%M} UTC")
    say(f"the quota of OONI's API is spent; waiting until {until:%Y-%m-%d %H:%M} UTC")
    time.sleep((until - now).total_seconds())


def name_server(url: str) -> str:
    """OONI's API in an error message, by its host."""
    return f"OONI's API ({urlsplit(url).netloc})"


def _receive(server: Server, url: str, deadline: Deadline) -> Answer:
    with closing(server.open(url, deadline, accepts=_ANSWERS)) as reply:
        body = b"".join(reply.blocks(_LARGEST, deadline))
    encoding = reply.headers.get("Content-Encoding", "").lower()
    if encoding == "gzip":
        body = b"".join(unpack(BytesIO(body), _LARGEST))
    elif encoding not in ("", "identity"):
        raise CannotRead("it packed its reply in a way that was not asked for")
    return Answer(reply.status, body, reply.headers, _now().replace(microsecond=0))


def _now() -> datetime:
    return datetime.now(UTC)
