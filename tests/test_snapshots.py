"""Snapshots of reference data: fetched whole or not at all, found by date, never altered."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import stamina

from analysis.commands.settings import parse_settings, with_lists
from analysis.errors import ContractError, ParameterError, SourceError
from analysis.observations import fingerprints
from analysis.reference.networks import load_network_names
from analysis.reference.reference_files import find
from analysis.reference.test_lists import load_test_lists
from analysis.sources.archive_files import CannotRead
from analysis.sources.reference_data import ADDRESSES, current, download, refresh
from tests.archives import contents
from tests.loopback_s3 import Fault, LoopbackS3, loopback_s3

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_HEADER = "url,category_code,category_description,date_added,source,notes\n"
_MARKS = "name,scope,location_found,pattern_type,pattern,expected_countries\n"
_DNS = "fingerprints/fingerprints_dns.csv"
_LEGEND = "lists/00-LEGEND-new_category_codes.csv"
_MONTH, _MONTH_BEFORE = "names/2026-11.csv.gz", "names/2026-10.csv.gz"


def _sites(count: int, name: str = "site") -> bytes:
    rows = (f"https://{name}{n}.example/,NEWS,News Media,2026-01-02,x,\n" for n in range(count))
    return (_HEADER + "".join(rows)).encode()


def _marks(count: int, location: str) -> bytes:
    rows = (f"m{n},isp,{location},contains,mark{n},KH\n" for n in range(count))
    return (_MARKS + "".join(rows)).encode()


def _good() -> dict[str, bytes]:
    ranges = b'192.0.2.0,192.0.2.255,17,"Seventeen, Ltd"\n2001:db8::,2001:db8::ff,4,Four\n'
    return {
        _LEGEND: b"Category Description,New Code\nNews Media,NEWS\n",
        "lists/global.csv": _sites(8, "global"),
        "lists/kh.csv": _sites(4, "kh"),
        "lists/th.csv": _sites(6, "th"),
        _DNS: _marks(3, "dns"),
        "fingerprints/fingerprints_http.csv": _marks(5, "body"),
        **{f"names/2026-{month}.csv.gz": gzip.compress(ranges) for month in ("08", "10", "11")},
    }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackS3]:
    """A server that the sources' addresses point to; attempts follow each other at once."""
    with stamina.set_testing(True, attempts=4), loopback_s3() as state:
        state.objects = _good()
        places = ("lists/", "fingerprints", "names/{month}.csv.gz")
        for variable, place in zip(ADDRESSES, places, strict=True):
            monkeypatch.setenv(variable, f"{state.url}/{place}")
        yield state


def _asked(server: LoopbackS3) -> list[str]:
    """The files that were asked for since this was asked last."""
    asked = [request.removeprefix("GET /archive/") for request in server.requests]
    server.requests.clear()
    return asked


def _nothing(words: str) -> None:
    pass


def _files(folder: Path) -> dict[str, bytes]:
    return {name: file for name, file in contents(folder).items() if name != ".lock"}


def _at(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T23:59:00+00:00")


# Fetching ----------------------------------------------------------------------------------------


def test_a_snapshot_holds_what_a_report_reads_each_file_with_its_sidecar(
    server: LoopbackS3, tmp_path: Path
) -> None:
    """The report's own loaders read it, and run.json can name every file, its digest and day."""
    snapshot = refresh("KH", tmp_path, _nothing, _NOW)
    assert snapshot.folder == tmp_path / "2026-11-25"
    places = snapshot.parameters()
    lists = load_test_lists(places["TEST_LIST"], "KH")
    assert lists.is_on_country_list("kh3.example")
    assert lists.is_listed("global7.example")
    known = fingerprints.load(places["FINGERPRINTS"])
    assert (len(known.dns), len(known.http)) == (3, 5)
    names = load_network_names(places["NETWORK_NAMES"])
    assert dict(names.names) == {4: "Four", 17: "Seventeen, Ltd"}

    sidecar = json.loads((snapshot.folder / "test-lists/kh.csv.json").read_text("utf-8"))
    content = server.objects["lists/kh.csv"]
    assert sidecar == {
        "url": f"{server.url}/lists/kh.csv",
        "fetched_at": "2026-11-25T12:00:00Z",
        "role": "country test list",
        "licence": "CC BY-NC-SA 4.0",
        "status": 200,
        "size": len(content),
        "sha256": lists.files[0].digest,
        "row_count": 4,
        "date": "2026-01-02",
    }
    digests = {file.name: file.digest for file in snapshot.files("KH")}
    assert len(digests) == 6
    assert digests["2026-11-25/networks/asn-names.csv"] == names.file.digest
    assert [file.role for file in snapshot.files("KH", used=["NETWORK_NAMES"])] == ["network names"]


def test_nothing_is_fetched_twice_a_day_and_another_country_is_added(
    server: LoopbackS3, tmp_path: Path
) -> None:
    """The files that are there stay as they are."""
    refresh("KH", tmp_path, _nothing, _NOW)
    first = _files(tmp_path)
    _asked(server)
    refresh("KH", tmp_path, _nothing, _NOW)
    assert _asked(server) == []
    snapshot = refresh("TH", tmp_path, _nothing, _NOW)
    assert _asked(server) == ["lists/th.csv"]
    assert first.items() < _files(tmp_path).items()
    assert load_test_lists(snapshot.parameters()["TEST_LIST"], "TH").files[0].row_count == 6


def test_a_country_without_a_list_is_recorded(server: LoopbackS3, tmp_path: Path) -> None:
    """It is no fault, and is not asked for again that day."""
    snapshot = refresh("LA", tmp_path, _nothing, _NOW)
    assert not (snapshot.folder / "test-lists/la.csv").exists()
    assert len(load_test_lists(snapshot.parameters()["TEST_LIST"], "LA").files) == 1
    roles = {file.name: file.role for file in snapshot.files("LA")}
    assert roles["2026-11-25/test-lists/la.csv"] == "country test list: there is none"
    _asked(server)
    assert find("latest", "LA", tmp_path) == refresh("LA", tmp_path, _nothing, _NOW)
    assert _asked(server) == []


def _status(number: int, **headers: str) -> Fault:
    return Fault("status", status=number, headers=headers)


def _body(content: bytes) -> Fault:
    return Fault("body", body=content)


_BAD = [
    ("lists/kh.csv", _status(500), "country test list .* the server answered 500 each time"),
    ("lists/kh.csv", _status(404), "the server has no such file"),  # it had one before
    ("lists/kh.csv", _status(302, Location="/x"), "the server answered 302"),
    ("lists/kh.csv", _status(302, Location="mailto:192.0.2.1"), "the server answered 302"),
    ("lists/kh.csv", Fault("reset", cut=99), "the connection broke each time"),
    ("lists/kh.csv", _body(_sites(4)[:-30]), r"kh.csv: line 5: \d cells where the header has 6"),
    ("lists/kh.csv", _body(_sites(1)), "1 rows, less than half of the 4 of 2026-10-01"),
    ("lists/kh.csv", _body(gzip.compress(_sites(4))[:-5]), "a cut or broken gzip file"),
    ("lists/global.csv", _status(404), "the server has no such file"),
    ("lists/global.csv", _body(b"<!doctype html>\n<p>Sorry"), "global.csv: line 1: no column"),
    ("lists/global.csv", _body(b"\xff\xfe\x00"), "global.csv: line 1: not UTF-8"),
    ("lists/global.csv", _body(b"\n"), "global.csv: line 1: no column url"),
    ("lists/global.csv", _body(_HEADER.encode()), "what arrived has no rows"),
    ("lists/global.csv", _body(gzip.compress(bytes(20_000_000))), "it holds more than 16 MB"),
    (_LEGEND, _body(b"a,b\n1,2\n"), "line 1: no column Category Description"),
    (_DNS, _body(b"<html>"), "fingerprints_dns.csv: line 1: no column name, pattern"),
    (_DNS, _body(_marks(3, "dns")[:-12]), r"fingerprints_dns.csv: line 4: \d cells where"),
    (_DNS, _body(_MARKS.encode() + b'm,isp,dns,full,"x,KH\n'), "line 2: not CSV"),
]


def test_a_bad_source_leaves_no_trace(server: LoopbackS3, tmp_path: Path) -> None:
    """One sentence names list, address and fault; the snapshot before is as it was."""
    refresh("KH", tmp_path, _nothing, _at("2026-10-01"))
    before = _files(tmp_path)
    for path, fault, message in _BAD:
        server.faults = {path: fault}
        with pytest.raises(SourceError, match=message) as caught:
            refresh("KH", tmp_path, _nothing, _NOW)
        assert f"{server.url}/{path}" in str(caught.value)
        assert _files(tmp_path) == before
        assert find("latest", "KH", tmp_path).folder.name == "2026-10-01"


def test_a_report_does_without_network_names(server: LoopbackS3, tmp_path: Path) -> None:
    """Nothing is judged by them: their absence is said, recorded, and made good the same day."""
    for number, fault in enumerate(
        (_status(500), _body(b"<html>"), _body(b"1,2,x,N\n"), _body(gzip.compress(b"")))
    ):
        server.faults[_MONTH], folder, said = fault, tmp_path / str(number), []
        snapshot = refresh("KH", folder, said.append, _NOW)
        assert "network names cannot be fetched" in said[-1]
        assert snapshot.parameters()["NETWORK_NAMES"] == ""
        assert snapshot.files("KH")[-1].role == "could not be fetched"
        server.faults.clear()
        _asked(server)
        assert refresh("KH", folder, _nothing, _NOW).parameters()["NETWORK_NAMES"]
        assert _asked(server) == [_MONTH]


def test_a_month_that_is_not_out_yet_falls_back(server: LoopbackS3, tmp_path: Path) -> None:
    """On the first of a month the table is that of the month before."""
    del server.objects[_MONTH]
    sidecar = refresh("KH", tmp_path, _nothing, _NOW).sidecar("networks/asn-names.csv")
    assert sidecar.url.endswith(_MONTH_BEFORE)


def test_time_and_memory_are_bounded(server: LoopbackS3, tmp_path: Path) -> None:
    """A server that drips, and one that sends a bomb, are let go."""
    server.faults = {"body": Fault("drip", body=bytes(999)), "headers": Fault("head")}
    for name in server.faults:
        with pytest.raises(CannotRead, match=r"did not arrive within 0\.2 seconds"):
            download(f"{server.url}/{name}", 10**6, 0.2)
    server.objects["bomb"] = gzip.compress(bytes(10**7))
    with pytest.raises(CannotRead, match="more than 1 MB"):
        download(f"{server.url}/bomb", 10**6, 9)


def test_an_interrupted_addition_does_not_count(server: LoopbackS3, tmp_path: Path) -> None:
    """A list whose sidecar never came is fetched again."""
    refresh("KH", tmp_path, _nothing, _NOW)
    (tmp_path / "2026-11-25/test-lists/th.csv").write_text(_HEADER, "utf-8")
    with pytest.raises(ParameterError, match="there are: none"):
        find("latest", "TH", tmp_path)
    refresh("TH", tmp_path, _nothing, _NOW)
    assert find("latest", "TH", tmp_path).sidecar("test-lists/th.csv").row_count == 6


# Finding -----------------------------------------------------------------------------------------


@pytest.fixture
def dated(server: LoopbackS3, tmp_path: Path) -> Path:
    """Snapshots of three days, the last of them for another country."""
    for code, day in (("KH", "2026-08-01"), ("KH", "2026-10-01"), ("TH", "2026-11-01")):
        refresh(code, tmp_path, _nothing, _at(day))
    (tmp_path / "2026-11-02").mkdir()  # made by hand, and empty
    (tmp_path / "notes").mkdir()
    _asked(server)
    return tmp_path


def test_a_snapshot_is_found_by_date(server: LoopbackS3, dated: Path) -> None:
    """The newest of that day or before which was fetched for the country; nothing is fetched. Where
    there is none, the error says which days there are."""
    for reference, day in (
        ("latest", "2026-10-01"),
        ("2026-12-31", "2026-10-01"),
        ("2026-10-01", "2026-10-01"),
        ("2026-09-30", "2026-08-01"),
    ):
        assert find(reference, "KH", dated).folder.name == day
    there = "no such snapshot for KH; there are: 2026-08-01, 2026-10-01; 'python -m"
    with pytest.raises(ParameterError, match=there):
        find("2026-07-31", "KH", dated)
    for reference in ("20261001", "yesterday", "2026-02-30", "../2026-10-01"):
        with pytest.raises(ParameterError, match="latest, or a UTC date written YYYY-MM-DD"):
            find(reference, "KH", dated)
    assert _asked(server) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test-lists/kh.csv", _sites(4, "other"), "test-lists/kh.csv is not the file"),
        ("networks/asn-names.csv", b"", "networks/asn-names.csv is not the file"),
        ("test-lists/kh.csv.json", b"{}", "kh.csv.json cannot be read"),
    ],
)
def test_an_altered_file_is_refused(dated: Path, name: str, content: bytes, message: str) -> None:
    """A report never says that it used a list that it did not use."""
    (dated / "2026-10-01" / name).write_bytes(content)
    with pytest.raises(ContractError, match=f"2026-10-01/{message}"):
        find("latest", "KH", dated)
    assert find("2026-09-01", "KH", dated).folder.name == "2026-08-01"


def test_a_repeated_report_fetches_no_lists(
    server: LoopbackS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With RELIST=0 the newest that are there are used, however old."""
    monkeypatch.setattr("analysis.commands.settings.SNAPSHOTS", tmp_path)
    server.objects["names/2020-01.csv.gz"] = server.objects[_MONTH]
    refresh("KH", tmp_path, _nothing, _at("2020-01-01"))
    _asked(server)
    words = ["PROBE_CC=KH", "SOURCE=ooni", "SINCE=2019-07-01", "UNTIL=2020-01-01"]
    snapshot = with_lists(parse_settings([*words, "RELIST=0"]), _nothing).snapshot
    assert (snapshot and snapshot.folder.name, _asked(server)) == ("2020-01-01", [])


@pytest.mark.parametrize(
    ("day", "used"), [("2026-10-30", "2026-10-01"), ("2026-10-31", "2026-10-31")]
)
def test_a_snapshot_of_the_last_month_is_used_as_it_is(
    server: LoopbackS3, dated: Path, day: str, used: str
) -> None:
    """Thirty days later the next one is fetched, and that is the one used."""
    assert current("KH", dated, _nothing, _at(day)).folder.name == used
    assert bool(_asked(server)) == (day == used)
