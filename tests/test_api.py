"""OONI's API, served well and badly by a real server on loopback; and our counts against OONI's."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.errors import RESUMES, ContractError, SourceError
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.flags import DISJOINT
from analysis.pages.publishing import execute
from analysis.period import Period
from analysis.report import tieout
from analysis.sources.api import (
    Question,
    Row,
    fetch_counts,
    of_country,
    of_every_country,
    read_counts,
    read_messaging_counts,
)
from analysis.store.ingestion import ingest
from analysis.study.parameters import StudyParameters, replies_folder
from analysis.study.study import Study, count_by_month, open_study, request_of
from tests.archives import line_of, object_key, packed, put
from tests.loopback_s3 import Fault
from tests.ooni_server import API, OoniServer

_PERIOD = Period.parse("2024-01-15", "2024-04-01")
_NOW = datetime(2026, 11, 25, 12, 20, tzinfo=UTC)
_NOON = datetime(2024, 1, 1, 12)


class _Asker:
    """A report that asks ``ooni`` for the counts of KH; ``said`` is what it says meanwhile."""

    def __init__(self, ooni: OoniServer, folder: Path) -> None:
        self.ooni, self.folder, self.said = ooni, folder, list[str]()

    def fetch(self, questions: list[Question] | None = None) -> int:
        """How many questions are asked; by default those about the period."""
        asked = of_country("KH", _PERIOD) if questions is None else questions
        fetch_counts(self.folder, asked, self.said.append)
        return len(self.ooni.asked())

    def months(self) -> Mapping[str, Mapping[str, int]]:
        return read_counts(self.folder, "KH", _PERIOD).by_month()

    def refusal(self, error: type[Exception] = SourceError) -> str:
        """The sentence in which a report is told that there are no counts."""
        with pytest.raises(error) as caught:
            self.fetch()
        message = str(caught.value)
        assert message.isprintable()
        assert len(message) < 400
        return message


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time of day."""
    clock = SimpleNamespace(now=_NOW)
    monkeypatch.setattr("analysis.sources.api._now", lambda: clock.now)
    return clock


@pytest.fixture
def asker(ooni: OoniServer, clock: SimpleNamespace, tmp_path: Path) -> _Asker:
    """Of a server that has measurements of January and March, of apps and of other countries."""
    for day, flag, count in (
        (16, "ok", 4),
        (30, "ok", 1),
        (15, "anomaly", 3),
        (16, "confirmed", 2),
        (31, "failure", 1),
        (14, "ok", 9),
        (75, "ok", 7),
        (92, "ok", 9),
    ):
        _count(ooni, day, "web_connectivity", flag, count)
    for probe_cc in ("KH", "TH", "C2"):
        for day in range(1, 100):
            _count(ooni, day, "telegram", "ok", day % 9 + 1, probe_cc)
            _count(ooni, day, "signal", "anomaly", day % 4 + 1, probe_cc)
    return _Asker(ooni, tmp_path)


def _count(
    ooni: OoniServer, day: int, test: str, flag: str, count: int, probe_cc: str = "KH"
) -> None:
    """Count measurements of a day of 2024, numbered from 1."""
    ooni.counted[_NOON + timedelta(days=day - 1), test, probe_cc, flag] += count


def _flags(*counts: int) -> dict[str, int]:
    return dict(zip(DISJOINT, counts, strict=True))


_MONTHS = {"2024-01": _flags(5, 3, 2, 1), "2024-03": _flags(7, 0, 0, 0)}


# --- what is asked, and what a reply means --------------------------------------------------------


def test_a_month_without_measurements_is_absent(asker: _Asker) -> None:
    """The period is asked for exactly, by days, and a first month that is cut still goes by its
    name."""
    fetch_counts(asker.folder, of_country("KH", _PERIOD), asker.said.append)
    asked = asker.ooni.asked()
    assert asker.months() == _MONTHS
    assert read_counts(asker.folder, "KH", _PERIOD).asked_at == dict.fromkeys(
        ("2024-01", "2024-02", "2024-03"), _NOW
    )
    assert [(one["since"], one["until"]) for one in asked] == [
        ("2024-01-15", "2024-02-01"),
        ("2024-02-01", "2024-03-01"),
        ("2024-03-01", "2024-04-01"),
    ]
    assert {
        "probe_cc": "KH",
        "axis_x": "measurement_start_day",
        "axis_y": "test_name",
        "time_grain": "day",
    }.items() <= asked[0].items()
    assert len(asker.said) == 1


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2024-01-01", "2024-01-02"),
        ("2024-01-07", "2024-01-14"),
        ("2024-02-01", "2024-03-01"),
        ("2024-03-02", "2024-04-01"),
        ("2023-01-01", "2024-04-09"),
        ("2024-01-31", "2024-02-02"),
    ],
)
def test_every_length_of_period_is_answered(asker: _Asker, since: str, until: str) -> None:
    """With all that OONI has: of the country by month and, of apps, by day; of all countries by
    whole weeks from Sunday on."""
    period = Period.parse(since, until)
    first, *_, last = [*period.weeks()] * 2
    whole = Period(first.since, last.until)
    asker.fetch([*of_country("KH", period), *of_every_country(period)])
    months, days, sundays = Counter[Any](), Counter[Any](), Counter[Any]()
    for (start, test, probe_cc, flag), count in asker.ooni.counted.items():
        day, sunday = start.date(), start.date() - timedelta(days=start.isoweekday() % 7)
        if probe_cc == "KH" and day in period and test == "web_connectivity":
            months[f"{day:%Y-%m}", flag] += count
        elif probe_cc == "KH" and day in period:
            days[day, test, flag] += count
        if test != "web_connectivity" and probe_cc != "C2" and day in whole:
            sundays[sunday, test, probe_cc, flag] += count
    found = read_counts(asker.folder, "KH", period).by_month()
    assert +Counter({(m, f): n for m, flags in found.items() for f, n in flags.items()}) == months
    counted = read_messaging_counts(asker.folder, "KH", period)
    assert counted is not None
    here, everywhere, _ = counted
    assert _tally(here, "day", "test_name") == days
    assert _tally(everywhere, "day", "test_name", "probe_cc") == sundays


def _tally(rows: Iterable[Row], *names: str) -> Counter[Any]:
    """Measurements by what rows are of, and flag."""
    return +Counter(
        {
            (*(getattr(row, name) for name in names), flag): count
            for row in rows
            for flag, count in row.flags.by_flag().items()
        }
    )


def test_weeks_are_asked_for_once_for_all_periods_and_countries(asker: _Asker) -> None:
    """They are whole, whatever the period; so those of a closed year are never asked for again."""
    year = Period.parse("2023-01-01", "2024-01-01")
    assert asker.fetch(of_every_country(year)) == 53
    assert asker.fetch(of_every_country(Period.parse("2023-05-03", "2023-08-01"))) == 0
    assert asker.fetch(of_every_country(Period.parse("2023-12-30", "2024-01-09"))) == 1


_REFUSALS = [
    # What OONI itself says of a question is no reason to run again.
    (400, b'{"msg": "Invalid time grain", "v": 0}', 'status 400: {"msg": "Invalid time', False),
    (200, b'{"msg": "the axes are the same", "v": 0}', 'status 200: {"msg": "the axes', False),
    (422, b'{"detail": [{"msg": "not a date"}]}', 'status 422: {"detail":', False),
    (400, b'{"msg": "\x1b[2J\xe2\x80\xae\n' + b"x" * 10_000 + b'"}', 'status 400: {"msg": "', True),
    (200, b"\x1b[2J" + b"x" * 10_000, "status 200: \ufffd[2Jxxx", True),
    (200, b"<html>log in</html>", "status 200: <html>log in", True),
    (302, b"", "status 302: ", True),
    (200, b'{"v":0,"result":[{"ok_count":1', "status 200: ", True),
    (200, b'{"v":' + b"[" * 100_000, "status 200: ", True),
    (200, b'{"v":0,"msg":"\xff\xfe"}', "status 200: ", False),
    (200, gzip.compress(b"{}"), "status 200: ", True),
    (200, b"[1, 2]", "status 200: [1, 2]", True),
]


def test_a_refusal_is_one_sentence(asker: _Asker) -> None:
    """In each of its shapes; what the server says is cut and cannot act. Nothing of it is kept."""
    where = f"OONI's API ({asker.ooni.api.removeprefix('http://')}) sent no counts but "
    for status, body, sentence, resumes in _REFUSALS:
        headers = {"Location": "http://xn--/"} if status == 302 else {}
        asker.ooni.faults[API] = Fault("status", status=status, body=body, headers=headers)
        message = asker.refusal()
        assert f"{where}{sentence}" in message
        assert (RESUMES in message) == resumes, sentence
        assert len(asker.ooni.asked()) == 1
        assert not list(asker.folder.rglob("*.json"))


_ROW = {
    "measurement_start_day": "2024-01-16",
    "test_name": "web_connectivity",
    "ok_count": 7,
    "anomaly_count": 0,
    "confirmed_count": 0,
    "failure_count": 0,
    "measurement_count": 7,
}
_NO_COUNTS = [
    ([_ROW | {"ok_count": 6}], "the flags of web_connectivity on 2024-01-16 sum to 6, not to 7"),
    ([_ROW | {"ok_count": -7}], "have another shape"),
    ([_ROW | {"ok_count": "7"}], "have another shape"),
    ([_ROW | {"ok_count": 10**30}], "have another shape"),
    ([_ROW | {"ok_count": 7.5}], "have another shape"),
    ([_ROW, _ROW], "two rows are of web_connectivity on 2024-01-16"),
    ([_ROW | {"measurement_start_day": "2024-02-01"}], "on 2024-02-01 was not asked for"),
    ([_ROW | {"measurement_start_day": "2024-01-14"}], "on 2024-01-14 was not asked for"),
    ([_ROW | {"measurement_start_day": None}], "have another shape"),
    ([{"measurement_start_day": "2024-03-01"}], "have another shape"),
    (_ROW, "have another shape"),
    (None, "have another shape"),
    ([[1]], "have another shape"),
]


def test_what_cannot_be_counts_is_refused(asker: _Asker) -> None:
    """A table made from it would lie. It is not kept either."""
    for result, sentence in _NO_COUNTS:
        body = json.dumps({"v": 0, "result": result}).encode()
        asker.ooni.faults[API] = Fault("status", status=200, body=body)
        assert sentence in asker.refusal(ContractError)
        assert not list(asker.folder.rglob("*.json"))


def test_recorded_replies(shared_data: Path) -> None:
    """What OONI really sent is read, and its flags sum."""
    for path in sorted((shared_data / "api-recordings/aggregation").glob("*.json")):
        days = json.loads(json.loads(path.read_text())["body"])["result"]
        (question,) = of_country("KH", Period.parse("2022-03-01", "2022-03-04"))
        rows = [{**day, "test_name": "web_connectivity"} for day in days]
        found = question.read(json.dumps({"v": 0, "result": rows}).encode())
        assert found[0].flags.by_flag() == _flags(1036684, 53651, 6739, 16283)
        assert [row.day for row in found] == list(question.period.days())


# --- a server in trouble --------------------------------------------------------------------------


def test_waiting_for_a_reply_ends(asker: _Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """One limit holds for a whole reply."""
    monkeypatch.setattr("analysis.sources.api.REPLY_SECONDS", 0.3)
    asker.ooni.faults[API] = Fault("silence", body=b"{}")
    assert "there was no whole reply within 0.3 seconds" in asker.refusal()


def test_memory_is_bounded(asker: _Asker) -> None:
    """A reply may grow on the way; it is not taken in."""
    asker.ooni.faults[API] = Fault("status", status=200, body=b" " * 17_000_000)
    assert "more than 16 MB" in asker.refusal()
    assert len(asker.ooni.asked()) == 1


def test_a_quota_that_is_spent_ends_the_run(asker: _Asker) -> None:
    """429 as OONI sends it; the next run goes on where this one ended."""
    asker.ooni.units = 4000 - 27  # which is what 17 days of January take
    assert "counted by the hour, is spent. Running" in asker.refusal()
    assert len(asker.ooni.asked()) == 2
    asker.ooni.units = 0
    assert asker.fetch() == 2
    assert asker.months() == _MONTHS


def test_the_database_gives_up(asker: _Asker) -> None:
    """Half of the period is asked for, and half of that; asked again is nothing."""
    asker.ooni.seconds_a_day = 2.0
    asker.ooni.units = -1_000_000
    assert asker.fetch() > 6
    assert asker.months() == _MONTHS
    assert asker.fetch() == 0
    asker.ooni.seconds_a_day = 31.0
    with pytest.raises(SourceError, match='"Database query error"'):
        asker.fetch(of_country("KH", Period.parse("2023-01-01", "2023-02-01")))
    assert len(asker.ooni.asked()) == 6  # 31, 16, 8, 4, 2 days and one


def test_the_second_address_is_asked(asker: _Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first does not answer; both are named where neither does."""
    monkeypatch.setenv("OONI_API", f"http://127.0.0.1:9, {asker.ooni.api}/")
    assert asker.fetch() == 3
    assert asker.months() == _MONTHS
    assert asker.fetch() == 0
    asker.ooni.is_down = True
    monkeypatch.setenv("OONI_API", f"http://127.0.0.1:9,{asker.ooni.api}/x")
    monkeypatch.setattr(asker, "folder", asker.folder / "other")
    message = asker.refusal()
    assert "OONI's API (127.0.0.1:9) did not answer: there is no connection" in message
    assert f"({asker.ooni.api.removeprefix('http://')}) did not answer" in message


# --- what is kept ---------------------------------------------------------------------------------


def test_a_closed_period_is_asked_for_once(asker: _Asker, clock: SimpleNamespace) -> None:
    """The reply lies as it was received, with where it comes from beside it."""
    period = Period.parse("2024-03-01", "2024-04-01")
    assert asker.fetch(of_country("KH", period)) == 1
    first = read_counts(asker.folder, "KH", period)
    clock.now += timedelta(days=400)
    assert asker.fetch(of_country("KH", period)) == 0
    assert read_counts(asker.folder, "KH", period) == first
    body, sidecar = sorted(asker.folder.rglob("*.json"))
    assert json.loads(body.read_bytes())["dimension_count"] == 2
    about = {
        "fetched_at": "2026-11-25T12:20:00Z",
        "size": body.stat().st_size,
        "sha256": first.sha256,
        "licence": "CC BY-NC-SA 4.0",
    }
    assert about.items() <= json.loads(sidecar.read_bytes()).items()


@pytest.mark.parametrize(
    ("asked", "later", "requests"),
    [
        ("2024-04-30", 24, 1),  # of March, 29 days after its end: not final
        ("2024-04-30", 23, 0),  # and kept for a day
        ("2024-05-01", 99, 0),
        ("2024-02-20", 24, 3),  # nor is January's, 19 days after its end
    ],
)
def test_an_open_period_is_asked_for_again(
    asker: _Asker, clock: SimpleNamespace, asked: str, later: int, requests: int
) -> None:
    """A reply is final only once it was asked for 30 days after its end."""
    clock.now = datetime.fromisoformat(f"{asked}T01:00:00+00:00")
    assert asker.fetch() == 3
    clock.now += timedelta(hours=later)
    assert asker.fetch() == requests


def test_an_older_reply_is_better_than_none(asker: _Asker, clock: SimpleNamespace) -> None:
    """It is used, and that is said, where OONI refuses or is away; nothing more is asked then."""
    clock.now = datetime(2024, 4, 2, tzinfo=UTC)
    asker.fetch()
    _count(asker.ooni, 80, "web_connectivity", "ok", 5)
    clock.now += timedelta(days=3)
    asker.ooni.units = 4000
    assert asker.fetch() == 1
    assert "is spent. Running the same command again resumes. Counts" in asker.said[-1]
    assert asker.months() == _MONTHS
    asker.ooni.units = 0
    assert asker.fetch() == 1  # March; the others are final
    assert asker.months()["2024-03"] == _flags(12, 0, 0, 0)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("damage", [b"", b'{"v":0,"result":[]}', None])
def test_a_damaged_reply_is_asked_for_again(
    asker: _Asker, victim: int, damage: bytes | None
) -> None:
    """Whether the reply or its sidecar is cut, changed or gone."""
    asker.fetch()
    files = sorted(asker.folder.rglob("*"))
    first = read_counts(asker.folder, "KH", _PERIOD)
    path = sorted(asker.folder.rglob("*.json"))[victim]
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(SourceError, match="not in the store"):
        read_counts(asker.folder, "KH", _PERIOD)
    assert asker.fetch() == 1
    assert read_counts(asker.folder, "KH", _PERIOD) == first
    assert asker.fetch() == 0
    assert sorted(asker.folder.rglob("*")) == files  # nothing left over


# --- Our counts against OONI's: what differs is explained by rows that were counted, or not at all.

_WINTER = Period.parse("2024-01-16", "2024-03-01")


# --- cell by cell ---------------------------------------------------------------------------------


def _months(**months: tuple[int, int, int | None, int]) -> pd.DataFrame:
    """``measurements_by_month``; ``None`` where nothing could be confirmed."""
    rows = [
        {
            "month": f"2024-{month[1:]}",
            "measurement_count": sum(count or 0 for count in counts),
            "ok_count": counts[0],
            "anomaly_count": counts[1],
            "confirmed_count": counts[2],
            "failure_count": counts[3],
        }
        for month, counts in months.items()
    ]
    return pd.DataFrame(rows).astype({"confirmed_count": "Int64"})


def _cause(sign: int, **flags: int) -> dict[str, int]:
    signed = {flag: sign * count for flag, count in flags.items()}
    return {**signed, "all": sum(signed.values())}


def _compared(
    ours: tuple[int, int, int | None, int],
    theirs: tuple[int, int, int, int],
    causes: Mapping[str, Mapping[str, int]] | None = None,
    not_read: int = 0,
) -> dict[str, tuple[Any, Any, str]]:
    """Flag → difference, what is unexplained of it, and the explanation."""
    frame = tieout.compare(
        _months(m01=ours),
        {"2024-01": _flags(*theirs)},
        {"2024-01": causes or {}},
        {"2024-01": not_read},
    )
    assert list(frame["month"]) == ["2024-01"] * 5
    return {
        row.flag: (row.difference, row.unexplained, row.explanation)
        for row in frame.itertuples(index=False)
    }


_SAME = (0, 0, "the same")


def test_each_cause_is_counted_in_its_cells() -> None:
    """Ours has 3 that OONI drops and 1 that came later, OONI 2 of ours twice; one moved."""
    none = {"no_network": _cause(1, ok=2)}
    causes = {
        "no_network": _cause(1, ok=2, failure=1),
        "later": _cause(1, ok=1),
        "twice": _cause(-1, anomaly=2),
    }
    for ours, theirs, given, expected in (
        # Whatever could have explained a difference is not brought up where there is none.
        (
            (5, 3, 2, 1),
            (5, 3, 2, 1),
            none,
            dict.fromkeys(("all", "ok", "anomaly", "confirmed", "failure"), _SAME),
        ),
        # Equal totals: the same measurements under another flag, as many as the cell differs by.
        (
            (5, 3, 2, 1),
            (6, 3, 0, 2),
            {},
            {
                "all": _SAME,
                "anomaly": _SAME,
                "ok": (-1, 0, "1 under another flag at OONI"),
                "confirmed": (2, 0, "2 under another flag at OONI"),
                "failure": (-1, 0, "1 under another flag at OONI"),
            },
        ),
        # Unequal totals: nothing says then that the same measurements have other flags.
        (
            (5, 3, 0, 0),
            (4, 5, 0, 0),
            {},
            {
                "all": (-1, -1, "1 unexplained"),
                "ok": (1, 1, "1 unexplained"),
                "anomaly": (-2, -2, "2 unexplained"),
                "confirmed": _SAME,
                "failure": _SAME,
            },
        ),
        (
            (1_010, 5, 0, 4),
            (1_006, 8, 0, 3),
            causes,
            {
                "all": (
                    2,
                    0,
                    "1 received after OONI was asked; 3 from an unknown network, which OONI "
                    "drops; 2 uploaded twice and counted twice by OONI",
                ),
                "ok": (
                    4,
                    0,
                    "1 received after OONI was asked; 2 from an unknown network, which OONI "
                    "drops; 1 under another flag at OONI",
                ),
                "anomaly": (
                    -3,
                    0,
                    "2 uploaded twice and counted twice by OONI; 1 under another flag at OONI",
                ),
                "confirmed": _SAME,
                "failure": (1, 0, "1 from an unknown network, which OONI drops"),
            },
        ),
    ):
        assert _compared(ours, theirs, given) == expected
    # OONI cannot have what came later: where the counts are equal, it has one that is not here.
    found = _compared((5, 0, 0, 0), (5, 0, 0, 0), {"later": _cause(1, ok=1)})
    assert found["ok"] == (0, -1, "1 received after OONI was asked; 1 unexplained")


_DROPPED, _UNREAD = (
    "10 from an unknown network, which OONI drops",
    "2 archive objects of this month were not read completely",
)


@pytest.mark.parametrize(
    ("ours", "unexplained", "words"),
    [
        (104, 4, "4 unexplained"),
        (106, -4, f"{_DROPPED}; 4 unexplained; {_UNREAD}"),
        (110, 0, _DROPPED),
        (120, 10, f"{_DROPPED}; 10 unexplained"),
        (93, -7, f"7 unexplained; {_UNREAD}"),
    ],
)
def test_what_no_count_backs_is_unexplained(ours: int, unexplained: int, words: str) -> None:
    """A cause is taken whole or not at all, and none where it would leave more; objects that were
    not read are named and explain nothing."""
    causes = {"no_network": _cause(1, ok=10)}
    found = _compared((ours, 0, 0, 0), (100, 0, 0, 0), causes, not_read=2)
    assert found["all"] == found["ok"] == (ours - 100, unexplained, words)


# --- from an archive and a server -----------------------------------------------------------------


def _line(number: int, day: str, **changes: Any) -> bytes:
    return line_of(number, measurement_start_time=f"{day} 10:00:00", **changes)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """January: an ok, an anomaly that was uploaded twice, one of an unknown network, one received
    ten days late. February: an ok and a failure, one received in March, and an object that is cut.
    """
    blocked = {"test_keys": {"blocking": "dns", "accessible": False}}
    null = {"test_keys": {"blocking": None, "accessible": None}}
    twice = _line(2, "2024-01-20", **blocked)
    objects = {
        ("20240120", 10): [_line(1, "2024-01-20"), twice],
        ("20240120", 11): [twice, _line(3, "2024-01-20", probe_asn="AS0")],
        ("20240130", 10): [_line(8, "2024-01-20", **blocked)],
        ("20240302", 9): [_line(4, "2024-02-29", **blocked)],
        ("20240205", 10): [_line(5, "2024-02-05"), _line(6, "2024-02-05", **null)],
    }
    archive = tmp_path / "archive"
    for (day, hour), lines in objects.items():
        put(archive, object_key(hour, day=day), lines)
    put(archive, object_key(11, day="20240205"), packed([_line(7, "2024-02-05")])[:-12])
    parameters = StudyParameters(
        probe_cc="QQ",
        since=str(_WINTER.since),
        until=str(_WINTER.until),
        source=str(archive),
        store=str(tmp_path / "store"),
    )
    opened = open_study(parameters, jobs=1)
    yield opened
    opened.observations.close()


def _serve(server: OoniServer, probe_cc: str, **months: tuple[int, int, int, int]) -> None:
    """Let it have so many measurements on the 20th of the months."""
    for month, counts in months.items():
        start = datetime(2024, int(month[1:]), 20, 12)
        for flag, count in zip(DISJOINT, counts, strict=True):
            server.counted[start, "web_connectivity", probe_cc, flag] += count


def _tied(study: Study, store: Path) -> tieout.TieOut:
    months = count_by_month(study.connection, has_fingerprints=False)
    return tieout.tie_out(study, months, str(store))


def test_the_whole_way(
    study: Study, ooni: OoniServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """OONI was asked before the last upload. It has all others but the unknown network's, one of
    them twice; in February one more, which the cut object may have held."""
    _serve(ooni, "QQ", m01=(1, 3, 0, 0), m02=(2, 0, 0, 1))
    store = tmp_path / "store"
    asked = datetime(2024, 3, 1, 12, tzinfo=UTC)
    monkeypatch.setattr("analysis.sources.api._now", lambda: asked)
    fetch_counts(replies_folder(str(store)), of_country("QQ", _WINTER), print)
    tied = _tied(study, store)
    totals = tied.counts[tied.counts["flag"] == "all"].set_index("month")
    assert totals["here_count"].to_dict() == {"2024-01": 3, "2024-02": 3}
    assert totals["unexplained"].to_dict() == {"2024-01": 0, "2024-02": -1}
    assert totals.at["2024-01", "explanation"] == (
        "1 from an unknown network, which OONI drops; "
        "1 set apart here, because their time and their receipt disagree; "
        "1 uploaded twice and counted twice by OONI"
    )
    assert totals.at["2024-02", "explanation"] == (
        "1 received after OONI was asked; 1 unexplained; "
        "1 archive objects of this month were not read completely"
    )
    assert tied.claim == (
        "3 of 8 counts by month and flag are the same at OONI. 2 of the others differ for an "
        "unknown reason."
    )
    assert tied.reading == (
        "OONI counts 7 measurements of the period and this report counts 6. Of the difference, 1 "
        "are unexplained. OONI flags 42.9 % of its measurements as anomalous or confirmed, this "
        "report flags 33.3 %."
    )
    assert "OONI's counts were fetched on 1 March 2024." in tied.caveat
    assert "The newest archive object in this report is of 2 March 2024, 09:00 UTC." in tied.caveat


def test_the_page_shows_it_where_the_source_is_oonis(
    ooni: OoniServer, tmp_path: Path, repository_root: Path
) -> None:
    """The first notebook, from OONI's archive and OONI's counts as they were fetched; and what came
    late to the archive.
    """
    period = Period.parse("2024-01-20", "2024-01-22")
    words = {
        "probe_cc": "KH",
        "since": "2024-01-20",
        "until": "2024-01-22",
        "source": "ooni",
        "store": str(tmp_path / "store"),
        "receipt_margin": 0,
    }
    ooni.objects = {
        object_key(10, day="20240120", cc="KH"): packed([_line(1, "2024-01-20", probe_cc="KH")])
    }
    open_study(StudyParameters(**words), jobs=1).observations.close()
    ooni.objects[object_key(11, day="20240120", cc="KH")] = packed([b"{}", b"{}"])
    request = request_of(StudyParameters(**words), jobs=1, relist=True)
    assert len(ingest(request, Fingerprints()).files) == 2
    _serve(ooni, "KH", m01=(2, 0, 0, 0))
    fetch_counts(replies_folder(words["store"]), of_country("KH", period), print)
    ooni.is_down = True
    ooni.requests.clear()
    others = dict.fromkeys(("test_list", "networks", "fingerprints", "events"), "")
    others["tables"] = str(tmp_path / "tables")
    page = execute(
        repository_root / "notebooks" / "1-ingestion.ipynb",
        {**words, **others},
        tmp_path / "failed.ipynb",
    )
    outputs = [output for cell in page.cells for output in cell.get("outputs", [])]
    shown = "".join(output["data"].get("text/html", "") for output in outputs if "data" in output)
    assert "2 of 4 counts by month and flag are the same at OONI. 2 of the others" in shown
    assert shown.count("1 unexplained") == 2
    assert "Archive objects that came late: 1 (lines in them: 2)." in shown
    assert tieout.NOT_OONI.partition("'")[0] not in shown
    assert not ooni.requests
