"""How often a session would fail if nobody blocked: what other operators and other sites teach.

base = 1 − (1 − site elsewhere) · (1 − network's other sites). *site elsewhere*: how often the site
fails so for other operators. *network's other sites*: how often sites fail so on this network, each
report one vote. Both are proportions drawn towards what is usual for any site.

Two things do not teach: what may be a block, since it would excuse itself, and the failures of a
cell in which at least half of the sessions fail so.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.columns import BLOCKED, DOWN, Flags, SessionColumns
from analysis.verdicts.series import MARK, Series
from analysis.verdicts.sessions import KINDS

Floats = NDArray[np.float64]

#: Between these a rate lies: nothing fails never or always.
LEAST, MOST = 0.01, 0.99
#: Sessions that the usual proportion is worth, and what is usual where nothing teaches.
_PSEUDO, _PRIOR = 4, 0.02
#: Sessions that the base rate is worth beside the earlier ones of the cell.
_BASE_WORTH = 8


@dataclass(frozen=True)
class Lessons:
    """What the base rate of each series is learnt from; of marks nothing is.

    Attributes:
        site_failures, site_sessions: of other operators, at the site.
        network_failures, network_reports: the votes of the network's reports, and how many voted.
        usual: how often any site fails in this kind.
    """

    site_failures: Floats
    site_sessions: Floats
    network_failures: Floats
    network_reports: Floats
    usual: Floats

    def site(self, forged: int = 0) -> Floats:
        """How often the site fails for other operators, were so many failing sessions forged."""
        return (self.site_failures + forged + _PSEUDO * self.usual) / (
            self.site_sessions + forged + _PSEUDO
        )

    def network(self, forged: int = 0) -> Floats:
        """How often other sites fail on the network, were so many failing reports forged."""
        return (self.network_failures + forged + _PSEUDO * self.usual) / (
            self.network_reports + forged + _PSEUDO
        )


def learn(sessions: SessionColumns, series: Series, candidates: Flags) -> Lessons:
    """Learn how often the sessions of each series would fail if nobody blocked.

    Only networks that speak for others teach (``networks.is_witness``). What fails in another kind
    says nothing of this one, and what is down for the control nothing at all.

    Args:
        sessions: all of them.
        series: those of one kind of failure.
        candidates: which of their sessions do not teach.
    """
    is_candidate = np.zeros(len(sessions.state), bool)
    is_told = sessions.is_told & (sessions.state != DOWN)
    is_told &= sessions.layout.of_cells("is_witness")[sessions.layout.cell]
    parts = [np.zeros((5, 0))]
    for kind in range(len(KINDS)):
        first, end = series.numbers_of(kind)
        if kind == MARK or first == end:
            parts.append(np.zeros((5, end - first)))
            continue
        at = series.places_of(first, end)
        is_candidate[:] = False
        is_candidate[series.sessions["place"][series.row[at][candidates[at]]]] = True
        parts.append(_learn_kind(sessions, series.some(first, end), is_told, is_candidate))
    return Lessons(*np.concatenate(parts, axis=1))


def _learn_kind(
    sessions: SessionColumns, series: Series, is_told: Flags, is_candidate: Flags
) -> Floats:
    """The columns of ``Lessons`` for series of one kind, a row each."""
    layout, cell = sessions.layout, sessions.layout.cell
    is_blocked = sessions.state == BLOCKED
    is_hit = is_blocked & (sessions.kind == series.kind[0])
    mostly = 2 * sessions.count_cells(is_hit) >= sessions.count_cells(sessions.is_told)
    teaches = is_told & (is_hit | ~is_blocked) & ~is_candidate & ~(is_hit & mostly[cell])
    failed = teaches & is_hit
    usual = (np.count_nonzero(failed) + _PSEUDO * _PRIOR) / (np.count_nonzero(teaches) + _PSEUDO)
    first = series.first_rows()
    site, operator, network = (
        series.look_up(name, first).astype(np.int64) for name in ("domain", "operator", "network")
    )
    # The site for other operators: for all, less the own one.
    elsewhere = []
    for which in (failed, teaches):
        by_cell = sessions.count_cells(which)
        of_site = np.bincount(layout.of_cells("domain"), by_cell)
        of_own = np.bincount(layout.own_sites, by_cell)
        elsewhere.append(of_site[site] - of_own[layout.find_own_sites(site, operator)])
    # Each report has one vote on its network, the share of sites that fail in it.
    reports = len(layout.network_of_report)
    tested = np.bincount(layout.of_report[teaches], minlength=reports)
    share = np.bincount(layout.of_report[failed], minlength=reports) / np.maximum(tested, 1)
    votes = [np.bincount(layout.network_of_report, vote)[network] for vote in (share, tested > 0)]
    return np.array([*elsewhere, *votes, np.full(len(site), usual)])


def count_before(series: Series) -> tuple[Floats, NDArray[np.int64]]:
    """Of each session of each series: how many earlier ones failed, and how many there are."""
    hits: Floats = np.cumsum(series.is_hit, dtype=np.float64) - series.is_hit
    first = np.repeat(series.starts[:-1], series.lengths)
    return hits - hits[first], np.arange(len(hits)) - first


def expect(series: Series, base: NDArray[Any], forged: int = 0) -> Floats:
    """The rate that each session is held against, in order of time.

    (earlier failures + 8 · base) / (earlier sessions + 8): a cell that fails now and then by itself
    says so about itself.

    Args:
        series: some of them.
        base: of each session of each series.
        forged: failures before the first session.
    """
    failures, sessions = count_before(series)
    rates = (failures + forged + _BASE_WORTH * base) / (sessions + forged + _BASE_WORTH)
    return np.asarray(rates.clip(LEAST, MOST), np.float64)
