"""A report is made in a folder beside its place and put there in one step, whole or not at all."""

import ctypes
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from analysis.errors import ParameterError
from analysis.temporary_folders import TemporaryFolder

RECORD = "run.json"
#: What publication itself writes into the record, whatever the run says besides.
_WRITTEN = ("files", "tables")
#: What file managers put into a folder that somebody looks at.
_OF_THE_DESKTOP = {".DS_Store", "Thumbs.db"}


def build_folder(out: Path) -> TemporaryFolder:
    """A new folder beside ``out`` that is gone afterwards, whatever happens."""
    return TemporaryFolder(f".{out.name}.building-", out.parent, mode=0o777)


def published_files(folder: Path) -> list[str]:
    """What lies in a folder besides the record, folders apart: relative names, sorted."""
    return sorted(name for name in _files(folder) if name != RECORD)


def refuse_foreign(out: Path, entry: str = "") -> None:
    """Refuse to replace what the workbook did not write.

    A report is known by its record, which names every file that was published with it.

    Args:
        out: the folder.
        entry: what a record of the same kind has, and those of other kinds have not.

    Raises:
        ParameterError: ``out`` is a file, a folder with content but without the record of a report,
            there is a file in it that the record does not name, or it is of another kind.
    """
    if not out.exists() and not out.is_symlink():
        return
    accepted = "must be new, empty, or hold an earlier report"
    if not out.is_dir():
        raise ParameterError("OUT", out, accepted)
    known = _recorded_files(out / RECORD)
    ours = {*known, *_OF_THE_DESKTOP, RECORD}
    for foreign in (name for name in _files(out) if name not in ours):
        raise ParameterError(
            "OUT", out, f"{accepted} and nothing else; no report wrote its {foreign}"
        )
    if not known and (out / RECORD).exists():
        raise ParameterError("OUT", out, f"{accepted}; its {RECORD} is not of a report")
    if known and entry not in ("", *json.loads((out / RECORD).read_bytes())):
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


def _recorded_files(record: Path) -> frozenset[str]:
    """What a report's record names; nothing where it is no such record."""
    try:
        written: Any = json.loads(record.read_bytes()) if record.is_file() else None
    except (OSError, ValueError, RecursionError):
        return frozenset()
    if not isinstance(written, dict) or any(name not in written for name in _WRITTEN):
        return frozenset()
    files = written["files"]
    return frozenset(map(str, files)) if isinstance(files, list) else frozenset()


def recover(out: Path) -> None:
    """Undo what an interrupted run left: put an old report back.

    Raises:
        ParameterError: something else than a report stands where the old one would.
    """
    old = _aside(out)
    if old.exists():
        refuse_foreign(old)
        if out.exists():
            shutil.rmtree(old)
        else:
            old.rename(out)


def _aside(out: Path) -> Path:
    return out.with_name(f".{out.name}.previous")


def swap(build: Path, out: Path) -> None:
    """Put the new report in place of the old one; at any moment one of them is there whole.

    Raises:
        ParameterError: somebody has put something there while the report was made.
    """
    refuse_foreign(out)
    if not out.exists():
        with suppress(OSError):  # another run was quicker: its report is replaced
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
