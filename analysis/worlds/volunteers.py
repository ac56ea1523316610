"""A country whose volunteers test what they are asked to, a stretch of days at a time.

In ``write_world`` probes work through the list by themselves. Here somebody who has read what was
measured so far says what is tested next, so that the days are written one after another.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from analysis.period import Period
from analysis.worlds.archive import compress, object_key, write_object
from analysis.worlds.names import Site
from analysis.worlds.numbering import stream
from analysis.worlds.operators import Network
from analysis.worlds.probe import Probe
from analysis.worlds.spoiling import encode
from analysis.worlds.truth import Tally, write_truth
from analysis.worlds.world import Design, make_world, measure_site, open_session
from analysis.worlds.writing import write_reference

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
        design = Design(probe_cc, period, seed, network_count, name_count, has_forgeries=False)
        self._world, self._folder = make_world(design), folder
        self._networks = [network for network in self._world.networks if network.is_inside]
        self._decks: dict[int, list[Site]] = {network.asn: [] for network in self._networks}
        self._turns = dict.fromkeys(self._decks, 0)
        write_reference(folder / "reference", self._world)
        write_truth(folder / "truth", self._world, Tally())

    def measure(
        self, days: range, wishes: Mapping[tuple[int, int], Sequence[str]], batch_size: int
    ) -> int:
        """Write the archive of some days, counted from the period's first.

        Args:
            days: that follow those written before.
            wishes: (day, network) → host names to test. Where there are fewer than ``batch_size``,
                the rest is taken from the list in turns, as a probe by itself does.
            batch_size: names that a session tests.

        Returns:
            How many measurements were made.
        """
        count = 0
        for day in days:
            for network in self._networks:
                count += self._run_session(day, network, wishes.get((day, network.asn), ()),
                                           batch_size)  # fmt: skip
        return count

    def _run_session(
        self, day: int, network: Network, wished: Sequence[str], batch_size: int
    ) -> int:
        world = self._world
        rng = stream(world.seed, "volunteer session", day, network.asn)
        midnight = datetime.combine(world.date_of(day), datetime.min.time())
        start = midnight + timedelta(hours=rng.choice(_HOURS), minutes=rng.randint(0, 44))
        session = open_session(world, network, day, start, rng)
        probe = Probe(world.probe_cc, session, world.helper, world.names)
        asked, known = wished[:batch_size], world.internet.sites
        # a list may name what does not exist; the volunteer's time is gone all the same
        sites = [known[host] for host in asked if host in known]
        sites += self._deal(network, batch_size - len(asked), sites)
        lines = [encode(measure_site(probe, session, site, rng).document) for site in sites]
        key = object_key(world.probe_cc, start.replace(minute=0, second=0), network.asn)
        write_object(self._folder / "archive", key, compress(lines))
        return len(lines)

    def _deal(self, network: Network, count: int, taken: Sequence[Site]) -> list[Site]:
        """The next names of the list, which is shuffled anew each time it is through."""
        deck = self._decks[network.asn]
        hand: list[Site] = []
        while len(hand) < count:
            if not deck:
                deck += self._world.sites
                self._turns[network.asn] += 1
                stream(self._world.seed, "deck", network.asn, self._turns[network.asn]).shuffle(
                    deck
                )
            site = deck.pop()
            if site not in taken and site not in hand:
                hand.append(site)
        return hand
