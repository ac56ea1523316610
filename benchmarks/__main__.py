"""``python -m benchmarks``: the performance figures, as ratios with medians."""

import os

from rich.console import Console
from rich.table import Table

from analysis.fingerprints import load
from benchmarks.generate import Size
from benchmarks.ingestion import measure


def main() -> None:
    """Measure and print."""
    fingerprints = load(os.environ.get("FINGERPRINTS"))
    figures = measure(Size(objects=24, measurements=250), fingerprints=fingerprints)
    table = Table(title="Ingestion, medians of five rounds")
    table.add_column("figure")
    table.add_column("value", justify="right")
    rows = {
        "speed against unpack + decode alone, one process": f"{figures['share_of_floor']:.2f}",
        "speed of two processes against one": f"{figures['speedup_of_two']:.2f}",
        "measurements/s, one process": f"{figures['measurements_per_second']:,.0f}",
        "MB of JSON/s, one process": f"{figures['mb_per_second']:,.0f}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)


if __name__ == "__main__":
    main()
