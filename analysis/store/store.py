"""The store: observations in Parquet, one file per archive object.

A file is ``STORE/observations/<source_id>/<key>.parquet``. Its columns are
``schema.OBSERVATION``; its key-value metadata hold what it was made from and the ledger of the
lines that gave no row, so that both appear in one rename and neither can go stale alone. It is
sealed: a file that is not as it was written counts as none.

``STORE`` is a folder or an ``s3://`` URL; ``whole_files`` says how a file appears in either.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.observations.schema import OBSERVATION
from analysis.sources.objectstore import Storage
from analysis.store import atomic_files
from analysis.store.atomic_files import Replacement, remove_leftovers
from analysis.store.provenance import (
    FOLDER,
    METADATA_KEY,
    SUFFIX,
    Provenance,
    file_name,
    provenance_of,
)

_MANY_ROWS = 1000  # from here on a file is packed harder
_ROW = pa.struct(list(OBSERVATION))


def table_of(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Observations, as :func:`facts.observe` gives them, in columns."""
    # As one array of structs: a call for each column and each of its children takes longer.
    return pa.Table.from_struct_array(pa.array(rows, _ROW))


class Store:
    """Where the Parquet files are: a folder or an ``s3://`` URL."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._storage = Storage(uri)

    @property
    def is_local(self) -> bool:
        return self._storage.is_local

    def path(self, name: str) -> str:
        """The path of any file in the store; for a folder, one that anybody can open."""
        return self._storage.path(name)

    def files(self, folder: str) -> list[str]:
        """The names of all files below a folder, sorted."""
        return [f"{folder}/{name}" for name in self._storage.files(folder)]

    def provenance(self, source_id: str, key: str) -> Provenance | None:
        """What a file was made from; None where there is none, or none that is whole."""
        found = self.read(file_name(source_id, key))
        return provenance_of(found, key) if found is not None else None

    def provenances(self, source_id: str, keys: Sequence[str]) -> dict[str, Provenance]:
        """The same of many files, by key; without those of no use."""
        found = self._storage.each(lambda key: self.provenance(source_id, key), keys)
        return {key: made for key, made in zip(keys, found, strict=True) if made is not None}

    def stamps(self, source_id: str) -> dict[str, tuple[int, int]]:
        """Bytes and time of change of each file of a source, by key."""
        stamps = self._storage.stamps(f"{FOLDER}/{source_id}")
        return {k.removesuffix(SUFFIX): v for k, v in stamps.items() if k.endswith(SUFFIX)}

    def write(self, source_id: str, key: str) -> "FileWriter":
        """Begin the file of one object."""
        return FileWriter(self.replacement(file_name(source_id, key)))

    def read_file(self, source_id: str, key: str) -> bytes | None:
        """The file of one object as it is; None where there is none."""
        return self.read(file_name(source_id, key))

    def write_file(self, source_id: str, key: str, content: bytes) -> None:
        """Take over the file of one object as it is."""
        self.replace(file_name(source_id, key), content)

    def read_note(self, source_id: str, name: str) -> Any:
        """A small JSON document beside the files of a source; None where there is none."""
        try:
            return json.loads(self.read(f"{FOLDER}/{source_id}/{name}") or b"null")
        except (ValueError, RecursionError):
            return None

    def write_note(self, source_id: str, name: str, value: object) -> None:
        """Replace a small JSON document beside the files of a source."""
        self.replace(f"{FOLDER}/{source_id}/{name}", json.dumps(value, indent=1).encode())

    def read(self, name: str) -> bytes | None:
        """A file of any name in the store; None where there is none that can be read."""
        try:
            return self._storage.read(name)
        except OSError:
            return None

    def digest(self, name: str) -> str | None:
        """SHA-256 of a file of any name in the store; None where there is none."""
        found = self.read(name)
        return None if found is None else hashlib.sha256(found).hexdigest()

    def replace(self, name: str, content: bytes) -> None:
        """Put a file of any name into the store."""
        with self.replacement(name) as replacement:
            replacement.write(content)
            replacement.commit()

    def fetch(self, name: str, path: Path) -> None:
        """Bring a file of any name into a local one, or FileNotFoundError."""
        self._storage.fetch(name, str(path))

    def fetch_all(self, names: Sequence[str], folder: Path) -> list[Path]:
        """Bring files into a folder; their paths there, in order."""

        def fetch(numbered: tuple[int, str]) -> Path:
            number, name = numbered
            self._storage.fetch(name, str(folder / f"{number}{SUFFIX}"))
            return folder / f"{number}{SUFFIX}"

        return list(self._storage.each(fetch, enumerate(names)))

    def put(self, path: Path, name: str) -> None:
        """Send a local file, to appear under any name when it is whole."""
        self._storage.put(str(path), name)

    def remove_older(self, folder: str, start: str, kept: str, seconds: float) -> None:
        """Remove the files of a folder that start so and are so old, but for one that is kept."""
        self._storage.remove_older(folder, start, kept, seconds)

    def replacement(self, name: str) -> Replacement:
        """A file of any name in the store, that appears when it is whole."""
        return Replacement(self._storage, name)

    def remove_leftovers(self, folder: str) -> None:
        """Remove the temporary files of killed runs below a folder; those of running ones stay."""
        if self.is_local:
            remove_leftovers(map(self.path, self.files(folder)))


class FileWriter:
    """The file of one object while it is written. Leaving the block without commit drops it.

    It is made in memory, some hundred bytes a row, so that its seal can be set.
    """

    def __init__(self, replacement: Replacement) -> None:
        self._replacement = replacement
        self._buffer = pa.BufferOutputStream()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "FileWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None and self._writer.is_open:
            self._writer.close()
        self._replacement.__exit__()

    def append(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write one row group."""
        self._begun(len(rows)).write_table(table_of(rows), row_group_size=max(len(rows), 1))

    def _begun(self, row_count: int) -> pq.ParquetWriter:
        if self._writer is None:
            # Some hundred columns of a few rows each: setting zstd and dictionaries up for each
            # takes longer than all the rest, and saves a tenth of the space.
            has_many = row_count >= _MANY_ROWS
            self._writer = pq.ParquetWriter(
                self._buffer,
                OBSERVATION,
                compression="zstd" if has_many else "snappy",
                use_dictionary=has_many,
                write_statistics=["measurement_start_time", "probe_cc"],
                store_schema=False,
            )
        return self._writer

    def commit(self, provenance: Provenance) -> None:
        """Finish the file, so that it appears whole."""
        writer = self._begun(0)
        writer.add_key_value_metadata(
            {METADATA_KEY: json.dumps(asdict(provenance), sort_keys=True)}
        )
        writer.add_key_value_metadata({atomic_files.KEY: atomic_files.BLANK})
        writer.close()
        self._replacement.write(atomic_files.sealed(self._buffer.getvalue().to_pybytes()))
        self._replacement.commit()
