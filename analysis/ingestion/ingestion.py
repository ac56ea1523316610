"""An archive → the observations of a country in the store, resumable."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial

from analysis.errors import NothingThereError, ParameterError, SourceError
from analysis.ingestion.cluster import read_on_cluster
from analysis.ingestion.objects import Result, Task
from analysis.ingestion.workers import count_workers, read_objects
from analysis.observations.fingerprints import Fingerprints
from analysis.period import Period
from analysis.reference import countries
from analysis.sources import layout
from analysis.sources.buckets import Bucket
from analysis.sources.files import ArchiveObject
from analysis.sources.layout import OONI
from analysis.sources.ooni import Scope
from analysis.sources.opening import open_source
from analysis.store import imports
from analysis.store.catalogue import Catalogue
from analysis.store.collection import Collection
from analysis.store.provenance import FOLDER, NotRead, Provenance
from analysis.store.store import Store

#: So many objects that a server does not give, if they are most of all, are its own trouble.
TOO_MANY = 20

Progress = Callable[[int, int, str], None]
_Results = Generator[tuple[str, Result], None, None]


def silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""


def ingest(
    source: str,
    store: str,
    probe_cc: str,
    *,
    fingerprints: Fingerprints,
    period: Period | None = None,
    receipt_margin: int = layout.RECEIPT_MARGIN,
    keep_raw: bool = False,
    reopen: bool = False,
    jobs: int | None = None,
    scheduler: str = "",
    listing: Progress = silent,
    progress: Progress = silent,
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
        ParameterError: the source is no source, a store of several sources, or cannot have the
            country.
        SourceError: it cannot be reached or holds nothing of the country, what it shares is
            damaged, or the store cannot be written.
    """
    target = Store(store)
    window = choose_window(source, probe_cc, period, receipt_margin)
    opened = open_source(source, Scope(probe_cc, window, target, listing) if window else None)
    catalogue = Catalogue(target, opened.id, probe_cc, window)
    if reopen and isinstance(opened, Bucket):
        read_before = catalogue.reopen(fingerprints.digest)
        if read_before is not None:
            return read_before
    listed = opened.objects(partial(imports.is_wanted, probe_cc=probe_cc))
    folder, offered = imports.find_import(opened, listed)
    if offered and imports.is_share(offered[0]):
        collection = imports.import_share(opened, offered[0], target, probe_cc, progress)
    else:
        objects = offered or [item for item in listed if layout.holds_country(item.key, probe_cc)]
        if not objects:
            days = f" received from {window.since} to {window.last_day}" if window else ""
            raise NothingThereError(
                f"{source} holds no web_connectivity object of {probe_cc}{days}", resumes=False
            )
        task = Task(opened, folder.rpartition("/")[2] or opened.id, target, fingerprints, keep_raw)
        if not reopen:  # the run that the study belongs to has cleared them away
            target.remove_leftovers(f"{FOLDER}/{task.source_id}")
        known: dict[str, Provenance] = {}
        if offered:
            results = imports.import_files(opened, offered, listed, target, probe_cc)
        else:
            known = catalogue.find_current(task.source_id, objects, fingerprints.digest)
            pending = [item for item in objects if item.key not in known]
            results = read_pending(task, pending, jobs, scheduler, len(known))
        with closing(results):
            read = follow(results, objects, len(known), progress)
        collection = _collect(task, probe_cc, [*known.values(), *read], len(read))
    catalogue.write(collection)
    return collection


def choose_window(
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


def read_pending(
    task: Task,
    pending: list[ArchiveObject],
    jobs: int | None,
    scheduler: str,
    known_count: int,
) -> _Results:
    """What became of each object, by key, as long as the source gives any.

    Raises:
        SourceError: the source stopped answering, or a server refuses most of what it lists.
    """
    if scheduler:
        results = read_on_cluster(task, pending, jobs, scheduler)
    else:
        workers = count_workers(pending, jobs or os.cpu_count() or 1)
        results = read_objects(task, pending, workers)
    failed = 0
    for count, (key, result) in enumerate(results, known_count + 1):
        yield key, result
        if isinstance(result, NotRead) and (scheduler or isinstance(task.source, Bucket)):
            failed += 1
            if failed >= TOO_MANY and 2 * failed > count:
                raise SourceError(
                    f"{failed} of {count} objects could not be read; the last, {key}: {result.why}"
                )


def follow(
    results: _Results, objects: Sequence[ArchiveObject], known_count: int, progress: Progress
) -> list[Result]:
    """All results, told one by one."""
    sizes = {item.key: item.size for item in objects}
    read: list[Result] = []
    size = 0
    for key, result in results:
        read.append(result)
        size += sizes.get(key, 0)
        progress(known_count + len(read), len(objects), f"{size / 1e6:,.0f} MB {key}")
    return read


def _collect(task: Task, probe_cc: str, results: Sequence[Result], count: int) -> Collection:
    files = sorted((r for r in results if isinstance(r, Provenance)), key=lambda file: file.key)
    not_read = sorted((r for r in results if isinstance(r, NotRead)), key=lambda item: item.key)
    if not files:
        raise SourceError(
            f"none of the {len(results)} objects of {probe_cc} could be read; "
            f"the first, {not_read[0].key}: {not_read[0].why}",
            resumes=isinstance(task.source, Bucket),
        )
    return Collection(task.store, task.source_id, tuple(files), tuple(not_read), count)
