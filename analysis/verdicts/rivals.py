"""What else could it be? Rivals of a block, asked in order, each with the sentence that it returns.

A stretch that a rival explains is withheld, with its dates and that sentence. Every rival asks what
others saw meanwhile, so only networks that speak for others are heard (``networks.is_witness``).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.hosts import registrable_domain
from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.onsets import NEAR_DAYS, Onset, by_manner, meeting, tighten
from analysis.verdicts.probes import find_kinds_of_probe

#: "All networks" are so many operators and more ...
_OPERATORS = 3
#: ... of whose sessions less than this share reached the site.
_REACHED_SHARE = 0.1
#: So many hosts and registrable domains that begin to fail together are no host's refusal. A sharp
#: choice: on an examiner's worlds two list four sites wrongly, four lose twelve pairs.
_HOSTS = 3
#: A host may be silent on one network for so many days where its neighbours are silent too; a route
#: is lost for so many where nobody tested a neighbour.
_HOST_DAYS, _ROUTE_DAYS = 60, 7

_PLACES = ("domain", "probe_asn", "operator", "first_day", "last_day", "since", "until")

_SUSPECTED = """
WITH hosts AS (
  SELECT unnest(enum_range(NULL::host_name))::host_name AS host
)
SELECT b.* REPLACE (host AS domain, kind::failure_kind AS kind, first_day::DATE AS first_day,
    last_day::DATE AS last_day, since::DATE AS since, until::DATE AS until), n.is_witness,
  split_part(kind, '_', 1) AS act, ends_with(kind, 'silent') AS is_silent
FROM blocks_at_hand b JOIN hosts ON enum_code(host) = b.domain JOIN networks n USING (probe_asn)
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

# The last day on which the site was open before each block, on its network.
_OPEN_BEFORE = """
SELECT b.stretch, max(o.day)::DATE AS open_day
FROM suspected b JOIN sessions o ON o.domain = b.domain AND o.probe_asn = b.probe_asn
  AND o.day < b.first_day
WHERE o.class = 'ok' GROUP BY b.stretch
"""

# Of all sites that were tested in the week after some days, the share that was mostly reached.
_REACHED_AFTER = """
WITH seen AS (
  SELECT a.day, o.domain, 2 * count(*) FILTER (o.class = 'ok') > count(*) AS is_reached
  FROM (SELECT day, DATE '1970-01-01' + day::INTEGER AS since FROM onsets_at_hand) a
    JOIN sessions o ON o.day BETWEEN a.since AND a.since + 7
    JOIN networks n ON n.probe_asn = o.probe_asn
  WHERE n.is_witness AND o.class IN ('ok', 'blocked', 'unclear') GROUP BY ALL
)
SELECT day, count(*) FILTER (is_reached) / count(*) AS share FROM seen GROUP BY day
"""

# Of other sites in the same hosting network, what the same network mostly saw on the same days.
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
  GROUP BY ALL
)
SELECT stretch, count(*) FILTER (reached > silent) AS reached_count,
  count(*) FILTER (silent >= reached AND silent > 0) AS silent_count
FROM sites GROUP BY stretch ORDER BY stretch
"""


@dataclass(frozen=True)
class Scene:
    """The blocks that rivals are asked about, and what others saw meanwhile.

    Attributes:
        connection: holds ``sessions``, ``networks``, ``site_networks``.
        evidence: of all series.
        blocks: the blocks, by number of the stretch: ``kind`` (a name), ``mechanism, rule_id``,
            ``hours`` (of the week, from Monday's first; none of what holds all day); numbers for
            ``domain, probe_asn, operator``; ``first_day, last_day`` of the failures, and ``since,
            until``, between which nearly all of them lie.
        thresholds: ``refusal_share``, ``floor_sessions``.
    """

    connection: duckdb.DuckDBPyConnection
    evidence: Evidence
    blocks: pd.DataFrame
    thresholds: Thresholds

    @cached_property
    def suspected(self) -> pd.DataFrame:
        """The blocks that fail otherwise than by a mark, an answer or a certificate that somebody
        else made, with what other operators saw of the site meanwhile.
        """
        is_made = self.blocks["kind"].isin(["mark", "dns_sent"])
        asked = self.blocks[~is_made & (self.blocks["mechanism"] != "tls.mitm")]
        return _ask_others(self.connection, asked, self.thresholds)

    @cached_property
    def unreached(self) -> "pd.Series[bool]":
        """Of ``suspected``, which failed alike on all networks that speak for others."""
        seen, floor = self.suspected, self.thresholds.floor_sessions
        told, failing = seen["operator_count"] + 1, seen["failing_operator_count"] + 1
        is_unreached: pd.Series[bool] = (
            (told >= _OPERATORS)
            & (failing >= self.thresholds.refusal_share * told)
            & (seen["alike_session_count"] >= floor)
            & (seen["reaching_session_count"] < _least_reaching(seen))
            & (seen["otherwise_margin"] == 0)
        )
        return is_unreached

    @cached_property
    def onsets(self) -> Mapping[int, Onset]:
        """When each of ``suspected`` begins, over all networks that saw the site begin to fail."""
        before = self.connection.execute(_OPEN_BEFORE).df().set_index("stretch")["open_day"]
        seen = self.suspected
        open_day = _number_days(before.reindex(seen.index))
        day, last_day = (_number_days(seen[name]) for name in ("first_day", "last_day"))
        # what speaks for no other has no host here
        host = seen["site_asn"].where(seen["is_witness"]).fillna(0).astype(int)
        rows = zip(
            seen.index, seen["act"] + seen["is_silent"].astype(str), seen["domain"],
            seen["domain"].map(registrable_domain), host, seen["operator"], open_day, day,
            last_day, strict=True,
        )  # fmt: skip
        return {one.number: one for one in tighten(Onset(*row) for row in rows)}

    def coincide(self, asked: Iterable[int]) -> set[int]:
        """Of some of ``suspected``, those that begin when unrelated sites of other hosts do.

        Open before, in the same act and manner, while half of all tested sites are reached in the
        week after; and the same site's failures meanwhile on networks that had not tested it.
        """
        found: set[int] = set()
        for onsets in by_manner(self.onsets[number] for number in asked):
            of_domain: defaultdict[str, list[Onset]] = defaultdict(list)
            for one in onsets:
                of_domain[one.domain].append(one)
            for same, near in meeting(one for one in onsets if one.is_known and one.host):
                hosts = min(len({one.host for one in near}), len({one.site for one in near}))
                if hosts < _HOSTS or self._reached_after.get(same[0].day, 0) < 0.5:
                    continue
                for one in same:
                    found |= {
                        other.number for other in of_domain[one.domain]
                        if one.day - NEAR_DAYS <= other.day <= one.last_day
                    }  # fmt: skip
        return found

    @cached_property
    def _reached_after(self) -> Mapping[int, float]:
        """Of all sites tested in the week after each onset, the share that was mostly reached."""
        days = pd.DataFrame({"day": sorted({one.day for one in self.onsets.values()})})
        self.connection.register("onsets_at_hand", days.astype("int64"))
        shares = dict(self.connection.execute(_REACHED_AFTER).fetchall())
        self.connection.unregister("onsets_at_hand")
        return shares

    @cached_property
    def silent_alone(self) -> pd.DataFrame:
        """Silences of one network, once: ``days``, ``reached_count`` and ``silent_count`` of the
        host's other sites, and whether these acquit it.
        """
        silent = self.suspected[self.suspected["is_silent"]]
        alone = silent[silent["company_count"] == 0]
        near = self.connection.execute(_NEIGHBOURS).df().set_index("stretch")
        near = near.reindex(alone.index).fillna(0)
        is_open = (near["reached_count"] >= 2) | (near["reached_count"] > near["silent_count"])
        return near.assign(is_open=is_open, days=_days_of_once(silent).reindex(alone.index))


def _fails_everywhere(scene: Scene) -> set[int]:
    """On all networks alike, by no coincidence, and at no hours of the week.

    That it was open at other times clears nothing: a host that begins to refuse does that too. What
    is silent at certain hours may be overloaded. Where two operators and more show a site away, it
    is not blocked with a third meanwhile, whose days happen to hold a stray success.
    """
    seen, onsets = scene.suspected, scene.onsets
    unreached = seen.index[scene.unreached]
    at_hours = set(seen.index[seen["hours"].notna() & ~seen["is_silent"]])
    away = set(unreached) - scene.coincide(unreached) - at_hours
    shown: defaultdict[str, list[Onset]] = defaultdict(list)
    for number in away:
        shown[onsets[number].domain].append(onsets[number])
    for one in onsets.values():
        others = {o.operator for o in shown[one.domain] if o.is_same_failure(one)}
        if one.number not in at_hours and len(others - {one.operator}) >= _OPERATORS - 1:
            away.add(one.number)
    return away


def _is_host_silent(scene: Scene) -> set[int]:
    near = scene.silent_alone
    is_lost = (near["days"] < _HOST_DAYS) & ~near["is_open"] & (near["silent_count"] > 0)
    return set(near.index[is_lost])


def _is_route_lost(scene: Scene) -> set[int]:
    near = scene.silent_alone
    is_lost = (near["days"] < _ROUTE_DAYS) & ~near["is_open"] & (near["silent_count"] == 0)
    return set(near.index[is_lost])


def _do_resolvers_fail(scene: Scene) -> set[int]:
    """The resolvers of two operators and more, from the same days, while others resolve the name.

    Not for months, and unless others' names begin to fail then too, which have name servers of
    their own.
    """
    seen = scene.suspected
    is_of_some = 2 * (seen["failing_operator_count"] + 1) <= seen["operator_count"] + 1
    is_brief = (seen["last_day"] - seen["first_day"]).dt.days < _HOST_DAYS
    numbers = seen.index[(seen["kind"] == "dns_silent") & is_of_some & is_brief]
    asked: defaultdict[str, list[Onset]] = defaultdict(list)
    for number in numbers:
        if scene.onsets[number].open_day >= 0:
            asked[scene.onsets[number].domain].append(scene.onsets[number])
    found = {
        one.number
        for of_site in asked.values()
        for same, near in meeting(of_site)
        for one in same
        if len({other.operator for other in near}) > 1
    }
    return found - scene.coincide(one.number for of_site in asked.values() for one in of_site)


def _is_kind_of_probe(scene: Scene) -> set[int]:
    return find_kinds_of_probe(scene.connection, scene.evidence, scene.blocks)


def _number_days(days: pd.Series) -> list[int]:
    """Days since 1970; −1 of none."""
    numbers = days.to_numpy("datetime64[D]").astype("int64")
    return list(map(int, np.where(days.isna(), -1, numbers)))


@dataclass(frozen=True)
class Rival:
    """Something else than a block that a stretch may be.

    Attributes:
        question: what is asked, for the reader.
        words: why a stretch that it explains is not listed.
        explains: the stretches that it explains.
        kinds: of failure, of which it is asked.
    """

    question: str
    words: str
    explains: Callable[[Scene], set[int]]
    kinds: tuple[str, ...]


_NOT_MADE = ("dns_silent", "tcp_sent", "tcp_silent", "name_sent", "name_silent")
_SILENT = ("dns_silent", "tcp_silent", "name_silent")
EVERYWHERE = (
    "failed in the same way on nearly every access network that tested it at that time, and no "
    "other host began to fail then; an outage, or a site that refuses the country, looks the same"
)
HOST_SILENT = (
    "timed out on this network alone, and so did the other sites in the same hosting network; a "
    "lost route looks the same"
)
ROUTE_UNKNOWN = (
    "timed out for a few days, and no other site in the same hosting network was tested from this "
    "network then; a lost route looks the same"
)
RESOLVERS = (
    "the resolvers of several operators began to fail for the name in the same days, while most "
    "resolved it; name servers out of reach look the same"
)
ONE_KIND_OF_PROBE = (
    "failed in one kind of probe alone, of one platform or up to one version; others reached the "
    "site on this network meanwhile"
)
#: What a rival says that does not explain a stretch.
NO = "No."
#: Asked in this order; the first that speaks explains a stretch.
RIVALS: tuple[Rival, ...] = (
    Rival("Did it fail in the same way on all networks?", EVERYWHERE, _fails_everywhere, _NOT_MADE),
    Rival("Was the whole host silent?", HOST_SILENT, _is_host_silent, _SILENT),
    Rival("Could a route have been lost for days?", ROUTE_UNKNOWN, _is_route_lost, _SILENT),
    Rival("Did the name's servers fail several resolvers?", RESOLVERS, _do_resolvers_fail,
          ("dns_silent",)),
    Rival("Did one kind of probe fail alone?", ONE_KIND_OF_PROBE, _is_kind_of_probe,
          ("mark", "dns_sent", *_NOT_MADE)),
)  # fmt: skip


def ask_rivals(scene: Scene) -> pd.Series:
    """Why each block is not listed all the same, by number of the stretch; empty where it is."""
    reason = pd.Series("", scene.blocks.index, dtype=object)
    for rival in RIVALS:
        explained = rival.explains(scene)
        reason[reason.index.isin(explained) & (reason == "")] = rival.words
    return reason


def find_margins(scene: Scene) -> pd.Series:
    """How many forged sessions elsewhere would have a block withheld, at least.

    One session with another operator more, or with one that is in doubt, and nearly all fail alike;
    two that claim to reach a site leave one fewer that does. Without end where others reach it.
    """
    seen = scene.suspected
    short = scene.thresholds.floor_sessions - seen["alike_session_count"]
    margin = pd.concat([short, seen["otherwise_margin"]], axis=1).max(axis=1).clip(lower=1)
    margin = margin.astype("float64")
    margin = margin.where(seen["reaching_session_count"] < _least_reaching(seen), np.inf)
    margin = margin.mask(scene.unreached, 2)
    return margin.reindex(scene.blocks.index, fill_value=np.inf)


def _least_reaching(seen: pd.DataFrame) -> pd.Series:
    """From how many sessions on a site is reached elsewhere."""
    return (_REACHED_SHARE * seen["session_count"]).clip(lower=2)


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
        .join(asked[["mechanism", "rule_id"]])
    )


def _days_of_once(silent: pd.DataFrame) -> pd.Series:
    """How many days each silence of a site on a network lasts, if it is there once; else no end.

    A version of the probe that writes the same time-out down at another layer is no second time.
    """
    cell = ["domain", "probe_asn"]
    ordered = silent.sort_values([*cell, "first_day"])
    reached = ordered.groupby(cell)["last_day"].cummax().groupby([ordered[n] for n in cell]).shift()
    begins = reached.isna() | (ordered["first_day"] > reached + pd.Timedelta(days=1))
    together = ordered.assign(begins=begins).groupby(cell)
    days = (together["last_day"].transform("max") - together["first_day"].transform("min")).dt.days
    return days.where(together["begins"].transform("sum") == 1, np.inf)


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
