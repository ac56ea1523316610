"""From days of measurements to a verdict with dates, counts and a witness."""

import random
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.period import Period
from analysis.verdicts.states import STATES_BY_STRENGTH
from analysis.verdicts.verdicts import Judgement
from analysis.verdicts.witnesses import countries_url, measurement_url
from analysis.vocabulary import LISTED
from tests.letters import (
    ALL_NETWORKS,
    DAY_ONE,
    NAME,
    VPN,
    days,
    everywhere,
    judge,
    site,
    verdict,
)
from tests.observations import (
    PROBE_NETWORK,
    Row,
    answer,
    connect,
    http_observation,
)
from tests.situations import dead, leftover, misled, redirected
from tests.table_rows import as_written

SPLIT = "2024-02-15"  # where halves meet that a test looks at


def _of_the_country() -> list[Row]:
    """A country of many sites: those of every test that changes nothing else."""
    usual = [
        row
        for asn in ALL_NETWORKS
        for n in range(7)
        for row in site(f"usual-{n}", "O" * 12, asn=asn)
    ]
    sites = [row for name, (letters, _) in DATES.items() for row in site(name, letters)]
    open_elsewhere = [row for name in DATES for row in site(name, "O..." * 22, asn=ALL_NETWORKS[1])]
    elsewhere = [
        row
        for name in ("for-six-days", "long-over-the-split")
        for row in site(name, "O" * 80, asn=ALL_NETWORKS[1])
    ]
    others = [
        *site("with-a-hole", "B" * 10 + "." * 40 + "B" * 10),
        *site("loop", "L" * 10),
        *site("marked-twice", "O" * 20 + "L" + "O" * 20 + "L" + "O" * 20),
        *site("marked-once", "O" * 20 + "L" + "O" * 40),
        *site("two-ways", "B" * 9 + "R" * 8),
        *site("tie", "BR" * 6),
        *site("all-along", "B" * 90),
        *site("opened-between", "LLL" + "OOOO" + "LLL"),
        *site("for-six-days", "O" * 20 + "T" * 6 + "O" * 54),
        *site("since-the-split", "O" * 45 + "B" * 40),
        *site("long-over-the-split", "O" * 39 + "S" * 30),
        *site("marked-before-the-split", "." * 36 + "L" * 9 + "LBBBB"),
        *site("time-outs-between", "O" * 15 + "L" * 15 + "TOOT" * 3 + "L" * 15 + "O" * 15),
        *(row for name, letters in KINDS.items() for row in site(name, letters)),
        *({**row, "resolver_asn": 64999} for row in site("asked-abroad", "L" * 10)),
        *site("private-again", "O" * 10 + "L" * 10 + "O" * 25 + "L" * 12 + "O" * 10),
        *(
            {
                **redirected("elsewhere.example", "connection_reset"),
                "report_id": f"sent-on-{n}",
                "domain": "sent-on.example",
                "measurement_start_time": DAY_ONE + timedelta(days=n),
            }
            for n in range(20)
        ),
        *everywhere("F" * 12, "refuses.example"),
        *site("refuses", "O" * 12, asn=VPN),
        *everywhere("FOO" * 5, "challenge.example"),
        *everywhere("FBB" * 5, "challenged.example"),
        *_across_the_split(),
        *_begun_before_it(),
        *(
            {**row, **({"resolver_asn": 64999} if letter == "L" else {})}
            for row, letter in zip(site("chosen", "OOL" * 4), "OOL" * 4, strict=True)
        ),
    ]
    for name, (resolver, _) in FILTERS.items():
        others += site(name, "O" * 30)
        chosen = {"resolver_asn": resolver}
        others += [
            {**row, "report_id": f"{row['report_id']}-chosen", **chosen}
            for row in site(name, "L" * 30, per_day=2)
        ]
    return [*usual, *sites, *open_elsewhere, *elsewhere, *others, *_short_ones(), *_by_hours()]


#: A filter that answers through a resolver: site → whose, and the state of the network, whose own
#: resolver gives the site.
FILTERS = {"filter-abroad": (64999, "ok"), "filter-at-home": (ALL_NETWORKS[1], "blocked")}


@cache
def country() -> Judgement:
    """What is judged of it."""
    return judge(_of_the_country(), split=SPLIT)


def seen(name: str, period: str = "all", asn: int = PROBE_NETWORK) -> Any:
    """The verdict on a site of the country."""
    return verdict(country(), period, f"{name}.example", asn)


def _intervals(name: str, found: Judgement | None = None) -> pd.DataFrame:
    table = (found or country()).intervals
    is_own = (table["domain"] == f"{name}.example") & (table["probe_asn"] == PROBE_NETWORK)
    return as_written(table[is_own])


#: Site → its days until 31 March, and what its dates are.
DATES: dict[str, tuple[str, tuple[str, str, str]]] = {
    "imposed": ("O" * 46 + "B" * 45, ("2024-02-16", "", "")),
    "lifted": ("B" * 20 + "O" * 71, ("2024-01-01", "2024-01-20", "at least since")),
    "imposed-twice": ("O" * 20 + "B" * 20 + "O" * 31 + "B" * 20, ("2024-01-21", "", "")),
    "imposed-and-lifted": ("O" * 20 + "B" * 20 + "O" * 51, ("2024-01-21", "2024-02-09", "")),
    "30-days-before-the-end": ("O" * 42 + "B" * 20, ("2024-02-12", "", "")),
    "31-days-before-the-end": (
        "O" * 41 + "B" * 20,
        ("2024-02-11", "2024-03-01", "not tested since"),
    ),
    "never-seen-open": ("B" * 20, ("2024-01-01", "2024-01-20", "at least since; not tested since")),
    "down-at-the-end": ("O" * 60 + "B" * 20 + "D", ("2024-03-01", "2024-03-20", "")),
    "no-control-at-the-end": ("O" * 60 + "B" * 20 + "NNN", ("2024-03-01", "", "")),
    "never-blocked": ("O" * 30, ("", "", "")),
}


@pytest.mark.parametrize("name", DATES)
def test_dates(name: str) -> None:
    """``blocked_until`` is empty only if the last thing known, not long ago, was a block."""
    row = seen(name)
    assert (row["blocked_from"], row["blocked_until"], row["note"]) == DATES[name][1]


def test_a_block_imposed_twice_is_two_intervals() -> None:
    """With the moments around each, and what the cell was seen to be in between."""
    found = _intervals("imposed-twice")
    edges = ["last_seen_open", "blocked_from", "blocked_until", "first_seen_open_again"]
    days_around = [
        ["2024-01-20", "2024-01-21", "2024-02-09", "2024-02-10"],
        ["2024-03-11", "2024-03-12", "2024-03-31", ""],
    ]
    assert found[edges].to_numpy().tolist() == days_around
    moments = found[[f"{edge}_time" for edge in edges]].to_numpy().tolist()
    assert moments == [[day and f"{day}T08:00:00" for day in row] for row in days_around]
    assert found["measurement_count"].tolist() == found["session_count"].tolist() == [20, 20]
    assert found["state"].tolist() == ["likely_blocked"] * 2
    assert (found["evidence"] > 3).all()


def test_an_opening_makes_no_block_weaker() -> None:
    """Three sessions before it and three after it are a block of six, with its own four edges. Two
    stretches with nothing between them are one interval with a hole in it."""
    assert _intervals("with-a-hole")["longest_gap_days"].tolist() == [41]
    assert seen("opened-between")["state"] == "blocked"
    assert _intervals("opened-between")[["blocked_from", "blocked_until"]].to_numpy().tolist() == [
        ["2024-01-01", "2024-01-03"],
        ["2024-01-08", "2024-01-10"],
    ]


def _short_ones() -> list[Row]:
    """Two days of seven sessions each, a month before eleven days of two; and two days alone."""
    beside = [
        *site("short-beside-long", "O" * 20),
        *site("short-beside-long", "RR", start=20, per_day=7),
        *site("short-beside-long", "O" * 28, start=22),
        *site("short-beside-long", "R" * 11, start=50, per_day=2),
        *site("short-beside-long", "O" * 20, start=61),
    ]
    alone = [
        *site("short-alone", "O" * 6, start=14),
        *site("short-alone", "LL", start=20, per_day=7),
        *site("short-alone", "O" * 6, start=22),
    ]
    twice = [
        *site("short-twice", "O" * 12),
        *site("short-twice", "LL", start=12, per_day=3),
        *site("short-twice", "O" * 9, start=14),
        *site("short-twice", "LL", start=23, per_day=3),
        *site("short-twice", "O" * 40, start=25),
    ]
    return [*beside, *alone, *twice]


def test_a_short_stretch_beside_a_longer_one_has_its_own_dates() -> None:
    """The floor of days is there against chance and forgery, not against short blocks."""
    found = _intervals("short-beside-long")
    assert found[["blocked_from", "blocked_until"]].to_numpy().tolist() == [
        ["2024-01-21", "2024-01-22"],
        ["2024-02-20", "2024-03-01"],
    ]
    assert seen("short-beside-long")["blocked_from"] == "2024-01-21"


def test_marks_on_two_days_are_withheld_with_their_dates_and_never_ok() -> None:
    """However many sessions reach the site besides: no conclusion, and the reader is told when and
    why. One day of them is a stray."""
    row = seen("short-alone")
    assert (row["state"], row["insufficient_reason"]) == ("insufficient", "mixed")
    assert "too few sessions or days" in row["note"]
    withheld = as_written(country().withheld.query("domain == 'short-alone.example'")).iloc[0]
    assert (withheld["blocked_from"], withheld["blocked_until"]) == ("2024-01-21", "2024-01-22")
    assert (withheld["reason"], withheld["chance"]) == (row["note"], "")
    assert _intervals("short-alone").empty
    assert (seen("marked-twice")["state"], seen("marked-twice")["insufficient_reason"]) == (
        "insufficient",
        "mixed",
    )
    assert (seen("marked-once")["state"], seen("marked-once")["sessions_to_flip"]) == ("ok", 1)


def _by_hours() -> list[Row]:
    """Reset on weekdays from 4 to 8 UTC for four weeks; a session every third hour, for nine."""
    rows = []
    for day in range(63):
        for hour in range(0, 24, 3):
            moment = datetime(2024, 1, 1, hour, 30) + timedelta(days=day)
            is_blocked = 14 <= day < 42 and day % 7 < 5 and hour in (6,)
            rows += site(
                "exams",
                "R" if is_blocked else "O",
                measurement_start_time=moment,
                report_id=f"exams-{day}-{hour}",
            )
    return rows


def test_a_block_by_hours() -> None:
    """Counts, shares and dates are those of its hours; it is listed, though an eighth fails."""
    (found,) = _intervals("exams").to_dict("records")
    assert found["schedule"] == "Mon-Fri 06:00-07:00"
    assert (found["blocked_from_time"], found["blocked_until_time"]) == (
        "2024-01-15T06:30:00",
        "2024-02-09T06:30:00",
    )
    assert (found["session_count"], found["day_count"]) == (20, 20)
    assert (found["last_seen_open_time"], found["first_seen_open_again_time"]) == (
        "2024-01-12T06:30:00",
        "2024-02-12T06:30:00",
    )
    row = seen("exams")
    assert (row["state"], row["schedule"]) == ("likely_blocked", "Mon-Fri 06:00-07:00")
    assert row["blocked_share"] == 1
    assert row["blocked_session_count"] == 20 < row["ok_session_count"]
    assert (row["chance"], row["evidence"] > 6) == ("1.0e-03", True)


def test_a_block_imposed_at_the_split_leaves_the_first_half_open() -> None:
    """Counts, shares and dates of a half are those of its own sessions."""
    first, second = (seen("since-the-split", half) for half in ("first", "second"))
    assert (first["state"], second["state"]) == ("ok", "likely_blocked")
    assert (first["blocked_share"], second["blocked_share"]) == (0.0, 1.0)
    assert not any(first[["blocked_from", "blocked_until", "note"]])
    assert second["blocked_from"] == "2024-02-15"
    assert first["measurement_count"] + second["measurement_count"] == 85


def test_a_verdict_names_its_rule_only_if_it_is_listed() -> None:
    """Mechanism, rule, chance and witness belong to blocks; a mark needs no chance."""
    blocked, opened, loop = seen("imposed"), seen("never-blocked"), seen("loop")
    assert (blocked["rule_id"], blocked["mechanism"]) == ("dns.nxdomain", "dns.nxdomain")
    assert blocked["witness_url"].startswith("https://explorer.ooni.org/measurement/")
    assert blocked["resolver_asns"] == f"AS{PROBE_NETWORK}"
    assert (blocked["chance"], blocked["evidence"] > 6) == ("1.0e-03", True)
    told = (
        "rule_id",
        "mechanism",
        "witness_report_id",
        "witness_url",
        "resolver_asns",
        "chance",
        "schedule",
    )
    assert not any(opened[name] for name in told)
    assert (loop["state"], loop["chance"]) == ("blocked", "")


def test_mechanism_and_witness_are_typical() -> None:
    """Those of most blocked sessions, not rows, and a tie goes to the earlier layer; the witness is
    neither the first nor the last, which a forger would choose, nor of another rule. A block that
    goes on after the first half is witnessed in the first half all the same."""
    assert seen("two-ways")["mechanism"] == seen("tie")["mechanism"] == "dns.nxdomain"
    assert seen("two-ways")["witness_report_id"] == f"20240105-two-ways.example-{PROBE_NETWORK}-0"
    assert seen("all-along", "first")["blocked_until"] == ""
    assert seen("all-along", "first")["witness_report_id"] < "20240215"
    assert seen("all-along", "second")["witness_report_id"] >= "20240215"


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
        "test_name": ["web_connectivity"],
        "domain": ['x.example&probe_cc=QQ"><script>'],
        "since": ["2024-01-01"],
        "until": ["2024-07-01"],
        "time_grain": ["month"],
        "axis_x": ["measurement_start_day"],
        "axis_y": ["probe_cc"],
    }
    assert not set(url.query) & set('"<> ')


def _across_the_split() -> list[Row]:
    """A report that tests a site before midnight and after it."""
    (row,) = site("across", "O")
    before = datetime(2024, 2, 14, 23, 59)
    return [
        {**row, "report_id": "long", "measurement_start_time": before},
        {
            **row,
            "report_id": "long",
            "input": "http://across.example/",
            "measurement_start_time": before + timedelta(minutes=2),
        },
    ]


def test_a_session_across_the_split_is_of_the_day_it_began() -> None:
    """It has no state in the half in which it ends, and leaves no measurement without a session."""
    table = country().verdicts.query("domain == 'across.example'")
    assert table["period"].tolist() == ["all", "first"]
    assert table["state"].tolist() == ["insufficient"] * 2
    assert table[["session_count", "measurement_count"]].to_numpy().tolist() == [[1, 2]] * 2


def test_why_a_site_is_set_aside() -> None:
    """Each cell with problems that is not listed says what explains most of them; a site that is
    reached is never said to be tested too little."""
    runs = [
        {"report_id": f"g{n}", "measurement_start_time": DAY_ONE + timedelta(days=n)}
        for n in range(6)
    ]
    gone = [{**dead(domain="gone.example"), **run} for run in runs]
    gone[0] = {**leftover(domain="gone.example"), **runs[0]}  # one filter at home
    left = [
        {**leftover(domain="left.example"), **runs[0]},
        *({**dead(domain="left.example", probe_asn=ALL_NETWORKS[1]), **run} for run in runs[1:]),
    ]
    found = judge(
        [
            *days("L" * 10),
            *days("O" * 10, domain="open.example"),
            *gone,
            *left,
            *days("D" * 10, domain="down.example", is_anomaly=True),
            *days("U" * 10, domain="odd.example"),
            *days("BB", domain="thin.example"),
            *days("OOOOOOOOOOOOOOOB", domain="once.example"),
            *days("DDDDDDDDDDDDDB", domain="fades.example"),
            *days("L" * 10, domain="tunnel.example", probe_asn=VPN),
            *days("D" * 10, domain="down.example", probe_asn=ALL_NETWORKS[1], is_anomaly=True),
            *days("UUU", domain="down.example", probe_asn=ALL_NETWORKS[2], is_anomaly=True),
        ]
    )
    whole = found.verdicts[found.verdicts["period"] == "all"]
    down = whole[whole["domain"] == "down.example"]  # one reason a site, on every network
    assert down["set_aside_reason"].tolist() == ["down"] * 3
    assert dict(zip(whole["domain"], whole["set_aside_reason"], strict=True)) == {
        NAME: "",
        "open.example": "",
        "gone.example": "name_does_not_exist",
        "left.example": "leftover_block",
        "down.example": "down",
        "odd.example": "impaired",
        "thin.example": "insufficient",
        "once.example": "anomaly_unexplained",
        "fades.example": "down",
        "tunnel.example": "not_domestic",
    }


def test_the_reason_is_that_of_most_failures() -> None:
    """A filter that met the only failing session explains it; beside time-outs here and there it
    does not, and nothing else is known of these, however often one report says so."""

    def met(letters: str, domain: str) -> list[Row]:
        rows = [row for asn in ALL_NETWORKS for row in days(letters, domain=domain, probe_asn=asn)]
        return [*rows[1:], {**rows[0], **misled("146.112.61.106", domain=domain)}]

    found = judge(
        [
            *met("O" * 13, "one.example"),
            *met("OOOTOOOOSOOOO", "banner.example"),
            *met("O" * 7 + "T" * 6, "two.example"),
            *met("OOOTOOOOSOOOO", "flood.example"),
            *20 * met("O" * 13, "flood.example")[-1:],
        ]
    )
    whole = found.verdicts[found.verdicts["period"] == "all"]
    reasons = whole[whole["set_aside_reason"] != ""].groupby("domain")["set_aside_reason"].unique()
    assert {name: list(one) for name, one in reasons.items()} == {
        "one.example": ["local_filter"],
        "banner.example": ["anomaly_unexplained"],
        "two.example": ["impaired"],
        "flood.example": ["anomaly_unexplained"],
    }


def test_a_filter_that_another_resolver_brings_along() -> None:
    """Some sessions ask a resolver abroad, which gives an address that no site can have; the
    network's own give the site. Somebody chose that resolver."""
    row = seen("chosen")
    assert (row["state"], row["set_aside_reason"]) == ("ok", "local_filter")


def test_a_half_has_the_state_of_the_interval_that_reaches_into_it() -> None:
    """An interval is judged once. Three sessions of a block are too few for a half, and what is too
    little for the whole is so for a half; what is withheld is so in both."""
    late = {n: days("." * (45 - n) + "B" * (n + 9), domain=f"late-{n}.example") for n in (3, 4)}
    found = judge(
        [
            *everywhere("." * 25 + "R" * 40, "away.example"),
            *late[3],
            *late[4],
            *days("." * 43 + "BB", per_day=3),
            *days("." * 45 + "B" * 9),
            *(row for n in range(7) for row in everywhere("O" * 12, f"usual-{n}.example")),
        ],
        split=SPLIT,
    )

    def states(name: str) -> list[str]:
        return [verdict(found, period, name)["state"] for period in ("all", "first", "second")]

    assert states("late-3.example") == ["likely_blocked", "insufficient", "likely_blocked"]
    assert states("late-4.example") == ["likely_blocked"] * 3
    assert states(NAME)[1] == "insufficient"
    assert states("away.example") == ["impaired"] * 3
    reasons = {
        period: verdict(found, period, "late-3.example")["insufficient_reason"]
        for period in ("all", "first")
    }
    assert reasons == {"all": "", "first": "few_sessions"}
    assert verdict(found, "first")["insufficient_reason"] == "few_days"


def test_short_blocks_that_meet_the_floor_together_do_so_in_the_half_that_holds_them() -> None:
    """Two blocks of two days each, apart by access, which is all that the second half shows."""
    states = {period: seen("short-twice", period)["state"] for period in ("all", "first", "second")}
    assert states == {"all": "blocked", "first": "blocked", "second": "ok"}
    assert len(_intervals("short-twice")) == 2


def test_what_is_withheld_is_said_in_the_half_that_shows_it() -> None:
    """The half that shows access says nothing of a route that was lost in the other one."""
    first, second = (seen("for-six-days", period) for period in ("first", "second"))
    assert first["state"] == seen("for-six-days")["state"] == "impaired"
    assert first["note"] == seen("for-six-days")["note"] != ""
    assert (second["state"], second["note"]) == ("ok", "")


def test_a_half_is_told_by_its_own_artefacts() -> None:
    """What only a block leaves was met in the first half: the second is likely blocked."""
    periods = ("all", "first", "second")
    states = {period: seen("marked-before-the-split", period)["state"] for period in periods}
    assert states == {"all": "blocked", "first": "blocked", "second": "likely_blocked"}


def _begun_before_it() -> list[Row]:
    """Reports that begin before the split and meet the block after it."""
    rows = site("begun-before", "." * 45 + "B" * 20)
    for number in range(5):
        report = {"report_id": f"begun-{number}"}
        rows += site("begun-before", "N", start=38 + number, **report)
        rows += site("begun-before", "B", start=46 + number, **report)
    return rows


def test_a_block_of_another_site_is_not_this_sites() -> None:
    """What fails is where the input redirects to; the verdict is not the input's."""
    found = seen("sent-on")
    assert (found["state"], found["blocked_session_count"], found["mechanism"]) == (
        "impaired",
        0,
        "",
    )


def test_a_refusal_is_asked_of_the_access_networks() -> None:
    """All three are refused, and the one VPN is not; or most of what does not reach the site is
    refused by it, on each of them."""
    assert (seen("refuses")["state"], seen("refuses")["set_aside_reason"]) == (
        "impaired",
        "geo_restricted",
    )
    for asn in ALL_NETWORKS:
        assert seen("challenge", asn=asn)["set_aside_reason"] == "geo_restricted"
        assert seen("challenged", asn=asn)["set_aside_reason"] != "geo_restricted"


def test_a_filter_that_a_user_chose_accuses_no_network() -> None:
    """The network's own resolver gives the site; only one of the country says otherwise."""
    assert {name: seen(name)["state"] for name in FILTERS} == {
        name: state for name, (_, state) in FILTERS.items()
    }


def test_a_private_answer_that_is_lifted_and_imposed_again() -> None:
    assert seen("private-again")["state"] == "blocked"
    assert _intervals("private-again")[["blocked_from", "blocked_until"]].to_numpy().tolist() == [
        ["2024-01-11", "2024-01-20"],
        ["2024-02-15", "2024-02-26"],
    ]


def test_the_order_of_rows_changes_nothing() -> None:
    """The same measurements from other files, in another order, give the same tables."""
    shuffled = _of_the_country()
    random.Random(3).shuffle(shuffled)
    other = judge(shuffled, split=SPLIT)
    for name in ("verdicts", "intervals", "withheld", "chances"):
        assert_frame_equal(getattr(country(), name), getattr(other, name))


def test_no_half_is_listed_without_a_rule() -> None:
    """The sessions are the first half's, what shows the block is the second's. Nor is any other."""
    for period in ("all", "first", "second"):
        row = seen("begun-before", period)
        assert (row["state"] in LISTED) == (row["rule_id"] != "")
    assert seen("begun-before", "first")["blocked_session_count"] == 5
    table = country().verdicts
    assert (table["state"].isin(LISTED) == (table["rule_id"] != "")).all()


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
        (domain, period)
        for domain, letters in written.items()
        for period, span in spans.items()
        if set(letters[span]) != {"."}
    }
    told = table[table["period"] == "all"].set_index("domain")
    whole, whole_reason = told["state"], told["insufficient_reason"]
    rows_seen: Any = table.itertuples()
    for row in rows_seen:
        seen = written[row.domain][spans[row.period]]
        counts = {letter: seen.count(letter) for letter in "BODUN"}
        assert row.measurement_count == row.session_count == sum(counts.values())
        assert (row.blocked_count, row.ok_count, row.down_count) == (
            counts["B"],
            counts["O"],
            counts["D"],
        )
        assert row.state != "ok" or counts["O"] >= 4
        assert row.state not in ("blocked", "likely_blocked") or counts["B"] >= 4
        assert row.state == "insufficient" or sum(counts.values()) - counts["N"] >= 4
        order = STATES_BY_STRENGTH.index
        # A half may be open where the two together disagree.
        is_mixed = whole_reason[row.domain] == "mixed" and row.state == "ok"
        assert is_mixed or order(whole[row.domain]) <= order(row.state)
        assert pd.isna(row.blocked_share) == (counts["B"] + counts["O"] == 0)
        if pd.notna(row.blocked_share):
            low, high = row.blocked_share_low, row.blocked_share_high
            assert low - 1e-9 <= row.blocked_share <= high + 1e-9


def test_a_long_block_is_one_in_the_half_that_holds_little_of_it() -> None:
    """Six days before the split, and on: no lost route, in either half."""
    for period in ("all", "first", "second"):
        assert seen("long-over-the-split", period)["state"] == "likely_blocked"


#: Failures of several kinds, three of each: site → its days.
KINDS = {"mixed-kinds": "BRTBRTBRT", "name-and-page": "RPT" * 8, "two-lookups": "VEWEVWE" * 2}


def test_failures_of_several_kinds_are_not_one_block() -> None:
    """Three of each kind, none of them enough; a box that reads names cuts handshakes and plain
    requests, and a lookup that fails unsaid is as silent as one that times out."""
    states = [seen(name)["state"] for name in KINDS]
    assert states == ["impaired", "likely_blocked", "likely_blocked"]


def test_days_that_were_picked_for_failing_must_be_more_than_chance() -> None:
    """Six failed lookups in two months of a site that is down, on a flaky network."""
    letters = "D" * 20 + "VVV" + "D" * 9 + "VVV" + "D" * 20
    flaky = [row for n in range(8) for row in days("OOOV" * 6, domain=f"usual-{n}.example")]
    assert verdict(judge([*days(letters), *flaky]))["state"] == "down"


def test_time_outs_between_two_blocks_do_not_join_them() -> None:
    """What only a block leaves began and ended twice; stray time-outs come all the time."""
    found = _intervals("time-outs-between")
    blocks = found[found["mechanism"] == "dns.loopback"]
    assert blocks["blocked_from"].tolist() == ["2024-01-16", "2024-02-12"]
    assert blocks["blocked_until"].tolist() == ["2024-01-30", "2024-02-26"]


def test_one_site_that_is_busy_at_the_same_hours_everywhere() -> None:
    """Nobody connects on weekdays at six, on any network: hours alone are no block. Where the
    others connect at these hours, they are."""

    def hourly(name: str, failing: int) -> list[Row]:
        rows = []
        for number, asn in enumerate(ALL_NETWORKS):
            for day in range(42):
                for hour in (0, 6, 12, 18):
                    is_busy = number < failing and hour == 6 and day % 7 < 5
                    moment = datetime(2024, 1, 1, hour, 30) + timedelta(days=day)
                    rows += site(
                        name,
                        "T" if is_busy else "O",
                        asn=asn,
                        measurement_start_time=moment,
                        report_id=f"{name}-{asn}-{day}-{hour}",
                    )
        return rows

    usual = [row for n in range(12) for row in everywhere("O" * 42, f"usual-{n}.example")]
    found = judge([*usual, *hourly("busy", len(ALL_NETWORKS)), *hourly("cut-off", 1)])
    assert verdict(found, domain="busy.example")["state"] not in LISTED
    row = verdict(found, domain="cut-off.example")
    assert (row["state"], row["schedule"]) == ("likely_blocked", "Mon-Fri 06:00-07:00")


def test_hours_that_no_network_is_tested_often_enough_to_name() -> None:
    """Each network is tested once a day, five times at the hour of the order: too little to find it
    alone, and no day shows both. Together their sessions do, each in a manner of its own."""
    usual = [row for n in range(12) for row in everywhere("O" * 60, f"usual-{n}.example")]
    rows = []
    for letter, asn in zip("RSC", ALL_NETWORKS, strict=True):
        for day in range(55):
            hour = 2 * ((5 * day + asn) % 11)
            moment = datetime(2024, 1, 1, hour, 30) + timedelta(days=day)
            rows += site(
                "exam",
                letter if hour == 6 else "O",
                asn=asn,
                measurement_start_time=moment,
                report_id=f"{asn}-{day}",
            )
    found = judge([*usual, *rows])
    told = [verdict(found, domain="exam.example", asn=asn) for asn in ALL_NETWORKS]
    assert [row["state"] for row in told] == ["likely_blocked"] * 3
    assert all(row["schedule"].endswith(" 06:00-07:00") for row in told)


@cache
def resolvers() -> Judgement:
    """Sites seen through the network's own resolver, those of the country, and one abroad."""
    abroad, country_s = 64999, ALL_NETWORKS[1]

    def asked(name: str, letters: str, resolver: int) -> list[Row]:
        return [
            {**row, "resolver_asn": resolver, "report_id": f"{name}-{resolver}-{n}"}
            for n, row in enumerate(site(name, letters))
        ]

    own = PROBE_NETWORK
    return judge(
        [
            *(row for n in range(7) for row in everywhere("O" * 40, f"usual-{n}.example")),
            *asked("denied-abroad", "O" * 30, own),
            *asked("denied-abroad", "B" * 60, abroad),
            *asked("sisters", "B." * 20, country_s),
            *asked("sisters", ".O" * 20, abroad),
            *asked("hardly-own", "B." * 20, country_s),
            *asked("hardly-own", ".O" * 20, abroad),
            *asked("hardly-own", "........B", own),
            *asked("changed", "B" * 30, own),
            *asked("changed", "." * 50 + "O" * 30, abroad),
            *asked("detour", "B.B.B.B.B.B.B.B.", own),
            *asked("detour", ".O.O.O.O.O.O.O.O", country_s),
            *asked("until-the-end", "." * 60 + "O" * 11 + "B" * 20, own),
            *asked("until-the-end", "." * 75 + "O" + "." * 13 + "OO", abroad),
        ],
        split=SPLIT,
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("denied-abroad", ["ok", "ok", "insufficient"]),
        ("sisters", ["likely_blocked", "likely_blocked", ""]),
        ("hardly-own", ["likely_blocked", "likely_blocked", ""]),
        ("changed", ["likely_blocked", "likely_blocked", "insufficient"]),
        ("detour", ["likely_blocked", "likely_blocked", ""]),
        ("until-the-end", ["likely_blocked", "", "likely_blocked"]),
    ],
)
def test_whose_resolver_speaks_for_a_network(name: str, expected: list[str]) -> None:
    """Its own, or those of the country where it was hardly asked: what a resolver abroad answers
    neither accuses the network nor acquits it, in the whole or in a half."""
    table = resolvers().verdicts
    states = table[table["domain"] == f"{name}.example"].set_index("period")["state"]
    assert [states.get(period, "") for period in ("all", "first", "second")] == expected


def test_what_another_resolver_answers_moves_no_date_of_a_dns_block() -> None:
    """The network's own resolver blocks to the end, while a public one tells the truth."""
    row = verdict(resolvers(), domain="until-the-end.example")
    assert (row["blocked_from"], row["blocked_until"], row["note"]) == ("2024-03-12", "", "")
    (interval,) = _intervals("until-the-end", resolvers()).to_dict("records")
    assert interval["first_seen_open_again"] == ""


def test_pages_as_long_as_each_site_are_no_block_pages() -> None:
    """Five sites without titles on an address that no control is given, on every network: whoever
    parks or caches them serves each its own."""

    def rows(name: str, address: str, proportion: float) -> list[Row]:
        edge = answer(address, 64499, match="none")
        page = http_observation(
            dns_answers=[edge],
            tcp=[connect(address, port=80, match="none")],
            http_title=None,
            title_match=None,
            body_proportion=proportion,
        )
        return [
            {**page, "http_body_digest": f"one page {address}", **changes}
            for asn in ALL_NETWORKS
            for n in range(5)
            for changes in (
                {
                    key: row[key]
                    for key in (
                        "domain",
                        "http_host",
                        "input",
                        "measurement_start_time",
                        "report_id",
                        "probe_asn",
                        "resolver_asn",
                    )
                }
                for row in days(
                    "O" * 8, domain=f"{name}-{n}.example", probe_asn=asn, resolver_asn=asn
                )
            )
        ]

    found = judge([*rows("own", "198.51.100.7", 1.0), *rows("shorter", "198.51.100.8", 0.1)])
    assert verdict(found, domain="own-1.example")["state"] not in LISTED
    assert verdict(found, domain="shorter-1.example")["state"] == "blocked"


def test_chance_on_a_flaky_network_is_no_block() -> None:
    """Resets that the network's other sites meet as well are listed only where they begin and are
    far more common; a resolver's answer is no chance."""
    sites = {
        "a-dozen": "R" * 12,
        "begun": "OOR" * 8 + "R" * 40,
        "no-such-name": "B" * 6,
        "half": "OR" * 12,
    }
    others = [row for n in range(8) for row in days("OOR" * 4, domain=f"usual-{n}.example")]
    found = judge(
        [*others, *(row for name, letters in sites.items() for row in site(name, letters))]
    )
    states = {name: verdict(found, domain=f"{name}.example")["state"] for name in sites}
    assert states == {
        "a-dozen": "impaired",
        "begun": "likely_blocked",
        "no-such-name": "likely_blocked",
        "half": "insufficient",
    }
    assert verdict(found, domain="half.example")["insufficient_reason"] == "mixed"


def test_an_answer_through_anothers_resolver_accuses_nobody() -> None:
    """Whose resolver: the note says whose resolver was asked; a public one is not named as the one
    at fault."""
    found = seen("asked-abroad")
    assert found["state"] == "blocked"
    assert found["resolver_asns"] == "AS64999"
    assert found["note"] == "at least since; not tested since; seen through the resolver of AS64999"
    assert "resolver" not in seen("loop")["note"]
