"""The kernels of one report: the same on every machine, and loaded once for all of them."""

import ast
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

import nbformat
import pyarrow as pa
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from analysis.errors import WorkbookError
from analysis.pages.markup import PUBLISHING

#: From so many bytes on an array goes back to the system as soon as it is free. The C library does
#: so by itself until the first one has gone: from then on it keeps those of up to 32 MB at hand, in
#: pieces that seldom fit the next one. What is smaller a kernel keeps as it would by itself; told
#: the one number alone, the library would give back all of it.
_LARGE, _AT_HAND = 4 << 20, 64 << 20
_M_MMAP_THRESHOLD = -3  # of malloc.h

#: What the result must not depend on is fixed for the kernel. Arrow gives back what nobody needs:
#: its own pool keeps a tenth of what a kernel holds, which others that run beside could use.
KERNEL_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "MPLBACKEND": "agg",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_MMAP_THRESHOLD_": str(_LARGE),
    "MALLOC_TRIM_THRESHOLD_": str(_AT_HAND),
    PUBLISHING: "1",
}
_SERVER = "analysis.pages.kernel_server"


def keep_little() -> None:
    """Let this process, which runs beside kernels, give back at once what is free, as these do.

    What is small goes back as well: here there is little of it. A C library that cannot be told
    stays as it is.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


class _ThisInterpreter(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this code, whatever the user has installed."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.environment = dict(environment)

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        # ipykernel ≥ 7.3 warns at each start unless its sockets are encrypted
        return KernelSpec(
            argv=[
                *("-f", "{connection_file}"),
                "--HistoryManager.enabled=False",
                "--Application.log_level=50",  # no word about its own shutdown
            ],
            name=kernel_name,
            display_name="Python 3",
            language="python",
            env=self.environment,
            metadata={"supported_encryption": ["curve"]},
            kernel_protocol_version="5.5",
        )


class _Process:
    """A kernel's process, which is not a child of this one; what Jupyter asks of a ``Popen``."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """None while it runs; how it ended, only the server could know."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 1
        return None

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.05)
        return 1

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Kernels:
    """The kernels of one report, which share the machine and what is loaded, and end together.

    Args:
        at_once: how many run side by side.
        modules: what is loaded for all of them before the first one starts.

    Attributes:
        is_ended: ``kill`` was called; whatever else is done beside them may end too.
    """

    def __init__(self, at_once: int = 1, modules: Iterable[str] = ()) -> None:
        processors = os.cpu_count() or 1
        # Where the shares are small, one kernel's pauses are another's time.
        threads = min(processors, max(2, processors // at_once))
        self._environment = {**KERNEL_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
        self._modules = list(modules)
        self._managers: list[AsyncKernelManager] = []
        self._server: subprocess.Popen[str] | None = None
        self._lock = Lock()
        self.is_ended = False

    def __enter__(self) -> "Kernels":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server, and with it what still runs."""
        self.kill()
        if self._server:
            with suppress(BrokenPipeError):
                self._server.communicate()

    def manager_class(self, scratch: str) -> type[AsyncKernelManager]:
        """A class, since nbclient makes the kernel's manager itself.

        Args:
            scratch: the kernel's folder for what is temporary. A start-up file or an extension in
                the user's profile would change what a cell means.
        """
        spec = _ThisInterpreter({**self._environment, "IPYTHONDIR": scratch, "TMPDIR": scratch})
        kernels = self

        class Manager(AsyncKernelManager):
            def __init__(self, **options: Any) -> None:
                options["kernel_spec_manager"] = spec
                options["transport_encryption"] = "required"
                # Jupyter's own place for it, with its key, outlives a run that is killed.
                options["connection_file"] = str(Path(scratch) / "connection.json")
                super().__init__(**options)
                kernels._managers.append(self)

            async def _async_launch_kernel(self, kernel_cmd: list[str], **asked: Any) -> None:
                provisioner: Any = self.provisioner
                pid = kernels.start(kernel_cmd, asked["env"], asked["cwd"])
                provisioner.process = _Process(pid)
                provisioner.pid = provisioner.pgid = pid  # each is a session of its own
                provisioner.cwd = asked["cwd"]
                self._reconcile_connection_info(provisioner.connection_info)

        return Manager

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], folder: str) -> int:
        """Start a kernel; the number of its process.

        Raises:
            WorkbookError: the process that loads has ended.
        """
        with self._lock:
            self._server = self._server or self._serve()
            requests, answers = self._server.stdin, self._server.stdout
            asked = {"arguments": arguments, "environment": environment, "folder": str(folder)}
            assert requests is not None
            assert answers is not None
            with suppress(BrokenPipeError):
                print(json.dumps(asked), file=requests, flush=True)
                if answer := answers.readline():
                    return int(answer)
        raise WorkbookError("no kernel could be started; perhaps there was no memory left")

    def _serve(self) -> "subprocess.Popen[str]":
        """Start the process that loads."""
        return subprocess.Popen(
            [sys.executable, "-m", _SERVER, *self._modules],
            env=os.environ | self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is the report's to hear
        )

    def kill(self) -> None:
        """End every kernel that runs, with the processes that it started."""
        self.is_ended = True
        for manager in list(self._managers):
            process = getattr(manager.provisioner, "process", None)
            if process is not None and process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # each is a session of its own


def find_imports(notebooks: Iterable[Path]) -> list[str]:
    """What notebooks import at the top of their cells, in order.

    Of ``from a import b``, ``a`` and ``a.b``: it may be a module or not.
    """
    found: dict[str, None] = {}
    for notebook in notebooks:
        cells = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
        for source in (cell.source for cell in cells if cell.cell_type == "code"):
            try:
                statements = ast.parse(source).body
            except SyntaxError:  # the notebook will say so itself
                continue
            for one in statements:
                if isinstance(one, ast.Import):
                    found |= dict.fromkeys(alias.name for alias in one.names)
                elif isinstance(one, ast.ImportFrom) and one.module:
                    found[one.module] = None
                    found |= dict.fromkeys(f"{one.module}.{alias.name}" for alias in one.names)
    return list(found)
