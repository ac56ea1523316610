"""The store: observations in Parquet, one file per archive object.

A file is ``STORE/observations/<source_id>/<key>.parquet``. Its columns are
``schema.OBSERVATION``, of a messaging or circumvention test ``messaging.MESSAGING``; its key-value
metadata hold what it was made from and the ledger of the lines that gave no row, so that both
appear in one rename and neither can go stale alone. One whose checksum is not that of its content
counts as none.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import SourceError, describe_error
from analysis.observations.messaging import MESSAGING
from analysis.observations.schema import OBSERVATION
from analysis.sources.objectstore import Storage
from analysis.store.checksums import BLANK_CHECKSUM, CHECKSUM_KEY, set_checksum
from analysis.store.provenance import (
    FOLDER,
    METADATA_KEY,
    SUFFIX,
    Provenance,
    file_name,
    is_messaging,
    read_provenance,
)
from analysis.temporary_folders import TemporaryFolder, remove_unless_held

#: What the name of a folder begins with in which a file is written: beside its place, so that it is
#: renamed into it, or for a bucket in the folder for temporary files.
WRITING = ".writing-"

_MANY_ROWS = 1000  # from here on a file is compressed harder; a row group has more

Row = tuple[Any, ...]
Rows = Sequence[Row]


def table_of(rows: Rows, schema: pa.Schema = OBSERVATION) -> pa.Table:
    """Observations, as :func:`observation.observe` gives them, in columns."""
    # As one array of structs: a call for each column and each of its children takes longer.
    return pa.Table.from_struct_array(pa.array(rows, pa.struct(list(schema))))


class Store(Storage):
    """``STORE``, a folder or an ``s3://`` URL. Names are relative to it."""

    def try_read(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none that can be read."""
        try:
            return self.read(name)
        except OSError:
            return None

    def digest(self, name: str) -> str | None:
        """SHA-256 of a file; None where there is none."""
        content = self.try_read(name)
        return None if content is None else hashlib.sha256(content).hexdigest()

    @contextmanager
    def write(self, name: str) -> Iterator[Path]:
        """A local file to be written: it appears in the store when the block ends, or never.

        Raises:
            SourceError: something cannot be written, in the block or at the end.
        """
        beside = Path(self.path(name)).parent if self.is_local else None
        try:
            with TemporaryFolder(WRITING, beside) as folder:
                path = folder / "file.part"
                yield path
                if self.is_local:
                    path.replace(self.path(name))
                else:
                    self.put(str(path), name)
        except OSError as error:
            reason = describe_error(error)
            raise SourceError(f"{self.path(name)} cannot be written: {reason}") from None

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a whole file."""
        with self.write(name) as path:
            path.write_bytes(content)

    def local_paths(self, names: Sequence[str], folder: Path) -> list[Path]:
        """Where files are on this machine: those of a server's store are brought to ``folder``."""
        if self.is_local:
            return [Path(self.path(name)) for name in names]
        paths = [folder / f"{number}{SUFFIX}" for number, _ in enumerate(names)]
        list(self.each(lambda pair: self.fetch(*pair), zip(names, map(str, paths), strict=True)))
        return paths

    def remove_leftovers(self, folder: str) -> None:
        """Remove what killed runs were writing below a folder; what running ones write stays."""
        if self.is_local:
            for left in sorted(Path(self.path(folder)).rglob(f"{WRITING}*")):
                with suppress(OSError):
                    remove_unless_held(left)

    def read_note(self, source_id: str, name: str) -> Any:
        """A small JSON document beside the files of a source; None where there is none."""
        try:
            return json.loads(self.try_read(f"{FOLDER}/{source_id}/{name}") or b"null")
        except (ValueError, RecursionError):
            return None

    def write_note(self, source_id: str, name: str, value: object) -> None:
        """Replace a small JSON document beside the files of a source."""
        self.write_bytes(f"{FOLDER}/{source_id}/{name}", json.dumps(value, indent=1).encode())

    def read_provenances(self, source_id: str, keys: Sequence[str]) -> dict[str, Provenance]:
        """What the files of objects were made from, by key; without those that are of no use."""

        def read(key: str) -> Provenance | None:
            return read_provenance(self.try_read(file_name(source_id, key)) or b"", key)

        read_ones = zip(keys, self.each(read, keys), strict=True)
        return {key: provenance for key, provenance in read_ones if provenance is not None}

    def write_observations(
        self,
        source_id: str,
        key: str,
        groups: Iterable[Rows],
        provenance_of: Callable[[int], Provenance],
    ) -> Provenance:
        """Write the file of one object; each group of rows leaves memory as a row group.

        ``provenance_of`` is asked with the number of rows once all are written.
        """
        schema = MESSAGING if is_messaging(key) else OBSERVATION
        row_count = 0
        with self.write(file_name(source_id, key)) as path:
            groups = iter(groups)
            first = next(groups, ())
            # Some hundred columns of a few rows each: setting zstd and dictionaries up for each
            # takes longer than all the rest, and saves a tenth of the space.
            is_small = len(first) < _MANY_ROWS
            with pq.ParquetWriter(
                path,
                schema,
                compression="snappy" if is_small else "zstd",
                use_dictionary=not is_small,
                write_statistics=["measurement_start_time", "probe_cc"],
                store_schema=False,
            ) as writer:
                for rows in chain([first] if first else [], groups):
                    writer.write_table(table_of(rows, schema), row_group_size=len(rows))
                    row_count += len(rows)
                provenance = provenance_of(row_count)
                said = json.dumps(asdict(provenance), sort_keys=True)
                writer.add_key_value_metadata({METADATA_KEY: said})
                writer.add_key_value_metadata({CHECKSUM_KEY: BLANK_CHECKSUM})
            set_checksum(path)
        return provenance


@contextmanager
def make_alone(lock: Path) -> Iterator[None]:
    """Wait while another process makes the same, then let others wait.

    What several of them need is made by one: whoever has waited looks whether it is there by now.
    Where nothing can be locked, both make it.

    Args:
        lock: a file beside what is made, which goes with the block.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # a file system may have no locks
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(lock.open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
            stack.callback(lock.unlink, missing_ok=True)
        yield
