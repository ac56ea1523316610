"""Everything that can go wrong on purpose, and the exit status each of them means.

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

#: Said where what was done so far is kept, and done no more.
RESUMES = "Running the same command again resumes"


def printable(text: object, limit: int = 2000) -> str:
    """A text of anybody's as a terminal may show it: one line, nothing that it would obey."""
    shown = "".join(char if char.isprintable() else "�" for char in str(text)[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[:limit]}…"


def find_near(name: str, known: Iterable[str], likeness: float = 0.75) -> list[str]:
    """The known names that are most like one, three at most."""
    return difflib.get_close_matches(name, list(known), n=3, cutoff=likeness)


def suggest(name: str, known: Iterable[str]) -> str:
    """``; did you mean floor_sessions?`` where a known name is like the one given, else nothing."""
    near = find_near(name, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def describe_error(error: OSError) -> str:
    """Why something could not be read or written, in the system's words."""
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


class WorkbookError(Exception):
    """Base class. ``str(error)`` is one sentence for the person at the terminal."""

    exit_status = 1

    def __init__(self, message: object) -> None:
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, with the traceback folded below it."""
        from IPython.display import HTML, display  # the command line does without

        told = html.escape("".join(traceback.format_exception(self)))
        folded = f"<details><summary>Traceback</summary><pre>{told}</pre></details>"
        display(HTML(folded))  # type: ignore[no-untyped-call]
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple[object, ...]:
        # A worker's error arrives as it was: not made anew from a sentence that is made already.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ParameterError(WorkbookError):
    """A parameter is wrong: names it, its value and what is accepted."""

    exit_status = 2

    def __init__(self, name: str, value: object, accepted: str) -> None:
        super().__init__(f"{printable(name, 60)}={printable(value, 300)}: {accepted}")
        self.name = name


class SourceError(WorkbookError):
    """A source could not be reached or ran dry: says what is missing.

    ``resumes`` is False where the same command would end the same way.
    """

    exit_status = 3

    def __init__(self, message: str, *, resumes: bool = True) -> None:
        told = printable(message, 1900).rstrip(".")
        super().__init__(f"{told}. {RESUMES}." if resumes else f"{told}.")


class ContractError(WorkbookError):
    """The data contradict a contract: says which check and which rows."""

    exit_status = 4
