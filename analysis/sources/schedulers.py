"""A running Dask scheduler: the same call on many machines.

Dask only runs a call for each item, and repeats it if a worker is lost. All results are in the
store, so a run whose scheduler is lost can simply be started again.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from analysis.errors import ParameterError, SourceError

if TYPE_CHECKING:
    from distributed import Client, Future


_ADDRESS = re.compile(r"(tcp|tls)://([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", re.ASCII)
_AHEAD = 1000  # items that are submitted at once

#: Seconds that a scheduler has to answer, and may be without any worker.
CONNECT, NO_WORKERS = 15.0, 60.0

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def parse_address(text: str) -> str:
    """Check the address of a scheduler.

    Raises:
        ParameterError: it is not an address, or Dask is not installed.
    """
    if not _ADDRESS.fullmatch(text):
        raise ParameterError("SCHEDULER", text, "tcp://host:port of a Dask scheduler is accepted")
    if find_spec("distributed") is None:
        raise ParameterError(
            "SCHEDULER", text, "needs Dask, which comes with: pip install -e '.[cluster]'"
        )
    return text


def spread(
    address: str,
    call: Callable[[bytes, _Item], _Result],
    shared: bytes,
    items: Mapping[str, _Item],
    limit: int | None = None,
) -> Iterator[tuple[str, _Result]]:
    """Call a function for each item on the scheduler's workers and yield name and result.

    Results come in the order of completion.

    Args:
        address: of the scheduler.
        call: a function of a module that the workers have too.
        shared: the first argument of every call, sent to each worker once.
        items: name → second argument.
        limit: simultaneous calls; by default as many as the workers take.

    Raises:
        SourceError: the scheduler or all its workers are gone, or an item crashes its worker.
    """
    with _connected(address) as client:
        # A task instead of scattered data, which would be lost together with its worker.
        argument = client.submit(_identity, shared, pure=False)
        done: SimpleQueue[Future[_Result]] = SimpleQueue()
        running: dict[Any, tuple[str, Future[_Result]]] = {}
        waiting = iter(items.items())
        free = limit or _AHEAD
        while True:
            for name, item in islice(waiting, free):
                future = client.submit(call, argument, item, pure=False)
                running[future.key] = name, future
                future.add_done_callback(done.put)
            if not running:
                return
            name, future = running.pop(_next(client, done).key)
            yield name, _result(future, name, address)
            free = 1


@contextmanager
def _connected(address: str) -> Iterator["Client"]:
    from distributed import Client  # half a second to load, and rarely needed

    # Errors are reported here in one line, not by Dask's own log.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = "does not answer" if isinstance(error, OSError) else str(error)
        raise SourceError(f"the Dask scheduler {address} {reason}") from None
    try:
        yield client
    finally:
        client.close(timeout=5)


def _identity(shared: bytes) -> bytes:
    return shared


def _next(client: "Client", done: "SimpleQueue[Future[Any]]") -> "Future[Any]":
    """Wait for the next call that ends, as long as there are workers."""
    was_empty = False
    while True:
        try:
            return done.get(timeout=NO_WORKERS / 2)
        except Empty:
            is_empty = not client.nthreads()
            if is_empty and was_empty:
                raise SourceError("the Dask scheduler has no workers") from None
            was_empty = is_empty


def _result(future: "Future[_Result]", name: str, address: str) -> _Result:
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        raise SourceError(f"each worker that tried {name} was lost; see their logs") from None
    except (CancelledError, OSError):
        if future.status == "error":  # the call's own
            raise
        raise SourceError(f"the Dask scheduler {address} went away") from None
