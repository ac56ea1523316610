"""Shares: the observations of a country and a period, small enough for a slow connection.

A share is a folder, on a disk or behind a URL::

    MANIFEST.json               country, period, licence, and each file's size and SHA-256
    objects-<digest>.json.zst   each archive object, with the ledger of its lines
    2024-01-<digest>.parquet    the observations of a month, with the object of each

Lines of other days and countries are counted in the ledger and left out. Repeated measurements are
kept, so that any part of the period can be reported as if from the archive. ``probe_id``, which is
the same in all runs of a sender on a network, is replaced by the number of the run (``run_name``):
verdicts do not change, and the runs of a sender cannot be linked. Withheld names are replaced by
placeholders.

A share, or another store, can be the source of a report instead of an archive. A share is copied
whole into ``STORE/shares/``, and the files of another store under their own names. Files that exist
already are not fetched again, and no file is accepted that is not as its sender wrote it. A
checksum does not prove that the sender is honest, so every column is checked before a file is
accepted. DuckDB reads the files, because its memory is limited whatever a file unpacks to.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ContractError, ParameterError, SourceError
from analysis.files import digest_file
from analysis.observations.schema import OBSERVATION, SCHEMA_VERSION
from analysis.period import Period
from analysis.reference.reference_files import is_fictional
from analysis.reference.withheld import load_withheld
from analysis.sources.archive_files import (
    OBJECT_BYTES,
    ArchiveObject,
    CannotRead,
    Unreachable,
    holds_country,
    limit_of,
)
from analysis.sources.buckets import Source
from analysis.store.database import (
    IN_PERIOD,
    Observations,
    explain_failures,
    scope_rows,
    view_rows,
    without_glob,
)
from analysis.store.runs import WAYS
from analysis.store.stage_tables import connect, limit_memory
from analysis.store.store import (
    BLANK_CHECKSUM,
    CHECKSUM_KEY,
    FOLDER,
    SUFFIX,
    WRITING,
    Collection,
    Count,
    Digest,
    Excerpt,
    NotRead,
    Provenance,
    Store,
    file_name,
    read_provenance,
    set_checksum,
)
from analysis.store.withholding import rename_rows
from analysis.temporary_folders import TemporaryFolder

MANIFEST = "MANIFEST.json"
FORMAT = "censorship-report-workbook, shared observations, 2"
_SHARES = "shares"
OBJECTS = "objects"

#: The name of a file of a share.
NAME = re.compile(
    rf"(?P<objects>{OBJECTS})-[0-9a-f]{{16}}\.json\.zst"
    r"|(?P<month>\d{4}-\d{2})-[0-9a-f]{16}\.parquet"
)

_MOST_FILES = 10  # the most bytes of a share, as files of the largest size


class SharedFile(msgspec.Struct, frozen=True):
    """Bytes and SHA-256 of one file."""

    size: Count
    sha256: Digest


class Manifest(msgspec.Struct, frozen=True):
    """The manifest of a share. It proves its sender only if the digest came by another way."""

    format: str
    probe_cc: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}\Z")]
    since: date
    until: date
    source_id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,60}\Z")]
    observations_digest: Digest  # Collection.digest
    schema_version: int
    code_version: str
    licence: str
    attribution: str
    ledger: dict[str, Count]  # of the country and the period
    files: dict[str, SharedFile]

    @property
    def period(self) -> Period:
        return Period(self.since, self.until)

    @property
    def folder(self) -> str:
        """The folder of the imported share in a store."""
        return f"{_SHARES}/{self.probe_cc}-{self.period}-{self.source_id}"

    @property
    def digest(self) -> str:
        """SHA-256 of the ``MANIFEST.json``, which has the digests of all files."""
        return hashlib.sha256(self.encoded()).hexdigest()

    def encoded(self) -> bytes:
        """Return the content of a ``MANIFEST.json``."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def read_manifest(content: bytes, name: str) -> Manifest:
    """Read a ``MANIFEST.json``.

    Raises:
        SourceError: it is not a manifest, or of another version of the workbook.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        names = map(NAME.fullmatch, manifest.files)
        stems = [parts and (parts["objects"] or parts["month"]) for parts in names]
        allowed = {OBJECTS, *(f"{month.since:%Y-%m}" for month in manifest.period.months())}
        is_manifest = (
            OBJECTS in stems and allowed.issuperset(stems) and len(set(stems)) == len(stems)
        )
    except (msgspec.DecodeError, UnicodeDecodeError, ParameterError, RecursionError):
        is_manifest = False
    if not is_manifest or manifest.format != FORMAT:
        raise SourceError(
            f"{name} is no manifest of shared observations that can be read", resumes=False
        )
    size = sum(file.size for file in manifest.files.values())
    limit = limit_of("OBJECT_BYTES", OBJECT_BYTES)
    if size > _MOST_FILES * limit:
        most = f"{_MOST_FILES} times OBJECT_BYTES={limit}"
        raise SourceError(f"{name}: the share has {size} bytes, more than {most}", resumes=False)
    if manifest.schema_version != SCHEMA_VERSION:
        raise SourceError(
            f"{name} is of observations of schema {manifest.schema_version}, this workbook reads "
            f"{SCHEMA_VERSION}: ask for them once more, shared by the same version",
            resumes=False,
        )
    return manifest


class SharedObjects(msgspec.Struct, frozen=True):
    """The objects of a share: provenance of those that were read, and those that were not."""

    files: tuple[Provenance, ...]
    not_read: tuple[NotRead, ...]


_OONI = (
    "CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "Adapted from the measurements of the Open Observatory of Network Interference (OONI), "
    "https://ooni.org/data/: what each layer showed was extracted, and bodies were left out.",
)
_FICTIONAL = (
    "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/",
    "A fictional country: no real network, site or person.",
)
# The key of its object says when a row was received. What is late has no run, and needs none.
# Sorted by site, because answers of one site compress better than answers to one probe.
_ROWS = f"""
SELECT r.* EXCLUDE (row_id, received_since, received_until) REPLACE (NULL::VARCHAR AS probe_id),
  coalesce(run_name, 0) AS run_name, coalesce(run_known_by, 'closeness') AS run_known_by
FROM {{rows}} r LEFT JOIN run_of_row USING (row_id)
WHERE probe_cc = $cc AND {IN_PERIOD}
ORDER BY domain, probe_asn, measurement_start_time, object_key, line_number
"""
_LEFT_OUT = f"""
SELECT object_key, count(*) FILTER (probe_cc <> $cc) AS other_country,
    count(*) FILTER (probe_cc = $cc AND NOT {IN_PERIOD}) AS out_of_period
FROM {{rows}} GROUP BY ALL
"""
_LEVEL = 19  # of zstd: a share is written once and sent over slow connections
# A temporary file of DuckDB's own would stay behind after a kill.
_COPY = f"""
COPY ({_ROWS}) TO $path (
    FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {_LEVEL}, USE_TMP_FILE false,
    KV_METADATA $metadata
)
"""


def check(out: Path) -> None:
    """Refuse a folder with files that do not belong to a share.

    Raises:
        ParameterError: ``out`` is a file, or such a folder.
    """
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    # Files of an interrupted run may be overwritten.
    foreign = [
        name
        for name in names
        if not (name == MANIFEST or NAME.fullmatch(name) or name.startswith(WRITING))
    ]
    if foreign or out.is_file():
        raise ParameterError("OUT", out, "must be new, empty, or hold an earlier share alone")


def share(collection: Collection, probe_cc: str, period: Period, out: Path) -> Manifest:
    """Write a share into ``out``; an earlier share there stays valid until the new one is complete.

    Files are named by their digest, so an unchanged month is the same file and need not be sent
    again.

    Raises:
        ParameterError: ``out`` has other files.
        SourceError: there is no observation in the period, or ``out`` cannot be written.
    """
    check(out)
    target = Store(str(out))
    with Observations(collection, probe_cc, period) as observations, explain_failures():
        ledger = {reason: int(n) for reason, n in observations.ledger().itertuples(index=False)}
        if not ledger["kept"]:
            raise SourceError(
                f"the source has no measurement of {probe_cc} in {period}", resumes=False
            )
        parts = _write_parts(collection, probe_cc, period, observations.scratch)
        files = dict(_put(target, stem, suffix, content) for stem, suffix, content in parts)
    licence, attribution = _FICTIONAL if is_fictional(probe_cc) else _OONI
    manifest = Manifest(
        format=FORMAT,
        probe_cc=probe_cc,
        since=period.since,
        until=period.until,
        source_id=collection.source_id,
        observations_digest=collection.digest,
        schema_version=SCHEMA_VERSION,
        code_version=version("censorship-report-workbook"),
        licence=licence,
        attribution=attribution,
        ledger=ledger,
        files=dict(sorted(files.items())),
    )
    target.write_bytes(MANIFEST, manifest.encoded())
    for path in out.iterdir():
        if NAME.fullmatch(path.name) and path.name not in files:
            path.unlink(missing_ok=True)
    return manifest


def _write_parts(
    collection: Collection, probe_cc: str, period: Period, scratch: Path
) -> Iterator[tuple[str, str, bytes]]:
    """Yield stem, suffix and content of each file. The same rows give the same bytes."""
    path = scratch / "shared.parquet"
    # Several threads return rows in any order. One thread that keeps the order is faster than two
    # with a sort, and holds only one row group.
    with closing(connect(scratch / "sharing.duckdb")) as connection:
        limit_memory(connection, 0)
        connection.execute("SET preserve_insertion_order = true")
        # Column types must not depend on the values.
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        rows = view_rows(connection, collection, scratch)
        scope = {"cc": probe_cc, "since": period.since, "until": period.until}
        scope_rows(connection, rows, scope, named="shared_run" if collection.excerpt else "")
        if withheld := load_withheld(probe_cc):
            rows = rename_rows(connection, rows, "run_of_row", withheld)
        for month in period.months():
            month_scope = {"cc": probe_cc, "since": month.since, "until": month.until}
            metadata = {CHECKSUM_KEY: BLANK_CHECKSUM}
            connection.execute(
                _COPY.format(rows=rows), {**month_scope, "path": str(path), "metadata": metadata}
            )
            set_checksum(path)
            if pq.read_metadata(path).num_rows:
                yield f"{month.since:%Y-%m}", ".parquet", path.read_bytes()
        counted = connection.execute(_LEFT_OUT.format(rows=rows), scope).fetchall()
        left_out = {key: counts for key, *counts in counted}
    files = tuple(_trim(file, *left_out.get(file.key, (0, 0))) for file in collection.files)
    listed = msgspec.json.encode(SharedObjects(files, collection.not_read))
    packed = pa.Codec("zstd", compression_level=_LEVEL).compress(listed, asbytes=True)
    yield OBJECTS, ".json.zst", packed


def _trim(file: Provenance, other_country: int, out_of_period: int) -> Provenance:
    """Return the provenance of an object after rows were left out.

    The ETag is dropped, because it may be the time at which a file on somebody's disk was written.
    """
    left_out = Counter(other_country=other_country, out_of_period=out_of_period)
    ledger = dict(sorted((Counter(file.ledger) + left_out).items()))
    return replace(file, etag="", row_count=file.row_count - left_out.total(), ledger=ledger)


def _put(target: Store, stem: str, suffix: str, content: bytes) -> tuple[str, SharedFile]:
    digest = hashlib.sha256(content).hexdigest()
    name = f"{stem}-{digest[:16]}{suffix}"
    if target.digest(name) != digest:
        target.write_bytes(name, content)
    return name, SharedFile(len(content), digest)


_MANIFEST_LIMIT = 4 << 20  # bytes; a manifest of a century takes a tenth of it
_OBJECTS_LIMIT = 64_000_000  # bytes of the list; ten years of a country have less than half
_VALUE_LENGTH = 1 << 16  # characters or items of a text or list
_ROW_BYTES = 8  # a real row takes more; a forged column of one value takes next to nothing
_SCHEMA = pa.schema(
    [
        *OBSERVATION,
        ("object_key", pa.string()),
        ("run_name", pa.uint64()),
        ("run_known_by", pa.string()),
    ]
)
#: Conditions on columns besides their type and length.
_CONDITIONS: Mapping[str, str] = {
    "report_id": "length(report_id) <= 512",
    "input": "input IS NOT NULL",
    "measurement_start_time": "measurement_start_time >= $since::TIMESTAMP"
    " AND measurement_start_time < $until::TIMESTAMP",
    "line_number": "line_number > 0",
    "probe_cc": "probe_cc = coalesce($cc, probe_cc)",
    "probe_asn": "probe_asn IS NOT NULL",
    "domain": "regexp_full_match(domain, '[a-z0-9._:-]{0,253}')",
    "is_anomaly": "is_anomaly IS NOT NULL",
    "is_failure": "is_failure IS NOT NULL",
    "object_key": "length(object_key) <= 1024",
    "run_name": "run_name IS NOT NULL",
    "run_known_by": f"run_known_by IN {WAYS}",
}
#: The scope of an object's rows, which may be of any country and day.
_ANY_ROW: Mapping[str, object] = {"cc": None, "since": date.min, "until": date.max}
#: A file of another store; SOURCE may be its root, a folder in it, or the folder of one archive.
_STORED = re.compile(
    rf"(?:[^/]+/)?(?:{FOLDER}/)?(?P<source>[a-z0-9-]+-[0-9a-f]{{12}})/(?P<key>.+)"
    + re.escape(SUFFIX)
)
_RECORD = r"(?:.+/)?read-{}(-[^/]*)?\.json"


def import_share(
    source: Source,
    item: ArchiveObject,
    store: Store,
    probe_cc: str,
    progress: Callable[[int, int, str], None],
) -> Collection:
    """Copy a share whose manifest is ``item``.

    Raises:
        SourceError: a file is missing or changed, or the share is of another country or version.
        ContractError: a file is not one that a workbook can have written.
    """
    try:
        content = _read_item(source, item, _MANIFEST_LIMIT)
        manifest = read_manifest(content, item.key)
        if manifest.probe_cc != probe_cc:
            raise SourceError(
                f"{item.key} is of {manifest.probe_cc}, not of {probe_cc}", resumes=False
            )
        for done, file in enumerate(manifest.files, 1):
            _import_file(source, store, manifest, file)
            progress(done, len(manifest.files), file)
    except CannotRead as error:
        raise SourceError(f"the share cannot be read: {error}", resumes=error.may_pass) from None
    collection = _open_share(store, manifest)
    name = f"{manifest.folder}/{MANIFEST}"
    if store.try_read(name) != content:  # else its rows were checked when it was imported
        _check_rows(collection, manifest)
        store.write_bytes(name, content)
    return collection


def is_stored(path: str, probe_cc: str, name: str) -> bool:
    """Test whether a path below a source is a file of another store for a country."""
    stored = _STORED.fullmatch(f"{name}/{path}")
    is_record = re.fullmatch(_RECORD.format(probe_cc), path)
    return bool(is_record or (stored and holds_country(stored["key"], probe_cc)))


def find_archive(source: Source, listed: Sequence[ArchiveObject]) -> str:
    """Return the id of the archive of another store's files; ``""`` if there are no such files.

    Raises:
        ParameterError: there are several archives.
    """
    matches = [_STORED.fullmatch(f"{source.name}/{item.key}") for item in listed]
    ids = sorted({stored["source"] for stored in matches if stored})
    if len(ids) > 1:
        choices = ", ".join(f"{FOLDER}/{source_id}" for source_id in ids)
        raise ParameterError(
            "SOURCE", source.name, f"a store of several sources; name one of them: {choices}"
        )
    return "".join(ids)


def import_files(
    source: Source,
    listed: Sequence[ArchiveObject],
    store: Store,
    source_id: str,
    progress: Callable[[int, int, str], None],
) -> Collection:
    """Copy another store's files of a country, and its list of objects that could not be read.

    A file that is damaged, or that no workbook can have written, is added to the list.

    Raises:
        SourceError: the source does not answer, or its list is invalid.
    """
    files: list[Provenance] = []
    not_read: dict[str, NotRead] = {}
    read_count = 0
    for done, item in enumerate(listed, 1):
        stored = _STORED.fullmatch(f"{source.name}/{item.key}")
        if not stored:
            not_read |= _fetch_not_read(source, item)
            continue
        key = stored["key"]
        name = file_name(source_id, key)
        existing = store.try_read(name) or b""
        provenance = read_provenance(existing, key)
        try:
            if provenance is None or not _is_same(existing, item):
                with store.write(name) as path:
                    _fetch(source, item, path)
                    # A file that exists already was checked when it was imported.
                    if provenance is None or path.read_bytes() != existing:
                        provenance = _check_file(path, key)
                        read_count += 1
            files.append(provenance)
        except (CannotRead, ContractError) as error:
            not_read[key] = NotRead(key, str(error))
        progress(done, len(listed), key)
    for file in files:
        not_read.pop(file.key, None)
    return Collection(
        store,
        source_id,
        tuple(sorted(files, key=lambda file: file.key)),
        tuple(not_read[key] for key in sorted(not_read)),
        read_count,
    )


def _is_same(existing: bytes, item: ArchiveObject) -> bool:
    """Test by a bucket's ETag whether the store already has a file.

    An ETag is an MD5, except for large files. In a folder it is the time of change, which does not
    identify a file; but copying it is cheap.
    """
    md5 = hashlib.md5(existing, usedforsecurity=False).hexdigest()
    return len(existing) == item.size and (item.etag == md5 or "-" in item.etag)


def _check_file(path: Path, key: str) -> Provenance:
    """Check a file of another store and return its provenance; raises CannotRead, ContractError."""
    provenance = read_provenance(path.read_bytes(), key)
    if provenance is None:
        raise CannotRead(f"not a whole file of observations of schema {SCHEMA_VERSION}")
    row_count = count_rows(path, key, _ANY_ROW).get("", 0)
    if row_count != provenance.row_count:
        raise CannotRead(f"{provenance.row_count} rows by its ledger, {row_count} in it")
    return provenance


class _Record(msgspec.Struct, frozen=True):
    """The part of another store's record that is imported."""

    not_read: list[NotRead] = []


def _fetch_not_read(source: Source, item: ArchiveObject) -> dict[str, NotRead]:
    try:
        record = msgspec.json.decode(_read_item(source, item, _OBJECTS_LIMIT), type=_Record)
    except (CannotRead, ValueError, RecursionError) as error:
        raise SourceError(
            f"{item.key} does not list the objects that could not be read: {error}", resumes=False
        ) from None
    return {item.key: item for item in record.not_read}


def reopen_share(store: Store, folder: str) -> Collection | None:
    """Open an imported share in a folder of the store; None if a file has changed."""
    content = store.try_read(f"{folder}/{MANIFEST}")
    if content is None:
        return None
    manifest = read_manifest(content, f"{folder}/{MANIFEST}")
    for name, file in manifest.files.items():
        if manifest.folder != folder or store.digest(f"{folder}/{name}") != file.sha256:
            return None
    return _open_share(store, manifest)


def _import_file(source: Source, store: Store, manifest: Manifest, name: str) -> None:
    """Copy a file of the manifest, unless the store has it already."""
    file = manifest.files[name]
    if store.digest(f"{manifest.folder}/{name}") == file.sha256:
        return
    with store.write(f"{manifest.folder}/{name}") as path:
        try:
            _fetch(source, ArchiveObject(name, file.size, ""), path)
        except CannotRead as error:
            raise type(error)(f"{name}: {error}") from None
        if digest_file(path) != file.sha256:
            raise SourceError(
                f"{name} is not the file that {MANIFEST} speaks of: it was altered, or has "
                "not arrived whole",
                resumes=False,
            )


def _read_item(source: Source, item: ArchiveObject, limit: int) -> bytes:
    """Return the bytes of an item; raises CannotRead if there are more than ``limit``."""
    if item.size > limit:
        raise CannotRead("too large")
    with TemporaryFolder("workbook-import-") as folder:
        _fetch(source, item, folder / "item")
        return (folder / "item").read_bytes()


def _fetch(source: Source, item: ArchiveObject, path: Path) -> None:
    try:
        source.fetch(item, path)
    except Unreachable as error:
        raise SourceError(f"{item.key}: {error}") from None


def _open_share(store: Store, manifest: Manifest) -> Collection:
    """Return the collection of an imported share.

    Raises:
        SourceError: the objects are not those of the manifest.
        ContractError: the list of objects is invalid.
    """
    names = sorted(manifest.files)
    objects = next(name for name in names if name.startswith(OBJECTS))
    months = tuple(name for name in names if name != objects)
    shared = _read_objects(store, manifest, objects)
    excerpt = Excerpt(manifest.probe_cc, manifest.period, manifest.folder, months)
    collection = Collection(
        store, manifest.source_id, shared.files, shared.not_read, excerpt=excerpt
    )
    if not months or collection.digest != manifest.observations_digest:
        raise SourceError(
            f"{objects} is not of the observations that {MANIFEST} speaks of", resumes=False
        )
    return collection


def _read_objects(store: Store, manifest: Manifest, name: str) -> SharedObjects:
    """Read the list of objects; raises ContractError if it is not one of the country."""
    try:
        packed = pa.py_buffer(store.read(f"{manifest.folder}/{name}"))
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            content = stream.read(_OBJECTS_LIMIT + 1)
        if len(content) > _OBJECTS_LIMIT:
            raise ValueError(f"it holds more than {_OBJECTS_LIMIT / 1e6:g} MB")
        objects = msgspec.json.decode(content, type=SharedObjects)
        keys = {file.key for file in objects.files} | {item.key for item in objects.not_read}
        if len(keys) < len(objects.files) + len(objects.not_read):
            raise ValueError("a key stands twice")
        if not all(holds_country(key, manifest.probe_cc) for key in keys):
            raise ValueError(f"a key is none of {manifest.probe_cc}")
    except (OSError, ValueError, RecursionError) as error:
        raise ContractError(f"{name} is no list of objects: {error}") from None
    return objects


def _check_rows(collection: Collection, manifest: Manifest) -> None:
    """Check each column of a share's months, and the number of rows against the ledger.

    Raises:
        ContractError: names the file and the column, or the object.
    """
    counts: Counter[str] = Counter()
    months = {f"{month.since:%Y-%m}": month for month in manifest.period.months()}
    with TemporaryFolder("workbook-import-") as scratch:
        names = collection.names()
        paths = collection.store.local_paths(names, scratch)
        for name, path in zip(names, paths, strict=True):
            file_base = name.rpartition("/")[2]
            month = months[file_base[:7]]
            scope = {"cc": manifest.probe_cc, "since": month.since, "until": month.until}
            counts.update(count_rows(path, file_base, scope, len(collection.files)))
    for file in collection.files:
        row_count = counts.pop(file.key, 0)
        if row_count != file.row_count:
            raise ContractError(
                f"{file.key} has {file.row_count} rows by its ledger, not {row_count}"
            )
    if counts:
        raise ContractError(f"column object_key names no object: {next(iter(counts))}")


def count_rows(
    path: Path, name: str, scope: Mapping[str, object], object_count: int = 0
) -> dict[str, int]:
    """Check a file of observations from another team, and count its rows by object.

    Args:
        path: the file.
        name: in errors.
        scope: ``cc, since, until`` of its rows.
        object_count: the most objects that ``object_key`` may name. 0: the file has no such column,
            and all rows are counted under ``""``.

    Raises:
        ContractError: the file cannot be read, or a column is missing, or has another type or an
            impossible value.
    """
    schema = _SCHEMA if object_count else OBSERVATION
    conditions = _list_conditions(schema)
    key = "object_key" if object_count else "''"
    counts = ", ".join(
        f'count(*) FILTER (NOT coalesce({condition}, FALSE)) AS "{column}"'
        for column, condition in conditions.items()
    )
    # Each thread may hold a part of a file that is not trusted yet, so two at most.
    with connect(threads=min(2, os.cpu_count() or 1)) as connection:
        limit_memory(connection, 0)
        try:
            connection.read_parquet(without_glob(str(path))).create_view("foreign_row")
            _check_columns(connection, name, schema)
            ((rows,),) = connection.execute("SELECT count(*) FROM foreign_row").fetchall()
            if rows * _ROW_BYTES > path.stat().st_size:
                raise ContractError(f"{name} is too small for the {rows} rows that it claims")
            # The hash makes DuckDB decode every value of every column.
            query = f"SELECT {counts}, bit_xor(hash(r)) FROM foreign_row r"
            (row,) = connection.execute(query, scope).fetchall()
            for column, count in zip(conditions, row, strict=False):
                if count:
                    raise ContractError(
                        f"{name}: column {column} cannot have what {count} rows say"
                    )
            # One more than the objects is enough to find an unknown one.
            by_key = f"SELECT {key}, count(*) FROM foreign_row GROUP BY 1 LIMIT $most"
            return dict(connection.execute(by_key, {"most": object_count + 1}).fetchall())
        except (duckdb.Error, RuntimeError, ValueError) as error:  # also for names not in UTF-8
            raise ContractError(f"{name} cannot be read: {str(error)[:300]}") from None


def _list_conditions(schema: pa.Schema) -> dict[str, str]:
    """Return column → condition on its values, as SQL."""
    conditions = {
        field.name: f'coalesce(len("{field.name}"), 0) <= {_VALUE_LENGTH}'
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_list(field.type)
    }
    conditions |= _CONDITIONS
    return {name: sql for name, sql in conditions.items() if name in schema.names}


def _check_columns(connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
    connection.from_arrow(schema.empty_table()).create("expected")
    actual, expected = (_types(connection, table) for table in ("foreign_row", "expected"))
    for column in {**expected, **actual}:
        kind, actual_kind = expected.get(column, "left out"), actual.get(column, "no such column")
        if kind != actual_kind:
            raise ContractError(f"{name}: column {column} must be {kind}, not {actual_kind}")


def _types(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE {table}").fetchall()
    return {column: re.sub("TIMESTAMP_M?S", "TIMESTAMP", kind) for column, kind, *_ in rows}
