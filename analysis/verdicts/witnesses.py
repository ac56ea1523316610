"""Where OONI Explorer shows what a report speaks of; a fictional country is not there."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

import duckdb
import pandas as pd

from analysis.period import Period
from analysis.verdicts.intervals import CELL

_EXPLORER = "https://explorer.ooni.org"


def measurement_url(report_id: str, input_url: str) -> str:
    """The measurement's page; empty where there is no report."""
    if not report_id:
        return ""
    return f"{_EXPLORER}/measurement/{quote(report_id, safe='')}?input={quote(input_url, safe='')}"


def countries_url(domain: str, period: Period) -> str:
    """OONI's own counts of a site by country and day.

    What fails in most countries is not blocked in one of them, and no measurement of that one
    country can tell.
    """
    query = {
        "test_name": "web_connectivity",
        "domain": domain,
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "time_grain": "month",
        "axis_x": "measurement_start_day",
        "axis_y": "probe_cc",
    }
    return f"{_EXPLORER}/chart/mat?{urlencode(query, quote_via=quote, safe='')}"


# The witness is the middle one of the measurements that fired the verdict's own rule inside its
# interval: typical, and not the first anybody would forge.
_WITNESSES = """
WITH candidates AS (
  SELECT l.number, o.session, o.input,
    row_number() OVER nth AS position, count(*) OVER (PARTITION BY l.number) AS total
  FROM outcomes o JOIN listed l ON l.domain::host_name = o.domain AND l.probe_asn = o.probe_asn
    AND l.rule_id = o.rule_id AND o.day BETWEEN l.since AND l.until
  WHERE o.has_report AND o.class = 'blocked'
  WINDOW nth AS (PARTITION BY l.number
                 ORDER BY o.measurement_start_time, o.session, o.input)
)
SELECT number, session_name AS witness_report_id, input::VARCHAR AS witness_input
FROM candidates JOIN session_names USING (session) WHERE position = (total + 1) // 2
"""


def add_witness(
    connection: duckdb.DuckDBPyConnection,
    table: pd.DataFrame,
    periods: Mapping[str, Period],
    *,
    has_explorer: bool,
) -> pd.DataFrame:
    """A typical measurement for each listed row, with its page in OONI Explorer.

    Args:
        connection: holds ``outcomes``.
        table: the verdicts of all periods.
        periods: by name.
    """
    listed = table.loc[
        table["rule_id"] != "", [*CELL, "period", "rule_id", "blocked_from", "blocked_until"]
    ]
    to_the_end = {name: period.last_day.isoformat() for name, period in periods.items()}
    until = listed["blocked_until"].mask(
        listed["blocked_until"] == "", listed["period"].map(to_the_end)
    )
    listed = listed.assign(
        number=listed.index,
        since=pd.to_datetime(listed["blocked_from"]),
        until=pd.to_datetime(until),
    )
    connection.register("listed", listed)
    witnesses = connection.execute(_WITNESSES).df().set_index("number")
    connection.unregister("listed")
    table = table.join(witnesses)
    for column in ("witness_report_id", "witness_input"):
        table[column] = table[column].fillna("")
    table["witness_url"] = ""
    seen = table["witness_report_id"] != "" if has_explorer else table.index[:0]
    shown = table.loc[seen, ["witness_report_id", "witness_input"]]
    table.loc[seen, "witness_url"] = [
        measurement_url(*pair) for pair in shown.itertuples(index=False)
    ]
    return table
