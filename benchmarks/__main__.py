"""``python -m benchmarks [ingestion] [report] [invented]``: performance figures, as Markdown."""

import os
from argparse import ArgumentParser
from collections.abc import Callable

from analysis.observations.fingerprints import Fingerprints, load
from benchmarks import ingestion, invented, reporting
from benchmarks.generate import fingerprints
from benchmarks.ingestion import Table


def main() -> None:
    """Measure and print one part after the other."""
    parser = ArgumentParser(prog="python -m benchmarks", description="Performance figures.")
    parser.add_argument("part", nargs="*", choices=[*_MEASURE, []], help="by default all")
    for part in parser.parse_args().part or _MEASURE:
        table = _MEASURE[part]()
        print(f"## {part}\n\n{_as_markdown(table)}\n", flush=True)


def _fingerprints() -> Fingerprints:
    """Return the given list, else a synthetic one that takes as much time as OONI's."""
    marks = load(os.environ.get("FINGERPRINTS"))
    return fingerprints() if marks.is_empty else marks


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
