"""How often a session would fail if nobody blocked: learnt from other operators and other sites.

r = 1 − (1 − site) · (1 − probe). *site*: how often the site fails for other operators, in general,
for the same version of the probe, and, of silence, within ten days. *probe*: how often other sites
fail on this network, and in this very session. Each is a proportion that is drawn towards the next
broader one, and the larger of the alternatives counts. What may itself be a block does not teach,
but for the silence of near days: an outage looks like a block to everybody at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.chance.facts import Days, Facts, Floats, Groups
from analysis.sessions.series import FAILING, MARK, Series
from analysis.sessions.sessions import KINDS

#: Between these a rate lies: nothing fails never or always.
LEAST, MOST = 0.01, 0.99
#: Sessions that the broader proportion is worth.
_PSEUDO = 4
#: What is taken for usual where nothing teaches.
_PRIOR = 0.02
_NEAR_DAYS = 10
#: So many sessions are looked at at a time.
_PART = 1 << 17
#: A route is lost for days, whatever layer a version of the probe writes it down at.
_ROUTE_DAYS = 3
_NAMED = KINDS.index("name_silent")
_ON_THE_WAY = ("tcp_silent", "name_silent")
#: What a rate is made of: the largest of the first four, which speak of the site, and the larger of
#: the others, which speak of the probe.
TERMS = ("site", "version", "near", "route", "network", "session")


def is_taught_by_all(term: str, kind: int) -> bool:
    """Whether candidates teach as well.

    Where nobody connects for a while, a site is away or no way leads to it. One that connects and
    falls silent at the name of the site is there.
    """
    return term == "near" and kind != _NAMED


@dataclass(frozen=True)
class _Lesson:
    """Which rows teach as failures (``hits``), and which are taken out of what was counted."""

    hits: NDArray[np.bool_]
    out: NDArray[np.bool_]


@dataclass(frozen=True)
class Lessons:
    """What the rate of each session of each series is learnt from.

    Attributes:
        hits, sessions: failures and sessions behind each proportion, a row for each of ``TERMS``
            and a column for each session; NaN where a term does not apply. Four bytes hold a count
            as it is, and a share of sessions to seven digits.
        kind: of each session, the kind of its series.
        usual: how often any site fails in each kind.
        counted, sites: the sessions behind ``usual``, and how many sites there are.
    """

    hits: NDArray[np.floating[Any]]
    sessions: NDArray[np.floating[Any]]
    kind: NDArray[np.int8]
    usual: Floats
    counted: Floats
    sites: int

    def rates(self, forged: int = 0) -> Floats:
        """The rate of each session, between ``LEAST`` and ``MOST``.

        Args:
            forged: reports that fail in every proportion but the session's own, and at every site.
        """
        rates: Floats = np.empty(len(self.kind))
        for at, part in self._parts():
            terms = part.shares(forged)
            rates[at] = 1 - (1 - terms[:4].max(axis=0)) * (1 - terms[4:].max(axis=0))
        return rates.clip(LEAST, MOST, out=rates)

    def shares(self, forged: int = 0) -> Floats:
        """The share that each of ``TERMS`` teaches (a row each), 0 where one does not apply."""
        site, version, near, route, network, session = range(len(TERMS))
        all_hits, all_sessions = (one.astype(np.float64) for one in (self.hits, self.sessions))
        drawn: Floats = np.zeros_like(all_hits)

        def draw(term: int, broader: Floats, more: int = forged) -> Floats:
            hits, sessions = all_hits[term] + more, all_sessions[term] + more
            rate: Floats = np.nan_to_num((hits + _PSEUDO * broader) / (sessions + _PSEUDO))
            drawn[term] = rate
            return rate

        known, more = self.counted + _PSEUDO, forged * self.sites
        usual = ((self.usual * known + more) / (known + more))[self.kind]
        draw(near, draw(site, usual))
        draw(route, usual)
        draw(session, draw(network, usual), 0)
        # What a version's own sessions say of the site must not be said again by the site.
        own_hits, own = np.nan_to_num(all_hits[version]), np.nan_to_num(all_sessions[version])
        other_hits = all_hits[site] - own_hits + forged
        of_others = (other_hits + _PSEUDO * usual) / (all_sessions[site] - own + forged + _PSEUDO)
        draw(version, of_others)
        return drawn

    @property
    def is_of_version(self) -> NDArray[np.bool_]:
        """Where it is the probe's version that mostly fails so.

        Versions follow each other: where more fails within ten days, it is the time.
        """
        is_most = np.zeros(len(self.kind), bool)
        for at, part in self._parts():
            site, version, near, *_ = part.shares()
            is_most[at] = (version >= 0.2) & (version >= 3 * site) & (version > near)
        return is_most

    def at(self, places: slice) -> "Lessons":
        """The lessons of some of the sessions."""
        of_some = (self.hits[:, places], self.sessions[:, places], self.kind[places])
        return Lessons(*of_some, self.usual, self.counted, self.sites)

    def _parts(self) -> Iterator[tuple[slice, "Lessons"]]:
        """Those of some sessions at a time: the shares of all at once would be large."""
        for first in range(0, len(self.kind), _PART):
            places = slice(first, first + _PART)
            yield places, self.at(places)


def learn(
    facts: Facts, series: Series, candidates: NDArray[np.bool_], before: Lessons | None = None
) -> Lessons:
    """What each session of each series would be expected to do if nobody blocked.

    Args:
        facts: see ``facts.gather_facts``.
        series: see ``series.find_series``; those of marks and of what fails for any reason learn
            nothing, and their rates are the least.
        candidates: which of its sessions do not teach.
        before: lessons with other candidates; what does not depend on them is taken from there.
    """
    shape = (len(TERMS), len(series.row))
    hits, sessions = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    which, (usual, counted) = np.repeat(series.kind, series.lengths), np.zeros((2, FAILING + 1))

    def candidates_of(kind: int) -> NDArray[np.bool_]:
        is_candidate = np.zeros(len(facts.rows), bool)
        is_candidate[series.row[candidates & (which == kind)]] = True
        return is_candidate

    is_named = candidates_of(_NAMED)
    for kind in range(len(KINDS)):
        members = np.flatnonzero(which == kind)
        if kind != MARK and len(members):
            teaching = _Teaching(facts, kind, candidates_of(kind), is_named, series.row[members])
            usual[kind], counted[kind] = teaching.usual, teaching.counted
            for term, name in enumerate(TERMS):
                if before and is_taught_by_all(name, kind):
                    hits[term, members] = before.hits[term, members]
                    sessions[term, members] = before.sessions[term, members]
                else:
                    failed, told = teaching.ask(name)
                    hits[term, members] = failed.clip(0)
                    sessions[term, members] = told.clip(0)
    return Lessons(hits, sessions, which, usual, counted, facts.site_count)


@dataclass(frozen=True)
class _Teaching:
    """What teaches of one kind, for the sessions ``asked`` (places in ``facts.rows``).

    ``is_candidate``: of this kind; ``is_named``: where the name, once connected, gets no answer.
    """

    facts: Facts
    kind: int
    is_candidate: NDArray[np.bool_]
    is_named: NDArray[np.bool_]
    asked: NDArray[np.int64]

    @cached_property
    def is_hit(self) -> NDArray[np.bool_]:
        rows = self.facts.rows
        return (rows["is_failure"] & (rows["kind"] == self.kind)).to_numpy()

    @cached_property
    def fails_otherwise(self) -> NDArray[np.bool_]:
        return self.facts.rows["is_failure"].to_numpy() & ~self.is_hit

    @cached_property
    def lesson(self) -> _Lesson:
        teaches = self.facts.rows["teaches"].to_numpy()
        is_out = teaches & (self.fails_otherwise | self.is_candidate)
        return _Lesson(teaches & self.is_hit & ~self.is_candidate, is_out)

    @cached_property
    def near_lesson(self) -> _Lesson:
        if not is_taught_by_all("near", self.kind):
            return self.lesson
        teaches = self.facts.rows["teaches"].to_numpy()
        return _Lesson(teaches & self.is_hit, teaches & self.fails_otherwise)

    @cached_property
    def counted(self) -> float:
        return float(self.facts.sites.sessions.sum() - self.lesson.out.sum())

    @cached_property
    def usual(self) -> float:
        return float((self.lesson.hits.sum() + _PSEUDO * _PRIOR) / (self.counted + _PSEUDO))

    def ask(self, term: str) -> tuple[Floats, Floats]:
        """Failures and sessions behind one of ``TERMS``."""
        facts, asked, name = self.facts, self.asked, KINDS[self.kind]
        nothing = np.full(len(asked), np.nan), np.full(len(asked), np.nan)
        if term == "site":
            return _elsewhere(facts.sites, facts.own_sites, self.lesson, asked)
        if term == "version":
            if name.startswith("dns"):  # what a resolver answers does not depend on the probe
                return nothing
            return _of_the_version(facts, self.lesson, asked)
        if term == "near" and name.endswith("silent"):
            return _near(facts, self.near_lesson, asked)
        if term == "route" and name in _ON_THE_WAY:
            return _of_the_route(facts, self.is_named, asked)
        if term in ("near", "route"):
            return nothing
        return self._probe[term]

    @cached_property
    def _probe(self) -> dict[str, tuple[Floats, Floats]]:
        rows = self.facts.rows
        is_domestic = rows["is_domestic"].to_numpy(bool) & rows["is_counted"].to_numpy()
        is_out = is_domestic & (self.fails_otherwise | self.is_candidate)
        lesson = _Lesson(is_domestic & self.is_hit & ~self.is_candidate, is_out)
        return _of_the_probe(self.facts, lesson, self.asked)


def raise_by_own(
    series: Series, rates: Floats, is_inside: NDArray[np.bool_], forged: int = 0
) -> Floats:
    """The rates, at least as high as what fails in the series outside of its stretches.

    A site may fail on one network for reasons that no other operator and no other site shows.
    ``is_inside``: the sessions in a stretch. ``forged``: failures that are forged outside of them.
    """
    count = len(series.kind)
    which = series.series
    hits = np.bincount(which, series.is_hit & ~is_inside, count)
    sessions = np.bincount(which, ~is_inside, count)
    usual = np.bincount(which, rates, count) / np.maximum(series.lengths, 1)
    own = (hits + forged + _PSEUDO * usual) / (sessions + forged + _PSEUDO)
    return np.where(np.repeat(series.kind == MARK, series.lengths), rates,
                    np.maximum(rates, own[which])).clip(LEAST, MOST)  # fmt: skip


def _sums(groups: Groups, lesson: _Lesson) -> tuple[Floats, Floats]:
    """By group: the sessions that teach that fail, and all that teach."""
    return groups.count(lesson.hits), groups.sessions - groups.count(lesson.out)


def _elsewhere(
    groups: Groups, own: Groups, lesson: _Lesson, asked: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """How often it fails for operators other than the session's own."""
    hits, sessions = (total[groups.find(asked)] for total in _sums(groups, lesson))
    own_hits, own_sessions = (total[own.find(asked)] for total in _sums(own, lesson))
    return hits - own_hits, sessions - own_sessions


def _of_the_version(
    facts: Facts, lesson: _Lesson, asked: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """How often it fails for other operators' probes of the same version.

    Where these have none, the next newer one that they have speaks for it: what a newer version
    cannot do, because a certificate's authority is unknown to it, the older cannot either.
    """
    every, of_own = _sums(facts.versions, lesson), _sums(facts.own_versions, lesson)
    own_keys = facts.own_version_keys
    version, operator = facts.version_of_own, own_keys % facts.operator_count
    # By version and operator: what the others saw.
    told = [all_[version] - own for all_, own in zip(every, of_own, strict=True)]
    site = facts.version_keys // facts.release_count
    newest = np.searchsorted(site, site, side="right") - 1
    silent = np.flatnonzero(told[1] <= 0)
    version, operator = version[silent], operator[silent]
    while len(silent):  # and then of each the next newer version of the site
        is_older = version < newest[version]
        silent, version, operator = silent[is_older], version[is_older] + 1, operator[is_older]
        key = facts.version_keys[version] * facts.operator_count + operator
        place = np.searchsorted(own_keys, key).clip(max=len(own_keys) - 1)
        is_own = own_keys[place] == key
        for one, all_, own in zip(told, every, of_own, strict=True):
            one[silent] = all_[version] - np.where(is_own, own[place], 0)
        still = told[1][silent] <= 0
        silent, version, operator = silent[still], version[still], operator[still]
    group = facts.own_versions.find(asked)
    return told[0][group], told[1][group]


def _near(facts: Facts, lesson: _Lesson, asked: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """How often it fails for other operators within ten days.

    No operator is heard for more than a few sessions: one that tests much is still one.
    """
    days = facts.days
    own = facts.operator[facts.cell[asked]]
    # Sessions of one site and day have the same days around them.
    place, same = np.unique(days.find(asked) - own * days.width, return_inverse=True)
    hits, sessions = np.zeros(len(asked)), np.zeros(len(asked))
    of_operators = (place + operator * days.width for operator in facts.operators.tolist())
    around = days.sums_around(lesson.hits, lesson.out, of_operators, _NEAR_DAYS)
    for operator, (failed, tested) in zip(facts.operators, around, strict=True):
        heard = np.minimum(tested, _PSEUDO)
        failing = heard * np.divide(failed, tested, out=np.zeros(len(place)), where=tested > 0)
        is_other = own != operator
        hits += failing[same] * is_other
        sessions += heard[same] * is_other
    return hits, sessions


def _of_the_route(
    facts: Facts, is_named: NDArray[np.bool_], asked: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """How often other sites in the same hosting network are silent on this network meanwhile.

    Where a route is lost nobody connects. What is silent for long once it has named the site may
    be blocked by its name, as its neighbours at a large host often are, and does not teach.
    """
    rows = facts.rows
    silent = [KINDS.index(kind) for kind in _ON_THE_WAY]
    is_failure = rows["is_failure"].to_numpy()
    is_silent = is_failure & rows["kind"].isin(silent).to_numpy()
    is_silent &= ~(is_named & (rows["kind"] == _NAMED).to_numpy())
    is_other = is_failure & ~is_silent
    hits, sessions = _around(facts.routes, is_silent, is_other, asked)
    # Of the site itself the rows hold every session.
    is_told = rows["is_counted"].to_numpy() & ~is_other
    own_hits, own_sessions = _around(facts.cell_days, is_silent, is_told, asked)
    is_known = facts.host[facts.cell[asked]] > 0
    hits, sessions = hits - own_hits, sessions + own_sessions
    return np.where(is_known, hits, np.nan), np.where(is_known, sessions, np.nan)


def _around(
    days: Days, hits: NDArray[np.bool_], out: NDArray[np.bool_], asked: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    (around,) = days.sums_around(hits, out, [days.find(asked)], _ROUTE_DAYS)
    return around


def _of_the_probe(
    facts: Facts, lesson: _Lesson, asked: NDArray[np.int64]
) -> dict[str, tuple[Floats, Floats]]:
    """How often other sites fail on the network (``network``), and in this very ``session``.

    Each report has one vote on its network, the share of other sites that fail in it: a forged
    report in which two hundred fail is one vote.
    """
    reports = facts.reports
    hits, sessions = _sums(reports, lesson)
    vote = np.divide(hits, sessions, out=np.zeros(len(hits)), where=sessions > 0)
    # The votes without the site itself, for the sessions that tested it.
    is_asked = np.zeros(len(facts.operator), bool)
    is_asked[facts.cell[asked]] = True
    rows = np.flatnonzero(is_asked[facts.cell])
    report, of_cell = reports.find(rows), facts.cell[rows]
    tested = sessions[report]
    others = tested - ~lesson.out[rows]
    other_hits = (hits[report] - lesson.hits[rows]).clip(0)
    other_vote = np.divide(other_hits, others, out=np.zeros(len(tested)), where=others > 0)
    is_alone = (others <= 0) & (tested > 0)
    shift = np.bincount(of_cell, other_vote - vote[report], len(is_asked))
    alone = np.bincount(of_cell, is_alone, len(is_asked)).astype(np.float64)
    cell, network = facts.cell[asked], facts.network_of_report[reports.find(asked)]
    votes = np.bincount(facts.network_of_report, vote)
    voters = np.bincount(facts.network_of_report, sessions > 0)
    at = np.searchsorted(rows, asked)
    return {
        "network": (votes[network] + shift[cell], voters[network] - alone[cell]),
        "session": (other_hits[at], others[at]),
    }
