"""What was tested of apps and circumvention tools: by month, and for the indicators of a plan."""

from collections.abc import Mapping

import duckdb
import pandas as pd

from analysis.outcomes.controls import SESSION_SQL
from analysis.period import Period
from analysis.planning.coverage import find_gaps
from analysis.study.app_study import open_messaging
from analysis.study.campaign import Campaign
from analysis.study.study import Study

#: The test of web sites, which every other scope counts.
WEB = "web_connectivity"

_BY_MONTH = f"""
SELECT strftime(measurement_start_time, '%Y-%m') AS month, test_name AS item,
  count(*) AS measurement_count, count(DISTINCT {SESSION_SQL}) AS session_count,
  count(DISTINCT probe_asn) AS network_count,
  list_sort(list(DISTINCT measurement_start_time::DATE)) AS days
FROM messaging GROUP BY ALL ORDER BY ALL
"""
_BY_SCOPE = """
SELECT strftime(measurement_start_time, '%Y-%m') AS month,
  strftime(measurement_start_time, '%Y') || '-Q' || quarter(measurement_start_time) AS quarter,
  count(*) AS country, count(*) FILTER ({condition}) AS project
FROM messaging GROUP BY GROUPING SETS ((month), (quarter)) ORDER BY ALL
"""


def open_app_tests(study: Study) -> duckdb.DuckDBPyConnection:
    """The tests of apps and tools of the same source and period, as the table ``messaging``."""
    return open_messaging(study.parameters).connection


def count_test_coverage(
    connection: duckdb.DuckDBPyConnection, coverage: pd.DataFrame, period: Period
) -> pd.DataFrame:
    """The rows of scope ``test`` of the contract's ``coverage_by_month``: one per month and test.

    Args:
        connection: of ``open_app_tests``.
        coverage: the rows of web sites, whose scope ``all`` is the test of web sites.
        period: of the study.
    """
    months = {f"{month.since:%Y-%m}": month for month in period.months()}
    of_web = coverage[coverage["scope"] == "all"].assign(scope="test", item=WEB)
    rows = []
    for month, item, measurements, sessions, networks, days in connection.execute(
        _BY_MONTH
    ).fetchall():
        gaps = [gap.day_count for gap in find_gaps(days, months[month])]
        rows.append({
            "month": month, "scope": "test", "item": item, "measurement_count": measurements,
            "session_count": sessions, "domain_count": pd.NA, "network_count": networks,
            "name": "", "day_count": len(days), "untested_day_count": sum(gaps),
            "longest_gap_days": max(gaps, default=0),
        })  # fmt: skip
    of_apps = pd.DataFrame(rows, columns=coverage.columns)
    return pd.concat([of_web.astype("object"), of_apps.astype("object")], ignore_index=True)


def count_app_tests(
    connection: duckdb.DuckDBPyConnection, project: Campaign
) -> Mapping[tuple[str, str], int]:
    """How many tests of apps and tools each month and quarter has, of everybody and of a project.

    Args:
        connection: of ``open_app_tests``.
        project: what is its own.

    Returns:
        ``(scope, period)``, as in the contract's ``indicators`` → tests.
    """
    counted = connection.execute(_BY_SCOPE.format(condition=project.condition)).fetchall()
    return {
        (scope, month or quarter): count
        for month, quarter, country, own in counted
        for scope, count in (("country", country), ("project", own))
    }
