"""Addresses of measurements and sites in OONI Explorer, which has no fictional country."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

import duckdb
import pandas as pd

from analysis.hosts import is_placeholder
from analysis.period import Period
from analysis.sql import read_queries
from analysis.verdicts.intervals import PAIR

_EXPLORER = "https://explorer.ooni.org"
_LONGEST_BY_DAY = 30  # days


def measurement_url(report_id: str, input_url: str) -> str:
    """Return the address of a measurement's page; empty without a report ID."""
    if not report_id:
        return ""
    return f"{_EXPLORER}/measurement/{quote(report_id, safe='')}?input={quote(input_url, safe='')}"


def uid_url(measurement_uid: str) -> str:
    """Return the address of a measurement's page (ooni/explorer, pages/m/[measurement_uid].js)."""
    return f"{_EXPLORER}/m/{quote(measurement_uid, safe='')}"


def countries_url(domain: str, period: Period) -> str:
    """Return the address of OONI's counts of a site by country; empty for a withheld name.

    A site that fails in most countries is not blocked in one of them, and the measurements of a
    single country cannot show that. The counts are by day or month. The grain is one that OONI's
    API accepts for a period of this length: months only beyond 30 days (ooni/backend,
    ``oonimeasurements/routers/v1/aggregation.py``).
    """
    if is_placeholder(domain):
        return ""
    query = {
        "test_name": "web_connectivity",
        "domain": domain,
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "time_grain": "month" if period.day_count > _LONGEST_BY_DAY else "day",
        "axis_x": "measurement_start_day",
        "axis_y": "probe_cc",
    }
    return f"{_EXPLORER}/chart/mat?{urlencode(query, quote_via=quote, safe='')}"


_QUERIES = read_queries(__file__)
#: Columns that identify a single measurement, and the suffix of columns of times, in any table.
_NAMES = ["witness_report_id", "witness_input", "witness_url"]
_MOMENT = "_time"


def hide_measurements(table: pd.DataFrame, of: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table without witnesses and with times rounded to hours.

    No single measurement can be found from it.

    Args:
        table: of any columns.
        of: with ``blocked_from_time`` the key of its rows. If several rows of a key begin in one
            hour, seconds number them from 00 on, so that their keys differ.
    """
    hidden = table.assign(**dict.fromkeys(table.columns.intersection(_NAMES), ""))
    for name in hidden.columns[hidden.columns.str.endswith(_MOMENT)]:
        hidden[name] = hidden[name].dt.floor("h")
    if of and len(hidden):
        begins = [*of, "blocked_from_time"]
        order = table.sort_values(begins, kind="stable").index
        number = hidden.loc[order].groupby(begins).cumcount()
        hidden["blocked_from_time"] += pd.to_timedelta(number, unit="s")
    return hidden


def add_witness(
    connection: duckdb.DuckDBPyConnection,
    table: pd.DataFrame,
    periods: Mapping[str, Period],
    *,
    has_explorer: bool,
) -> pd.DataFrame:
    """Return the table with a typical measurement for each listed row, and its page in OONI
    Explorer.

    Args:
        connection: connection to ``outcomes``, and to ``observations`` with the report of each
            ``row_id``.
        table: the verdicts of all periods.
        periods: by name.
    """
    listed = table.loc[table["rule_id"] != "", [*PAIR, "rule_id", "blocked_from"]]
    last_days = {name: pd.Timestamp(period.last_day) for name, period in periods.items()}
    until = table["blocked_until"].fillna(table["period"].map(last_days))
    connection.register("listed", listed.assign(number=listed.index, until=until))
    witnesses = connection.execute(_QUERIES["witnesses"]).df().set_index("number")
    table = table.join(witnesses).fillna({"witness_report_id": "", "witness_input": ""})
    pairs = zip(table["witness_report_id"], table["witness_input"], strict=True)
    urls = [measurement_url(*pair) if has_explorer else "" for pair in pairs]
    return table.assign(witness_url=urls)
