"""What was added to the test lists within the period, and when it was first tested."""

import pandas as pd

from analysis.findings.study import Study

_FIRST_TESTS = """
SELECT domain, min(day) AS day FROM tested WHERE domain <> '' GROUP BY domain
"""


def count_list_changes(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the lists' own dates say; a list does not tell what was taken off it.

    Args:
        study: whose views ``coverage.add_tested`` has made.

    Returns:
        One row per month and list in which lines were added: ``month, list, line_count,
        tested_line_count`` (those whose site was tested in the period). And one row per line
        added: ``date_added, file, url, category, first_tested, days_untested`` (from the later of
        its date and the period's first day to the first test).
    """
    period = study.periods["all"]
    rows = study.connection.execute(_FIRST_TESTS).fetchall()
    first_tests = {domain: str(day) for domain, day in rows}
    added = pd.DataFrame(
        [
            (entry.date_added, entry.file, entry.url, entry.category,
             first_tests.get(entry.domain, ""))
            for entry in study.lists.test_lists.entries
            if str(period.since) <= entry.date_added < str(period.until)
        ],
        columns=["date_added", "file", "url", "category", "first_tested"],
        dtype="str",
    )  # fmt: skip
    added = added.sort_values(["date_added", "file", "url"], ignore_index=True)
    waited = pd.to_datetime(added["first_tested"]) - pd.to_datetime(added["date_added"])
    added["days_untested"] = waited.dt.days.clip(lower=0).astype("Int64")
    months = added.assign(
        month=added["date_added"].str[:7], list=added["file"],
        is_tested=added["first_tested"] != "",
    ).groupby(["month", "list"])["is_tested"]  # fmt: skip
    counted = months.agg(line_count="size", tested_line_count="sum").reset_index()
    return counted, added
