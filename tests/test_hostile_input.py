"""Whoever fills a bucket, sends a share or submits a measurement: bounds, and words about them."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from analysis.commands import progress as telling
from analysis.errors import ContractError, ParameterError, SourceError
from analysis.observations.fingerprints import ALIKE_LIMIT, Fingerprint, Fingerprints, load
from analysis.period import Period
from analysis.sources.buckets import open_source
from analysis.store.lines import VALUE_LIMIT, has_too_many_values
from analysis.store.shares import MANIFEST, share
from benchmarks.fuzzing import fuzz, measurement
from tests.archives import object_key, packed, put, read_into
from tests.loopback_s3 import loopback_s3

_GOOD = json.dumps(measurement("0.5")).encode()


def test_thousands_of_hostile_values_end_in_the_ledger_or_in_a_sentence() -> None:
    """The long run is ``python -m benchmarks.fuzzing``."""
    ends = fuzz(1_500, seed=7)
    assert ends["line"] >= 900
    assert ends["share: ContractError"]


def test_a_server_cannot_list_or_send_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the bound, which the environment changes."""
    with loopback_s3() as server:
        server.objects = {object_key(): packed([_GOOD])}
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
    folder = put(tmp_path / "archive", object_key(), [_GOOD]).parent
    os.mkfifo(folder / "pipe.jsonl.gz")
    (folder / "zero.jsonl.gz").symlink_to("/dev/zero")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jsonl.gz")).write_bytes(b"")
    collection = read_into(tmp_path / "store", tmp_path / "archive")
    assert len(collection.files) == 1
    why = {item.key.rpartition("/")[2]: item.why for item in collection.not_read}
    assert why == {"caf\ufffd.jsonl.gz": "its name is not UTF-8", "pipe.jsonl.gz": "not a file",
                   "zero.jsonl.gz": "not a file"}  # fmt: skip
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
    put(tmp_path / "archive", object_key(), lines)
    (file,) = read_into(tmp_path / "store", tmp_path / "archive").files
    assert (file.row_count, file.ledger) == (1, {"invalid:too_many_values": 1})


@pytest.mark.parametrize("line", [b"\n", b"{}\n"])
def test_packed_lines_of_nothing_are_not_read_to_their_end(tmp_path: Path, line: bytes) -> None:
    """12 KB of blank lines took ten seconds: reading stops, and the rest is one ledger row."""
    put(tmp_path / "archive", object_key(), gzip.compress(line * 12_000_000))
    (file,) = read_into(tmp_path / "store", tmp_path / "archive").files
    assert file.ledger["truncated_file"] == 1
    assert sum(file.ledger.values()) < 1_200_000


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
    put(folder / "archive", object_key(), [_GOOD, _GOOD.replace(b'"r"', b'"s"')])
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
        "2024", _texts("measurement_start_time"), "column measurement_start_time must be TIMEST",
    ),
    "a missing column": ("2024", lambda t: t.drop_columns(["tls"]), "column tls must be STRUCT"),
    "one more column": ("2024", lambda t: t.append_column("x", t["domain"]), "no column x"),
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
}  # fmt: skip

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
}  # fmt: skip


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


def test_a_manifest_of_anything_is_refused(shared: Path, tmp_path: Path) -> None:
    """A line break in a name, a size that no disk has."""
    told = json.loads((shared / MANIFEST).read_text())
    huge = {name: {**file, "size": 10**15} for name, file in told["files"].items()}
    for change, message in (
        ({"source_id": f"{told['source_id']}\n"}, "no manifest of shared observations"),
        ({"files": huge}, "more than 10 times OBJECT_BYTES=2000000000"),
    ):
        (tmp_path / MANIFEST).write_text(json.dumps(told | change))
        with pytest.raises(SourceError, match=message):
            read_into(tmp_path / "store", tmp_path)


def test_a_terminal_obeys_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a key says is shown as it is, without escapes and not as markup."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=200)
    monkeypatch.setattr(telling, "console", console)
    with telling.show_progress("reading") as (step,):
        step(1, 2, "[red]key[/red]\x1b]0;title\x07")
    telling.say("[red]\x1b]0;title\x07")
    with telling.show_status("notebooks") as display:
        display.update("[bold]\x1b]0;title\x07")
    assert "[red]key[/red]�]0;title" in shown.getvalue()
    assert "\x1b]0;" not in shown.getvalue()
    error = str(ParameterError("SOURCE", "\x1b[31m", "\x1b[31m" * 9_999))
    assert (error.isprintable(), len(error) < 3_000) == (True, True)
