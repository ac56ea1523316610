"""What is new since the last look: by the report's own judge, told once, and never lost."""

import json
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from analysis.commands import reporting
from analysis.files import digest_file
from analysis.languages.language import ENGLISH
from analysis.period import Period
from analysis.review.reports import Report
from analysis.review.standing import (
    Other,
    Standing,
    add_to_log,
    carry_over,
    find_apps_standing,
    find_news,
    find_standing,
)
from analysis.review.watch_page import show_watch, write_feed
from analysis.study.parameters import StudyParameters
from analysis.study.study import open_messaging
from analysis.tables import read_table, write_table
from analysis.verdicts.witnesses import measurement_url
from analysis.worlds.scores import read_truth_table
from analysis.worlds.writing import write_world
from tests.archives import contents
from tests.conftest import Command
from tests.letters import ALL_NETWORKS, days, study_of
from tests.messaging import RESET, measurement, telegram, write_archive
from tests.observations import PROBE_NETWORK, Row, control_answer
from tests.table_rows import as_written, table_rows

# from measurements to news ----------------------------------------------------------------------

#: Site → its days from 1 January, where it stands on 29 February and on 30 March (day 90), of which
#: the second look sees the last 60, and what is new then.
HISTORIES = {
    "begins": ("O" * 65 + "B" * 25, "", "blocked", "newly_blocked"),
    "goes-on": ("B" * 90, "blocked", "blocked", ""),
    "ends": ("B" * 60 + "O" * 30, "blocked", "lifted", "lifted"),
    "ended-long-ago": ("B" * 25 + "O" * 65, "lifted", "", ""),
    "open-now-and-then": ("B" * 60 + "." * 15 + "OO", "blocked", "seen_open", "seen_open"),
    "hardly-tested": ("O" * 60 + "." * 26 + "LL", "", "suspicious", "suspicious"),
    "begins-after-a-hint": (
        "O" * 56 + ".." + "L" * 14,
        "suspicious",
        "blocked",
        "newly_blocked",
    ),
    "not-tested-any-more": ("B" * 30, "blocked", "unseen", ""),
    "twice": ("B" * 25 + "O" * 35 + "B" * 30, "lifted", "blocked", "blocked_again"),
    "never": ("O" * 90, "", "", ""),
}
PERIODS = Period.parse("2024-01-01", "2024-03-01"), Period.parse("2024-01-31", "2024-03-31")


def _rows(period: Period) -> list[Row]:
    rows = []
    for place, (name, (letters, *_)) in enumerate(HISTORIES.items()):
        rows += _site(name, letters, place)
        rows += _site(name, "O" * 90, place, ALL_NETWORKS[1])
    for place in range(100, 107):
        for asn in ALL_NETWORKS:
            rows += _site(f"usual-{place}", "O" * 90, place, asn)
    return [row for row in rows if row["measurement_start_time"].date() in period]


def _site(name: str, letters: str, place: int, asn: int = PROBE_NETWORK) -> list[Row]:
    hoster = control_answer("192.0.2.10", 65000 + place)
    return days(
        letters, domain=f"{name}.example", probe_asn=asn, resolver_asn=asn, control_answers=[hoster]
    )


@pytest.fixture(scope="module")
def standings() -> tuple[Standing, Standing]:
    """What two looks find, the second carried over from the first."""
    first, second = (find_standing(study_of(_rows(period), period)) for period in PERIODS)
    return first, carry_over(first.pairs, second)


def _status(pairs: pd.DataFrame) -> dict[str, str]:
    own = pairs[pairs["probe_asn"] == PROBE_NETWORK]
    return dict(zip(own["item"], own["status"], strict=True))


def test_where_a_site_stands_and_what_is_new(standings: tuple[Standing, Standing]) -> None:
    """Of each history; and nothing at all of the networks that are open."""
    news = find_news(standings[0].pairs, standings[1])
    changes = dict(zip(news["item"], news["change"], strict=True))
    before, after = (_status(standing.pairs) for standing in standings)
    found = {
        name: (before.get(site, ""), after.get(site, ""), changes.get(site, ""))
        for name, site in ((name, f"{name}.example") for name in HISTORIES)
    }
    assert found == {name: tuple(rest) for name, (_, *rest) in HISTORIES.items()}
    assert set(news["probe_asn"]) == {PROBE_NETWORK}


def test_news_has_its_evidence(standings: tuple[Standing, Standing]) -> None:
    """Dates, sessions, chance and a witness; of a hint too, which no verdict lists."""
    news = find_news(standings[0].pairs, standings[1]).set_index("item")
    for item, evidence in {
        "begins.example": {
            "last_seen_open": "2024-03-05",
            "blocked_from": "2024-03-06",
            "session_count": 25,
            "blocked_session_count": 25,
            "network": f"Network {PROBE_NETWORK}",
        },
        "ends.example": {"blocked_until": "2024-02-29", "first_seen_open_again": "2024-03-01"},
        "hardly-tested.example": {
            "mechanism": "dns.loopback",
            "day_count": 2,
            "state": "insufficient",
        },
    }.items():
        assert as_written(news).loc[item, list(evidence)].to_dict() == evidence
    assert news.loc["begins.example", "chance"] == 0.001
    assert news["witness_url"].str.startswith("https://explorer.ooni.org/measurement/2024").all()


# what is news -----------------------------------------------------------------------------------

_REACHED, _THIN = Other("ok", False, "Reachable"), Other("insufficient", True, "few")
_MIXED = Other("insufficient", False, "mixed")


def _pairs(status: str) -> pd.DataFrame:
    row = {"test_name": "web_connectivity", "item": "a.example", "probe_asn": 1}
    return table_rows("watch_standing", *([{**row, "status": status}] if status else []))


@pytest.mark.parametrize(
    ("before", "now", "other", "status", "change"),
    [
        ("blocked", "", _THIN, "unseen", ""),
        ("blocked", "", None, "unseen", ""),  # not tested
        ("blocked", "suspicious", None, "unseen", ""),
        ("unseen", "", _THIN, "unseen", ""),
        ("unseen", "blocked", None, "blocked", ""),
        ("unseen", "lifted", None, "lifted", "lifted"),
        ("blocked", "", _REACHED, "", "lifted"),
        ("unseen", "", _REACHED, "", "lifted"),
        ("blocked", "", _MIXED, "", "unlisted"),
        ("seen_open", "", _THIN, "seen_open", ""),
        ("seen_open", "blocked", None, "blocked", "blocked_again"),
        ("seen_open", "", _MIXED, "", "unlisted"),
        ("lifted", "", _THIN, "", ""),
        ("lifted", "suspicious", None, "suspicious", "suspicious"),
        ("suspicious", "", _REACHED, "", "cleared"),
        ("suspicious", "blocked", None, "blocked", "newly_blocked"),
        ("suspicious", "suspicious", None, "suspicious", ""),
        ("", "seen_open", None, "seen_open", "seen_open"),
    ],
)
def test_a_change_of_where_a_pair_stands(
    before: str, now: str, other: Other | None, status: str, change: str
) -> None:
    """A block that nobody tests neither ends nor begins anew."""
    key = ("web_connectivity", "a.example", 1)
    found = Standing(_pairs(now), {key: other} if other else {})
    carried = carry_over(_pairs(before), found)
    assert carried.pairs["status"].tolist() == ([status] if status else [])
    news = find_news(_pairs(before), carried)
    assert news["change"].tolist() == ([change] if change else [])
    # and then it is old
    assert find_news(carried.pairs, carry_over(carried.pairs, found)).empty


# the command ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten weeks of a fictional country, with an archive of its own."""
    folder = tmp_path_factory.mktemp("watched") / "world"
    write_world(
        folder,
        probe_cc="QM",
        since="2024-04-22",
        until="2024-07-01",
        seed=5,
        network_count=6,
        name_count=8,
        has_apps=True,
    )
    return folder


def _command(world: Path, out: Path, **given: str) -> list[str]:
    lists = world / "reference"
    parameters = {
        "PROBE_CC": "QM",
        "SOURCE": world / "archive",
        "STORE": world.parent / "store",
        "OUT": out,
        "NETWORKS": lists / "networks.csv",
        "FINGERPRINTS": lists / "fingerprints",
        "TEST_LIST": lists / "test-lists",
        "TEST_COUNTS": lists / "test-counts.csv",
        "SINCE": "2024-04-22",
        "UNTIL": "2024-06-10",
        "JOBS": "1",
    }
    return ["watch", *(f"{name}={value}" for name, value in (parameters | given).items())]


def _check_apps(log: pd.DataFrame, world: Path) -> None:
    """What the truth says is blocked, or was suspicious before it was; no instrument that fails in
    every country, and no app of which the fewer endpoints are cut off."""
    truth = read_truth_table(world / "truth" / "apps.csv")
    is_judged = (truth["mechanism"] != "instrument") & (truth["endpoint_count"] != "4")
    blocked = truth.loc[is_judged, ["test_name", "probe_asn"]]
    apps = log[log["test_name"] != "web_connectivity"]
    assert set(map(tuple, apps[["test_name", "probe_asn"]].to_numpy())) == set(
        map(tuple, blocked.to_numpy())
    )
    assert {"newly_blocked"} <= set(apps["change"])
    assert apps["note"].str.contains("in other countries").all()


def test_an_app_is_suspicious_below_the_floor(tmp_path: Path) -> None:
    """Two days on one network, which others do not see: no verdict, and worth a test. What was
    reached since, and what fails on all networks, is neither."""

    def run(asn: int, keys: dict[str, Any], first: int, last: int) -> list[dict[str, Any]]:
        starts = [
            datetime(2024, 1, 1, hour) + timedelta(days=day)
            for day in range(first, last)
            for hour in (9, 17)
        ]
        return [measurement("telegram", keys, start=str(start), asn=asn) for start in starts]

    cut, fine = telegram(web=RESET), telegram()
    archive = write_archive(
        tmp_path / "archive",
        [
            *(one for asn in range(1, 6) for one in run(asn, fine, 0, 60)),
            *run(6, fine, 0, 58),
            *run(6, cut, 58, 60),
            *run(7, fine, 0, 30),
            *run(7, cut, 30, 32),
            *run(7, fine, 32, 60),
        ],
    )
    study = open_messaging(
        StudyParameters(
            probe_cc="QQ",
            since="2024-01-01",
            until="2024-03-01",
            source=str(archive),
            store=str(tmp_path / "store"),
        ),
        jobs=1,
    )
    found = find_apps_standing(study)
    rows = found.pairs[["item", "probe_asn", "status", "state"]].to_numpy().tolist()
    assert rows == [["telegram", 6, "suspicious", "insufficient"]]
    assert found.pairs["blocked_from"].tolist() == [pd.Timestamp("2024-02-28")]
    assert {key[2] for key in found.others} == {1, 2, 3, 4, 5, 7}


def test_two_looks(
    world: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first says what stands, the second what has come; what is refused or breaks changes
    nothing. Of one that finds nothing new: test_hostile_archive.py."""
    out = tmp_path / "look"
    status, said, _ = command(*_command(world, out))
    assert status == 0, said
    first = read_table(out / "tables", "watch_standing")
    assert f"Blocked: {(first['status'] == 'blocked').sum()}\n" in said
    assert "This is the first look" in (out / "watch.html").read_text("utf-8")
    assert read_table(out / "tables", "watch").empty
    _name_witnesses(out)
    status, said, _ = command(*_command(world, out, UNTIL="2024-07-01", WITNESSES="none"))
    assert status == 10
    log = read_table(out / "tables", "watch")
    assert not any(b"explorer.ooni" in content for content in contents(out).values())
    later = log[log["look"] == "2024-06-30"]
    assert set(later["earlier_look"]) == {pd.Timestamp("2024-06-09")}
    new = later[later["change"] == "newly_blocked"]
    assert f"Newly blocked: {len(new)}\n" in said
    _check_apps(pd.concat([first, log]), world)
    before = contents(out)

    # nothing after this may judge
    def broken(*_: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(reporting, "find_standing", broken)
    with pytest.raises(RuntimeError):
        command(*_command(world, out, UNTIL="2024-07-02"))
    assert contents(out) == before
    later = {"UNTIL": "2024-07-02"}
    refused = (
        ({"UNTIL": "2024-06-30"}, "run.json", b"", b"", "2024-07-01 is accepted at the earliest"),
        ({"PROBE_CC": "QR", **later}, "run.json", b"", b"", "holds a look at Fictional country QM"),
        (later, "tables/watch_standing.csv", b",blocked,", b",lifted,", "is not the one that its"),
        (later, "tables/watch.csv", b"\n", b"", "is not the one that its"),
        (later, "run.json", b'"watch": true', b'"look": true', "holds pages of another kind"),
        (later, "run.json", b"{", b"[" * 99_999, "no report wrote its"),
    )
    for place, (given, name, old, fake, message) in enumerate(refused):
        copy = shutil.copytree(out, tmp_path / f"copy{place}")
        file = copy / name
        file.write_bytes(file.read_bytes().replace(old, fake, 1))
        status, _, said = command(*_command(world, copy, **given))
        assert (status, message in said) == (2, True), said


def _name_witnesses(look: Path) -> None:
    """As if its country were a real one."""
    run = json.loads((look / "run.json").read_text("utf-8"))
    for name in ("watch", "watch_standing"):
        named = read_table(look / "tables", name).assign(
            witness_url=measurement_url("r", "http://a")
        )
        write_table(look / "tables", name, named)
        run["tables"][f"{name}.csv"]["sha256"] = digest_file(look / "tables" / f"{name}.csv")
    (look / "run.json").write_text(json.dumps(run), "utf-8")


# the page ---------------------------------------------------------------------------------------


def test_hostile_names_are_inert(standings: tuple[Standing, Standing]) -> None:
    """Whoever submits a measurement names the site; the network's name may be a probe's."""
    nasty = "<script>alert(1)</script>\u202e=HYPERLINK(1)" + "x" * 10_000
    pairs = standings[1].pairs.assign(item=nasty, network=nasty, note=nasty)
    pairs["probe_asn"] = range(len(pairs))
    news = find_news(pairs[:0], Standing(pairs, {}))
    look = _look(PERIODS[1], input_digest=nasty)
    log = add_to_log(None, news, look)
    for words, html in show_watch(log, pairs, look, ENGLISH):
        assert not re.search("<script|\u202e", html), words
        assert len(html) < 200_000
    feed = write_feed([(log, look)])
    assert not re.search("<script|\u202e", feed)
    ids = [one.text for one in ElementTree.fromstring(feed).iter("{http://www.w3.org/2005/Atom}id")]
    assert len(set(ids)) == len(log) + 1


def _look(period: Period, **run: object) -> Report:
    dates = {"probe_cc": "QQ", "since": str(period.since), "until": str(period.until)}
    return Report(
        Path("look"), {"parameters": dates, "rules_version": 1, "input_digest": "", **run}
    )
