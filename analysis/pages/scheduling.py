"""Works side by side: each begins once those are done whose tables it reads."""

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import CycleError, TopologicalSorter

from analysis.errors import ContractError

_TICK = 1.0  # seconds between two looks at what is running


class Display:
    """Where progress is shown: here, nowhere."""

    def update(self, text: str) -> None:
        """Show what is being done now, in the place of what was shown before."""

    def log(self, text: str) -> None:
        """Show a line that stays."""


def run_side_by_side(
    works: Mapping[str, Callable[[], object]],
    reads: Mapping[str, Collection[str]],
    jobs: int,
    stop: Callable[[], None],
    display: Display,
) -> None:
    """Do all works, up to ``jobs`` at a time, in threads.

    The first failure stops what is running and is raised; of several at once, that of the earliest
    work. An interrupt does the same.

    Args:
        works: name → what is to be done, in the order in which they begin where they may; those
            that others read begin before those that none reads.
        reads: name → the works that must be done before.
        jobs: how many at a time.
        stop: makes the works that are running fail; called until all have ended.
        display: is told.

    Raises:
        ContractError: works wait for each other in a circle; none has begun.
    """
    order = TopologicalSorter({name: reads[name] for name in works})
    try:
        order.prepare()
    except CycleError as error:
        circle = ", ".join(sorted(set(error.args[1])))
        raise ContractError(f"notebooks read each other's tables in a circle: {circle}") from None
    is_read = {name for names in reads.values() for name in names}
    waiting: list[str] = []
    begun: dict[str, float] = {}
    running: dict[Future[object], str] = {}
    done_count = 0
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="notebook")
    try:
        while order.is_active():
            waiting = sorted([*waiting, *order.get_ready()], key=lambda name: name not in is_read)
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                begun[name] = time.monotonic()
                running[pool.submit(works[name])] = name
            wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in [one for one in running if one.done()]:
                future.result()
                name = running.pop(future)
                order.done(name)
                done_count += 1
                seconds = time.monotonic() - begun[name]
                display.log(f"{name}: done in {seconds:.0f} s, {done_count} of {len(works)}")
            display.update(f"{done_count} of {len(works)} done: {', '.join(running.values())}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in running):
            stop()
            wait(running, timeout=_TICK / 5)
        pool.shutdown()
