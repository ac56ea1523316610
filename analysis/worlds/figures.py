"""Figures of the validation page, in the style of the others."""

from itertools import cycle

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.pages.style import SOFT_INK, add_legend, new_canvas, styled
from analysis.worlds.measures import FALSE_SITE_WEIGHT

#: What is drawn of each measure: colour on white at least 3:1, and a shape of its own.
_COLOURS, _SHAPES = ("#1F7A8C", "#8C1127", "#B7791F"), ("o", "s", "D")


@styled
def shares_by_stratum(
    frame: pd.DataFrame, *, title: str, footer: str, axis: str = "Blocked sessions"
) -> Figure:
    """Shares with their bounds, one row a stratum, one mark a measure.

    Args:
        frame: ``measure, stratum, success_count, trial_count, share, lower_share,
            upper_share``;
            the strata are drawn from the top in the order in which they stand.
        axis: what the strata are.
    """
    shown = frame[frame["trial_count"] > 0]
    names = shown["measure"].str.capitalize()
    measures, strata = list(dict.fromkeys(names)), list(dict.fromkeys(shown["stratum"]))
    offsets = {name: 0.18 * (n - (len(measures) - 1) / 2) for n, name in enumerate(measures)}
    colours = dict(zip(measures, cycle(_COLOURS), strict=False))
    shapes = dict(zip(measures, cycle(_SHAPES), strict=False))
    heights = shown["stratum"].map(strata.index).astype(float) + names.map(offsets)
    rows = shown.assign(name=names, height=heights)
    figure, axes = new_canvas(title, footer, 0.55 * len(strata) + 1.3)
    axes.hlines(rows["height"], rows["lower_share"], rows["upper_share"],
                color=names.map(colours), linewidth=1.6)  # fmt: skip
    seaborn.scatterplot(
        rows, x="share", y="height", hue="name", style="name", palette=colours, markers=shapes,
        s=36, linewidth=0, zorder=3, ax=axes,
    )  # fmt: skip
    _write_counts(axes, rows)
    axes.set_yticks(range(len(strata)), strata)
    axes.set_ylim(len(strata) - 0.5, -0.5)
    axes.set_xlim(0, 1.01)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set(xlabel="", ylabel=axis)
    add_legend(axes, len(measures), 30)
    return figure


@styled
def chances_against_truth(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """How often pairs that nobody blocks had a chance so small, beside how often they may.

    Args:
        frame: ``stratum`` (the chance), ``success_count, trial_count, share, lower_share,
            upper_share``, from the largest chance down.
    """
    levels = frame["stratum"].astype("float64")
    rows = frame.assign(height=range(len(frame)))
    figure, axes = new_canvas(title, footer, 0.55 * len(frame) + 1.3)
    axes.hlines(rows["height"], rows["lower_share"].clip(lower=1e-5), rows["upper_share"],
                color=_COLOURS[0], linewidth=1.6)  # fmt: skip
    seen = rows["share"].where(rows["share"] > 0)
    axes.plot(seen, rows["height"], "o", color=_COLOURS[0], label="Seen, with 95 % bounds")
    axes.plot(levels, rows["height"], "|", color=_COLOURS[1], markersize=16, label="At most")
    _write_counts(axes, rows)
    axes.set_xscale("log")
    # By itself such an axis writes its numbers as formulas, which our text never is.
    places = range(5, -1, -1)
    axes.set_xticks([10.0**-place for place in places], [f"{10**-n:.{n}f}" for n in places])
    axes.minorticks_off()
    axes.set_xlim(1e-5, 1)
    axes.set_yticks(rows["height"], [f"{level:g} or less" for level in levels])
    axes.set_ylim(len(frame) - 0.5, -0.5)
    axes.set(xlabel="Share of pairs that nobody blocks", ylabel="Chance given")
    add_legend(axes, 2, 44)
    return figure


def _write_counts(axes: Axes, rows: pd.DataFrame) -> None:
    """How many of how many, at the right of each row; the lines of the axes."""
    for row in rows.itertuples():
        axes.annotate(f"{row.success_count:,} of {row.trial_count:,}", (1.01, row.height),
                      xycoords=("axes fraction", "data"), va="center", fontsize=8.5,
                      color=SOFT_INK)  # fmt: skip
    axes.grid(axis="x")
    axes.tick_params(axis="both", length=0)


@styled
def errors_by_threshold(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Bars of what goes wrong at each value of each threshold; the value in use is in bold.

    Args:
        frame: ``threshold, value, is_used, false_site_count, missed_pair_count,
            wrong_mechanism_count, edge_outside_count``, sorted.
    """
    series = {
        f"Sites listed wrongly, × {FALSE_SITE_WEIGHT}":
            ("false_site_count", FALSE_SITE_WEIGHT, "#8C1127", ""),
        "Blocked pairs missed": ("missed_pair_count", 1, "#1F7A8C", "////"),
        "Wrong method of blocking": ("wrong_mechanism_count", 1, "#D9A441", ".."),
        "Dates outside their bracket": ("edge_outside_count", 1, "#8A8A8A", ""),
    }  # fmt: skip
    figure, axes = new_canvas(title, footer, 0.2 * len(frame) + 1.2)
    base = pd.Series(0.0, frame.index)
    for label, (column, weight, colour, hatch) in series.items():
        values = weight * frame[column].astype("float64")
        axes.barh(range(len(frame)), values, left=base, color=colour, hatch=hatch,
                  edgecolor="white", height=0.72, label=label)  # fmt: skip
        base = base + values
    labels = [f"{row.threshold} = {row.value:g}" for row in frame.itertuples()]
    axes.set_yticks(range(len(frame)), labels, fontsize=8.5)
    for tick, is_used in zip(axes.get_yticklabels(), frame["is_used"], strict=True):
        tick.set_fontweight("bold" if is_used else "normal")
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.set_xlabel("Errors over the worlds for fitting")
    axes.grid(axis="x")
    axes.tick_params(axis="both", length=0)
    add_legend(axes, 2, 44)
    return figure
