"""Progress of a command: on a terminal a line that changes, in a log one line after another."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analysis.errors import printable

Step = Callable[[int, int, str], None]
console = Console(stderr=True)
_EACH = 60.0  # seconds between two lines without a terminal


@contextmanager
def show_progress(*stages: str) -> Iterator[tuple[Step, ...]]:
    """Show a bar for each stage, and yield a function for each that sets its progress.

    The bar of a later stage appears with its first step. Without a terminal a line is printed each
    minute.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[item]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield tuple(_step(bar, stage, is_first=number == 0) for number, stage in enumerate(stages))


def _step(bar: Progress, stage: str, *, is_first: bool) -> Step:
    """Add a stage to the progress, and return the function that sets how far it is."""
    task = bar.add_task(stage, total=None, item="", visible=is_first)
    printed_at = time.monotonic()

    def step(done: int, total: int, item: str) -> None:
        nonlocal printed_at
        item = printable(item)  # an untrusted key of an object
        bar.update(task, completed=done, total=total, item=item[-60:], visible=True)
        if bar.disable and time.monotonic() - printed_at > _EACH:
            printed_at = time.monotonic()
            print(f"{stage}: {done:,} of {total:,}, {item}", file=sys.stderr, flush=True)

    return step


@contextmanager
def show_status(task: str) -> Iterator[None]:
    """Show on a terminal what a command is doing."""
    with console.status(task):  # shows nothing without a terminal
        yield


def say(text: str) -> None:
    """Print a line on a terminal or in a log."""
    console.print(printable(text), highlight=False, markup=False, soft_wrap=True)
