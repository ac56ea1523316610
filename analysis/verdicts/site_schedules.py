"""The hours at which a site fails on its networks: what one network shows, others may name too."""

from collections import defaultdict
from collections.abc import Callable, Mapping
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
    """The hours at which a site fails; what has been searched once is not searched again."""

    def __init__(self, asked: Mapping[_Key, Asked]) -> None:
        """Ask the sessions of each of the site's series that fails several times."""
        self.asked = asked
        self._found: dict[float, dict[_Key, Schedule]] = {}
        #: Those that a series names by itself.
        self._alone: dict[float, dict[_Key, Schedule]] = {}
        #: Of those found, those of series that were only tried at their neighbours' hours.
        self._tried: dict[float, frozenset[_Key]] = {}

    @cached_property
    def pooled(self) -> Asked:
        """The sessions of all series."""
        first, *others = self.asked.values()
        return Asked.together(self.asked.values()) if others else first

    def find(self, margin: float = MARGIN) -> Mapping[_Key, Schedule]:
        """The schedules of its series, where there are any; what others name is not asked yet.

        Args:
            margin: as ``find_schedule`` says.
        """
        # What explains too little for one margin does for any larger one.
        if any(less <= margin and not found for less, found in self._found.items()):
            return {}
        if margin not in self._found:
            found: dict[_Key, Schedule] = {}
            named: dict[_Key, Schedule] = {}
            tried: set[_Key] = set()
            for kind in sorted({kind for kind, _ in self.asked}):
                members = {key: one for key, one in self.asked.items() if key[0] == kind}
                alone = {
                    k: own for k, one in members.items() if (own := find_schedule(one, margin))
                }
                of_kind = self._find_of_one_kind(members, alone, margin)
                found |= of_kind
                tried |= of_kind.keys() - alone.keys()
                named |= alone
            self._alone[margin] = named
            self._found[margin] = found | self._fit_others(found, margin)
            self._tried[margin] = frozenset(tried)
        return self._found[margin]

    @cached_property
    def confirmed(self) -> Mapping[_Key, Schedule]:
        """The schedules of ``find``, with what speaks for the hours that other networks name.

        Those that were only tried on a series are its neighbours' already.
        """
        return {
            key: one if key in self._tried[MARGIN] else self._ask_others(one, key)
            for key, one in self.find().items()
        }

    def _find_of_one_kind(
        self, members: Mapping[_Key, Asked], alone: Mapping[_Key, Schedule], margin: float
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
        if len(named) > 1 and (joint := find_schedule(Asked.together(members.values()), margin)):
            named[joint.hours] = joint
        fitted = {
            hours: {key: fit_schedule(one, asked, margin) for key, asked in members.items()}
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

    def _fit_others(self, found: Mapping[_Key, Schedule], margin: float) -> dict[_Key, Schedule]:
        """The schedules of series that have none by themselves or among their kind.

        One order is carried out in many ways, and each network may be tested too seldom to name
        the hours: they are sought in all sessions of the site together. A network for which the
        others name them need not pay for the search.
        """
        without = [k for k, one in self.asked.items() if k not in found and one.may_hold(margin)]
        if not without:
            return {}
        pooled = find_schedule(self.pooled, margin)
        named = [one for one in (pooled, *found.values()) if one]
        fitted: dict[_Key, Schedule] = {}
        for key in without if named else ():
            clearest = max(named, key=lambda one: one.log_ratio)
            for hours in dict.fromkeys((pooled or clearest, clearest)):
                if one := fit_schedule(hours, self.asked[key], margin):
                    fitted[key] = one
                    break
        return fitted

    def _ask_others(self, schedule: Schedule, key: _Key) -> Schedule:
        """A schedule with what speaks for the hours that other networks name.

        Nothing of the series itself decides which hours these are: a choice among them would have
        its price. Each counts as narrow as it was found and as wide as it may be.
        """
        others = {k: one for k, one in self.asked.items() if k[1] != key[1]}
        named = [(one, others[k]) for k, one in self._alone[MARGIN].items() if k in others]
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


class Hours:
    """The hours of the week at which the series of all sites fail."""

    def __init__(self, series: Series, rates: NDArray[np.float64]) -> None:
        """Ask the series that may have hours.

        Args:
            series: those of kinds of failure.
            rates: how likely each of their sessions would fail if nobody blocked.
        """
        numbers = np.flatnonzero(_may_have_hours(series))
        first = series.first_rows()
        domain, network = (series.look_up(name, first) for name in ("domain", "network"))
        self._numbers: defaultdict[int, dict[_Key, int]] = defaultdict(dict)
        for number in numbers.tolist():
            key = int(series.kind[number]), int(network[number])
            self._numbers[int(domain[number])][key] = number
        self._sites: dict[int, SiteHours] = {}
        for site, members in self._numbers.items():
            parts = {key: series.places_of(number) for key, number in members.items()}
            asked = {
                key: Asked(series.column("time", at), series.is_hit[at], rates[at])
                for key, at in parts.items()
            }
            self._sites[site] = SiteHours(asked)
        sites = self._sites.values()
        weigh_together([one for hours in sites for one in hours.asked.values()])
        weigh_together([hours.pooled for hours in sites if len(hours.asked) > 1])

    def find(self, margin: float = MARGIN) -> dict[int, Schedule]:
        """The schedules of the series that have one, by the number of the series."""
        return self._number(lambda hours: hours.find(margin))

    def confirm(self) -> dict[int, Schedule]:
        """The same, with what the other networks say of their hours."""
        return self._number(lambda hours: hours.confirmed)

    def _number(self, ask: Callable[[SiteHours], Mapping[_Key, Schedule]]) -> dict[int, Schedule]:
        numbered: dict[int, Schedule] = {}
        for site, hours in self._sites.items():
            for key, schedule in ask(hours).items():
                numbered[self._numbers[site][key]] = schedule
        return numbered


def _may_have_hours(series: Series) -> NDArray[np.bool_]:
    """The series that fail several times, open in between."""
    begins = series.is_hit.copy()
    begins[1:] &= ~series.is_hit[:-1] | (series.series[1:] != series.series[:-1])
    return np.bincount(series.series, begins, len(series.kind)) >= LEAST_TIMES
