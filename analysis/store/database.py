"""The observations of one study: a country, a period, each measurement once."""

import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from analysis.errors import ParameterError, SourceError, describe_error
from analysis.period import Period
from analysis.reference.reference_files import REPOSITORY
from analysis.store.collection import Collection, Excerpt
from analysis.store.connections import connect, limit_memory
from analysis.store.kept_tables import FOLDER, KeptTables
from analysis.store.provenance import add_up
from analysis.store.study_rows import name_study, provide_observations
from analysis.temporary_folders import TemporaryFolder

#: Where the stages of a study lie whose store is a bucket: DuckDB works on this machine's disk.
STAGES_OF_BUCKETS = REPOSITORY / "data" / FOLDER


class Observations:
    """The observations that a report is about.

    ``connection`` holds the view ``observations``: the columns of ``schema.OBSERVATION``,
    ``object_key`` and ``row_id``, a number; one row a measurement (identity: report_id, input,
    measurement_start_time), in no order. It works in the temporary folder ``scratch``, which
    goes with :meth:`close` or with the object. ``kept`` are the tables that were made of them
    before.
    """

    def __init__(self, collection: Collection, probe_cc: str, period: Period) -> None:
        """Open them.

        Raises:
            ParameterError: an excerpt is of another country, or not of all the days asked for.
            SourceError: there is no room to work in.
            ContractError: a file of the store is damaged.
        """
        if collection.excerpt:
            _refuse_more_than(collection.excerpt, probe_cc, period)
        self._collection = collection
        store = collection.store
        with ExitStack() as undo:
            try:
                self.scratch = undo.enter_context(TemporaryFolder("workbook-observations-"))
            except OSError as error:
                why = f"no temporary folder can be made: {describe_error(error)}"
                raise SourceError(why) from None
            given = os.environ.get("OMP_NUM_THREADS", "")  # else one per processor
            threads = (int(given) if given.isdecimal() else os.cpu_count()) or 1
            database = self.scratch / "observations.duckdb"
            self.connection = undo.enter_context(connect(database, threads))
            beside = Path(store.path(FOLDER)) if store.is_local else STAGES_OF_BUCKETS
            folders = [beside, self.scratch / FOLDER]
            self.kept = KeptTables(name_study(collection, probe_cc, period), folders)
            study = provide_observations(
                self.kept, self.connection, collection, probe_cc, period, self.scratch
            )
            reasons = self.connection.execute(f"FROM {study}.reasons").fetchall()
            self._counts = Counter(dict(reasons))
            duplicates = f"FROM {study}.duplicates ORDER BY ALL"
            self._duplicates = self.connection.execute(duplicates).fetchall()
            limit_memory(self.connection, self._counts["kept"])
            self.connection.execute(f"CREATE VIEW observations AS FROM {study}.observations")
            self._to_undo = undo.pop_all()

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


def observations_from_table(table: pa.Table) -> duckdb.DuckDBPyConnection:
    """A connection with the table ``observations`` made of rows at hand.

    ``table`` has the columns of ``schema.OBSERVATION`` and any others, which are kept. No row is
    left out; ``row_id`` numbers them from 0.
    """
    connection = connect()
    numbered = table.append_column("row_id", pa.array(range(len(table)), pa.uint32()))
    connection.from_arrow(numbered).create("observations")
    return connection
