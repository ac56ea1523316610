"""One archive object → one Parquet file of observations, with a ledger of its other lines.

Rows leave in row groups, so that memory does not grow with the object.
"""

import gc
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from analysis.errors import SourceError
from analysis.ingestion.lines import Hashed, Line, Lines, Unpacked
from analysis.observations import messages, observation
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.flags import Received
from analysis.observations.schema import SCHEMA_VERSION
from analysis.sources import ooni
from analysis.sources.files import ArchiveObject, CannotRead, Source, Stream, Unreachable
from analysis.store.provenance import NotRead, Provenance
from analysis.store.store import Store

_GROUP = 8192  # rows of a row group


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
        read = messages.decode(content)
        if read.test_name != "web_connectivity":
            observation.check(read)
            return Refusal("other_test")
        return observation.observe(
            read, line_number=line.number, fingerprints=fingerprints, received=received
        )
    except messages.NotJson:
        return Refusal("not_json")
    except messages.NotAnObject:
        return Refusal("invalid:not_an_object")
    except observation.Invalid as error:
        return Refusal(f"invalid:{error}")


@dataclass(frozen=True)
class Task:
    """What a worker needs to know besides the object."""

    source: Source
    source_id: str
    store: Store
    fingerprints: Fingerprints


def ingest_object(task: Task, item: ArchiveObject) -> Provenance | NotRead | Unreachable:
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


def _write_object(task: Task, item: ArchiveObject, stream: Stream) -> Provenance:
    hashed = Hashed(stream)
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
    stream: Hashed, key: str, fingerprints: Fingerprints, ledger: Counter[str]
) -> Iterator[list[tuple[Any, ...]]]:
    """The observations of an object in groups; counts the other lines."""
    received = ooni.parse_receipt(key)
    lines = Lines(Unpacked(stream))
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
