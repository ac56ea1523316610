"""Both ways into the environment name the same versions, and make hands on what it is given."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MAKE = shutil.which("make")
needs_make = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def _pins(path: Path) -> list[Requirement]:
    """The pins of a requirements file, hashes and comments left out, in file order."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [re.sub(r"\s+--hash=\S+", "", line).strip() for line in text.splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_lock_and_constraints_name_the_same_versions(repository_root: Path) -> None:
    """A conda user and a pip user read each other's numbers."""
    lock = [str(pin) for pin in _pins(repository_root / "requirements.lock")]
    assert lock == [str(pin) for pin in _pins(repository_root / "constraints.txt")]


def test_the_lock_covers_everything_that_the_project_asks_for(repository_root: Path) -> None:
    """Each dependency and the build back-end is pinned to a version that it accepts."""
    project = tomllib.loads((repository_root / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    asked = [
        *project["project"]["dependencies"],
        *(text for extra in extras for text in extra if project["project"]["name"] not in text),
        *project["build-system"]["requires"],
    ]
    pins: dict[str, list[Requirement]] = {}
    for pin in _pins(repository_root / "requirements.lock"):
        pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    for text in asked:
        wanted = Requirement(text)
        found = pins.get(canonicalize_name(wanted.name), [])
        versions = [spec.version for pin in found for spec in pin.specifier]
        assert versions, f"{wanted} is not in requirements.lock: run tools/lock.sh"
        assert all(wanted.specifier.contains(version) for version in versions), text


@pytest.mark.parametrize(
    "name", [*("requirements.lock", "constraints.txt"), *("tools/uv.txt", "tools/s3-server.txt")]
)
def test_pins_are_exact_and_name_no_index(repository_root: Path, name: str) -> None:
    """Every version is exact, hashed where pip allows it, and comes from wherever pip looks."""
    text = (repository_root / name).read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-(?!-hash=)", text, re.MULTILINE)
    pins = _pins(repository_root / name)
    assert pins
    assert all([spec.operator for spec in pin.specifier] == ["=="] for pin in pins)
    if name != "constraints.txt":
        entries = re.split(r"\n(?=\S)", text.strip())
        assert len(entries) == len(pins)
        assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_conda_takes_the_constraints(repository_root: Path) -> None:
    """The conda environment installs the project itself, held to the lock's versions."""
    content = yaml.safe_load((repository_root / "environment.yml").read_text(encoding="utf-8"))
    *packages, pip = content["dependencies"]
    assert packages == ["python>=3.11,<3.14", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}


# make, with a stand-in for the environment's Python that prints its arguments -------------------


@pytest.fixture
def house(tmp_path: Path, repository_root: Path) -> Path:
    """A copy of the Makefile in a folder with a space, whose .venv looks installed."""
    folder = tmp_path / "the house"
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copytree(repository_root / "tools", folder / "tools")
    for name in ("requirements.lock", "pyproject.toml", "Makefile"):
        shutil.copy(repository_root / name, folder / name)
    _script(folder / ".venv/bin/python", 'for a; do printf "[%s]\\n" "$a"; done; exit $STATUS')
    (folder / ".venv" / ".installed-from-lock").write_text(f"{folder.resolve()}\n")
    return folder


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


def _make(
    house: Path, *arguments: str, status: int = 0, **environment: str
) -> tuple[int, list[str]]:
    """Run make; give its exit code and the lines that it printed."""
    assert MAKE
    clean = {"PATH": os.environ["PATH"], "STATUS": str(status), **environment}
    done = subprocess.run(
        [MAKE, *arguments], cwd=house, env=clean, text=True, check=False, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()


@needs_make
@pytest.mark.parametrize("target", ["report", "ingest"])
def test_make_hands_on_every_variable_as_it_was_typed(house: Path, target: str) -> None:
    """Spaces, quotes, dollars and unknown names reach the command line, which judges them."""
    given = [
        "EVENTS=",
        """OUT=a  b's "c" $d ${e} $(f) `g`; h & i \\ #j""",
        "PROBE_CC=NO",
        "PROBE_C=QQ",
        "TEST_LIST=lists/a.csv,lists/b c.csv",
        "floor_sessions=6",
    ]
    code, lines = _make(house, target, *given, SOURCE="from $the environment", OUT="not this")
    assert code == 0
    assert lines[:3] == ["[-m]", "[analysis]", f"[{target}]"]
    assert sorted(lines[3:]) == sorted(
        f"[{argument}]" for argument in [*given, "SOURCE=from $the environment"]
    )


@needs_make
@pytest.mark.parametrize("status", [1, 2, 3, 4])
def test_make_ends_with_the_exit_status(house: Path, status: int) -> None:
    """Scripts read the status in the last line, since make itself ends with 2 for any failure."""
    code, lines = _make(house, "report", "PROBE_CC=QQ", status=status)
    assert code == 2
    assert re.search(rf"\bexit status {status}\b", lines[-1])
    assert not list((house / ".venv").glob(".exit-status-*"))


@needs_make
def test_a_value_of_two_lines_runs_nothing(house: Path) -> None:
    """It could otherwise become a second command."""
    code, lines = _make(house, "report", "OUT=a\ntouch b")
    assert code == 2
    assert len(lines) == 1
    assert "exit status 2" in lines[0]


@needs_make
def test_make_alone_lists_the_targets(house: Path) -> None:
    """Whoever types make learns what there is, and each target is there."""
    code, lines = _make(house)
    listed = {line.split()[1] for line in lines if re.match(r"  make \w+ {2,}\w", line)}
    assert code == 0
    assert listed >= {"setup", "report", "ingest", "test", "check", "lab", "bench", "clean"}
    rules = (house / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", rules, re.MULTILINE) for target in listed)


@needs_make
def test_make_clean_keeps_what_was_fetched(house: Path) -> None:
    """Raw data cost hours of somebody else's line; all else is built again."""
    kept = ["data/raw/x.jsonl.gz", "data/reference/y.csv", "Makefile"]
    gone = ["data/observations/x.parquet", "reports/qq/index.html", "analysis/__pycache__/a.pyc"]
    for name in kept[:2] + gone:
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).touch()
    assert _make(house, "clean")[0] == 0
    assert all((house / name).exists() for name in kept)
    assert not any((house / name).exists() for name in [*gone, ".venv"])


@needs_make
def test_setup_refuses_an_old_python_in_one_sentence(house: Path) -> None:
    """The first thing that a newcomer's machine can lack is said in words, not in a traceback."""
    shutil.rmtree(house / ".venv")
    _script(house / "old python", "exit 1")
    code, lines = _make(house, "setup", "PYTHON=./old python")
    assert code == 2
    assert lines[0] == "PYTHON=./old python: is not a Python 3.11 or newer."
    assert not (house / ".venv").exists()


@pytest.mark.parametrize("failing", ["none", "setup", "test", "check"])
def test_continuous_integration_fails_with_any_of_its_steps(
    tmp_path: Path, repository_root: Path, failing: str
) -> None:
    """.ci/run demands a browser, runs tests and checks, and passes only if all of them do."""
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    body = 'echo "$0 $* $WORKBOOK_REQUIRE_BROWSER" >> "$LOG"; [ "$1" != "$FAILING" ]'
    _script(stand_ins / "make", body)
    for name in ("apt-get", "sudo", "chromium"):
        _script(stand_ins / name, "exit 0")
    log = tmp_path / "log"
    environment = os.environ | {
        "PATH": f"{stand_ins}:{os.environ['PATH']}", "LOG": str(log), "FAILING": failing,
    }  # fmt: skip
    done = subprocess.run(
        [repository_root / ".ci" / "run"], env=environment, check=False, timeout=60
    )
    steps = [line.split(" ", 1)[1] for line in log.read_text(encoding="utf-8").splitlines()]
    expected = ["setup 1", "test 1", "check 1"]
    assert (done.returncode == 0) == (failing == "none")
    stop = next((n for n, step in enumerate(expected, 1) if step.startswith(failing)), 3)
    assert steps == expected[:stop]
