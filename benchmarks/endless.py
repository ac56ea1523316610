"""``python -m benchmarks.endless``: servers without measure, and what they cost whoever asks them.

Each server says or sends more than anybody could hold, and goes on until it is left alone. An
ingestion of its own asks it; what is measured is how long that takes, the most memory that the
process holds, the most that lies on the disk meanwhile, and what is said in the end.
"""

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from analysis.observations.schema import SCHEMA_VERSION
from analysis.store.shares import FORMAT, MANIFEST

ROOT = Path(__file__).resolve().parents[1]
_CC = "KH"
_FOLDER = f"raw/20240701/00/{_CC}/webconnectivity"
_KEY = f"{_FOLDER}/2024070100_{_CC}_webconnectivity.n0.0.jsonl.gz"
_BLOCK = os.urandom(1 << 20)
_DAY = ("SINCE=2024-07-01", "UNTIL=2024-07-02", "RECEIPT_MARGIN=1")

#: What a server answers: the path and the query of the request, and where to write.
Answer = Callable[[str, dict[str, str], BaseHTTPRequestHandler], None]


def _send(to: BaseHTTPRequestHandler, body: bytes, length: int | None = None) -> None:
    to.send_response(200)
    to.send_header("Content-Length", str(len(body) if length is None else length))
    to.end_headers()
    to.wfile.write(body)


def _page(items: Iterator[tuple[str, int]], token: str = "") -> bytes:
    """One page of a listing."""
    contents = "".join(f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>a</ETag></Contents>"
                       for key, size in items)  # fmt: skip
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = f"<IsTruncated>{str(bool(token)).lower()}</IsTruncated>"
    return f"<ListBucketResult>{truncated}{more}{contents}</ListBucketResult>".encode()


def _list_for_ever(key: str, token: str = "{}") -> Answer:
    """A thousand objects that no page before has named, each time."""

    def answer(path: str, query: dict[str, str], to: BaseHTTPRequestHandler) -> None:
        after = int(query.get("continuation-token", "0").rpartition("-")[2])
        names = (query.get("prefix", "") + key.format(after * 1000 + n) for n in range(1000))
        _send(to, _page(((name, 1) for name in names), token.format(after + 1)))

    return answer


def _serve(said: int, send: Callable[[BaseHTTPRequestHandler], None], count: int = 1) -> Answer:
    """Objects of a size that is said, and what comes when one is asked for."""

    def answer(path: str, query: dict[str, str], to: BaseHTTPRequestHandler) -> None:
        if "list-type" in query:
            keys = (_KEY.replace("n0", f"n{n}") for n in range(count))
            _send(to, _page((key, said) for key in keys if key.startswith(query["prefix"])))
        else:
            send(to)

    return answer


def _flood(to: BaseHTTPRequestHandler) -> None:
    """Bytes as long as anybody takes them, of which nobody has said how many there are."""
    to.send_response(200)
    to.send_header("Transfer-Encoding", "chunked")
    to.end_headers()
    while True:
        to.wfile.write(b"%x\r\n%b\r\n" % (len(_BLOCK), _BLOCK))


def _drip(to: BaseHTTPRequestHandler) -> None:
    """A byte now and then."""
    to.send_response(200)
    to.send_header("Content-Length", "1000000")
    to.end_headers()
    while True:
        to.wfile.write(b"x")
        to.wfile.flush()
        time.sleep(0.5)


def _bomb() -> bytes:
    """A line of 20 GB, packed twenty times over into 20 MB."""
    member = gzip.compress(b"x" * (1 << 30), 9)
    return member * 20


def _manifest() -> bytes:
    """That of a share whose files nobody could hold."""
    names = (f"objects-{'0' * 16}.json.zst", f"2024-07-{'0' * 16}.parquet")
    files = {name: {"size": 10**15, "sha256": "0" * 64} for name in names}
    told = {
        "format": FORMAT, "probe_cc": _CC, "since": "2024-07-01", "until": "2024-08-01",
        "source_id": "a", "schema_version": SCHEMA_VERSION, "observations_digest": "0" * 64,
        "code_version": "1", "licence": "", "attribution": "", "ledger": {}, "files": files,
    }  # fmt: skip
    return json.dumps(told).encode()


def _list_share(path: str, query: dict[str, str], to: BaseHTTPRequestHandler) -> None:
    if "list-type" in query:
        _send(to, _page(iter([(MANIFEST, len(_manifest()))])))
    elif path.endswith(MANIFEST):
        _send(to, _manifest())
    else:
        _flood(to)


def servers() -> dict[str, Answer]:
    """What each server does."""
    bomb = _bomb()
    ours, others = f"{_FOLDER}/{{}}.jsonl.gz", "other/{}"
    return {
        "lists objects of the country without end": _list_for_ever(ours),
        "lists other files without end, by long tokens": _list_for_ever(others, "t" * 4000 + "-{}"),
        "says that an object has 10^14 bytes": _serve(10**14, _flood),
        "sends more than it said, without end": _serve(1000, _flood),
        "packs a line of 20 GB into 20 MB": _serve(len(bomb), lambda to: _send(to, bomb)),
        "sends a byte each half second": _serve(1_000_000, _drip),
        "shares files of 10^15 bytes": _list_share,
        "has 60 objects of 1.9 GB": _serve(1_900_000_000, _flood, 60),
    }


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server on loopback; the address of its bucket."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query, True).items()}
            with suppress(OSError):  # whoever asked has gone
                answer(parts.path, query, self)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/archive"
    finally:
        server.shutdown()


def _bytes_in(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_blocks * 512
    return size


def _memory(process: int) -> float:
    """The most that a process has held, MB."""
    with suppress(OSError):
        told = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
        return int(told[1]) / 1024 if told else 0.0
    return 0.0


def ask(words: tuple[str, ...], patience: float) -> tuple[float, float, float, str]:
    """Seconds, MB of memory, MB of disk and last words of one ingestion."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "tmp").mkdir()
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "analysis", "ingest", f"PROBE_CC={_CC}", *words,
             f"STORE={scratch / 'store'}"],
            cwd=ROOT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=os.environ | {"TMPDIR": str(scratch / "tmp")},
        )  # fmt: skip
        memory = disk = 0.0
        while process.poll() is None and time.monotonic() - started < patience:
            memory = max(memory, _memory(process.pid))
            disk = max(disk, _bytes_in(scratch) / 1e6)
            time.sleep(0.05)
        seconds = time.monotonic() - started
        process.terminate()
        said = (process.communicate()[1].splitlines() or [""])[-1]
        return seconds, memory, disk, f"{process.returncode}: {said}"


def main(patience: float = 300.0) -> None:
    """Ask each server, and print what it costs."""
    print(f"{'s':>6} {'MB':>6} {'disk':>6}  server, and what is said")
    for name, answer in servers().items():
        with serving(answer) as address:
            seconds, memory, disk, said = ask((*_DAY, f"SOURCE={address}"), patience)
        print(f"{seconds:6.1f} {memory:6.0f} {disk:6.0f}  {name}\n{'':22}{said}", flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
