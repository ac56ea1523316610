"""Requests to a server that may fail: a few at a time, patient, bounded in bytes and in time."""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import stamina
import stamina.instrumentation

from analysis.places.files import CannotRead, Changed, Damaged, Passing, Unreachable

#: So many at a time are asked of one server, whatever the number of processes.
CONNECTIONS = 8

_HEADERS = {
    "User-Agent": "censorship-report-workbook (reads OONI's archive layout)",
    "Accept-Encoding": "identity",  # an ETag is that of the bytes as they are stored
}
_LONGEST_WAIT = 60.0  # seconds that a server may ask for
_PIECE = 1 << 16

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Attempts are the program's business; a line on the terminal for each would bury its own.
stamina.instrumentation.set_on_retry_hooks([])


def _pause_before_another(error: Exception) -> bool | float:
    """Whether another attempt is worth it, or the pause that the server asks for."""
    if not isinstance(error, Passing):
        return False
    return error.after + random.uniform(0.0, 1.0) if error.after else True


#: Calls a function until it gets through, six times within about twenty seconds.
patiently = stamina.RetryingCaller(
    attempts=6, timeout=None, wait_initial=0.5, wait_max=20.0, wait_jitter=1.0
).on(_pause_before_another)


@dataclass(frozen=True)
class Limits:
    """Seconds to wait: for a connection, for any byte, and for the next 64 KB.

    The last asks for half a kilobyte a second, which eight downloads get through a modem.
    """

    connect: float = 15.0
    silence: float = 30.0
    piece: float = 120.0


LIMITS = Limits()


class Server:
    """Connections to servers, shared by a process's threads."""

    def __init__(self) -> None:
        self.limits = LIMITS
        self._stopped = threading.Event()
        # Proxies and certificates come from the environment as for any other tool.
        self._client = httpx.Client(
            headers=_HEADERS,
            timeout=httpx.Timeout(LIMITS.silence, connect=LIMITS.connect, pool=None),
            limits=httpx.Limits(max_connections=CONNECTIONS),
        )

    def __reduce__(self) -> tuple[object, ...]:
        return Server, ()

    def stop(self) -> None:
        """Let downloads end at their next byte: somebody has given up."""
        self._stopped.set()

    def open(self, url: str, headers: Mapping[str, str], **parameters: str) -> httpx.Response:
        """Send one request; the body is still to come.

        Raises:
            CannotRead: there is no body, in words.
        """
        with _in_words():
            request = self._client.build_request("GET", url, params=parameters, headers=headers)
            reply = self._client.send(request, stream=True)
        try:
            _check_status(reply)
        except CannotRead:
            reply.close()
            raise
        return reply

    def body(self, url: str, limit: int, **parameters: str) -> bytes:
        """The whole of a body of at most ``limit`` bytes, as it was sent."""
        reply, content = self.open(url, {}, **parameters), bytearray()
        deadline = time.monotonic() + self.limits.piece
        try:
            with _in_words():
                for block in reply.iter_raw():
                    self.check(deadline)
                    content += block
                    if len(content) > limit:
                        raise CannotRead(f"it is longer than {limit >> 20} MB")
        finally:
            reply.close()
        return bytes(content)

    def check(self, deadline: float) -> None:
        """Refuse to go on with what takes too long, or when somebody has given up."""
        if time.monotonic() > deadline:
            raise CannotRead("it comes too slowly")
        if self._stopped.is_set():
            raise CannotRead("given up")


class Download:
    """The bytes of one object, in order; a broken connection is resumed where it broke.

    It ends when there are as many as were listed and they are what the ETag says. Each 64 KB may
    take six attempts and two minutes, so that it ends in any case.
    """

    def __init__(
        self, server: Server, open_at: Callable[[int], httpx.Response], size: int, md5: str
    ) -> None:
        self._server = server
        self._open_at = open_at
        self._size = size
        self._md5 = md5
        self._hash = hashlib.md5(usedforsecurity=False)
        self._offset = 0
        self._reply: httpx.Response | None = None
        self._blocks: Iterator[bytes] = iter(())

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, about 64 KB whatever ``size``; empty at the end."""
        parts: list[bytes] = []
        if self._offset < self._size:
            goal = min(self._offset + _PIECE, self._size)
            deadline = time.monotonic() + self._server.limits.piece
            patiently(self._receive, parts, goal, deadline)
            for part in parts:
                self._hash.update(part)
        if self._offset == self._size:
            self.close()
            if self._md5 not in ("", self._hash.hexdigest()):
                raise Damaged("its content is not what its ETag says")
        return b"".join(parts)

    def _receive(self, parts: list[bytes], goal: int, deadline: float) -> None:
        """Add what comes until ``goal``; what has come before a trouble stays."""
        try:
            with _in_words():
                while self._offset < goal:
                    block = next(self._opened(), b"")
                    if not block:
                        raise Passing("it is not as long as was listed")
                    if self._offset + len(block) > self._size:
                        raise CannotRead("it is longer than was listed")
                    parts.append(block)
                    self._offset += len(block)
                    self._server.check(deadline)
                if goal == self._size:
                    next(self._blocks, b"")  # the connection is free when the end has been seen
        except CannotRead:
            self.close()
            if self._offset < goal:
                raise

    def _opened(self) -> Iterator[bytes]:
        if self._reply is None:
            self._reply = self._open_at(self._offset)
            self._blocks = self._reply.iter_raw()  # as it comes: a block size would wait for more
        return self._blocks

    def close(self) -> None:
        if self._reply is not None:
            self._reply.close()
            self._reply = None


@contextmanager
def _in_words() -> Iterator[None]:
    """The troubles of a connection as what they mean for the reader."""
    try:
        yield
    except httpx.TimeoutException:
        raise Unreachable("the server did not answer in time") from None
    except httpx.ConnectError:
        raise Unreachable("no connection to the server") from None
    except httpx.HTTPError:
        raise Passing("the connection broke each time") from None


def _check_status(reply: httpx.Response) -> None:
    status = reply.status_code
    if status in (200, 206):
        return
    if status in (401, 403):
        raise CannotRead("permission denied")
    if status in (404, 410):
        raise Changed("no longer there")
    if status == 412:
        raise Changed("changed while it was read")
    if status == 429:
        trouble: Passing = Unreachable("the server asks for fewer requests")
    elif status in (408, 425) or status >= 500:
        trouble = Passing(f"the server answered {status}")
    else:
        raise CannotRead(f"the server answered {status}")
    trouble.after = _asked_pause(reply.headers.get("Retry-After", ""))
    raise trouble


def _asked_pause(text: str) -> float:
    """Seconds that a Retry-After asks for, up to a minute; 0 where it asks for nothing."""
    try:
        if text.isdecimal():
            seconds = float(text)
        else:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def at_once(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    stop: Callable[[], Any],
    threads: int = CONNECTIONS,
) -> Generator[tuple[_Item, _Result], None, None]:
    """Work on several items at a time; each with its result, in the order in which they end.

    Where one raises, or the caller closes this, ``stop`` is called and the others are dropped.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        futures = {pool.submit(work, item): item for item in items}
        for done in as_completed(futures):
            yield futures.pop(done), done.result()
    except BaseException:
        stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
