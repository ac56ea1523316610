"""A share, or a store: whoever gets it reports what its sender would, or is told of damage."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.errors import RESUMES, ParameterError, SourceError
from analysis.observations.fingerprints import Fingerprints
from analysis.period import Period
from analysis.store.database import Observations, explain_failures
from analysis.store.ingestion import Request, ingest
from analysis.store.shares import MANIFEST, share
from analysis.store.store import (
    BLANK_CHECKSUM,
    CHECKSUM_KEY,
    FOLDER,
    METADATA_KEY,
    Collection,
    Store,
    file_name,
    set_checksum,
)
from tests.archives import CC, contents, line_of, object_key, packed, put, read_into
from tests.loopback_s3 import Fault, LoopbackS3, loopback_s3

_SUMMER = Period.parse("2024-06-01", "2024-08-15")
_JULY = Period.parse("2024-07-01", "2024-08-01")
_PROBE = "198.51.100.77"
_BODY = "a body that nobody hands on"


def _key(day: str, name: str = "n0.0") -> str:
    return object_key(name=name, day=day)


def _line(number: int, start: str = "2024-07-01 00:00:00", **changes: Any) -> bytes:
    exchange = {
        "failure": None,
        "request": {"url": "https://news.example/", "headers": {"X-Forwarded-For": _PROBE}},
        "response": {"code": 200, "body": f"<title>News</title>{_BODY} {_PROBE}", "headers": {}},
    }
    keys = {
        "requests": [exchange],
        "client_resolver": _PROBE,
        "blocking": False,
        "accessible": True,
    }
    said = {"probe_ip": _PROBE, "input": f"https://{number % 7}.example/", "test_keys": keys}
    return line_of(number, measurement_start_time=start, **{**said, **changes})


#: Three months, with every reason of the ledger in and outside July.
_OBJECTS = {
    _key("20240601"): [_line(n, f"2024-06-01 10:00:{n:02}") for n in range(9)],
    _key("20240701"): [
        *(_line(n) for n in range(20, 40)),
        b"{oops",
        b"[]",
        _line(20),
        _line(1, probe_cc="QM"),
        _line(2, test_name="ndt"),
        _line(3, "2024-06-30 23:59:59"),
        _line(4, "2023-01-01 00:00:00"),
    ],
    _key("20240702"): [_line(21), _line(41, "2024-07-02 00:00:00"), _line(42, input=None)],
    _key("20240801"): [_line(50, "2024-08-01 00:00:00"), _line(51, "2024-07-31 23:59:59")],
}
_UNREADABLE = _key("20240703")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """What the sender has read of an archive with an object that nobody may read."""
    with loopback_s3() as server:
        server.objects = {f"ooni/{key}": packed(lines) for key, lines in _OBJECTS.items()}
        server.objects[f"ooni/{_key('20240701', 'n1.0')}"] = packed(_line(9) for _ in "ab")[:-9]
        server.objects[f"ooni/{_UNREADABLE}"] = packed([_line(60)])
        server.faults = {f"ooni/{_UNREADABLE}": Fault("status", status=403)}
        return read_into(tmp_path_factory.mktemp("theirs"), f"{server.url}/ooni")


@pytest.fixture(scope="module")
def summer(theirs: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sender's share of the summer."""
    folder = tmp_path_factory.mktemp("shared") / "summer"
    share(theirs, CC, _SUMMER, folder)
    return folder


@pytest.fixture
def shared(summer: Path, tmp_path: Path) -> Path:
    """The share as it has arrived."""
    return Path(shutil.copytree(summer, tmp_path / "shared"))


def _seen(collection: Collection, period: Period) -> dict[str, Any]:
    """All that a report is made of."""
    with Observations(collection, CC, period) as opened:
        types = opened.connection.execute("DESCRIBE observations").fetchall()
        # A share has rows of its own order, and does not name senders.
        rows = opened.connection.execute(
            "SELECT * EXCLUDE (row_id, probe_id) FROM observations ORDER BY ALL"
        ).fetchall()
        return {
            "types": types,
            "rows": rows,
            "digest": collection.digest,
            "ledger": opened.ledger().to_csv(),
            "not_read": collection.objects_not_read().to_csv(),
        }


@pytest.mark.parametrize("period", [_SUMMER, _JULY, Period.parse("2024-07-02", "2024-08-02")])
def test_a_share_gives_what_the_archive_gives(
    theirs: Collection, shared: Path, tmp_path: Path, period: Period
):
    """Rows, their types, the ledger of every line, what was not read, and the digest: for the
    period of the share and for any part of it."""
    ours = read_into(tmp_path / "ours", shared)
    assert ours.source_id == theirs.source_id
    expected = _seen(theirs, period)
    assert (len(expected["rows"]) > 2, "denied" in expected["not_read"]) == (True, True)
    assert _seen(ours, period) == expected


def test_a_share_of_a_share_is_the_share_that_the_sender_would_make(
    theirs: Collection, shared: Path, tmp_path: Path
):
    """Byte for byte."""
    share(read_into(tmp_path / "ours", shared), CC, _JULY, tmp_path / "again")
    share(theirs, CC, _JULY, tmp_path / "direct")
    assert contents(tmp_path / "again") == contents(tmp_path / "direct")


def test_a_share_names_no_sender(tmp_path: Path):
    """Runs that only ``probe_id`` tells apart stay apart, in their order, with what was copied."""
    key, names = _key("20240701"), [f"sender-{letter}" for letter in "abcdefgh"]
    start = {"test_start_time": "2024-06-30 23:59:00"}
    keys = [{"accessible": True, "x_dns_runtime": place} for place in range(len(names))]
    lines = [
        _line(n, probe_id=name, test_keys=its, **start)
        for name, its in zip(names, keys, strict=True)
        for n in range(3)
    ]
    copy = _line(0, test_keys=keys[0], probe_id="sender-x", **start)
    put(tmp_path / "archive", key, [*lines, copy])
    theirs = read_into(tmp_path / "theirs", tmp_path / "archive")
    share(theirs, CC, _JULY, tmp_path / "shared")
    ours = read_into(tmp_path / "ours", tmp_path / "shared")
    seen = _seen(theirs, _JULY)
    assert _seen(ours, _JULY) == seen
    with Observations(ours, CC, _JULY) as opened:
        counts = opened.connection.execute("SELECT count(DISTINCT run), count(*) FROM observations")
        assert counts.fetchall() == [(len(names), 3 * len(names))]
    for path in (tmp_path / "shared").glob("*.parquet"):
        assert set(pq.read_table(path)["probe_id"].to_pylist()) == {None}


def test_other_days_and_another_country_are_refused(shared: Path, tmp_path: Path):
    """Their lines were counted and left behind, so that a report on them would lie."""
    ours = read_into(tmp_path / "ours", shared)
    for since, until, word in (
        ("2024-05-31", "2024-08-15", "SINCE=2024-05-31"),
        ("2024-06-01", "2024-08-16", "UNTIL="),
    ):
        with pytest.raises(ParameterError, match=f"{word}.*of QQ, 2024-06-01 to 2024-08-14"):
            Observations(ours, CC, Period.parse(since, until))
    with pytest.raises(SourceError, match=f"{MANIFEST} is of QQ, not of QM"):
        read_into(tmp_path / "ours", shared, "QM")


def test_no_probe_address_and_no_body_is_handed_on(shared: Path):
    """Nor the moment when a file of the sender was written; the licence goes with it."""
    for path in shared.glob("*.parquet"):
        table = pq.read_table(path)
        assert table.num_rows
        assert not re.search(f"{_PROBE}|{_BODY}", json.dumps(table.to_pylist(), default=str))
        assert not {"probe_ip", "client_resolver", "body", "etag"} & set(table.column_names)
    with pa.input_stream(str(next(shared.glob("objects-*"))), compression="zstd") as stream:
        listed = json.loads(stream.read())
    assert {file["etag"] for file in listed["files"]} == {""}
    assert json.loads((shared / MANIFEST).read_text())["licence"].startswith("CC0")


def test_only_what_is_new_goes_over_the_line(
    theirs: Collection, bucket: LoopbackS3, tmp_path: Path
):
    """A second share of the same months fetches nothing but its manifest, a longer period only
    the months that changed and the list of objects."""

    def offer(period: Period) -> set[str]:
        share(theirs, CC, period, tmp_path / "shared")
        bucket.objects = {f"team/{n}": c for n, c in contents(tmp_path / "shared").items()}
        bucket.requests.clear()
        ours = read_into(tmp_path / "ours", f"{bucket.url}/team")
        assert _seen(ours, period) == _seen(theirs, period)
        names = {request.rpartition("/")[2] for request in bucket.requests if "?" not in request}
        return {re.sub(r"-[0-9a-f]{16}\.[a-z.]+", "", name) for name in names}

    assert offer(_JULY) == {MANIFEST, "objects", "2024-07"}
    assert offer(_JULY) == {MANIFEST}
    bucket.requests.clear()
    url, ours = f"{bucket.url}/team", str(tmp_path / "ours")
    ingest(Request(url, ours, CC, reopen=True), Fingerprints())  # as a notebook does
    assert not bucket.requests
    assert offer(_SUMMER) == {MANIFEST, "objects", "2024-06", "2024-07", "2024-08"}
    assert offer(_JULY) == {MANIFEST}


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _edit_sizes(folder: Path) -> None:
    files = json.loads((folder / MANIFEST).read_text())["files"]
    _edit(folder, files={name: {**file, "size": 10**15} for name, file in files.items()})


_DAMAGE = {
    "a flipped bit": (lambda f: _flip(next(f.glob("2024-07-*"))), "2024-07-.* it was altered, or"),
    "an altered ledger": (lambda f: _flip(next(f.glob("objects-*"))), "objects-.* it was altered"),
    "half a file": (
        lambda f: (p := next(f.glob("2024-07-*"))).write_bytes(p.read_bytes()[:99]),
        "altered",
    ),
    "a longer file": (
        lambda f: (p := next(f.glob("2024-07-*"))).write_bytes(p.read_bytes() + b"x"),
        "2024-07-.* longer than it was listed",
    ),
    "a missing file": (lambda f: next(f.glob("2024-07-*")).unlink(), "2024-07-.* no such file"),
    "no manifest's shape": (lambda f: (f / MANIFEST).write_text("[]"), "no manifest of shared"),
    "half a manifest": (lambda f: (f / MANIFEST).write_text('{"format"'), "no manifest of shared"),
    "a nested manifest": (lambda f: (f / MANIFEST).write_text("[" * 99_999), "no manifest of sha"),
    "a later format": (lambda f: _edit(f, format="2"), "no manifest of shared observations"),
    "a later schema": (lambda f: _edit(f, schema_version=99), "of schema 99, this workbook reads"),
    "a period of no day": (lambda f: _edit(f, since="2025-01-01"), "no manifest of shared obser"),
    "a way out": (
        lambda f: _edit(f, files={"../../x.parquet": {"size": 1, "sha256": "0" * 64}}),
        "no manifest of shared observations",
    ),
    "another source": (lambda f: _edit(f, source_id="../x"), "no manifest of shared observations"),
    "sizes that no disk has": (_edit_sizes, "more than 10 times OBJECT_BYTES=2000000000"),
    "another digest": (
        lambda f: _edit(f, observations_digest="0" * 64),
        "is not of the observations that",
    ),
}


def test_what_is_not_as_it_was_sent_is_refused_in_one_sentence(summer: Path, tmp_path: Path):
    """Nothing of it gets into the store: no manifest, no file that is not what its name says."""
    for name, (damage, message) in _DAMAGE.items():
        folder = Path(shutil.copytree(summer, tmp_path / name))
        damage(folder)
        with pytest.raises(SourceError, match=message) as caught:
            read_into(tmp_path / "ours" / name, folder)
        assert str(caught.value).isprintable(), name
    for path in (tmp_path / "ours").rglob("*.*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] in path.name


def test_what_was_received_and_then_damaged_is_fetched_again(shared: Path, tmp_path: Path):
    """Bit rot at home is no reason to stop."""
    first = _seen(read_into(tmp_path / "ours", shared), _SUMMER)
    for path in (tmp_path / "ours" / "shares").rglob("*-*.*"):
        _flip(path)
    assert _seen(read_into(tmp_path / "ours", shared), _SUMMER) == first


def test_an_interrupted_share_is_finished_and_a_foreign_folder_is_left_alone(
    theirs: Collection, shared: Path, tmp_path: Path
):
    """Until the new manifest is there the earlier share stays whole."""
    whole = contents(shared)
    (shared / MANIFEST).unlink()
    (shared / "2024-09-0123456789abcdef.parquet").write_bytes(b"of a killed run")
    share(theirs, CC, _SUMMER, shared)
    assert contents(shared) == whole
    put(tmp_path / "other", "thesis.txt", b"years of work")
    with pytest.raises(ParameterError, match="must be new, empty, or hold an earlier share alone"):
        share(theirs, CC, _SUMMER, tmp_path / "other")
    with pytest.raises(SourceError, match="no measurement of QQ in 2019"):
        share(theirs, CC, Period.parse("2019-01-01", "2019-02-01"), tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


# --- another store --------------------------------------------------------------------------------


def _place(collection: Collection, key: str) -> Path:
    return Path(collection.store.path(file_name(collection.source_id, key)))


def test_another_store_gives_what_the_archive_gives(
    theirs: Collection, bucket: LoopbackS3, tmp_path: Path
):
    """The whole store, its observations or one archive's, in a folder or behind a URL; then a store
    that was made from such a store. What is there already is not fetched again."""
    root = Path(theirs.store.uri)
    bucket.objects = {
        f"team/{path.relative_to(root)}": path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    whole, url = tmp_path / "0", f"{bucket.url}/team"
    sources = (root, root / FOLDER, root / FOLDER / theirs.source_id, url, whole)
    for number, source in enumerate(sources):
        ours = read_into(tmp_path / f"{number}", source)
        assert ours == theirs, source
        assert _seen(ours, _SUMMER) == _seen(theirs, _SUMMER), source
    assert read_into(tmp_path / "0", root).read_count == 0
    bucket.requests.clear()
    assert read_into(tmp_path / "3", url).read_count == 0
    assert [request for request in bucket.requests if request.endswith(".parquet")] == []
    bucket.requests.clear()
    request = Request(url, str(tmp_path / "3"), CC, reopen=True)  # as a notebook does
    assert ingest(request, Fingerprints()) == theirs
    assert not bucket.requests


def test_of_another_store_nothing_is_counted_that_is_not_as_it_was_written(
    theirs: Collection, tmp_path: Path
):
    """Neither what was damaged, nor what somebody has made up and given a checksum."""
    root = Path(shutil.copytree(theirs.store.uri, tmp_path / "theirs"))
    copy = replace(theirs, store=Store(str(root)))
    damaged, forged, longer, older = (file.key for file in theirs.files[:4])
    _flip(_place(copy, damaged))
    _rewrite(
        _place(copy, forged),
        lambda rows: rows.set_column(
            rows.schema.get_field_index("domain"), "domain", pa.array(["<script>"] * len(rows))
        ),
    )
    _rewrite(_place(copy, longer), lambda rows: pa.concat_tables([rows, rows]))
    _rewrite(_place(copy, older), lambda rows: rows.drop_columns(["domain"]))
    ours = read_into(tmp_path / "ours", root)
    told = {item.key: item.why for item in ours.not_read}
    for key, why in (
        (damaged, "not a whole file of observations"),
        (forged, "column domain cannot have"),
        (longer, "rows by its ledger"),
        (older, "no such column"),
    ):
        assert why in told.pop(key)
        assert not _place(ours, key).exists()
    assert told.keys() == {_UNREADABLE}
    assert ours.files == theirs.files[4:]


def test_what_can_never_be_read_is_not_said_to_resume(
    theirs: Collection, bucket: LoopbackS3, tmp_path: Path
) -> None:
    """A store of which no file is whole, and rows for which there is no memory."""
    keys = (file_name(theirs.source_id, file.key) for file in theirs.files)
    bucket.objects = dict.fromkeys(keys, b"PAR1")
    with pytest.raises(SourceError, match="objects of QQ could be read; the first") as never:
        read_into(tmp_path / "ours", bucket.url)
    with (
        pytest.raises(SourceError, match="Out of Memory") as larger,
        explain_failures(),
        duckdb.connect(config={"memory_limit": "20MB"}) as connection,
    ):
        connection.execute("SELECT list(range) FROM range(100_000_000)")
    assert not [error for error in (never, larger) if RESUMES in str(error.value)]


def _rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a file's rows and give it a checksum that is right."""
    metadata = {**(pq.read_metadata(path).metadata or {})}
    told = metadata[METADATA_KEY]
    rows = change(pq.read_table(path).replace_schema_metadata(None))
    with pq.ParquetWriter(path, rows.schema, store_schema=False) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({METADATA_KEY: told})
        writer.add_key_value_metadata({CHECKSUM_KEY: BLANK_CHECKSUM})
    set_checksum(path)
