"""What docs/extending.md tells people to write works as it stands there."""

import importlib.util
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from analysis.errors import ParameterError
from analysis.languages import translations as catalogue
from analysis.languages.language import open_language
from analysis.outcomes.outcomes import add_outcomes
from analysis.outcomes.rules import RULES, Rule
from analysis.outcomes.thresholds import Thresholds
from analysis.pages.editions import Edition
from analysis.pages.publishing import Contents, publish
from analysis.period import Period
from analysis.reference.events import load_events
from analysis.reference.networks import load_networks
from analysis.reference.test_lists import load_local_sites
from analysis.tables import write_table
from tests.observations import connection_with, http_observation
from tests.situations import fingerprints_for

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "reports" / "README.md"])


def _blocks(recipe: str, language: str = "python") -> list[str]:
    """The blocks of code in that language under a heading of docs/extending.md."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {recipe}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in blocks]


def _run(code: str) -> dict[str, Any]:
    """The names that a block defines."""
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_a_rule() -> None:
    """The rule fires in its place, and the others do as before."""
    rule: Rule = eval(_blocks("A rule")[0], {"Rule": Rule})
    place = [one.rule_id for one in RULES].index("http.https")
    connection = connection_with([http_observation(http_status=503), http_observation()])
    rules = (*RULES[:place], rule, *RULES[place:])
    add_outcomes(connection, Thresholds(), fingerprints_for(1), rules).use(connection)
    fired = connection.execute("SELECT http_rule FROM outcomes ORDER BY row_id").fetchall()
    assert [fired[0], fired[1] == fired[0]] == [(rule.rule_id,), False]


def test_a_threshold(tmp_path: Path) -> None:
    """One declaration is enough to be read, checked and printed."""
    source = (ROOT / "analysis" / "outcomes" / "thresholds.py").read_text(encoding="utf-8")
    first = re.search(r"^    floor_sessions: int", source, re.MULTILINE)
    assert first
    field = textwrap.indent(_blocks("A threshold")[0], "    ")
    (tmp_path / "changed.py").write_text(
        f"{source[: first.start()]}{field}{source[first.start() :]}", encoding="utf-8"
    )
    asked = (
        "import changed\n"
        "numbers = changed.Thresholds().changed_by({'quiet_days': '7'})\n"
        "print(numbers.changes(), 'quiet_days' in set(numbers.table()['name']))\n"
        "changed.Thresholds(quiet_days=0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{'quiet_days': 7} True\n"
    assert "from 1 to 366" in done.stderr.splitlines()[-1]


def test_a_notebook(tmp_path: Path, demo_page: Any) -> None:
    """The cells make a page."""
    parameters, *cells = _blocks("A notebook")
    new = nbformat.v4
    notebook = new.new_notebook(
        cells=[
            new.new_markdown_cell("# Which months are quiet?"),
            new.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *(new.new_code_cell(cell) for cell in cells),
        ]
    )
    path = tmp_path / "1-quiet-months.ipynb"
    counts = {"ok_count": [100, 100, 1], "anomaly_count": 0, "confirmed_count": 0}
    months = pd.DataFrame(
        {"month": ["2024-01", "2024-02", "2024-03"], **counts, "failure_count": 0}
    )
    write_table(tmp_path, "measurements_by_month", months.assign(measurement_count=[100, 100, 1]))
    notebook.cells[2].source = notebook.cells[2].source.replace(
        "read_table(tables", f"read_table({str(tmp_path)!r}"
    )
    nbformat.write(notebook, path)
    contents = Contents([path], {}, {}, demo_page, [Edition(demo_page, "")])
    out = publish(contents, tmp_path / "out")
    assert "1 of 3 months are quiet" in (out / "1-quiet-months.html").read_text(encoding="utf-8")


def test_a_country(tmp_path: Path) -> None:
    """The files are read as they stand there."""
    (networks,) = _blocks("A country", "csv")
    sites, events = _blocks("A country", "yaml")
    for name, content in {"n.csv": networks, "ke.yml": sites, "e.yml": events}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert load_networks(tmp_path / "n.csv", "KE").networks[64500].kind == "isp"
    assert "news.example.org" in load_local_sites("KE", tmp_path / "ke.yml").sites
    assert [event.kind for event in load_events(tmp_path / "e.yml", "KE").events] == ["election"]


def test_a_reference_list(tmp_path: Path) -> None:
    """The loader reads a list, and refuses a wrong line with its number."""
    read_owners = _run(_blocks("A reference list")[0])["read_owners"]
    path = tmp_path / "owners.csv"
    path.write_text("operator,owner\nExample Telecom,Example Group\n", encoding="utf-8")
    assert read_owners(path) == {"Example Telecom": "Example Group"}
    path.write_text("operator,owner\na,b,c\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="line 2: 3 cells"):
        read_owners(path)


def test_a_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new catalogue has every sentence; what is translated is said, the rest is English."""
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "translations.py")
    assert spec
    assert spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    path = catalogue.catalogue_path("lo")
    assert tool.main(["lo"]) == 0
    (entry,) = _blocks("A language", "po")
    text = path.read_text(encoding="utf-8")
    untranslated = entry.replace("#, fuzzy\n", "").replace("{first} ຫາ {last}", "")
    assert untranslated in text
    path.write_text(text.replace(untranslated, entry), encoding="utf-8")
    lang = open_language("lo")
    assert lang.period(Period.parse("2024-01-01", "2024-02-01")) == "1 ມັງກອນ 2024 ຫາ 31 ມັງກອນ 2024"
    assert lang.html("yes") == '<span lang="en">yes</span>'
    assert not lang.is_reviewed


def test_documents_name_what_is_there() -> None:
    """Each link leads to a file, and each path in code is one of the repository's."""
    invented = {
        "notebooks/7-quiet-months.ipynb",
        "analysis/reference/owners.py",
        "analysis/languages/lo/LC_MESSAGES/messages.po",
    }
    for path in DOCS:
        text = path.read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?://)([^)#\s]+)", text):
            assert (path.parent / link).exists(), f"{path.name} links to {link}"
        named = re.findall(r"`((?:analysis|tests|notebooks|benchmarks|tools|docs)/[\w./-]+)`", text)
        for name in set(named) - invented:
            assert (ROOT / name).exists(), f"{path.name} names {name}"


def test_the_architecture_lists_the_folders() -> None:
    """The table has the folders of the package, in the order in which they may import."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = (ROOT / "analysis" / "__init__.py").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| ", text, re.MULTILINE)
    assert listed == re.findall(r"^``(\w+)``", package, re.MULTILINE)
