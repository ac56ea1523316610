"""The store: observations in Parquet, one file per archive object, and reading them back.

A file is ``STORE/observations/<source_id>/<key>.parquet``. Its columns are
``schema.OBSERVATION``; its key-value metadata hold what it was made from and the ledger of the
lines that gave no row, so that both appear in one rename and neither can go stale alone.

``STORE`` is a folder or an ``s3://`` URL. An S3 object appears only when its upload is complete,
so there it is written in place; in a folder, under a temporary name beside its place.
"""

import hashlib
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ContractError, ParameterError
from analysis.period import Period
from analysis.places import archive
from analysis.places.trees import Tree
from analysis.schema import OBSERVATION, SCHEMA_VERSION

if TYPE_CHECKING:
    # Imported where they are used: each worker of ingestion would wait for them in vain.
    import duckdb
    import pandas as pd

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

_MEMORY = "600MB"

_META = b"workbook"
_SUFFIX = ".parquet"
_TEMPORARY = ".part"
_MANY_ROWS = 1000  # from here on a file is packed harder
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
    columns = zip(*rows, strict=True) if rows else [() for _ in OBSERVATION]
    arrays = [
        _array(values, column.type) for values, column in zip(columns, OBSERVATION, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=OBSERVATION)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if not (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)):
        return pa.array(values, kind)
    offsets = pa.array([0, *accumulate(map(len, values))], pa.int32())
    items = list(chain.from_iterable(values))
    struct = kind.value_type
    children = zip(*items, strict=True) if items else [() for _ in range(struct.num_fields)]
    arrays = [pa.array(child, struct[index].type) for index, child in enumerate(children)]
    return pa.ListArray.from_arrays(
        offsets, pa.StructArray.from_arrays(arrays, fields=list(struct))
    )


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

    def source_ids(self) -> list[str]:
        """The sources that the store holds observations of."""
        return self._tree.folders(FOLDER)

    def keys(self, source_id: str, probe_cc: str) -> list[str]:
        """The keys of a country's objects that have a file, sorted."""
        files = self._tree.files(_name(source_id))
        keys = (name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))
        return sorted(key for key in keys if archive.holds_country(key, probe_cc))

    def provenance(self, source_id: str, key: str) -> Provenance | None:
        """What a file was made from; None where there is none that can be used."""
        try:
            with self._tree.open_input(_name(source_id, f"{key}{_SUFFIX}")) as stream:
                metadata = pq.read_metadata(stream).metadata or {}
            return Provenance(**json.loads(metadata[_META]))
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException):
            return None

    def size(self, source_id: str, key: str) -> int | None:
        """Bytes of a file; None where there is none."""
        return self._tree.size(_name(source_id, f"{key}{_SUFFIX}"))

    def read(self, source_id: str, key: str) -> bytes:
        """A file as it is."""
        return self._tree.read(_name(source_id, f"{key}{_SUFFIX}"))

    def write(self, source_id: str, key: str) -> "FileWriter":
        """Begin the file of one object."""
        return FileWriter(_Replacement(self._tree, _name(source_id, f"{key}{_SUFFIX}")))

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

    def _replace(self, name: str, blocks: Iterable[bytes]) -> None:
        with _Replacement(self._tree, name) as replacement:
            for block in blocks:
                replacement.stream.write(block)
            replacement.commit()

    def remove_leftovers(self, source_id: str) -> None:
        """Remove the temporary files of killed runs; those of running ones stay."""
        if not self.is_local:
            return
        for path in Path(self._tree.path(_name(source_id))).rglob(f".*{_TEMPORARY}"):
            if _is_abandoned(path):
                path.unlink(missing_ok=True)


def _name(source_id: str, name: str = "") -> str:
    return f"{FOLDER}/{source_id}/{name}" if name else f"{FOLDER}/{source_id}"


class _Replacement:
    """A file that takes its place when it is whole, or never."""

    def __init__(self, tree: Tree, name: str) -> None:
        self._tree = tree
        self._name = self._temporary = name
        if tree.is_local:
            folder, _, base = name.rpartition("/")
            owner = f"{_machine()}-{os.getpid()}-{uuid4().hex[:8]}"
            self._temporary = f"{folder}/.{base}.{owner}{_TEMPORARY}"
        self.stream = tree.open_output(self._temporary)
        self._is_done = False

    def __enter__(self) -> "_Replacement":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_done and self._tree.is_local:  # an unclosed upload to S3 never appears
            self.stream.close()
            Path(self._tree.path(self._temporary)).unlink(missing_ok=True)

    def commit(self) -> None:
        """Let the file appear."""
        self.stream.close()
        if self._tree.is_local:
            Path(self._tree.path(self._temporary)).replace(self._tree.path(self._name))
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

    def __init__(self, replacement: _Replacement) -> None:
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
            # Some hundred columns of a few rows each: setting zstd up for each takes longer than
            # all the rest, and saves a tenth of the space.
            self._writer = pq.ParquetWriter(
                self._replacement.stream,
                OBSERVATION,
                compression="zstd" if row_count >= _MANY_ROWS else "snappy",
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
    """

    store: Store = field(compare=False)
    source_id: str
    files: tuple[Provenance, ...]
    not_read: tuple[NotRead, ...] = ()

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

    def open(self, probe_cc: str, period: Period, threads: int | None = None) -> "Observations":
        """A connection with the country's observations of a period, each measurement once."""
        return Observations(self, probe_cc, period, threads or os.cpu_count() or 1)


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


class Observations:
    """The observations that a report is about.

    ``connection`` holds the table ``observations``: the columns of ``schema.OBSERVATION`` and
    ``object_key``, one row a measurement (identity: report_id, input, measurement_start_time),
    in no order. It lives in a temporary file and goes with
    :meth:`close`, or when the object does.
    """

    def __init__(self, collection: Collection, probe_cc: str, period: Period, threads: int) -> None:
        self._collection = collection
        self._folder = tempfile.TemporaryDirectory(prefix="observations-")
        self.connection = connect(Path(self._folder.name) / "observations.duckdb", threads)
        # What does not fit goes to the temporary folder, so that a small machine can judge a year.
        self.connection.execute(f"SET memory_limit = '{_MEMORY}'")
        self._counts = _load(self.connection, collection, probe_cc, period, self._folder.name)

    def __enter__(self) -> "Observations":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection and its file."""
        self.connection.close()
        self._folder.cleanup()

    def ledger(self) -> "pd.DataFrame":
        """What became of every line of every object.

        Returns:
            One row a reason (``reason, line_count``): all of :data:`REASONS` in order, then the
            ``invalid:<why>`` that occur, sorted, then ``total``.

        Raises:
            ContractError: the reasons do not add up to the lines.
        """
        details: dict[str, int] = {}
        for file in self._collection.files:
            for reason, count in file.ledger.items():
                details[reason] = details.get(reason, 0) + count
        invalid = {k: v for k, v in sorted(details.items()) if k.startswith("invalid:")}
        counts = {**details, **self._counts, "invalid": sum(invalid.values())}
        rows = {reason: counts.get(reason, 0) for reason in REASONS}
        total = sum(rows.values())
        expected = sum(f.row_count + sum(f.ledger.values()) for f in self._collection.files)
        if total != expected:
            raise ContractError(f"the ledger has {total} lines, the objects have {expected}")
        import pandas as pd

        table = {**rows, **invalid, "total": total}
        return pd.DataFrame({"reason": list(table), "line_count": list(table.values())})

    def objects_not_read(self) -> "pd.DataFrame":
        """One row an object that could not be read at all: ``key, why``, sorted by key."""
        import pandas as pd

        items = self._collection.not_read
        return pd.DataFrame(
            {"key": [i.key for i in items], "why": [i.why for i in items]}, dtype="str"
        )


def connect(database: Path | str = ":memory:", threads: int = 1) -> "duckdb.DuckDBPyConnection":
    """A DuckDB connection whose answers do not depend on the machine's settings."""
    import duckdb

    connection = duckdb.connect(str(database))
    connection.execute(f"SET threads = {int(threads)}")
    # Rows come in any order, and every query that cares says which: keeping that of the files makes
    # each table twice as dear.
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def observations_from_table(table: pa.Table, threads: int = 1) -> "duckdb.DuckDBPyConnection":
    """A connection with the table ``observations`` made of rows at hand.

    ``table`` has the columns of ``schema.OBSERVATION`` and any others, which are kept. No row is
    left out.
    """
    connection = connect(threads=threads)
    connection.register("rows_at_hand", table)
    connection.execute("CREATE TABLE observations AS SELECT * FROM rows_at_hand")
    connection.unregister("rows_at_hand")
    return connection


def _load(
    connection: "duckdb.DuckDBPyConnection",
    collection: Collection,
    probe_cc: str,
    period: Period,
    scratch: str,
) -> dict[str, int]:
    """Make the table ``observations``; returns the ledger's counts of the rows left out."""
    paths = _local_paths(collection, scratch)
    names = pa.table({"filename": list(paths), "object_key": list(paths.values())})
    connection.register("object_names", names)
    connection.execute("CREATE TEMP TABLE object AS SELECT * FROM object_names")
    connection.unregister("object_names")
    connection.execute("SET parquet_metadata_cache = true")
    scope = {
        "files": [_without_glob(path) for path in paths],
        "cc": probe_cc,
        "since": period.since,
        "until": period.until,
    }
    connection.execute(_SURPLUS, scope)
    connection.execute(_OBSERVATIONS, scope)
    counts = connection.execute(_COUNTS, scope).fetchall()[0]
    return dict(zip(REASONS[4:], map(int, counts), strict=True))


_ROWS = "read_parquet($files, filename = true)"
_IN_COUNTRY = "probe_cc = $cc"
_IN_PERIOD = (
    "(measurement_start_time >= $since::TIMESTAMP AND measurement_start_time < $until::TIMESTAMP)"
)

# Most measurements occur once. Repeated identities are found on the narrow columns, so that only
# their rows are ranked.
_SURPLUS = f"""
CREATE TEMP TABLE surplus AS
WITH scoped AS (
    SELECT filename, line_number, report_id, input, measurement_start_time
    FROM {_ROWS} WHERE {_IN_COUNTRY} AND {_IN_PERIOD}
), repeated AS (
    SELECT report_id, input, measurement_start_time FROM scoped
    GROUP BY ALL HAVING count(*) > 1
), ranked AS (
    SELECT filename, line_number, row_number() OVER (
        PARTITION BY report_id, input, measurement_start_time ORDER BY object_key, line_number
    ) AS place
    FROM scoped
    SEMI JOIN repeated USING (report_id, input, measurement_start_time)
    JOIN object USING (filename)
)
SELECT filename, line_number FROM ranked WHERE place > 1
"""

_OBSERVATIONS = f"""
CREATE TABLE observations AS
SELECT rows.* EXCLUDE (filename), object.object_key
FROM {_ROWS} AS rows
JOIN object USING (filename)
ANTI JOIN surplus USING (filename, line_number)
WHERE {_IN_COUNTRY} AND {_IN_PERIOD}
"""

_COUNTS = f"""
SELECT
    count(*) FILTER (NOT {_IN_COUNTRY}),
    count(*) FILTER ({_IN_COUNTRY} AND NOT {_IN_PERIOD}),
    (SELECT count(*) FROM surplus),
    (SELECT count(*) FROM observations)
FROM {_ROWS}
"""


def _local_paths(collection: Collection, scratch: str) -> dict[str, str]:
    """Paths that DuckDB can read, with the key of the object that each was made from."""
    store, paths = collection.store, {}
    for index, file in enumerate(collection.files):
        path = store.path(collection.source_id, file.key)
        if not store.is_local:
            # DuckDB would need an extension, fetched from the network, to read S3 itself.
            path = f"{scratch}/{index}{_SUFFIX}"
            Path(path).write_bytes(store.read(collection.source_id, file.key))
        paths[path] = file.key
    return paths


def _without_glob(path: str) -> str:
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", path)
