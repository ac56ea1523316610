"""Failures of one kind of probe that other probes do not have: an antivirus, a filter, a defect."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import ceil, log, prod
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import read_type
from analysis.verdicts.pairs import ANY, KIND_ORDER, MARK, Country, Pair, Series, Session, Stretch
from analysis.verdicts.together import CHANCE, SHARE, fail_alone

#: A platform makes most tests of a network if the other platforms make less than this share.
_OTHERS = 0.25
#: Sessions from which a platform counts as used in the country.
_USED = 4
#: A site that fails in a larger share of sessions does not tell a session from another.
_MOST_SPLIT = 0.9
#: So many platforms are those of several households.
_HOUSEHOLDS = 3
_VERSION = re.compile(r"[-. 0-9]+$")
_RELEASE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")
#: Suffix of a program that runs unattended.
_UNATTENDED = "-unattended"


def find_kinds_of_probe(
    connection: duckdb.DuckDBPyConnection, country: Country, blocks: set[Stretch]
) -> set[Stretch]:
    """Find the blocks that one platform, or one version and older ones, explain.

    Not a mark, which only a network makes, whatever probe sees it. All blocks of one kind of
    failure on one network are tested together; and again with the other
    stretches that mostly fail there, since a household's filter blocks many sites, of which few are
    tested often. Sessions of a site count from its first failure to its last, if they failed or
    reached it.

    Args:
        connection: finds the names of software.
        country: all pairs.
        blocks: the stretches to test.
    """
    manners = set()
    for tested in (blocks, _add_failing(country, blocks)):
        kinds = _count_kinds(_read_probes(connection, country, tested))
        manners |= {kind.manner for kind in kinds if _explains(kind)}
    named = _name_manners(country, blocks)
    return {stretch for manner, stretch in named if manner in manners and stretch.kind != MARK}


def _add_failing(country: Country, blocks: set[Stretch]) -> set[Stretch]:
    """Return the blocks, and the stretches of one kind that mostly fail."""
    failing = {
        stretch
        for stretch in country.stretches()
        if stretch.kind != ANY
        and len(stretch.failures) >= 2
        and 2 * len(stretch.failures) > len(stretch.sessions)
    }
    return failing | blocks


def _name_manners(country: Country, stretches: set[Stretch]) -> Iterator[tuple[int, Stretch]]:
    """Iterate over stretches, each with the number of its network and kind: its manner."""
    for pair in country.pairs:
        for series in pair.series:
            manner = pair.network * len(KIND_ORDER) + KIND_ORDER[series.kind]
            yield from ((manner, stretch) for stretch in series.stretches if stretch in stretches)


def find_split_sessions(
    connection: duckdb.DuckDBPyConnection, country: Country, blocks: set[Stretch]
) -> set[Stretch]:
    """Find the blocks of which some sessions fail on all sites, and others on none.

    All sites of one kind of failure on one network are asked together, as in
    ``find_kinds_of_probe``. If each test failed by itself, at the share of its site, many sessions
    would meet both: so few of them would be an accident. Sites that nearly always fail, or hardly
    ever, tell nothing. Where a run holds one measurement, nothing can be asked. Where three
    platforms fail so, a part of the network does, and not a household.

    Args:
        connection: finds the names of software.
        country: all pairs.
        blocks: the stretches to explain.
    """
    platforms = [_platform_of(name) for name in read_type(connection, "software_name")]
    tests: dict[int, dict[int, list[tuple[bool, float]]]] = defaultdict(lambda: defaultdict(list))
    failing: defaultdict[int, set[tuple[str, int]]] = defaultdict(set)
    split = {}
    for manner, stretch in _name_manners(country, _add_failing(country, blocks)):
        if stretch.kind == MARK or stretch.series.schedule:
            continue  # only a network makes the one; the other clusters by time
        reached = [session for session in stretch.sessions if session.result == "ok"]
        share = len(stretch.failures) / (len(stretch.failures) + len(reached))
        if share > _MOST_SPLIT:
            continue
        split[stretch] = manner
        for fails, sessions in ((True, stretch.failures), (False, reached)):
            for session in sessions:
                run = int(country.columns["session"][session.row])
                tests[manner][run].append((fails, share))
                if fails:
                    software = country.columns["software"][session.row]
                    failing[manner].add((platforms[software], run))
    explained = {
        manner
        for manner, runs in tests.items()
        if _count_used(failing[manner]) < _HOUSEHOLDS and _is_split(runs.values())
    }
    return {
        stretch for stretch, manner in split.items() if stretch in blocks and manner in explained
    }


def _count_used(runs: Iterable[tuple[str, int]]) -> int:
    """Count the platforms with two runs or more."""
    return sum(count >= 2 for count in Counter(platform for platform, _ in runs).values())


def _is_split(runs: Iterable[Sequence[tuple[bool, float]]]) -> bool:
    """Return whether hardly any session has both failures and successes, for all that it tested."""
    mixed, expected = 0, 0.0
    for tests in runs:
        if len(tests) > 1:
            mixed += len({fails for fails, _ in tests}) > 1
            shares = [share for _, share in tests]
            expected += 1 - prod(shares) - prod(1 - share for share in shares)
    # the bound of Chernoff for so few of independent events
    bound = mixed - expected + (mixed * log(expected / mixed) if mixed else 0.0)
    return mixed <= (1 - SHARE) * 2 * expected and bound <= -log(CHANCE)


def find_households(
    connection: duckdb.DuckDBPyConnection,
    country: Country,
    blocks: Sequence[tuple[Pair, Stretch]],
    least_operators: int,
) -> set[Stretch]:
    """Find the blocks that one household's filter could be.

    One platform saw nearly all failures of this kind on the network, and made most tests. Not if
    another operator has the block where several platforms test, or so many operators have it that
    it is no filter that some households happen to have.

    Args:
        connection: finds the names of software.
        country: all pairs.
        blocks: those that nothing else explains.
        least_operators: so many.
    """
    heavy = _find_heavy_probes(connection, country, {stretch for _, stretch in blocks})
    every: defaultdict[int, set[int]] = defaultdict(set)
    plain: defaultdict[int, set[int]] = defaultdict(set)
    for pair, stretch in blocks:
        every[pair.domain].add(pair.operator)
        if stretch not in heavy:
            plain[pair.domain].add(pair.operator)
    return {
        stretch
        for pair, stretch in blocks
        if stretch in heavy
        and stretch.kind != MARK
        and not plain[pair.domain] - {pair.operator}
        and len(every[pair.domain]) < least_operators
    }


def _find_heavy_probes(
    connection: duckdb.DuckDBPyConnection,
    country: Country,
    blocks: set[Stretch],
) -> set[Stretch]:
    """Find blocks of which nearly all failures come from one platform that makes most tests.

    The failures of a kind on a network are counted together, at all its sites. If everybody in the
    country uses one platform, that says nothing.
    """
    if _count_platforms(connection, country) < 2:
        return set()
    heavy = set()
    for manner, sessions in _read_probes(connection, country, blocks).groupby("manner"):
        failing = sessions.loc[sessions["is_hit"], "platform"].value_counts()
        other_count = (sessions["platform"] != failing.index[0]).sum()
        if failing.iloc[0] >= SHARE * failing.sum() and other_count < _OTHERS * len(sessions):
            heavy.add(manner)
    return {stretch for manner, stretch in _name_manners(country, blocks) if manner in heavy}


def _count_platforms(connection: duckdb.DuckDBPyConnection, country: Country) -> int:
    """Count the platforms of the country that are used; anybody can invent one for a session."""
    platforms = np.array([_platform_of(name) for name in read_type(connection, "software_name")])
    columns = country.columns
    used = pd.Series(columns["session"]).groupby(platforms[columns["software"]]).nunique()
    return int((used >= _USED).sum())


def _read_probes(
    connection: duckdb.DuckDBPyConnection, country: Country, chosen: set[Stretch]
) -> pd.DataFrame:
    """Return the sessions that failed in stretches or reached the site, once per ``manner``.

    Columns: ``is_hit, program, platform, release``.
    """
    spans: dict[Series, tuple[int, list[Stretch]]] = {}
    for manner, stretch in _name_manners(country, chosen):
        spans.setdefault(stretch.series, (manner, []))[1].append(stretch)
    rows = [
        (manner, fails, session.row)
        for series, (manner, stretches) in spans.items()
        for session, fails in _cut_out(series, stretches)
        if fails or session.result == "ok"
    ]
    sessions = pd.DataFrame(rows, columns=["manner", "is_hit", "row"])
    sessions = sessions.astype({"manner": "int64", "is_hit": "bool", "row": "int64"})
    row = sessions.pop("row").to_numpy()
    for name in ("session", "software"):
        sessions[name] = country.columns[name][row]
    once = sessions.groupby(["manner", "session"], as_index=False).agg(
        {"is_hit": "max", "software": "first"}
    )
    names = read_type(connection, "software_name")
    software = pd.DataFrame(
        {
            "program": map(_program_of, names),
            "platform": map(_platform_of, names),
            "release": pd.Series(map(_release_of, names), dtype=object).rank(method="dense"),
        }
    )
    joined: pd.DataFrame = once.join(software, on="software")
    return joined


def _cut_out(series: Series, stretches: Sequence[Stretch]) -> Iterator[tuple[Session, bool]]:
    """Iterate over the sessions from the first failure of some stretches to the last one."""
    first = min(stretch.first for stretch in stretches)
    last = max(stretch.last for stretch in stretches)
    inside = slice(first, last + 1)
    return zip(series.sessions[inside], series.fails[inside], strict=True)


def _program_of(software: str) -> str:
    """Return the name of a program without its version."""
    return _VERSION.sub("", software)


def _platform_of(software: str) -> str:
    """Return the program, whether a person or a schedule starts it."""
    return _program_of(software).removesuffix(_UNATTENDED)


def _release_of(software: str) -> tuple[tuple[int, ...], str]:
    """Return the version of a program, for comparison.

    Platforms with the same version share the engine and its faults. A program without a version is
    older than all others.
    """
    match = _RELEASE.search(software)
    return (tuple(map(int, match[0].split("."))), "") if match else ((), software)


def _count_kinds(sessions: pd.DataFrame) -> list[Any]:
    """Return the kinds of probe that fail: a program, a platform, a version, or all up to a
    version.

    Each has ``own`` failures in ``own_total`` sessions, of ``hits`` in ``total`` of its ``manner``.
    """
    counts = {"own": ("is_hit", "sum"), "own_total": ("is_hit", "size")}
    parts = [
        sessions.groupby(["manner", name]).agg(**counts)
        for name in ("program", "platform", "release")
    ]
    parts.append(parts[-1].groupby("manner").cumsum()[parts[-1]["own"] > 0])
    by_manner = sessions.groupby("manner")["is_hit"].agg(hits="sum", total="size")
    kinds = pd.concat([part.droplevel(1) for part in parts]).join(by_manner)
    return list(kinds[kinds["own"] > 0].reset_index().itertuples())


def _explains(kind: Any, forged: int = 0) -> bool:
    """Return whether a kind of probe mostly fails, and alone, with so many forged sessions."""
    counts = (int(kind.own), int(kind.own_total), int(kind.hits), int(kind.total))
    return 2 * kind.own + forged > kind.own_total and fail_alone(*counts, forged=forged)


def count_to_explain(connection: duckdb.DuckDBPyConnection, country: Country, most: int) -> None:
    """Fill in the number of forged sessions that make a listed stretch the failure of one kind.

    ``to_probe`` is one more than ``most`` if more are needed, and not filled in of a mark.
    """
    listed = {stretch for stretch in country.stretches() if stretch.is_listed}
    fewest: defaultdict[int, int] = defaultdict(lambda: most + 1)
    sessions = _read_probes(connection, country, _add_failing(country, listed))
    for kind in _count_kinds(sessions):
        while fewest[kind.manner] > 1 and _explains(kind, fewest[kind.manner] - 1):
            fewest[kind.manner] -= 1
    # where everybody uses one platform, others must be made up first
    least = 1 if _count_platforms(connection, country) >= 2 else _USED
    households = {
        manner: max(_count_to_household(tests), least)
        for manner, tests in sessions.groupby("manner")
    }
    for manner, stretch in _name_manners(country, listed):
        if stretch.kind != MARK:
            stretch.to_probe = min(fewest[manner], households[manner])


def _count_to_household(tests: pd.DataFrame) -> int:
    """Return how many forged failures of one platform make them all one household's, at least."""
    hits = tests.loc[tests["is_hit"], "platform"].value_counts()
    others = int((tests["platform"] != hits.index[0]).sum())
    to_share = ceil((SHARE * hits.sum() - hits.iloc[0]) / (1 - SHARE))
    return max(int(to_share), ceil(others / _OTHERS - len(tests)))
