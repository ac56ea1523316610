"""What the documents tell people to write or to run works as it is printed there."""

import json
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
import typer.main

from analysis.commands import cli
from analysis.commands.judging import judge_files
from analysis.commands.reporting import watch_settings
from analysis.commands.settings import VARIABLES, parse_settings
from analysis.errors import ParameterError
from analysis.languages import language as catalogue
from analysis.languages.language import open_language
from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.outcomes import add_outcomes
from analysis.outcomes.rules import RULES, Rule
from analysis.outcomes.thresholds import Thresholds
from analysis.pages.publishing import Contents, publish
from analysis.pages.rendering import Edition
from analysis.period import Period
from analysis.reference.events import load_events
from analysis.reference.networks import load_networks
from analysis.reference.test_lists import load_local_sites
from analysis.store.ingestion import Request, ingest
from analysis.store.lines import pack
from analysis.study.confirmation import confirm, name_tables
from analysis.study.study import study_of
from analysis.tables import write_table
from tests.archives import object_key, put
from tests.measurements import HOST, HTTPS, SAME, SITE, connect, lookup, measured, page, shake
from tests.observations import connection_with, http_observation
from tests.situations import fingerprints_for

ROOT = Path(__file__).resolve().parents[1]
DOCS = [
    *(ROOT / name for name in ("README.md", "DATA-LICENSE.md", "reports/README.md")),
    *sorted(path for place in ("docs/**/*.md", "data/*/README.md") for path in ROOT.glob(place)),
]


def _blocks(recipe: str, language: str = "python") -> list[str]:
    """The blocks of code in that language under a heading of docs/extending.md."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {recipe}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return _blocks_of(section, language)


def _blocks_of(text: str, language: str) -> list[str]:
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
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
    connection = connection_with([http_observation(http_status=429), http_observation()])
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
    (cell,) = _blocks("A notebook")
    cell = re.sub(r'tables or "[^"]*"', repr(str(tmp_path)), cell)
    new = nbformat.v4
    notebook = new.new_notebook(
        cells=[
            new.new_markdown_cell("# Which months are quiet?"),
            new.new_code_cell("", metadata={"tags": ["parameters"]}),
            new.new_code_cell(cell),
        ]
    )
    path = tmp_path / "1-quiet-months.ipynb"
    counts = {"ok_count": [100, 100, 1], "anomaly_count": 0, "confirmed_count": 0}
    months = pd.DataFrame(
        {"month": ["2024-01", "2024-02", "2024-03"], **counts, "failure_count": 0}
    )
    write_table(tmp_path, "measurements_by_month", months.assign(measurement_count=[100, 100, 1]))
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
    tool = runpy.run_path(str(ROOT / "tools" / "translations.py"))
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    path = catalogue.catalogue_path("lo")
    assert tool["main"](["lo"]) == 0
    (entry,) = _blocks("A language", "po")
    text = path.read_text(encoding="utf-8")
    untranslated = entry.replace("#, fuzzy\n", "").replace("{first} ຫາ {last}", "")
    assert untranslated in text
    path.write_text(text.replace(untranslated, entry), encoding="utf-8")
    lang = open_language("lo")
    assert lang.period(Period.parse("2024-01-01", "2024-02-01")) == "1 ມັງກອນ 2024 ຫາ 31 ມັງກອນ 2024"
    assert lang.html("yes") == '<span lang="en">yes</span>'
    assert not lang.is_reviewed


def test_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/library.md runs from its first block to its last, on a small archive."""
    one = measured(HTTPS, [lookup(SITE)], [connect()], [shake()], [page()], **SAME)
    lines = [
        json.dumps({**one, "report_id": resolver, "resolver_asn": resolver}).encode()
        for resolver in ("AS15169", "AS64500")
    ]
    put(tmp_path / "archive", object_key(day="20240212"), lines)
    monkeypatch.chdir(tmp_path)
    Path("measurement.json").write_text(json.dumps(one), encoding="utf-8")
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    named, *blocks = _blocks_of(text, "python")
    names = _run(named)
    assert names["parameters"].keys() == {"probe_cc", "since", "until", "source", "store"}
    names["parameters"] = {
        "probe_cc": "QQ", "since": "2024-02-01", "until": "2024-03-01",
        "source": "archive", "store": "store",
    }  # fmt: skip
    *asked, published = blocks
    exec("\n".join(asked).replace("range(20)", "range(2)"), names)
    assert names["counts"] == [0, 0]
    assert names["observations"]["domain"].tolist() == [HOST, HOST]
    assert names["whole"]["ok_count"].tolist() == [2]
    assert [one["class"] for one in names["judged"]] == ["ok"]
    without = names["without"].query("period == 'all'")
    assert without[["ok_count", "unknown_count"]].to_numpy().tolist() == [[1, 1]]
    place = re.search(r'"(reports/[^"]*)"', published)
    assert place
    write_table(place[1], "verdicts", names["verdicts"])
    exec(published, names)
    assert names["published"]["probe_asn"].unique().tolist() == [64500]


def test_loose_files_become_an_archive(tmp_path: Path) -> None:
    """What is packed is read as it was; what is not of the country, or no measurement, is counted.
    An array is its elements."""
    lines = [measured(HTTPS, [lookup(SITE)], [connect()], [shake()], [page()], **SAME)]
    lines += [{**lines[0], "probe_cc": "ZZ"}, {**lines[0], "report_id": "second"}]
    (tmp_path / "a.json").write_text(json.dumps(lines, indent=1), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"no": 1}\nno json\n', encoding="utf-8")
    out = tmp_path / "out"
    files = [tmp_path / "a.json", tmp_path / "b.jsonl"]
    counts = pack(files, lines[0]["probe_cc"], out)
    assert counts == {"packed": 2, "another country": 1, "no measurement": 2}
    period = Period.parse("2024-02-01", "2024-03-01")
    request = Request(str(out), str(tmp_path / "store"), lines[0]["probe_cc"], period, jobs=1)
    assert ingest(request, Fingerprints()).files[0].row_count == 2
    assert [one["line"] for one in judge_files(files, "")] == [1, 2, 3, 1, 2]
    with pytest.raises(ParameterError, match="must be new or empty"):
        pack(files, "ZZ", out)
    with pytest.raises(ParameterError, match="no measurement of QX in the files: 2 of no measure"):
        pack(files[1:], "QX", tmp_path / "none")


def test_ten_research_questions(fictional_report: Path) -> None:
    """docs/questions.md runs on the fictional country, none of it in more than six lines."""
    text = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
    begin, *questions = _blocks_of(text.replace('("KH", "MY")', '("QQ",)'), "python")
    assert [one for one in questions if len(one.strip().splitlines()) > 6] == []
    names: dict[str, Any] = {"parameters": {"store": str(fictional_report.parent / "store")}}
    exec("\n".join([begin, *questions]), names)
    assert len(questions) == 10
    listed = {(row.domain, row.probe_asn) for row in names["listed"].itertuples()}
    assert ("gisevi-rainbow.example", 64498) in listed
    assert names["resets"]["reset_share"].between(0, 1).all()
    assert names["resets"]["reset_share"].max() > 0
    assert 0 < len(names["recent_verdicts"]) < len(names["judgement"].verdicts)
    assert 0 < len(names["own_verdicts"]) < len(names["judgement"].verdicts)
    assert names["by_category"].to_numpy().sum() == len(listed)
    assert names["shown"]["link"].str.startswith("https://explorer.ooni.org/").all()
    assert 0 <= names["low"] < names["is_blocked"].mean() < names["high"] <= 1
    assert {site for site, _ in listed} <= names["both"]
    assert names["flags"].loc["confirmed", "blocked"] > 0
    assert (names["first_block"]["blocked_from"] >= str(names["event"].day)).all()


def test_the_codebook(fictional_report: Path) -> None:
    """It has the columns of each table that can be asked, in their order."""
    study = study_of({"store": str(fictional_report.parent / "store")})
    confirm(study)
    text = (ROOT / "docs" / "codebook.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(sections) == 4
    for table, section in sections:
        columns = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert columns == study.connection.table(table).columns, table
    assert set(re.findall(r"^\| `(\w+)` \| an? ", text, re.MULTILINE)) <= set(
        name_tables(study.connection)["table"]
    )


def _anchors(path: Path) -> set[str]:
    """The headings of a page, as a forge makes addresses of them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def test_documents_name_what_is_there() -> None:
    """Each link leads to a file and a heading of it, each file named in code is there."""
    invented = {"9-quiet-months.ipynb", "analysis/reference/owners.py"}
    others = ("2024_", "oonipipeline/")  # files of iMAP and of OONI
    places = ("analysis", "benchmarks", "docs", "notebooks", "tests", "tools")
    there = [f"/{path.relative_to(ROOT)}" for place in places for path in (ROOT / place).rglob("*")]
    folders = {path.name for path in (ROOT / "analysis").iterdir() if path.is_dir()}
    for path in DOCS:
        text = path.read_text(encoding="utf-8")
        for link, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)#?([^)\s]*)\)", text):
            target = path.parent / link if link else path
            assert target.exists(), f"{path.name} links to {link}"
            assert not anchor or anchor in _anchors(target), f"{path.name}: {link}#{anchor}"
        named = re.findall(r"`([\w./-]+\.(?:py|ipynb|sh))`", text)
        modules = [
            f"analysis/{folder}/{module}"
            for folder, module in re.findall(r"`(?:analysis/)?(\w+)/([a-z_]+)`", text)
            if folder in folders
        ]
        for name in {*named, *modules} - invented:
            if name.startswith(others):
                continue
            is_there = any(one.endswith((f"/{name}", f"/{name}.py")) for one in there)
            assert is_there, f"{path.name} names {name}"


def test_documents_name_sections_that_pages_have() -> None:
    """What follows *page 2* in italics, after a comma, is a heading of that notebook."""
    place = r"(?:[Pp]age (\d)(?: \([^)]*\))?|notebooks/(\d)-[\w-]+\.ipynb`)"
    said = rf"{place}, (?:section )?\*([^*]+)\*"
    found = 0
    for path in DOCS:
        text = " ".join(path.read_text(encoding="utf-8").split())
        for number, of_file, heading in re.findall(said, text):
            (file,) = (ROOT / "notebooks").glob(f"{number or of_file}-*.ipynb")
            cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
            lines = {line.strip() for cell in cells for line in cell["source"]}
            assert f"## {heading}" in lines, f"{path.name}: {file.stem} has no {heading}"
            found += 1
    assert found > 4


def _commands_in(text: str) -> Iterator[list[str]]:
    """The commands in blocks and in code within sentences, as a shell splits them; without those of
    a threshold and a language that the recipes make up."""
    text = text.replace("\\\n", " ").replace("$cc", "KH")
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    for line in [line for block in blocks for line in block.splitlines()] + spans:
        found = re.search(r"(?:^\s*|&& )((?:make|\.venv/bin/python -m analysis) .*)", line)
        if found and not any(
            name in line for name in ("…", "quiet_days", "en,lo", "translations.py lo")
        ):
            command = re.split(r" >|;", found[1])[0]
            yield shlex.split(command.replace(".venv/bin/python -m ", ""), comments=True)


def _check_command(program: str, name: str, arguments: list[str]) -> None:
    """Raise what the command line would, before it reads anything."""
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{name}:.*## ", makefile, re.MULTILINE), f"make {name}"
    if program == "analysis" or name in commands:
        given = commands[name].make_context(name, [*arguments]).params
        values = given.get("arguments") or []
        if name == "watch":
            watch_settings(values)
        elif name not in ("audit", "refresh"):
            parse_settings(values)


def test_every_command_in_the_documents_is_accepted(subtests: pytest.Subtests) -> None:
    """Its name, options, parameters and values; commands of the fictional country run elsewhere."""
    seen = set()
    for path in DOCS:
        for program, name, *arguments in _commands_in(path.read_text(encoding="utf-8")):
            seen.add(name)
            with subtests.test(f"{path.name}: {shlex.join([program, name, *arguments])}"):
                _check_command(program, name, arguments)
    assert {"report", "watch", "explain", "side-by-side", "ingest", "review"} <= seen


def test_the_page_of_commands_lists_what_there_is() -> None:
    """Every target of make, every command with its options, every parameter; make knows them."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    for target in re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE):
        assert target == "help" or f"`make {target}`" in page, target
    for name, command in typer.main.get_command(cli.app).commands.items():  # type: ignore[attr-defined]
        (row,) = re.findall(rf"^\| \[?`(?:make )?{name}[` ].*", page, re.MULTILINE)
        options = [one for option in command.params for one in option.opts if one[:2] == "--"]
        assert [one for one in options if f"`{one}" not in row] == [], name
    listed = re.search(r"^PARAMETERS := (.*)$", makefile, re.MULTILINE)
    assert listed
    assert set(listed[1].split()) == set(VARIABLES)
    table = page.partition("| parameter | what it is |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", "".join(rows))) == set(VARIABLES)


def test_the_architecture_lists_the_folders() -> None:
    """The table has the folders of the package, in the order in which they may import."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = (ROOT / "analysis" / "__init__.py").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| ", text, re.MULTILINE)
    assert listed == re.findall(r"^``(\w+)``", package, re.MULTILINE)
