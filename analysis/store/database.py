"""The observations of one study: a country, a period, each measurement once.

A store has a small file for each archive object, thousands for a year, and opening them all takes
longer than any query. So the rows of a study are written once more into one table, the first of its
stages, which each notebook opens. The name of its file depends on all inputs: if the store has
grown, or was read with other fingerprints, a new table is made.
"""

import hashlib
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from copy import copy
from itertools import accumulate
from pathlib import Path
from random import Random

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import ContractError, ParameterError, SourceError
from analysis.files import digest_file
from analysis.observations.flags import DISJOINT_SQL
from analysis.observations.messaging import MESSAGING
from analysis.observations.messaging_tests import BY_FOLDER, TESTS
from analysis.observations.schema import OBSERVATION, SCHEMA_VERSION
from analysis.period import Period
from analysis.reference.reference_files import REPOSITORY
from analysis.reference.release import digest_edited_readers
from analysis.reference.withheld import load_withheld
from analysis.sources.archive_files import find_test
from analysis.store.receipt import IS_LATE, list_receipts
from analysis.store.runs import COLUMNS as RUN_COLUMNS
from analysis.store.runs import name_runs
from analysis.store.stage_tables import FOLDER, KeptTables, connect, limit_memory
from analysis.store.store import Collection, Excerpt, add_up, read_metadata
from analysis.store.withholding import withhold
from analysis.temporary_folders import TemporaryFolder

_STAGE = "observations"
#: Digests of the code that chooses and writes rows, as it was imported.
_MADE_BY = [
    *(
        digest_file(Path(__file__).with_name(name))
        for name in ("database.py", "receipt.py", "runs.py")
    ),
    DISJOINT_SQL,
    duckdb.__version__,
]


def provide_observations(
    kept: KeptTables,
    connection: duckdb.DuckDBPyConnection,
    collection: Collection,
    probe_cc: str,
    period: Period,
    scratch: Path,
) -> str:
    """Return the catalog of a study's rows, and make it if it does not exist.

    It has the tables ``observations``: the columns of ``schema.OBSERVATION``, ``object_key``,
    those of ``store.receipt``, ``row_id`` (the position among all rows of the collection), ``run``
    and ``run_known_by`` (``store.runs``); ``late_observations``: the same of
    rows whose claimed time and receipt disagree, which are in no run; ``reasons``: the numbers of
    rows kept and left out (``reason, line_count``); and ``duplicates`` (``month, flag,
    line_count``).

    If several processes need them, one makes them.

    Args:
        kept: the stages of the study, see ``name_study``.
        connection: attaches the catalog.
        collection, probe_cc, period: of the study.
        scratch: a temporary folder.

    Raises:
        SourceError: no folder can take the file.
        ContractError: a file of the store is damaged.
    """
    scope = {"cc": probe_cc, "since": period.since, "until": period.until}

    def make(catalog: str) -> None:
        rows = view_rows(writing, collection, scratch)
        scope_rows(writing, rows, scope, named="shared_run" if collection.excerpt else "")
        writing.execute(_DUPLICATES.format(catalog=catalog))
        writing.execute(_REASONS.format(catalog=catalog))
        query = _ROWS_WITH_RUNS.format(rows=rows)
        writing.execute(f"CREATE TABLE {catalog}.observations AS {query}", scope)
        query = _LATE_ROWS.format(rows=rows)
        writing.execute(f"CREATE TABLE {catalog}.late_observations AS {query}")
        writing.execute("DROP TABLE scoped_row")

    if existing := kept.find(connection, _STAGE, _MADE_BY):
        return existing
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    # A database of its own, because DuckDB caches metadata of thousands of files in its memory.
    with closing(connect(scratch / "writing.duckdb", int(threads))) as writing, explain_failures():
        limit_memory(writing, 0)
        kept.provide(writing, _STAGE, _MADE_BY, make)
    return kept.provide(connection, _STAGE, _MADE_BY, make)


def name_study(collection: Collection, probe_cc: str, period: Period) -> str:
    """Return the name of a study, with a digest of all inputs of its rows."""
    files = sorted([f.key, f.size, f.sha256, f.fingerprints] for f in collection.files)
    excerpt = collection.excerpt and collection.names()
    inputs = json.dumps([SCHEMA_VERSION, digest_edited_readers(), files, excerpt]).encode()
    digest = hashlib.sha256(inputs).hexdigest()[:16]
    return f"{probe_cc}-{period.since}-{period.until}-{collection.source_id}-{digest}"


@contextmanager
def explain_failures() -> Iterator[None]:
    """Turn DuckDB's errors of reading and writing into one sentence.

    Raises:
        SourceError: in DuckDB's words; after a lack of memory a second run would fail, too.
    """
    try:
        yield
    except duckdb.OperationalError as error:
        reason = str(error).splitlines()[0]
        raise SourceError(
            f"the observations cannot be written to one file: {reason}",
            resumes=not isinstance(error, duckdb.OutOfMemoryException),
        ) from None


def view_rows(connection: duckdb.DuckDBPyConnection, collection: Collection, scratch: Path) -> str:
    """Make a view of all rows of a collection and return its name.

    Its columns are those of the collection's files, ``object_key``, those of ``store.receipt``, and
    ``row_id``, the position among all rows. It reads the table ``object`` and the view
    ``row_of_file``. For an excerpt, the view ``shared_run`` has the run of each row.

    Raises:
        ContractError: a file is damaged.
    """
    # DuckDB would need an extension, fetched from the network, to read S3 itself.
    paths = collection.store.local_paths(collection.names(), scratch)
    for name, path in zip(collection.names(), paths, strict=True):
        if not path.is_file() or read_metadata(path.read_bytes()) is None:
            damaged_file = collection.store.path(name)
            raise ContractError(f"{damaged_file} is damaged or gone: delete it and run again")
    files = pa.table({"filename": list(map(str, paths))})
    received = list_receipts([file.key for file in collection.files])
    if collection.excerpt:  # its rows have ``object_key``
        counts = [pq.read_metadata(path).num_rows for path in paths]
        connection.execute("DROP TABLE IF EXISTS received_object")
        connection.from_arrow(received).create("received_object")
    else:
        counts = [file.row_count for file in collection.files]
        for column in received.schema.names:
            files = files.append_column(column, received[column])
    first_rows = list(accumulate(counts, initial=0))[:-1]
    files = files.append_column("first_row", pa.array(first_rows, pa.int64()))
    connection.execute("DROP TABLE IF EXISTS object")  # of an attempt in another folder
    connection.from_arrow(files).create("object")
    connection.execute("SET parquet_metadata_cache = true")
    connection.read_parquet(
        [without_glob(str(path)) for path in paths], filename=True, file_row_number=True
    ).create_view("row_of_file")
    run_columns = ", run_name, run_known_by" if collection.excerpt else ""
    join = "JOIN received_object USING (object_key)" if collection.excerpt else ""
    connection.execute(_EVERY_ROW.format(more=run_columns, join=join))
    if run_columns:
        connection.execute(_SHARED_RUNS)
    return "every_row"


def without_glob(path: str) -> str:
    """Escape a path, so that DuckDB does not read it as a pattern."""
    return re.sub(r"[*?\[]", lambda character: f"[{character[0]}]", path)


#: A condition on a row, with the parameters ``since`` and ``until``.
IN_PERIOD = (
    "(measurement_start_time >= $since::TIMESTAMP AND measurement_start_time < $until::TIMESTAMP)"
)

_EVERY_ROW = """
CREATE OR REPLACE VIEW every_row AS
SELECT * EXCLUDE (filename, file_row_number, first_row{more}),
    (first_row + file_row_number)::UINTEGER AS row_id
FROM row_of_file JOIN object USING (filename) {join}
"""
_SHARED_RUNS = """
CREATE OR REPLACE VIEW shared_run AS
SELECT (first_row + file_row_number)::UINTEGER AS row_id, run_name, run_known_by
FROM row_of_file JOIN object USING (filename)
"""

#: Columns that may differ between two copies of a measurement: the line, the ID from OONI's server
#: (ooni/backend#1195), the flags, and the sender's name, which shares do not have.
_COPY_COLUMNS = {
    "report_id",
    "line_number",
    "probe_id",
    "is_anomaly",
    "is_confirmed",
    "is_failure",
    "fields_met",
}

# The columns needed of every row before any is written: scanning thousands of files is slow.
_SCOPED_ROWS = f"""
CREATE OR REPLACE TEMP TABLE scoped_row AS
SELECT row_id, probe_cc = $cc AS is_own, {IN_PERIOD} AS is_inside,
    {IS_LATE} AS is_late,
    hash({{test}}, {{input}}, measurement_start_time, probe_asn, software_name, software_version,
      test_keys_digest) AS number, {RUN_COLUMNS}
FROM {{rows}}
"""

# What is late touches no run, and no earlier copy of it makes it a repetition.
_TIMELY_ROWS = "CREATE OR REPLACE TEMP VIEW timely_row AS FROM scoped_row WHERE NOT is_late"

# All rows of a measurement but the first. Candidates are found by a hash. The digest of the test
# keys is short, so that a forger could produce another measurement with the same one; therefore all
# other columns must be equal, too.
_REPEATED_ROWS = """
CREATE OR REPLACE TEMP TABLE repeated_row AS
WITH own_row AS (SELECT row_id, number FROM timely_row WHERE is_own AND is_inside),
likely AS (SELECT number FROM own_row GROUP BY number HAVING count(*) > 1),
likely_row AS (SELECT row_id FROM own_row SEMI JOIN likely USING (number)),
ranked AS (
    SELECT row_id, measurement_start_time, {flag} AS flag, row_number() OVER (
        PARTITION BY {identity} ORDER BY object_key, line_number
    ) AS occurrence
    FROM {rows} SEMI JOIN likely_row USING (row_id)
)
SELECT row_id, measurement_start_time, flag FROM ranked WHERE occurrence > 1
"""

_KEPT_ROWS = """
CREATE OR REPLACE TEMP VIEW kept_row AS
SELECT row_id FROM timely_row ANTI JOIN repeated_row USING (row_id) WHERE is_own AND is_inside
"""

#: The rows of a study, with their runs.
_ROWS_WITH_RUNS = f"""
SELECT r.*, run, run_known_by
FROM {{rows}} r ANTI JOIN repeated_row USING (row_id) JOIN run_of_row USING (row_id)
WHERE probe_cc = $cc AND {IN_PERIOD}
"""

# It has the columns of the others, so that a condition on these selects from both.
_LATE_ROWS = """
SELECT *, NULL::UINTEGER AS run, NULL::VARCHAR AS run_known_by
FROM {rows} SEMI JOIN (SELECT row_id FROM scoped_row WHERE is_own AND is_inside AND is_late)
  USING (row_id)
"""


def scope_rows(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    scope: Mapping[str, object],
    *,
    schema: pa.Schema = OBSERVATION,
    named: str = "",
) -> None:
    """Create the tables ``scoped_row``, ``repeated_row`` and ``run_of_row``.

    They tell for each row whether it is in the study, is late, is a repetition, and its run. Runs
    are formed from all rows that are not late, so that they do not depend on the period.

    Args:
        connection: finds ``rows``.
        rows: a relation with the columns of ``schema``, ``object_key``, those of
            ``store.receipt``, and ``row_id``.
        scope: ``cc, since, until``.
        schema: of web_connectivity, or of the other tests, which have no input.
        named: see ``name_runs``.
    """
    connection.execute(_SCOPED_ROWS.format(rows=rows, **_describe_test(schema)), scope)
    connection.execute(_TIMELY_ROWS)
    identity = ", ".join(name for name in schema.names if name not in _COPY_COLUMNS)
    flag = DISJOINT_SQL if "is_confirmed" in schema.names else "''"
    connection.execute(_REPEATED_ROWS.format(rows=rows, identity=identity, flag=flag))
    connection.execute(_KEPT_ROWS)
    name_runs(connection, "timely_row", "kept_row", named)


_DUPLICATES = """
CREATE TABLE {catalog}.duplicates AS
SELECT strftime(measurement_start_time, '%Y-%m') AS month, flag, count(*) AS line_count
FROM repeated_row GROUP BY ALL
"""

_REASONS = """
CREATE TABLE {catalog}.reasons AS
SELECT CASE WHEN NOT is_own THEN 'other_country' WHEN NOT is_inside THEN 'out_of_period'
    WHEN is_late THEN 'late' WHEN r.row_id IS NOT NULL THEN 'duplicate' ELSE 'kept' END AS reason,
  count(*) AS line_count
FROM scoped_row s LEFT JOIN repeated_row r ON r.row_id = s.row_id
GROUP BY ALL
"""


# A second copy of a run has other row and run numbers.
_DRAWN_ROWS = """
SELECT o.* REPLACE (drawn_run::UINTEGER AS run,
  (row_id + copy * (SELECT max(row_id) + 1 FROM observations))::UINTEGER AS row_id)
FROM observations o JOIN drawn_runs USING (run)
"""


#: The folder of stages if the store is a bucket, because DuckDB needs a local disk.
STAGES_OF_BUCKETS = REPOSITORY / "data" / FOLDER


class Observations(AbstractContextManager["Observations"]):
    """The observations of a report.

    ``connection`` has the view ``observations``: the columns of ``schema.OBSERVATION``,
    ``object_key``, those of ``store.receipt``, ``row_id``, ``run`` and ``run_known_by``; one row
    per measurement, in no order. The view ``late_observations`` has the rows that are late.
    Withheld names are replaced by placeholders. Temporary files are in ``scratch``, which
    :meth:`close` removes. ``kept`` are the stages made from these rows.
    """

    def __init__(self, collection: Collection, probe_cc: str, period: Period) -> None:
        """Open the observations.

        Raises:
            ParameterError: an excerpt is of another country, or lacks days of the period; or the
                country's file of decisions cannot be read.
            SourceError: the disk is full.
            ContractError: a file of the store is damaged.
        """
        self._whole: Observations | None = None  # keeps the whole open while a part is in use
        withheld = load_withheld(probe_cc)
        if collection.excerpt:
            _check_excerpt(collection.excerpt, probe_cc, period)
        self._collection = collection
        store = collection.store
        with ExitStack() as undo:
            self.scratch = undo.enter_context(TemporaryFolder("workbook-observations-"))
            limit = os.environ.get("OMP_NUM_THREADS", "")
            threads = (int(limit) if limit.isdecimal() else os.cpu_count()) or 1
            database = self.scratch / "observations.duckdb"
            self.connection = undo.enter_context(connect(database, threads))
            stages = Path(store.path(FOLDER)) if store.is_local else STAGES_OF_BUCKETS
            folders = [stages, self.scratch / FOLDER]
            name = name_study(collection, probe_cc, period)
            self.kept = KeptTables(name, folders)
            study = provide_observations(
                self.kept, self.connection, collection, probe_cc, period, self.scratch
            )
            reasons, duplicates = (
                self.connection.execute(f"FROM {study}.{table} ORDER BY ALL").fetchall()
                for table in ("reasons", "duplicates")
            )
            self._counts, self._duplicates = Counter(dict(reasons)), duplicates
            self._row_count = self._counts["kept"]
            limit_memory(self.connection, self._row_count)
            if withheld:
                self.kept = KeptTables(f"{name}-{withheld.digest}", folders)
                study = withhold(self.kept, self.connection, study, withheld)
            for table in ("observations", "late_observations"):
                self.connection.execute(f"CREATE VIEW {table} AS FROM {study}.{table}")
            self._to_undo = undo.pop_all()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and remove its temporary files."""
        self._to_undo.close()

    def beside(self) -> "Observations":
        """Return the same rows over another connection, without this one's temporary tables."""
        other, undo = copy(self), ExitStack()
        other._whole, other._to_undo = self, undo
        other.connection = undo.enter_context(closing(self.connection.cursor()))
        return other

    def only(self, condition: str) -> "Observations":
        """Return the observations for which a condition is true, in a database of their own.

        They are written once; the same part of the same rows is opened again later.

        Raises:
            ParameterError: it is not a condition on the columns of an observation.
        """
        query = f"FROM observations WHERE ({condition})"
        try:
            # The file of a part is named by its condition, which therefore must not read tables of
            # the method: these may change. A new cursor does not find them.
            with closing(self.connection.cursor()) as cursor:
                relation = cursor.sql(f"SELECT ({condition}) AS is_in FROM observations")
                is_condition = relation.types == ["BOOLEAN"]
                if is_condition:
                    cursor.execute(f"SELECT count(*) {query}")
        except duckdb.Error as error:
            reason = f"it is no condition over the columns of observations: {error}"
            raise ParameterError("only", condition, reason.splitlines()[0]) from None
        if not is_condition:
            reason = "it is no condition, which is true or false, such as probe_asn = 1"
            raise ParameterError("only", condition, reason)
        return self._take_part(query, query.replace("observations", "late_observations", 1))

    def resample(self, seed: int) -> "Observations":
        """Return a bootstrap sample: as many runs, drawn with replacement, in another database.

        A run that is drawn twice appears as two runs. A seed draws the same runs on every machine:
        runs are numbered by their content, and ``random()`` is stable across Python versions. The
        ledger is that of all observations.
        """
        query = "SELECT DISTINCT run FROM observations ORDER BY run"
        runs = [run for (run,) in self.connection.execute(query).fetchall()]
        random = Random(seed)
        draws = pd.DataFrame({"run": sorted(runs[int(random.random() * len(runs))] for _ in runs)})
        draws = draws.assign(copy=draws.groupby("run").cumcount(), drawn_run=draws.index + 1)
        self.connection.register("drawn_runs", draws)
        try:
            return self._take_part(_DRAWN_ROWS, "FROM late_observations LIMIT 0", is_kept=False)
        finally:
            self.connection.unregister("drawn_runs")

    def _take_part(self, query: str, late: str, *, is_kept: bool = True) -> "Observations":
        """Return the rows of two queries as observations, and as the late ones beside them.

        The stages made from them are temporary unless ``is_kept``.
        """
        digest = hashlib.sha256(query.encode()).hexdigest()[:16]
        part, undo = copy(self), ExitStack()
        part._whole, part._to_undo = self, undo
        part.scratch = undo.enter_context(TemporaryFolder("workbook-observations-"))
        folders = self.kept.folders if is_kept else [part.scratch / FOLDER]
        part.kept = KeptTables(f"{self.kept.study}-{digest}", folders)
        part.connection = undo.enter_context(connect(part.scratch / "observations.duckdb", 2))

        def make(catalog: str) -> None:
            self.connection.execute(f"CREATE TABLE {catalog}.observations AS {query}")
            self.connection.execute(f"CREATE TABLE {catalog}.late_observations AS {late}")

        catalog = part.kept.find(part.connection, _STAGE, query)
        if catalog is None:
            new_catalog = part.kept.provide(self.connection, _STAGE, query, make)
            self.connection.execute(f"DETACH {new_catalog}")
            catalog = part.kept.provide(part.connection, _STAGE, query, make)
        for table in ("observations", "late_observations"):
            part.connection.execute(f"CREATE VIEW {table} AS FROM {catalog}.{table}")
        ((row_count,),) = part.connection.execute("SELECT count(*) FROM observations").fetchall()
        limit_memory(part.connection, row_count)
        if is_kept:  # a random sample leaves no row out
            part._row_count = row_count
        return part

    def ledger(self) -> pd.DataFrame:
        """Return the ledger of all lines.

        Returns:
            One row per reason (``reason, line_count``): all of :data:`store.REASONS` in order, then
            the ``invalid:<why>`` that occur, sorted, then ``left_out`` (lines outside the part) and
            ``total``.

        Raises:
            ContractError: the reasons do not add up to the lines.
        """
        table = add_up(self._collection.files, self._counts)
        if left_out := table["kept"] - self._row_count:
            total = table.pop("total")
            table |= {"kept": self._row_count, "left_out": left_out, "total": total}
        return pd.DataFrame({"reason": list(table), "line_count": list(table.values())})

    def duplicates(self) -> pd.DataFrame:
        """Return the lines left out as duplicates: ``month, flag, line_count``, sorted.

        ``flag`` is one of :data:`flags.DISJOINT`, under which OONI would count the line.
        """
        return pd.DataFrame(self._duplicates, columns=["month", "flag", "line_count"])


def _check_excerpt(excerpt: Excerpt, probe_cc: str, period: Period) -> None:
    """Refuse a country or period that an excerpt does not cover."""
    share = excerpt.period
    for name, value, is_covered in (
        ("PROBE_CC", probe_cc, probe_cc == excerpt.probe_cc),
        ("SINCE", period.since, period.since >= share.since),
        ("UNTIL", period.until, period.until <= share.until),
    ):
        if not is_covered:
            raise ParameterError(
                name,
                value,
                f"the share is of {excerpt.probe_cc}, {share.since} to {share.last_day}",
            )


def observations_from_table(
    table: pa.Table, name: str = "observations"
) -> duckdb.DuckDBPyConnection:
    """Open a connection with the table ``observations``, or ``messaging``, from a table in memory.

    ``table`` has the columns of ``schema.OBSERVATION``, or of ``MESSAGING``, and any others, which
    are kept. No row is left out; ``row_id`` numbers them from 0, and ``run`` their runs, unless
    the table has ``run``. Without those of ``store.receipt``, nothing is known of the receipt.
    """
    connection = connect()
    numbered = table.append_column("row_id", pa.array(range(len(table)), pa.uint32()))
    for column in ("received_since", "received_until"):
        if column not in table.column_names:
            nothing = pa.nulls(len(table), pa.timestamp("s"))
            numbered = numbered.append_column(column, nothing)
    if "run" in table.column_names:
        connection.from_arrow(numbered).create(name)
        return connection
    connection.register("given_row", numbered)
    columns = RUN_COLUMNS.format(**_describe_test(table.schema))
    connection.execute(f"CREATE TEMP TABLE scoped_row AS SELECT row_id, {columns} FROM given_row")
    name_runs(connection, "scoped_row", "scoped_row")
    connection.execute(
        f"CREATE TABLE {name} AS SELECT g.*, run, run_known_by "
        "FROM given_row g JOIN run_of_row USING (row_id)"
    )
    connection.unregister("given_row")
    return connection


def _describe_test(schema: pa.Schema) -> dict[str, str]:
    """Return the SQL of a row's test and input; apps and tools have no input."""
    is_web = "input" in schema.names
    return {"test": "''", "input": "input"} if is_web else {"test": "test_name", "input": "''"}


_JUDGED = f"""
CREATE TEMP TABLE judged AS
SELECT r.*, run, run_known_by, CASE
    WHEN probe_cc <> $cc THEN 'other_country'
    WHEN NOT {IN_PERIOD} THEN 'out_of_period'
    WHEN {IS_LATE} THEN 'late'
    WHEN row_id IN (SELECT row_id FROM repeated_row) THEN 'duplicate'
    ELSE 'kept' END AS reason
FROM {{rows}} r LEFT JOIN run_of_row USING (row_id)
"""

_KEPT = """
CREATE TABLE messaging AS
SELECT * EXCLUDE (reason) FROM judged WHERE reason = 'kept'
ORDER BY measurement_start_time, object_key, line_number
"""

_ADDED = [
    ("object_key", pa.string()),
    ("received_since", pa.timestamp("s")),
    ("received_until", pa.timestamp("s")),
    ("row_id", pa.uint32()),
    ("run", pa.uint32()),
    ("run_known_by", pa.string()),
]
_COUNTS = "SELECT test_name, reason, count(*) FROM judged GROUP BY ALL"


class MessagingRows:
    """The messaging and circumvention tests of a study.

    ``connection`` has the table ``messaging``: the columns of ``MESSAGING``, ``object_key``,
    ``row_id``, ``run`` and ``run_known_by``, one row per measurement; empty if the source has none.
    """

    def __init__(self, collection: Collection, probe_cc: str, period: Period) -> None:
        """Read the tests.

        Raises:
            SourceError: the disk is full.
            ContractError: a file of the store is damaged.
        """
        self.connection = connect()
        self._collection = collection
        self._rows: dict[str, Counter[str]] = defaultdict(Counter)
        if not collection.files:
            columns = pa.schema([*MESSAGING, *_ADDED])
            self.connection.from_arrow(columns.empty_table()).create("messaging")
            return
        scope = {"cc": probe_cc, "since": period.since, "until": period.until}
        with TemporaryFolder("workbook-messaging-") as scratch, explain_failures():
            rows = view_rows(self.connection, collection, scratch)
            scope_rows(self.connection, rows, scope, schema=MESSAGING)
            self.connection.execute(_JUDGED.format(rows=rows), scope)
            self.connection.execute(_KEPT)
        for test, reason, count in self.connection.execute(_COUNTS).fetchall():
            self._rows[test][reason] += count
        self.connection.execute("DROP TABLE judged")

    def ledger(self) -> pd.DataFrame:
        """Return the ledger of these tests' lines.

        Returns:
            One row per test and reason (``test_name, reason, line_count``): for each test that the
            source has, the reasons of ``store.REASONS`` and ``invalid:<why>`` that occur, and
            ``total``.

        Raises:
            ContractError: the reasons do not add up to the lines.
        """
        files = defaultdict(list)
        for file in self._collection.files:
            files[BY_FOLDER[find_test(file.key) or ""].name].append(file)
        rows = []
        for test in TESTS:
            if test.name in files:
                ledger = add_up(files[test.name], self._rows[test.name])
                rows += [
                    (test.name, reason, count)
                    for reason, count in ledger.items()
                    if count or reason == "total"
                ]
        return pd.DataFrame(rows, columns=["test_name", "reason", "line_count"])
