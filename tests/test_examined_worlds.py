"""Countries in which one thing goes on: each does what it says, and is scored against the truth."""

import runpy
from pathlib import Path

import pandas as pd

from analysis.period import Period
from analysis.reference.reference_files import REPOSITORY
from analysis.worlds import scored_situations, validation
from analysis.worlds.examined import EXAMINED
from analysis.worlds.session import Path as WayOut
from analysis.worlds.validation_page import read_results
from analysis.worlds.world import Design, World, make_world, open_session
from analysis.worlds.writing import write_world

#: How many sites are blocked on how many networks, of the situations in which anybody blocks.
BLOCKED = {
    "National drop": (5, 8),
    "Silent resolvers": (15, 3),
    "A week without social media": (11, 8),
    "Suspects alone": (10, 1),
    "Blank pages": (4, 1),
    "Staged orders": (12, 10),
    "One site everywhere": (1, 8),
    "One site on one network": (1, 1),
}


def _make(situation: str) -> World:
    period = Period.parse("2024-01-01", "2024-07-01")
    return make_world(Design("QN", period, 5, name_count=90, cases=(), situation=situation))


def _ways(world: World, place: int, day: int) -> list[WayOut]:
    """The ways out of some sessions on one network."""
    network, rng = world.networks[place], validation.Random(1)
    starts = pd.date_range(world.midnight(day), periods=40, freq="min").to_pydatetime()
    return [open_session(world, network, day, start, rng).path for start in starts]


def test_each_situation_blocks_what_it_says_and_nothing_else() -> None:
    for name, situation in EXAMINED.items():
        blocks = _make(name).censorship.blocks
        sites, networks = ({getattr(one, key) for one in blocks} for key in ("host", "asn"))
        assert (len(sites), len(networks)) == BLOCKED.get(name, (0, 0)), name
        assert ("Nobody blocks" in situation.truth) == (not blocks), name


def test_a_household_filters_most_sessions_of_its_network_and_no_others() -> None:
    """Nine in ten of a thin network's, all by one build."""
    for name in ("Antivirus", "Pi-hole", "Parental router"):
        world = _make(name)
        assert 30 <= sum(bool(way.lies) for way in _ways(world, 6, 20)) < 40, name
        assert not any(way.lies for way in _ways(world, 5, 20)), name


def test_a_resolver_gives_an_old_address_after_sites_have_moved() -> None:
    world = _make("Stale addresses")
    host = next(iter(world.troubles[0].effects))
    honest, stale = _ways(world, 0, 100)[0], _ways(world, 1, 100)[0]
    assert stale.lookup(host).v4 == honest.lookup(host).v4
    for change in world.changes.values():
        change()
    assert stale.lookup(host).v4 != honest.lookup(host).v4
    assert honest.handshake(honest.lookup(host).v4[0], host) is None


def test_a_host_refuses_everybody_inside_from_one_day_on() -> None:
    world = _make("A host that refuses the country")
    sites = [site for site in world.sites if site.cut_off and site.situation != "unreachable"]
    assert len(sites) >= 3
    assert len({world.internet.plan.asn(site.v4[0]) for site in sites}) == 1
    for place in range(len(world.networks)):
        for day, failure in ((80, None), (120, "generic_timeout_error")):
            assert _ways(world, place, day)[0].connect(sites[0].v4[0], 443) == failure


def test_a_situation_is_judged_scored_and_shipped(tmp_path: Path) -> None:
    """Five sites that all networks drop are found in a small world too."""
    size = {**scored_situations.SIZE, "name_count": 40, "sessions_per_day": 2}
    row, evidence = scored_situations.run_situation(
        "National drop", 91, tmp_path, write_world, size
    )
    assert row["found_pair_count"] > 0.5 * row["blocked_pair_count"] > 0
    assert row["false_site_count"] == 0
    results = [(row, evidence), (row, evidence)]
    situations = {"National drop": EXAMINED["National drop"]}
    validation.write_situations(tmp_path, results, situations)
    shipped = read_results("examined", tmp_path)
    assert shipped["truth"].tolist() == [EXAMINED["National drop"].truth]
    chances = read_results("chances", tmp_path)
    assert chances["stratum"].tolist() == [0.1, 0.01, 0.001]
    assert set(chances["trial_count"]) == {len(evidence)}


def test_the_results_that_ship_have_every_situation() -> None:
    assert read_results("examined")["situation"].tolist() == list(EXAMINED)


def test_every_number_that_is_moved_stands_in_the_code() -> None:
    """Constants are found where ``tools/constants.py`` looks for them, and move by a third."""
    tool = runpy.run_path(str(REPOSITORY / "tools" / "constants.py"))
    for module, names in tool["CONSTANTS"].items():
        text = (REPOSITORY / "analysis" / module).read_text(encoding="utf-8")
        for name in names.split():
            _, value, _ = tool["find"](text, name)
            assert tool["move"](value, 0.7) < value < tool["move"](value, 1.3), name
    assert (tool["move"](3, 0.7), tool["move"](3, 1.3), tool["move"](0.9, 1.3)) == (2, 4, 1.0)
