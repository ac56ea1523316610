"""One case worked through: what is drawn adds up to the chance that the table prints."""

from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from analysis.reference.reference_files import REPOSITORY
from analysis.report.following import _add_up
from analysis.verdicts.blocks import weigh_days
from analysis.verdicts.rates import expect
from tests.series import series_of

NOTEBOOK = REPOSITORY / "notebooks" / "2-confirmation.ipynb"


@pytest.mark.parametrize("which", [0, 1])
def test_the_days_add_up_to_the_evidence(which: int) -> None:
    """The last day of a series has its e-value."""
    series = series_of([0, 1, 1, 0, 1, 1], [1, 1, 0], days=[[0, 1, 1, 2, 5, 6], [0, 1, 2]])
    weighed = weigh_days(series, np.full(len(series.row), 0.02))
    evidence: Any = SimpleNamespace(series=series, so_far=weighed.so_far)
    days = _add_up(evidence, which)
    assert len(days) == (5, 3)[which]
    assert days["evidence"].iloc[-1] == pytest.approx(np.exp(weighed.evidence[which]))


def test_the_notebook_computes_it_by_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The cell of notebook 2 that does without the judge, run as it is there."""
    series = series_of([0, 1, 1, 0, 1, 1, 1, 0, 0, 1], days=[[0, 1, 1, 2, 5, 6, 6, 6, 9, 9]])
    base = np.full(len(series.row), 0.06)
    rates = expect(series, base)
    sessions = pd.DataFrame({"time": series.column("time"), "is_hit": series.is_hit})
    found = float(np.exp(weigh_days(series, rates).evidence[0]))
    working = SimpleNamespace(sessions=sessions, base=0.06, evidence=found)
    cells = nbformat.read(NOTEBOOK, 4).cells
    (cell,) = (cell.source for cell in cells if "evidence_by_hand" in cell.source)
    names = {"study": None, "judgement": None, "followed": SimpleNamespace(verdict=None),
             "work_out": lambda *_: working}  # fmt: skip
    exec(cell, names)
    assert names["evidence_by_hand"] == pytest.approx(found)
    assert capsys.readouterr().out.startswith("by hand ")
