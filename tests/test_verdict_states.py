"""What is enough for a state: marks of a block, failures of one kind, more than chance."""

import random
from functools import cache
from typing import Any

import pandas as pd

from analysis.verdicts.states import STATES_BY_STRENGTH
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED
from tests.letters import ALL_NETWORKS, days, intervals, judge, site, usual_sites, verdict
from tests.observations import Row, answer, connect, http_observation
from tests.table_rows import as_written


@cache
def near_the_floor() -> Judgement:
    """Judge sites with few marks of a block, or with failures of several kinds."""
    return judge(
        [
            *usual_sites(),
            # seven marks on each of two days, one on each, and one
            *site("short-alone", "O" * 6, start=14),
            *site("short-alone", "KK", start=20, per_day=7),
            *site("short-alone", "O" * 6, start=22),
            *site("marked-twice", "O" * 20 + "K" + "O" * 20 + "K" + "O" * 20),
            *site("marked-once", "O" * 20 + "K" + "O" * 40),
            # three failures of each kind, eight, and four to six
            *site("mixed-kinds", "BRTBRTBRT"),
            *site("name-and-page", "RPT" * 8),
            *site("two-lookups", "VEWEVWE" * 2),
        ]
    )


def test_marks_on_two_days_are_withheld_with_their_dates_and_never_ok() -> None:
    """However many sessions reach the site besides: no conclusion, and the reader is told when and
    why. One day of them is a stray."""
    alone, twice, once = (
        verdict(near_the_floor(), domain=f"{name}.example")
        for name in ("short-alone", "marked-twice", "marked-once")
    )
    assert (alone["state"], alone["insufficient_reason"]) == ("insufficient", "mixed")
    assert "too few sessions or days" in alone["note"]
    own = near_the_floor().withheld.query("domain == 'short-alone.example'")
    withheld = as_written(own).iloc[0]
    assert (withheld["blocked_from"], withheld["blocked_until"]) == ("2024-01-21", "2024-01-22")
    assert (withheld["reason"], withheld["chance"]) == (alone["note"], "4.2e-03")
    assert intervals(near_the_floor(), "short-alone.example").empty
    assert (twice["state"], twice["insufficient_reason"]) == ("insufficient", "mixed")
    assert (once["state"], once["sessions_to_flip"]) == ("ok", 1)


def test_failures_of_several_kinds_are_not_one_block() -> None:
    """Three of each kind, none of them enough; a box that reads names cuts handshakes and plain
    requests, and a lookup that fails unsaid is as silent as one that times out."""
    states = [
        verdict(near_the_floor(), domain=f"{name}.example")["state"]
        for name in ("mixed-kinds", "name-and-page", "two-lookups")
    ]
    assert states == ["unexplained", "likely_blocked", "likely_blocked"]


def test_days_that_were_picked_for_failing_must_be_more_than_chance() -> None:
    """Six failed lookups in two months of a site that is down, on a flaky network."""
    letters = "D" * 20 + "VVV" + "D" * 9 + "VVV" + "D" * 20
    flaky = [row for n in range(8) for row in days("OOOV" * 6, domain=f"usual-{n}.example")]
    assert verdict(judge([*days(letters), *flaky]))["state"] == "down"


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
