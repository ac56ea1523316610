"""What one measurement costs, step by step: each step with all those before it, in turns.

``python -m benchmarks.steps`` prints the shares; ``python -m benchmarks`` has them as a table.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from analysis.observations import messages
from analysis.observations.fingerprints import Fingerprints
from analysis.store.ingestion import Request, ingest
from analysis.store.lines import Decompressed, Line, split_lines
from analysis.store.objects import read_line
from benchmarks.generate import PROBE_CC, Size, fingerprints, write_archive

_BLOCK = 1 << 20


def measure(
    matched: Fingerprints, size: Size | None = None, rounds: int = 9
) -> dict[str, dict[str, float]]:
    """Measure each step by processor time, in one process.

    Args:
        matched: what pages are matched against.
        size: of the archive that is generated.
        rounds: how often each is measured.

    Returns:
        By the name of the step, in order: ``microseconds`` a measurement, and ``share`` of the
        whole; from the least of the rounds, since other work on the machine only adds.
    """
    size = size or Size()
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "archive"
        write_archive(archive, size)
        steps = _steps(archive, sorted(archive.rglob("*.jsonl.gz")), matched)
        times = [[_seconds(step) for step in steps.values()] for _ in range(rounds)]
    count = size.objects * size.measurements
    up_to = [min(column) / count * 1e6 for column in zip(*times, strict=True)]
    parts = [after - before for before, after in zip([0.0, *up_to], up_to, strict=False)]
    return {
        name: {"microseconds": part, "share": part / up_to[-1]}
        for name, part in zip(steps, parts, strict=True)
    }


def _steps(
    archive: Path, paths: list[Path], matched: Fingerprints
) -> dict[str, Callable[[], None]]:
    nothing = Fingerprints()
    return {
        "unpack by isal, take the digest": lambda: _unpack(paths),
        "find lines, check UTF-8": lambda: _for_lines(paths, lambda line: None),
        "decode the fields that verdicts need": lambda: _for_lines(
            paths, lambda line: messages.decode(line.content or b"")
        ),
        "facts": lambda: _for_lines(paths, lambda line: read_line(line, nothing, None)),
        "fingerprints": lambda: _for_lines(paths, lambda line: read_line(line, matched, None)),
        "Parquet and the store's records": lambda: _ingest(archive, matched),
    }


def _unpack(paths: list[Path]) -> None:
    block = memoryview(bytearray(_BLOCK))
    for path in paths:
        with path.open("rb", buffering=0) as stream:
            content = Decompressed(stream)
            while content.readinto(block):
                pass


def _for_lines(paths: list[Path], look: Callable[[Line], object]) -> None:
    for line in _lines(paths):
        look(line)


def _lines(paths: list[Path]) -> Iterator[Line]:
    for path in paths:
        with path.open("rb", buffering=0) as stream:
            yield from split_lines(Decompressed(stream))


def _ingest(archive: Path, matched: Fingerprints) -> None:
    with tempfile.TemporaryDirectory() as store:
        ingest(Request(str(archive), store, PROBE_CC, jobs=1), matched)


def _seconds(step: Callable[[], None]) -> float:
    """Of this process; without the collector, as objects are read."""
    gc.collect()
    gc.disable()
    try:
        started = time.process_time()
        step()
        return time.process_time() - started
    finally:
        gc.enable()


if __name__ == "__main__":
    for _name, _found in measure(fingerprints()).items():
        print(f"{_found['microseconds']:7.1f} µs  {_found['share']:4.0%}  {_name}")
