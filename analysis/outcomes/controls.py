"""What a measurement and its control say by themselves, layer by layer, and the pooled controls."""

import duckdb

from analysis.outcomes.enumerations import create_enumerations
from analysis.outcomes.macros import create_macros
from analysis.outcomes.steps import chain, create_tables, create_views
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries

# A measurement that is judged alone is a run of its own.
_POOLED = "SELECT *, run AS session FROM observations"
_LONE = "SELECT *, row_id AS session FROM observations"

_QUERIES = read_queries(__file__)
_BASIC_VIEWS = pick_queries(_QUERIES, "typed_observations", "observed_controls")
#: The steps from there to the view ``controlled``, each of which reads the one before.
_VIEWS = pick_queries(_QUERIES, "observed_answers", "observed_attempts", "controlled")
#: Steps of the profiles that only controls are asked for.
NAME_STEPS = pick_queries(_QUERIES, "broken_names")


def read_controls(*, is_pooled: bool) -> dict[str, str]:
    """The views in which each measurement is read, over the tables of ``add_controls``.

    ``controlled``: one row per measurement, with all columns of ``observations`` and what it says
    by itself of its control, its answers, its connections and handshakes, and its page.
    """
    sessions = _POOLED if is_pooled else _LONE
    return {"session_observations": sessions, **_BASIC_VIEWS, "controlled": chain(_VIEWS)}


def add_controls(
    connection: duckdb.DuckDBPyConnection, thresholds: Thresholds, place: str, *, is_pooled: bool
) -> None:
    """Create the macros, the types, the views of ``read_controls`` and the table ``name_pool``.

    ``name_pool``: one row per site and day that a control spoke of, with ``name_pool`` (``exists``
    or ``missing``): the word of most sessions within ``pool_days`` days; of ``control_days``, the
    sessions by day. Empty unless pooled.
    """
    create_macros(connection, place)
    create_enumerations(connection, place)
    create_views(connection, read_controls(is_pooled=is_pooled))
    steps = pick_queries(_QUERIES, "control_days", "name_pool")
    create_tables(connection, steps, vars(thresholds), place, is_filled=is_pooled)
