"""Reading an archive: beside the floor, with two processes, and in how much memory.

Everything is measured in turns within one run, as wall time and as processor time: on a busy
machine only the ratios of processor time say something.
"""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from analysis.observations import messages
from analysis.observations.fingerprints import Fingerprints
from analysis.period import Period
from analysis.sources.opening import open_source
from analysis.store.ingestion import Request, ingest
from analysis.store.objects import Task
from analysis.store.provenance import FOLDER
from analysis.store.store import Store
from analysis.store.workers import read_objects
from analysis.study.study import open_observations
from benchmarks.floor import read_folder
from benchmarks.generate import (
    PROBE_CC,
    Size,
    object_path,
    write_archive,
    write_heavy_archive,
)


class Cost(NamedTuple):
    """Seconds of the clock, and of all processors that worked."""

    wall: float
    cpu: float


def measure(
    fingerprints: Fingerprints, size: Size | None = None, rounds: int = 3, times: int = 24
) -> dict[str, Any]:
    """Measure speed.

    Args:
        fingerprints: what pages are matched against.
        size: of the archive that is generated.
        rounds: how often each is measured.
        times: how often the archive is repeated at later hours, so that the start of the
            workers weighs as little as in real use.

    Returns:
        Medians over rounds, where a ``Cost`` holds one ratio by wall and one by processor time:
        ``share_of_floor`` (1: as fast as the floor, one process), ``share_of_fields`` (the same
        of a floor that decodes all the fields of an observation), ``speedup`` (two processes
        against one, their start included) and ``ceiling`` (two floors at once against one: what
        this machine makes of two processes); ``measurements_per_second`` and ``mb_per_second`` of
        JSON (one process, processor time).
    """
    size = size or Size()
    with _archive(size, times) as (archive, byte_count):
        rows = [_one_round(archive, fingerprints) for _ in range(rounds)]
    one = median(row["one"].cpu for row in rows)
    return {
        "share_of_floor": _ratio(rows, lambda r: (r["floor"], r["one"])),
        "share_of_fields": _ratio(rows, lambda r: (r["fields"], r["one"])),
        "speedup": _ratio(rows, lambda r: (r["one"], r["two"]), processes=2),
        "ceiling": _ratio(rows, lambda r: (r["floor_twice"], r["two_floors"]), processes=2),
        "measurements_per_second": size.objects * size.measurements * times / one,
        "mb_per_second": byte_count / 1e6 / one,
    }


def measure_small(fingerprints: Fingerprints, count: int = 10_000) -> dict[str, dict[str, float]]:
    """Measure an archive whose objects hold four measurements, as those of a small country do.

    Args:
        fingerprints: what pages are matched against.
        count: how many objects there are.

    Returns:
        ``counts``: ``objects, measurements``; ``archive, store``: ``files, mb`` there; ``first,
        again, opened``: ``wall, cpu`` seconds to read it with two processes, to find that all is
        there, and to gather the rows of the country in one file.
    """
    size, period = Size(objects=count, measurements=4), Period.parse("2024-07-01", "2026-01-01")
    # None is repeated: what comes twice is left out when rows are gathered.
    with _archive(size, 1) as (archive, _), TemporaryDirectory() as store:
        request = Request(str(archive), store, PROBE_CC, jobs=2)
        first, again = (_cost(lambda: ingest(request, fingerprints)) for _ in range(2))
        collection = ingest(request, fingerprints)
        opened = _cost(lambda: open_observations(collection, PROBE_CC, period).close())
        return {
            "counts": {"objects": count, "measurements": count * size.measurements},
            "archive": _size_of(archive),
            "store": _size_of(Path(store) / FOLDER),
            "first": first._asdict(),
            "again": again._asdict(),
            "opened": opened._asdict(),
        }


def _size_of(folder: Path) -> dict[str, float]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {"files": len(sizes), "mb": sum(sizes) / 1e6}


def _ratio(
    rows: list[dict[str, Cost]],
    pair: Callable[[dict[str, Cost]], tuple[Cost, Cost]],
    processes: int = 1,
) -> Cost:
    pairs = [pair(row) for row in rows]
    return Cost(
        median(a.wall / b.wall for a, b in pairs),
        processes * median(a.cpu / b.cpu for a, b in pairs),
    )


def _one_round(archive: Path, fingerprints: Fingerprints) -> dict[str, Cost]:
    floor = _cost(lambda: read_folder(archive))
    return {
        "floor": floor,
        "fields": _cost(lambda: read_folder(archive, messages.decode)),
        "floor_twice": Cost(2 * floor.wall, 2 * floor.cpu),
        "one": _cost(lambda: _ingest(archive, fingerprints, 1)),
        "two": _cost(lambda: _ingest(archive, fingerprints, 2)),
        "two_floors": _floors(archive, 2),
    }


def _cost(call: Callable[[], object]) -> Cost:
    wall, cpu = time.perf_counter(), _processor_seconds()
    call()
    return Cost(time.perf_counter() - wall, _processor_seconds() - cpu)


def _processor_seconds() -> float:
    """Of this process and of those it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _floors(archive: Path, count: int) -> Cost:
    """The floor in several processes at once, each over the whole archive, starts left out."""
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        pool.map(_floor, [archive / "nothing"] * count, chunksize=1)
        wall = time.perf_counter()
        cpu = sum(pool.map(_floor, [archive] * count, chunksize=1))
        return Cost(time.perf_counter() - wall, cpu)


def _floor(folder: Path) -> float:
    started = time.process_time()
    read_folder(folder)
    return time.process_time() - started


def _ingest(archive: Path, fingerprints: Fingerprints, jobs: int) -> None:
    with TemporaryDirectory() as store:
        ingest(Request(str(archive), store, PROBE_CC, jobs=jobs), fingerprints)


@contextmanager
def _archive(size: Size, times: int) -> Iterator[tuple[Path, int]]:
    """An archive repeated so often, and the bytes of JSON in it."""
    with TemporaryDirectory() as scratch:
        archive = Path(scratch) / "archive"
        byte_count = write_archive(archive, size)
        repeat(archive, size, times)
        yield archive, byte_count * times


def repeat(archive: Path, size: Size, times: int) -> None:
    """Have the objects of an archive again at later hours, by hard links."""
    for index in range(size.objects, size.objects * times):
        copy = archive / object_path(index)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.hardlink_to(archive / object_path(index % size.objects))


def peak_memory(fingerprints: Fingerprints, size: Size | None = None) -> dict[str, float]:
    """The most memory that a worker ever held, in MB, by what it read.

    ``1x`` and ``8x``: the archive, and eight times as many objects; ``heavy``: objects whose
    pages are of 850 KB, and one line of 60 MB.
    """
    size = size or Size()
    found = {}
    for name, times in (("1x", 1), ("8x", 8)):
        with _archive(size, times) as (archive, _):
            found[name] = _peak(archive, fingerprints)
    with TemporaryDirectory() as scratch:
        write_heavy_archive(Path(scratch))
        found["heavy"] = _peak(Path(scratch), fingerprints)
    return found


def _peak(archive: Path, fingerprints: Fingerprints) -> float:
    """In a process of its own, because the system keeps one maximum for all that have ended."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_of_workers, archive, fingerprints).result()


def _peak_of_workers(archive: Path, fingerprints: Fingerprints) -> float:
    source = open_source(str(archive))
    with TemporaryDirectory() as store:
        task = Task(source, source.id, Store(store), fingerprints)
        for _ in read_objects(task, source.objects(lambda key: True), jobs=2):
            pass
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
