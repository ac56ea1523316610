"""A whole report from Parquet: the notebooks and their pages, over a year of a country.

The source is another store, made of the rows that ``judging`` multiplies: no archive is read.
"""

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from analysis.observations.fingerprints import Fingerprints
from analysis.observations.schema import OBSERVATION, SCHEMA_VERSION
from analysis.store.checksums import BLANK_CHECKSUM, CHECKSUM_KEY, set_checksum
from analysis.store.connections import connect
from analysis.store.provenance import Provenance, file_name
from analysis.store.store import Store
from benchmarks.judging import PERIOD, PROBE_CC, Size, write_rows

_KEY = "raw/20240101/00/QQ/webconnectivity/2024010100_QQ_webconnectivity.n0.0.jsonl.gz"


#: One number that acts early: all stages but the first are made again.
_CHANGE = "floor_sessions=6"


def measure(row_count: int = 2_400_000, *, is_varied: bool = False) -> dict[str, Any]:
    """Publish a report three times, anew, again, and with one number changed; and so once more.

    Args:
        row_count: of how many measurements.
        is_varied: whether these vary as real ones do, see ``varying``.

    The first finds nothing but the other store; the others find the stages that it has left. What
    all of them hold is looked at in the second round alone: that takes a processor's time, and
    may hold up a process that asks for memory meanwhile.

    Returns:
        ``measurement_count``, ``pages`` (name → bytes), and of ``first, again, changed`` what
        ``_time`` and ``_watch`` say.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (rows,) = write_rows(folder, [Size(row_count, is_varied=is_varied)])
        count = write_store(rows, folder / "large")
        rows.unlink()
        # A day less than the country that ships: what a meeting decided of that is not of this.
        until = PERIOD.until - timedelta(days=1)
        words = [f"PROBE_CC={PROBE_CC}", f"SINCE={PERIOD.since}", f"UNTIL={until}",
                 f"SOURCE={folder / 'large'}"]  # fmt: skip
        runs: dict[str, dict[str, Any]] = {"first": {}, "again": {}, "changed": {}}
        for place, measure_run in (("timed", _time), ("watched", _watch)):
            for name, said in runs.items():
                more = [_CHANGE] if name == "changed" else []
                to = [f"STORE={folder / place / 'store'}", f"OUT={folder / place / name}"]
                said |= measure_run([*words, *more, *to])
        pages = (folder / "timed" / "first").glob("*.html")
        sizes = {path.name: path.stat().st_size for path in pages}
    return {"measurement_count": count, "pages": sizes, **runs}


def _time(words: list[str]) -> dict[str, Any]:
    """Publish a report, in a process of its own.

    Returns:
        ``seconds`` by the clock, ``cpu`` seconds of all its processes, and by the clock the seconds
        of each of the ``notebooks``.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with _start(words) as process:
        said, _ = process.communicate()
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    _refuse_failure(process, said)
    return {
        "seconds": seconds,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "notebooks": {name: int(took) for name, took in _DONE.findall(said)},
    }


def _watch(words: list[str]) -> dict[str, Any]:
    """Publish a report, and look twice a second at what its processes hold.

    Returns:
        ``peak_mb`` of the largest and ``together_mb`` of all at the same time; a page that several
        share counts once.
    """
    largest = together = 0
    with _start(words) as process:
        one = psutil.Process(process.pid)
        while process.poll() is None:
            held = _memory_of_all(one)
            largest, together = max([largest, *held]), max(together, sum(held))
            time.sleep(0.5)
        said, _ = process.communicate()
    _refuse_failure(process, said)
    return {"peak_mb": largest / 1e6, "together_mb": together / 1e6}


def _start(words: list[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "analysis", "report", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _refuse_failure(process: "subprocess.Popen[str]", said: str) -> None:
    if process.returncode:
        raise RuntimeError(said)


def _memory_of_all(process: psutil.Process) -> list[int]:
    """Bytes that a process and each that it has started holds; none of one that has ended."""
    held = []
    with suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                held.append(one.memory_full_info().pss)
    return held


# As ``publishing.scheduling`` says it.
_DONE = re.compile(r"^(\S+): done in (\d+) s", re.MULTILINE)


def write_store(rows: Path, store: Path) -> int:
    """Put rows into a store as one object's file; returns their number."""
    place = Path(Store(str(store)).path(file_name("multiplied-000000000000", _KEY)))
    place.parent.mkdir(parents=True)
    connection = connect(threads=2)
    ((count,),) = connection.execute(f"SELECT count(*) FROM '{rows}'").fetchall()
    made = Provenance(_KEY, 0, "", "0" * 64, SCHEMA_VERSION, Fingerprints().digest, count)
    said = json.dumps(asdict(made), sort_keys=True)
    columns = ", ".join(
        "(row_number() OVER ())::UINTEGER AS line_number" if name == "line_number" else name
        for name in OBSERVATION.names
    )
    connection.execute(
        f"COPY (SELECT {columns} FROM '{rows}') TO '{place}' (FORMAT parquet, COMPRESSION zstd, "
        f"KV_METADATA {{workbook: '{said}', {CHECKSUM_KEY}: '{BLANK_CHECKSUM}'}})"
    )
    set_checksum(place)
    return int(count)
