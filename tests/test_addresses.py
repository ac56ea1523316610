"""Blocks of addresses: what sites that share one tell together, and none of them alone."""

from functools import cache

from analysis.verdicts.caveats import BYSTANDER
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED
from tests.letters import ALL_NETWORKS, intervals, judge, site_at, usual_sites, verdict
from tests.observations import Row

CUT, OTHER = "198.51.100.7", "198.51.100.8"
BEHIND = [f"behind-{n}" for n in range(5)]
BESIDE = [f"beside-{n}" for n in range(5)]
_MATCHES = (2, 5, 6)  # Wednesday, Saturday, Sunday


def _at(address: str, row: Row) -> Row:
    moved = {
        name: [{**one, "address": address} for one in row[name]]
        for name in ("dns_answers", "control_answers", "tcp", "tls")
    }
    return {**row, **moved}


@cache
def match_days(since: int = 0) -> Judgement:
    """One network cuts one of two shared addresses while there are matches, from a day on; each
    site is tested once a day, at changing hours."""
    rows = usual_sites()
    for address, names in ((CUT, BEHIND), (OTHER, BESIDE)):
        for number, name in enumerate(names):
            for asn in ALL_NETWORKS:
                for day in range(84):
                    hour = (7 * day + 5 * number) % 24
                    is_match = day >= since and day % 7 in _MATCHES and 13 <= hour < 21
                    is_cut = address == CUT and asn == ALL_NETWORKS[0] and is_match
                    tests = site_at(name, "T" if is_cut else "O", day=day, hour=hour, asn=asn)
                    rows += [_at(address, row) for row in tests]
    return judge(rows)


def test_an_address_that_is_cut_on_match_days() -> None:
    """It is listed with its hours, on its network alone, with the sites behind it."""
    (row,) = match_days().addresses.to_dict("records")
    assert (row["address"], row["probe_asn"]) == (CUT, ALL_NETWORKS[0])
    assert row["schedule"] == "Wed,Sat,Sun 13:00-21:00"
    assert (row["site_count"], row["cut_site_count"]) == (5, 5)
    assert row["cut_sites"] == ";".join(f"{name}.example" for name in BEHIND)


def test_the_sites_behind_it_and_those_beside_it() -> None:
    """Those that met it often enough for a state have its hours and its evidence, and are said to
    be bystanders; the tests around are their own, at these hours."""
    found = match_days()
    for name in BEHIND:
        row = verdict(found, domain=f"{name}.example")
        is_met = row["blocked_session_count"] >= 4
        assert is_met == (name != "behind-2")
        assert (row["state"] in LISTED, BYSTANDER in row["note"]) == (is_met, is_met)
        assert row["schedule"] == ("Wed,Sat,Sun 13:00-21:00" if is_met else "")
        for asn in ALL_NETWORKS[1:]:
            assert verdict(found, domain=f"{name}.example", asn=asn)["state"] == "ok"
    for name in BESIDE:
        assert verdict(found, domain=f"{name}.example")["state"] not in LISTED


def test_the_last_test_before_a_cut_is_found_among_all_of_the_site() -> None:
    """The address is cut from the fifth week on; before, the sites were reached at the same
    hours."""
    (row,) = match_days(since=28).addresses.to_dict("records")
    assert row["last_seen_open"] < row["blocked_from"]
    reached = intervals(match_days(since=28), "behind-0.example")["last_seen_open_time"]
    assert reached.str.startswith("2024-01-").all()
