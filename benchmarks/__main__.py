"""``python -m benchmarks [ingestion] [report]``: performance figures, as tables of Markdown."""

import os
from argparse import ArgumentParser

from analysis.observations.fingerprints import Fingerprints, load
from benchmarks import ingestion, reporting
from benchmarks.generate import fingerprints
from benchmarks.ingestion import Table

_PARTS = ("ingestion", "report")


def main() -> None:
    """Measure, and print each part when it is done."""
    parser = ArgumentParser(prog="python -m benchmarks", description="Performance figures.")
    parser.add_argument("part", nargs="*", choices=[*_PARTS, []], help="by default all")
    for part in parser.parse_args().part or _PARTS:
        found = ingestion.measure(_fingerprints()) if part == "ingestion" else reporting.measure()
        print(f"## {part}\n\n{_as_markdown(found)}\n", flush=True)


def _fingerprints() -> Fingerprints:
    """OONI's list may not be shipped. What stands in for it is as long and takes as much time."""
    given = load(os.environ.get("FINGERPRINTS"))
    return fingerprints() if given.is_empty else given


def _as_markdown(table: Table) -> str:
    columns, rows = table
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
