"""How surprising failures are, whatever stretch one looks at, and the line of the list."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from analysis.verdicts.lessons import Lessons
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts import blocks
from analysis.verdicts.e_values import chance_of, find_line, log_stretch_count, weigh_evidence
from analysis.verdicts.expectation import Expectation
from analysis.verdicts.schedules import Schedule
from tests.series import series_of

_SHARES = (0.5, 0.75, 0.95)


def _evidence(*cells: list[int], rate: float = 0.02, **options: object) -> np.ndarray:
    series = series_of(*cells, **options)  # type: ignore[arg-type]
    return np.exp(weigh_evidence(series, np.full(len(series.row), rate))[0])


def _by_hand(days: list[list[int]], rate: float) -> float:
    """The mean over all stretches of days and over q, from the definition."""
    totals = []
    for q in _SHARES:
        ratios = [[q / rate if hit else (1 - q) / (1 - rate) for hit in day] for day in days]
        weights = [min(np.prod(day), max(day) ** 2) if max(day) > 1 else np.prod(day)
                   for day in ratios]  # fmt: skip
        totals += [np.prod(weights[first:last]) for first in range(len(days))
                   for last in range(first + 1, len(days) + 1)]  # fmt: skip
    return float(np.mean(totals))


def test_two_days_by_hand() -> None:
    """A failure, then access: (l₁ + l₂ + l₁l₂) / 3 for each q, and their mean."""
    expected = np.mean([
        (f + o + f * o) / 3
        for f, o in ((0.5 / 0.1, 0.5 / 0.9), (0.75 / 0.1, 0.25 / 0.9), (0.95 / 0.1, 0.05 / 0.9))
    ])  # fmt: skip
    assert _evidence([1, 0], rate=0.1)[0] == pytest.approx(expected)


DAYS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=4), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(DAYS, min_size=1, max_size=3), st.sampled_from([0.01, 0.2, 0.45]))
def test_evidence_is_the_mean_over_all_stretches(cells: list[list[list[int]]], rate: float) -> None:
    """Several series side by side are weighed as if alone."""
    outcomes = [[hit for day in days for hit in day] for days in cells]
    numbers = [[n for n, day in enumerate(days) for _ in day] for days in cells]
    found = _evidence(*outcomes, rate=rate, days=numbers)
    assert found == pytest.approx([_by_hand(days, rate) for days in cells])


def test_a_day_weighs_no_more_than_two_sessions() -> None:
    """Ten tests of one day by one probe are not ten witnesses."""
    one_day = [[0] * count for count in (1, 2, 3, 10)]
    one, two, three, ten = (
        _evidence([1] * len(days), days=[days])[0] for days in one_day
    )  # fmt: skip
    assert one < two == pytest.approx(three) == pytest.approx(ten)
    assert _evidence([1] * 3)[0] > three


def test_what_fails_as_often_anyway_is_no_evidence() -> None:
    """Where the rate is above every q, neither a failure nor access says anything."""
    assert _evidence([1] * 20 + [0] * 20, rate=0.97)[0] == pytest.approx(1)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.4])
def test_if_nobody_blocks_the_expectation_is_at_most_one(rate: float) -> None:
    """20,000 series that fail by chance: the mean, four standard errors allowed, and the tails
    that Markov's inequality bounds."""
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
    schedule = Schedule(0, 6, ((8, 9),), first, last, log_ratio=40.0)
    expected = Expectation(series, np.full(12, 0.1), Lessons(series, {}), {0: schedule}, 1, 0)
    evidence = blocks.weigh_evidence(expected, Thresholds())
    (of_days,), (price,) = _evidence([1] * 12, rate=0.1), log_stretch_count(np.array([12]))
    of_hours = np.exp(schedule.log_evidence - price)
    assert np.exp(evidence.log_evidence) == pytest.approx([0.9 * of_days + 0.1 * of_hours])
    assert 0.01 < of_hours / of_days < 100, "else one of them would not be seen"
    evidence = blocks.weigh_evidence(replace(expected, schedules={}), Thresholds())
    assert np.exp(evidence.log_evidence) == pytest.approx([0.9 * of_days])


def test_chance_is_at_most_one() -> None:
    assert chance_of(np.log([0.5, 1.0, 100.0])).tolist() == pytest.approx([1, 1, 0.01])


@pytest.mark.parametrize(
    ("evidence", "listed"),
    [
        ([10_001.0], 1),
        ([9_999.0], 0),
        ([5_001.0, 5_001.0], 2),  # two that are half as strong are listed together
        ([5_001.0, 4_999.0], 0),
        ([10_001.0, 5_001.0, 3_000.0], 2),
        ([], 0),
    ],
)
def test_the_line(evidence: list[float], listed: int) -> None:
    """Of 100 that were tested the k with the largest E, k the largest with E(k) ≥ 100 / 0.01 k."""
    values = np.log(np.array(evidence, float))
    assert (values >= find_line(values, 100, 0.01)).sum() == listed


def test_at_most_the_share_is_listed_by_chance() -> None:
    """Worlds of 400 series of which 20 are blocked: the mean share of false ones listed."""
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(60):
        failing = np.where(np.arange(400) < 20, 0.9, 0.1)[:, None]
        series = series_of(*(rng.random((400, 10)) < failing).astype(int))
        values = weigh_evidence(series, np.full(len(series.row), 0.1))[0]
        is_listed = values >= find_line(values, 400, 0.05)
        shares.append(is_listed[20:].sum() / max(is_listed.sum(), 1))
        assert is_listed[:20].any()
    assert np.mean(shares) <= 0.05


def test_more_failures_are_more_evidence() -> None:
    values = [_evidence([0] * 5 + [1] * count + [0] * 5)[0] for count in range(1, 12)]
    assert all(less < more for less, more in pairwise(values))
