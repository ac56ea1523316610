"""What forged reports can do to a verdict found out by forging."""

import random
import tracemalloc
from datetime import timedelta

import pandas as pd
import pytest

from analysis.verdicts.verdicts import Judgement
from tests.letters import ALL_NETWORKS, DAY_ONE, days, everywhere, judge, verdict
from tests.observations import Row, control_answer

KEY = ["domain", "probe_asn", "period"]


@pytest.fixture(scope="module")
def floods() -> Judgement:
    """Sites of which little is known, however much was sent."""
    row = days("B", domain="one-report.example")[0]
    report = [
        {**row, "measurement_start_time": DAY_ONE + timedelta(days=n % 40, seconds=n)}
        for n in range(500)
    ]
    return judge([
        *days("B", domain="once.example"), *report,
        *days("B", per_day=2, domain="twice.example"),
        *days("BB", per_day=40, domain="flooded.example"),
        *days("BBB", per_day=20, domain="without.example", report_id=""),
    ])  # fmt: skip


@pytest.mark.parametrize(("name", "count"), [("once", 1), ("one-report", 500)])
def test_one_report_of_any_size_lists_nothing(floods: Judgement, name: str, count: int) -> None:
    """Forged reports: one report is one witness, however many rows it holds."""
    found = verdict(floods, domain=f"{name}.example")
    assert found["state"] == "insufficient"
    assert (found["measurement_count"], found["session_count"]) == (count, 1)


@pytest.mark.parametrize(("name", "count"), [("twice", 2), ("flooded", 80)])
def test_reports_of_one_day_or_two_list_nothing(floods: Judgement, name: str, count: int) -> None:
    """A verdict needs days, which a flood does not buy."""
    found = verdict(floods, domain=f"{name}.example")
    assert found["state"] not in ("blocked", "likely_blocked")
    assert found["session_count"] == count


def test_measurements_without_a_report_are_one_session_a_day(floods: Judgement) -> None:
    """What cannot be told apart is not counted twice."""
    found = verdict(floods, domain="without.example")
    assert (found["measurement_count"], found["session_count"]) == (60, 3)
    assert found["state"] == "insufficient"


def test_made_up_versions_and_networks_take_no_more_room_than_their_reports() -> None:
    """Of 500 reports each with a version and a network of its own a table of all combinations
    had 125 million rows, and three times as many reports stopped a report of any size."""
    row, *usual = everywhere("OOTO" * 10)
    # ... and of failures, one of all stretches and versions.
    (failure,) = days("R", domain="x.example")
    usual += [
        {**failure, "domain": f"{n % 250}.test", "http_host": f"{n % 250}.test",
         "measurement_start_time": DAY_ONE + timedelta(hours=n), "report_id": f"{n}",
         "software_version": f"8.{n}"}
        for n in range(1_500)
    ]  # fmt: skip
    made_up = [
        {**row, "domain": f"{n}.example", "report_id": f"made-up-{n}", "probe_asn": 70_000 + n,
         "software_version": f"9.{n}", "probe_network_name": "Anybody Broadband"}
        for n in range(500)
    ]  # fmt: skip
    tracemalloc.start()
    found = judge([*usual, *made_up])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 40e6
    assert {"ok", "insufficient"} <= set(found.verdicts["state"])


def test_a_longer_block_takes_more_forged_reports() -> None:
    """The number says something: evidence that is more takes more to outweigh."""
    others = [row for n in range(4) for row in everywhere("O" * 30, f"usual-{n}.example")]
    others += days("O" * 30, probe_asn=ALL_NETWORKS[1], resolver_asn=ALL_NETWORKS[1])
    longer, shorter = (
        int(verdict(judge([*days("O" * 20 + "R" * size), *others]))["sessions_to_flip"])
        for size in (40, 8)
    )
    assert 1 <= shorter < longer


def cut_off(random_: random.Random) -> str:
    """The days of a site that is blocked in part of the time, with what fails besides."""
    block = random_.choice("BRTSLM") * random_.choice([8, 16, 30, 40])
    around = ["O" * random_.choice([0, 20, 30]) for _ in range(2)]
    strays = "".join(around[0] + block + around[1])
    return "".join(day if random_.random() < 0.95 else random_.choice("OTRBD.") for day in strays)


class Country:
    """Sites on three networks in two hosting networks: some blocked, the others open."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.days = {
            f"s{n}.example": {asn: self._see(n) for asn in ALL_NETWORKS} for n in range(10)
        }
        self.rows = [
            row for name, by in self.days.items() for asn, letters in by.items()
            for row in self.show(letters, name, asn)
        ]  # fmt: skip

    def _see(self, number: int) -> str:
        is_open = number >= 7 or self.random.random() < 0.4
        return "O" * self.random.choice([5, 12, 30]) if is_open else cut_off(self.random)

    def show(self, letters: str, name: str, asn: int, **changes: object) -> list[Row]:
        answers = [control_answer("192.0.2.10", 64496 + int(name[1]) % 2)]
        return days(letters, domain=name, probe_asn=asn, resolver_asn=asn, control_answers=answers,
                    **changes)  # fmt: skip

    def forge(self, site: str, asn: int, count: int) -> list[Row]:
        """So many reports: in the cell, of the site elsewhere, of other sites here, or of all."""
        claim, version = self.random.choice("OBTLRSDM"), self.random.choice(["3.8.8", "3.9.0"])
        ways = [[(site, asn)], [(site, self.random.choice(ALL_NETWORKS))],
                [(other, asn) for other in self.random.sample(list(self.days), 4)],
                [(other, asn) for other in self.days]]  # fmt: skip
        one = self.random.choice([*ways, None])
        rows: list[Row] = []
        for number in range(count):
            day = self.random.randrange(len(self.days[site][asn]) + 3)
            for name, network in one or self.random.choice(ways):
                rows += self.show(claim, name, network, start=day, software_version=version,
                                  report_id=f"forged-{number}")  # fmt: skip
        return rows


def states(found: Judgement) -> pd.DataFrame:
    return found.verdicts.set_index(KEY)[["state", "sessions_to_flip"]]


def test_whatever_is_forged_moves_no_state_before_its_number() -> None:
    """By forging at random: the same archive without the forged reports and with them. No state of
    a period or of a half is another one, of whatever site, whose number is more than they are."""
    country = Country(3)
    before = states(judge(country.rows, split="2024-01-19"))
    listed = before[before["state"].isin(["blocked", "likely_blocked"])]
    assert listed["sessions_to_flip"].max() > 2
    asked = pd.concat([listed, before.sort_index()])
    asked = asked[asked["sessions_to_flip"] > 1]
    tries = 0
    for place in country.random.sample(range(len(asked)), 3):
        (site, asn, _), number = asked.index[place], int(asked["sessions_to_flip"].iloc[place])
        forged = country.forge(site, asn, number - 1)
        after = states(judge([*country.rows, *forged], split="2024-01-19"))
        bound = before[before["sessions_to_flip"] >= number]
        moved = bound[bound["state"] != after["state"].reindex(bound.index)]
        assert moved.empty, (moved, after.loc[moved.index])
        tries += len(bound)
    assert tries > 100
