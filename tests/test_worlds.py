"""Worlds with known truth: the fictional country, and countries in which one thing goes on."""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.period import Period
from analysis.worlds.examined import EXAMINED
from analysis.worlds.validation_page import Results
from analysis.worlds.world import Design, World, make_world
from analysis.worlds.writing import write_world
from tests.archives import contents

PERIOD = {"since": "2024-01-20", "until": "2024-04-10"}
SMALL = {"since": "2024-02-01", "until": "2024-02-11", "sessions_per_day": 2.0}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "qq"
    write_world(out, **PERIOD, sessions_per_day=2.6)
    return out


def read_object(path: Path) -> list[bytes]:
    """The complete lines of an object, which may break off."""
    content, text = path.read_bytes(), b""
    while content:
        member = zlib.decompressobj(31)
        text += member.decompress(content)
        content = member.unused_data
    return text.split(b"\n")[:-1]


def objects(world: Path) -> list[Path]:
    return sorted((world / "archive").rglob("*.jsonl.gz"))


def kept_documents(world: Path) -> Iterator[dict[str, Any]]:
    """The measurements of the country and its year that can be read; some came twice."""
    for path in objects(world):
        for line in read_object(path):
            if line.startswith(b"{") and line.endswith(b"}"):
                found = json.loads(line)
                is_ours = (found.get("test_name"), found["probe_cc"]) == ("web_connectivity", "QQ")
                is_dated = found["measurement_start_time"].startswith("2024-")
                if is_ours and is_dated and found["test_keys"]:
                    yield found


@pytest.fixture(scope="module")
def measurements(world: Path) -> list[dict[str, Any]]:
    return list(kept_documents(world))


def test_the_same_bytes_whatever_the_environment(tmp_path: Path) -> None:
    """Hash seed, time zone and locale leave no trace in a world."""
    script = f"from analysis.worlds.writing import write_world; write_world('qq', **{SMALL!r})"
    there = {"PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    command = [sys.executable, "-c", script]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, **there}, check=True, timeout=120)
    write_world(tmp_path / "here", **SMALL)
    assert contents(tmp_path / "here") == contents(tmp_path / "qq")


# --- Countries in which one thing goes on: each does what it says, and is scored against the truth.

#: How many sites are blocked on how many networks, of the situations in which anybody blocks.
BLOCKED = {
    "National drop": (5, 8),
    "Silent resolvers": (15, 3),
    "A week without social media": (11, 8),
    "Suspects alone": (10, 1),
    "Blank pages": (4, 1),
    "Staged orders": (12, 10),
    "One site everywhere": (1, 8),
    "One site on one network": (1, 1),
}


def _make(situation: str) -> World:
    period = Period.parse("2024-01-01", "2024-07-01")
    return make_world(Design("QN", period, 5, name_count=90, cases=(), situation=situation))


def test_each_situation_blocks_what_it_says_and_nothing_else() -> None:
    for name, situation in EXAMINED.items():
        blocks = _make(name).censorship.blocks
        sites, networks = ({getattr(one, key) for one in blocks} for key in ("host", "asn"))
        assert (len(sites), len(networks)) == BLOCKED.get(name, (0, 0)), name
        assert ("Nobody blocks" in situation.truth) == (not blocks), name
        world = _make(name)
        assert blocks or world.troubles or any(site.cut_off for site in world.sites), name


def test_the_results_that_ship_have_every_situation() -> None:
    assert Results().read("examined")["situation"].tolist() == list(EXAMINED)
