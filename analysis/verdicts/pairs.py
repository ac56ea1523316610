"""Pairs of a site and a network, with the sessions that count for each kind of failure.

The judge works on one pair at a time. Its data are the five classes of this module: a session; what
other pairs teach about one kind of failure (``rates``); a series, which is the sessions of a pair
that count for one kind (``evidence``); a stretch of a series (``stretches``); and the pair itself.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.steps import create_tables, read_type
from analysis.sql import pick_queries, read_queries
from analysis.verdicts.sessions import CLASSES, KINDS

if TYPE_CHECKING:
    from analysis.verdicts.hours import Schedule

#: The kind of failure that only a network can make: a trace.
MARK = "mark"
#: Beside ``KINDS``: whatever does not work, failures of the control included.
ANY = "any"
#: The order of a pair's series.
KIND_ORDER = {kind: order for order, kind in enumerate((*KINDS, ANY))}
#: So many more failures than other sessions make a segment a candidate for a block.
CANDIDATE_GAIN = 4
#: Sessions that the usual share of failures is worth beside those that were counted.
PSEUDO_SESSIONS = 4

_QUERIES = read_queries(__file__)


class Session(NamedTuple):
    """A site in one run of a probe, with a result that can be interpreted.

    Attributes:
        row: index in the columns of ``Country``. Rows are in order of pair and time.
        time: its first measurement of the site, in seconds since 1970.
        day: of that moment, in days since 1970-01-01.
        received_day: on which OONI received its run. Where days are counted as witnesses, it is
            these: a sender may claim several days within an hour.
        result: ``blocked``, ``down``, ``ok`` or ``unclear``.
        kind: how it failed (``KINDS``); empty unless it is blocked.
        is_dns: the lookup failed.
        is_speaking: it used a resolver that answers for the network.
    """

    row: int
    time: int
    day: int
    received_day: int
    result: str
    kind: str
    is_dns: bool
    is_speaking: bool


@dataclass(frozen=True)
class Lessons:
    """What other operators and other sites teach about one kind of failure of a pair.

    Attributes:
        site_failures, site_sessions: of other operators, at the site.
        network_failures, network_sessions: of the network, at all sites. Each session has one vote:
            the share of its sites that failed.
        usual: the share of sessions in which any site fails.
        other_probes_share: of the network's votes, without the kind of probe that fails most; 1 if
            there is one kind only.
    """

    site_failures: float = 0.0
    site_sessions: float = 0.0
    network_failures: float = 0.0
    network_sessions: float = 0.0
    usual: float = 0.0
    other_probes_share: float = 1.0

    def site_share(self, forged: int = 0) -> float:
        """Return how often the site fails for other operators, with so many forged failures."""
        return self._share(self.site_failures, self.site_sessions, forged)

    def network_share(self, forged: int = 0) -> float:
        """Return how often sites fail on the network, with so many forged failures."""
        return self._share(self.network_failures, self.network_sessions, forged)

    def _share(self, failures: float, sessions: float, forged: int) -> float:
        drawn = failures + forged + PSEUDO_SESSIONS * self.usual
        return drawn / (sessions + forged + PSEUDO_SESSIONS)


@dataclass(eq=False)
class Series:
    """The sessions of a pair that count for one kind of failure, in order of time.

    Attributes:
        pair: that it is a series of.
        kind: one of ``KINDS``, or ``ANY``.
        sessions: those that failed in this way, and those that reached the site or do not say.
        fails: whether each failed in this way.
        lessons: what others teach about this kind; not filled for ``ANY``.
        least_rates: of each session, a lower bound of its rate of accidents, from other countries
            (apps); or nothing.
        schedule: the hours of the week at which the site fails, if it fails at any (``hours``).
        site_schedules: those found on any network of the site.
        log_evidence: ln E (``evidence``); −∞ of ``ANY``.
        hours_evidence: how much of it the hours of the week have added.
        days: each tested day, and ln of its weight; none of ``ANY``.
        stretches: the periods in which the site fails (``stretches``).
        lent: the block of an address that these sessions met, which has the evidence.
    """

    pair: "Pair" = field(init=False, repr=False)
    kind: str
    sessions: Sequence[Session]
    fails: Sequence[bool]
    lessons: Lessons = Lessons()
    least_rates: Sequence[float] | None = None
    schedule: "Schedule | None" = None
    site_schedules: "tuple[Schedule, ...]" = ()
    log_evidence: float = -inf
    hours_evidence: float = 0.0
    days: Sequence[tuple[int, float]] = ()
    stretches: "Sequence[Stretch]" = ()
    lent: "Stretch | None" = None

    @property
    def times(self) -> NDArray[np.datetime64]:
        """The times of its sessions."""
        return np.array([session.time for session in self.sessions], "datetime64[s]")


@dataclass(eq=False)
class Stretch:
    """A period of failures of one kind: from a first failure to a last one.

    Attributes:
        series: the series that it is a part of.
        first, last: index of the first and the last failure in ``series.sessions``.
        sessions: from the first failure to the last one; of a series with a schedule those at its
            hours.
        failures: those of them that failed.
        log_evidence: ln E of its series; of a block, without what a rival explains.
        is_block: it meets the line and the floors (``floors``).
        mechanism: of most of its failures.
        reason: why it is not listed; empty if it is listed, or neither surprising nor mostly
            failing.
        is_listed: it is a block, and no rival explains it.
        caveat: what cannot be told of it (``caveats``).
        to_flip: how many forged sessions would take it from the list: so that a rival explains it
            (``rivals``, ``probes``), or that it is no surprise (``flips``).
    """

    series: Series
    first: int
    last: int
    sessions: Sequence[Session]
    failures: Sequence[Session]
    log_evidence: float = -inf
    is_block: bool = False
    mechanism: str = ""
    reason: str = ""
    is_listed: bool = False
    caveat: str = ""
    to_flip: float = inf

    @property
    def kind(self) -> str:
        """The kind of failure of its series."""
        return self.series.kind

    @property
    def pair(self) -> "Pair":
        """The pair of its series."""
        return self.series.pair

    @property
    def day_count(self) -> int:
        """The number of days on which a failure was received."""
        return len({session.received_day for session in self.failures})


@dataclass(eq=False)
class Pair:
    """A site on a network on which at least ``floor_sessions`` sessions did not reach it.

    Attributes:
        domain: the number of the site's name (the enumeration ``host_name``).
        probe_asn: the number of the network.
        network, operator: their numbers in the table ``networks``.
        sessions: all of them that can be interpreted, in order of time.
        series: a series for each kind with enough failures, in order of ``KIND_ORDER``.
        is_witness: the network is evidence for others.
        is_supported: what others show makes less evidence enough (``floors``).
        usual: what its failures are if they are no surprise (``reasons``).
        fails_often: many of its sessions failed as if blocked.
    """

    domain: int
    probe_asn: int
    network: int
    operator: int
    sessions: Sequence[Session]
    series: Sequence[Series] = field(default_factory=list)
    is_witness: bool = True
    is_supported: bool = False
    usual: str = ""
    fails_often: bool = False

    def __post_init__(self) -> None:
        """Let its series know the pair."""
        for series in self.series:
            series.pair = self

    def add(self, series: Series) -> None:
        """Add a series."""
        series.pair = self
        self.series = [*self.series, series]

    @property
    def lessons(self) -> dict[str, Lessons]:
        """What others teach, by kind of failure."""
        return {series.kind: series.lessons for series in self.series if not series.lent}

    @property
    def schedules(self) -> "dict[str, Schedule]":
        """The hours of the week at which the site fails, by kind of failure."""
        own = (series for series in self.series if series.schedule and not series.lent)
        return {series.kind: series.schedule for series in own if series.schedule}

    @property
    def stretches(self) -> list[Stretch]:
        """The stretches of all series, in order of kind and time."""
        return [stretch for series in self.series for stretch in series.stretches]

    @property
    def log_evidence(self) -> float | None:
        """The largest ln E of its kinds of failure; nothing if none fails often enough."""
        evidence = [series.log_evidence for series in self.series if series.kind != ANY]
        return max(evidence, default=None)


@dataclass(frozen=True)
class Country:
    """The pairs of a country that fail.

    Attributes:
        names: of the sites, by number.
        pairs: in order of site and network.
        rows: of each session, by ``Session.row``: ``domain, probe_asn, operator``; the number of
            its run (``session``), its ``day``, its ``software``, and its ``place`` in the table
            ``sessions``.
    """

    names: NDArray[np.object_]
    pairs: Sequence[Pair]
    rows: pd.DataFrame

    def sites(self) -> list[list[Pair]]:
        """Return the sites: the pairs of each."""
        return [list(pairs) for _, pairs in groupby(self.pairs, attrgetter("domain"))]

    def describe(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table of sessions (``row``) with the columns of ``rows``."""
        taken = self.rows.take(table["row"].to_numpy("int64"))
        return table.join(taken.set_index(table.index))

    def series(self) -> list[Series]:
        """Return the series of all pairs."""
        return [series for pair in self.pairs for series in pair.series]

    def stretches(self) -> list[Stretch]:
        """Return the stretches of all pairs."""
        return [stretch for series in self.series() for stretch in series.stretches]


def read_country(connection: duckdb.DuckDBPyConnection, floor_sessions: int) -> Country:
    """Read the pairs in which at least ``floor_sessions`` sessions did not reach the site.

    Args:
        connection: finds ``sessions`` and ``networks``, of which ``told_sessions`` is made.
        floor_sessions: the threshold.
    """
    create_tables(connection, pick_queries(_QUERIES, "told_sessions"), {})
    given = {"floor_sessions": floor_sessions}
    fetched = connection.execute(_QUERIES["failing_sessions"], given).fetchnumpy()
    columns = {name: np.asarray(values) for name, values in fetched.items()}
    pairs = list(_make_pairs(columns, floor_sessions))
    kept = ("domain", "probe_asn", "operator", "session", "day", "place")
    rows = pd.DataFrame({name: columns[name] for name in kept})
    programs = pd.Index(read_type(connection, "software_name"))
    rows["software"] = pd.Categorical.from_codes(columns["software"], programs)
    return Country(read_type(connection, "host_name"), pairs, rows)


def _make_pairs(columns: Mapping[str, NDArray[Any]], floor_sessions: int) -> Iterator[Pair]:
    """Make the pairs of columns in order of pair and time."""
    key = (columns["domain"].astype(np.int64) << 32) + columns["probe_asn"]
    begins = np.append(np.flatnonzero(np.diff(key, prepend=-1)), len(key)).tolist()
    values = (
        columns["time"].astype("M8[s]").astype(np.int64),
        columns["day"].astype("M8[D]").astype(np.int64),
        columns["received_day"].astype("M8[D]").astype(np.int64),
        np.array(CLASSES, object)[columns["class"]],
        np.array([*KINDS, ""], object)[columns["kind"]],  # −1, the last, is none
        columns["is_dns"],
        columns["is_speaking"],
    )
    for begin, end in pairwise(begins):
        lists = (column[begin:end].tolist() for column in values)
        sessions = list(map(Session, range(begin, end), *lists))
        domain, probe_asn, network, operator, is_witness = (
            columns[name][begin].item()
            for name in ("domain", "probe_asn", "network", "operator", "is_witness")
        )
        series = find_series(sessions, floor_sessions)
        yield Pair(domain, probe_asn, network, operator, sessions, series, is_witness)


def find_series(sessions: Sequence[Session], floor_sessions: int) -> list[Series]:
    """Find the kinds in which a pair fails often enough for a state, and the sessions that count.

    A session that found the site down for the control too, or that failed in another way, counts
    for no kind but ``ANY``: it is neither a failure of this kind nor a success. If lookups fail, a
    session through a resolver that does not answer for the network is no success either.

    Args:
        sessions: of one pair, in order of time.
        floor_sessions: how many failures a state needs.
    """
    found = []
    counts = Counter(session.kind for session in sessions)
    for kind in KINDS:
        if counts[kind] < floor_sessions:
            continue
        lookups = sum(session.is_dns for session in sessions if session.kind == kind)
        is_of_lookups = 2 * lookups > counts[kind]
        counted = [
            session
            for session in sessions
            if session.kind == kind
            or (session.result in ("ok", "unclear") and (session.is_speaking or not is_of_lookups))
        ]
        found.append(Series(kind, counted, [session.kind == kind for session in counted]))
    fails = [session.result != "ok" for session in sessions]
    if sum(fails) >= floor_sessions:
        found.append(Series(ANY, sessions, fails))
    return found


def find_candidates(fails: Sequence[bool], gain: int = CANDIDATE_GAIN) -> list[int]:
    """Find the sessions that may be part of a block, which teach nothing about accidents.

    The segment with most failures more than other sessions is a candidate if they are at least
    ``gain``; then the next one beside it, and so on, since a site may be blocked more than once.
    No rate is needed for this, so nothing is circular: neither a block of some months nor a network
    that blocks half of what is tested excuses itself.

    Returns:
        Indices in ``fails``, in no order.
    """
    found: list[int] = []
    parts = [(0, len(fails))]
    while parts:
        begin, end = parts.pop()
        most, since, until = best_range([1 if failed else -1 for failed in fails[begin:end]])
        if most >= gain:
            found += range(begin + since, begin + until)
            parts += [(begin, begin + since), (begin + until, end)]
    return found


def best_range(scores: Sequence[float]) -> tuple[float, int, int]:
    """Find the shortest range with the largest sum: the sum, its first index and its end."""
    best = total = 0.0
    since = until = begin = 0
    for index, score in enumerate(scores):
        if total <= 0:
            total, begin = 0.0, index
        total += score
        if total > best:
            best, since, until = total, begin, index + 1
    return best, since, until
