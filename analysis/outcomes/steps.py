"""A step is a named query: how it becomes a table, a view or a type; and frames as tables."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
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

    A step whose name has arguments is a macro (see ``analysis.sql``), for the steps after it; it is
    temporary.

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
        if "(" in name:
            connection.execute(f"CREATE OR REPLACE TEMP MACRO {name} AS {query}")
            continue
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


def keep_table(
    connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table | pd.DataFrame, place: str = ""
) -> None:
    """Keep rows at hand as a table of DuckDB, each once; without a place it is temporary."""
    connection.register("rows_at_hand", rows)
    create_tables(connection, {name: "SELECT DISTINCT * FROM rows_at_hand"}, {}, place)
    connection.unregister("rows_at_hand")


def keep_frames(
    connection: duckdb.DuckDBPyConnection, frames: Mapping[str, pd.DataFrame], place: str
) -> None:
    """Keep frames in a catalog, as they are to the order and the type of a column."""
    contents = []
    for frame in frames.values():
        sink = pa.BufferOutputStream()
        pyarrow.feather.write_feather(frame, sink, compression="zstd")
        contents.append(sink.getvalue().to_pybytes())
    rows = pa.table({"name": list(frames), "content": pa.array(contents, pa.large_binary())})
    connection.register("rows_at_hand", rows)
    create_tables(connection, {"frames": "FROM rows_at_hand"}, {}, place)
    connection.unregister("rows_at_hand")


def read_frame(connection: duckdb.DuckDBPyConnection, place: str, name: str) -> pd.DataFrame:
    """One of those that ``keep_frames`` has kept in a catalog."""
    query = f"SELECT content FROM {place}.frames WHERE name = $name"
    ((content,),) = connection.execute(query, {"name": name}).fetchall()
    frame: pd.DataFrame = pyarrow.feather.read_feather(pa.BufferReader(content))
    return frame
