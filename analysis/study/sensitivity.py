"""How the list moves with each number of the method, one at a time.

A threshold acts on some stages and on what follows from them. The tables of the numbers in use are
opened from where they are kept; of the outcomes only those are read again that the other number
moves (``outcomes.moved``), and where none is, nothing that follows is asked again either.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial

import duckdb
import pandas as pd

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.frames import keep_frames, read_frame
from analysis.outcomes.moved import Base, put_in_place, read_again
from analysis.outcomes.rules import RULES, Rule
from analysis.outcomes.thresholds import DECLARATIONS, STAGES, Stage, Thresholds
from analysis.store.connections import (
    BESIDE_ARRAYS,
    FOR_READING,
    holding_less,
    limit_threads,
)
from analysis.store.kept_tables import KeptTables, drop_made, read_made
from analysis.study.stages import TABLES, Method, describe_source, make_stages
from analysis.temporary_folders import TemporaryFolder
from analysis.verdicts.blocks import WEIGHED_BY, Evidence
from analysis.verdicts.columns import SessionColumns, read_sessions
from analysis.verdicts.expectation import Learnt, learn_expectation, see_sessions
from analysis.verdicts.sessions import hear_sessions, move_sessions
from analysis.verdicts.verdicts import list_pairs, weigh_kinds

#: What each threshold is tried at; the value in use is added. One that moves no state is left out.
GRID: Mapping[str, tuple[float, ...]] = {
    name: declared.tried for name, declared in DECLARATIONS.items() if declared.tried
}

#: The lowest and the highest of them.
ENDS: Mapping[str, tuple[float, ...]] = {
    name: (min(values), max(values)) for name, values in GRID.items()
}

#: A judgement is too small a task for more threads.
_THREADS = 2

#: Stage → the numbers that act on it.
_NUMBERS: Mapping[Stage, tuple[str, ...]] = {
    stage: tuple(name for name, one in DECLARATIONS.items() if stage in one.stages)
    for stage in STAGES
}

# What a judgement leaves in its connection besides tables; other views say how things are read.
_MOVED_VIEWS = {("VIEW", name) for name in ("features", "outcomes", "seen", "sessions")}

#: Listed sites, each with an access network.
Pairs = frozenset[tuple[str, int]]
#: What decides a list: a checksum of the outcomes, and the numbers that act on what follows.
_Key = tuple[object, ...]


@dataclass
class _Judge:
    """Judges the same observations by other numbers.

    Attributes:
        connection: finds the tables of every stage as the numbers in use make them; holds those
            that other numbers move, until the next judgement.
        method: the numbers in use, and what else decides.
        base: where the tables of the stages are.
        sessions: all of them, by the numbers in use.
        learnt, evidence: of the numbers in use.
        lists: the sites listed, by what decides it.
    """

    connection: duckdb.DuckDBPyConnection
    method: Method
    base: Base
    sessions: SessionColumns
    learnt: Learnt
    evidence: Evidence
    lists: dict[_Key, Pairs] = field(default_factory=dict)

    def list_pairs(self, thresholds: Thresholds) -> Pairs:
        """The pairs of site and access network that are listed for the whole period."""
        outcomes = _read_again(self.connection, self, thresholds)
        sessions = (outcomes, *self._numbers("sessions", thresholds))
        key = (sessions, *self._numbers("verdicts", thresholds))
        if key not in self.lists:
            listed = _list_pairs(self.connection, self, sessions, thresholds)
            domestic = self.method.domestic_asns
            self.lists[key] = frozenset(pair for pair in listed if pair[1] in domestic)
        return self.lists[key]

    def forget(self) -> None:
        """Let the connection hold nothing of an earlier judgement."""
        made = read_made(self.connection)
        drop_made(self.connection, [o for o in made if o[0] == "TABLE" or o in _MOVED_VIEWS])

    def learn(self, sessions: _Key, thresholds: Thresholds) -> Learnt:
        """What the sessions are weighed against."""
        is_moved = sessions[0] != 0
        if is_moved:
            move_sessions(self.connection, thresholds, self.base.sessions)
            put_in_place(self.connection, self.base)
        elif self._is_moved("sessions", thresholds):
            hear_sessions(self.connection, thresholds)
        else:
            return self.learnt
        # What has been moved is needed no longer once it is seen.
        seen = see_sessions(self.sessions.move(self.connection, is_again=is_moved), thresholds)
        return learn_expectation(seen, self.learnt)

    def weigh(self, learnt: Learnt, thresholds: Thresholds) -> Evidence:
        in_use = vars(self.method.thresholds)
        is_as_in_use = all(vars(thresholds)[name] == in_use[name] for name in WEIGHED_BY)
        is_known = learnt is self.learnt and is_as_in_use
        return self.evidence if is_known else weigh_kinds(learnt.expected, thresholds)

    def _numbers(self, stage: Stage, thresholds: Thresholds) -> tuple[object, ...]:
        return tuple(vars(thresholds)[name] for name in _NUMBERS[stage])

    def _is_moved(self, stage: Stage, thresholds: Thresholds) -> bool:
        in_use = self.method.thresholds
        return self._numbers(stage, thresholds) != self._numbers(stage, in_use)


@holding_less(FOR_READING)
def _read_again(
    connection: duckdb.DuckDBPyConnection, judge: _Judge, thresholds: Thresholds
) -> int:
    """Read the measurements again that other numbers move; a checksum of what they say."""
    judge.forget()
    method = judge.method
    return read_again(connection, method.thresholds, thresholds, method.rules, judge.base)


@holding_less(BESIDE_ARRAYS)
def _list_pairs(
    connection: duckdb.DuckDBPyConnection, judge: _Judge, sessions: _Key, thresholds: Thresholds
) -> Pairs:
    """The pairs that are listed on any network, going by the outcomes at hand."""
    evidence = judge.weigh(judge.learn(sessions, thresholds), thresholds)
    return list_pairs(connection, evidence, thresholds)


def sweep(
    connection: duckdb.DuckDBPyConnection,
    networks: pd.DataFrame,
    fingerprints: Fingerprints,
    thresholds: Thresholds,
    grid: Mapping[str, Iterable[float]] = GRID,
    rules: tuple[Rule, ...] = RULES,
    kept: KeptTables | None = None,
) -> pd.DataFrame:
    """List the sites again with each threshold at each value, the others as they are.

    Args:
        connection: holds the table ``observations``; afterwards it may find the tables of the
            stages as the numbers of the method make them.
        networks: ``probe_asn`` (number), ``operator``, ``is_domestic``.
        fingerprints: OONI's blocking fingerprints.
        thresholds: the numbers of the method.
        grid: threshold → values; the number of the method is added.
        rules: the method's rules, in order.
        kept: where the tables of stages are kept, and the result; by default they go with the call.

    Returns:
        One row per threshold and value, in the order of the grid and by value: ``threshold,
        value, is_standing`` (the number of the method), ``blocked_domain_count`` and
        ``blocked_pair_count`` (listed sites, and pairs of site and access network),
        ``gained_count, lost_count`` and ``gained, lost`` (sites against those of the method, joined
        by ``;``).
    """
    method = Method.of(thresholds, rules, fingerprints, networks)
    values = {name: sorted({*grid[name], getattr(thresholds, name)}) for name in grid}
    with ExitStack() as stack:
        if kept is None:
            folder = stack.enter_context(TemporaryFolder("workbook-stages-"))
            kept = KeptTables("sweep", [folder])
        made_from = [method.describe("verdicts"), describe_source("sweep"), values]
        if not kept.find(connection, "sweep", made_from):
            standing, pairs = _judge_all(kept, connection, method, values)
            swept = pd.DataFrame(
                [
                    _row(name, value, value == vars(thresholds)[name], pairs[name, value], standing)
                    for name in values
                    for value in values[name]
                ]
            )
            write = partial(keep_frames, connection, "swept_frames", {"swept": swept})
            kept.provide(connection, "sweep", made_from, write)
        return read_frame(connection, "swept_frames", "swept")


def _judge_all(
    kept: KeptTables,
    connection: duckdb.DuckDBPyConnection,
    method: Method,
    values: Mapping[str, Sequence[float]],
) -> tuple[Pairs, dict[tuple[str, float], Pairs]]:
    """What is listed by the numbers in use, and by each threshold and value."""
    make_stages(kept, connection, method)
    base = Base(*(kept.catalog(stage, method.describe(stage)) for stage in TABLES))
    sessions, learnt, evidence = _judge_in_use(connection, method.thresholds)
    # What other numbers move goes with its own connection.
    with limit_threads(connection, _THREADS), closing(connection.cursor()) as cursor:
        make_stages(kept, cursor, method)
        judge = _Judge(cursor, method, base, sessions, learnt, evidence)
        standing = judge.list_pairs(method.thresholds)
        pairs = {
            (name, value): judge.list_pairs(method.thresholds.changed_by({name: value}))
            for name in values
            for value in values[name]
        }
    return standing, pairs


@holding_less(BESIDE_ARRAYS)
def _judge_in_use(
    connection: duckdb.DuckDBPyConnection, thresholds: Thresholds
) -> tuple[SessionColumns, Learnt, Evidence]:
    """All sessions by the numbers in use, what is learnt of them, and how it is weighed."""
    sessions = read_sessions(connection)
    learnt = learn_expectation(see_sessions(sessions, thresholds))
    return sessions, learnt, weigh_kinds(learnt.expected, thresholds)


def _row(
    name: str, value: float, is_standing: bool, pairs: Pairs, standing: Pairs
) -> dict[str, object]:
    sites, before = {site for site, _ in pairs}, {site for site, _ in standing}
    gained, lost = sorted(sites - before), sorted(before - sites)
    return {
        "threshold": name,
        "value": float(value),
        "is_standing": is_standing,
        "blocked_domain_count": len(sites),
        "blocked_pair_count": len(pairs),
        "gained_count": len(gained),
        "lost_count": len(lost),
        "gained": ";".join(gained),
        "lost": ";".join(lost),
    }
