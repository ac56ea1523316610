"""``python -m benchmarks.fuzzing [CASES] [SEED]``: hostile values in every field of every entry.

A case may end in a result or in one of the workbook's own errors, whose sentence must be printable.
Any other exception, a line without an entry in the ledger, excessive memory or time, or a file
outside the store ends the run with the case.
"""

import gzip
import hashlib
import json
import random
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import inspect as types

from analysis.commands.judging import as_json, as_text, judge_measurements
from analysis.commands.settings import VARIABLES, parse_settings
from analysis.errors import WorkbookError
from analysis.observations import fingerprints, messages
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.reference.events import load_events
from analysis.reference.test_lists import load_test_lists
from analysis.review.audits import audit_claims, show_audit
from analysis.review.claims import Draft, load_draft
from analysis.sources.archive_files import ArchiveObject, CannotRead, Folder, holds_country
from analysis.sources.buckets import _read_page
from analysis.store.ingestion import Request, ingest
from analysis.store.lines import read_files
from analysis.store.shares import MANIFEST, read_manifest, share
from analysis.store.store import Provenance, Store
from analysis.store.workers import Task, ingest_object
from analysis.tables import write_table

_CC = "QQ"
_KEY = f"raw/20240701/00/{_CC}/webconnectivity/2024070100_{_CC}_webconnectivity.n0.0.jsonl.gz"
_LINES = 600  # of each object
_SECONDS, _MEGABYTES = 30.0, 600  # for one case, and for the process

TEXTS = (
    "",
    " ",
    "\x1b[31mred\x1b]0;title\x07",
    "\x9b2J",
    "a\nb\r\nc",
    "\u202egnp",
    "\x00",
    "\ud800",
    "[link=http://a.example]x[/link]",
    "../../../etc/passwd",
    "=HYPERLINK(1)",
    "'; DROP TABLE x",
    "<script>alert(1)</script>",
    "{{ x }}",
    "%n%s",
    "a" * 70_000,
    "é" * 9_000,
    "\U0001f600" * 300,
    "http://[::1",
    "http://xn--a.example/",
    "1.2.3.4",
    "::ffff:1.2.3.4%eth0",
    "[1.2.3.4]:99999",
    "depth=0",
    "depth=99",
    "9" * 30,
    "-1",
    "2024-02-30 00:00:00",
    "0001-01-01 00:00:00",
    "AS-1",
    "s3://a:b@c/",
    "NaN",
    "true",
    "~nobody-has-this/x",
    "𝟙",
    "\ufeff",
    "a,b;c\td|e",
)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
    10**30,
    -(10**300),
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    [None],
    [{}] * 600,
    [{"": None}],
    {"": {}},
    [1, "a"],
    {"format": "base64", "data": "!"},
    {"format": "base64", "data": "YQ=="},
    [["a"] * 20] * 20,
    {"a": {"status": True}},
    [{"tags": ["depth=1"] * 50, "failure": True}] * 20,
)


def sample(kind: types.Type) -> Any:
    """Return a plain value with every field of a type of :mod:`messages`."""
    if isinstance(kind, types.UnionType):
        return sample(max(kind.types, key=lambda option: isinstance(option, _CONTAINERS)))
    if isinstance(kind, types.StructType):
        return {field.encode_name: sample(field.type) for field in kind.fields}
    if isinstance(kind, types.ListType):
        return [sample(kind.item_type)]
    if isinstance(kind, types.DictType):
        return {"192.0.2.10:443": sample(kind.value_type)}
    plain = ((types.IntType, 7), (types.FloatType, 0.5), (types.BoolType, False))
    return next((value for scalar, value in plain if isinstance(kind, scalar)), "text")


_CONTAINERS = (types.StructType, types.ListType, types.DictType)


def measurement(version: str) -> dict[str, Any]:
    """Return a whole measurement of one version, with every field that is read."""
    document: dict[str, Any] = sample(types.type_info(messages.Measurement))
    document |= {
        "test_name": "web_connectivity",
        "input": "http://site.example/",
        "probe_cc": _CC,
        "probe_asn": "AS64500",
        "measurement_start_time": "2024-07-01 00:00:00",
        "report_id": "r",
        "test_version": version,
    }
    keys = document["test_keys"]
    answer = {"ipv4": "192.0.2.10", "ipv6": None, "hostname": None, "asn": 64500}
    keys["queries"][0] |= {"engine": "system", "hostname": "site.example", "answers": [answer]}
    keys["requests"][0]["response"] |= {"code": 200, "body": "<title>x</title>", "headers": {}}
    for name in ("queries", "tcp_connect", "tls_handshakes", "requests"):
        keys[name][0]["tags"] = ["depth=0"] if version == "0.5" else None
    return document


def list_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value inside a plain value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in list(items):
        yield (*path, name)
        if isinstance(inner, dict | list):
            yield from list_paths(inner, (*path, name))


def spoilt(chance: random.Random, value: Any, path: tuple[Any, ...]) -> Any:
    """Return a copy with a hostile value, or a hostile name, at a path."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    hostile = chance.choice(TEXTS) if chance.random() < 0.6 else chance.choice(OTHERS)
    inner[path[-1]] = hostile
    if isinstance(inner, dict) and chance.random() < 0.1:
        inner[chance.choice(TEXTS)] = inner.pop(path[-1])
    return copy


class Fuzzer:
    """Hostile cases for each entry of the workbook, with counts of their results in ``ends``."""

    def __init__(self, scratch: Path, seed: int) -> None:
        self.scratch = scratch
        self.chance = random.Random(seed)
        self.ends: Counter[str] = Counter()
        self._store = Store(str(scratch / "store"))
        page = fingerprints.Fingerprint("f", "nat", "body", "contains", "title", (_CC,))
        self._known = fingerprints.Fingerprints(http=(page,))
        self._templates = [measurement(version) for version in ("0.4", "0.5")]
        self._paths = [list(list_paths(template)) for template in self._templates]
        self._turn = 0

    def run(self, name: str, case: Callable[[], object]) -> None:
        """Run one case; unexpected exceptions are raised."""
        started = time.monotonic()
        try:
            case()
            end = "taken"
        except (WorkbookError, CannotRead) as error:
            # The reason of a CannotRead is published in an error of the workbook, or in a table.
            shown = error if isinstance(error, WorkbookError) else WorkbookError(error)
            if not str(shown).isprintable():
                raise AssertionError(f"{name}: {error!r}") from None
            end = type(error).__name__
        self.ends[f"{name}: {end}"] += 1
        assert time.monotonic() - started < _SECONDS, name

    def text(self) -> str:
        return self.chance.choice(TEXTS)

    def line(self) -> bytes:
        """Return a line of an archive with the next field hostile, sometimes with wrong bytes."""
        self._turn += 1
        version = self._turn % 2
        paths = self._paths[version]
        path = paths[self._turn // 2 % len(paths)]
        document = spoilt(self.chance, self._templates[version], path)
        text = json.dumps(document, ensure_ascii=self.chance.random() < 0.5)
        line = bytearray(text.encode("utf-8", "surrogatepass"))
        if self.chance.random() < 0.1:
            line[self.chance.randrange(len(line))] = self.chance.randrange(256)
        return bytes(line).replace(b"\n", b" ")

    def measurements(self, count: int) -> None:
        """Check that every line is a row or in the ledger, and that ``judge`` prints its result."""
        folder = self.scratch / "archive"
        for _ in range(0, count, _LINES):
            lines = [self.line() for _ in range(_LINES)]
            path = folder / _KEY
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(b"\n".join(lines), 1))
            task = Task(Folder(folder), "fuzz-0123456789ab", self._store, self._known)
            self.run("object", partial(self._object, task, _LINES))
            table, errors = read_files([path], self._known)
            assert table.num_rows + len(errors) == len(lines)
            for result in judge_measurements(table, self._known, Thresholds()):
                assert as_json(result).isprintable()
                assert all(shown.isprintable() for shown in as_text(result).split("\n"))
            self.ends["line"] += len(lines)

    def _object(self, task: Task, count: int) -> None:
        result = ingest_object(task, ArchiveObject(_KEY, 1, ""))
        assert isinstance(result, Provenance), result
        assert result.row_count + sum(result.ledger.values()) == count, result.ledger

    def listings(self, count: int) -> None:
        """Read pages of a bucket's listing with hostile keys, sizes, ETags and tokens."""
        for _ in range(count):
            fields = {
                "Key": _KEY,
                "Size": "1",
                "ETag": '"a"',
                "IsTruncated": "false",
                "NextContinuationToken": "t",
                "EncodingType": "url",
            }
            fields[self.chance.choice(list(fields))] = self.text()
            inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
            xml = f"<ListBucketResult>{inner}<Contents>{inner}</Contents></ListBucketResult>"
            content = bytearray(xml.encode("utf-8", "replace"))
            if self.chance.random() < 0.3:
                content[self.chance.randrange(len(content))] = self.chance.randrange(256)
            self.run("listing", partial(self._listing, bytes(content)))

    def _listing(self, content: bytes) -> None:
        items, token = _read_page(content, "")
        assert len(items) < 2
        assert len(token) <= 4096
        for item in items:
            assert not holds_country(item.key, _CC) or ".." not in item.key.split("/")

    def manifests(self, count: int, manifest: bytes) -> None:
        """Read manifests with a hostile value in each field."""
        document = json.loads(manifest)
        paths = list(list_paths(document))
        for number in range(count):
            spoilt_document = spoilt(self.chance, document, paths[number % len(paths)])
            content = json.dumps(spoilt_document).encode()
            self.run("manifest", partial(read_manifest, content, "M"))

    def shares(self, count: int, folder: Path) -> None:
        """Import shares with other columns, types and values, and a matching manifest."""
        months, (packed,) = sorted(folder.glob("*.parquet")), folder.glob("objects-*")
        with pa.input_stream(str(packed), compression="zstd") as stream:
            objects = json.loads(stream.read())
        targets = [(path, name) for path in months for name in pq.read_schema(path).names]
        targets += [(packed, target) for target in list_paths(objects)]
        for number in range(count):
            copy = self.scratch / "share" / str(number)
            copy.mkdir(parents=True)
            document = json.loads((folder / MANIFEST).read_text())
            path, target = targets[number % len(targets)]
            for file in (*months, packed):
                content = file.read_bytes()
                if file == path == packed:
                    listed = json.dumps(spoilt(self.chance, objects, target)).encode()
                    content = pa.Codec("zstd").compress(listed, asbytes=True)
                elif file == path:
                    content = self._table(file, target)
                digest = hashlib.sha256(content).hexdigest()
                name = re.sub(r"[0-9a-f]{16}(?=\.)", digest[:16], file.name)
                del document["files"][file.name]
                document["files"][name] = {"size": len(content), "sha256": digest}
                (copy / name).write_bytes(content)
            (copy / MANIFEST).write_text(json.dumps(document))
            self.run(
                "share",
                partial(ingest, Request(str(copy), self._store.uri, _CC, jobs=1), self._known),
            )

    def _table(self, path: Path, column: str) -> bytes:
        table = pq.read_table(path)
        index, rows = table.schema.get_field_index(column), table.num_rows
        field = table.schema.field(column)
        texts = pa.array([self.text().encode("utf-8", "replace").decode()] * rows)
        replacements: Sequence[Any] = (
            texts,
            pa.array([self.chance.choice([-1, 0, 2**62])] * rows, pa.int64()),
            pa.nulls(rows, field.type),
            pa.array([b"\xff\x1b"] * rows, pa.binary()),
            pa.array([[1]] * rows),
            texts.dictionary_encode(),
        )
        kind = self.chance.randrange(len(replacements) + 2)
        if kind < len(replacements):
            table = table.set_column(index, column, replacements[kind])
        elif kind == len(replacements):
            table = table.drop_columns([column])
        else:
            table = pa.concat_tables([table, table.slice(0, 1)])
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        content = bytearray(sink.getvalue().to_pybytes())
        if self.chance.random() < 0.1:
            content[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
        return bytes(content)

    def lists(self, count: int) -> None:
        """Read test lists, event files, fingerprints, and statements of a draft."""
        folder = self.scratch / "lists"
        folder.mkdir()
        csv, events = folder / "qq.csv", folder / "events.yml"
        http, claims = folder / "fingerprints_http.csv", folder / "claims.yml"
        for _ in range(count):
            row = ["http://a.example/", "NEWS", "News", "2024-01-01"]
            row[self.chance.randrange(4)] = self.text()
            head = self.chance.choice(
                ["url,category_code,category_description,date_added"] * 3
                + ["url;category_code", self.text()]
            )
            _write(csv, f"{head}\n{','.join(row)}\n")
            entry = {"date": "2024-01-01", "title": "x", "kind": "law", "source": "invented"}
            entry[self.chance.choice(list(entry))] = self.text()
            shown = [
                f"{name}: {self.chance.choice([text, json.dumps(text)])}"
                for name, text in entry.items()
            ]
            _write(events, "events:\n- " + "\n  ".join(shown) + "\n")
            cells = ["f", "nat", "body", "regexp", "a.*b", _CC]
            cells[self.chance.randrange(6)] = self.text()
            columns = "name,scope,location_found,pattern_type,pattern,expected_countries"
            _write(http, f"{columns}\n{','.join(cells)}\n")
            self.run("test list", lambda: load_test_lists(csv, _CC))
            self.run("events", lambda: str(load_events(events, _CC).events).encode())
            self.run("fingerprints", lambda: fingerprints.load(str(folder)).match("body", b"a"))
            values = {"said": self.text(), "found": self.text()}
            claim = {"id": "a", "where": "b", "claim": self.text(), "relation": "equal"}
            draft = {
                "document": "a",
                "source": "b",
                "probe_cc": _CC,
                "since": "2024-01-01",
                "until": "2024-02-01",
            }
            draft[self.chance.choice(list(draft))] = self.text()
            _write(claims, json.dumps({**draft, "claims": [{**claim, "values": values}]}))
            self.run("claims", lambda: show_audit(*self._audited(claims))[0][1].encode())

    def _audited(self, claims: Path) -> tuple[Draft, pd.DataFrame]:
        draft = load_draft(claims)
        return draft, write_table(self.scratch / "lists", "claims_audit", audit_claims(draft, None))

    def arguments(self, count: int) -> None:
        """Parse command lines with every variable, thresholds, and other words."""
        names = [*VARIABLES, "floor_sessions", "share_floor", "x", "PATH", ""]
        for number in range(count):
            words = [f"{names[number % len(names)]}={self.text()}", "PROBE_CC=QQ"]
            words = words[:: self.chance.choice([1, -1])]
            self.run("argument", partial(parse_settings, words))
            self.run("argument", lambda: parse_settings([self.text()]))


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _write_share(scratch: Path) -> Path:
    """Write a small honest share."""
    lines = [
        measurement(version) | {"report_id": str(n)} for n in range(5) for version in ("0.4", "0.5")
    ]
    path = scratch / "honest" / _KEY
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"\n".join(json.dumps(line).encode() for line in lines)))
    none = fingerprints.Fingerprints()
    store = str(scratch / "honest-store")
    collection = ingest(Request(str(scratch / "honest"), store, _CC, jobs=1), none)
    share(collection, _CC, Period.parse("2024-07-01", "2024-08-01"), scratch / "shared")
    return scratch / "shared"


def fuzz(cases: int, seed: int = 1) -> Counter[str]:
    """Run some cases, spread over all entries, and return the counts of their results."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        shared = _write_share(scratch)
        fuzzer = Fuzzer(scratch, seed)
        fuzzer.measurements(cases * 6 // 10)
        fuzzer.listings(cases // 10)
        fuzzer.manifests(cases // 10, (shared / MANIFEST).read_bytes())
        fuzzer.lists(cases // 30)
        fuzzer.arguments(cases // 20)
        fuzzer.shares(cases // 100, shared)
        written = {path.name for path in scratch.iterdir()}
        assert written <= {"archive", "honest", "honest-store", "lists", "share", "shared", "store"}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        fuzzer.ends["MB at most"] = round(peak)
        return fuzzer.ends


def main(cases: int = 100_000, seed: int = 1) -> None:
    """Run, and print the results."""
    started = time.monotonic()
    for end, count in sorted(fuzz(cases, seed).items()):
        print(f"{count:8}  {end}")
    print(f"{time.monotonic() - started:8.0f}  seconds")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
