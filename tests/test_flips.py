"""What flips against the published run: in which order, and against which run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.outcomes.thresholds import Thresholds
from analysis.pages.markup import PUBLISHING
from analysis.report import differences
from analysis.study.parameters import StudyParameters

STRICT = Thresholds(floor_sessions=9)


def _verdicts(*states: str) -> pd.DataFrame:
    return pd.DataFrame({
        "domain": [f"{letter}.test" for letter in "abcd"[: len(states)]], "probe_asn": "AS1",
        "period": "all", "state": states, "rule_id": "", "set_aside_reason": "",
    })  # fmt: skip


BEFORE, AFTER = _verdicts("ok", "blocked", "ok", "ok"), _verdicts("down", "ok", "blocked", "ok")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is displayed: the arguments of each call."""
    calls: list[Any] = []
    for name in ("show_finding", "show_text"):
        monkeypatch.setattr(differences, name, lambda *words: calls.append(words))
    monkeypatch.setattr(differences, "show_table", lambda frame, **_: calls.append(frame))
    return calls


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A study whose report would lie in a folder of the test's own; nothing is judged."""
    monkeypatch.setattr(differences, "REPOSITORY", tmp_path)
    monkeypatch.setattr(differences, "find_verdicts", lambda *_: BEFORE)
    parameters = StudyParameters("AA", "2024-01-01", "2025-01-01")
    return SimpleNamespace(parameters=parameters, network_names=dict)


def _publish(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a report lie there."""
    tables = differences.find_published(study)
    tables.mkdir(parents=True)
    (tables / "verdicts.csv").write_text("")
    monkeypatch.setattr(differences, "read_table", lambda *_: BEFORE)


def test_what_comes_on_the_list_stands_first(
    study: Any, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then what leaves it, then other changes; what stays is left out."""
    _publish(study, monkeypatch)
    flipped = differences.show_flips(study, pd.DataFrame(), AFTER, Thresholds())
    assert len(flipped) == 3
    (name, claim, *_), table = shown
    assert name == "flips"
    assert claim == (
        "Against the published report, 1 pairs of site and network come on the list and 1 leave it."
    )
    assert table["domain"].tolist() == ["c.test", "b.test", "a.test"]
    assert table["change"].tolist() == ["listed", "unlisted", "restated"]


def test_a_page_does_not_depend_on_what_lies_on_the_disk(
    study: Any, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the published numbers there is nothing to say; by others, the published ones judge."""
    monkeypatch.setenv(PUBLISHING, "1")
    for is_there in (False, True):
        if is_there:
            _publish(study, monkeypatch)
        assert differences.show_flips(study, pd.DataFrame(), AFTER, Thresholds()).empty
        assert len(differences.show_flips(study, pd.DataFrame(), AFTER, STRICT)) == 3
    (nothing,), (_, claim, *_), *_ = shown
    assert nothing.startswith("This run has the numbers and rules that are published")
    assert claim.startswith("Against the published numbers, ")
    assert str(shown[:3]) == str(shown[3:])


def test_without_a_difference_it_is_one_sentence(
    study: Any, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(study, monkeypatch)
    differences.show_flips(study, pd.DataFrame(), BEFORE, Thresholds())
    assert shown == [
        ("Against the published report no pair of site and network changes its state.",)
    ]


def test_gathered_rows_keep_the_order_of_changes() -> None:
    frame = pd.DataFrame({
        "domain": ["a.test", "a.test", "b.test"], "probe_asn": ["AS1", "AS2", "AS1"],
        "change": ["restated", "restated", "listed"],
    })  # fmt: skip
    assert differences.gather(frame).to_numpy().tolist() == [
        ["b.test", "listed", "AS1"], ["a.test", "restated", "AS1;AS2"],
    ]  # fmt: skip
