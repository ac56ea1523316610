"""Features: the columns that the rules name, one row per measurement, scalars only.

Everything is SQL in DuckDB over a relation ``observations`` (see ``schema.OBSERVATION``), so that
a year of a country and a single file for ``judge`` take the same steps. ``features.md`` describes
each column.
"""

from typing import Self

import duckdb

from analysis.outcomes.controls import add_controls, read_controls
from analysis.outcomes.steps import chain, create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries
from analysis.store.stage_tables import Tables

_QUERIES = read_queries(__file__)
#: Query of the sessions that roam, in the relation ``$rows``.
ROAMING = _QUERIES["roaming_sessions"]
#: The steps from ``controlled`` to ``features``, each of which reads the one before.
_CHAIN = pick_queries(
    _QUERIES,
    *("pooled_observations", "attempt_results", "page_results", "layer_results"),
    *("measured", "features"),
)


class Features(Tables):
    """``features``, one row per measurement, and its source tables, with the observations."""

    @classmethod
    def at(cls, catalog: str, observations: Tables, *, is_pooled: bool = True) -> Self:
        """Return the tables that ``add_features`` makes in a catalog."""
        return cls((catalog, *observations.catalogs), read_controls(is_pooled=is_pooled))


def add_features(
    connection: duckdb.DuckDBPyConnection,
    observations: Tables,
    thresholds: Thresholds,
    catalog: str,
    *,
    is_pooled: bool = True,
) -> Features:
    """Create the table ``features``.

    Args:
        connection: to all tables.
        observations: tables with the relation ``observations``.
        thresholds: ``pool_days`` and ``body_match`` are used.
        catalog: the catalog in which it is made.
        is_pooled: false judges each measurement alone, by its own control and session only.

    One row is one measurement. Columns: its identity (``row_id, input, measurement_start_time,
    day, session, domain, registrable_domain, probe_asn, resolver_asn``),
    OONI's flags, and per layer the scalars that the conditions in ``rules`` name, see
    ``features.md``. Order is not defined.

    Source of the method: OONI pipeline v5's observation groups; names that do not exist are found
    by pooled controls.
    """
    features, numbers = Features.at(catalog, observations, is_pooled=is_pooled), vars(thresholds)
    with features.opened(connection) as opened:
        add_controls(opened, thresholds, catalog, is_pooled=is_pooled)
        pooled = pick_queries(_QUERIES, "address_tries", "serving", "certified")
        create_tables(opened, pooled, numbers, catalog, is_filled=is_pooled)
        steps = pick_queries(_QUERIES, "vouched", "ipv6", "roaming_sessions")
        values = {**numbers, "rows": "typed_observations"}
        create_tables(opened, {**steps, "features": chain(_CHAIN)}, values, catalog)
    return features
