"""The archive's files as they were fetched: ``STORE/raw/<source_id>/<key>``, each with a sidecar.

The sidecar, ``<key>.json``, says from where and when a file came, its size, ETag, digest and
licence. A file that its sidecar does not vouch for is not read.
"""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from analysis.sources.files import ArchiveObject
from analysis.store.store import Store

FOLDER = "raw"


class RawFiles:
    """Those of one source."""

    def __init__(self, store: Store, source_id: str) -> None:
        self._store = store
        self._source_id = source_id

    def copy(self, item: ArchiveObject, target: Path) -> bool:
        """Put the file of an object at ``target``; False where there is none, or a damaged one."""
        name = self._name(item)
        try:
            sidecar = msgspec.json.decode(self._store.read(f"{name}.json"), type=dict[str, Any])
            if (sidecar.get("size"), sidecar.get("etag")) != (item.size, item.etag):
                return False
            self._store.fetch(name, str(target))
        except (OSError, msgspec.DecodeError, RecursionError):
            return False
        return _digest(target) == sidecar.get("sha256")

    def keep(self, item: ArchiveObject, path: Path, url: str, licence: str) -> None:
        """Keep a fetched file, and then the sidecar that vouches for it."""
        with self._store.write(self._name(item)) as kept:
            shutil.copyfile(path, kept)
        sidecar = {
            "url": url,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
            "size": item.size,
            "etag": item.etag,
            "sha256": _digest(path),
            "licence": licence,
        }
        content = json.dumps(sidecar, indent=1).encode()
        self._store.write_bytes(f"{self._name(item)}.json", content)

    def _name(self, item: ArchiveObject) -> str:
        return f"{FOLDER}/{self._source_id}/{item.key}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
