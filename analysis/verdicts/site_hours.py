"""The hours at which a site fails on its networks: what one network shows, others may name too."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from math import log

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.hours import (
    LEAST_TIMES,
    SEARCH_PRICE,
    Asked,
    Schedule,
    find_schedule,
    fit_range,
    fit_schedule,
)
from analysis.verdicts.series import FAILING, Series

#: A kind of failure and a network: a series of a site.
_Key = tuple[int, int]


def find_schedules(series: Series, rates: NDArray[np.float64]) -> dict[int, Schedule]:
    """The hours of the week at which series fail, by the number of the series.

    Args:
        series: all of them; whatever fails has no hours.
        rates: how likely each of their sessions would fail if nobody blocked.
    """
    first = series.first_rows()
    domain, network = (series.look_up(name, first) for name in ("domain", "network"))
    numbers: defaultdict[int, dict[_Key, int]] = defaultdict(dict)
    for number in np.flatnonzero(_may_have_hours(series)).tolist():
        key = int(series.kind[number]), int(network[number])
        numbers[int(domain[number])][key] = number
    found: dict[int, Schedule] = {}
    for members in numbers.values():
        parts = {key: series.places_of(number) for key, number in members.items()}
        asked = {
            key: Asked(series.column("time", at), series.is_hit[at], rates[at])
            for key, at in parts.items()
        }
        found |= {members[key]: schedule for key, schedule in find_of_site(asked).items()}
    return found


def _may_have_hours(series: Series) -> NDArray[np.bool_]:
    """The series that fail several times, open in between."""
    begins = series.is_hit.copy()
    begins[1:] &= ~series.is_hit[:-1] | (series.series[1:] != series.series[:-1])
    times = np.bincount(series.series, begins, len(series.kind))
    return (times >= LEAST_TIMES) & (series.kind < FAILING)


def find_of_site(asked: Mapping[_Key, Asked]) -> dict[_Key, Schedule]:
    """The schedules of a site's series, where there are any.

    Networks told to block by one order do so at the same hours, each in its own way, and may be
    tested too seldom to name them. So hours that one series names, or all sessions of the site
    together, are tried on every series, those first that explain most in all. A series keeps hours
    of its own that explain more than these by the price of the search.
    """
    alone = {key: own for key, one in asked.items() if (own := find_schedule(one))}
    named = list(alone.values())
    if len(asked) > 1 and (pooled := find_schedule(Asked.together(asked.values()))):
        named.append(pooled)
    fitted = {
        hours.hours: {key: held for key, one in asked.items() if (held := fit_schedule(hours, one))}
        for hours in named
    }
    ordered = sorted(fitted.values(), key=lambda of: -sum(one.log_ratio for one in of.values()))
    found: dict[_Key, Schedule] = {}
    for key in asked:
        chosen = next((held[key] for held in ordered if key in held), None)
        own = alone.get(key)
        if own and not (chosen and chosen.log_ratio >= own.log_ratio - SEARCH_PRICE):
            chosen = own
        if chosen:
            found[key] = replace(chosen, by_others=_weigh_others(key, asked, alone))
    return found


def _weigh_others(
    key: _Key, asked: Mapping[_Key, Asked], alone: Mapping[_Key, Schedule]
) -> float | None:
    """What speaks for the hours that other networks name, without a look at the series itself.

    Nothing of the series decides which hours these are: a choice among them would have its price.
    """
    others = {other: one for other, one in asked.items() if other[1] != key[1]}
    named = [schedule for other, schedule in alone.items() if other in others]
    if others and not named:
        together = find_schedule(Asked.together(others.values()))
        named = [together] if together else []
    ratios = [
        fit_range(asked[key], one).log_ratio for one in dict.fromkeys(one.hours for one in named)
    ]
    return float(np.logaddexp.reduce(ratios)) - log(len(ratios)) if ratios else None
