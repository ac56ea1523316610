"""Outcomes: the rule that fires at each layer of a measurement, and the rule that decides."""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Self

import duckdb
import pandas as pd

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.devices import find_broken_sessions
from analysis.outcomes.features import add_features
from analysis.outcomes.profiles import Profiles, add_profiles
from analysis.outcomes.rules import LAYERS, RULES, Rule, RuleError, check_rules, rules_of
from analysis.outcomes.steps import chain, create_tables, create_type, create_views
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries
from analysis.store.stage_tables import Tables, add_room

_QUERIES = read_queries(__file__)


class Outcomes(Tables):
    """``outcomes``, and their source tables.

    ``outcomes``: one row is one measurement: its identity, ``measurement_start_time`` (UTC),
    ``domain``, ``probe_asn``, ``resolver_asn``, ``site_asn`` (where the site is), ``software``
    (name and version of the probe), ``day``, ``session``, OONI's flags, the rule of each layer
    (``dns_rule`` …), and the rule that explains the whole (``rule_id``) with its ``class``
    (blocked, down, ok, unknown), ``mechanism``, ``evidence``, ``is_artefact`` and
    ``is_about_target``; ``first_rule`` is the rule before broken sessions are found. Order is not
    defined.
    """

    @classmethod
    def beside(cls, profiles: Tables, catalog: str) -> Self:
        """Return the tables that ``apply_rules`` makes in a catalog."""
        return cls((catalog, *profiles.catalogs), profiles.views)


def add_outcomes(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    fingerprints: Fingerprints,
    rules: Iterable[Rule] = RULES,
    *,
    is_pooled: bool = True,
) -> Outcomes:
    """Make the outcomes of the ``observations`` in a connection's own database, in memory.

    With ``is_pooled`` false each measurement is judged alone: results that need many measurements
    (a sinkhole, a substitution, a page served for many names, a pooled control) are unknown.

    Raises:
        RuleError: a rule cannot work.
    """
    catalog = add_room(connection, "outcomes")
    own = Tables.of(connection)
    features = add_features(connection, own, thresholds, catalog, is_pooled=is_pooled)
    profiles = add_profiles(
        connection, features, thresholds, fingerprints, catalog, is_pooled=is_pooled
    )
    return apply_rules(connection, profiles, thresholds, rules, catalog, is_pooled=is_pooled)


def apply_rules(
    connection: duckdb.DuckDBPyConnection,
    profiles: Profiles,
    thresholds: Thresholds,
    rules: Iterable[Rule],
    catalog: str,
    *,
    is_pooled: bool = True,
    reference_asns: Collection[int] | None = None,
) -> Outcomes:
    """Create ``outcomes`` from ``profiled``: the rules alone, over features already computed.

    First the layers are read, then the guards, which need the outcome of every measurement and
    change some.

    ``reference_asns`` are the networks by which others may be judged; by default all.

    Raises:
        RuleError: a rule cannot work.
    """
    rules = tuple(rules)
    check_rules(rules)
    outcomes = Outcomes.beside(profiles, catalog)
    with outcomes.opened(connection) as opened:
        create_views(opened, profiles.views)
        _add_rules(opened, rules, catalog)
        try:
            create_tables(opened, {"first_reading": _read_layers(rules)}, {})
        except duckdb.Error:
            _check_conditions(opened, [rule for rule in rules if rule.layer in LAYERS], "profiled")
            raise
        find_broken_sessions(
            opened, thresholds, catalog, is_pooled=is_pooled, reference_asns=reference_asns
        )
        try:
            create_tables(opened, {"outcomes": _explain(rules)}, {}, catalog)
        except duckdb.Error:
            _check_conditions(opened, rules_of("session", rules), f"({_QUERIES['guarded']})")
            raise
    return outcomes


def _read_layers(rules: tuple[Rule, ...]) -> str:
    """Return SQL for each measurement of ``profiled`` with its deciding rule before the guards."""
    steps = pick_queries(_QUERIES, "layer_outcomes", "first_reading")
    return chain({"fired": _fired(rules), **steps})


def _fired(rules: tuple[Rule, ...]) -> str:
    """Return SQL for each measurement of ``profiled`` with the rule of each layer."""
    firing = ",\n".join(f"{_first_match(rules_of(name, rules))} AS {name}_rule" for name in LAYERS)
    return f"""
SELECT row_id, input, measurement_start_time, day, session,
  domain, registrable_domain, probe_asn, resolver_asn, site_asn, is_https,
  software, is_anomaly, is_confirmed, is_failure, is_of_network,
  coalesce(dns_failure, http_failure) IS NOT NULL AS is_failing, {firing}
FROM profiled
"""


def _explain(rules: tuple[Rule, ...]) -> str:
    """Return SQL for each measurement with its deciding rule after the guards."""
    return f"""
WITH guarded AS ({_QUERIES["guarded"]}),
decided AS (
  SELECT * REPLACE (coalesce({_first_match(rules_of("session", rules))}, rule_id) AS rule_id),
    rule_id AS first_rule
  FROM guarded
)
SELECT d.* EXCLUDE (is_broken_session, is_of_network),
  r.* EXCLUDE (rule_id) REPLACE (coalesce(is_artefact AND is_of_network, FALSE) AS is_artefact)
FROM decided d JOIN rules r USING (rule_id)
"""


def _first_match(rules: tuple[Rule, ...]) -> str:
    """Return SQL for the id of the first rule whose condition is met, or null."""
    arms = "\n".join(f"WHEN ({rule.condition}) THEN '{rule.rule_id}'::rule_name" for rule in rules)
    return f"CASE {arms} END" if rules else "NULL"


def _check_conditions(
    connection: duckdb.DuckDBPyConnection, rules: Iterable[Rule], relation: str
) -> None:
    """Find the rule whose condition DuckDB does not understand.

    Raises:
        RuleError: of the first such rule.
    """
    for rule in rules:
        query = f"SELECT coalesce(({rule.condition}), FALSE) FROM {relation}"
        try:
            connection.execute(f"DESCRIBE {query}")
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            problem = f"its condition is no SQL over the columns of features.md: {reason}"
            raise RuleError(rule.rule_id, problem) from None


def _add_rules(
    connection: duckdb.DuckDBPyConnection, rules: tuple[Rule, ...], catalog: str
) -> None:
    """Create ``rules``, one row per rule, with its texts as enumerations."""
    table = pd.DataFrame(map(asdict, rules)).rename(columns={"outcome": "class"})
    table = table.drop(columns=["condition", "comment"]).assign(rule_order=range(len(rules)))
    types: dict[str, tuple[str, Iterable[str]]] = {
        "rule_id": ("rule_name", table["rule_id"]),
        "class": ("class_name", ["blocked", "down", "ok", "unknown"]),
        "evidence": ("evidence_name", ["none", "discarded", "scored"]),
        "mechanism": ("mechanism_name", sorted(set(table["mechanism"]))),
        "set_aside": ("reason_name", sorted(set(table["set_aside"]))),
    }
    for name, texts in types.values():
        listed = ", ".join(f"'{text}'" for text in texts)
        create_type(connection, name, f"({listed})", catalog)
    connection.register("registered_rules", table)
    typed = ", ".join(f"{column}::{name} AS {column}" for column, (name, _) in types.items())
    query = f"SELECT * REPLACE ({typed}, rule_order::UTINYINT AS rule_order) FROM registered_rules"
    create_tables(connection, {"rules": query}, {}, catalog)
    connection.unregister("registered_rules")
