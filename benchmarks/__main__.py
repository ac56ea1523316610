"""``python -m benchmarks``: the performance figures, as ratios with medians."""

import os

from rich.console import Console
from rich.table import Table

from analysis.fingerprints import Fingerprints, load
from benchmarks import ingestion, judging, scaling
from benchmarks.generate import Size, fingerprints


def main() -> None:
    """Measure and print."""
    console = Console()
    # OONI's list may not be shipped. What stands in for it is as long and takes as much time.
    matched = load(os.environ.get("FINGERPRINTS"))
    matched = fingerprints() if matched.is_empty else matched
    console.print(_of_ingestion(matched))
    console.print(_of_memory(matched))
    console.print(_of_scaling(matched))
    console.print(_of_judging())


def _of_ingestion(matched: Fingerprints) -> Table:
    figures = ingestion.measure(matched)
    table = Table(title="Ingestion with fingerprints, medians of three rounds")
    for name in ("", "by the clock", "by processor time"):
        table.add_column(name, justify="right")
    for name, key in (
        ("speed against unpack + decode alone, one process", "share_of_floor"),
        ("speed of two processes against one", "speedup"),
        ("the same of unpack + decode alone: this machine's ceiling", "ceiling"),
    ):
        table.add_row(name, f"{figures[key].wall:.2f}", f"{figures[key].cpu:.2f}")
    for name, key in (
        ("measurements/s", "measurements_per_second"),
        ("MB of JSON/s", "mb_per_second"),
    ):
        table.add_row(f"{name}, one process", "", f"{figures[key]:,.0f}")
    return table


def _of_memory(matched: Fingerprints) -> Table:
    table = Table(title="The most memory that a worker holds")
    table.add_column("archive")
    table.add_column("MB", justify="right")
    for name, megabytes in ingestion.peak_memory(matched).items():
        table.add_row(name, f"{megabytes:,.0f}")
    return table


def _of_scaling(matched: Fingerprints) -> Table:
    figures = scaling.measure(Size(), fingerprints=matched)
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
