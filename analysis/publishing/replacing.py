"""A report is made in a folder beside its place and put there in one step, whole or not at all."""

import ctypes
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import ParameterError


@contextmanager
def build_folder(out: Path) -> Iterator[Path]:
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


def recover(out: Path) -> None:
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


def swap(build: Path, out: Path) -> None:
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
