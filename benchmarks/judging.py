"""Verdicts and intervals of a study's rows, beside one group-by over them, at three sizes.

The rows are those of a fictional country, whose situations every rule has work with, repeated
under other names, networks and reports until they are as many sites, networks and measurements as
a year of a country has.
"""

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pyarrow.parquet as pq

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.outcomes import add_outcomes
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.store.connections import connect, limit_memory
from analysis.store.database import Observations
from analysis.store.ingestion import Request, ingest
from analysis.verdicts.sessions import add_sessions
from analysis.verdicts.verdicts import judge_cells
from analysis.worlds.writing import write_world
from benchmarks.varying import vary_rows

PROBE_CC = "QQ"
PERIOD = Period.parse("2024-01-01", "2025-01-01")
#: About 2,000 names on 31 networks: 16 times the country's names, twice its networks.
_NAMES, _NETWORKS = 16, 2

_BASE = """
CREATE OR REPLACE TEMP TABLE base AS
SELECT * EXCLUDE (row_id),
  row_number() OVER (PARTITION BY report_id ORDER BY object_key, line_number) AS place
FROM observations
"""

# Copies of reports, in no order that means anything, until there are as many measurements as asked
# for; the last one is cut.
_REPORTS = """
CREATE OR REPLACE TEMP TABLE reports AS
WITH copies AS (
  SELECT report_id, n.range AS name, a.range AS network, t.range AS time, count(*) AS row_count
  FROM base, range({names}) n, range({networks}) a, range({times}) t GROUP BY ALL
), summed AS (
  SELECT *, sum(row_count) OVER (
    ORDER BY hash(report_id, name, network, time), report_id, name, network, time) AS total
  FROM copies
)
SELECT report_id, name, network, time,
  least(row_count, {row_count} - (total - row_count)) AS row_count
FROM summed WHERE total - row_count < {row_count}
"""

# A copy on a later day that would leave the period comes around to its beginning.
_ROWS = """
COPY (
  SELECT b.* EXCLUDE (place) REPLACE (
      concat('c', name, '-', b.domain) AS domain,
      (b.probe_asn + 1000 * network)::UINTEGER AS probe_asn,
      concat(b.report_id, '-', name, '-', network, '-', time) AS report_id,
      replace(b.input, '://', concat('://c', name, '-')) AS input,
      concat('c', name, '-', b.http_host) AS http_host,
      concat('c', name, '-', b.redirect_host) AS redirect_host,
      concat(name, '-', network, '-', time, '/', b.object_key) AS object_key,
      b.measurement_start_time + to_days(time::INTEGER - CASE
        WHEN b.measurement_start_time + to_days(time::INTEGER) < '{until}'::TIMESTAMP THEN 0
        ELSE {days} END) AS measurement_start_time)
  FROM base b JOIN reports USING (report_id)
  WHERE place <= row_count
) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
"""

# What any report asks first of the same rows.
GROUP_BY = """
SELECT domain, probe_asn, count(*), count(*) FILTER (is_anomaly), count(*) FILTER (is_confirmed),
  count(*) FILTER (is_failure), count(DISTINCT report_id)
FROM observations GROUP BY ALL
"""


@dataclass(frozen=True)
class Size:
    """How many measurements to judge, how often, and whether they vary as real ones do."""

    row_count: int
    rounds: int = 3
    is_varied: bool = False


SIZES = (
    Size(240_000),
    Size(2_400_000),
    Size(24_000_000, rounds=1),
    Size(2_400_000, is_varied=True),
)


def measure(sizes: tuple[Size, ...] = SIZES) -> list[dict[str, Any]]:
    """Judge each size in a process of its own.

    Returns:
        One mapping per size: ``is_varied, measurement_count``, ``pair_count`` (site × network),
        ``seconds`` and ``group_by_seconds`` of processors (medians), their median ``ratio`` and the
        highest resident memory, ``peak_mb``; and the same of the counts of ``queries``, under
        ``query_…``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_rows(Path(scratch), sizes)
        return [
            {
                "is_varied": size.is_varied,
                **_summary([_in_a_process("judging", path) for _ in range(size.rounds)]),
                **{
                    f"query_{name}": value
                    for name, value in _summary(
                        [_in_a_process("queries", path) for _ in range(size.rounds)]
                    ).items()
                },
            }
            for size, path in zip(sizes, paths, strict=True)
        ]


def write_rows(folder: Path, sizes: Sequence[Size]) -> list[Path]:
    """Write a Parquet file of observations for each size, and say where."""
    write_world(folder / "world", probe_cc=PROBE_CC, since=PERIOD.since, until=PERIOD.until)
    archive, store = str(folder / "world" / "archive"), str(folder / "store")
    collection = ingest(Request(archive, store, PROBE_CC), Fingerprints())
    paths = [folder / f"{place}.parquet" for place in range(len(sizes))]
    with Observations(collection, PROBE_CC, PERIOD) as observations:
        connection = observations.connection
        connection.execute(_BASE)
        # The wide rows are joined to their copies, and not the other way.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        ((base_count,),) = connection.execute("SELECT count(*) FROM base").fetchall()
        # What the largest needs.
        limit_memory(connection, max(size.row_count for size in sizes))
        for size, path in zip(sizes, paths, strict=True):
            copies = {"names": _NAMES, "networks": _NETWORKS, "row_count": size.row_count}
            times = -(-size.row_count // (base_count * _NAMES * _NETWORKS))
            connection.execute(_REPORTS.format(**copies, times=times))
            written = folder / "alike.parquet" if size.is_varied else path
            connection.execute(
                _ROWS.format(path=written, until=PERIOD.until, days=PERIOD.day_count)
            )
            if size.is_varied:
                vary_rows(connection, written, path)
                written.unlink()
    return paths


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {name: rounds[0][name] for name in ("measurement_count", "pair_count")}
    seconds = {
        name: median(found[name] for found in rounds) for name in ("seconds", "group_by_seconds")
    }
    ratio = median(found["seconds"] / found["group_by_seconds"] for found in rounds)
    return {**counts, **seconds, "ratio": ratio, "peak_mb": max(r["peak_mb"] for r in rounds)}


def _in_a_process(what: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{what}", str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def judge(path: str) -> dict[str, Any]:
    """Judge the rows of one Parquet file, as a report does; seconds are those of processors."""
    with tempfile.TemporaryDirectory() as scratch:
        connection = open_rows(path, Path(scratch))
        started = time.process_time()
        pairs = connection.execute(GROUP_BY).fetchall()
        grouped = time.process_time()
        counts = {"measurement_count": sum(pair[2] for pair in pairs), "pair_count": len(pairs)}
        networks = {pair[1] for pair in pairs}
        del pairs  # tens of MB of rows that no report holds
        first, second = PERIOD.split("")
        add_outcomes(connection, Thresholds(), Fingerprints())
        add_sessions(connection, networks, {}, Thresholds())
        periods = {"all": PERIOD, "first": first, "second": second}
        judgement = judge_cells(connection, periods, Thresholds(), has_explorer=True)
        ended = time.process_time()
        assert len(judgement.verdicts)
        connection.close()
    return {
        **counts,
        "seconds": ended - grouped,
        "group_by_seconds": grouped - started,
        "peak_mb": peak_mb(),
    }


def open_rows(path: str, scratch: Path) -> duckdb.DuckDBPyConnection:
    """A connection that finds the rows of a Parquet file as a study's, in a file of DuckDB."""
    rows = scratch / "rows.duckdb"
    with closing(connect(rows, threads=2)) as writing:
        limit_memory(writing, 0)
        writing.execute(
            "CREATE TABLE observations AS SELECT * EXCLUDE (file_row_number), "
            "file_row_number::UINTEGER AS row_id FROM read_parquet($path, file_row_number = true)",
            {"path": path},
        )
    connection = connect(scratch / "judged.duckdb", threads=2)
    limit_memory(connection, pq.read_metadata(path).num_rows)
    connection.execute(f"ATTACH '{rows}' AS study (READ_ONLY)")
    connection.execute("CREATE VIEW observations AS FROM study.observations")
    return connection


def peak_mb() -> float:
    """The most memory that this process has held, in MB.

    What ``getrusage`` says begins with the parent's at the time of the start.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s*(\d+)", status.read_text(encoding="utf-8"))[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(judge(sys.argv[1])))
