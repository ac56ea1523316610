"""Archive objects → Parquet files of observations: one object, one file, resumable.

Memory is bounded whatever an object holds: it is unpacked in blocks into one reused buffer, each
line is turned into an observation while it lies there, and rows leave in row groups. No line of
more than :data:`LINE_LIMIT` bytes is held.
"""

import codecs
import gc
import gzip
import hashlib
import multiprocessing
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import msgspec
import pyarrow as pa
from isal import isal_zlib

from analysis import facts, measurement
from analysis.errors import ParameterError, SourceError
from analysis.fingerprints import Fingerprints
from analysis.flags import Received
from analysis.places import archive
from analysis.places.files import (
    ArchiveObject,
    CannotRead,
    Source,
    Stream,
    Unreachable,
    open_source,
)
from analysis.schema import SCHEMA_VERSION
from analysis.store import (
    FOLDER,
    Collection,
    NotRead,
    Provenance,
    Store,
    not_read_note,
    table_of,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer  # typing has it from 3.12 on

#: Lines longer than this are not read (bytes).
LINE_LIMIT = 64 << 20

_BUFFER = 1 << 20
_PACKED_BLOCK = 1 << 17
_GROUP = 8192  # rows of a row group
_WORTH_A_WORKER = 32 << 20  # bytes of objects, read in about half a second; a start takes one

Progress = Callable[[int, int, str], None]

_BROKEN = (EOFError, gzip.BadGzipFile, isal_zlib.error)


# --- lines --------------------------------------------------------------------------------------


class Readable(Protocol):
    """Something that fills a buffer."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the start of ``buffer``; 0 at the end."""


class Line(NamedTuple):
    """One line: its number from 1, and its bytes, valid until the next line is asked for.

    ``content`` is None where the line is too long. ``is_cut`` marks the rest of a stream that
    broke off.
    """

    number: int
    content: memoryview | None
    is_utf8: bool
    is_cut: bool


class Lines:
    """The lines of a stream of text, through one buffer.

    After iteration ``is_truncated`` tells whether the stream broke off.
    """

    def __init__(self, stream: Readable, limit: int = LINE_LIMIT) -> None:
        self._stream = stream
        self._limit = limit
        self.is_truncated = False

    def __iter__(self) -> Iterator[Line]:
        buffer = bytearray(_BUFFER)
        start = end = number = 0
        is_too_long = False
        while True:
            read = self._read_into(buffer, end)
            scan, end = end, end + read
            view = memoryview(buffer)
            # One look at all complete lines spares one at each.
            whole = buffer.rfind(b"\n", scan, end) + 1
            are_utf8 = whole == 0 or _is_utf8(view[start:whole])
            while (newline := buffer.find(b"\n", scan, end)) >= 0:
                number += 1
                is_too_long = is_too_long or newline - start > self._limit
                content = None if is_too_long else view[start:newline]
                yield Line(number, content, are_utf8 or _is_utf8(view[start:newline]), False)
                is_too_long = False
                start = scan = newline + 1
            if not read:
                break
            if is_too_long or end - start > self._limit:
                is_too_long = True
                end = start
            buffer, start, end = _make_room(buffer, start, end, self._limit)
        if end > start or is_too_long:
            content = None if is_too_long else view[start:end]
            yield Line(number + 1, content, _is_utf8(view[start:end]), self.is_truncated)

    def _read_into(self, buffer: bytearray, end: int) -> int:
        try:
            return self._stream.readinto(memoryview(buffer)[end:]) or 0
        except _BROKEN:  # type: ignore[misc]  # the stubs call isal's error an instance
            self.is_truncated = True
            return 0


def _make_room(buffer: bytearray, start: int, end: int, limit: int) -> tuple[bytearray, int, int]:
    """Move the unfinished line to the front of a buffer with room for more of it."""
    length = end - start
    size = _BUFFER
    while size < 2 * length:
        size *= 2
    size = min(size, limit + _BUFFER)
    if size == len(buffer):
        buffer[:length] = buffer[start:end]
        return buffer, 0, length
    roomier = bytearray(size)
    roomier[:length] = memoryview(buffer)[start:end]
    return roomier, 0, length


def _is_utf8(content: memoryview) -> bool:
    # Arrow validates without making a string of it. msgspec leaves out what it skips.
    offsets = pa.py_buffer(array("q", [0, len(content)]))
    blob = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(content)])
    try:
        blob.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


class _Hashed(RawIOBase):
    """Passes a stream through and takes its digest."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        room = memoryview(buffer)
        if not self._rest:
            self._rest = memoryview(self._read(len(room)))
            self._hash.update(self._rest)
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            raise CannotRead(error.strerror or type(error).__name__) from None

    def digest(self) -> str:
        """SHA-256 of the whole stream; reads what nobody has read yet."""
        while block := self._read(_PACKED_BLOCK):
            self._hash.update(block)
        return self._hash.hexdigest()


class _Unpacked:
    """What a gzip stream holds; several members follow each other.

    A stream that breaks off gives all that it holds up to the break, and then EOFError: no reader
    of gzip files does, they drop what they have read so far of the block that was asked for.
    """

    def __init__(self, stream: RawIOBase | BinaryIO) -> None:
        self._stream = stream
        self._packed: bytes = b""
        self._is_over = False
        self._begin()

    def _begin(self) -> None:
        self._unpack = isal_zlib.decompressobj(wbits=31)
        self._is_begun = False

    def readinto(self, buffer: memoryview, /) -> int:
        while True:
            if not self._packed and not self._is_over:
                self._packed = self._stream.read(_PACKED_BLOCK) or b""
                self._is_over = not self._packed
            if self._unpack.eof:
                self._packed = self._packed.lstrip(b"\0")  # padding between or behind members
                if self._packed:
                    self._begin()
                elif self._is_over:
                    return 0
                continue
            if not self._packed and self._is_over and not self._is_begun:
                return 0
            self._is_begun = True
            content = self._unpack.decompress(self._packed, len(buffer))
            self._packed = self._unpack.unused_data or self._unpack.unconsumed_tail
            if content:
                buffer[: len(content)] = content
                return len(content)
            if not self._packed and self._is_over and not self._unpack.eof:
                raise EOFError("the stream ended before its end-of-stream marker")


# --- one line -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """Why a line is no observation, in the ledger's words."""

    reason: str


def read_line(
    line: Line, fingerprints: Fingerprints, received: Received | None
) -> tuple[Any, ...] | Refusal:
    """The observation of one line, or why there is none."""
    content = line.content
    if content is None:
        return Refusal("invalid:line_too_long")
    if not line.is_utf8:
        return Refusal("not_json")
    try:
        read = measurement.decode(content)
        if read.test_name != "web_connectivity":
            facts.check(read)
            return Refusal("other_test")
        return facts.observe(
            read, line_number=line.number, fingerprints=fingerprints, received=received
        )
    except measurement.NotJson:
        return Refusal("not_json")
    except measurement.NotAnObject:
        return Refusal("invalid:not_an_object")
    except facts.Invalid as error:
        return Refusal(f"invalid:{error}")


# --- one object ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    """What a worker needs to know besides the object."""

    source: Source
    source_id: str
    store: Store
    fingerprints: Fingerprints


def _ingest_object(task: _Task, item: ArchiveObject) -> Provenance | NotRead | Unreachable:
    """Read one object and write its file."""
    # Rows live until their group is written; the collector would look at each again and again,
    # and nothing here makes cycles.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        stream = task.source.open(item)
        try:
            return _write_object(task, item, stream)
        finally:
            stream.close()
    except Unreachable as error:
        return error
    except CannotRead as error:
        return NotRead(item.key, str(error))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"the store {task.store.uri} cannot be written: {reason}") from None
    finally:
        if was_enabled:
            gc.enable()


def _write_object(task: _Task, item: ArchiveObject, stream: Stream) -> Provenance:
    hashed = _Hashed(stream)
    ledger: Counter[str] = Counter()
    row_count = 0
    with task.store.write(task.source_id, item.key) as writer:
        for rows in _groups(hashed, item.key, task.fingerprints, ledger):
            writer.append(rows)
            row_count += len(rows)
        provenance = Provenance(
            key=item.key,
            size=item.size,
            etag=item.etag,
            sha256=hashed.digest(),
            schema_version=SCHEMA_VERSION,
            fingerprints=task.fingerprints.digest,
            row_count=row_count,
            ledger=dict(sorted(ledger.items())),
        )
        writer.commit(provenance)
    return provenance


def _groups(
    stream: _Hashed, key: str, fingerprints: Fingerprints, ledger: Counter[str]
) -> Iterator[list[tuple[Any, ...]]]:
    """The observations of an object in groups; counts the other lines."""
    received = archive.received(key)
    lines = Lines(_Unpacked(stream))
    rows: list[tuple[Any, ...]] = []
    for line in lines:
        if line.content is not None and not line.content:
            continue
        result = read_line(line, fingerprints, received)
        if isinstance(result, tuple):
            rows.append(result)
        elif not line.is_cut:
            ledger[result.reason] += 1
        if len(rows) >= _GROUP:
            yield rows
            rows = []
    if rows:
        yield rows
    if lines.is_truncated:
        ledger["truncated_file"] += 1


# --- all objects --------------------------------------------------------------------------------


def ingest(
    source: str,
    store: str,
    probe_cc: str,
    *,
    fingerprints: Fingerprints,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Collection:
    """Bring a country's observations into the store; what is there already is not read again.

    Args:
        source: a folder, URL or bucket in the archive's layout, or another store.
        store: a folder or ``s3://`` URL.
        probe_cc: two capital letters.
        fingerprints: what the pages are matched against.
        jobs: worker processes; by default one a processor. The result does not depend on it.
        progress: called with objects done, objects in all, and the key just done.

    Raises:
        ParameterError: the source is no place, or a store of several sources.
        SourceError: it cannot be reached, or holds nothing of the country.
    """
    opened = open_source(source)
    place = Store(store)
    objects = opened.objects(partial(archive.is_wanted, probe_cc=probe_cc))
    if not objects:
        raise SourceError(f"{source} holds no web_connectivity object of {probe_cc}")
    stored = [item for item in objects if archive.store_key(item.key) is not None]
    if stored:
        return _copy(opened, stored, place, probe_cc, progress or _silent)
    task = _Task(opened, opened.id, place, fingerprints)
    task.store.remove_leftovers(f"{FOLDER}/{task.source_id}")
    results = _results(task, objects, jobs or os.cpu_count() or 1, progress or _silent)
    return _collected(task, probe_cc, results)


def _silent(done: int, total: int, key: str) -> None:
    pass


def _results(
    task: _Task, objects: list[ArchiveObject], jobs: int, progress: Progress
) -> list[Provenance | NotRead]:
    results: list[Provenance | NotRead] = []
    pending = []
    digest = task.fingerprints.digest
    for item in objects:
        found = task.store.provenance(task.source_id, item.key)
        if found is not None and found.is_of(item.key, item.size, item.etag, digest):
            results.append(found)
            progress(len(results), len(objects), item.key)
        else:
            pending.append(item)
    for key, result in _mapped(task, pending, _worker_count(pending, jobs)):
        if isinstance(result, Unreachable):
            raise SourceError(f"the source stopped answering at {key}: {result}")
        results.append(result)
        progress(len(results), len(objects), key)
    return results


def _worker_count(pending: Sequence[ArchiveObject], jobs: int) -> int:
    """As many workers as asked for, but none that would read for less time than it starts."""
    worth = sum(item.size for item in pending) // _WORTH_A_WORKER
    return max(1, min(jobs, len(pending), worth))


def _mapped(
    task: _Task, items: list[ArchiveObject], jobs: int
) -> Iterator[tuple[str, Provenance | NotRead | Unreachable]]:
    if jobs < 2:
        for item in items:
            yield item.key, _ingest_object(task, item)
        return
    # Spawned, because a forked process would inherit the threads of pyarrow and DuckDB in
    # whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_begin_worker, initargs=(task,)) as pool:
        futures = {pool.submit(_work, item): item.key for item in items}
        try:
            yield from ((futures[done], done.result()) for done in as_completed(futures))
        except BrokenProcessPool:
            raise SourceError("a worker process was killed") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_worker_task: _Task | None = None


def _begin_worker(task: _Task) -> None:
    global _worker_task
    _worker_task = task
    pa.set_cpu_count(1)


def _work(item: ArchiveObject) -> Provenance | NotRead | Unreachable:
    assert _worker_task is not None
    return _ingest_object(_worker_task, item)


def _collected(task: _Task, probe_cc: str, results: Sequence[Provenance | NotRead]) -> Collection:
    files = sorted((r for r in results if isinstance(r, Provenance)), key=lambda file: file.key)
    not_read = sorted((r for r in results if isinstance(r, NotRead)), key=lambda item: item.key)
    if not files:
        raise SourceError(
            f"none of the {len(results)} objects of {probe_cc} could be read; "
            f"the first, {not_read[0].key}: {not_read[0].why}"
        )
    _write_not_read(task.store, task.source_id, probe_cc, not_read)
    return Collection(task.store, task.source_id, tuple(files), tuple(not_read))


def _write_not_read(
    store: Store, source_id: str, probe_cc: str, not_read: Sequence[NotRead]
) -> None:
    name = not_read_note(probe_cc)
    note = [asdict(item) for item in not_read]
    if note != (store.read_note(source_id, name) or []):
        store.write_note(source_id, name, note)


# --- another store as the source ----------------------------------------------------------------


def _copy(
    source: Source,
    objects: list[ArchiveObject],
    store: Store,
    probe_cc: str,
    progress: Progress,
) -> Collection:
    """Take over the files of another store; those that are there already are not fetched again."""
    found: dict[str, list[tuple[ArchiveObject, str]]] = {}
    for item in objects:
        source_id, key = archive.store_key(item.key) or ("", "")
        found.setdefault(source_id or source.name, []).append((item, key))
    if len(found) > 1:
        choices = ", ".join(f"{FOLDER}/{name}" for name in sorted(found))
        raise ParameterError(
            "SOURCE", source.name, f"a store of several sources; name one of them: {choices}"
        )
    ((source_id, pairs),) = found.items()
    store.remove_leftovers(f"{FOLDER}/{source_id}")
    results: list[Provenance | NotRead] = []
    for item, key in sorted(pairs, key=lambda pair: pair[1]):
        results.append(_copy_file(source, item, store, source_id, key))
        progress(len(results), len(objects), key)
    return _collected(_Task(source, source_id, store, Fingerprints()), probe_cc, results)


def _copy_file(
    source: Source, item: ArchiveObject, store: Store, source_id: str, key: str
) -> Provenance | NotRead:
    try:
        if store.size(source_id, key) != item.size:
            stream = source.open(item)
            try:
                store.replace_file(source_id, key, iter(partial(stream.read, _BUFFER), b""))
            finally:
                stream.close()
    except Unreachable as error:
        raise SourceError(f"{item.key}: {error}") from None
    except CannotRead as error:
        return NotRead(key, str(error))
    provenance = store.provenance(source_id, key)
    if provenance is None or provenance.schema_version != SCHEMA_VERSION:
        return NotRead(key, f"not a file of observations of schema {SCHEMA_VERSION}")
    return provenance


# --- loose files --------------------------------------------------------------------------------


class FileError(NamedTuple):
    """A place in a loose file where there is no web_connectivity measurement."""

    source_file: str
    line_number: int  # from 1; 0 where the file itself cannot be read
    error: str
    place: int  # how many measurements of the files given stand before it


def read_files(
    paths: Sequence[str | Path], fingerprints: Fingerprints | None = None
) -> tuple[pa.Table, list[FileError]]:
    """The observations of loose ``.json``, ``.jsonl`` or ``.jsonl.gz`` files.

    A file that is one JSON value, however many lines it takes, is one measurement. A file that is
    given twice is read twice.

    Returns:
        A table with the columns of ``schema.OBSERVATION`` and ``source_file``, one row a
        measurement, in the order of the files and lines; and what could not be read, likewise.
    """
    rows: list[tuple[Any, ...]] = []
    names: list[str] = []
    errors: list[FileError] = []
    for path in map(str, paths):
        for number, result in _read_file(path, fingerprints or Fingerprints()):
            if isinstance(result, tuple):
                rows.append(result)
                names.append(path)
            else:
                errors.append(FileError(path, number, result.reason, len(rows)))
    table = table_of(rows)
    return table.append_column("source_file", pa.array(names, pa.string())), errors


def _read_file(
    path: str, fingerprints: Fingerprints
) -> Iterator[tuple[int, tuple[Any, ...] | Refusal]]:
    try:
        with Path(path).open("rb") as stream:
            is_packed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            if not is_packed:
                whole = stream.read(LINE_LIMIT + 1)
                stream.seek(0)
                if len(whole) <= LINE_LIMIT and _is_one_value(whole):
                    yield (
                        1,
                        read_line(
                            Line(1, memoryview(whole), _is_utf8(memoryview(whole)), False),
                            fingerprints,
                            None,
                        ),
                    )
                    return
                del whole
            yield from _read_lines(_Unpacked(stream) if is_packed else stream, fingerprints)
    except OSError as error:
        yield 0, Refusal(f"cannot be read: {error.strerror or type(error).__name__}")


def _is_one_value(content: bytes) -> bool:
    if b"\n" not in content.strip():
        return True
    try:
        msgspec.json.decode(content.removeprefix(codecs.BOM_UTF8), type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _read_lines(
    stream: Readable, fingerprints: Fingerprints
) -> Iterator[tuple[int, tuple[Any, ...] | Refusal]]:
    lines = Lines(stream)
    number = 0
    for line in lines:
        number = line.number
        if line.content is None or line.content:
            result = read_line(line, fingerprints, None)
            if isinstance(result, tuple) or not line.is_cut:
                yield number, result
    if lines.is_truncated:
        yield number + 1, Refusal("truncated_file")
