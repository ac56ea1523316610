"""Tables of a stage: access to the tables of earlier stages, and the files that keep them.

A stage queries the tables of earlier stages over a connection of its own, in which an unqualified
name means one of these tables or nothing. So no result depends on other tables in the database.

Tables are kept on disk, so that each notebook opens what an earlier one computed. A stage of a
study is one file, ``STORE/stages/<study>.<stage>_<digest>.<checksum>.duckdb``. The digest covers
all inputs of the stage, so that a stale file is never used; the checksum covers the file's bytes,
so that a damaged file is made again. A file appears whole or not at all, even if two processes make
it at once, and can be deleted at any time. If all files together are too large, those unused for
longest are removed.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import duckdb

from analysis.errors import SourceError
from analysis.files import digest_file, hold_lock
from analysis.temporary_folders import TemporaryFolder


@dataclass(frozen=True)
class Tables:
    """A set of tables and views.

    Attributes:
        catalogs: their databases, or ``database.schema``. A name means the table in the first of
            them that has it.
        views: name → query, in order; each may read the tables and earlier views.
    """

    catalogs: tuple[str, ...]
    views: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection) -> Self:
        """Return the tables of the database with which a connection was opened."""
        query = "SELECT first(database_name ORDER BY database_oid) FROM duckdb_databases()"
        ((name,),) = connection.execute(f"{query} WHERE NOT internal").fetchall()
        return cls((name,))

    @contextmanager
    def opened(self, connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open another connection to the same database, which finds these tables only.

        Its temporary tables end with it. Views are not created.
        """
        with closing(connection.cursor()) as cursor:
            self._set_search_path(cursor)
            yield cursor

    def use(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make a connection find these tables and views from now on."""
        self._set_search_path(connection)
        for name, query in self.views.items():
            connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")

    def _set_search_path(self, connection: duckdb.DuckDBPyConnection) -> None:
        paths = ",".join(name if "." in name else f"{name}.main" for name in self.catalogs)
        connection.execute(f"SET search_path = '{paths}'")


def add_room(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """Attach a database in memory and return its catalog, which stays as long as the connection."""
    catalog = f"{name}_{uuid.uuid4().hex[:16]}"
    connection.execute(f"ATTACH ':memory:' AS {catalog}")
    return catalog


#: DuckDB's memory in MB, and the number of rows for each further MB.
_MEMORY, _ROWS_PER_MB = 800, 3_000


def connect(database: Path | str = ":memory:", threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB connection whose results do not depend on the machine's settings."""
    connection = duckdb.connect(str(database))
    if str(database) == ":memory:":
        connection.execute("SET temp_directory = ''")  # the default is the working folder
    connection.execute(f"SET threads = {int(threads)}")
    # Queries that depend on an order ask for it; keeping the order of files would double the time
    # of each table.
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET TimeZone = 'UTC'")
    # The first optimizer searches for repeated subqueries by writing out every type with all its
    # names (see ``features``), which takes longer than many queries and finds nothing. The second
    # turns each count of distinct sessions into a query of its own with a join, which is slower.
    connection.execute("SET disabled_optimizers = 'common_subplan,distinct_aggregate_rewrite'")
    # The command line has a progress bar of its own. In a notebook the setting fails.
    ((has_bar,),) = connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()
    if has_bar:
        connection.execute("SET enable_progress_bar = false")
    return connection


def limit_memory(connection: duckdb.DuckDBPyConnection, row_count: int) -> None:
    """Limit the memory of a connection, which writes the rest to its folder.

    Names and hash tables cannot be written there, so the limit grows with the rows.
    """
    limit = max(_MEMORY, row_count // _ROWS_PER_MB)
    connection.execute(f"SET memory_limit = '{limit}MB'")


@contextmanager
def limit_threads(connection: duckdb.DuckDBPyConnection, most: int) -> Iterator[None]:
    """Limit DuckDB's threads inside the block; with a single thread, rows keep their order."""
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute(f"SET threads = {min(most, int(threads))}")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {int(threads)}")


FOLDER = "stages"
_SUFFIX = ".duckdb"
#: The most bytes of all files of a folder; a year of a country takes some 0.6 GB.
MOST_BYTES = 4_000_000_000
_IN_USE = 3600  # seconds after its last use in which a file is not removed
#: Threads that write; each holds a hundred thousand rows of every column.
_THREADS = 2


@dataclass(frozen=True)
class KeptTables:
    """The stages of one study.

    Attributes:
        study: identifies its observations.
        folders: of the files. A new file is written into the first that is writable.
    """

    study: str
    folders: Sequence[Path]

    def provide(
        self,
        connection: duckdb.DuckDBPyConnection,
        stage: str,
        made_from: object,
        make: Callable[[str], object],
    ) -> str:
        """Return the catalog of a stage's tables, and make them if they do not exist.

        Args:
            connection: finds all tables that ``make`` reads.
            stage: its name.
            made_from: all inputs of the tables besides the observations, as values for JSON.
            make: makes the tables in a catalog.

        Raises:
            SourceError: no folder can take the file.
        """
        if existing := self.find(connection, stage, made_from):
            return existing
        catalog = self.catalog(stage, made_from)
        lock = self.folders[0] / f".{self.study}.{catalog}.lock"
        with ExitStack() as stack:
            with suppress(OSError):  # another folder will do
                stack.enter_context(hold_lock(lock))
                stack.callback(lock.unlink, missing_ok=True)
            # whoever has waited may find it made
            if self.find(connection, stage, made_from) is None:
                self._make(connection, catalog, make)
        return catalog

    def find(
        self, connection: duckdb.DuckDBPyConnection, stage: str, made_from: object
    ) -> str | None:
        """Return the catalog of a stage's tables, or None if they do not exist."""
        catalog = self.catalog(stage, made_from)
        query = "SELECT 1 FROM duckdb_databases() WHERE database_name = $catalog"
        is_open = connection.execute(query, {"catalog": catalog}).fetchall()
        return catalog if is_open or self._open(connection, catalog) else None

    def catalog(self, stage: str, made_from: object) -> str:
        """Return the name of a stage's catalog."""
        inputs = json.dumps([self.study, stage, made_from], sort_keys=True)
        return f"{stage}_{hashlib.sha256(inputs.encode()).hexdigest()[:16]}"

    def _open(self, connection: duckdb.DuckDBPyConnection, catalog: str) -> bool:
        """Attach the file of a stage, and return whether there is an undamaged one."""
        for folder in self.folders:
            for path in folder.glob(f"{self.study}.{catalog}.*{_SUFFIX}"):
                with suppress(OSError, duckdb.Error):
                    if path.suffixes[-2] == f".{digest_file(path)[:32]}":
                        _attach(connection, path, catalog, "READ_ONLY")
                        os.utime(path)  # marks the file as used now
                        return True
                    path.unlink()
        return False

    def _make(
        self, connection: duckdb.DuckDBPyConnection, catalog: str, make: Callable[[str], object]
    ) -> None:
        """Make the tables of a stage in a file, and attach it.

        Raises:
            SourceError: no folder can take the file.
        """
        reason = ""
        for folder in self.folders:
            if "?" in str(folder):  # DuckDB reads a query behind it, and writes another file
                reason = f"{folder} has a question mark in it"
                continue
            try:
                with TemporaryFolder(".making-", folder) as temporary:
                    new_file = temporary / f"made{_SUFFIX}"
                    _write(make, connection, new_file, catalog)
                    path = folder / f"{self.study}.{catalog}.{digest_file(new_file)[:32]}{_SUFFIX}"
                    new_file.replace(path)
                _attach(connection, path, catalog, "READ_ONLY")
            except (OSError, duckdb.IOException, duckdb.TransactionException) as error:
                reason = str(error).splitlines()[0]
            else:
                _remove_unused(folder)
                return
        raise SourceError(f"the tables of a stage cannot be written: {reason}")


def _write(
    make: Callable[[str], object], connection: duckdb.DuckDBPyConnection, path: Path, catalog: str
) -> None:
    """Make the tables in a file, and detach it from the connection."""
    _attach(connection, path, catalog, "READ_WRITE")
    try:
        with limit_threads(connection, _THREADS):
            make(catalog)
        connection.execute(f"CHECKPOINT {catalog}")
    except BaseException:
        with suppress(duckdb.Error):  # the first error is the one to report
            connection.execute(f"DETACH {catalog}")
        raise
    connection.execute(f"DETACH {catalog}")


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, catalog: str, options: str) -> None:
    escaped = str(path).replace("'", "''")
    connection.execute(f"ATTACH '{escaped}' AS {catalog} ({options})")


def _remove_unused(folder: Path) -> None:
    """Remove the files unused for longest if all files together are too large."""
    with suppress(OSError):
        files = [(path.stat(), path) for path in folder.glob(f"*{_SUFFIX}")]
        total = sum(stat.st_size for stat, _ in files)
        for stat, path in sorted(files, key=lambda file: file[0].st_mtime):
            if total <= MOST_BYTES or time.time() - stat.st_mtime < _IN_USE:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size
