"""Rows in which the names that a meeting withheld have given way to their placeholders.

What a row says of the site stays: when, where and how it was tested, and what came of it. So the
judge comes to the same. What spells a name is changed wherever it stands, in every column that
there is: addresses tested and redirected to, names in handshakes, failures. What leads to the
measurement in OONI's archive, and what the site says of itself, goes from its own rows.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from analysis.errors import ParameterError
from analysis.files import digest_file
from analysis.reference import withheld as reference
from analysis.reference.withheld import Withheld
from analysis.store.stage_tables import KeptTables

_STAGE = "withheld"
_MADE_BY = [digest_file(Path(str(one))) for one in (__file__, reference.__file__)]
_AT_A_TIME = 5_000  # rows as Python's objects

_LIKELY = """
CREATE OR REPLACE TEMP TABLE likely_row AS
SELECT row_id FROM {rows} r WHERE regexp_matches(r::VARCHAR, $spellings, 'i')
"""
# No measurement has it: a host name that is tested has a dot.
_PLACEHOLDER = "SELECT 1 FROM {rows} WHERE regexp_full_match(domain, 'withheld-[0-9]+') LIMIT 1"
# In two runs: one stranger may know the title, and send it as another site's.
_OTHER_TITLES = """
SELECT title FROM (
  SELECT row_id, unnest([http_title, control_http_title]) AS title FROM {rows} ANTI JOIN own_row
    USING (row_id)
) SEMI JOIN own_title USING (title) JOIN (SELECT row_id, run FROM {runs}) USING (row_id)
GROUP BY title HAVING count(DISTINCT run) >= 2
"""
_RENAMED = """
CREATE OR REPLACE TEMP VIEW renamed AS
FROM {rows} ANTI JOIN renamed_row USING (row_id) UNION ALL BY NAME FROM renamed_row
"""


def withhold(
    kept: KeptTables, connection: duckdb.DuckDBPyConnection, rows: str, withheld: Withheld
) -> str:
    """Let a connection find a study's rows with placeholders; returns the catalog they are in.

    Args:
        kept: the stages of the study with these names withheld.
        connection: holds the rows.
        rows: the rows as they were measured.
        withheld: the names.

    Raises:
        SourceError: there is no room for them.
    """

    def make(catalog: str) -> None:
        renamed = rename_rows(connection, rows, rows, withheld)
        connection.execute(f"CREATE TABLE {catalog}.observations AS FROM {renamed}")
        connection.execute(f"DROP VIEW {renamed}")
        connection.unregister("renamed_row")

    return kept.provide(connection, _STAGE, _MADE_BY, make)


def rename_rows(
    connection: duckdb.DuckDBPyConnection, rows: str, runs: str, withheld: Withheld
) -> str:
    """Make a view of rows with placeholders; returns its name.

    Args:
        connection: holds the rows.
        rows: a table of the columns of ``schema.OBSERVATION``, ``row_id``, and any others.
        runs: a table that says of each ``row_id`` its ``run``.
        withheld: the names.

    Raises:
        ParameterError: some of the rows have placeholders already, of whoever shared them.
    """
    spellings = "|".join(map(re.escape, withheld.spellings))
    connection.execute(_LIKELY.format(rows=rows), {"spellings": spellings})
    query = f"FROM {rows} SEMI JOIN likely_row USING (row_id) ORDER BY row_id"
    found = connection.sql(query).to_arrow_table()
    connection.execute("DROP TABLE likely_row")
    _refuse_two_placeholders(connection, rows, found, withheld)
    inputs = _number_inputs(found["input"].unique().to_pylist(), withheld)
    titles = _number_titles(connection, rows, runs, found, withheld)
    batches = [
        pa.RecordBatch.from_pylist(
            [_rename_row(row, withheld, inputs, titles) for row in batch.to_pylist()], found.schema
        )
        for batch in found.to_batches(_AT_A_TIME)
    ]
    connection.register("renamed_row", pa.Table.from_batches(batches, found.schema))
    connection.execute(_RENAMED.format(rows=rows))
    return "renamed"


def _refuse_two_placeholders(
    connection: duckdb.DuckDBPyConnection, rows: str, found: pa.Table, withheld: Withheld
) -> None:
    """A share may have the placeholders of its sender: those of another site, if the site is there
    by its name as well."""
    if not any(map(withheld.spells, found["domain"].unique().to_pylist())):
        return
    if connection.execute(_PLACEHOLDER.format(rows=rows)).fetchall():
        raise ParameterError(
            "SOURCE",
            "share",
            "its sender withheld other names than your file of decisions, and "
            "withheld-1 would stand for two sites: use one file of decisions, or another source",
        )


def _rename_row(
    row: Mapping[str, Any],
    withheld: Withheld,
    inputs: Mapping[str, str],
    titles: Mapping[str, str],
) -> dict[str, Any]:
    renamed = {name: _rename(value, withheld) for name, value in row.items()}
    if _is_at_site(row, withheld):
        for name in ("http_title", "control_http_title"):
            renamed[name] = titles.get(row[name], renamed[name])
    if withheld.spells(row["domain"]):
        renamed |= {
            "input": inputs[row["input"]],
            "report_id": "",
            "certificate_issuer": None,
            "certificate_names": None,
        }
    return renamed


def _rename(value: Any, withheld: Withheld) -> Any:
    """A value of any type, with placeholders in all texts in it."""
    if isinstance(value, str):
        return withheld.mask(value)
    if isinstance(value, list):
        return [_rename(one, withheld) for one in value]
    if isinstance(value, dict):
        return {name: _rename(one, withheld) for name, one in value.items()}
    return value


def _is_at_site(row: Mapping[str, Any], withheld: Withheld) -> bool:
    """Whether a row is of such a site, or ended there."""
    return withheld.spells(row["domain"]) or withheld.spells(row["http_host"] or "")


def _number_inputs(inputs: Iterable[str], withheld: Withheld) -> dict[str, str]:
    """Address → what stands for it. Those of one site differ in a number, the shortest has none:
    that a run tested several of them still shows."""
    counts: Counter[str] = Counter()
    named = {}
    for address in sorted(inputs, key=lambda one: (len(one), one)):
        masked = withheld.mask(address)
        counts[masked] += 1
        named[address] = f"{masked}{counts[masked]}" if counts[masked] > 1 else masked
    return named


def _number_titles(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    runs: str,
    found: pa.Table,
    withheld: Withheld,
) -> dict[str, str]:
    """Title of a page that no other site shows → what stands for it. A site's title names it; that
    of a block page does not."""
    columns = ["row_id", "domain", "http_host", "http_title", "control_http_title"]
    own = [row for row in found.select(columns).to_pylist() if _is_at_site(row, withheld)]
    titles = {row[name] for row in own for name in columns[3:]} - {None, ""}
    ids = pa.array([row["row_id"] for row in own], pa.uint32())
    connection.register("own_row", pa.table({"row_id": ids}))
    connection.register("own_title", pa.table({"title": pa.array(sorted(titles), pa.string())}))
    elsewhere = connection.execute(_OTHER_TITLES.format(rows=rows, runs=runs)).fetchall()
    for name in ("own_row", "own_title"):
        connection.unregister(name)
    own_titles = sorted(titles - {title for (title,) in elsewhere})
    return {title: f"withheld title {place}" for place, title in enumerate(own_titles, start=1)}
