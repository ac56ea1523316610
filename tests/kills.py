"""Kill an ingestion and look at what is left.

Each kill is SIGKILL to the whole process group: at some moment, or in the middle of a write, where
the run is told to stop and is killed where it stands.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.store.kept_tables import FOLDER
from benchmarks.generate import PROBE_CC

ROOT = Path(__file__).resolve().parents[1]
WORDS = (f"PROBE_CC={PROBE_CC}", "SINCE=2024-07-01", "UNTIL=2024-08-01", "JOBS=1")
_PATIENCE = 120.0  # seconds for one run

# Runs the command line, which stops where a file has half of its bytes and not yet its name: a
# write takes a thousandth of a second, and nobody who looks from outside meets it by chance.
_STOPPING = """
import os, signal, sys, time
from pathlib import Path
_, folder, after, *sys.argv[1:] = sys.argv
whole, replace = [], os.replace
def stop(source, target, **how):
    if folder in Path(target).parts:
        if len(whole) == int(after):
            os.truncate(source, os.path.getsize(source) // 2)
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(600)  # another thread may take the signal
        whole.append(target)
    return replace(source, target, **how)
os.replace = stop
from analysis.commands.cli import main
main()
"""


def command(archive: Path, store: Path) -> list[str]:
    """One ingestion."""
    words = (*WORDS, f"SOURCE={archive}", f"STORE={store}")
    return [sys.executable, "-m", "analysis", "ingest", *words]


def contents(store: Path) -> dict[str, bytes]:
    """Every file of a store, but for what knows when it was made, and what can be made again."""
    files = (
        path
        for path in store.rglob("*")
        if path.is_file()
        and not path.match("read-*.json")
        and FOLDER not in path.relative_to(store).parts
    )
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in files}


def count_rows_files(store: Path) -> int:
    """How many files have a study's rows; each is as its name says."""
    files = list((store / FOLDER).glob("*.duckdb"))
    for path in files:
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        assert checksum.startswith(path.suffixes[-2][1:]), f"{path} is half-written"
    return len(files)


def in_a_write(arguments: Sequence[str], folder: str, after: int) -> list[str]:
    """The same run of ``command``, which stops in a write below ``folder`` after so many."""
    return [sys.executable, "-c", _STOPPING, folder, str(after), *arguments[3:]]


def kill(arguments: Sequence[str], seconds: float = _PATIENCE) -> bool:
    """Start a run and kill it after some seconds, or where it stops by itself, in the middle of a
    write; whether it was there."""
    end = time.monotonic() + seconds
    process = subprocess.Popen(
        arguments, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    is_in_a_write = False
    while process.poll() is None and not is_in_a_write and time.monotonic() < end:
        is_in_a_write = _is_stopped(process)
        time.sleep(0.0005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return is_in_a_write


def _is_stopped(process: "subprocess.Popen[bytes]") -> bool:
    state = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
    return state.split()[0] == "T"


def find_suffixes(folder: Path) -> list[str]:
    """How the files below a folder end. Folders may vanish while one looks."""
    names = (Path(name) for *_, files in os.walk(folder) for name in files)
    return [name.suffix for name in names]


def refuse_halves(store: Path, undisturbed: Mapping[str, bytes]) -> None:
    """Whatever has its name after a kill must be whole; a lock holds nothing."""
    count_rows_files(store)
    for name, content in contents(store).items():
        is_no_file = name.endswith(".part") or (name.endswith(".lock") and not content)
        assert is_no_file or content == undisturbed[name], f"{name} is half-written"
