"""``python -m benchmarks``: the performance figures, as ratios with medians.

``--page`` writes them into docs/benchmarks.md as well.
"""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from analysis.observations.fingerprints import Fingerprints, load
from analysis.reference.files import REPOSITORY
from benchmarks import ingestion, judging, page, reporting, scaling, steps
from benchmarks.generate import Size, fingerprints

_DOCS = REPOSITORY / "docs"


def main() -> None:
    """Measure, print each part when it is done, and write the page where it is asked for."""
    console = Console()
    results: dict[str, Any] = {}
    for name, found in _measured():
        results[name] = found
        (section,) = page.sections({name: found})
        console.print(_table(section))
    if "--page" in sys.argv[1:]:
        page.draw(results, _DOCS / "benchmarks.svg")
        text = page.markdown(
            page.sections(results), f"{datetime.now(UTC):%Y-%m-%d}", "benchmarks.svg"
        )
        (_DOCS / "benchmarks.md").write_text(text, encoding="utf-8")


def _measured() -> Iterator[tuple[str, Any]]:
    matched = _fingerprints()
    yield "ingestion", ingestion.measure(matched)
    yield "steps", steps.measure(matched)
    yield "small", ingestion.measure_small(matched)
    yield "memory", ingestion.peak_memory(matched)
    yield "scaling", scaling.measure(Size(), fingerprints=matched)
    yield "judging", judging.measure()
    yield "report", reporting.measure()
    yield "varied", reporting.measure(is_varied=True)


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
