"""One case worked through: what the notebook computes is the chance that the table prints."""

from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from analysis.reference.reference_files import REPOSITORY
from analysis.verdicts.e_values import weigh_evidence
from analysis.verdicts.rates import expect
from tests.series import series_of

NOTEBOOK = REPOSITORY / "notebooks" / "2-confirmation.ipynb"


def test_the_notebook_computes_it_by_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The cell of notebook 2 that does without the judge, run as it is there."""
    series = series_of([0, 1, 1, 0, 1, 1, 1, 0, 0, 1], days=[[0, 1, 1, 2, 5, 6, 6, 6, 9, 9]])
    base = np.full(len(series.row), 0.06)
    rates = expect(series, base)
    sessions = pd.DataFrame({"time": series.column("time"), "is_hit": series.is_hit})
    found = float(np.exp(weigh_evidence(series, rates).evidence[0]))
    working = SimpleNamespace(sessions=sessions, base=0.06, evidence=found)
    cells = nbformat.read(NOTEBOOK, 4).cells
    (cell,) = (cell.source for cell in cells if "evidence_by_hand" in cell.source)
    names = {"study": None, "judgement": None, "followed": SimpleNamespace(verdict=None),
             "work_out": lambda *_: working}  # fmt: skip
    exec(cell, names)
    assert names["evidence_by_hand"] == pytest.approx(found)
    assert capsys.readouterr().out.startswith("by hand ")
