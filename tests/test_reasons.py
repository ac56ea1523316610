"""What is said of failures that are not listed: where each reason is true, and where it is not."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.pairs import ANY, Country, Lessons, Pair, Series, Session, Stretch
from analysis.verdicts.reasons import (
    BELOW_LINE,
    IN_MANY_WAYS,
    LOST_EVIDENCE,
    NETWORK_FAILS,
    SITE_FAILS,
    give_reasons,
)
from analysis.verdicts.states import judge_period
from analysis.verdicts.verdicts import Judgement
from tests.letters import ALL_NETWORKS, judge, site, usual_sites, verdict
from tests.observations import Row, http_observation
from tests.situations import site_down

FIRST, SECOND, THIRD = ALL_NETWORKS
#: Of several ways to fail, none often enough for a series: a third of the tests, and a quarter.
A_THIRD, A_QUARTER = "OORTOOSOTOOROOTB", "OOOROOOTOOOBOOOR"


def _http(name: str, letters: str) -> list[Row]:
    """Runs that test a site by its plain input."""
    plain = {"input": f"http://{name}.example/", "is_https": False}
    rows = site(name, letters)
    return [{**row, **plain, "report_id": f"{row['report_id']}-http"} for row in rows]


@cache
def small_country() -> Judgement:
    """Judge sites that fail for different reasons on three networks."""
    by_resets = [
        row
        for name in ("alike", "unlike")
        for asn, letters in ((SECOND, "OOR" * 6), (THIRD, "ORO" * 6))
        for row in site(name, letters, asn=asn)
    ]
    return judge(
        [
            *usual_sites(),
            *by_resets,
            *site("alike", "R" * 6),
            *site("unlike", "TTSTSTTS"),
            *site("a-third", A_THIRD),
            *site("a-quarter", A_QUARTER),
            *site("control-fails", "RDTDSDDDRDDD"),
            *site("gone", "D" * 12),
            *site("page-came", "O" * 12, **site_down()),
            *(
                {**row, **http_observation(**site_down()), **_run_of(row)}
                for row in site("plain-page-came", "O" * 12)
            ),
            *site("opens-by-https", "O" * 16),
            *_http("opens-by-https", "R" * 16),
            *site("later-by-http", "O" * 30),
            *_http("later-by-http", "O" * 18 + "R" * 12),
        ]
    )


def _run_of(row: Row) -> Row:
    """Return what says which run and site a row is of."""
    names = ("domain", "http_host", "measurement_start_time", "report_id", "software_name")
    return {name: row[name] for name in names} | {"input": f"http://{row['domain']}/"}


STATES = [
    ("a-third", "unexplained", IN_MANY_WAYS),
    ("a-quarter", "ok", ""),
    ("control-fails", "down", ""),
    ("gone", "down", ""),
    ("alike", "impaired", SITE_FAILS),
    ("unlike", "unexplained", BELOW_LINE),
]


@pytest.mark.parametrize(("name", "state", "reason"), STATES)
def test_what_fails_often_has_a_reason_or_is_unexplained(
    name: str, state: str, reason: str
) -> None:
    """A third of the tests is often; not if the control failed more often, or others fail alike."""
    found = verdict(small_country(), domain=f"{name}.example")
    assert (found["state"], found["note"]) == (state, reason)
    if state == "unexplained":
        assert found["set_aside_reason"] == "unexplained"


def test_a_site_whose_page_came_is_not_down() -> None:
    """Though the control failed: it may open at home alone."""
    for name in ("page-came", "plain-page-came"):
        found = verdict(small_country(), domain=f"{name}.example")
        assert found["state"] != "down"
        assert found["set_aside_reason"] != "down"
        assert found["down_session_count"] == 0


def test_inputs_that_agree_with_themselves_do_not_disagree() -> None:
    """All plain requests fail, or those of the last days, and every one over TLS works: no
    *mixed*."""
    for name in ("opens-by-https", "later-by-http"):
        found = verdict(small_country(), domain=f"{name}.example")
        assert (found["state"], found["inputs"]) == ("likely_blocked", "http"), name
        assert found["insufficient_reason"] == ""


@pytest.mark.parametrize(
    ("others", "state", "reason"),
    [("OOR" * 5, "impaired", NETWORK_FAILS), ("ORROO" * 3, "unexplained", IN_MANY_WAYS)],
)
def test_one_phone_is_not_the_network(others: str, state: str, reason: str) -> None:
    """Other sites of the network fail on both platforms, or on the days of one."""
    names = [f"usual-{number}" for number in range(8)]
    found = judge(
        [
            *(row for name in names for row in site(name, others)),
            *(
                row
                for name in names
                for asn in (SECOND, THIRD)
                for row in site(name, "O" * 15, asn=asn)
            ),
            *site("asked", "R" * 12),
        ]
    )
    own = verdict(found, domain="asked.example")
    assert (own["state"], own["note"]) == (state, reason)


# --- Reasons of stretches, without a country. -----------------------------------------------------

_FLOOR = Thresholds()
_JANUARY = Period.parse("2024-01-01", "2024-02-01")
_DAY_ONE = (_JANUARY.since - Period.parse("1970-01-01", "1970-01-02").since).days


def _stretch(kind: str, rows: range, evidence: float = 20.0) -> Stretch:
    """Return a stretch of failures, one a day."""
    sessions = [
        Session(row, row * 86_400, _DAY_ONE + row, _DAY_ONE + row, "blocked", kind, False, True)
        for row in rows
    ]
    series = Series(kind, sessions, [True] * len(sessions), Lessons(), log_evidence=evidence)
    series.stretches = [Stretch(series, 0, len(sessions) - 1, sessions, sessions, evidence)]
    return series.stretches[0]


def _pair(*stretches: Stretch) -> Pair:
    sessions = sorted({session for stretch in stretches for session in stretch.sessions})
    return Pair(0, 0, 0, 0, sessions, [stretch.series for stretch in stretches])


def test_what_lost_its_evidence_to_a_rival_is_not_too_few() -> None:
    """Eight failures on eight days are enough; without a rival they would have been listed."""
    explained, left = _stretch("tcp_sent", range(4)), _stretch("name_sent", range(4, 12))
    explained.is_block, left.is_block, explained.reason = True, True, "a rival"
    give_reasons(Country(np.array([]), [_pair(explained, left)], pd.DataFrame()), _FLOOR)
    assert left.reason == LOST_EVIDENCE


def test_the_reason_of_a_period_is_that_of_what_its_state_rests_on() -> None:
    """Not of the first stretch; a period that holds the first alone has its reason."""
    first, second = _stretch("tcp_sent", range(5)), _stretch("name_sent", range(10, 20))
    first.reason, second.reason = "the first rival", "the second rival"
    found = judge_period(_pair(first, second), _JANUARY, _FLOOR)
    assert (found["resting_failures"], found["reason"]) == (10, "the second rival")
    begin = judge_period(_pair(first, second), Period.parse("2024-01-01", "2024-01-08"), _FLOOR)
    assert (begin["state"], begin["reason"]) == ("impaired", "the first rival")


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        ({"tcp_silent": 9}, SITE_FAILS),
        ({"tcp_silent": 9, "name_sent": 1}, SITE_FAILS),
        ({"tcp_silent": 4, "name_sent": 4}, IN_MANY_WAYS),
    ],
)
def test_others_explain_failures_of_their_own_kind_alone(
    kinds: dict[str, int], reason: str
) -> None:
    """Nearly all failures are of the kind that other operators have, or resets are its own."""
    parts, row = [], 0
    for kind, count in kinds.items():
        parts.append(_stretch(kind, range(row, row + count), evidence=0.0))
        row += count
    parts[0].series.lessons = Lessons(30, 90)
    any_way = _stretch(ANY, range(row))
    any_way.sessions = any_way.failures = sorted(
        session for part in parts for session in part.failures
    )
    pair = _pair(*parts, any_way)
    give_reasons(Country(np.array([]), [pair], pd.DataFrame()), _FLOOR)
    assert any_way.reason == reason
    state = judge_period(pair, _JANUARY, _FLOOR)["state"]
    assert state == ("unexplained" if reason == IN_MANY_WAYS else "impaired")
