"""The archive's files as they were fetched: ``STORE/raw/<source_id>/<key>``, each with a sidecar.

The sidecar, ``<key>.json``, says from where and when a file came, its size, ETag, digest and
licence. A file that its sidecar does not vouch for is not read.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from analysis.places.files import ArchiveObject
from analysis.places.trees import Tree
from analysis.store import Store

FOLDER = "raw"
_BLOCK = 1 << 20


class RawFiles:
    """Those of one source."""

    def __init__(self, store: Store, source_id: str) -> None:
        self._store = store
        self._tree = Tree(store.uri)
        self._folder = f"{FOLDER}/{source_id}"

    def copy(self, item: ArchiveObject, target: Path) -> bool:
        """Put the file of an object at ``target``; False where there is none, or a damaged one."""
        sidecar = self._sidecar(item)
        if (sidecar.get("size"), sidecar.get("etag")) != (item.size, item.etag):
            return False
        digest = hashlib.sha256()
        try:
            stream = self._tree.open_input(self._name(item))
        except OSError:
            return False
        with stream, target.open("wb") as file:
            _copy(stream.read, file.write, digest.update)
        return digest.hexdigest() == sidecar.get("sha256")

    def keep(self, item: ArchiveObject, path: Path, url: str, licence: str) -> None:
        """Keep a fetched file, and then the sidecar that vouches for it."""
        digest = hashlib.sha256()
        with path.open("rb") as file, self._store.replacement(self._name(item)) as kept:
            _copy(file.read, kept.write, digest.update)
            kept.commit()
        sidecar = {
            "url": url,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
            "size": item.size,
            "etag": item.etag,
            "sha256": digest.hexdigest(),
            "licence": licence,
        }
        with self._store.replacement(f"{self._name(item)}.json") as written:
            written.write(json.dumps(sidecar, indent=1).encode())
            written.commit()

    def _name(self, item: ArchiveObject) -> str:
        return f"{self._folder}/{item.key}"

    def _sidecar(self, item: ArchiveObject) -> dict[str, Any]:
        try:
            found = json.loads(self._tree.read(f"{self._name(item)}.json"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _copy(read: Callable[[int], bytes], *write: Callable[[bytes], object]) -> None:
    blocks: Iterator[bytes] = iter(partial(read, _BLOCK), b"")
    for block in blocks:
        for one in write:
            one(block)
