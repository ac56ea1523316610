"""Another store as the source: its files are taken over as they are, no archive is needed."""

from collections.abc import Iterator, Sequence
from functools import partial

from analysis.errors import ParameterError, SourceError
from analysis.places import archive
from analysis.places.files import ArchiveObject, CannotRead, Source, Unreachable
from analysis.schema import SCHEMA_VERSION
from analysis.store import FOLDER, NotRead, Provenance, Store

_BLOCK = 1 << 20


def source_id_of(source: Source, objects: Sequence[ArchiveObject]) -> str:
    """The source whose observations another store holds.

    Raises:
        ParameterError: it holds those of several.
    """
    found = {_origin(source, item)[0] for item in objects}
    if len(found) > 1:
        choices = ", ".join(f"{FOLDER}/{name}" for name in sorted(found))
        raise ParameterError(
            "SOURCE", source.name, f"a store of several sources; name one of them: {choices}"
        )
    return found.pop()


def copied(
    source: Source, objects: Sequence[ArchiveObject], store: Store
) -> Iterator[tuple[str, Provenance | NotRead]]:
    """Take over the files, by key; those that are there already are not fetched again."""
    for key, item in sorted((_origin(source, item)[1], item) for item in objects):
        yield key, _copy_file(source, item, store, _origin(source, item)[0], key)


def _origin(source: Source, item: ArchiveObject) -> tuple[str, str]:
    """Source id and key of the object that a file of another store was made from."""
    source_id, key = archive.store_key(item.key) or ("", "")
    return source_id or source.name, key


def _copy_file(
    source: Source, item: ArchiveObject, store: Store, source_id: str, key: str
) -> Provenance | NotRead:
    try:
        if store.size(source_id, key) != item.size:
            stream = source.open(item)
            try:
                store.replace_file(source_id, key, iter(partial(stream.read, _BLOCK), b""))
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
