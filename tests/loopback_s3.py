"""A small S3 server on loopback: a public bucket, listed in pages and read by ranges.

It speaks what the workbook asks of S3: ListObjectsV2 with continuation tokens and URL-encoded
keys, HEAD, ranged GET with If-Match, PUT in one piece. It asks for no signature. And it fails in
the ways that servers and the networks before them do (:class:`Fault`).
"""

import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit
from xml.sax.saxutils import escape

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_PAGE = 1000
_State = TypeVar("_State", bound="LoopbackS3")


@dataclass
class Fault:
    """How a reply goes wrong, so many times.

    ``status`` answers with one, and ``headers``. ``reset`` tears the connection down after
    ``cut`` bytes. ``length`` sends ``cut`` bytes as if they were all, ``chunks`` adds one without
    saying how many there are. ``drip`` sends a byte each twentieth of a second, ``silence``
    nothing; ``head`` drips a header, ``chunk`` the length of a chunk. ``body`` sends another one as
    if it were the object.
    """

    kind: str
    times: int = 1 << 30
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    body: bytes = b""


class LoopbackS3:
    """What the server holds, and how it misbehaves.

    Attributes:
        objects: bytes by key, of the one bucket ``archive``.
        requests: method and path with query of every request, in order.
        faults: by key, or by ``?`` and the prefix of a listing.
        is_down: every connection is closed without a word.
        is_lax: ETags are no MD5, as those of large uploads, and ``If-Match`` is ignored.
    """

    bucket = "archive"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.faults: dict[str, Fault] = {}
        self.is_down = self.is_lax = False
        self.port = 0

    @property
    def url(self) -> str:
        """The bucket as a plain URL."""
        return f"http://127.0.0.1:{self.port}/{self.bucket}"

    @property
    def s3_url(self) -> str:
        """The bucket as an ``s3://`` URL."""
        return f"s3://{self.bucket}?scheme=http&endpoint_override=127.0.0.1:{self.port}"

    def etag(self, key: str) -> str:
        """As S3 gives it for an object sent in one piece, or in two."""
        md5 = hashlib.md5(self.objects.get(key, b""), usedforsecurity=False).hexdigest()
        return f"{md5}-2" if self.is_lax else md5

    def listing(self, prefix: str, token: str, encoding: str) -> str:
        """One page of ListObjectsV2."""
        encode = partial(quote_plus, safe="/") if encoding == "url" else str
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > token)
        page, is_truncated = keys[:_PAGE], len(keys) > _PAGE
        contents = "".join(
            f"<Contents><Key>{escape(encode(key))}</Key>"
            f"<LastModified>2024-07-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{self.etag(key)}&quot;</ETag><Size>{len(self.objects[key])}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in page
        )
        token = page[-1] if is_truncated else ""
        following = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>"
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="{_NAMESPACE}">'
            f"<Name>{self.bucket}</Name><Prefix>{escape(encode(prefix))}</Prefix>"
            f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{_PAGE}</MaxKeys>"
            f"<EncodingType>{encoding}</EncodingType>"
            f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated>"
            f"{following if is_truncated else ''}{contents}</ListBucketResult>"
        )


def loopback_s3() -> AbstractContextManager[LoopbackS3]:
    """Run a server for the length of a block."""
    return serve(LoopbackS3(), Handler)


@contextmanager
def serve(state: _State, handler: type["Handler"]) -> Iterator[_State]:
    """Run a server that holds something for the length of a block."""
    bound = type("Bound", (handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; a subclass may answer more paths."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each reply waits 40 ms for the client's acknowledgement
    wbufsize = -1
    state: LoopbackS3
    fault: Fault | None = None

    def log_message(self, *_: object) -> None:
        pass

    def answers_elsewhere(self) -> bool:
        """Answer a request that is none of the bucket; whether it was."""
        return False

    def do_GET(self) -> None:
        if self.answers_elsewhere():
            return
        key, query = self.read_target()
        self.fault = self.find_fault(f"?{query.get('prefix', '')}" if query else key)
        if self.state.is_down:
            self.close_connection = True
        elif self.fault and self.fault.kind != "reset":
            self.fail(self.fault, self.state.objects.get(key, b""), self.state.etag(key))
        elif not self.path.startswith(f"/{self.state.bucket}"):
            self.reply(404, b"")
        elif "list-type" in query:
            names = ("prefix", "continuation-token", "encoding-type")
            page = self.state.listing(*(query.get(name, "") for name in names))
            self.reply(200, page.encode(), "application/xml")
        else:
            self._send_object(key)

    def find_fault(self, name: str) -> Fault | None:
        fault = self.state.faults.get(name)
        if fault is None or not fault.times:
            return None
        fault.times -= 1
        return fault

    def fail(self, fault: Fault, content: bytes, etag: str) -> None:
        body, kind = fault.body or content, fault.kind
        if kind in ("status", "body"):
            status = fault.status if kind == "status" else 200
            self.reply(status, fault.body, ETag=f'"{etag}"', **fault.headers)
            return
        self.close_connection = True
        self.send_response(200)
        self.send_header("ETag", f'"{etag}"')
        if kind == "head":
            self.flush_headers()
        else:
            length = fault.cut if kind == "length" else len(body)
            is_chunked = kind in ("chunk", "chunks")
            name = "Transfer-Encoding" if is_chunked else "Content-Length"
            self.send_header(name, "chunked" if is_chunked else str(length))
            self.end_headers()
        slowly = {"head": b"x" * 200, "chunk": b"1;" + b"x" * 200, "drip": body, "silence": b""}
        if kind in slowly:
            self._dawdle(slowly[kind])
        elif kind == "chunks":
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) + 1, body + b"x"))
        else:
            self.wfile.write(body[: fault.cut])

    def _dawdle(self, body: bytes) -> None:
        """Until the other side goes away, or for ten seconds."""
        with suppress(OSError):
            for index in range(200):
                self.wfile.flush()
                time.sleep(0.05)
                self.wfile.write(body[index : index + 1])

    def do_HEAD(self) -> None:
        self._send_object(self.read_target()[0])

    def do_PUT(self) -> None:
        key = self.read_target()[0]
        self.state.objects[key] = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(200, b"", ETag=f'"{self.state.etag(key)}"')

    def read_target(self) -> tuple[str, dict[str, str]]:
        self.state.requests.append(f"{self.command} {self.path}")
        parts = urlsplit(self.path)
        query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        return unquote(parts.path).removeprefix(f"/{self.state.bucket}").strip("/"), query

    def _send_object(self, key: str) -> None:
        state = self.state
        if key not in state.objects:
            self.reply(404, b"")
            return
        content, etag = state.objects[key], f'"{state.etag(key)}"'
        if not state.is_lax and self.headers.get("If-Match", etag) != etag:
            self.reply(412, b"")
            return
        headers = {"ETag": etag, "Last-Modified": "Mon, 01 Jul 2024 00:00:00 GMT"}
        part = content
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), int(wanted[2] or len(content) - 1)
            part = content[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
        self.reply(206 if wanted else 200, part, "application/octet-stream", **headers)

    def reply(self, status: int, body: bytes, kind: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        is_reset = self.fault is not None and self.fault.kind == "reset"
        self.wfile.write(body[: self.fault.cut] if is_reset else body)
        if is_reset:  # the connection is closed with a reset, and not in order
            self.wfile.flush()
            self.close_connection = True
            option = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
