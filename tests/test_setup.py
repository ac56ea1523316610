"""Both ways into the environment name the same versions, and make hands on what it is given."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MAKE = shutil.which("make")
#: What a report needs; what JupyterLab, and what tests, checks and a cluster need besides.
LOCKS = ("requirements.lock", "requirements-lab.lock", "requirements-dev.lock")
needs_make = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def _pins(path: Path) -> list[Requirement]:
    """The pins of a requirements file, in file order. Each is exact, hashed where pip allows it,
    and comes from wherever pip looks."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    assert not re.search(r"://|^\s*-(?!-hash=)", text, re.MULTILINE), path
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    hashed = [line for line in lines if re.search(r"--hash=sha256:\w{64}", line)]
    assert hashed == (lines if "--hash" in text else []), path
    pins = [Requirement(line.partition(" --hash")[0]) for line in lines]
    assert all([spec.operator for spec in pin.specifier] == ["=="] for pin in pins), path
    return pins


def test_everything_that_the_project_asks_for_is_pinned(repository_root: Path) -> None:
    """A conda user and a pip user get the same versions, of which each is accepted."""
    tools = [_pins(repository_root / "tools" / f"{name}.txt") for name in ("uv", "s3-server")]
    report, lab, dev, constraints = (
        _pins(repository_root / name) for name in (*LOCKS, "constraints.txt")
    )
    assert all(tools)
    assert {(pin.name, str(pin.specifier)) for pin in (*report, *lab, *dev)} == {
        (pin.name, str(pin.specifier)) for pin in constraints
    }
    content = tomllib.loads((repository_root / "pyproject.toml").read_text(encoding="utf-8"))
    project, back_end = content["project"], content["build-system"]["requires"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    besides = [text for text in extras if project["name"] not in text]
    for texts, pins in (
        ([*project["dependencies"], *back_end], report),
        (besides, [*report, *lab, *dev]),
    ):
        for wanted in map(Requirement, texts):
            name = canonicalize_name(wanted.name)
            versions = [
                spec.version
                for pin in pins
                if canonicalize_name(pin.name) == name
                for spec in pin.specifier
            ]
            assert versions, f"{wanted} is in no lock: run tools/lock.sh"
            assert all(wanted.specifier.contains(version) for version in versions), wanted


# make, with a stand-in for the environment's Python that prints its arguments -------------------


@pytest.fixture
def house(tmp_path: Path, repository_root: Path) -> Path:
    """A copy of the Makefile in a folder with a space, whose .venv looks installed."""
    folder = tmp_path / "the house"
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copytree(repository_root / "tools", folder / "tools")
    for name in (*LOCKS, "pyproject.toml", "Makefile"):
        shutil.copy(repository_root / name, folder / name)
    body = """
for a; do printf "[%s]\\n" "$a"; done
[ -z "$EXIT_STATUS_FILE" ] || { echo "$ENDS_WITH" >"$EXIT_STATUS_FILE"; exit 0; }
exit $ENDS_WITH"""
    _script(folder / ".venv/bin/python", body)
    for stamp in (".installed-from-lock", ".installed-from-lab-lock", ".installed-from-dev-lock"):
        (folder / ".venv" / stamp).write_text(f"{folder.resolve()}\n")
    return folder


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


def _make(
    house: Path, *arguments: str, status: int = 0, **environment: str
) -> tuple[int, list[str]]:
    """Run make; give its exit code and the lines that it printed."""
    clean = {"PATH": os.environ["PATH"], "ENDS_WITH": str(status), **environment}
    done = subprocess.run(
        [MAKE, *arguments],
        cwd=house,
        env=clean,
        text=True,
        check=False,
        timeout=60,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout.splitlines()


@needs_make
def test_make_hands_on_every_variable_as_it_was_typed(house: Path) -> None:
    """Spaces, quotes, dollars and unknown names reach the command line, which judges them."""
    given = [
        "EVENTS=",
        """OUT=a  b's "c" $d ${e} $(f) `g`; h & i \\ #j""",
        "PROBE_CC=NO",
        "PROBE_C=QQ",
        "TEST_LIST=lists/a.csv,lists/b c.csv",
        "floor_sessions=6",
    ]
    code, lines = _make(house, "report", *given, SOURCE="from $the environment", OUT="not this")
    assert code == 0
    assert lines[:3] == ["[-m]", "[analysis]", "[report]"]
    assert sorted(lines[3:]) == sorted(
        f"[{argument}]" for argument in [*given, "SOURCE=from $the environment"]
    )


@needs_make
def test_make_ends_with_the_exit_status(house: Path) -> None:
    """Scripts read the status in the last line, since make itself ends with 2 for any failure."""
    for status in (1, 3):
        code, lines = _make(house, "report", "PROBE_CC=QQ", status=status)
        assert code == 2
        assert re.search(rf"\bexit status {status}\b", lines[-1])
    assert not list((house / ".venv").glob(".exit-status-*"))


@needs_make
def test_a_value_is_text_for_make(house: Path) -> None:
    """Whatever it holds, nothing of it is run: not where it is given, nor where it is exported."""
    value = (
        f"$(shell touch {house}/run)${{shell touch run}}`touch run`$(eval X:=$(shell touch run))"
    )
    for name in ("OUT", "SCHEDULER", "PYTHON", "floor_sessions"):
        given = f"{name}={value}"
        for target in ("report", "setup"):
            _, lines = _make(house, target, given)
            assert target == "setup" or name == "PYTHON" or f"[{given}]" in lines
            _make(house, target, "-e", **{name: value})
            assert not (house / "run").exists(), (name, target)


@needs_make
def test_what_cannot_be_given_runs_nothing(house: Path) -> None:
    """What make is built of: another program would run, or nothing would be handed on. A value of
    two lines, which could become a second command."""
    for name in ("PY", "NOTE", "run", "arguments"):
        code, lines = _make(house, "report", f"{name}=echo")
        message = f"*** {name}: there is no such parameter; exit status 2.  Stop."
        assert (code, [line.endswith(message) for line in lines]) == (2, [True])
    code, lines = _make(house, "report", "OUT=a\ntouch b")
    assert (code, ["exit status 2" in line for line in lines]) == (2, [True])


@needs_make
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_make_reaches_the_program(house: Path, number: signal.Signals) -> None:
    """make waits until the program has cleared away, and nothing runs on or stays behind."""
    (house / ".venv/bin/python").unlink()
    code = "import os, time; open('running', 'w').write(str(os.getpid()))\n"
    # a signal right before a long sleep would be heard after it
    code += "try:\n print('x', flush=True)\n for _ in range(1200): time.sleep(0.05)\n"
    code += "finally: time.sleep(0.5); os.remove('running')"
    stand_in = f"import cli; cli.app = lambda: exec({code!r}); cli.main()"
    stand_in = stand_in.replace("import cli", "from analysis.commands import cli")
    _script(house / ".venv/bin/python", f"exec '{sys.executable}' -c \"$CODE\"")
    process = subprocess.Popen(
        [MAKE, "--no-print-directory", "report", "PROBE_CC=QQ"],
        cwd=house,
        text=True,
        env={**os.environ, "CODE": stand_in},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout.readline() == "x\n"
    # a terminal sends to all
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    assert process.wait(timeout=60)
    assert not (house / "running").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not list((house / ".venv").glob(".exit-status-*"))


@needs_make
def test_make_clean_keeps_what_was_fetched(house: Path) -> None:
    """Raw data cost hours of somebody else's line; all else is built again."""
    kept = ["data/raw/x.jsonl.gz", "data/reference/y.csv", "reports/README.md", "Makefile"]
    gone = ["data/observations/x.parquet", "reports/qq/index.html", "analysis/__pycache__/a.pyc"]
    for name in kept[:3] + gone:
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).touch()
    assert _make(house, "clean")[0] == 0
    assert all((house / name).exists() for name in kept)
    assert not any((house / name).exists() for name in [*gone, ".venv"])


@needs_make
def test_what_tests_need_comes_with_those_who_need_it(house: Path) -> None:
    """A report is made without JupyterLab; tests, checks and a cluster bring all along."""
    cases: tuple[tuple[list[str], set[str]], ...] = (
        (["report"], set()),
        (["setup-reader"], set()),
        (["setup"], {"lab"}),
        (["ingest", "SCHEDULER=tcp://host:8786"], {"lab", "dev"}),
        (["check"], {"lab", "dev"}),
    )
    for words, wanted in cases:
        for name in ("lab", "dev"):
            (house / ".venv" / f".installed-from-{name}-lock").unlink(missing_ok=True)
        _, lines = _make(house, *words)
        installed = {name for name in ("lab", "dev") if f"[requirements-{name}.lock]" in lines}
        assert installed == wanted, words


@needs_make
def test_setup_refuses_an_old_python_in_one_sentence(house: Path) -> None:
    """The first thing that a newcomer's machine can lack is said in words, not in a traceback."""
    shutil.rmtree(house / ".venv")
    _script(house / "old python", "exit 1")
    code, lines = _make(house, "setup", "PYTHON=./old python")
    assert code == 2
    assert lines[0] == "PYTHON=./old python: is not a Python 3.11 or newer."
    assert not (house / ".venv").exists()


@pytest.mark.parametrize(("version", "wheels"), [("3.14", True), ("3.99", True), ("3.99", False)])
def test_a_newer_python_is_refused_only_where_a_wheel_is_missing(
    repository_root: Path, tmp_path: Path, version: str, wheels: bool
) -> None:
    """One sentence says that no test has run on it. README and conda name the tested ones."""
    script = tmp_path / "tools" / "setup.sh"
    script.parent.mkdir()
    shutil.copy(repository_root / "tools" / "setup.sh", script)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cat", "chmod", "cp", "dirname", "mkdir", "rm"):
        (programs / name).symlink_to(str(shutil.which(name)))
    # It makes an environment of itself; there is no uv, and pip installs or finds no wheel.
    body = f"""
case "$*" in
  *version_info*) echo {version} ;;
  "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  *"-m uv"*) exit 1 ;;
  *"--only-binary :all: --require-hashes"*) {"exit 0" if wheels else "exit 1"} ;;
esac"""
    _script(programs / "python3", body)
    stamp = tmp_path / "stamp"
    done = subprocess.run(
        ["/bin/sh", script, "", stamp],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    tested = "3.11 3.12 3.13 3.14"
    warned = f"Python 3.99: the tests have not been run on this version ({tested} have been)."
    hinted = f"If a package above has no wheel for Python 3.99, install one of {tested} and say"
    assert (warned in done.stderr, hinted in done.stderr) == (version == "3.99", not wheels)
    assert (done.returncode, stamp.exists()) == ((0, True) if wheels else (1, False))
    readme = (repository_root / "README.md").read_text(encoding="utf-8")
    assert "Python 3.11, 3.12, 3.13 or 3.14" in readme
    assert "python>=3.11,<3.15" in (repository_root / "environment.yml").read_text("utf-8")


def test_an_installed_package_has_what_ships(repository_root: Path, tmp_path: Path) -> None:
    """``pip install .`` brings notebooks, lists, the words of the tables, and the queries, by which
    it judges; data and reports lie in the working folder."""
    source, prefix = tmp_path / "source", tmp_path / "prefix"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository_root / name, source)
    leave_out = shutil.ignore_patterns("__pycache__", "snapshots")
    for name in ("analysis", "notebooks", "docs", "data/reference"):
        shutil.copytree(repository_root / name, source / name, ignore=leave_out)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--ignore-installed",
            "--prefix",
            prefix,
            source,
        ],
        check=True,
    )
    (site,) = prefix.glob("lib/python*/site-packages")
    asked = (
        "from analysis.pages.dictionary import column_meaning\n"
        "from analysis.reference.reference_files import NOTEBOOKS, REFERENCE, countries\n"
        "from analysis.study.parameters import StudyParameters\n"
        "from tests.letters import days, judge\n"
        "print(*judge(days('OOOOBBBBBBBB')).intervals['state'])\n"
        "print(len([*NOTEBOOKS.glob('*.ipynb')]), column_meaning('verdicts', 'state') != '',\n"
        "  countries()['KH'].name, (REFERENCE / 'validation' / 'accuracy.csv').is_file(),\n"
        "  StudyParameters.of({}).store)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", asked],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{repository_root}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "likely_blocked",
        f"11 True Cambodia True {tmp_path / 'data'}",
    ]
