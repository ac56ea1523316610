"""A study's observations, the first of its stages: all rows in one table.

A store holds a small file for each archive object, thousands of them for a year, and opening them
all takes longer than any question that is asked of them. So a study's rows are written once more
into one table, which each notebook opens. It is kept as the tables of other stages are, under a
name that says all that went into it: where the store has grown, or is read with other fingerprints,
another one is made.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import accumulate
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ContractError, SourceError
from analysis.observations.flags import DISJOINT_SQL
from analysis.observations.schema import SCHEMA_VERSION
from analysis.period import Period
from analysis.store.checksums import digest_file, read_metadata
from analysis.store.collection import Collection
from analysis.store.connections import connect, limit_memory
from analysis.store.kept_tables import FOLDER, KeptTables

_STAGE = "observations"
#: What says how rows are chosen and written, as it was imported.
_MADE_BY = [digest_file(Path(__file__)), DISJOINT_SQL, duckdb.__version__]
_STALE_AFTER = 24 * 3600  # seconds after which a bucket's file that another one has replaced goes


def provide_observations(
    kept: KeptTables,
    connection: duckdb.DuckDBPyConnection,
    collection: Collection,
    probe_cc: str,
    period: Period,
    scratch: Path,
) -> str:
    """Let a connection find a study's rows, made now or earlier; returns the catalog they are in.

    It has ``observations``: the columns of ``schema.OBSERVATION``, ``object_key`` and ``row_id``,
    the place among all rows of the collection; ``reasons``, how many of these were kept and left
    out (``reason, line_count``); and ``duplicates`` (``month, flag, line_count``).

    Of several processes that need them one makes them. Where the store is a bucket, whoever makes
    them puts them there, and the others fetch them.

    Args:
        kept: the stages of the study, see ``name_study``.
        connection: in which they are found.
        collection, probe_cc, period: what the study is of.
        scratch: a folder to work in.

    Raises:
        SourceError: there is no room for them.
        ContractError: a file of the store is damaged.
    """
    catalog = kept.catalog(_STAGE, _MADE_BY)
    if not collection.store.is_local:
        _fetch(collection, f"{kept.study}.{catalog}.", kept.folders[0])
    if kept.find(connection, _STAGE, _MADE_BY):
        return catalog
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    # One of its own: DuckDB keeps what it knows of thousands of files, and counts it.
    with closing(connect(scratch / "writing.duckdb", int(threads))) as writing:
        limit_memory(writing, 0)
        make = partial(_make_tables, writing, collection, probe_cc, period, scratch)
        with explain_failures():
            kept.provide(writing, _STAGE, _MADE_BY, make)
    if not kept.find(connection, _STAGE, _MADE_BY):
        raise SourceError("the observations went as soon as they were written")
    if not collection.store.is_local:
        _hand_on(collection, _name_scope(collection, probe_cc, period), kept.folders[0])
    return catalog


def _fetch(collection: Collection, start: str, folder: Path) -> None:
    """Fetch from a bucket what is there: most questions read all of it."""
    folder.mkdir(exist_ok=True)
    with suppress(OSError):
        for name in collection.store.files(FOLDER):
            if name.startswith(start) and "/" not in name:
                collection.store.fetch(f"{FOLDER}/{name}", str(folder / name))


def _hand_on(collection: Collection, scope: str, folder: Path) -> None:
    """Put what was made into the bucket, for whoever asks next; others may own that."""
    with suppress(SourceError, OSError):
        for path in folder.glob(f"{scope}-*"):
            name = f"{FOLDER}/{path.name}"
            collection.store.put(str(path), name)
            collection.store.remove_older(FOLDER, f"{scope}-", name, _STALE_AFTER)


def name_study(collection: Collection, probe_cc: str, period: Period) -> str:
    """What a study is called by all that its rows are made from."""
    return f"{_name_scope(collection, probe_cc, period)}-{_digest_inputs(collection)}"


def _name_scope(collection: Collection, probe_cc: str, period: Period) -> str:
    return f"{probe_cc}-{period.since}-{period.until}-{collection.source_id}"


def _digest_inputs(collection: Collection) -> str:
    files = sorted([f.key, f.size, f.sha256, f.fingerprints] for f in collection.files)
    excerpt = collection.excerpt and collection.names()
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

    Its columns are those of ``schema.OBSERVATION`` and ``object_key``; those of ``numbered_row``
    besides ``row_id``, the place of each among all rows.

    Raises:
        ContractError: a file is not as it was written.
    """
    paths = _local_files(collection, scratch)
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute(_MACROS)
    connection.register("object_names", _describe_files(collection, paths))
    connection.execute("CREATE OR REPLACE TEMP TABLE object AS SELECT * FROM object_names")
    connection.unregister("object_names")
    _number_rows(connection, "numbered_row", list(map(str, paths)))
    connection.execute(_EVERY_ROW)


def _number_rows(connection: duckdb.DuckDBPyConnection, name: str, paths: list[str]) -> None:
    """Make a view of the rows of some files, with their numbers."""
    connection.read_parquet(
        [without_glob(path) for path in paths], filename=True, file_row_number=True
    ).create_view(f"{name}_of_file", replace=True)
    connection.execute(_NUMBERED_ROWS.format(name=name))


def _local_files(collection: Collection, scratch: Path) -> list[Path]:
    """The files that hold the rows, where DuckDB can read them."""
    names = collection.names()
    # DuckDB would need an extension, fetched from the network, to read S3 itself.
    paths = collection.store.local_paths(names, scratch)
    for name, path in zip(names, paths, strict=True):
        if read_metadata(path) is None:
            where = collection.store.path(name)
            raise ContractError(f"{where} is damaged or gone: delete it and run again")
    return paths


def _describe_files(collection: Collection, paths: list[Path]) -> pa.Table:
    """One row a file: its ``filename``; ``first_row``, the rows in those before it, and
    ``end_row``, with its own; and, where it does not say so itself, the ``object_key`` of its rows.
    """
    if collection.excerpt:
        counts = [pq.read_metadata(path).num_rows for path in paths]
        keys = {}
    else:
        counts = [file.row_count for file in collection.files]
        keys = {"object_key": [file.key for file in collection.files]}
    rows = list(accumulate(counts, initial=0))
    names = list(map(str, paths))
    return pa.table({"filename": names, "first_row": rows[:-1], "end_row": rows[1:], **keys})


def without_glob(path: str) -> str:
    """A path that DuckDB takes as it is."""
    return re.sub(r"[*?\[]", lambda character: f"[{character[0]}]", path)


def _make_tables(
    connection: duckdb.DuckDBPyConnection,
    collection: Collection,
    probe_cc: str,
    period: Period,
    scratch: Path,
    catalog: str,
) -> None:
    """Make the tables of ``provide_observations``."""
    add_every_row(connection, collection, scratch)
    scope = {"cc": probe_cc, "since": period.since, "until": period.until}
    connection.execute(_SCOPED_ROWS, scope)
    _find_repeated(connection)
    connection.execute(f"CREATE TABLE {catalog}.duplicates AS {_DUPLICATES}")
    connection.execute(f"CREATE TABLE {catalog}.reasons AS {_REASONS}")
    connection.execute("DROP TABLE scoped_row")
    connection.execute(f"CREATE TABLE {catalog}.observations AS {_OBSERVATIONS}", scope)


def _find_repeated(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``repeated_row``: all rows of an identity but the first. Most occur once: only the files
    that may hold others are read for it."""
    connection.execute(_LIKELY_ROWS)
    files = connection.execute(_LIKELY_FILES).fetchall()
    if not files:  # any will do, as none of its rows is likely
        files = connection.execute("SELECT filename FROM object LIMIT 1").fetchall()
    _number_rows(connection, "row_at_hand", [name for (name,) in files])
    connection.execute(_REPEATED_ROWS)
    connection.execute("DROP TABLE likely_row")


_NUMBERED_ROWS = """
CREATE OR REPLACE TEMP VIEW {name} AS
SELECT * EXCLUDE (filename, file_row_number, first_row, end_row),
    (first_row + file_row_number)::UINTEGER AS row_id
FROM {name}_of_file JOIN object USING (filename)
"""

_EVERY_ROW = """
CREATE OR REPLACE TEMP VIEW every_row AS SELECT * EXCLUDE (row_id) FROM numbered_row
"""

_MACROS = f"""
CREATE OR REPLACE TEMP MACRO is_in_period(start_time, since, until) AS
    start_time >= since::TIMESTAMP AND start_time < until::TIMESTAMP;
CREATE OR REPLACE TEMP MACRO disjoint_flag(is_failure, is_confirmed, is_anomaly) AS
    {DISJOINT_SQL};
"""

# What is asked of every row before any is written: to go through thousands of files takes long.
_SCOPED_ROWS = """
CREATE OR REPLACE TEMP TABLE scoped_row AS
SELECT row_id, hash(report_id, input, measurement_start_time) AS number, probe_cc = $cc AS is_own,
    is_in_period(measurement_start_time, $since, $until) AS is_inside
FROM numbered_row
"""

# Repeated identities are looked for by a number that stands for each.
_LIKELY_ROWS = """
CREATE OR REPLACE TEMP TABLE likely_row AS
WITH likely AS (
    SELECT number FROM scoped_row WHERE is_own AND is_inside GROUP BY number HAVING count(*) > 1
)
SELECT row_id FROM scoped_row SEMI JOIN likely USING (number) WHERE is_own AND is_inside
"""

_LIKELY_FILES = """
SELECT DISTINCT filename FROM likely_row JOIN object ON row_id >= first_row AND row_id < end_row
ORDER BY filename
"""

_REPEATED_ROWS = """
CREATE OR REPLACE TEMP TABLE repeated_row AS
WITH ranked AS (
    SELECT row_id, measurement_start_time,
        disjoint_flag(is_failure, is_confirmed, is_anomaly) AS flag, row_number() OVER (
            PARTITION BY report_id, input, measurement_start_time ORDER BY object_key, line_number
        ) AS occurrence
    FROM row_at_hand JOIN likely_row USING (row_id)
)
SELECT row_id, measurement_start_time, flag FROM ranked WHERE occurrence > 1
"""

_DUPLICATES = """
SELECT strftime(measurement_start_time, '%Y-%m') AS month, flag, count(*) AS line_count
FROM repeated_row GROUP BY ALL
"""

_OBSERVATIONS = """
SELECT numbered_row.* FROM numbered_row ANTI JOIN repeated_row USING (row_id)
WHERE probe_cc = $cc AND is_in_period(measurement_start_time, $since, $until)
"""

_REASONS = """
SELECT CASE WHEN NOT is_own THEN 'other_country' WHEN NOT is_inside THEN 'out_of_period'
    WHEN r.row_id IS NOT NULL THEN 'duplicate' ELSE 'kept' END AS reason,
  count(*) AS line_count
FROM scoped_row s LEFT JOIN repeated_row r ON r.row_id = s.row_id
GROUP BY ALL
"""
