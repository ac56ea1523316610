"""From days of measurements to a verdict with dates, counts and a witness."""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.confirmation import confirm
from analysis.explorer import countries_url, measurement_url
from analysis.period import Period
from analysis.rules import Thresholds
from analysis.study import Study
from analysis.verdicts import Judgement
from analysis.words import LISTED
from tests.observations import (
    PROBE_NETWORK,
    Row,
    answer,
    connect,
    connection_with,
    control_answer,
    handshake,
    http_observation,
    no_control,
    no_response,
    observation,
)
from tests.situations import (
    NXDOMAIN,
    TIMEOUT,
    dead,
    fingerprints_for,
    misled,
    other_page,
    redirected,
    site_down,
    unconnected,
    unresolved,
    unshaken,
)


def gone_around(failure: str) -> Row:
    """The lookup fails, and the site answers at the control's address with its certificate."""
    return observation(dns_failure=failure, dns_answers=[], tcp=[connect(is_answer=False)],
                       tls=[handshake(is_answer=False)], http_first_is_answer=False)  # fmt: skip


NAME, VPN = "news.example", 64510
ALL_NETWORKS = [PROBE_NETWORK, PROBE_NETWORK + 1, PROBE_NETWORK + 2]
#: One letter, one session: Blocked, Open, Down, Unclear, No control, Loopback, Reset, Time-out,
#: Man in the middle, Stalled handshake, Waiting for the resolver, the same and gone Around it,
#: Forbidden by the site, the Page reset, serVer failure, the same and Gone around, the resolver
#: latE (EAI_AGAIN).
LETTERS: dict[str, Row] = {
    "B": unresolved(NXDOMAIN),
    "O": observation(),
    "D": unconnected(TIMEOUT, control_ok=False, **site_down()),
    "U": other_page(),
    "N": {**unresolved(NXDOMAIN), **no_control()},
    "L": misled("127.0.0.1", dns_answers=[
        {"address": "127.0.0.1", "asn": None, "special": "loopback", "match": "none"}]),
    "R": unshaken("connection_reset"),
    "T": unconnected(TIMEOUT),
    "M": unshaken("ssl_invalid_hostname"),
    "S": unshaken(TIMEOUT),
    "W": unresolved(TIMEOUT),
    "A": gone_around(TIMEOUT),
    "G": gone_around("dns_server_misbehaving"),
    "F": other_page(http_status=403, status_code_match=False),
    "P": http_observation(**no_response(http_failure="connection_reset")),
    "V": unresolved("dns_server_misbehaving"),
    "E": unresolved("dns_temporary_failure"),
}  # fmt: skip
DAY_ONE = datetime(2024, 1, 1, 8)


def days(letters: str, *, per_day: int = 1, start: int = 0, **changes: Any) -> list[Row]:
    """One session (or more) a letter, one letter a day; ``.`` is a day without a test."""
    rows = []
    domain = changes.get("domain", NAME)
    asn = changes.get("probe_asn", PROBE_NETWORK)
    for day, letter in enumerate(letters, start=start):
        for number in range(per_day * (letter != ".")):
            moment = DAY_ONE + timedelta(days=day, minutes=number)
            report = f"{moment:%Y%m%d}-{domain}-{asn}-{number}"
            rows.append({**LETTERS[letter], "domain": domain, "http_host": domain, "input": f"https://{domain}/",
                         "measurement_start_time": moment, "report_id": report,
                         "http_body_digest": f"page of {domain}", **changes})  # fmt: skip
    return rows


def judge(
    rows: Iterable[Row], *, until: str = "2024-04-01", split: str = "2024-02-15",
    is_fictional: bool = False,
) -> Judgement:  # fmt: skip
    """The judgement of a study from 1 January 2024, of which ``confirm`` reads four things."""
    whole = Period.parse("2024-01-01", until)
    first, second = whole.split(split)
    networks = pd.DataFrame({
        "probe_asn": [*ALL_NETWORKS, VPN], "operator": ["One", "Two", "Three", "Tunnel"],
        "is_domestic": [True, True, True, False],
    })  # fmt: skip
    study = SimpleNamespace(
        connection=connection_with(rows), is_fictional=is_fictional,
        periods={"all": whole, "first": first, "second": second}, fingerprints=fingerprints_for(1),
    )  # fmt: skip
    return confirm(cast(Study, study), networks, Thresholds())


def verdict(found: Judgement, period: str = "all", domain: str = NAME,
            asn: int = PROBE_NETWORK) -> Any:  # fmt: skip
    """The one row of a site on a network in a period."""
    table = found.verdicts
    rows = table[
        (table["domain"] == domain) & (table["probe_asn"] == asn) & (table["period"] == period)
    ]
    assert len(rows) == 1
    return rows.iloc[0]


def dates(found: Judgement, period: str = "all") -> tuple[str, str, str]:
    row = verdict(found, period)
    return row["blocked_from"], row["blocked_until"], row["note"]


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


def test_each_half_is_judged_by_its_own_sessions() -> None:
    """A block imposed at the split leaves the first half open."""
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
    """G6: what fails in most countries is not blocked in one; the link cannot be led astray."""
    period = Period.parse("2024-01-01", "2024-07-01")
    url = urlsplit(countries_url('x.example&probe_cc=QQ"><script>', period))
    assert parse_qs(url.query, strict_parsing=True) == {
        "test_name": ["web_connectivity"], "domain": ['x.example&probe_cc=QQ"><script>'],
        "since": ["2024-01-01"], "until": ["2024-07-01"], "time_grain": ["month"],
        "axis_x": ["measurement_start_day"], "axis_y": ["probe_cc"],
    }  # fmt: skip
    assert not set(url.query) & set('"<> ')


@pytest.mark.parametrize("count", [1, 500])
def test_one_report_of_any_size_lists_nothing(count: int) -> None:
    """G10: one report is one witness, however many rows it holds."""
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
        assert pd.isna(row.blocked_share) == (counts["B"] + counts["O"] == 0)
        if pd.notna(row.blocked_share):
            low, high = row.blocked_share_low, row.blocked_share_high
            assert low - 1e-9 <= row.blocked_share <= high + 1e-9


def everywhere(letters: str, domain: str = NAME, hoster: int = 64496) -> list[Row]:
    """The same days on every access network, of a site in a hoster's network."""
    return [
        row
        for asn in ALL_NETWORKS
        for row in days(letters, domain=domain, probe_asn=asn, resolver_asn=asn,
                        control_answers=[control_answer("192.0.2.10", hoster)])
    ]  # fmt: skip


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
    """G6, G8: a site that is away, or refuses the country, looks the same and is not listed; what
    no site can do, what began while it was tested, and what many hosts cannot share, is."""
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
    """G6: a few days of time-outs on one network, once; what lasts, comes again, has company or
    has somebody who answers, is a block."""
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


def test_a_listing_that_leans_on_another_network_falls_as_soon_as_that_one_does() -> None:
    """G10 across networks: time-outs on a third network keep 40 resets on two listed; whoever
    forges resets there takes that away, and not with fewer than the number says."""
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
    """G10: nine in ten time out, a fifth of them at another layer, which does not hold the block:
    fewer forged sessions than all of them would bear take it away, and none below the number."""
    usual = [row for n in range(7) for row in days("O" * 4, domain=f"usual-{n}.example")]
    stalling = days(".".join("TTTTSTTTTSTTTTSTTTTSOO"))
    printed = int(verdict(judge([*stalling, *usual]))["sessions_to_flip"])
    for count, is_listed in ((printed - 1, True), (3, False)):
        forged = [
            row for n in range(count) for row in days("O", start=20 + n, report_id=f"forged-{n}")
        ]
        found = verdict(judge([*stalling, *forged, *usual]))
        assert (found["state"] == "likely_blocked") == is_listed


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
    """G3: everybody gets it for five names, and some for seven more, which are a filter's."""
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
    """G8 asks the access networks: here all three are refused, and the one VPN is not."""
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
    """G3, G4: the network's own resolver gives the site; only one of the country says otherwise."""
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
    """G6 needs as many sessions elsewhere as a state needs here."""
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
    """G3: what sessions of several versions get for a while is the network's; what those of one
    do may be a user's filter, who is alone there for a week."""
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
    """G4: the network's own resolver blocks to the end, while a public one tells the truth."""
    own = days("O" * 10 + "B" * 20, resolver_asn=PROBE_NETWORK)
    public = days("." * 12 + "O" + "." * 15 + "OO", per_day=2, domain=NAME, resolver_asn=64999)
    public = [{**row, "report_id": row["report_id"] + "-public"} for row in public]
    found = judge([*own, *public], until="2024-01-31", split="2024-01-16")
    assert dates(found) == ("2024-01-11", "", "")
    (interval,) = found.intervals.to_dict("records")
    assert interval["first_seen_open_again"] == ""


def test_fewer_forged_sessions_than_printed_move_no_state() -> None:
    """G10, by forging: one short of ``sessions_to_flip``, wherever in the block (or in the open
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


def test_a_detour_through_anothers_resolver_acquits_nobody() -> None:
    """G4: half the sessions ask another ISP's resolver, which answers well; the network's own does
    not, and that is what its subscribers are given."""
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
    """G4: the note says whose resolver was asked; a public one is not named as the one at fault."""
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
