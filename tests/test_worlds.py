"""Worlds with known truth: the fictional country, and countries in which one thing goes on."""

import json
import os
import re
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import ParameterError
from analysis.hosts import normalise
from analysis.period import Period
from analysis.worlds.examined import EXAMINED
from analysis.worlds.validation_page import Results
from analysis.worlds.world import Design, World, make_world
from analysis.worlds.writing import write_world
from tests.archives import contents, read_csv

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


def test_a_folder_holds_the_world_that_is_asked_for_or_is_left_alone(tmp_path: Path) -> None:
    """The stamp decides: same parameters, nothing written; another seed, another world. What is
    somebody else's is not touched."""
    out, mine = tmp_path / "qq", tmp_path / "thesis.txt"
    write_world(out, **SMALL)
    (out / "mark").touch()
    write_world(out, **SMALL)
    assert (out / "mark").exists()
    names = set(read_csv(out / "truth" / "names.csv")["domain"])
    write_world(out, **SMALL, seed=2)
    assert not (out / "mark").exists()
    assert not names & set(read_csv(out / "truth" / "names.csv")["domain"])
    mine.write_text("years of work")
    for place, words, message in (
        (tmp_path, SMALL, r"empty or holds world\.json"),
        (tmp_path / "kh", {"probe_cc": "KH"}, "PROBE_CC=KH: a fictional country is AA or QM to QZ"),
        (tmp_path / "kh", {"until": "2024-01-01"}, "UNTIL=2024-01-01: must lie after SINCE"),
    ):
        with pytest.raises(ParameterError, match=message):
            write_world(place, **words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["qq", "thesis.txt"]


def test_nothing_real_is_named(world: Path) -> None:
    """Only documentation addresses, AS numbers and names, in lists and archive alike."""
    texts = [b"\n".join(read_object(path)).decode() for path in objects(world)]
    texts += [path.read_text(encoding="utf-8") for path in (world / "reference").rglob("*.*")]
    text = "\n".join(texts)
    ranges = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "127.0.0.1/32", "10.10.10.1/32",
              "192.168.8.1/32", "0.0.0.0/32"]  # fmt: skip
    found = set(re.findall(r"(?<![\d./])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", text))
    for address in found:
        assert any(ip_address(address) in ip_network(item) for item in ranges), address
    numbers = {int(number) for number in re.findall(r'(?:"AS|"asn":)(\d+)', text)}
    assert numbers <= {0, *range(64496, 64512), *range(65536, 65552)}  # the usual networks
    v6 = set(re.findall(r'"ipv6":"([^"]*)"', text))
    assert all(ip_address(item) in ip_network("2001:db8::/32") for item in v6)
    hosts = set(re.findall(r'"(?:hostname|server_name|input|url)":"([^"\n]*)"', text))
    assert all(normalise(host).endswith(".example") for host in hosts)
    assert min(len(found), len(numbers), len(v6), len(hosts)) > 5


def test_forgers_claim_what_is_not_so(world: Path, measurements: list[dict[str, Any]]) -> None:
    """Each kind of report makes each claim, and every forged line says what its report claims."""
    rows = read_csv(world / "truth" / "forgeries.csv").to_dict("records")
    forged = {(row["report_id"], row["domain"]): row for row in rows}
    claims = ("blocked", "open", "control_dead", "control_alive")
    kinds = {(row["claim"], row["kind"]) for row in forged.values()}
    assert kinds == {(claim, kind) for claim in claims for kind in ("flood", "pair", "days")}
    blocks = read_csv(world / "truth" / "blocks.csv")
    truly = set(zip(blocks["domain"], blocks["probe_asn"], strict=True))
    counts = Counter[str]()
    for found in measurements:
        row = forged.get((found["report_id"], normalise(found["input"])))
        if row is None:
            continue
        keys, claim = found["test_keys"], row["claim"]
        counts[found["report_id"]] += 1
        said = "blocked" if keys["blocking"] else "open"
        if claim.startswith("control"):
            said = "control_dead" if keys["control"]["dns"]["failure"] else "control_alive"
        assert said == claim
        is_blocked = (row["domain"], row["probe_asn"]) in truly
        assert is_blocked == (claim in ("open", "control_dead"))
    assert max(counts.values()) >= 240


def test_honest_objects_do_not_depend_on_forgeries(tmp_path: Path) -> None:
    """A world with and without forged reports differs in objects of their own alone."""
    forged, honest = tmp_path / "forged", tmp_path / "honest"
    write_world(forged, **PERIOD, sessions_per_day=0.4)
    write_world(honest, **PERIOD, sessions_per_day=0.4, has_forgeries=False)
    first, second = contents(forged / "archive"), contents(honest / "archive")
    assert second.items() < first.items()
    added = set(first) - set(second)
    assert all(re.search(r"\.n0\.5\d\.jsonl\.gz$", name) for name in added)


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
