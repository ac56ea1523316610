"""HTTP requests with limits on bytes and time, with retries, and few at a time.

httpx's own limits are for each read, so a server that sends its headers byte by byte could keep a
request open for weeks. So requests run on an event loop in a thread of its own, where they are
cancelled at their :class:`Deadline` or by :meth:`Server.stop`; callers block until then. Redirects
are not followed, and errors do not name their target, because networks put their users' addresses
there.
"""

import asyncio
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.request import getproxies

import stamina.instrumentation

from analysis.sources.archive_files import CannotRead, Passing, TooSlow, Unreachable

if TYPE_CHECKING:
    import httpx  # loads its own command line: a tenth of all that a notebook's kernel loads

#: Simultaneous requests to one server, whatever the number of processes.
CONNECTIONS = 8

_PROJECT = "censorship-report-workbook"

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# By default stamina logs each attempt, which would bury the program's own messages.
stamina.instrumentation.set_on_retry_hooks([])


#: Repeats a call after a ``Passing`` error: six attempts in about twenty seconds.
retry = stamina.RetryingCaller(
    attempts=6, timeout=None, wait_initial=0.5, wait_max=20.0, wait_jitter=1.0
).on(Passing)


@dataclass(frozen=True)
class Limits:
    """Limits of time and size.

    Attributes:
        connect: seconds for a connection.
        silence: seconds without any byte.
        piece: seconds for the next 64 KB, all attempts together: half a kilobyte a second, as eight
            downloads over a modem.
        page: bytes of one page of a listing; 1000 keys have less than four million.
    """

    connect: float = 15.0
    silence: float = 30.0
    piece: float = 120.0
    page: int = 8 << 20


LIMITS = Limits()


@dataclass(frozen=True)
class Deadline:
    """The time by which something must have been read, all attempts together.

    Attributes:
        at: as ``time.monotonic()`` counts.
        late: the error's words for a server that misses it.
    """

    at: float
    late: str


class Server:
    """Connections to servers, shared by a process's threads.

    Args:
        purpose: for the ``User-Agent`` header, which the server's operator may read.
        encoding: accepted for bodies; they are not decoded.
        limits: by default :data:`LIMITS`.
    """

    def __init__(
        self, purpose: str, encoding: str = "identity", limits: Limits | None = None
    ) -> None:
        import httpx

        self.limits = limits or LIMITS
        self._is_stopped = False
        self._awaited = set[Future[Any]]()
        # Proxies and certificates come from the environment as for any other tool.
        self._client = httpx.AsyncClient(
            headers={"User-Agent": f"{_PROJECT} ({purpose})", "Accept-Encoding": encoding},
            timeout=httpx.Timeout(self.limits.silence, connect=self.limits.connect, pool=None),
            event_hooks={"response": [_forget_redirect]},
        )
        # Sources are not closed explicitly, and open sockets would stay until garbage collection.
        client = self._client
        weakref.finalize(self, lambda: _begin(client.aclose())).atexit = False

    def stop(self) -> None:
        """Cancel all requests, now and later, because the user has given up."""
        self._is_stopped = True
        for result in list(self._awaited):
            result.cancel()

    def deadline(self, seconds: float = 0.0, late: str = "it comes too slowly") -> Deadline:
        """Return the deadline in so many seconds; by default as many as the next 64 KB may take."""
        return Deadline(time.monotonic() + (seconds or self.limits.piece), late)

    def open(
        self,
        url: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        accepts: tuple[int, ...] | range = (200,),
    ) -> "Reply":
        """Send one request and return the reply before its body.

        Raises:
            CannotRead: there is no reply with an accepted status.
        """
        reply = Reply(self, self.run(partial(self._send, url, headers), deadline))
        if reply.status not in accepts:
            reply.close()
            raise _refusal(reply)
        return reply

    def read(
        self, url: str, deadline: Deadline, limit: int, accepts: tuple[int, ...] | range = (200,)
    ) -> tuple["Reply", bytes]:
        """Return a reply and its whole body of at most ``limit`` bytes."""
        with closing(self.open(url, deadline, accepts=accepts)) as reply:
            return reply, b"".join(reply.blocks(limit, deadline))

    async def _send(self, url: str, headers: Mapping[str, str] | None) -> "httpx.Response":
        request = self._client.build_request("GET", url, headers=headers)
        return await self._client.send(request, stream=True)

    def run(self, call: Callable[[], Awaitable[_Result]], deadline: Deadline) -> _Result:
        """Run a call on the loop and wait for its result.

        Raises:
            CannotRead: the deadline passed, the user gave up, or the connection failed.
        """
        import httpx

        result = _begin(_by(deadline, call))
        self._awaited.add(result)
        if self._is_stopped:
            result.cancel()
        try:
            return result.result()
        except CancelledError:
            raise CannotRead("given up") from None
        except TimeoutError:
            raise TooSlow(deadline.late) from None
        except httpx.TimeoutException:
            raise Unreachable("the server did not answer in time") from None
        except httpx.ConnectError:
            raise Unreachable("there is no connection to the server") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
            raise CannotRead("its address is not one of a server") from None
        except httpx.HTTPError:
            raise Passing("the connection broke each time") from None
        finally:
            result.cancel()  # the caller may have been interrupted
            self._awaited.discard(result)


def find_proxy() -> str:
    """Return the environment's proxy without user and password, or ``""``."""
    proxies = getproxies()
    address = proxies.get("https") or proxies.get("all") or proxies.get("http") or ""
    return address.rpartition("//")[2].rpartition("@")[2]


_starting = threading.RLock()  # reentrant, as garbage collection meanwhile may close a client


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return this process's event loop, which runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _begin(work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
    """Start a coroutine on the loop, which the first call starts."""
    with _starting:
        loop = _loop()
    return asyncio.run_coroutine_threadsafe(work, loop)


async def _by(deadline: Deadline, call: Callable[[], Awaitable[_Result]]) -> _Result:
    async with asyncio.timeout(deadline.at - time.monotonic()):
        return await call()


async def _forget_redirect(response: "httpx.Response") -> None:
    # httpx parses a redirect's target even if it does not follow it, and may fail.
    response.headers.pop("Location", None)


class Reply:
    """A reply whose body is being received.

    Attributes:
        status: its HTTP status.
        headers: by case-insensitive name.
    """

    def __init__(self, server: Server, response: "httpx.Response") -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._server = server
        self._response = response
        self._blocks = response.aiter_raw()  # without a block size, which would wait for more

    def next(self, deadline: Deadline) -> bytes:
        """Return the next bytes as they were sent; empty at the end."""
        return self._server.run(lambda: anext(self._blocks, b""), deadline)

    def close(self) -> None:
        """Close the connection."""
        _begin(self._response.aclose())

    def blocks(self, limit: int, deadline: Deadline) -> Iterator[bytes]:
        """Yield the body's bytes; raises CannotRead if there are more than ``limit``."""
        size = 0
        while block := self.next(deadline):
            size += len(block)
            if size > limit:
                raise too_long(limit)
            yield block


def too_long(limit: int) -> CannotRead:
    """Return the error for more than ``limit`` bytes."""
    return CannotRead(f"it holds more than {limit / 1e6:g} MB")


#: The error's words for an object that is no longer the one in the listing.
CHANGED = "changed while it was read"
_REFUSALS = {
    401: "permission denied",
    403: "permission denied",
    404: "no longer there",
    410: "no longer there",
    412: CHANGED,
}


def _refusal(reply: Reply) -> CannotRead:
    status = reply.status
    if status < 500 and status not in (408, 425, 429):
        return CannotRead(_REFUSALS.get(status, f"the server answered {status}"))
    if status == 429:
        return Unreachable("the server asks for fewer requests")
    return Passing(f"the server answered {status} each time")


def at_once(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    stop: Callable[[], Any],
    threads: int = CONNECTIONS,
) -> Generator[tuple[_Item, _Result], None, None]:
    """Process several items at a time and yield each with its result, in the order of completion.

    If one raises, or the caller closes the generator, ``stop`` is called and the rest dropped.
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
