"""The store: observations in Parquet, one file per archive object, and what each says of itself.

A file is ``STORE/observations/<source_id>/<key>.parquet``. Its columns are
``schema.OBSERVATION``, of a messaging or circumvention test ``messaging.MESSAGING``; its key-value
metadata hold what it was made from and the ledger of the lines that gave no row, so that both
appear in one rename and neither can go stale alone. One whose checksum is not that of its content
counts as none.

Nothing is flushed to the disk before a file gets its name: a power cut may leave an empty file
under a good one. Readers find that out by the checksum and read the object again, which costs less
than waiting for the disk at each of thousands of files. Of a Parquet file with one flipped bit, a
third of the time another value is read. So the last of its key-value metadata is the SHA-256 of all
its bytes, taken with the checksum still blank.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ContractError, SourceError, describe_error
from analysis.observations.messaging import MESSAGING, MESSAGING_VERSION
from analysis.observations.schema import OBSERVATION, SCHEMA_VERSION
from analysis.period import Period
from analysis.reference.release import digest_edited_readers
from analysis.sources.archive_files import WEB, ArchiveObject, find_test
from analysis.sources.objectstore import Storage
from analysis.temporary_folders import TemporaryFolder, remove_unless_held

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
METADATA_KEY = b"workbook"
SUFFIX = ".parquet"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
#: Who writes a store or a share that is handed on may be anybody: nothing else is taken.
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Reason = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(truncated_file|not_json|other_test|other_country|out_of_period"
        r"|invalid:[a-z0-9_]{1,40})\Z"
    ),
]
Text = Annotated[str, msgspec.Meta(max_length=1024)]


@dataclass(frozen=True)
class Provenance:
    """What one Parquet file was made from, and the lines of the object that gave no row.

    ``edited_reader`` is a digest of the code that read it, where that was not a release's.
    ``ledger`` counts by reason: truncated_file, not_json, other_test and invalid:<why>, and in an
    excerpt other_country and out_of_period; and ``row_count`` the lines that are rows.
    """

    key: Text
    size: Count
    etag: Text
    sha256: Digest
    schema_version: int
    fingerprints: Digest
    row_count: Count
    edited_reader: str = ""
    ledger: Annotated[dict[Reason, Count], msgspec.Meta(max_length=100)] = field(
        default_factory=dict
    )

    def is_current(self, item: ArchiveObject, fingerprints: str) -> bool:
        """Whether reading the object, as it is now, would give the same file again."""
        told = (self.size, self.etag, self.fingerprints, self.schema_version, self.edited_reader)
        now = (version_of(self.key), digest_edited_readers())
        return told == (item.size, item.etag, fingerprints, *now)


def add_up(files: Iterable[Provenance], rows: Mapping[str, int]) -> dict[str, int]:
    """What became of every line of some objects.

    Args:
        files: of the objects.
        rows: theirs, by what became of them: kept, or why they were left out.

    Returns:
        Reason → lines: all of :data:`REASONS` in order, then each ``invalid:<why>`` that occurs,
        sorted, then ``total``.

    Raises:
        ContractError: the reasons do not add up to the lines.
    """
    counts, expected = Counter(rows), 0
    for file in files:
        counts.update(file.ledger)
        expected += file.row_count + sum(file.ledger.values())
    invalid = {why: count for why, count in sorted(counts.items()) if why.startswith("invalid:")}
    counts["invalid"] = sum(invalid.values())
    ledger = {reason: counts[reason] for reason in REASONS}
    total = sum(ledger.values())
    if total != expected:
        raise ContractError(f"the ledger has {total} lines, the objects have {expected}")
    return {**ledger, **invalid, "total": total}


def is_messaging(key: str) -> bool:
    """Whether an object holds a messaging or circumvention test: its file has other columns."""
    return find_test(key) not in (None, WEB)


def version_of(key: str) -> int:
    """The version of the columns that an object's file has."""
    return MESSAGING_VERSION if is_messaging(key) else SCHEMA_VERSION


def file_name(source_id: str, key: str) -> str:
    """Where in a store the file of an object is."""
    return f"{FOLDER}/{source_id}/{key}{SUFFIX}"


def read_provenance(file: bytes, key: str) -> Provenance | None:
    """What the file of an object was made from; None where it is damaged, of another object, of
    another schema, or read by code that was edited before or since.
    """
    content = (read_metadata(file) or {}).get(METADATA_KEY, b"")
    try:
        told = msgspec.json.decode(content, type=Provenance)
    except (msgspec.DecodeError, RecursionError):
        return None
    made_by = (told.key, told.schema_version, told.edited_reader)
    return told if made_by == (key, version_of(key), digest_edited_readers()) else None


@dataclass(frozen=True)
class NotRead:
    """An object that could not be read at all."""

    key: Text
    why: Text


# As it is spelt in the files of every store and share there is.
_PREFIX = b"workbook-seal:"
_CHECKSUM = re.compile(re.escape(_PREFIX) + rb"[0-9a-f]{64}")

#: Metadata to give last to a file that is to have a checksum.
CHECKSUM_KEY = "seal"
BLANK_CHECKSUM = (_PREFIX + b"0" * 64).decode()


def set_checksum(path: Path) -> None:
    """Fill in the checksum of a Parquet file whose last metadata are the blank one."""
    content = path.read_bytes()
    start = content.rfind(BLANK_CHECKSUM.encode())
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(_checksum(content, start))


def _checksum(content: bytes, start: int) -> bytes:
    """The checksum that a file should have, which has one from ``start`` on."""
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:start])
        digest.update(BLANK_CHECKSUM.encode())
        digest.update(view[start + len(BLANK_CHECKSUM) :])
    return _PREFIX + digest.hexdigest().encode()


def read_metadata(content: bytes) -> dict[bytes, bytes] | None:
    """The key-value metadata of a file; None where it is not as it was written.

    No byte of a damaged file is interpreted.
    """
    told = _CHECKSUM.match(content, max(content.rfind(_PREFIX), 0))
    if not told or told[0] != _checksum(content, told.start()):
        return None
    try:
        return dict(pq.read_metadata(pa.BufferReader(content)).metadata or {})
    except (OSError, pa.ArrowException):
        return None


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


@dataclass(frozen=True)
class Excerpt:
    """Observations of one country and period in a few files, instead of one file an object.

    Attributes:
        folder: where the files are in the store.
        names: theirs, in that folder; they hold ``object_key`` besides an observation's columns.
    """

    probe_cc: str
    period: Period
    folder: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """The observations of one source for one country.

    Attributes:
        files: provenance of each object's file, sorted by key.
        source_id: of the source.
        not_read: the objects that have no file, sorted by key.
        read_count: the objects that were looked at in this run; the others were there already.
        excerpt: where the rows are, if not in a file for each object.
        late: keys of the files whose object was added to the archive, or replaced, after its day
            had been listed, sorted.
    """

    store: Store = field(compare=False)
    source_id: str
    files: tuple[Provenance, ...]
    not_read: tuple[NotRead, ...] = ()
    read_count: int = field(default=0, compare=False)
    excerpt: Excerpt | None = None
    late: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over key, size and content of each object; no path or time enters it."""
        rows = sorted([f.key, f.size, f.sha256] for f in self.files)
        missing = sorted(item.key for item in self.not_read)
        return hashlib.sha256(json.dumps([rows, missing]).encode()).hexdigest()

    def objects_not_read(self) -> pd.DataFrame:
        """One row an object that could not be read at all: ``key, why``, sorted by key."""
        rows = [(item.key, item.why) for item in self.not_read]
        return pd.DataFrame(rows, columns=["key", "why"], dtype="str")

    def count_late_lines(self) -> int:
        """How many lines the late objects have, kept or not."""
        late = set(self.late)
        found = (file for file in self.files if file.key in late)
        return sum(file.row_count + sum(file.ledger.values()) for file in found)

    def names(self) -> list[str]:
        """The files that hold the rows, by their names in the store."""
        if self.excerpt:
            return [f"{self.excerpt.folder}/{name}" for name in self.excerpt.names]
        return [file_name(self.source_id, file.key) for file in self.files]
