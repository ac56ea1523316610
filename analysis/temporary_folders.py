"""Temporary folders; those of a killed run are removed by the next run."""

import fcntl
import os
import re
import shutil
import time
import weakref
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir
from uuid import uuid4

_STALE_AFTER = 24 * 3600  # seconds after which an unlockable folder counts as abandoned


class TemporaryFolder:
    """A new folder with an unpredictable name, locked while it is in use.

    It is removed at the end of the ``with`` block, by ``remove``, or with the object or the
    process, whichever comes first. Making one removes folders with the same prefix that killed
    processes left behind.
    """

    def __init__(self, prefix: str, parent: Path | None = None, mode: int = 0o700) -> None:
        """Create the folder in ``parent``, by default the system's folder for temporary files.

        Raises:
            OSError: it cannot be created.
        """
        parent = parent or Path(gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(prefix, parent)
        self.path, descriptor = _create_locked(prefix, parent, mode)
        self.remove = weakref.finalize(self, _remove, self.path, descriptor)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def _create_locked(prefix: str, parent: Path, mode: int) -> tuple[Path, int]:
    while True:
        folder = parent / f"{prefix}{uuid4().hex}"
        folder.mkdir(mode)
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # some network file systems have no locks, so age decides
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)  # another run removed it as abandoned before it was locked


def _remove(folder: Path, descriptor: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)


def _remove_abandoned(prefix: str, parent: Path) -> None:
    pattern = re.compile(re.escape(prefix) + "[0-9a-f]{32}")
    with suppress(OSError):
        for folder in parent.iterdir():
            if pattern.fullmatch(folder.name):
                with suppress(OSError):
                    remove_unless_held(folder)


def remove_unless_held(folder: Path) -> None:
    """Remove a temporary folder unless a process still uses it.

    If the file system has no locks, as some network file systems, a folder older than a day is
    removed.

    Args:
        folder: created by :class:`TemporaryFolder`, in this or another process.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_abandoned = True
    except BlockingIOError:
        is_abandoned = False
    except OSError:
        is_abandoned = time.time() - folder.stat().st_mtime > _STALE_AFTER
    try:
        if is_abandoned:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
