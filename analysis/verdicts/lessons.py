"""What the rates of sessions are learnt from, and the rates that follow from it.

r = 1 − (1 − site) · (1 − probe). *site*: how often the site fails for other operators, in general,
for the same version of the probe, and, of silence, within ten days. *probe*: how often other sites
fail on this network, and in this very session. Each is a proportion that is drawn towards the next
broader one, and the larger of the alternatives counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.facts import Floats
from analysis.verdicts.series import Series

#: Between these a rate lies: nothing fails never or always.
LEAST, MOST = 0.01, 0.99
#: Sessions that the broader proportion is worth.
PSEUDO = 4
#: What a rate is made of: the largest of the first four, which speak of the site, and the larger of
#: the others, which speak of the probe.
TERMS = ("site", "version", "near", "route", "network", "session")
#: Those that are the same for all sessions of a series.
OF_SERIES = ("site", "network")


@dataclass(frozen=True)
class KindLessons:
    """What the rates of series of one kind are learnt from.

    Attributes:
        terms: failures and sessions behind each of ``TERMS`` that the kind has, of each series
            (``OF_SERIES``) or of each session. Four bytes hold a count as it is, and a share of
            sessions to seven digits.
        lengths: how many sessions each series has.
        usual: how often any site fails in this kind.
        counted, sites: the sessions behind ``usual``, and how many sites there are.
    """

    terms: Mapping[str, tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]]
    lengths: NDArray[np.int64]
    usual: float
    counted: float
    sites: int

    def some(self, first: int, end: int) -> "KindLessons":
        """Those of the series from one on, up to another."""
        at = slice(*(int(self.lengths[:number].sum()) for number in (first, end)))
        terms = {
            name: (hits[first:end], sessions[first:end])
            if name in OF_SERIES
            else (hits[at], sessions[at])
            for name, (hits, sessions) in self.terms.items()
        }
        return replace(self, terms=terms, lengths=self.lengths[first:end])

    def spread(self) -> tuple[Floats, Floats]:
        """Failures and sessions behind each of ``TERMS``, a row each, and a column a session.

        NaN where the kind has no such term.
        """
        hits, sessions = np.full((2, len(TERMS), int(self.lengths.sum())), np.nan)
        for name, of_term in self.terms.items():
            for spread, told in zip((hits, sessions), of_term, strict=True):
                is_short = name in OF_SERIES
                spread[TERMS.index(name)] = np.repeat(told, self.lengths) if is_short else told
        return hits, sessions

    def shares(self, forged: int = 0) -> Floats:
        """The share that each of ``TERMS`` teaches each session (a row each); 0 of none.

        Args:
            forged: reports that fail in every proportion but the session's own, and at every site.
        """
        site, version, near, route, network, session = range(len(TERMS))
        all_hits, all_sessions = self.spread()
        drawn: Floats = np.zeros_like(all_hits)

        def draw(term: int, broader: Floats | float, more: int = forged) -> Floats:
            hits, sessions = all_hits[term] + more, all_sessions[term] + more
            rate: Floats = np.nan_to_num((hits + PSEUDO * broader) / (sessions + PSEUDO))
            drawn[term] = rate
            return rate

        known, more = self.counted + PSEUDO, forged * self.sites
        usual = (self.usual * known + more) / (known + more)
        draw(near, draw(site, usual))
        draw(route, usual)
        draw(session, draw(network, usual), 0)
        # What a version's own sessions say of the site must not be said again by the site.
        own_hits, own = np.nan_to_num(all_hits[version]), np.nan_to_num(all_sessions[version])
        other_hits = all_hits[site] - own_hits + forged
        of_others = (other_hits + PSEUDO * usual) / (all_sessions[site] - own + forged + PSEUDO)
        draw(version, of_others)
        return drawn

    def rates(self, forged: int = 0) -> Floats:
        """The rate of each session, between ``LEAST`` and ``MOST``; ``forged``: see ``shares``."""
        terms = self.shares(forged)
        rates: Floats = 1 - (1 - terms[:4].max(axis=0)) * (1 - terms[4:].max(axis=0))
        return rates.clip(LEAST, MOST)

    @property
    def is_of_version(self) -> NDArray[np.bool_]:
        """Where it is the probe's version that mostly fails so.

        Versions follow each other: where more fails within ten days, it is the time.
        """
        site, version, near, *_ = self.shares()
        is_most: NDArray[np.bool_] = (version >= 0.2) & (version >= 3 * site) & (version > near)
        return is_most


@dataclass(frozen=True)
class Lessons:
    """What the rates of all series are learnt from.

    Attributes:
        series: them; of marks nothing is learnt, and their rates are the least.
        kinds: by kind, the number of its first series and what is learnt of it.
    """

    series: Series
    kinds: Mapping[int, tuple[int, KindLessons]]

    def of_series(self, number: int) -> KindLessons:
        """Those of one series."""
        first, lessons = self.kinds[int(self.series.kind[number])]
        return lessons.some(number - first, number - first + 1)

    def rates(self, forged: int = 0) -> Floats:
        """The rate of each session of each series; ``forged``: see ``KindLessons.shares``."""
        rates = np.full(len(self.series.row), LEAST)
        for at, lessons in self._places():
            rates[at] = lessons.rates(forged)
        return rates

    def shares(self) -> Floats:
        """What each of ``TERMS`` teaches each session, see ``KindLessons``; of marks 0."""
        shares = np.zeros((len(TERMS), len(self.series.row)))
        for at, lessons in self._places():
            shares[:, at] = lessons.shares()
        return shares

    @property
    def is_of_version(self) -> NDArray[np.bool_]:
        """See ``KindLessons``."""
        is_most = np.zeros(len(self.series.row), bool)
        for at, lessons in self._places():
            is_most[at] = lessons.is_of_version
        return is_most

    def _places(self) -> Iterator[tuple[slice, KindLessons]]:
        for first, lessons in self.kinds.values():
            yield self.series.places_of(first, first + len(lessons.lengths)), lessons
