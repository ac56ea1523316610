"""Cases that examiners of the judging code built, each with what it showed."""

from datetime import timedelta
from functools import cache

import pytest

from analysis.verdicts.rivals import ONE_KIND_OF_PROBE, ROUTE_UNKNOWN
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED
from tests.letters import ALL_NETWORKS, NAME, VPN, days, judge, verdict
from tests.observations import PROBE_NETWORK, Row, answer, connect, control_answer, http_observation

OLD, NEW = {"software_version": "3.8.1"}, {"software_version": "3.9.0"}


def _later(rows: list[Row], hours: int) -> list[Row]:
    """The same sessions, hours later: others."""
    return [
        {**row, "report_id": f"{row['report_id']}-{hours}",
         "measurement_start_time": row["measurement_start_time"] + timedelta(hours=hours)}
        for row in rows
    ]  # fmt: skip


def _defect(*, is_old: bool = True) -> list[Row]:
    """Certificate errors of an old version alone, while the new one reaches the site."""
    old = days("MMM." * 8, start=20, **OLD) if is_old else []
    return [*days("O" * 20, **NEW), *old, *days("...O" * 8, start=20, **NEW),
            *days("O" * 18, start=52, **NEW), *days("O" * 12, start=78, **NEW)]  # fmt: skip


_DENIED = days("B" * 8, start=70, **NEW)
_AROUND = days("O" * 30 + "....." + "O" * 20)
#: Name → its sessions on one network; on the others the site is open.
CASES: dict[str, list[Row]] = {
    "denied for a day beside a defect": [
        *_defect(), *_later(days("B", start=60, per_day=4, **NEW), 5)
    ],
    "denied beside a defect": [*_defect(), *_DENIED],
    "denied": [*_defect(is_old=False), *_DENIED],
    "at one layer": [*_AROUND, *days("TTTTT", start=30, per_day=2)],
    "at two layers": [*_AROUND, *days("TTTTT", start=30), *_later(days("SSSSS", start=30), 3)],
    "lookups begin": days("O" * 10 + "R" * 8 + "O" + "RB" * 8 + "O" * 15),
    "lookups end": days("O" * 10 + "RB" * 8 + "O" + "BB" * 4 + "O" * 15),
    "reopened": [*days("O" * 10 + "B" * 20), *_later(days("O", start=29), 5)],
}  # fmt: skip


@cache
def examined(name: str) -> Judgement:
    elsewhere = [
        row
        for asn in ALL_NETWORKS[1:]
        for row in days("O" * 80, probe_asn=asn, resolver_asn=asn, **NEW)
    ]
    return judge([*CASES[name], *elsewhere])


def _reasons(name: str) -> list[str]:
    return sorted(examined(name).withheld["reason"])


def test_what_is_withheld_lends_nothing_to_what_is_left() -> None:
    """Neither sessions and days nor surprise: four denied lookups of one day beside the certificate
    errors of an old version are as little as without these; a block stands by its own evidence."""
    assert verdict(examined("denied for a day beside a defect"))["state"] == "impaired"
    assert ONE_KIND_OF_PROBE in _reasons("denied for a day beside a defect")
    row, alone = (verdict(examined(n)) for n in ("denied beside a defect", "denied"))
    assert (row["state"], row["mechanism"]) == ("likely_blocked", "dns.nxdomain")
    assert _reasons("denied beside a defect") == [ONE_KIND_OF_PROBE]
    assert alone["state"] == "likely_blocked"
    assert float(row["evidence"]) <= float(alone["evidence"])


@pytest.mark.parametrize("name", ["at one layer", "at two layers"])
def test_a_lost_route_is_one_at_whatever_layer_it_is_written_down(name: str) -> None:
    assert verdict(examined(name))["state"] == "impaired"
    assert set(_reasons(name)) == {ROUTE_UNKNOWN}


@pytest.mark.parametrize("name", ["lookups begin", "lookups end"])
def test_an_interval_of_several_kinds_lies_between_open_days(name: str) -> None:
    """Whichever kind begins it and whichever ends it."""
    (row,) = examined(name).intervals.to_dict("records")
    columns = ("last_seen_open", "blocked_from", "blocked_until", "first_seen_open_again")
    assert [row[column] for column in columns] == [
        "2024-01-10", "2024-01-11", "2024-02-04", "2024-02-05",
    ]  # fmt: skip


def test_a_block_that_was_seen_to_end_on_its_last_day_does_not_go_on() -> None:
    row = verdict(examined("reopened"))
    assert (row["state"], row["blocked_until"]) == ("likely_blocked", "2024-01-30")


def test_what_a_vpn_shows_moves_no_evidence() -> None:
    """Sixty sites that are open there, or that it blocks surely."""
    pair = days("O" * 20 + "BBBBBBB" + "O" * 33)
    pair += [row for asn in ALL_NETWORKS[1:]
             for row in days("O" * 60, probe_asn=asn, resolver_asn=asn)]  # fmt: skip
    told = set()
    for letter in ("", "O", "B"):
        vpn = [row for n in range(60 * bool(letter))
               for row in days(letter * 12, domain=f"v{n}.example", probe_asn=VPN,
                               resolver_asn=VPN)]  # fmt: skip
        found = judge([*pair, *vpn])
        assert verdict(found)["state"] == "likely_blocked"
        told.add(verdict(found)["evidence"])
    assert len(told) == 1
    foreign = found.verdicts[found.verdicts["probe_asn"] == VPN]
    assert set(foreign["set_aside_reason"]) == {"not_domestic"}


def _elsewhere(name: str, letters: str) -> list[Row]:
    return [row for asn in ALL_NETWORKS[1:]
            for row in days(letters, domain=name, probe_asn=asn, resolver_asn=asn)]  # fmt: skip


def _flips(base: list[Row], more: list[Row]) -> None:
    """One session more, and the verdict is another: no more was promised."""
    others = [
        row for name in ("x.example", "y.example", NAME) for row in _elsewhere(name, "O" * 80)
    ]
    others += [row for name in ("x.example", "y.example") for row in days("O" * 80, domain=name)]
    before = verdict(judge([*base, *others], until="2024-03-20"))
    after = verdict(judge([*base, *more, *others], until="2024-03-20"))
    assert before["state"] == "likely_blocked"
    assert after["state"] not in LISTED
    assert before["sessions_to_flip"] == 1


def test_one_session_may_let_the_networks_own_resolver_speak() -> None:
    own = {"resolver_asn": PROBE_NETWORK}
    base = [*days("B" * 60, resolver_asn=65_999), *days("OOO", start=60, **own)]
    _flips(base, days("O", start=66, **own))


def test_one_session_may_show_that_one_kind_of_probe_fails_alone() -> None:
    """Another one has reached the site before."""
    base = days("O" * 5 + "B" * 35 + "O" + "B" * 20 + "O" * 10)
    more = _later(days("O", start=15), 5)
    for row in (*base, *more):
        row |= {"software_name": "ooniprobe-android", **(OLD if row["dns_failure"] else NEW)}
    _flips(base, more)


def test_two_forged_reports_upset_the_page_behind_an_answer() -> None:
    """As they do the page of a site: both rest on how many names share it."""

    def page(number: int, **changes: object) -> list[Row]:
        site = f"s{number}.example"
        own = f"192.0.2.{number}"
        rows = days("O" * 30, domain=site)
        return [
            http_observation(
                **{name: row[name] for name in ("domain", "report_id", "measurement_start_time")},
                control_answers=[control_answer(own, 64400 + number)], http_title="Blocked",
                http_body_digest="one page", http_body_length=500, body_proportion=0.05,
                title_match=False, headers_match=False, accessible=False,
                is_anomaly=True, control_http_title=f"News of {site}", udp_answers=[],
                **{"dns_answers": [answer(own)], "tcp": [connect(own, port=80)],
                   "blocking": "http-diff", **changes},
            )
            for row in rows
        ]  # fmt: skip

    fewest = {}
    for mechanism in ("http.blockpage", "dns.blockpage"):
        rows: list[Row] = []
        for number in (1, 2, 3):
            away = f"198.51.100.{20 + number}"
            told = {} if mechanism.startswith("http") else {
                "dns_answers": [answer(away, 64499, match="none")], "blocking": "dns",
                "tcp": [connect(away, port=80, match="none", control_ok=None)],
                "dns_consistency": "inconsistent",
            }  # fmt: skip
            rows += page(number, **told)
            rows += [row for asn in ALL_NETWORKS[1:]
                     for row in days("O" * 40, domain=f"s{number}.example", probe_asn=asn,
                                     resolver_asn=asn)]  # fmt: skip
        row = verdict(judge(rows, until="2024-02-10"), domain="s1.example", asn=PROBE_NETWORK)
        assert row["mechanism"] == mechanism
        fewest[mechanism] = row["sessions_to_flip"]
    assert fewest == {"http.blockpage": 2, "dns.blockpage": 2}
