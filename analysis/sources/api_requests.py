"""Requests to OONI's API: one at a time, patient, within its quota.

The quota is counted by the hour, in server time spent on one client. Every reply says what is left
of it (``X-RateLimit-Remaining``); who asks for more is answered 429, as a rule without saying when
to come back. Replies are kept on disk as they were received, each with a sidecar that says whence.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from analysis.errors import SourceError
from analysis.reference.snapshots import Sidecar
from analysis.sources.files import CannotRead, lock_folder
from analysis.sources.web import Deadline, Limits, Server, read_pause, retry, unpack

_LICENCE = "CC BY-NC-SA 4.0"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Reply:
    """A reply and when it came, UTC; ``sha256`` is that of ``body``."""

    body: bytes
    asked_at: datetime
    sha256: str


class Replies:
    """A folder of replies. Of the file ``name`` the sidecar is ``name.json``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes from asking with the same folder: one request at a time.

        SourceError is raised within where a reply cannot be kept.
        """
        return lock_folder(self._folder, "reply can be kept in")

    def find(self, name: str, url: str) -> Reply | None:
        """What was kept of an address; None where nothing was, or not as it was received."""
        try:
            body = (self._folder / name).read_bytes()
            text = (self._folder / f"{name}.json").read_bytes()
            sidecar = msgspec.json.decode(text, type=Sidecar)
            asked_at = datetime.strptime(sidecar.fetched_at, _TIME).replace(tzinfo=UTC)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None
        sha256 = hashlib.sha256(body).hexdigest()
        if (sidecar.url, sidecar.size, sidecar.sha256) != (url, len(body), sha256):
            return None
        return Reply(body, asked_at, sha256)

    def keep(self, name: str, url: str, role: str, body: bytes, asked_at: datetime) -> Reply:
        """Keep a reply. Where the two files are not of one reply, the sidecar's digest tells."""
        sha256 = hashlib.sha256(body).hexdigest()
        sidecar = Sidecar(
            url=url,
            fetched_at=asked_at.strftime(_TIME),
            role=role,
            licence=_LICENCE,
            status=200,
            size=len(body),
            sha256=sha256,
        )
        text = msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n"
        _replace(self._folder / name, body)
        _replace(self._folder / f"{name}.json", text)
        return Reply(body, asked_at.replace(microsecond=0), sha256)


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


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
                answer = retry(_ask, url, _server().deadline(self._seconds, late))
            except CannotRead as error:
                raise SourceError(f"{name_server(url)} did not answer: {error}") from None
            self._resume_at = self._resumption(url, answer)
            if answer.status != 429:
                return answer
        raise SourceError(f"{name_server(url)} still refuses for its quota after {_WAITS} waits")

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
        pause = read_pause(answer.headers, now) if answer.status == 429 else None
        if pause is not None:
            asked_for = now + timedelta(seconds=pause)
            if asked_for - now > _LONGEST_WAIT:
                raise SourceError(
                    f"{name_server(url)} refuses until {asked_for:%Y-%m-%d %H:%M} UTC"
                )
            return asked_for
        if answer.status == 429 or _is_spent(answer.headers):
            # A minute over the hour: the server's clock is not this one's.
            return now.replace(minute=1, second=0, microsecond=0) + timedelta(hours=1)
        return None


def name_server(url: str) -> str:
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
        body = b"".join(unpack(BytesIO(body), _LARGEST))
    elif encoding not in ("", "identity"):
        raise CannotRead("it packed its reply in a way that was not asked for")
    return Answer(reply.status, body, reply.headers)
