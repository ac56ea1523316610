"""``python -m benchmarks.disturbing [KILLS] [SEED]``: a whole report, disturbed in every way.

A report is made again and again in the place of an earlier one, while somebody kills it, fills its
disk, makes its store read-only, or makes the same report beside it. Whatever happens, the earlier
report stands as it was, or the new one as nobody disturbed it; a run that gives up says why in one
sentence; and the next one ends right, with nothing left behind. Full and read-only disks are
mounted, which takes root on Linux.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from analysis.worlds.writing import write_world

ROOT = Path(__file__).resolve().parents[1]
_CC, _SINCE, _UNTIL = "QZ", "2024-01-01", "2024-02-01"
_PATIENCE = 900.0  # seconds for one run, on a machine that does other work
_MEGABYTES = (1, 2, 3, 4, 5, 6, 8)  # that a disk has left when a run begins


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@dataclass(frozen=True)
class Place:
    """A disk with everything that a run writes: its store, its report and what is temporary."""

    world: Path
    disk: Path
    words: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.disk / "store"

    @property
    def out(self) -> Path:
        return self.disk / "reports" / "report"

    @property
    def scratch(self) -> Path:
        return self.disk / "scratch"

    def start(self) -> "subprocess.Popen[str]":
        """Begin a run."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        reference = self.world / "reference"
        words = (
            f"PROBE_CC={_CC}", f"SINCE={_SINCE}", f"UNTIL={_UNTIL}", "JOBS=2",
            f"SOURCE={self.world / 'archive'}", f"STORE={self.store}", f"OUT={self.out}",
            f"TEST_LIST={reference / 'test-lists'}", f"NETWORKS={reference / 'networks.csv'}",
            f"FINGERPRINTS={reference / 'fingerprints'}", f"EVENTS={reference / 'events.yml'}",
            *self.words,
        )  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "analysis", "report", *words],
            cwd=ROOT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=os.environ | {"TMPDIR": str(self.scratch)} | self.environment,
        )  # fmt: skip

    def finish(self) -> float:
        """A run to its end, which must be a good one; the seconds that it took."""
        started = time.monotonic()
        status, said = ending(self.start())
        assert status == 0, said
        self.refuse_traces()
        return time.monotonic() - started

    def refuse_traces(self) -> None:
        """After a good run nothing lies beside the report, and nothing that was temporary."""
        left = [*(path for path in self.out.parent.iterdir() if path != self.out),
                *self.scratch.iterdir(), *self.store.rglob("*.part")]  # fmt: skip
        assert not left, left

    def put(self, report: Path) -> None:
        """Put an earlier report there, beside a store of which nothing has been read."""
        for folder in (self.store, self.out.parent, self.scratch):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(report, self.out)

    def wait_for_silence(self) -> None:
        """Until every process of a run that was killed has ended."""
        deadline = time.monotonic() + 60
        while running := _processes_in(self.scratch):
            assert time.monotonic() < deadline, f"still running: {running}"
            time.sleep(0.05)


def ending(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """A run's exit status and the last line that it said."""
    _, said = process.communicate(timeout=_PATIENCE)
    assert "Traceback" not in said, said
    return process.returncode, (said.splitlines() or [""])[-1]


def _processes_in(scratch: Path) -> list[str]:
    """The processes whose temporary files go there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"TMPDIR={scratch}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def refuse_halves(place: Place, earlier: dict[str, bytes], later: dict[str, bytes]) -> str:
    """One of two reports must stand, whole; says which."""
    found = contents(place.out)
    assert found in (earlier, later), sorted(found.keys() ^ later.keys())
    return "the earlier report stands" if found == earlier else "the new report stands"


@contextmanager
def mounted(folder: Path, megabytes: float = 0.0) -> Iterator[Callable[[str], None]]:
    """A disk of a size at a folder, or the folder itself as a disk; the function mounts it anew."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = ["-t", "tmpfs", "-o", f"size={megabytes * 1024:.0f}k", "none"]
    _mount(*(kind if megabytes else ["--bind", str(folder)]), str(folder))
    try:
        yield lambda options: _mount("-o", f"remount,{options}", str(folder))
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


class Disturber:
    """Ways to disturb a report, one method each; every one prints what came of it."""

    def __init__(self, scratch: Path, seed: int) -> None:
        world = scratch / "world"
        write_world(world, probe_cc=_CC, since=_SINCE, until=_UNTIL, seed=7)
        self.place = Place(world, scratch / "disk")
        self.chance = random.Random(seed)
        before = Place(world, scratch / "before", ("floor_sessions=6",))
        before.finish()
        self.earlier = before.out
        self.place.put(self.earlier)
        self.seconds = self.place.finish()
        self.before, self.after = contents(self.earlier), contents(self.place.out)
        assert self.before != self.after
        print(f"a run takes {self.seconds:.0f} s", flush=True)

    def tell(self, what: str, said: str = "") -> str:
        """Print what was done, which report stands, and what was said."""
        stands = refuse_halves(self.place, self.before, self.after)
        print(f"{what}: {stands}. {said}", flush=True)
        return stands

    def end_right(self) -> None:
        """The next run."""
        self.place.finish()
        assert contents(self.place.out) == self.after
        print("the next run: as if nothing had been", flush=True)

    def kill(self, times: int) -> None:
        """SIGKILL at random moments, the program alone; its kernels and workers must follow."""
        self.place.put(self.earlier)
        for number in range(1, times + 1):
            process, moment = self.place.start(), self.chance.uniform(0, 1.1 * self.seconds)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=moment)
            process.kill()
            process.communicate()
            self.place.wait_for_silence()
            stands = self.tell(f"kill {number} after {moment:.1f} s")
            if number % 5 == 0 or number == times:
                self.end_right()
            if stands.startswith("the new") or number % 5 == 0:
                self.place.put(self.earlier)

    def run_twice(self) -> None:
        """Two runs into one store and one place, from nothing."""
        self.place.put(self.earlier)
        both = [self.place.start()]
        time.sleep(self.chance.uniform(0, 3))
        both.append(self.place.start())
        for status, said in map(ending, both):
            assert status == 0, said
        self.place.refuse_traces()
        assert self.tell("two at once").startswith("the new")

    def fill_disk(self) -> None:
        """A disk with little room, then with enough."""
        size = sum(map(len, self.before.values())) / 1e6
        for room in _MEGABYTES:
            shutil.rmtree(self.place.disk)
            with mounted(self.place.disk, size + room) as remount:
                self.place.put(self.earlier)
                status, said = ending(self.place.start())
                self.tell(f"{room} MB of room", f"{status}: {said}")
                assert re.match("SourceError: .*No space left|.*", said)
                assert status == 3 or contents(self.place.out) == self.after
                remount("size=1g")
                self.end_right()

    def take_pen(self) -> None:
        """A store or a place of reports that cannot be written, from the start or from a moment."""
        for part, is_whole in (("store", True), ("store", False), ("reports", True)):
            self.place.put(self.earlier)
            if is_whole:
                self.place.finish()
                shutil.rmtree(self.place.out)
                shutil.copytree(self.earlier, self.place.out)
            with mounted(self.place.disk / part) as remount:
                remount("bind,ro")
                status, said = ending(self.place.start())
            whole = "whole" if is_whole else "empty"
            self.tell(f"{whole} {part} read-only from the start", f"{status}: {said}")
            assert status == (0 if part == "store" and is_whole else 3)
            self.end_right()
        for part in ("store", "reports"):
            self.place.put(self.earlier)
            with mounted(self.place.disk / part) as remount:
                process, moment = self.place.start(), self.chance.uniform(3, self.seconds)
                time.sleep(moment)
                while process.poll() is None:
                    with suppress(subprocess.CalledProcessError):  # a file is being written
                        remount("bind,ro")
                        break
                status, said = ending(process)
            self.tell(f"{part} read-only after {moment:.1f} s", f"{status}: {said}")
            assert status in (0, 3)
            self.end_right()


def main(kills: int = 20, seed: int = 1) -> None:
    """Disturb in every way and print the log."""
    with tempfile.TemporaryDirectory() as scratch:
        disturber = Disturber(Path(scratch), seed)
        disturber.run_twice()
        disturber.take_pen()
        disturber.fill_disk()
        disturber.kill(kills)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
