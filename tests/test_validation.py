"""Verdicts held against a known truth, and the plan of worlds that does it."""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from analysis.outcomes.thresholds import Thresholds
from analysis.tables import write_table
from analysis.worlds import scored_apps as apps
from analysis.worlds import scores, steering
from analysis.worlds.scores import (
    Score,
    compare_edges,
    compare_hours,
    hold_chances,
    read_truth,
    read_truth_table,
    score,
)
from analysis.worlds.validation import (
    Simulator,
    Task,
    plan,
    run_world,
    write_results,
)
from analysis.worlds.validation_page import Results
from analysis.worlds.writing import Volunteers, write_world
from tests.table_rows import dated, table_rows

#: domain, network, state, mechanism, blocked sessions, ok sessions
VERDICTS = [
    ("a.test", 1, "blocked", "dns.sinkhole", 7, 5),
    ("b.test", 1, "ok", "", 1, 9),
    ("c.test", 1, "likely_blocked", "tls.reset", 4, 0),
    ("d.test", 1, "down", "", 0, 0),
    ("e.test", 2, "likely_blocked", "dns.nxdomain", 5, 0),
]
#: domain, network, mechanism, first day, day after the last, sound sessions while it held
BLOCKS = [
    ("a.test", "AS1", "dns.sinkhole", "2024-03-10", "2024-06-01", 2),
    ("b.test", "AS1", "tls.reset", "", "2024-02-01", 1),
    ("e.test", "AS2", "dns.other", "", "", 1),
]
#: Days of sound tests: of a.test on both sides of the block, of b.test in it and after.
TESTS = {
    ("a.test", "AS1"): ["2024-03-01", "2024-03-08", "2024-03-15", "2024-05-20", "2024-06-04"],
    ("b.test", "AS1"): ["2024-01-05", "2024-02-09"],
    ("e.test", "AS2"): ["2024-04-01"],
}
NAMES = {"a.test": "live", "b.test": "live", "c.test": "geo", "d.test": "dead", "e.test": "live"}


def _table(folder: Path, name: str, rows: list[Mapping[str, object]]) -> None:
    write_table(folder, name, table_rows(name, *rows))


def _csv(path: Path, header: str, rows: list[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header, *(",".join(str(value) for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _midnight(day: str) -> str:
    return f"{day}T00:00:00" if day else ""


def _write_blocks(truth: Path, rows: list[tuple[object, ...]]) -> None:
    header = (
        "domain,probe_asn,mechanism,since,until,since_time,until_time,sound_session_count,"
        "schedule,share"
    )
    _csv(truth / "blocks.csv", header, [(*row, "", 1.0) for row in rows])


def _with_moments(interval: Mapping[str, object]) -> dict[str, object]:
    """An interval of which each day is seen at eight, where no other time is given."""
    edges = ("blocked_from", "blocked_until", "last_seen_open", "first_seen_open_again")
    times = {f"{n}_time": f"{interval[n]}T08:00:00" if interval[n] else "" for n in edges}
    return {**times, **interval}


def _scored(folder: Path, intervals: list[Mapping[str, object]]) -> Score:
    tables, truth = folder / "tables", folder / "truth"
    _table(
        tables,
        "verdicts",
        [
            {
                "domain": domain,
                "probe_asn": asn,
                "period": period,
                "state": state,
                "mechanism": mechanism,
                "blocked_session_count": blocked,
                "ok_session_count": ok,
                "session_count": blocked + ok,
                "blocked_share_low": 0.6,
                "blocked_share_high": 1.0,
                "sessions_to_flip": 3,
            }
            for domain, asn, state, mechanism, blocked, ok in VERDICTS
            for period in ("all", "first")
        ],
    )
    _table(
        tables,
        "chances",
        [
            {"domain": "a.test", "probe_asn": 1, "evidence": 3.3},
            {"domain": "c.test", "probe_asn": 1, "evidence": 2.3},
        ],
    )
    _table(tables, "blocking_intervals", [_with_moments(row) for row in intervals])
    _table(tables, "blocked_sites", [{"domain": "a.test"}, {"domain": "c.test"}])
    _table(tables, "set_aside", [{"domain": "d.test", "reason": "down"}])
    _write_blocks(truth, [(*block[:5], *map(_midnight, block[3:5]), block[5]) for block in BLOCKS])
    tests = [(*pair, day, 7, 2, 1) for pair, days in TESTS.items() for day in days]
    _csv(truth / "tests.csv", "domain,probe_asn,day,hour,session_count,sound_session_count", tests)
    _csv(truth / "names.csv", "domain,situation,authority", [(*row, "") for row in NAMES.items()])
    _csv(truth / "networks.csv", "probe_asn,kind,role", [("AS1", "isp", "x"), ("AS2", "vpn", "y")])
    _csv(
        truth / "forgeries.csv",
        "report_id,day,probe_asn,domain,claim",
        [
            ("r1", "2024-05-05", "AS1", "d.test", "blocked"),
            ("r2", "2024-05-05", "AS1", "d.test", "blocked"),
        ],
    )
    return score(tables, truth)


INTERVAL = {
    "domain": "a.test",
    "probe_asn": 1,
    "blocked_from": "2024-03-15",
    "last_seen_open": "2024-03-08",
    "blocked_until": "2024-05-20",
    "first_seen_open_again": "2024-06-04",
    "mechanism": "dns.sinkhole",
}


def test_pairs_stand_beside_the_truth(tmp_path: Path) -> None:
    """Listed and blocked, missed, wrongly listed and rightly left out are told apart; each
    bracketed edge of an interval is true only if the truth changes inside it."""
    scored = _scored(tmp_path, [INTERVAL, {**INTERVAL, "domain": "c.test"}])
    true = scored.claims.groupby("domain")["is_true"].sum()
    assert true.to_dict() == {"a.test": 2, "c.test": 0}
    pairs = scored.pairs.set_index("domain")
    assert pairs["is_blocked"].to_dict() == {
        "a.test": True,
        "b.test": True,
        "c.test": False,
        "d.test": False,
        "e.test": True,
    }
    assert pairs["is_listed"].to_list() == [True, False, True, False, True]
    assert pairs["true_session_count"].to_list() == [2, 1, 0, 0, 1]
    table = scores.accuracy(scored).set_index(["measure", "stratum"])
    counts = table[["success_count", "trial_count"]].apply(tuple, axis=1)
    assert counts["recall of pairs", "all"] == (2, 3)
    assert counts["precision of pairs", "all"] == (2, 3)
    assert counts["precision of pairs", "4–5"] == (1, 2)
    assert counts["mechanism exact, by mechanism", "all"] == (1, 2)
    false = scores.false_positives(scored).set_index(["measure", "stratum"])
    assert false.loc[("pair listed, by situation", "geo"), "success_count"] == 1
    assert false.loc[("pair listed, by forged claim", "blocked"), "trial_count"] == 1


#: What an interval says otherwise; whether its onset and ending are in the bracket, how many days
#: they lie after the truth, and how wide the bracket is.
EDGES = [
    ({}, (True, 5, 7), (True, -11, 15)),
    (
        {"blocked_from": "2024-03-08", "last_seen_open": "2024-03-01"},
        (False, -2, 7),
        (True, -11, 15),
    ),
    ({"last_seen_open": ""}, (True, 5, None), (True, -11, 15)),
    # Blocked from the midnight of that day on: a test at eight saw nothing of it, one before may.
    ({"last_seen_open": "2024-03-10"}, (False, 5, 5), (True, -11, 15)),
    (
        {"last_seen_open": "2024-03-10", "last_seen_open_time": "2024-03-09T23:00:00"},
        (True, 5, 5),
        (True, -11, 15),
    ),
    ({"blocked_until": "", "first_seen_open_again": ""}, (True, 5, 7), (False, None, None)),
    ({"blocked_until": "2024-06-04", "first_seen_open_again": ""}, (True, 5, 7), (False, 4, None)),
]


def test_edges_lie_in_their_brackets_or_not(tmp_path: Path) -> None:
    """Inside is after the last open session up to the first blocked one; errors are in days."""
    _scored(tmp_path, [INTERVAL])
    truth = read_truth(tmp_path / "truth")
    for change, onset, ending in EDGES:
        intervals = dated([_with_moments({**INTERVAL, **change})])
        edges = compare_edges(intervals, truth["blocks"], truth["tests"])
        rows = edges[edges["domain"] == "a.test"].set_index("edge")
        for edge, expected in {"onset": onset, "ending": ending}.items():
            row = rows.loc[edge]
            days = [None if pd.isna(row[c]) else row[c] for c in ("error_days", "width_days")]
            assert (row["is_inside"], *days) == expected, (change, edge)
        assert rows["narrowest_days"].to_dict() == {"onset": 7, "ending": 15}
        # b.test was blocked from before the period, and no interval says so
        assert edges[edges["domain"] == "b.test"]["is_found"].to_list() == [False]
    _write_blocks(tmp_path / "truth", [])
    nobody = score(tmp_path / "tables", tmp_path / "truth")
    assert nobody.edges.empty, "a country in which nobody blocks has no edges"


def test_hours_are_true_within_an_hour() -> None:
    """Found, missed, an edge too far, and hours that nobody keeps."""
    blocks = pd.DataFrame(
        {
            "domain": ["a", "b", "c"],
            "probe_asn": 1,
            "sound_session_count": 30,
            "schedule": [
                "Mon-Fri 04:00-08:00, 10:00-14:00",
                "Sun-Thu 05:00-09:00",
                "Mon 05:00-09:00",
            ],
        }
    )
    intervals = pd.DataFrame(
        {
            "domain": ["a", "c", "d", "e"],
            "probe_asn": 1,
            "schedule": [
                "Mon-Fri 05:00-08:00, 10:00-13:00",
                "Mon 05:00-11:00",
                "Sat 00:00-24:00",
                "",
            ],
        }
    )
    found = compare_hours(intervals, blocks).set_index("domain")["is_near"]
    assert found.to_dict() == {"a": True, "b": False, "c": False, "d": False}


def test_chances_are_held_against_pairs_that_nobody_blocks(tmp_path: Path) -> None:
    """Blocks do not count; no row is no surprise; sites that refuse the country are no accident."""
    pairs = _scored(tmp_path, [INTERVAL]).pairs
    held = hold_chances(pairs)
    assert list(zip(held["stratum"], held["success_count"], held["trial_count"], strict=True)) == [
        ("0.1", 1, 2),
        ("0.01", 1, 2),
        ("0.001", 0, 2),
    ]
    refusing = pairs.replace({"situation": {"geo": "geo_refused"}})
    assert set(hold_chances(refusing)["trial_count"]) == {1}


def test_forgery_breaks_a_promise_only_below_the_number(tmp_path: Path) -> None:
    """A state moved by two forged sessions breaks ``sessions_to_flip`` 3, and keeps 2; one that no
    forged report speaks of is moved by those of the whole archive."""
    forged = _scored(tmp_path, [INTERVAL])
    clean = forged.pairs.copy()
    clean["sessions_to_flip"] = clean["domain"].map({"a.test": 2}).fillna(3)
    clean.loc[clean["domain"].isin(["a.test", "d.test"]), "state"] = "impaired"
    moved = scores.moved_by_forgery(clean, forged).set_index("domain")
    assert moved.loc["d.test", ["is_moved", "is_broken"]].tolist() == [True, True]
    elsewhere = moved.loc["a.test", ["is_moved", "is_broken", "forged_session_count"]]
    assert elsewhere.tolist() == [True, False, 2]
    clean["sessions_to_flip"] = 2
    assert not scores.moved_by_forgery(clean, forged)["is_broken"].any()


def test_thresholds_are_fitted_on_other_seeds_than_reported() -> None:
    """No seed is in two parts, and thresholds are swept on the first part alone."""
    tasks = plan(Thresholds(), ["Pi-hole", "Antivirus"])
    assert len({task.label for task in tasks}) == len(tasks)
    parts = {(task.seed, task.part) for task in tasks}
    seeds = [seed for seed, _ in parts] + [*steering.COUNTRIES, *apps.SEEDS]
    assert len(seeds) == len(set(seeds))
    assert all(bool(task.variants) == (task.part == "fit") for task in tasks)
    assert all(getattr(Thresholds(), name) != value for t in tasks for name, value in t.variants)


def test_a_world_goes_all_the_way_to_the_tables(tmp_path: Path) -> None:
    """Simulated, judged, swept, forged and scored; what ships can be read back and has no dates."""
    country = {"network_count": 5, "name_count": 24}
    task = Task("fit", 21, "thin", country, Thresholds(), (("floor_sessions", 6),), True)
    simulator, out = Simulator(write_world, Volunteers, {}), tmp_path / "out"
    result = run_world(task, tmp_path / "work", simulator)
    out.mkdir()
    write_results(out, [result], Thresholds())
    accuracy = Results(out).read("accuracy").set_index("measure")
    assert accuracy.loc["precision of pairs", "success_count"].sum() > 0
    listed = Results(out).read("sensitivity").set_index(["threshold", "value"])["listed_pair_count"]
    assert listed["floor_sessions", 6] < listed["floor_sessions", 4]
    assert set(Results(out).read("forgery")["forger"]) == {
        "of the world",
        "one short of the number",
    }
    text = "".join(path.read_text(encoding="utf-8") for path in out.glob("*.csv"))
    assert not re.search(r"\.example|2024-", text)


def test_a_world_of_apps_is_scored_against_what_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a year: each drawn block is asked for, and what nobody blocks is not listed; with the
    truth taken away, what is listed is wrong."""
    monkeypatch.setattr(apps, "_UNTIL", "2024-07-01")
    judged = []
    judge = apps.judge_world
    monkeypatch.setattr(apps, "judge_world", lambda place: judged.append(judge(place)) or judged[0])
    rows = apps.run_world(72, tmp_path, write_world)
    by_measure = rows.groupby("measure")["is_right"].agg(["sum", "size"])
    assert by_measure.loc[apps.FOUND].tolist() == [4, 4]
    for measure in (apps.TRUE, apps.OPEN, apps.FEWER, apps.BROKEN):
        assert by_measure.loc[measure, "sum"] == by_measure.loc[measure, "size"] > 0
    truth = read_truth_table(tmp_path / "world" / "truth" / "apps.csv")
    less = apps.score(judged[0], truth[truth["part"] != "web"])
    assert (less["measure"] == apps.FOUND).sum() == 3
    assert not less.loc[less["measure"] == apps.TRUE, "is_right"].all()
