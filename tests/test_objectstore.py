"""Where a store lives: the same in a folder and on S3, and what becomes of it on a bad server."""

import pickle
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from analysis.errors import ParameterError, SourceError
from analysis.sources.objectstore import Storage
from tests.loopback_s3 import Fault, LoopbackS3, loopback_s3

_NAMES = ["a b/c+d.parquet", "a b/c%20d.parquet", "ភ្នំ/[1]*?.parquet", "ភ្នំ/.x.part"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackS3]:
    """An S3 server for which nobody waits long, and no credentials but those that a test gives."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    limits = {"read_timeout": timedelta(seconds=0.5), "timeout": timedelta(seconds=1)}
    monkeypatch.setattr("analysis.sources.objectstore.LIMITS", limits)
    backoff = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2)}
    monkeypatch.setattr(
        "analysis.sources.objectstore.RETRIES", {"max_retries": 2, "backoff": backoff}
    )
    with loopback_s3() as state:
        yield state


def _anonymous(server: LoopbackS3, prefix: str = "") -> str:
    return server.s3_url.replace("s3://archive", f"s3://anonymous@archive/{prefix}")


@pytest.fixture(params=["folder", "bucket"])
def storage(
    request: pytest.FixtureRequest, server: LoopbackS3, tmp_path: Path
) -> Callable[[], Storage]:
    """One with nothing in it."""
    is_bucket = request.param == "bucket"
    uri = _anonymous(server, "our store") if is_bucket else str(tmp_path / "our store")
    return lambda: Storage(uri)


def test_a_folder_and_a_bucket_hold_the_same(storage: Callable[[], Storage], tmp_path: Path):
    """Whatever the names, whoever reads: also a process to which the storage was sent."""
    store, file = storage(), tmp_path / "file"
    assert store.stamps("") == store.stamps("none") == {}
    for number, name in enumerate(_NAMES):
        file.write_bytes(bytes([number]) * 1000)
        store.put(str(file), f"top/{name}")
    other: Storage = pickle.loads(pickle.dumps(store))
    assert {name: size for name, (size, _) in other.stamps("top").items()} == dict.fromkeys(
        _NAMES, 1000
    )
    for number, name in enumerate(_NAMES):
        content = bytes([number]) * 1000
        other.fetch(f"top/{name}", str(file))
        assert other.read(f"top/{name}") == file.read_bytes() == content
    for read in (store.read, lambda name: store.fetch(name, str(file))):
        with pytest.raises(FileNotFoundError):
            read("top/none")


def test_what_a_killed_write_left_is_no_file(tmp_path: Path):
    """obstore writes beside the name, with a number behind it."""
    (tmp_path / "a.parquet#1").write_bytes(b"half")
    (tmp_path / "a.parquet").write_bytes(b"whole")
    assert list(Storage(str(tmp_path)).stamps("")) == ["a.parquet"]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("status", 2, 503), ""),
        (Fault("reset", 2, cut=100), ""),
        (Fault("silence", 1), ""),
        (Fault("status", status=503), "503 Service Unavailable"),
        (Fault("status", status=403), "permission denied"),
        (Fault("reset"), "HTTP error"),
        (Fault("silence"), "Content-Range"),
        (Fault("drip"), "Content-Range"),
        (Fault("head"), "HTTP error"),
    ],
)
def test_a_bad_server_is_asked_again_and_then_named(server: LoopbackS3, fault: Fault, why: str):
    """In one line, which quotes no address.

    A body that stops is asked for from where it stopped, of which these faults know nothing.
    """
    server.objects["x/y"] = bytes(5000)
    server.faults["x/y"] = fault
    storage = Storage(_anonymous(server))
    if not why:
        assert storage.read("x/y") == bytes(5000)
    else:
        with pytest.raises(OSError, match=why) as caught:
            storage.read("x/y")
        assert "\n" not in str(caught.value)
        assert "127.0.0.1" not in str(caught.value)


def test_a_store_that_cannot_be_listed_is_named(server: LoopbackS3):
    server.faults["?x/"] = Fault("status", status=403)
    with pytest.raises(SourceError, match=r"the store s3://.* cannot be listed: .*403"):
        Storage(_anonymous(server)).stamps("x")


_NO_STORES = [
    ("gs://bucket", "a folder or s3://bucket/prefix"),
    ("http://host/bucket", "a folder or s3://bucket/prefix"),
    ("s3://", "options are region"),
    ("s3://[", "options are region"),
    ("s3://bucket?key=1", "options are region"),
    ("s3://id:secret@bucket", "keys do not belong into an address"),
]


def test_a_store_that_is_none_is_a_wrong_parameter(subtests: pytest.Subtests):
    """And a secret is not repeated."""
    for uri, why in _NO_STORES:
        with subtests.test(uri):
            with pytest.raises(ParameterError) as caught:
                Storage(uri)
            assert why in str(caught.value)
            assert "secret" not in str(caught.value).partition(":")[0]
            assert "id:secret" not in str(caught.value)
