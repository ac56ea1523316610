"""The queries by which a reader computes a number of each claim from published tables.

A query runs as it is shown, with DuckDB in the folder ``tables`` of a report. The page shows it
with its result and one of its rows, so that nobody has to read the code to check a finding.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import duckdb

from analysis.reference.networks import DOMESTIC
from analysis.report.findings import BRACKET_DAYS, LEAST_FAILING_NETWORKS, REACHED_SHARE
from analysis.vocabulary import LISTED


def _quote(texts: Collection[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


_FILE = re.compile(r"'(\w+\.csv)'")
_LISTED = f"state IN ({_quote(LISTED)})"
_IS_ACCESS = f"kind IN ({_quote(sorted(DOMESTIC))})"
_BLOCKS = "'blocking_intervals.csv' SEMI JOIN 'blocked_site_networks.csv' USING (domain, probe_asn)"
_ON_ACCESS = f"probe_asn IN (SELECT probe_asn FROM 'networks.csv' WHERE {_IS_ACCESS})"


@dataclass(frozen=True)
class Query:
    """A count of rows of a published table.

    Attributes:
        count: what is counted.
        rows: the table, and the condition on its rows; ``{fields}`` are values of the finding.
        columns: those of the row that the page shows as an example.
    """

    count: str
    rows: str
    columns: str


#: Kind of finding → the query of a number that its claim says.
QUERIES: Mapping[str, Query] = {
    "onset": Query(
        "count(*)",
        f"{_BLOCKS} WHERE schedule IS NULL "
        f"AND blocked_from - last_seen_open <= {BRACKET_DAYS} "
        "AND blocked_from BETWEEN '{first_day}' AND '{last_day}'",
        "domain, probe_asn, last_seen_open, blocked_from",
    ),
    "networks": Query(
        "count(*)",
        f"'networks.csv' WHERE {_IS_ACCESS} AND blocked_domain_count > 0",
        "probe_asn, kind, blocked_domain_count",
    ),
    "methods": Query(
        "count(*)",
        f"'verdicts.csv' WHERE period = 'all' AND {_LISTED} AND {_ON_ACCESS} "
        "AND mechanism IN ({largest_way})",
        "domain, probe_asn, state, mechanism",
    ),
    "categories": Query(
        "count(*)",
        "'blocked_sites.csv' WHERE category_code = '{largest}'",
        "domain, category_code, state",
    ),
    "changes": Query(
        "count(*)",
        f"'semester_changes.csv' WHERE first_state IN ({_quote(LISTED)}) "
        f"AND second_state IN ({_quote(LISTED)})",
        "domain, first_state, second_state",
    ),
    "hours": Query(
        "count(DISTINCT domain)",
        f"{_BLOCKS} WHERE schedule IS NOT NULL",
        "domain, probe_asn, blocked_from, schedule",
    ),
    "unlisted": Query("count(*)", "'set_aside.csv'", "domain, reason, anomaly_count"),
    "apps": Query(
        "count(DISTINCT test_name)",
        "'messaging_verdicts.csv' WHERE period = 'all' AND state = '{strongest}' "
        "AND set_aside_reason IS DISTINCT FROM 'not_domestic'",
        "test_name, probe_asn, state, blocked_session_count, session_count",
    ),
    "everywhere": Query(
        "count(*)",
        f"""(SELECT domain,
  sum(ok_session_count) FILTER ({_IS_ACCESS}) AS reached,
  sum(session_count) FILTER ({_IS_ACCESS}) AS sessions,
  sum(ok_session_count) FILTER (NOT {_IS_ACCESS}) AS reached_outside
FROM 'verdicts.csv' JOIN 'networks.csv' USING (probe_asn)
WHERE period = 'all' AND domain IN
  (SELECT domain FROM 'set_aside.csv' WHERE reason IN ('impaired', 'unexplained'))
GROUP BY domain
HAVING count(*) FILTER ({_IS_ACCESS} AND state <> 'insufficient') >= {LEAST_FAILING_NETWORKS}
  AND count(*) FILTER ({_IS_ACCESS} AND state = 'ok') = 0
  AND reached <= greatest(1, {REACHED_SHARE} * sessions)
  AND reached_outside > sum(blocked_session_count) FILTER (NOT {_IS_ACCESS}))""",
        "domain, reached, sessions, reached_outside",
    ),
}


def run_query(
    tables: str | Path, finding: Mapping[str, Any], left_out: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Run the query of a finding on the tables of a report.

    Args:
        tables: their folder.
        finding: of ``findings.find_all``, with its ``kind``.
        left_out: sites that are not named on the page.

    Returns:
        ``sql``, as the page shows it; ``count``, its result; ``row``, column and text of each cell
        of the first row, empty if there is none.
    """
    query = QUERIES[finding["kind"]]
    texts = {
        name: _quote(value) if isinstance(value, list) else str(value).replace("'", "''")
        for name, value in finding["values"].items()
    }
    rows = query.rows.format(**texts)
    sql = f"SELECT {query.count} FROM {rows}"
    with duckdb.connect() as connection:
        for name in set(_FILE.findall(rows)):  # the query names a file of its own folder
            path = escape(str(Path(tables) / name))
            connection.read_csv(path, header=True, sample_size=-1).create_view(name)
        counted = connection.execute(sql).fetchall()
        found = connection.execute(f"SELECT DISTINCT {query.columns} FROM {rows} ORDER BY ALL")
        names = [column[0] for column in found.description or ()]
        row = next((row for row in found.fetchall() if not left_out.intersection(row)), ())
    shown = zip(names, row, strict=True) if row else ()
    return {"sql": sql, "count": counted[0][0], "row": [[name, str(cell)] for name, cell in shown]}
