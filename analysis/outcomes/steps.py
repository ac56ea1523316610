"""A step is a named query: how it becomes a table, a view or a type, and is made again."""

import re
from collections.abc import Mapping
from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from analysis.store.connections import limit_threads
from analysis.store.kept_tables import drop_made, note_made


def create_tables(
    connection: duckdb.DuckDBPyConnection,
    steps: Mapping[str, str],
    parameters: Mapping[str, Any],
    *,
    is_filled: bool = True,
    catalog: str = "",
) -> None:
    """Make one table of each step, in order, in the place of the one before.

    Args:
        connection: holds what the steps read.
        steps: name of the table → its query, which may name ``$parameters``.
        parameters: their values; a step is handed those that it names. A fraction counts as the
            decimal that it is written as: 0.9 of 30 is 27, which it is not in binary.
        is_filled: false leaves the tables empty, with the same columns.
        catalog: where they are made, by two threads at most, since each that compresses holds a
            hundred thousand rows of every column; by default they are temporary.
    """
    filling = "" if is_filled else "WITH NO DATA"
    place = f"TABLE {catalog}." if catalog else "TEMP TABLE "
    with limit_threads(connection, 2) if catalog else nullcontext():
        for name, query in steps.items():
            named = {key: exact(parameters[key]) for key in re.findall(r"\$(\w+)", query)}
            connection.execute(f"CREATE OR REPLACE {place}{name} AS {query} {filling}", named)
    note_made(connection, *(("KEPT" if catalog else "TABLE", name) for name in steps))


def drop_tables(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Drop temporary tables that nobody reads any more."""
    drop_made(connection, [("TABLE", name) for name in names])


def create_type(connection: duckdb.DuckDBPyConnection, name: str, values: str) -> None:
    """Make an enumeration of a list of values, or of a query's, in the place of the one before."""
    connection.execute(f"CREATE OR REPLACE TEMP TYPE {name} AS ENUM {values}")
    note_made(connection, ("TYPE", name))


def read_type(connection: duckdb.DuckDBPyConnection, name: str) -> NDArray[np.object_]:
    """The values of an enumeration, by their numbers."""
    query = f"SELECT unnest(enum_range(NULL::{name}))::VARCHAR AS value"
    return connection.execute(query).df()["value"].to_numpy(object)


def exact(value: Any) -> Any:
    """A fraction as the decimal that it is written as, for SQL; anything else as it is."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def create_views(connection: duckdb.DuckDBPyConnection, steps: Mapping[str, str]) -> None:
    """Make one temporary view of each step, in order: name of the view → its query."""
    for name, query in steps.items():
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")
    note_made(connection, *(("VIEW", name) for name in steps))


def chain(steps: Mapping[str, str]) -> str:
    """The last of some steps as one query; each reads the one before.

    With a view of each it would be the same. But DuckDB works out a view when it is made, with all
    that it stands on, which takes longer than to judge a small study.
    """
    name, query = "", ""
    for following, step in steps.items():
        query = step.replace(f"FROM {name}", f"FROM ({query}) {name}") if name else step
        name = following
    return query
