"""What was tested in each month: in all, by network, by category and by list; and the gaps."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

import duckdb
import pandas as pd

from analysis.outcomes.controls import SESSION_SQL
from analysis.outcomes.steps import create_tables, create_type, drop_tables
from analysis.period import Period
from analysis.reference.test_lists import TestLists
from analysis.study.campaign import Campaign

_NAMES = "(SELECT domain FROM observations UNION SELECT '' ORDER BY ALL)"

_TESTED = f"""
SELECT CAST(measurement_start_time AS DATE) AS day,
  CAST(date_trunc('month', measurement_start_time) AS DATE) AS month,
  probe_asn, CAST(domain AS tested_name) AS domain, hash({SESSION_SQL}) AS session,
  {{condition}} AS is_project, software_name, software_version, platform
FROM observations
"""

_LISTED = """
SELECT TRY_CAST(domain AS tested_name) AS domain, category_code, list FROM listed_site_frame
"""

_BY_MONTH = """
SELECT strftime(month, '%Y-%m') AS month, CASE WHEN grouping(probe_asn) = 0 THEN 'network'
    WHEN grouping(category_code) = 0 THEN 'category'
    WHEN grouping(list) = 0 THEN 'list' ELSE 'all' END AS scope,
  coalesce('AS' || probe_asn, category_code, list, 'all') AS item, count(*) AS measurement_count,
  count(DISTINCT session) AS session_count,
  count(DISTINCT domain) FILTER (domain <> '') AS domain_count,
  count(DISTINCT probe_asn) AS network_count, list_sort(list(DISTINCT day)) AS days
FROM tested JOIN listed_site USING (domain)
GROUP BY GROUPING SETS
  ((tested.month), (tested.month, probe_asn), (tested.month, category_code), (tested.month, list))
ORDER BY 1, 2, 3
"""
_COLUMNS = ("month", "scope", "item", "measurement_count", "session_count", "domain_count",
            "network_count")  # fmt: skip

_DAYS_BY_NETWORK = """
SELECT coalesce('AS' || probe_asn, 'all') AS probe_asn, list_sort(list(DISTINCT day)) AS days
FROM tested GROUP BY GROUPING SETS ((), (probe_asn)) ORDER BY 1
"""


def add_tested(
    connection: duckdb.DuckDBPyConnection, sites: pd.DataFrame, lists: TestLists, campaign: Campaign
) -> None:
    """Make the tables that this folder counts.

    ``tested`` has a row for each measurement: ``day, month`` (its first day), ``probe_asn, domain,
    session, is_project, software_name, software_version, platform``. ``listed_site`` has one for
    each tested site: ``domain, category_code, list``. The names are an enumeration.

    Args:
        connection: holds ``observations``.
        sites: ``Study.domains``.
        lists: say which of them names a site.
        campaign: what is a project's own.
    """
    drop_tables(connection, "tested", "listed_site")  # they depend on the type
    create_type(connection, "tested_name", _NAMES)
    named = sites[["domain", "category_code"]].assign(
        list=[find_list(lists, domain) for domain in sites["domain"]]
    )
    connection.register("listed_site_frame", named.astype("str"))
    steps = {"tested": _TESTED.format(condition=campaign.condition), "listed_site": _LISTED}
    create_tables(connection, steps, {})
    connection.unregister("listed_site_frame")


def find_list(lists: TestLists, domain: str) -> str:
    """The list that names a site: ``country``, ``general``, or ``none``."""
    if lists.is_on_country_list(domain):
        return "country"
    return "general" if lists.is_listed(domain) else "none"


def count_coverage(
    connection: duckdb.DuckDBPyConnection, period: Period, names: Mapping[str, str]
) -> pd.DataFrame:
    """The contract's ``coverage_by_month``: one row per month, scope and item that was tested.

    Args:
        connection: with the tables of ``add_tested``.
        period: of the study.
        names: ``AS123`` → the network's name.
    """
    months = {f"{month.since:%Y-%m}": month for month in period.months()}
    rows = []
    for *counts, days in connection.execute(_BY_MONTH).fetchall():
        row = dict(zip(_COLUMNS, counts, strict=True))
        gaps = [gap.day_count for gap in find_gaps(days, months[row["month"]])]
        found = {"day_count": len(days), "untested_day_count": sum(gaps)}
        name = names.get(row["item"], "") if row["scope"] == "network" else ""
        rows.append({**row, "name": name, **found, "longest_gap_days": max(gaps, default=0)})
    columns = [*_COLUMNS, "name", "day_count", "untested_day_count", "longest_gap_days"]
    return pd.DataFrame(rows, columns=columns)


def list_tested_days(connection: duckdb.DuckDBPyConnection) -> dict[str, list[date]]:
    """Network (``AS123``) → the days on which it tested anything; ``all`` for any network."""
    rows = connection.execute(_DAYS_BY_NETWORK).fetchall()
    return {str(network): list(days or ()) for network, days in rows}


def find_gaps(days: Iterable[date], period: Period) -> list[Period]:
    """The stretches of a period without any test, in order.

    Args:
        days: those with a test, in order, within the period.
        period: with its edges: before the first test and after the last one nothing is known.
    """
    gaps, after = [], period.since
    for day in (*days, period.until):
        if after < day:
            gaps.append(Period(after, day))
        after = day + timedelta(days=1)
    return gaps


def find_runs(days: Iterable[date]) -> list[Period]:
    """The stretches of days that follow one another."""
    runs: list[Period] = []
    for day in days:
        if runs and runs[-1].until == day:
            runs[-1] = runs[-1].extended(1)
        else:
            runs.append(Period(day, day + timedelta(days=1)))
    return runs
