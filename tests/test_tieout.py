"""Our counts against OONI's: what differs is explained by rows that were counted, or not at all."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from analysis.pages.execution import Kernels, execute
from analysis.period import Period
from analysis.report import tieout
from analysis.sources.api import Cells, fetch_counts
from analysis.study.parameters import StudyParameters, replies_folder
from analysis.study.study import Study, count_by_month, open_study
from tests.archives import line_of, object_key, packed, put
from tests.loopback_s3 import loopback_s3

_PERIOD = Period.parse("2024-01-16", "2024-03-01")
_CELLS = ("all", "ok", "anomaly", "confirmed", "failure")


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
        _months(m01=ours), {"2024-01": Cells(*theirs)}, {"2024-01": causes or {}},
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
        ((5, 3, 2, 1), (5, 3, 2, 1), none, dict.fromkeys(_CELLS, _SAME)),
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
            "all": (2, 0, "1 received after OONI was asked; 3 whose network is unknown, which OONI "
                          "drops; 2 uploaded twice and counted twice by OONI"),
            "ok": (4, 0, "1 received after OONI was asked; 2 whose network is unknown, which OONI "
                         "drops; 1 under another flag at OONI"),
            "anomaly": (-3, 0, "2 uploaded twice and counted twice by OONI; 1 under another flag "
                               "at OONI"),
            "confirmed": _SAME,
            "failure": (1, 0, "1 whose network is unknown, which OONI drops"),
        }),
    ):  # fmt: skip
        assert _compared(ours, theirs, given) == expected
    # OONI cannot have what came later: where the counts are equal, it has one that is not here.
    found = _compared((5, 0, 0, 0), (5, 0, 0, 0), {"later": _cause(1, ok=1)})
    assert found["ok"] == (0, -1, "1 received after OONI was asked; 1 unexplained")


_DROPPED, _UNREAD = (
    "10 whose network is unknown, which OONI drops",
    "archive objects of this month not read whole: 2",
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


def test_without_a_fingerprint_list_confirmed_is_not_compared() -> None:
    """What OONI confirms stands under other flags here."""
    found = _compared((5, 3, None, 1), (5, 1, 2, 1))
    assert found["anomaly"] == (2, 0, "2 under another flag at OONI")
    difference, unexplained, words = found["confirmed"]
    assert pd.isna(difference)
    assert pd.isna(unexplained)
    assert words == "without a fingerprint list none is confirmed here"


def test_a_month_that_one_side_lacks() -> None:
    """It is absent, not 0; all of the other side is unexplained."""
    frame = tieout.compare(_months(m01=(1, 0, 0, 0)), {"2024-02": Cells(0, 2, 0, 0)}, {}, {})
    totals = frame[frame["flag"] == "all"]
    assert totals["month"].tolist() == ["2024-01", "2024-02"]
    absent = totals[["here_count", "ooni_count", "difference"]].isna()
    assert absent.to_numpy().tolist() == [[False, True, True], [True, False, True]]
    assert totals["unexplained"].tolist() == [1, -2]
    assert totals["explanation"].tolist() == [
        "OONI has no measurement of this month", "nothing of this month was kept here",
    ]  # fmt: skip


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
        probe_cc="QQ", since=str(_PERIOD.since), until=str(_PERIOD.until), source=str(archive),
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
    fetch_counts(replies_folder(str(store)), "QQ", _PERIOD, print)
    tied = _tied(study, store)
    totals = tied.counts[tied.counts["flag"] == "all"].set_index("month")
    assert totals["here_count"].to_dict() == {"2024-01": 4, "2024-02": 2}
    assert totals["unexplained"].to_dict() == {"2024-01": 0, "2024-02": -1}
    assert totals.at["2024-01", "explanation"] == (
        "1 received after OONI was asked; 1 whose network is unknown, which OONI drops; "
        "1 uploaded twice and counted twice by OONI"
    )
    assert totals.at["2024-02", "explanation"] == (
        "1 unexplained; archive objects of this month not read whole: 1"
    )
    assert tied.claim == (
        "4 of 8 counts by month and flag are the same at OONI; 2 differ for a reason that is not "
        "known."
    )
    assert tied.reading == (
        "OONI counts 6 measurements of the period, this report 6, as many (1 unexplained). OONI "
        "flags 33.3 % of them as anomalous or confirmed, this report 33.3 %."
    )
    assert "OONI was asked on 2024-04-10." in tied.caveat
    assert "The newest archive object read is of 2024-04-15 10:00 UTC" in tied.caveat


def test_the_page_shows_it_where_the_source_is_oonis(
    ooni: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repository_root: Path
) -> None:
    """The first notebook, from OONI's archive and OONI's counts as they were fetched."""
    period = Period.parse("2024-01-20", "2024-01-22")
    words = {"probe_cc": "KH", "since": "2024-01-20", "until": "2024-01-22", "source": "ooni",
             "store": str(tmp_path / "store"), "receipt_margin": 0}  # fmt: skip
    with loopback_s3() as archive:
        monkeypatch.setenv("OONI_ARCHIVE", archive.url)
        archive.objects = {
            object_key(10, day="20240120", cc="KH"): packed([_line(1, "2024-01-20", probe_cc="KH")])
        }
        open_study(StudyParameters(**words), jobs=1).observations.close()
    _serve(ooni, m01=(2, 0, 0, 0))
    fetch_counts(replies_folder(words["store"]), "KH", period, print)
    ooni.clear()
    others = dict.fromkeys(("test_list", "networks", "fingerprints", "events"), "")
    others["tables"] = str(tmp_path / "tables")
    page = execute(
        repository_root / "notebooks" / "1-ingestion.ipynb", {**words, **others}, Kernels()
    )
    outputs = [output for cell in page.cells for output in cell.get("outputs", [])]
    shown = "".join(output["data"].get("text/html", "") for output in outputs if "data" in output)
    assert "2 of 4 counts by month and flag are the same at OONI; 2 differ for a reason" in shown
    assert shown.count("1 unexplained") == 3
    assert tieout.NOT_OONI.partition("'")[0] not in shown
    assert not ooni.log
