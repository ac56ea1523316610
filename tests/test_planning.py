"""What was tested, by whom, and what volunteers are asked to test next."""

import json
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from analysis.errors import ParameterError
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.planning import coverage
from analysis.planning.coverage import count_floor
from analysis.planning.list_care import find_look_alikes, review_lists
from analysis.planning.ranking import (
    DAYS,
    SITES_A_DAY,
    choose_sites,
    is_safe,
    plan_week,
    rank_pairs,
    write_runs,
)
from analysis.reference.test_lists import ListEntry, TestLists, load_test_lists
from analysis.study.parameters import Campaign
from analysis.tables import write_table
from analysis.verdicts.rivals import ONE_PROBE
from tests.archives import contents
from tests.observations import Row, connection_with, observation

HALF = Period.parse("2024-01-10", "2024-07-01")
LISTS = TestLists(
    "QQ",
    (
        ListEntry("country", "https://a.example/", "a.example", "NEWS", "News Media", "qq.csv", 2),
        ListEntry("general", "https://b.example/", "b.example", "HOST", "Hosting", "global.csv", 2),
    ),
)


def _test(domain: str, day: str, asn: int = 64500, report: str = "r", **changes: Any) -> Row:
    started = datetime.fromisoformat(f"{day}T08:00:00")
    return observation(
        domain=domain,
        measurement_start_time=started,
        probe_asn=asn,
        report_id=f"{report}-{day}",
        **changes,
    )


def _tested(rows: Iterable[Row], project: str = "") -> duckdb.DuckDBPyConnection:
    connection = connection_with(rows)
    sites = pd.DataFrame(
        {
            "domain": ["a.example", "b.example", "c.example", ""],
            "category_code": ["NEWS", "HOST", "NONE", "NONE"],
        }
    )
    coverage.add_tested(connection, sites, LISTS, Campaign.of(project))
    return connection


ROWS = [
    _test("a.example", "2024-01-10"),
    _test("b.example", "2024-01-10"),
    _test("a.example", "2024-01-12", 64501, run_link_id=77),
    _test("", "2024-01-31", report=""),  # an input without a host name
    _test("c.example", "2024-03-05", run_link_id=77),
    _test("a.example", "2024-04-01", 64501),
]


def test_coverage_adds_up_and_a_day_without_a_test_is_a_gap() -> None:
    """Networks, categories and lists sum to all measurements; an untested month has no row, and
    days before the study are no gap."""
    counted = coverage.count_coverage(_tested(ROWS), HALF, {64500: "One"})
    sums = counted.groupby(["month", "scope"])["measurement_count"].sum().unstack()
    assert sums.index.tolist() == ["2024-01", "2024-03", "2024-04"]
    for scope in ("network", "category", "list"):
        assert (sums[scope] == sums["all"]).all()
    first = counted[(counted["month"] == "2024-01") & (counted["scope"] == "all")].iloc[0]
    assert first[
        [
            "measurement_count",
            "session_count",
            "domain_count",
            "network_count",
            "day_count",
            "untested_day_count",
            "longest_gap_days",
        ]
    ].tolist() == [4, 3, 2, 2, 3, 19, 18]
    lists = counted[counted["scope"] == "list"].set_index(["month", "item"])["measurement_count"]
    assert lists["2024-01"].to_dict() == {"country": 2, "general": 1, "none": 1}
    named = counted[counted["scope"] == "network"].set_index("item")["name"]
    assert set(named["AS64500"]) == {"One"}


def test_indicators_compare_only_what_is_whole() -> None:
    """A month cut by the edge of the study is compared with none; one without a test is a zero,
    from which nothing can grow; a quarter counts a session once."""
    table = coverage.count_indicators(_tested(ROWS), HALF, {}, has_project=False)
    assert set(table["scope"]) == {"country"}
    months = table.set_index("period")
    assert months.index.tolist() == [f"2024-0{month}" for month in range(1, 7)] + [
        "2024-Q1",
        "2024-Q2",
    ]
    assert months["measurement_count"].tolist() == [4, 0, 1, 1, 0, 0, 5, 1]
    assert months["is_whole"].tolist() == [False, *[True] * 5, False, True]
    assert months["measurement_change_share"].isna().tolist() == [
        True,
        True,
        True,
        False,
        False,
        True,
        True,
        True,
    ]
    assert months.loc["2024-04", "measurement_change_share"] == 0
    assert months.loc["2024-05", "measurement_change_share"] == -1
    assert months["new_domain_count"].fillna(-1).tolist() == [-1, 0, 1, 0, 0, 0, -1, 0]
    days = months[["day_count", "untested_day_count"]].sum(axis=1)
    assert days.tolist() == [22, 29, 31, 30, 31, 30, 82, 91]


def test_a_project_counts_its_own() -> None:
    """By link or by network; a measurement that is both counts once."""
    for project, expected in (("77", 2), ("AS64501", 2), ("77,AS64501", 3), ("78", 0)):
        table = coverage.count_indicators(_tested(ROWS, project), HALF, {}, has_project=True)
        own = table[(table["scope"] == "project") & table["period"].str.contains("Q")]
        assert own["measurement_count"].sum() == expected, project
        everybody = table[(table["scope"] == "country") & table["period"].str.contains("Q")]
        assert everybody["measurement_count"].sum() == len(ROWS)


def test_what_names_no_project_is_refused() -> None:
    """It becomes SQL."""
    for text in ("x", "AS", "1.5", "-1", "1;AS1", "１", "1" * 19, "AS1) OR (1"):
        with pytest.raises(ParameterError, match="OONI Run links and of networks"):
            Campaign.of(text)


def test_probes_alike_are_counted_and_not_named() -> None:
    """The largest source of each kind, and no row that could be one volunteer's by name."""
    rows = [
        _test("a.example", "2024-02-01", asn, str(n), platform="ios")
        for n, asn in enumerate([1, 1, 1, 2])
    ]
    weighed = coverage.weigh_sources(_tested(rows), {1: "One"})
    assert weighed["largest"].tolist() == ["One (AS1)", "ooniprobe-android 3.8.8", "ios", ""]
    assert weighed["largest_share"].tolist() == [0.75, 1.0, 1.0, 0.75]
    assert weighed["source_count"].tolist() == [2, 1, 1, 2]
    assert weighed["equal_source_count"].tolist() == [1.6, 1.0, 1.0, 1.6]


def test_a_network_of_one_volunteer_is_counted() -> None:
    """One run on most days, however many on another; what has no network number is no network."""
    days = [(1, 1, "abc"), (1, 2, "d"), (1, 3, "e"), (2, 1, "fg"), (2, 2, "h"), (0, 1, "i")]
    rows = [
        _test("a.example", f"2024-02-0{day}", asn, run) for asn, day, runs in days for run in runs
    ]
    assert coverage.count_single_runs(_tested(rows)) == (1, 2)


def test_the_floor_counts_each_pair_once() -> None:
    """Enough, too few, none: on access networks alone, and tests that disagree are enough."""
    verdicts = pd.DataFrame(
        [
            ("a.example", 1, "ok", ""),
            ("b.example", 1, "insufficient", "few_days"),
            ("a.example", 2, "insufficient", "mixed"),
            ("a.example", 3, "ok", ""),
        ],
        columns=["domain", "probe_asn", "state", "insufficient_reason"],
    ).assign(period="all")
    networks = pd.DataFrame(
        {
            "probe_asn": [1, 2, 3, 4, 0],
            "network": list("abcde"),
            "kind": ["isp", "mobile", "vpn", "few_days", "unknown"],
            "day_count": [9, 9, 9, 2, 9],
        }
    )
    counted = count_floor(verdicts, networks, 3).set_index("probe_asn")
    counts = ["floor_pair_count", "below_pair_count", "untested_pair_count"]
    assert counted[counts].to_numpy().tolist() == [[1, 1, 1], [1, 0, 2]]
    assert counted.index.tolist() == [1, 2]


# --- What volunteers are asked to test, and by which addresses; which lines of lists want care. ---

UNTIL = date(2024, 7, 1)
NETWORKS = pd.DataFrame(
    [(1, "One", "isp"), (2, "Two", "mobile"), (3, "Campus", "education"), (4, "Exit", "vpn")],
    columns=["probe_asn", "network", "kind"],
).assign(day_count=9)


def _verdict(domain: str, asn: int, state: str, reason: str = "", **changes: Any) -> dict[str, Any]:
    return {
        "domain": domain,
        "probe_asn": asn,
        "period": "all",
        "state": state,
        "insufficient_reason": reason,
        "set_aside_reason": "",
        "session_count": 8,
        "blocked_session_count": 0,
        "down_session_count": 0,
        "ok_session_count": 8,
        "day_count": 8,
        "note": "",
        **changes,
    }


def _rank(verdicts: list[dict[str, Any]], last: str = "2024-06-30") -> pd.DataFrame:
    table = pd.DataFrame(verdicts)
    names = sorted({row["domain"] for row in verdicts})
    sites = pd.DataFrame(
        {"domain": names, "url": [f"https://{name}/" for name in names], "category_code": "NEWS"}
    )
    last_tests = table[["domain", "probe_asn"]].assign(last_tested=pd.Timestamp(last))
    return rank_pairs(table, NETWORKS, sites, last_tests, Thresholds(), UNTIL)


FEW = {"session_count": 3, "day_count": 2, "ok_session_count": 1}


def test_a_score_can_be_done_again_by_hand() -> None:
    """Two of three sessions blocked, one of two other networks lists the site, one test missing,
    tested fourteen days before the last day, on a provider of homes."""
    ranked = _rank(
        [
            _verdict("a.test", 1, "insufficient", "few_sessions", blocked_session_count=2, **FEW),
            _verdict("a.test", 2, "blocked"),
            _verdict("a.test", 3, "ok"),
        ],
        last="2024-06-16",
    )
    assert ranked["probe_asn"].tolist() == [1]  # the others have their verdict
    pair = ranked.iloc[0]
    assert pair[["suspicion", "closeness", "age", "reach"]].tolist() == [0.625, 1.0, 0.75, 1.0]
    assert pair["score"] == round((2 + 1 / 2) / 4 * 1 * (1 + 14 / 28) / 2, 4)
    assert pair["test_reason"] == "suspected"
    assert (pair["tests_needed"], pair["days_untested"]) == (1, 14)


def test_why_a_pair_is_tested() -> None:
    """Below the floor, or without a verdict; what has its verdict was tested yesterday, and a name
    that does not exist is never tested again."""
    for verdict, reason, needed in (
        (_verdict("a.test", 1, "insufficient", "few_sessions", **FEW), "thin", 3),
        (_verdict("a.test", 1, "insufficient", "few_sessions", ok_session_count=2), "thin", 2),
        (
            _verdict("a.test", 1, "insufficient", "few_days", session_count=9, day_count=1),
            "thin",
            2,
        ),
        (_verdict("a.test", 1, "insufficient", "mixed"), "mixed", 1),
        (
            _verdict("a.test", 1, "impaired", note=f"not tested since; {ONE_PROBE}"),
            "one_household",
            4,
        ),
        (_verdict("a.test", 1, "impaired"), None, 0),
        (_verdict("a.test", 1, "ok"), None, 0),
        (_verdict("a.test", 1, "blocked"), None, 0),
        (_verdict("a.test", 1, "down", set_aside_reason="name_does_not_exist"), None, 0),
    ):
        ranked = _rank([verdict])
        own = ranked.loc[ranked["probe_asn"] == 1, ["test_reason", "tests_needed"]]
        assert own.to_numpy().tolist() == ([[reason, needed]] if reason else []), verdict
        assert 4 not in set(ranked["probe_asn"])  # no access network
        assert ranked.empty == bool(verdict["set_aside_reason"])


def test_a_verdict_grows_old_and_neighbours_raise_suspicion() -> None:
    ranked = _rank(
        [_verdict("a.test", 1, "blocked", blocked_session_count=8), _verdict("b.test", 1, "ok")],
        last="2024-05-01",
    )
    reasons = ranked.set_index(["domain", "probe_asn"])
    assert reasons["test_reason"].to_dict() == {
        ("a.test", 1): "listed_and_stale",
        ("b.test", 1): "stale",
        ("a.test", 2): "listed_elsewhere",
        ("a.test", 3): "listed_elsewhere",
        ("b.test", 2): "never_tested",
        ("b.test", 3): "never_tested",
    }
    scores = reasons["score"]
    assert scores["a.test", 2] > scores["a.test", 3] > scores["b.test", 2]


HOSTILE = [
    "javascript:alert(1)",
    "ftp://a.test/",
    "https://user:pw@a.test/",
    "https://a.test@b.test/",
    "https://a.test:8443/",
    "http://127.0.0.1/",
    "http://10.0.0.1/",
    "http://[::1]/",
    "http://192.168.1.1/admin",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://localhost/",
    "http://printer.local/",
    "http://router.lan/",
    "http://x.onion/",
    "https://a.test/\n",
    "https://a.test/ b",
    "https://a.test/\u202egpj",
    "https://a.test/<script>",
    "//a.test/",
    'https://a.test/"onload="x',
    "https://a.test/" + "x" * 500,
    "https://a.test\\@b.test/",
    "",
    "https://аpple.test/",
    "=HYPERLINK(1)",
    "https://a..test/",
    "https:///a.test/",
    "http://169.254.169.254/latest/meta-data/",
    "https://a.test/`id`",
    "https://a_b/",
]


def test_a_hostile_address_is_handed_to_nobody() -> None:
    assert [url for url in HOSTILE if is_safe(url)] == []


def test_the_addresses_of_real_lists_are_handed_out(shared_data: Path) -> None:
    """Nearly all of Citizen Lab's lines can be tested as they stand."""
    lists = load_test_lists(shared_data / "test-lists", "KH")
    wrong = [entry.url for entry in lists.entries if not is_safe(entry.url)]
    assert len(lists.entries) > 1800
    assert len(wrong) < 10, wrong


def _lists(folder: Path, country: list[str], general: list[str] = []) -> TestLists:  # noqa: B006
    header = "url,category_code,category_description,date_added,source,notes"
    for name, lines in (("qq.csv", country), ("global.csv", general)):
        (folder / name).write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return load_test_lists(folder, "QQ")


def test_only_known_sites_are_tested(tmp_path: Path) -> None:
    """Those of the lists by the list's address, those of the annex by their front page; what is
    merely in the archive never."""
    lists = _lists(
        tmp_path,
        ["http://a.test/x,NEWS,News,2024-01-01,s,", "https://a.test/,NEWS,News,2024-01-01,s,"],
    )
    verdicts = pd.DataFrame(
        [
            _verdict("a.test", 1, "ok"),
            _verdict("b.test", 1, "blocked"),
            _verdict("c.test", 1, "ok"),
            _verdict("d.test", 4, "blocked"),
            _verdict("10.0.0.1", 1, "blocked"),
        ]
    )
    sites = choose_sites(lists, verdicts, NETWORKS)
    assert sites["url"].tolist() == ["https://a.test/", "https://b.test/"]


#: ooni/spec, backends/bk-005-ooni-run-v2.md: field → its type, of a descriptor and of a nettest.
DESCRIPTOR = {
    "name": str,
    "name_intl": dict,
    "short_description": str,
    "short_description_intl": dict,
    "description": str,
    "description_intl": dict,
    "icon": str,
    "author": str,
    "is_expired": bool,
    "nettests": list,
}
NETTEST = {
    "inputs": list,
    "inputs_extra": list,
    "targets_name": str,
    "test_name": str,
    "is_background_run_enabled": bool,
    "is_manual_run_enabled": bool,
}


def _check_descriptor(content: dict[str, Any]) -> None:
    assert {name: type(value) for name, value in content.items()}.items() <= DESCRIPTOR.items()
    assert {"name", "nettests", "description"} <= set(content)  # required to create a link
    assert 2 <= len(content["name"]) <= 50
    assert 2 <= len(content["short_description"]) <= 200
    for nettest in content["nettests"]:
        assert {name: type(value) for name, value in nettest.items()}.items() <= NETTEST.items()
        assert nettest["test_name"] == "web_connectivity"
        assert len(nettest["inputs_extra"]) == len(nettest["inputs"]) > 0
        assert all(is_safe(url) for url in nettest["inputs"])


def test_a_week_is_planned_and_handed_out(tmp_path: Path) -> None:
    """Each site once a day, on as many days as it needs, no day with more than volunteers do; the
    files hold what is planned, whatever a network calls itself, and replace those of last week."""
    few = {"session_count": 0, "day_count": 0, "ok_session_count": 0}
    pairs = _rank(
        [_verdict(f"s{n:02}.test", 1, "insufficient", "few_sessions", **few) for n in range(34)]
    )
    pairs["network"] = "<b>=1+1</b>\u202e" + "x" * 99
    plan = plan_week(pairs, UNTIL)
    per_day = plan.groupby(["probe_asn", "day"])["domain"]
    assert per_day.size().max() == per_day.nunique().max() == SITES_A_DAY
    assert plan["day"].min() == UNTIL
    counts = plan.loc[plan["probe_asn"] == 1, "domain"].value_counts()
    needed = pairs[pairs["probe_asn"] == 1].set_index("domain")["tests_needed"]
    assert sorted(needed[counts.index] - counts)[:-1] == [0] * (len(counts) - 1)
    assert counts.sum() == min(needed.sum(), DAYS * SITES_A_DAY)
    (tmp_path / "what_to_test.AS999.json").write_text("old", encoding="utf-8")
    for row in write_runs(tmp_path, pairs, plan).itertuples():
        raw = (tmp_path / Path(row.descriptor_url).name).read_text(encoding="ascii")
        assert not re.search("[<>=]", raw)
        _check_descriptor(json.loads(raw))
        plain = (tmp_path / Path(row.plain_list_url).name).read_text(encoding="ascii")
        assert plain.split() == json.loads(raw)["nettests"][0]["inputs"]
    before = contents(tmp_path)
    assert "what_to_test.AS999.json" not in before
    write_runs(tmp_path, pairs, plan_week(pairs, UNTIL))
    assert contents(tmp_path) == before


LOOK_ALIKES = [
    ("kamnotra.io", "kamnottra.io", True),  # a letter too many
    ("kamnotra.io", "kamnorta.io", True),  # two exchanged
    ("www.monoroom.info", "monorom.info", True),  # one left out, and www.
    ("cambodiadaily.com", "cambodiadaily.con", False),  # one suffix or another
    ("xn--pple-news-4nf.test", "apple-news.test", False),
    ("wikipedia.org", "wikimedia.org", True),
    ("channel1.test", "channel2.test", False),  # numbered
    ("viber.com", "vibes.com", False),  # short
    ("example.test", "www.example.test", False),  # one site
    ("english.vodnews.test", "khmer.vodnews.test", False),
    ("unrelated.test", "different.test", False),
    ("camboidanews.test", "cambodianewz.test", False),  # two letters
]


def test_names_that_are_taken_for_one_another() -> None:
    for one, two, is_alike in LOOK_ALIKES:
        expected = {one: [two], two: [one]} if is_alike else {}
        assert find_look_alikes([one, two], [one, two]) == expected, (one, two)


def test_a_list_is_read_line_by_line(tmp_path: Path) -> None:
    """Each fault is found on its line, once, with the line as it should stand."""
    lists = _lists(
        tmp_path,
        [
            "https://good.test/,NEWS,News Media,2024-01-01,s,",
            'https://Good.test,NEWS,News Media,2024-01-02,s,"twice, and quoted"',
            "http://good.test/,NEWS,News Media,2024-01-03,s,",
            "https://www.good.test/,NEWS,News Media,2024-01-04,s,",
            "https://lapsed.test/,NEWS,News Media,2024-01-05,s,",
            "https://away.test/,NEWS,News Media,2024-01-06,s,",
            "https://new.test/,NEWS,News Media,2024-01-07,s,",
            "https://kamnottra.test/,NEWS,News Media,2024-01-08,s,",
            "https://kamnotra.test/,NEWS,News Media,2024-01-09,s,",
            "https://video.test/,CULTR,Culture,2024-01-10,s,moved",
            "https://both.test/,NEWS,News Media,2024-01-11,s,",
        ],
        [
            "https://video.test/,MMED,Media sharing,2020-01-01,s,",
            "https://both.test/,NEWS,News Media,2020-01-01,s,",
        ],
    )
    dead = {"set_aside_reason": "name_does_not_exist", "ok_session_count": 0}
    verdicts = pd.DataFrame(
        [
            *(
                _verdict(f"{name}.test", 1, "ok")
                for name in ("good", "www.good", "kamnotra", "video", "both")
            ),
            _verdict("lapsed.test", 1, "down", **dead),
            _verdict("kamnottra.test", 1, "down", **dead),
            _verdict("away.test", 1, "down", ok_session_count=0),
        ]
    )
    care = write_table(tmp_path / "tables", "list_care", review_lists(lists, verdicts))
    found = {
        (row["line"], row["problem"]): (row["action"], row["line_proposed"])
        for row in care.to_dict("records")
    }
    asis = dict(enumerate((tmp_path / "qq.csv").read_text(encoding="utf-8").splitlines(), start=1))
    assert found == {
        (3, "duplicate"): ("remove", ""),
        (4, "twin"): ("remove", ""),
        (2, "twin"): ("check", asis[2]),
        (3, "twin"): ("check", asis[3]),
        (5, "twin"): ("check", asis[5]),
        (6, "dead_name"): ("remove", ""),
        (7, "site_down"): ("check", asis[7]),
        (8, "never_tested"): ("check", asis[8]),
        (9, "dead_name"): ("remove", ""),
        (9, "look_alike"): ("remove", ""),
        (11, "other_category"): (
            "change",
            "https://video.test/,MMED,Media sharing,2024-01-10,s,moved",
        ),
        (12, "duplicate"): ("remove", ""),
    }
    assert (care["line_now"] == [asis[line] for line in care["line"]]).all()
