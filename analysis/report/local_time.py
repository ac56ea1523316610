"""Hours of the week as the clocks of a country's capital show them."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from analysis.languages.language import Language
from analysis.reference import countries

_SCHEDULE = re.compile(r"(?P<first>\w{3})(?:-(?P<last>\w{3}))? (?P<windows>\d\d:.+)")
_DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_DAY = re.compile("|".join(_DAYS))
_CHANGE = "; when the clocks change: "


def add_local_hours(table: pd.DataFrame, probe_cc: str) -> pd.DataFrame:
    """A table with ``local_schedule`` behind its ``schedule``, where there are hours of the week.

    Args:
        table: ``schedule, blocked_from, blocked_until``, days as ISO text.
        probe_cc: the country; a fictional one has no clocks, and its table stays as it is.
    """
    zone = countries.capital_zone(probe_cc)
    if zone is None or not (table["schedule"] != "").any():
        return table
    columns = (table[name] for name in ("schedule", "blocked_from", "blocked_until"))
    local = [
        local_schedule(hours, zone, first, last)
        for hours, first, last in zip(*columns, strict=True)
    ]
    place = list(table.columns).index("schedule") + 1
    added = table.copy()
    added.insert(place, "local_schedule", local)
    return added


def local_schedule(schedule: str, zone: ZoneInfo, first_day: str, last_day: str = "") -> str:
    """A UTC schedule in the local time of a zone.

    ``Mon-Fri 22:00-24:00`` is ``Tue-Sat 05:00-07:00`` seven hours ahead; where the clocks change
    meanwhile, both are given.
    """
    found = _SCHEDULE.fullmatch(schedule)
    if not found:
        return ""
    days = [date.fromisoformat(day) for day in (first_day, last_day) if day]
    shifts = dict.fromkeys(
        datetime.combine(day, time(12), UTC).astimezone(zone).utcoffset() for day in days
    )
    texts = [_shifted(found, shift) for shift in shifts if shift is not None]
    return _CHANGE.join(texts)


def schedule_words(schedule: str, lang: Language) -> str:
    """A schedule, or a local one, with the days of the week as a language names them."""
    written = [
        _DAY.sub(lambda day: lang.weekday(_DAYS.index(day[0])), text)
        for text in schedule.split(_CHANGE)
    ]
    if len(written) == 1:
        return written[0]
    before, after = written
    return lang.say("{before}; when the clocks change: {after}", before=before, after=after)


def _shifted(found: re.Match[str], shift: timedelta) -> str:
    """The windows by the day of the week on which they then begin, each day's together."""
    minutes = int(shift.total_seconds() // 60)
    by_day: dict[int, list[str]] = {}
    for window in found["windows"].split(", "):
        since, until = (_minutes(edge) + minutes for edge in window.split("-"))
        text = f"{_clock(since)}-{_clock(until, is_end=True)}"
        by_day.setdefault(since // (24 * 60), []).append(text)
    return "; ".join(
        f"{_days_of(found, step)} {', '.join(windows)}" for step, windows in sorted(by_day.items())
    )


def _days_of(found: re.Match[str], step: int) -> str:
    first, last = found["first"], found["last"] or found["first"]
    if _DAYS.index(last) == (_DAYS.index(first) - 1) % 7:
        step = 0  # all days of the week stay all of them
    names = dict.fromkeys(_DAYS[(_DAYS.index(name) + step) % 7] for name in (first, last))
    return "-".join(names)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def _clock(minutes: int, *, is_end: bool = False) -> str:
    within = minutes % (24 * 60)
    if is_end and within == 0:
        return "24:00"
    return f"{within // 60:02}:{within % 60:02}"
