"""What is published is made in a folder beside its place and put there in one step, or not at all.

``run.json`` is the record of a published folder: it says what kind of pages these are and names
every file, so that nothing else is ever replaced.

Before that, the names of sites get their links: to a page, to a line in the index, or to
nothing; what stands for a site on a network leads to that network on the page, or nowhere. A page
that names a site cannot know which sites will have a page: the annex decides it, after the pages
that judge and compare. So each name leads to the page and the line that it would have, and once the
index is there this puts it right.
The index decides, not the file: of two names with one file only one has the page. The bars of a
figure lead to a place on another page, which another language may have only at the top.
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
#: What file managers put into a folder that somebody looks at.
_OF_THE_DESKTOP = {".DS_Store", "Thumbs.db"}


@dataclass
class Build:
    """A folder that is being made.

    Attributes:
        folder: where it is made.
        run: what its ``run.json`` will say besides its files and tables.
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
    """Make a folder that takes the place of ``out`` once the block ends; an error leaves ``out``.

    Args:
        out: an earlier folder of the same kind there is replaced, anything else is refused.
        kind: an entry of ``run.json`` that folders of this kind have and others have not.
        is_copy: begin with what lies there, to add to it.
        withheld: names that nothing in it may spell.

    Raises:
        ParameterError: ``out`` holds something else, or came to while the block ran.
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
    """Write ``run.json``, which names every other file, and the checksums of all; the same bytes
    for the same record."""
    written = {*_files(folder)} - {RECORD, SUMS}
    files = sorted({*written, SUMS})
    whole = {"tables": list_tables(folder / "tables"), **record, "files": files}
    text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / RECORD).write_text(f"{text}\n", encoding="utf-8", newline="\n")
    sums = "".join(f"{digest_file(folder / name)}  {name}\n" for name in sorted({*written, RECORD}))
    (folder / SUMS).write_text(sums, encoding="utf-8", newline="\n")


def list_tables(folder: Path) -> dict[str, dict[str, Any]]:
    """File name → digest, and the number of rows where it is a CSV."""
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
    """Every file below a folder, and every link, wherever it leads: relative names."""
    for parent, folders, files in os.walk(folder, onerror=_cannot_list):
        folders.sort()
        links = (name for name in folders if Path(parent, name).is_symlink())
        for name in sorted((*files, *links)):
            yield Path(parent, name).relative_to(folder).as_posix()


def _cannot_list(error: OSError) -> NoReturn:
    raise error


def _read_record(path: Path) -> dict[str, Any]:
    """What a record says; nothing where it is of another program."""
    try:
        record: Any = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    is_ours = isinstance(record, dict) and isinstance(record.get("files"), list)
    return record if is_ours and "tables" in record else {}


def recover(out: Path, kind: str) -> None:
    """Undo what an interrupted run left: put an old folder back.

    Raises:
        ParameterError: something else stands there, or where the old one would.
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
    return out.with_name(f".{out.name}.previous")


def _swap(build: Path, out: Path, kind: str) -> None:
    """Put the new folder in place of the old one; at any moment one of them is there whole.

    Raises:
        ParameterError: somebody has put something there meanwhile.
    """
    refuse_foreign(out, kind)
    if not out.exists():
        with suppress(OSError):  # another run was quicker: its report is replaced
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


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step, where the system can (Linux)."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _refuse_build_folder(build: Path) -> None:
    """No published text may name the folder that it was made in.

    Its name is drawn when the run begins, so that no measurement can hold it.
    """
    for path in sorted(build.rglob("*")):
        if path.is_file() and build.name.encode() in path.read_bytes():
            raise ContractError(f"{path.name} names a folder of this machine")


def _refuse_names(build: Path, withheld: Withheld) -> None:
    """No published file or its name may spell a name that a meeting withheld.

    Names were taken out where measurements and lists were opened. This finds what comes another
    way, now or in a later version. It looks into spreadsheets; not into the compressed parts of a
    PDF, which is printed from these pages.
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
    """What a file holds, as text; of a spreadsheet each of its parts."""
    if path.suffix != ".xlsx":
        yield path.read_text("utf-8", "replace")
        return
    with ZipFile(path) as archive:
        for part in archive.namelist():
            yield archive.read(part).decode("utf-8", "replace")


_FOLDER, _INDEX = "sites", "index.html"
#: A link to a site, or to one of its networks; what its bar looks like is of no matter here.
_LINK = re.compile(
    r'<a class="(site|pair|bar)" href="((?:\.\./)*)sites/[^"/#]+\.html#(s-[0-9a-f]{16})'
    r'(?:-(AS[0-9]+))?"([^>]*)>(.*?)</a>',
    re.DOTALL,
)
#: A line of the index; with the page of the site, if it has one.
_LINE = re.compile(r'<li id="(s-[0-9a-f]{16})" data-name="[^"]*">(?:<a href="([^"]+)">)?')
#: A link from a figure to what it counts.
_BAR = re.compile(r'<a class="bar" href="([^"#]*)(?:#([^"]*))?"([^>]*)>(.*?)</a>', re.DOTALL)


def lead_to_sites(folder: Path) -> None:
    """Put right every link to a site, and those of figures, in each language of a published folder.

    Args:
        folder: the pages of sites lie in ``sites/`` of it and of its languages; without these, the
            names lead nowhere.
    """
    of_languages = {path.parent for path in folder.glob("*/*.html")}
    ids = lru_cache(maxsize=None)(_read_ids)
    for each in (folder, *(path for path in sorted(of_languages) if path.name != _FOLDER)):
        index = each / _FOLDER / _INDEX
        pages = dict(_LINE.findall(index.read_text("utf-8"))) if index.is_file() else None
        for path in sorted(each.glob("*.html")):
            before = path.read_text(encoding="utf-8")
            named = _LINK.sub(partial(_lead, pages), before)
            after = _BAR.sub(partial(_lead_on, path, each != folder, ids), named)
            path.write_text(after, encoding="utf-8", newline="\n")


def _lead(pages: Mapping[str, str] | None, link: re.Match[str]) -> str:
    """What stands for a link: one to a page, one to the index, or the bare name.

    Args:
        pages: line of the index → file of the site's page, or nothing; None without an index.
        link: as a page has it.
    """
    kind, root, line, network, more, name = link.groups()
    page = (pages or {}).get(line, "")
    if pages is None or (network and not page):
        return name
    place = page or (f"{_INDEX}#{line}" if line in pages else _INDEX)
    anchor = f"#{network}" if network else ""
    return f'<a class="{kind}" href="{root}{_FOLDER}/{place}{anchor}"{more}>{name}</a>'


def _lead_on(
    page: Path, is_below: bool, ids: Callable[[Path], Set[str]], link: re.Match[str]
) -> str:
    """What stands for the link of a figure on a page: one to the place, in this language or at the
    top, or the bars alone where the report does not have the place."""
    file, anchor, more, content = link.groups()
    for way in ("", "../") if is_below and file else ("",):
        target = page.parent / f"{way}{file}" if file else page
        if target.is_file() and (not anchor or anchor in ids(target)):
            place = f"{way}{file}#{anchor}" if anchor else f"{way}{file}"
            return f'<a class="bar" href="{place}"{more}>{content}</a>'
    return content


def _read_ids(page: Path) -> Set[str]:
    return frozenset(re.findall(r' id="([^"]+)"', page.read_text(encoding="utf-8")))
