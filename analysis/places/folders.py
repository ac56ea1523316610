"""A folder in the archive's key layout."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from analysis.errors import SourceError
from analysis.places.files import ArchiveObject, CannotRead, Stream, source_id


class Folder:
    """An archive on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return self._path.resolve().name

    @property
    def id(self) -> str:
        return source_id(self.name, str(self._path.resolve()))

    def objects(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """Walk the folder.

        Raises:
            SourceError: a folder below it cannot be listed.
        """
        found = []
        for folder, _, names in os.walk(self._path, onerror=_cannot_list):
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self._path).as_posix()
                if wanted(key):
                    found.append(self._described(path, key))
        return sorted(found)

    def _described(self, path: Path, key: str) -> ArchiveObject:
        try:
            status = path.stat()
        except OSError:
            return ArchiveObject(key, 0, "")  # reading it will say why it cannot be read
        return ArchiveObject(key, status.st_size, str(status.st_mtime_ns))

    def open(self, item: ArchiveObject) -> Stream:
        try:
            return (self._path / item.key).open("rb", buffering=0)
        except OSError as error:
            raise CannotRead(_reason(error)) from None


def _cannot_list(error: OSError) -> NoReturn:
    raise SourceError(f"the folder {error.filename} cannot be listed: {_reason(error)}")


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "no longer there"
    return error.strerror or type(error).__name__
