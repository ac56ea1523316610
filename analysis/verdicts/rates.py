"""How often a session would fail if nobody blocked: learnt from other operators and other sites.

What may itself be a block does not teach, but for the silence of near days: an outage looks like a
block to everybody at once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.columns import Places
from analysis.verdicts.facts import Days, Facts, Floats, Groups
from analysis.verdicts.lessons import LEAST, MOST, PSEUDO, TERMS, KindLessons, Lessons
from analysis.verdicts.series import MARK, Series
from analysis.verdicts.sessions import KINDS

#: What is taken for usual where nothing teaches.
_PRIOR = 0.02
_NEAR_DAYS = 10
#: A route is lost for days, whatever layer a version of the probe writes it down at.
_ROUTE_DAYS = 3
_NAMED = KINDS.index("name_silent")
_ON_THE_WAY = ("tcp_silent", "name_silent")


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


def learn(
    facts: Facts, series: Series, candidates: NDArray[np.bool_], before: Lessons | None = None
) -> Lessons:
    """What each session of each series would be expected to do if nobody blocked.

    Args:
        facts: see ``facts.gather_facts``.
        series: those of one kind of failure; those of marks learn nothing.
        candidates: which of its sessions do not teach.
        before: lessons with other candidates; what does not depend on them is taken from there.
    """

    def candidates_of(at: slice) -> NDArray[np.bool_]:
        is_candidate = np.zeros(len(facts.rows), bool)
        is_candidate[series.row[at][candidates[at]]] = True
        return is_candidate

    kinds = {}
    is_named = candidates_of(series.places_of(*series.numbers_of(_NAMED)))
    for kind in range(len(KINDS)):
        first, end = series.numbers_of(kind)
        if kind == MARK or first == end:
            continue
        at = series.places_of(first, end)
        own = series.some(first, end)
        teaching = _Teaching(facts, kind, candidates_of(at), is_named, own)
        terms = {}
        for name in _terms_of(kind):
            if before and is_taught_by_all(name, kind):
                terms[name] = before.kinds[kind][1].terms[name]
            else:
                hits, sessions = teaching.ask(name)
                terms[name] = _shorten(hits), _shorten(sessions)
        usual, counted = teaching.usual, teaching.counted
        kinds[kind] = (
            first,
            KindLessons(terms, own.lengths, usual, counted, facts.site_count),
        )
    return Lessons(series, kinds)


def _shorten(counts: Floats) -> NDArray[np.float32]:
    return counts.clip(0).astype(np.float32)


def _terms_of(kind: int) -> list[str]:
    """Those of ``TERMS`` that a kind of failure has."""
    name, without = KINDS[kind], set()
    if name.startswith("dns"):  # what a resolver answers does not depend on the probe
        without.add("version")
    if not name.endswith("silent"):
        without.add("near")
    if name not in _ON_THE_WAY:
        without.add("route")
    return [term for term in TERMS if term not in without]


@dataclass(frozen=True)
class _Teaching:
    """What teaches of one kind, for its ``series``.

    ``is_candidate``: of this kind; ``is_named``: where the name, once connected, gets no answer.
    """

    facts: Facts
    kind: int
    is_candidate: NDArray[np.bool_]
    is_named: NDArray[np.bool_]
    series: Series

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
        return float((self.lesson.hits.sum() + PSEUDO * _PRIOR) / (self.counted + PSEUDO))

    def ask(self, term: str) -> tuple[Floats, Floats]:
        """Failures and sessions behind one of ``TERMS``: of each series, or of each session."""
        facts = self.facts
        if term == "site":
            return _elsewhere(facts.sites, facts.own_sites, self.lesson, self.series.first_rows())
        if term == "version":
            return _of_the_version(facts, self.lesson, self.series.row)
        if term == "near":
            return _near(facts, self.near_lesson, self.series.row)
        if term == "route":
            return _of_the_route(facts, self.is_named, self.series.row)
        return self._probe[term]

    @cached_property
    def _probe(self) -> dict[str, tuple[Floats, Floats]]:
        rows = self.facts.rows
        is_domestic = rows["is_domestic"].to_numpy(bool) & rows["is_counted"].to_numpy()
        is_out = is_domestic & (self.fails_otherwise | self.is_candidate)
        lesson = _Lesson(is_domestic & self.is_hit & ~self.is_candidate, is_out)
        return _of_the_probe(self.facts, lesson, self.series)


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
    own = (hits + forged + PSEUDO * usual) / (sessions + forged + PSEUDO)
    return np.where(np.repeat(series.kind == MARK, series.lengths), rates,
                    np.maximum(rates, own[which])).clip(LEAST, MOST)  # fmt: skip


def _sums(groups: Groups, lesson: _Lesson) -> tuple[Floats, Floats]:
    """By group: the sessions that teach that fail, and all that teach."""
    return groups.count(lesson.hits), groups.sessions - groups.count(lesson.out)


def _elsewhere(
    groups: Groups, own: Groups, lesson: _Lesson, asked: Places
) -> tuple[Floats, Floats]:
    """How often it fails for operators other than the session's own."""
    hits, sessions = (total[groups.find(asked)] for total in _sums(groups, lesson))
    own_hits, own_sessions = (total[own.find(asked)] for total in _sums(own, lesson))
    return hits - own_hits, sessions - own_sessions


def _of_the_version(facts: Facts, lesson: _Lesson, asked: Places) -> tuple[Floats, Floats]:
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


def _near(facts: Facts, lesson: _Lesson, asked: Places) -> tuple[Floats, Floats]:
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
        heard = np.minimum(tested, PSEUDO)
        failing = heard * _divide(failed, tested)
        is_other = own != operator
        hits += failing[same] * is_other
        sessions += heard[same] * is_other
    return hits, sessions


def _of_the_route(
    facts: Facts, is_named: NDArray[np.bool_], asked: Places
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
    days: Days, hits: NDArray[np.bool_], out: NDArray[np.bool_], asked: Places
) -> tuple[Floats, Floats]:
    (around,) = days.sums_around(hits, out, [days.find(asked)], _ROUTE_DAYS)
    return around


def _of_the_probe(
    facts: Facts, lesson: _Lesson, series: Series
) -> dict[str, tuple[Floats, Floats]]:
    """How often other sites fail on the network (``network``), and in this very ``session``.

    That of the network is the same for all sessions of a series.

    Each report has one vote on its network, the share of other sites that fail in it: a forged
    report in which two hundred fail is one vote.
    """
    hits, sessions = _sums(facts.reports, lesson)
    vote = _divide(hits, sessions)
    votes = np.bincount(facts.network_of_report, vote)
    voters = np.bincount(facts.network_of_report, sessions > 0)
    # The votes without the site itself, for the sessions that tested it.
    begins = series.first_rows()
    is_asked = np.zeros(len(facts.operator), bool)
    is_asked[facts.cell[begins]] = True
    rows = np.flatnonzero(is_asked[facts.cell])
    report, of_cell = facts.reports.find(rows), facts.cell[rows]
    tested = sessions[report]
    others = tested - ~lesson.out[rows]
    other_hits = (hits[report] - lesson.hits[rows]).clip(0)
    shift = np.bincount(of_cell, _divide(other_hits, others) - vote[report], len(is_asked))
    alone = np.bincount(of_cell, (others <= 0) & (tested > 0), len(is_asked))
    cell, network = facts.cell[begins], facts.network_of_report[facts.reports.find(begins)]
    at = np.searchsorted(rows, series.row)
    failing = np.asarray(votes[network] + shift[cell], np.float64)
    told = np.asarray(voters[network] - alone[cell], np.float64)
    return {"network": (failing, told), "session": (other_hits[at], others[at])}


def _divide(hits: Floats, sessions: Floats) -> Floats:
    """Their shares; 0 of none."""
    return np.divide(hits, sessions, out=np.zeros(len(hits)), where=sessions > 0)
