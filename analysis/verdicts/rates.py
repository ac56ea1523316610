"""How often a session would fail if nobody blocked: what other operators and other sites teach.

base = 1 − (1 − site elsewhere) · (1 − network's other sites). *site elsewhere*: how often the site
fails so for other operators. *network's other sites*: how often sites fail so on this network, each
report one vote. Both are proportions drawn towards what is usual for any site.

Two things do not teach: what may be a block, since it would excuse itself, and the failures of a
cell in which at least half of the sessions fail so.
"""

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.sql import read_queries
from analysis.verdicts.series import FAILING, MARK, Series, find_candidates
from analysis.verdicts.sessions import KINDS

Floats = NDArray[np.float64]

#: Between these a rate lies: nothing fails never or always.
LEAST, MOST = 0.005, 0.99
#: Sessions that the usual proportion is worth, and what is usual where nothing teaches.
_PSEUDO, _PRIOR = 4, 0.02
#: Sessions that the base rate is worth beside the earlier ones of the cell.
_BASE_WORTH = 8
#: What is no question of chance, for the edges of its stretches: how often a mark is a stray, and
#: something does not work for whatever reason.
_STRAY, _EVEN = 0.01, 0.1

_QUERIES = read_queries(__file__)
#: The columns of ``Lessons.table``.
TAUGHT = ("site_failures", "site_sessions", "network_failures", "network_sessions", "usual")


@dataclass(frozen=True)
class Lessons:
    """What the base rates are learnt from.

    Attributes:
        table: a row a series, zeros where nothing is weighed: ``site_failures, site_sessions``, of
            other operators at the site; ``network_failures, network_sessions``, the votes of the
            network's reports, and how many voted; ``usual``, how often any site fails in this kind.
        elsewhere: of each session of each series, how often it fails at least, from what is known
            besides.
    """

    table: pd.DataFrame
    elsewhere: Floats

    def share(self, of: str, forged: int = 0) -> Floats:
        """How often the site fails for other operators (``site``), or other sites on the network
        (``network``), were so many failing sessions or reports forged.
        """
        table = self.table
        drawn = table[f"{of}_failures"] + forged + _PSEUDO * table["usual"]
        return (drawn / (table[f"{of}_sessions"] + forged + _PSEUDO)).to_numpy(np.float64)

    def base(self, series: Series, forged: int = 0) -> Floats:
        """How often each session would fail, before the cell says so itself.

        Args:
            series: all of them.
            forged: failures that are added to what the site and the network teach.
        """
        site, network = (
            np.repeat(self.share(of, forged), series.lengths) for of in ("site", "network")
        )
        rates = (1 - (1 - np.maximum(site, self.elsewhere)) * (1 - network)).clip(LEAST, MOST)
        kind = np.repeat(series.kind, series.lengths)
        return np.select([kind == MARK, kind == FAILING], [_STRAY, _EVEN], rates)


def learn(connection: duckdb.DuckDBPyConnection, series: Series, elsewhere: Floats) -> Lessons:
    """Learn how often the sessions of each series would fail if nobody blocked.

    Args:
        connection: finds ``heard_sessions`` and ``networks``.
        series: those in which something fails.
        elsewhere: see ``Lessons``.
    """
    candidates = find_candidates(series)
    place, kind = series.column("place"), np.repeat(series.kind, series.lengths)
    first = series.first_rows()
    asked = pd.DataFrame(
        {name: series.look_up(name, first) for name in ("domain", "network", "operator")}
    )
    table = pd.DataFrame(0.0, asked.index, list(TAUGHT))
    for number in np.unique(series.kind[series.is_weighed]):
        of_kind = asked[series.kind == number].rename_axis("number").reset_index()
        is_candidate = pd.DataFrame({"place": place[candidates & (kind == number)]})
        connection.register("series_at_hand", of_kind)
        connection.register("candidates_at_hand", is_candidate)
        given = {"kind": KINDS[number], "pseudo": _PSEUDO, "prior": _PRIOR}
        table.update(connection.execute(_QUERIES["lessons"], given).df().set_index("number"))
    return Lessons(table, elsewhere)


def expect(series: Series, base: NDArray[Any], forged: int = 0) -> Floats:
    """The rate that each session is held against, in order of time.

    (earlier failures + 8 · base) / (earlier sessions + 8): a cell that fails now and then by itself
    says so about itself.

    Args:
        series: all of them.
        base: of each session of each series.
        forged: failures before the first session.
    """
    hits: Floats = np.cumsum(series.is_hit, dtype=np.float64) - series.is_hit
    first = np.repeat(series.starts[:-1], series.lengths)
    failures, sessions = hits - hits[first], np.arange(len(hits)) - first
    rates = (failures + forged + _BASE_WORTH * base) / (sessions + forged + _BASE_WORTH)
    return np.asarray(rates.clip(LEAST, MOST), np.float64)
