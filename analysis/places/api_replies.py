"""Replies of OONI's API on disk, as they were received, each with a sidecar that says whence."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import msgspec

from analysis.errors import SourceError
from analysis.snapshots import Sidecar

_LICENCE = "CC BY-NC-SA 4.0"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Reply:
    """A reply and when it came, UTC; ``sha256`` is that of ``body``."""

    body: bytes
    asked_at: datetime
    sha256: str


class Replies:
    """A folder of replies. Of the file ``name`` the sidecar is ``name.json``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from asking with the same folder: one request at a time.

        Raises:
            SourceError: the folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context((self._folder / ".lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:
                self._cannot_write(error)
            yield

    def find(self, name: str, url: str) -> Reply | None:
        """What was kept of an address; None where nothing was, or not as it was received."""
        try:
            body = (self._folder / name).read_bytes()
            text = (self._folder / f"{name}.json").read_bytes()
            sidecar = msgspec.json.decode(text, type=Sidecar)
            asked_at = datetime.strptime(sidecar.fetched_at, _TIME).replace(tzinfo=UTC)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None
        sha256 = hashlib.sha256(body).hexdigest()
        if (sidecar.url, sidecar.size, sidecar.sha256) != (url, len(body), sha256):
            return None
        return Reply(body, asked_at, sha256)

    def keep(self, name: str, url: str, role: str, body: bytes, asked_at: datetime) -> Reply:
        """Keep a reply. Where the two files are not of one reply, the sidecar's digest tells.

        Raises:
            SourceError: the folder cannot be written.
        """
        sha256 = hashlib.sha256(body).hexdigest()
        sidecar = Sidecar(
            url=url,
            fetched_at=asked_at.strftime(_TIME),
            role=role,
            licence=_LICENCE,
            status=200,
            size=len(body),
            sha256=sha256,
        )
        text = msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n"
        try:
            _replace(self._folder / name, body)
            _replace(self._folder / f"{name}.json", text)
        except OSError as error:
            self._cannot_write(error)
        return Reply(body, asked_at.replace(microsecond=0), sha256)

    def _cannot_write(self, error: OSError) -> NoReturn:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"no reply can be kept in {self._folder}: {reason}") from None


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
