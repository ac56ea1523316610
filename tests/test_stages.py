"""Stages on disk: made once, never stale, whole or not at all."""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.rules import RULES
from analysis.outcomes.steps import create_views
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.source_code import file_of, list_modules
from analysis.store import stage_tables
from analysis.store.stage_tables import KeptTables
from analysis.study import confirmation
from analysis.study.confirmation import TABLES, Maker, Method, confirm
from analysis.study.lineage import Lineage, name_differences
from analysis.verdicts.sessions import Operators, Sessions
from tests.letters import days, study_of
from tests.observations import PROBE_NETWORK, connection_with, observation
from tests.situations import NXDOMAIN, unresolved

ROOT = Path(__file__).parents[1] / "analysis"
#: What stages import and nothing depends on that is not handed in, or part of the observations.
HANDED_IN = {
    "errors.py",
    "files.py",
    "reference/reference_files.py",
    "observations/fingerprints.py",
    "observations/messages.py",
    "vocabulary.py",
    "reference/networks.py",
    "reference/release.py",
    "study/study.py",
    "study/variants.py",
    "store/store.py",
    "verdicts.py",
    "temporary_folders.py",
}


def _connection() -> duckdb.DuckDBPyConnection:
    rows = [
        {**row, "report_id": f"{day}-{number}", "domain": f"name{number}.example"}
        for day in range(5)
        for number, row in enumerate((observation(), unresolved(NXDOMAIN)))
    ]
    return connection_with(rows)


def _method(**numbers: Any) -> Method:
    networks = pd.DataFrame(
        {"probe_asn": [PROBE_NETWORK], "operator": ["One"], "is_domestic": [True]}
    )
    return Method(Thresholds(**numbers), RULES, Fingerprints(), Operators.of(networks))


def _told(
    kept: KeptTables | None, connection: duckdb.DuckDBPyConnection, method: Method
) -> list[Any]:
    """What the sessions of a method are, made or found."""
    return _read(connection, Maker(kept, connection, method).make_sessions())


def _read(connection: duckdb.DuckDBPyConnection, sessions: Sessions) -> list[Any]:
    query = """SELECT domain::VARCHAR, session::VARCHAR, rule_id::VARCHAR, s.class::VARCHAR
      FROM outcomes JOIN heard_sessions s USING (domain, session) ORDER BY ALL"""
    with sessions.opened(connection) as opened:
        create_views(opened, sessions.views)
        return opened.execute(query).fetchall()


@dataclass(frozen=True)
class _Made:
    """The stages of ``_connection`` by the published numbers: their folder, and what they told."""

    folder: Path
    told: list[Any]

    def copy(self, folder: Path) -> KeptTables:
        """The same files elsewhere, for a test to work with."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return KeptTables("study", [folder])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> _Made:
    folder = tmp_path_factory.mktemp("stages")
    connection = _connection()
    told = _told(KeptTables("study", [folder]), connection, _method())
    connection.close()
    return _Made(folder, told)


def test_what_one_connection_makes_another_opens(
    tmp_path: Path, made: _Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second notebook makes no table, and sees the same; so does a run without any folder."""
    kept = made.copy(tmp_path)
    monkeypatch.setattr("analysis.store.stage_tables._write", lambda *_: pytest.fail("made again"))
    assert made.told
    assert _told(kept, _connection(), _method()) == made.told
    assert _told(None, _connection(), _method()) == made.told
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".duckdb"]


def test_what_is_made_later_changes_nothing() -> None:
    """Neither another run in the same connection, nor temporary tables of the same names."""
    connection = _connection()
    sessions = Maker(None, connection, _method()).make_sessions()
    told = _read(connection, sessions)
    rules = tuple(rule for rule in RULES if rule.rule_id != "dns.nxdomain")
    other = Maker(None, connection, replace(_method(), rules=rules)).make_sessions()
    other.use(connection)
    for name in ("outcomes", "sessions", "features", "networks"):
        connection.execute(f"CREATE TEMP TABLE {name} AS SELECT 1 AS nothing")
    assert _read(connection, other) != told
    assert _read(connection, sessions) == told


def test_a_change_makes_the_stages_again_that_it_acts_on() -> None:
    """A number, a list, a rule or a network: what does not depend on it stays."""
    changes = {
        "features": _method(pool_days=3),
        "profiles": _method(sinkhole_names=5),
        "rules": replace(_method(), rules=RULES[1:]),
        "sessions": replace(
            _method(), operators=Operators(_method().operators.domestic_asns, {1: "One"})
        ),
    }
    for place, (stage, changed) in enumerate(changes.items()):
        moved = [name for name in TABLES if changed.describe(name) != _method().describe(name)]
        assert moved == list(TABLES)[place:], stage


_BY_AN_EDITED_QUERY = """
import json, sys
from pathlib import Path
from analysis.outcomes.rules import RULES
from analysis.outcomes.thresholds import Thresholds
from analysis.store.stage_tables import KeptTables
from analysis.study.lineage import Lineage
from tests.test_stages import _connection, _method, _told
told = _told(KeptTables("study", [Path(sys.argv[1])]), _connection(), _method())
print(json.dumps([told, Lineage.of(RULES, Thresholds()).for_run()]))
"""


def test_an_edited_query_makes_its_stage_again(tmp_path: Path, made: _Made) -> None:
    """Those before it are found; the tables are what the query asks now; and the edit is named."""
    kept, copy = made.copy(tmp_path / "stages"), tmp_path / "edited"
    shutil.copytree(ROOT, copy / "analysis", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "data").mkdir()
    (copy / "data" / "reference").symlink_to(ROOT.parent / "data" / "reference")
    edited = copy / "analysis" / "verdicts" / "sessions.sql"
    text = edited.read_text("utf-8")
    mostly_ok = "WHEN ok > greatest(blocked, down) THEN "
    assert text.count(f"{mostly_ok}'ok'") == 1
    edited.write_text(text.replace(f"{mostly_ok}'ok'", f"{mostly_ok}'down'"))
    before = set(kept.folders[0].iterdir())
    done = subprocess.run(
        [sys.executable, "-P", "-c", _BY_AN_EDITED_QUERY, kept.folders[0]],
        env={**os.environ, "PYTHONPATH": f"{copy}{os.pathsep}{ROOT.parent}"},
        capture_output=True,
        text=True,
        check=True,
    )
    told, run = json.loads(done.stdout)
    assert {row[-1] for row in told} == {"blocked", "down"} != {row[-1] for row in made.told}
    (new,) = set(kept.folders[0].iterdir()) - before
    assert new.name.startswith("study.sessions_")
    here, after = Lineage.of(RULES, Thresholds()), Lineage.read({"method": run})
    assert after
    assert list(name_differences(here, after)) == ["module verdicts/sessions.sql changed"]


def test_a_damaged_file_is_made_again(tmp_path: Path, made: _Made) -> None:
    """One flipped bit, or half a file: nothing of it is read."""
    kept = made.copy(tmp_path)
    for number, path in enumerate(sorted(tmp_path.glob("*.duckdb"))):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content if number % 2 else content[: len(content) // 2])
    connection = _connection()
    assert _told(kept, connection, _method()) == made.told
    assert len(list(tmp_path.glob("*.duckdb"))) == len(TABLES)


def test_files_that_nobody_uses_go_when_all_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those unused for longest; what another process may be using stays."""
    kept, connection = KeptTables("study", [tmp_path]), _connection()
    monkeypatch.setattr(stage_tables, "MOST_BYTES", 1)
    for number in (3, 5):
        Maker(kept, connection, _method(pool_days=number)).make_features()
    assert len(list(tmp_path.glob("*.duckdb"))) == 2
    monkeypatch.setattr(stage_tables, "_IN_USE", -1)
    monkeypatch.setattr(stage_tables, "MOST_BYTES", 5_000_000)
    Maker(kept, connection, _method(pool_days=7)).make_features()
    left = sorted(tmp_path.glob("*.duckdb"), key=lambda path: path.stat().st_mtime)
    assert 0 < sum(path.stat().st_size for path in left) <= 5_000_000


def test_a_judgement_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the same numbers, as it was to the type of a column; nothing is judged."""
    study: Any = study_of(days("OOOOBBBBBBBB"), Period.parse("2024-01-01", "2024-04-01"))
    study.kept, networks = KeptTables("study", [tmp_path]), study.networks()
    before = confirm(study, networks)
    monkeypatch.setattr(confirmation, "judge_cells", lambda *_, **__: pytest.fail("judged"))
    found = confirm(study, networks)
    for name in ("verdicts", "intervals", "withheld", "chances", "defects"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(before, name))
    again, first = (
        [pair.log_evidence for pair in judgement.country.pairs] for judgement in (found, before)
    )
    assert again == first
    assert len(before.intervals)


def test_the_digest_of_a_stage_covers_all_that_it_is_made_by() -> None:
    """Whatever the code of a stage imports is part of its digest, or of an earlier stage's."""
    covered: set[str] = set()
    parts = {**confirmation._MADE_BY, "other_methods": ("report/other_methods",)}
    for part, modules in parts.items():
        names = {file_of(name) for name in list_modules(modules) if not name.endswith(".sql")}
        covered |= names
        imported = {other for name in names for other in _imports(name)}
        assert imported - covered - HANDED_IN == set(), part


def _imports(name: str) -> set[str]:
    """The modules of ``analysis`` that a file names, also as ``from package import module``."""
    nodes = ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8")))
    named = [(node.module or "", node.names) for node in nodes if isinstance(node, ast.ImportFrom)]
    modules = {module for module, _ in named}
    modules |= {f"{module}.{alias.name}" for module, aliases in named for alias in aliases}
    paths = {module.removeprefix("analysis.").replace(".", "/") + ".py" for module in modules}
    return {path for path in paths if (ROOT / path).is_file()}
