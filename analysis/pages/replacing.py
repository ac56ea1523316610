"""Replacement of a published folder in one step, or not at all.

The new folder is made beside the old one. ``run.json`` is the record of a published folder: its
keys show the kind of pages, and it lists every file, so that nothing else is ever replaced.

Before the replacement, the links of sites' names are corrected: to a page, to a line in the index,
or to nothing. A link to a site on a network leads to that network on the site's page, or to
nothing. The annex decides which sites have a page, and is written after the pages that name sites.
So each name is first linked to the page and line that it would have, and corrected once the index
exists. The index decides, and not the file, because two names may share a file and only one has
the page. The bars of a figure link to an anchor of another page, which another language may have
only at the top.
"""

import ctypes
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NoReturn
from zipfile import ZipFile

import pandas as pd

from analysis.errors import ContractError, ParameterError
from analysis.files import digest_file
from analysis.reference.withheld import NONE_WITHHELD, Withheld
from analysis.temporary_folders import TemporaryFolder

RECORD = "run.json"
#: SHA-256 of every other file, as ``sha256sum --check`` reads it.
SUMS = "SHA256SUMS"
#: Files that file managers put into an open folder.
_OF_THE_DESKTOP = {".DS_Store", "Thumbs.db"}


@dataclass
class Build:
    """A folder that is being made.

    Attributes:
        folder: its temporary path.
        run: content of its ``run.json`` without files and tables.
    """

    folder: Path
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def tables(self) -> Path:
        """The folder of its tables."""
        return self.folder / "tables"


@contextmanager
def published(
    out: Path, kind: str, *, is_copy: bool = False, withheld: Withheld = NONE_WITHHELD
) -> Iterator[Build]:
    """Make a folder that replaces ``out`` when the block ends; after an error ``out`` is unchanged.

    Args:
        out: an earlier folder of the same kind there is replaced, anything else is refused.
        kind: a key of ``run.json`` that only folders of this kind have.
        is_copy: begin with a copy of ``out``.
        withheld: names that must not appear in any of its files.

    Raises:
        ParameterError: ``out`` has something else in it, before the block or after it.
        ContractError: a page names the folder that it was made in, or a withheld name.
    """
    out = out.resolve()
    recover(out, kind)
    with TemporaryFolder(f".{out.name}.building-", out.parent, mode=0o777) as folder:
        build = Build(folder)
        if is_copy:
            shutil.copytree(out, folder, dirs_exist_ok=True)
            build.run |= json.loads((out / RECORD).read_bytes())
            del build.run["tables"]
        build.tables.mkdir(exist_ok=True)
        yield build
        lead_to_sites(folder)
        write_run(folder, build.run)
        _refuse_build_folder(folder)
        _refuse_names(folder, withheld)
        _swap(folder, out, kind)


def write_run(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``run.json``, which lists every other file, and the checksums of all files.

    The same record gives the same bytes.
    """
    written = {*_files(folder)} - {RECORD, SUMS}
    files = sorted({*written, SUMS})
    whole = {"tables": list_tables(folder / "tables"), **record, "files": files}
    text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / RECORD).write_text(f"{text}\n", encoding="utf-8", newline="\n")
    sums = "".join(f"{digest_file(folder / name)}  {name}\n" for name in sorted({*written, RECORD}))
    (folder / SUMS).write_text(sums, encoding="utf-8", newline="\n")


def list_tables(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the digest of each file by name, with the number of rows if it is a CSV."""
    facts: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file():
            facts[path.name] = {"sha256": digest_file(path)}
            if path.suffix == ".csv":
                first = pd.read_csv(
                    path, usecols=[0], dtype="str", skip_blank_lines=False, encoding="latin-1"
                )
                facts[path.name]["row_count"] = len(first)
    return facts


def refuse_foreign(out: Path, kind: str) -> None:
    """Refuse to replace what the workbook did not write.

    Raises:
        ParameterError: ``out`` is a file, a folder with content but without ``run.json``, there is
            a file in it that this does not name, or it is of another kind.
    """
    if not out.exists() and not out.is_symlink():
        return
    accepted = "must be new, empty, or hold an earlier report"
    if not out.is_dir():
        raise ParameterError("OUT", out, accepted)
    record = _read_record(out / RECORD)
    ours = {*map(str, record.get("files", ())), *_OF_THE_DESKTOP, RECORD}
    for foreign in (name for name in _files(out) if name not in ours):
        raise ParameterError(
            "OUT", out, f"{accepted} and nothing else; no report wrote its {foreign}"
        )
    if not record and (out / RECORD).exists():
        raise ParameterError("OUT", out, f"{accepted}; its {RECORD} is not of a report")
    if record and kind not in record:
        accepted = "holds pages of another kind, which these would replace; another folder will do"
        raise ParameterError("OUT", out, accepted)


def _files(folder: Path) -> Iterator[str]:
    """Iterate over the relative names of all files and symbolic links below a folder."""
    for parent, folders, files in os.walk(folder, onerror=_cannot_list):
        folders.sort()
        links = (name for name in folders if Path(parent, name).is_symlink())
        for name in sorted((*files, *links)):
            yield Path(parent, name).relative_to(folder).as_posix()


def _cannot_list(error: OSError) -> NoReturn:
    raise error


def _read_record(path: Path) -> dict[str, Any]:
    """Return the content of a record; empty if another program wrote it."""
    try:
        record: Any = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    is_ours = isinstance(record, dict) and isinstance(record.get("files"), list)
    return record if is_ours and "tables" in record else {}


def recover(out: Path, kind: str) -> None:
    """Restore the old folder after an interrupted run.

    Raises:
        ParameterError: ``out`` or the path of the old folder is something else.
    """
    old = _aside(out)
    if old.exists():
        refuse_foreign(old, kind)
        if out.exists():
            shutil.rmtree(old)
        else:
            old.rename(out)
    refuse_foreign(out, kind)


def _aside(out: Path) -> Path:
    """Return the path of the old folder while the new one replaces it."""
    return out.with_name(f".{out.name}.previous")


def _swap(build: Path, out: Path, kind: str) -> None:
    """Replace the old folder by the new one; at any moment one of them is complete.

    Raises:
        ParameterError: something else was put at ``out`` meanwhile.
    """
    refuse_foreign(out, kind)
    if not out.exists():
        with suppress(OSError):  # another run was faster: its report is replaced
            build.rename(out)
            return
    if _exchange(build, out):
        return  # the old one now lies in the build folder, which is removed
    old = _aside(out)
    out.rename(old)
    try:
        build.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two folders in one step; return whether the system can."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    working_folder, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    old, new = os.fsencode(first), os.fsencode(second)
    return bool(rename(working_folder, old, working_folder, new, exchange) == 0)


def _refuse_build_folder(build: Path) -> None:
    """Refuse published text with the name of the folder in which it was made.

    The name is random, so that no measurement can contain it.
    """
    for path in sorted(build.rglob("*")):
        if path.is_file() and build.name.encode() in path.read_bytes():
            raise ContractError(f"{path.name} names a folder of this machine")


def _refuse_names(build: Path, withheld: Withheld) -> None:
    """Refuse published files in which a name appears that a meeting withheld.

    Names are replaced when measurements and lists are opened; this check finds any that come from
    elsewhere. It reads spreadsheets, but not the compressed parts of a PDF, which is printed from
    these pages.
    """
    if not withheld:
        return
    for path in sorted(path for path in build.rglob("*") if path.is_file()):
        name = path.relative_to(build).as_posix()
        if any(map(withheld.is_published_in, (name, path.stem, *_read_texts(path)))):
            raise ContractError(
                f"{name} spells a name that a meeting withheld, so nothing was published"
            )


def _read_texts(path: Path) -> Iterator[str]:
    """Iterate over the texts of a file: all of it, or each part of a spreadsheet."""
    if path.suffix != ".xlsx":
        yield path.read_text("utf-8", "replace")
        return
    with ZipFile(path) as archive:
        for part in archive.namelist():
            yield archive.read(part).decode("utf-8", "replace")


_FOLDER, _INDEX = "sites", "index.html"
#: A link to a site, or to a network on the site's page.
_LINK = re.compile(
    r'<a class="(site|pair|bar)" href="((?:\.\./)*)sites/[^"/#]+\.html#(s-[0-9a-f]{16})'
    r'(?:-(AS[0-9]+))?"([^>]*)>(.*?)</a>',
    re.DOTALL,
)
#: A line of the index, with the page of the site if it has one.
_LINE = re.compile(r'<li id="(s-[0-9a-f]{16})" data-name="[^"]*">(?:<a href="([^"]+)">)?')
#: A link from a figure to the page or table with its counts.
_BAR = re.compile(r'<a class="bar" href="([^"#]*)(?:#([^"]*))?"([^>]*)>(.*?)</a>', re.DOTALL)


def lead_to_sites(folder: Path) -> None:
    """Correct the links to sites and those of figures, in each language of a published folder.

    Args:
        folder: the pages of sites are in ``sites/`` of it and of its languages; without these, the
            names have no link.
    """
    of_languages = {path.parent for path in folder.glob("*/*.html")}
    ids = lru_cache(maxsize=None)(_read_ids)
    for edition in (folder, *(path for path in sorted(of_languages) if path.name != _FOLDER)):
        index = edition / _FOLDER / _INDEX
        pages = dict(_LINE.findall(index.read_text("utf-8"))) if index.is_file() else None
        for path in sorted(edition.glob("*.html")):
            before = path.read_text(encoding="utf-8")
            named = _LINK.sub(partial(_lead, pages), before)
            after = _BAR.sub(partial(_lead_on, path, edition != folder, ids), named)
            path.write_text(after, encoding="utf-8", newline="\n")


def _lead(pages: Mapping[str, str] | None, link: re.Match[str]) -> str:
    """Return a link to the site's page or to the index, or the name alone.

    Args:
        pages: line of the index → file of the site's page, or empty; None without an index.
        link: the link in a page.
    """
    kind, root, line, network, more, name = link.groups()
    page = (pages or {}).get(line, "")
    if pages is None or (network and not page):
        return name
    target = page or (f"{_INDEX}#{line}" if line in pages else _INDEX)
    anchor = f"#{network}" if network else ""
    return f'<a class="{kind}" href="{root}{_FOLDER}/{target}{anchor}"{more}>{name}</a>'


def _lead_on(
    page: Path, is_below: bool, ids: Callable[[Path], Set[str]], link: re.Match[str]
) -> str:
    """Return the link of a figure, in this language or at the top of the report.

    If the report does not have the target, return the bars alone.
    """
    file, anchor, more, content = link.groups()
    for root in ("", "../") if is_below and file else ("",):
        target = page.parent / f"{root}{file}" if file else page
        if target.is_file() and (not anchor or anchor in ids(target)):
            address = f"{root}{file}#{anchor}" if anchor else f"{root}{file}"
            return f'<a class="bar" href="{address}"{more}>{content}</a>'
    return content


def _read_ids(page: Path) -> Set[str]:
    return frozenset(re.findall(r' id="([^"]+)"', page.read_text(encoding="utf-8")))
