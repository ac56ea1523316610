"""An archive → the observations of a country in the store, resumable.

The archive's messaging and circumvention tests go the same way into rows of their own, beside those
of web_connectivity and never among them.

What a store holds of a source is on record, so that not each of its files has to be opened. The
record speaks of a file as long as the file has the size and the time of change that it had then.
Of a server's archive it is also how a study is opened again without asking the server.
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

#: So many objects that a server does not give, if they are most of all, are its own trouble.
TOO_MANY = 20
#: No page of apps' tests is matched against fingerprints, so that files outlive a change of them.
_NO_FINGERPRINTS = Fingerprints()

Progress = Callable[[int, int, str], None]
_Results = Generator[tuple[str, Result], None, None]


def silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Request:
    """What is read, where it goes, and how.

    Attributes:
        source: ``ooni``, a folder, URL or bucket in the archive's layout, a share, another store.
        store: a folder or ``s3://`` URL.
        probe_cc: two capital letters.
        period: of the measurements. OONI's archive is asked for what it received in the period and
            the margin; of any other source all objects of the country are read.
        receipt_margin: days behind the period.
        keep_raw: keep what a server sends, as it is.
        reopen: where a server's objects were read before, ask it for nothing.
        relist: of OONI's archive, True: list every day again, False: none that was listed, and of
            what was read before nothing; None: the days whose listing has grown old.
        jobs: worker processes; by default one a processor. The result does not depend on it.
        scheduler: address of a Dask scheduler whose workers read instead, ``jobs`` objects at once.
        listing: called with days of the archive listed, days in all, and the day just listed.
        notify: called with a sentence before files that are there are made again.
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
    """Bring a country's observations into the store; what is there already is not read again.

    ``fingerprints`` are what the pages are matched against.

    Raises:
        ParameterError: the source is no source, a store of several sources, or cannot have the
            country.
        SourceError: it cannot be reached or holds nothing of the country, what it shares is
            damaged, or the store cannot be written.
    """
    archive = _open_archive(request, fingerprints)
    source, store, probe_cc = archive.task.source, archive.task.store, request.probe_cc
    read_before = archive.reopen()
    if read_before is not None:
        return read_before
    listed = source.objects(partial(_is_wanted, probe_cc=probe_cc, name=source.name))
    # A manifest beside an archive's objects is somebody else's business.
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
    if not request.reopen:  # the run that the study belongs to has cleared them away
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
    """Bring a country's messaging and circumvention tests into the store.

    A share or another store as the source has none of these tests.

    Returns:
        What was read; of no object, where the source has none.

    Raises:
        ParameterError: the source is no source.
        SourceError: it cannot be reached, or the store cannot be written.
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
    """That a source has no web site of a country, and what to do.

    ``window`` are the days of receipt that OONI's archive was asked for; None is another source.
    """
    if window:
        return (
            f"OONI's archive holds no web_connectivity object of {probe_cc} received from "
            f"{window.since} to {window.last_day}: check PROBE_CC, SINCE and UNTIL"
        )
    is_server = "://" in source
    folder = "FOLDER" if is_server else shlex.quote(source)
    return (
        f"{source} holds no web_connectivity measurements of {probe_cc} in files that have OONI's "
        f"names, such as raw/20240131/05/{probe_cc}/webconnectivity/2024013105_{probe_cc}_"
        "webconnectivity.n0.0.jsonl.gz: check PROBE_CC. If its files are measurements under other "
        f"names, {'fetch them into a FOLDER: ' if is_server else ''}'python -m analysis pack "
        f"{folder} OUT --cc {probe_cc}' copies them into a new folder OUT, to be given as SOURCE"
    )


def was_read(request: Request) -> bool:
    """Whether the store has a record of what the source holds of web sites."""
    return _open_archive(request, _NO_FINGERPRINTS).record is not None


def _is_wanted(path: str, probe_cc: str, name: str) -> bool:
    is_object = holds_country(path, probe_cc)
    return path == MANIFEST or is_object or is_stored(path, probe_cc, name)


def _open_archive(request: Request, fingerprints: Fingerprints, what: str = "") -> "_Archive":
    """What a request asks of, and what is on record of its tests.

    Raises:
        ParameterError: the source is no source, or cannot have the country.
    """
    window, store = _choose_window(request), Store(request.store)
    scope = (
        Scope(request.probe_cc, window, store, request.listing, request.relist) if window else None
    )
    source = open_source(request.source, scope)
    name = f"read-{what}{request.probe_cc}{f'-{window}' if window else ''}.json"
    try:
        record: _Record | None = msgspec.convert(store.read_note(source.id, name), _Record)
    except msgspec.ValidationError:  # there is none, or another program's
        record = None
    source_id = (record and record.other_store) or source.id
    task = Task(source, source_id, store, fingerprints, request.keep_raw)
    return _Archive(request, task, name, record)


def _choose_window(request: Request) -> Period | None:
    """The days of receipt that OONI's archive is asked for; None where the source is another."""
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
    """What was read of a source for a country, and for a window where there is one."""

    #: Of each file what it was made from, its size and its time of change.
    files: list[tuple[Provenance, int, int]] = []
    not_read: list[NotRead] = []
    share: str = ""  # the folder of the share that was imported, in the place of files
    other_store: str = ""  # of which archive the files are, where another store was imported
    late: list[str] = []  # keys of files whose object came late


@dataclass(frozen=True)
class _Archive:
    """An archive that is read into a store, and the record of what was read of it before."""

    request: Request
    task: Task
    record_name: str
    record: _Record | None

    def reopen(self) -> Collection | None:
        """What was read before, asking nobody, where the request wants that of a server; None where
        some of it is no longer there. If no day is to be listed again, that is read as it was.
        """
        task, record, request = self.task, self.record, self.request
        is_asked = not request.reopen and request.relist is not False
        if is_asked or not isinstance(task.source, Bucket) or record is None:
            return None
        if record.share:
            return reopen_share(task.store, record.share)
        late = set(record.late)
        on_record = [
            ArchiveObject(file.key, file.size, file.etag, file.key in late)
            for file, *_ in record.files
        ]
        files, _ = self._find_current(on_record)
        if len(files) < len(on_record):
            is_repeated = request.relist is False and not record.other_store
            return self.read(on_record, record.not_read) if is_repeated else None
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
        """Read those objects that the store does not hold as they are; each is told when it is
        done. Others are known to be ``missing``.

        Raises:
            SourceError: the source stopped answering, or a server refuses most of what it lists.
        """
        task = self.task
        files, with_others = self._find_current(objects)
        if with_others:
            size = sum(file.size for file in with_others) / 1e6
            self.request.notify(
                f"{len(with_others):,} objects ({size:,.0f} MB) are read again, because the store "
                "has them with other fingerprints. To avoid it, stop, and give the FINGERPRINTS or "
                "the REFERENCE of the earlier run"
            )
        known, late = {file.key for file in files}, {item.key for item in objects if item.is_late}
        pending = [item for item in objects if item.key not in known]
        not_read: list[NotRead] = []
        with closing(self._read_pending(pending, len(known))) as results:
            for done, (key, result) in enumerate(results, len(known) + 1):
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
            len(files) + len(not_read) + len(missing) - len(known),
            late=tuple(sorted(late & {file.key for file in files})),
        )
        self.record_files(collection)
        return collection

    def _read_pending(self, pending: Sequence[ArchiveObject], known_count: int) -> _Results:
        """What became of each object, by key, as long as the source gives any."""
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
        """What the files were made from that reading their object would give again; and that of
        files of which it would, with other fingerprints.
        """
        by_key = {item.key: item for item in objects}
        files = [file for file, *_ in self._look_at(list(by_key))]
        whole = [file for file in files if file.is_current(by_key[file.key], file.fingerprints)]
        ours = self.task.fingerprints.digest
        others = [file for file in whole if file.fingerprints != ours]
        return [file for file in whole if file.fingerprints == ours], others

    def _look_at(self, keys: Sequence[str]) -> list[tuple[Provenance, int, int]]:
        """The files of some objects that are there and whole, as a record has them."""
        store, source_id = self.task.store, self.task.source_id
        stamps = store.stamps(f"{FOLDER}/{source_id}")
        there = {key: stamps[key + SUFFIX] for key in keys if key + SUFFIX in stamps}
        on_record = self.record.files if self.record else []
        known = {file.key: file for file, *stamp in on_record if there.get(file.key) == (*stamp,)}
        others = [key for key in there if key not in known]
        files = {**known, **store.read_provenances(source_id, others)}
        return [(files[key], *stamp) for key, stamp in there.items() if key in files]

    def record_files(self, collection: Collection) -> None:
        """Record what a collection has files of, if they are there."""
        # Files that were just written are opened once more: another run may have replaced them.
        entries = self._look_at([file.key for file in collection.files])
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
        """Record what the store holds; a disk that takes nothing more costs time, no more."""
        if record != self.record:
            with suppress(SourceError):
                note = msgspec.to_builtins(record)
                self.task.store.write_note(self.task.source.id, self.record_name, note)
