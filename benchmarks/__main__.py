"""``python -m benchmarks``: the performance figures, as ratios with medians."""

import os
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from analysis.observations.fingerprints import Fingerprints, load
from analysis.reference.reference_files import REPOSITORY
from benchmarks import ingestion, judging, page, reporting, scaling, steps
from benchmarks.generate import Size, fingerprints

_DOCS = REPOSITORY / "docs"


def main() -> None:
    """Measure, print each part when it is done, and write the page where it is asked for."""
    parts = _parts(_fingerprints())
    parser = ArgumentParser(
        prog="python -m benchmarks", description="Performance figures, as ratios."
    )
    parser.add_argument("part", nargs="*", help=f"of {', '.join(parts)}; by default all, an hour")
    parser.add_argument(
        "--page", action="store_true", help="write docs/benchmarks.md as well; of all parts"
    )
    given = parser.parse_args()
    unknown = [name for name in given.part if name not in parts]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    if given.page and given.part:
        parser.error("--page is of all parts")
    console = Console()
    results: dict[str, Any] = {}
    for name in given.part or parts:
        results[name] = parts[name]()
        (section,) = page.sections({name: results[name]})
        console.print(_table(section))
    if given.page:
        page.draw(results, _DOCS / "benchmarks.svg")
        text = page.markdown(
            page.sections(results), f"{datetime.now(UTC):%Y-%m-%d}", "benchmarks.svg"
        )
        (_DOCS / "benchmarks.md").write_text(text, encoding="utf-8")


def _parts(matched: Fingerprints) -> Mapping[str, Callable[[], Any]]:
    """What is measured, by name."""
    return {
        "ingestion": lambda: ingestion.measure(matched),
        "steps": lambda: steps.measure(matched),
        "small": lambda: ingestion.measure_small(matched),
        "memory": lambda: ingestion.peak_memory(matched),
        "scaling": lambda: scaling.measure(Size(), fingerprints=matched),
        "judging": judging.measure,
        "report": reporting.measure,
        "varied": lambda: reporting.measure(is_varied=True),
    }


def _fingerprints() -> Fingerprints:
    """OONI's list may not be shipped. What stands in for it is as long and takes as much time."""
    given = load(os.environ.get("FINGERPRINTS"))
    return fingerprints() if given.is_empty else given


def _table(section: page.Section) -> Table:
    table = Table(title=section.title, caption=section.note)
    for place, name in enumerate(section.columns):
        table.add_column(name, justify="right" if place else "left")
    for row in section.rows:
        table.add_row(*row)
    return table


if __name__ == "__main__":
    main()
