"""Monitoring indicators for a project's plan: a row a month and a quarter, with what changed."""

from collections.abc import Mapping
from datetime import date, timedelta

import duckdb
import pandas as pd

from analysis.period import Period
from analysis.planning.coverage import find_gaps

#: Counts of which the change from the month or quarter before is given.
CHANGES = {
    "measurement_count": "measurement_change_share",
    "session_count": "session_change_share",
    "network_count": "network_change_share",
    "domain_count": "domain_change_share",
    "app_measurement_count": "app_measurement_change_share",
}
_COUNTS = ("measurement_count", "session_count", "network_count", "domain_count")

_BY_PERIOD = """
SELECT CASE grouping(month) WHEN 0 THEN strftime(month, '%Y-%m')
    ELSE strftime(quarter, '%Y') || '-Q' || quarter(quarter) END AS label,
  count(*) AS measurement_count, count(DISTINCT session) AS session_count,
  count(DISTINCT probe_asn) AS network_count,
  count(DISTINCT domain) FILTER (domain <> '') AS domain_count,
  list_sort(list(DISTINCT day)) AS days
FROM (SELECT *, date_trunc('quarter', month) AS quarter FROM tested)
WHERE is_project OR NOT $is_project
GROUP BY GROUPING SETS ((month), (quarter)) ORDER BY 1
"""

_FIRST_TESTS = """
SELECT min(day) AS day FROM tested
WHERE domain <> '' AND (is_project OR NOT $is_project) GROUP BY domain
"""


def count_indicators(
    connection: duckdb.DuckDBPyConnection,
    period: Period,
    app_tests: Mapping[tuple[str, str], int],
    *,
    has_project: bool,
) -> pd.DataFrame:
    """The contract's ``indicators``: one row per scope and month or quarter of the period.

    A month without a test is a row with zeros: a plan asks for it. What changed is left empty
    where one of the two is cut by the edge of the study, and so are the sites newly tested in the
    first month and quarter: what was tested before is not known.

    Args:
        connection: with the tables of ``coverage.add_tested``.
        period: of the study.
        app_tests: ``app_coverage.count_app_tests``.
        has_project: whether anything is said to be a project's own.
    """
    frames = []
    for scope in ("country", *(["project"] if has_project else [])):
        given = {"is_project": scope == "project"}
        counted = connection.execute(_BY_PERIOD, given).df().set_index("label")
        first_tests = [day.date() for day in connection.execute(_FIRST_TESTS, given).df()["day"]]
        frames += [
            _count_spans(counted, first_tests, period, scope, spans, app_tests)
            for spans in (list_spans(period, 1), list_spans(period, 3))
        ]
    return pd.concat(frames, ignore_index=True)


def list_spans(period: Period, month_count: int) -> list[tuple[str, Period, bool]]:
    """The calendar months (1) or quarters (3) that a study touches, in order.

    Returns:
        Label, days within the study, and whether the whole month or quarter lies in it.
    """
    spans: dict[date, Period] = {}
    for month in period.months():
        before = (month.since.month - 1) % month_count
        first = month.since.replace(month=month.since.month - before, day=1)
        spans[first] = Period(spans.get(first, month).since, month.until)
    rows = []
    for first, span in spans.items():
        end = (first + timedelta(days=31 * month_count + 1)).replace(day=1)
        quarter = f"{first.year}-Q{(first.month + 2) // 3}"
        label = f"{first:%Y-%m}" if month_count == 1 else quarter
        rows.append((label, span, span == Period(first, end)))
    return rows


def _count_spans(
    counted: pd.DataFrame,
    first_tests: list[date],
    period: Period,
    scope: str,
    spans: list[tuple[str, Period, bool]],
    app_tests: Mapping[tuple[str, str], int],
) -> pd.DataFrame:
    """The months or the quarters of one scope, in order of time, with what changed."""
    rows = []
    for label, span, is_whole in spans:
        found = counted.loc[label] if label in counted.index else None
        days = [] if found is None else [day.date() for day in pd.to_datetime(found["days"])]
        rows.append({
            "scope": scope, "period": label, "since": span.since, "until": span.until,
            "is_whole": is_whole,
            **{name: 0 if found is None else found[name] for name in _COUNTS},
            "app_measurement_count": app_tests.get((scope, label), 0),
            "new_domain_count": _count_new(first_tests, span, period),
            "day_count": len(days),
            "untested_day_count": sum(gap.day_count for gap in find_gaps(days, span)),
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    for count, change in CHANGES.items():
        frame[change] = _changes(frame[count], frame["is_whole"])
    return frame


def _count_new(first_tests: list[date], span: Period, period: Period) -> object:
    if span.since == period.since:
        return pd.NA
    return sum(day in span for day in first_tests)


def _changes(counts: pd.Series, is_whole: pd.Series) -> pd.Series:
    """By what share of the one before each count grew; empty where they cannot be compared."""
    before = counts.shift()
    comparable = is_whole & is_whole.shift(fill_value=False) & (before > 0)
    return ((counts - before) / before.where(before > 0)).where(comparable)
