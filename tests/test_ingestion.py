"""From an archive to the store: every line is accounted for, within bounds, whoever filled it."""

import gzip
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from isal import igzip
from rich.console import Console

from analysis.commands import progress as telling
from analysis.errors import ContractError, ParameterError, SourceError
from analysis.observations.fingerprints import ALIKE_LIMIT, Fingerprint, Fingerprints, load
from analysis.observations.messages import decode, decode_app
from analysis.observations.schema import OBSERVATION
from analysis.period import Period
from analysis.sources.archive_files import Folder, parse_receipt
from analysis.sources.buckets import open_source
from analysis.store.lines import VALUE_LIMIT, LineReader, has_too_many_values, pack
from analysis.store.shares import MANIFEST, share
from benchmarks.fuzzing import fuzz, measurement
from tests.archives import CC, ledger_of, line_of, object_key, packed, put, read_into
from tests.conftest import Command
from tests.loopback_s3 import LoopbackS3, loopback_s3

_PERIOD = Period.parse("2024-07-01", "2024-08-01")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An empty archive."""
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


_GOOD = line_of(1)

_BAD_INPUT: dict[str, tuple[bytes | list[bytes], dict[str, int]]] = {
    "truncated gzip": (packed([line_of(n) for n in range(2000)])[:-2000], {"truncated_file": 1}),
    "not gzip": (b"<html>404</html>", {"truncated_file": 1}),
    "empty file": (b"", {}),
    "bad checksum": (packed([_GOOD])[:-8] + bytes(8), {"truncated_file": 1}),
    "two gzip members": (packed([_GOOD]) + packed([line_of(2)]), {"kept": 2}),
    "no newline at the end": (gzip.compress(_GOOD), {"kept": 1}),
    "cut line": ([_GOOD, line_of(2)[:-30]], {"kept": 1, "not_json": 1}),
    "NUL bytes": ([_GOOD, b"\0" * 500, line_of(2).replace(b"news", b"n\0ws")], {"not_json": 2}),
    "bytes that are not UTF-8": (
        [_GOOD, line_of(2, unheard_of="x").replace(b'"x"', b'"\xff"')],
        {"not_json": 1},
    ),
    "not JSON that Python would take": ([line_of(2, unheard_of=float("nan"))], {"not_json": 1}),
    # how deep is too deep is for Python to say: 3.14 reads what earlier ones refuse
    "nested deep": ([_GOOD, b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"], {"kept": 1}),
    "JSON array": ([b"[1, 2]", b"3", b'"x"', b"null"], {"invalid": 4, "invalid:not_an_object": 4}),
    "JSON object": ([b"{}"], {"invalid": 1, "invalid:no_test_name": 1}),
    "blank lines": ([b"", _GOOD, b"", b""], {"kept": 1}),
    "spaces": ([b"   "], {"not_json": 1}),
    "test_keys null": ([line_of(2, test_keys=None)], {"kept": 1}),
    "nulls where objects belong": (
        [
            line_of(
                2,
                test_keys={
                    "queries": None,
                    "requests": None,
                    "control": None,
                    "tcp_connect": [None],
                    "tls_handshakes": [None],
                },
            )
        ],
        {"kept": 1},
    ),
    "no input": ([line_of(2, input=None)], {"invalid": 1, "invalid:no_input": 1}),
    "another country": ([line_of(2, probe_cc="QM")], {"other_country": 1}),
    "country in small letters": ([line_of(2, probe_cc="qq")], {"kept": 1}),
    "another test, without an input": (
        [line_of(2, test_name="ndt", input=None)],
        {"other_test": 1},
    ),
    "another test, without a time": (
        [line_of(2, test_name="ndt", measurement_start_time=None)],
        {"invalid": 1, "invalid:no_start_time": 1},
    ),
    "a date in the future": (
        [line_of(2, measurement_start_time="2031-01-01 00:00:00")],
        {"out_of_period": 1},
    ),
    "the last second before and the first": (
        [
            line_of(2, measurement_start_time="2024-06-30 23:59:59"),
            line_of(3, measurement_start_time="2024-07-01 00:00:00"),
        ],
        {"kept": 1, "out_of_period": 1},
    ),
    # the object is of midnight, and lasts an hour; a clock may be an hour fast
    "a claim that its receipt denies": (
        [
            line_of(2, measurement_start_time="2024-07-01 02:00:00"),
            line_of(3, measurement_start_time="2024-07-01 02:00:01"),
            line_of(4, measurement_start_time="2024-07-01 02:00:01"),
        ],
        {"kept": 1, "late": 2},
    ),
    "a duplicate": ([_GOOD, line_of(2), _GOOD], {"kept": 2, "duplicate": 1}),
    "a duplicate of another country": (
        [_GOOD, line_of(1, probe_cc="QM")],
        {"kept": 1, "other_country": 1},
    ),
    "half a surrogate": ([line_of(2, probe_network_name="\ud800")], {"kept": 1}),
    "hostile inputs": (
        [
            line_of(2, input=text)
            for text in (
                "<script>alert(1)</script>",
                "=HYPERLINK(1)",
                "../../etc/passwd",
                "\0",
                "http://" + "a" * 10_000 + ".example/",
                "http://%s%n.example/",
                "'; DROP TABLE x;--",
            )
        ],
        {"kept": 7},
    ),
}


@pytest.mark.parametrize("name", _BAD_INPUT)
def test_every_line_has_one_reason(archive: Path, store: str, name: str):
    """The ledger names what became of each line; nothing crashes, nothing is silent."""
    content, expected = _BAD_INPUT[name]
    put(archive, object_key(), content)
    ledger = ledger_of(read_into(store, archive), _PERIOD)
    total = ledger.pop("total", 0)
    assert total == sum(count for reason, count in ledger.items() if ":" not in reason)
    shown = {reason: ledger.get(reason, 0) for reason in expected}
    assert shown == expected
    if not isinstance(content, bytes):
        assert total == len([line for line in content if line])


def _huge_body(path: Path, megabytes: int) -> None:
    """An object with one measurement whose body has so many MB, written piece by piece."""
    exchange = {
        "failure": None,
        "request": {"url": "http://news.example/"},
        "response": {"code": 200, "body": "BODY", "headers": {}},
    }
    keys = {"requests": [exchange], "blocking": "http-diff", "accessible": False}
    before, after = line_of(2, test_keys=keys).split(b"BODY")
    path.parent.mkdir(parents=True)
    with igzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(before)
        for _ in range(megabytes):
            stream.write("<p>ទំព័រ</p>".encode() * 45_591)  # a million bytes
        stream.write(after + b"\n" + _GOOD + b"\n")


def test_a_huge_body_is_kept_and_a_longer_line_is_refused_without_holding_it(
    archive: Path, store: str
):
    """12 MB are read, of which the first MB is looked at; 70 MB are counted and passed over."""
    _huge_body(archive / object_key(0), 12)
    _huge_body(archive / object_key(1), 70)
    tracemalloc.start()
    collection = read_into(store, archive)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ledger_of(collection, _PERIOD) == {
        "kept": 2,
        "duplicate": 1,
        "invalid": 1,
        "invalid:line_too_long": 1,
        "total": 4,
    }
    assert peak < 60e6  # one line, while it is put together


def test_a_line_harms_itself_alone(archive: Path, store: str) -> None:
    """Three lines of 45 MB, and more, took the lines behind them along: all of these are read."""
    huge = line_of(9, test_keys="HUGE").replace(b"HUGE", b" " * 45_000_000)
    with igzip.open(put(archive, object_key(), b""), "wb", compresslevel=1) as stream:
        for line in (*[huge] * 5, b"[" * 100_000, _GOOD, line_of(2)):
            stream.write(line + b"\n")
    assert ledger_of(read_into(store, archive), _PERIOD) == {
        "kept": 2,
        "not_json": 1,
        "invalid": 5,
        "invalid:line_too_long": 5,
        "total": 8,
    }


def test_rows_leave_memory_before_they_fill_it(archive: Path, store: str) -> None:
    """8,192 inputs of 64 KB took 1.4 GB, and handshakes 4.6 GB: their rows are written earlier."""
    lines = [line_of(n, input=f"http://news.example/{'x' * 65_000}") for n in range(600)]
    put(archive, object_key(), lines)
    read_into(store, archive)
    (file,) = Path(store).rglob("*.parquet")
    groups = pq.ParquetFile(file).metadata
    assert (groups.num_rows, groups.num_row_groups) == (600, 3)


def test_the_answers_of_all_lookups_are_bounded() -> None:
    """128,000 addresses in 4 MB took four seconds."""
    found = measurement("0.5")
    queries = [
        {
            "engine": "system",
            "hostname": "www.example",
            "answers": [{"ipv6": f"2001:db8:{query:x}:{answer:x}::1"} for answer in range(200)],
        }
        for query in range(200)
    ]
    found["test_keys"]["queries"] = queries
    for decoded in (decode, decode_app):
        keys = decoded(json.dumps(found).encode()).test_keys
        assert keys
        assert [len(query.answers or ()) for query in keys.queries or ()][:4] == [200, 200, 112, 0]


def test_only_the_countrys_web_connectivity_objects_are_read(archive: Path, store: str):
    """Both layouts; no tar, no other test, no other country, no stray or hidden file."""
    older = f"jsonl/webconnectivity/{CC}/20200101/00/x.jsonl.gz"
    wanted = {object_key(0), older}
    others = (
        "raw/20240701/00/QM/webconnectivity/a.jsonl.gz",
        f"raw/20240701/00/{CC}/ndt/a.jsonl.gz",
        f"raw/20240701/00/{CC}/webconnectivity/a.tar.gz",
        f"raw/20240701/00/{CC}/webconnectivity/.a.jsonl.gz",
        f"raw/20240701/00/{CC}/webconnectivity/deeper/a.jsonl.gz",
        "readme.jsonl.gz",
    )
    for number, key in enumerate((*wanted, *others)):
        put(archive, key, [line_of(number)])
    assert {file.key for file in read_into(store, archive).files} == wanted
    assert {file.key for file in read_into(store, archive / "raw").files} == {object_key(0)[4:]}


#: How a copy of a part of the archive looks, and when its measurements were received.
_COPIES = {
    "20240701/05/QQ/webconnectivity/2024070105_QQ_webconnectivity.n0.0.jsonl.gz": (1, 5, 1),
    "05/QQ/webconnectivity/2024070105_QQ_webconnectivity.n0.0.jsonl.gz": (1, 5, 1),
    "QQ/webconnectivity/2024070105_QQ_webconnectivity.n1.0.jsonl.gz": (1, 5, 1),
    "webconnectivity/2024070105_QQ_webconnectivity.n2.0.jsonl.gz": (1, 5, 1),
    "2024070223_QQ_webconnectivity.n0.0.jsonl.gz": (2, 23, 1),
    "webconnectivity/2024-07-01/2024070100_QQ_webconnectivity.jsonl.gz": (1, 0, 1),
    "webconnectivity/2020-09-21/2020092100_QQ_webconnectivity.jsonl.gz": (21, 0, 24),
    "webconnectivity/2020-09-21/2020092100_ALL_webconnectivity.jsonl.gz": (21, 0, 24),
    "webconnectivity/2020-09-22/2020092200_QM-QQ_webconnectivity.jsonl.gz": (22, 0, 24),
    "jsonl/webconnectivity/QQ/20200921/00/20200921_QQ_webconnectivity.l.0.jsonl.gz": (21, 0, 24),
    "QQ/20200922/00/20200922_QQ_webconnectivity.l.0.jsonl.gz": (22, 0, 24),
    "raw/20200921/00/QQ/webconnectivity/20200921_QQ_webconnectivity.l.1.jsonl.gz": (21, 0, 24),
}
_NO_COPIES = (
    "2024070105_QM_webconnectivity.n0.0.jsonl.gz",
    "2024070105_QQ_ndt.n0.0.jsonl.gz",
    "webconnectivity/2024-07-01/2024070105_QQ_webconnectivity_max1000.jsonl.gz",
    "webconnectivity/2024-07-01/2024070105_QQ_webconnectivity.jsonl.tmp",
    "2024070105_QQ_webconnectivity.n0.0.tar.gz",
    "somewhere/2024070105_QQ_webconnectivity.n0.0.jsonl.gz",
)


def test_copies_of_parts_of_the_archive_are_read(archive: Path, store: str):
    """What ``aws s3 sync`` makes of a day, an hour, a country or a test, and what ``oonidata sync``
    writes: by OONI's file names, which also say when a measurement was received.
    """
    for number, key in enumerate((*_COPIES, *_NO_COPIES)):
        put(archive, key, [line_of(number)])
    files = read_into(store, archive).files
    assert {file.key for file in files} == set(_COPIES)
    for key, (day, hour, hours) in _COPIES.items():
        received = parse_receipt(key)
        assert received, key
        since = datetime.fromtimestamp(received.since, UTC)
        told = (since.day, since.hour, (received.until - received.since) / 3600)
        assert told == (day, hour, hours), key
        packed_under = archive / "packed" / key
        pack([archive / key], CC, packed_under)
        (only,) = Folder(packed_under).objects(lambda _: True)
        assert parse_receipt(only.key) == received, key


def test_other_files_are_read_after_the_command_that_is_said(
    archive: Path, store: str, tmp_path: Path, command: Command
):
    """Of measurements under names of anybody's; and the doctor says the same."""
    for name in ("a b.jsonl.gz", "deeper/c.jsonl.gz"):
        put(archive, name, [line_of(len(name))])
    put(archive, "deeper/note.txt", b"no measurement")
    with pytest.raises(SourceError, match="no web_connectivity measurements of QQ") as caught:
        read_into(store, archive)
    words = [f"PROBE_CC={CC}", "SINCE=2024-07-01", "UNTIL=2024-08-01", f"SOURCE={archive}"]
    status, said, _ = command("doctor", *words, f"STORE={store}")
    assert (status, str(caught.value).rstrip(".") in said) == (3, True)
    quoted = re.search(r"'python -m analysis (pack .+? --cc QQ)'", str(caught.value))
    assert quoted
    out = tmp_path / "out"
    told = [str(out) if word == "OUT" else word for word in shlex.split(quoted[1])]
    assert command(*told)[0] == 0
    assert ledger_of(read_into(store, out), _PERIOD) == {"kept": 2, "total": 2}


def test_what_is_there_is_not_read_again(
    archive: Path, store: str, capsys: pytest.CaptureFixture[str]
):
    """Unless the object or the list of fingerprints changed. Of damaged files: test_survival.py."""
    path = put(archive, object_key(0), [_GOOD])
    put(archive, object_key(1), [line_of(2)])
    other = Fingerprints(http=(Fingerprint("f", "nat", "body", "contains", "x", ()),))
    assert read_into(store, archive).read_count == 2
    assert read_into(store, archive).read_count == 0
    path.write_bytes(packed([_GOOD, line_of(3)]))
    assert read_into(store, archive).read_count == 1
    assert capsys.readouterr().out == ""
    assert read_into(store, archive, fingerprints=other).read_count == 2
    assert "2 objects (0 MB) are read again" in capsys.readouterr().out


# --- sources ------------------------------------------------------------------------------------


def test_a_bucket_of_many_pages_is_read_to_its_end(bucket: LoopbackS3, store: str):
    """More than 1000 keys, some with spaces, plus signs, percent signs and Khmer letters."""
    names = ["first", "a b", "a+b", "a%20b", "a&b=c", "ភ្នំ", "[1]*?"]
    keys = [*(object_key(0, name) for name in names), object_key(1)]
    others = [f"some/where/raw/20240701/00/QQ/ndt/{n}.jsonl.gz" for n in range(1100)]
    bucket.objects = dict.fromkeys([*others, object_key(0, "elsewhere")], b"") | {
        f"some/where/{key}": packed([line_of(number)]) for number, key in enumerate(keys)
    }
    s3_url = bucket.s3_url.replace("archive?", "archive/some/where?")
    for place, source in enumerate((f"{bucket.url}/some/where", s3_url)):
        bucket.requests.clear()
        collection = read_into(f"{store}-{place}", source)
        assert ledger_of(collection, _PERIOD) == {"kept": len(keys), "total": len(keys)}
        assert len([request for request in bucket.requests if "list-type" in request]) == 2


# --- Whoever fills a bucket, sends a share or submits a measurement: bounds, and words about them.

_REAL = json.dumps(measurement("0.5")).encode()


def test_thousands_of_hostile_values_end_in_the_ledger_or_in_a_sentence() -> None:
    """The long run is ``python -m benchmarks.fuzzing``."""
    ends = fuzz(400, seed=7)
    assert ends["line"] >= 240
    assert ends["share: ContractError"]


def test_a_server_cannot_list_or_send_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the bound, which the environment changes."""
    with loopback_s3() as server:
        server.objects = {object_key(): packed([_REAL])}
        monkeypatch.setenv("OBJECT_BYTES", "100")
        with pytest.raises(SourceError, match="more than the OBJECT_BYTES=100 that are read"):
            read_into(tmp_path / "store", server.url)
        assert not [one for one in server.requests if "?" not in one]  # nothing was fetched
        monkeypatch.setenv("OBJECTS_PER_HOUR", "1")
        names = (object_key().replace("n0.0", f"n{n}.0") for n in range(24 * 366 + 1))
        server.objects |= dict.fromkeys(names, b"")
        with pytest.raises(SourceError, match=r"the OBJECTS_PER_HOUR=1 that are taken\.$"):
            open_source(server.url).objects(lambda _: True)  # the same command would not resume


def test_what_is_no_file_or_has_no_name_is_not_read(tmp_path: Path) -> None:
    """A pipe, a link to a device and a name in another encoding; the rest of the archive is."""
    folder = put(tmp_path / "archive", object_key(), [_REAL]).parent
    os.mkfifo(folder / "pipe.jsonl.gz")
    (folder / "zero.jsonl.gz").symlink_to("/dev/zero")
    for name in (b"caf\xe8.jsonl.gz", b"caf\xe9.jsonl.gz"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"")
    collection = read_into(tmp_path / "store", tmp_path / "archive")
    assert len(collection.files) == 1
    why = {item.key.rpartition("/")[2]: item.why for item in collection.not_read}
    assert why == {
        "caf%E8.jsonl.gz": "no such file or directory",
        "caf%E9.jsonl.gz": "no such file or directory",
        "pipe.jsonl.gz": "not a file",
        "zero.jsonl.gz": "not a file",
    }
    assert collection.objects_not_read()["key"].is_unique  # or no table could hold them
    assert read_into(tmp_path / "store", tmp_path / "archive").not_read == collection.not_read
    (tmp_path / "share").mkdir()
    os.mkfifo(tmp_path / "share" / MANIFEST)
    with pytest.raises(SourceError, match="the share cannot be read: not a file"):
        read_into(tmp_path / "store", tmp_path / "share")


def test_a_line_of_too_many_values_is_not_decoded(tmp_path: Path) -> None:
    """62 MB of them took 1.8 GB; as many commas in a page are no values."""
    many = measurement("0.5")
    many["test_keys"]["queries"] = [{}] * (VALUE_LIMIT + 1)
    page = measurement("0.5")
    page["test_keys"]["requests"][0]["response"]["body"] = ',[{"\\' * VALUE_LIMIT
    lines = [json.dumps(one).encode() for one in (many, page)]
    assert [has_too_many_values(line) for line in lines] == [True, False]
    # Quotation marks behind as many commas took 16 s, whether they are strings or nothing.
    commas = b'{"a": "' + b"," * VALUE_LIMIT
    empty = [commas + b'"' * 4_000_001, b"[" + b'"",' * VALUE_LIMIT + b'""]']
    assert [has_too_many_values(line) for line in empty] == [False, True]
    put(tmp_path / "archive", object_key(), lines)
    (file,) = read_into(tmp_path / "store", tmp_path / "archive").files
    assert (file.row_count, file.ledger) == (1, {"invalid:too_many_values": 1})


def test_packed_lines_of_nothing_are_not_read_to_their_end(tmp_path: Path) -> None:
    """12 KB of blank lines took ten seconds: reading stops, and the rest is one ledger row."""
    put(tmp_path / "archive", object_key(), gzip.compress(b"\n" * 12_000_000))
    (file,) = read_into(tmp_path / "store", tmp_path / "archive").files
    assert file.ledger == {"truncated_file": 1}


def test_of_many_pages_the_first_are_matched() -> None:
    """Twenty of 800 KB, made of OONI's patterns, took two seconds."""
    known = Fingerprints(http=(_fingerprint(1, "contains", "<block>"),))
    for pages in (3, 7):
        found = measurement("0.5")
        plain = {"request": {"url": "http://www.example/"}}
        bodies = [*["x" * (1 << 20)] * pages, "<block>"]
        found["test_keys"]["requests"] = [
            plain | {"response": {"code": 403, "body": body, "headers": {}}} for body in bodies
        ]
        row = LineReader(known).read(json.dumps(found).encode(), 2)
        names = row[OBSERVATION.get_field_index("http_fingerprints")]
        assert names == (["1"] if pages == 3 else [])


def _fingerprint(number: int, kind: str, pattern: str) -> Fingerprint:
    return Fingerprint(str(number), "prod", "body", kind, pattern, ())


def test_patterns_that_match_everywhere_are_bounded(tmp_path: Path) -> None:
    """Three hundred of them took 6 GB on one body; all of a list are found all the same."""
    known = Fingerprints(
        http=(
            *(_fingerprint(n, "contains", "a" * (n + 1)) for n in range(ALIKE_LIMIT)),
            _fingerprint(99, "regexp", "a.*b"),
            _fingerprint(98, "contains", "ab"),
        )
    )
    assert len(known.match("body", b"a" * (1 << 20) + b"b")) == ALIKE_LIMIT + 2
    head = "name,scope,location_found,pattern_type,pattern,expected_countries\n"
    alike = "".join(f"{n},nat,body,contains,{'a' * (n + 1)},QQ\n" for n in range(300))
    for rows, message in (
        (alike, "300 patterns of body end alike; 16 are accepted"),
        (f"x,nat,body,regexp,{'.' * 201},QQ\n", "row 'x': a pattern of up to 200 characters"),
        (f"x,nat,body,contains,{'a' * 2001},QQ\n", "row 'x': a pattern of up to 2000 characters"),
    ):
        (tmp_path / "fingerprints_http.csv").write_text(head + rows)
        with pytest.raises(ParameterError, match=message):
            load(str(tmp_path))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A share of two measurements."""
    folder = tmp_path_factory.mktemp("honest")
    put(
        folder / "archive",
        object_key(),
        [_REAL, _REAL.replace(b'"r"', b'"s"')],
    )
    collection = read_into(folder / "store", folder / "archive")
    share(collection, "QQ", Period.parse("2024-07-01", "2024-08-01"), folder / "shared")
    return folder / "shared"


def _texts(column: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(
        table.schema.get_field_index(column), column, pa.array(["x"] * table.num_rows)
    )


_FORGERIES: dict[str, tuple[str, Callable[[pa.Table], pa.Table], str]] = {
    "a text for a number": ("2024", _texts("probe_asn"), "column probe_asn must be UINTEGER, not"),
    "a text for a time": (
        "2024",
        _texts("measurement_start_time"),
        "column measurement_start_time must be TIMEST",
    ),
    "a missing column": ("2024", lambda t: t.drop_columns(["tls"]), "column tls must be STRUCT"),
    "one more column": ("2024", lambda t: t.append_column("x", t["domain"]), "column x must be"),
    "another country": ("2024", _texts("probe_cc"), "column probe_cc cannot have what 2 rows say"),
    "fewer rows": ("2024", lambda t: t.slice(1), "has 2 rows by its ledger, not 1"),
    "more rows": ("2024", lambda t: pa.concat_tables([t, t]), "has 2 rows by its ledger, not 4"),
    "another object": ("2024", _texts("object_key"), "has 2 rows by its ledger, not 0"),
    "rows in no bytes": ("2024", lambda t: t.take([0, 1] * 20000), "too small for the 40"),
    "a long key": (
        "2024",
        lambda t: t.set_column(
            t.schema.get_field_index("object_key"), "object_key", pa.array(["x" * 2000] * 2)
        ),
        "column object_key cannot have",
    ),
}

_FORGED_LISTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no such key": (lambda told: told["files"][0].update(key="x"), "a key is none of QQ"),
    "a key twice": (lambda told: told["files"].extend(told["files"]), "a key stands twice"),
    "a number's text": (lambda told: told["files"][0].update(row_count="x"), "Expected `int`"),
    "a count below nothing": (lambda told: told["files"][0].update(row_count=-1), ">= 0"),
    "words of the ledger": (lambda told: told["files"][0].update(ledger={"x": 1}), "matching rege"),
    "many words of it": (
        lambda told: told["files"][0].update(ledger={f"invalid:{n}": 1 for n in range(101)}),
        "length <= 100",
    ),
    "brackets": (lambda told: told.update(files=json.loads("[" * 500 + "]" * 500)), "Expected `"),
    "zeros": (lambda told: told.update(zeros="0" * 64_000_000), "more than 64 MB"),
}


@pytest.mark.parametrize("name", [*_FORGERIES, *_FORGED_LISTS])
def test_a_share_that_no_workbook_wrote_is_refused(shared: Path, tmp_path: Path, name: str) -> None:
    """With status 4, the file and the column; its digests are right."""
    folder = shutil.copytree(shared, tmp_path / "forged")
    told = json.loads((shared / MANIFEST).read_text())
    if name in _FORGERIES:
        start, forge, message = _FORGERIES[name]
        (forged,) = folder.glob(f"{start}*")
        pq.write_table(forge(pq.read_table(forged)), tmp_path / "month")
        content = (tmp_path / "month").read_bytes()
    else:
        change, message = _FORGED_LISTS[name]
        (forged,) = folder.glob("objects-*")
        with pa.input_stream(str(forged), compression="zstd") as stream:
            listed = json.loads(stream.read())
        change(listed)
        content = pa.Codec("zstd").compress(json.dumps(listed).encode(), asbytes=True)
    forged.unlink()
    del told["files"][forged.name]
    digest = hashlib.sha256(content).hexdigest()
    new = re.sub(r"[0-9a-f]{16}(?=\.)", digest[:16], forged.name)
    (folder / new).write_bytes(content)
    told["files"][new] = {"size": len(content), "sha256": digest}
    (folder / MANIFEST).write_text(json.dumps(told))
    with pytest.raises(ContractError, match=message):
        read_into(tmp_path / "store", folder)
    assert not list((tmp_path / "store").rglob(MANIFEST))


def test_a_terminal_obeys_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a key says is shown as it is, without escapes and not as markup."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=200)
    monkeypatch.setattr(telling, "console", console)
    with telling.show_progress("reading") as (step,):
        step(1, 2, "[red]key[/red]\x1b]0;title\x07")
    telling.say("[red]\x1b]0;title\x07")
    assert "[red]key[/red]�]0;title" in shown.getvalue()
    assert "\x1b]0;" not in shown.getvalue()
    error = str(ParameterError("SOURCE", "\x1b[31m", "\x1b[31m" * 9_999))
    assert (error.isprintable(), len(error) < 3_000) == (True, True)
