"""What a study is made of: the files of one source, and the objects that could not be read."""

import hashlib
import json
from dataclasses import dataclass, field

import pandas as pd

from analysis.period import Period
from analysis.store.provenance import NotRead, Provenance, file_name
from analysis.store.store import Store


@dataclass(frozen=True)
class Excerpt:
    """Observations of one country and period in a few files, instead of one file an object.

    Attributes:
        folder: where the files are in the store.
        names: theirs, in that folder; they hold ``object_key`` besides an observation's columns.
    """

    probe_cc: str
    period: Period
    folder: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """The observations of one source for one country.

    Attributes:
        files: provenance of each object's file, sorted by key.
        source_id: of the source.
        not_read: the objects that have no file, sorted by key.
        read_count: the objects that were looked at in this run; the others were there already.
        excerpt: where the rows are, if not in a file for each object.
    """

    store: Store = field(compare=False)
    source_id: str
    files: tuple[Provenance, ...]
    not_read: tuple[NotRead, ...] = ()
    read_count: int = field(default=0, compare=False)
    excerpt: Excerpt | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over key, size and content of each object; no path or time enters it."""
        rows = sorted([f.key, f.size, f.sha256] for f in self.files)
        missing = sorted(item.key for item in self.not_read)
        return hashlib.sha256(json.dumps([rows, missing]).encode()).hexdigest()

    def objects_not_read(self) -> pd.DataFrame:
        """One row an object that could not be read at all: ``key, why``, sorted by key."""
        rows = [(item.key, item.why) for item in self.not_read]
        return pd.DataFrame(rows, columns=["key", "why"], dtype="str")

    def names(self) -> list[str]:
        """The files that hold the rows, by their names in the store."""
        if self.excerpt:
            return [f"{self.excerpt.folder}/{name}" for name in self.excerpt.names]
        return [file_name(self.source_id, file.key) for file in self.files]
