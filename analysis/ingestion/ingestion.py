"""An archive → the observations of a country in the store, resumable."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial

from analysis.errors import ParameterError, SourceError
from analysis.ingestion.cluster import by_cluster
from analysis.ingestion.objects import Task
from analysis.ingestion.workers import Result, arrived, mapped, worker_count
from analysis.observations.fingerprints import Fingerprints
from analysis.period import Period
from analysis.reference import countries
from analysis.sources import ooni
from analysis.sources.buckets import Bucket
from analysis.sources.files import ArchiveObject, Source, Unreachable
from analysis.sources.ooni import Scope
from analysis.sources.opening import OONI, open_source
from analysis.store.catalogue import Catalogue
from analysis.store.collection import Collection
from analysis.store.imports import (
    chosen,
    copied,
    is_share,
    is_wanted,
    never_read,
    received,
    reopened,
)
from analysis.store.provenance import FOLDER, NotRead, Provenance, not_read_note
from analysis.store.store import Store

Progress = Callable[[int, int, str], None]
_Results = Generator[tuple[str, Provenance | NotRead], None, None]


def _silent(done: int, total: int, what: str) -> None:
    pass


def ingest(
    source: str,
    store: str,
    probe_cc: str,
    *,
    fingerprints: Fingerprints,
    period: Period | None = None,
    receipt_margin: int = ooni.RECEIPT_MARGIN,
    keep_raw: bool = False,
    reopen: bool = False,
    jobs: int | None = None,
    scheduler: str = "",
    listing: Progress = _silent,
    progress: Progress | None = None,
) -> Collection:
    """Bring a country's observations into the store; what is there already is not read again.

    Args:
        source: ``ooni``, a folder, URL or bucket in the archive's layout, or another store.
        store: a folder or ``s3://`` URL.
        probe_cc: two capital letters.
        fingerprints: what the pages are matched against.
        period: of the measurements. OONI's archive is asked for what it received in the period and
            the margin; of any other source all objects of the country are read.
        receipt_margin: days behind the period.
        keep_raw: keep what a server sends, as it is.
        reopen: where a server's objects were read before, ask it for nothing.
        jobs: worker processes; by default one a processor. The result does not depend on it.
        scheduler: address of a Dask scheduler whose workers read instead, ``jobs`` objects at once.
        listing: called with days of the archive listed, days in all, and the day just listed.
        progress: called with objects done, objects in all, and the MB and key just done.

    Raises:
        ParameterError: the source is no place, a store of several sources, or cannot have the
            country.
        SourceError: it cannot be reached or holds nothing of the country, what it hands on is
            damaged, or the store cannot be written.
    """
    place = Store(store)
    window = _window(source, probe_cc, period, receipt_margin)
    opened = open_source(source, Scope(probe_cc, window, place, listing) if window else None)
    catalogue = Catalogue(place, opened.id, probe_cc, window)
    if reopen and isinstance(opened, Bucket):
        known = catalogue.collection(fingerprints.digest) or reopened(place, opened.id, probe_cc)
        if known is not None:
            return known
    say = progress or _silent
    listed = opened.objects(partial(is_wanted, probe_cc=probe_cc))
    name, handed = chosen(opened, listed)
    if handed and is_share(handed[0]):
        return received(opened, handed[0], place, probe_cc, say)
    objects = handed or [item for item in listed if ooni.holds_country(item.key, probe_cc)]
    if not objects:
        days = f" received from {window.since} to {window.last_day}" if window else ""
        raise SourceError(f"{source} holds no web_connectivity object of {probe_cc}{days}")
    source_id = name.rpartition("/")[2] or opened.id
    there: dict[str, Provenance] = {}
    if handed:
        results = _taken_over(opened, handed, place, never_read(opened, listed, probe_cc))
    else:
        there = _there(catalogue, source_id, objects, fingerprints.digest)
        pending = [item for item in objects if item.key not in there]
        task = Task(opened, source_id, place, fingerprints)
        if scheduler:
            results = _reachable(by_cluster(task, pending, jobs, scheduler, len(there), keep_raw))
        else:
            results = _reachable(_read(task, pending, jobs, len(there), keep_raw=keep_raw))
    if not reopen:  # the run that the study belongs to has cleared them away
        place.remove_leftovers(f"{FOLDER}/{source_id}")
    with closing(results):
        read = _followed(results, objects, len(there), say)
    collection = _collected(place, source_id, probe_cc, [*there.values(), *read], len(read))
    catalogue.write(collection)
    return collection


def _window(
    source: str, probe_cc: str, period: Period | None, receipt_margin: int
) -> Period | None:
    """The days of receipt that OONI's archive is asked for; None where the source is another."""
    if source != OONI:
        return None
    if countries.is_fictional(probe_cc):
        raise ParameterError(
            "SOURCE", source, f"OONI has nothing of {probe_cc}, a fictional country; give "
            "PROBE_CC=<a real one>, or another source"
        )  # fmt: skip
    if period is None:
        raise ParameterError("SINCE", "", f"must be given with SOURCE={OONI}")
    return period.extended(receipt_margin)


def _there(
    catalogue: Catalogue, source_id: str, objects: Sequence[ArchiveObject], fingerprints: str
) -> dict[str, Provenance]:
    """The files that reading their object would give again, by key."""
    files = catalogue.files(source_id, [item.key for item in objects])
    return {
        item.key: file
        for item in objects
        if (file := files.get(item.key))
        and file.is_of(item.key, item.size, item.etag, fingerprints)
    }


def _taken_over(
    source: Source, handed: Sequence[ArchiveObject], store: Store, missing: Sequence[NotRead]
) -> _Results:
    taken = set()
    for key, result in copied(source, handed, store):
        taken.add(key)
        yield key, result
    yield from ((item.key, item) for item in missing if item.key not in taken)


def _read(
    task: Task,
    pending: list[ArchiveObject],
    jobs: int | None,
    known_count: int,
    *,
    keep_raw: bool,
) -> Iterator[tuple[str, Result]]:
    """What became of each object, by key."""
    workers = worker_count(pending, jobs or os.cpu_count() or 1)
    if isinstance(task.source, Bucket):
        return arrived(task, task.source, pending, workers, known_count, keep_raw=keep_raw)
    return mapped(task, pending, workers)


def _reachable(results: Iterator[tuple[str, Result]]) -> _Results:
    for key, result in results:
        if isinstance(result, Unreachable):
            raise SourceError(f"the source stopped answering at {key}: {result}")
        yield key, result


def _followed(
    results: _Results, objects: Sequence[ArchiveObject], known_count: int, progress: Progress
) -> list[Provenance | NotRead]:
    """All results, told one by one."""
    sizes = {item.key: item.size for item in objects}
    found: list[Provenance | NotRead] = []
    size = 0
    for key, result in results:
        found.append(result)
        size += sizes.get(key, 0)
        progress(known_count + len(found), len(objects), f"{size / 1e6:,.0f} MB {key}")
    return found


def _collected(
    store: Store, source_id: str, probe_cc: str, results: Sequence[Provenance | NotRead], count: int
) -> Collection:
    files = sorted((r for r in results if isinstance(r, Provenance)), key=lambda file: file.key)
    not_read = sorted((r for r in results if isinstance(r, NotRead)), key=lambda item: item.key)
    if not files:
        raise SourceError(
            f"none of the {len(results)} objects of {probe_cc} could be read; "
            f"the first, {not_read[0].key}: {not_read[0].why}"
        )
    _write_not_read(store, source_id, probe_cc, not_read)
    return Collection(store, source_id, tuple(files), tuple(not_read), count)


def _write_not_read(
    store: Store, source_id: str, probe_cc: str, not_read: Sequence[NotRead]
) -> None:
    name = not_read_note(probe_cc)
    note = [asdict(item) for item in not_read]
    if note != (store.read_note(source_id, name) or []):
        store.write_note(source_id, name, note)
