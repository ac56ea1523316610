"""OONI's pipeline v5: each observation speaks, by weights, for blocked, down and ok.

Written anew from its public source, with the weights that stand there;
docs/decisions/0011-baselines.md says where, and what had to be chosen.
"""

from dataclasses import dataclass

import duckdb
import pandas as pd
import pyarrow as pa

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.macros import keep_table

#: The site is more likely blocked than not.
_MORE_LIKELY = 0.5


@dataclass(frozen=True)
class WeightRule:
    """One line of OONI v5: how far an observation speaks for blocked, down and ok.

    Attributes:
        rule_id: OONI's name of the rule, after its layer.
        condition: SQL over one address of one measurement (``v5_observed``); first match wins.
        blocked, down, ok: weights from 0 to 1.
        is_scored: false where the rule says that nothing can be said.
    """

    rule_id: str
    condition: str
    blocked: float
    down: float
    ok: float
    is_scored: bool = True


_UNTRUSTED = "NOT is_trusted AND dns_blocked > 0 AND dns_ok <= dns_blocked + dns_down"

#: ooni/data, oonipipeline/analysis/rules.py, RULES_VERSION 2, in its order.
DNS: tuple[WeightRule, ...] = (
    WeightRule("dns.no_data", "NOT is_answer AND dns_failure IS NULL", 0, 0, 0, is_scored=False),
    WeightRule("dns.country_fingerprint", "is_fingerprint", 1, 0, 0),
    WeightRule("dns.tls_consistent", "is_answer AND tls_valid", 0, 0, 1),
    WeightRule("dns.bogon_not_in_control", "is_bogon AND NOT in_control", 0.95, 0.05, 0),
    WeightRule("dns.bogon_in_control", "is_bogon", 0.1, 0.9, 0),
    WeightRule(
        "dns.tls_inconsistent", "tls_invalid AND is_answer AND NOT in_control", 0.9, 0.05, 0.05
    ),
    WeightRule("dns.in_control", "in_control", 0, 0, 0.9),
    WeightRule("dns.asn_in_control", "same_network", 0.2, 0, 0.8),
    WeightRule(
        "dns.control_fails_too", "dns_failure IS NOT NULL AND dns_control <= 0.5", 0.1, 0.9, 0
    ),
    WeightRule("dns.failure", "dns_failure IS NOT NULL AND dns_control > 0.5", 0.9, 0.1, 0),
    WeightRule("dns.failure_no_control", "dns_failure IS NOT NULL", 0.5, 0.5, 0),
    WeightRule("dns.unmatched", "TRUE", 0.75, 0, 0.25),
)
TCP: tuple[WeightRule, ...] = (
    WeightRule("tcp.no_data", "tcp_count = 0", 0, 0, 0, is_scored=False),
    WeightRule("tcp.ok", "tcp_ok", 0, 0, 1),
    WeightRule("tcp.ipv6_broken", "is_ipv6 AND ipv6_failing > 0.5", 0, 0, 0, is_scored=False),
    WeightRule("tcp.failure", "tcp_control > 0.5", 0.75, 0.25, 0),
    WeightRule("tcp.untrusted", _UNTRUSTED, 0, 0, 0, is_scored=False),
    WeightRule("tcp.control_fails_too", "tcp_control <= 0.5", 0.25, 0.75, 0),
    WeightRule("tcp.no_control", "TRUE", 0, 0, 0, is_scored=False),
)
TLS: tuple[WeightRule, ...] = (
    WeightRule("tls.no_data", "tls_count = 0", 0, 0, 0, is_scored=False),
    WeightRule("tls.valid", "tls_valid", 0, 0, 1),
    WeightRule("tls.certificate", "tls_control > 0.5 AND tls_invalid", 0.9, 0.1, 0),
    WeightRule("tls.reset", "tls_control > 0.5 AND tls_failure = 'connection_reset'", 0.8, 0.2, 0),
    WeightRule("tls.failure", "tls_control > 0.5", 0.7, 0.3, 0),
    WeightRule("tls.untrusted", _UNTRUSTED, 0, 0, 0, is_scored=False),
    WeightRule("tls.tcp_blocked", "tcp_blocked > 0 AND tcp_ok_score <= tcp_blocked + tcp_down",
           0, 0, 0, is_scored=False),
    WeightRule("tls.control_fails_too", "tls_control <= 0.5", 0.2, 0.8, 0),
    WeightRule("tls.no_control", "TRUE", 0, 0, 0, is_scored=False),
)  # fmt: skip

# One row: one address of one measurement, or its failed lookup.
_ADDRESSES = """
CREATE OR REPLACE TEMP VIEW v5_addresses AS
WITH listed AS (
  SELECT row_id, domain, probe_asn, probe_cc, session,
    day, dns_failure, dns_answers, tcp, tls,
    list_distinct(list_concat([a.address FOR a IN dns_answers], [t.address FOR t IN tcp],
      [t.address FOR t IN tls IF t.address IS NOT NULL])) AS addresses
  FROM controlled WHERE domain <> ''
), single AS (
  SELECT * EXCLUDE (addresses, dns_failure), unnest(addresses) AS address,
    NULL::VARCHAR AS dns_failure FROM listed
  UNION ALL BY NAME
  SELECT * EXCLUDE (addresses), NULL::VARCHAR AS address FROM listed
  WHERE dns_failure IS NOT NULL OR len(addresses) = 0
)
SELECT * EXCLUDE (dns_answers, tcp, tls),
  list_first(list_filter(dns_answers, lambda a: a.address = address)) AS answer,
  list_filter(tcp, lambda t: t.address = address) AS tcp,
  list_filter(tls, lambda t: t.address = address OR (t.address IS NULL AND address IS NOT NULL))
    AS tls,
  coalesce(contains(address, ':'), FALSE) AS is_ipv6
FROM single
"""

# What the rules read of it.
_SEEN = """
CREATE OR REPLACE TEMP TABLE v5_seen AS
SELECT * EXCLUDE (answer, tcp, tls),
  answer IS NOT NULL AS is_answer,
  answer.special IS NOT NULL AS is_bogon,
  coalesce(answer.match = 'address', FALSE) AS in_control,
  coalesce(answer.match = 'asn', FALSE) AS same_network,
  f.address IS NOT NULL AND answer IS NOT NULL AS is_fingerprint,
  len(tcp) AS tcp_count,
  len([t.address FOR t IN tcp IF t.failure IS NULL]) > 0 AS tcp_ok,
  list_bool_or([t.control_ok FOR t IN tcp]) AS tcp_control_ok,
  len(tls) AS tls_count,
  len([t.address FOR t IN tls IF t.failure IS NULL]) > 0 AS tls_valid,
  len([t.address FOR t IN tls IF starts_with(t.failure, 'ssl_')]) > 0 AS tls_invalid,
  list_first([t.failure FOR t IN tls IF t.failure IS NOT NULL]) AS tls_failure,
  list_bool_or([t.control_ok FOR t IN tls]) AS tls_control_ok
FROM v5_addresses LEFT JOIN v5_fingerprints f USING (probe_cc, address)
"""

# A control counts by its share of successes over the day, as OONI pools it. Counted apart and
# joined: windows would sort all columns.
_OBSERVED = """
CREATE OR REPLACE TEMP VIEW v5_observed AS
WITH controls AS (
  SELECT domain, day, avg((len(control_answers) > 0)::INT) AS dns_control
  FROM controlled WHERE domain <> '' AND has_control GROUP BY ALL
), attempts AS (
  SELECT domain, day, address, avg(tcp_control_ok::INT) AS tcp_control,
    avg(tls_control_ok::INT) AS tls_control
  FROM v5_seen WHERE tcp_control_ok IS NOT NULL OR tls_control_ok IS NOT NULL GROUP BY ALL
), ipv6 AS (
  SELECT session, avg((NOT tcp_ok)::INT) AS ipv6_failing
  FROM v5_seen WHERE is_ipv6 AND tcp_count > 0 GROUP BY session
)
SELECT s.*, in_control OR tls_valid AS is_trusted, dns_control, tcp_control, tls_control,
  ipv6_failing
FROM v5_seen s LEFT JOIN controls USING (domain, day)
  LEFT JOIN attempts USING (domain, day, address) LEFT JOIN ipv6 USING (session)
"""

# The weights of each layer, which the rules of the next one read.
_WEIGHED_DNS = """
CREATE OR REPLACE TEMP VIEW v5_weighed_dns AS
SELECT *, max(dns.blocked) OVER one AS dns_blocked, max(dns.down) OVER one AS dns_down,
  max(dns.ok) OVER one AS dns_ok
FROM v5_dns WINDOW one AS (PARTITION BY row_id)
"""
_WEIGHED_TCP = """
CREATE OR REPLACE TEMP VIEW v5_weighed_tcp AS
SELECT *, tcp.blocked AS tcp_blocked, tcp.down AS tcp_down, tcp.ok AS tcp_ok_score FROM v5_tcp
"""

# Rounded, since the order in which floats are added up would decide ties.
_SESSIONS = """
CREATE OR REPLACE TEMP TABLE v5_sessions AS
WITH scores AS (
  SELECT row_id, domain, probe_asn, session, unnest([dns, tcp, tls]) AS score
  FROM v5_tls
), measurements AS (
  SELECT domain, probe_asn, session, max(score.blocked) AS blocked_weight,
    arg_max(score.rule_id, (score.blocked, score.rule_id)) AS rule_id
  FROM scores WHERE score.is_scored GROUP BY row_id, domain, probe_asn, session
)
SELECT domain, probe_asn, session, round(avg(blocked_weight), 9) AS blocked_weight,
  arg_max(rule_id, (blocked_weight, rule_id)) AS rule_id
FROM measurements GROUP BY domain, probe_asn, session
"""

_CELLS = """
SELECT c.domain, concat('AS', c.probe_asn) AS probe_asn, c.probe_asn AS asn,
  round(avg(s.blocked_weight), 9) AS blocked_mean, count(s.session) AS session_count,
  mode(s.rule_id ORDER BY s.rule_id) FILTER (s.blocked_weight >= $more_likely) AS rule_id
FROM (SELECT DISTINCT domain, probe_asn FROM observations WHERE domain <> '') c
  LEFT JOIN v5_sessions s USING (domain, probe_asn)
GROUP BY ALL ORDER BY c.domain, asn
"""


def ooni_v5(connection: duckdb.DuckDBPyConnection, fingerprints: Fingerprints) -> pd.DataFrame:
    """OONI's pipeline v5: weights per observation, the most blocked address and layer counts.

    OONI publishes the weights per measurement and leaves the rest to its readers. Here a
    session's weight is the mean of its measurements', a pair's that of its sessions, and the site
    is listed where it is more likely blocked than not.

    Args:
        connection: holds ``observations`` and ``controlled``.
        fingerprints: OONI's blocking fingerprints.

    Returns:
        Besides the common columns ``blocked_mean`` and ``session_count``, the sessions in which
        anything could be scored.
    """
    keep_table(connection, "v5_fingerprints", _fingerprint_table(fingerprints))
    steps = [
        _ADDRESSES, _SEEN, _OBSERVED,
        _weighing("dns", DNS, "v5_observed"), _WEIGHED_DNS,
        _weighing("tcp", TCP, "v5_weighed_dns"), _WEIGHED_TCP,
        _weighing("tls", TLS, "v5_weighed_tcp"), _SESSIONS,
    ]  # fmt: skip
    for step in steps:
        connection.execute(step)
    frame = connection.execute(_CELLS, {"more_likely": _MORE_LIKELY}).df()
    connection.execute("DROP TABLE v5_seen CASCADE")
    reasons = [
        f"{rule + ', ' if isinstance(rule, str) else ''}blocked {mean:.2f} over {n} sessions"
        if n
        else "nothing could be scored"
        for rule, mean, n in zip(
            frame["rule_id"], frame["blocked_mean"], frame["session_count"], strict=True
        )
    ]
    return frame[["domain", "probe_asn"]].assign(
        is_listed=frame["blocked_mean"] >= _MORE_LIKELY,
        reason=reasons,
        **frame[["blocked_mean", "session_count"]],
    )


def _weighing(layer: str, rules: tuple[WeightRule, ...], rows: str) -> str:
    """A view that adds the first rule of the layer that matches, as a struct named after it."""
    arms = "\n".join(
        f"WHEN {rule.condition} THEN {{'rule_id': '{rule.rule_id}', "
        f"'blocked': {float(rule.blocked)}::DOUBLE, 'down': {float(rule.down)}::DOUBLE, "
        f"'ok': {float(rule.ok)}::DOUBLE, 'is_scored': {rule.is_scored}}}"
        for rule in rules
    )
    return (
        f"CREATE OR REPLACE TEMP VIEW v5_{layer} AS "
        f"SELECT *, CASE {arms} END AS {layer} FROM {rows}"
    )


def _fingerprint_table(fingerprints: Fingerprints) -> pa.Table:
    """Country × address that OONI lists as a block answer there."""
    rows = [
        {"probe_cc": cc, "address": fingerprint.pattern}
        for fingerprint in fingerprints.dns
        if fingerprint.pattern_type == "full"
        for cc in sorted(fingerprint.expected_countries)
    ]
    return pa.Table.from_pylist(
        rows, pa.schema([("probe_cc", pa.string()), ("address", pa.string())])
    )
