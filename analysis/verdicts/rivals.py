"""What else could it be? The rivals of a block, in the order in which they are asked.

A stretch that a rival explains is withheld, with its dates and the rival's sentence. Most rivals
are asked in ``rivals.sql``, of all blocks at once, since each of them depends on what other
networks saw meanwhile. Those about probes are asked in ``probes``; the last of them, of the blocks
that are left.

To add a rival, write a query in ``rivals.sql`` that returns the stretches that it explains, a row
of ``RIVALS`` with its question and its sentence, and a row of the table in docs/method.md. Say in
``margins`` how many forged sessions would let it apply, and in ``refusals`` whether the fifth rival
is asked of what it explains.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from analysis.hosts import registrable_domain
from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import read_queries
from analysis.verdicts.caveats import BEFORE_FIRST_TEST
from analysis.verdicts.pairs import Country, Stretch
from analysis.verdicts.probes import find_households, find_kinds_of_probe, find_split_sessions

_OPERATORS = 3
_NUMBERS = {
    # "All networks" are so many operators and more, of whose sessions less than this share reached
    # the site.
    "operators": _OPERATORS,
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

_STEPS = read_queries(__file__)


@dataclass(frozen=True)
class Rival:
    """Something else than a block that a stretch may be.

    Attributes:
        question: what is asked, for the reader.
        words: why a stretch that it explains is not listed.
        table: the stretches that it explains; empty of the last one.
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
    "timed out, and so did the other sites in the same hosting network; a lost route or a cut "
    "cable would look the same"
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
SOME_USERS = (
    "some sessions failed in this way on nearly all such sites that they tested, and others in "
    "between on hardly any; a filter that some users have, or a fault of their line, would look "
    "the same"
)
ONE_PROBE = (
    "nearly all tests of these sites on this network are of one platform, and no operator with "
    "tests of several shows the block; one household's filter would look the same"
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
        "Did one kind of probe fail where others did not?",
        ONE_KIND_OF_PROBE,
        "kinds_of_probe",
        ("dns_sent", *_NOT_MADE),
    ),
    Rival(
        "Did some sessions fail everywhere, and others nowhere?",
        SOME_USERS,
        "split_sessions",
        ("dns_sent", *_NOT_MADE),
    ),
    Rival(
        "Could one household be all of it?",
        ONE_PROBE,
        "",
        ("dns_sent", *_NOT_MADE),
    ),
)


def ask_rivals(
    connection: duckdb.DuckDBPyConnection,
    country: Country,
    thresholds: Thresholds,
    *,
    has_control: bool = False,
) -> None:
    """Fill in which blocks a rival explains: ``reason``, ``caveat``, ``to_flip``.

    Args:
        connection: holds ``sessions, networks, site_networks``.
        country: with its blocks and their mechanisms.
        thresholds: ``refusal_share``, ``floor_sessions``.
        has_control: others than the country's own networks say what works, so the first rival is
            not asked.
    """
    # a block of an address was asked about at the address
    blocks = [
        stretch for stretch in country.stretches() if stretch.is_block and not stretch.series.lent
    ]
    rows = [
        _describe_block(number, stretch, country.names[stretch.pair.domain])
        for number, stretch in enumerate(blocks)
    ]
    connection.register("blocks_at_hand", pa.Table.from_pylist(rows, _BLOCKS_AT_HAND))
    create_tables(connection, _STEPS, {**_NUMBERS, **vars(thresholds)})
    of_probes = {
        "kinds_of_probe": find_kinds_of_probe(country, blocks),
        "split_sessions": find_split_sessions(country, blocks),
    }
    for rival in RIVALS:
        if has_control and rival.words == EVERYWHERE:
            continue
        if rival.table in of_probes:
            explained = of_probes[rival.table]
        elif rival.table:
            found = connection.execute(f"SELECT stretch FROM {rival.table}").fetchall()
            explained = {blocks[number] for (number,) in found}
        else:
            left = [stretch for stretch in blocks if not stretch.reason]
            explained = find_households(country, left, _OPERATORS)
        for stretch in explained:
            stretch.reason = stretch.reason or rival.words
    for number, margin, may_refuse in connection.execute("FROM margins").fetchall():
        blocks[number].to_flip = margin
        blocks[number].caveat = BEFORE_FIRST_TEST if may_refuse else ""


#: One row is one block, see ``_describe_block``.
_BLOCKS_AT_HAND = pa.schema(
    {
        "stretch": pa.int64(),
        "domain": pa.string(),
        "site": pa.string(),
        "probe_asn": pa.int64(),
        "operator": pa.int64(),
        "kind": pa.string(),
        "mechanism": pa.string(),
        "hours": pa.list_(pa.int64()),
        "first_day": pa.date32(),
        "last_day": pa.date32(),
        "since": pa.date32(),
        "until": pa.date32(),
    }
)
#: The days ``since`` and ``until`` of a block leave out this share of its failures before and
#: after, in per cent. A stray failure would stretch it over days on which the site worked.
_STRAY_SHARE = 15


def _describe_block(number: int, stretch: Stretch, name: str) -> dict[str, object]:
    """Return a block as a row for ``rivals.sql``.

    ``hours`` are those of the week, from the first of Monday on, and nothing of a block that holds
    all day; ``first_day`` and ``last_day`` have its failures, and ``since`` and ``until`` nearly
    all of them.
    """
    pair, schedule = stretch.pair, stretch.series.schedule
    days = [session.day for session in stretch.failures]
    # how many failures are such a part of all, rounded up
    early, late = (-(-share * len(days) // 100) for share in (_STRAY_SHARE, 100 - _STRAY_SHARE))
    return {
        "stretch": number,
        "domain": name,
        "site": registrable_domain(name),
        "probe_asn": pair.probe_asn,
        "operator": pair.operator,
        "kind": stretch.kind,
        "mechanism": stretch.mechanism,
        "hours": np.flatnonzero(schedule.of_week).tolist() if schedule else None,
        "first_day": days[0],
        "last_day": days[-1],
        "since": days[early - 1],
        "until": days[late - 1],
    }


def answer_rivals(mechanism: str, state: str, reason: str = "") -> list[tuple[str, str]]:
    """Return the rivals that were asked about a stretch: the question and the answer of each.

    Args:
        mechanism: of the stretch.
        state: ``blocked`` if a mark decides.
        reason: why it is withheld; empty of a listed one. The answers of rivals after the one that
            explains it have no effect, and are left out.
    """
    kind = "mark" if state == "blocked" else _kind_of(mechanism)
    answers = []
    for rival in RIVALS:
        if kind in rival.kinds:
            answers.append((rival.question, rival.words if rival.words == reason else NO))
            if rival.words == reason:
                break
    return answers


def _kind_of(mechanism: str) -> str:
    """Return the kind of failure that a mechanism is of (``sessions.KINDS``).

    A certificate that somebody else made is asked what a false answer is asked.
    """
    if mechanism == "tls.mitm":
        return "dns_sent"
    layer, _, manner = mechanism.partition(".")
    act = layer if layer in ("dns", "tcp") else "name"
    return f"{act}_{'silent' if manner == 'timeout' else 'sent'}"
