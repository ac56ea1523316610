"""How a command says what it is doing: on a terminal a line that changes, in a log a line each."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analysis.errors import printable

Step = Callable[[int, int, str], None]
console = Console(stderr=True)
_EACH = 60.0  # seconds between two lines where there is no terminal


@contextmanager
def show_progress(*stages: str) -> Iterator[tuple[Step, ...]]:
    """A bar for each stage, on a terminal: the first, and others once told of. Elsewhere a line
    each minute."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[item]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield tuple(_step(bar, what, is_first=number == 0) for number, what in enumerate(stages))


def _step(bar: Progress, what: str, *, is_first: bool) -> Step:
    task = bar.add_task(what, total=None, item="", visible=is_first)
    said = time.monotonic()

    def step(done: int, total: int, item: str) -> None:
        nonlocal said
        item = printable(item)  # a key, which whoever fills a bucket has made up
        bar.update(task, completed=done, total=total, item=item[-60:], visible=True)
        if bar.disable and time.monotonic() - said > _EACH:
            said = time.monotonic()
            print(f"{what}: {done:,} of {total:,}, {item}", file=sys.stderr, flush=True)

    return step


@contextmanager
def show_status(what: str) -> Iterator[None]:
    """Say what a command is doing, on a terminal."""
    with console.status(what):  # which is silent where there is no terminal
        yield


def say(text: str) -> None:
    """One line for whoever waits, on a terminal or in a log."""
    console.print(printable(text), highlight=False, markup=False, soft_wrap=True)
