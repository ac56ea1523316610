"""Ingestion of a country's observations from an archive into the store; it can be resumed.

The archive's messaging and circumvention tests are ingested in the same way, into files of their
own.

A record lists the files that a store has of a source, so that they need not all be opened. An entry
is valid while its file has the recorded size and time of change. With the record, a study of a
server's archive can be opened again without a request to the server.
"""

import os
import shlex
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from analysis.errors import ParameterError, SourceError
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messaging_tests import BY_FOLDER
from analysis.period import Period
from analysis.reference.reference_files import is_fictional
from analysis.sources.archive_files import (
    OONI,
    RECEIPT_MARGIN,
    ArchiveObject,
    holds_country,
)
from analysis.sources.buckets import Bucket, Scope, open_source
from analysis.store.shares import (
    MANIFEST,
    find_archive,
    import_files,
    import_share,
    is_stored,
    reopen_share,
)
from analysis.store.store import FOLDER, SUFFIX, Collection, NotRead, Provenance, Store
from analysis.store.workers import Result, Task, count_workers, read_objects, read_on_cluster

#: If so many objects, and most of all, cannot be read, the server itself is the problem.
TOO_MANY = 20
#: Tests of apps are not matched against fingerprints, so their files do not depend on them.
_NO_FINGERPRINTS = Fingerprints()

Progress = Callable[[int, int, str], None]
_Results = Generator[tuple[str, Result], None, None]


def silent(done: int, total: int, what: str) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Request:
    """A request to ingest a country's measurements.

    Attributes:
        source: ``ooni``, a folder, URL or bucket in the archive's layout, a share, another store.
        store: a folder or ``s3://`` URL.
        probe_cc: two capital letters.
        period: of the measurements. From OONI's archive, objects received in the period and the
            margin are read; from any other source, all objects of the country.
        receipt_margin: days after the period.
        keep_raw: keep the files of a server unchanged.
        reopen: use the record of an earlier run instead of a server, if there is one.
        relist: for OONI's archive: True lists every day again; False lists only days without a
            listing, and nothing if all was read before; None lists days whose listing is old.
        jobs: worker processes; by default one per processor. The result does not depend on it.
        scheduler: address of a Dask scheduler whose workers read instead, ``jobs`` objects at once.
        listing: called with days of the archive listed, days in all, and the day just listed.
        notify: called with a sentence before existing files are made again.
        progress: called with objects done, objects in all, and the key just done.
    """

    source: str
    store: str
    probe_cc: str
    period: Period | None = None
    receipt_margin: int = RECEIPT_MARGIN
    keep_raw: bool = False
    reopen: bool = False
    relist: bool | None = None
    jobs: int | None = None
    scheduler: str = ""
    listing: Progress = silent
    notify: Callable[[str], None] = print
    progress: Progress = silent


def ingest(request: Request, fingerprints: Fingerprints) -> Collection:
    """Ingest a country's observations into the store, except objects that it has already.

    Pages are matched against ``fingerprints``.

    Raises:
        ParameterError: the source is invalid, is a store of several sources, or cannot have the
            country.
        SourceError: the source cannot be reached or has nothing of the country, a share is
            damaged, or the store cannot be written.
    """
    archive = _open_archive(request, fingerprints)
    source, store, probe_cc = archive.task.source, archive.task.store, request.probe_cc
    read_before = archive.reopen()
    if read_before is not None:
        return read_before
    listed = source.objects(partial(_is_wanted, probe_cc=probe_cc, name=source.name))
    # A manifest beside an archive's objects is not one of ours.
    if [item.key for item in listed] == [MANIFEST]:
        share = import_share(source, listed[0], store, probe_cc, request.progress)
        archive.write_record(_Record(share=share.excerpt.folder if share.excerpt else ""))
        return share
    objects = [item for item in listed if holds_country(item.key, probe_cc)]
    other_store = "" if objects else find_archive(source, listed)
    archive = replace(archive, task=replace(archive.task, source_id=other_store or source.id))
    if not objects and not other_store:
        window = _choose_window(request)
        raise SourceError(say_none_found(request.source, probe_cc, window), resumes=False)
    if not request.reopen:  # the run of this study has removed them
        store.remove_leftovers(f"{FOLDER}/{archive.task.source_id}")
    if other_store:
        offered = [item for item in listed if item.key != MANIFEST]
        collection = import_files(source, offered, store, other_store, request.progress)
        archive.record_files(collection)
    else:
        collection = archive.read(objects)
    if not collection.files:
        first = collection.not_read[0]
        raise SourceError(
            f"none of the {len(collection.not_read)} objects of {probe_cc} could be read; "
            f"the first, {first.key}: {first.why}",
            resumes=isinstance(source, Bucket) and not other_store,
        )
    return collection


def ingest_messaging(request: Request) -> Collection:
    """Ingest a country's messaging and circumvention tests into the store.

    Shares and other stores have none of these tests.

    Returns:
        The collection; empty if the source has no such object.

    Raises:
        ParameterError: the source is invalid.
        SourceError: the source cannot be reached, or the store cannot be written.
    """
    if request.relist:  # the days were listed again for web sites, with all tests
        request = replace(request, relist=None)
    archive = _open_archive(request, _NO_FINGERPRINTS, "messaging-")
    read_before = archive.reopen()
    if read_before is not None:
        return read_before
    tests = tuple(BY_FOLDER)
    wanted = partial(holds_country, probe_cc=request.probe_cc, tests=tests)
    return archive.read(archive.task.source.objects(wanted))


def say_none_found(source: str, probe_cc: str, window: Period | None) -> str:
    """Return the error of a source without web sites of a country, with advice.

    ``window``: the days of receipt for OONI's archive, None for another source.
    """
    if window:
        return (
            f"OONI's archive holds no web_connectivity object of {probe_cc} received from "
            f"{window.since} to {window.last_day}: check PROBE_CC, SINCE and UNTIL"
        )
    is_server = "://" in source
    folder = "FOLDER" if is_server else shlex.quote(source)
    advice = (
        f"{'fetch them into a FOLDER: ' if is_server else ''}'python -m analysis pack {folder} OUT "
        f"--cc {probe_cc}' copies them into a new folder OUT, to be given as SOURCE"
    )
    return (
        f"{source} holds no web_connectivity measurements of {probe_cc} in files that have OONI's "
        f"names, such as raw/20240131/05/{probe_cc}/webconnectivity/2024013105_{probe_cc}_"
        "webconnectivity.n0.0.jsonl.gz: check PROBE_CC. If its files are measurements under other "
        f"names, {advice}"
    )


def was_read(request: Request) -> bool:
    """Test whether the store has a record of the source's web sites."""
    return _open_archive(request, _NO_FINGERPRINTS).record is not None


def _is_wanted(path: str, probe_cc: str, name: str) -> bool:
    is_object = holds_country(path, probe_cc)
    return path == MANIFEST or is_object or is_stored(path, probe_cc, name)


def _open_archive(request: Request, fingerprints: Fingerprints, what: str = "") -> "_Archive":
    """Open the source of a request and its record.

    Raises:
        ParameterError: the source is invalid, or cannot have the country.
    """
    window, store = _choose_window(request), Store(request.store)
    scope = (
        Scope(request.probe_cc, window, store, request.listing, request.relist) if window else None
    )
    source = open_source(request.source, scope)
    name = f"read-{what}{request.probe_cc}{f'-{window}' if window else ''}.json"
    try:
        record: _Record | None = msgspec.convert(store.read_note(source.id, name), _Record)
    except msgspec.ValidationError:  # there is none, or one of another version
        record = None
    source_id = (record and record.other_store) or source.id
    task = Task(source, source_id, store, fingerprints, request.keep_raw)
    return _Archive(request, task, name, record)


def _choose_window(request: Request) -> Period | None:
    """Return the days of receipt to read from OONI's archive; None for another source."""
    source, probe_cc = request.source, request.probe_cc
    if source != OONI:
        return None
    if is_fictional(probe_cc):
        raise ParameterError(
            "SOURCE",
            source,
            f"OONI has nothing of {probe_cc}, a fictional country; give PROBE_CC=<a real one>, "
            "or another source",
        )
    if request.period is None:
        raise ParameterError("SINCE", "", f"must be given with SOURCE={OONI}")
    return request.period.extended(request.receipt_margin)


class _Record(msgspec.Struct, omit_defaults=True, frozen=True):
    """The record of what was read from a source for a country, and for a window if there is one."""

    #: Provenance, size and time of change of each file.
    files: list[tuple[Provenance, int, int]] = []
    not_read: list[NotRead] = []
    share: str = ""  # the folder of an imported share, instead of files
    other_store: str = ""  # the archive's id of the files that were imported from another store
    late: list[str] = []  # keys of files whose object came late


@dataclass(frozen=True)
class _Archive:
    """An archive to read into a store, and the record of an earlier run."""

    request: Request
    task: Task
    record_name: str
    record: _Record | None

    def reopen(self) -> Collection | None:
        """Return the collection of an earlier run, without listing the server.

        None if the request does not want this, there is no record, or files of it are missing. With
        ``relist=False``, missing files are read again by the record.
        """
        task, record, request = self.task, self.record, self.request
        may_reopen = request.reopen or request.relist is False
        if not may_reopen or not isinstance(task.source, Bucket) or record is None:
            return None
        if record.share:
            return reopen_share(task.store, record.share)
        late = set(record.late)
        recorded = [
            ArchiveObject(file.key, file.size, file.etag, file.key in late)
            for file, *_ in record.files
        ]
        files, _ = self._find_current(recorded)
        if len(files) < len(recorded):
            is_repeated = request.relist is False and not record.other_store
            return self.read(recorded, record.not_read) if is_repeated else None
        missing = tuple(record.not_read)
        return Collection(
            task.store,
            task.source_id,
            tuple(files),
            missing,
            len(missing),
            late=tuple(record.late),
        )

    def read(self, objects: Sequence[ArchiveObject], missing: Sequence[NotRead] = ()) -> Collection:
        """Read the objects that the store does not have in their current version.

        Args:
            objects: of the source.
            missing: objects that are known to be unreadable.

        Raises:
            SourceError: the source stopped answering, or a server refuses most listed objects.
        """
        task = self.task
        files, outdated = self._find_current(objects)
        if outdated:
            size = sum(file.size for file in outdated) / 1e6
            self.request.notify(
                f"{len(outdated):,} objects ({size:,.0f} MB) are read again, because the store "
                "has them with other fingerprints. To avoid it, stop, and give the FINGERPRINTS or "
                "the REFERENCE of the earlier run"
            )
        current_keys, late = (
            {file.key for file in files},
            {item.key for item in objects if item.is_late},
        )
        pending = [item for item in objects if item.key not in current_keys]
        not_read: list[NotRead] = []
        with closing(self._read_pending(pending, len(current_keys))) as results:
            for done, (key, result) in enumerate(results, len(current_keys) + 1):
                if isinstance(result, NotRead):
                    not_read.append(result)
                else:
                    files.append(result)
                self.request.progress(done, len(objects), key)
        collection = Collection(
            task.store,
            task.source_id,
            tuple(sorted(files, key=lambda file: file.key)),
            tuple(sorted([*not_read, *missing], key=lambda item: item.key)),
            len(files) + len(not_read) + len(missing) - len(current_keys),
            late=tuple(sorted(late & {file.key for file in files})),
        )
        self.record_files(collection)
        return collection

    def _read_pending(self, pending: Sequence[ArchiveObject], known_count: int) -> _Results:
        """Yield key and result of each object, until too many fail."""
        jobs, scheduler = self.request.jobs, self.request.scheduler
        if scheduler:
            results = read_on_cluster(self.task, pending, jobs, scheduler)
        else:
            count = count_workers(pending, jobs or os.cpu_count() or 1)
            results = read_objects(self.task, pending, count)
        failed = 0
        for count, (key, result) in enumerate(results, known_count + 1):
            yield key, result
            is_served = scheduler or isinstance(self.task.source, Bucket)
            failed += isinstance(result, NotRead)
            if isinstance(result, NotRead) and is_served and TOO_MANY <= failed > count / 2:
                raise SourceError(
                    f"{failed} of {count} objects could not be read; the last, {key}: {result.why}"
                )

    def _find_current(
        self, objects: Sequence[ArchiveObject]
    ) -> tuple[list[Provenance], list[Provenance]]:
        """Return the files that are up to date, and those that only have other fingerprints."""
        by_key = {item.key: item for item in objects}
        files = [file for file, *_ in self._list_files(list(by_key))]
        whole = [file for file in files if file.is_current(by_key[file.key], file.fingerprints)]
        digest = self.task.fingerprints.digest
        outdated = [file for file in whole if file.fingerprints != digest]
        return [file for file in whole if file.fingerprints == digest], outdated

    def _list_files(self, keys: Sequence[str]) -> list[tuple[Provenance, int, int]]:
        """Return the entries of a record for the undamaged files of these objects."""
        store, source_id = self.task.store, self.task.source_id
        all_stamps = store.stamps(f"{FOLDER}/{source_id}")
        stamps = {key: all_stamps[key + SUFFIX] for key in keys if key + SUFFIX in all_stamps}
        entries = self.record.files if self.record else []
        recorded = {file.key: file for file, *stamp in entries if stamps.get(file.key) == (*stamp,)}
        unrecorded = [key for key in stamps if key not in recorded]
        files = {**recorded, **store.read_provenances(source_id, unrecorded)}
        return [(files[key], *stamp) for key, stamp in stamps.items() if key in files]

    def record_files(self, collection: Collection) -> None:
        """Record the files of a collection, if they still exist."""
        # Files that were just written are opened again, because another run may have replaced them.
        entries = self._list_files([file.key for file in collection.files])
        if collection.files == tuple(file for file, *_ in entries):
            is_own = collection.source_id == self.task.source.id
            other_store = "" if is_own else collection.source_id
            record = _Record(
                entries,
                list(collection.not_read),
                other_store=other_store,
                late=list(collection.late),
            )
            self.write_record(record)

    def write_record(self, record: _Record) -> None:
        """Write a record if it changed; without one, only the next run is slower."""
        if record != self.record:
            with suppress(SourceError):
                note = msgspec.to_builtins(record)
                self.task.store.write_note(self.task.source.id, self.record_name, note)
