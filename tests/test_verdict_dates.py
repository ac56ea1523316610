"""From when to when a site was blocked: the dates of a verdict and of its intervals."""

from functools import cache

import pytest

from analysis.verdicts.verdicts import Judgement
from tests.letters import ALL_NETWORKS, intervals, judge, site, usual_sites, verdict

#: Site → its days until 31 March, and what its dates are.
DATES: dict[str, tuple[str, tuple[str, str, str]]] = {
    "imposed": ("O" * 46 + "B" * 45, ("2024-02-16", "", "")),
    "lifted": ("B" * 20 + "O" * 71, ("2024-01-01", "2024-01-20", "at least since")),
    "imposed-twice": ("O" * 20 + "B" * 20 + "O" * 31 + "B" * 20, ("2024-01-21", "", "")),
    "imposed-and-lifted": ("O" * 20 + "B" * 20 + "O" * 51, ("2024-01-21", "2024-02-09", "")),
    "30-days-before-the-end": ("O" * 42 + "B" * 20, ("2024-02-12", "", "")),
    "31-days-before-the-end": (
        "O" * 41 + "B" * 20,
        ("2024-02-11", "2024-03-01", "not tested since"),
    ),
    "never-seen-open": ("B" * 20, ("2024-01-01", "2024-01-20", "at least since; not tested since")),
    "down-at-the-end": ("O" * 60 + "B" * 20 + "D", ("2024-03-01", "2024-03-20", "")),
    "no-control-at-the-end": ("O" * 60 + "B" * 20 + "NNN", ("2024-03-01", "", "")),
    "never-blocked": ("O" * 30, ("", "", "")),
}


@cache
def dated_sites() -> Judgement:
    """Judge the sites of ``DATES``, which another network reaches every fourth day."""
    return judge(
        [
            *usual_sites(),
            *(row for name, (letters, _) in DATES.items() for row in site(name, letters)),
            *(row for name in DATES for row in site(name, "O..." * 22, asn=ALL_NETWORKS[1])),
        ]
    )


@pytest.mark.parametrize("name", DATES)
def test_dates(name: str) -> None:
    """``blocked_until`` is empty only if the last thing known, not long ago, was a block."""
    row = verdict(dated_sites(), domain=f"{name}.example")
    assert (row["blocked_from"], row["blocked_until"], row["note"]) == DATES[name][1]


def test_a_block_imposed_twice_is_two_intervals() -> None:
    """With the moments around each, and what the cell was seen to be in between."""
    found = intervals(dated_sites(), "imposed-twice.example")
    edges = ["last_seen_open", "blocked_from", "blocked_until", "first_seen_open_again"]
    days_around = [
        ["2024-01-20", "2024-01-21", "2024-02-09", "2024-02-10"],
        ["2024-03-11", "2024-03-12", "2024-03-31", ""],
    ]
    assert found[edges].to_numpy().tolist() == days_around
    moments = found[[f"{edge}_time" for edge in edges]].to_numpy().tolist()
    assert moments == [[day and f"{day}T08:00:00" for day in row] for row in days_around]
    assert found["measurement_count"].tolist() == found["session_count"].tolist() == [20, 20]
    assert found["state"].tolist() == ["likely_blocked"] * 2
    assert (found["evidence"] > 3).all()


@cache
def interrupted_blocks() -> Judgement:
    """Judge sites whose blocks are interrupted: by openings, untested days or time-outs."""
    return judge(
        [
            *usual_sites(),
            *site("with-a-hole", "B" * 10 + "." * 40 + "B" * 10),
            *site("opened-between", "KKK" + "OOOO" + "KKK"),
            *site("private-again", "O" * 10 + "L" * 10 + "O" * 25 + "L" * 12 + "O" * 10),
            *site("time-outs-between", "O" * 15 + "L" * 15 + "TOOT" * 3 + "L" * 15 + "O" * 15),
            # two days of seven sessions each, a month before eleven days of two
            *site("short-beside-long", "O" * 20),
            *site("short-beside-long", "RR", start=20, per_day=7),
            *site("short-beside-long", "O" * 28, start=22),
            *site("short-beside-long", "R" * 11, start=50, per_day=2),
            *site("short-beside-long", "O" * 20, start=61),
        ]
    )


def test_an_opening_makes_no_block_weaker() -> None:
    """Three sessions before it and three after it are a block of six, with its own four edges. Two
    stretches with nothing between them are one interval with a hole in it."""
    found = interrupted_blocks()
    assert intervals(found, "with-a-hole.example")["longest_gap_days"].tolist() == [41]
    assert verdict(found, domain="opened-between.example")["state"] == "blocked"
    opened = intervals(found, "opened-between.example")
    assert opened[["blocked_from", "blocked_until"]].to_numpy().tolist() == [
        ["2024-01-01", "2024-01-03"],
        ["2024-01-08", "2024-01-10"],
    ]


def test_a_short_stretch_beside_a_longer_one_has_its_own_dates() -> None:
    """The floor of days is there against chance and forgery, not against short blocks."""
    found = intervals(interrupted_blocks(), "short-beside-long.example")
    assert found[["blocked_from", "blocked_until"]].to_numpy().tolist() == [
        ["2024-01-21", "2024-01-22"],
        ["2024-02-20", "2024-03-01"],
    ]
    row = verdict(interrupted_blocks(), domain="short-beside-long.example")
    assert row["blocked_from"] == "2024-01-21"


def test_a_private_answer_that_is_lifted_and_imposed_again() -> None:
    """A household's filter gives it as well, so that it is likely and no more."""
    row = verdict(interrupted_blocks(), domain="private-again.example")
    assert row["state"] == "likely_blocked"
    found = intervals(interrupted_blocks(), "private-again.example")
    assert found[["blocked_from", "blocked_until"]].to_numpy().tolist() == [
        ["2024-01-11", "2024-01-20"],
        ["2024-02-15", "2024-02-26"],
    ]


def test_time_outs_between_two_blocks_do_not_join_them() -> None:
    """What only a block leaves began and ended twice; stray time-outs come all the time."""
    found = intervals(interrupted_blocks(), "time-outs-between.example")
    blocks = found[found["mechanism"] == "dns.loopback"]
    assert blocks["blocked_from"].tolist() == ["2024-01-16", "2024-02-12"]
    assert blocks["blocked_until"].tolist() == ["2024-01-30", "2024-02-26"]
