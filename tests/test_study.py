"""A study in a notebook: a part of it, how it shows itself, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from analysis.errors import ParameterError
from analysis.study import imported
from analysis.study.confirmation import confirm
from analysis.study.parameters import StudyParameters
from analysis.study.study import Study, open_study, study_of
from analysis.study.table_folder import start_tables
from tests.archives import line_of, object_key, put

DAY = "20240110"


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """Three measurements on two networks."""
    lines = [
        line_of(n, measurement_start_time=f"2024-01-1{n} 10:00:00", probe_asn=asn)
        for n, asn in enumerate(("AS64496", "AS64496", "AS64497"))
    ]
    put(tmp_path / "archive", object_key(day=DAY), lines)
    parameters = StudyParameters(
        probe_cc="QQ", since="2024-01-01", until="2024-02-01", source=str(tmp_path / "archive"),
        store=str(tmp_path / "store"), tables=str(tmp_path / "tables"),
    )  # fmt: skip
    opened = open_study(parameters, jobs=1)
    yield opened
    opened.observations.close()


def test_a_part_of_a_study_is_judged_alone(study: Study) -> None:
    """Its numbers are of its own measurements, and its tables never mix with those of the whole,
    whichever is judged first."""
    part = study.only("probe_asn = 64497")
    both = part.only("measurement_start_time < '2024-02-01'")
    judged = {name: confirm(one, one.networks(), one.thresholds).verdicts
              for name, one in (("part", part), ("whole", study), ("both", both))}  # fmt: skip
    sums = {name: table.query("period == 'all'")["measurement_count"].sum()
            for name, table in judged.items()}  # fmt: skip
    assert sums == {"part": 1, "whole": 3, "both": 1}
    assert study.connection.execute("SELECT count(*) FROM observations").fetchall() == [(3,)]
    assert len({start_tables(one) for one in (study, part, both)}) == 3
    assert part.sources()["measurements left out"] == "all but probe_asn = 64497"
    assert both.part == "probe_asn = 64497 and measurement_start_time < '2024-02-01'"


def test_a_condition_that_finds_nothing_is_refused(study: Study) -> None:
    for condition, message in (
        ("probe_asm = 64497", "only=probe_asm = 64497: it is no condition over the columns"),
        ("probe_asn = 1", "only=probe_asn = 1: it is true of no measurement of this study"),
    ):
        with pytest.raises(ParameterError, match=f"^{message}"):
            study.only(condition)


def test_a_misspelt_name_is_refused_and_a_changed_number_is_announced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The published method, run under a name that nobody declared, would be believed."""
    for name, meant in (("floor_session", "floor_sessions"), ("probe_c", "probe_cc")):
        with pytest.raises(ParameterError, match=f"is {meant} meant"):
            study_of({name: 6})
    with pytest.raises(ParameterError, match="must be given for KH"):
        study_of({"probe_cc": "KH", "flag": True, "sessions": 6})
    with pytest.raises(ParameterError, match="this fictional country"):
        study_of({"probe_cc": "QX", "floor_sessions": 6})
    assert capsys.readouterr().out.startswith("floor_sessions 6 (published: 4): ")


def test_an_edited_file_asks_for_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would go on with the rules that it imported, and say that nothing changes."""
    monkeypatch.setitem(
        imported.IMPORTED["outcomes"], "analysis/outcomes/rules.py", "another digest"
    )
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
