"""What was tested, by whom, and what is left open: counts for whoever steers volunteers."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pytest

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.planning import coverage
from analysis.planning.coverage import count_floor
from analysis.reference.test_lists import ListEntry, TestLists
from analysis.study.parameters import Campaign, StudyParameters
from analysis.worlds.world import RUN_LINK
from tests.messaging import measurement, write_archive
from tests.observations import Row, connection_with, observation

HALF = Period.parse("2024-01-10", "2024-07-01")
LISTS = TestLists("QQ", (
    ListEntry("country", "https://a.example/", "a.example", "NEWS", "News Media", "qq.csv", 2),
    ListEntry("general", "https://b.example/", "b.example", "HOST", "Hosting", "global.csv", 2),
))  # fmt: skip


def _test(domain: str, day: str, asn: int = 64500, report: str = "r", **changes: Any) -> Row:
    started = datetime.fromisoformat(f"{day}T08:00:00")
    return observation(domain=domain, measurement_start_time=started, probe_asn=asn,
                       report_id=f"{report}-{day}", **changes)  # fmt: skip


def _tested(rows: Iterable[Row], project: str = "") -> duckdb.DuckDBPyConnection:
    connection = connection_with(rows)
    sites = pd.DataFrame({"domain": ["a.example", "b.example", "c.example", ""],
                          "category_code": ["NEWS", "HOST", "NONE", "NONE"]})  # fmt: skip
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
    counted = coverage.count_coverage(_tested(ROWS), HALF, {"AS64500": "One"})
    sums = counted.groupby(["month", "scope"])["measurement_count"].sum().unstack()
    assert sums.index.tolist() == ["2024-01", "2024-03", "2024-04"]
    for scope in ("network", "category", "list"):
        assert (sums[scope] == sums["all"]).all()
    first = counted[(counted["month"] == "2024-01") & (counted["scope"] == "all")].iloc[0]
    assert first[["measurement_count", "session_count", "domain_count", "network_count",
                  "day_count", "untested_day_count", "longest_gap_days"]].tolist() == [
        4, 3, 2, 2, 3, 19, 18]  # fmt: skip
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
        "2024-Q1", "2024-Q2"]  # fmt: skip
    assert months["measurement_count"].tolist() == [4, 0, 1, 1, 0, 0, 5, 1]
    assert months["is_whole"].tolist() == [False, *[True] * 5, False, True]
    assert months["measurement_change_share"].isna().tolist() == [True, True, True, False, False,
                                                            True, True, True]  # fmt: skip
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


def test_tests_of_apps_have_months_and_are_a_projects_by_its_link(tmp_path: Path) -> None:
    """Each test by itself beside that of web sites; a month without one has no row."""
    link = {"annotations": {"ooni_run_link_id": "77"}}
    archive = write_archive(tmp_path / "archive", [
        measurement("telegram", start="2024-01-10 08:00:00"),
        measurement("telegram", start="2024-01-12 08:00:00", asn=64501, **link),
        measurement("signal", start="2024-03-05 08:00:00", **link),
    ])  # fmt: skip
    study = StudyParameters(probe_cc="QQ", since=str(HALF.since), until=str(HALF.until),
                            source=str(archive), store=str(tmp_path / "store"))  # fmt: skip
    connection = coverage.open_app_tests(SimpleNamespace(parameters=study))
    of_web = coverage.count_coverage(_tested(ROWS), HALF, {})
    counted = coverage.count_test_coverage(connection, of_web, HALF)
    assert set(counted["scope"]) == {"test"}
    shown = counted.set_index(["item", "month"])["measurement_count"]
    assert shown["web_connectivity"].sum() == len(ROWS)
    assert shown.drop("web_connectivity", level=0).to_dict() == {
        ("telegram", "2024-01"): 2, ("signal", "2024-03"): 1}  # fmt: skip
    first = counted.set_index(["item", "month"]).loc[("telegram", "2024-01")]
    assert first[["network_count", "day_count", "longest_gap_days"]].tolist() == [2, 2, 19]
    tests = coverage.count_app_tests(connection, Campaign.of("77"))
    table = coverage.count_indicators(_tested(ROWS, "77"), HALF, tests, has_project=True)
    counts = table.set_index(["scope", "period"])["app_measurement_count"]
    assert counts["country", "2024-Q1"] == 3
    assert counts["project"][["2024-01", "2024-02", "2024-03"]].tolist() == [1, 0, 1]


def test_what_names_no_project_is_refused() -> None:
    """It becomes SQL."""
    for text in ("x", "AS", "1.5", "-1", "1;AS1", "１", "1" * 19, "AS1) OR (1"):
        with pytest.raises(ParameterError, match="OONI Run links and of networks"):
            Campaign.of(text)


def test_the_fictional_country_has_a_project() -> None:
    """Its volunteers follow the link that the simulator gives them."""
    assert StudyParameters.of({}).campaign == Campaign((int(RUN_LINK),))
    assert str(Campaign.of(" as2, 7,7,AS1")) == "7,AS1,AS2"


def test_probes_alike_are_counted_and_not_named() -> None:
    """The largest source of each kind, and no row that could be one volunteer's by name."""
    rows = [_test("a.example", "2024-02-01", asn, str(n), platform="ios")
            for n, asn in enumerate([1, 1, 1, 2])]  # fmt: skip
    weighed = coverage.weigh_sources(_tested(rows), {"AS1": "One"})
    assert weighed["largest"].tolist() == ["One (AS1)", "ooniprobe-android 3.8.8", "ios", ""]
    assert weighed["largest_share"].tolist() == [0.75, 1.0, 1.0, 0.75]
    assert weighed["source_count"].tolist() == [2, 1, 1, 2]
    assert weighed["equal_source_count"].tolist() == [1.6, 1.0, 1.0, 1.6]


def test_the_floor_counts_each_pair_once() -> None:
    """Enough, too few, none: on access networks alone, and tests that disagree are enough."""
    verdicts = pd.DataFrame(
        [("a.example", "AS1", "ok", ""), ("b.example", "AS1", "insufficient", "few_days"),
         ("a.example", "AS2", "insufficient", "mixed"), ("a.example", "AS3", "ok", "")],
        columns=["domain", "probe_asn", "state", "insufficient_reason"],
    ).assign(period="all")  # fmt: skip
    networks = pd.DataFrame({"probe_asn": ["AS1", "AS2", "AS3", "AS4", "AS0"],
                             "network": list("abcde"),
                             "kind": ["isp", "mobile", "vpn", "isp", "unknown"]})  # fmt: skip
    counted = count_floor(verdicts, networks, 3).set_index("probe_asn")
    counts = ["floor_pair_count", "below_pair_count", "untested_pair_count"]
    assert counted[counts].to_numpy().tolist() == [[1, 1, 1], [1, 0, 2], [0, 0, 3]]
    assert counted.index.tolist() == ["AS1", "AS2", "AS4"]
