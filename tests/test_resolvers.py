"""Whose resolver speaks for a network, and what another resolver's answer accuses."""

from functools import cache

import pytest

from analysis.verdicts.verdicts import Judgement
from tests.letters import (
    ALL_NETWORKS,
    everywhere,
    intervals,
    judge,
    site,
    through,
    usual_sites,
    verdict,
)
from tests.observations import PROBE_NETWORK, Row

ABROAD = 64999  # a network of another country


@cache
def resolvers() -> Judgement:
    """Judge sites seen through the network's own resolver, those of the country, and one abroad."""
    own, country_s = PROBE_NETWORK, ALL_NETWORKS[1]

    def asked(name: str, letters: str, resolver: int) -> list[Row]:
        return [
            {**row, "report_id": f"{name}-{resolver}-{n}"}
            for n, row in enumerate(through(resolver, site(name, letters)))
        ]

    return judge(
        [
            *(row for n in range(7) for row in everywhere("O" * 40, f"usual-{n}.example")),
            *asked("denied-abroad", "O" * 30, own),
            *asked("denied-abroad", "B" * 60, ABROAD),
            *asked("sisters", "B." * 20, country_s),
            *asked("sisters", ".O" * 20, ABROAD),
            *asked("hardly-own", "B." * 20, country_s),
            *asked("hardly-own", ".O" * 20, ABROAD),
            *asked("hardly-own", "........B", own),
            *asked("changed", "B" * 30, own),
            *asked("changed", "." * 50 + "O" * 30, ABROAD),
            *asked("detour", "B.B.B.B.B.B.B.B.", own),
            *asked("detour", ".O.O.O.O.O.O.O.O", country_s),
            *asked("until-the-end", "." * 60 + "O" * 11 + "B" * 20, own),
            *asked("until-the-end", "." * 75 + "O" + "." * 13 + "OO", ABROAD),
        ],
        split="2024-02-15",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("denied-abroad", ["ok", "ok", "insufficient"]),
        ("sisters", ["likely_blocked", "likely_blocked", ""]),
        ("hardly-own", ["likely_blocked", "likely_blocked", ""]),
        ("changed", ["likely_blocked", "likely_blocked", "insufficient"]),
        ("detour", ["likely_blocked", "likely_blocked", ""]),
        ("until-the-end", ["likely_blocked", "", "likely_blocked"]),
    ],
)
def test_whose_resolver_speaks_for_a_network(name: str, expected: list[str]) -> None:
    """Its own, or those of the country where it was hardly asked: what a resolver abroad answers
    neither accuses the network nor acquits it, in the whole or in a half."""
    table = resolvers().verdicts
    states = table[table["domain"] == f"{name}.example"].set_index("period")["state"]
    assert [states.get(period, "") for period in ("all", "first", "second")] == expected


def test_what_another_resolver_answers_moves_no_date_of_a_dns_block() -> None:
    """The network's own resolver blocks to the end, while a public one tells the truth."""
    row = verdict(resolvers(), domain="until-the-end.example")
    assert (row["blocked_from"], row["blocked_until"], row["note"]) == ("2024-03-12", "", "")
    (interval,) = intervals(resolvers(), "until-the-end.example").to_dict("records")
    assert interval["first_seen_open_again"] == ""


#: A filter that answers through a resolver: site → whose, and the state of the network, whose own
#: resolver gives the site.
FILTERS = {"filter-abroad": (ABROAD, "ok"), "filter-at-home": (ALL_NETWORKS[1], "unexplained")}


@cache
def filters() -> Judgement:
    """Judge sites for which a resolver answers with an address that no site can have."""
    rows = [
        *through(ABROAD, site("asked-abroad", "L" * 10)),
        *site("loop", "L" * 10),
        *site("chosen", "OO." * 4),
        *through(ABROAD, site("chosen", "..L" * 4)),
    ]
    for name, (resolver, _) in FILTERS.items():
        rows += site(name, "O" * 30)
        rows += [
            {**row, "report_id": f"{row['report_id']}-chosen"}
            for row in through(resolver, site(name, "L" * 30, per_day=2))
        ]
    return judge([*usual_sites(), *rows])


def test_a_filter_that_a_user_chose_accuses_no_network() -> None:
    """The network's own resolver gives the site; only one of the country says otherwise, in
    sessions of their own, as a family's filter does."""
    states = {name: verdict(filters(), domain=f"{name}.example")["state"] for name in FILTERS}
    assert states == {name: state for name, (_, state) in FILTERS.items()}


def test_a_filter_that_another_resolver_brings_along() -> None:
    """Some sessions ask a resolver abroad, which gives an address that no site can have; the
    network's own give the site. Somebody chose that resolver."""
    row = verdict(filters(), domain="chosen.example")
    assert (row["state"], row["set_aside_reason"]) == ("ok", "local_filter")


def test_an_answer_through_anothers_resolver_accuses_nobody() -> None:
    """Whose resolver: the note says whose resolver was asked; a public one is not named as the one
    at fault."""
    found = verdict(filters(), domain="asked-abroad.example")
    assert found["state"] == "likely_blocked"
    assert found["resolver_asns"] == "AS64999"
    assert found["note"] == "at least since; not tested since; seen through the resolver of AS64999"
    assert "resolver" not in verdict(filters(), domain="loop.example")["note"]
