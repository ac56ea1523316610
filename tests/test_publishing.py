"""Publication: whole or not at all, and no trace of the machine.

The same bytes everywhere: test_hostile_archive.py.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError
from analysis.publishing.parameters import declared_parameters, distribute_parameters
from analysis.publishing.publishing import publish
from analysis.publishing.rendering import (
    PageContext,
    Summary,
    describe,
    render_page,
    render_summary,
)

PARAMETERS = "parameters"


def _notebook(folder: Path, *cells: Any, name: str = "1-page.ipynb") -> Path:
    title = nbformat.v4.new_markdown_cell("# A page\n\nIts question.", id="title")  # type: ignore[no-untyped-call]
    path = folder / name
    nbformat.write(nbformat.v4.new_notebook(cells=[title, *cells]), path)  # type: ignore[no-untyped-call]
    return path


def _code(source: str, *tags: str, outputs: tuple[Any, ...] = ()) -> Any:
    cell: Any = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
        source, metadata={"tags": [*tags]}, outputs=[*outputs]
    )
    return cell


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_report_is_pages_tables_and_run(demo_report: Path) -> None:
    """Nothing else is published: no executed notebook, no findings folder, no build folder."""
    assert sorted(_contents(demo_report)) == [
        "1-tables.html", "2-findings.html", "index.html", "run.json",
        "tables/measurements_by_month.csv",
    ]  # fmt: skip
    assert [path.name for path in demo_report.parent.iterdir()] == [demo_report.name]
    run = json.loads((demo_report / "run.json").read_text(encoding="utf-8"))
    assert run["findings"]["total"] == {"value": 15245, "table": "measurements_by_month.csv"}
    assert run["tables"]["measurements_by_month.csv"]["row_count"] == 3
    assert run["parameters"] == {"source": "else"}  # the last part of an absolute path


def test_pages_show_code_but_not_the_machine(demo_report: Path) -> None:
    """Code is folded under its output, and so are parameters but for folders; setup is left out."""
    html = (demo_report / "1-tables.html").read_text(encoding="utf-8")
    assert "bars.results_by_month(months" in html
    assert "country = &#39;Nowhere&#39;\nfloor_sessions = 5</code>" in html
    assert "sessions &gt;= this are needed" not in html
    assert "import pandas" not in html
    for name, content in _contents(demo_report).items():
        for trace in (sys.prefix, str(Path.home()), str(demo_report.parent), "building-"):
            assert trace.encode() not in content, (name, trace)


def test_pages_load_nothing(demo_report: Path) -> None:
    """No script, no style sheet, font or image from elsewhere, and a policy that says so."""
    for page in demo_report.glob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert "default-src 'none'" in html
        assert "<script" not in html
        assert '<link rel="icon" href="data:,">' in html
        assert html.count("<link") == 1
        assert all(part.startswith("data:image/") for part in html.split('<img src="')[1:])


def test_every_heading_has_an_id_of_its_own(demo_report: Path) -> None:
    """Two headings with the same Khmer words keep their letters and get two ids."""
    html = (demo_report / "1-tables.html").read_text(encoding="utf-8")
    for anchor in ("ខ្មែរ-ភាសា", "ខ្មែរ-ភាសា-2"):
        assert f'<h3 id="{anchor}">' in html
        assert f'<a href="#{anchor}">' in html
    ids = [part.partition('"')[0] for part in html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"floor": 4}, "floor=4: no notebook has it; accepted: country, floor_sessions, share"),
        (
            {"country": "NO", "share": 1},
            "floor_sessions=4: 1-page.ipynb declares it and the report "
            "does not give it; what is saved in a notebook changes no report",
        ),
        ({"floor_sessions": "4"}, "a whole number is accepted (n >= this = floor)"),
        ({"floor_sessions": True}, "a whole number is accepted"),
        ({"share": "half"}, "a number is accepted"),
        ({"country": False}, "country=False: text is accepted"),  # NO, read as YAML
    ],
)
def test_wrong_parameters_are_named(tmp_path: Path, given: dict[str, object], message: str) -> None:
    """The name, the value and what is accepted, before anything runs; and none is left out."""
    source = (
        "floor_sessions: int = 4  # n >= this = floor\nshare: float = 0.5\ncountry: str = 'a=b'"
    )
    notebook = _notebook(tmp_path, _code(source, PARAMETERS))
    whole = {"floor_sessions": 3, "share": 1, "country": "NO"}
    with pytest.raises(ParameterError) as error:
        distribute_parameters([notebook], given if len(given) == 2 else {**whole, **given})
    assert message in str(error.value)
    assert distribute_parameters([notebook], whole) == {notebook: whole}


def test_a_parameters_cell_holds_parameters_only(tmp_path: Path) -> None:
    """An assignment without a type would be injected unchecked."""
    notebook = _notebook(tmp_path, _code("x = 1", PARAMETERS))
    with pytest.raises(ContractError, match="line 1 of the parameters cell"):
        declared_parameters(notebook)


def test_an_unknown_parameter_stops_everything(
    tmp_path: Path, demo_notebooks: list[Path], demo_page: PageContext
) -> None:
    """Nothing is written when no notebook declares a parameter."""
    out = tmp_path / "reports" / "r"
    with pytest.raises(ParameterError, match="flor=4: no notebook has it"):
        publish(demo_notebooks, {"flor": 4}, out, demo_page, {})
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("cell", "kind", "message"),
    [
        ("raise errors.ContractError('3 rows do not add up')", ContractError, "3 rows do not"),
        ("raise errors.ParameterError('SPLIT', 'x', 'no')", ParameterError, "SPLIT=x: no"),
        ("raise errors.SourceError('gone')", SourceError, "gone. Running the same command again"),
        ("1 / 0", WorkbookError, "1-page.ipynb: cell 2 failed with ZeroDivisionError"),
    ],
)
def test_a_failed_notebook_leaves_the_old_report(
    tmp_path: Path, demo_page: PageContext, cell: str, kind: type[WorkbookError], message: str
) -> None:
    """The error comes out as it was raised, and nothing of the new report stays behind."""
    out = tmp_path / "r"
    out.mkdir()
    (out / "run.json").write_text("{}")
    notebook = _notebook(tmp_path, _code(f"from analysis import errors\n{cell}"))
    with pytest.raises(kind) as error:
        publish([notebook], {}, out, demo_page, {})
    assert type(error.value) is kind
    assert message in str(error.value)
    assert str(error.value).count("Running the same command") <= 1
    assert _contents(tmp_path).keys() == {"1-page.ipynb", "r/run.json"}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"image/svg+xml": "<svg/>"}, "has no alternative text"),
        ({"image/png": "AAAA"}, "has no alternative text"),
        ({"application/javascript": "alert(1)"}, "a page without scripts cannot show"),
    ],
)
def test_what_a_reader_could_not_get_is_refused(
    tmp_path: Path, demo_page: PageContext, output: dict[str, str], message: str
) -> None:
    """A figure without words, or an output that needs a script, stops the publication."""
    shown = nbformat.v4.new_output("display_data", data=output)  # type: ignore[no-untyped-call]
    notebook = _notebook(tmp_path, _code("x", outputs=(shown,)))
    executed = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    item = describe(notebook)
    assert (item.title, item.line) == ("A page", "Its question.")
    with pytest.raises(ContractError, match=message):
        render_page(executed, item, demo_page, [item])


def test_a_mistyped_summary_field_is_refused(demo_page: PageContext) -> None:
    """A caveat that is not shown would be worse than an error."""
    summary: Any = {"numbers": [{"value": 3, "label": "sites", "caveats": "few"}]}
    with pytest.raises(ContractError, match=r"no such field: numbers\.caveats"):
        render_summary(summary, demo_page, [], {})
    empty: Summary = {}
    assert "How to read this" in render_summary(empty, demo_page, [], {})


def test_only_a_report_is_replaced(
    tmp_path: Path, demo_notebooks: list[Path], demo_page: PageContext
) -> None:
    """A mistyped OUT must not cost anyone a folder."""
    (tmp_path / "thesis.txt").write_text("years of work")
    for out in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ParameterError, match="must be new, empty, or hold an earlier report"):
            publish(demo_notebooks, {"country": "", "floor_sessions": 5}, out, demo_page, {})
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_every_page_says_what_was_changed_of_the_method(
    demo_report: Path, demo_page: PageContext, tmp_path: Path
) -> None:
    """In its header; the first page also what the number decides. Otherwise nothing is said."""
    changes = (
        ("floor_sessions 6 (published: 4)", "sessions needed"),
        ("x 1 (published: 2)", "<b>"),
    )
    changed = replace(demo_page, method_changes=changes)
    notebook = _notebook(tmp_path)
    executed = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    item = describe(notebook)
    header = "Method changed: floor_sessions 6 (published: 4); x 1 (published: 2)</p>"
    assert header in render_page(executed, item, changed, [item])
    first = render_summary({}, changed, [], {})
    assert header in first
    assert "<li>floor_sessions 6 (published: 4): sessions needed</li>" in first
    assert "<li>x 1 (published: 2): &lt;b&gt;</li>" in first
    for page in demo_report.glob("*.html"):
        assert "Method changed" not in page.read_text(encoding="utf-8")


def test_a_note_between_notebooks_is_not_published(tmp_path: Path, demo_page: PageContext) -> None:
    """Only tables are, of what lies in their folder."""
    cells = (
        _code('tables: str = ""', PARAMETERS),
        _code("from pathlib import Path\n"
              "for name in ('.made-from.json', 'a.csv'): (Path(tables) / name).write_text('x')"),
    )  # fmt: skip
    out = publish([_notebook(tmp_path, *cells)], {}, tmp_path / "r", demo_page, {})
    assert [path.name for path in (out / "tables").iterdir()] == ["a.csv"]


@pytest.fixture
def interrupt(tmp_path: Path, demo_page: PageContext) -> Callable[[Path], Path]:
    """Starts a publication in another process and kills it in the middle of a notebook; returns
    the build folder that it left."""
    notebook = _notebook(tmp_path, _code("import time\ntime.sleep(60)"), name="slow.ipynb")
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from analysis.publishing.publishing import PageContext, publish\n"
        f"publish([Path({str(notebook)!r})], {{}}, Path(sys.argv[1]), {demo_page!r}, {{}})"
    )

    def start(out: Path) -> Path:
        process = subprocess.Popen([sys.executable, "-c", script, str(out)])
        build = out.with_name(f".{out.name}.building-{process.pid}")
        deadline = time.monotonic() + 60
        while not (build / "tables").is_dir() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait()
        return build

    return start


def test_a_killed_run_leaves_the_old_report_and_is_swept_up(
    tmp_path: Path, demo_page: PageContext, interrupt: Callable[[Path], Path]
) -> None:
    """After kill -9 the old report stands; the next run replaces it and removes what was left,
    but not what belongs to a process that lives."""
    out = tmp_path / "reports" / "r [1]"
    out.mkdir(parents=True)
    (out / "run.json").write_text("{}")
    left = interrupt(out)
    alive = out.with_name(f".{out.name}.building-{os.getppid()}")
    alive.mkdir()
    assert left.is_dir()
    assert _contents(out).keys() == {"run.json"}
    publish([_notebook(tmp_path, _code("1"))], {}, out, demo_page, {})
    assert _contents(out).keys() == {"run.json", "index.html", "1-page.html"}
    assert sorted(path.name for path in out.parent.iterdir()) == sorted([out.name, alive.name])


def test_a_half_done_swap_is_undone(tmp_path: Path, demo_page: PageContext) -> None:
    """Where the old report was moved aside and the new one never came, the old one returns."""
    out, aside = tmp_path / "r", tmp_path / ".r.previous"
    aside.mkdir()
    (aside / "run.json").write_text("{}")
    failing = _notebook(tmp_path, _code("1 / 0"))
    with pytest.raises(WorkbookError):
        publish([failing], {}, out, demo_page, {})
    assert _contents(out).keys() == {"run.json"}
    shutil.copytree(out, aside)  # the other half: the new one came, the old one is still there
    with pytest.raises(WorkbookError):
        publish([failing], {}, out, demo_page, {})
    assert not aside.exists()


# --- side by side -------------------------------------------------------------------------------

_AT_TABLES = 'tables: str = ""'
_MEET = """
import os, time
from pathlib import Path
folder = Path(tables).parent / "findings"
def wait_for(name):
    until = time.monotonic() + 60
    while not (folder / name).exists():
        assert time.monotonic() < until, f"{name} never came"
        time.sleep(0.02)
"""


def _meeting(folder: Path, name: str, then: str) -> Path:
    return _notebook(folder, _code(_AT_TABLES, PARAMETERS), _code(_MEET + then), name=name)


def test_notebooks_run_side_by_side_unless_one_needs_another(
    tmp_path: Path, demo_page: PageContext
) -> None:
    """Two wait for each other, and the one of which nothing is said begins after both."""
    notebooks = [
        _meeting(tmp_path, "1-a.ipynb", "(folder / 'a').touch()\nwait_for('b')"),
        _meeting(tmp_path, "2-b.ipynb", "(folder / 'b').touch()\nwait_for('a')\n"
                 "time.sleep(0.5)\n(folder / 'c').touch()"),
        _meeting(tmp_path, "3-c.ipynb", "assert (folder / 'c').exists()"),
    ]  # fmt: skip
    reads: dict[str, tuple[str, ...]] = {"1-a": (), "2-b": ()}
    out = publish(notebooks, {}, tmp_path / "r", demo_page, {}, reads=reads, jobs=2)
    assert {"1-a.html", "2-b.html", "3-c.html"} <= _contents(out).keys()
    with pytest.raises(ContractError, match="2-b reads the tables of 3-c, which is not before it"):
        publish(notebooks, {}, out, demo_page, {}, reads={"2-b": ("3-c",)})


def test_the_first_error_ends_the_others(tmp_path: Path, demo_page: PageContext) -> None:
    """It is told as it is when it runs alone, at once, and no kernel is left."""
    number = tmp_path / "number"
    asleep = f"Path({str(number)!r}).write_text(str(os.getpid()))\n(folder / 'a').touch()"
    notebooks = [
        _meeting(tmp_path, "1-a.ipynb", asleep + "\ntime.sleep(300)"),
        _meeting(tmp_path, "2-b.ipynb", "wait_for('a')\n1 / 0"),
    ]
    begun = time.monotonic()
    with pytest.raises(WorkbookError, match=r"2-b\.ipynb: cell 4 failed with ZeroDivisionError"):
        publish(notebooks, {}, tmp_path / "r", demo_page, {}, reads={"2-b": ()}, jobs=2)
    assert time.monotonic() - begun < 200
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".ipynb", ".ipynb"]


def test_a_run_that_is_told_to_end_leaves_nothing(tmp_path: Path, demo_page: PageContext) -> None:
    """Neither a process nor a folder, wherever its notebooks stand; the old report stays."""
    out = tmp_path / "reports" / "r"
    out.mkdir(parents=True)
    (out / "run.json").write_text("{}")
    asleep = "import os, subprocess, tempfile, time\nfrom pathlib import Path\n" \
        "tempfile.mkdtemp()\nchild = subprocess.Popen(['sleep', '300'])\n" \
        "Path(f'{os.getpid()}.number').write_text(str(child.pid))\ntime.sleep(300)"  # fmt: skip
    notebooks = [_notebook(tmp_path, _code(asleep), name=f"{n}-a.ipynb") for n in (1, 2)]
    script = (
        "import sys\nfrom pathlib import Path\nfrom analysis.commands import cli\n"
        "from analysis.publishing.publishing import PageContext, publish\n"
        f"cli.app = lambda: publish([Path(p) for p in sys.argv[2:]], {{}}, Path(sys.argv[1]), "
        f"{demo_page!r}, {{}}, reads={{'2-a': ()}}, jobs=2)\ncli.main()"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(out), *map(str, notebooks)],
        env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("*.number"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.1)
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said == "interrupted; running the same command again resumes\n"
    numbers = list(tmp_path.glob("*.number"))
    assert len(numbers) == 2
    for number in numbers:
        for pid in (int(number.stem), int(number.read_text())):
            assert not _runs(pid)
    assert [path.name for path in out.parent.iterdir()] == ["r"]
    assert list(scratch.iterdir()) == []


def _runs(process: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
