"""Tables of DuckDB that stay on disk, by the digest of all that they were made from.

What a notebook computes, the next one opens: a stage of a study is one file,
``STORE/stages/<study>.<stage>-<digest>.<checksum>.duckdb``. The digest is of what went into it, so
that nothing stale can be served; the checksum is of the file's bytes, so that a damaged one counts
as none and is made again. A file appears whole or not at all, whoever makes it at the same time,
and can be deleted at any time. Those that were not used for longest go when all of them take too
much room.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import duckdb

from analysis.errors import SourceError
from analysis.store.store import make_alone
from analysis.temporary_folders import TemporaryFolder

FOLDER = "stages"
_SUFFIX = ".duckdb"
#: What all files of a folder may take; a year of a country takes some 0.6 GB.
MOST_BYTES = 4_000_000_000
_IN_USE = 3600  # seconds after its last use for which a file is left alone
#: A table of each file: what was made there.
_NOTES = "made"
#: TABLE, TYPE or VIEW, of what is temporary, or KEPT, of a table in a file; and its name.
Made = tuple[str, str]
#: Connection → what was made in it, in order, while it is open; a cursor is one of its own.
_made: WeakKeyDictionary[duckdb.DuckDBPyConnection, Sequence[Made]] = WeakKeyDictionary()


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
        make: Callable[[str], None],
    ) -> bool:
        """Let a connection find the tables of a stage by their names, made now or earlier.

        A temporary table of the same name is dropped; one that is created later comes first, until
        the stage is provided again. A cursor of the connection has to be provided for by itself.

        Args:
            connection: holds all that ``make`` reads.
            stage: its name.
            made_from: what the tables depend on besides the observations, as JSON can say it.
            make: makes the tables, and notes them (``note_made``); large ones in the catalog that
                it is handed, the others as temporary ones, with their types. Views are the
                caller's.

        Returns:
            Whether ``make`` was called.

        Raises:
            SourceError: there is no room for them.
        """
        catalog = self.catalog(stage, made_from)
        if self.find(connection, stage, made_from):
            return False
        with make_alone(self.folders[0] / f".{self.study}.{catalog}.lock"):
            if self.find(connection, stage, made_from):
                return False
            self._make(connection, catalog, make)
        _prefer(connection, catalog)
        return True

    def find(self, connection: duckdb.DuckDBPyConnection, stage: str, made_from: object) -> bool:
        """The same of tables that were made earlier; says whether they were."""
        if not self.attach(connection, stage, made_from):
            return False
        _prefer(connection, self.catalog(stage, made_from))
        return True

    def attach(self, connection: duckdb.DuckDBPyConnection, stage: str, made_from: object) -> bool:
        """Let a connection find tables that were made earlier in their catalog alone; says whether
        they were.
        """
        catalog = self.catalog(stage, made_from)
        return catalog in _catalogs(connection) or self._open(connection, catalog)

    def catalog(self, stage: str, made_from: object) -> str:
        """The catalog in which ``provide`` lets a connection find the tables of a stage."""
        said = json.dumps([self.study, stage, made_from], sort_keys=True)
        return f"{stage}_{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def _open(self, connection: duckdb.DuckDBPyConnection, catalog: str) -> bool:
        """Attach the file of a stage, where there is a whole one."""
        for folder in self.folders:
            for path in folder.glob(f"{self.study}.{catalog}.*{_SUFFIX}"):
                with suppress(OSError, duckdb.Error):
                    if path.suffixes[-2] == f".{_checksum(path)}":
                        _attach(connection, path, catalog, "READ_ONLY")
                        os.utime(path)  # it was used
                        return True
                    path.unlink()
        return False

    def _make(
        self, connection: duckdb.DuckDBPyConnection, catalog: str, make: Callable[[str], None]
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
                    path = folder / f"{self.study}.{catalog}.{_checksum(made)}{_SUFFIX}"
                    made.replace(path)
                _attach(connection, path, catalog, "READ_ONLY")
            except (OSError, duckdb.IOException, duckdb.TransactionException) as error:
                why = str(error).splitlines()[0]
            else:
                _remove_unused(folder)
                return
        raise SourceError(f"the tables of a stage cannot be written: {why}")


def note_made(connection: duckdb.DuckDBPyConnection, *made: Made) -> None:
    """Note that something was made in a connection.

    DuckDB can say what tables there are, but it writes out every enumeration in each of them first:
    seconds, where sessions are enumerated.
    """
    _made[connection] = tuple(dict.fromkeys([*read_made(connection), *made]))


def read_made(connection: duckdb.DuckDBPyConnection) -> Sequence[Made]:
    """What was made in a connection, and has not been dropped, in order."""
    return _made.get(connection, ())


def drop_made(connection: duckdb.DuckDBPyConnection, made: Sequence[Made]) -> None:
    """Drop some of what was made in a connection as temporary: tables before their types."""
    for kind, name in sorted(made):
        connection.execute(f"DROP {kind} IF EXISTS temp.{name}")
    _made[connection] = tuple(one for one in read_made(connection) if one not in made)


def _write(
    make: Callable[[str], None], connection: duckdb.DuckDBPyConnection, path: Path, catalog: str
) -> None:
    """Write what ``make`` leaves in a connection into a file, and take it out of the connection."""
    _attach(connection, path, catalog, "READ_WRITE")
    before = read_made(connection)
    _made[connection] = ()
    try:
        with _looking_into(connection, catalog):  # nothing of another version is seen
            make(catalog)
        made = read_made(connection)
        for kind, name in sorted(made, reverse=True):  # types first
            if kind == "TYPE":
                values = f"SELECT unnest(enum_range(NULL::{name}))::VARCHAR"
                connection.execute(f"CREATE TYPE {catalog}.{name} AS ENUM ({values})")
            elif kind == "TABLE":
                connection.execute(f"CREATE TABLE {catalog}.{name} AS FROM temp.{name}")
        rows = ", ".join(f"('{kind}', '{name}')" for kind, name in made if kind != "VIEW")
        connection.execute(f"CREATE TABLE {catalog}.{_NOTES} (kind VARCHAR, name VARCHAR)")
        connection.execute(f"INSERT INTO {catalog}.{_NOTES} VALUES {rows}")
        connection.execute(f"CHECKPOINT {catalog}")
    finally:
        connection.execute(f"DETACH {catalog}")
        temporary = [one for one in read_made(connection) if one[0] != "KEPT"]
        _made[connection] = tuple(dict.fromkeys([*before, *temporary]))


def _read_notes(connection: duckdb.DuckDBPyConnection, catalog: str) -> set[str]:
    """The names of what a catalog holds."""
    return {
        name for (name,) in connection.execute(f"SELECT name FROM {catalog}.{_NOTES}").fetchall()
    }


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, catalog: str, options: str) -> None:
    quoted = str(path).replace("'", "''")
    connection.execute(f"ATTACH '{quoted}' AS {catalog} ({options})")


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def _catalogs(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute("SELECT database_name FROM duckdb_databases()").fetchall()
    return {name for (name,) in rows}


def _prefer(connection: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Let the names of a stage's tables mean those of this catalog."""
    others = _other_stages(_search_path(connection), catalog)
    _set_search_path(connection, [*others, f"{catalog}.main"])
    names = _read_notes(connection, catalog)
    drop_made(connection, [one for one in read_made(connection) if one[1] in names])


@contextmanager
def _looking_into(connection: duckdb.DuckDBPyConnection, catalog: str) -> Iterator[None]:
    before = _search_path(connection)
    _set_search_path(connection, [*_other_stages(before, catalog), f"{catalog}.main"])
    try:
        yield
    finally:
        _set_search_path(connection, before)


def _search_path(connection: duckdb.DuckDBPyConnection) -> list[str]:
    ((path, own),) = connection.execute(
        "SELECT current_setting('search_path'), current_database()"
    ).fetchall()
    return path.split(",") if path else [f"{own}.main"]


def _other_stages(paths: Sequence[str], catalog: str) -> list[str]:
    stage = catalog[: catalog.rindex("_") + 1]
    return [path for path in paths if not path.startswith(stage)]


def _set_search_path(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    connection.execute(f"SET search_path = '{','.join(paths)}'")


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
