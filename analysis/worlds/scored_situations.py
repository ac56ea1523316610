"""What the judge makes of the situations of ``examined``, and of countries in which nobody blocks.

Each situation is a country of half a year. ``NOBODY_BLOCKS`` is one of them, and drawn ten times
more, to hold the chances that are told against how often they come up.

A world is judged as a country would be, by the calls of the notebooks.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.outcomes.rules import RULES_VERSION
from analysis.outcomes.thresholds import Thresholds
from analysis.report import annex
from analysis.study.confirmation import confirm
from analysis.study.parameters import StudyParameters
from analysis.study.study import Study, open_study
from analysis.tables import write_table
from analysis.verdicts.verdicts import Judgement
from analysis.worlds.scores import PAIR_KEY, Score, score, share_by

#: Seeds of the situations, in their order; and of the worlds in which pairs fail by themselves. No
#: other part of the validation has them.
FIRST_SEED, NULL_SEEDS = 91, range(111, 121)
NOBODY_BLOCKS = "Pairs that fail by themselves"
_PROBE_CC, _SINCE, _UNTIL = "QN", "2024-01-01", "2024-07-01"
SIZE: Mapping[str, Any] = {
    "name_count": 90,
    "sessions_per_day": 4.5,
    "has_forgeries": False,
    "cases": (),
}
#: What a block must have been met by to be asked for.
_SESSIONS = 6
#: Sites that turn the whole country away, or to which it lost its way: no accident, and no block.
_REFUSING = ("geo_refused", "geo_refused_http", "geo_refused_tcp", "geo_refused_tls", "unreachable")
#: Logarithms of 1 / chance.
LEVELS = (1, 2, 3)


def run_situation(
    situation: str,
    seed: int,
    folder: Path,
    write_world: Callable[..., Any],
    size: Mapping[str, Any] = SIZE,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """One world: its row of the result, and the evidence of each pair that nobody blocks."""
    world = folder / "world"
    made = write_world(world, probe_cc=_PROBE_CC, since=_SINCE, until=_UNTIL, seed=seed,
                       situation=situation, **size)  # fmt: skip
    study = open_world(world, folder / "store", _PROBE_CC, _SINCE, _UNTIL)
    judgement = judge_world(study, Thresholds(), folder / "tables")
    scored = score(folder / "tables", world / "truth")
    counts = {"situation": situation, "measurement_count": made["measurement_count"]}
    return counts | count(scored), weigh(scored, judgement.chances)


def count(scored: Score) -> dict[str, int]:
    """What is blocked, found, and listed wrongly."""
    pairs, sites = scored.pairs, scored.sites
    asked = pairs[pairs["is_blocked"] & (pairs["true_session_count"] >= _SESSIONS)]
    counts = {
        "blocked_pair_count": len(asked),
        "found_pair_count": asked["is_listed"].sum(),
        "false_pair_count": (pairs["is_listed"] & ~pairs["is_blocked"]).sum(),
        "false_site_count": (sites["is_listed"] & ~sites["is_blocked"]).sum(),
    }
    return {name: int(number) for name, number in counts.items()}


def weigh(scored: Score, chances: pd.DataFrame) -> pd.DataFrame:
    """The evidence (a logarithm) of each pair that nobody blocks; 0 where nothing surprised.

    Sites that refuse the country are left out: chance is about accidents.
    """
    asns = "AS" + chances["probe_asn"].astype("str").str.removeprefix("AS")
    is_asked = ~scored.pairs["is_blocked"] & ~scored.pairs["situation"].isin(_REFUSING)
    known = scored.pairs.loc[is_asked, PAIR_KEY]
    told = chances[["domain", "evidence"]].assign(probe_asn=asns)
    rows = known.merge(told, on=PAIR_KEY, how="left")
    rows["evidence"] = pd.to_numeric(rows["evidence"]).fillna(0.0)
    return rows


def hold_chances(evidence: pd.DataFrame) -> pd.DataFrame:
    """How many pairs that nobody blocks had each chance, or a smaller one, and may have had it."""
    frames = [
        share_by("pairs that nobody blocks", evidence.assign(is_low=evidence["evidence"] >= level),
                 "is_low").assign(stratum=f"{10.0**-level:g}")
        for level in LEVELS
    ]  # fmt: skip
    return pd.concat(frames, ignore_index=True).assign(rules_version=RULES_VERSION)


def table(rows: Iterable[dict[str, Any]], situations: Any) -> pd.DataFrame:
    """The result that ships, one row a situation: counts, what is true, and what else it could be.

    Args:
        rows: those of ``run_situation``.
        situations: by name, each with its ``truth`` and ``undecidable``.
    """
    frame = pd.DataFrame(rows)
    told = [situations[name] for name in frame["situation"]]
    frame.insert(1, "truth", [one.truth for one in told])
    frame["undecidable"] = [one.undecidable for one in told]
    return frame.assign(rules_version=RULES_VERSION)


def open_world(world: Path, store: Path, probe_cc: str, since: str, until: str) -> Study:
    """Read a world into a store of its own."""
    lists = world / "reference"
    parameters = StudyParameters(
        probe_cc=probe_cc,
        since=since,
        until=until,
        source=str(world / "archive"),
        store=str(store),
        test_list=str(lists / "test-lists"),
        networks=str(lists / "networks.csv"),
        fingerprints=str(lists / "fingerprints"),
    )
    study = open_study(parameters, jobs=1)
    study.connection.execute("SET threads = 1")  # worlds run side by side
    return study


def judge_world(study: Study, thresholds: Thresholds, tables: Path) -> Judgement:
    """Write the tables that a score reads; of no half."""
    networks = study.networks()
    judgement = confirm(study, networks, thresholds, periods=["all"])
    verdicts = write_table(tables, "verdicts", judgement.verdicts)
    write_table(tables, "blocking_intervals", judgement.intervals)
    ranked = write_table(tables, "networks", annex.rank_networks(networks, verdicts))
    sites = study.domains()
    write_table(tables, "blocked_sites", annex.blocked_sites(verdicts, ranked, sites))
    write_table(tables, "set_aside", annex.set_aside(verdicts, ranked, sites))
    return judgement
