"""Figures: a frame of the contract's tables in, a figure out. One style, in one place.

Every function takes ``title``, which states the finding, and ``footer``, which gives source,
period and n. A frame without rows gives a figure that says so. Strings in a frame may be hostile:
they are drawn as they are, never read as mathematics, and cut where they are long.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.pages.formats import number
from analysis.pages.grids import footer_for_part
from analysis.pages.style import (
    RULE,
    SOFT_INK,
    add_legend,
    new_canvas,
    set_count_axis,
    short_label,
    styled,
    thin_labels,
)
from analysis.vocabulary import STATES

#: OONI's flags are not verdicts: only "confirmed" shares a colour with a state.
FLAGS: dict[str, tuple[str, str, str]] = {
    "ok_count": ("Reachable", "#1F7A8C", ""),
    "anomaly_count": ("Anomaly", "#B7791F", "////"),
    "confirmed_count": ("Confirmed", "#8C1127", ""),
    "failure_count": ("Failed measurement", "#8A8A8A", "xxxx"),
}


@styled
def results_by_month(measurements_by_month: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Stacked bars of OONI's flags, one bar a month; a month without measurements is a gap.

    Args:
        measurements_by_month: ``month, ok_count, anomaly_count, confirmed_count,
            failure_count``; ``confirmed_count`` is empty without a fingerprint list.
    """
    frame = measurements_by_month.assign(
        month=pd.PeriodIndex(measurements_by_month["month"].astype(str), freq="M")
    ).set_index("month")
    months = pd.period_range(frame.index.min(), frame.index.max(), freq="M")
    counts = frame.reindex(months)[[c for c in FLAGS if c in frame]].apply(pd.to_numeric)
    figure, axes = new_canvas(title, footer, 3.9)
    base = np.zeros(len(months))
    for column in counts.columns[counts.notna().any()]:
        words, colour, hatch = FLAGS[column]
        heights = counts[column].fillna(0).to_numpy(dtype=float)
        axes.bar(
            range(len(months)), heights, bottom=base, width=0.78, color=colour, label=words,
            hatch=hatch, edgecolor="white", linewidth=0.4,
        )  # fmt: skip
        base += heights
    labels = [f"{m:%b}\n{m.year}" if i == 0 or m.month == 1 else f"{m:%b}"
              for i, m in enumerate(months)]  # fmt: skip
    set_count_axis(axes, "y", "Measurements")
    axes.set_xticks(range(len(months)), labels if len(months) <= 24 else thin_labels(labels))
    axes.set_xlim(-0.6, len(months) - 0.4)
    add_legend(axes, 4, 36)
    return figure


@styled
def methods_compared(
    frame: pd.DataFrame, methods: Mapping[str, str], *, title: str, footer: str
) -> Figure:
    """Which methods list the same sites: one row per combination, its methods and its sites.

    Args:
        frame: one row per site with a flag per method (``differences.compare_methods``).
        methods: column → name, in the order of the columns drawn.
    """
    keys = list(methods)
    counts = frame.groupby(keys).size().rename("sites").reset_index()
    counts = counts.sort_values(["sites", *keys], ascending=[False, *[False] * len(keys)])
    shown = counts.head(20)
    footer = footer_for_part(footer, len(shown), len(counts), "combinations")
    names = [short_label(name, 30) for name in methods.values()]
    figure, whole = new_canvas(title, footer, 1.2 + 0.08 * max(map(len, names)) + 0.27 * len(shown))
    whole.remove()
    dots, bars = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.5))
    rows, columns = np.nonzero(shown[keys].to_numpy(dtype=bool))
    empty_rows, empty_columns = np.nonzero(~shown[keys].to_numpy(dtype=bool))
    colour = STATES["blocked"].colour
    dots.plot(empty_columns, empty_rows, "o", color=RULE, markersize=5, markerfacecolor="white")
    dots.plot(columns, rows, "s", color=colour, markersize=6.4)
    dots.xaxis.tick_top()
    dots.spines[:].set_visible(False)
    dots.set_xticks(range(len(keys)), names, rotation=60, ha="left", rotation_mode="anchor")
    dots.set_xlim(-0.6, len(keys) - 0.4)
    dots.tick_params(length=0, labelleft=False)
    drawn_bars = bars.barh(range(len(shown)), shown["sites"], height=0.66, color=colour)
    bars.bar_label(drawn_bars, labels=list(map(number, shown["sites"])), padding=4, fontsize=9.5)
    bars.set_ylim(len(shown) - 0.4, -0.6)
    bars.set_xlim(0, float(shown["sites"].max()) * 1.15)
    set_count_axis(bars, "x", "Sites")
    bars.tick_params(length=0, labelleft=False)
    return figure


@styled
def thresholds_swept(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """How many pairs are listed at each value of each threshold; the published value is filled.

    Args:
        frame: ``threshold, value, is_standing, blocked_pair_count`` (``sensitivity.sweep``).
    """
    names = list(dict.fromkeys(frame["threshold"]))
    figure, axes = new_canvas(title, footer, 1.2 + 0.3 * len(names))
    colour = STATES["blocked"].colour
    for place, name in enumerate(names):
        rows = frame[frame["threshold"] == name]
        counts = rows["blocked_pair_count"]
        axes.plot([counts.min(), counts.max()], [place, place], color=colour, linewidth=1.1)
        axes.plot(counts, [place] * len(rows), "o", color=colour, markersize=5.5,
                  markerfacecolor="white", linestyle="none")  # fmt: skip
        used = rows.loc[rows["is_standing"], "blocked_pair_count"]
        axes.plot(used, [place] * len(used), "s", color=colour, markersize=6.4)
        for count, of_count in rows[~rows["blocked_pair_count"].isin(used)].groupby(
            "blocked_pair_count"
        ):
            values = ", ".join(f"{value:g}" for value in of_count["value"])
            axes.annotate(values, (count, place), xytext=(0, 5), textcoords="offset points",
                          ha="center", fontsize=8.5, color=SOFT_INK)  # fmt: skip
    axes.set_yticks(range(len(names)), [short_label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.8)
    set_count_axis(axes, "x", "Listed pairs of site and access network")
    low, high = frame["blocked_pair_count"].min(), frame["blocked_pair_count"].max()
    margin = max(0.06 * (high - low), 1.0)
    axes.set_xlim(low - margin, high + margin)
    keys = [
        Line2D([], [], marker="s", color=colour, linestyle="none", label="the published value"),
        Line2D([], [], marker="o", color=colour, linestyle="none", markerfacecolor="white",
               label="other values"),
    ]  # fmt: skip
    add_legend(axes, 2, 36, keys)
    return figure
