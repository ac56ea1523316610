"""The annex, the tables beside it and the pages of sites: rows, counts that sum, and reasons."""

import re
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from markupsafe import Markup
from pandas.testing import assert_frame_equal

from analysis.hosts import site_anchor, site_file
from analysis.languages.language import ENGLISH, open_language
from analysis.pages.rendering import PageContext, SetItem, render_sections
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report import annex
from analysis.report.annex import (
    blocked_sites,
    compare_semesters,
    count_panel,
    list_site_networks,
    list_sites,
)
from analysis.report.annex_page import fit_rows, grade_pairs, render_annex
from analysis.report.site_pages import (
    Setting,
    make_pages,
)
from analysis.report.verdict_words import local_schedule
from analysis.tables import read_table, write_json, write_table
from analysis.verdicts.caveats import BEFORE_FIRST_TEST, BYSTANDER
from analysis.verdicts.reasons import BELOW_LINE
from analysis.verdicts.rivals import HOST_SILENT, RIVALS
from analysis.vocabulary import METHODS
from tests.table_rows import as_written, dated, table_rows

NETWORKS = pd.DataFrame(
    {
        "probe_asn": [1, 2, 3, 9],
        "network": ["One", "Two", "Three", "Tunnel"],
        "operator": ["Alpha", "Alpha", "", "Tunnel"],
        "kind": ["isp", "mobile", "education", "vpn"],
        "kind_source": ["list", "list", "none", "list"],
        "measurement_count": [9, 8, 7, 6],
        "domain_count": [3, 3, 3, 3],
    }
)
NAMES = ["a.example", "b.example", "www.b.example", "c.example", "d.example"]
DOMAINS = pd.DataFrame(
    {
        "domain": ["", *NAMES],
        "category_code": ["", "NEWS", "NEWS", "NEWS", "GMB", ""],
        "category": ["Uncategorised", "News", "News", "News", "Gambling", "Uncategorised"],
        "is_local": [False, True, False, False, False, False],
        "measurement_count": [5, 100, 80, 60, 40, 20],
        "anomaly_count": [0, 50, 40, 30, 20, 10],
        "flagged_count": [0, 49, 39, 29, 19, 9],
    }
)


def _verdict(domain: str, probe_asn: int, **given: Any) -> dict[str, Any]:
    """A verdict on a site that is listed, with ``given`` on top."""
    row = {
        "domain": domain,
        "probe_asn": probe_asn,
        "period": "all",
        "state": "blocked",
        "mechanism": "dns.sinkhole",
        "rule_id": "dns.sinkhole",
        "measurement_count": 30,
        "blocked_count": 20,
        "ok_count": 5,
        "session_count": 25,
        "blocked_session_count": 18,
        "blocked_from": "2024-02-01",
        "blocked_until": "2024-05-01",
        "note": "",
        "last_seen_blocked": "2024-05-01",
        "set_aside_reason": "",
        "witness_url": f"https://x.example/AS{probe_asn}",
    }
    return row | given


def _aside(domain: str, probe_asn: int, reason: str, **given: Any) -> dict[str, Any]:
    state = {
        "state": "insufficient",
        "mechanism": "",
        "rule_id": "",
        "set_aside_reason": reason,
        "blocked_from": "",
        "blocked_until": "",
        "witness_url": "",
    }
    return _verdict(domain, probe_asn, **{**state, **given})


def test_a_site_on_two_networks_is_one_row_with_sums() -> None:
    """The strongest state, every mechanism, the widest dates, the witness of most sessions."""
    verdicts = pd.DataFrame(
        [
            _verdict(
                "b.example",
                2,
                state="likely_blocked",
                mechanism="tls.reset",
                blocked_from="2024-03-01",
                blocked_until="2024-06-01",
                blocked_session_count=19,
                last_seen_blocked="2024-06-01",
                note="at least since",
            ),
            _verdict("b.example", 1),
            _verdict("b.example", 9, blocked_until="", measurement_count=999),
            _verdict("b.example", 1, period="first", measurement_count=999),
            _aside("b.example", 3, "insufficient", measurement_count=999),
        ]
    )
    expected = pd.DataFrame(
        {
            "domain": ["b.example"],
            "registrable_domain": ["b.example"],
            "category_code": ["NEWS"],
            "category": ["News"],
            "is_local": [False],
            "state": ["blocked"],
            "mechanisms": ["dns.sinkhole;tls.reset"],
            "probe_asns": ["AS1;AS2"],
            "networks": ["One;Two"],
            "blocked_from": ["2024-02-01"],
            "blocked_until": ["2024-06-01"],
            "measurement_count": [60],
            "blocked_count": [40],
            "session_count": [50],
            "witness_url": ["https://x.example/AS2"],
            "note": ["AS2: at least since"],
            "last_seen_blocked": ["2024-06-01"],
            "all_measurement_count": [60 + 2 * 999],
            "all_session_count": [100],
        }
    )
    assert_frame_equal(blocked_sites(verdicts, NETWORKS, DOMAINS), expected)


@pytest.mark.parametrize(
    ("zone", "first", "last", "local"),
    [
        ("Africa/Nairobi", "2024-11-01", "2024-11-20", "Mon-Fri 07:00-11:00; Tue-Sat 00:00-03:00"),
        ("Asia/Kathmandu", "2024-11-01", "2024-11-20", "Mon-Fri 09:45-13:45; Tue-Sat 02:45-05:45"),
        (
            "America/Santiago",
            "2024-04-01",
            "2024-04-20",
            "Mon-Fri 01:00-05:00, 18:00-21:00; when the clocks change: "
            "Mon-Fri 00:00-04:00, 17:00-20:00",
        ),
    ],
)
def test_hours_read_by_the_clocks_of_the_capital(
    zone: str, first: str, last: str, local: str
) -> None:
    """Past midnight it is another day of the week; half hours and changing clocks are told."""
    schedule = "Mon-Fri 04:00-08:00, 21:00-24:00"
    assert local_schedule(schedule, ZoneInfo(zone), first, last) == local
    assert local_schedule("Mon-Sun 22:00-24:00", ZoneInfo(zone), first).startswith("Mon-Sun ")


@pytest.mark.parametrize(
    ("schedule", "local"),
    [
        ("Wed,Sat,Sun 13:00-21:00", "Wed,Sat,Sun 20:00-04:00"),
        (
            "Wed,Sat,Sun 13:00-15:00, 18:00-21:00",
            "Wed,Sat,Sun 20:00-22:00; Mon,Thu,Sun 01:00-04:00",
        ),
        ("Sun 20:00-21:00", "Mon 03:00-04:00"),
    ],
)
def test_a_set_of_weekdays_is_told_in_local_time(schedule: str, local: str) -> None:
    """Hours that fall on the next day take each day of the set with them, over the week's end."""
    assert local_schedule(schedule, ZoneInfo("Asia/Phnom_Penh"), date(2026, 5, 1)) == local


# --- Every tested name has one status, and every listed stretch one row with its own counts. ------

FEW_NETWORKS = pd.DataFrame(
    {
        "probe_asn": [1, 2, 9],
        "network": ["One", "Two", "Tunnel"],
        "kind": ["isp", "mobile", "vpn"],
    }
)
SITES = [
    "a.example",
    "b.example",
    "c.example",
    "d.example",
    "e.example",
    "f.example",
]
SITE_DOMAINS = pd.DataFrame(
    {
        "domain": ["", *SITES],
        "category_code": "NEWS",
        "is_local": False,
        "measurement_count": 9,
    }
)


def _judged(domain: str, probe_asn: int = 1, **given: Any) -> dict[str, Any]:
    row = {
        "domain": domain,
        "probe_asn": probe_asn,
        "period": "all",
        "state": "blocked",
        "note": "",
        "insufficient_reason": "",
        "blocked_until": "2024-05-01",
        "session_count": 20,
        "sessions_to_flip": 2,
        "resolver_asns": "",
        "operator": "Alpha",
        "witness_url": "",
    }
    return row | given


def _interval(probe_asn: int, since: str, until: str, **given: Any) -> dict[str, Any]:
    row = {
        "domain": "a.example",
        "probe_asn": probe_asn,
        "blocked_from": since,
        "blocked_from_time": f"{since}T01:00:00",
        "blocked_until": until,
        "blocked_until_time": f"{until}T01:00:00",
        "last_seen_open": "",
        "mechanism": "tls.reset",
        "first_seen_open_again": "",
        "first_seen_open_again_time": "",
        "measurement_count": 9,
        "session_count": 8,
        "day_count": 6,
        "state": "likely_blocked",
        "schedule": "",
        "chance": "1.0e-06",
        "reached_session_count": 2,
        "last_seen_blocked": until,
    }
    return row | given


def _stretches(verdicts: list[dict[str, Any]], intervals: list[dict[str, Any]]) -> pd.DataFrame:
    given = dated(intervals)
    plain = given.drop(columns="reached_session_count")
    return list_site_networks(dated(verdicts), plain, given, FEW_NETWORKS, SITE_DOMAINS)


def test_each_stretch_has_its_own_counts_dates_and_notes(tmp_path: Any) -> None:
    """Only the last goes on; *at least since* is said of the first, *not tested since* of the
    last; what a VPN saw is not in the annex."""
    verdicts = [
        _judged("a.example", blocked_until="", note="at least since; seen through the resolver"),
        _judged("a.example", 2, note="not tested since"),
        _judged("a.example", 9),
    ]
    table = write_table(
        tmp_path,
        "blocked_site_networks",
        _stretches(
            verdicts,
            [
                _interval(1, "2024-01-01", "2024-02-01"),
                _interval(1, "2024-03-01", "2024-12-30", last_seen_open="2024-02-20"),
                _interval(2, "2024-01-05", "2024-05-01"),
                _interval(9, "2024-01-01", "2024-02-01"),
            ],
        ),
    )
    told = as_written(table[["probe_asn", "blocked_until", "note"]])
    assert list(told.itertuples(index=False, name=None)) == [
        (1, "2024-02-01", "at least since; seen through the resolver"),
        (1, "", "seen through the resolver"),
        (2, "2024-05-01", "not tested since"),
    ]
    assert list(table["network"]) == ["One", "One", "Two"]
    assert set(table["session_count"]) == {10}
    assert set(table["blocked_share"]) == {0.8}


def test_two_stretches_that_begin_on_one_day_are_one_row(tmp_path: Any) -> None:
    """The key has no time of day, and a report must not stop at it."""
    later = {"blocked_from_time": "2024-01-01T23:00:00", "first_seen_open_again": "2024-04-01"}
    table = write_table(
        tmp_path,
        "blocked_site_networks",
        _stretches(
            [_judged("a.example")],
            [
                _interval(1, "2024-01-01", "2024-01-02"),
                _interval(1, "2024-01-01", "2024-03-01", **later),
            ],
        ),
    )
    row = as_written(table).iloc[0]
    assert len(table) == 1
    assert (row["blocked_session_count"], row["session_count"]) == (16, 20)
    assert (row["blocked_until"], row["first_seen_open_again"]) == ("2024-03-01", "2024-04-01")
    assert row["last_seen_blocked"] == "2024-03-01"


def test_every_tested_name_has_a_status_and_a_reason() -> None:
    """Reached on a VPN only is no conclusion; a site that was down is not said to lack tests; what
    was never tested, and what has no host name, is not there."""
    verdicts = pd.DataFrame(
        [
            _judged("a.example"),
            _judged("b.example", state="down"),
            _judged("c.example", state="ok"),
            _judged("c.example", 2, state="down"),
            _judged("d.example", 9, state="ok"),
            _judged("d.example", state="insufficient", insufficient_reason="few_days"),
            _judged("d.example", 2, state="insufficient", insufficient_reason="few_sessions"),
            _judged("e.example", state="down"),
            _judged("f.example", 9, state="ok"),
        ]
    )
    blocked = pd.DataFrame({"domain": ["a.example"]})
    aside = pd.DataFrame({"domain": ["b.example"], "reason": ["instrument"]})
    table = list_sites(verdicts, FEW_NETWORKS, SITE_DOMAINS, blocked, aside)
    assert list(zip(table["domain"], table["status"], table["reason"], strict=True)) == [
        ("a.example", "listed", ""),
        ("b.example", "set_aside", "instrument"),
        ("c.example", "no_problem_seen", ""),
        ("d.example", "not_enough_tests", "few_days"),
        ("e.example", "not_enough_tests", "down"),
        ("f.example", "not_enough_tests", "not_domestic"),
    ]
    assert [bool(page) for page in table["page"]] == [True, True, False, False, False, False]
    assert list(table["network_count"]) == [1, 1, 2, 3, 1, 1]


def test_no_made_up_name_takes_the_page_of_another() -> None:
    """These two, too long for a file's name, have the same eight digits: found in a second."""
    names = [f"{'a' * 55}.n{number}.example" for number in (20507, 55318)]
    assert site_file(names[0]) == site_file(names[1])
    listed = pd.DataFrame({"domain": names})
    domains = SITE_DOMAINS.head(2).assign(domain=names)
    verdicts = pd.DataFrame([_judged(name) for name in names])
    aside = pd.DataFrame({"domain": [], "reason": []})
    table = list_sites(verdicts, FEW_NETWORKS, domains, listed, aside).set_index("domain")["page"]
    assert table.to_dict() == {names[0]: f"sites/{site_file(names[0])}", names[1]: ""}


def test_so_many_sites_have_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listed ones, then what most sessions tested: who makes up names fills no disk."""
    monkeypatch.setattr(annex, "MOST_PAGES", 3)
    verdicts = pd.DataFrame([_judged(name, session_count=n) for n, name in enumerate(SITES)])
    listed = pd.DataFrame({"domain": SITES[:1]})
    aside = pd.DataFrame({"domain": SITES[1:], "reason": "insufficient"})
    table = list_sites(verdicts, FEW_NETWORKS, SITE_DOMAINS, listed, aside)
    assert list(table.loc[table["page"] != "", "domain"]) == [
        SITES[0],
        *SITES[-2:],
    ]


def test_a_page_has_a_file_that_no_name_can_bend() -> None:
    """Letters, digits, dots and hyphens, sixty at most, and eight digits of its own."""
    for domain, file in (
        ("news.example", "news.example-281808bf.html"),
        ("2001:db8::1", "2001db81-"),
        ("../../etc/passwd", "....etcpasswd-"),
        ("<script>alert(1)</script>", "scriptalert1script-"),
        ("x" * 60, "x" * 60 + "-"),
        ("x" * 61, "site-"),
        ("ខ្មែរ.example", ".example-"),
        ("\ud800", "-"),
    ):
        assert site_file(domain).startswith(file)
        assert len(site_file(domain)) <= 74
        assert site_file(domain).removesuffix(".html").endswith(site_anchor(domain)[1:10])


# --- One semester against the other: only what both can tell. -------------------------------------

FOUR_NETWORKS = pd.DataFrame(
    {
        "probe_asn": [1, 2, 3, 9],
        "network": ["One", "Two", "Three", "Tunnel"],
        "operator": ["Alpha", "Alpha", "", "Tunnel"],
        "kind": ["isp", "mobile", "unknown", "vpn"],
    }
)
B, L, O, D, I, X = "blocked", "likely_blocked", "ok", "down", "impaired", "insufficient"  # noqa: E741


def _verdicts(
    cells: dict[int, tuple[str, str] | tuple[str, str, str]], domain: str = "news.example"
) -> pd.DataFrame:
    """States of a site: network → first, second, all; an empty state is no row."""
    rows = []
    for asn, states in cells.items():
        whole = states[2] if len(states) == 3 else next(s for s in (*states, X) if s)
        for period, state in zip(("first", "second", "all"), (*states[:2], whole), strict=True):
            if state:
                rows.append(
                    {
                        "domain": domain,
                        "probe_asn": asn,
                        "period": period,
                        "state": state,
                        "measurement_count": 10,
                        "insufficient_reason": "few_days" if state == X else "",
                    }
                )
    return pd.DataFrame(rows)


def _change(cells: dict[int, tuple[str, str] | tuple[str, str, str]]) -> pd.Series:
    table = compare_semesters(_verdicts(cells), FOUR_NETWORKS, {"news.example"})
    assert len(table) == 1
    return table.iloc[0]


def test_change() -> None:
    """Networks that meet the floor in both halves and show blocking or access in each decide. A gap
    in testing is not a change, a VPN changes nothing, and networks that disagree are named."""
    none = "no network has a conclusion in both halves"
    second, first = (f"not tested in the {half} half" for half in ("second", "first"))
    neither = "where it was listed in one half, the other shows neither blocking nor access"
    for expected, matched, note, cells in (
        ("still_blocked", "AS1", "", {1: (B, L)}),
        ("newly_blocked", "AS1", "", {1: (O, L, L)}),
        ("no_longer_blocked", "AS1", "", {1: (B, O)}),
        ("still_blocked", "AS1", "", {1: (B, B), 2: (O, O)}),
        (
            "mixed",
            "AS1;AS2",
            "One: listed in both halves; Two: listed, then reachable",
            {1: (B, B), 2: (B, O)},
        ),
        (
            "mixed",
            "AS1;AS2",
            "One: reachable, then listed; Two: listed, then reachable",
            {1: (O, B, B), 2: (L, O)},
        ),
        ("still_blocked", "AS1", "", {1: (B, B), 2: (X, B, B)}),
        ("newly_blocked", "AS2", "", {1: (X, B, B), 2: (O, B, B)}),
        ("still_blocked", "AS1", "", {1: (B, B), 9: (B, O)}),
        ("not_comparable", "", none, {1: (B, X)}),
        ("not_comparable", "", second, {1: (B, "")}),
        ("not_comparable", "", first, {1: ("", B)}),
        ("not_comparable", "", neither, {1: (B, D)}),
        ("not_comparable", "", none, {1: (X, X, L)}),
        ("not_comparable", "", none, {1: (B, X), 2: (X, B)}),
        ("not_comparable", "", none, {1: (B, ""), 2: ("", O)}),
    ):
        change = _change(cells)
        found = (change["change"], change["matched_networks"], change["note"])
        assert found == (expected, matched, note), cells
    states = [
        "first_state",
        "second_state",
        "first_measurement_count",
        "first_matched_state",
        "second_matched_state",
    ]
    assert _change({1: (L, X), 2: (O, B, B), 9: (B, B)})[states].tolist() == [L, B, 20, O, B]
    for cells in ({1: (O, O)}, {9: (B, O)}):  # the comparison is about blocking
        assert compare_semesters(_verdicts(cells), FOUR_NETWORKS, set()).empty


def test_the_panel_is_of_matched_pairs_only() -> None:
    """A site enters where one access network could tell in both halves, and only by that pair."""
    verdicts = pd.concat(
        [
            _verdicts({1: (O, B, B), 2: (B, X)}, "a.example"),
            _verdicts({1: (B, ""), 2: ("", B)}, "b.example"),
            _verdicts({9: (B, B)}, "c.example"),
            _verdicts({3: (D, O, O)}, "d.example"),
        ]
    )
    expected = pd.DataFrame(
        {
            "period": ["first", "second"],
            "domain_count": [2, 2],
            "blocked_domain_count": [0, 1],
            "blocked_local_domain_count": [0, 1],
        }
    )
    assert_frame_equal(count_panel(verdicts, FOUR_NETWORKS, {"a.example"}), expected)


# --- A page for each site, and the index of every name, made of tables that hold hostile texts. ---

EVIL = '<script>alert(1)</script>"\u202e=1+1'
YEAR = Period.parse("2024-01-01", "2025-01-01")
LISTED, ASIDE, CLEAN, THIN = "listed.example", "aside.example", "clean.example", "thin.example"
_INCIDENT = Event(date(2024, 8, 1), "Incident", "incident", "invented", domains=(LISTED,))
_ORDER = Event(date(2024, 7, 1), EVIL, "order", "invented")
SETTING = Setting("QQ", YEAR, [_ORDER, _INCIDENT])
DECIDED = {LISTED: {"decision": "reword", "reason": EVIL, "date": "2025-02-01", "role": "judge"}}
_ANNEX = ("blocked_site_networks", "categories", "networks")


def _site(domain: str, status: str, reason: str = "") -> dict[str, Any]:
    page = f"sites/{site_file(domain)}" if status in ("listed", "set_aside") else ""
    return {
        "domain": domain,
        "status": status,
        "reason": reason,
        "session_count": 7,
        "page": page,
        "category_code": "NEWS",
    }


def _stretch(probe_asn: int, **given: Any) -> dict[str, Any]:
    return {
        "domain": LISTED,
        "probe_asn": probe_asn,
        "network": EVIL,
        "state": "likely_blocked",
        "mechanism": "tls.reset",
        "blocked_from": "2024-02-03",
        "session_count": 12,
        "blocked_session_count": 11,
        "chance": "1.0e-03",
        "note": "",
    } | given


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A listed site on two networks, one that is set aside, one that is clean, and one that has
    too few tests."""
    cell = {
        "domain": LISTED,
        "period": "all",
        "state": "likely_blocked",
        "rule_id": "tls.reset",
        "session_count": 30,
        "ok_session_count": 18,
        "sessions_to_flip": 1,
    }
    written = {
        "sites": [
            _site(LISTED, "listed"),
            _site(ASIDE, "set_aside", "down"),
            _site(CLEAN, "no_problem_seen"),
            _site(THIN, "not_enough_tests", "mixed"),
        ],
        "verdicts": [
            cell | {"probe_asn": 1, "note": f"not tested since; {BEFORE_FIRST_TEST}"},
            cell | {"probe_asn": 2, "sessions_to_flip": 3, "note": BYSTANDER},
            cell | {"probe_asn": 9, "state": "insufficient", "insufficient_reason": "mixed"},
            cell | {"domain": ASIDE, "probe_asn": 1, "state": "impaired"},
        ],
        "networks": [
            {"probe_asn": 1, "network": EVIL, "kind": "isp"},
            {"probe_asn": 2, "network": "", "kind": "mobile"},
            {"probe_asn": 9, "network": "Tunnel", "kind": "vpn"},
        ],
        "blocked_site_networks": [
            _stretch(
                1,
                blocked_until="2024-03-04",
                last_seen_open="2024-02-01",
                first_seen_open_again="2024-03-09",
            ),
            _stretch(
                1,
                blocked_from="2024-06-01",
                schedule="Mon-Fri 04:00-08:00",
                chance=None,
                blocked_until="2024-06-30",
                note="not tested since",
            ),
            _stretch(2, blocked_from="2024-05-06", chance="3.1e-02"),
        ],
        "blocking_intervals": [
            {
                "domain": LISTED,
                "probe_asn": 1,
                "blocked_from": "2024-02-03",
                "blocked_from_time": "2024-01-01T00:00:00",
                "longest_gap_days": 20,
            },
        ],
        "withheld_intervals": [
            {
                "domain": ASIDE,
                "probe_asn": 1,
                "blocked_from": "2024-04-01",
                "blocked_from_time": "2024-04-01",
                "blocked_until": "2024-04-09",
                "session_count": 5,
                "reason": EVIL,
            },
            {
                "domain": ASIDE,
                "probe_asn": 1,
                "blocked_from": "2024-06-01",
                "blocked_from_time": "2024-04-01",
                "blocked_until": "2024-06-09",
                "session_count": 6,
                "mechanism": "tls.timeout",
                "state": "impaired",
                "reason": HOST_SILENT,
                "chance": "1.1e-03",
            },
            {
                "domain": ASIDE,
                "probe_asn": 1,
                "blocked_from": "2024-08-01",
                "blocked_from_time": "2024-04-01",
                "blocked_until": "2024-08-09",
                "session_count": 7,
                "mechanism": "tls.mitm",
                "reason": BELOW_LINE,
                "chance": "2.6e-03",
            },
        ],
        "set_aside": [{"domain": ASIDE, "reason": "down", "note": "The site is down."}],
        "categories": [{"category_code": "NEWS", "category": EVIL}],
        "session_days": [
            {
                "domain": LISTED,
                "probe_asn": 1,
                "day": f"2024-02-0{day}",
                "session_count": 2,
                "blocked_session_count": day - 3,
            }
            for day in (3, 4)
        ],
        "rules": [{"rule_id": "tls.reset", "condition": "is_reset(tls_failure)", "comment": EVIL}],
        "blocked_addresses": [
            {
                "address": "192.0.2.7",
                "probe_asn": 2,
                "site_count": 30,
                "cut_site_count": 2,
                "cut_sites": f"another.example;{LISTED}",
                "blocked_from": "2024-05-06",
                "blocked_from_time": "2024-05-06T00:00:00",
                "blocked_until": "2024-05-08",
                "blocked_until_time": "2024-05-08T00:00:00",
            }
        ],
        "method_comparison": [
            {
                "domain": LISTED,
                **dict.fromkeys(METHODS, False),
                "this_method": True,
                "ooni_anomaly": True,
            }
        ],
    }
    for name, rows in written.items():
        write_table(tmp_path, name, table_rows(name, *rows))
    unreached = {"kind": "everywhere", "sites": [ASIDE]}
    write_json(tmp_path / "findings.json", {"findings": [unreached], "has_fingerprints": False})
    return tmp_path


#: What ``count_flags`` counts.
FLAGS = pd.DataFrame(
    [{"domain": LISTED, "measurement_count": 40, "flagged_count": 12, "confirmed_count": 0}]
)


@pytest.fixture
def pages(tables: Path) -> dict[str, str]:
    return {file: str(content) for file, _, content in make_pages(tables, FLAGS, SETTING, ENGLISH)}


def _words(html: str) -> str:
    """What a reader sees, on one line."""
    return " ".join(re.sub(r"<[^>]*>", "", html).replace("&nbsp;", " ").split())


def test_a_site_has_a_page_that_says_what_the_tables_say(pages: dict[str, str]) -> None:
    """A sentence a stretch: sessions, how, first and last day and what lies around them, hours,
    chance, what it takes to flip; and what others would say."""
    words = _words(pages[f"sites/{site_file(LISTED)}"])
    for sentence in (
        "Access networks: blocked on 0, likely blocked on 2.",
        "Seen from 3 February 2024 to 4 March 2024: 11 of 12 sessions could not reach the site "
        "(TLS: reset). Longest gap without a test: 20 days. Before the first failure, a valid "
        "test last reached the site on 1 February 2024. After the last failure, a valid test first "
        "reached it on 9 March 2024. By accident, at most 1 in 1,000 pairs would fail so often in "
        "the whole period.",
        "Before the first failure, no valid test reached the site. No valid test followed the "
        "last failure. This block applies only at certain hours of the week: Mon-Fri 04:00-08:00 "
        "UTC. Tests at other hours are not counted here. The sessions left a trace of blocking. "
        "The first test failed already, so the site may refuse this network. 1 forged session "
        "might be enough to change this verdict. On the annex’s scale, the evidence is thin.",
        "Could it be something else? Failures “TLS: reset”: "
        + " ".join(f"{one.question} No." for one in RIVALS if "name_sent" in one.kinds),
        "Seen from 6 May 2024 on, and still at the last test: 11 of 12 sessions could not reach "
        "the site (TLS: reset). Before the first failure, no valid test reached the site. By "
        "accident, at most 1 in 32 pairs would fail so often in the whole period. With the "
        "published numbers, this period alone would not be listed. Remark: failed at an address "
        "that other sites share and that this network cut off, so the site may be a bystander.",
        "At least 3 forged sessions would be needed to change this verdict. On the annex’s scale, "
        "the evidence is fair. This network cut off the address 192.0.2.7, which its tests met; "
        "of 30 tested sites that share it there, 2 met this.",
        "Sessions by day After each day: sessions that failed as in a block, of all sessions. "
        "3 February 2024: 0 of 2; 4 February 2024: 1 of 2",
        "Tunnel (AS9), VPN: 18 of 30",
        "OONI flags 12 of 40 measurements as anomalous or confirmed. Whether OONI confirms any is "
        "not known: no list of known block pages was given. Other methods that would list it: "
        "OONI anomalies.",
        "give the name of this site (listed.example), the network and the day",
    ):
        assert sentence in words


def test_what_is_not_enough_for_the_list_says_by_how_much(pages: dict[str, str]) -> None:
    """Where another explanation fits, chance is not why a stretch is withheld."""
    words = _words(pages[f"sites/{site_file(ASIDE)}"])
    assert (
        "7 sessions did not reach the site from 1 August 2024 to 9 August 2024. Not listed: "
        f"{BELOW_LINE}. By accident, at most 1 in 380 pairs would fail so often in the whole "
        "period."
    ) in words
    assert words.count("By accident,") == 1


def test_no_text_of_a_measurement_acts(tables: Path) -> None:
    """In either language, in the frame, in attributes and in links."""
    for lang in (ENGLISH, open_language("km")):
        for file, title, content in make_pages(tables, FLAGS, SETTING, lang):
            context = PageContext("Nowhere", "a year", "Draft", date(2024, 1, 1), lang=lang)
            item = SetItem(file, title, "")
            html = render_sections([("", content)], item, context, [item])
            assert not re.search("<script>alert|\u202e", html)
            assert f'lang="{lang.code}"' in html


def test_an_incident_is_marked_for_the_sites_that_it_names(pages: dict[str, str]) -> None:
    """Other events are marked for every site that has an axis."""
    for site, marked in ((LISTED, True), (ASIDE, False)):
        words = _words(pages[f"sites/{site_file(site)}"])
        assert "1 July 2024: <" in words.replace("&lt;", "<")
        assert ("1 August 2024: Incident" in words) == marked


def test_the_annex_has_a_row_a_stretch_below_its_site(tables: Path) -> None:
    """With its own days and what lies around them, hours by the capital's clocks, chance and what
    flips it; nothing in it acts, and its script is allowed."""
    annex = (read_table(tables, name) for name in _ANNEX)
    grades = grade_pairs(read_table(tables, "verdicts"))
    html = str(render_annex(*annex, "KE", DECIDED, grades, ENGLISH))
    rows = [
        [_words(cell.replace("<", " <")) for cell in re.findall("<t[hd].*?</t[hd]>", row)][1:]
        for row in re.findall(r"<tr class=.pair.>(.*?)</tr>", html, re.DOTALL)
    ]
    shared = ["11 of 12", "TLS: reset"]
    assert rows == [
        [
            "3 February 2024 last reached 1 February 2024",
            "4 March 2024 reached again 9 March 2024",
            *shared,
            "thin",
            "0 or more",
        ],
        [
            "1 June 2024 no earlier valid test reached it",
            "30 June 2024 no test with a result since",
            "11 of 12",
            "TLS: reset only Mon-Fri 04:00-08:00 UTC; Mon-Fri 07:00-11:00 local time",
            "thin",
            "0 or more",
        ],
        [
            "6 May 2024 no earlier valid test reached it",
            "still failing at the last test",
            *shared,
            "fair chance 1 in 32",
            "0 or more",
        ],
    ]
    assert f'<a class="site" href="sites/{site_file(LISTED)}#{site_anchor(LISTED)}">' in html
    assert "<script>" not in html
    headings = re.findall('<th scope="col".*?>(.*?)</th>', html)
    explained = re.findall("<li><strong>(.*?)</strong>", html)
    assert set(explained) == set(headings) != set()
    item = SetItem("4-blocked-sites.html", "Annex", "")
    context = PageContext("Nowhere", "a year", "Draft", date(2024, 1, 1))
    assert "script-src 'sha256-" in render_sections([("", Markup(html))], item, context, [item])


def test_a_large_annex_shows_some_rows_of_each_site() -> None:
    """What does not fit a page stands on the page of the site."""
    for counts, most in (([3, 1], 3), ([31] * 500, 4), ([1] * 3000, 1), ([], 1)):
        assert fit_rows(pd.Series(counts, dtype="int64"), 2000) == most
