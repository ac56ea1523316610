"""``python -m benchmarks [ingestion] [report] [invented]``: performance figures, as Markdown."""

import os
from argparse import ArgumentParser
from collections.abc import Callable

from analysis.observations.fingerprints import Fingerprints, load
from benchmarks import ingestion, invented, reporting
from benchmarks.generate import fingerprints
from benchmarks.ingestion import Table


def main() -> None:
    """Measure, and print each part when it is done."""
    parser = ArgumentParser(prog="python -m benchmarks", description="Performance figures.")
    parser.add_argument("part", nargs="*", choices=[*_MEASURE, []], help="by default all")
    for part in parser.parse_args().part or _MEASURE:
        found = _MEASURE[part]()
        print(f"## {part}\n\n{_as_markdown(found)}\n", flush=True)


def _fingerprints() -> Fingerprints:
    """OONI's list may not be shipped. What stands in for it is as long and takes as much time."""
    given = load(os.environ.get("FINGERPRINTS"))
    return fingerprints() if given.is_empty else given


_MEASURE: dict[str, Callable[[], Table]] = {
    "ingestion": lambda: ingestion.measure(_fingerprints()),
    "report": reporting.measure,
    "invented": invented.measure,
}


def _as_markdown(table: Table) -> str:
    columns, rows = table
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
