"""The annex: one row a site, counts that sum, and a reason for everything that is not in it."""

from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.report.annex import (
    blocked_sites,
    rank_networks,
    set_aside,
)
from analysis.report.verdict_words import local_schedule
from analysis.study.study import (
    count_by_month,
)
from tests.observations import connection_with, observation

NETWORKS = pd.DataFrame({
    "probe_asn": ["AS1", "AS2", "AS3", "AS9"], "network": ["One", "Two", "", "Tunnel"],
    "operator": ["Alpha", "Alpha", "", "Tunnel"], "kind": ["isp", "mobile", "education", "vpn"],
    "kind_source": ["list", "list", "none", "list"], "measurement_count": [9, 8, 7, 6],
    "domain_count": [3, 3, 3, 3],
})  # fmt: skip
NUMBERED = NETWORKS.assign(probe_asn=[1, 2, 3, 9])  # as a study has them
NAMES = ["a.example", "b.example", "www.b.example", "c.example", "d.example"]
DOMAINS = pd.DataFrame({
    "domain": ["", *NAMES], "category_code": ["", "NEWS", "NEWS", "NEWS", "GMB", ""],
    "category": ["Uncategorised", "News", "News", "News", "Gambling", "Uncategorised"],
    "is_local": [False, True, False, False, False, False],
    "measurement_count": [5, 100, 80, 60, 40, 20], "anomaly_count": [0, 50, 40, 30, 20, 10],
})  # fmt: skip


def _verdict(domain: str, probe_asn: str, **given: Any) -> dict[str, Any]:
    """A verdict on a site that is listed, with ``given`` on top."""
    row = {
        "domain": domain, "probe_asn": probe_asn, "period": "all", "state": "blocked",
        "mechanism": "dns.sinkhole", "rule_id": "dns.sinkhole", "measurement_count": 30,
        "blocked_count": 20, "ok_count": 5, "session_count": 25, "blocked_session_count": 18,
        "blocked_from": "2024-02-01", "blocked_until": "2024-05-01", "note": "",
        "set_aside_reason": "", "witness_url": f"https://x.example/{probe_asn}",
    }  # fmt: skip
    return row | given


def _aside(domain: str, probe_asn: str, reason: str, **given: Any) -> dict[str, Any]:
    state = {"state": "insufficient", "mechanism": "", "rule_id": "", "set_aside_reason": reason,
             "blocked_from": "", "blocked_until": "", "witness_url": ""}  # fmt: skip
    return _verdict(domain, probe_asn, **{**state, **given})


def test_a_site_on_two_networks_is_one_row_with_sums() -> None:
    """The strongest state, every mechanism, the widest dates, the witness of most sessions."""
    verdicts = pd.DataFrame([
        _verdict("b.example", "AS2", state="likely_blocked", mechanism="tls.reset",
                 blocked_from="2024-03-01", blocked_until="2024-06-01", blocked_session_count=19,
                 note="at least since"),
        _verdict("b.example", "AS1"),
        _verdict("b.example", "AS9", blocked_until="", measurement_count=999),
        _verdict("b.example", "AS1", period="first", measurement_count=999),
        _aside("b.example", "AS3", "insufficient", measurement_count=999),
    ])  # fmt: skip
    expected = pd.DataFrame({
        "domain": ["b.example"], "registrable_domain": ["b.example"], "category_code": ["NEWS"],
        "category": ["News"], "is_local": [False], "state": ["blocked"],
        "mechanisms": ["dns.sinkhole;tls.reset"], "probe_asns": ["AS1;AS2"],
        "networks": ["One;Two"], "blocked_from": ["2024-02-01"], "blocked_until": ["2024-06-01"],
        "measurement_count": [60], "blocked_count": [40], "session_count": [50],
        "witness_url": ["https://x.example/AS2"], "note": ["AS2: at least since"],
    })  # fmt: skip
    assert_frame_equal(blocked_sites(verdicts, NETWORKS, DOMAINS), expected)


def test_what_is_blocked_on_one_network_still_is_blocked() -> None:
    """One open end leaves the row open; a network without a name shows its number."""
    verdicts = pd.DataFrame([
        _verdict("a.example", "AS1", blocked_until="2024-03-01"),
        _verdict("a.example", "AS3", blocked_until=""),
    ])  # fmt: skip
    row = blocked_sites(verdicts, NETWORKS, DOMAINS).iloc[0]
    assert (row["blocked_until"], row["networks"]) == ("", "One;AS3")


def test_a_site_seen_blocked_only_abroad_is_set_aside() -> None:
    """Access networks only: a VPN's exit is no network of the country."""
    verdicts = pd.DataFrame([
        _verdict("a.example", "AS9", set_aside_reason="not_domestic"),
        _aside("a.example", "AS1", "", measurement_count=6),
    ])  # fmt: skip
    assert blocked_sites(verdicts, NETWORKS, DOMAINS).empty
    aside = set_aside(verdicts, NETWORKS, DOMAINS).iloc[0]
    assert (aside["reason"], aside["networks"]) == ("not_domestic", "Tunnel")
    assert (aside["measurement_count"], aside["anomaly_count"]) == (100, 50)


def test_a_site_is_set_aside_once_for_the_reason_that_its_verdicts_give() -> None:
    """With the networks on which anything was unusual."""
    verdicts = pd.DataFrame([
        _aside("a.example", "AS1", "down"), _aside("a.example", "AS2", "down"),
        _aside("b.example", "AS1", ""), _aside("b.example", "AS2", "name_does_not_exist"),
    ])  # fmt: skip
    aside = set_aside(verdicts, NETWORKS, DOMAINS)
    assert list(aside["reason"]) == ["down", "name_does_not_exist"]
    assert list(aside["networks"]) == ["One;Two", "Two"]


@pytest.mark.parametrize(
    ("zone", "first", "last", "local"),
    [
        ("Africa/Nairobi", "2024-11-01", "2024-11-20",
         "Mon-Fri 07:00-11:00; Tue-Sat 00:00-03:00"),
        ("Asia/Kathmandu", "2024-11-01", "2024-11-20",
         "Mon-Fri 09:45-13:45; Tue-Sat 02:45-05:45"),
        ("America/Santiago", "2024-04-01", "2024-04-20",
         "Mon-Fri 01:00-05:00, 18:00-21:00; when the clocks change: "
         "Mon-Fri 00:00-04:00, 17:00-20:00"),
    ],
)  # fmt: skip
def test_hours_read_by_the_clocks_of_the_capital(
    zone: str, first: str, last: str, local: str
) -> None:
    """Past midnight it is another day of the week; half hours and changing clocks are told."""
    schedule = "Mon-Fri 04:00-08:00, 21:00-24:00"
    assert local_schedule(schedule, ZoneInfo(zone), first, last) == local
    assert local_schedule("Mon-Sun 22:00-24:00", ZoneInfo(zone), first).startswith("Mon-Sun ")


def test_only_access_networks_are_ranked() -> None:
    """Equal numbers have equal ranks; education and VPNs are counted and not ranked."""
    verdicts = pd.DataFrame([
        _verdict("a.example", "AS1"), _verdict("a.example", "AS2", mechanism="tls.reset"),
        _verdict("b.example", "AS3"), _verdict("c.example", "AS3"), _verdict("a.example", "AS9"),
        _verdict("d.example", "AS1", period="first"), _aside("d.example", "AS2", "down"),
    ])  # fmt: skip
    table = rank_networks(NUMBERED, verdicts)
    assert list(table["probe_asn"]) == ["AS1", "AS2", "AS3", "AS9"]
    assert list(table["blocked_domain_count"]) == [1, 1, 2, 1]
    assert table["rank"].astype("object").where(table["rank"].notna(), None).tolist() == [
        1, 1, None, None,
    ]  # fmt: skip
    assert list(table["mechanisms"]) == ["dns.sinkhole", "tls.reset", "dns.sinkhole",
                                         "dns.sinkhole"]  # fmt: skip


# --- counts that the annex is set beside --------------------------------------------------------


def test_without_fingerprints_nothing_is_confirmed_and_nothing_is_said() -> None:
    """Where no list was given ``is_confirmed`` is null, which is neither yes nor 0."""
    rows = [observation(is_confirmed=None, is_anomaly=a) for a in (True, False, False)]
    table = count_by_month(connection_with(rows), has_fingerprints=False)
    assert table["confirmed_count"].isna().all()
    assert (table["ok_count"][0], table["anomaly_count"][0]) == (2, 1)


# --- the annex as a spreadsheet -----------------------------------------------------------------
