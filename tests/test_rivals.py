"""What else could it be: rivals, notes, cases of examiners, and forged reports."""

import random
import tracemalloc
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from math import comb
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.verdicts.caveats import BEFORE_FIRST_TEST
from analysis.verdicts.pairs import Pair, Series, Session, Stretch
from analysis.verdicts.probes import _cut_out, _explains
from analysis.verdicts.rivals import (
    EVERYWHERE,
    HOST_SILENT,
    NO,
    ONE_KIND_OF_PROBE,
    ONE_PROBE,
    REFUSED_HERE,
    RESOLVERS,
    RIVALS,
    ROUTE_UNKNOWN,
    SOME_USERS,
    _describe_block,
    answer_rivals,
)
from analysis.verdicts.together import chance_of_few
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED
from tests.letters import (
    ALL_NETWORKS,
    DAY_ONE,
    FOURTH,
    NAME,
    VPN,
    days,
    everywhere,
    judge,
    site,
    usual_sites,
    verdict,
)
from tests.observations import PROBE_NETWORK, Row, answer, connect, control_answer, http_observation
from tests.table_rows import as_written

#: Kinds of probe.
OLD, NEW, APPLE = (
    {"software_version": "3.17.2"},
    {"software_version": "3.23.0"},
    {"software_name": "ooniprobe-ios", "software_version": "3.17.2"},
)
OPEN = "O" * 80
#: Where the sites of other cases are not hosted.
SHARED = {"host": "one host"}


def _on(name: str, *letters: str, **options: Any) -> list[Row]:
    """A site on one network after the other."""
    return [
        row
        for asn, own in zip([*ALL_NETWORKS, FOURTH], letters, strict=False)
        for row in site(name, own, asn=asn, **options)
    ]


def _since(day: int, letter: str) -> str:
    """Open, and failing for twelve days from a day on. No two cases begin in the same days."""
    return "O" * day + letter * 12


def _together(names: Iterable[str], day: int, letter: str, networks: int, **options: Any) -> Any:
    """Sites that begin to fail on the same day, on the first of four networks."""
    own = [_since(day, letter)] * networks + [OPEN] * (4 - networks)
    return [row for name in names for row in _on(name, *own, **options)]


#: Case → what was measured, and the sentence that withholds it on the network where it fails first;
#: none where it is listed. A host's sites are named for their case.
CASES: dict[str, tuple[list[Row], str]] = {
    "away": (_on("away", *["T" * 12] * 3), EVERYWHERE),
    "refuses from one day on": (_on("refuses", *[_since(10, "R")] * 4), EVERYWHERE),
    "two hosts refuse": (_together(["pair-a", "pair-b"], 20, "R", 4), EVERYWHERE),
    "three sites of one host refuse": (
        _together(["host-a", "host-b", "host-c"], 30, "R", 4, **SHARED),
        EVERYWHERE,
    ),
    "its name fails in all resolvers": (_on("nameless", "V" * 12, "W" * 12, "V" * 12), EVERYWHERE),
    "three hosts at once": (_together(["order-a", "order-b", "order-c"], 40, "R", 4), ""),
    "no such name anywhere": (_on("denied", *["B" * 12] * 3), ""),
    "another's certificate everywhere": (_on("forged", *["M" * 12] * 3), ""),
    "one network reaches it": (_on("reached", "R" * 12, "R" * 12, "O" * 12), ""),
    "silent on one network": (_on("otherwise", "R" * 12, "T" * 12, "R" * 12), ""),
    "its host is silent": (_together(["mute-a", "mute-b"], 50, "T", 1, host="mute"), HOST_SILENT),
    "its host is silent but for a neighbour": (
        [
            *_together(["spared-a", "spared-b"], 54, "T", 1, host="spared"),
            *_on("spared-c", OPEN, host="spared"),
            *_on("spared-d", OPEN, host="spared"),
        ],
        "",
    ),
    "a cable of two networks": (
        _together(["cable-a", "cable-b", "cable-c"], 72, "T", 2, host="cable"),
        HOST_SILENT,
    ),
    "... which spares a neighbour": (
        [
            *_together(["half-a", "half-b", "half-c"], 78, "T", 2, host="half"),
            *_on("half-d", *[_since(90, "O")] * 4, host="half"),
        ],
        "",
    ),
    "... which lasts": (
        [
            row
            for name in ("long-a", "long-b", "long-c")
            for row in _on(name, *["O" * 8 + "T" * 70] * 2, OPEN, OPEN, host="long")
        ],
        "",
    ),
    "silent for days": (_on("route", "O" * 20 + "T" * 6 + "O" * 40, OPEN, OPEN), ROUTE_UNKNOWN),
    "silent for days, at the handshake": (
        _on("shaken", "O" * 24 + "S" * 6 + "O" * 40, OPEN, OPEN),
        ROUTE_UNKNOWN,
    ),
    "silent for longer": (_on("longer", "O" * 20 + "T" * 12 + "O" * 40, OPEN, OPEN), ""),
    "reset for days": (_on("cut", "O" * 20 + "R" * 6 + "O" * 40, OPEN, OPEN), ""),
    "silent twice": (
        _on("twice", "O" * 30 + "T" * 6 + "O" * 12 + "T" * 6 + "O" * 20, OPEN, OPEN),
        "",
    ),
    "two of four operators' resolvers": (_together(["servers"], 60, "W", 2), RESOLVERS),
    "... for three hosts at once": (_together(["list-a", "list-b", "list-c"], 66, "W", 2), ""),
    "... one after the other": (_on("later", _since(40, "W"), _since(54, "W"), OPEN, OPEN), ""),
}
#: Case → the domain that is looked at.
DOMAINS = {name: rows[0]["domain"] for name, (rows, _) in CASES.items()}


@cache
def world() -> Judgement:
    usual = [row for n in range(7) for row in _on(f"usual-{n}", *[OPEN] * 4)]
    return judge([*usual, *(row for rows, _ in CASES.values() for row in rows)])


@pytest.mark.parametrize("name", CASES)
def test_a_rival_speaks_where_it_should_and_nowhere_else(name: str) -> None:
    """What it explains is withheld with its dates and its sentence; anything else is listed."""
    row, reason = verdict(world(), domain=DOMAINS[name]), CASES[name][1]
    assert (row["state"] in LISTED, row["note"] if reason else "") == (not reason, reason)
    withheld = world().withheld
    own = withheld[(withheld["domain"] == row["domain"]) & (withheld["probe_asn"] == 64500)]
    assert set(own["reason"]) == ({reason} if reason else set())


@pytest.mark.parametrize(
    ("case", "letter"),
    [("away", "O"), ("one network reaches it", "R")],
)
def test_reports_on_every_network_are_no_witnesses(case: str, letter: str) -> None:
    """Two reports that had a site on each network listed one that refuses the country."""
    rows, reason = CASES[case]
    forged = [
        {**row, "resolver_asn": asn}
        for day in (3, 6, 8)
        for asn in [*ALL_NETWORKS, FOURTH]
        for row in days(
            letter, start=day, domain=DOMAINS[case], probe_asn=asn, report_id=f"forged-{day}"
        )
    ]
    usual = [row for n in range(7) for row in _on(f"usual-{n}", *[OPEN] * 4)]
    row = verdict(judge([*usual, *rows, *forged]), domain=DOMAINS[case])
    assert (row["state"] in LISTED, row["blocked_session_count"]) == (not reason, 12)


def test_one_session_opens_no_site_that_refuses() -> None:
    """Neither three sites before they were tested, nor one after its last failure."""
    usual = [row for n in range(7) for row in _on(f"usual-{n}", *[OPEN] * 4)]
    away = [row for n in range(3) for row in _on(f"ever-{n}", *["." * 5 + "R" * 12] * 4)]
    here = _on("here", "C" * 20, "C" * 20, OPEN, OPEN)
    forged = [
        row
        for domain, day in [*((f"ever-{n}.example", 4) for n in range(3)), ("here.example", 25)]
        for row in days("O", start=day, domain=domain, report_id=f"forged-{day}")
    ]
    found = judge([*usual, *away, *here, *forged])
    assert verdict(found, domain="ever-0.example")["note"] == EVERYWHERE
    assert verdict(found, domain="here.example")["note"] == REFUSED_HERE


@pytest.mark.parametrize(
    ("case", "letter", "host"),
    [("silent for longer", "T", "longer"), ("its host is silent", "O", "mute")],
)
def test_one_report_makes_up_no_neighbours(case: str, letter: str, host: str) -> None:
    """Neither some that are silent with a site that is blocked, nor some that are reached."""
    rows, reason = CASES[case]
    day = 24 if letter == "T" else 54
    forged = [
        {**row, "report_id": "forged"}
        for n in range(8)
        for row in site(f"{host}-made-up-{n}", "." * day + letter, host=host)
    ]
    usual = [row for n in range(7) for row in _on(f"usual-{n}", *[OPEN] * 4)]
    row = verdict(judge([*usual, *rows, *forged]), domain=DOMAINS[case])
    assert (row["state"] in LISTED, row["note"] if reason else "") == (not reason, reason)


def test_one_report_of_failures_excuses_no_order() -> None:
    """Where hardly anything is reached, sites that fail together are no order."""
    usual = [row for n in range(7) for row in _on(f"usual-{n}", *[OPEN] * 4)]
    forged = [
        row
        for n in range(60)
        for row in days("R", start=43, domain=f"made-up-{n}.example", report_id="forged")
    ]
    found = judge([*usual, *CASES["three hosts at once"][0], *forged])
    assert verdict(found, domain=DOMAINS["three hosts at once"])["state"] in LISTED


def test_where_a_rival_begins_to_speak() -> None:
    """Two of two dozen sessions that reach a site clear it of no fault; names of one domain are no
    unrelated sites; a time-out is as long as it lasts at all layers; and where most of what is
    tested fails, nothing is an order."""
    usual = [row for n in range(7) for row in _on(f"usual-{n}", *[OPEN] * 4)]
    cases = [
        *_on("twice", "R" * 16, "R" * 7 + "OO" + "R" * 7, "R" * 16),
        *_together(["a.one", "b.one", "c.one"], 20, "R", 4),
        *_on("layers", "O" * 20 + "T" * 6 + "S" * 6 + "O" * 40, OPEN, OPEN),
    ]
    found = judge([*usual, *cases])
    notes = {name: verdict(found, domain=f"{name}.example") for name in ("twice", "a.one")}
    assert {row["note"] for row in notes.values()} == {EVERYWHERE}, notes
    assert verdict(found, domain="layers.example")["state"] == "likely_blocked"

    failing = [
        row
        for n in range(20)
        for row in days("R", start=43, domain=f"once-{n}.example", report_id=f"run-{n}")
    ]
    orders, _ = CASES["three hosts at once"]
    found = judge([*usual, *orders, *failing])
    assert verdict(found, domain=DOMAINS["three hosts at once"])["note"] == EVERYWHERE


def test_a_line_of_another_network_silences_no_run() -> None:
    """Report IDs are public: whoever likes can add a line to each of a country's reports."""
    rows = [
        {**row, "report_id": f"{row['measurement_start_time']:%Y%m%d}-{row['probe_asn']}"}
        for n in range(7)
        for row in _on(f"usual-{n}", *["O" * 10 + ("R" if n < 2 else "O") * 8, *[OPEN] * 3])
    ]
    runs = {row["report_id"]: row for row in rows}
    added = [{**row, "probe_asn": 64499, "resolver_asn": 64499} for row in runs.values()]
    own, other = (
        verdict(judge(found), domain=rows[0]["domain"]) for found in (rows, [*rows, *added])
    )
    assert own["state"] in LISTED
    assert list(map(str, own)) == list(map(str, other))


def _by_probes(letters: str, kinds: dict[str, dict[str, str]], asn: int) -> list[Row]:
    """Six sites on a network, each session of the kind of probe that its letter stands for; small
    letters are sessions that reach the site."""
    return [
        {**row, "software_name": "ooniprobe-android", **kinds[letter.upper()]}
        for n in range(6)
        for row, letter in zip(
            site(
                f"probed-{asn}-{n}", "".join("O" if c.islower() else "R" for c in letters), asn=asn
            ),
            letters,
            strict=True,
        )
    ]


def test_one_kind_of_probe() -> None:
    """Each site has two sessions of others, too few to tell; all of them together do."""
    older = {"software_version": "3.9.1"}
    usual = [row for n in range(6) for row in _on(f"usual-{n}", *["O" * 20] * 3)]
    for is_explained, *cases in (
        (
            True,
            ("nnnnnAAnAAAAnAAA", {"A": OLD, "N": NEW}),  # one version
            ("nnnnnAAnBBAAnBBA", {"A": OLD, "B": older, "N": NEW}),  # that and older ones
            ("nnnnnAAnAAAAnAAA", {"A": APPLE, "N": OLD}),  # one platform
        ),
        (
            False,
            ("nnnnnAAnNAAAnNAA", {"A": OLD, "N": NEW}),  # others fail too
            ("nnnnnAAAAAAAAAAA", {"A": OLD, "N": NEW}),  # others reached it before alone
            ("nnnnnAAnAAAAnAAA", {"A": OLD, "N": OLD}),  # the same kind reaches it too
        ),
    ):
        rows = [
            row
            for asn, (letters, kinds) in zip(ALL_NETWORKS, cases, strict=True)
            for row in _by_probes(letters, kinds, asn)
        ]
        found = judge([*usual, *rows])
        own = found.verdicts[found.verdicts["domain"].str.startswith("probed")]
        assert set(own["state"]) == {"impaired" if is_explained else "likely_blocked"}
        assert set(own["note"]) == {ONE_KIND_OF_PROBE} if is_explained else found.withheld.empty
        assert found.defects.empty != is_explained


# --- What cannot be told of a listed pair is said in its note, and nowhere else. ------------------

IPHONE = {"software_name": "ooniprobe-ios"}


def _usual() -> list[Row]:
    """Sites that work, by two platforms."""
    return [
        {**row, **(IPHONE if number % 2 else {})}
        for asn in ALL_NETWORKS
        for n in range(6)
        for number, row in enumerate(site(f"usual-{n}", "O" * 30, asn=asn))
    ]


def _notes(rows: list[Row], *, is_listed: bool = True) -> dict[str, str]:
    """Name → the note of each site that is listed somewhere; or of each with reasons against it."""
    found = judge([*_usual(), *rows]).verdicts
    shown = found[found["state"].isin(LISTED) if is_listed else found["state"] == "impaired"]
    return {
        domain.removesuffix(".example"): note
        for domain, note in zip(shown["domain"], shown["note"], strict=True)
    }


def test_whether_a_site_may_refuse_one_network() -> None:
    """By connections, for long and with two operators at most, it may as well as the networks; what
    ended after days, fails with three operators, or with sites of three hosts, is the networks'. Of
    handshakes from the first test on it is said beside the block, unless several hosts fail so."""
    cut, lifted, silent = "O" * 8 + "C" * 50, "O" * 8 + "C" * 12 + "O" * 40, "O" * 8 + "T" * 50
    rows = [
        *_on("refused", cut, OPEN, OPEN),
        *_on("lifted", OPEN, lifted, OPEN),
        *_on("twice", cut, OPEN, OPEN, cut),
        *_on("never", OPEN, "R" * 20, OPEN),
        *_on("thrice", silent, silent, OPEN, silent),
        *_on("opened", OPEN, "O" * 8 + "R" * 20, OPEN),
        *(row for n in range(3) for row in _on(f"cut-{n}", OPEN, OPEN, cut)),
        *(row for n in range(3) for row in _on(f"reset-{n}", OPEN, OPEN, "R" * 20)),
    ]
    notes = _notes(rows)
    assert {name.rstrip("-012") for name in notes} == {
        "lifted",
        "thrice",
        "never",
        "opened",
        "cut",
        "reset",
    }
    assert {name for name, note in notes.items() if BEFORE_FIRST_TEST in note} == {"never"}
    assert _notes(rows, is_listed=False) == dict.fromkeys(["refused", "twice"], REFUSED_HERE)


@pytest.mark.parametrize(
    ("own", "own_total", "others", "other_total", "forged", "expected"),
    [
        (9, 9, 1, 30, 0, True),
        (8, 8, 1, 30, 0, False),  # less than nine tenths, ...
        (8, 8, 1, 30, 1, True),  # ... until one more is made up
        (18, 35, 0, 60, 0, True),
        (18, 36, 0, 60, 0, False),  # half of its own sessions reach the site
        (18, 36, 0, 60, 1, True),
        (4, 4, 0, 10, 0, True),  # chance in 1 case of 1,001, ...
        (4, 4, 0, 9, 0, False),  # ... and of 715
        (4, 4, 0, 9, 1, True),
    ],
)
def test_when_one_kind_of_probe_fails_alone(
    own: int, own_total: int, others: int, other_total: int, forged: int, expected: bool
) -> None:
    """Nine tenths of the failures are its own, most of its sessions fail, and it is no chance."""
    kind = SimpleNamespace(
        own=own, own_total=own_total, hits=own + others, total=own_total + other_total
    )
    assert _explains(kind, forged) == expected


def test_the_sessions_of_several_stretches() -> None:
    """From the first failure of the first to the last failure of the last, both included."""
    results = [("blocked", "tcp_sent") if letter == "x" else ("ok", "") for letter in "oxxooxxo"]
    sessions = [
        Session(row, row, row, row, *shown, False, True) for row, shown in enumerate(results)
    ]
    series = Series("tcp_sent", sessions, [bool(one.kind) for one in sessions])
    stretches = [Stretch(series, *ends, [], []) for ends in ((5, 6), (1, 2))]
    found = [(one.row, fails) for one, fails in _cut_out(series, stretches)]
    assert found == [(row, row in (1, 2, 5, 6)) for row in range(1, 7)]


def test_chance_among_other_probes() -> None:
    """The hypergeometric distribution, in whole numbers."""
    for found, others, hits, total in ((0, 5, 3, 9), (1, 5, 3, 9), (2, 4, 6, 7), (3, 5, 3, 9)):
        least = max(0, hits - (total - others))
        ways = sum(
            comb(others, n) * comb(total - others, hits - n) for n in range(least, found + 1)
        )
        assert chance_of_few(found, others, hits, total) == pytest.approx(ways / comb(total, hits))


@pytest.mark.parametrize(
    ("mechanism", "state", "asked"),
    [
        ("dns.blockpage", "blocked", 0),
        ("tls.mitm", "likely_blocked", 3),
        ("dns.nxdomain", "likely_blocked", 3),
        ("tls.reset", "likely_blocked", 4),
        ("http.reset", "likely_blocked", 4),
        ("tcp.reset", "likely_blocked", 5),
        ("tls.timeout", "likely_blocked", 6),
        ("tcp.timeout", "likely_blocked", 7),
        ("dns.timeout", "likely_blocked", 7),
    ],
)
def test_the_rivals_of_each_mechanism(mechanism: str, state: str, asked: int) -> None:
    """None explains a listed stretch; those after the one that explains it are left out. Of what
    only a network can make nothing is asked."""
    answers = answer_rivals(mechanism, state)
    assert [answer for _, answer in answers] == [NO] * asked
    asked_last = [RIVALS[-1].question] if asked else []
    assert [question for question, _ in answers][-1:] == asked_last
    told = answer_rivals("tls.timeout", "impaired", ROUTE_UNKNOWN)
    assert [answer for _, answer in told] == [NO, NO, ROUTE_UNKNOWN]


def test_a_stray_failure_moves_no_day_of_a_block() -> None:
    """The days between which others are asked leave out 15 % of its failures on either side."""
    for count, since, until in ((100, 14, 84), (20, 2, 16), (4, 0, 3), (1, 0, 0)):
        failures = [
            Session(day, 0, day, day, "blocked", "tcp_sent", False, True) for day in range(count)
        ]
        series = Series("tcp_sent", failures, [True] * count)
        block = Stretch(series, 0, count - 1, failures, failures)
        Pair(0, 0, 0, 0, failures, [series])
        row = _describe_block(0, block, NAME)
        days_of = ("first_day", "last_day", "since", "until")
        assert [row[name] for name in days_of] == [0, count - 1, since, until]


def test_one_session_makes_no_other_platform() -> None:
    """Where everybody uses one platform, that says nothing of a block."""
    own = OPEN[:10] + "R" * 14
    rows = [{**row, **IPHONE} for name in ("first", "second") for row in _on(name, own, OPEN, OPEN)]
    forged = days("O", domain="made-up.example", software_name="made-up")
    notes = _notes([*rows, *forged])
    assert notes["first"] == "not tested since"


def test_one_platform_that_makes_nearly_all_tests() -> None:
    """Two sites that fail for Apple's probes alone may be one household's; not where another
    platform's fail too. A second operator with several platforms shows that it is no household."""
    own, mixed = (OPEN[:10] + "R" * 14, OPEN, OPEN), (OPEN, OPEN[:10] + "R" * 14, OPEN)
    both = (own[0], own[0], OPEN)
    sites = {"first": own, "second": own, "mixed": mixed, "too": mixed}

    def rows(sites: dict[str, tuple[str, ...]]) -> list[Row]:
        return [
            {**row, **(IPHONE if row["probe_asn"] == PROBE_NETWORK or n % 2 else {})}
            for name, letters in sites.items()
            for n, row in enumerate(_on(name, *letters))
        ]

    alone = rows(sites)
    assert set(_notes(alone)) == {"mixed", "too"}
    assert "platform" not in _notes(alone)["mixed"]
    assert _notes(alone, is_listed=False) == dict.fromkeys(["first", "second"], ONE_PROBE)
    assert set(_notes(rows({**sites, "first": both}))) == {"first", "mixed", "too"}


# --- Cases that examiners of the judging code built, each with what it showed. --------------------

OLDER, NEWER = {"software_version": "3.8.1"}, {"software_version": "3.9.0"}


def _later(rows: list[Row], hours: int) -> list[Row]:
    """The same sessions, hours later: others."""
    return [
        {
            **row,
            "report_id": f"{row['report_id']}-{hours}",
            "measurement_start_time": row["measurement_start_time"] + timedelta(hours=hours),
        }
        for row in rows
    ]


def _defect(*, is_old: bool = True) -> list[Row]:
    """Certificate errors of an old version alone, while the new one reaches the site."""
    old = days("MMM." * 8, start=20, **OLDER) if is_old else []
    return [
        *days("O" * 20, **NEWER),
        *old,
        *days("...O" * 8, start=20, **NEWER),
        *days("O" * 18, start=52, **NEWER),
        *days("O" * 12, start=78, **NEWER),
    ]


_DENIED = days("B" * 8, start=70, **NEWER)
_AROUND = days("O" * 30 + "....." + "O" * 20)
#: Name → its sessions on one network; on the others the site is open.
EXAMINED: dict[str, list[Row]] = {
    "denied for a day beside a defect": [
        *_defect(),
        *_later(days("B", start=60, per_day=4, **NEWER), 5),
    ],
    "denied beside a defect": [*_defect(), *_DENIED],
    "denied": [*_defect(is_old=False), *_DENIED],
    "at one layer": [*_AROUND, *days("TTTTT", start=30, per_day=2)],
    "at two layers": [*_AROUND, *days("TTTTT", start=30), *_later(days("SSSSS", start=30), 3)],
    "lookups begin": days("O" * 10 + "R" * 8 + "O" + "RB" * 8 + "O" * 15),
    "lookups end": days("O" * 10 + "RB" * 8 + "O" + "BB" * 4 + "O" * 15),
    "reopened": [*days("O" * 10 + "B" * 20), *_later(days("O", start=29), 5)],
}


@cache
def examined(*names: str) -> Judgement:
    """These cases in one country, each a site and a hosting network of its own."""
    rows = [
        {
            **row,
            "domain": _domain(name),
            "http_host": _domain(name),
            "report_id": f"{name}-{row['report_id']}",
            "control_answers": [control_answer("192.0.2.10", 65000 + place)],
        }
        for place, name in enumerate(names)
        for row in (*EXAMINED[name], *_elsewhere(NAME, "O" * 80, **NEWER))
    ]
    return judge(rows)


def _domain(name: str) -> str:
    return f"{name.replace(' ', '-')}.example"


def _reasons(found: Judgement, name: str) -> list[str]:
    withheld = found.withheld
    return sorted(withheld["reason"][withheld["domain"] == _domain(name)])


def test_what_is_withheld_lends_nothing_to_what_is_left() -> None:
    """Neither sessions and days nor surprise: four denied lookups of one day beside the certificate
    errors of an old version are as little as without these; a block stands by its own evidence."""
    found = examined("denied for a day beside a defect", "denied beside a defect", "denied")
    short, row, alone = (
        verdict(found, domain=_domain(name))
        for name in ("denied for a day beside a defect", "denied beside a defect", "denied")
    )
    assert short["state"] == "impaired"
    assert ONE_KIND_OF_PROBE in _reasons(found, "denied for a day beside a defect")
    assert (row["state"], row["mechanism"]) == ("likely_blocked", "dns.nxdomain")
    assert _reasons(found, "denied beside a defect") == [ONE_KIND_OF_PROBE]
    assert alone["state"] == "likely_blocked"
    assert row["evidence"] <= alone["evidence"]


def test_each_change_takes_evidence_from_what_is_left() -> None:
    """What is left beside a withheld stretch counts for itself: one stretch of all that there may
    be, and the less likely the more often the state has changed."""
    around = "O" * 10 + "R" * 12 + "O" * 40
    rows = [row for n in range(8) for row in _on(f"usual-{n}", *["O" * 62] * 3)]
    for name, before, after in (("ended", 10, 6), ("lasting", 16, 0)):
        own = around[:22] + "O" * before + "R" * 24 + "O" * after
        rows += _on(name, own, around, around)
    found = judge(rows)
    ended, lasting = (verdict(found, domain=f"{name}.example") for name in ("ended", "lasting"))
    assert ended["state"] == lasting["state"] == "likely_blocked"
    assert ended["evidence"] + 1 < lasting["evidence"]
    assert found.withheld.groupby("domain")["reason"].agg(set).tolist() == [{EVERYWHERE}] * 2


def test_where_a_block_of_several_kinds_begins_and_ends() -> None:
    """A lost route is one at whatever layer it is written down; an interval lies between open days,
    whichever kind begins it and whichever ends it; what was seen to end on its last day does not
    go on."""
    found = examined("at one layer", "at two layers", "lookups begin", "lookups end", "reopened")
    for name in ("at one layer", "at two layers"):
        assert verdict(found, domain=_domain(name))["state"] == "impaired"
        assert set(_reasons(found, name)) == {ROUTE_UNKNOWN}
    columns = ["last_seen_open", "blocked_from", "blocked_until", "first_seen_open_again"]
    for name in ("lookups begin", "lookups end"):
        own = found.intervals[found.intervals["domain"] == _domain(name)]
        assert as_written(own[columns]).to_numpy().tolist() == [
            ["2024-01-10", "2024-01-11", "2024-02-04", "2024-02-05"],
        ]
    row = verdict(found, domain=_domain("reopened"))
    assert (row["state"], row["blocked_until"]) == ("likely_blocked", "2024-01-30")


def test_what_a_vpn_shows_moves_no_evidence() -> None:
    """Sixty sites that it blocks surely."""
    pair = days("O" * 20 + "BBBBBBB" + "O" * 33)
    pair += [
        row for asn in ALL_NETWORKS[1:] for row in days("O" * 60, probe_asn=asn, resolver_asn=asn)
    ]
    told = set()
    for letter in ("", "B"):
        vpn = [
            row
            for n in range(60 * bool(letter))
            for row in days(letter * 12, domain=f"v{n}.example", probe_asn=VPN, resolver_asn=VPN)
        ]
        found = judge([*pair, *vpn])
        assert verdict(found)["state"] == "likely_blocked"
        told.add(verdict(found)["evidence"])
    assert len(told) == 1
    foreign = found.verdicts[found.verdicts["probe_asn"] == VPN]
    assert set(foreign["set_aside_reason"]) == {"not_domestic"}


def _elsewhere(name: str, letters: str, **options: Any) -> list[Row]:
    return [
        row
        for asn in ALL_NETWORKS[1:]
        for row in days(letters, domain=name, probe_asn=asn, resolver_asn=asn, **options)
    ]


def _flips(base: list[Row], more: list[Row]) -> None:
    """One session more, and the verdict is another: no more was promised."""
    others = [
        row for name in ("x.example", "y.example", NAME) for row in _elsewhere(name, "O" * 80)
    ]
    others += [row for name in ("x.example", "y.example") for row in days("O" * 80, domain=name)]
    before = verdict(judge([*base, *others], until="2024-03-20"))
    after = verdict(judge([*base, *more, *others], until="2024-03-20"))
    assert before["state"] == "likely_blocked"
    assert after["state"] not in LISTED
    assert before["sessions_to_flip"] == 1


def test_one_session_may_let_the_networks_own_resolver_speak() -> None:
    own = {"resolver_asn": PROBE_NETWORK}
    base = [*days("B" * 60, resolver_asn=65_999), *days("OOO", start=60, **own)]
    _flips(base, days("O", start=66, **own))


def test_one_session_may_show_that_one_kind_of_probe_fails_alone() -> None:
    """Another one has reached the site before."""
    base = days("O" * 5 + "B" * 35 + "O" + "B" * 20 + "O" * 10)
    more = _later(days("O", start=15), 5)
    for row in (*base, *more):
        row |= {
            "software_name": "ooniprobe-android",
            **(OLDER if row["dns_failure"] else NEWER),
        }
    _flips(base, more)


def test_two_forged_reports_upset_the_page_behind_an_answer() -> None:
    """As they do the page of a site: both rest on how many names share it."""

    def page(number: int, **changes: object) -> list[Row]:
        site = f"s{number}.example"
        own = f"192.0.2.{number}"
        rows = days("O" * 30, domain=site)
        return [
            http_observation(
                **{name: row[name] for name in ("domain", "report_id", "measurement_start_time")},
                control_answers=[control_answer(own, 64400 + number)],
                http_title="Blocked",
                http_body_digest="one page",
                http_body_length=500,
                body_proportion=0.05,
                title_match=False,
                headers_match=False,
                accessible=False,
                is_anomaly=True,
                control_http_title=f"News of {site}",
                udp_answers=[],
                **{
                    "dns_answers": [answer(own)],
                    "tcp": [connect(own, port=80)],
                    "blocking": "http-diff",
                    **changes,
                },
            )
            for row in rows
        ]

    fewest = {}
    for mechanism in ("http.blockpage", "dns.blockpage"):
        rows: list[Row] = usual_sites()
        for number in (1, 2, 3):
            away = f"198.51.100.{20 + number}"
            told = (
                {}
                if mechanism.startswith("http")
                else {
                    "dns_answers": [answer(away, 64499, match="none")],
                    "blocking": "dns",
                    "tcp": [connect(away, port=80, match="none", control_ok=None)],
                    "dns_consistency": "inconsistent",
                }
            )
            rows += page(number, **told)
            rows += [
                row
                for asn in ALL_NETWORKS[1:]
                for row in days(
                    "O" * 40, domain=f"s{number}.example", probe_asn=asn, resolver_asn=asn
                )
            ]
        row = verdict(judge(rows, until="2024-02-10"), domain="s1.example", asn=PROBE_NETWORK)
        assert row["mechanism"] == mechanism
        fewest[mechanism] = row["sessions_to_flip"]
    assert fewest == {"http.blockpage": 2, "dns.blockpage": 2}


# --- What forged reports can do to a verdict found out by forging. --------------------------------


def test_a_flood_lists_nothing() -> None:
    """One report is one witness, however many rows it holds; a verdict needs days, which a flood
    does not buy; what has no report and cannot be told apart is one session a day."""
    row = days("B", domain="one-report.example")[0]
    report = [
        {**row, "measurement_start_time": DAY_ONE + timedelta(days=n % 40, seconds=n)}
        for n in range(500)
    ]
    floods = judge(
        [
            *days("B", domain="once.example"),
            *report,
            *days("B", per_day=2, domain="twice.example"),
            *days("BB", per_day=40, domain="flooded.example"),
            *days("BBB", per_day=20, domain="without.example", report_id=""),
        ]
    )
    for name, count, sessions in (
        ("once", 1, 1),
        ("one-report", 500, 1),
        ("twice", 2, 2),
        ("flooded", 80, 80),
        ("without", 60, 3),
    ):
        found = verdict(floods, domain=f"{name}.example")
        assert found["state"] not in LISTED, name
        assert (found["measurement_count"], found["session_count"]) == (count, sessions), name


def test_made_up_versions_and_networks_take_no_more_room_than_their_reports() -> None:
    """Of 500 reports each with a version and a network of its own a table of all combinations
    had 125 million rows, and three times as many reports stopped a report of any size."""
    row, *usual = everywhere("OOTO" * 10)
    # ... and of failures, one of all stretches and versions.
    (failure,) = days("R", domain="x.example")
    usual += [
        {
            **failure,
            "domain": f"{n % 250}.test",
            "http_host": f"{n % 250}.test",
            "measurement_start_time": DAY_ONE + timedelta(hours=n),
            "report_id": f"{n}",
            "software_version": f"8.{n}",
        }
        for n in range(1_500)
    ]
    made_up = [
        {
            **row,
            "domain": f"{n}.example",
            "report_id": f"made-up-{n}",
            "probe_asn": 70_000 + n,
            "software_version": f"9.{n}",
            "probe_network_name": "Anybody Broadband",
        }
        for n in range(500)
    ]
    tracemalloc.start()
    found = judge([*usual, *made_up])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 40e6
    assert {"ok", "insufficient"} <= set(found.verdicts["state"])


def test_a_longer_block_takes_more_forged_reports() -> None:
    """The number says something: evidence that is more takes more to outweigh."""
    found = judge(
        [
            *(row for n in range(4) for row in everywhere("O" * 30, f"usual-{n}.example")),
            *_on("longer", OPEN[:20] + "R" * 40, OPEN),
            *_on("shorter", OPEN[:20] + "R" * 8, OPEN),
        ]
    )
    longer, shorter = (verdict(found, domain=f"{name}.example") for name in ("longer", "shorter"))
    assert 1 <= shorter["sessions_to_flip"] < longer["sessions_to_flip"]


def cut_off(random_: random.Random) -> str:
    """The days of a site that is blocked in part of the time, with what fails besides."""
    block = random_.choice("BRTSLM") * random_.choice([8, 16, 30, 40])
    around = ["O" * random_.choice([0, 20, 30]) for _ in range(2)]
    strays = "".join(around[0] + block + around[1])
    return "".join(day if random_.random() < 0.95 else random_.choice("OTRBD.") for day in strays)


class Country:
    """Sites on three networks in two hosting networks: some blocked, the others open."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.days = {
            f"s{n}.example": {asn: self._see(n) for asn in ALL_NETWORKS} for n in range(10)
        }
        self.rows = [
            row
            for name, by in self.days.items()
            for asn, letters in by.items()
            for row in self.show(letters, name, asn)
        ]

    def _see(self, number: int) -> str:
        is_open = number >= 7 or self.random.random() < 0.4
        return "O" * self.random.choice([5, 12, 30]) if is_open else cut_off(self.random)

    def show(self, letters: str, name: str, asn: int, **changes: object) -> list[Row]:
        answers = [control_answer("192.0.2.10", 64496 + int(name[1]) % 2)]
        return days(
            letters,
            domain=name,
            probe_asn=asn,
            resolver_asn=asn,
            control_answers=answers,
            **changes,
        )

    def forge(self, site: str, asn: int, count: int) -> list[Row]:
        """So many reports: in the cell, of the site elsewhere, of other sites here, or of all."""
        claim, version = self.random.choice("OBTLRSDM"), self.random.choice(["3.8.8", "3.9.0"])
        ways = [
            [(site, asn)],
            [(site, self.random.choice(ALL_NETWORKS))],
            [(other, asn) for other in self.random.sample(list(self.days), 4)],
            [(other, asn) for other in self.days],
        ]
        one = self.random.choice([*ways, None])
        rows: list[Row] = []
        for number in range(count):
            day = self.random.randrange(len(self.days[site][asn]) + 3)
            for name, network in one or self.random.choice(ways):
                rows += self.show(
                    claim,
                    name,
                    network,
                    start=day,
                    software_version=version,
                    report_id=f"forged-{number}",
                )
        return rows


def states(found: Judgement) -> pd.DataFrame:
    return found.verdicts.set_index(["domain", "probe_asn", "period"])[
        ["state", "sessions_to_flip"]
    ]


def test_whatever_is_forged_moves_no_state_before_its_number() -> None:
    """By forging at random: the same archive without the forged reports and with them. No state of
    a period or of a half is another one, of whatever site, whose number is more than they are."""
    country = Country(3)
    before = states(judge(country.rows, split="2024-01-19"))
    listed = before[before["state"].isin(["blocked", "likely_blocked"])]
    assert listed["sessions_to_flip"].max() > 1
    asked = pd.concat([listed, before.sort_index()])
    asked = asked[asked["sessions_to_flip"] > 1]
    tries = 0
    for place in country.random.sample(range(len(asked)), 2):
        (site, asn, _), number = asked.index[place], int(asked["sessions_to_flip"].iloc[place])
        forged = country.forge(site, asn, number - 1)
        after = states(judge([*country.rows, *forged], split="2024-01-19"))
        bound = before[before["sessions_to_flip"] >= number]
        moved = bound[bound["state"] != after["state"].reindex(bound.index)]
        assert moved.empty, (moved, after.loc[moved.index])
        tries += len(bound)
    assert tries > 100


# --- Causes that are no pair: some users, one kind of input. --------------------------------------


def _filtered(*, is_household: bool) -> list[Row]:
    """Four sites of four hosts that fail in three of four sessions of a network of many.

    A session tests all of them at once. With a filter of some users all fail in the same sessions;
    of a block that a part of the routers carries out, each site fails in others.
    """
    return [
        {**row, "report_id": f"run-{day}", "software_name": "ooniprobe-android"}
        for place in range(4)
        for day in range(70)
        for row in site(
            f"filtered-{place}",
            "B" if day >= 30 and (day + place * (not is_household)) % 4 else "O",
            start=day,
        )
    ] + [
        row
        for place in range(4)
        for asn in ALL_NETWORKS[1:]
        for row in site(f"filtered-{place}", OPEN, asn=asn)
    ]


@pytest.mark.parametrize("is_household", [True, False])
def test_a_filter_of_some_users_is_no_block_of_the_network(is_household: bool) -> None:
    """Some sessions fail on all of its sites and others, in between, on none: withheld. As many
    failures that each come by themselves are the network's."""
    rows = [*_usual(), *_filtered(is_household=is_household)]
    row = verdict(judge(rows), domain="filtered-0.example")
    assert (row["state"] in LISTED, row["note"] == SOME_USERS) == (not is_household, is_household)
