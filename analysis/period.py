"""The one half-open UTC period type. All date arithmetic of the project is here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from analysis.errors import ParameterError

#: The type of days and times in every frame: UTC, without a zone, as DuckDB returns them.
MOMENT: Final = "datetime64[us]"
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# Far from the ends of the calendar, so that no arithmetic on a period can overflow.
_YEARS = range(1970, 3000)


def parse_date(name: str, value: str | date) -> date:
    """Read an ISO date.

    Raises:
        ParameterError: ``value`` is not a calendar date written YYYY-MM-DD.
    """
    if isinstance(value, date):
        return value
    try:
        if not _ISO_DATE.fullmatch(value):
            raise ValueError
        day = date.fromisoformat(value)
        if day.year not in _YEARS:
            raise ValueError
    except (TypeError, ValueError):
        accepted = "a date is written YYYY-MM-DD, in UTC, from 1970 to 2999"
        raise ParameterError(name, value, accepted) from None
    return day


def today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def day_of(moment: Any) -> date | None:
    """Return the day of a time or of an ISO text; None for None, ``""`` and NaT."""
    if not moment or moment != moment:
        return None
    if isinstance(moment, str):
        return date.fromisoformat(moment)
    day: date = moment.date() if isinstance(moment, datetime) else moment
    return day


def days_between(first: date, last: date) -> int:
    """Return the days from ``first`` to ``last``; negative if ``last`` is earlier."""
    return (last - first).days


def month_before(day: date) -> date:
    """Return the first day of the calendar month before that of a day."""
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


@dataclass(frozen=True, order=True)
class Period:
    """Days from ``since`` (in) until ``until`` (out), in UTC."""

    since: date
    until: date

    def __post_init__(self) -> None:
        if self.since >= self.until:
            raise ParameterError("UNTIL", self.until, f"must lie after SINCE, {self.since}")

    @classmethod
    def parse(cls, since: str | date, until: str | date) -> "Period":
        """Read a period from two ISO dates; ``until`` is exclusive."""
        return cls(parse_date("SINCE", since), parse_date("UNTIL", until))

    @classmethod
    def ending(cls, until: date, day_count: int) -> "Period":
        """Return the period of ``day_count`` days before ``until``."""
        return cls(until - timedelta(days=day_count), until)

    def __contains__(self, day: date) -> bool:
        return self.since <= day < self.until

    def __str__(self) -> str:
        return f"{self.since}--{self.until}"

    @property
    def in_words(self) -> str:
        """First and last day, in words."""
        return f"{self.since:%-d %B %Y} to {self.last_day:%-d %B %Y}"

    @property
    def day_count(self) -> int:
        return (self.until - self.since).days

    @property
    def last_day(self) -> date:
        return self.until - timedelta(days=1)

    def days(self) -> Iterator[date]:
        """Yield each day, in order."""
        return (self.since + timedelta(days=count) for count in range(self.day_count))

    def extended(self, days: int) -> "Period":
        """Return the period with ``days`` more days at its end."""
        return Period(self.since, self.until + timedelta(days=days))

    def months(self) -> Iterator["Period"]:
        """Yield the calendar months of the period in order; the first and last may be parts."""
        start = self.since
        while start < self.until:
            next_month = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
            yield Period(start, min(next_month, self.until))
            start = next_month

    def weeks(self) -> Iterator["Period"]:
        """Yield the weeks from Sunday to Saturday that overlap the period, whole and in order."""
        start = self.since - timedelta(days=(self.since.weekday() + 1) % 7)
        while start < self.until:
            yield Period(start, start + timedelta(days=7))
            start += timedelta(days=7)

    def split(self, at: str | date | None = None) -> tuple["Period", "Period"]:
        """Return the two halves that the report compares.

        Args:
            at: first day of the second half. By default the first of a month, so that both halves
                have as many months or the first has one more; within one month, days are halved.

        Raises:
            ParameterError: ``at`` is not inside the period, or the period is a single day.
        """
        if self.day_count < 2:
            raise ParameterError("UNTIL", self.until, "a report compares halves: give two days")
        if at:
            middle = parse_date("SPLIT", at)
        else:
            starts = [month.since for month in self.months()]
            if len(starts) > 1:
                middle = starts[(len(starts) + 1) // 2]
            else:
                middle = self.since + timedelta(days=(self.day_count + 1) // 2)
        if not self.since < middle < self.until:
            raise ParameterError(
                "SPLIT", middle, f"must lie after {self.since} and before {self.until}"
            )
        return Period(self.since, middle), Period(middle, self.until)
