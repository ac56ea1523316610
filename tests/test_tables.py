"""What is published: checked against the contract, harmless to open, the same every time."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ContractError, ParameterError
from analysis.tables import TABLES, disarm, read_table, write_table


def _changes(**given: Any) -> pd.DataFrame:
    """A valid ``network_changes`` of two rows, with ``given`` columns on top."""
    table = pd.DataFrame({
        "probe_asn": ["AS2", "AS1"], "network": ["Two", "One"], "first_measurement_count": [2, 1],
        "second_measurement_count": [0, 1], "change": ["only_first", "both"],
    })  # fmt: skip
    return table.assign(**given)


def test_a_table_is_written_as_the_contract_says(tmp_path: Path) -> None:
    """One header row, sorted by key, LF, ISO dates, true and false, four decimals, AS numbers."""
    frame = pd.DataFrame({
        "domain": ["b.example", "a.example"], "probe_asn": [64500, 64501], "period": "all",
        "state": "ok", "blocked_share": [1 / 3, None], "blocked_share_low": [0, float("nan")],
        "blocked_share_high": [1, None], "blocked_from": [pd.Timestamp("2024-01-09"), pd.NaT],
        "sessions_to_flip": pd.array([pd.NA, 3], dtype="Int64"), "is_extra": "left out",
    })  # fmt: skip
    for column, kind in TABLES["verdicts"].columns.items():
        if column not in frame:
            frame[column] = 1 if kind == "count" else ""
    written = write_table(tmp_path, "verdicts", frame)
    raw = (tmp_path / "verdicts.csv").read_bytes()
    lines = raw.decode().split("\n")
    assert b"\r" not in raw
    assert lines[-1] == ""
    assert lines[0] == ",".join(TABLES["verdicts"].columns)
    assert lines[1].startswith("a.example,AS64501,all,ok,")
    assert lines[2].startswith("b.example,AS64500,all,ok,")
    assert ",0.3333,0.0000,1.0000,2024-01-09," in lines[2]
    assert written["sessions_to_flip"].isna().tolist() == [False, True]
    assert written["blocked_share"].isna().tolist() == [True, False]


def test_a_table_that_would_lie_is_refused(tmp_path: Path) -> None:
    """Which check and which rows; nothing is written, and what was there stays."""
    write_table(tmp_path, "network_changes", _changes())
    before = (tmp_path / "network_changes.csv").read_bytes()
    for frame, message in (
        (_changes(probe_asn=["AS1", "AS1"]), "two rows with probe_asn=AS1"),
        (_changes(probe_asn=["AS1", ""]), "a row has no probe_asn"),
        (_changes(probe_asn=["AS1", None]), "a row has no probe_asn"),
        (_changes(first_measurement_count=[1, -1]), "first_measurement_count is negative"),
        (_changes().drop(columns="change"), "no column change"),
    ):
        with pytest.raises(ContractError, match=f"^network_changes: {message}$"):
            write_table(tmp_path, "network_changes", frame)
    assert (tmp_path / "network_changes.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["network_changes.csv"]


def test_a_spreadsheet_runs_nothing() -> None:
    """A cell that would run is a text with an apostrophe in front."""
    for text in ("=1+1", "+1", "-1", "＝1+1", "'=1+1", "@SUM(A1)", "\t=1", "\r=1",
                 "=cmd|' /C calc'!A0", "-2+3+cmd", '=HYPERLINK("http://x","y")'):  # fmt: skip
        assert disarm(text)[0] == "'", text


def test_a_text_comes_back_as_it_was(tmp_path: Path) -> None:
    """Markup, quotes, lines, formulas, what looks like a number or nothing at all, and megabytes,
    since readers take a file in blocks; control characters are shown as replacements."""
    texts = ["=1+1", "'=1+1", "''=x", "'quoted", "plain", "a,b", 'say "x"', "two\nlines", " =1",
             "<script>alert(1)</script>", "ខ្មែរ", "\u202eevil", "NA", "nan", "None", "null",
             "1e5", "007", "true", "AS1;AS2", "line of a title\n" * 200_000,
             "a\0b", "\x1b[31m\x7f"]  # fmt: skip
    frame = pd.DataFrame({"key": [f"{n:02}" for n in range(len(texts))], "why": texts})
    table = write_table(tmp_path, "objects_not_read", frame)
    assert table["why"].tolist() == [*texts[:-2], "a�b", "�[31m�"]


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(_TEXT, min_size=1, max_size=5))
def test_no_text_breaks_a_table(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Any text of a measurement leaves one line structure, no control character, nothing to run,
    and is read back as it was, control characters apart."""
    folder = tmp_path_factory.mktemp("tables")
    frame = pd.DataFrame({"key": [f"k{n}" for n in range(len(texts))], "why": texts})
    found = write_table(folder, "objects_not_read", frame)
    raw = (folder / "objects_not_read.csv").read_bytes()
    assert not set(raw) & (set(range(32)) - {9, 10})
    assert 127 not in raw
    assert len(found) == len(texts)
    for text, back in zip(texts, found["why"], strict=True):
        if text.isprintable():
            assert back == text


def test_a_table_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    """The notebook that writes it has to run first."""
    with pytest.raises(ParameterError, match=r"verdicts\.csv is not in it; run 2-confirmation"):
        read_table(tmp_path, "verdicts")


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    """No finding is a finding too: the file is there, with its header."""
    for name, table in TABLES.items():
        written = write_table(tmp_path, name, pd.DataFrame(columns=list(table.columns)))
        assert list(written.columns) == list(table.columns), name
        assert written.empty, name
