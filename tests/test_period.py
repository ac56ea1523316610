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


@pytest.mark.parametrize(
    ("since", "until", "split"),
    [
        ("2023-07-01", "2024-07-01", "2024-01-01"),
        ("2024-01-01", "2024-04-01", "2024-03-01"),  # odd months: the first half is longer
        ("2024-01-01", "2024-02-01", "2024-01-17"),  # one month: halved by days
        ("2024-01-15", "2024-03-10", "2024-03-01"),  # touches three months
        ("2024-01-31", "2024-02-02", "2024-02-01"),
    ],
)
def test_default_split_is_the_month_start_that_halves(since: str, until: str, split: str) -> None:
    """Months decide, not days, so that the halves are what people call semesters."""
    first, second = Period.parse(since, until).split()
    assert (str(first.since), str(second.since), str(second.until)) == (since, split, until)
    assert first.until == second.since


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


@pytest.mark.parametrize(
    "text", ["2024-1-1", "2024-02-30", "20240101", "2024-01-01T00:00", "٢٠٢٤-٠١-٠١", "", "never",
             "0001-01-01", "9999-12-31"]
)  # fmt: skip
def test_what_is_no_date_is_refused_by_name(text: str) -> None:
    """The message says which parameter, its value and how a date is written."""
    with pytest.raises(ParameterError, match=r"^SINCE=.*YYYY-MM-DD") as error:
        parse_date("SINCE", text)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("since", "until", "split", "message"),
    [
        ("2024-01-01", "2024-01-01", None, "UNTIL=2024-01-01: must lie after SINCE, 2024-01-01"),
        ("2024-02-01", "2024-01-01", None, "UNTIL=2024-01-01: must lie after SINCE, 2024-02-01"),
        ("2024-01-01", "2024-03-01", "2024-01-01", "SPLIT=2024-01-01: must lie after 2024-01-01"),
        ("2024-01-01", "2024-03-01", "2024-03-01", "SPLIT=2024-03-01: must lie after 2024-01-01"),
        ("2024-01-01", "2024-01-02", None, "UNTIL=2024-01-02: a report compares halves"),
    ],
)
def test_a_period_or_half_without_days_is_refused(
    since: str, until: str, split: str | None, message: str
) -> None:
    """An empty half would compare something with nothing."""
    with pytest.raises(ParameterError) as error:
        Period.parse(since, until).split(split)
    assert str(error.value).startswith(message)
