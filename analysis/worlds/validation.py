"""``validate``: the method on fictional worlds with known truth.

Each world is simulated, ingested into a store of its own, judged like a country, and scored.
Worlds of the first seeds are for fitting: on these, thresholds are tried at other values. The
reported accuracy comes from the other seeds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import date, timedelta
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

from analysis.errors import ParameterError
from analysis.outcomes.rules import RULES, RULES_VERSION
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.reference.reference_files import REPOSITORY
from analysis.study.lineage import Lineage
from analysis.study.parameters import whole_number
from analysis.study.study import Study
from analysis.worlds import scored_apps, scores, steering
from analysis.worlds.judged_world import judge_world, open_world
from analysis.worlds.validation_page import RESULTS

WORKSPACE = REPOSITORY / "data" / "work" / "validation"
SINCE = "2024-01-01"
#: Default parameters of a world.
_USUAL = {"probe_cc": "QQ", "since": SINCE, "until": "2025-01-01", "cases": ()}
_NAMES_A_SESSION = 24

Claim = tuple[str, int, str, tuple[date, ...]]
_CLAIM_COUNT = 8  # of each kind


@dataclass(frozen=True)
class Simulator:
    """The simulator, as a parameter, so that judge and simulator do not import each other.

    Attributes:
        write_world: writes a world into a folder and returns its ``measurement_count`` and
            ``block_count``.
        make_volunteers: makes a country whose volunteers test the sites that they are given.
        situations: name → situation, with ``truth`` and ``undecidable``.
    """

    write_world: Callable[..., Any]
    make_volunteers: Callable[..., Any]
    situations: Mapping[str, Any]


#: Level of coverage → approximate number of sessions of each pair in the year.
LEVELS: Mapping[str, int] = {"thin": 5, "middle": 10, "rich": 20}

#: Hard cases are not judged at the thinnest level.
_HARD_LEVELS = ("middle", "rich")

#: Part → seed → parameters of the country. Countries differ, and parts share no seed.
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
    # Cases that methods commonly get wrong, several in each country.
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
}


#: The part of countries with one situation and half a year each, and its first seed.
EXAMINED, FIRST_EXAMINED = "examined", 91
#: The part of ten more draws of a situation without blocks, its seeds, and the situation.
NULL, NULL_SEEDS, NOBODY_BLOCKS = "null", range(111, 121), "Pairs that fail by themselves"
SITUATION: Mapping[str, Any] = {
    "probe_cc": "QN",
    "until": "2024-07-01",
    "name_count": 90,
    "sessions_per_day": 4.5,
    "has_forgeries": False,
}


@dataclass(frozen=True)
class Task:
    """One world to validate the method on.

    Attributes:
        part: of the results.
        seed: of the world.
        level: of coverage; for situations, the part.
        country: parameters of the simulator besides the defaults.
        thresholds: of the judgement.
        variants: thresholds and values to try.
        has_forging: whether ``sessions_to_flip`` is checked with forged reports.
    """

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
    def design(self) -> dict[str, Any]:
        """The parameters of ``write_world``."""
        design = {"seed": self.seed, **_USUAL, **self.country}
        if self.level in LEVELS:
            pairs = int(design["network_count"]) * int(design["name_count"])
            rate = LEVELS[self.level] * pairs / (_NAMES_A_SESSION * 366)
            design["sessions_per_day"] = round(rate, 2)
        return design


@dataclass
class Result:
    """The result of one world; ``counts`` are those of ``scores.tally``."""

    task: Task
    made: Mapping[str, int]
    score: scores.Score
    counts: Mapping[str, int]
    variants: list[dict[str, Any]] = field(default_factory=list)
    moves: list[pd.DataFrame] = field(default_factory=list)


def validate(
    arguments: Iterable[str], simulator: Simulator, say: Callable[[int, int, str], None]
) -> Path:
    """Run all worlds, write the tables of results, and return their folder.

    Args:
        arguments: ``NAME=VALUE``: OUT, STORE (the folder of worlds), JOBS, and thresholds.
        simulator: makes worlds.
        say: called with worlds done, all worlds, and an empty text.

    Raises:
        ParameterError: an argument is wrong; no file was written.
    """
    out, workspace, jobs, thresholds = parse_arguments(arguments)
    out.mkdir(parents=True, exist_ok=True)  # fails now, and not after minutes
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        tasks = plan(thresholds, simulator.situations)
        worlds = [pool.submit(run_world, task, workspace / task.label, simulator) for task in tasks]
        countries = [
            pool.submit(
                steering.run_country,
                seed,
                way,
                workspace / f"{seed}-{way}",
                simulator.make_volunteers,
            )
            for seed in steering.COUNTRIES
            for way in steering.WAYS
        ]
        apps = [
            pool.submit(
                scored_apps.run_world, seed, workspace / f"{seed}-apps", simulator.write_world
            )
            for seed in scored_apps.SEEDS
        ]
        waiting: list[Future[Any]] = [*worlds, *countries, *apps]
        for done, future in enumerate(as_completed(waiting), 1):
            future.result()
            say(done, len(waiting), "")
    weeks = pd.concat([future.result() for future in countries])
    _write(out, "steering", steering.sum_up(weeks))
    comparisons = pd.concat([future.result() for future in apps])
    _write(out, "apps", scored_apps.sum_up(comparisons))
    results = [future.result() for future in worlds]
    results.sort(key=lambda result: (result.task.seed, result.task.level))
    write_situations(out, [r for r in results if r.task.level not in LEVELS], simulator.situations)
    write_results(out, [r for r in results if r.task.level in LEVELS], thresholds)
    return out


def parse_arguments(arguments: Iterable[str]) -> tuple[Path, Path, int, Thresholds]:
    """Parse OUT, STORE, JOBS and the thresholds.

    Raises:
        ParameterError: an argument is not one of these, or has an invalid value.
    """
    options = {"OUT": str(RESULTS), "STORE": str(WORKSPACE), "JOBS": str(cpu_count() or 1)}
    parts = (argument.partition("=") for argument in arguments)
    values = {name: value.strip() for name, _, value in parts}
    for name, value in values.items():
        if name not in options and name not in DECLARATIONS:
            accepted = ", ".join([*options, *DECLARATIONS])
            raise ParameterError(name, value, f"validate takes {accepted}")
    options |= {name: values[name] for name in options if values.get(name)}
    jobs = whole_number("JOBS", options["JOBS"], range(1, 1025))
    out, store = (Path(options[name]).expanduser().absolute() for name in ("OUT", "STORE"))
    numbers = {name: value for name, value in values.items() if name in DECLARATIONS}
    return out, store, jobs, Thresholds().changed_by(numbers)


def plan(thresholds: Thresholds, situations: Iterable[str] = ()) -> list[Task]:
    """Return all worlds, the largest first, so that no large one is left for the end."""
    variants_to_try = tuple(
        (name, value)
        for name, declared in DECLARATIONS.items()
        for value in declared.tried_in_worlds
        if value != getattr(thresholds, name)
    )
    tasks = []
    for part, countries in COUNTRIES.items():
        for seed, country in countries.items():
            for level in _HARD_LEVELS if part == "hard" else LEVELS:
                variants = variants_to_try if part == "fit" else ()
                has_forging = level == "middle" and part != "hard"
                tasks.append(Task(part, seed, level, country, thresholds, variants, has_forging))
    draws = [(EXAMINED, seed, name) for seed, name in enumerate(situations, FIRST_EXAMINED)]
    draws += [(NULL, seed, NOBODY_BLOCKS) for seed in NULL_SEEDS]
    for part, seed, situation in draws:
        tasks.append(Task(part, seed, part, {**SITUATION, "situation": situation}, thresholds))
    return sorted(tasks, key=lambda task: (not task.variants, -task.design["sessions_per_day"]))


def run_world(task: Task, folder: Path, simulator: Simulator) -> Result:
    """Simulate, ingest, judge and score one world; then try thresholds or forgeries if required.

    The worlds, their stores and tables are kept in ``folder``.
    """
    design, thresholds = task.design, task.thresholds

    def judge(target: Path, **changed: Any) -> tuple[Study, Mapping[str, int], scores.Score]:
        counts = simulator.write_world(target / "world", **{**design, **changed})
        parameters = (design["probe_cc"], design["since"], design["until"])
        study = open_world(target / "world", target / "store", *parameters)
        judge_world(study, thresholds, target / "tables")
        return study, counts, scores.score(target / "tables", target / "world" / "truth")

    study, counts, scored = judge(folder)
    result = Result(task, counts, scored, scores.tally(scored))
    for name, value in task.variants:
        judge_world(study, thresholds.changed_by({name: value}), folder / "variant")
        varied = scores.score(folder / "variant", folder / "world" / "truth")
        result.variants.append({"threshold": name, "value": value, **scores.tally(varied)})
    if task.has_forging:
        # The forgers of the world, and one who knows ``sessions_to_flip``.
        _, _, clean = judge(folder / "clean", has_forgeries=False)
        claims = choose_claims(clean.pairs, task.seed)
        _, _, ordered = judge(folder / "ordered", has_forgeries=False, claims=claims)
        for forger, forged in {"of the world": scored, "one short of the number": ordered}.items():
            moves = scores.moved_by_forgery(clean.pairs, forged)
            result.moves.append(moves.assign(forger=forger))
    return result


def choose_claims(clean: pd.DataFrame, seed: int) -> list[Claim]:
    """Choose forged reports, one fewer than the ``sessions_to_flip`` of a pair.

    Blocked pairs are claimed to be open, open ones to be blocked, on consecutive days or on days
    spread over the year.
    """
    rng, since = Random(seed), date.fromisoformat(SINCE)
    claims: list[Claim] = []
    for states, claim in ((("blocked", "likely_blocked"), "open"), (("ok",), "blocked")):
        pairs = clean[clean["state"].isin(states) & (clean["sessions_to_flip"] > 1)]
        for index in rng.sample(range(len(pairs)), min(_CLAIM_COUNT, len(pairs))):
            row = pairs.iloc[index]
            count = min(int(row["sessions_to_flip"]) - 1, 12)
            step = rng.choice((1, 1, 25))
            first = since + timedelta(days=rng.randrange(60, 300 - 12))
            days = tuple(first + timedelta(days=step * day % 60) for day in range(count))
            claims.append((row["domain"], int(row["probe_asn"]), claim, days))
    return claims


def write_situations(out: Path, results: Sequence[Result], situations: Mapping[str, Any]) -> None:
    """Write the results of the situations, and of the worlds without blocks."""
    rows = []
    for result in results:
        if result.task.part == EXAMINED:
            name, counts = result.task.country["situation"], result.counts
            rows.append(
                {
                    "situation": name,
                    "truth": situations[name].truth,
                    "measurement_count": result.made["measurement_count"],
                    "blocked_pair_count": counts["blocked_pair_count"],
                    "found_pair_count": counts["blocked_pair_count"] - counts["missed_pair_count"],
                    "false_pair_count": counts["false_pair_count"],
                    "false_site_count": counts["false_site_count"],
                    "undecidable": situations[name].undecidable,
                }
            )
    _write(out, "examined", pd.DataFrame(rows))
    pairs = [result.score.pairs for result in results if result.task.part == NULL]
    _write(out, "chances", scores.hold_chances(pd.concat(pairs)))


def write_results(out: Path, results: Sequence[Result], thresholds: Thresholds) -> None:
    """Write the tables that ship with the workbook, without dates."""
    worlds = [
        {
            "world": result.task.label,
            "part": result.task.part,
            "seed": result.task.seed,
            "coverage": result.task.level,
            "network_count": result.task.country["network_count"],
            "name_count": result.task.country["name_count"],
            "new_share": result.task.country.get("new_share"),
            "measurement_count": result.made["measurement_count"],
            "block_count": result.made["block_count"],
        }
        for result in results
    ]
    _write(out, "worlds", pd.DataFrame(worlds))
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
    method = Lineage.of(RULES, thresholds).judging.digest
    settings = {"rules_version": RULES_VERSION, "method": method, **vars(thresholds)}
    rows = [(name, str(value)) for name, value in settings.items()]
    _write(out, "settings", pd.DataFrame(rows, columns=["name", "value"]))


_SUMMARIES: Mapping[str, Callable[[scores.Score], pd.DataFrame]] = {
    "accuracy": scores.accuracy,
    "false_positives": scores.false_positives,
    "edge_errors": scores.edge_errors,
    "unlisted_states": scores.unlisted_states,
}


def sensitivity(results: Sequence[Result], thresholds: Thresholds) -> pd.DataFrame:
    """Return one row per threshold and value, counted on the worlds for fitting."""
    fitted = [result for result in results if result.task.part == "fit"]
    rows = [
        {"threshold": name, "value": getattr(thresholds, name), "is_used": True, **result.counts}
        for name, declared in DECLARATIONS.items()
        if declared.tried_in_worlds
        for result in fitted
    ]
    rows += [{**row, "is_used": False} for result in fitted for row in result.variants]
    keys = ["threshold", "value", "is_used"]
    return pd.DataFrame(rows).groupby(keys, sort=True).sum().reset_index()


def count_moves(results: Sequence[Result]) -> pd.DataFrame:
    """Count per forger, claim and truth: pairs, moved ones, and those moved too early."""
    moves = pd.concat([frame for result in results for frame in result.moves], ignore_index=True)
    moves["is_newly_listed"] = moves["is_listed_forged"] & ~moves["is_listed"]
    keys = ["forger", "claim", "is_blocked"]
    return moves.groupby(keys, sort=True, as_index=False).agg(
        pair_count=("domain", "size"),
        moved_count=("is_moved", "sum"),
        newly_listed_count=("is_newly_listed", "sum"),
        broken_count=("is_broken", "sum"),
    )


def _write(folder: Path, name: str, frame: pd.DataFrame) -> None:
    text = frame.to_csv(index=False, float_format="%.4f", lineterminator="\n")
    (folder / f"{name}.csv").write_text(text, encoding="utf-8", newline="")
