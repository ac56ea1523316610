"""What cannot be told of a listed stretch: said beside it, and no reason to leave it out."""

import duckdb
import numpy as np
import pandas as pd

from analysis.hosts import registrable_domain
from analysis.outcomes.steps import read_type
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.probes import find_heavy_probes
from analysis.verdicts.series import MARK
from analysis.verdicts.sessions import OK

ONE_PLATFORM = (
    "all {n} failing sessions are of one platform (sessions of others: {m}): one household's "
    "filter would look the same"
)
BEFORE_FIRST_TEST = "began before the first test; the site may refuse this network"


def find_caveats(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, stretches: pd.DataFrame
) -> pd.Series:
    """What cannot be told of each stretch, by its number; empty of most, and of what is not listed.

    Args:
        connection: finds the names of sites and of software.
        evidence: of all series.
        stretches: all of them, with ``is_listed``.
    """
    listed = stretches[stretches["is_listed"]]
    heavy = {
        manner: ONE_PLATFORM.format(n=failing, m=others)
        for manner, (failing, others) in find_heavy_probes(connection, evidence, listed).items()
    }
    caveats = stretches["manner"].map(heavy).where(stretches["is_listed"]).astype(object).fillna("")
    caveats[_find_alone(connection, evidence, listed)] = BEFORE_FIRST_TEST
    return caveats


def _find_alone(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, listed: pd.DataFrame
) -> pd.Index:
    """Stretches of a site that one operator alone blocks, which was never seen open there, and
    beside which nothing else is blocked there in the same way: no mark is among them.
    """
    series = evidence.series
    sessions, cells = series.sessions, series.cells
    is_opened = np.zeros(len(cells), bool)
    is_opened[sessions["cell"][sessions["class"] == OK]] = True
    names = read_type(connection, "host_name")
    of_cell = cells.iloc[listed["cell"]].set_axis(listed.index)
    told = pd.DataFrame({
        "site": [registrable_domain(name) for name in names[of_cell["domain"]]],
        "operator": of_cell["operator"], "place": of_cell["network"], "kind": listed["kind"],
    })  # fmt: skip
    operators = told.groupby("site")["operator"].transform("nunique")
    sites = told.groupby(["place", "kind"])["site"].transform("nunique")
    is_alone = (operators == 1) & (sites == 1) & (listed["kind"] != MARK)
    return listed.index[is_alone & ~is_opened[listed["cell"]]]
