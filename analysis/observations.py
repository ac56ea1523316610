"""The observations of one study: a country, a period, each measurement once.

A store holds a small file for each archive object, thousands of them for a year, and opening them
all takes longer than any question that is asked of them. So they are packed once into one file
beside them, ``STORE/packs/…parquet``, and each notebook opens that. A pack is named by all that
went into it: where the store has grown, or is read with other fingerprints, another one is made.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ContractError
from analysis.flags import DISJOINT_SQL
from analysis.period import Period
from analysis.schema import SCHEMA_VERSION
from analysis.store import REASONS, Collection, Store

FOLDER = "packs"

#: What DuckDB may hold, in MB: with Python and pandas a year of a country stays below 1 GB where
#: two threads work. Each further one holds blocks of its own.
_MEMORY = 300
_ROWS_PER_MB = 8_000
_MEMORY_PER_THREAD = 40
#: Where a pack keeps what was left out of it. A pack without it is made again: the name changes
#: with what it holds.
_META = "workbook_left_out"
_STALE_AFTER = 24 * 3600  # seconds after which a pack that another one has replaced is removed


class Observations:
    """The observations that a report is about.

    ``connection`` holds the view ``observations``: the columns of ``schema.OBSERVATION`` and
    ``object_key``, one row a measurement (identity: report_id, input, measurement_start_time),
    in no order. It works in a temporary folder, which goes with :meth:`close` or with the object.
    """

    def __init__(
        self, collection: Collection, probe_cc: str, period: Period, threads: int | None = None
    ) -> None:
        self._collection = collection
        self._folder = tempfile.TemporaryDirectory(prefix="observations-")
        scratch = Path(self._folder.name)
        self.connection = connect(scratch / "observations.duckdb", threads or os.cpu_count() or 1)
        limit_memory(self.connection, 0)
        pack = _pack(self.connection, collection, probe_cc, period, scratch)
        left_out = json.loads((pq.read_metadata(pack).metadata or {})[_META.encode()])
        self._counts, self._duplicates = left_out["ledger"], left_out["duplicates"]
        limit_memory(self.connection, self._counts["kept"])
        self.connection.execute(
            f"CREATE VIEW observations AS SELECT * FROM read_parquet({_quoted(pack)})"
        )

    def __enter__(self) -> "Observations":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection and what it made on the way."""
        self.connection.close()
        self._folder.cleanup()

    def ledger(self) -> pd.DataFrame:
        """What became of every line of every object.

        Returns:
            One row a reason (``reason, line_count``): all of :data:`store.REASONS` in order, then
            the ``invalid:<why>`` that occur, sorted, then ``total``.

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
        table = {**rows, **invalid, "total": total}
        return pd.DataFrame({"reason": list(table), "line_count": list(table.values())})

    def duplicates(self) -> pd.DataFrame:
        """The lines left out as duplicates: ``month, flag, line_count``, sorted.

        ``flag`` is the one of :data:`flags.DISJOINT` under which OONI would count the line.
        """
        return pd.DataFrame(self._duplicates, columns=["month", "flag", "line_count"])

    def objects_not_read(self) -> pd.DataFrame:
        """One row an object that could not be read at all: ``key, why``, sorted by key."""
        items = self._collection.not_read
        return pd.DataFrame(
            {"key": [i.key for i in items], "why": [i.why for i in items]}, dtype="str"
        )


def connect(database: Path | str = ":memory:", threads: int = 1) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection whose answers do not depend on the machine's settings."""
    connection = duckdb.connect(str(database))
    connection.execute(f"SET threads = {int(threads)}")
    # Rows come in any order, and every query that cares says which: keeping that of the files makes
    # each table twice as dear.
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET TimeZone = 'UTC'")
    # The command line has a bar of its own. In a notebook there is none, and setting it fails.
    ((has_bar,),) = connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()
    if has_bar:
        connection.execute("SET enable_progress_bar = false")
    return connection


def limit_memory(connection: duckdb.DuckDBPyConnection, row_count: int) -> None:
    """Let what does not fit go to the connection's folder, so that a small machine will do.

    Names and hash tables cannot go there, so that many more rows need more.
    """
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    limit = max(_MEMORY, row_count // _ROWS_PER_MB) + _MEMORY_PER_THREAD * max(0, threads - 2)
    connection.execute(f"SET memory_limit = '{limit}MB'")


def observations_from_table(table: pa.Table, threads: int = 1) -> duckdb.DuckDBPyConnection:
    """A connection with the table ``observations`` made of rows at hand.

    ``table`` has the columns of ``schema.OBSERVATION`` and any others, which are kept. No row is
    left out.
    """
    connection = connect(threads=threads)
    connection.register("rows_at_hand", table)
    connection.execute("CREATE TABLE observations AS SELECT * FROM rows_at_hand")
    connection.unregister("rows_at_hand")
    return connection


def _pack(
    connection: duckdb.DuckDBPyConnection,
    collection: Collection,
    probe_cc: str,
    period: Period,
    scratch: Path,
) -> str:
    """The local path of the study's pack, which is made where the store has none yet.

    Where the store is no folder, or cannot be written, it lies in ``scratch``.
    """
    store = collection.store
    study = f"{probe_cc}-{period.since}-{period.until}-{collection.source_id}"
    files = sorted([f.key, f.size, f.sha256, f.fingerprints] for f in collection.files)
    digest = hashlib.sha256(json.dumps([SCHEMA_VERSION, files]).encode()).hexdigest()[:16]
    name = f"{FOLDER}/{study}-{digest}.parquet"
    path = scratch / "pack.parquet"

    def write(path: str) -> None:
        _write(connection, collection, probe_cc, period, path, scratch)

    try:
        if store.is_local:
            path = _kept_in_folder(store, name, write)
        else:
            _kept_in_bucket(store, name, write, path)
        store.remove_older(FOLDER, f"{study}-", name, _STALE_AFTER)
    except (OSError, duckdb.IOException):  # a store that others own, or a full disk
        if not _is_whole(path):
            write(str(path))
    return str(path)


def _kept_in_folder(store: Store, name: str, write: Callable[[str], None]) -> Path:
    path = Path(store.place(name))
    if not _is_whole(path):
        store.remove_leftovers(FOLDER)
        with store.replacement(name) as replacement:
            write(replacement.path)
            replacement.commit()
    return path


def _kept_in_bucket(store: Store, name: str, write: Callable[[str], None], path: Path) -> None:
    """Fetched once for all questions: each of them reads most of it."""
    with suppress(OSError):
        store.fetch(name, path)
    if not _is_whole(path):
        write(str(path))
        store.put(path, name)


def _is_whole(path: Path) -> bool:
    try:
        return _META.encode() in (pq.read_metadata(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _write(
    connection: duckdb.DuckDBPyConnection,
    collection: Collection,
    probe_cc: str,
    period: Period,
    path: str,
    scratch: Path,
) -> None:
    """Write a pack, with the counts of the rows left out in its metadata."""
    paths = _local_paths(collection, scratch)
    names = pa.table({"filename": list(paths), "object_key": list(paths.values())})
    connection.register("object_names", names)
    connection.execute("CREATE OR REPLACE TEMP TABLE object AS SELECT * FROM object_names")
    connection.unregister("object_names")
    connection.execute("SET parquet_metadata_cache = true")
    scope = {
        "files": [_without_glob(path) for path in paths],
        "cc": probe_cc,
        "since": period.since,
        "until": period.until,
    }
    connection.execute(_SURPLUS, scope)
    (counted,) = connection.execute(_COUNTS, scope).fetchall()
    ledger = dict(zip(REASONS[4:], map(int, counted), strict=True))
    duplicates = connection.execute(_DUPLICATES).fetchall()
    left_out = json.dumps({"ledger": ledger, "duplicates": duplicates})
    options = f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{_META}: {_quoted(left_out)}}}"
    connection.execute(f"COPY ({_OBSERVATIONS}) TO {_quoted(path)} ({options})", scope)


_ROWS = "read_parquet($files, filename = true)"
_IN_COUNTRY = "probe_cc = $cc"
_IN_PERIOD = (
    "(measurement_start_time >= $since::TIMESTAMP AND measurement_start_time < $until::TIMESTAMP)"
)

# Most measurements occur once. Repeated identities are found on the narrow columns, so that only
# their rows are ranked.
_SURPLUS = f"""
CREATE OR REPLACE TEMP TABLE surplus AS
WITH scoped AS (
    SELECT filename, line_number, report_id, input, measurement_start_time, {DISJOINT_SQL} AS flag
    FROM {_ROWS} WHERE {_IN_COUNTRY} AND {_IN_PERIOD}
), repeated AS (
    SELECT report_id, input, measurement_start_time FROM scoped
    GROUP BY ALL HAVING count(*) > 1
), ranked AS (
    SELECT filename, line_number, measurement_start_time, flag, row_number() OVER (
        PARTITION BY report_id, input, measurement_start_time ORDER BY object_key, line_number
    ) AS place
    FROM scoped
    SEMI JOIN repeated USING (report_id, input, measurement_start_time)
    JOIN object USING (filename)
)
SELECT filename, line_number, measurement_start_time, flag FROM ranked WHERE place > 1
"""

_DUPLICATES = """
SELECT strftime(measurement_start_time, '%Y-%m') AS month, flag, count(*)
FROM surplus GROUP BY ALL ORDER BY ALL
"""

_OBSERVATIONS = f"""
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
    count(*) FILTER ({_IN_COUNTRY} AND {_IN_PERIOD}) - (SELECT count(*) FROM surplus)
FROM {_ROWS}
"""


def _local_paths(collection: Collection, scratch: Path) -> dict[str, str]:
    """Paths that DuckDB can read, with the key of the object that each was made from."""
    store, source_id = collection.store, collection.source_id
    keys = [file.key for file in collection.files]
    if store.is_local:
        return {store.path(source_id, key): key for key in keys}
    # DuckDB would need an extension, fetched from the network, to read S3 itself.
    return dict(zip(store.fetch_files(source_id, keys, scratch), keys, strict=True))


def _without_glob(path: str) -> str:
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", path)


def _quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
