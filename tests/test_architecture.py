"""Which folder may import which, read from the folders themselves; and what none may do or name."""

import ast
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from analysis.sql import split_queries

ROOT = Path(__file__).resolve().parents[1]
ANALYSIS = ROOT / "analysis"
ISLAND = "worlds"
DOORS = "commands"
#: What stands right under analysis/: all the others speak it.
GROUND = {path.stem for path in ANALYSIS.glob("[a-z]*.py")}
#: What these folders may import besides the ground. They know no study.
APART: Mapping[str, set[str]] = {
    "languages": set(),
    "pages": {"languages", "reference"},
}
#: The simulator's ways in; what they import of their own folder is the simulator.
SIMULATOR = ("analysis.worlds.examined", "analysis.worlds.writing")
#: Whatever opens a connection. pyarrow's file systems reach S3.
NETWORK = (
    "httpx",
    "requests",
    "socket",
    "ssl",
    "urllib.request",
    "urllib3",
    "http.client",
    "ftplib",
    "aiohttp",
    "boto3",
    "pyarrow.fs",
    "distributed",
    "dask",
)
#: The fictional country's code, and addresses, networks and names that exist only for
#: documentation (AS65536 apart, whose number is a size more often).
FICTION = re.compile(
    r"\bQQ\b|\b192\.0\.2\.|\b198\.51\.100\.|\b203\.0\.113\.|\b2001:db8:|\b3fff:"
    r"|\b(?:AS)?(?:6449[6-9]|6450\d|6451[01]|6553[7-9]|6554\d|6555[01])\b|\.example\b",
    re.IGNORECASE,
)
FILES = sorted(ANALYSIS.rglob("*.py"))
QUERIES = sorted(ANALYSIS.rglob("*.sql"))


def _module(path: Path) -> str:
    """The module or package right under analysis/ that a file belongs to."""
    return path.relative_to(ANALYSIS).parts[0].removesuffix(".py")


@cache
def _imports(path: Path) -> set[str]:
    """Full dotted names of what a file imports, anywhere in it; no import is relative."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, path
            found.update(f"{node.module}.{name.name}" for name in node.names)
    return found


@cache
def _folders() -> Mapping[str, dict[str, str]]:
    """Folder → the folders it imports, each with one file that does so."""
    graph: dict[str, dict[str, str]] = defaultdict(dict)
    for path in FILES:
        importing = _module(path)
        if importing in ("__init__", "__main__"):
            continue
        for name in _imports(path):
            if name.startswith("analysis.") and name.split(".")[1] != importing:
                graph[importing][name.split(".")[1]] = str(path.relative_to(ANALYSIS))
    return graph


def test_the_package_lists_its_folders_in_the_order_of_imports() -> None:
    """What happens in a folder can be read without those below it in ``analysis/__init__``.

    The list is complete; the modules beside the folders import no folder; no two have one name.
    """
    text = ast.get_docstring(ast.parse((ANALYSIS / "__init__.py").read_bytes())) or ""
    listed = re.findall(r"^``(\w+)``", text, re.MULTILINE)
    assert sorted(listed) == sorted(path.parent.name for path in ANALYSIS.glob("*/__init__.py"))
    names = [path.name for path in ANALYSIS.rglob("*.py") if path.name != "__init__.py"]
    assert len(names) == len(set(names)), "two modules have one name"
    for importing, imported in _folders().items():
        for name in sorted(imported.keys() - GROUND):
            assert importing in listed, f"{importing} imports {name}"
            assert listed.index(name) < listed.index(importing), imported[name]


def test_folders_that_know_no_study() -> None:
    """Languages and pages could serve another report."""
    for folder, known in APART.items():
        assert _folders()[folder].keys() <= GROUND | known, folder


def _simulator() -> set[str]:
    """The modules of the simulator: those that its ways in reach inside its folder."""
    found, waiting = set[str](), [*SIMULATOR]
    while waiting:
        module = waiting.pop()
        path = ROOT / f"{module.replace('.', '/')}.py"
        if module in found or not path.is_file():
            continue
        found.add(module)
        for name in _imports(path):
            if name.startswith(f"analysis.{ISLAND}."):
                waiting.append(".".join(name.split(".")[:3]))
    return found


def test_simulator_and_judge_do_not_know_each_other() -> None:
    """The simulator imports words alone; of the rest of the code only the command line knows it."""
    simulator = _simulator()
    assert len(simulator) > 8
    for path in FILES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        imported = {".".join(name.split(".")[:3]) for name in _imports(path)}
        if module in simulator:
            ours = {name for name in imported if name.startswith("analysis.")} - simulator
            assert {name.split(".")[1] for name in ours} <= {"errors", "hosts", "period"}, module
        elif _module(path) != DOORS:
            assert not imported & simulator, module
    assert {name for name, imported in _folders().items() if ISLAND in imported} == {DOORS}


def test_only_sources_touches_a_network() -> None:
    """What a report is made of can be seen in one package."""
    for path in FILES:
        found = {
            name
            for name in _imports(path)
            if any(f"{name}.".startswith(f"{prefix}.") for prefix in NETWORK)
        }
        assert _module(path) == "sources" or not found, path


def _read_by_people(tree: ast.Module) -> set[ast.AST]:
    """Docstrings, help texts and error messages: nothing is decided by them."""
    spoken: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr | ast.Raise) or (
            isinstance(node, ast.keyword) and node.arg in ("help", "epilog")
        ):
            is_text = not isinstance(node, ast.Expr) or isinstance(node.value, ast.Constant)
            spoken.update(ast.walk(node) if is_text else ())
    return spoken


def test_nothing_outside_the_simulator_names_the_fictional_country() -> None:
    """The judge is not told what it should find: neither an address nor a name nor a network.

    Its code may stand in the command line and with the defaults: it is reported on by default.
    """
    for path in FILES:
        if _module(path) == ISLAND:
            continue
        is_door = _module(path) == DOORS or path == ANALYSIS / "study" / "parameters.py"
        tree = ast.parse(path.read_bytes())
        spoken = _read_by_people(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node not in spoken:
                raw = node.value
                text = raw.decode("latin-1") if isinstance(raw, bytes) else str(raw)
                named = FICTION.search(text.replace("QQ", "") if is_door else text)
                assert not named, f"{path}, line {node.lineno}, names {named and named[0]}"

    for path in QUERIES:
        named = FICTION.search(path.read_text(encoding="utf-8"))
        assert not named, f"{path} names {named and named[0]}"


def test_queries_are_read_by_the_module_beside_them() -> None:
    """Each has a name of its own in its file, and a head that says what one row is; a macro's head
    says what it is for.
    """
    assert QUERIES
    for path in QUERIES:
        text = path.read_text(encoding="utf-8")
        assert "read_queries(__file__)" in path.with_suffix(".py").read_text(encoding="utf-8"), path
        heads = re.findall(r"^-- name: (.+)\n((?:--.*\n)*)", text, re.MULTILINE)
        assert list(split_queries(text)) == [name for name, _ in heads], path
        for name, comment in heads:
            assert comment.startswith("-- One row is " if "(" not in name else "-- "), (path, name)
        assert max(map(len, text.splitlines())) <= 100, path


def test_no_reference_data_name_the_fictional_country() -> None:
    """A list that shipped with the answer would make the demonstration worthless."""
    shipped = ROOT / "data" / "reference"
    for path in sorted(shipped.rglob("*")):
        if path.is_file() and shipped / "snapshots" not in path.parents:
            assert not FICTION.search(path.read_text(encoding="utf-8", errors="replace")), path
