"""A result says which method made it: what counts as an edit, and where each edit is told."""

import json
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import source_code
from analysis.errors import ParameterError
from analysis.outcomes.rules import RULES, RULES_VERSION, Rule
from analysis.outcomes.thresholds import Thresholds
from analysis.reference import release
from analysis.report.other_methods import find_baselines
from analysis.review.changes import find_causes, show_changes
from analysis.review.decisions import Basis
from analysis.review.reports import Report, read_report
from analysis.source_code import digest_code, digest_queries
from analysis.store import database, store, workers
from analysis.store.ingestion import ingest
from analysis.study.confirmation import confirm, try_numbers
from analysis.study.lineage import Lineage, name_differences
from analysis.study.study import Study, request_of
from analysis.study.table_folder import made_from, start_tables
from analysis.study.variants import Variant, load_variant
from analysis.tables import TABLES, write_table
from tests.archives import three_measurements

ROOT = Path(__file__).parents[1]
CODE = '''
"""What it is."""
def ask(number):
    """What it does."""
    # why
    return f"""
        SELECT a{number}  -- the first
        FROM b WHERE c = '{number:>3}'
    """ + "d"
'''


def test_two_hyphens_alone_are_no_comment() -> None:
    """They stand between the days of a period."""
    assert digest_code('f"{a}--{b}"\nx = "--"') != digest_code('f"{a}{b}"\nx = ""')


def test_the_release_is_what_stands_here() -> None:
    """Whoever changes the method says so: run tools/release_method.py."""
    tool = runpy.run_path(str(ROOT / "tools" / "release_method.py"))
    assert tool["main"](is_check=True) == 0, "run tools/release_method.py"


def test_what_reads_the_archive_is_released_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a store that the release before has read would be taken for this one's."""
    tool = runpy.run_path(str(ROOT / "tools" / "release_method.py"))
    known = json.loads(release.RELEASE.read_text("utf-8"))
    known["modules"]["observations/flags"] = "before"
    other = tmp_path / "method.json"
    other.write_text(json.dumps(known), encoding="utf-8")
    monkeypatch.setitem(tool["main"].__globals__, "RELEASE", other)
    assert tool["main"]() == 1
    assert "observations/flags: what reads the archive changed" in capsys.readouterr().out
    assert tool["main"](has_same_rows=True) == 0
    assert json.loads(other.read_text("utf-8"))["modules"]["observations/flags"] != "before"


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ('"""What it is."""', '"""Another thing."""', True),
        ('    """What it does."""\n', "", True),
        ("    # why\n", "    # because\n\n", True),
        ("  -- the first", "  -- the second", True),
        ("  -- the first", "", True),
        ("ask(number)", "ask( number )", True),
        ("  -- the first", "\n  --", True),
        ("  -- the first\n        FROM b", "  --\n        FROM e", False),
        ("SELECT a", "SELECT e", False),
        ("'{number:>3}'", "'{number:>4}'", False),
        ('+ "d"', '+ "e"', False),
        ("return f", "print(number); return f", False),
    ],
)
def test_a_digest_is_of_what_code_does(before: str, after: str, is_same: bool) -> None:
    """Comments, docstrings and layout are not in it, nor are comments of SQL."""
    assert before in CODE
    assert (digest_code(CODE) == digest_code(CODE.replace(before, after))) == is_same


QUERIES = b"""-- What it is about.

-- name: first
-- One row is a thing.
SELECT a  -- the first
FROM b WHERE c = 'x  y'

-- name: second
-- One row is a thing.
SELECT e FROM first
"""


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("What it is about", "Another thing", True),
        ("One row is a thing", "One row is a site", True),
        ("  -- the first", "", True),
        ("\nFROM b", "\n\n  FROM b", True),
        ("SELECT a", "SELECT e", False),
        ("x  y", "x y", False),
        ("name: first", "name: third", False),
        ("-- name: second\n-- One row is a thing.\n", "UNION ", False),
    ],
)
def test_a_digest_is_of_what_queries_ask(before: str, after: str, is_same: bool) -> None:
    """Comments and layout are not in it; names and their order are."""
    assert before.encode() in QUERIES
    edited = QUERIES.replace(before.encode(), after.encode())
    assert (digest_queries(QUERIES) == digest_queries(edited)) == is_same


def _runs(python: str) -> bool:
    path = shutil.which(python)
    return bool(path) and not subprocess.run([str(path), "-c", ""], capture_output=True).returncode


def test_a_digest_is_the_same_on_other_pythons() -> None:
    """Of all modules, by whichever other Python is on this machine."""
    others = [name for name in ("python3.12", "python3.13", "python3.14") if _runs(name)]
    if not others:
        pytest.skip("no other Python is on this machine")
    asked = (
        "import importlib.util as u, json, sys; s = u.spec_from_file_location('c', sys.argv[1]); "
        "m = u.module_from_spec(s); s.loader.exec_module(m); "
        "print(json.dumps({n: m.digest_module(n) for n in m.list_modules(sys.argv[2:])}))"
    )
    path = str(ROOT / "analysis" / "source_code.py")
    wanted = ["observations/", "outcomes/", "verdicts/", "study/"]
    for name in others:
        run = [name, "-c", asked, path, *wanted]
        made = subprocess.run(run, cwd=ROOT, capture_output=True, check=True)
        assert json.loads(made.stdout) == release.digest_modules(wanted)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """Three measurements on two networks."""
    with three_measurements(tmp_path) as opened:
        yield opened


def _edit(rule_id: str, **values: Any) -> list[Rule]:
    return [replace(one, **values) if one.rule_id == rule_id else one for one in RULES]


def test_edits_are_named() -> None:
    """Rules by id, numbers by value, modules, lists and notebooks by name; a comment is none."""
    here = Lineage.of(RULES, Thresholds()).with_notebooks()
    own = Rule(rule_id="session.own", condition="FALSE", outcome="unknown", comment="Mine.")
    rules, numbers = [own, *_edit("dns.sinkhole", condition="FALSE")[1:]], Thresholds(floor_days=2)
    assert not here.edits
    other = Lineage.of(rules, numbers).with_notebooks()
    other = replace(
        other,
        modules={**other.modules, "verdicts/floors": "another"},
        notebooks={**other.notebooks, "4-blocked-sites": "another"},
    )
    assert other.edits == (
        "rule dns.sinkhole changed",
        f"rule {RULES[0].rule_id} left out",
        "rule session.own added",
        "floor_days 2 (published: 3)",
        "module verdicts/floors changed",
        "notebook 4-blocked-sites changed",
    )
    assert here.digest != other.digest
    assert Lineage.read({"method": json.loads(json.dumps(other.for_run()))}) == other
    turned = Lineage.of([RULES[1], RULES[0], *RULES[2:]], Thresholds())
    assert list(name_differences(here, turned)) == ["order of the rules changed"]
    reworded = Lineage.of(_edit("dns.sinkhole", comment="In other words."), Thresholds())
    assert reworded.digest == here.digest


def test_code_that_only_says_what_was_found_changes_no_decision() -> None:
    """Its edit is named, and how often the list is right is still known; not of what judges."""
    here = Lineage.of(RULES, Thresholds())
    for module, judges in (
        ("report/charts", False),
        ("review/claims", False),
        ("report/annex", True),
        ("verdicts/floors", True),
    ):
        edited = replace(here, modules={**here.modules, module: "another"})
        assert edited.edits == (f"module {module} changed",)
        assert bool(edited.judging_edits) == judges == bool(edited.digest_edit(""))
    assert Lineage.of(RULES, Thresholds(floor_days=2)).digest_edit("") == ""
    assert here.digest_edit("probe_asn = 1")


def test_measurements_read_by_edited_code_are_read_again(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the code is edited, and when the edit is taken back; else they are read once."""
    monkeypatch.setitem(source_code._READ, "observations/attempts", b"EDITED = True")
    caches = (source_code.digest_file, source_code.digest_module, release.digest_edited_readers)
    for cache in caches:
        cache.cache_clear()
    edited = release.digest_edited_readers()
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()
    assert edited
    assert release.digest_edited_readers() == ""
    counts, request = [], request_of(study.parameters, jobs=1)
    for reader in ("", edited, edited, ""):
        for module in (store, workers, database):
            monkeypatch.setattr(module, "digest_edited_readers", lambda reader=reader: reader)
        counts.append(ingest(request, study.fingerprints).read_count)
    assert counts == [0, 3, 0, 3]  # an object a day


def _run(lineage: Lineage) -> dict[str, Any]:
    parameters = {"probe_cc": "QQ", "since": "2024-01-01", "until": "2025-01-01"}
    return {"parameters": parameters, "rules_version": RULES_VERSION, "method": lineage.for_run()}


def test_a_comparison_names_the_rule_beside_what_moved(study: Study, tmp_path: Path) -> None:
    """And a decision that was taken on the published method does not apply to an edited one."""
    edited, reports = study.variant("edited", rules=_edit("dns.sinkhole", condition="FALSE")), []
    for state, one in (("insufficient", study), ("ok", edited)):
        verdicts = confirm(one, periods=["all"]).verdicts.assign(state=state)
        tables = tmp_path / state / "tables"
        write_table(tables, "verdicts", verdicts)
        write_table(
            tables, "blocked_sites", pd.DataFrame(columns=list(TABLES["blocked_sites"].columns))
        )
        reports.append(Report(tables.parent, _run(one.parameters.lineage)))
    assert find_causes(*reports) == {"method": ["rule dns.sinkhole changed"]}
    assert find_causes(reports[0], reports[0]) == {}
    first, second = (Basis.of_run(one.run) for one in reports)
    assert (first.edited, second.edited) == ("", edited.parameters.lineage.judging.digest)
    assert second.method.endswith(f"edited, digest {second.edited}")


@pytest.mark.parametrize("variant", ["x", None, [1], {"only": {"a": 1}}])
def test_a_report_whose_variant_is_none_is_refused(tmp_path: Path, variant: object) -> None:
    """Somebody may have sent it."""
    run = {**_run(Lineage.of_release()), "variant": variant}
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    with pytest.raises(ParameterError, match=r"its run.json is not that of a report"):
        read_report(tmp_path, "PREVIOUS")


def test_differences_of_strangers_are_told_as_they_are() -> None:
    """An id may look like a place in a sentence; numbers that are gone stand in order."""
    here = Lineage.of_release()
    gone = {**here.thresholds, "zone": 1, "amount": 2, "most": 3}
    run = _run(replace(here, rules={**here.rules, "{foo}": "x"}, thresholds=gone))
    before, after = (Report(Path(), one) for one in (run, _run(here)))
    nothing = pd.DataFrame({name: pd.Series(dtype="str") for name in TABLES["changes"].columns})
    shown = show_changes(nothing, before, after)
    assert "rule {foo} left out, amount none (before: 2), most none" in shown
    edited = _run(replace(here, rules={**here.rules, "mine": "x"}))
    older = {name: told for name, told in _run(here).items() if name != "method"}
    assert find_causes(Report(Path(), older), Report(Path(), edited))["method"] == [
        "rule mine added"
    ]


def test_a_decision_is_on_the_method_and_not_on_the_notebooks() -> None:
    """As of the study, so one that was taken on a report with an edited notebook applies to it."""
    here = Lineage.of_release()
    run = _run(replace(here, notebooks={**here.notebooks, "4-blocked-sites": "edited"}))
    assert Basis.of_run(run).edited == ""


def test_a_baseline_is_part_of_what_made_a_table(study: Study, tmp_path: Path) -> None:
    """It is known by the code of its file; a comment there changes nothing."""
    made, told = [], []
    for listed in ("True", "False", "False  # nobody"):
        path = tmp_path / "own.py"
        path.write_text(_BASELINE.format(listed=listed))
        parameters = replace(study.parameters, variant=load_variant(str(path)))
        made.append(made_from(replace(study, parameters=parameters)))
        told.append({**_run(Lineage.of_release()), "variant": made[-1]["variant"]})
    assert made[0] != made[1] == made[2]
    first, second, third = (Report(tmp_path, run) for run in told)
    assert find_causes(first, second) == {"method": ["baseline of the variant"]}
    assert find_causes(second, third) == {}


_BASELINE = """
import pandas as pd
from analysis.study.variants import Variant
def of_mine(study):
    rows = [("a.example", 64496, {listed}
    , "")]
    return pd.DataFrame(rows, columns=["domain", "probe_asn", "is_listed", "reason"])
variant = Variant("mine", baseline=of_mine)
"""


def test_a_variant_never_touches_its_study(study: Study) -> None:
    """It has tables of its own, in the connection as in the folder, and says what it is."""
    mine = Rule(
        rule_id="session.mine",
        condition="probe_asn = 64496",
        outcome="unknown",
        evidence="discarded",
        comment="Not this network.",
    )
    variant = study.variant("mine", rules=[mine, *RULES], thresholds={"floor_days": 1})
    part = study.variant("part", only="probe_asn = 64497")
    confirm(study, periods=["all"])
    before = _asked(study, "SELECT rule_id::VARCHAR FROM rules")
    confirm(variant, periods=["all"])
    assert _asked(study, "SELECT rule_id::VARCHAR FROM rules") == before
    assert len(_asked(variant, "SELECT rule_id FROM rules")) == len(before) + 1
    assert [_asked(one, "SELECT count(*) FROM observations") for one in (study, variant, part)] == [
        [(3,)],
        [(3,)],
        [(1,)],
    ]
    assert len({start_tables(one) for one in (study, variant, part)}) == 3
    assert "as released" in repr(study)
    assert "mine" in repr(variant)
    assert "rule session.mine added" in repr(variant)
    assert "only probe_asn = 64497" in repr(part)
    assert part.parameters.name_changes()[-1] == (
        "only measurements of web sites with probe_asn = 64497",
        "the others are left out; apps and tools are of all measurements",
    )
    assert variant.variant("published", rules=RULES, thresholds=Thresholds()).thresholds == (
        study.thresholds
    )
    ledger = part.observations.ledger().set_index("reason")["line_count"]
    assert (ledger["kept"], ledger["left_out"], ledger["total"]) == (1, 2, 3)


@pytest.mark.parametrize(
    "condition",
    [
        *("count(*) > 1", "row_number() OVER () < 3", "input::INT > 0", "true) AS a, (true"),
        "row_id IN (SELECT row_id FROM outcomes)",
    ],
)
def test_a_part_has_a_condition_on_observations_alone(study: Study, condition: str) -> None:
    """What a method made is no part of it: the part is kept, and the method may be another."""
    confirm(study)
    with pytest.raises(ParameterError, match=r"^only=.*: it is no condition"):
        study.only(condition)


def _asked(study: Study, query: str) -> list[tuple[Any, ...]]:
    return study.connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": "a/b"}, "label=a/b: 1 to 40 letters"),
        ({"rules": RULES[:-1]}, "rules=x: rule http"),
        ({"rules": [RULES[0], *RULES]}, "2 rules have this id"),
        ({"thresholds": {"floor_session": 1}}, "there is no such threshold"),
        ({"baseline": "SELECT 1"}, "a function of a study is accepted"),
        ({"label": 5}, "label=5: 1 to 40 letters"),
        ({"rules": (1, 2)}, "rules are accepted"),
        ({"thresholds": Thresholds()}, "numbers by name are accepted"),
        ({"only": None}, "a condition in SQL is accepted"),
    ],
)
def test_a_variant_that_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Variant(**{"label": "x", **values})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variant = 1", "the file must set variant = Variant"),
        ("1 / 0", "the file fails with ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", "the file fails with SystemExit: 0"),
        (None, "there is no such file"),
    ],
)
def test_a_file_without_a_variant_is_refused(
    tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "own.py").write_text(text)
    with pytest.raises(ParameterError, match=f"^VARIANT=.*own.py: {message}"):
        load_variant(str(tmp_path / "own.py"))


def test_numbers_are_tried_together(study: Study) -> None:
    """Every combination is a row that says what a study with these numbers says."""
    told: list[tuple[int, int]] = []
    grid = {"floor_sessions": (1, 4), "floor_days": (1,)}
    tried = try_numbers(study, grid, lambda *said: told.append(said))
    assert tried[list(grid)].to_numpy().tolist() == [[1, 1], [4, 1]]
    assert told == [(0, 2), (1, 2), (2, 2)]
    loose = study.variant("loose", thresholds={"floor_sessions": 1, "floor_days": 1})
    states = confirm(loose, periods=["all"]).verdicts.query("is_domestic")["state"]
    assert tried["ok_pair_count"].tolist() == [(states == "ok").sum(), 0]
    with pytest.raises(ParameterError, match="one threshold or two"):
        try_numbers(study, {})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"is_listed": float("nan")}, "is_listed is true or false"),
        ({"is_listed": "False"}, "is_listed is true or false"),
        ({"probe_asn": "AS64496"}, "each row is of a measured pair"),
        ({"probe_asn": 64496.5}, "each row is of a measured pair"),
        ({"domain": None}, "each row is of a measured pair"),
        ({"reason": None, "extra": 1}, ""),
    ],
)
def test_a_baseline_of_ones_own_is_checked(
    study: Study, columns: dict[str, Any], message: str
) -> None:
    """What is missing or a text would count as true."""
    rows = pd.DataFrame(
        [{"domain": "news.example", "probe_asn": 64496, "is_listed": True, "reason": "so"}]
    ).assign(**columns)
    mine = study.variant("mine", baseline=lambda _: rows)
    if message:
        with pytest.raises(ParameterError, match=f"^baseline=.*{message}"):
            find_baselines(mine)
    else:
        assert find_baselines(mine)["own_baseline"]["is_listed"].tolist() == [True]
