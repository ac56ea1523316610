"""Publication of a report from notebooks: whole or not at all.

A published file names neither the machine nor the hour at which it was made, so two runs on the
same input give the same bytes.

The notebooks run one after another, in the order of their names, each in a new kernel. A notebook
passes its results to the next ones as tables in the folder ``tables``; a file there whose name
begins with a dot is not published. Headline numbers (``show.record_findings``) are read from the
outputs of its cells and merged into ``run.json`` under ``findings``.
"""

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from markupsafe import Markup
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets import default
from traitlets.config import Config

from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError
from analysis.languages.language import ENGLISH
from analysis.pages.dictionary import write_datapackage
from analysis.pages.formats import FINDINGS, PUBLISHING
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
from analysis.reference.withheld import NONE_WITHHELD, Withheld
from analysis.tables import write_table
from analysis.temporary_folders import TemporaryFolder

#: Environment of the kernel; the result must not depend on the user's.
KERNEL_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "OMP_NUM_THREADS": "2",
    # memory that a stage frees must return to the system, since the next notebook needs it
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    PUBLISHING: "1",
}
_LONGEST_FOLDER = 80  # characters: the path of a socket may have some 100


class _Kernel(AsyncKernelManager):
    """Manager of a kernel on this interpreter, whatever kernels and start-up files the user has.

    Temporary files are in the folder of the ``connection_file``. nbclient ends the kernel, with the
    processes that it started, however the notebook ends; if this process is killed, the kernel ends
    by itself within a second.
    """

    @default("kernel_spec_manager")
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])  # the user's kernels are ignored

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]  # asynchronous, as declared there
        scratch = str(Path(self.connection_file).parent)
        # a start-up file or an extension in the user's profile could change the result of a cell
        own = {**KERNEL_ENVIRONMENT, "IPYTHONDIR": scratch, "TMPDIR": scratch}
        await super().start_kernel(env=os.environ | own, **options)


def _describe_kernel(scratch: Path) -> Config:
    """Return the configuration of the connection to a kernel.

    Args:
        scratch: the kernel's folder. In Jupyter's default folder the connection file, with its key,
            would remain after a run that is killed.
    """
    options = {
        "connection_file": str(scratch / "kernel.json"),
        # with TCP, kernels of two reports may choose the same port, and one of them fails
        "transport": "ipc" if len(str(scratch)) < _LONGEST_FOLDER else "tcp",
        # without it, ipykernel ≥ 7.3 warns that other users of the machine can connect
        "transport_encryption": "required",
    }
    return Config({"KernelManager": options})


#: Errors of Python and DuckDB if a disk is full, read-only or failing.
_OF_THE_DISK = {"OSError", "PermissionError", "IOException", "OutOfMemoryException"}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_KNOWN_ERRORS = {error.__name__: error for error in (ContractError, SourceError, ParameterError)}


def execute(
    notebook: Path,
    parameters: Mapping[str, object],
    failed: Path,
) -> nbformat.NotebookNode:
    """Execute a notebook in its own folder; nothing is written there.

    Args:
        notebook: the file, which is not changed.
        parameters: values that were checked. Paths should be absolute.
        failed: path at which the partly executed notebook is saved if a cell raises an error that
            is not the project's own.

    Returns:
        The executed notebook, without errors.

    Raises:
        ContractError, SourceError, ParameterError: a cell raised it; the message is the same.
        WorkbookError: a cell raised anything else, which is named; or the kernel was killed.
    """
    for name in ("papermill", "papermill.translators", "traitlets"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    source = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    # The kernel's files are in this folder, which is removed even if the kernel was killed.
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
                request_save_on_cell_execute=False,  # it is saved at its end or where it fails
                resources={"metadata": {"path": str(notebook.parent.resolve())}},
                kernel_manager_class=_Kernel,
                config=_describe_kernel(scratch),
                extra_arguments=[
                    "--Application.log_level=50"
                ],  # the kernel logs nothing when it shuts down
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
    """Return the project's own error that a cell raised, with its message.

    For any other error, return one that names the cell and line.
    """
    known_class = _KNOWN_ERRORS.get(failure.ename)
    if known_class is None:
        where = f"{notebook}: {_name_cell(failure, source)} failed with"
        if failure.ename in _OF_THE_DISK:
            message, *_ = failure.evalue.splitlines() or [failure.ename]
            resumes = failure.ename != "OutOfMemoryException"
            return SourceError(f"{where} {message}", resumes=resumes)
        saved = f"The notebook, as far as it ran: {failed}"
        return WorkbookError(f"{where} {failure.ename}: {failure.evalue}. {saved}")
    error = known_class.__new__(known_class)  # its constructor would add to the complete message
    Exception.__init__(error, failure.evalue)
    if isinstance(error, ParameterError):
        error.name = failure.evalue.partition("=")[0]
    return error


def _name_cell(failure: PapermillExecutionError, source: nbformat.NotebookNode) -> str:
    """Return the cell of a failure, numbered as in the stored notebook.

    Such as ``cell 13, line 2, under “When”``.
    """
    heading, number = "", 0
    for cell in source.cells:
        number += 1
        if cell.cell_type == "markdown":
            _, *headings = re.split(r"^#+ (.*)$", cell.source, flags=re.MULTILINE)
            heading = headings[-2] if headings else heading
        elif cell.source == failure.source:
            break
    line = re.search(r"Cell In\[\d+\], line (\d+)", _ANSI.sub("", "\n".join(failure.traceback)))
    return f"cell {number}{f', line {line[1]},' if line else ''} under “{heading}”"


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contents:
    """Contents of a report before it is made.

    Attributes:
        notebooks: paths, in the order of their pages.
        parameters: of every notebook, without ``tables``, which is added. Paths should be
            absolute, because a notebook runs in its own folder.
        run: content of ``run.json`` without ``findings``, files and tables; no absolute path.
        page: header of each page in English.
        editions: one for each language; the first is at the top of the report.
        first_page: content of the first page; by default only how to read the report.
        appendices: pages in English that follow those of the notebooks.
        comparison: with an earlier report, if there is one.
        inputs: tables that are written before the first notebook runs, by name.
        conclude: writes the tables that are made from those of all notebooks; its argument is the
            folder of the tables.
        withheld: names that must not appear in any published file.
    """

    notebooks: Sequence[Path]
    parameters: Mapping[str, object]
    run: Mapping[str, object]
    page: PageContext
    editions: Sequence[Edition]
    first_page: FirstPage = lambda *_: {}
    appendices: Sequence[Appendix] = ()
    comparison: Comparison | None = None
    inputs: Mapping[str, pd.DataFrame] | None = None
    conclude: Callable[[Path], object] = lambda _: None
    withheld: Withheld = NONE_WITHHELD


def publish(contents: Contents, out: Path, say: Callable[[str], object] = _log.info) -> Path:
    """Execute the notebooks one after another, and publish their pages.

    Args:
        contents: contents of the report.
        out: the report's folder; an earlier report there is replaced, anything else is refused.
        say: called with a line after each notebook.

    Returns:
        ``out``, resolved.

    Raises:
        ParameterError: ``out`` has something else than a report in it; nothing was written.
        ContractError, SourceError: a notebook raised it, or a file has a withheld name in it; the
            earlier report is not changed.
        WorkbookError: a cell failed otherwise; likewise.
    """
    failed = out.with_name(f"{out.name}.failed.ipynb")
    failed.unlink(missing_ok=True)
    with published(out, "findings", withheld=contents.withheld) as build:
        for name, frame in (contents.inputs or {}).items():
            write_table(build.tables, name, frame)
        items = [
            *map(describe, contents.notebooks),
            *(appendix.item for appendix in contents.appendices),
        ]
        every = list_items(contents.editions[0], items)
        build.run = {**contents.run, "findings": {}}
        _run_notebooks(contents, build, every, say, failed)
        _write_pages(contents, build, every)
    return out.resolve()


def publish_notebook(
    notebook: Path,
    parameters: Mapping[str, object],
    page: PageContext,
    out: Path,
    kind: str,
    run: Mapping[str, Any],
    withheld: Withheld = NONE_WITHHELD,
) -> Path:
    """Execute one notebook, and publish its page with the tables that it writes.

    Args:
        notebook: the file.
        parameters: as those of ``Contents``.
        page: header of the page.
        out: the folder; an earlier one of the same kind there is replaced.
        kind: the key of ``run.json`` that only folders of this kind have; it gets the findings.
        run: the other content of ``run.json``.
        withheld: names that must not appear.

    Returns:
        The page.

    Raises:
        ParameterError, ContractError, SourceError, WorkbookError: as ``publish``.
    """
    failed = out.with_name(f"{out.name}.failed.ipynb")
    failed.unlink(missing_ok=True)
    item = replace(describe(notebook), file=INDEX, title=page.title)
    with published(out, kind, withheld=withheld) as build:
        executed = execute(notebook, {**parameters, "tables": str(build.tables)}, failed)
        _report_warnings(notebook.stem, executed)
        build.run = {**run, kind: _take_findings(executed)}
        write_page(build.folder / INDEX, render_page(executed, item, page, [item]))
        write_datapackage(build.tables, build.run)
    return out / INDEX


def _run_notebooks(
    contents: Contents,
    build: Build,
    every: Sequence[SetItem],
    say: Callable[[str], object],
    failed: Path,
) -> None:
    """Run the notebooks and write their pages, then those of sites."""
    values = {**contents.parameters, "tables": str(build.tables)}
    works: dict[str, Callable[[], object]] = {}
    for notebook in contents.notebooks:
        works[notebook.stem] = partial(_make_page, contents, notebook, values, build, every, failed)
    works["findings"] = partial(contents.conclude, build.tables)
    for edition in contents.editions:
        if edition.sites:
            name = f"pages of sites, {edition.page.lang.code}"
            works[name] = partial(write_sites, build.folder, edition, every)
    for number, (name, work) in enumerate(works.items(), 1):
        begun = time.monotonic()
        work()
        say(f"{name}: done in {time.monotonic() - begun:.0f} s, {number} of {len(works)}")


def _make_page(
    contents: Contents,
    notebook: Path,
    values: Mapping[str, object],
    build: Build,
    every: Sequence[SetItem],
    failed: Path,
) -> None:
    """Run a notebook, take its findings, and write its page."""
    executed = execute(notebook, values, failed)
    _report_warnings(notebook.stem, executed)
    build.run["findings"] |= _take_findings(executed)
    item, top = describe(notebook), contents.editions[0]
    twins = {page.item.file for edition in contents.editions for page in edition.pages}
    languages = top.page.languages if item.file in twins else ()
    page = replace(contents.page, languages=languages)
    write_page(build.folder / item.file, render_page(executed, item, page, every))


def _report_warnings(stem: str, executed: Any) -> None:
    """Log what a notebook wrote to stderr, which on a page could show paths of this machine."""
    if "reads" in executed.metadata.get("workbook", {}):
        _log.warning(
            "%s: workbook.reads in its metadata is ignored; notebooks run in the order of their "
            "names, each after all before it",
            stem,
        )
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                _log.warning("%s: %s", stem, output.text.strip())


def _take_findings(executed: Any) -> dict[str, Any]:
    """Remove the findings from the outputs of a notebook, and return them."""
    findings: dict[str, Any] = {}
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            findings |= output.get("data", {}).get(FINDINGS, {})
        if cell.cell_type == "code":
            cell.outputs = [
                output for output in cell.outputs if FINDINGS not in output.get("data", {})
            ]
    return findings


def _write_pages(contents: Contents, build: Build, every: Sequence[SetItem]) -> None:
    """Write the pages that are made of all tables, the first ones last."""
    folder, tables, findings = build.folder, build.tables, build.run["findings"]
    for hidden in tables.glob(".*"):
        hidden.unlink()
    pages = [("", contents.page, every, appendix) for appendix in contents.appendices]
    for edition in contents.editions:
        placed = edition.place_items(every)
        pages += [(edition.folder, edition.page, placed, appendix) for appendix in edition.pages]
    for subfolder, page, items, appendix in pages:
        html = render_sections(appendix.make(tables, findings), appendix.item, page, items)
        write_page(folder / subfolder / appendix.item.file, html)
    # drafts are compared by their claims in English, whatever the languages of the report
    claims = {
        finding["id"]: Markup(f"{finding['claim']} {finding.get('sites', '')}").striptags()
        for finding in contents.first_page(tables, findings, ENGLISH).get("findings", [])
    }
    build.run |= {
        "finding_claims": claims,
        "languages": [edition.page.lang.code for edition in contents.editions],
    }
    changes = [
        contents.comparison(tables, build.run, edition.page.lang) if contents.comparison else None
        for edition in contents.editions
    ]
    if "rules_version" in build.run:  # a report, and not notebooks of another project
        write_datapackage(tables, build.run)
    counts = {name: facts.get("row_count") for name, facts in list_tables(tables).items()}
    for edition, section in zip(contents.editions, changes, strict=True):
        summary = contents.first_page(tables, findings, edition.page.lang)
        placed = edition.place_items(every)
        html = render_summary(summary, edition.page, placed, counts, section, edition.up)
        write_page(folder / edition.folder / INDEX, html)
