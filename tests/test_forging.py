"""What forged reports can do to a verdict found out by forging."""

import random
from datetime import timedelta

import pytest

from tests.letters import ALL_NETWORKS, DAY_ONE, days, everywhere, judge, verdict
from tests.observations import Row


@pytest.mark.parametrize("count", [1, 500])
def test_one_report_of_any_size_lists_nothing(count: int) -> None:
    """Forged reports: one report is one witness, however many rows it holds."""
    row = days("B")[0]
    rows = [
        {**row, "measurement_start_time": DAY_ONE + timedelta(days=n % 40, seconds=n)}
        for n in range(count)
    ]
    found = verdict(judge(rows))
    assert found["state"] == "insufficient"
    assert (found["measurement_count"], found["session_count"]) == (count, 1)


def test_any_number_of_reports_on_two_days_lists_nothing() -> None:
    """A verdict needs days, which a flood does not buy."""
    assert verdict(judge(days("BB", per_day=40)))["state"] == "insufficient"


def test_measurements_without_a_report_are_one_session_a_day() -> None:
    """What cannot be told apart is not counted twice."""
    found = verdict(judge(days("BBB", per_day=20, report_id="")))
    assert (found["measurement_count"], found["session_count"]) == (60, 3)
    assert found["state"] == "insufficient"


def test_a_listing_that_leans_on_another_network_falls_as_soon_as_that_one_does() -> None:
    """Forged reports across networks: time-outs on a third network keep 40 resets on two listed;
    whoever forges resets there takes that away, and not with fewer than the number says."""
    mine = [*days("R" * 40), *days("R" * 40, probe_asn=ALL_NETWORKS[1])]
    third = days("." * 12 + "SSRSSRSSR", probe_asn=ALL_NETWORKS[2])
    printed = int(verdict(judge([*mine, *third]))["sessions_to_flip"])
    assert printed == 3
    for count, expected in ((printed - 1, "likely_blocked"), (printed, "impaired")):
        forged = days("." * 12 + "R" * count, probe_asn=ALL_NETWORKS[2])
        forged = [{**row, "report_id": f"forged-{n}"} for n, row in enumerate(forged)]
        assert verdict(judge([*mine, *third, *forged]))["state"] == expected
    shared = [row for n in range(3) for row in everywhere("R" * 40, f"s{n}.example", 64496 + n)]
    assert verdict(judge(shared), domain="s0.example")["sessions_to_flip"] == 2


def test_time_outs_of_two_layers_fall_with_the_layer_that_holds() -> None:
    """Forged reports: nine in ten time out, a fifth of them at another layer, which does not hold
    the block: fewer forged sessions than all of them would bear take it away, and none below the
    number."""
    usual = [row for n in range(7) for row in days("O" * 4, domain=f"usual-{n}.example")]
    stalling = days(".".join("TTTTSTTTTSTTTTSTTTTSOO"))
    printed = int(verdict(judge([*stalling, *usual]))["sessions_to_flip"])
    for count, is_listed in ((printed - 1, True), (3, False)):
        forged = [
            row for n in range(count) for row in days("O", start=20 + n, report_id=f"forged-{n}")
        ]
        found = verdict(judge([*stalling, *forged, *usual]))
        assert (found["state"] == "likely_blocked") == is_listed


def test_fewer_forged_sessions_than_printed_move_no_state() -> None:
    """By forging: one short of ``sessions_to_flip``, wherever in the block (or in the open
    stretch) the forged days are put, the state for the whole period stays what it was."""
    series = {
        f"s-{size}-{around}-{letter.lower()}.example": "O" * around + letter * size + "O" * around
        for size in (4, 6, 8, 9, 10, 12, 16, 24)
        for around in (0, 2, 6, 14)
        for letter in "BRT"
    }
    series |= {f"o-{size}.example": "O" * size for size in (5, 9, 14, 24)}
    usual = [row for n in range(90) for row in days("O" * 4, domain=f"usual-{n}.example")]
    rows = [row for domain, letters in series.items() for row in days(letters, domain=domain)]
    before = judge([*rows, *usual]).verdicts
    before = before[before["period"] == "all"].set_index("domain")
    forged, expected = [], {}
    for domain, letters in series.items():
        state, short = before["state"][domain], int(before["sessions_to_flip"][domain]) - 1
        claim = "O" if state in ("blocked", "likely_blocked") else "B"
        inside = [place for place, letter in enumerate(letters) if letter != "O"] or [*range(9)]
        for first in inside[:: max(1, len(inside) // 5)]:
            for step in (1, 3):
                name = f"v{len(expected)}-{domain}"
                expected[name] = state
                forged += days(letters, domain=name)
                for number in range(short):
                    day = (first + step * number) % len(letters)
                    forged += days(claim, start=day, domain=name, report_id=f"{name}-{number}")
    after = judge([*forged, *usual]).verdicts
    after = after[(after["period"] == "all") & after["domain"].isin(list(expected))]
    moved = after[after["state"] != after["domain"].map(expected)]
    assert moved[["domain", "state", "blocked_session_count", "ok_session_count"]].empty, moved
    assert len(after) == len(expected) > 300


def test_a_network_that_never_tested_may_be_made_to_agree() -> None:
    """Forged reports: two sessions on a third network make resets on two look like a refusal. One
    does not, but a bound may be lower than what it takes."""
    mine = [*days("R" * 80), *days("R" * 80, probe_asn=ALL_NETWORKS[1])]
    forged = days("." * 20 + "RR", probe_asn=ALL_NETWORKS[2])
    before, after = judge(mine), judge([*mine, *forged])
    for period in ("all", "first", "second"):
        assert verdict(before, period)["state"] == "likely_blocked"
        assert verdict(before, period)["sessions_to_flip"] <= 2
        assert verdict(after, period)["state"] == "impaired"


def test_time_outs_beside_resets_may_be_cut_off_from_them() -> None:
    """Forged reports: three sessions part a block's stalled handshakes from its resets; what is
    left of the first half is what two more networks show as well."""
    others = [row for asn in ALL_NETWORKS[1:] for row in days("TTTT.TTTTTTTT", probe_asn=asn)]
    mine = days("SSSSSSSS.SS.SSSSRR.RRRRRRRRRRRR.")
    usual = [row for n in range(60) for row in everywhere("OOOO", f"usual-{n}.example")]
    before = verdict(judge([*mine, *others, *usual], split="2024-01-19"), "first")
    assert (before["state"], before["sessions_to_flip"]) == ("likely_blocked", 1)
    forged = [
        row for n, (claim, day) in enumerate([("D", 13), ("L", 31), ("L", 29)])
        for row in days(claim, start=day, report_id=f"forged-{n}")
    ]  # fmt: skip
    after = judge([*mine, *others, *usual, *forged], split="2024-01-19")
    assert verdict(after, "first")["state"] == "impaired"


def test_what_no_mechanism_has_most_of_is_soon_another_block() -> None:
    """Forged reports: requests and handshakes that are cut off, then forged certificates, on every
    network: three open days leave fewer of the certificates, which no site can be blamed for."""
    mixed = everywhere("PPRRRRPRPPRRRPPRPRPRRPPR" + "M" * 16)
    usual = [row for n in range(60) for row in everywhere("OOOO", f"usual-{n}.example")]
    before = verdict(judge([*mixed, *usual], split="2024-01-19"), "second")
    assert (before["state"], before["sessions_to_flip"]) == ("likely_blocked", 1)
    forged = days("OOO", start=36, report_id="forged")
    forged = [{**row, "report_id": f"forged-{n}"} for n, row in enumerate(forged)]
    after = judge([*mixed, *usual, *forged], split="2024-01-19")
    assert verdict(after, "second")["state"] == "impaired"


@pytest.mark.parametrize("letters", ["DDBDDDDBDD", "DDBDDDBDD", "BDDDBDDDUD"])
def test_what_is_nearly_down_may_be_made_so(letters: str) -> None:
    """Forged reports: a weaker state that is said first where its sessions suffice."""
    before = verdict(judge(days(letters)))
    assert (before["state"], before["sessions_to_flip"]) == ("impaired", 1)


#: What one network showed where forging once moved a state of the year or of a half too early.
MOVED = (
    "DD.D.DD.DDDD..DDDDD.DDDD", "DDDDDDD.DD..DDDDRRR", "OOTOOOO.DDDDDDDDDDDDDDDDDDDD.DD.",
    "BBB...B.B.BBB.BB.BBBBBBBD.DD.DDD", "TTTTTTTTTTTTRRRRRRRRTTT.TOTO",
    "BOBOOBBOOOB.OBBBBOBB.BOOTT.TTTTOTOTTTTOORRRRRRR.R.RRR.RRR...",
    ".OOO.BBBB.B.BBBBBOOOBOOOBOOBBOOBOOOB.BBBO", "ORORROROBB.BBB.BOO.OOOOO.OOOOOOO",
    "LLLLLLLLL.LLLLLLLLLLLLLLBBBBBBBBBBBB.BBBRRRR.",
    "LLL.R.RRRRR..RRRRRRLLL.LLLLLLLLLLLLLLLLLLLL",
    ".LLLL.LLLLLLLLL.TTTTTTT.TTTTTTT.TT.T.TTTOOBOOBBOBOOO",
    "RORRO.OORORRORRROROROOOROOROORRORRROROR.RRRRO",
    "OOOOOOOOOOOOOOBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
)  # fmt: skip


def test_what_forging_moved_once_stays() -> None:
    """Forged reports: four claims, from every other day on, one session short of the number."""
    usual = [row for n in range(90) for row in days("O" * 4, domain=f"usual-{n}.example")]
    sites = {f"m{n}.example": letters for n, letters in enumerate(MOVED)}
    true = [row for name, letters in sites.items() for row in days(letters, domain=name)]
    key = ["domain", "period"]
    before = judge([*true, *usual], split="2024-01-19").verdicts.set_index(key)
    rows, expected = [], {}
    for (site, period), row in before.loc[list(sites)].iterrows():
        letters, short = sites[site], row["sessions_to_flip"] - 1
        ways = [(claim, first, step) for claim in "OBTL" for first in range(0, len(letters), 2)
                for step in (0, 1)]  # fmt: skip
        for claim, first, step in ways if short else []:
            name = f"v{len(expected)}-{site}"
            expected[name, period] = row["state"]
            rows += days(letters, domain=name)
            for n in range(short):
                rows += days(claim, start=first + step * n, domain=name, report_id=f"{name}-{n}")
    after = judge([*rows, *usual], split="2024-01-19").verdicts.set_index(key)["state"]
    moved = {cell: (state, after[cell]) for cell, state in expected.items() if after[cell] != state}
    assert moved == {}
    assert len(expected) > 1000


def histories(chance: random.Random) -> dict[int, str]:
    """What a site showed on each network: a few stretches, each of one behaviour or of two."""

    def one() -> str:
        stretches = []
        for _ in range(chance.choice([1, 2, 2, 3])):
            kinds = chance.choice(["O", "O", "B", "R", "T", "S", "D", "U", "OB", "OR", "OT", "L"])
            kinds += "." * (chance.random() < 0.3)
            stretches.append("".join(chance.choices(kinds, k=chance.choice([3, 5, 8, 12, 16, 24]))))
        return "".join(stretches)[:60]

    same = one()
    return {asn: same if chance.random() < 0.5 else one() for asn in ALL_NETWORKS}


@pytest.mark.parametrize("seed", [3, 4])
def test_whatever_is_forged_moves_no_state_before_its_number(seed: int) -> None:
    """By forging at random: one session short of ``sessions_to_flip``, of any kind, on any day
    and network, no state of the whole period or of a half is another one."""
    chance = random.Random(seed)

    def seen(name: str, history: dict[int, str]) -> list[Row]:
        return [
            row for asn, letters in history.items()
            for row in days(letters, domain=name, probe_asn=asn, resolver_asn=asn)
        ]  # fmt: skip

    sites = {f"s{n}.example": histories(chance) for n in range(50)}
    usual = [
        row for n in range(60)
        for row in seen(f"usual-{n}.example", dict.fromkeys(ALL_NETWORKS, "OOOO"))
    ]  # fmt: skip
    true = [row for name, history in sites.items() for row in seen(name, history)]
    key = ["domain", "probe_asn", "period"]
    before = judge([*true, *usual], split="2024-01-19").verdicts.set_index(key)
    rows, expected = [], {}
    for (site, asn, period), row in before.sort_index().iterrows():
        for _ in range(3 * (row["sessions_to_flip"] > 1)):
            name = f"v{len(expected)}-{site}"
            rows += seen(name, sites[site])
            claim, is_here = chance.choice("OBTLRSDUP"), chance.random() < 0.6
            for number in range(row["sessions_to_flip"] - 1):
                network = asn if is_here else chance.choice(ALL_NETWORKS)
                rows += days(
                    claim if chance.random() < 0.8 else chance.choice("OBTLRSD"),
                    start=chance.randrange(len(sites[site][asn]) + 2), domain=name,
                    probe_asn=network, resolver_asn=network, report_id=f"{name}-{number}",
                )  # fmt: skip
            expected[name, asn, period] = row["state"]
    after = judge([*rows, *usual], split="2024-01-19").verdicts.set_index(key)["state"]
    moved = {cell: (state, after[cell]) for cell, state in expected.items() if after[cell] != state}
    assert moved == {}
    assert len(expected) > 200
