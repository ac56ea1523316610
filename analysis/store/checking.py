"""Observations that somebody else has written: every column is looked at before they are taken.

A checksum says that a file is as its sender wrote it, not that its sender is honest. DuckDB reads
the files, because it keeps to its memory whatever a file unpacks to.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa

from analysis.errors import ContractError
from analysis.observations.schema import OBSERVATION
from analysis.store.connections import connect, limit_memory
from analysis.store.study_rows import without_glob

#: What holds of columns beyond their type. A text or list has 64 K characters or items at most.
_CONDITIONS: Mapping[str, str] = {
    "report_id": "report_id IS NOT NULL AND length(report_id) <= 512",
    "input": "input IS NOT NULL",
    "measurement_start_time": "measurement_start_time >= $since::TIMESTAMP"
    " AND measurement_start_time < $until::TIMESTAMP",
    "line_number": "line_number > 0",
    "probe_cc": "regexp_full_match(probe_cc, '[A-Z]{2}') AND probe_cc = coalesce($cc, probe_cc)",
    "probe_asn": "probe_asn IS NOT NULL",
    "domain": "regexp_full_match(domain, '[a-z0-9._:-]{0,253}')",
    "is_anomaly": "is_anomaly IS NOT NULL",
    "is_failure": "is_failure IS NOT NULL",
}
_OBJECT_KEY = pa.field("object_key", pa.string())
_KEY_CONDITION = {"object_key": "length(object_key) <= 1024"}
_ANY_TIME = ("0001-01-01", "9999-12-31")
_LONGEST = 1 << 16
_BYTES_OF_A_ROW = 8  # a file takes more; whole columns of one value can be claimed in a few bytes


@contextmanager
def open_foreign(path: Path, name: str, schema: pa.Schema) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the view ``foreign_row`` of a file that has the columns of a schema.

    Raises:
        ContractError: it has others, or DuckDB cannot read it, now or later; names the column.
    """
    # Two at most: each thread more may hold more of a file of which nothing is known yet.
    with connect(threads=min(2, os.cpu_count() or 1)) as connection:
        limit_memory(connection, 0)
        try:
            connection.read_parquet(without_glob(str(path))).create_view("foreign_row")
            found = _types(connection, "foreign_row")
            for column, kind in _expected(schema).items():
                if found.get(column) != kind:
                    has = found.get(column, "no such column")
                    raise ContractError(f"{name}: column {column} must be {kind}, not {has}")
            for column in found.keys() - set(schema.names):
                raise ContractError(f"{name}: there is no column {column}")
            ((rows,),) = connection.execute("SELECT count(*) FROM foreign_row").fetchall()
            if rows * _BYTES_OF_A_ROW > path.stat().st_size:
                raise ContractError(f"{name} is too small for the {rows} rows that it claims")
            yield connection
        except (duckdb.Error, RuntimeError, ValueError) as error:  # names that are not UTF-8 too
            raise ContractError(f"{name} cannot be read: {str(error)[:300]}") from None


@cache
def _expected(schema: pa.Schema) -> dict[str, str]:
    with connect() as connection:
        connection.from_arrow(schema.empty_table()).create("expected")
        return _types(connection, "expected")


def _types(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE {name}").fetchall()
    return {column: re.sub("TIMESTAMP_M?S", "TIMESTAMP", kind) for column, kind, *_ in rows}


def check_observations(
    path: Path, name: str, scope: Mapping[str, object] | None = None, object_count: int = 0
) -> dict[str, int]:
    """Check a file of observations, and count its rows by object.

    Args:
        path: the file.
        name: what it is called in an error.
        scope: ``cc, since, until`` of its rows, where that is known.
        object_count: of how many objects its rows may be, which it names in ``object_key``. 0: it
            has no such column, and all rows are counted as one.

    Raises:
        ContractError: a column is missing, has another type, or a value that it cannot have.
    """
    schema = pa.schema([*OBSERVATION, *([_OBJECT_KEY] if object_count else [])])
    since, until = _ANY_TIME
    given = scope or {"cc": None, "since": since, "until": until}
    conditions = {**_bounds(schema), **_CONDITIONS, **(_KEY_CONDITION if object_count else {})}
    counts = ", ".join(
        f'count(*) FILTER (NOT coalesce({condition}, FALSE)) AS "{column}"'
        for column, condition in conditions.items()
    )
    key = "object_key" if object_count else "''"
    with open_foreign(path, name, schema) as connection:
        # The hash has every value of every column decoded.
        query = f"SELECT {counts}, bit_xor(hash(r)) FROM foreign_row r"
        (row,) = connection.execute(query, given).fetchall()
        for column, count in zip(conditions, row, strict=False):
            if count:
                raise ContractError(f"{name}: column {column} cannot have what {count} rows say")
        # One more than there are names an object that there is not; nobody has to hold the others.
        by_key = f"SELECT {key}, count(*) FROM foreign_row GROUP BY 1 LIMIT {object_count + 1}"
        return dict(connection.execute(by_key).fetchall())


def _bounds(schema: pa.Schema) -> dict[str, str]:
    """Conditions that bound texts and lists."""
    return {
        field.name: f'coalesce(len("{field.name}"), 0) <= {_LONGEST}'
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_list(field.type)
    }
