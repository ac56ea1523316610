"""What else could it be? Rivals of a block, asked in order, each with the sentence that it returns.

A stretch that a rival explains is withheld, with its dates and that sentence. Every rival asks what
others saw meanwhile, so only networks that speak for others are heard (``networks.is_witness``).
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.hosts import registrable_domain
from analysis.outcomes.steps import create_tables, read_type
from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.probes import find_kinds_of_probe

_NUMBERS = {
    # "All networks" are so many operators and more, of whose sessions less than this share reached
    # the site.
    "operators": 3,
    "reached_share": 0.1,
    # So many hosts and registrable domains that begin to fail together are no host's refusal. A
    # sharp choice: on an examiner's worlds two list four sites wrongly, four lose twelve pairs.
    "hosts": 3,
    # So well must the day be known on which something begins to fail, and so near must others begin
    # to be part of the same.
    "known_days": 14,
    "near_days": 3,
    # A host may be silent on one network for so many days where its neighbours are silent too; a
    # route is lost for so many where nobody tested a neighbour.
    "host_days": 60,
    "route_days": 7,
    # A site that refuses a network does so for longer: blocks around exams and elections last days.
    "refusal_days": 28,
}

# The blocks that fail otherwise than by a mark, an answer or a certificate that somebody else made.
# ``is_by_tcp``: nothing but connections is blocked of the pair, and not at hours of the week.
_SUSPECTED = """
WITH hosts AS (
  SELECT unnest(enum_range(NULL::host_name))::host_name AS host
)
SELECT b.* REPLACE (host AS domain, kind::failure_kind AS kind, first_day::DATE AS first_day,
    last_day::DATE AS last_day, since::DATE AS since, until::DATE AS until), n.is_witness,
  split_part(kind, '_', 1) AS act, ends_with(kind, 'silent') AS is_silent,
  concat(act, is_silent) AS manner,
  bool_and(starts_with(kind, 'tcp') AND hours IS NULL) OVER (PARTITION BY b.domain, probe_asn)
    AS is_by_tcp
FROM blocks_at_hand b JOIN hosts ON enum_code(host) = b.domain JOIN networks n USING (probe_asn)
QUALIFY b.kind NOT IN ('mark', 'dns_sent') AND coalesce(b.mechanism, '') <> 'tls.mitm'
"""

# What each other operator's access networks saw of the site meanwhile, at the hours of the block. A
# VPN or a foreign network is no witness: a site that refuses the country lets it in. A lost route
# shows as a time-out at whatever layer a probe's version writes it down.
_OPERATORS_MEANWHILE = """
WITH seen AS (
  SELECT b.stretch, n.operator, o.class, o.kind, count(*) AS sessions
  FROM suspected b JOIN sessions o ON o.domain = b.domain AND o.day BETWEEN b.since AND b.until
    JOIN networks n ON n.probe_asn = o.probe_asn
  WHERE n.is_witness AND n.operator <> b.operator AND o.class IN ('blocked', 'ok', 'unclear')
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

# The same, with the sum over operators. ``margin``: sessions that would take away the majorities of
# those operators with whom the site failed in another way. ``company``: operators with whom it
# failed in the same way.
_SEEN = """
WITH told AS (
  SELECT *, 2 * alike_sessions > sessions AS is_failing,
    greatest(2 * otherwise_sessions - sessions,
      CASE WHEN other_manner_sessions >= $floor_sessions
        THEN 2 * other_manner_sessions - sessions ELSE 0 END) AS margin
  FROM operators_meanwhile
), others AS (
  SELECT stretch, sum(ok_sessions) AS reaching, sum(sessions) AS sessions, count(*) AS operators,
    count(*) FILTER (is_failing) AS failing, sum(alike_sessions) AS alike,
    count(*) FILTER (is_failing AND alike_sessions >= 2) AS company,
    coalesce(sum(margin) FILTER (margin > 0), 0) AS margin
  FROM told GROUP BY stretch
), counted AS (
  SELECT s.*, site_asn, coalesce(operators, 0) + 1 AS operators,
    coalesce(failing, 0) + 1 AS failing, coalesce(alike, 0) AS alike,
    coalesce(company, 0) AS company, coalesce(margin, 0) AS margin,
    coalesce(reaching, 0) >= greatest(2, $reached_share * coalesce(sessions, 0)) AS is_reached
  FROM suspected s LEFT JOIN others USING (stretch) LEFT JOIN site_networks USING (domain)
)
SELECT *, operators >= $operators AND failing >= $refusal_share * operators
    AND alike >= $floor_sessions AND NOT is_reached AND margin = 0 AS is_unreached
FROM counted
"""

# When each begins: between the last day on which the site was open and the first failure, as all
# networks of the site together leave them. One session does not say that it was open, since it may
# be forged. What speaks for no other has no host here.
_ONSETS = """
WITH before AS (
  SELECT s.stretch, max(o.day)::DATE AS open_day
  FROM suspected s JOIN sessions o ON o.domain = s.domain AND o.probe_asn = s.probe_asn
    AND o.day < s.first_day
  WHERE o.class = 'ok' GROUP BY s.stretch HAVING count(*) >= 2
), begun AS (
  SELECT stretch, manner, domain, site, operator,
    CASE WHEN is_witness THEN coalesce(site_asn, 0) ELSE 0 END AS host, open_day, first_day AS day,
    last_day, is_unreached,
    failing >= greatest($operators, $refusal_share * operators) AS is_widespread,
    hours IS NOT NULL AND NOT is_silent AS is_at_hours,
    kind = 'dns_silent' AND 2 * failing <= operators AND last_day - first_day < $host_days
      AND open_day IS NOT NULL AS is_of_resolvers
  FROM seen LEFT JOIN before USING (stretch)
), near AS (
  SELECT o.stretch, max(n.open_day) AS open_day, min(n.day) AS day
  FROM begun o JOIN begun n ON n.domain = o.domain AND n.manner = o.manner
    AND n.open_day <= o.day AND o.open_day <= n.day
  GROUP BY o.stretch
)
SELECT b.* REPLACE (coalesce(least(n.open_day, n.day), b.open_day) AS open_day,
    coalesce(greatest(n.open_day, n.day), b.day) AS day)
FROM begun b LEFT JOIN near n USING (stretch)
"""

# Of all sites that were tested in the week after some days, the share that was mostly reached. A
# session has one vote for all that it reached alone, and one for all others that it tested alone.
_REACHED_AFTER = """
WITH seen AS (
  SELECT a.day, o.domain, 2 * count(*) FILTER (o.class = 'ok') > count(*) AS is_reached,
    count(*) >= 2 AS is_common, min(o.session) AS session
  FROM (SELECT DISTINCT day FROM onsets) a JOIN sessions o ON o.day BETWEEN a.day AND a.day + 7
    JOIN networks n ON n.probe_asn = o.probe_asn
  WHERE n.is_witness AND o.class IN ('ok', 'blocked', 'unclear') GROUP BY ALL
), votes AS (
  SELECT day, is_reached,
    count(*) FILTER (is_common) + count(DISTINCT session) FILTER (NOT is_common) AS votes
  FROM seen GROUP BY ALL
)
SELECT day, coalesce(sum(votes) FILTER (is_reached), 0) / sum(votes) AS share
FROM votes GROUP BY day
"""


def _coincide(asked: str) -> str:
    """SQL: of some onsets those that begin when unrelated sites of other hosts do.

    Open before, in the same act and manner, while half of all tested sites are reached in the week
    after; and the same site's failures meanwhile on networks that had not tested it. A site that
    fails with most operators, and three of them, counts among the others, even if a network still
    reaches it: an order that one network does not carry out is an order. Any number may begin on
    one day, as forgers would have it: their days are compared once.
    """
    return f"""
WITH known AS (
  FROM onsets WHERE day - open_day <= $known_days AND host > 0
    AND (is_widespread OR stretch IN (SELECT stretch FROM {asked}))
), days AS (
  SELECT DISTINCT manner, open_day, day FROM known
), met AS (
  SELECT d.manner, d.open_day, d.day FROM days d JOIN known k ON k.manner = d.manner
    AND d.open_day <= k.day + $near_days AND k.open_day <= d.day + $near_days
  GROUP BY ALL HAVING least(count(DISTINCT k.host), count(DISTINCT k.site)) >= $hosts
), coincident AS (
  FROM known SEMI JOIN met USING (manner, open_day, day)
  SEMI JOIN (FROM reached_after WHERE share >= 0.5) USING (day)
)
SELECT DISTINCT o.stretch FROM {asked} o JOIN coincident c ON c.domain = o.domain
  AND c.manner = o.manner AND o.day BETWEEN c.day - $near_days AND c.last_day
"""


# On all networks alike, by no coincidence, and at no hours of the week. That it was open at other
# times clears nothing: a host that begins to refuse does that too. What is silent at certain hours
# may be overloaded. Where two operators and more show a site away, it is not blocked with a third
# meanwhile, whose days happen to hold a stray success.
_EVERYWHERE = """
WITH away AS (
  FROM unreached ANTI JOIN cleared USING (stretch) WHERE NOT is_at_hours
)
SELECT stretch FROM away
UNION
SELECT o.stretch FROM onsets o JOIN away a ON a.domain = o.domain AND a.manner = o.manner
  AND o.day <= a.last_day AND a.day <= o.last_day AND a.operator <> o.operator
WHERE NOT o.is_at_hours
GROUP BY o.stretch HAVING count(DISTINCT a.operator) >= $operators - 1
"""

# Of other sites in the same hosting network, what the same network mostly saw on the same days, in
# two sessions or more: one report can make sites up.
_NEIGHBOURS = """
WITH near AS (
  SELECT b.stretch, b.probe_asn, b.first_day, b.last_day, other.domain
  FROM suspected b JOIN site_networks own USING (domain)
    JOIN site_networks other ON other.site_asn = own.site_asn AND other.domain <> own.domain
  WHERE b.is_silent
), sites AS (
  SELECT n.stretch, n.domain, count(*) FILTER (o.class IN ('ok', 'unclear')) AS reached,
    count(*) FILTER (o.class = 'blocked' AND ends_with(o.kind, 'silent')) AS silent
  FROM near n JOIN sessions o ON o.domain = n.domain AND o.probe_asn = n.probe_asn
    AND o.day BETWEEN n.first_day AND n.last_day
  GROUP BY ALL HAVING count(*) FILTER (o.class IN ('ok', 'unclear', 'blocked')) >= 2
)
SELECT stretch, count(*) FILTER (reached > silent) AS reached_count,
  count(*) FILTER (silent >= reached AND silent > 0) AS silent_count
FROM sites GROUP BY stretch ORDER BY stretch
"""

# Silences of one network, once, that the host's other sites do not acquit. A version of the probe
# that writes the same time-out down at another layer is no second time.
_SILENT_ALONE = """
WITH ordered AS (
  SELECT *, max(last_day) OVER (PARTITION BY domain, probe_asn ORDER BY first_day, stretch
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
  FROM seen WHERE is_silent
), once AS (
  SELECT domain, probe_asn, max(last_day) - min(first_day) AS days FROM ordered GROUP BY ALL
  HAVING count(*) FILTER (reached IS NULL OR first_day > reached + 1) = 1
)
SELECT o.stretch, days, coalesce(silent_count, 0) AS silent_count
FROM ordered o JOIN once USING (domain, probe_asn) LEFT JOIN neighbours USING (stretch)
WHERE company = 0 AND coalesce(reached_count < 2 AND reached_count <= silent_count, TRUE)
"""

# The resolvers of two operators and more, from the same days, while others resolve the name. Not
# for months, and unless others' names begin to fail then too, which have name servers of their own.
_RESOLVERS_FAIL = """
SELECT o.stretch
FROM (FROM of_resolvers ANTI JOIN coincident_lookups USING (stretch)) o
  JOIN of_resolvers n ON n.domain = o.domain
    AND o.open_day <= n.day + $near_days AND n.open_day <= o.day + $near_days
GROUP BY o.stretch HAVING count(DISTINCT n.operator) > 1
"""

# How many operators and hosts more than needed (``others``) make what fails the networks' doing: it
# fails so with ``operators``, or this operator's networks fail so at ``hosts``. Where there are
# none, nothing tells whether the network or the site refuses. A site refuses by connections, and
# not for days: what two sessions found open again before ``refusal_days`` is no refusal.
_REFUSALS = """
WITH asked AS (
  FROM seen ANTI JOIN everywhere USING (stretch) ANTI JOIN silent_hosts USING (stretch)
    ANTI JOIN lost_routes USING (stretch)
  WHERE site_asn IS NOT NULL
), cut_off AS (
  SELECT operator, manner, least(count(DISTINCT site_asn), count(DISTINCT site)) AS hosts
  FROM asked GROUP BY ALL
), pairs AS (
  SELECT domain, probe_asn, max(last_day) AS last_day, max(last_day) - min(first_day) AS days
  FROM asked WHERE is_by_tcp GROUP BY ALL
), lasting AS (
  FROM pairs p WHERE days >= $refusal_days OR 2 > (
    SELECT count(*) FROM sessions o WHERE o.domain = p.domain AND o.probe_asn = p.probe_asn
      AND o.day > p.last_day AND o.class = 'ok')
)
SELECT stretch,
  greatest(company + 2 - $operators, 0) + greatest(hosts + 1 - $hosts, 0) AS others,
  days IS NOT NULL AS is_lasting, open_day IS NULL AS is_unopened
FROM asked JOIN cut_off USING (operator, manner) LEFT JOIN lasting USING (domain, probe_asn)
  JOIN (SELECT stretch, open_day FROM onsets) USING (stretch)
"""

# How many forged sessions elsewhere would have a block withheld, at least. One session with another
# operator more, or with one that is in doubt, and nearly all fail alike; two that claim to reach a
# site leave one fewer that does. Without end where others reach it. One session each may silence
# what makes it the network's doing.
_MARGINS = """
SELECT stretch, least(CASE WHEN is_lasting THEN others END,
    CASE WHEN is_unreached THEN 2 WHEN is_reached THEN 'inf'::DOUBLE
      ELSE greatest($floor_sessions - alike, margin, 1) END) AS margin
FROM seen LEFT JOIN refusals USING (stretch)
"""

_STEPS = {
    "suspected": _SUSPECTED,
    "operators_meanwhile": _OPERATORS_MEANWHILE,
    "seen": _SEEN,
    "onsets": _ONSETS,
    "reached_after": _REACHED_AFTER,
    "unreached": "FROM onsets WHERE is_unreached",
    "cleared": _coincide("unreached"),
    "everywhere": _EVERYWHERE,
    "neighbours": _NEIGHBOURS,
    "silent_alone": _SILENT_ALONE,
    "silent_hosts": "FROM silent_alone WHERE days < $host_days AND silent_count > 0",
    "lost_routes": "FROM silent_alone WHERE days < $route_days AND silent_count = 0",
    "of_resolvers": "FROM onsets WHERE is_of_resolvers",
    "coincident_lookups": _coincide("of_resolvers"),
    "resolvers_fail": _RESOLVERS_FAIL,
    "refusals": _REFUSALS,
    "refused_here": "FROM refusals WHERE others = 0 AND is_lasting",
    "margins": _MARGINS,
}


@dataclass(frozen=True)
class Rival:
    """Something else than a block that a stretch may be.

    Attributes:
        question: what is asked, for the reader.
        words: why a stretch that it explains is not listed.
        table: the stretches that it explains.
        kinds: of failure, of which it is asked.
    """

    question: str
    words: str
    table: str
    kinds: tuple[str, ...]


_NOT_MADE = ("dns_silent", "tcp_sent", "tcp_silent", "name_sent", "name_silent")
_SILENT = ("dns_silent", "tcp_silent", "name_silent")
EVERYWHERE = (
    "failed in the same way on nearly every access network that tested it at that time; a fault, "
    "or a site that refuses the country, would look the same as a block"
)
HOST_SILENT = (
    "timed out on this network alone, and so did the other sites in the same hosting network; a "
    "lost route would look the same"
)
ROUTE_UNKNOWN = (
    "timed out for a few days, and no other site in the same hosting network was tested from this "
    "network then; a lost route would look the same"
)
RESOLVERS = (
    "the resolvers of several operators began to fail for the name in the same days, while most "
    "resolved it; name servers out of reach would look the same"
)
REFUSED_HERE = (
    f"connections to it mostly failed with at most {_NUMBERS['operators'] - 1} operators, for at "
    f"least {_NUMBERS['refusal_days']} days or until the last test; without another explanation, "
    "the operator of this network fails in this way with too few sites to show a block (in fewer "
    f"than {_NUMBERS['hosts']} hosting networks or domains); a site that refuses these operators "
    "would look the same"
)
ONE_KIND_OF_PROBE = (
    "failed in one kind of probe alone (one platform, or all versions up to a certain one): on "
    "this network, over all sites that failed in this way, other probes hardly ever failed"
)
#: What a rival says that does not explain a stretch.
NO = "No."
#: Asked in this order; the first that speaks explains a stretch.
RIVALS: tuple[Rival, ...] = (
    Rival(
        "By the rules of this report, do they look like a fault of the site, or like a site "
        "that refuses the whole country?",
        EVERYWHERE,
        "everywhere",
        _NOT_MADE,
    ),
    Rival("Was the whole hosting network silent?", HOST_SILENT, "silent_hosts", _SILENT),
    Rival("Could a route have been lost for days?", ROUTE_UNKNOWN, "lost_routes", _SILENT),
    Rival(
        "Did the name's servers fail several resolvers?",
        RESOLVERS,
        "resolvers_fail",
        ("dns_silent",),
    ),
    Rival(
        "By the rules of this report, do they look like a site that refuses this network, for "
        f"at least {_NUMBERS['refusal_days']} days or until the last test?",
        REFUSED_HERE,
        "refused_here",
        ("tcp_sent", "tcp_silent"),
    ),
    Rival(
        "Did one kind of probe fail alone?",
        ONE_KIND_OF_PROBE,
        "kinds_of_probe",
        ("mark", "dns_sent", *_NOT_MADE),
    ),
)


def ask_rivals(
    connection: duckdb.DuckDBPyConnection,
    evidence: Evidence,
    blocks: pd.DataFrame,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """Why each block is not listed all the same.

    Args:
        connection: holds ``sessions, networks, site_networks``.
        evidence: of all series.
        blocks: by number of the stretch: ``kind`` (a name), ``mechanism``, ``hours`` (of the week,
            from Monday's first; none of what holds all day); numbers for ``domain, probe_asn,
            operator``; ``first_day, last_day`` of the failures, and ``since, until``, between which
            nearly all of them lie.
        thresholds: ``refusal_share``, ``floor_sessions``.

    Returns:
        By number of the stretch: ``reason``, empty where it is listed; the ``margin``, how many
        forged sessions elsewhere would have it withheld, at least; and whether it ``may_refuse``:
        it began before the first test, and the site may refuse this network.
    """
    names = read_type(connection, "host_name")[blocks["domain"]]
    hours = pa.array(blocks["hours"].to_list(), pa.list_(pa.int64()), from_pandas=True)
    at_hand = {"stretch": blocks.index, "hours": hours}
    at_hand |= {name: blocks[name] for name in _AT_HAND}
    at_hand |= {name: blocks[name].astype("str") for name in ("kind", "mechanism")}
    at_hand["site"] = pa.array([registrable_domain(name) for name in names], pa.string())
    connection.register("blocks_at_hand", pa.table(at_hand))
    create_tables(connection, _STEPS, {**_NUMBERS, **vars(thresholds)})
    of_probe = {"stretch": list(find_kinds_of_probe(connection, evidence, blocks))}
    connection.register("kinds_of_probe", pd.DataFrame(of_probe, dtype="int64"))
    reason = pd.Series("", blocks.index, dtype=object)
    for rival in RIVALS:
        explained = connection.execute(f"SELECT stretch FROM {rival.table}").df()["stretch"]
        reason[reason.index.isin(explained) & (reason == "")] = rival.words
    margins = connection.execute("FROM margins").df().set_index("stretch")["margin"]
    refusals = connection.execute("FROM refusals WHERE others = 0 AND is_unopened").df()
    return pd.DataFrame(
        {
            "reason": reason,
            "margin": margins.reindex(blocks.index, fill_value=np.inf),
            "may_refuse": blocks.index.isin(refusals["stretch"]),
        }
    )


_AT_HAND = ("domain", "probe_asn", "operator", "first_day", "last_day", "since", "until")


def answer_rivals(mechanism: str, state: str, reason: str = "") -> list[tuple[str, str]]:
    """Which rivals were asked about a stretch, and what each answered: question and answer.

    Args:
        mechanism: of the stretch.
        state: ``blocked`` where a mark decides.
        reason: why it is withheld; empty of a listed one. Those behind the rival that spoke were
            asked to no effect.
    """
    is_made = state == "blocked" or mechanism == "tls.mitm"
    kind = "mark" if is_made else _kind_of(mechanism)
    answers = []
    for rival in RIVALS:
        if kind in rival.kinds:
            answers.append((rival.question, rival.words if rival.words == reason else NO))
            if rival.words == reason:
                break
    return answers


def _kind_of(mechanism: str) -> str:
    """The kind of failure that a mechanism is of (``sessions.KINDS``)."""
    layer, _, manner = mechanism.partition(".")
    act = layer if layer in ("dns", "tcp") else "name"
    return f"{act}_{'silent' if manner == 'timeout' else 'sent'}"
