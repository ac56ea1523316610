"""Periods are half-open and in UTC; their halves and months leave out no day."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import ParameterError
from analysis.period import Period, parse_date

DAYS = st.dates(date(2012, 1, 1), date(2100, 1, 1))
PERIODS = st.builds(
    lambda since, length: Period(since, since + timedelta(days=length)),
    DAYS,
    st.integers(1, 900),
)


def test_default_split_is_the_month_start_that_halves() -> None:
    """Months decide, not days, so that the halves are what people call semesters."""
    for since, until, split in (
        ("2023-07-01", "2024-07-01", "2024-01-01"),
        ("2024-01-01", "2024-04-01", "2024-03-01"),  # odd months: the first half is longer
        ("2024-01-01", "2024-02-01", "2024-01-17"),  # one month: halved by days
        ("2024-01-15", "2024-03-10", "2024-03-01"),  # touches three months
        ("2024-01-31", "2024-02-02", "2024-02-01"),
    ):
        halves = Period.parse(since, split), Period.parse(split, until)
        assert Period.parse(since, until).split() == halves


@given(PERIODS)
def test_months_tile_the_period(period: Period) -> None:
    """Each day is in exactly one month, and each month is of one calendar month."""
    months = list(period.months())
    assert months[0].since == period.since
    assert months[-1].until == period.until
    assert [month.until for month in months[:-1]] == [month.since for month in months[1:]]
    assert all(month.since.month == month.last_day.month for month in months)
    assert sum(month.day_count for month in months) == period.day_count


@given(PERIODS.filter(lambda period: period.day_count > 1), st.data())
def test_halves_share_no_day_and_leave_out_none(period: Period, data: st.DataObject) -> None:
    """A day is in the period if and only if it is in exactly one half."""
    first, second = period.split()
    day = data.draw(st.dates(period.since - timedelta(days=3), period.until + timedelta(days=3)))
    assert (day in first) + (day in second) == (day in period)
    assert period.last_day in second
    assert period.until not in period


def test_what_is_no_date_is_refused_by_name() -> None:
    """The message says which parameter, its value and how a date is written."""
    for text in ("2024-1-1", "2024-02-30", "20240101", "2024-01-01T00:00", "٢٠٢٤-٠١-٠١", "",
                 "never", "0001-01-01", "9999-12-31"):  # fmt: skip
        with pytest.raises(ParameterError, match=rf"^SINCE={text}: .*YYYY-MM-DD"):
            parse_date("SINCE", text)


def test_a_period_or_half_without_days_is_refused() -> None:
    """An empty half would compare something with nothing."""
    first = "2024-01-01"
    for since, until, split, message in (
        (first, first, None, "UNTIL=2024-01-01: must lie after SINCE, 2024-01-01"),
        ("2024-02-01", first, None, "UNTIL=2024-01-01: must lie after SINCE, 2024-02-01"),
        (first, "2024-03-01", first, "SPLIT=2024-01-01: must lie after 2024-01-01"),
        (first, "2024-03-01", "2024-03-01", "SPLIT=2024-03-01: must lie after 2024-01-01"),
        (first, "2024-01-02", None, "UNTIL=2024-01-02: a report compares halves"),
    ):
        with pytest.raises(ParameterError, match=f"^{message}"):
            Period.parse(since, until).split(split)
