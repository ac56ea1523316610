"""Which version of the test made the measurements, by month and by half."""

from datetime import date, datetime

import pytest

from analysis.report.instrument import (
    VersionChange,
    count_versions,
    find_version_change,
    say_version_change,
    tabulate_versions,
)
from tests.observations import connection_with, observation

SPLIT = date(2026, 8, 17)


def _measured(day: str, version: str | None, count: int = 1) -> list[dict[str, object]]:
    when = datetime.fromisoformat(f"{day}T12:00:00")
    return [observation(measurement_start_time=when, test_version=version) for _ in range(count)]


def test_small_repairs_are_one_version_and_months_show_the_change() -> None:
    """The half begins within a month; what is no version is no column of its own."""
    rows = [
        *_measured("2026-07-01", "0.4.3", 6),
        *_measured("2026-07-02", "0.4.2", 3),
        *_measured("2026-08-16", "0.5.28"),
        *_measured("2026-08-17", "0.5.28", 5),
        *_measured("2026-09-01", "0.5.30", 2),
        *_measured("2026-09-01", "0.4.3"),
        *_measured("2026-09-02", None),
        *_measured("2026-09-02", "<b>0.6.1</b>"),
    ]
    counts = count_versions(connection_with(rows), SPLIT)
    assert tabulate_versions(counts).to_dict("list") == {
        "month": ["2026-07", "2026-08", "2026-09"],
        "0.4.x": [9, 0, 1],
        "0.5.x": [0, 6, 2],
        "other versions": [0, 0, 2],
    }
    assert find_version_change(counts) == VersionChange("0.5.x", 0.1, 0.7)
    assert say_version_change(counts) == (
        "The test changed between the halves: version 0.5.x of it made 10.0 % of the measurements "
        "in the first half and 70.0 % in the second. So a difference between the halves can come "
        "from the test."
    )


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([10, 0], [9, 1], "much the same versions"),  # 10 percentage points are the limit
        ([10, 0], [8, 2], "version 0.5.x of it made 0 % of the measurements in the first half"),
        ([5, 5], [50, 50], "much the same versions"),
        ([0, 3], [9, 1], "version 0.4.x of it made 0 %"),
        ([0, 0], [9, 1], "One half has no measurement"),
        ([9, 1], [0, 0], "One half has no measurement"),
    ],
)
def test_a_change_is_a_share_that_rises(first: list[int], second: list[int], said: str) -> None:
    """A new version that some more probes run is no change; an empty half cannot be compared."""
    rows = [
        row
        for day, halves in (("2026-08-01", first), ("2026-08-20", second))
        for version, count in zip(("0.4.3", "0.5.28"), halves, strict=True)
        for row in _measured(day, version, count)
    ]
    assert said in say_version_change(count_versions(connection_with(rows), SPLIT))


def test_a_sender_of_many_versions_does_not_widen_the_table() -> None:
    rows = [
        *_measured("2026-07-01", "0.4.3", 3),
        *(row for n in range(50) for row in _measured("2026-07-01", f"{n}.{n}.1")),
    ]
    table = tabulate_versions(count_versions(connection_with(rows), SPLIT))
    assert len(table.columns) == 7
    assert int(table.drop(columns="month").sum(axis=1).iloc[0]) == 53
