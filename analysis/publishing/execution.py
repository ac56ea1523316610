"""Run a notebook by papermill in a kernel that is the same on every machine."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from analysis.display.markup import PUBLISHING
from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError
from analysis.temporary_folders import TemporaryFolder

#: What the result must not depend on is fixed for the kernel.
KERNEL_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "MPLBACKEND": "agg",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    PUBLISHING: "1",
}
#: What Python and DuckDB raise where a disk is full, read-only or failing.
_OF_THE_DISK = {"OSError", "PermissionError", "IOException", "OutOfMemoryException"}
_KNOWN_ERRORS = {error.__name__: error for error in (ContractError, SourceError, ParameterError)}


class _ThisInterpreter(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this code, whatever the user has installed."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.environment = dict(environment)

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        # ipykernel ≥ 7.3 warns at each start unless its sockets are encrypted
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
            kernel_protocol_version="5.5",
        )


class Kernels:
    """The kernels of one report, which share the machine and end together.

    Args:
        at_once: how many run side by side.
    """

    def __init__(self, at_once: int = 1) -> None:
        processors = os.cpu_count() or 1
        # Where the shares are small, one kernel's pauses are another's time.
        threads = min(processors, max(2, processors // at_once))
        self._environment = {**KERNEL_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
        self._managers: list[AsyncKernelManager] = []

    def manager_class(self, scratch: str) -> type[AsyncKernelManager]:
        """A class, since nbclient makes the kernel's manager itself.

        Args:
            scratch: the kernel's folder for what is temporary. A start-up file or an extension in
                the user's profile would change what a cell means.
        """
        spec = _ThisInterpreter({**self._environment, "IPYTHONDIR": scratch, "TMPDIR": scratch})
        managers = self._managers

        class Manager(AsyncKernelManager):
            def __init__(self, **options: Any) -> None:
                options["kernel_spec_manager"] = spec
                options["transport_encryption"] = "required"
                # Jupyter's own place for it, with its key, outlives a run that is killed.
                options["connection_file"] = str(Path(scratch) / "connection.json")
                super().__init__(**options)
                managers.append(self)

        return Manager

    def kill(self) -> None:
        """End every kernel that runs, with the processes that it started."""
        for manager in list(self._managers):
            process = getattr(manager.provisioner, "process", None)
            if process is not None and process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # each is a session of its own


def execute(
    notebook: Path,
    parameters: Mapping[str, object],
    kernels: Kernels | None = None,
    on_cell: Callable[[str], None] | None = None,
) -> nbformat.NotebookNode:
    """Execute a notebook in its own folder; nothing is written beside it.

    Args:
        notebook: stays as it is.
        parameters: checked already, by ``distribute_parameters``. Paths should be absolute.
        kernels: those of the same report.
        on_cell: is told the id of each cell that begins.

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
                kernel_manager_class=(kernels or Kernels()).manager_class(str(scratch)),
                shutdown_kernel="immediate",
                on_cell_start=lambda cell, cell_index: on_cell(cell.id) if on_cell else None,
            )
        except PapermillExecutionError as failure:
            raise _as_known_error(failure, notebook.name) from failure
        except DeadKernelError:
            raise WorkbookError(
                f"{notebook.name}: its kernel was killed; perhaps there was no memory left"
            ) from None
    refuse_failed(executed, notebook.name)
    return executed


def refuse_failed(executed: nbformat.NotebookNode, name: str) -> None:
    """Refuse a notebook that carries the mark of a failed run, however it came here.

    Raises:
        WorkbookError: says which cell.
    """
    failed = bool(executed.metadata.get("papermill", {}).get("exception"))
    for place, cell in enumerate(executed.cells, start=1):
        marked = bool(cell.metadata.get("papermill", {}).get("exception"))
        if marked or any(output.output_type == "error" for output in cell.get("outputs", [])):
            raise WorkbookError(f"{name}: cell {place} failed; its page is not published")
    if failed:
        raise WorkbookError(f"{name}: the run failed; its page is not published")


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
