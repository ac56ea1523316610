"""A process that has loaded what notebooks import, and becomes a kernel whenever it is asked to.

Loading takes two seconds of a processor, more than most notebooks run. A copy of the process has
it all at once, and shares its memory. ``kernels.Kernels`` starts it and talks to it; nobody else
does.
"""

import builtins
import gc
import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO


def load(modules: Iterable[str]) -> None:
    """Import the modules as a kernel would; one that fails is left to its notebook."""
    in_kernel: Any = builtins
    in_kernel.get_ipython = lambda: SimpleNamespace(kernel=None)  # pandas asks how wide to print
    for module in modules:
        with suppress(Exception):  # whatever a module does
            importlib.import_module(module)
    del in_kernel.get_ipython


def serve(requests: TextIO, answers: TextIO) -> dict[str, Any] | None:
    """Answer each line that asks for a kernel with the number of its process.

    Returns:
        In a new process: what was asked, its ``arguments, environment, folder``. In this one None,
        once whoever asks has gone.
    """
    signal.signal(signal.SIGCHLD, _forget)
    gc.freeze()  # what is collected later is no longer shared
    with requests, answers:
        for line in iter(requests.readline, ""):
            process = os.fork()
            if not process:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                asked: dict[str, Any] = json.loads(line)
                return asked
            print(process, file=answers, flush=True)
    return None


def _forget(*_: object) -> None:
    """Let kernels that have ended be no processes any more."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def become_kernel(asked: dict[str, Any]) -> None:
    """Be the kernel that was asked for, in a session of its own, until it ends."""
    from ipykernel.kernelapp import IPKernelApp

    server = os.getppid()
    os.setsid()
    os.chdir(asked["folder"])
    os.environ.update(asked["environment"])
    tempfile.tempdir = None  # found anew in the environment
    # It ends with the server, which ends with the report.
    IPKernelApp.launch_instance([*asked["arguments"], f"--IPKernelApp.parent_handle={server}"])


def _take_streams() -> tuple[TextIO, TextIO]:
    """Standard input and output; a kernel reads nothing and writes where errors go."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def main() -> None:
    """Load the modules that are named, and serve."""
    if not sys.path[0] or Path(sys.path[0]) == Path.cwd():
        del sys.path[0]  # as ipykernel_launcher does
    streams = _take_streams()
    load(["ipykernel.kernelapp", *sys.argv[1:]])
    asked = serve(*streams)
    if asked:
        become_kernel(asked)


if __name__ == "__main__":
    main()
