"""``python -m benchmarks``: the performance figures, as ratios with medians."""

import os

from rich.console import Console
from rich.table import Table

from analysis.fingerprints import load
from benchmarks import ingestion, judging, scaling
from benchmarks.generate import Size


def main() -> None:
    """Measure and print."""
    console = Console()
    console.print(_of_ingestion())
    console.print(_of_scaling())
    console.print(_of_judging())


def _of_ingestion() -> Table:
    fingerprints = load(os.environ.get("FINGERPRINTS"))
    figures = ingestion.measure(Size(objects=24, measurements=250), fingerprints=fingerprints)
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
    return table


def _of_scaling() -> Table:
    fingerprints = load(os.environ.get("FINGERPRINTS"))
    figures = scaling.measure(Size(objects=24, measurements=250), fingerprints=fingerprints)
    table = Table(title="Two Dask workers against a pool of two processes, medians of five rounds")
    for name in ("", "objects/s", "measurements/s"):
        table.add_column(name, justify="right")
    for name in ("pool", "dask"):
        rates = (figures[f"{name}_{what}_per_second"] for what in ("objects", "measurements"))
        table.add_row(name, *(f"{rate:,.0f}" for rate in rates))
    table.add_row("dask / pool", f"{figures['dask_against_pool']:.2f}", "")
    return table


def _of_judging() -> Table:
    title = "Verdicts and intervals from Parquet, two threads, against one group-by"
    table = Table(title=title)
    for name in ("measurements", "pairs", "times a group-by", "seconds", "group-by, s", "peak MB"):
        table.add_column(name, justify="right")
    for found in judging.measure():
        table.add_row(
            f"{found['measurement_count']:,}",
            f"{found['pair_count']:,}",
            f"{found['ratio']:.0f}",
            f"{found['seconds']:.1f}",
            f"{found['group_by_seconds']:.2f}",
            f"{found['peak_mb']:,.0f}",
        )
    return table


if __name__ == "__main__":
    main()
