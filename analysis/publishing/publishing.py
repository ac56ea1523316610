"""Notebooks → a published report: whole or not at all.

Everything is made in a build folder beside the report's place. Only when every page is there does
the new folder change places with the old one, in one step of the file system where it can.
Nothing in a published file names the machine or the hour that made it, so two runs on the same
input give the same bytes.

What a notebook hands over, besides the tables it writes into its ``tables`` folder:

* ``findings/<its name>.json``: finding name → ``{"value": …, "table": …, "text": …}``; merged
  into ``run.json`` under ``findings``.
* ``findings/index.json``, from one notebook: the content of the first page, in the shape of
  ``rendering.Summary``.

The folder ``findings`` lies beside ``tables`` and is not published.
"""

import csv
import ctypes
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analysis.errors import ContractError, ParameterError
from analysis.publishing.execution import execute
from analysis.publishing.parameters import declared_parameters, share_out
from analysis.publishing.rendering import (
    PageContext,
    SetItem,
    Summary,
    describe,
    render_page,
    render_summary,
)

Progress = Callable[[str], None]

_log = logging.getLogger(__name__)
_SUMMARY_ITEM = SetItem("index.html", "Summary", "")


def publish(
    notebooks: Sequence[Path],
    parameters: Mapping[str, object],
    out: Path,
    page: PageContext,
    run: Mapping[str, object],
    progress: Progress | None = None,
) -> Path:
    """Execute the notebooks in order and publish their pages.

    Args:
        notebooks: each reads the tables that the ones before it wrote.
        parameters: each notebook gets those that its parameters cell declares. ``tables`` is set
            here. Paths should be absolute: a notebook runs in its own folder.
        out: the report's folder; an earlier report there is replaced, anything else is refused.
        page: what each page's header says.
        run: what ``run.json`` says besides ``findings`` and ``tables``; of an absolute path only
            the last part is published.
        progress: is told what is being done, in a few words.

    Returns:
        ``out``, resolved.

    Raises:
        ParameterError: a parameter is unknown or of the wrong type, or ``out`` holds something
            else than a report; nothing was written.
        ContractError, SourceError: a notebook raised it; the earlier report is still in place.
        WorkbookError: a cell failed otherwise; likewise.
    """
    say = progress or (lambda words: None)
    out = out.resolve()
    shares = share_out(notebooks, parameters)
    items = [describe(notebook) for notebook in notebooks]
    _recover(out)
    refuse_foreign(out)
    with _build_folder(out) as build:
        tables, findings = build / "tables", build / "findings"
        tables.mkdir()
        findings.mkdir()
        for notebook, item in zip(notebooks, items, strict=True):
            say(f"{notebook.stem}: running")
            given = shares[notebook] | _tables_parameter(notebook, tables)
            executed = execute(notebook, given)
            _report_warnings(notebook.stem, executed)
            html = render_page(executed, item, page, [_SUMMARY_ITEM, *items])
            _write(build / item.file, html)
        say("first page")
        _finish(build, page, [_SUMMARY_ITEM, *items], run)
        _refuse_machine_names(build)
        say("publishing")
        _swap(build, out)
    return out


def _tables_parameter(notebook: Path, tables: Path) -> dict[str, object]:
    return {"tables": str(tables)} if "tables" in declared_parameters(notebook) else {}


def _finish(
    build: Path, page: PageContext, every: Sequence[SetItem], run: Mapping[str, object]
) -> None:
    """Write what stands beside the pages: the first page and ``run.json``."""
    summary, found = _findings(build / "findings")
    shutil.rmtree(build / "findings")
    tables = _tables(build / "tables")
    counts = {name: facts.get("row_count") for name, facts in tables.items()}
    _write(build / "index.html", render_summary(summary, page, every, counts))
    record = {**_portable(dict(run)), "findings": found, "tables": tables}
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    _write(build / "run.json", f"{text}\n")


def _findings(folder: Path) -> tuple[Summary, dict[str, Any]]:
    """The first page's content, and every notebook's findings as one mapping."""
    found: dict[str, Any] = {}
    summary: Summary = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if path.stem == "index":
            summary = content
            continue
        twice = sorted(found.keys() & content.keys())
        if twice:
            raise ContractError(f"{path.stem} states findings that another page states: {twice}")
        found |= content
    return summary, found


def _tables(folder: Path) -> dict[str, dict[str, Any]]:
    """File name → digest, and the number of rows where it is a CSV."""
    facts: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        facts[path.name] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as lines:
                facts[path.name]["row_count"] = max(sum(1 for _ in csv.reader(lines)) - 1, 0)
    return facts


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


def _refuse_machine_names(build: Path) -> None:
    """No published text may name the folder that it was built in.

    Raises:
        ContractError: says which file does.
    """
    for path in sorted(build.rglob("*")):
        if path.suffix in {".html", ".json", ".csv"} and build.name in path.read_text("utf-8"):
            raise ContractError(f"{path.name} names a folder of this machine")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def _build_folder(out: Path) -> Iterator[Path]:
    """A new folder beside ``out`` that is gone afterwards, whatever happens."""
    build = out.with_name(f".{out.name}.building-{os.getpid()}")
    try:
        build.mkdir(parents=True)
        yield build
    finally:
        shutil.rmtree(build, ignore_errors=True)


def refuse_foreign(out: Path) -> None:
    """Refuse to replace what is no report.

    Raises:
        ParameterError: ``out`` is a file, or a folder with content but without ``run.json``.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / "run.json").is_file()):
        raise ParameterError("OUT", out, "must be new, empty, or hold an earlier report")


def _recover(out: Path) -> None:
    """Undo what an interrupted run left: put an old report back, drop folders of dead runs."""
    old = _aside(out)
    if old.exists():
        if out.exists():
            shutil.rmtree(old)
        else:
            old.rename(out)
    for folder in out.parent.glob(f".{_escaped(out.name)}.building-*"):
        process = folder.name.rpartition("-")[2]
        # our own number on a folder that is there already is that of an earlier process
        if not process.isdigit() or int(process) == os.getpid() or not _is_alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _aside(out: Path) -> Path:
    return out.with_name(f".{out.name}.previous")


def _swap(build: Path, out: Path) -> None:
    """Put the new report in place of the old one; at any moment one of them is there whole."""
    if not out.exists():
        build.rename(out)
        return
    if _exchange(build, out):
        return  # the old report now lies in the build folder, which is removed
    old = _aside(out)
    out.rename(old)
    try:
        build.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step, where the system can (Linux)."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)
