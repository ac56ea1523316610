"""Costs of reading an archive, compared with the floor, and with two processes.

All are measured in turns within one run, as wall time and as processor time. On a busy machine only
the ratios of processor time are meaningful.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from analysis.observations.fingerprints import Fingerprints
from analysis.store.ingestion import Request, ingest
from benchmarks.floor import read_folder
from benchmarks.generate import PROBE_CC, Size, object_path, write_archive

#: Column headings, and rows.
Table = tuple[Sequence[str], Sequence[Sequence[str]]]


class Cost(NamedTuple):
    """Seconds by the clock, and of all processors."""

    wall: float
    cpu: float


def measure(fingerprints: Fingerprints, rounds: int = 3, times: int = 24) -> Table:
    """Measure speed, as medians over rounds.

    The archive is repeated ``times`` at later hours, so that starting workers has as little weight
    as in real use.
    """
    size = Size()
    with TemporaryDirectory() as scratch:
        archive = Path(scratch) / "archive"
        byte_count = write_archive(archive, size) * times
        _repeat(archive, size, times)
        costs = [_measure_round(archive, fingerprints) for _ in range(rounds)]
    seconds = median(by_name["one"].cpu for by_name in costs)
    measurement_count = size.objects * size.measurements * times
    return ("figure", "by the clock", "by processor time"), [
        (
            "speed against unpack + decode a dozen fields, one process",
            *_ratio(costs, "floor", "one", 1),
        ),
        ("speed of two processes against one", *_ratio(costs, "one", "two", 2)),
        (
            "the same of unpack + decode: this machine's ceiling",
            *_ratio(costs, "floor_twice", "two_floors", 2),
        ),
        ("measurements/s, one process", "", f"{measurement_count / seconds:,.0f}"),
        ("MB of JSON/s, one process", "", f"{byte_count / 1e6 / seconds:,.0f}"),
    ]


def cost(call: Callable[[], object]) -> Cost:
    """Measure a call, with the processes that it starts and waits for."""
    wall, cpu = time.perf_counter(), _processor_seconds()
    call()
    return Cost(time.perf_counter() - wall, _processor_seconds() - cpu)


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _ratio(
    rounds: Sequence[dict[str, Cost]], above: str, below: str, processes: int
) -> tuple[str, str]:
    """Return the medians of the ratio of two costs, by the clock and by processor time."""
    wall = median(costs[above].wall / costs[below].wall for costs in rounds)
    cpu = median(costs[above].cpu / costs[below].cpu for costs in rounds)
    return f"{wall:.2f}", f"{processes * cpu:.2f}"


def _measure_round(archive: Path, fingerprints: Fingerprints) -> dict[str, Cost]:
    floor = cost(lambda: read_folder(archive))
    return {
        "floor": floor,
        "floor_twice": Cost(2 * floor.wall, 2 * floor.cpu),
        "one": cost(lambda: _ingest(archive, fingerprints, 1)),
        "two": cost(lambda: _ingest(archive, fingerprints, 2)),
        "two_floors": _two_floors(archive),
    }


def _two_floors(archive: Path) -> Cost:
    """Measure the floor in two simultaneous processes, without starting them."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_floor, [archive / "nothing"] * 2, chunksize=1)
        wall = time.perf_counter()
        cpu = sum(pool.map(_floor, [archive] * 2, chunksize=1))
        return Cost(time.perf_counter() - wall, cpu)


def _floor(folder: Path) -> float:
    started = time.process_time()
    read_folder(folder)
    return time.process_time() - started


def _ingest(archive: Path, fingerprints: Fingerprints, jobs: int) -> None:
    with TemporaryDirectory() as store:
        ingest(Request(str(archive), store, PROBE_CC, jobs=jobs), fingerprints)


def _repeat(archive: Path, size: Size, times: int) -> None:
    """Repeat the objects of an archive at later hours, by hard links."""
    for index in range(size.objects, size.objects * times):
        copy = archive / object_path(index)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.hardlink_to(archive / object_path(index % size.objects))
