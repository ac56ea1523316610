"""``sensitivity``: the neighbours of a report's numbers, judged on request and added as a page."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.worlds.writing import write_world
from tests.conftest import Command

pytestmark = pytest.mark.timeout(600)

#: Signals as they are by default, and an end by one as soon as the first values are judged.
_INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_DFL)
from analysis.commands import cli
from analysis.study import sensitivity
keep, kept = sensitivity._keep_list, []
def keep_some(*asked):
    keep(*asked)
    kept.append(asked)
    if len(kept) == 3:
        os.kill(os.getpid(), signal.SIGTERM)
sensitivity._keep_list = keep_some
cli.main()
"""


def test_the_page_is_added_and_kept(tmp_path: Path, command: Command) -> None:
    """Without a report it says what to run; interrupted once, the report stands and the next run
    ends with the page; a report made again from the same inputs keeps it."""
    world, out = tmp_path / "world", tmp_path / "report"
    write_world(world, probe_cc="QM", since="2024-05-13", until="2024-06-03", seed=5,
                network_count=6, name_count=40)  # fmt: skip
    lists = world / "reference"
    words = [
        "PROBE_CC=QM", "SINCE=2024-05-13", "UNTIL=2024-06-03", f"SOURCE={world / 'archive'}",
        f"STORE={tmp_path / 'store'}", f"NETWORKS={lists / 'networks.csv'}",
        f"FINGERPRINTS={lists / 'fingerprints'}", f"OUT={out}",
    ]  # fmt: skip
    status, _, said = command("sensitivity", *words)
    assert (status, "run 'make report' with the same parameters first" in said) == (2, True)
    status, _, said = command("report", *words)
    assert (status, "'make sensitivity' adds it" in said) == (0, True), said
    assert not (out / "7-sensitivity.html").exists()
    before = (out / "index.html").read_bytes()
    assert b"7-sensitivity" not in before
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, "sensitivity", *words], check=False, timeout=300
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert (out / "index.html").read_bytes() == before
    for asked in ("sensitivity", "report"):
        status, _, said = command(asked, *words)
        assert (status, "adds it" in said) == (0, False), said
        assert (out / "7-sensitivity.html").is_file()
        assert b"7-sensitivity" in (out / "index.html").read_bytes()
