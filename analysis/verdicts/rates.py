"""How often a session would fail if nobody blocked: learnt from other operators and other sites.

r = 1 − (1 − site) · (1 − probe). *site*: how often the site fails for other operators, in general,
for the same version of the probe, and, of silence, within ten days. *probe*: how often other sites
fail on this network, and in this very session. Each is a proportion that is drawn towards the next
broader one, and the larger of the alternatives counts. What may itself be a block does not teach,
but for the silence of near days: an outage looks like a block to everybody at once.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.macros import create_tables
from analysis.verdicts.series import MARK, Series
from analysis.verdicts.sessions import KINDS

#: Between these a rate lies: nothing fails never or always.
LEAST, MOST = 0.01, 0.99
#: Sessions that the broader proportion is worth.
_PSEUDO = 4
#: What is taken for usual where nothing teaches.
_PRIOR = 0.02
_NEAR_DAYS = 10
#: A route is lost for days, whatever layer a version of the probe writes it down at.
_ROUTE_DAYS = 3
_ON_THE_WAY = ("tcp_silent", "name_silent")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Sessions of the country's access networks that count. A cell that has too few to be judged does
# not teach: three failures there may be the block itself.
_COUNTED = """
CREATE OR REPLACE TEMP VIEW counted_sessions AS
SELECT s.domain, s.probe_asn, s.session, s.software, s.day, s.class, s.kind, n.operator
FROM sessions s JOIN networks n USING (probe_asn) SEMI JOIN tested_cells USING (domain, probe_asn)
WHERE n.is_domestic AND s.class IN ('blocked', 'ok', 'unclear')
"""

# The failures of cells in which too few fail for a series.
_STRAY_FAILURES = """
SELECT enum_code(domain)::INTEGER AS domain, probe_asn::INTEGER AS probe_asn,
  enum_code(session)::INTEGER AS session, enum_code(software)::INTEGER AS software, day,
  enum_code(kind)::TINYINT AS kind, operator
FROM counted_sessions ANTI JOIN failing_cells USING (domain, probe_asn)
WHERE class = 'blocked'
"""

_SITES = """
SELECT enum_code(domain)::INTEGER AS domain, operator, count(*) AS sessions
FROM counted_sessions GROUP BY ALL
"""

_VERSIONS = """
SELECT enum_code(domain)::INTEGER AS domain, enum_code(software)::INTEGER AS software, operator,
  count(*) AS sessions
FROM counted_sessions SEMI JOIN failing_cells USING (domain) GROUP BY ALL
"""

_REPORTS = """
SELECT probe_asn::INTEGER AS probe_asn, enum_code(session)::INTEGER AS session,
  count(*) AS sessions
FROM sessions WHERE class IN ('blocked', 'ok', 'unclear') GROUP BY ALL
"""

# The network that each site is in: the one that most measurements found it in.
_SITE_NETWORKS = """
SELECT domain, mode(site_asn ORDER BY site_asn) AS site_asn
FROM outcomes WHERE site_asn IS NOT NULL GROUP BY domain
"""

_ROUTES = """
SELECT site_asn::BIGINT AS site_asn, probe_asn::INTEGER AS probe_asn, day, count(*) AS sessions
FROM sessions JOIN site_networks USING (domain)
WHERE class IN ('blocked', 'ok', 'unclear') GROUP BY ALL
"""

_DAYS = """
SELECT enum_code(domain)::INTEGER AS domain, operator, day, count(*) AS sessions
FROM counted_sessions SEMI JOIN failing_cells USING (domain) GROUP BY ALL
"""


@dataclass(frozen=True)
class _Facts:
    """What is known of the sessions; ``failures`` includes all sessions of failing cells."""

    rows: pd.DataFrame
    sites: pd.DataFrame
    versions: pd.DataFrame
    reports: pd.DataFrame
    days: pd.DataFrame
    routes: pd.DataFrame


def estimate_rates(
    connection: duckdb.DuckDBPyConnection, series: Series, candidates: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.bool_]]:
    """The rate of each session of each series; the least there is for marks, which need none.

    Args:
        connection: holds ``sessions``, ``networks`` and ``failing_cells``.
        series: see ``series.read_series``.
        candidates: which of its sessions do not teach.

    Returns:
        In the order of ``series.row``: numbers from ``LEAST`` to ``MOST``, and whether it is the
        probe's version that mostly fails so.
    """
    connection.execute(_COUNTED)
    create_tables(connection, {"site_networks": _SITE_NETWORKS}, {})
    told = series.sessions.assign(
        is_told=series.sessions["is_domestic"] & (series.sessions["class"] != 1), place=series.sessions.index
    )
    strays = connection.execute(_STRAY_FAILURES).df().assign(is_told=True, place=-1)
    facts = _Facts(
        pd.concat([told, strays], ignore_index=True).fillna({"class": 0}),
        *(connection.execute(query).df() for query in (_SITES, _VERSIONS, _REPORTS, _DAYS, _ROUTES)),
    )
    hosts = connection.execute("SELECT enum_code(domain)::INTEGER AS domain, site_asn FROM site_networks").df()
    facts.rows["site_asn"] = facts.rows["domain"].map(hosts.set_index("domain")["site_asn"]).fillna(-1).astype("int64")
    rates = np.full(len(series.row), LEAST)
    is_of_version = np.zeros(len(rates), bool)
    which = np.repeat(series.kind, series.lengths)
    for kind in range(len(KINDS)):
        members = np.flatnonzero(which == kind)
        if kind != MARK and len(members):
            is_candidate = np.zeros(len(facts.rows), bool)
            is_candidate[series.row[members[candidates[members]]]] = True
            rates[members], is_of_version[members] = _rates_of(facts, kind, is_candidate, series.row[members])
    return rates.clip(LEAST, MOST), is_of_version


def raise_by_own(series: Series, rates: Floats, is_inside: NDArray[np.bool_]) -> Floats:
    """The rates, at least as high as what fails in the series outside of its stretches.

    A site may fail on one network for reasons that no other operator and no other site shows.

    Args:
        is_inside: which sessions of the series lie in a stretch.
    """
    count = len(series.kind)
    which = series.series
    hits = np.bincount(which, series.is_hit & ~is_inside, count)
    sessions = np.bincount(which, ~is_inside, count)
    usual = np.bincount(which, rates, count) / np.maximum(series.lengths, 1)
    own = _draw(hits, sessions, usual)
    return np.where(np.repeat(series.kind == MARK, series.lengths), rates,
                    np.maximum(rates, own[which])).clip(LEAST, MOST)  # fmt: skip


def _rates_of(
    facts: _Facts, kind: int, is_candidate: NDArray[np.bool_], asked: Ints
) -> tuple[Floats, NDArray[np.bool_]]:
    """The rates of the sessions ``asked`` of one kind, places in ``facts.rows``."""
    rows = facts.rows
    is_hit = (rows["class"] == 0).to_numpy() & (rows["kind"] == kind).to_numpy()
    is_told = rows["is_told"].to_numpy()
    teaches = _Lesson(is_told & is_hit & ~is_candidate,
                      is_told & (((rows["class"] == 0).to_numpy() & ~is_hit) | is_candidate))  # fmt: skip
    near = _Lesson(is_told & is_hit, is_told & (rows["class"] == 0).to_numpy() & ~is_hit)
    usual = teaches.usual(facts.sites["sessions"].sum())
    own = rows.iloc[asked]
    site = _elsewhere(facts.sites, ["domain"], rows, teaches, own, usual)
    version = _elsewhere(facts.versions, ["domain", "software"], rows, teaches, own, site)
    rate = np.maximum(site, version)
    if KINDS[kind].endswith("silent"):
        rate = np.maximum(rate, _near(facts.days, rows, near, own, site))
    if KINDS[kind] in _ON_THE_WAY:
        rate = np.maximum(rate, _of_the_route(facts, own, usual))
    probe = _of_the_probe(facts.reports, rows, teaches, is_hit, own, usual)
    is_of_version = (not KINDS[kind].startswith("dns")) & (version >= 0.2) & (version >= 3 * site)
    return 1 - (1 - rate) * (1 - probe), is_of_version


@dataclass(frozen=True)
class _Lesson:
    """Which rows teach as failures (``hits``), and which are taken out of what was counted."""

    hits: NDArray[np.bool_]
    out: NDArray[np.bool_]

    def usual(self, counted: int) -> float:
        return float(
            (self.hits.sum() + _PSEUDO * _PRIOR) / (counted - self.out.sum() + _PSEUDO)
        )


def _draw(hits: Floats, sessions: Floats, broader: Floats | float) -> Floats:
    """A proportion, drawn towards a broader one."""
    return (hits + _PSEUDO * broader) / (np.maximum(sessions, 0) + _PSEUDO)


def _sums(frame: pd.DataFrame, keys: list[str], rows: pd.DataFrame, lesson: _Lesson) -> pd.DataFrame:
    """Sessions that teach and those of them that fail, by key."""
    counted = frame.groupby(keys)["sessions"].sum().rename("sessions")
    hits = rows[lesson.hits].groupby(keys).size().rename("hits")
    out = rows[lesson.out].groupby(keys).size().rename("out")
    sums = pd.concat([counted, hits, out], axis=1).fillna(0.0)
    return pd.DataFrame({"sessions": sums["sessions"] - sums["out"], "hits": sums["hits"]})


def _look_up(sums: pd.DataFrame, own: pd.DataFrame, keys: list[str]) -> tuple[Floats, Floats]:
    index = pd.MultiIndex.from_frame(own[keys]) if len(keys) > 1 else pd.Index(own[keys[0]])
    found = sums.reindex(index).fillna(0.0)
    return found["hits"].to_numpy(), found["sessions"].to_numpy()


def _elsewhere(
    counted: pd.DataFrame, keys: list[str], rows: pd.DataFrame, lesson: _Lesson,
    own: pd.DataFrame, broader: Floats | float,
) -> Floats:  # fmt: skip
    """How often it fails for operators other than the session's own."""
    hits, sessions = _look_up(_sums(counted, keys, rows, lesson), own, keys)
    with_operator = [*keys, "operator"]
    own_hits, own_sessions = _look_up(_sums(counted, with_operator, rows, lesson), own, with_operator)
    return _draw(hits - own_hits, sessions - own_sessions, broader)


def _near(
    counted: pd.DataFrame, rows: pd.DataFrame, lesson: _Lesson, own: pd.DataFrame, broader: Floats
) -> Floats:
    """How often it fails for other operators within ten days.

    No operator is heard for more than a few sessions: one that tests much is still one.
    """
    sums = _sums(counted, ["domain", "operator", "day"], rows, lesson)
    hits, sessions = np.zeros(len(own)), np.zeros(len(own))
    for operator, of_operator in sums.groupby(level="operator"):
        failed, tested = _around(of_operator.droplevel("operator"), own, ["domain"])
        heard = np.minimum(tested, _PSEUDO) * (own["operator"].to_numpy() != operator)
        hits += heard * np.divide(failed, tested, out=np.zeros(len(own)), where=tested > 0)
        sessions += heard
    return _draw(hits, sessions, broader)


def _of_the_route(facts: _Facts, own: pd.DataFrame, broader: float) -> Floats:
    """How often other sites in the same hosting network are silent on this network meanwhile."""
    rows = facts.rows
    is_counted = (rows["class"] != 1).to_numpy()
    silent = [KINDS.index(kind) for kind in _ON_THE_WAY]
    is_silent = (rows["class"] == 0).to_numpy() & rows["kind"].isin(silent).to_numpy()
    is_other = (rows["class"] == 0).to_numpy() & ~is_silent
    keys = ["site_asn", "probe_asn"]
    lesson = _Lesson(is_silent, is_other)
    hits, sessions = _around(_sums(facts.routes, [*keys, "day"], rows, lesson), own, keys, _ROUTE_DAYS)
    mine = rows[is_counted & ~is_other].assign(sessions=1)
    cell = ["domain", "probe_asn"]
    table = mine.groupby([*cell, "day"])["sessions"].sum().to_frame()
    table["hits"] = rows[is_silent].groupby([*cell, "day"]).size()
    own_hits, own_sessions = _around(table.fillna(0.0), own, cell, _ROUTE_DAYS)
    rate = _draw(hits - own_hits, sessions - own_sessions, broader)
    return np.where(own["site_asn"] >= 0, rate, 0.0)


def _around(sums: pd.DataFrame, own: pd.DataFrame, keys: list[str], near: int = _NEAR_DAYS) -> tuple[Floats, Floats]:
    """Sums over the days around each row of ``own``."""
    table = sums.reset_index()
    day = table["day"].to_numpy().astype("datetime64[D]").astype(np.int64)
    asked = own["day"].to_numpy().astype("datetime64[D]").astype(np.int64)
    group = pd.MultiIndex.from_frame(pd.concat([table[keys], own[keys]]))
    code = pd.factorize(group, sort=False)[0]
    first = min(day.min(initial=0), asked.min(initial=0)) - 2 * _NEAR_DAYS
    width = max(day.max(initial=0), asked.max(initial=0)) - first + 4 * _NEAR_DAYS
    place = code[: len(table)] * width + day - first
    order = np.argsort(place, kind="stable")
    centre = code[len(table) :] * width + asked - first
    left = np.searchsorted(place[order], centre - near, side="left")
    right = np.searchsorted(place[order], centre + near, side="right")
    totals = []
    for name in ("hits", "sessions"):
        total = np.concatenate([[0.0], np.cumsum(table[name].to_numpy()[order])])
        totals.append(total[right] - total[left])
    return totals[0], totals[1]


def _of_the_probe(
    reports: pd.DataFrame, rows: pd.DataFrame, lesson: _Lesson, is_hit: NDArray[np.bool_],
    own: pd.DataFrame, usual: float,
) -> Floats:  # fmt: skip
    """How often other sites fail on the network, and in this very session.

    Each report has one vote on its network, the share of other sites that fail in it: a forged
    report in which two hundred fail is one vote.
    """
    keys = ["probe_asn", "session"]
    everywhere = _Lesson(lesson.hits | (is_hit & False), lesson.out)
    sums = _sums(reports, keys, rows, everywhere)
    sums["vote"] = (sums["hits"] / sums["sessions"].where(sums["sessions"] > 0)).to_numpy()
    votes = sums.groupby(level="probe_asn")["vote"].agg(["sum", "count"])
    # The votes without the site itself, for the sessions that tested it.
    mine = rows[keys].join(sums, on=keys)
    teaches = ~lesson.out
    others = mine["sessions"].to_numpy() - teaches
    other_hits = mine["hits"].to_numpy() - lesson.hits
    vote = np.divide(other_hits, others, out=np.zeros(len(rows)), where=others > 0)
    shift = vote - np.nan_to_num(mine["vote"].to_numpy())
    alone = (others <= 0) & (mine["sessions"].to_numpy() > 0)
    moved = pd.DataFrame({"domain": rows["domain"], "probe_asn": rows["probe_asn"],
                          "shift": shift, "alone": alone})  # fmt: skip
    moved = moved.groupby(["domain", "probe_asn"])[["shift", "alone"]].sum()
    total = own[["probe_asn"]].join(votes, on="probe_asn").fillna(0.0)
    change = own[["domain", "probe_asn"]].join(moved, on=["domain", "probe_asn"]).fillna(0.0)
    network = _draw(
        (total["sum"] + change["shift"]).to_numpy(), (total["count"] - change["alone"]).to_numpy(), usual
    )
    place = own.index.to_numpy()
    session = _draw(other_hits[place].clip(0), others[place], network)
    result: Floats = np.maximum(network, session)
    return result
