"""A country whose volunteers test what they are asked to, a stretch of days at a time.

In ``write_world`` probes work through the list by themselves. Here somebody who has read what was
measured so far says what is tested next, so that the days are written one after another.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

from analysis.period import Period
from analysis.worlds.archive import compress, write_object
from analysis.worlds.country import Network, Site, stream
from analysis.worlds.truth import Tally, write_reference, write_truth
from analysis.worlds.world import Design, make_world, measure_site, open_session

_HOURS = (3, 9, 13, 19)


class Volunteers:
    """One session a day on each access network of a country.

    The same days, hours, probes and faults come whatever is asked, so that two ways of asking can
    be held against each other.
    """

    def __init__(
        self, folder: Path, probe_cc: str, period: Period, seed: int, network_count: int,
        name_count: int,
    ) -> None:  # fmt: skip
        """Write the reference data and the truth; no measurement yet."""
        design = Design(probe_cc, period, seed, network_count=network_count,
                        name_count=name_count, has_forgeries=False, cases=())  # fmt: skip
        self._world, self._folder = make_world(design), folder
        self._networks = [network for network in self._world.networks if network.is_inside]
        self._turns = {network.asn: self._take_turns(network) for network in self._networks}
        write_reference(folder / "reference", self._world)
        write_truth(folder / "truth", self._world, Tally())

    def measure(
        self, days: range, wishes: Mapping[tuple[int, int], Sequence[str]], batch_size: int
    ) -> None:
        """Write the archive of some days, counted from the period's first.

        Args:
            days: that follow those written before.
            wishes: (day, network) → host names to test. Where there are fewer than ``batch_size``,
                the rest is taken from the list in turns, as a probe by itself does.
            batch_size: names that a session tests.
        """
        known = self._world.internet.sites
        for day in days:
            for network in self._networks:
                asked = wishes.get((day, network.asn), ())[:batch_size]
                # A list may name what does not exist; the volunteer's time is gone all the same.
                sites = [known[host] for host in asked if host in known]
                sites += self._deal(network, batch_size - len(asked), sites)
                self._run_session(day, network, sites)

    def _run_session(self, day: int, network: Network, sites: Sequence[Site]) -> None:
        world = self._world
        rng = stream(world.seed, "volunteer session", day, network.asn)
        hour, minute = rng.choice(_HOURS), rng.randint(0, 44)
        start = world.midnight(day) + timedelta(hours=hour, minutes=minute)
        session = open_session(world, network, day, start, rng)
        data = compress(measure_site(session, site).line for site in sites)
        write_object(self._folder / "archive", world.probe_cc, start, network.asn, data)

    def _deal(self, network: Network, wanted: int, taken: Sequence[Site]) -> list[Site]:
        """The next names of the list that are not taken."""
        hand: list[Site] = []
        while len(hand) < wanted:
            site = next(self._turns[network.asn])
            if site not in taken and site not in hand:
                hand.append(site)
        return hand

    def _take_turns(self, network: Network) -> Iterator[Site]:
        """The list again and again, each time shuffled anew."""
        for turn in count(1):
            deck = list(self._world.sites)
            stream(self._world.seed, "deck", network.asn, turn).shuffle(deck)
            yield from reversed(deck)
