"""The whole way against servers that behave like OONI's, for periods of every kind.

What the server here answers is compared with what OONI's own code answered: its router and its
limiter at ooni/backend 32d8349d, over an embedded ClickHouse with the settings of ooni/devops. Of
325 questions, of 13 lengths with every grain and axis that we could ask for, all were the same; the
table has one of each kind.
"""

import gzip
import html
import json
from datetime import date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from analysis.period import Period, today
from analysis.report import tieout
from analysis.study.parameters import StudyParameters
from analysis.study.study import count_by_month, open_messaging, open_study
from analysis.verdicts.witnesses import countries_url
from analysis.worlds.writing import write_world
from tests.archives import line_of, read_into
from tests.conftest import Command
from tests.messaging import measurement, telegram
from tests.ooni_server import OoniServer

_CC = "KH"

# --- the server itself ----------------------------------------------------------------------------

_BY_DAY = "axis_x=measurement_start_day"
_CHOOSE = "Choose time_grain between {} for the given time range"
_ANSWERS = [
    ("2024-01-08", f"{_BY_DAY}&time_grain=month", 400, _CHOOSE.format("hour, day, auto")),
    ("2024-01-08", f"{_BY_DAY}&time_grain=week", 400, _CHOOSE.format("hour, day, auto")),
    ("2024-01-09", f"{_BY_DAY}&time_grain=hour", 400, _CHOOSE.format("day, week, auto")),
    ("2024-01-31", f"{_BY_DAY}&time_grain=month", 400, _CHOOSE.format("day, week, auto")),
    ("2024-02-01", f"{_BY_DAY}&time_grain=year", 400, _CHOOSE.format("day, week, month, auto")),
    ("2025-01-02", f"{_BY_DAY}&time_grain=year", 400, "'year'"),
    ("2024-01-01", f"{_BY_DAY}&time_grain=day", 400, "Invalid since and until values"),
    ("2024-02-01", "axis_x=nothing", 400, "Invalid axis name"),
    (
        "2024-02-01",
        f"{_BY_DAY}&axis_y=measurement_start_day",
        200,
        "Axis X and Y cannot be the same",
    ),
    ("2024-02-01", f"{_BY_DAY}&time_grain=month", 200, ["2024-01-01 KH 3", "2024-01-01 TH 1"]),
    (
        "2024-01-31",
        f"{_BY_DAY}&time_grain=week",
        200,
        ["2023-12-31 KH 2", "2024-01-07 KH 1", "2024-01-28 TH 1"],
    ),
    (
        "2024-01-08",
        f"{_BY_DAY}&time_grain=day",
        200,
        ["2024-01-01 KH 1", "2024-01-06 KH 1", "2024-01-07 KH 1"],
    ),
    ("2024-01-02", _BY_DAY, 200, ["2024-01-01T23:00:00Z KH 1"]),
    ("2024-02-01", "axis_x=probe_cc", 200, [" KH 3", " TH 1"]),
    ("2024-01-01", "axis_x=probe_cc", 200, []),
]


def test_it_answers_as_oonis_own_code_does() -> None:
    """The grain rule, the other refusals, weeks that begin on Sunday, hours."""
    server = OoniServer()
    starts = {
        "2024-01-01T23:59:59": "KH",
        "2024-01-06T10:00:00": "KH",
        "2024-01-07T00:00:00": "KH",
        "2024-01-30T12:00:00": "TH",
    }
    for start, probe_cc in starts.items():
        server.counted[datetime.fromisoformat(start), "telegram", probe_cc, "ok"] += 1
    for until, query, status, expected in _ANSWERS:
        asked = {"since": "2024-01-01", "until": until, **dict(parse_qsl(query))}
        if "axis_y" not in asked and asked["axis_x"] == "measurement_start_day":
            asked["axis_y"] = "probe_cc"
        found, body, _ = server.answer(asked)
        rows = body.get("result", [])
        told = (
            [
                f"{row.get('measurement_start_day', '')} {row['probe_cc']} {row['ok_count']}"
                for row in rows
            ]
            if "result" in body
            else body["msg"]
        )
        assert (found, told) == (status, expected), (until, query)


def test_the_database_and_the_quota_have_their_ends() -> None:
    """30 seconds, 51,000 rows and 40 seconds an hour."""
    server = OoniServer()
    asked = {
        "since": "2019-01-01",
        "until": "2024-01-01",
        "axis_x": "measurement_start_day",
        "axis_y": "probe_cc",
        "time_grain": "week",
    }
    gave_up = 400, {"detail": "Database query error"}
    server.seconds_a_day = 0.017
    assert server.answer(asked)[:2] == gave_up
    server.seconds_a_day = 0.001
    for number in range(261 * 200):
        start = datetime(2019, 1, 6) + timedelta(weeks=number // 200)
        server.counted[start, "telegram", f"{number % 200:02}", "ok"] += 1
    assert server.answer(asked)[:2] == gave_up
    server.units = 4000
    assert server.answer(asked) == (429, {"error": "quota exceeded"}, {})


def test_a_link_to_a_chart_is_answered() -> None:
    """Explorer asks the API with the link's own parameters."""
    for days in (1, 7, 8, 30, 31, 180, 365, 366, 1000):
        period = Period.ending(date(2024, 7, 1), days)
        asked = dict(parse_qsl(urlsplit(countries_url("x.example", period)).query))
        assert OoniServer().answer(asked)[0] == 200, days


def test_what_is_received_is_found(ooni: OoniServer, store: str) -> None:
    """In the layout of its day, late objects under their old hour; and a measurement has an ID of
    its own since May 2026, another where it is sent again."""
    for day in (date(2020, 10, 18), date(2020, 10, 20), date(2026, 6, 1)):
        run = [
            json.loads(line_of(probe_cc=_CC, measurement_start_time=f"{day} {hour}:10:00"))
            for hour in (10, 11)
        ]
        ooni.receive(run)
        ooni.receive(run[:1], datetime.combine(day, time(10)), host="n5")
    ids = {
        key: [json.loads(line)["report_id"] for line in gzip.decompress(content).splitlines()]
        for key, content in ooni.objects.items()
    }
    of_2020 = sorted(key for key in ids if "/2020" in key)
    assert [key.partition("/")[0] for key in of_2020] == ["jsonl"] * 4 + ["raw"]
    assert {name for key in of_2020 for name in ids[key]} == {"r0"}
    assert len({name for key in ids if "/2026" in key for name in ids[key]}) == 3
    for since, count in (("2020-10-18", 5), ("2026-06-01", 3)):
        period = Period.ending(date.fromisoformat(since) + timedelta(days=4), 4)
        collection = read_into(store, "ooni", _CC, period=period, receipt_margin=0)
        assert len(collection.files) == count
        assert not collection.not_read


# --- the whole way --------------------------------------------------------------------------------

#: Name → the first day, and the day after the last; None is today.
_PERIODS: dict[str, tuple[date, date]] = {
    "a month of 30 days": (date(2024, 4, 1), date(2024, 5, 1)),
    "february": (date(2023, 2, 1), date(2023, 3, 1)),
    "a week from Tuesday": (date(2024, 3, 5), date(2024, 3, 12)),
    "up to today": (today() - timedelta(days=10), today()),
}


@pytest.fixture(params=_PERIODS)
def words(
    request: pytest.FixtureRequest, ooni: OoniServer, tmp_path: Path
) -> tuple[list[str], Period]:
    """The command line's words for a period of which OONI has some thousand measurements of a
    country: sites as a fictional country has them, and a messenger that is blocked in it."""
    period = Period(*_PERIODS[request.param])
    world = tmp_path / "world"
    write_world(
        world,
        probe_cc="QZ",
        since=period.since,
        until=period.until,
        seed=7,
        network_count=4,
        name_count=16,
    )
    ooni.receive_archive(world / "archive", _CC)
    for probe_cc in (_CC, "TH", "VN"):
        for number, day in enumerate(period.days()):
            is_cut = probe_cc == _CC and number > period.day_count // 3
            keys = telegram(closed=12 if is_cut else 0)
            ooni.receive(
                measurement(
                    "telegram",
                    keys,
                    start=f"{day} 05:{minute}:00",
                    probe_cc=probe_cc,
                    asn=64496 + minute,
                )
                for minute in range(10, 16)
            )
    places = {"TEST_LIST": "test-lists", "NETWORKS": "networks.csv", "FINGERPRINTS": "fingerprints"}
    return [
        f"PROBE_CC={_CC}",
        f"SINCE={period.since}",
        f"UNTIL={period.until}",
        "SOURCE=ooni",
        f"STORE={tmp_path / 'store'}",
        "JOBS=1",
        "RECEIPT_MARGIN=7",
        *(f"{name}={world / 'reference' / place}" for name, place in places.items()),
    ], period


def test_doctor_ingest_and_what_pages_compare(
    words: tuple[list[str], Period], command: Command, ooni: OoniServer, tmp_path: Path
) -> None:
    """The doctor lets it pass, the store is filled, all measurements are at OONI as well; run
    again, OONI's API is not asked."""
    given, period = words
    status, said, wrong = command("doctor", *given)
    assert (status, "stop " in said) == (0, False), said + wrong
    assert "objects of" in said
    assert "the ledger would keep" in said
    listed = {request.partition("raw%2F")[2][:8] for request in ooni.requests}
    days = sorted(datetime.strptime(day, "%Y%m%d").date() for day in listed if day)
    assert len(days) == min(8, period.day_count)
    assert all(day in period for day in days)
    assert len(ooni.asked()) == 2
    status, _, wrong = command("ingest", *given)
    assert status == 0, wrong
    assert 3 <= len(ooni.asked()) <= 7
    assert command("ingest", *given)[0] == 0
    assert ooni.asked() == []
    ooni.is_down = True
    parameters = StudyParameters(
        probe_cc=_CC,
        since=str(period.since),
        until=str(period.until),
        source="ooni",
        store=str(tmp_path / "store"),
        fingerprints=str(tmp_path / "world/reference/fingerprints"),
        receipt_margin=7,
    )
    study = open_study(parameters, jobs=1)
    months = count_by_month(study.connection, has_fingerprints=True)
    tied = tieout.tie_out(study, months, parameters.store)
    totals = tied.counts[tied.counts["flag"] == "all"]
    assert (totals["unexplained"] == 0).all(), tied.counts.to_string()
    assert months["measurement_count"].sum() > 20 * period.day_count
    study.observations.close()
    apps = open_messaging(parameters, jobs=1)
    assert apps.here["measurement_count"].sum() == 6 * period.day_count
    assert apps.elsewhere.countries == ("TH", "VN")
    assert (apps.elsewhere.weeks["typical"] == 0).all()
    assert apps.digests.keys() == {"the country", "every country"}


@pytest.mark.parametrize("words", ["up to today"], indirect=True)
def test_report_and_watch(
    words: tuple[list[str], Period], command: Command, ooni: OoniServer, tmp_path: Path
) -> None:
    """A report is published, with OONI's counts on its first page; and watch looks at the same."""
    given, _ = words
    out = tmp_path / "report"
    status, _, wrong = command("report", *given, f"OUT={out}")
    assert status == 0, wrong
    page = (out / "1-ingestion.html").read_text(encoding="utf-8")
    assert "OONI's replies, one after the other, have the SHA-256" in html.unescape(page)
    assert tieout.NOT_OONI not in html.unescape(page)
    status, said, wrong = command("watch", *given, f"OUT={tmp_path / 'watch'}")
    assert status in (0, 10), said + wrong
    assert list((tmp_path / "watch").glob("*.html"))
