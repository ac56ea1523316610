"""Run a notebook by papermill in a kernel that is the same on every machine.

The kernels of one report: nbclient's own, the same on every machine, and ended together.
"""

import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError
from analysis.pages.formats import PUBLISHING
from analysis.temporary_folders import TemporaryFolder

#: What the result must not depend on is fixed for the kernel.
KERNEL_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "MPLBACKEND": "agg",
    "OMP_NUM_THREADS": "2",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    PUBLISHING: "1",
}
_LONGEST_FOLDER = 80  # characters: the path of a socket may have some 100


class _ThisInterpreter(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this code, whatever the user has installed."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.environment = dict(environment)

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[
                *(sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"),
                "--HistoryManager.enabled=False",
                "--Application.log_level=50",  # no word about its own shutdown
            ],
            name=kernel_name,
            display_name="Python 3",
            language="python",
            env=self.environment,
            metadata={"supported_encryption": ["curve"]},
        )


class Kernels:
    """The kernels of one report, which end together.

    A kernel also ends by itself within a second of this process, however that ended.

    Attributes:
        has_ended: says whether ``kill`` was called; whatever is done beside them may end too.
    """

    def __init__(self) -> None:
        self._managers: list[AsyncKernelManager] = []
        self._end = Event()
        self.has_ended = self._end.is_set

    def manager_class(self, scratch: str) -> type[AsyncKernelManager]:
        """A class, since nbclient makes the kernel's manager itself.

        Args:
            scratch: the kernel's folder for what is temporary. A start-up file or an extension in
                the user's profile would change what a cell means.
        """
        environment = {**KERNEL_ENVIRONMENT, "IPYTHONDIR": scratch, "TMPDIR": scratch}
        managers = self._managers

        class Manager(AsyncKernelManager):
            def __init__(self, **options: Any) -> None:
                super().__init__(
                    **options,
                    kernel_spec_manager=_ThisInterpreter(environment),
                    # Sockets in a folder of its own: of two kernels that choose one port one fails.
                    transport="ipc" if len(scratch) < _LONGEST_FOLDER else "tcp",
                    # ipykernel ≥ 7.3 warns of a port that is open to others on the machine
                    transport_encryption="required",
                    # Jupyter's own place for it, with its key, outlives a run that is killed.
                    connection_file=str(Path(scratch) / "kernel.json"),
                )
                managers.append(self)

        return Manager

    def kill(self) -> None:
        """End every kernel that runs, with the processes that it started."""
        self._end.set()
        for manager in list(self._managers):
            process = getattr(manager.provisioner, "process", None)
            if process is not None and process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # each is a session of its own


#: What Python and DuckDB raise where a disk is full, read-only or failing.
_OF_THE_DISK = {"OSError", "PermissionError", "IOException", "OutOfMemoryException"}
_KNOWN_ERRORS = {error.__name__: error for error in (ContractError, SourceError, ParameterError)}


def execute(
    notebook: Path,
    parameters: Mapping[str, object],
    kernels: Kernels,
) -> nbformat.NotebookNode:
    """Execute a notebook in its own folder; nothing is written beside it.

    Args:
        notebook: stays as it is.
        parameters: checked already, by ``distribute_parameters``. Paths should be absolute.
        kernels: those of the same report.

    Returns:
        The executed notebook, free of errors.

    Raises:
        ContractError, SourceError, ParameterError: a cell raised it; the message is the same.
        WorkbookError: a cell raised anything else, which is named; or the kernel was killed.
    """
    for name in ("papermill", "papermill.translators", "traitlets"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    source = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    # Ours, so that nothing is left of a kernel that was killed.
    with TemporaryFolder("workbook-kernel-") as scratch:
        try:
            executed: nbformat.NotebookNode = papermill.execute_notebook(
                source,
                None,
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                resources={"metadata": {"path": str(notebook.parent.resolve())}},
                kernel_manager_class=kernels.manager_class(str(scratch)),
                shutdown_kernel="immediate",
            )
        except PapermillExecutionError as failure:
            raise _as_known_error(failure, notebook.name) from failure
        except DeadKernelError:
            raise WorkbookError(
                f"{notebook.name}: its kernel was killed; perhaps there was no memory left"
            ) from None
    if any(
        output.output_type == "error"
        for cell in executed.cells
        for output in cell.get("outputs", [])
    ):
        raise WorkbookError(f"{notebook.name}: a cell ended the run; its page is not published")
    return executed


def _as_known_error(failure: PapermillExecutionError, notebook: str) -> WorkbookError:
    """The project's own error that a cell raised, with its message as it was."""
    known = _KNOWN_ERRORS.get(failure.ename)
    if known is None:
        where = f"{notebook}: cell {failure.cell_index + 1} failed with"
        if failure.ename in _OF_THE_DISK:
            said, *_ = failure.evalue.splitlines() or [failure.ename]
            return SourceError(f"{where} {said}")
        return WorkbookError(f"{where} {failure.ename}: {failure.evalue}")
    error = known.__new__(known)  # the constructors would add to a message that is complete
    Exception.__init__(error, failure.evalue)
    if isinstance(error, ParameterError):
        error.name = failure.evalue.partition("=")[0]
    return error
