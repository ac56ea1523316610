"""Countries side by side: what all tested, for as many tests, in no order but the alphabet."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from analysis.commands import cli
from analysis.commands.settings import Settings
from analysis.commands.side_by_side import plan_reports, publish_side_by_side
from analysis.errors import ContractError, ParameterError, SourceError
from analysis.pages.replacing import list_tables, write_run
from analysis.review.countries_page import compare_countries
from analysis.review.reports import Report, read_report
from analysis.tables import write_table
from tests.archives import contents
from tests.conftest import Command
from tests.table_rows import table_rows

# countries at hand ------------------------------------------------------------------------------


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
        write_table(folder / "tables", name, table_rows(name, *rows))
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
    counts = {
        "common_domain_count": [3, 3], "common_blocked_domain_count": [2, 2],
        "common_pair_count": [4, 3], "common_blocked_pair_count": [2, 2], "pair_count": [6, 5],
        "own_domain_count": [0, 1], "blocked_measurement_share": [0.5, 0.4],
        "blocked_domain_count": [3, 2], "network_count": [2, 1],
    }  # fmt: skip
    assert table.loc[["KH", "MY"], list(counts)].to_dict("list") == counts
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
    for words in ("the source has &lt;b&gt;nothing&lt;/b&gt;", 'href="../kh/x/index.html"'):
        assert words in html
    assert not re.search("<b>nothing|\u202e|sites/", html)
    before = contents(page.parent)
    publish_side_by_side(reports[::-1], failed, tmp_path / "side-by-side")
    assert contents(page.parent) == before


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


def test_what_is_of_one_country_is_refused() -> None:
    for argument, message in (
        ("EVENTS=a.yml", "EVENTS=a.yml: is one country's own: make that report by itself"),
        ("NETWORKS=a.csv", "NETWORKS=a.csv: is one country's own"),
        ("PREVIOUS=a", "PREVIOUS=a: is one country's own"),
        ("CLAIMS=a.yml", "CLAIMS=a.yml: is one country's own"),
        ("PROBE_CC=KH,KH", "PROBE_CC=KH,KH: each country once, such as KH,MY,VN"),
        ("PROBE_CC=KH,", "PROBE_CC=KH,: each country once"),
        ("PROBE_CC=KH,XY", "PROBE_CC=XY: a country is two letters"),
        ("UNTIL=2024-02-30", "UNTIL=2024-02-30: a date is written"),
    ):
        with pytest.raises(ParameterError, match=f"^{re.escape(message)}"):
            plan_reports(["PROBE_CC=KH,MY", *GIVEN, argument])


def test_each_country_has_its_own(tmp_path: Path) -> None:
    """Folders, and of the test lists its own and the general ones."""
    assert plan_reports(["PROBE_CC=KH", *GIVEN]) is None
    plan = plan_reports(["PROBE_CC=MY,kh", *GIVEN, "TEST_LIST=l/kh.csv,l/my.csv,l/global.csv"])
    assert [one.probe_cc for one in plan.settings] == ["KH", "MY"]
    assert [one.out.parts[-2:] for one in plan.settings] == [
        ("kh", "2024-01-01--2024-03-01"), ("my", "2024-01-01--2024-03-01"),
    ]  # fmt: skip
    assert plan.out.parts[-3:] == ("side-by-side", "kh-my", "2024-01-01--2024-03-01")
    lists = [[Path(part).name for part in one.study.test_list.split(",")] for one in plan.settings]
    assert lists == [["kh.csv", "global.csv"], ["my.csv", "global.csv"]]
    moved = plan_reports(["PROBE_CC=MY,KH", *GIVEN, f"OUT={tmp_path}", "floor_sessions=6"])
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
    away, lying = SourceError("the archive is away"), ContractError("a table would lie")
    for place, (errors, status) in enumerate((
        ({}, 0), ({"MY": away}, 3), ({"KH": lying}, 4), ({"KH": away, "MY": away}, 3),
    )):  # fmt: skip
        failing.clear()
        failing.update(errors)
        out = tmp_path / f"out{place}"
        ended, printed, said = command("report", "PROBE_CC=KH,MY", *GIVEN, f"OUT={out}")
        assert (ended, "side by side: " in printed) == (status, len(errors) < 2)
        assert said.count("no report. ") == len(errors)
        if len(errors) == 1:
            page = (out / "side-by-side" / "index.html").read_text(encoding="utf-8")
            assert all(str(error) in page for error in errors.values())
