"""Counts of messaging and circumvention tests that somebody hands in: by country, test and day.

They are what OONI's API says (``sources.api``), in a file, for who does not ask it:
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


def frame_of(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """A frame of counts, rows in the order of ``COLUMNS``; sorted."""
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    kinds = dict.fromkeys(COUNTS, "int64") | {
        "day": "datetime64[us]",
        "test_name": "str",
        "probe_cc": "str",
    }
    return frame.astype(kinds).sort_values(["test_name", "probe_cc", "day"], ignore_index=True)


@dataclass(frozen=True)
class TestCounts:
    """Counts: ``COLUMNS``, one row a test, country and day, sorted; ``file`` is None for none."""

    __test__ = False  # pytest collects classes by their name

    counts: pd.DataFrame
    file: ReferenceFile | None = None


NO_COUNTS = TestCounts(frame_of([]))


def load_test_counts(path: str | Path) -> TestCounts:
    """Read a file of counts; no path is none. Other tests are left out.

    Raises:
        ParameterError: a line is wrong: no day, no number, flags that do not sum, a row that stands
            twice; names the line.
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
    """The known causes for which a test failed everywhere in a stretch of days: ``cause, source``.

    In the order of ``messaging_causes.csv``. An empty day there is an edge that nobody knows.
    """
    path = REFERENCE / "messaging_causes.csv"
    known = pd.read_csv(path, dtype="str", keep_default_na=False)
    has_begun = known["since"] <= str(last)
    is_over = known["until"].between("0", str(first), inclusive="left")
    return known[(known["test_name"] == test_name) & has_begun & ~is_over]
