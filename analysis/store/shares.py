"""Shared observations: those of a country and a period, small enough for a thin line.

A share is a folder, on a disk or behind a URL::

    MANIFEST.json               what it is, under what licence, and each file's size and SHA-256
    objects-<digest>.json.zst   what became of each archive object, with the ledger of its lines
    2024-01-<digest>.parquet    the observations of a month, with the object of each

Lines of other days and countries are counted in the ledger and left out. A measurement that came
twice is there twice, so that any part of the period can be reported as if from the archive.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from analysis.observations.schema import SCHEMA_VERSION
from analysis.period import Period
from analysis.reference import countries
from analysis.sources import layout
from analysis.sources.archive_files import OBJECT_BYTES, limit_of
from analysis.store.checking import check_observations
from analysis.store.checksums import BLANK_CHECKSUM, CHECKSUM_KEY, set_checksum
from analysis.store.collection import Collection, Excerpt
from analysis.store.connections import limit_threads
from analysis.store.database import Observations
from analysis.store.provenance import Count, Digest, NotRead, Provenance
from analysis.store.store import WRITING, Store
from analysis.store.study_rows import add_every_row, explain_failures
from analysis.temporary_folders import TemporaryFolder

MANIFEST = "MANIFEST.json"
FORMAT = "censorship-report-workbook, shared observations, 2"
FOLDER = "shares"
OBJECTS = "objects"

#: What a file of a share is called.
NAME = re.compile(
    rf"(?P<objects>{OBJECTS})-[0-9a-f]{{16}}\.json\.zst"
    r"|(?P<month>\d{4}-\d{2})-[0-9a-f]{16}\.parquet"
)

_Country = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}\Z")]
_SourceId = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,60}\Z")]
_MOST_FILES = 10  # of the largest size, in all of a share


class SharedFile(msgspec.Struct, frozen=True):
    """Bytes and SHA-256 of one file."""

    size: Count
    sha256: Digest


class Manifest(msgspec.Struct, frozen=True):
    """What a share is. Without a hash that came another way, it proves no sender."""

    format: str
    probe_cc: _Country
    since: date
    until: date
    source_id: _SourceId
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
        return f"{FOLDER}/{self.probe_cc}-{self.period}-{self.source_id}"

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


def open_share(store: Store, manifest: Manifest) -> Collection:
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


def reopen_share(store: Store, folder: str) -> Collection | None:
    """A share that was imported into a folder of the store; None where it is not as it was."""
    content = store.try_read(f"{folder}/{MANIFEST}")
    if content is None:
        return None
    manifest = read_manifest(content, f"{folder}/{MANIFEST}")
    for name, told in manifest.files.items():
        if manifest.folder != folder or store.digest(f"{folder}/{name}") != told.sha256:
            return None
    return open_share(store, manifest)


class _Objects(msgspec.Struct, frozen=True):
    """What became of each object, by key."""

    files: tuple[Provenance, ...]
    not_read: tuple[NotRead, ...]


def _read_objects(store: Store, manifest: Manifest, name: str) -> _Objects:
    """Raises ContractError where it is no list of objects of the country."""
    try:
        with TemporaryFolder("workbook-import-") as scratch:
            (path,) = store.local_paths([f"{manifest.folder}/{name}"], scratch)
            with pa.input_stream(str(path), compression="zstd") as stream:
                content = stream.read(_MOST_OBJECTS + 1)
        if len(content) > _MOST_OBJECTS:
            raise ValueError(f"it holds more than {_MOST_OBJECTS / 1e6:g} MB")
        objects = msgspec.json.decode(content, type=_Objects)
        keys = {file.key for file in objects.files} | {item.key for item in objects.not_read}
        if len(keys) < len(objects.files) + len(objects.not_read):
            raise ValueError("a key stands twice")
        if not all(layout.holds_country(key, manifest.probe_cc) for key in keys):
            raise ValueError(f"a key is none of {manifest.probe_cc}")
    except (OSError, ValueError, RecursionError) as error:
        raise ContractError(f"{name} is no list of objects: {error}") from None
    return objects


_MOST_OBJECTS = 64_000_000  # bytes of the list; ten years of a country have less than half


def check_rows(collection: Collection, manifest: Manifest) -> None:
    """Check the months of a share: each column, and that there are as many rows as the ledger says.

    Raises:
        ContractError: names the file and the column, or the object.
    """
    counts: Counter[str] = Counter()
    months = {f"{month.since:%Y-%m}": month for month in manifest.period.months()}
    with TemporaryFolder("workbook-import-") as scratch:
        names = [name for name, _ in collection.names()]
        paths = collection.store.local_paths(names, scratch)
        for name, path in zip(names, paths, strict=True):
            base = name.rpartition("/")[2]
            month = months[base[:7]]
            scope = {"cc": manifest.probe_cc, "since": month.since, "until": month.until}
            counts.update(check_observations(path, base, scope, len(collection.files)))
    for file in collection.files:
        found = counts.pop(file.key, 0)
        if found != file.row_count:
            raise ContractError(f"{file.key} has {file.row_count} rows by its ledger, not {found}")
    if counts:
        raise ContractError(f"column object_key names no object: {next(iter(counts))}")


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
_ROWS = """
SELECT * FROM every_row
WHERE probe_cc = $cc AND is_in_period(measurement_start_time, $since, $until)
ORDER BY domain, probe_asn, measurement_start_time, object_key, line_number
"""
_LEFT_OUT = """
SELECT object_key, count(*) FILTER (probe_cc <> $cc) AS other_country,
    count(*) FILTER (
        probe_cc = $cc AND NOT is_in_period(measurement_start_time, $since, $until)
    ) AS out_of_period
FROM every_row GROUP BY ALL
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
        ParameterError: ``out`` is a file, or a folder with content but without a share's manifest.
    """
    if out.exists() and not (out.is_dir() and (_has_manifest(out) or _is_bare(out))):
        raise ParameterError("OUT", out, "must be new, empty, or hold an earlier share")


def _has_manifest(folder: Path) -> bool:
    """Whether there is the manifest of a share, of this version of the workbook or another."""
    try:
        told = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=dict[str, msgspec.Raw])
        form = msgspec.json.decode(told["format"], type=str)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return False
    return form.rpartition(",")[0] == FORMAT.rpartition(",")[0]


def _is_bare(folder: Path) -> bool:
    """Whether there is nothing but what an interrupted run has written."""
    names = [path.name for path in folder.iterdir()]
    return all(NAME.fullmatch(name) or name.startswith(WRITING) for name in names)


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
        add_every_row(observations.connection, collection, observations.scratch)
        parts = _write_parts(observations, collection, probe_cc, period)
        files = dict(_put(target, stem, suffix, content) for stem, suffix, content in parts)
    licence, attribution = _FICTIONAL if countries.is_fictional(probe_cc) else _OONI
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
    observations: Observations, collection: Collection, probe_cc: str, period: Period
) -> Iterator[tuple[str, str, bytes]]:
    """The files, one after the other: what each is of, how its name ends, and its content."""
    connection, path = observations.connection, observations.scratch / "shared.parquet"
    for month in period.months():
        scope = {"cc": probe_cc, "since": month.since, "until": month.until}
        _write_month(connection, scope, path)
        if pq.read_metadata(path).num_rows:
            yield f"{month.since:%Y-%m}", ".parquet", path.read_bytes()
    scope = {"cc": probe_cc, "since": period.since, "until": period.until}
    left_out = {key: counts for key, *counts in connection.execute(_LEFT_OUT, scope).fetchall()}
    files = tuple(_trim(file, *left_out.get(file.key, (0, 0))) for file in collection.files)
    listed = msgspec.json.encode(_Objects(files, collection.not_read))
    packed = pa.Codec("zstd", compression_level=_LEVEL).compress(listed, asbytes=True)
    yield OBJECTS, ".json.zst", packed


def _write_month(
    connection: duckdb.DuckDBPyConnection, scope: Mapping[str, object], path: Path
) -> None:
    """Write the rows of a month into a file with a checksum: the same rows, the same bytes.

    ``path`` is known to nobody else yet.
    """
    metadata = {CHECKSUM_KEY: BLANK_CHECKSUM}
    with _in_order(connection):
        connection.execute(_COPY, {**scope, "path": str(path), "metadata": metadata})
    set_checksum(path)


@contextmanager
def _in_order(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let rows come as the query has them, and columns be declared alike whatever is in them."""
    # Rows of several threads come in any order. One thread that keeps the order is quicker than
    # two that have to put it right, and holds no more than a row group.
    ((disabled,),) = connection.execute("SELECT current_setting('disabled_optimizers')").fetchall()
    connection.execute("SET preserve_insertion_order = true")
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    try:
        with limit_threads(connection, 1):
            yield
    finally:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"SET disabled_optimizers = '{disabled}'")


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
