"""How surprising failures are, whatever stretch one looks at."""

from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts import blocks
from analysis.verdicts.e_values import (
    LEAST_SHARE,
    MOST_SHARE,
    chance_of,
    log_stretch_count,
    weigh_evidence,
)
from analysis.verdicts.hours import Schedule
from analysis.verdicts.intervals import chance_text, evidence_text
from analysis.verdicts.rates import TAUGHT, Lessons, expect
from tests.series import series_of


def _evidence(*cells: list[int], rate: float = 0.02, **options: object) -> np.ndarray:
    series = series_of(*cells, **options)  # type: ignore[arg-type]
    return np.exp(weigh_evidence(series, np.full(len(series.row), rate))[0])


def _by_hand(days: list[list[int]], rate: float) -> float:
    """Nine tenths of E, from the definition: every stretch, and every path of the chain."""
    weights, failed, tested = [], 0, 0
    for day in days:
        ratios = []
        for hit in day:
            q = min(max((failed + 3) / (tested + 4), 0.75), 0.95)
            ratios.append(q / rate if hit else (1 - q) / (1 - rate))
            failed, tested = failed + hit, tested + 1
        together, most = np.prod(ratios), max(ratios)
        weights.append(min(together, most**2) if most > 1 else together)
    stretches = [np.prod(weights[first:last]) for first in range(len(days))
                 for last in range(first + 1, len(days) + 1)]  # fmt: skip
    change, paths = 1 / max(len(days), 2), 0.0
    for path in product([False, True], repeat=len(days)):
        chances = [change if one != next_one else 1 - change for one, next_one in pairwise(path)]
        inside = [weight for weight, is_blocked in zip(weights, path, strict=True) if is_blocked]
        paths += 0.5 * np.prod(chances) * np.prod(inside)
    return 0.9 * (float(np.mean(stretches)) + float(paths)) / 2


def test_three_days_by_hand_against_what_the_pair_says_itself() -> None:
    """Two failures, then access, at a base of 0.1: held against 0.8 / 8, 1.8 / 9 and 2.8 / 10 with
    shares of 3 / 4, 4 / 5 and 5 / 6, they count 7.5, 4 and (1 / 6) / 0.72."""
    series = series_of([1, 1, 0])
    a, b, c = 7.5, 4, 1 / 6 / 0.72
    found = weigh_evidence(series, expect(series, np.full(3, 0.1)))
    assert np.exp(found.by_day) == pytest.approx([a, b, c])
    stretches = (a + b + c + a * b + b * c + a * b * c) / 6
    # A third of the paths' odds is a change, two thirds none.
    paths = (4 + 2 * c + b + 2 * b * c + 2 * a + a * c + 2 * a * b + 4 * a * b * c) / 18
    assert np.exp(found.evidence) == pytest.approx([0.45 * (stretches + paths)])


DAYS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=4), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(DAYS, min_size=1, max_size=3), st.sampled_from([0.01, 0.2, 0.45]))
def test_evidence_is_the_mean_over_stretches_and_paths(
    cells: list[list[list[int]]], rate: float
) -> None:
    """Several series side by side are weighed as if alone."""
    outcomes = [[hit for day in days for hit in day] for days in cells]
    numbers = [[n for n, day in enumerate(days) for _ in day] for days in cells]
    found = _evidence(*outcomes, rate=rate, days=numbers)
    assert found == pytest.approx([_by_hand(days, rate) for days in cells])


def test_a_day_weighs_no_more_than_two_sessions() -> None:
    """Ten tests of one day by one probe are not ten witnesses."""
    one, two, ten = (_evidence([1] * count, days=[[0] * count])[0] for count in (1, 2, 10))
    assert one < two < ten < (MOST_SHARE / LEAST_SHARE) ** 2 * two
    assert _evidence([1] * 3)[0] > ten


def test_what_fails_as_often_anyway_is_no_evidence() -> None:
    """Where the rate is 0.95 or more, neither a failure nor access says anything."""
    assert _evidence([1] * 20 + [0] * 20, rate=0.95)[0] == pytest.approx(0.9)


def test_a_pair_that_fails_now_and_then_by_itself_does_not_grow_without_end() -> None:
    """Every other session of four hundred fails, where only one in fifty was expected: what it
    gains is what it began with."""
    values = []
    for size in (40, 400):
        series = series_of([0, 1] * (size // 2))
        values.append(weigh_evidence(series, expect(series, np.full(size, 0.02))).evidence[0])
    assert values[1] < values[0] + np.log(10)
    assert np.log(_evidence([0, 1] * 200, rate=0.02)[0]) > 100


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.4])
def test_if_nobody_blocks_the_expectation_is_at_most_one(rate: float) -> None:
    """20,000 series that fail by chance: the mean, four standard errors allowed, and the tails
    that Markov's inequality bounds; at a known rate."""
    rng = np.random.default_rng(1)
    series = series_of(*(rng.random((20_000, 12)) < rate).astype(int),
                       days=[[0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 5, 6]] * 20_000)  # fmt: skip
    found = np.exp(weigh_evidence(series, np.full(len(series.row), rate))[0])
    assert found.mean() <= 1 + 4 * found.std() / np.sqrt(len(found))
    for share in (0.1, 0.01, 0.001):
        assert (chance_of(np.log(found)) <= share).mean() <= share


def test_days_and_hours_are_parts_of_one_e_value() -> None:
    """Nine tenths and one: the larger of the two would have an expectation of up to 2."""
    series = series_of([1] * 12)
    first, last = series.column("time")[[0, -1]].astype("datetime64[D]")
    schedule = Schedule(0, ((8, 9),), first, last, log_ratio=25.0)
    lessons = Lessons(pd.DataFrame(0.0, [0], list(TAUGHT)), np.full(12, 0.1))
    evidence = blocks.weigh_evidence(series, lessons, {0: schedule}, Thresholds())
    of_days = weigh_evidence(series, expect(series, np.full(12, 0.1))).evidence[0]
    of_hours = schedule.log_evidence - log_stretch_count(np.array([12]))[0] + np.log(0.1)
    assert evidence.log_evidence == pytest.approx([np.logaddexp(of_days, of_hours)])
    assert abs(of_days - of_hours) < 4, "else one of them would not be seen"


def test_no_chance_below_one_in_a_thousand_is_told() -> None:
    """Nor above 1; the evidence is the logarithm of E to base 10, and nothing of no series."""
    told = pd.Series(np.log([0.5, 1.0, 100.0, 1e9]))
    assert chance_text(told).tolist() == ["1.0e+00", "1.0e+00", "1.0e-02", "1.0e-03"]
    assert evidence_text(told).tolist() == ["-0.3", "0.0", "2.0", "9.0"]
    nothing = pd.Series([np.nan])
    assert chance_text(nothing).tolist() == evidence_text(nothing).tolist() == [""]


def test_more_failures_are_more_evidence() -> None:
    values = [_evidence([0] * 5 + [1] * count + [0] * 5)[0] for count in range(1, 12)]
    assert all(less < more for less, more in pairwise(values))


def test_a_pair_that_always_fails_is_more_evidence_the_longer_it_is_tested() -> None:
    """From the first test on, on a network where one session in sixteen fails by accident."""
    values = []
    for size in (10, 40, 200):
        series = series_of([1] * size)
        values.append(weigh_evidence(series, expect(series, np.full(size, 0.06))).evidence[0])
    assert np.log(1000) < values[0] < values[1] < values[2]


def test_what_is_blocked_opened_and_blocked_again_counts_together() -> None:
    """Two blocks of a year say more than the longer one alone, however long the opening."""
    once, twice = [1] * 8 + [0] * 40, [1] * 8 + [0] * 32 + [1] * 8
    assert _evidence(twice)[0] > 100 * _evidence(once)[0]
