"""Works side by side: each begins as soon as the tables that it reads are there."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

from analysis.errors import ContractError

_TICK = 1.0  # seconds between two looks at what is running
_LONG = 10.0  # seconds after which a notebook says what it is doing


class Display(Protocol):
    """Where progress is shown."""

    def update(self, text: str) -> None:
        """Show what is being done now, in the place of what was shown before."""

    def log(self, text: str) -> None:
        """Show a line that stays."""


class Silent:
    """Shows nothing."""

    def update(self, text: str) -> None:
        pass

    def log(self, text: str) -> None:
        pass


@dataclass
class Progress:
    """Which of how many notebooks are done, for how long the others run, and at what.

    Attributes:
        display: where it is shown.
        notebooks: what is counted; there may be other works.
        sections: notebook → heading of the section that it is at; may be written by any thread.
    """

    display: Display
    notebooks: Collection[str]
    sections: dict[str, str] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)
    _done: int = 0
    _since: float = field(default_factory=time.monotonic)

    def start(self, name: str) -> None:
        """A work begins."""
        self._started[name] = time.monotonic()
        self.show()

    def end(self, name: str) -> None:
        """A work is done."""
        self._done += name in self.notebooks
        took = time.monotonic() - self._started.pop(name)
        self.display.log(f"{name}: done in {took:.0f} s, {self._told}")
        self.show()

    def show(self) -> None:
        """Say what is being done at the moment."""
        now = time.monotonic()
        running = ", ".join(self._doing(name, now - then) for name, then in self._started.items())
        self.display.update(f"{self._told}, {now - self._since:.0f} s: {running}")

    @property
    def _told(self) -> str:
        return f"{self._done} of {len(self.notebooks)} notebooks"

    def _doing(self, name: str, seconds: float) -> str:
        section = self.sections.get(name)
        if seconds < _LONG or not section:
            return name
        return f"{name} ({seconds:.0f} s, at “{section}”)"


def find_order(
    names: Sequence[str], reads: Mapping[str, Collection[str]]
) -> dict[str, frozenset[str]]:
    """Notebook → those that must be done before it begins, in the order in which they begin.

    Args:
        names: all notebooks, in the order of their pages, and what else is done, before them.
        reads: notebook → those whose tables it reads, wherever their pages stand, the first to
            begin first; one that is not named comes after them, and waits for all before it. What
            is not run is not waited for.

    Raises:
        ContractError: notebooks read each other's tables in a circle.
    """
    order = {
        name: frozenset(reads.get(name, names[: names.index(name)])) & frozenset(names)
        for name in dict.fromkeys([*reads, *names])
        if name in names
    }
    try:
        TopologicalSorter(order).prepare()
    except CycleError as error:
        circle = ", ".join(sorted(set(error.args[1])))
        raise ContractError(f"notebooks read each other's tables in a circle: {circle}") from None
    return order


def run_side_by_side(
    works: Mapping[str, Callable[[], object]],
    order: Mapping[str, Collection[str]],
    jobs: int,
    stop: Callable[[], None],
    progress: Progress,
    has_left: Callable[[str, str], bool] | None = None,
) -> None:
    """Do all works, up to ``jobs`` at a time, in threads.

    The first failure stops what is running and is raised; of several at once, that of the earliest
    work. An interrupt does the same.

    Args:
        works: name → what is to be done, in the order in which they begin where they may.
        order: name → the works that must be done before (``find_order``), unless they have left
            what it needs.
        jobs: how many at a time.
        stop: makes the works that are running fail; called until all have ended.
        progress: is told.
        has_left: is given a work and one that must be done before it; says whether that one,
            though still running, has left already what the first one needs.
    """
    waiting = dict(works)
    running: dict[Future[object], str] = {}
    done: set[str] = set()
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="notebook")
    try:
        while waiting or running:
            ready = [
                name
                for name in waiting
                if all(one in done or (has_left and has_left(name, one)) for one in order[name])
            ]
            for name in ready[: jobs - len(running)]:
                running[pool.submit(waiting.pop(name))] = name
                progress.start(name)
            ended, _ = wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
            for name in _take(running, ended):
                done.add(name)
                progress.end(name)
            progress.show()
    finally:
        while not all(future.done() for future in running):
            stop()
            wait(running, timeout=_TICK / 5)
        pool.shutdown()


def _take(running: dict[Future[object], str], ended: Iterable[Future[object]]) -> list[str]:
    """Take those that have ended out of those that run; the earliest one's failure is raised."""
    names = []
    for future in [one for one in running if one in set(ended)]:
        names.append(running.pop(future))
        future.result()
    return names
