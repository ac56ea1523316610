"""Hours of the week at which a block holds are found where there are any, and nowhere else."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from analysis.verdicts.e_values import log_stretch_count
from analysis.verdicts.hours import (
    Asked,
    Schedule,
    count_times,
    find_schedule,
    fit_range,
    fit_schedule,
)
from analysis.verdicts.site_hours import find_of_site

MONDAY = np.datetime64("2024-01-01T00:00:00", "s")


def _ratio(schedule: Schedule, asked: Asked) -> float:
    """The likelihood ratio of sessions at the hours of a schedule, over their best days."""
    return fit_range(asked, schedule.hours).log_ratio


def _times(rng: np.random.Generator, per_day: int, day_count: int = 63) -> NDArray[np.datetime64]:
    times: NDArray[np.datetime64] = MONDAY + rng.integers(
        0, day_count * 86_400, per_day * day_count
    )
    return np.sort(times)


def _weekday(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    days: NDArray[np.int64] = (times - MONDAY).astype(np.int64) // 86_400 % 7
    return days


def _hour(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    hours: NDArray[np.int64] = (times - MONDAY).astype(np.int64) // 3_600 % 24
    return hours


def _draw(
    rng: np.random.Generator, times: NDArray[np.datetime64], shares: NDArray[np.float64]
) -> Asked:
    return Asked(times, rng.random(len(times)) < shares, np.full(len(times), 0.03))


def _block_by_hours(seed: int, weekdays: set[int], hours: set[int], per_day: int = 10) -> Asked:
    """Blocked from the third to the sixth of nine weeks at these hours."""
    rng = np.random.default_rng(seed)
    times = _times(rng, per_day)
    is_inside = np.isin(_weekday(times), list(weekdays)) & np.isin(_hour(times), list(hours))
    week = (times - MONDAY).astype(np.int64) // (7 * 86_400)
    return _draw(rng, times, np.where(is_inside & (week >= 2) & (week < 6), 0.97, 0.02))


@pytest.mark.parametrize(
    ("weekdays", "hours", "text"),
    [
        ({0, 1, 2, 3, 4}, {4, 5, 6, 7, 10, 11, 12, 13}, "Mon-Fri 04:00-08:00, 10:00-14:00"),
        ({6, 0, 1, 2, 3}, {5, 6, 7, 8}, "Sun-Thu 05:00-09:00"),
        (set(range(7)), {22, 23, 0, 1, 2, 3, 4, 5}, "Mon-Sun 00:00-06:00, 22:00-24:00"),
        ({3, 4}, set(range(6, 18)), "Thu-Fri 06:00-18:00"),
    ],
    ids=["exams", "Sunday is a school day", "curfew", "end of the week"],
)
def test_hours_are_found(weekdays: set[int], hours: set[int], text: str) -> None:
    """A run may pass Sunday, a window midnight; the days are those of the block."""
    series = _block_by_hours(1, weekdays, hours, per_day=20)
    schedule = find_schedule(series)
    assert schedule is not None
    assert str(schedule) == text
    assert MONDAY + 14 * 86_400 <= schedule.first_day <= schedule.last_day < MONDAY + 42 * 86_400
    is_inside = schedule.is_inside(series.times)
    assert series.is_hit[is_inside].mean() > 0.9
    assert series.is_hit[~is_inside].mean() < 0.1


def _stretches(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    week = (times - MONDAY).astype(np.int64) // (7 * 86_400)
    is_blocked = (week > 1) & (week < 5) | (week == 7)
    return _draw(rng, times, np.where(is_blocked, rng.choice([0.3, 0.6, 0.95]), 0.03))


def _closed_weekdays(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    return _draw(rng, times, np.where(_weekday(times) < 5, 0.9, 0.03))


def _overload(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    return _draw(rng, times, np.full(len(times), rng.choice([0.1, 0.3, 0.5])))


def _busy_evenings(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    shares = np.where((_hour(times) > 13) & (_hour(times) < 19), 0.5, 0.02)
    return replace(_draw(rng, times, shares), rates=shares)


def _tests_in_class(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    times = times[np.isin(_hour(times), [4, 5, 6, 7]) & (_weekday(times) < 5)]
    return _stretches(rng, times)


@pytest.mark.parametrize(
    "draw", [_stretches, _closed_weekdays, _overload, _busy_evenings, _tests_in_class]
)
def test_no_hours_are_made_up(
    draw: Callable[[np.random.Generator, NDArray[np.datetime64]], Asked],
) -> None:
    """Not of whole days, nor of shares, nor where failing is usual or open tests are missing."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        assert find_schedule(draw(rng, _times(rng, 1 + 4 * (seed % 4)))) is None


def _find(networks: dict[int, Asked]) -> dict[int, Schedule]:
    """The schedules of a site's networks, all of one kind."""
    found = find_of_site({(0, asn): asked for asn, asked in networks.items()})
    return {asn: schedule for (_, asn), schedule in found.items()}


def test_hours_of_one_network_are_tried_on_the_others() -> None:
    """A network with too few tests to find the hours shows whether it keeps them."""
    exams = ({0, 1, 2, 3, 4}, {4, 5, 6, 7, 10, 11, 12, 13})
    clear, thin = _block_by_hours(1, *exams, per_day=20), _block_by_hours(3, *exams, per_day=2)
    rng = np.random.default_rng(3)
    open_all_day = _draw(rng, _times(rng, 20), np.full(20 * 63, 0.03))
    assert find_schedule(thin) is None
    found = _find({1: thin, 2: clear, 3: open_all_day})
    assert {asn: str(one) for asn, one in found.items()} == dict.fromkeys(
        (1, 2), "Mon-Fri 04:00-08:00, 10:00-14:00"
    )
    assert fit_schedule(replace(found[2], windows=((15, 19),)), thin) is None
    # Nobody else names the hours of the clear one.
    assert {asn: one.by_others is not None for asn, one in found.items()} == {1: True, 2: False}
    assert found[1].log_evidence > found[1].log_ratio - 1, "at next to no price"


def test_at_given_hours_the_expectation_is_at_most_one() -> None:
    """Every way in which twelve sessions of six days may fail by chance, by its probability."""
    times = MONDAY + np.repeat(np.arange(6), 2) * 86_400 + np.tile([4, 5], 6) * 3_600
    schedule = Schedule(0, ((4, 6),), MONDAY, MONDAY, 0.0)
    expectation = 0.0
    for outcome in product((False, True), repeat=len(times)):
        is_hit, rates = np.array(outcome), np.full(len(times), 0.3)
        probability = np.where(is_hit, rates, 1 - rates).prod()
        held = _ratio(schedule, Asked(times, is_hit, rates)) - log_stretch_count(np.array([6]))
        expectation += probability * float(np.exp(held)[0])
    assert 0.1 < expectation <= 1


def test_hours_are_found_where_no_day_shows_both() -> None:
    """One session every second day: what fails one day is open before it fails again."""
    times = MONDAY + (np.arange(90) * 2 * 86_400) + np.arange(90) % 4 * 6 * 3_600
    is_hit = _hour(times) == 18
    rates = np.full(len(times), 0.02)
    assert str(find_schedule(Asked(times, is_hit, rates))) == "Mon-Sun 18:00-19:00"
    assert count_times(is_hit) == is_hit.sum()
    assert count_times(np.arange(90) < 45) == 1, "a block that was lifted"


def test_what_is_blocked_every_other_week_has_no_hours() -> None:
    """Tested in the evening while it was blocked and in the morning otherwise: weeks explain it."""
    is_hit = np.arange(42) // 7 % 2 == 0
    times = MONDAY + np.arange(42) * 86_400 + np.where(is_hit, 20, 8) * 3_600
    assert find_schedule(Asked(times, is_hit, np.full(42, 0.02))) is None


def test_kenyas_exam_hours_are_found(shared_data: Path) -> None:
    """The hours that were reported, on the networks where they were, from real measurements.

    OONI dated the block at these hours on AS33771 and AS37061, and saw AS36926 block now and
    then: with the hours known, 11 of its 14 tests inside failed, and one of 20 outside.
    """
    path = shared_data / "messaging" / "ke-telegram-2023.csv"
    if not path.is_file():
        pytest.skip("Kenya's measurements are not among the real data")
    rows = pd.read_csv(path, parse_dates=["start"]).sort_values("start")
    is_hit = rows["web_http_failure"].eq("generic_timeout_error") | rows["web_tls_failure"].notna()
    rows = rows.assign(start=rows["start"].dt.tz_localize(None), is_hit=is_hit, rate=0.02)
    networks = {
        int(asn): Asked(
            cell["start"].to_numpy("datetime64[s]"), cell["is_hit"].to_numpy(),
            cell["rate"].to_numpy(),
        )
        for asn, cell in rows.groupby("probe_asn")
    }  # fmt: skip
    found = _find(networks)
    assert {asn: str(one) for asn, one in found.items()} == dict.fromkeys(
        (33771, 36926, 37061), "Mon-Fri 04:00-08:00, 10:00-14:00"
    )
    assert find_schedule(networks[12455]) is None, "blocked without pause"
