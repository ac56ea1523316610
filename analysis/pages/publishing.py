"""Notebooks → a published report: whole or not at all.

Nothing in a published file names the machine or the hour that made it, so two runs on the same
input give the same bytes.

What a notebook hands over, besides the tables it writes into its ``tables`` folder:

* ``findings/<its name>.json``: finding name → ``{"value": …, "table": …}``; merged into
  ``run.json`` under ``findings``.

The folder ``findings`` lies beside ``tables`` and is not published, nor is a file in ``tables``
whose name begins with a dot: a notebook's note to those after it.

A notebook's metadata say whose tables it reads: ``"workbook": {"reads": ["2-confirmation"]}``. It
begins once these are done; one that does not say begins once all before it are.

Kernels are nbclient's own, the same on every machine, and end together.
"""

import json
import logging
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import nbformat
import pandas as pd
import papermill
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from markupsafe import Markup
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError
from analysis.languages.language import ENGLISH
from analysis.pages.dictionary import write_datapackage
from analysis.pages.formats import PUBLISHING
from analysis.pages.rendering import (
    INDEX,
    Appendix,
    Comparison,
    Edition,
    FirstPage,
    PageContext,
    SetItem,
    describe,
    list_items,
    render_page,
    render_sections,
    render_summary,
    write_page,
    write_sites,
)
from analysis.pages.replacing import Build, list_tables, published
from analysis.pages.scheduling import Display, run_side_by_side
from analysis.reference.withheld import NONE_WITHHELD, Withheld
from analysis.tables import write_table
from analysis.temporary_folders import TemporaryFolder

#: What the result must not depend on is fixed for the kernel.
KERNEL_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "OMP_NUM_THREADS": "2",
    # what a stage has freed goes back to the machine, where the next notebook needs it
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
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
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_KNOWN_ERRORS = {error.__name__: error for error in (ContractError, SourceError, ParameterError)}


def execute(
    notebook: Path,
    parameters: Mapping[str, object],
    kernels: Kernels,
    failed: Path,
) -> nbformat.NotebookNode:
    """Execute a notebook in its own folder; nothing is written beside it.

    Args:
        notebook: stays as it is.
        parameters: checked already. Paths should be absolute.
        kernels: those of the same report.
        failed: where the notebook is kept, as far as it ran, if a cell fails unforeseen.

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
        ran = scratch / notebook.name
        try:
            executed: nbformat.NotebookNode = papermill.execute_notebook(
                source,
                ran,
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                request_save_on_cell_execute=False,  # at its end, or where it fails, is enough
                resources={"metadata": {"path": str(notebook.parent.resolve())}},
                kernel_manager_class=kernels.manager_class(str(scratch)),
                shutdown_kernel="immediate",
            )
        except PapermillExecutionError as failure:
            if failure.ename not in _KNOWN_ERRORS:
                shutil.copy(ran, failed)
            raise _as_known_error(failure, notebook.name, source, failed) from failure
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


def _as_known_error(
    failure: PapermillExecutionError, notebook: str, source: nbformat.NotebookNode, failed: Path
) -> WorkbookError:
    """The project's own error that a cell raised, with its message as it was; of any other, where
    it was raised."""
    known = _KNOWN_ERRORS.get(failure.ename)
    if known is None:
        where = f"{notebook}: {_place(failure, source)} failed with"
        if failure.ename in _OF_THE_DISK:
            said, *_ = failure.evalue.splitlines() or [failure.ename]
            resumes = failure.ename != "OutOfMemoryException"
            return SourceError(f"{where} {said}", resumes=resumes)
        kept = f"The notebook, as far as it ran: {failed}"
        return WorkbookError(f"{where} {failure.ename}: {failure.evalue}. {kept}")
    error = known.__new__(known)  # the constructors would add to a message that is complete
    Exception.__init__(error, failure.evalue)
    if isinstance(error, ParameterError):
        error.name = failure.evalue.partition("=")[0]
    return error


def _place(failure: PapermillExecutionError, source: nbformat.NotebookNode) -> str:
    """``cell 13, line 2, under “When”``: as they are numbered in the stored notebook."""
    heading, number = "", 0
    for cell in source.cells:
        number += 1
        if cell.cell_type == "markdown":
            _, *found = re.split(r"^#+ (.*)$", cell.source, flags=re.MULTILINE)
            heading = found[-2] if found else heading
        elif cell.source == failure.source:
            break
    line = re.search(r"Cell In\[\d+\], line (\d+)", _ANSI.sub("", "\n".join(failure.traceback)))
    return f"cell {number}{f', line {line[1]},' if line else ''} under “{heading}”"


_log = logging.getLogger(__name__)
#: Kernels at a time: each loads the whole of pandas.
_JOBS = 2


@dataclass(frozen=True)
class Contents:
    """What a report is made of.

    Attributes:
        notebooks: in the order of their pages.
        parameters: of every notebook. ``tables`` is set here. Paths
            should be absolute: a notebook runs in its own folder.
        run: what ``run.json`` says besides ``findings``, files and tables; no absolute path.
        page: what the header of each page in English says.
        editions: what is written in each language, the first of which lies at the top.
        first_page: what the first page says; by default only how to read the report.
        appendices: pages in English that follow those of the notebooks.
        comparison: with an earlier report, if there is one.
        given: tables that the notebooks find, by name.
        withheld: names that nothing published may spell.
    """

    notebooks: Sequence[Path]
    parameters: Mapping[str, object]
    run: Mapping[str, object]
    page: PageContext
    editions: Sequence[Edition]
    first_page: FirstPage = lambda *_: {}
    appendices: Sequence[Appendix] = ()
    comparison: Comparison | None = None
    given: Mapping[str, pd.DataFrame] | None = None
    withheld: Withheld = NONE_WITHHELD


def publish(
    contents: Contents, out: Path, display: Display | None = None, jobs: int | None = None
) -> Path:
    """Execute the notebooks, side by side where they may, and publish their pages.

    Args:
        contents: of the report.
        out: the report's folder; an earlier report there is replaced, anything else is refused.
        display: where it is said what is being done.
        jobs: how many notebooks run at a time; by default two.

    Returns:
        ``out``, resolved.

    Raises:
        ParameterError: ``out`` holds something else than a report; nothing was written.
        ContractError, SourceError: a notebook raised it, or a file spells a withheld name; the
            earlier report is still in place.
        WorkbookError: a cell failed otherwise; likewise.
    """
    failed = out.with_name(f"{out.name}.failed.ipynb")
    failed.unlink(missing_ok=True)
    with published(out, "findings", withheld=contents.withheld) as build:
        for name, frame in (contents.given or {}).items():
            write_table(build.tables, name, frame)
        items = [*map(describe, contents.notebooks), *(one.item for one in contents.appendices)]
        every = list_items(contents.editions[0], items)
        _run_notebooks(contents, build, every, display or Display(), jobs, failed)
        build.run = dict(contents.run) | {"findings": _take_findings(build.folder)}
        _write_pages(contents, build, every)
    return out.resolve()


def _run_notebooks(
    contents: Contents,
    build: Build,
    every: Sequence[SetItem],
    display: Display,
    jobs: int | None,
    failed: Path,
) -> None:
    """Write the pages of the notebooks, and those of sites, of which there may be thousands."""
    (build.folder / "findings").mkdir()
    kernels = Kernels()
    reads = find_reads(contents.notebooks)
    values = {**contents.parameters, "tables": str(build.tables)}
    works: dict[str, Callable[[], object]] = {}
    for notebook in contents.notebooks:
        make = partial(_make_page, contents, notebook, values)
        works[notebook.stem] = partial(make, build.folder, every, kernels, failed)
    for edition in contents.editions:
        if edition.sites:
            name = f"pages of sites, {edition.page.lang.code}"
            reads[name] = edition.sites.reads
            works[name] = partial(write_sites, build.folder, edition, every, kernels.has_ended)
    at_once = jobs or min(_JOBS, os.cpu_count() or 1)
    run_side_by_side(works, reads, at_once, kernels.kill, display)


def find_reads(notebooks: Sequence[Path]) -> dict[str, Collection[str]]:
    """Notebook → those whose tables it reads, among these."""
    names = [notebook.stem for notebook in notebooks]
    reads: dict[str, Collection[str]] = {}
    for place, notebook in enumerate(notebooks):
        read: Any = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
        said = read.metadata.get("workbook", {}).get("reads", names[:place])
        reads[notebook.stem] = [name for name in said if name in names]
    return reads


def _make_page(
    contents: Contents,
    notebook: Path,
    values: Mapping[str, object],
    folder: Path,
    every: Sequence[SetItem],
    kernels: Kernels,
    failed: Path,
) -> None:
    executed = execute(notebook, values, kernels, failed)
    _report_warnings(notebook.stem, executed)
    item, top = describe(notebook), contents.editions[0]
    twins = {page.item.file for edition in contents.editions for page in edition.pages}
    languages = top.page.languages if item.file in twins else ()
    page = replace(contents.page, languages=languages)
    write_page(folder / item.file, render_page(executed, item, page, every))


def _report_warnings(stem: str, executed: Any) -> None:
    """Pass on what a notebook wrote to stderr: a page would show paths of this machine."""
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                _log.warning("%s: %s", stem, output.text.strip())


def _take_findings(folder: Path) -> dict[str, Any]:
    """Every notebook's findings as one mapping."""
    findings: dict[str, Any] = {}
    for path in sorted((folder / "findings").glob("*.json")):
        findings |= json.loads(path.read_text(encoding="utf-8"))
    shutil.rmtree(folder / "findings")
    return findings


def _write_pages(contents: Contents, build: Build, every: Sequence[SetItem]) -> None:
    """Write the pages that are made of all tables, the first ones last."""
    folder, tables, findings = build.folder, build.tables, build.run["findings"]
    for note in tables.glob(".*"):
        note.unlink()
    pages = [("", contents.page, every, one) for one in contents.appendices]
    for edition in contents.editions:
        placed = edition.place_items(every)
        pages += [(edition.folder, edition.page, placed, one) for one in edition.pages]
    for place, page, items, one in pages:
        html = render_sections(one.make(tables, findings), one.item, page, items)
        write_page(folder / place / one.item.file, html)
    # drafts are compared by their claims in English, whatever language they are read in
    claims = {
        one["id"]: Markup(f"{one['claim']} {one.get('sites', '')}").striptags()
        for one in contents.first_page(tables, findings, ENGLISH).get("findings", [])
    }
    build.run |= {
        "finding_claims": claims,
        "languages": [edition.page.lang.code for edition in contents.editions],
    }
    changes = [
        contents.comparison(tables, build.run, edition.page.lang) if contents.comparison else None
        for edition in contents.editions
    ]
    if "rules_version" in build.run:  # a report, rather than notebooks of somebody's own
        write_datapackage(tables, build.run)
    counts = {name: facts.get("row_count") for name, facts in list_tables(tables).items()}
    for edition, section in zip(contents.editions, changes, strict=True):
        summary = contents.first_page(tables, findings, edition.page.lang)
        placed = edition.place_items(every)
        html = render_summary(summary, edition.page, placed, counts, section, edition.up)
        write_page(folder / edition.folder / INDEX, html)
