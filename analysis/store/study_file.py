"""A study's observations in one file: ``STORE/studies/<study>-<digest>.parquet``.

A store holds a small file for each archive object, thousands of them for a year, and opening them
all takes longer than any question that is asked of them. So a study's rows are written once more
into one file, which each notebook opens. It is named by all that went into it: where the store has
grown, or is read with other fingerprints, another one is made. One that is damaged is made again.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ContractError, SourceError
from analysis.observations.flags import DISJOINT_SQL
from analysis.observations.schema import SCHEMA_VERSION
from analysis.period import Period
from analysis.store.checksums import BLANK_CHECKSUM, CHECKSUM_KEY, read_metadata, set_checksum
from analysis.store.collection import Collection
from analysis.store.provenance import REASONS
from analysis.store.store import make_alone

FOLDER = "studies"
#: Where a study's file says what was left out of it. One without it is made again: the name
#: changes with what it holds.
_LEFT_OUT = "workbook_left_out"
#: Rows of a group of a study's file: of twice as many DuckDB gives blocks back and takes others,
#: which takes a third longer, and the file is a sixth smaller.
_ROW_COUNT = 61_440
_STALE_AFTER = 24 * 3600  # seconds after which a file that another one has replaced is removed


def prepare_study(
    connection: duckdb.DuckDBPyConnection,
    collection: Collection,
    probe_cc: str,
    period: Period,
    scratch: Path,
) -> Path:
    """Where the study's file is, which is made where it is not there yet.

    Where the store is no folder, or cannot be written, it is made in ``scratch``. Of several
    processes that need it one makes it.

    Raises:
        SourceError: there is no room for it.
        ContractError: a file of the store is damaged.
    """
    name = f"{FOLDER}/{name_study(collection, probe_cc, period)}.parquet"
    store, in_scratch = collection.store, scratch / "study.parquet"
    path = Path(store.path(name)) if store.is_local else in_scratch
    if not store.is_local:
        with suppress(OSError):  # fetched once for all questions: each of them reads most of it
            store.fetch(name, str(path))
    lock = path.with_name(f".{path.name}.lock")
    if _is_whole(path):
        with suppress(OSError):
            lock.unlink(missing_ok=True)  # of a run that was killed
        return path
    with make_alone(lock) if store.is_local else nullcontext(), explain_failures():
        if _is_whole(path):
            return path
        add_every_row(connection, collection, scratch)
        try:
            if store.is_local:
                with store.write(name) as written:
                    _write_study(connection, probe_cc, period, written)
            else:
                _write_study(connection, probe_cc, period, path)
                store.put(str(path), name)
            study = _name_scope(collection, probe_cc, period)
            store.remove_older(FOLDER, f"{study}-", name, _STALE_AFTER)
        except (SourceError, OSError, duckdb.IOException):  # others own the store, or it is full
            if not _is_whole(path):
                path = in_scratch
                _write_study(connection, probe_cc, period, path)
    return path


def name_study(collection: Collection, probe_cc: str, period: Period) -> str:
    """What a study is called by all that its rows are made from."""
    return f"{_name_scope(collection, probe_cc, period)}-{_digest_inputs(collection)}"


def _name_scope(collection: Collection, probe_cc: str, period: Period) -> str:
    return f"{probe_cc}-{period.since}-{period.until}-{collection.source_id}"


def read_left_out(study_file: Path) -> dict[str, Any]:
    """What was left out of a study's file: the ledger's counts of rows, and the duplicates."""
    left_out: dict[str, Any] = json.loads(pq.read_metadata(study_file).metadata[_LEFT_OUT.encode()])
    return left_out


def _is_whole(path: Path) -> bool:
    return _LEFT_OUT.encode() in (read_metadata(path) or {})


def _digest_inputs(collection: Collection) -> str:
    files = sorted([f.key, f.size, f.sha256, f.fingerprints] for f in collection.files)
    excerpt = collection.excerpt and [name for name, _ in collection.names()]
    return hashlib.sha256(json.dumps([SCHEMA_VERSION, files, excerpt]).encode()).hexdigest()[:16]


@contextmanager
def explain_failures() -> Iterator[None]:
    """Say it in one sentence where DuckDB could not read or write.

    Raises:
        SourceError: in DuckDB's words.
    """
    try:
        yield
    except duckdb.OperationalError as error:
        said = str(error).splitlines()[0]
        raise SourceError(f"the observations cannot be written to one file: {said}") from None


def add_every_row(
    connection: duckdb.DuckDBPyConnection, collection: Collection, scratch: Path
) -> None:
    """Make the view ``every_row``: all rows of a collection; and the macros that choose of them.

    Its columns are those of ``schema.OBSERVATION`` and ``object_key``.

    Raises:
        ContractError: a file is not as it was written.
    """
    keys = _local_files(collection, scratch)
    paths = list(map(without_glob, keys))
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute(_MACROS)
    if collection.excerpt:
        connection.read_parquet(paths).create_view("every_row", replace=True)
        return
    connection.read_parquet(paths, filename=True).create_view("every_file_row", replace=True)
    names = pa.table({"filename": list(keys), "object_key": list(keys.values())})
    connection.register("object_names", names)
    connection.execute("CREATE OR REPLACE TEMP TABLE object AS SELECT * FROM object_names")
    connection.unregister("object_names")
    connection.execute(_ROWS_OF_OBJECTS)


def _local_files(collection: Collection, scratch: Path) -> dict[str, str]:
    """Paths that DuckDB can read, with the key of the object that each was made from."""
    names, keys = zip(*collection.names(), strict=True)
    # DuckDB would need an extension, fetched from the network, to read S3 itself.
    paths = collection.store.local_paths(names, scratch)
    for name, path in zip(names, paths, strict=True):
        if read_metadata(path) is None:
            where = collection.store.path(name)
            raise ContractError(f"{where} is damaged or gone: delete it and run again")
    return dict(zip(map(str, paths), keys, strict=True))


def without_glob(path: str) -> str:
    """A path that DuckDB takes as it is."""
    return re.sub(r"[*?\[]", lambda character: f"[{character[0]}]", path)


def _write_study(
    connection: duckdb.DuckDBPyConnection, probe_cc: str, period: Period, path: Path
) -> None:
    """Write the rows of a study, with the ledger's counts of those left out."""
    scope = {"cc": probe_cc, "since": period.since, "until": period.until}
    connection.execute(_REPEATED_ROWS, scope)
    (counted,) = connection.execute(_COUNTS, scope).fetchall()
    ledger = dict(zip(REASONS[4:], map(int, counted), strict=True))
    duplicates = connection.execute(_DUPLICATES).fetchall()
    left_out = json.dumps({"ledger": ledger, "duplicates": duplicates})
    metadata = {_LEFT_OUT: left_out}
    write_parquet(connection, _OBSERVATIONS, scope, path, metadata, row_count=_ROW_COUNT)


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    scope: Mapping[str, object],
    path: Path,
    metadata: Mapping[str, str] | None = None,
    level: int = 3,
    row_count: int = 122_880,
) -> None:
    """Write the rows of a query into a file with a checksum: the same rows, the same bytes.

    ``scope`` are the query's parameters; ``path`` is known to nobody else yet; ``level`` is zstd's;
    ``row_count`` are the rows of a group, which are held until they are written.
    """
    parameters = {
        **scope,
        "path": str(path),
        "metadata": {**(metadata or {}), CHECKSUM_KEY: BLANK_CHECKSUM},
        "level": level,
        "row_count": row_count,
    }
    with _in_order(connection):
        connection.execute(f"COPY ({query}) TO $path ({_FORMAT})", parameters)
    set_checksum(path)


@contextmanager
def _in_order(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let rows come as the query has them, and columns be declared alike whatever is in them."""
    # Rows of several threads come in any order. One thread that keeps the order is quicker than
    # two that have to put it right, and holds no more than a row group.
    ((threads, disabled),) = connection.execute(_SETTINGS).fetchall()
    connection.execute("SET threads = 1; SET preserve_insertion_order = true")
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {threads}; SET preserve_insertion_order = false")
        connection.execute(f"SET disabled_optimizers = '{disabled}'")


_SETTINGS = "SELECT current_setting('threads'), current_setting('disabled_optimizers')"

# A temporary file of DuckDB's own would outlive a kill.
_FORMAT = """
FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL $level, ROW_GROUP_SIZE $row_count,
USE_TMP_FILE false, KV_METADATA $metadata
"""

_ROWS_OF_OBJECTS = """
CREATE OR REPLACE TEMP VIEW every_row AS
SELECT every_file_row.* EXCLUDE (filename), object.object_key
FROM every_file_row JOIN object USING (filename)
"""

_MACROS = f"""
CREATE OR REPLACE TEMP MACRO is_in_period(start_time, since, until) AS
    start_time >= since::TIMESTAMP AND start_time < until::TIMESTAMP;
CREATE OR REPLACE TEMP MACRO disjoint_flag(is_failure, is_confirmed, is_anomaly) AS
    {DISJOINT_SQL};
"""

# Most measurements occur once. Repeated identities are looked for in the narrow columns, first by
# a number that stands for each, so that only their rows are ranked and few names are held.
_REPEATED_ROWS = """
CREATE OR REPLACE TEMP TABLE repeated_row AS
WITH scoped AS (
    SELECT object_key, line_number, report_id, input, measurement_start_time,
        hash(report_id, input, measurement_start_time) AS number,
        disjoint_flag(is_failure, is_confirmed, is_anomaly) AS flag
    FROM every_row
    WHERE probe_cc = $cc AND is_in_period(measurement_start_time, $since, $until)
), likely AS (
    SELECT number FROM scoped GROUP BY number HAVING count(*) > 1
), repeated AS (
    SELECT report_id, input, measurement_start_time FROM scoped SEMI JOIN likely USING (number)
    GROUP BY ALL HAVING count(*) > 1
), ranked AS (
    SELECT object_key, line_number, measurement_start_time, flag, row_number() OVER (
        PARTITION BY report_id, input, measurement_start_time ORDER BY object_key, line_number
    ) AS occurrence
    FROM scoped
    SEMI JOIN repeated USING (report_id, input, measurement_start_time)
)
SELECT object_key, line_number, measurement_start_time, flag FROM ranked WHERE occurrence > 1
"""

_DUPLICATES = """
SELECT strftime(measurement_start_time, '%Y-%m') AS month, flag, count(*)
FROM repeated_row GROUP BY ALL ORDER BY ALL
"""

_OBSERVATIONS = """
SELECT every_row.* FROM every_row
ANTI JOIN repeated_row USING (object_key, line_number)
WHERE probe_cc = $cc AND is_in_period(measurement_start_time, $since, $until)
"""

_COUNTS = """
WITH classified AS (
    SELECT probe_cc = $cc AS is_of_country,
        is_in_period(measurement_start_time, $since, $until) AS is_of_period
    FROM every_row
)
SELECT
    count(*) FILTER (NOT is_of_country),
    count(*) FILTER (is_of_country AND NOT is_of_period),
    (SELECT count(*) FROM repeated_row),
    count(*) FILTER (is_of_country AND is_of_period) - (SELECT count(*) FROM repeated_row)
FROM classified
"""
