"""``validate``: the method against fictional worlds whose truth is known.

Each world is simulated, read into a store of its own, judged as a country would be, and scored.
Worlds of the first seeds are for fitting: there the thresholds are swept one by one. What is
reported as the method's accuracy comes from the other seeds.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

from analysis.errors import ParameterError
from analysis.outcomes.rules import RULES_VERSION
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.reference.reference_files import REPOSITORY
from analysis.study.parameters import whole_number
from analysis.study.study import Study
from analysis.worlds import scored_apps, scored_situations, scores, steering
from analysis.worlds.scored_situations import judge_world, open_world
from analysis.worlds.scores import Score
from analysis.worlds.validation_page import RESULTS

WORKSPACE = REPOSITORY / "data" / "work" / "validation"
_PROBE_CC, _SINCE, _UNTIL = "QQ", "2024-01-01", "2025-01-01"
_NAMES_A_SESSION = 24

Claim = tuple[str, int, str, tuple[date, ...]]


@dataclass(frozen=True)
class Simulator:
    """What makes worlds; handed in, so that the judge and the simulator do not know each other.

    Attributes:
        write_world: writes a world into a folder and returns its ``measurement_count`` and
            ``block_count``.
        add_forgeries: copies a world and submits forged reports to the copy.
        make_volunteers: a country whose volunteers test what they are asked to.
        situations: countries in which one thing goes on, by name: each with its ``truth``.
    """

    write_world: Callable[..., Any]
    add_forgeries: Callable[[Path, Path, Sequence[Claim]], int]
    make_volunteers: Callable[..., Any]
    situations: Mapping[str, Any]


#: Coverage levels: about how many sessions test a pair of site and network in the year.
LEVELS: Mapping[str, int] = {"thin": 5, "middle": 10, "rich": 20}

#: The levels of parts that have not all of them.
_LEVELS_OF = {"limit": ("rich",), "hard": ("middle", "rich")}

#: part → seed → what the country is like. No two are alike, and the parts share no seed.
COUNTRIES: Mapping[str, Mapping[int, Mapping[str, Any]]] = {
    "fit": {
        21: {"network_count": 16, "name_count": 119},
        22: {"network_count": 8, "name_count": 60, "new_share": 0.2, "flaky_share": 0.25},
        23: {"network_count": 12, "name_count": 90, "new_share": 0.8},
    },
    "report": {
        31: {"network_count": 16, "name_count": 119, "new_share": 0.5},
        32: {"network_count": 10, "name_count": 70, "new_share": 0.0, "flaky_share": 0.2},
        33: {"network_count": 20, "name_count": 100, "new_share": 1.0},
    },
    # Situations that a method gets wrong for one common cause each, one of every kind a country.
    "hard": {
        51: {
            "network_count": 9,
            "name_count": 70,
            "new_share": 0.5,
            "cases": ("exam_hours", "short_stretches", "overloaded_sites"),
        },
        52: {
            "network_count": 9,
            "name_count": 70,
            "new_share": 0.6,
            "cases": ("shared_exam_hours", "mixed_versions", "lost_controls"),
        },
        53: {
            "network_count": 9,
            "name_count": 70,
            "new_share": 1.0,
            "cases": ("exam_hours", "shared_exam_hours", "no_addresses", "overloaded_sites"),
        },
    },
    # What cannot be told apart: a gateway at the border looks like sites that refuse the country.
    "limit": {
        41: {"network_count": 10, "name_count": 80, "national_count": 8},
    },
}


@dataclass(frozen=True)
class Task:
    """One world and what is to be done with it."""

    part: str
    seed: int
    level: str
    country: Mapping[str, Any]
    thresholds: Thresholds
    variants: tuple[tuple[str, float], ...] = ()
    has_forging: bool = False

    @property
    def label(self) -> str:
        return f"{self.seed}-{self.level}"

    @property
    def sessions_per_day(self) -> float:
        pairs = int(self.country["network_count"]) * int(self.country["name_count"])
        return round(LEVELS[self.level] * pairs / (_NAMES_A_SESSION * 366), 2)


@dataclass
class Result:
    """What came of one world."""

    task: Task
    facts: dict[str, Any]
    score: Score
    variants: list[dict[str, Any]] = field(default_factory=list)
    moves: pd.DataFrame = field(default_factory=pd.DataFrame)


def validate(
    arguments: Iterable[str], simulator: Simulator, say: Callable[[int, int, str], None]
) -> Path:
    """Run all worlds and write the result's small tables; returns their folder.

    Args:
        arguments: ``NAME=VALUE``: OUT, STORE (where worlds are kept), JOBS, and thresholds.
        simulator: makes worlds.
        say: called with worlds done, all worlds, and nothing more.

    Raises:
        ParameterError: an argument is wrong; nothing was written.
    """
    out, workspace, jobs, thresholds = parse_arguments(arguments)
    out.mkdir(parents=True, exist_ok=True)  # what cannot be written ends here, not after minutes
    steered, apps, examined = (workspace / n for n in ("steering", "apps", "examined"))
    for folder in (steered, apps, examined):
        shutil.rmtree(folder, ignore_errors=True)
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        worlds = [pool.submit(run_world, task, workspace, simulator) for task in plan(thresholds)]
        countries = [
            pool.submit(steering.run_country, seed, way, steered / f"{seed}-{way}",
                        simulator.make_volunteers)
            for seed in steering.COUNTRIES
            for way in steering.WAYS
        ]  # fmt: skip
        of_apps = [
            pool.submit(scored_apps.run_world, seed, apps / str(seed), simulator.write_world)
            for seed in scored_apps.SEEDS
        ]
        names = list(simulator.situations)
        draws = [
            *zip(names, count(scored_situations.FIRST_SEED), strict=False),
            *((scored_situations.NOBODY_BLOCKS, seed) for seed in scored_situations.NULL_SEEDS),
        ]
        of_situations = [
            pool.submit(scored_situations.run_situation, name, seed, examined / str(seed),
                        simulator.write_world)
            for name, seed in draws
        ]  # fmt: skip
        waiting: list[Future[Any]] = [*worlds, *countries, *of_apps, *of_situations]
        for done, future in enumerate(as_completed(waiting), 1):
            future.result()
            say(done, len(waiting), "")
    for name, sum_up, parts in (
        ("steering", steering.sum_up, countries), ("apps", scored_apps.sum_up, of_apps)
    ):  # fmt: skip
        rows = pd.concat([one.result() for one in parts], ignore_index=True)
        _write(out, name, sum_up(rows))
    write_situations(out, [one.result() for one in of_situations], simulator.situations)
    results = sorted((one.result() for one in worlds), key=lambda result: result.task.label)
    write_results(out, results, thresholds)
    return out


def write_situations(
    out: Path, results: Sequence[tuple[dict[str, Any], pd.DataFrame]], situations: Mapping[str, Any]
) -> None:
    """What came of the situations, one draw of each; and of the worlds in which nobody blocks."""
    rows = [row for row, _ in results[: len(situations)]]
    _write(out, "examined", scored_situations.table(rows, situations))
    evidence = pd.concat([weighed for _, weighed in results[len(situations) :]])
    _write(out, "chances", scored_situations.hold_chances(evidence))


def parse_arguments(arguments: Iterable[str]) -> tuple[Path, Path, int, Thresholds]:
    """OUT, STORE, JOBS and the thresholds.

    Raises:
        ParameterError: an argument is none of these, or its value is not accepted.
    """
    options = {
        "OUT": str(RESULTS),
        "STORE": str(WORKSPACE),
        "JOBS": str(cpu_count() or 1),
    }
    numbers: dict[str, str] = {}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name in options:
            options[name] = value.strip() or options[name]
        elif name in DECLARATIONS:
            numbers[name] = value.strip()
        else:
            accepted = ", ".join([*options, *DECLARATIONS])
            raise ParameterError(name, value, f"validate takes {accepted}")
    jobs = whole_number("JOBS", options["JOBS"], range(1, 1025))
    out, store = (Path(options[name]).expanduser().absolute() for name in ("OUT", "STORE"))
    return out, store, jobs, Thresholds().changed_by(numbers)


def plan(thresholds: Thresholds) -> list[Task]:
    """All worlds, the longest first, so that the last one to end is a short one."""
    tasks = []
    for part, countries in COUNTRIES.items():
        for seed, country in countries.items():
            for level in _LEVELS_OF.get(part, LEVELS):
                variants = tuple(_variants(thresholds)) if part == "fit" else ()
                has_forging = level == "middle" and part != "hard"
                tasks.append(Task(part, seed, level, country, thresholds, variants, has_forging))
    return sorted(tasks, key=lambda task: (not task.variants, -task.sessions_per_day))


def _variants(thresholds: Thresholds) -> Iterator[tuple[str, float]]:
    for name, declared in DECLARATIONS.items():
        values = declared.tried_in_worlds
        yield from ((name, value) for value in values if value != getattr(thresholds, name))


def run_world(task: Task, workspace: Path, simulator: Simulator) -> Result:
    """Simulate, read, judge and score one world; then sweep or forge, as the task says."""
    folder = workspace / task.label
    world = folder / "world"
    plain = {"seed": task.seed, "sessions_per_day": task.sessions_per_day, "cases": ()}
    options = {**plain, **task.country}
    made = simulator.write_world(world, probe_cc=_PROBE_CC, since=_SINCE, until=_UNTIL, **options)
    study = _open(world, folder)
    judge_world(study, task.thresholds, folder / "tables")
    scored = scores.score(folder / "tables", world / "truth")
    facts = {
        "world": task.label, "part": task.part, "seed": task.seed, "coverage": task.level,
        "network_count": task.country["network_count"], "name_count": task.country["name_count"],
        "new_share": task.country.get("new_share"), "measurement_count": made["measurement_count"],
        "block_count": made["block_count"],
    }  # fmt: skip
    result = Result(task, facts, scored)
    for name, value in task.variants:
        judge_world(study, task.thresholds.changed_by({name: value}), folder / "variant")
        varied = scores.score(folder / "variant", world / "truth")
        result.variants.append({"threshold": name, "value": value, **scores.tally(varied)})
    if task.has_forging:
        result.moves = _forge(task, folder, simulator, options, scored)
    return result


def _open(world: Path, folder: Path) -> Study:
    return open_world(world, folder / "store", _PROBE_CC, _SINCE, _UNTIL)


def _forge(
    task: Task,
    folder: Path,
    simulator: Simulator,
    options: Mapping[str, Any],
    forged: Score,
) -> pd.DataFrame:
    """Whether forgers move states: those of the world, and one who knows ``sessions_to_flip``."""
    world = folder / "clean"
    simulator.write_world(world, since=_SINCE, until=_UNTIL, has_forgeries=False, **options)
    judge_world(_open(world, folder), task.thresholds, folder / "clean-tables")
    clean = scores.score(folder / "clean-tables", world / "truth").pairs
    copy = folder / "forged"
    simulator.add_forgeries(world, copy, choose_claims(clean, task.seed))
    judge_world(_open(copy, folder), task.thresholds, folder / "forged-tables")
    ordered = scores.score(folder / "forged-tables", copy / "truth")
    return pd.concat(
        [
            scores.moved_by_forgery(clean, forged).assign(forger="of the world"),
            scores.moved_by_forgery(clean, ordered).assign(forger="one short of the number"),
        ],
        ignore_index=True,
    )


def choose_claims(clean: pd.DataFrame, seed: int, most: int = 8) -> list[Claim]:
    """Forged reports one short of what ``sessions_to_flip`` says a state bears.

    Blocked pairs are claimed to be open, open ones to be blocked, on as many days in a row as it
    takes, or on days spread over the year.
    """
    rng = Random(seed)
    claims: list[Claim] = []
    for states, claim in ((("blocked", "likely_blocked"), "open"), (("ok",), "blocked")):
        pairs = clean[clean["state"].isin(states) & (clean["sessions_to_flip"] > 1)]
        for index in rng.sample(range(len(pairs)), min(most, len(pairs))):
            row = pairs.iloc[index]
            count = min(int(row["sessions_to_flip"]) - 1, 12)
            step = rng.choice((1, 1, 25))
            first = date.fromisoformat(_SINCE) + timedelta(days=rng.randrange(60, 300 - 12))
            days = tuple(first + timedelta(days=step * day % 60) for day in range(count))
            claims.append((row["domain"], int(row["probe_asn"].removeprefix("AS")), claim, days))
    return claims


def write_results(out: Path, results: Sequence[Result], thresholds: Thresholds) -> None:
    """The small tables that ship with the workbook; no dates, the same bytes for the same run."""
    out.mkdir(parents=True, exist_ok=True)
    _write(out, "worlds", pd.DataFrame([result.facts for result in results]))
    parts = dict.fromkeys(result.task.part for result in results)
    pooled = {
        part: scores.pool({r.task.label: r.score for r in results if r.task.part == part})
        for part in parts
    }
    for name, sum_up in _SUMMARIES.items():
        frames = {part: sum_up(score) for part, score in pooled.items()}
        _write(out, name, pd.concat(frames, names=["part"]).reset_index("part"))
    _write(out, "sensitivity", sensitivity(results, thresholds))
    _write(out, "forgery", count_moves(results))
    settings = {"rules_version": RULES_VERSION, **vars(thresholds)}
    rows = [(name, str(value)) for name, value in settings.items()]
    _write(out, "settings", pd.DataFrame(rows, columns=["name", "value"]))


_SUMMARIES: Mapping[str, Callable[[Score], pd.DataFrame]] = {
    "accuracy": scores.accuracy,
    "false_positives": scores.false_positives,
    "edge_errors": scores.edge_errors,
    "unlisted_states": scores.unlisted_states,
}


def sensitivity(results: Sequence[Result], thresholds: Thresholds) -> pd.DataFrame:
    """One row per threshold and value, counted over the worlds for fitting."""
    fitted = [result for result in results if result.task.part == "fit"]
    standing = [scores.tally(result.score) for result in fitted]
    rows = [
        {"threshold": name, "value": getattr(thresholds, name), "is_used": True, **counts}
        for name, declared in DECLARATIONS.items()
        if declared.tried_in_worlds
        for counts in standing
    ]
    rows += [{**row, "is_used": False} for result in fitted for row in result.variants]
    keys = ["threshold", "value", "is_used"]
    summed = pd.DataFrame(rows).groupby(keys, sort=True).sum().reset_index()
    return summed.assign(rules_version=RULES_VERSION)


def count_moves(results: Sequence[Result]) -> pd.DataFrame:
    """One row per forger, claim and truth: pairs, those that moved, and promises broken."""
    moves = pd.concat([r.moves for r in results if len(r.moves)], ignore_index=True)
    moves["is_newly_listed"] = moves["is_listed_forged"] & ~moves["is_listed"]
    keys = ["forger", "claim", "is_blocked"]
    counted = moves.groupby(keys, sort=True).agg(
        pair_count=("domain", "size"),
        moved_count=("is_moved", "sum"),
        newly_listed_count=("is_newly_listed", "sum"),
        broken_count=("is_broken", "sum"),
    )
    return counted.reset_index().assign(rules_version=RULES_VERSION)


def _write(folder: Path, name: str, frame: pd.DataFrame) -> None:
    text = frame.to_csv(index=False, float_format="%.4f", lineterminator="\n")
    (folder / f"{name}.csv").write_text(text, encoding="utf-8", newline="")
