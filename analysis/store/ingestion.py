"""An archive → the observations of a country in the store, resumable."""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from analysis.errors import NothingThereError, ParameterError, SourceError
from analysis.observations.fingerprints import Fingerprints
from analysis.period import Period
from analysis.reference import countries
from analysis.sources import layout
from analysis.sources.archive_files import ArchiveObject, Folder, Source
from analysis.sources.buckets import Bucket
from analysis.sources.layout import OONI
from analysis.sources.ooni import Scope
from analysis.sources.opening import open_source
from analysis.store import imports
from analysis.store.cluster import read_on_cluster
from analysis.store.collection import Collection
from analysis.store.file_list import Catalogue
from analysis.store.objects import Result, Task
from analysis.store.provenance import FOLDER, NotRead, Provenance
from analysis.store.store import Store
from analysis.store.workers import count_workers, read_objects

#: So many objects that a server does not give, if they are most of all, are its own trouble.
TOO_MANY = 20

Progress = Callable[[int, int, str], None]
_Results = Generator[tuple[str, Result], None, None]


def silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Request:
    """What is read, where it goes, and how.

    Attributes:
        source: ``ooni``, a folder, URL or bucket in the archive's layout, or another store.
        store: a folder or ``s3://`` URL.
        probe_cc: two capital letters.
        period: of the measurements. OONI's archive is asked for what it received in the period and
            the margin; of any other source all objects of the country are read.
        receipt_margin: days behind the period.
        keep_raw: keep what a server sends, as it is.
        reopen: where a server's objects were read before, ask it for nothing.
        jobs: worker processes; by default one a processor. The result does not depend on it.
        scheduler: address of a Dask scheduler whose workers read instead, ``jobs`` objects at once.
        listing: called with days of the archive listed, days in all, and the day just listed.
        progress: called with objects done, objects in all, and the MB and key just done.
    """

    source: str
    store: str
    probe_cc: str
    period: Period | None = None
    receipt_margin: int = layout.RECEIPT_MARGIN
    keep_raw: bool = False
    reopen: bool = False
    jobs: int | None = None
    scheduler: str = ""
    listing: Progress = silent
    progress: Progress = silent


def ingest(request: Request, fingerprints: Fingerprints) -> Collection:
    """Bring a country's observations into the store; what is there already is not read again.

    ``fingerprints`` are what the pages are matched against.

    Raises:
        ParameterError: the source is no source, a store of several sources, or cannot have the
            country.
        SourceError: it cannot be reached or holds nothing of the country, what it shares is
            damaged, or the store cannot be written.
    """
    store, probe_cc = Store(request.store), request.probe_cc
    source, catalogue = open_archive(request, store)
    if request.reopen and isinstance(source, Bucket):
        read_before = catalogue.reopen(fingerprints.digest)
        if read_before is not None:
            return read_before
    listed = source.objects(partial(imports.is_wanted, probe_cc=probe_cc))
    folder, offered = imports.find_import(source, listed)
    if offered and imports.is_share(offered[0]):
        collection = imports.import_share(source, offered[0], store, probe_cc, request.progress)
    else:
        objects = offered or [item for item in listed if layout.holds_country(item.key, probe_cc)]
        if not objects:
            window = choose_window(request)
            days = f" received from {window.since} to {window.last_day}" if window else ""
            raise NothingThereError(
                f"{request.source} holds no web_connectivity object of {probe_cc}{days}",
                resumes=False,
            )
        origin = folder.rpartition("/")[2] or source.id
        task = Task(source, origin, store, fingerprints, request.keep_raw)
        if not request.reopen:  # the run that the study belongs to has cleared them away
            store.remove_leftovers(f"{FOLDER}/{task.source_id}")
        if offered:
            results = imports.import_files(source, offered, listed, store, probe_cc)
            collection = collect(request, task, objects, {}, results)
        else:
            collection = read_new(request, task, objects, catalogue)
        if not collection.files:
            first = collection.not_read[0]
            raise SourceError(
                f"none of the {len(collection.not_read)} objects of {probe_cc} could be read; "
                f"the first, {first.key}: {first.why}",
                resumes=isinstance(source, Bucket),
            )
    catalogue.write(collection)
    return collection


def open_archive(request: Request, store: Store, what: str = "") -> tuple[Source, Catalogue]:
    """What a request asks of, and what is on record of its tests.

    Raises:
        ParameterError: the source is no source, cannot have the country, or is the store itself:
            what is made of an archive is no part of it.
    """
    window = choose_window(request)
    scope = Scope(request.probe_cc, window, store, request.listing) if window else None
    source = open_source(request.source, scope)
    if isinstance(source, Folder) and store.is_local and source.is_at(Path(store.path(""))):
        accepted = "the archive lies in this folder; a store in another one is accepted"
        raise ParameterError("STORE", request.store, accepted)
    return source, Catalogue(store, source.id, request.probe_cc, window, what)


def choose_window(request: Request) -> Period | None:
    """The days of receipt that OONI's archive is asked for; None where the source is another."""
    source, probe_cc = request.source, request.probe_cc
    if source != OONI:
        return None
    if countries.is_fictional(probe_cc):
        raise ParameterError(
            "SOURCE", source, f"OONI has nothing of {probe_cc}, a fictional country; give "
            "PROBE_CC=<a real one>, or another source"
        )  # fmt: skip
    if request.period is None:
        raise ParameterError("SINCE", "", f"must be given with SOURCE={OONI}")
    return request.period.extended(request.receipt_margin)


def read_new(
    request: Request, task: Task, objects: Sequence[ArchiveObject], catalogue: Catalogue
) -> Collection:
    """Read those of an archive's objects that the store does not hold as they are.

    Raises:
        SourceError: the source stopped answering, or a server refuses most of what it lists.
    """
    known = catalogue.find_current(task.source_id, objects, task.fingerprints.digest)
    pending = [item for item in objects if item.key not in known]
    results = _read_pending(request, task, pending, len(known))
    return collect(request, task, objects, known, results)


def _read_pending(
    request: Request, task: Task, pending: Sequence[ArchiveObject], known_count: int
) -> _Results:
    """What became of each object, by key, as long as the source gives any."""
    jobs, scheduler = request.jobs, request.scheduler
    if scheduler:
        results = read_on_cluster(task, pending, jobs, scheduler)
    else:
        results = read_objects(task, pending, count_workers(pending, jobs or os.cpu_count() or 1))
    failed = 0
    for count, (key, result) in enumerate(results, known_count + 1):
        yield key, result
        if isinstance(result, NotRead) and (scheduler or isinstance(task.source, Bucket)):
            failed += 1
            if failed >= TOO_MANY and 2 * failed > count:
                raise SourceError(
                    f"{failed} of {count} objects could not be read; the last, {key}: {result.why}"
                )


def collect(
    request: Request,
    task: Task,
    objects: Sequence[ArchiveObject],
    known: Mapping[str, Provenance],
    results: _Results,
) -> Collection:
    """What became of all objects, told one by one as results come."""
    sizes = {item.key: item.size for item in objects}
    every: list[Result] = [*known.values()]
    size = 0
    with closing(results):
        for key, result in results:
            every.append(result)
            size += sizes.get(key, 0)
            request.progress(len(every), len(objects), f"{size / 1e6:,.0f} MB {key}")
    files = sorted((r for r in every if isinstance(r, Provenance)), key=lambda file: file.key)
    not_read = sorted((r for r in every if isinstance(r, NotRead)), key=lambda item: item.key)
    read_count = len(every) - len(known)
    return Collection(task.store, task.source_id, tuple(files), tuple(not_read), read_count)
