"""Fixtures that several test modules share."""

import fcntl
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# isort: off
import analysis.pages  # noqa: F401  # before nbformat, which takes a second otherwise
import nbformat
import pytest
import stamina

# isort: on
from analysis.commands import cli
from analysis.errors import SourceError
from analysis.pages.paper import find_browser
from analysis.sources.reference_data import ADDRESSES
from tests.loopback_s3 import LoopbackS3, loopback_s3
from tests.ooni_server import OoniServer, ooni_server

# No test talks to anything but this machine: what is not given a server of its own finds none.
for _name in ("OONI_ARCHIVE", "OONI_API", *ADDRESSES):
    os.environ[_name] = f"http://127.0.0.1:9/{_name.lower()}"

# nohup and a shell's "&" have signals ignored, and every process that a test starts inherits that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

_REPOSITORY = Path(__file__).resolve().parents[1]


Command = Callable[..., tuple[int, str, str]]

#: The modules that take longest, the longest first: one that began late would leave the other
#: worker without work. The two reports that others wait for are made side by side.
_LONGEST = (
    "test_end_to_end",
    "test_any_archive",
    "test_hostile_archive",
    "test_ooni_server",
    "test_validation",
    "test_watching",
    "test_withholding",
    "test_survival",
    "test_publishing",
    "test_messaging",
    "test_recipes",
    "test_rivals",
    "test_golden",
    "test_verdict_states",
    "test_set_aside",
    "test_rules",
    "test_browser",
    "test_evidence",
    "test_worlds",
    "test_live_archive",
    "test_published_pages",
    "test_ingestion",
    "test_baselines",
    "test_explaining",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest modules begin first; make test tells xdist to keep to that."""
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what is loaded: to look through it took a tenth of the
    time of all tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The folder that holds ``analysis/``, ``tests/`` and the Makefile."""
    return _REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real measurements, lists and API replies, which the project does not ship.

    ``WORKBOOK_SHARED`` says where it is; by default ``../shared`` beside the repository.
    """
    shared = Path(os.environ.get("WORKBOOK_SHARED") or _REPOSITORY.parent / "shared")
    for folder in (shared / "data", shared):
        if (folder / "test-lists").is_dir():
            return folder
    pytest.skip("real data are not here: set WORKBOOK_SHARED to the folder that holds them")


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store that does not exist yet."""
    return str(tmp_path / "store")


@pytest.fixture
def bucket() -> Iterator[LoopbackS3]:
    """An S3 server with an empty bucket, which nobody has to wait for."""
    with stamina.set_testing(True, attempts=4), loopback_s3() as server:
        yield server


@pytest.fixture
def ooni(monkeypatch: pytest.MonkeyPatch) -> Iterator[OoniServer]:
    """OONI's API and archive, for which nobody waits long; both are empty."""
    with stamina.set_testing(True, attempts=3), ooni_server() as server:
        monkeypatch.setenv("OONI_API", server.api)
        monkeypatch.setenv("OONI_ARCHIVE", server.url)
        yield server


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``python -m analysis ARGUMENTS…`` in this process: its exit status, what it says, what it
    complains of.

    A process of its own takes seconds to load. That ``-m analysis`` ends with the status is seen
    in test_settings.py and test_survival.py.
    """

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["analysis", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:  # typer ends with 0, too, by leaving
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return run


def markdown_cell(text: str) -> Any:
    return nbformat.v4.new_markdown_cell(text)


def code_cell(source: str, *tags: str, outputs: Sequence[Any] = ()) -> Any:
    return nbformat.v4.new_code_cell(source, metadata={"tags": [*tags]}, outputs=[*outputs])


def save_notebook(folder: Path, name: str, cells: list, **metadata: Any) -> Path:
    """A notebook whose cell ids do not change from run to run."""
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place}"
    path = folder / name
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def _tables_notebook(folder: Path) -> Path:
    parameters = (
        'country: str = "Nowhere"  # name of the country\n'
        "floor_sessions: int = 4  # sessions >= this are needed, n = sessions\n"
        'tables: str = "."  # the folder that the stages share'
    )
    return save_notebook(
        folder,
        "1-tables.ipynb",
        [
            markdown_cell(
                "# What was measured\n\nEvery line of the archive has *one* reason.\n\n"
                "Which tests can this report rest on?"
            ),
            code_cell(parameters, "parameters"),
            code_cell(
                "import json\nfrom pathlib import Path\nimport pandas as pd\n"
                "from analysis.pages import plots, show",
                "setup",
            ),
            markdown_cell("## Months\n\nThe archive <b>holds</b> them."),
            code_cell(
                "months = pd.DataFrame({'month': ['2023-07', '2023-08', '2023-10'], "
                "'measurement_count': [12345, 2000, 900], 'ok_count': [12000, 1800, 800], "
                "'anomaly_count': [300, 150, 80], 'confirmed_count': [5, 10, 0], "
                "'failure_count': [40, 40, 20]})\n"
                "months.to_csv(Path(tables) / 'measurements_by_month.csv', index=False)"
            ),
            code_cell(
                "show.show_figure(plots.results_by_month(months, title='Few tests fail', "
                "footer=f'Source: made for a test. n = {months.measurement_count.sum():,}'), "
                "alt='Stacked bars: most tests found the site reachable.', "
                "caption='Results by month; nothing was tested in September.')"
            ),
            code_cell("show.show_table(months, caption='Measurements by month')"),
            markdown_cell("## Sites\n\n### ខ្មែរ ភាសា\n\n### ខ្មែរ ភាសា"),
            code_cell(
                "hostile = ['<script>alert(1)</script>', '=HYPERLINK(1)', 'x' * 300, "
                "'$\\\\frac{', 'a\\u202eb', '\"><img src=x onerror=alert(1)>']\n"
                "sites = pd.DataFrame({'domain': hostile + [f'site{i}.test' for i in range(60)]})\n"
                "states = ['blocked', 'likely_blocked', 'impaired', 'down', 'ok', 'insufficient']\n"
                "sites['state'] = [states[i % 6] for i in range(len(sites))]\n"
                "sites['blocked_share'] = [1.0, 0.9712, None] * 22\n"
                "sites['is_local'] = [True, False] * 33\n"
                "sites['networks'] = 'AS1 One;AS22 Two;AS333 A network with a long name'\n"
                "sites['mechanisms'] = 'dns.sinkhole;tls.reset'\n"
                "sites['measurement_count'] = range(1000, 1066)\n"
                "sites['blocked_from'] = '2023-07-17'\n"
                "sites['witness_url'] = 'https://explorer.ooni.org/m/1'\n"
                "sites['note'] = 'at least since; not tested since'"
            ),
            code_cell("show.show_table(sites, caption='Sites', note='Made up.')"),
            code_cell(
                "pairs = pd.DataFrame([{'domain': d, 'probe_asn': n, "
                "'state': states[(i * n) % 6]}"
                " for i, d in enumerate(sites.domain[:30]) for n in (1, 22, 333, 4444)])\n"
                "pairs.to_csv(Path(tables) / 'verdicts.csv', index=False)\n"
                "show.show_matrix(pairs, caption='Sites by network', names={1: 'One'})"
            ),
            code_cell(
                "total = months.measurement_count.sum()\n"
                "show.record_findings(total=(total, 'measurements_by_month.csv'))",
                "setup",
            ),
        ],
    )


def _findings_notebook(folder: Path) -> Path:
    return save_notebook(
        folder,
        "2-findings.ipynb",
        [
            markdown_cell("# What was found\n\nWhich sites were blocked?"),
            code_cell('tables: str = "."  # the folder that the stages share', "parameters"),
            code_cell(
                "import json\nfrom pathlib import Path\nimport pandas as pd\n"
                "from analysis.pages import show\n"
                "months = pd.read_csv(Path(tables) / 'measurements_by_month.csv')",
                "setup",
            ),
            markdown_cell("## Findings"),
            code_cell(
                "total = int(months.measurement_count.sum())\n"
                "show.show_finding('few-tests', f'{total:,} measurements were kept', "
                "'It is a count.', "
                "'Made for a test.', '1-tables.html#months')"
            ),
            markdown_cell("## Method\n\n## How to read it\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
            code_cell(
                "show.show_states()\n"
                "show.show_parameters({'floor_sessions': 4}, {'floor_sessions': 'Fewest.'})\n"
                "show.show_provenance({'Rows': total, 'Lists': ['one', 'two'], "
                "'Digests': {'input': 'ab' * 32}})\nshow.show_text('Plain <b>text</b>.')"
            ),
        ],
    )


def _demo_first_page(_: Path, findings: Mapping[str, Any], __: Any) -> Any:
    return {
        "headline": "One site of four was blocked on every network",
        "lead": ["Yes: one site of four was blocked on every network."],
        "counting": [f"Measurements: {findings['total']['value']}.", "Months with tests: 3 of 4."],
        "findings": [
            {
                "id": "F3",
                "claim": "Tests are few",
                "sites": "a.test <b>and</b> b.test.",
                "caveats": ["<b>Made up</b>"],
                "evidence": "2-findings.html#claim-few-tests",
                "figure": "",
            }
        ],
        "certainty": ["Not at all."],
        "unknowns": ["What happened in September."],
    }


@pytest.fixture(scope="session")
def demo_notebooks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small notebooks, the second of which reads the first one's table."""
    folder = tmp_path_factory.mktemp("notebooks {0}")
    return [_tables_notebook(folder), _findings_notebook(folder)]


@pytest.fixture(scope="session")
def demo_page():
    from analysis.pages.rendering import PageContext  # takes seconds to load

    return PageContext(
        country="Nowhere",
        period="1 July to 31 October 2023",
        status="Fictional country",
        data_date="31 October 2023",
    )


def _make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is made once: workers that run side by side share it, those that come later
    wait.
    """
    root = factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def demo_report(
    tmp_path_factory: pytest.TempPathFactory, demo_notebooks: list[Path], demo_page
) -> Path:
    """The two notebooks as a published report."""
    from analysis.pages.publishing import Contents, publish
    from analysis.pages.rendering import Edition

    def make(folder: Path) -> None:
        contents = Contents(
            demo_notebooks,
            parameters={"country": "Nowhere", "floor_sessions": 5},
            run={"parameters": {"probe_cc": "QN"}},
            page=demo_page,
            editions=[Edition(demo_page, "")],
            first_page=_demo_first_page,
        )
        publish(contents, folder / "reports" / "demo")

    return _make_once(tmp_path_factory, "demo", make) / "reports" / "demo"


@pytest.fixture(scope="session")
def fictional_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded fictional country's report, as ``python -m analysis report`` publishes it.

    Its store lies beside it, as ``store``. ``WORKBOOK_REPORT`` names one that is there already, so
    that whoever works on a page need not wait for it.
    """
    named = os.environ.get("WORKBOOK_REPORT")
    if named:
        return Path(named).resolve()

    def make(folder: Path) -> None:
        arguments = [
            f"STORE={folder / 'store'}",
            f"OUT={folder / 'report'}",
            "REPORT_LANGUAGES=en,km",
            "JOBS=1",  # the other core has tests to run
        ]
        done = subprocess.run(
            [sys.executable, "-m", "analysis", "report", *arguments],
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        log = f"{done.returncode}\n{done.stdout}{done.stderr}"
        (folder / "log.txt").write_text(log, encoding="utf-8")

    folder = _make_once(tmp_path_factory, "fictional", make)
    status, _, said = (folder / "log.txt").read_text(encoding="utf-8").partition("\n")
    assert status == "0", said
    return folder / "report"


@pytest.fixture(scope="session", params=["fictional_report", "demo_report"])
def published_report(request: pytest.FixtureRequest) -> Path:
    """The folders of pages that the browser tests open: what a user gets, and what is hostile."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser that prints; its absence is a skip, or a failure where it is promised."""
    try:
        return find_browser()
    except SourceError:
        if os.environ.get("WORKBOOK_REQUIRE_BROWSER") == "1":
            raise
        pytest.skip("no chromium on this machine")
