"""OONI's archive, live: what is asked of it, and what becomes of it when it is served badly.

The server is on loopback, in the archive's layout, under the name that ``OONI_ARCHIVE`` gives it.
"""

import gzip
import hashlib
import json
import random
import re
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from analysis.errors import ParameterError, SourceError
from analysis.observations.fingerprints import Fingerprints
from analysis.period import Period
from analysis.sources.archive_files import FOLDERS
from analysis.sources.web import CONNECTIONS, Limits
from analysis.store.database import MessagingRows
from analysis.store.ingestion import Request, ingest, ingest_messaging
from analysis.store.store import Collection
from analysis.study.parameters import StudyParameters
from analysis.study.study import open_study
from tests.archives import contents, ledger_of, line_of, object_key, packed, put, read_into
from tests.conftest import Command
from tests.loopback_s3 import Fault, LoopbackS3
from tests.messaging import measurement as app_test
from tests.ooni_server import OoniServer

_CC = "KH"
_DAY = date(2024, 7, 1)
_PERIOD = Period(_DAY, _DAY + timedelta(days=1))


def _line(number: int, day: date = _DAY, pad: int = 0) -> bytes:
    noise = random.Random(number).randbytes(pad).hex()
    return line_of(number, measurement_start_time=f"{day} 00:00:00", probe_cc=_CC, pad=noise)


def _packed(*numbers: int, day: date = _DAY, pad: int = 0) -> bytes:
    return packed(_line(number, day, pad) for number in numbers)


def _key(day: date = _DAY, hour: int = 0, number: int = 0, **others: str) -> str:
    return object_key(hour, f"n{number}.0", f"{day:%Y%m%d}", **{"cc": _CC, **others})


def _ingest(store: str, period: Period = _PERIOD, **options: Any) -> Collection:
    return read_into(store, "ooni", _CC, period=period, **{"receipt_margin": 0, **options})


def _ledger(collection: Collection, period: Period = _PERIOD) -> dict[str, int]:
    found = ledger_of(collection, period, _CC)
    del found["total"]
    return found


@pytest.fixture
def archive(ooni: OoniServer, monkeypatch: pytest.MonkeyPatch) -> LoopbackS3:
    """A server for which nobody waits long."""
    monkeypatch.setattr("analysis.sources.web.LIMITS", Limits(5.0, 1.0, 30.0))
    return ooni


def _asked(server: LoopbackS3) -> tuple[list[str], list[str]]:
    """Prefixes that were listed and keys that were read, sorted."""
    parts = [urlsplit(request.partition(" ")[2]) for request in server.requests]
    listed = [parse_qs(part.query)["prefix"][0] for part in parts if part.query]
    read = [part.path.removeprefix("/archive/") for part in parts if not part.query]
    server.requests.clear()
    return sorted(listed), sorted(read)


# --- what is asked ------------------------------------------------------------------------------


def test_only_the_hours_of_the_country_are_asked_for(archive: LoopbackS3, store: str):
    """And a margin behind the period, in which late uploads are found; twice is not asked."""
    later = _DAY + timedelta(days=1)
    wanted = {
        _key(hour=3): _packed(1),
        _key(hour=23, number=1): _packed(2, 3),
        _key(later, 5): _packed(4) + _packed(5, day=later),
    }
    archive.objects = wanted | {
        _key(_DAY - timedelta(days=1), 23): _packed(6),
        _key(later + timedelta(days=1)): _packed(7),
        _key(cc="TH"): _packed(8),
        _key(test="ndt"): _packed(9),
        _key().replace("jsonl", "tar"): b"the same",
    }
    collection = _ingest(store, receipt_margin=1)
    assert _ledger(collection) == {"kept": 4, "out_of_period": 1}
    hours = [f"raw/{day:%Y%m%d}/{hour:02}/{_CC}/" for day in (_DAY, later) for hour in range(24)]
    assert _asked(archive) == (hours, sorted(wanted))
    again = _ingest(store, receipt_margin=1)
    assert (again, again.read_count) == (collection, 0)
    assert _asked(archive) == ([], [])
    assert len(_ingest(store).files) == 2  # the store holds more than is asked for


def test_apps_come_from_the_listing_of_the_sites(archive: LoopbackS3, store: str) -> None:
    """One listing for all tests; each object is read once, into the rows of its own test."""
    telegram_key, signal_key = (
        _key(hour=hour, test=test) for hour, test in ((2, "telegram"), (7, "signal"))
    )
    apps = {
        telegram_key: [app_test("telegram", start=f"{_DAY} 02:10:00", probe_cc=_CC)],
        signal_key: [app_test("signal", start=f"{_DAY} 07:10:00", probe_cc=_CC)],
    }
    archive.objects = {_key(): _packed(1), _key(test="ndt"): b"not read"} | {
        key: gzip.compress(b"\n".join(json.dumps(one).encode() for one in tests) + b"\n", mtime=0)
        for key, tests in apps.items()
    }
    assert _ledger(_ingest(store)) == {"kept": 1}
    listed, read = _asked(archive)
    assert (len(listed), read) == (24, [_key()])
    request = Request("ooni", store, _CC, _PERIOD, receipt_margin=0, jobs=1)
    collection = ingest_messaging(request)
    assert _asked(archive) == ([], sorted(apps))
    rows = MessagingRows(collection, _CC, _PERIOD)
    kept = rows.connection.execute("SELECT test_name, object_key FROM messaging").fetchall()
    assert sorted(kept) == [("signal", signal_key), ("telegram", telegram_key)]
    assert ingest_messaging(request).read_count == 0
    assert _asked(archive) == ([], [])


def test_a_period_across_the_change_of_layout_is_read_from_both(archive: LoopbackS3, store: str):
    """Keys are of two shapes, until 2020-10-21 and from 2020-10-20 on."""
    period = Period.parse("2020-10-19", "2020-10-23")
    days = list(period.days())
    archive.objects = {
        f"jsonl/webconnectivity/KH/{days[0]:%Y%m%d}/00/a.jsonl.gz": _packed(1, day=days[0]),
        f"jsonl/webconnectivity/KH/{days[1]:%Y%m%d}/00/b.jsonl.gz": _packed(2, day=days[1]),
        _key(days[1], 7): _packed(3, day=days[1]),
        f"jsonl/webconnectivity/KH/{days[2]:%Y%m%d}/00/c.jsonl.gz": _packed(4, 5, day=days[2]),
        _key(days[2], 7): _packed(5, 6, day=days[2]),
        _key(days[3], 7): _packed(7, day=days[3]),
        _key(days[0], 7): b"not of this time",
        f"jsonl/webconnectivity/KH/{days[3]:%Y%m%d}/00/d.jsonl.gz": b"not of this time",
    }
    assert _ledger(_ingest(store, period), period) == {"kept": 7, "duplicate": 1}
    listed, read = _asked(archive)
    assert (len(listed), len(read)) == (3 * len(FOLDERS) + 3 * 24, 6)


def test_a_growing_month_is_brought_up_to_date(archive: LoopbackS3, store: str):
    """Hours long past are not listed again, young ones are; only what is new or new again is read.

    Days to come are none of it.
    """
    now = datetime.now(UTC)
    today = now.date()
    old, young = today - timedelta(days=17), today - timedelta(days=2)
    period = Period(old, today + timedelta(days=30))
    archive.objects = {
        _key(old): _packed(1, day=old),
        _key(young): _packed(2, day=young),
        _key(young, 1): _packed(3, day=young),
        _key(today, now.hour): b"of an hour that is not over",
    }
    assert _ledger(_ingest(store, period), period) == {"kept": 3}
    first, _ = _asked(archive)
    assert len(first) == 17 * 24 + now.hour
    archive.objects |= {
        _key(old, 1): _packed(4, day=old),
        _key(young, 1): _packed(3, 5, day=young),
        _key(young, 2): _packed(6, day=young),
    }
    assert _ledger(_ingest(store, period), period) == {"kept": 5}
    listed, read = _asked(archive)
    assert 13 * 24 < len(listed) < 16 * 24
    assert read == [_key(young, 1), _key(young, 2)]


def _age_listings(store: str, days: int) -> None:
    """Let the kept listings have been made so many days earlier."""
    notes = [path for path in Path(store).rglob("*.json") if "listings" in path.parts]
    assert notes
    for note in notes:
        kept = json.loads(note.read_text())
        listed_at = datetime.fromisoformat(kept["listed_at"]) - timedelta(days=days)
        note.write_text(json.dumps({**kept, "listed_at": listed_at.isoformat()}))


def test_what_comes_late_under_an_old_hour_is_found(archive: LoopbackS3, store: str):
    """By the first run more than 30 days after the day was listed. It asks for each hour once, and
    reads what is new or has changed. Later runs and notebooks know what came late.
    """
    unchanged, replaced, late = _key(), _key(hour=1), _key(hour=2, number=5)
    app = _key(hour=2, test="telegram")
    archive.objects = {unchanged: _packed(1), replaced: _packed(2)}
    assert _ingest(store).late == ()
    archive.objects |= {replaced: _packed(2, 3), late: _packed(4, 5, 6)}
    archive.objects[app] = packed(
        [json.dumps(app_test("telegram", start=f"{_DAY} 02:10:00", probe_cc=_CC)).encode()]
    )
    _age_listings(store, 29)
    archive.requests.clear()
    assert len(_ingest(store).files) == 2
    assert _asked(archive) == ([], [])
    _age_listings(store, 2)
    collection = _ingest(store)
    listed, read = _asked(archive)
    assert (len(listed), read) == (24, [replaced, late])
    assert (collection.late, collection.count_late_lines()) == ((replaced, late), 5)
    assert _ledger(collection) == {"kept": 6}
    apps = ingest_messaging(Request("ooni", store, _CC, _PERIOD, receipt_margin=0, jobs=1))
    assert (apps.late, _asked(archive)) == ((app,), ([], [app]))
    assert _ingest(store) == collection
    assert _ingest(store, reopen=True) == collection  # as a notebook does
    assert _asked(archive) == ([], [])
    _age_listings(store, 31)
    assert _ingest(store).late == collection.late  # once late, always


def test_all_days_are_listed_again_at_once_or_none(archive: LoopbackS3, store: str):
    """RELIST=1 for whoever knows that something came; RELIST=0 to repeat a published report, also
    where some of its files are gone. Notes are of no use to it: it goes by the record of the run.
    """
    archive.objects = {_key(): _packed(1), _key(hour=1): _packed(2), _key(hour=3): b"x"}
    archive.faults[_key(hour=3)] = Fault("status", status=403)
    published = _ingest(store)
    request = Request("ooni", store, _CC, _PERIOD, receipt_margin=0, jobs=1, relist=True)
    apps = ingest_messaging(request)
    archive.objects[_key(hour=2)] = _packed(3)
    archive.faults.clear()
    _age_listings(store, 400)
    archive.requests.clear()
    assert _ingest(store, relist=False) == published
    assert ingest_messaging(replace(request, relist=False)) == apps
    assert _asked(archive) == ([], [])
    file_name = next(name for name in contents(store, "*.parquet") if "/01/" in name)
    (Path(store) / file_name).unlink()
    again = _ingest(store, relist=False)
    assert (again, again.digest) == (published, published.digest)
    assert _asked(archive) == ([], [_key(hour=1)])
    collection = ingest(request, Fingerprints())
    ingest_messaging(request)  # by the same listing
    listed, read = _asked(archive)
    assert (len(listed), read) == (24, [_key(hour=2), _key(hour=3)])
    assert collection.late == (_key(hour=2),)
    assert _ingest(store, relist=True).late == collection.late
    assert len(_asked(archive)[0]) == 24
    longer = Period(_DAY, _DAY + timedelta(days=2))  # as the period of a watch moves on
    _age_listings(store, 400)
    assert _ingest(store, longer, relist=False).late == collection.late
    assert len(_asked(archive)[0]) == 24
    archive.is_down = True
    with pytest.raises(SourceError, match=r"RELIST=0 goes on with the listing of 20.*Running"):
        _ingest(store)


def test_a_repeated_run_asks_nobody(
    archive: LoopbackS3,
    store: str,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
):
    """Neither the archive nor OONI's API, which is away here: RELIST=0 goes by what is kept."""
    monkeypatch.setenv("OONI_API", "http://127.0.0.1:9")
    later = _DAY + timedelta(days=1)
    archive.objects = {_key(): _packed(1), _key(later): _packed(2, day=later)}
    marks = "name,scope,location_found,pattern_type,pattern,expected_countries\n"
    put(tmp_path, "fingerprints_dns.csv", marks.encode())
    until = later + timedelta(days=1)
    words = [
        f"PROBE_CC={_CC}",
        "SOURCE=ooni",
        f"SINCE={_DAY}",
        f"UNTIL={until}",
        f"STORE={store}",
        "TEST_LIST=none",
        f"FINGERPRINTS={tmp_path}",
        "RECEIPT_MARGIN=0",
    ]
    assert command("ingest", *words, "RELIST=0")[0] == 3  # nothing is kept yet
    assert _asked(archive)[1] == [_key(), _key(later)]
    _age_listings(store, 31)
    archive.objects[_key(hour=5)] = _packed(3, 4)
    status, _, said = command("ingest", *words, "RELIST=0")
    assert (status, _asked(archive)) == (0, ([], []))
    assert "2 objects: 2 known, 0 new, 0 not read\n" in said
    status, _, _ = command("ingest", *words)
    assert (status, _asked(archive)[1]) == (3, [_key(hour=5)])
    status, _, said = command("ingest", *words, "RELIST=0")
    assert (status, _asked(archive)) == (0, ([], []))
    assert "3 objects: 3 known, 0 new, 0 not read; 1 came late, with 2 lines\n" in said
    for listings in list(Path(store).rglob("listings")):  # of young days none are kept
        shutil.rmtree(listings)
    assert command("ingest", *words, "RELIST=0")[0] == 0
    assert _asked(archive) == ([], [])


@pytest.mark.parametrize(
    ("cc", "period", "mirror", "error", "words"),
    [
        ("QQ", _PERIOD, "", ParameterError, "OONI has nothing of QQ"),
        ("KH", None, "", ParameterError, "SINCE=: must be given"),
        ("KH", _PERIOD, "ftp://x/y", ParameterError, "OONI_ARCHIVE=ftp://x/y: "),
        ("KH", _PERIOD, "http://:x/y", ParameterError, "OONI_ARCHIVE=http://:x/y: "),
        ("KH", Period.parse("2900-01-01", "2900-01-02"), "", SourceError, "no measurement yet"),
        ("KH", _PERIOD, "", SourceError, "of KH received from 2024-07-01 to 2024-07-01"),
    ],
)
def test_what_the_archive_cannot_have_is_said_in_a_line(
    archive, store, monkeypatch, cc, period, mirror, error, words
):
    """No other source is asked instead."""
    monkeypatch.setenv("OONI_ARCHIVE", mirror or archive.url)
    with pytest.raises(error) as caught:
        ingest(Request("ooni", store, cc, period, receipt_margin=0), Fingerprints())
    assert words in str(caught.value)
    assert not contents(store, "*.parquet")


# --- objects served badly -----------------------------------------------------------------------

_CONTENT = _packed(*range(10, 60), pad=2000)
_BAD_OBJECTS: dict[str, tuple[Fault, str]] = {
    "500 twice": (Fault("status", 2, 500), ""),
    "429 twice": (Fault("status", 2, 429), ""),
    "reset once": (Fault("reset", 1, cut=len(_CONTENT) // 2), ""),
    "reset before the first byte": (Fault("reset", 2), ""),
    "too short once": (Fault("length", 1, cut=5000), ""),
    "silence once": (Fault("silence", 1), ""),
    "503 each time": (Fault("status", status=503), "the server answered 503 each time"),
    "429 each time": (Fault("status", status=429), "the server asks for fewer requests"),
    "403": (Fault("status", status=403), "permission denied"),
    "404": (Fault("status", status=404), "no longer there"),
    "302": (Fault("status", status=302, headers={"Location": "/x"}), "the server answered 302"),
    "302 to no address": (
        Fault("status", status=302, headers={"Location": "http://xn--/?192.0.2.1"}),
        "the server answered 302",
    ),
    "reset each time": (Fault("reset", cut=9), "the connection broke each time"),
    "too short each time": (Fault("length", cut=5000), "the server answered 200"),
    "too long": (Fault("chunks"), "it is longer than was listed"),
    "longer body": (Fault("body", body=_CONTENT * 2), "it is longer than was listed"),
    "slow drip": (Fault("drip"), "it comes too slowly"),
    "slow drip of headers": (Fault("head"), "it comes too slowly"),
    "slow drip of a chunk's length": (Fault("chunk"), "it comes too slowly"),
    "other bytes": (
        Fault("body", body=bytes(len(_CONTENT))),
        "its content is not what its ETag says; if that is said of every object, this server's "
        "ETags are no MD5: fetch its files into a folder and give that as SOURCE",
    ),
}


def test_an_object_served_badly_is_read_right_or_named(
    archive: LoopbackS3, store: str, monkeypatch: pytest.MonkeyPatch
):
    """The right data or a row that says why there are none; the rest is read in any case."""
    monkeypatch.setattr("analysis.sources.web.LIMITS", Limits(5.0, 1.0, 1.5))
    archive.objects = {_key(hour=1): _packed(1), _key(hour=2): _CONTENT, _key(hour=3): _packed(2)}
    for name, (fault, why) in _BAD_OBJECTS.items():
        archive.faults[_key(hour=2)] = fault
        collection = _ingest(f"{store}/{name}")
        told = [(_key(hour=2), why)] if why else []
        assert [(row.key, row.why) for row in collection.not_read] == told, name
        assert len(collection.files) == 3 - len(told), name
    archive.faults.clear()
    assert _ledger(_ingest(f"{store}/{name}")) == {"kept": 52}


def test_an_object_that_changes_after_it_was_listed(archive: LoopbackS3, store: str):
    """Nothing is read that was not listed: it is named with the reason."""
    archive.objects = {_key(): _packed(1), _key(hour=1): _packed(2), _key(hour=2): _packed(3)}

    def change(*_: object) -> None:
        archive.objects[_key()] = _packed(1, 3, 4)
        archive.objects.pop(_key(hour=1), None)

    collection = _ingest(store, listing=change)
    assert [(row.key, row.why) for row in collection.not_read] == [
        (_key(), "changed while it was read"),
        (_key(hour=1), "no longer there"),
    ]


def test_another_object_of_the_same_size_is_noticed_by_its_etag(archive: LoopbackS3, store: str):
    """Where the server ignores what it is asked for, and its ETags are no MD5."""
    archive.is_lax = True
    archive.objects = {_key(): _packed(1), _key(hour=1): _packed(2)}

    def change(*_: object) -> None:
        archive.objects[_key()] = bytes(len(_packed(1)))

    collection = _ingest(store, listing=change)
    assert [(row.key, row.why) for row in collection.not_read] == [
        (_key(), "changed while it was read")
    ]
    assert [file.key for file in collection.files] == [_key(hour=1)]


def test_a_server_that_refuses_most_objects_is_ill(archive: LoopbackS3, store: str):
    """That is no matter of single objects: a clear stop, and running again resumes."""
    archive.objects = {_key(hour=i % 24, number=i): _packed(i) for i in range(60)}
    archive.faults = {key: Fault("status", status=403) for key in archive.objects}
    with pytest.raises(SourceError, match="20 of 20 objects could not be read") as caught:
        _ingest(store)
    assert "permission denied" in str(caught.value)
    assert len(_asked(archive)[1]) <= 20 + 2 * CONNECTIONS
    archive.faults.clear()
    assert len(_ingest(store).files) == 60


# --- listings served badly ----------------------------------------------------------------------


def _page(keys: list[str], ending: str, size: str = "1") -> bytes:
    contents = (f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>" for key in keys)
    return f"<ListBucketResult>{''.join(contents)}{ending}</ListBucketResult>".encode()


_MORE = "<IsTruncated>true</IsTruncated>"
_TWO = [_key(hour=5, number=number) for number in range(2)]
_BAD_LISTINGS: dict[str, tuple[Fault, str]] = {
    "cut off once": (Fault("body", 2, body=_page(_TWO, "")[:-30]), ""),
    "500 twice": (Fault("status", 2, 500), ""),
    "429 twice": (Fault("status", 2, 429), ""),
    "reset once": (Fault("reset", 1, cut=100), ""),
    "cut off": (Fault("body", body=_page(_TWO, "")[:-30]), "is cut off"),
    "empty": (Fault("body", body=b" "), "is cut off"),
    "a web page": (Fault("body", body=b"<html/>"), "does not list like an S3 bucket"),
    "a page that repeats": (
        Fault("body", body=_page(_TWO, f"{_MORE}<NextContinuationToken>x</NextContinuationToken>")),
        "does not end within",
    ),
    "no way on": (Fault("body", body=_page(_TWO, _MORE)), "breaks off"),
    "no size": (Fault("body", body=_page(_TWO, "", "-1")), "size or ETag that can be"),
    "a huge size": (Fault("body", body=_page(_TWO, "", "9" * 5000)), "size or ETag that can be"),
    "entities": (
        Fault("body", body=b'<!DOCTYPE a [<!ENTITY b "c">]>' + _page(_TWO, "")),
        "holds a DTD",
    ),
    "entities in another spelling": (
        Fault("body", body='<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode("utf-16")),
        "holds a DTD",
    ),
    "without end": (Fault("body", body=b" " * 300_000), "more than 0.2 MB"),
    "slow drip": (Fault("drip", body=bytes(999)), "too slowly"),
    "slow drip of headers": (Fault("head"), "too slowly"),
    "slow drip of a chunk's length": (Fault("chunk"), "too slowly"),
    "403": (Fault("status", status=403), "permission denied"),
    "503": (Fault("status", status=503), "the server answered 503 each time"),
}


def test_a_listing_served_badly_is_read_right_or_stops_the_run(
    archive: LoopbackS3, store: str, monkeypatch: pytest.MonkeyPatch
):
    """What an hour holds is not known then, and a gap would be silent."""
    monkeypatch.setattr("analysis.sources.web.LIMITS", Limits(5.0, 1.0, 1.5, page=200_000))
    prefix = f"raw/{_DAY:%Y%m%d}/05/{_CC}/"
    archive.objects = {_key(): _packed(1), _key(hour=5): _packed(2)}
    for name, (fault, words) in _BAD_LISTINGS.items():
        place = f"{store}/{name}"
        archive.faults[f"?{prefix}"] = fault
        if words:
            with pytest.raises(SourceError, match=rf"{prefix}.*{re.escape(words)}"):
                _ingest(place)
            assert not contents(place, "*.parquet"), name
        else:
            assert len(_ingest(place).files) == 2, name


def test_keys_that_were_not_asked_for_are_left_out(archive: LoopbackS3, store: str, tmp_path: Path):
    """Those of other hours, and those that would lead out of the store."""
    stem = f"raw/{_DAY:%Y%m%d}/05/{_CC}/webconnectivity/"
    keys = [
        f"{stem}../../x.jsonl.gz",
        f"{stem}..jsonl.gz",
        f"/{stem}a.jsonl.gz",
        _key(hour=6),
        _key(hour=5),
    ]
    archive.objects = dict.fromkeys(keys, _packed(1))
    page = _page(keys, "", str(len(_packed(1))))
    archive.faults[f"?{stem.partition('webconnectivity')[0]}"] = Fault("body", body=page)
    del archive.objects[_key(hour=6)]
    collection = _ingest(store)
    assert [file.key for file in collection.files] == [_key(hour=5)]
    assert not collection.not_read
    assert not list(tmp_path.rglob("x.jsonl.gz*"))


# --- what is kept -------------------------------------------------------------------------------


def test_raw_files_are_kept_and_read_instead_of_the_server(archive: LoopbackS3, store: str):
    """As they were fetched, under their keys, with a sidecar that vouches for them."""
    archive.objects = {_key(): _packed(1), _key(hour=1): _packed(2), _key(hour=2): _packed(3)}
    archive.faults[_key(hour=2)] = Fault("body", body=bytes(len(_packed(3))))
    collection = _ingest(store, keep_raw=True)
    raw = Path(store, "raw", collection.source_id)
    kept = {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*.gz")}
    assert kept == {key: archive.objects[key] for key in (_key(), _key(hour=1))}
    sidecar = json.loads((raw / f"{_key()}.json").read_text())
    assert sidecar.pop("fetched").startswith(f"{datetime.now(UTC).year}-")
    assert sidecar == {
        "url": f"{archive.url}/{_key()}",
        "size": len(kept[_key()]),
        "etag": archive.etag(_key()),
        "sha256": hashlib.sha256(kept[_key()]).hexdigest(),
        "licence": "CC BY-NC-SA 4.0, Open Observatory of Network Interference (OONI)",
    }
    (raw / _key(hour=1)).write_bytes(bytes(len(kept[_key(hour=1)])))  # whatever happened to it
    archive.faults.clear()
    before = contents(store, "*.parquet")
    for path in Path(store).rglob("*.parquet"):
        path.unlink()
    archive.requests.clear()
    _ingest(store, keep_raw=True)
    assert _asked(archive) == ([], [_key(hour=1), _key(hour=2)])
    assert before.items() <= contents(store, "*.parquet").items()
    archive.is_down = True
    assert len(ingest(Request(str(raw), store, _CC), Fingerprints()).files) == 3


def _study(store: str, source: str = "ooni", period: Period = _PERIOD) -> Any:
    parameters = StudyParameters(
        probe_cc=_CC,
        since=str(period.since),
        until=str(period.until),
        source=source,
        store=store,
        receipt_margin=0,
    )
    study = open_study(parameters)
    study.observations.close()
    return study


def test_a_study_is_opened_again_without_the_server(archive: LoopbackS3, store: str):
    """A researcher on a train; what was never read is asked for, and that is said."""
    period = Period(_DAY, _DAY + timedelta(days=2))
    archive.objects = {_key(): _packed(1), _key(hour=1): _packed(2, day=_DAY + timedelta(days=1))}
    archive.objects[_key(hour=2)] = b"x"
    archive.faults[_key(hour=2)] = Fault("status", status=403)
    collection = _ingest(store, period)
    plain = ingest(Request(archive.url, store, _CC), Fingerprints())
    archive.is_down = True
    study = _study(store, period=period)
    assert (study.collection, study.collection.digest) == (collection, collection.digest)
    assert [row.why for row in study.collection.not_read] == ["permission denied"]
    assert _study(store, archive.url, period).collection == plain
    with pytest.raises(SourceError, match="cannot be listed"):
        _study(store, period=Period.parse("2024-08-01", "2024-08-03"))
