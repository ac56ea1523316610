"""What a researcher does with a report: asks why, looks around."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
import pytest

from analysis.commands.judging import explain
from analysis.errors import ParameterError
from analysis.reference.reference_files import REPOSITORY
from analysis.report.findings import READ_TABLES
from analysis.tables import WRITTEN_BY, read_table
from tests.conftest import Command


@pytest.fixture(scope="module")
def verdicts(fictional_report: Path) -> pd.DataFrame:
    """The published verdicts for the whole period."""
    table = read_table(fictional_report / "tables", "verdicts")
    return table[table["period"] == "all"]


@pytest.fixture
def no_store(tmp_path: Path) -> list[str]:
    """Arguments that name a store with nothing in it."""
    return [f"STORE={tmp_path / 'empty'}"]


def _edited(report: Path, folder: Path, name: str, old: str, new: str) -> Path:
    """A copy of the report's record and tables, with another text in one of them."""
    copy = folder / "report"
    shutil.copytree(report / "tables", copy / "tables")
    shutil.copy(report / "run.json", copy)
    text = (copy / name).read_text(encoding="utf-8")
    assert old in text
    (copy / name).write_text(text.replace(old, new), encoding="utf-8")
    return copy


def test_an_app_is_explained_from_its_own_tables(fictional_report: Path, command: Command) -> None:
    """By OONI's name or a reader's: each network, its stretches, the endpoints they cut off."""
    intervals = read_table(fictional_report / "tables", "messaging_intervals")
    row = intervals[intervals["endpoint_count"] == 12].iloc[0]  # Telegram's
    out = ["--out", str(fictional_report)]
    status, said, _ = command("explain", "Telegram", "--asn", f"AS{row.probe_asn}", *out)
    assert status == 0
    for words in (
        f"(AS{row.probe_asn}): Likely blocked",
        f"{row.cut_endpoint_count} of {row.endpoint_count} endpoints cut off: ",
        f"  app, {row.blocked_from_time} to {row.blocked_until_time}: ",
        *row.cut_endpoints.split(";"),
    ):
        assert words in said
    status, said, _ = command("explain", "telegram", *out)
    assert said.count("\n\n") > 2
    status, _, complaint = command("explain", "signal", "--asn", "AS1", *out)
    assert (status, "signal was tested on AS" in complaint) == (2, True)


def test_a_listing_leads_down_to_its_sessions(
    fictional_report: Path, verdicts: pd.DataFrame, command: Command
) -> None:
    """Through the command line, for the pair of the user guide: state, rule and why, counts, dates,
    and a line per session with what was seen; as many blocked ones as were published."""
    guide = (REPOSITORY / "docs" / "user-guide.md").read_text(encoding="utf-8")
    pair = re.search(r"analysis explain (\S+) --asn (\S+)\n", guide)
    is_pair = (verdicts["domain"] == pair[1]) & (
        verdicts["probe_asn"] == int(pair[2].removeprefix("AS"))
    )
    row = verdicts[is_pair & (verdicts["state"] == "blocked")].iloc[0]
    store = fictional_report.parent / "store"
    status, said, complaint = command(
        "explain",
        f"https://{row.domain.upper()}/x",
        f"STORE={store}",
        "--asn",
        pair[2],
        "--out",
        str(fictional_report),
    )
    assert (status, complaint) == (0, "")
    for words in (
        f"{row.domain}  in ",
        "On the list: blocked or likely blocked on ",
        f"rule {row.rule_id}: ",
        f"{row.blocked_session_count} blocked, {row.down_session_count} down",
        f"At least {row.sessions_to_flip} forged session",
        f"witness: {row.witness_report_id}",
    ):
        assert words in said
    assert re.search(
        r"^    any: \d+ of \d+ sessions that count failed\n      .* sessions failed", said, re.M
    )
    assert re.search(r"Seen from .*: \d+ of \d+ sessions could not reach the site \(.*\)\. ", said)
    sessions = re.findall(
        r"^    \d{4}-\d\d-\d\d  (blocked|reachable|down|unclear|tells)", said, re.M
    )
    assert len(sessions) == row.session_count
    assert sessions.count("blocked") == row.blocked_session_count
    assert f"{row.rule_id}: resolver: " in said or f"{row.rule_id}: page" in said
    assert said.count(row.witness_report_id) > 1, "each measurement is named"
    status, printed, _ = command(
        "explain",
        row.domain,
        f"STORE={store}",
        "--asn",
        f"AS{row.probe_asn}",
        "--json",
        "--out",
        str(fictional_report),
    )
    told = json.loads(printed)
    assert (status, told["verdicts"][0]["state"]) == (0, "blocked")
    measurements = told["measurements"][f"AS{row.probe_asn}"]
    assert len(measurements) == row.measurement_count
    assert row.witness_report_id in {one["report_id"] for one in measurements}


@pytest.mark.parametrize("state", ["insufficient", "impaired", "down", "ok"])
def test_what_is_not_listed_says_why(
    fictional_report: Path, verdicts: pd.DataFrame, no_store: list[str], state: str
) -> None:
    """The reason in words, and for a pair below the floor the numbers that fell short of it; from
    the tables alone where there is no store, which is said."""
    aside = read_table(fictional_report / "tables", "set_aside")["domain"]
    is_such = (verdicts["state"] == state) & (verdicts["set_aside_reason"] != "")
    row = verdicts[is_such & verdicts["domain"].isin(aside)].iloc[0]
    said = explain(row.domain, str(row.probe_asn), fictional_report, no_store)
    assert "  the site is set aside: " in said
    assert "From the tables alone: the store holds no observations" in said
    assert not re.search(r"^    \d{4}-", said, re.M)
    if state == "insufficient":
        assert "evidence floor: 4 sessions of one class on 3 days" in said
        assert f"{row.ok_session_count} reachable (lower bound " in said


def test_a_listed_site_is_not_set_aside_on_other_networks(
    fictional_report: Path, verdicts: pd.DataFrame, no_store: list[str]
) -> None:
    """The reasons in the verdicts are those of a site that is not in the annex."""
    listed = read_table(fictional_report / "tables", "blocked_sites")["domain"]
    of_listed = verdicts[verdicts["domain"].isin(listed) & (verdicts["set_aside_reason"] != "")]
    for (reason, _), rows in of_listed.groupby(["set_aside_reason", "state"]):
        row = rows.iloc[0]
        said = explain(row.domain, str(row.probe_asn), fictional_report, no_store)
        assert "On the list: " in said
        assert "set aside" not in said
        assert ("no access network of the country" in said) == (reason == "not_domestic")


def test_another_store_is_not_passed_off_as_the_reports(
    fictional_report: Path, verdicts: pd.DataFrame, tmp_path: Path
) -> None:
    """Where the observations at hand do not give the published counts, no session is listed."""
    row = verdicts[verdicts["state"] == "blocked"].iloc[0]
    start = f"{row.domain},AS{row.probe_asn},all,{row.state},{row.mechanism},{row.rule_id},"
    count = int(row.measurement_count)
    old, new = f"{start}{count},", f"{start}{count + 1},"
    copy = _edited(fictional_report, tmp_path, "tables/verdicts.csv", old, new)
    arguments = [f"STORE={fictional_report.parent / 'store'}"]
    said = explain(row.domain, f"AS{row.probe_asn}", copy, arguments)
    assert "do not give the published counts" in said
    assert not re.search(r"^    \d{4}-", said, re.M)


def test_what_was_never_tested_is_not_explained(
    fictional_report: Path, verdicts: pd.DataFrame, no_store: list[str]
) -> None:
    """A name or network without a test gets no state at all, and near names are pointed at."""
    tested = set(verdicts["domain"])
    name = next(
        name
        for name in sorted(tested)
        if name.startswith("www.") and name.removeprefix("www.") not in tested
    )
    with pytest.raises(ParameterError, match="was never tested in this report") as caught:
        explain(name.removeprefix("www."), "", fictional_report, no_store)
    assert "; did you mean " in str(caught.value)
    assert name in str(caught.value)
    with pytest.raises(ParameterError, match=f"--asn=4: {re.escape(name)} was tested on AS"):
        explain(name, "4", fictional_report, no_store)


def test_a_name_that_is_none_is_refused(fictional_report: Path) -> None:
    """Nothing of it can act on the terminal."""
    for domain in ("", "\x1b[31m", "a b", "x" * 9000, "no-dot"):
        with pytest.raises(ParameterError, match="a host name or a URL is accepted") as caught:
            explain(domain, "", fictional_report, [])
        assert "\x1b" not in str(caught.value)


def test_hostile_text_in_the_tables_is_shown_as_text(
    fictional_report: Path, verdicts: pd.DataFrame, no_store: list[str], tmp_path: Path
) -> None:
    """A report may come from anybody: no control character of it reaches the terminal."""
    row = verdicts[verdicts["state"] == "blocked"].iloc[0]
    evil = "\x1b]0;owned\x07\u202e"
    copy = _edited(fictional_report, tmp_path, "tables/verdicts.csv", row.witness_input, evil)
    said = explain(row.domain, f"AS{row.probe_asn}", copy, no_store)
    assert "owned" in said
    assert all(char.isprintable() or char == "\n" for char in said)


# --- The notebooks as articles, and the one that is there to look around. -------------------------

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def _cells(notebook: Path, kind: str) -> list[Any]:
    cells = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    return [
        cell
        for cell in cells
        if cell.cell_type == kind and "parameters" not in cell.metadata.get("tags", [])
    ]


def test_a_notebook_reads_what_those_before_it_wrote() -> None:
    """They run in the order of their names, in a report and in JupyterLab. Each writes the tables
    that are said to be its own."""
    for notebook in NOTEBOOKS[1:]:
        code = "\n".join(cell.source for cell in _cells(notebook, "code"))
        read = set(re.findall(r'read_table\(tables, "(\w+)"\)', code))
        if "read_tables(" in code:
            read |= {*READ_TABLES}
        written = set(re.findall(r'write_table\(tables, "(\w+)"', code))
        assert {WRITTEN_BY[name] for name in read} <= {one.stem for one in NOTEBOOKS[1:]}
        assert max((WRITTEN_BY[name] for name in read), default="") <= notebook.stem
        assert {WRITTEN_BY[name] for name in written} <= {notebook.stem}


def test_one_can_look_around(fictional_report: Path, tmp_path: Path) -> None:
    """0-start runs as JupyterLab runs it, ends its cells in plain frames, and names the tables on a
    measurement's way."""
    start = NOTEBOOKS[0]
    before = start.read_bytes(), sorted(start.parent.iterdir())
    executed = papermill.execute_notebook(
        start,
        tmp_path / "done.ipynb",
        kernel_name="python3",
        progress_bar=False,
        cwd=str(start.parent),
        parameters={"store": str(fictional_report.parent / "store")},
    )
    assert (start.read_bytes(), sorted(start.parent.iterdir())) == before
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    frames = [o.data["text/plain"] for o in outputs if o.output_type == "execute_result"]
    assert len(frames) >= 6
    (tables,) = [frame for frame in frames if "row_count" in frame and "outcomes" in frame]
    names = {"observations", "profiled", "outcomes", "sessions", "verdicts", "intervals", "rules"}
    assert names <= set(re.findall(r"\w+", tables))
    assert any("published_state" in frame for frame in frames)
    # What is shown has the look of a page, whose style comes once.
    html = [
        o.data["text/html"]
        for o in outputs
        if o.output_type == "display_data" and "text/html" in o.data
    ]
    assert [part.count("<style>") for part in html] == [1] * len(html)
    assert all('<div class="workbook">' in part for part in html)
