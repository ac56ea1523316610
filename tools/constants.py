"""Count the pairs that flip if a constant of the method is moved by 30 per cent, up and down.

    .venv/bin/python tools/constants.py WORLD...

WORLD is a folder of a situation from ``make validate`` (data/work/validation/91-examined).
Thresholds are changed like a user does; other constants in a copy of the source, by a line after
the one that sets them. Writes data/reference/validation/constants.csv.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from analysis.outcomes.rules import RULES_VERSION
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.worlds.scores import read_truth_table

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "data" / "reference" / "validation" / "constants.csv"
#: Module → its constants, or the entries of one that is a mapping. A threshold has no module.
CONSTANTS = {
    "verdicts/pairs.py": "CANDIDATE_GAIN PSEUDO_SESSIONS",
    "verdicts/rates.py": "LEAST_RATE _PRIOR _EVEN",
    "verdicts/together.py": "SHARE CHANCE",
    "verdicts/sessions.py": "_DIVIDING_CHANCE",
    "verdicts/evidence.py": "LEAST_SHARE MOST_SHARE _SHARE_WORTH _BASE_WORTH OF_DAYS",
    "verdicts/floors.py": "LOWER_LINE _SUPPORTING",
    "verdicts/probes.py": "_OTHERS _MOST_SPLIT _HOUSEHOLDS",
    "verdicts/rivals.py": "_OPERATORS _NUMBERS.reached_share _NUMBERS.hosts "
    "_NUMBERS.known_days _NUMBERS.near_days _NUMBERS.host_days _NUMBERS.route_days "
    "_NUMBERS.refusal_days",
    "outcomes/devices.py": "_REACHING_SHARE _NEAR_DAYS _FAR_DAYS _OWN_DAYS",
}
#: The program of a child process: judge the worlds, and print the listed pairs of each.
JUDGE = """
import json, sys
from pathlib import Path
from analysis.outcomes.thresholds import Thresholds
from analysis.tables import read_table
from analysis.vocabulary import LISTED
from analysis.worlds.judged_world import judge_world, open_world
moved, out, *worlds = sys.argv[1:]
thresholds, listed = Thresholds().changed_by(json.loads(moved)), []
for number, world in enumerate(map(Path, worlds)):
    study = open_world(world / "world", world / "store", "QN", "2024-01-01", "2024-07-01")
    judge_world(study, thresholds, Path(out))
    verdicts = read_table(out, "verdicts")
    verdicts = verdicts[verdicts["state"].isin(LISTED)]
    listed += [[number, *pair] for pair in verdicts[["domain", "probe_asn"]].to_numpy().tolist()]
print(json.dumps(listed))
"""
Pairs = set[tuple[int, str, int]]


def move(value: float, factor: float) -> float:
    """Multiply a number; a whole one changes by at least 1, a share is at most 0.99."""
    moved = round(value * factor, 9)
    if isinstance(value, int):
        return max(round(moved), value + 1) if factor > 1 else max(1, min(round(moved), value - 1))
    return min(moved, 0.99) if value < 1 else moved


def judge(folder: Path, worlds: list[str], thresholds: dict[str, float]) -> Pairs:
    """Return the listed pairs of all worlds, judged by the source in a folder."""
    command = [sys.executable, "-c", JUDGE, json.dumps(thresholds), str(folder / "out"), *worlds]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    process = subprocess.run(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, check=True
    )
    return {tuple(pair) for pair in json.loads(process.stdout)}


def read_blocked(worlds: list[str]) -> Pairs:
    """Return the pairs that are truly blocked."""
    blocked: Pairs = set()
    for number, world in enumerate(worlds):
        truth = read_truth_table(Path(world) / "world" / "truth" / "blocks.csv")
        blocked |= {(number, *pair) for pair in truth[["domain", "probe_asn"]].to_numpy().tolist()}
    return blocked


def moved_thresholds() -> Iterator[tuple[str, float, float]]:
    """Yield each threshold with its value and a moved one, twice."""
    for name, value in vars(Thresholds()).items():
        for factor in (0.7, 1.3):
            moved = move(value, factor)
            if value and DECLARATIONS[name].least <= moved <= DECLARATIONS[name].most:
                yield name, value, moved


def moved_constants(folder: Path) -> Iterator[tuple[str, str, float, float]]:
    """Yield module, name and both values of each other constant, while the source has it moved."""
    for module, names in CONSTANTS.items():
        path = folder / "analysis" / module
        text = path.read_text(encoding="utf-8")
        for name in names.split():
            line, value, is_log = find(text, name)
            for factor in (0.7, 1.3):
                moved = move(value, factor)
                new = f"__import__('math').log({moved!r})" if is_log else repr(moved)
                lines = text.splitlines(keepends=True)
                mapping, _, key = name.partition(".")
                lines.insert(line, f"{mapping}['{key}'] = {new}\n" if key else f"{name} = {new}\n")
                path.write_text("".join(lines), encoding="utf-8")
                yield module, name, value, moved
            path.write_text(text, encoding="utf-8")


def find(text: str, name: str) -> tuple[int, float, bool]:
    """Return the line after which a constant is set, its value, and whether it is a logarithm."""
    name, _, key = name.partition(".")
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign):
            targets = getattr(node.targets[0], "elts", node.targets)
            values = getattr(node.value, "elts", [node.value])
            for target, value in zip(targets, values, strict=False):
                if target.id == name and (is_log := isinstance(value, ast.Call)):
                    value = value.args[0]
                if target.id == name:
                    if key:
                        entries = zip(value.keys, value.values, strict=True)
                        value = next(entry for of, entry in entries if of.value == key)
                    return node.end_lineno or 0, ast.literal_eval(value), is_log
    raise SystemExit(f"{name}: no such constant")


def main(worlds: list[str]) -> None:
    """Write the table."""
    worlds = [str(Path(world).absolute()) for world in worlds]
    blocked, rows = read_blocked(worlds), []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copytree(ROOT / "analysis", folder / "analysis")
        shutil.copytree(ROOT / "data" / "reference", folder / "data" / "reference")
        standing = judge(folder, worlds, {})
        print(f"{len(blocked)} blocked, {len(standing)} listed", flush=True)

        def note(module: str, name: str, value: float, moved: float, listed: Pairs) -> None:
            flips = listed ^ standing
            constant = name.rpartition(".")[2].strip("_").lower()
            rows.append(
                {
                    "constant": constant,
                    "module": module,
                    "value": value,
                    "moved": moved,
                    "flipped_pair_count": len(flips),
                    "missed_pair_count": len(flips & standing & blocked),
                    "false_pair_count": len((flips & listed) - blocked),
                    "rules_version": RULES_VERSION,
                }
            )
            print(*rows[-1].values(), flush=True)
            pd.DataFrame(rows).to_csv(OUT, index=False, float_format="%g", lineterminator="\n")

        for module, name, value, moved in moved_constants(folder):
            note(module, name, value, moved, judge(folder, worlds, {}))
        for name, value, moved in moved_thresholds():
            note("", name, value, moved, judge(folder, worlds, {name: moved}))


if __name__ == "__main__":
    main(sys.argv[1:])
