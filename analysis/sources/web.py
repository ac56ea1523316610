"""The one way to ask a server: bounded in bytes and in time, patient, and few at a time.

httpx's own limits are for each read, and a server that drips its headers, or the length of a
chunk, stays within them for weeks. So requests run on an event loop, in a thread of its own: there,
whatever is awaited can be cancelled, and is when its :class:`Deadline` comes or somebody gives up.
Callers wait for it and need not know. Redirects are not followed, and nothing of where one leads is
said: networks write their users' addresses there.
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

#: So many at a time are asked of one server, whatever the number of processes.
CONNECTIONS = 8

_PROJECT = "censorship-report-workbook"

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Attempts are the program's business; a line on the terminal for each would bury its own.
stamina.instrumentation.set_on_retry_hooks([])


#: Calls a function again until it gets through, six times within about twenty seconds.
retry = stamina.RetryingCaller(
    attempts=6, timeout=None, wait_initial=0.5, wait_max=20.0, wait_jitter=1.0
).on(Passing)


@dataclass(frozen=True)
class Limits:
    """What is waited for, and how much is taken.

    Attributes:
        connect: seconds for a connection.
        silence: seconds for any byte.
        piece: seconds for the next 64 KB, all attempts together. Half a kilobyte a second is what
            eight downloads get through a modem.
        page: bytes of one page of a listing; 1000 keys have less than four million.
    """

    connect: float = 15.0
    silence: float = 30.0
    piece: float = 120.0
    page: int = 8 << 20


LIMITS = Limits()


@dataclass(frozen=True)
class Deadline:
    """By when something must have been read, all attempts together.

    Attributes:
        at: the end, of ``time.monotonic()``.
        late: what is said of a server that does not keep it.
    """

    at: float
    late: str


class Server:
    """Connections to servers, shared by a process's threads.

    Args:
        purpose: why it is asked, for whoever reads its log.
        encoding: in which bodies may come; they are handed on as they came.
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
        # Sources come and go without a word, and open sockets would stay until the collector comes.
        client = self._client
        weakref.finalize(self, lambda: _begin(client.aclose())).atexit = False

    def stop(self) -> None:
        """Let what is being read end now: somebody has given up."""
        self._is_stopped = True
        for result in list(self._awaited):
            result.cancel()

    def deadline(self, seconds: float = 0.0, late: str = "it comes too slowly") -> Deadline:
        """So many seconds from now; by default as many as the next 64 KB may take."""
        return Deadline(time.monotonic() + (seconds or self.limits.piece), late)

    def open(
        self,
        url: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        accepts: tuple[int, ...] | range = (200,),
    ) -> "Reply":
        """Send one request; the body is still to come.

        Raises:
            CannotRead: there is no reply of a status that is accepted, in words.
        """
        reply = Reply(self, self.run(partial(self._send, url, headers), deadline))
        if reply.status not in accepts:
            reply.close()
            raise _refusal(reply)
        return reply

    def read(
        self, url: str, deadline: Deadline, limit: int, accepts: tuple[int, ...] | range = (200,)
    ) -> tuple["Reply", bytes]:
        """A reply with its whole body, of at most ``limit`` bytes."""
        with closing(self.open(url, deadline, accepts=accepts)) as reply:
            return reply, b"".join(reply.blocks(limit, deadline))

    async def _send(self, url: str, headers: Mapping[str, str] | None) -> "httpx.Response":
        request = self._client.build_request("GET", url, headers=headers)
        return await self._client.send(request, stream=True)

    def run(self, call: Callable[[], Awaitable[_Result]], deadline: Deadline) -> _Result:
        """Call something on the loop, and wait for its result.

        Raises:
            CannotRead: the deadline came first, or somebody gave up, or the connection is in
                trouble; in words.
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
    """The proxy that the environment names, without user and password; ``""`` for none."""
    proxies = getproxies()
    address = proxies.get("https") or proxies.get("all") or proxies.get("http") or ""
    return address.rpartition("//")[2].rpartition("@")[2]


_starting = threading.RLock()  # the collector may come in between, and close a client


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _begin(work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
    """Let something run on the loop, which the first to come starts."""
    with _starting:
        loop = _loop()
    return asyncio.run_coroutine_threadsafe(work, loop)


async def _by(deadline: Deadline, call: Callable[[], Awaitable[_Result]]) -> _Result:
    async with asyncio.timeout(deadline.at - time.monotonic()):
        return await call()


async def _forget_redirect(response: "httpx.Response") -> None:
    # httpx reads where a redirect leads even if it does not go there, and may stumble.
    response.headers.pop("Location", None)


class Reply:
    """A reply whose body is being received.

    Attributes:
        status: its HTTP status.
        headers: by name, in whatever case.
    """

    def __init__(self, server: Server, response: "httpx.Response") -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._server = server
        self._response = response
        self._blocks = response.aiter_raw()  # as it comes: a block size would wait for more

    def next(self, deadline: Deadline) -> bytes:
        """The next bytes as they were sent; empty at the end."""
        return self._server.run(lambda: anext(self._blocks, b""), deadline)

    def close(self) -> None:
        """Let go of the connection."""
        _begin(self._response.aclose())

    def blocks(self, limit: int, deadline: Deadline) -> Iterator[bytes]:
        """All of them; CannotRead where they are more than ``limit`` bytes."""
        size = 0
        while block := self.next(deadline):
            size += len(block)
            if size > limit:
                raise too_long(limit)
            yield block


def too_long(limit: int) -> CannotRead:
    """The error about more than ``limit`` bytes."""
    return CannotRead(f"it holds more than {limit / 1e6:g} MB")


#: Said of an object that is not the one that was listed.
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
