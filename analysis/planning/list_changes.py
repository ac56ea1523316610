"""What was added to the test lists, and when it was first tested."""

import pandas as pd

from analysis.study.study import Study

#: A site that nobody lists counts as tested widely from so many networks, and days, on.
_LEAST_NETWORKS, _LEAST_DAYS = 3, 10

_FIRST_TESTS = """
SELECT domain::VARCHAR, min(day) AS day FROM tested WHERE domain <> '' GROUP BY domain
"""


_UNLISTED = """
SELECT domain::VARCHAR AS domain, min(day) AS first_tested, max(day) AS last_tested,
  count(*) AS measurement_count, count(DISTINCT probe_asn) AS network_count,
  count(DISTINCT day) AS day_count
FROM tested JOIN listed_site USING (domain) WHERE list = 'none' AND domain <> ''
GROUP BY tested.domain HAVING network_count >= $networks AND day_count >= $days
ORDER BY last_tested, tested.domain
"""


def count_list_changes(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the lists' own dates say.

    Args:
        study: whose tables ``coverage.add_tested`` has made.

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


def find_unlisted(study: Study) -> pd.DataFrame:
    """Sites that several networks tested for some time, though no list names them now.

    Args:
        study: whose tables ``coverage.add_tested`` has made.

    Returns:
        One row a site, those first that nobody has tested for longest: ``domain, first_tested,
        last_tested, measurement_count, network_count, day_count``.
    """
    least = {"networks": _LEAST_NETWORKS, "days": _LEAST_DAYS}
    return study.connection.execute(_UNLISTED, least).df()
