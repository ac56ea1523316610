"""The words of the command line: what is wrong is said in one line, before anything is written."""

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.commands.reporting import read_thresholds
from analysis.commands.settings import VARIABLES, parse_settings
from analysis.errors import ParameterError
from analysis.reference.files import REPOSITORY

KH = ["PROBE_CC=KH", "SOURCE=archive", "SINCE=2023-07-01", "UNTIL=2024-07-01"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["PROBE_CC=KHM"], "PROBE_CC=KHM: "),
        (["PROBE_CC=K1"], "PROBE_CC=K1: "),
        (["PROBE_CC=KH"], "SOURCE=: must be given for KH: ooni, a folder, URL or"),
        (["PROBE_CC=KH", "SOURCE=x", "UNTIL=2024-07-01"], "SINCE=: must be given with SOURCE"),
        (["PROBE_CC=KH", "SOURCE=x", "SINCE=2024-07-01"], "UNTIL=: must be given with SOURCE"),
        (["SINCE=2024-02-30"], "SINCE=2024-02-30: a date is written YYYY-MM-DD"),
        (["SINCE=1.7.2024"], "SINCE=1.7.2024: a date is written YYYY-MM-DD"),
        (["UNTIL=20240701"], "UNTIL=20240701: a date is written YYYY-MM-DD"),
        (["SINCE=2024-07-01", "UNTIL=2024-07-01"], "UNTIL=2024-07-01: must lie after SINCE"),
        (["SINCE=2024-07-02", "UNTIL=2024-07-01"], "UNTIL=2024-07-01: must lie after SINCE"),
        ([*KH, "SPLIT=2023-07-01"], "SPLIT=2023-07-01: must lie after 2023-07-01 and before"),
        ([*KH, "SPLIT=2024-07-01"], "SPLIT=2024-07-01: must lie after 2023-07-01 and before"),
        ([*KH, "SPLIT=January"], "SPLIT=January: a date is written YYYY-MM-DD"),
        ([*KH, "JOBS=0"], "JOBS=0: a whole number from 1 to 1024 is accepted"),
        ([*KH, "JOBS=-2"], "JOBS=-2: a whole number from 1 to 1024 is accepted"),
        ([*KH, "JOBS=1.5"], "JOBS=1.5: a whole number from 1 to 1024 is accepted"),
        ([*KH, "JOBS=9999"], "JOBS=9999: a whole number from 1 to 1024 is accepted"),
        ([*KH, "KEEP_RAW=yes"], "KEEP_RAW=yes: a whole number from 0 to 1 is accepted"),
        ([*KH, "RECEIPT_MARGIN=-1"], "RECEIPT_MARGIN=-1: a whole number from 0 to 366 is accepted"),
        (["CC=KH"], "CC=KH: there is no such parameter; there are PROBE_CC, SINCE, UNTIL, "),
        (["Floor=1"], "Floor=1: there is no such parameter"),
        (["PROBE_CC"], "parameter=PROBE_CC: write NAME=VALUE"),
        (["=KH"], "parameter==KH: write NAME=VALUE"),
        (["PROBE-CC=KH"], "parameter=PROBE-CC=KH: write NAME=VALUE"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_one_line(words: list[str], message: str) -> None:
    """It names the parameter, shows the value and says what is accepted."""
    with pytest.raises(ParameterError) as found:
        parse_settings(words)
    assert str(found.value).startswith(message)
    assert len(str(found.value)) > len(message) or message.endswith("accepted")
    assert found.value.exit_status == 2


def test_a_value_with_lines_of_its_own_stays_one_line() -> None:
    """Whatever somebody pastes, a script that reads the error reads one line."""
    with pytest.raises(ParameterError) as found:
        parse_settings(["PROBE_CC=K\nH\x1b[31m"])
    assert str(found.value).isprintable()


@pytest.mark.parametrize("name", sorted(set(VARIABLES) - {"PROBE_CC", "SOURCE", "SINCE", "UNTIL"}))
def test_an_empty_word_is_none(name: str) -> None:
    """make passes variables that were not set as empty words."""
    assert parse_settings([*KH, f"{name}="]) == parse_settings(KH)


def test_settings_of_a_country() -> None:
    """Relative places are meant from where the command runs; URLs stay as they are."""
    settings = parse_settings([*KH, "STORE=s3://bucket/prefix", "TEST_LIST=a.csv,b.csv", "JOBS=3",
                               "floor_sessions=5", "SPLIT=2024-01-01"])  # fmt: skip
    assert settings.probe_cc == "KH"
    assert str(settings.period) == "2023-07-01--2024-07-01"
    assert settings.source == str(Path("archive").absolute())
    assert settings.store == "s3://bucket/prefix"
    assert settings.test_list == f"{Path('a.csv').absolute()},{Path('b.csv').absolute()}"
    assert settings.out == REPOSITORY / "reports" / "kh" / "2023-07-01--2024-07-01"
    assert (settings.jobs, settings.is_embedded) == (3, False)
    assert settings.method == {"floor_sessions": "5"}
    assert settings.notebook_parameters()["split"] == "2024-01-01"


def test_without_a_word_the_fictional_country_is_reported() -> None:
    """``make report`` alone needs nothing."""
    settings = parse_settings([])
    assert settings.is_embedded
    assert settings.probe_cc == "QQ"
    assert settings.test_list
    assert settings.fingerprints
    assert settings.events


def test_a_real_country_gets_no_fictional_list() -> None:
    """What was not given is not filled from elsewhere."""
    settings = parse_settings(KH)
    lists = (settings.test_list, settings.networks, settings.fingerprints, settings.events)
    assert lists == ("", "", "", "")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "floor_session=5",
            "floor_session=5: there is no such threshold; there ",
        ),
        ("floor_sessions=many", "floor_sessions=many: a whole number from 1 to 1000 is accepted"),
        ("floor_sessions=4.5", "floor_sessions=4.5: a whole number from 1 to 1000 is accepted"),
        ("floor_sessions=0", "floor_sessions=0: a whole number from 1 to 1000 is accepted"),
        ("share_floor=1.5", "share_floor=1.5: a number from 0 to 1 is accepted"),
        ("share_floor=nan", "share_floor=nan: a number from 0 to 1 is accepted"),
        ("share_floor=", "share_floor=: "),
        ("tables=x", "tables=x: there is no such threshold"),
        ("probe_cc=KH", "probe_cc=KH: there is no such threshold"),
    ],
)
def test_a_wrong_threshold_is_one_line(word: str, message: str) -> None:
    """Whether the name or the value is wrong."""
    with pytest.raises(ParameterError) as found:
        read_thresholds(parse_settings([*KH, word]))
    assert str(found.value).startswith(message)
    assert len(str(found.value).splitlines()) == 1


def test_thresholds_are_read_in_their_types() -> None:
    """A whole number stays whole."""
    settings = parse_settings([*KH, "floor_sessions=6", "share_floor=0.45"])
    assert read_thresholds(settings).changes() == {"floor_sessions": 6, "share_floor": 0.45}
    assert type(read_thresholds(settings).floor_sessions) is int


def test_the_command_says_it_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    """Exit status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "analysis", "report", *KH, "JOBS=0", f"OUT={tmp_path / 'out'}"],
        capture_output=True, check=False, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "ParameterError: JOBS=0: a whole number from 1 to 1024 is accepted\n"
    assert not list(tmp_path.iterdir())
