"""Steps, which are named queries, as tables, views and types; and frames as tables."""

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
    catalog: str = "",
    *,
    is_filled: bool = True,
) -> None:
    """Create a table of each step, in order; it replaces one of the same name.

    A step whose name has arguments is a macro (see ``analysis.sql``), for the steps after it; it is
    temporary.

    Args:
        connection: connection to the tables that the steps read.
        steps: name of the table → its query, which may name ``$parameters``.
        parameters: their values; a step receives those that it names. A fraction is passed as a
            decimal: 0.9 of 30 is 27, which it is not in binary.
        catalog: the catalog in which they are made; without one they are temporary.
        is_filled: false leaves the tables empty, with the same columns.
    """
    filling = "" if is_filled else "WITH NO DATA"
    created = f"TABLE {catalog}." if catalog else "TEMP TABLE "
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
    connection: duckdb.DuckDBPyConnection, name: str, values: str, catalog: str = ""
) -> None:
    """Create an enumeration of a list of values, or of those of a query."""
    created = f"TYPE {catalog}." if catalog else "TEMP TYPE "
    connection.execute(f"CREATE OR REPLACE {created}{name} AS ENUM {values}")


def read_type(connection: duckdb.DuckDBPyConnection, name: str) -> NDArray[np.object_]:
    """Return the values of an enumeration, indexed by their numbers."""
    query = f"SELECT unnest(enum_range(NULL::{name}))::VARCHAR AS value"
    return connection.execute(query).df()["value"].to_numpy(object)


def exact(value: Any) -> Any:
    """Return a fraction as an exact decimal for SQL; any other value is unchanged."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def create_views(connection: duckdb.DuckDBPyConnection, steps: Mapping[str, str]) -> None:
    """Create a temporary view of each step, in order: name of the view → its query."""
    for name, query in steps.items():
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")


def chain(steps: Mapping[str, str]) -> str:
    """Return the last of some steps as one query, in which each step reads those before it.

    A view of each step would give the same rows. But DuckDB binds a view, with all views below it,
    when it is created, which takes longer than to judge a small study.
    """
    *first, last = steps.items()
    before = ", ".join(f"{name} AS NOT MATERIALIZED ({query})" for name, query in first)
    return f"WITH {before} {last[1]}"


def keep_table(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    rows: pa.Table | pd.DataFrame,
    catalog: str = "",
) -> None:
    """Create a table of distinct rows; without a catalog it is temporary."""
    connection.register("registered_rows", rows)
    create_tables(connection, {name: "SELECT DISTINCT * FROM registered_rows"}, {}, catalog)
    connection.unregister("registered_rows")


def keep_frames(
    connection: duckdb.DuckDBPyConnection, frames: Mapping[str, pd.DataFrame], catalog: str
) -> None:
    """Store frames in a catalog, with the order and the type of their columns."""
    contents = []
    for frame in frames.values():
        sink = pa.BufferOutputStream()
        pyarrow.feather.write_feather(frame, sink, compression="zstd")
        contents.append(sink.getvalue().to_pybytes())
    rows = pa.table({"name": list(frames), "content": pa.array(contents, pa.large_binary())})
    connection.register("registered_rows", rows)
    create_tables(connection, {"frames": "FROM registered_rows"}, {}, catalog)
    connection.unregister("registered_rows")


def read_frame(connection: duckdb.DuckDBPyConnection, catalog: str, name: str) -> pd.DataFrame:
    """Return a frame that ``keep_frames`` has stored in a catalog."""
    query = f"SELECT content FROM {catalog}.frames WHERE name = $name"
    ((content,),) = connection.execute(query, {"name": name}).fetchall()
    frame: pd.DataFrame = pyarrow.feather.read_feather(pa.BufferReader(content))
    return frame
