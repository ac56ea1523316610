"""What a store holds of a source, on record, so that not each of its files has to be opened.

The record speaks of a file as long as the file has the size and the time of change that it had
then. Of a server's archive it is also how a study is opened again without asking the server.
"""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from analysis.errors import SourceError
from analysis.period import Period
from analysis.sources.archive_files import ArchiveObject
from analysis.store import shares
from analysis.store.collection import Collection
from analysis.store.provenance import FOLDER, SUFFIX, NotRead, Provenance, not_read_name
from analysis.store.store import Store

_Entry = tuple[Provenance, int, int]  # of a file: what it was made from, size and time of change


class _Record(msgspec.Struct, omit_defaults=True):
    source_id: str = ""
    files: list[_Entry] = []
    not_read: list[NotRead] = []
    share: str = ""  # the folder of the share that was imported, in the place of files


class Catalogue:
    """The record of what was read of a source for a country, and for a window where there is one.

    ``home`` is the id of the archive that was asked. Where that is somebody's store, the
    observations are those of another archive. ``what`` begins the name of records of other tests.
    """

    def __init__(
        self, store: Store, home: str, probe_cc: str, window: Period | None, what: str = ""
    ) -> None:
        self._store = store
        self._home = home
        self._probe_cc = probe_cc
        self._what = what
        self._name = f"read-{what}{probe_cc}{f'-{window}' if window else ''}.json"
        try:
            self._record = msgspec.convert(store.read_note(home, self._name), _Record)
        except msgspec.ValidationError:  # there is none, or another program's
            self._record = _Record()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on record: nobody has asked the source yet, as far as is known."""
        return self._record == _Record()

    def find_current(
        self, source_id: str, objects: Sequence[ArchiveObject], fingerprints: str
    ) -> dict[str, Provenance]:
        """The files that reading their object would give again, by key."""
        by_key = {item.key: item for item in objects}
        files = [file for file, *_ in self._look_at(source_id, list(by_key))]
        return {f.key: f for f in files if f.is_current(by_key[f.key], fingerprints)}

    def _look_at(self, source_id: str, keys: Sequence[str]) -> list[_Entry]:
        stamps = self._store.stamps(f"{FOLDER}/{source_id}")
        there = {key: stamps[key + SUFFIX] for key in keys if key + SUFFIX in stamps}
        on_record = self._record.files if source_id == self._record.source_id else []
        known = {file.key: file for file, *stamp in on_record if there.get(file.key) == (*stamp,)}
        others = [key for key in there if key not in known]
        files = {**known, **self._store.read_provenances(source_id, others)}
        return [(files[key], *stamp) for key, stamp in there.items() if key in files]

    def reopen(self, fingerprints: str) -> Collection | None:
        """What was read before, asking nobody; None where some of it is no longer there.

        Args:
            fingerprints: digest of those that the observations have to be matched against.
        """
        record = self._record
        if record.share:
            return shares.reopen_share(self._store, record.share)
        on_record = [ArchiveObject(file.key, file.size, file.etag) for file, *_ in record.files]
        files = self.find_current(record.source_id, on_record, fingerprints)
        if not files or len(files) < len(on_record):
            return None
        not_read = tuple(record.not_read)
        return Collection(self._store, record.source_id, tuple(files.values()), not_read)

    def write(self, collection: Collection) -> None:
        """Record what a source holds, and beside its files what could not be read of it.

        Files that were just written are opened once more: another run may have replaced them.
        """
        if collection.excerpt:
            record = _Record(share=collection.excerpt.folder)
        else:
            self._write_not_read(collection)
            entries = self._look_at(collection.source_id, [file.key for file in collection.files])
            if collection.files != tuple(file for file, *_ in entries):
                return
            record = _Record(collection.source_id, entries, list(collection.not_read))
        if record != self._record:
            with suppress(SourceError):  # a disk that takes nothing more costs time, no more
                self._store.write_note(self._home, self._name, msgspec.to_builtins(record))

    def _write_not_read(self, collection: Collection) -> None:
        """The list goes with the files to whoever has this store as a source."""
        name = f"{self._what}{not_read_name(self._probe_cc)}"
        not_read = msgspec.to_builtins(collection.not_read)
        if list(not_read) != (self._store.read_note(collection.source_id, name) or []):
            self._store.write_note(collection.source_id, name, not_read)
