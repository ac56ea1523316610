"""Parameters of the command line and of notebooks: what is wrong is said in a line."""

import ast
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.kernelspec import KernelSpecManager

from analysis import source_code
from analysis.commands import reporting
from analysis.commands.settings import VARIABLES, parse_settings
from analysis.errors import ParameterError
from analysis.outcomes.thresholds import Thresholds
from analysis.reference.reference_files import REPOSITORY, ReferenceFile
from analysis.reference.withheld import NONE_WITHHELD
from analysis.study.confirmation import confirm
from analysis.study.parameters import StudyParameters
from analysis.study.study import Study, load_lists, open_study, study_of
from analysis.study.table_folder import MADE_FROM, check_tables, start_tables
from analysis.tables import read_table, write_table
from tests.archives import line_of, put_lines, three_measurements

KH = ["PROBE_CC=KH", "SOURCE=archive", "SINCE=2023-07-01", "UNTIL=2024-07-01"]


_WRONG = [
    (["PROBE_CC=KHM"], "PROBE_CC=KHM: "),
    (["PROBE_CC=K1"], "PROBE_CC=K1: "),
    (["PROBE_CC=KH"], "SOURCE=: must be given for KH (with SINCE and UNTIL, UTC dates): "),
    (KH[:1] + KH[2:], "SOURCE=: must be given for KH: ooni, a folder, URL or s3://"),
    (["PROBE_CC=KH", "SOURCE=x", "UNTIL=2024-07-01"], "SINCE=: must be given with SOURCE"),
    (["PROBE_CC=KH", "SOURCE=x", "SINCE=2024-07-01"], "UNTIL=: must be given with SOURCE"),
    (["PROBE_CC=QQ", "SINCE=2024-02-30"], "SINCE=2024-02-30: a date is written YYYY-MM-DD"),
    (["PROBE_CC=QQ", "SINCE=1.7.2024"], "SINCE=1.7.2024: a date is written YYYY-MM-DD"),
    (["PROBE_CC=QQ", "UNTIL=20240701"], "UNTIL=20240701: a date is written YYYY-MM-DD"),
    (
        ["PROBE_CC=QQ", "SINCE=2024-07-01", "UNTIL=2024-07-01"],
        "UNTIL=2024-07-01: must lie after SINCE",
    ),
    (
        ["PROBE_CC=QQ", "SINCE=2024-07-02", "UNTIL=2024-07-01"],
        "UNTIL=2024-07-01: must lie after SINCE",
    ),
    ([*KH, "SPLIT=2023-07-01"], "SPLIT=2023-07-01: must lie after 2023-07-01 and before"),
    ([*KH, "SPLIT=2024-07-01"], "SPLIT=2024-07-01: must lie after 2023-07-01 and before"),
    ([*KH, "SPLIT=January"], "SPLIT=January: a date is written YYYY-MM-DD"),
    ([*KH, "JOBS=0"], "JOBS=0: a whole number from 1 to 1024 is accepted"),
    ([*KH, "JOBS=-2"], "JOBS=-2: a whole number from 1 to 1024 is accepted"),
    ([*KH, "JOBS=1.5"], "JOBS=1.5: a whole number from 1 to 1024 is accepted"),
    ([*KH, "JOBS=9999"], "JOBS=9999: a whole number from 1 to 1024 is accepted"),
    ([*KH, "KEEP_RAW=yes"], "KEEP_RAW=yes: a whole number from 0 to 1 is accepted"),
    ([*KH, "RELIST=2"], "RELIST=2: a whole number from 0 to 1 is accepted"),
    ([*KH, "JOBS=0000000019999999999"], "JOBS=0000000019999999999: a whole number from 1 to"),
    ([*KH, "JOBS=\u0661"], "JOBS=\u0661: a whole number from 1 to 1024 is accepted"),
    ([*KH, "STORE=a\udcff"], "STORE=a\ufffd: a path or URL in UTF-8"),
    ([*KH, "OUT=a\x1b[31m"], "OUT=a\ufffd[31m: a path or URL in UTF-8"),
    ([*KH, "STORE=~nobody-has-this/x"], "STORE=~nobody-has-this/x: "),
    ([*KH, "OUT=data"], f"OUT={Path('data').absolute()}: holds the STORE "),
    ([*KH[:3], "UNTIL=2999-01-01"], "UNTIL=2999-01-01: lies ahead; 20"),
    (["PROBE_CC=KH,MY", *KH[1:]], "PROBE_CC=KH,MY: make a report of each country, then compare"),
    (["floor_sessions=-1"], "floor_sessions=-1: a whole number from 1 to 1000 is accepted"),
    (["floor_sessions=1e9"], "floor_sessions=1e9: a whole number from 1 to 1000 is accepted"),
    (["share_floor=5"], "share_floor=5: a number from 0 to 1 is accepted"),
    (["share_floor=nan"], "share_floor=nan: a number from 0 to 1 is accepted"),
    (["change_cost=inf"], "change_cost=inf: a number from 0 to 100 is accepted"),
    (["change_cost=-inf"], "change_cost=-inf: a number from 0 to 100 is accepted"),
    (["chance_line=1e-400"], "chance_line=1e-400: a number from 1 to 1e+06 is accepted"),
    (["pool_days=" + "9" * 5000], f"pool_days={'9' * 300}…: a whole number from 0 to 366 is"),
    (
        ["chance_share=0.01"],
        "chance_share=0.01: there is no such threshold any more; the line of the list is chance",
    ),
    (["filter_share=0.5"], "filter_share=0.5: there is no such threshold any more"),
    (["firewall_names=3"], "firewall_names=3: there is no such threshold any more"),
    (["route_days=7"], "route_days=7: there is no such threshold any more"),
    ([*KH, "RECEIPT_MARGIN=-1"], "RECEIPT_MARGIN=-1: a whole number from 0 to 366 is accepted"),
    (["CC=KH"], "CC=KH: there is no such parameter; there are PROBE_CC, SINCE, UNTIL, "),
    (["Floor=1"], "Floor=1: there is no such parameter"),
    (["PROBE_CC"], "argument=PROBE_CC: write NAME=VALUE"),
    (["=KH"], "argument==KH: write NAME=VALUE"),
    (["PROBE-CC=KH"], "argument=PROBE-CC=KH: write NAME=VALUE"),
    (["REPORT_LANGUAGES=en,xx"], "REPORT_LANGUAGES=xx: codes separated by commas"),
    (["STATUS=" + "Draft " * 9], "STATUS=Draft Draft "),
    (["STATUS=--"], "STATUS=--: words on one line, such as Draft 2, of at most 40"),
    (["STATUS=Draft\u202e2"], "STATUS=Draft\ufffd2: words on one line"),
    (["STATUS=Draft\n2"], "STATUS=Draft\ufffd2: words on one line"),
]


def test_a_wrong_argument_is_one_line() -> None:
    """It names the parameter, shows the value and says what is accepted."""
    for arguments, message in _WRONG:
        with pytest.raises(ParameterError, match=f"^{re.escape(message)}") as error:
            parse_settings(arguments)
        assert len(str(error.value)) > len(message) or message.endswith("accepted")


def test_an_empty_argument_is_none() -> None:
    """make passes variables that were not set as empty ones."""
    for name in set(VARIABLES) - {"PROBE_CC", "SOURCE", "SINCE", "UNTIL"}:
        assert parse_settings([*KH, f"{name}="]) == parse_settings(KH), name


def test_settings_of_a_country() -> None:
    """Relative places are meant from where the command runs; URLs stay as they are."""
    settings = parse_settings(
        [
            *KH,
            "STORE=s3://bucket/prefix",
            "TEST_LIST=a.csv,b.csv",
            "JOBS=3",
            "floor_sessions=5",
            "SPLIT=2024-01-01",
        ]
    )
    study = settings.study
    assert str(settings.study.period) == "2023-07-01--2024-07-01"
    assert (study.source, study.store) == (str(Path("archive").absolute()), "s3://bucket/prefix")
    assert study.test_list == f"{Path('a.csv').absolute()},{Path('b.csv').absolute()}"
    assert (settings.jobs, settings.is_embedded, study.split) == (3, False, "2024-01-01")
    assert study.thresholds.changes() == {"floor_sessions": 5}


def test_without_a_country_the_fictional_one_is_reported() -> None:
    """``make report`` alone needs nothing; numbers and places can be given."""
    for arguments in ([], ["floor_sessions=6", "STORE=x", "OUT=y", "JOBS=1"]):
        settings = parse_settings(arguments)
        assert settings.is_embedded
        assert settings.study.label.startswith("qq/2024-01-01--2025-01-01")
        assert settings.study.test_list
        assert settings.study.fingerprints


_OF_A_STUDY = (
    "SINCE=2023-07-01",
    "UNTIL=2024-07-01",
    "SPLIT=2024-05-01",
    "SOURCE=archive",
    "EVENTS=e.yml",
    "TEST_LIST=a.csv",
    "NETWORKS=n.csv",
    "FINGERPRINTS=f",
    "REFERENCE=latest",
    "RECEIPT_MARGIN=3",
)


def test_a_study_of_no_country_is_refused() -> None:
    """Whoever forgets PROBE_CC does not get the fictional country in the place of a study."""
    wanted = "give PROBE_CC as well, the country that is meant (QQ is the fictional one)"
    for argument in _OF_A_STUDY:
        with pytest.raises(ParameterError) as error:
            parse_settings([argument])
        assert str(error.value) == f"{argument}: {wanted}"
        parse_settings(["PROBE_CC=QQ", "SINCE=2024-01-01", "UNTIL=2025-01-01", argument])


# changed numbers --------------------------------------------------------------------------------


def test_changed_numbers_never_replace_the_published_report() -> None:
    """The folder says what was changed, in the order of declaration, for reports and for tables."""
    for numbers, folder in (
        ([], "2023-07-01--2024-07-01"),
        (["floor_sessions=4"], "2023-07-01--2024-07-01"),  # as published
        (
            ["share_floor=0.45", "floor_sessions=6"],
            "2023-07-01--2024-07-01.floor_sessions=6.share_floor=0.45",
        ),
    ):
        settings = parse_settings([*KH, *numbers])
        assert settings.out == REPOSITORY / "reports" / "kh" / folder
        assert settings.study.tables == str(REPOSITORY / "data" / "work" / "kh" / folder / "tables")
        shared = parse_settings([*KH, *numbers], outputs="shared")
        assert shared.out == REPOSITORY / "shared" / "kh" / "2023-07-01--2024-07-01"


def test_a_run_states_its_changed_numbers() -> None:
    """To the notebooks, in run.json and in the header of each page; and with every other
    parameter of every notebook, so that nothing saved in one of them counts."""
    collection: Any = SimpleNamespace(digest="d", files=())
    for words, changed, said in (
        (["floor_sessions=6"], {"floor_sessions": 6}, ["floor_sessions 6 (published: 4)"]),
        ([], {}, []),
    ):
        settings = parse_settings([*KH, *words])
        inputs = reporting.Inputs(settings, load_lists(settings.study), collection, collection)
        contents = reporting.describe_contents(inputs, pd.DataFrame(), has_sensitivity=True)
        parameters = {**contents.parameters, "tables": ""}
        assert parameters["thresholds"] == contents.run["changed_thresholds"] == changed
        assert [text for text, _ in contents.page.method_changes] == said
        for notebook in contents.notebooks:
            assert _declared(notebook).keys() <= parameters.keys(), notebook


def _declared(notebook: Path) -> dict[str, object]:
    """The parameters of a notebook with their defaults."""
    cells = nbformat.read(notebook, as_version=4).cells
    (cell,) = (one for one in cells if "parameters" in one.metadata.get("tags", []))
    nodes: Any = ast.parse(cell.source).body
    return {node.target.id: ast.literal_eval(node.value) for node in nodes}


# the same in a notebook -------------------------------------------------------------------------


def _cell(**changed: Any) -> dict[str, Any]:
    """The names of a notebook after its parameters cell, with some values typed in."""
    notebook = reporting.NOTEBOOKS / "2-confirmation.ipynb"
    return {**_declared(notebook), "pd": pd, **changed}


def test_a_notebook_opens_what_make_report_left() -> None:
    """Without a parameter: the same country, lists and places as the command's."""
    assert StudyParameters.of(_cell()) == parse_settings([]).study


def test_a_wrong_parameter_in_a_notebook_is_one_line() -> None:
    """It names what was typed, and no list that was not."""
    for typed, message in (
        ({"probe_cc": "KE"}, "SOURCE=: must be given for KE (with SINCE and UNTIL, UTC dates): "),
        ({"probe_cc": "KE", "source": "ooni"}, "SINCE=: must be given with SOURCE"),
        ({"since": "2023-07-01"}, "SINCE=2023-07-01: give PROBE_CC as well"),
        ({"probe_cc": "QQ", "since": 2023}, "SINCE=2023: a date is written YYYY-MM-DD"),
        ({"receipt_margin": 400}, "RECEIPT_MARGIN=400: "),
        ({"thresholds": {"floor_session": 6}}, "floor_session=6: there is no such threshold"),
        ({"floor_sessions": 0}, "floor_sessions=0: a whole number from 1 to 1000 is accepted"),
        ({"thresholds": "floor_sessions=6"}, "thresholds=floor_sessions=6: a mapping of names to "),
        ({"thresholds": "[6]"}, "thresholds=[6]: a mapping of names to numbers is accepted"),
        ({"thresholds": 6}, "thresholds=6: a mapping of names to numbers is accepted"),
    ):
        with pytest.raises(ParameterError, match=f"^{re.escape(message)}"):
            StudyParameters.of(_cell(**typed))


def test_a_threshold_is_changed_in_the_mapping_or_by_its_name() -> None:
    """By its name, or in the mapping as a text, as papermill's ``-p`` puts them; and a setup cell
    can be run twice."""
    mapping = {"floor_days": 2}
    for typed in ({"thresholds": mapping}, {"thresholds": json.dumps(mapping)}, mapping):
        study = StudyParameters.of(_cell(**typed))
        assert study.thresholds.changes() == {"floor_days": 2}
        assert StudyParameters.of(_cell(**typed, tables=study.tables)) == study
    assert StudyParameters.of(_cell(thresholds=study.thresholds)).thresholds == study.thresholds


# declared once ----------------------------------------------------------------------------------


def test_the_notebooks_hold_the_cell_that_is_declared(repository_root: Path) -> None:
    """Every name, default and comment."""
    tool = runpy.run_path(str(repository_root / "tools" / "parameters_cells.py"))
    assert tool["main"](is_check=True) == 0, "run tools/parameters_cells.py"


def test_the_command_says_it_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    """Exit status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "analysis", "report", *KH, "JOBS=0", f"OUT={tmp_path / 'out'}"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == "ParameterError: JOBS=0: a whole number from 1 to 1024 is accepted\n"
    assert not list(tmp_path.iterdir())


def test_the_notebooks_name_their_kernel_as_jupyterlab_does(repository_root: Path) -> None:
    """JupyterLab writes its own name of the kernel when it saves: another one is then a change."""
    spec = KernelSpecManager().get_kernel_spec("python3")
    for path in sorted((repository_root / "notebooks").glob("*.ipynb")):
        named = json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]
        expected = {"display_name": spec.display_name, "language": "python", "name": "python3"}
        assert named == expected, path.name


# --- The notebooks' folder of tables: of one study, and no notebook reads another's. --------------


def _study(tables: Path, digest: str = "d", lists: str = "l", **changed: Any) -> Any:
    """As much of a study as its tables are known by."""
    given = StudyParameters("KH", "2023-07-01", "2024-07-01", tables=str(tables))
    parameters = replace(given, **changed)
    first, second = parameters.period.split(parameters.split)
    return SimpleNamespace(
        parameters=parameters,
        probe_cc=parameters.probe_cc,
        thresholds=parameters.thresholds,
        periods={"all": parameters.period, "first": first, "second": second},
        collection=SimpleNamespace(digest=digest),
        part="",
        lists=SimpleNamespace(
            withheld=NONE_WITHHELD,
            files=[ReferenceFile("kh.csv", "country test list", lists, 3)],
            fingerprint_file=None,
            local_sites=SimpleNamespace(file=None),
        ),
    )


def test_the_same_study_finds_its_tables(tmp_path: Path) -> None:
    """However often its first notebooks are run."""
    folder = tmp_path / "new" / "tables"
    assert start_tables(_study(folder)) == str(folder)
    (folder / "verdicts.csv").write_text("x")
    assert check_tables(_study(folder)) == start_tables(_study(folder)) == str(folder)
    assert (folder / "verdicts.csv").is_file()


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"probe_cc": "TH"}, "country or period"),
        ({"until": "2024-06-30"}, "country or period"),
        ({"split": "2024-02-01"}, "country or period"),
        ({"digest": "e"}, "observations"),
        ({"lists": "m"}, "lists"),
        ({"thresholds": Thresholds(floor_days=2)}, "method (floor_days 3 (before: 2))"),
        ({"digest": "e", "lists": "m"}, "observations and lists"),
    ],
)
def test_tables_of_another_study_are_refused(
    tmp_path: Path, other: dict[str, Any], what: str
) -> None:
    """In one sentence that says what differs and what to run; a notebook that begins anew leaves
    none of them, and nothing else of the folder goes."""
    start_tables(_study(tmp_path, **other))
    for name in ("verdicts.csv", "blocked_sites.xlsx", "my notes.txt"):
        (tmp_path / name).write_text("x")
    with pytest.raises(ParameterError) as error:
        check_tables(_study(tmp_path))
    assert str(error.value) == (
        f"tables={tmp_path}: the tables in it are of a study that differs in {what}; "
        'run 1-ingestion and 2-confirmation first, with probe_cc="KH", since="2023-07-01", '
        'until="2024-07-01"'
    )
    start_tables(_study(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [MADE_FROM, "my notes.txt"]


def test_missing_tables_name_the_notebooks_to_run(tmp_path: Path) -> None:
    """With the numbers that were changed."""
    for content in ("", "{", "[]"):
        (tmp_path / MADE_FROM).write_text(content)
        with pytest.raises(
            ParameterError,
            match=r"there are no tables of this study; run 1-.*01"
            r'", thresholds={"floor_days": 2}$',
        ):
            check_tables(_study(tmp_path, thresholds=Thresholds(floor_days=2)))


def test_tables_of_a_report_are_left_alone(tmp_path: Path) -> None:
    """A folder that no notebook began is nobody's to empty."""
    (tmp_path / "verdicts.csv").write_text("x")
    with pytest.raises(ParameterError, match=r"verdicts\.csv in it is not of a notebook"):
        start_tables(_study(tmp_path))
    assert (tmp_path / "verdicts.csv").read_text() == "x"


# --- A study in a notebook: a part of it, how it shows itself, and what is refused. ---------------


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """Three measurements on two networks."""
    with three_measurements(tmp_path) as opened:
        yield opened


def test_a_part_of_a_study_is_judged_alone(study: Study) -> None:
    """Its numbers are of its own measurements, and its tables never mix with those of the whole,
    whichever is judged first."""
    part = study.only("probe_asn = 64497")
    both = part.only("measurement_start_time < '2024-02-01'")
    judged = {name: confirm(one).verdicts for name, one in (("part", part), ("whole", study))}
    sums = {
        name: table.query("period == 'all'")["measurement_count"].sum()
        for name, table in judged.items()
    }
    assert sums == {"part": 1, "whole": 3}
    assert study.connection.execute("SELECT count(*) FROM observations").fetchall() == [(3,)]
    assert len({start_tables(one) for one in (study, part, both)}) == 3
    assert part.sources()["measurements"] == "only probe_asn = 64497"
    assert both.part == "only probe_asn = 64497, only measurement_start_time < '2024-02-01'"


def test_runs_are_drawn_with_replacement(tmp_path: Path) -> None:
    """As many runs as there are, each whole and as often as it was drawn; the same ones by one seed
    whatever the order of the rows, others by another; what is judged counts a run as often."""
    lines = [
        line_of(
            report,
            measurement_start_time=f"2024-01-1{report} 10:00:0{second}",
            input=f"https://{name}.example/",
            test_start_time=f"2024-01-1{report} 09:59:00",
        )
        for report in range(5)
        for second, name in enumerate(("one", "two"))
    ]
    drawn: list[list[Any]] = []
    for place, order in (("forth", lines), ("back", lines[::-1])):
        put_lines(tmp_path / place, order)
        whole = _open(tmp_path / place, tmp_path)
        before = _list_runs(whole)
        assert [count for *_, count in before] == [2] * 5
        drawn.append([_list_runs(whole.resample(seed)) for seed in (7, 7, 8)])
        assert _list_runs(whole) == before
    assert drawn[0] == drawn[1]
    first, again, other = drawn[0]
    assert first == again != other
    assert [run for run, *_ in first] == [1, 2, 3, 4, 5]
    assert {count for *_, count in first} == {2}
    reports = [report for _, report, _ in first]
    twice = next(report for report in reports if reports.count(report) > 1)
    resampled = whole.resample(7)
    verdicts = confirm(resampled).verdicts
    told = verdicts.query("period == 'all'")
    assert told["session_count"].tolist() == [5, 5]
    assert told["day_count"].tolist() == [len(set(reports))] * 2
    ids = "SELECT count(*), count(DISTINCT row_id) FROM observations"
    assert resampled.connection.execute(ids).fetchall() == [(10, 10)]
    one = whole.only(f"report_id = '{twice}'").resample(1)
    assert _list_runs(one) == [(1, twice, 2)]
    assert "only report_id" in repr(one)
    assert "2 measurements" in repr(one)
    assert "resampled by run, seed 1\n" in repr(one)
    assert len({start_tables(study) for study in (whole, resampled, whole.resample(8), one)}) == 4
    with pytest.raises(ParameterError, match=r'^by=probe: only "run" can be drawn'):
        whole.resample(7, by="probe")
    for seed in (-1, 0.5):
        with pytest.raises(ParameterError, match=f"^seed={seed}: a whole number"):
            whole.resample(seed)  # type: ignore[arg-type]


def _open(archive: Path, place: Path) -> Study:
    return open_study(
        StudyParameters(
            probe_cc="QQ",
            since="2024-01-01",
            until="2024-02-01",
            source=str(archive),
            store=str(place / "store"),
            tables=str(place / f"{archive.name}-tables"),
        ),
        jobs=1,
    )


def _list_runs(study: Study) -> list[Any]:
    """Each run with its report and its number of measurements."""
    return study.connection.execute(
        "SELECT run, min(report_id), count(*) FROM observations GROUP BY run ORDER BY run"
    ).fetchall()


def test_tables_verdicts_and_queries_merge(study: Study) -> None:
    """A published table, the judge's frame and SQL know a network by one number."""
    judged = confirm(study).verdicts.query("period == 'all'")
    write_table(study.parameters.tables, "verdicts", judged)
    published = read_table(study.parameters.tables, "verdicts")
    asked = study.connection.execute(
        "SELECT domain, probe_asn, count(*) AS asked_count FROM sessions GROUP BY ALL"
    ).df()
    pair = ["domain", "probe_asn"]
    merged = published.merge(judged[pair], on=pair).merge(asked, on=pair)
    assert merged["probe_asn"].tolist() == [64496, 64497]
    assert merged["asked_count"].tolist() == merged["session_count"].tolist()
    assert merged["session_count"].sum() == asked["asked_count"].sum()


def test_a_condition_that_finds_nothing_is_refused(study: Study) -> None:
    for condition, message in (
        ("probe_asm = 64497", "only=probe_asm = 64497: it is no condition over the columns"),
        ("probe_asn = 1", "only=probe_asn = 1: it is true of no measurement of this study"),
        ("probe_asn", "only=probe_asn: it is no condition, which is true or false"),
        (
            "probe_asn = 'AS1'",
            "only=probe_asn = 'AS1': it is no condition over the columns of observations: Conv",
        ),
        (" ", "only= : it is no condition"),
    ):
        with pytest.raises(ParameterError, match=f"^{message}"):
            study.only(condition)


def test_a_misspelt_name_is_refused_and_a_changed_number_is_announced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The published method, run under a name that nobody declared, would be believed."""
    for name, said in (
        ("floor_session", "is floor_sessions meant"),
        ("probe_c", "is probe_cc meant"),
        ("PROBE_CC", "is probe_cc meant"),
        ("country", "no such parameter"),
    ):
        with pytest.raises(ParameterError, match=said):
            study_of({name: 6})
    with pytest.raises(ParameterError, match="must be given for KH"):
        study_of({"__name__": "a notebook", "probe_cc": "KH", "flag": True, "sessions": 6})
    with pytest.raises(ParameterError, match="this fictional country"):
        study_of({"probe_cc": "QX", "floor_sessions": 6})
    assert capsys.readouterr().out.startswith("floor_sessions 6 (published: 4): ")


def test_an_edited_file_asks_for_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would go on with the rules that it imported, and say that nothing changes."""
    monkeypatch.setitem(source_code._READ, "outcomes/rules", b"another")
    with pytest.raises(ParameterError, match=r"^analysis=analysis/outcomes/rules\.py: edited"):
        study_of({})


def test_an_error_in_a_notebook_is_one_sentence() -> None:
    """The traceback is folded, and what it says of anybody's text is inert."""
    shell = InteractiveShell.instance()
    try:
        with capture_output() as shown:
            shell.run_cell(
                "from analysis.errors import ParameterError\n"
                "raise ParameterError('SINCE', '<script>', 'a date')"
            )
    finally:
        InteractiveShell.clear_instance()
    assert "ParameterError: SINCE=<script>: a date" in shown.stdout
    assert "run_cell" not in shown.stdout
    (folded,) = (output.data["text/html"] for output in shown.outputs)
    assert folded.startswith("<details>")
    assert "<script>" not in folded
