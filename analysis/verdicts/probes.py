"""Failures of one kind of probe that other probes do not have: an antivirus, a filter, a defect."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import exp, lgamma
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import read_type
from analysis.verdicts.pairs import ANY, KIND_ORDER, Country, Series, Session, Stretch

#: At least this share of the failing sessions is of the one kind of probe, since others fail by
#: accident now and then, ...
_SHARE = 0.9
#: ... and the probability of so few failures of other probes is below 1 in this number.
CHANCE = 1000
#: A platform makes most tests of a network if the other platforms make less than this share.
_OTHERS = 0.25
#: Sessions from which a platform counts as used in the country.
_USED = 4
_VERSION = re.compile(r"[-. 0-9]+$")
_RELEASE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")
#: Suffix of a program that runs unattended.
_UNATTENDED = "-unattended"


def find_kinds_of_probe(
    connection: duckdb.DuckDBPyConnection, country: Country, blocks: set[Stretch]
) -> set[Stretch]:
    """Find the blocks that one platform, or one version and older ones, explain.

    All blocks of one kind of failure on one network are tested together; and again with the other
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
    return {stretch for manner, stretch in _name_manners(country, blocks) if manner in manners}


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


def find_heavy_probes(
    connection: duckdb.DuckDBPyConnection, country: Country, listed: set[Stretch]
) -> dict[Stretch, tuple[int, int]]:
    """Find listed stretches whose failures all come from one platform that makes most tests.

    If everybody in the country uses one platform, that says nothing.

    Returns:
        For each stretch: the number of sessions that failed in this way on the network, at all
        sites with such failures, and the number of sessions of other platforms that reached these
        sites meanwhile, which are less than a quarter of all.
    """
    if _count_platforms(connection, country) < 2:
        return {}
    counts = {}
    for manner, sessions in _read_probes(connection, country, listed).groupby("manner"):
        failing = sessions.loc[sessions["is_hit"], "platform"]
        other_count = int((sessions["platform"] != failing.iloc[0]).sum())
        if failing.nunique() == 1 and other_count < _OTHERS * len(sessions):
            counts[manner] = (len(failing), other_count)
    manners = _name_manners(country, listed)
    return {stretch: counts[manner] for manner, stretch in manners if manner in counts}


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
    """Return whether a kind of probe fails alone.

    ``forged`` sessions are added where they help most: failures of that kind of probe, or open
    sessions of others.
    """
    own, hits = int(kind.own), int(kind.hits)
    if own + forged < _SHARE * (hits + forged) or 2 * own + forged <= kind.own_total:
        return False
    other_count = int(kind.total - kind.own_total) + forged
    chance = chance_of_few(hits - own, other_count, hits, int(kind.total) + forged)
    return chance * CHANCE <= 1


def count_to_explain(connection: duckdb.DuckDBPyConnection, country: Country, most: int) -> None:
    """Fill in the number of forged sessions that make a listed stretch the failure of one kind.

    ``to_probe`` is one more than ``most`` if more are needed.
    """
    listed = {stretch for stretch in country.stretches() if stretch.is_listed}
    fewest: defaultdict[int, int] = defaultdict(lambda: most + 1)
    sessions = _read_probes(connection, country, _add_failing(country, listed))
    for kind in _count_kinds(sessions):
        while fewest[kind.manner] > 1 and _explains(kind, fewest[kind.manner] - 1):
            fewest[kind.manner] -= 1
    for manner, stretch in _name_manners(country, listed):
        stretch.to_probe = fewest[manner]


def chance_of_few(most: int, size: int, hits: int, total: int) -> float:
    """Return the probability that a random part of the sessions has at most some number of hits.

    The distribution is hypergeometric: every session is equally likely to be a hit.

    Args:
        most: the number of hits in the part.
        size: the number of sessions in the part.
        hits: the number of hits in all sessions.
        total: the number of sessions.
    """
    outside, log_all = total - size, _log_ways(total, hits)
    return sum(
        exp(_log_ways(size, count) + _log_ways(outside, hits - count) - log_all)
        for count in range(max(0, hits - outside), most + 1)
    )


def _log_ways(n: int, k: int) -> float:
    """Return ln of the number of ways to choose ``k`` of ``n``; exact integers would be slow."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
