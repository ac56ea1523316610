"""The store: observations in Parquet, one file per archive object, with their provenance.

A file is ``STORE/observations/<source_id>/<key>.parquet``. Its columns are
``schema.OBSERVATION``, or for messaging and circumvention tests ``messaging.MESSAGING``. Its
key-value metadata hold the provenance and the ledger of lines that gave no row, so that rows and
ledger cannot get out of step. A file with a wrong checksum is ignored.

Files are not flushed to the disk before they are renamed, so a power cut may leave an empty file.
The checksum shows it, and the object is read again, which costs less than waiting for the disk at
each of thousands of files. In a Parquet file with one flipped bit, a wrong value is read a third of
the time. So the last of its key-value metadata is the SHA-256 of all its bytes, computed while the
checksum is blank.
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
    "late",
    "duplicate",
    "kept",
)

FOLDER = "observations"
METADATA_KEY = b"workbook"
SUFFIX = ".parquet"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
#: Strict types, because a store or a share from others is not trusted.
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
    """The provenance of one Parquet file: its object, and the lines that gave no row.

    ``edited_reader`` is a digest of the code that read the object; empty for a release's code.
    ``row_count`` counts the lines with a row, ``ledger`` the others by reason: truncated_file,
    not_json, other_test and invalid:<why>, and in an excerpt other_country and out_of_period.
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
        """Test whether reading the object again would give the same file."""
        inputs = (self.size, self.etag, self.fingerprints, self.schema_version, self.edited_reader)
        reader = (version_of(self.key), digest_edited_readers())
        return inputs == (item.size, item.etag, fingerprints, *reader)


def add_up(files: Iterable[Provenance], rows: Mapping[str, int]) -> dict[str, int]:
    """Add up the ledger of some objects.

    Args:
        files: of the objects.
        rows: ``kept``, or the reason why rows were left out, → number of rows.

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
    """Test whether an object is of a messaging or circumvention test, with columns of its own."""
    return find_test(key) not in (None, WEB)


def version_of(key: str) -> int:
    """Return the version of the columns of an object's file."""
    return MESSAGING_VERSION if is_messaging(key) else SCHEMA_VERSION


def file_name(source_id: str, key: str) -> str:
    """Return the path of an object's file in a store."""
    return f"{FOLDER}/{source_id}/{key}{SUFFIX}"


def read_provenance(file: bytes, key: str) -> Provenance | None:
    """Return the provenance in an object's file.

    None if the file is damaged, or of another object, schema or edited code than now.
    """
    content = (read_metadata(file) or {}).get(METADATA_KEY, b"")
    try:
        provenance = msgspec.json.decode(content, type=Provenance)
    except (msgspec.DecodeError, RecursionError):
        return None
    made_by = (provenance.key, provenance.schema_version, provenance.edited_reader)
    return provenance if made_by == (key, version_of(key), digest_edited_readers()) else None


@dataclass(frozen=True)
class NotRead:
    """An object that could not be read at all."""

    key: Text
    why: Text


# Spelt so in the files of all existing stores and shares.
_PREFIX = b"workbook-seal:"
_CHECKSUM = re.compile(re.escape(_PREFIX) + rb"[0-9a-f]{64}")

#: The last metadata of a file that will get a checksum.
CHECKSUM_KEY = "seal"
BLANK_CHECKSUM = (_PREFIX + b"0" * 64).decode()


def set_checksum(path: Path) -> None:
    """Fill in the checksum of a Parquet file whose last metadata are a blank one."""
    content = path.read_bytes()
    start = content.rfind(BLANK_CHECKSUM.encode())
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(_checksum(content, start))


def _checksum(content: bytes, start: int) -> bytes:
    """Return the correct checksum of a file that has one at ``start``."""
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:start])
        digest.update(BLANK_CHECKSUM.encode())
        digest.update(view[start + len(BLANK_CHECKSUM) :])
    return _PREFIX + digest.hexdigest().encode()


def read_metadata(content: bytes) -> dict[bytes, bytes] | None:
    """Return the key-value metadata of a file, or None if its checksum is wrong.

    No byte of a damaged file is interpreted.
    """
    checksum = _CHECKSUM.match(content, max(content.rfind(_PREFIX), 0))
    if not checksum or checksum[0] != _checksum(content, checksum.start()):
        return None
    try:
        return dict(pq.read_metadata(pa.BufferReader(content)).metadata or {})
    except (OSError, pa.ArrowException):
        return None


#: Prefix of the temporary folder in which a file is written: beside its target, so that it can be
#: renamed, or for a bucket in the system's folder for temporary files.
WRITING = ".writing-"

_MANY_ROWS = 1000  # a file with so many rows is compressed harder

Row = tuple[Any, ...]
Rows = Sequence[Row]


def table_of(rows: Rows, schema: pa.Schema = OBSERVATION) -> pa.Table:
    """Return rows of :func:`observation.observe` as a table."""
    # One array of structs is faster than an array for each column.
    return pa.Table.from_struct_array(pa.array(rows, pa.struct(list(schema))))


class Store(Storage):
    """``STORE``, a folder or an ``s3://`` URL. Names are relative to it."""

    def try_read(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None if it cannot be read."""
        try:
            return self.read(name)
        except OSError:
            return None

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of a file, or None if it cannot be read."""
        content = self.try_read(name)
        return None if content is None else hashlib.sha256(content).hexdigest()

    @contextmanager
    def write(self, name: str) -> Iterator[Path]:
        """Return a local path; the file written there appears in the store when the block ends.

        Raises:
            SourceError: a file cannot be written, in the block or at its end.
        """
        parent = Path(self.path(name)).parent if self.is_local else None
        try:
            with TemporaryFolder(WRITING, parent) as folder:
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
        """Return local paths of files; those of a bucket are copied into ``folder`` first."""
        if self.is_local:
            return [Path(self.path(name)) for name in names]
        paths = [folder / f"{number}{SUFFIX}" for number, _ in enumerate(names)]
        list(self.each(lambda pair: self.fetch(*pair), zip(names, map(str, paths), strict=True)))
        return paths

    def remove_leftovers(self, folder: str) -> None:
        """Remove temporary folders of killed runs below a folder, but not those of running ones."""
        if self.is_local:
            for leftover in sorted(Path(self.path(folder)).rglob(f"{WRITING}*")):
                with suppress(OSError):
                    remove_unless_held(leftover)

    def read_note(self, source_id: str, name: str) -> Any:
        """Read a JSON document beside the files of a source; None if there is none."""
        try:
            return json.loads(self.try_read(f"{FOLDER}/{source_id}/{name}") or b"null")
        except (ValueError, RecursionError):
            return None

    def write_note(self, source_id: str, name: str, value: object) -> None:
        """Write a JSON document beside the files of a source."""
        self.write_bytes(f"{FOLDER}/{source_id}/{name}", json.dumps(value, indent=1).encode())

    def read_provenances(self, source_id: str, keys: Sequence[str]) -> dict[str, Provenance]:
        """Return key → provenance of the files of objects, without unusable files."""

        def read(key: str) -> Provenance | None:
            return read_provenance(self.try_read(file_name(source_id, key)) or b"", key)

        provenances = zip(keys, self.each(read, keys), strict=True)
        return {key: provenance for key, provenance in provenances if provenance is not None}

    def write_observations(
        self,
        source_id: str,
        key: str,
        groups: Iterable[Rows],
        provenance_of: Callable[[int], Provenance],
    ) -> Provenance:
        """Write the file of one object; each group of rows becomes a row group and leaves memory.

        ``provenance_of`` is called with the number of rows after all are written.
        """
        schema = MESSAGING if is_messaging(key) else OBSERVATION
        row_count = 0
        with self.write(file_name(source_id, key)) as path:
            groups = iter(groups)
            first = next(groups, ())
            # With a hundred columns of a few rows, initialising zstd and dictionaries takes longer
            # than all other work, and saves a tenth of the space.
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
                metadata = json.dumps(asdict(provenance), sort_keys=True)
                writer.add_key_value_metadata({METADATA_KEY: metadata})
                writer.add_key_value_metadata({CHECKSUM_KEY: BLANK_CHECKSUM})
            set_checksum(path)
        return provenance


@dataclass(frozen=True)
class Excerpt:
    """Observations of one country and period in a few files, instead of one file per object.

    Attributes:
        folder: of the files in the store.
        names: of the files; they have ``object_key`` besides an observation's columns.
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
        not_read: the objects without a file, sorted by key.
        read_count: the objects that this run read; the store had the others already.
        excerpt: the files of the rows, if there is not one for each object.
        late: keys of the files whose object was added to the archive, or replaced, after its day
            was listed; sorted.
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
        """SHA-256 of key, size and content of each object, without paths or times."""
        rows = sorted([f.key, f.size, f.sha256] for f in self.files)
        missing = sorted(item.key for item in self.not_read)
        return hashlib.sha256(json.dumps([rows, missing]).encode()).hexdigest()

    def objects_not_read(self) -> pd.DataFrame:
        """Return one row per object that could not be read at all: ``key, why``, sorted by key."""
        rows = [(item.key, item.why) for item in self.not_read]
        return pd.DataFrame(rows, columns=["key", "why"], dtype="str")

    def count_late_lines(self) -> int:
        """Count the lines of the late objects, kept or not."""
        late = set(self.late)
        files = (file for file in self.files if file.key in late)
        return sum(file.row_count + sum(file.ledger.values()) for file in files)

    def names(self) -> list[str]:
        """Return the names, in the store, of the files with the rows."""
        if self.excerpt:
            return [f"{self.excerpt.folder}/{name}" for name in self.excerpt.names]
        return [file_name(self.source_id, file.key) for file in self.files]
