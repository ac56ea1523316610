"""A connection to DuckDB: how it is opened, and what it may hold and use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

#: What DuckDB may hold, in MB, and for how many rows more of it.
_MEMORY, _ROWS_PER_MB = 800, 3_000


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
    limit = max(_MEMORY, row_count // _ROWS_PER_MB)
    connection.execute(f"SET memory_limit = '{limit}MB'")


@contextmanager
def limit_threads(connection: duckdb.DuckDBPyConnection, most: int) -> Iterator[None]:
    """DuckDB with so many threads at most, for a while; with one, rows keep their order."""
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute(f"SET threads = {min(most, int(threads))}")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {int(threads)}")
