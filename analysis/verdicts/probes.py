"""Failures of one kind of probe that others do not have: an antivirus, a filter, a defect."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from math import exp, lgamma
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import read_type
from analysis.verdicts.pairs import ANY, KIND_ORDER, Country, Series, Session, Stretch

#: Of the failing sessions at least this share is of the one kind of probe, since others fail by
#: accident now and then, ...
_SHARE = 0.9
#: ... and so few among the others are chance in less than one case in so many.
CHANCE = 1000
#: One probe is nearly a network where less than this share of the sessions is of others.
_OTHERS = 0.25
#: A platform is one of the country's from so many sessions on.
_USED = 4
_VERSION = re.compile(r"[-. 0-9]+$")
_RELEASE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")
#: Said of a probe that runs by itself.
_UNATTENDED = "-unattended"


def find_kinds_of_probe(
    connection: duckdb.DuckDBPyConnection, country: Country, blocks: Collection[Stretch]
) -> set[Stretch]:
    """Find the blocks that one platform, or one version and older ones, explain.

    All blocks of one kind of failure on one network are asked about together; and once more with
    what else mostly fails there: a household's filter meets many sites, few of them often. Of each
    site the sessions from its first failure to its last count, if they failed or reached it.

    Args:
        connection: finds the names of software.
        country: all pairs.
        blocks: the stretches that are asked about.
    """
    found = set()
    for asked in (set(blocks), _add_failing(country, blocks)):
        kinds = _count_kinds(_read_probes(connection, country, asked))
        found |= {kind.manner for kind in kinds if _explains(kind)}
    return {stretch for manner, stretch in _name_manners(country, blocks) if manner in found}


def _add_failing(country: Country, blocks: Collection[Stretch]) -> set[Stretch]:
    """Return the blocks, and the stretches of one kind that mostly fail."""
    failing = {
        stretch
        for stretch in country.stretches()
        if stretch.kind != ANY
        and len(stretch.failures) >= 2
        and 2 * len(stretch.failures) > len(stretch.sessions)
    }
    return failing | set(blocks)


def _name_manners(
    country: Country, stretches: Collection[Stretch]
) -> Iterator[tuple[int, Stretch]]:
    """Iterate over stretches, each with the number of its network and kind: its manner."""
    for pair in country.pairs:
        for series in pair.series:
            manner = pair.network * len(KIND_ORDER) + KIND_ORDER[series.kind]
            yield from ((manner, stretch) for stretch in series.stretches if stretch in stretches)


def find_heavy_probes(
    connection: duckdb.DuckDBPyConnection, country: Country, listed: Collection[Stretch]
) -> dict[Stretch, tuple[int, int]]:
    """Find listed stretches whose failures all come from one platform that makes most tests.

    If everybody in the country uses one platform, that says nothing.

    Returns:
        Of each: how many sessions failed in this way on the network, at all sites that fail so, and
        how many sessions of other platforms reached these meanwhile, less than a quarter of all.
    """
    if _count_platforms(connection, country) < 2:
        return {}
    counts = {}
    for manner, sessions in _read_probes(connection, country, set(listed)).groupby("manner"):
        failing = sessions.loc[sessions["is_hit"], "platform"]
        others = int((sessions["platform"] != failing.iloc[0]).sum())
        if failing.nunique() == 1 and others < _OTHERS * len(sessions):
            counts[manner] = (len(failing), others)
    manners = _name_manners(country, listed)
    return {stretch: counts[manner] for manner, stretch in manners if manner in counts}


def _count_platforms(connection: duckdb.DuckDBPyConnection, country: Country) -> int:
    """Count the platforms of the country: anybody can make one up for a session."""
    platforms = np.array([_platform_of(name) for name in read_type(connection, "software_name")])
    columns = country.columns
    used = pd.Series(columns["session"]).groupby(platforms[columns["software"]]).nunique()
    return int((used >= _USED).sum())


def _read_probes(
    connection: duckdb.DuckDBPyConnection, country: Country, asked: set[Stretch]
) -> pd.DataFrame:
    """Return the sessions that say something of stretches, each once for a ``manner``.

    Columns: ``is_hit, program, platform, release``.
    """
    spans: dict[Series, tuple[int, list[Stretch]]] = {}
    for manner, stretch in _name_manners(country, asked):
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
    """A program without its version."""
    return _VERSION.sub("", software)


def _platform_of(software: str) -> str:
    """The same, whoever starts it."""
    return _program_of(software).removesuffix(_UNATTENDED)


def _release_of(software: str) -> tuple[tuple[int, ...], str]:
    """The version, for comparison.

    Platforms share the engine, and so its faults, by number. What has no number is oldest, by name.
    """
    found = _RELEASE.search(software)
    return (tuple(map(int, found[0].split("."))), "") if found else ((), software)


def _count_kinds(sessions: pd.DataFrame) -> list[Any]:
    """Kinds of probe that fail: a program, a platform, a version, or one with the older ones.

    Of each ``own`` failures of ``own_total`` sessions, ``hits`` of ``total`` in its ``manner``.
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
    """Whether a kind of probe fails alone.

    Were so many sessions forged, of that kind that fail or of others that do not: what helps more.
    """
    own, hits = int(kind.own), int(kind.hits)
    if own + forged < _SHARE * (hits + forged) or 2 * own + forged <= kind.own_total:
        return False
    others = int(kind.total - kind.own_total) + forged
    return has_so_few(hits - own, others, hits, int(kind.total) + forged) * CHANCE <= 1


def count_to_explain(connection: duckdb.DuckDBPyConnection, country: Country, most: int) -> None:
    """Fill in how many forged sessions make a listed stretch the failure of one kind of probe.

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


def has_so_few(found: int, others: int, hits: int, total: int) -> float:
    """How likely no more than ``found`` of the hits are among the others by chance.

    Were any session as likely to be a hit as any other: the hypergeometric distribution.
    """
    rest, ways = total - others, _log_ways(total, hits)
    return sum(
        exp(_log_ways(others, count) + _log_ways(rest, hits - count) - ways)
        for count in range(max(0, hits - rest), found + 1)
    )


def _log_ways(n: int, k: int) -> float:
    """Ln of the number of ways to choose ``k`` of ``n``; whole numbers of that size are slow."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
