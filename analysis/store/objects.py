"""One archive object → one Parquet file of observations, with a ledger of its other lines.

Rows leave in row groups, so that memory does not grow with the object.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from analysis.observations import messages, messaging, messaging_messages, observation
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.flags import Received
from analysis.observations.messaging_tests import BY_FOLDER, Tested
from analysis.sources import layout
from analysis.sources.archive_files import ArchiveObject, CannotRead, Source, Stream
from analysis.store.lines import (
    Decompressed,
    Line,
    Readable,
    has_too_many_values,
    split_lines,
)
from analysis.store.provenance import NotRead, Provenance, version_of
from analysis.store.store import Row, Rows, Store

_GROUP = 8192  # rows of a row group


#: What makes a row of a line, or a word of the ledger.
ReadLine = Callable[[memoryview, int], Row | str]


def read_line(line: Line, fingerprints: Fingerprints, received: Received | None) -> Row | str:
    """The observation of one line or, in the ledger's words, why there is none."""

    def read(content: memoryview, number: int) -> Row | str:
        measured = messages.decode(content)
        if measured.test_name != "web_connectivity":
            observation.check(measured)
            return "other_test"
        return observation.observe(
            measured, line_number=number, fingerprints=fingerprints, received=received
        )

    return _read(line, read)


def read_messaging_line(line: Line, test: Tested, received: Received | None) -> Row | str:
    """The same of a line that should be a measurement of a messaging or circumvention test."""

    def read(content: memoryview, number: int) -> Row | str:
        measured = messaging_messages.decode(content)
        if measured.test_name != test.name:
            observation.check(measured)
            return "other_test"
        return messaging.observe(measured, line_number=number, received=received)

    return _read(line, read)


def _read(line: Line, read: ReadLine) -> Row | str:
    """What a line is, whatever it holds."""
    content = line.content
    if content is None:
        return "invalid:line_too_long"
    if not line.is_utf8:
        return "not_json"
    if has_too_many_values(content):
        return "invalid:too_many_values"
    try:
        return read(content, line.number)
    except messages.NotJson:
        return "not_json"
    except messages.TooLong:
        return "invalid:line_too_long"
    except messages.NotAnObject:
        return "invalid:not_an_object"
    except observation.Invalid as error:
        return f"invalid:{error}"


def read_lines(
    stream: Readable,
    fingerprints: Fingerprints,
    received: Received | None = None,
    test: Tested | None = None,
) -> Iterator[tuple[int, Row | str]]:
    """Number and observation of each line that is not empty, or why there is none.

    ``test``: the messaging or circumvention test that the stream holds; else web_connectivity.

    What had come of the line where a stream broke off is an observation or nothing.
    """
    for line in split_lines(stream):
        if line.content is None or line.content:
            result = (
                read_messaging_line(line, test, received)
                if test
                else read_line(line, fingerprints, received)
            )
            if isinstance(result, tuple) or not line.is_cut:
                yield line.number, result
        if line.is_cut:
            yield line.number, "truncated_file"


@dataclass(frozen=True)
class Task:
    """What a worker needs to know besides the object.

    Attributes:
        source: where objects are; who reads one is given a folder, of what was fetched of a server.
        source_id: of the archive that they are from.
        store: where observations go.
        fingerprints: what pages are matched against.
        keep_raw: whether what a server sends is kept as it is.
    """

    source: Source
    source_id: str
    store: Store
    fingerprints: Fingerprints
    keep_raw: bool = False


#: What became of an object: it has a file, or cannot be read.
Result = Provenance | NotRead


def ingest_object(task: Task, item: ArchiveObject) -> Result:
    """Read one object and write its file."""
    # Rows live until their group is written; the collector would look at each again and again,
    # and nothing here makes cycles.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with closing(task.source.open(item)) as stream:
            return _write_object(task, item, stream)
    except CannotRead as error:
        return NotRead(item.key, str(error))
    finally:
        if was_enabled:
            gc.enable()


def _write_object(task: Task, item: ArchiveObject, stream: Stream) -> Provenance:
    content = Decompressed(stream)
    ledger: Counter[str] = Counter()

    def provenance_of(row_count: int) -> Provenance:
        return Provenance(
            key=item.key,
            size=item.size,
            etag=item.etag,
            sha256=content.digest(),
            schema_version=version_of(item.key),
            fingerprints=task.fingerprints.digest,
            row_count=row_count,
            ledger=dict(sorted(ledger.items())),
        )

    groups = _read_groups(content, item.key, task.fingerprints, ledger)
    return task.store.write_observations(task.source_id, item.key, groups, provenance_of)


def _read_groups(
    content: Decompressed, key: str, fingerprints: Fingerprints, ledger: Counter[str]
) -> Iterator[Rows]:
    """The observations of an object in groups; counts the other lines."""
    rows: list[Row] = []
    test = BY_FOLDER.get(layout.find_test(key) or "")
    for _, result in read_lines(content, fingerprints, layout.parse_receipt(key), test):
        if isinstance(result, str):
            ledger[result] += 1
        else:
            rows.append(result)
        if len(rows) >= _GROUP:
            yield rows
            rows = []
    if rows:
        yield rows
