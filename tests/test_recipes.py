"""What the documents tell people to write or to run works as it is printed there."""

import json
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import nbformat
import pandas as pd
import pytest
import typer.main

from analysis.commands import cli, several_countries
from analysis.commands.field_check import read_plan
from analysis.commands.judging import judge_files
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
from analysis.vocabulary import LISTED
from tests.archives import put_lines
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


def _sections(page: str) -> dict[str, list[str]]:
    """Heading → its blocks of Python, of a page of docs."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    parts = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return {heading: _blocks_of(section, "python") for heading, section in parts}


def test_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/library.md runs from its first block to its last, on a small archive."""
    one = measured(HTTPS, [lookup(SITE)], [connect()], [shake()], [page()], **SAME)
    lines = [
        json.dumps(
            {
                **one,
                "report_id": f"{resolver} {day}",
                "resolver_asn": resolver,
                "measurement_start_time": f"2024-{day} 10:00:00",
            }
        ).encode()
        for resolver, day in (("AS15169", "02-12"), ("AS64500", "02-13"), ("AS64500", "03-13"))
    ]
    put_lines(tmp_path / "archive", lines)
    monkeypatch.chdir(tmp_path)
    Path("measurement.json").write_text(json.dumps(one), encoding="utf-8")
    sections = _sections("library.md")
    named, opened = sections.pop("Open a study")
    names = _run(named)
    assert names["parameters"].keys() == {"probe_cc", "since", "until", "source", "store"}
    names["parameters"] = {
        "probe_cc": "QQ",
        "since": "2024-02-01",
        "until": "2024-04-01",
        "source": "archive",
        "store": "store",
    }
    del sections["Published tables"]  # the next test reads them
    blocks = [opened, *(block for blocks in sections.values() for block in blocks)]
    code = "\n".join(blocks).replace("range(20)", "range(2)")
    exec(code.replace("(3, 4, 6)", "(4,)").replace("(2, 3)", "(3,)"), names)
    assert names["counts"] == [0, 0]
    assert names["observations"]["domain"].tolist() == [HOST] * 3
    assert names["whole"]["ok_count"].tolist() == [3]
    assert [one["class"] for one in names["judged"]] == ["ok"]
    without, strict = confirm(names["without_public"]).verdicts, names["strict_verdicts"]
    counts = [
        verdicts.query("period == 'all'")[["ok_count", "unknown_count"]].to_numpy().tolist()
        for verdicts in (without, strict, names["its_verdicts"])
    ]
    assert counts == [[[2, 1]], [[1, 0]], [[3, 0]]]
    assert len(names["own_resolvers"].connection.table("observations")) == 2
    assert names["strict"].thresholds.changes() == {"floor_days": 4, "floor_sessions": 6}
    assert not names["study"].thresholds.changes(), "a variant never changes its study"


Ask = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def ask_tables(fictional_report: Path) -> Iterator[Ask]:
    """Questions to the published tables alone; ``listed`` is what docs/terms.md says it is."""
    with duckdb.connect() as connection:
        for path in (fictional_report / "tables").glob("*.csv"):
            connection.read_csv(str(path)).create_view(path.stem)
        connection.execute("""
            CREATE VIEW access AS SELECT * REPLACE (substr(probe_asn, 3)::INT AS probe_asn)
            FROM networks WHERE kind IN ('isp', 'mobile', 'education', 'unknown');
            CREATE VIEW pairs AS SELECT * REPLACE (substr(probe_asn, 3)::INT AS probe_asn)
            FROM verdicts WHERE period = 'all';
            CREATE VIEW listed AS FROM pairs SEMI JOIN access USING (probe_asn)
            WHERE state IN ('blocked', 'likely_blocked');
        """)
        yield lambda query: connection.execute(query).fetchall()


def _pairs(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return sorted(frame[["domain", "probe_asn"]].itertuples(index=False, name=None))


def test_answers_of_the_library(
    fictional_report: Path, ask_tables: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its examples give what the published tables say, asked in another way."""
    monkeypatch.chdir(tmp_path)  # one of them writes a file
    sections = _sections("library.md")
    chosen = (
        "Read observations",
        "A frame of verdicts",
        "Published tables",
        "Try numbers",
        "Which measurements made a site blocked on a network",
        "A variant",
        "A variant as a report",
    )
    names: dict[str, Any] = {"parameters": {"store": str(fictional_report.parent / "store")}}
    code = "\n".join(block for name in chosen for block in sections[name])
    code = re.sub(r'"reports/[^"]*"', repr(str(fictional_report / "tables")), code)
    code = code.replace("(3, 4, 6)", "(4, 12)").replace("(2, 3)", "(3,)")
    exec(f"{sections['Open a study'][1]}\n{code}", names)
    listed = ask_tables("SELECT domain, probe_asn FROM listed ORDER BY ALL")
    assert _pairs(names["listed"]) == listed
    assert names["site_count"] == len({site for site, _ in listed})

    study = names["study"]
    ledger = dict(ask_tables("SELECT reason, line_count FROM ingestion_ledger"))
    files = f"{fictional_report.parent}/store/observations/**/webconnectivity/*.parquet"
    ((kept,),) = duckdb.sql(f"SELECT count(*) FROM read_parquet('{files}')").fetchall()
    others = ("late", "duplicate", "other_country", "out_of_period")
    assert len(names["observations"]) == ledger["kept"] < kept
    assert kept == ledger["kept"] + sum(ledger[name] for name in others)

    ((blocked_count, witness),) = ask_tables(
        "SELECT blocked_count, witness_report_id FROM pairs "
        "WHERE domain = 'gisevi-rainbow.example' AND probe_asn = 64498"
    )
    assert len(names["measurements"]) == blocked_count
    assert witness in set(names["measurements"]["report_id"])
    assert names["changes"].empty
    assert names["public"].rule_id in {rule.rule_id for rule in names["without_public"].rules}
    assert names["strict_verdicts"]["measurement_count"].sum() < len(names["observations"]) * 2

    theirs = names["methods"]["own_baseline"].query("is_listed")
    flagged = study.connection.execute(
        "SELECT domain, probe_asn FROM (SELECT domain, probe_asn FROM observations "
        "WHERE (is_anomaly OR is_confirmed) AND is_failure = FALSE AND domain > '') "
        "GROUP BY ALL HAVING count(*) > 2 ORDER BY ALL"
    ).fetchall()
    assert _pairs(theirs) == flagged
    compared = names["compared"].set_index("domain")
    assert set(compared.index[compared["own_baseline"]]) == {site for site, _ in flagged}
    assert set(compared.index[compared["this_method"]]) == {site for site, _ in listed}

    standing, tried = names["tried"].to_dict("records")
    assert (standing["floor_sessions"], standing["gained"], standing["lost"]) == (4, "", "")
    assert standing["listed_domain_count"] == names["site_count"]
    states = ask_tables(
        "SELECT state || '_pair_count', count(*) FROM pairs SEMI JOIN access USING (probe_asn) "
        "GROUP BY ALL"
    )
    assert {name: standing[name] for name, _ in states} == dict(states)
    gained, lost = (len(list(filter(None, tried[one].split(";")))) for one in ("gained", "lost"))
    assert tried["listed_domain_count"] == names["site_count"] + gained - lost
    assert tried["insufficient_pair_count"] > standing["insufficient_pair_count"]
    assert "dns.sinkhole" not in {rule.rule_id for rule in names["variant"].rules}

    stretches = "SELECT domain, substr(probe_asn, 3)::INT FROM blocked_site_networks"
    assert _pairs(names["ongoing"]) == ask_tables(
        f"{stretches} WHERE blocked_until IS NULL ORDER BY ALL"
    )
    assert _pairs(names["since_march"]) == ask_tables(
        f"{stretches} WHERE blocked_from >= DATE '2024-03-01' ORDER BY ALL"
    )
    most = ask_tables("SELECT max(evidence), count(*), count(evidence) FROM pairs")
    surprising = names["surprising"]["evidence"]
    assert [(surprising.iloc[0], len(surprising), surprising.notna().sum())] == most


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


def test_ten_research_questions(fictional_report: Path, ask_tables: Ask) -> None:
    """docs/questions.md runs on the fictional country, none of it in more than six lines, and each
    answer is what the published tables or the observations say, asked in another way."""
    text = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
    begin, *questions = _blocks_of(text.replace('("KH", "MY")', '("QQ",)'), "python")
    assert [one for one in questions if len(one.strip().splitlines()) > 6] == []
    assert len(questions) == 10
    names: dict[str, Any] = {"parameters": {"store": str(fictional_report.parent / "store")}}
    exec("\n".join([begin, *questions]), names)
    assert _pairs(names["listed"]) == ask_tables(
        "SELECT domain, probe_asn FROM listed ORDER BY 1, 2"
    )

    # runs with a reset
    runs, resets = defaultdict(set), defaultdict(set)
    tested: dict[str, Counter[tuple[str, int]]] = {"own": Counter(), "recent": Counter()}
    rows = names["ask"](
        "SELECT run, probe_asn, measurement_start_time, http_failure, tcp, tls, domain, "
        "resolver_asn, software_version FROM observations"
    ).fetchall()
    for run, asn, time, failure, tcp, tls, domain, resolver, version in rows:
        runs[f"{time:%Y-%m}", asn].add(run)
        attempts = [*(tcp or ()), *(tls or ())]
        if "connection_reset" in {failure, *(one["failure"] for one in attempts)}:
            resets[f"{time:%Y-%m}", asn].add(run)
        tested["own"][domain, asn] += resolver == asn
        tested["recent"][domain, asn] += tuple(map(int, version.split("."))) >= (3, 18)
    found = {
        (row.month, row.probe_asn): (row.run_count, row.met_count)
        for row in names["runs"].itertuples()
    }
    assert found == {key: (len(every), len(resets[key])) for key, every in runs.items()}
    ((run_count,),) = ask_tables("SELECT sum(run_count) FROM run_counts")
    assert len({run for every in runs.values() for run in every}) == run_count

    # parts of the measurements
    access = {asn for (asn,) in ask_tables("SELECT probe_asn FROM access")}
    for name, counts in tested.items():
        verdicts, its_list = confirm(names[name]).verdicts, names[f"{name}_listed"]
        assert sum(counts.values()) == verdicts.query("period == 'all'")["measurement_count"].sum()
        expected = [
            (row.domain, row.probe_asn, counts[row.domain, row.probe_asn])
            for row in verdicts.itertuples()
            if (row.period, row.state in LISTED, row.probe_asn in access) == ("all", True, True)
        ]
        columns = ["domain", "probe_asn", "measurement_count"]
        assert [*its_list[columns].itertuples(index=False, name=None)] == expected
        assert expected
    versions = duckdb.sql(
        "FROM (VALUES ('3.9.2'), ('3.18.0'), ('4.0'), ('2.30'), ('dev'), ('3'), ('3.x'), (NULL)) "
        "AS told(software_version)"
    )
    assert versions.filter(f"{names['version']} >= 3018").fetchall() == [("3.18.0",), ("4.0",)]

    # one pair
    ((*counts, blocked, witness),) = ask_tables(
        "SELECT session_count, blocked_session_count, down_session_count, ok_session_count, "
        "blocked_count, witness_report_id FROM pairs "
        "WHERE domain = 'gisevi-rainbow.example' AND probe_asn = 64498"
    )
    shows = names["pair"]["shows"]
    assert counts == [len(shows), *((shows == one).sum() for one in ("blocked", "down", "ok"))]
    assert names["pair"]["time"].is_monotonic_increasing
    shown = names["shown"]
    assert len(shown) == blocked
    assert witness in set(shown["report_id"])
    assert shown["link"].iloc[0] == (
        f"https://explorer.ooni.org/measurement/{shown['report_id'].iloc[0]}?input="
        + quote(shown["input"].iloc[0], safe="")
    )

    # categories: sites, each once
    found = names["by_category"].stack()
    assert dict(found[found > 0]) == {
        (category, state): count
        for category, state, count in ask_tables(
            "SELECT category, state, count(*) FROM blocked_sites GROUP BY ALL"
        )
    }
    assert dict(names["by_category"].sum(axis=1)) == dict(
        ask_tables(
            "SELECT category, blocked_domain_count FROM categories WHERE blocked_domain_count > 0"
        )
    )

    # the share of a network, and its interval by the usual approximation for clusters
    ((share,),) = ask_tables(
        "SELECT sum(blocked_session_count) / sum(blocked_session_count + ok_session_count) "
        "FROM pairs WHERE probe_asn = 64498"
    )
    by_run = names["by_run"]
    off = by_run["blocked"] - share * by_run["tested"]
    error = 1.96 * (off**2).sum() ** 0.5 / by_run["tested"].sum()
    assert by_run["blocked"].sum() / by_run["tested"].sum() == pytest.approx(share)
    assert [names["low"], names["high"]] == pytest.approx(
        [share - error, share + error], abs=error / 5
    )

    # two countries
    assert names["both"] == {site for (site,) in ask_tables("SELECT domain FROM blocked_sites")}

    # flags
    flags = names["flags"]
    assert [tuple(flags.sum(axis=1)[["ok", "anomaly", "confirmed", "failure"]])] == ask_tables(
        "SELECT sum(ok_count), sum(anomaly_count), sum(confirmed_count), sum(failure_count) "
        "FROM measurements_by_month"
    )
    assert [tuple(flags.sum()[["blocked", "down", "ok", "unknown"]])] == ask_tables(
        "SELECT sum(blocked_count), sum(down_count), sum(ok_count), sum(unknown_count) FROM pairs"
    )

    # the first blocks after an event, whole
    first = ask_tables(
        "SELECT domain, substr(probe_asn, 3)::INT, blocked_from FROM blocking_intervals "
        "WHERE substr(probe_asn, 3)::INT IN (SELECT probe_asn FROM access) "
        f"AND last_seen_open >= DATE '{names['event'].date()}' "
        "QUALIFY rank() OVER (ORDER BY blocked_from) = 1 ORDER BY ALL"
    )
    assert first
    assert _pairs(names["first_blocks"]) == [(site, asn) for site, asn, _ in first]
    assert {day.date() for day in names["first_blocks"]["blocked_from"]} == {first[0][2]}


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
    invented = {"9-quiet-months.ipynb", "analysis/reference/owners.py", "no_sinkholes.py"}
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
            several_countries.list_watches(values)
        elif name == "topic" and values:
            several_countries.read_plan(values)
        elif name == "field-check":
            read_plan(values)
        elif name not in ("audit", "refresh", "topic"):
            parse_settings(values)


def test_every_command_in_the_documents_is_accepted(
    subtests: pytest.Subtests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name, options, parameters and values; commands of the fictional country run elsewhere."""
    monkeypatch.chdir(tmp_path)
    (variant,) = _sections("library.md")["A variant as a report"]
    Path("no_sinkholes.py").write_text(variant, encoding="utf-8")
    Path("sites.txt").write_text("news.example\n", encoding="utf-8")
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
