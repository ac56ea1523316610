"""What a report says of what it found: events, changes, and notes."""

import json
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from analysis.languages.language import ENGLISH
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report import annex, charts, findings
from analysis.report.finding_words import Telling, word_finding
from analysis.report.findings import (
    READ_TABLES,
    WINDOW_DAYS,
    count_undated,
    find_coincidences,
    find_onset,
)
from analysis.report.first_page import word_first_page
from analysis.report.weeks import count_weeks
from analysis.study.confirmation import spans_by_site
from analysis.tables import read_network, write_json, write_table
from analysis.verdicts.reasons import USUAL
from analysis.verdicts.rivals import EVERYWHERE
from analysis.vocabulary import LISTED
from tests.table_rows import as_written, dated, table_rows

YEAR = Period.parse("2024-01-01", "2025-01-01")


_WITHHELD = st.tuples(
    st.sampled_from("ab"),
    st.sampled_from([EVERYWHERE, USUAL[0], "another reason"]),
    st.sampled_from([1, 2, 3]),
    st.integers(1, 28),
    st.integers(1, 9),
    st.sampled_from(["", "1.0e-03", "2.0e-02"]),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(_WITHHELD, min_size=1))
def test_a_row_of_withheld_failures_has_all_that_it_stands_for(
    rows: list[tuple[str, str, int, int, int, str]],
) -> None:
    """Rows of one site and reason are one; its sessions are the sum, its days the extremes."""
    columns = ["domain", "why", "probe_asn", "day", "session_count", "chance"]
    withheld = pd.DataFrame(rows, columns=columns).assign(mechanism="TLS: reset")
    days = withheld["day"].map("2024-01-{:02}".format)  # as the page shows them
    shown = charts.gather_alike(withheld.assign(blocked_from=days, blocked_until=days))
    expected = withheld.groupby(["domain", "why"])["session_count"].sum()
    assert shown.groupby(["domain", "why"])["session_count"].sum().equals(expected)
    for row in shown[shown["why"] == EVERYWHERE].to_dict("records"):
        of = withheld[(withheld["domain"] == row["domain"]) & (withheld["why"] == EVERYWHERE)]
        assert set(map(read_network, row["probe_asns"].split(";"))) == set(of["probe_asn"])
        assert row["blocked_until"] == f"2024-01-{of['day'].max():02}"


def test_failures_with_and_without_a_time_of_day_are_one_row() -> None:
    """A time stands only where an edge is known to a day or so; both are put in order."""
    known = {"last_seen_open": "2024-02-01", "last_seen_open_time": "2024-02-01T12:00:00"}
    rows = [
        {
            "domain": "a.test",
            "probe_asn": asn,
            "reason": EVERYWHERE,
            "mechanism": "tls.reset",
            "blocked_from": f"2024-02-0{asn}",
            "blocked_from_time": f"2024-02-0{asn}T10:00:00",
            "blocked_until": until,
            "blocked_until_time": until,
            **before,
        }
        for asn, until, before in ((2, "2024-02-09", known), (3, None, {}))
    ]
    withheld = table_rows("withheld_intervals", *rows).rename(columns={"reason": "why"})
    study: Any = SimpleNamespace(probe_cc="KH")
    (shown,) = charts.gather_alike(charts.describe_edges(withheld, study)).to_dict("records")
    assert (shown["blocked_from"], shown["blocked_until"]) == ("2024-02-02 10:00", "2024-02-09")


def _span(site: str, day: str) -> dict[str, Any]:
    return {
        "domain": site,
        "blocked_from": day,
        "blocked_until": "",
        "last_seen_open": "",
        "first_seen_open_again": "",
        "network_count": 1,
        "state": "blocked",
    }


def test_what_some_network_blocked_before_is_not_new() -> None:
    """A site counts once, and only for a day before the first of those days."""
    finding = {
        "kind": "onset",
        "sites": ["a.test", "b.test", "c.test"],
        "values": {
            "first_day": "2024-08-08",
            "last_day": "2024-09-07",
            "open_days": [4, 9],
            "networks": ["One", "Two"],
            "by_state": [2, 1],
            "block_count": 3,
            "sure_count": 0,
            "undated_count": 0,
            "reopened_count": 0,
            "events": [],
            "new": [_span(site, "2024-08-09") for site in ("a.test", "b.test", "c.test")],
            "older": [
                _span("a.test", "2024-02-01"),
                _span("a.test", "2024-03-01"),
                _span("b.test", "2024-08-08"),
                _span("elsewhere.test", "2024-01-02"),
            ],
        },
    }
    words = word_finding(Telling(finding, {}, ENGLISH, YEAR))
    assert "Blocks of 3 sites were first seen between 8 August" in words.claim
    assert "on 2 access networks: 2 sites were blocked and 1 likely blocked." in words.claim
    before = "Other blocks of 1 of the 3 sites had been seen before"
    assert any(before in caveat for caveat in words.caveats)
    finding["values"]["older"] = []
    later = word_finding(Telling(finding, {}, ENGLISH, YEAR)).caveats
    assert not any("had been seen before" in caveat for caveat in later)


@pytest.mark.parametrize("is_published", [True, False])
def test_how_sure_another_method_is_was_not_measured(tmp_path: Path, is_published: bool) -> None:
    """The shares that were measured are those of the published numbers."""
    summary = {
        "first_seen": "",
        "probe_cc": "QQ",
        "since": "2024-01-01",
        "until": "2025-01-01",
        "weeks": {"rows": [], "events": []},
        "findings": [],
        "is_published_method": is_published,
        "is_from_ooni": False,
        "has_fingerprints": False,
    }
    (tmp_path / "findings.json").write_text(json.dumps(summary), encoding="utf-8")
    shares = [
        f"{name}{bound}_share"
        for name in ("site_precision", "pair_recall")
        for bound in ("", "_low", "_high")
    ]
    halves = table_rows("semesters", {"period": "first"}, {"period": "second"})
    no_rows = {name: table_rows(name) for name in READ_TABLES}
    for name in ("networks", "verdicts", "blocked_sites"):
        write_table(tmp_path, name, no_rows[name])
    numbers = {
        **findings.count_measured(
            *(no_rows[name] for name in ("measurements_by_month", "sites", "networks"))
        ),
        **findings.count_verdicts(no_rows["verdicts"], no_rows["networks"]),
        **findings.count_halves(halves, no_rows["semester_changes"]),
        **findings.count_listed(
            *(no_rows[name] for name in ("blocked_sites", "set_aside", "withheld_intervals"))
        ),
        "unread_object_count": 0,
        "unread_part_count": 0,
        "simulated_country_count": 3,
    }
    numbers = {name: {"value": one} for name, one in numbers.items()}
    numbers |= {name: {"value": 0.9} for name in shares}
    said = Markup(" ").join(word_first_page(tmp_path, numbers)["certainty"])
    shown = "In 3 simulated countries, where we know what is blocked, 90.0 % (90.0 % to 90.0 %)"
    assert (shown in said.striptags()) == is_published
    assert ("was not measured" in said) != is_published


# --- An onset: many sites newly blocked within a month on several networks, and nothing less. -----


def _begun(site: int, asn: int, day: date, open_before: int | None = 5, schedule: str = ""):
    """An interval that begins on a day, some days after a test that reached the site."""
    seen = str(day - timedelta(days=open_before)) if open_before else ""
    return {
        "domain": f"s{site:02}.test",
        "probe_asn": asn,
        "blocked_from": str(day),
        "last_seen_open": seen,
        "schedule": schedule,
        "state": "blocked",
        "blocked_until": "",
        "first_seen_open_again": "",
    }


AUGUST = [_begun(site, 1 + site % 2, date(2024, 8, 6) + timedelta(days=site)) for site in range(6)]


def test_the_window_with_most_sites_is_found() -> None:
    """Its first and last day, sites and networks; what was seen blocked there for the first time
    without an earlier test is counted apart, and a stray block of another month is left out."""
    stray = _begun(9, 1, date(2024, 3, 1))
    untested = _begun(8, 3, date(2024, 8, 8), open_before=None)
    frame = dated([*AUGUST, stray, untested])
    found = find_onset(frame, YEAR)
    assert found is not None
    days = as_written(found)["blocked_from"]
    assert (days.min(), days.max()) == ("2024-08-06", "2024-08-11")
    assert found["domain"].tolist() == [f"s{site:02}.test" for site in range(6)]
    assert count_undated(frame, found) == 1


def test_a_study_of_one_month_has_an_event() -> None:
    """Nothing is left of the period to compare it with."""
    found = find_onset(dated(AUGUST), Period.parse("2024-08-01", "2024-09-01"))
    assert found is not None
    assert len(found) == len(AUGUST)


@pytest.mark.parametrize(
    "intervals",
    [
        AUGUST[:4],
        [*AUGUST[:4], _begun(4, 1, date(2024, 8, 6) + timedelta(days=WINDOW_DAYS))],
        [{**one, "probe_asn": 1} for one in AUGUST],
        [{**one, "last_seen_open": ""} for one in AUGUST],
        [{**one, "last_seen_open": "2024-01-02"} for one in AUGUST],
        [{**one, "schedule": "Mon-Fri 04:00-08:00"} for one in AUGUST],
        [_begun(site, site % 5, date(2024, 1, 6) + timedelta(days=6 * site)) for site in range(50)],
        [],
    ],
    ids=[
        "few sites",
        "a day too long",
        "one network",
        "perhaps older",
        "no near test",
        "hours",
        "all year",
        "none",
    ],
)
def test_less_is_no_event(intervals: list[dict[str, Any]]) -> None:
    frame = dated(intervals, [*AUGUST[0]])
    assert find_onset(frame, YEAR) is None


def test_events_of_the_same_days_are_named() -> None:
    """From two weeks before the first block to the last one; later ones explain nothing, and no
    incident does, since it was read from these blocks."""
    found = find_onset(dated(AUGUST), YEAR)
    assert found is not None
    days = [date(2024, 7, 22), date(2024, 7, 23), date(2024, 8, 11), date(2024, 8, 12)]
    events = [Event(day, f"Day {day}", "order", "invented") for day in days]
    incident = Event(days[1], "Blocked", "incident", "invented")
    assert find_coincidences(found, [incident, *events]) == events[1:3]


# --- From intervals on networks to stretches of days in which a site was seen blocked. ------------

COLUMNS = [
    "domain",
    "probe_asn",
    "state",
    "blocked_from",
    "blocked_until",
    "last_seen_open",
    "first_seen_open_again",
]


@pytest.mark.parametrize(
    ("intervals", "spans"),
    [
        # Two networks overlap: edges of the one that saw it first, and of the one that saw it last.
        (
            [
                (
                    "a",
                    1,
                    "likely_blocked",
                    "2023-07-05",
                    "2023-07-20",
                    "2023-07-03",
                    "2023-07-22",
                ),
                ("a", 2, "blocked", "2023-07-10", "2023-07-30", "2023-07-01", "2023-08-02"),
            ],
            [("a", 2, "blocked", "2023-07-05", "2023-07-30", "2023-07-03", "2023-08-02")],
        ),
        # Lifted, and imposed again on the other network: two rows. The next day is no lifting.
        (
            [
                ("a", 1, "likely_blocked", "2023-07-01", "2023-07-09", "", "2023-07-12"),
                ("a", 2, "likely_blocked", "2023-07-11", "2023-07-20", "2023-07-08", ""),
                ("a", 1, "likely_blocked", "2023-07-21", "", "2023-07-12", ""),
            ],
            [
                ("a", 2, "likely_blocked", "2023-07-01", "2023-07-09", "", "2023-07-12"),
                ("a", 2, "likely_blocked", "2023-07-11", "", "2023-07-08", ""),
            ],
        ),
        # Blocked to the end outlasts everything; an interval within another changes no edge.
        (
            [
                ("a", 1, "blocked", "2023-07-01", "", "", ""),
                ("a", 2, "blocked", "2023-07-03", "2023-07-04", "2023-07-02", "2023-07-05"),
                ("b", 2, "blocked", "2023-07-03", "2023-07-04", "2023-07-02", "2023-07-05"),
            ],
            [
                ("a", 2, "blocked", "2023-07-01", "", "", ""),
                ("b", 1, "blocked", "2023-07-03", "2023-07-04", "2023-07-02", "2023-07-05"),
            ],
        ),
        ([], []),
    ],
)
def test_stretches_of_a_site(
    intervals: list[tuple[str, ...]], spans: list[tuple[object, ...]]
) -> None:
    """Joined where they touch, apart where a day lies between, with the edges' own neighbours."""
    found = as_written(spans_by_site(dated(intervals, COLUMNS)))
    assert list(map(tuple, found.to_numpy().tolist())) == spans


# --- No sentence of the first page contradicts the rows that it is made from, whatever these are. -

EVENT = Event(date(2024, 8, 6), "An order", "order", "invented")
KINDS = {1: "isp", 2: "mobile", 3: "unknown", 4: "education", 5: "isp", 8: "hosting", 9: "vpn"}
ACCESS = [asn for asn, kind in KINDS.items() if kind not in ("hosting", "vpn")]
SITES = [f"{letter}.example" for letter in "abcdefgh"]
STATES = ["blocked", "likely_blocked", "impaired", "unexplained", "down", "ok", "insufficient"]
Tables = Mapping[str, pd.DataFrame]
#: Findings by kind, and what each says.
Found = Mapping[str, dict[str, Any]]
Said = Mapping[str, str]


def day(number: int) -> str:
    """A day of the year."""
    return str(YEAR.since + timedelta(days=number))


def make_stretches(rng: Random, site: str, asn: int, state: str) -> list[dict[str, Any]]:
    """One or two stretches of a pair in order of time, with open tests around some of them."""
    if rng.random() < 0.5:  # one of those that make an event
        begins = rng.randint(216, 236)
        edges = [(day(begins - rng.randint(1, 50)), day(begins), rng.choice(["", day(360)]))]
    else:
        days = sorted(day(number) for number in rng.sample(range(366), 4))
        edges = [("", days[0], days[1]), (days[1], days[3], "")]
    return [
        {
            "domain": site,
            "probe_asn": asn,
            "state": state,
            "blocked_from": first,
            "blocked_until": first,
            "last_seen_open": before,
            "first_seen_open_again": after,
            "blocked_from_time": f"{first}T00:00:00",
            "schedule": rng.choice(["", "", "", "Mon-Fri 04:00-08:00"]),
        }
        for before, first, after in edges
    ]


def make_tables(rng: Random) -> dict[str, pd.DataFrame]:
    """The tables of a country, of verdicts at random."""
    verdicts: list[dict[str, Any]] = []
    intervals: list[dict[str, Any]] = []
    states = rng.choice([STATES, STATES[:2], STATES[2:]])
    nationwide = rng.choice(["", *SITES])
    for site in SITES:
        reason = rng.choice(["impaired", "down", "anomaly_unexplained"])
        for asn in KINDS:
            if asn != 1 and rng.random() < 0.2:
                continue  # not tested there
            halves = [rng.choice(states) for _ in range(2)]
            blocked, ok = rng.randint(0, 20), rng.randint(0, 20)
            if site == nationwide:
                is_access, reason = asn in ACCESS, "impaired"
                halves = ["impaired" if is_access else "ok"] * 2
                blocked, ok = (blocked + 9, rng.randint(0, 1)) if is_access else (0, ok + 1)
            whole = min(halves, key=STATES.index)
            row = {
                "domain": site,
                "probe_asn": asn,
                "blocked_session_count": blocked,
                "ok_session_count": ok,
                "session_count": blocked + ok + rng.randint(0, 5),
                "sessions_to_flip": rng.randint(1, 7),
            }
            if whole in LISTED:
                row["mechanism"] = rng.choice(["dns.sinkhole", "tls.reset"])
                if row["mechanism"] == "dns.sinkhole":
                    row["resolver_asns"] = rng.choice([f"AS{asn}", "AS1", "AS77"])
                row |= {"blocked_from": day(0), "blocked_until": rng.choice(["", day(300)])}
                intervals += make_stretches(rng, site, asn, whole)
            elif blocked:
                row["set_aside_reason"] = reason
            periods = zip(("all", "first", "second"), (whole, *halves), strict=True)
            lack = {"insufficient_reason": rng.choice(["few_sessions", "few_days", "mixed"])}
            verdicts += [
                {**row, "period": name, "state": state, **(lack if state == "insufficient" else {})}
                for name, state in periods
            ]
    operators = {asn: rng.choice(["", "", "One", "Two"]) for asn in KINDS}
    return derive(verdicts, intervals, operators)


def derive(
    verdicts: list[dict[str, Any]], intervals: list[dict[str, Any]], operators: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """The other tables, as the notebooks make them of verdicts and intervals."""
    judged = table_rows("verdicts", *verdicts)
    blocks = table_rows("blocking_intervals", *intervals)
    names = [
        {"probe_asn": asn, "network": f"N{asn}", "kind": kind, "operator": operators[asn]}
        for asn, kind in KINDS.items()
    ]
    networks = table_rows("networks", *names)
    facts = pd.DataFrame({"domain": SITES}).assign(
        category_code=["NEWS", "GAME"] * 4,
        category=["News", "Games"] * 4,
        is_local=False,
        measurement_count=9,
        anomaly_count=1,
        flagged_count=1,
    )
    blocked = annex.blocked_sites(judged, networks, facts)
    aside = annex.set_aside(judged, networks, facts)
    changes = annex.compare_semesters(judged, networks, set(), annex.find_reopened(blocks))
    listed = annex.listed_domestic(judged, networks)
    halves = [
        {
            "period": name,
            "since": day(since),
            "blocked_domain_count": listed.loc[listed["period"] == name, "domain"].nunique(),
        }
        for name, since in (("all", 0), ("first", 0), ("second", 182))
    ]
    return findings.add_pairs(
        {
            "semesters": table_rows("semesters", *halves),
            "withheld_intervals": table_rows("withheld_intervals"),
            "verdicts": judged,
            "blocking_intervals": blocks,
            "networks": networks,
            "blocked_sites": blocked,
            "set_aside": aside,
            "semester_changes": changes,
            "sites": annex.list_sites(judged, networks, facts, blocked, aside),
        }
    )


def count(read: Tables) -> dict[str, int]:
    """The headline numbers."""
    measured = {
        "measurement_count": 9,
        "domain_count": len(SITES),
        "network_count": len(KINDS),
        "access_network_count": len(ACCESS),
        "unread_object_count": 0,
        "unread_part_count": 0,
    }
    return {
        **measured,
        **findings.count_verdicts(read["verdicts"], read["networks"].assign(rank=None)),
        **findings.count_halves(read["semesters"], read["semester_changes"]),
        **findings.count_listed(
            read["blocked_sites"], read["set_aside"], table_rows("withheld_intervals")
        ),
    }


def tell(finding: dict[str, Any], numbers: Mapping[str, int]) -> str:
    """All that a finding says, in one text."""
    words = word_finding(Telling(finding, numbers, ENGLISH, YEAR))
    return " ".join(part.striptags() for part in (words.claim, words.sites, *words.caveats))


def rank(read: Tables) -> list[dict[str, Any]]:
    """The findings in their order; none is left out."""
    found = findings.find_all(read, YEAR, [EVENT], "QQ")
    ranked = findings.rank_findings(found)
    assert {one["kind"] for one in ranked} == {kind for kind, one in found.items() if one}
    return ranked


def enough_tests(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs with enough sessions and days; their tests may disagree."""
    return pairs[~pairs["insufficient_reason"].isin(["few_sessions", "few_days"])]


def numbers_in(pattern: str, text: str) -> list[int]:
    match = re.search(pattern, text)
    assert match, (pattern, text)
    return [int(number) for number in match.groups()]


def as_day(text: str) -> str:
    return pd.to_datetime(text, format="%d %B %Y").date().isoformat()


def week_counts(read: Tables) -> Mapping[str, Any]:
    """The blocks of each week: all that last, new ones and ended ones are those of the rows."""
    blocks = read["blocking_intervals"].merge(read["pairs"][["domain", "probe_asn"]])
    weeks = count_weeks(blocks, YEAR, [EVENT])
    for since, *told in weeks["rows"]:
        days = set(pd.date_range(since, periods=7))
        expected = [0, 0, 0]
        for row in blocks.itertuples():
            is_open_end = pd.isna(row.blocked_until)
            last = pd.Timestamp(YEAR.last_day) if is_open_end else row.blocked_until
            expected[0] += bool(days & set(pd.date_range(row.blocked_from, last)))
            expected[1] += row.blocked_from in days and pd.notna(row.last_seen_open)
            expected[2] += last in days and pd.notna(row.first_seen_open_again)
        assert told == expected, since
    return weeks


def first_page(
    ranked: list[dict[str, Any]], numbers: Mapping[str, int], read: Tables
) -> dict[str, Any]:
    """All that the first page says."""
    summary = {
        "probe_cc": "QQ",
        "since": "2024-01-01",
        "until": "2025-01-01",
        "is_published_method": True,
        "is_from_ooni": True,
        "has_fingerprints": True,
        "first_seen": day(0),
        "weeks": week_counts(read),
        "findings": ranked,
    }
    with TemporaryDirectory() as folder:
        write_json(Path(folder) / "findings.json", summary)
        for table in ("networks", "verdicts", "blocked_sites"):
            write_table(folder, table, read[table])
        values = {name: {"value": number} for name, number in numbers.items()}
        return word_first_page(Path(folder), values, ENGLISH)


def blocked_and_likely_blocked_are_counted_apart(read: Tables, found: Found, said: Said) -> None:
    """In each finding that counts them, and both are those of the rows; its grades of evidence
    count the pairs that it speaks of."""
    pairs = read["pairs"]
    if pairs.empty:
        assert not {"networks", "methods", "categories"} & set(found)
        return
    per_pair = pairs["state"].value_counts()
    split = [int(per_pair.get(state, 0)) for state in LISTED]
    for kind in ("networks", "methods"):
        rows = found[kind]["values"]["rows"]
        assert [sum(row[1] for row in rows), sum(row[2] for row in rows)] == split, kind
        assert sum(found[kind]["certainty"].values()) == len(pairs)
    is_traced = (pairs["state"] == "blocked").groupby(pairs["domain"]).any()
    rows = found["categories"]["values"]["rows"]
    assert sum(row[1] for row in rows) == is_traced.sum()
    assert sum(row[2] for row in rows) == (~is_traced).sum()
    settled = enough_tests(read["access"])
    tested = dict(zip(SITES, ["News", "Games"] * 4, strict=True))
    enough = settled["domain"].drop_duplicates().map(tested).value_counts()
    assert all(row[1] + row[2] <= row[3] == enough[row[0]] for row in rows)


def networks_that_are_not_independent_count_once(
    read: Tables, found: Found, said: Said, counts: Mapping[str, int]
) -> None:
    """Those of one operator, and those that saw all they list through another's resolver."""
    pairs = read["pairs"]
    if pairs.empty:
        return
    blocking, tested, sources = numbers_in(
        r"on (\d+) of (\d+) access networks\. .* as one, sites .* likely blocked on (\d+)\.",
        said["networks"],
    )
    settled = enough_tests(read["access"])
    assert blocking == pairs["probe_asn"].nunique()
    assert tested == settled["probe_asn"].nunique()
    shared = found["networks"]["values"]["shared"]
    assert sources == blocking - sum(len(names) - 1 for names in shared)
    together = {name: number for number, names in enumerate(shared) for name in names}
    of_source = pairs["probe_asn"].map(lambda asn: together.get(f"N{asn}", f"N{asn}"))
    single = (of_source.groupby(pairs["domain"]).nunique() == 1).sum()
    assert counts["single_source_domain_count"] == single
    assert single >= counts["single_network_domain_count"]
    operators = dict(read["networks"][["probe_asn", "operator"]].to_numpy())
    for one, cells in pairs.groupby("probe_asn"):
        through = set(map(read_network, cells["resolver_asns"]))
        for other in set(pairs["probe_asn"]) - {one}:
            is_served = through == {other}
            if is_served or (operators[one] and operators[one] == operators[other]):
                assert together[f"N{one}"] == together[f"N{other}"]


def an_event_says_when_it_was_seen_and_may_have_begun(
    read: Tables, found: Found, said: Said
) -> None:
    """Every block of it was open before on a test at most so many days earlier as is told, and
    first seen in the days that are told; only those surely began after a known event that were
    open on it."""
    if "onset" not in found:
        return
    match = re.search(r"seen between (\d+ \w+ \d+) and (\d+ \w+ \d+), on \d+ access", said["onset"])
    assert match
    first, last = map(as_day, match.groups())
    sites = found["onset"]["sites"]
    listed = read["blocking_intervals"].merge(read["pairs"][["domain", "probe_asn"]])
    listed["days"] = (listed["blocked_from"] - listed["last_seen_open"]).dt.days
    begun = listed[
        listed["domain"].isin(sites)
        & listed["blocked_from"].between(first, last)
        & (listed["days"] <= findings.BRACKET_DAYS)
        & (listed["schedule"] == "")
    ]
    assert set(begun["domain"]) == set(sites)
    told = numbers_in(
        r"by network, these are (\d+) blocks\. .* seen; (\d+) of them .* at most (\d+) days "
        r"after .* "
        r"\(median: (\d+)\).*? On (\d+) of them a later",
        said["onset"] + " On 0 of them a later",  # nothing is said of none
    )
    assert told == [
        len(begun),
        (begun["last_seen_open"] >= begun["blocked_from"].min()).sum(),
        begun["days"].max(),
        int(begun["days"].median()),
        begun["first_seen_open_again"].notna().sum(),
    ]
    assert sum(found["onset"]["values"]["by_state"]) == len(sites)
    at_all_hours = listed[listed["schedule"] == ""].sort_values("blocked_from")
    opening = at_all_hours.drop_duplicates("domain").set_index("domain")
    undated = opening[opening["blocked_from"].between(first, last) & ~opening.index.isin(sites)]
    assert found["onset"]["values"]["undated_count"] == len(undated)
    waits = undated["blocked_from"] - undated["last_seen_open"]
    assert not (waits.dt.days <= findings.BRACKET_DAYS).any()
    if found["onset"]["values"]["events"]:
        assert numbers_in(r"Of these (\d+) blocks, (\d+) began on \d", said["onset"]) == [
            len(begun),
            (begun["last_seen_open"] >= "2024-08-06").sum(),
        ]


def the_halves_are_counted_as_their_rows(read: Tables, found: Found, said: Said) -> None:
    """What is listed in both is in each; each site has one change, which every network that is
    compared shows; a block that was seen before the second half is never new there unsaid; an
    opening between two blocks is told."""
    changes = read["semester_changes"]
    if "changes" not in found:
        assert changes.empty
        return
    first, second, both = numbers_in(
        r"(\d+) sites? w.* half of the period and (\d+) in the second; (\d+) .*in both",
        said["changes"],
    )
    listed = annex.listed_domestic(read["verdicts"], read["networks"])
    sites = [set(listed.loc[listed["period"] == name, "domain"]) for name in ("first", "second")]
    assert [first, second, both] == [*map(len, sites), len(sites[0] & sites[1])]
    told = numbers_in(
        r"On (\d+) sites .* agree: (\d+) were reachable and then listed, (\d+) .*, and (\d+) "
        r"listed in both halves\.",
        said["changes"],
    )
    agreed, *told = told
    told += numbers_in(
        r"On (\d+) other sites the networks differ, and (\d+) cannot be compared\.", said["changes"]
    )
    assert agreed == sum(told[:3])
    names = ("newly_blocked", "no_longer_blocked", "still_blocked", "mixed", "not_comparable")
    kinds = changes["change"].value_counts()
    assert told == [kinds.get(name, 0) for name in names]
    by_state = found["changes"]["values"]["by_state"]
    assert told == [sum(by_state[name]) for name in names]
    state = read["verdicts"].set_index(["domain", "probe_asn", "period"])["state"]
    blocks = read["blocking_intervals"].merge(read["pairs"][["domain", "probe_asn"]])
    open_halves = {"newly_blocked": ["first"], "no_longer_blocked": ["second"], "still_blocked": []}
    early = ended = 0
    lasting = set(read["blocked_sites"].query("blocked_until.isna()")["domain"])
    for row in changes[changes["change"].isin(names[:3])].itertuples():
        matched = list(map(read_network, row.matched_networks.split(";")))
        for asn in matched:
            for half in ("first", "second"):
                is_open = half in open_halves[row.change]
                assert (state[row.domain, asn, half] == "ok") == is_open
                assert (state[row.domain, asn, half] in LISTED) != is_open
        of_site = blocks[blocks["domain"] == row.domain]
        own = of_site[of_site["probe_asn"].isin(matched)]
        openings = own.loc[own.duplicated("probe_asn", keep="last"), "first_seen_open_again"]
        assert row.is_interrupted == (openings.notna().any() and row.change == "still_blocked")
        is_new, is_early = row.change == "newly_blocked", of_site["blocked_from"] < day(182)
        early += is_new and is_early.any()
        ended += is_new and row.domain not in lasting
    assert (f"before the second half began: {early}." in said["changes"]) == (early > 0)
    assert (f"at the last test, on any network: {ended}." in said["changes"]) == (ended > 0)


def counter_evidence_is_never_left_out(read: Tables, found: Found, said: Said) -> None:
    """What is set aside has its finding; so have sites that no access network reaches and others
    do."""
    aside = dict(read["set_aside"][["domain", "reason"]].to_numpy())
    assert ("unlisted" in found) == bool(aside)
    whole = read["verdicts"][read["verdicts"]["period"] == "all"]
    unreached = []
    for site in sorted(site for site, reason in aside.items() if reason == "impaired"):
        rows = whole[whole["domain"] == site].to_dict("records")
        here = [row for row in rows if row["probe_asn"] in ACCESS]
        outside = [row for row in rows if row["probe_asn"] not in ACCESS]
        told = [row["state"] for row in here if row["state"] != "insufficient"]
        reached, tests = (
            sum(row[name] for row in here) for name in ("ok_session_count", "session_count")
        )
        is_reached_outside = sum(row["ok_session_count"] for row in outside) > sum(
            row["blocked_session_count"] for row in outside
        )
        hardly = reached <= max(1, 0.1 * tests)
        if len(told) >= 3 and "ok" not in told and hardly and is_reached_outside:
            unreached.append(site)
    assert found.get("everywhere", {"sites": []})["sites"] == unreached
    if unreached:
        pattern = r"(\d+) sites? that .* in (\d+) of (\d+) .*, but in (\d+) of (\d+) tests on"
        counts = numbers_in(pattern, said["everywhere"])
        assert counts[0] == len(unreached)
        assert counts[1] <= counts[2]
        assert counts[3] <= counts[4]
    assert not set(unreached) & set(read["blocked_sites"]["domain"])


def the_answer_counts_apart_and_out_of_what_was_tested_enough(
    read: Tables, ranked: list[dict[str, Any]], numbers: Mapping[str, int]
) -> None:
    """So do the big numbers and what is said of certainty; each of them counts what its name says,
    and a part is never more than the whole."""
    page = first_page(ranked, numbers, read)
    pairs, access = read["pairs"], read["access"]
    listed = set(pairs["domain"])
    traced = set(pairs.loc[pairs["state"] == "blocked", "domain"])
    settled = set(enough_tests(access)["domain"])
    assert listed <= settled
    headline, lead = page["headline"].striptags(), Markup(" ").join(page["lead"]).striptags()
    story = Markup(" ").join(text for _, text, _ in page["story"]).striptags()
    assert sum(text.count(". ") + 1 for text in [*page["lead"], page["surety"]] if text) <= 3
    counting = Markup(" ").join(page["counting"]).striptags()
    assert numbers_in(r"tested enough .*?: (\d+)\.", counting) == [len(settled)]
    assert bool(page["matrix"]) == bool(page["story"]) == bool(listed)
    if listed:
        assert numbers_in(r"(\d+) of (\d+) tested sites", headline) == [len(listed), len(settled)]
        still = set(pairs.loc[pairs["blocked_until"].isna(), "domain"])
        if len(listed) == 1:
            assert ("when last tested, the site still failed" in lead) == bool(still)
        elif still:
            told = numbers_in(r"(\d+) of the (\d+) still failed when last tested", story)
            assert told == [len(still), len(listed)]
        else:
            assert "None of the sites still failed" in story
        told = numbers_in(
            r"Blocked: (\d+); likely blocked: (\d+); together: (\d+); .* network: (\d+)\.", counting
        )
        assert told == [len(traced), len(listed - traced), len(listed), len(still)]
        marks = re.findall(r'href="#listed-(?:blocked|likely_blocked)"', page["matrix"])
        assert len(marks) == len(pairs) + len(set(pairs["state"]))  # the key has one of each
    elif settled:
        assert f"{len(settled)} tested site" in headline or "was not found" in headline
    of_pairs = numbers_in(
        r": (\d+) blocked and (\d+) likely blocked\. .* tested enough: (\d+); of", counting
    )
    assert of_pairs[0] + of_pairs[1] == len(pairs) <= of_pairs[2]
    certainty = " ".join(Markup(" ").join(page["certainty"]).striptags().split())
    if listed:
        grades = numbers_in(
            r"by strength: (\d+) very strong, (\d+) strong, (\d+) fair and (\d+) thin\.",
            certainty,
        )
        assert len(pairs) == sum(grades)
        assert grades[3] == (pairs["sessions_to_flip"] < 2).sum()
        single, whole = numbers_in(r"(\d+) of (\d+) listed sites were .* only", certainty)
        assert single <= whole == len(listed)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32).map(lambda seed: make_tables(Random(seed))))
def test_no_sentence_contradicts_its_rows(read: Tables) -> None:
    numbers, ranked = count(read), rank(read)
    found = {one["kind"]: one for one in ranked}
    said = {kind: tell(one, numbers) for kind, one in found.items()}
    blocked_and_likely_blocked_are_counted_apart(read, found, said)
    networks_that_are_not_independent_count_once(read, found, said, numbers)
    an_event_says_when_it_was_seen_and_may_have_begun(read, found, said)
    the_halves_are_counted_as_their_rows(read, found, said)
    counter_evidence_is_never_left_out(read, found, said)
    the_answer_counts_apart_and_out_of_what_was_tested_enough(read, ranked, numbers)
