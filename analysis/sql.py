"""Queries that stand in a ``.sql`` file beside the module that runs them.

A file begins with what it is about. Then come its queries, in the order in which they run. Each has
a head, which says its name and what one row of its result is::

    -- name: neighbours
    -- One row is a block … (stretch, reached_count, silent_count).
    SELECT …

A query is handed on to DuckDB as it stands in the file; no text is put into it. What it does not
know by itself it has from one of these:

* a parameter, ``$floor_sessions``, for a value, and for the name of a relation,
  ``query_table($rows)``. DuckDB takes parameters in queries and tables, and not in views and
  macros;
* a macro of DuckDB, for an expression or a query that comes more than once. Its name has arguments:
  ``-- name: is_problem(is_anomaly, class)``. Below its head stands what DuckDB takes after
  ``CREATE MACRO … AS``: an expression, or the word ``TABLE`` and a query.

``outcomes.steps`` makes tables, views and macros of them.
"""

import re
from collections.abc import Mapping
from pathlib import Path

#: The head of a query: its name, and the lines of comment below.
_HEAD = re.compile(r"^-- name: (.+)\n((?:--.*\n)*)", re.MULTILINE)


def read_queries(module: str) -> dict[str, str]:
    """Read the queries of the ``.sql`` file beside a module: name → query, in order.

    Args:
        module: the module's ``__file__``.
    """
    return split_queries(Path(module).with_suffix(".sql").read_text(encoding="utf-8"))


def pick_queries(queries: Mapping[str, str], *names: str) -> dict[str, str]:
    """Pick some of the queries, in the order of their names here."""
    return {name: queries[name] for name in names}


def split_queries(text: str) -> dict[str, str]:
    """Split the text of a ``.sql`` file: name → query, in order, without the heads."""
    parts = _HEAD.split(text)[1:]  # after what the file is about: name, comment and query of each
    return {name: query.strip() for name, query in zip(parts[0::3], parts[2::3], strict=True)}
