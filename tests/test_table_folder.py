"""The notebooks' folder of tables: of one study, and no notebook reads another's."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.errors import ParameterError
from analysis.outcomes.thresholds import Thresholds
from analysis.reference.reference_files import ReferenceFile
from analysis.study.parameters import StudyParameters
from analysis.study.table_folder import MADE_FROM, check_tables, start_tables


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
        lists=SimpleNamespace(
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
        ({"thresholds": Thresholds(floor_days=2)}, "thresholds"),
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
        f"tables={tmp_path}: the tables in it are of other {what}; run 1-ingestion and "
        '2-confirmation first, with probe_cc="KH", since="2023-07-01", until="2024-07-01"'
    )
    start_tables(_study(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [MADE_FROM, "my notes.txt"]


def test_missing_tables_name_the_notebooks_to_run(tmp_path: Path) -> None:
    """With the numbers that were changed."""
    for content in ("", "{", "[]"):
        (tmp_path / MADE_FROM).write_text(content)
        with pytest.raises(ParameterError, match=r"there are no tables of this study; run 1-.*01"
                           r'", thresholds={"floor_days": 2}$'):  # fmt: skip
            check_tables(_study(tmp_path, thresholds=Thresholds(floor_days=2)))


def test_tables_of_a_report_are_left_alone(tmp_path: Path) -> None:
    """A folder that no notebook began is nobody's to empty."""
    (tmp_path / "verdicts.csv").write_text("x")
    with pytest.raises(ParameterError, match=r"verdicts\.csv in it is not of a notebook"):
        start_tables(_study(tmp_path))
    assert (tmp_path / "verdicts.csv").read_text() == "x"
