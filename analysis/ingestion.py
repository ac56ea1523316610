"""An archive → the observations of a country in the store, resumable."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial

from analysis.errors import SourceError
from analysis.fingerprints import Fingerprints
from analysis.handover import copied, source_id_of
from analysis.objects import Task
from analysis.places import archive
from analysis.places.files import ArchiveObject, Unreachable, open_source
from analysis.pools import mapped, worker_count
from analysis.store import FOLDER, Collection, NotRead, Provenance, Store, not_read_note

Progress = Callable[[int, int, str], None]


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
    source_id = source_id_of(opened, stored) if stored else opened.id
    place.remove_leftovers(f"{FOLDER}/{source_id}")
    if stored:
        found, total = copied(opened, stored, place), len(stored)
    else:
        task = Task(opened, source_id, place, fingerprints)
        found, total = _read(task, objects, jobs or os.cpu_count() or 1), len(objects)
    results = []
    for key, result in found:
        results.append(result)
        (progress or _silent)(len(results), total, key)
    return _collected(place, source_id, probe_cc, results)


def _silent(done: int, total: int, key: str) -> None:
    pass


def _read(
    task: Task, objects: Sequence[ArchiveObject], jobs: int
) -> Iterator[tuple[str, Provenance | NotRead]]:
    """What became of each object, by key; first of those whose file is there already."""
    pending = []
    digest = task.fingerprints.digest
    for item in objects:
        found = task.store.provenance(task.source_id, item.key)
        if found is not None and found.is_of(item.key, item.size, item.etag, digest):
            yield item.key, found
        else:
            pending.append(item)
    for key, result in mapped(task, pending, worker_count(pending, jobs)):
        if isinstance(result, Unreachable):
            raise SourceError(f"the source stopped answering at {key}: {result}")
        yield key, result


def _collected(
    store: Store, source_id: str, probe_cc: str, results: Sequence[Provenance | NotRead]
) -> Collection:
    files = sorted((r for r in results if isinstance(r, Provenance)), key=lambda file: file.key)
    not_read = sorted((r for r in results if isinstance(r, NotRead)), key=lambda item: item.key)
    if not files:
        raise SourceError(
            f"none of the {len(results)} objects of {probe_cc} could be read; "
            f"the first, {not_read[0].key}: {not_read[0].why}"
        )
    _write_not_read(store, source_id, probe_cc, not_read)
    return Collection(store, source_id, tuple(files), tuple(not_read))


def _write_not_read(
    store: Store, source_id: str, probe_cc: str, not_read: Sequence[NotRead]
) -> None:
    name = not_read_note(probe_cc)
    note = [asdict(item) for item in not_read]
    if note != (store.read_note(source_id, name) or []):
        store.write_note(source_id, name, note)
