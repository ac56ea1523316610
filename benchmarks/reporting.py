"""A whole report from Parquet: the notebooks and their pages, over a year of a country.

The source is another store, made of the rows that ``judging`` multiplies: no archive is read.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.observations.fingerprints import Fingerprints
from analysis.observations.schema import OBSERVATION, SCHEMA_VERSION
from analysis.store.checksums import BLANK_CHECKSUM, CHECKSUM_KEY, set_checksum
from analysis.store.database import connect
from analysis.store.provenance import Provenance, file_name
from analysis.store.store import Store
from benchmarks.judging import PERIOD, PROBE_CC, write_rows

_KEY = "raw/20240101/00/QQ/webconnectivity/2024010100_QQ_webconnectivity.n0.0.jsonl.gz"


def measure(row_count: int = 240_000) -> dict[str, Any]:
    """Publish a report twice: the second run finds the study's file that the first has made.

    Returns:
        ``measurement_count``, ``first_seconds``, and ``seconds`` of the second report.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (rows,) = write_rows(folder, [row_count])
        count = write_store(rows, folder / "large")
        words = [f"PROBE_CC={PROBE_CC}", f"SINCE={PERIOD.since}", f"UNTIL={PERIOD.until}",
                 f"SOURCE={folder / 'large'}", f"STORE={folder / 'kept'}",
                 f"OUT={folder / 'out'}"]  # fmt: skip
        first, second = (_seconds(words, folder / "log.txt") for _ in range(2))
    return {"measurement_count": count, "first_seconds": first, "seconds": second}


def _seconds(words: list[str], log: Path) -> float:
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as said:
        command = [sys.executable, "-m", "analysis", "report", *words]
        if subprocess.run(command, check=False, stdout=said, stderr=said).returncode:
            raise RuntimeError(log.read_text(encoding="utf-8"))
    return time.perf_counter() - started


def write_store(rows: Path, store: Path) -> int:
    """Put rows into a store as one object's file; returns their number."""
    place = Path(Store(str(store)).path(file_name("multiplied-000000000000", _KEY)))
    place.parent.mkdir(parents=True)
    connection = connect(threads=2)
    ((count,),) = connection.execute(f"SELECT count(*) FROM '{rows}'").fetchall()
    made = Provenance(_KEY, 0, "", "0" * 64, SCHEMA_VERSION, Fingerprints().digest, count)
    said = json.dumps(asdict(made), sort_keys=True)
    columns = ", ".join(
        "row_number() OVER () AS line_number" if name == "line_number" else name
        for name in OBSERVATION.names
    )
    connection.execute(
        f"COPY (SELECT {columns} FROM '{rows}') TO '{place}' (FORMAT parquet, COMPRESSION zstd, "
        f"KV_METADATA {{workbook: '{said}', {CHECKSUM_KEY}: '{BLANK_CHECKSUM}'}})"
    )
    set_checksum(place)
    return int(count)
