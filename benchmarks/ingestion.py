"""Reading an archive, beside the floor and with two processes, on the same data in one run."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from analysis.fingerprints import Fingerprints
from analysis.ingestion import ingest
from benchmarks.floor import read_folder
from benchmarks.generate import PROBE_CC, Size, write_archive


def measure(
    size: Size | None = None,
    rounds: int = 5,
    fingerprints: Fingerprints | None = None,
    days: int = 6,
) -> dict[str, float]:
    """Measure ingestion.

    Args:
        size: of the archive that is generated.
        rounds: how often each is measured.
        fingerprints: what pages are matched against; by default nothing.
        days: how often the archive is repeated under later days, so that the start of the
            workers weighs as little as in real use.

    Returns:
        Medians over rounds: ``share_of_floor`` (1.0: as fast as the floor, one process),
        ``speedup_of_two`` (two processes against one, their start included),
        ``measurements_per_second`` and ``mb_per_second`` of JSON (one process).
    """
    size = size or Size()
    fingerprints = fingerprints or Fingerprints()
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "archive"
        byte_count = write_archive(archive, size) * days
        repeat(archive, days)

        def ingestion(jobs: int) -> Callable[[], object]:
            return lambda: _ingested(archive, fingerprints, jobs)

        floors, ones, twos = [], [], []
        ingestion(1)()
        for _ in range(rounds):
            # Side by side, so that a change in the machine's speed touches all three.
            floors.append(_seconds(lambda: read_folder(archive)))
            ones.append(_seconds(ingestion(1)))
            twos.append(_seconds(ingestion(2)))
    count = size.objects * size.measurements * days
    return {
        "share_of_floor": median(f / o for f, o in zip(floors, ones, strict=True)),
        "speedup_of_two": median(o / t for o, t in zip(ones, twos, strict=True)),
        "measurements_per_second": count / median(ones),
        "mb_per_second": byte_count / 1e6 / median(ones),
    }


def repeat(archive: Path, days: int) -> None:
    """Have the objects of an archive again on later days, by hard links."""
    for path in sorted(archive.rglob("*.jsonl.gz")):
        first = path.relative_to(archive / "raw").parts[0]
        for day in range(1, days):
            name = f"{int(first) + 10 + day}"
            copy = archive / "raw" / name / path.relative_to(archive / "raw" / first)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.hardlink_to(path)


def _ingested(archive: Path, fingerprints: Fingerprints, jobs: int) -> None:
    with tempfile.TemporaryDirectory() as store:
        ingest(str(archive), store, PROBE_CC, fingerprints=fingerprints, jobs=jobs)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
