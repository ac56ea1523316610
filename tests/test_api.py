"""OONI's API, served well and badly by real servers on loopback; and our counts against OONI's."""

import gzip
import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
import stamina
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from analysis.errors import ContractError, SourceError
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.flags import DISJOINT
from analysis.pages.publishing import Kernels, execute
from analysis.period import Period
from analysis.report import tieout
from analysis.sources.api import Counts, by_month, fetch_counts, read_counts
from analysis.store.ingestion import ingest
from analysis.study.parameters import StudyParameters, replies_folder
from analysis.study.study import Study, count_by_month, open_study, request_of
from tests.archives import line_of, object_key, packed, put
from tests.loopback_s3 import loopback_s3

_PERIOD = Period.parse("2024-01-15", "2024-04-01")
_NOW = datetime(2026, 11, 25, 12, 20, tzinfo=UTC)


def _row(ok: int, anomaly: int = 0, confirmed: int = 0, failure: int = 0, **key: Any) -> dict:
    return {
        "ok_count": ok, "anomaly_count": anomaly, "confirmed_count": confirmed,
        "failure_count": failure, "measurement_count": ok + anomaly + confirmed + failure, **key,
    }  # fmt: skip


_JANUARY = _row(5, 3, 2, 1, measurement_start_day="2024-01-01")
_MARCH = _row(7, measurement_start_day="2024-03-01")


def _result(result: Any) -> dict:
    return {"v": 0, "dimension_count": 1, "db_stats": {"row_count": 3}, "result": result}


def _send(content: Any, status: int = 200, **headers: str) -> Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(body, status, named)


_GOOD = _send(_result([_JANUARY, _MARCH]))
_BUSY = _send({"error": "quota exceeded"}, 429)


class _Api:
    """OONI's server, which gives ``replies`` in order, the last of them for ever, and what a report
    asks of it; ``said`` is what the report told meanwhile."""

    def __init__(self, http: HTTPServer, folder: Path) -> None:
        self.url, self.folder = http.url_for("").rstrip("/"), folder
        self.replies: list[Response] = [_GOOD]
        self.asked: list[Request] = []
        self.said: list[str] = []
        self.seconds = 0.0
        http.expect_request("/api/v1/aggregation").respond_with_handler(self._reply)

    def _reply(self, request: Request) -> Response:
        self.asked.append(request)
        time.sleep(self.seconds)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def months(self) -> Counts:
        return fetch_counts(self.folder, by_month("KH", _PERIOD), self.said.append)

    def refusal(self, error: type[Exception] = SourceError) -> str:
        """The sentence in which a report is told that there are no counts."""
        with pytest.raises(error) as caught:
            self.months()
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
def api(
    httpserver: HTTPServer, clock: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[_Api]:
    """A server whose attempts follow each other at once."""
    found = _Api(httpserver, tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OONI_API", found.url)
    with stamina.set_testing(True, attempts=3, cap=True):
        yield found


def _flags(*counts: int) -> dict[str, int]:
    return dict(zip(DISJOINT, counts, strict=True))


# --- what is asked, and what a reply means --------------------------------------------------------


def test_a_month_without_measurements_is_absent(api: _Api) -> None:
    """The period is asked for exactly, and a first month that is cut still goes by its name."""
    found = api.months()
    assert found.by_month() == {"2024-01": _flags(5, 3, 2, 1), "2024-03": _flags(7, 0, 0, 0)}
    assert found.asked_at == _NOW
    (asked,) = api.asked
    assert asked.args.to_dict() == {
        "test_name": "web_connectivity", "probe_cc": "KH", "since": "2024-01-15",
        "until": "2024-04-01", "axis_x": "measurement_start_day", "time_grain": "month",
    }  # fmt: skip
    assert asked.headers["User-Agent"].startswith("censorship-report-workbook")


_REFUSALS = [
    (_send({"msg": "Invalid time grain", "v": 0}, 400), 'status 400: {"msg": "Invalid time grain'),
    (_send({"msg": "the axes are the same", "v": 0}), 'status 200: {"msg": "the axes are the same'),
    (_send({"detail": [{"loc": ["query"], "msg": "not a date"}]}, 422), 'status 422: {"detail":'),
    (_send({"msg": "\x1b[2J\u202e\n" + "x" * 10_000, "v": 0}, 400), 'status 400: {"msg": '),
    (_send(b"\x1b[2J" + b"x" * 10_000), "status 200: \ufffd[2Jxxx"),
    (_send(b"<html>log in</html>"), "status 200: <html>log in"),
    (_send(b"", 302, Location="http://192.0.2.1/"), "status 302: "),
    (_send(b"", 302, Location="http://xn--/"), "status 302: "),
    (_send(b'{"v":0,"result":[{"ok_count":1'), "status 200: "),
    (_send(b'{"v":' + b"[" * 100_000), "status 200: "),
    (_send(b'{"v":0,"msg":"\xff\xfe"}'), "status 200: "),
    (_send(gzip.compress(b"{}"), Content_Encoding="gzip"), "status 200: "),
    (_send([1, 2]), "status 200: [1, 2]"),
]


def test_a_refusal_is_one_sentence(api: _Api, tmp_path: Path) -> None:
    """In each of its shapes; what the server says is cut and cannot act. Nothing of it is kept."""
    for reply, sentence in _REFUSALS:
        api.replies, api.asked = [reply], []
        message = api.refusal()
        assert f"OONI's API ({urlsplit(api.url).netloc}) sent no counts but {sentence}" in message
        assert len(api.asked) == 1
        assert not list(tmp_path.rglob("*.json"))


_NO_COUNTS = [
    ([{**_MARCH, "ok_count": 6}], "the flags of 2024-03 sum to 6, not to 7"),
    ([{**_MARCH, "ok_count": -7}], "have another shape"),
    ([{**_MARCH, "ok_count": "7"}], "have another shape"),
    ([{**_MARCH, "ok_count": 10**30}], "have another shape"),
    ([{**_MARCH, "ok_count": 7.5}], "have another shape"),
    ([_MARCH, _MARCH], "two rows are of 2024-03"),
    ([{**_MARCH, "measurement_start_day": "2024-04-01"}], "2024-04 was not asked for"),
    ([{**_MARCH, "measurement_start_day": None}], "have another shape"),
    ([{"measurement_start_day": "2024-03-01"}], "have another shape"),
    (_MARCH, "have another shape"),
    (None, "have another shape"),
    ([[1]], "have another shape"),
]


def test_what_cannot_be_counts_is_refused(api: _Api, tmp_path: Path) -> None:
    """A table made from it would lie. It is not kept either."""
    for result, sentence in _NO_COUNTS:
        api.replies = [_send(_result(result))]
        assert sentence in api.refusal(ContractError)
        assert not list(tmp_path.rglob("*.json"))


def test_recorded_replies(shared_data: Path) -> None:
    """What OONI really sent is read, and its flags sum."""
    for path in sorted((shared_data / "api-recordings/aggregation").glob("*.json")):
        days = json.loads(json.loads(path.read_text())["body"])["result"]
        question = by_month("KH", Period.parse("2022-03-01", "2022-03-04"))
        (row,) = question.read(json.dumps({"v": 0, "result": days[:1]}).encode())
        assert row.flags() == _flags(1036684, 53651, 6739, 16283)


# --- a server in trouble --------------------------------------------------------------------------


def test_waiting_for_a_reply_ends(api: _Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """One limit holds for a whole reply."""
    api.seconds = 0.5
    monkeypatch.setattr("analysis.sources.api.REPLY_SECONDS", 0.3)
    assert "there was no whole reply within 0.3 seconds" in api.refusal()


def test_memory_is_bounded(api: _Api) -> None:
    """A reply may grow on the way; it is not taken in."""
    api.replies = [_send(b" " * 17_000_000)]
    assert "more than 16 MB" in api.refusal()
    assert len(api.asked) == 1


def test_a_quota_that_is_spent_ends_the_run(api: _Api) -> None:
    """429 as OONI sends it; the next run goes on."""
    api.replies = [_BUSY, _GOOD]
    assert "counted by the hour, is spent" in api.refusal()
    assert len(api.asked) == 1
    api.months()


# --- what is kept ---------------------------------------------------------------------------------


def test_a_closed_period_is_asked_for_once(
    api: _Api, clock: SimpleNamespace, tmp_path: Path
) -> None:
    """The reply lies as it was received, with where it comes from beside it."""
    first = api.months()
    clock.now += timedelta(days=400)
    assert api.months() == first
    assert read_counts(tmp_path, "KH", _PERIOD) == first
    assert len(api.asked) == 1
    body, sidecar = sorted(tmp_path.rglob("*.json"))
    assert json.loads(body.read_bytes()) == _result([_JANUARY, _MARCH])
    about = {"url": api.asked[0].url, "fetched_at": "2026-11-25T12:20:00Z",
             "size": body.stat().st_size, "sha256": first.sha256,
             "licence": "CC BY-NC-SA 4.0"}  # fmt: skip
    assert about.items() <= json.loads(sidecar.read_bytes()).items()


@pytest.mark.parametrize(
    ("asked", "requests"), [("2024-04-30", 2), ("2024-05-01", 1), ("2024-02-01", 2)]
)
def test_an_open_period_is_asked_for_again(
    api: _Api, clock: SimpleNamespace, asked: str, requests: int
) -> None:
    """A reply is final only once it was asked for 30 days after the period's end."""
    clock.now = datetime.fromisoformat(f"{asked}T01:00:00+00:00")
    api.months()
    clock.now = _NOW
    api.months()
    assert len(api.asked) == requests


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("damage", [b"", b'{"v":0,"result":[]}', None])
def test_a_damaged_reply_is_asked_for_again(
    api: _Api, tmp_path: Path, victim: int, damage: bytes | None
) -> None:
    """Whether the reply or its sidecar is cut, changed or gone."""
    first = api.months()
    path = sorted(tmp_path.rglob("*.json"))[victim]
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(SourceError, match="not in the store"):
        read_counts(tmp_path, "KH", _PERIOD)
    assert api.months() == first
    assert api.months() == first
    assert len(api.asked) == 2
    assert len(list(tmp_path.rglob("*"))) == 4  # folder, lock, reply, sidecar: nothing left over


# --- Our counts against OONI's: what differs is explained by rows that were counted, or not at all.

_WINTER = Period.parse("2024-01-16", "2024-03-01")


# --- cell by cell ---------------------------------------------------------------------------------


def _months(**months: tuple[int, int, int | None, int]) -> pd.DataFrame:
    """``measurements_by_month``; ``None`` where nothing could be confirmed."""
    rows = [
        {"month": f"2024-{month[1:]}", "measurement_count": sum(count or 0 for count in counts),
         "ok_count": counts[0], "anomaly_count": counts[1], "confirmed_count": counts[2],
         "failure_count": counts[3]}
        for month, counts in months.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"confirmed_count": "Int64"})


def _cause(sign: int, **flags: int) -> dict[str, int]:
    signed = {flag: sign * count for flag, count in flags.items()}
    return {**signed, "all": sum(signed.values())}


def _compared(
    ours: tuple[int, int, int | None, int], theirs: tuple[int, int, int, int],
    causes: Mapping[str, Mapping[str, int]] | None = None, not_read: int = 0,
) -> dict[str, tuple[Any, Any, str]]:  # fmt: skip
    """Flag → difference, what is unexplained of it, and the explanation."""
    frame = tieout.compare(
        _months(m01=ours), {"2024-01": _flags(*theirs)}, {"2024-01": causes or {}},
        {"2024-01": not_read},
    )  # fmt: skip
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
        ((5, 3, 2, 1), (5, 3, 2, 1), none,
         dict.fromkeys(("all", "ok", "anomaly", "confirmed", "failure"), _SAME)),
        # Equal totals: the same measurements under another flag, as many as the cell differs by.
        ((5, 3, 2, 1), (6, 3, 0, 2), {}, {
            "all": _SAME, "anomaly": _SAME,
            "ok": (-1, 0, "1 under another flag at OONI"),
            "confirmed": (2, 0, "2 under another flag at OONI"),
            "failure": (-1, 0, "1 under another flag at OONI"),
        }),
        # Unequal totals: nothing says then that the same measurements have other flags.
        ((5, 3, 0, 0), (4, 5, 0, 0), {}, {
            "all": (-1, -1, "1 unexplained"), "ok": (1, 1, "1 unexplained"),
            "anomaly": (-2, -2, "2 unexplained"), "confirmed": _SAME, "failure": _SAME,
        }),
        ((1_010, 5, 0, 4), (1_006, 8, 0, 3), causes, {
            "all": (2, 0, "1 received after OONI was asked; 3 from an unknown network, which OONI "
                          "drops; 2 uploaded twice and counted twice by OONI"),
            "ok": (4, 0, "1 received after OONI was asked; 2 from an unknown network, which OONI "
                         "drops; 1 under another flag at OONI"),
            "anomaly": (-3, 0, "2 uploaded twice and counted twice by OONI; 1 under another flag "
                               "at OONI"),
            "confirmed": _SAME,
            "failure": (1, 0, "1 from an unknown network, which OONI drops"),
        }),
    ):  # fmt: skip
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
    in April. February: an ok and a failure, and an object that is cut."""
    blocked = {"test_keys": {"blocking": "dns", "accessible": False}}
    null = {"test_keys": {"blocking": None, "accessible": None}}
    twice = _line(2, "2024-01-20", **blocked)
    objects = {
        ("20240120", 10): [_line(1, "2024-01-20"), twice],
        ("20240120", 11): [twice, _line(3, "2024-01-20", probe_asn="AS0")],
        ("20240415", 10): [_line(4, "2024-01-31", **blocked)],
        ("20240205", 10): [_line(5, "2024-02-05"), _line(6, "2024-02-05", **null)],
    }
    archive = tmp_path / "archive"
    for (day, hour), lines in objects.items():
        put(archive, object_key(hour, day=day), lines)
    put(archive, object_key(11, day="20240205"), packed([_line(7, "2024-02-05")])[:-12])
    parameters = StudyParameters(
        probe_cc="QQ", since=str(_WINTER.since), until=str(_WINTER.until), source=str(archive),
        store=str(tmp_path / "store"),
    )  # fmt: skip
    opened = open_study(parameters, jobs=1)
    yield opened
    opened.observations.close()


def _serve(server: HTTPServer, **months: tuple[int, int, int, int]) -> None:
    rows = [
        {"measurement_start_day": f"2024-{month[1:]}-01", "measurement_count": sum(counts),
         "ok_count": counts[0], "anomaly_count": counts[1], "confirmed_count": counts[2],
         "failure_count": counts[3]}
        for month, counts in months.items()
    ]  # fmt: skip
    body = json.dumps({"v": 0, "dimension_count": 1, "result": rows})
    server.expect_request("/api/v1/aggregation").respond_with_response(Response(body))


@pytest.fixture
def ooni(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """OONI's server."""
    monkeypatch.setenv("OONI_API", httpserver.url_for("").rstrip("/"))
    return httpserver


def _tied(study: Study, store: Path) -> tieout.TieOut:
    months = count_by_month(study.connection, has_fingerprints=False)
    return tieout.tie_out(study, months, str(store))


def test_the_whole_way(
    study: Study, ooni: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """OONI was asked before the last upload. It has all others but the unknown network's, one of
    them twice; in February one more, which the cut object may have held."""
    _serve(ooni, m01=(1, 2, 0, 0), m02=(2, 0, 0, 1))
    store = tmp_path / "store"
    asked = datetime(2024, 4, 10, 12, tzinfo=UTC)
    monkeypatch.setattr("analysis.sources.api._now", lambda: asked)
    fetch_counts(replies_folder(str(store)), by_month("QQ", _WINTER), print)
    tied = _tied(study, store)
    totals = tied.counts[tied.counts["flag"] == "all"].set_index("month")
    assert totals["here_count"].to_dict() == {"2024-01": 4, "2024-02": 2}
    assert totals["unexplained"].to_dict() == {"2024-01": 0, "2024-02": -1}
    assert totals.at["2024-01", "explanation"] == (
        "1 received after OONI was asked; 1 from an unknown network, which OONI drops; "
        "1 uploaded twice and counted twice by OONI"
    )
    assert totals.at["2024-02", "explanation"] == (
        "1 unexplained; 1 archive objects of this month were not read completely"
    )
    assert tied.claim == (
        "4 of 8 counts by month and flag are the same at OONI. 2 of the others differ for an "
        "unknown reason."
    )
    assert tied.reading == (
        "OONI counts 6 measurements of the period and this report counts 6. Of the difference, 1 "
        "are unexplained. OONI flags 33.3 % of its measurements as anomalous or confirmed, this "
        "report flags 33.3 %."
    )
    assert "OONI's counts were fetched on 10 April 2024." in tied.caveat
    assert "The newest archive object in this report is of 15 April 2024, 10:00 UTC." in tied.caveat


def test_the_page_shows_it_where_the_source_is_oonis(
    ooni: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repository_root: Path
) -> None:
    """The first notebook, from OONI's archive and OONI's counts as they were fetched; and what came
    late to the archive.
    """
    period = Period.parse("2024-01-20", "2024-01-22")
    words = {"probe_cc": "KH", "since": "2024-01-20", "until": "2024-01-22", "source": "ooni",
             "store": str(tmp_path / "store"), "receipt_margin": 0}  # fmt: skip
    with loopback_s3() as archive:
        monkeypatch.setenv("OONI_ARCHIVE", archive.url)
        archive.objects = {
            object_key(10, day="20240120", cc="KH"): packed([_line(1, "2024-01-20", probe_cc="KH")])
        }
        open_study(StudyParameters(**words), jobs=1).observations.close()
        archive.objects[object_key(11, day="20240120", cc="KH")] = packed([b"{}", b"{}"])
        request = request_of(StudyParameters(**words), jobs=1, relist=True)
        assert len(ingest(request, Fingerprints()).files) == 2
    _serve(ooni, m01=(2, 0, 0, 0))
    fetch_counts(replies_folder(words["store"]), by_month("KH", period), print)
    ooni.clear()
    others = dict.fromkeys(("test_list", "networks", "fingerprints", "events"), "")
    others["tables"] = str(tmp_path / "tables")
    page = execute(
        repository_root / "notebooks" / "1-ingestion.ipynb",
        {**words, **others},
        Kernels(),
        tmp_path / "failed.ipynb",
    )
    outputs = [output for cell in page.cells for output in cell.get("outputs", [])]
    shown = "".join(output["data"].get("text/html", "") for output in outputs if "data" in output)
    assert "2 of 4 counts by month and flag are the same at OONI. 2 of the others" in shown
    assert shown.count("1 unexplained") == 2
    assert "Archive objects that came late: 1 (lines in them: 2)." in shown
    assert tieout.NOT_OONI.partition("'")[0] not in shown
    assert not ooni.log
