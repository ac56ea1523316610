"""What a store holds of a source, noted so that not each of its files has to be opened.

A note speaks of a file as long as the file has the size and the time of change that it had then.
Of a server's archive it is also how a study is opened again without asking the server.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

import msgspec

from analysis.errors import SourceError
from analysis.period import Period
from analysis.store.collection import Collection
from analysis.store.provenance import NotRead, Provenance
from analysis.store.store import Store

_Stamp = tuple[int, int]
_Files = dict[str, tuple[Provenance, _Stamp]]


class _Note(msgspec.Struct):
    source_id: str
    files: list[tuple[Provenance, int, int]]
    not_read: list[NotRead]


class Catalogue:
    """The note about what was read of a source for a country, and for a window where there is one.

    ``home`` is the id of the archive that was asked. Where that is somebody's store, the
    observations are those of another archive.
    """

    def __init__(self, store: Store, home: str, probe_cc: str, window: Period | None) -> None:
        self._store = store
        self._home = home
        self._name = f"read-{probe_cc}{f'-{window}' if window else ''}.json"
        self._source_id = home
        self._noted: _Files = {}
        self._not_read: tuple[NotRead, ...] = ()
        self._read()

    def _read(self) -> None:
        note = self._store.read_note(self._home, self._name)
        try:
            read = msgspec.convert(note, _Note)
        except msgspec.ValidationError:
            return  # there is none, or another program's
        self._source_id = read.source_id
        self._noted = {file.key: (file, (size, time)) for file, size, time in read.files}
        self._not_read = tuple(read.not_read)

    def files(self, source_id: str, keys: Sequence[str]) -> dict[str, Provenance]:
        """What those files that there are were made from, by key."""
        return {key: file for key, (file, _) in self._looked_at(source_id, keys).items()}

    def _looked_at(self, source_id: str, keys: Sequence[str]) -> _Files:
        stamps = self._store.stamps(source_id)
        noted = self._noted if source_id == self._source_id else {}
        there = {key: stamps[key] for key in keys if key in stamps}
        same = {k: noted[k][0] for k, stamp in there.items() if k in noted and noted[k][1] == stamp}
        others = [key for key in there if key not in same]
        files = {**same, **self._store.provenances(source_id, others)}
        return {key: (files[key], stamp) for key, stamp in there.items() if key in files}

    def collection(self, fingerprints: str) -> Collection | None:
        """What was read before, asking nobody; None where some of it is no longer there.

        Args:
            fingerprints: digest of those that the observations have to be matched against.
        """
        found = self.files(self._source_id, list(self._noted))
        for key, (noted, _) in self._noted.items():
            file = found.get(key)
            if file is None or not file.is_of(key, noted.size, noted.etag, fingerprints):
                return None
        if not found:
            return None
        return Collection(self._store, self._source_id, tuple(found.values()), self._not_read)

    def write(self, read: Collection) -> None:
        """Note what a source has been found to hold.

        Files that were just written are opened once more: another run may have replaced them.
        """
        found = self._looked_at(read.source_id, [file.key for file in read.files])
        is_noted = found == self._noted and read.not_read == self._not_read
        if is_noted or read.files != tuple(file for file, _ in found.values()):
            return
        note = {
            "source_id": read.source_id,
            "files": [[asdict(file), *stamp] for file, stamp in found.values()],
            "not_read": [asdict(item) for item in read.not_read],
        }
        with suppress(SourceError):  # a disk that takes nothing more costs time, no more
            self._store.write_note(self._home, self._name, note)
