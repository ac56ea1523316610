"""Shared observations: those of a country and a period, small enough for a thin line.

A share is a folder, on a disk or behind a URL::

    MANIFEST.json               what it is, under what licence, and each file's size and SHA-256
    objects-<digest>.json.zst   what became of each archive object, with the ledger of its lines
    2024-01-<digest>.parquet    the observations of a month, with the object of each

Lines of other days and countries are counted in the ledger and left out. A measurement that came
twice is there twice, so that any part of the period can be reported as if from the archive.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ParameterError, SourceError
from analysis.observations.schema import SCHEMA_VERSION
from analysis.period import Period
from analysis.reference import countries
from analysis.sources.archive_files import OBJECT_BYTES, limit_of
from analysis.store.connections import connect, limit_memory
from analysis.store.database import IN_PERIOD, Observations, explain_failures, view_rows
from analysis.store.store import (
    BLANK_CHECKSUM,
    CHECKSUM_KEY,
    WRITING,
    Collection,
    Count,
    Digest,
    NotRead,
    Provenance,
    Store,
    set_checksum,
)

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
SELECT * EXCLUDE (row_id) FROM {{rows}} WHERE probe_cc = $cc AND {IN_PERIOD}
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
        ParameterError: ``out`` is a file, or a folder with content but without a share's manifest.
    """
    if not out.exists():
        return
    # What an interrupted run has written is nobody's file.
    names = [path.name for path in out.iterdir()] if out.is_dir() else [""]
    is_bare = all(NAME.fullmatch(name) or name.startswith(WRITING) for name in names)
    if not (is_bare or _has_manifest(out)):
        raise ParameterError("OUT", out, "must be new, empty, or hold an earlier share")


def _has_manifest(folder: Path) -> bool:
    """Whether there is the manifest of a share, of this version of the workbook or another."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
        return str(told["format"]).startswith(FORMAT.rpartition(",")[0])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return False


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
        for month in period.months():
            scope = {"cc": probe_cc, "since": month.since, "until": month.until}
            metadata = {CHECKSUM_KEY: BLANK_CHECKSUM}
            connection.execute(
                _COPY.format(rows=rows), {**scope, "path": str(path), "metadata": metadata}
            )
            set_checksum(path)
            if pq.read_metadata(path).num_rows:
                yield f"{month.since:%Y-%m}", ".parquet", path.read_bytes()
        scope = {"cc": probe_cc, "since": period.since, "until": period.until}
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
