"""How many forged sessions would it take, at least, to change a verdict?

Anybody may submit a measurement. Each number is the least of these ways:

- within the pair, sessions that make the share of failures too small, or cut a stretch in two;
- failures before the first session, at the site elsewhere and on the network, which raise the rates
  that each session is compared with (``evidence``), and successes, which weigh against a block;
- with other operators, sessions that make it fail everywhere (``rivals.ask_rivals``);
- of other kinds of probe, sessions that reach the site, so that one kind fails alone; of its own
  kind, sessions that fail, so that a household's filter could be all of it;
- with the other kind of input, sessions that fail, so that both are judged together;
- of sites and pages, two reports that hold every site upset what is known of an address or a page;
- the sessions that the floor of another state still lacks.

To change what is known of a device, a page or a coincidence takes two networks with the floor of
sessions each, which is more than ``MOST_FORGED``.
"""

from math import inf, log

import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.evidence import MOST_SHARE, average_over_blocks, weigh_days
from analysis.verdicts.floors import is_most
from analysis.verdicts.pairs import MARK, Country, Stretch
from analysis.vocabulary import LISTED

#: Larger numbers are not distinguished.
MOST_FORGED = 6
#: Traces on so many days: a pair that is not listed all the same is not *ok*.
MARKED_DAYS = 2
#: What one session that reaches the site can take from ln E: its own weight, and what the failures
#: after it count less, since the run of failures begins again: the sum of ln(0.95 / q) until q is
#: 0.95 once more, rounded up.
_STEP = log(1 / (1 - MOST_SHARE)) + 1.03
#: Two reports that hold every site upset what is known of an address or a page.
_OF_PROFILE = 2
#: Mechanisms that rest on what other sessions saw as well as on the pair's own.
_PROFILED = {
    "dns.loopback",
    "dns.bogon",
    "dns.sinkhole",
    "dns.blockpage",
    "dns.other",
    "http.blockpage",
}


def sessions_to_flip(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Return of each pair the smallest number of forged sessions that could change its state.

    Args:
        table: the pairs, each in a period: ``state, mechanism``; its sessions, ``session_count``,
            by result (``blocked_session_count`` …) and those that say something,
            ``heard_session_count``; ``marked_days``; ``own_session_count``, those through the
            network's own resolver, if others were asked as well; ``to_unite``, those after which
            its two kinds of input no longer differ; and what ``STATED`` (``states``) says of the
            stretch that the state rests on.
        thresholds: of the floors.

    Returns:
        1 to ``MOST_FORGED`` + 1, which stands for more than ``MOST_FORGED``.
    """
    state, mechanism = table["state"], table["mechanism"].fillna("")
    down, reached = table["down_session_count"], table["ok_session_count"]
    undecided = table["session_count"] - down - reached  # blocked, or nothing that can be said
    failures, is_listed, is_open = table["resting_failures"], state.isin(LISTED), state == "ok"
    # Sessions that no rule explains, or that were discarded, may be read in another way once forged
    # ones have changed a profile: they count as the forger's own.
    present = np.select(
        [state == "impaired", state.isin(["unexplained", "ok"]), state == "down"],
        [np.maximum(undecided, down), undecided + down, undecided + np.maximum(2, down)],
        np.maximum(undecided + down, reached),
    )
    lacking = thresholds.floor_sessions - present
    own_lacking = thresholds.floor_sessions - table["own_session_count"]
    of_resolver = is_listed & mechanism.str.startswith("dns.") & (own_lacking > 0)
    # what else a likely block shows, with a few traces, makes it a sure one
    other_failures = undecided - table["listed_session_count"]
    to_sure = thresholds.floor_sessions - other_failures
    ways = [
        pd.Series(lacking, table.index).mask(is_listed),
        _to_thin_out(reached, table["heard_session_count"], thresholds).where(is_open),
        (MARKED_DAYS - table["marked_days"]).where(is_open),
        _to_thin_out(failures, table["resting_sessions"], thresholds).where(failures.notna()),
        # the bound of docs/method.md for successes that cut a stretch in two
        (failures - thresholds.floor_sessions - 2) // 2,
        table["to_flip"].where(is_listed),
        table["to_unite"].where(is_listed & (table["to_unite"] > 0)),
        is_listed.map({True: _OF_PROFILE}).where(mechanism.isin(_PROFILED)),
        # the network's own resolver answers for it, once enough sessions ask it
        own_lacking.where(of_resolver),
        to_sure.where(state == "likely_blocked"),
    ]
    fewest = pd.concat(ways, axis=1).min(axis=1)
    return fewest.clip(1, MOST_FORGED + 1).astype("int64")


def _to_thin_out(failures: pd.Series, total: pd.Series, thresholds: Thresholds) -> pd.Series:
    """Return how many other sessions bring the share of failures below its floor."""
    counts = range(MOST_FORGED + 1)
    return sum((is_most(failures, total + count, thresholds) for count in counts), 0 * total)


def count_flips(country: Country, thresholds: Thresholds) -> None:
    """Fill in ``to_flip`` of the listed stretches: what would take each from the list.

    Args:
        country: with what would let a rival explain them.
        thresholds: of the line.
    """
    for stretch in country.stretches():
        if stretch.is_listed:
            # of an address, the block that it rests on
            judged = stretch.series.lent or stretch
            stretch.to_flip = min(judged.to_flip, count_to_chance(judged, thresholds))


def count_to_chance(stretch: Stretch, thresholds: Thresholds) -> float:
    """Return the fewest forged sessions after which a listed stretch may be no surprise.

    Each of them counts as a failure before the first session, elsewhere and on the network, and as
    a success here. One more than ``MOST_FORGED`` if more are needed; without end of a mark. A
    stretch that needs the support of others loses it by one session there.
    """
    series = stretch.series
    if series.kind == MARK:
        return inf
    line = log(thresholds.chance_line)
    withheld = series.log_evidence - stretch.log_evidence  # what a rival explains of the series
    for count in range(1, MOST_FORGED + 1):
        weights = [weight for _, weight in weigh_days(series, count)]
        evidence = average_over_blocks(weights) + series.hours_evidence - withheld
        if evidence - count * _STEP < line:
            return count
    return MOST_FORGED + 1
