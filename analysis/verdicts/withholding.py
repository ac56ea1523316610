"""What fails on every network, or on one for a few days, is not shown to be blocked."""

import duckdb
import numpy as np
import pandas as pd

from analysis.hosts import registrable_domain
from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.intervals import CELL
from analysis.vocabulary import LISTED

#: What no site can do to a visitor: a resolver's answer, a wrong certificate at the site's own
#: address, a page that other networks do not get.
_NOT_A_REFUSAL = ["dns.nxdomain", "dns.other", "dns.sinkhole", "tls.mitm", "http.blockpage"]
#: A resolver that is silent or fails: it does so too where the site's own name servers leave the
#: country's resolvers without an answer.
_NO_ANSWER = ["dns.timeout", "dns.failure"]
#: What a lost route or a site's firewall does to a whole country: nothing tells a block apart,
#: except that the site is reached where the resolver is gone around.
_NO_WAY_THERE = ["tcp.timeout", "tcp.refused"]
#: What a box that reads the name does to it, by TLS and by plain HTTP: one act.
_ONE_ACT = {"http.reset": "tls.reset", "http.timeout": "tls.timeout"}
_EVERYWHERE = (
    "failed alike on nearly every access network that tested it at that time; an outage or a site "
    "that refuses the country looks the same"
)
_FOR_DAYS = "timed out on this network alone, for a few days; a lost route looks the same"

# The days around which each block lies. A stray failure before or after an outage would stretch it
# over days on which the site worked.
_SUSPECTED_DAYS = """
CREATE OR REPLACE TEMP TABLE suspected_days AS
SELECT s.row, s.domain::host_name AS domain, s.probe_asn, s.layer::layer_word AS layer,
  s.is_timeout, s.is_silent,
  quantile_disc(o.day, 0.15) AS since, quantile_disc(o.day, 0.85) AS until
FROM suspected s JOIN sessions o ON o.domain = s.domain::host_name AND o.probe_asn = s.probe_asn
  AND o.day BETWEEN s.blocked_from AND s.blocked_until AND o.class = 'blocked'
GROUP BY ALL
"""

# What each other access network saw of the site meanwhile. A VPN or a foreign network is no
# witness: a site that refuses the country lets it in. A lost route shows as a time-out at whatever
# layer a probe's version writes it down. One network answers with a reset or a refusal where the
# other lets the packets disappear; resolvers that get no answer do one or the other by themselves.
_NETWORKS_MEANWHILE = """
CREATE OR REPLACE TEMP TABLE networks_meanwhile AS
WITH compared AS (
  SELECT s.row, o.probe_asn, o.class, o.is_timeout, o.layer IN ('dns', 'tcp') AS is_early,
    o.layer = s.layer AS is_same_layer, o.is_timeout = s.is_timeout AS is_same_manner,
    s.is_timeout AND o.is_timeout AS is_timeout_twice,
    s.is_silent AND o.is_loose AS is_silent_too,
    o.is_artefact OR (s.is_silent AND NOT o.is_loose) AS is_distinctive
  FROM suspected_days s JOIN sessions o ON o.domain = s.domain AND o.probe_asn <> s.probe_asn
    AND o.day BETWEEN s.since AND s.until
  WHERE o.class IN ('blocked', 'ok', 'unclear') AND o.probe_asn IN (FROM domestic_resolvers)
)
SELECT row, probe_asn, count(*) AS sessions,
  count(*) FILTER (class = 'ok') AS ok_sessions,
  count(*) FILTER (class = 'blocked' AND (is_same_layer OR is_timeout_twice)) AS alike_sessions,
  count(*) FILTER (class = 'blocked' AND is_timeout AND is_early) AS lost_sessions,
  count(*) FILTER (class = 'blocked' AND NOT is_timeout AND (NOT is_same_layer OR is_distinctive))
    AS otherwise_sessions,
  count(*) FILTER (class = 'blocked' AND is_same_layer AND NOT is_same_manner
    AND NOT is_silent_too) AS other_manner_sessions
FROM compared GROUP BY row, probe_asn
"""

# ``otherwise_margin``: sessions that would take away the majorities of those networks on which the
# site failed in another way.
_OTHERS = """
WITH told AS (
  SELECT *, 2 * alike_sessions > sessions AS is_failing,
    greatest(2 * otherwise_sessions - sessions,
      CASE WHEN other_manner_sessions >= $floor_sessions
        THEN 2 * other_manner_sessions - sessions ELSE 0 END) AS margin
  FROM networks_meanwhile
)
SELECT row, sum(ok_sessions)::BIGINT AS reaching_session_count,
  sum(sessions)::BIGINT AS session_count, count(*) AS network_count,
  count(*) FILTER (is_failing) AS failing_network_count,
  sum(alike_sessions)::BIGINT AS alike_session_count,
  count(*) FILTER (is_failing AND alike_sessions >= 2) AS company_network_count,
  count(*) FILTER (2 * lost_sessions > sessions) AS lost_network_count,
  coalesce(sum(margin) FILTER (margin > 0), 0)::BIGINT AS otherwise_margin
FROM told GROUP BY row ORDER BY row
"""

# On how many of the networks that failed the site was open at other times.
_CHANGED = """
WITH networks AS (
  SELECT s.row, o.probe_asn
  FROM unreached s JOIN sessions o ON o.domain = s.domain::host_name
  WHERE o.probe_asn IN (FROM domestic_resolvers)
  GROUP BY ALL
  HAVING bool_or(o.class = 'blocked' AND o.layer = s.layer::layer_word
      AND o.day BETWEEN s.blocked_from AND s.blocked_until)
    AND count(*) FILTER (o.class = 'ok' AND o.day NOT BETWEEN s.blocked_from AND s.blocked_until)
      >= $floor_sessions
)
SELECT row, count(*) AS changed_network_count FROM networks GROUP BY row ORDER BY row
"""

# Where the resolvers gave no answer: the sites that the same measurements mostly reached all the
# same, with their own certificate, at the address that the control got. A site is there or it is
# not, whichever network a probe asked from.
_GONE_AROUND = f"""
SELECT s.domain
FROM unreached s JOIN outcomes o ON o.domain = s.domain::host_name AND o.probe_asn = s.probe_asn
  AND o.day BETWEEN s.blocked_from AND s.blocked_until
  AND o.rule_id::VARCHAR IN {tuple(_NO_ANSWER)}
WHERE s.is_silent
GROUP BY s.domain HAVING 2 * count(*) FILTER (o.tls_rule = 'tls.ok') >= count(*)
"""

# Who hosts each unreached site: the network that most controls found it in.
_HOSTERS = """
SELECT domain::VARCHAR AS domain, mode(control_hoster ORDER BY control_hoster) AS hoster
FROM features SEMI JOIN (SELECT domain::host_name AS domain FROM unreached) USING (domain)
WHERE control_hoster IS NOT NULL GROUP BY domain ORDER BY domain
"""


def withhold_unreached(
    connection: duckdb.DuckDBPyConnection, judged: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """Take back *likely blocked* where, at that time, no access network reached the site.

    The measurements of one country cannot tell a block on all its networks from a site that is
    away or refuses all of them, unless something distinctive is seen. Where at least two other
    access networks tested the site during the block, nearly all failed as well, and next to no
    session got through, the interval is *impaired*. They must have failed at the same layer and in
    the same manner, by time-outs or by answers: a site that refuses a country shows one symptom,
    networks that block each have their own way.

    Two things still speak for a block where there is a way to the site: that those networks
    reached it at other times, and that unrelated sites with unrelated hosts fail by the same
    mechanism on every network; a name that is cut off in a handshake or in a plain request is
    the same. And where resolvers are silent or fail for its name, that the same measurements reach
    it without them.

    Args:
        connection: holds ``sessions``, ``domestic_resolvers``, ``outcomes`` and ``features``.
        judged: one row per interval with ``state, rule_id, mechanism, blocked_from,
            blocked_until``, its ``blocked_sessions``, and ``rule_sessions``, those by that rule.
        thresholds: ``refusal_share``, ``firewall_names``, ``floor_sessions``.

    Returns:
        ``judged`` with the columns ``withheld``, why a block is taken back, empty elsewhere; and
        ``leaning``, how many forged sessions would take it back, without end where others reach
        the site.
    """
    suspected = _suspected(judged[judged["state"] == "likely_blocked"])
    suspected = suspected[suspected["is_silent"] | ~suspected["mechanism"].isin(_NOT_A_REFUSAL)]
    others = _others(connection, suspected, thresholds)
    failing = others["failing_network_count"] + 1
    told = others["network_count"] + 1
    is_away = others["reaching_session_count"] < np.maximum(2, 0.1 * others["session_count"])
    # What speaks for a block: too little that fails alike, and networks with a way of their own.
    short = thresholds.floor_sessions - others["alike_session_count"]
    otherwise = others["otherwise_margin"]
    is_unreached = (
        is_away
        & (told >= 3)
        & (short <= 0)
        & (failing >= thresholds.refusal_share * told)
        & (otherwise == 0)
    )
    unreached = suspected.set_index("row").loc[others.index[is_unreached]]
    connection.register("unreached", unreached.reset_index())
    floor = {"floor_sessions": thresholds.floor_sessions}
    changed = connection.execute(_CHANGED, floor).df().set_index("row")
    around = connection.execute(_GONE_AROUND).df()["domain"]
    hosters = connection.execute(_HOSTERS).df().set_index("domain")["hoster"]
    connection.unregister("unreached")
    changed_count = changed["changed_network_count"].reindex(unreached.index, fill_value=0)
    has_changed = 2 * changed_count >= failing.loc[unreached.index]
    is_lost = (2 * others["lost_network_count"] >= failing).loc[unreached.index]
    is_connected = ~(unreached["mechanism"].isin(_NO_WAY_THERE) | unreached["is_silent"] | is_lost)
    is_shared = _are_unrelated(unreached, hosters, thresholds)
    is_reachable = unreached["is_silent"] & unreached["domain"].isin(around)
    withheld = unreached.index[~(is_connected & (has_changed | is_shared)) & ~is_reachable]
    # One session on a network more, or on one that is in doubt, and nearly all fail alike; two that
    # claim to reach a site leave one fewer that does. And blocks are compared by the mechanism of
    # most of their sessions.
    leaning = pd.concat([short, otherwise], axis=1).max(axis=1).clip(lower=1).where(is_away)
    leaning[unreached.index.difference(withheld)] = 2
    own = suspected.set_index("row").loc[others.index]
    leaning = leaning.clip(upper=(2 * own["rule_sessions"] - own["blocked_sessions"]).clip(lower=1))
    known = judged.assign(withheld="", leaning=leaning.reindex(judged.index).fillna(np.inf))
    return _withhold(known, judged.index.isin(withheld), _EVERYWHERE)


def withhold_lost(
    connection: duckdb.DuckDBPyConnection, judged: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """Take back *likely blocked* where it may be a route that was lost for some days.

    Time-outs on one network, once and for less than ``route_days``, while no other access network
    had them in more than a session: a way that is broken for a while. A block lasts, comes again,
    or is carried out by several networks; a reset, an answer or a page has somebody who sends it.

    Args:
        connection: holds ``sessions`` and ``domestic_resolvers``.
        judged: as ``withhold_unreached`` returns it.
        thresholds: ``route_days``.
    """
    blocks = judged[judged["state"].isin(LISTED)]
    is_short = (blocks["blocked_until"] - blocks["blocked_from"]).dt.days < thresholds.route_days
    is_once = ~blocks.duplicated(CELL, keep=False)
    is_timeout = (blocks["state"] == "likely_blocked") & blocks["mechanism"].str.endswith(
        ".timeout"
    )
    suspected = _suspected(blocks[is_short & is_once & is_timeout])
    others = _others(connection, suspected, thresholds)
    alone = others["company_network_count"].reindex(suspected["row"], fill_value=0) == 0
    return _withhold(judged, judged.index.isin(alone.index[alone]), _FOR_DAYS)


def _withhold(judged: pd.DataFrame, which: np.ndarray | pd.Series, why: str) -> pd.DataFrame:
    return judged.assign(
        state=judged["state"].mask(which, "impaired"),
        withheld=judged["withheld"].mask(which, why),
    )


def _suspected(judged: pd.DataFrame) -> pd.DataFrame:
    """The intervals that others are asked about; ``row`` is where each stands in ``judged``."""
    columns = [
        *CELL, "blocked_from", "blocked_until", "mechanism", "rule_sessions", "blocked_sessions",
    ]  # fmt: skip
    return judged[columns].assign(
        row=judged.index,
        is_silent=judged["rule_id"].isin(_NO_ANSWER),
        layer=judged["mechanism"].str.split(".").str[0],
        is_timeout=judged["mechanism"].str.endswith(".timeout"),
    )


def _others(
    connection: duckdb.DuckDBPyConnection, suspected: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """What the other access networks saw meanwhile, by ``row``; none where nobody tested."""
    connection.register("suspected", suspected)
    connection.execute(_SUSPECTED_DAYS)
    connection.unregister("suspected")
    connection.execute(_NETWORKS_MEANWHILE)
    floor = {"floor_sessions": thresholds.floor_sessions}
    return connection.execute(_OTHERS, floor).df().set_index("row")


def _are_unrelated(
    unreached: pd.DataFrame, hosters: pd.Series, thresholds: Thresholds
) -> pd.Series:
    """Whether enough sites with different owners and hosts are cut off as the row's site is."""
    shared = unreached.assign(
        act=unreached["mechanism"].replace(_ONE_ACT),
        site=unreached["domain"].map(registrable_domain),
        hoster=unreached["domain"].map(hosters),
    )
    counts = shared.groupby("act")[["site", "hoster"]].nunique().min(axis=1)
    return shared["act"].map(counts) >= thresholds.firewall_names
