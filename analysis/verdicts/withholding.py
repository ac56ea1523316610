"""What fails on every network, or on one for a few days, is not shown to be blocked."""

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.hosts import registrable_domain
from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds

#: Words for why a surprising stretch is not listed.
EVERYWHERE = (
    "failed alike on nearly every access network that tested it at that time; an outage or a site "
    "that refuses the country looks the same"
)
ROUTE_LOST = (
    "timed out on this network alone, for a few days, and so did other sites in the same hosting "
    "network; a lost route looks the same"
)
ROUTE_UNKNOWN = (
    "timed out for a few days, and no other site in the same hosting network was tested from this "
    "network then; a lost route looks the same"
)
ALONE = "; no other network tested it then"

_PLACES = ("domain", "probe_asn", "operator", "first_day", "last_day", "since", "until")

_SUSPECTED = """
WITH hosts AS (
  SELECT unnest(enum_range(NULL::host_name))::host_name AS host
)
SELECT b.* REPLACE (host AS domain, kind::failure_kind AS kind, first_day::DATE AS first_day,
    last_day::DATE AS last_day, since::DATE AS since, until::DATE AS until),
  split_part(kind, '_', 1) AS act, ends_with(kind, 'silent') AS is_silent
FROM blocks_at_hand b JOIN hosts ON enum_code(host) = b.domain
"""

# What each other operator's access networks saw of the site meanwhile, at the hours of the block. A
# VPN or a foreign network is no witness: a site that refuses the country lets it in. A lost route
# shows as a time-out at whatever layer a probe's version writes it down.
_OPERATORS_MEANWHILE = """
WITH seen AS (
  SELECT b.stretch, n.operator, o.class, o.kind, count(*) AS sessions
  FROM suspected b JOIN sessions o ON o.domain = b.domain AND o.day BETWEEN b.since AND b.until
    JOIN networks n ON n.probe_asn = o.probe_asn
  WHERE n.is_domestic AND n.operator <> b.operator AND o.class IN ('blocked', 'ok', 'unclear')
    AND (b.hours IS NULL OR list_contains(b.hours, 24 * (isodow(o.time) - 1) + hour(o.time)))
  GROUP BY ALL
), compared AS (
  SELECT o.*, split_part(o.kind, '_', 1) = b.act AS is_same_act,
    coalesce(ends_with(o.kind, 'silent'), FALSE) AS is_silent, b.is_silent AS is_silent_here,
    b.kind = 'dns_silent' AS is_lookup, o.kind = 'mark' AS is_mark, o.kind = b.kind AS is_same_kind
  FROM seen o JOIN suspected b USING (stretch)
), told AS (
  SELECT stretch, operator, sessions, class = 'ok' AS is_ok,
    class = 'blocked' AND NOT is_mark AND (is_same_act OR (is_silent AND is_silent_here))
      AS is_alike,
    class = 'blocked' AND NOT is_silent AND (NOT is_same_act OR is_mark OR is_lookup)
      AS is_otherwise,
    class = 'blocked' AND is_same_act AND NOT is_same_kind AND NOT is_lookup AS is_other_manner
  FROM compared
)
SELECT stretch, operator, sum(sessions) AS sessions,
  coalesce(sum(sessions) FILTER (is_ok), 0) AS ok_sessions,
  coalesce(sum(sessions) FILTER (is_alike), 0) AS alike_sessions,
  coalesce(sum(sessions) FILTER (is_otherwise), 0) AS otherwise_sessions,
  coalesce(sum(sessions) FILTER (is_other_manner), 0) AS other_manner_sessions
FROM told GROUP BY stretch, operator
"""

# ``otherwise_margin``: sessions that would take away the majorities of those operators with whom
# the site failed in another way.
_OTHERS = """
WITH told AS (
  SELECT *, 2 * alike_sessions > sessions AS is_failing,
    greatest(2 * otherwise_sessions - sessions,
      CASE WHEN other_manner_sessions >= $floor_sessions
        THEN 2 * other_manner_sessions - sessions ELSE 0 END) AS margin
  FROM operators_meanwhile
)
SELECT stretch, sum(ok_sessions)::BIGINT AS reaching_session_count,
  sum(sessions)::BIGINT AS session_count, count(*) AS operator_count,
  count(*) FILTER (is_failing) AS failing_operator_count,
  sum(alike_sessions)::BIGINT AS alike_session_count,
  count(*) FILTER (is_failing AND alike_sessions >= 2) AS company_count,
  coalesce(sum(margin) FILTER (margin > 0), 0)::BIGINT AS otherwise_margin
FROM told GROUP BY stretch ORDER BY stretch
"""

# With how many of the operators that failed the site was open at other times; where somebody
# answers at certain hours of the week, at other hours. (What is silent then may be overloaded.)
_CHANGED = """
WITH seen AS (
  SELECT b.stretch, n.operator, o.class, o.kind,
    o.day BETWEEN b.first_day AND b.last_day
      AND (b.hours IS NULL OR b.is_silent
        OR list_contains(b.hours, 24 * (isodow(o.time) - 1) + hour(o.time))) AS is_meanwhile,
    count(*) AS sessions
  FROM (FROM suspected SEMI JOIN stretches_at_hand USING (stretch)) b
    JOIN sessions o ON o.domain = b.domain JOIN networks n ON n.probe_asn = o.probe_asn
  WHERE n.is_domestic GROUP BY ALL
), changed AS (
  SELECT stretch, o.operator FROM seen o JOIN suspected b USING (stretch)
  GROUP BY ALL
  HAVING bool_or(class = 'blocked' AND split_part(o.kind, '_', 1) = b.act AND is_meanwhile)
    AND sum(sessions) FILTER (class = 'ok' AND NOT is_meanwhile) >= $floor_sessions
)
SELECT stretch, count(*) AS changed_count FROM changed GROUP BY stretch ORDER BY stretch
"""

# Where the resolvers gave no answer: the sites that the same measurements mostly reached all the
# same, with their own certificate, at the address that the control got. A site is there or it is
# not, whichever network a probe asked from.
_GONE_AROUND = """
SELECT b.domain::VARCHAR AS domain
FROM (FROM suspected SEMI JOIN stretches_at_hand USING (stretch)) b
  JOIN outcomes o ON o.domain = b.domain AND o.probe_asn = b.probe_asn
    AND o.day BETWEEN b.first_day AND b.last_day
    AND o.rule_id::VARCHAR IN ('dns.timeout', 'dns.failure')
WHERE b.kind = 'dns_silent'
GROUP BY b.domain HAVING 2 * count(*) FILTER (o.tls_rule = 'tls.ok') >= count(*)
"""

# What the same network saw, on the same days, of other sites in the same hosting network.
_NEIGHBOURS = """
WITH near AS (
  SELECT b.stretch, b.probe_asn, b.first_day, b.last_day, other.domain
  FROM suspected b SEMI JOIN stretches_at_hand USING (stretch)
    JOIN site_networks own USING (domain)
    JOIN site_networks other ON other.site_asn = own.site_asn AND other.domain <> own.domain
)
SELECT n.stretch, count(*) FILTER (o.class IN ('ok', 'unclear')) AS reached_count,
  count(*) FILTER (o.class = 'blocked' AND ends_with(o.kind, 'silent')) AS silent_count
FROM near n JOIN sessions o ON o.domain = n.domain AND o.probe_asn = n.probe_asn
  AND o.day BETWEEN n.first_day AND n.last_day
GROUP BY n.stretch ORDER BY n.stretch
"""


def withhold(
    connection: duckdb.DuckDBPyConnection, blocks: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """Why a block is not listed all the same, and how far each leans on what others saw.

    The measurements of one country cannot tell a block on all its networks from a site that is
    away or refuses all of them, unless something distinctive is seen. Where at least two other
    operators tested the site during the block, nearly all failed as well, and next to no session
    got through, the block is withheld. They must have failed by the same act and in the same
    manner: a site that refuses a country shows one symptom, operators that block each have their
    own way. Two things still speak for a block where there is a way to the site: that they reached
    it at other times, and that unrelated sites with unrelated hosts fail by the same act on every
    network. And where resolvers are silent for its name, that the same measurements reach it.

    Silence on one network alone for less than ``route_days`` is a lost route, unless other sites in
    the same hosting network were reached from there meanwhile.

    Args:
        connection: holds ``sessions``, ``networks`` and ``outcomes``.
        blocks: the blocks to be asked about, by number of the stretch: ``kind``, ``mechanism``,
            ``hours`` (of the week, from Monday's first; none of what holds all day); numbers for
            ``domain, probe_asn, operator``; ``first_day, last_day`` of its failures, and ``since,
            until``, between which nearly all of them lie.
        thresholds: ``refusal_share``, ``firewall_names``, ``floor_sessions``, ``route_days``.

    Returns:
        By number of the stretch: ``reason``, empty where it is listed; ``leaning``, how many forged
        sessions would take it back, without end where others reach the site.
    """
    asked = blocks[~blocks["kind"].isin(["mark", "dns_sent"]) & (blocks["mechanism"] != "tls.mitm")]
    suspected = _ask_others(connection, asked, thresholds)
    away, leaning = _find_unreached(connection, suspected, thresholds)
    lost = _find_lost_routes(connection, suspected[~suspected.index.isin(away)], blocks, thresholds)
    reason = pd.Series("", blocks.index)
    reason[away] = EVERYWHERE
    reason.update(lost)
    alone = suspected.index[suspected["operator_count"] == 0]
    named = reason[reason.index.isin(alone) & (reason != "")]
    reason[named.index] = named + ALONE
    return pd.DataFrame(
        {"reason": reason, "leaning": leaning.reindex(blocks.index, fill_value=np.inf)}
    )


def _ask_others(
    connection: duckdb.DuckDBPyConnection, asked: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """The blocks in doubt, by stretch, with what other operators saw of the site meanwhile."""
    hours = pa.array(asked["hours"].to_list(), pa.list_(pa.int64()), from_pandas=True)
    at_hand = {"stretch": asked.index, "kind": asked["kind"].astype(str), "hours": hours}
    at_hand |= {name: asked[name] for name in _PLACES}
    connection.register("blocks_at_hand", pa.table(at_hand))
    floor = {"floor_sessions": thresholds.floor_sessions}
    steps = {
        "suspected": _SUSPECTED,
        "operators_meanwhile": _OPERATORS_MEANWHILE,
    }
    create_tables(connection, steps, floor)
    connection.unregister("blocks_at_hand")
    suspected = (
        connection.execute(
            "SELECT * REPLACE (domain::VARCHAR AS domain, kind::VARCHAR AS kind) FROM suspected "
            "ORDER BY stretch"
        )
        .df()
        .set_index("stretch")
    )
    others = connection.execute(_OTHERS, floor).df().set_index("stretch")
    hosts = connection.execute("SELECT domain::VARCHAR AS domain, site_asn FROM site_networks").df()
    return (
        suspected.join(others)
        .fillna(dict.fromkeys(others.columns, 0))
        .join(hosts.set_index("domain")["site_asn"], on="domain")
        .join(asked["mechanism"])
    )


def _ask(
    connection: duckdb.DuckDBPyConnection, query: str, stretches: pd.Index, numbers: dict[str, int]
) -> pd.DataFrame:
    """Ask of some of the blocks in doubt: each question takes in all sessions of their sites."""
    connection.register("stretches_at_hand", pd.DataFrame({"stretch": stretches}))
    answer = connection.execute(query, numbers).df()
    connection.unregister("stretches_at_hand")
    return answer


def _find_unreached(
    connection: duckdb.DuckDBPyConnection, suspected: pd.DataFrame, thresholds: Thresholds
) -> tuple[pd.Index, pd.Series]:
    """The blocks during which no operator reached the site, and how far each leans on others."""
    failing = suspected["failing_operator_count"] + 1
    told = suspected["operator_count"] + 1
    is_away = suspected["reaching_session_count"] < np.maximum(2, 0.1 * suspected["session_count"])
    # What speaks for a block: too little that fails alike, and operators with a way of their own.
    short = thresholds.floor_sessions - suspected["alike_session_count"]
    otherwise = suspected["otherwise_margin"]
    is_unreached = (
        is_away
        & (told >= 3)
        & (short <= 0)
        & (failing >= thresholds.refusal_share * told)
        & (otherwise == 0)
    )
    asked, floor = suspected.index[is_unreached], {"floor_sessions": thresholds.floor_sessions}
    changed = _ask(connection, _CHANGED, asked, floor).set_index("stretch")["changed_count"]
    # Whether a site is there is asked of all networks on which its lookups are silent.
    is_at_stake = suspected["domain"].isin(suspected.loc[asked, "domain"])
    around = _ask(connection, _GONE_AROUND, suspected.index[is_at_stake], {})["domain"]
    has_changed = 2 * changed.reindex(suspected.index, fill_value=0) >= failing
    # Whoever answers has a way to the site, and so has who could say its name.
    is_named = suspected["act"] == "name"
    is_connected = is_named | (suspected["kind"] == "tcp_sent")
    is_shared = _are_unrelated(suspected[is_unreached], thresholds).reindex(
        suspected.index, fill_value=False
    )
    is_reached = (suspected["kind"] == "dns_silent") & suspected["domain"].isin(around)
    is_cleared = (is_connected & has_changed) | (is_named & is_shared) | is_reached
    # One session with another operator more, or with one that is in doubt, and nearly all fail
    # alike; two that claim to reach a site leave one fewer that does.
    leaning = pd.concat([short, otherwise], axis=1).max(axis=1).clip(lower=1).astype("float64")
    leaning = leaning.where(is_away, np.inf).mask(is_unreached & is_cleared, 2)
    return suspected.index[is_unreached & ~is_cleared], leaning


def _find_lost_routes(
    connection: duckdb.DuckDBPyConnection,
    suspected: pd.DataFrame,
    blocks: pd.DataFrame,
    thresholds: Thresholds,
) -> pd.Series:
    """The brief silences of one network that nothing tells from a lost route, with the reason."""
    silent = suspected[suspected["is_silent"]]
    is_brief = _are_once(silent, thresholds.route_days)
    alone = silent[is_brief & (silent["company_count"] == 0)]
    near = _ask(connection, _NEIGHBOURS, alone.index, {}).set_index("stretch")
    near = near.reindex(alone.index).fillna(0)
    is_reached = near["reached_count"] > near["silent_count"]
    is_tested = near["reached_count"] + near["silent_count"] > 0
    reason = pd.Series(np.where(is_tested, ROUTE_LOST, ROUTE_UNKNOWN), alone.index, dtype=object)
    return reason[~is_reached]


def _are_once(silent: pd.DataFrame, most_days: int) -> pd.Series:
    """Which silences of a site on a network are there once, for fewer days.

    A version of the probe that writes the same time-out down at another layer is no second time.
    """
    cell = ["domain", "probe_asn"]
    ordered = silent.sort_values([*cell, "first_day"])
    reached = ordered.groupby(cell)["last_day"].cummax().groupby([ordered[n] for n in cell]).shift()
    begins = reached.isna() | (ordered["first_day"] > reached + pd.Timedelta(days=1))
    ordered = ordered.assign(time=begins.groupby([ordered[n] for n in cell]).cumsum())
    days = ordered.groupby(cell).agg({"first_day": "min", "last_day": "max", "time": "max"})
    is_once = (days["time"] == 1) & ((days["last_day"] - days["first_day"]).dt.days < most_days)
    found = ordered[cell].join(is_once.rename("is_once"), on=cell)["is_once"]
    return found.reindex(silent.index).astype(bool)


def _are_unrelated(unreached: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Whether enough sites with different owners and hosts are cut off as the row's site is."""
    shared = unreached.assign(
        act=unreached["act"] + "_" + unreached["is_silent"].astype(str),
        site=unreached["domain"].map(registrable_domain),
    )
    counts = shared.groupby("act")[["site", "site_asn"]].nunique().min(axis=1)
    return shared["act"].map(counts) >= thresholds.firewall_names
