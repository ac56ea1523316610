"""From intervals on networks to stretches of days in which a site was seen blocked."""

import pandas as pd
import pytest

from analysis.study.confirmation import spans_by_site

COLUMNS = ["domain", "probe_asn", "state", "blocked_from", "blocked_until", "last_seen_open",
           "first_seen_open_again"]  # fmt: skip


@pytest.mark.parametrize(
    ("intervals", "spans"),
    [
        # Two networks overlap: edges of the one that saw it first, and of the one that saw it last.
        (
            [
                (
                    "a",
                    "AS1",
                    "likely_blocked",
                    "2023-07-05",
                    "2023-07-20",
                    "2023-07-03",
                    "2023-07-22",
                ),
                ("a", "AS2", "blocked", "2023-07-10", "2023-07-30", "2023-07-01", "2023-08-02"),
            ],
            [("a", 2, "blocked", "2023-07-05", "2023-07-30", "2023-07-03", "2023-08-02")],
        ),
        # Lifted, and imposed again on the other network: two rows. The next day is no lifting.
        (
            [
                ("a", "AS1", "likely_blocked", "2023-07-01", "2023-07-09", "", "2023-07-12"),
                ("a", "AS2", "likely_blocked", "2023-07-11", "2023-07-20", "2023-07-08", ""),
                ("a", "AS1", "likely_blocked", "2023-07-21", "", "2023-07-12", ""),
            ],
            [
                ("a", 2, "likely_blocked", "2023-07-01", "2023-07-09", "", "2023-07-12"),
                ("a", 2, "likely_blocked", "2023-07-11", "", "2023-07-08", ""),
            ],
        ),
        # Blocked to the end outlasts everything; an interval within another changes no edge.
        (
            [
                ("a", "AS1", "blocked", "2023-07-01", "", "", ""),
                ("a", "AS2", "blocked", "2023-07-03", "2023-07-04", "2023-07-02", "2023-07-05"),
                ("b", "AS2", "blocked", "2023-07-03", "2023-07-04", "2023-07-02", "2023-07-05"),
            ],
            [
                ("a", 2, "blocked", "2023-07-01", "", "", ""),
                ("b", 1, "blocked", "2023-07-03", "2023-07-04", "2023-07-02", "2023-07-05"),
            ],
        ),
        ([], []),
    ],
)
def test_stretches_of_a_site(
    intervals: list[tuple[str, ...]], spans: list[tuple[object, ...]]
) -> None:
    """Joined where they touch, apart where a day lies between, with the edges' own neighbours."""
    found = spans_by_site(pd.DataFrame(intervals, columns=COLUMNS))
    assert list(map(tuple, found.to_numpy().tolist())) == spans
