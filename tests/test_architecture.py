"""The order of layers in docs/architecture.md, and what no module may do or name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ANALYSIS = ROOT / "analysis"
ISLAND = "simulate"
DOORS = 7
#: Whatever opens a connection. pyarrow's file systems reach S3.
NETWORK = ("httpx", "requests", "socket", "ssl", "urllib.request", "urllib3", "http.client",
           "ftplib", "aiohttp", "boto3", "pyarrow.fs", "distributed", "dask")  # fmt: skip
VAGUE = re.compile(r"(utils?|helpers?|common|misc|tools|core|base|lib|stuff)")
#: The fictional country's code, and addresses, networks and names that exist only for
#: documentation (AS65536 apart, whose number is a size more often).
FICTION = re.compile(
    r"\bQQ\b|\b192\.0\.2\.|\b198\.51\.100\.|\b203\.0\.113\.|\b2001:db8:|\b3fff:"
    r"|\b(?:AS)?(?:6449[6-9]|6450\d|6451[01]|6553[7-9]|6554\d|6555[01])\b|\.example\b",
    re.IGNORECASE,
)


def _rows() -> dict[str, int]:
    """Row number of each module in the table of docs/architecture.md."""
    rows: dict[str, int] = {}
    for line in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines():
        cells = re.fullmatch(r"\| (\d) [^|]*\|([^|]*)\|[^|]*\|", line)
        if cells:
            names = re.findall(r"`([a-z_]+)`", cells[2])
            rows.update(dict.fromkeys(names, int(cells[1])))
    return rows


ROWS = _rows()
FILES = sorted(ANALYSIS.rglob("*.py"))


def _module(path: Path) -> str:
    """The module or package right under analysis/ that a file belongs to."""
    return path.relative_to(ANALYSIS).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[str]:
    """Full dotted names of what a file imports, anywhere in it, relative imports resolved."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{start}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ANALYSIS)))
def test_a_module_imports_only_from_its_row_or_above(path: Path) -> None:
    """Every module stands in a row; lower layers know nothing of higher ones."""
    module = _module(path)
    if module == "__init__":
        assert not list(_imports(path))
        return
    assert module == ISLAND or module in ROWS, f"{module} is in no row of docs/architecture.md"
    imported = {name.split(".")[1] for name in _imports(path) if name.startswith("analysis.")}
    for other in sorted(imported - {module}):
        if other == ISLAND:
            assert module == "cli", f"{module} imports simulate"
            continue
        assert other in ROWS, f"{module} imports {other}, which is in no row"
        allowed = 0 if module == ISLAND else ROWS[module]
        assert ROWS[other] <= allowed, f"{module} imports {other} from a row below its own"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ANALYSIS)))
def test_only_places_touches_a_network(path: Path) -> None:
    """What a report is made of can be seen in one package."""
    found = {
        name
        for name in _imports(path)
        if any(f"{name}.".startswith(f"{prefix}.") for prefix in NETWORK)
    }
    assert _module(path) == "places" or not found


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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ANALYSIS)))
def test_nothing_outside_the_simulator_names_the_fictional_country(path: Path) -> None:
    """The judge is not told what it should find: neither an address nor a name nor a network.

    The doors may say the country's code, since that is what they report on by default.
    """
    if _module(path) == ISLAND:
        return
    is_door = ROWS.get(_module(path)) == DOORS
    tree = ast.parse(path.read_bytes())
    spoken = _read_by_people(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in spoken:
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            named = FICTION.search(str(text).replace("QQ", "") if is_door else str(text))
            assert not named, f"line {node.lineno} names {named and named[0]}"


def test_no_reference_data_name_the_fictional_country() -> None:
    """A list that shipped with the answer would make the demonstration worthless."""
    shipped = ROOT / "data" / "reference"
    for path in sorted(shipped.rglob("*")):
        if path.is_file() and shipped / "snapshots" not in path.parents:
            assert not FICTION.search(path.read_text(encoding="utf-8", errors="replace")), path


def test_names_say_what_a_module_is_for() -> None:
    """A module named utils collects what has no place."""
    vague = [path.name for path in FILES if VAGUE.fullmatch(path.stem)]
    assert not vague


def test_rows_are_read_from_the_table() -> None:
    """The table is there and has its rows, or the tests above would check nothing."""
    assert ROWS["errors"] == 0
    assert ROWS["places"] == 2
    assert ROWS["cli"] == DOORS
    assert FILES
