"""The stages of a study's judgement, which are made once and then opened from disk.

Each stage's tables are kept by the digest of what they are made from (``store.kept_tables``): the
observations, the numbers and rules that act on it, its source code, and the stage before it. So a
changed number makes the stages again from the one on that it acts on, and a second notebook makes
none.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path

import duckdb
import pandas as pd

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.features import add_features, find_features
from analysis.outcomes.outcomes import apply_rules
from analysis.outcomes.profiles import add_profiles, find_profiles
from analysis.outcomes.rules import Rule
from analysis.outcomes.thresholds import DECLARATIONS, STAGES, Stage, Thresholds
from analysis.store.kept_tables import KeptTables
from analysis.verdicts.sessions import add_sessions, find_sessions

#: Stage, or what follows from them, → the files that say how it is made, besides those of the
#: stages before it.
SOURCES: Mapping[str, Sequence[str]] = {
    "features": (
        "hosts.py", "observations/schema.py", "store/connections.py", "outcomes/thresholds.py",
        "outcomes/macros.py", "outcomes/steps.py", "outcomes/frames.py",
        "outcomes/enumerations.py",
        "outcomes/controls.py", "outcomes/features.py",
    ),
    "profiles": (
        "outcomes/answers.py", "outcomes/block_pages.py", "outcomes/filters.py",
        "outcomes/profiles.py", "../data/reference/local_filters.csv",
    ),
    "rules": ("outcomes/outcomes.py", "outcomes/guards.py", "outcomes/rules.py"),
    "sessions": ("verdicts/sessions.py",),
    "verdicts": (
        "period.py", "vocabulary.py", "verdicts/columns.py", "verdicts/series.py",
        "verdicts/days.py", "verdicts/e_values.py", "verdicts/expectation.py", "verdicts/facts.py",
        "verdicts/hours.py", "verdicts/lessons.py", "verdicts/rates.py", "verdicts/schedules.py",
        "verdicts/site_schedules.py", "verdicts/stretches.py", "verdicts/blocks.py",
        "verdicts/cells.py", "verdicts/intervals.py", "verdicts/reasons.py",
        "verdicts/robustness.py", "verdicts/states.py", "verdicts/verdicts.py",
        "verdicts/versions.py", "verdicts/withholding.py", "verdicts/witnesses.py",
        "study/confirmation.py",
    ),
    "other_methods": ("report/other_methods.py", "report/ooni_v5.py"),
    "sweep": ("study/stages.py", "study/sensitivity.py"),
}  # fmt: skip
#: The stages that leave tables in a connection; the last one leaves a judgement.
TABLES = STAGES[:-1]
_LIBRARIES = ("duckdb", "publicsuffixlist")
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Method:
    """What decides, besides the observations, what they show.

    Attributes:
        thresholds: the method's numbers.
        rules: the method's rules, in order.
        fingerprints: OONI's blocking fingerprints.
        domestic_asns: the country's access networks.
        operators: who runs each network; one that is not there is its own operator.
    """

    thresholds: Thresholds
    rules: tuple[Rule, ...]
    fingerprints: Fingerprints
    domestic_asns: frozenset[int]
    operators: Mapping[int, str]

    @classmethod
    def of(
        cls,
        thresholds: Thresholds,
        rules: tuple[Rule, ...],
        fingerprints: Fingerprints,
        networks: pd.DataFrame,
    ) -> "Method":
        """The method for some ``networks``: ``probe_asn`` (number), ``operator, is_domestic``."""
        domestic = networks.loc[networks["is_domestic"].astype(bool), "probe_asn"]
        asns = map(int, networks["probe_asn"])
        operators = dict(zip(asns, networks["operator"], strict=True))
        return cls(thresholds, rules, fingerprints, frozenset(map(int, domestic)), operators)

    def describe(self, last: Stage) -> list[object]:
        """All that decides a stage's result, as JSON can say it."""
        return [
            [stage, describe_source(stage), self._numbers(stage), self._given(stage)]
            for stage in STAGES[: STAGES.index(last) + 1]
        ]

    def _numbers(self, stage: Stage) -> dict[str, float]:
        numbers = vars(self.thresholds).items()
        return {name: value for name, value in numbers if stage in DECLARATIONS[name].stages}

    def _given(self, stage: Stage) -> object:
        if stage == "features":
            return [version(library) for library in _LIBRARIES]
        if stage == "profiles":
            return self.fingerprints.digest
        if stage == "rules":
            return [astuple(rule) for rule in self.rules]
        return [sorted(self.domestic_asns), sorted(self.operators.items())]


def make_stages(
    kept: KeptTables | None, connection: duckdb.DuckDBPyConnection, method: Method
) -> None:
    """Let a connection find ``outcomes`` and ``sessions``, and all that they are made of.

    Args:
        kept: where the tables are kept; without it they are temporary.
        connection: holds ``observations``.
        method: what decides them.
    """
    for stage in TABLES:
        make_stage(kept, connection, method, stage)


def make_features(
    kept: KeptTables, connection: duckdb.DuckDBPyConnection, thresholds: Thresholds
) -> None:
    """Let a connection find ``features``, ``controlled`` and what else they are made of."""
    method = Method(thresholds, (), Fingerprints(), frozenset(), {})
    make_stage(kept, connection, method, "features")


def make_stage(
    kept: KeptTables | None, connection: duckdb.DuckDBPyConnection, method: Method, stage: Stage
) -> None:
    """Let a connection find the tables of one stage; it finds those of the stages before it."""

    def make(catalog: str) -> None:
        if stage == "features":
            add_features(connection, method.thresholds, catalog=catalog)
        elif stage == "profiles":
            add_profiles(connection, method.thresholds, method.fingerprints)
        elif stage == "rules":
            apply_rules(connection, method.thresholds, method.rules, catalog=catalog)
        else:
            add_sessions(
                connection, method.domestic_asns, method.operators, method.thresholds, catalog
            )

    if kept is None:
        make("")
        return
    is_made = kept.provide(connection, stage, method.describe(stage), make)
    if not is_made and stage in _FIND:
        _FIND[stage](connection)


#: The views that belong to the tables of a stage.
_FIND = {"features": find_features, "profiles": find_profiles, "sessions": find_sessions}


def describe_source(stage: str) -> list[str]:
    """The code that makes a stage: one digest, and two where it was edited since it was imported.

    What runs is what was imported; a file that is edited meanwhile must not vouch for it.
    """
    return sorted({_IMPORTED[stage], _digest_source(stage)})


def _digest_source(stage: str) -> str:
    """The digest of the code that makes a stage."""
    digest = hashlib.sha256()
    for name in SOURCES[stage]:
        digest.update((_ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


_IMPORTED = {stage: _digest_source(stage) for stage in SOURCES}
