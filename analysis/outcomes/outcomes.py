"""Which rule each layer of a measurement fires, and what the measurement shows as a whole."""

from itertools import chain
from typing import Any

import duckdb

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.features import add_features
from analysis.outcomes.guards import add_guards
from analysis.outcomes.profiles import add_profiles
from analysis.outcomes.rules import LAYERS, RULES, Rule, rules_of
from analysis.outcomes.thresholds import Thresholds

# How layers combine. DNS comes first: where the name is not resolved to the site, nothing behind
# it is the site's. A page that is reached settles the rest, whatever a separate connection of the
# same measurement ran into; only a handshake that is cut towards the site's own address still
# counts where a plain page got through. What only a block leaves, and for a plain input the
# page itself, outranks the look at another port. "down" at a later layer never outranks a block
# of the page: a site without https is not down. Where a connection or handshake that says nothing
# is all that came after a good lookup, it explains the measurement: the lookup does not make it ok.
_CHOICE = """
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
END
"""

_OUTCOME = (
    *("class", "mechanism", "evidence", "is_artefact", "is_about_target", "set_aside"),
    "rule_order",
)

#: Numbers that no profile can reach.
_NO_PROFILES: dict[str, Any] = {
    "sinkhole_names": 10**9,
    "blockpage_names": 10**9,
    "substitution_dead_share": 2.0,
    "floor_sessions": 10**9,
    "broken_names": 10**9,
    "defect_names": 10**9,
}


class _Unreachable(Thresholds):
    """Numbers beyond every range, on purpose."""

    def __post_init__(self) -> None:
        """Nothing is checked."""


def add_outcomes(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    fingerprints: Fingerprints,
    rules: tuple[Rule, ...] = RULES,
    *,
    is_pooled: bool = True,
) -> None:
    """Create the table ``outcomes`` beside ``observations``.

    With ``is_pooled`` false each measurement is judged alone: what only many measurements can
    show (a sinkhole, a substitution, a page served for many names, a pooled control) is unknown.

    One row is one measurement: its identity, ``domain``, ``probe_asn``, ``resolver_asn``,
    ``day``, ``session``, OONI's flags, the rule of each layer (``dns_rule`` …), and the rule that
    explains the whole (``rule_id``) with its ``class`` (blocked, down, ok, unknown),
    ``mechanism``, ``evidence``, ``is_artefact`` and ``is_about_target``. Order is not defined.
    """
    add_features(connection, thresholds, is_pooled=is_pooled)
    if not is_pooled:
        thresholds = _Unreachable(**{**vars(thresholds), **_NO_PROFILES})
    add_profiles(connection, thresholds, fingerprints)
    apply_rules(connection, thresholds, rules)


def apply_rules(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    rules: tuple[Rule, ...] = RULES,
) -> None:
    """Create ``outcomes`` from ``profiled``: the rules alone, over features already computed.

    First the layers, then the guards that need the outcome of every measurement and take some
    back.
    """
    _register_rules(connection, rules)
    firing = ",\n".join(f"{_case(rules_of(layer, rules))} AS {layer}_rule" for layer in LAYERS)
    classes = ",\n".join(
        f"{layer}.class AS {layer}_class, {layer}.evidence AS {layer}_evidence, "
        f"{layer}.is_artefact AS {layer}_is_artefact"
        for layer in LAYERS
    )
    joins = "\n".join(
        f"JOIN rules {layer} ON {layer}.rule_id = fired.{layer}_rule" for layer in LAYERS
    )
    connection.execute(f"""
    CREATE OR REPLACE TEMP TABLE outcomes AS
    WITH fired AS (
      SELECT object_key, line_number, has_report, input, measurement_start_time, day, session,
             domain, registrable_domain, probe_asn, resolver_asn, is_https,
             software, is_anomaly, is_confirmed, is_failure,
             coalesce(dns_failure, http_failure) IS NOT NULL AS is_failing, {firing}
      FROM profiled
    ), classed AS (SELECT fired.*, {classes} FROM fired {joins}),
    chosen AS (SELECT *, {_CHOICE} AS rule_id FROM classed)
    SELECT chosen.* EXCLUDE ({_helpers()}), r.* EXCLUDE (rule_id)
    FROM chosen JOIN rules r USING (rule_id)
    """)
    add_guards(connection, thresholds)
    taken = ", ".join(f"{column} = t.{column}" for column in ("rule_id", *_OUTCOME))
    connection.execute(f"""
    WITH guarded AS (
      SELECT o.object_key, o.line_number, b.session IS NOT NULL AS is_broken_session,
        d.software IS NOT NULL AND o.class = 'blocked' AND x.software IS NULL
          AS is_defective_version
      FROM outcomes o
        LEFT JOIN broken_sessions b USING (session, probe_asn)
        LEFT JOIN defective_versions d USING (software, mechanism)
        LEFT JOIN shared_failures x ON x.domain = o.domain AND x.probe_asn = o.probe_asn
          AND x.software = o.software AND x.quarter = date_trunc('quarter', o.day)
    ), taken AS (
      SELECT object_key, line_number, r.*
      FROM (SELECT *, {_case(rules_of("session", rules))} AS rule_id FROM guarded)
        JOIN rules r USING (rule_id)
    )
    UPDATE outcomes SET {taken} FROM taken t
    WHERE outcomes.object_key = t.object_key AND outcomes.line_number = t.line_number
    """)


def _helpers() -> str:
    return ", ".join(f"{layer}_class, {layer}_evidence, {layer}_is_artefact" for layer in LAYERS)


def _case(rules: tuple[Rule, ...]) -> str:
    arms = "\n".join(f"WHEN ({rule.condition}) THEN '{rule.rule_id}'::rule_name" for rule in rules)
    return f"CASE {arms} END"


def _register_rules(connection: duckdb.DuckDBPyConnection, rules: tuple[Rule, ...]) -> None:
    """``rules``: one row per rule, as the SQL joins them; its texts are enumerations."""
    values = {
        "rule_name": [rule.rule_id for rule in rules],
        "class_name": ["blocked", "down", "ok", "unknown"],
        "evidence_name": ["none", "discarded", "scored"],
        "mechanism_name": sorted({rule.mechanism for rule in rules}),
        "reason_name": sorted({rule.set_aside for rule in rules}),
    }
    connection.execute("DROP TABLE IF EXISTS rules")  # it depends on the types
    for name, texts in values.items():
        listed = ", ".join(f"'{text}'" for text in texts)
        connection.execute(f"CREATE OR REPLACE TEMP TYPE {name} AS ENUM ({listed})")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE rules (rule_id rule_name, class class_name, "
        "mechanism mechanism_name, evidence evidence_name, is_artefact BOOLEAN, "
        "is_about_target BOOLEAN, set_aside reason_name, rule_order UTINYINT)"
    )
    values_of = [
        (
            *(r.rule_id, r.outcome, r.mechanism, r.evidence),
            *(r.is_artefact, r.is_about_target, r.set_aside, order),
        )
        for order, r in enumerate(rules)
    ]
    # one statement: a row each would take longer than to judge a small study
    places = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * len(values_of))
    connection.execute(f"INSERT INTO rules VALUES {places}", list(chain(*values_of)))
