"""The lines of a gzip stream, in bounded memory whatever it holds.

It is decompressed in blocks into one reused buffer, and a line is looked at while it lies there. No
line of more than :data:`LINE_LIMIT` bytes is held.
"""

import gzip
import hashlib
import re
from array import array
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, Protocol

import pyarrow as pa
from isal import isal_zlib

from analysis.errors import describe_error
from analysis.sources.archive_files import CannotRead, Stream

#: Lines longer than this are not read (bytes).
LINE_LIMIT = 64 << 20

#: A line with more values than this is not decoded: each takes up to a hundred bytes. Real ones
#: have some thousands.
VALUE_LIMIT = 1 << 18

#: A stream that holds more than this and a hundred times its compressed size is a bomb. Pages
#: shrink to a tenth, and one measurement that shrinks more is no longer than a line may be.
_MOST_DECOMPRESSED = 2 * LINE_LIMIT
_MOST_TIMES = 100
#: So does one with more lines than this and one for each ten compressed bytes.
_MOST_LINES, _BYTES_OF_A_LINE = 100_000, 10

_BUFFER = 1 << 20
_COMPRESSED_BLOCK = 1 << 17
_DECOMPRESSED_BLOCK = 1 << 18  # more at a time, and the processor's cache holds no block of it

_BROKEN = (EOFError, gzip.BadGzipFile, isal_zlib.error)


class Readable(Protocol):
    """Something that fills a buffer."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the start of ``buffer``; 0 at the end."""


class Line(NamedTuple):
    """One line: its number from 1, and its bytes, valid until the next line is asked for.

    ``content`` is None where the line is too long. ``is_cut`` marks the last line of a stream that
    broke off: what had come of it, which may be nothing.
    """

    number: int
    content: memoryview | None
    is_utf8: bool
    is_cut: bool


def split_lines(stream: Readable, limit: int = LINE_LIMIT) -> Iterator[Line]:
    """The lines of a stream of text, through one buffer."""
    buffer = bytearray(_BUFFER)
    start = end = number = 0
    is_too_long = is_cut = False
    while True:
        try:
            read = stream.readinto(memoryview(buffer)[end:]) or 0
        except _BROKEN:  # type: ignore[misc]  # the stubs call isal's error an instance
            read, is_cut = 0, True
        scan, end = end, end + read
        view = memoryview(buffer)
        # One look at all complete lines spares one at each.
        whole = buffer.rfind(b"\n", scan, end) + 1
        are_utf8 = whole == 0 or is_utf8(view[start:whole])
        while (newline := buffer.find(b"\n", scan, end)) >= 0:
            number += 1
            is_too_long = is_too_long or newline - start > limit
            content = None if is_too_long else view[start:newline]
            yield Line(number, content, are_utf8 or is_utf8(view[start:newline]), False)
            is_too_long = False
            start = scan = newline + 1
        if not read:
            break
        if is_too_long or end - start > limit:
            is_too_long = True
            end = start
        buffer, start, end = _make_room(buffer, start, end, limit)
    if end > start or is_too_long or is_cut:
        content = None if is_too_long else view[start:end]
        yield Line(number + 1, content, is_utf8(view[start:end]), is_cut)


def _make_room(buffer: bytearray, start: int, end: int, limit: int) -> tuple[bytearray, int, int]:
    """Move the unfinished line to the front of a buffer with room for more of it."""
    length = end - start
    size = _BUFFER
    while size < 2 * length:
        size *= 2
    if 4 * size > limit:  # the last step at once: two large buffers beside each other are much
        size = limit + _BUFFER
    roomier = buffer if size == len(buffer) else bytearray(size)
    if start or roomier is not buffer:
        # From view to view nothing is copied on the way, and they may overlap.
        memoryview(roomier)[:length] = memoryview(buffer)[start:end]
    return roomier, 0, length


def is_utf8(content: memoryview) -> bool:
    """Whether bytes are UTF-8."""
    # Arrow validates without making a string of it. msgspec leaves out what it skips.
    offsets = pa.py_buffer(array("q", [0, len(content)]))
    blob = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(content)])
    try:
        blob.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


_STRING_OR_VALUE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{,]', re.DOTALL)


def has_too_many_values(content: memoryview) -> bool:
    """Whether a line of JSON holds more than :data:`VALUE_LIMIT` values."""
    if len(content) <= VALUE_LIMIT:
        return False
    pieces = (bytes(content[at : at + _BUFFER]) for at in range(0, len(content), _BUFFER))
    if sum(piece.count(mark) for piece in pieces for mark in (b",", b"[", b"{")) <= VALUE_LIMIT:
        return False
    # There may be as many commas in the pages alone.
    values = (found for found in _STRING_OR_VALUE.finditer(content) if content[found.start()] != 34)
    return next(islice(values, VALUE_LIMIT, None), None) is not None


class Decompressed:
    """What a gzip stream holds; several members follow each other.

    A stream that breaks off gives all that it holds up to the break, and then EOFError: no reader
    of gzip files does, they drop what they have read so far of the block that was asked for. A
    bomb breaks off too, before it takes hours.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._member = isal_zlib.decompressobj(wbits=31)
        self._compressed: bytes = b""
        self._taken = self._given = 0  # bytes
        self._lines = 0

    def readinto(self, buffer: memoryview, /) -> int:
        size = min(len(buffer), _DECOMPRESSED_BLOCK)
        content = b""
        while not content:
            self._compressed = self._compressed or self._read()
            is_over = not self._compressed
            if is_over and (self._member.eof or not self._taken):
                return 0
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
            if self._given > max(
                _MOST_DECOMPRESSED, _MOST_TIMES * self._taken
            ) or self._lines > max(_MOST_LINES, self._taken // _BYTES_OF_A_LINE):
                raise EOFError("the stream is a bomb")
            if is_over and not content and not self._member.eof:
                raise EOFError("the stream ended before its end-of-stream marker")
        buffer[: len(content)] = content
        return len(content)

    def _read(self) -> bytes:
        try:
            block = self._stream.read(_COMPRESSED_BLOCK)
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
