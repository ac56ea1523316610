"""Loose ``.json``, ``.jsonl`` or ``.jsonl.gz`` files → observations at hand."""

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from analysis.errors import describe_error
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messaging import MESSAGING
from analysis.observations.messaging_tests import Tested
from analysis.observations.schema import OBSERVATION
from analysis.sources.archive_files import CannotRead
from analysis.store.lines import LINE_LIMIT, Decompressed, Line, is_utf8
from analysis.store.objects import read_line, read_lines, read_messaging_line
from analysis.store.store import Row, table_of


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

    A file that is one JSON value, however many lines it takes, is one measurement. A file that is
    given twice is read twice.

    Returns:
        A table with the columns of ``schema.OBSERVATION``, or of ``messaging.MESSAGING``, and
        ``source_file``, one row a measurement, in the order of the files and lines; and what could
        not be read, likewise.
    """
    rows: list[Row] = []
    names: list[str] = []
    errors: list[FileError] = []
    for path in map(str, paths):
        for number, result in _read_file(path, fingerprints or Fingerprints(), test):
            if isinstance(result, tuple):
                rows.append(result)
                names.append(path)
            else:
                errors.append(FileError(path, number, result, len(rows)))
    table = table_of(rows, MESSAGING if test else OBSERVATION)
    return table.append_column("source_file", pa.array(names, pa.string())), errors


def _read_file(
    path: str, fingerprints: Fingerprints, test: Tested | None
) -> Iterator[tuple[int, Row | str]]:
    try:
        with Path(path).open("rb") as stream:
            is_gzip = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            if is_gzip:
                yield from read_lines(Decompressed(stream), fingerprints, test=test)
                return
            whole = stream.read(LINE_LIMIT + 1)
            stream.seek(0)
            if len(whole) <= LINE_LIMIT and _is_one_value(whole):
                line = Line(1, memoryview(whole), is_utf8(memoryview(whole)), False)
                yield (
                    1,
                    read_messaging_line(line, test, None)
                    if test
                    else read_line(line, fingerprints, None),
                )
                return
            del whole
            yield from read_lines(stream, fingerprints, test=test)
    except CannotRead as error:
        yield 0, f"cannot be read: {error}"
    except OSError as error:
        yield 0, f"cannot be read: {describe_error(error)}"


def _is_one_value(content: bytes) -> bool:
    if b"\n" not in content.strip():
        return True
    try:
        msgspec.json.decode(content.removeprefix(codecs.BOM_UTF8), type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True
