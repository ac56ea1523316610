"""A folder or an S3 prefix that can be written: where a store lives."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from analysis.errors import ParameterError, SourceError

_ACCEPTED = "a folder or s3://bucket/prefix"
_SECRETS = (
    f"{_ACCEPTED}; keys do not belong into an address: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
    "in the environment, or ~/.aws, are used"
)
_BLOCK = 16 << 20
#: Requests under way at once: as many as pyarrow keeps connections for.
CONNECTIONS = 24

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Tree:
    """Files under a root; paths are relative to it, with slashes.

    An ``s3://bucket/prefix`` takes ``region``, ``scheme`` and ``endpoint_override`` as options,
    and credentials as AWS's own tools do. ``s3://anonymous@bucket`` sends none.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.is_local = "://" not in uri
        self._opened: tuple[fs.FileSystem, str] | None = None
        if not self.is_local:
            _refuse_secrets(uri)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}

    def _place(self) -> tuple[fs.FileSystem, str]:
        if self._opened is None:
            try:
                if self.is_local:
                    self._opened = fs.LocalFileSystem(), self.uri
                else:
                    self._opened = _bucket(self.uri)
            except (pa.ArrowException, ValueError, OSError):
                raise ParameterError("STORE", self.uri, _ACCEPTED) from None
        return self._opened

    def path(self, name: str) -> str:
        """The path of a file in the file system; for a folder, one that anybody can open."""
        return f"{self._place()[1].rstrip('/') or '.'}/{name}"

    def read(self, name: str) -> bytes:
        """The bytes of a file, or FileNotFoundError."""
        with self._place()[0].open_input_stream(self.path(name), compression=None) as stream:
            content: bytes = stream.read()
            return content

    def open_input(self, name: str) -> pa.NativeFile:
        """A file to be read at any place."""
        return self._place()[0].open_input_file(self.path(name))

    def parquet_metadata(self, name: str, size: int | None = None) -> pq.FileMetaData:
        """The footer of a Parquet file, or FileNotFoundError; a known size spares a request."""
        from pyarrow import dataset  # loads pandas, which those who only write need not wait for

        place, parquet = self._place()[0], dataset.ParquetFileFormat()
        return parquet.make_fragment(self.path(name), place, file_size=size).metadata

    def put(self, local: str, name: str) -> None:
        """Send a local file, which appears when it is whole."""
        # In one call, which nothing in Python interrupts: Arrow completes the upload of a stream
        # that is merely dropped, and what had been written so far would appear.
        here, there = fs.LocalFileSystem(), self._place()[0]
        fs.copy_files(local, self.path(name), here, there, use_threads=False)

    def fetch(self, name: str, local: str) -> None:
        """Bring a file into a local one, or FileNotFoundError."""
        opened = self._place()[0].open_input_file(self.path(name))
        with opened as source, Path(local).open("wb") as file:
            while block := source.read(_BLOCK):  # on S3, a request each
                file.write(block)

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        size: int | None = self._place()[0].get_file_info(self.path(name)).size
        return size

    def folders(self, name: str) -> list[str]:
        """Names of the folders in a folder, sorted."""
        infos = self._list(name, recursive=False)
        return sorted(i.base_name for i in infos if i.type == fs.FileType.Directory)

    def files(self, name: str) -> list[str]:
        """Paths of the files below a folder, relative to it, sorted."""
        start = len(self.path(name)) + 1
        infos = self._list(name, recursive=True)
        return sorted(i.path[start:] for i in infos if i.type == fs.FileType.File)

    def stamps(self, name: str) -> dict[str, tuple[int, int]]:
        """Bytes and time of change of each file below a folder, by path relative to it."""
        start = len(self.path(name)) + 1
        infos = self._list(name, recursive=True)
        files = (info for info in infos if info.type == fs.FileType.File)
        return {info.path[start:]: (info.size, info.mtime_ns or 0) for info in files}

    def _list(self, name: str, recursive: bool) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self.path(name), allow_not_found=True)
        selector.recursive = recursive
        try:
            infos: list[fs.FileInfo] = self._place()[0].get_file_info(selector)
        except OSError as error:
            raise SourceError(f"the store {self.uri} cannot be listed: {error}") from None
        return infos

    def remove_older(self, folder: str, start: str, kept: str, seconds: float) -> None:
        """Remove the files of a folder that start so and are so old, but for one that is kept."""
        latest = time.time() - seconds
        for name, (_, changed) in self.stamps(folder).items():
            is_old = changed / 1e9 < latest
            if name.startswith(start) and f"{folder}/{name}" != kept and is_old:
                with suppress(FileNotFoundError):
                    self._place()[0].delete_file(self.path(f"{folder}/{name}"))

    def each(self, call: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """The results of a call that reads or writes here, in order; several at once on S3."""
        if self.is_local:
            yield from map(call, items)
        else:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                yield from pool.map(call, items)


def _refuse_secrets(uri: str) -> None:
    user = urlsplit(uri).netloc.rpartition("@")[0]
    if user not in ("", "anonymous"):
        raise ParameterError("STORE", uri.replace(user, "…"), _SECRETS)


def _bucket(uri: str) -> tuple[fs.FileSystem, str]:
    if "endpoint_override" in uri:
        # Servers other than AWS's refuse the checksums that its client appends to each body.
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    # One request for a small file instead of three.
    options = f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"
    place: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(options)
    return place
