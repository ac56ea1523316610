"""Reading of observations from lines of JSON, in limited memory.

A line of more than :data:`LINE_LIMIT` bytes is skipped, and one of more than :data:`VALUE_LIMIT`
values is not decoded. Each line gives an observation or a reason of the ledger.
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

#: The longest line that is read (bytes). Probes keep 512 KB of a page (ooni/probe-cli,
#: ``internal/experiment/webconnectivitylte/cleartextflow.go``). Those of 2020 kept whole pages; the
#: longest of our 3,000 real lines is one of these, with 3.7 MB.
LINE_LIMIT = 16 << 20

#: The most values of a line that is decoded; each takes up to a hundred bytes of memory. Real lines
#: have up to some thousands.
VALUE_LIMIT = 1 << 18

#: A stream of more bytes than this, and more than a hundred times its compressed size, is a bomb.
#: Skipping so much takes some 25 seconds. The limit exceeds the largest object that OONI can write,
#: so that a hostile line cannot suppress the lines after it: OONI closes an object at 20 MB
#: compressed (ooni/devops, ``ansible/roles/fastpath/templates/ooni_api_uploader.py``), and gzip
#: compresses 1,032 to 1 at best.
_MOST_DECOMPRESSED = 22 << 30
_MOST_TIMES = 100
#: The cost of a line besides its bytes, in bytes: refusing a short line takes as long as skipping
#: these.
_LINE_COST = 8192

#: The first line of an object, and one in so many after it, is compared with the required fields,
#: which takes as long as reading it.
_COMPARED_LINES = 64

_COMPRESSED_BLOCK = 1 << 17
_DECOMPRESSED_BLOCK = 1 << 18  # a larger block does not fit into the processor's cache
_BLOCK = 1 << 20  # of a line that is skipped, or whose values are counted


class Decompressed(io.RawIOBase):
    """The decompressed bytes of a gzip stream, which may have several members.

    A truncated stream gives all bytes up to its end and sets ``is_cut``. Readers of gzip files in
    libraries drop the bytes of their last block in this case. A bomb is cut too, before it takes
    hours.
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
        """Return the next bytes, empty at the end; raises EOFError and others if truncated."""
        content = b""
        while not content:
            self._compressed = self._compressed or self._read()
            is_over = not self._compressed
            if is_over and (self._member.eof or not self._taken):
                return b""
            if self._member.eof:
                # There may be padding between or after members.
                self._compressed = self._compressed.lstrip(b"\0")
                if self._compressed:
                    self._member = isal_zlib.decompressobj(wbits=31)
                continue
            content = self._member.decompress(self._compressed, size)
            self._compressed = self._member.unused_data or self._member.unconsumed_tail
            self._given += len(content)
            self._lines += content.count(b"\n")
            cost = self._given + _LINE_COST * self._lines
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
        """Return the SHA-256 of the whole compressed stream, after reading the rest of it."""
        while self._read():
            pass
        return self._hash.hexdigest()


@dataclass(frozen=True)
class LineReader:
    """Reader of lines that should be measurements of one test.

    Attributes:
        fingerprints: for the pages.
        received: the time of receipt, if known.
        test: a messaging or circumvention test; None for web_connectivity.
    """

    fingerprints: Fingerprints = field(default_factory=Fingerprints)
    received: Received | None = None
    test: Tested | None = None

    def read_all(self, stream: io.RawIOBase) -> Iterator[tuple[int, Row | str]]:
        """Yield number and observation, or reason, of each line that is not empty.

        The last line of a truncated stream gives an observation or nothing.
        """
        number, is_whole = 0, True
        lines = io.BufferedReader(stream, _DECOMPRESSED_BLOCK)
        while line := lines.readline(LINE_LIMIT + 1):
            number += 1
            result = self.read(line, number)
            while line and not line.endswith(b"\n"):
                line = lines.readline(_BLOCK)
            is_whole = line.endswith(b"\n")
            is_valid = is_whole or isinstance(result, tuple) or not _is_cut(stream)
            if result and is_valid:
                yield number, result
        if _is_cut(stream):
            yield number + is_whole, "truncated_file"

    def read(self, line: bytes, number: int) -> Row | str:
        """Return the observation of a line or a reason of the ledger; ``""`` if it is empty."""
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
                    fields_met=_compare_fields(line, number, messages.MessagingMeasurement),
                )
            observation.check(app)
            return "other_test"
        measurement = messages.decode(line)
        if measurement.test_name != "web_connectivity":
            observation.check(measurement)
            return "other_test"
        return observation.observe(
            measurement,
            line_number=number,
            keys_digest=messages.digest_keys(line),
            fingerprints=self.fingerprints,
            received=self.received,
            fields_met=_compare_fields(line, number, messages.Measurement),
        )


def _compare_fields(line: bytes, number: int, kind: type[messages.Measurement]) -> list[str] | None:
    """Return the states of a line's fields; None if this line is not compared."""
    return messages.compare_fields(line, kind) if number % _COMPARED_LINES == 1 else None


def _is_cut(stream: io.RawIOBase) -> bool:
    return isinstance(stream, Decompressed) and stream.is_cut


def _is_utf8(content: bytes) -> bool:
    # Arrow validates without creating a string. msgspec does not validate values that it skips.
    try:
        pa.array([content], pa.large_binary()).view(pa.large_string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def has_too_many_values(content: bytes) -> bool:
    """Test whether a line of JSON has more than :data:`VALUE_LIMIT` values."""
    if _count_marks(content) <= VALUE_LIMIT:
        return False
    # The commas may be in page bodies, so count again without the text between quotes.
    content = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    count, within = 0, False
    for start in range(0, len(content), _BLOCK):
        pieces = content[start : start + _BLOCK].split(b'"')
        count += _count_marks(b" ".join(pieces[within::2]))
        within ^= len(pieces) % 2 == 0
    return count > VALUE_LIMIT


def _count_marks(content: bytes) -> int:
    """Count the commas and opening brackets, after each of which a value may begin."""
    return sum(content.count(mark) for mark in (b",", b"[", b"{"))


# --- loose files ----------------------------------------------------------------------------------


#: A longer file is read line by line (bytes).
_WHOLE_LIMIT = 64 << 20


class FileError(NamedTuple):
    """A line of a loose file that is not a measurement of the test."""

    source_file: str
    line_number: int  # from 1; 0 if the file itself cannot be read
    error: str
    place: int  # number of measurements before it, in all files


def read_files(
    paths: Sequence[str | Path],
    fingerprints: Fingerprints | None = None,
    test: Tested | None = None,
) -> tuple[pa.Table, list[FileError]]:
    """Read loose ``.json``, ``.jsonl`` or ``.jsonl.gz`` files.

    A file with a single JSON value, on any number of lines, is one measurement; the elements of an
    array are numbered like lines. A path that is given twice is read twice.

    Args:
        paths: the files.
        fingerprints: for the pages.
        test: a messaging or circumvention test; None for web_connectivity.

    Returns:
        A table with the columns of ``schema.OBSERVATION``, or of ``messaging.MESSAGING``, and
        ``source_file``, one row per measurement; and the errors. Both in the order of files and
        lines.
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
    """Yield number and observation, or reason, of each measurement of a loose file."""
    try:
        with io.FileIO(path) as stream:
            is_gzip = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            if is_gzip:
                yield from reader.read_all(Decompressed(stream))
                return
            content = stream.read(_WHOLE_LIMIT + 1)
            values = _list_values(content) if len(content) <= _WHOLE_LIMIT else None
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
    """Return the elements of a JSON array, or a single value; None if the file has lines."""
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
# OONI's file names have the time of receipt. A measurement in a file of another name is filed under
# its own day, in the older layout, which has a folder for each day.


_LOOSE = (".json", ".jsonl", ".jsonl.gz")  # names of loose files below a folder


class _Header(msgspec.Struct):
    probe_cc: str
    test_name: str
    measurement_start_time: str


class _HeaderReader(LineReader):
    """Reader of each line's country, test folder and day, with the line itself."""

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
        files: ``.json``, ``.jsonl`` or ``.jsonl.gz``, or folders with such files below them; the
            elements of a JSON array are read one by one.
        probe_cc: the country; measurements of others are left out.
        out: gets ``raw/<day>/<hour>/<CC>/<test>/<number of the file>.jsonl.gz``, or, if the hour of
            receipt is not known, ``jsonl/<test>/<CC>/<day>/00/<number of the file>.jsonl.gz``.

    Returns:
        Lines by result: ``packed``, or the reason why not.

    Raises:
        ParameterError: ``out`` is not empty, or there is no measurement of the country.
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
            prefix = _choose_folder(file.name, country, folder, day)
            lines[out / prefix / f"{number:06}.jsonl.gz"].append(line)
            counts["packed"] += 1
        for path, content in lines.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(b"\n".join(content) + b"\n", mtime=0))
    if not counts["packed"]:
        reasons = ", ".join(f"{count} of {reason}" for reason, count in counts.items()) or "no line"
        raise ParameterError(
            "FILES", files[0], f"no measurement of {probe_cc} in the files: {reasons}"
        )
    return counts


def _list_loose(files: Sequence[Path]) -> Iterator[Path]:
    """Yield the files, and those below the folders, sorted in each folder."""
    for file in files:
        below = sorted(file.rglob("*")) if file.is_dir() else ()
        yield from (path for path in below if path.is_file() and path.name.endswith(_LOOSE))
        if not file.is_dir():
            yield file


def _choose_folder(name: str, probe_cc: str, folder: str, day: str) -> str:
    """Return the folder for a measurement of a day from a file of this name."""
    received = parse_receipt(name)
    if received is None:
        return f"jsonl/{folder}/{probe_cc}/{day}/00"
    since = datetime.fromtimestamp(received.since, UTC)
    if received.until - received.since > 3600:
        return f"jsonl/{folder}/{probe_cc}/{since:%Y%m%d}/00"
    return f"raw/{since:%Y%m%d/%H}/{probe_cc}/{folder}"
