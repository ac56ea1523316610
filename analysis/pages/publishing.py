"""Notebooks → a published report: whole or not at all.

Everything is made in a build folder beside the report's place. Only when every page is there does
the new folder change places with the old one, in one step of the file system where it can.
Nothing in a published file names the machine or the hour that made it, so two runs on the same
input give the same bytes.

What a notebook hands over, besides the tables it writes into its ``tables`` folder:

* ``findings/<its name>.json``: finding name → ``{"value": …, "table": …}``; merged into
  ``run.json`` under ``findings``.

The folder ``findings`` lies beside ``tables`` and is not published, nor is a file in ``tables``
whose name begins with a dot: a notebook's note to those after it.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from markupsafe import Markup

from analysis.errors import ContractError
from analysis.languages.language import ENGLISH, Language
from analysis.pages.editions import (
    Appendix,
    Comparison,
    Edition,
    FirstPage,
    list_items,
    write_first_page,
    write_page,
    write_pages,
    write_sites,
)
from analysis.pages.execution import execute
from analysis.pages.kernels import Kernels, find_imports
from analysis.pages.notebook_parameters import distribute_parameters
from analysis.pages.rendering import (
    PageContext,
    SetItem,
    describe,
    render_page,
    render_sections,
)
from analysis.pages.replacing import (
    RECORD,
    build_folder,
    published_files,
    recover,
    refuse_foreign,
    swap,
)
from analysis.pages.scheduling import (
    Display,
    Progress,
    Silent,
    find_order,
    run_side_by_side,
)
from analysis.pages.site_links import lead_to_sites
from analysis.pages.summary_page import Summary

_log = logging.getLogger(__name__)


def publish(
    notebooks: Sequence[Path],
    parameters: Mapping[str, object],
    out: Path,
    page: PageContext,
    run: Mapping[str, object],
    display: Display | None = None,
    *,
    reads: Mapping[str, Mapping[str, Collection[str]]] | None = None,
    jobs: int | None = None,
    appendices: Sequence[Appendix] = (),
    comparison: Comparison | None = None,
    prepare: Callable[[Path], object] | None = None,
    works: Mapping[str, Callable[[], object]] | None = None,
    first_page: FirstPage | None = None,
    editions: Sequence[Edition] = (),
) -> Path:
    """Execute the notebooks, side by side where they may, and publish their pages.

    Args:
        notebooks: in the order of their pages.
        parameters: each notebook gets those that its parameters cell declares, and may declare no
            others. ``tables`` is set here. Paths should be absolute: a notebook runs in its own
            folder.
        out: the report's folder; an earlier report there is replaced, anything else is refused.
        page: what the header of each page in English says.
        run: what ``run.json`` says besides ``findings`` and ``tables``; of an absolute path only
            the last part is published.
        display: where it is said what is being done.
        reads: notebook → those whose tables it reads → the files, the first to begin first. It
            begins as soon as these are there; where none is named, when that notebook is done. One
            that is not named here begins when all before it are done.
        jobs: how many notebooks run at a time; by default one per processor.
        appendices: pages that follow those of the notebooks.
        comparison: with an earlier report, if there is one.
        prepare: writes what the notebooks find in the folder of the tables.
        works: what else is done beside the notebooks, by name; those wait that name it in
            ``reads``, and those of which nothing is said.
        first_page: what the first page says; without it, only how to read the report.
        editions: what is written in each language, the first of which lies at the top; without
            them, the first page alone, as ``page`` says.

    Returns:
        ``out``, resolved.

    Raises:
        ParameterError: a parameter is unknown, missing or of the wrong type, or ``out`` holds
            something else than a report; nothing was written.
        ContractError, SourceError: a notebook or a work raised it; the earlier report is still in
            place.
        WorkbookError: a cell failed otherwise; likewise.
    """
    out, display = out.resolve(), display or Silent()
    given = distribute_parameters(notebooks, {"tables": "", **parameters})
    items = {notebook.stem: describe(notebook) for notebook in notebooks}
    editions = editions or [Edition(page, "")]
    top = editions[0]
    every = list_items(top, [*items.values(), *(appendix.item for appendix in appendices)])
    twins = {appendix.item.file for one in editions for appendix in one.pages}
    waits_for, others = dict(reads or {}), dict(works or {})
    order = find_order([*others, *items], waits_for)
    at_once = max(1, min(jobs or os.cpu_count() or 1, len(notebooks)))
    progress = Progress(display, list(items))
    recover(out)
    refuse_foreign(out)
    with build_folder(out) as build:
        tables, findings = build / "tables", build / "findings"
        tables.mkdir()
        findings.mkdir()
        if prepare:
            prepare(tables)

        def make_page(kernels: Kernels, notebook: Path) -> None:
            values = dict(given[notebook])
            if "tables" in values:
                values["tables"] = str(tables)
            at = partial(_note_section, progress.sections, notebook.stem, _headings(notebook))
            executed = execute(notebook, values, kernels, at)
            _report_warnings(notebook.stem, executed)
            item = items[notebook.stem]
            languages = top.page.languages if item.file in twins else ()
            html = render_page(executed, item, replace(page, languages=languages), every)
            write_page(build / item.file, html)

        by_name = {notebook.stem: notebook for notebook in notebooks}
        with Kernels(at_once, find_imports(notebooks)) as kernels:
            every_work: dict[str, Callable[[], object]] = others
            for edition in editions:  # thousands of pages: they begin as soon as they can
                if sites := edition.sites:
                    name = f"pages of sites, {edition.page.lang.code}"
                    order[name] = frozenset(sites.reads) & by_name.keys()
                    waits_for[name] = sites.reads
                    every_work[name] = partial(
                        write_sites, build, edition, sites, every, lambda: kernels.is_ended
                    )  # fmt: skip
            every_work |= {
                name: partial(make_page, kernels, by_name[name])
                for name in order
                if name in by_name
            }

            def has_left(name: str, earlier: str) -> bool:
                files = waits_for.get(name, {}).get(earlier, ())
                return bool(files) and all((tables / file).is_file() for file in files)

            run_side_by_side(every_work, order, at_once, kernels.kill, progress, has_left)
        display.update("first page")
        headlines = _findings(findings)
        for appendix in appendices:
            html = render_sections(appendix.make(tables, headlines), appendix.item, page, every)
            write_page(build / appendix.item.file, html)
        for edition in editions:
            write_pages(build, edition, every, headlines)
        _finish(build, editions, every, run, comparison, first_page)
        lead_to_sites(build)
        _refuse_build_folder(build)
        display.update("publishing")
        swap(build, out)
    return out


@contextmanager
def changed_report(out: Path, run: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A copy of a report to add to, which takes the report's place once that is done.

    Args:
        out: the report's folder.
        run: what its ``run.json`` says.

    Yields:
        The folder of the copy, and what its ``run.json`` will say besides its files and tables.

    Raises:
        ParameterError: the folder holds something that no report wrote.
    """
    recover(out)
    refuse_foreign(out)
    with build_folder(out) as build:
        shutil.copytree(out, build, dirs_exist_ok=True)
        record = dict(run)
        yield build, record
        lead_to_sites(build)
        write_run(build, {**record, "tables": list_tables(build / "tables")})
        _refuse_build_folder(build)
        swap(build, out)


def _headings(notebook: Path) -> dict[str, str]:
    """Cell id → the heading of the section that it stands in."""
    headings: dict[str, str] = {}
    heading = ""
    for cell in nbformat.read(notebook, as_version=4).cells:  # type: ignore[no-untyped-call]
        if cell.cell_type == "markdown":
            found = re.findall(r"^#+\s+(.+?)\s*$", cell.source, re.MULTILINE)
            heading = found[-1] if found else heading
        headings[cell.id] = heading
    return headings


def _note_section(
    sections: dict[str, str], name: str, headings: Mapping[str, str], cell: str
) -> None:
    sections[name] = headings.get(cell, "")


def _finish(
    build: Path,
    editions: Sequence[Edition],
    every: Sequence[SetItem],
    run: Mapping[str, object],
    comparison: Comparison | None,
    first_page: FirstPage | None,
) -> None:
    """Write what stands beside the pages: the first pages and ``run.json``."""
    findings = _findings(build / "findings")
    shutil.rmtree(build / "findings")
    for note in (build / "tables").glob(".*"):
        note.unlink()
    word = partial(first_page, build / "tables", findings) if first_page else _without_words
    # drafts are compared by their claims in English, whatever language they are read in
    claims = {
        one["id"]: Markup(f"{one['claim']} {one.get('sites', '')}").striptags()
        for one in word(ENGLISH).get("findings", [])
    }
    record = {**_portable(dict(run)), "findings": findings, "finding_claims": claims}
    record |= {"languages": [edition.page.lang.code for edition in editions]}
    changes = [
        comparison(build / "tables", record, edition.page.lang) if comparison else None
        for edition in editions
    ]
    tables = list_tables(build / "tables")
    counts = {name: facts.get("row_count") for name, facts in tables.items()}
    for edition, section in zip(editions, changes, strict=True):
        write_first_page(build, edition, every, word(edition.page.lang), counts, section)
    write_run(build, {**record, "tables": tables})


def _without_words(lang: Language) -> Summary:
    return {}


def _findings(folder: Path) -> dict[str, Any]:
    """Every notebook's findings as one mapping."""
    findings: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        twice = sorted(findings.keys() & content.keys())
        if twice:
            raise ContractError(f"{path.stem} states findings that another page states: {twice}")
        findings |= content
    return findings


def write_run(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``run.json`` last: it names every other file; the same bytes for the same record."""
    whole = {**record, "files": published_files(folder)}
    text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_page(folder / RECORD, f"{text}\n")


def list_tables(folder: Path) -> dict[str, dict[str, Any]]:
    """File name → digest, and the number of rows where it is a CSV."""
    facts: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        facts[path.name] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        if path.suffix == ".csv":
            facts[path.name]["row_count"] = _count_rows(path)
    return facts


def _count_rows(path: Path) -> int:
    """Rows under the header. A cell may be as long as it likes, and hold line breaks."""
    row_count, is_quoted = -1, False
    with path.open("rb") as lines:
        for line in lines:
            is_quoted ^= line.count(b'"') % 2 == 1
            row_count += not is_quoted
    return max(row_count, 0)


def _portable(value: Any) -> Any:
    """The value without absolute paths: where a folder lies on one machine is nobody's business."""
    if isinstance(value, Mapping):
        return {str(key): _portable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(inner) for inner in value]
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def _report_warnings(stem: str, executed: Any) -> None:
    """Pass on what a notebook wrote to stderr: a page would show paths of this machine."""
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                _log.warning("%s: %s", stem, output.text.strip())


def _refuse_build_folder(build: Path) -> None:
    """No published text may name the folder that it was built in.

    Its name is drawn when the run begins, so that no measurement can hold it.

    Raises:
        ContractError: says which file does.
    """
    for path in sorted(build.rglob("*")):
        if path.is_file() and build.name.encode() in path.read_bytes():
            raise ContractError(f"{path.name} names a folder of this machine")
