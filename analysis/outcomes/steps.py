"""A step is a named query: how it becomes a table, a view or a type."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray


def create_tables(
    connection: duckdb.DuckDBPyConnection,
    steps: Mapping[str, str],
    parameters: Mapping[str, Any],
    place: str = "",
    *,
    is_filled: bool = True,
) -> None:
    """Make one table of each step, in order, in the place of the one before.

    Args:
        connection: finds what the steps read.
        steps: name of the table → its query, which may name ``$parameters``.
        parameters: their values; a step is handed those that it names. A fraction counts as the
            decimal that it is written as: 0.9 of 30 is 27, which it is not in binary.
        place: the catalog in which they are made; without one they are temporary.
        is_filled: false leaves the tables empty, with the same columns.
    """
    filling = "" if is_filled else "WITH NO DATA"
    created = f"TABLE {place}." if place else "TEMP TABLE "
    for name, query in steps.items():
        (statement,) = connection.extract_statements(
            f"CREATE OR REPLACE {created}{name} AS {query} {filling}"
        )
        named = {key: exact(parameters[key]) for key in statement.named_parameters}
        connection.execute(statement, named)


def create_type(
    connection: duckdb.DuckDBPyConnection, name: str, values: str, place: str = ""
) -> None:
    """Make an enumeration of a list of values, or of a query's, in the place of the one before."""
    created = f"TYPE {place}." if place else "TEMP TYPE "
    connection.execute(f"CREATE OR REPLACE {created}{name} AS ENUM {values}")


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


def chain(steps: Mapping[str, str]) -> str:
    """The last of some steps as one query; each reads those before it.

    With a view of each it would be the same. But DuckDB works out a view when it is made, with all
    that it stands on, which takes longer than to judge a small study.
    """
    *first, last = steps.items()
    before = ", ".join(f"{name} AS NOT MATERIALIZED ({query})" for name, query in first)
    return f"WITH {before} {last[1]}"
