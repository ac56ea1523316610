"""The bytes of one object of a bucket, in order; a broken connection is resumed where it broke."""

import hashlib
import re

from analysis.sources.files import ArchiveObject, CannotRead, Changed, Damaged, Passing
from analysis.sources.web import Deadline, Reply, Server, retry

_DAMAGED = (
    "its content is not what its ETag says; if that is said of every object, this server's ETags "
    "are no MD5: fetch its files into a folder and give that as SOURCE"
)
_PIECE = 1 << 16
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


class ObjectStream:
    """An object as it is received.

    It ends when there are as many bytes as were listed and they are what the ETag says. Each 64 KB
    may take six attempts and two minutes, so that it ends in any case.
    """

    def __init__(self, server: Server, url: str, item: ArchiveObject) -> None:
        self._server = server
        self._url = url
        self._item = item
        self._md5 = item.etag if _MD5.fullmatch(item.etag) else ""
        self._hash = hashlib.md5(usedforsecurity=False)
        self._offset = 0
        self._reply: Reply | None = None

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, about 64 KB whatever ``size``; empty at the end."""
        parts: list[bytes] = []
        if self._offset < self._item.size:
            goal = min(self._offset + _PIECE, self._item.size)
            retry(self._receive, parts, goal, self._server.deadline())
            for part in parts:
                self._hash.update(part)
        if self._offset == self._item.size:
            self.close()
            if self._md5 not in ("", self._hash.hexdigest()):
                raise Damaged(_DAMAGED)
        return b"".join(parts)

    def _receive(self, parts: list[bytes], goal: int, deadline: Deadline) -> None:
        """Add what comes until ``goal``; what has come before a trouble stays."""
        try:
            reply = self._reply or self._ask(deadline)
            while self._offset < goal:
                block = reply.next(deadline)
                if not block:
                    raise Passing("it is not as long as was listed")
                if self._offset + len(block) > self._item.size:
                    raise CannotRead("it is longer than was listed")
                parts.append(block)
                self._offset += len(block)
            if goal == self._item.size:
                reply.next(deadline)  # the connection is free when the end has been seen
        except CannotRead:
            self.close()
            if self._offset < goal:
                raise

    def _ask(self, deadline: Deadline) -> Reply:
        """Ask for what is still to come; what is no part of the object as listed is refused."""
        offset, etag = self._offset, self._item.etag
        asked = {"Range": f"bytes={offset}-"} if offset else {}
        if etag:
            asked["If-Match"] = f'"{etag}"'
        reply = self._reply = self._server.open(self._url, deadline, asked)
        if strip_etag(reply.headers.get("ETag", "")) not in ("", etag) and etag:
            raise Changed("changed while it was read")
        if offset:
            part = reply.headers.get("Content-Range", f"bytes {offset}-")
            if reply.status != 206 or not part.startswith(f"bytes {offset}-"):
                raise CannotRead("the server cannot resume")
        length = reply.headers.get("Content-Length", "")
        if length.isdecimal() and offset + int(length) != self._item.size:
            raise Passing("it is not as long as was listed")
        # What is encrypted with a key of a KMS has an ETag that only looks like an MD5.
        if reply.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms"):
            self._md5 = ""
        return reply

    def close(self) -> None:
        if self._reply is not None:
            self._reply.close()
            self._reply = None


def strip_etag(text: str) -> str:
    """An ETag without its quotes."""
    return text.removeprefix("W/").strip('"')
