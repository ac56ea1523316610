"""``validate``: the method against fictional worlds whose truth is known.

Each world is simulated, read into a store of its own, judged as a country would be, and scored.
Worlds of the first seeds are for fitting: there the thresholds are swept one by one. What is
reported as the method's accuracy comes from the other seeds.
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
#: What a world is like where its country does not say otherwise.
_USUAL = {"probe_cc": "QQ", "since": SINCE, "until": "2025-01-01", "cases": ()}
_NAMES_A_SESSION = 24

Claim = tuple[str, int, str, tuple[date, ...]]
_CLAIMS = 8  # of each kind


@dataclass(frozen=True)
class Simulator:
    """What makes worlds; handed in, so that the judge and the simulator do not know each other.

    Attributes:
        write_world: writes a world into a folder and returns its ``measurement_count`` and
            ``block_count``.
        make_volunteers: a country whose volunteers test what they are asked to.
        situations: countries in which one thing goes on, by name: each with what is true there, for
            the reader, and ``undecidable``, what else it could be.
    """

    write_world: Callable[..., Any]
    make_volunteers: Callable[..., Any]
    situations: Mapping[str, Any]


#: Coverage levels: about how many sessions test a pair of site and network in the year.
LEVELS: Mapping[str, int] = {"thin": 5, "middle": 10, "rich": 20}

#: The hard cases are not judged where hardly anybody tests.
_HARD_LEVELS = ("middle", "rich")

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
}


#: Countries of half a year with one situation each, from this seed on.
EXAMINED, FIRST_EXAMINED = "examined", 91
#: One of them, in which nobody blocks, is drawn ten times more.
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
    """One world and what is to be done with it.

    Attributes:
        part: what its result is for.
        level: of coverage; of situations the part.
        country: what the simulator is asked for, besides the usual.
        variants: thresholds and values that are tried on it.
        has_forging: whether forgers are held against what a state bears.
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
    """What came of one world: ``counts`` are those of ``scores.tally``."""

    task: Task
    made: Mapping[str, int]
    score: scores.Score
    counts: Mapping[str, int]
    variants: list[dict[str, Any]] = field(default_factory=list)
    moves: list[pd.DataFrame] = field(default_factory=list)


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
        of_apps = [
            pool.submit(
                scored_apps.run_world, seed, workspace / f"{seed}-apps", simulator.write_world
            )
            for seed in scored_apps.SEEDS
        ]
        waiting: list[Future[Any]] = [*worlds, *countries, *of_apps]
        for done, future in enumerate(as_completed(waiting), 1):
            future.result()
            say(done, len(waiting), "")
    _write(out, "steering", steering.sum_up(pd.concat([one.result() for one in countries])))
    _write(out, "apps", scored_apps.sum_up(pd.concat([one.result() for one in of_apps])))
    results = [one.result() for one in worlds]
    results.sort(key=lambda result: (result.task.seed, result.task.level))
    write_situations(out, [r for r in results if r.task.level not in LEVELS], simulator.situations)
    write_results(out, [r for r in results if r.task.level in LEVELS], thresholds)
    return out


def parse_arguments(arguments: Iterable[str]) -> tuple[Path, Path, int, Thresholds]:
    """OUT, STORE, JOBS and the thresholds.

    Raises:
        ParameterError: an argument is none of these, or its value is not accepted.
    """
    options = {"OUT": str(RESULTS), "STORE": str(WORKSPACE), "JOBS": str(cpu_count() or 1)}
    given = {name: value.strip() for name, _, value in (one.partition("=") for one in arguments)}
    for name, value in given.items():
        if name not in options and name not in DECLARATIONS:
            accepted = ", ".join([*options, *DECLARATIONS])
            raise ParameterError(name, value, f"validate takes {accepted}")
    options |= {name: given[name] for name in options if given.get(name)}
    jobs = whole_number("JOBS", options["JOBS"], range(1, 1025))
    out, store = (Path(options[name]).expanduser().absolute() for name in ("OUT", "STORE"))
    numbers = {name: value for name, value in given.items() if name in DECLARATIONS}
    return out, store, jobs, Thresholds().changed_by(numbers)


def plan(thresholds: Thresholds, situations: Iterable[str] = ()) -> list[Task]:
    """All worlds, the longest first, so that the last one to end is a short one."""
    tried = tuple(
        (name, value)
        for name, declared in DECLARATIONS.items()
        for value in declared.tried_in_worlds
        if value != getattr(thresholds, name)
    )
    tasks = []
    for part, countries in COUNTRIES.items():
        for seed, country in countries.items():
            for level in _HARD_LEVELS if part == "hard" else LEVELS:
                variants = tried if part == "fit" else ()
                has_forging = level == "middle" and part != "hard"
                tasks.append(Task(part, seed, level, country, thresholds, variants, has_forging))
    draws = [(EXAMINED, *one) for one in enumerate(situations, FIRST_EXAMINED)]
    draws += [(NULL, seed, NOBODY_BLOCKS) for seed in NULL_SEEDS]
    for part, seed, situation in draws:
        tasks.append(Task(part, seed, part, {**SITUATION, "situation": situation}, thresholds))
    return sorted(tasks, key=lambda task: (not task.variants, -task.design["sessions_per_day"]))


def run_world(task: Task, folder: Path, simulator: Simulator) -> Result:
    """Simulate, read, judge and score one world; then sweep or forge, as the task says.

    ``folder`` holds the world, its store and its tables afterwards, and those with other forgers.
    """
    design, thresholds = task.design, task.thresholds

    def judge(place: Path, **changed: Any) -> tuple[Study, Mapping[str, int], scores.Score]:
        made = simulator.write_world(place / "world", **{**design, **changed})
        parameters = (design["probe_cc"], design["since"], design["until"])
        study = open_world(place / "world", place / "store", *parameters)
        judge_world(study, thresholds, place / "tables")
        return study, made, scores.score(place / "tables", place / "world" / "truth")

    study, made, scored = judge(folder)
    result = Result(task, made, scored, scores.tally(scored))
    for name, value in task.variants:
        judge_world(study, thresholds.changed_by({name: value}), folder / "variant")
        varied = scores.score(folder / "variant", folder / "world" / "truth")
        result.variants.append({"threshold": name, "value": value, **scores.tally(varied)})
    if task.has_forging:
        # Those of the world, and one who knows ``sessions_to_flip``.
        _, _, clean = judge(folder / "clean", has_forgeries=False)
        claims = choose_claims(clean.pairs, task.seed)
        _, _, ordered = judge(folder / "ordered", has_forgeries=False, claims=claims)
        for forger, forged in {"of the world": scored, "one short of the number": ordered}.items():
            moves = scores.moved_by_forgery(clean.pairs, forged)
            result.moves.append(moves.assign(forger=forger))
    return result


def choose_claims(clean: pd.DataFrame, seed: int) -> list[Claim]:
    """Forged reports one short of what ``sessions_to_flip`` says a state bears.

    Blocked pairs are claimed to be open, open ones to be blocked, on as many days in a row as it
    takes, or on days spread over the year.
    """
    rng, since = Random(seed), date.fromisoformat(SINCE)
    claims: list[Claim] = []
    for states, claim in ((("blocked", "likely_blocked"), "open"), (("ok",), "blocked")):
        pairs = clean[clean["state"].isin(states) & (clean["sessions_to_flip"] > 1)]
        for index in rng.sample(range(len(pairs)), min(_CLAIMS, len(pairs))):
            row = pairs.iloc[index]
            count = min(int(row["sessions_to_flip"]) - 1, 12)
            step = rng.choice((1, 1, 25))
            first = since + timedelta(days=rng.randrange(60, 300 - 12))
            days = tuple(first + timedelta(days=step * day % 60) for day in range(count))
            claims.append((row["domain"], int(row["probe_asn"]), claim, days))
    return claims


def write_situations(out: Path, results: Sequence[Result], situations: Mapping[str, Any]) -> None:
    """What came of the situations, one draw of each; and of the worlds in which nobody blocks."""
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
    """The small tables that ship with the workbook; no dates, the same bytes for the same run."""
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
    """One row per threshold and value, counted over the worlds for fitting."""
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
    """One row per forger, claim and truth: pairs, those that moved, and promises broken."""
    moves = pd.concat([one for result in results for one in result.moves], ignore_index=True)
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
