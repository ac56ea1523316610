"""What a store holds of a source, noted so that not each of its files has to be opened.

A note speaks of a file as long as the file has the size and the time of change that it had then.
Of a server's archive it is also how a study is opened again without asking the server.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from analysis.period import Period
from analysis.store import Collection, NotRead, Provenance, Store

Stamp = tuple[int, int]


class Catalogue:
    """The note about what was read of a source for a country, and for a window where there is one.

    ``home`` is the id of the archive that was asked. Where that is somebody's store, ``source_id``
    is another one's: of the archive whose observations it holds.
    """

    def __init__(self, store: Store, home: str, probe_cc: str, window: Period | None) -> None:
        self._store = store
        self._home = home
        self._name = f"read-{probe_cc}{f'-{window}' if window else ''}.json"
        self._note: dict[str, Any] = {}
        self._files: dict[str, tuple[Provenance, Stamp]] = {}
        self.source_id = home
        self._read()

    def _read(self) -> None:
        note = self._store.read_note(self._home, self._name)
        try:
            files = [(Provenance(**file), (size, time)) for file, size, time in note["files"]]
            self.source_id = str(note["source_id"])
        except (TypeError, KeyError, ValueError):
            return  # there is none, or an older program's
        self._note = note
        self._files = {file.key: (file, stamp) for file, stamp in files}

    def files(self, source_id: str, keys: Sequence[str]) -> dict[str, Provenance]:
        """What the files that there are were made from, by key."""
        stamps = self._store.stamps(source_id)
        noted = self._files if source_id == self.source_id else {}
        found, unknown = {}, {}
        for key in keys:
            file, stamp = noted.get(key, (None, None))
            if file is not None and stamp == stamps.get(key):
                found[key] = file
            elif key in stamps:
                unknown[key] = stamps[key][0]
        return {**found, **self._store.provenances(source_id, unknown)}

    def collection(self, fingerprints: str) -> Collection | None:
        """What was read before, asking nobody; None where some of it is no longer there.

        Args:
            fingerprints: digest of those that the observations have to be matched against.
        """
        found = self.files(self.source_id, list(self._files))
        for key, (noted, _) in self._files.items():
            file = found.get(key)
            if file is None or not file.is_of(key, noted.size, noted.etag, fingerprints):
                return None
        if not found:
            return None
        not_read = tuple(NotRead(**item) for item in self._note["not_read"])
        return Collection(self._store, self.source_id, tuple(found.values()), not_read)

    def write(self, read: Collection) -> None:
        """Note what a source has been found to hold."""
        stamps = self._store.stamps(read.source_id)
        files = [[asdict(file), *stamps.get(file.key, (0, 0))] for file in read.files]
        note = {
            "source_id": read.source_id,
            "files": files,
            "not_read": [asdict(item) for item in read.not_read],
        }
        if note != self._note:
            self._store.write_note(self._home, self._name, note)
