"""Shared observations: those of a country and a period, small enough for a thin line.

A share is a folder, on a disk or behind a URL::

    MANIFEST.json               what it is, under what licence, and each file's size and SHA-256
    objects-<digest>.json.zst   what became of each archive object, with the ledger of its lines
    2024-01-<digest>.parquet    the observations of a month, with the object of each

Lines of other days and countries are counted in the ledger and left out. A measurement that came
twice is there twice, so that any part of the period can be reported as if from the archive. In
place of ``probe_id``, which is the same in all runs of a sender on a network, stands the number of
the run (``run_name``), which is another for each: verdicts are the same, and nobody's runs are
linked. Names that a meeting withheld have given way to their placeholders.

A share, or another store, can be the source of a report; no archive is needed then. A share is
copied whole into ``STORE/shares/``, the files of another store each to its own place. What is
there already is not fetched again, and nothing that is not as its sender wrote it gets in. A
checksum says that a file is as its sender wrote it, not that its sender is honest: every column
is looked at before a file is taken. DuckDB reads the files, because it keeps to its memory
whatever a file unpacks to.
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

#: What a file of a share is called.
NAME = re.compile(
    rf"(?P<objects>{OBJECTS})-[0-9a-f]{{16}}\.json\.zst"
    r"|(?P<month>\d{4}-\d{2})-[0-9a-f]{16}\.parquet"
)

_MOST_FILES = 10  # of the largest size, in all of a share


class SharedFile(msgspec.Struct, frozen=True):
    """Bytes and SHA-256 of one file."""

    size: Count
    sha256: Digest


class Manifest(msgspec.Struct, frozen=True):
    """What a share is. Without a hash that came another way, it proves no sender."""

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
        """Where a store keeps what it imported."""
        return f"{_SHARES}/{self.probe_cc}-{self.period}-{self.source_id}"

    @property
    def digest(self) -> str:
        """SHA-256 of the ``MANIFEST.json``, which vouches for all files."""
        return hashlib.sha256(self.encoded()).hexdigest()

    def encoded(self) -> bytes:
        """The content of a ``MANIFEST.json``."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def read_manifest(content: bytes, name: str) -> Manifest:
    """Read a ``MANIFEST.json``.

    Raises:
        SourceError: it is none, or of another version of the workbook.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        named = map(NAME.fullmatch, manifest.files)
        stems = [parts and (parts["objects"] or parts["month"]) for parts in named]
        wanted = {OBJECTS, *(f"{month.since:%Y-%m}" for month in manifest.period.months())}
        is_one = OBJECTS in stems and wanted.issuperset(stems) and len(set(stems)) == len(stems)
    except (msgspec.DecodeError, UnicodeDecodeError, ParameterError, RecursionError):
        is_one = False
    if not is_one or manifest.format != FORMAT:
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
    """What became of each object, by key."""

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
# Sites' answers resemble each other more than the answers that one probe met.
_ROWS = f"""
SELECT r.* EXCLUDE (row_id) REPLACE (NULL::VARCHAR AS probe_id), run_name, run_known_by
FROM {{rows}} r JOIN run_of_row USING (row_id)
WHERE probe_cc = $cc AND {IN_PERIOD}
ORDER BY domain, probe_asn, measurement_start_time, object_key, line_number
"""
_LEFT_OUT = f"""
SELECT object_key, count(*) FILTER (probe_cc <> $cc) AS other_country,
    count(*) FILTER (probe_cc = $cc AND NOT {IN_PERIOD}) AS out_of_period
FROM {{rows}} GROUP BY ALL
"""
_LEVEL = 19  # of zstd: written once, and sent over thin lines
# A temporary file of DuckDB's own would outlive a kill.
_COPY = f"""
COPY ({_ROWS}) TO $path (
    FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {_LEVEL}, USE_TMP_FILE false,
    KV_METADATA $metadata
)
"""


def check(out: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        ParameterError: ``out`` is a file, or a folder with what is no part of a share.
    """
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    # What an interrupted run has written is nobody's file.
    others = [n for n in names if not (n == MANIFEST or NAME.fullmatch(n) or n.startswith(WRITING))]
    if others or out.is_file():
        raise ParameterError("OUT", out, "must be new, empty, or hold an earlier share alone")


def share(collection: Collection, probe_cc: str, period: Period, out: Path) -> Manifest:
    """Write a share into ``out``; what was there stays valid until the new one is whole.

    Files are named by what they hold: a month that did not change is the same file, and need not
    be sent again.

    Raises:
        ParameterError: ``out`` holds something else.
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
    """The files, one after the other: what each is of, how its name ends, and its content.

    The same rows give the same bytes.
    """
    path = scratch / "shared.parquet"
    # Rows of several threads come in any order. One thread that keeps the order is quicker than two
    # that have to put it right, and holds no more than a row group.
    with closing(connect(scratch / "sharing.duckdb")) as connection:
        limit_memory(connection, 0)
        connection.execute("SET preserve_insertion_order = true")
        # Columns are declared alike whatever is in them.
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        rows = view_rows(connection, collection, scratch)
        scope = {"cc": probe_cc, "since": period.since, "until": period.until}
        scope_rows(connection, rows, scope, named="shared_run" if collection.excerpt else "")
        if withheld := load_withheld(probe_cc):
            rows = rename_rows(connection, rows, "run_of_row", withheld)
        for month in period.months():
            of_month = {"cc": probe_cc, "since": month.since, "until": month.until}
            metadata = {CHECKSUM_KEY: BLANK_CHECKSUM}
            connection.execute(
                _COPY.format(rows=rows), {**of_month, "path": str(path), "metadata": metadata}
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
    """The provenance of an object of which some rows are left out.

    The ETag stays behind: it says when a file of somebody's disk was written.
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


_MOST_OF_A_MANIFEST = 4 << 20  # bytes; that of a century of months takes a tenth of it
_MOST_OBJECTS = 64_000_000  # bytes of the list; ten years of a country have less than half
_LONGEST = 1 << 16  # characters or items of a text or list
_BYTES_OF_A_ROW = 8  # a file takes more; whole columns of one value can be claimed in a few bytes
_SCHEMA = pa.schema(
    [
        *OBSERVATION,
        ("object_key", pa.string()),
        ("run_name", pa.uint64()),
        ("run_known_by", pa.string()),
    ]
)
#: What holds of columns beyond their type and length.
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
#: The scope of an object's rows: some may be of another country or of a day long past.
_ANY_ROW: Mapping[str, object] = {"cc": None, "since": date.min, "until": date.max}
#: A file of another store, of which SOURCE may name the root, a folder in it, or one archive's.
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
        SourceError: a file is missing or altered, or the share is of another country or version.
        ContractError: a file is not what a workbook would have written.
    """
    try:
        content = _read_item(source, item, _MOST_OF_A_MANIFEST)
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
    if store.try_read(name) != content:  # else its rows were checked when it came
        _check_rows(collection, manifest)
        store.write_bytes(name, content)
    return collection


def is_stored(path: str, probe_cc: str, name: str) -> bool:
    """Whether a path below a source of some name is what another store has of a country."""
    stored = _STORED.fullmatch(f"{name}/{path}")
    is_record = re.fullmatch(_RECORD.format(probe_cc), path)
    return bool(is_record or (stored and holds_country(stored["key"], probe_cc)))


def find_archive(source: Source, listed: Sequence[ArchiveObject]) -> str:
    """The id of the archive that another store's files were made from; ``""`` where it has none.

    Raises:
        ParameterError: there are several.
    """
    found = [_STORED.fullmatch(f"{source.name}/{item.key}") for item in listed]
    ids = sorted({stored["source"] for stored in found if stored})
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
    """Copy another store's files of a country, and take over which objects its owner could not
    read. A file that is damaged, or not what a workbook would have written, is one more of these.

    Raises:
        SourceError: the source does not answer, or its list of objects not read is none.
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
        ours = store.try_read(name) or b""
        provenance = read_provenance(ours, key)
        try:
            if provenance is None or not _is_same(ours, item):
                with store.write(name) as path:
                    _fetch(source, item, path)
                    # What is here already was checked when it came.
                    if provenance is None or path.read_bytes() != ours:
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


def _is_same(ours: bytes, item: ArchiveObject) -> bool:
    """Whether fetching a file can be spared, by the ETag of a bucket: an MD5, but of large files.

    The time of change of a file in a folder says nothing, and fetching it costs nothing.
    """
    md5 = hashlib.md5(ours, usedforsecurity=False).hexdigest()
    return len(ours) == item.size and (item.etag == md5 or "-" in item.etag)


def _check_file(path: Path, key: str) -> Provenance:
    """What somebody else's file was made from. Raises CannotRead or ContractError."""
    provenance = read_provenance(path.read_bytes(), key)
    if provenance is None:
        raise CannotRead(f"not a whole file of observations of schema {SCHEMA_VERSION}")
    found = count_rows(path, key, _ANY_ROW).get("", 0)
    if found != provenance.row_count:
        raise CannotRead(f"{provenance.row_count} rows by its ledger, {found} in it")
    return provenance


class _Record(msgspec.Struct, frozen=True):
    """What another store has on record."""

    not_read: list[NotRead] = []


def _fetch_not_read(source: Source, item: ArchiveObject) -> dict[str, NotRead]:
    try:
        record = msgspec.json.decode(_read_item(source, item, _MOST_OBJECTS), type=_Record)
    except (CannotRead, ValueError, RecursionError) as error:
        raise SourceError(
            f"{item.key} does not list the objects that could not be read: {error}", resumes=False
        ) from None
    return {one.key: one for one in record.not_read}


def reopen_share(store: Store, folder: str) -> Collection | None:
    """A share that was imported into a folder of the store; None where it is not as it was."""
    content = store.try_read(f"{folder}/{MANIFEST}")
    if content is None:
        return None
    manifest = read_manifest(content, f"{folder}/{MANIFEST}")
    for name, told in manifest.files.items():
        if manifest.folder != folder or store.digest(f"{folder}/{name}") != told.sha256:
            return None
    return _open_share(store, manifest)


def _import_file(source: Source, store: Store, manifest: Manifest, name: str) -> None:
    """Copy one of the files for which the manifest vouches."""
    told = manifest.files[name]
    if store.digest(f"{manifest.folder}/{name}") == told.sha256:
        return
    with store.write(f"{manifest.folder}/{name}") as path:
        try:
            _fetch(source, ArchiveObject(name, told.size, ""), path)
        except CannotRead as error:
            raise type(error)(f"{name}: {error}") from None
        if digest_file(path) != told.sha256:
            raise SourceError(
                f"{name} is not the file that {MANIFEST} speaks of: it was altered, or has "
                "not arrived whole",
                resumes=False,
            )


def _read_item(source: Source, item: ArchiveObject, limit: int) -> bytes:
    """The bytes of an item, of which there are no more than ``limit``."""
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
    """The observations of a share that lies in a store.

    Raises:
        SourceError: the objects are not those of the manifest.
        ContractError: they are no objects.
    """
    names = sorted(manifest.files)
    objects = next(name for name in names if name.startswith(OBJECTS))
    months = tuple(name for name in names if name != objects)
    told = _read_objects(store, manifest, objects)
    excerpt = Excerpt(manifest.probe_cc, manifest.period, manifest.folder, months)
    collection = Collection(store, manifest.source_id, told.files, told.not_read, excerpt=excerpt)
    if not months or collection.digest != manifest.observations_digest:
        raise SourceError(
            f"{objects} is not of the observations that {MANIFEST} speaks of", resumes=False
        )
    return collection


def _read_objects(store: Store, manifest: Manifest, name: str) -> SharedObjects:
    """Raises ContractError where it is no list of objects of the country."""
    try:
        packed = pa.py_buffer(store.read(f"{manifest.folder}/{name}"))
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            content = stream.read(_MOST_OBJECTS + 1)
        if len(content) > _MOST_OBJECTS:
            raise ValueError(f"it holds more than {_MOST_OBJECTS / 1e6:g} MB")
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
    """Check the months of a share: each column, and that there are as many rows as the ledger says.

    Raises:
        ContractError: names the file and the column, or the object.
    """
    counts: Counter[str] = Counter()
    months = {f"{month.since:%Y-%m}": month for month in manifest.period.months()}
    with TemporaryFolder("workbook-import-") as scratch:
        names = collection.names()
        paths = collection.store.local_paths(names, scratch)
        for name, path in zip(names, paths, strict=True):
            base = name.rpartition("/")[2]
            month = months[base[:7]]
            scope = {"cc": manifest.probe_cc, "since": month.since, "until": month.until}
            counts.update(count_rows(path, base, scope, len(collection.files)))
    for file in collection.files:
        found = counts.pop(file.key, 0)
        if found != file.row_count:
            raise ContractError(f"{file.key} has {file.row_count} rows by its ledger, not {found}")
    if counts:
        raise ContractError(f"column object_key names no object: {next(iter(counts))}")


def count_rows(
    path: Path, name: str, scope: Mapping[str, object], object_count: int = 0
) -> dict[str, int]:
    """Check a file of somebody else's observations, and count its rows by object.

    Args:
        path: the file.
        name: what it is called in an error.
        scope: ``cc, since, until`` of its rows.
        object_count: of how many objects its rows may be, which it names in ``object_key``. 0: it
            has no such column, and all rows are counted as one.

    Raises:
        ContractError: it cannot be read, or a column is missing, has another type, or a value that
            it cannot have.
    """
    schema = _SCHEMA if object_count else OBSERVATION
    bounds = {
        field.name: f'coalesce(len("{field.name}"), 0) <= {_LONGEST}'
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_list(field.type)
    }
    conditions = {
        column: condition
        for column, condition in {**bounds, **_CONDITIONS}.items()
        if column in schema.names
    }
    key = "object_key" if object_count else "''"
    counts = ", ".join(
        f'count(*) FILTER (NOT coalesce({condition}, FALSE)) AS "{column}"'
        for column, condition in conditions.items()
    )
    # Two threads at most: each one more may hold more of a file of which nothing is known yet.
    with connect(threads=min(2, os.cpu_count() or 1)) as connection:
        limit_memory(connection, 0)
        try:
            connection.read_parquet(without_glob(str(path))).create_view("foreign_row")
            _check_columns(connection, name, schema)
            ((rows,),) = connection.execute("SELECT count(*) FROM foreign_row").fetchall()
            if rows * _BYTES_OF_A_ROW > path.stat().st_size:
                raise ContractError(f"{name} is too small for the {rows} rows that it claims")
            # The hash has every value of every column decoded.
            query = f"SELECT {counts}, bit_xor(hash(r)) FROM foreign_row r"
            (row,) = connection.execute(query, scope).fetchall()
            for column, count in zip(conditions, row, strict=False):
                if count:
                    raise ContractError(
                        f"{name}: column {column} cannot have what {count} rows say"
                    )
            # One more than there are names an object that there is not; nobody has to hold others.
            by_key = f"SELECT {key}, count(*) FROM foreign_row GROUP BY 1 LIMIT $most"
            return dict(connection.execute(by_key, {"most": object_count + 1}).fetchall())
        except (duckdb.Error, RuntimeError, ValueError) as error:  # names that are not UTF-8 too
            raise ContractError(f"{name} cannot be read: {str(error)[:300]}") from None


def _check_columns(connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
    connection.from_arrow(schema.empty_table()).create("expected")
    found, expected = (_types(connection, table) for table in ("foreign_row", "expected"))
    for column in {**expected, **found}:
        kind, has = expected.get(column, "left out"), found.get(column, "no such column")
        if kind != has:
            raise ContractError(f"{name}: column {column} must be {kind}, not {has}")


def _types(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE {table}").fetchall()
    return {column: re.sub("TIMESTAMP_M?S", "TIMESTAMP", kind) for column, kind, *_ in rows}
