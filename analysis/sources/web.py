"""The one way to ask a server: bounded in bytes and in time, patient, and few at a time.

httpx's own limits are for each read, and a server that drips its headers, or the length of a
chunk, stays within them for weeks. So time is bounded where bytes come in: every read, of headers
and TLS too, ends by the :class:`Deadline` of what is being asked. (To look a name up is left to the
system, which has limits of its own.) Redirects are not followed, and nothing of where one leads is
said: networks write their users' addresses there.
"""

import gzip
import random
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import IO, Any, TypeVar

import httpcore
import httpx
import stamina.instrumentation

from analysis.sources.files import CannotRead, Changed, Passing, Unreachable

#: So many at a time are asked of one server, whatever the number of processes.
CONNECTIONS = 8

_PROJECT = "censorship-report-workbook"
_LONGEST_WAIT = 60.0  # seconds that a server may ask for between attempts
_BLOCK = 1 << 18

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


@dataclass(frozen=True)
class Deadline:
    """By when something must have been read, all attempts together.

    Attributes:
        at: the end, of ``time.monotonic()``.
        late: what is said of a server that does not keep it.
        stopped: set where somebody has given up.
    """

    at: float
    late: str
    stopped: threading.Event

    def left(self) -> float:
        """Seconds left, or CannotRead."""
        if self.stopped.is_set():
            raise CannotRead("given up")
        left = self.at - time.monotonic()
        if left <= 0:
            raise CannotRead(self.late)
        return left

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Let it hold for whatever is read; the troubles of a connection come in words."""
        before = _deadline.set(self)
        try:
            yield
        except httpx.TimeoutException:
            self.left()
            raise Unreachable("the server did not answer in time") from None
        except httpx.ConnectError:
            raise Unreachable("there is no connection to the server") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
            raise CannotRead("its address is not one of a server") from None
        except httpx.HTTPError:
            raise Passing("the connection broke each time") from None
        finally:
            _deadline.reset(before)


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def _within(timeout: float | None) -> float | None:
    """Seconds for the next read or write of a socket."""
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    return deadline.left() if timeout is None else min(timeout, deadline.left())


class _Connection(httpcore.NetworkStream):
    """A connection whose reads and writes end by the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self.close = stream.close  # type: ignore[method-assign]
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _within(timeout))

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        return _Connection(self._stream.start_tls(ssl_context, server_hostname, _within(timeout)))


class _Network(httpcore.SyncBackend):
    """Makes such connections."""

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *more: Any, **options: Any
    ) -> httpcore.NetworkStream:
        return _Connection(super().connect_tcp(host, port, _within(timeout), *more, **options))


class Server:
    """Connections to servers, shared by a process's threads.

    Args:
        purpose: why it is asked, for whoever reads its log.
        encoding: in which bodies may come; they are handed on as they came.
        limits: seconds to wait; by default :data:`LIMITS`.
    """

    def __init__(
        self, purpose: str, encoding: str = "identity", limits: Limits | None = None
    ) -> None:
        self._limits = limits or LIMITS
        self._stopped = threading.Event()
        # Proxies and certificates come from the environment as for any other tool.
        self._client = httpx.Client(
            headers={"User-Agent": f"{_PROJECT} ({purpose})", "Accept-Encoding": encoding},
            timeout=httpx.Timeout(self._limits.silence, connect=self._limits.connect, pool=None),
            # httpx reads where a redirect leads even if it does not go there, and may stumble.
            event_hooks={"response": [lambda reply: reply.headers.pop("Location", None)]},
        )
        # Sources come and go without a word, and open sockets would stay until the collector comes.
        weakref.finalize(self, self._client.close)
        # httpx gives nobody a way to name the network of the pools that it makes of all this, so
        # they are told afterwards; the tests' dripping servers show that they listen.
        for transport in (self._client._transport, *self._client._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                transport._pool._network_backend = _Network()

    def stop(self) -> None:
        """Let what is being read end at its next byte: somebody has given up."""
        self._stopped.set()

    def deadline(self, seconds: float = 0.0, late: str = "it comes too slowly") -> Deadline:
        """So many seconds from now; by default as many as the next 64 KB may take."""
        return Deadline(time.monotonic() + (seconds or self._limits.piece), late, self._stopped)

    def open(
        self,
        url: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        accepts: Container[int] = (200, 206),
    ) -> "Reply":
        """Send one request; the body is still to come.

        Raises:
            CannotRead: there is no reply of a status that is accepted, in words.
        """
        with deadline.kept():
            request = self._client.build_request("GET", url, headers=headers)
            reply = Reply(self._client.send(request, stream=True))
        if reply.status not in accepts:
            reply.close()
            raise _refusal(reply)
        return reply


class Reply:
    """A reply whose body is being received.

    Attributes:
        status: its HTTP status.
        headers: by name, in whatever case.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.close = response.close
        self._blocks = response.iter_raw()  # as it comes: a block size would wait for more

    def next(self, deadline: Deadline) -> bytes:
        """The next bytes as they were sent; empty at the end."""
        with deadline.kept():
            return next(self._blocks, b"")

    def blocks(self, limit: int, deadline: Deadline) -> Iterator[bytes]:
        """All of them; CannotRead where they are more than ``limit`` bytes."""
        size, length = 0, self.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > limit:
            raise too_long(limit)
        while block := self.next(deadline):
            size += len(block)
            if size > limit:
                raise too_long(limit)
            yield block


def unpacked(packed: IO[bytes], limit: int) -> Iterator[bytes]:
    """The content of a gzip stream; CannotRead where it is cut, or more than ``limit`` bytes.

    httpx is not asked to unpack: it would do so without bounds, and take a cut stream for whole.
    """
    size = 0
    try:
        with gzip.GzipFile(fileobj=packed) as stream:
            while block := stream.read(_BLOCK):
                size += len(block)
                if size > limit:
                    raise too_long(limit)
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Passing("what arrived is a cut or broken gzip file") from None


def too_long(limit: int) -> CannotRead:
    """The error about more than ``limit`` bytes."""
    return CannotRead(f"it holds more than {limit / 1e6:g} MB")


def _refusal(reply: Reply) -> CannotRead:
    status = reply.status
    if status in (401, 403):
        return CannotRead("permission denied")
    if status in (404, 410):
        return Changed("no longer there")
    if status == 412:
        return Changed("changed while it was read")
    if status == 429:
        trouble: Passing = Unreachable("the server asks for fewer requests")
    elif status in (408, 425) or status >= 500:
        trouble = Passing(f"the server answered {status} each time")
    else:
        return CannotRead(f"the server answered {status}")
    pause = asked_pause(reply.headers, datetime.now(UTC)) or 0.0
    trouble.after = min(max(pause, 0.0), _LONGEST_WAIT)
    return trouble


def asked_pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for, itself or as a date; None where it asks for none."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        found = parsedate_to_datetime(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return min((found - now).total_seconds(), 1e9)
    except (ValueError, TypeError, OverflowError):
        return None


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
