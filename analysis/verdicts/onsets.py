"""When failures begin, and which begin together."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

#: So well must the day be known on which something begins to fail, ...
KNOWN_DAYS = 14
#: ... and so near must others begin to be part of the same.
NEAR_DAYS = 3


class Onset(NamedTuple):
    """The beginning of one stretch of failures.

    ``number`` of the stretch; ``manner``, how it fails; ``domain`` and the ``site``, its
    registrable domain; ``host``, a number for the network that hosts it, 0 where nobody knows it;
    the ``operator`` of the network; the last ``open_day`` before it, −1 where there is none, its
    first ``day`` and its ``last_day``, days since 1970.
    """

    number: int
    manner: str
    domain: str
    site: str
    host: int
    operator: int
    open_day: int
    day: int
    last_day: int

    @property
    def is_known(self) -> bool:
        """Whether it was seen open shortly before."""
        return self.open_day >= 0 and self.day - self.open_day <= KNOWN_DAYS

    def meets(self, other: "Onset") -> bool:
        """Whether both may begin within a few days, in the same manner."""
        return (
            self.manner == other.manner
            and self.open_day <= other.day + NEAR_DAYS
            and other.open_day <= self.day + NEAR_DAYS
        )

    def is_same_failure(self, other: "Onset") -> bool:
        """Whether both are of one site, in the same manner and at the same time."""
        return (
            (self.domain, self.manner) == (other.domain, other.manner)
            and self.day <= other.last_day
            and other.day <= self.last_day
        )


def tighten(onsets: Iterable[Onset]) -> list[Onset]:
    """The beginnings, each between the days that all networks of the site together leave."""
    of_site: defaultdict[tuple[str, str], list[Onset]] = defaultdict(list)
    for one in onsets:
        of_site[one.domain, one.manner].append(one)
    tightened = []
    for members in of_site.values():
        seen = [one for one in members if one.open_day >= 0]
        for one in members:
            near = [o for o in seen if o.open_day <= one.day and one.open_day <= o.day]
            if one.open_day >= 0:
                edges = sorted((max(o.open_day for o in near), min(o.day for o in near)))
                one = one._replace(open_day=edges[0], day=edges[1])
            tightened.append(one)
    return tightened


def by_manner(onsets: Iterable[Onset]) -> Iterable[list[Onset]]:
    """Those of each manner."""
    groups: defaultdict[str, list[Onset]] = defaultdict(list)
    for one in onsets:
        groups[one.manner].append(one)
    return groups.values()


def meeting(onsets: Iterable[Onset]) -> Iterator[tuple[list[Onset], list[Onset]]]:
    """Of one manner, those that begin between the same two days, and all that meet them.

    Any number may begin on one day, as forgers would have it: they are compared once.
    """
    of_days: defaultdict[tuple[int, int], list[Onset]] = defaultdict(list)
    for one in onsets:
        of_days[one.open_day, one.day].append(one)
    for same in of_days.values():
        near = (others for others in of_days.values() if same[0].meets(others[0]))
        yield same, [one for others in near for one in others]
