"""An onset: many sites newly blocked within a month on several networks, and nothing less."""

from datetime import date, timedelta

import pandas as pd
import pytest

from analysis.period import Period
from analysis.reference.events import Event
from analysis.report.findings import find_coincidences, find_onset

YEAR = Period.parse("2024-01-01", "2025-01-01")


def _begun(site: int, asn: int, day: date, open_before: int | None = 5, schedule: str = ""):
    """An interval that begins on a day, some days after a test that reached the site."""
    seen = str(day - timedelta(days=open_before)) if open_before else ""
    return {
        "domain": f"s{site:02}.test", "probe_asn": f"AS{asn}", "blocked_from": str(day),
        "last_seen_open": seen, "schedule": schedule, "state": "blocked", "blocked_until": "",
        "first_seen_open_again": "",
    }  # fmt: skip


AUGUST = [_begun(site, 1 + site % 2, date(2024, 8, 6) + timedelta(days=site)) for site in range(6)]


def test_the_window_with_most_sites_is_found() -> None:
    """Its first and last day, sites and networks; what was seen blocked there for the first time
    without an earlier test is counted apart, and a stray block of another month is left out."""
    stray = _begun(9, 1, date(2024, 3, 1))
    untested = _begun(8, 3, date(2024, 8, 8), open_before=None)
    found = find_onset(pd.DataFrame([*AUGUST, stray, untested]), YEAR)
    assert found is not None
    assert (found.first_day, found.last_day) == (date(2024, 8, 6), date(2024, 8, 11))
    assert found.sites == tuple(f"s{site:02}.test" for site in range(6))
    assert found.probe_asns == ("AS1", "AS2")
    assert found.undated_sites == ("s08.test",)


@pytest.mark.parametrize(
    "intervals",
    [
        AUGUST[:4],
        [{**one, "probe_asn": "AS1"} for one in AUGUST],
        [{**one, "last_seen_open": ""} for one in AUGUST],
        [{**one, "last_seen_open": "2024-01-02"} for one in AUGUST],
        [{**one, "schedule": "Mon-Fri 04:00-08:00"} for one in AUGUST],
        [_begun(site, site % 5, date(2024, 1, 6) + timedelta(days=6 * site)) for site in range(50)],
        [],
    ],
    ids=["few sites", "one network", "perhaps older", "no near test", "hours", "all year", "none"],
)
def test_less_is_no_event(intervals: list[dict[str, str]]) -> None:
    frame = pd.DataFrame(intervals, columns=[*AUGUST[0]], dtype="str")
    assert find_onset(frame, YEAR) is None


def test_events_of_the_same_days_are_named() -> None:
    """From two weeks before the first block to the last one; later ones explain nothing."""
    found = find_onset(pd.DataFrame(AUGUST), YEAR)
    assert found is not None
    days = [date(2024, 7, 22), date(2024, 7, 23), date(2024, 8, 11), date(2024, 8, 12)]
    events = [Event(day, f"Day {day}", "order", "invented") for day in days]
    assert find_coincidences(found, events) == events[1:3]
