"""Frames and rows at hand as tables of DuckDB, and back."""

from collections.abc import Mapping

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.feather

from analysis.outcomes.steps import create_tables


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
