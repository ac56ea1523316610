"""Loose files of measurements → a folder in the key layout of OONI's archive, to be a SOURCE.

The older layout is written, which has a folder a day: a loose measurement does not say at which
hour OONI received it, and it is taken as received on its own day.
"""

import gzip
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from analysis.errors import ParameterError
from analysis.sources.archive_files import FOLDERS
from analysis.store.lines import LineReader, read_lines


class _Header(msgspec.Struct):
    probe_cc: str
    test_name: str
    measurement_start_time: str


class _HeaderReader(LineReader):
    """Reads of each line where it belongs: folder of the test, day, and the line as it came."""

    def read(self, line: bytes, number: int) -> tuple[Any, ...] | str:
        if not line.strip():
            return ""
        try:
            header = msgspec.json.decode(line, type=_Header)
            day = date.fromisoformat(header.measurement_start_time[:10])
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            return "no measurement"
        folder = header.test_name.replace("_", "")
        if folder not in FOLDERS:
            return "a test that is not read"
        return (header.probe_cc, folder, f"{day:%Y%m%d}", line.strip().replace(b"\n", b" "))


def pack(files: Sequence[Path], probe_cc: str, out: Path) -> Counter[str]:
    """Copy a country's measurements from loose files into a new folder.

    Args:
        files: ``.json``, ``.jsonl`` or ``.jsonl.gz``; a JSON array is read as its elements.
        probe_cc: the country; the measurements of others are left out.
        out: gets ``jsonl/<test>/<CC>/<day>/00/<number of the file>.jsonl.gz``.

    Returns:
        How many lines were packed, and how many not, by reason.

    Raises:
        ParameterError: ``out`` holds something, or there is no measurement of the country.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ParameterError("OUT", out, "must be new or empty")
    counts: Counter[str] = Counter()
    for number, file in enumerate(files, 1):
        lines: defaultdict[Path, list[bytes]] = defaultdict(list)
        for _, result in read_lines(str(file), _HeaderReader()):
            if isinstance(result, str) or result[0] != probe_cc:
                counts[result if isinstance(result, str) else "another country"] += 1
                continue
            country, folder, day, line = result
            key = f"jsonl/{folder}/{country}/{day}/00/{number:06}.jsonl.gz"
            lines[out / key].append(line)
            counts["packed"] += 1
        for path, content in lines.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(b"\n".join(content) + b"\n", mtime=0))
    if not counts["packed"]:
        said = ", ".join(f"{count} of {reason}" for reason, count in counts.items()) or "no line"
        raise ParameterError(
            "FILES", files[0], f"no measurement of {probe_cc} in the files: {said}"
        )
    return counts
