"""Small archives of web_connectivity in OONI's layout, and what is made of them."""

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.observations.fingerprints import Fingerprints
from analysis.period import Period
from analysis.store.database import Observations
from analysis.store.ingestion import Request, ingest
from analysis.store.store import Collection
from analysis.study.parameters import StudyParameters
from analysis.study.study import Study, open_study

CC = "QQ"


def line_of(number: int = 0, **changes: Any) -> bytes:
    """One measurement, of a report and with a result of its own."""
    return json.dumps(
        {
            "test_name": "web_connectivity",
            "report_id": f"r{number}",
            "input": "https://news.example/",
            "measurement_start_time": "2024-07-01 00:00:00",
            "probe_cc": CC,
            "probe_asn": "AS64500",
            "test_keys": {"blocking": False, "accessible": True, "x_dns_runtime": number},
            **changes,
        }
    ).encode()


def packed(lines: Iterable[bytes]) -> bytes:
    """An object of these lines, the same bytes every time."""
    return gzip.compress(b"\n".join(lines) + b"\n", mtime=0)


def object_key(
    hour: int = 0,
    name: str = "n0.0",
    day: str = "20240701",
    cc: str = CC,
    test: str = "webconnectivity",
) -> str:
    """The key of an object of that hour."""
    return f"raw/{day}/{hour:02}/{cc}/{test}/{day}{hour:02}_{cc}_{test}.{name}.jsonl.gz"


def put(folder: Path, name: str, content: bytes | Iterable[bytes]) -> Path:
    """Write an object; lines are packed, bytes are taken as they are."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else packed(content))
    return path


def put_lines(folder: Path, lines: Iterable[bytes], cc: str = CC, name: str = "n0.0") -> None:
    """Write lines into objects of the hours in which they say that they were measured."""
    by_hour: dict[str, list[bytes]] = {}
    hour = "2024070100"
    for line in lines:
        if found := re.search(rb'"measurement_start_time": "([0-9: -]{13})', line):
            hour = re.sub("[^0-9]", "", found[1].decode())
        by_hour.setdefault(hour, []).append(line)
    for hour, received in by_hour.items():
        put(folder, object_key(int(hour[8:]), name, hour[:8], cc), received)


def read_into(store: object, source: object, probe_cc: str = CC, **options: Any) -> Collection:
    """Read a source into a store, in this process; ``fingerprints`` are none by default."""
    known = options.pop("fingerprints", Fingerprints())
    return ingest(Request(str(source), str(store), probe_cc, **{"jobs": 1, **options}), known)


def ledger_of(collection: Collection, period: Period, probe_cc: str = CC) -> dict[str, int]:
    """Lines by reason, without those that do not occur."""
    with Observations(collection, probe_cc, period) as observations:
        frame = observations.ledger()
    counts = dict(zip(frame["reason"], frame["line_count"], strict=True))
    return {reason: int(count) for reason, count in counts.items() if count}


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV as it is: every cell text."""
    return pd.read_csv(path, dtype="str", keep_default_na=False, na_filter=False)


def contents(folder: Path | str, pattern: str = "*") -> dict[str, bytes]:
    """The files below a folder, by their place in it."""
    files = (path for path in sorted(Path(folder).rglob(pattern)) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@contextmanager
def three_measurements(folder: Path) -> Iterator[Study]:
    """A study of three measurements on two networks."""
    lines = [
        line_of(n, measurement_start_time=f"2024-01-1{n} 10:00:00", probe_asn=asn)
        for n, asn in enumerate(("AS64496", "AS64496", "AS64497"))
    ]
    put_lines(folder / "archive", lines)
    parameters = StudyParameters(
        probe_cc="QQ",
        since="2024-01-01",
        until="2024-02-01",
        source=str(folder / "archive"),
        store=str(folder / "store"),
        tables=str(folder / "tables"),
    )
    study = open_study(parameters, jobs=1)
    with closing(study.observations):
        yield study
