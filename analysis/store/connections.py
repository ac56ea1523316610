"""A connection to DuckDB: how it is opened, and what it may hold and use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

#: What DuckDB may hold, in MB: with Python and pandas a year of a country stays below 1 GB where
#: two threads work. Each further one holds blocks of its own.
_MEMORY = 400
_ROWS_PER_MB = 8_000
_MEMORY_PER_THREAD = 40
#: What DuckDB may hold beside arrays of all sessions: this much in MB, and of more rows this part
#: of what it may hold otherwise.
_BESIDE_ARRAYS, _PART_BESIDE_ARRAYS = 160, 0.2


def connect(database: Path | str = ":memory:", threads: int = 1) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection whose answers do not depend on the machine's settings."""
    connection = duckdb.connect(str(database))
    if str(database) == ":memory:":
        connection.execute("SET temp_directory = ''")  # by default it is where the program started
    connection.execute(f"SET threads = {int(threads)}")
    # Rows come in any order, and every query that cares says which: keeping that of the files makes
    # each table twice as dear.
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET TimeZone = 'UTC'")
    # To find a part of a query that comes twice, the first writes out every type with all the names
    # in it (see ``features``): that takes longer than many a query, and finds nothing. The second
    # makes of each count of distinct sessions a query of its own and joins them, which is slower.
    connection.execute("SET disabled_optimizers = 'common_subplan,distinct_aggregate_rewrite'")
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
    # Blocks that are kept for the next table instead of being given back to the system each time.
    connection.execute(f"SET block_allocator_memory = '{limit}MB'")


@contextmanager
def limit_threads(connection: duckdb.DuckDBPyConnection, most: int) -> Iterator[None]:
    """DuckDB with so many threads at most, for a while; with one, rows keep their order."""
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute(f"SET threads = {min(most, int(threads))}")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {int(threads)}")


@contextmanager
def hold_less(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """DuckDB with less memory, for a while in which arrays of all sessions are held beside it."""
    ((limit, count),) = connection.execute(
        "SELECT current_setting('memory_limit') AS name, parse_formatted_bytes(name)"
    ).fetchall()
    size, unit = str(limit).split()
    less = max(min(_BESIDE_ARRAYS, count / 1e6), _PART_BESIDE_ARRAYS * count / 1e6)
    connection.execute(f"SET memory_limit = '{less:.1f} MB'")
    try:
        yield
    finally:
        # DuckDB says it with one digit and cuts the rest off; half a digit more, and it stays.
        connection.execute(f"SET memory_limit = '{float(size) + 0.05:.2f} {unit}'")
