"""Failures of one kind of probe that other probes do not have: an antivirus, a filter, a defect.

All sites of one kind of failure on one network are asked together: they share a *manner*. What only
a network makes, a mark, is not asked, whatever probe sees it.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from math import ceil, floor, log
from typing import Any

import numpy as np
import pandas as pd

from analysis.verdicts.pairs import ANY, KIND_ORDER, MARK, Country, Series, Session, Stretch
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


def find_kinds_of_probe(country: Country, blocks: Collection[Stretch]) -> set[Stretch]:
    """Find the blocks that one platform, or one version and older ones, explain.

    The blocks are tested; and again with the other stretches that mostly fail there, since a
    household's filter blocks many sites, of which few are tested often. Sessions of a site count
    from its first failure to its last, if they failed or reached it.
    """
    manners = {
        kind.manner
        for tested in (blocks, _add_failing(country, blocks))
        for kind in _count_kinds(_read_runs(country, tested))
        if _explains(kind)
    }
    return {
        stretch for stretch in blocks if stretch.kind != MARK and _manner_of(stretch) in manners
    }


def _add_failing(country: Country, blocks: Collection[Stretch]) -> list[Stretch]:
    """Return the blocks, and the stretches of one kind that mostly fail."""
    chosen = set(blocks)
    return [
        stretch
        for stretch in country.stretches()
        if stretch in chosen
        or (
            stretch.kind != ANY
            and len(stretch.failures) >= 2
            and 2 * len(stretch.failures) > len(stretch.sessions)
        )
    ]


def _manner_of(stretch: Stretch) -> int:
    """Return a number for the network and the kind of failure."""
    return stretch.pair.network * len(KIND_ORDER) + KIND_ORDER[stretch.kind]


def find_split_sessions(country: Country, blocks: Collection[Stretch]) -> set[Stretch]:
    """Find the blocks of which some sessions fail on all sites, and others on none.

    If each test failed by itself, at the share of its site, many sessions would meet both: so few
    of them would be an accident. Sites that nearly always fail, or hardly ever, tell nothing, nor
    do hours of the week. Where a run holds one measurement, nothing can be asked. Where three
    platforms fail so, a part of the network does, and not a household.
    """
    rows, split = [], set()
    for stretch in _add_failing(country, blocks):
        tests = [session for session in stretch.sessions if session.result == "ok"]
        share = len(stretch.failures) / (len(stretch.failures) + len(tests))
        if stretch.kind != MARK and not stretch.series.schedule and share <= _MOST_SPLIT:
            split.add(stretch)
            manner = _manner_of(stretch)
            rows += [(manner, True, session.row, share) for session in stretch.failures]
            rows += [(manner, False, session.row, share) for session in tests]
    tests_of = _describe_tests(country, rows, ["manner", "is_hit", "row", "share"])
    failing = tests_of[tests_of["is_hit"]].groupby(["manner", "platform"])["session"].nunique()
    platform_counts = (failing >= 2).groupby("manner").sum()
    by_run = tests_of.assign(other=1 - tests_of["share"]).groupby(["manner", "session"])
    runs = by_run.agg(
        tests=("is_hit", "size"),
        hits=("is_hit", "sum"),
        all=("share", "prod"),
        none=("other", "prod"),
    )
    runs = runs[runs["tests"] > 1]
    runs["mixed"] = runs["hits"].between(1, runs["tests"] - 1)
    runs["expected"] = 1 - runs["all"] - runs["none"]
    found = runs.groupby(level="manner")[["mixed", "expected"]].sum()
    mixed, expected = found["mixed"], found["expected"]
    # the bound of Chernoff for so few of independent events
    bound = mixed - expected + mixed * np.log((expected / mixed).where(mixed > 0, 1.0))
    is_split = (mixed <= (1 - SHARE) * 2 * expected) & (bound <= -log(CHANCE))
    is_split &= ~(platform_counts.reindex(is_split.index) >= _HOUSEHOLDS)
    return {
        stretch
        for stretch in split.intersection(blocks)
        if is_split.get(_manner_of(stretch), default=False)
    }


def find_households(
    country: Country, blocks: Collection[Stretch], least_operators: int
) -> set[Stretch]:
    """Find the blocks that one household's filter could be.

    One platform saw nearly all failures of this kind on the network, and made most tests. Not if
    another operator has the block where several platforms test, or so many operators have it that
    it is no filter that some households happen to have; and not if everybody in the country uses
    one platform.

    Args:
        country: all pairs.
        blocks: those that nothing else explains.
        least_operators: so many.
    """
    if not _has_platforms(country):
        return set()
    runs = _read_runs(country, blocks).groupby("manner")
    heavy = {manner for manner, tests in runs if _count_to_household(tests) <= 0}
    every: defaultdict[int, set[int]] = defaultdict(set)
    plain: defaultdict[int, set[int]] = defaultdict(set)
    for stretch in blocks:
        every[stretch.pair.domain].add(stretch.pair.operator)
        if _manner_of(stretch) not in heavy:
            plain[stretch.pair.domain].add(stretch.pair.operator)
    return {
        stretch
        for stretch in blocks
        if _manner_of(stretch) in heavy
        and stretch.kind != MARK
        and not plain[stretch.pair.domain] - {stretch.pair.operator}
        and len(every[stretch.pair.domain]) < least_operators
    }


def _has_platforms(country: Country) -> bool:
    """Return whether several platforms are used; anybody can invent one for a session."""
    platforms = country.rows["software"].map(_describe_software(country)["platform"])
    used = country.rows["session"].groupby(platforms, observed=True).nunique()
    return int((used >= _USED).sum()) >= 2


def _read_runs(country: Country, stretches: Iterable[Stretch]) -> pd.DataFrame:
    """Return the runs that failed in stretches or reached the site, once per ``manner``.

    Columns: ``manner, session, is_hit, software, program, platform, release``.
    """
    of_series: defaultdict[tuple[int, Series], list[Stretch]] = defaultdict(list)
    for stretch in stretches:
        of_series[_manner_of(stretch), stretch.series].append(stretch)
    rows = [
        (manner, fails, session.row)
        for (manner, series), chosen in of_series.items()
        for session, fails in _cut_out(series, chosen)
        if fails or session.result == "ok"
    ]
    tests = _describe_tests(country, rows, ["manner", "is_hit", "row"])
    in_order = tests.sort_values(["manner", "session", "is_hit"], ascending=[True, True, False])
    return in_order.drop_duplicates(["manner", "session"])


def _cut_out(series: Series, stretches: Iterable[Stretch]) -> Iterator[tuple[Session, bool]]:
    """Iterate over the sessions from the first failure of some stretches to the last one."""
    first, last = zip(*((stretch.first, stretch.last) for stretch in stretches), strict=True)
    inside = slice(min(first), max(last) + 1)
    return zip(series.sessions[inside], series.fails[inside], strict=True)


def _describe_tests(
    country: Country, rows: Iterable[tuple[Any, ...]], columns: list[str]
) -> pd.DataFrame:
    """Return tests with their run (``session``) and ``program``, ``platform`` and ``release``."""
    tests = pd.DataFrame(rows, columns=columns).astype(
        {"manner": "int64", "is_hit": "bool", "row": "int64"}
    )
    return country.describe(tests).join(_describe_software(country), on="software")


def _describe_software(country: Country) -> pd.DataFrame:
    """Return of each software its ``program``, without the version; its ``platform``, whether a
    person or a schedule starts it; and the rank of its ``release``.
    """
    names = pd.Series(country.rows["software"].cat.categories)
    program = names.str.replace(_VERSION, "", regex=True)
    platform = program.str.removesuffix(_UNATTENDED)
    release = names.map(_release_of).rank(method="dense")
    table = pd.DataFrame({"program": program, "platform": platform, "release": release})
    return table.set_index(names)


def _release_of(software: str) -> tuple[tuple[int, ...], str]:
    """Return the version of a program, for comparison.

    Platforms with the same version share the engine and its faults. A program without a version is
    older than all others.
    """
    match = _RELEASE.search(software)
    return (tuple(map(int, match[0].split("."))), "") if match else ((), software)


def _count_kinds(runs: pd.DataFrame) -> list[Any]:
    """Return the kinds of probe that fail: a program, a platform, a version, or all up to a
    version.

    Each has ``own`` failures in ``own_total`` sessions, of ``hits`` in ``total`` of its ``manner``.
    """
    counts = {"own": ("is_hit", "sum"), "own_total": ("is_hit", "size")}
    parts = [
        runs.groupby(["manner", name]).agg(**counts) for name in ("program", "platform", "release")
    ]
    parts.append(parts[-1].groupby("manner").cumsum()[parts[-1]["own"] > 0])
    by_manner = runs.groupby("manner")["is_hit"].agg(hits="sum", total="size")
    kinds = pd.concat([part.droplevel(1) for part in parts]).join(by_manner)
    return list(kinds[kinds["own"] > 0].reset_index().itertuples())


def _explains(kind: Any, forged: int = 0) -> bool:
    """Return whether a kind of probe mostly fails, and alone, with so many forged sessions."""
    counts = (int(kind.own), int(kind.own_total), int(kind.hits), int(kind.total))
    return 2 * kind.own + forged > kind.own_total and fail_alone(*counts, forged=forged)


def count_to_explain(country: Country, most: int) -> None:
    """Fill in the number of forged sessions that make a listed stretch the failure of one kind.

    ``to_flip`` is at most that: one more than ``most`` if more are needed. A mark is not asked.
    """
    listed = {stretch for stretch in country.stretches() if stretch.is_listed}
    fewest: defaultdict[int, int] = defaultdict(lambda: most + 1)
    runs = _read_runs(country, _add_failing(country, listed))
    for kind in _count_kinds(runs):
        while fewest[kind.manner] > 1 and _explains(kind, fewest[kind.manner] - 1):
            fewest[kind.manner] -= 1
    # where everybody uses one platform, others must be made up first
    least = 1 if _has_platforms(country) else _USED
    households = {
        manner: max(_count_to_household(tests), least) for manner, tests in runs.groupby("manner")
    }
    for stretch in listed:
        if stretch.kind != MARK:
            manner = _manner_of(stretch)
            stretch.to_flip = min(stretch.to_flip, fewest[manner], households[manner])


def _count_to_household(tests: pd.DataFrame) -> int:
    """Return how many forged failures of one platform make them all one household's, at least.

    0 or less if that platform saw nearly all failures, and made most tests.
    """
    hits = tests.loc[tests["is_hit"], "platform"].value_counts()
    others = int((tests["platform"] != hits.index[0]).sum())
    to_share = ceil((SHARE * hits.sum() - hits.iloc[0]) / (1 - SHARE))
    return max(int(to_share), floor(others / _OTHERS - len(tests)) + 1)
