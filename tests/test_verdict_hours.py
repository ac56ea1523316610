"""Blocks by hours of the day: whether they are found, and with which dates and shares."""

from analysis.vocabulary import LISTED
from tests.letters import (
    ALL_NETWORKS,
    everywhere,
    intervals,
    judge,
    site_at,
    usual_sites,
    verdict,
)
from tests.observations import Row


def test_a_block_by_hours() -> None:
    """Counts, shares and dates are those of its hours; it is listed, though an eighth fails."""
    exams = [  # reset at six UTC on weekdays for four weeks of nine
        row
        for day in range(63)
        for hour in range(0, 24, 3)
        for row in site_at(
            "exams",
            "R" if 14 <= day < 42 and day % 7 < 5 and hour == 6 else "O",
            day=day,
            hour=hour,
        )
    ]
    judgement = judge([*usual_sites(), *exams])
    (found,) = intervals(judgement, "exams.example").to_dict("records")
    assert found["schedule"] == "Mon-Fri 06:00-07:00"
    assert (found["blocked_from_time"], found["blocked_until_time"]) == (
        "2024-01-15T06:30:00",
        "2024-02-09T06:30:00",
    )
    assert (found["session_count"], found["day_count"]) == (20, 20)
    assert (found["last_seen_open_time"], found["first_seen_open_again_time"]) == (
        "2024-01-12T06:30:00",
        "2024-02-12T06:30:00",
    )
    row = verdict(judgement, domain="exams.example")
    assert (row["state"], row["schedule"]) == ("likely_blocked", "Mon-Fri 06:00-07:00")
    assert row["blocked_share"] == 1
    assert row["blocked_session_count"] == 20 < row["ok_session_count"]
    assert (row["chance"], row["evidence"] > 6) == ("1.0e-03", True)


def test_one_site_that_is_busy_at_the_same_hours_everywhere() -> None:
    """Nobody connects on weekdays at six, on any network: hours alone are no block. Where the
    others connect at these hours, they are."""

    def hourly(name: str, failing: int) -> list[Row]:
        rows = []
        for number, asn in enumerate(ALL_NETWORKS):
            for day in range(42):
                for hour in (0, 6, 12, 18):
                    is_busy = number < failing and hour == 6 and day % 7 < 5
                    rows += site_at(name, "T" if is_busy else "O", day=day, hour=hour, asn=asn)
        return rows

    usual = [row for n in range(12) for row in everywhere("O" * 42, f"usual-{n}.example")]
    found = judge([*usual, *hourly("busy", len(ALL_NETWORKS)), *hourly("cut-off", 1)])
    assert verdict(found, domain="busy.example")["state"] not in LISTED
    row = verdict(found, domain="cut-off.example")
    assert (row["state"], row["schedule"]) == ("likely_blocked", "Mon-Fri 06:00-07:00")


def test_hours_that_no_network_is_tested_often_enough_to_name() -> None:
    """Each network is tested once a day, five times at the hour of the order: too little to find it
    alone, and no day shows both. Together their sessions do, each in a manner of its own."""
    usual = [row for n in range(12) for row in everywhere("O" * 60, f"usual-{n}.example")]
    rows = []
    for letter, asn in zip("RSC", ALL_NETWORKS, strict=True):
        for day in range(55):
            hour = 2 * ((5 * day + asn) % 11)
            rows += site_at("exam", letter if hour == 6 else "O", day=day, hour=hour, asn=asn)
    found = judge([*usual, *rows])
    told = [verdict(found, domain="exam.example", asn=asn) for asn in ALL_NETWORKS]
    assert [row["state"] for row in told] == ["likely_blocked"] * 3
    assert all(row["schedule"].endswith(" 06:00-07:00") for row in told)
