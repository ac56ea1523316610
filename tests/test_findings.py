"""What a report says of what it found: events, changes, one site followed, and notes."""

import json
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pytest
from markupsafe import Markup

from analysis.errors import ParameterError
from analysis.languages.language import ENGLISH
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report import findings
from analysis.report.finding_words import Telling, word_finding
from analysis.report.findings import (
    READ_TABLES,
    add_pairs,
    count_undated,
    find_coincidences,
    find_networks,
    find_onset,
)
from analysis.report.first_page import word_first_page
from analysis.report.following import Followed, follow, say_followed
from analysis.study.confirmation import spans_by_site
from analysis.verdicts.verdicts import Judgement
from tests.table_rows import table_rows

YEAR = Period.parse("2024-01-01", "2025-01-01")


def _span(site: str, day: str) -> dict[str, Any]:
    return {"domain": site, "blocked_from": day, "blocked_until": "", "last_seen_open": "",
            "first_seen_open_again": "", "network_count": 1, "state": "blocked"}  # fmt: skip


def test_what_some_network_blocked_before_is_not_new() -> None:
    """A site counts once, and only for a day before the first of those days."""
    finding = {
        "kind": "onset", "sites": ["a.test", "b.test", "c.test"],
        "values": {
            "first_day": "2024-08-08", "last_day": "2024-09-07", "open_days": [4, 9],
            "networks": ["One", "Two"], "by_state": [2, 1], "block_count": 3,
            "undated_count": 0, "events": [],
            "new": [_span(site, "2024-08-09") for site in ("a.test", "b.test", "c.test")],
            "older": [_span("a.test", "2024-02-01"), _span("a.test", "2024-03-01"),
                      _span("b.test", "2024-08-08"), _span("elsewhere.test", "2024-01-02")],
        },
    }  # fmt: skip
    words = word_finding(Telling(finding, {}, ENGLISH, YEAR))
    assert "3 sites became blocked (2) or likely blocked (1) on at least one" in words.claim
    before = "1 of these sites was blocked or likely blocked before"
    assert words.sites.startswith(before)
    finding["values"]["older"] = []
    assert before not in word_finding(Telling(finding, {}, ENGLISH, YEAR)).sites


def test_networks_of_one_name_are_told_apart_and_a_cut_is_told() -> None:
    """Their numbers stand beside the names; of many networks the figure says how many it shows."""
    count = 25
    numbers = range(1, count + 1)
    networks = pd.DataFrame({
        "probe_asn": [f"AS{n}" for n in numbers], "kind": "isp", "operator": "",
        "network": ["Twin", "Twin", "", *(f"N{n}" for n in numbers[3:])],
    })  # fmt: skip
    pairs = [{"domain": site, "probe_asn": f"AS{n}", "period": "all", "state": "blocked"}
             for n in numbers for site in ("a.test", "b.test")[: 2 if n < 3 else 1]]  # fmt: skip
    verdicts = table_rows("verdicts", *pairs)
    finding = find_networks(add_pairs({"networks": networks, "verdicts": verdicts}))
    assert finding is not None
    assert [row[0] for row in finding["values"]["rows"][:2]] == ["Twin (AS1)", "Twin (AS2)"]
    counted = ("blocking_network_count", "tested_enough_network_count", "independent_network_count")
    words = word_finding(
        Telling({**finding, "kind": "networks"}, dict.fromkeys(counted, count), ENGLISH, YEAR)
    )
    assert f"Shown are the first 20 of {count}." in words.figure


@pytest.mark.parametrize("is_published", [True, False])
def test_how_sure_another_method_is_was_not_measured(tmp_path: Path, is_published: bool) -> None:
    """The shares that were measured are those of the published numbers."""
    summary = {
        "probe_cc": "QQ", "since": "2024-01-01", "until": "2025-01-01", "findings": [],
        "is_published_method": is_published, "is_from_ooni": False, "has_fingerprints": False,
    }  # fmt: skip
    (tmp_path / "findings.json").write_text(json.dumps(summary), encoding="utf-8")
    shares = [f"{name}{bound}_share" for name in ("site_precision", "pair_recall")
              for bound in ("", "_low", "_high")]  # fmt: skip
    halves = table_rows("semesters", {"period": "first"}, {"period": "second"})
    no_rows = {name: table_rows(name) for name in READ_TABLES}
    numbers = {
        **findings.count_measured(*(no_rows[name] for name in
                                    ("measurements_by_month", "sites", "networks"))),
        **findings.count_verdicts(no_rows["verdicts"], no_rows["networks"]),
        **findings.count_halves(halves, no_rows["semester_changes"]),
        **findings.count_listed(*(no_rows[name] for name in
                                  ("blocked_sites", "set_aside", "withheld_intervals"))),
        "unread_object_count": 0,
        "simulated_country_count": 3,
    }  # fmt: skip
    numbers = {name: {"value": one} for name, one in numbers.items()}
    numbers |= {name: {"value": 0.9} for name in shares}
    said = Markup(" ").join(word_first_page(tmp_path, numbers)["certainty"])
    shown = "In 3 simulated countries, where we know what is blocked, 90.0 % (90.0 % to 90.0 %)"
    assert (shown in said.striptags()) == is_published
    assert ("was not measured" in said) != is_published


# --- An onset: many sites newly blocked within a month on several networks, and nothing less. -----


def _begun(site: int, asn: int, day: date, open_before: int | None = 5, schedule: str = ""):
    """An interval that begins on a day, some days after a test that reached the site."""
    seen = str(day - timedelta(days=open_before)) if open_before else ""
    return {
        "domain": f"s{site:02}.test", "probe_asn": f"AS{asn}", "blocked_from": str(day),
        "last_seen_open": seen, "schedule": schedule, "state": "blocked", "blocked_until": "",
        "first_seen_open_again": "",
    }  # fmt: skip


AUGUST = [_begun(site, 1 + site % 2, date(2024, 8, 6) + timedelta(days=site)) for site in range(6)]


def test_the_window_with_most_sites_is_found() -> None:
    """Its first and last day, sites and networks; what was seen blocked there for the first time
    without an earlier test is counted apart, and a stray block of another month is left out."""
    stray = _begun(9, 1, date(2024, 3, 1))
    untested = _begun(8, 3, date(2024, 8, 8), open_before=None)
    frame = pd.DataFrame([*AUGUST, stray, untested])
    found = find_onset(frame, YEAR)
    assert found is not None
    assert found["blocked_from"].agg(["min", "max"]).tolist() == ["2024-08-06", "2024-08-11"]
    assert found["domain"].tolist() == [f"s{site:02}.test" for site in range(6)]
    assert count_undated(frame, found) == 1


@pytest.mark.parametrize(
    "intervals",
    [
        AUGUST[:4],
        [{**one, "probe_asn": "AS1"} for one in AUGUST],
        [{**one, "last_seen_open": ""} for one in AUGUST],
        [{**one, "last_seen_open": "2024-01-02"} for one in AUGUST],
        [{**one, "schedule": "Mon-Fri 04:00-08:00"} for one in AUGUST],
        [_begun(site, site % 5, date(2024, 1, 6) + timedelta(days=6 * site)) for site in range(50)],
        [],
    ],
    ids=["few sites", "one network", "perhaps older", "no near test", "hours", "all year", "none"],
)
def test_less_is_no_event(intervals: list[dict[str, str]]) -> None:
    frame = pd.DataFrame(intervals, columns=[*AUGUST[0]], dtype="str")
    assert find_onset(frame, YEAR) is None


def test_events_of_the_same_days_are_named() -> None:
    """From two weeks before the first block to the last one; later ones explain nothing."""
    found = find_onset(pd.DataFrame(AUGUST), YEAR)
    assert found is not None
    days = [date(2024, 7, 22), date(2024, 7, 23), date(2024, 8, 11), date(2024, 8, 12)]
    events = [Event(day, f"Day {day}", "order", "invented") for day in days]
    assert find_coincidences(found, events) == events[1:3]


# --- From intervals on networks to stretches of days in which a site was seen blocked. ------------

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


# --- One site followed from its sessions to its verdict: which one, what is counted, what is said.

NETWORKS = pd.DataFrame({
    "probe_asn": [1, 2, 9], "network": ["One", "Two", "Tunnel"], "kind": ["isp", "mobile", "vpn"],
})  # fmt: skip


def _verdict(domain: str, asn: int, state: str, session_count: int) -> dict[str, Any]:
    is_listed = state in ("blocked", "likely_blocked")
    return {
        "domain": domain, "probe_asn": asn, "period": "all", "state": state,
        "session_count": session_count, "blocked_session_count": 4 * is_listed,
        "ok_session_count": 1, "down_session_count": 0, "day_count": 3, "sessions_to_flip": 2,
        "rule_id": "dns.loopback" if is_listed else "",
        "mechanism": "dns.loopback" if is_listed else "", "blocked_until": "",
        "resolver_asns": "AS2",
        "schedule": "", "note": "", "chance": "1.0e-03" if state == "likely_blocked" else "",
    }  # fmt: skip


def _interval(domain: str, asn: int, before: str, again: str) -> dict[str, Any]:
    return {
        "domain": domain, "probe_asn": asn, "blocked_from": "2024-01-05",
        "blocked_until": "2024-01-20", "last_seen_open": before, "first_seen_open_again": again,
        "session_count": 4, "reached_session_count": 0, "day_count": 3, "schedule": "",
        "state": "blocked", "mechanism": "dns.loopback", "chance": "",
    }  # fmt: skip


def _judgement(verdicts: list[dict[str, Any]], intervals: list[dict[str, Any]]) -> Judgement:
    columns = list(_interval("", 0, "", ""))
    return Judgement(
        pd.DataFrame(verdicts), pd.DataFrame(intervals, columns=columns),
        withheld=pd.DataFrame(columns=columns), chances=pd.DataFrame(), defects=pd.DataFrame(),
        weigh=lambda: pytest.fail("nothing here asks it"),
    )  # fmt: skip


@pytest.fixture
def study() -> Any:
    """A connection that holds sessions of one pair: two on one day, and one of another site."""
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE sessions AS SELECT * FROM (VALUES "
        "('a.test', 1, DATE '2024-01-05', 'blocked'), ('a.test', 1, DATE '2024-01-05', 'none'), "
        "('a.test', 1, DATE '2024-01-02', 'ok'), ('b.test', 1, DATE '2024-01-02', 'ok')"
        ") AS t(domain, probe_asn, day, class)"
    )
    return SimpleNamespace(connection=connection)


@pytest.mark.parametrize(
    ("verdicts", "intervals", "chosen"),
    [
        # Of those that changed one that no mark decides, though others have more sessions.
        (
            [_verdict("a.test", 1, "blocked", 19), _verdict("b.test", 1, "blocked", 50),
             _verdict("c.test", 1, "likely_blocked", 10)],
            [_interval("a.test", 1, "2024-01-02", ""), _interval("b.test", 1, "", ""),
             _interval("c.test", 1, "", "2024-02-01")],
            ("c.test", 1),
        ),
        # A VPN's exit comes after the country's own networks; equals stand by name.
        (
            [_verdict("a.test", 9, "blocked", 9), _verdict("b.test", 2, "blocked", 5),
             _verdict("b.test", 1, "blocked", 5)],
            [_interval("a.test", 9, "2024-01-02", "")],
            ("b.test", 1),
        ),
        # Where nothing is listed, the pair that was tested most.
        ([_verdict("a.test", 1, "ok", 3), _verdict("b.test", 1, "down", 5)], [], ("b.test", 1)),
    ],
)  # fmt: skip
def test_the_pair_that_has_most_to_show(
    study: Any, verdicts: list[Any], intervals: list[Any], chosen: tuple[str, int]
) -> None:
    followed = follow(study, _judgement(verdicts, intervals), NETWORKS)
    assert followed is not None
    assert (followed.verdict.domain, followed.verdict.probe_asn) == chosen


def _followed(study: Any, **named: str) -> Followed | None:
    judgement = _judgement(
        [_verdict("a.test", 1, "blocked", 5), _verdict("b.test", 1, "blocked", 50)],
        [_interval("a.test", 1, "2024-01-02", "")],
    )
    return follow(study, judgement, NETWORKS, **named)


def test_sessions_are_counted_by_day(study: Any) -> None:
    """In the order of time, each class apart; a session that says nothing counts in the sum."""
    followed = _followed(study, domain="a.test", probe_asn="AS1")
    assert followed is not None
    assert followed.days.to_numpy().tolist() == [
        ["2024-01-02", 1, 0, 1, 0, 0], ["2024-01-05", 2, 1, 0, 0, 0],
    ]  # fmt: skip
    assert followed.stretches["state"].tolist() == ["blocked"]


def test_a_site_that_was_not_judged_is_not_followed(study: Any) -> None:
    assert _followed(study, domain="a.test", probe_asn="AS2") is None
    with pytest.raises(ParameterError, match=r"was never tested; did you mean a\.test"):
        _followed(study, domain="aa.test")


def test_what_is_said_is_counted(study: Any) -> None:
    """Dates, counts and the rule; what did not occur is not mentioned."""
    followed = _followed(study)
    assert followed is not None
    assert followed.name == "a.test on One (AS1)"
    told = say_followed(followed, {"AS2": "<Two>"}, "QQ").striptags()
    assert told.startswith(
        "5 sessions tested the site on 3 days. From 5 January 2024 to the last test of the period, "
        "4 of 4 sessions could not reach the site (DNS: loopback address). The site was last open "
        "before this on 2 January 2024. No later test reached it. The sessions left a mark: a "
        "trace that only blocking leaves. The false answer came from the resolver of <Two> (AS2). "
        "At least 2 forged sessions would be needed to change this verdict. Evidence: fair. The "
        "rule dns.loopback explains most blocked sessions: "
    )
