"""The versions of the test that made the measurements, and whether they differ between the halves.

``test_version`` is the version of the test, not of the app. OONI's server tells probes which one to
run: web_connectivity 0.4 for most, and 0.5 for all since August 2026 (ooni/backend#1240; part of
the probes ran 0.5 in early 2024, ooni/backend#806). The two test a site in different ways, so their
results can differ where nothing changed in the country.
"""

from dataclasses import dataclass
from datetime import date

import duckdb
import pandas as pd

from analysis.pages.formats import percent

#: The test changed if a version's share of the measurements rises by more than this from the first
#: half to the second.
CHANGED_SHARE = 0.1
#: Anyone can send any version, so a table has the most frequent ones and joins the others.
_MOST_VERSIONS = 5
_OTHER = "other versions"
_HALVES = ["first", "second"]

# The last number of a version is left out, because it stands for small repairs.
_COUNTS = """
SELECT strftime(measurement_start_time, '%Y-%m') AS month,
  if(regexp_full_match(test_version, '[0-9]{1,2}[.][0-9]{1,2}([.][0-9]{1,9})?'),
    regexp_extract(test_version, '^[0-9]+[.][0-9]+') || '.x', $other) AS version,
  count(*) FILTER (measurement_start_time < $split) AS first,
  count(*) FILTER (measurement_start_time >= $split) AS second
FROM observations GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class VersionChange:
    """The version whose share of the measurements rose most from the first half to the second."""

    version: str
    first_share: float
    second_share: float


def count_versions(connection: duckdb.DuckDBPyConnection, split: date) -> pd.DataFrame:
    """Count the measurements of each half by ``month`` and ``version``.

    Args:
        connection: holds ``observations``.
        split: the first day of the second half.

    Returns:
        ``version`` is that of the test without its last number, such as ``0.4.x``; ``other
        versions`` where it is none, or not among the most frequent.
    """
    counts = connection.execute(_COUNTS, {"split": split, "other": _OTHER}).df()
    sums = counts.groupby("version")[_HALVES].sum().sum(axis=1)
    most = sums.sort_values(ascending=False, kind="stable").index[:_MOST_VERSIONS]
    counts["version"] = counts["version"].where(counts["version"].isin(most), _OTHER)
    return counts.groupby(["month", "version"])[_HALVES].sum().reset_index()


def tabulate_versions(counts: pd.DataFrame) -> pd.DataFrame:
    """Return one row per ``month``, one column of measurements per version, the oldest first.

    Args:
        counts: of ``count_versions``.
    """
    by_month = counts.set_index(["month", "version"])[_HALVES].sum(axis=1)
    table = by_month.unstack(fill_value=0)
    ordered = table[sorted(table, key=_order)]
    return ordered.rename_axis(columns=None).reset_index()


def _order(version: object) -> list[int]:
    return [100] if version == _OTHER else [int(part) for part in str(version).split(".")[:2]]


def find_version_change(counts: pd.DataFrame) -> VersionChange | None:
    """Return the version whose share rose most; None if none rose by enough, or a half is empty.

    Args:
        counts: of ``count_versions``.
    """
    by_version = counts.groupby("version")[_HALVES].sum()
    shares = by_version / by_version.sum()
    rise = (shares["second"] - shares["first"]).dropna()
    if rise.empty or rise.max() <= CHANGED_SHARE:
        return None
    version = str(rise.idxmax())
    rows = by_version.index == version
    first, second = (float(shares.loc[rows, half].sum()) for half in _HALVES)
    return VersionChange(version, first, second)


def say_version_change(counts: pd.DataFrame) -> str:
    """Return what pages 1 and 3 say of the halves: whether the test changed between them.

    Args:
        counts: of ``count_versions``.
    """
    if not counts[_HALVES].sum().all():
        return "One half has no measurement, so the versions of its tests cannot be compared."
    change = find_version_change(counts)
    if change is None:
        return (
            "Both halves were made with much the same versions of the test: no version's share of "
            f"the measurements rises by more than {CHANGED_SHARE * 100:.0f} percentage points."
        )
    name = f"version {change.version}" if change.version != _OTHER else _OTHER
    return (
        f"The test changed between the halves: {name} of it made "
        f"{percent(change.first_share)} of the measurements in the first half and "
        f"{percent(change.second_share)} in the second. So a difference between the halves can "
        "come from the test."
    )
