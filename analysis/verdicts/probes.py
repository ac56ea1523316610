"""Failures of one kind of probe that others do not have: an antivirus, a filter, a defect."""

import re
from collections.abc import Hashable, Iterator
from math import exp, lgamma

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
        by_manner = _read_probes(connection, evidence, asked).groupby("manner")
        found |= {manner for manner, told in by_manner if _fails_alone(told)}
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
    if len({_platform_of(name) for name in read_type(connection, "software_name")}) < 2:
        return counts
    for manner, sessions in _read_probes(connection, evidence, blocks).groupby("manner"):
        failing = sessions.loc[sessions["is_hit"], "platform"]
        others = int((sessions["platform"] != failing.iloc[0]).sum())
        if failing.nunique() == 1 and others < _OTHERS * len(sessions):
            counts[manner] = (len(failing), others)
    return counts


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
    sessions = pd.DataFrame({
        "manner": np.repeat(spans["manner"].to_numpy(), length), "is_hit": series.is_hit[place],
        "session": series.sessions["session"][row], "software": series.sessions["software"][row],
    })[series.is_hit[place] | (series.sessions["class"][row] == OK)]  # fmt: skip
    once = sessions.groupby(["manner", "session"], as_index=False).agg(
        {"is_hit": "max", "software": "first"}
    )
    names = read_type(connection, "software_name")
    software = pd.DataFrame({
        "program": map(_program_of, names), "platform": map(_platform_of, names),
        "release": pd.Series(map(_release_of, names), dtype=object).rank(method="dense"),
    })  # fmt: skip
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


def _fails_alone(sessions: pd.DataFrame) -> bool:
    """Whether one program, platform or version fails alone, or a version with the older ones."""
    is_hit = sessions["is_hit"].to_numpy()
    return any(_explains(is_hit, is_kind) for is_kind in _kinds_of(sessions))


def _kinds_of(sessions: pd.DataFrame) -> Iterator[NDArray[np.bool_]]:
    """Which sessions are of each kind of probe that fails."""
    is_hit = sessions["is_hit"].to_numpy()
    for name in ("program", "platform"):
        of = sessions[name].to_numpy()
        yield from (of == one for one in np.unique(of[is_hit]))
    release = sessions["release"].to_numpy()
    for one in np.unique(release[is_hit]):
        yield from (release == one, release <= one)


def _explains(is_hit: NDArray[np.bool_], is_kind: NDArray[np.bool_], forged: int = 0) -> bool:
    """Whether a kind of probe fails alone.

    Were so many sessions forged, of that kind that fail or of others that do not: what helps more.
    """
    hits, others = int(is_hit.sum()), int((~is_kind).sum()) + forged
    own, other_hits = int((is_hit & is_kind).sum()), int((is_hit & ~is_kind).sum())
    if own + forged < _SHARE * (hits + forged) or 2 * own + forged <= int(is_kind.sum()):
        return False
    return has_so_few(other_hits, others, hits, len(is_hit) + forged) * CHANCE <= 1


def count_to_explain(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, stretches: pd.DataFrame, most: int
) -> pd.Series:
    """How many forged sessions make one kind of probe fail alone, by number of the stretch.

    Of those that are listed; one more than ``most`` where more are needed.
    """
    listed = stretches[stretches["is_listed"]]
    by_session = _read_probes(connection, evidence, _ask_with_others(evidence, listed))
    counts = {}
    for manner, sessions in by_session.groupby("manner"):
        is_hit, fewest = sessions["is_hit"].to_numpy(), most + 1
        for is_kind in _kinds_of(sessions):
            while fewest > 1 and _explains(is_hit, is_kind, fewest - 1):
                fewest -= 1
        counts[manner] = fewest
    return stretches["manner"].map(counts).where(stretches["is_listed"])


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
