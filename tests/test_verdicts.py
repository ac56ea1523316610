"""From days of measurements to a verdict with dates, counts and a witness."""

import random
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.period import Period
from analysis.verdicts.states import STATES_BY_STRENGTH
from analysis.verdicts.witnesses import countries_url, measurement_url
from analysis.vocabulary import LISTED
from tests.letters import ALL_NETWORKS, DAY_ONE, NAME, VPN, dates, days, everywhere, judge, verdict
from tests.observations import PROBE_NETWORK, Row, answer, connect, http_observation, observation
from tests.situations import dead, redirected


@pytest.mark.parametrize(
    ("letters", "until", "expected"),
    [
        ("O" * 20 + "B" * 20, "2024-03-01", ("2024-01-21", "", "")),
        ("B" * 20 + "O" * 20, "2024-03-01", ("2024-01-01", "2024-01-20", "at least since")),
        ("O" * 9 + "B" * 12 + "O" * 12 + "B" * 12, "2024-03-01", ("2024-01-10", "", "")),
        ("O" * 9 + "B" * 12 + "O" * 20, "2024-03-01", ("2024-01-10", "2024-01-21", "")),
        ("O" * 10 + "B" * 20, "2024-02-29", ("2024-01-11", "", "")),
        ("O" * 10 + "B" * 20, "2024-03-01", ("2024-01-11", "2024-01-30", "not tested since")),
        ("B" * 20, "2024-04-01",
         ("2024-01-01", "2024-01-20", "at least since; not tested since")),
        ("O" * 10 + "B" * 20 + "D", "2024-02-10", ("2024-01-11", "2024-01-30", "")),
        ("O" * 10 + "B" * 20 + "NNN", "2024-02-10", ("2024-01-11", "", "")),
        ("O" * 30, "2024-02-10", ("", "", "")),
    ],
    ids=["imposed", "lifted", "imposed twice", "imposed and lifted", "30 days before the end",
         "31 days before the end", "never seen open", "down at the end", "no control at the end",
         "never blocked"],
)  # fmt: skip
def test_dates(letters: str, until: str, expected: tuple[str, str, str]) -> None:
    """``blocked_until`` is empty only if the last thing known, not long ago, was a block."""
    assert dates(judge(days(letters), until=until, split="2024-01-16")) == expected


def test_a_block_imposed_twice_is_two_intervals() -> None:
    """With the days around each, and what the cell was seen to be in between."""
    found = judge(days("O" * 9 + "B" * 12 + "O" * 12 + "B" * 12), until="2024-03-01")
    shown = found.intervals[["blocked_from", "last_seen_open", "blocked_until",
                             "first_seen_open_again"]].to_numpy().tolist()  # fmt: skip
    assert shown == [
        ["2024-01-10", "2024-01-09", "2024-01-21", "2024-01-22"],
        ["2024-02-03", "2024-02-02", "2024-02-14", ""],
    ]
    assert found.intervals["measurement_count"].tolist() == [12, 12]
    assert found.intervals["session_count"].tolist() == [12, 12]


def test_a_gap_in_testing_stays_a_gap() -> None:
    """Two stretches of blocking with nothing between them are one interval with a hole in it."""
    found = judge(days("B" * 10 + "." * 40 + "B" * 10))
    assert found.intervals["longest_gap_days"].tolist() == [41]
    assert verdict(found)["day_count"] == 20


def test_a_block_imposed_at_the_split_leaves_the_first_half_open() -> None:
    """Counts, shares and dates of a half are those of its own sessions."""
    found = judge(days("O" * 45 + "B" * 40))
    first, second = verdict(found, "first"), verdict(found, "second")
    assert (first["state"], second["state"]) == ("ok", "likely_blocked")
    assert (first["blocked_share"], second["blocked_share"]) == (0.0, 1.0)
    assert dates(found, "first") == ("", "", "")
    assert second["blocked_from"] == "2024-02-15"
    assert first["measurement_count"] + second["measurement_count"] == 85


def test_a_verdict_names_its_rule_only_if_it_is_listed() -> None:
    """Mechanism, rule and witness belong to blocks."""
    found = judge([*days("B" * 10), *days("O" * 10, domain="open.example"),
                   *days("L" * 10, domain="loop.example")])  # fmt: skip
    blocked, opened = verdict(found), verdict(found, domain="open.example")
    assert (blocked["rule_id"], blocked["mechanism"]) == ("dns.nxdomain", "dns.nxdomain")
    assert blocked["witness_url"].startswith("https://explorer.ooni.org/measurement/")
    assert blocked["resolver_asns"] == f"AS{PROBE_NETWORK}"
    assert not any(opened[c] for c in ("rule_id", "mechanism", "witness_report_id",
                                       "witness_url", "resolver_asns"))  # fmt: skip
    assert verdict(found, domain="loop.example")["state"] == "blocked"


def test_the_mechanism_is_that_of_most_blocked_sessions() -> None:
    """Sessions count, not rows, and a tie goes to the earlier layer."""
    found = judge([*days("B" * 6), *days("R" * 5, start=6),
                   *days("BRBRBRBR", domain="tie.example")])  # fmt: skip
    assert verdict(found)["mechanism"] == "dns.nxdomain"
    assert verdict(found, domain="tie.example")["mechanism"] == "dns.nxdomain"


def test_the_witness_is_typical_and_of_the_verdicts_own_rule() -> None:
    """Neither the first nor the last, which a forger would choose, nor of another rule."""
    found = judge([*days("B" * 9), *days("RR", start=9)])
    assert verdict(found)["witness_report_id"] == f"20240105-{NAME}-{PROBE_NETWORK}-0"


def test_the_witness_lies_in_the_period() -> None:
    """A block that goes on after the first half is witnessed in the first half all the same."""
    found = judge(days("B" * 90), split="2024-01-21")
    assert verdict(found, "first")["blocked_until"] == ""
    assert verdict(found, "first")["witness_report_id"] < "20240121"
    assert verdict(found, "second")["witness_report_id"] >= "20240121"


def test_a_fictional_country_has_no_witness_page() -> None:
    """OONI Explorer does not know it."""
    found = judge(days("B" * 10), is_fictional=True)
    assert verdict(found)["witness_report_id"]
    assert verdict(found)["witness_url"] == ""


def test_an_address_of_a_witness_is_quoted() -> None:
    """A hostile input cannot leave its place in the link."""
    url = measurement_url("a/../b", 'https://x.example/?a=b&c="><script>#f')
    assert url.count("?") == url.count("=") == 1
    assert not set(url.partition("?input=")[2]) & set('&"<>#? ')
    assert measurement_url("", "https://x.example/") == ""


def test_a_site_is_shown_by_country_for_the_days_of_the_report() -> None:
    """What every network shows: what fails in most countries is not blocked in one; the link cannot
    be led astray."""
    period = Period.parse("2024-01-01", "2024-07-01")
    url = urlsplit(countries_url('x.example&probe_cc=QQ"><script>', period))
    assert parse_qs(url.query, strict_parsing=True) == {
        "test_name": ["web_connectivity"], "domain": ['x.example&probe_cc=QQ"><script>'],
        "since": ["2024-01-01"], "until": ["2024-07-01"], "time_grain": ["month"],
        "axis_x": ["measurement_start_day"], "axis_y": ["probe_cc"],
    }  # fmt: skip
    assert not set(url.query) & set('"<> ')


def test_a_session_across_the_split_has_a_state_in_both_halves() -> None:
    """A report that tests a site before and after midnight belongs to the day it began."""
    before = datetime(2024, 2, 14, 23, 59)
    rows = [
        {**observation(), "report_id": "long", "measurement_start_time": before},
        {**observation(input="http://news.example/"), "report_id": "long",
         "measurement_start_time": before + timedelta(minutes=2)},
    ]  # fmt: skip
    table = judge(rows).verdicts
    assert table["state"].isin(["insufficient"]).all()
    assert table[["session_count", "measurement_count"]].notna().all(axis=None)


def test_a_block_of_another_site_is_not_this_sites() -> None:
    """What fails is where the input redirects to; the verdict is not the input's."""
    row = redirected("elsewhere.example", "connection_reset")
    rows = [{**row, "report_id": f"r{n}", "measurement_start_time": DAY_ONE + timedelta(days=n)}
            for n in range(20)]  # fmt: skip
    found = verdict(judge(rows))
    assert found["state"] == "impaired"
    assert found["blocked_session_count"] == 0
    assert not found["mechanism"]


def test_why_a_site_is_set_aside() -> None:
    """Each cell with problems that is not listed says what explains most of them; a site that is
    reached is never said to be tested too little."""
    gone = [{**dead(domain="gone.example"), "report_id": f"g{n}",
             "measurement_start_time": DAY_ONE + timedelta(days=n)} for n in range(6)]  # fmt: skip
    found = judge([
        *days("B" * 10), *days("O" * 10, domain="open.example"), *gone,
        *days("D" * 10, domain="down.example", is_anomaly=True),
        *days("U" * 10, domain="odd.example"), *days("BB", domain="thin.example"),
        *days("OOOOOOOOOOOOOOOB", domain="once.example"),
        *days("DDDDDDDDDDDDDB", domain="fades.example"),
        *days("B" * 10, domain="tunnel.example", probe_asn=VPN),
    ])  # fmt: skip
    whole = found.verdicts[found.verdicts["period"] == "all"]
    assert dict(zip(whole["domain"], whole["set_aside_reason"], strict=True)) == {
        NAME: "", "open.example": "", "gone.example": "name_does_not_exist",
        "down.example": "down", "odd.example": "impaired", "thin.example": "insufficient",
        "once.example": "anomaly_unexplained", "fades.example": "down",
        "tunnel.example": "not_domestic",
    }  # fmt: skip


def test_a_half_has_the_state_of_the_interval_that_reaches_into_it() -> None:
    """An interval is judged once. The resets that begin on every network are listed for having
    begun; the half that shows them only is not told that nobody can know. Three sessions of a block
    are too few for a half, and what is too little for the whole is so for a half."""
    begun = judge(everywhere("O" * 10 + "R" * 60))
    assert [verdict(begun, period)["state"] for period in ("all", "first", "second")] == [
        "likely_blocked"
    ] * 3
    for before, expected in ((3, "insufficient"), (4, "likely_blocked")):
        late = judge(days("." * (45 - before) + "B" * (before + 9)))
        assert verdict(late, "first")["state"] == expected
        assert verdict(late, "second")["state"] == "likely_blocked"
    two_days = judge([*days("." * 43 + "BB", per_day=3), *days("." * 45 + "B" * 9)])
    assert verdict(two_days, "first")["state"] == "insufficient"
    away = judge(everywhere("." * 25 + "R" * 40))
    assert set(away.verdicts["state"]) == {"impaired"}


def test_short_blocks_that_meet_the_floor_together_do_so_in_the_half_that_holds_them() -> None:
    """Two blocks of three sessions each, apart by weeks of access."""
    usual = [row for n in range(7) for row in days("O" * 4, domain=f"usual-{n}.example")]
    found = judge([*days("O" * 12 + "BBB" + "O" * 12 + "BBB" + "O" * 30), *usual])
    states = {period: verdict(found, period)["state"] for period in ("all", "first", "second")}
    assert states == {"all": "likely_blocked", "first": "likely_blocked", "second": "ok"}


def test_what_is_withheld_is_withheld_in_a_half_that_shows_it() -> None:
    """What every network shows: short time-outs on every network, twice, are *impaired* in the half
    that holds them; the half that shows access says nothing of them."""
    usual = [row for n in range(9) for row in everywhere("OOOO", f"usual-{n}.example")]
    outage = everywhere("O" * 10 + "TT" + "O" * 10 + "TT" + "O" * 10)
    thrice = [{**row, "report_id": f"{row['report_id']}-{n}"} for row in outage for n in range(3)]
    short = judge([*thrice, *usual])
    assert verdict(short)["state"] == verdict(short, "first")["state"] == "impaired"
    late = judge([*everywhere("O" * 30 + "." * 14 + "T" * 30), *usual])
    assert verdict(late)["note"] == verdict(late, "second")["note"] != ""
    assert (verdict(late, "first")["state"], verdict(late, "first")["note"]) == ("ok", "")


def test_a_half_is_told_by_its_own_artefacts() -> None:
    """What only a block leaves was met in the first half: the second is likely blocked."""
    found = judge(days("." * 36 + "L" * 9 + "LBBBB"))
    states = {period: verdict(found, period)["state"] for period in ("all", "first", "second")}
    assert states == {"all": "blocked", "first": "blocked", "second": "likely_blocked"}


def test_no_half_is_listed_without_a_rule() -> None:
    """Reports that begin before the split and meet the block after it: the sessions are the first
    half's, what shows the block is the second's."""
    rows = days("." * 45 + "B" * 20)
    for number in range(5):
        report = {"report_id": f"long-{number}"}
        rows += days("N", start=38 + number, **report) + days("B", start=46 + number, **report)
    found = judge(rows)
    for period in ("all", "first", "second"):
        row = verdict(found, period)
        assert (
            (row["state"] in LISTED) == (row["rule_id"] != "") == (row["witness_report_id"] != "")
        )
    assert verdict(found, "first")["blocked_session_count"] == 5


def test_nothing_measured_is_never_ok_and_never_nought() -> None:
    """A property over random weeks: no class without its sessions, no share of nothing, and no
    row at all for a site, a network or a half without a measurement."""
    chance = random.Random(7)
    written = {}
    rows = []
    for number in range(80):
        domain = f"site-{number}.example"
        weights = [chance.choice([0, 0, 1, 3, 9]) for _ in range(5)] + [chance.choice([0, 1, 30])]
        letters = "".join(chance.choices("BODUN.", [*weights[:5], weights[5] + 1], k=60))
        written[domain] = letters
        rows += days(letters, domain=domain)
    table = judge(rows, until="2024-03-01", split="2024-01-31").verdicts
    spans = {"all": slice(0, 60), "first": slice(0, 30), "second": slice(30, 60)}
    assert set(zip(table["domain"], table["period"], strict=True)) == {
        (domain, period) for domain, letters in written.items() for period, span in spans.items()
        if set(letters[span]) != {"."}
    }  # fmt: skip
    whole = table[table["period"] == "all"].set_index("domain")["state"]
    rows_seen: Any = table.itertuples()
    for row in rows_seen:
        seen = written[row.domain][spans[row.period]]
        counts = {letter: seen.count(letter) for letter in "BODUN"}
        assert row.measurement_count == row.session_count == sum(counts.values())
        assert (row.blocked_count, row.ok_count, row.down_count) == (
            counts["B"], counts["O"], counts["D"],
        )  # fmt: skip
        assert row.state != "ok" or counts["O"] >= 4
        assert row.state not in ("blocked", "likely_blocked") or counts["B"] >= 4
        assert row.state == "insufficient" or sum(counts.values()) - counts["N"] >= 4
        order = STATES_BY_STRENGTH.index
        assert order(whole[row.domain]) <= order(row.state)
        assert pd.isna(row.blocked_share) == (counts["B"] + counts["O"] == 0)
        if pd.notna(row.blocked_share):
            low, high = row.blocked_share_low, row.blocked_share_high
            assert low - 1e-9 <= row.blocked_share <= high + 1e-9


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (everywhere("R" * 12), "impaired"),
        (everywhere("T" * 12), "impaired"),
        (everywhere("O" * 12 + "T" * 12), "impaired"),
        (everywhere("O" * 12 + "R" * 12), "likely_blocked"),
        (everywhere("R" * 12 + "O" * 12), "likely_blocked"),
        (everywhere("M" * 12), "likely_blocked"),
        (everywhere("B" * 12), "likely_blocked"),
        (everywhere("W" * 12), "impaired"),
        (everywhere("A" * 12), "likely_blocked"),
        (everywhere("V" * 12), "impaired"),
        (everywhere("G" * 12), "likely_blocked"),
        ([*days("V" * 12), *days("W" * 12, probe_asn=ALL_NETWORKS[1]),
          *days("V" * 12, probe_asn=ALL_NETWORKS[2])], "impaired"),
        ([*days("V" * 12), *days("B" * 12, probe_asn=ALL_NETWORKS[1]),
          *days("V" * 12, probe_asn=ALL_NETWORKS[2])], "likely_blocked"),
        ([*everywhere("R" * 12), *everywhere("R" * 12, "two.example", 64497),
          *everywhere("R" * 12, "three.example", 64498)], "likely_blocked"),
        ([*everywhere("R" * 12), *everywhere("P" * 12, "two.example", 64497),
          *everywhere("P" * 12, "three.example", 64498)], "likely_blocked"),
        ([*everywhere("R" * 12), *everywhere("T" * 12, "two.example", 64497),
          *everywhere("P" * 12, "three.example", 64498)], "impaired"),
        ([*everywhere("R" * 12), *everywhere("R" * 12, "two.example"),
          *everywhere("R" * 12, "three.example")], "impaired"),
        ([*everywhere("T" * 12), *everywhere("T" * 12, "two.example", 64497),
          *everywhere("T" * 12, "three.example", 64498)], "impaired"),
        ([*days("R" * 12), *days("T" * 12, probe_asn=ALL_NETWORKS[1]),
          *days("R" * 12, probe_asn=ALL_NETWORKS[2])], "likely_blocked"),
        ([*days("O" * 12 + "S" * 12), *days("O" * 12 + "T" * 12, probe_asn=ALL_NETWORKS[1]),
          *days("O" * 12 + "T" * 12, probe_asn=ALL_NETWORKS[2])], "impaired"),
        ([*days("R" * 12), *days("R" * 12, probe_asn=ALL_NETWORKS[1]),
          *days("S" * 12, probe_asn=ALL_NETWORKS[2])], "likely_blocked"),
        ([*days("R" * 12), *days("R" * 12, probe_asn=ALL_NETWORKS[1]),
          *days("S..S..S", probe_asn=ALL_NETWORKS[2])], "impaired"),
        ([*days("R" * 12), *days("R" * 12, probe_asn=ALL_NETWORKS[1]),
          *days("O" * 12, probe_asn=ALL_NETWORKS[2])], "likely_blocked"),
        ([*days("R" * 12), *days("R" * 12, probe_asn=ALL_NETWORKS[1]),
          *days("R" * 12, probe_asn=ALL_NETWORKS[2]), *days("O" * 12, probe_asn=VPN)], "impaired"),
    ],
    ids=["always reset", "always unreachable", "unreachable since", "reset since", "reset until",
         "another's certificate", "no such name", "silent resolvers",
         "silent resolvers, and the site answers", "failing resolvers",
         "failing resolvers, and the site answers", "failing or silent resolvers",
         "failing resolvers, and one that denies the name", "three sites of three hosts reset",
         "a name reset in handshakes and in plain requests", "resets of two and a time-out",
         "three sites of one host reset", "three sites of three hosts unreachable",
         "another way on one network", "unreachable, as another layer's time-out",
         "time-outs where others reset", "a few of them",
         "one network gets through", "only a tunnel gets through"],
)  # fmt: skip
def test_what_fails_alike_on_every_network(rows: list[Row], expected: str) -> None:
    """Sites that refuse, and what every network shows: a site that is away, or refuses the country,
    looks the same and is not listed; what no site can do, what began while it was tested, and what
    many hosts cannot share, is."""
    # A time-out counts where the network's usual site does not time out.
    usual = [row for asn in ALL_NETWORKS for n in range(7)
             for row in days("O" * 4, domain=f"usual-{n}.example", probe_asn=asn)]  # fmt: skip
    found = verdict(judge([*rows, *usual]))
    assert found["state"] == expected
    if expected == "impaired":
        assert found["set_aside_reason"] == "impaired"  # nobody knows that the site refuses
        assert "looks the same" in found["note"]


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        ("O" * 20 + "T" * 6 + "O" * 14, "O" * 40, "impaired"),
        ("O" * 20 + "S" * 6 + "O" * 14, "O" * 40, "impaired"),
        ("O" * 34 + "T" * 6, "O" * 40, "impaired"),
        ("O" * 20 + "T" * 6 + "O" * 14, "", "impaired"),
        ("O" * 20 + "T" * 6 + "O" * 14, "." * 22 + "T", "impaired"),
        ("O" * 20 + "T" * 12 + "O" * 8, "O" * 40, "likely_blocked"),
        ("O" * 20 + "R" * 6 + "O" * 14, "O" * 40, "likely_blocked"),
        ("O" * 10 + "T" * 6 + "O" * 12 + "T" * 6 + "O" * 6, "O" * 40, "likely_blocked"),
        ("O" * 20 + "T" * 6 + "O" * 14, "O" * 20 + "T" * 6 + "O" * 14, "likely_blocked"),
    ],
    ids=["time-outs for six days", "handshakes too", "the last six days", "nobody else tested",
         "one session elsewhere",
         "time-outs for twelve days", "resets for six days", "twice", "on two networks at once"],
)  # fmt: skip
def test_a_route_that_is_lost_for_days_is_no_block(mine: str, others: str, expected: str) -> None:
    """What every network shows: a few days of time-outs on one network, once; what lasts, comes
    again, has company or has somebody who answers, is a block."""
    usual = [row for asn in ALL_NETWORKS for n in range(7)
             for row in days("O" * 4, domain=f"usual-{n}.example", probe_asn=asn)]  # fmt: skip
    third = days("O" * len(others), probe_asn=ALL_NETWORKS[2])
    found = verdict(judge([*days(mine), *days(others, probe_asn=ALL_NETWORKS[1]), *third, *usual]))
    assert found["state"] == expected
    if expected == "impaired":
        assert found["set_aside_reason"] == "impaired"
        assert "a lost route looks the same" in found["note"]
    elif "T" in mine and len(mine.replace("O", "")) < 12:
        assert found["sessions_to_flip"] == 1


def test_a_long_block_is_one_in_the_half_that_holds_little_of_it() -> None:
    """Six days before the split, and on: no lost route, in either half."""
    usual = [row for n in range(7) for row in days("O" * 4, domain=f"usual-{n}.example")]
    found = judge([*days("O" * 39 + "T" * 30), *usual])
    for period in ("all", "first", "second"):
        assert verdict(found, period)["state"] == "likely_blocked"


def test_failures_of_which_no_layer_has_half_are_no_block() -> None:
    """As many lookups, connections and handshakes fail: chance has many ways, a block has one."""
    usual = [row for n in range(7) for row in days("O" * 4, domain=f"usual-{n}.example")]
    assert verdict(judge([*days("BRT" * 4), *usual]))["state"] == "impaired"
    assert verdict(judge([*days("BRB" * 4), *usual]))["state"] == "likely_blocked"
    # a box that reads the name cuts handshakes and plain requests: that is one way
    assert verdict(judge([*days("RPT" * 4), *usual]))["state"] == "likely_blocked"


def test_failures_of_every_kind_are_no_block_by_the_kind_that_is_firmest() -> None:
    """Two server failures among time-outs of three layers: half of the sessions have one cause."""
    usual = [row for n in range(7) for row in days("O" * 4, domain=f"usual-{n}.example")]
    assert verdict(judge([*days("VEWTVTSO"), *usual]))["state"] == "impaired"
    assert verdict(judge([*days("VEWEVWEO" * 2), *usual]))["state"] == "likely_blocked"


def test_days_that_were_picked_for_failing_must_be_more_than_chance() -> None:
    """Six failed lookups in two months of a site that is down, on a flaky network."""
    letters = "D" * 20 + "VVV" + "D" * 9 + "VVV" + "D" * 20
    flaky = [row for n in range(8) for row in days("OOOV" * 6, domain=f"usual-{n}.example")]
    assert verdict(judge([*days(letters), *flaky]))["state"] == "down"


def test_time_outs_between_two_blocks_do_not_join_them() -> None:
    """What only a block leaves began and ended twice; stray time-outs come all the time."""
    found = judge(days("O" * 15 + "L" * 15 + "TOT" * 5 + "L" * 15 + "O" * 15))
    blocks = found.intervals[found.intervals["mechanism"] == "dns.loopback"]
    assert blocks["blocked_from"].tolist() == ["2024-01-16", "2024-02-15"]
    assert blocks["blocked_until"].tolist() == ["2024-01-30", "2024-02-29"]


def test_a_networks_own_private_answer_beside_users_filters_that_give_the_same() -> None:
    """Local filters: everybody gets it for five names, and some for seven more, which are a
    filter's."""
    rows = []
    for day in range(24):
        for user in ("plain", "filtered")[: 1 + (day % 3 == 0)]:
            for n in range(12):
                # the network lifts one of its five for a week
                is_network = n < 5 and not (n == 2 and 9 <= day < 16)
                letter = "L" if is_network or user == "filtered" else "O"
                rows += [
                    {**row, "software_version": ("3.20.0", "3.23.0")[day % 2]}
                    for row in days(
                        letter, start=day, domain=f"n{n}.example", report_id=f"{user}-{day}"
                    )
                ]
    found = judge(rows)
    assert verdict(found, domain="n1.example")["state"] == "blocked"
    assert verdict(found, domain="n2.example")["state"] == "blocked"
    assert verdict(found, domain="n9.example")["state"] not in LISTED


def test_a_site_that_refuses_the_country_may_let_a_tunnel_in() -> None:
    """A refusal is asked of the access networks: here all three are refused, and the one VPN is
    not."""
    found = verdict(judge([*everywhere("F" * 12), *days("O" * 12, probe_asn=VPN)]))
    assert (found["state"], found["set_aside_reason"]) == ("impaired", "geo_restricted")


@pytest.mark.parametrize(
    ("letter", "resolver", "expected"),
    [("L", 64999, "ok"), ("B", 64999, "ok"), ("L", ALL_NETWORKS[1], "blocked")],
    ids=["a filter abroad", "no such name, abroad", "another network of the country"],
)
def test_a_resolver_that_a_user_chose_accuses_no_network(
    letter: str, resolver: int, expected: str
) -> None:
    """Whose resolver: the network's own resolver gives the site; only one of the country says
    otherwise."""
    own = days("O" * 30)
    chosen = [
        {**row, "report_id": f"{row['report_id']}-chosen"}
        for row in days(letter * 30, per_day=2, resolver_asn=resolver)
    ]
    assert verdict(judge([*own, *chosen]))["state"] == expected


def test_few_sessions_through_its_own_resolver_do_not_speak_for_a_network() -> None:
    """Its subscribers use a sister's resolver, which blocks; a public one does not."""
    sister = days("B." * 20, resolver_asn=ALL_NETWORKS[1])
    public = days(".O" * 20, resolver_asn=64999)
    own = days("........B", report_id="own")
    for rows in ([*sister, *public], [*sister, *public, *own]):
        assert verdict(judge(rows))["state"] == "likely_blocked"


def test_a_half_without_a_session_through_the_countrys_resolvers_is_insufficient() -> None:
    """The first half is seen through its own resolver, the second through a public one."""
    own = days("B" * 30)
    public = days("." * 50 + "O" * 30, resolver_asn=64999)
    found = judge([*own, *public])
    states = {period: verdict(found, period)["state"] for period in ("all", "first", "second")}
    assert states == {
        "all": "likely_blocked", "first": "likely_blocked", "second": "insufficient",
    }  # fmt: skip


def test_single_sessions_of_thin_networks_take_nothing_back() -> None:
    """What every network shows needs as many sessions elsewhere as a state needs here."""
    mine = days("R" * 40)
    for count, expected in ((1, "likely_blocked"), (2, "impaired")):
        thin = [
            row for asn in ALL_NETWORKS[1:]
            for row in days("." * 9 + "R" * count, probe_asn=asn, resolver_asn=asn)
        ]  # fmt: skip
        assert verdict(judge([*mine, *thin]))["state"] == expected


@pytest.mark.parametrize(
    ("versions", "expected"), [(("3.20.0", "3.23.0"), "blocked"), (("3.20.0",), "impaired")]
)
def test_a_private_answer_that_is_lifted_and_imposed_again(
    versions: tuple[str, ...], expected: str
) -> None:
    """Local filters: what sessions of several versions get for a while is the network's; what those
    of one do may be a user's filter, who is alone there for a week."""
    rows = days("O" * 10 + "L" * 10 + "O" * 25 + "L" * 12 + "O" * 10)
    found = judge(
        {**row, "software_version": versions[n % len(versions)]} for n, row in enumerate(rows)
    )
    assert verdict(found)["state"] == expected
    if expected == "blocked":
        assert found.intervals["blocked_from"].tolist() == ["2024-01-11", "2024-02-15"]
        assert found.intervals["blocked_until"].tolist() == ["2024-01-20", "2024-02-26"]


def test_pages_as_long_as_each_site_are_no_block_pages() -> None:
    """Five sites without titles on an address that no control is given, on every network: whoever
    parks or caches them serves each its own."""

    def rows(proportion: float) -> list[Row]:
        edge = answer("198.51.100.7", 64499, match="none")
        page = http_observation(
            dns_answers=[edge], tcp=[connect("198.51.100.7", port=80, match="none")],
            http_title=None, title_match=None, body_proportion=proportion,
        )  # fmt: skip
        return [
            {**page, "http_body_digest": "one page", **changes}
            for asn in ALL_NETWORKS for n in range(5)
            for changes in ({key: row[key] for key in (
                "domain", "http_host", "input", "measurement_start_time", "report_id",
                "probe_asn", "resolver_asn")} for row in days(
                    "O" * 8, domain=f"p{n}.example", probe_asn=asn, resolver_asn=asn))
        ]  # fmt: skip

    assert verdict(judge(rows(1.0)), domain="p1.example")["state"] not in LISTED
    assert verdict(judge(rows(0.1)), domain="p1.example")["state"] == "blocked"


def test_what_another_resolver_answers_moves_no_date_of_a_dns_block() -> None:
    """Whose resolver: the network's own resolver blocks to the end, while a public one tells the
    truth."""
    own = days("O" * 10 + "B" * 20, resolver_asn=PROBE_NETWORK)
    public = days("." * 12 + "O" + "." * 15 + "OO", per_day=2, domain=NAME, resolver_asn=64999)
    public = [{**row, "report_id": row["report_id"] + "-public"} for row in public]
    found = judge([*own, *public], until="2024-01-31", split="2024-01-16")
    assert dates(found) == ("2024-01-11", "", "")
    (interval,) = found.intervals.to_dict("records")
    assert interval["first_seen_open_again"] == ""


def test_a_detour_through_anothers_resolver_acquits_nobody() -> None:
    """Whose resolver: half the sessions ask another ISP's resolver, which answers well; the
    network's own does not, and that is what its subscribers are given."""
    own = days("L.L.L.L.L.L.L.L.")
    borrowed = days(".O.O.O.O.O.O.O.O", resolver_asn=ALL_NETWORKS[1])
    assert verdict(judge([*own, *borrowed]))["state"] == "blocked"


@pytest.mark.parametrize(
    ("letters", "expected"),
    [("R" * 5 + "OOO", "impaired"), ("R" * 12, "likely_blocked"), ("B" * 5, "likely_blocked")],
)
def test_chance_on_a_flaky_network_is_no_block(letters: str, expected: str) -> None:
    """Resets that the network's other sites meet as well are listed only where they are far more
    common; a resolver's answer is no chance."""
    others = [row for n in range(8) for row in days("OR" * 6, domain=f"usual-{n}.example")]
    assert verdict(judge([*days(letters), *others]))["state"] == expected


def test_an_answer_through_anothers_resolver_accuses_nobody() -> None:
    """Whose resolver: the note says whose resolver was asked; a public one is not named as the one
    at fault."""
    found = verdict(judge(days("L" * 10, resolver_asn=64999)))
    assert found["state"] == "blocked"
    assert found["resolver_asns"] == "AS64999"
    assert found["note"] == "at least since; not tested since; seen through the resolver of AS64999"
    own = verdict(judge(days("L" * 10)))
    assert "resolver" not in own["note"]


def test_counts_add_up() -> None:
    """Every measurement is in exactly one class."""
    table = judge(days("BODUNBODUNOOOO")).verdicts
    parts = table[["blocked_count", "down_count", "ok_count", "unknown_count"]].sum(axis=1)
    assert parts.tolist() == table["measurement_count"].tolist()


def test_the_order_of_rows_changes_nothing() -> None:
    """The same measurements from other files, in another order, give the same tables."""
    rows = [*days("O" * 9 + "B" * 12 + "O" * 12), *days("L" * 9 + "R" * 9, domain="two.example"),
            *days("BRBRBR", domain="tie.example", probe_asn=PROBE_NETWORK + 1)]  # fmt: skip
    shuffled = rows.copy()
    random.Random(3).shuffle(shuffled)
    one, other = judge(rows), judge(shuffled)
    assert_frame_equal(one.verdicts, other.verdicts)
    assert_frame_equal(one.intervals, other.intervals)
