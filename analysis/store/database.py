"""The observations of one study: a country, a period, each measurement once."""

import os
from contextlib import ExitStack, closing
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from analysis.errors import ParameterError, SourceError, describe_error
from analysis.period import Period
from analysis.store.collection import Collection, Excerpt
from analysis.store.connections import connect, limit_memory
from analysis.store.kept_tables import FOLDER, KeptTables
from analysis.store.provenance import add_up
from analysis.store.study_file import name_study, prepare_study, read_left_out, without_glob
from analysis.temporary_folders import TemporaryFolder


class Observations:
    """The observations that a report is about.

    ``connection`` holds the view ``observations``: the columns of ``schema.OBSERVATION``,
    ``object_key`` and ``row_id``, a number from 0; one row a measurement (identity: report_id,
    input, measurement_start_time), in no order. It works in the temporary folder ``scratch``, which
    goes with :meth:`close` or with the object. ``kept`` are the tables that were made of them
    before.
    """

    def __init__(
        self, collection: Collection, probe_cc: str, period: Period, threads: int | None = None
    ) -> None:
        """Open them.

        Raises:
            ParameterError: an excerpt is of another country, or not of all the days asked for.
            SourceError: there is no room to work in.
            ContractError: a file of the store is damaged.
        """
        if collection.excerpt:
            _refuse_more_than(collection.excerpt, probe_cc, period)
        self._collection = collection
        try:
            self._folder = TemporaryFolder("workbook-observations-")
        except OSError as error:
            raise SourceError(f"no temporary folder can be made: {describe_error(error)}") from None
        self.scratch = self._folder.path
        database = self.scratch / "observations.duckdb"
        with ExitStack() as undo:
            undo.callback(self._folder.remove)
            given = os.environ.get("OMP_NUM_THREADS", "")  # else one per processor
            threads = threads or (int(given) if given.isdecimal() else os.cpu_count()) or 1
            self.connection = connect(database, threads)
            undo.callback(self.connection.close)
            # One of its own: DuckDB keeps what it knows of thousands of files, and counts it.
            with closing(connect(self.scratch / "study.duckdb", threads)) as writing:
                limit_memory(writing, 0)
                path = prepare_study(writing, collection, probe_cc, period, self.scratch)
            left_out = read_left_out(path)
            self._counts, self._duplicates = left_out["ledger"], left_out["duplicates"]
            limit_memory(self.connection, self._counts["kept"])
            view_observations(self.connection, path)
            self._to_undo = undo.pop_all()
        folders = [self.scratch / FOLDER]
        if collection.store.is_local:
            folders.insert(0, Path(collection.store.path(FOLDER)))
        self.kept = KeptTables(name_study(collection, probe_cc, period), folders)

    def __enter__(self) -> "Observations":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection and what it made on the way."""
        self._to_undo.close()

    def ledger(self) -> pd.DataFrame:
        """What became of every line of every object.

        Returns:
            One row a reason (``reason, line_count``): all of :data:`store.REASONS` in order, then
            the ``invalid:<why>`` that occur, sorted, then ``total``.

        Raises:
            ContractError: the reasons do not add up to the lines.
        """
        table = add_up(self._collection.files, self._counts)
        return pd.DataFrame({"reason": list(table), "line_count": list(table.values())})

    def duplicates(self) -> pd.DataFrame:
        """The lines left out as duplicates: ``month, flag, line_count``, sorted.

        ``flag`` is the one of :data:`flags.DISJOINT` under which OONI would count the line.
        """
        return pd.DataFrame(self._duplicates, columns=["month", "flag", "line_count"])


def _refuse_more_than(excerpt: Excerpt, probe_cc: str, period: Period) -> None:
    held = f"the share is of {excerpt.probe_cc}, {excerpt.period.since} to "
    held += f"{excerpt.period.last_day}"
    if probe_cc != excerpt.probe_cc:
        raise ParameterError("PROBE_CC", probe_cc, held)
    if period.since < excerpt.period.since:
        raise ParameterError("SINCE", period.since, held)
    if period.until > excerpt.period.until:
        raise ParameterError("UNTIL", period.until, held)


def view_observations(connection: duckdb.DuckDBPyConnection, path: Path | str) -> None:
    """Let a connection find the rows of a file as ``observations``, with their ``row_id``."""
    quoted = without_glob(str(path)).replace("'", "''")
    connection.execute(
        "CREATE VIEW observations AS "
        "SELECT * EXCLUDE (file_row_number), file_row_number::UINTEGER AS row_id "
        f"FROM read_parquet('{quoted}', file_row_number = true, hive_partitioning = false)"
    )


def observations_from_table(table: pa.Table) -> duckdb.DuckDBPyConnection:
    """A connection with the table ``observations`` made of rows at hand.

    ``table`` has the columns of ``schema.OBSERVATION`` and any others, which are kept. No row is
    left out; ``row_id`` numbers them from 0.
    """
    connection = connect()
    numbered = table.append_column("row_id", pa.array(range(len(table)), pa.uint32()))
    connection.from_arrow(numbered).create("observations")
    return connection
