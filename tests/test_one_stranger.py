"""What one stranger can do with what they upload: rename a network, make names up, cut objects."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from analysis.report.network_kinds import say_kinds
from analysis.report.unread import find_unread
from analysis.study.confirmation import confirm
from analysis.study.parameters import StudyParameters
from analysis.study.study import Study, open_study
from analysis.vocabulary import LISTED
from analysis.worlds.writing import write_world
from benchmarks.drawing import report
from tests.archives import contents, line_of, object_key, packed, put, put_lines, read_csv
from tests.measurements import site_test

_NETWORKS = range(64500, 64512)


def _run(number: int, day: int, *, asn: int, name: str, inputs: Sequence[str]) -> Iterator[bytes]:
    """The lines of one run, in the period of the studies below."""
    start = f"2024-07-{day:02} 10:{number % 60:02}:00"
    for place, url in enumerate(inputs):
        yield line_of(
            place,
            report_id=f"r{number}",
            input=url,
            probe_asn=f"AS{asn}",
            probe_network_name=name,
            measurement_start_time=start,
            test_start_time=start,
        )


def _sites(count: int, label: str = "site") -> list[str]:
    return [f"https://{label}{n}.example/" for n in range(count)]


def _honest_runs(days: int = 4) -> Iterator[bytes]:
    """Twelve networks of a name each, a run on each day, of three sites."""
    for asn in _NETWORKS:
        for day in range(1, days + 1):
            number = 100 * asn + day
            yield from _run(number, day, asn=asn, name=f"Rural Net {asn}", inputs=_sites(3))


@contextmanager
def _study(folder: Path, lines: Sequence[bytes]) -> Iterator[Study]:
    put_lines(folder / "archive", lines)
    parameters = StudyParameters(
        probe_cc="QQ",
        since="2024-07-01",
        until="2024-08-01",
        source=str(folder / "archive"),
        store=str(folder / "store"),
    )
    study = open_study(parameters, jobs=1)
    with closing(study.observations):
        yield study


def test_one_report_renames_no_network(tmp_path: Path) -> None:
    """A report of 1,100 lines made a VPN of a network, and nothing blocked there was listed."""
    forged = list(_run(1, 2, asn=64500, name="Nord VPN exit", inputs=_sites(1100, "vpn")))
    with _study(tmp_path, [*_honest_runs(), *forged]) as study:
        networks = study.networks().set_index("probe_asn")
        assert networks.loc[64500, ["network", "kind"]].tolist() == ["Rural Net 64500", "unknown"]
        assert list(say_kinds(study, study.networks())) == []


def test_ten_reports_of_one_name_make_no_operator(tmp_path: Path) -> None:
    forged = [
        line
        for asn in _NETWORKS
        for line in _run(asn, 3, asn=asn, name="Big Telecom", inputs=_sites(50))
    ]
    with _study(tmp_path, [*_honest_runs(), *forged]) as study:
        assert study.networks()["operator"].nunique() == len(_NETWORKS)


def test_whoever_renames_a_network_on_most_of_its_days_is_seen(tmp_path: Path) -> None:
    """It takes more runs than the network has, on most of its days; and then page 1 says so."""
    forged = [
        line
        for number in (1, 2)
        for day in range(1, 8)
        for line in _run(
            10 * day + number,
            day,
            asn=64500,
            name="Nord VPN exit",
            inputs=_sites(1, f"run{number}"),
        )
    ]
    with _study(tmp_path, [*_honest_runs(6), *forged]) as study:
        assert study.networks().set_index("probe_asn").loc[64500, "kind"] == "vpn"
        (said,) = say_kinds(study, study.networks())
        assert "only because of a word in the name" in said
        assert "1 (Nord VPN exit (AS64500), VPN)" in said
    with _study(tmp_path / "one run a day", [*_honest_runs(6), *forged[:7]]) as study:
        assert list(say_kinds(study, study.networks())) == []
    with _study(tmp_path / "longer", [*_honest_runs(20), *forged]) as study:
        (said,) = say_kinds(study, study.networks())
        assert "on 7 days “Nord VPN exit”, which would be VPN" in said


def test_invented_names_take_no_room(tmp_path: Path) -> None:
    """Networks and sites that are tested once have no rank, plan, page, column or file, and no such
    network has a name anywhere, or counts as an access network."""
    world = tmp_path / "world"
    write_world(
        world,
        probe_cc="QN",
        since="2024-07-01",
        until="2024-07-15",
        seed=3,
        sessions_per_day=3,
        network_count=10,
        name_count=30,
    )
    invented = [
        line.replace(b'"QQ"', b'"QN"')
        for n in range(300)
        for line in _run(
            n, 5, asn=70_000 + n, name=f"Invented {n} Telecom", inputs=_sites(10, f"invented{n}-")
        )
    ]
    lists = world / "reference"
    written = {}
    for what in ("honest", "invented"):
        if what == "invented":
            put_lines(world / "archive", invented, "QN", "n0.9")
        folder = tmp_path / what
        given = {
            "PROBE_CC": "QN",
            "SINCE": "2024-07-01",
            "UNTIL": "2024-07-15",
            "JOBS": "1",
            "SOURCE": world / "archive",
            "STORE": folder / "store",
            "OUT": folder / "report",
            "TEST_LIST": f"{lists}/test-lists/global.csv,{lists}/test-lists/qn.csv",
            "NETWORKS": lists / "networks.csv",
            "ACCEPT_FIELDS": "1",
        }
        written[what] = report([f"{name}={value}" for name, value in given.items()])
    files = {what: set(contents(out)) for what, out in written.items()}
    assert files["invented"] == files["honest"]
    sizes = {}
    for what, out in written.items():  # the index has a line for each tested site, so none of it
        pages = contents(out, "*.html")
        sizes[what] = sum(len(page) for name, page in pages.items() if name != "sites/index.html")
    assert sizes["invented"] < 1.1 * sizes["honest"]
    networks = read_csv(written["invented"] / "tables" / "networks.csv").set_index("probe_asn")
    is_invented = networks["kind"] == "few_days"
    assert is_invented.sum() == 300
    assert list(networks.loc[is_invented, "network"]) == list(networks.index[is_invented])
    told = [
        name
        for name, content in contents(written["invented"]).items()
        if b"Telecom" in content and b"Invented" in content
    ]
    assert not told
    assert set(networks.loc[is_invented, "rank"]) == {""}
    assert (networks.loc[~is_invented, "rank"] != "").any()


@pytest.mark.parametrize(
    ("broken", "items"),
    [
        (b"", []),
        (b"{no measurement}\n", ["2024-07"]),
    ],
)
def test_what_is_missing_is_told_by_month(tmp_path: Path, broken: bytes, items: list[str]) -> None:
    """From one line in a hundred on; no line that cannot be read names a network."""
    lines = [*_honest_runs(), *[broken.strip()] * 2]
    with _study(tmp_path, lines) as study:
        assert find_unread(study, study.networks())["item"].tolist() == items


def test_an_object_that_breaks_off_is_told_of_its_networks(tmp_path: Path) -> None:
    """Of a network is known in which objects it measured, not what the lost lines were."""
    for hour in range(1, 5):
        lines = list(
            _run(
                hour,
                hour,
                asn=64500 + hour % 2,
                name=f"Rural Net {64500 + hour % 2}",
                inputs=_sites(20),
            )
        )
        whole, key = packed(lines), object_key(10, "n1.0", f"202407{hour:02}")
        put(tmp_path / "archive", key, whole if hour > 1 else whole[:-20])
    with _study(tmp_path, [*_honest_runs()]) as study:
        unread = find_unread(study, study.networks()).set_index("item")
    counts = ["object_count", "unread_object_count"]
    assert unread.loc["2024-07", counts].tolist() == [8, 1]
    assert unread.loc["Rural Net 64501 (AS64501)", counts].tolist() == [6, 1]
    assert not any("AS64500" in str(item) for item in unread.index)


# --- an upload of one hour ------------------------------------------------------------------------


def _line(host: str, asn: str, start: datetime, *, is_blocked: bool = False) -> bytes:
    """One test of a site, in a run of its minute."""
    probe = {"probe_cc": "QQ", "probe_asn": asn, "resolver_asn": asn}
    times = {"measurement_start_time": str(start), "test_start_time": f"{start:%Y-%m-%d %H}:00:00"}
    report = {"report_id": f"{asn} {start:%Y%m%d%H}"}
    return json.dumps(
        site_test(f"https://{host}/", host, is_blocked) | probe | times | report
    ).encode()


@pytest.mark.parametrize(
    ("receipt", "is_listed"),
    [("as claimed", True), ("in one hour", False), ("in the hour of the last", False)],
)
def test_who_claims_days_buys_none(tmp_path: Path, receipt: str, is_listed: bool) -> None:
    """Six forged runs on six days list a site that nobody else tested there; in an hour they do
    not, however many days they claim."""
    honest = [
        _line(f"site{site}.example", asn, datetime(2024, 7, 1 + day, 10, site))
        for day, asn, site in product(range(12), ("AS64500", "AS64501"), range(10))
    ]
    put_lines(tmp_path / "archive", honest)
    step = timedelta(hours=8 if receipt == "in the hour of the last" else 24)
    starts = [datetime(2024, 7, 3, 10) + step * number for number in range(6)]
    forged = [_line("three.example", "AS64500", start, is_blocked=True) for start in starts]
    if receipt == "as claimed":
        put_lines(tmp_path / "archive", forged, name="n9.0")
    else:
        key = object_key(starts[-1].hour, "n9.0", f"{starts[-1]:%Y%m%d}")
        put(tmp_path / "archive", key, forged)
    parameters = StudyParameters(
        probe_cc="QQ",
        since="2024-07-01",
        until="2024-08-01",
        source=str(tmp_path / "archive"),
        store=str(tmp_path / "store"),
    )
    study = open_study(parameters, jobs=1)
    with closing(study.observations):
        verdicts = confirm(study, periods=["all"]).verdicts
    forged_pair = verdicts[verdicts["domain"] == "three.example"]
    assert forged_pair["state"].isin(LISTED).tolist() == [is_listed]
