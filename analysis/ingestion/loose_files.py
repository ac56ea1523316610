"""Loose ``.json``, ``.jsonl`` or ``.jsonl.gz`` files → observations at hand."""

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from analysis.ingestion.lines import LINE_LIMIT, Decompressed, Line, Lines, Readable, is_utf8
from analysis.ingestion.objects import Refusal, read_line
from analysis.observations.fingerprints import Fingerprints
from analysis.sources.files import CannotRead
from analysis.store.store import table_of


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
            is_gzip = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            if not is_gzip:
                whole = stream.read(LINE_LIMIT + 1)
                stream.seek(0)
                if len(whole) <= LINE_LIMIT and _is_one_value(whole):
                    content = memoryview(whole)
                    line = Line(1, content, is_utf8(content), False)
                    yield 1, read_line(line, fingerprints, None)
                    return
                del whole
            yield from _read_lines(Decompressed(stream) if is_gzip else stream, fingerprints)
    except CannotRead as error:
        yield 0, Refusal(f"cannot be read: {error}")
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
