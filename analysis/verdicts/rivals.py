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
from analysis.sql import read_queries
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

_STEPS = read_queries(__file__)


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
