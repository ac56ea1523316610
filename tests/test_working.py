"""One case worked through: what is drawn adds up to the chance that the table prints."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.report.following import _add_up
from analysis.verdicts.blocks import weigh_days
from tests.series import series_of


@pytest.mark.parametrize("which", [0, 1])
def test_the_days_add_up_to_the_evidence(which: int) -> None:
    """The last day of a series has its e-value."""
    series = series_of([0, 1, 1, 0, 1, 1], [1, 1, 0], days=[[0, 1, 1, 2, 5, 6], [0, 1, 2]])
    weighed = weigh_days(series, np.full(len(series.row), 0.02))
    evidence: Any = SimpleNamespace(series=series, so_far=weighed.so_far)
    days = _add_up(evidence, which)
    assert len(days) == (5, 3)[which]
    assert days["evidence"].iloc[-1] == pytest.approx(np.exp(weighed.evidence[which]))
