"""Whatever an archive holds, there is a report, or one sentence that says why there can be none.

``python -m benchmarks.drawing`` draws hundreds of parts of archives; here are a few, and by name
the situations in which a report was wrong or ended.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import SourceError
from analysis.report.annex import blocked_sites, rank_networks
from analysis.report.app_tables import Judged, judge_apps
from analysis.study.confirmation import confirm
from analysis.study.parameters import StudyParameters
from analysis.study.study import open_messaging, open_study
from analysis.worlds.writing import write_world
from benchmarks.drawing import Archive, Part, check_ledger, draw, find_faults, report, try_part
from tests.archives import line_of, object_key, put, read_csv
from tests.messaging import TIMEOUT, measurement, telegram, write_archive

#: Files of OONI's archive, and the month of their measurements.
REAL = {
    "20200921_IT_webconnectivity.l.0": ("2020-09-01", "2020-10-01"),
    "20200921_IT_webconnectivity.x.038e9ffc4b3a374f": ("2020-09-01", "2020-10-01"),
    "20200921_IT_webconnectivity.x.bcd187978df90669": ("2020-09-01", "2020-10-01"),
    "2021081715_US_webconnectivity.n0.0": ("2021-08-01", "2021-09-01"),
    "2021081715_US_webconnectivity.n0.7": ("2021-08-01", "2021-09-01"),
}


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A small country of forty days."""
    folder = tmp_path_factory.mktemp("country") / "world"
    write_world(
        folder,
        probe_cc="QN",
        since="2024-01-01",
        until="2024-02-10",
        seed=3,
        sessions_per_day=3,
        network_count=10,
        name_count=40,
        has_apps=True,
    )
    return Archive("a country", folder / "archive", "QN", folder / "reference")


def _part(country: Archive, day_count: int, **what: Any) -> Part:
    since = date(2024, 1, 8)
    days = tuple(since + timedelta(day) for day in range(day_count))
    until = since + timedelta(max(day_count, 2))
    return Part(country, **{"since": since, "until": until, "days": days, **what})


#: Situation → what is kept.
PARTS: dict[str, dict[str, Any]] = {
    "two days": {"day_count": 2, "seed": 7},
    "one half is empty": {"day_count": 3, "until": date(2024, 2, 9), "result": "not ok"},
    "one site": {"day_count": 25, "names": 1, "seed": 2},
    "one network, no list": {"day_count": 2, "networks": 1, "given": ()},
    "each name tested once": {"day_count": 1, "names": -1},
}


@pytest.mark.parametrize("what", PARTS.values(), ids=PARTS)
def test_a_part_of_an_archive_gives_a_report(
    country: Archive, what: dict[str, Any], tmp_path: Path
) -> None:
    end, faults = try_part(_part(country, **what), tmp_path)
    assert (end, faults) == ("report", [])


@pytest.mark.parametrize("seed", [4, 24])
def test_a_drawn_part_gives_a_report_or_one_sentence(
    country: Archive, seed: int, tmp_path: Path
) -> None:
    end, faults = try_part(draw(seed, [country], tmp_path), tmp_path)
    assert end == "report" or end.startswith(("SourceError: ", "ParameterError: ")), end
    assert "\n" not in end
    assert faults == []


def _report(folder: Path, lines: Sequence[bytes], **changes: str) -> dict[str, str]:
    """Pages of a report on one object, by name."""
    put(folder / "archive", object_key(), lines)
    given = {
        "PROBE_CC": "QQ",
        "SINCE": "2024-07-01",
        "UNTIL": "2024-07-03",
        "JOBS": "1",
        "SOURCE": str(folder / "archive"),
        "STORE": str(folder / "store"),
        "OUT": str(folder / "report"),
        "ACCEPT_FIELDS": "1",
        **changes,
    }
    out = report([f"{name}={value}" for name, value in given.items()])
    return {page.name: page.read_text(encoding="utf-8") for page in out.glob("*.html")}


def test_where_nothing_was_tested_enough_no_page_counts_out_of_none(tmp_path: Path) -> None:
    """One measurement: no page says of 0 of 0 sites that they were blocked; no figure is empty."""
    pages = _report(tmp_path, [line_of()])
    assert "was tested enough to say what is blocked" in pages["index.html"]
    assert "at least 30 sites were reached" not in pages["9-coverage.html"]
    assert list(find_faults(tmp_path / "report")) == []


def test_where_nobody_measured_on_an_access_network_pages_say_so(tmp_path: Path) -> None:
    networks = tmp_path / "networks.csv"
    networks.write_text("asn,network,operator,kind,source\n64500,A VPN,,vpn,test\n", "utf-8")
    pages = _report(tmp_path, [line_of()], NETWORKS=str(networks))
    assert "No pair of a site and an access network is counted." in pages["9-coverage.html"]
    assert "no access network was tested on three days or more" in pages["9-coverage.html"]
    assert list(find_faults(tmp_path / "report")) == []


def test_an_archive_without_a_measurement_of_the_period_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^the source has no measurement of QQ from 2024-08-01"):
        _report(tmp_path, [line_of()], SINCE="2024-08-01", UNTIL="2024-09-01")


def _judge_apps(folder: Path, *keys: dict[str, Any]) -> Judged:
    """Telegram on two networks, one test a day on each."""
    documents = [
        measurement(keys=one, start=f"2024-07-{day:02} 10:00:00", asn=asn)
        for day, one in enumerate(keys, start=1)
        for asn in (64500, 64501)
    ]
    return judge_apps(
        open_messaging(
            StudyParameters(
                probe_cc="QQ",
                since="2024-07-01",
                until="2024-08-01",
                store=str(folder / "store"),
                source=str(write_archive(folder / "archive", documents)),
            ),
            jobs=1,
        )
    )


def test_apps_of_a_month_in_which_none_failed(tmp_path: Path) -> None:
    judged = _judge_apps(tmp_path, *[telegram()] * 6)
    whole = judged.verdicts[judged.verdicts["period"] == "all"]
    assert whole["state"].tolist() == ["ok", "ok"]
    assert judged.intervals.empty


@pytest.mark.parametrize("keys", [{"requests": []}, telegram(unanswered=12, web=TIMEOUT)])
def test_apps_without_a_single_result(keys: dict[str, Any], tmp_path: Path) -> None:
    judged = _judge_apps(tmp_path, *[{**telegram(), "tcp_connect": None, **keys}] * 3)
    assert not set(judged.verdicts["state"]) & {"ok", "blocked", "likely_blocked"}


# --- files of OONI's archive ----------------------------------------------------------------------


def _real(shared_data: Path, name: str, folder: Path) -> Path:
    """An archive of this file alone."""
    files = sorted((shared_data / "archive").glob(f"raw/*/*/*/*/{name}.jsonl.gz"))
    if not files:
        pytest.skip("whole files of OONI's archive are not here")
    place = files[0].relative_to(shared_data / "archive")
    put(folder, place.as_posix(), files[0].read_bytes())
    return folder


@pytest.mark.parametrize("name", REAL)
def test_a_whole_file_of_oonis_archive(shared_data: Path, name: str, tmp_path: Path) -> None:
    """Each line has one reason; one probe's measurements of an hour or a day list nobody."""
    source, (since, until) = _real(shared_data, name, tmp_path / "archive"), REAL[name]
    study = open_study(
        StudyParameters(
            probe_cc=name.split("_")[1],
            since=since,
            until=until,
            source=str(source),
            store=str(tmp_path / "store"),
        ),
        jobs=1,
    )
    ledger = study.observations.ledger().set_index("reason")["line_count"]
    is_cause = ledger.index.str.contains(":")
    assert ledger[~is_cause].drop("total").sum() == ledger["total"] > 0
    networks = study.networks()
    judgement = confirm(study, networks)
    assert networks["measurement_count"].sum() == ledger["kept"]
    ranked = rank_networks(networks, judgement.verdicts)
    assert blocked_sites(judgement.verdicts, ranked, study.domains()).empty
    assert judgement.intervals.empty


def test_a_whole_file_gives_a_report(shared_data: Path, tmp_path: Path) -> None:
    name = "20200921_IT_webconnectivity.x.bcd187978df90669"
    source, (since, until) = _real(shared_data, name, tmp_path / "archive"), REAL[name]
    given = {
        "PROBE_CC": "IT",
        "SINCE": since,
        "UNTIL": until,
        "SOURCE": source,
        "STORE": tmp_path / "store",
        "OUT": tmp_path / "report",
        "JOBS": 1,
    }
    report([f"{name}={value}" for name, value in given.items()])
    check_ledger(tmp_path / "report", 10)
    assert read_csv(tmp_path / "report" / "tables" / "blocked_sites.csv").empty
    assert list(find_faults(tmp_path / "report")) == []
