"""Where a site begins and ceases to fail, and what may itself be a block."""

import numpy as np
import pytest

from analysis.verdicts.e_values import log_ratios
from analysis.verdicts.series import find_candidates
from analysis.verdicts.stretches import find_stretches
from tests.series import series_of


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("oooooooxxxxxx", [(7, 12)]),
        ("xxxxxooooooo", [(0, 4)]),
        ("oooooxxxxxxoooooxxxxxx", [(5, 10), (16, 21)]),
        ("ooooooxxxooooo", [(6, 8)]),
        ("ooooooxxoooooo", []),
        ("oooxxxxoxxxxooo", [(3, 11)]),
        ("oooxxxxoooooxxxxooo", [(3, 6), (12, 15)]),
        ("oooxxxxoooxxxxooo", [(3, 13)]),
        ("ooooo", []),
    ],
    ids=["imposed", "lifted", "imposed twice", "three in a row", "two stray failures",
         "one that got through", "open for five", "open for three", "nothing"],
)  # fmt: skip
def test_changes_come_out_at_their_sessions(letters: str, expected: list[tuple[int, int]]) -> None:
    """The first session that fails and the last, at a rate of 2 % and the price in use."""
    series = series_of([letter == "x" for letter in letters])
    ratios = log_ratios(series.is_hit, np.full(len(letters), 0.02), 0.9)
    assert find_stretches(series, [ratios], 2.0).tolist() == [list(one) for one in expected]


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("xxxoooxxoooxxxxxxxxxoxxoxxxoxxxoxoxxooxxxxxxoxxooxxxxxxxxxxoxoxx", [(0, 63)]),
        ("oooooooooxxxxxooooooxxxxooooooooo", [(9, 13), (20, 23)]),
        ("ooooooooooooxxxxxxxxxxxxxxoooooooooo", [(12, 25)]),
    ],
    ids=["on two routers of three", "blocked twice", "blocked"],
)
def test_what_part_of_a_networks_routers_block_is_one_stretch(
    letters: str, expected: list[tuple[int, int]]
) -> None:
    """The second share is for what the first leaves in pieces."""
    series = series_of([letter == "x" for letter in letters])
    rates = np.full(len(letters), 0.05)
    ratios = [log_ratios(series.is_hit, rates, share) for share in (0.9, 0.6)]
    assert find_stretches(series, ratios, 1.0).tolist() == [list(one) for one in expected]


def test_no_series_no_stretch() -> None:
    """Nothing to cut is no error, and nothing teaches."""
    nothing = series_of()
    assert find_stretches(nothing, [np.zeros(0)], 2.0).tolist() == []
    assert find_candidates(nothing).tolist() == []
