"""Hours of the week, as ``verdicts.csv`` and a world's truth write them, held side by side."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cache

import pandas as pd

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(r"(\d\d):00-(\d\d):00")
#: How far an edge may lie from the true one, in hours.
_NEAR = 1


@dataclass(frozen=True, slots=True)
class Hours:
    """A run of weekdays (0 is Monday, the last one included) and windows of whole hours, UTC."""

    first: int = 0
    last: int = 6
    windows: tuple[tuple[int, int], ...] = ((0, 24),)

    def is_inside(self, day: str, hour: int) -> bool:
        """Whether an hour of a day lies inside."""
        weekday = date.fromisoformat(day).weekday()
        is_day = (weekday - self.first) % 7 <= (self.last - self.first) % 7
        return is_day and any(since <= hour < until for since, until in self.windows)

    def is_near(self, other: "Hours") -> bool:
        """Whether the weekdays are the same, and every edge of a window is within an hour."""
        if (self.first, self.last) != (other.first, other.last):
            return False
        ours, theirs = (tuple(edge for w in one.windows for edge in w) for one in (self, other))
        pairs = zip(ours, theirs, strict=False)
        return len(ours) == len(theirs) and all(abs(a - b) <= _NEAR for a, b in pairs)


@cache
def read_hours(text: str) -> Hours:
    """Read ``Mon-Fri 04:00-08:00, 10:00-14:00``; no text is all hours of the week.

    Raises:
        ValueError: it is no such text.
    """
    if not text:
        return Hours()
    days, _, windows = text.partition(" ")
    first, last = (_DAYS.index(name) for name in (days[:3], days[-3:]))
    edges = _WINDOW.findall(windows)
    if not edges:
        raise ValueError(text)
    return Hours(first, last, tuple((int(since), int(until)) for since, until in edges))


def compare_hours(intervals: pd.DataFrame, blocks: pd.DataFrame) -> pd.DataFrame:
    """Hours that were found or claimed, beside the true ones.

    Args:
        intervals: ``domain, probe_asn`` and, where the report knows it, ``schedule``.
        blocks: ``domain, probe_asn, schedule, sound_session_count``.

    Returns:
        One row per site and network with hours in either: ``schedule, true_schedule,
        sound_session_count``, and ``is_near``.
    """
    key = ["domain", "probe_asn"]
    if "schedule" not in intervals:
        intervals = intervals.assign(schedule="")
    claimed = intervals[intervals["schedule"] != ""].drop_duplicates(key)[[*key, "schedule"]]
    true = blocks[blocks["schedule"] != ""].drop_duplicates(key).rename(
        columns={"schedule": "true_schedule"}
    )  # fmt: skip
    true = true[[*key, "true_schedule", "sound_session_count"]]
    rows = claimed.merge(true, on=key, how="outer").sort_values(key, ignore_index=True)
    rows[["schedule", "true_schedule"]] = rows[["schedule", "true_schedule"]].fillna("")
    rows["sound_session_count"] = rows["sound_session_count"].fillna(0).astype("int64")
    rows["is_near"] = [
        bool(said and known) and read_hours(said).is_near(read_hours(known))
        for said, known in zip(rows["schedule"], rows["true_schedule"], strict=True)
    ]
    return rows
