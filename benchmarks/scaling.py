"""Two processes of the local pool beside two Dask workers, on the same archive in one run."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from analysis.observations.fingerprints import Fingerprints
from analysis.store.ingestion import Request, ingest
from benchmarks.generate import PROBE_CC, Size, write_archive
from benchmarks.ingestion import repeat

_WORKERS = 2


def measure(
    size: Size | None = None,
    rounds: int = 5,
    fingerprints: Fingerprints | None = None,
    days: int = 6,
) -> dict[str, float]:
    """Measure both, each into a new folder, with whatever starts for a run: the pool's processes.

    Args:
        size: of the archive that is generated.
        rounds: how often each is measured.
        fingerprints: what pages are matched against; by default nothing.
        days: how often the archive is repeated at later hours.

    Returns:
        Medians over rounds: ``dask_against_pool`` (1.0: as fast as two processes), and
        ``objects_per_second`` and ``measurements_per_second`` of each, as ``pool_…`` and
        ``dask_…``.
    """
    size = size or Size()
    fingerprints = fingerprints or Fingerprints()
    count = size.objects * days
    with tempfile.TemporaryDirectory() as scratch, _dask(Path(scratch)) as scheduler:
        archive = Path(scratch) / "archive"
        write_archive(archive, size)
        repeat(archive, size, days)
        _seconds(archive, fingerprints, scheduler)  # the workers load what they need
        pool, dask = [], []
        for _ in range(rounds):
            pool.append(_seconds(archive, fingerprints, ""))
            dask.append(_seconds(archive, fingerprints, scheduler))
    figures = {"dask_against_pool": median(p / d for p, d in zip(pool, dask, strict=True))}
    for name, times in (("pool", pool), ("dask", dask)):
        figures[f"{name}_objects_per_second"] = count / median(times)
        figures[f"{name}_measurements_per_second"] = count * size.measurements / median(times)
    return figures


@contextmanager
def _dask(folder: Path) -> Iterator[str]:
    """A scheduler and its workers, as anybody starts them; the scheduler's address."""
    noted = folder / "scheduler.json"
    where = ["--scheduler-file", str(noted), "--host", "127.0.0.1", "--no-dashboard"]
    commands = [["scheduler", "--port", "0", *where]]
    for _ in range(_WORKERS):
        kept = ["--nthreads", "1", "--local-directory", str(folder), "--no-nanny"]
        commands.append(["worker", *where, *kept])
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            log = (folder / f"{len(processes)}.log").open("wb")
            dask = [sys.executable, "-m", "dask", *command]
            processes.append(subprocess.Popen(dask, stderr=log, stdout=log))
        yield _address(noted)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _address(noted: Path) -> str:
    from distributed import Client  # half a second to load

    for _ in range(600):
        if noted.exists():
            break
        time.sleep(0.1)
    with Client(scheduler_file=str(noted), set_as_default=False) as client:
        client.wait_for_workers(_WORKERS, timeout=60)
        return str(client.scheduler.address)


def _seconds(archive: Path, fingerprints: Fingerprints, scheduler: str) -> float:
    with tempfile.TemporaryDirectory() as store:
        started = time.perf_counter()
        jobs = None if scheduler else _WORKERS
        ingest(Request(str(archive), store, PROBE_CC, jobs=jobs, scheduler=scheduler), fingerprints)
        return time.perf_counter() - started
