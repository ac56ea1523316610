"""From an archive to the store: every line is accounted for, and running again resumes."""

import gzip
import json
import multiprocessing
import os
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from isal import igzip

from analysis.errors import ParameterError, SourceError
from analysis.observations.fingerprints import Fingerprint, Fingerprints
from analysis.observations.schema import SCHEMA_VERSION
from analysis.period import Period
from analysis.store.collection import Collection
from analysis.store.database import Observations
from analysis.store.ingestion import Request, ingest
from analysis.store.lines import read_files
from analysis.store.provenance import FOLDER
from analysis.store.store import Store
from tests.loopback_s3 import Fault, LoopbackS3, loopback_s3

_CC = "QQ"
_PERIOD = Period.parse("2024-07-01", "2024-08-01")
_NO_LIST = Fingerprints()


def _measurement(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "test_name": "web_connectivity", "report_id": f"r{number}",
        "input": "https://news.example/", "measurement_start_time": "2024-07-01 10:00:00",
        "probe_cc": _CC, "probe_asn": "AS64500",
        "test_keys": {"blocking": False, "accessible": True}, **changes,
    }  # fmt: skip


def _line(number: int = 0, **changes: Any) -> bytes:
    return json.dumps(_measurement(number, **changes)).encode()


def _key(index: int = 0, name: str = "n0.0") -> str:
    day, hour = 1 + index // 24, index % 24
    stamp = f"202407{day:02}{hour:02}"
    return f"raw/202407{day:02}/{hour:02}/{_CC}/webconnectivity/{stamp}_{_CC}_{name}.jsonl.gz"


def _put(folder: Path, key: str, content: bytes | Iterable[bytes]) -> Path:
    """Write an object; lines are joined, bytes are taken as they are."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, bytes):
        content = gzip.compress(b"\n".join(content) + b"\n", mtime=0)
    path.write_bytes(content)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An empty archive."""
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store that does not exist yet."""
    return str(tmp_path / "store")


@pytest.fixture
def bucket() -> Iterator[LoopbackS3]:
    """An S3 server with an empty bucket, which nobody has to wait for."""
    with stamina.set_testing(True, attempts=4), loopback_s3() as server:
        yield server


def _ingest(
    source: object, store: str, fingerprints: Fingerprints = _NO_LIST, **options: Any
) -> Collection:
    return ingest(Request(str(source), store, _CC, **{"jobs": 1, **options}), fingerprints)


def _ledger(collection: Collection, period: Period = _PERIOD) -> dict[str, int]:
    with Observations(collection, _CC, period) as observations:
        frame = observations.ledger()
    counts = dict(zip(frame["reason"], frame["line_count"], strict=True))
    return {reason: int(count) for reason, count in counts.items() if count}


def _packed(lines: Iterable[bytes]) -> bytes:
    return gzip.compress(b"\n".join(lines) + b"\n", mtime=0)


_GOOD = _line(1)

_BAD_INPUT: dict[str, tuple[bytes | list[bytes], dict[str, int]]] = {
    "truncated gzip": (_packed([_line(n) for n in range(2000)])[:-2000], {"truncated_file": 1}),
    "not gzip": (b"<html>404</html>", {"truncated_file": 1}),
    "empty file": (b"", {}),
    "bad checksum": (_packed([_GOOD])[:-8] + bytes(8), {"truncated_file": 1}),
    "two gzip members": (_packed([_GOOD]) + _packed([_line(2)]), {"kept": 2}),
    "no newline at the end": (gzip.compress(_GOOD), {"kept": 1}),
    "cut line": ([_GOOD, _line(2)[:-30]], {"kept": 1, "not_json": 1}),
    "NUL bytes": ([_GOOD, b"\0" * 500, _line(2).replace(b"news", b"n\0ws")], {"not_json": 2}),
    "bytes that are not UTF-8": (
        [_GOOD, _line(2, unheard_of="x").replace(b'"x"', b'"\xff"')], {"not_json": 1},
    ),
    "not JSON that Python would take": ([_line(2, unheard_of=float("nan"))], {"not_json": 1}),
    "nested too deep": ([b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"], {"not_json": 1}),
    "JSON array": ([b"[1, 2]", b"3", b'"x"', b"null"], {"invalid": 4, "invalid:not_an_object": 4}),
    "JSON object": ([b"{}"], {"invalid": 1, "invalid:no_test_name": 1}),
    "blank lines": ([b"", _GOOD, b"", b""], {"kept": 1}),
    "spaces": ([b"   "], {"not_json": 1}),
    "test_keys null": ([_line(2, test_keys=None)], {"kept": 1}),
    "nulls where objects belong": (
        [_line(2, test_keys={"queries": None, "requests": None, "control": None,
                             "tcp_connect": [None], "tls_handshakes": [None]})],
        {"kept": 1},
    ),
    "no input": ([_line(2, input=None)], {"invalid": 1, "invalid:no_input": 1}),
    "another country": ([_line(2, probe_cc="QM")], {"other_country": 1}),
    "country in small letters": ([_line(2, probe_cc="qq")], {"kept": 1}),
    "another test, without an input": (
        [_line(2, test_name="ndt", input=None)], {"other_test": 1},
    ),
    "another test, without a time": (
        [_line(2, test_name="ndt", measurement_start_time=None)],
        {"invalid": 1, "invalid:no_start_time": 1},
    ),
    "a date in the future": (
        [_line(2, measurement_start_time="2031-01-01 00:00:00")], {"out_of_period": 1},
    ),
    "the last second and the first after": (
        [_line(2, measurement_start_time="2024-07-31 23:59:59"),
         _line(3, measurement_start_time="2024-08-01 00:00:00")],
        {"kept": 1, "out_of_period": 1},
    ),
    "a duplicate": ([_GOOD, _line(2), _GOOD], {"kept": 2, "duplicate": 1}),
    "a duplicate of another country": (
        [_GOOD, _line(1, probe_cc="QM")], {"kept": 1, "other_country": 1},
    ),
    "half a surrogate": ([_line(2, probe_network_name="\ud800")], {"kept": 1}),
    "hostile inputs": (
        [_line(2, input=text) for text in
         ("<script>alert(1)</script>", "=HYPERLINK(1)", "../../etc/passwd", "\0",
          "http://" + "a" * 10_000 + ".example/", "http://%s%n.example/", "'; DROP TABLE x;--")],
        {"kept": 7},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _BAD_INPUT)
def test_every_line_has_one_reason(archive: Path, store: str, name: str):
    """The ledger names what became of each line; nothing crashes, nothing is silent."""
    content, expected = _BAD_INPUT[name]
    _put(archive, _key(), content)
    ledger = _ledger(_ingest(archive, store))
    total = ledger.pop("total", 0)
    assert total == sum(count for reason, count in ledger.items() if ":" not in reason)
    shown = {reason: ledger.get(reason, 0) for reason in expected}
    assert shown == expected
    if not isinstance(content, bytes):
        assert total == len([line for line in content if line])


def _huge_body(path: Path, megabytes: int) -> None:
    """An object with one measurement whose body has so many MB, written piece by piece."""
    exchange = {"failure": None, "request": {"url": "http://news.example/"},
                "response": {"code": 200, "body": "BODY", "headers": {}}}  # fmt: skip
    keys = {"requests": [exchange], "blocking": "http-diff", "accessible": False}
    before, after = _line(2, test_keys=keys).split(b"BODY")
    path.parent.mkdir(parents=True)
    with igzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(before)
        for _ in range(megabytes):
            stream.write("<p>ទំព័រ</p>".encode() * 45_591)  # a million bytes
        stream.write(after + b"\n" + _GOOD + b"\n")


def test_a_huge_body_is_kept_and_a_longer_line_is_refused_without_holding_it(
    archive: Path, store: str
):
    """50 MB are read, of which the first MB is looked at; 70 MB are counted and passed over."""
    _huge_body(archive / _key(0), 50)
    _huge_body(archive / _key(1), 70)
    tracemalloc.start()
    collection = _ingest(archive, store)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert _ledger(collection) == {
        "kept": 2, "duplicate": 1, "invalid": 1, "invalid:line_too_long": 1, "total": 4,
    }  # fmt: skip
    assert peak < 180e6  # one line, while it is put together


def test_of_a_measurement_that_came_twice_the_first_is_kept(archive: Path, store: str):
    """First by key, then by line; the other columns do not matter."""
    _put(archive, _key(1), [_line(1, software_name="later")])
    _put(archive, _key(0), [_line(2), _line(1, software_name="first"), _line(1)])
    with Observations(_ingest(archive, store), _CC, _PERIOD) as observations:
        rows = observations.connection.execute(
            "SELECT object_key, line_number, report_id, software_name FROM observations"
        ).fetchall()
    assert rows == [(_key(0), 1, "r2", None), (_key(0), 2, "r1", "first")]


def test_only_the_countrys_web_connectivity_objects_are_read(archive: Path, store: str):
    """Both layouts; no tar, no other test, no other country, no stray or hidden file."""
    older = f"jsonl/webconnectivity/{_CC}/20200101/00/x.jsonl.gz"
    wanted = {_key(0), older}
    others = (
        "raw/20240701/00/QM/webconnectivity/a.jsonl.gz",
        f"raw/20240701/00/{_CC}/ndt/a.jsonl.gz",
        f"raw/20240701/00/{_CC}/webconnectivity/a.tar.gz",
        f"raw/20240701/00/{_CC}/webconnectivity/.a.jsonl.gz",
        f"raw/20240701/00/{_CC}/webconnectivity/deeper/a.jsonl.gz",
        "readme.jsonl.gz",
    )
    for number, key in enumerate((*wanted, *others)):
        _put(archive, key, [_line(number)])
    assert {file.key for file in _ingest(archive, store).files} == wanted
    assert {file.key for file in _ingest(archive / "raw", store).files} == {_key(0)[4:]}


def test_what_is_there_is_not_read_again(archive: Path, store: str):
    """Unless the object, the list of fingerprints or the schema changed."""
    path = _put(archive, _key(0), [_GOOD])
    _put(archive, _key(1), [_line(2)])
    written: list[str] = []

    def writes(**options: Any) -> list[str]:
        # Each file that takes another's place is a file of its own; times are too coarse.
        before = {p: p.stat().st_ino for p in Path(store).rglob("*.parquet")}
        _ingest(archive, store, **options)
        after = {p: p.stat().st_ino for p in Path(store).rglob("*.parquet")}
        return sorted(p.name[:10] for p, file in after.items() if before.get(p) != file)

    assert writes() == ["2024070100", "2024070101"]
    assert writes() == written
    path.write_bytes(_packed([_GOOD, _line(3)]))
    assert writes() == ["2024070100"]
    fingerprint = Fingerprint("f", "nat", "body", "contains", "x", ())
    assert len(writes(fingerprints=Fingerprints(http=(fingerprint,)))) == 2
    broken = next(Path(store).rglob("*.parquet"))
    broken.write_bytes(broken.read_bytes()[:100])
    assert len(writes(fingerprints=Fingerprints(http=(fingerprint,)))) == 1


def test_files_of_an_older_schema_are_read_again(
    archive: Path, store: str, monkeypatch: pytest.MonkeyPatch
):
    """They lack what the rules now ask for."""
    _put(archive, _key(0), [_GOOD])
    with monkeypatch.context() as before:
        before.setattr("analysis.store.provenance.SCHEMA_VERSION", SCHEMA_VERSION - 1)
        (older,) = _ingest(archive, store).files
    (newer,) = _ingest(archive, store).files
    assert (older.schema_version, newer.schema_version) == (SCHEMA_VERSION - 1, SCHEMA_VERSION)


def _contents(store: str) -> dict[str, bytes]:
    """The files of observations. The record of what was read knows the time of each."""
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in Path(store).rglob("*.parquet")
    }


def _die_in_the_second_object(archive: str, store: str) -> None:
    def die(path: Path, target: str) -> None:
        os.truncate(path, path.stat().st_size // 2)
        os._exit(9)

    def progress(*_: object) -> None:
        Path.replace = die  # type: ignore[assignment,method-assign]

    _ingest(archive, store, progress=progress)


def test_a_killed_run_leaves_whole_files_and_running_again_resumes(archive: Path, store: str):
    """The half-written file never appears under its name, and its remains are cleared away."""
    for index in range(3):
        _put(archive, _key(index), [_line(index)])
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_die_in_the_second_object, args=(str(archive), store))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert len(list(Path(store).rglob("*.parquet"))) == 1
    assert len(list(Path(store).rglob("*.part"))) == 1
    first = next(Path(store).rglob("*.parquet"))
    time = first.stat().st_mtime_ns
    collection = _ingest(archive, store)
    assert _ledger(collection) == {"kept": 3, "total": 3}
    assert first.stat().st_mtime_ns == time
    assert not list(Path(store).rglob("*.part"))


def test_the_digest_of_the_data_knows_no_place_and_no_time(archive: Path, tmp_path: Path):
    """The same objects elsewhere, written later, have the same digest; other content has not."""
    other = tmp_path / "moved"
    for folder, time in ((archive, 1_700_000_000), (other, 1_800_000_000)):
        path = _put(folder, _key(), [_GOOD])
        os.utime(path, (time, time))
    one, two = _ingest(archive, str(tmp_path / "a")), _ingest(other, str(tmp_path / "b"))
    assert one.digest == two.digest
    assert one.source_id != two.source_id
    _put(other, _key(), [_line(2)])
    assert _ingest(other, str(tmp_path / "b")).digest != one.digest


# --- sources ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("", ParameterError, "SOURCE="),
        ("ooni", ParameterError, "OONI has nothing of QQ, a fictional country"),
        ("ftp://host/x", ParameterError, "a folder, s3://"),
        ("/no/such/folder", ParameterError, "no such folder"),
        ("s3://", ParameterError, "options are region"),
        ("s3://bucket/x?key=1", ParameterError, "options are region"),
    ],
)
def test_a_source_that_is_none_is_a_wrong_parameter(store, source, error, message):
    """Nothing is written, and the error says what is accepted."""
    with pytest.raises(error) as caught:
        _ingest(source, store)
    assert message in str(caught.value)
    assert not Path(store).exists()


def test_a_source_without_the_country_has_run_dry(archive: Path, store: str):
    """That is no wrong parameter: the country may come later."""
    with pytest.raises(SourceError, match="holds no web_connectivity object of QQ"):
        _ingest(archive, store)


@pytest.mark.parametrize("kind", ["url", "s3_url"])
def test_a_bucket_of_many_pages_is_read_to_its_end(bucket: LoopbackS3, store: str, kind: str):
    """More than 1000 keys, some with spaces, plus signs, percent signs and Khmer letters."""
    names = ["first", "a b", "a+b", "a%20b", "a&b=c", "ភ្នំ", "[1]*?"]
    packed = {name: _packed([_line(number)]) for number, name in enumerate(names)}
    bucket.objects = {f"some/where/{_key(0, name)}": content for name, content in packed.items()}
    bucket.objects |= {
        f"some/where/raw/20240701/00/QQ/ndt/{number}.jsonl.gz": b"" for number in range(1100)
    }
    last = f"some/where/{_key(1)}"
    bucket.objects |= {last: _packed([_line(99)]), _key(0, "elsewhere"): b""}
    names.append("last")
    source = getattr(bucket, kind)
    prefix = "/some/where"
    source = source.replace("archive?", f"archive{prefix}?") if "?" in source else source + prefix
    collection = _ingest(source, store)
    assert len(collection.files) == len(names)
    assert _ledger(collection) == {"kept": len(names), "total": len(names)}
    listed = [request for request in bucket.requests if "list-type" in request]
    assert len(listed) == 2
    bucket.requests.clear()
    _ingest(source, store)
    assert all("list-type" in request for request in bucket.requests)


def test_a_broken_connection_is_resumed_where_it_broke(bucket: LoopbackS3, store: str):
    """The rest is asked for by range; the digest is that of the whole."""
    content = gzip.compress(b"\n".join(_line(n, pad=os.urandom(900).hex()) for n in range(400)))
    bucket.objects[_key()] = content
    bucket.faults[_key()] = Fault("reset", times=2, cut=len(content) // 3)
    collection = _ingest(bucket.url, store)
    assert _ledger(collection) == {"kept": 400, "total": 400}
    assert len([request for request in bucket.requests if "list-type" not in request]) == 3


# --- the store ----------------------------------------------------------------------------------


def test_a_store_has_a_folder_of_its_own(archive: Path, store: str, tmp_path: Path):
    """Else what was made of an archive would be read in its place, and what came later never."""
    _put(archive, _key(), [_GOOD])
    (tmp_path / "link").symlink_to(archive)
    for place in (archive, tmp_path / "link"):
        with pytest.raises(ParameterError, match="the archive lies in this folder"):
            _ingest(archive, str(place))
    assert len(_ingest(archive, store).files) == 1


def test_a_store_on_s3_holds_the_same(
    bucket: LoopbackS3, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Workers may share one: it is written with the credentials of the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    _put(archive, _key(), [_GOOD, _line(2)])
    uri = bucket.s3_url.replace("archive?", "archive/shared?") + "&region=us-east-1"
    there, here = _ingest(archive, uri), _ingest(archive, str(tmp_path / "here"))
    assert there == here
    assert _ledger(there) == _ledger(here)
    assert _ingest(archive, uri) == here
    assert set(here.names()) <= {f"{FOLDER}/{name}" for name in Store(uri).stamps(FOLDER)}


# --- loose files and real data ------------------------------------------------------------------


def test_loose_files_give_a_row_or_an_error_for_each_measurement(tmp_path: Path):
    """Pretty-printed JSON, lines, packed lines; a file that is none is an error of its own."""
    (tmp_path / "one.json").write_text(json.dumps(_measurement(1), indent=2))
    (tmp_path / "lines.jsonl").write_bytes(_GOOD + b"\n\n{oops\n" + _line(2) + b"\n")
    (tmp_path / "cut.jsonl.gz").write_bytes(_packed([_line(n) for n in range(999)])[:-99])
    names = ["one.json", "lines.jsonl", "cut.jsonl.gz", "none.json"]
    table, errors = read_files([tmp_path / name for name in names])
    sources = [Path(name).name for name in table["source_file"].to_pylist()]
    assert sources[:3] == ["one.json", "lines.jsonl", "lines.jsonl"]
    assert table["line_number"].to_pylist()[:3] == [1, 1, 4]
    assert [(Path(e.source_file).name, e.error) for e in errors] == [
        ("lines.jsonl", "not_json"),
        ("cut.jsonl.gz", "truncated_file"),
        ("none.json", "cannot be read: No such file or directory"),
    ]


def test_every_real_measurement_passes_through_an_archive(
    shared_data: Path, archive: Path, store: str
):
    """All versions and countries at hand, packed as OONI packs them: none is lost."""
    paths = sorted((shared_data / "measurements").glob("web_connectivity-*/*.json"))
    lines = [json.dumps(json.loads(path.read_text())).encode() for path in paths]
    _put(archive, _key(), lines)
    collection = _ingest(archive, store)
    assert collection.files[0].row_count == len(lines)
    assert collection.files[0].ledger == {}
    countries = {json.loads(line)["probe_cc"] for line in lines}
    kept = 0
    for country in countries:
        with Observations(
            collection, country, Period.parse("2015-01-01", "2027-01-01")
        ) as observations:
            rows = observations.connection.execute("SELECT count(*) FROM observations").fetchone()
            assert rows is not None
            kept += rows[0]
    assert kept == len({(m["report_id"], m["input"], m["measurement_start_time"])
                        for m in map(json.loads, lines)})  # fmt: skip
