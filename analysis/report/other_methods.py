"""Other people's methods on the same observations, so that their lists can be laid beside ours.

Three published ways to say that a site is blocked: iMAP's reports of 2024, OONI's pipeline v5, and
OONI's flags as the Explorer shows them. Each is written anew from its public source, with the
numbers that stand there; docs/decisions/0011-baselines.md says where, and what had to be chosen.

All return one row per site and network: ``domain, probe_asn``, ``is_listed`` and
``reason`` (what the method would answer when asked why, or why not), sorted by name and network.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from pandas.api.types import is_bool

from analysis.errors import ParameterError
from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.steps import create_tables, create_views, keep_frames, keep_table, read_frame
from analysis.reference.release import digest_modules
from analysis.sql import pick_queries, read_queries
from analysis.study.confirmation import Maker, Method
from analysis.study.study import Study
from analysis.study.variants import Variant
from analysis.verdicts.sessions import Operators
from analysis.vocabulary import METHODS

#: The site is more likely blocked than not.
_MORE_LIKELY = 0.5


@dataclass(frozen=True)
class WeightRule:
    """One line of OONI v5: how strongly an observation supports blocked, down and ok.

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
    WeightRule("tcp.no_data", "NOT is_tried", 0, 0, 0, is_scored=False),
    WeightRule("tcp.ok", "tcp_ok", 0, 0, 1),
    WeightRule("tcp.ipv6_broken", "is_ipv6 AND ipv6_failing > 0.5", 0, 0, 0, is_scored=False),
    WeightRule("tcp.failure", "tcp_control > 0.5", 0.75, 0.25, 0),
    WeightRule("tcp.untrusted", _UNTRUSTED, 0, 0, 0, is_scored=False),
    WeightRule("tcp.control_fails_too", "tcp_control <= 0.5", 0.25, 0.75, 0),
    WeightRule("tcp.no_control", "TRUE", 0, 0, 0, is_scored=False),
)
TLS: tuple[WeightRule, ...] = (
    WeightRule("tls.no_data", "NOT is_shaken", 0, 0, 0, is_scored=False),
    WeightRule("tls.valid", "tls_valid", 0, 0, 1),
    WeightRule("tls.certificate", "tls_control > 0.5 AND tls_invalid", 0.9, 0.1, 0),
    WeightRule("tls.reset", "tls_control > 0.5 AND is_reset", 0.8, 0.2, 0),
    WeightRule("tls.failure", "tls_control > 0.5", 0.7, 0.3, 0),
    WeightRule("tls.untrusted", _UNTRUSTED, 0, 0, 0, is_scored=False),
    WeightRule(
        "tls.tcp_blocked",
        "tcp_blocked > 0 AND tcp_ok_score <= tcp_blocked + tcp_down",
        0,
        0,
        0,
        is_scored=False,
    ),
    WeightRule("tls.control_fails_too", "tls_control <= 0.5", 0.2, 0.8, 0),
    WeightRule("tls.no_control", "TRUE", 0, 0, 0, is_scored=False),
)

#: The possible conclusions, the least blocked first; the rank of one is its position, from 1. The
#: first one is that nothing is blocked.
_SCORED = sorted((rule.blocked, rule.rule_id) for rule in (*DNS, *TCP, *TLS) if rule.is_scored)


def _find_rule(rules: tuple[WeightRule, ...]) -> str:
    """Return SQL for the position, from 1, of the first rule of a layer that matches."""
    arms = " ".join(f"WHEN {rule.condition} THEN {n}" for n, rule in enumerate(rules, 1))
    return f"(CASE {arms} END)::UTINYINT"


def _look_up(values: Iterable[object], position: str) -> str:
    """Return SQL for the value at a position, from 1."""
    return f"([{', '.join(map(str, values))}])[{position}]"


def _rank(rules: tuple[WeightRule, ...], position: str) -> str:
    """Return SQL for the rank of a layer's rule; null if the rule draws no conclusion."""
    ranks = {rule_id: rank for rank, (_, rule_id) in enumerate(_SCORED, 1)}
    return _look_up((ranks.get(rule.rule_id, "NULL") for rule in rules), position)


_QUERIES = read_queries(__file__)

# The weights of each layer are read by the rules of the next one: of lookups those of all
# addresses of the measurement.
_DNS = f"""
SELECT row_id, domain, probe_asn, session, is_tried, tcp_ok, is_ipv6, ipv6_failing, tcp_control,
  is_shaken, tls_valid, tls_invalid, is_reset, tls_control, is_trusted,
  {_find_rule(DNS)} AS dns_rule
FROM v5_observed
"""
_LAYERS = f"""
WITH weighed AS (
  SELECT *, {_look_up((float(rule.blocked) for rule in DNS), "dns_rule")}::DOUBLE AS dns_blocked,
    {_look_up((float(rule.down) for rule in DNS), "dns_rule")}::DOUBLE AS dns_down,
    {_look_up((float(rule.ok) for rule in DNS), "dns_rule")}::DOUBLE AS dns_ok
  FROM v5_dns
), several AS (
  SELECT row_id, max(dns_blocked) AS dns_blocked, max(dns_down) AS dns_down, max(dns_ok) AS dns_ok
  FROM weighed GROUP BY row_id HAVING count(*) > 1
), looked_up AS (
  SELECT w.* EXCLUDE (dns_blocked, dns_down, dns_ok),
    coalesce(s.dns_blocked, w.dns_blocked) AS dns_blocked,
    coalesce(s.dns_down, w.dns_down) AS dns_down, coalesce(s.dns_ok, w.dns_ok) AS dns_ok
  FROM weighed w LEFT JOIN several s USING (row_id)
), connected AS (
  SELECT *, {_find_rule(TCP)} AS tcp_rule FROM looked_up
), weighed_tcp AS (
  SELECT *, {_look_up((float(rule.blocked) for rule in TCP), "tcp_rule")}::DOUBLE AS tcp_blocked,
    {_look_up((float(rule.down) for rule in TCP), "tcp_rule")}::DOUBLE AS tcp_down,
    {_look_up((float(rule.ok) for rule in TCP), "tcp_rule")}::DOUBLE AS tcp_ok_score
  FROM connected
)
SELECT *, {_find_rule(TLS)} AS tls_rule FROM weighed_tcp
"""

# The most blocked address and layer decide a measurement. The weights are rounded, because
# otherwise the order in which floats are added would decide ties.
_SESSIONS = f"""
WITH measurements AS (
  SELECT domain, probe_asn, session, max(greatest({_rank(DNS, "dns_rule")},
    {_rank(TCP, "tcp_rule")}, {_rank(TLS, "tls_rule")})) AS rank
  FROM v5_layers GROUP BY row_id, domain, probe_asn, session
  UNION ALL SELECT domain, probe_asn, session, 1 FROM v5_measurements WHERE is_plain
), sessions AS (
  SELECT domain, probe_asn, session, max(rank) AS rank,
    round(avg({_look_up((float(blocked) for blocked, _ in _SCORED), "rank")}::DOUBLE), 9)
      AS blocked_weight
  FROM measurements WHERE rank IS NOT NULL GROUP BY domain, probe_asn, session
)
SELECT * EXCLUDE (rank), {_look_up((f"'{rule_id}'" for _, rule_id in _SCORED), "rank")} AS rule_id
FROM sessions
"""


def ooni_v5(connection: duckdb.DuckDBPyConnection, fingerprints: Fingerprints) -> pd.DataFrame:
    """Judge by OONI's pipeline v5: weights per observation, of the most blocked address and layer.

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
    macros = [name for name in _QUERIES if "(" in name]
    tables, views = partial(create_tables, connection), partial(create_views, connection)
    tables(pick_queries(_QUERIES, "v5_measurements", *macros), {})
    views(pick_queries(_QUERIES, "v5_weighed", "v5_addresses"))
    tables(pick_queries(_QUERIES, "v5_seen"), {})
    views(pick_queries(_QUERIES, "v5_plain", "v5_beside", "v5_observed"))
    tables({"v5_dns": _DNS}, {})
    views({"v5_layers": _LAYERS})
    tables({"v5_sessions": _SESSIONS}, {})
    frame = connection.execute(_QUERIES["v5_pairs"], {"more_likely": _MORE_LIKELY}).df()
    for name in ("v5_measurements", "v5_seen", "v5_dns"):
        connection.execute(f"DROP TABLE {name} CASCADE")
    reasons = [
        f"{rule + ', ' if isinstance(rule, str) else ''}probability of a block {mean:.2f}, mean of "
        f"{n} {'session' if n == 1 else 'sessions'}"
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


def _fingerprint_table(fingerprints: Fingerprints) -> pa.Table:
    """Return the addresses that OONI lists as block answers, by country."""
    rows = [
        {"probe_cc": cc, "address": fingerprint.pattern}
        for fingerprint in fingerprints.dns
        if fingerprint.pattern_type == "full"
        for cc in sorted(fingerprint.expected_countries)
    ]
    return pa.Table.from_pylist(
        rows,
        pa.schema([("probe_cc", pa.string()), ("address", pa.string())]),
    )


#: iMAP 2024: names on one answer address, names on one body, and the weighted anomaly share above
#: which a network is taken to block.
_SUSPECT_NAMES, _BODY_NAMES, _WEIGHTED_SHARE = 10, 2, 0.9
_ANOMALY_SHARE = 0.3


def find_baselines(study: Study) -> dict[str, pd.DataFrame]:
    """Return the result of ``baselines``, from an earlier call if there was one, with the variant's
    own baseline.

    Of the study's numbers only those of the features count.

    Raises:
        ParameterError: the variant's own baseline returns something else.
    """
    store, connection, fingerprints = study.kept, study.connection, study.fingerprints
    method = Method(study.thresholds, (), fingerprints, Operators(frozenset(), {}))
    made_from = [
        method.describe("features"),
        fingerprints.digest,
        digest_modules(["report/other_methods"]),
    ]
    folder = store.find(connection, "other_methods", made_from)
    if folder is None:
        features = Maker(store, connection, method).make_features()
        with features.opened(connection) as opened:
            create_views(opened, features.views)
            methods = baselines(opened, fingerprints)
        write = partial(keep_frames, connection, methods)
        folder = store.provide(connection, "other_methods", made_from, write)
    published = [name for name in METHODS if name not in ("this_method", OWN)]
    methods = {name: read_frame(connection, folder, name) for name in published}
    if fingerprints.is_empty:
        del methods["ooni_confirmed"]  # nobody knows what it would list
    variant = study.parameters.variant
    return {**methods, OWN: _ask_own(study, variant)} if variant and variant.baseline else methods


#: The key of a baseline that a variant brings.
OWN = "own_baseline"
_COLUMNS = ("domain", "probe_asn", "is_listed", "reason")


def _ask_own(study: Study, variant: Variant) -> pd.DataFrame:
    """Return the answer of a variant's own baseline, a row a pair of site and network."""
    assert variant.baseline
    frame = variant.baseline(study)
    columns = set(frame) if isinstance(frame, pd.DataFrame) else set()
    if missing := [name for name in _COLUMNS if name not in columns]:
        accepted = f"a frame with {', '.join(_COLUMNS)} is accepted; no {', '.join(missing)} in it"
        raise ParameterError("baseline", variant.baseline_name, accepted)
    pair = ["domain", "probe_asn"]
    query = "SELECT DISTINCT domain, probe_asn::BIGINT FROM observations"
    measured = set(study.connection.execute(query).fetchall())
    pairs = list(frame[pair].itertuples(index=False, name=None))
    rules = {
        "is_listed is true or false in each row": frame["is_listed"].map(is_bool).all(),
        "each row is of a measured pair; probe_asn is a number": measured.issuperset(pairs),
        "a pair stands in one row": len(set(pairs)) == len(pairs),
    }
    for rule, is_kept in rules.items():
        if not is_kept:
            raise ParameterError("baseline", variant.baseline_name, f"{rule}: it is not so")
    own = frame[list(_COLUMNS)].fillna({"reason": ""})
    return own.astype({"probe_asn": "int64", "is_listed": bool, "reason": "str"})


def baselines(
    connection: duckdb.DuckDBPyConnection, fingerprints: Fingerprints
) -> dict[str, pd.DataFrame]:
    """Return every method but ours, by its key in ``vocabulary.METHODS``.

    Args:
        connection: holds ``observations`` and ``controlled`` (after ``features.add_features``).
        fingerprints: OONI's blocking fingerprints.
    """
    weighed = weigh_flags(connection)
    return {
        "imap_all": imap_2024(weighed, accepts_suspects=True),
        "imap_none": imap_2024(weighed, accepts_suspects=False),
        "ooni_v5": ooni_v5(connection, fingerprints),
        "ooni_confirmed": ooni_confirmed(weighed),
        "ooni_anomaly": ooni_anomaly(weighed),
    }


def weigh_flags(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Count OONI's flags, and weigh them as iMAP does.

    Args:
        connection: holds ``observations``.

    Returns:
        By ``domain`` and ``probe_asn``: ``measurement_count, anomaly_count,
        confirmed_count``; ``weighted_share`` and, over the site's networks, its 90th and 95th
        percentile, ``p90_share, p95_share``; a suspect ``address`` with its ``address_names``, and
        of a suspect body its ``body_names``.
    """
    create_views(connection, pick_queries(_QUERIES, "flag_counts"))
    given = {"suspect_names": _SUSPECT_NAMES, "body_names": _BODY_NAMES}
    create_tables(connection, pick_queries(_QUERIES, "suspect_addresses", "suspect_bodies"), given)
    return connection.execute(_QUERIES["imap"]).df()


def imap_2024(weighed: pd.DataFrame, *, accepts_suspects: bool) -> pd.DataFrame:
    """Judge as iMAP's reports of 2024 do: suspects that a person decides on, OONI's flags, weighted
    shares.

    A network is taken to block a site where one of its measurements got an accepted address or
    body, where OONI confirmed one, or where the weighted share of anomalies is above 0.9.

    Args:
        weighed: see ``weigh_flags``.
        accepts_suspects: what the person says of every address that answers for more than 10
            names in measurements that the probe calls ``dns``, and of every body of more than 2.

    Returns:
        Besides the common columns ``weighted_share``, ``p90_share`` and ``p95_share``.
    """
    hits = [_imap_hit(row, accepts_suspects) for row in weighed.itertuples(index=False)]
    shares = weighed["weighted_share"]
    return weighed[["domain", "probe_asn"]].assign(
        is_listed=[bool(hit) for hit in hits],
        reason=[
            hit or f"weighted share of anomalies {share:.2f}"
            for hit, share in zip(hits, shares, strict=True)
        ],
        **weighed[["weighted_share", "p90_share", "p95_share"]],
    )


def _imap_hit(row: Any, accepts_suspects: bool) -> str:
    """Return the reason for which iMAP lists a pair, a row of ``weigh_flags``; empty if there is
    none.
    """
    if accepts_suspects and not pd.isna(row.address_names):
        return f"{row.address} given for {row.address_names:.0f} names"
    if accepts_suspects and not pd.isna(row.body_names):
        return f"one page body for {row.body_names:.0f} names"
    if row.confirmed_count:
        return f"OONI confirms {row.confirmed_count} of {row.measurement_count}"
    share = row.weighted_share
    return f"weighted share of anomalies {share:.2f}" if share > _WEIGHTED_SHARE else ""


def ooni_confirmed(flags: pd.DataFrame) -> pd.DataFrame:
    """List by OONI's flag *confirmed*: one measurement that matches a fingerprint is enough.

    ``flags``: see ``weigh_flags``.
    """
    return _flagged(flags, flags["confirmed_count"], flags["confirmed_count"] > 0)


def ooni_anomaly(flags: pd.DataFrame) -> pd.DataFrame:
    """List by OONI's flag *anomaly* (confirmed included) on at least 30 % of the measurements.

    ``flags``: see ``weigh_flags``.
    """
    is_frequent = flags["anomaly_count"] >= _ANOMALY_SHARE * flags["measurement_count"]
    return _flagged(flags, flags["anomaly_count"], is_frequent)


def _flagged(frame: pd.DataFrame, counts: pd.Series, is_listed: pd.Series) -> pd.DataFrame:
    totals = frame["measurement_count"]
    reasons = [
        f"{n} of {total} {'measurement' if total == 1 else 'measurements'}"
        for n, total in zip(counts, totals, strict=True)
    ]
    return frame[["domain", "probe_asn"]].assign(is_listed=is_listed, reason=reasons)
