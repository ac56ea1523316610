"""A folder or an S3 prefix that can be written: where a store lives."""

import pyarrow as pa
import pyarrow.fs

from analysis.errors import ParameterError


class Tree:
    """Files under a root; paths are relative to it, with slashes.

    An ``s3://bucket/prefix`` takes ``region``, ``scheme`` and ``endpoint_override`` as options,
    and credentials as AWS's own tools do. ``s3://anonymous@bucket`` sends none.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.is_local = "://" not in uri
        self._opened: tuple[pyarrow.fs.FileSystem, str] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}

    def _place(self) -> tuple[pyarrow.fs.FileSystem, str]:
        if self._opened is None:
            try:
                if self.is_local:
                    self._opened = pyarrow.fs.LocalFileSystem(), self.uri
                else:
                    self._opened = pyarrow.fs.FileSystem.from_uri(self.uri)
            except (pa.ArrowException, ValueError, OSError):
                raise ParameterError("STORE", self.uri, "a folder or s3://bucket/prefix") from None
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

    def open_output(self, name: str) -> pa.NativeFile:
        """A file to be written from its start, with the folders above it."""
        if self.is_local:  # S3 has no folders to make
            self._place()[0].create_dir(self.path(name).rpartition("/")[0], recursive=True)
        return self._place()[0].open_output_stream(self.path(name), compression=None)

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        size: int | None = self._place()[0].get_file_info(self.path(name)).size
        return size

    def folders(self, name: str) -> list[str]:
        """Names of the folders in a folder, sorted."""
        infos = self._list(name, recursive=False)
        return sorted(i.base_name for i in infos if i.type == pyarrow.fs.FileType.Directory)

    def files(self, name: str) -> list[str]:
        """Paths of the files below a folder, relative to it, sorted."""
        start = len(self.path(name)) + 1
        infos = self._list(name, recursive=True)
        return sorted(i.path[start:] for i in infos if i.type == pyarrow.fs.FileType.File)

    def stamps(self, name: str) -> dict[str, tuple[int, int]]:
        """Bytes and time of change of each file below a folder, by path relative to it."""
        start = len(self.path(name)) + 1
        infos = self._list(name, recursive=True)
        files = (info for info in infos if info.type == pyarrow.fs.FileType.File)
        return {info.path[start:]: (info.size, info.mtime_ns or 0) for info in files}

    def _list(self, name: str, recursive: bool) -> list[pyarrow.fs.FileInfo]:
        selector = pyarrow.fs.FileSelector(self.path(name), allow_not_found=True)
        selector.recursive = recursive
        infos: list[pyarrow.fs.FileInfo] = self._place()[0].get_file_info(selector)
        return infos
