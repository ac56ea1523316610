"""Reports held against a draft, against an earlier report and beside those of other countries."""

import json
import shutil
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import ParameterError
from analysis.pages.replacing import list_tables, write_run
from analysis.review.audits import audit_claims, count_results, show_audit
from analysis.review.changes import compare_reports, find_causes
from analysis.review.claims import DRAFTS, Draft, check, load_draft
from analysis.review.countries_page import compare_countries, hold_side_by_side
from analysis.review.reports import Report, read_report
from analysis.tables import TABLES, write_table
from tests.archives import contents
from tests.conftest import Command
from tests.table_rows import table_rows

HEAD = """\
document: A draft
source: invented
probe_cc: KH
since: 2024-01-01
until: 2024-07-01
claims:
"""
N = Decimal


def _draft(folder: Path, *claims: str) -> Draft:
    path = folder / "draft.yml"
    path.write_text(HEAD + "".join(claims), encoding="utf-8")
    return load_draft(path)


def _claim(relation: str, values: str, id: str = "one", claim: str = "Something.") -> str:
    return (
        f"  - id: {id}\n    where: page 1\n    claim: {json.dumps(claim)}\n"
        f"    relation: {relation}\n    values: {values}\n"
    )


def _report(folder: Path, states: dict[str, str], **run: Any) -> Report:
    """A report in which each site was judged on AS1 and is listed where it was found blocked."""
    cells = [
        {"domain": domain, "probe_asn": "AS1", "period": "all", "state": state}
        for domain, state in states.items()
    ]
    listed = [
        {"domain": cell["domain"], "state": cell["state"], "probe_asns": "AS1"}
        for cell in cells
        if cell["state"] in ("blocked", "likely_blocked")
    ]
    write_table(folder / "tables", "verdicts", table_rows("verdicts", *cells))
    write_table(folder / "tables", "blocked_sites", table_rows("blocked_sites", *listed))
    record = {
        "parameters": {"probe_cc": "KH", "since": "2024-01-01", "until": "2024-07-01"},
        "input_digest": "a",
        "rules_version": 1,
        "findings": {"blocked_domain_count": {"value": len(listed), "table": "blocked_sites"}},
        "tables": list_tables(folder / "tables"),
        **run,
    }
    first = '<nav class="set">of before</nav>the summary'
    (folder / "index.html").write_text(first, encoding="utf-8")
    write_run(folder, record)
    return read_report(folder, "REPORT")


# relations --------------------------------------------------------------------------------------


_RELATIONS = [
    ("sum", {"whole": N(5), "parts": [N(2), N(3)]}, "holds"),
    ("sum", {"whole": N(6), "parts": [N(2), N(3)]}, "does_not_hold"),
    ("equal", {"said": N("5.0"), "found": N(5)}, "holds"),
    ("equal", {"said": "S.I Group", "found": "s.i group"}, "holds"),
    ("equal", {"said": N(5), "found": "five"}, "does_not_hold"),
    ("at_most", {"part": N(5), "whole": N(5)}, "holds"),
    ("less_than", {"part": N(5), "whole": N(5)}, "does_not_hold"),
    ("less_than", {"part": N(4), "whole": N(5)}, "holds"),
    ("share", {"percent": N("2.9"), "part": N(8305), "whole": N(289357)}, "holds"),
    ("share", {"percent": N("2.90"), "part": N(8305), "whole": N(289357)}, "does_not_hold"),
    ("share", {"percent": N(82), "whole": N(77)}, "holds"),
    ("share", {"percent": N(50), "whole": N(3)}, "does_not_hold"),
    ("share", {"percent": N(50), "part": N(0), "whole": N(0)}, "cannot_be_checked"),
    ("union", {"whole": N(63), "parts": [N(64), N(58)]}, "does_not_hold"),
    ("union", {"whole": N(65), "parts": [N(64), N(58)]}, "cannot_be_checked"),
    ("union", {"whole": N(123), "parts": [N(64), N(58)]}, "does_not_hold"),
    ("union", {"whole": N(28), "parts": [N(21), N(27)], "shared": N(20)}, "holds"),
    ("union", {"whole": N(31), "parts": [N(21), N(27)], "shared": N(21)}, "does_not_hold"),
    ("distinct", {"count": N(2), "names": ["a.org", "https://A.org/", "b.org"]}, "holds"),
    ("distinct", {"count": N(2), "names": ["a.org", "aa.org"], "same_as": {"aa.org": "a.org"}},
     "does_not_hold"),
    ("largest", {"counts": [N(5), N(3)], "whole": N(17), "classes": N(5)}, "holds"),
    ("largest", {"counts": [N(5), N(3)], "whole": N(18), "classes": N(5)}, "does_not_hold"),
    ("largest", {"counts": [N(5), N(3)], "whole": N(7), "classes": N(5)}, "does_not_hold"),
    ("at_most", {"part": N(5), "whole": "many"}, "cannot_be_checked"),
    ("not_checkable", {"why": "Nobody counted."}, "cannot_be_checked"),
    ("share", {"percent": N("999999999999999.999999"), "whole": N("0.000001"),
               "part": N(10**15 - 1)}, "does_not_hold"),
]  # fmt: skip


def test_a_relation() -> None:
    for relation, values, result in _RELATIONS:
        assert check(relation, values)[0] == result, (relation, values)


# a draft ----------------------------------------------------------------------------------------


_MISTAKES = [
    ("  - id: one\n", "line 7: a claim must have exactly id, where, claim, relation, values"),
    (_claim("sums", "{}"), "line 10: 'sums' is none of sum, equal"),
    (_claim("sum", "{whole: 1}"), "line 11: values of sum must have exactly whole, parts"),
    (_claim("sum", "{whole: 1, whole: 1, parts: [1]}"), "line 11: values of sum must have"),
    (_claim("sum", "{whole: 1, parts: 1}"), "line 11: values must be a list"),
    (_claim("sum", "{whole: &a 1, parts: [*b]}"), "line 11: not YAML: found undefined alias"),
    (_claim("sum", "{whole: 1, parts: [1]}") * 2, "line 12: the id one is there already"),
    (_claim("equal", "{said: 1, found: {report: nothing, sum: x}}"), "a report has no table"),
    (_claim("equal", "{said: 1, found: {report: networks, sum: x}}"), "has no column x"),
    (_claim("equal", "{said: 1, found: {published: ../../x.csv, sum: x}}"), "no CSV"),
    (_claim("equal", "{said: 1, found: [1"), "not YAML"),
]


def test_a_mistake_in_the_file_names_its_line(tmp_path: Path) -> None:
    for text, message in _MISTAKES:
        with pytest.raises(ParameterError, match=r"^CLAIMS=.*draft\.yml: line \d+: ") as error:
            _draft(tmp_path, text)
        assert message in str(error.value)


def test_a_draft_is_held_against_published_counts_and_a_report(tmp_path: Path) -> None:
    """One of another country or period says nothing; nor is one needed for arithmetic."""
    (tmp_path / "own.csv").write_text("year,runs\n2023,40\n2024,2\n", encoding="utf-8")
    listed = "{said: 1, found: {report: blocked_sites, count: domain}}"
    draft = _draft(
        tmp_path,
        _claim("equal", "{said: 42, found: {published: own.csv, sum: runs}}", "sum"),
        _claim("sum", "{whole: 42, parts: [{published: own.csv, each: runs}]}", "each"),
        _claim("equal", "{said: 2, found: {published: own.csv, value: runs}}", "value"),
        _claim("equal", listed, "listed"),
        _claim("equal", "{said: blocked, found: {report: blocked_sites, value: state, "
               "where: {domain: [b.org]}}}", "state"),
    )  # fmt: skip
    report = _report(tmp_path / "report", {"a.org": "blocked", "b.org": "ok"})
    alone, held = (audit_claims(draft, one).set_index("claim_id") for one in (None, report))
    assert held["result"].to_dict() == {
        "sum": "holds", "each": "holds", "value": "cannot_be_checked", "listed": "holds",
        "state": "cannot_be_checked",
    }  # fmt: skip
    assert alone.loc["listed", "result"] == "cannot_be_checked"
    other = Report(report.folder, {"parameters": {**report.run["parameters"], "probe_cc": "TH"}})
    foreign = audit_claims(draft, other).set_index("claim_id").loc["listed"]
    assert foreign["result"] == "cannot_be_checked"
    assert "the report is of Thailand" in foreign["arithmetic"]


def test_hostile_statements_are_inert(tmp_path: Path) -> None:
    """Markup, formulas and characters that reorder text, in a statement, a value and a table."""
    evil = "=cmd()<script>alert(1)</script>\u202e"
    (tmp_path / "own.csv").write_text(f'name\n"{evil}{"x" * 9000}"\n1E999999999\n', "utf-8")
    lookup = "{published: own.csv, value: name, where: {name: 1E999999999}}"
    draft = _draft(
        tmp_path,
        _claim("equal", json.dumps({"said": f"{evil}\ud800", "found": evil}), "same", evil),
        _claim("distinct", "{count: 2, names: [{published: own.csv, each: name}]}", "names"),
        _claim("equal", f"{{said: 1, found: {lookup}}}", "huge"),
    )
    audited = write_table(tmp_path, "claims_audit", audit_claims(draft, None))
    assert audited["arithmetic"].str.len().max() < 2_000
    html = "".join(content for _, content in show_audit(draft, audited))
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\n=cmd" not in (tmp_path / "claims_audit.csv").read_text("utf-8").replace(",", "\n")


def test_shipped_drafts_are_read() -> None:
    """Without a report, arithmetic and published counts are enough to find something wrong."""
    for path in DRAFTS.glob("*.yml"):
        assert count_results(audit_claims(load_draft(path), None))["does_not_hold"] > 0, path
    audited = audit_claims(load_draft(DRAFTS / "kh-2024-api.yml"), None)
    results = audited.set_index("claim_id")["result"]
    wrong = ["month-8", "year-2", "isps-1", "category-2", "names-1", "people-1", "imap-2"]
    assert set(results[wrong]) == {"does_not_hold"}
    assert set(results[["month-1", "year-1", "year-3", "blocked-2"]]) == {"holds"}


def test_the_command_writes_a_page_and_its_table(command: Any, tmp_path: Path) -> None:
    """Alone into OUT; with a report into it, the rest of which is as it was."""
    _draft(tmp_path, _claim("sum", "{whole: 3, parts: [1, 1]}"))
    report = _report(tmp_path / "report", {"a.org": "blocked"})
    claims, out = f"CLAIMS={tmp_path / 'draft.yml'}", tmp_path / "out"
    status, printed, _ = command("audit", claims, f"OUT={out}")
    assert (status, printed.splitlines()[0]) == (0, "Does not hold: 1")
    before = contents(report.folder).keys()
    assert command("audit", claims, f"REPORT={report.folder}")[0] == 0
    after = contents(report.folder)
    assert after.keys() - before == {"claims-audit.html", "tables/claims_audit.csv"}
    first = after["index.html"].decode()
    assert '<li><a href="claims-audit.html">Claims of a draft</a></li>' in first
    assert first.endswith("</nav>the summary")
    assert "claims_audit.csv" in read_report(report.folder, "REPORT").run["tables"]
    for wrong in ("OUT=x", "CLAIMS=nowhere.yml", "PROBE_CC=KH"):
        assert command("audit", wrong)[0] == 2
    run = json.loads((report.folder / "run.json").read_bytes())
    run["parameters"]["probe_cc"] = "TH"
    (report.folder / "run.json").write_text(json.dumps(run), "utf-8")
    status, _, said = command("audit", claims, f"REPORT={report.folder}")
    assert (status, "is of Thailand, the draft of" in said) == (2, True)


# two reports ------------------------------------------------------------------------------------


def test_a_change_has_the_cause_that_differs(tmp_path: Path) -> None:
    before = _report(tmp_path / "a", {"in.org": "ok", "out.org": "blocked", "same.org": "blocked"})
    states = {"in.org": "likely_blocked", "same.org": "blocked"}
    after = _report(tmp_path / "b", states, input_digest="b")
    changes = compare_reports(before, after)
    assert changes[["kind", "item", "before", "after"]].to_numpy().tolist() == [
        ["site", "in.org", "not listed", "Likely blocked"],
        ["site", "out.org", "Blocked", ""],
        ["site_network", "in.org AS1", "", "Likely blocked"],
        ["site_network", "out.org AS1", "Blocked", ""],
    ]
    assert set(changes["cause"]) == {"data"}
    assert list(write_table(tmp_path, "changes", changes)) == list(TABLES["changes"].columns)


@pytest.mark.parametrize(
    ("run", "causes"),
    [
        ({}, []),
        ({"rules_version": 2}, ["method"]),
        ({"apps_digest": "b"}, ["data"]),
        ({"changed_thresholds": {"floor_sessions": 8}}, ["method"]),
        ({"reference": [{"digest": "c"}]}, ["reference"]),
        ({"input_digest": "b", "code_version": "2"}, ["data", "method"]),
    ],
)
def test_causes_are_read_from_the_runs(
    tmp_path: Path, run: dict[str, Any], causes: list[str]
) -> None:
    before = _report(tmp_path / "a", {"a.org": "blocked"})
    after = _report(tmp_path / "b", {"a.org": "ok"}, **run)
    assert list(find_causes(before, after)) == causes
    assert set(compare_reports(before, after)["cause"]) == {";".join(causes) or "method"}


def test_a_decision_is_a_cause(tmp_path: Path) -> None:
    """It stands beside what else moved the site; one that does not hold here is none."""
    before = _report(tmp_path / "a", {"a.org": "blocked", "b.org": "blocked"})
    after = _report(tmp_path / "b", {"a.org": "ok", "b.org": "blocked"}, input_digest="b")
    decided = [("a.org", "relabel", "applied"), ("b.org", "leave_out", "applied"),
               ("F2", "reword", "applied"), ("F3", "keep", "not_applied")]  # fmt: skip
    rows = [dict(zip(("item", "decision", "status"), row, strict=True)) for row in decided]
    write_table(after.tables, "decisions", table_rows("decisions", *rows))
    changes = compare_reports(before, after).set_index("item")["cause"]
    assert changes[["a.org", "b.org", "F2"]].tolist() == ["data;decision", "decision", "decision"]
    assert "F3" not in changes


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("run.json", '"KH"', '"TH"', "is of Thailand, not of Cambodia"),
        ("run.json", '"parameters"', '"findings": {"a": 1}, "parameters"', "not that of a report"),
        ("run.json", '"tables": {', '"tables": {"x.csv": [],', "not that of a report"),
        ("run.json", "{", "[" * 99_999, "not that of a report"),
        ("tables/blocked_sites.csv", ",blocked,", ",\x1b[31m,", "there is no state '"),
        ("tables/blocked_sites.csv", "domain,", "domain,domain,", "blocked_sites.csv is not as"),
        ("tables/verdicts.csv", "session_count", "x", "verdicts.csv is not as the workbook"),
        ("tables/verdicts.csv", "AS1", "AS2", "is not the one that its run.json names"),
        ("tables/verdicts.csv", None, None, "tables/verdicts.csv is missing"),
    ],
)
def test_an_earlier_report_of_anybodys_is_refused(
    command: Any, tmp_path: Path, name: str, old: str | None, new: str, message: str
) -> None:
    """In one sentence: another team has sent it, and somebody may have changed it.

    An earlier version noted no digest of a table.
    """
    is_noted = "its run.json" in message
    report = _report(tmp_path / "a", {"a.org": "blocked"}, **({} if is_noted else {"tables": {}}))
    status, printed, _ = command("compare", str(report.folder), str(report.folder))
    assert (status, printed.count("0 changed")) == (0, 4)
    shutil.copytree(report.folder, tmp_path / "b")
    file = tmp_path / "b" / name
    if old is None:
        file.unlink()
    else:
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")
    status, _, said = command("compare", str(tmp_path / "b"), str(tmp_path / "a"))
    assert (status, said.count("\n"), said.strip().isprintable()) == (2, 1, True)
    assert message in said


# --- Countries side by side: what all tested, for as many tests, in no order but the alphabet. ----

# countries at hand ------------------------------------------------------------------------------


def _country_report(
    folder: Path, code: str, cells: Mapping[tuple[str, str], str], **run: object
) -> Path:
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
    folders = (
        _country_report(tmp_path / "kh" / "x", "KH", KH),
        _country_report(tmp_path / "my" / "x", "MY", MY),
    )
    return [read_report(folder, "REPORT") for folder in folders]


def test_the_same_sites_are_compared(reports: list[Report]) -> None:
    """On access networks; a site that one country tested too little counts in neither."""
    tables = compare_countries(reports)
    counts = {
        "common_domain_count": [3, 3], "common_blocked_domain_count": [2, 2],
        "common_pair_count": [4, 3], "common_blocked_pair_count": [2, 2], "pair_count": [6, 5],
        "own_domain_count": [0, 1], "blocked_measurement_share": [0.5, 0.4],
        "blocked_domain_count": [3, 2], "network_count": [2, 1],
    }  # fmt: skip
    countries = tables["side_by_side"].set_index("probe_cc")
    assert countries.loc[["KH", "MY"], list(counts)].to_dict("list") == counts
    listed = tables["side_by_side_sites"]
    sites = listed.set_index(["domain", "probe_cc"])["state"].to_dict()
    assert sites["c.org", "KH"] == sites["c.org", "MY"] == "blocked"
    assert ("e.org", "MY") not in sites
    assert set(listed.loc[~listed["is_common"], "domain"]) == {"d.org"}


def test_the_page_ranks_nobody(reports: list[Report], tmp_path: Path) -> None:
    """The alphabet it is, each country by its name, in whatever order they are given."""
    folders = [report.folder for report in reports]
    page = hold_side_by_side(folders, tmp_path / "side-by-side")
    html = page.read_text(encoding="utf-8")
    assert html.index("Cambodia 2 (66.7 %)") < html.index("Malaysia 2 (66.7 %)")
    assert 'href="../kh/x/index.html"' in html
    before = contents(page.parent)
    hold_side_by_side(folders[::-1], tmp_path / "side-by-side")
    assert contents(page.parent) == before


def test_real_and_fictional_countries_are_told_apart(reports: list[Report], tmp_path: Path) -> None:
    made_up = _country_report(tmp_path / "q", "QN", MY)
    page = hold_side_by_side([reports[0].folder, made_up], tmp_path / "out")
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
    _country_report(tmp_path / "other", "MY", MY, **run)
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
