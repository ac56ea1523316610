"""What cannot be told of a listed stretch: said beside it, and no reason to leave it out."""

import duckdb
import pandas as pd

from analysis.verdicts.blocks import Evidence
from analysis.verdicts.probes import find_heavy_probes

ONE_PLATFORM = (
    "all {n} sessions of this network that failed in this way, on any site, are of one platform "
    "(sessions of others: {m}): one household's filter would look the same"
)
BEFORE_FIRST_TEST = "began before the first test; the site may refuse this network"


def find_caveats(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, stretches: pd.DataFrame
) -> pd.Series:
    """What cannot be told of each stretch, by its number; empty of most, and of what is not listed.

    Args:
        connection: finds the names of sites and of software.
        evidence: of all series.
        stretches: all of them, with ``is_listed`` and ``may_refuse``, see ``rivals.ask_rivals``.
    """
    listed = stretches[stretches["is_listed"]]
    heavy = {
        manner: ONE_PLATFORM.format(n=failing, m=others)
        for manner, (failing, others) in find_heavy_probes(connection, evidence, listed).items()
    }
    caveats = stretches["manner"].map(heavy).astype(object).fillna("")
    caveats[stretches["may_refuse"].eq(True)] = BEFORE_FIRST_TEST
    return caveats.where(stretches["is_listed"], "")
