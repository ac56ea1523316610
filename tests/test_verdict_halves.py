"""What is said of each half of a period, and of blocks that reach from one into the other."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED
from tests.letters import (
    ALL_NETWORKS,
    everywhere,
    intervals,
    judge,
    site,
    usual_sites,
    verdict,
)
from tests.observations import Row

SPLIT = "2024-02-15"  # day 45, counted from 0
PERIODS = ("all", "first", "second")


@cache
def halved_sites() -> Judgement:
    """Judge sites that each differ between the halves, in the two halves and in the whole."""
    second = ALL_NETWORKS[1]
    return judge(
        [
            *usual_sites(),
            *site("since-the-split", "O" * 45 + "B" * 40),
            *site("marked-before-the-split", "." * 36 + "K" * 9 + "KBBBB"),
            *site("for-six-days", "O" * 20 + "T" * 6 + "O" * 54),
            *site("for-six-days", "O" * 80, asn=second),
            *site("long-over-the-split", "O" * 39 + "S" * 30),
            *site("long-over-the-split", "O" * 80, asn=second),
            # two blocks of two days, with three sessions a day
            *site("short-twice", "O" * 12),
            *site("short-twice", "KK", start=12, per_day=3),
            *site("short-twice", "O" * 9, start=14),
            *site("short-twice", "KK", start=23, per_day=3),
            *site("short-twice", "O" * 40, start=25),
            # three and four days before the split, nine after it
            *site("late-3", "." * 42 + "B" * 12),
            *site("late-4", "." * 41 + "B" * 13),
            # six sessions on two days before the split, nine days after it
            *site("two-days-before", "." * 43 + "BB", per_day=3),
            *site("two-days-before", "." * 45 + "B" * 9),
            *everywhere("." * 25 + "R" * 40, "away.example"),
            *_across_the_split(),
            *_begun_before_it(),
        ],
        split=SPLIT,
    )


def _across_the_split() -> list[Row]:
    """A report that tests a site before midnight and after it."""
    (row,) = site("across", "O", report_id="long")
    before = datetime(2024, 2, 14, 23, 59)
    after = before + timedelta(minutes=2)
    return [
        {**row, "measurement_start_time": before},
        {**row, "input": "http://across.example/", "measurement_start_time": after},
    ]


def _begun_before_it() -> list[Row]:
    """Reports that begin before the split and meet the block after it."""
    rows = site("begun-before", "." * 45 + "B" * 20)
    for number in range(5):
        report = f"begun-{number}"
        rows += site("begun-before", "N", start=38 + number, report_id=report)
        rows += site("begun-before", "B", start=46 + number, report_id=report)
    return rows


def _rows_of(name: str) -> list[Any]:
    """The verdicts on a site in the whole, the first and the second half."""
    return [verdict(halved_sites(), period, f"{name}.example") for period in PERIODS]


def test_a_block_imposed_at_the_split_leaves_the_first_half_open() -> None:
    """Counts, shares and dates of a half are those of its own sessions."""
    _, first, second = _rows_of("since-the-split")
    assert (first["state"], second["state"]) == ("ok", "likely_blocked")
    assert (first["blocked_share"], second["blocked_share"]) == (0.0, 1.0)
    assert not any(first[["blocked_from", "blocked_until", "note"]])
    assert second["blocked_from"] == "2024-02-15"
    assert first["measurement_count"] + second["measurement_count"] == 85


def test_a_session_across_the_split_is_of_the_day_it_began() -> None:
    """It has no state in the half in which it ends, and leaves no measurement without a session."""
    table = halved_sites().verdicts.query("domain == 'across.example'")
    assert table["period"].tolist() == ["all", "first"]
    assert table["state"].tolist() == ["insufficient"] * 2
    assert table[["session_count", "measurement_count"]].to_numpy().tolist() == [[1, 2]] * 2


def test_a_half_has_the_state_of_the_interval_that_reaches_into_it() -> None:
    """An interval is judged once. Three sessions of a block are too few for a half, and what is too
    little for the whole is so for a half; what is withheld is so in both."""
    late, earlier, short, away = (
        _rows_of(name) for name in ("late-3", "late-4", "two-days-before", "away")
    )
    assert [row["state"] for row in late] == ["likely_blocked", "insufficient", "likely_blocked"]
    assert [row["state"] for row in earlier] == ["likely_blocked"] * 3
    assert [row["state"] for row in away] == ["impaired"] * 3
    assert [row["insufficient_reason"] for row in late[:2]] == ["", "few_sessions"]
    assert short[1]["state"] == "insufficient"
    assert short[1]["insufficient_reason"] == "few_days"


def test_short_blocks_that_meet_the_floor_together_do_so_in_the_half_that_holds_them() -> None:
    """Two blocks of two days each, apart by access, which is all that the second half shows."""
    states = [row["state"] for row in _rows_of("short-twice")]
    assert states == ["blocked", "blocked", "ok"]
    assert len(intervals(halved_sites(), "short-twice.example")) == 2


def test_what_is_withheld_is_said_in_the_half_that_shows_it() -> None:
    """The half that shows access says nothing of a route that was lost in the other one."""
    whole, first, second = _rows_of("for-six-days")
    assert first["state"] == whole["state"] == "impaired"
    assert first["note"] == whole["note"] != ""
    assert (second["state"], second["note"]) == ("ok", "")


def test_a_half_is_told_by_its_own_artefacts() -> None:
    """What only a block leaves was met in the first half: the second is likely blocked."""
    states = [row["state"] for row in _rows_of("marked-before-the-split")]
    assert states == ["blocked", "blocked", "likely_blocked"]


def test_no_half_is_listed_without_a_rule() -> None:
    """The sessions are the first half's, what shows the block is the second's."""
    rows = _rows_of("begun-before")
    for row in rows:
        assert (row["state"] in LISTED) == (row["rule_id"] != "")
    assert rows[1]["blocked_session_count"] == 5


def test_a_long_block_is_one_in_the_half_that_holds_little_of_it() -> None:
    """Six days before the split, and on: no lost route, in either half."""
    states = [row["state"] for row in _rows_of("long-over-the-split")]
    assert states == ["likely_blocked"] * 3
