"""Every tested name has one status, and every listed stretch one row with its own counts."""

from typing import Any

import duckdb
import pandas as pd
import pytest

from analysis.hosts import site_anchor, site_file
from analysis.report import annex
from analysis.report.annex import list_site_networks, list_sites
from analysis.report.site_evidence import LEAST_SESSIONS, count_spans
from analysis.tables import write_table

NETWORKS = pd.DataFrame({
    "probe_asn": ["AS1", "AS2", "AS9"], "network": ["One", "", "Tunnel"],
    "kind": ["isp", "mobile", "vpn"],
})  # fmt: skip
NAMES = ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"]
DOMAINS = pd.DataFrame({
    "domain": ["", *NAMES], "category_code": "NEWS", "is_local": False, "measurement_count": 9,
})  # fmt: skip


def _verdict(domain: str, probe_asn: str = "AS1", **given: Any) -> dict[str, Any]:
    row = {
        "domain": domain, "probe_asn": probe_asn, "period": "all", "state": "blocked", "note": "",
        "insufficient_reason": "", "blocked_until": "2024-05-01", "session_count": 20,
        "sessions_to_flip": 2, "resolver_asns": "", "operator": "Alpha", "witness_url": "",
    }  # fmt: skip
    return row | given


def _interval(probe_asn: str, since: str, until: str, **given: Any) -> dict[str, Any]:
    row = {
        "domain": "a.example", "probe_asn": probe_asn, "blocked_from": since,
        "blocked_from_time": f"{since}T01:00:00", "blocked_until": until,
        "blocked_until_time": f"{until}T01:00:00", "last_seen_open": "", "mechanism": "tls.reset",
        "first_seen_open_again": "", "first_seen_open_again_time": "", "measurement_count": 9,
        "session_count": 8, "day_count": 6, "state": "likely_blocked", "schedule": "",
        "chance": "1.0e-06", "reached_session_count": 2,
    }  # fmt: skip
    return row | given


def _stretches(verdicts: list[dict[str, Any]], intervals: list[dict[str, Any]]) -> pd.DataFrame:
    given = pd.DataFrame(intervals)
    key = ["domain", "probe_asn", "blocked_from", "blocked_from_time"]
    reached = given[[*key, "reached_session_count"]]
    plain = given.drop(columns="reached_session_count")
    return list_site_networks(pd.DataFrame(verdicts), plain, reached, NETWORKS, DOMAINS)


def test_each_stretch_has_its_own_counts_dates_and_notes(tmp_path: Any) -> None:
    """Only the last goes on; *at least since* is said of the first, *not tested since* of the
    last; what a VPN saw is not in the annex."""
    verdicts = [
        _verdict("a.example", blocked_until="", note="at least since; seen through the resolver"),
        _verdict("a.example", "AS2", note="not tested since"), _verdict("a.example", "AS9"),
    ]  # fmt: skip
    table = write_table(tmp_path, "blocked_site_networks", _stretches(verdicts, [
        _interval("AS1", "2024-01-01", "2024-02-01"),
        _interval("AS1", "2024-03-01", "2024-12-30", last_seen_open="2024-02-20"),
        _interval("AS2", "2024-01-05", "2024-05-01"), _interval("AS9", "2024-01-01", "2024-02-01"),
    ]))  # fmt: skip
    assert list(zip(table["probe_asn"], table["blocked_until"], table["note"], strict=True)) == [
        ("AS1", "2024-02-01", "at least since; seen through the resolver"),
        ("AS1", "", "seen through the resolver"),
        ("AS2", "2024-05-01", "not tested since"),
    ]
    assert list(table["network"]) == ["One", "One", "AS2"]
    assert set(table["session_count"]) == {10}
    assert set(table["blocked_share"]) == {0.8}


def test_two_stretches_that_begin_on_one_day_are_one_row(tmp_path: Any) -> None:
    """The key has no time of day, and a report must not stop at it."""
    later = {"blocked_from_time": "2024-01-01T23:00:00", "first_seen_open_again": "2024-04-01"}
    table = write_table(tmp_path, "blocked_site_networks", _stretches([_verdict("a.example")], [
        _interval("AS1", "2024-01-01", "2024-01-02"),
        _interval("AS1", "2024-01-01", "2024-03-01", **later),
    ]))  # fmt: skip
    row = table.iloc[0]
    assert len(table) == 1
    assert (row["blocked_session_count"], row["session_count"]) == (16, 20)
    assert (row["blocked_until"], row["first_seen_open_again"]) == ("2024-03-01", "2024-04-01")


def test_every_tested_name_has_a_status_and_a_reason() -> None:
    """Reached on a VPN only is no conclusion; a site that was down is not said to lack tests; what
    was never tested, and what has no host name, is not there."""
    verdicts = pd.DataFrame([
        _verdict("a.example"), _verdict("b.example", state="down"),
        _verdict("c.example", state="ok"), _verdict("c.example", "AS2", state="down"),
        _verdict("d.example", "AS9", state="ok"),
        _verdict("d.example", state="insufficient", insufficient_reason="few_days"),
        _verdict("d.example", "AS2", state="insufficient", insufficient_reason="few_sessions"),
        _verdict("e.example", state="down"), _verdict("f.example", "AS9", state="ok"),
    ])  # fmt: skip
    blocked = pd.DataFrame({"domain": ["a.example"]})
    aside = pd.DataFrame({"domain": ["b.example"], "reason": ["instrument"]})
    table = list_sites(verdicts, NETWORKS, DOMAINS, blocked, aside)
    assert list(zip(table["domain"], table["status"], table["reason"], strict=True)) == [
        ("a.example", "listed", ""), ("b.example", "set_aside", "instrument"),
        ("c.example", "no_problem_seen", ""), ("d.example", "not_enough_tests", "few_days"),
        ("e.example", "not_enough_tests", "down"),
        ("f.example", "not_enough_tests", "not_domestic"),
    ]  # fmt: skip
    assert [bool(page) for page in table["page"]] == [True, True, False, False, False, False]
    assert list(table["network_count"]) == [1, 1, 2, 3, 1, 1]


def test_no_made_up_name_takes_the_page_of_another() -> None:
    """These two, found in a second, have the same letters and the same eight digits."""
    names = ["ab_c_defgh_ijk_l_mn_opqr_st.org", "a_bc_d_e_f_gh_ijkl_m_n_o_p_qrst.org"]
    assert site_file(names[0]) == site_file(names[1])
    listed = pd.DataFrame({"domain": names})
    domains = DOMAINS.head(2).assign(domain=names)
    verdicts = pd.DataFrame([_verdict(name) for name in names])
    aside = pd.DataFrame({"domain": [], "reason": []})
    table = list_sites(verdicts, NETWORKS, domains, listed, aside).set_index("domain")["page"]
    assert table.to_dict() == {names[1]: f"sites/{site_file(names[1])}", names[0]: ""}


def test_so_many_sites_have_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listed ones, then what most sessions tested: who makes up names fills no disk."""
    monkeypatch.setattr(annex, "MOST_PAGES", 3)
    verdicts = pd.DataFrame([_verdict(name, session_count=n) for n, name in enumerate(NAMES)])
    listed = pd.DataFrame({"domain": NAMES[:1]})
    aside = pd.DataFrame({"domain": NAMES[1:], "reason": "insufficient"})
    table = list_sites(verdicts, NETWORKS, DOMAINS, listed, aside)
    assert list(table.loc[table["page"] != "", "domain"]) == [NAMES[0], *NAMES[-2:]]


def test_a_page_has_a_file_that_no_name_can_bend() -> None:
    """Letters, digits, dots and hyphens, sixty of them, and eight digits of its own."""
    for domain, file in (
        ("news.example", "news.example-281808bf.html"),
        ("2001:db8::1", "2001db81-"), ("../../etc/passwd", "....etcpasswd-"),
        ("<script>alert(1)</script>", "scriptalert1script-"), ("x" * 10_000, "x" * 60 + "-"),
        ("ខ្មែរ.example", ".example-"), ("\ud800", "-"),
    ):  # fmt: skip
        assert site_file(domain).startswith(file)
        assert len(site_file(domain)) <= 74
        assert site_file(domain).removesuffix(".html").endswith(site_anchor(domain)[1:10])


def test_spans_are_as_short_as_sessions_allow_and_thin_ones_are_left_out() -> None:
    """A network with many sessions a day has days, one with few has weeks or more; what fewer than
    three sessions ran in is not shown, of whatever site."""
    busy = [("a.example", 1, f"b{n}", f"2024-01-0{n % 9 + 1}", "blocked") for n in range(27)]
    thin = [("a.example", 2, f"t{n}", f"2024-02-{n + 1:02}", "ok") for n in range(4)]
    lone = [("a.example", 1, "lone", "2024-03-01", "ok")]
    other = [("b.example", 1, "b0", "2024-01-01", "ok")]
    connection = duckdb.connect()
    connection.execute("CREATE TYPE host_name AS ENUM ('a.example', 'b.example')")
    connection.execute("CREATE TABLE sessions (domain host_name, probe_asn UINTEGER, "
                       "session VARCHAR, day DATE, class VARCHAR)")  # fmt: skip
    rows = [*busy, *thin, *lone, *other]
    connection.executemany("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", rows)
    since = pd.Timestamp("2024-01-01").date()
    spans = count_spans(connection, ["a.example"], since)
    by_network = spans.groupby("probe_asn")[["unit_days", "blocked_count", "ok_count"]].sum()
    assert spans["domain"].unique().tolist() == ["a.example"]
    assert list(spans.loc[spans["probe_asn"] == "AS1", "span"]) == list(range(9))
    assert by_network.loc["AS1"].tolist() == [9, 9 * LEAST_SESSIONS, 0]
    assert by_network.loc["AS2"].tolist() == [7, 0, 4]
