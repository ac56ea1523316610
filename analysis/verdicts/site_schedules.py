"""The hours at which a site fails on its networks: what one network shows, others may name too."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from math import log

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.hours import LEAST_TIMES, Asked, search_price, weigh_together
from analysis.verdicts.schedules import (
    MARGIN,
    Schedule,
    find_schedule,
    fit_schedule,
    weigh_hours,
    widen_schedule,
)
from analysis.verdicts.series import Series

#: A kind of failure and a network: a series of a site.
_Key = tuple[int, int]


class SiteHours:
    """The hours at which a site fails."""

    def __init__(self, asked: Mapping[_Key, Asked]) -> None:
        """Ask the sessions of each of the site's series that fails several times."""
        self.asked = asked
        #: The schedules that a series names by itself.
        self._alone: dict[_Key, Schedule] = {}

    @cached_property
    def pooled(self) -> Asked:
        """The sessions of all series."""
        first, *others = self.asked.values()
        return Asked.together(self.asked.values()) if others else first

    @cached_property
    def schedules(self) -> Mapping[_Key, Schedule]:
        """The schedules of its series, where there are any, with what speaks for the hours that
        other networks name.

        Those that were only tried on a series are its neighbours' already.
        """
        found: dict[_Key, Schedule] = {}
        tried: set[_Key] = set()
        for kind in sorted({kind for kind, _ in self.asked}):
            members = {key: one for key, one in self.asked.items() if key[0] == kind}
            alone = {key: own for key, one in members.items() if (own := find_schedule(one))}
            of_kind = self._find_of_one_kind(members, alone)
            found |= of_kind
            tried |= of_kind.keys() - alone.keys()
            self._alone |= alone
        found |= self._fit_others(found)
        return {k: one if k in tried else self._ask_others(one, k) for k, one in found.items()}

    def _find_of_one_kind(
        self, members: Mapping[_Key, Asked], alone: Mapping[_Key, Schedule]
    ) -> dict[_Key, Schedule]:
        """The schedules of series of one kind; ``alone`` are those found on each by itself.

        Networks told to block by one order do so at the same hours: those that explain most on all
        of them together are tried on each, and kept where they explain no less than what the search
        found there. A network that has hours of its own need not pay for the search where the
        others name them. Hours that were only tried have to be as clear as those that were sought,
        or a network that fails now and then would keep its neighbours' hours.
        """
        if not alone:
            return {}
        named = {one.hours: one for one in alone.values()}
        if len(named) > 1 and (joint := find_schedule(Asked.together(members.values()))):
            named[joint.hours] = joint
        fitted = {
            hours: {key: fit_schedule(one, asked) for key, asked in members.items()}
            for hours, one in named.items()
        }
        shared = max(
            fitted.values(), key=lambda of: sum(one.log_ratio for one in of.values() if one)
        )
        found: dict[_Key, Schedule] = {}
        for key in members:
            own, chosen = alone.get(key), shared[key]
            if own and not (chosen and chosen.log_ratio >= own.log_ratio - search_price()):
                chosen = own
            if chosen:
                found[key] = chosen
        return found

    def _fit_others(self, found: Mapping[_Key, Schedule]) -> dict[_Key, Schedule]:
        """The schedules of series that have none by themselves or among their kind.

        One order is carried out in many ways, and each network may be tested too seldom to name
        the hours: they are sought in all sessions of the site together. A network for which the
        others name them need not pay for the search.
        """
        without = [k for k, one in self.asked.items() if k not in found and one.may_hold(MARGIN)]
        if not without:
            return {}
        pooled = find_schedule(self.pooled)
        named = [one for one in (pooled, *found.values()) if one]
        fitted: dict[_Key, Schedule] = {}
        for key in without if named else ():
            clearest = max(named, key=lambda one: one.log_ratio)
            for hours in dict.fromkeys((pooled or clearest, clearest)):
                if one := fit_schedule(hours, self.asked[key]):
                    fitted[key] = one
                    break
        return fitted

    def _ask_others(self, schedule: Schedule, key: _Key) -> Schedule:
        """A schedule with what speaks for the hours that other networks name.

        Nothing of the series itself decides which hours these are: a choice among them would have
        its price. Each counts as narrow as it was found and as wide as it may be.
        """
        others = {k: one for k, one in self.asked.items() if k[1] != key[1]}
        named = [(one, others[k]) for k, one in self._alone.items() if k in others]
        if others and not named:
            together = Asked.together(others.values())
            found = find_schedule(together)
            named = [(found, together)] if found else []
        if not named:
            return schedule
        hours = [h for one, asked in named for h in (one, widen_schedule(one, asked))]
        distinct = {one.hours: one for one in hours}.values()
        ratios = [weigh_hours(one, self.asked[key]) for one in distinct]
        return replace(schedule, by_others=float(np.logaddexp.reduce(ratios)) - log(len(ratios)))


def find_schedules(series: Series, rates: NDArray[np.float64]) -> dict[int, Schedule]:
    """The hours of the week at which series fail, by the number of the series.

    Args:
        series: those of kinds of failure.
        rates: how likely each of their sessions would fail if nobody blocked.
    """
    first = series.first_rows()
    domain, network = (series.look_up(name, first) for name in ("domain", "network"))
    numbers: defaultdict[int, dict[_Key, int]] = defaultdict(dict)
    for number in np.flatnonzero(_may_have_hours(series)).tolist():
        key = int(series.kind[number]), int(network[number])
        numbers[int(domain[number])][key] = number
    sites: dict[int, SiteHours] = {}
    for site, members in numbers.items():
        parts = {key: series.places_of(number) for key, number in members.items()}
        asked = {
            key: Asked(series.column("time", at), series.is_hit[at], rates[at])
            for key, at in parts.items()
        }
        sites[site] = SiteHours(asked)
    weigh_together([one for hours in sites.values() for one in hours.asked.values()])
    weigh_together([hours.pooled for hours in sites.values() if len(hours.asked) > 1])
    return {
        numbers[site][key]: schedule
        for site, hours in sites.items()
        for key, schedule in hours.schedules.items()
    }


def _may_have_hours(series: Series) -> NDArray[np.bool_]:
    """The series that fail several times, open in between."""
    begins = series.is_hit.copy()
    begins[1:] &= ~series.is_hit[:-1] | (series.series[1:] != series.series[:-1])
    return np.bincount(series.series, begins, len(series.kind)) >= LEAST_TIMES
