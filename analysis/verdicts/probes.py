"""Failures of one kind of probe that others do not have: an antivirus, a filter, a defect."""

import re
from collections.abc import Iterator
from math import comb

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.steps import read_type
from analysis.verdicts.blocks import Counted, Evidence
from analysis.verdicts.columns import OK
from analysis.verdicts.series import FAILING

#: Of the failing sessions at least this share is of the one kind of probe, since others fail by
#: accident now and then, ...
_SHARE = 0.9
#: ... and so few among the others are chance in less than one case in so many.
CHANCE = 1000
#: One probe is nearly a network where less than this share of the sessions is of others.
_OTHERS = 0.25
_VERSION = re.compile(r"[-. 0-9]+$")
#: Said of a probe that runs by itself.
_UNATTENDED = "-unattended"


def find_kinds_of_probe(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, counted: Counted, blocks: pd.Index
) -> set[int]:
    """Blocks of which one platform, or one version and older ones, explain what fails.

    Asked of all blocks of one kind of failure on one network together; and together with what else
    mostly fails there: a household's filter meets many sites, few of them often. Of each site the
    sessions from its first failure to its last count, in which others reached it or failed as well.

    Args:
        connection: finds the names of software.
        evidence, counted: of all stretches.
        blocks: the numbers of the stretches that are asked about.
    """
    stretches = counted.stretches
    found = set()
    for asked in (stretches.loc[blocks], _ask_with_others(stretches, blocks)):
        by_session = _read_probes(connection, evidence, asked)
        found |= {place for place, told in by_session.groupby("place") if _fails_alone(told)}
    places = _places_of(evidence, stretches.loc[blocks])
    return {number for number, place in zip(blocks, places.tolist(), strict=True) if place in found}


def _ask_with_others(stretches: pd.DataFrame, blocks: pd.Index) -> pd.DataFrame:
    """Blocks, and what else mostly fails."""
    is_failing = (stretches["hits"] >= 2) & (stretches["hits"] > stretches["misses"])
    is_failing &= stretches["kind"] < FAILING
    return stretches[stretches.index.isin(blocks) | is_failing]


def find_heavy_probes(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, blocks: pd.DataFrame
) -> dict[int, tuple[int, int]]:
    """Blocks whose failures all come from one platform that makes most tests, by their number.

    With how many sessions failed in that way on the network, at the sites that fail so, and how
    many of others reached these meanwhile: less than a quarter of all. Where everybody in the
    country uses one platform it says nothing.
    """
    counts = {}
    if len({_platform_of(name) for name in read_type(connection, "software_name")}) < 2:
        return {}
    for place, sessions in _read_probes(connection, evidence, blocks).groupby("place"):
        failing = sessions.loc[sessions["is_hit"], "platform"]
        others = int((sessions["platform"] != failing.iloc[0]).sum())
        if failing.nunique() == 1 and others < _OTHERS * len(sessions):
            counts[place] = (len(failing), others)
    places = _places_of(evidence, blocks).tolist()
    return {
        number: counts[place]
        for number, place in zip(blocks.index, places, strict=True) if place in counts
    }  # fmt: skip


def _read_probes(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, asked: pd.DataFrame
) -> pd.DataFrame:
    """The sessions that tell something of stretches, each once for a network and kind of failure:
    ``place`` (a number for these), ``is_hit, program, platform, release``.
    """
    series = evidence.series
    spans = asked.groupby("series").agg({"first": "min", "last": "max"})
    length = (spans["last"] - spans["first"] + 1).to_numpy()
    place = np.repeat(spans["first"].to_numpy() - np.cumsum(length) + length, length)
    place += np.arange(len(place))
    is_hit = series.is_hit[place]
    told = is_hit | (series.sessions["class"][series.row[place]] == OK)
    place, is_hit = place[told], is_hit[told]
    row = series.row[place]
    software = read_type(connection, "software_name")
    program, _ = pd.factorize(np.array([_program_of(name) for name in software], object))
    platform, _ = pd.factorize(np.array([_platform_of(name) for name in software], object))
    kind = np.repeat(series.kind[spans.index], length)[told]
    sessions = pd.DataFrame({
        "place": _place(series.look_up("network", row), kind),
        "session": series.sessions["session"][row], "is_hit": is_hit,
        "program": program[series.sessions["software"][row]],
        "platform": platform[series.sessions["software"][row]],
        "release": series.sessions["release"][row],
    })  # fmt: skip
    return sessions.groupby(["place", "session"], as_index=False).agg(
        {"is_hit": "max", "program": "first", "platform": "first", "release": "first"}
    )


def _program_of(software: str) -> str:
    """A program without its version."""
    return _VERSION.sub("", software)


def _platform_of(software: str) -> str:
    """The same, whoever starts it."""
    return _program_of(software).removesuffix(_UNATTENDED)


def _places_of(evidence: Evidence, stretches: pd.DataFrame) -> NDArray[np.int64]:
    network = evidence.series.cells["network"].to_numpy()[stretches["cell"]]
    return _place(network, stretches["kind"].to_numpy())


def _place(network: NDArray[np.int64], kind: NDArray[np.int8]) -> NDArray[np.int64]:
    place: NDArray[np.int64] = network.astype(np.int64) * (FAILING + 1) + kind
    return place


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
    by_session = _read_probes(connection, evidence, _ask_with_others(stretches, listed.index))
    counts = {}
    for place, sessions in by_session.groupby("place"):
        is_hit, fewest = sessions["is_hit"].to_numpy(), most + 1
        for is_kind in _kinds_of(sessions):
            while fewest > 1 and _explains(is_hit, is_kind, fewest - 1):
                fewest -= 1
        counts[place] = fewest
    fewest_of = [counts[place] for place in _places_of(evidence, listed).tolist()]
    return pd.Series(fewest_of, listed.index, dtype="int64").reindex(stretches.index)


def has_so_few(found: int, others: int, hits: int, total: int) -> float:
    """How likely no more than ``found`` of the hits are among the others by chance.

    Were any session as likely to be a hit as any other: the hypergeometric distribution. 1 where
    they are no fewer than expected, whose sum would be long.
    """
    if found * total >= others * hits:
        return 1.0
    ways = sum(
        comb(others, count) * comb(total - others, hits - count) for count in range(found + 1)
    )
    return ways / comb(total, hits)
