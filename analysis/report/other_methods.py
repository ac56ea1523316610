"""Other people's methods on the same observations, so that their lists can be laid beside ours.

Three published ways to say that a site is blocked: iMAP's reports of 2024, OONI's pipeline v5, and
OONI's flags as the Explorer shows them. Each is written anew from its public source, with the
numbers that stand there; docs/decisions/0011-baselines.md says where, and what had to be chosen.

All return one row per site and network: ``domain, probe_asn`` (``AS123``), ``is_listed`` and
``reason`` (what the method would answer when asked why, or why not), sorted by name and network.
"""

from functools import partial
from typing import Any

import duckdb
import pandas as pd

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.frames import keep_frames, read_frame
from analysis.outcomes.steps import create_views
from analysis.outcomes.thresholds import Thresholds
from analysis.report.ooni_v5 import ooni_v5
from analysis.store.kept_tables import KeptTables
from analysis.study.stages import Maker, Method, describe_source
from analysis.verdicts.sessions import Operators
from analysis.vocabulary import METHODS

#: iMAP 2024: names on one answer address, names on one body, and the weighted anomaly share above
#: which a network is taken to block.
_SUSPECT_NAMES, _BODY_NAMES, _WEIGHTED_SHARE = 10, 2, 0.9
_ANOMALY_SHARE = 0.3


def find_baselines(
    kept: KeptTables,
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    fingerprints: Fingerprints,
) -> dict[str, pd.DataFrame]:
    """What ``baselines`` returns, from where an earlier call has left it, if it has.

    Args:
        kept: where the stages are kept.
        connection: holds ``observations``.
        thresholds: those of the features; no other number decides what other methods say.
        fingerprints: OONI's blocking fingerprints.
    """
    method = Method(thresholds, (), fingerprints, Operators(frozenset(), {}))
    made_from = [
        method.describe("features"), fingerprints.digest, describe_source("other_methods")
    ]  # fmt: skip
    place = kept.find(connection, "other_methods", made_from)
    if place is None:
        features = Maker(kept, connection, method).make_features()
        with features.opened(connection) as opened:
            create_views(opened, features.views)
            said = baselines(opened, fingerprints)
        write = partial(keep_frames, connection, said)
        place = kept.provide(connection, "other_methods", made_from, write)
    names = [name for name in METHODS if name != "this_method"]
    return {name: read_frame(connection, place, name) for name in names}


def baselines(
    connection: duckdb.DuckDBPyConnection, fingerprints: Fingerprints
) -> dict[str, pd.DataFrame]:
    """Every method but ours, by its key in ``vocabulary.METHODS``.

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


# OONI's counts per site and network: a failed measurement counts in the denominator only.
_FLAG_COUNTS = """
CREATE OR REPLACE TEMP VIEW flag_counts AS
SELECT domain, concat('AS', probe_asn) AS probe_asn, probe_asn AS asn,
  count(*) AS measurement_count,
  count(*) FILTER (NOT is_failure AND (is_anomaly OR is_confirmed IS TRUE)) AS anomaly_count,
  count(*) FILTER (NOT is_failure AND is_confirmed) AS confirmed_count
FROM observations WHERE domain <> '' GROUP BY ALL
"""

# The suspect address that answers for most names, of each site and network.
_SUSPECT_ADDRESSES = """
CREATE OR REPLACE TEMP TABLE suspect_addresses AS
WITH first_answers AS (
  SELECT domain, list_first([a.address FOR a IN dns_answers IF NOT contains(a.address, ':')])
    AS address
  FROM observations WHERE domain <> '' AND blocking = 'dns'
), suspects AS (
  SELECT address, count(DISTINCT domain) AS names
  FROM first_answers WHERE address IS NOT NULL
  GROUP BY address HAVING names > $suspect_names
), answers AS (
  SELECT domain, probe_asn AS asn, unnest([a.address FOR a IN dns_answers]) AS address
  FROM observations WHERE domain <> ''
)
SELECT domain, asn, arg_max(address, (names, address)) AS address, max(names) AS address_names
FROM answers JOIN suspects USING (address) GROUP BY ALL
"""

_SUSPECT_BODIES = """
CREATE OR REPLACE TEMP TABLE suspect_bodies AS
WITH anomalies AS (
  SELECT domain, probe_asn AS asn, http_body_digest AS digest
  FROM observations WHERE domain <> '' AND is_anomaly AND http_body_digest IS NOT NULL
), suspects AS (
  SELECT digest, count(DISTINCT domain) AS names FROM anomalies
  GROUP BY ALL HAVING names > $body_names
)
SELECT domain, asn, max(names) AS body_names
FROM anomalies JOIN suspects USING (digest) GROUP BY ALL
"""

_IMAP = """
WITH weighted AS (
  SELECT *, anomaly_count / measurement_count * CASE WHEN measurement_count > 5
      AND measurement_count >= quantile_cont(measurement_count, 0.4) OVER (PARTITION BY domain)
      THEN 1.0 ELSE 0.3 END AS weighted_share
  FROM flag_counts
)
SELECT w.*, quantile_cont(weighted_share, 0.90) OVER (PARTITION BY domain) AS p90_share,
  quantile_cont(weighted_share, 0.95) OVER (PARTITION BY domain) AS p95_share,
  a.address, a.address_names, b.body_names
FROM weighted w LEFT JOIN suspect_addresses a USING (domain, asn)
  LEFT JOIN suspect_bodies b USING (domain, asn)
ORDER BY domain, asn
"""


def weigh_flags(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """What OONI flags, and what iMAP weighs of it.

    Args:
        connection: holds ``observations``.

    Returns:
        By ``domain`` and ``asn`` (``probe_asn`` as text): ``measurement_count, anomaly_count,
        confirmed_count``; ``weighted_share`` and, over the site's networks, its 90th and 95th
        percentile, ``p90_share, p95_share``; a suspect ``address`` with its ``address_names``, and
        of a suspect body its ``body_names``.
    """
    connection.execute(_FLAG_COUNTS)
    connection.execute(_SUSPECT_ADDRESSES, {"suspect_names": _SUSPECT_NAMES})
    connection.execute(_SUSPECT_BODIES, {"body_names": _BODY_NAMES})
    return connection.execute(_IMAP).df()


def imap_2024(weighed: pd.DataFrame, *, accepts_suspects: bool) -> pd.DataFrame:
    """iMAP's reports of 2024: suspects that a person decides on, OONI's flags, weighted shares.

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
    """What makes iMAP list the pair, a row of ``weigh_flags``; empty if nothing does."""
    if accepts_suspects and not pd.isna(row.address_names):
        return f"{row.address} answers for {row.address_names:.0f} names"
    if accepts_suspects and not pd.isna(row.body_names):
        return f"one body for {row.body_names:.0f} names"
    if row.confirmed_count:
        return f"OONI confirms {row.confirmed_count} of {row.measurement_count}"
    share = row.weighted_share
    return f"weighted share of anomalies {share:.2f}" if share > _WEIGHTED_SHARE else ""


def ooni_confirmed(flags: pd.DataFrame) -> pd.DataFrame:
    """OONI's flag *confirmed*: one measurement that matches a fingerprint is enough.

    ``flags``: see ``weigh_flags``.
    """
    return _flagged(flags, flags["confirmed_count"], flags["confirmed_count"] > 0)


def ooni_anomaly(flags: pd.DataFrame) -> pd.DataFrame:
    """OONI's flag *anomaly* (confirmed ones included) on at least 30 % of the measurements.

    ``flags``: see ``weigh_flags``.
    """
    many = flags["anomaly_count"] >= _ANOMALY_SHARE * flags["measurement_count"]
    return _flagged(flags, flags["anomaly_count"], many)


def _flagged(frame: pd.DataFrame, counts: pd.Series, is_listed: pd.Series) -> pd.DataFrame:
    totals = frame["measurement_count"]
    reasons = [f"{n} of {total} measurements" for n, total in zip(counts, totals, strict=True)]
    return frame[["domain", "probe_asn"]].assign(is_listed=is_listed, reason=reasons)
