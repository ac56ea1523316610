"""Sessions that show more than one thing, or one thing several times: which rule, which mechanism,
and what they come to.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from random import Random

import pytest

from analysis.verdicts.verdicts import Judgement
from tests.letters import ALL_NETWORKS, judge, site, verdict
from tests.observations import Row, http_observation, observation
from tests.situations import (
    REAL_LIFE,
    SITUATIONS,
    Situation,
    case,
    judged,
    mistakes,
    on,
    other_page,
    results,
)

#: One network shows a page of its own in the site's place, while others get the site.
_REPLACED = [on(n, other_page(), day=n) for n in range(10, 15)]
_AROUND = [
    on(90 + n, http_observation(probe_asn=64520 + n % 2, resolver_asn=64520 + n % 2))
    for n in range(4)
]

BY_HTTP_AND_HTTPS = (
    case(
        "a replaced page in the sessions in which https reaches the site",
        "http.replaced",
        "blocked http.blockpage",
        *_REPLACED,
        *(on(n, observation(), day=n) for n in range(10, 15)),
        *_AROUND,
    ),
    case(
        "a replaced page between sessions that asked for https alone",
        "http.replaced",
        "blocked http.blockpage",
        *_REPLACED,
        *(on(n + 10, observation(), day=n) for n in range(10, 15)),
        *_AROUND,
    ),
    case(
        "a plain page that differs on every network, each of which reaches the site by https",
        "http.diff",
        "unknown",
        *_REPLACED,
        *(
            on(
                90 + 2 * n + asn,
                row if n else other_page(http_body_digest=f"a page of {asn}"),
                day=90 + n,
            )
            | {"probe_asn": asn, "resolver_asn": asn}
            for asn in (64520, 64521)
            for n, row in enumerate([observation()] * 4)
        ),
    ),
    case(
        "https beside a replaced page",
        "http.https",
        "ok",
        on(10, observation(), day=10),
        *_REPLACED,
        *_AROUND,
    ),
)


def _mistakes(situations: Iterable[Situation]) -> list[str]:
    """What comes out otherwise of those that are judged together."""
    together = [one for one in situations if not one.is_alone]
    return mistakes(together, results(judged(together, is_alone=False)))


def test_https_beside_a_replaced_page() -> None:
    """It reaches the site. It acquits nobody who replaces the page of plain requests, and says of
    no network that its plain requests get the site's page."""
    assert not _mistakes(BY_HTTP_AND_HTTPS)


def _repeat(situation: Situation, rng: Random) -> Situation:
    """The situation in which some measurements are made five times within their session."""
    repeated = [
        {**row, "measurement_start_time": row["measurement_start_time"] + timedelta(minutes=n)}
        for row in situation.rows
        for n in range(1, rng.choice((1, 1, 5)))
    ]
    return replace(situation, rows=(*situation.rows, *repeated))


def test_a_session_is_one_witness_however_often_it_measures() -> None:
    """No rule fires, or falls silent, because measurements are repeated within a session."""
    rng = Random(60)
    assert not _mistakes(_repeat(one, rng) for one in (*SITUATIONS, *REAL_LIFE))


def test_an_address_that_is_answered_twice_is_one_answer() -> None:
    """A resolver may give an address more than once."""

    def double(row: Row) -> Row:
        return {**row, "dns_answers": 2 * (row["dns_answers"] or [])}

    assert not _mistakes(
        replace(one, rows=tuple(map(double, one.rows))) for one in (*SITUATIONS, *REAL_LIFE)
    )


#: Site → what a session shows of it on the first network, by plain http and by https, in letters.
SESSIONS = {"mostly-cut": "PPO", "cut-and-open": "PO", "mostly-open": "POO", "cut": "P"}


def _measure_in_turn(name: str, letters: str, start: int = 0) -> list[Row]:
    """Sessions until the thirtieth day, each of which tests the site once a letter."""
    rows = []
    for minute, letter in enumerate(letters):
        rows += [
            {
                **row,
                "report_id": f"{name}-{day}",
                "measurement_start_time": row["measurement_start_time"] + timedelta(minutes=minute),
            }
            for day, row in enumerate(site(name, letter * (30 - start), start=start))
        ]
    return rows


@cache
def _world() -> Judgement:
    usual = [
        row
        for asn in ALL_NETWORKS
        for name in (*(f"usual-{n}" for n in range(4)), *SESSIONS, "in-two-ways")
        for row in site(name, "O" * 30, asn=asn)
        if name.startswith("usual") or asn != ALL_NETWORKS[0]
    ]
    mixed = [row for name, letters in SESSIONS.items() for row in _measure_in_turn(name, letters)]
    mixed += [*site("in-two-ways", "R" * 18), *_measure_in_turn("in-two-ways", "PPP", 18)]
    return judge([*usual, *mixed], until="2024-02-01")


@pytest.mark.parametrize(
    ("name", "state", "rule", "counts"),
    [
        # blocked and open measurements; blocked, open and all sessions
        ("mostly-cut", "likely_blocked", "http.reset", (60, 30, 30, 0, 30)),
        ("cut-and-open", "likely_blocked", "http.reset", (30, 30, 30, 0, 30)),
        ("mostly-open", "likely_blocked", "http.reset", (30, 60, 30, 0, 30)),
        ("cut", "likely_blocked", "http.reset", (30, 0, 30, 0, 30)),
        # 18 sessions of one measurement at the handshake, 12 of three at the request
        ("in-two-ways", "likely_blocked", "tls.reset", (54, 0, 30, 0, 30)),
    ],
)
def test_plain_http_cut_and_https_open(
    name: str, state: str, rule: str, counts: tuple[int, ...]
) -> None:
    """Where plain http alone fails, it decides, however many of a session's measurements opened
    by https; else most of them. What is listed
    is explained by the rule of most sessions that failed, and has the measurements that failed.
    """
    row = verdict(_world(), domain=f"{name}.example")
    columns = ["blocked_count", "ok_count", "blocked_session_count", "ok_session_count"]
    assert (row["state"], row["rule_id"], row["mechanism"]) == (state, rule, rule)
    assert tuple(row[[*columns, "session_count"]]) == counts
    intervals = _world().intervals
    mine = intervals[intervals["domain"] == f"{name}.example"]
    assert mine["measurement_count"].tolist() == ([counts[0]] if rule else [])
    assert row["insufficient_reason"] == ("few_sessions" if state == "insufficient" else "")
