"""What fails on every network of a country is not shown to be blocked in it (guard G6)."""

import duckdb
import numpy as np
import pandas as pd

from analysis.rules import Thresholds

#: What a resolver answers is no way in which a site refuses anybody.
_NOT_A_REFUSAL = ["dns.nxdomain", "dns.other", "dns.sinkhole"]
NOTE = (
    "failed alike on nearly every access network that tested it at that time; an outage or a site "
    "that refuses the country looks the same"
)

# What the other access networks saw of the site while it was blocked on this one. A VPN or a
# foreign network is no witness: a site that refuses the country lets it in.
_OTHERS = """
WITH core AS (
  -- A stray failure before or after an outage would stretch it over days on which the site worked.
  SELECT s.row, s.domain::host_name AS domain, s.probe_asn, s.family,
    quantile_disc(o.day, 0.15) AS since, quantile_disc(o.day, 0.85) AS until
  FROM suspected s JOIN sessions o ON o.domain = s.domain::host_name AND o.probe_asn = s.probe_asn
    AND o.day BETWEEN s.blocked_from AND s.blocked_until AND o.class = 'blocked'
  GROUP BY ALL
), seen AS (
  SELECT s.row, o.probe_asn, count(*) FILTER (o.class = 'ok') AS ok, count(*) AS sessions,
    count(*) FILTER (o.class = 'blocked' AND o.family = s.family) AS alike,
    count(*) FILTER (o.class = 'blocked' AND NOT o.is_timeout
      AND (o.family <> s.family OR o.is_artefact)) AS otherwise
  FROM core s JOIN sessions o ON o.domain = s.domain AND o.probe_asn <> s.probe_asn
    AND o.day BETWEEN s.since AND s.until
    AND o.class IN ('blocked', 'ok', 'unclear')
    AND o.probe_asn IN (FROM domestic_resolvers)
  GROUP BY ALL
)
SELECT row, sum(ok)::BIGINT AS reaching_session_count, sum(sessions)::BIGINT AS session_count,
  count(*) AS network_count,
  count(*) FILTER (2 * alike > sessions) AS failing_network_count,
  count(*) FILTER (2 * otherwise > sessions) AS otherwise_network_count
FROM seen GROUP BY row ORDER BY row
"""


def withhold_unreached(
    connection: duckdb.DuckDBPyConnection, judged: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """Take back *likely blocked* where, at that time, no access network reached the site.

    The measurements of one country cannot tell a block on all its networks from a site that is
    away or refuses all of them, unless something distinctive is seen. Where at least two other
    access networks tested the site during the block, nearly all failed as well, and next to no
    session got through, the interval is *impaired*. They must have failed at the same layer: a
    site that refuses a country shows one symptom, networks that block each have their own way.

    Args:
        connection: holds ``sessions`` and ``domestic_resolvers``.
        judged: one row per interval with ``state, mechanism, blocked_from, blocked_until``.
        thresholds: ``refusal_share``.

    Returns:
        ``judged`` with the column ``is_withheld``.
    """
    is_suspected = (judged["state"] == "likely_blocked") & ~judged["mechanism"].isin(_NOT_A_REFUSAL)
    columns = ["domain", "probe_asn", "blocked_from", "blocked_until"]
    suspected = judged.loc[is_suspected, columns].assign(
        row=judged.index[is_suspected],
        family=judged.loc[is_suspected, "mechanism"].str.split(".").str[0],
    )
    connection.register("suspected", suspected)
    others = connection.execute(_OTHERS).df().set_index("row")
    connection.unregister("suspected")
    failing = others["failing_network_count"] + 1
    told = others["network_count"] + 1
    withheld = others.index[
        (told >= 3)
        & (failing >= thresholds.refusal_share * told)
        & (others["otherwise_network_count"] == 0)
        & (others["reaching_session_count"] < np.maximum(2, 0.1 * others["session_count"]))
    ]
    is_withheld = judged.index.isin(withheld)
    return judged.assign(
        state=judged["state"].mask(is_withheld, "impaired"), is_withheld=is_withheld
    )
