"""The least cost of reading an archive: unpack it and decode some fields."""

from pathlib import Path

import msgspec
from isal import igzip

_BUFFER = 1 << 20


class _Response(msgspec.Struct, gc=False):
    code: int | None = None


class _Exchange(msgspec.Struct, gc=False):
    failure: str | None = None
    response: _Response | None = None


class _TestKeys(msgspec.Struct, gc=False):
    blocking: str | bool | None = None
    accessible: bool | None = None
    dns_experiment_failure: str | None = None
    requests: list[_Exchange] | None = None


class _Measurement(msgspec.Struct, gc=False):
    report_id: str
    input: str
    measurement_start_time: str
    probe_cc: str
    probe_asn: str
    resolver_asn: str
    software_version: str
    test_keys: _TestKeys


_decode = msgspec.json.Decoder(_Measurement).decode


def read_folder(folder: Path) -> int:
    """Read every object of an archive on one core and return the number of measurements."""
    buffer = bytearray(_BUFFER)
    return sum(_read(path, buffer) for path in sorted(folder.rglob("*.jsonl.gz")))


def _read(path: Path, buffer: bytearray) -> int:
    start = end = count = 0
    with igzip.IGzipFile(path, "rb") as stream:  # type: ignore[no-untyped-call]
        while read := stream.readinto(memoryview(buffer)[end:]):
            end += read
            view = memoryview(buffer)
            while (newline := buffer.find(b"\n", start, end)) >= 0:
                _decode(view[start:newline])
                start, count = newline + 1, count + 1
            buffer[: end - start] = buffer[start:end]
            start, end = 0, end - start
            if end == len(buffer):
                view.release()
                buffer.extend(bytes(_BUFFER))
    return count
