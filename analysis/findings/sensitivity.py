"""How the list moves with each number of the method, one at a time.

A threshold acts on one stage and on what follows from it, so only that much is computed again,
from the observations at hand: the archive is never read. Where a stage comes out as it did
before, so does everything after it, and the earlier answer is given again.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import duckdb
import pandas as pd

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.features import add_features
from analysis.outcomes.macros import single_threaded
from analysis.outcomes.outcomes import apply_rules
from analysis.outcomes.profiles import add_profiles
from analysis.outcomes.rules import RULES, Rule
from analysis.outcomes.thresholds import DECLARATIONS, STAGES, Stage, Thresholds
from analysis.verdicts.expectation import Expectation, learn_expectation
from analysis.verdicts.sessions import add_sessions
from analysis.verdicts.verdicts import list_pairs

#: What each threshold is tried at; the value in use is added. One that moves no state is left out.
GRID: Mapping[str, tuple[float, ...]] = {
    name: declared.tried for name, declared in DECLARATIONS.items() if declared.tried
}

#: The lowest and the highest of them.
ENDS: Mapping[str, tuple[float, ...]] = {
    name: (min(values), max(values)) for name, values in GRID.items()
}

#: Stage → the checksum of all that the next one reads of its result.
_CHECKSUMS = {
    "features": "SELECT bit_xor(hash(f)) FROM features f",
    "profiles": """SELECT bit_xor(hash(object_key, line_number, is_sinkhole, is_substitution,
      is_persistent, is_lone, is_public_answer, has_dns_fingerprint, is_local_filter,
      is_blockpage, is_sent_elsewhere, is_replaced)) FROM profiled""",
    "rules": """SELECT bit_xor(hash(object_key, line_number, domain, probe_asn, resolver_asn,
      session, day, class, evidence, rule_id, mechanism, is_artefact, is_about_target,
      tls_rule))
      FROM outcomes""",
}

#: Judges that work side by side; each holds the observations' features once more.
_JUDGES = 2

#: Listed sites, each with an access network.
Pairs = frozenset[tuple[str, int]]
#: What decides a stage's result.
_Key = tuple[object, ...]


@dataclass
class _Judge:
    """Judges the same observations by other numbers, and no stage of it twice.

    ``results`` caches what came of each stage and its key: the sites listed, or a checksum.
    ``tables`` says by which key the connection's tables of a stage were made, ``profiled_with`` by
    which thresholds those of ``profiles``; ``expected`` belongs to those of ``sessions``.
    """

    connection: duckdb.DuckDBPyConnection
    domestic_asns: frozenset[int]
    operators: Mapping[int, str]
    fingerprints: Fingerprints
    rules: tuple[Rule, ...]
    results: dict[_Key, int | Pairs] = field(default_factory=dict)
    tables: dict[str, _Key] = field(default_factory=dict)
    profiled_with: Thresholds | None = None
    expected: Expectation | None = None

    def list_pairs(self, thresholds: Thresholds) -> Pairs:
        """The pairs of site and access network that are listed for the whole period."""
        key = self._key("verdicts", thresholds)
        if key not in self.results:
            self._make_tables("sessions", thresholds)
            self.results[key] = self._judge(thresholds)
        pairs = self.results[key]
        assert isinstance(pairs, frozenset)
        return pairs

    def _make_tables(self, stage: Stage, thresholds: Thresholds) -> None:
        """Make the connection hold a stage's tables as the thresholds make them."""
        number = STAGES.index(stage)
        key = self._key(stage, thresholds)
        if self.tables.get(stage) == key:
            return
        if number:
            self._make_tables(STAGES[number - 1], thresholds)
        if stage == "features":
            add_features(self.connection, thresholds)
        elif stage == "profiles":
            before = self.profiled_with if stage in self.tables else None
            add_profiles(self.connection, thresholds, self.fingerprints, before=before)
            self.profiled_with = thresholds
        elif stage == "sessions":
            add_sessions(self.connection, self.domestic_asns, self.operators, thresholds)
            self.expected = learn_expectation(self.connection, thresholds)
        else:
            apply_rules(self.connection, thresholds, self.rules)
        self.tables = {name: self.tables[name] for name in STAGES[:number] if name in self.tables}
        self.tables[stage] = key

    def _key(self, stage: Stage, thresholds: Thresholds) -> _Key:
        """What decides a stage's result: its own numbers, and what the stage before it gave."""
        numbers = tuple(
            (name, value)
            for name, value in vars(thresholds).items()
            if stage in DECLARATIONS[name].stages
        )
        number = STAGES.index(stage)
        return (stage, numbers, self._checksum(STAGES[number - 1], thresholds) if number else 0)

    def _checksum(self, stage: Stage, thresholds: Thresholds) -> object:
        key = self._key(stage, thresholds)
        if stage not in _CHECKSUMS:
            return key
        if key not in self.results:
            self._make_tables(stage, thresholds)
            ((checksum,),) = self.connection.execute(_CHECKSUMS[stage]).fetchall()
            self.results[key] = checksum
        return self.results[key]

    def _judge(self, thresholds: Thresholds) -> Pairs:
        assert self.expected
        listed = list_pairs(self.connection, self.expected, thresholds)
        return frozenset((site, asn) for site, asn in listed if asn in self.domestic_asns)


def sweep(
    connection: duckdb.DuckDBPyConnection,
    networks: pd.DataFrame,
    fingerprints: Fingerprints,
    thresholds: Thresholds,
    grid: Mapping[str, Iterable[float]] = GRID,
    rules: tuple[Rule, ...] = RULES,
) -> pd.DataFrame:
    """List the sites again with each threshold at each value, the others as they are.

    Args:
        connection: holds the table ``observations``; what else it holds stays as it is.
        networks: ``probe_asn`` (number), ``operator``, ``is_domestic``.
        fingerprints: OONI's blocking fingerprints.
        thresholds: the numbers in use.
        grid: threshold → values; the value in use is added.
        rules: the method's rules, in order.

    Returns:
        One row per threshold and value, in the order of the grid and by value: ``threshold,
        value, is_used`` (the value in use), ``blocked_domain_count`` and ``blocked_pair_count``
        (listed sites, and pairs of site and access network), ``gained_count, lost_count`` and
        ``gained, lost`` (sites against those of the values in use, joined by ``;``).
    """
    domestic = networks.loc[networks["is_domestic"].astype(bool), "probe_asn"]
    operators = dict(zip(networks["probe_asn"], networks["operator"], strict=True))
    judge = _Judge(
        connection.cursor(), frozenset(map(int, domestic)), operators, fingerprints, rules
    )
    standing = judge.list_pairs(thresholds)
    values = {name: sorted({*grid[name], getattr(thresholds, name)}) for name in grid}
    # Those that act late come first: the stages before them are then still at hand.
    waiting = deque(
        sorted(values, key=lambda name: -min(map(STAGES.index, DECLARATIONS[name].stages)))
    )
    pairs: dict[tuple[str, float], Pairs] = {}
    # One judgement is too small a task for several threads; several judges share the thresholds.
    with single_threaded(connection), ThreadPoolExecutor(_JUDGES) as pool:
        judges = [replace(judge, connection=connection.cursor(), tables={}) for _ in range(_JUDGES)]
        for done in [pool.submit(_work, one, thresholds, waiting, values) for one in judges]:
            pairs.update(done.result())
        for one in judges:
            one.connection.close()
    judge.connection.close()
    return pd.DataFrame(
        [
            _row(name, value, value == getattr(thresholds, name), pairs[name, value], standing)
            for name in values
            for value in values[name]
        ]
    )


def _work(
    judge: _Judge,
    thresholds: Thresholds,
    waiting: deque[str],
    values: Mapping[str, Sequence[float]],
) -> dict[tuple[str, float], Pairs]:
    """Take thresholds from the queue until it is empty."""
    pairs: dict[tuple[str, float], Pairs] = {}
    while True:
        try:
            name = waiting.popleft()
        except IndexError:
            return pairs
        for value in values[name]:
            pairs[name, value] = judge.list_pairs(thresholds.changed_by({name: value}))


def _row(
    name: str, value: float, is_used: bool, pairs: Pairs, standing: Pairs
) -> dict[str, object]:
    sites, before = {site for site, _ in pairs}, {site for site, _ in standing}
    gained, lost = sorted(sites - before), sorted(before - sites)
    return {
        "threshold": name,
        "value": float(value),
        "is_used": is_used,
        "blocked_domain_count": len(sites),
        "blocked_pair_count": len(pairs),
        "gained_count": len(gained),
        "lost_count": len(lost),
        "gained": ";".join(gained),
        "lost": ";".join(lost),
    }
