"""What a report says of what it found: events, changes, and notes."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from analysis.languages.language import ENGLISH
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report import annex, charts, findings
from analysis.report.finding_queries import run_query
from analysis.report.findings import READ_TABLES, WINDOW_DAYS, find_coincidences, find_onset
from analysis.report.first_page import word_first_page
from analysis.report.weeks import count_weeks
from analysis.study.confirmation import spans_by_site
from analysis.tables import read_network, write_json, write_table
from analysis.verdicts.reasons import USUAL
from analysis.verdicts.rivals import EVERYWHERE
from analysis.vocabulary import LISTED
from benchmarks.sentences import compute, find_wrong_numbers, open_tables
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
    """Its first and last day and its sites; what no earlier test had reached is left out, and so is
    a stray block of another month."""
    stray = _begun(9, 1, date(2024, 3, 1))
    untested = _begun(8, 3, date(2024, 8, 8), open_before=None)
    frame = dated([*AUGUST, stray, untested])
    found = find_onset(frame, YEAR)
    assert found is not None
    days = as_written(found)["blocked_from"]
    assert (days.min(), days.max()) == ("2024-08-06", "2024-08-11")
    assert found["domain"].tolist() == [f"s{site:02}.test" for site in range(6)]


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
    withheld: list[dict[str, Any]] = []
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
                stretches = make_stretches(rng, site, asn, whole)
                row |= {name: stretches[0][name] for name in ("blocked_from", "blocked_until")}
                row["blocked_until"] = rng.choice(["", row["blocked_until"]])
                intervals += stretches
            elif blocked:
                row["set_aside_reason"] = reason
                if rng.random() < 0.3:
                    mechanism = rng.choice(["dns.sinkhole", "tls.reset"])
                    begun = {"blocked_from": day(0), "blocked_from_time": f"{day(0)}T00:00:00"}
                    pair = {"domain": site, "probe_asn": asn, "mechanism": mechanism}
                    withheld.append({**pair, **begun})
            periods = zip(("all", "first", "second"), (whole, *halves), strict=True)
            lack = {"insufficient_reason": rng.choice(["few_sessions", "few_days", "mixed"])}
            verdicts += [
                {**row, "period": name, "state": state, **(lack if state == "insufficient" else {})}
                for name, state in periods
            ]
    operators = {asn: rng.choice(["", "", "One", "Two"]) for asn in KINDS}
    return derive(verdicts, intervals, withheld, operators)


def derive(
    verdicts: list[dict[str, Any]],
    intervals: list[dict[str, Any]],
    withheld: list[dict[str, Any]],
    operators: Mapping[str, str],
) -> dict[str, pd.DataFrame]:
    """The other tables, as the notebooks make them of verdicts and intervals."""
    judged = table_rows("verdicts", *verdicts)
    blocks = table_rows("blocking_intervals", *intervals)
    names = [
        {"probe_asn": asn, "network": f"N{asn}", "kind": kind, "operator": operators[asn]}
        for asn, kind in KINDS.items()
    ]
    counted = ["mechanisms", "blocked_domain_count", "tested_enough_count", "rank"]
    bare = table_rows("networks", *names).drop(columns=counted)
    networks = annex.rank_networks(bare, judged)
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
            "until": day(until),
            "blocked_domain_count": listed.loc[listed["period"] == name, "domain"].nunique(),
        }
        for name, since, until in (("all", 0, 366), ("first", 0, 182), ("second", 182, 366))
    ]
    return findings.add_pairs(
        {
            **{name: table_rows(name) for name in ("objects_not_read", "unread_parts")},
            "measurements_by_month": table_rows(
                "measurements_by_month", {"month": "2024-01", "measurement_count": 9}
            ),
            "blocked_site_networks": table_rows(
                "blocked_site_networks",
                *listed.loc[listed["period"] == "all", ["domain", "probe_asn"]].to_dict("records"),
            ).assign(blocked_from=pd.Timestamp(day(0))),
            "rules": table_rows("rules", {"mechanism": "dns.sinkhole", "is_artefact": True}),
            "semesters": table_rows("semesters", *halves),
            "withheld_intervals": table_rows("withheld_intervals", *withheld),
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
    return {
        "unread_object_count": 0,
        "unread_part_count": 0,
        **findings.count_measured(read["measurements_by_month"], read["sites"], read["networks"]),
        **findings.count_verdicts(read["verdicts"], read["networks"]),
        **findings.count_halves(read["semesters"], read["semester_changes"]),
        **findings.count_listed(
            read["blocked_sites"], read["set_aside"], read["withheld_intervals"]
        ),
    }


def rank(read: Tables) -> list[dict[str, Any]]:
    """The findings in their order; none is left out."""
    found = findings.find_all(read, YEAR, [EVENT], "QQ")
    ranked = findings.rank_findings(found)
    assert {one["kind"] for one in ranked} == {kind for kind, one in found.items() if one}
    return ranked


def count_by_week(read: Tables) -> Mapping[str, Any]:
    """The blocks of each week: all that last, new, waiting and ended ones are those of the rows."""
    blocks = read["blocking_intervals"].merge(read["pairs"][["domain", "probe_asn"]])
    weeks = count_weeks(blocks, YEAR, [EVENT])
    for since, *told in weeks["rows"]:
        days = pd.date_range(since, periods=7).intersection(
            pd.date_range(YEAR.since, YEAR.last_day)
        )
        expected = [0, 0, 0, 0]
        for row in blocks.itertuples():
            again = row.first_seen_open_again
            expected[0] += not days.intersection(
                pd.date_range(row.blocked_from, row.blocked_until)
            ).empty
            expected[1] += row.blocked_from in days and pd.notna(row.last_seen_open)
            expected[2] += row.blocked_until < days[0] and not again <= days[-1]
            expected[3] += row.blocked_until in days and pd.notna(again)
        assert told == expected, since
    return weeks


def publish(folder: Path, read: Tables) -> BeautifulSoup:
    """All that the first page says, from the tables in a folder."""
    ranked = rank(read)
    for name in set(read) - {"access", "pairs"}:
        write_table(folder, name, read[name])
    for finding in ranked:
        finding["query"] = run_query(folder, finding)
    summary = {
        "probe_cc": "QQ",
        "since": "2024-01-01",
        "until": "2025-01-01",
        "is_published_method": False,
        "is_from_ooni": True,
        "has_fingerprints": True,
        "first_seen": "",
        "weeks": count_by_week(read),
        "findings": ranked,
    }
    if not read["blocked_sites"].empty:
        summary["first_seen"] = min(as_written(read["blocked_sites"])["blocked_from"])
    write_json(folder / "findings.json", summary)
    values = {name: {"value": number} for name, number in count(read).items()}
    page = word_first_page(folder, values, ENGLISH)
    for finding, told in zip(
        ranked, [one for one in page["findings"] if one.get("id")], strict=True
    ):
        claim = BeautifulSoup(f"{told['claim']} {told['sites']}", "html.parser")
        assert str(finding["query"]["count"]) in [one["value"] for one in claim.find_all("data")], (
            finding["query"],
            str(claim),
        )
    parts = [*page.values(), *(part for one in page["findings"] for part in one.values())]
    texts = [part for some in parts for part in ([some] if isinstance(some, str) else some)]
    return BeautifulSoup(" ".join(map(str, texts)), "html.parser")


#: Kind of finding → the number that is not 0 where the tables have something to find.
_SHOWN = {
    "networks": "blocked_domain_count",
    "methods": "blocked_domain_count",
    "hours": "hours.site_count",
    "unlisted": "set_aside_count",
    "everywhere": "everywhere.site_count",
}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32).map(lambda seed: make_tables(Random(seed))))
def test_no_sentence_contradicts_its_rows(read: Tables) -> None:
    """Each number is what the tables give, and no finding is left out; each listed pair has a mark
    in the matrix, and each state one in its key."""
    with TemporaryDirectory() as folder:
        page = publish(Path(folder), read)
        tables = open_tables(Path(folder))
        assert list(find_wrong_numbers(page, tables)) == []
        found = {one["kind"] for one in rank(read)}
        for kind, key in _SHOWN.items():
            assert (kind in found) == (compute(tables, key) > 0), kind
    marks = page.select('[href="#listed-blocked"], [href="#listed-likely_blocked"]')
    pairs = read["pairs"]
    assert len(marks) == len(pairs) + len(set(pairs["state"]))
