"""A study's observations in one file: ``STORE/packs/<study>-<digest>.parquet``.

A store holds a small file for each archive object, thousands of them for a year, and opening them
all takes longer than any question that is asked of them. So they are packed once, and each notebook
opens the pack. It is named by all that went into it: where the store has grown, or is read with
other fingerprints, another one is made. It is sealed, and made again where the seal is broken.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ContractError, SourceError
from analysis.observations.flags import DISJOINT_SQL
from analysis.observations.schema import SCHEMA_VERSION
from analysis.period import Period
from analysis.store import atomic_files
from analysis.store.collection import Collection
from analysis.store.provenance import REASONS
from analysis.store.store import Store

FOLDER = "packs"
#: Where a pack keeps what was left out of it. A pack without it is made again: the name changes
#: with what it holds.
_META = "workbook_left_out"
_STALE_AFTER = 24 * 3600  # seconds after which a pack that another one has replaced is removed


def pack_of(
    connection: duckdb.DuckDBPyConnection,
    collection: Collection,
    probe_cc: str,
    period: Period,
    scratch: Path,
) -> str:
    """The path of the study's pack, which is made where it is not there yet.

    Where the store is no folder, or cannot be written, it is made in ``scratch``.

    Raises:
        SourceError: there is no room for it.
        ContractError: a file of the store is damaged.
    """
    study = f"{probe_cc}-{period.since}-{period.until}-{collection.source_id}"
    name = f"{FOLDER}/{study}-{_inputs(collection)}.parquet"
    store, in_scratch = collection.store, scratch / "pack.parquet"
    pack = Path(store.path(name)) if store.is_local else in_scratch
    if not store.is_local:
        with suppress(OSError):  # fetched once for all questions: each of them reads most of it
            store.fetch(name, pack)
    if _is_whole(pack):
        return str(pack)
    write = partial(_write, connection, probe_cc, period)
    with saying():
        prepare(connection, collection, scratch)
        try:
            _keep(store, name, pack, write)
            store.remove_older(FOLDER, f"{study}-", name, _STALE_AFTER)
        except (SourceError, OSError, duckdb.IOException):  # others own the store, or it is full
            if not _is_whole(pack):
                pack = in_scratch
                write(pack)
    return str(pack)


def _keep(store: Store, name: str, pack: Path, write: Callable[[Path], None]) -> None:
    if store.is_local:
        store.remove_leftovers(FOLDER)
        with store.replacement(name) as replacement:
            write(Path(replacement.path))
            replacement.commit()
    else:
        write(pack)
        store.put(pack, name)


def left_out_of(pack: str) -> dict[str, Any]:
    """What was left out of a pack: the ledger's counts of rows, and the duplicates."""
    left_out: dict[str, Any] = json.loads(pq.read_metadata(pack).metadata[_META.encode()])
    return left_out


def _is_whole(path: Path) -> bool:
    return _META.encode() in (atomic_files.metadata_of_file(path) or {})


def _inputs(collection: Collection) -> str:
    files = sorted([f.key, f.size, f.sha256, f.fingerprints] for f in collection.files)
    excerpt = collection.excerpt and collection.excerpt.names
    return hashlib.sha256(json.dumps([SCHEMA_VERSION, files, excerpt]).encode()).hexdigest()[:16]


def prepare(connection: duckdb.DuckDBPyConnection, collection: Collection, scratch: Path) -> None:
    """Make the view ``every_row``: all rows of a collection.

    Its columns are those of ``schema.OBSERVATION`` and ``object_key``.

    Raises:
        ContractError: a file is not as it was written.
    """
    paths = _local_paths(collection, scratch)
    files = ", ".join(quoted(_without_glob(path)) for path in paths)
    query = f"SELECT * FROM read_parquet([{files}])"
    if not collection.excerpt:
        names = pa.table({"filename": list(paths), "object_key": list(paths.values())})
        connection.register("object_names", names)
        connection.execute("CREATE OR REPLACE TEMP TABLE object AS SELECT * FROM object_names")
        connection.unregister("object_names")
        query = f"""
            SELECT rows.* EXCLUDE (filename), object.object_key
            FROM read_parquet([{files}], filename = true) AS rows JOIN object USING (filename)
        """
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW every_row AS {query}")


@contextmanager
def saying() -> Iterator[None]:
    """Say it in one sentence where DuckDB could not read or write.

    Raises:
        SourceError: in DuckDB's words.
    """
    try:
        yield
    except duckdb.OperationalError as error:
        said = str(error).splitlines()[0]
        raise SourceError(f"the observations cannot be packed: {said}") from None


def _write(
    connection: duckdb.DuckDBPyConnection, probe_cc: str, period: Period, path: Path
) -> None:
    """Write a pack of ``every_row``, with the ledger's counts of the rows left out."""
    scope = {"cc": probe_cc, "since": period.since, "until": period.until}
    connection.execute(_SURPLUS, scope)
    (counted,) = connection.execute(_COUNTS, scope).fetchall()
    ledger = dict(zip(REASONS[4:], map(int, counted), strict=True))
    duplicates = connection.execute(_DUPLICATES).fetchall()
    left_out = json.dumps({"ledger": ledger, "duplicates": duplicates})
    write_parquet(connection, _OBSERVATIONS, scope, path, {_META: left_out})


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    scope: Mapping[str, object],
    path: Path,
    metadata: Mapping[str, str],
    options: str = "",
) -> None:
    """Write what a query finds into a sealed file: the same rows, the same bytes."""
    pairs = {**metadata, atomic_files.KEY: atomic_files.BLANK}.items()
    notes = ", ".join(f"{name}: {quoted(value)}" for name, value in pairs)
    # The file is known to nobody yet; a temporary one of DuckDB's own would outlive a kill.
    format_ = f"FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false, KV_METADATA {{{notes}}}"
    format_ += options
    copy = f"COPY ({query}) TO {quoted(str(path))} ({format_})"
    with _in_order(connection):
        connection.execute(copy, dict(scope))
    atomic_files.seal_file(path)


@contextmanager
def _in_order(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let rows come as the query has them, and columns be declared alike whatever is in them."""
    # Rows of several threads come in any order. One thread that keeps the order is quicker than
    # two that have to put it right, and holds no more than a row group.
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute("SET threads = 1; SET preserve_insertion_order = true")
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {threads}; SET preserve_insertion_order = false")
        connection.execute("SET disabled_optimizers = ''")


#: Whether a row is of the country, and of the period.
IN_COUNTRY = "probe_cc = $cc"
IN_PERIOD = (
    "(measurement_start_time >= $since::TIMESTAMP AND measurement_start_time < $until::TIMESTAMP)"
)

# Most measurements occur once. Repeated identities are found on the narrow columns, so that only
# their rows are ranked.
_SURPLUS = f"""
CREATE OR REPLACE TEMP TABLE surplus AS
WITH scoped AS (
    SELECT object_key, line_number, report_id, input, measurement_start_time,
        {DISJOINT_SQL} AS flag
    FROM every_row WHERE {IN_COUNTRY} AND {IN_PERIOD}
), repeated AS (
    SELECT report_id, input, measurement_start_time FROM scoped
    GROUP BY ALL HAVING count(*) > 1
), ranked AS (
    SELECT object_key, line_number, measurement_start_time, flag, row_number() OVER (
        PARTITION BY report_id, input, measurement_start_time ORDER BY object_key, line_number
    ) AS place
    FROM scoped
    SEMI JOIN repeated USING (report_id, input, measurement_start_time)
)
SELECT object_key, line_number, measurement_start_time, flag FROM ranked WHERE place > 1
"""

_DUPLICATES = """
SELECT strftime(measurement_start_time, '%Y-%m') AS month, flag, count(*)
FROM surplus GROUP BY ALL ORDER BY ALL
"""

_OBSERVATIONS = f"""
SELECT every_row.* FROM every_row
ANTI JOIN surplus USING (object_key, line_number)
WHERE {IN_COUNTRY} AND {IN_PERIOD}
"""

_COUNTS = f"""
SELECT
    count(*) FILTER (NOT {IN_COUNTRY}),
    count(*) FILTER ({IN_COUNTRY} AND NOT {IN_PERIOD}),
    (SELECT count(*) FROM surplus),
    count(*) FILTER ({IN_COUNTRY} AND {IN_PERIOD}) - (SELECT count(*) FROM surplus)
FROM every_row
"""


def _local_paths(collection: Collection, scratch: Path) -> dict[str, str]:
    """Paths that DuckDB can read, with the key of the object that each was made from."""
    store = collection.store
    names = [name for name, _ in collection.names()]
    if store.is_local:
        paths = [Path(store.path(name)) for name in names]
    else:
        # DuckDB would need an extension, fetched from the network, to read S3 itself.
        paths = store.fetch_all(names, scratch)
    for name, path in zip(names, paths, strict=True):
        if atomic_files.metadata_of_file(path) is None:
            raise ContractError(f"{store.path(name)} is damaged or gone: delete it and run again")
    keys = (key for _, key in collection.names())
    return dict(zip(map(str, paths), keys, strict=True))


def _without_glob(path: str) -> str:
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", path)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
