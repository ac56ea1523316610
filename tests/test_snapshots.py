"""Snapshots of reference data: fetched whole or not at all, found by date, never altered."""

import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stamina

from analysis.errors import ContractError, ParameterError, SourceError
from analysis.observations import fingerprints
from analysis.reference.networks import extract_names, load_network_names
from analysis.reference.snapshots import find
from analysis.reference.test_lists import load_test_lists
from analysis.sources.archive_files import CannotRead
from analysis.sources.fetching import Limits, download
from analysis.sources.reference_data import ADDRESSES, current, refresh

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_HEADER = "url,category_code,category_description,date_added,source,notes\n"
_MARKS = "name,scope,location_found,pattern_type,pattern,expected_countries\n"
_DNS = "fingerprints/fingerprints_dns.csv"
_LEGEND = "lists/00-LEGEND-new_category_codes.csv"
_MONTH, _MONTH_BEFORE = "names/2026-11.csv.gz", "names/2026-10.csv.gz"

Reply = Callable[[BaseHTTPRequestHandler], None]


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


class _Server:
    """A web server on loopback.

    Attributes:
        files: bytes by path.
        faults: what is answered instead, one reply a request, by path; the last one stays.
        requests: the paths that were asked for, in order.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.files = _good()
        self.faults: dict[str, list[Reply | None]] = {}
        self.requests: list[str] = []

    def reply(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/")
        self.requests.append(path)
        faults = self.faults.get(path) or [None]
        fault = faults.pop(0) if len(faults) > 1 else faults[0]
        if fault:
            fault(handler)
        elif path in self.files:
            _send(self.files[path])(handler)
        else:
            _send(b"404: Not Found", 404)(handler)


def _send(body: bytes, status: int = 200, length: int | None = None, **headers: str) -> Reply:
    """Answer; with ``length`` larger than the body the connection breaks off."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"ETag": '"e1"', **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Connection", "close")
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def _drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte of a body now and then, for ever."""
    _drip_headers(handler, b"HTTP/1.1 200 OK\r\n\r\n")


def _drip_headers(handler: BaseHTTPRequestHandler, head: bytes = b"HTTP/1.1 200 OK\r\nX-") -> None:
    """The same of a header."""
    handler.close_connection = True
    handler.wfile.write(head)
    try:
        while True:
            handler.wfile.write(b"u")
            handler.wfile.flush()
            time.sleep(0.02)
    except OSError:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """A server that the sources' addresses point to; attempts follow each other at once."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            state.reply(self)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state = _Server(http.server_address[1])
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    places = ("lists/", "fingerprints", "names/{month}.csv.gz")
    for variable, place in zip(ADDRESSES, places, strict=True):
        monkeypatch.setenv(variable, f"{state.url}/{place}")
    with stamina.set_testing(True, attempts=4):
        yield state
    http.shutdown()
    http.server_close()
    thread.join()


def _nothing(words: str) -> None:
    pass


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _at(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T23:59:00+00:00")


# Fetching ----------------------------------------------------------------------------------------


def test_a_snapshot_holds_what_a_report_reads_each_file_with_its_sidecar(
    server: _Server, tmp_path: Path
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
    content = server.files["lists/kh.csv"]
    assert sidecar == {
        "url": f"{server.url}/lists/kh.csv", "fetched_at": "2026-11-25T12:00:00Z",
        "role": "country test list", "licence": "CC BY-NC-SA 4.0", "status": 200, "etag": '"e1"',
        "size": len(content), "sha256": lists.files[0].digest, "row_count": 4,
        "date": "2026-01-02",
    }  # fmt: skip
    rows = {file.name: file for file in snapshot.files("KH")}
    assert len(rows) == 6
    assert rows["2026-11-25/test-lists/kh.csv"].digest == lists.files[0].digest
    assert rows["2026-11-25/networks/asn-names.csv"].digest == names.file.digest
    assert [file.role for file in snapshot.files("KH", used=["NETWORK_NAMES"])] == ["network names"]


def test_nothing_is_fetched_twice_a_day_and_another_country_is_added(
    server: _Server, tmp_path: Path
) -> None:
    """The files that are there stay as they are."""
    refresh("KH", tmp_path, _nothing, _NOW)
    first = _contents(tmp_path)
    server.requests.clear()
    refresh("KH", tmp_path, _nothing, _NOW)
    assert server.requests == []
    snapshot = refresh("TH", tmp_path, _nothing, _NOW)
    assert server.requests == ["lists/th.csv"]
    second = _contents(tmp_path)
    added = {f"2026-11-25/test-lists/th.csv{end}" for end in ("", ".json")}
    assert second.keys() - first.keys() == added
    assert first.items() <= second.items()
    assert load_test_lists(snapshot.parameters()["TEST_LIST"], "TH").files[0].row_count == 6


def test_two_processes_fetch_once(server: _Server, tmp_path: Path) -> None:
    """The second waits for the first and finds its work done."""
    both = [
        threading.Thread(target=refresh, args=("KH", tmp_path, _nothing, _NOW)) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(server.requests) == len(set(server.requests)) == 6
    assert find("latest", "KH", tmp_path).day.isoformat() == "2026-11-25"


def test_a_country_without_a_list_is_recorded(server: _Server, tmp_path: Path) -> None:
    """It is no fault, and is not asked for again that day."""
    snapshot = refresh("LA", tmp_path, _nothing, _NOW)
    assert not (snapshot.folder / "test-lists/la.csv").exists()
    assert len(load_test_lists(snapshot.parameters()["TEST_LIST"], "LA").files) == 1
    roles = {file.name: file.role for file in snapshot.files("LA")}
    assert roles["2026-11-25/test-lists/la.csv"] == "country test list: there is none"
    server.requests.clear()
    assert find("latest", "LA", tmp_path) == refresh("LA", tmp_path, _nothing, _NOW)
    assert server.requests == []


def test_real_lists_pass(server: _Server, tmp_path: Path, shared_data: Path) -> None:
    """What Citizen Lab and OONI published is taken, multi-line cells and all."""
    for path in (shared_data / "test-lists").glob("*.csv"):
        server.files[f"lists/{path.name}"] = path.read_bytes()
    for path in (shared_data / "fingerprints").glob("*.csv"):
        server.files[f"fingerprints/{path.name}"] = path.read_bytes()
    counts = [file.row_count for file in refresh("KH", tmp_path, _nothing, _NOW).files("KH")]
    assert counts == [31, 1721, 172, 226, 1729, 2]


@pytest.mark.parametrize(
    "fault",
    [
        _send(b"", 503),
        _send(b"", 429),
        _send(_sites(4)[:100], length=len(_sites(4))),
        lambda handler: setattr(handler, "close_connection", True),  # no answer at all
    ],
    ids=["503", "429", "broken", "no answer"],
)
def test_a_passing_fault_is_waited_out(server: _Server, tmp_path: Path, fault: Reply) -> None:
    """The third attempt succeeds, and nothing of the first two is left."""
    server.faults["lists/kh.csv"] = [fault, fault, None]
    snapshot = refresh("KH", tmp_path, _nothing, _NOW)
    assert server.requests.count("lists/kh.csv") == 3
    assert (snapshot.folder / "test-lists/kh.csv").read_bytes() == server.files["lists/kh.csv"]


@pytest.mark.parametrize(
    ("path", "fault", "message"),
    [
        ("lists/kh.csv", _send(b"", 500), "country test list .* the server answered 500 each time"),
        ("lists/kh.csv", _send(b"", 404), "the server has no such file"),  # it had one before
        ("lists/kh.csv", _send(b"", 302, Location="/x"), "the server answered 302"),
        ("lists/kh.csv", _send(b"", 302, Location="mailto:192.0.2.1"), "the server answered 302"),
        ("lists/kh.csv", _send(_sites(4)[:-9], length=999), "the connection broke each time"),
        (
            "lists/kh.csv",
            _send(_sites(4)[:-30]),
            r"kh.csv: line 5: \d cells where the header has 6",
        ),
        ("lists/kh.csv", _send(_sites(1)), "1 rows, less than half of the 4 of 2026-10-01"),
        ("lists/kh.csv", _send(gzip.compress(_sites(4))[:-5]), "a cut or broken gzip file"),
        ("lists/global.csv", _send(b"", 404), "the server has no such file"),
        ("lists/global.csv", _send(b"<!doctype html>\n<p>Sorry"), "global.csv: line 1: no column"),
        ("lists/global.csv", _send(b"\xff\xfe\x00"), "global.csv: line 1: not UTF-8"),
        ("lists/global.csv", _send(b""), "global.csv: line 1: no column url"),
        ("lists/global.csv", _send(_HEADER.encode()), "what arrived has no rows"),
        ("lists/global.csv", _send(gzip.compress(bytes(20_000_000))), "it holds more than 16 MB"),
        ("lists/global.csv", _send(b"", length=10**9), "it holds more than 16 MB"),
        (_LEGEND, _send(b"a,b\n1,2\n"), "line 1: no column Category Description"),
        (_DNS, _send(b"<html>"), "fingerprints_dns.csv: line 1: no column name, pattern"),
        (_DNS, _send(_marks(3, "dns")[:-12]), r"fingerprints_dns.csv: line 4: \d cells where"),
        (_DNS, _send(_MARKS.encode() + b'm,isp,dns,full,"x,KH\n'), "line 2: not CSV"),
    ],
)
def test_a_bad_source_leaves_no_trace(
    server: _Server, tmp_path: Path, path: str, fault: Reply, message: str
) -> None:
    """One sentence names list, address and fault; the snapshot before is as it was."""
    refresh("KH", tmp_path, _nothing, _at("2026-10-01"))
    before = _contents(tmp_path)
    server.faults[path] = [fault]
    with pytest.raises(SourceError, match=message) as caught:
        refresh("KH", tmp_path, _nothing, _NOW)
    assert f"{server.url}/{path}" in str(caught.value)
    assert "REFERENCE=2026-10-01 takes" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert _contents(tmp_path) == before
    assert find("latest", "KH", tmp_path).folder.name == "2026-10-01"


@pytest.mark.parametrize(
    "fault", [_send(b"", 500), _send(b"<html>"), _send(b"1,2,x,N\n"), _send(gzip.compress(b""))]
)
def test_a_report_does_without_network_names(server: _Server, tmp_path: Path, fault: Reply) -> None:
    """Nothing is judged by them: their absence is said, recorded, and made good the same day."""
    server.faults[_MONTH] = [fault]
    said: list[str] = []
    snapshot = refresh("KH", tmp_path, said.append, _NOW)
    assert "network names cannot be fetched" in said[-1]
    assert snapshot.parameters()["NETWORK_NAMES"] == ""
    assert snapshot.files("KH")[-1].role == "could not be fetched"
    server.faults.clear()
    server.requests.clear()
    assert refresh("KH", tmp_path, _nothing, _NOW).parameters()["NETWORK_NAMES"]
    assert server.requests == [_MONTH]


def test_a_month_that_is_not_out_yet_falls_back(server: _Server, tmp_path: Path) -> None:
    """On the first of a month the table is that of the month before."""
    del server.files[_MONTH]
    snapshot = refresh("KH", tmp_path, _nothing, _NOW)
    sidecar = snapshot.sidecar("networks/asn-names.csv")
    assert sidecar
    assert sidecar.url.endswith(_MONTH_BEFORE)
    assert sidecar.source_size == len(server.files[_MONTH_BEFORE])


def test_time_and_memory_are_bounded(server: _Server, tmp_path: Path) -> None:
    """A server that drips, and one that sends a bomb, are let go."""
    target = tmp_path / "file"
    for name, drip in (("body", _drip), ("headers", _drip_headers)):
        server.faults[name] = [drip]
        with pytest.raises(CannotRead, match=r"did not arrive within 0\.2 seconds"):
            download(f"{server.url}/{name}", target, Limits(10**6, 0.2))
    server.files["bomb"] = gzip.compress(bytes(10**7))
    with pytest.raises(CannotRead, match="more than 1 MB"):
        download(f"{server.url}/bomb", target, Limits(10**6, 9))
    assert not target.exists()


def test_an_address_of_no_server_is_said(tmp_path: Path) -> None:
    """Whatever it is that cannot be read in it."""
    for address in ("https://", "http://h:x/", "http://xn--/"):
        with pytest.raises(CannotRead, match="its address is not one of a server"):
            download(address, tmp_path / "file", Limits(1, 1))


def test_a_killed_process_publishes_nothing(server: _Server, tmp_path: Path) -> None:
    """What it left behind is cleared away by the next."""
    server.faults[_DNS] = [_drip]
    code = (
        "import pathlib, sys; from analysis.sources.reference_data import refresh;"
        "refresh('KH', pathlib.Path(sys.argv[1]), lambda words: print(words, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    while "DNS" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.communicate()
    left = [path.name for path in tmp_path.iterdir() if path.name != ".lock"]
    assert [name[:10] for name in left] == [".fetching-"]
    server.faults.clear()
    refresh("KH", tmp_path, _nothing, _NOW)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "2026-11-25"}


def test_an_interrupted_addition_does_not_count(server: _Server, tmp_path: Path) -> None:
    """A list whose sidecar never came is fetched again."""
    refresh("KH", tmp_path, _nothing, _NOW)
    (tmp_path / "2026-11-25/test-lists/th.csv").write_text(_HEADER, "utf-8")
    with pytest.raises(ParameterError, match="there are: none"):
        find("latest", "TH", tmp_path)
    refresh("TH", tmp_path, _nothing, _NOW)
    assert find("latest", "TH", tmp_path).sidecar("test-lists/th.csv").row_count == 6


@pytest.mark.parametrize("address", ["ftp://mirror/", "mirror", "file:///etc"])
def test_an_address_in_the_environment_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    """Before anything is written."""
    monkeypatch.setenv("WORKBOOK_TEST_LISTS_URL", address)
    with pytest.raises(ParameterError, match="WORKBOOK_TEST_LISTS_URL"):
        refresh("KH", tmp_path / "new", _nothing, _NOW)
    assert not (tmp_path / "new").exists()


def test_a_fictional_country_has_no_reference_data_to_fetch(tmp_path: Path) -> None:
    """Its lists come with it."""
    with pytest.raises(ParameterError, match="PROBE_CC=QQ"):
        refresh("QQ", tmp_path, _nothing, _NOW)


def test_a_folder_that_cannot_be_written_is_named(server: _Server, tmp_path: Path) -> None:
    """A file in its place, for example."""
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(SourceError, match=r"no snapshot can be written to .*file"):
        refresh("KH", tmp_path / "file", _nothing, _NOW)


# Finding -----------------------------------------------------------------------------------------


@pytest.fixture
def dated(server: _Server, tmp_path: Path) -> Path:
    """Snapshots of three days, the last of them for another country."""
    for code, day in (("KH", "2026-08-01"), ("KH", "2026-10-01"), ("TH", "2026-11-01")):
        refresh(code, tmp_path, _nothing, _at(day))
    (tmp_path / "2026-11-02").mkdir()  # made by hand, and empty
    (tmp_path / "notes").mkdir()
    server.requests.clear()
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "day"),
    [
        ("latest", "2026-10-01"),
        ("2026-12-31", "2026-10-01"),
        ("2026-10-01", "2026-10-01"),
        ("2026-09-30", "2026-08-01"),
    ],
)
def test_a_snapshot_is_found_by_date(
    server: _Server, dated: Path, reference: str, day: str
) -> None:
    """The newest of that day or before which was fetched for the country; nothing is fetched."""
    assert find(reference, "KH", dated).folder.name == day
    assert server.requests == []


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("2026-07-31", "no such snapshot for KH; there are: 2026-08-01, 2026-10-01; 'python -m"),
        ("20261001", "latest, or a UTC date written YYYY-MM-DD"),
        ("yesterday", "latest, or a UTC date written YYYY-MM-DD"),
        ("2026-02-30", "latest, or a UTC date written YYYY-MM-DD"),
        ("../2026-10-01", "latest, or a UTC date written YYYY-MM-DD"),
    ],
)
def test_a_date_without_a_snapshot_is_refused(dated: Path, reference: str, message: str) -> None:
    """The error says which days there are."""
    with pytest.raises(ParameterError, match=message):
        find(reference, "KH", dated)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test-lists/kh.csv", _sites(4, "other"), "2026-10-01/test-lists/kh.csv is not the file"),
        ("networks/asn-names.csv", b"", "2026-10-01/networks/asn-names.csv is not the file"),
        ("test-lists/global.csv", None, "2026-10-01/test-lists/global.csv is not the file"),
        ("test-lists/kh.csv.json", b"{}", "2026-10-01/kh.csv.json cannot be read"),
    ],
)
def test_an_altered_file_is_refused(
    dated: Path, name: str, content: bytes | None, message: str
) -> None:
    """A report never says that it used a list that it did not use."""
    path = dated / "2026-10-01" / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(ContractError, match=message):
        find("latest", "KH", dated)
    assert find("2026-09-01", "KH", dated).folder.name == "2026-08-01"


@pytest.mark.parametrize(
    ("day", "used"), [("2026-10-30", "2026-10-01"), ("2026-10-31", "2026-10-31")]
)
def test_a_snapshot_of_the_last_month_is_used_as_it_is(
    server: _Server, dated: Path, day: str, used: str
) -> None:
    """Thirty days later the next one is fetched, and that is the one used."""
    assert current("KH", dated, _nothing, _at(day)).folder.name == used
    assert bool(server.requests) == (day == used)


# Network names -----------------------------------------------------------------------------------


def test_one_name_is_drawn_for_each_network(tmp_path: Path) -> None:
    """That of most ranges, then the longest, then by the alphabet; on one line, by number."""
    ranges, names = tmp_path / "ranges.csv", tmp_path / "names.csv"
    ranges.write_text(
        "a,b,30,Rare but long\na,b,30,Often\na,b,30,Often\n"
        "a,b,4,BB\na,b,4,AA\na,b,4,C\n"
        'a,b,5,"Two\nlines\u202e, Ltd"\na,b,0,Not routed\na,b,6,\n',
        "utf-8",
    )
    extract_names(ranges, names)
    assert names.read_text("utf-8") == 'asn,name\n4,AA\n5,"Two lines , Ltd"\n30,Often\n'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,b,3", "first,last,asn,name: .*Row #2.*got 3"),
        ("a,b,x,N", "first,last,asn,name: .*uint32: invalid value 'x'"),
        ("a,b,4294967296,N", "first,last,asn,name: .*invalid value '4294967296'"),
    ],
)
def test_a_table_of_another_shape_is_refused(tmp_path: Path, row: str, message: str) -> None:
    """Names that are drawn from something else would be wrong without anybody noticing."""
    ranges = tmp_path / "ranges.csv"
    ranges.write_text(f"a,b,1,One\n{row}", "utf-8")
    with pytest.raises(ParameterError, match=message):
        extract_names(ranges, tmp_path / "names.csv")
