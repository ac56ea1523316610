"""Counts of messaging and circumvention tests by country, test and day, from a file of the user.

The file replaces the counts of OONI's API (``sources.api``):
``measurement_start_day,probe_cc,test_name,measurement_count,ok_count,anomaly_count,…``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from analysis.observations.messaging_tests import BY_NAME
from analysis.period import parse_date
from analysis.reference.reference_files import REFERENCE, ReferenceFile, read_csv

PARAMETER = "TEST_COUNTS"
COUNTS = ("measurement_count", "ok_count", "anomaly_count", "confirmed_count", "failure_count")
_KEY = ("measurement_start_day", "probe_cc", "test_name")
_COUNTRY = re.compile("[A-Z]{2}")
#: Columns of a frame of counts.
COLUMNS = ("test_name", "probe_cc", "day", *COUNTS)
_DTYPES = {"test_name": "str", "probe_cc": "str", "day": "datetime64[us]"} | dict.fromkeys(
    COUNTS, "int64"
)


def frame_of(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """Return a sorted frame of counts; each row has the values of ``COLUMNS`` in order."""
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(_DTYPES)
    return frame.sort_values(["test_name", "probe_cc", "day"], ignore_index=True)


@dataclass(frozen=True)
class TestCounts:
    """Counts: ``COLUMNS``, one row for each test, country and day, sorted; ``file`` may be None."""

    __test__ = False  # pytest collects classes by their name

    counts: pd.DataFrame
    file: ReferenceFile | None = None


NO_COUNTS = TestCounts(frame_of([]))


def load_test_counts(path: str | Path) -> TestCounts:
    """Read a file of counts, without rows of other tests; an empty path gives no counts.

    Raises:
        ParameterError: a line has no day or no number, its flags do not add up, or it repeats
            another; names the line.
    """
    if not path:
        return NO_COUNTS
    table = read_csv(Path(path), (*_KEY, *COUNTS), PARAMETER)
    rows: dict[tuple[object, ...], list[int]] = {}
    for line, cells in table.rows:
        if cells["test_name"] not in BY_NAME:
            continue
        with table.at(line):
            probe_cc = cells["probe_cc"].upper()
            if not _COUNTRY.fullmatch(probe_cc):
                raise ValueError(f"{probe_cc[:20]!r} is no country, which has two letters")
            day = parse_date("measurement_start_day", cells["measurement_start_day"])
            counts = [_count(cells[name]) for name in COUNTS]
            if counts[0] != sum(counts[1:]):
                raise ValueError(f"its flags sum to {sum(counts[1:])}, not to {counts[0]}")
            key = (cells["test_name"], probe_cc, day)
            if key in rows:
                raise ValueError("its day, country and test stand twice")
        rows[key] = counts
    newest = max((str(day) for _, _, day in rows), default="")
    frame = frame_of([(*key, *counts) for key, counts in rows.items()])
    return TestCounts(frame, table.described("counts of tests", len(frame), newest))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise ValueError(f"{text[:20]!r} is no count")
    return int(text)


def find_causes(test_name: str, first: date, last: date) -> pd.DataFrame:
    """Return the known causes for which a test failed everywhere between two days.

    Rows of ``messaging_causes.csv`` (``cause, source``), in its order. An empty day there is an
    unknown beginning or end.
    """
    causes = pd.read_csv(REFERENCE / "messaging_causes.csv", dtype="str", keep_default_na=False)
    has_begun = causes["since"] <= str(last)
    is_over = causes["until"].between("0", str(first), inclusive="left")
    return causes[(causes["test_name"] == test_name) & has_begun & ~is_over]
