"""The observations of one study: a country, a period, each measurement once.

They are the first of its stages: all rows in one table. A store holds a small file for each archive
object, thousands of them for a year, and opening them all takes longer than any question that is
asked of them. So a study's rows are written once more into one table, which each notebook opens. It
is kept as the tables of other stages are, under a name that says all that went into it: where the
store has grown, or is read with other fingerprints, another one is made.
"""

import hashlib
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from copy import copy
from itertools import accumulate
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ContractError, ParameterError, SourceError
from analysis.observations.flags import DISJOINT_SQL
from analysis.observations.messaging import MESSAGING
from analysis.observations.messaging_tests import BY_FOLDER, TESTS
from analysis.observations.schema import SCHEMA_VERSION
from analysis.period import Period
from analysis.reference.reference_files import REPOSITORY
from analysis.sources.archive_files import find_test
from analysis.store.stage_tables import FOLDER, KeptTables, connect, limit_memory
from analysis.store.store import Collection, Excerpt, add_up, digest_file, read_metadata
from analysis.temporary_folders import TemporaryFolder

_STAGE = "observations"
#: What says how rows are chosen and written, as it was imported.
_MADE_BY = [digest_file(Path(__file__)), DISJOINT_SQL, duckdb.__version__]


def provide_observations(
    kept: KeptTables,
    connection: duckdb.DuckDBPyConnection,
    collection: Collection,
    probe_cc: str,
    period: Period,
    scratch: Path,
) -> str:
    """Let a connection find a study's rows, made now or earlier; returns the catalog they are in.

    It has ``observations``: the columns of ``schema.OBSERVATION``, ``object_key`` and ``row_id``,
    the place among all rows of the collection; ``reasons``, how many of these were kept and left
    out (``reason, line_count``); and ``duplicates`` (``month, flag, line_count``).

    Of several processes that need them one makes them.

    Args:
        kept: the stages of the study, see ``name_study``.
        connection: in which they are found.
        collection, probe_cc, period: what the study is of.
        scratch: a folder to work in.

    Raises:
        SourceError: there is no room for them.
        ContractError: a file of the store is damaged.
    """
    scope = {"cc": probe_cc, "since": period.since, "until": period.until}

    def make(catalog: str) -> None:
        rows = view_rows(writing, collection, scratch)
        writing.execute(_SCOPED_ROWS.format(rows=rows), scope)
        writing.execute(_REPEATED_ROWS.format(rows=rows))
        writing.execute(_DUPLICATES.format(catalog=catalog))
        writing.execute(_REASONS.format(catalog=catalog))
        writing.execute("DROP TABLE scoped_row")
        writing.execute(_OBSERVATIONS.format(catalog=catalog, rows=rows), scope)

    if found := kept.find(connection, _STAGE, _MADE_BY):
        return found
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    # One of its own: DuckDB keeps what it knows of thousands of files, and counts it.
    with closing(connect(scratch / "writing.duckdb", int(threads))) as writing, explain_failures():
        limit_memory(writing, 0)
        kept.provide(writing, _STAGE, _MADE_BY, make)
    return kept.provide(connection, _STAGE, _MADE_BY, make)


def name_study(collection: Collection, probe_cc: str, period: Period) -> str:
    """What a study is called by all that its rows are made from."""
    files = sorted([f.key, f.size, f.sha256, f.fingerprints] for f in collection.files)
    excerpt = collection.excerpt and collection.names()
    inputs = json.dumps([SCHEMA_VERSION, files, excerpt]).encode()
    digest = hashlib.sha256(inputs).hexdigest()[:16]
    return f"{probe_cc}-{period.since}-{period.until}-{collection.source_id}-{digest}"


@contextmanager
def explain_failures() -> Iterator[None]:
    """Say it in one sentence where DuckDB could not read or write.

    Raises:
        SourceError: in DuckDB's words.
    """
    try:
        yield
    except duckdb.OperationalError as error:
        said = str(error).splitlines()[0]
        raise SourceError(f"the observations cannot be written to one file: {said}") from None


def view_rows(connection: duckdb.DuckDBPyConnection, collection: Collection, scratch: Path) -> str:
    """Make a view of all rows of a collection; returns its name.

    Its columns are those of the collection's files, ``object_key``, and ``row_id``, the place of
    each among all rows. It stands on the table ``object`` and the view ``row_of_file``.

    Raises:
        ContractError: a file is not as it was written.
    """
    # DuckDB would need an extension, fetched from the network, to read S3 itself.
    paths = collection.store.local_paths(collection.names(), scratch)
    for name, path in zip(collection.names(), paths, strict=True):
        if not path.is_file() or read_metadata(path.read_bytes()) is None:
            where = collection.store.path(name)
            raise ContractError(f"{where} is damaged or gone: delete it and run again")
    if collection.excerpt:  # its rows say themselves of which object they are
        counts = [pq.read_metadata(path).num_rows for path in paths]
        keys = {}
    else:
        counts = [file.row_count for file in collection.files]
        keys = {"object_key": [file.key for file in collection.files]}
    first_rows = list(accumulate(counts, initial=0))[:-1]
    files = {"filename": list(map(str, paths)), "first_row": first_rows, **keys}
    connection.execute("DROP TABLE IF EXISTS object")  # of a folder that had no room
    connection.from_arrow(pa.table(files)).create("object")
    connection.execute("SET parquet_metadata_cache = true")
    connection.read_parquet(
        [without_glob(str(path)) for path in paths], filename=True, file_row_number=True
    ).create_view("row_of_file")
    connection.execute(_EVERY_ROW)
    return "every_row"


def without_glob(path: str) -> str:
    """A path that DuckDB takes as it is."""
    return re.sub(r"[*?\[]", lambda character: f"[{character[0]}]", path)


#: A condition on a row, with the parameters ``since`` and ``until``.
IN_PERIOD = (
    "(measurement_start_time >= $since::TIMESTAMP AND measurement_start_time < $until::TIMESTAMP)"
)

_EVERY_ROW = """
CREATE OR REPLACE VIEW every_row AS
SELECT * EXCLUDE (filename, file_row_number, first_row),
    (first_row + file_row_number)::UINTEGER AS row_id
FROM row_of_file JOIN object USING (filename)
"""

# What is asked of every row before any is written: to go through thousands of files takes long.
_SCOPED_ROWS = f"""
CREATE OR REPLACE TEMP TABLE scoped_row AS
SELECT row_id, hash(report_id, input, measurement_start_time) AS number, probe_cc = $cc AS is_own,
    {IN_PERIOD} AS is_inside
FROM {{rows}}
"""

# All rows of an identity but the first. Most occur once; repeated ones are looked for by a number
# that stands for each.
_REPEATED_ROWS = f"""
CREATE OR REPLACE TEMP TABLE repeated_row AS
WITH own_row AS (SELECT row_id, number FROM scoped_row WHERE is_own AND is_inside),
likely AS (SELECT number FROM own_row GROUP BY number HAVING count(*) > 1),
likely_row AS (SELECT row_id FROM own_row SEMI JOIN likely USING (number)),
ranked AS (
    SELECT row_id, measurement_start_time, {DISJOINT_SQL} AS flag, row_number() OVER (
        PARTITION BY report_id, input, measurement_start_time ORDER BY object_key, line_number
    ) AS occurrence
    FROM {{rows}} SEMI JOIN likely_row USING (row_id)
)
SELECT row_id, measurement_start_time, flag FROM ranked WHERE occurrence > 1
"""

_DUPLICATES = """
CREATE TABLE {catalog}.duplicates AS
SELECT strftime(measurement_start_time, '%Y-%m') AS month, flag, count(*) AS line_count
FROM repeated_row GROUP BY ALL
"""

_OBSERVATIONS = f"""
CREATE TABLE {{catalog}}.observations AS
SELECT r.* FROM {{rows}} r ANTI JOIN repeated_row USING (row_id)
WHERE probe_cc = $cc AND {IN_PERIOD}
"""

_REASONS = """
CREATE TABLE {catalog}.reasons AS
SELECT CASE WHEN NOT is_own THEN 'other_country' WHEN NOT is_inside THEN 'out_of_period'
    WHEN r.row_id IS NOT NULL THEN 'duplicate' ELSE 'kept' END AS reason,
  count(*) AS line_count
FROM scoped_row s LEFT JOIN repeated_row r ON r.row_id = s.row_id
GROUP BY ALL
"""


#: Where the stages of a study lie whose store is a bucket: DuckDB works on this machine's disk.
STAGES_OF_BUCKETS = REPOSITORY / "data" / FOLDER


class Observations(AbstractContextManager["Observations"]):
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
            self.scratch = undo.enter_context(TemporaryFolder("workbook-observations-"))
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
            reasons, duplicates = (
                self.connection.execute(f"FROM {study}.{table} ORDER BY ALL").fetchall()
                for table in ("reasons", "duplicates")
            )
            self._counts, self._duplicates = Counter(dict(reasons)), duplicates
            limit_memory(self.connection, self._counts["kept"])
            self.connection.execute(f"CREATE VIEW observations AS FROM {study}.observations")
            self._to_undo = undo.pop_all()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection and what it made on the way."""
        self._to_undo.close()

    def only(self, condition: str) -> "Observations":
        """Those of which a condition is true, in a database of their own. What is made of them goes
        with them. Their ledger is that of all.

        Raises:
            ParameterError: it is no condition over the columns of an observation.
        """
        try:
            query = f"FROM observations WHERE ({condition})"
            rows = self.connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            why = f"it is no condition over the columns of observations: {error}"
            raise ParameterError("only", condition, why.splitlines()[0]) from None
        part, undo = copy(self), ExitStack()
        part.scratch = undo.enter_context(TemporaryFolder("workbook-observations-"))
        part.connection = undo.enter_context(connect(part.scratch / "observations.duckdb", 2))
        part.kept, part._to_undo = KeptTables("part", [part.scratch / FOLDER]), undo
        part.connection.from_arrow(rows).create("observations")
        return part

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
    share = excerpt.period
    for name, value, is_held in (
        ("PROBE_CC", probe_cc, probe_cc == excerpt.probe_cc),
        ("SINCE", period.since, period.since >= share.since),
        ("UNTIL", period.until, period.until <= share.until),
    ):
        if not is_held:
            raise ParameterError(
                name,
                value,
                f"the share is of {excerpt.probe_cc}, {share.since} to {share.last_day}",
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


# These tests have no input, so that a measurement is its report, its test and its time. Without a
# report, the network tells two of one second apart.
_JUDGED = f"""
CREATE TEMP TABLE judged AS
SELECT * EXCLUDE (row_id), CASE
    WHEN probe_cc <> $cc THEN 'other_country'
    WHEN NOT {IN_PERIOD} THEN 'out_of_period'
    WHEN row_number() OVER (
      PARTITION BY report_id, test_name, measurement_start_time, probe_cc,
        if(report_id = '', probe_asn, 0)
      ORDER BY object_key, line_number) > 1 THEN 'duplicate'
    ELSE 'kept' END AS reason
FROM {{rows}}
"""

_KEPT = """
CREATE TABLE messaging AS
SELECT * EXCLUDE (reason) FROM judged WHERE reason = 'kept'
ORDER BY measurement_start_time, object_key, line_number
"""

_COUNTS = "SELECT test_name, reason, count(*) FROM judged GROUP BY ALL"


class MessagingRows:
    """What a study holds of these tests.

    ``connection`` has the table ``messaging``: the columns of ``MESSAGING`` and ``object_key``, one
    row a measurement; empty where the source has none.
    """

    def __init__(self, collection: Collection, probe_cc: str, period: Period) -> None:
        """Read them.

        Raises:
            SourceError: there is no room to work in.
            ContractError: a file of the store is damaged.
        """
        self.connection = connect()
        self._collection = collection
        self._rows: dict[str, Counter[str]] = defaultdict(Counter)
        if not collection.files:
            columns = MESSAGING.append(pa.field("object_key", pa.string()))
            self.connection.from_arrow(columns.empty_table()).create("messaging")
            return
        scope = {"cc": probe_cc, "since": period.since, "until": period.until}
        with TemporaryFolder("workbook-messaging-") as scratch, explain_failures():
            rows = view_rows(self.connection, collection, scratch)
            self.connection.execute(_JUDGED.format(rows=rows), scope)
            self.connection.execute(_KEPT)
        for test, reason, count in self.connection.execute(_COUNTS).fetchall():
            self._rows[test][reason] += count
        self.connection.execute("DROP TABLE judged")

    def ledger(self) -> pd.DataFrame:
        """What became of every line of these tests' objects.

        Returns:
            One row a test and reason (``test_name, reason, line_count``): of each test that the
            source holds, those reasons of ``provenance.REASONS`` and ``invalid:<why>`` that occur,
            and ``total``.

        Raises:
            ContractError: the reasons do not add up to the lines.
        """
        files = defaultdict(list)
        for file in self._collection.files:
            files[BY_FOLDER[find_test(file.key) or ""].name].append(file)
        rows = [
            (test.name, reason, count)
            for test in TESTS
            if test.name in files
            for reason, count in add_up(files[test.name], self._rows[test.name]).items()
            if count or reason == "total"
        ]
        return pd.DataFrame(rows, columns=["test_name", "reason", "line_count"])
