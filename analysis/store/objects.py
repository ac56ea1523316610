"""One archive object → one Parquet file of observations, with a ledger of its other lines.

Rows leave in row groups, so that memory does not grow with the object.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messaging_tests import BY_FOLDER
from analysis.sources import layout
from analysis.sources.archive_files import ArchiveObject, CannotRead, Folder, Source
from analysis.store.lines import Decompressed, LineReader
from analysis.store.provenance import NotRead, Provenance, version_of
from analysis.store.store import Row, Rows, Store

_GROUP = 8192  # rows of a row group


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
    """Read one object, of a source that is a folder, and write its file."""
    assert isinstance(task.source, Folder)
    ledger: Counter[str] = Counter()
    try:
        with closing(task.source.open(item)) as stream:
            content = Decompressed(stream)

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
    except CannotRead as error:
        return NotRead(item.key, str(error))


def _read_groups(
    content: Decompressed, key: str, fingerprints: Fingerprints, ledger: Counter[str]
) -> Iterator[Rows]:
    """The observations of an object in groups; counts the other lines."""
    rows: list[Row] = []
    test = BY_FOLDER.get(layout.find_test(key) or "")
    reader = LineReader(fingerprints, layout.parse_receipt(key), test)
    for _, result in reader.read_all(content):
        if isinstance(result, str):
            ledger[result] += 1
        else:
            rows.append(result)
        if len(rows) >= _GROUP:
            yield rows
            rows = []
    if rows:
        yield rows
