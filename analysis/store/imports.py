"""A share as the source: no archive is needed.

It is copied whole into ``STORE/shares/``. What is there already is not fetched again, and nothing
that is not as its sender wrote it gets in. A checksum says that a file is as its sender wrote it,
not that its sender is honest: every column is looked at before a share is taken. DuckDB reads the
files, because it keeps to its memory whatever a file unpacks to.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa

from analysis.errors import ContractError, SourceError
from analysis.observations.schema import OBSERVATION
from analysis.sources import layout
from analysis.sources.archive_files import ArchiveObject, CannotRead, Source, Unreachable
from analysis.store.checksums import digest_file
from analysis.store.collection import Collection, Excerpt
from analysis.store.connections import connect, limit_memory
from analysis.store.shares import MANIFEST, OBJECTS, Manifest, SharedObjects, read_manifest
from analysis.store.store import Store
from analysis.store.study_rows import without_glob
from analysis.temporary_folders import TemporaryFolder

_MOST_OF_A_MANIFEST = 4 << 20  # bytes; that of a century of months takes a tenth of it
_MOST_OBJECTS = 64_000_000  # bytes of the list; ten years of a country have less than half
_LONGEST = 1 << 16  # characters or items of a text or list
_BYTES_OF_A_ROW = 8  # a file takes more; whole columns of one value can be claimed in a few bytes
_SCHEMA = pa.schema([*OBSERVATION, pa.field("object_key", pa.string())])
#: What holds of columns beyond their type and length.
_CONDITIONS: Mapping[str, str] = {
    "report_id": "length(report_id) <= 512",
    "input": "input IS NOT NULL",
    "measurement_start_time": "measurement_start_time >= $since::TIMESTAMP"
    " AND measurement_start_time < $until::TIMESTAMP",
    "line_number": "line_number > 0",
    "probe_cc": "probe_cc = $cc",
    "probe_asn": "probe_asn IS NOT NULL",
    "domain": "regexp_full_match(domain, '[a-z0-9._:-]{0,253}')",
    "is_anomaly": "is_anomaly IS NOT NULL",
    "is_failure": "is_failure IS NOT NULL",
    "object_key": "length(object_key) <= 1024",
}


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
        with TemporaryFolder("workbook-import-") as folder:
            if item.size > _MOST_OF_A_MANIFEST:
                raise CannotRead("longer than it was listed")
            _fetch(source, item, folder / MANIFEST)
            content = (folder / MANIFEST).read_bytes()
        manifest = read_manifest(content, item.key)
        if manifest.probe_cc != probe_cc:
            raise SourceError(
                f"{item.key} is of {manifest.probe_cc}, not of {probe_cc}", resumes=False
            )
        name = f"{manifest.folder}/{MANIFEST}"
        known = store.try_read(name) == content and reopen_share(store, manifest.folder)
        if known:
            return known
        for done, file in enumerate(manifest.files, 1):
            _import_file(source, store, manifest, file)
            progress(done, len(manifest.files), file)
    except CannotRead as error:
        raise SourceError(f"the share cannot be read: {error}", resumes=error.may_pass) from None
    collection = _open_share(store, manifest)
    _check_rows(collection, manifest)
    store.write_bytes(name, content)
    return collection


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
        if not all(layout.holds_country(key, manifest.probe_cc) for key in keys):
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
    path: Path, name: str, scope: Mapping[str, object], object_count: int
) -> dict[str, int]:
    """Check a month of somebody else's observations, and count its rows by object.

    Args:
        path: the file.
        name: what it is called in an error.
        scope: ``cc, since, until`` of its rows.
        object_count: of how many objects its rows may be.

    Raises:
        ContractError: it cannot be read, or a column is missing, has another type, or a value that
            it cannot have.
    """
    bounds = {
        field.name: f'coalesce(len("{field.name}"), 0) <= {_LONGEST}'
        for field in _SCHEMA
        if pa.types.is_string(field.type) or pa.types.is_list(field.type)
    }
    conditions = {**bounds, **_CONDITIONS}
    counts = ", ".join(
        f'count(*) FILTER (NOT coalesce({condition}, FALSE)) AS "{column}"'
        for column, condition in conditions.items()
    )
    # Two threads at most: each one more may hold more of a file of which nothing is known yet.
    with connect(threads=min(2, os.cpu_count() or 1)) as connection:
        limit_memory(connection, 0)
        try:
            connection.read_parquet(without_glob(str(path))).create_view("foreign_row")
            _check_columns(connection, name)
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
            by_key = "SELECT object_key, count(*) FROM foreign_row GROUP BY 1 LIMIT $most"
            return dict(connection.execute(by_key, {"most": object_count + 1}).fetchall())
        except (duckdb.Error, RuntimeError, ValueError) as error:  # names that are not UTF-8 too
            raise ContractError(f"{name} cannot be read: {str(error)[:300]}") from None


def _check_columns(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    connection.from_arrow(_SCHEMA.empty_table()).create("expected")
    found, expected = (_types(connection, table) for table in ("foreign_row", "expected"))
    for column, kind in expected.items():
        if found.get(column) != kind:
            has = found.get(column, "no such column")
            raise ContractError(f"{name}: column {column} must be {kind}, not {has}")
    for column in found.keys() - expected.keys():
        raise ContractError(f"{name}: there is no column {column}")


def _types(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE {table}").fetchall()
    return {column: re.sub("TIMESTAMP_M?S", "TIMESTAMP", kind) for column, kind, *_ in rows}
