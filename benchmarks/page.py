"""What the benchmarks found, as tables for the terminal and as ``docs/benchmarks.md``.

Absolute figures are those of one machine on one day; the ratios are what carries over.
"""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.pages.style import INK, STYLE, WIDTH

Results = Mapping[str, Any]
_TEAL, _RUST = "#1F7A8C", "#A4471C"


@dataclass(frozen=True)
class Section:
    """One table: what was measured, and how to read it."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def sections(results: Results) -> list[Section]:
    """The tables of what was measured; a part that was not run has none."""
    makers: dict[str, Callable[[Any], Section]] = {
        "ingestion": _of_ingestion,
        "steps": _of_steps,
        "small": _of_small_objects,
        "memory": _of_memory,
        "scaling": _of_scaling,
        "judging": _of_judging,
        "report": _of_report,
        "varied": _of_varied_report,
    }
    return [make(results[name]) for name, make in makers.items() if name in results]


def _of_ingestion(found: Results) -> Section:
    rows = [
        (name, f"{found[key].wall:.2f}", f"{found[key].cpu:.2f}", aim)
        for name, key, aim in (
            ("speed against unpack + decode a dozen fields, one process", "share_of_floor", "0.70"),
            ("speed against unpack + decode what verdicts need", "share_of_fields", ""),
            ("speed of two processes against one", "speedup", "1.70"),
            ("the same of unpack + decode: this machine's ceiling", "ceiling", ""),
        )
    ]
    rows += [
        (f"{name}, one process", "", f"{found[key]:,.0f}", "")
        for name, key in (
            ("measurements/s", "measurements_per_second"),
            ("MB of JSON/s", "mb_per_second"),
        )
    ]
    note = (
        "With fingerprints; medians of rounds side by side. The floor unpacks with isal and "
        "decodes a dozen fields with msgspec into one reused buffer; it judges and writes nothing. "
        "Where a machine does other work too, only the ratios of processor time say something."
    )
    columns = ("figure", "by the clock", "by processor time", "aim")
    return Section("Ingestion", note, columns, rows)


def _of_steps(found: Mapping[str, Mapping[str, float]]) -> Section:
    rows = [
        (name, f"{step['microseconds']:,.0f}", f"{step['share']:.0%}")
        for name, step in found.items()
    ]
    note = (
        "One process, processor time a measurement, the least of nine rounds; each step is what "
        "it adds to those before it. Unpacking and decoding are libraries in C that leave nothing "
        "to gain: most of decoding is walking over pages and certificates that nobody reads. What "
        "lies between reading and the aim is Python that walks over the lookups, connections and "
        "handshakes of each measurement, and some eighty columns written for each object of a "
        "hundred rows. The same by function: `python -m cProfile -s tottime -m benchmarks.steps`."
    )
    return Section("What a measurement costs", note, ("step", "µs", "share"), rows)


def _of_small_objects(found: Results) -> Section:
    counts, archive, store = found["counts"], found["archive"], found["store"]
    steps = {
        "first": "read with two processes",
        "again": "look for what is new",
        "opened": "gather the rows of the country in one table",
    }
    rows = [(told, *(f"{found[name][kind]:,.1f}" for kind in ("wall", "cpu")))
            for name, told in steps.items()]  # fmt: skip
    note = (
        f"{counts['objects']:,} objects with {counts['measurements']:,} measurements, as a small "
        f"country has them: {archive['mb']:,.0f} MB of the archive become {store['files']:,} files "
        f"of {store['mb']:,.0f} MB. Most of a small file is the description of its columns."
    )
    return Section("Small objects", note, ("step", "s", "s of processors"), rows)


def _of_memory(found: Results) -> Section:
    rows = [(name, f"{megabytes:,.0f}") for name, megabytes in found.items()]
    note = (
        "The most that a worker of two holds: of an archive, of one of eight times as many "
        "objects, and of one whose pages are of 850 KB, with a line of 60 MB. The aim is 300."
    )
    return Section("Memory of a worker", note, ("archive", "MB"), rows)


def _of_scaling(found: Results) -> Section:
    rows = [
        (
            name,
            *(f"{found[f'{key}_{what}_per_second']:,.0f}" for what in ("objects", "measurements")),
        )
        for name, key in (("two local processes", "pool"), ("two Dask workers", "dask"))
    ]
    note = (
        "The same objects into a folder, workers already running, medians: Dask reads at "
        f"{found['dask_against_pool']:.2f} times the pool's speed."
    )
    return Section("Pool and Dask", note, ("engine", "objects/s", "measurements/s"), rows)


def _of_judging(found: Sequence[Results]) -> Section:
    rows = [
        (
            f"{size['measurement_count']:,}" + (", varied" if size["is_varied"] else ""),
            f"{size['pair_count']:,}",
            f"{size['group_by_seconds']:.2f}",
            f"{size['query_seconds']:.2f}",
            f"{size['query_ratio']:.1f}",
            f"{size['seconds']:.1f}",
            f"{size['ratio']:.0f}",
            f"{size['peak_mb']:,.0f}",
        )
        for size in found
    ]
    note = (
        "Seconds of processors, of a study's rows, two threads, each round in a process of its "
        "own; other work on the machine moves them little. Varied rows have as many addresses, "
        "connections and pages as real ones. The group-by "
        "counts measurements and sessions by site and network; the counts are all those of "
        "notebooks 1 and 3; the verdicts come with their intervals. Medians. The aims are "
        "20 times a group-by at each size, 1,000 MB at 2.4 million and 4,000 MB at 24 million."
    )
    columns = ("measurements", "pairs", "group-by, s", "counts, s", "times a group-by",
               "verdicts, s", "times a group-by", "MB")  # fmt: skip
    return Section("Queries and verdicts", note, columns, rows)


def _of_report(found: Results) -> Section:
    runs = {"first": "anew", "again": "again", "changed": "with one number changed"}
    names = sorted(found["first"]["notebooks"])
    rows = [
        (
            told,
            f"{found[run]['seconds']:,.0f}",
            f"{found[run]['cpu']:,.0f}",
            f"{found[run]['peak_mb']:,.0f}",
            f"{found[run]['together_mb']:,.0f}",
            *(f"{found[run]['notebooks'].get(name, 0):,}" for name in names),
        )
        for run, told in runs.items()
    ]
    largest = max(found["pages"].values()) / 1e6
    note = (
        f"{found['measurement_count']:,} measurements from another store, two notebooks at a time. "
        "The first run imports them into one file and makes every stage; the others open what it "
        "has left in STORE/stages, the sweep included, and make again what the number acts on. "
        "MB are those of the largest process, and of all together, looked at in runs of their own; "
        "the notebooks' seconds are by "
        "the clock, and those of 7-sensitivity the sweep's, which waits for the stages and runs "
        f"beside all others. The largest of the notebooks' pages has {largest:.1f} MB. The aims "
        "are 90 s, 30 s with one number changed, and 1,500 MB together."
    )
    columns = ("a report", "s", "s of processors", "MB", "together", *names)
    return Section("A report from Parquet", note, columns, rows)


def _of_varied_report(found: Results) -> Section:
    note = "The same, of as many measurements that vary as real ones do."
    return replace(_of_report(found), title="A report of varied rows", note=note)


def markdown(found: Sequence[Section], day: str, figure: str) -> str:
    """The page of documentation."""
    parts = [
        "# Benchmarks\n\n"
        f"Written by `python -m benchmarks --page` on {day}: {_machine()}. Absolute figures are "
        "this machine's, and other work on it moves them by a quarter; the ratios are what carries "
        "over, and what the aims are set for.\n",
        f"![Ratios against their aims, and time by number of measurements]({figure})\n",
    ]
    for section in found:
        table = [section.columns, tuple("---" for _ in section.columns), *section.rows]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in table)
        parts.append(f"## {section.title}\n\n{section.note}\n\n{lines}\n")
    return "\n".join(parts)


def _machine() -> str:
    names = ("duckdb", "pyarrow", "msgspec", "isal", "pandas")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{os.cpu_count()} cores of {_processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def draw(results: Results, path: Path) -> None:
    """Ratios against their aims, and time by number of measurements."""
    with style.context(STYLE):
        figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=[1, 2])
        _draw_ratios(above, results)
        _draw_times(below, [size for size in results["judging"] if not size["is_varied"]])
        figure.savefig(path, metadata={"Date": None})


def _draw_ratios(axes: Axes, results: Results) -> None:
    found = results["ingestion"]
    bars = [
        ("one process, share of the floor", found["share_of_floor"].cpu, 0.7),
        ("two processes, times one", found["speedup"].wall, 1.7),
        ("the floor on two, times one", found["ceiling"].wall, None),
    ]
    for place, (_, value, aim) in enumerate(reversed(bars)):
        axes.barh(place, value, height=0.55, color=_TEAL)
        axes.text(0.02, place, f"{value:.2f}", va="center", color="white")
        if aim:
            axes.plot([aim, aim], [place - 0.4, place + 0.4], color=_RUST, linewidth=2.5)
            axes.text(aim, place + 0.42, f"aim {aim}", ha="center", va="bottom", fontsize=8.5)
    axes.set_yticks(range(len(bars)), [label for label, _, _ in reversed(bars)])
    axes.set_xlim(0, 2.2)
    axes.set_title("Ingestion against its aims", loc="left")


def _draw_times(axes: Axes, sizes: Sequence[Results]) -> None:
    counts = [size["measurement_count"] for size in sizes]
    lines = {"verdicts with intervals": ("seconds", "o", "-"),
             "all counts": ("query_seconds", "s", "--"),
             "one group-by": ("group_by_seconds", "^", ":")}  # fmt: skip
    for label, (key, marker, line) in lines.items():
        values = [size[key] for size in sizes]
        axes.plot(counts, values, marker=marker, linestyle=line, color=INK, linewidth=1.4)
        axes.annotate(label, (counts[-1], values[-1]), xytext=(8, 0), va="center",
                      textcoords="offset points")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(counts[0] / 1.6, counts[-1] * 12)
    axes.set_xticks(counts, [f"{count / 1e6:.2g} million" for count in counts])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
    axes.set_ylabel("seconds of processors")
    axes.set_xlabel("measurements")
    axes.set_title("From Parquet to answers", loc="left")
