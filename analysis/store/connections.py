"""A connection to DuckDB: how it is opened, and what it may hold and use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import duckdb
import pyarrow as pa

#: What DuckDB may hold, in MB: with Python and pandas a year of a country stays below 1 GB where
#: two threads work. Each further one holds blocks of its own.
_MEMORY = 400
_ROWS_PER_MB = 8_000
_MEMORY_PER_THREAD = 40
#: The parts of that with which DuckDB mostly does beside arrays of all sessions, and where it makes
#: no table of all rows; in MB they are never less than this.
BESIDE_ARRAYS, FOR_READING, _LEAST = 0.1, 0.4, 40

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Work = Callable[Concatenate[duckdb.DuckDBPyConnection, _Given], _Result]


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


@contextmanager
def limit_threads(connection: duckdb.DuckDBPyConnection, most: int) -> Iterator[None]:
    """DuckDB with so many threads at most, for a while; with one, rows keep their order."""
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute(f"SET threads = {min(most, int(threads))}")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {int(threads)}")


def holding_less(part: float) -> Callable[[_Work[_Given, _Result]], _Work[_Given, _Result]]:
    """A function of a connection that mostly needs no more than a part of what DuckDB may hold.

    Where that is too little it is called once more, with all of it; so it has to come to the same
    if it is begun again. What it no longer needs goes back to the system, for others run beside.

    Args:
        part: ``BESIDE_ARRAYS`` or ``FOR_READING``.
    """

    def decorate(work: _Work[_Given, _Result]) -> _Work[_Given, _Result]:
        @wraps(work)
        def do(
            connection: duckdb.DuckDBPyConnection, /, *args: _Given.args, **named: _Given.kwargs
        ) -> _Result:
            try:
                with suppress(duckdb.OutOfMemoryException), _limited_to(connection, part):
                    return work(connection, *args, **named)
                return work(connection, *args, **named)
            finally:
                give_back()

        return do

    return decorate


@contextmanager
def _limited_to(connection: duckdb.DuckDBPyConnection, part: float) -> Iterator[None]:
    """DuckDB with a part of what it may hold, for a while; what else it keeps at hand goes."""
    ((limit, count),) = connection.execute(
        "SELECT current_setting('memory_limit') AS name, parse_formatted_bytes(name)"
    ).fetchall()
    size, unit = str(limit).split()
    less = max(min(_LEAST, count / 1e6), part * count / 1e6)
    connection.execute(f"SET memory_limit = '{less:.1f} MB'")
    try:
        yield
    finally:
        # DuckDB says it with one digit and cuts the rest off; half a digit more, and it stays.
        connection.execute(f"SET memory_limit = '{float(size) + 0.05:.2f} {unit}'")


def give_back() -> None:
    """Give memory back to the system that is free: libraries keep it at hand for what may come.

    Notebooks run side by side, and what one is done with another may need.
    """
    pools = pa.default_memory_pool(), pa.system_memory_pool()  # that of the C library is the second
    for pool in pools:
        pool.release_unused()
