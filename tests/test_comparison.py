"""One semester against the other: only what both can tell."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.period import Period
from analysis.report.annex import (
    compare_networks,
    compare_semesters,
    count_panel,
    count_semesters,
)

NETWORKS = pd.DataFrame({
    "probe_asn": ["AS1", "AS2", "AS3", "AS9"], "network": ["One", "Two", "Three", "Tunnel"],
    "operator": ["Alpha", "Alpha", "", "Tunnel"], "kind": ["isp", "mobile", "unknown", "vpn"],
})  # fmt: skip
B, L, O, D, I, X = "blocked", "likely_blocked", "ok", "down", "impaired", "insufficient"  # noqa: E741


def _verdicts(cells: dict[str, tuple[str, str] | tuple[str, str, str]],
              domain: str = "news.example") -> pd.DataFrame:  # fmt: skip
    """States of a site: network → first, second, all; an empty state is no row."""
    rows = []
    for asn, states in cells.items():
        whole = states[2] if len(states) == 3 else next(s for s in (*states, X) if s)
        for period, state in zip(("first", "second", "all"), (*states[:2], whole), strict=True):
            if state:
                rows.append({"domain": domain, "probe_asn": asn, "period": period,
                             "state": state, "measurement_count": 10})  # fmt: skip
    return pd.DataFrame(rows)


def _change(**cells: tuple[str, str] | tuple[str, str, str]) -> pd.Series:
    table = compare_semesters(_verdicts(cells), NETWORKS, {"news.example"})
    assert len(table) == 1
    return table.iloc[0]


@pytest.mark.parametrize(
    ("expected", "matched", "cells"),
    [
        ("still_blocked", "AS1", {"AS1": (B, L)}),
        ("newly_blocked", "AS1", {"AS1": (O, L, L)}),
        ("no_longer_blocked", "AS1", {"AS1": (B, O)}),
        ("still_blocked", "AS1", {"AS1": (B, B), "AS2": (O, O)}),
        ("mixed", "AS1;AS2", {"AS1": (B, B), "AS2": (B, O)}),
        ("mixed", "AS1;AS2", {"AS1": (O, B, B), "AS2": (L, O)}),
        ("still_blocked", "AS1", {"AS1": (B, B), "AS2": (X, B, B)}),
        ("newly_blocked", "AS2", {"AS1": (X, B, B), "AS2": (O, B, B)}),
        ("not_comparable", "", {"AS1": (B, X)}),
        ("not_comparable", "", {"AS1": (B, "")}),
        ("not_comparable", "", {"AS1": ("", B)}),
        ("not_comparable", "", {"AS1": (B, D)}),
        ("not_comparable", "", {"AS1": (I, B, B)}),
        ("not_comparable", "", {"AS1": (X, X, L)}),
        ("not_comparable", "", {"AS1": (B, ""), "AS2": ("", O)}),
    ],
)
def test_change(expected: str, matched: str, cells: dict[str, tuple[str, str]]) -> None:
    """Networks that meet the floor in both halves and show blocking or access in each decide."""
    change = _change(**cells)
    assert (change["change"], change["matched_networks"]) == (expected, matched)
    assert bool(change["note"]) == (expected in ("mixed", "not_comparable"))


@pytest.mark.parametrize(
    ("reason", "cells"),
    [
        ("not tested in the first semester", {"AS1": ("", B)}),
        ("not tested in the second semester", {"AS1": (B, "")}),
        ("no network has enough tests that agree in both semesters",
         {"AS1": (B, X), "AS2": (X, B)}),
        ("where it was blocked in one semester, the other shows neither blocking nor access",
         {"AS1": (B, D)}),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_says_why(reason: str, cells: dict[str, tuple[str, str]]) -> None:
    """A gap in testing is not a change."""
    assert _change(**cells)["note"] == reason


def test_networks_that_disagree_are_named() -> None:
    """A reader can see who did what."""
    note = _change(AS1=(B, B), AS2=(B, O))["note"]
    assert note == "One: still blocked; Two: no longer blocked"


def test_a_network_abroad_changes_nothing() -> None:
    """A VPN neither lists a site nor decides what changed."""
    change = _change(AS1=(B, B), AS9=(B, O))
    assert (change["change"], change["matched_networks"]) == ("still_blocked", "AS1")
    assert change["first_measurement_count"] == 10
    assert compare_semesters(_verdicts({"AS9": (B, O)}), NETWORKS, set()).empty


def test_the_strongest_state_is_shown_for_each_half() -> None:
    """Over all domestic networks, whether they can be compared or not."""
    change = _change(AS1=(L, X), AS2=(O, B, B))
    assert (change["first_state"], change["second_state"]) == (L, B)
    assert _change(AS1=(B, ""))["second_state"] == ""


def test_a_site_that_was_never_listed_has_no_row() -> None:
    """The comparison is about blocking."""
    assert compare_semesters(_verdicts({"AS1": (O, O)}), NETWORKS, set()).empty


def test_semesters_are_counted_with_their_denominators() -> None:
    """One row a period; AS1 and AS2 are one operator, a network without one counts by itself."""
    verdicts = pd.concat([
        _verdicts({"AS1": (B, O), "AS2": (X, X)}),
        _verdicts({"AS1": (O, L, L), "AS9": (B, B)}, "local.example"),
    ])  # fmt: skip
    periods = {"all": Period.parse("2024-01-01", "2025-01-01"),
               "first": Period.parse("2024-01-01", "2024-07-01"),
               "second": Period.parse("2024-07-01", "2025-01-01")}  # fmt: skip
    measured = {
        "all": {"measurement_count": 90, "domain_count": 2, "network_asns": ["AS1", "AS2", "AS3"]},
        "first": {"measurement_count": 50, "domain_count": 2, "network_asns": ["AS1", "AS2"]},
        "second": {"measurement_count": 40, "domain_count": 1, "network_asns": ["AS3"]},
    }
    table = count_semesters(measured, periods, verdicts, NETWORKS, {"local.example"})
    expected = pd.DataFrame({
        "period": ["all", "first", "second"], "since": ["2024-01-01", "2024-01-01", "2024-07-01"],
        "until": ["2025-01-01", "2024-07-01", "2025-01-01"], "measurement_count": [90, 50, 40],
        "domain_count": [2, 2, 1], "network_count": [3, 2, 1], "operator_count": [2, 1, 1],
        "blocked_domain_count": [2, 1, 1], "blocked_local_domain_count": [1, 0, 1],
    })  # fmt: skip
    assert_frame_equal(table[list(expected)], expected)


def test_the_panel_is_of_matched_pairs_only() -> None:
    """A site enters where one access network could tell in both halves, and only by that pair."""
    verdicts = pd.concat([
        _verdicts({"AS1": (O, B, B), "AS2": (B, X)}, "a.example"),
        _verdicts({"AS1": (B, ""), "AS2": ("", B)}, "b.example"),
        _verdicts({"AS9": (B, B)}, "c.example"),
        _verdicts({"AS3": (D, O, O)}, "d.example"),
    ])  # fmt: skip
    expected = pd.DataFrame({
        "period": ["first", "second"], "domain_count": [2, 2], "blocked_domain_count": [0, 1],
        "blocked_local_domain_count": [0, 1],
    })  # fmt: skip
    assert_frame_equal(count_panel(verdicts, NETWORKS, {"a.example"}), expected)


def test_networks_come_and_go() -> None:
    """A network that measured in one half only cannot carry a trend."""
    counts = pd.DataFrame({
        "probe_asn": ["AS1", "AS2", "AS3"], "first_measurement_count": [5, 5, 0],
        "second_measurement_count": [5, 0, 5],
    })  # fmt: skip
    table = compare_networks(counts, NETWORKS)
    assert list(table["change"]) == ["both", "only_first", "only_second"]
    assert list(table["network"]) == ["One", "Two", "Three"]
