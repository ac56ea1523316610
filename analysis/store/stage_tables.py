"""Tables of a stage: how a stage finds those that it reads, and where those that it makes are kept.

A stage is handed the tables of earlier ones, and asks them over a connection of its own, in
which a bare name means one of these or nothing. So no result depends on what else was made
before.

They stay on disk, by the digest of all that they were made from: what a notebook computes, the
next one opens. A stage of a study is one file,
``STORE/stages/<study>.<stage>_<digest>.<checksum>.duckdb``. The digest is of what went into it,
so that nothing stale can be served; the checksum is of the file's bytes, so that a damaged one
counts as none and is made again. A file appears whole or not at all, whoever makes it at the
same time, and can be deleted at any time. Those that were not used for longest go when all of
them take too much room.
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
    """Some tables, and how they are found.

    Attributes:
        catalogs: the databases that hold them. A name means the first that has it.
        views: how some of them are read, by name, in order; each reads tables or those before it.
    """

    catalogs: tuple[str, ...]
    views: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection) -> Self:
        """Those of the database that a connection was opened with."""
        query = "SELECT first(database_name ORDER BY database_oid) FROM duckdb_databases()"
        ((name,),) = connection.execute(f"{query} WHERE NOT internal").fetchall()
        return cls((name,))

    @contextmanager
    def opened(self, connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
        """Another connection to the same, which finds these tables alone.

        What is made in it as temporary goes with it. Views are its user's to make.
        """
        with closing(connection.cursor()) as cursor:
            self._look_into(cursor)
            yield cursor

    def use(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection find these tables and views from here on, for whoever asks it."""
        self._look_into(connection)
        for name, query in self.views.items():
            connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")

    def _look_into(self, connection: duckdb.DuckDBPyConnection) -> None:
        paths = ",".join(f"{catalog}.main" for catalog in self.catalogs)
        connection.execute(f"SET search_path = '{paths}'")


def add_room(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """Make room in memory for tables; returns the catalog, which stays as long as the database."""
    catalog = f"{name}_{uuid.uuid4().hex[:16]}"
    connection.execute(f"ATTACH ':memory:' AS {catalog}")
    return catalog


#: What DuckDB may hold, in MB, and for how many rows more of it.
_MEMORY, _ROWS_PER_MB = 800, 3_000


def connect(database: Path | str = ":memory:", threads: int = 1) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection whose answers do not depend on the machine's settings."""
    connection = duckdb.connect(str(database))
    if str(database) == ":memory:":
        connection.execute("SET temp_directory = ''")  # by default it is where the program started
    connection.execute(f"SET threads = {int(threads)}")
    # Rows come in any order, and every query that cares says which: keeping that of the files makes
    # each table twice as dear.
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET TimeZone = 'UTC'")
    # To find a part of a query that comes twice, the first writes out every type with all the names
    # in it (see ``features``): that takes longer than many a query, and finds nothing. The second
    # makes of each count of distinct sessions a query of its own and joins them, which is slower.
    connection.execute("SET disabled_optimizers = 'common_subplan,distinct_aggregate_rewrite'")
    # The command line has a bar of its own. In a notebook there is none, and setting it fails.
    ((has_bar,),) = connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()
    if has_bar:
        connection.execute("SET enable_progress_bar = false")
    return connection


def limit_memory(connection: duckdb.DuckDBPyConnection, row_count: int) -> None:
    """Let what does not fit go to the connection's folder, so that a small machine will do.

    Names and hash tables cannot go there, so that many more rows need more.
    """
    limit = max(_MEMORY, row_count // _ROWS_PER_MB)
    connection.execute(f"SET memory_limit = '{limit}MB'")


@contextmanager
def limit_threads(connection: duckdb.DuckDBPyConnection, most: int) -> Iterator[None]:
    """DuckDB with so many threads at most, for a while; with one, rows keep their order."""
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute(f"SET threads = {min(most, int(threads))}")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {int(threads)}")


FOLDER = "stages"
_SUFFIX = ".duckdb"
#: What all files of a folder may take; a year of a country takes some 0.6 GB.
MOST_BYTES = 4_000_000_000
_IN_USE = 3600  # seconds after its last use for which a file is left alone
#: Each thread that compresses holds a hundred thousand rows of every column.
_THREADS = 2


@dataclass(frozen=True)
class KeptTables:
    """The stages of one study.

    Attributes:
        study: names what its observations are.
        folders: where the files are. A new one goes to the first that can be written.
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
        """The catalog in which a connection finds the tables of a stage, made now or earlier.

        Args:
            connection: holds all that ``make`` reads.
            stage: its name.
            made_from: what the tables depend on besides the observations, as JSON can say it.
            make: makes them in the catalog that it is handed.

        Raises:
            SourceError: there is no room for them.
        """
        if found := self.find(connection, stage, made_from):
            return found
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
        """The same of tables that were made earlier; nothing where none were."""
        catalog = self.catalog(stage, made_from)
        query = "SELECT 1 FROM duckdb_databases() WHERE database_name = $catalog"
        is_open = connection.execute(query, {"catalog": catalog}).fetchall()
        return catalog if is_open or self._open(connection, catalog) else None

    def catalog(self, stage: str, made_from: object) -> str:
        """The name that ``provide`` gives to the catalog of a stage."""
        said = json.dumps([self.study, stage, made_from], sort_keys=True)
        return f"{stage}_{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def _open(self, connection: duckdb.DuckDBPyConnection, catalog: str) -> bool:
        """Attach the file of a stage, where there is a whole one."""
        for folder in self.folders:
            for path in folder.glob(f"{self.study}.{catalog}.*{_SUFFIX}"):
                with suppress(OSError, duckdb.Error):
                    if path.suffixes[-2] == f".{digest_file(path)[:32]}":
                        _attach(connection, path, catalog, "READ_ONLY")
                        os.utime(path)  # it was used
                        return True
                    path.unlink()
        return False

    def _make(
        self, connection: duckdb.DuckDBPyConnection, catalog: str, make: Callable[[str], object]
    ) -> None:
        """Make the tables of a stage in a file, and attach it.

        Raises:
            SourceError: no folder has room for it.
        """
        why = ""
        for folder in self.folders:
            if "?" in str(folder):  # DuckDB takes the rest for a query, and writes beside the file
                why = f"{folder} has a question mark in it"
                continue
            try:
                with TemporaryFolder(".making-", folder) as room:
                    made = room / f"made{_SUFFIX}"
                    _write(make, connection, made, catalog)
                    path = folder / f"{self.study}.{catalog}.{digest_file(made)[:32]}{_SUFFIX}"
                    made.replace(path)
                _attach(connection, path, catalog, "READ_ONLY")
            except (OSError, duckdb.IOException, duckdb.TransactionException) as error:
                why = str(error).splitlines()[0]
            else:
                _remove_unused(folder)
                return
        raise SourceError(f"the tables of a stage cannot be written: {why}")


def _write(
    make: Callable[[str], object], connection: duckdb.DuckDBPyConnection, path: Path, catalog: str
) -> None:
    """Write what ``make`` makes into a file, and take it out of the connection."""
    _attach(connection, path, catalog, "READ_WRITE")
    try:
        with limit_threads(connection, _THREADS):
            make(catalog)
        connection.execute(f"CHECKPOINT {catalog}")
    except BaseException:
        with suppress(duckdb.Error):  # the first failure is the one to tell
            connection.execute(f"DETACH {catalog}")
        raise
    connection.execute(f"DETACH {catalog}")


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, catalog: str, options: str) -> None:
    quoted = str(path).replace("'", "''")
    connection.execute(f"ATTACH '{quoted}' AS {catalog} ({options})")


def _remove_unused(folder: Path) -> None:
    """Remove the files that were not used for longest, where all are too large together."""
    with suppress(OSError):
        files = [(path.stat(), path) for path in folder.glob(f"*{_SUFFIX}")]
        total = sum(stat.st_size for stat, _ in files)
        for stat, path in sorted(files, key=lambda file: file[0].st_mtime):
            if total <= MOST_BYTES or time.time() - stat.st_mtime < _IN_USE:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size
