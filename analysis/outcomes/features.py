"""From observations to what the rules look at: one row per measurement, scalars only.

Everything is SQL in DuckDB over a relation ``observations`` (see ``schema.OBSERVATION``), so that
a year of a country and a single file for ``judge`` take the same way. ``features.md`` says of each
column what it means.
"""

from typing import Self

import duckdb

from analysis.outcomes.controls import add_controls, read_controls
from analysis.outcomes.steps import chain, create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries
from analysis.store.stage_tables import Tables

_QUERIES = read_queries(__file__)
#: The sessions that roam, of the relation ``$rows``.
ROAMING = _QUERIES["roaming_sessions"]
#: The steps from ``controlled`` to ``features``, each of which reads the one before.
_CHAIN = pick_queries(
    _QUERIES,
    *("pooled_observations", "attempt_results", "page_results", "layer_results"),
    *("measured", "features"),
)


class Features(Tables):
    """``features``, one row per measurement, and what it is made of, with the observations."""

    @classmethod
    def at(cls, place: str, observations: Tables, *, is_pooled: bool = True) -> Self:
        """Those that ``add_features`` makes in a catalog."""
        return cls((place, *observations.catalogs), read_controls(is_pooled=is_pooled))


def add_features(
    connection: duckdb.DuckDBPyConnection,
    observations: Tables,
    thresholds: Thresholds,
    place: str,
    *,
    is_pooled: bool = True,
) -> Features:
    """Create the table ``features``.

    Args:
        connection: to all tables.
        observations: hold the relation ``observations``.
        thresholds: ``pool_days`` and ``body_match`` are used.
        place: the catalog in which it is made.
        is_pooled: false judges each measurement alone, by its own control and session only.

    One row is one measurement. Columns: its identity (``row_id, input, measurement_start_time,
    day, session, domain, registrable_domain, probe_asn, resolver_asn``),
    OONI's flags, and per layer the scalars that the conditions in ``rules`` name, see
    ``features.md``. Order is not defined.

    Source of the method: OONI pipeline v5's observation groups; names that do not exist are told by
    pooled controls.
    """
    features, numbers = Features.at(place, observations, is_pooled=is_pooled), vars(thresholds)
    with features.opened(connection) as opened:
        add_controls(opened, thresholds, place, is_pooled=is_pooled)
        pooled = pick_queries(_QUERIES, "address_tries", "serving", "certified")
        create_tables(opened, pooled, numbers, place, is_filled=is_pooled)
        steps = pick_queries(_QUERIES, "vouched", "ipv6", "roaming_sessions")
        given = {**numbers, "rows": "typed_observations"}
        create_tables(opened, {**steps, "features": chain(_CHAIN)}, given, place)
    return features
