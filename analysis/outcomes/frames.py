"""Frames and rows at hand as tables of DuckDB, and back."""

from collections.abc import Mapping

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.feather

from analysis.outcomes.steps import create_tables
from analysis.store.connections import limit_threads


def keep_table(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Keep rows at hand as a temporary table of DuckDB, each once."""
    connection.register("rows_at_hand", rows)
    create_tables(connection, {name: "SELECT DISTINCT * FROM rows_at_hand"}, {})
    connection.unregister("rows_at_hand")


def keep_frame(
    connection: duckdb.DuckDBPyConnection, name: str, frame: pd.DataFrame, catalog: str
) -> None:
    """Keep a frame as a table of a catalog, its rows in order."""
    connection.register("rows_at_hand", frame)
    with limit_threads(connection, 1):
        create_tables(connection, {name: "FROM rows_at_hand"}, {}, catalog=catalog)
    connection.unregister("rows_at_hand")


def keep_frames(
    connection: duckdb.DuckDBPyConnection, frames: Mapping[str, pd.DataFrame], catalog: str
) -> None:
    """Keep frames in a table of a catalog, ``kept_frames``, as they are to the type of a column."""
    contents = []
    for frame in frames.values():
        sink = pa.BufferOutputStream()
        pyarrow.feather.write_feather(frame, sink, compression="zstd")
        contents.append(sink.getvalue().to_pybytes())
    rows = pa.table({"name": list(frames), "content": pa.array(contents, pa.large_binary())})
    connection.register("rows_at_hand", rows)
    create_tables(connection, {"kept_frames": "FROM rows_at_hand"}, {}, catalog=catalog)
    connection.unregister("rows_at_hand")


def read_frame(connection: duckdb.DuckDBPyConnection, name: str) -> pd.DataFrame:
    """One of those that ``keep_frames`` has kept."""
    query = "SELECT content FROM kept_frames WHERE name = $name"
    ((content,),) = connection.execute(query, {"name": name}).fetchall()
    frame: pd.DataFrame = pyarrow.feather.read_feather(pa.BufferReader(content))
    return frame
