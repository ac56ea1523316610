"""Run a notebook by papermill in a kernel that is the same on every machine."""

import logging
from collections.abc import Mapping
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError
from analysis.pages.kernels import Kernels
from analysis.temporary_folders import TemporaryFolder

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
