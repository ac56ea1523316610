"""Do failures that share a cause, and only they, come together?"""

from itertools import combinations

import pytest

from analysis.verdicts.together import CHANCE, SHARE, fail_alone


def _count_ways(own: int, own_total: int, hits: int, total: int) -> float:
    """The share of all ways to choose the failures in which so few of the others fail, counted."""
    ways = list(combinations(range(total), hits))
    few = [way for way in ways if sum(place >= own_total for place in way) <= hits - own]
    return len(few) / len(ways)


@pytest.mark.parametrize("total", range(1, 11))
def test_what_fails_alone_is_what_hardly_any_order_of_the_failures_shows(total: int) -> None:
    """Nine tenths of the failures share it, and so few others are no accident: all small numbers,
    against all ways to place the failures."""
    for hits in range(1, total + 1):
        for own_total in range(1, total + 1):
            for own in range(max(0, hits - total + own_total), min(own_total, hits) + 1):
                is_its_own = own >= SHARE * hits
                chance = _count_ways(own, own_total, hits, total) if is_its_own else 1.0
                for bound in (0.05, 1 / CHANCE):
                    # a hair's breadth, for what is computed by logarithms
                    if abs(chance - bound) > 1e-9:
                        found = fail_alone(own, own_total, hits, total, bound)
                        assert found == (is_its_own and chance <= bound)
