"""The store: observations in Parquet, one file per archive object.

A file is ``STORE/observations/<source_id>/<key>.parquet``. Its columns are
``schema.OBSERVATION``; its key-value metadata hold what it was made from and the ledger of the
lines that gave no row, so that both appear in one rename and neither can go stale alone.

``STORE`` is a folder or an ``s3://`` URL. A file is written under a temporary name: beside its
place, or for S3 in this machine's temporary folder, and sent when it is whole.
"""

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ParameterError
from analysis.places import archive
from analysis.places.trees import Tree
from analysis.schema import OBSERVATION, SCHEMA_VERSION

#: Reasons of the ingestion ledger, in the contract's order.
REASONS = (
    "truncated_file",
    "not_json",
    "invalid",
    "other_test",
    "other_country",
    "out_of_period",
    "duplicate",
    "kept",
)

FOLDER = "observations"
_META = b"workbook"
_SUFFIX = ".parquet"
_TEMPORARY = ".part"
_MANY_ROWS = 1000  # from here on a file is packed harder
_ROW = pa.struct(list(OBSERVATION))
_STALE_AFTER = 24 * 3600  # seconds after which another machine's temporary file is abandoned


@dataclass(frozen=True)
class Provenance:
    """What one Parquet file was made from, and the lines of the object that gave no row.

    ``ledger`` counts by reason: truncated_file, not_json, other_test and invalid:<why>; and
    ``row_count`` the lines that are rows.
    """

    key: str
    size: int
    etag: str
    sha256: str
    schema_version: int
    fingerprints: str
    row_count: int
    ledger: dict[str, int] = field(default_factory=dict)

    def is_of(self, key: str, size: int, etag: str, fingerprints: str) -> bool:
        """Whether reading that object again would give the same file."""
        return (self.key, self.size, self.etag, self.schema_version, self.fingerprints) == (
            key,
            size,
            etag,
            SCHEMA_VERSION,
            fingerprints,
        )


def table_of(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Observations, as :func:`facts.observe` gives them, in columns."""
    # As one array of structs: a call for each column and each of its children takes longer.
    return pa.Table.from_struct_array(pa.array(rows, _ROW))


class Store:
    """Where the Parquet files are: a folder or an ``s3://`` URL."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._tree = Tree(uri)

    @property
    def is_local(self) -> bool:
        return self._tree.is_local

    def path(self, source_id: str, key: str) -> str:
        """The path of a file; for a folder, one that anybody can open."""
        return self._tree.path(_name(source_id, f"{key}{_SUFFIX}"))

    def place(self, name: str) -> str:
        """The path of any file in the store; for a folder, one that anybody can open."""
        return self._tree.path(name)

    def source_ids(self) -> list[str]:
        """The sources that the store holds observations of."""
        return self._tree.folders(FOLDER)

    def keys(self, source_id: str, probe_cc: str) -> list[str]:
        """The keys of a country's objects that have a file, sorted."""
        files = self._tree.files(_name(source_id))
        keys = (name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))
        return sorted(key for key in keys if archive.holds_country(key, probe_cc))

    def provenance(self, source_id: str, key: str, size: int | None = None) -> Provenance | None:
        """What a file was made from; None where there is none that can be used.

        ``size`` is that of the file, where it is known.
        """
        name = _name(source_id, f"{key}{_SUFFIX}")
        try:
            metadata = self._tree.parquet_metadata(name, size).metadata or {}
            return Provenance(**json.loads(metadata[_META]))
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException):
            return None

    def provenances(self, source_id: str, sizes: Mapping[str, int]) -> dict[str, Provenance]:
        """The same of many files, by key, given the sizes of all; without those of no use."""
        found = self._tree.each(lambda key: self.provenance(source_id, key, sizes[key]), sizes)
        return {key: made for key, made in zip(sizes, found, strict=True) if made is not None}

    def stamps(self, source_id: str) -> dict[str, tuple[int, int]]:
        """Bytes and time of change of each file of a source, by key."""
        stamps = self._tree.stamps(_name(source_id))
        return {k.removesuffix(_SUFFIX): v for k, v in stamps.items() if k.endswith(_SUFFIX)}

    def size(self, source_id: str, key: str) -> int | None:
        """Bytes of a file; None where there is none."""
        return self._tree.size(_name(source_id, f"{key}{_SUFFIX}"))

    def fetch_files(self, source_id: str, keys: Iterable[str], folder: Path) -> list[str]:
        """Bring the files of objects into a folder; their paths there, in order."""

        def fetch(numbered: tuple[int, str]) -> str:
            number, key = numbered
            path = str(folder / f"{number}{_SUFFIX}")
            self._tree.fetch(_name(source_id, f"{key}{_SUFFIX}"), path)
            return path

        return list(self._tree.each(fetch, enumerate(keys)))

    def write(self, source_id: str, key: str) -> "FileWriter":
        """Begin the file of one object."""
        return FileWriter(Replacement(self._tree, _name(source_id, f"{key}{_SUFFIX}")))

    def replace_file(self, source_id: str, key: str, blocks: Iterable[bytes]) -> None:
        """Take over a file as it is."""
        self._replace(_name(source_id, f"{key}{_SUFFIX}"), blocks)

    def read_note(self, source_id: str, name: str) -> Any:
        """A small JSON document beside the files of a source; None where there is none."""
        try:
            return json.loads(self._tree.read(_name(source_id, name)))
        except (OSError, ValueError):
            return None

    def write_note(self, source_id: str, name: str, value: object) -> None:
        """Replace a small JSON document beside the files of a source."""
        self._replace(_name(source_id, name), [json.dumps(value, indent=1).encode()])

    def replacement(self, name: str) -> "Replacement":
        """A file of any name in the store, that appears when it is whole."""
        return Replacement(self._tree, name)

    def fetch(self, name: str, path: Path) -> None:
        """Bring a file of any name into a local one, or FileNotFoundError."""
        self._tree.fetch(name, str(path))

    def put(self, path: Path, name: str) -> None:
        """Send a local file, to appear under any name when it is whole."""
        self._tree.put(str(path), name)

    def remove_older(self, folder: str, start: str, kept: str, seconds: float) -> None:
        """Remove the files of a folder that start so and are so old, but for one that is kept."""
        self._tree.remove_older(folder, start, kept, seconds)

    def _replace(self, name: str, blocks: Iterable[bytes]) -> None:
        with Replacement(self._tree, name) as replacement:
            for block in blocks:
                replacement.stream.write(block)
            replacement.commit()

    def remove_leftovers(self, folder: str) -> None:
        """Remove the temporary files of killed runs below a folder; those of running ones stay."""
        if not self.is_local:
            return
        for path in Path(self._tree.path(folder)).rglob(f".*{_TEMPORARY}"):
            if _is_abandoned(path):
                path.unlink(missing_ok=True)


def _name(source_id: str, name: str = "") -> str:
    return f"{FOLDER}/{source_id}/{name}" if name else f"{FOLDER}/{source_id}"


class Replacement:
    """A file that takes its place when it is whole, or never.

    Attributes:
        path: where it is while it is written: a local file that anybody can open.
        stream: writes it.
    """

    def __init__(self, tree: Tree, name: str) -> None:
        self._tree = tree
        self._name = name
        folder, _, base = name.rpartition("/")
        owner = f"{_machine()}-{os.getpid()}-{uuid4().hex[:8]}"
        place = tree.path(folder) if tree.is_local else tempfile.gettempdir()
        Path(place).mkdir(parents=True, exist_ok=True)
        self.path = f"{place}/.{base}.{owner}{_TEMPORARY}"
        self.stream = pa.OSFile(self.path, "wb")
        self._is_done = False

    def __enter__(self) -> "Replacement":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_done:
            self.stream.close()
            Path(self.path).unlink(missing_ok=True)

    def commit(self) -> None:
        """Let the file appear."""
        self.stream.close()
        if self._tree.is_local:
            Path(self.path).replace(self._tree.path(self._name))
        else:
            self._tree.put(self.path, self._name)
            Path(self.path).unlink()
        self._is_done = True


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_abandoned(path: Path) -> bool:
    machine, pid = [*path.name.removesuffix(_TEMPORARY).rpartition(".")[2].split("-"), "", ""][:2]
    if machine == _machine() and pid.isdigit():
        return not _is_running(int(pid))
    try:
        return time.time() - path.stat().st_mtime > _STALE_AFTER
    except OSError:
        return False


def _is_running(pid: int) -> bool:
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class FileWriter:
    """The file of one object while it is written. Leaving the block without commit drops it."""

    def __init__(self, replacement: Replacement) -> None:
        self._replacement = replacement
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
                self._replacement.stream,
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
        writer.add_key_value_metadata({_META: json.dumps(asdict(provenance), sort_keys=True)})
        writer.close()
        self._replacement.commit()


@dataclass(frozen=True)
class NotRead:
    """An object that could not be read at all."""

    key: str
    why: str


@dataclass(frozen=True)
class Collection:
    """The observations of one source for one country.

    Attributes:
        files: provenance of each Parquet file, sorted by key.
        source_id: of the source.
        not_read: the objects that have no file, sorted by key.
        read_count: the objects that were looked at in this run; the others were there already.
    """

    store: Store = field(compare=False)
    source_id: str
    files: tuple[Provenance, ...]
    not_read: tuple[NotRead, ...] = ()
    read_count: int = field(default=0, compare=False)

    @property
    def digest(self) -> str:
        """SHA-256 over key, size and content of each object; no path or time enters it."""
        rows = sorted([f.key, f.size, f.sha256] for f in self.files)
        missing = sorted(item.key for item in self.not_read)
        return hashlib.sha256(json.dumps([rows, missing]).encode()).hexdigest()

    @property
    def fingerprints(self) -> str | None:
        """Digest of the fingerprints that the observations were matched against."""
        return self.files[0].fingerprints if self.files else None


def collection(store: str, source_id: str, probe_cc: str) -> Collection:
    """Reopen what was ingested before.

    Raises:
        ParameterError: the store holds nothing of that source for the country.
    """
    place = Store(store)
    pairs = [(key, place.provenance(source_id, key)) for key in place.keys(source_id, probe_cc)]
    files = tuple(found for _, found in pairs if found is not None)
    if not files:
        known = ", ".join(f"{FOLDER}/{name}" for name in place.source_ids()) or "nothing"
        accepted = f"holds no {probe_cc} observations of {source_id}; it holds {known}"
        raise ParameterError("STORE", store, accepted)
    notes = place.read_note(source_id, not_read_note(probe_cc)) or []
    return Collection(place, source_id, files, tuple(NotRead(**note) for note in notes))


def not_read_note(probe_cc: str) -> str:
    """Name of the note that lists the objects that could not be read."""
    return f"not-read-{probe_cc}.json"
