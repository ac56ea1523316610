"""Which rule each layer of a measurement fires, and what the measurement shows as a whole."""

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
from analysis.store.stage_tables import Tables, add_room

_LAYER_OUTCOMES = """
SELECT fired.*,
  dns.class AS dns_class, dns.evidence AS dns_evidence,
  tcp.class AS tcp_class, tcp.evidence AS tcp_evidence,
  tls.class AS tls_class, tls.evidence AS tls_evidence,
  http.class AS http_class, http.evidence AS http_evidence, http.is_artefact AS http_is_artefact
FROM fired
  JOIN rules dns ON dns.rule_id = fired.dns_rule
  JOIN rules tcp ON tcp.rule_id = fired.tcp_rule
  JOIN rules tls ON tls.rule_id = fired.tls_rule
  JOIN rules http ON http.rule_id = fired.http_rule
"""

# How layers combine. DNS comes first: where the name is not resolved to the site, nothing behind
# it is the site's. A page that is reached settles the rest, whatever a separate connection of the
# same measurement ran into; only a handshake that is cut towards the site's own address still
# counts where a plain page got through. What only a block leaves, and for a plain input the
# page itself, outranks the look at another port. "down" at a later layer never outranks a block
# of the page: a site without https is not down. Where a connection or handshake that says nothing
# is all that came after a good lookup, it explains the measurement: the lookup does not make it ok.
_FIRST_READING = """
SELECT * EXCLUDE (dns_class, dns_evidence, tcp_class, tcp_evidence, tls_class, tls_evidence,
    http_class, http_evidence, http_is_artefact),
  CASE
    WHEN dns_class IN ('blocked', 'down') THEN dns_rule
    WHEN http_class = 'ok' AND dns_class = 'unknown' AND dns_evidence = 'scored' THEN dns_rule
    WHEN http_rule = 'http.https' THEN http_rule
    WHEN http_class = 'blocked' AND (http_is_artefact OR NOT is_https) THEN http_rule
    WHEN tls_class = 'blocked' AND tls_rule = 'tls.reset' THEN tls_rule
    WHEN http_class = 'ok' THEN http_rule
    WHEN tcp_class = 'blocked' THEN tcp_rule
    WHEN tls_class = 'blocked' THEN tls_rule
    WHEN http_class = 'blocked' THEN http_rule
    WHEN tcp_class = 'down' THEN tcp_rule
    WHEN tls_class = 'down' AND is_https THEN tls_rule
    WHEN http_class = 'down' THEN http_rule
    WHEN dns_evidence = 'scored' AND dns_class = 'unknown' THEN dns_rule
    WHEN tls_evidence = 'scored' AND tls_class = 'unknown' THEN tls_rule
    WHEN http_evidence = 'scored' AND http_class = 'unknown' THEN http_rule
    WHEN http_rule IN ('http.not_measured', 'http.not_connected')
      AND (dns_class = 'ok' OR dns_evidence = 'none')
      AND 'discarded' IN (tcp_evidence, tls_evidence)
      THEN CASE tcp_evidence WHEN 'discarded' THEN tcp_rule ELSE tls_rule END
    WHEN http_evidence <> 'none' THEN http_rule
    WHEN dns_evidence <> 'none' THEN dns_rule
    ELSE http_rule
  END AS rule_id
FROM layer_outcomes
"""

_GUARDED = """
SELECT f.*, b.session IS NOT NULL AS is_broken_session
FROM first_reading f LEFT JOIN broken_sessions b USING (session, probe_asn)
"""


class Outcomes(Tables):
    """``outcomes``, and what they are made of.

    ``outcomes``: one row is one measurement: its identity, ``measurement_start_time`` (UTC),
    ``domain``, ``probe_asn``, ``resolver_asn``, ``site_asn`` (where the site is), ``software``
    (name and version of the probe), ``day``, ``session``, OONI's flags, the rule of each layer
    (``dns_rule`` …), and the rule that explains the whole (``rule_id``) with its ``class``
    (blocked, down, ok, unknown), ``mechanism``, ``evidence``, ``is_artefact`` and
    ``is_about_target``; ``first_rule`` is the one before devices are asked. Order is not defined.
    """

    @classmethod
    def beside(cls, profiles: Tables, place: str) -> Self:
        """Those that ``apply_rules`` makes in a catalog."""
        return cls((place, *profiles.catalogs), profiles.views)


def add_outcomes(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    fingerprints: Fingerprints,
    rules: Iterable[Rule] = RULES,
    *,
    is_pooled: bool = True,
) -> Outcomes:
    """Make the outcomes of the ``observations`` in a connection's own database, in memory.

    With ``is_pooled`` false each measurement is judged alone: what only many measurements can
    show (a sinkhole, a substitution, a page served for many names, a pooled control) is unknown.

    Raises:
        RuleError: a rule cannot work.
    """
    place = add_room(connection, "outcomes")
    own = Tables.of(connection)
    features = add_features(connection, own, thresholds, place, is_pooled=is_pooled)
    profiles = add_profiles(
        connection, features, thresholds, fingerprints, place, is_pooled=is_pooled
    )
    return apply_rules(connection, profiles, thresholds, rules, place, is_pooled=is_pooled)


def apply_rules(
    connection: duckdb.DuckDBPyConnection,
    profiles: Profiles,
    thresholds: Thresholds,
    rules: Iterable[Rule],
    place: str,
    *,
    is_pooled: bool = True,
    speaking: Collection[int] | None = None,
) -> Outcomes:
    """Create ``outcomes`` from ``profiled``: the rules alone, over features already computed.

    First the layers, then the guards, which need the outcome of every measurement and take some
    back.

    Raises:
        RuleError: a rule cannot work.
    """
    rules = tuple(rules)
    check_rules(rules)
    outcomes = Outcomes.beside(profiles, place)
    with outcomes.opened(connection) as opened:
        create_views(opened, profiles.views)
        _add_rules(opened, rules, place)
        try:
            create_tables(opened, {"first_reading": _read_layers(rules)}, {})
        except duckdb.Error:
            _check_conditions(opened, [rule for rule in rules if rule.layer in LAYERS], "profiled")
            raise
        find_broken_sessions(opened, thresholds, place, is_pooled=is_pooled, speaking=speaking)
        try:
            create_tables(opened, {"outcomes": _explain(rules)}, {}, place)
        except duckdb.Error:
            _check_conditions(opened, rules_of("session", rules), f"({_GUARDED})")
            raise
    return outcomes


def _read_layers(rules: tuple[Rule, ...]) -> str:
    """SQL: each measurement of ``profiled`` with the rule that explains it, before the guards."""
    steps = {"fired": _fired(rules), "layer_outcomes": _LAYER_OUTCOMES}
    return chain({**steps, "first_reading": _FIRST_READING})


def _fired(rules: tuple[Rule, ...]) -> str:
    """SQL: each measurement of ``profiled`` with the rule of each layer."""
    firing = ",\n".join(f"{_first_match(rules_of(name, rules))} AS {name}_rule" for name in LAYERS)
    return f"""
SELECT row_id, input, measurement_start_time, day, session,
  domain, registrable_domain, probe_asn, resolver_asn, site_asn, is_https,
  software, is_anomaly, is_confirmed, is_failure,
  coalesce(dns_failure, http_failure) IS NOT NULL AS is_failing, {firing}
FROM profiled
"""


def _explain(rules: tuple[Rule, ...]) -> str:
    """SQL: each measurement with the rule that explains it, after the guards."""
    return f"""
WITH guarded AS ({_GUARDED}),
decided AS (
  SELECT * REPLACE (coalesce({_first_match(rules_of("session", rules))}, rule_id) AS rule_id),
    rule_id AS first_rule
  FROM guarded
)
SELECT d.* EXCLUDE (is_broken_session), r.* EXCLUDE (rule_id)
FROM decided d JOIN rules r USING (rule_id)
"""


def _first_match(rules: tuple[Rule, ...]) -> str:
    """SQL: the id of the first rule whose condition is met, or null."""
    arms = "\n".join(f"WHEN ({rule.condition}) THEN '{rule.rule_id}'::rule_name" for rule in rules)
    return f"CASE {arms} END" if rules else "NULL"


def _check_conditions(
    connection: duckdb.DuckDBPyConnection, rules: Iterable[Rule], relation: str
) -> None:
    """Say which rule's condition DuckDB does not understand.

    Raises:
        RuleError: the first such rule.
    """
    for rule in rules:
        query = f"SELECT coalesce(({rule.condition}), FALSE) FROM {relation}"
        try:
            connection.execute(f"DESCRIBE {query}")
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            problem = f"its condition is no SQL over the columns of features.md: {reason}"
            raise RuleError(rule.rule_id, problem) from None


def _add_rules(connection: duckdb.DuckDBPyConnection, rules: tuple[Rule, ...], place: str) -> None:
    """``rules``: one row per rule, as the SQL joins them; its texts are enumerations."""
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
        create_type(connection, name, f"({listed})", place)
    connection.register("rules_at_hand", table)
    typed = ", ".join(f"{column}::{name} AS {column}" for column, (name, _) in types.items())
    query = f"SELECT * REPLACE ({typed}, rule_order::UTINYINT AS rule_order) FROM rules_at_hand"
    create_tables(connection, {"rules": query}, {}, place)
    connection.unregister("rules_at_hand")
