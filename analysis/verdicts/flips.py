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

from math import floor, inf, log
from typing import Any

from analysis.outcomes.thresholds import Thresholds
from analysis.verdicts.evidence import MOST_SHARE, average_over_blocks, weigh_days
from analysis.verdicts.floors import StretchPart, is_most
from analysis.verdicts.pairs import MARK, Stretch
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


def sessions_to_flip(counts: Any, rests_on: StretchPart | None, thresholds: Thresholds) -> int:
    """Return the smallest number of forged sessions that could change a state.

    Args:
        counts: of the pair in the period: ``state, mechanism``; its sessions, ``session_count``, by
            result (``blocked_session_count`` …) and ``unclear_sessions``; ``marked_days``;
            ``own_session_count``, those through the network's own resolver, if others were asked
            as well; ``to_unite``, those after which its two kinds of input no longer differ.
        rests_on: the stretch that the state rests on, as far as it lies in the period.
        thresholds: of the floors and the line.

    Returns:
        1 to ``MOST_FORGED`` + 1, which stands for more than ``MOST_FORGED``.
    """
    made_up = _to_make_up(counts, thresholds)
    if rests_on is None:
        ways = [made_up]
        if counts.state == "ok":
            total = (
                counts.ok_session_count
                + counts.blocked_session_count
                + counts.down_session_count
                + counts.unclear_sessions
            )
            closed = _to_thin_out(counts.ok_session_count, total, thresholds)
            ways += [closed, MARKED_DAYS - counts.marked_days]
    else:
        failure_count = len(rests_on.failures)
        thin = _to_thin_out(failure_count, len(rests_on.sessions), thresholds)
        # the bound of docs/method.md for successes that cut a stretch in two
        cut = (failure_count - thresholds.floor_sessions - 2) // 2
        is_listed = counts.state in LISTED
        ways = [
            thin,
            cut,
            *(_ways_of_listed(counts, rests_on, thresholds) if is_listed else [made_up]),
        ]
    return int(min(max(floor(min(*ways, MOST_FORGED + 1)), 1), MOST_FORGED + 1))


def _ways_of_listed(counts: Any, rests_on: StretchPart, thresholds: Thresholds) -> list[float]:
    """Return the ways that concern a listed pair alone."""
    stretch = rests_on.stretch
    judged = stretch.series.lent or stretch  # of an address, the block that it rests on
    ways = [count_to_chance(judged, thresholds), judged.to_probe, judged.margin]
    if counts.to_unite > 0:
        ways.append(counts.to_unite)
    if counts.mechanism in _PROFILED:
        ways.append(_OF_PROFILE)
    # the network's own resolver answers for it, once enough sessions ask it
    lacking = thresholds.floor_sessions - counts.own_session_count
    if counts.mechanism.startswith("dns.") and lacking > 0:
        ways.append(lacking)
    if counts.state != "blocked":
        # what else the pair shows, with a few traces, makes a likely block a sure one
        reached_or_down = counts.ok_session_count + counts.down_session_count
        other_failures = counts.session_count - reached_or_down - counts.listed_session_count
        ways.append(thresholds.floor_sessions - other_failures)
    return ways


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


def _to_thin_out(failures: int, total: int, thresholds: Thresholds) -> float:
    """Return how many other sessions bring the share of failures below its floor."""
    counts = range(MOST_FORGED + 1)
    enough = (count for count in counts if not is_most(failures, total + count, thresholds))
    return next(enough, MOST_FORGED + 1)


def _to_make_up(counts: Any, thresholds: Thresholds) -> float:
    """Return how many sessions the floor of another state lacks; for *insufficient*, of any state.

    Sessions that no rule explains, or that were discarded, may be read in another way once forged
    ones have changed a profile: they count as the forger's own.
    """
    down, ok = counts.down_session_count, counts.ok_session_count
    undecided = counts.session_count - down - ok  # blocked, or nothing that can be interpreted
    present = {
        "impaired": max(undecided, down),
        "unexplained": undecided + down,
        "down": undecided + max(2, down),
        "ok": undecided + down,
    }.get(counts.state, max(undecided + down, ok))
    lacking: float = thresholds.floor_sessions - present
    return lacking
