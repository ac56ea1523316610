"""Publication: whole or not at all, and no trace of the machine; the same on paper."""

import io
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import pytest

from analysis.commands import reporting
from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError
from analysis.pages.formats import FINDINGS, css
from analysis.pages.paper import FORM, PARTS, join_pages, print_pages
from analysis.pages.publishing import Contents, execute, publish
from analysis.pages.rendering import (
    Edition,
    PageContext,
    describe,
    render_page,
    render_summary,
)
from analysis.pages.replacing import refuse_foreign
from tests.archives import contents
from tests.conftest import code_cell, markdown_cell, save_notebook

PARAMETERS = "parameters"


def _publish(notebooks: list[Path], out: Path, page: PageContext) -> Path:
    """A report of these notebooks alone."""
    return publish(Contents(notebooks, {}, {}, page, [Edition(page, "")]), out)


def _notebook(folder: Path, *cells: Any, name: str = "1-page.ipynb", **metadata: Any) -> Path:
    title = markdown_cell("# A page\n\nIts question.")
    return save_notebook(folder, name, [title, *cells], **metadata)


def _earlier(out: Path) -> Path:
    """An earlier report, of one page."""
    out.mkdir(parents=True)
    (out / "index.html").write_text("the report before")
    record = {"files": ["index.html"], "findings": {}, "tables": {}}
    (out / "run.json").write_text(json.dumps(record))
    return out


def test_a_report_is_pages_tables_and_run(demo_report: Path) -> None:
    """Nothing else is published: no executed notebook, no findings folder, no build folder."""
    assert sorted(contents(demo_report)) == [
        "1-tables.html",
        "2-findings.html",
        "SHA256SUMS",
        "index.html",
        "run.json",
        "tables/measurements_by_month.csv",
        "tables/verdicts.csv",
    ]
    assert [path.name for path in demo_report.parent.iterdir()] == [demo_report.name]
    run = json.loads((demo_report / "run.json").read_text(encoding="utf-8"))
    assert run["findings"]["total"] == {"value": 15245, "table": "measurements_by_month.csv"}
    assert run["tables"]["measurements_by_month.csv"]["row_count"] == 3


def test_a_failed_notebook_leaves_the_old_report(tmp_path: Path, demo_page: PageContext) -> None:
    """The error comes out as it was raised, and nothing of the new report stays behind."""
    out = _earlier(tmp_path / "r")
    for cell, kind, message in (
        ("raise errors.ContractError('3 rows do not add up')", ContractError, "3 rows do not"),
        ("raise errors.SourceError('gone')", SourceError, "gone. Running the same command again"),
        ("raise OSError(27, 'File too large')", SourceError, "1-page.ipynb: cell 2, "),
        (
            "1 / 0",
            WorkbookError,
            "1-page.ipynb: cell 2, line 2, under “A page” failed with ZeroDivisionError: division "
            f"by zero. The notebook, as far as it ran: {tmp_path / 'r.failed.ipynb'}",
        ),
    ):
        notebook = _notebook(tmp_path, code_cell(f"from analysis import errors\n{cell}"))
        with pytest.raises(kind) as error:
            _publish([notebook], out, demo_page)
        assert (type(error.value), message in str(error.value)) == (kind, True)
        assert str(error.value).count("Running the same command") <= 1
        kept = {"1-page.ipynb", "r/index.html", "r/run.json"}
        assert contents(tmp_path).keys() - {"r.failed.ipynb"} == kept
    assert "ZeroDivisionError" in (tmp_path / "r.failed.ipynb").read_text(encoding="utf-8")


def test_what_a_reader_could_not_get_is_refused(tmp_path: Path, demo_page: PageContext) -> None:
    """A picture without words, or an output that needs a script, stops the publication."""
    for output, message in (
        ({"image/png": "AAAA", "text/plain": "<Figure>"}, "has no text for those who cannot see"),
        ({"application/javascript": "alert(1)"}, "a page without scripts cannot show"),
    ):
        shown = nbformat.v4.new_output("display_data", data=output)
        notebook = _notebook(tmp_path, code_cell("x", outputs=(shown,)))
        executed = nbformat.read(notebook, as_version=4)
        item = describe(notebook)
        assert (item.title, item.line) == ("A page", "Its question.")
        with pytest.raises(ContractError, match=message):
            render_page(executed, item, demo_page, [item])


_SOMEBODY_S = {
    "thesis.txt": "years of work",
    "run.json": '{"lr": 0.1}',
    "run.json and notes": "",
    "tables/notes.csv": "by hand",
    ".git/config": "",
}


def test_only_a_report_is_replaced(
    tmp_path: Path, demo_page: PageContext, demo_report: Path
) -> None:
    """A mistyped OUT costs nobody a file: neither a folder with a ``run.json`` of another program,
    nor what lies in or beside a report."""
    out, notebook = tmp_path / "r", _notebook(tmp_path, code_cell("1"))
    for name, content in _SOMEBODY_S.items():
        for has_report in (False, name != "run.json"):
            if has_report:
                shutil.copytree(demo_report, out)
                (out / ".DS_Store").touch()
                refuse_foreign(out, "findings")  # a report, though a file manager looked at it
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(content)
            before = contents(out)
            with pytest.raises(ParameterError, match="must be new, empty, or hold an earlier rep"):
                _publish([notebook], out, demo_page)
            assert contents(out) == before, name
            shutil.rmtree(out)
    assert [path.name for path in tmp_path.iterdir()] == [notebook.name]


def test_what_comes_while_a_report_is_made_is_kept(tmp_path: Path, demo_page: PageContext) -> None:
    """And so is a folder that only has the name of an earlier report put aside."""
    out = _earlier(tmp_path / "r")
    notebook = _notebook(tmp_path, code_cell(f"open({str(out / 'mine.txt')!r}, 'w').write('mine')"))
    with pytest.raises(ParameterError, match=r"no report wrote its mine\.txt"):
        _publish([notebook], out, demo_page)
    assert (out / "mine.txt").read_text() == "mine"
    (out / "mine.txt").unlink()
    aside = tmp_path / ".r.previous"
    aside.mkdir()
    (aside / "mine.txt").touch()
    with pytest.raises(ParameterError, match=r"\.r\.previous: must be new"):
        _publish([notebook], out, demo_page)
    assert (aside / "mine.txt").exists()


def test_no_text_of_a_measurement_stops_publication(tmp_path: Path, demo_page: PageContext) -> None:
    """Not the build folder's name, of whatever process; not a cell of any length, nor line breaks
    in one; not bytes that are no text."""
    names = [f".r.building-{number}" for number in range(1, 200)] + [".r.building-" + "0" * 32]
    content = "a,b\n" + "".join(f'"{name}","x\n""y"\n' for name in names) + f"{'z' * 200_000},\n"
    cells = (
        code_cell('tables: str = ""', PARAMETERS),
        code_cell(
            f"open(f'{{tables}}/a.csv', 'w').write({content!r})\n"
            "open(f'{tables}/b.csv', 'wb').write(b'c\\n\\xff')\n"
            f"print({' '.join(names)!r})"
        ),
    )
    out = _publish([_notebook(tmp_path, *cells)], tmp_path / "r", demo_page)
    tables = json.loads((out / "run.json").read_text(encoding="utf-8"))["tables"]
    assert [tables[name]["row_count"] for name in ("a.csv", "b.csv")] == [201, 1]
    assert names[-1] in (out / "1-page.html").read_text(encoding="utf-8")


def test_the_name_of_the_build_folder_is_not_published(
    tmp_path: Path, demo_page: PageContext
) -> None:
    """Where a page shows its own folder, the report is refused."""
    cells = (code_cell('tables: str = ""', PARAMETERS), code_cell("print(tables)"))
    with pytest.raises(ContractError, match=r"1-page\.html names a folder of this machine"):
        _publish([_notebook(tmp_path, *cells)], tmp_path / "r", demo_page)


def test_every_page_says_what_was_changed_of_the_method(
    demo_report: Path, demo_page: PageContext
) -> None:
    """In its header; the first page also what the number decides. Otherwise nothing is said."""
    changed = replace(demo_page, method_changes=(("x 1 (published: 2)", "<b>"),))
    first = render_summary({}, changed, [], {})
    assert "Method edited: x 1 (published: 2)</p>" in first
    assert "<li>x 1 (published: 2): &lt;b&gt;</li>" in first
    for page in demo_report.glob("*.html"):
        assert "Method edited" not in page.read_text(encoding="utf-8")


#: Signals as they are by default: a test may have been started where some are ignored.
_BY_DEFAULT = """
import signal
for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(one, signal.SIG_DFL)
"""
_PUBLISH = f"""{_BY_DEFAULT}
import sys
from pathlib import Path
from analysis.commands import cli
from analysis.pages.rendering import Edition
from analysis.pages.publishing import Contents, PageContext, publish
page, (out, *notebooks) = PageContext("", "", "", ""), map(Path, sys.argv[1:])
cli.app = lambda: publish(Contents(notebooks, {{}}, {{}}, page, [Edition(page, "")]), out)
cli.main()
"""


def _start(out: Path, *notebooks: Path) -> "subprocess.Popen[str]":
    """A publication in a process of its own."""
    arguments = [sys.executable, "-c", _PUBLISH, str(out), *map(str, notebooks)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _builds(out: Path) -> list[Path]:
    return list(out.parent.glob(f".{out.name.replace('[', '[[]')}.building-*"))


def _wait(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _kernel(tmp_path: Path) -> tuple[Path, Path]:
    """A notebook that sleeps, and the file into which it puts the number of its process."""
    running = tmp_path / "running"
    code = f"import os, time\nopen({str(running)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    return _notebook(tmp_path, code_cell(code), name="slow.ipynb"), running


def _is_running(process: str) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_killed_at_any_moment_the_report_before_stands(
    tmp_path: Path, demo_page: PageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 one report is there whole, the earlier or the new one; the next run ends right
    and removes what was left, but not what belongs to a run that goes on. What is temporary lies in
    folders that it knows."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    out = _earlier(tmp_path / "reports" / "r [1]")
    before = contents(out)
    slow, running = _kernel(tmp_path)
    quick = _notebook(tmp_path, code_cell("1"))
    killed = _start(out, slow)
    _wait(running.exists)
    _kill(killed)
    assert len(_builds(out)) == 1
    assert [path.name[:16] for path in scratch.iterdir()] == ["workbook-kernel-"]
    killed = _start(out, quick)
    time.sleep(3)
    _kill(killed)
    found = contents(out)
    new = {"run.json", "index.html", "1-page.html", "SHA256SUMS"}
    assert found == before or found.keys() == new
    running.unlink()
    going_on = _start(out, slow)
    _wait(running.exists)
    _publish([quick], out, demo_page)
    assert contents(out).keys() - {"SHA256SUMS"} == {"run.json", "index.html", "1-page.html"}
    assert len(_builds(out)) == 1
    _kill(going_on)
    _publish([quick], out, demo_page)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def _kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()


_ASLEEP = """
import os, subprocess, tempfile, time
from pathlib import Path
tempfile.mkdtemp()
child = subprocess.Popen(["sleep", "300"])
new = Path(f"{os.getpid()}.new")
new.write_text(str(child.pid))
new.rename(f"{os.getpid()}.number")
time.sleep(300)
"""


def test_a_stopped_run_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No kernel that runs on, nor what it started, nor a folder; the report before stands."""
    out, scratch = _earlier(tmp_path / "reports" / "r"), tmp_path / "scratch"
    before = contents(out)
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    process = _start(out, _notebook(tmp_path, code_cell(_ASLEEP)))
    _wait(lambda: list(tmp_path.glob("*.number")))
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()) == (143, ["stopped"])
    for number in tmp_path.glob("*.number"):
        for pid in (number.stem, number.read_text()):
            _wait(lambda pid=pid: not _is_running(pid), 10)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert list(scratch.iterdir()) == []
    assert contents(out) == before


_BUSY = """
  duckdb.create_function("slow", lambda number: time.sleep(0.1) or number, [int], int)
  duckdb.sql("SELECT sum(slow(range)) FROM range(100000)").fetchall()
"""


def test_a_signal_is_an_exit_status(tmp_path: Path) -> None:
    """And lets whatever is unfinished be cleared away; whatever a library makes of it. More signals
    in test_setup.py."""
    waiting = "  while True: time.sleep(0.1)"
    for number, busy in ((signal.SIGHUP, waiting), (signal.SIGTERM, _BUSY)):
        script = (
            f"{_BY_DEFAULT}\n"
            "import pathlib, sys, time, duckdb; from analysis.commands import cli\n"
            "from analysis.temporary_folders import TemporaryFolder\n"
            "def app():\n"
            " with TemporaryFolder('x-', pathlib.Path(sys.argv[1])) as folder:\n"
            "  (folder / 'unfinished').touch()\n"
            f"{busy}\n"
            "cli.app = app; cli.main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE, text=True
        )
        _wait(lambda: list(tmp_path.glob("*/unfinished")))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (128 + number, "stopped\n")
        assert not list(tmp_path.iterdir())


def test_a_half_done_swap_is_undone(tmp_path: Path, demo_page: PageContext) -> None:
    """Where the old report was moved aside and the new one never came, the old one returns."""
    out, aside = tmp_path / "r", _earlier(tmp_path / ".r.previous")
    failing = _notebook(tmp_path, code_cell("1 / 0"))
    with pytest.raises(WorkbookError):
        _publish([failing], out, demo_page)
    assert contents(out).keys() == {"run.json", "index.html"}
    shutil.copytree(out, aside)  # the other half: the new one came, the old one is still there
    with pytest.raises(WorkbookError):
        _publish([failing], out, demo_page)
    assert not aside.exists()


# --- One after another. ---------------------------------------------------------------------------

_AT_TABLES = 'tables: str = ""'
_RECORD = """
from pathlib import Path
from analysis.pages.show import record_findings
read = [path.name for path in sorted(Path(tables).glob("*.txt"))]
(Path(tables) / "{name}.txt").touch()
record_findings({name}=(len(read), "{name}.txt"), last=(0.1 + 0.2, "{name}.txt"))
print(read)
"""


def test_notebooks_run_one_after_another(
    tmp_path: Path, demo_page: PageContext, caplog: pytest.LogCaptureFixture
) -> None:
    """In the order in which they are given, whatever their metadata say of others, as earlier
    versions had it. Their findings are in ``run.json`` and nowhere else; of two with one name that
    of the later stands."""
    notebooks = [
        _notebook(
            tmp_path,
            code_cell(_AT_TABLES, PARAMETERS),
            code_cell(_RECORD.format(name=name)),
            name=f"{number}-{name}.ipynb",
            **({"workbook": {"reads": ["2-b"]}} if number == 1 else {}),
        )
        for number, name in enumerate("abc", 1)
    ]
    out = _publish(notebooks, tmp_path / "r", demo_page)
    run = json.loads((out / "run.json").read_bytes())
    assert run["findings"] == {
        "a": {"value": 0, "table": "a.txt"},
        "b": {"value": 1, "table": "b.txt"},
        "c": {"value": 2, "table": "c.txt"},
        "last": {"value": 0.1 + 0.2, "table": "c.txt"},
    }
    page = (out / "3-c.html").read_text(encoding="utf-8")
    assert "[&#39;a.txt&#39;, &#39;b.txt&#39;]" in page
    assert FINDINGS not in page
    assert [name for name in contents(out) if "findings" in name] == []
    assert [one.getMessage() for one in caplog.records if "reads" in one.getMessage()] == [
        "1-a: workbook.reads in its metadata is ignored; notebooks run in the order of their "
        "names, each after all before it"
    ]


def test_a_kernel_that_is_killed_is_named(tmp_path: Path, demo_page: PageContext) -> None:
    """What killed it is mostly the system, for want of memory. None after it begins, and of none
    anything is left."""
    killed = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    notebooks = [
        _notebook(tmp_path, code_cell(killed), name="1-a.ipynb"),
        _notebook(tmp_path, code_cell(f"open({str(tmp_path / 'b')!r}, 'w')"), name="2-b.ipynb"),
    ]
    with pytest.raises(
        WorkbookError, match=r"1-a\.ipynb: its kernel was killed; perhaps there was"
    ):
        _publish(notebooks, tmp_path / "r", demo_page)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-a.ipynb", "2-b.ipynb"]


_LOOK = """
import os, sys, tempfile, time
print(sys.executable, "meant" in globals(), time.tzname, os.environ["PYTHONHASHSEED"])
print(tempfile.gettempdir())
"""


def test_a_cell_means_the_same_whatever_a_user_has_installed(
    tmp_path: Path, demo_page: PageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a kernel of the same name, nor a start-up file, nor the machine's time zone, nor a
    temporary folder whose name is too long for a socket."""
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {"argv": ["false"], "display_name": "Mine", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "mine.py").write_text("meant = 'otherwise'")
    long = tmp_path / ("x" * 120)
    long.mkdir()
    for name, value in (
        ("JUPYTER_PATH", str(tmp_path / "jupyter")),
        ("IPYTHONDIR", str(tmp_path / "ipython")),
        ("TZ", "Asia/Phnom_Penh"),
        ("TMPDIR", str(long)),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", None)
    notebook = _notebook(tmp_path, code_cell(_LOOK))
    executed = execute(notebook, {}, tmp_path / "failed.ipynb")
    looked, place = executed.cells[1].outputs[0].text.splitlines()
    assert looked == f"{sys.executable} False ('UTC', 'UTC') 0"
    assert Path(place).parent == long


# --- A report on paper: one file, numbered through, with its status on each sheet; the same bytes.

LINKS = (
    '<a href="4-blocked-sites.html#list">annex</a> <a href="#own">own</a> '
    '<a href="sites/a.html">site</a> <a href="https://site.test/">out</a> '
    '<a href="3-semester-comparison.html">halves</a>'
)
FOOT = f'@page {{ margin: 20mm; @bottom-left {{ content: "{css("Draft 2 · Nowhere")}"; }} }}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The pages, with ids that stand on each of them."""
    for place, name in enumerate(PARTS):
        (tmp_path / name).write_text(
            f'<!DOCTYPE html><html lang="{"km" if place else "en"}"><head><title>Report {place}'
            f"</title><style>{FOOT}</style><script>1</script></head><body><nav>gone</nav>"
            f'<header><h1 id="own">Part {place}</h1></header><main id="main"><h2 id="list">List'
            f'</h2><p aria-labelledby="own list">{LINKS}</p><svg><g clip-path="url(#own)"/></svg>'
            f"</main><footer>{'where to' if name == FORM else 'gone'}</footer></body></html>",
            encoding="utf-8",
        )
    return tmp_path


def test_pages_are_joined(folder: Path) -> None:
    """No id stands twice, a link to another part leads there, one out of the document is text."""
    html = join_pages({name: folder / name for name in PARTS})
    ids = re.findall(' id="(.*?)"', html)
    assert len(ids) == len(set(ids)) == 4 * len(PARTS)
    assert set(re.findall('aria-labelledby="(.*?)"', html)) == {
        f"part{n}-own part{n}-list" for n in (1, 2, 3, 4)
    }
    assert set(re.findall(r"url\((.*?)\)", html)) == {f"#part{n}-own" for n in (1, 2, 3, 4)}
    targets = set(re.findall('href="(.*?)"', html))
    assert targets - {"https://site.test/"} <= {f"#{name}" for name in ids}
    assert "#part2-list" in targets
    assert html.count("<a>site</a>") == 4
    assert not re.search("gone|<script", html)  # but the form's foot says where to send it
    assert (html.count('lang="km"'), html.count("where to")) == (3, 1)
    (folder / "sites").mkdir()
    shutil.copy(folder / PARTS[1], folder / "sites" / "a.html")
    pages = {name: folder / name for name in (PARTS[0], "sites/a.html")}
    html = join_pages(pages).replace('href="sites/a.html"', "")
    assert '<a href="#part2-top">site</a>' in html  # from the first page


def test_a_printed_report(folder: Path, chromium: str) -> None:
    """Tagged, with an outline and a title; status and number on each sheet; twice the same."""
    import pypdf

    first, second = (
        print_pages(folder, folder, chromium, date(2024, 12, 31)).read_bytes() for _ in range(2)
    )
    assert first == second
    read = pypdf.PdfReader(io.BytesIO(first))
    told = read.metadata
    assert (told.title, str(told.creation_date)[:10]) == ("Report 0", "2024-12-31")
    assert read.root_object["/MarkInfo"]["/Marked"]
    titles = [one["/Title"] for one in read.outline if not isinstance(one, list)]
    assert titles == ["Part 0", "Part 1", "Part 2", "Part 3"]
    assert len(read.pages) == len(PARTS)
    for page in read.pages:
        assert "Draft 2 · Nowhere" in page.extract_text()
    assert str(folder).encode() not in first
    assert sorted(path.name for path in folder.iterdir()) == sorted([*PARTS, "report.pdf"])


def test_without_a_browser_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch, command: object, tmp_path: Path
) -> None:
    """One line says what is missing, before a report is made that could not be printed."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(reporting, "read_report", None)
    status, _, complaint = command("pdf", f"OUT={tmp_path / 'out'}")
    assert (status, complaint.count("\n")) == (3, 1)
    assert "Chromium, and there is none on this machine" in complaint
    assert not (tmp_path / "out").exists()
