"""Failures of one kind of probe that others do not have: an antivirus, a filter, a defect."""

import re
from collections import defaultdict
from collections.abc import Hashable
from math import exp, lgamma
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import read_type
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.series import FAILING
from analysis.verdicts.sessions import OK

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
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, blocks: pd.DataFrame
) -> set[int]:
    """Blocks of which one platform, or one version and older ones, explain what fails.

    Asked of all blocks of one kind of failure on one network together; and together with what else
    mostly fails there: a household's filter meets many sites, few of them often. Of each site the
    sessions from its first failure to its last count, in which others reached it or failed as well.

    Args:
        connection: finds the names of software.
        evidence: of all stretches.
        blocks: the stretches that are asked about.
    """
    found = set()
    for asked in (evidence.stretches.loc[blocks.index], _ask_with_others(evidence, blocks)):
        kinds = _count_kinds(_read_probes(connection, evidence, asked))
        found |= {one.manner for one in kinds if _explains(one)}
    return set(blocks.index[blocks["manner"].isin(found)])


def _ask_with_others(evidence: Evidence, blocks: pd.DataFrame) -> pd.DataFrame:
    """Blocks, and what else mostly fails."""
    stretches = evidence.stretches
    is_failing = (stretches["hits"] >= 2) & (stretches["hits"] > stretches["misses"])
    is_failing &= stretches["kind"] < FAILING
    return stretches[stretches.index.isin(blocks.index) | is_failing]


def find_heavy_probes(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, blocks: pd.DataFrame
) -> dict[Hashable, tuple[int, int]]:
    """Where all failures come from one platform that makes most tests: a ``manner`` of ``blocks``.

    With how many sessions failed in that way on the network, at the sites that fail so, and how
    many of others reached these meanwhile: less than a quarter of all. Where everybody in the
    country uses one platform it says nothing.
    """
    counts: dict[Hashable, tuple[int, int]] = {}
    if _count_platforms(connection, evidence) < 2:
        return counts
    for manner, sessions in _read_probes(connection, evidence, blocks).groupby("manner"):
        failing = sessions.loc[sessions["is_hit"], "platform"]
        others = int((sessions["platform"] != failing.iloc[0]).sum())
        if failing.nunique() == 1 and others < _OTHERS * len(sessions):
            counts[manner] = (len(failing), others)
    return counts


def _count_platforms(connection: duckdb.DuckDBPyConnection, evidence: Evidence) -> int:
    """Platforms of the country: anybody can make one up for a session."""
    platforms = np.array([_platform_of(name) for name in read_type(connection, "software_name")])
    sessions = evidence.series.sessions
    used = pd.Series(sessions["session"]).groupby(platforms[sessions["software"]]).nunique()
    return int((used >= _USED).sum())


def _read_probes(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, asked: pd.DataFrame
) -> pd.DataFrame:
    """The sessions that tell something of stretches, each once for a ``manner``: ``is_hit, program,
    platform, release``.
    """
    series = evidence.series
    spans = asked.groupby("series").agg({"first": "min", "last": "max", "manner": "first"})
    length = (spans["last"] - spans["first"] + 1).to_numpy()
    place = np.repeat(spans["first"].to_numpy() - np.cumsum(length) + length, length)
    place += np.arange(len(place))
    row = series.row[place]
    sessions = pd.DataFrame(
        {
            "manner": np.repeat(spans["manner"].to_numpy(), length),
            "is_hit": series.is_hit[place],
            "session": series.sessions["session"][row],
            "software": series.sessions["software"][row],
        }
    )[series.is_hit[place] | (series.sessions["class"][row] == OK)]
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


def count_to_explain(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, stretches: pd.DataFrame, most: int
) -> pd.Series:
    """How many forged sessions make one kind of probe fail alone, by number of the stretch.

    Of those that are listed; one more than ``most`` where more are needed.
    """
    listed = stretches[stretches["is_listed"]]
    fewest: defaultdict[int, int] = defaultdict(lambda: most + 1)
    for kind in _count_kinds(
        _read_probes(connection, evidence, _ask_with_others(evidence, listed))
    ):
        while fewest[kind.manner] > 1 and _explains(kind, fewest[kind.manner] - 1):
            fewest[kind.manner] -= 1
    return stretches["manner"].map(fewest).where(stretches["is_listed"])


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
