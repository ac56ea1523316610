"""The report of the fictional year with thousands of names that somebody made up.

Anybody can upload measurements of networks, sites and resolvers that do not exist. What is invented
may take the time of as many other measurements, and no room on the pages.
"""

import json
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from analysis.worlds.archive import compress
from benchmarks.drawing import Archive, Part, fictional_year, read_lines
from benchmarks.ingestion import Table
from benchmarks.reporting import publish

#: Invented names of each sort, and the field of a measurement that has them.
INVENTED = {"networks": 1_000, "sites": 30_000, "resolvers": 5_000}
_KEY = "raw/20240630/05/QQ/webconnectivity/2024063005_QQ_webconnectivity.n0.9.jsonl.gz"


def measure() -> Table:
    """Reports without, with each sort of invented names, and with all of them."""
    year, rows = fictional_year(), []
    for kinds in ((), *((kind,) for kind in INVENTED), tuple(INVENTED)):
        with tempfile.TemporaryDirectory() as scratch:
            source, out = Path(scratch) / "archive", Path(scratch) / "report"
            _link(year, source)
            if kinds:
                lines = [line for kind in kinds for line in _invent(year, kind)]
                path = source / _KEY
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(compress(lines))
            costs = publish(_arguments(year, source, Path(scratch)))
            sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
            what = ", ".join(f"{INVENTED[kind]:,} {kind}" for kind in kinds) or "none"
            rows.append((what, *costs, str(len(sizes)), f"{sum(sizes) / 1e6:.0f}"))
    columns = ("invented", "s", "s of processors", "MB of all processes", "files", "MB published")
    return columns, rows


def _link(year: Archive, source: Path) -> None:
    for paths in year.objects().values():
        for path in paths:
            place = source / path.relative_to(year.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())


def _arguments(year: Archive, source: Path, scratch: Path) -> list[str]:
    days = sorted(year.objects())
    part = Part(year, days[0].replace(month=1, day=1), days[-1], tuple(days))
    return [word for word in part.arguments(source, scratch) if not word.startswith("JOBS")]


def _invent(year: Archive, kind: str) -> Iterator[bytes]:
    """Measurements that failed, each under a name of its own, a hundred sites a run."""
    failed = cycle(_read_failed(year))
    for number in range(INVENTED[kind]):
        run = number // 100 if kind == "sites" else number
        start = f"2024-06-{run % 28 + 1:02} {run // 28 % 24:02}:{run % 60:02}:00"
        own = {
            "networks": {
                "probe_asn": f"AS{70_000 + number}",
                "probe_network_name": f"Invented Telecom {number}",
            },
            "sites": {"input": f"https://invented{number}.example/"},
            "resolvers": {"resolver_asn": f"AS{80_000 + number}"},
        }
        line = {
            **next(failed),
            **own[kind],
            "report_id": f"invented-{kind}-{number}",
            "measurement_start_time": start,
            "test_start_time": start,
        }
        yield json.dumps(line).encode()


def _read_failed(year: Archive) -> list[dict[str, Any]]:
    """Measurements of the first days of the year that OONI flags."""
    paths = [path for day in sorted(year.objects())[:20] for path in year.objects()[day]]
    lines = (line for path in paths for line in read_lines(path) if b'"blocking":"' in line)
    return [json.loads(line) for line in lines if b"web_connectivity" in line]
