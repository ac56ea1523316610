"""The workbook's own errors, each with an exit status.

WorkbookError
├── ParameterError        2  a parameter is wrong; nothing was written
├── SourceError           3  a source could not be reached or ran dry; running again may resume
└── ContractError         4  the data contradict a contract; a table would lie
"""

import copyreg
import difflib
import html
import os
import traceback
from collections.abc import Iterable

#: The sentence after an error if a second run continues where this one stopped.
RESUMES = "Running the same command again resumes"


def printable(text: object, limit: int = 2000) -> str:
    """Return a text as one line that is safe to print on a terminal."""
    shown = "".join(char if char.isprintable() else "�" for char in str(text)[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[:limit]}…"


def find_near(name: str, known: Iterable[str], likeness: float = 0.75) -> list[str]:
    """Return at most three of the known names that resemble ``name`` most."""
    return difflib.get_close_matches(name, list(known), n=3, cutoff=likeness)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean floor_sessions?`` if a known name resembles ``name``, else ``""``."""
    near = find_near(name, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def describe_error(error: OSError) -> str:
    """Return why a file could not be read or written, in the system's words."""
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


class WorkbookError(Exception):
    """Base class. ``str(error)`` is one sentence for the person at the terminal."""

    exit_status = 1

    def __init__(self, message: object) -> None:
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        """Return the sentence for a notebook, and display the folded traceback below it."""
        from IPython.display import HTML, display  # the command line does without

        text = html.escape("".join(traceback.format_exception(self)))
        folded = f"<details><summary>Traceback</summary><pre>{text}</pre></details>"
        display(HTML(folded))  # type: ignore[no-untyped-call]
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple[object, ...]:
        # The sentence is complete, so an error from a worker must not pass ``__init__`` again.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ParameterError(WorkbookError):
    """A wrong parameter; the sentence names it, its value and the accepted values."""

    exit_status = 2

    def __init__(self, name: str, value: object, accepted: str) -> None:
        super().__init__(f"{printable(name, 60)}={printable(value, 300)}: {accepted}")
        self.name = name


class SourceError(WorkbookError):
    """A source that could not be reached or ran dry; the sentence says what is missing.

    ``resumes`` is False if the same command would fail in the same way.
    """

    exit_status = 3

    def __init__(self, message: str, *, resumes: bool = True) -> None:
        sentence = printable(message, 1900).rstrip(".")
        super().__init__(f"{sentence}. {RESUMES}." if resumes else f"{sentence}.")


class ContractError(WorkbookError):
    """Data that contradict a contract; the sentence names the check and the rows."""

    exit_status = 4
