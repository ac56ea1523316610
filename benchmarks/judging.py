"""Verdicts and intervals from Parquet, beside one group-by over the same rows, at three sizes.

The rows are those of a fictional country, whose situations every rule has work with, repeated
under other names, networks and reports until they are as many sites, networks and measurements as
a year of a country has.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq

from analysis.fingerprints import Fingerprints
from analysis.ingestion import ingest
from analysis.observations import Observations, connect, limit_memory
from analysis.outcomes import add_outcomes
from analysis.period import Period
from analysis.rules import Thresholds
from analysis.simulate import write_world
from analysis.verdicts import judge_cells

PROBE_CC = "QQ"
PERIOD = Period.parse("2024-01-01", "2025-01-01")
#: 2,000 names on 31 networks, near enough: 16 times the country's names, twice its networks.
_NAMES, _NETWORKS = 16, 2

_MULTIPLIED = """
COPY (
  SELECT b.* REPLACE (
      concat('c', c.name, '-', b.domain) AS domain, b.probe_asn + 1000 * c.network AS probe_asn,
      concat(b.report_id, '-', c.name, '-', c.network, '-', t.time) AS report_id,
      replace(b.input, '://', concat('://c', c.name, '-')) AS input,
      concat('c', c.name, '-', b.http_host) AS http_host,
      concat('c', c.name, '-', b.redirect_host) AS redirect_host,
      concat(c.name, '-', c.network, '-', t.time, '/', b.object_key) AS object_key,
      b.measurement_start_time + to_days(t.time::INTEGER) AS measurement_start_time)
  FROM observations b,
    (SELECT n.range AS name, a.range AS network FROM range({names}) n, range({networks}) a) c,
    (SELECT range AS time FROM range({times})) t
  WHERE {share} = 1 OR hash(b.report_id) % {share} = 0
) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
"""

# What any report asks first of the same rows.
_GROUP_BY = """
SELECT domain, probe_asn, count(*), count(*) FILTER (is_anomaly), count(*) FILTER (is_confirmed),
  count(*) FILTER (is_failure), count(DISTINCT report_id)
FROM observations GROUP BY ALL
"""


@dataclass(frozen=True)
class Size:
    """How much to judge: every session ``times`` over, or one report in ``share``."""

    name: str
    times: int = 1
    share: int = 1
    rounds: int = 3


SIZES = (
    Size("0.24 million", share=5),
    Size("2.4 million", times=2),
    Size("24 million", times=18, rounds=1),
)


def measure(sizes: tuple[Size, ...] = SIZES) -> list[dict[str, Any]]:
    """Judge each size in a process of its own.

    Returns:
        One mapping per size: ``size``, ``measurement_count``, ``pair_count`` (site × network),
        ``seconds`` and ``group_by_seconds`` (medians), their median ``ratio`` and the highest
        resident memory, ``peak_mb``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_world(folder / "world", probe_cc=PROBE_CC, since=PERIOD.since, until=PERIOD.until)
        collection = ingest(str(folder / "world" / "archive"), str(folder / "store"), PROBE_CC,
                            fingerprints=Fingerprints())  # fmt: skip
        found = []
        with Observations(collection, PROBE_CC, PERIOD) as observations:
            for size in sizes:
                path = folder / "rows.parquet"
                query = _MULTIPLIED.format(
                    names=_NAMES, networks=_NETWORKS, times=size.times, share=size.share, path=path
                )
                observations.connection.execute(query)
                rounds = [_in_a_process(path) for _ in range(size.rounds)]
                found.append(
                    {
                        "size": size.name,
                        **{k: rounds[0][k] for k in ("measurement_count", "pair_count")},
                        **{
                            k: median(r[k] for r in rounds) for k in ("seconds", "group_by_seconds")
                        },
                        "ratio": median(r["seconds"] / r["group_by_seconds"] for r in rounds),
                        "peak_mb": max(r["peak_mb"] for r in rounds),
                    }
                )
    return found


def _in_a_process(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.judging", str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def judge(path: str) -> dict[str, Any]:
    """Judge the rows of one Parquet file, as a report does."""
    with tempfile.TemporaryDirectory() as scratch:
        connection = connect(Path(scratch) / "judged.duckdb", threads=2)
        limit_memory(connection, pq.read_metadata(path).num_rows)
        connection.execute(f"CREATE VIEW observations AS SELECT * FROM read_parquet('{path}')")
        started = time.perf_counter()
        pairs = connection.execute(_GROUP_BY).fetchall()
        grouped = time.perf_counter()
        first, second = PERIOD.split("")
        add_outcomes(connection, Thresholds(), Fingerprints())
        judgement = judge_cells(
            connection,
            {"all": PERIOD, "first": first, "second": second},
            Thresholds(),
            domestic_asns={pair[1] for pair in pairs},
            has_explorer=True,
        )
        ended = time.perf_counter()
        assert len(judgement.verdicts)
        connection.close()
    return {
        "measurement_count": sum(pair[2] for pair in pairs),
        "pair_count": len(pairs),
        "seconds": ended - grouped,
        "group_by_seconds": grouped - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(judge(sys.argv[1])))
