"""How a command says what it is doing: on a terminal a line that changes, in a log a line each."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.text import Text

from analysis.errors import printable
from analysis.pages.scheduling import Display

Step = Callable[[int, int, str], None]
console = Console(stderr=True)
_EACH = 60.0  # seconds between two lines where there is no terminal
_OFTEN = 10.0  # the same while notebooks run


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


class _Shown(Display):
    """Progress: lines that stay, and what is being done, on a terminal in a line that changes, in
    a log now and then."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._said = time.monotonic()

    def log(self, text: str) -> None:
        self._said = time.monotonic()
        say(text)

    def update(self, text: str) -> None:
        if console.is_terminal:
            self._status.update(Text(printable(text), overflow="ellipsis", no_wrap=True))
        elif time.monotonic() - self._said > _OFTEN:
            self.log(text)


@contextmanager
def show_status(what: str) -> Iterator[_Shown]:
    """Where a command says what it is doing."""
    with console.status(what) as status:  # which is silent where there is no terminal
        yield _Shown(status)


def say(text: str) -> None:
    """One line for whoever waits, on a terminal or in a log."""
    console.print(printable(text), highlight=False, markup=False, soft_wrap=True)
