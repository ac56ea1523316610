"""What was added to the test lists, when it was first tested, and what was taken off them."""

from pathlib import Path

import pandas as pd

from analysis.errors import ContractError, ParameterError
from analysis.reference.snapshots import SNAPSHOTS, snapshots
from analysis.reference.test_lists import ListEntry, TestLists, load_test_lists
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


def compare_with_earlier(study: Study, root: Path = SNAPSHOTS) -> tuple[str, pd.DataFrame]:
    """The lists in use beside the copies of an earlier snapshot.

    That is the latest one up to the first day of the study; else the earliest that differs.

    Returns:
        Its day, empty where there is none; and one row a line that differs: ``list`` (the file in
        use), ``change`` (``added``, ``taken_off``, ``moved``: to another category), ``url``,
        ``category`` (now), ``was``.
    """
    now, since = study.lists.test_lists, study.periods["all"].since
    rows: list[tuple[str, ...]] = []
    kept = snapshots(root)
    before = [one for one in reversed(kept) if one.day <= since]
    day = ""
    for snapshot in (*before, *(one for one in kept if one.day > since)):
        try:
            snapshot.check(study.probe_cc)
            earlier = load_test_lists(snapshot.folder / "test-lists", study.probe_cc)
        except (ContractError, ParameterError):
            continue  # of another country, or damaged: the next one will do
        rows = [*_differences(earlier, now)]
        day = str(snapshot.day) if rows or snapshot.day <= since else ""
        if day:
            break
    columns = ["list", "change", "url", "category", "was"]
    return day, pd.DataFrame(rows, columns=columns, dtype="str")


def _differences(earlier: TestLists, now: TestLists) -> list[tuple[str, ...]]:
    """Of lists that both have: a country's own with its own, a general one with a general one."""
    roles = {entry.role for entry in now.entries} & {entry.role for entry in earlier.entries}
    rows: list[tuple[str, ...]] = []
    for role in sorted(roles):
        old, new = (_by_url(lists, role) for lists in (earlier, now))
        file = next(entry.file for entry in now.entries if entry.role == role)
        for url in sorted(old.keys() | new.keys()):
            was, became = old.get(url), new.get(url)
            if was is None and became:
                rows.append((file, "added", url, became.category, ""))
            elif was and became is None:
                rows.append((file, "taken_off", url, "", was.category))
            elif was and became and was.category_code != became.category_code:
                rows.append((file, "moved", url, became.category, was.category))
    return rows


def _by_url(lists: TestLists, role: str) -> dict[str, ListEntry]:
    return {entry.url: entry for entry in lists.entries if entry.role == role}
