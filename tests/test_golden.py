"""What the judge says of three small countries, kept as files: a change of the method shows there.

Nobody has worked these files out by hand. They are what an earlier judge said, written by::

    .venv/bin/python -m tests.test_golden

The diff of the files is what a changed method changes, row by row.
"""

import random
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED
from tests import small_countries, test_evidence, test_rivals
from tests.letters import judge
from tests.table_rows import as_written

FOLDER = Path(__file__).parent / "golden"


@cache
def judged_dates() -> Judgement:
    """Judge the country of dates, hours, halves and notes."""
    return judge(small_countries.dates(), split=small_countries.SPLIT)


#: Country → what is judged of it: hours, halves and notes; rivals; chance.
COUNTRIES: Mapping[str, Callable[[], Judgement]] = {
    "dates": judged_dates,
    "rivals": test_rivals.world,
    "chance": lambda: judge(test_evidence.random_rows(0)),
}
TABLES = ("verdicts", "intervals", "withheld", "chances")
#: Of ``verdicts``: what ``confirm`` adds, and what names a measurement.
_LEFT_OUT = ["operator", "is_domestic", "witness_report_id", "witness_input", "witness_url"]


def _write(table: pd.DataFrame) -> str:
    """The text of a table; shares with six digits, as all published files have them."""
    written = as_written(table.drop(columns=_LEFT_OUT, errors="ignore"))
    return written.to_csv(index=False, float_format="%.6g", lineterminator="\n")


@pytest.mark.parametrize("country", COUNTRIES)
def test_the_judge_says_what_it_said(country: str) -> None:
    """Row by row, of verdicts, intervals, withheld stretches and chances."""
    judgement = COUNTRIES[country]()
    for name in TABLES:
        kept = (FOLDER / f"{country}-{name}.csv").read_text(encoding="utf-8")
        assert _write(getattr(judgement, name)) == kept, name


def test_the_order_of_rows_changes_nothing() -> None:
    """The same measurements from other files, in another order, give the same tables."""
    shuffled = small_countries.dates()
    random.Random(3).shuffle(shuffled)
    other = judge(shuffled, split=small_countries.SPLIT)
    for name in TABLES:
        assert_frame_equal(getattr(judged_dates(), name), getattr(other, name))


def test_a_rule_is_named_exactly_where_a_site_is_listed() -> None:
    """In the whole and in each half."""
    table = judged_dates().verdicts
    assert (table["state"].isin(LISTED) == (table["rule_id"] != "")).all()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for country, judged in COUNTRIES.items():
        for name in TABLES:
            text = _write(getattr(judged(), name))
            (FOLDER / f"{country}-{name}.csv").write_text(text, encoding="utf-8")
