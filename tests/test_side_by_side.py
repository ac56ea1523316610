"""Countries side by side: what all tested, for as many tests, in no order but the alphabet."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from analysis.commands import cli
from analysis.commands.settings import Settings, parse_settings
from analysis.commands.side_by_side import plan_reports
from analysis.commands.side_by_side_page import publish_side_by_side
from analysis.errors import ContractError, ParameterError, SourceError
from analysis.pages.publishing import list_tables, write_run
from analysis.report.annex import rank_networks
from analysis.review.countries_compared import compare_countries
from analysis.review.reports import Report, read_report
from analysis.study import measurement_counts
from analysis.study.confirmation import confirm
from analysis.study.study import open_study
from analysis.tables import TABLES, read_table, write_table
from analysis.worlds.writing import write_world
from tests.conftest import Command

# countries at hand ------------------------------------------------------------------------------


def _frame(name: str, rows: list[Mapping[str, object]]) -> pd.DataFrame:
    """Rows of a table, what is not given empty or 0."""
    kinds = TABLES[name].columns
    blank = {column: 0 if kind == "count" else "" for column, kind in kinds.items()}
    blank |= {column: None for column, kind in kinds.items() if kind == "share"}
    return pd.DataFrame([blank | dict(row) for row in rows], columns=list(kinds))


def _report(folder: Path, code: str, cells: Mapping[tuple[str, str], str], **run: object) -> Path:
    """A report's tables from ``(site, network) → state``; each cell has ten measurements, in each
    half as in the whole period."""
    states = [(site, asn, state) for (site, asn), state in cells.items()]
    verdicts = [
        {"domain": site, "probe_asn": asn, "period": period, "state": state,
         "measurement_count": 10, "blocked_count": 10 * (state == "blocked"),
         "mechanism": "dns.sinkhole" if state == "blocked" else ""}
        for site, asn, state in states for period in ("all", "first", "second")
    ]  # fmt: skip
    networks = [
        {"probe_asn": asn, "network": f"Net {asn}", "kind": "hosting" if asn == "AS9" else "isp",
         "measurement_count": 10 * sum(of == asn for _, of, _ in states)}
        for asn in sorted({asn for _, asn, _ in states})
    ]  # fmt: skip
    months = [{"month": "2024-01", "measurement_count": 10 * len(states)}]
    for name, rows in (("verdicts", verdicts), ("networks", networks),
                       ("measurements_by_month", months)):  # fmt: skip
        write_table(folder / "tables", name, _frame(name, rows))
    parameters = {"probe_cc": code, "since": "2024-01-01", "until": "2024-03-01"}
    record = {"parameters": parameters, "rules_version": 1, "status": "Draft", **run}
    write_run(folder, record | {"tables": list_tables(folder / "tables")})
    return folder


#: Three sites that all tested; one that Malaysia tested too little, one that only it tested.
KH = {
    ("a.org", "AS1"): "blocked", ("a.org", "AS2"): "ok", ("b.org", "AS1"): "ok",
    ("c.org", "AS1"): "insufficient", ("c.org", "AS2"): "blocked", ("d.org", "AS2"): "blocked",
    ("b.org", "AS9"): "blocked",  # in a hosting centre
}  # fmt: skip
MY = {
    ("a.org", "AS3"): "ok", ("b.org", "AS3"): "blocked", ("c.org", "AS3"): "blocked",
    ("d.org", "AS3"): "insufficient", ("e.org", "AS3"): "ok",
}  # fmt: skip


@pytest.fixture
def reports(tmp_path: Path) -> list[Report]:
    folders = _report(tmp_path / "kh" / "x", "KH", KH), _report(tmp_path / "my" / "x", "MY", MY)
    return [read_report(folder, "REPORT") for folder in folders]


def test_the_same_sites_are_compared(reports: list[Report]) -> None:
    """On access networks; a site that one country tested too little counts in neither."""
    compared = compare_countries(reports, {"VN": "nothing was tested"})
    table = compared.countries.set_index("probe_cc")
    assert table.index.tolist() == ["KH", "MY", "VN"]
    common = table[["common_domain_count", "common_blocked_domain_count"]]
    assert common.loc[["KH", "MY"]].to_numpy().tolist() == [[3, 2], [3, 2]]
    pairs = table[["common_pair_count", "common_blocked_pair_count", "pair_count"]]
    assert pairs.loc[["KH", "MY"]].to_numpy().tolist() == [[4, 2, 6], [3, 2, 5]]
    assert table["own_domain_count"].tolist()[:2] == [0, 1]
    assert table["blocked_measurement_share"].tolist()[:2] == [0.5, 0.4]
    assert table["blocked_domain_count"].tolist()[:2] == [3, 2]
    assert table["network_count"].tolist()[:2] == [2, 1]
    assert table.loc["VN", ["has_report", "why"]].tolist() == [False, "nothing was tested"]
    assert table.loc["VN", ["domain_count", "common_domain_count"]].isna().all()
    sites = compared.sites.set_index(["domain", "probe_cc"])["state"].to_dict()
    assert sites["c.org", "KH"] == sites["c.org", "MY"] == "blocked"
    assert ("e.org", "MY") not in sites
    assert set(compared.sites.loc[~compared.sites["is_common"], "domain"]) == {"d.org"}


def test_the_page_ranks_nobody(reports: list[Report], tmp_path: Path) -> None:
    """The alphabet it is, each country by its name; the one without a report says why."""
    failed = {"VN": SourceError("the source has <b>nothing</b>\u202e", resumes=False)}
    page = publish_side_by_side(reports, failed, tmp_path / "side-by-side")
    html = page.read_text(encoding="utf-8")
    assert html.index("Cambodia 2 (66.7 %)") < html.index("Malaysia 2 (66.7 %)")
    assert "the source has &lt;b&gt;nothing&lt;/b&gt;" in html
    assert "<b>nothing" not in html
    assert "\u202e" not in html
    assert 'href="../kh/x/index.html"' in html
    assert "sites/" not in html
    assert "They are not ranked" in html
    before = {path: path.read_bytes() for path in page.parent.rglob("*.*")}
    publish_side_by_side(reports[::-1], failed, tmp_path / "side-by-side")
    assert before == {path: path.read_bytes() for path in page.parent.rglob("*.*")}


def test_a_report_of_apps_alone_has_no_site_to_compare(
    reports: list[Report], tmp_path: Path
) -> None:
    (reports[1].tables / "verdicts.csv").unlink()
    page = publish_side_by_side(reports, {}, tmp_path / "out")
    table = read_table(tmp_path / "out" / "tables", "side_by_side").set_index("probe_cc")
    assert table["has_report"].tolist() == [True, False]
    assert "no web site was tested there" in page.read_text("utf-8")
    with pytest.raises(ParameterError, match="no web site was tested there"):
        publish_side_by_side(reports[1:], {}, tmp_path / "none")


def test_real_and_fictional_countries_are_told_apart(reports: list[Report], tmp_path: Path) -> None:
    made_up = read_report(_report(tmp_path / "q", "QN", MY, is_fictional=True), "REPORT")
    page = publish_side_by_side([reports[0], made_up], {}, tmp_path / "out")
    assert "No such country exists: <bdi>Fictional country QN</bdi>" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"rules_version": 2}, "has another rules_version"),
        ({"changed_thresholds": {"floor_sessions": 6}}, "has another changed_thresholds"),
        ({"parameters": {"probe_cc": "MY", "since": "2024-01-01", "until": "2024-02-01"}},
         "is of 2024-01-01--2024-02-01"),
        ({"parameters": {"probe_cc": "KH", "since": "2024-01-01", "until": "2024-03-01"}},
         "is a second report of Cambodia"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(
    reports: list[Report], tmp_path: Path, command: Command, run: Mapping[str, object], message: str
) -> None:
    _report(tmp_path / "other", "MY", MY, **run)
    folders = [str(reports[0].folder), str(tmp_path / "other")]
    status, _, said = command("side-by-side", *folders, "--out", str(tmp_path / "out"))
    assert (status, message in said) == (2, True), said
    assert not (tmp_path / "out").exists()
    assert command("side-by-side", folders[0])[0] == 2


def test_the_page_replaces_no_report(
    reports: list[Report], tmp_path: Path, command: Command
) -> None:
    """Nor does a report replace the page."""
    folders = [str(report.folder) for report in reports]
    status, _, said = command("side-by-side", *folders, "--out", folders[0])
    assert (status, "holds pages of another kind" in said) == (2, True)
    assert command("side-by-side", *folders, "--out", str(tmp_path / "out"))[0] == 0
    status, _, said = command("report", f"OUT={tmp_path / 'out'}")
    assert (status, "holds pages of another kind" in said) == (2, True)


# the command ------------------------------------------------------------------------------------

GIVEN = ["SOURCE=ooni", "SINCE=2024-01-01", "UNTIL=2024-03-01"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("EVENTS=a.yml", "EVENTS=a.yml: is one country's own: make that report by itself"),
        ("NETWORKS=a.csv", "NETWORKS=a.csv: is one country's own"),
        ("PREVIOUS=a", "PREVIOUS=a: is one country's own"),
        ("CLAIMS=a.yml", "CLAIMS=a.yml: is one country's own"),
        ("PROBE_CC=KH,KH", "PROBE_CC=KH,KH: each country once, such as KH,MY,VN"),
        ("PROBE_CC=KH,", "PROBE_CC=KH,: each country once"),
        ("PROBE_CC=KH,XY", "PROBE_CC=XY: a country is two letters"),
        ("UNTIL=2024-02-30", "UNTIL=2024-02-30: a date is written"),
    ],
)
def test_what_is_of_one_country_is_refused(argument: str, message: str) -> None:
    with pytest.raises(ParameterError) as error:
        plan_reports(["PROBE_CC=KH,MY", *GIVEN, argument])
    assert str(error.value).startswith(message)


def test_each_country_has_its_own(tmp_path: Path) -> None:
    """Folders, and of the test lists its own and the general ones."""
    assert plan_reports(["PROBE_CC=KH", *GIVEN]) is None
    plan = plan_reports(["PROBE_CC=MY,kh", *GIVEN, "TEST_LIST=l/kh.csv,l/my.csv,l/global.csv"])
    assert plan is not None
    assert [one.probe_cc for one in plan.settings] == ["KH", "MY"]
    assert [one.out.parts[-2:] for one in plan.settings] == [
        ("kh", "2024-01-01--2024-03-01"), ("my", "2024-01-01--2024-03-01"),
    ]  # fmt: skip
    assert plan.out.parts[-3:] == ("side-by-side", "kh-my", "2024-01-01--2024-03-01")
    lists = [[Path(part).name for part in one.study.test_list.split(",")] for one in plan.settings]
    assert lists == [["kh.csv", "global.csv"], ["my.csv", "global.csv"]]
    moved = plan_reports(["PROBE_CC=MY,KH", *GIVEN, f"OUT={tmp_path}", "floor_sessions=6"])
    assert moved is not None
    assert [one.out for one in moved.settings] == [tmp_path / "kh", tmp_path / "my"]
    assert moved.out == tmp_path / "side-by-side"


def test_a_country_that_fails_does_not_lose_the_others(
    monkeypatch: pytest.MonkeyPatch, reports: list[Report], tmp_path: Path, command: Command
) -> None:
    """Its error is on the page and on the terminal, and its status is the command's."""
    failing: dict[str, Exception] = {}

    def make(settings: Settings) -> Path:
        if settings.probe_cc in failing:
            raise failing[settings.probe_cc]
        made = {report.probe_cc: report.folder for report in reports}
        shutil.copytree(made[settings.probe_cc], settings.out)
        return settings.out / "index.html"

    monkeypatch.setattr(cli, "_report", make)
    for case, (errors, status) in enumerate((
        ({}, 0),
        ({"MY": SourceError("the archive is away")}, 3),
        ({"KH": ContractError("a table would lie")}, 4),
        ({"KH": SourceError("away"), "MY": SourceError("away")}, 3),
    )):  # fmt: skip
        failing.clear()
        failing.update(errors)
        out = tmp_path / f"out{case}"
        ended, printed, said = command("report", "PROBE_CC=KH,MY", *GIVEN, f"OUT={out}")
        assert ended == status
        assert ("side by side: " in printed) == (len(errors) < 2)
        assert all(f"no report. {type(error).__name__}" in said for error in errors.values())
        if 0 < len(errors) < 2:
            page = (out / "side-by-side" / "index.html").read_text(encoding="utf-8")
            assert str(next(iter(errors.values()))) in page
            run = json.loads((out / "side-by-side" / "run.json").read_text(encoding="utf-8"))
            assert run["without_report"].keys() == errors.keys()


# two simulated countries ------------------------------------------------------------------------


def _simulate(folder: Path, code: str, seed: int) -> Path:
    """The tables of a simulated country's three weeks, by the judge of the report."""
    world = folder / "world"
    write_world(world, probe_cc=code, since="2024-05-13", until="2024-06-03", seed=seed,
                network_count=6, name_count=40)  # fmt: skip
    lists = world / "reference"
    settings = parse_settings([
        f"PROBE_CC={code}", "SINCE=2024-05-13", "UNTIL=2024-06-03", f"SOURCE={world / 'archive'}",
        f"STORE={folder / 'store'}", f"NETWORKS={lists / 'networks.csv'}",
        f"FINGERPRINTS={lists / 'fingerprints'}",
    ])  # fmt: skip
    study = open_study(settings.study, jobs=1)
    networks = study.networks()
    judgement = confirm(study, networks, study.thresholds, periods=["all"])
    verdicts = write_table(folder / "tables", "verdicts", judgement.verdicts)
    write_table(folder / "tables", "networks", rank_networks(networks, verdicts))
    months = measurement_counts.count_by_month(study.connection, has_fingerprints=True)
    write_table(folder / "tables", "measurements_by_month", months)
    parameters = {"probe_cc": code, "since": "2024-05-13", "until": "2024-06-03"}
    write_run(folder, {"parameters": parameters, "is_fictional": True, "rules_version": 1,
                       "tables": list_tables(folder / "tables")})  # fmt: skip
    shutil.rmtree(world)
    return folder


def test_two_simulated_countries(tmp_path: Path) -> None:
    """Of different seeds: every count is that of the country's own tables."""
    folders = [_simulate(tmp_path / code, code, seed) for code, seed in (("QM", 5), ("QN", 9))]
    reports = [read_report(folder, "REPORT") for folder in folders]
    page = publish_side_by_side(reports, {}, tmp_path / "out")
    table = read_table(tmp_path / "out" / "tables", "side_by_side").set_index("probe_cc")
    for report in reports:
        row = table.loc[report.probe_cc]
        verdicts = read_table(report.tables, "verdicts")
        networks = read_table(report.tables, "networks")
        access = networks[networks["kind"].isin(["isp", "mobile", "education", "unknown"])]
        whole = verdicts[verdicts["period"] == "all"].merge(access[["probe_asn"]])
        listed = whole[whole["state"].isin(["blocked", "likely_blocked"])]
        assert row["blocked_domain_count"] == listed["domain"].nunique() > 0
        assert row["blocked_pair_count"] == len(listed)
        assert row["blocked_network_count"] == (access["blocked_domain_count"] > 0).sum()
        assert row["blocked_count"] == listed["blocked_count"].sum()
        assert row["is_fictional"]
    # seeds give names of their own
    assert (table["common_domain_count"] == 0).all()
    assert "No site was tested enough in every country" in page.read_text(encoding="utf-8")
    mechanisms = read_table(tmp_path / "out" / "tables", "side_by_side_mechanisms")
    shares = mechanisms.groupby("probe_cc")["pair_share"].sum()
    assert (abs(shares - 1) < 1e-3).all()
