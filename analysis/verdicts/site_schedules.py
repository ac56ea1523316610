"""The hours at which a site fails on its networks: what one network shows, others confirm."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.hours import LEAST_TIMES, Asked, search_price
from analysis.verdicts.schedules import MARGIN, Schedule, find_schedule, fit_schedule
from analysis.verdicts.series import FAILING, Series


def find_schedules(networks: Mapping[int, Asked], margin: float = MARGIN) -> dict[int, Schedule]:
    """Find the hours at which one site fails in one kind on its networks, where there are any.

    Networks told to block by one order do so at the same hours: those of the clearest schedule
    are tried on all the others, and kept where they explain no less than the network's own. Hours
    that were only tried have to be as clear as those that were sought, or a network that fails now
    and then would keep its neighbours' hours.

    Args:
        networks: for each network its sessions.
        margin: as ``find_schedule`` says.
    """
    alone = {asn: own for asn, one in networks.items() if (own := find_schedule(one, margin))}
    if not alone:
        return {}
    named = Counter(one.hours for one in alone.values())
    found = {asn: replace(one, is_confirmed=named[one.hours] > 1) for asn, one in alone.items()}
    clearest = max(found.values(), key=lambda one: one.log_ratio)
    for asn, one in networks.items():
        own, shared = found.get(asn), fit_schedule(clearest, one, margin)
        if shared and (own is None or shared.log_ratio >= own.log_ratio - search_price()):
            is_confirmed = own is not None and own.hours == shared.hours and own.is_confirmed
            found[asn] = replace(shared, is_confirmed=is_confirmed)
    return found


@dataclass(frozen=True)
class SiteSeries:
    """The series of one site that fail several times, by their numbers.

    What has been searched once is not searched again for another margin.

    Attributes:
        asked: their sessions.
        kinds, networks: what fails in each, and where.
    """

    asked: dict[int, Asked] = field(default_factory=dict)
    kinds: dict[int, int] = field(default_factory=dict)
    networks: dict[int, int] = field(default_factory=dict)

    @cached_property
    def pooled(self) -> Asked:
        return Asked.together(self.asked.values())

    def find_schedules(self, margin: float) -> dict[int, Schedule]:
        """The schedules of its series, where there are any."""
        found: dict[int, Schedule] = {}
        for kind in sorted(set(self.kinds.values())):
            members = {n: one for n, one in self.asked.items() if self.kinds[n] == kind}
            found |= find_schedules(members, margin)
        return found | self._fit_others(found, margin)

    def _fit_others(self, found: Mapping[int, Schedule], margin: float) -> dict[int, Schedule]:
        """The schedules of series that have none by themselves or among their kind.

        One order is carried out in many ways, and each network may be tested too seldom to name
        the hours: they are sought in all sessions of the site together. A network for which the
        others name them need not pay for the search.
        """
        without = [n for n in self.asked if n not in found and self.asked[n].may_hold(margin)]
        if not without:
            return {}
        pooled = find_schedule(self.pooled, margin)
        named = [one for one in (pooled, *found.values()) if one]
        fitted: dict[int, Schedule] = {}
        for number in without if named else ():
            clearest = max(named, key=lambda one: one.log_ratio)
            for hours in dict.fromkeys((pooled or clearest, clearest)):
                if one := fit_schedule(hours, self.asked[number], margin):
                    is_confirmed = self._do_others_name(hours, self.networks[number], margin)
                    fitted[number] = replace(one, is_confirmed=is_confirmed)
                    break
        return fitted

    def _do_others_name(self, hours: Schedule, network: int, margin: float) -> bool:
        """Whether the sessions of the other networks are enough to find these hours among all."""
        others = [one for n, one in self.asked.items() if self.networks[n] != network]
        if not others:
            return False
        return fit_schedule(hours, Asked.together(others), margin + search_price()) is not None


def find_all_schedules(sites: Iterable[SiteSeries], margin: float = MARGIN) -> dict[int, Schedule]:
    """The schedules of each site and kind, on the networks that have one."""
    found: dict[int, Schedule] = {}
    for site in sites:
        found |= site.find_schedules(margin)
    return found


def split_by_site(series: Series, rates: NDArray[np.float64]) -> list[SiteSeries]:
    """The series that may have hours, by site; ``rates`` is what each session is weighed by."""
    numbers = np.flatnonzero((series.kind < FAILING) & _may_have_hours(series))
    first = series.sessions.iloc[series.first_rows()]
    domain, networks = first["domain"].to_numpy(np.int64), first["network"].to_numpy(np.int64)
    time = series.column("time").astype("datetime64[s]")
    sites: defaultdict[int, SiteSeries] = defaultdict(SiteSeries)
    for number in numbers.tolist():
        at, site = slice(*series.starts[number : number + 2]), sites[domain[number]]
        site.asked[number] = Asked(time[at], series.is_hit[at], rates[at])
        site.kinds[number], site.networks[number] = series.kind[number], networks[number]
    return list(sites.values())


def _may_have_hours(series: Series) -> NDArray[np.bool_]:
    """The series that fail several times, open in between."""
    begins = series.is_hit.copy()
    begins[1:] &= ~series.is_hit[:-1] | (series.series[1:] != series.series[:-1])
    return np.bincount(series.series, begins, len(series.kind)) >= LEAST_TIMES
