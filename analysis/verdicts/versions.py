"""Failures of one version of the probe that others do not have: a defect is no block."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.verdicts.columns import OK
from analysis.verdicts.series import FAILING, Series
from analysis.verdicts.sessions import KINDS
from analysis.verdicts.states import wilson_bounds

Counts = NDArray[np.int64]


def follow_version(series: Series) -> NDArray[np.bool_]:
    """Which sessions are of a version that fails in its cell and kind where no other does.

    Compared are the sessions from the version's first failure to its last, and among them those
    next to its failures: while a site is blocked, every version fails, or tells nothing. What a
    resolver answers does not depend on the probe.
    """
    parts = (_follow_version(part) for _, part in series.parts())
    return np.concatenate([np.zeros(0, bool), *parts])


def _follow_version(series: Series) -> NDArray[np.bool_]:
    tells = np.flatnonzero(series.is_hit | (series.column("class") == OK))
    which = series.series[tells]
    release = series.column("release")[tells].astype(np.int64)
    is_hit = series.is_hit[tells]
    # A version in a series is one number; those that fail, and each session's place among them.
    release_count = int(release.max(initial=0)) + 1
    key = which * release_count + release
    hits = np.flatnonzero(is_hit)
    versions, version_of_hit, size = np.unique(key[hits], return_inverse=True, return_counts=True)
    if not len(versions):
        return np.zeros(len(series.row), bool)
    first, last = np.empty(len(versions), np.int64), np.empty(len(versions), np.int64)
    first[version_of_hit[::-1]], last[version_of_hit] = hits[::-1], hits
    version = np.searchsorted(versions, key).clip(max=len(versions) - 1)
    is_known = versions[version] == key
    place = np.arange(len(tells))
    is_within = is_known & (place >= first[version]) & (place <= last[version])
    own = np.bincount(version[is_within], minlength=len(versions))
    failed = np.concatenate([[0], np.cumsum(is_hit)])
    other_hits = failed[last + 1] - failed[first] - size
    is_alone = _fails_alone(size, own, other_hits, last - first + 1 - own)
    counted = _count_beside(versions, np.flatnonzero(is_alone), which, release, is_hit)
    _, high = wilson_bounds(counted["hits"], counted["sessions"])
    reached = np.zeros(len(versions), bool)
    reached[counted.loc[high < 0.5, "version"].to_numpy(np.int64)] = True
    is_lookup = np.array([kind.startswith("dns") for kind in (*KINDS, "")])[series.kind]
    of_probe = np.zeros(len(series.row), bool)
    of_probe[tells] = is_known & reached[version] & ~is_lookup[which]
    return of_probe


def _count_beside(
    versions: NDArray[np.int64], asked: NDArray[np.int64], which: NDArray[np.int64],
    release: NDArray[np.int64], is_hit: NDArray[np.bool_],
) -> pd.DataFrame:  # fmt: skip
    """The failures and the sessions of others right before and after the failures of versions.

    Of each alone, and of it among those up to each newer one that fails: what that one does not
    know yet, the older do not know either.

    Args:
        versions: those that fail, by series, the oldest first; ``asked``: places of some of them.
        which, release, is_hit: of the sessions, in order.
    """
    count = int(release.max()) + 1
    number, own = np.divmod(versions[asked], count)
    newer = np.searchsorted(versions, (number + 1) * count) - asked
    case = np.repeat(np.arange(len(asked)), newer + 1)  # the first of each case is it alone
    step = np.arange(len(case)) - np.repeat(np.cumsum(newer + 1) - newer - 1, newer + 1)
    newest = versions[asked[case] + np.maximum(step - 1, 0)] % count
    oldest = np.where(step > 0, 0, own[case])
    first, end = (np.searchsorted(which, number[case] + n) for n in (0, 1))
    length = end - first
    of_case = np.repeat(np.arange(len(case)), length)
    place = np.arange(length.sum()) + np.repeat(first - np.cumsum(length) + length, length)
    is_mine = (release[place] >= oldest[of_case]) & (release[place] <= newest[of_case])
    failed = np.cumsum(is_mine & is_hit[place])
    until = np.append(0, failed)[np.append(0, np.cumsum(length))]
    others = np.flatnonzero(~is_mine)
    of_other, so_far = of_case[others], failed[others]
    is_new = np.diff(of_other, prepend=-1, append=-1) != 0
    before = np.where(is_new[:-1], until[of_other], np.roll(so_far, 1))
    after = np.where(is_new[1:], until[of_other + 1], np.roll(so_far, -1))
    is_beside = (before < so_far) | (so_far < after)
    return pd.DataFrame({
        "version": asked[case],
        "hits": np.bincount(of_other[is_beside & is_hit[place[others]]], minlength=len(case)),
        "sessions": np.bincount(of_other[is_beside], minlength=len(case)),
    })  # fmt: skip


def find_versions(
    series: Series,
    stretches: pd.DataFrame,
    follows_version: NDArray[np.bool_],
    elements: pd.DataFrame,
) -> pd.Series:
    """By stretch: whether one version of the probe fails, or it and the older, where others do not.

    Asked of the site itself, and of all stretches of one kind on one network together, since few
    sessions of other versions fall into each; and no stretch in which the others mostly fail too is
    the version's. What tells nothing of a site does not reach it.

    Args:
        series: all of them.
        stretches: theirs, see ``blocks.Evidence``.
        follows_version: what ``follow_version`` says, of each session of the series.
        elements: the sessions of the stretches, see ``blocks.elements_of``.
    """
    sessions = series.sessions
    is_open = sessions["class"][elements["row"]] == OK
    told = elements[elements["is_hit"] | is_open]
    row, is_hit, stretch = (told[name].to_numpy() for name in ("row", "is_hit", "stretch"))
    release = sessions["release"][row].astype(np.int64)
    network = series.look_up("network", row).astype(np.int64)
    place_of = np.zeros(len(stretches), np.int64)
    place_of[stretch] = network * (FAILING + 1) + stretches["kind"].to_numpy()[stretch]
    in_place = _count_versions(place_of[stretch], release, is_hit)
    inside = _count_versions(stretch, release, is_hit)
    is_alone = _fails_alone(*in_place.counts)
    hits, own, other_hits, others = inside.counts
    is_own = (2 * hits > own) & (2 * other_hits <= others)
    at = in_place.find(place_of[inside.group], inside.release)
    is_of_place = np.zeros(len(stretches), bool)
    is_of_place[inside.group[(is_own & is_alone[:, at]).any(axis=0)]] = True
    of_site = stretch[follows_version[told["place"]] & is_hit]
    by_site, every = (np.bincount(x, minlength=len(stretches)) for x in (of_site, stretch[is_hit]))
    return pd.Series(is_of_place | (2 * by_site > every), stretches.index)


def _fails_alone(
    hits: Counts, sessions: Counts, other_hits: Counts, other_sessions: Counts
) -> NDArray[np.bool_]:
    """Whether a version fails mostly, and the others hardly ever."""
    _, high = wilson_bounds(pd.Series(other_hits.ravel()), pd.Series(other_sessions.ravel()))
    is_rare: NDArray[np.bool_] = (high.to_numpy() < 0.5).reshape(hits.shape)
    return is_rare & (2 * hits > sessions)


@dataclass(frozen=True)
class _Versions:
    """The versions of the probe that groups of sessions have, in order of group and version.

    Attributes:
        group, release: of each.
        counts: its failures and sessions, and those of the others of the group; of it alone and
            together with the older ones, a row each.
    """

    group: Counts
    release: Counts
    counts: tuple[Counts, Counts, Counts, Counts]

    def find(self, group: Counts, release: Counts) -> Counts:
        """The places of some that are there."""
        width = int(self.release.max(initial=0)) + 1
        return np.searchsorted(self.group * width + self.release, group * width + release)


def _count_versions(group: Counts, release: Counts, is_hit: NDArray[np.bool_]) -> _Versions:
    """The failures and the sessions of versions, and those of the others, by group.

    What a version does not know yet, the older do not know either, and two of them must not hide
    each other. Those alone are counted that there are: anybody may make up versions.
    """
    width = int(release.max(initial=0)) + 1
    number, keys = pd.factorize(group * width + release, sort=True)
    groups, releases = np.divmod(keys, width)
    is_first = np.diff(groups, prepend=-1) != 0
    first = np.flatnonzero(is_first)[np.cumsum(is_first) - 1]
    last = np.searchsorted(groups, groups, side="right") - 1
    own, others = [], []
    for told in (number[is_hit], number):
        alone = np.bincount(told, minlength=len(keys))
        up_to = np.cumsum(alone)
        together = up_to - (up_to - alone)[first]
        own.append(np.stack([alone, together]))
        others.append(together[last] - own[-1])
    return _Versions(groups, releases, (*own, *others))
