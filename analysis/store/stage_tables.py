"""Tables of DuckDB by the databases that they are in: what a stage is handed, and what it makes.

A stage is handed the tables of earlier ones, and asks them over a connection of its own, in which
a bare name means one of these or nothing. So no result depends on what else was made before.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Self

import duckdb


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
