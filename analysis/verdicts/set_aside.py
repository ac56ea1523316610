"""Reasons why sites with problems are not listed: that of most of a site's failures."""

import duckdb
import pandas as pd

from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries
from analysis.vocabulary import LISTED

_QUERIES = read_queries(__file__)
_STEPS = pick_queries(_QUERIES, "refusing_sites", "leftovers", "shown_by_many")
_READ = ["domain", "period", "state", "insufficient_reason", "has_problem", "defect_count"]


def set_aside_reasons(
    connection: duckdb.DuckDBPyConnection, table: pd.DataFrame, thresholds: Thresholds
) -> pd.Series:
    """Return for each pair the reason why its site with problems is not listed, else an empty text.

    It is the reason of most of the site's problems. If these have none, the states decide.

    Args:
        connection: connection to ``dated_outcomes, sessions, periods`` and their source tables.
        table: the pairs, each in a period, with their ``state``, whether one ``has_problem``, and
            how many sessions failed on one kind of probe only (``defect_count``).
        thresholds: ``refusal_share`` and ``floor_sessions``.
    """
    asked = table[_READ].assign(number=table.index, is_listed=table["state"].isin(LISTED))
    connection.register("pairs_at_hand", asked)
    create_tables(connection, _STEPS, vars(thresholds))
    reasons = connection.execute(_QUERIES["set_aside_reasons"]).df().set_index("number")
    return reasons["reason"].reindex(table.index).fillna("")
