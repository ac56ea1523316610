"""One site followed from its sessions to its verdict: which one, what is counted, what is said."""

from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pytest

from analysis.report.following import Followed, follow, say_followed
from analysis.verdicts.verdicts import Judgement

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
    assert _followed(study, domain="z.test") is None


def test_what_is_said_is_counted(study: Any) -> None:
    """Dates, counts and the rule; what did not occur is not mentioned."""
    followed = _followed(study)
    assert followed is not None
    assert followed.name == "a.test on One (AS1)"
    told = say_followed(followed, {"AS2": "<Two>"}, "QQ").striptags()
    assert told.startswith(
        "5 sessions tested the site on 3 days. 4 of 4 sessions were kept from the site, from 5 "
        "January 2024 to the last tests of the period (DNS: loopback address). It was last seen "
        "open before on 2 January 2024, and not again after. A mark that only blocking leaves "
        "decides. Seen through the resolver of <Two> (AS2). It would take 2 forged sessions at "
        "least to change this. Most blocked sessions fired the rule dns.loopback: "
    )
