"""Costs of a report on 2.4 million measurements, of queries, and of a change in a notebook.

The source is a share (``rows``): no archive is read.
"""

import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import duckdb
import papermill
import psutil

from analysis.study import study as measurement_counts
from benchmarks.ingestion import Table, cost
from benchmarks.rows import PERIOD, PROBE_CC, write_share

ROOT = Path(__file__).resolve().parents[1]
#: A number that affects the profiles of answers and pages, and later stages, but not features.
_CHANGED, _CHANGED_IN_LAB = "floor_sessions=6", {"thresholds": {"floor_sessions": 7}}

# The first query of any report.
_GROUP_BY = """
SELECT domain, probe_asn, count(*), count(*) FILTER (is_anomaly), count(*) FILTER (is_confirmed),
  count(*) FILTER (is_failure), count(DISTINCT report_id)
FROM observations GROUP BY ALL
"""


def measure(row_count: int = 2_400_000) -> Table:
    """Make a report, make it again, change a number, and change another in a notebook.

    The first run starts with an empty store, which the other runs then use.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_share(folder / "share", row_count)
        group_by, counts = _ask(folder / "share")
        # One day less than the shipped country, so that its meeting's decisions do not apply.
        until = PERIOD.until - timedelta(days=1)
        words = [
            f"PROBE_CC={PROBE_CC}",
            f"SINCE={PERIOD.since}",
            f"UNTIL={until}",
            f"SOURCE={folder / 'share'}",
            f"STORE={folder / 'store'}",
        ]
        rows = [
            ("a group-by of its rows", "", f"{group_by:.2f}", ""),
            ("all counts of pages 1 and 3", "", f"{counts:.2f}, {counts / group_by:.1f} times", ""),
            ("a report, anew", *publish([*words, f"OUT={folder / 'first'}"])),
            ("again", *publish([*words, f"OUT={folder / 'again'}"])),
            ("one number changed", *publish([*words, f"OUT={folder / 'changed'}", _CHANGED])),
            ("another one in notebook 2", *_run_notebook(folder, str(until)), ""),
        ]
    columns = (f"{row_count:,} measurements", "s", "s of processors", "MB of all processes")
    return columns, rows


def _ask(share: Path) -> tuple[float, float]:
    """Return processor seconds of a group-by, and of all counts of pages 1 and 3."""
    with duckdb.connect(config={"threads": 2}) as connection:
        months = str(share / "*.parquet")
        connection.execute("CREATE TABLE observations AS FROM read_parquet($1)", [months])
        first, second = PERIOD.split("")
        periods = {"all": PERIOD, "first": first, "second": second}

        def count() -> None:
            measurement_counts.count_by_month(connection, has_fingerprints=True)
            networks = measurement_counts.count_by_network(connection).assign(network="")
            measurement_counts.count_by_network_and_month(connection, networks)
            measurement_counts.count_by_domain(connection)
            measurement_counts.count_in_halves(connection, periods)
            measurement_counts.count_in_periods(connection, periods)

        group_by = cost(lambda: connection.execute(_GROUP_BY).fetchall())
        return group_by.cpu, cost(count).cpu


def publish(words: list[str]) -> tuple[str, str, str]:
    """Make a report in a process of its own, and measure its memory every two seconds.

    Returns:
        Seconds by the clock, processor seconds, and the most MB of all processes at one time; a
        page of memory that several share counts once.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    largest = 0
    with tempfile.TemporaryFile("w+") as output:
        command = [sys.executable, "-m", "analysis", "report", *words]
        with subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as process:
            while process.poll() is None:
                largest = max(largest, _bytes_of_all(psutil.Process(process.pid)))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=2)
        seconds = time.perf_counter() - started
        if process.returncode:
            output.seek(0)
            raise RuntimeError(output.read())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{seconds:,.0f}", f"{cpu:,.0f}", f"{largest / 1e6:,.0f}"


def _bytes_of_all(process: psutil.Process) -> int:
    """Return the bytes of a process and its children, without those that have ended."""
    total = 0
    with suppress(psutil.Error):
        for item in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += item.memory_full_info().pss
    return total


def _run_notebook(folder: Path, until: str) -> tuple[str, str]:
    """Return the costs of running the notebook of verdicts with a new number, as in JupyterLab."""
    notebook = ROOT / "notebooks" / "2-confirmation.ipynb"
    parameters = {
        "probe_cc": PROBE_CC,
        "since": str(PERIOD.since),
        "until": until,
        "source": str(folder / "share"),
        "store": str(folder / "store"),
        "tables": str(folder / "tables"),
        **_CHANGED_IN_LAB,
    }

    def run() -> None:
        papermill.execute_notebook(
            notebook,
            folder / "done.ipynb",
            parameters=parameters,
            kernel_name="python3",
            cwd=str(notebook.parent),
            progress_bar=False,
        )

    seconds = cost(run)
    return f"{seconds.wall:,.0f}", f"{seconds.cpu:,.0f}"
