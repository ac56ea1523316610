"""A real S3 server on loopback: the gateway of JuiceFS, which is MinIO's.

It checks signatures, takes uploads in parts and forgets those that nobody finished, and it is
none of the workbook's own. ``tools/s3-server.txt`` says which one, and ``make test`` installs it.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyarrow import fs

#: What a client's environment must hold; nothing else gives the keys away.
KEYS = {
    "AWS_ACCESS_KEY_ID": "workbook",
    "AWS_SECRET_ACCESS_KEY": "secret-of-loopback",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
}
_BUCKET = "shared"
_OPTIONS = (
    "--no-usage-report", "--no-bgjob", "--no-banner", "--backup-meta=0", "--cache-size=0",
    "--attr-cache=0", "--dir-entry-cache=0", "--consul=", "--metrics=127.0.0.1:0",
    "--multi-buckets", "--keep-etag",
)  # fmt: skip


@dataclass(frozen=True)
class RealS3:
    """A running server with one bucket."""

    port: int
    process: subprocess.Popen[bytes]

    def url(self, prefix: str) -> str:
        """An ``s3://`` URL in the bucket."""
        return f"s3://{_BUCKET}/{prefix}?scheme=http&endpoint_override=127.0.0.1:{self.port}"

    def contents(self, prefix: str) -> dict[str, bytes]:
        """The objects below a prefix."""
        place = fs.FileSystem.from_uri(self.url(""))[0]
        selector = fs.FileSelector(f"{_BUCKET}/{prefix}", allow_not_found=True, recursive=True)
        start = len(f"{_BUCKET}/{prefix}/")
        return {
            info.path[start:]: place.open_input_stream(info.path, compression=None).read()
            for info in place.get_file_info(selector)
            if info.type == fs.FileType.File
        }

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The server takes no byte for the length of a block."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def _program() -> str:
    beside = Path(sys.executable).parent / "juicefs"
    program = str(beside) if beside.exists() else shutil.which("juicefs")
    if not program:
        missing = "no S3 server on this machine: tools/s3-server.txt could not be installed"
        if os.environ.get("WORKBOOK_REQUIRE_S3") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return program


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def real_s3(folder: Path) -> Iterator[RealS3]:
    """Run a server that keeps its objects in a folder, with an empty bucket.

    The caller's environment must hold ``KEYS``.
    """
    program, port = _program(), _free_port()
    database = f"sqlite3://{folder / 'names.db'}"
    secrets = {"MINIO_ROOT_USER": KEYS["AWS_ACCESS_KEY_ID"],
               "MINIO_ROOT_PASSWORD": KEYS["AWS_SECRET_ACCESS_KEY"]}  # fmt: skip
    log = (folder / "server.log").open("wb")
    quiet = {"env": {**os.environ, **secrets, "HOME": str(folder)}, "cwd": folder, "stdout": log,
             "stderr": log}  # fmt: skip
    keep = ["--storage=file", f"--bucket={folder / 'blocks'}/", "--trash-days=0"]
    subprocess.run([program, "format", *keep, database, "store"], check=True, **quiet)
    places = [f"--cache-dir={folder / 'cache'}", f"--log={folder / 'gateway.log'}"]
    serve = ["--no-agent", "gateway", *_OPTIONS, *places, database, f"127.0.0.1:{port}"]
    with subprocess.Popen([program, *serve], **quiet) as process:
        try:
            _await(port, process, folder)
            bucket = f"{RealS3(port, process).url('')}&allow_bucket_creation=true"
            fs.FileSystem.from_uri(bucket)[0].create_dir(_BUCKET)
            yield RealS3(port, process)
        finally:
            process.kill()


def _await(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.05)
    raise AssertionError("the S3 server does not start")
