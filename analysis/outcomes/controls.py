"""Columns of a measurement and its control, layer by layer, and the pooled controls."""

import duckdb

from analysis.outcomes.enumerations import create_enumerations
from analysis.outcomes.macros import create_macros
from analysis.outcomes.steps import chain, create_tables, create_views
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries

# If measurements are judged alone, each is a session.
_POOLED = "SELECT *, run AS session FROM observations"
_LONE = "SELECT *, row_id AS session FROM observations"

_QUERIES = read_queries(__file__)
_BASIC_VIEWS = pick_queries(_QUERIES, "typed_observations", "observed_controls")
#: The steps from these to the view ``controlled``, each of which reads the one before.
_VIEWS = pick_queries(_QUERIES, "observed_answers", "observed_attempts", "controlled")
#: Steps of the profiles that read only controls.
NAME_STEPS = pick_queries(_QUERIES, "broken_names")


def read_controls(*, is_pooled: bool) -> dict[str, str]:
    """Return the views of measurements over the tables of ``add_controls``, by name.

    ``controlled``: one row per measurement, with all columns of ``observations`` and those of its
    control, answers, connections, handshakes and page.
    """
    sessions = _POOLED if is_pooled else _LONE
    return {"session_observations": sessions, **_BASIC_VIEWS, "controlled": chain(_VIEWS)}


def add_controls(
    connection: duckdb.DuckDBPyConnection, thresholds: Thresholds, catalog: str, *, is_pooled: bool
) -> None:
    """Create the macros, the types, the views of ``read_controls`` and the table ``name_pool``.

    ``name_pool``: one row per site and day on which a control looked up its name, with
    ``name_pool`` (``exists`` or ``missing``): the result of most sessions within ``pool_days``
    days. ``control_days`` has the sessions by day. Both are empty unless pooled.
    """
    create_macros(connection, catalog)
    create_enumerations(connection, catalog)
    create_views(connection, read_controls(is_pooled=is_pooled))
    steps = pick_queries(_QUERIES, "control_days", "name_pool")
    create_tables(connection, steps, vars(thresholds), catalog, is_filled=is_pooled)
