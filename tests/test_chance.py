"""How surprising failures are, whatever stretch one looks at."""

import numpy as np
import pandas as pd
import pytest

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts import blocks
from analysis.verdicts.e_values import (
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
