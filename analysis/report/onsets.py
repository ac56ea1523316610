"""Many sites newly blocked within days, on several networks: the event of a period, if any."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from analysis.period import Period
from analysis.reference.events import Event

#: How long sites may take, one after the other, to belong to one event.
WINDOW_DAYS = 31
#: A block whose last open test lies further back may be as old as that; it tells of no day.
_BRACKET_DAYS = 60
_LEAST_SITES, _LEAST_NETWORKS = 5, 2
#: How many times as many sites as in other windows of the period.
_LEAST_RATIO = 3.0
#: A known event this long before the first block is named beside it.
_EVENT_DAYS = 14


@dataclass(frozen=True)
class Onset:
    """Sites that were reached before and blocked within one window of days.

    Attributes:
        first_day, last_day: first days seen blocked, of the first and the last of its pairs.
        sites: by name.
        probe_asns: the networks, by number.
        begun: the intervals that began in it.
        undated_sites: others that were seen blocked for the first time in these days, without a
            test before that had reached them.
    """

    first_day: date
    last_day: date
    sites: tuple[str, ...]
    probe_asns: tuple[str, ...]
    begun: pd.DataFrame
    undated_sites: tuple[str, ...]


def find_onset(intervals: pd.DataFrame, period: Period) -> Onset | None:
    """The window of days in which most sites began to be blocked, if it stands out.

    Counted are blocks at all hours before which a test had reached the site on that network: one
    without such a test may be older. Blocks that hold at hours of the week have their own finding.

    Args:
        intervals: the contract's ``blocking_intervals``, of access networks only.
        period: the whole period.

    Returns:
        None where fewer than five sites, or a single network, share a window, or where it holds
        less than three times as many sites as windows of the rest of the period do on average.
    """
    begun = _datable(intervals)
    best = begun.iloc[:0]
    for day in sorted(set(begun["day"])):
        inside = begun[begun["day"].between(day, day + timedelta(days=WINDOW_DAYS - 1))]
        # of two windows with the same sites the earlier stands
        if _size(inside) > _size(best):
            best = inside
    sites, networks = _size(best)
    others = begun.drop(best.index)["domain"].nunique()
    usual = others * WINDOW_DAYS / max(period.day_count - WINDOW_DAYS, 1)
    if sites < _LEAST_SITES or networks < _LEAST_NETWORKS or sites < _LEAST_RATIO * usual:
        return None
    first, last = best["day"].min(), best["day"].max()
    seen_first = intervals.groupby("domain")["blocked_from"].min()
    is_inside = seen_first.between(str(first), str(last))
    return Onset(
        first_day=first,
        last_day=last,
        sites=tuple(sorted(set(best["domain"]))),
        probe_asns=tuple(sorted(set(best["probe_asn"]), key=lambda asn: (len(asn), asn))),
        begun=best.drop(columns="day"),
        undated_sites=tuple(sorted(set(seen_first.index[is_inside]) - set(best["domain"]))),
    )


def find_coincidences(onset: Onset, events: Sequence[Event]) -> list[Event]:
    """Known events in the two weeks before the first of the blocks, or between first and last."""
    since = onset.first_day - timedelta(days=_EVENT_DAYS)
    return [event for event in events if since <= event.day <= onset.last_day]


def _datable(intervals: pd.DataFrame) -> pd.DataFrame:
    """The intervals whose beginning is known to some weeks, with their first day as a date."""
    is_bracketed = (intervals["last_seen_open"] != "") & (intervals["schedule"] == "")
    begun = intervals[is_bracketed]
    day = pd.to_datetime(begun["blocked_from"])
    is_near = day - pd.to_datetime(begun["last_seen_open"]) <= pd.Timedelta(days=_BRACKET_DAYS)
    return begun.assign(day=day.dt.date)[is_near]


def _size(begun: pd.DataFrame) -> tuple[int, int]:
    """Sites, then networks."""
    return begun["domain"].nunique(), begun["probe_asn"].nunique()
