"""Costs of a report on the fictional year with thousands of invented names.

Anybody can upload measurements of networks, sites and resolvers that do not exist. They may cost as
much time as other measurements, but must not fill the pages.
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

#: Kind of name → number of invented names.
INVENTED = {"networks": 1_000, "sites": 30_000, "resolvers": 5_000}
_KEY = "raw/20240630/05/QQ/webconnectivity/2024063005_QQ_webconnectivity.n0.9.jsonl.gz"


def measure() -> Table:
    """Make reports without invented names, with each kind of them, and with all."""
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
            words = ", ".join(f"{INVENTED[kind]:,} {kind}" for kind in kinds) or "none"
            rows.append((words, *costs, str(len(sizes)), f"{sum(sizes) / 1e6:.0f}"))
    columns = ("invented", "s", "s of processors", "MB of all processes", "files", "MB published")
    return columns, rows


def _link(year: Archive, source: Path) -> None:
    for paths in year.objects().values():
        for path in paths:
            link = source / path.relative_to(year.folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())


def _arguments(year: Archive, source: Path, scratch: Path) -> list[str]:
    days = sorted(year.objects())
    part = Part(year, days[0].replace(month=1, day=1), days[-1], tuple(days))
    return [word for word in part.arguments(source, scratch) if not word.startswith("JOBS")]


def _invent(year: Archive, kind: str) -> Iterator[bytes]:
    """Yield failed measurements, each with a name of its own, a hundred sites in a run."""
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
    """Return flagged measurements of the first days of the year."""
    paths = [path for day in sorted(year.objects())[:20] for path in year.objects()[day]]
    lines = (line for path in paths for line in read_lines(path) if b'"blocking":"' in line)
    return [json.loads(line) for line in lines if b"web_connectivity" in line]
