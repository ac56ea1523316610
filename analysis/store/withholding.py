"""Rows in which withheld names are replaced by placeholders.

The facts about the site remain: when, where and how it was tested, and the results. So its verdict
does not change. Names are replaced in every column: inputs, redirects, names in handshakes,
failures. The site's own rows also lose whatever leads to the measurement in OONI's archive, and
the site's own texts.
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
from analysis.reference.withheld import UNUSUAL, Withheld
from analysis.store.stage_tables import KeptTables

_STAGE = "withheld"
_MADE_BY = [digest_file(Path(str(module))) for module in (__file__, reference.__file__)]
_BATCH_ROWS = 5_000  # rows as Python objects at a time

_LIKELY = """
CREATE OR REPLACE TEMP TABLE likely_row AS
SELECT row_id FROM {rows} r WHERE regexp_matches(r::VARCHAR, $names, 'i')
"""
# A placeholder: no measurement has such a domain, because every tested host name has a dot.
_PLACEHOLDER = "SELECT 1 FROM {rows} WHERE regexp_full_match(domain, 'withheld-[0-9]+') LIMIT 1"
# In at least two runs, because a forger may send the title as that of another site.
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
    kept: KeptTables, connection: duckdb.DuckDBPyConnection, study: str, withheld: Withheld
) -> str:
    """Return the catalog of a study's rows with placeholders, and make it if it does not exist.

    Args:
        kept: the stages of the study with these names withheld.
        connection: finds the rows.
        study: the catalog of the rows with the names.
        withheld: the names.

    Raises:
        SourceError: no folder can take the file.
    """

    def make(catalog: str) -> None:
        runs = f"{study}.observations"
        for table in ("observations", "late_observations"):
            renamed = rename_rows(connection, f"{study}.{table}", runs, withheld)
            connection.execute(f"CREATE TABLE {catalog}.{table} AS FROM {renamed}")
            connection.execute(f"DROP VIEW {renamed}")
            connection.unregister("renamed_row")

    return kept.provide(connection, _STAGE, _MADE_BY, make)


def rename_rows(
    connection: duckdb.DuckDBPyConnection, rows: str, runs: str, withheld: Withheld
) -> str:
    """Make a view of rows with placeholders and return its name.

    Args:
        connection: finds the rows.
        rows: a table with the columns of ``schema.OBSERVATION``, ``row_id``, and any others.
        runs: a table with ``row_id, run``.
        withheld: the names.

    Raises:
        ParameterError: some of the rows have placeholders of their sender.
    """
    names = "|".join((*map(re.escape, withheld.spellings), UNUSUAL))
    connection.execute(_LIKELY.format(rows=rows), {"names": names})
    query = f"FROM {rows} SEMI JOIN likely_row USING (row_id) ORDER BY row_id"
    likely = connection.sql(query).to_arrow_table()
    connection.execute("DROP TABLE likely_row")
    _refuse_two_placeholders(connection, rows, likely, withheld)
    inputs = _number_inputs(likely["input"].unique().to_pylist(), withheld)
    titles = _number_titles(connection, rows, runs, likely, withheld)
    batches = []
    for batch in likely.to_batches(_BATCH_ROWS):
        renamed = [_rename_row(row, withheld, inputs, titles) for row in batch.to_pylist()]
        batches.append(pa.RecordBatch.from_pylist(renamed, likely.schema))
    connection.register("renamed_row", pa.Table.from_batches(batches, likely.schema))
    connection.execute(_RENAMED.format(rows=rows))
    return "renamed"


def _refuse_two_placeholders(
    connection: duckdb.DuckDBPyConnection, rows: str, likely: pa.Table, withheld: Withheld
) -> None:
    """Refuse rows with both a name and the sender's placeholders, which are of other sites."""
    if not any(map(withheld.spells, likely["domain"].unique().to_pylist())):
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
    """Return a value of any type with placeholders in all its texts."""
    if isinstance(value, str):
        return withheld.mask(value)
    if isinstance(value, list):
        return [_rename(item, withheld) for item in value]
    if isinstance(value, dict):
        return {name: _rename(item, withheld) for name, item in value.items()}
    return value


def _is_at_site(row: Mapping[str, Any], withheld: Withheld) -> bool:
    """Test whether a row is of a withheld site, or was redirected to one."""
    return withheld.spells(row["domain"]) or withheld.spells(row["http_host"] or "")


def _number_inputs(inputs: Iterable[str], withheld: Withheld) -> dict[str, str]:
    """Return input → placeholder.

    Inputs of one site get a number, except the shortest, so that they remain different inputs.
    """
    counts: Counter[str] = Counter()
    placeholders = {}
    for address in sorted(inputs, key=lambda address: (len(address), address)):
        masked = withheld.mask(address)
        counts[masked] += 1
        placeholders[address] = f"{masked}{counts[masked]}" if counts[masked] > 1 else masked
    return placeholders


def _number_titles(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    runs: str,
    likely: pa.Table,
    withheld: Withheld,
) -> dict[str, str]:
    """Return title → placeholder, for titles that only the withheld sites show.

    A site's own title would name it; a block page's title, which other sites show too, does not.
    """
    columns = ["row_id", "domain", "http_host", "http_title", "control_http_title"]
    own = [row for row in likely.select(columns).to_pylist() if _is_at_site(row, withheld)]
    titles = {row[name] for row in own for name in columns[3:]} - {None, ""}
    ids = pa.array([row["row_id"] for row in own], pa.uint32())
    connection.register("own_row", pa.table({"row_id": ids}))
    connection.register("own_title", pa.table({"title": pa.array(sorted(titles), pa.string())}))
    elsewhere = connection.execute(_OTHER_TITLES.format(rows=rows, runs=runs)).fetchall()
    for name in ("own_row", "own_title"):
        connection.unregister(name)
    own_titles = sorted(titles - {title for (title,) in elsewhere})
    return {title: f"withheld title {number}" for number, title in enumerate(own_titles, start=1)}
