"""The stages of a study's judgement, which are made once and then opened from disk.

Each stage's tables are kept by the digest of what they are made from (``store.kept_tables``): the
observations, the numbers and rules that act on it, its source code, and the stage before it. So a
changed number makes the stages again from the one on that it acts on, and a second notebook makes
none.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import duckdb
import pandas as pd

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.features import Features, add_features
from analysis.outcomes.outcomes import Outcomes, apply_rules
from analysis.outcomes.profiles import Profiles, add_profiles
from analysis.outcomes.rules import Rule
from analysis.outcomes.thresholds import DECLARATIONS, STAGES, Stage, Thresholds
from analysis.store.kept_tables import KeptTables
from analysis.store.stage_tables import Tables, add_room
from analysis.verdicts.sessions import Operators, Sessions, add_sessions

#: Stage, or what follows from them, → the files that say how it is made, besides those of the
#: stages before it.
SOURCES: Mapping[str, Sequence[str]] = {
    "features": (
        "hosts.py", "observations/schema.py", "store/connections.py",
        "store/stage_tables.py", "outcomes/thresholds.py",
        "outcomes/macros.py", "outcomes/steps.py", "outcomes/frames.py",
        "outcomes/enumerations.py",
        "outcomes/controls.py", "outcomes/features.py",
    ),
    "profiles": (
        "outcomes/answers.py", "outcomes/block_pages.py", "outcomes/filters.py",
        "outcomes/profiles.py", "../data/reference/local_filters.csv",
    ),
    "rules": ("outcomes/outcomes.py", "outcomes/devices.py", "outcomes/rules.py"),
    "sessions": ("verdicts/sessions.py",),
    "verdicts": (
        "period.py", "vocabulary.py", "verdicts/columns.py", "verdicts/series.py",
        "verdicts/e_values.py", "verdicts/expectation.py",
        "verdicts/hours.py", "verdicts/onsets.py", "verdicts/probes.py",
        "verdicts/rates.py", "verdicts/rivals.py", "verdicts/site_hours.py",
        "verdicts/stretches.py", "verdicts/blocks.py",
        "verdicts/caveats.py", "verdicts/cells.py", "verdicts/intervals.py", "verdicts/reasons.py",
        "verdicts/robustness.py", "verdicts/states.py", "verdicts/verdicts.py",
        "verdicts/witnesses.py", "study/confirmation.py",
    ),
    "other_methods": ("report/other_methods.py",),
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
        operators: who runs each network.
    """

    thresholds: Thresholds
    rules: tuple[Rule, ...]
    fingerprints: Fingerprints
    operators: Operators

    @classmethod
    def of(
        cls,
        thresholds: Thresholds,
        rules: tuple[Rule, ...],
        fingerprints: Fingerprints,
        networks: pd.DataFrame,
    ) -> "Method":
        """The method for some ``networks``: ``probe_asn`` (number), ``operator, is_domestic``."""
        return cls(thresholds, rules, fingerprints, Operators.of(networks))

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
            domestic = sorted(self.operators.domestic_asns)
            return [[astuple(rule) for rule in self.rules], domestic]
        return sorted(self.operators.names.items())


@dataclass(frozen=True)
class Maker:
    """Makes the stages of a study, or finds those that were made earlier.

    Attributes:
        kept: where the tables are kept; without it they are made in memory.
        connection: holds ``observations`` in its own database.
        method: what decides the tables.
        in_memory: stages that are made in memory all the same, if they have to be made.
    """

    kept: KeptTables | None
    connection: duckdb.DuckDBPyConnection
    method: Method
    in_memory: Collection[Stage] = ()

    def make_sessions(self) -> Sessions:
        """``sessions``, and all that they are made of."""
        outcomes, method = self.make_outcomes(), self.method
        given = (self.connection, outcomes, method.operators, method.thresholds)
        return Sessions.beside(outcomes, self._place("sessions", partial(add_sessions, *given)))

    def make_outcomes(self) -> Outcomes:
        """``outcomes``, and all that they are made of."""
        profiles, method = self.make_profiles(), self.method
        given = (self.connection, profiles, method.thresholds, method.rules)
        make = partial(apply_rules, *given, speaking=method.operators.domestic_asns)
        return Outcomes.beside(profiles, self._place("rules", make))

    def make_profiles(self) -> Profiles:
        """The profiles of answers and pages, and the features."""
        features, method = self.make_features(), self.method
        given = (self.connection, features, method.thresholds, method.fingerprints)
        return Profiles.beside(features, self._place("profiles", partial(add_profiles, *given)))

    def make_features(self) -> Features:
        """``features``, and what else they are made of."""
        own = Tables.of(self.connection)
        given = (self.connection, own, self.method.thresholds)
        return Features.at(self._place("features", partial(add_features, *given)), own)

    def _place(self, stage: Stage, make: Callable[[str], object]) -> str:
        """The catalog with the tables of a stage."""
        if self.kept is None or stage in self.in_memory:
            place = add_room(self.connection, stage)
            make(place)
            return place
        return self.kept.provide(self.connection, stage, self.method.describe(stage), make)


def describe_source(stage: str) -> str:
    """The digest of the code that makes a stage, as it was imported."""
    return _IMPORTED[stage]


def _digest_source(stage: str) -> str:
    digest = hashlib.sha256()
    for name in SOURCES[stage]:
        digest.update((_ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


_IMPORTED: Final = {stage: _digest_source(stage) for stage in SOURCES}
