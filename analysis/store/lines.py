"""Lines of JSON → observations, in bounded memory whatever is in them.

No line of more than :data:`LINE_LIMIT` bytes is held, and none of more than :data:`VALUE_LIMIT`
values is decoded. Each line is an observation, or one of the ledger's words says why it is none.
"""

import codecs
import gzip
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from isal import isal_zlib

from analysis.errors import ParameterError, describe_error
from analysis.observations import messages, messaging, observation
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.flags import Received
from analysis.observations.messaging_tests import Tested
from analysis.observations.schema import OBSERVATION
from analysis.sources.archive_files import FOLDERS, CannotRead, parse_receipt
from analysis.store.store import Row, table_of

#: Lines longer than this are not read (bytes). Probes keep 512 KB of a page (ooni/probe-cli,
#: ``internal/experiment/webconnectivitylte/cleartextflow.go``). Those of 2020 kept whole pages: the
#: longest of 3,000 real lines that we have is theirs, and has 3.7 MB.
LINE_LIMIT = 16 << 20

#: A line with more values than this is not decoded: each takes up to a hundred bytes. Real ones
#: have up to some thousands.
VALUE_LIMIT = 1 << 18

#: A stream that holds more than this and a hundred times its compressed size is a bomb. To pass
#: over so much takes some 25 seconds. It is that much so that nobody's lines keep the lines behind
#: them from being read: OONI closes an object at 20 MB compressed (ooni/devops,
#: ``ansible/roles/fastpath/templates/ooni_api_uploader.py``), and gzip packs 1,032 to 1 at best.
_MOST_DECOMPRESSED = 22 << 30
_MOST_TIMES = 100
#: A line counts as so many bytes more: to refuse the shortest takes as long as to pass over these.
_BYTES_OF_A_LINE = 8192

#: The first line of an object, and one in so many after it, is compared with the fields that must
#: be there; that takes as long as to read it.
_LOOKED_AT = 64

_COMPRESSED_BLOCK = 1 << 17
_DECOMPRESSED_BLOCK = 1 << 18  # more at a time, and the processor's cache holds no block of it
_BLOCK = 1 << 20  # of a line that is passed over, or of which values are counted


class Decompressed(io.RawIOBase):
    """What a gzip stream holds; several members follow each other.

    A stream that breaks off gives all that it holds up to the break, and then ``is_cut``: no reader
    of gzip files does, they drop what they have read so far of the block that was asked for. A
    bomb is cut too, before it takes hours.
    """

    def __init__(self, stream: io.RawIOBase) -> None:
        self.is_cut = False
        self._stream = stream
        self._hash = hashlib.sha256()
        self._member = isal_zlib.decompressobj(wbits=31)
        self._compressed: bytes = b""
        self._taken = self._given = 0  # bytes
        self._lines = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # its own is wider
        try:
            content = self._next(len(buffer))
        except (EOFError, gzip.BadGzipFile, isal_zlib.error):  # type: ignore[misc]  # an error too
            self.is_cut = True
        if self.is_cut:
            return 0
        buffer[: len(content)] = content
        return len(content)

    def _next(self, size: int) -> bytes:
        """The next bytes; empty at the end. Raises EOFError and others where it breaks off."""
        content = b""
        while not content:
            self._compressed = self._compressed or self._read()
            is_over = not self._compressed
            if is_over and (self._member.eof or not self._taken):
                return b""
            if self._member.eof:
                # There may be padding between or behind members.
                self._compressed = self._compressed.lstrip(b"\0")
                if self._compressed:
                    self._member = isal_zlib.decompressobj(wbits=31)
                continue
            content = self._member.decompress(self._compressed, size)
            self._compressed = self._member.unused_data or self._member.unconsumed_tail
            self._given += len(content)
            self._lines += content.count(b"\n")
            cost = self._given + _BYTES_OF_A_LINE * self._lines
            if cost > max(_MOST_DECOMPRESSED, _MOST_TIMES * self._taken):
                raise EOFError("the stream is a bomb")
            if is_over and not content and not self._member.eof:
                raise EOFError("the stream ended before its end-of-stream marker")
        return content

    def _read(self) -> bytes:
        try:
            block = self._stream.read(_COMPRESSED_BLOCK) or b""
        except OSError as error:
            raise CannotRead(describe_error(error)) from None
        self._hash.update(block)
        self._taken += len(block)
        return block

    def digest(self) -> str:
        """SHA-256 of the whole stream as it came; reads what nobody has read yet."""
        while self._read():
            pass
        return self._hash.hexdigest()


@dataclass(frozen=True)
class LineReader:
    """Reads lines that should be measurements of one test.

    Attributes:
        fingerprints: what pages are matched against.
        received: when the archive received them, where that is known.
        test: the messaging or circumvention test; else web_connectivity.
    """

    fingerprints: Fingerprints = field(default_factory=Fingerprints)
    received: Received | None = None
    test: Tested | None = None

    def read_all(self, stream: io.RawIOBase) -> Iterator[tuple[int, Row | str]]:
        """Number and observation of each line that is not empty, or why there is none.

        What had come of the line where a gzip stream broke off is an observation or nothing.
        """
        number, is_whole = 0, True
        lines = io.BufferedReader(stream, _DECOMPRESSED_BLOCK)
        while line := lines.readline(LINE_LIMIT + 1):
            number += 1
            result = self.read(line, number)
            while line and not line.endswith(b"\n"):
                line = lines.readline(_BLOCK)
            is_whole = line.endswith(b"\n")
            is_given = is_whole or isinstance(result, tuple) or not _is_cut(stream)
            if result and is_given:
                yield number, result
        if _is_cut(stream):
            yield number + is_whole, "truncated_file"

    def read(self, line: bytes, number: int) -> Row | str:
        """The observation of one line or, in the ledger's words, why there is none; ``""`` where it
        is empty.
        """
        if line in (b"", b"\n"):
            return ""
        if len(line) > LINE_LIMIT + line.endswith(b"\n"):
            return "invalid:line_too_long"
        if not _is_utf8(line):
            return "not_json"
        if has_too_many_values(line):
            return "invalid:too_many_values"
        try:
            return self._observe(line, number)
        except messages.Unreadable as error:
            return str(error)

    def _observe(self, line: bytes, number: int) -> Row | str:
        if self.test:
            app = messages.decode_app(line)
            if app.test_name == self.test.name:
                return messaging.observe(
                    app,
                    line_number=number,
                    keys_digest=messages.digest_keys(line),
                    received=self.received,
                    fields_met=_look_at(line, number, messages.MessagingMeasurement),
                )
            observation.check(app)
            return "other_test"
        measured = messages.decode(line)
        if measured.test_name != "web_connectivity":
            observation.check(measured)
            return "other_test"
        return observation.observe(
            measured,
            line_number=number,
            keys_digest=messages.digest_keys(line),
            fingerprints=self.fingerprints,
            received=self.received,
            fields_met=_look_at(line, number, messages.Measurement),
        )


def _look_at(line: bytes, number: int, kind: type[messages.Measurement]) -> list[str] | None:
    """What is said of a line's fields; None where others are looked at."""
    return messages.compare_fields(line, kind) if number % _LOOKED_AT == 1 else None


def _is_cut(stream: io.RawIOBase) -> bool:
    return isinstance(stream, Decompressed) and stream.is_cut


def _is_utf8(content: bytes) -> bool:
    # Arrow validates without making a string of it. msgspec leaves out what it skips.
    try:
        pa.array([content], pa.large_binary()).view(pa.large_string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def has_too_many_values(content: bytes) -> bool:
    """Whether a line of JSON holds more than :data:`VALUE_LIMIT` values."""
    if _count_marks(content) <= VALUE_LIMIT:
        return False
    # There may be as many commas in the pages alone: what stands between quotes is left out.
    content = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    count, within = 0, False
    for start in range(0, len(content), _BLOCK):
        pieces = content[start : start + _BLOCK].split(b'"')
        count += _count_marks(b" ".join(pieces[within::2]))
        within ^= len(pieces) % 2 == 0
    return count > VALUE_LIMIT


def _count_marks(content: bytes) -> int:
    """How many values begin, at most: behind a comma or at the head of a list or an object."""
    return sum(content.count(mark) for mark in (b",", b"[", b"{"))


# --- loose files ----------------------------------------------------------------------------------


#: A longer file is read line by line (bytes).
_WHOLE_LIMIT = 64 << 20


class FileError(NamedTuple):
    """A place in a loose file where there is no measurement of the test that was asked for."""

    source_file: str
    line_number: int  # from 1; 0 where the file itself cannot be read
    error: str
    place: int  # how many measurements of the files given stand before it


def read_files(
    paths: Sequence[str | Path],
    fingerprints: Fingerprints | None = None,
    test: Tested | None = None,
) -> tuple[pa.Table, list[FileError]]:
    """The observations of loose ``.json``, ``.jsonl`` or ``.jsonl.gz`` files.

    ``test``: the messaging or circumvention test that is asked for; else web_connectivity.

    A file that is one JSON value, however many lines it takes, is one measurement; an array is its
    elements, numbered as lines are. A file that is given twice is read twice.

    Returns:
        A table with the columns of ``schema.OBSERVATION``, or of ``messaging.MESSAGING``, and
        ``source_file``, one row a measurement, in the order of the files and lines; and what could
        not be read, likewise.
    """
    reader = LineReader(fingerprints or Fingerprints(), test=test)
    rows: list[Row] = []
    names: list[str] = []
    errors: list[FileError] = []
    for path in map(str, paths):
        for number, result in read_lines(path, reader):
            if isinstance(result, tuple):
                rows.append(result)
                names.append(path)
            else:
                errors.append(FileError(path, number, result, len(rows)))
    table = table_of(rows, messaging.MESSAGING if test else OBSERVATION)
    return table.append_column("source_file", pa.array(names, pa.string())), errors


def read_lines(path: str, reader: LineReader) -> Iterator[tuple[int, Row | str]]:
    """Number and observation of each measurement of a loose file, or why there is none."""
    try:
        with io.FileIO(path) as stream:
            is_gzip = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            if is_gzip:
                yield from reader.read_all(Decompressed(stream))
                return
            whole = stream.read(_WHOLE_LIMIT + 1)
            values = _list_values(whole) if len(whole) <= _WHOLE_LIMIT else None
            if values is not None:
                for number, value in enumerate(values, 1):
                    yield number, reader.read(bytes(value), number) or "not_json"
                return
            stream.seek(0)
            yield from reader.read_all(stream)
    except CannotRead as error:
        yield 0, f"cannot be read: {error}"
    except OSError as error:
        yield 0, f"cannot be read: {describe_error(error)}"


def _list_values(content: bytes) -> Sequence[bytes | msgspec.Raw] | None:
    """The elements of a file that is a JSON array, or the one value that it is; None for lines."""
    text = content.removeprefix(codecs.BOM_UTF8)
    is_array = text.lstrip().startswith(b"[")
    if not is_array and b"\n" not in content.strip():
        return [content]
    try:
        if is_array:
            return msgspec.json.decode(text, type=list[msgspec.Raw])
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError:
        return None
    return [content]


# --- loose files → a folder in the key layout of OONI's archive, to be a SOURCE -------------------
# Names of OONI's say when it received the measurements. Under another name, a measurement is taken
# as received on its own day, in the older layout, which has a folder a day.


_LOOSE = (".json", ".jsonl", ".jsonl.gz")  # names of loose files below a folder


class _Header(msgspec.Struct):
    probe_cc: str
    test_name: str
    measurement_start_time: str


class _HeaderReader(LineReader):
    """Reads of each line where it belongs: folder of the test, day, and the line as it came."""

    def read(self, line: bytes, number: int) -> tuple[Any, ...] | str:
        if not line.strip():
            return ""
        try:
            header = msgspec.json.decode(line, type=_Header)
            day = date.fromisoformat(header.measurement_start_time[:10])
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            return "no measurement"
        folder = header.test_name.replace("_", "")
        if folder not in FOLDERS:
            return "a test that is not read"
        return (header.probe_cc, folder, f"{day:%Y%m%d}", line.strip().replace(b"\n", b" "))


def pack(files: Sequence[Path], probe_cc: str, out: Path) -> Counter[str]:
    """Copy a country's measurements from loose files into a new folder.

    Args:
        files: ``.json``, ``.jsonl`` or ``.jsonl.gz``, or folders with such files below them; a JSON
            array is read as its elements.
        probe_cc: the country; the measurements of others are left out.
        out: gets ``raw/<day>/<hour>/<CC>/<test>/<number of the file>.jsonl.gz``, or, if the hour of
            receipt is not known, ``jsonl/<test>/<CC>/<day>/00/<number of the file>.jsonl.gz``.

    Returns:
        How many lines were packed, and how many not, by reason.

    Raises:
        ParameterError: ``out`` holds something, or there is no measurement of the country.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ParameterError("OUT", out, "must be new or empty")
    counts: Counter[str] = Counter()
    for number, file in enumerate(_list_loose(files), 1):
        lines: defaultdict[Path, list[bytes]] = defaultdict(list)
        for _, result in read_lines(str(file), _HeaderReader()):
            if isinstance(result, str) or result[0] != probe_cc:
                counts[result if isinstance(result, str) else "another country"] += 1
                continue
            country, folder, day, line = result
            place = _find_place(file.name, country, folder, day)
            lines[out / place / f"{number:06}.jsonl.gz"].append(line)
            counts["packed"] += 1
        for path, content in lines.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(b"\n".join(content) + b"\n", mtime=0))
    if not counts["packed"]:
        said = ", ".join(f"{count} of {reason}" for reason, count in counts.items()) or "no line"
        raise ParameterError(
            "FILES", files[0], f"no measurement of {probe_cc} in the files: {said}"
        )
    return counts


def _list_loose(files: Sequence[Path]) -> Iterator[Path]:
    """The files, and those below the folders, sorted by folder."""
    for file in files:
        below = sorted(file.rglob("*")) if file.is_dir() else ()
        yield from (path for path in below if path.is_file() and path.name.endswith(_LOOSE))
        if not file.is_dir():
            yield file


def _find_place(name: str, probe_cc: str, folder: str, day: str) -> str:
    """The folder of a measurement of some day that lies in a file of some name."""
    received = parse_receipt(name)
    if received is None:
        return f"jsonl/{folder}/{probe_cc}/{day}/00"
    since = datetime.fromtimestamp(received.since, UTC)
    if received.until - received.since > 3600:
        return f"jsonl/{folder}/{probe_cc}/{since:%Y%m%d}/00"
    return f"raw/{since:%Y%m%d/%H}/{probe_cc}/{folder}"
